"""The weights of ImageNet in the encoder: its maps are those of EfficientNet-Lite0, computed plainly from the file."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from models.errors import TrainingRefused
from models.training import imagenet
from models.training.us_segmentation import new_network
from models.us_segmentation.encoder import EfficientNetLite0

STAGES = ((1, 3, 1, 1), (2, 3, 2, 6), (2, 5, 2, 6), (3, 3, 2, 6), (3, 5, 1, 6), (4, 5, 2, 6), (1, 3, 1, 6))
"""Repeats, kernel, stride and expansion, arXiv:1905.11946, table 1."""


def plain_maps(weights: Mapping[str, Tensor], image: Tensor) -> list[Tensor]:
    """Outputs of the stages of EfficientNet-Lite0 on ``(n, 3, rows, columns)``, -1 to 1."""

    def convolved(values: Tensor, name: str, stride: int = 1) -> Tensor:
        kernel = weights[f"{name}.weight"]
        more = max(kernel.shape[-1] - stride, 0)  # "same" of TensorFlow, for sides that the stride divides
        padded = F.pad(values, (more // 2, more - more // 2) * 2)
        groups = values.shape[1] // kernel.shape[1]
        return F.conv2d(padded, kernel, stride=stride, groups=groups)

    def normed(values: Tensor, name: str) -> Tensor:
        mean, variance = weights[f"{name}.running_mean"], weights[f"{name}.running_var"]
        return F.batch_norm(
            values, mean, variance, weights[f"{name}.weight"], weights[f"{name}.bias"], training=False, eps=1e-3
        )

    values = normed(convolved(image, "_conv_stem", 2), "_bn0").clamp(0, 6)
    number, maps = 0, []
    for repeats, _, stride, expansion in STAGES:
        for repeat in range(repeats):
            name, before = f"_blocks.{number}", values
            if expansion != 1:
                values = normed(convolved(values, f"{name}._expand_conv"), f"{name}._bn0").clamp(0, 6)
            values = convolved(values, f"{name}._depthwise_conv", stride if repeat == 0 else 1)
            values = normed(values, f"{name}._bn1").clamp(0, 6)
            values = normed(convolved(values, f"{name}._project_conv"), f"{name}._bn2")
            values = values + before if repeat else values
            number += 1
        maps.append(values)
    return maps


def test_maps_are_those_of_the_published_network() -> None:
    encoder = new_network(1, "imagenet").unet.encoder.eval()
    spec = find_spec(imagenet.PACKAGE)
    assert spec is not None and spec.origin is not None
    weights = torch.load(Path(spec.origin).parent / imagenet.FILE, weights_only=True)
    grey = torch.rand(2, 1, 64, 96, generator=torch.Generator().manual_seed(1)) * 2 - 1
    with torch.inference_mode():
        expected = plain_maps(weights, grey.expand(2, 3, 64, 96))
        found = encoder(grey)
    for number, one in zip((0, 1, 2, 4, 6), found, strict=True):
        assert one.shape == expected[number].shape
        assert float((one - expected[number]).abs().max()) < 1e-3 * float(expected[number].abs().max())


def test_weights_of_imagenet_are_not_random_ones() -> None:
    one, other = (new_network(1, start).unet.encoder._conv_stem.weight for start in ("imagenet", "random"))
    assert not torch.equal(one, other)
    assert torch.equal(one, new_network(2, "imagenet").unet.encoder._conv_stem.weight)


def test_without_the_package_it_is_said_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(imagenet, "PACKAGE", "no_such_package_of_weights")
    with pytest.raises(TrainingRefused, match="make research installs; or: --start random"):
        new_network(1, "imagenet")


def test_a_package_with_something_else_in_it_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    torch.save({"_conv_stem.weight": torch.zeros(32, 3, 3, 3)}, tmp_path / "other.pth")
    encoder = new_network(1, "random").unet.encoder
    assert isinstance(encoder, EfficientNetLite0)
    for file in (tmp_path / "other.pth", tmp_path / "missing.pth"):
        monkeypatch.setattr(imagenet, "FILE", file)
        with pytest.raises(TrainingRefused, match="does not hold EfficientNet-Lite0"):
            imagenet.load_imagenet(encoder)
