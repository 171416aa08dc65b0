"""``mammonode evaluate tumours``: who is asked about whom, what is written, and what is refused."""

from __future__ import annotations

import csv
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import torch

from models.metadata import bundle_metadata, own_metadata
from models.regions.contract import Lesion, RegionOutput, RegionTask
from models.training.fold_bundles import weights_dir_of
from models.weights import write_weights
from pipelines import region_training
from pipelines.datasets.simulated_tumours import Cohort, simulate
from pipelines.datasets.tumour_manifest import TumourEntry, write_tumours
from tests.commands import Run, runner

CC, MLO, OTHER = "ip-se-dresnet-c", "ip-se-dresnet-m", "densenet121-cbam-tn"
SAYS = {None: 0.9, 1: 0.1, 2: 0.2}
"""What the model of all folds says, and those without fold 1 or 2; a little more of brighter pictures."""


@dataclass
class Told:
    """In place of a network: it tells which one it is."""

    weights_dir: Path
    task: RegionTask

    def predict(self, lesion: Lesion) -> RegionOutput:
        [mean] = [float(lesion[view].pixels.mean()) for view in self.task.views]
        fold = int(self.weights_dir.name) if self.weights_dir.parent.name == "folds" else None
        probability = SAYS[fold] + 0.05 * mean
        return RegionOutput(probabilities=(1.0 - probability, probability))


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    def load(model: str, device: str, weights_dir: Path) -> Told:
        return Told(weights_dir=weights_dir, task=own_metadata(model).region_task)

    monkeypatch.setattr(region_training, "load_region_classifier", load)
    return runner(monkeypatch, capsys, "evaluate", "tumours")


@pytest.fixture(scope="module")
def entries(tmp_path_factory: pytest.TempPathFactory) -> tuple[TumourEntry, ...]:
    """Nine patients: six of a cross-validation, a newcomer, and two of the split test; the manifest names no fold."""
    cohort = Cohort(patients=9, distances={"CC": 3.0, "MLO": 3.0})
    found = simulate(cohort, tmp_path_factory.mktemp("cohort"), lambda items, count, doing: items)
    ordered = sorted(found, key=lambda one: one.outcomes["er"])
    kept = [*ordered[1:-1], ordered[0], ordered[-1]]  # one of each class in the split test
    return tuple(replace(one, split="test" if place > 6 else None) for place, one in enumerate(kept))


@pytest.fixture
def weights(entries: tuple[TumourEntry, ...], tmp_path: Path) -> Path:
    """What ``mammonode train --folds 2`` leaves: bundles, and in each of a fold whom it was measured on."""
    folder = tmp_path / "run"
    for model in (CC, MLO):
        for fold in (None, 1, 2):
            bundle = weights_dir_of(folder, fold) / model
            write_weights({"a": torch.ones(1)}, bundle, bundle_metadata(model))
            rows = [f"{one.patient},1,positive,,{fold},0.5\n" for one in entries[:6][(fold or 1) - 1 :: 2]]
            if fold is not None:
                lines = [f"patient,lesion,outcome,split,fold,{model}\n", *rows]
                (bundle / "predictions.csv").write_text("".join(lines), encoding="utf-8")
    write_weights({"a": torch.ones(1)}, folder / OTHER, bundle_metadata(OTHER))
    return folder


def table(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_by_folds_nobody_is_predicted_by_a_model_that_has_seen_him(
    run: Run, entries: tuple[TumourEntry, ...], weights: Path, tmp_path: Path
) -> None:
    manifest, out = tmp_path / "tumours.csv", tmp_path / "report"
    one_view = replace(entries[0], views={"CC": entries[0].views["CC"]}, clinical={"age": 61.0, "menopause": "post"})
    write_tumours(manifest, [one_view, *entries[1:]])
    ran = run(CC, MLO, "--data", manifest, "--weights", weights, "--out", out, "--by-folds", "--device", "cpu")
    assert ran.status == 0, ran.err
    rows = table(out / "predictions.csv")
    assert [row["patient"] for row in rows] == [one.patient for one in entries]
    asked = [1, 2, 1, 2, 1, 2, "nobody", None, None]
    for row, fold in zip(rows, asked, strict=True):
        if fold == "nobody":  # in no fold, and not of the split test: the model of all folds may have seen him
            assert row[CC] == row[MLO] == ""
        else:
            assert float(row[CC]) == pytest.approx(SAYS[fold], abs=0.06)
    assert [row["fold"] for row in rows] == ["1", "2", "1", "2", "1", "2", "", "", ""]
    assert (rows[0][MLO], rows[0]["age"], rows[0]["clinical:menopause"]) == ("", "61", "post")
    assert f"{CC} says nothing of 1 tumours" in ran.out and f"{MLO} says nothing of 2 tumours" in ran.out
    assert "no evidence" not in ran.out and (out / "report.html").is_file() and f"{MLO}: AUC" in ran.out


def test_without_folds_the_split_test_alone_is_read_and_other_splits_are_told_to_be_no_evidence(
    run: Run, entries: tuple[TumourEntry, ...], weights: Path, tmp_path: Path
) -> None:
    manifest, out = tmp_path / "tumours.csv", tmp_path / "report"
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"no picture")
    first = replace(entries[0], split="val", views={"CC": replace(entries[0].views["CC"], path=broken)})
    write_tumours(manifest, [first, *entries[1:]])
    given = (CC, "--data", manifest, "--weights", weights, "--out", out, "--device", "cpu")
    ran = run(*given)
    assert ran.status == 0, ran.err
    assert {row["patient"] for row in table(out / "predictions.csv")} == {one.patient for one in entries[7:]}
    assert "no evidence" not in ran.out
    write_tumours(manifest, [replace(entries[0], split="val"), *entries[1:]])
    assert "may have learned from these tumours: no evidence" in run(*given, "--split", "all").out


def test_what_cannot_be_compared_is_refused_with_a_reason(
    run: Run, entries: tuple[TumourEntry, ...], weights: Path, tmp_path: Path
) -> None:
    manifest = tmp_path / "tumours.csv"
    write_tumours(manifest, entries)
    given = ("--data", manifest, "--weights", weights, "--out", tmp_path / "report")
    for models, more, said in (
        ((CC, OTHER), (), f"{OTHER}: not of the outcome of {CC}, which is er"),
        ((OTHER,), ("--by-folds",), f"{OTHER}: no folds in"),
        (("densenet121-cbam-her2",), (), "no weights installed"),
        ((CC,), ("--split", "val"), "no tumour of the split val has a known er: choose others by --split"),
    ):
        ended = run(*models, *given, *more)
        assert ended.status == 2 and said in ended.err and "Traceback" not in ended.err, ended
    assert run("FPNNet", *given).status == 2
