"""FPNNet: the paper's architecture at our scale, with thresholds that hold."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from torch import nn
from torchvision.models.detection import fasterrcnn_resnet50_fpn
from torchvision.ops import clip_boxes_to_image, nms

from models.channels import channels
from models.contract import DetectionOutput, ModelImage
from models.fpnnet.network import CLASSES, FPNNet, paint
from models.fpnnet.predict import FPNNetPredictor
from tests.models.builders import noise_image

IMAGE = noise_image()


@pytest.fixture(scope="module")
def reference() -> nn.Module:
    """torchvision's own Faster R-CNN, ResNet-50 with FPN, three classes."""
    return fasterrcnn_resnet50_fpn(weights=None, weights_backbone=None, num_classes=3)


@pytest.fixture(scope="module")
def found(detector: FPNNetPredictor) -> DetectionOutput:
    return detector.predict(IMAGE)


def shapes(network: nn.Module) -> dict[str, tuple[int, ...]]:
    return {name: tuple(value.shape) for name, value in network.state_dict().items()}


def boxes_of(output: DetectionOutput) -> torch.Tensor:
    return torch.tensor([detection.box_px for detection in output.detections])


def test_every_parameter_has_the_name_and_shape_of_torchvisions(fpnnet: FPNNet, reference: nn.Module) -> None:
    assert shapes(fpnnet) == shapes(reference)
    assert sum(p.numel() for p in fpnnet.parameters()) == sum(p.numel() for p in reference.parameters()) == 41_357_406


def test_backbone_is_resnet50_and_the_pyramid_has_five_levels_of_256_channels(fpnnet: FPNNet) -> None:
    assert [len(getattr(fpnnet.backbone.body, f"layer{stage}")) for stage in (1, 2, 3, 4)] == [3, 4, 6, 3]
    with torch.inference_mode():
        levels = fpnnet.backbone(torch.zeros(1, 3, 192, 128))
    assert {name: tuple(level.shape) for name, level in levels.items()} == {
        "0": (1, 256, 48, 32),
        "1": (1, 256, 24, 16),
        "2": (1, 256, 12, 8),
        "3": (1, 256, 6, 4),
        "pool": (1, 256, 3, 2),
    }


def test_boxes_and_probabilities_are_those_of_torchvisions_heads(fpnnet: FPNNet) -> None:
    """Where torchvision keeps a box of each class, ours keeps the likelier: the same boxes come before suppression."""
    pixels = torch.from_numpy(noise_image(192, 128).pixels)
    with torch.inference_mode():
        padded, _ = fpnnet.transform([pixels[None]])
        features = fpnnet.backbone(padded.tensors)
        proposals, _ = fpnnet.rpn(padded, features)
        heads = fpnnet.roi_heads
        logits, regression = heads.box_predictor(heads.box_head(heads.box_roi_pool(features, proposals, [(192, 128)])))
        decoded = clip_boxes_to_image(heads.box_coder.decode(regression, proposals), (192, 128))
        ours = fpnnet.detect(pixels, score_threshold=0.0)
    probabilities = logits.softmax(dim=1)
    assert len(ours.boxes) > 10
    for box, label, score, malignancy in zip(ours.boxes, ours.labels, ours.scores, ours.malignancy, strict=True):
        same = torch.isclose(decoded[:, label], box, atol=1e-2).all(dim=1)
        (at,) = torch.nonzero(same & torch.isclose(1 - probabilities[:, 0], score, atol=1e-4))[0]
        assert label == probabilities[at, 1:].argmax() + 1
        assert malignancy == pytest.approx(float(probabilities[at, 2]), abs=1e-4)


def test_the_thresholds_of_the_metadata_are_in_force(fpnnet: FPNNet, detector: FPNNetPredictor) -> None:
    heads = fpnnet.roi_heads
    assert (heads.score_thresh, heads.nms_thresh, heads.detections_per_img) == (0.3, 0.3, 250)
    own = {"gate_threshold": 0.0, "score_threshold": 0.3, "nms_threshold": 0.3, "max_detections": 250}
    assert detector.identity.operating_point == own


def test_anchors_measure_1_6_to_26_mm_at_the_canonical_spacing(fpnnet: FPNNet, detector: FPNNetPredictor) -> None:
    sides_px = [
        float(((box[2] - box[0]) * (box[3] - box[1])).sqrt())
        for cell in fpnnet.rpn.anchor_generator.cell_anchors
        for box in cell
    ]
    sides_mm = np.array(sides_px) * detector.canonical_spacing_mm
    assert sides_mm.reshape(5, 3).mean(axis=1) == pytest.approx([1.6, 3.2, 6.4, 12.8, 25.6], rel=0.03)


