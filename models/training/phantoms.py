"""The project's phantom as training images: normals of a digital detector that are nobody's and as many as wanted."""

from __future__ import annotations

from typing import Final

import numpy as np

from models.phantom import make_view
from models.phantom.anatomy import SIDES, VIEWS
from models.phantom.view import MAX_VALUE
from models.training.contract import Split, TrainingImage

FIRST_SEED: Final[dict[Split, int]] = {"train": 10_000, "val": 20_000, "test": 30_000}
"""Phantoms of different splits are different breasts; tests and demonstrations use seeds below."""


def phantom_images(count: int, split: Split, first: int = 0) -> tuple[TrainingImage, ...]:
    """Make the views `first` to `count` without lesions: left and right, CC and MLO in turn, one breast a view."""
    images = []
    for number in range(first, count):
        view = make_view(
            FIRST_SEED[split] + number,
            laterality=SIDES[number % 2],
            view=list(VIEWS)[number // 2 % len(VIEWS)],
            lesions=(),
        )
        breast = np.flatnonzero(view.pixels.any(axis=0))
        pixels = view.pixels[:, breast[0] : breast[-1] + 1].astype(np.float32) / np.float32(MAX_VALUE)
        name = f"phantom-{FIRST_SEED[split] + number}"
        images.append(
            TrainingImage(
                name=name,
                patient=name,
                pixels=pixels,
                spacing_mm=view.spacing_mm,
                medium="digital",
                lesions=(),
                plantable=True,
            )
        )
    return tuple(images)
