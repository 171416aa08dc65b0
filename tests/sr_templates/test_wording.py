"""Words that must not mislead: what a benign finding says of cancer, and what an image without a malignant one says."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from sr_templates.wording import algorithm_words, malignancy_words, numbered_findings, tag_words


@pytest.mark.parametrize(
    ("label", "malignancy", "words"),
    [
        ("malignant", 0.62, "1 malignant, cancer 62 %"),
        ("benign", 0.12, "1 benign, cancer 12 %"),
        ("benign", 0.004, "1 benign, cancer under 1 %"),
        ("benign", 0.0, "1 benign, cancer 0 %"),
        ("malignant", 0.997, "1 malignant, cancer over 99 %"),
        ("malignant", 1.0, "1 malignant, cancer 100 %"),
    ],
)
def test_a_box_is_tagged_with_its_class_and_its_probability_of_cancer(
    label: str, malignancy: float, words: str, factory: SimpleNamespace
) -> None:
    found = factory.finding(label=label, score=1.0, malignancy=malignancy)
    report = factory.study_report((factory.mammogram(1, "R", "CC", findings=(found,)),))
    assert [tag_words(numbered) for numbered in numbered_findings(report)] == [words]


@pytest.mark.parametrize(
    ("labels", "malignancy", "words"),
    [
        (("malignant", "benign"), 0.875, ", cancer 87.5 %"),
        (("benign",), 0.125, ", none predicted malignant, cancer 12.5 %"),
        ((), 0.0, ""),
        ((), None, ""),
    ],
)
def test_an_image_is_as_malignant_as_its_gravest_finding(
    labels: tuple[str, ...], malignancy: float | None, words: str, factory: SimpleNamespace
) -> None:
    findings = tuple(factory.finding(label=label) for label in labels)
    image = factory.mammogram(1, "R", "CC", findings=findings, malignancy=malignancy)
    assert malignancy_words(image, "cancer") == words


def test_the_weights_of_a_model_are_named_once(factory: SimpleNamespace) -> None:
    shipped = factory.detector(name="M", version="0.2.0", weights_sha256="ab" * 32)
    assert algorithm_words(shipped) == "M 0.2.0+abababab"
    trained = factory.detector(name="M", version="0.2.0+abababab", weights_sha256="ab" * 32)
    assert algorithm_words(trained) == "M 0.2.0+abababab"
    assert algorithm_words(factory.detector(name="M", version="0.2.0", weights_sha256=None)) == "M 0.2.0"
