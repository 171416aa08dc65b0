"""All figures of one model's probabilities of several classes."""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from models.evaluation.binary_figures import NO_CASES, area, fold_order
from models.evaluation.contract import Interval, NotDefined
from models.evaluation.estimates import ONE_PATIENT, RESAMPLES, Estimate, case_weights, mean_interval, percentiles
from models.evaluation.predictions import Predictions
from models.evaluation.proportions import Proportion, f1_score, proportion
from models.evaluation.roc import Roc

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

CHUNK: Final = 200
"""Resamples at once: some hundred megabytes at ten thousand cases."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OfClass:
    """One class against all others; the decision is the likeliest class."""

    cases: int
    roc: Roc | NotDefined
    sensitivity: Proportion | NotDefined
    specificity: Proportion | NotDefined
    positive_predictive_value: Proportion | NotDefined
    f1: Proportion | NotDefined


@dataclass(frozen=True, slots=True, kw_only=True)
class MulticlassFigures:
    """What a model of several classes can do.

    Attributes
    ----------
    cases, left_out : int
        The second: cases without this score.
    of_class : mapping of str to OfClass
    macro_auc : Estimate or NotDefined
        Mean of the areas of each class against all others.
    confusion : tuple of tuple of int
        Truth in rows, the likeliest class in columns, in the order of the classes.
    accuracy : Proportion or NotDefined
    kappa : Estimate or NotDefined
        Cohen's, unweighted (Educational and Psychological Measurement 20 (1960) 37).
    brier : Estimate or NotDefined
        Mean over the cases of the sum over the classes of squared differences, 0 to 2.
    macro_auc_by_fold : mapping of str to (float or NotDefined), or None
        None without folds.
    """

    cases: int
    left_out: int
    of_class: Mapping[str, OfClass]
    macro_auc: Estimate | NotDefined
    confusion: tuple[tuple[int, ...], ...]
    accuracy: Proportion | NotDefined
    kappa: Estimate | NotDefined
    brier: Estimate | NotDefined
    macro_auc_by_fold: Mapping[str, float | NotDefined] | None


def multiclass_figures(
    predictions: Predictions, model: str, *, seed: int, resamples: int = RESAMPLES
) -> MulticlassFigures:
    """Compute them on the cases that have the model's probabilities; `seed` and `resamples` are of the intervals."""
    cases = predictions.with_score(model)
    truth, rows = np.array(predictions.truth, dtype=np.intp)[cases], predictions.probabilities(model, cases)
    patients, count = predictions.patients_of(cases), len(predictions.classes)
    called = rows.argmax(axis=1)
    table = np.bincount(truth * count + called, minlength=count**2).reshape(count, count)
    of_class = {
        name: _of_class(table, place, area(truth == place, rows[:, place], patients))
        for place, name in enumerate(predictions.classes)
    }
    errors = ((rows - np.eye(count)[truth]) ** 2).sum(axis=1)
    return MulticlassFigures(
        cases=len(cases),
        left_out=len(predictions.patients) - len(cases),
        of_class=of_class,
        macro_auc=_macro(of_class, truth, rows, patients, seed=seed, resamples=resamples),
        confusion=tuple(tuple(row) for row in table.tolist()),
        accuracy=proportion(int(np.trace(table)), len(cases), none=NO_CASES),
        kappa=kappa(table),
        brier=Estimate(
            value=float(errors.mean()), interval=mean_interval(errors, patients, seed=seed, resamples=resamples)
        )
        if len(cases)
        else NotDefined(reason=NO_CASES),
        macro_auc_by_fold=_by_fold(predictions, cases, truth, rows),
    )


def kappa(table: NDArray[np.intp]) -> Estimate | NotDefined:
    """Compute Cohen's kappa of a square table of counts, with its large-sample interval."""
    from statsmodels.stats.inter_rater import cohens_kappa  # noqa: PLC0415  seconds to import

    total = table.sum()
    if not total or (table.sum(axis=0) @ table.sum(axis=1)) == total**2:
        return NotDefined(reason=NO_CASES if not total else "truth and decision are one class throughout")
    found = cohens_kappa(table)
    lower, upper = float(found.kappa_low), float(found.kappa_upp)
    value = float(found.kappa)
    if not math.isfinite(lower):
        return Estimate(value=value, interval=NotDefined(reason="its variance is not defined"))
    return Estimate(value=value, interval=Interval(lower=lower, upper=min(upper, 1.0), method="large sample"))


