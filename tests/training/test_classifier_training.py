"""Training of a classifier: it learns, a run that was broken off ends as an unbroken one, and the best one is kept."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from models.errors import TrainingRefused
from models.sppnet.network import SPPNet
from models.training import classifier as module
from models.training.classifier import ClassifierPlan, ClassifierTraining
from models.training.classifier_validation import ClassifierFigures, validate
from models.training.loop import BEST, CHECKPOINT, training_dir
from models.training.run import read_best
from models.training.samples import Sample
from models.training.steps import made_in_order
from tests.training.run_files import after, rows, silent, state
from tests.training.small_classifier import EasySamples, easy_sample, make_sppnet_small
from tests.training.small_networks import one_thread

PLAN = ClassifierPlan(
    steps=6,
    batch=4,
    learning_rate=2e-3,
    last_layer_rate=1.0,  # the small network's has 40 inputs, not 10,752
    warm_up_steps=2,
    validate_every=2,
    precision="float32",
    workers=0,
)
VIEWS = [easy_sample(90_000 + number, number % 2 == 1, 64 + number) for number in range(8)]


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    make_sppnet_small(monkeypatch)
    with one_thread():
        yield


def training(
    directory: Path,
    plan: ClassifierPlan = PLAN,
    *,
    source: EasySamples | None = None,
    views: list[Sample] = VIEWS,
    fixed: dict[str, Any] | None = None,
) -> ClassifierTraining[SPPNet]:
    torch.manual_seed(plan.seed)
    return ClassifierTraining(
        SPPNet([1, 2]),
        source or EasySamples(plan.seed),
        views=views,
        plan=plan,
        fixed={"task": "squares", "sides_px": (48, 80)} if fixed is None else fixed,
        directory=directory,
    )


def figures(auc: float, loss: float = 0.5) -> ClassifierFigures:
    return ClassifierFigures(auc=auc, log_loss=loss)


@pytest.mark.parametrize("stopped_after", [1, 2, 3, 5])
def test_a_run_that_was_broken_off_ends_bit_for_bit_as_an_unbroken_one(tmp_path: Path, stopped_after: int) -> None:
    assert training(tmp_path / "whole").run(silent)
    assert not training(tmp_path / "broken").run(silent, after(stopped_after))
    assert state(tmp_path / "broken")["step"] == stopped_after
    again = training(tmp_path / "broken")
    assert again.step == stopped_after and again.run(silent)
    whole, broken = state(tmp_path / "whole"), state(tmp_path / "broken")
    for part in ("network", "average"):
        assert whole[part].keys() == broken[part].keys()
        for name, value in whole[part].items():
            assert torch.equal(value, broken[part][name]), name
    assert whole["best"] == broken["best"]
    assert rows(tmp_path / "whole") == rows(tmp_path / "broken")


def test_a_run_taken_up_again_asks_for_the_steps_that_are_left(tmp_path: Path) -> None:
    training(tmp_path).run(silent, after(3))
    source = EasySamples()
    training(tmp_path, source=source).run(silent)
    assert source.asked == [3, 4, 5]


def test_the_loss_falls_and_the_classes_are_told_apart_on_an_easy_set(tmp_path: Path) -> None:
    told: list[float] = []
    plan = replace(PLAN, steps=60, learning_rate=5e-3, validate_every=60, average=0.9)
    run = training(tmp_path, plan)
    assert run.run(lambda _, losses: told.append(losses["loss"]))
    assert np.mean(told[-10:]) < 0.5 * np.mean(told[:5])
    assert run.best is not None and run.best.auc > 0.9


def test_in_half_precision_it_learns_too(tmp_path: Path) -> None:
    told: list[float] = []
    plan = replace(PLAN, steps=60, learning_rate=5e-3, validate_every=60, precision="bfloat16")
    training(tmp_path, plan).run(lambda _, losses: told.append(losses["loss"]))
    assert np.mean(told[-10:]) < 0.6 * np.mean(told[:5])
    assert {value.dtype for value in state(tmp_path)["network"].values()} == {torch.float32, torch.int64}


def test_other_processes_make_the_same_samples_in_order() -> None:
    here, there = (made_in_order(EasySamples().draw, range(3, 6), workers) for workers in (0, 1))
    for one, other in zip(here, there, strict=True):
        assert one.alone == other.alone
        assert [s.positive for s in one.samples] == [s.positive for s in other.samples]
        assert [s.pixels.tobytes() for s in one.samples] == [s.pixels.tobytes() for s in other.samples]


def test_whole_images_leave_the_statistics_of_normalisation_as_they_are(tmp_path: Path) -> None:
    run = training(tmp_path, replace(PLAN, warm_up_steps=0))
    statistics = {name: value.clone() for name, value in run._network.state_dict().items() if "running" in name}
    weights = run._network.conv1.weight.detach().clone()
    batch = EasySamples().draw(2)
    assert batch.alone
    run._one_step(batch)
    assert statistics and all(torch.equal(run._network.state_dict()[name], value) for name, value in statistics.items())
    assert not torch.equal(run._network.conv1.weight, weights)
    run._one_step(EasySamples().draw(0))
    assert not any(torch.equal(run._network.state_dict()[name], value) for name, value in statistics.items())
    assert all(module.training for module in run._network.modules() if isinstance(module, nn.BatchNorm2d))


def test_images_that_go_alone_give_the_gradients_of_their_mean_loss(tmp_path: Path) -> None:
    batch = EasySamples(whole=False).draw(0)
    run = training(tmp_path)
    run._network.eval()
    together = run._gradients(batch.samples, 1.0)
    gradients = [value.grad.clone() for value in run._network.parameters() if value.grad is not None]
    run._network.zero_grad()
    alone = sum(run._gradients([sample], 1 / len(batch.samples)) for sample in batch.samples)
    assert alone == pytest.approx(together, rel=1e-5)
    for value, expected in zip(run._network.parameters(), gradients, strict=True):
        torch.testing.assert_close(value.grad, expected, rtol=1e-3, atol=1e-6)


def test_the_last_layer_moves_at_a_rate_of_its_own(tmp_path: Path) -> None:
    moved = {}
    for rate in (1.0, 0.1):
        run = training(tmp_path / str(rate), replace(PLAN, last_layer_rate=rate, warm_up_steps=0, weight_decay=0.0))
        before = {name: value.detach().clone() for name, value in run._network.named_parameters()}
        run._one_step(EasySamples().draw(0))
        after_it = {name: value.detach() for name, value in run._network.named_parameters()}
        moved[rate] = {name: float((after_it[name] - before[name]).abs().sum()) for name in before}
    assert moved[0.1]["fc.weight"] == pytest.approx(0.1 * moved[1.0]["fc.weight"], rel=0.01)
    assert moved[0.1]["conv1.weight"] == pytest.approx(moved[1.0]["conv1.weight"], rel=0.01)


@pytest.mark.parametrize("change", [{"seed": 2}, {"batch": 3}, {"weight_decay": 0.5}, {"last_layer_rate": 0.5}])
def test_a_run_is_not_taken_up_with_what_may_not_change(tmp_path: Path, change: dict[str, Any]) -> None:
    training(tmp_path).run(silent, lambda: True)
    with pytest.raises(TrainingRefused, match=next(iter(change))):
        training(tmp_path, replace(PLAN, **change))


@pytest.mark.parametrize(
    ("fixed", "named"),
    [
        ({"task": "circles", "sides_px": (48, 80)}, "task"),
        ({"task": "squares", "sides_px": (48, 96)}, "sides_px"),
        ({"task": "squares"}, "sides_px"),
        ({"task": "squares", "sides_px": (48, 80), "whole": 0.1}, "whole"),
    ],
)
def test_a_run_is_not_taken_up_for_another_task_or_with_other_samples(
    tmp_path: Path, fixed: dict[str, Any], named: str
) -> None:
    training(tmp_path).run(silent, lambda: True)
    with pytest.raises(TrainingRefused, match=f"another {named};"):
        training(tmp_path, fixed=fixed)


def test_a_run_may_be_taken_up_with_more_steps_and_another_rate(tmp_path: Path) -> None:
    training(tmp_path).run(silent, after(2))
    assert training(tmp_path, replace(PLAN, steps=3, learning_rate=1e-4)).run(silent)
    assert state(tmp_path)["step"] == 3


def test_a_run_taken_up_with_fewer_steps_than_were_done_still_has_a_best_checkpoint(tmp_path: Path) -> None:
    plan = replace(PLAN, steps=9, validate_every=9)
    training(tmp_path, plan).run(silent, after(2))
    assert not (tmp_path / BEST).exists()
    assert training(tmp_path, replace(plan, steps=2)).run(silent)
    assert read_best(tmp_path).step == 2


@pytest.mark.parametrize("positive", [False, True])
def test_without_both_classes_to_validate_on_a_run_is_refused_before_it_begins(tmp_path: Path, positive: bool) -> None:
    with pytest.raises(TrainingRefused, match="both classes"):
        training(tmp_path / "run", views=[view for view in VIEWS if view.positive is positive])
    assert not (tmp_path / "run").exists()


def test_every_validation_is_a_row_and_the_last_step_has_one(tmp_path: Path) -> None:
    training(tmp_path, replace(PLAN, steps=5)).run(silent)
    assert [row["step"] for row in rows(tmp_path)] == ["2", "4", "5"]
    assert list(rows(tmp_path)[0]) == ["step", "auc", "log_loss"]


def test_the_best_by_auc_is_kept_and_of_equal_ones_the_one_with_the_lower_loss(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    measured = iter([figures(0.9, 0.7), figures(0.9, 0.4), figures(0.9, 0.5), figures(0.6, 0.1)])
    monkeypatch.setattr(module, "validate", lambda *_: next(measured))
    training(tmp_path, replace(PLAN, steps=4, validate_every=1)).run(silent)
    best = read_best(tmp_path)
    assert best.step == 2 and best.figures == {"auc": 0.9, "log_loss": 0.4}
    assert state(tmp_path)["best"] == {"auc": 0.9, "log_loss": 0.4}


def test_the_best_so_far_is_remembered_when_a_run_is_taken_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    measured = iter([figures(0.9), figures(0.4)])
    monkeypatch.setattr(module, "validate", lambda *_: next(measured))
    plan = replace(PLAN, steps=2, validate_every=1)
    training(tmp_path, plan).run(silent, after(1))
    training(tmp_path, plan).run(silent)
    assert read_best(tmp_path).step == 1


def test_what_is_kept_is_the_average_of_the_weights_in_half_precision(tmp_path: Path) -> None:
    run = training(tmp_path)
    start = {name: value.clone() for name, value in run._network.state_dict().items()}
    run.run(silent)
    content = state(tmp_path)
    moved, lagging = (
        float((content[part]["conv1.weight"] - start["conv1.weight"]).abs().mean()) for part in ("network", "average")
    )
    assert 0 < lagging < moved
    kept = torch.load(tmp_path / BEST, weights_only=True)["network"]
    halved = read_best(tmp_path).weights
    assert torch.equal(halved["conv1.weight"], kept["conv1.weight"].half())
    assert torch.equal(halved["bn1.num_batches_tracked"], kept["bn1.num_batches_tracked"])


def test_stopping_writes_a_checkpoint_and_nothing_unfinished(tmp_path: Path) -> None:
    told: list[int] = []
    assert not training(tmp_path).run(lambda step, _: told.append(step), lambda: True)
    assert told == [1] and (tmp_path / CHECKPOINT).exists()
    assert not list(tmp_path.glob("*.part"))


class _Brightest(nn.Module):
    """In place of a network: the probability of the second class is the brightest pixel."""

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        brightest = torch.logit(images.double().flatten(1).amax(dim=1))
        return torch.stack([torch.zeros_like(brightest), brightest], dim=1)


def test_auc_and_loss_are_those_by_hand() -> None:
    scores = [(0.9, True), (0.4, True), (0.6, False), (0.1, False)]  # one of four pairs in the wrong order
    views = [Sample(pixels=np.full((2, 2 + n), score, np.float32), positive=p) for n, (score, p) in enumerate(scores)]
    measured = validate(_Brightest(), views, torch.device("cpu"))
    assert measured.auc == 0.75
    by_hand = -np.mean(np.log([0.9, 0.4, 1 - 0.6, 1 - 0.1]))
    assert measured.log_loss == pytest.approx(by_hand, rel=1e-5)


def test_models_that_share_a_folder_have_checkpoints_of_their_own(tmp_path: Path) -> None:
    assert training_dir(tmp_path, "SPPNet") == tmp_path / "sppnet-training"
