"""Tables of predictions, covariates and features, read for an evaluation; docs/PREDICTIONS.md tells of the columns.

No message repeats a cell: in a table whose columns have slipped, any of them may hold a name.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import numpy as np

from models.evaluation.predictions import TOTAL_TOLERANCE, Covariate, Predictions
from models.evaluation.reliability import ReadFeatures
from models.regions.outcomes import OUTCOMES
from models.training.contract import SPLITS
from pipelines.datasets.cells import Cells
from pipelines.datasets.frame_rows import MAX_AGE, MAX_FOLD
from pipelines.datasets.open_tables import Line, OpenTable, numbers_or_words, read_open_table, repeated
from pipelines.datasets.tables import Problem, refuse
from pipelines.datasets.tumour_rows import CLINICAL_PREFIX

PREDICTIONS, CLINICAL, FEATURES = "predictions", "clinical table", "features"

KNOWN_COLUMNS: Final = ("patient", "lesion", "outcome", "fold", "split", "age")

POSITIVE_NAMES: Final = ("positive", "1")
COMPLEMENT: Final[Mapping[str, str]] = {"0": "1", "1": "0", "negative": "positive", "positive": "negative"}
ORDERS: Final = (*OUTCOMES.values(), ("benign", "malignant"))
"""Classes in an order that is known by their names; of two the second is the positive one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PredictionTable:
    """Predictions, and the key of each case, patient and lesion, by which other tables are joined."""

    predictions: Predictions
    keys: tuple[tuple[str, str], ...]


def read_predictions(path: Path, *, positive: str | None = None) -> PredictionTable:
    """Read predictions.

    Parameters
    ----------
    path : pathlib.Path
        CSV or Parquet.
    positive : str, optional
        Of two classes, the positive one, where its name does not tell.

    Raises
    ------
    ManifestInvalid
        With every problem of every line.
    """
    table = read_open_table(path, required=("patient", "outcome"), origin=PREDICTIONS)
    twice = {"age", f"{CLINICAL_PREFIX}age"} <= set(table.columns)
    columns = [name for name in table.columns if name not in KNOWN_COLUMNS and not name.startswith(CLINICAL_PREFIX)]
    problems = list(_fixed_problems(table))
    problems += [(1, f"columns age and {CLINICAL_PREFIX}age are the same: remove one")] if twice else []
    models, found = _models(columns)
    problems += [(1, text) for text in found]
    classes, truth, found_in_lines = _classes(table, models, positive)
    problems += found_in_lines
    if not found:
        problems += [problem for line in table.lines for problem in _probability_problems(line, models)]
    refuse(problems, origin=PREDICTIONS)
    return PredictionTable(
        predictions=Predictions(
            classes=classes,
            patients=tuple(cells["patient"] for _, cells in table.lines),
            truth=truth,
            scores={name: _scores(table, of_class, classes) for name, of_class in models.items()},
            folds=tuple(cells.get("fold") or None for _, cells in table.lines),
            splits=tuple((cells.get("split") or "").casefold() or None for _, cells in table.lines),
            covariates=_covariates(table),
        ),
        keys=tuple(_key(cells) for _, cells in table.lines),
    )


def with_clinical(table: PredictionTable, path: Path) -> Predictions:
    """Add the covariates of another table: of the lesion where it has a column ``lesion``, else of the patient.

    Raises
    ------
    ManifestInvalid
        With every problem of every line; also when no case is in the table, or a covariate is in both.
    """
    other = read_open_table(path, required=("patient",), origin=CLINICAL)
    by_lesion = "lesion" in other.columns
    keys = [(line, _key(cells)) for line, cells in other.lines]
    problems = list(_clinical_problems(other))
    problems += repeated(keys, "this lesion" if by_lesion else "this patient")
    names = [name for name in other.columns if name not in ("patient", "lesion")]
    values = {
        name.removeprefix(CLINICAL_PREFIX): numbers_or_words([cells[name] for _, cells in other.lines])
        for name in names
    }
    have = table.predictions.covariates
    problems += [(1, f"column {name} is in the predictions, too: remove one") for name in values if name in have]
    places = {key: place for place, (_, key) in enumerate(keys)}
    of_case = [places.get(key if by_lesion else (key[0], "")) for key in table.keys]
    if all(place is None for place in of_case):
        what = "patient and lesion" if by_lesion else "patient"
        problems.append((1, f"no case of the predictions is here: {what} must be written as it is there"))
    refuse(problems, origin=CLINICAL)
    joined = {
        name: tuple(None if place is None else column[place] for place in of_case) for name, column in values.items()
    }
    return replace(table.predictions, covariates={**have, **joined})


