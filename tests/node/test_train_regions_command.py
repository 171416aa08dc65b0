"""``mammonode train`` of models of regions as a person uses it: what is printed, what is written, how it goes on."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from sklearn.metrics import roc_auc_score
from torch import nn
from torchvision.models.resnet import BasicBlock, Bottleneck

from models import registry
from models.ip_se_dresnet import network as ip_se_dresnet
from models.ip_se_dresnet import region
from models.metadata import FAMILIES
from models.training import region_networks
from models.training.region_networks import RECIPES
from pipelines.datasets.simulated_tumours import Cohort, simulate
from pipelines.datasets.tumour_manifest import TumourEntry, write_tumours
from tests.commands import Run, runner
from tests.training.small_networks import one_thread

MODEL = "ip-se-dresnet-c"
SIDE_PX = 64
SHORT = ("--epochs", 1, "--batch", 5, "--workers", 0, "--device", "cpu", "--precision", "float32")


class Narrow(ip_se_dresnet.SEResNet):
    """A quarter as wide."""

    def __init__(self, block: type[BasicBlock | Bottleneck], channels: int, classes: int = 2) -> None:
        super().__init__(block, channels, classes)
        self.fc = nn.Linear(128 * block.expansion, classes)

    def _make_layer(self, block: Any, planes: int, *args: Any, **kwargs: Any) -> nn.Sequential:
        return super()._make_layer(block, planes // 4, *args, **kwargs)


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Iterator[Run]:
    """Run a command in this process, with narrow networks of a block a stage on small regions."""
    monkeypatch.setattr(registry, "_resident", {})
    monkeypatch.setattr(ip_se_dresnet, "STAGES", (1, 1, 1, 1))
    monkeypatch.setattr(ip_se_dresnet, "SEResNet", Narrow)
    monkeypatch.setattr(region, "INPUT_SHAPE", (SIDE_PX, SIDE_PX))
    monkeypatch.setattr(region_networks, "SIDE_PX", SIDE_PX)
    with one_thread():
        yield runner(monkeypatch, capsys, "train")


@pytest.fixture(scope="module")
def entries(tmp_path_factory: pytest.TempPathFactory) -> tuple[TumourEntry, ...]:
    """Twelve patients, marked in CC alone."""
    cohort = Cohort(patients=12, distances={"CC": 3.0})
    return simulate(cohort, tmp_path_factory.mktemp("cohort"), lambda items, count, doing: items)


@pytest.fixture
def manifest(entries: tuple[TumourEntry, ...], tmp_path: Path) -> Path:
    """Of these patients: no split, no fold."""
    path = tmp_path / "tumours.csv"
    write_tumours(path, [replace(one, split=None) for one in entries])
    return path


def metadata(folder: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((folder / "metadata.json").read_text())
    return content


def table(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_help_names_the_models_and_the_defaults_of_their_papers(run: Run) -> None:
    listed = run("--help").out
    assert all(name in listed for name, family in FAMILIES.items() if family != "sppnet_patches")
    said = " ".join(run("densenet121-cbam-tn", "--help").out.split())
    for option in ("--data", "--out", "--outcome", "--fold", "--folds", "--start", "--minutes", "--precision"):
        assert option in said
    for family, recipe in RECIPES.items():
        name = family.replace("_", "-")
        for value in (recipe.plan.epochs, recipe.plan.batch, f"{recipe.plan.learning_rate:.4f}"):
            assert f"{value} ({name}" in said.replace("ip-se- dresnet", "ip-se-dresnet")
    assert "--epochs" not in run("radiomics-er", "--help").out


def test_without_splits_patients_are_held_out_predicted_and_measured_and_a_stopped_run_goes_on(
    run: Run, manifest: Path, tmp_path: Path
) -> None:
    out = tmp_path / "run"
    command = (MODEL, "--data", manifest, "--out", out, *SHORT, "--outcome", "node")
    stopped = run(*command, "--minutes", 0)
    assert stopped.status == 3 and "goes on from the checkpoint" in stopped.out
    ran = run(*command)
    assert ran.status == 0, ran.err
    bundle = out / MODEL
    assert f"weights and metadata: {bundle}" in ran.out and f"weights_dir = {out}" in ran.out
    rows = table(bundle / "predictions.csv")
    assert list(rows[0]) == ["patient", "lesion", "outcome", "split", "fold", MODEL]
    assert sorted(row["outcome"] for row in rows) == ["negative", "negative", "positive", "positive"]
    said = metadata(bundle)
    assert said["region"] == {"outcome": "node", "classes": ["negative", "positive"], "views": ["CC"]} | {
        "combination": "joint"
    }
    assert "another outcome than the model's own (er): node" in said["description"]
    learned, chose = (f"{n} tumours of {n} patients ({n // 2} negative, {n // 2} positive)" for n in (6, 2))
    assert said["training_data"] == f"tumours.csv, node: {learned}; the checkpoint chosen by {chose}"
    auc = roc_auc_score([row["outcome"] == "positive" for row in rows], [float(row[MODEL]) for row in rows])
    assert said["measured"]["figures"][0]["value"] == pytest.approx(auc, abs=1e-4)
    assert f"AUC: {auc:.3f}" in ran.out and "AUC" in (bundle / "README.md").read_text()
    assert "held out by lot (seed 1)" in registry.describe_model(MODEL, out).measured_on
    assert str(tmp_path) not in json.dumps(said)


def test_each_fold_is_predicted_by_the_network_that_has_not_seen_it(run: Run, manifest: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    ran = run(MODEL, "--data", manifest, "--out", out, *SHORT, "--folds", 2)
    assert ran.status == 0, ran.err
    each = [table(out / "folds" / str(fold) / MODEL / "predictions.csv") for fold in (1, 2)]
    assert [{row["fold"] for row in rows} for rows in each] == [{"1"}, {"2"}]
    together = table(out / "folds" / f"{MODEL}-predictions.csv")
    assert together == [*each[0], *each[1]] and len({row["patient"] for row in together}) == 12
    assert "without fold 2" in metadata(out / "folds" / "2" / MODEL)["training_data"]
    final = metadata(out / MODEL)
    assert "er: 10 tumours of 10 patients" in final["training_data"] and not (out / MODEL / "predictions.csv").exists()
    auc = roc_auc_score([row["outcome"] == "positive" for row in together], [float(row[MODEL]) for row in together])
    assert final["measured"]["figures"][0]["value"] == pytest.approx(auc, abs=1e-4)
    assert "were not measured themselves" in final["measured"]["note"]


def test_what_cannot_be_trained_ends_with_status_2_and_says_what_to_do(
    run: Run, manifest: Path, entries: tuple[TumourEntry, ...], tmp_path: Path
) -> None:
    given = ("--data", manifest, "--out", tmp_path / "run", *SHORT)
    for command, said in (
        ((MODEL, *given, "--outcome", "subtype"), "tells 2 classes apart: one of er, pr"),
        ((MODEL, *given, "--fold", 1, "--folds", 2), "give one of them"),
        ((MODEL, *given, "--fold", 9), "cannot leave out fold 9"),
        ((MODEL, *given, "--start", tmp_path / "none.safetensors"), "none.safetensors cannot be read"),
        (("ip-se-dresnet-m", *given), "to learn from has er negative or positive"),
        ((MODEL, *given[2:], "--data", tmp_path / "none.csv"), "the file cannot be read"),
    ):
        ended = run(*command)
        assert ended.status == 2 and said in ended.err and "Traceback" not in ended.err, ended
    write_tumours(manifest, [replace(entries[0], split="train"), *(replace(one, split="test") for one in entries[1:])])
    assert "to learn from has er" in run(MODEL, *given).err


def test_patches_for_subtypes_are_learned_from_the_same_manifest(
    run: Run, manifest: Path, entries: tuple[TumourEntry, ...], tmp_path: Path
) -> None:
    """Nobody of the split test is counted; the card does not call them calcifications, which nobody said they are."""
    short = ("--steps", 1, "--batch", 2, "--device", "cpu", "--precision", "float32")
    command = ("sppnet-patches", "--task", "er", "--out", tmp_path / "run", *short)
    refused = run(*command, "--data", manifest)
    assert refused.status != 0 and "12 tumours are in no split: mammonode manifest tumours" in refused.err
    split = tmp_path / "split.csv"
    write_tumours(split, entries)
    ran = run(*command, "--data", split)
    assert ran.status == 0, ran.err
    found = metadata(tmp_path / "run" / "sppnet-er")
    learned = {name: sum(one.split == name for one in entries) for name in ("train", "val")}
    for name, count in learned.items():
        assert f"{name}: {count} patches of {count} patients" in found["training_data"]
    assert f"{learned['val']} patches of tumours, calcified or not" in found["measured"]["note"]


def test_without_the_packages_of_research_it_says_how_to_install_them(
    run: Run, manifest: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    ended = run("radiomics-er", "--data", manifest, "--out", tmp_path / "run")
    assert ended.status == 2 and "make research" in ended.err and "skops" in ended.err
