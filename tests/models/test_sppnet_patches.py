"""SPPNet on patches: of the size of the lesion in the breast, and of what the network has learned from."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from models import registry
from models.errors import WeightsMismatch
from models.metadata import bundle_metadata
from models.regions.contract import LesionView, lesion_view
from models.regions.pooling import pooled
from models.sppnet_patches.patch import patch_of
from models.sppnet_patches.predict import Predictor
from models.training.contract import TrainingImage
from models.training.patches import make_patch
from models.training.sppnet_patches import views_of_patches
from models.weights import write_weights
from tests.models.builders import noise_lesion, random_network

pytestmark = pytest.mark.usefixtures("nothing_resident")


def boxed(pixels: np.ndarray, box: tuple[int, int, int, int], spacing_mm: tuple[float, float] | None) -> LesionView:
    mask = np.zeros(pixels.shape, dtype=np.bool_)
    mask[box[1] : box[3], box[0] : box[2]] = True
    return lesion_view(pixels, mask, spacing_mm)[0]


def test_analysis_shows_the_network_what_training_shows_it() -> None:
    pixels = np.random.default_rng(1).random((500, 600), dtype=np.float32)
    box = (260, 200, 300, 240)
    image = TrainingImage(
        name="a", patient="p", medium="digital", pixels=pixels, spacing_mm=0.1, lesions=(), plantable=False
    )
    trained = make_patch(image, box, split="val", pathology="dcis", er=None)
    other = make_patch(image, box, split="val", pathology="invasive", er=None)
    seen = views_of_patches([trained, other], "pathology-microinvasive-as-dcis")[0]
    np.testing.assert_array_equal(patch_of(boxed(pixels, box, (0.1, 0.1))), seen.pixels)


@pytest.mark.parametrize(("spacing_mm", "side"), [((0.1, 0.1), 264), ((0.05, 0.05), 224), ((0.2, 0.1), 264)])
def test_a_patch_is_as_large_as_the_lesion_is_in_the_breast(spacing_mm: tuple[float, float], side: int) -> None:
    pixels = np.zeros((600, 600), dtype=np.float32)
    assert patch_of(boxed(pixels, (200, 250, 400, 300), spacing_mm)).shape == (side, side)


def test_a_view_without_spacing_is_refused_and_a_warm_up_has_one(random_weights_dir: Path) -> None:
    model = registry.load_region_classifier("SPPNet-ER", "cpu", random_weights_dir)
    model.warm_up()
    with pytest.raises(ValueError, match="spacing of a view is not known"):
        model.predict(noise_lesion("CC", spacing_mm=None))


def test_the_probability_is_that_of_the_views_pooled_and_there_is_no_attention(random_weights_dir: Path) -> None:
    model = registry.load_region_classifier("SPPNet-ER", "cpu", random_weights_dir)
    lesion = noise_lesion("CC", "MLO")
    network = random_network("SPPNet-ER")
    with torch.inference_mode():
        each = [network(torch.from_numpy(np.array(patch_of(view)))[None]).softmax(dim=1)[0] for view in lesion.values()]
    output = model.predict(lesion)
    assert output.probabilities == pytest.approx(pooled(torch.stack(each).tolist()), abs=1e-6)
    assert isinstance(model, Predictor) and not output.attention


def test_other_than_two_classes_are_refused(tmp_path: Path) -> None:
    metadata = bundle_metadata("SPPNet-ER")
    metadata["region"]["classes"] = ["a", "b", "c"]
    write_weights({"a": torch.ones(1)}, tmp_path / "sppnet-er", metadata)
    with pytest.raises(WeightsMismatch, match="3 classes, SPPNet has 2"):
        registry.load("SPPNet-ER", "cpu", tmp_path)