def read_features(path: Path) -> ReadFeatures:
    """Read features: a row for each lesion and reader, a column for each feature.

    Raises
    ------
    ManifestInvalid
        With every problem of every line.
    """
    table = read_open_table(path, required=("patient", "reader"), origin=FEATURES)
    names = tuple(name for name in table.columns if name not in ("patient", "lesion", "reader"))
    problems: list[Problem] = [] if names else [(1, "there is no feature: add a column for each")]
    rows: list[list[float]] = []
    for line, cells in table.lines:
        problems += [(line, f"{name} is empty: give it") for name in ("patient", "reader") if not cells[name]]
        read = Cells(cells, path.parent)
        numbers = [read.number(name) for name in names]
        rows.append([math.nan if number is None else number for number in numbers])
        problems += [(line, text) for text in read.problems]
    keys = [(line, (_key(cells), cells["reader"])) for line, cells in table.lines]
    problems += repeated(keys, "this lesion of this reader")
    refuse(problems, origin=FEATURES)
    lesions = {key: place for place, key in enumerate(dict.fromkeys(key for _, (key, _) in keys))}
    readers = {reader: place for place, reader in enumerate(dict.fromkeys(reader for _, (_, reader) in keys))}
    values = np.full((len(lesions), len(readers), len(names)), np.nan)
    for (_, (key, reader)), row in zip(keys, rows, strict=True):
        values[lesions[key], readers[reader]] = row
    return ReadFeatures(names=names, readers=tuple(readers), values=values)


def _key(cells: Mapping[str, str]) -> tuple[str, str]:
    return cells["patient"], cells.get("lesion", "")


def _fixed_problems(table: OpenTable) -> Iterator[Problem]:
    """What is wrong in the columns that every table of predictions may have."""
    first: dict[str, tuple[int, str, str]] = {}
    for line, cells in table.lines:
        fold, split = cells.get("fold", ""), cells.get("split", "").casefold()
        if not cells["patient"]:
            yield line, "patient is empty: give a pseudonym, the same for all cases of a patient"
            continue
        if fold and not (fold.isascii() and fold.isdecimal() and int(fold) <= MAX_FOLD):
            yield line, f"fold: must be a whole number from 0 to {MAX_FOLD}, or empty"
        if split and split not in SPLITS:
            yield line, f"split: must be {', '.join(SPLITS)}, or empty"
        begun, begun_fold, begun_split = first.setdefault(cells["patient"], (line, fold, split))
        if (fold, split) != (begun_fold, begun_split):
            yield line, f"the patient of line {begun} in another fold or split: all cases of a patient go in one"
    yield from _clinical_problems(table)
    with_lesion = [(line, _key(cells)) for line, cells in table.lines if cells.get("lesion")]
    yield from repeated(with_lesion, "this lesion")


def _clinical_problems(table: OpenTable) -> Iterator[Problem]:
    for line, cells in table.lines:
        if not cells["patient"]:
            yield line, "patient is empty: give its pseudonym"
        read = Cells(cells, Path())
        read.number("age", above=0.0, most=MAX_AGE)
        yield from ((line, text) for text in read.problems)


def _models(columns: Sequence[str]) -> tuple[dict[str, dict[str, str]], list[str]]:
    """Columns by model and class; a model with one column has it as that of the positive class, under ""."""
    models: dict[str, dict[str, str]] = defaultdict(dict)
    for column in columns:
        name, _, of_class = column.rpartition(":") if ":" in column else (column, "", "")
        models[name][of_class] = column
    if not models:
        return {}, ["there is no model: add a column of probabilities, or one MODEL:CLASS for each class"]
    every = list(dict.fromkeys(of_class for by_class in models.values() for of_class in by_class if of_class))
    problems = []
    for name, by_class in models.items():
        lacking = [of_class for of_class in every if of_class not in by_class]
        single = list(by_class) == [""] and len(every) <= 2
        if "" in by_class and not single:
            problems.append(f"model {name} has a column without a class: name each column MODEL:CLASS")
        elif lacking and not single:
            problems.append(f"model {name} lacks the classes {', '.join(lacking)}: add a column for each")
    if len(every) == 1:
        problems.append("there are columns of one class only: add those of the others, or leave the class out")
    return dict(models), problems


