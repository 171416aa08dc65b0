"""Trained models of regions run on the same tumours: the table that `pipelines.prediction_evaluation` evaluates."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from models.errors import TrainingRefused
from models.metadata import folder_name
from models.regions.contract import RegionTask
from models.registry import load_region_classifier
from models.training.fold_bundles import FOLDS_DIR, weights_dir_of
from models.training.tumours import Tumour
from pipelines.datasets.tables import write_table
from pipelines.datasets.tumour_rows import CLINICAL_PREFIX
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
        By model: tumours that lack a view, or whose region is too small.
    """

    table: Path
    task: RegionTask
    left_out: dict[str, int]


def run_models(
    tumours: Sequence[Tumour],
    models: Sequence[str],
    weights_dir: Path,
    out: Path,
    *,
    split: ChosenSplit,
    by_folds: bool,
    device: str,
    progress: Progress[Tumour],
) -> Run:
    """Run every model on every tumour of a split whose outcome is known, and write what they say.

    Parameters
    ----------
    weights_dir : pathlib.Path
        As ``mammonode train`` leaves it.
    out : pathlib.Path
        Folder of the table; made when it is not there.
    split : {"train", "val", "test", "all"}
    by_folds : bool
        Each tumour by the model that has not seen its fold (``DIR/folds/K/NAME``); those of the test split by the
        model of all folds.

    Raises
    ------
    TrainingRefused
        The models predict different outcomes, or no tumour is left.
    WeightsMissing, WeightsMismatch
        A model is not there.
    """
    tasks = {model: _task(model, weights_dir, device, by_folds=by_folds) for model in models}
    task = tasks[models[0]]
    other = [model for model, one in tasks.items() if (one.outcome, one.classes) != (task.outcome, task.classes)]
    if other:
        raise TrainingRefused(f"{', '.join(other)}: not of the outcome of {models[0]}, which is {task.outcome}")
    chosen = [tumour for tumour in tumours if task.outcome in tumour.outcomes and split in ("all", tumour.split)]
    if not chosen:
        raise TrainingRefused(f"no tumour of the split {split} has a known {task.outcome}")
    cells: dict[str, dict[str, str]] = {tumour.name: {} for tumour in chosen}
    left_out = {}
    for model, own in tasks.items():
        fitting = [tumour for tumour in chosen if not own.missing(tumour.views)]
        columns = probability_columns(model, own)
        said = 0
        for fold, group in _groups(fitting, by_folds=by_folds):
            found = predict(group, weights_dir_of(weights_dir, fold), model, device, progress)
            for tumour, probabilities in zip(found.tumours, found.probabilities.tolist(), strict=True):
                cells[tumour.name] |= dict(zip(columns, map(repr, probabilities[-len(columns) :]), strict=True))
            said += len(found.tumours)
        left_out[model] = len(chosen) - said
    return Run(table=_written(out, chosen, cells, tasks, task), task=task, left_out=left_out)


def _task(model: str, weights_dir: Path, device: str, *, by_folds: bool) -> RegionTask:
    """What the trained model predicts, by its own metadata; of a cross-validation any fold tells."""
    places = sorted((weights_dir / FOLDS_DIR).glob(f"*/{folder_name(model)}")) if by_folds else []
    return load_region_classifier(model, device, places[0].parent if places else weights_dir).task


def _groups(tumours: Sequence[Tumour], *, by_folds: bool) -> list[tuple[int | None, list[Tumour]]]:
    """Tumours by the fold whose model is to predict them."""
    of = {tumour.name: tumour.fold if by_folds and tumour.split != "test" else None for tumour in tumours}
    folds: Iterable[int | None] = dict.fromkeys(of.values())
    return [(fold, [tumour for tumour in tumours if of[tumour.name] == fold]) for fold in folds]


def _written(
    out: Path,
    tumours: Sequence[Tumour],
    cells: dict[str, dict[str, str]],
    tasks: dict[str, RegionTask],
    task: RegionTask,
) -> Path:
    out.mkdir(parents=True, exist_ok=True)
    names = sorted({name for tumour in tumours for name in tumour.clinical})
    covariates = {name: name if name == "age" else CLINICAL_PREFIX + name for name in names}
    columns = (
        *ABOUT,
        *covariates.values(),
        *(c for model, own in tasks.items() for c in probability_columns(model, own)),
    )
    rows = [
        about(tumour, task)
        | {covariates[name]: str(value) for name, value in tumour.clinical.items()}
        | cells[tumour.name]
        for tumour in tumours
    ]
    write_table(out / PREDICTIONS, columns, rows)
    return out / PREDICTIONS
