"""Training for a number of steps without a look at what is measured later: the running average is the result.

In cross-validation a fold is measured on what its network has not seen, so nothing of that may choose a checkpoint.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Generic, Protocol, TypeVar, cast

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from models.training.loop import (
    CHECKPOINT,
    LOG,
    Precision,
    add_to_average,
    append_row,
    arithmetic,
    learning_rate,
    refuse_other_plan,
    write_checkpoint,
)

Network = TypeVar("Network", bound=nn.Module)
Batch = TypeVar("Batch")
Batch_co = TypeVar("Batch_co", covariant=True)

FIXED: Final = ("steps", "batch", "learning_rate", "weight_decay", "warm_up_steps", "average", "seed")
"""What of a plan may not change when a run is taken up again. The steps are among it: what is drawn depends on them."""

LOG_EVERY: Final = 20
"""Steps whose mean is one row."""

Tell = Callable[[int, Mapping[str, float]], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class AveragedPlan:
    """How a run goes.

    Attributes
    ----------
    steps : int
        In all; the learning rate falls to 0 at the last (cosine).
    batch : int
        Samples a step.
    learning_rate, weight_decay : float
        Of AdamW (Loshchilov and Hutter, arXiv:1711.05101); vectors (biases, normalisation) do not decay.
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
        Processes that make samples.
    """

    steps: int
    batch: int
    learning_rate: float
    weight_decay: float
    warm_up_steps: int
    average: float
    save_every_s: int = 120
    seed: int = 1
    precision: Precision = "bfloat16"
    device: str = "cpu"
    workers: int = 1


class StepSource(Protocol[Batch_co]):
    """Where the samples of a step come from. Its number alone decides: a run taken up again repeats and misses none."""

    def draw(self, step: int) -> Batch_co:
        """Make the samples of step `step`, from 0."""
        ...


class AveragedTraining(Generic[Network, Batch]):
    """One run of training, in a folder.

    Parameters
    ----------
    network : torch.nn.Module
        With the weights to start from.
    source : StepSource
        Of the frames to train on.
    losses : callable
        Given the network, a batch and the device; returns losses by name, whose sum is minimised.
    fixed : mapping of str to number, str or tuple
        What else may not change when the run is taken up again: the data, how samples are drawn.
    directory : pathlib.Path
        For the checkpoint and the log; a run that is there already is taken up again.

    Raises
    ------
    TrainingRefused
        The run in `directory` was begun with another plan.
    """

    def __init__(
        self,
        network: Network,
        source: StepSource[Batch],
        losses: Callable[[Network, Batch, torch.device], dict[str, Tensor]],
        *,
        plan: AveragedPlan,
        fixed: Mapping[str, Any],
        directory: Path,
    ) -> None:
        self.plan, self.directory, self.step = plan, directory, 0
        self._device = torch.device(plan.device)
        self._network = network.to(self._device, memory_format=torch.channels_last)  # type: ignore[call-overload]  # torch's stub lacks this form
        self._average = {name: value.clone() for name, value in network.state_dict().items()}
        self._optimiser = torch.optim.AdamW(_groups(network, plan.weight_decay), lr=plan.learning_rate, fused=True)
        self._source, self._losses = source, losses
        self._fixed = {name: getattr(plan, name) for name in FIXED} | dict(fixed)
        self._sums: dict[str, float] = {}
        directory.mkdir(parents=True, exist_ok=True)
        self._resume()

    def run(self, tell: Tell = lambda step, losses: None, until: Callable[[], bool] = lambda: False) -> bool:
        """Go on until the last step, or until `until` says to stop; True when the last step is done.

        Parameters
        ----------
        tell : callable
            Given the step and its losses after every step.
        until : callable
            Asked after every step but the last; a checkpoint is written before stopping.
        """
        saved_s = time.monotonic()
        for batch in self.batches(range(self.step, self.plan.steps)):
            losses = self._one_step(batch)
            self.step += 1
            self._log(losses)
            tell(self.step, losses)
            stop = self.step < self.plan.steps and until()
            if stop or self.step == self.plan.steps or time.monotonic() - saved_s > self.plan.save_every_s:
                self._save()
                saved_s = time.monotonic()
            if stop:
                return False
        return True

    def batches(self, steps: range) -> Iterator[Batch]:
        """Make the samples of `steps`, in other processes where the plan has any."""
        loader = DataLoader(
            _Steps(self._source),
            batch_size=None,
            sampler=cast(Any, steps),  # any iterable of indices will do; torch's type wants its own class
            num_workers=self.plan.workers,
            collate_fn=cast(Any, _as_it_is),  # torch's type does not know of batch_size None
            multiprocessing_context="fork" if self.plan.workers and len(steps) else None,
        )
        yield from loader

    def averaged(self) -> Network:
        """Return a copy of the network with the averaged weights, ready to predict, on its device."""
        network: Network = deepcopy(self._network)
        network.load_state_dict(self._average)
        network.eval()
        return network

    def halved(self) -> dict[str, Tensor]:
        """Return the averaged weights in half precision; counters stay integers."""
        return {
            name: value.detach().cpu().half() if value.is_floating_point() else value.detach().cpu()
            for name, value in self._average.items()
        }

    def _one_step(self, batch: Batch) -> dict[str, float]:
        plan = self.plan
        for group in self._optimiser.param_groups:
            group["lr"] = learning_rate(
                self.step, steps=plan.steps, highest=plan.learning_rate, warm_up_steps=plan.warm_up_steps
            )
        torch.manual_seed(1_000_003 * plan.seed + self.step)  # dropout is drawn by a lot of the step's own
        self._network.train()
        self._optimiser.zero_grad(set_to_none=True)
        with arithmetic(self._device, plan.precision):
            losses = self._losses(self._network, batch, self._device)
        torch.stack(list(losses.values())).sum().backward()  # type: ignore[no-untyped-call]  # torch has no types here
        nn.utils.clip_grad_norm_(self._network.parameters(), 5.0)
        self._optimiser.step()
        add_to_average(self._average, self._network.state_dict(), share=plan.average, step=self.step)
        return {name: float(value.detach()) for name, value in losses.items()}

    def _log(self, losses: Mapping[str, float]) -> None:
        for name, value in losses.items():
            self._sums[name] = self._sums.get(name, 0.0) + value
        if self.step % LOG_EVERY == 0:
            means = {name: round(total / LOG_EVERY, 5) for name, total in self._sums.items()}
            append_row(self.directory / LOG, {"step": self.step, **means})
            self._sums = {}

    def _save(self) -> None:
        content = {
            "step": self.step,
            "fixed": self._fixed,
            "network": self._network.state_dict(),
            "average": self._average,
            "optimiser": self._optimiser.state_dict(),
            "sums": self._sums,
        }
        write_checkpoint(self.directory / CHECKPOINT, content)

    def _resume(self) -> None:
        path = self.directory / CHECKPOINT
        if not path.exists():
            (self.directory / LOG).unlink(missing_ok=True)
            return
        content = torch.load(path, map_location=self._device, weights_only=True)
        refuse_other_plan(self.directory, content["fixed"], self._fixed)
        self.step = int(content["step"])
        self._network.load_state_dict(content["network"])
        self._average = content["average"]
        self._optimiser.load_state_dict(content["optimiser"])
        self._sums = dict(content["sums"])


def _groups(network: nn.Module, weight_decay: float) -> list[dict[str, Any]]:
    """Parameters that decay, and those that do not."""
    matrices = [value for value in network.parameters() if value.ndim > 1]
    vectors = [value for value in network.parameters() if value.ndim <= 1]
    return [{"params": matrices, "weight_decay": weight_decay}, {"params": vectors, "weight_decay": 0.0}]


class _Steps(Dataset[Any]):
    """Steps by number, as torch's loader wants them."""

    def __init__(self, source: StepSource[Any]) -> None:
        self._source = source

    def __getitem__(self, step: int) -> Any:
        return self._source.draw(step)


def _as_it_is(batch: Any) -> Any:
    return batch
