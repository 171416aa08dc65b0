"""Models against each other on the same cases: areas by DeLong's test, decisions by McNemar's, corrected by Holm."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from typing import Final, TypeVar

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binomtest, chi2

from models.evaluation.binary_figures import ONE_CLASS, area
from models.evaluation.contract import NotDefined
from models.evaluation.predictions import Predictions
from models.evaluation.roc import DelongTest, delong_test

Bools = NDArray[np.bool_]

EXACT_BELOW: Final = 25
"""Discordant cases from which the chi-square approximation is used."""


@dataclass(frozen=True, slots=True, kw_only=True)
class McnemarTest:
    """Whether two models are right equally often (McNemar, Psychometrika 12 (1947) 153). Cases count as independent.

    Attributes
    ----------
    first_only, second_only : int
        Cases that only this model got right.
    statistic : float or None
        Chi-square with Edwards' continuity correction; None for the exact binomial test.
    p_value : float
        Two-sided.
    method : str
    """

    first_only: int
    second_only: int
    statistic: float | None
    p_value: float
    method: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """Two models.

    Attributes
    ----------
    first, second : str
    cases : int
        That have both scores.
    delong : DelongTest or NotDefined
    delong_holm, mcnemar_holm : float or NotDefined
        p, corrected by Holm over all comparisons of which the test is defined.
    mcnemar : McnemarTest or NotDefined
        Of the decisions at the threshold; of several classes, of the likeliest class.
    """

    first: str
    second: str
    cases: int
    delong: DelongTest | NotDefined
    delong_holm: float | NotDefined
    mcnemar: McnemarTest | NotDefined
    mcnemar_holm: float | NotDefined


def comparisons(predictions: Predictions, *, threshold: float) -> tuple[Comparison, ...]:
    """Compare every two models, in the order of the scores; `threshold` as for `binary_figures`."""
    pairs = tuple(_compared(predictions, *pair, threshold) for pair in combinations(predictions.scores, 2))
    of_areas, of_decisions = holm([pair.delong for pair in pairs]), holm([pair.mcnemar for pair in pairs])
    return tuple(
        replace(pair, delong_holm=areas, mcnemar_holm=decisions)
        for pair, areas, decisions in zip(pairs, of_areas, of_decisions, strict=True)
    )


def mcnemar(first_right: Bools, second_right: Bools) -> McnemarTest:
    """Test whether two models are right equally often; shapes (n,), bool.

    Exact below `EXACT_BELOW` discordant cases. The correction never goes below 0: equal counts give p = 1.
    """
    b, c = int((first_right & ~second_right).sum()), int((~first_right & second_right).sum())
    if b + c < EXACT_BELOW:
        p_value = 1.0 if b == c else float(binomtest(b, b + c).pvalue)
        return McnemarTest(first_only=b, second_only=c, statistic=None, p_value=p_value, method="exact binomial")
    statistic = max(abs(b - c) - 1, 0) ** 2 / (b + c)
    p_value = float(chi2.sf(statistic, df=1))
    method = "chi-square with continuity correction"
    return McnemarTest(first_only=b, second_only=c, statistic=statistic, p_value=p_value, method=method)


Test = TypeVar("Test", DelongTest, McnemarTest)


def holm(tests: Sequence[Test | NotDefined]) -> list[float | NotDefined]:
    """Correct p-values for their number (Holm, Scandinavian Journal of Statistics 6 (1979) 65)."""
    from statsmodels.stats.multitest import multipletests  # noqa: PLC0415  seconds to import

    p_values = [test.p_value for test in tests if not isinstance(test, NotDefined)]
    corrected = iter(multipletests(p_values, method="holm")[1].tolist() if p_values else ())
    return [test if isinstance(test, NotDefined) else next(corrected) for test in tests]


def _compared(predictions: Predictions, first: str, second: str, threshold: float) -> Comparison:
    cases = predictions.with_score(first, second)
    none = NotDefined(reason="no case has both scores")
    one, other = (predictions.probabilities(model, cases) for model in (first, second))
    truth = np.array(predictions.truth, dtype=np.intp)[cases]
    compared: DelongTest | NotDefined = none
    decided: McnemarTest | NotDefined = none
    if len(cases):
        right = [(_called(rows, threshold) == truth) for rows in (one, other)]
        decided = mcnemar(*right)
        compared = NotDefined(reason="areas are compared of two classes only")
        if predictions.binary:
            compared = _areas(predictions, cases, one[:, 1], other[:, 1])
    return Comparison(
        first=first,
        second=second,
        cases=len(cases),
        delong=compared,
        delong_holm=none,
        mcnemar=decided,
        mcnemar_holm=none,
    )


def _areas(
    predictions: Predictions, cases: NDArray[np.intp], one: NDArray[np.float64], other: NDArray[np.float64]
) -> DelongTest | NotDefined:
    positive, patients = predictions.positive[cases], predictions.patients_of(cases)
    if positive.all() or not positive.any():
        return NotDefined(reason=ONE_CLASS)
    for scores in (one, other):
        if isinstance(missing := area(positive, scores, patients), NotDefined):
            return missing
    return delong_test(positive.tolist(), one.tolist(), other.tolist(), patients=patients)


def _called(probabilities: NDArray[np.float64], threshold: float) -> NDArray[np.intp]:
    if probabilities.shape[1] == 2:
        return (probabilities[:, 1] >= threshold).astype(np.intp)
    return np.asarray(probabilities.argmax(axis=1), dtype=np.intp)
