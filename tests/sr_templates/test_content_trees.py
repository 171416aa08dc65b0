"""What the validators do not see: order of items, summaries against findings, coordinates, references."""

from __future__ import annotations

from collections.abc import Iterator
from io import BytesIO
from types import SimpleNamespace

import pytest
from pydicom import Dataset, dcmread

from sr_templates.contract import StudyReport, plain_variants
from sr_templates.registry import make_objects


def tree(report: StudyReport, kind: str) -> Dataset:
    (made,) = make_objects(report, plain_variants(kind))  # type: ignore[arg-type]  # the kinds are literals here
    return dcmread(BytesIO(made.content))


def name(item: Dataset) -> str | None:
    return item.ConceptNameCodeSequence[0].CodeValue if "ConceptNameCodeSequence" in item else None


def children(item: Dataset, code: str | None = None) -> list[Dataset]:
    return [child for child in item.get("ContentSequence", []) if code is None or name(child) == code]


def only(item: Dataset, *path: str) -> Dataset:
    for code in path:
        (item,) = children(item, code)
    return item


def walk(item: Dataset) -> Iterator[Dataset]:
    for child in children(item):
        yield child
        yield from walk(child)


def value(item: Dataset) -> str:
    return str(item.ConceptCodeSequence[0].CodeValue)


def at(root: Dataset, position: list[int]) -> Dataset:
    item = root
    for index in list(position)[1:]:
        item = item.ContentSequence[index - 1]
    return item


SUMMARIES = {
    "with_findings": ("111242", "111222", "111222"),
    "none_found": ("111241", "111222", "111225"),
    "partial": ("111243", "111223", "111225"),
    "all_failed": ("111245", "111224", "111225"),
    "not_attempted": ("111245", "111225", "111225"),
    "one_view": ("111242", "111222", "111225"),
}


@pytest.mark.parametrize("name_of_case", sorted(SUMMARIES))
def test_cad_summaries_follow_the_outcome(factory: SimpleNamespace, name_of_case: str) -> None:
    root = tree(getattr(factory, name_of_case)(), "cad_sr")
    assert [name(child) for child in children(root)] == ["121049", "111028", "111017", "111064", "111065"]
    found = tuple(value(only(root, code)) for code in ("111017", "111064", "111065"))
    assert found == SUMMARIES[name_of_case]
    has_findings = any(name(item) == "111059" for item in walk(root))
    assert has_findings == (found[0] in {"111242", "111244"})


def test_a_finding_among_failures_is_not_all_succeeded_with_findings(factory: SimpleNamespace) -> None:
    seen = factory.mammogram(1, "R", "CC", findings=(factory.finding(),))
    missed = factory.mammogram(2, "L", "CC", outcome="failed", reason="corrupt", display=None)
    root = tree(factory.study_report((seen, missed)), "cad_sr")
    assert value(only(root, "111017")) == "111244"
    assert value(only(root, "111064")) == "111223"


def test_successful_and_failed_detections_name_their_images(factory: SimpleNamespace) -> None:
    root = tree(factory.partial(), "cad_sr")
    for code, expected in (("111063", [[1, 2, 1], [1, 2, 2], [1, 2, 3]]), ("111025", [[1, 2, 4]])):
        performed = only(root, "111064", code, "111022")
        references = [c.ReferencedContentItemIdentifier for c in children(performed) if "ValueType" not in c]
        assert [list(reference) for reference in references] == expected


def test_every_reference_of_the_cad_report_ends_at_an_image(factory: SimpleNamespace) -> None:
    root = tree(factory.with_findings(), "cad_sr")
    references = [item for item in walk(root) if "ReferencedContentItemIdentifier" in item]
    assert len(references) >= 4
    for item in references:
        assert "ValueType" not in item
        assert at(root, item.ReferencedContentItemIdentifier).ValueType == "IMAGE"


def test_cad_coordinates_are_those_of_the_box_on_its_image(factory: SimpleNamespace) -> None:
    report = factory.with_findings()
    root = tree(report, "cad_sr")
    findings = children(only(root, "111017", "111034"), "111059")
    assert len(findings) == 2
    for item, source in zip(findings, report.images[0].findings, strict=True):
        x0, y0, x1, y1 = source.box_px
        center, outline = only(item, "111010"), only(item, "111041")
        assert list(center.GraphicData) == [(x0 + x1) / 2, (y0 + y1) / 2]
        assert list(outline.GraphicData) == [x0, y0, x1, y0, x1, y1, x0, y1, x0, y0]
        target = at(root, children(center)[0].ReferencedContentItemIdentifier)
        header = report.images[0].header
        assert target.ReferencedSOPSequence[0].ReferencedSOPInstanceUID == header.SOPInstanceUID
        probability = only(item, "111047").MeasuredValueSequence[0].NumericValue
        assert float(probability) == pytest.approx(100 * source.malignancy)


