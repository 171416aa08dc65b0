"""One mammogram view of a made-up breast."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.contract import BoxPx, Label
from models.phantom.anatomy import (
    SIDES,
    TEXTURE_STREAM,
    VIEWS,
    Lesion,
    make_breast,
    plan_lesions,
    project,
    random_stream,
)
from models.phantom.lesions import GRAINS, Shadow, plant
from models.phantom.tissue import Frame, breast_brightness, lay_out

BITS_STORED = 12
MAX_VALUE = 2**BITS_STORED - 1
DARKEST_TISSUE = 1
"""Air is 0 and nothing else is."""

NOISE = 0.012
"""Standard deviation of quantum noise at full brightness, at 0.1 mm; it grows as pixels shrink."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PhantomView:
    """A mammogram, and the truth about it.

    Attributes
    ----------
    pixels : numpy.ndarray
        Shape ``(rows, columns)``, uint16, 12 bits, MONOCHROME2: 0 is air, tissue is 1 to 4095, brighter is denser.
        The chest wall is at the left edge of a left breast, at the right edge of a right one; the head is up.
    spacing_mm : float
        Distance between pixels in the plane of the breast, rows and columns alike.
    laterality : {"L", "R"}
        Which breast.
    view : str
        A key of `models.phantom.anatomy.VIEWS`.
    lesions : tuple of (box, label)
        Smallest box ``(x0, y0, x1, y1)`` around the grains of each cluster, in pixels, and its class. In the order of
        the breast's lesions, so that the n-th of a CC view and of an MLO view are the same cluster.
    """

    pixels: NDArray[np.uint16]
    spacing_mm: float
    laterality: str
    view: str
    lesions: tuple[tuple[BoxPx, Label], ...]


def make_view(
    seed: int,
    *,
    laterality: str,
    view: str,
    rows: int = 3328,
    columns: int = 2560,
    spacing_mm: float = 0.07,
    lesions: Sequence[Lesion] | None = None,
) -> PhantomView:
    """Make a mammogram.

    Parameters
    ----------
    seed : int
        Of the two breasts, not negative; the views of a breast show the same lesions at the same places.
    laterality : {"L", "R"}
        Which breast.
    view : str
        A key of `models.phantom.anatomy.VIEWS`: ``"CC"`` or ``"MLO"``.
    rows, columns : int
        Size of the image. A breast that does not fit is made smaller, its grains are not.
    spacing_mm : float
        Distance between pixels in the plane of the breast.
    lesions : sequence of Lesion or None
        In place of those that the seed gives; empty for a breast without any.

    Returns
    -------
    PhantomView
        The same arguments give the same pixels on the same machine.

    Raises
    ------
    ValueError
        `laterality` or `view` is not known, or a lesion does not lie in the breast.
    """
    if laterality not in SIDES or view not in VIEWS:
        raise ValueError(f"{laterality}-{view} is none of {', '.join(f'{a}-{b}' for a in SIDES for b in VIEWS)}")
    breast = make_breast(seed, laterality, columns * spacing_mm, rows * spacing_mm)
    frame = lay_out(breast, VIEWS[view], rows, spacing_mm)
    rng = random_stream(seed, laterality, TEXTURE_STREAM, list(VIEWS).index(view))
    used = min(columns, int(np.sqrt(frame.skin_squared_mm2.max()) / spacing_mm) + 2)
    brightness, inside = breast_brightness(frame, used, rng)
    planned = plan_lesions(seed, laterality) if lesions is None else tuple(lesions)
    boxes = tuple((_plant(lesion, frame, brightness, inside), lesion.label) for lesion in planned)
    _add_noise(brightness, spacing_mm, rng)
    pixels = np.zeros((rows, columns), dtype=np.uint16)
    pixels[:, :used] = np.where(inside, _quantised(brightness), 0)
    if laterality == "R":
        pixels = np.ascontiguousarray(pixels[:, ::-1])
        boxes = tuple((_mirrored(box, columns), label) for box, label in boxes)
    return PhantomView(pixels=pixels, spacing_mm=spacing_mm, laterality=laterality, view=view, lesions=boxes)


def _plant(lesion: Lesion, frame: Frame, brightness: NDArray[np.float32], inside: NDArray[np.bool_]) -> BoxPx:
    breast = frame.breast
    scale = np.array([breast.protrusion_mm, breast.half_height_mm, breast.half_height_mm])
    centre_mm = np.array([lesion.depth, lesion.lateral, lesion.superior]) * scale
    extent_mm = min(lesion.extent_mm, 0.2 * breast.protrusion_mm)
    shadows = []
    for grain in GRAINS[lesion.label](np.random.default_rng(lesion.seed), extent_mm):
        away_mm, up_mm = project(centre_mm + grain.path_mm, frame.geometry).T
        path_px = np.stack([away_mm, frame.nipple_mm - up_mm], axis=1) / frame.spacing_mm
        shadows.append(Shadow(path_px=path_px, radius_mm=grain.radius_mm))
    places = np.floor(np.concatenate([shadow.path_px for shadow in shadows])).astype(int)
    outside = (places < 0).any(axis=1) | (places >= inside.shape[::-1]).any(axis=1)
    if outside.any() or not inside[places[:, 1], places[:, 0]].all():
        raise ValueError(f"the lesion at {lesion.depth:.2f}, {lesion.lateral:.2f}, {lesion.superior:.2f} is outside")
    return plant(brightness, shadows, frame.spacing_mm)


def _add_noise(brightness: NDArray[np.float32], spacing_mm: float, rng: np.random.Generator) -> None:
    noise = rng.standard_normal(brightness.shape, dtype=np.float32)
    noise *= np.sqrt(np.clip(brightness, 0.1, 1.0)) * np.float32(NOISE * 0.1 / spacing_mm)
    brightness += noise


def _quantised(brightness: NDArray[np.float32]) -> NDArray[np.uint16]:
    values: NDArray[np.uint16] = np.clip(np.rint(brightness * MAX_VALUE), DARKEST_TISSUE, MAX_VALUE).astype(np.uint16)
    return values


def _mirrored(box: BoxPx, columns: int) -> BoxPx:
    x0, y0, x1, y1 = box
    return columns - x1, y0, columns - x0, y1