def weighted_areas(positive: Bools, scores: Floats, weights: Floats) -> Floats:
    """Areas under the ROC curve when each case counts so often.

    Parameters
    ----------
    positive, scores : numpy.ndarray
        Shape (n,).
    weights : numpy.ndarray
        Shape (r, n).

    Returns
    -------
    numpy.ndarray
        Shape (r,); NaN where a class has no weight.
    """
    order = np.argsort(scores, kind="stable")
    starts = np.flatnonzero(np.diff(scores[order], prepend=-np.inf) > 0)
    ranked, is_positive = weights[:, order], positive[order]
    of_positive = np.add.reduceat(ranked * is_positive, starts, axis=1)
    of_negative = np.add.reduceat(ranked * ~is_positive, starts, axis=1)
    below = np.cumsum(of_negative, axis=1) - of_negative / 2
    with np.errstate(invalid="ignore"):
        return np.asarray(
            (of_positive * below).sum(axis=1) / (of_positive.sum(axis=1) * of_negative.sum(axis=1)), dtype=np.float64
        )


def _of_class(table: NDArray[np.intp], place: int, curve: Roc | NotDefined) -> OfClass:
    tp = int(table[place, place])
    fn, fp = int(table[place].sum()) - tp, int(table[:, place].sum()) - tp
    tn = int(table.sum()) - tp - fn - fp
    return OfClass(
        cases=tp + fn,
        roc=curve,
        sensitivity=proportion(tp, tp + fn, none="no case is of this class"),
        specificity=proportion(tn, tn + fp, none="all cases are of this class"),
        positive_predictive_value=proportion(tp, tp + fp, none="no case was given this class"),
        f1=f1_score(tp, fp, fn, none="no case is of this class, and none was given it"),
    )


def _macro(
    of_class: Mapping[str, OfClass],
    truth: NDArray[np.intp],
    rows: Floats,
    patients: Sequence[Hashable],
    *,
    seed: int,
    resamples: int,
) -> Estimate | NotDefined:
    value = _mean_area([one.roc for one in of_class.values()])
    if isinstance(value, NotDefined):
        return value
    if len(set(patients)) < 2:
        return Estimate(value=value, interval=NotDefined(reason=ONE_PATIENT))
    weights = case_weights(patients, seed=seed, resamples=resamples)
    drawn = np.concatenate(
        [
            np.mean([weighted_areas(truth == place, rows[:, place], part) for place in range(rows.shape[1])], axis=0)
            for part in np.array_split(weights, max(1, resamples // CHUNK))
        ]
    )
    drawn = drawn[np.isfinite(drawn)]  # a resample may lack a class
    if len(drawn) < resamples / 2:
        return Estimate(value=value, interval=NotDefined(reason="most resamples lack a class"))
    return Estimate(value=value, interval=percentiles(drawn))


def _mean_area(curves: Sequence[Roc | NotDefined]) -> float | NotDefined:
    areas = [curve.auc for curve in curves if isinstance(curve, Roc)]
    if len(areas) < len(curves):
        return NotDefined(reason="the area of a class is not defined")
    return float(np.mean(areas))


def _by_fold(
    predictions: Predictions, cases: NDArray[np.intp], truth: NDArray[np.intp], rows: Floats
) -> dict[str, float | NotDefined] | None:
    folds = sorted({fold for fold in predictions.folds if fold is not None}, key=fold_order)
    found: dict[str, float | NotDefined] = {}
    for fold in folds:
        inside = np.array([predictions.folds[case] == fold for case in cases], dtype=np.bool_)
        patients = predictions.patients_of(cases[inside])
        curves = [area(truth[inside] == place, rows[inside, place], patients) for place in range(rows.shape[1])]
        found[fold] = _mean_area(curves)
    return found or None
