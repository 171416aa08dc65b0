"""Training of a classifier of two classes: steps over samples, validation by AUC, checkpoints to go on from."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from copy import deepcopy
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final, Generic, TypeVar, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, Dataset

from models.errors import TrainingRefused
from models.training.classifier_validation import ClassifierFigures, validate
from models.training.loop import (
    BEST,
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
from models.training.samples import Batch, BatchSource, Sample

Network = TypeVar("Network", bound=nn.Module)

LAST_LAYER: Final = "fc."
"""What the names of its parameters begin with, as in torchvision's ResNet."""

FIXED: Final = ("batch", "weight_decay", "last_layer_rate", "seed")
"""What of a plan may not change when a run is taken up again. More or fewer steps may be: the learning rate follows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClassifierPlan:
    """How a run goes.

    Attributes
    ----------
    steps : int
        In all; the learning rate falls to 0 at the last (cosine).
    batch : int
        Samples a step, of the smallest size.
    learning_rate, weight_decay : float
        Of AdamW (Loshchilov and Hutter, arXiv:1711.05101).
    last_layer_rate : float
        Learning rate of the last layer over that of the others. A step of AdamW moves each weight by about the same, so
        it moves a logit by the sum of the layer's inputs: 21 bins of maxima, where ResNet-18 has one of means.
    warm_up_steps : int
        Over which the learning rate rises from 0.
    validate_every, save_every_s : int
        Steps between validations; seconds between checkpoints.
    average : float
        Share of the old in the running average of the weights, which is what is validated and kept.
    seed : int
        Of weights, samples and order.
    precision : {"float32", "bfloat16"}
        Of the arithmetic in steps; weights stay float32.
    device : str
        ``"cpu"`` or ``"cuda:N"``.
    workers : int
        Processes that make samples.
    """

    steps: int = 4000
    batch: int = 8
    learning_rate: float = 3e-4
    weight_decay: float = 0.01
    last_layer_rate: float = 0.03
    warm_up_steps: int = 100
    validate_every: int = 250
    save_every_s: int = 180
    average: float = 0.995
    seed: int = 1
    precision: Precision = "bfloat16"
    device: str = "cpu"
    workers: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class BestCheckpoint:
    """The weights of the step with the best figures, in half precision: it costs a probability less than 0.001."""

    weights: Mapping[str, Tensor]
    figures: ClassifierFigures
    step: int


class ClassifierTraining(Generic[Network]):
    """One run of training, in a folder.

    Parameters
    ----------
    network : torch.nn.Module
        Grey images ``(n, rows, columns)`` in, logits ``(n, 2)`` out; with the weights to start from.
    source : BatchSource
        Of the training split.
    views : sequence of Sample
        What is validated on, never trained on; both classes.
    fixed : mapping of str to number, str or tuple
        What else may not change when the run is taken up again: the task, how samples are drawn.
    directory : pathlib.Path
        For checkpoints and the log; a run that is there already is taken up again.

    Raises
    ------
    TrainingRefused
        `views` lack a class, or the run in `directory` was begun with another plan.
    """

    def __init__(
        self,
        network: Network,
        source: BatchSource,
        *,
        views: Sequence[Sample],
        plan: ClassifierPlan,
        fixed: Mapping[str, Any],
        directory: Path,
    ) -> None:
        if {view.positive for view in views} != {False, True}:
            raise TrainingRefused("the validation split needs images of both classes")
        self.plan = plan
        self.directory = directory
        self.step = 0
        self.best: ClassifierFigures | None = None
        self._device = torch.device(plan.device)
        self._network = network.to(self._device, memory_format=torch.channels_last)  # type: ignore[call-overload]  # torch's stub lacks this form
        self._average = {name: value.clone() for name, value in network.state_dict().items()}
        self._optimiser = torch.optim.AdamW(
            _groups(network, plan.last_layer_rate), lr=plan.learning_rate, weight_decay=plan.weight_decay, fused=True
        )
        self._source, self._views = source, views
        self._fixed = {name: getattr(plan, name) for name in FIXED} | dict(fixed)
        directory.mkdir(parents=True, exist_ok=True)
        self._resume()

    def run(self, tell: Callable[[int, dict[str, float]], None], until: Callable[[], bool] = lambda: False) -> bool:
        """Go on until the last step, or until `until` says to stop; True when the last step is done.

        Parameters
        ----------
        tell : callable
            Given the step and its loss after every step.
        until : callable
            Asked after every step but the last, once what is due at the step is done; a checkpoint is written before
            stopping.
        """
        saved_s = time.monotonic()
        every = self.plan.validate_every
        while self.step < self.plan.steps:
            end = min(self.plan.steps, self.step + every - self.step % every)
            for batch in self.batches(range(self.step, end)):
                loss = self._one_step(batch)
                self.step += 1
                tell(self.step, {"loss": loss})
                if self.step == end:
                    break  # the validation that is due belongs to this step, and into its checkpoint
                if time.monotonic() - saved_s > self.plan.save_every_s:
                    self._save()
                    saved_s = time.monotonic()
                if until():
                    self._save()
                    return False
            self._validate()
            self._save()
            saved_s = time.monotonic()
            if self.step < self.plan.steps and until():
                return False
        if self.best is None:  # taken up again with fewer steps than were done
            self._validate()
            self._save()
        return True

    def batches(self, steps: range) -> Iterator[Batch]:
        """Make the samples of `steps`, in other processes."""
        loader = DataLoader(
            _Steps(self._source),
            batch_size=None,
            sampler=cast(Any, steps),  # any iterable of indices will do; torch's type wants its own class
            num_workers=self.plan.workers,
            collate_fn=cast(Any, _as_it_is),  # torch's type does not know of batch_size None
            multiprocessing_context="fork" if self.plan.workers else None,
        )
        yield from loader

    def averaged(self) -> Network:
        """Return a copy of the network with the averaged weights, ready to predict."""
        network: Network = deepcopy(self._network)
        network.load_state_dict(self._average)
        network.eval()
        return network

    def _one_step(self, batch: Batch) -> float:
        plan = self.plan
        for group in self._optimiser.param_groups:
            group["lr"] = group["rate"] * learning_rate(
                self.step, steps=plan.steps, highest=plan.learning_rate, warm_up_steps=plan.warm_up_steps
            )
        self._network.train()
        if batch.alone:
            for module in self._network.modules():
                if isinstance(module, nn.BatchNorm2d):
                    module.eval()
        self._optimiser.zero_grad(set_to_none=True)
        groups = [[sample] for sample in batch.samples] if batch.alone else [list(batch.samples)]
        loss = sum(self._gradients(group, len(group) / len(batch.samples)) for group in groups)
        nn.utils.clip_grad_norm_(self._network.parameters(), 5.0)
        self._optimiser.step()
        add_to_average(self._average, self._network.state_dict(), share=plan.average, step=self.step)
        return loss

    def _gradients(self, samples: Sequence[Sample], share: float) -> float:
        """Add the gradients of the mean cross-entropy of `samples` times `share`; return that loss."""
        images = torch.stack([torch.from_numpy(sample.pixels) for sample in samples]).to(self._device)
        wanted = torch.tensor([int(sample.positive) for sample in samples], device=self._device)
        with arithmetic(self._device, self.plan.precision):
            logits = self._network(images)
        loss = share * F.cross_entropy(logits.float(), wanted)
        loss.backward()  # type: ignore[no-untyped-call]  # torch has no types here
        return float(loss.detach())

    def _validate(self) -> None:
        with arithmetic(self._device, self.plan.precision):
            figures = validate(self.averaged(), self._views, self._device)
        append_row(self.directory / LOG, {"step": self.step, **asdict(figures)})
        if self.best is None or figures.rank > self.best.rank:
            self.best = figures
            content = {"network": self._average, "step": self.step, "figures": asdict(figures)}
            write_checkpoint(self.directory / BEST, content)

    def _save(self) -> None:
        content = {
            "step": self.step,
            "fixed": self._fixed,
            "network": self._network.state_dict(),
            "average": self._average,
            "optimiser": self._optimiser.state_dict(),
            "best": None if self.best is None else asdict(self.best),
        }
        write_checkpoint(self.directory / CHECKPOINT, content)

    def _resume(self) -> None:
        path = self.directory / CHECKPOINT
        if not path.exists():
            return
        content = torch.load(path, map_location=self._device, weights_only=True)
        refuse_other_plan(self.directory, content["fixed"], self._fixed)
        self.step = int(content["step"])
        self._network.load_state_dict(content["network"])
        self._average = content["average"]
        self._optimiser.load_state_dict(content["optimiser"])
        self.best = None if content["best"] is None else ClassifierFigures(**content["best"])


def read_best(directory: Path) -> BestCheckpoint:
    """Read the best checkpoint of the run in `directory`, which must be one that reached its last step."""
    content = torch.load(directory / BEST, map_location="cpu", weights_only=True)
    weights = {name: value.half() if value.is_floating_point() else value for name, value in content["network"].items()}
    return BestCheckpoint(weights=weights, figures=ClassifierFigures(**content["figures"]), step=int(content["step"]))


def _groups(network: nn.Module, last_layer_rate: float) -> list[dict[str, Any]]:
    """Parameters by what their learning rate is multiplied with."""
    last = [value for name, value in network.named_parameters() if name.startswith(LAST_LAYER)]
    others = [value for name, value in network.named_parameters() if not name.startswith(LAST_LAYER)]
    return [{"params": others, "rate": 1.0}, {"params": last, "rate": last_layer_rate}]


class _Steps(Dataset[Batch]):
    """Steps by number, as torch's loader wants them; its processes leave the cores to the training."""

    def __init__(self, source: BatchSource) -> None:
        self._source = source

    def __getitem__(self, step: int) -> Batch:
        return self._source.draw(step)


def _as_it_is(batch: Batch) -> Batch:
    return batch
