"""us-malignancy and us-her2 learn from regions: their classes are weighted, their bundles are those of the registry."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from models import registry
from models.errors import TrainingRefused
from models.lesions import GreyFrame
from models.training import us_rois
from models.training.averaged import AveragedTraining
from models.training.us_rois import PLAN, RoiBatch, RoiPlan, RoiSource, class_of, losses_of, new_network, train
from models.us_malignancy.network import ROI_PX, ThreeBlockDenseNet
from tests.training.frame_builders import SMALL, frame, frames
from tests.training.small_networks import one_thread

FRAMES = [*frames(9), frame(20, label="benign", fold=1), frame(21, label="benign", fold=2)]
PATCHES = RoiPlan(patch_px=80)


@pytest.fixture(autouse=True)
def _one_thread(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(registry, "_resident", {})
    with one_thread():
        yield


def source(batch: int = 8, seed: int = 1) -> RoiSource:
    return RoiSource(FRAMES, "us-malignancy", PATCHES, batch, seed)


def test_classes_are_weighted_by_the_inverse_of_their_share() -> None:
    assert [source().count(number) for number in (0, 1)] == [5, 3]
    assert source().class_weights == (8 / 10, 8 / 6)


def test_every_lesion_is_drawn_once_before_any_is_drawn_again() -> None:
    drawn = source().draw(0)
    assert drawn.rois.shape == (8, ROI_PX, ROI_PX) and drawn.rois.dtype == torch.float32
    assert drawn.wanted.sum() == 3 and source(batch=16).draw(5).wanted.sum() == 6


def test_the_number_of_a_step_alone_decides_what_it_sees() -> None:
    assert torch.equal(source().draw(3).rois, source().draw(3).rois)
    assert not torch.equal(source().draw(3).rois, source(seed=2).draw(3).rois)


def test_a_region_holds_the_whole_lesion_whatever_is_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(us_rois, "brightness_varied", lambda _rng, pixels: pixels)
    monkeypatch.setattr("models.training.frame_looks.GREATEST_ANGLE", 0.0)
    wide = replace(PATCHES, margins=(0.2, 0.38))
    only = [one for one in FRAMES if one.truth == "malignant"]
    some = RoiSource([*only, frame(40, label="benign")], "us-malignancy", wide, 8, 1)
    for step in range(4):
        drawn = some.draw(step)
        for roi, wanted in zip(drawn.rois, drawn.wanted, strict=True):
            if wanted == 1:
                dark = roi < 0.2
                edge = torch.cat([dark[0], dark[-1], dark[:, 0], dark[:, -1]])
                assert dark.float().mean() > 0.15 and not edge.any()


def test_what_is_not_known_is_not_learned_from() -> None:
    lesion = FRAMES[0].lesions[0]
    assert class_of(lesion, "us-malignancy") == 0 and class_of(lesion, "us-her2") is None
    assert class_of(replace(lesion, label=None), "us-malignancy") is None
    assert class_of(replace(lesion, her2="positive"), "us-her2") == 1
    assert class_of(replace(lesion, her2="negative", label="malignant"), "us-her2") == 0


def test_a_class_without_lesions_is_named() -> None:
    with pytest.raises(TrainingRefused, match=r"no lesion to train on is malignant$"):
        RoiSource([FRAMES[0]], "us-malignancy", PATCHES, 4, 1)
    with pytest.raises(TrainingRefused, match=r"HER2-negative, and none is HER2-positive"):
        RoiSource(FRAMES, "us-her2", PATCHES, 4, 1)


def test_a_box_is_enough() -> None:
    boxed = [replace(one, lesions=tuple(replace(lesion, mask=None) for lesion in one.lesions)) for one in FRAMES]
    assert torch.equal(RoiSource(boxed, "us-malignancy", PATCHES, 8, 1).draw(2).rois, source().draw(2).rois)


class Given(nn.Module):
    """Returns the logits it was given."""

    def __init__(self, logits: Tensor) -> None:
        super().__init__()
        self.logits = logits

    def forward(self, rois: Tensor) -> Tensor:
        return self.logits


def test_the_loss_of_a_lesion_is_weighted_by_its_class() -> None:
    logits = torch.tensor([[0.0, 0.0], [0.0, np.log(3.0)]])
    batch = RoiBatch(rois=torch.zeros(2, 4, 4), wanted=torch.tensor([0, 1]))
    found = losses_of(Given(logits), batch, torch.device("cpu"), class_weights=(0.8, 4.0))  # type: ignore[arg-type]  # a stand-in
    assert float(found["cross_entropy"]) == pytest.approx((0.8 * np.log(2) + 4.0 * np.log(4 / 3)) / 2)


def small_network(seed: int = 1) -> ThreeBlockDenseNet:
    torch.manual_seed(seed)
    return ThreeBlockDenseNet([1, 1, 2], 4, 0.1)


def test_the_loss_falls_and_the_classes_are_told_apart(tmp_path: Path) -> None:
    drawn, told = source(), []
    run: AveragedTraining[ThreeBlockDenseNet, RoiBatch] = AveragedTraining(
        small_network(),
        drawn,
        lambda network, batch, device: losses_of(network, batch, device, class_weights=drawn.class_weights),
        plan=replace(SMALL, steps=60, batch=8, learning_rate=1e-2),
        fixed={},
        directory=tmp_path,
    )
    assert run.run(lambda _, losses: told.append(losses["cross_entropy"]))
    assert np.mean(told[-10:]) < 0.6 * np.mean(told[:5])


def test_a_run_ends_in_a_bundle_and_a_broken_one_in_the_same(tmp_path: Path) -> None:
    def run(directory: Path, until: bool = False) -> Path | None:
        return train(
            FRAMES,
            directory,
            model="us-malignancy",
            fold=3,
            plan=replace(SMALL, steps=2),
            rois=PATCHES,
            note="eleven frames",
            until=lambda: until,
        )

    assert run(tmp_path / "a", until=True) is None
    one, other = run(tmp_path / "a"), run(tmp_path / "b")
    assert one is not None and other is not None
    assert one == tmp_path / "a" / "folds" / "3" / "us-malignancy"
    for name in ("model.safetensors", "metadata.json"):
        assert (one / name).read_bytes() == (other / name).read_bytes()
    metadata = json.loads((one / "metadata.json").read_text())
    assert metadata["training"]["class_weights"] == [pytest.approx(6 / 8), pytest.approx(6 / 4)]
    classifier = registry.load_lesion_classifier("us-malignancy", "cpu", tmp_path / "a" / "folds" / "3")
    output = classifier.predict(GreyFrame(pixels=FRAMES[0].pixels, spacing_mm=None), FRAMES[0].lesions[0].box_px)
    assert 0.0 <= output.probability <= 1.0


def test_her2_is_trained_to_a_bundle_of_its_own(tmp_path: Path) -> None:
    status = [frame(number, label="malignant", her2="positive" if number % 2 else "negative") for number in range(4)]
    bundle = train(
        status, tmp_path, model="us-her2", fold=None, plan=replace(SMALL, steps=1), rois=PATCHES, note="four frames"
    )
    assert bundle == tmp_path / "us-her2"
    assert registry.describe_model("us-her2", tmp_path).installed
    assert registry.load_lesion_classifier("us-her2", "cpu", tmp_path).classes[1] == "HER2-positive"


def test_the_plan_is_that_of_the_card() -> None:
    assert (PLAN.steps, PLAN.batch) == (300, 64)
    assert torch.equal(new_network("us-her2", 1).fc.weight, new_network("us-malignancy", 1).fc.weight)
