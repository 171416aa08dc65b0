"""The network: DenseNet of three blocks on a region of 64 x 64, global average pooling, one linear layer.

Xu, Yang, Li et al., Frontiers in Oncology 12:829041 (2022), after Huang et al., CVPR 2017. The paper says: three dense
blocks, of two kinds, 4 layers and 32 layers. Its supplementary table is not at hand, so the rest is chosen here:

* order 4, 4, 32: depth stands where maps are small, as in every DenseNet of Huang et al., and it is cheapest there;
* growth rate 12, bottleneck of 4 x 12 channels (a 1 x 1 convolution before each 3 x 3), transitions that halve channels
  (0.5) and sides: DenseNet-BC (k = 12), Huang et al., table 2, their smallest, as cohorts of a few hundred lesions ask
  for;
* a first 3 x 3 convolution of 24 channels, stride 1, without pooling, as theirs for images of 32 x 32: the last maps
  then have 16 x 16 cells, and an activation map shows where.

Global average pooling and one linear layer make the class activation map exact (Zhou et al., CVPR 2016): the mean of
the map and the bias are the logit.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import torch
from torch import Tensor, nn
from torch.nn import functional as F

CLASSES: Final = ("benign", "malignant")
ROI_PX: Final = 64
BOTTLENECK: Final = 4
COMPRESSION: Final = 0.5
MIDDLE, SPREAD = 0.3, 0.2
"""About the mean and the standard deviation of brightness around a lesion."""


class DenseLayer(nn.Module):
    """Normalisation, ReLU, 1 x 1 convolution; normalisation, ReLU, 3 x 3 convolution; appended to what came in."""

    def __init__(self, channels: int, growth: int, dropout: float) -> None:
        super().__init__()
        self.norm1, self.conv1 = nn.BatchNorm2d(channels), nn.Conv2d(channels, BOTTLENECK * growth, 1, bias=False)
        self.norm2 = nn.BatchNorm2d(BOTTLENECK * growth)
        self.conv2 = nn.Conv2d(BOTTLENECK * growth, growth, 3, padding=1, bias=False)
        self.dropout = nn.Dropout2d(dropout)

    def forward(self, values: Tensor) -> Tensor:
        """Return ``(n, channels + growth, rows, columns)``."""
        new = self.conv1(F.relu(self.norm1(values)))
        new = self.dropout(self.conv2(F.relu(self.norm2(new))))
        return torch.cat([values, new], dim=1)


class Transition(nn.Module):
    """Between two blocks: fewer channels, half the sides."""

    def __init__(self, channels: int, kept: int) -> None:
        super().__init__()
        self.norm, self.conv = nn.BatchNorm2d(channels), nn.Conv2d(channels, kept, 1, bias=False)

    def forward(self, values: Tensor) -> Tensor:
        """Return ``(n, kept, rows / 2, columns / 2)``."""
        halved: Tensor = F.avg_pool2d(self.conv(F.relu(self.norm(values))), 2)
        return halved


class ThreeBlockDenseNet(nn.Module):
    """Two logits of a region, its activation map, and its features.

    Parameters
    ----------
    blocks : sequence of int
        Layers of each dense block.
    growth : int
        Channels that each layer adds.
    dropout : float
        Share of the new channels of a layer that are left out in training.
    """

    def __init__(self, blocks: Sequence[int], growth: int, dropout: float) -> None:
        super().__init__()
        channels = 2 * growth
        parts: list[nn.Module] = [nn.Conv2d(1, channels, 3, padding=1, bias=False)]
        for number, layers in enumerate(blocks):
            if number:
                kept = int(COMPRESSION * channels)
                parts.append(Transition(channels, kept))
                channels = kept
            parts += [DenseLayer(channels + layer * growth, growth, dropout) for layer in range(layers)]
            channels += layers * growth
        self.body = nn.Sequential(*parts, nn.BatchNorm2d(channels), nn.ReLU(inplace=True))
        self.fc = nn.Linear(channels, len(CLASSES))

    def maps(self, rois: Tensor) -> Tensor:
        """Return the last maps, ``(n, channels, rows / 4, columns / 4)``, of regions ``(n, rows, columns)``, 0 to 1."""
        maps: Tensor = self.body((rois[:, None] - MIDDLE) / SPREAD)
        return maps

    def features(self, rois: Tensor) -> Tensor:
        """Return the last pooling layer, ``(n, channels)``."""
        return self.maps(rois).mean(dim=(2, 3))

    def forward(self, rois: Tensor) -> Tensor:
        """Return logits ``(n, 2)`` of grey regions ``(n, rows, columns)``, float32, 0 to 1."""
        logits: Tensor = self.fc(self.features(rois))
        return logits

    def activation(self, maps: Tensor) -> Tensor:
        """Class activation of the second class against the first.

        Parameters
        ----------
        maps : torch.Tensor
            As `maps` returns them.

        Returns
        -------
        torch.Tensor
            Shape ``(n, rows, columns)`` of `maps`; its mean and the difference of the biases are the difference of the
            two logits.
        """
        return torch.einsum("nchw,c->nhw", maps, self.fc.weight[1] - self.fc.weight[0])
