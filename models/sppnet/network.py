"""The network: detail in units of noise, ResNet-18 up to its last stage, spatial pyramid pooling, one linear layer."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.models import resnet18

from models.channels import channels

CLASSES = ("benign", "malignant")


class SpatialPyramidPooling(nn.Module):
    """Max pooling over 1x1, 2x2, ... bins: a vector of one length, whatever the size of the feature map.

    He, Zhang, Ren, Sun: Spatial pyramid pooling in deep convolutional networks, IEEE TPAMI 37 (2015) 1904, section 2.2.

    Parameters
    ----------
    pyramid : sequence of int
        Bins a side, by level.
    """

    def __init__(self, pyramid: Sequence[int]) -> None:
        super().__init__()
        self.pyramid = tuple(pyramid)

    @property
    def bins(self) -> int:
        """Bins of all levels together."""
        return sum(side * side for side in self.pyramid)

    def forward(self, features: Tensor) -> Tensor:
        """Pool ``(n, channels, rows, columns)`` into ``(n, channels * bins)``."""
        return torch.cat([F.adaptive_max_pool2d(features, side).flatten(1) for side in self.pyramid], dim=1)


class SPPNet(nn.Module):
    """ResNet-18 with spatial pyramid pooling in place of its average pooling.

    The layers before the pooling have torchvision's names, so that its checkpoints of ResNet-18 fit them.

    Parameters
    ----------
    pyramid : sequence of int
        See `SpatialPyramidPooling`.
    """

    def __init__(self, pyramid: Sequence[int]) -> None:
        super().__init__()
        resnet = resnet18(weights=None)
        self.conv1, self.bn1, self.relu, self.maxpool = resnet.conv1, resnet.bn1, resnet.relu, resnet.maxpool
        self.layer1, self.layer2, self.layer3, self.layer4 = resnet.layer1, resnet.layer2, resnet.layer3, resnet.layer4
        self.pool = SpatialPyramidPooling(pyramid)
        self.fc = nn.Linear(resnet.fc.in_features * self.pool.bins, len(CLASSES))

    def features(self, images: Tensor) -> Tensor:
        """Return the last feature map, ``(n, 512, rows / 32, columns / 32)``, of grey images ``(n, rows, columns)``."""
        values = torch.stack([channels(image) for image in images])
        values = self.maxpool(self.relu(self.bn1(self.conv1(values))))
        return self.layer4(self.layer3(self.layer2(self.layer1(values))))  # type: ignore[no-any-return]  # nn.Module

    def forward(self, images: Tensor) -> Tensor:
        """Return logits ``(n, 2)`` of `CLASSES` for grey images ``(n, rows, columns)``, float32, 0 to 1."""
        return self.fc(self.pool(self.features(images)))  # type: ignore[no-any-return]  # nn.Module is not typed
