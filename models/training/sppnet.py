"""What ``mammonode train sppnet`` does: from images to a bundle of weights that the node can load."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

import torch
from torch import nn

from models.bundle import build_network
from models.metadata import bundle_metadata, folder_name, own_metadata
from models.sppnet.network import SPPNet
from models.training.calcified import CalcifiedSamples, SamplePlan, views_of_classes
from models.training.card import write_card
from models.training.classifier import ClassifierPlan, ClassifierTraining
from models.training.data import TrainingData, image_groups
from models.training.loop import training_dir
from models.training.provenance import digest_of_file
from models.training.run import read_best
from models.training.start import load_fitting
from models.training.steps import Tell
from models.weights import write_weights

NAME: Final = "SPPNet"


def new_network(seed: int, start: Path | None = None) -> SPPNet:
    """SPPNet with random weights, or with those of a file.

    A last layer that is not in the file begins at zero: it has twenty times the inputs of ResNet-18's, and were it
    random, the first steps would be spent on calming it down.

    Parameters
    ----------
    start : pathlib.Path or None
        A safetensors file of an SPPNet, or of torchvision's ResNet-18; what is there and fits is taken.

    Raises
    ------
    TrainingRefused
        Nothing in the file fits, or it is not safetensors.
    """
    torch.manual_seed(seed)
    network = build_network(own_metadata(NAME), SPPNet)
    nn.init.zeros_(network.fc.weight)
    nn.init.zeros_(network.fc.bias)
    if start is not None:
        load_fitting(network, start, what="an SPPNet, nor of a ResNet-18 with torchvision's names")
    return network


def train(
    data: TrainingData,
    directory: Path,
    *,
    plan: ClassifierPlan,
    samples: SamplePlan,
    start: Path | None = None,
    tell: Tell = lambda step, losses: None,
    until: Callable[[], bool] = lambda: False,
) -> Path | None:
    """Train, or go on with a run that is in `directory`; at its end write the bundle.

    Returns
    -------
    pathlib.Path or None
        ``directory/sppnet``, a folder as the node's `weights_dir` holds it; None when `until` stopped the run early.

    Raises
    ------
    TrainingRefused
        A split lacks a class, `start` is no such file, or the run in `directory` was begun with another plan.
    """
    groups = image_groups(data.train, data.phantoms)
    run = ClassifierTraining(
        new_network(plan.seed, start),
        CalcifiedSamples(groups, samples, plan.seed, plan.batch, plan.steps),
        views=views_of_classes((*data.val, *data.val_phantoms), plan.seed, samples.spacing_mm),
        plan=plan,
        fixed={"model": NAME, "images": data.digest(), "start": digest_of_file(start), **asdict(samples)},
        directory=training_dir(directory, NAME),
    )
    if not run.run(tell, until):
        return None
    metadata = bundle_metadata(NAME) | {"licence": "that of the images it was trained on; see training_data"}
    return write_bundle(
        run,
        directory / folder_name(NAME),
        metadata,
        note=data.note,
        recipe={"samples": asdict(samples)},
        views="whole images, with planted or real lesions",
        positive="malignant",
    )


def write_bundle(
    run: ClassifierTraining[SPPNet],
    target: Path,
    metadata: Mapping[str, Any],
    *,
    note: str,
    recipe: Mapping[str, Any],
    views: str,
    positive: str,
) -> Path:
    """Write the best checkpoint of a run that reached its end, with a card of what was measured.

    Parameters
    ----------
    metadata : mapping
        What does not come from the run.
    note : str
        What it was trained on.
    recipe : mapping
        How, beside the plan.
    views, positive : str
        What it was validated on, and the name of its second class.
    """
    best = read_best(run.directory)
    positives = sum(view.positive for view in run.views)
    on = f"validation split: {len(run.views)} {views}, {positives} of them {positive}; chose the checkpoint"
    figures = [{"name": name, "value": round(value, 4), "on": on} for name, value in best.figures.items()]
    of_run = {
        "training_data": note,
        "training": {"classifier": asdict(run.plan), **recipe, "step_of_best": best.step},
        "measured": {"note": on, "figures": figures},
    }
    write_weights(best.weights, target, {**metadata, **of_run}, trained_on=note)
    write_card(target)
    return target
