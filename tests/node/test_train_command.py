"""``mammonode train`` as a person uses it: what is printed, what is written, which exit status."""

from __future__ import annotations

import csv
import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file

from models import registry
from models.training.crops import CropPlan
from models.training.detector import TrainPlan
from models.training.gate import GatePlan
from node import commands_train
from node.commands_train import plan_of
from pipelines.datasets.manifest import write_manifest
from tests.commands import Run, runner
from tests.datasets.builders import entry, lesion, write_png
from tests.training.small_networks import make_networks_small, one_thread


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Iterator[Run]:
    """Run a command in this process, on crops of 64 pixels and small networks."""
    make_networks_small(monkeypatch)
    monkeypatch.setattr(registry, "_resident", {})
    monkeypatch.setattr(commands_train, "CropPlan", lambda **given: CropPlan(side_px=64, **given))
    monkeypatch.setattr(commands_train, "GatePlan", lambda **given: GatePlan(batch=2, **given))

    with one_thread():
        yield runner(monkeypatch, capsys, "train")


@pytest.fixture
def manifest(tmp_path: Path) -> Path:
    """A normal image in each of the splits train and val, and a lesion of another patient to train on."""
    return write_manifest_of(tmp_path, "train", "val")


def write_manifest_of(folder: Path, *splits: str, plantable: bool = True) -> Path:
    entries = []
    for number, split in enumerate(splits):
        path = write_png(folder / f"{split}.png", tissue(number))
        entries.append(entry(path, patient=f"p{number}", split=split, plantable=plantable, spacing_mm=0.1))
    path = write_png(folder / "lesion.png", tissue(9))
    entries.append(entry(path, patient="p9", split="train", lesions=(lesion(60, 60, 90, 90),), spacing_mm=0.1))
    write_manifest(folder / "manifest.csv", entries)
    return folder / "manifest.csv"


def tissue(seed: int) -> np.ndarray:
    pixels = np.clip(np.random.default_rng(seed).normal(100, 3, size=(160, 140)), 1, 255).astype(np.uint16)
    pixels[:, :16] = 0
    return pixels


SHORT = ("--steps", 2, "--batch", 2, "--workers", 0, "--phantoms", 0, "--device", "cpu", "--precision", "float32")


def test_help_names_every_option(run: Run) -> None:
    asked = run("fpnnet", "--help")
    assert asked.status == 0
    for option in ("--data", "--out", "--steps", "--phantoms", "--medium", "--backbone", "--minutes", "--distractors"):
        assert option in asked.out
    assert "fpnnet" in run("--help").out


