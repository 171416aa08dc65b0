"""Composite features: what the breast rule inferred from two views, and nothing more than that."""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace

import pytest
from pydicom import Dataset

from models.contract import Detection
from pipelines.mammography.breast_rule import breast_status, view_evidence
from sr_templates.contract import ReplacedResult, ReportedBreast, ReportedFinding, ResultVariant, StudyReport
from sr_templates.registry import make_objects
from tests.sr_templates.content_tree import at, children, name, number, only, texts, tree, value, walk
from tests.sr_templates.test_validators import pixelmed_messages, program, run

VARIANTS = (
    ResultVariant(kind="cad_sr"),
    ResultVariant(kind="measurement_sr"),
    ResultVariant(kind="measurement_sr", sr_class="comprehensive"),
)


def breast(side: str = "R", status: str = "malignant", confidence: float = 0.9) -> ReportedBreast:
    return ReportedBreast(
        laterality=side,  # type: ignore[arg-type]  # literals in the tests
        status=status,  # type: ignore[arg-type]  # as above
        confidence=confidence,
        views=("CC", "MLO"),
    )


def scored(factory: SimpleNamespace, label: str, score: float, **changes: object) -> ReportedFinding:
    """A finding with the probability `score` of its label, and a little of the other."""
    malignancy = score if label == "malignant" else 0.04
    found: ReportedFinding = factory.finding(label=label, score=score + 0.04, malignancy=malignancy, **changes)
    return found


def right_breast(
    factory: SimpleNamespace, cc: Sequence[ReportedFinding], mlo: Sequence[ReportedFinding], *breasts: ReportedBreast
) -> StudyReport:
    images = (
        factory.mammogram(1, "R", "CC", findings=tuple(cc)),
        factory.mammogram(2, "R", "MLO", findings=tuple(mlo)),
    )
    report: StudyReport = factory.study_report(images, breasts=breasts)
    return report


def composites(root: Dataset) -> list[Dataset]:
    return [item for item in walk(root) if name(item) == "111015"]


def titles(items: Sequence[Dataset]) -> list[str]:
    return [only(item, "112039").TextValue for item in items]


def malignant_in_both(factory: SimpleNamespace) -> StudyReport:
    cc = [scored(factory, "malignant", 0.6), scored(factory, "malignant", 0.9), scored(factory, "benign", 0.95)]
    return right_breast(factory, cc, [scored(factory, "malignant", 0.7)], breast())


def test_a_composite_holds_the_gravest_finding_of_each_view_and_stands_alone(factory: SimpleNamespace) -> None:
    root = tree(malignant_in_both(factory), "cad_sr")
    first, second = children(only(root, "111017"), "111034")
    composite = only(first, "111015")
    assert titles([composite]) == ["Right breast, findings 2 and 4: predicted malignant"]
    assert titles(children(composite, "111059")) == [
        "Finding 2: R CC, predicted malignant",
        "Finding 4: R MLO, predicted malignant",
    ]
    assert titles(children(second, "111059")) == [
        "Finding 1: R CC, predicted malignant",
        "Finding 3: R CC, predicted benign",
    ]
    assert not children(second, "111015")


def test_items_of_a_composite_stand_in_the_order_of_the_template(factory: SimpleNamespace) -> None:
    (composite,) = composites(tree(malignant_in_both(factory), "cad_sr"))
    parameters = [("HAS PROPERTIES", "111002")] * 5
    assert composite.RelationshipType == "CONTAINS"
    assert value(composite) == "129769006"
    assert [(child.RelationshipType, name(child)) for child in children(composite)] == [
        ("HAS CONCEPT MOD", "111056"),
        ("HAS OBS CONTEXT", "112039"),
        ("HAS OBS CONTEXT", "112040"),
        ("HAS PROPERTIES", "111016"),
        ("HAS PROPERTIES", "111057"),
        ("HAS PROPERTIES", "111001"),
        ("HAS PROPERTIES", "111003"),
        *parameters,
        ("HAS PROPERTIES", "111011"),
        ("HAS PROPERTIES", "111047"),
        ("INFERRED FROM", "111059"),
        ("INFERRED FROM", "111059"),
    ]
    assert value(only(composite, "111016")) == "111154"
    assert value(only(composite, "111057")) == "111158"


