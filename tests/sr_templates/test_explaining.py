"""What `explain` says of results, ours and others', is what they say; and no file makes it fail."""

from __future__ import annotations

import random
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from types import SimpleNamespace
from typing import get_args

import pytest
from pydicom import Dataset, dcmread
from pydicom.errors import InvalidDicomError

from sr_templates.contract import ReplacedResult, ReportedBreast, ReportedImage, ResultKind, StudyReport, plain_variants
from sr_templates.explaining import explain, outline
from sr_templates.reading import ContentItem, read_tree
from sr_templates.reading_attributes import UNREADABLE, printable
from sr_templates.registry import make_objects


def made(report: StudyReport, kind: ResultKind) -> list[Dataset]:
    objects = make_objects(report, plain_variants(kind))
    return [dcmread(BytesIO(item.content), stop_before_pixels=True) for item in objects]


def words(report: StudyReport, kind: ResultKind, **options: bool) -> str:
    return "\n".join(line for item in made(report, kind) for line in explain(item, **options))


@pytest.fixture
def two_views(factory: SimpleNamespace) -> StudyReport:
    """A malignant finding on both views of the right breast, a benign one on the left."""
    images: tuple[ReportedImage, ...] = (
        factory.mammogram(1, "R", "CC", findings=(factory.finding(20, 60),), malignancy=0.875),
        factory.mammogram(2, "R", "MLO", findings=(factory.finding(30, 40),), malignancy=0.875),
        factory.mammogram(3, "L", "CC", findings=(factory.finding(40, 80, "benign"),), malignancy=0.0),
    )
    breast = ReportedBreast(laterality="R", status="malignant", confidence=0.875, views=("CC", "MLO"))
    report: StudyReport = factory.study_report(images, breasts=(breast,))
    return report


def test_a_cad_report_says_what_was_found_where_and_how_sure(two_views: StudyReport) -> None:
    said = words(two_views, "cad_sr")
    assert "Summary: All algorithms succeeded; with findings" in said
    assert "image 1 (R CC), 0.07 x 0.07 mm a pixel" in said
    finding = said[said.index("Finding 1: R CC, predicted malignant") :]
    assert "on image 1 (R CC), centre (30.0, 72.0) px, 20.0 x 24.0 px (1.4 x 1.7 mm" in finding
    assert "Certainty of Finding: 87.5 %" in finding
    assert "Probability of cancer: 87.5 %" in finding
    assert "by FPNNet 0.1.0" in finding
    assert "FPNNet 0.1.0: weights_sha256=3f3f3f3f3f3f...; nms_threshold=0.3; score_threshold=0.3" in said
    assert "Summary of Detections: Succeeded" in said
    assert "Research use" in said


def test_members_of_a_composite_stand_below_it(two_views: StudyReport) -> None:
    lines = words(two_views, "cad_sr").splitlines()
    start = next(i for i, line in enumerate(lines) if line.startswith("Right breast, findings 1 and 2"))
    members = [line for line in lines[start:] if line.startswith("  Finding ")]
    assert [line.split(":")[0].strip() for line in members] == ["Finding 1", "Finding 2"]


def test_a_measurement_report_says_the_same(two_views: StudyReport) -> None:
    said = words(two_views, "measurement_sr")
    assert "3 measurement groups" in said
    assert "on image 2 (R MLO), centre (40.0, 52.0) px" in said
    assert "Finding Site: Breast, Left" in said
    assert "Right breast calcification status: Predicted malignant calcifications" in said


def test_nothing_analysed_says_why(factory: SimpleNamespace) -> None:
    report: StudyReport = factory.not_attempted()
    for kind in ("cad_sr", "measurement_sr"):
        said = words(report, kind)
        assert "NOT ANALYSED" in said
        assert report.reason in said


def test_captures_and_presentation_states_name_their_source(two_views: StudyReport) -> None:
    uid = two_views.images[0].header["SOPInstanceUID"].value
    assert uid in words(two_views, "heatmap")
    assert uid in words(two_views, "summary")
    said = words(two_views, "presentation_state")
    assert uid in said
    assert "malignant" in said


