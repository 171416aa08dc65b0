"""Which images train, validate and test: by patient, since two images of one patient are no two samples."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import Final, Literal

import numpy as np

from models.training.contract import SPLITS, Split
from pipelines.datasets.manifest import ManifestImage

Stratum = Literal["normal", "benign", "malignant"]
STRATA: Final[tuple[Stratum, ...]] = ("normal", "benign", "malignant")

DEFAULT_SHARES: Final[Mapping[Split, float]] = MappingProxyType({"train": 0.60, "val": 0.15, "test": 0.25})


def split_by_patient(
    images: Iterable[ManifestImage], shares: Mapping[Split, float], seed: int
) -> tuple[ManifestImage, ...]:
    """Give a split to each image that has none.

    A patient that has a split in any image keeps it in all. The others are shuffled within each stratum (`stratum`)
    and shared out by largest remainder, so each split has, to one patient, its share of each stratum.

    Parameters
    ----------
    images : iterable of ManifestImage
        Their order does not change who goes where.
    shares : mapping of str to float
        Of the patients, by split; they add up to 1.
    seed : int
        The same seed, shares and patients give the same splits.

    Returns
    -------
    tuple of ManifestImage
        In the order given.

    Raises
    ------
    ValueError
        For shares that are none, or a patient that is in two splits already.
    """
    by_patient: dict[str, list[ManifestImage]] = defaultdict(list)
    kept = tuple(images)
    for image in kept:
        by_patient[image.patient].append(image)
    given: dict[str, Split] = {}
    for patient, of_one in by_patient.items():
        splits = {image.split for image in of_one if image.split is not None}
        if len(splits) > 1:
            raise ValueError("the images of one patient are in two splits")
        if splits:
            given[patient] = splits.pop()
    strata = {patient: stratum(of_one) for patient, of_one in by_patient.items()}
    chosen = assign_splits(strata, given, STRATA, shares, seed)
    return tuple(replace(image, split=chosen[image.patient]) for image in kept)


def assign_splits(
    strata: Mapping[str, str],
    given: Mapping[str, Split],
    names: Sequence[str],
    shares: Mapping[Split, float],
    seed: int,
) -> dict[str, Split]:
    """Give a split to each patient that has none, by lot within each stratum.

    Parameters
    ----------
    strata : mapping of str to str
        Stratum by patient.
    given : mapping of str to str
        Split by patient, of those that have one.
    names : sequence of str
        All strata; each is shuffled by a stream of its own.
    shares, seed
        As for `split_by_patient`.

    Raises
    ------
    ValueError
        For shares that are none.
    """
    if any(share < 0 for share in shares.values()) or not math.isclose(sum(shares.values()), 1.0, abs_tol=1e-9):
        raise ValueError("the shares of the splits must not be negative, and must add up to 1")
    chosen = dict(given)
    for number, name in enumerate(names):
        free = sorted(patient for patient in strata if patient not in given and strata[patient] == name)
        order = np.random.default_rng([seed, number]).permutation(len(free))
        splits = _shared_out(len(order), shares)
        chosen |= {free[index]: split for index, split in zip(order, splits, strict=True)}
    return chosen


def stratum(images: Iterable[ManifestImage]) -> Stratum:
    """Of a patient: malignant if any lesion is, else benign if there is one, else normal."""
    labels = {lesion.label for image in images for lesion in image.lesions}
    return "malignant" if "malignant" in labels else "benign" if labels else "normal"


def _shared_out(count: int, shares: Mapping[Split, float]) -> Sequence[Split]:
    """`count` places by largest remainder; of equal remainders the earlier split's goes first."""
    exact = {split: count * shares.get(split, 0.0) for split in SPLITS}
    # Rounded, since 0.15 * 20 is a little less than 3 in floating point.
    places = {split: math.floor(round(share, 9)) for split, share in exact.items()}
    by_remainder = sorted(SPLITS, key=lambda split: places[split] - exact[split])
    for split in by_remainder[: count - sum(places.values())]:
        places[split] += 1
    return [split for split in SPLITS for _ in range(places[split])]
