"""Images for training, of a few square millimetres."""

from __future__ import annotations

import numpy as np

from models.training.contract import Medium, TrainingImage, TruthBox
from models.training.looks import Exposure, Look

TISSUE = 0.4
SHARP = Look(per_mm=0.5, blur_mm=0.05, film_curve=False, step=0.0)


def tissue_image(
    rows: int = 160,
    columns: int = 160,
    *,
    name: str = "tissue",
    spacing_mm: float = 0.1,
    medium: Medium = "digital",
    noise: float = 0.01,
    lesions: tuple[TruthBox, ...] = (),
    plantable: bool = True,
    seed: int = 0,
) -> TrainingImage:
    """Breast everywhere, of one brightness, under white noise."""
    grain = np.random.default_rng(seed).normal(0.0, noise, size=(rows, columns))
    return TrainingImage(
        name=name,
        patient=f"patient of {name}",
        pixels=np.clip(TISSUE + grain, 0.0, 1.0).astype(np.float32),
        spacing_mm=spacing_mm,
        medium=medium,
        lesions=lesions,
        plantable=plantable,
    )


def exposure_of(image: TrainingImage, look: Look = SHARP) -> Exposure:
    """A copy of the image, to draw into."""
    return Exposure(pixels=image.pixels.copy(), spacing_mm=image.spacing_mm, look=look)
