"""What ``mammonode train fpnnet`` does: from images to a bundle of weights that the node can load."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import torch

from models.bundle import build_network
from models.errors import TrainingRefused
from models.fpnnet.gate import Gate
from models.fpnnet.network import FPNNet
from models.fpnnet.search import GatedFPNNet
from models.metadata import bundle_metadata, own_metadata
from models.training.card import write_card
from models.training.crops import CropPlan, CropSampler
from models.training.data import TrainingData, image_groups
from models.training.detector import DetectorTraining, TrainPlan
from models.training.gate import ROUNDING, GateFigures, GatePlan, choose_threshold, train_gate
from models.training.loop import arithmetic
from models.training.planted_views import planted_pairs
from models.training.provenance import digest_of_file
from models.training.run import BestCheckpoint, read_best
from models.training.start import load_fitting
from models.training.steps import Tell, halved
from models.training.validation import ValidationView, score_at_rate, some_of, view_of, views_of
from models.weights import write_weights

NAME: Final = "FPNNet"
OPERATING_RATE: Final = 0.5
"""False positives per normal image at the operating point, on the images of the validation split."""

VALIDATION_ROUNDS: Final = 3
"""Times that lesions are planted in each image of the validation split: few images would else choose a checkpoint."""

VALIDATION_IMAGES: Final = 100
"""Of more plantable images, or of more with lesions, these many by lot are validated on."""

GATE_ROUNDS: Final = 2
"""Times that the whole validation split is made anew to choose the gate's threshold."""


def new_network(seed: int, backbone: Path | None = None) -> FPNNet:
    """FPNNet with random weights, or with a backbone of the site's own.

    Parameters
    ----------
    backbone : pathlib.Path or None
        A safetensors file of torchvision's ResNet-50; what is there and fits is taken, its classifier is left.

    Raises
    ------
    TrainingRefused
        Nothing in the file fits, or it is not safetensors.
    """
    torch.manual_seed(seed)
    metadata = own_metadata(NAME)
    network = build_network(metadata, GatedFPNNet).detector
    if backbone is not None:
        resnet = "a ResNet-50 with torchvision's names"
        load_fitting(network.backbone.body, backbone, what=resnet, prefix="backbone.body.")
    return network


def train(
    data: TrainingData,
    directory: Path,
    *,
    plan: TrainPlan,
    crops: CropPlan,
    gate_plan: GatePlan,
    backbone: Path | None = None,
    tell: Tell = lambda step, losses: None,
    tell_gate: Callable[[int, float], None] = lambda step, loss: None,
    until: Callable[[], bool] = lambda: False,
) -> Path | None:
    """Train, or go on with a run that is in `directory`; at its end train the gate and write the bundle.

    Returns
    -------
    pathlib.Path or None
        ``directory/fpnnet``, a folder as the node's `weights_dir` holds it; None when `until` stopped the run early.

    Raises
    ------
    TrainingRefused
        There is nothing to validate on, `backbone` is no such file, or the run in `directory` was begun with another
        plan.
    """
    views = _views(data, plan.seed)
    if not _has_normals(views):
        raise TrainingRefused("the validation split has no normal image that lesions can be planted in: see plantable")
    network = new_network(plan.seed, backbone)
    sampler = CropSampler(image_groups(data.train, data.phantoms), crops, plan.seed)
    normals = [image for image in (*data.train, *data.phantoms[:2]) if image.plantable]
    run = DetectorTraining(
        network,
        sampler,
        normals=normals,
        views=views,
        plan=plan,
        fixed={
            "images": data.digest(),
            "backbone": digest_of_file(backbone),
            **asdict(crops),
        },
        directory=directory,
    )
    if not run.run(tell, until):
        return None
    device = torch.device(plan.device)
    gate = train_gate(run.batches, gate_plan, device=device, seed=plan.seed, tell=tell_gate)
    gate = gate.half().float()  # as it will be stored, so that its threshold is right to the last digit
    detector, best = _best(directory, device)
    more = tuple(view for round_ in range(GATE_ROUNDS) for view in _views(data, plan.seed + 1 + round_))
    with arithmetic(device, plan.precision):
        passed = choose_threshold(gate, detector, more if _has_normals(more) else views, gate_plan.recall)
    trained = _Trained(detector=detector, best=best, gate=gate, passed=passed)
    return _export(directory, trained, views, _Recipe(plan=plan, crops=crops, gate=gate_plan, note=data.note))


