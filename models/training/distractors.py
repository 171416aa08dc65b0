"""What is bright, small or thin on a mammogram and no cluster of calcifications: the detector must leave it alone."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage, special

from models.training.clusters import make_cluster
from models.training.contract import Medium
from models.training.grains import Grain, linear_grain, lobed_grain, path_lengths_mm, round_grain
from models.training.looks import Exposure, slope
from models.training.planting import AIR, fewer, noise_level

Image = NDArray[np.float32]
Drawer = Callable[[np.random.Generator, Exposure], None]

SPARSE_PER_CM2: Final = 0.7
"""Dust and single grains are drawn no denser."""

APART_MM: Final = 4.0
"""Nor closer to each other: of two grains a place, fewer than five are then within 1 cm, which would be a group."""

METAL: Final = 1.0
"""Brightness of metal and lead, which stop the beam."""


def draw_distractors(rng: np.random.Generator, exposure: Exposure, medium: Medium) -> None:
    """Add up to three kinds of distractors to an image, in place.

    Parameters
    ----------
    exposure : Exposure
        The image.
    medium : {"film", "digital"}
        Scratches and dust are of films.
    """
    names = list(KINDS)
    weights = np.array([KINDS[name][medium] for name in names])
    chosen = rng.choice(len(names), size=int(rng.integers(0, 4)), replace=False, p=weights / weights.sum())
    for index in sorted(chosen):
        DRAWERS[names[index]](rng, exposure)


def _dust(rng: np.random.Generator, exposure: Exposure) -> None:
    """Specks on the film or the screen: sharp, one or two pixels, bright or dark, not blurred as the breast is."""
    pixels = exposure.pixels
    for x, y in _sparse_places(rng, exposure).astype(int):
        side = int(rng.integers(1, 3))
        strength = rng.uniform(0.05, 0.5) * (1.0 if rng.random() < 0.6 else -1.0)
        pixels[y : y + side, x : x + int(rng.integers(1, 3))] += np.float32(strength)


def _scratch(rng: np.random.Generator, exposure: Exposure) -> None:
    """Thin, long, nearly straight, sharp; bright or dark, sometimes broken into pieces."""
    pixels, spacing_mm = exposure.pixels, exposure.spacing_mm
    strength = rng.uniform(0.03, 0.3) * (1.0 if rng.random() < 0.6 else -1.0)
    points = _curve(rng, pixels.shape, rng.uniform(3.0, 40.0) / spacing_mm, bend=0.004)
    if rng.random() < 0.4:
        points = points[(np.arange(len(points)) // int(rng.integers(3, 15))) % 2 == 0]
    _stroke(pixels, points, sigma_px=0.35, strength=strength)


def _ligaments(rng: np.random.Generator, exposure: Exposure) -> None:
    """Soft lines that cross: each crossing is a bright point."""
    pixels, spacing_mm = exposure.pixels, exposure.spacing_mm
    middle = rng.uniform(0.2, 0.8, size=2) * pixels.shape[::-1]
    for _ in range(int(rng.integers(2, 5))):
        through = middle + rng.normal(0.0, 2.0 / spacing_mm, size=2)
        points = _curve(rng, pixels.shape, rng.uniform(8.0, 25.0) / spacing_mm, bend=0.006, through=through)
        _stroke(pixels, points, sigma_px=rng.uniform(0.1, 0.35) / spacing_mm, strength=rng.uniform(0.01, 0.06))


def _vessel(rng: np.random.Generator, exposure: Exposure) -> None:
    """Calcified walls of an artery: two parallel broken lines of calcium (BI-RADS, "typically benign: vascular")."""
    pixels = exposure.pixels
    centre = rng.uniform(0.1, 0.9, size=2) * pixels.shape[::-1]
    width_mm, length_mm, angle = rng.uniform(0.8, 2.5), rng.uniform(8.0, 30.0), rng.uniform(0.0, 2 * math.pi)
    bend = rng.normal(0.0, 0.008)
    grains: list[Grain] = []
    for side in (-0.5, 0.5):
        for start_mm in np.arange(-length_mm / 2, length_mm / 2, 0.5):
            if rng.random() < 0.55:
                x, y = start_mm, side * width_mm + bend * start_mm**2 + rng.normal(0.0, 0.06)
                turned_x = math.cos(angle) * x - math.sin(angle) * y
                turned_y = math.sin(angle) * x + math.cos(angle) * y
                heading = angle + math.atan(2.0 * bend * start_mm)
                grains.append(linear_grain(rng, (turned_x, turned_y), rng.uniform(0.06, 0.14), 0.5, heading))
    _add_calcium(exposure, grains, (float(centre[0]), float(centre[1])), strength=rng.uniform(0.5, 1.2))


def _single_grains(rng: np.random.Generator, exposure: Exposure) -> None:
    """One or two grains apart: real, and no group."""
    for centre in _sparse_places(rng, exposure):
        made = fewer(make_cluster(rng, "benign" if rng.random() < 0.7 else "malignant"), int(rng.integers(1, 3)))
        first = np.append(made.grains[0].balls_mm[0, :2], 0.0)
        about = [replace(grain, balls_mm=grain.balls_mm - first) for grain in made.grains]
        near = [grain for grain in about if np.hypot(*grain.balls_mm[0, :2]) < APART_MM / 2]
        _add_calcium(exposure, near, (float(centre[0]), float(centre[1])))


def _skin_marker(rng: np.random.Generator, exposure: Exposure) -> None:
    """A lead or steel ball stuck on the skin, 1.5 to 2.5 mm, or a mole marker's ring."""
    pixels = exposure.pixels
    centre = rng.uniform(0.05, 0.95, size=2) * pixels.shape[::-1]
    hollow = 0.0 if rng.random() < 0.6 else rng.uniform(0.7, 0.9)
    radius_mm = rng.uniform(0.6, 1.3) if hollow == 0.0 else rng.uniform(2.0, 6.0)
    _add_metal(rng, exposure, [round_grain(0.0, 0.0, radius_mm, hollow=hollow)], centre)


