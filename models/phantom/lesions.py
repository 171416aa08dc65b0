"""Microcalcifications: what their grains look like, and how they add to an image.

Nothing here knows the phantom: grains can be planted into any image whose spacing is known.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from models.contract import BoxPx, Label

CONTRAST_PER_MM = 0.8
"""Brightness (of 0 to 1) that 1 mm of calcification adds: 0.1 mm is just visible above the noise, 1 mm is white."""

FINEST_MM = 0.0175
"""Grains are drawn at this spacing or finer and averaged over each pixel, as a detector element does."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Grain:
    """One calcification: the space that a ball sweeps along a line.

    Attributes
    ----------
    path_mm : numpy.ndarray
        Shape ``(n, 3)``: positions of the ball, relative to the cluster's centre, no further apart than its radius.
    radius_mm : float
        Of the ball.
    """

    path_mm: NDArray[np.float64]
    radius_mm: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Shadow:
    """A grain as a view projects it: `path_px` of shape ``(n, 2)`` is x and y in pixels, (0, 0) the image's corner."""

    path_px: NDArray[np.float64]
    radius_mm: float


def benign_grains(rng: np.random.Generator, extent_mm: float) -> tuple[Grain, ...]:
    """Few and alike: round (0.5 to 1 mm across) or punctate (below 0.5 mm) grains.

    ACR BI-RADS Atlas, 5th edition 2013, mammography, "Typically benign: round"; five or more make a group.
    """
    typical_mm = rng.uniform(0.15, 0.4)
    count = int(rng.integers(5, 10))
    centres = _in_ball(rng, count) * (extent_mm / 2)
    return tuple(Grain(path_mm=centre[None], radius_mm=typical_mm * rng.uniform(0.8, 1.2)) for centre in centres)


def malignant_grains(rng: np.random.Generator, extent_mm: float) -> tuple[Grain, ...]:
    """Many and unlike: fine pleomorphic, fine linear and branching grains along a duct.

    ACR BI-RADS Atlas, 5th edition 2013, mammography, "Suspicious morphology": fine pleomorphic grains are below 0.5 mm,
    fine linear ones thin, below 0.5 mm wide; they fill a duct, so the cluster is longer than wide.
    """
    count = int(rng.integers(18, 41))
    duct = _direction(rng)
    offsets = _in_ball(rng, count) * (extent_mm / 2)
    along = offsets @ duct
    offsets = 0.45 * offsets + 0.55 * along[:, None] * duct
    return tuple(_linear_grain(rng, offset, duct) for offset in offsets)


GRAINS: Mapping[Label, Callable[[np.random.Generator, float], tuple[Grain, ...]]] = MappingProxyType(
    {"benign": benign_grains, "malignant": malignant_grains}
)


def plant(
    brightness: NDArray[np.float32],
    shadows: Sequence[Shadow],
    spacing_mm: float,
    contrast_per_mm: float = CONTRAST_PER_MM,
) -> BoxPx:
    """Add grains to an image, in place.

    Parameters
    ----------
    brightness : numpy.ndarray
        Shape ``(rows, columns)``, float32, 0 (air) to 1; grains add to it and may exceed 1.
    shadows : sequence of Shadow
        Not empty. What lies outside the image is cut off.
    spacing_mm : float
        Of the image, rows and columns alike.

    Returns
    -------
    tuple of float
        The smallest box ``(x0, y0, x1, y1)`` around all grains, in pixels, clipped to the image.
    """
    rows, columns = brightness.shape
    corners = [_plant_one(brightness, shadow, spacing_mm, contrast_per_mm) for shadow in shadows]
    edges = np.array(corners, dtype=np.float64)
    x0, y0 = np.maximum(edges[:, :2].min(axis=0), 0.0)
    x1, y1 = np.minimum(edges[:, 2:].max(axis=0), (columns, rows))
    return float(x0), float(y0), float(x1), float(y1)


