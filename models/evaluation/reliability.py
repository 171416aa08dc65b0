"""Whether features stay the same when another reader draws the region: the intraclass correlation ICC(2,1).

Two-way random effects, absolute agreement, one reader (Shrout and Fleiss, Psychological Bulletin 86 (1979) 420; in
McGraw and Wong, Psychological Methods 1 (1996) 30, ICC(A,1)).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.stats import f as f_distribution

from models.evaluation.contract import CONFIDENCE, Interval, NotDefined
from models.evaluation.proportions import Proportion, proportion

Floats = NDArray[np.float64]

STABLE: Final = 0.75
"""Features above it are kept (Koo and Li, Journal of Chiropractic Medicine 15 (2016) 155: good reliability)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadFeatures:
    """Features of lesions, each measured on the regions that several readers drew.

    Attributes
    ----------
    names, readers : tuple of str
        Of the features and of the readers.
    values : numpy.ndarray
        Shape (lesions, readers, features); NaN where there is no value.
    """

    names: tuple[str, ...]
    readers: tuple[str, ...]
    values: Floats


@dataclass(frozen=True, slots=True, kw_only=True)
class Icc:
    """An intraclass correlation with its interval; `lesions` are those that all readers have a value of."""

    value: float
    interval: Interval | NotDefined
    lesions: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Reliability:
    """Of all features.

    Attributes
    ----------
    readers, lesions : int
    icc : mapping of str to (Icc or NotDefined)
        By feature.
    stable : Proportion or NotDefined
        Features whose ICC is above `STABLE`, of those of which it is defined.
    undefined : int
    """

    readers: int
    lesions: int
    icc: Mapping[str, Icc | NotDefined]
    stable: Proportion | NotDefined
    undefined: int


def reliability(features: ReadFeatures) -> Reliability:
    """Compute the ICC of every feature, on the lesions that all readers have a value of."""
    found = {name: icc_of(features.values[:, :, place]) for place, name in enumerate(features.names)}
    defined = [one for one in found.values() if isinstance(one, Icc)]
    return Reliability(
        readers=len(features.readers),
        lesions=len(features.values),
        icc=found,
        stable=proportion(
            sum(one.value > STABLE for one in defined), len(defined), none="the ICC of no feature is defined"
        ),
        undefined=len(found) - len(defined),
    )


def icc_of(values: Floats) -> Icc | NotDefined:
    """Compute ICC(2,1) and its interval from F (Shrout and Fleiss, page 424).

    Parameters
    ----------
    values : numpy.ndarray
        Shape (lesions, readers); a lesion with a NaN is left out.
    """
    rated = values[np.isfinite(values).all(axis=1)]
    n, k = rated.shape
    if k < 2 or n < 2:
        return NotDefined(reason="there is only one reader" if k < 2 else "fewer than two lesions have all readers")
    if np.ptp(rated) == 0:
        return NotDefined(reason="the feature is the same throughout")
    squares = _mean_squares(rated)
    value = float(_agreement(*squares, n, k))
    if not np.isfinite(value):
        return NotDefined(reason="lesions differ no more than chance")
    interval = _interval(n, k, (float(squares[0]), float(squares[1]), float(squares[2])), value)
    return Icc(value=value, interval=interval, lesions=n)


def intraclass_correlation(rated: Floats) -> Floats:
    """Compute ICC(2,1) of many features at once; NaN where it is not defined.

    Parameters
    ----------
    rated : numpy.ndarray
        Shape (lesions, readers, ...), finite, of two lesions and two readers at least.

    Returns
    -------
    numpy.ndarray
        Shape (...).
    """
    return _agreement(*_mean_squares(rated), *rated.shape[:2])


def _mean_squares(rated: Floats) -> tuple[Floats, Floats, Floats]:
    """Between lesions, between readers, and of what is left; shapes as for `intraclass_correlation`."""
    n, k = rated.shape[:2]
    # An ICC has no unit, and squares of large numbers lose digits.
    rated = rated / np.maximum(np.abs(rated).max(axis=(0, 1)), np.finfo(np.float64).tiny)
    grand = rated.mean(axis=(0, 1))
    by_lesion, by_reader = rated.mean(axis=1, keepdims=True), rated.mean(axis=0, keepdims=True)
    between_lesions = k * ((by_lesion - grand) ** 2).sum(axis=(0, 1)) / (n - 1)
    between_readers = n * ((by_reader - grand) ** 2).sum(axis=(0, 1)) / (k - 1)
    residual = ((rated - by_lesion - by_reader + grand) ** 2).sum(axis=(0, 1)) / ((n - 1) * (k - 1))
    return between_lesions, between_readers, residual


def _agreement(lesions: Floats, readers: Floats, residual: Floats, n: int, k: int) -> Floats:
    """ICC(2,1) of the mean squares of n lesions and k readers."""
    spread = lesions + (k - 1) * residual + k * (readers - residual) / n
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(spread > 0, (lesions - residual) / spread, np.nan)


def _interval(n: int, k: int, mean_squares: tuple[float, float, float], value: float) -> Interval | NotDefined:
    lesions, readers, residual = mean_squares
    if residual <= np.finfo(np.float64).eps * lesions:
        return NotDefined(reason="the readers differ by nothing, or by a constant")
    ratio = readers / residual
    weight = n * (1 + (k - 1) * value) - k * value
    freedom = (k - 1) * (n - 1) * (k * value * ratio + weight) ** 2
    freedom /= (n - 1) * k**2 * value**2 * ratio**2 + weight**2
    upper_tail = (1 + CONFIDENCE) / 2
    below, above = f_distribution.ppf(upper_tail, n - 1, freedom), f_distribution.ppf(upper_tail, freedom, n - 1)
    common = k * readers + (k * n - k - n) * residual
    lower = n * (lesions - below * residual) / (below * common + n * lesions)
    upper = n * (above * lesions - residual) / (common + n * above * lesions)
    return Interval(lower=float(lower), upper=float(upper), method="F (Shrout and Fleiss)")
