"""Training of FPNNet: it learns, a run that was broken off ends as an unbroken one, and the best checkpoint is kept."""

from __future__ import annotations

import csv
import itertools
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from models.errors import TrainingRefused
from models.fpnnet.network import FPNNet
from models.training import detector as module
from models.training.contract import TrainingImage, TruthBox
from models.training.crops import CropPlan, CropSampler
from models.training.detector import BEST, CHECKPOINT, LOG, DetectorTraining, TrainPlan
from models.training.planted_views import planted_pairs
from models.training.validation import ValidationFigures, views_of
from tests.training.builders import tissue_image
from tests.training.small_networks import make_networks_small, one_thread

PLAN = TrainPlan(
    steps=4,
    batch=2,
    learning_rate=1e-3,
    warm_up_steps=2,
    validate_every=2,
    mine_every=2,
    precision="float32",
    workers=0,
)
CROPS = CropPlan(side_px=64)
IMAGES = [tissue_image(128, 128, name=f"image {number}", seed=number) for number in range(2)]
VIEWS = views_of(planted_pairs(IMAGES[:1], seed=1), 0.1)


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    make_networks_small(monkeypatch)
    with one_thread():
        yield


@pytest.fixture
def _finds_by_lot(monkeypatch: pytest.MonkeyPatch) -> None:
    """A network that learned nothing yet sees boxes everywhere, so that there is something to mine."""
    monkeypatch.setattr("models.training.validation.MINED_SCORE", 0.0)


def network(seed: int = 1) -> FPNNet:
    torch.manual_seed(seed)
    return FPNNet(box_score_thresh=0.05, box_nms_thresh=0.2, box_detections_per_img=20)


def training(
    directory: Path, plan: TrainPlan = PLAN, *, images: list[TrainingImage] = IMAGES, crops: CropPlan = CROPS
) -> DetectorTraining:
    sampler = CropSampler({"all": (1.0, images)}, crops, plan.seed)
    normals = [image for image in images if image.plantable]
    return DetectorTraining(network(), sampler, normals=normals, views=VIEWS, plan=plan, fixed={}, directory=directory)


def silent(step: int, losses: dict[str, float]) -> None:
    assert step > 0 and all(np.isfinite(list(losses.values())))


def after(steps: int) -> Callable[[], bool]:
    """Say to stop once it was asked `steps` times."""
    asked = itertools.count(1)
    return lambda: next(asked) >= steps


def state(directory: Path) -> dict[str, Any]:
    content: dict[str, Any] = torch.load(directory / CHECKPOINT, weights_only=True)
    return content


def rows(directory: Path) -> list[dict[str, str]]:
    with (directory / LOG).open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


@pytest.mark.usefixtures("_finds_by_lot")
@pytest.mark.parametrize("stopped_after", [1, 2])
def test_a_run_that_was_broken_off_ends_bit_for_bit_as_an_unbroken_one(tmp_path: Path, stopped_after: int) -> None:
    assert training(tmp_path / "whole").run(silent)
    assert not training(tmp_path / "broken").run(silent, after(stopped_after))
    assert state(tmp_path / "broken")["step"] == stopped_after
    again = training(tmp_path / "broken")
    assert again.step == stopped_after
    assert again.run(silent)
    whole, broken = state(tmp_path / "whole"), state(tmp_path / "broken")
    assert whole["mined"].keys() == {"image 0", "image 1"} and len(whole["mined"]["image 0"])
    for name, value in whole["mined"].items():
        assert torch.equal(value, broken["mined"][name])
    for part in ("average", "network", "grains"):
        for name, value in whole[part].items():
            assert torch.equal(value, broken[part][name]), name
    assert whole["best"] == pytest.approx(broken["best"], nan_ok=True)
    assert rows(tmp_path / "whole") == rows(tmp_path / "broken")


def test_a_run_moves_the_weights_and_their_average_lags(tmp_path: Path) -> None:
    before = network().state_dict()
    training(tmp_path).run(silent)
    content = state(tmp_path)
    name = "backbone.body.conv1.weight"
    moved, lagging = (float((content[part][name] - before[name]).abs().mean()) for part in ("network", "average"))
    assert 0 < lagging < moved


def test_stopping_writes_a_checkpoint_and_says_that_there_is_more_to_do(tmp_path: Path) -> None:
    told: list[int] = []
    assert not training(tmp_path).run(lambda step, _: told.append(step), lambda: True)
    assert told == [1] and (tmp_path / CHECKPOINT).exists()
    assert not list(tmp_path.glob("*.part"))


def test_a_run_that_is_done_is_done_even_when_asked_to_stop(tmp_path: Path) -> None:
    assert training(tmp_path, replace(PLAN, steps=1)).run(silent, lambda: True)
    assert (tmp_path / BEST).exists()
    assert training(tmp_path, replace(PLAN, steps=1)).run(silent, lambda: True)


def test_every_validation_is_a_row_and_the_last_step_has_one(tmp_path: Path) -> None:
    training(tmp_path, replace(PLAN, steps=5)).run(silent)
    assert [row["step"] for row in rows(tmp_path)] == ["2", "4", "5"]
    assert list(rows(tmp_path)[0]) == ["step", "found_at_half", "found_at_1", "found_at_2", "label_accuracy"]


def test_a_run_taken_up_with_fewer_steps_than_were_done_still_has_a_best_checkpoint(tmp_path: Path) -> None:
    plan = replace(PLAN, steps=9, validate_every=9, mine_every=0)
    training(tmp_path, plan).run(silent, after(2))
    assert not (tmp_path / BEST).exists()
    assert training(tmp_path, replace(plan, steps=2)).run(silent)
    assert torch.load(tmp_path / BEST, weights_only=True)["step"] == 2