def _clip(rng: np.random.Generator, exposure: Exposure) -> None:
    """A biopsy clip or a piece of wire: a bent rod of even width, 2 to 4 mm, white."""
    pixels = exposure.pixels
    centre = rng.uniform(0.05, 0.95, size=2) * pixels.shape[::-1]
    angle, radius_mm = rng.uniform(0.0, 2 * math.pi), rng.uniform(0.12, 0.3)
    rod = linear_grain(rng, (0.0, 0.0), radius_mm, rng.uniform(1.5, 4.0), angle)
    _add_metal(rng, exposure, [rod], centre)


def _label(rng: np.random.Generator, exposure: Exposure) -> None:
    """Letters of a lead marker or of a name plate: strokes of one width in a row, upright or on their side."""
    pixels, spacing_mm = exposure.pixels, exposure.spacing_mm
    corner = rng.uniform(0.0, 0.8, size=2) * pixels.shape[::-1]
    height_px, sigma_px = rng.uniform(2.0, 7.0) / spacing_mm, rng.uniform(0.15, 0.4) / spacing_mm
    brightness = rng.uniform(0.3, METAL)
    drawn = np.zeros_like(pixels)
    turned = bool(rng.random() < 0.4)
    for letter in range(int(rng.integers(1, 7))):
        for _ in range(int(rng.integers(2, 5))):
            ends = rng.choice([0.0, 0.5, 1.0], size=(2, 2)) * height_px * [0.6, 1.0]
            ends[:, 0] += letter * 0.85 * height_px
            steps = np.linspace(0.0, 1.0, max(2, int(height_px)))[:, None]
            points = ends[0] + steps * (ends[1] - ends[0])
            _stroke(drawn, corner + (points[:, ::-1] if turned else points), sigma_px=sigma_px, strength=1.0)
    shape = np.minimum(drawn, 1.0)
    pixels += shape * np.maximum(brightness - pixels, 0.0)


def _bright_blob(rng: np.random.Generator, exposure: Exposure) -> None:
    """A single coarse calcification or a small dense nodule: bright, alone, 1 to 6 mm."""
    pixels, spacing_mm = exposure.pixels, exposure.spacing_mm
    centre = rng.uniform(0.05, 0.95, size=2) * pixels.shape[::-1]
    if rng.random() < 0.5:
        body = [lobed_grain(rng, 0.0, 0.0, rng.uniform(0.5, 2.0), int(rng.integers(1, 10)))]
        _add_calcium(exposure, body, (float(centre[0]), float(centre[1])), strength=0.6)
    else:
        y, x = np.mgrid[: pixels.shape[0], : pixels.shape[1]]
        radius_px = rng.uniform(1.0, 4.0) / spacing_mm
        distance = np.hypot(x - centre[0], y - centre[1]) / radius_px
        pixels += (rng.uniform(0.03, 0.15) * special.expit(8.0 * (1.0 - distance))).astype(np.float32)


DRAWERS: Final[dict[str, Drawer]] = {
    "dust": _dust,
    "scratch": _scratch,
    "ligaments": _ligaments,
    "vessel": _vessel,
    "single grains": _single_grains,
    "skin marker": _skin_marker,
    "clip": _clip,
    "label": _label,
    "bright blob": _bright_blob,
}

