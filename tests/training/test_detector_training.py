"""Training of FPNNet: it learns, a run that was broken off ends as an unbroken one, and the best checkpoint is kept."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from models.errors import TrainingRefused
from models.fpnnet.network import FPNNet
from models.training.contract import TrainingImage, TruthBox
from models.training.crops import CropPlan, CropSampler
from models.training.detector import DetectorTraining, TrainPlan
from models.training.planted_views import planted_pairs
from models.training.validation import views_of
from tests.training.builders import tissue_image
from tests.training.run_files import after, rows, silent, state
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
VIEWS = views_of(planted_pairs(IMAGES[:1], seed=1), 0.1, normals=True)


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


def test_every_validation_is_a_row_and_the_last_step_has_one(tmp_path: Path) -> None:
    training(tmp_path, replace(PLAN, steps=5)).run(silent)
    assert [row["step"] for row in rows(tmp_path)] == ["2", "4", "5"]
    assert list(rows(tmp_path)[0]) == ["step", "found_at_half", "found_at_1", "found_at_2", "label_accuracy"]


@pytest.mark.parametrize("change", [{"seed": 2}, {"batch": 3}])
def test_a_run_is_not_taken_up_with_another_seed_batch_or_decay(tmp_path: Path, change: dict[str, Any]) -> None:
    training(tmp_path).run(silent, lambda: True)
    with pytest.raises(TrainingRefused, match=next(iter(change))):
        training(tmp_path, replace(PLAN, **change))


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
