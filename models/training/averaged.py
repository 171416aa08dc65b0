"""Training for a number of steps without a look at what is measured later: the running average is the result.

In cross-validation a fold is measured on what its network has not seen, so nothing of that may choose a checkpoint.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final, Protocol, TypeVar

import torch
from torch import Tensor, nn

from models.training.loop import LOG, append_row, arithmetic
from models.training.steps import Drawn, Network, SteppedTraining, StepPlan, halved

Batch_co = TypeVar("Batch_co", covariant=True)

LOG_EVERY: Final = 20
"""Steps whose mean is one row."""


class StepSource(Protocol[Batch_co]):
    """Where the samples of a step come from. Its number alone decides: a run taken up again repeats and misses none."""

    def draw(self, step: int) -> Batch_co:
        """Make the samples of step `step`, from 0."""
        ...


class AveragedTraining(SteppedTraining[Network, Drawn]):
    """One run of training, in a folder; vectors (biases, normalisation) do not decay.

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
    rate_of : callable
        Given the name of a weight; returns what the learning rate is multiplied with for it.

    Raises
    ------
    TrainingRefused
        The run in `directory` was begun with another plan.
    """

    FIXED = (*SteppedTraining.FIXED, "steps", "learning_rate", "warm_up_steps", "average")
    """The steps are among it: what is drawn depends on them."""

    def __init__(
        self,
        network: Network,
        source: StepSource[Drawn],
        losses: Callable[[Network, Drawn, torch.device], dict[str, Tensor]],
        *,
        plan: StepPlan,
        fixed: Mapping[str, Any],
        directory: Path,
        rate_of: Callable[[str], float] = lambda name: 1.0,
    ) -> None:
        self._source, self._losses = source, losses
        self._sums: dict[str, float] = {}
        parameters = _groups(network, plan.weight_decay, rate_of)
        super().__init__(network, parameters, plan=plan, fixed=fixed, directory=directory)

    def halved(self) -> dict[str, Tensor]:
        """Return the averaged weights in half precision; counters stay integers."""
        return {name: halved(value.detach().cpu()) for name, value in self._average.items()}

    def _draw(self, step: int) -> Drawn:
        return self._source.draw(step)

    def _add_gradients(self, drawn: Drawn) -> dict[str, float]:
        with arithmetic(self._device, self.plan.precision):
            losses = self._losses(self._network, drawn, self._device)
        torch.stack(list(losses.values())).sum().backward()  # type: ignore[no-untyped-call]  # torch has no types here
        return {name: float(value.detach()) for name, value in losses.items()}

    def _note(self, losses: Mapping[str, float]) -> None:
        for name, value in losses.items():
            self._sums[name] = self._sums.get(name, 0.0) + value
        if self.step % LOG_EVERY == 0:
            means = {name: round(total / LOG_EVERY, 5) for name, total in self._sums.items()}
            append_row(self.directory / LOG, {"step": self.step, **means})
            self._sums = {}

    def _more_state(self) -> dict[str, Any]:
        return {"sums": self._sums}

    def _take_state(self, content: Mapping[str, Any]) -> None:
        self._sums = dict(content["sums"])


def _groups(network: nn.Module, weight_decay: float, rate_of: Callable[[str], float]) -> list[dict[str, Any]]:
    """Parameters by what their learning rate is multiplied with, those that decay apart from those that do not."""
    groups: dict[tuple[float, bool], list[Tensor]] = {}
    for name, value in network.named_parameters():
        groups.setdefault((rate_of(name), value.ndim > 1), []).append(value)
    return [
        {"params": values, "weight_decay": weight_decay if decays else 0.0, "rate": rate}
        for (rate, decays), values in groups.items()
    ]