def test_training_writes_a_folder_that_the_settings_can_name(run: Run, manifest: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    ran = run("fpnnet", "--data", manifest, "--out", out, *SHORT)
    assert ran.status == 0, ran.err
    assert str(out / "fpnnet") in ran.out and f"weights_dir = {out}" in ran.out
    card = registry.describe_model("FPNNet", out)
    assert card.installed and card.problem is None
    metadata = json.loads((out / "fpnnet" / "metadata.json").read_text())
    assert metadata["training_data"] == (
        "manifest.csv: 2 film images of 2 patients with 1 labelled lesions for training; "
        "1 film images of 1 patients with 0 labelled lesions for validation; "
        "calcifications simulated in images without any"
    )
    assert metadata["training"]["gate"]["steps"] == 1
    assert str(tmp_path) not in json.dumps(metadata)


def test_a_run_out_of_time_ends_with_status_3_and_the_same_command_goes_on(
    run: Run, manifest: Path, tmp_path: Path
) -> None:
    command = ("fpnnet", "--data", manifest, "--out", tmp_path / "run", *SHORT)
    stopped = run(*command, "--minutes", 0)
    assert stopped.status == 3
    assert "the same command goes on" in stopped.out
    assert not (tmp_path / "run" / "fpnnet").exists()
    assert run(*command).status == 0
    assert (tmp_path / "run" / "fpnnet" / "model.safetensors").exists()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_stops_a_run_with_a_checkpoint_and_leaves_the_handlers_as_they_were(
    run: Run, manifest: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: signal.Signals
) -> None:
    before = signal.getsignal(number)
    monkeypatch.setattr(commands_train._Log, "__call__", lambda *_: os.kill(os.getpid(), number))
    assert run("fpnnet", "--data", manifest, "--out", tmp_path / "run", *SHORT).status == 3
    assert (tmp_path / "run" / "checkpoint.pt").exists()
    assert signal.getsignal(number) is before


def test_a_signal_stops_the_gate_too(run: Run, manifest: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    advance = commands_train._advance

    def interrupted(*arguments: Any) -> None:
        os.kill(os.getpid(), signal.SIGTERM)
        advance(*arguments)

    monkeypatch.setattr(commands_train, "_advance", interrupted)
    command = ("fpnnet", "--data", manifest, "--out", tmp_path / "run", *SHORT)
    assert run(*command).status == 3
    monkeypatch.setattr(commands_train, "_advance", advance)
    assert run(*command).status == 0


def test_a_missing_manifest_is_one_message(run: Run, tmp_path: Path) -> None:
    ran = run("fpnnet", "--data", tmp_path / "none.csv", "--out", tmp_path / "run", *SHORT)
    assert ran.status == 1
    assert "mammonode: " in ran.err and "Traceback" not in ran.err


@pytest.mark.parametrize(("there", "missing"), [("train", "val"), ("val", "train")])
def test_a_missing_split_is_named(run: Run, tmp_path: Path, there: str, missing: str) -> None:
    path = write_png(tmp_path / "one.png", tissue(0))
    write_manifest(tmp_path / "manifest.csv", [entry(path, split=there, plantable=True)])
    ran = run("fpnnet", "--data", tmp_path / "manifest.csv", "--out", tmp_path / "run", *SHORT)
    assert ran.status == 1
    assert f"no image is in split {missing}" in ran.err and "docs/MANIFEST.md" in ran.err


def test_a_medium_that_no_image_has_is_named(run: Run, manifest: Path, tmp_path: Path) -> None:
    ran = run("fpnnet", "--data", manifest, "--out", tmp_path / "run", *SHORT, "--medium", "digital")
    assert ran.status == 1
    assert "no digital image is in split train" in ran.err


def test_a_validation_split_without_normals_is_one_message(run: Run, tmp_path: Path) -> None:
    data = write_manifest_of(tmp_path, "train", "val", plantable=False)
    ran = run("fpnnet", "--data", data, "--out", tmp_path / "run", *SHORT)
    assert ran.status == 1
    assert "no normal image" in ran.err and "plantable" in ran.err and "Traceback" not in ran.err


def test_another_seed_in_the_same_folder_is_refused(run: Run, manifest: Path, tmp_path: Path) -> None:
    command = ("fpnnet", "--data", manifest, "--out", tmp_path / "run", *SHORT)
    assert run(*command, "--minutes", 0).status == 3
    ran = run(*command, "--seed", 2)
    assert ran.status == 1
    assert "another seed" in ran.err and "Traceback" not in ran.err


def test_a_backbone_that_fits_nothing_is_refused(run: Run, manifest: Path, tmp_path: Path) -> None:
    save_file({"encoder": np.zeros(3, dtype=np.float32)}, tmp_path / "other.safetensors")
    command = ("fpnnet", "--data", manifest, "--out", tmp_path / "run", *SHORT, "--backbone")
    ran = run(*command, tmp_path / "other.safetensors")
    assert ran.status == 1 and "ResNet-50" in ran.err
    ran = run(*command, tmp_path / "none.safetensors")
    assert ran.status == 1 and "none.safetensors" in ran.err and "Traceback" not in ran.err


@pytest.mark.parametrize(
    "wrong", [("--steps", 0), ("--batch", 0), ("--precision", "float64"), ("--medium", "paper"), ("--workers", -1)]
)
def test_a_wrong_option_is_a_usage_error(run: Run, manifest: Path, tmp_path: Path, wrong: tuple[object, ...]) -> None:
    assert run("fpnnet", "--data", manifest, "--out", tmp_path / "run", *wrong).status == 2
    assert not (tmp_path / "run").exists()


def test_data_and_out_must_be_given(run: Run) -> None:
    assert run("fpnnet").status == 2


def test_options_become_the_plan(run: Run, manifest: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    given: dict[str, Any] = {}

    def train(data: Any, directory: Path, **others: Any) -> Path:
        given.update(others, data=data, directory=directory)
        return directory / "fpnnet"

    monkeypatch.setattr(commands_train, "train", train)
    options = ("--steps", 10, "--batch", 3, "--seed", 4, "--workers", 0, "--no-distractors", "--phantoms", 5)
    assert run("fpnnet", "--data", manifest, "--out", tmp_path, "--device", "cpu", *options).status == 0
    assert given["plan"] == TrainPlan(steps=10, batch=3, seed=4, device="cpu", precision="bfloat16", workers=0)
    assert given["crops"].distractors == 0.0
    assert given["gate_plan"].steps == 7
    assert [len(given["data"].phantoms), len(given["data"].val_phantoms)] == [5, 1]
    assert given["data"].note.endswith("; 5 phantom views")


def test_precision_is_that_of_the_plan() -> None:
    def plan(precision: Any) -> TrainPlan:
        return plan_of(TrainPlan, steps=1, batch=1, seed=1, device="cpu", precision=precision, workers=0)

    assert [plan(name).precision for name in ("auto", "float32", "bfloat16")] == ["bfloat16", "float32", "bfloat16"]


def test_losses_are_written_as_means_of_twenty_steps(tmp_path: Path) -> None:
    class Bar:
        n = 0

        def refresh(self) -> None: ...

        def set_postfix(self, **_: str) -> None: ...

    log = commands_train._Log(tmp_path / "losses.csv", Bar())  # type: ignore[arg-type]  # stands in for tqdm
    for step in range(1, 46):
        log(step, {"loss_a": float(step), "loss_b": 1.0})
    with (tmp_path / "losses.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["step"] for row in rows] == ["20", "40"]
    assert [float(row["loss_a"]) for row in rows] == [10.5, 30.5]
    assert {row["loss_b"] for row in rows} == {"1.0"}
