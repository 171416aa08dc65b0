"""How frames of ultrasound are varied: what changes from machine to machine, operator to operator, and must not count.

Everything is drawn from the generator that is passed in, so the same number gives the same picture.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

Pixels = NDArray[np.float32]

GAMMAS: Final = (0.7, 1.45)
GAINS: Final = (0.75, 1.3)
LIFTS: Final = (-0.06, 0.06)
DEPTH_GAIN: Final = 0.3
"""Most by which time gain compensation brightens or darkens the deep part against the shallow."""

SPECKLE: Final = 0.18
"""Greatest relative standard deviation of added speckle; it multiplies, as speckle does before compression."""

BLURS_PX: Final = (0.4, 1.1)
SHADOWS: Final = (0.25, 0.7)
"""Least and greatest darkness of an acoustic shadow."""

USUAL_RATIO: Final = 1.15
"""Columns over rows of a frame; frames are from upright to twice as wide as high."""

RATIO_SPREAD: Final = 0.22
RATIOS: Final = (0.68, 1.75)

P_SPECKLE, P_BLUR, P_SHADOW, P_MARKS = 0.5, 0.25, 0.2, 0.2
GREATEST_ANGLE: Final = math.radians(12.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Placement:
    """How a piece of a frame is laid on a canvas.

    Attributes
    ----------
    matrix : numpy.ndarray
        Shape ``(2, 3)``, float32: ``theta`` of ``torch.nn.functional.affine_grid``; from the canvas's ``(x, y, 1)``,
        -1 to 1, to the frame's ``(x, y)``, -1 to 1.
    """

    matrix: NDArray[np.float32]


def frame_placement(rng: np.random.Generator, shape: tuple[int, int], *, scales: tuple[float, float]) -> Placement:
    """Draw where a frame of ``(rows, columns)`` lies on a square canvas: mirrored, turned, scaled, shifted, stretched.

    The ratio of the sides is drawn alike for every frame. Releases hold some kinds of frames in other ratios
    than others (the normal ones of one are all square); were ratios kept, they would tell normal from not.
    """
    drawn = USUAL_RATIO * math.exp(RATIO_SPREAD * rng.standard_normal())
    ratio = min(max(drawn, RATIOS[0]), RATIOS[1])
    width, height = (1.0, 1.0 / ratio) if ratio >= 1.0 else (ratio, 1.0)
    scale = math.exp(rng.uniform(math.log(scales[0]), math.log(scales[1])))
    angle = rng.uniform(-GREATEST_ANGLE, GREATEST_ANGLE)
    # Enlarged, any part may be in view; made smaller, the frame stays near the middle.
    reach = max(0.06, 0.5 * (scale - 1.0))
    shift = rng.uniform(-reach, reach, size=2)
    mirror = -1.0 if rng.random() < 0.5 else 1.0
    return Placement(matrix=_inverse(width * scale * mirror, height * scale, angle, shift))


def roi_placement(rng: np.random.Generator, lesion: float, *, margins: tuple[float, float], shift: float) -> Placement:
    """Draw a region around a lesion that lies in the middle of a square patch, taking `lesion` of each side of it."""
    sides = lesion * (1.0 + 2.0 * rng.uniform(*margins, size=2))
    centre = rng.uniform(-shift, shift, size=2) * lesion
    angle = rng.uniform(-GREATEST_ANGLE, GREATEST_ANGLE)
    mirror = -1.0 if rng.random() < 0.5 else 1.0
    cos, sin = math.cos(angle), math.sin(angle)
    matrix = [
        [sides[0] * mirror * cos, -sides[1] * sin, centre[0]],
        [sides[0] * mirror * sin, sides[1] * cos, centre[1]],
    ]
    return Placement(matrix=np.array(matrix, dtype=np.float32))


def brightness_varied(rng: np.random.Generator, pixels: Pixels) -> Pixels:
    """Vary gamma, gain and depth gain, add speckle, blur, a shadow, calipers; what is black stays black."""
    out = np.clip(pixels, 0.0, 1.0) ** np.float32(rng.uniform(*GAMMAS))
    ramp = np.linspace(-1.0, 1.0, pixels.shape[0], dtype=np.float32)[:, None]
    out = out * (1.0 + np.float32(rng.uniform(-DEPTH_GAIN, DEPTH_GAIN)) * ramp) * np.float32(rng.uniform(*GAINS))
    if rng.random() < P_SPECKLE:
        out = out * _speckle(rng, pixels.shape)
    if rng.random() < P_SHADOW:
        out = out * _shadow(rng, pixels.shape)
    out += np.float32(rng.uniform(*LIFTS))
    if rng.random() < P_BLUR:
        out = ndimage.gaussian_filter(out, rng.uniform(*BLURS_PX))
    out = np.where(pixels > 0.0, out, 0.0)
    if rng.random() < P_MARKS:
        _draw_marks(rng, out)
    return np.asarray(np.clip(out, 0.0, 1.0), dtype=np.float32)


def _inverse(across: float, down: float, angle: float, shift: NDArray[np.float64]) -> NDArray[np.float32]:
    """Theta for content that is scaled by ``across`` and ``down``, turned by `angle`, then shifted."""
    turn = np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
    forward = turn @ np.diag([across, down])
    back = np.linalg.inv(forward)
    return np.hstack([back, (-back @ shift)[:, None]]).astype(np.float32)


def _speckle(rng: np.random.Generator, shape: tuple[int, ...]) -> Pixels:
    noise = rng.standard_normal(shape, dtype=np.float32)
    size_px = rng.uniform(0.0, 1.2)
    if size_px > 0.3:  # grains of speckle are wider than deep
        noise = ndimage.gaussian_filter(noise, (0.6 * size_px, size_px))
        noise /= max(float(noise.std()), 1e-6)
    return np.asarray(np.maximum(1.0 + np.float32(rng.uniform(0.03, SPECKLE)) * noise, 0.0), dtype=np.float32)


def _shadow(rng: np.random.Generator, shape: tuple[int, ...]) -> Pixels:
    """A dark band from some depth on, softly bordered."""
    rows, columns = shape
    x = np.linspace(0.0, 1.0, columns, dtype=np.float32)[None]
    y = np.linspace(0.0, 1.0, rows, dtype=np.float32)[:, None]
    centre, width, depth = rng.uniform(0.0, 1.0), rng.uniform(0.03, 0.15), rng.uniform(0.0, 0.7)
    band = np.exp(-(((x - centre) / width) ** 2)) / (1.0 + np.exp(-(y - depth) / 0.03))
    return np.asarray(1.0 - np.float32(rng.uniform(*SHADOWS)) * band, dtype=np.float32)


def _draw_marks(rng: np.random.Generator, pixels: Pixels) -> None:
    """Draw calipers anywhere, a dotted line with a cross at each end: they are no proof of a lesion."""
    rows, columns = pixels.shape
    bright = rng.uniform(0.6, 1.0)
    for _ in range(int(rng.integers(1, 3))):
        ends = rng.uniform((0.1 * rows, 0.1 * columns), (0.9 * rows, 0.9 * columns), size=(2, 2))
        dots = np.linspace(ends[0], ends[1], max(2, int(np.linalg.norm(ends[1] - ends[0]) / 4))).round().astype(int)
        pixels[dots[:, 0], dots[:, 1]] = bright
        for y, x in ends.round().astype(int):
            arm = 3
            pixels[max(y - arm, 0) : y + arm + 1, x] = bright
            pixels[y, max(x - arm, 0) : x + arm + 1] = bright
