"""Clusters: what is drawn is of its class, of its family's size, and as frequent as said."""

from __future__ import annotations

from collections import Counter
from typing import Final

import numpy as np
import pytest
from numpy.typing import NDArray

from models.contract import Label
from models.training import clusters
from models.training.clusters import FAMILIES, Cluster, make_cluster
from models.training.grains import Grain, linear_grain, lobed_grain, round_grain

SEEDS: Final = 150

LARGEST_BALL_MM: Final = {
    # Diameter of the thickest part of a grain; the width of a rod, the whole of a round grain.
    "round": 1.0,
    "coarse": 1.4,
    "rim": 1.6,
    "scattered": 1.0,
    "amorphous": 0.5,
    "fine pleomorphic": 0.64,
    "fine linear": 0.5,
}

REACH_MM: Final = {
    # "Grouped" reaches to 2 cm; scattered grains may be regional.
    "round": 20.0,
    "coarse": 20.0,
    "rim": 20.0,
    "scattered": 30.0,
    "amorphous": 25.0,
    "fine pleomorphic": 25.0,
    "fine linear": 25.0,
}


def of_family(family: str) -> list[list[Grain]]:
    return [FAMILIES[family][2](np.random.default_rng(seed)) for seed in range(SEEDS)]


def width_mm(grain: Grain) -> float:
    x0, y0, x1, y1 = grain.box_mm
    return max(x1 - x0, y1 - y0)


def middles_mm(grains: list[Grain] | tuple[Grain, ...]) -> NDArray[np.float64]:
    return np.array([grain.balls_mm[:, :2].mean(axis=0) for grain in grains])


@pytest.mark.parametrize("family", FAMILIES)
def test_every_family_makes_groups_of_grains_of_its_size(family: str) -> None:
    for grains in of_family(family):
        assert len(grains) >= 3
        assert all((grain.balls_mm[:, 2] > 0).all() and grain.balls_mm.shape[1] == 3 for grain in grains)
        assert all(0.0 <= grain.hollow < 1.0 and 0.0 < grain.density <= 1.0 for grain in grains)
        assert 2 * max(grain.balls_mm[:, 2].max() for grain in grains) <= LARGEST_BALL_MM[family]
        assert np.ptp(middles_mm(grains), axis=0).max() <= REACH_MM[family]


@pytest.mark.parametrize(("family", "most_mm"), [("round", 1.0), ("scattered", 1.0), ("amorphous", 0.75)])
def test_round_and_hazy_grains_stay_below_their_bound(family: str, most_mm: float) -> None:
    assert max(width_mm(grain) for grains in of_family(family) for grain in grains) < most_mm


def test_malignant_grains_are_mostly_finer_than_half_a_millimetre_and_benign_ones_coarser() -> None:
    widths = {family: [width_mm(grain) for grains in of_family(family) for grain in grains] for family in FAMILIES}
    for family in ("amorphous", "fine pleomorphic"):
        assert 0.1 < np.median(widths[family]) < 0.5
        assert np.mean(np.array(widths[family]) < 0.5) > 0.75
    assert np.median(widths["coarse"]) > 1.0
    assert np.median(widths["rim"]) > 1.0
    assert np.median(widths["round"]) > np.median(widths["fine pleomorphic"])


def test_grains_of_a_round_group_are_alike_and_pleomorphic_ones_are_not() -> None:
    def spread(family: str) -> float:
        sizes = [np.array([width_mm(grain) for grain in grains]) for grains in of_family(family)]
        return float(np.mean([each.std() / each.mean() for each in sizes]))

    assert spread("round") < 0.2
    assert spread("fine pleomorphic") > 2 * spread("round")


def test_linear_grains_are_longer_than_wide() -> None:
    rods = [grain for grains in of_family("fine linear") for grain in grains if len(grain.balls_mm) > 3]
    assert len(rods) > 100
    assert np.median([width_mm(grain) / (2 * grain.balls_mm[:, 2].max()) for grain in rods]) > 2.5


def test_rims_are_hollow_and_nothing_else_is() -> None:
    hollow = {family: {grain.hollow > 0 for grains in of_family(family) for grain in grains} for family in FAMILIES}
    assert hollow == {family: {family == "rim"} for family in FAMILIES}


@pytest.mark.parametrize("label", ["benign", "malignant"])
def test_families_are_drawn_with_their_shares_and_give_their_class(label: Label) -> None:
    rng = np.random.default_rng(7)
    made = [make_cluster(rng, label) for _ in range(1500)]
    assert {cluster.label for cluster in made} == {label}
    counts = Counter(cluster.family for cluster in made)
    shares = {family: share for family, (of_label, share, _) in FAMILIES.items() if of_label == label}
    assert sum(shares.values()) == pytest.approx(1.0)
    assert set(counts) == set(shares)
    for family, share in shares.items():
        assert counts[family] / len(made) == pytest.approx(share, abs=4 * (share * (1 - share) / len(made)) ** 0.5)


def test_a_cluster_is_turned_as_a_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(2)
    grains = [
        round_grain(1.0, -2.0, 0.3, hollow=0.6),
        lobed_grain(rng, -3.0, 0.5, 0.2, 4),
        linear_grain(rng, (2.0, 2.0), 0.1, 1.5, 0.3),
    ]
    monkeypatch.setattr(clusters, "FAMILIES", {"fixed": ("benign", 1.0, lambda _: grains)})
    before = np.concatenate([grain.balls_mm for grain in grains])
    orientations = set()
    for seed in range(20):
        turned = make_cluster(np.random.default_rng(seed), "benign").grains
        after = np.concatenate([grain.balls_mm for grain in turned])
        assert np.array_equal(after[:, 2], before[:, 2])
        assert [(grain.hollow, grain.density) for grain in turned] == [(one.hollow, one.density) for one in grains]
        assert distances(after) == pytest.approx(distances(before))
        turn, *_ = np.linalg.lstsq(before[:, :2], after[:, :2], rcond=None)
        orientations.add(round(float(np.linalg.det(turn))))
    assert orientations == {-1, 1}


def distances(balls: NDArray[np.float64]) -> NDArray[np.float64]:
    between = balls[:, None, :2] - balls[None, :, :2]
    return np.hypot(between[..., 0], between[..., 1])


def test_the_same_seed_makes_the_same_cluster() -> None:
    def made(seed: int) -> Cluster:
        return make_cluster(np.random.default_rng(seed), "malignant")

    first, again, other = made(11), made(11), made(12)
    assert first.family == again.family
    assert np.array_equal(middles_mm(first.grains), middles_mm(again.grains))
    assert not np.array_equal(middles_mm(first.grains)[:3], middles_mm(other.grains)[:3])
