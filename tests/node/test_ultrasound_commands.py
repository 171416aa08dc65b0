"""``mammonode train us-...`` and ``evaluate us-...`` as a person uses them: what is printed, what is written."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from models import registry
from models.training import us_rois
from models.training.us_segmentation import CanvasPlan
from node import commands_ultrasound
from node.commands_ultrasound import roi_plan, segmentation_plan
from pipelines.datasets.frame_manifest import read_frames, write_frames
from tests.commands import Run, runner
from tests.datasets.builders import write_rows
from tests.datasets.frame_builders import disc, entry, lesion, published_busi, save, tissue, with_lesion
from tests.training.small_networks import one_thread


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Iterator[Run]:
    """Run a command in this process, on small canvases."""
    monkeypatch.setattr(registry, "_resident", {})
    monkeypatch.setattr(commands_ultrasound, "CanvasPlan", lambda: CanvasPlan(canvas_px=64, coarse_px=32, source_px=64))

    with one_thread():
        yield runner(monkeypatch, capsys)


SHORT = ("--steps", 2, "--batch", 2, "--workers", 0, "--device", "cpu", "--precision", "float32")


@pytest.fixture
def manifest(tmp_path: Path) -> Path:
    """Benign, malignant and normal frames in two folds, with clinical data and a HER2 status."""
    frames = []
    for number in range(8):
        mask, picture = disc(at=(35 + number, 50 + 2 * number)), tissue(number)
        name = f"{number}.png"
        if number < 6:
            label, her2 = ("malignant", "positive") if number % 2 else ("benign", "negative")
            save(tmp_path / name, with_lesion(picture, mask))
            lesions = (lesion(save(tmp_path / f"mask-{name}", mask), label=label, her2=her2),)
        else:
            save(tmp_path / name, picture)
            lesions = ()
        frames.append(entry(tmp_path / name, patient=f"p{number}", fold=number // 2 % 2 + 1, lesions=lesions))
    write_frames(tmp_path / "frames.csv", frames)
    return tmp_path / "frames.csv"


def metadata(folder: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((folder / "metadata.json").read_text())
    return content


@pytest.mark.parametrize("command", ["train", "evaluate"])
@pytest.mark.parametrize("model", ["us-segmentation", "us-malignancy", "us-her2"])
def test_help_names_the_models_and_their_options(run: Run, command: str, model: str) -> None:
    assert model in run(command, "--help").out
    asked = run(command, model, "--help")
    assert asked.status == 0
    named = ("--fold", "--steps", "--minutes", "--seed") if command == "train" else ("--run", "--weights", "--out")
    for option in ("--data", "--device", *named):
        assert option in asked.out


def test_busi_is_imported_from_the_command_line(run: Run, tmp_path: Path) -> None:
    folder = published_busi(tmp_path / "busi")
    ran = run("manifest", "import", "busi", folder, "--out", tmp_path / "frames.csv")
    assert ran.status == 0, ran.err
    assert ran.out.splitlines()[0].split() == ["fold", "frames", "groups", "normal", "benign", "malignant"]
    assert f"wrote {tmp_path / 'frames.csv'}" in ran.out


def test_all_folds_are_trained_and_measured_and_the_bundle_says_so(run: Run, manifest: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    ran = run("train", "us-segmentation", "--data", manifest, "--out", out, *SHORT)
    assert ran.status == 0, ran.err
    assert f"weights_dir = {out}" in ran.out and f"evaluate us-segmentation --run {out}" in ran.out
    for folder in (out, out / "folds" / "1", out / "folds" / "2"):
        assert (folder / "us-segmentation" / "model.safetensors").is_file()
    said = metadata(out / "us-segmentation")
    assert said["training_data"] == "frames.csv: 8 frames of 8 patients or groups (3 benign, 3 malignant, 2 normal)"
    names = {figure["name"] for figure in said["measured"]["figures"]}
    assert {"dice, lesions", "dice, benign", "AUC, lesion or not"} <= names
    assert "has not seen its fold" in said["measured"]["note"] and str(tmp_path) not in json.dumps(said)
    card = registry.describe_model("us-segmentation", out)
    assert card.installed and "cross-validation" in card.measured_on

    report = tmp_path / "report"
    ran = run("evaluate", "us-segmentation", "--data", manifest, "--run", out, "--out", report, "--device", "cpu")
    assert ran.status == 0, ran.err
    assert "Dice, malignant" in ran.out and f"report: {report / 'report.html'}" in ran.out
    content = json.loads((report / "report.json").read_text())
    assert len(content["models"]) == 2 and content["segmentation"]["frames"] == 8

    command = ("evaluate", "us-segmentation", "--data", manifest, "--out", report, "--device", "cpu")
    shipped = run(*command, "--weights", out)
    assert shipped.status == 0, shipped.err
    content = json.loads((report / "report.json").read_text())
    assert len(content["models"]) == 1 and "flatter" in content["protocol"]


def test_malignancy_is_measured_on_automatic_outlines_where_there_are_networks_of_the_folds(
    run: Run, manifest: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pipelines.frame_evaluation.available", lambda: False)
    out, command = tmp_path / "run", ("--data", manifest, "--out", tmp_path / "run", *SHORT)
    assert run("train", "us-malignancy", *command).status == 0
    before = {figure["name"] for figure in metadata(out / "us-malignancy")["measured"]["figures"]}
    assert before == {"AUC, outline of the truth"}
    assert run("train", "us-segmentation", *command).status == 0
    (out / "us-malignancy" / "metadata.json").unlink()
    assert run("train", "us-malignancy", *command).status == 0
    after = {figure["name"] for figure in metadata(out / "us-malignancy")["measured"]["figures"]}
    assert after >= {"AUC, outline of the truth", "AUC, automatic outline, none as 0"}

    report = tmp_path / "report"
    ran = run("evaluate", "us-malignancy", "--data", manifest, "--run", out, "--out", report, "--device", "cpu")
    assert ran.status == 0, ran.err
    assert "AUC by outline of the truth" in ran.out
    content = json.loads((report / "report.json").read_text())
    assert content["classification"]["frames"] == 6 and content["classification"]["positives"] == 3
    assert "pyradiomics is not installed" in content["classification"]["comparators"]
    assert "no such data" in content["classification"]["comparators"]
    assert len(content["models"]) == 4


def test_her2_is_trained_and_evaluated_on_a_site_s_own_labels(run: Run, manifest: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    assert run("train", "us-her2", "--data", manifest, "--out", out, *SHORT).status == 0
    assert registry.describe_model("us-her2", out).installed
    command = ("evaluate", "us-her2", "--data", manifest, "--out", tmp_path / "report", "--device", "cpu")
    ran = run(*command, "--weights", out)
    assert ran.status == 0, ran.err
    content = json.loads((tmp_path / "report" / "report.json").read_text())
    assert content["classification"]["positive"] == "HER2-positive"
    assert "comparators are trained in cross-validation only" in content["classification"]["comparators"]


def test_without_any_status_her2_cannot_be_trained_or_evaluated(run: Run, tmp_path: Path) -> None:
    save(tmp_path / "a.png", tissue(1))
    data = write_rows(tmp_path / "frames.csv", ("image", "patient"), [("a.png", "p1")])
    for command in ("train", "evaluate"):
        ran = run(command, "us-her2", "--data", data, "--out", tmp_path / "run", "--device", "cpu")
        assert ran.status == 1 and "Traceback" not in ran.err, command


def test_a_run_out_of_time_ends_with_status_3_and_the_same_command_goes_on(
    run: Run, manifest: Path, tmp_path: Path
) -> None:
    command = ("train", "us-segmentation", "--data", manifest, "--out", tmp_path / "run", *SHORT, "--fold", "1")
    stopped = run(*command, "--minutes", 0)
    assert stopped.status == 3 and "the same command goes on" in stopped.out
    assert not (tmp_path / "run" / "folds").exists()
    assert run(*command).status == 0
    assert (tmp_path / "run" / "folds" / "1" / "us-segmentation" / "model.safetensors").exists()


def test_time_that_runs_out_between_two_networks_ends_with_status_3_too(
    run: Run, manifest: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trained: list[int | None] = []

    def train(*_: object, fold: int | None, **__: object) -> Path:
        trained.append(fold)
        return tmp_path

    monkeypatch.setattr(commands_ultrasound.us_segmentation, "train", train)
    ran = run("train", "us-segmentation", "--data", manifest, "--out", tmp_path / "run", *SHORT, "--minutes", 0)
    assert ran.status == 3 and trained == [1]


def test_final_trains_on_all_folds_and_says_that_nothing_was_measured(run: Run, manifest: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    assert run("train", "us-segmentation", "--data", manifest, "--out", out, *SHORT, "--fold", "final").status == 0
    assert "not measured" in metadata(out / "us-segmentation")["measured"]["note"]
    assert not (out / "folds").exists()


@pytest.mark.parametrize(("fold", "told"), [("9", "cannot leave out fold 9"), ("first", "--fold is a number")])
def test_a_fold_that_is_none_is_one_message(run: Run, manifest: Path, tmp_path: Path, fold: str, told: str) -> None:
    ran = run("train", "us-segmentation", "--data", manifest, "--out", tmp_path / "run", *SHORT, "--fold", fold)
    assert ran.status == 1 and told in ran.err and "Traceback" not in ran.err


def test_weights_that_have_seen_a_fold_never_stand_in_for_those_that_have_not(
    run: Run, manifest: Path, tmp_path: Path
) -> None:
    out = tmp_path / "run"
    assert run("train", "us-segmentation", "--data", manifest, "--out", out, *SHORT, "--fold", "final").status == 0
    command = ("evaluate", "us-segmentation", "--data", manifest, "--out", tmp_path / "r", "--device", "cpu")
    ran = run(*command, "--run", out)
    assert ran.status == 1 and "no network without fold 1" in ran.err
    assert not list((tmp_path / "r").iterdir())


def test_networks_that_have_seen_the_fold_of_a_changed_manifest_are_refused(
    run: Run, manifest: Path, tmp_path: Path
) -> None:
    out = tmp_path / "run"
    assert run("train", "us-malignancy", "--data", manifest, "--out", out, *SHORT).status == 0
    changed = [replace(frame, fold=3 - (frame.fold or 0)) for frame in read_frames(manifest)]
    write_frames(manifest, changed)
    command = ("evaluate", "us-malignancy", "--data", manifest, "--out", tmp_path / "r", "--device", "cpu")
    ran = run(*command, "--run", out, "--no-outlines")
    assert ran.status == 1 and "was trained on other frames" in ran.err
    assert run(*command, "--weights", out, "--no-outlines").status == 0


def test_models_without_weights_are_not_attempted(run: Run, manifest: Path, tmp_path: Path) -> None:
    models = ("us-segmentation", "us-malignancy", "us-her2")
    for model in models:
        (tmp_path / model).mkdir()  # else the weights that ship
    for model in models:
        command = ("evaluate", model, "--data", manifest, "--out", tmp_path / "r", "--device", "cpu")
        ran = run(*command, "--weights", tmp_path)
        assert ran.status == 1 and "no weights installed" in ran.err, model


@pytest.mark.parametrize("command", ["train", "evaluate"])
@pytest.mark.parametrize("device", ["cuda:99", "gpu"])
def test_a_device_that_is_not_there_is_told_before_anything_is_read(
    run: Run, tmp_path: Path, command: str, device: str
) -> None:
    ran = run(command, "us-malignancy", "--data", tmp_path / "none.csv", "--out", tmp_path / "run", "--device", device)
    assert ran.status == 1 and f"--device {device}: " in ran.err and "Traceback" not in ran.err
    assert not (tmp_path / "run").exists()


def test_a_report_that_cannot_be_written_is_told_before_anything_is_read(run: Run, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for model in ("us-segmentation", "us-her2"):
        ran = run(
            "evaluate", model, "--data", tmp_path / "none.csv", "--out", tmp_path / "file" / "r", "--device", "cpu"
        )
        assert ran.status == 1 and "cannot be made" in ran.err and "Traceback" not in ran.err, model


def test_a_manifest_that_cannot_be_is_one_message(run: Run, tmp_path: Path) -> None:
    ran = run("train", "us-segmentation", "--data", tmp_path / "none.csv", "--out", tmp_path / "run", *SHORT)
    assert ran.status == 1 and "mammonode: " in ran.err and "Traceback" not in ran.err


@pytest.mark.parametrize("wrong", [("--steps", 0), ("--batch", 1), ("--precision", "float64"), ("--workers", -1)])
def test_a_wrong_option_is_a_usage_error(run: Run, manifest: Path, tmp_path: Path, wrong: tuple[object, ...]) -> None:
    assert run("train", "us-malignancy", "--data", manifest, "--out", tmp_path / "run", *wrong).status == 2
    assert not (tmp_path / "run").exists()


def test_what_is_missing_for_research_is_named(run: Run, manifest: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None if name == "sklearn" else name)
    ran = run("train", "us-her2", "--data", manifest, "--out", manifest.parent / "run")
    assert ran.status == 2 and "needs sklearn; make research" in ran.err


def test_options_become_the_plan() -> None:
    plan = segmentation_plan(steps=30, batch=3, seed=4, device="cpu", precision="auto", workers=0)
    assert (plan.steps, plan.batch, plan.seed, plan.workers) == (30, 3, 4, 0)
    assert (plan.device, plan.precision) == ("cpu", "bfloat16")
    assert plan.warm_up_steps == 30
    assert roi_plan(steps=300, batch=64, seed=1, device="cpu", precision="bfloat16", workers=1) == us_rois.PLAN
