"""What grey images are shifted and scaled by before layers that began with the weights of ImageNet."""

from __future__ import annotations

from typing import Final

from torch import Tensor

MIDDLE: Final = 0.449
SPREAD: Final = 0.226
"""Means over the three colours of ImageNet's means (0.485, 0.456, 0.406) and deviations (0.229, 0.224, 0.225), which
torchvision's weights were trained with: a grey image has no colours to tell apart."""


def normalised(images: Tensor) -> Tensor:
    """Bring images of 0 to 1 to about zero mean and unit variance."""
    return (images - MIDDLE) / SPREAD
