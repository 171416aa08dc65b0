"""Words that must not mislead: what a benign finding says of cancer, and what an image without a malignant one says."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from sr_templates.wording import cancer_words, malignancy_words


def test_a_malignant_finding_has_a_probability(factory: SimpleNamespace) -> None:
    assert cancer_words(factory.finding(), "probability of cancer") == "probability of cancer 87.5 %"


def test_of_a_benign_finding_only_a_bound_is_known(factory: SimpleNamespace) -> None:
    assert cancer_words(factory.finding(label="benign"), "cancer") == "cancer at most 12.5 %"


@pytest.mark.parametrize(
    ("labels", "malignancy", "words"),
    [
        (("malignant", "benign"), 0.875, ", malignant 87.5 %"),
        (("benign",), 0.0, ", none predicted malignant"),
        ((), 0.0, ""),
        ((), None, ""),
    ],
)
def test_an_image_is_as_malignant_as_its_gravest_finding(
    labels: tuple[str, ...], malignancy: float | None, words: str, factory: SimpleNamespace
) -> None:
    findings = tuple(factory.finding(label=label) for label in labels)
    image = factory.mammogram(1, "R", "CC", findings=findings, malignancy=malignancy)
    assert malignancy_words(image, "malignant") == words
