"""FPNNet behind its gate: the whole image is read quickly, and looked at hard only where that may be worth it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, cast

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval
from torchvision.models.resnet import Bottleneck
from torchvision.ops import nms

from models.channels import channels
from models.fpnnet.gate import NEAR_PX, Gate, Window, windows
from models.fpnnet.network import FoundBoxes, FPNNet, Looked, paint

PAIRS: Final = (("conv1", "bn1"), ("conv2", "bn2"), ("conv3", "bn3"))


class GatedFPNNet(nn.Module):
    """The network of the bundle: `FPNNet`, and the `Gate` that says where it looks.

    Parameters
    ----------
    gate_threshold : float
        Probability of the gate above which a place is looked at; 0 looks at everything.
    box_score_thresh, box_nms_thresh, box_detections_per_img
        As of `FPNNet`.
    """

    def __init__(
        self, *, gate_threshold: float, box_score_thresh: float, box_nms_thresh: float, box_detections_per_img: int
    ) -> None:
        super().__init__()
        self.gate_threshold = gate_threshold
        self.gate = Gate()
        self.detector = FPNNet(
            box_score_thresh=box_score_thresh,
            box_nms_thresh=box_nms_thresh,
            box_detections_per_img=box_detections_per_img,
        )

    def detect(
        self, image: Tensor, *, score_threshold: float | None = None, with_activation: bool = False
    ) -> FoundBoxes:
        """Find boxes on one image; see `FPNNet.detect`.

        Channels and gate run in float32 on the whole image, so that a window sees what the whole image would show it.
        Memory is that of the largest window (`models.fpnnet.gate.LARGEST_PX`) and a few copies of the image.
        """
        size = (image.shape[0], image.shape[1])
        seen = channels(image)
        with torch.autocast(image.device.type, enabled=False):  # a fiftieth of the work
            probability = self.gate(seen[None])[0].sigmoid()
        found = [
            _looked(self.detector, seen, window, score_threshold, with_activation)
            for window in windows(probability, self.gate_threshold, size)
        ]
        merged = _merged(found, image.device, with_activation)
        kept = nms(merged.boxes, merged.scores, self.detector.roi_heads.nms_thresh)
        kept = kept[: self.detector.roi_heads.detections_per_img]
        boxes, scores = merged.boxes[kept], merged.scores[kept]
        activation = None
        if merged.relevance is not None:
            activation = paint(merged.relevance[kept], boxes, scores, size)
        return FoundBoxes(
            boxes=boxes,
            labels=merged.labels[kept],
            scores=scores,
            malignancy=merged.malignancy[kept],
            activation=activation,
        )


def fused(network: GatedFPNNet) -> GatedFPNNet:
    """Fold each batch normalisation into the convolution before it, in place: the same function with fewer passes."""
    body = network.eval().detector.backbone.body
    body["conv1"], body["bn1"] = fuse_conv_bn_eval(body["conv1"], body["bn1"]), nn.Identity()
    for block in body.modules():
        if not isinstance(block, Bottleneck):
            continue
        for convolution, normalisation in PAIRS:
            folded = fuse_conv_bn_eval(getattr(block, convolution), getattr(block, normalisation))
            setattr(block, convolution, folded)
            setattr(block, normalisation, nn.Identity())
        if block.downsample is not None:
            block.downsample = nn.Sequential(fuse_conv_bn_eval(block.downsample[0], block.downsample[1]))
    for step in network.gate.modules():
        if isinstance(step, nn.Sequential) and len(step) > 1 and isinstance(step[1], nn.BatchNorm2d):
            step[0], step[1] = fuse_conv_bn_eval(cast(nn.Conv2d, step[0]), step[1]), nn.Identity()
    return network


def _looked(
    detector: FPNNet, seen: Tensor, window: Window, score_threshold: float | None, with_relevance: bool
) -> Looked:
    """Boxes of a window whose centres are in its core or near it, in pixels of the image."""
    x0, y0, x1, y1 = window.outer_px
    found = detector.look(seen[:, y0:y1, x0:x1], score_threshold=score_threshold, with_relevance=with_relevance)
    boxes = found.boxes + torch.tensor([x0, y0, x0, y0], device=seen.device)
    left, top, right, bottom = window.core_px
    x, y = (boxes[:, 0] + boxes[:, 2]) / 2, (boxes[:, 1] + boxes[:, 3]) / 2
    inside = (x >= left - NEAR_PX) & (x < right + NEAR_PX) & (y >= top - NEAR_PX) & (y < bottom + NEAR_PX)
    return Looked(
        boxes=boxes[inside],
        labels=found.labels[inside],
        scores=found.scores[inside],
        malignancy=found.malignancy[inside],
        relevance=None if found.relevance is None else found.relevance[inside],
    )


def _merged(found: list[Looked], device: torch.device, with_relevance: bool) -> Looked:
    def joined(part: Callable[[Looked], Tensor | None], empty: Tensor) -> Tensor:
        parts = [value for value in map(part, found) if value is not None]
        return torch.cat(parts) if parts else empty.to(device)

    return Looked(
        boxes=joined(lambda one: one.boxes, torch.zeros(0, 4)),
        labels=joined(lambda one: one.labels, torch.zeros(0, dtype=torch.int64)),
        scores=joined(lambda one: one.scores, torch.zeros(0)),
        malignancy=joined(lambda one: one.malignancy, torch.zeros(0)),
        relevance=joined(lambda one: one.relevance, torch.zeros(0, 7, 7)) if with_relevance else None,
    )
