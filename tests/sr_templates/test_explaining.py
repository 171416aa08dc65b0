"""What `explain` says of results, ours and others', is what they say; and no file makes it fail."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from types import SimpleNamespace
from typing import get_args

import pytest
from pydicom import Dataset, dcmread
from pydicom.dataelem import RawDataElement
from pydicom.errors import InvalidDicomError
from pydicom.tag import Tag

from sr_templates.contract import ReplacedResult, ReportedBreast, ReportedImage, ResultKind, StudyReport, plain_variants
from sr_templates.explaining import explain, outline
from sr_templates.reading import MAX_ITEMS, ContentItem, read_tree
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
        factory.mammogram(3, "L", "CC", findings=(factory.finding(40, 80, "benign"),), malignancy=0.125),
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
    assert "Mustermann" not in words(two_views, "heatmap").split("patient withheld")[0]
    assert "Mustermann^Erika" not in words(two_views, "cad_sr")
    assert "patient: Mustermann^Erika, ID P1" in words(two_views, "cad_sr", patient=True)


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


def cad_report(report: StudyReport) -> Dataset:
    (document,) = made(report, "cad_sr")
    return document


def child(parent: Dataset, code_value: str) -> Dataset:
    """First content item of a concept below an item."""
    return next(
        item
        for item in parent.ContentSequence
        if "ConceptNameCodeSequence" in item and item.ConceptNameCodeSequence[0].CodeValue == code_value
    )


def text_item(code_value: str, meaning: str, text: str, relationship: str = "CONTAINS") -> Dataset:
    item, name = Dataset(), Dataset()
    name.CodeValue, name.CodingSchemeDesignator, name.CodeMeaning = code_value, "DCM", meaning
    item.RelationshipType, item.ValueType, item.TextValue = relationship, "TEXT", text
    item.ConceptNameCodeSequence = [name]
    return item


def result_of(lines: list[str]) -> list[str]:
    return [line for line in lines if line.startswith(("Result:", "CAUTION:"))]


def test_the_result_stands_first_with_the_images_and_the_highest_probability(two_views: StudyReport) -> None:
    for kind in ("cad_sr", "measurement_sr"):
        (line,) = result_of(words(two_views, kind).splitlines())
        assert line == (
            "Result: 3 findings (3 Calcification Cluster) on image 1 (R CC), image 2 (R MLO), image 3 (L CC), "
            "highest probability of cancer 87.5 %"
        )


@pytest.mark.parametrize("name", ["all_failed", "not_attempted"])
def test_a_study_that_was_not_analysed_is_never_taken_for_a_negative_one(factory: SimpleNamespace, name: str) -> None:
    for kind in ("cad_sr", "measurement_sr"):
        result, caution = result_of(words(getattr(factory, name)(), kind).splitlines())
        assert result in ("Result: NOT ANALYSED", "Result: ANALYSIS FAILED")
        assert "NOT a negative result" in caution


def test_an_image_that_was_left_out_is_a_caution(factory: SimpleNamespace) -> None:
    for kind in ("cad_sr", "measurement_sr"):
        _, caution = result_of(words(factory.partial(), kind).splitlines())
        assert "not everything was analysed" in caution


def test_all_analysed_and_nothing_found_needs_no_caution(factory: SimpleNamespace) -> None:
    for kind in ("cad_sr", "measurement_sr"):
        assert result_of(words(factory.none_found(), kind).splitlines()) == ["Result: no findings"]


def foreign_measurement_report(*evaluations: Dataset) -> Dataset:
    """A TID 1500 report by someone else, who says what was found by evaluations alone."""
    document, container, name = Dataset(), Dataset(), Dataset()
    document.SOPClassUID = "1.2.840.10008.5.1.4.1.1.88.33"
    document.ValueType = "CONTAINER"
    name.CodeValue, name.CodingSchemeDesignator, name.CodeMeaning = "126000", "DCM", "Imaging Measurement Report"
    document.ConceptNameCodeSequence = [name]
    container.RelationshipType, container.ValueType = "CONTAINS", "CONTAINER"
    title = Dataset()
    title.CodeValue, title.CodingSchemeDesignator, title.CodeMeaning = "C0034375", "UMLS", "Qualitative Evaluations"
    container.ConceptNameCodeSequence, container.ContentSequence = [title], list(evaluations)
    document.ContentSequence = [container]
    return document


def test_a_report_that_finds_by_evaluations_alone_is_not_said_to_find_nothing() -> None:
    suspicious = text_item("X", "BI-RADS", "5, highly suggestive of malignancy")
    lines = explain(foreign_measurement_report(suspicious))
    assert result_of(lines) == ["Result: no measurement groups; see the evaluations below"]
    assert any("highly suggestive" in line for line in lines)
    assert result_of(explain(foreign_measurement_report())) == [
        "Result: no measurement groups, which says nothing of findings"
    ]


def test_a_failed_image_beside_analysed_ones_is_a_caution(factory: SimpleNamespace) -> None:
    failed = factory.mammogram(2, "R", "MLO", outcome="failed", reason="out of memory", display=None)
    report = factory.study_report((factory.mammogram(1, "R", "CC"), failed))
    for kind in ("cad_sr", "measurement_sr"):
        result, caution = result_of(words(report, kind).splitlines())
        assert result == "Result: no findings where it was analysed"
        assert "not everything was analysed" in caution


def test_the_images_of_a_report_are_looked_through_once(
    factory: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However many findings there are: a hostile report may have thousands of both."""
    walked: list[str] = []
    walk = ContentItem.walk

    def counted(item: ContentItem) -> Iterator[ContentItem]:
        walked.append(item.concept_code)
        return walk(item)

    found = tuple(factory.finding(20 + n, 60) for n in range(9))
    report = factory.study_report((factory.mammogram(1, "R", "CC", findings=found),))
    monkeypatch.setattr(ContentItem, "walk", counted)
    for kind in ("cad_sr", "measurement_sr"):
        walked.clear()
        assert words(report, kind).count("centre (") == len(found)
        libraries = walked.count("111028")
        # one walk of the library's own, and one as part of each walk of the whole tree
        assert libraries == 1 + walked.count(walked_root(kind))


