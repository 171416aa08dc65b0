"""Where networks of regions may begin instead of at random weights: torchvision's names, e.g. weights of ImageNet."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final, cast

from safetensors import SafetensorError, safe_open
from torch import nn

from models.errors import TrainingRefused
from models.ip_se_dresnet.network import IPSEDResNet
from models.training.start import load_fitting

BOTTLENECK: Final = "layer1.0.conv3.weight"
"""ResNet-50's blocks have three convolutions, ResNet-34's two."""


def start_ip_se_dresnet(network: nn.Module, files: Sequence[Path]) -> None:
    """Load files of an IP-SE-DResNet, of a ResNet-34 and of a ResNet-50, in any order; what is there and fits is taken.

    Raises
    ------
    TrainingRefused
        A file is no safetensors, or nothing in it fits.
    """
    both = cast(IPSEDResNet, network)
    for path in files:
        names = _names(path)
        if any(name.startswith("resnet34.") for name in names):
            load_fitting(both, path, what="an IP-SE-DResNet")
        elif BOTTLENECK in names:
            load_fitting(
                both.resnet50, path, what="a ResNet-50 with torchvision's names", first_convolution="conv1.weight"
            )
        else:
            load_fitting(
                both.resnet34, path, what="a ResNet-34 with torchvision's names", first_convolution="conv1.weight"
            )


def start_densenet121_cbam(network: nn.Module, files: Sequence[Path]) -> None:
    """Load a file of a DenseNet121-CBAM or a DenseNet121; likewise."""
    for path in files:
        load_fitting(
            network, path, what="a DenseNet121 with torchvision's names", first_convolution="features.conv0.weight"
        )


def _names(path: Path) -> list[str]:
    try:
        with safe_open(path, framework="pt") as file:
            return list(file.keys())
    except (OSError, SafetensorError) as error:
        raise TrainingRefused(f"{path.name} cannot be read as safetensors ({type(error).__name__})") from error
