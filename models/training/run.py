"""A run of training that is validated on the way, whose best checkpoint is kept.

What is learned and how it is measured is in `models.training.detector` and `models.training.classifier`.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, ClassVar, Generic, Protocol, TypeVar

import torch
from torch import Tensor

from models.training.loop import BEST, LOG, append_row, arithmetic, write_checkpoint
from models.training.steps import Drawn, Network, SteppedTraining, StepPlan, halved


class Ranked(Protocol):
    """What one validation measured: a dataclass of numbers."""

    __dataclass_fields__: ClassVar[dict[str, Any]]

    @property
    def rank(self) -> Any:
        """By what the best checkpoint is chosen."""
        ...


Figures = TypeVar("Figures", bound=Ranked)


@dataclass(frozen=True, slots=True, kw_only=True)
class RunPlan(StepPlan):
    """How a run goes; see `StepPlan`. The averaged weights are what is validated and kept.

    Attributes
    ----------
    validate_every : int
        Steps between validations.
    """

    validate_every: int = 250


@dataclass(frozen=True, slots=True, kw_only=True)
class BestCheckpoint:
    """The step with the best figures; weights in half precision, which costs a score less than 0.001."""

    weights: Mapping[str, Tensor]
    figures: Mapping[str, float]
    step: int


class TrainingRun(SteppedTraining[Network, Drawn], Generic[Network, Drawn, Figures]):
    """One run, in a folder; a subclass says what a step learns from, how, and what is measured.

    Parameters
    ----------
    figures : type
        Of what `_measured` returns.
    **run
        As for `SteppedTraining`.
    """

    plan: RunPlan

    def __init__(
        self,
        network: Network,
        parameters: list[dict[str, Any]],
        *,
        figures: type[Figures],
        plan: RunPlan,
        fixed: Mapping[str, Any],
        directory: Path,
    ) -> None:
        self.best: Figures | None = None
        self._figures = figures
        super().__init__(network, parameters, plan=plan, fixed=fixed, directory=directory)

    @abstractmethod
    def _measured(self) -> Figures:
        """Validate the averaged weights; called in the arithmetic of the plan."""

    def _periods(self) -> tuple[int, ...]:
        return (self.plan.validate_every,)

    def _at_period(self) -> None:
        if self.step % self.plan.validate_every == 0 or self.step == self.plan.steps:
            self._validate()

    def _at_end(self) -> None:
        if self.best is None:  # taken up again with fewer steps than were done
            self._validate()
            self._save()

    def _validate(self) -> None:
        with arithmetic(self._device, self.plan.precision):
            figures = self._measured()
        append_row(self.directory / LOG, {"step": self.step, **asdict(figures)})
        if self.best is None or figures.rank > self.best.rank:
            self.best = figures
            content = {"network": self._average, "step": self.step, "figures": asdict(figures)}
            write_checkpoint(self.directory / BEST, content)

    def _more_state(self) -> dict[str, Any]:
        return {"best": None if self.best is None else asdict(self.best)}

    def _take_state(self, content: Mapping[str, Any]) -> None:
        self.best = None if content["best"] is None else self._figures(**content["best"])


def read_best(directory: Path) -> BestCheckpoint:
    """Read the best checkpoint of the run in `directory`, which must be one that reached its last step."""
    content = torch.load(directory / BEST, map_location="cpu", weights_only=True)
    return BestCheckpoint(
        weights={name: halved(value) for name, value in content["network"].items()},
        figures=content["figures"],
        step=int(content["step"]),
    )
