"""Training of FPNNet's gate: the same crops, asked only where a cluster is; and a threshold that loses almost none."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor
from torch.nn import functional as F

from models.channels import channels
from models.contract import BoxPx
from models.fpnnet.gate import CELL_PX, CORE_CELLS, CORE_PX, NEAR_PX, Gate
from models.fpnnet.network import FPNNet
from models.training.crops import Crop
from models.training.validation import ValidationView, lesion_scores, score_at_rate

POSITIVE: Final = 2.0
"""Weight of cells with a cluster: a miss of the gate is final, a false alarm costs time."""

MARGIN: Final = 5e-5
"""By which a lesion that sets the threshold passes at least: the same arithmetic elsewhere ends in other digits."""

ROUNDING: Final = 1e-9
"""So that 1 of 10 lesions may be lost at a recall of 0.9, which is not a binary number."""

FOUND_AT: Final = 2.0
"""False positives per normal image down to which a lesion counts as found by the detector: what it does not find, the
gate cannot lose."""

FIRST_CROP: Final = 10_000_000
"""The gate sees other crops than the detector."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GatePlan:
    """How the gate is trained.

    Attributes
    ----------
    steps, batch : int
        Crops a step.
    learning_rate : float
        The highest of one cycle (Smith and Topin, arXiv:1708.07120).
    recall : float
        Share of the lesions of the validation split that must pass, of those that the detector finds.
    """

    steps: int = 1500
    batch: int = 16
    learning_rate: float = 3e-3
    recall: float = 0.99


@dataclass(frozen=True, slots=True, kw_only=True)
class GateFigures:
    """What the gate does at its threshold.

    Attributes
    ----------
    threshold : float
        On its probability.
    recall : float
        Share of lesions that pass, of those that the detector finds at `FOUND_AT`.
    lesions : int
        How many these are; all, when it finds none.
    looked_at : float
        Share of the area of normal images that is looked at, without margins.
    """

    threshold: float
    recall: float
    lesions: int
    looked_at: float


def train_gate(
    batches: Callable[[range, int], Iterable[list[Crop]]],
    plan: GatePlan,
    *,
    device: torch.device,
    seed: int,
    tell: Callable[[int, float], None],
) -> Gate:
    """Train from random weights.

    Parameters
    ----------
    batches : callable
        Given the numbers of crops and how many make a batch, yields the batches.
    tell : callable
        Given the step and its loss.
    """
    torch.manual_seed(seed)
    gate = Gate().to(device)
    optimiser = torch.optim.AdamW(gate.parameters(), lr=plan.learning_rate, weight_decay=1e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, plan.learning_rate, total_steps=plan.steps)
    numbers = range(FIRST_CROP, FIRST_CROP + plan.steps * plan.batch)
    gate.train()
    for step, crops in enumerate(batches(numbers, plan.batch), start=1):
        seen = torch.stack([channels(torch.from_numpy(crop.pixels)) for crop in crops]).to(device)
        wanted = torch.stack([_cells(crop) for crop in crops]).to(device)
        loss = F.binary_cross_entropy_with_logits(gate(seen), wanted, pos_weight=torch.tensor(POSITIVE, device=device))
        optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]  # torch has no types here
        optimiser.step()
        schedule.step()
        tell(step, float(loss.detach()))
    return gate.eval()


def choose_threshold(gate: Gate, detector: FPNNet, views: Sequence[ValidationView], recall: float) -> GateFigures:
    """Return the highest threshold that lets `recall` of the lesions pass, and what it costs on normal images.

    The lesions are those that the detector finds; all of them when it finds none.
    """
    device = next(detector.parameters()).device
    least = score_at_rate(detector, views, device, FOUND_AT)
    lesions: list[tuple[float, float]] = []
    normal: list[Tensor] = []
    for view in views:
        # In float32, as the node runs it: rounded to bfloat16, a probability may lie on the other side of a threshold.
        with torch.inference_mode(), torch.autocast(device.type, enabled=False):
            probability = gate(channels(torch.tensor(view.pixels, device=device))[None])[0].sigmoid().cpu()
        cores = F.max_pool2d(probability[None, None], CORE_CELLS, ceil_mode=True)[0, 0]
        opens = [_opens(cores, box) for box, _ in view.lesions]
        lesions.extend(zip(opens, lesion_scores(detector, view, device), strict=True))
        if view.normal:
            normal.append(cores.flatten())
    peaks = [peak for peak, score in lesions if score > least] or [peak for peak, _ in lesions]
    ordered = sorted(peaks)
    lost = int((1.0 - recall) * len(ordered) + ROUNDING)
    threshold = max(math.floor((ordered[lost] - MARGIN) * 10_000), 0) / 10_000
    asked = torch.cat(normal)
    return GateFigures(
        threshold=threshold,
        recall=sum(peak > threshold for peak in peaks) / len(peaks),
        lesions=len(peaks),
        looked_at=float((asked > threshold).float().mean()),
    )


def _opens(cores: Tensor, box: BoxPx) -> float:
    """Highest probability of those cores, any of which would let a box with this centre count."""
    x, y = (box[0] + box[2]) / 2, (box[1] + box[3]) / 2
    rows, columns = (
        slice(max(int((at - NEAR_PX) // CORE_PX), 0), min(int((at + NEAR_PX) // CORE_PX) + 1, length))
        for at, length in zip((y, x), cores.shape, strict=True)
    )
    return float(cores[rows, columns].max())


def _cells(crop: Crop) -> Tensor:
    """Return 1 where a true box reaches into a cell, else 0."""
    side = -(-crop.pixels.shape[0] // CELL_PX)
    cells = torch.zeros(side, side)
    for box in crop.boxes:
        cells[_inside((float(box[0]), float(box[1]), float(box[2]), float(box[3])))] = 1.0
    return cells


def _inside(box: BoxPx) -> tuple[slice, slice]:
    x0, y0, x1, y1 = box
    return _span(y0, y1), _span(x0, x1)


def _span(low_px: float, high_px: float) -> slice:
    first = max(int(low_px // CELL_PX), 0)  # an edge rounded below 0 would count from the other end
    return slice(first, max(int(-(-high_px // CELL_PX)), first + 1))
