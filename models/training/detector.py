"""Training of FPNNet: steps over crops, mining of false positives, validation by FROC, checkpoints to go on from."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, Dataset

from models.fpnnet.network import CLASSES, FPNNet
from models.training.contract import TrainingImage
from models.training.crops import Crop, CropSampler
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
from models.training.validation import ValidationFigures, ValidationView, find_false_positives, some_of, validate

GRAIN_LOSS: Final = 1.0
"""Weight of the grain map's loss beside those of Faster R-CNN."""

GRAIN_STRIDE: Final = 4
"""Of P2, where grains are asked for."""

GRAIN_POSITIVE: Final = 4.0
"""Weight of cells with calcium: they are few."""

MINED_IMAGES: Final = 150
"""In which false positives are looked for at a time; of more, these many by lot."""

FIXED: Final = ("batch", "weight_decay", "seed")
"""What of a plan may not change when a run is taken up again. More or fewer steps may be: the learning rate follows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainPlan:
    """How a run goes.

    Attributes
    ----------
    steps : int
        In all; the learning rate falls to 0 at the last (cosine).
    batch : int
        Crops a step.
    learning_rate, weight_decay : float
        Of AdamW (Loshchilov and Hutter, arXiv:1711.05101).
    warm_up_steps : int
        Over which the learning rate rises from 0.
    validate_every, mine_every, save_every_s : int
        Steps between validations; steps between minings, 0 for none; seconds between checkpoints.
    average : float
        Share of the old in the running average of the weights, which is what is validated and kept.
    seed : int
        Of weights, crops and order.
    precision : {"float32", "bfloat16"}
        Of the arithmetic in steps; weights stay float32.
    device : str
        ``"cpu"`` or ``"cuda:N"``.
    workers : int
        Processes that make crops.
    """

    steps: int = 2000
    batch: int = 8
    learning_rate: float = 3e-4
    weight_decay: float = 0.01
    warm_up_steps: int = 100
    validate_every: int = 250
    mine_every: int = 500
    save_every_s: int = 180
    average: float = 0.995
    seed: int = 1
    precision: Precision = "bfloat16"
    device: str = "cpu"
    workers: int = 1


class DetectorTraining:
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
        self.plan = plan
        self.directory = directory
        self.step = 0
        self.best: ValidationFigures | None = None
        self._device = torch.device(plan.device)
        self._network = network.to(self._device, memory_format=torch.channels_last)
        self._average = {name: value.clone() for name, value in network.state_dict().items()}
        self._grains = nn.Conv2d(256, 1, 1).to(self._device)
        nn.init.constant_(cast(Tensor, self._grains.bias), -3.0)
        parameters = [*network.parameters(), *self._grains.parameters()]
        self._optimiser = torch.optim.AdamW(
            parameters, lr=plan.learning_rate, weight_decay=plan.weight_decay, fused=True
        )
        self._sampler = sampler
        self._normals, self._views = normals, views
        self._fixed = {name: getattr(plan, name) for name in FIXED} | dict(fixed)
        directory.mkdir(parents=True, exist_ok=True)
        self._resume()

    def run(self, tell: Callable[[int, dict[str, float]], None], until: Callable[[], bool] = lambda: False) -> bool:
        """Go on until the last step, or until `until` says to stop; True when the last step is done.

        Parameters
        ----------
        tell : callable
            Given the step and its losses after every step.
        until : callable
            Asked after every step but the last, once what is due at the step is done; a checkpoint is written before
            stopping.
        """
        saved_s = time.monotonic()
        while self.step < self.plan.steps:
            end = self._next_event()
            for crops in self.batches(range(self.step * self.plan.batch, end * self.plan.batch), self.plan.batch):
                losses = self._one_step(crops)
                self.step += 1
                tell(self.step, losses)
                if self.step == end:
                    break  # what is due now belongs to this step, and into its checkpoint
                if time.monotonic() - saved_s > self.plan.save_every_s:
                    self._save()
                    saved_s = time.monotonic()
                if until():
                    self._save()
                    return False
            if self.plan.mine_every and self.step % self.plan.mine_every == 0 and self.step < self.plan.steps:
                self._mine()
            if self.step % self.plan.validate_every == 0 or self.step == self.plan.steps:
                self._validate()
            self._save()
            saved_s = time.monotonic()
            if self.step < self.plan.steps and until():
                return False
        if self.best is None:  # taken up again with fewer steps than were done
            self._validate()
            self._save()
        return True

    def _next_event(self) -> int:
        """Step at which crops have to wait for what happens between steps."""
        every = [period for period in (self.plan.validate_every, self.plan.mine_every) if period]
        return min(self.plan.steps, *(self.step + period - self.step % period for period in every))

    def batches(self, numbers: range, size: int) -> Iterator[list[Crop]]:
        """Make crops by number, `size` at a time, in other processes."""
        loader = DataLoader(
            _Crops(self._sampler),
            batch_size=size,
            sampler=cast(Any, numbers),  # any iterable of indices will do; torch's type wants its own class
            num_workers=self.plan.workers,
            collate_fn=list,
            multiprocessing_context="fork" if self.plan.workers else None,
        )
        yield from loader

    def _one_step(self, crops: list[Crop]) -> dict[str, float]:
        # Anchors and proposals are sampled by lot: the same ones at a step, whether the run was broken off or not.
        torch.manual_seed(1_000_003 * self.plan.seed + self.step)
        for group in self._optimiser.param_groups:
            group["lr"] = self._learning_rate()
        self._network.train()
        with arithmetic(self._device, self.plan.precision):
            losses = self._losses(crops)
            total = torch.stack(list(losses.values())).sum()
        self._optimiser.zero_grad(set_to_none=True)
        total.backward()  # type: ignore[no-untyped-call]  # torch has no types here
        parameters = [value for group in self._optimiser.param_groups for value in group["params"]]
        nn.utils.clip_grad_norm_(parameters, 5.0)
        self._optimiser.step()
        add_to_average(self._average, self._network.state_dict(), share=self.plan.average, step=self.step)
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

    def _learning_rate(self) -> float:
        plan = self.plan
        return learning_rate(self.step, steps=plan.steps, highest=plan.learning_rate, warm_up_steps=plan.warm_up_steps)

    def averaged(self) -> FPNNet:
        """Return a copy of the network with the averaged weights, ready to predict."""
        heads = self._network.roi_heads
        network = FPNNet(
            box_score_thresh=heads.score_thresh,
            box_nms_thresh=heads.nms_thresh,
            box_detections_per_img=heads.detections_per_img,
        )
        network.load_state_dict(self._average)
        return network.to(self._device, memory_format=torch.channels_last).eval()  # type: ignore[no-any-return]  # FPNNet inherits from what torchvision leaves untyped

    def _mine(self) -> None:
        with arithmetic(self._device, self.plan.precision):
            normals = some_of(self._normals, MINED_IMAGES, self.plan.seed + self.step)
            self._sampler.mined = find_false_positives(self.averaged(), normals, self._device)

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
            "grains": self._grains.state_dict(),
            "optimiser": self._optimiser.state_dict(),
            "best": None if self.best is None else asdict(self.best),
            "mined": {name: torch.from_numpy(places) for name, places in self._sampler.mined.items()},
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
        self._grains.load_state_dict(content["grains"])
        self._optimiser.load_state_dict(content["optimiser"])
        self.best = None if content["best"] is None else ValidationFigures(**content["best"])
        mined: dict[str, NDArray[np.float64]] = {
            name: places.cpu().numpy() for name, places in content["mined"].items()
        }
        self._sampler.mined = mined


class _Crops(Dataset[Crop]):
    """Crops by number, as torch's loader wants them; its processes leave the cores to the training."""

    def __init__(self, sampler: CropSampler) -> None:
        self._sampler = sampler

    def __getitem__(self, number: int) -> Crop:
        return self._sampler.draw(number)
