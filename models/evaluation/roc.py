"""Area under the ROC curve with DeLong's variance, and the paired test between two scores on the same cases.

The structural components of DeLong, DeLong and Clarke-Pearson (Biometrics 44 (1988) 837) come from midranks, in
O(n log n) (Sun and Xu, IEEE Signal Processing Letters 21 (2014) 1389). Cases of one patient depend on each other; given
the patients, the components are summed by patient before their variance is taken (Obuchowski, Biometrics 53 (1997)
567). With one case a patient that is DeLong's variance exactly.

The interval is symmetric on the logit scale, so that it stays within 0 to 1 and covers better near 1 than the plain
one (Pepe, The Statistical Evaluation of Medical Tests, 2003, section 5.2). pROC's default is the plain one.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, logit
from scipy.stats import norm, rankdata
from sklearn.metrics import roc_curve

from models.evaluation.contract import Interval, NotDefined
from models.evaluation.proportions import Z

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Roc:
    """A ROC curve and its area.

    Attributes
    ----------
    auc : float
    standard_error : float or NotDefined
    interval : Interval or NotDefined
        Not defined where the variance estimate is 0, as for perfectly separated classes.
    positives, negatives : int
        Malignant cases, and the others.
    curve_thresholds, curve_false_positive_rate, curve_sensitivity : tuple
        Corners of the curve, highest threshold first (None: above every score).
    """

    auc: float
    standard_error: float | NotDefined
    interval: Interval | NotDefined
    positives: int
    negatives: int
    curve_thresholds: tuple[float | None, ...]
    curve_false_positive_rate: tuple[float, ...]
    curve_sensitivity: tuple[float, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class DelongTest:
    """Two areas on the same cases.

    Attributes
    ----------
    first_auc, second_auc, difference : float
        Of these cases only; ``difference = first_auc - second_auc``.
    z, p_value : float
        Two-sided, of the hypothesis that the areas are equal.
    cases : int
    """

    first_auc: float
    second_auc: float
    difference: float
    z: float
    p_value: float
    cases: int


def roc(
    malignant: Sequence[bool],
    scores: Sequence[float],
    *,
    patients: Sequence[Hashable] | None = None,
    cases: str = "cases",
    others: str = "benign",
) -> Roc | NotDefined:
    """Compute the curve, its area and the 95 % interval.

    Parameters
    ----------
    malignant : sequence of bool
        For each case.
    scores : sequence of float
        Finite, larger for what is more likely malignant.
    patients : sequence of hashable, optional
        The patient of each case; without it every case is taken as independent.
    cases, others : str
        What the cases are, and what those are that are not malignant, for the reason.

    Returns
    -------
    Roc or NotDefined
        Not defined when there is no case of a class.

    Raises
    ------
    ValueError
        When the sequences differ in length or a score is not finite.
    """
    truth = _checked(malignant, patients, scores)
    if (missing := _missing_class(truth, cases, others)) is not None:
        return missing
    areas, covariance = delong(truth, np.array([scores], dtype=np.float64), patients=patients)
    auc = float(areas[0])
    false_rate, sensitivity, thresholds = roc_curve(truth, np.asarray(scores, dtype=np.float64))
    by_patient = patients is not None and len(set(patients)) < len(patients)
    error, interval = _spread(auc, None if covariance is None else float(covariance[0, 0]), by_patient=by_patient)
    return Roc(
        auc=auc,
        standard_error=error,
        interval=interval,
        positives=int(truth.sum()),
        negatives=int((~truth).sum()),
        curve_thresholds=(None, *thresholds[1:].tolist()),
        curve_false_positive_rate=tuple(false_rate.tolist()),
        curve_sensitivity=tuple(sensitivity.tolist()),
    )


def delong_test(
    malignant: Sequence[bool],
    first: Sequence[float],
    second: Sequence[float],
    *,
    patients: Sequence[Hashable] | None = None,
    cases: str = "cases",
    others: str = "benign",
) -> DelongTest | NotDefined:
    """Test whether two scores of the same cases have the same area; parameters and errors as in `roc`.

    Returns
    -------
    DelongTest or NotDefined
        Not defined when there is no case of a class, or when the difference has no variance.
    """
    truth = _checked(malignant, patients, first, second)
    if (missing := _missing_class(truth, cases, others)) is not None:
        return missing
    areas, covariance = delong(truth, np.array([first, second], dtype=np.float64), patients=patients)
    difference = float(areas[0] - areas[1])
    variance = -1.0 if covariance is None else float(covariance[0, 0] + covariance[1, 1] - 2 * covariance[0, 1])
    if variance <= np.finfo(np.float64).eps:
        return NotDefined(reason=f"the difference of the two areas varies too little over these {cases}")
    z = difference / math.sqrt(variance)
    return DelongTest(
        first_auc=float(areas[0]),
        second_auc=float(areas[1]),
        difference=difference,
        z=z,
        p_value=float(2 * norm.sf(abs(z))),
        cases=len(truth),
    )


def delong(
    malignant: NDArray[np.bool_], scores: Floats, *, patients: Sequence[Hashable] | None = None
) -> tuple[Floats, Floats | None]:
    """Compute areas and their covariance.

    Parameters
    ----------
    malignant : numpy.ndarray
        Shape (n,), with both classes.
    scores : numpy.ndarray
        Shape (k, n): k scores of each case.
    patients : sequence of hashable, optional
        Of length n.

    Returns
    -------
    areas : numpy.ndarray
        Shape (k,).
    covariance : numpy.ndarray or None
        Shape (k, k); None with fewer than two patients in a class, which leave nothing to vary.
    """
    positive, negative = scores[:, malignant], scores[:, ~malignant]
    m, n = positive.shape[1], negative.shape[1]
    ranks = rankdata(scores, axis=1)
    of_positive = (ranks[:, malignant] - rankdata(positive, axis=1)) / n
    of_negative = 1 - (ranks[:, ~malignant] - rankdata(negative, axis=1)) / m
    areas = of_positive.mean(axis=1)
    numbers: dict[Hashable, int] = {}
    names = range(len(malignant)) if patients is None else patients
    cluster = np.array([numbers.setdefault(name, len(numbers)) for name in names], dtype=np.intp)
    positive_sums = _summed(of_positive - areas[:, None], cluster[malignant], len(numbers))
    negative_sums = _summed(of_negative - areas[:, None], cluster[~malignant], len(numbers))
    with_positive, with_negative = len(set(cluster[malignant].tolist())), len(set(cluster[~malignant].tolist()))
    if with_positive < 2 or with_negative < 2:
        return areas, None
    s10 = positive_sums @ positive_sums.T * with_positive / ((with_positive - 1) * m)
    s01 = negative_sums @ negative_sums.T * with_negative / ((with_negative - 1) * n)
    s11 = positive_sums @ negative_sums.T * len(numbers) / (len(numbers) - 1)
    return areas, np.asarray(s10 / m + s01 / n + (s11 + s11.T) / (m * n), dtype=np.float64)


def _summed(components: Floats, cluster: NDArray[np.intp], clusters: int) -> Floats:
    return np.array([np.bincount(cluster, weights=row, minlength=clusters) for row in components])


def _spread(
    auc: float, variance: float | None, *, by_patient: bool
) -> tuple[float | NotDefined, Interval | NotDefined]:
    if variance is None:
        few = NotDefined(reason="a class has cases of one patient only")
        return few, few
    if variance <= np.finfo(np.float64).eps or not 0.0 < auc < 1.0:
        flat = NotDefined(reason="the area does not vary over these cases, so their number says nothing of its error")
        return flat, flat
    error = math.sqrt(variance)
    half = Z * error / (auc * (1 - auc))
    centre = float(logit(auc))
    method = "DeLong, by patient (Obuchowski), logit" if by_patient else "DeLong, logit"
    return error, Interval(lower=float(expit(centre - half)), upper=float(expit(centre + half)), method=method)


def _checked(
    malignant: Sequence[bool], patients: Sequence[Hashable] | None, *scores: Sequence[float]
) -> NDArray[np.bool_]:
    lengths = {len(malignant), *map(len, scores), len(malignant if patients is None else patients)}
    if len(lengths) != 1:
        raise ValueError(f"truth, scores and patients are given for different numbers of cases: {sorted(lengths)}")
    if not np.isfinite(np.array(scores, dtype=np.float64)).all():
        raise ValueError("every score is finite")
    return np.asarray(malignant, dtype=np.bool_)


def _missing_class(truth: NDArray[np.bool_], cases: str, others: str) -> NotDefined | None:
    if not truth.size:
        return NotDefined(reason=f"there are no {cases}")
    if truth.all():
        return NotDefined(reason=f"all {cases} are malignant")
    return None if truth.any() else NotDefined(reason=f"all {cases} are {others}")
