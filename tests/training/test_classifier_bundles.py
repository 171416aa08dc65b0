"""From images to bundles: what a run writes can be loaded, says how it came about; and the commands that do it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from models import registry
from models.bundle import build_network
from models.contract import ModelImage
from models.errors import TrainingRefused
from models.metadata import bundle_dir, read_metadata
from models.regions.contract import LesionView
from models.sppnet.network import SPPNet
from models.training import calcified, sppnet
from models.training.calcified import SamplePlan
from models.training.classifier import ClassifierPlan
from models.training.contract import TruthBox
from models.training.data import TrainingData
from models.training.loop import LOG, training_dir
from models.training.patches import TASKS, Patch, PatchTask, make_patch
from models.training.run import read_best
from models.training.sppnet import new_network, train
from models.training.sppnet_patches import train_patches
from models.weights import find_weights, read_weights
from node import cli_train, commands_train
from pipelines.datasets.manifest import write_manifest
from pipelines.datasets.patches import COLUMNS
from tests.commands import Run, runner
from tests.datasets.builders import breast_pixels, entry, write_png, write_rows
from tests.training.builders import tissue_image
from tests.training.small_classifier import make_sppnet_small
from tests.training.small_networks import one_thread

DATA = TrainingData(
    train=[tissue_image(160, 160, name="train", medium="film", seed=1)],
    val=[tissue_image(160, 160, name="val", seed=2)],
    phantoms=[],
    val_phantoms=[],
    note="two made-up images",
)
PLAN = ClassifierPlan(steps=3, batch=2, validate_every=2, precision="float32", workers=0)
SAMPLES = SamplePlan(sides_px=(64, 96))
TASK: PatchTask = "pathology-microinvasive-as-dcis"


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    make_sppnet_small(monkeypatch)
    monkeypatch.setattr(registry, "_resident", {})
    with one_thread():
        yield


def trained(directory: Path, data: TrainingData = DATA, plan: ClassifierPlan = PLAN, **others: Any) -> Path:
    bundle = train(data, directory, plan=plan, samples=SAMPLES, **others)
    assert bundle is not None
    return bundle


def test_a_run_writes_a_bundle_that_the_registry_loads_and_that_predicts(tmp_path: Path) -> None:
    bundle = trained(tmp_path)
    assert bundle == tmp_path / "sppnet"
    weights = load_file(bundle / "model.safetensors")
    assert {value.dtype for value in weights.values() if value.is_floating_point()} == {torch.float16}
    best = read_best(training_dir(tmp_path, "SPPNet"))
    assert weights.keys() == best.weights.keys()
    assert all(torch.equal(weights[name], value) for name, value in best.weights.items())

    metadata = json.loads((bundle / "metadata.json").read_text())
    assert metadata["name"] == "SPPNet" and metadata["training_data"] == "two made-up images"
    assert metadata["training"]["classifier"]["steps"] == 3
    assert metadata["training"]["samples"]["sides_px"] == [64, 96]
    assert metadata["training"]["step_of_best"] == best.step
    assert metadata["measured"]["figures"][0] == {
        "name": "auc",
        "value": round(best.figures["auc"], 4),
        "on": "validation split: 2 whole images, with planted or real lesions, 1 of them malignant; "
        "chose the checkpoint",
    }
    assert str(tmp_path) not in json.dumps(metadata)

    model = registry.load_classifier("SPPNet", "cpu", tmp_path)
    assert model.identity.operating_point == {"malignancy_threshold": 0.5}
    image = ModelImage(pixels=DATA.val[0].pixels, spacing_mm=(0.1, 0.1))
    network = new_network(7)
    network.load_state_dict(best.weights)
    with torch.inference_mode():
        logits = network.eval()(torch.from_numpy(image.pixels)[None])
    assert model.predict(image).malignancy == pytest.approx(float(logits.softmax(dim=1)[0, 1]), abs=1e-6)


def test_what_is_measured_is_the_validation_split_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    planted: list[str] = []
    plant = calcified.plant_whole
    monkeypatch.setattr(
        calcified, "plant_whole", lambda image, rng, label: planted.append(image.name) or plant(image, rng, label)
    )
    validated: list[str] = []
    views = sppnet.views_of_classes
    monkeypatch.setattr(
        sppnet,
        "views_of_classes",
        lambda images, *others: validated.extend(image.name for image in images) or views(images, *others),
    )
    lesion = TruthBox(box_px=(20, 20, 60, 60), label="malignant")
    phantom, val_phantom = tissue_image(name="phantom"), tissue_image(name="val phantom")
    labelled = tissue_image(name="labelled", lesions=(lesion,), plantable=False)
    trained(tmp_path, replace(DATA, phantoms=[phantom], val_phantoms=[val_phantom], val=[*DATA.val, labelled]))
    assert set(planted) <= {"train", "phantom"}
    assert set(validated) == {"val", "labelled", "val phantom"}


def test_a_run_that_is_stopped_writes_no_bundle_and_ends_as_an_unbroken_one(tmp_path: Path) -> None:
    assert train(DATA, tmp_path / "a", plan=PLAN, samples=SAMPLES, until=lambda: True) is None
    assert not (tmp_path / "a" / "sppnet").exists()
    one, other = trained(tmp_path / "a"), trained(tmp_path / "b")
    assert (one / "model.safetensors").read_bytes() == (other / "model.safetensors").read_bytes()
    assert (one / "metadata.json").read_bytes() == (other / "metadata.json").read_bytes()


def test_a_run_is_not_taken_up_with_other_samples(tmp_path: Path) -> None:
    assert train(DATA, tmp_path, plan=PLAN, samples=SAMPLES, until=lambda: True) is None
    with pytest.raises(TrainingRefused, match=r"another whole;"):
        train(DATA, tmp_path, plan=PLAN, samples=replace(SAMPLES, whole=0.3))


@pytest.mark.parametrize("val", [[], [tissue_image(plantable=False)]])
def test_without_anything_to_validate_on_a_run_is_refused_before_it_begins(tmp_path: Path, val: list[Any]) -> None:
    with pytest.raises(TrainingRefused, match="both classes"):
        trained(tmp_path / "run", replace(DATA, val=val))
    assert not (tmp_path / "run").exists()


def test_weights_to_start_from_are_taken_where_they_fit(tmp_path: Path) -> None:
    given = {name: torch.full_like(value, 2) for name, value in new_network(1).state_dict().items()}
    save_file({**given, "fc.weight": torch.zeros(1000, 512)}, tmp_path / "resnet.safetensors")
    network = new_network(1, tmp_path / "resnet.safetensors")
    assert (network.layer3[0].weight == 2).all()
    assert torch.equal(network.fc.weight, new_network(1).fc.weight)


def test_a_new_network_has_no_opinion() -> None:
    with torch.inference_mode():
        logits = new_network(1).eval()(torch.from_numpy(DATA.val[0].pixels)[None])
    assert logits.tolist() == [[0.0, 0.0]]


def test_a_bundle_is_somewhere_to_start_from(tmp_path: Path) -> None:
    bundle = trained(tmp_path)
    network = new_network(2, bundle / "model.safetensors")
    assert network.fc.weight.any()
    assert torch.equal(network.fc.weight.half(), load_file(bundle / "model.safetensors")["fc.weight"])


def test_a_file_that_fits_nowhere_is_refused(tmp_path: Path) -> None:
    save_file({"encoder.weight": torch.zeros(3)}, tmp_path / "other.safetensors")
    (tmp_path / "text.safetensors").write_text("no weights")
    for name, reason in (("other", "no layer"), ("text", "safetensors"), ("none", "safetensors")):
        with pytest.raises(TrainingRefused, match=reason):
            new_network(1, tmp_path / f"{name}.safetensors")


def test_the_same_seed_begins_with_the_same_weights() -> None:
    one, again, other = (new_network(seed).conv1.weight for seed in (1, 1, 2))
    assert torch.equal(one, again) and not torch.equal(one, other)


def patches() -> list[Patch]:
    made = []
    for number, (split, pathology) in enumerate(
        (split, pathology) for split in ("train", "val", "test") for pathology in ("dcis", "microinvasive", "invasive")
    ):
        image = replace(tissue_image(120, 120, seed=number), patient=f"p{number}")
        er = "positive" if number % 2 else "negative"
        made.append(make_patch(image, (50, 50, 70, 70), split=split, pathology=pathology, er=er))  # type: ignore[arg-type]  # the names above
    return made


@pytest.mark.parametrize("task", TASKS)
def test_a_subtype_is_trained_to_a_bundle_of_its_own_that_says_what_its_classes_are(
    tmp_path: Path, task: PatchTask
) -> None:
    bundle = train_patches(patches(), tmp_path, task=task, plan=replace(PLAN, steps=1), note="nine made-up patches")
    classes = TASKS[task]
    assert bundle == tmp_path / classes.model.lower()
    weights = read_weights(find_weights(classes.model, tmp_path))
    network = build_network(read_metadata(bundle_dir("SPPNet") / "configs" / "metadata.json"), SPPNet)
    network.load_state_dict(weights.state_dict())
    metadata = json.loads((bundle / "metadata.json").read_text())
    assert metadata["name"] == classes.model and metadata["training_data"] == "nine made-up patches"
    assert metadata["network_data_format"]["outputs"]["probabilities"]["channel_def"] == {
        "0": classes.negative,
        "1": classes.positive,
    }
    assert metadata["network_data_format"]["inputs"]["image"]["is_patch_data"] is True
    assert metadata["patch"] == {"margin_px": 32, "least_side_px": 224, "greatest_side_px": 640}
    assert metadata["measured"]["note"].startswith("validation split: 3 patches of malignant calcifications, ")
    model = registry.load_region_classifier(classes.model, "cpu", tmp_path)
    image = patches()[0].pixels
    mask = np.zeros(image.shape, dtype=np.bool_)
    mask[360:400, 360:400] = True
    output = model.predict({"CC": LesionView(pixels=image, mask=mask, spacing_mm=(0.1, 0.1))})
    assert sum(output.probabilities) == pytest.approx(1.0) and model.identity.weights_sha256 == weights.sha256


def test_the_task_of_a_run_is_its_own(tmp_path: Path) -> None:
    """In one folder two tasks have two runs; one folder moved into the place of the other is refused."""
    stop: Any = {"plan": PLAN, "note": "", "until": lambda: True}
    assert train_patches(patches(), tmp_path, task=TASK, **stop) is None
    assert train_patches(patches(), tmp_path, task="er", **stop) is None
    training_dir(tmp_path, TASKS["er"].model).rename(tmp_path / "away")
    training_dir(tmp_path, TASKS[TASK].model).rename(training_dir(tmp_path, TASKS["er"].model))
    with pytest.raises(TrainingRefused, match="another model and task"):
        train_patches(patches(), tmp_path, task="er", **stop)


def test_patches_of_the_test_split_are_never_looked_at(tmp_path: Path) -> None:
    blind = [one if one.split != "test" else replace(one, pixels=np.full_like(one.pixels, np.nan)) for one in patches()]
    seen = train_patches(patches(), tmp_path / "a", task=TASK, plan=PLAN, note="")
    unseen = train_patches(blind, tmp_path / "b", task=TASK, plan=PLAN, note="")
    assert seen is not None and unseen is not None
    assert (seen / "model.safetensors").read_bytes() == (unseen / "model.safetensors").read_bytes()


SHORT = ("--steps", 2, "--batch", 2, "--workers", 0, "--device", "cpu", "--precision", "float32")


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Run a command in this process, on crops of 64 pixels."""
    monkeypatch.setattr(commands_train, "SamplePlan", lambda **given: SamplePlan(sides_px=(64, 64), **given))

    return runner(monkeypatch, capsys, "train")


