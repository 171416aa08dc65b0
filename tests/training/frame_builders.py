"""Frames of ultrasound of a few thousand pixels: grey speckle, with dark ellipses for lesions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from models.contract import Label
from models.training.frames import Clinical, FrameLesion, Her2, TrainingFrame
from models.training.steps import StepPlan
from models.us_segmentation.regions import box_of

UNKNOWN = Clinical(age=None, stage=None, birads=None)

SMALL = StepPlan(
    steps=4,
    batch=4,
    learning_rate=1e-3,
    weight_decay=0.01,
    warm_up_steps=1,
    average=0.9,
    precision="float32",
    workers=0,
)


def frame(
    number: int = 0,
    *,
    label: Label | None = "benign",
    her2: Her2 | None = None,
    shape: tuple[int, int] = (48, 64),
    fold: int = 1,
    **values: Any,
) -> TrainingFrame:
    """Speckle around 0.5 with a dark ellipse, darker when malignant or positive; without label and her2 no lesion."""
    rng = np.random.default_rng(number)
    pixels = np.clip(0.5 + 0.05 * rng.normal(size=shape), 0.05, 1.0)
    lesions: Sequence[FrameLesion] = ()
    if label is not None or her2 is not None:
        y, x = np.mgrid[: shape[0], : shape[1]] + 0.5
        centre = rng.uniform(0.4, 0.6, size=2) * shape
        mask = ((y - centre[0]) / (0.2 * shape[0])) ** 2 + ((x - centre[1]) / (0.22 * shape[1])) ** 2 <= 1
        pixels[mask] *= 0.15 if label == "malignant" or her2 == "positive" else 0.5
        lesions = (FrameLesion(box_px=box_of(mask), mask=mask, label=label, her2=her2),)
    defaults: dict[str, Any] = {
        "name": f"frame-{number}",
        "patient": f"patient-{number}",
        "spacing_mm": None,
        "clinical": UNKNOWN,
    }
    return TrainingFrame(pixels=pixels.astype(np.float32), lesions=tuple(lesions), fold=fold, **{**defaults, **values})


def frames(count: int, folds: int = 3) -> list[TrainingFrame]:
    """Benign, malignant and normal frames in turn, each kind in every fold."""
    labels: tuple[Label | None, ...] = ("benign", "malignant", None)
    return [frame(number, label=labels[number % 3], fold=number // 3 % folds + 1) for number in range(count)]