KINDS: Final[dict[str, dict[Medium, float]]] = {
    # How often each kind is drawn, in proportion.
    "dust": {"film": 3.0, "digital": 0.3},
    "scratch": {"film": 2.0, "digital": 0.2},
    "ligaments": {"film": 2.0, "digital": 2.0},
    "vessel": {"film": 1.5, "digital": 1.5},
    "single grains": {"film": 2.5, "digital": 2.5},
    "skin marker": {"film": 0.3, "digital": 0.7},
    "clip": {"film": 0.3, "digital": 0.7},
    "label": {"film": 0.5, "digital": 0.7},
    "bright blob": {"film": 1.0, "digital": 1.0},
}


def _sparse_places(rng: np.random.Generator, exposure: Exposure) -> NDArray[np.float64]:
    """Places at least `APART_MM` from each other, evenly drawn, shape ``(n, 2)``: x, y in pixels."""
    size_px = np.array(exposure.pixels.shape[::-1])
    area_cm2 = exposure.pixels.size * (exposure.spacing_mm / 10.0) ** 2
    wanted = 1 + int(rng.poisson(rng.uniform(0.0, SPARSE_PER_CM2) * area_cm2))
    places: list[NDArray[np.float64]] = []
    for place in rng.uniform(0.0, 1.0, size=(wanted, 2)) * size_px:
        if all(np.hypot(*(place - other)) * exposure.spacing_mm >= APART_MM for other in places):
            places.append(place)
    return np.array(places)


def _curve(
    rng: np.random.Generator,
    shape: tuple[int, ...],
    length_px: float,
    bend: float,
    through: NDArray[np.float64] | None = None,
) -> NDArray[np.float64]:
    """Points half a pixel apart along a gently bent line, shape ``(n, 2)``: x, y."""
    middle = rng.uniform(0.0, 1.0, size=2) * shape[::-1] if through is None else through
    steps = max(2, int(2 * length_px))
    angles = rng.uniform(0.0, 2 * math.pi) + np.cumsum(rng.normal(0.0, bend, size=steps))
    points = np.cumsum(np.column_stack([np.cos(angles), np.sin(angles)]), axis=0) / 2.0
    curve: NDArray[np.float64] = points - points[steps // 2] + middle
    return curve


def _stroke(pixels: Image, points: NDArray[np.float64], sigma_px: float, strength: float) -> None:
    """Draw a line of the given profile along points; `strength` is what its middle adds."""
    margin = 2 + math.ceil(3 * sigma_px)
    size = np.array(pixels.shape[::-1])
    low = np.maximum(np.floor(points.min(axis=0)).astype(int) - margin, 0)
    high = np.minimum(np.ceil(points.max(axis=0)).astype(int) + margin, size)
    if (low >= high).any():
        return
    mask = np.zeros((high[1] - low[1], high[0] - low[0]), dtype=np.float32)
    at = np.floor(points - low).astype(int)
    kept = at[((at >= 0) & (at < mask.shape[::-1])).all(axis=1)]
    if not len(kept):
        return
    mask[kept[:, 1], kept[:, 0]] = 1.0
    profile = ndimage.gaussian_filter(mask, sigma_px, mode="constant")
    pixels[low[1] : high[1], low[0] : high[0]] += np.float32(strength) * profile / profile.max()


def _add_calcium(
    exposure: Exposure, grains: Sequence[Grain], centre_px: tuple[float, float], strength: float = 1.0
) -> None:
    """Add grains, bright enough that the brightest can be seen."""
    if not grains:
        return
    pixels, look = exposure.pixels, exposure.look
    lengths, window = path_lengths_mm(grains, centre_px, pixels.shape, exposure.spacing_mm, look.blur_mm)
    if not lengths.size:
        return
    added = np.float32(strength * look.per_mm) * lengths * slope(pixels[window], look) * (pixels[window] > AIR)
    least = 3.0 * noise_level(exposure, centre_px)
    pixels[window] += added * max(1.0, least / max(float(added.max()), 1e-6))


def _add_metal(
    rng: np.random.Generator, exposure: Exposure, bodies: Sequence[Grain], centre: NDArray[np.float64]
) -> None:
    """Metal is as bright as it gets, whatever its thickness, with the blur of the image at its edge."""
    pixels, at = exposure.pixels, (float(centre[0]), float(centre[1]))
    lengths, window = path_lengths_mm(bodies, at, pixels.shape, exposure.spacing_mm, exposure.look.blur_mm)
    if not lengths.size:
        return
    opaque = 1.0 - np.exp(-lengths * 25.0)
    pixels[window] += opaque * np.maximum(rng.uniform(0.85, METAL) - pixels[window], 0.0)
