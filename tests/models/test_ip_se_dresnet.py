"""IP-SE-DResNet: the paper's architecture, which is torchvision's where squeezes are neutral, and what it looks at."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torchvision.models import resnet34, resnet50
from torchvision.models.resnet import BasicBlock, Bottleneck, ResNet

from models.ip_se_dresnet import network as ip_se_dresnet
from models.ip_se_dresnet.network import IPSEDResNet, SEBasicBlock, SEBottleneck, SEResNet
from models.ip_se_dresnet.predict import Predictor
from models.ip_se_dresnet.region import LEAST_SIDE_PX, region_of, region_px
from models.regions.imagenet import normalised
from tests.models.builders import noise_lesion, own_metadata, random_network

REGIONS = torch.rand(2, 2, 64, 64, generator=torch.Generator().manual_seed(1))


@pytest.fixture(scope="module")
def network() -> IPSEDResNet:
    """Of one block a stage."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ip_se_dresnet, "STAGES", (1, 1, 1, 1))
        built = random_network("ip-se-dresnet-cm")
    assert isinstance(built, IPSEDResNet)
    return built


@pytest.fixture(scope="module")
def predictor(network: IPSEDResNet) -> Predictor:
    return Predictor(network, own_metadata("ip-se-dresnet-cm"), weights_sha256=None, device="cpu")


def weights_of(network: torch.nn.Module) -> int:
    return sum(value.numel() for value in network.parameters())


@pytest.mark.parametrize(("channels", "of_34", "of_50"), [(1, 21_440_622, 26_036_850), (2, 21_443_758, 26_039_986)])
def test_the_numbers_of_weights_are_those_of_reduction_16_in_every_block(channels: int, of_34: int, of_50: int) -> None:
    with torch.device("meta"):
        both = IPSEDResNet(channels)
    assert (weights_of(both.resnet34), weights_of(both.resnet50)) == (of_34, of_50)


def test_se_resnet50_of_colours_and_1000_classes_has_the_28_million_of_its_authors() -> None:
    with torch.device("meta"):
        assert round(weights_of(SEResNet(SEBottleneck, 3, 1000)) / 1e6, 1) == 28.1


@pytest.mark.parametrize("block", [SEBasicBlock, SEBottleneck])
def test_stages_have_maps_of_56_28_14_and_7_cells_and_the_first_group_ends_at_28(
    block: type[SEBasicBlock | SEBottleneck],
) -> None:
    with torch.device("meta"):
        network = SEResNet(block, 1)
        maps = network.first_group(torch.empty(1, 1, 224, 224))
        sides = []
        for stage in (network.layer1, network.layer2, network.layer3, network.layer4):
            stage.register_forward_hook(lambda _module, _inputs, output: sides.append(output.shape[-1]))
        network.layer4(network.layer3(network.layer2(network.layer1(torch.empty(1, 64, 56, 56)))))
    assert sides == [56, 28, 14, 7] and maps.shape[-2:] == (28, 28)


@pytest.mark.parametrize(
    ("block", "theirs_of", "whole"), [(SEBasicBlock, BasicBlock, resnet34), (SEBottleneck, Bottleneck, resnet50)]
)
def test_with_open_gates_and_equal_weights_the_logits_are_torchvisions(
    block: Any, theirs_of: Any, whole: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    with torch.device("meta"):
        ours_has, theirs_has = SEResNet(block, 3, 1000).state_dict(), whole().state_dict()
    assert {name: value.shape for name, value in ours_has.items() if ".se." not in name} == {
        name: value.shape for name, value in theirs_has.items()
    }
    monkeypatch.setattr(ip_se_dresnet, "STAGES", (1, 1, 1, 1))  # every kind of block once
    ours, theirs = SEResNet(block, 3).eval(), ResNet(theirs_of, [1, 1, 1, 1], num_classes=2).eval()
    lacking = ours.load_state_dict(theirs.state_dict(), strict=False)
    assert not lacking.unexpected_keys and all(".se." in name for name in lacking.missing_keys)
    images = torch.rand(1, 3, 64, 64)
    with torch.inference_mode():
        squeezed = ours(images)
        for name, value in ours.named_parameters():
            if ".se.fc2." in name:
                value.fill_(100.0 if name.endswith("bias") else 0.0)  # sigmoid(100) is 1 in float32
        torch.testing.assert_close(ours(images), theirs(images))
        assert not torch.allclose(squeezed, theirs(images))


def test_the_output_is_the_mean_of_two_softmax_probabilities(network: IPSEDResNet) -> None:
    with torch.inference_mode():
        images = normalised(REGIONS)
        one, other = network.resnet34(images).softmax(dim=1), network.resnet50(images).softmax(dim=1)
        probabilities, attention = network.with_attention(REGIONS)
        torch.testing.assert_close(network(REGIONS), (one + other) / 2)
        torch.testing.assert_close(probabilities, (one + other) / 2)
        torch.testing.assert_close(attention, network.resnet34.first_group(images).mean(dim=1))


def test_the_region_is_the_rectangle_and_a_fifth_of_its_longer_side_on_each_side() -> None:
    view = noise_lesion("CC", box_px=(10, 30, 60, 50))["CC"]
    assert region_px(view) == (0.0, 20.0, 70.0, 60.0)
    assert region_of(view).shape == (224, 224)


def test_a_region_of_fewer_pixels_than_say_anything_is_refused() -> None:
    region_px(noise_lesion("CC", box_px=(10, 30, 10 + LEAST_SIDE_PX, 31))["CC"])
    with pytest.raises(ValueError, match="at least 8"):
        region_px(noise_lesion("CC", box_px=(10, 30, 9 + LEAST_SIDE_PX, 31))["CC"])


def test_a_prediction_is_the_networks_of_both_views_in_their_order(predictor: Predictor, network: IPSEDResNet) -> None:
    lesion = noise_lesion("CC", "MLO")
    output = predictor.predict({"MLO": lesion["MLO"], "CC": lesion["CC"]})
    regions = torch.from_numpy(np.stack([region_of(lesion["CC"]), region_of(lesion["MLO"])]))[None]
    with torch.inference_mode():
        assert output.probabilities == pytest.approx(network(regions)[0].tolist(), abs=1e-6)
    assert sum(output.probabilities) == pytest.approx(1.0, abs=1e-12)


def test_suspicious_areas_lie_in_the_region_and_reach_the_threshold(predictor: Predictor) -> None:
    lesion = noise_lesion("CC", "MLO")
    for name, attention in predictor.predict(lesion).attention.items():
        x0, y0, x1, y1 = (round(edge) for edge in region_px(lesion[name]))
        assert attention.shape == lesion[name].pixels.shape and attention.dtype == np.float32
        inside = np.zeros(attention.shape, dtype=np.bool_)
        inside[max(y0, 0) : y1, max(x0, 0) : x1] = True
        assert attention[inside].any() and not attention[~inside].any()
        assert attention[attention > 0].min() >= 0.5 and attention.max() <= 1.0


def test_both_views_are_needed_and_a_warm_up_has_both(predictor: Predictor) -> None:
    predictor.warm_up()
    with pytest.raises(ValueError, match="not given in MLO"):
        predictor.predict(noise_lesion("CC"))