def image_manifest(folder: Path, *, plantable: bool = True) -> Path:
    entries = []
    for number, split in enumerate(("train", "val")):
        pixels = np.clip(np.random.default_rng(number).normal(100, 3, size=(160, 140)), 1, 255).astype(np.uint16)
        pixels[:, :16] = 0
        path = write_png(folder / f"{split}.png", pixels)
        entries.append(entry(path, patient=f"p{number}", split=split, plantable=plantable, spacing_mm=0.1))
    write_manifest(folder / "manifest.csv", entries)
    return folder / "manifest.csv"


def patch_manifest(folder: Path) -> Path:
    rows = []
    for number, (split, pathology) in enumerate((s, p) for s in ("train", "val") for p in ("dcis", "invasive")):
        write_png(folder / f"{number}.png", breast_pixels())
        rows.append((f"{number}.png", f"p{number}", split, 30, 10, 50, 30, 0.1, "film", pathology, ""))
    return write_rows(folder / "patches.csv", COLUMNS, rows)


def test_help_names_every_option(run: Run) -> None:
    common = ("--data", "--out", "--steps", "--batch", "--seed", "--device", "--precision", "--start", "--minutes")
    for command, own in (("sppnet", ("--whole", "--phantoms", "--medium")), ("sppnet-patches", ("--task",))):
        asked = run(command, "--help")
        assert asked.status == 0
        assert all(option in asked.out for option in (*common, *own))


