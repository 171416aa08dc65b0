"""From tumours to the bundle of a model of regions: trained, run on whom it has not seen, and measured there."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from models.errors import TrainingRefused
from models.evaluation.contract import NotDefined
from models.evaluation.roc import Roc, roc
from models.metadata import bundle_metadata, folder_name, own_metadata
from models.regions.contract import RegionTask
from models.regions.outcomes import OUTCOMES
from models.registry import load_region_classifier
from models.training.fold_bundles import FOLDS_DIR, note_measured, weights_dir_of
from models.training.region_parts import RegionParts, class_number, counted
from models.training.tumours import Tumour
from pipelines.datasets.tables import write_table
from pipelines.training import Progress

PREDICTIONS: Final = "predictions.csv"
ABOUT: Final = ("patient", "lesion", "outcome", "split", "fold")
"""Columns of a file of predictions before those of probabilities; see docs/PREDICTIONS.md."""

OF_FOLDS: Final = "These weights were trained on all folds and were not measured themselves."

DIGITS: Final = 4
"""Of a figure on a card."""

Fit = Callable[[RegionParts, int | None, str, Mapping[str, Any]], Path | None]
"""Given the parts, the fold that is left out, what the tumours are in words, and the metadata without what training
adds: trains and writes the bundle, and returns its folder; None when it was stopped early."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Predictions:
    """What a model said of tumours that it did not learn from.

    Attributes
    ----------
    tumours : tuple of Tumour
    probabilities : numpy.ndarray
        Shape ``(tumours, classes)``.
    refused : int
        Tumours that it would say nothing of, because a region is too small.
    """

    tumours: tuple[Tumour, ...]
    probabilities: NDArray[np.float64]
    refused: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainedModel:
    """One model that was trained.

    Attributes
    ----------
    bundle : pathlib.Path
        Folder of weights, metadata, card and, unless nobody was held out, `PREDICTIONS`.
    parts : RegionParts
    predictions : Predictions
        Of the tumours that were held out; may be empty.
    measured : mapping
        The card's member ``measured``.
    """

    bundle: Path
    parts: RegionParts
    predictions: Predictions
    measured: Mapping[str, Any]


def task_of(model: str, outcome: str | None) -> RegionTask:
    """What a model is to tell apart: its own outcome, or another one with as many classes.

    Raises
    ------
    TrainingRefused
        There is no such outcome, or it has another number of classes.
    """
    task = own_metadata(model).region_task
    if outcome is None or outcome == task.outcome:
        return task
    fitting = [name for name, classes in OUTCOMES.items() if len(classes) == len(task.classes)]
    if outcome not in fitting:
        raise TrainingRefused(f"{model} tells {len(task.classes)} classes apart: one of {', '.join(fitting)}")
    return replace(task, outcome=outcome, classes=OUTCOMES[outcome])


def described(model: str, task: RegionTask) -> dict[str, Any]:
    """The metadata of a bundle of `model` for `task`, all but what training adds; it says so when it is not its own."""
    metadata, own = bundle_metadata(model), own_metadata(model).region_task
    if task.outcome == own.outcome:
        return metadata
    metadata["region"] = {**metadata["region"], "outcome": task.outcome, "classes": list(task.classes)}
    network = metadata["description"].partition(":")[0]
    metadata["description"] = (
        f"{network}, trained for another outcome than the model's own ({own.outcome}): "
        f"{task.outcome}, {' | '.join(task.classes)}"
    )
    probabilities = metadata.get("network_data_format", {}).get("outputs", {}).get("probabilities")
    if probabilities is not None:
        probabilities["channel_def"] = {str(number): name for number, name in enumerate(task.classes)}
    return metadata


def train_model(
    parts: RegionParts,
    out: Path,
    *,
    model: str,
    task: RegionTask,
    fold: int | None,
    data: str,
    device: str,
    fit: Fit,
    progress: Progress[Tumour],
    measured: Mapping[str, Any] | None = None,
) -> TrainedModel | None:
    """Train one model, let its bundle predict who was held out, and write down what came of it.

    Parameters
    ----------
    parts : RegionParts
        Of one fold, or of all.
    out : pathlib.Path
        Bundles are where `models.training.fold_bundles` has them.
    fold : int or None
        That is left out.
    data : str
        What the manifest is called.
    device : str
        That the bundle predicts on.
    fit : callable
        Trains it.
    measured : mapping or None
        Figures of its folds: said besides those of who was held out, or instead.

    Returns
    -------
    TrainedModel or None
        None when `fit` was stopped early.

    Raises
    ------
    TrainingRefused
        `fit` cannot begin or go on.
    """
    bundle = fit(parts, fold, note_of(parts, task, data), described(model, task))
    if bundle is None:
        return None
    predictions = predict(parts.held_out, weights_dir_of(out, fold), model, device, progress)
    if predictions.tumours:
        write_predictions(bundle / PREDICTIONS, [predictions], model, task)
        figures = measured_on(predictions, task, f"{data}, {parts.held_out_are}")
        figures["figures"] += (measured or {}).get("figures", [])
    else:
        figures = dict(measured or {"note": "nobody was held out, so nothing was measured", "figures": []})
    note_measured(bundle, figures, chosen_by_figures=parts.chosen_by_held_out)
    return TrainedModel(bundle=bundle, parts=parts, predictions=predictions, measured=figures)


