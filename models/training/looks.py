"""How calcium looks on film and on a digital detector: contrast, blur, steps of the digitiser.

Compact hydroxyapatite attenuates about 2 per mm more than breast tissue at 20 keV (elements of NIST XCOM, density
3.16 g/cm3); calcifications are less compact, which `Grain.density` and the spread below stand for. Scattered light
takes a third of the contrast on film behind a grid (scatter-to-primary ratio about 0.5).

*Film*: an average gradient of 3.2 over an optical density range of 3.2, as mini-MIAS was digitised, gives
``2 * log10(e) * 3.2 / 3.2 / 1.5 = 0.58`` of full brightness a mm. The characteristic curve is steepest in mid-greys and
flat in toe and shoulder (Hurter and Driffield): the slope follows ``4 b (1 - b)`` of the brightness b.
*Digital*, processed for presentation: log exposure over a window of 2 to 3 nepers, 0.6 to 0.9 a mm.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

import numpy as np
from numpy.typing import NDArray

from models.training.contract import Medium, TrainingImage

Image = NDArray[np.float32]

FLATTEST: Final = 0.35
"""Least share of the greatest slope that the film's curve keeps: real films are exposed clear of toe and shoulder."""

SAMPLED_PX: Final = 16
"""Of rows and columns, every so many are looked at to tell the quantisation of an image."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """How one image shows calcium.

    Attributes
    ----------
    per_mm : float
        Brightness (of 0 to 1) that 1 mm of compact calcium adds where the curve is steepest.
    blur_mm : float
        Standard deviation of the point spread, before sampling.
    film_curve : bool
        Whether the slope depends on the brightness.
    step : float
        Quantisation, 0 for none.
    """

    per_mm: float
    blur_mm: float
    film_curve: bool
    step: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Exposure:
    """An image, or a crop of one, that things are drawn into.

    Attributes
    ----------
    pixels : numpy.ndarray
        Shape ``(rows, columns)``, float32, 0 (air) to 1; changed in place.
    spacing_mm : float
        Rows and columns alike.
    look : Look
        Of its calcium.
    """

    pixels: Image
    spacing_mm: float
    look: Look


RANGES: Final[Mapping[Medium, tuple[tuple[float, float], tuple[float, float]]]] = MappingProxyType(
    {
        # Contrast a mm, blur in mm. Screen-film systems with a digitiser blur more than a direct detector.
        "film": ((0.15, 0.7), (0.05, 0.12)),
        "digital": ((0.25, 1.2), (0.025, 0.07)),
    }
)


def step_of(image: TrainingImage) -> float:
    """Return the quantisation of an image: ``1 / 255`` when all its values are steps of 8 bits, else 0."""
    values = image.pixels[::SAMPLED_PX, ::SAMPLED_PX] * np.float32(255.0)
    return 1.0 / 255.0 if bool(np.all(np.abs(values - np.rint(values)) < 1e-3)) else 0.0


def draw_look(rng: np.random.Generator, medium: Medium, step: float) -> Look:
    """Draw the look of an image: contrast log-evenly, blur evenly in the ranges of `RANGES`.

    Parameters
    ----------
    step : float
        Of its quantisation, 0 for none: see `step_of`.
    """
    (low, high), blur = RANGES[medium]
    return Look(
        per_mm=float(np.exp(rng.uniform(np.log(low), np.log(high)))),
        blur_mm=float(rng.uniform(*blur)),
        film_curve=medium == "film",
        step=step,
    )


def slope(brightness: Image, look: Look) -> Image:
    """Share of the greatest contrast that each pixel has, `FLATTEST` to 1."""
    if not look.film_curve:
        return np.ones_like(brightness)
    curve: Image = np.clip(4.0 * brightness * (1.0 - brightness), FLATTEST, 1.0).astype(np.float32)
    return curve


def finish(exposure: Exposure) -> Image:
    """Return the image clipped to 0 to 1 and rounded to the digitiser's steps."""
    shown, step = np.clip(exposure.pixels, 0.0, 1.0), exposure.look.step
    if step:
        shown = np.rint(shown / step) * step
    return shown.astype(np.float32, copy=False)
