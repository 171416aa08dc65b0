"""Whole images with planted lesions, and the same images without: what a detector is validated and tested on."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from models.contract import Label
from models.training.breast import GRID_PX, breast_places
from models.training.clusters import make_cluster
from models.training.contract import TrainingImage, TruthBox
from models.training.distractors import draw_distractors
from models.training.looks import Exposure, draw_look, finish, step_of
from models.training.planting import plant

TRIES: Final = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class PlantedPair:
    """An image with lesions planted into it, and the image without them, twice.

    Attributes
    ----------
    planted : TrainingImage
        Its `lesions` are the truth.
    distracted : TrainingImage
        The same distractors and no lesion: whatever is found there is false.
    normal : TrainingImage
        As it came: likewise.
    """

    planted: TrainingImage
    distracted: TrainingImage
    normal: TrainingImage


def planted_pairs(images: Iterable[TrainingImage], seed: int, *, label: Label | None = None) -> tuple[PlantedPair, ...]:
    """Plant one or two clusters and some distractors into each plantable image; see `planted_pair`.

    Those that are not plantable, and those in which nothing could be planted, are left out.
    """
    pairs = (planted_pair(image, seed, label) for image in images if image.plantable)
    return tuple(pair for pair in pairs if pair is not None)


def planted_pair(image: TrainingImage, seed: int, label: Label | None = None) -> PlantedPair | None:
    """Plant one or two clusters of one class, and distractors.

    Parameters
    ----------
    image : TrainingImage
        It is left as it is.
    seed : int
        The same seed and name give the same lesions, whatever other images there are.
    label : {"benign", "malignant"} or None
        Of all lesions; None draws it once an image, so that images and breasts have a class of their own.

    Returns
    -------
    PlantedPair or None
        None when nothing could be planted.
    """
    rng = np.random.default_rng([seed, *image.name.encode()])
    planted, distracted = _planted(image, rng, label)
    return PlantedPair(planted=planted, distracted=distracted, normal=image) if planted.lesions else None


def plant_whole(image: TrainingImage, rng: np.random.Generator, label: Label | None = None) -> TrainingImage:
    """Plant one or two clusters of one class into a copy of `image`, among distractors."""
    return _planted(image, rng, label)[0]


def _planted(
    image: TrainingImage, rng: np.random.Generator, label: Label | None
) -> tuple[TrainingImage, TrainingImage]:
    """Copies of `image` with distractors: one with clusters, one without."""
    of_all: Label = label if label is not None else ("malignant" if rng.random() < 0.5 else "benign")
    look = draw_look(rng, image.medium, step_of(image))
    exposure = Exposure(pixels=image.pixels.copy(), spacing_mm=image.spacing_mm, look=look)
    draw_distractors(rng, exposure, image.medium)
    distracted = replace(image, name=f"{image.name}~", pixels=finish(exposure), plantable=False)
    places = breast_places(image.pixels)
    calcium = np.zeros_like(image.pixels)
    lesions: list[TruthBox] = []
    wanted = 1 if rng.random() < 0.7 else 2
    for _ in range(TRIES if len(places) else 0):
        if len(lesions) == wanted:
            break
        x, y = places[int(rng.integers(len(places)))] + rng.uniform(-GRID_PX / 2, GRID_PX / 2, size=2)
        planted = plant(exposure, calcium, make_cluster(rng, of_all), (float(x), float(y)))
        if planted is not None:
            lesions.append(TruthBox(box_px=planted.box_px, label=of_all))
    with_lesions = replace(
        image, name=f"{image.name}+", pixels=finish(exposure), lesions=tuple(lesions), plantable=False
    )
    return with_lesions, distracted