def test_the_command_trains_is_stopped_goes_on_and_leaves_a_folder_for_the_settings(run: Run, tmp_path: Path) -> None:
    out = tmp_path / "run"
    command = ("sppnet", "--data", image_manifest(tmp_path), "--out", out, "--phantoms", 0, *SHORT)
    stopped = run(*command, "--minutes", 0)
    assert stopped.status == 3 and "the same command goes on" in stopped.out and not (out / "sppnet").exists()
    ran = run(*command)
    assert ran.status == 0, ran.err
    assert str(out / "sppnet") in ran.out and f"weights_dir = {out}" in ran.out
    card = registry.describe_model("SPPNet", out)
    assert card.installed and card.measured_on.startswith("validation split: 2 whole images")
    assert (out / "sppnet-training" / LOG).exists()
    refused = run(*command, "--seed", 2)
    assert refused.status == 1 and "another seed" in refused.err and "Traceback" not in refused.err


def test_the_command_for_patches_trains_a_bundle_that_the_node_runs(run: Run, tmp_path: Path) -> None:
    out = tmp_path / "run"
    ran = run("sppnet-patches", "--task", TASK, "--data", patch_manifest(tmp_path), "--out", out, *SHORT)
    assert ran.status == 0, ran.err
    assert str(out / "sppnet-invasive") in ran.out and f"weights_dir = {out}" in ran.out
    metadata = json.loads((out / "sppnet-invasive" / "metadata.json").read_text())
    assert metadata["training_data"].startswith("patches.csv: train: 2 patches of 2 patients (1 dcis, 1 invasive")


