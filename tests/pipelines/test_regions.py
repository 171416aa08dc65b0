"""Regions that a radiologist marked, out of every kind of object that viewers send them in, and of hostile ones."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from pydicom import Dataset, dcmread
from pydicom.dataelem import RawDataElement

from pipelines.region_masks import mask_of
from pipelines.region_objects.contract import MAX_MARKS, MAX_POINTS, MAX_REGIONS
from pipelines.region_objects.shapes import clipped
from pipelines.regions import carries_regions, examine, examine_file, read_regions
from tests.factories import small_mammogram
from tests.region_objects import (
    OHIF_MARKS,
    SQUARE,
    Outline,
    closed,
    code,
    dataset,
    graphic,
    item,
    measurement_report,
    presentation_state,
    reference,
    report_of,
    saved,
    scoord,
    segmentation,
    viewer_report,
)

CENTRE_AND_RIM: Outline = ((55.0, 75.0), (70.0, 75.0))


@pytest.fixture(scope="module")
def image() -> Dataset:
    return small_mammogram(laterality="L", view="CC")


def read_back(made: Dataset) -> Dataset:
    buffer = BytesIO()
    made.save_as(buffer, enforce_file_format=True)
    buffer.seek(0)
    return dcmread(buffer)


def area_of(polygons: Sequence[Outline]) -> int:
    return int(mask_of(polygons, (300, 300)).sum())


def codes_of(made: Dataset) -> list[str]:
    return [mark.reason.code for mark in examine(made).refused]


def test_a_report_by_the_template_gives_outline_image_name_and_tracking_uid(image: Dataset) -> None:
    made = read_back(
        measurement_report([image], [(0, "POLYLINE", SQUARE), (0, "CIRCLE", CENTRE_AND_RIM)], tracking_uid="1.2.3")
    )
    square, circle = read_regions(made)
    assert square.polygons_px == (SQUARE,)
    assert (square.sop_instance_uid, square.frame, square.source) == (image.SOPInstanceUID, 1, "radiologist")
    assert (square.label, square.tracking_uid, square.object_uid) == ("Lesion 1", "1.2.3", made.SOPInstanceUID)
    assert area_of(circle.polygons_px) == pytest.approx(math.pi * 15**2, rel=0.02)
    assert carries_regions(made)


def test_what_a_viewer_writes_twice_and_leaves_open_is_one_region_by_the_name_a_person_gave(
    image: Dataset,
) -> None:
    (region,) = read_regions(read_back(viewer_report(image, SQUARE)))
    assert (region.polygons_px, region.label) == ((SQUARE,), "lesion A")


OHIF_STROKES = {
    "Ask me": (456.1, 1035.0, 601.2, 1258.8),
    "EllipticalROI": (398.6, 1328.8, 658.6, 1548.8),
    "CircleROI": (428.6, 755.0, 628.6, 955.0),
    "PlanarFreehandROI": (276.1, 1036.9, 416.1, 1266.9),
}
"""Boxes around what the mouse drew, in the order and by the names of the report; see `tests/golden/README.md`."""


def test_what_ohif_saved_of_marks_with_each_of_its_tools_is_read_where_the_mouse_was() -> None:
    made = dcmread(OHIF_MARKS)
    assert carries_regions(made)
    regions = read_regions(made)
    assert [region.label for region in regions] == list(OHIF_STROKES)
    assert {region.sop_instance_uid for region in regions} == {"2.25.139470799347780797743974677942666319631"}
    for region, box in zip(regions, OHIF_STROKES.values(), strict=True):
        (outline,) = region.polygons_px
        xs, ys = zip(*outline, strict=True)
        assert (min(xs), min(ys), max(xs), max(ys)) == pytest.approx(box, abs=3.3)  # a pixel of the screen is 3.25


@pytest.mark.parametrize(
    ("made", "asks"),
    [
        (lambda image: viewer_report(image, SQUARE[:2], tool="Length"), False),
        (lambda image: viewer_report(image, SQUARE, tool="Angle"), False),
        (lambda image: measurement_report([image], [(0, "POINT", [[5.0, 5.0]])]), True),
    ],
)
def test_lines_and_points_enclose_nothing_and_a_measured_length_asks_nothing(
    made: Callable[[Dataset], Dataset], asks: bool, image: Dataset
) -> None:
    report = read_back(made(image))
    assert read_regions(report) == ()
    assert set(codes_of(report)) == {"region_unsupported"}
    assert carries_regions(report) is asks


def test_another_programs_report_is_no_request(image: Dataset) -> None:
    report = read_back(measurement_report([image], [(0, "POLYLINE", SQUARE)], by_device=True))
    assert codes_of(report) == ["region_by_a_device"]
    assert not carries_regions(report)


def test_a_presentation_states_closed_shapes_are_regions_with_the_text_beside_them(image: Dataset) -> None:
    shapes = [
        graphic("POLYLINE", closed(SQUARE)),
        graphic("POLYLINE", SQUARE[1:], filled=True),
        graphic("POLYLINE", SQUARE[:2]),
        graphic("ELLIPSE", [(40, 75), (70, 75), (55, 65), (55, 85)]),
        graphic("INTERPOLATED", closed(SQUARE)),
    ]
    made = read_back(presentation_state(image, shapes))
    found = read_regions(made)
    assert {region.label for region in found} == {"ask this"}
    assert [area_of(region.polygons_px) for region in found] == [
        900,
        pytest.approx(450, abs=20),
        pytest.approx(math.pi * 150, rel=0.02),
        pytest.approx(1237, rel=0.02),  # a curve through the corners bulges
    ]
    assert codes_of(made) == ["region_unsupported"]


def test_points_by_the_displayed_area_need_one(image: Dataset) -> None:
    quarter = graphic("POLYLINE", closed([(0.0, 0.0), (0.5, 0.0), (0.5, 0.5), (0.0, 0.5)]), units="DISPLAY")
    area = dataset(DisplayedAreaTopLeftHandCorner=[11, 21], DisplayedAreaBottomRightHandCorner=[110, 220])
    (region,) = read_regions(read_back(presentation_state(image, [quarter], DisplayedAreaSelectionSequence=[area])))
    assert region.polygons_px == (((10.0, 20.0), (60.0, 20.0), (60.0, 120.0), (10.0, 120.0)),)
    assert codes_of(read_back(presentation_state(image, [quarter]))) == ["region_unsupported"]


def test_a_compound_rectangle_takes_the_place_of_the_lines_that_draw_it(image: Dataset) -> None:
    lines = graphic("POLYLINE", closed(SQUARE))
    lines.CompoundGraphicInstanceID = 7
    rectangle = dataset(
        CompoundGraphicInstanceID=7,
        CompoundGraphicUnits="PIXEL",
        CompoundGraphicType="RECTANGLE",
        GraphicDimensions=2,
        NumberOfGraphicPoints=2,
        GraphicData=[40.0, 60.0, 70.0, 90.0],
    )
    (region,) = read_regions(read_back(presentation_state(image, [lines], compounds=[rectangle])))
    assert region.polygons_px == (SQUARE,)


def test_a_segments_parts_are_outlines_that_cover_its_pixels(image: Dataset) -> None:
    mask = np.zeros((image.Rows, image.Columns), dtype=bool)
    mask[20:40, 30:55], mask[50:53, 10:14] = True, True
    made = read_back(segmentation(image, mask))
    (marked,) = examine(made).regions
    assert marked.frame_shape == mask.shape
    assert (marked.region.sop_instance_uid, marked.region.label) == (image.SOPInstanceUID, "mass")
    again = mask_of(marked.region.polygons_px, mask.shape)
    assert np.logical_xor(again, mask).sum() <= 8  # the corners
    assert carries_regions(made)
    assert not carries_regions(segmentation(image, mask, automatic=True))


def group_of(*children: Dataset) -> Dataset:
    return item("CONTAINS", "CONTAINER", ("125007", "DCM", "Measurement Group"), ContentSequence=list(children))


def test_hostile_reports_end_with_a_reason_and_soon(image: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipelines.region_objects.structured_reports.MAX_ITEMS", 4 * MAX_MARKS)
    nan = group_of(scoord("CONTAINS", "POLYLINE", [(math.nan, 1.0), (2.0, math.inf), (3.0, 3.0)], image))
    many = group_of(scoord("CONTAINS", "POLYLINE", [(1.0, float(n)) for n in range(MAX_POINTS + 1)], image))
    nowhere = group_of(item("CONTAINS", "SCOORD", None, GraphicType="POLYLINE", GraphicData=[0, 0, 9, 0, 9, 9, 0, 0]))
    for one in (nan, many, nowhere):
        assert codes_of(report_of([one], image)) == ["region_unsupported"]

    crowd = [
        group_of(scoord("CONTAINS", "CIRCLE", [(n, 50.0), (n + 9.0, 50.0)], image)) for n in range(MAX_REGIONS + 5)
    ]
    assert len(read_regions(report_of(crowd, image))) == MAX_REGIONS
    assert codes_of(report_of(crowd, image)) == ["too_many_regions"]

    alone = scoord("CONTAINS", "CIRCLE", CENTRE_AND_RIM, image)
    assert codes_of(report_of([group_of(*[alone] * (MAX_MARKS + 1))], image)) == ["region_object_too_large"]
    shown = presentation_state(image, [graphic("POLYLINE", SQUARE[:2])] * (MAX_MARKS + 1))
    assert codes_of(shown) == ["region_unsupported", "region_object_too_large"]
    assert not carries_regions(shown)

    cyclic = group_of()
    cyclic.ContentSequence = [item("CONTAINS", "CONTAINER", ("121070", "DCM", "Findings")) for _ in range(3)]
    for child in cyclic.ContentSequence:
        child.ContentSequence = cyclic.ContentSequence
    assert codes_of(report_of([cyclic], image)) == ["region_object_too_large"]

    broken = read_back(report_of([nan], image))
    broken[0x0040A730] = RawDataElement(broken[0x0040A730].tag, "SQ", 6, b"\x01\x02\x03\x04\x05\x06", 0, False, True)
    assert codes_of(broken)
    assert not carries_regions(broken)


def test_a_report_that_refers_by_place_or_to_several_images_is_understood_or_refused(image: Dataset) -> None:
    library = item("CONTAINS", "IMAGE", None, ReferencedSOPSequence=[reference(image)])
    by_place = item("CONTAINS", "SCOORD", None, GraphicType="CIRCLE", GraphicData=[55.0, 75.0, 70.0, 75.0])
    by_place.ContentSequence = [dataset(RelationshipType="SELECTED FROM", ReferencedContentItemIdentifier=[1, 2])]
    made = report_of([group_of(by_place)], image)
    made.ContentSequence.append(library)
    (region,) = read_regions(read_back(made))
    assert region.sop_instance_uid == image.SOPInstanceUID

    frames = reference(image)
    frames.ReferencedFrameNumber = [1, 2]
    several = scoord("CONTAINS", "CIRCLE", CENTRE_AND_RIM, image)
    several.ContentSequence[0].ReferencedSOPSequence = [frames]
    assert codes_of(read_back(report_of([group_of(several)], image))) == ["region_unsupported"]


def test_what_is_no_such_object_not_there_or_too_large_is_a_reason(
    image: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert codes_of(image) == ["no_region"]
    assert [mark.reason.code for mark in examine_file(tmp_path / "absent").refused] == ["unreadable"]
    (tmp_path / "noise").write_bytes(bytes(range(256)) * 40)
    assert examine_file(tmp_path / "noise").regions == ()
    path = saved(
        report_of([group_of(item("CONTAINS", "CODE", None, ConceptCodeSequence=[code("1", "x", "y")]))], image),
        tmp_path / "sr",
    )
    assert [mark.reason.code for mark in examine_file(path).refused] == ["no_region"]
    monkeypatch.setattr("pipelines.regions.MAX_BYTES", 100)
    assert [mark.reason.code for mark in examine_file(path).refused] == ["region_object_too_large"]
    mask = np.ones((image.Rows, image.Columns), dtype=bool)
    assert examine_file(saved(segmentation(image, mask), tmp_path / "mask")).regions


def test_what_reaches_over_the_edge_is_cut_off_there_and_the_rest_stays_where_it_is() -> None:
    triangle = ((10.0, 10.0), (10.0, 90.0), (-30.0, 50.0))
    inside = clipped(triangle, 200, 100)
    assert {point for point in inside if point[0] == 0.0} == {(0.0, 20.0), (0.0, 80.0)}
    star = ((-20.0, 20.0), (60.0, -30.0), (130.0, 90.0), (90.0, 230.0), (50.0, 100.0), (20.0, 240.0))
    for outline in (triangle, star):
        part = clipped(outline, 200, 100)
        assert all(0 <= x <= 100 and 0 <= y <= 200 for x, y in part)
        assert np.array_equal(mask_of([part], (200, 100)), mask_of([outline], (200, 100)))
    assert clipped(((-9.0, 1.0), (-1.0, 1.0), (-1.0, 9.0)), 200, 100) == ()


def test_a_mask_is_the_pixels_whose_middles_are_within() -> None:
    assert mask_of([((1.0, 1.0), (3.0, 1.0), (3.0, 2.0), (1.0, 2.0))], (4, 4)).tolist() == [
        [False, False, False, False],
        [False, True, True, False],
        [False, False, False, False],
        [False, False, False, False],
    ]
    assert mask_of([((-9.0, -9.0), (99.0, -9.0), (99.0, 99.0), (-9.0, 99.0))], (4, 5)).all()
    assert not mask_of([((1.6, 1.6), (2.4, 1.6), (2.4, 2.4))], (4, 4)).any()
