"""What ``mammonode train us-segmentation`` does with one network: frames and masks in, a bundle out."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from models.bundle import build_network
from models.errors import TrainingRefused
from models.letterbox import letterbox
from models.metadata import own_metadata
from models.resampling import resample
from models.training.averaged import AveragedTraining
from models.training.fold_bundles import digest_of, run_dir_of, without_fold, write_bundle
from models.training.frame_looks import brightness_varied, frame_placement
from models.training.frames import TrainingFrame
from models.training.imagenet import load_imagenet
from models.training.steps import StepPlan, Tell, turn_of
from models.us_segmentation.encoder import CELL_PX
from models.us_segmentation.network import SegmentationNetwork

NAME: Final = "us-segmentation"

PLAN: Final = StepPlan(steps=2000, batch=8, learning_rate=1.5e-3, weight_decay=0.02, warm_up_steps=60, average=0.99)
"""About 40 times through 400 frames: 11 minutes on two cores; see the card."""

Start = Literal["imagenet", "random"]

ENCODER: Final = "unet.encoder."
ENCODER_RATE: Final = 0.7
"""By which the learning rate of an encoder that begins with weights of ImageNet is multiplied."""

WHOLE: Final = 0.25
"""Of a lesion's area, from which it counts as in view; of less, nobody says whether the canvas shows a lesion."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CanvasPlan:
    """How frames are laid on canvases.

    Attributes
    ----------
    canvas_px : int
        Side in the last steps; in analysis it is the middle one of three.
    coarse_px, coarse_share : int, float
        Side in the first steps, and their share: what a lesion looks like is learned at half the cost.
    source_px : int
        Longer side at which frames are kept in memory; what is larger is shrunk once, without aliasing.
    scales : tuple of float
        Least and greatest size of a frame on its canvas, log-uniform.
    lesion_weight : float
        Of the loss of the lesion score.
    """

    canvas_px: int = 192
    coarse_px: int = 128
    coarse_share: float = 0.4
    source_px: int = 336
    scales: tuple[float, float] = (0.85, 1.4)
    lesion_weight: float = 0.3


@dataclass(frozen=True, slots=True, kw_only=True)
class CanvasBatch:
    """What one step sees.

    Attributes
    ----------
    canvases, masks : torch.Tensor
        Shape ``(n, side, side)``, float32: brightness 0 to 1; 1 in a lesion, else 0.
    lesion, known : torch.Tensor
        Shape ``(n,)``, float32: 1 where a lesion is in view, else 0; 1 where that is known, else 0.
    """

    canvases: Tensor
    masks: Tensor
    lesion: Tensor
    known: Tensor


@dataclass(slots=True)
class CanvasSource:
    """Draws canvases: every frame once before any is drawn again.

    Raises
    ------
    TrainingRefused
        There is no frame with a mask, or a lesion without one.
    """

    frames: Sequence[TrainingFrame]
    plan: CanvasPlan
    steps: int
    batch: int
    seed: int
    _kept: list[tuple[NDArray[np.float32], NDArray[np.float32]]] = field(init=False)

    def __post_init__(self) -> None:
        lesions = [lesion for frame in self.frames for lesion in frame.lesions]
        if not lesions or any(lesion.mask is None for lesion in lesions):
            raise TrainingRefused("segmentation is learned from masks: give one for each lesion, and some lesions")
        self._kept = [self._shrunk(frame) for frame in self.frames]

    def side_px(self, step: int) -> int:
        """Side of the canvases of step `step`, from 0."""
        return self.plan.coarse_px if step < self.plan.coarse_share * self.steps else self.plan.canvas_px

    def draw(self, step: int) -> CanvasBatch:
        """Make the canvases of step `step`."""
        drawn = [self._one(step * self.batch + place, self.side_px(step)) for place in range(self.batch)]
        return CanvasBatch(
            canvases=torch.stack([canvas for canvas, _, _ in drawn]),
            masks=torch.stack([mask for _, mask, _ in drawn]),
            lesion=torch.tensor([float(in_view is not False) for _, _, in_view in drawn]),
            known=torch.tensor([float(in_view is not None) for _, _, in_view in drawn]),
        )

    def _one(self, number: int, side_px: int) -> tuple[Tensor, Tensor, bool | None]:
        """Canvas `number` of all, its mask, and whether a lesion is in view; None: of its border only."""
        index = turn_of(number, len(self._kept), self.seed)
        rng = np.random.default_rng([self.seed, 1, number])
        pixels, mask = self._kept[index]
        theta = torch.from_numpy(
            frame_placement(rng, (pixels.shape[0], pixels.shape[1]), scales=self.plan.scales).matrix
        )
        grid = F.affine_grid(theta[None], [1, 2, side_px, side_px], align_corners=False)
        both = torch.from_numpy(np.stack([pixels, mask]))[None]
        canvas, on_canvas = F.grid_sample(both, grid, align_corners=False)[0]
        seen = (on_canvas >= 0.5).float()
        # The canvas's area of a frame's pixel: whether a lesion is in view is asked of its own area.
        pixel_area = abs(float(torch.linalg.det(theta[:, :2]))) * pixels.size / side_px**2
        share = float(seen.sum()) * pixel_area / float(mask.sum()) if mask.any() else 0.0
        in_view = None if 0.0 < share < WHOLE else share > 0.0
        varied = torch.from_numpy(brightness_varied(rng, canvas.numpy()))
        return varied, seen, in_view

    def _shrunk(self, frame: TrainingFrame) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        mask = frame.mask.astype(np.float32)
        if max(frame.pixels.shape) <= self.plan.source_px:
            return frame.pixels, mask
        shape = letterbox((frame.pixels.shape[0], frame.pixels.shape[1]), self.plan.source_px).shape
        return resample(frame.pixels, shape), resample(mask, shape)


