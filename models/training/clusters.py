"""Clusters of microcalcifications: BI-RADS morphologies and distributions, benign and malignant, from a seed.

Sizes and numbers follow the ACR BI-RADS Atlas, 5th edition 2013, mammography, section "Calcifications": punctate below
0.5 mm, round up to 1 mm, coarse above 1 mm when they coalesce, fine pleomorphic and fine linear below 0.5 mm wide;
grouped means at least five within 1 cm and reaches to 2 cm, regional beyond 2 cm. Malignant grains on screen-film
mammograms measure about 0.2 to 0.5 mm and vary within a group; benign ones are larger and alike (Le Gal et al., J
Radiol 57 (1976) 259; Sickles, Radiology 160 (1986) 289). Of the pleomorphic grains here, lobes and all, one in
four is wider than 0.5 mm and one in a hundred wider than 1 mm.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from models.contract import Label
from models.training.grains import Grain, linear_grain, lobed_grain, round_grain

Points = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Cluster:
    """Grains about a centre.

    Attributes
    ----------
    label : {"benign", "malignant"}
        Class of its family.
    family : str
        A key of `FAMILIES`.
    grains : tuple of Grain
        At least three.
    """

    label: Label
    family: str
    grains: tuple[Grain, ...]


def make_cluster(rng: np.random.Generator, label: Label) -> Cluster:
    """Draw a family of the class, then its grains."""
    names = [name for name, (of_label, _, _) in FAMILIES.items() if of_label == label]
    weights = np.array([FAMILIES[name][1] for name in names])
    family = str(rng.choice(names, p=weights / weights.sum()))
    grains = FAMILIES[family][2](rng)
    return Cluster(label=label, family=family, grains=_turned(rng, grains))


def _round(rng: np.random.Generator) -> list[Grain]:
    """Round or punctate grains of much the same size, grouped."""
    typical_mm = rng.uniform(0.1, 0.4)
    count = int(rng.integers(4, 13))
    places = _grouped(rng, count, rng.uniform(1.5, 6.0))
    return [round_grain(x, y, typical_mm * rng.uniform(0.8, 1.2)) for x, y in places]


def _coarse(rng: np.random.Generator) -> list[Grain]:
    """A few lobed masses of calcium close together, as a degenerating fibroadenoma has."""
    count = int(rng.integers(3, 8))
    places = _grouped(rng, count, rng.uniform(0.8, 4.0))
    return [lobed_grain(rng, x, y, rng.uniform(0.2, 0.7), int(rng.integers(3, 9))) for x, y in places]


def _rim(rng: np.random.Generator) -> list[Grain]:
    """Balls with a lucent centre."""
    count = int(rng.integers(3, 9))
    places = _grouped(rng, count, rng.uniform(2.0, 7.0))
    return [round_grain(x, y, rng.uniform(0.25, 0.8), hollow=rng.uniform(0.5, 0.85)) for x, y in places]


def _scattered(rng: np.random.Generator) -> list[Grain]:
    """Punctate and round grains wide apart."""
    count = int(rng.integers(8, 26))
    reach_mm = rng.uniform(5.0, 11.0)
    places = rng.uniform(-reach_mm, reach_mm, size=(count, 2))
    return [round_grain(x, y, rng.uniform(0.1, 0.35)) for x, y in places]


def _amorphous(rng: np.random.Generator) -> list[Grain]:
    """Too small or hazy to tell a shape: many weak grains."""
    count = int(rng.integers(12, 41))
    places = _malignant_places(rng, count)
    grains = (lobed_grain(rng, x, y, rng.uniform(0.06, 0.16), int(rng.integers(2, 6))) for x, y in places)
    return [replace(grain, density=float(rng.uniform(0.4, 0.9))) for grain in grains]


def _fine_pleomorphic(rng: np.random.Generator) -> list[Grain]:
    """Irregular grains that differ in size and density."""
    count = int(rng.integers(7, 41))
    radii = np.clip(rng.lognormal(math.log(0.13), 0.45, size=count), 0.06, 0.32)
    places = _malignant_places(rng, count)
    grains = (
        lobed_grain(rng, x, y, radius, int(rng.integers(2, 6))) for (x, y), radius in zip(places, radii, strict=True)
    )
    return [replace(grain, density=float(rng.uniform(0.5, 1.0))) for grain in grains]


def _fine_linear(rng: np.random.Generator) -> list[Grain]:
    """Rods along ducts, some branching, with pleomorphic grains between."""
    count = int(rng.integers(6, 31))
    duct = rng.normal(0.0, 0.35, size=count)
    places = _malignant_places(rng, count, along=True)
    return [
        linear_grain(rng, (x, y), rng.uniform(0.06, 0.18), rng.uniform(0.3, 1.6), angle)
        if rng.random() < 0.7
        else lobed_grain(rng, x, y, rng.uniform(0.08, 0.2), 3)
        for (x, y), angle in zip(places, duct, strict=True)
    ]


Maker = Callable[[np.random.Generator], list[Grain]]

FAMILIES: Final[dict[str, tuple[Label, float, Maker]]] = {
    # Family: its class, how often it is drawn within the class, its maker. The shares are chosen, not an incidence:
    # what is hard to find or to tell apart is drawn more often.
    "round": ("benign", 0.4, _round),
    "coarse": ("benign", 0.25, _coarse),
    "rim": ("benign", 0.1, _rim),
    "scattered": ("benign", 0.25, _scattered),
    "amorphous": ("malignant", 0.25, _amorphous),
    "fine pleomorphic": ("malignant", 0.45, _fine_pleomorphic),
    "fine linear": ("malignant", 0.3, _fine_linear),
}


def _grouped(rng: np.random.Generator, count: int, radius_mm: float) -> Points:
    """Points in an ellipse, evenly."""
    angle = rng.uniform(0.0, 2.0 * math.pi, size=count)
    distance = radius_mm * np.sqrt(rng.random(count))
    return np.column_stack([distance * np.cos(angle), rng.uniform(0.5, 1.0) * distance * np.sin(angle)])


def _malignant_places(rng: np.random.Generator, count: int, *, along: bool = False) -> Points:
    """Grouped, linear along a duct, or segmental: a wedge that opens away from the nipple."""
    kind = rng.choice(["grouped", "linear", "segmental"], p=(0.15, 0.5, 0.35) if along else (0.6, 0.15, 0.25))
    if kind == "grouped":
        return _grouped(rng, count, rng.uniform(1.5, 8.0))
    length_mm = rng.uniform(6.0, 20.0)
    x = rng.uniform(-0.5, 0.5, size=count) * length_mm
    width_mm = rng.uniform(0.3, 1.2) if kind == "linear" else 0.25 * (x + 0.6 * length_mm)
    bend = rng.normal(0.0, 0.01) * x**2
    return np.column_stack([x, bend + rng.normal(0.0, 0.6, size=count) * width_mm])


def _turned(rng: np.random.Generator, grains: list[Grain]) -> tuple[Grain, ...]:
    """Turn the whole cluster by a random angle, mirrored or not."""
    angle = rng.uniform(0.0, 2.0 * math.pi)
    mirror = rng.choice([-1.0, 1.0])
    turn = np.array([[math.cos(angle), math.sin(angle)], [-mirror * math.sin(angle), mirror * math.cos(angle)]])
    return tuple(
        replace(grain, balls_mm=np.column_stack([grain.balls_mm[:, :2] @ turn, grain.balls_mm[:, 2]]))
        for grain in grains
    )
