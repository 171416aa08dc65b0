"""The network: SE-ResNet34 and SE-ResNet50 side by side; the mean of their probabilities.

Duan, Wu, Zhu et al. (2024), doi:10.62347/PUHR6185. Squeeze-and-excitation: Hu, Shen, Sun, CVPR 2018, in every
residual block, before the shortcut is added (their figure 3), reduction 16. The layers are torchvision's and have its
names, so that weights of ImageNet fit.

The paper's groups ("CarsNet") end with the block of stride 2: 4, 4 and 6 blocks, then 2, in SE-ResNet34. Those are the
blocks of the usual stages of 3, 4, 6 and 3, counted another way.
"""

from __future__ import annotations

from typing import Any, Final

import torch
from torch import Tensor, nn
from torchvision.models.resnet import BasicBlock, Bottleneck, ResNet
from torchvision.ops import SqueezeExcitation

from models.regions.imagenet import normalised

REDUCTION: Final = 16
STAGES: Final = (3, 4, 6, 3)
"""Residual blocks a stage, in ResNet-34 as in ResNet-50: He et al., CVPR 2016, table 1."""

CLASSES: Final = 2


class SEBasicBlock(BasicBlock):  # type: ignore[misc]  # torchvision is not typed
    """The residual block of ResNet-34 with squeeze-and-excitation."""

    def __init__(self, inplanes: int, planes: int, *args: Any, **kwargs: Any) -> None:
        super().__init__(inplanes, planes, *args, **kwargs)
        self.se = SqueezeExcitation(planes, planes // REDUCTION)

    def forward(self, x: Tensor) -> Tensor:
        """Return the maps after the block, ``(n, channels, rows, columns)``."""
        identity = x if self.downsample is None else self.downsample(x)
        out = self.relu(self.bn1(self.conv1(x)))
        out = self.se(self.bn2(self.conv2(out)))
        return self.relu(out + identity)  # type: ignore[no-any-return]  # nn.Module is not typed


class SEBottleneck(Bottleneck):  # type: ignore[misc]  # torchvision is not typed
    """The residual block of ResNet-50 with squeeze-and-excitation."""

    def __init__(self, inplanes: int, planes: int, *args: Any, **kwargs: Any) -> None:
        super().__init__(inplanes, planes, *args, **kwargs)
        self.se = SqueezeExcitation(planes * self.expansion, planes * self.expansion // REDUCTION)

    def forward(self, x: Tensor) -> Tensor:
        """Return the maps after the block, ``(n, channels, rows, columns)``."""
        identity = x if self.downsample is None else self.downsample(x)
        out = self.relu(self.bn1(self.conv1(x)))
        out = self.relu(self.bn2(self.conv2(out)))
        out = self.se(self.bn3(self.conv3(out)))
        return self.relu(out + identity)  # type: ignore[no-any-return]  # nn.Module is not typed


class SEResNet(ResNet):  # type: ignore[misc]  # torchvision is not typed
    """torchvision's ResNet with squeeze-and-excitation, any number of channels, and a place to look in.

    Parameters
    ----------
    block : type
        `SEBasicBlock` for SE-ResNet34, `SEBottleneck` for SE-ResNet50.
    channels, classes : int
        Of the input, and of the output.
    """

    def __init__(self, block: type[BasicBlock | Bottleneck], channels: int, classes: int = CLASSES) -> None:
        super().__init__(block, list(STAGES), num_classes=classes)
        self.conv1: nn.Conv2d
        if channels != self.conv1.in_channels:
            self.conv1 = nn.Conv2d(channels, self.conv1.out_channels, 7, stride=2, padding=3, bias=False)
            nn.init.kaiming_normal_(self.conv1.weight, mode="fan_out", nonlinearity="relu")

    def first_group(self, images: Tensor) -> Tensor:
        """Return the maps after the paper's first group: the first stage and the block of stride 2 that follows it.

        Parameters
        ----------
        images : torch.Tensor
            Shape ``(n, channels, rows, columns)``, normalised.

        Returns
        -------
        torch.Tensor
            Shape ``(n, 128 or 512, rows / 8, columns / 8)``, not negative.
        """
        maps = self.layer1(self.maxpool(self.relu(self.bn1(self.conv1(images)))))
        return self.layer2[0](maps)  # type: ignore[no-any-return]  # nn.Module is not typed

    def rest(self, maps: Tensor) -> Tensor:
        """Return the logits ``(n, classes)`` of what `first_group` returned."""
        for block in self.layer2[1:]:
            maps = block(maps)
        maps = self.layer4(self.layer3(maps))
        return self.fc(self.avgpool(maps).flatten(1))  # type: ignore[no-any-return]  # nn.Module is not typed

    def forward(self, x: Tensor) -> Tensor:
        """Return the logits ``(n, classes)`` of normalised images ``(n, channels, rows, columns)``."""
        return self.rest(self.first_group(x))


class IPSEDResNet(nn.Module):
    """Two SE-ResNets on the same regions.

    Parameters
    ----------
    channels : int
        Views, one a channel: CC or MLO alone, or CC and MLO.
    classes : int
        That are told apart.
    """

    def __init__(self, channels: int, classes: int = CLASSES) -> None:
        super().__init__()
        self.resnet34 = SEResNet(SEBasicBlock, channels, classes)
        self.resnet50 = SEResNet(SEBottleneck, channels, classes)

    def logits(self, regions: Tensor) -> tuple[Tensor, Tensor]:
        """Return the logits ``(n, classes)`` of SE-ResNet34 and of SE-ResNet50: each learns by its own.

        Parameters
        ----------
        regions : torch.Tensor
            Shape ``(n, channels, 224, 224)``, float32, 0 to 1.
        """
        images = normalised(regions)
        return self.resnet34(images), self.resnet50(images)

    def forward(self, regions: Tensor) -> Tensor:
        """Return probabilities ``(n, classes)`` of regions ``(n, channels, 224, 224)``, float32, 0 to 1."""
        one, other = self.logits(regions)
        return (one.softmax(dim=1) + other.softmax(dim=1)) / 2

    def with_attention(self, regions: Tensor) -> tuple[Tensor, Tensor]:
        """Return what `forward` does, and the attention map, ``(n, 28, 28)``.

        It is the mean over channels of the last layer of the first group of SE-ResNet34.
        """
        images = normalised(regions)
        maps = self.resnet34.first_group(images)
        probabilities = torch.stack([self.resnet34.rest(maps), self.resnet50(images)]).softmax(dim=2).mean(dim=0)
        return probabilities, maps.mean(dim=1)
