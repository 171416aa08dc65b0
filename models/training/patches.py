"""Malignant calcifications cut out of their images, and what they were found to be: what a subtype is learned from."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from models.contract import BoxPx
from models.sppnet_patches.patch import GREATEST_SIDE_PX, side_of, square_about
from models.training.contract import Split, TrainingImage

Pathology = Literal["invasive", "microinvasive", "dcis"]
PATHOLOGIES: Final[tuple[Pathology, ...]] = ("invasive", "microinvasive", "dcis")

Receptor = Literal["positive", "negative"]
RECEPTORS: Final[tuple[Receptor, ...]] = ("positive", "negative")

PatchTask = Literal["pathology-microinvasive-as-invasive", "pathology-microinvasive-as-dcis", "er"]

JITTER_PX: Final = 16
"""How far from the middle a box may lie in training; its margin holds it."""

SCALES: Final = (0.9, 1.1)
REGION_PX: Final = 2 * JITTER_PX + math.ceil(SCALES[1] * GREATEST_SIDE_PX)
"""What is kept of an image around a box."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Classes:
    """The two classes of a task; the network gives the probability of the second.

    Attributes
    ----------
    model : str
        Name of the model.
    negative, positive : str
        In words.
    of : mapping
        By what a lesion was found to be: whether that is the second class.
    """

    model: str
    negative: str
    positive: str
    of: Mapping[Pathology | Receptor, bool]


TASKS: Final[Mapping[PatchTask, Classes]] = MappingProxyType(
    {
        "pathology-microinvasive-as-invasive": Classes(
            model="SPPNet-Invasive-Or-Microinvasive",
            negative="pure DCIS",
            positive="invasive or microinvasive",
            of=MappingProxyType({"dcis": False, "microinvasive": True, "invasive": True}),
        ),
        "pathology-microinvasive-as-dcis": Classes(
            model="SPPNet-Invasive",
            negative="DCIS, with or without microinvasion",
            positive="invasive",
            of=MappingProxyType({"dcis": False, "microinvasive": False, "invasive": True}),
        ),
        "er": Classes(
            model="SPPNet-ER",
            negative="ER-negative",
            positive="ER-positive",
            of=MappingProxyType({"negative": False, "positive": True}),
        ),
    }
)
"""The paper's three class splits."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Patch:
    """A malignant lesion and what surrounds it.

    Attributes
    ----------
    patient : str
        A pseudonym: all patches of a patient are in the same split.
    split : {"train", "val", "test"}
    pixels : numpy.ndarray
        Shape ``(REGION_PX, REGION_PX)``, float32, 0 to 1, at `SPACING_MM`; the lesion's box lies in the middle.
    side_px : int
        Of the square that the network is given, at `SPACING_MM`: see `models.sppnet_patches.patch.side_of`.
    pathology, er : str or None
        None when not known.
    """

    patient: str
    split: Split
    pixels: NDArray[np.float32]
    side_px: int
    pathology: Pathology | None
    er: Receptor | None


def make_patch(
    image: TrainingImage, box_px: BoxPx, *, split: Split, pathology: Pathology | None, er: Receptor | None
) -> Patch:
    """Cut a lesion and its surround out of an image, which goes on as its edge beyond it."""
    return Patch(
        patient=image.patient,
        split=split,
        pixels=square_about(image.pixels, box_px, (image.spacing_mm, image.spacing_mm), REGION_PX),
        side_px=side_of(box_px, image.spacing_mm),
        pathology=pathology,
        er=er,
    )


def class_of(patch: Patch, task: PatchTask) -> bool | None:
    """Whether a patch is of the second class of a task; None when that is not known."""
    found = patch.er if task == "er" else patch.pathology
    return None if found is None else TASKS[task].of[found]


def digest_of_patches(patches: Iterable[Patch]) -> str:
    """Tell sets of patches apart by all that is learned from them, whatever their order."""
    each = (
        f"{one.patient, one.split, one.side_px, one.pathology, one.er}".encode() + one.pixels.tobytes()
        for one in patches
    )
    return hashlib.sha256(b"".join(sorted(hashlib.sha256(one).digest() for one in each))).hexdigest()
