"""SPPNet: ResNet-18, then a pyramid whose length no image changes."""

from __future__ import annotations

import pytest
import torch
from torchvision.models import resnet18

from models.channels import channels
from models.sppnet.network import SpatialPyramidPooling, SPPNet
from models.sppnet.predict import SPPNetPredictor
from tests.models.builders import noise_image


def test_layers_before_the_pyramid_are_torchvisions_resnet18(sppnet: SPPNet) -> None:
    ours = {name: tuple(value.shape) for name, value in sppnet.state_dict().items() if not name.startswith("fc.")}
    theirs = {name: tuple(v.shape) for name, v in resnet18(weights=None).state_dict().items() if name[:3] != "fc."}
    assert ours == theirs


def test_it_has_18_weighted_layers_and_a_linear_layer_of_21_bins(sppnet: SPPNet) -> None:
    convolutions = [m for n, m in sppnet.named_modules() if isinstance(m, torch.nn.Conv2d) and "downsample" not in n]
    assert len(convolutions) == 17
    assert (sppnet.fc.in_features, sppnet.fc.out_features) == (21 * 512, 2)
    assert sum(p.numel() for p in sppnet.parameters()) == 11_176_512 + 21 * 512 * 2 + 2


def test_with_equal_weights_the_last_feature_map_is_resnet18s(sppnet: SPPNet) -> None:
    reference = resnet18(weights=None).eval()
    state = {name: value for name, value in sppnet.state_dict().items() if not name.startswith("fc.")}
    reference.load_state_dict(state, strict=False)
    seen: list[torch.Tensor] = []
    reference.layer4.register_forward_hook(lambda _module, _inputs, output: seen.append(output))
    images = torch.from_numpy(noise_image(96, 64).pixels)[None]
    with torch.inference_mode():
        reference(channels(images[0])[None])
        torch.testing.assert_close(sppnet.features(images), seen[0])


def test_detail_counts_in_units_of_its_noise_whatever_the_contrast(sppnet: SPPNet) -> None:
    """Half the contrast about the same brightness is the same film under another window: the map hardly changes."""
    image = torch.from_numpy(noise_image(96, 96).pixels)
    flat, half = torch.full_like(image, 0.5), 0.25 + 0.5 * image
    with torch.inference_mode():
        of_image, of_half, of_flat = sppnet.features(torch.stack([image, half, flat]))
    assert float((of_image - of_half).abs().mean()) < 0.5 * float((of_image - of_flat).abs().mean())


def test_in_half_precision_the_channels_stay_exact(sppnet: SPPNet) -> None:
    images = torch.from_numpy(noise_image(64, 64).pixels)[None]
    seen: list[torch.Tensor] = []
    handle = sppnet.conv1.register_forward_pre_hook(lambda _module, inputs: seen.append(inputs[0]))
    with torch.inference_mode(), torch.autocast("cpu", dtype=torch.bfloat16):
        sppnet(images)
    handle.remove()
    assert seen[0].dtype == torch.float32 and torch.equal(seen[0][0], channels(images[0]))


def test_images_of_a_batch_do_not_change_each_other(sppnet: SPPNet) -> None:
    images = torch.stack([torch.from_numpy(noise_image(64, 64, seed=seed).pixels) for seed in (1, 2)])
    with torch.inference_mode():
        torch.testing.assert_close(sppnet(images)[1:], sppnet(images[1:]))


@pytest.mark.parametrize("size", [(1, 1), (2, 3), (7, 7), (73, 28)])
def test_pyramid_length_does_not_depend_on_the_size_of_the_feature_map(size: tuple[int, int]) -> None:
    assert SpatialPyramidPooling([1, 2, 4])(torch.rand(2, 8, *size)).shape == (2, 8 * 21)


def test_first_level_is_the_maximum_and_the_second_that_of_each_quarter() -> None:
    features = torch.arange(16.0).reshape(1, 1, 4, 4)
    assert SpatialPyramidPooling([1, 2])(features).tolist() == [[15.0, 5.0, 7.0, 13.0, 15.0]]


@pytest.mark.parametrize(("rows", "columns"), [(1, 1), (33, 500), (300, 200)])
def test_an_image_of_any_size_has_a_malignancy(classifier: SPPNetPredictor, rows: int, columns: int) -> None:
    output = classifier.predict(noise_image(rows, columns))
    assert 0.0 <= output.malignancy <= 1.0 and output.device == "cpu"


def test_malignancy_is_the_probability_of_the_second_class(sppnet: SPPNet, classifier: SPPNetPredictor) -> None:
    image = noise_image()
    with torch.inference_mode():
        logits = sppnet(torch.from_numpy(image.pixels)[None])
    assert classifier.predict(image).malignancy == pytest.approx(float(torch.sigmoid(logits[0, 1] - logits[0, 0])))


def test_identity_and_scale_are_those_of_the_metadata(classifier: SPPNetPredictor) -> None:
    assert classifier.identity.name == "SPPNet" and classifier.identity.weights_sha256 is None
    assert classifier.identity.operating_point == {"malignancy_threshold": 0.5}
    assert classifier.canonical_spacing_mm == 0.1


def test_an_image_at_another_scale_is_refused(classifier: SPPNetPredictor) -> None:
    with pytest.raises(ValueError, match="wants"):
        classifier.predict(noise_image(spacing_mm=0.2))


def test_an_empty_image_warms_up(classifier: SPPNetPredictor) -> None:
    classifier.warm_up()
