"""Crops that FPNNet learns from: a place in an image, clusters planted there, distractors, the look changed a little.

Every crop is made from its own number and the seed alone, so a run that was broken off and taken up again sees what an
unbroken one would have seen.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np
from numpy.typing import NDArray

from models.contract import BoxPx, Label
from models.resampling import cut_out, resample
from models.training.breast import GRID_PX, breast_places
from models.training.clusters import make_cluster
from models.training.contract import TrainingImage, TruthBox
from models.training.distractors import draw_distractors
from models.training.looks import Exposure, draw_look, finish, step_of
from models.training.planting import plant

Image = NDArray[np.float32]

MIN_SHARE_INSIDE: Final = 0.4
"""A true box of which less is inside the crop is not asked for."""

MIN_SIDE_PX: Final = 4.0


@dataclass(frozen=True, slots=True, kw_only=True)
class CropPlan:
    """How crops are drawn.

    Attributes
    ----------
    side_px : int
        Of a crop at `spacing_mm`.
    spacing_mm : float
        The network's canonical spacing.
    clusters : tuple of float
        Probability of no, one, two planted clusters.
    distractors : float
        Probability that a crop gets distractors at all.
    on_tissue : float
        Probability that a crop is drawn around a place in the breast, else anywhere.
    real : float
        Probability that a crop is drawn around a labelled lesion, when there are any.
    on_mined : float
        Probability that a crop without cluster is drawn around a known false positive, when there are any.
    scales : tuple of float
        Least and greatest magnification.
    gammas : tuple of float
        Least and greatest exponent of brightness.
    """

    side_px: int = 256
    spacing_mm: float = 0.1
    clusters: tuple[float, float, float] = (0.35, 0.5, 0.15)
    distractors: float = 0.75
    on_tissue: float = 0.9
    real: float = 0.3
    on_mined: float = 0.5
    scales: tuple[float, float] = (0.87, 1.15)
    gammas: tuple[float, float] = (0.75, 1.35)


@dataclass(frozen=True, slots=True, kw_only=True)
class Crop:
    """What one step of training sees of one image.

    Attributes
    ----------
    pixels : numpy.ndarray
        Shape ``(side, side)``, float32, 0 to 1.
    boxes : numpy.ndarray
        Shape ``(n, 4)``, float32: ``x0, y0, x1, y1``.
    labels : tuple of {"benign", "malignant"}
        One a box.
    calcium : numpy.ndarray
        Shape ``(side, side)``, float32: brightness added by planted grains; NaN where it is not known.
    """

    pixels: Image
    boxes: Image
    labels: tuple[Label, ...]
    calcium: Image


@dataclass(frozen=True, slots=True, kw_only=True)
class _Source:
    image: TrainingImage
    tissue_px: NDArray[np.intp]  # (n, 2): x, y of blocks of breast
    step: float  # of its quantisation, 0 for none


@dataclass(slots=True)
class CropSampler:
    """Draws crops.

    Attributes
    ----------
    groups : mapping of str to (share, images)
        Which images, and how often a crop comes from the group.
    mined : mapping of str to positions
        By name of the image: places ``(x, y)``, in its pixels, where the network saw a cluster and none is.
    """

    groups: Mapping[str, tuple[float, Sequence[TrainingImage]]]
    plan: CropPlan
    seed: int
    mined: Mapping[str, NDArray[np.float64]] = field(default_factory=dict)
    _sources: dict[str, list[_Source]] = field(init=False)
    _shares: NDArray[np.float64] = field(init=False)
    _labelled: list[_Source] = field(init=False)

    def __post_init__(self) -> None:
        filled = {name: group for name, group in self.groups.items() if group[1] and group[0] > 0}
        if not filled:
            raise ValueError("no image to draw crops from")
        self._sources = {name: [_source(image) for image in images] for name, (_, images) in filled.items()}
        shares = np.array([share for share, _ in filled.values()])
        self._shares = shares / shares.sum()
        self._labelled = [source for group in self._sources.values() for source in group if source.image.lesions]

    def draw(self, number: int) -> Crop:
        """Return crop `number`."""
        rng = np.random.default_rng([self.seed, number])
        if rng.random() < self.plan.real and self._labelled:
            return self._crop(rng, self._labelled[int(rng.integers(len(self._labelled)))])
        group = list(self._sources)[int(rng.choice(len(self._shares), p=self._shares))]
        sources = self._sources[group]
        source = sources[int(rng.integers(len(sources)))]
        return self._crop(rng, source)

    def _crop(self, rng: np.random.Generator, source: _Source) -> Crop:
        image = source.image
        wanted = int(rng.choice(3, p=self.plan.clusters)) if image.plantable else 0
        side = round(self.plan.side_px * self.plan.spacing_mm * rng.uniform(*self.plan.scales) / image.spacing_mm)
        centre = self._place(rng, source, side, empty=wanted == 0)
        left, top = within(centre, side, image.pixels.shape)
        pixels = cut(image.pixels, left, top, side)
        calcium = np.zeros_like(pixels) if image.plantable else np.full_like(pixels, np.nan)
        exposure = Exposure(pixels=pixels, spacing_mm=image.spacing_mm, look=draw_look(rng, image.medium, source.step))
        if rng.random() < self.plan.distractors:
            draw_distractors(rng, exposure, image.medium)
        truth = _inside(image.lesions, left, top, side)
        tissue = _in_crop(source.tissue_px, left, top, side)
        for _ in range(wanted if len(tissue) else 0):
            x, y = tissue[int(rng.integers(len(tissue)))] + rng.uniform(-GRID_PX / 2, GRID_PX / 2, size=2)
            label: Label = "malignant" if rng.random() < 0.5 else "benign"
            at = (float(np.clip(x, 0.12 * side, 0.88 * side)), float(np.clip(y, 0.12 * side, 0.88 * side)))
            if any(_near(at, box) for box, _ in truth):
                continue
            planted = plant(exposure, calcium, make_cluster(rng, label), at)
            if planted is not None:
                truth.append((planted.box_px, label))
        return self._varied(rng, finish(exposure), calcium, truth)

    def _place(self, rng: np.random.Generator, source: _Source, side: int, *, empty: bool) -> NDArray[np.float64]:
        """Centre of the crop, ``(x, y)``."""
        image = source.image
        mined = self.mined.get(image.name)
        if empty and mined is not None and len(mined) and rng.random() < self.plan.on_mined:
            return np.asarray(mined[int(rng.integers(len(mined)))] + rng.uniform(-0.3, 0.3, size=2) * side)
        if image.lesions and rng.random() < 0.6:
            x0, y0, x1, y1 = image.lesions[int(rng.integers(len(image.lesions)))].box_px
            return np.array([x0 + x1, y0 + y1]) / 2 + rng.uniform(-0.25, 0.25, size=2) * side
        if len(source.tissue_px) and rng.random() < self.plan.on_tissue:
            place = source.tissue_px[int(rng.integers(len(source.tissue_px)))]
            return np.asarray(place + rng.uniform(-0.3, 0.3, size=2) * side)
        return np.asarray(rng.uniform(0.0, 1.0, size=2) * image.pixels.shape[::-1])

    def _varied(
        self, rng: np.random.Generator, pixels: Image, calcium: Image, truth: list[tuple[BoxPx, Label]]
    ) -> Crop:
        """Bring to the network's spacing; change the brightness; mirror and turn by quarters."""
        side = self.plan.side_px
        scale = side / pixels.shape[0]
        out, grains = resample(pixels, (side, side)), resample(calcium, (side, side))
        exponent, gain, lift = rng.uniform(*self.plan.gammas), rng.uniform(0.8, 1.15), rng.uniform(-0.03, 0.06)
        air = out <= 0.0
        out = np.clip(np.maximum(out, 0.0) ** exponent * gain + lift, 0.0, 1.0)
        out[air] = 0.0
        boxes = np.array([box for box, _ in truth], dtype=np.float32).reshape(-1, 4) * np.float32(scale)
        boxes = np.clip(boxes, 0.0, side)  # rounded to float32, an edge may lie just beyond the crop's
        if rng.random() < 0.5:
            out, grains = out[:, ::-1], grains[:, ::-1]
            boxes = np.stack([side - boxes[:, 2], boxes[:, 1], side - boxes[:, 0], boxes[:, 3]], axis=1)
        if rng.random() < 0.5:
            out, grains = out[::-1], grains[::-1]
            boxes = np.stack([boxes[:, 0], side - boxes[:, 3], boxes[:, 2], side - boxes[:, 1]], axis=1)
        if rng.random() < 0.5:
            out, grains = out.T, grains.T
            boxes = boxes[:, [1, 0, 3, 2]]
        kept = (np.minimum(boxes[:, 2] - boxes[:, 0], boxes[:, 3] - boxes[:, 1]) >= MIN_SIDE_PX).nonzero()[0]
        return Crop(
            pixels=np.ascontiguousarray(out, dtype=np.float32),
            boxes=np.ascontiguousarray(boxes[kept], dtype=np.float32),
            labels=tuple(truth[int(index)][1] for index in kept),
            calcium=np.array(grains, dtype=np.float32, order="C"),  # resampled, it may be read-only
        )