def walked_root(kind: str) -> str:
    return {"cad_sr": "111036", "measurement_sr": "126000"}[kind]


def test_a_frame_is_found_before_other_frames_of_its_image(factory: SimpleNamespace) -> None:
    said = words(factory.tomosynthesis(), "cad_sr")
    assert "on image 2 (R CC frame 3), centre" in said
    assert "on image 3 (R CC frame 7), centre" in said


def test_lesions_are_read_with_size_and_who_classified_them(factory: SimpleNamespace) -> None:
    (made,) = make_objects(factory.ultrasound_lesions(), plain_variants("measurement_sr"))
    lines = explain(dcmread(BytesIO(made.content)))
    assert "Finding 3: L US 2, frame 12, predicted malignant: Lesion" in lines
    assert "  Probability of cancer: 81.25 %, by us-malignancy 0.1.0" in lines
    assert "  Long axis: 2.4 mm" in lines
    assert "  Predicted probability of HER2-positive: 25 %" in lines
    assert "  by us-segmentation 0.1.0" in lines


def test_every_kind_of_report_is_read_without_a_part_that_could_not_be(case: tuple[str, StudyReport]) -> None:
    _, report = case
    for item in make_objects(report, plain_variants(*get_args(ResultKind))):
        said = "\n".join(explain(dcmread(BytesIO(item.content), stop_before_pixels=True)))
        assert "could be read" not in said
        assert item.sop_instance_uid in said


def test_a_summary_that_findings_contradict_is_a_caution(two_views: StudyReport, factory: SimpleNamespace) -> None:
    found, nothing = cad_report(two_views), cad_report(factory.none_found())
    codes = [child(document, "111017").ConceptCodeSequence[0] for document in (found, nothing)]
    codes[0].CodeValue, codes[1].CodeValue = codes[1].CodeValue, codes[0].CodeValue
    assert "the summary says that there are no findings, but there are" in "\n".join(explain(found))
    result, caution = result_of(explain(nothing))
    assert result == "Result: UNKNOWN: no findings in what could be read"
    assert "none can be read" in caution


def test_findings_that_are_cut_off_or_damaged_are_not_taken_for_none(two_views: StudyReport) -> None:
    document = cad_report(two_views)
    damaged = RawDataElement(Tag("ContentSequence"), "SQ", 40, b"garbage", 0, False, True)
    child(document, "111017")._dict[damaged.tag] = damaged
    lines = result_of(explain(document))
    assert lines[0] == "Result: UNKNOWN: no findings in what could be read"
    assert any("findings may be missing" in line for line in lines)


