"""All figures of one model's probabilities of a positive class."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from statistics import mean, stdev
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from models.evaluation.calibration import Calibration, DecisionCurve, calibration, decision_curve
from models.evaluation.contract import NotDefined
from models.evaluation.estimates import RESAMPLES
from models.evaluation.predictions import Predictions
from models.evaluation.proportions import Proportion, f1_score, proportion
from models.evaluation.roc import Roc, roc

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

Chosen = Literal["given", "Youden, on the same cases"]

NO_CASES: Final = "no case has this score"
ONE_CLASS: Final = "the cases that have this score are all of one class"
CONSTANT_SCORE: Final = "the score is the same for every case"


@dataclass(frozen=True, slots=True, kw_only=True)
class AtThreshold:
    """What comes of calling a case positive when its probability reaches a threshold.

    Attributes
    ----------
    threshold : float
    chosen : {"given", "Youden, on the same cases"}
        A threshold that was chosen on the cases that it is measured on flatters.
    true_positive, false_positive, false_negative, true_negative : int
    accuracy, sensitivity, specificity, positive_predictive_value, negative_predictive_value : Proportion or NotDefined
    f1 : Proportion or NotDefined
        Of the positive class.
    """

    threshold: float
    chosen: Chosen
    true_positive: int
    false_positive: int
    false_negative: int
    true_negative: int
    accuracy: Proportion | NotDefined
    sensitivity: Proportion | NotDefined
    specificity: Proportion | NotDefined
    positive_predictive_value: Proportion | NotDefined
    negative_predictive_value: Proportion | NotDefined
    f1: Proportion | NotDefined


@dataclass(frozen=True, slots=True, kw_only=True)
class Groups:
    """The area in each group of cases, with mean and standard deviation (n - 1) of the areas that are defined."""

    auc: Mapping[str, Roc | NotDefined]
    mean: float | NotDefined
    standard_deviation: float | NotDefined


@dataclass(frozen=True, slots=True, kw_only=True)
class BinaryFigures:
    """What a model can do.

    Attributes
    ----------
    cases, positives, left_out : int
        The last: cases without this score.
    roc : Roc or NotDefined
    at_threshold, at_youden : AtThreshold or NotDefined
    calibration : Calibration or NotDefined
    decision_curve : DecisionCurve or NotDefined
    by_fold : Groups or None
        None without folds.
    """

    cases: int
    positives: int
    left_out: int
    roc: Roc | NotDefined
    at_threshold: AtThreshold | NotDefined
    at_youden: AtThreshold | NotDefined
    calibration: Calibration | NotDefined
    decision_curve: DecisionCurve | NotDefined
    by_fold: Groups | None


def binary_figures(
    predictions: Predictions, model: str, *, threshold: float, seed: int, resamples: int = RESAMPLES
) -> BinaryFigures:
    """Compute them on the cases that have the model's score.

    Parameters
    ----------
    predictions : Predictions
        Of two classes.
    model : str
    threshold : float
        From which a case is called positive, 0 to 1.
    seed, resamples : int
        Of the intervals by resampling.
    """
    cases = predictions.with_score(model)
    positive, patients = predictions.positive[cases], predictions.patients_of(cases)
    probabilities = predictions.probabilities(model, cases)[:, 1]
    curve = area(positive, probabilities, patients)
    both = 0 < positive.sum() < len(positive)
    lacking = NotDefined(reason=ONE_CLASS if len(cases) else NO_CASES)
    return BinaryFigures(
        cases=len(cases),
        positives=int(positive.sum()),
        left_out=len(predictions.patients) - len(cases),
        roc=curve,
        at_threshold=at_threshold(positive, probabilities, threshold) if len(cases) else lacking,
        at_youden=(
            curve
            if isinstance(curve, NotDefined)
            else at_threshold(positive, probabilities, youden(curve), chosen="Youden, on the same cases")
        ),
        calibration=(
            calibration(positive, probabilities, patients, seed=seed, resamples=resamples) if len(cases) else lacking
        ),
        decision_curve=decision_curve(positive, probabilities) if both else lacking,
        by_fold=_by_fold(predictions, cases, probabilities),
    )


def area(positive: Bools, scores: Floats, patients: Sequence[Hashable]) -> Roc | NotDefined:
    """Compute the curve where there is one: both classes, and a score that varies. Shapes (n,)."""
    if not len(positive):
        return NotDefined(reason=NO_CASES)
    if positive.all() or not positive.any():
        return NotDefined(reason=ONE_CLASS)
    if np.ptp(scores) == 0:
        return NotDefined(reason=CONSTANT_SCORE)
    return roc(positive.tolist(), scores.tolist(), patients=patients)


def youden(curve: Roc) -> float:
    """Give the threshold with the highest sum of sensitivity and specificity (Youden, Cancer 3 (1950) 32).

    Of equals the highest threshold.
    """
    gain = np.array(curve.curve_sensitivity) - np.array(curve.curve_false_positive_rate)
    best = curve.curve_thresholds[1 + int(np.argmax(gain[1:]))]
    if best is None:
        raise ValueError("only the first corner of a curve lies above every score")
    return best


def at_threshold(positive: Bools, probabilities: Floats, threshold: float, *, chosen: Chosen = "given") -> AtThreshold:
    """Count the two-by-two table of cases, shapes (n,), n > 0, and what it comes to."""
    called = probabilities >= threshold
    tp, fp = int((called & positive).sum()), int((called & ~positive).sum())
    fn, tn = int((~called & positive).sum()), int((~called & ~positive).sum())
    return AtThreshold(
        threshold=float(threshold),
        chosen=chosen,
        true_positive=tp,
        false_positive=fp,
        false_negative=fn,
        true_negative=tn,
        accuracy=proportion(tp + tn, len(positive), none=NO_CASES),
        sensitivity=proportion(tp, tp + fn, none="no case is positive"),
        specificity=proportion(tn, tn + fp, none="all cases are positive"),
        positive_predictive_value=proportion(tp, tp + fp, none="none was called positive"),
        negative_predictive_value=proportion(tn, tn + fn, none="all were called positive"),
        f1=f1_score(tp, fp, fn, none="no case is positive, and none was called so"),
    )


def _by_fold(predictions: Predictions, cases: NDArray[np.intp], probabilities: Floats) -> Groups | None:
    fold_of = [predictions.folds[case] for case in cases]
    folds = sorted({fold for fold in predictions.folds if fold is not None}, key=fold_order)
    if not folds:
        return None
    positive = predictions.positive[cases]
    areas: dict[str, Roc | NotDefined] = {}
    for fold in folds:
        inside = np.array([one == fold for one in fold_of], dtype=np.bool_)
        areas[fold] = area(positive[inside], probabilities[inside], predictions.patients_of(cases[inside]))
    return groups(areas)


def groups(areas: Mapping[str, Roc | NotDefined]) -> Groups:
    """Give the mean and the spread of areas."""
    defined = [curve.auc for curve in areas.values() if isinstance(curve, Roc)]
    few = NotDefined(reason="fewer than two of the areas are defined")
    return Groups(
        auc=areas,
        mean=mean(defined) if defined else NotDefined(reason="no area is defined"),
        standard_deviation=stdev(defined) if len(defined) > 1 else few,
    )


def fold_order(name: str) -> tuple[int, str]:
    """Order folds: numbers by size, then words."""
    return (int(name), "") if name.isascii() and name.isdecimal() else (2**31, name)
