"""Trained models of regions run on the same tumours: the table that `pipelines.prediction_evaluation` evaluates."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, Literal

from models.errors import TrainingRefused
from models.metadata import folder_name
from models.regions.contract import RegionTask
from models.training.fold_bundles import FOLDS_DIR, weights_dir_of
from models.training.tumours import Tumour
from models.weights import find_weights
from pipelines.datasets.cells import covariate_cell
from pipelines.datasets.open_tables import read_open_table
from pipelines.datasets.tables import write_table
from pipelines.datasets.tumour_rows import covariate_column, covariate_columns
from pipelines.datasets.tumours import TumourEntry, load_tumours
from pipelines.region_training import ABOUT, PREDICTIONS, about, predict, probability_columns
from pipelines.training import Progress

ChosenSplit = Literal["train", "val", "test", "all"]
SEEN: Final = "by models that may have learned from these tumours: no evidence of what they are worth"


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """Several models on the same tumours.

    Attributes
    ----------
    table : pathlib.Path
        A row a tumour, as docs/PREDICTIONS.md has it; a tumour that a model says nothing of has an empty cell there.
    task : RegionTask
        Of the first model; all predict its outcome.
    left_out : mapping of str to int
        By model: tumours that lack a view, whose region is too small, or of whose patient no fold is known.
    """

    table: Path
    task: RegionTask
    left_out: dict[str, int]


def run_models(
    entries: Sequence[TumourEntry],
    models: Sequence[str],
    weights_dir: Path,
    out: Path,
    *,
    split: ChosenSplit,
    by_folds: bool,
    device: str,
    reading: Progress[Path],
    predicting: Progress[Tumour],
) -> Run:
    """Run every model on every tumour of a split whose outcome is known, and write what they say.

    Parameters
    ----------
    entries : sequence of TumourEntry
        Of a manifest; only the images of the tumours that are asked for are read.
    weights_dir : pathlib.Path
        As ``mammonode train`` leaves it.
    out : pathlib.Path
        Folder of the table; made when it is not there.
    split : {"train", "val", "test", "all"}
    by_folds : bool
        Each tumour by the model that was measured on its patient, so has not seen it (``DIR/folds/K/NAME``); those of
        the test split by the model of all folds.

    Raises
    ------
    TrainingRefused
        The models predict different outcomes or were not trained by folds, or no tumour is left.
    WeightsMissing, WeightsMismatch
        A model is not there.
    UnusableImage
        An image or a mark cannot be used.
    """
    folds = {model: _folds_of(weights_dir, model) if by_folds else {} for model in models}
    tasks = {model: _task(model, weights_dir, folds[model]) for model in models}
    task = tasks[models[0]]
    other = [model for model, one in tasks.items() if (one.outcome, one.classes) != (task.outcome, task.classes)]
    if other:
        raise TrainingRefused(f"{', '.join(other)}: not of the outcome of {models[0]}, which is {task.outcome}")
    wanted = [entry for entry in entries if task.outcome in entry.outcomes and split in ("all", entry.split)]
    if not wanted:
        raise TrainingRefused(f"no tumour of the split {split} has a known {task.outcome}: choose others by --split")
    chosen = load_tumours(wanted, reading)
    if by_folds:
        chosen = tuple(replace(tumour, fold=_fold(tumour, folds[models[0]])) for tumour in chosen)
    cells: dict[str, dict[str, str]] = {tumour.name: {} for tumour in chosen}
    left_out = {}
    for model, own in tasks.items():
        columns = probability_columns(model, own)
        said = 0
        for fold, group in _groups([one for one in chosen if not own.missing(one.views)], folds[model], by_folds):
            found = predict(group, weights_dir_of(weights_dir, fold), model, device, predicting)
            for tumour, probabilities in zip(found.tumours, found.probabilities.tolist(), strict=True):
                cells[tumour.name] |= dict(zip(columns, map(repr, probabilities[-len(columns) :]), strict=True))
            said += len(found.tumours)
        left_out[model] = len(chosen) - said
    return Run(table=_written(out, chosen, cells, tasks, task), task=task, left_out=left_out)


def _folds_of(weights_dir: Path, model: str) -> dict[str, int]:
    """By patient, the fold whose model was measured on it: by what training wrote, whatever the manifest says now."""
    found: dict[str, int] = {}
    for path in sorted((weights_dir / FOLDS_DIR).glob(f"*/{folder_name(model)}/{PREDICTIONS}")):
        table = read_open_table(path, required=ABOUT, origin="predictions of a fold")
        found |= {cells["patient"]: int(cells["fold"]) for _, cells in table.lines}
    if not found:
        raise TrainingRefused(f"{model}: no folds in {weights_dir}: train it with --folds, or go without --by-folds")
    return found


def _task(model: str, weights_dir: Path, folds: Mapping[str, int]) -> RegionTask:
    """What the trained model predicts, by its own metadata; of a cross-validation any fold tells."""
    place = find_weights(model, weights_dir_of(weights_dir, next(iter(folds.values()), None)))
    return place.metadata.region_task


def _fold(tumour: Tumour, folds: Mapping[str, int]) -> int | None:
    return None if tumour.split == "test" else folds.get(tumour.patient)


def _groups(
    tumours: Sequence[Tumour], folds: Mapping[str, int], by_folds: bool
) -> Iterator[tuple[int | None, list[Tumour]]]:
    """Tumours by the fold whose model is to predict them; without those that each model may have seen."""
    fair = [one for one in tumours if not by_folds or one.split == "test" or one.patient in folds]
    for fold in dict.fromkeys(_fold(one, folds) for one in fair):
        yield fold, [one for one in fair if _fold(one, folds) == fold]


def _written(
    out: Path,
    tumours: Sequence[Tumour],
    cells: dict[str, dict[str, str]],
    tasks: dict[str, RegionTask],
    task: RegionTask,
) -> Path:
    out.mkdir(parents=True, exist_ok=True)
    columns = (
        *ABOUT,
        *covariate_columns(tumour.clinical for tumour in tumours),
        *(c for model, own in tasks.items() for c in probability_columns(model, own)),
    )
    rows = [
        about(tumour, task)
        | {covariate_column(name): covariate_cell(value) for name, value in tumour.clinical.items()}
        | cells[tumour.name]
        for tumour in tumours
    ]
    write_table(out / PREDICTIONS, columns, rows)
    return out / PREDICTIONS
