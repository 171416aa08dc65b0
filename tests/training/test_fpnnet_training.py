"""From images to a bundle: what a run writes can be loaded as a site's own weights, and says how it came about."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from torchvision.models import resnet50

from models import registry
from models.contract import ModelImage
from models.errors import TrainingRefused
from models.fpnnet.network import FPNNet
from models.metadata import bundle_metadata
from models.training import detector, fpnnet
from models.training.contract import TruthBox
from models.training.crops import CropPlan
from models.training.data import TrainingData, image_groups
from models.training.detector import TrainPlan
from models.training.fpnnet import new_network, train
from models.training.gate import FIRST_CROP, GatePlan
from models.training.loop import BEST
from models.training.phantoms import FIRST_SEED, phantom_images
from models.training.validation import LEAST_SCORE, ValidationFigures
from tests.training.builders import tissue_image
from tests.training.small_networks import make_networks_small, one_thread

DATA = TrainingData(
    train=[tissue_image(160, 160, name="train", medium="film", seed=1)],
    val=[tissue_image(160, 160, name="val", seed=2)],
    phantoms=[],
    val_phantoms=[],
    note="two made-up images",
)
PLAN = TrainPlan(steps=2, batch=2, precision="float32", workers=0, mine_every=0)
CROPS = CropPlan(side_px=64)
GATE = GatePlan(steps=2, batch=2)


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    make_networks_small(monkeypatch)
    monkeypatch.setattr(registry, "_resident", {})
    with one_thread():
        yield


def trained(directory: Path, data: TrainingData = DATA, plan: TrainPlan = PLAN) -> Path:
    bundle = train(data, directory, plan=plan, crops=CROPS, gate_plan=GATE)
    assert bundle is not None
    return bundle


def test_a_run_writes_a_bundle_that_the_registry_loads_and_that_predicts(tmp_path: Path) -> None:
    bundle = trained(tmp_path)
    assert bundle == tmp_path / "fpnnet"
    weights = load_file(bundle / "model.safetensors")
    assert {value.dtype for value in weights.values() if value.is_floating_point()} == {torch.float16}
    best = torch.load(tmp_path / BEST, weights_only=True)["network"]
    for name, value in best.items():
        assert torch.equal(weights[f"detector.{name}"], value.half() if value.is_floating_point() else value)

    metadata = json.loads(
        (bundle / "metadata.json").read_text(), parse_constant=lambda name: pytest.fail(f"{name} is not JSON")
    )
    assert metadata["training_data"] == "two made-up images"
    assert metadata["training"]["detector"]["steps"] == 2 and metadata["training"]["step_of_best"] == 2
    assert metadata["training"]["crops"]["side_px"] == 64 and metadata["training"]["gate"]["steps"] == 2
    figures = {figure["name"]: figure["value"] for figure in metadata["measured"]["figures"]}
    assert {"found_at_half", "found_at_1", "found_at_2", "gate_recall", "gate_looked_at"} <= figures.keys()
    assert 0.99 <= figures["gate_recall"] <= 1.0
    assert "1 normal images" in metadata["measured"]["note"] and "planted" in metadata["measured"]["note"]
    point = metadata["operating_point"]
    assert LEAST_SCORE <= point["score_threshold"] <= 1.0 and 0.0 <= point["gate_threshold"] < 1.0

    model = registry.load_detector("FPNNet", "cpu", tmp_path)
    assert model.identity.operating_point["score_threshold"] == point["score_threshold"]
    image = ModelImage(pixels=DATA.val[0].pixels, spacing_mm=(0.1, 0.1))
    output = model.predict(image, min_score=0.0)
    assert output.activation is not None and output.activation.shape == image.pixels.shape
    assert all(0.0 <= one.malignancy <= one.score <= 1.0 for one in output.detections)


def test_figures_that_are_not_defined_are_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    nothing = ValidationFigures(found_at_half=0.0, found_at_1=0.0, found_at_2=0.0, label_accuracy=float("nan"))
    monkeypatch.setattr(detector, "validate", lambda *_: nothing)
    text = (trained(tmp_path) / "metadata.json").read_text()
    assert "NaN" not in text and "label_accuracy" not in text


def test_the_operating_point_lets_no_more_false_positives_in_when_rounded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fpnnet, "score_at_rate", lambda *_: 0.12341)
    metadata = json.loads((trained(tmp_path) / "metadata.json").read_text())
    assert metadata["operating_point"]["score_threshold"] == 0.124


@pytest.mark.parametrize(
    ("changed", "named"),
    [
        ({"crops": replace(CROPS, distractors=0.0)}, "distractors"),
        ({"data": replace(DATA, train=[*DATA.train, tissue_image(name="more")])}, "images"),
        ({"data": replace(DATA, val=[tissue_image(160, 160, name="other")])}, "images"),
    ],
)
def test_a_run_is_not_taken_up_with_other_images_or_crops(tmp_path: Path, changed: dict, named: str) -> None:
    """Else a bundle would say that it was trained on what it was not."""
    train(DATA, tmp_path, plan=PLAN, crops=CROPS, gate_plan=GATE, until=lambda: True)
    with pytest.raises(TrainingRefused, match=f"another {named}"):
        train(changed.get("data", DATA), tmp_path, plan=PLAN, crops=changed.get("crops", CROPS), gate_plan=GATE)


def test_a_run_is_not_taken_up_with_another_backbone(tmp_path: Path) -> None:
    train(DATA, tmp_path / "run", plan=PLAN, crops=CROPS, gate_plan=GATE, until=lambda: True)
    save_file(new_network(3).backbone.body.state_dict(), tmp_path / "backbone.safetensors")
    with pytest.raises(TrainingRefused, match="another backbone"):
        train(
            DATA,
            tmp_path / "run",
            plan=PLAN,
            crops=CROPS,
            gate_plan=GATE,
            backbone=tmp_path / "backbone.safetensors",
        )


def test_trained_weights_have_a_version_of_their_own(tmp_path: Path) -> None:
    metadata = json.loads((trained(tmp_path) / "metadata.json").read_text())
    of_architecture = bundle_metadata("FPNNet")["version"]
    assert metadata["version"] == f"{of_architecture}+{metadata['weights']['sha256'][:8]}"
    card = (tmp_path / "fpnnet" / "README.md").read_text()
    assert metadata["version"] in card and "Research use" in card and "two made-up images" in card
    assert all(f"| {figure['name']} | {figure['value']} |" in card for figure in metadata["measured"]["figures"])
    assert metadata["changelog"] == {metadata["version"]: "trained on two made-up images"}


def test_phantoms_count_for_false_positives_only_where_nothing_else_is_known_to_be_normal() -> None:
    phantoms = [tissue_image(160, 160, name="phantom")]
    with_both = fpnnet._views(replace(DATA, val_phantoms=phantoms), seed=1)
    alone = fpnnet._views(replace(DATA, val=[], val_phantoms=phantoms), seed=1)
    assert sum(view.normal and not view.drawn for view in with_both) == 1
    assert sum(bool(view.lesions) for view in with_both) == 2 * fpnnet.VALIDATION_ROUNDS
    assert sum(view.normal and not view.drawn for view in alone) == 1


def test_many_images_are_validated_on_by_lot(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fpnnet, "VALIDATION_IMAGES", 2)
    images = [tissue_image(160, 160, name=f"val {number}", seed=number) for number in range(5)]
    views = fpnnet._views(replace(DATA, val=images), seed=1)
    assert sum(view.normal and not view.drawn for view in views) == 2


def test_a_run_that_is_stopped_writes_no_bundle_and_goes_on(tmp_path: Path) -> None:
    assert train(DATA, tmp_path, plan=PLAN, crops=CROPS, gate_plan=GATE, until=lambda: True) is None
    assert not (tmp_path / "fpnnet").exists()
    steps: list[int] = []
    gate_steps: list[int] = []
    assert train(
        DATA,
        tmp_path,
        plan=PLAN,
        crops=CROPS,
        gate_plan=GATE,
        tell=lambda step, _: steps.append(step),
        tell_gate=lambda step, _: gate_steps.append(step),
    )
    assert steps == [2] and gate_steps == [1, 2]


def test_when_nothing_can_be_planted_for_the_gate_the_validation_itself_sets_its_threshold(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plant = fpnnet.planted_pairs
    seeds = {PLAN.seed + 1000 * number for number in range(3)}
    monkeypatch.setattr(fpnnet, "planted_pairs", lambda images, seed: plant(images, seed) if seed in seeds else ())
    assert trained(tmp_path).is_dir()


@pytest.mark.parametrize("val", [[], [tissue_image(plantable=False)]])
def test_without_a_normal_image_to_validate_on_a_run_is_refused_before_it_begins(tmp_path: Path, val: list) -> None:
    with pytest.raises(TrainingRefused, match="no normal image"):
        trained(tmp_path / "run", replace(DATA, val=val))
    assert not (tmp_path / "run").exists()


def test_real_lesions_are_validated_on_too(monkeypatch: pytest.MonkeyPatch) -> None:
    lesion = TruthBox(box_px=(20.0, 20.0, 60.0, 60.0), label="benign")
    labelled = tissue_image(160, 160, name="labelled", lesions=(lesion,), plantable=False)
    views = fpnnet._views(replace(DATA, val=[*DATA.val, labelled]), seed=1)
    assert sum(view.normal and not view.drawn for view in views) == 1
    assert sum(len(view.lesions) for view in views if view.lesions[:1] == (((20.0, 20.0, 60.0, 60.0), "benign"),)) == 1
    assert len(views) == 3 + 2 + 1  # planted, as it came and with distractors; planted twice more; the labelled one


def test_groups_are_the_media_and_the_phantoms_that_there_are() -> None:
    data = replace(DATA, train=[*DATA.train, tissue_image(name="digital")], phantoms=[tissue_image(name="phantom")])
    groups = image_groups(data.train, data.phantoms)
    assert {name: [image.name for image in images] for name, (_, images) in groups.items()} == {
        "film": ["train"],
        "digital": ["digital"],
        "phantom": ["phantom"],
    }
    assert image_groups(DATA.train, ()).keys() == {"film"}


def test_the_gate_sees_other_crops_than_the_detector() -> None:
    assert TrainPlan().steps * TrainPlan().batch < FIRST_CROP


def body(network: FPNNet) -> dict[str, torch.Tensor]:
    state: dict[str, torch.Tensor] = network.backbone.body.state_dict()
    return state


def test_a_backbone_of_the_sites_own_is_taken_up(tmp_path: Path) -> None:
    given = {name: torch.full_like(value, 2) for name, value in body(new_network(1)).items()}
    save_file({**given, "fc.weight": torch.zeros(1000, 2048)}, tmp_path / "resnet.safetensors")
    network = new_network(1, tmp_path / "resnet.safetensors")
    assert all((value == 2).all() for value in body(network).values())
    assert not (network.roi_heads.box_predictor.cls_score.weight == 2).any()


def test_a_backbone_that_was_exported_from_a_detector_is_taken_up(tmp_path: Path) -> None:
    given = {f"backbone.body.{name}": torch.full_like(value, 2) for name, value in body(new_network(1)).items()}
    save_file(given, tmp_path / "detector.safetensors")
    assert all((value == 2).all() for value in body(new_network(1, tmp_path / "detector.safetensors")).values())


def test_layers_of_another_size_are_left(tmp_path: Path) -> None:
    save_file({"conv1.weight": torch.zeros(64, 1, 7, 7), "bn1.bias": torch.ones(64)}, tmp_path / "part.safetensors")
    plain, network = body(new_network(1)), body(new_network(1, tmp_path / "part.safetensors"))
    assert torch.equal(plain["conv1.weight"], network["conv1.weight"])
    assert (network["bn1.bias"] == 1).all()


def test_a_file_that_fits_nowhere_is_refused(tmp_path: Path) -> None:
    save_file({"encoder.weight": torch.zeros(3)}, tmp_path / "other.safetensors")
    (tmp_path / "text.safetensors").write_text("no weights")
    for name, reason in (("other", "no layer"), ("text", "as safetensors")):
        with pytest.raises(TrainingRefused, match=reason):
            new_network(1, tmp_path / f"{name}.safetensors")


def test_the_same_seed_begins_with_the_same_weights() -> None:
    one, again, other = body(new_network(1)), body(new_network(1)), body(new_network(2))
    assert torch.equal(one["conv1.weight"], again["conv1.weight"])
    assert not torch.equal(one["conv1.weight"], other["conv1.weight"])


def test_phantoms_of_the_splits_are_different_breasts_without_lesions() -> None:
    images = [*phantom_images(2, "train"), *phantom_images(1, "val")]
    assert len({image.name for image in images}) == len({image.patient for image in images}) == 3
    assert FIRST_SEED["train"] < FIRST_SEED["val"] < FIRST_SEED["test"]
    for image in images:
        assert image.plantable and not image.lesions and image.medium == "digital"
        assert image.pixels.dtype == np.float32 and 0.3 < image.pixels.max() <= 1.0
        assert image.pixels[:, 0].any() and image.pixels[:, -1].any()
    assert np.array_equal(phantom_images(2, "train", first=1)[0].pixels, images[1].pixels)


def test_the_backbone_has_the_names_and_shapes_of_torchvisions(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()  # the network in its full size, without memory for its weights
    with torch.device("meta"):
        theirs = {name: value.shape for name, value in resnet50().state_dict().items()}
    monkeypatch.setattr("models.fpnnet.network._roi_pool", lambda: None)
    with torch.device("meta"):
        own = FPNNet(box_score_thresh=0.05, box_nms_thresh=0.2, box_detections_per_img=20)
    shapes = {name: value.shape for name, value in body(own).items()}
    assert shapes == {name: shape for name, shape in theirs.items() if not name.startswith("fc.")}
