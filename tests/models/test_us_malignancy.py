"""us-malignancy and us-her2: architecture, exact activation maps, and the region that is looked at."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from models import registry
from models.lesions import GreyFrame
from models.resampling import cut_roi
from models.us_her2.predict import Her2Predictor
from models.us_malignancy.network import ROI_PX, ThreeBlockDenseNet
from models.us_malignancy.predict import MARGINS, MalignancyPredictor
from models.us_malignancy.roi import LEAST_MARGIN_PX, MARGIN, grown
from tests.models.builders import own_metadata, random_network

FRAME = GreyFrame(pixels=np.random.default_rng(3).random((180, 240), dtype=np.float32), spacing_mm=None)
BOX = (60.0, 40.0, 140.0, 90.0)


@pytest.fixture(scope="module")
def network() -> ThreeBlockDenseNet:
    built = random_network("us-malignancy")
    assert isinstance(built, ThreeBlockDenseNet)
    return built


@pytest.fixture
def predictor(network: ThreeBlockDenseNet) -> MalignancyPredictor:
    return MalignancyPredictor(network, own_metadata("us-malignancy"), weights_sha256=None, device="cpu")


def test_the_number_of_weights_is_that_of_three_blocks_of_4_4_and_32_layers(network: ThreeBlockDenseNet) -> None:
    growth, channels, expected = 12, 24, 1 * 24 * 9
    for number, layers in enumerate((4, 4, 32)):
        if number:
            expected += 2 * channels + channels * (channels // 2)
            channels //= 2
        for _ in range(layers):
            expected += 2 * channels + channels * 4 * growth + 2 * 4 * growth + 4 * growth * growth * 9
            channels += growth
    expected += 2 * channels + 2 * channels + 2
    assert channels == 426
    assert sum(value.numel() for value in network.parameters()) == expected


def test_maps_have_16_cells_a_side_and_features_are_their_means(network: ThreeBlockDenseNet) -> None:
    rois = torch.rand(3, ROI_PX, ROI_PX)
    with torch.inference_mode():
        maps = network.maps(rois)
        assert maps.shape == (3, 426, 16, 16)
        torch.testing.assert_close(network.features(rois), maps.mean(dim=(2, 3)))


def test_the_mean_of_an_activation_map_is_the_logit_but_for_the_bias(network: ThreeBlockDenseNet) -> None:
    rois = torch.rand(2, ROI_PX, ROI_PX)
    with torch.inference_mode():
        logits = network(rois)
        means = network.activation(network.maps(rois)).mean(dim=(1, 2))
    bias = network.fc.bias[1] - network.fc.bias[0]
    torch.testing.assert_close(means + bias, logits[:, 1] - logits[:, 0], atol=1e-5, rtol=1e-5)


def test_each_layer_sees_all_before_it_in_its_block(network: ThreeBlockDenseNet) -> None:
    inputs = [module.norm1.num_features for module in network.body if hasattr(module, "norm1")]
    assert inputs[:4] == [24, 36, 48, 60] and inputs[4:8] == [36, 48, 60, 72]
    assert inputs[8:] == [42 + 12 * layer for layer in range(32)]


def test_the_probability_is_the_mean_over_margins_and_mirror(
    predictor: MalignancyPredictor, network: ThreeBlockDenseNet
) -> None:
    output = predictor.predict(FRAME, BOX)
    with torch.inference_mode():
        one_by_one = [
            float(network(torch.from_numpy(np.ascontiguousarray(view))[None]).softmax(dim=1)[0, 1])
            for margin in MARGINS
            for roi in [cut_roi(FRAME.pixels, grown(BOX, margin), (ROI_PX, ROI_PX))]
            for view in (roi, roi[:, ::-1])
        ]
    assert output.probability == pytest.approx(np.mean(one_by_one), abs=1e-5)
    assert output.roi_px == grown(BOX, MARGIN)
    assert output.activation.shape == (16, 16) and output.features.shape == (426,)


def test_activation_and_features_are_those_of_the_region_that_is_told(
    predictor: MalignancyPredictor, network: ThreeBlockDenseNet
) -> None:
    output = predictor.predict(FRAME, BOX)
    with torch.inference_mode():
        roi = torch.from_numpy(cut_roi(FRAME.pixels, output.roi_px, (ROI_PX, ROI_PX)))[None]
        logits = network(roi)[0]
        np.testing.assert_allclose(output.features, network.features(roi)[0].numpy(), atol=1e-5)
    bias = float(network.fc.bias[1] - network.fc.bias[0])
    assert output.activation.mean() + bias == pytest.approx(float(logits[1] - logits[0]), abs=1e-5)


@pytest.mark.parametrize(
    "box", [(-1, 0, 10, 10), (0, 0, 241, 10), (10, 10, 10, 20), (30, 20, 20, 30), (0, 0, 10, np.nan)]
)
def test_a_box_that_is_not_within_the_frame_is_refused(
    predictor: MalignancyPredictor, box: tuple[float, float, float, float]
) -> None:
    with pytest.raises(ValueError, match="no box within"):
        predictor.predict(FRAME, box)


def test_a_frame_that_is_not_finite_is_refused(predictor: MalignancyPredictor) -> None:
    with pytest.raises(ValueError, match="not finite"):
        predictor.predict(GreyFrame(pixels=np.full((20, 20), np.inf, np.float32), spacing_mm=None), (1, 1, 9, 9))


def test_a_lesion_that_fills_the_frame_is_classified(predictor: MalignancyPredictor) -> None:
    output = predictor.predict(FRAME, (0.0, 0.0, 240.0, 180.0))
    assert 0.0 <= output.probability <= 1.0
    assert output.roi_px == (-48.0, -36.0, 288.0, 216.0)


def test_warming_up_runs_once(predictor: MalignancyPredictor) -> None:
    predictor.warm_up()


def test_both_models_say_what_their_classes_are() -> None:
    assert MalignancyPredictor.classes == ("benign", "malignant")
    assert Her2Predictor.classes == ("HER2-negative", "HER2-positive")


@pytest.mark.usefixtures("nothing_resident")
def test_installed_weights_make_predictors_of_the_three_models(random_weights_dir: object) -> None:
    her2 = registry.load_lesion_classifier("us-her2", "cpu", random_weights_dir)  # type: ignore[arg-type]  # a path
    assert her2.classes[1] == "HER2-positive" and her2.identity.name == "us-her2"
    assert 0.0 <= her2.predict(FRAME, BOX).probability <= 1.0
    segmenter = registry.load_segmenter("us-segmentation", "cpu", random_weights_dir)  # type: ignore[arg-type]  # likewise
    assert segmenter.predict(FRAME).mask.shape == (180, 240)
    assert registry.load_lesion_classifier("us-malignancy", "cpu", random_weights_dir).device == "cpu"  # type: ignore[arg-type]  # likewise


def test_a_box_grows_by_a_share_of_its_sides_and_at_least_a_little() -> None:
    assert grown((100, 50, 200, 70), 0.2) == (80, 46, 220, 74)
    assert grown((10, 10, 14, 14), 0.2) == (
        10 - LEAST_MARGIN_PX,
        10 - LEAST_MARGIN_PX,
        14 + LEAST_MARGIN_PX,
        14 + LEAST_MARGIN_PX,
    )


def test_a_region_is_cut_bilinearly_where_the_box_says() -> None:
    ramp = np.tile(np.arange(100, dtype=np.float32), (80, 1)) / 100
    roi = cut_roi(ramp, (20, 10, 60, 50), (40, 40))
    np.testing.assert_allclose(roi, ramp[10:50, 20:60], atol=1e-6)
    half = cut_roi(ramp, (20.5, 10.5, 60.5, 50.5), (40, 40))
    np.testing.assert_allclose(half, ramp[10:50, 20:60] + 0.005, atol=1e-4)


def test_beyond_the_edges_a_frame_goes_on_as_its_edge() -> None:
    pixels = np.arange(12, dtype=np.float32).reshape(3, 4)
    roi = cut_roi(pixels, (-2, -1, 6, 4), (5, 8))
    assert roi.tolist() == np.pad(pixels, ((1, 1), (2, 2)), mode="edge").tolist()
