"""Whole images with planted lesions, and the same images without: what a detector is validated and tested on."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from models.contract import Label
from models.training.clusters import make_cluster
from models.training.contract import TrainingImage, TruthBox
from models.training.crops import TISSUE
from models.training.distractors import draw_distractors
from models.training.looks import Exposure, draw_look, finish
from models.training.planting import plant

TRIES: Final = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class PlantedPair:
    """An image with lesions planted into it, and the image itself.

    Attributes
    ----------
    planted : TrainingImage
        Its `lesions` are the truth.
    normal : TrainingImage
        As it came: whatever is found there is false.
    """

    planted: TrainingImage
    normal: TrainingImage


def planted_pairs(images: Iterable[TrainingImage], seed: int, *, label: Label | None = None) -> tuple[PlantedPair, ...]:
    """Plant one or two clusters and some distractors into each plantable image.

    Parameters
    ----------
    images : iterable of TrainingImage
        Those that are not plantable are left out.
    seed : int
        The same seed and image give the same lesions.
    label : {"benign", "malignant"} or None
        Of all lesions; None draws it once an image, so that images and breasts have a class of their own.
    """
    pairs = []
    for number, image in enumerate(image for image in images if image.plantable):
        planted = plant_whole(image, np.random.default_rng([seed, number]), label)
        if planted.lesions:
            pairs.append(PlantedPair(planted=planted, normal=image))
    return tuple(pairs)


def plant_whole(image: TrainingImage, rng: np.random.Generator, label: Label | None = None) -> TrainingImage:
    """Plant one or two clusters of one class into a copy of `image`."""
    of_all: Label = label if label is not None else ("malignant" if rng.random() < 0.5 else "benign")
    exposure = Exposure(pixels=image.pixels.copy(), spacing_mm=image.spacing_mm, look=draw_look(rng, image.medium))
    draw_distractors(rng, exposure, image.medium)
    tissue = np.argwhere(image.pixels[::4, ::4] > TISSUE) * 4
    calcium = np.zeros_like(image.pixels)
    lesions: list[TruthBox] = []
    wanted = 1 if rng.random() < 0.7 else 2
    for _ in range(TRIES if len(tissue) else 0):
        if len(lesions) == wanted:
            break
        y, x = tissue[int(rng.integers(len(tissue)))]
        planted = plant(exposure, calcium, make_cluster(rng, of_all), (float(x), float(y)))
        if planted is not None:
            lesions.append(TruthBox(box_px=planted.box_px, label=of_all))
    return replace(image, name=f"{image.name}+", pixels=finish(exposure), lesions=tuple(lesions), plantable=False)
