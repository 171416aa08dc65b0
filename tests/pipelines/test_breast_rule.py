from __future__ import annotations

from typing import Any

import pytest

from models.contract import Detection
from pipelines.mammography.breast_rule import ViewEvidence, breast_status, image_malignancy, view_evidence


def box(label: Any, score: float, malignancy: float) -> Detection:
    return Detection(box_px=(0, 0, 1, 1), label=label, score=score, malignancy=malignancy)


def view(malignant: float | None = None, benign: float | None = None) -> ViewEvidence:
    return ViewEvidence(view="CC", malignant=malignant, benign=benign)


NOTHING = view()
CASES: list[tuple[str, list[ViewEvidence], tuple[Any, Any]]] = [
    # The paper's.
    ("both malignant: the higher probability", [view(0.6), view(0.9)], ("malignant", 0.9)),
    ("both benign: the higher probability", [view(benign=0.4), view(benign=0.7)], ("benign", 0.7)),
    ("they disagree, p above one half", [view(0.51), view(benign=0.99)], ("malignant", 0.51)),
    ("they disagree, p at one half", [view(0.5), view(benign=0.8)], ("benign", 0.8)),
    ("they disagree, p below one half", [view(benign=0.35), view(0.45)], ("benign", 0.35)),
    ("benign boxes beside a malignant one count for nothing", [view(0.4, 0.9), view(0.35)], ("malignant", 0.4)),
    ("the benign view's own probability is taken", [view(0.4, 0.9), view(benign=0.6)], ("benign", 0.6)),
    # Open in the paper.
    ("one view, malignant", [view(0.35)], ("malignant", 0.35)),
    ("one view, benign", [view(benign=0.6)], ("benign", 0.6)),
    ("one view without a box", [NOTHING], ("no_calcification", None)),
    ("neither view has a box", [NOTHING, NOTHING], ("no_calcification", None)),
    ("silence does not overrule a malignant box", [view(0.35), NOTHING], ("malignant", 0.35)),
    ("silence does not overrule a benign box", [NOTHING, view(benign=0.4)], ("benign", 0.4)),
    ("no view analysed", [], ("not_analysed", None)),
]


@pytest.mark.parametrize(("views", "expected"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
def test_the_rule(views: list[ViewEvidence], expected: tuple[str, float | None]) -> None:
    assert breast_status(views) == expected
    assert breast_status(list(reversed(views))) == expected


def test_a_view_counts_its_highest_boxes_over_all_of_its_images() -> None:
    found = view_evidence(
        "MLO",
        [box("benign", 0.9, 0.4), box("malignant", 0.4, 0.3), box("malignant", 0.9, 0.6), box("benign", 0.8, 0.1)],
    )
    assert (found.view, found.malignant, found.benign) == ("MLO", 0.6, pytest.approx(0.7))
    assert (found.status, found.probability) == ("malignant", 0.6)
    assert view_evidence("CC", []).status is None


def test_a_cluster_that_is_surely_there_is_no_surer_malignant() -> None:
    """Score 0.95, malignancy 0.48: below one half, so that a benign view prevails."""
    views = [view_evidence("CC", [box("malignant", 0.95, 0.48)]), view_evidence("MLO", [box("benign", 0.9, 0.1)])]
    assert breast_status(views) == ("benign", pytest.approx(0.8))


@pytest.mark.parametrize(
    ("boxes", "malignancy"),
    [
        ((), 0.0),
        ((("malignant", 0.9, 0.6), ("malignant", 0.8, 0.7), ("benign", 0.9, 0.1)), 0.7),
        ((("malignant", 0.4, 0.3), ("benign", 0.9, 0.44)), 0.3),
        ((("benign", 0.9, 0.1), ("benign", 0.5, 0.2)), 0.2),
    ],
    ids=["without a box", "the highest malignant box", "a benign box beside a malignant one", "benign boxes only"],
)
def test_an_image_has_the_malignancy_of_its_malignant_boxes_or_else_of_its_benign_ones(
    boxes: tuple[tuple[Any, float, float], ...], malignancy: float
) -> None:
    assert image_malignancy(box(*values) for values in boxes) == malignancy


@pytest.mark.parametrize(("score", "malignancy"), [(0.5, 0.6), (1.1, 0.5), (0.5, -0.1), (float("nan"), 0.1)])
def test_a_box_whose_probabilities_contradict_each_other_is_refused(score: float, malignancy: float) -> None:
    with pytest.raises(ValueError, match="malignancy"):
        box("malignant", score, malignancy)