def test_a_revision_says_what_it_replaces(two_views: StudyReport, factory: SimpleNamespace) -> None:
    first = made(two_views, "cad_sr")[0]
    replaced = ReplacedResult(
        variant="cad_sr",
        revision=1,
        sop_class_uid=first.SOPClassUID,
        sop_instance_uid=first.SOPInstanceUID,
        series_instance_uid=first.SeriesInstanceUID,
    )
    said = words(replace(two_views, revision=2, replaces=(replaced,)), "cad_sr")
    assert f"replaces Mammography CAD SR {first.SOPInstanceUID}" in said


def test_the_patient_is_named_only_on_demand(two_views: StudyReport) -> None:
    assert "Breast" not in words(two_views, "heatmap").split("patient withheld")[0]
    assert "Test^Breast" not in words(two_views, "cad_sr")
    assert "patient: Test^Breast, ID P1" in words(two_views, "cad_sr", patient=True)


def test_what_is_no_result_is_called_so(factory: SimpleNamespace) -> None:
    said = "\n".join(explain(factory.mammogram(1, "R", "CC").header))
    assert "Digital Mammography X-Ray Image" in said
    assert "no result of an analysis" in said


def test_a_reference_to_nowhere_and_to_itself_is_said_and_not_followed() -> None:
    root = Dataset()
    child = Dataset()
    child.RelationshipType, child.ReferencedContentItemIdentifier = "HAS PROPERTIES", [1, 1]
    other = Dataset()
    other.RelationshipType, other.ReferencedContentItemIdentifier = "CONTAINS", [1, 9, 9]
    root.ContentSequence = [child, other]
    assert outline(root)[1:] == [
        "  has properties: item 1.1, which leads back to itself",
        "  contains: item 1.9.9, which is not there",
    ]


def test_depth_and_number_of_items_are_bounded() -> None:
    deep = Dataset()
    for _ in range(200):
        above = Dataset()
        above.ContentSequence = [deep]
        deep = above
    assert depth(read_tree(deep)) <= 32
    wide = Dataset()
    wide.ContentSequence = [Dataset() for _ in range(30_000)]
    assert len(list(read_tree(wide).walk())) <= 20_001


def depth(item: ContentItem) -> int:
    return 1 + max((depth(child) for child in item.children), default=0)


@pytest.mark.parametrize("hostile", ["\x1b[31mred", "a\x07b", "\u202egnihton", "\x9b2J"])
def test_a_terminal_is_never_given_orders(hostile: str) -> None:
    assert all(c.isprintable() or c == "\n" for c in printable(hostile))
    root = Dataset()
    root.ValueType = "CONTAINER"
    item = Dataset()
    item.RelationshipType, item.ValueType, item.TextValue = "CONTAINS", "TEXT", hostile
    root.ContentSequence = [item]
    assert all(line.isprintable() for line in [*outline(root), *explain(root)])


@pytest.mark.filterwarnings("ignore")  # pydicom's, of what it meets
@pytest.mark.parametrize("kind", get_args(ResultKind))
@pytest.mark.parametrize("seed", range(3))
def test_damaged_files_are_read_as_far_as_they_go(kind: ResultKind, seed: int, two_views: StudyReport) -> None:
    random_numbers = random.Random(seed)
    whole = make_objects(two_views, plain_variants(kind))[0].content
    readable = 0
    for _ in range(40):
        damaged = bytearray(whole[: random_numbers.choice((len(whole), random_numbers.randrange(200, len(whole))))])
        for _ in range(random_numbers.randrange(1, 12)):
            damaged[random_numbers.randrange(132, min(len(damaged), 20_000))] = random_numbers.randrange(256)
        try:
            dataset = dcmread(BytesIO(bytes(damaged)), stop_before_pixels=True)
        except (InvalidDicomError, *UNREADABLE):
            continue
        readable += 1
        assert explain(dataset)
        assert outline(dataset)
    assert readable > 10, "else nothing was tried"


@pytest.mark.shared
def test_reports_of_others_are_read(shared_dir: Path) -> None:
    paths = sorted((shared_dir / "data" / "dicom" / "sr-of-others").glob("*.dcm"))
    assert paths
    for path in paths:
        dataset = dcmread(path)
        lines = explain(dataset)
        assert not any("no result" in line for line in lines), path
        assert len(lines) > 8, path
