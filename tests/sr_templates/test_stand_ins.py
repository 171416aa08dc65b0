"""A destination that wants pictures or CAD reports only is still told of what was not analysed, or not found."""

from __future__ import annotations

from io import BytesIO
from types import SimpleNamespace

import pytest
from pydicom import dcmread
from pydicom.uid import JPEGBaseline8Bit

from sr_templates.contract import ResultObject, ResultVariant, StudyReport, plain_variants
from sr_templates.registry import make_objects

Profile = frozenset[ResultVariant]
CAD, HEATMAP, STATE = plain_variants("cad_sr"), plain_variants("heatmap"), plain_variants("presentation_state")
EVERYTHING = plain_variants("cad_sr", "measurement_sr", "heatmap", "summary", "presentation_state")


def delivered(report: StudyReport, profile: Profile, *others: Profile) -> list[ResultObject]:
    """What a destination gets, where there may be others beside it."""
    profiles = (profile, *others)
    made = make_objects(report, frozenset(v for p in profiles for v in p), profiles=profiles)
    return [item for item in made if item.is_for(profile)]


@pytest.mark.parametrize(
    "profile", [CAD, HEATMAP, STATE, HEATMAP | STATE], ids=lambda p: "+".join(sorted(v.name for v in p))
)
@pytest.mark.parametrize("others", [(), (EVERYTHING,)], ids=["alone", "beside one that gets all"])
def test_every_kind_of_answer_reaches_every_destination(
    case: tuple[str, StudyReport], profile: Profile, others: tuple[Profile, ...]
) -> None:
    assert delivered(case[1], profile, *others)


@pytest.mark.parametrize("profile", [HEATMAP, STATE], ids=["heatmap", "presentation_state"])
def test_a_picture_of_one_image_does_not_hide_that_another_was_not_analysed(
    factory: SimpleNamespace, profile: Profile
) -> None:
    silent = factory.mammogram(2, "R", "MLO", outcome="not_analysed", reason="cannot be decoded", display=None)
    shown = factory.mammogram(1, "R", "CC", findings=(factory.finding(),))
    assert [item.kind for item in delivered(factory.study_report((shown, silent)), profile)][-1] == "summary"
    assert "summary" not in [item.kind for item in delivered(factory.study_report((shown,)), profile)]


def test_who_is_told_anyhow_gets_no_more(factory: SimpleNamespace) -> None:
    for kind in ("measurement_sr", "cad_sr"):
        wanted = plain_variants(kind)
        assert {item.kind for item in delivered(factory.partial(), wanted, STATE)} == {kind}


def test_a_summary_that_another_destination_wants_anyhow_is_not_made_twice(factory: SimpleNamespace) -> None:
    made = make_objects(factory.all_failed(), EVERYTHING, profiles=(STATE, EVERYTHING))
    (summary,) = (item for item in made if item.kind == "summary")
    assert summary.is_for(STATE)
    assert summary.is_for(EVERYTHING)


def test_who_wants_nothing_gets_nothing(factory: SimpleNamespace) -> None:
    assert make_objects(factory.all_failed(), frozenset(), profiles=(frozenset(),)) == ()


def test_a_stand_in_has_the_form_of_the_destinations_other_pictures(factory: SimpleNamespace) -> None:
    small = frozenset({ResultVariant(kind="heatmap", max_side_px=1024, compression="jpeg_baseline")})
    (made,) = delivered(factory.dose_report_only(), small)
    dataset = dcmread(BytesIO(made.content))
    assert made.variant.name == "summary 1024 jpeg_baseline"
    assert dataset.file_meta.TransferSyntaxUID == JPEGBaseline8Bit
    assert max(dataset.Rows, dataset.Columns) <= 1024
