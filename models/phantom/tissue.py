"""Breast tissue as brightness: the outline, the roll-off at the skin, the parenchyma, the pectoral muscle.

Arrays here are of a left breast: column 0 is the chest wall.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import fft, ndimage

from models.phantom.anatomy import Breast, ViewGeometry

Image = NDArray[np.float32]

POWER_LAW_EXPONENT = 3.0
"""Mammograms have a power spectrum of about 1 / f^3: Burgess, Jacobson, Judy, Med Phys 28 (2001) 419."""

SKIN_MM = 1.45
"""Mean thickness of breast skin: Huang, Boone, Yang et al., Med Phys 35 (2008) 1199."""

FAT, GLAND, MUSCLE, SKIN = 0.24, 0.5, 0.56, 0.1
"""Brightness of fat alone, and what pure gland and skin add to it; that of muscle. They look like a processed image."""

COARSE = 4
"""The parenchyma varies slowly (see `POWER_LAW_EXPONENT`), so that it is made at a quarter of the resolution."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Frame:
    """Where the breast lies in an image: its nipple's height, the skin's distance from the chest wall in every row.

    Attributes
    ----------
    nipple_mm : float
        From the upper edge.
    skin_squared_mm2 : numpy.ndarray
        Shape ``(rows,)``: square of the distance; not above 0 where the row has no breast.
    """

    breast: Breast
    geometry: ViewGeometry
    spacing_mm: float
    nipple_mm: float
    skin_squared_mm2: Image


def lay_out(breast: Breast, geometry: ViewGeometry, rows: int, spacing_mm: float) -> Frame:
    """Place the breast in an image of `rows`: a half ellipse on the chest wall, a nipple, in MLO open to the axilla."""
    nipple_mm = geometry.nipple_at * rows * spacing_mm
    up_mm = nipple_mm - (np.arange(rows, dtype=np.float64) + 0.5) * spacing_mm
    ellipse = 1.0 - (up_mm / breast.half_height_mm) ** 2
    towards_axilla = 1.0 - (1.0 - geometry.axilla**2) * (up_mm / nipple_mm) ** 2
    shape = np.where((up_mm > 0) & (geometry.axilla > 0), towards_axilla, ellipse)
    nipple = 1.0 + 0.045 * np.exp(-0.5 * (up_mm / (0.045 * breast.half_height_mm)) ** 2)
    skin_squared = (breast.protrusion_mm * nipple) ** 2 * shape
    return Frame(
        breast=breast,
        geometry=geometry,
        spacing_mm=spacing_mm,
        nipple_mm=nipple_mm,
        skin_squared_mm2=skin_squared.astype(np.float32),
    )


def depth_under_skin_mm(frame: Frame, columns: int, step: int = 1) -> Image:
    """Return how far each pixel lies inside the skin, negative outside, to first order; every `step`-th pixel."""
    offset = (step - 1) // 2
    squared = frame.skin_squared_mm2
    slope = np.gradient(squared, np.float32(frame.spacing_mm))[offset::step, None]
    x_mm = (np.arange(columns, dtype=np.float32)[offset::step] + 0.5)[None, :] * np.float32(frame.spacing_mm)
    steepness = np.sqrt(4.0 * x_mm**2 + slope**2)
    depth = (squared[offset::step, None] - x_mm**2) / np.maximum(steepness, np.float32(1e-3))
    return depth.astype(np.float32, copy=False)


def power_law_noise(rng: np.random.Generator, rows: int, columns: int, exponent: float = POWER_LAW_EXPONENT) -> Image:
    """Return noise whose power falls with ``1 / f^exponent``, mean 0 and standard deviation 1."""
    white = rng.standard_normal((rows, columns), dtype=np.float32)
    spectrum = fft.rfft2(white)
    frequency = np.hypot(fft.fftfreq(rows)[:, None], fft.rfftfreq(columns)[None, :]).astype(np.float32)
    frequency[0, 0] = 1.0
    spectrum *= frequency ** np.float32(-exponent / 2)
    spectrum[0, 0] = 0.0
    noise: Image = fft.irfft2(spectrum, s=(rows, columns))
    noise /= noise.std()
    return noise


def breast_brightness(frame: Frame, columns: int, rng: np.random.Generator) -> tuple[Image, NDArray[np.bool_]]:
    """Return brightness, 0 to about 1, and the mask of the breast; brightness outside the mask means nothing."""
    depth_mm = depth_under_skin_mm(frame, columns)
    tissue = _enlarged(_tissue(frame, columns, rng), depth_mm.shape)
    rolled_off = _share_of_thickness(depth_mm, frame.breast.thickness_mm)
    tissue *= rolled_off
    tissue += SKIN * np.exp(-((depth_mm / SKIN_MM) ** 2))
    return tissue, depth_mm > 0


