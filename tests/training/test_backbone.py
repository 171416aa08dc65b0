"""The backbone on its own: it learns patches, and what it writes is what FPNNet starts from."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torchvision.models import resnet18

from models.errors import TrainingRefused
from models.training import backbone
from models.training.backbone import WEIGHTS_FILE, PatchClassifier, Patches, train_backbone
from models.training.classifier import ClassifierPlan
from models.training.crops import CropPlan, CropSampler
from models.training.data import TrainingData, image_groups
from models.training.fpnnet import new_network
from tests.training.builders import tissue_image
from tests.training.small_networks import one_thread

DATA = TrainingData(
    train=[tissue_image(200, 200, name="train")],
    val=[tissue_image(200, 200, name="val")],
    phantoms=[],
    val_phantoms=[],
    note="two made-up images",
)
PLAN = ClassifierPlan(steps=2, batch=2, validate_every=2, workers=0, precision="float32")


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(backbone, "PATCHES", CropPlan(side_px=64, clusters=(0.5, 0.5, 0.0)))
    monkeypatch.setattr(backbone, "VALIDATION_PATCHES", 4)
    with one_thread():
        yield


def test_half_of_the_patches_hold_calcifications_and_each_comes_from_its_number() -> None:
    sampler = CropSampler(image_groups(DATA.train, ()), backbone.PATCHES, 1)
    patches = Patches(sampler=sampler, batch=8)
    drawn = [sample for step in range(8) for sample in patches.draw(step).samples]
    assert 0.25 < sum(sample.positive for sample in drawn) / len(drawn) < 0.75
    again = patches.draw(3).samples
    assert all((one.pixels == other.pixels).all() for one, other in zip(drawn[24:32], again, strict=True))


def test_validation_has_as_many_patches_with_calcifications_as_without() -> None:
    views = backbone._views(DATA, backbone.PATCHES, 1)
    assert [view.positive for view in views] == [False, False, True, True]


def test_the_file_is_the_backbone_that_fpnnet_starts_from(tmp_path: Path) -> None:
    path = train_backbone(DATA, tmp_path, plan=PLAN)
    assert path == tmp_path / WEIGHTS_FILE
    network, untrained = new_network(1, path), new_network(1)
    given = load_file(path)
    body, before = network.backbone.body.state_dict(), untrained.backbone.body.state_dict()
    assert all(torch.equal(body[name], given[name]) for name in body)
    assert not torch.equal(body["conv1.weight"], before["conv1.weight"])
    assert torch.equal(network.rpn.head.cls_logits.weight, untrained.rpn.head.cls_logits.weight)


def test_a_run_that_is_stopped_writes_nothing_and_goes_on(tmp_path: Path) -> None:
    assert train_backbone(DATA, tmp_path, plan=PLAN, until=lambda: True) is None
    assert not (tmp_path / WEIGHTS_FILE).exists()
    steps: list[int] = []
    assert train_backbone(DATA, tmp_path, plan=PLAN, tell=lambda step, _: steps.append(step))
    assert steps == [2]


def test_without_an_image_to_validate_on_it_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TrainingRefused, match="no image"):
        train_backbone(replace(DATA, val=[]), tmp_path, plan=PLAN)


def test_a_run_with_distractors_is_not_taken_up_without(tmp_path: Path) -> None:
    train_backbone(DATA, tmp_path, plan=PLAN, until=lambda: True)
    with pytest.raises(TrainingRefused, match="distractors"):
        train_backbone(DATA, tmp_path, plan=PLAN, distractors=False)


def test_the_network_takes_grey_patches_and_has_the_layers_of_resnet_50() -> None:
    network = PatchClassifier().eval()
    assert network(torch.rand(2, 64, 64)).shape == (2, 2)
    names = {name for name, _ in network.body.named_parameters()}
    assert names == {name for name, _ in new_network(1).backbone.body.named_parameters()}
    assert names != {name for name, _ in resnet18().named_parameters()}