def _best(directory: Path, device: torch.device) -> tuple[FPNNet, BestCheckpoint]:
    """Read the best checkpoint of a run: the detector in half precision, as it will be stored."""
    best = read_best(directory)
    detector = build_network(own_metadata(NAME), GatedFPNNet).detector
    detector.load_state_dict(best.weights)
    return detector.to(device, memory_format=torch.channels_last).eval(), best


@dataclass(frozen=True, slots=True, kw_only=True)
class _Trained:
    """What a run ended with: its best detector, from which step; the gate, and what it lets by."""

    detector: FPNNet
    best: BestCheckpoint
    gate: Gate
    passed: GateFigures


@dataclass(frozen=True, slots=True, kw_only=True)
class _Recipe:
    """What a bundle says of how it came about."""

    plan: TrainPlan
    crops: CropPlan
    gate: GatePlan
    note: str


def _export(directory: Path, trained: _Trained, views: Sequence[ValidationView], recipe: _Recipe) -> Path:
    """Write the weights in half precision, with the metadata that describes them."""
    weights = {
        f"{part}.{name}": halved(value)
        for part, network in (("detector", trained.detector), ("gate", trained.gate))
        for name, value in network.state_dict().items()
    }
    score = score_at_rate(trained.detector, views, torch.device(recipe.plan.device), OPERATING_RATE)
    metadata = bundle_metadata(NAME)
    # Rounded up: rounded down, it would let in the very false positive that it was set to.
    at = math.ceil(1000.0 * score - ROUNDING) / 1000.0
    metadata["operating_point"] |= {"score_threshold": at, "gate_threshold": trained.passed.threshold}
    metadata["training_data"] = recipe.note
    metadata["licence"] = "that of the images it was trained on; see training_data"
    metadata["training"] = {
        "detector": asdict(recipe.plan),
        "crops": asdict(recipe.crops),
        "gate": asdict(recipe.gate),
        "step_of_best": trained.best.step,
    }
    metadata["measured"] = _measured(trained.best.figures, trained.passed, views)
    target = directory / NAME.lower()
    write_weights(weights, target, metadata, trained_on=recipe.note)
    write_card(target)
    return target


def _measured(figures: Mapping[str, float], passed: GateFigures, views: Sequence[ValidationView]) -> dict[str, Any]:
    lesions, normals = sum(len(view.lesions) for view in views), sum(view.normal and not view.drawn for view in views)
    on = (
        f"validation split: {lesions} lesions, planted or real, and {normals} normal images, as they came and with "
        "distractors drawn in; whole images, without the gate; chose the checkpoint"
    )
    named = {**figures, "gate_recall": passed.recall, "gate_looked_at": passed.looked_at}
    return {
        "note": on,
        "figures": [
            {"name": name, "value": round(value, 4), "on": on} for name, value in named.items() if math.isfinite(value)
        ],
    }


def _views(data: TrainingData, seed: int) -> tuple[ValidationView, ...]:
    """Validation: plantable images without lesions and several times with, images with real lesions as they are.

    False positives are counted on phantoms only where no other image is known to be normal.
    """
    spacing_mm = own_metadata(NAME).spacing_mm
    plantable = some_of([image for image in data.val if image.plantable], VALIDATION_IMAGES, seed)
    views: tuple[ValidationView, ...] = ()
    for images in (plantable, data.val_phantoms):
        for round_ in range(VALIDATION_ROUNDS):
            pairs = planted_pairs(images, seed + 1000 * round_)
            views += views_of(pairs, spacing_mm, normals=round_ == 0 and (images is plantable or not plantable))
    labelled = some_of([image for image in data.val if image.lesions], VALIDATION_IMAGES, seed)
    return views + tuple(view_of(image, spacing_mm, normal=False) for image in labelled)


def _has_normals(views: Sequence[ValidationView]) -> bool:
    return any(view.normal for view in views)
