"""Figures with an interval, and resampling by patient: rows of one patient are drawn together or not at all."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from models.evaluation.contract import CONFIDENCE, Interval, NotDefined

Floats = NDArray[np.float64]

RESAMPLES: Final = 2000
BY_PATIENT: Final = "percentile bootstrap by patient"
ONE_PATIENT: Final = "all cases are of one patient"


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """A figure that is no share of cases."""

    value: float
    interval: Interval | NotDefined


def numbered(names: Sequence[Hashable]) -> NDArray[np.intp]:
    """Number each name by when it first comes, from 0; shape (n,)."""
    numbers: dict[Hashable, int] = {}
    return np.array([numbers.setdefault(name, len(numbers)) for name in names], dtype=np.intp)


def mean_interval(
    values: Floats, patients: Sequence[Hashable], *, seed: int, resamples: int = RESAMPLES
) -> Interval | NotDefined:
    """Resample the mean of `values`, shape (n,), one for each case; `patients` says whose each case is."""
    cluster = numbered(patients)
    count = len(set(patients))
    if count < 2:
        return NotDefined(reason=ONE_PATIENT)
    sums, sizes = np.bincount(cluster, weights=values), np.bincount(cluster)
    drawn = np.random.default_rng(seed).integers(count, size=(resamples, count))
    return percentiles(sums[drawn].sum(axis=1) / sizes[drawn].sum(axis=1))


def case_weights(patients: Sequence[Hashable], *, seed: int, resamples: int) -> Floats:
    """Draw patients with replacement.

    Returns
    -------
    numpy.ndarray
        Shape (resamples, n): how often each case is in each resample.
    """
    cluster = numbered(patients)
    count = len(set(patients))
    drawn = np.random.default_rng(seed).multinomial(count, np.full(count, 1 / count), size=resamples)
    return drawn[:, cluster].astype(np.float64)


def percentiles(drawn: Floats) -> Interval:
    """Give the interval that `CONFIDENCE` of the resampled figures, shape (resamples,), lie in."""
    lower, upper = np.quantile(drawn, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2]).tolist()
    return Interval(lower=lower, upper=upper, method=BY_PATIENT)
