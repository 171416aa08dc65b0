"""Training without a look at what is measured: it learns, and a run that was broken off ends as an unbroken one."""

from __future__ import annotations

import csv
import itertools
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models.errors import TrainingRefused
from models.training import averaged as module
from models.training.averaged import AveragedTraining
from models.training.loop import CHECKPOINT, LOG
from models.training.steps import StepPlan, made_in_order
from tests.training.frame_builders import SMALL
from tests.training.small_networks import one_thread

PLAN = replace(SMALL, steps=7, learning_rate=5e-3)


@pytest.fixture(autouse=True)
def _one_thread(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(module, "LOG_EVERY", 2)
    with one_thread():
        yield


class Points:
    """Points of the plane; the wanted value is whether the first coordinate is positive."""

    def __init__(self) -> None:
        self.asked: list[int] = []

    def draw(self, step: int) -> Tensor:
        self.asked.append(step)
        return torch.from_numpy(np.random.default_rng(step).normal(size=(8, 2)).astype(np.float32))


def small() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(2, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Dropout(0.3), nn.Linear(8, 1))


def losses(network: nn.Sequential, batch: Tensor, device: torch.device) -> dict[str, Tensor]:
    logits = network(batch.to(device))[:, 0].float()
    half = 0.5 * F.binary_cross_entropy_with_logits(logits, (batch[:, 0] > 0).float())
    return {"half": half, "other": 0 * logits.sum()}


class Flat(nn.Sequential):
    """Takes vectors; `AveragedTraining` wants a memory format that only images have."""

    def to(self, *args: Any, **kwargs: Any) -> Flat:
        return self


def training(
    directory: Path, plan: StepPlan = PLAN, *, source: Points | None = None, fixed: Mapping[str, Any] | None = None
) -> AveragedTraining[nn.Sequential, Tensor]:
    network = Flat(*small())
    given = {"data": "points"} if fixed is None else fixed
    return AveragedTraining(network, source or Points(), losses, plan=plan, fixed=given, directory=directory)


def after(steps: int) -> Callable[[], bool]:
    asked = itertools.count(1)
    return lambda: next(asked) >= steps


def state(directory: Path) -> dict[str, Any]:
    content: dict[str, Any] = torch.load(directory / CHECKPOINT, weights_only=True)
    return content


def rows(directory: Path) -> list[dict[str, str]]:
    with (directory / LOG).open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


@pytest.mark.parametrize("stopped_after", [1, 2, 3, 6])
def test_a_run_that_was_broken_off_ends_bit_for_bit_as_an_unbroken_one(tmp_path: Path, stopped_after: int) -> None:
    assert training(tmp_path / "whole").run()
    assert not training(tmp_path / "broken").run(until=after(stopped_after))
    assert state(tmp_path / "broken")["step"] == stopped_after
    assert training(tmp_path / "broken").run()
    whole, broken = state(tmp_path / "whole"), state(tmp_path / "broken")
    for part in ("network", "average"):
        assert all(torch.equal(value, broken[part][name]) for name, value in whole[part].items())
    assert rows(tmp_path / "whole") == rows(tmp_path / "broken")


def test_rows_that_a_run_wrote_after_its_last_checkpoint_are_written_again_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    training(tmp_path / "whole").run()
    training(tmp_path / "broken").run(until=after(3))

    def killed(step: int, _losses: Mapping[str, float]) -> None:
        if step == 6:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        training(tmp_path / "broken").run(killed)
    assert [row["step"] for row in rows(tmp_path / "broken")] == ["2", "4", "6"]
    training(tmp_path / "broken").run()
    assert rows(tmp_path / "broken") == rows(tmp_path / "whole")


def test_a_folder_without_a_checkpoint_begins_a_log_anew(tmp_path: Path) -> None:
    tmp_path.joinpath(LOG).write_text("step,old\n2,1\n", encoding="utf-8")
    training(tmp_path).run()
    assert [row["step"] for row in rows(tmp_path)] == ["2", "4", "6"]
    assert list(rows(tmp_path)[0]) == ["step", "half", "other"]


def test_a_run_taken_up_again_asks_for_the_steps_that_are_left(tmp_path: Path) -> None:
    training(tmp_path).run(until=after(3))
    source = Points()
    training(tmp_path, source=source).run()
    assert source.asked == [3, 4, 5, 6]


def test_a_run_that_is_done_does_nothing_more(tmp_path: Path) -> None:
    training(tmp_path).run()
    source = Points()
    assert training(tmp_path, source=source).run()
    assert source.asked == []


def test_the_loss_falls(tmp_path: Path) -> None:
    told: list[float] = []
    plan = replace(PLAN, steps=120, learning_rate=2e-2)
    assert training(tmp_path, plan).run(lambda _, found: told.append(sum(found.values())))
    assert np.mean(told[-20:]) < 0.6 * np.mean(told[:10])


def test_the_result_is_the_average_in_half_precision(tmp_path: Path) -> None:
    run = training(tmp_path)
    run.run()
    average = state(tmp_path)["average"]
    halved = run.halved()
    assert not torch.equal(average["0.weight"], state(tmp_path)["network"]["0.weight"])
    assert torch.equal(halved["0.weight"], average["0.weight"].half())
    assert halved["1.num_batches_tracked"].dtype == torch.int64
    assert torch.equal(run.averaged().state_dict()["4.weight"], average["4.weight"])
    assert not run.averaged().training


def test_vectors_do_not_decay(tmp_path: Path) -> None:
    run = training(tmp_path)
    groups = {group["weight_decay"]: [value.ndim for value in group["params"]] for group in run._optimiser.param_groups}
    assert set(groups[PLAN.weight_decay]) == {2} and set(groups[0.0]) == {1}


@pytest.mark.parametrize("change", [{"seed": 2}, {"batch": 3}, {"steps": 9}, {"learning_rate": 0.1}, {"average": 0.5}])
def test_a_run_is_not_taken_up_with_what_may_not_change(tmp_path: Path, change: dict[str, Any]) -> None:
    training(tmp_path).run(until=lambda: True)
    with pytest.raises(TrainingRefused, match=next(iter(change))):
        training(tmp_path, replace(PLAN, **change))
    with pytest.raises(TrainingRefused, match=r"another data; go on"):
        training(tmp_path, fixed={"data": "others"})


def test_other_processes_make_the_same_samples_in_order(tmp_path: Path) -> None:
    here, there = training(tmp_path / "a"), training(tmp_path / "b", replace(PLAN, workers=1))
    made = [made_in_order(run._draw, range(3, 6), run.plan.workers) for run in (here, there)]
    for one, other in zip(*made, strict=True):
        assert torch.equal(one, other)


def test_stopping_leaves_nothing_unfinished(tmp_path: Path) -> None:
    assert not training(tmp_path).run(until=lambda: True)
    assert state(tmp_path)["step"] == 1 and not list(tmp_path.glob("*.part"))
