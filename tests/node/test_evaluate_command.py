"""``mammonode evaluate`` as a person uses it: what is printed, what is written, which exit status."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from models import registry
from pipelines.datasets.manifest import write_manifest
from tests.commands import Run, runner
from tests.datasets.builders import entry, lesion, write_png
from tests.models.builders import install_random_weights
from tests.training.small_networks import make_networks_small, one_thread


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Iterator[Run]:
    """Run a command in this process, with small networks and nothing resident."""
    make_networks_small(monkeypatch)
    monkeypatch.setattr(registry, "_resident", {})

    with one_thread():
        yield runner(monkeypatch, capsys, "evaluate")


@pytest.fixture
def weights(run: Run, tmp_path: Path) -> Path:
    """A weights_dir; its network is as small as those that `run` builds."""
    install_random_weights(tmp_path / "weights", "FPNNet")
    return tmp_path / "weights"


@pytest.fixture
def manifest(tmp_path: Path) -> Path:
    """Test images of four patients: a lesion in both views of one breast, and normals, two of which are one file."""
    entries = []
    for number, view in enumerate(("CC", "MLO")):
        path = write_png(tmp_path / f"lesion-{view}.png", tissue(number))
        box = lesion(60, 60, 90, 90)
        entries.append(
            entry(path, patient="p1", split="test", laterality="L", view=view, lesions=(box,), spacing_mm=0.1)
        )
    for number, seed in enumerate((5, 6, 6)):
        path = write_png(tmp_path / f"normal-{number}.png", tissue(seed))
        of = {"patient": f"p{2 + number}", "split": "test", "laterality": "R", "view": "CC"}
        entries.append(entry(path, **of, plantable=True, spacing_mm=0.1))
    write_manifest(tmp_path / "manifest.csv", entries)
    return tmp_path / "manifest.csv"


def tissue(seed: int) -> np.ndarray:
    pixels = np.clip(np.random.default_rng(seed).normal(100, 3, size=(160, 140)), 1, 255).astype(np.uint16)
    pixels[:, :16] = 0
    return pixels


def report(out: Path) -> dict:
    content: dict = json.loads((out / "report.json").read_text())
    return content


def test_help_names_every_option(run: Run) -> None:
    asked = run("fpnnet", "--help")
    assert asked.status == 0
    for option in ("--data", "--out", "--split", "--planted", "--hit-rule", "--weights", "--second-opinion"):
        assert option in asked.out


def test_a_report_is_written_and_its_main_figures_are_printed(
    run: Run, weights: Path, manifest: Path, tmp_path: Path
) -> None:
    out = tmp_path / "report"
    ran = run("fpnnet", "--data", manifest, "--out", out, "--weights", weights, "--device", "cpu")
    assert ran.status == 0, ran.err
    assert (out / "report.html").read_text().startswith("<!")
    content = report(out)
    assert "manifest.csv, split test, 5 images, as labelled" in json.dumps(content)
    assert "FPNNet" in json.dumps(content)
    assert "5 images" in ran.out and "2 lesions; false positives on 3 normal images" in ran.out
    assert f"report: {out / 'report.html'}" in ran.out
    assert str(tmp_path) not in (out / "report.html").read_text() + json.dumps(content)


def test_planted_lesions_are_evaluated_beside_the_normals(
    run: Run, weights: Path, manifest: Path, tmp_path: Path
) -> None:
    out = tmp_path / "report"
    options = ("--weights", weights, "--device", "cpu", "--planted", "--seed", 3)
    ran = run("fpnnet", "--data", manifest, "--out", out, *options)
    assert ran.status == 0, ran.err
    assert "9 images" in ran.out and "false positives on 6 normal images" in ran.out
    note = "split test, 3 images, each normal image as it is, with distractors, and with simulated calcifications among"
    assert note in json.dumps(report(out))


@pytest.mark.parametrize("rule", ["centre", "radius"])
def test_the_hit_rule_is_said(run: Run, weights: Path, manifest: Path, tmp_path: Path, rule: str) -> None:
    options = ("--weights", weights, "--device", "cpu", "--hit-rule", rule)
    ran = run("fpnnet", "--data", manifest, "--out", tmp_path / "report", *options)
    assert ran.status == 0, ran.err
    assert "centre" in ran.out.splitlines()[0]


def test_a_missing_manifest_is_one_message(run: Run, tmp_path: Path) -> None:
    ran = run("fpnnet", "--data", tmp_path / "none.csv", "--out", tmp_path / "report")
    assert ran.status == 1
    assert "mammonode: " in ran.err and "Traceback" not in ran.err


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--split", "val"), "no image is in split val"),
        (("--split", "val", "--planted"), "no image that lesions may be planted in (plantable) is in split val"),
    ],
)
def test_a_split_without_images_is_named(
    run: Run, manifest: Path, tmp_path: Path, options: tuple[str, ...], message: str
) -> None:
    ran = run("fpnnet", "--data", manifest, "--out", tmp_path / "report", "--device", "cpu", *options)
    assert ran.status == 1
    assert message in ran.err
    assert not (tmp_path / "report").exists()


def test_an_empty_manifest_is_no_split_none(run: Run, tmp_path: Path) -> None:
    path = write_png(tmp_path / "one.png", tissue(0))
    write_manifest(tmp_path / "manifest.csv", [entry(path, split=None)])
    options = ("--data", tmp_path / "manifest.csv", "--out", tmp_path / "report", "--split", "all", "--planted")
    ran = run("fpnnet", *options)
    assert ran.status == 1
    assert "is in all splits" in ran.err and "None" not in ran.err


def test_without_weights_it_says_what_to_do(run: Run, manifest: Path, tmp_path: Path) -> None:
    (tmp_path / "weights" / "fpnnet").mkdir(parents=True)
    options = ("--weights", tmp_path / "weights", "--device", "cpu")
    ran = run("fpnnet", "--data", manifest, "--out", tmp_path / "report", *options)
    assert ran.status == 1
    assert "FPNNet: no weights installed" in ran.err
    assert "mammonode train fpnnet" in ran.err and "--weights" in ran.err


def test_a_second_opinion_without_weights_says_what_to_do(
    run: Run, weights: Path, manifest: Path, tmp_path: Path
) -> None:
    (weights / "sppnet").mkdir()
    options = ("--weights", weights, "--device", "cpu", "--second-opinion")
    ran = run("fpnnet", "--data", manifest, "--out", tmp_path / "report", *options)
    assert ran.status == 1
    assert "SPPNet: no weights installed" in ran.err and "leave --second-opinion out" in ran.err


def test_weights_that_were_changed_are_refused(run: Run, weights: Path, manifest: Path, tmp_path: Path) -> None:
    with (weights / "fpnnet" / "model.safetensors").open("ab") as file:
        file.write(b"x")
    options = ("--weights", weights, "--device", "cpu")
    ran = run("fpnnet", "--data", manifest, "--out", tmp_path / "report", *options)
    assert ran.status == 1
    assert "SHA-256" in ran.err and "Traceback" not in ran.err


@pytest.mark.parametrize("wrong", [("--split", "other"), ("--hit-rule", "near"), ("--phantoms", -1)])
def test_a_wrong_option_is_a_usage_error(run: Run, manifest: Path, tmp_path: Path, wrong: tuple[object, ...]) -> None:
    assert run("fpnnet", "--data", manifest, "--out", tmp_path / "report", *wrong).status == 2


def test_what_cannot_be_is_said_before_any_work(run: Run, weights: Path, manifest: Path, tmp_path: Path) -> None:
    common = ("fpnnet", "--data", manifest, "--out", tmp_path / "out", "--weights", weights)
    for options, said in (
        (("--phantoms", 3), "give --planted as well"),
        (("--device", "gpu"), "--device gpu: no such device"),
        (("--device", "cuda:99"), "no such GPU"),
    ):
        ran = run(*common, *options)
        assert ran.status == 1 and said in ran.err and "Traceback" not in ran.err
    assert not (tmp_path / "out").exists()
    (tmp_path / "file").touch()
    ran = run("fpnnet", "--data", manifest, "--out", tmp_path / "file" / "out", "--weights", weights, "--device", "cpu")
    assert ran.status == 1 and "cannot be made" in ran.err
