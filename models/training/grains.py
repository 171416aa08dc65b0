"""Single microcalcifications as bodies of balls, and how far the beam runs through them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from models.contract import BoxPx

FINEST_MM = 0.04
"""Grains are drawn at this spacing or finer, then averaged over the image's pixels as its detector does."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Grain:
    """One calcification, as its view shows it: the union of balls.

    Attributes
    ----------
    balls_mm : numpy.ndarray
        Shape ``(n, 3)``: x, y of the centre relative to the cluster's, and radius.
    hollow : float
        Share of each radius that is not calcified, 0 (solid) to below 1 (a rim).
    density : float
        Calcium in proportion to compact hydroxyapatite, 0 to 1.
    """

    balls_mm: NDArray[np.float64]
    hollow: float = 0.0
    density: float = 1.0

    @property
    def box_mm(self) -> tuple[float, float, float, float]:
        """Smallest ``(x0, y0, x1, y1)`` around it, relative to the cluster's centre."""
        x, y, radius = self.balls_mm.T
        return (
            float((x - radius).min()),
            float((y - radius).min()),
            float((x + radius).max()),
            float((y + radius).max()),
        )


def round_grain(x_mm: float, y_mm: float, radius_mm: float, *, hollow: float = 0.0) -> Grain:
    """One ball."""
    return Grain(balls_mm=np.array([[x_mm, y_mm, radius_mm]]), hollow=hollow)


def lobed_grain(rng: np.random.Generator, x_mm: float, y_mm: float, radius_mm: float, lobes: int) -> Grain:
    """Balls of unequal size about one centre: a pleomorphic grain, or with many lobes a coarse one."""
    offsets = rng.normal(0.0, 0.55 * radius_mm, size=(lobes, 2))
    radii = radius_mm * rng.uniform(0.45, 1.0, size=lobes)
    balls = np.column_stack([x_mm + offsets[:, 0], y_mm + offsets[:, 1], radii])
    return Grain(balls_mm=balls)


def linear_grain(
    rng: np.random.Generator, at_mm: tuple[float, float], radius_mm: float, length_mm: float, angle: float
) -> Grain:
    """A crooked rod, now and then forked: the cast of a piece of duct."""
    stem = _crooked(rng, at_mm, radius_mm, length_mm, angle)
    if rng.random() < 0.35:
        fork = stem[int(rng.integers(len(stem)))]
        turned = angle + rng.choice([-1.0, 1.0]) * rng.uniform(0.5, 1.2)
        stem = np.concatenate([stem, _crooked(rng, (fork[0], fork[1]), 0.8 * radius_mm, 0.6 * length_mm, turned)])
    return Grain(balls_mm=stem)


def path_lengths_mm(
    grains: Sequence[Grain], centre_px: tuple[float, float], shape: tuple[int, ...], spacing_mm: float, blur_mm: float
) -> tuple[NDArray[np.float32], tuple[slice, slice]]:
    """How far the beam runs through calcium, averaged over each pixel.

    Parameters
    ----------
    grains : sequence of Grain
        Not empty.
    centre_px : tuple of float
        Where the cluster's centre lies, ``(x, y)``.
    shape : tuple of int
        Of the image, ``(rows, columns)``.
    spacing_mm : float
        Of the image.
    blur_mm : float
        Standard deviation of the point spread before sampling: focal spot, screen, digitiser.

    Returns
    -------
    lengths : numpy.ndarray
        float32, in mm of compact calcium; only the part of the image that the grains reach.
    window : tuple of slice
        Rows and columns of that part; may be empty.
    """
    margin_px = 1 + math.ceil(3.0 * blur_mm / spacing_mm)
    boxes = np.array([grain.box_mm for grain in grains]) / spacing_mm
    left, top = np.floor(boxes[:, :2].min(axis=0) + centre_px).astype(int) - margin_px
    right, bottom = np.ceil(boxes[:, 2:].max(axis=0) + centre_px).astype(int) + margin_px
    left, top = max(left, 0), max(top, 0)
    right, bottom = max(min(right, shape[1]), left), max(min(bottom, shape[0]), top)
    finer = max(1, math.ceil(spacing_mm / FINEST_MM))
    canvas = np.zeros(((bottom - top) * finer, (right - left) * finer), dtype=np.float32)
    if canvas.size:
        origin_mm = ((centre_px[0] - left) * spacing_mm, (centre_px[1] - top) * spacing_mm)
        for grain in grains:
            _draw(canvas, grain, origin_mm, spacing_mm / finer)
        ndimage.gaussian_filter(canvas, blur_mm * finer / spacing_mm, output=canvas, mode="constant")
    blocks = canvas.reshape(bottom - top, finer, right - left, finer)
    lengths: NDArray[np.float32] = blocks.mean(axis=(1, 3), dtype=np.float32)
    return lengths, np.s_[top:bottom, left:right]


