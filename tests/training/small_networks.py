"""FPNNet small enough to learn within a test."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import torch
from torch import nn
from torchvision.models.detection import faster_rcnn
from torchvision.models.detection.backbone_utils import BackboneWithFPN, _resnet_fpn_extractor
from torchvision.models.resnet import Bottleneck, ResNet

from models.fpnnet import network


def make_networks_small(monkeypatch: pytest.MonkeyPatch) -> None:
    """From here on FPNNet has one block a stage and a narrow head: the same code, a tenth of the weights."""
    large_head, large_predictor = faster_rcnn.TwoMLPHead, faster_rcnn.FastRCNNPredictor

    def backbone(**_: object) -> BackboneWithFPN:
        body = ResNet(Bottleneck, [1, 1, 1, 1], width_per_group=4, norm_layer=nn.BatchNorm2d)
        return _resnet_fpn_extractor(body, 5)

    monkeypatch.setattr(network, "resnet_fpn_backbone", backbone)
    monkeypatch.setattr(faster_rcnn, "TwoMLPHead", lambda channels, _: large_head(channels, 32))
    monkeypatch.setattr(faster_rcnn, "FastRCNNPredictor", lambda _, classes: large_predictor(32, classes))


@contextmanager
def one_thread() -> Iterator[None]:
    """One thread, which is quicker for small networks wherever cores are shared; torch's randomness as it was."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with torch.random.fork_rng(devices=[]):
            yield
    finally:
        torch.set_num_threads(threads)
