"""DenseNet121-CBAM: where attention stands, Grad-CAM without gradients, and the square that is looked at."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torchvision.models import densenet121

from models import registry
from models.densenet121_cbam.network import ATTENDED, CBAM, DenseNet121CBAM
from models.densenet121_cbam.predict import Predictor
from models.densenet121_cbam.region import region_of, region_px
from models.errors import WeightsMismatch
from models.metadata import bundle_metadata
from models.regions.imagenet import normalised
from models.regions.pooling import pooled
from models.weights import write_weights
from tests.models.builders import noise_lesion, own_metadata, random_network

NAME = "densenet121-cbam-subtype"
REGIONS = torch.rand(2, 1, 64, 64, generator=torch.Generator().manual_seed(1))

pytestmark = pytest.mark.usefixtures("nothing_resident")


@pytest.fixture(scope="module")
def network() -> DenseNet121CBAM:
    built = random_network(NAME)
    assert isinstance(built, DenseNet121CBAM)
    with torch.no_grad():
        built.classifier.weight.mul_(100.0)  # classes that differ, so that the chosen one is seen to matter
    return built


@pytest.fixture(scope="module")
def predictor(network: DenseNet121CBAM) -> Predictor:
    return Predictor(network, own_metadata(NAME), weights_sha256=None, device="cpu")


@pytest.mark.parametrize(("classes", "expected"), [(2, 7_121_960), (5, 7_125_035)])
def test_the_number_of_weights_is_that_of_densenet121_and_three_cbam(classes: int, expected: int) -> None:
    with torch.device("meta"):
        network = DenseNet121CBAM(channels=1, classes=classes, dropout=0.3)
    assert sum(value.numel() for value in network.parameters()) == expected


def test_but_for_attention_and_the_first_convolution_it_is_torchvisions(network: DenseNet121CBAM) -> None:
    """Attention is half open everywhere when its last convolutions are zero: two gates of a half are a quarter."""
    theirs = densenet121(num_classes=5).eval()
    state = {name: value for name, value in network.state_dict().items() if not name.startswith("attention.")}
    state["features.conv0.weight"] = state["features.conv0.weight"].repeat(1, 3, 1, 1) / 3
    theirs.load_state_dict(state)
    for name in ATTENDED:
        getattr(theirs.features, name).register_forward_hook(lambda _module, _inputs, output: output / 4)
    ours = DenseNet121CBAM(channels=1, classes=5, dropout=0.3).eval()
    ours.load_state_dict(network.state_dict())
    with torch.inference_mode():
        for name in ATTENDED:
            ours.attention[name].channel.excite.weight.zero_()
            ours.attention[name].spatial.conv.weight.zero_()
        torch.testing.assert_close(ours(REGIONS), theirs(normalised(REGIONS).repeat(1, 3, 1, 1)))


def test_cbam_weighs_channels_first_and_then_places() -> None:
    torch.manual_seed(2)
    cbam, maps = CBAM(32), torch.rand(1, 32, 9, 9)
    with torch.inference_mode():
        by_channel = cbam.channel(maps)
        by_place = cbam.spatial(maps * by_channel)
        assert by_channel.shape == (1, 32, 1, 1) and by_place.shape == (1, 1, 9, 9)
        torch.testing.assert_close(cbam(maps), maps * by_channel * by_place)
        assert not torch.allclose(by_place, cbam.spatial(maps))


def test_the_class_activation_map_is_grad_cam_but_for_its_scale(network: DenseNet121CBAM) -> None:
    maps = network.maps(REGIONS).detach().requires_grad_(True)
    for chosen in (0, 3):
        gradient = torch.autograd.grad(network.classify(maps)[:, chosen].sum(), maps)[0]
        grad_cam = torch.relu((gradient.mean(dim=(2, 3), keepdim=True) * maps).sum(dim=1))
        cells = maps.shape[2] * maps.shape[3]
        torch.testing.assert_close(network.activation(maps, chosen), grad_cam * cells)


def test_the_region_is_grown_by_100_stored_pixels_and_made_square() -> None:
    view = noise_lesion("CC", box_px=(40, 30, 90, 60))["CC"]
    assert region_px(view) == (-60.0, -80.0, 190.0, 170.0)
    assert region_of(view).shape == (224, 224)


def test_the_probabilities_are_those_of_the_views_that_there_are_pooled(predictor: Predictor) -> None:
    both = noise_lesion("CC", "MLO")
    cc, mlo = (predictor.predict({view: both[view]}) for view in both)
    output = predictor.predict(both)
    assert output.probabilities == pytest.approx(pooled([cc.probabilities, mlo.probabilities]), abs=1e-6)
    assert list(cc.attention) == ["CC"] and list(output.attention) == ["CC", "MLO"]
    assert all(0 <= one.min() < one.max() <= 1 for one in output.attention.values())
    with pytest.raises(ValueError, match="not given in CC and MLO"):
        predictor.predict(noise_lesion("US"))


def test_of_two_classes_the_threshold_of_a_model_that_warmed_up_says_which_one_the_map_is_of(
    random_weights_dir: Path,
) -> None:
    model = registry.load_region_classifier("densenet121-cbam-tn", "cpu", random_weights_dir)
    assert isinstance(model, Predictor)
    model.warm_up()
    assert [model.chosen(one) for one in ((0.51, 0.49), (0.5, 0.5))] == [0, 1]


def test_weights_of_another_number_of_classes_are_refused(network: DenseNet121CBAM, tmp_path: Path) -> None:
    write_weights(network.state_dict(), tmp_path / "densenet121-cbam-tn", bundle_metadata("densenet121-cbam-tn"))
    with pytest.raises(WeightsMismatch, match="not those of this network"):
        registry.load("densenet121-cbam-tn", "cpu", tmp_path)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"task": "roi_classification"}, "names no region"),
        ({"region": {}}, "lacks or misstates 'views'"),
        ({"region": {"views": ["CC"], "combination": "mean"}}, "'mean' is of another version: train the model again"),
    ],
)
def test_metadata_that_do_not_say_what_is_told_apart_are_refused(
    changes: dict[str, object], says: str, tmp_path: Path
) -> None:
    metadata = bundle_metadata("densenet121-cbam-tn") | changes
    write_weights({"a": torch.ones(1)}, tmp_path / "densenet121-cbam-tn", metadata)
    with pytest.raises(WeightsMismatch, match=says):
        registry.load("densenet121-cbam-tn", "cpu", tmp_path)