def _plant_one(
    brightness: NDArray[np.float32], shadow: Shadow, spacing_mm: float, contrast_per_mm: float
) -> tuple[float, float, float, float]:
    radius_px = shadow.radius_mm / spacing_mm
    low, high = shadow.path_px.min(axis=0) - radius_px, shadow.path_px.max(axis=0) + radius_px
    (left, top), (right, bottom) = np.floor(low).astype(int), np.ceil(high).astype(int)
    lengths_mm = _path_through_calcium_mm(shadow, (left, top, right, bottom), spacing_mm)
    rows, columns = brightness.shape
    inside = np.s_[max(top, 0) : max(min(bottom, rows), 0), max(left, 0) : max(min(right, columns), 0)]
    shown = brightness[inside]
    down, across = max(top, 0) - top, max(left, 0) - left
    shown += contrast_per_mm * lengths_mm[down : down + shown.shape[0], across : across + shown.shape[1]]
    return float(low[0]), float(low[1]), float(high[0]), float(high[1])


def _path_through_calcium_mm(
    shadow: Shadow, region_px: tuple[int, int, int, int], spacing_mm: float
) -> NDArray[np.float32]:
    """Return how far the beam runs through the grain, averaged over each pixel of `region_px`."""
    left, top, right, bottom = region_px
    finer = max(1, math.ceil(spacing_mm / FINEST_MM))
    x = left + (np.arange((right - left) * finer, dtype=np.float32) + 0.5) / finer
    y = top + (np.arange((bottom - top) * finer, dtype=np.float32) + 0.5) / finer
    lengths = np.zeros((y.size, x.size), dtype=np.float32)
    for centre_x, centre_y in shadow.path_px:
        squared_mm = ((x - centre_x)[None, :] ** 2 + (y - centre_y)[:, None] ** 2) * spacing_mm**2
        np.maximum(lengths, 2.0 * np.sqrt(np.maximum(shadow.radius_mm**2 - squared_mm, 0.0)), out=lengths)
    blocks = lengths.reshape(bottom - top, finer, right - left, finer)
    means: NDArray[np.float32] = blocks.mean(axis=(1, 3), dtype=np.float32)
    return means


def _linear_grain(rng: np.random.Generator, offset: NDArray[np.float64], duct: NDArray[np.float64]) -> Grain:
    radius_mm = rng.uniform(0.05, 0.15)
    stem = _crooked_line(rng, offset, duct, rng.uniform(0.1, 0.8), radius_mm)
    if rng.random() < 0.35:
        fork = stem[int(rng.integers(len(stem)))]
        stem = np.concatenate([stem, _crooked_line(rng, fork, _direction(rng), rng.uniform(0.2, 0.5), radius_mm)])
    return Grain(path_mm=stem, radius_mm=radius_mm)


def _crooked_line(
    rng: np.random.Generator, start: NDArray[np.float64], heading: NDArray[np.float64], length_mm: float, step_mm: float
) -> NDArray[np.float64]:
    turned = heading + 0.6 * _direction(rng)
    steps = max(1, math.ceil(length_mm / step_mm))
    ways = turned / np.linalg.norm(turned) + 0.5 * rng.standard_normal((steps, 3))
    ways *= step_mm / np.linalg.norm(ways, axis=1, keepdims=True)
    line: NDArray[np.float64] = start + np.concatenate([np.zeros((1, 3)), np.cumsum(ways, axis=0)])
    return line


def _in_ball(rng: np.random.Generator, count: int) -> NDArray[np.float64]:
    """Return `count` points, evenly spread in the unit ball."""
    points = rng.standard_normal((count, 3))
    points *= rng.random((count, 1)) ** (1 / 3) / np.linalg.norm(points, axis=1, keepdims=True)
    return points


def _direction(rng: np.random.Generator) -> NDArray[np.float64]:
    vector = rng.standard_normal(3)
    unit: NDArray[np.float64] = vector / np.linalg.norm(vector)
    return unit
