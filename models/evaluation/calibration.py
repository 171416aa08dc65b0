"""Whether probabilities are what they say, and whether acting on them would help.

Brier's score, the calibration curve with its intercept and slope (Cox, Biometrika 45 (1958) 562; Van Calster et al.,
BMC Medicine 17 (2019) 230), and the decision curve (Vickers and Elkin, Medical Decision Making 26 (2006) 565).
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.special import logit

from models.evaluation.contract import Interval, NotDefined
from models.evaluation.estimates import RESAMPLES, Estimate, mean_interval
from models.evaluation.proportions import Proportion, Z, wilson
from models.evaluation.regression import Fit, logistic

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

BINS: Final = 10
CASES_PER_BIN: Final = 5
"""Of fewer cases than this for each bin there are fewer bins."""

LEAST_PROBABILITY: Final = 1e-6
"""0 and 1 have no logit: they are taken as this and 1 less this."""

DECISION_THRESHOLDS: Final = tuple(number / 100 for number in range(1, 100))


@dataclass(frozen=True, slots=True, kw_only=True)
class Bin:
    """Cases of similar probability: their mean, and the share that is positive."""

    mean_predicted: float
    observed: Proportion


@dataclass(frozen=True, slots=True, kw_only=True)
class Calibration:
    """How probabilities agree with outcomes.

    Attributes
    ----------
    brier : Estimate
        Mean square of probability less outcome; 0 is best.
    brier_of_prevalence : float
        Of a model that gives every case the share of positives.
    bins : tuple of Bin
        By quantiles of the probability, lowest first.
    intercept : Estimate or NotDefined
        Of a logistic regression on the logit with its slope held at 1: 0 is best, below 0 probabilities are too high.
    slope : Estimate or NotDefined
        Of a logistic regression on the logit: 1 is best, below 1 probabilities are too extreme.
    clipped : int
        Cases whose probability of 0 or 1 was moved for the logit.
    """

    brier: Estimate
    brier_of_prevalence: float
    bins: tuple[Bin, ...]
    intercept: Estimate | NotDefined
    slope: Estimate | NotDefined
    clipped: int


@dataclass(frozen=True, slots=True, kw_only=True)
class DecisionCurve:
    """Net benefit by the probability from which one acts.

    ``net benefit = TP / n - FP / n * t / (1 - t)``; acting on none has 0.
    """

    thresholds: tuple[float, ...]
    model: tuple[float, ...]
    all_positive: tuple[float, ...]


def calibration(
    positive: Bools,
    probabilities: Floats,
    patients: Sequence[Hashable],
    *,
    seed: int,
    resamples: int = RESAMPLES,
    bins: int = BINS,
) -> Calibration:
    """Compute all of it.

    Parameters
    ----------
    positive : numpy.ndarray
        Shape (n,), bool, n > 0.
    probabilities : numpy.ndarray
        Shape (n,), 0 to 1.
    patients : sequence of hashable
        Whose each case is.
    seed, resamples : int
        Of Brier's interval.
    bins : int
        At most.
    """
    errors = (probabilities - positive) ** 2
    prevalence = float(positive.mean())
    clipped = np.clip(probabilities, LEAST_PROBABILITY, 1 - LEAST_PROBABILITY)
    logits = np.asarray(logit(clipped), dtype=np.float64)
    ones = np.ones(len(positive))
    level = logistic(ones[:, None], positive, patients, offset=logits)
    line = (
        logistic(np.column_stack([ones, logits]), positive, patients)
        if np.ptp(logits) > 0
        else NotDefined(reason="the probability is the same for every case")
    )
    return Calibration(
        brier=Estimate(
            value=float(errors.mean()), interval=mean_interval(errors, patients, seed=seed, resamples=resamples)
        ),
        brier_of_prevalence=prevalence * (1 - prevalence),
        bins=calibration_bins(positive, probabilities, bins=bins),
        intercept=_wald(level, 0),
        slope=_wald(line, 1),
        clipped=int((clipped != probabilities).sum()),
    )


def calibration_bins(positive: Bools, probabilities: Floats, *, bins: int = BINS) -> tuple[Bin, ...]:
    """Cut cases at quantiles of their probability; equal ones stay together, so there may be fewer bins."""
    wanted = max(1, min(bins, len(positive) // CASES_PER_BIN))
    edges = np.unique(np.quantile(probabilities, np.linspace(0, 1, wanted + 1)))
    of = np.searchsorted(edges[1:-1], probabilities)
    found = []
    for number in np.unique(of):
        inside = of == number
        total, hits = int(inside.sum()), int(positive[inside].sum())
        share = Proportion(value=hits / total, interval=wilson(hits / total, total), numerator=hits, denominator=total)
        found.append(Bin(mean_predicted=float(probabilities[inside].mean()), observed=share))
    return tuple(found)


def decision_curve(
    positive: Bools, probabilities: Floats, *, thresholds: Sequence[float] = DECISION_THRESHOLDS
) -> DecisionCurve:
    """Compute net benefit at each threshold, of which each is above 0 and below 1; shapes as for `calibration`."""
    at = np.array(thresholds, dtype=np.float64)
    odds = at / (1 - at)
    called = probabilities[:, None] >= at
    hits, alarms = called[positive].sum(axis=0), called[~positive].sum(axis=0)
    prevalence = positive.mean()
    return DecisionCurve(
        thresholds=tuple(at.tolist()),
        model=tuple(((hits - alarms * odds) / len(positive)).tolist()),
        all_positive=tuple((prevalence - (1 - prevalence) * odds).tolist()),
    )


def _wald(fit: Fit | NotDefined, place: int) -> Estimate | NotDefined:
    if isinstance(fit, NotDefined):
        return fit
    value, error = float(fit.coefficients[place]), float(np.sqrt(fit.covariance[place, place]))
    return Estimate(value=value, interval=Interval(lower=value - Z * error, upper=value + Z * error, method="Wald"))
