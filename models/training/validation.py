"""How good a detector is while it learns: planted lesions found, against false positives on the images as they came."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray

from models.contract import BoxPx, Label
from models.fpnnet.network import CLASSES, FPNNet
from models.resampling import resample
from models.training.contract import TrainingImage
from models.training.planted_views import PlantedPair

Item = TypeVar("Item")

LEAST_SCORE: Final = 0.02
"""Boxes below this score are not looked at."""

MINED_SCORE: Final = 0.1
MINED_AN_IMAGE: Final = 12

RATES: Final = (0.5, 1.0, 2.0)
"""False positives per normal image."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ValidationView:
    """One image at the network's spacing.

    Attributes
    ----------
    pixels : numpy.ndarray
        Shape ``(rows, columns)``, float32, 0 to 1.
    lesions : tuple of (box, label)
        In pixels of `pixels`.
    normal : bool
        Whether it counts for false positives.
    drawn : bool
        Whether distractors were drawn into it: such normals help to choose a checkpoint, not an operating point.
    """

    pixels: NDArray[np.float32]
    lesions: tuple[tuple[BoxPx, Label], ...]
    normal: bool
    drawn: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ValidationFigures:
    """What one validation measured.

    Attributes
    ----------
    found_at_half, found_at_1, found_at_2 : float
        Share of lesions found at 0.5, 1 and 2 false positives per normal image.
    label_accuracy : float
        Of the lesions found at 2, the share with the right class; NaN when none is found.
    """

    found_at_half: float
    found_at_1: float
    found_at_2: float
    label_accuracy: float

    @property
    def rank(self) -> float:
        """By what the best checkpoint is chosen: the mean of the three shares."""
        return (self.found_at_half + self.found_at_1 + self.found_at_2) / 3.0


def view_of(image: TrainingImage, spacing_mm: float, *, normal: bool, drawn: bool = False) -> ValidationView:
    """Bring an image and its truth to the network's spacing."""
    rows, columns = image.pixels.shape
    shape = round(rows * image.spacing_mm / spacing_mm), round(columns * image.spacing_mm / spacing_mm)
    down, across = shape[0] / rows, shape[1] / columns
    lesions = []
    for lesion in image.lesions:
        x0, y0, x1, y1 = lesion.box_px
        lesions.append(((x0 * across, y0 * down, x1 * across, y1 * down), lesion.label))
    return ValidationView(pixels=resample(image.pixels, shape), lesions=tuple(lesions), normal=normal, drawn=drawn)


def views_of(pairs: Iterable[PlantedPair], spacing_mm: float, *, normals: bool) -> tuple[ValidationView, ...]:
    """Views of each pair: with lesions, and, when `normals`, as it came and with distractors alone."""
    views: list[ValidationView] = []
    for pair in pairs:
        views.append(view_of(pair.planted, spacing_mm, normal=False, drawn=True))
        if normals:
            views.append(view_of(pair.normal, spacing_mm, normal=True))
            views.append(view_of(pair.distracted, spacing_mm, normal=True, drawn=True))
    return tuple(views)


def some_of(items: Sequence[Item], most: int, seed: int) -> Sequence[Item]:
    """All items, or `most` of them by lot, in their order."""
    if len(items) <= most:
        return items
    chosen = np.random.default_rng(seed).choice(len(items), size=most, replace=False)
    return [items[index] for index in sorted(chosen.tolist())]


def validate(network: FPNNet, views: Sequence[ValidationView], device: torch.device) -> ValidationFigures:
    """Measure `ValidationFigures`: a lesion is found by a box whose centre lies in it."""
    false: list[float] = []
    best: list[tuple[float, bool]] = []
    for view in views:
        found = _detect(network, view.pixels, device)
        if view.normal:
            false.extend(score for _, _, score in found)
        best.extend(_best(found, box, label) for box, label in view.lesions)
    normals = sum(view.normal for view in views)
    thresholds = [score_above(false, rate * normals) for rate in RATES]
    shares = [float(np.mean([score > threshold for score, _ in best])) if best else 0.0 for threshold in thresholds]
    right = [same for score, same in best if score > thresholds[-1]]
    return ValidationFigures(
        found_at_half=shares[0],
        found_at_1=shares[1],
        found_at_2=shares[2],
        label_accuracy=float(np.mean(right)) if right else float("nan"),
    )


def score_at_rate(network: FPNNet, views: Sequence[ValidationView], device: torch.device, rate: float) -> float:
    """Score above which there are at most `rate` false positives per normal image, as it came."""
    normals = [view for view in views if view.normal and not view.drawn]
    return score_above(all_scores(network, normals, device), rate * len(normals))


def all_scores(network: FPNNet, views: Iterable[ValidationView], device: torch.device) -> list[float]:
    """Score of every box in `views`."""
    return [score for view in views for _, _, score in _detect(network, view.pixels, device)]


def score_above(scores: Sequence[float], allowed: float) -> float:
    """Score above which at most `allowed` of `scores` lie; never less than is looked at."""
    ordered = sorted(scores, reverse=True)
    return max(ordered[int(allowed)], LEAST_SCORE) if int(allowed) < len(ordered) else LEAST_SCORE


def lesion_scores(network: FPNNet, view: ValidationView, device: torch.device) -> list[float]:
    """Score of the best box on each lesion of `view`; 0 for one that is not found."""
    found = _detect(network, view.pixels, device) if view.lesions else []
    return [_best(found, box, label)[0] for box, label in view.lesions]


def find_false_positives(
    network: FPNNet, normals: Iterable[TrainingImage], device: torch.device, spacing_mm: float = 0.1
) -> dict[str, NDArray[np.float64]]:
    """Where the network sees clusters in images without any: places ``(x, y)`` in their pixels, by name."""
    places = {}
    for image in normals:
        view = view_of(image, spacing_mm, normal=True)
        scale = np.array(image.pixels.shape[::-1]) / np.array(view.pixels.shape[::-1])
        found = [box for box, _, score in _detect(network, view.pixels, device) if score > MINED_SCORE]
        centres = np.array([(box[0] + box[2], box[1] + box[3]) for box in found[:MINED_AN_IMAGE]]).reshape(-1, 2) / 2
        places[image.name] = centres * scale
    return places


def _detect(
    network: FPNNet, pixels: NDArray[np.float32], device: torch.device
) -> list[tuple[tuple[float, ...], str, float]]:
    with torch.inference_mode():
        found = network.detect(torch.tensor(pixels, device=device), score_threshold=LEAST_SCORE)
    boxes, labels, scores = found.boxes.float().tolist(), found.labels.tolist(), found.scores.float().tolist()
    return [(tuple(box), CLASSES[label], score) for box, label, score in zip(boxes, labels, scores, strict=True)]


def _best(found: list[tuple[tuple[float, ...], str, float]], box: BoxPx, label: Label) -> tuple[float, bool]:
    """Score of the best box whose centre lies in `box`, and whether its class is right; 0 when there is none."""
    hits = [
        (score, given == label)
        for (x0, y0, x1, y1), given, score in found
        if box[0] <= (x0 + x1) / 2 <= box[2] and box[1] <= (y0 + y1) / 2 <= box[3]
    ]
    return max(hits, default=(0.0, False))