def note_of(parts: RegionParts, task: RegionTask, data: str) -> str:
    """Say in words and numbers what a model learned from, without anything of a patient."""
    words = [f"{data}, {task.outcome}: {counted(parts.train, task)}"]
    if parts.choose:
        words.append(f"the checkpoint chosen by {counted(parts.choose, task)}")
    words += [f"{count} left out: {reason}" for reason, count in parts.left_out.items()]
    return "; ".join(words)


def predict(
    tumours: Sequence[Tumour], weights_dir: Path, model: str, device: str, progress: Progress[Tumour]
) -> Predictions:
    """Run the bundle of a model on tumours, as the node would."""
    if not tumours:
        return Predictions(tumours=(), probabilities=np.zeros((0, 0)))
    classifier = load_region_classifier(model, device, weights_dir)
    kept, probabilities = [], []
    for tumour in progress(tumours, len(tumours), "predicting"):
        try:
            probabilities.append(classifier.predict(tumour.views).probabilities)
        except ValueError:  # too small to say anything of: views and pixels were checked before
            continue
        kept.append(tumour)
    return Predictions(
        tumours=tuple(kept),
        probabilities=np.array(probabilities, dtype=np.float64),
        refused=len(tumours) - len(kept),
    )


def write_predictions(path: Path, predictions: Sequence[Predictions], model: str, task: RegionTask) -> None:
    """Write what ``mammonode evaluate --predictions`` reads: a row a tumour, a column for the probability.

    The column bears the model's name and holds the probability of the second of two classes; of more classes there is
    one for each, ``NAME:CLASS``.
    """
    columns = probability_columns(model, task)
    rows = [
        about(tumour, task) | dict(zip(columns, map(repr, found[-len(columns) :]), strict=True))
        for one in predictions
        for tumour, found in zip(one.tumours, one.probabilities.tolist(), strict=True)
    ]
    write_table(path, (*ABOUT, *columns), rows)


def probability_columns(model: str, task: RegionTask) -> tuple[str, ...]:
    """What the columns are called that hold a model's probabilities: of two classes the second's only."""
    return (model,) if len(task.classes) == 2 else tuple(f"{model}:{name}" for name in task.classes)


def about(tumour: Tumour, task: RegionTask) -> dict[str, str]:
    """Return the cells of `ABOUT`."""
    values = (
        tumour.patient,
        tumour.name.removeprefix(f"{tumour.patient}/"),
        tumour.outcomes[task.outcome],
        tumour.split or "",
        "" if tumour.fold is None else str(tumour.fold),
    )
    return dict(zip(ABOUT, values, strict=True))


def measured_on(predictions: Predictions, task: RegionTask, on: str) -> dict[str, Any]:
    """Give what a card says: the AUC with its interval by DeLong, of more than two classes that of each and their mean.

    Parameters
    ----------
    on : str
        On what, in words.
    """
    where = f"{on}: {counted(predictions.tumours, task)}"
    refused = f"; {predictions.refused} more have a region too small for the model" if predictions.refused else ""
    wanted = np.array([class_number(tumour, task) for tumour in predictions.tumours])
    missing = [name for number, name in enumerate(task.classes) if not (wanted == number).any()]
    if missing:
        return {"note": f"{where}{refused}; no AUC, for none is {' or '.join(missing)}", "figures": []}
    patients = [tumour.patient for tumour in predictions.tumours]
    names = {1: "AUC"} if len(task.classes) == 2 else {n: f"AUC, {c} | others" for n, c in enumerate(task.classes)}
    figures, areas = [], []
    for number, name in names.items():
        found = roc(
            (wanted == number).tolist(),
            predictions.probabilities[:, number].tolist(),
            patients=patients,
            others="others",
        )
        assert isinstance(found, Roc)  # both classes are there
        figures.append({"name": name, "value": round(found.auc, DIGITS), "on": where, **_interval(found)})
        areas.append(found.auc)
    if len(areas) > 1:
        figures.append({"name": "AUC, mean of these", "value": round(float(np.mean(areas)), DIGITS), "on": where})
    return {"note": f"{where}{refused}", "figures": figures}


def measured_by_folds(folds: Sequence[Predictions], task: RegionTask, data: str) -> dict[str, Any]:
    """`measured_on` for the folds of a cross-validation together, each predicted by the model that has not seen it."""
    together = Predictions(
        tumours=tuple(tumour for one in folds for tumour in one.tumours),
        probabilities=np.array([row for one in folds for row in one.probabilities]),
        refused=sum(one.refused for one in folds),
    )
    found = measured_on(together, task, f"{data}, {len(folds)} folds, each by a model that has not seen it")
    return {
        **found,
        "note": f"{found['note']}. {OF_FOLDS}",
    }


def predictions_of_folds(out: Path, model: str) -> Path:
    """Where the predictions of all folds of a cross-validation are, each by the model that has not seen it."""
    return out / FOLDS_DIR / f"{folder_name(model)}-{PREDICTIONS}"


def _interval(found: Roc) -> dict[str, Any]:
    if isinstance(found.interval, NotDefined):
        return {}
    lower, upper = round(found.interval.lower, DIGITS), round(found.interval.upper, DIGITS)
    return {"interval": {"lower": lower, "upper": upper, "method": found.interval.method}}
