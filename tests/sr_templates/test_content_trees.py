"""What the validators do not see: order of items, summaries against findings, coordinates, references."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import pytest

from sr_templates.content import closed_outline_px
from sr_templates.contract import ReportedBreast, ResultVariant, StudyReport
from tests.sr_templates.content_tree import at, children, name, number, only, texts, tree, tree_of, value, walk

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
        assert number(only(item, "111047")) == pytest.approx(100 * source.malignancy)


def test_a_box_is_clipped_to_its_image(factory: SimpleNamespace) -> None:
    image = factory.mammogram(1, "R", "CC", findings=(factory.finding(box_px=(-5.0, 10.0, 500.0, 900.0)),))
    root = tree(factory.study_report((image,)), "cad_sr")
    outline = only(root, "111017", "111034", "111059", "111041")
    assert list(outline.GraphicData)[:6] == [0, 10, 120, 10, 120, 160]


# all but the last touch an edge of the image, of which a rounded box may miss by less than a pixel
EDGE_BOXES = [
    (-3.0, -4.0, 0.25, 20.0),
    (-0.5, 10.0, 0.0, 30.0),
    (119.99999999, 159.9, 120.0, 160.0),
    (120.0, 10.0, 120.6, 30.0),
    (10.0, 160.2, 30.0, 160.9),
    (50.0, 60.0, 50.0, 60.0),
]


@pytest.mark.parametrize("kind", ["cad_sr", "measurement_sr"])
@pytest.mark.parametrize("box", EDGE_BOXES)
def test_an_outline_is_closed_has_an_area_and_lies_in_the_image(
    factory: SimpleNamespace, kind: str, box: tuple[float, float, float, float]
) -> None:
    image = factory.mammogram(1, "R", "CC", findings=(factory.finding(box_px=box),))
    items = list(walk(tree(factory.study_report((image,)), kind)))
    (data,) = [list(item.GraphicData) for item in items if name(item) in {"111041", "111030"}]
    corners = list(zip(data[::2], data[1::2], strict=True))
    assert len(corners) == 5
    assert corners[0] == corners[-1]
    (left, top), (right, bottom) = corners[0], corners[2]
    assert 0 <= left <= right - 1 <= 119
    assert 0 <= top <= bottom - 1 <= 159
    for center in (item.GraphicData for item in items if name(item) == "111010"):
        assert left < center[0] < right
        assert top < center[1] < bottom


@pytest.mark.parametrize("kind", ["cad_sr", "measurement_sr"])
@pytest.mark.parametrize(
    "box",
    [
        (130.0, 10.0, 150.0, 30.0),
        (10.0, -40.0, 30.0, -2.0),
        (30.0, 10.0, 10.0, 30.0),
        (10.0, float("nan"), 30.0, 30.0),
        (10.0, 10.0, 30.0, float("inf")),
    ],
)
def test_a_box_that_is_not_on_its_image_is_never_drawn_somewhere_else(
    factory: SimpleNamespace, kind: str, box: tuple[float, float, float, float]
) -> None:
    image = factory.mammogram(1, "R", "CC", findings=(factory.finding(), factory.finding(box_px=box)))
    with pytest.raises(ValueError, match="outside of its image"):
        tree(factory.study_report((image,)), kind)


@pytest.mark.parametrize("box", [(5.0, 5.0, 5.0, 9.0), (5.0, 9.0, 7.0, 9.0), (5000.0, 5.0, 5000.0001, 9.0)])
def test_an_outline_without_an_area_cannot_be_made(box: tuple[float, float, float, float]) -> None:
    with pytest.raises(ValueError, match="area"):
        closed_outline_px(box)


def tomosynthesis(factory: SimpleNamespace) -> StudyReport:
    header = factory.mammogram_header(1, "R", "CC", SOPClassUID="1.2.840.10008.5.1.4.1.1.13.1.3", NumberOfFrames=20)
    found = (factory.finding(frame_number=9), factory.finding(60, 20, frame_number=7))
    report: StudyReport = factory.study_report((factory.mammogram(1, "R", "CC", header=header, findings=found),))
    return report


def test_each_frame_with_a_finding_has_its_own_library_entry(factory: SimpleNamespace) -> None:
    root = tree(tomosynthesis(factory), "cad_sr")
    frames = [i.ReferencedSOPSequence[0].get("ReferencedFrameNumber") for i in children(only(root, "111028"))]
    assert frames == [None, 7, 9]
    findings = children(only(root, "111017", "111034"), "111059")
    for finding, frame in zip(findings, (9, 7), strict=True):
        for code in ("111010", "111041"):
            position = children(only(finding, code))[0].ReferencedContentItemIdentifier
            assert at(root, position).ReferencedSOPSequence[0].ReferencedFrameNumber == frame
    performed = only(root, "111064", "111063", "111022")
    detected = [c.ReferencedContentItemIdentifier for c in children(performed) if "ValueType" not in c]
    assert [list(position) for position in detected] == [[1, 2, 1]], "the image was searched, not some frames of it"


def test_a_region_of_the_measurement_report_names_its_frame(factory: SimpleNamespace) -> None:
    groups = children(only(tree(tomosynthesis(factory), "measurement_sr"), "126010"), "125007")
    images = [only(group, "111030").ContentSequence[0].ReferencedSOPSequence[0] for group in groups]
    assert [image.ReferencedFrameNumber for image in images] == [9, 7]


def test_items_of_a_single_image_finding_stand_in_the_order_of_the_template(factory: SimpleNamespace) -> None:
    item = only(tree(factory.one_view(), "cad_sr"), "111017", "111034", "111059")
    parameters = ["111002"] * 4
    expected = ["111056", "112039", "112040", "111001", "111003", *parameters, "111012", "111047"]
    assert [name(child) for child in children(item)] == [*expected, "111010", "111041", "111008"]


def test_calcifications_are_counted_where_the_algorithm_counts_them(factory: SimpleNamespace) -> None:
    found = (factory.finding(calcification_count=12), factory.finding(60, 20))
    report = factory.study_report((factory.mammogram(1, "R", "CC", findings=found),))
    counted, uncounted = children(only(tree(report, "cad_sr"), "111017", "111034"), "111059")
    groups = children(only(tree(report, "measurement_sr"), "126010"), "125007")
    for item in (counted, groups[0]):
        measured = only(item, "111038").MeasuredValueSequence[0]
        assert measured.NumericValue == 12
        assert measured.MeasurementUnitsCodeSequence[0].CodeValue == "1"
    assert not children(counted, "111008")
    assert value(only(uncounted, "111008")) == "129766004"
    assert not [item for item in (uncounted, groups[1]) if children(item, "111038")]


@pytest.mark.parametrize("kind", ["cad_sr", "measurement_sr"])
def test_the_second_opinion_is_told_and_that_it_decides_nothing(factory: SimpleNamespace, kind: str) -> None:
    classifier = factory.detector(name="SPPNet", task="classification")
    asked, not_asked = factory.mammogram(1, "R", "CC", second_opinion=0.1234), factory.mammogram(2, "L", "CC")
    root = tree(factory.study_report((asked, not_asked), algorithms=(factory.detector(), classifier)), kind)
    told = [line for line in texts(root).splitlines() if "second opinion" in line]
    assert len(told) == 1
    assert told[0].startswith("R CC: Analysed")
    assert "second opinion (SPPNet, whole image): malignant 12.3 %; it decides nothing [" in told[0]
    assert not [item for item in walk(root) if name(item) == "125007"]


def test_an_algorithm_that_was_not_attempted_is_not_mentioned_among_those_performed(factory: SimpleNamespace) -> None:
    second = factory.detector(name="Second", status="not_attempted", weights_sha256=None, reason="no weights installed")
    root = tree(factory.study_report(factory.four_views(), algorithms=(factory.detector(), second)), "cad_sr")
    assert value(only(root, "111064")) == "111222"
    assert only(root, "111064", "111063", "111022", "111001").TextValue == "FPNNet"
    assert value(only(root, "111017")) == "111243", "not all algorithms succeeded"


@pytest.mark.parametrize(
    ("classifier", "status", "containers"),
    [
        ("succeeded", "111222", ["111062"]),
        ("partially_succeeded", "111223", ["111062", "111024"]),
        ("failed", "111223", ["111062", "111024"]),
        ("not_attempted", "111222", ["111062"]),
    ],
)
def test_the_breast_rule_is_an_analysis_beside_the_classifier(
    factory: SimpleNamespace, classifier: str, status: str, containers: list[str]
) -> None:
    left = ReportedBreast(laterality="L", status="no_calcification", confidence=None, views=("CC", "MLO"))
    right = ReportedBreast(laterality="R", status="not_analysed", confidence=None, views=())
    algorithms = (factory.detector(), factory.detector(name="SPPNet", task="classification", status=classifier))
    root = tree(factory.study_report(factory.four_views(), algorithms=algorithms, breasts=(left, right)), "cad_sr")
    analyses = only(root, "111065")
    assert value(analyses) == status
    assert [name(child) for child in children(analyses)] == containers
    performed = children(only(analyses, "111062"), "111004")
    assert only(performed[-1], "111001").TextValue == "FPNNet breast rule"
    positions = [child.ReferencedContentItemIdentifier for child in children(performed[-1]) if "ValueType" not in child]
    assert [list(position) for position in positions] == [[1, 2, 2], [1, 2, 4]], "the images of the left breast"


def test_the_breast_rule_lacks_the_images_that_were_not_analysed(factory: SimpleNamespace) -> None:
    left = ReportedBreast(laterality="L", status="no_calcification", confidence=None, views=("CC",))
    report = factory.partial()
    root = tree(replace(report, breasts=(left,)), "cad_sr")
    assert value(only(root, "111065")) == value(only(root, "111064")) == "111223"
    for container, expected in (("111062", [[1, 2, 2]]), ("111024", [[1, 2, 4]])):
        performed = only(root, "111065", container, "111004")
        positions = [child.ReferencedContentItemIdentifier for child in children(performed) if "ValueType" not in child]
        assert [list(position) for position in positions] == expected


def test_both_forms_of_the_measurement_report_hold_the_same_tree(factory: SimpleNamespace) -> None:
    report = factory.with_findings()
    space = tree_of(report, ResultVariant(kind="measurement_sr"))
    plain = tree_of(report, ResultVariant(kind="measurement_sr", sr_class="comprehensive"))
    assert space.SOPClassUID == "1.2.840.10008.5.1.4.1.1.88.34"
    assert plain.SOPClassUID == "1.2.840.10008.5.1.4.1.1.88.33"
    assert space.SOPInstanceUID != plain.SOPInstanceUID
    assert space.SeriesInstanceUID != plain.SeriesInstanceUID
    assert space.ContentSequence == plain.ContentSequence


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
    assert "0 calcification findings" in texts(root)


def test_breast_status_is_a_private_prediction_never_a_diagnosis(factory: SimpleNamespace) -> None:
    evaluations = only(tree(factory.with_findings(), "measurement_sr"), "C0034375")
    right = only(evaluations, "BREAST_STATUS_R").ConceptCodeSequence[0]
    assert right.CodingSchemeDesignator == "99MAMMONODE"
    assert "Predicted" in right.CodeMeaning
    assert value(only(evaluations, "BREAST_STATUS_L")) == "NO_CALCIFICATION"


def test_reasons_are_words_in_the_tree_of_both_reports(factory: SimpleNamespace) -> None:
    report = factory.not_attempted()
    for kind in ("cad_sr", "measurement_sr"):
        told = texts(tree(report, kind))
        assert "NOT ANALYSED: no weights installed" in told
        assert "not attempted, no weights installed" in told


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
