"""Training of FPNNet: steps over crops, mining of false positives, validation by FROC, checkpoints to go on from."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from models.fpnnet.network import CLASSES, FPNNet
from models.training.contract import TrainingImage
from models.training.crops import Crop, CropSampler
from models.training.loop import arithmetic
from models.training.run import RunPlan, TrainingRun
from models.training.steps import made_in_order
from models.training.validation import ValidationFigures, ValidationView, find_false_positives, some_of, validate

GRAIN_LOSS: Final = 1.0
"""Weight of the grain map's loss beside those of Faster R-CNN."""

GRAIN_STRIDE: Final = 4
"""Of P2, where grains are asked for."""

GRAIN_POSITIVE: Final = 4.0
"""Weight of cells with calcium: they are few."""

MINED_IMAGES: Final = 150
"""In which false positives are looked for at a time; of more, these many by lot."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainPlan(RunPlan):
    """How a run goes; see `RunPlan`.

    Attributes
    ----------
    mine_every : int
        Steps between minings of false positives, 0 for none.
    """

    steps: int = 2000
    mine_every: int = 500


class DetectorTraining(TrainingRun[FPNNet, list[Crop], ValidationFigures]):
    """One run of training, in a folder.

    Parameters
    ----------
    network : FPNNet
        With the weights to start from.
    sampler : CropSampler
        Where crops come from; its mined places are replaced as the run goes on.
    normals : sequence of TrainingImage
        Images of the training split without lesions, in which false positives are mined.
    views : sequence of ValidationView
        What is validated on, never trained on.
    fixed : mapping of str to number, str or tuple
        What else may not change when the run is taken up again: which images, how crops are drawn.
    directory : pathlib.Path
        For checkpoints and the log; a run that is there already is taken up again.

    Raises
    ------
    TrainingRefused
        The run in `directory` was begun with another plan.
    """

    plan: TrainPlan

    def __init__(
        self,
        network: FPNNet,
        sampler: CropSampler,
        *,
        normals: Sequence[TrainingImage],
        views: Sequence[ValidationView],
        plan: TrainPlan,
        fixed: Mapping[str, Any],
        directory: Path,
    ) -> None:
        self._sampler = sampler
        self._normals, self._views = normals, views
        self._grains = nn.Conv2d(256, 1, 1).to(plan.device)
        nn.init.constant_(cast(Tensor, self._grains.bias), -3.0)
        parameters = [*network.parameters(), *self._grains.parameters()]
        super().__init__(
            network,
            [{"params": parameters}],
            figures=ValidationFigures,
            plan=plan,
            fixed=fixed,
            directory=directory,
        )

    def batches(self, numbers: range, size: int) -> Iterator[list[Crop]]:
        """Make crops by number, `size` at a time, in other processes."""
        starts = range(numbers.start, numbers.stop, size)
        return made_in_order(lambda start: self._crops(range(start, start + size)), starts, self.plan.workers)

    def _crops(self, numbers: range) -> list[Crop]:
        return [self._sampler.draw(number) for number in numbers]

    def _draw(self, step: int) -> list[Crop]:
        return self._crops(range(step * self.plan.batch, (step + 1) * self.plan.batch))

    def _periods(self) -> tuple[int, ...]:
        every = self.plan.mine_every
        return (*super()._periods(), every) if every else super()._periods()

    def _between(self) -> None:
        """Look for false positives, near which more crops are then drawn."""
        if not self.plan.mine_every or self.step % self.plan.mine_every:
            return
        with arithmetic(self._device, self.plan.precision):
            normals = some_of(self._normals, MINED_IMAGES, self.plan.seed + self.step)
            self._sampler.mined = find_false_positives(self.averaged(), normals, self._device)

    def _measured(self) -> ValidationFigures:
        return validate(self.averaged(), self._views, self._device)

    def _add_gradients(self, drawn: list[Crop]) -> dict[str, float]:
        with arithmetic(self._device, self.plan.precision):
            losses = self._losses(drawn)
            total = torch.stack(list(losses.values())).sum()
        total.backward()  # type: ignore[no-untyped-call]  # torch has no types here
        return {name: float(value.detach()) for name, value in losses.items()}

    def _losses(self, crops: list[Crop]) -> dict[str, Tensor]:
        """Losses of Faster R-CNN (Ren et al., arXiv:1506.01497), and of the grain map on P2."""
        network, device = self._network, self._device
        images = [torch.from_numpy(crop.pixels)[None].to(device) for crop in crops]
        targets = [
            {
                "boxes": torch.from_numpy(crop.boxes).to(device),
                "labels": torch.tensor([CLASSES.index(label) for label in crop.labels], dtype=torch.int64).to(device),
            }
            for crop in crops
        ]
        padded, targets = network.transform(images, targets)
        features = network.backbone(padded.tensors.contiguous(memory_format=torch.channels_last))
        proposals, of_proposals = network.rpn(padded, features, targets)
        _, of_boxes = network.roi_heads(features, proposals, padded.image_sizes, targets)
        calcium = torch.stack([torch.from_numpy(crop.calcium) for crop in crops]).to(device)[:, None]
        return {**of_proposals, **of_boxes, "loss_grains": self._grain_loss(features["0"], calcium)}

    def _grain_loss(self, finest: Tensor, calcium: Tensor) -> Tensor:
        """Cross-entropy of "calcium in this cell"; cells where that is not known do not count."""
        known = calcium.isfinite().float()
        wanted = F.max_pool2d((calcium.nan_to_num(0.0) > 0.0).float(), GRAIN_STRIDE)
        weight = F.avg_pool2d(known, GRAIN_STRIDE) * (1.0 + (GRAIN_POSITIVE - 1.0) * wanted)
        logits = self._grains(finest)[..., : wanted.shape[-2], : wanted.shape[-1]].float()
        entropy = F.binary_cross_entropy_with_logits(logits, wanted, weight=weight, reduction="sum")
        return GRAIN_LOSS * entropy / weight.sum().clamp(min=1.0)

    def _more_state(self) -> dict[str, Any]:
        return super()._more_state() | {
            "grains": self._grains.state_dict(),
            "mined": {name: torch.from_numpy(places) for name, places in self._sampler.mined.items()},
        }

    def _take_state(self, content: Mapping[str, Any]) -> None:
        super()._take_state(content)
        self._grains.load_state_dict(content["grains"])
        mined: dict[str, NDArray[np.float64]] = {
            name: places.cpu().numpy() for name, places in content["mined"].items()
        }
        self._sampler.mined = mined
