"""What ``mammonode train sppnet`` does: from images to a bundle of weights that the node can load."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import torch
from torch import nn

from models.bundle import build_network
from models.metadata import bundle_dir, bundle_metadata, folder_name, read_metadata
from models.sppnet.network import SPPNet
from models.training.calcified import CalcifiedSamples, SamplePlan, views_of_classes
from models.training.card import write_card
from models.training.classifier import BestCheckpoint, ClassifierPlan, ClassifierTraining, read_best
from models.training.contract import TrainingImage
from models.training.loop import training_dir
from models.training.provenance import digest_of_file, digest_of_images
from models.training.samples import Sample
from models.training.start import load_fitting
from models.weights import write_weights

NAME: Final = "SPPNet"
SHARES: Final = {"film": 0.62, "digital": 0.2, "phantom": 0.18}
"""How often a planted sample is of each kind of image, when there are any of it; as for FPNNet."""

Tell = Callable[[int, Mapping[str, float]], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class ClassifierData:
    """What a run trains and validates on.

    Attributes
    ----------
    train, val : sequence of TrainingImage
        Of the manifest.
    phantoms, val_phantoms : sequence of TrainingImage
        Made, not read; may be empty.
    note : str
        What these images are, for the card.
    """

    train: Sequence[TrainingImage]
    val: Sequence[TrainingImage]
    phantoms: Sequence[TrainingImage]
    val_phantoms: Sequence[TrainingImage]
    note: str


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
    network = build_network(read_metadata(bundle_dir(NAME) / "configs" / "metadata.json"), SPPNet)
    nn.init.zeros_(network.fc.weight)
    nn.init.zeros_(network.fc.bias)
    if start is not None:
        load_fitting(network, start, what="an SPPNet, nor of a ResNet-18 with torchvision's names")
    return network


def train(
    data: ClassifierData,
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
    source = CalcifiedSamples(_groups(data), samples, plan.seed, plan.batch, plan.steps)
    views = views_of_classes((*data.val, *data.val_phantoms), plan.seed, samples.spacing_mm)
    run = ClassifierTraining(
        new_network(plan.seed, start),
        source,
        views=views,
        plan=plan,
        fixed={
            "model": NAME,
            "images": digest_of_images(data.train, data.val, data.phantoms, data.val_phantoms),
            "start": digest_of_file(start),
            **asdict(samples),
        },
        directory=training_dir(directory, NAME),
    )
    if not run.run(tell, until):
        return None
    best = read_best(run.directory)
    metadata = bundle_metadata(NAME) | {
        "training_data": data.note,
        "licence": "that of the images it was trained on; see training_data",
        "training": {"classifier": asdict(plan), "samples": asdict(samples), "step_of_best": best.step},
        "measured": measured(best, views, "whole images, with planted or real lesions", "malignant"),
    }
    target = directory / folder_name(NAME)
    write_weights(best.weights, target, metadata, trained_on=data.note)
    write_card(target)
    return target


def measured(best: BestCheckpoint, views: Sequence[Sample], what: str, positive: str) -> dict[str, Any]:
    """Return what a card says of the figures that chose the checkpoint, and on what they were measured."""
    positives = sum(view.positive for view in views)
    on = f"validation split: {len(views)} {what}, {positives} of them {positive}; chose the checkpoint"
    figures = asdict(best.figures)
    return {"note": on, "figures": [{"name": name, "value": round(v, 4), "on": on} for name, v in figures.items()]}


def _groups(data: ClassifierData) -> dict[str, tuple[float, Sequence[TrainingImage]]]:
    groups = {medium: [image for image in data.train if image.medium == medium] for medium in ("film", "digital")} | {
        "phantom": list(data.phantoms)
    }
    return {name: (SHARES[name], images) for name, images in groups.items() if images}
