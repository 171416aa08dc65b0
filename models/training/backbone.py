"""FPNNet's ResNet-50 on its own, before the detector: it learns whether a small patch holds calcifications.

A step costs a tenth of one of the detector, so it is a quick way to filters that know grains from noise where no
weights from elsewhere may be used.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Final

import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from torchvision.models import resnet50

from models.channels import channels
from models.errors import TrainingRefused
from models.training.classifier import ClassifierPlan, ClassifierTraining
from models.training.crops import CropPlan, CropSampler
from models.training.data import TrainingData, image_groups
from models.training.loop import training_dir
from models.training.run import read_best
from models.training.samples import Batch, Sample
from models.training.steps import Tell

NAME: Final = "FPNNet-backbone"
WEIGHTS_FILE: Final = "backbone.safetensors"

PATCHES: Final = CropPlan(side_px=128, clusters=(0.5, 0.5, 0.0))
"""12.8 mm a patch, half of them with a cluster."""

VALIDATION_PATCHES: Final = 200
TRIES: Final = 20
"""Patches that are drawn, at most, for each that validation needs: on some places nothing can be planted."""


class PatchClassifier(nn.Module):
    """ResNet-50 with torchvision's names: detail channels in, two classes out."""

    def __init__(self) -> None:
        super().__init__()
        self.body = resnet50(weights=None)
        self.body.fc = nn.Identity()
        self.fc = nn.Linear(2048, 2)

    def forward(self, images: Tensor) -> Tensor:
        """Return logits ``(n, 2)``, nothing or calcifications, of grey images ``(n, rows, columns)``, 0 to 1."""
        return self.fc(self.body(torch.stack([channels(image) for image in images])))  # type: ignore[no-any-return]  # nn.Module is not typed


@dataclass(frozen=True, slots=True, kw_only=True)
class Patches:
    """Patches by the number of the step.

    Attributes
    ----------
    sampler : CropSampler
    batch : int
    """

    sampler: CropSampler
    batch: int

    def draw(self, step: int) -> Batch:
        """Make the patches of step `step`."""
        numbers = range(step * self.batch, (step + 1) * self.batch)
        return Batch(samples=tuple(_sample(self.sampler, number) for number in numbers), alone=False)


def train_backbone(
    data: TrainingData,
    directory: Path,
    *,
    plan: ClassifierPlan,
    distractors: bool = True,
    tell: Tell = lambda step, losses: None,
    until: Callable[[], bool] = lambda: False,
) -> Path | None:
    """Train, or go on with a run that is in `directory`; at its end write the backbone.

    Parameters
    ----------
    distractors : bool
        Whether patches get what is bright and small and no calcification.

    Returns
    -------
    pathlib.Path or None
        A file that ``mammonode train fpnnet --backbone`` takes; None when `until` stopped the run early.

    Raises
    ------
    TrainingRefused
        There is nothing to validate on, or the run in `directory` was begun with another plan.
    """
    crops = PATCHES if distractors else replace(PATCHES, distractors=0.0)
    torch.manual_seed(plan.seed)
    folder = training_dir(directory, NAME)
    run = ClassifierTraining(
        PatchClassifier(),
        Patches(sampler=CropSampler(image_groups(data.train, data.phantoms), crops, plan.seed), batch=plan.batch),
        views=_views(data, crops, plan.seed),
        plan=replace(plan, last_layer_rate=1.0),  # of means, as ResNet has it, not SPPNet's many maxima
        fixed={
            "task": NAME,
            "images": data.digest(),
            **asdict(crops),
        },
        directory=folder,
    )
    if not run.run(tell, until):
        return None
    weights = {
        name.removeprefix("body."): value.float().contiguous() if value.is_floating_point() else value
        for name, value in read_best(folder).weights.items()
        if name.startswith("body.")
    }
    save_file(weights, directory / WEIGHTS_FILE)
    return directory / WEIGHTS_FILE


def _views(data: TrainingData, crops: CropPlan, seed: int) -> tuple[Sample, ...]:
    """As many patches of the validation split with calcifications as without."""
    groups = image_groups(data.val, data.val_phantoms)
    if not groups:
        raise TrainingRefused("the validation split has no image")
    sampler = CropSampler(groups, crops, seed + 1)
    found: dict[bool, list[Sample]] = {False: [], True: []}
    for number in range(TRIES * VALIDATION_PATCHES):
        sample = _sample(sampler, number)
        if len(found[sample.positive]) < VALIDATION_PATCHES // 2:
            found[sample.positive].append(sample)
        if all(len(samples) == VALIDATION_PATCHES // 2 for samples in found.values()):
            break
    return tuple(found[False] + found[True])


def _sample(sampler: CropSampler, number: int) -> Sample:
    crop = sampler.draw(number)
    return Sample(pixels=crop.pixels, positive=len(crop.boxes) > 0)