@pytest.mark.parametrize(("rows", "columns"), [(200, 150), (65, 191), (320, 33), (1, 1)])
def test_random_weights_give_boxes_inside_the_image_highest_score_first(
    detector: FPNNetPredictor, rows: int, columns: int
) -> None:
    output = detector.predict(noise_image(rows, columns), min_score=0.0)
    boxes = boxes_of(output).reshape(-1, 4)
    scores = [detection.score for detection in output.detections]
    assert len(boxes) <= 250
    assert (boxes >= 0).all() and (boxes[:, 0::2] <= columns).all() and (boxes[:, 1::2] <= rows).all()
    assert (boxes[:, 2:] > boxes[:, :2]).all()
    assert scores == sorted(scores, reverse=True) and all(0 < score <= 1 for score in scores)
    assert {detection.label for detection in output.detections} <= set(CLASSES[1:])


def test_pooling_scales_do_not_depend_on_the_first_image() -> None:
    network = FPNNet(box_score_thresh=0.3, box_nms_thresh=0.3, box_detections_per_img=250).eval()
    with torch.inference_mode():
        network.detect(torch.zeros(33, 65))
    assert network.roi_heads.box_roi_pool.scales == [1 / 4, 1 / 8, 1 / 16, 1 / 32]


def test_an_image_larger_than_torchvisions_limit_is_not_made_smaller(fpnnet: FPNNet) -> None:
    image = torch.rand(1, 70, 1500, generator=torch.Generator().manual_seed(0))
    batch, _ = fpnnet.transform([image])
    assert batch.tensors.shape == (1, 3, 128, 1536)
    assert torch.equal(batch.tensors[0, :, :70, :1500], channels(image[0]))
    assert torch.equal(batch.tensors[0, 0, :70, :1500], image[0] - 0.5)
    assert not batch.tensors[..., 70:, :].any() and not batch.tensors[..., 1500:].any()


def test_default_threshold_is_the_operating_point(detector: FPNNetPredictor, found: DetectionOutput) -> None:
    assert found.detections and min(detection.score for detection in found.detections) > 0.3
    assert detector.predict(IMAGE, min_score=0.3).detections == found.detections


def test_a_lower_min_score_really_adds_boxes_and_keeps_the_others(
    detector: FPNNetPredictor, found: DetectionOutput
) -> None:
    more = detector.predict(IMAGE, min_score=0.05)
    assert len(more.detections) > len(found.detections)
    assert any(0.05 < detection.score <= 0.3 for detection in more.detections)
    assert more.detections[: len(found.detections)] == found.detections


def test_a_higher_min_score_leaves_only_boxes_above_it(detector: FPNNetPredictor, found: DetectionOutput) -> None:
    fewer = detector.predict(IMAGE, min_score=0.9)
    assert fewer.detections == tuple(detection for detection in found.detections if detection.score > 0.9)
    assert fewer.detections


def test_min_score_of_one_call_is_not_that_of_another(detector: FPNNetPredictor, found: DetectionOutput) -> None:
    with ThreadPoolExecutor(4) as threads:
        outputs = list(threads.map(lambda score: detector.predict(IMAGE, min_score=score), (0.9, None, 0.05, None)))
    assert outputs[1].detections == outputs[3].detections == found.detections
    assert len(outputs[0].detections) < len(found.detections) < len(outputs[2].detections)


def test_identity_names_the_threshold_in_force(detector: FPNNetPredictor) -> None:
    assert detector.identity_at(None) == detector.identity
    assert detector.identity_at(0.1).operating_point["score_threshold"] == 0.1
    assert detector.identity.operating_point["score_threshold"] == 0.3


@pytest.mark.parametrize("min_score", [-0.1, 1.1, float("nan")])
def test_min_score_is_a_probability(detector: FPNNetPredictor, min_score: float) -> None:
    with pytest.raises(ValueError, match="min_score"):
        detector.predict(IMAGE, min_score=min_score)


def test_boxes_overlap_by_no_more_than_the_nms_threshold_whatever_their_class(found: DetectionOutput) -> None:
    assert {detection.label for detection in found.detections} == set(CLASSES[1:])
    scores = torch.tensor([detection.score for detection in found.detections])
    assert len(nms(boxes_of(found), scores, 0.3)) == len(found.detections)


def test_the_same_image_gives_the_same_output(detector: FPNNetPredictor, found: DetectionOutput) -> None:
    again = detector.predict(IMAGE)
    assert again.detections == found.detections
    assert again.activation is not None and found.activation is not None
    assert np.array_equal(again.activation, found.activation)


