"""Proportions with Wilson intervals, and the measures of a two-by-two table.

The intervals take cases as independent. Two views of a breast are not quite, nor are two lesions of an image: there
the intervals are somewhat too narrow.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from scipy.special import ndtri

from models.evaluation.contract import CONFIDENCE, Interval, NotDefined

Z: Final = float(ndtri(0.5 + CONFIDENCE / 2))
"""Standard normal quantile of the intervals, 1.96."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Proportion:
    """A share of cases: ``value = numerator / denominator``."""

    value: float
    interval: Interval
    numerator: int
    denominator: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Measures:
    """What a two-by-two table comes to; malignant is the positive class.

    Attributes
    ----------
    true_positive, false_positive, false_negative, true_negative : int
    accuracy, precision, sensitivity, specificity, negative_predictive_value : Proportion or NotDefined
        Precision is the positive predictive value. For the class "benign" of the paper's tables, precision is
        `negative_predictive_value` and sensitivity is `specificity`.
    f1, f1_benign : Proportion or NotDefined
        Of the malignant and the benign class.
    """

    true_positive: int
    false_positive: int
    false_negative: int
    true_negative: int
    accuracy: Proportion | NotDefined
    precision: Proportion | NotDefined
    sensitivity: Proportion | NotDefined
    specificity: Proportion | NotDefined
    negative_predictive_value: Proportion | NotDefined
    f1: Proportion | NotDefined
    f1_benign: Proportion | NotDefined


def wilson(value: float, denominator: int, *, method: str = "Wilson") -> Interval:
    """Compute the Wilson score interval (Wilson, JASA 22 (1927) 209) of a proportion of `denominator` cases, > 0."""
    shrink = 1 + Z**2 / denominator
    centre = (value + Z**2 / (2 * denominator)) / shrink
    half = Z * math.sqrt(value * (1 - value) / denominator + Z**2 / (4 * denominator**2)) / shrink
    return Interval(lower=max(0.0, min(centre - half, value)), upper=min(1.0, max(centre + half, value)), method=method)


def proportion(numerator: int, denominator: int, *, none: str) -> Proportion | NotDefined:
    """Compute a share with its interval; without cases it is not defined, and `none` says which cases are missing."""
    if denominator == 0:
        return NotDefined(reason=none)
    value = numerator / denominator
    return Proportion(value=value, interval=wilson(value, denominator), numerator=numerator, denominator=denominator)


def f1_score(true: int, false_positive: int, false_negative: int, *, none: str) -> Proportion | NotDefined:
    """F1 of a class: ``2 TP / (2 TP + FP + FN)``.

    F1 is no share of cases, but ``J = TP / (TP + FP + FN)`` is, and F1 = 2 J / (1 + J) grows with it (Hand, Christen
    and Kirielle, Machine Learning 110 (2021) 451); its interval is that of J, carried over.
    """
    share = proportion(true, true + false_positive + false_negative, none=none)
    if isinstance(share, NotDefined):
        return share
    lower, value, upper = (2 * j / (1 + j) for j in (share.interval.lower, share.value, share.interval.upper))
    return Proportion(
        value=value,
        interval=Interval(lower=lower, upper=upper, method="Wilson, of TP / (TP + FP + FN)"),
        numerator=2 * true,
        denominator=2 * true + false_positive + false_negative,
    )


def measures(cases: Iterable[tuple[bool, bool]], *, none: str) -> Measures | NotDefined:
    """Count the two-by-two table.

    Parameters
    ----------
    cases : iterable of (bool, bool)
        For each case whether it is malignant, and whether it was called so.
    none : str
        What to say when there is no case.
    """
    counted = list(cases)
    if not counted:
        return NotDefined(reason=none)
    tp, fp, fn, tn = (counted.count(case) for case in ((True, True), (False, True), (True, False), (False, False)))
    return Measures(
        true_positive=tp,
        false_positive=fp,
        false_negative=fn,
        true_negative=tn,
        accuracy=proportion(tp + tn, len(counted), none=none),
        precision=proportion(tp, tp + fp, none="none was called malignant"),
        sensitivity=proportion(tp, tp + fn, none="none is malignant"),
        specificity=proportion(tn, tn + fp, none="all are malignant"),
        negative_predictive_value=proportion(tn, tn + fn, none="all were called malignant"),
        f1=f1_score(tp, fp, fn, none="none is malignant, and none was called so"),
        f1_benign=f1_score(tn, fn, fp, none="all are malignant, and all were called so"),
    )
