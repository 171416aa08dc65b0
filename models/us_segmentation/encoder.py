"""The encoder: EfficientNet-Lite0, registered as a backbone of MONAI's FlexibleUNet.

EfficientNet (Tan and Le, arXiv:1905.11946) without squeeze-and-excitation and with ReLU6, as Google published it for
small devices: 3.4 million weights that have seen ImageNet are to be had under the Apache licence, and a few hundred
frames do not teach a network what an edge or a texture is.
"""

from __future__ import annotations

from typing import Any, Final

import torch
from monai.networks.blocks.activation import MemoryEfficientSwish
from monai.networks.blocks.encoder import BaseEncoder
from monai.networks.nets.efficientnet import EfficientNet
from monai.networks.nets.flexible_unet import FLEXUNET_BACKBONE
from torch import Tensor, nn

BACKBONE: Final = "efficientnet-lite0"

BLOCKS: Final = (
    "r1_k3_s11_e1_i32_o16",
    "r2_k3_s22_e6_i16_o24",
    "r2_k5_s22_e6_i24_o40",
    "r3_k3_s22_e6_i40_o80",
    "r3_k5_s11_e6_i80_o112",
    "r4_k5_s22_e6_i112_o192",
    "r1_k3_s11_e6_i192_o320",
)
"""Repeats, kernel, stride, expansion, channels in and out of each stage."""

CHANNELS: Final = (16, 24, 40, 112, 320)
"""Of the maps that are handed on, each half the side of the one before; the first half that of the canvas."""

CELL_PX: Final = 2 ** len(CHANNELS)
"""Pixels of a canvas in a cell of the deepest map; sides of canvases are multiples of it."""

DROP_CONNECT: Final = 0.1
"""Share of the residual branches of the last block that are left out in training, less in those before."""


class EfficientNetLite0(EfficientNet, BaseEncoder):
    """Five maps of an image, from fine to coarse; parameters as `FlexibleUNet` gives them.

    Parameters
    ----------
    pretrained : bool
        Always False: nothing is fetched here. `models.training.imagenet` loads weights.
    spatial_dims : int
        2.
    in_channels : int
        1: grey.
    """

    def __init__(self, pretrained: bool, spatial_dims: int, in_channels: int) -> None:
        if pretrained:
            raise ValueError("weights of ImageNet are loaded by models.training.imagenet")
        super().__init__(
            list(BLOCKS),
            spatial_dims=spatial_dims,
            in_channels=in_channels,
            image_size=8 * CELL_PX,
            norm=("batch", {"eps": 1e-3, "momentum": 0.1}),
            drop_connect_rate=DROP_CONNECT,
        )
        for module in list(self.modules()):
            for name, child in module.named_children():
                if isinstance(child, MemoryEfficientSwish):
                    setattr(module, name, nn.ReLU6(inplace=True))
        for name in ("_conv_head", "_bn1", "_fc"):  # what follows the last map classifies photographs
            setattr(self, name, nn.Identity())

    def forward(self, inputs: Tensor) -> list[Tensor]:
        """Return the maps of ``(n, 1, rows, columns)``; sides are multiples of `CELL_PX`."""
        # In bfloat16 the gradients of its depthwise convolutions take a CPU twice as long as in float32.
        on_cpu = inputs.device.type == "cpu"
        with torch.autocast(inputs.device.type, enabled=not on_cpu and torch.is_autocast_enabled(inputs.device.type)):
            values = self._swish(self._bn0(self._conv_stem(self._conv_stem_padding(inputs))))
            maps = []
            for number, stage in enumerate(self._blocks, start=1):
                values = stage(values)
                if number in self.extract_stacks:
                    maps.append(values)
        return maps

    @classmethod
    def get_encoder_parameters(cls) -> list[dict[str, Any]]:
        """Return what `FlexibleUNet` calls it with."""
        return [{"pretrained": False, "spatial_dims": 2, "in_channels": 1}]

    @classmethod
    def num_channels_per_output(cls) -> list[tuple[int, ...]]:
        """Return the channels of its maps."""
        return [CHANNELS]

    @classmethod
    def num_outputs(cls) -> list[int]:
        """Return the number of its maps."""
        return [len(CHANNELS)]

    @classmethod
    def get_encoder_names(cls) -> list[str]:
        """Return the name to ask `FlexibleUNet` for."""
        return [BACKBONE]


FLEXUNET_BACKBONE.register_class(EfficientNetLite0)
