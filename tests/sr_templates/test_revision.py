"""A revision names the document that it replaces, of its own kind and form, and says so in words."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from sr_templates.contract import ReplacedResult, ResultVariant, StudyReport
from sr_templates.registry import make_objects
from tests.sr_templates.content_tree import texts, tree_of
from tests.sr_templates.test_validators import program, run

VARIANTS = (
    ResultVariant(kind="cad_sr"),
    ResultVariant(kind="measurement_sr"),
    ResultVariant(kind="measurement_sr", sr_class="comprehensive"),
    ResultVariant(kind="heatmap"),
)
REPORTS = [variant for variant in VARIANTS if variant.kind != "heatmap"]


def replaced(variant: ResultVariant, revision: int = 1) -> ReplacedResult:
    number = VARIANTS.index(variant) + 1
    return ReplacedResult(
        variant=variant.name,
        revision=revision,
        sop_class_uid=variant.sop_class_uid,
        sop_instance_uid=f"2.25.{number}",
        series_instance_uid=f"2.25.9{number}",
    )


@pytest.fixture
def revised(factory: SimpleNamespace) -> StudyReport:
    """The second answer to a study whose first had every form of result."""
    return replace(factory.with_findings(), revision=2, replaces=tuple(map(replaced, VARIANTS)))


@pytest.mark.parametrize("variant", REPORTS, ids=lambda variant: variant.name)
def test_a_report_names_its_predecessor_and_no_other_result(revised: StudyReport, variant: ResultVariant) -> None:
    (study,) = tree_of(revised, variant).PredecessorDocumentsSequence
    assert study.StudyInstanceUID == revised.study_instance_uid
    (series,) = study.ReferencedSeriesSequence
    (document,) = series.ReferencedSOPSequence
    expected = replaced(variant)
    assert series.SeriesInstanceUID == expected.series_instance_uid
    assert document.ReferencedSOPInstanceUID == expected.sop_instance_uid
    assert document.ReferencedSOPClassUID == expected.sop_class_uid == variant.sop_class_uid


@pytest.mark.parametrize("variant", REPORTS, ids=lambda variant: variant.name)
def test_a_first_answer_names_none(factory: SimpleNamespace, variant: ResultVariant) -> None:
    root = tree_of(factory.with_findings(), variant)
    assert "PredecessorDocumentsSequence" not in root
    assert "eplaces" not in texts(root) + root.SeriesDescription


@pytest.mark.parametrize("variant", REPORTS, ids=lambda variant: variant.name)
def test_a_form_that_the_revision_before_did_not_have_names_none_but_tells(
    revised: StudyReport, variant: ResultVariant
) -> None:
    others = tuple(old for old in revised.replaces if old.variant != variant.name)
    root = tree_of(replace(revised, replaces=others), variant)
    assert "PredecessorDocumentsSequence" not in root
    assert "Revision 2, replaces the results of revision 1" in texts(root).splitlines()


@pytest.mark.parametrize("variant", REPORTS, ids=lambda variant: variant.name)
def test_the_words_say_which_revision_is_replaced(revised: StudyReport, variant: ResultVariant) -> None:
    fourth = replace(revised, revision=4, replaces=tuple(replaced(old, revision=2) for old in VARIANTS))
    root = tree_of(fourth, variant)
    assert "Revision 4, replaces the results of revision 2" in texts(root).splitlines()
    assert "revision 4 replaces 2" in root.SeriesDescription


def test_a_revision_that_replaces_nothing_says_nothing(revised: StudyReport) -> None:
    for variant in REPORTS:
        root = tree_of(replace(revised, replaces=()), variant)
        assert "PredecessorDocumentsSequence" not in root
        assert "Revision" not in texts(root)


@pytest.mark.peer
def test_dciodvfy_and_dcmtk_accept_a_revision(revised: StudyReport, tmp_path: Path) -> None:
    """Its tree, which has one more line of text, is among those that PixelMed sees in the tests of composites."""
    for made in make_objects(revised, frozenset(REPORTS)):
        path = tmp_path / f"{made.sop_instance_uid}.dcm"
        path.write_bytes(made.content)
        assert [line for line in run(program("dciodvfy"), str(path)).splitlines() if line.startswith("Error")] == []
        read = run(program("dsrdump"), str(path))
        assert "Predecessor Docs" in read
        assert [line for line in read.splitlines() if line.startswith(("E:", "F:"))] == []
