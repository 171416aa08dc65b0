"""FPNNet with the weights that ship: what it finds on generated mammograms, and that its quick ways change nothing.

The figures on real images are in the model's card; here is what must not get worse by accident.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torchvision.ops import box_iou

from models import registry
from models.bundle import load_network
from models.contract import BoxPx, DetectionOutput, ModelImage
from models.errors import WeightsMissing
from models.evaluation.hits import HIT_RULES
from models.fpnnet.search import GatedFPNNet
from models.phantom import make_view
from models.phantom.view import MAX_VALUE
from models.predictor import Detector
from models.weights import find_weights, read_weights

SEEDS = (1, 2)
VIEWS = (("L", "CC"), ("L", "MLO"), ("R", "CC"), ("R", "MLO"))
LOWEST_SCORE = 0.05

AGREE = 0.05
"""Largest difference of a score between the shipped way (bfloat16 where there is any, folded normalisations, windows)
and torchvision's in float32 on the whole image."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """A phantom view at 0.1 mm, its planted clusters, and what the shipped detector says of it."""

    pixels: NDArray[np.float32]
    truths: tuple[BoxPx, ...]
    output: DetectionOutput


@pytest.fixture(scope="module")
def detector() -> Detector:
    try:
        return registry.load_detector("FPNNet", "cpu", None)
    except WeightsMissing as missing:
        pytest.fail(f"the weights of FPNNet ship with the project: {missing}")


@pytest.fixture(scope="module")
def views(detector: Detector) -> list[Seen]:
    seen = []
    for seed in SEEDS:
        for laterality, view in VIEWS:
            made = make_view(seed, laterality=laterality, view=view, rows=2294, columns=1914, spacing_mm=0.1)
            columns = made.pixels.any(axis=0).nonzero()[0]
            pixels = made.pixels[:, columns[0] : columns[-1] + 1].astype(np.float32) / np.float32(MAX_VALUE)
            left = float(columns[0])
            truths = tuple((x0 - left, y0, x1 - left, y1) for (x0, y0, x1, y1), _ in made.lesions)
            output = detector.predict(ModelImage(pixels=pixels, spacing_mm=(0.1, 0.1)), min_score=LOWEST_SCORE)
            seen.append(Seen(pixels=pixels, truths=truths, output=output))
    return seen


def threshold(detector: Detector) -> float:
    return detector.identity.operating_point["score_threshold"]


def hit(box: BoxPx, truth: BoxPx) -> bool:
    return bool(HIT_RULES["centre"].hits([truth], [box], 0.1)[0, 0])


def test_planted_clusters_are_found_at_the_operating_point(detector: Detector, views: list[Seen]) -> None:
    found = [
        any(hit(one.box_px, truth) for one in seen.output.detections if one.score > threshold(detector))
        for seen in views
        for truth in seen.truths
    ]
    assert len(found) >= 6
    assert np.mean(found) >= 0.75


def test_little_else_is_called_at_the_operating_point(detector: Detector, views: list[Seen]) -> None:
    false = [
        one
        for seen in views
        for one in seen.output.detections
        if one.score > threshold(detector) and not any(hit(one.box_px, truth) for truth in seen.truths)
    ]
    assert len(false) <= len(views)


def test_the_activation_peaks_inside_most_of_the_lesions_that_are_found(detector: Detector, views: list[Seen]) -> None:
    inside = []
    for seen in views:
        activation = seen.output.activation
        assert activation is not None and activation.shape == seen.pixels.shape
        for one in seen.output.detections:
            truth = next((truth for truth in seen.truths if hit(one.box_px, truth)), None)
            if one.score <= threshold(detector) or truth is None:
                continue
            x0, y0, x1, y1 = (round(edge) for edge in one.box_px)
            of_box = activation[y0:y1, x0:x1]
            y, x = np.unravel_index(int(of_box.argmax()), of_box.shape)
            inside.append(truth[0] <= x0 + x <= truth[2] and truth[1] <= y0 + y <= truth[3])
    assert len(inside) >= 5
    assert np.mean(inside) > 0.5


def test_the_shipped_way_agrees_with_the_plain_network(views: list[Seen]) -> None:
    weights = read_weights(find_weights("FPNNet", None))
    network = load_network(weights, GatedFPNNet).eval().detector
    for seen in views[:2]:
        with torch.inference_mode():
            plain = network.detect(torch.from_numpy(seen.pixels), score_threshold=LOWEST_SCORE)
        mine = [one for one in seen.output.detections if one.score > 0.2]
        boxes = torch.tensor([one.box_px for one in mine]).reshape(-1, 4)
        overlap = box_iou(boxes, plain.boxes)
        for row, one in enumerate(mine):
            best = int(overlap[row].argmax())
            assert overlap[row, best] > 0.6
            assert one.score == pytest.approx(float(plain.scores[best]), abs=AGREE)
