"""SPPNet small enough to learn within a test, and samples that a child could tell apart."""

from __future__ import annotations

import numpy as np
import pytest
from torch import nn

from models.sppnet import network
from models.training.samples import Batch, Sample

WIDTH = 8


class SmallResNet(nn.Module):
    """The parts of a ResNet-18 by name, one convolution a stage."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(3, WIDTH, 7, 2, 3, bias=False), nn.BatchNorm2d(WIDTH)
        self.relu, self.maxpool = nn.ReLU(inplace=True), nn.MaxPool2d(3, 2, 1)
        self.layer1, self.layer2, self.layer3, self.layer4 = (_stage(stride) for stride in (1, 2, 2, 2))
        self.fc = nn.Linear(WIDTH, 1)


def _stage(stride: int) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(WIDTH, WIDTH, 3, stride, 1, bias=False), nn.BatchNorm2d(WIDTH), nn.ReLU())


def make_sppnet_small(monkeypatch: pytest.MonkeyPatch) -> None:
    """From here on SPPNet has 8 channels: the same code, a thousandth of the weights."""
    monkeypatch.setattr(network, "resnet18", lambda weights: SmallResNet())


def easy_sample(number: int, positive: bool, side: int = 64) -> Sample:
    """Noise; in the second class with a bright square."""
    rng = np.random.default_rng(number)
    pixels = np.clip(rng.normal(0.4, 0.02, size=(side, side)), 0.0, 1.0).astype(np.float32)
    if positive:
        x, y = rng.integers(8, side - 16, size=2)
        pixels[y : y + 8, x : x + 8] = 0.9
    return Sample(pixels=pixels, positive=positive)


class EasySamples:
    """Batches of easy samples; every third step has two images of different sizes."""

    def __init__(self, seed: int = 1, batch: int = 4, *, whole: bool = True) -> None:
        self.seed, self.batch, self.whole = seed, batch, whole
        self.asked: list[int] = []

    def draw(self, step: int) -> Batch:
        self.asked.append(step)
        first = 1000 * self.seed + 10 * step
        if self.whole and step % 3 == 2:
            return Batch(samples=(easy_sample(first, True, 48), easy_sample(first + 1, False, 80)), alone=True)
        return Batch(samples=tuple(easy_sample(first + n, n % 2 == 1) for n in range(self.batch)), alone=False)
