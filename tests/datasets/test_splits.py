"""Splits by patient: the same for the same seed, fair to each class, and never through a patient."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from pipelines.datasets.manifest import ManifestImage
from pipelines.datasets.splits import split_by_patient, stratum
from tests.datasets.builders import entry, lesion

SHARES = {"train": 0.6, "val": 0.2, "test": 0.2}


def cohort() -> list[ManifestImage]:
    """Two images of each of 50 normal, 20 benign and 10 malignant patients; only one image shows the lesion."""
    images = []
    for number in range(80):
        label = "malignant" if number >= 70 else "benign" if number >= 50 else None
        lesions = () if label is None else (lesion(1, 2, 3, 4, label),)
        images += [
            entry(Path(f"/{number}-cc.png"), patient=f"p{number}", lesions=lesions),
            entry(Path(f"/{number}-mlo.png"), patient=f"p{number}"),
        ]
    return images


def split_of(images: tuple[ManifestImage, ...]) -> dict[str, object]:
    """Split by patient; fails when a patient is in two."""
    found: dict[str, object] = {}
    for image in images:
        assert found.setdefault(image.patient, image.split) == image.split
    return found


def test_the_same_seed_gives_the_same_splits_whatever_the_order_of_the_images() -> None:
    images = cohort()
    first = split_by_patient(images, SHARES, seed=3)
    assert [image.path for image in first] == [image.path for image in images]
    assert split_of(first) == split_of(split_by_patient(images[::-1], SHARES, seed=3))
    assert split_of(first) != split_of(split_by_patient(images, SHARES, seed=4))


def test_each_split_has_its_share_of_normal_benign_and_malignant_patients() -> None:
    splits = split_of(split_by_patient(cohort(), SHARES, seed=0))
    counts = Counter((splits[f"p{n}"], "m" if n >= 70 else "b" if n >= 50 else "n") for n in range(80))
    expected = {("train", "n"): 30, ("val", "n"): 10, ("test", "n"): 10}
    expected |= {("train", "b"): 12, ("val", "b"): 4, ("test", "b"): 4}
    expected |= {("train", "m"): 6, ("val", "m"): 2, ("test", "m"): 2}
    assert counts == expected


def test_a_patient_that_has_a_split_keeps_it_for_all_images() -> None:
    images = [entry(Path("/a.png"), patient="p1", split="test"), entry(Path("/b.png"), patient="p1"), *cohort()[2:]]
    assert {image.split for image in split_by_patient(images, SHARES, seed=0) if image.patient == "p1"} == {"test"}


def test_a_patient_in_two_splits_is_refused() -> None:
    images = [entry(Path("/a.png"), split="test"), entry(Path("/b.png"), split="train")]
    with pytest.raises(ValueError, match="two splits"):
        split_by_patient(images, SHARES, seed=0)


@pytest.mark.parametrize("shares", [{"train": 0.5}, {"train": 1.5, "val": -0.5}])
def test_shares_that_are_none_are_refused(shares: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="add up to 1"):
        split_by_patient(cohort(), shares, seed=0)


def test_a_share_of_nothing_gets_nobody() -> None:
    splits = split_of(split_by_patient(cohort(), {"train": 0.85, "val": 0.15}, seed=0))
    assert set(splits.values()) == {"train", "val"}


def test_a_patient_is_as_bad_as_the_worst_lesion() -> None:
    both = entry(Path("/a.png"), lesions=(lesion(1, 2, 3, 4, "benign"), lesion(5, 6, 7, 8, "malignant")))
    assert stratum([both]) == "malignant"
    assert stratum([entry(Path("/a.png"), lesions=both.lesions[:1])]) == "benign"
    assert stratum([entry(Path("/a.png"))]) == "normal"