def losses_of(
    network: SegmentationNetwork, batch: CanvasBatch, device: torch.device, *, lesion_weight: float
) -> dict[str, Tensor]:
    """Soft Dice of the canvases that show a lesion, cross-entropy of all pixels, cross-entropy of the lesion score.

    Dice (Milletari, Navab and Ahmadi, arXiv:1606.04797) keeps small lesions from being left out for the sake of the
    many pixels around; cross-entropy gives it a gradient where nothing overlaps yet, and is all there is on a normal
    frame.
    """
    mask, lesion = network(batch.canvases.to(device))
    mask, lesion = mask.float(), lesion.float()
    wanted, known = batch.masks.to(device), batch.known.to(device)
    shows = (wanted.sum(dim=(1, 2)) > 0).float()
    found = mask.sigmoid()
    overlap = (2.0 * (found * wanted).sum(dim=(1, 2)) + 1.0) / (found.sum(dim=(1, 2)) + wanted.sum(dim=(1, 2)) + 1.0)
    of_lesion = F.binary_cross_entropy_with_logits(lesion, batch.lesion.to(device), reduction="none")
    return {
        "dice": ((1.0 - overlap) * shows).sum() / shows.sum().clamp(min=1.0),
        "cross_entropy": F.binary_cross_entropy_with_logits(mask, wanted),
        "lesion": lesion_weight * (of_lesion * known).sum() / known.sum().clamp(min=1.0),
    }


def new_network(seed: int, start: Start) -> SegmentationNetwork:
    """us-segmentation with random weights, the encoder with those of ImageNet if `start` says so.

    Raises
    ------
    TrainingRefused
        They are not installed.
    """
    torch.manual_seed(seed)
    network = build_network(own_metadata(NAME), SegmentationNetwork)
    if start == "imagenet":
        load_imagenet(network.unet.encoder)
    return network


def train(
    frames: Sequence[TrainingFrame],
    directory: Path,
    *,
    fold: int | None,
    plan: StepPlan,
    canvases: CanvasPlan,
    start: Start,
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
        No such fold, frames without masks, no weights to start from, or the run in `directory` was begun with another
        plan.
    """
    if canvases.canvas_px % CELL_PX or canvases.coarse_px % CELL_PX:
        raise TrainingRefused(f"sides of canvases are multiples of {CELL_PX}")
    chosen = without_fold(frames, fold)
    run: AveragedTraining[SegmentationNetwork, CanvasBatch] = AveragedTraining(
        new_network(plan.seed, start),
        CanvasSource(chosen, canvases, plan.steps, plan.batch, plan.seed),
        lambda network, batch, device: losses_of(network, batch, device, lesion_weight=canvases.lesion_weight),
        plan=plan,
        fixed={"model": NAME, "start": start, "frames": digest_of(chosen), **asdict(canvases)},
        directory=run_dir_of(directory, NAME, fold),
        rate_of=lambda name: ENCODER_RATE if start == "imagenet" and name.startswith(ENCODER) else 1.0,
    )
    if not run.run(tell, until):
        return None
    training = {"start": start, "plan": asdict(plan), "canvases": asdict(canvases)}
    return write_bundle(
        run.halved(), directory, NAME, fold, frames=chosen, note=note, training=training, measured=measured
    )