def test_a_composite_is_the_work_of_the_rule_which_matches_no_findings(factory: SimpleNamespace) -> None:
    root = tree(malignant_in_both(factory), "cad_sr")
    (composite,) = composites(root)
    assert only(composite, "111001").TextValue == "FPNNet breast rule"
    assert any("not matched between views" in item.TextValue for item in children(composite, "111002"))
    performed = only(root, "111065", "111062", "111004")
    assert only(performed, "111001").TextValue == "FPNNet breast rule"


def test_a_malignant_composite_has_the_confidence_of_the_breast_as_probability_of_cancer(
    factory: SimpleNamespace,
) -> None:
    (composite,) = composites(tree(malignant_in_both(factory), "cad_sr"))
    assert number(only(composite, "111011")) == pytest.approx(94)
    assert number(only(composite, "111047")) == pytest.approx(90)
    assert value(only(composite, "111056")) == "111150"


def test_a_benign_composite_has_a_probability_of_cancer_that_the_detector_gave(factory: SimpleNamespace) -> None:
    cc, mlo = [scored(factory, "benign", 0.8)], [scored(factory, "benign", 0.6)]
    report = right_breast(factory, cc, mlo, breast(status="benign", confidence=0.8))
    (composite,) = composites(tree(report, "cad_sr"))
    assert number(only(composite, "111011")) == pytest.approx(84)
    assert number(only(composite, "111047")) == pytest.approx(4)
    assert value(only(composite, "111056")) == "111151"


NO_COMPOSITE = {
    "one view only": (["malignant"], [], "malignant"),
    "another status in the other view": (["malignant"], ["benign"], "malignant"),
    "benign beside malignant in one view": (["malignant", "benign"], ["benign"], "benign"),
    "two findings in one view": (["benign", "benign"], [], "benign"),
    "none": ([], [], "no_calcification"),
}


@pytest.mark.parametrize("case_name", sorted(NO_COMPOSITE))
def test_what_one_view_decides_is_no_composite(factory: SimpleNamespace, case_name: str) -> None:
    cc, mlo, status = NO_COMPOSITE[case_name]
    cc_found, mlo_found = ([scored(factory, label, 0.4) for label in labels] for labels in (cc, mlo))
    root = tree(right_breast(factory, cc_found, mlo_found, breast(status=status)), "cad_sr")
    assert composites(root) == []
    findings = [item for item in walk(root) if name(item) == "111059"]
    assert [item.RelationshipType for item in findings] == ["CONTAINS"] * len([*cc, *mlo])


def test_findings_of_the_other_breast_never_join(factory: SimpleNamespace) -> None:
    right = factory.mammogram(1, "R", "CC", findings=(scored(factory, "malignant", 0.9),))
    left = factory.mammogram(2, "L", "MLO", findings=(scored(factory, "malignant", 0.9),))
    report = factory.study_report((right, left), breasts=(breast("L"), breast("R")))
    assert composites(tree(report, "cad_sr")) == []


def test_without_a_status_of_the_breast_there_is_no_composite(factory: SimpleNamespace) -> None:
    found = [scored(factory, "malignant", 0.9)]
    assert composites(tree(right_breast(factory, found, found), "cad_sr")) == []


def test_numbers_and_tracking_uids_are_those_of_the_measurement_report(factory: SimpleNamespace) -> None:
    report = complete(factory)
    cad, measured = (
        {
            only(item, "112040").UID: only(item, "112039").TextValue
            for item in walk(tree(report, kind))
            if name(item) == code
        }
        for kind, code in (("cad_sr", "111059"), ("measurement_sr", "125007"))
    )
    assert cad == measured
    assert len(cad) == sum(len(image.findings) for image in report.images)
    own = [only(item, "112040").UID for item in composites(tree(report, "cad_sr"))]
    assert len({*own, *cad}) == len(cad) + 2