def test_a_box_is_clipped_to_its_image(factory: SimpleNamespace) -> None:
    image = factory.mammogram(1, "R", "CC", findings=(factory.finding(box_px=(-5.0, 10.0, 500.0, 900.0)),))
    root = tree(factory.study_report((image,)), "cad_sr")
    outline = only(root, "111017", "111034", "111059", "111041")
    assert list(outline.GraphicData)[:6] == [0, 10, 120, 10, 120, 160]


def test_a_frame_with_a_finding_has_its_own_library_entry(factory: SimpleNamespace) -> None:
    header = factory.mammogram_header(1, "R", "CC", SOPClassUID="1.2.840.10008.5.1.4.1.1.13.1.3", NumberOfFrames=20)
    found = factory.finding(frame_number=7)
    report = factory.study_report((factory.mammogram(1, "R", "CC", header=header, findings=(found,)),))
    root = tree(report, "cad_sr")
    frames = [i.ReferencedSOPSequence[0].get("ReferencedFrameNumber") for i in children(only(root, "111028"))]
    assert frames == [None, 7]
    selected = children(only(root, "111017", "111034", "111059", "111041"))[0]
    assert list(selected.ReferencedContentItemIdentifier) == [1, 2, 2]
    region = only(tree(report, "measurement_sr"), "126010", "125007", "111030")
    assert region.ContentSequence[0].ReferencedSOPSequence[0].ReferencedFrameNumber == 7


def test_the_measurement_report_holds_one_closed_region_a_finding(factory: SimpleNamespace) -> None:
    report = factory.with_findings()
    root = tree(report, "measurement_sr")
    assert [name(c) for c in children(root)][-4:] == ["121058", "111028", "126010", "C0034375"]
    groups = children(only(root, "126010"), "125007")
    for group, source in zip(groups, report.images[0].findings, strict=True):
        region = only(group, "111030")
        points = list(region.GraphicData)
        assert region.GraphicType == "POLYLINE"
        assert points[:2] == points[-2:] == list(source.box_px[:2])
        referenced = region.ContentSequence[0].ReferencedSOPSequence[0]
        assert referenced.ReferencedSOPInstanceUID == report.images[0].header.SOPInstanceUID
        assert only(group, "112040").UID


def test_tracking_uids_are_the_same_in_both_reports(factory: SimpleNamespace) -> None:
    report = factory.with_findings()
    cad, measured = (
        [i.UID for i in walk(tree(report, kind)) if name(i) == "112040"] for kind in ("cad_sr", "measurement_sr")
    )
    assert cad == measured
    assert len(set(cad)) == 2


def test_no_findings_means_no_measurement_group_but_a_statement(factory: SimpleNamespace) -> None:
    root = tree(factory.none_found(), "measurement_sr")
    assert not [item for item in walk(root) if name(item) == "125007"]
    assert value(only(root, "C0034375", "OUTCOME")) == "ANALYSED"
    assert any("0 calcification findings" in item.TextValue for item in walk(root) if "TextValue" in item)


def test_breast_status_is_a_private_prediction_never_a_diagnosis(factory: SimpleNamespace) -> None:
    evaluations = only(tree(factory.with_findings(), "measurement_sr"), "C0034375")
    right = only(evaluations, "BREAST_STATUS_R").ConceptCodeSequence[0]
    assert right.CodingSchemeDesignator == "99MAMMONODE"
    assert "Predicted" in right.CodeMeaning
    assert value(only(evaluations, "BREAST_STATUS_L")) == "NO_CALCIFICATION"


def test_reasons_are_words_in_the_tree_of_both_reports(factory: SimpleNamespace) -> None:
    report = factory.not_attempted()
    for kind in ("cad_sr", "measurement_sr"):
        texts = " ".join(item.TextValue for item in walk(tree(report, kind)) if "TextValue" in item)
        assert "NOT ANALYSED: no weights installed" in texts
        assert "not attempted, no weights installed" in texts


def test_evidence_lists_every_instance_images_or_not(case: tuple[str, StudyReport]) -> None:
    report = case[1]
    root = tree(report, "measurement_sr")
    expected = {i.header.SOPInstanceUID for i in report.images} | {h.SOPInstanceUID for h, _ in report.other_instances}
    (study,) = root.CurrentRequestedProcedureEvidenceSequence
    assert study.StudyInstanceUID == report.study_instance_uid
    listed = [
        s.ReferencedSOPInstanceUID for series in study.ReferencedSeriesSequence for s in series.ReferencedSOPSequence
    ]
    assert sorted(listed) == sorted(expected)
    assert (root.CompletionFlag, root.VerificationFlag, root.PreliminaryFlag) == (
        "COMPLETE",
        "UNVERIFIED",
        "PRELIMINARY",
    )


def test_code_meanings_and_values_fit_their_vrs(case: tuple[str, StudyReport]) -> None:
    for item in walk(tree(case[1], "measurement_sr")):
        for sequence in ("ConceptNameCodeSequence", "ConceptCodeSequence"):
            for code in item.get(sequence, []):
                assert len(code.CodeValue) <= 16
                assert len(code.CodeMeaning) <= 64