@pytest.mark.parametrize("change", [{"seed": 2}, {"batch": 3}, {"weight_decay": 0.5}])
def test_a_run_is_not_taken_up_with_another_seed_batch_or_decay(tmp_path: Path, change: dict[str, Any]) -> None:
    training(tmp_path).run(silent, lambda: True)
    with pytest.raises(TrainingRefused, match=next(iter(change))):
        training(tmp_path, replace(PLAN, **change))


def test_a_run_may_be_taken_up_with_more_steps_and_another_rate(tmp_path: Path) -> None:
    training(tmp_path).run(silent, after(2))
    assert training(tmp_path, replace(PLAN, steps=3, learning_rate=1e-4)).run(silent)
    assert state(tmp_path)["step"] == 3


def test_the_best_checkpoint_is_kept_and_a_worse_one_does_not_replace_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shares = iter([0.2, 0.9, 0.9, 0.4])

    def measured(*_: object) -> ValidationFigures:
        share = next(shares)
        return ValidationFigures(found_at_half=share, found_at_1=share, found_at_2=share, label_accuracy=float("nan"))

    monkeypatch.setattr(module, "validate", measured)
    training(tmp_path, replace(PLAN, validate_every=1, mine_every=0)).run(silent)
    best = torch.load(tmp_path / BEST, weights_only=True)
    assert best["step"] == 2 and best["figures"]["found_at_1"] == 0.9
    assert [float(row["found_at_1"]) for row in rows(tmp_path)] == [0.2, 0.9, 0.9, 0.4]
    assert state(tmp_path)["best"]["found_at_half"] == 0.9


def test_the_best_so_far_is_remembered_when_a_run_is_taken_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shares = iter([0.9, 0.4])

    def measured(*_: object) -> ValidationFigures:
        share = next(shares)
        return ValidationFigures(found_at_half=share, found_at_1=share, found_at_2=share, label_accuracy=1.0)

    monkeypatch.setattr(module, "validate", measured)
    plan = replace(PLAN, steps=2, validate_every=1, mine_every=0)
    training(tmp_path, plan).run(silent, after(1))
    training(tmp_path, plan).run(silent)
    assert torch.load(tmp_path / BEST, weights_only=True)["step"] == 1


@pytest.mark.usefixtures("_finds_by_lot")
def test_false_positives_are_mined_in_normals_and_shown_from_then_on(tmp_path: Path) -> None:
    run = training(tmp_path, replace(PLAN, steps=3))
    run.run(silent)
    mined = run._sampler.mined
    assert mined.keys() == {"image 0", "image 1"}
    for places in mined.values():
        assert places.shape[1] == 2 and (places >= 0).all() and (places <= 128).all()


def test_the_loss_falls_on_an_easy_set(tmp_path: Path) -> None:
    """White squares on grey: the first thing that a detector learns."""
    images = []
    for number in range(4):
        image = tissue_image(64, 64, name=f"square {number}", plantable=False, seed=number)
        x, y = 8 + 8 * number, 30 - 6 * number
        image.pixels[y : y + 18, x : x + 18] = 1.0
        box = TruthBox(box_px=(x, y, x + 18, y + 18), label="malignant")
        images.append(replace(image, lesions=(box,)))
    plan = replace(PLAN, steps=20, batch=4, validate_every=1000, mine_every=0, learning_rate=2e-3)
    told: list[float] = []
    training(tmp_path, plan, images=images, crops=replace(CROPS, distractors=0.0)).run(
        lambda _, losses: told.append(sum(losses.values()))
    )
    assert len(told) == 20
    assert np.mean(told[-5:]) < 0.7 * np.mean(told[:5])


def test_other_processes_make_the_same_crops_in_order(tmp_path: Path) -> None:
    here, there = training(tmp_path / "a"), training(tmp_path / "b", replace(PLAN, workers=1))
    for one, other in zip(here.batches(range(6, 11), 2), there.batches(range(6, 11), 2), strict=True):
        assert [crop.pixels.tobytes() for crop in one] == [crop.pixels.tobytes() for crop in other]


def test_the_learning_rate_rises_then_falls_to_nothing(tmp_path: Path) -> None:
    run = training(tmp_path, replace(PLAN, steps=100, warm_up_steps=10))
    rates = []
    for run.step in range(100):
        rates.append(run._learning_rate())
    assert rates[:10] == sorted(rates[:10]) and rates[10:] == sorted(rates[10:], reverse=True)
    assert rates[0] == pytest.approx(1e-4, rel=0.01)
    assert rates[10] == pytest.approx(1e-3, rel=0.03)
    assert 0 < rates[-1] < 1e-6


def test_grains_are_asked_for_only_where_they_are_known(tmp_path: Path) -> None:
    run = training(tmp_path)
    run._grains.requires_grad_(False)
    finest = torch.randn(1, 256, 16, 16)
    calcium = torch.zeros(1, 1, 64, 64)
    unknown = torch.full_like(calcium, float("nan"))
    assert float(run._grain_loss(finest, unknown)) == 0.0
    known = float(run._grain_loss(finest, calcium))
    half = calcium.clone()
    half[..., 32:] = float("nan")
    blind = finest.clone()
    blind[..., 8:] = 1e3
    assert known > 0
    assert float(run._grain_loss(blind, half)) == pytest.approx(float(run._grain_loss(finest, half)))
    grains = calcium.clone()
    grains[..., 8:12, 8:12] = 0.2
    assert float(run._grain_loss(finest, grains)) > known  # the map starts from "nothing anywhere"
