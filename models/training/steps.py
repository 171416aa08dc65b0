"""The steps of a run of training in a folder: what every run does alike, whether it is validated or not.

A run is taken up again where its last checkpoint was written, and ends as one that was never broken off.
"""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Final, Generic, TypeVar, cast

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from models.training.loop import (
    CHECKPOINT,
    LOG,
    Precision,
    add_to_average,
    learning_rate,
    refuse_other_plan,
    write_checkpoint,
)

GREATEST_GRADIENT: Final = 5.0
"""Norm to which the gradients of a step are cut."""

Drawn = TypeVar("Drawn")
Network = TypeVar("Network", bound=nn.Module)
Tell = Callable[[int, Mapping[str, float]], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class StepPlan:
    """How the steps of a run go.

    Attributes
    ----------
    steps : int
        In all; the learning rate falls to 0 at the last (cosine).
    batch : int
        Crops or samples a step.
    learning_rate, weight_decay : float
        Of AdamW (Loshchilov and Hutter, arXiv:1711.05101).
    warm_up_steps : int
        Over which the learning rate rises from 0.
    average : float
        Share of the old in the running average of the weights, which is the result.
    save_every_s : int
        Seconds between checkpoints.
    seed : int
        Of weights, samples and order.
    precision : {"float32", "bfloat16"}
        Of the arithmetic in steps; weights stay float32.
    device : str
        ``"cpu"`` or ``"cuda:N"``.
    workers : int
        Processes that make what is learned from.
    """

    steps: int
    batch: int = 8
    learning_rate: float = 3e-4
    weight_decay: float = 0.01
    warm_up_steps: int = 100
    save_every_s: int = 180
    average: float = 0.995
    seed: int = 1
    precision: Precision = "bfloat16"
    device: str = "cpu"
    workers: int = 1


class SteppedTraining(ABC, Generic[Network, Drawn]):
    """One run, in a folder; a subclass says what a step learns from, and how.

    Parameters
    ----------
    network : torch.nn.Module
        With the weights to start from.
    parameters : list of dict
        Groups for AdamW; the learning rate of one is multiplied with its ``"rate"``, 1 where it has none.
    fixed : mapping of str to number, str or tuple
        What else may not change when the run is taken up again: which images, how they are drawn from.
    directory : pathlib.Path
        For checkpoints and the log; a run that is there already is taken up again.

    Raises
    ------
    TrainingRefused
        The run in `directory` was begun with another plan.
    """

    FIXED: ClassVar[tuple[str, ...]] = ("batch", "weight_decay", "seed")
    """What of a plan may not change when a run is taken up again. More or fewer steps may be: the rate follows."""

    plan: StepPlan

    def __init__(
        self,
        network: Network,
        parameters: list[dict[str, Any]],
        *,
        plan: StepPlan,
        fixed: Mapping[str, Any],
        directory: Path,
    ) -> None:
        self.plan = plan
        self.directory = directory
        self.step = 0
        self._device = torch.device(plan.device)
        self._network = network.to(self._device, memory_format=torch.channels_last)  # type: ignore[call-overload]  # torch's stub lacks this form
        self._average = {name: value.clone() for name, value in network.state_dict().items()}
        self._optimiser = torch.optim.AdamW(
            parameters, lr=plan.learning_rate, weight_decay=plan.weight_decay, fused=True
        )
        self._fixed = {name: getattr(plan, name) for name in self.FIXED} | dict(fixed)
        directory.mkdir(parents=True, exist_ok=True)
        self._resume()

    @abstractmethod
    def _draw(self, step: int) -> Drawn:
        """Make what step `step` learns from; called in other processes. Its number alone decides."""

    @abstractmethod
    def _add_gradients(self, drawn: Drawn) -> dict[str, float]:
        """Compute the gradients of one step, return its losses; the network is in training mode."""

    def _periods(self) -> tuple[int, ...]:
        """Return every how many steps something is due that the next steps depend on."""
        return ()

    def _note(self, losses: Mapping[str, float]) -> None:
        """Note the losses of the step that was just made."""

    def _between(self) -> None:
        """Do what is due at `step` before the next ones, the last step excepted."""

    def _at_period(self) -> None:
        """Do what is due at `step`, the last step included."""

    def _at_end(self) -> None:
        """Do what is left to do once the last step is made, also of a run that had made it before."""

    def _more_state(self) -> dict[str, Any]:
        """Return what else a checkpoint holds."""
        return {}

    def _take_state(self, content: Mapping[str, Any]) -> None:
        """Take up what `_more_state` returned."""

    def run(self, tell: Tell = lambda step, losses: None, until: Callable[[], bool] = lambda: False) -> bool:
        """Go on until the last step, or until `until` says to stop; True when the last step is done.

        Parameters
        ----------
        tell : callable
            Given the step and its losses after every step.
        until : callable
            Asked after every step but the last, once what is due at the step is done; a checkpoint is written before
            stopping.
        """
        saved_s = time.monotonic()
        while self.step < self.plan.steps:
            end = min([self.plan.steps, *(self.step + period - self.step % period for period in self._periods())])
            for drawn in made_in_order(self._draw, range(self.step, end), self.plan.workers):
                losses = self._one_step(drawn)
                self.step += 1
                self._note(losses)
                tell(self.step, losses)
                if self.step == end:
                    break  # what is due now belongs to this step, and into its checkpoint
                if time.monotonic() - saved_s > self.plan.save_every_s:
                    self._save()
                    saved_s = time.monotonic()
                if until():
                    self._save()
                    return False
            if self.step < self.plan.steps:
                self._between()
            self._at_period()
            self._save()
            saved_s = time.monotonic()
            if self.step < self.plan.steps and until():
                return False
        self._at_end()
        return True

    def averaged(self) -> Network:
        """Return a copy of the network with the averaged weights, ready to predict."""
        network: Network = deepcopy(self._network)
        network.load_state_dict(self._average)
        network.eval()
        return network

    def _one_step(self, drawn: Drawn) -> dict[str, float]:
        plan = self.plan
        # What a network draws by lot is the same at a step, whether the run was broken off or not.
        torch.manual_seed(1_000_003 * plan.seed + self.step)
        rate = learning_rate(self.step, steps=plan.steps, highest=plan.learning_rate, warm_up_steps=plan.warm_up_steps)
        for group in self._optimiser.param_groups:
            group["lr"] = rate * group.get("rate", 1.0)
        self._network.train()
        self._optimiser.zero_grad(set_to_none=True)
        losses = self._add_gradients(drawn)
        parameters = [value for group in self._optimiser.param_groups for value in group["params"]]
        nn.utils.clip_grad_norm_(parameters, GREATEST_GRADIENT)
        self._optimiser.step()
        add_to_average(self._average, self._network.state_dict(), share=plan.average, step=self.step)
        return losses

    def _save(self) -> None:
        content = {
            "step": self.step,
            "fixed": self._fixed,
            "network": self._network.state_dict(),
            "average": self._average,
            "optimiser": self._optimiser.state_dict(),
        }
        write_checkpoint(self.directory / CHECKPOINT, content | self._more_state())

    def _resume(self) -> None:
        path = self.directory / CHECKPOINT
        if not path.exists():
            (self.directory / LOG).unlink(missing_ok=True)  # of a run that is not this one
            return
        content = torch.load(path, map_location=self._device, weights_only=True)
        refuse_other_plan(self.directory, content["fixed"], self._fixed)
        self.step = int(content["step"])
        self._network.load_state_dict(content["network"])
        self._average = content["average"]
        self._optimiser.load_state_dict(content["optimiser"])
        self._take_state(content)


def halved(value: Tensor) -> Tensor:
    """Half precision, as weights are stored; counters stay integers."""
    return value.half() if value.is_floating_point() else value


def turn_of(number: int, count: int, seed: int) -> int:
    """Which of `count` things is sample `number`: each once, in an order of chance, before any again."""
    rounds, place = divmod(number, count)
    return int(np.random.default_rng([seed, rounds]).permutation(count)[place])


def made_in_order(make: Callable[[int], Drawn], numbers: range, workers: int) -> Iterator[Drawn]:
    """Call `make` with each of `numbers`, in `workers` other processes, and yield what it returns in their order."""
    loader = DataLoader(
        _Made(make),
        batch_size=None,
        sampler=cast(Any, numbers),  # any iterable of indices will do; torch's type wants its own class
        num_workers=workers,
        collate_fn=cast(Any, _as_it_is),  # torch's type does not know of batch_size None
        multiprocessing_context="fork" if workers else None,
    )
    yield from loader


class _Made(Dataset[Drawn]):
    """What is made by number, as torch's loader wants it; its processes leave the cores to the training."""

    def __init__(self, make: Callable[[int], Drawn]) -> None:
        self._make = make

    def __getitem__(self, number: int) -> Drawn:
        return self._make(number)


def _as_it_is(drawn: Drawn) -> Drawn:
    return drawn
