"""Training of a classifier of two classes: steps over samples, validation by AUC, checkpoints to go on from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import torch
from torch import nn
from torch.nn import functional as F

from models.errors import TrainingRefused
from models.training.classifier_validation import ClassifierFigures, validate
from models.training.loop import arithmetic
from models.training.run import RunPlan, TrainingRun
from models.training.samples import Batch, BatchSource, Sample
from models.training.steps import Network

LAST_LAYER: Final = "fc."
"""What the names of its parameters begin with, as in torchvision's ResNet."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClassifierPlan(RunPlan):
    """How a run goes; see `RunPlan`. The samples of a step are fewer than `batch` when they are large.

    Attributes
    ----------
    last_layer_rate : float
        Learning rate of the last layer over that of the others. A step of AdamW moves each weight by about the same, so
        it moves a logit by the sum of the layer's inputs: 21 bins of maxima, where ResNet-18 has one of means.
    """

    steps: int = 4000
    last_layer_rate: float = 0.03


class ClassifierTraining(TrainingRun[Network, Batch, ClassifierFigures]):
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

    FIXED = (*TrainingRun.FIXED, "last_layer_rate")

    plan: ClassifierPlan

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
        self.views = views
        self._source = source
        super().__init__(
            network,
            _groups(network, plan.last_layer_rate),
            figures=ClassifierFigures,
            plan=plan,
            fixed=fixed,
            directory=directory,
        )

    def _draw(self, step: int) -> Batch:
        return self._source.draw(step)

    def _measured(self) -> ClassifierFigures:
        return validate(self.averaged(), self.views, self._device)

    def _add_gradients(self, drawn: Batch) -> dict[str, float]:
        if drawn.alone:
            for module in self._network.modules():
                if isinstance(module, nn.BatchNorm2d):
                    module.eval()
        groups = [[sample] for sample in drawn.samples] if drawn.alone else [list(drawn.samples)]
        return {"loss": sum(self._gradients(group, len(group) / len(drawn.samples)) for group in groups)}

    def _gradients(self, samples: Sequence[Sample], share: float) -> float:
        """Add the gradients of the mean cross-entropy of `samples` times `share`; return that loss."""
        images = torch.stack([torch.from_numpy(sample.pixels) for sample in samples]).to(self._device)
        wanted = torch.tensor([int(sample.positive) for sample in samples], device=self._device)
        with arithmetic(self._device, self.plan.precision):
            logits = self._network(images)
        loss = share * F.cross_entropy(logits.float(), wanted)
        loss.backward()  # type: ignore[no-untyped-call]  # torch has no types here
        return float(loss.detach())


def _groups(network: nn.Module, last_layer_rate: float) -> list[dict[str, Any]]:
    """Parameters by what their learning rate is multiplied with."""
    last = [value for name, value in network.named_parameters() if name.startswith(LAST_LAYER)]
    others = [value for name, value in network.named_parameters() if not name.startswith(LAST_LAYER)]
    return [{"params": others, "rate": 1.0}, {"params": last, "rate": last_layer_rate}]
