"""What a network of regions learns from: a lesion's views as analysis cuts them out, turned, mirrored and sheared."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from models.contract import BoxPx
from models.regions.contract import LesionView, RegionTask
from models.resampling import cut_roi, resample
from models.training.region_parts import class_number
from models.training.steps import turn_of
from models.training.tumours import Tumour

Cut = Callable[[LesionView], BoxPx]
"""``(x0, y0, x1, y1)`` of what a network is shown of a view, in its pixels; it may reach beyond them."""

FINER: Final = 2
"""Regions are drawn so many times finer and then averaged: in analysis they are shrunk without aliasing."""

_EXTRA, _LOOKS = 1, 2  # each lot has random numbers of its own


@dataclass(frozen=True, slots=True, kw_only=True)
class RegionLooks:
    """How a region is varied. Brightness is not: neither paper does, and it may be what tells the classes apart.

    Attributes
    ----------
    turn_degrees, shear_degrees : float
        Greatest angle of rotation, and of horizontal shear.
    quarters : bool
        Whether it is turned by quarters besides.
    oversampling : float
        How often a tumour is seen, over one of the most frequent class; see `RegionSource`.
    """

    turn_degrees: float
    shear_degrees: float = 0.0
    quarters: bool = False
    oversampling: float = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class RegionBatch:
    """Regions ``(n, channels, side, side)``, float32, 0 to 1, and the numbers of their classes ``(n,)``."""

    images: Tensor
    wanted: Tensor


@dataclass(frozen=True, slots=True, kw_only=True)
class RegionCase:
    """What a validation judges: the inputs made of one tumour, ``(k, channels, side, side)``, and its class.

    ``k`` is 1, or the number of views when a network sees each by itself.
    """

    images: Tensor
    wanted: int


@dataclass(frozen=True, slots=True)
class _Kept:
    """A view in memory, made smaller where it is finer than is ever drawn; and where the cut lies in it."""

    pixels: Tensor
    cut: BoxPx


@dataclass(slots=True)
class RegionSource:
    """Draws regions: every sample once before any is drawn again, those of rarer classes more often.

    A sample is a tumour with all its views, or one view of it when the model reads each by itself. In each round,
    of every class but the most frequent, a share of ``oversampling - 1`` is drawn once more by lot, as long as the
    class stays no more frequent than that one (random oversampling; the paper on subtypes names only its rate).
    """

    tumours: Sequence[Tumour]
    task: RegionTask
    cut: Cut
    side: int
    looks: RegionLooks
    batch: int
    seed: int
    _kept: list[tuple[tuple[_Kept, ...], int]] = field(init=False)
    _extras: dict[int, int] = field(init=False)

    def __post_init__(self) -> None:
        self._kept = []
        for tumour in self.tumours:
            number = class_number(tumour, self.task)
            for views in _inputs(tumour, self.task):
                self._kept.append((tuple(_keep(view, self.cut, self.side) for view in views), number))
        counts = Counter(number for _, number in self._kept)
        most = max(counts.values())
        self._extras = {
            number: min(round((self.looks.oversampling - 1.0) * count), most - count)
            for number, count in sorted(counts.items())
        }

    @property
    def samples(self) -> int:
        """How many a round has."""
        return len(self._kept) + sum(self._extras.values())

    def draw(self, step: int) -> RegionBatch:
        """Make the regions of step `step`."""
        drawn = [self._one(step * self.batch + place) for place in range(self.batch)]
        return RegionBatch(
            images=torch.stack([image for image, _ in drawn]), wanted=torch.tensor([number for _, number in drawn])
        )

    def _one(self, number: int) -> tuple[Tensor, int]:
        place = turn_of(number, self.samples, self.seed)
        index = place if place < len(self._kept) else self._extra(number // self.samples, place - len(self._kept))
        views, of_class = self._kept[index]
        rng = np.random.default_rng([self.seed, _LOOKS, number])
        # The views of a sample are varied each by itself: nothing lies at the same place in CC and MLO.
        return torch.stack([self._drawn(view, varied(rng, self.looks)) for view in views]), of_class

    def _extra(self, rounds: int, place: int) -> int:
        """Index of the sample that is the `place`-th to be drawn once more in a round."""
        rng = np.random.default_rng([self.seed, _EXTRA, rounds])
        again: list[int] = []
        for number, count in self._extras.items():
            members = [index for index, (_, of_class) in enumerate(self._kept) if of_class == number]
            again += rng.choice(members, size=count, replace=count > len(members)).tolist()
        return again[place]

    def _drawn(self, view: _Kept, variation: NDArray[np.float64]) -> Tensor:
        side = FINER * self.side
        theta = torch.from_numpy(placement(view.pixels.shape, view.cut, variation))
        grid = F.affine_grid(theta[None], [1, 1, side, side], align_corners=False)
        fine = F.grid_sample(view.pixels[None, None], grid, padding_mode="border", align_corners=False)
        return F.avg_pool2d(fine, FINER)[0, 0]


def cases_of(tumours: Sequence[Tumour], task: RegionTask, cut: Cut, side: int) -> tuple[RegionCase, ...]:
    """Tumours to validate on, cut out as in analysis."""
    return tuple(
        RegionCase(
            images=torch.stack(
                [
                    torch.stack([torch.from_numpy(cut_roi(view.pixels, cut(view), (side, side))) for view in views])
                    for views in _inputs(tumour, task)
                ]
            ),
            wanted=class_number(tumour, task),
        )
        for tumour in tumours
    )


def varied(rng: np.random.Generator, looks: RegionLooks) -> NDArray[np.float64]:
    """Draw how a region is mirrored, turned and sheared: shape ``(2, 2)``, from what is drawn to the region."""
    turn = math.radians(rng.uniform(-looks.turn_degrees, looks.turn_degrees))
    shear = math.tan(math.radians(rng.uniform(-looks.shear_degrees, looks.shear_degrees)))
    across, down = (-1.0 if rng.random() < 0.5 else 1.0 for _ in range(2))
    if looks.quarters:
        turn += float(rng.integers(4)) * math.pi / 2.0
    rotation = np.array([[math.cos(turn), -math.sin(turn)], [math.sin(turn), math.cos(turn)]])
    return np.asarray(rotation @ np.array([[1.0, shear], [0.0, 1.0]]) @ np.diag([across, down]), dtype=np.float64)


def placement(shape: Sequence[int], cut: BoxPx, variation: NDArray[np.float64]) -> NDArray[np.float32]:
    """Return ``theta`` of ``torch.nn.functional.affine_grid`` that fills a square with a cut of an image.

    Parameters
    ----------
    shape : sequence of int
        ``(rows, columns)`` of the image.
    cut : tuple of float
        ``(x0, y0, x1, y1)`` in its pixels.
    variation : numpy.ndarray
        Shape ``(2, 2)``, as from `varied`; about the middle of the cut, in the square: a cut that is stretched to it
        is varied as the network sees it.
    """
    rows, columns = shape
    x0, y0, x1, y1 = cut
    half = np.diag([(x1 - x0) / columns, (y1 - y0) / rows])
    centre = [(x0 + x1) / columns - 1.0, (y0 + y1) / rows - 1.0]
    return np.hstack([half @ variation, np.array(centre)[:, None]]).astype(np.float32)


def _inputs(tumour: Tumour, task: RegionTask) -> list[tuple[LesionView, ...]]:
    """The views of a tumour that a network is given at once, as often as it is given any."""
    given = [tumour.views[name] for name in task.views if name in tumour.views]
    return [tuple(given)] if task.combination == "joint" else [(view,) for view in given]


def _keep(view: LesionView, cut: Cut, side: int) -> _Kept:
    x0, y0, x1, y1 = cut(view)
    rows, columns = view.pixels.shape
    most = FINER * side
    shape = (
        max(1, round(rows * min(1.0, most / (y1 - y0)))),
        max(1, round(columns * min(1.0, most / (x1 - x0)))),
    )
    down, across = shape[0] / rows, shape[1] / columns
    pixels = torch.from_numpy(np.array(resample(view.pixels, shape), dtype=np.float32))
    return _Kept(pixels=pixels, cut=(x0 * across, y0 * down, x1 * across, y1 * down))
