"""The pipeline with the networks themselves: their weights are random, so nothing is known of what they find."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from models import registry
from pipelines.ultrasound.pipeline import UltrasoundPipeline
from sr_templates.contract import plain_variants
from tests.models.builders import install_random_weights
from tests.pipelines.ultrasound.screens import region, write
from tests.pipelines.ultrasound.stand_ins import a_study, some_options, with_disc
from tests.training.small_networks import one_thread

NAMES = ("us-segmentation", "us-malignancy", "us-her2")


@pytest.fixture
def weights_dir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """All three installed, and nothing resident that another test has loaded."""
    monkeypatch.setattr(registry, "_resident", {})
    for name in NAMES:
        install_random_weights(tmp_path / "weights", name)
    with one_thread():
        yield tmp_path / "weights"


def test_installed_networks_are_found_run_and_named(tmp_path: Path, weights_dir: Path) -> None:
    options = some_options(
        device="cpu", weights_dir=weights_dir, min_score=0.0, results=plain_variants("measurement_sr", "heatmap")
    )
    path = write(tmp_path / "us.dcm", with_disc(), regions=[region((100, 40, 530, 440))])
    pipeline = UltrasoundPipeline()
    pipeline.warm_up(options)
    result = pipeline.analyse(a_study(path), options)
    (image,) = result.images
    assert (result.outcome, image.outcome) == ("analysed", "analysed")
    assert image.lesions  # a random network is sure of nothing, and 0 is no threshold
    assert all(lesion.malignancy is not None and 0.0 <= lesion.malignancy <= 1.0 for lesion in image.lesions)
    assert all((lesion.her2 is not None) == (lesion.label == "malignant") for lesion in image.lesions)
    assert [model.name for model in result.models] == list(NAMES)
    assert all(model.weights_sha256 for model in result.models)
    assert result.models[0].operating_point["lesion_threshold"] == 0.0
    assert [made.kind for made in result.objects] == ["measurement_sr", "heatmap"]
    again = pipeline.analyse(a_study(path), options)
    assert [made.content for made in again.objects] == [made.content for made in result.objects]