def test_a_task_without_labels_is_one_message(run: Run, tmp_path: Path) -> None:
    ran = run("sppnet-patches", "--task", "er", "--data", patch_manifest(tmp_path), "--out", tmp_path / "run", *SHORT)
    assert ran.status == 1
    assert "ER-negative" in ran.err and "Traceback" not in ran.err


def test_images_without_a_class_are_one_message(run: Run, tmp_path: Path) -> None:
    manifest = image_manifest(tmp_path, plantable=False)
    ran = run("sppnet", "--data", manifest, "--out", tmp_path / "run", "--phantoms", 0, *SHORT)
    assert ran.status == 1
    assert "plantable" in ran.err and "Traceback" not in ran.err


@pytest.mark.parametrize("wrong", [("--steps", 0), ("--batch", 1), ("--whole", 1.5), ("--precision", "float64")])
def test_a_wrong_option_is_a_usage_error(run: Run, tmp_path: Path, wrong: tuple[object, ...]) -> None:
    assert run("sppnet", "--data", image_manifest(tmp_path), "--out", tmp_path / "run", *wrong).status == 2


def test_without_scikit_learn_it_is_said_what_installs_it(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cli_train, "find_spec", lambda name: None)
    ran = run("sppnet", "--data", tmp_path / "manifest.csv", "--out", tmp_path / "run")
    assert ran.status == 2 and "make research" in ran.err