def test_the_composite_agrees_with_the_rule_of_the_pipeline(factory: SimpleNamespace) -> None:
    """The templates do not know the rule: over many breasts, both take the same findings for decisive."""
    chance = random.Random(4)
    seen = {True: 0, False: 0}
    for _ in range(60):
        views = [
            [
                scored(factory, chance.choice(("malignant", "benign")), round(chance.uniform(0.05, 0.95), 3))
                for _ in range(chance.randrange(3))
            ]
            for _ in range(2)
        ]
        evidence = [
            view_evidence(
                view, (Detection(box_px=f.box_px, label=f.label, score=f.score, malignancy=f.malignancy) for f in found)
            )
            for view, found in zip(("CC", "MLO"), views, strict=True)
        ]
        status, confidence = breast_status(evidence)
        agreeing = [view.probability for view in evidence if view.status == status]
        report = right_breast(factory, *views, breast(status=status, confidence=confidence or 0.0))
        made = composites(tree(report, "cad_sr"))
        assert len(made) == (1 if len(agreeing) == 2 else 0)
        seen[bool(made)] += 1
        for composite in made:
            deciding = children(composite, "111059")
            certainties, cancers = ([number(only(item, code)) for item in deciding] for code in ("111012", "111047"))
            of_label = cancers if status == "malignant" else [c - m for c, m in zip(certainties, cancers, strict=True)]
            assert of_label == pytest.approx([100 * p for p in agreeing if p is not None])
            assert number(only(composite, "111011")) == pytest.approx(max(certainties))
            assert number(only(composite, "111047")) == pytest.approx(max(cancers))
    assert min(seen.values()) > 5


def complete(factory: SimpleNamespace) -> StudyReport:
    """A second revision with all that a tree can hold: composites, frames, counts, opinions, both kinds of summary."""
    header = factory.mammogram_header(1, "R", "CC", SOPClassUID="1.2.840.10008.5.1.4.1.1.13.1.3", NumberOfFrames=40)
    slices = (
        scored(factory, "malignant", 0.9, frame_number=31, calcification_count=7),
        scored(factory, "malignant", 0.5, frame_number=12),
    )
    images = (
        factory.mammogram(1, "R", "CC", header=header, findings=slices, second_opinion=0.25),
        factory.mammogram(2, "L", "CC", findings=(scored(factory, "benign", 0.7),), second_opinion=0.5),
        factory.mammogram(3, "R", "MLO", findings=(scored(factory, "malignant", 0.6), scored(factory, "benign", 0.4))),
        factory.mammogram(4, "L", "MLO", findings=(scored(factory, "benign", 0.8),)),
        factory.mammogram(5, "L", "ML", outcome="not_analysed", reason="not a screening view", display=None),
    )
    classifier = factory.detector(name="SPPNet", task="classification", status="partially_succeeded", reason="1 of 4")
    replaced = tuple(
        ReplacedResult(
            variant=variant.name,
            revision=1,
            sop_class_uid=variant.sop_class_uid,
            sop_instance_uid=f"2.25.{index}",
            series_instance_uid=f"2.25.9{index}",
        )
        for index, variant in enumerate(VARIANTS, start=1)
    )
    report: StudyReport = factory.study_report(
        images,
        revision=2,
        replaces=replaced,
        algorithms=(factory.detector(), classifier),
        breasts=(breast("L", "benign", 0.8), breast("R", "malignant", 0.9)),
    )
    return report


def test_each_breast_has_its_composite_and_each_finding_one_place(factory: SimpleNamespace) -> None:
    root = tree(complete(factory), "cad_sr")
    assert titles(composites(root)) == [
        "Left breast, findings 3 and 6: predicted benign",
        "Right breast, findings 1 and 4: predicted malignant",
    ]
    numbers = [title.split(":")[0] for title in titles([item for item in walk(root) if name(item) == "111059"])]
    assert sorted(numbers) == [f"Finding {number}" for number in range(1, 7)]
    for item in walk(root):
        if "ReferencedContentItemIdentifier" in item:
            assert at(root, item.ReferencedContentItemIdentifier).ValueType == "IMAGE"
    assert "second opinion (SPPNet, whole image): malignant 25.0 %" in texts(root)


@pytest.mark.peer
def test_validators_find_nothing_in_reports_with_all_of_it(factory: SimpleNamespace, tmp_path: Path) -> None:
    paths = []
    for made in make_objects(complete(factory), frozenset(VARIANTS)):
        path = tmp_path / f"{made.variant.name.replace(' ', '_')}.dcm"
        path.write_bytes(made.content)
        paths.append(path)
    assert len(paths) == 3
    for path in paths:
        complaints = run(program("dciodvfy"), str(path)).splitlines()
        assert [line for line in complaints if line.startswith("Error")] == []
        read = run(program("dsrdump"), "+Pc", str(path))
        assert "CONTAINER:(" in read
        assert [line for line in read.splitlines() if line.startswith(("E:", "F:"))] == []
    assert {name: lines for name, lines in pixelmed_messages(paths, tmp_path).items() if lines} == {}