def test_activation_has_the_images_shape_lies_in_the_boxes_and_stays_below_the_scores(found: DetectionOutput) -> None:
    activation = found.activation
    assert activation is not None and activation.shape == IMAGE.pixels.shape and activation.dtype == np.float32
    assert activation.min() >= 0.0 and 0 < activation.max() <= found.detections[0].score
    covered = np.zeros(activation.shape, dtype=bool)
    for x0, y0, x1, y1 in (detection.box_px for detection in found.detections):
        covered[int(y0) : int(np.ceil(y1)), int(x0) : int(np.ceil(x1))] = True
    assert not activation[~covered].any()


def test_activation_is_zero_where_nothing_is_found(detector: FPNNetPredictor) -> None:
    output = detector.predict(IMAGE, min_score=1.0)
    assert output.detections == () and output.activation is not None and not output.activation.any()


def test_activation_is_left_out_when_it_is_not_wanted(detector: FPNNetPredictor, found: DetectionOutput) -> None:
    output = detector.predict(IMAGE, with_activation=False)
    assert output.activation is None and output.detections == found.detections


def test_relevance_is_gradient_times_feature(fpnnet: FPNNet) -> None:
    """The slope written out as matrix products is what differentiating the head gives."""
    generator = torch.Generator().manual_seed(0)
    sizes = [(192, 128)]
    maps = {
        str(level): torch.randn(1, 256, 192 >> (2 + level), 128 >> (2 + level), generator=generator)
        for level in range(4)
    }
    boxes = torch.tensor([[8.0, 8.0, 60.0, 40.0], [0.0, 64.0, 128.0, 192.0], [20.0, 20.0, 30.0, 31.0]])
    labels = torch.tensor([1, 2, 2])
    heads = fpnnet.roi_heads
    pooled = heads.box_roi_pool(maps, [boxes], sizes).requires_grad_()
    logits, _ = heads.box_predictor(heads.box_head(pooled))
    evidence = logits[torch.arange(3), labels] - logits[:, 0]
    (gradient,) = torch.autograd.grad(evidence.sum(), pooled)
    expected = (gradient * pooled).sum(dim=1).clamp(min=0).detach()
    assert expected.amax(dim=(1, 2)).min() > 0
    with torch.inference_mode():
        torch.testing.assert_close(fpnnet._relevance(maps, boxes, labels, sizes), expected, rtol=1e-4, atol=1e-5)


def test_where_boxes_overlap_the_map_shows_the_higher_value() -> None:
    relevance = torch.ones(2, 7, 7)
    boxes = torch.tensor([[0.0, 0.0, 20.0, 20.0], [10.0, 10.0, 30.0, 30.0]])
    painted = paint(relevance, boxes, torch.tensor([0.4, 0.9]), (40, 40))
    assert painted[5, 5] == pytest.approx(0.4) and painted[15, 15] == pytest.approx(0.9)
    assert painted[25, 25] == pytest.approx(0.9) and painted[35, 35] == 0


def test_an_empty_image_warms_up(detector: FPNNetPredictor) -> None:
    detector.warm_up()


@pytest.mark.parametrize(
    ("pixels", "spacing_mm", "says"),
    [
        (np.zeros((0, 10), np.float32), 0.1, "shape"),
        (np.zeros((3, 10, 10), np.float32), 0.1, "shape"),
        (np.full((10, 10), np.nan, np.float32), 0.1, "finite"),
        (np.zeros((10, 10), np.float32), 0.07, "0.07"),
    ],
)
def test_what_the_network_would_answer_wrongly_is_refused(
    detector: FPNNetPredictor, pixels: np.ndarray, spacing_mm: float, says: str
) -> None:
    with pytest.raises(ValueError, match=says):
        detector.predict(ModelImage(pixels=pixels, spacing_mm=(spacing_mm, spacing_mm)))


def test_spacing_may_be_off_by_what_resampling_to_whole_pixels_costs(detector: FPNNetPredictor) -> None:
    detector.predict(noise_image(64, 64, spacing_mm=0.1005))


def test_in_training_torchvisions_losses_come_out() -> None:
    network = FPNNet(box_score_thresh=0.3, box_nms_thresh=0.3, box_detections_per_img=250).train()
    target = {"boxes": torch.tensor([[10.0, 10.0, 50.0, 50.0]]), "labels": torch.tensor([2])}
    losses = network([torch.rand(1, 100, 90)], [target])
    assert set(losses) == {"loss_classifier", "loss_box_reg", "loss_objectness", "loss_rpn_box_reg"}
    assert all(loss.isfinite() for loss in losses.values())
