"""A breast made from a seed: its size, its lesions in three dimensions, and how a view projects them.

Breast coordinates are ``(depth, lateral, superior)``: from the chest wall towards the nipple, towards the arm, towards
the head; the origin lies on the chest wall behind the nipple. In units of the breast, depth is 1 at the nipple, and
lateral and superior are 1 at the skin.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from models.contract import Label

SIDES = ("L", "R")
ANATOMY_STREAM, LESION_STREAM, TEXTURE_STREAM = range(3)
"""Which random numbers: the lesions of a seed do not change when the outline needs one number more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ViewGeometry:
    """How a view looks at the breast.

    Attributes
    ----------
    angle_deg : float
        Turn of the beam from head-to-foot; the image's upward axis is lateral at 0 and superior at 90.
    nipple_at : float
        Row of the nipple as a share of the image's height.
    axilla : float
        Distance of the skin from the chest wall at the image's upper edge, as a share of that at the nipple; 0 closes
        the outline above the nipple as below it.
    pectoral : float
        Width of the pectoral muscle at the image's upper edge, likewise; 0 for none.
    """

    angle_deg: float
    nipple_at: float
    axilla: float
    pectoral: float


VIEWS: Mapping[str, ViewGeometry] = MappingProxyType(
    {
        # CC: beam from above. MLO: 45 degrees, muscle down to the level of the nipple (European guidelines for quality
        # assurance in breast cancer screening and diagnosis, 4th edition 2006, chapter 3, criteria of positioning).
        "CC": ViewGeometry(angle_deg=0.0, nipple_at=0.5, axilla=0.0, pectoral=0.0),
        "MLO": ViewGeometry(angle_deg=45.0, nipple_at=0.58, axilla=0.45, pectoral=0.5),
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Lesion:
    """A cluster of microcalcifications in a breast.

    Attributes
    ----------
    label : {"benign", "malignant"}
        Which look it has, see `models.phantom.lesions`.
    depth, lateral, superior : float
        Its centre in units of the breast.
    extent_mm : float
        Greatest distance between two of its grains.
    seed : int
        Of its grains.
    """

    label: Label
    depth: float
    lateral: float
    superior: float
    extent_mm: float
    seed: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Breast:
    """Size and composition of a breast.

    Attributes
    ----------
    protrusion_mm, half_height_mm : float
        Nipple to chest wall, and half the length along the chest wall.
    thickness_mm : float
        Between the compression plates.
    density : float
        Share of fibroglandular tissue where there is most of it, 0 to 1.
    """

    protrusion_mm: float
    half_height_mm: float
    thickness_mm: float
    density: float


def random_stream(seed: int, laterality: str, *stream: int) -> np.random.Generator:
    """Return the random numbers of one purpose (`stream`) for the breast `laterality` of `seed`."""
    return np.random.default_rng([seed, SIDES.index(laterality), *stream])


def make_breast(seed: int, laterality: str, width_mm: float, height_mm: float) -> Breast:
    """Make a breast that fits an image of `width_mm` by `height_mm`.

    Thickness varies around 53 mm, the standard breast of mammographic dosimetry (Dance et al., Phys Med Biol 45 (2000)
    3225); the other sizes are chosen to fill an image receptor of 24 by 29 or 18 by 24 cm as breasts do.
    """
    rng = random_stream(seed, laterality, ANATOMY_STREAM)
    protrusion_mm, half_height_mm = rng.uniform(75.0, 110.0), rng.uniform(70.0, 95.0)
    fit = min(1.0, 0.8 * width_mm / protrusion_mm, 0.4 * height_mm / half_height_mm)
    return Breast(
        protrusion_mm=fit * protrusion_mm,
        half_height_mm=fit * half_height_mm,
        thickness_mm=fit * rng.uniform(43.0, 63.0),
        density=rng.uniform(0.35, 0.8),
    )


def plan_lesions(seed: int, laterality: str) -> tuple[Lesion, ...]:
    """Give a breast no, one or two clusters, benign and malignant equally often, well inside it in every view."""
    rng = random_stream(seed, laterality, LESION_STREAM)
    return tuple(_lesion(rng) for _ in range(rng.choice(3, p=(0.3, 0.5, 0.2))))


def _lesion(rng: np.random.Generator) -> Lesion:
    label: Label = "malignant" if rng.random() < 0.5 else "benign"
    radius, angle = 0.45 * math.sqrt(rng.random()), rng.uniform(0.0, 2.0 * math.pi)
    # Grouped: at least five within 1 cm, up to 2 cm across (ACR BI-RADS Atlas, 5th edition, "Distribution").
    extent_mm = rng.uniform(5.0, 12.0) if label == "benign" else rng.uniform(8.0, 20.0)
    return Lesion(
        label=label,
        depth=rng.uniform(0.3, 0.65),
        lateral=radius * math.cos(angle),
        superior=radius * math.sin(angle),
        extent_mm=extent_mm,
        seed=int(rng.integers(2**31)),
    )


def project(points_mm: NDArray[np.float64], geometry: ViewGeometry) -> NDArray[np.float64]:
    """Project points ``(n, 3)``, breast coordinates in mm, to ``(n, 2)``: away from the chest wall, and up, in mm."""
    angle = math.radians(geometry.angle_deg)
    up = math.cos(angle) * points_mm[:, 1] + math.sin(angle) * points_mm[:, 2]
    return np.stack([points_mm[:, 0], up], axis=1)
