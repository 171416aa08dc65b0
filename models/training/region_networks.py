"""What ``mammonode train`` does with a network of regions: tumours in, the bundle of the best checkpoint out."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final, cast

import torch
from torch import nn
from torch.nn import functional as F

from models.bundle import build_network
from models.densenet121_cbam.network import DenseNet121CBAM
from models.densenet121_cbam.region import region_px as densenet121_cbam_region
from models.ip_se_dresnet.network import IPSEDResNet
from models.ip_se_dresnet.region import region_px as ip_se_dresnet_region
from models.metadata import FAMILIES, own_metadata
from models.regions.contract import RegionTask
from models.regions.crops import SIDE_PX
from models.training.fold_bundles import fold_metadata, run_dir_of, write_network
from models.training.loop import arithmetic
from models.training.provenance import digest_of_file
from models.training.region_parts import RegionParts, counted, digest_of_tumours
from models.training.region_samples import Cut, RegionBatch, RegionCase, RegionLooks, RegionSource, cases_of
from models.training.region_start import start_densenet121_cbam, start_ip_se_dresnet
from models.training.region_validation import Logits, RegionFigures, figures_of, predict
from models.training.run import RunPlan, TrainingRun, read_best
from models.training.steps import Tell
from models.training.tumours import Tumour

Start = Callable[[nn.Module, Sequence[Path]], None]

VALIDATIONS: Final = 60
"""At most, in a run: on a small cohort an epoch is a matter of seconds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RegionPlan(RunPlan):
    """How a run goes; see `RunPlan`.

    Attributes
    ----------
    steps, validate_every : int
        Follow from the epochs, see `for_samples`.
    epochs : int
        How often every sample is seen.
    """

    steps: int = 0
    epochs: int = 100

    def for_samples(self, samples: int) -> RegionPlan:
        """The plan for a round of `samples`: validated once an epoch, at most `VALIDATIONS` times in all."""
        steps = math.ceil(self.epochs * samples / self.batch)
        return replace(
            self,
            steps=steps,
            validate_every=max(math.ceil(samples / self.batch), math.ceil(steps / VALIDATIONS)),
            warm_up_steps=min(self.warm_up_steps, steps // 10),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """What is a family's own.

    Attributes
    ----------
    network : type
        That its bundle builds.
    logits : callable
        What its members say; each learns by its own cross-entropy.
    cut : callable
        What it is shown of a view: the predictor's own function.
    start : callable
        Loads files of weights into a network as far as they fit.
    plan : RegionPlan
    looks : RegionLooks
        Of all its models; `oversampling` may be other.
    oversampling : mapping of str to float
        By model.
    test_share : float
        Share of the patients that the paper measured on.
    """

    network: type[nn.Module]
    logits: Logits
    cut: Cut
    start: Start
    plan: RegionPlan
    looks: RegionLooks
    oversampling: Mapping[str, float]
    test_share: float

    def looks_of(self, model: str) -> RegionLooks:
        """How regions are varied for one of its models."""
        return replace(self.looks, oversampling=self.oversampling.get(model, self.looks.oversampling))


class RegionTraining(TrainingRun[nn.Module, RegionBatch, RegionFigures]):
    """One run of training, in a folder.

    Parameters
    ----------
    network : torch.nn.Module
        With the weights to start from.
    source : RegionSource
        Of what it learns from.
    cases : tuple of RegionCase
        What the checkpoint is chosen by, never learned from.
    logits : callable
        As in `Recipe`.
    **run
        As for `TrainingRun`.
    """

    FIXED = (*TrainingRun.FIXED, "epochs", "learning_rate", "average")
    """The epochs are among it: their number says how often a run is validated, and so what is kept."""

    def __init__(
        self,
        network: nn.Module,
        source: RegionSource,
        *,
        cases: tuple[RegionCase, ...],
        logits: Logits,
        plan: RegionPlan,
        fixed: Mapping[str, Any],
        directory: Path,
    ) -> None:
        self._source, self._cases, self._logits = source, cases, logits
        self._loss_sum, self._loss_steps = 0.0, 0
        super().__init__(
            network,
            [{"params": list(network.parameters())}],
            figures=RegionFigures,
            plan=plan,
            fixed=fixed,
            directory=directory,
        )

    def _draw(self, step: int) -> RegionBatch:
        return self._source.draw(step)

    def _add_gradients(self, drawn: RegionBatch) -> dict[str, float]:
        images = drawn.images.to(self._device, memory_format=torch.channels_last)
        wanted = drawn.wanted.to(self._device)
        with arithmetic(self._device, self.plan.precision):
            members = self._logits(self._network, images)
        losses = torch.stack([F.cross_entropy(logits.float(), wanted) for logits in members])
        losses.sum().backward()  # type: ignore[no-untyped-call]  # torch has no types here
        return {"loss": float(losses.detach().mean())}

    def _note(self, losses: Mapping[str, float]) -> None:
        self._loss_sum += losses["loss"]
        self._loss_steps += 1

    def _measured(self) -> RegionFigures:
        probabilities = predict(self.averaged(), self._cases, self._logits, self._device)
        mean = self._loss_sum / self._loss_steps if self._loss_steps else float("nan")
        self._loss_sum, self._loss_steps = 0.0, 0
        return figures_of(probabilities, [case.wanted for case in self._cases], mean)

    def _more_state(self) -> dict[str, Any]:
        return super()._more_state() | {"losses": (self._loss_sum, self._loss_steps)}

    def _take_state(self, content: Mapping[str, Any]) -> None:
        super()._take_state(content)
        self._loss_sum, self._loss_steps = content["losses"]


def train(
    parts: RegionParts,
    directory: Path,
    *,
    model: str,
    task: RegionTask,
    fold: int | None,
    plan: RegionPlan,
    note: str,
    described: Mapping[str, Any],
    start: Sequence[Path] = (),
    begin: Callable[[int, int], None] = lambda done, steps: None,
    tell: Tell = lambda step, losses: None,
    until: Callable[[], bool] = lambda: False,
) -> Path | None:
    """Train on ``parts.train``, or go on with such a run; at its end write the bundle of the best checkpoint.

    Parameters
    ----------
    task : RegionTask
        What is told apart: the model's own, or another outcome with as many classes.
    fold : int or None
        That was left out, for the place of the bundle.
    plan : RegionPlan
        Its steps follow from its epochs and from how many samples there are.
    note : str
        What the tumours are, for the card.
    described : mapping
        The bundle's metadata, all but what the training adds.
    start : sequence of pathlib.Path
        Safetensors files to begin with instead of random weights, see `Recipe.start`.
    begin : callable
        Given, before the first, how many steps were made before, and how many there are in all.
    tell : callable
        Given the step and its losses after every step.

    Returns
    -------
    pathlib.Path or None
        Folder of weights and metadata; None when `until` stopped the run early.

    Raises
    ------
    TrainingRefused
        `start` is no such file, or the run in `directory` was begun with another plan or on other tumours.
    """
    recipe = RECIPES[FAMILIES[model]]
    looks = recipe.looks_of(model)
    learned, choosing = (sorted(part, key=lambda one: one.name) for part in (parts.train, parts.choose))  # in any order
    source = RegionSource(learned, task, recipe.cut, SIDE_PX, looks, plan.batch, plan.seed)
    begun_with = [digest_of_file(path) for path in start]
    run = RegionTraining(
        new_network(model, task, plan.seed, start),
        source,
        cases=cases_of(choosing, task, recipe.cut, SIDE_PX),
        logits=recipe.logits,
        plan=plan.for_samples(source.samples),
        fixed={
            "model": model,
            "outcome": task.outcome,
            "tumours": digest_of_tumours(parts.train, task),
            "choosing tumours": digest_of_tumours(parts.choose, task),
            "start": ", ".join(begun_with),
            **asdict(looks),
        },
        directory=run_dir_of(directory, model, fold),
    )
    begin(run.step, run.plan.steps)
    if not run.run(tell, until):
        return None
    best = read_best(run.directory)
    training = {
        "plan": asdict(run.plan),
        "looks": asdict(looks),
        "start": [f"a file with SHA-256 {digest}" for digest in begun_with] or "random weights",
        "learned_from": counted(parts.train, task),
        "tumours": digest_of_tumours(parts.train, task),
        "chosen_by": counted(parts.choose, task),
        "step_of_best": best.step,
        "figures_of_choice": {name: round(value, 4) for name, value in best.figures.items()},
    }
    metadata = fold_metadata(model, fold, note=note, training=training, measured=None, described=described)
    return write_network(best.weights, directory, model, fold, metadata=metadata)


def new_network(model: str, task: RegionTask, seed: int, start: Sequence[Path] = ()) -> nn.Module:
    """The network of a model with random weights, or with those of files as far as they fit.

    Raises
    ------
    TrainingRefused
        Nothing in a file fits, or it is not safetensors.
    """
    recipe = RECIPES[FAMILIES[model]]
    torch.manual_seed(seed)
    network = build_network(replace(own_metadata(model), region=task), recipe.network)
    if start:
        recipe.start(network, start)
    return network


def too_small(model: str, task: RegionTask) -> Callable[[Tumour], str | None]:
    """Return a function that says why analysis would refuse a tumour's region; None when it would not."""
    cut = RECIPES[FAMILIES[model]].cut

    def problem(tumour: Tumour) -> str | None:
        try:
            for view in task.views:
                if view in tumour.views:
                    cut(tumour.views[view])
        except ValueError:
            return "marked too small"
        return None

    return problem


RECIPES: Final[Mapping[str, Recipe]] = MappingProxyType(
    {
        "ip_se_dresnet": Recipe(
            network=IPSEDResNet,
            logits=lambda network, images: cast(IPSEDResNet, network).logits(images),
            cut=ip_se_dresnet_region,
            start=start_ip_se_dresnet,
            plan=RegionPlan(epochs=100, batch=16, learning_rate=3e-4, weight_decay=0.01),
            looks=RegionLooks(turn_degrees=20.0, quarters=True),
            oversampling=MappingProxyType({}),
            test_share=0.3,
        ),
        "densenet121_cbam": Recipe(
            network=DenseNet121CBAM,
            logits=lambda network, images: (network(images),),
            cut=densenet121_cbam_region,
            start=start_densenet121_cbam,
            plan=RegionPlan(epochs=300, batch=8, learning_rate=1e-4, weight_decay=0.005, warm_up_steps=0),
            looks=RegionLooks(turn_degrees=20.0, shear_degrees=10.0),
            oversampling=MappingProxyType(
                {
                    "densenet121-cbam-luminal": 1.3,
                    "densenet121-cbam-her2": 1.5,
                    "densenet121-cbam-tn": 1.7,
                    "densenet121-cbam-subtype": 1.5,
                }
            ),
            test_share=0.2,
        ),
    }
)
"""By family. DenseNet121-CBAM is trained as its paper says. Of IP-SE-DResNet the paper says rotation, flips and 7:3, no
more: AdamW with half a cosine, the batch, the rate, the epochs and the angles are chosen here."""
