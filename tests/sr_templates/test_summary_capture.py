"""The summary: one a study, which says what was found, and what was not looked at and why."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from dataclasses import replace
from io import BytesIO
from itertools import combinations
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from pydicom import Dataset, dcmread
from pydicom.uid import JPEGBaseline8Bit

from sr_templates.capture_words import drawable
from sr_templates.contract import (
    CaptureCompression,
    ReplacedResult,
    ReportedBreast,
    ReportedImage,
    ResultVariant,
    StudyReport,
)
from sr_templates.drawing import BENIGN, MALIGNANT, PLAIN, WARNING, Line
from sr_templates.evidence import reference
from sr_templates.marks import Mark, overlap
from sr_templates.predictions import algorithms_shown
from sr_templates.registry import make_objects
from sr_templates.summary_capture import MAX_THUMBNAILS, draw_summary, summary_sheet
from sr_templates.summary_picture import PlacedThumbnail, Sheet, Thumbnail, render_summary
from sr_templates.wording import instance_sentence
from tests.peers.servers import Orthanc


def summary(report: StudyReport, compression: CaptureCompression = "none") -> Dataset:
    (made,) = make_objects(report, frozenset({ResultVariant(kind="summary", compression=compression)}))
    return dcmread(BytesIO(made.content))


def captions(thumbnails: tuple[Thumbnail, ...]) -> list[str]:
    return [" ".join(line.text for line in thumbnail.caption) for thumbnail in thumbnails]


def rows_of(report: StudyReport) -> list[list[str]]:
    return [[caption.split(":")[0] for caption in captions(row)] for row in summary_sheet(report).hanging]


def panel(report: StudyReport) -> str:
    return "\n".join(line.text for line in summary_sheet(report).panel)


def above(report: StudyReport) -> list[str]:
    return [line.text for line in summary_sheet(report).above]


def test_every_study_has_exactly_one_summary(case: tuple[str, StudyReport]) -> None:
    _, report = case
    dataset = summary(report)
    assert (dataset.SOPClassUID, dataset.Modality) == ("1.2.840.10008.5.1.4.1.1.7", "OT")
    assert (dataset.SeriesNumber, dataset.InstanceNumber) == (9004, 1)
    replaces = ", revision 2 replaces 1" if report.replaces else ""
    assert dataset.SeriesDescription == f"AI summary - NOT FOR PRIMARY DIAGNOSIS{replaces}"
    assert (dataset.BurnedInAnnotation, dataset.RecognizableVisualFeatures) == ("YES", "NO")
    assert dataset.Laterality == ""
    assert "ImageLaterality" not in dataset
    assert "primary diagnosis" in dataset.DerivationDescription
    assert max(dataset.pixel_array.shape[:2]) <= 2048
    sources = [item.ReferencedSOPInstanceUID for item in dataset.get("SourceImageSequence", [])]
    assert sources == [image.header.SOPInstanceUID for image in report.images]


def test_every_summary_says_how_it_went_and_that_it_is_for_research(case: tuple[str, StudyReport]) -> None:
    _, report = case
    sheet = summary_sheet(report)
    words = panel(report)
    assert [line.text for line in sheet.bottom] == ["RESEARCH USE, NOT FOR PRIMARY DIAGNOSIS"]
    assert above(report)[0] == "AI summary, study of 2025-01-01"
    assert "analysis of 2026-01-02 03:04 UTC" in words
    for algorithm in report.algorithms:
        weights = algorithm.weights_sha256
        shown = f"weights {weights[:12]}" if weights else "no weights installed"
        if algorithm in algorithms_shown(report, *report.images):
            assert f"{algorithm.name} {algorithm.version}, {shown}" in words
            assert algorithm.reason in words
        else:  # a model that predicted nothing is named with its reason, lesion by lesion
            assert algorithm.name in words
            assert shown in words
    for image in report.images:
        if image.outcome != "analysed":
            assert image.reason in words
    for _, reason in report.other_instances:
        assert drawable(instance_sentence(reason)) in words
    if report.outcome != "analysed":
        assert report.reason in above(report)[1]
        assert sheet.above[1].color == WARNING


def test_the_headline_of_findings_counts_them(factory: SimpleNamespace) -> None:
    report = factory.with_findings()
    words = "2 calcification findings (1 predicted malignant, 1 predicted benign); 4 of 4 images analysed"
    assert above(report)[1] == words
    assert summary_sheet(report).above[1].color == MALIGNANT
    assert above(factory.none_found())[1] == "No calcification found; 4 of 4 images analysed"
    assert above(factory.partial())[1:] == [
        "No calcification found; 3 of 4 images analysed",
        "1 image NOT ANALYSED, see why at the right",
    ]


def test_each_breast_has_status_confidence_and_what_is_missing_in_the_colour_of_its_status(
    factory: SimpleNamespace,
) -> None:
    breasts = (
        ReportedBreast(laterality="L", status="not_analysed", confidence=None, views=(), reason="no MLO view received"),
        ReportedBreast(laterality="R", status="malignant", confidence=0.912, views=("CC", "MLO")),
    )
    lines = summary_sheet(replace(factory.with_findings(), breasts=breasts)).panel
    assert [(line.text, line.color) for line in lines[:4]] == [
        ("Right breast: predicted malignant calcifications", MALIGNANT),
        ("confidence 91.2 %, views CC, MLO", MALIGNANT),
        ("Left breast: not analysed", WARNING),
        ("no MLO view received", WARNING),
    ]
    for status, color in (("benign", BENIGN), ("no_calcification", PLAIN)):
        breast = replace(breasts[1], status=status)
        assert summary_sheet(replace(factory.with_findings(), breasts=(breast,))).panel[0].color == color


def test_findings_second_opinion_and_revision_are_said(factory: SimpleNamespace) -> None:
    report = factory.with_findings()
    image = replace(report.images[0], second_opinion=0.123)
    replaced = ReplacedResult(
        variant="summary", revision=1, sop_class_uid="1.2", sop_instance_uid="1.2.3", series_instance_uid="1.2.4"
    )
    report = replace(report, images=(image, *report.images[1:]), revision=2, replaces=(replaced,))
    assert "1: R CC predicted malignant, certainty 87.5 %, cancer 87.5 %" in panel(report)
    assert "second opinion (SPPNet, whole image): R CC malignant 12.3 %" in panel(report)
    assert "Revision 2, replaces the results of revision 1" in above(report)
    assert summary(report).SeriesDescription.endswith(", revision 2 replaces 1")


@pytest.mark.parametrize("order", [(0, 1, 2, 3), (3, 2, 1, 0), (2, 0, 3, 1)])
def test_mammograms_hang_back_to_back_whatever_their_order(factory: SimpleNamespace, order: tuple[int, ...]) -> None:
    views = factory.four_views()
    report = factory.study_report(tuple(views[n] for n in order))
    assert rows_of(report) == [["R CC", "L CC"], ["R MLO", "L MLO"]]
    right_cc, left_cc, right_mlo, left_mlo = draw_summary(report, max_side_px=2048).thumbnails
    for right, left in ((right_cc, left_cc), (right_mlo, left_mlo)):
        assert right.area_px[1] == left.area_px[1]
        assert 0 < left.area_px[0] - right.area_px[2] < 40
    assert right_mlo.area_px[1] > right_cc.area_px[3]


def test_an_absent_view_is_a_frame_that_says_so_and_an_absent_breast_or_view_takes_no_room(
    factory: SimpleNamespace,
) -> None:
    views = factory.four_views()
    three = summary_sheet(factory.study_report(views[:3]))
    assert three.hanging[1][1].display is None
    assert three.hanging[1][1].inside[0].text == "no L MLO image in this study"
    assert rows_of(factory.study_report(views[:2])) == [["R CC", "L CC"]]
    assert rows_of(factory.study_report((views[0], views[2]))) == [["R CC"], ["R MLO"]]
    assert rows_of(factory.study_report((views[3],))) == [["L MLO"]]


def test_an_image_without_pixels_is_a_frame_with_the_reason_inside(factory: SimpleNamespace) -> None:
    report = factory.partial()
    placed = draw_summary(report, max_side_px=2048).thumbnails[3]
    assert placed.placement is None
    assert placed.thumbnail.inside[0].text == "NOT ANALYSED: spot compression view"
    assert captions((placed.thumbnail,)) == ["L MLO: NOT ANALYSED"]


def test_an_analysed_image_hangs_before_a_spot_view_of_the_same_name(factory: SimpleNamespace) -> None:
    spot = factory.mammogram(9, "R", "CC", outcome="not_analysed", reason="spot view", view_modifiers=("399055006",))
    sheet = summary_sheet(factory.study_report((spot, *factory.four_views())))
    assert captions(sheet.hanging[0])[0] == "R CC: no calcification found"
    assert captions(sheet.further) == ["R CC: NOT ANALYSED: spot view"]


def test_at_most_eight_images_are_shown_those_with_findings_first_and_the_rest_counted(
    factory: SimpleNamespace,
) -> None:
    more = [factory.mammogram(10 + n, "L", "ML") for n in range(8)]
    more[7] = replace(more[7], findings=(factory.finding(),))
    report = factory.study_report((*factory.four_views(), *more))
    sheet = summary_sheet(report)
    assert len(sheet.further) + 4 == MAX_THUMBNAILS
    assert captions(sheet.further)[0] == "L ML: 1 finding"
    assert "and 4 more images, not shown here" in panel(report)
    assert len(draw_summary(report, max_side_px=2048).thumbnails) == MAX_THUMBNAILS


def test_many_instances_of_one_reason_share_a_line(factory: SimpleNamespace) -> None:
    images = tuple(factory.ultrasound().images[0] for _ in range(200))
    report = factory.study_report(images, outcome="not_analysed", reason="no pipeline for ultrasound", algorithms=())
    assert "200 x US image: NOT ANALYSED: no pipeline for ultrasound" in panel(report)
    assert max(draw_summary(report, max_side_px=2048).pixels.shape) <= 2048


def drawn(placed: PlacedThumbnail, pixels: np.ndarray) -> np.ndarray:
    x0, y0, x1, y1 = placed.area_px
    return pixels[y0:y1, x0:x1]


@pytest.mark.parametrize("side", [512, 1024, 2048, 4096])
def test_boxes_lie_where_the_findings_are_in_each_thumbnail(factory: SimpleNamespace, side: int) -> None:
    report = factory.with_findings()
    picture = draw_summary(report, max_side_px=side)
    placed = picture.thumbnails[0]
    assert [mark.tag for mark in placed.marks] == ["2", "1"]  # the gravest last, on top
    rows, columns = report.images[0].display.shape
    x0, y0, x1, y1 = placed.area_px
    left, top, right, bottom = report.images[0].findings[0].box_px
    expected = (
        x0 + left * (x1 - x0) / columns,
        y0 + top * (y1 - y0) / rows,
        x0 + right * (x1 - x0) / columns,
        y0 + bottom * (y1 - y0) / rows,
    )
    assert placed.marks[1].inside_px == pytest.approx(expected, abs=1.01)
    assert (drawn(placed, picture.pixels) == MALIGNANT).all(axis=2).any()
    assert not (drawn(picture.thumbnails[1], picture.pixels) == MALIGNANT).all(axis=2).any()


SHAPES = st.tuples(st.integers(1, 400), st.integers(1, 400))


@settings(max_examples=40, deadline=None)
@given(
    hung=st.lists(SHAPES, max_size=4),
    further=st.lists(SHAPES, max_size=8),
    side=st.sampled_from([512, 700, 1024]),
    words=st.integers(1, 100),
)
def test_no_thumbnail_lies_on_another_whatever_their_sizes(
    hung: list[tuple[int, int]], further: list[tuple[int, int]], side: int, words: int
) -> None:
    def thumbnail(shape: tuple[int, int]) -> Thumbnail:
        mark = Mark(box_px=(0, 0, shape[1] / 2, shape[0] / 2), tags=("1",), color=MALIGNANT)
        caption = (Line(text="R CC: " + "reason " * words),)
        return Thumbnail(display=np.full(shape, 50, dtype=np.uint8), marks=(mark,), caption=caption)

    rows = [tuple(thumbnail(shape) for shape in hung[n : n + 2]) for n in range(0, len(hung), 2)]
    sheet = Sheet(
        hanging=tuple(rows),
        further=tuple(thumbnail(shape) for shape in further),
        above=(Line(text="summary"),),
        panel=(Line(text="words " * words),) * 5,
        bottom=(Line(text="RESEARCH USE"),),
    )
    picture = render_summary(sheet, max_side_px=side)
    height, width = picture.pixels.shape[:2]
    assert max(height, width) <= side
    areas = [placed.area_px for placed in picture.thumbnails]
    assert len(areas) == len(hung) + len(further)
    assert all(x0 >= 0 and y0 >= 0 and x1 <= width and y1 <= height for x0, y0, x1, y1 in areas)
    assert not any(overlap(a, b) for a, b in combinations(areas, 2))
    for placed in picture.thumbnails:
        for mark in placed.marks:
            assert mark.tag_px is None or not overlap(mark.tag_px, mark.inside_px)


def test_the_picture_is_legible_on_half_its_size(factory: SimpleNamespace) -> None:
    picture = draw_summary(factory.with_findings(), max_side_px=2048)
    assert picture.font_px / 2 >= 1024 / 60


def test_very_long_reasons_are_cut_and_the_picture_keeps_its_bounds(factory: SimpleNamespace) -> None:
    reason = "a decoder said something very long " * 200
    images = factory.four_views(outcome="failed", reason=reason, display=None)
    report = factory.study_report(
        images, outcome="failed", reason=reason, algorithms=(factory.detector(status="failed", reason=reason),)
    )
    for side in (512, 2048):
        picture = draw_summary(report, max_side_px=side)
        assert max(picture.pixels.shape[:2]) <= side
        assert len(picture.thumbnails) == 4


def test_what_a_small_picture_has_no_room_for_is_said_to_be_elsewhere() -> None:
    panel = tuple(Line(text=f"line {n}") for n in range(60))
    thumbnail = Thumbnail(display=np.full((300, 200), 50, dtype=np.uint8))
    sheet = Sheet(hanging=((thumbnail,),), above=(Line(text="summary"),), bottom=(Line(text="RESEARCH USE"),))
    fits, full = (render_summary(replace(sheet, panel=lines), max_side_px=512) for lines in (panel[:5], panel))
    amber = [(picture.pixels == WARNING).all(axis=2).any() for picture in (fits, full)]
    assert amber == [False, True]
    assert max(full.pixels.shape[:2]) <= 512


def test_images_that_cannot_be_referred_to_are_shown_and_not_listed(factory: SimpleNamespace) -> None:
    header = factory.mammogram_header(1, "R", "CC", SOPInstanceUID="1.2.3")
    header["SeriesInstanceUID"].value = ""
    broken: ReportedImage = factory.mammogram(1, "R", "CC", header=header, outcome="not_analysed", reason="no UID")
    assert reference(header) is None
    dataset = summary(factory.study_report((broken,)))
    assert "SourceImageSequence" not in dataset
    assert dataset.pixel_array.any()


def test_a_summary_of_other_than_breasts_claims_no_breast(factory: SimpleNamespace) -> None:
    assert "BodyPartExamined" not in summary(factory.ultrasound())
    assert "BodyPartExamined" not in summary(factory.dose_report_only())
    assert summary(factory.partial()).BodyPartExamined == "BREAST"


def test_a_jpeg_of_the_summary_shows_what_the_uncompressed_one_shows(factory: SimpleNamespace) -> None:
    report = factory.with_findings()
    plain, compressed = summary(report), summary(report, "jpeg_baseline")
    assert compressed.file_meta.TransferSyntaxUID == JPEGBaseline8Bit
    assert len(compressed.PixelData) < len(plain.PixelData) / 10
    assert np.abs(plain.pixel_array.astype(int) - compressed.pixel_array).mean() < 1.5


@pytest.mark.peer
@pytest.mark.parametrize("compression", ["none", "jpeg_baseline"])
def test_dciodvfy_finds_no_error_in_any_summary(
    case: tuple[str, StudyReport], compression: CaptureCompression, tmp_path: Path, need: Callable[..., None]
) -> None:
    need("dciodvfy")
    variant = ResultVariant(kind="summary", compression=compression)
    (made,) = make_objects(case[1], frozenset({variant}))
    path = tmp_path / "summary.dcm"
    path.write_bytes(made.content)
    checked = subprocess.run(["dciodvfy", path], capture_output=True, text=True, check=False)
    assert "SCImage" in checked.stderr + checked.stdout
    assert "Error" not in checked.stderr + checked.stdout


@pytest.mark.peer
def test_orthanc_previews_plain_and_compressed_captures_in_the_same_colours(
    factory: SimpleNamespace, orthanc_peer: Orthanc
) -> None:
    report = factory.with_findings()
    previews = []
    for compression in ("none", "jpeg_baseline"):
        (made,) = make_objects(report, frozenset({ResultVariant(kind="summary", compression=compression)}))
        orthanc_peer.request("POST", "/instances", made.content)
        found = orthanc_peer.find(made.sop_instance_uid)
        png = orthanc_peer.request("GET", f"/instances/{found}/preview")
        previews.append(np.asarray(Image.open(BytesIO(png)).convert("RGB")).astype(int))
    plain, compressed = previews
    assert np.array_equal(plain, summary(report).pixel_array)
    assert np.abs(plain - compressed).mean() < 1.5
