"""Distractors change what they say and nothing else, on any image; none is a group that wants a box."""

from __future__ import annotations

from itertools import combinations, pairwise
from typing import Final

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from models.training import distractors
from models.training.contract import MEDIA, Medium
from models.training.distractors import APART_MM, DRAWERS, KINDS, SPARSE_PER_CM2, draw_distractors
from models.training.grains import Grain
from models.training.looks import Exposure, draw_look
from models.training.planting import AIR
from tests.training.builders import exposure_of, tissue_image

BRIGHT_ONLY: Final = ("ligaments", "vessel", "single grains", "skin marker", "clip", "label", "bright blob")
CALCIUM: Final = ("vessel", "single grains")


def change(kind: str, seed: int, *, air: bool = False, side: int = 200) -> NDArray[np.float32]:
    """What a drawer adds."""
    rng = np.random.default_rng(seed)
    image = tissue_image(side, side, seed=seed)
    exposure = exposure_of(image, draw_look(rng, image.medium, 0.0))
    if air:
        exposure.pixels[:, side // 2 :] = 0.0
    before = exposure.pixels.copy()
    DRAWERS[kind](rng, exposure)
    return exposure.pixels - before


@pytest.mark.parametrize("kind", DRAWERS)
@pytest.mark.parametrize("spacing_mm", [0.07, 0.2])
def test_each_drawer_takes_any_image(kind: str, spacing_mm: float) -> None:
    @settings(deadline=None, max_examples=25)
    @given(st.integers(1, 90), st.integers(1, 90), st.integers(0, 10_000), st.sampled_from(MEDIA), st.booleans())
    def takes(rows: int, columns: int, seed: int, medium: Medium, empty: bool) -> None:
        rng = np.random.default_rng(seed)
        image = tissue_image(rows, columns, spacing_mm=spacing_mm)
        pixels = np.zeros_like(image.pixels) if empty else image.pixels.copy()
        exposure = Exposure(pixels=pixels, spacing_mm=spacing_mm, look=draw_look(rng, medium, 0.0))
        DRAWERS[kind](rng, exposure)
        assert exposure.pixels is pixels
        assert pixels.shape == (rows, columns) and pixels.dtype == np.float32
        assert np.isfinite(pixels).all()

    takes()


@pytest.mark.parametrize("kind", DRAWERS)
def test_the_same_seed_draws_the_same_and_another_one_another(kind: str) -> None:
    assert np.array_equal(change(kind, 3), change(kind, 3))
    assert len({change(kind, seed).tobytes() for seed in range(6)}) > 3


@pytest.mark.parametrize("kind", BRIGHT_ONLY)
def test_only_dust_and_scratches_make_anything_darker(kind: str) -> None:
    assert min(change(kind, seed).min() for seed in range(30)) >= -1e-6


@pytest.mark.parametrize("kind", ["dust", "scratch"])
def test_dust_and_scratches_are_bright_or_dark(kind: str) -> None:
    strongest = [float(added.flat[np.abs(added).argmax()]) for added in (change(kind, seed) for seed in range(40))]
    assert 0.3 < np.mean([value > 0 for value in strongest]) < 0.9
    assert max(np.abs(strongest)) <= 1.1


def test_dust_is_sharp() -> None:
    for seed in range(20):
        added = np.abs(change("dust", seed))
        changed = added > 0
        runs = [len(run) for line in changed for run in "".join("x" if value else " " for value in line).split()]
        assert 0 < changed.mean() < 0.01
        assert max(runs) <= 4  # two specks of two pixels may touch


@pytest.mark.parametrize("kind", ["skin marker", "clip"])
def test_metal_is_bright_whatever_is_below(kind: str) -> None:
    shown = []
    for seed in range(30):
        added = change(kind, seed)
        if (added > 0.1).any():
            shown.append(float((tissue_image(200, 200, seed=seed).pixels + added)[added > 0.1].max()))
    assert len(shown) > 20
    assert np.median(shown) > 0.85 and max(shown) <= 1.0


@pytest.mark.parametrize("kind", CALCIUM)
def test_calcium_is_in_the_breast_only(kind: str) -> None:
    added = [change(kind, seed, air=True) for seed in range(30)]
    assert not any(one[:, 100:].any() for one in added)
    assert sum(one[:, :100].any() for one in added) > 10
    assert AIR > 0


def test_single_grains_are_one_or_two_at_a_place_and_never_make_a_group(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[tuple[int, float, float]] = []

    def note(_: Exposure, grains: list[Grain], centre: tuple[float, float]) -> None:
        assert all(np.hypot(*grain.balls_mm[0, :2]) <= APART_MM / 2 for grain in grains)
        drawn.append((len(grains), *centre))

    monkeypatch.setattr(distractors, "_add_calcium", note)
    side, rounds, counts = 400, 100, 0
    exposure = exposure_of(tissue_image(side, side))
    for seed in range(rounds):
        drawn.clear()
        DRAWERS["single grains"](np.random.default_rng(seed), exposure)
        counts += len(drawn)
        assert {count for count, _, _ in drawn} <= {1, 2}
        places_mm = np.array([place for _, *place in drawn]) * exposure.spacing_mm
        assert all(np.hypot(*(one - other)) >= APART_MM for one, other in combinations(places_mm, 2))
    area_cm2 = (side * exposure.spacing_mm / 10) ** 2
    assert rounds < counts <= rounds * (1 + SPARSE_PER_CM2 * area_cm2)


def test_a_vessel_runs_along_two_parallel_walls(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[Grain] = []
    monkeypatch.setattr(distractors, "_add_calcium", lambda _, grains, __, strength: drawn.extend(grains))
    DRAWERS["vessel"](np.random.default_rng(1), exposure_of(tissue_image(300, 300)))
    starts = np.array([grain.balls_mm[0, :2] for grain in drawn])
    along = np.linalg.svd(starts - starts.mean(axis=0))[2][0]
    across = np.sort((starts - starts.mean(axis=0)) @ [-along[1], along[0]])
    widest = int(np.argmax([high - low for low, high in pairwise(across)]))
    walls = across[: widest + 1], across[widest + 1 :]
    assert min(map(len, walls)) >= 3
    assert max(wall.std() for wall in walls) < walls[1].mean() - walls[0].mean()
    assert 0.5 < walls[1].mean() - walls[0].mean() < 3.0


@pytest.mark.parametrize("medium", MEDIA)
def test_up_to_three_kinds_are_drawn_the_likelier_ones_more_often(
    medium: Medium, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn: list[str] = []
    noting = {name: (lambda _, __, name=name: drawn.append(name)) for name in DRAWERS}
    monkeypatch.setattr(distractors, "DRAWERS", noting)
    exposure = exposure_of(tissue_image(8, 8))
    counts = []
    for seed in range(600):
        before = len(drawn)
        draw_distractors(np.random.default_rng(seed), exposure, medium)
        counts.append(len(drawn) - before)
        assert len(set(drawn[before:])) == counts[-1]
    assert set(counts) == {0, 1, 2, 3}
    by_share = sorted(KINDS, key=lambda name: KINDS[name][medium])
    often = {name: drawn.count(name) for name in KINDS}
    assert min(often[name] for name in by_share[-3:]) > 2 * max(often[name] for name in by_share[:2]) > 0


def test_films_have_more_dust_and_scratches_than_detectors() -> None:
    for kind in ("dust", "scratch"):
        assert KINDS[kind]["film"] > 5 * KINDS[kind]["digital"]
    assert DRAWERS.keys() == KINDS.keys()