def test_a_file_that_breaks_off_says_so(two_views: StudyReport) -> None:
    whole = make_objects(two_views, plain_variants("cad_sr"))[0].content
    for tenths in (5, 7, 9):
        lines = explain(dcmread(BytesIO(whole[: len(whole) * tenths // 10])))
        assert any("findings may be missing" in line for line in lines), tenths


def test_a_library_too_large_to_read_does_not_hide_that_findings_follow(two_views: StudyReport) -> None:
    document = cad_report(two_views)
    child(document, "111028").ContentSequence.extend(text_item("1", "filler", "x") for _ in range(MAX_ITEMS))
    lines = result_of(explain(document))
    assert lines[0] == "Result: UNKNOWN: no findings in what could be read"
    assert any("were not read" in line for line in lines)


def test_words_that_no_template_foresees_are_told_as_well(two_views: StudyReport) -> None:
    document = cad_report(two_views)
    document.ContentSequence.append(text_item("121106", "Comment", "seen by the root"))
    impression = child(child(document, "111017"), "111034")
    impression.ContentSequence.append(text_item("111033", "Impression Description", "seen below"))
    lines = explain(document)
    told = lines[lines.index("Also in this report:") :]
    assert told[1:] == ["  Comment: seen by the root", "  Impression Description: seen below"]


def test_the_device_that_observed_is_named(two_views: StudyReport) -> None:
    assert "  Device Observer Name: NODE1" in words(two_views, "measurement_sr").splitlines()


@pytest.mark.parametrize("root_code", ["111036", "126000", "121111"])
def test_the_subject_in_the_tree_is_withheld_like_the_patient_in_the_header(
    two_views: StudyReport, root_code: str
) -> None:
    document = made(two_views, "measurement_sr")[0]
    document.ConceptNameCodeSequence[0].CodeValue = root_code
    subject = [text_item("121030", "Subject ID", "HIDDEN-ID"), text_item("121106", "Comment", "P1")]
    document.ContentSequence.extend(subject)
    hidden = [*explain(document), *outline(document)]
    assert not any("HIDDEN-ID" in line or line.endswith(": P1") for line in hidden)
    shown = outline(document, patient=True)
    assert {"  Subject ID: HIDDEN-ID", "  Comment: P1"} <= set(shown)


def test_a_series_named_after_the_patient_is_not_told(two_views: StudyReport) -> None:
    document = made(two_views, "measurement_sr")[0]
    document.SeriesDescription = "CAD of MUSTERMANN, Erika"
    assert '"CAD of withheld, withheld"' in explain(document)[0]
    assert '"CAD of MUSTERMANN, Erika"' in explain(document, patient=True)[0]


def test_a_line_break_in_a_value_cannot_pass_for_our_own_words(two_views: StudyReport) -> None:
    document = made(two_views, "measurement_sr")[0]
    forged = "AI\nResult: no findings"
    document.ManufacturerModelName = forged
    child(document.ContentSequence[-1], "121106").TextValue = forged
    child(child(document, "126010"), "125007").ContentSequence.append(text_item("121106", "Comment", forged))
    assert len([line for line in explain(document) if line.startswith("Result:")]) == 1
    assert all(line.isprintable() for line in explain(document))


def test_a_value_representation_that_is_none_does_not_end_the_reading(two_views: StudyReport) -> None:
    whole = make_objects(two_views, plain_variants("cad_sr"))[0].content
    unknown = whole.replace(b"\x40\x00\x60\xa1UT", b"\x40\x00\x60\xa1U\x81")
    assert unknown != whole
    lines = explain(dcmread(BytesIO(unknown)))
    assert any("findings may be missing" in line for line in lines)


def test_a_capture_that_states_no_derivation_is_not_called_an_input(two_views: StudyReport) -> None:
    capture = made(two_views, "heatmap")[0]
    del capture.DerivationDescription
    said = "\n".join(explain(capture))
    assert "does not say what it was derived from" in said
    assert "no result" not in said


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


@pytest.mark.shared
def test_undamaged_files_of_others_are_not_called_damaged(shared_dir: Path) -> None:
    folders = (shared_dir / "examples", shared_dir / "data" / "dicom" / "odd", shared_dir / "data" / "dicom" / "us")
    paths = [path for folder in folders for path in sorted(folder.rglob("*.dcm"))]
    assert len(paths) > 20
    for path in paths:
        lines = [*explain(dcmread(path, stop_before_pixels=True)), *outline(dcmread(path, stop_before_pixels=True))]
        assert not any("CAUTION" in line and "could be read" in line for line in lines), path
        assert all(line.isprintable() for line in lines), path