def box_around(grains: Sequence[Grain], centre_px: tuple[float, float], spacing_mm: float, margin_mm: float) -> BoxPx:
    """Smallest box around all grains and a margin, in pixels of the image; it may reach beyond the image."""
    boxes = np.array([grain.box_mm for grain in grains])
    x0, y0 = (boxes[:, :2].min(axis=0) - margin_mm) / spacing_mm + centre_px
    x1, y1 = (boxes[:, 2:].max(axis=0) + margin_mm) / spacing_mm + centre_px
    return float(x0), float(y0), float(x1), float(y1)


def _draw(canvas: NDArray[np.float32], grain: Grain, origin_mm: tuple[float, float], fine_mm: float) -> None:
    """Add one grain: the union of its balls, taken as the longest chord at each point."""
    x0, y0, x1, y1 = grain.box_mm
    left, right = _span(origin_mm[0] + x0, origin_mm[0] + x1, fine_mm, canvas.shape[1])
    top, bottom = _span(origin_mm[1] + y0, origin_mm[1] + y1, fine_mm, canvas.shape[0])
    if left >= right or top >= bottom:
        return
    x = ((np.arange(left, right) + 0.5) * fine_mm - origin_mm[0]).astype(np.float32)
    y = ((np.arange(top, bottom) + 0.5) * fine_mm - origin_mm[1]).astype(np.float32)
    chords = np.zeros((y.size, x.size), dtype=np.float32)
    for ball_x, ball_y, radius in grain.balls_mm:
        squared = (x - np.float32(ball_x))[None, :] ** 2 + (y - np.float32(ball_y))[:, None] ** 2
        chord = np.sqrt(np.maximum(radius**2 - squared, 0.0))
        if grain.hollow > 0:
            chord -= np.sqrt(np.maximum((grain.hollow * radius) ** 2 - squared, 0.0))
        np.maximum(chords, 2.0 * chord, out=chords)
    canvas[top:bottom, left:right] += np.float32(grain.density) * chords


def _span(low_mm: float, high_mm: float, fine_mm: float, size: int) -> tuple[int, int]:
    return max(math.floor(low_mm / fine_mm), 0), min(math.ceil(high_mm / fine_mm), size)


def _crooked(
    rng: np.random.Generator, at_mm: tuple[float, float], radius_mm: float, length_mm: float, angle: float
) -> NDArray[np.float64]:
    steps = max(1, math.ceil(length_mm / (0.8 * radius_mm)))
    angles = angle + np.cumsum(rng.normal(0.0, 0.18, size=steps))
    x = at_mm[0] + np.cumsum(np.cos(angles)) * 0.8 * radius_mm
    y = at_mm[1] + np.cumsum(np.sin(angles)) * 0.8 * radius_mm
    radii = radius_mm * rng.uniform(0.7, 1.15, size=steps)
    return np.column_stack([x, y, radii])
