"""Tumours for tests of training: an ellipse, brighter where it is positive, on a soft background."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from scipy import ndimage

from models.regions.contract import LesionView, RegionTask, View, lesion_view
from models.training.contract import Split
from models.training.tumours import Tumour

ER = RegionTask(outcome="er", classes=("negative", "positive"), views=("CC", "MLO"), combination="joint")
ER_OF_EACH = RegionTask(outcome="er", classes=("negative", "positive"), views=("CC", "MLO"), combination="each")
LEVELS = RegionTask(outcome="her2_level", classes=("zero", "low", "positive"), views=("CC",), combination="joint")


def view(number: int, bright: float = 0.2) -> LesionView:
    """An ellipse that much brighter than what is around it, 26 x 34 pixels of 120 x 140."""
    down, across = np.ogrid[:120, :140]
    mask = ((down - 60.0 - number % 5) / 13.0) ** 2 + ((across - 70.0) / 17.0) ** 2 <= 1.0
    rough = np.random.default_rng(number).normal(0.3, 0.04, size=mask.shape)
    pixels = np.clip(ndimage.gaussian_filter(rough, 2.0) + bright * mask, 0.0, 1.0).astype(np.float32)
    made, _ = lesion_view(pixels, mask, (0.1, 0.1))
    return made


def tumour(
    number: int,
    outcome: str | None = None,
    *,
    patient: str | None = None,
    split: Split | None = None,
    fold: int | None = None,
    views: Sequence[View] = ("CC", "MLO"),
    of: str = "er",
) -> Tumour:
    """One tumour; without `outcome`, odd numbers are positive."""
    found = outcome or ("positive" if number % 2 else "negative")
    bright = 0.6 if found == "positive" else 0.2
    whose = patient or f"p{number:02}"
    return Tumour(
        name=f"{whose}/{number}",
        patient=whose,
        split=split,
        fold=fold,
        views={name: view(10 * number + place, bright) for place, name in enumerate(views)},
        outcomes={of: found},
    )


def cohort(numbers: Iterable[int], split: Split | None = None) -> list[Tumour]:
    """Tumours of as many patients."""
    return [tumour(number, split=split) for number in numbers]
