"""The network: DenseNet121 with attention to channels and places after each of the first three dense blocks.

Luo, Wei, Gu et al., Frontiers in Oncology 15:1638212 (2025), section 2.3.2: DenseNet121 (Huang et al., CVPR 2017) with
CBAM (Woo et al., ECCV 2018). The layers of DenseNet121 are torchvision's and have its names, so that its weights of
ImageNet fit.

The last feature maps ``F_k`` are averaged and go into one linear layer: ``y_c = sum_k w_ck * mean(F_k) + b_c``. So
``dy_c / dF_k`` at any of the ``Z`` cells is ``w_ck / Z``, and Grad-CAM's weight, its mean over cells, is ``w_ck / Z``,
too: Grad-CAM of these maps is the class activation map, but for the factor ``1 / Z`` (Selvaraju et al., ICCV 2017,
section 3.1), which goes when a map is scaled to 0 to 1. No gradient need be kept for it.
"""

from __future__ import annotations

from typing import Final

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.models import densenet121

from models.regions.imagenet import normalised

REDUCTION: Final = 16
KERNEL: Final = 7
ATTENDED: Final = ("denseblock1", "denseblock2", "denseblock3")


class ChannelAttention(nn.Module):
    """A weight for each channel: two 1 x 1 convolutions on its mean and on its maximum; Woo et al., equation 2."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.squeeze = nn.Conv2d(channels, channels // REDUCTION, 1, bias=False)
        self.excite = nn.Conv2d(channels // REDUCTION, channels, 1, bias=False)

    def forward(self, maps: Tensor) -> Tensor:
        """Return weights ``(n, channels, 1, 1)``, 0 to 1."""
        pooled = F.adaptive_avg_pool2d(maps, 1), F.adaptive_max_pool2d(maps, 1)
        mean, maximum = (self.excite(F.relu(self.squeeze(values))) for values in pooled)
        return torch.sigmoid(mean + maximum)


class SpatialAttention(nn.Module):
    """A weight for each place: a 7 x 7 convolution on the mean and the maximum of channels; Woo et al., equation 3."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(2, 1, KERNEL, padding=KERNEL // 2, bias=False)

    def forward(self, maps: Tensor) -> Tensor:
        """Return weights ``(n, 1, rows, columns)``, 0 to 1."""
        both = torch.cat([maps.mean(dim=1, keepdim=True), maps.amax(dim=1, keepdim=True)], dim=1)
        return torch.sigmoid(self.conv(both))


class CBAM(nn.Module):
    """Channel attention, then spatial attention, each multiplied onto the maps; Woo et al., equation 1."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.channel, self.spatial = ChannelAttention(channels), SpatialAttention()

    def forward(self, maps: Tensor) -> Tensor:
        """Return maps of the same shape."""
        maps = maps * self.channel(maps)
        return maps * self.spatial(maps)  # type: ignore[no-any-return]  # nn.Module is not typed


class DenseNet121CBAM(nn.Module):
    """Logits of a region, and its class activation map.

    Parameters
    ----------
    channels, classes : int
        Of the input, and of the output.
    dropout : float
        Share of the features that are left out before the last layer, in training.
    """

    def __init__(self, channels: int, classes: int, dropout: float) -> None:
        super().__init__()
        densenet = densenet121(weights=None, num_classes=classes)
        self.features, self.classifier = densenet.features, densenet.classifier
        if channels != self.features.conv0.in_channels:
            self.features.conv0 = nn.Conv2d(channels, 64, 7, stride=2, padding=3, bias=False)
            nn.init.kaiming_normal_(self.features.conv0.weight)
        transitions = (self.features.transition1, self.features.transition2, self.features.transition3)
        self.attention = nn.ModuleDict(
            {name: CBAM(after.conv.in_channels) for name, after in zip(ATTENDED, transitions, strict=True)}
        )
        self.dropout = nn.Dropout(dropout)

    def maps(self, regions: Tensor) -> Tensor:
        """Return the last feature maps, ``(n, 1024, rows / 32, columns / 32)``, not negative.

        Parameters
        ----------
        regions : torch.Tensor
            Shape ``(n, channels, 224, 224)``, float32, 0 to 1.
        """
        values = normalised(regions)
        for name, layer in self.features.named_children():
            values = layer(values)
            if name in self.attention:
                values = self.attention[name](values)
        return F.relu(values)

    def classify(self, maps: Tensor) -> Tensor:
        """Return the logits ``(n, classes)`` of what `maps` returned."""
        return self.classifier(self.dropout(maps.mean(dim=(2, 3))))  # type: ignore[no-any-return]  # nn.Module

    def forward(self, regions: Tensor) -> Tensor:
        """Return logits ``(n, classes)`` of regions ``(n, channels, 224, 224)``, float32, 0 to 1."""
        return self.classify(self.maps(regions))

    def activation(self, maps: Tensor, chosen: int) -> Tensor:
        """Grad-CAM of one class: what speaks for it, shape ``(n, rows, columns)`` of `maps`, not negative."""
        return F.relu(torch.einsum("nkhw,k->nhw", maps, self.classifier.weight[chosen]))