def _source(image: TrainingImage) -> _Source:
    return _Source(image=image, tissue_px=breast_places(image.pixels), step=step_of(image))


def _in_crop(places: NDArray[np.intp], left: int, top: int, side: int) -> NDArray[np.intp]:
    """Those places that lie in a crop, in its pixels."""
    moved = places - np.array([left, top])
    inside: NDArray[np.intp] = moved[((moved >= 0) & (moved < side)).all(axis=1)]
    return inside


def within(centre: NDArray[np.float64], side: int, shape: tuple[int, ...]) -> tuple[int, int]:
    """Left and top of a square about a place, ``(x, y)``, moved into the image where that is large enough.

    A network sees the edge of an image as an edge; crops that reached beyond would show it something else there.
    """
    left, top = (round(float(value) - side / 2) for value in centre)
    return _moved(left, side, shape[1]), _moved(top, side, shape[0])


def _moved(start: int, side: int, length: int) -> int:
    return min(max(start, 0), length - side) if side <= length else start


def cut(pixels: Image, left: int, top: int, side: int) -> Image:
    """A square of an image, which goes on as its edge beyond it; a copy."""
    return cut_out(pixels, left, top, (side, side))


def _inside(lesions: Sequence[TruthBox], left: int, top: int, side: int) -> list[tuple[BoxPx, Label]]:
    """True boxes of which enough lies in the crop, cut to it."""
    found: list[tuple[BoxPx, Label]] = []
    for lesion in lesions:
        x0, y0, x1, y1 = lesion.box_px
        box = max(x0 - left, 0.0), max(y0 - top, 0.0), min(x1 - left, float(side)), min(y1 - top, float(side))
        share = max(box[2] - box[0], 0.0) * max(box[3] - box[1], 0.0) / max((x1 - x0) * (y1 - y0), 1e-6)
        if share >= MIN_SHARE_INSIDE:
            found.append((box, lesion.label))
    return found


def _near(at: tuple[float, float], box: BoxPx) -> bool:
    """Whether a place lies in a box or about as far from it as it is large: two clusters there would be one."""
    half = max(box[2] - box[0], box[3] - box[1]) / 2
    return box[0] - half < at[0] < box[2] + half and box[1] - half < at[1] < box[3] + half