def _share_of_thickness(depth_mm: Image, thickness_mm: float) -> Image:
    """The free edge of a compressed breast is round: half a circle as high as the breast is thick.

    Processing for presentation takes most of that fall back (peripheral equalisation); the exponent is what it leaves.
    """
    inwards = np.clip(1.0 - depth_mm / np.float32(0.35 * thickness_mm), 0.0, 1.0)
    share: Image = (1.0 - inwards**2) ** np.float32(0.4)
    return share


def _tissue(frame: Frame, columns: int, rng: np.random.Generator) -> Image:
    """Fat, parenchyma and muscle, without the outline, at `COARSE` resolution."""
    depth_mm = depth_under_skin_mm(frame, columns, COARSE)
    clumps = power_law_noise(rng, *depth_mm.shape)
    strands = _strands(frame, depth_mm.shape, rng)
    gland = _where_gland_is(frame, depth_mm) + 0.33 * clumps + 0.17 * strands
    share = frame.breast.density / (1.0 + np.exp(-5.0 * (gland - 0.55)))
    tissue = FAT + GLAND * share + 0.025 * clumps + 0.02 * strands
    if frame.geometry.pectoral > 0:
        muscle = _pectoral(frame, depth_mm.shape)
        tissue += muscle * (MUSCLE + 0.02 * clumps + 0.35 * (tissue - FAT) - tissue)
    brightness: Image = tissue.astype(np.float32, copy=False)
    return brightness


def _coarse_mm(frame: Frame, shape: tuple[int, int]) -> tuple[Image, Image]:
    """Return ``(distance from the chest wall, distance up from the nipple)`` of coarse pixels, broadcastable."""
    step_mm = COARSE * frame.spacing_mm
    x_mm = (np.arange(shape[1], dtype=np.float32) + 0.5)[None, :] * np.float32(step_mm)
    up_mm = np.float32(frame.nipple_mm) - (np.arange(shape[0], dtype=np.float32) + 0.5)[:, None] * np.float32(step_mm)
    return x_mm, up_mm


def _where_gland_is(frame: Frame, depth_mm: Image) -> Image:
    """Highest behind the nipple; falling off to the fat under the skin and in front of the muscle."""
    x_mm, up_mm = _coarse_mm(frame, (depth_mm.shape[0], depth_mm.shape[1]))
    breast = frame.breast
    around = ((x_mm / breast.protrusion_mm - 0.58) / 0.42) ** 2 + (up_mm / (0.72 * breast.half_height_mm)) ** 2
    under_skin = np.clip(depth_mm / np.float32(0.12 * breast.protrusion_mm) - 0.3, 0.0, 1.0)
    gland: Image = np.exp(-around) * under_skin
    return gland


def _strands(frame: Frame, shape: tuple[int, int], rng: np.random.Generator) -> Image:
    """Noise drawn out towards the nipple, as ducts and ligaments run."""
    x_mm, up_mm = _coarse_mm(frame, shape)
    behind_mm = np.float32(1.06 * frame.breast.protrusion_mm) - x_mm
    angle = np.arctan2(np.broadcast_to(up_mm, shape), np.broadcast_to(behind_mm, shape))
    radius_mm = np.hypot(behind_mm, up_mm)
    polar = power_law_noise(rng, 256, 512, exponent=2.2)
    at = np.stack([radius_mm * np.float32(40.0 / frame.breast.protrusion_mm), (angle + np.float32(np.pi)) * 80.0])
    drawn = ndimage.map_coordinates(polar, at, order=1, mode="grid-wrap", output=np.float32)
    strands: Image = drawn
    return strands


def _pectoral(frame: Frame, shape: tuple[int, int]) -> Image:
    """Return the share of muscle: a triangle at the upper chest wall, its edge slightly bulging, down to the nipple."""
    x_mm, up_mm = _coarse_mm(frame, shape)
    height = np.clip(up_mm / frame.nipple_mm, 0.0, 1.0)  # 0 at the level of the nipple, 1 at the upper edge
    edge_mm = frame.geometry.pectoral * frame.breast.protrusion_mm * height**0.85
    muscle: Image = 1.0 / (1.0 + np.exp(np.clip((x_mm - edge_mm) / 0.7, -30.0, 30.0)))
    return muscle * (up_mm > 0)


def _enlarged(coarse: Image, shape: tuple[int, ...]) -> Image:
    """Interpolate linearly from coarse pixels to `shape`, by rows, then by columns."""
    return _stretched(_stretched(coarse, shape[0]).T, shape[1]).T


def _stretched(values: Image, length: int) -> Image:
    """Interpolate the first axis linearly to `length`; coarse pixel i covers fine pixels ``COARSE * i`` onwards."""
    position = np.clip((np.arange(length, dtype=np.float32) - (COARSE - 1) // 2) / COARSE, 0, len(values) - 1)
    below = np.minimum(position.astype(np.intp), max(len(values) - 2, 0))
    share = (position - below)[:, None]
    above = np.minimum(below + 1, len(values) - 1)
    stretched: Image = values[below] * (1.0 - share) + values[above] * share
    return stretched