def _classes(
    table: OpenTable, models: Mapping[str, Mapping[str, str]], positive: str | None
) -> tuple[tuple[str, ...], tuple[int, ...], list[Problem]]:
    """Order the classes, and tell each case's; empty where there are problems."""
    named = list(dict.fromkeys(of_class for by_class in models.values() for of_class in by_class if of_class))
    spelling = {name.casefold(): name for name in named}
    outcomes = [_outcome(cells["outcome"]) for _, cells in table.lines]
    problems = [
        (line, "outcome is empty: give its class, or remove the line")
        for (line, _), outcome in zip(table.lines, outcomes, strict=True)
        if not outcome
    ]
    for (line, _), outcome in zip(table.lines, outcomes, strict=True):
        if named and outcome and outcome.casefold() not in spelling:
            problems.append((line, f"outcome: must be one of {', '.join(named)}, for which there are columns"))
        elif outcome and not named:
            spelling.setdefault(outcome.casefold(), outcome)
    classes = list(spelling.values())
    if len(classes) > 2 and not named:
        reason = f"outcome has {len(classes)} different classes: of more than two, each model has a column for each"
        problems.append((1, f"{reason}, MODEL:CLASS"))
    if problems:
        return (), (), problems
    if len(classes) > 2:
        ordered = next((order for order in ORDERS if set(order) == set(classes)), tuple(classes))
    else:
        found = _of_two(classes, positive)
        if isinstance(found, str):
            return (), (), [(1, found)]
        ordered = found
    place = {name.casefold(): number for number, name in enumerate(ordered)}
    return ordered, tuple(place[outcome.casefold()] for outcome in outcomes), []


def _outcome(text: str) -> str:
    try:
        number = float(text)
    except ValueError:
        return text
    return str(int(number)) if number.is_integer() else text  # 1.0 is how some programs write 1


def _of_two(classes: Sequence[str], positive: str | None) -> tuple[str, ...] | str:
    """Order two classes, or tell why it is not known which is the positive one."""
    found = list(classes)
    if len(found) == 1:  # no figure will be defined, but that is for the report to say
        other = COMPLEMENT.get(found[0].casefold()) or (positive if positive != found[0] else None)
        if other is None:
            return "outcome has one class only: add cases of the other"
        found.append(other)
    if positive is not None:
        chosen = [name for name in found if name.casefold() == positive.casefold()]
        if not chosen:
            return "--positive names no class of the column outcome"
        return *(name for name in found if name not in chosen), *chosen
    for order in ORDERS:
        if [name.casefold() for name in order] in ([*map(str.casefold, found)], [*map(str.casefold, found[::-1])]):
            return tuple(sorted(found, key=lambda name: order.index(name.casefold())))
    known = [name for name in found if name.casefold() in POSITIVE_NAMES]
    if len(known) != 1:
        return "which class is the positive one? Name it by --positive"
    return *(name for name in found if name not in known), *known


def _probability_problems(line: Line, models: Mapping[str, Mapping[str, str]]) -> Iterator[Problem]:
    number, cells = line
    for name, by_class in models.items():
        texts = [cells[column] for column in by_class.values()]
        if not any(texts):
            continue  # a gap: the case is left out of this model's figures
        if not all(texts):
            yield number, f"{name}: probabilities of some classes only: give all, or leave all empty"
            continue
        values = [_probability(text) for text in texts]
        if any(value is None for value in values):
            yield number, f"{name}: must be a probability from 0 to 1, with a decimal point, or empty"
        elif len(values) > 1 and abs(sum(value or 0.0 for value in values) - 1) > TOTAL_TOLERANCE:
            yield number, f"{name}: the probabilities of the classes must add up to 1"


def _probability(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if 0.0 <= value <= 1.0 else None


def _scores(
    table: OpenTable, by_class: Mapping[str, str], classes: Sequence[str]
) -> tuple[tuple[float, ...] | None, ...]:
    spelled = {of_class.casefold(): column for of_class, column in by_class.items()}
    rows: list[tuple[float, ...] | None] = []
    for _, cells in table.lines:
        if not cells[next(iter(by_class.values()))]:
            rows.append(None)
        elif "" in by_class:
            probability = float(cells[by_class[""]])
            rows.append((1.0 - probability, probability))
        else:
            rows.append(tuple(float(cells[spelled[name.casefold()]]) for name in classes))
    return tuple(rows)


def _covariates(table: OpenTable) -> dict[str, Covariate]:
    names = [name for name in table.columns if name == "age" or name.startswith(CLINICAL_PREFIX)]
    return {
        name.removeprefix(CLINICAL_PREFIX): numbers_or_words([cells[name] for _, cells in table.lines])
        for name in names
    }
