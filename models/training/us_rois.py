"""What ``mammonode train us-malignancy`` and ``us-her2`` do with one network: regions of lesions in, a bundle out."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from models.bundle import build_network
from models.errors import TrainingRefused
from models.metadata import own_metadata
from models.resampling import cut_roi
from models.training.averaged import AveragedTraining
from models.training.fold_bundles import digest_of, run_dir_of, without_fold, write_bundle
from models.training.frame_looks import brightness_varied, roi_placement
from models.training.frames import FrameLesion, TrainingFrame
from models.training.steps import StepPlan, Tell, turn_of
from models.us_her2.network import CLASSES as HER2_CLASSES
from models.us_malignancy.network import CLASSES, ROI_PX, ThreeBlockDenseNet
from models.us_malignancy.roi import grown

RoiModel = Literal["us-malignancy", "us-her2"]
CLASSES_OF: Final[Mapping[RoiModel, tuple[str, str]]] = MappingProxyType(
    {"us-malignancy": CLASSES, "us-her2": HER2_CLASSES}
)

PLAN: Final = StepPlan(steps=300, batch=64, learning_rate=2e-3, weight_decay=0.05, warm_up_steps=40, average=0.985)
"""The paper asks for a large batch, and trains on 108 lesions. About 60 times through 300 lesions; see the card."""


FINER: Final = 2
"""Regions are drawn so many times finer and then averaged: in analysis they are shrunk without aliasing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RoiPlan:
    """How regions are drawn.

    Attributes
    ----------
    margins : tuple of float
        Least and greatest margin on each side, as a share of the box; an outline of a network is not that of a person.
    shift : float
        Greatest shift of the box, as a share of it.
    patch_px : int
        Side at which a lesion is kept in memory with its surround.
    surround : float
        Share of the box kept around it on each side.
    """

    margins: tuple[float, float] = (0.05, 0.38)
    shift: float = 0.08
    patch_px: int = 256
    surround: float = 0.75


@dataclass(frozen=True, slots=True, kw_only=True)
class RoiBatch:
    """What one step sees: regions ``(n, 64, 64)``, float32, 0 to 1, and the number of their class ``(n,)``."""

    rois: Tensor
    wanted: Tensor


def class_of(lesion: FrameLesion, model: RoiModel) -> int | None:
    """Number of a lesion's class; None when it is not known."""
    found = lesion.label if model == "us-malignancy" else lesion.her2
    return None if found is None else int(found in ("malignant", "positive"))


@dataclass(slots=True)
class RoiSource:
    """Draws regions: every lesion once before any is drawn again; classes as often as they are, the loss is weighted.

    Raises
    ------
    TrainingRefused
        A class has no lesion.
    """

    frames: Sequence[TrainingFrame]
    model: RoiModel
    plan: RoiPlan
    batch: int
    seed: int
    _kept: list[tuple[NDArray[np.float32], int]] = field(init=False)

    def __post_init__(self) -> None:
        self._kept = []
        for frame in self.frames:
            for lesion in frame.lesions:
                number = class_of(lesion, self.model)
                if number is not None:
                    side = (self.plan.patch_px, self.plan.patch_px)
                    self._kept.append((cut_roi(frame.pixels, grown(lesion.box_px, self.plan.surround), side), number))
        missing = [name for number, name in enumerate(CLASSES_OF[self.model]) if not self.count(number)]
        if missing:
            raise TrainingRefused(f"no lesion to train on is {', and none is '.join(missing)}")

    def count(self, number: int) -> int:
        """How many lesions are of class `number`."""
        return sum(of_class == number for _, of_class in self._kept)

    @property
    def class_weights(self) -> tuple[float, float]:
        """Weights of the cross-entropy: with them both classes weigh the same in all, and a lesion 1 on average."""
        total = len(self._kept)
        return total / (2.0 * self.count(0)), total / (2.0 * self.count(1))

    def draw(self, step: int) -> RoiBatch:
        """Make the regions of step `step`."""
        drawn = [self._one(step * self.batch + place) for place in range(self.batch)]
        return RoiBatch(
            rois=torch.stack([roi for roi, _ in drawn]), wanted=torch.tensor([number for _, number in drawn])
        )

    def _one(self, number: int) -> tuple[Tensor, int]:
        index = turn_of(number, len(self._kept), self.seed)
        patch, of_class = self._kept[index]
        rng = np.random.default_rng([self.seed, 1, number])
        share = 1.0 / (1.0 + 2.0 * self.plan.surround)
        placement = roi_placement(rng, share, margins=self.plan.margins, shift=self.plan.shift)
        side = FINER * ROI_PX
        grid = F.affine_grid(torch.from_numpy(placement.matrix)[None], [1, 1, side, side], align_corners=False)
        roi = F.grid_sample(torch.from_numpy(patch)[None, None], grid, padding_mode="border", align_corners=False)
        varied = torch.from_numpy(brightness_varied(rng, roi[0, 0].numpy()))
        return F.avg_pool2d(varied[None], FINER)[0], of_class


def losses_of(
    network: ThreeBlockDenseNet, batch: RoiBatch, device: torch.device, *, class_weights: tuple[float, float]
) -> dict[str, Tensor]:
    """The paper's weighted cross-entropy: a lesion's loss times the weight of its class."""
    logits = network(batch.rois.to(device)).float()
    wanted = batch.wanted.to(device)
    weights = torch.tensor(class_weights, device=device)[wanted]
    return {"cross_entropy": (F.cross_entropy(logits, wanted, reduction="none") * weights).mean()}


def new_network(model: RoiModel, seed: int) -> ThreeBlockDenseNet:
    """The network of a model with random weights."""
    torch.manual_seed(seed)
    return build_network(own_metadata(model), ThreeBlockDenseNet)


def train(
    frames: Sequence[TrainingFrame],
    directory: Path,
    *,
    model: RoiModel,
    fold: int | None,
    plan: StepPlan,
    rois: RoiPlan,
    note: str,
    measured: Mapping[str, Any] | None = None,
    tell: Tell = lambda step, losses: None,
    until: Callable[[], bool] = lambda: False,
) -> Path | None:
    """Train on all folds but `fold` (None: on all), or go on with such a run; at its end write the bundle.

    Returns
    -------
    pathlib.Path or None
        Folder of weights and metadata; None when `until` stopped the run early.

    Raises
    ------
    TrainingRefused
        No such fold, a class without lesions, or the run in `directory` was begun with another plan.
    """
    chosen = without_fold(frames, fold)
    source = RoiSource(chosen, model, rois, plan.batch, plan.seed)
    weights = source.class_weights
    run: AveragedTraining[ThreeBlockDenseNet, RoiBatch] = AveragedTraining(
        new_network(model, plan.seed),
        source,
        lambda network, batch, device: losses_of(network, batch, device, class_weights=weights),
        plan=plan,
        fixed={"model": model, "frames": digest_of(chosen), **asdict(rois)},
        directory=run_dir_of(directory, model, fold),
    )
    if not run.run(tell, until):
        return None
    training = {"plan": asdict(plan), "rois": asdict(rois), "class_weights": list(weights)}
    return write_bundle(
        run.halved(), directory, model, fold, frames=chosen, note=note, training=training, measured=measured
    )
