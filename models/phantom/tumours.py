"""Simulated tumours: small pictures whose lesion shows one number, and nothing else that depends on it.

The number is a latent of `models.phantom.observer`. Two properties of the lesion grow with it: how much brighter (in
ultrasound, darker) it is than what is around it, and how strong the texture inside it is. Both are set exactly, over
the lesion's own pixels, so that little but the picture's noise stands between the latent and who reads it. The texture
is isotropic and its grain stays visible when the lesion is scaled to 64 pixels; neither property changes by turning or
flipping the picture, nor by making all of it somewhat brighter. Size, shape, place and tissue are drawn without it.

This is a test of the machinery, not of medicine: no tumour looks like that.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy import fft, ndimage

from models.phantom.tissue import power_law_noise
from models.regions.contract import View

Image = NDArray[np.float32]
Mask = NDArray[np.bool_]

SIDE_PX: Final = 352
SPACING_MM: Final = 0.15
DIAMETER_MM: Final = (8.0, 25.0)
MARGIN_PX: Final = 12
"""Between a lesion and the picture's edge, at least."""

STEEPNESS: Final = 0.6
"""Of the logistic function of the latent that brightness and texture follow: latents reach from about -4.5 to 4.5."""

CONTRAST: Final = (0.04, 0.28)
TEXTURE: Final = (0.01, 0.09)
"""Limits of the brightness above the surround, and of the texture's standard deviation; white is 1."""

GRAIN_MM: Final = (1.2, 2.4)
"""Wavelengths of the texture: 8 pixels at least, so 3 when the largest lesion is scaled to 64 pixels."""

TISSUE_LEVEL: Final = {"CC": (0.25, 0.35), "MLO": (0.25, 0.35), "US": (0.55, 0.65)}
TISSUE_CONTRAST: Final = 0.04
NOISE: Final = 0.004
HARMONICS: Final = range(2, 7)
MOST_LOBED: Final = 1.35
"""Greatest distance of an outline from its centre, in units of its radius; the least is as much below 1."""

RING_PX: Final = 8
"""Width of the surround that a lesion's brightness is measured from."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TumourView:
    """One simulated tumour on one picture.

    Attributes
    ----------
    pixels : numpy.ndarray
        Shape ``(SIDE_PX, SIDE_PX)``, uint8, MONOCHROME2, `SPACING_MM` a pixel.
    mask, second_mask : numpy.ndarray
        Of the same shape, bool: the lesion, and the lesion as another reader would outline it.
    """

    pixels: NDArray[np.uint8]
    mask: Mask
    second_mask: Mask


def look(latent: float) -> tuple[float, float]:
    """Brightness above the surround and standard deviation of the texture, strictly monotone in the latent."""
    share = 1.0 / (1.0 + math.exp(-STEEPNESS * latent))
    return _between(CONTRAST, share), _between(TEXTURE, share)


def make_tumour_view(latent: float, view: View, rng: np.random.Generator) -> TumourView:
    """Draw a picture.

    Parameters
    ----------
    latent : float
        What its lesion shows.
    view : {"CC", "MLO", "US"}
        Ultrasound has layers and a dark lesion.
    rng : numpy.random.Generator
        Of everything else; the same state and another latent give the same lesion in the same tissue.
    """
    mask, second_mask = _outlines(rng)
    tissue = _tissue(view, rng)
    texture = _texture(mask, rng)
    noise = rng.standard_normal(tissue.shape, dtype=np.float32) * np.float32(NOISE)
    contrast, strength = look(latent)
    ring = ndimage.binary_dilation(mask, iterations=RING_PX) & ~mask
    level = tissue[ring].mean() + (-contrast if view == "US" else contrast)
    lesion = np.float32(level) + np.float32(strength) * texture
    share = ndimage.gaussian_filter(mask.astype(np.float32), 0.7)
    brightness = tissue + share * (lesion - tissue) + noise
    pixels = np.clip(np.rint(brightness * 255.0), 0, 255).astype(np.uint8)
    return TumourView(pixels=pixels, mask=mask, second_mask=second_mask)


def _outlines(rng: np.random.Generator) -> tuple[Mask, Mask]:
    """A lobed outline around a random place, and one a little off it: that of another reader."""
    radius_px = rng.uniform(*DIAMETER_MM) / 2 / SPACING_MM
    amplitudes = rng.normal(0.0, 0.06, (2, len(HARMONICS))) / np.sqrt(HARMONICS)
    wobble = rng.normal(0.0, 0.012, (2, len(HARMONICS)))
    room_px = radius_px * MOST_LOBED + MARGIN_PX
    centre = rng.uniform(room_px, SIDE_PX - room_px, 2)
    shift, growth = rng.normal(0.0, 0.02 * radius_px, 2), rng.normal(0.0, 0.02)
    return (
        _lobed(centre, radius_px, amplitudes),
        _lobed(centre + shift, radius_px * (1.0 + growth), amplitudes + wobble),
    )


def _lobed(centre: NDArray[np.float64], radius_px: float, amplitudes: NDArray[np.float64]) -> Mask:
    """Pixels within ``radius * (1 + sum of harmonics)`` of the centre; the box around them lies in the picture."""
    reach_px = radius_px * MOST_LOBED + 1.0
    first, last = np.floor(centre - reach_px).astype(int), np.ceil(centre + reach_px).astype(int)
    rows, columns = np.ogrid[first[0] : last[0], first[1] : last[1]]
    down, right = rows + 0.5 - centre[0], columns + 0.5 - centre[1]
    around = np.linspace(-np.pi, np.pi, 721)
    waves = np.outer(around, np.array(HARMONICS))
    lobes = np.cos(waves) @ amplitudes[0] + np.sin(waves) @ amplitudes[1]
    radii = radius_px * np.clip(1.0 + lobes, 2.0 - MOST_LOBED, MOST_LOBED)
    mask = np.zeros((SIDE_PX, SIDE_PX), dtype=np.bool_)
    within = np.hypot(down, right) <= np.interp(np.arctan2(down, right), around, radii)
    mask[first[0] : last[0], first[1] : last[1]] = within
    return mask


def _tissue(view: View, rng: np.random.Generator) -> Image:
    level = rng.uniform(*TISSUE_LEVEL[view])
    clouds = power_law_noise(rng, SIDE_PX, SIDE_PX)
    if view == "US":  # layers lie along the skin
        clouds = ndimage.uniform_filter1d(clouds, SIDE_PX // 4, axis=1, mode="wrap")
        clouds /= clouds.std()
    tissue: Image = np.float32(level) + np.float32(TISSUE_CONTRAST) * np.clip(clouds, -3.0, 3.0)
    return tissue


def _texture(mask: Mask, rng: np.random.Generator) -> Image:
    """Isotropic noise of the wavelengths `GRAIN_MM`: over the mask of mean 0 and standard deviation 1."""
    spectrum = fft.rfft2(rng.standard_normal(mask.shape, dtype=np.float32))
    per_mm = np.hypot(fft.fftfreq(SIDE_PX)[:, None], fft.rfftfreq(SIDE_PX)[None, :]) / SPACING_MM
    spectrum[(per_mm < 1.0 / GRAIN_MM[1]) | (per_mm > 1.0 / GRAIN_MM[0])] = 0.0
    texture: Image = fft.irfft2(spectrum, s=mask.shape)
    texture -= texture[mask].mean()
    texture /= texture[mask].std()
    return texture


def _between(limits: tuple[float, float], share: float) -> float:
    return limits[0] + share * (limits[1] - limits[0])
