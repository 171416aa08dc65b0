"""A cluster planted into a real image or a phantom, at the image's own resolution and among its own noise."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from models.contract import BoxPx
from models.training.clusters import Cluster
from models.training.grains import Grain, box_around, path_lengths_mm
from models.training.looks import Exposure, slope

Image = NDArray[np.float32]

VISIBLE: Final = 3.0
"""A grain is visible when its brightest pixel exceeds this many standard deviations of the noise around it. Rose's
criterion, 5, is for an observer who searches flat noise; a group is seen before each of its grains is."""

MIN_VISIBLE: Final = 3
"""Truth has a box only around at least this many visible grains: fewer are no group."""

MIN_VISIBLE_SHARE: Final = 0.35
"""And around at least this share of its grains: a box is to be where a reader would draw it."""

AIR: Final = 0.04
"""No calcium is put where the image is as dark as this: there is no breast."""

BOX_MARGIN_MM: Final = 0.5
"""Around the grains, as annotators leave it."""

NOISE_WINDOW_MM: Final = 6.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Planted:
    """What planting did.

    Attributes
    ----------
    box_px : tuple of float
        Around the visible grains and `BOX_MARGIN_MM`, clipped to the image.
    visible : int
        How many grains can be seen.
    """

    box_px: BoxPx
    visible: int


def noise_level(exposure: Exposure, centre_px: tuple[float, float]) -> float:
    """Standard deviation of what is finer than a grain, around a place; from the median, so grains do not count.

    Of white noise it is 0.94 to 0.99 at 0.1 to 0.05 mm, and 0.86 at 0.2 mm, where part is as coarse as a grain.
    Never below a quarter of a step of 8 bits, which is what rounding leaves of no noise at all.
    """
    pixels, spacing_mm = exposure.pixels, exposure.spacing_mm
    half = max(8, round(NOISE_WINDOW_MM / spacing_mm / 2))
    x, y = round(centre_px[0]), round(centre_px[1])
    around = pixels[max(y - half, 0) : y + half, max(x - half, 0) : x + half]
    fine = around - ndimage.gaussian_filter(around, max(0.15 / spacing_mm, 1.0))
    return max(float(1.4826 * np.median(np.abs(fine - np.median(fine)))), 0.25 / 255.0)


def plant(exposure: Exposure, calcium: Image, cluster: Cluster, centre_px: tuple[float, float]) -> Planted | None:
    """Plant a cluster, in place.

    If too few grains would be seen, the contrast is raised, to four times at most, until enough are (`MIN_VISIBLE`,
    `MIN_VISIBLE_SHARE`).

    Parameters
    ----------
    exposure : Exposure
        Untouched when None is returned.
    calcium : numpy.ndarray
        Shape ``(rows, columns)``, float32: brightness that visible grains added is put here, by maximum.
    centre_px : tuple of float
        ``(x, y)`` of the cluster's centre.

    Returns
    -------
    Planted or None
        None when too few grains can be seen in the image.
    """
    pixels, spacing_mm, look = exposure.pixels, exposure.spacing_mm, exposure.look
    noise = noise_level(exposure, centre_px)
    lengths, window = path_lengths_mm(cluster.grains, centre_px, pixels.shape, spacing_mm, look.blur_mm)
    if not lengths.size:
        return None
    added = lengths * np.float32(look.per_mm) * slope(pixels[window], look) * (pixels[window] > AIR)
    room = np.maximum(1.0 - pixels[window], 0.0)  # on what is white already nothing can be seen

    def peaks_of(shown: Image) -> NDArray[np.float64]:
        return np.array([_peak(shown, window, grain, centre_px, spacing_mm) for grain in cluster.grains])

    peaks = peaks_of(np.minimum(added, room))
    least = max(MIN_VISIBLE, round(MIN_VISIBLE_SHARE * len(peaks)))
    if len(peaks) < least:
        return None
    enough = np.sort(peaks)[::-1][least - 1]
    if enough <= 0:
        return None
    raised = min(max(1.0, 1.05 * VISIBLE * noise / enough), 4.0)
    added *= np.float32(raised)
    peaks = peaks_of(np.minimum(added, room))
    seen = [grain for grain, peak in zip(cluster.grains, peaks, strict=True) if peak > VISIBLE * noise]
    if len(seen) < least:
        return None
    pixels[window] += added
    np.maximum(calcium[window], np.where(added > noise, added, 0.0), out=calcium[window])
    x0, y0, x1, y1 = box_around(seen, centre_px, spacing_mm, BOX_MARGIN_MM)
    rows, columns = pixels.shape
    box = max(x0, 0.0), max(y0, 0.0), min(x1, float(columns)), min(y1, float(rows))
    return Planted(box_px=box, visible=len(seen))


def fewer(cluster: Cluster, count: int) -> Cluster:
    """The first `count` grains of a cluster, e.g. one or two that make no group."""
    return replace(cluster, grains=cluster.grains[:count])


def _peak(
    added: Image, window: tuple[slice, slice], grain: Grain, centre_px: tuple[float, float], spacing_mm: float
) -> float:
    """Greatest brightness added within the box of a grain, 0 when it lies outside the image."""
    x0, y0, x1, y1 = np.array(grain.box_mm) / spacing_mm + np.array([*centre_px, *centre_px])
    top, left = window[0].start, window[1].start
    rows = slice(max(int(np.floor(y0)) - top, 0), max(int(np.ceil(y1)) - top, 0))
    columns = slice(max(int(np.floor(x0)) - left, 0), max(int(np.ceil(x1)) - left, 0))
    part = added[rows, columns]
    return float(part.max()) if part.size else 0.0
