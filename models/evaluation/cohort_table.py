"""The table of a cohort: each covariate by outcome, with the test that its kind and its distribution call for.

Numbers: Shapiro and Wilk's test of each class; where none is far from normal, Student's t (Welch's where Levene's test
finds unequal spread), of several classes one-way analysis of variance; else Mann-Whitney or Kruskal-Wallis. Words:
chi-square, or Fisher's exact test where fewer than 5 cases are expected in a cell. A patient with several cases counts
once for each class and value.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from models.evaluation.contract import NotDefined
from models.evaluation.covariates import CONSTANT, is_number, word, words
from models.evaluation.predictions import Predictions

Floats = NDArray[np.float64]

NORMAL_P_VALUE: Final = 0.05
FEWEST_EXPECTED: Final = 5.0
SHAPIRO_CASES: Final = (3, 5000)
"""Of fewer cases the test is not defined; of more its p is not accurate, and it finds departures that do not matter."""

MONTE_CARLO_TABLES: Final = 99_999
"""Fisher's test of more than two rows or columns draws so many tables (Patefield's algorithm)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NumberSummary:
    """A measured covariate in a class; the standard deviation is that of a sample (n - 1), None of one case."""

    cases: int
    mean: float
    standard_deviation: float | None
    median: float
    lower_quartile: float
    upper_quartile: float


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupTest:
    """A test between the classes.

    Attributes
    ----------
    name : str
    statistic : float or None
        None for Fisher's test.
    p_value : float
        Two-sided.
    """

    name: str
    statistic: float | None
    p_value: float


@dataclass(frozen=True, slots=True, kw_only=True)
class CohortRow:
    """One covariate.

    Attributes
    ----------
    numbers : mapping of str to (NumberSummary or NotDefined), or None
        By class; None for words.
    counts : mapping of str to mapping of str to int, or None
        By word, then by class; None for numbers.
    test : GroupTest or NotDefined
    missing : int
        Cases without it.
    """

    covariate: str
    numbers: Mapping[str, NumberSummary | NotDefined] | None
    counts: Mapping[str, Mapping[str, int]] | None
    test: GroupTest | NotDefined
    missing: int


def cohort_table(predictions: Predictions, *, seed: int) -> tuple[CohortRow, ...]:
    """Make the table of all covariates; `seed` is of Fisher's test where it draws tables."""
    return tuple(_row(predictions, name, seed) for name in predictions.covariates)


def _row(predictions: Predictions, name: str, seed: int) -> CohortRow:
    values = predictions.covariates[name]
    once = dict.fromkeys(zip(predictions.patients, predictions.truth, values, strict=True))
    given = [(number, value) for _, number, value in once if value is not None]
    missing = sum(value is None for value in values)
    by_class = {
        label: [value for number, value in given if number == place] for place, label in enumerate(predictions.classes)
    }
    everything = [value for _, value in given]
    if everything and is_number(everything):
        samples = {label: np.array(some, dtype=np.float64) for label, some in by_class.items()}
        return CohortRow(
            covariate=name,
            numbers={label: summary(sample) for label, sample in samples.items()},
            counts=None,
            test=compare_numbers(list(samples.values())),
            missing=missing,
        )
    categories = words(everything)
    if isinstance(categories, NotDefined):
        return CohortRow(covariate=name, numbers=None, counts=None, test=categories, missing=missing)
    counted = {label: Counter(map(word, some)) for label, some in by_class.items()}
    counts = {category: {label: counted[label][category] for label in by_class} for category in categories}
    table = np.array([list(row.values()) for row in counts.values()], dtype=np.intp).reshape(-1, len(by_class))
    return CohortRow(
        covariate=name, numbers=None, counts=counts, test=compare_counts(table, seed=seed), missing=missing
    )


def summary(sample: Floats) -> NumberSummary | NotDefined:
    """Summarise numbers of a class, shape (n,); quartiles are interpolated."""
    if not len(sample):
        return NotDefined(reason="no case of this class has it")
    lower, median, upper = np.quantile(sample, [0.25, 0.5, 0.75]).tolist()
    return NumberSummary(
        cases=len(sample),
        mean=float(sample.mean()),
        standard_deviation=float(sample.std(ddof=1)) if len(sample) > 1 else None,
        median=median,
        lower_quartile=lower,
        upper_quartile=upper,
    )


def compare_numbers(samples: Sequence[Floats]) -> GroupTest | NotDefined:
    """Test whether numbers differ between classes; one array of shape (n,) a class."""
    if any(len(sample) < 2 for sample in samples):
        return NotDefined(reason="a class has fewer than two cases that have it")
    if np.ptp(np.concatenate(samples)) == 0:
        return NotDefined(reason=CONSTANT)
    two = len(samples) == 2
    if not all(map(looks_normal, samples)):
        name = "Mann-Whitney U" if two else "Kruskal-Wallis"
        found = stats.mannwhitneyu(*samples, method="asymptotic") if two else stats.kruskal(*samples)
    else:
        equal = stats.levene(*samples, center="mean").pvalue >= NORMAL_P_VALUE
        if two:
            name = "Student's t" if equal else "Welch's t"
            found = stats.ttest_ind(*samples, equal_var=bool(equal))
        else:
            name = "one-way ANOVA" if equal else "Welch's ANOVA"
            found = stats.f_oneway(*samples, equal_var=bool(equal))
    return GroupTest(name=name, statistic=float(found.statistic), p_value=float(found.pvalue))


def looks_normal(sample: Floats) -> bool:
    """Whether Shapiro and Wilk's test does not find numbers, shape (n,), far from normal."""
    least, most = SHAPIRO_CASES
    if len(sample) < least or np.ptp(sample) == 0:
        return False
    return len(sample) > most or float(stats.shapiro(sample).pvalue) >= NORMAL_P_VALUE


def compare_counts(table: NDArray[np.intp], *, seed: int) -> GroupTest | NotDefined:
    """Test whether words and classes go together; `table` is of counts, words in rows and classes in columns."""
    table = table[table.sum(axis=1) > 0]
    if not len(table):
        return NotDefined(reason="no case has it")
    if (table.sum(axis=0) == 0).any():
        return NotDefined(reason="a class has no case that has it")
    if len(table) < 2:
        return NotDefined(reason=CONSTANT)
    if stats.contingency.expected_freq(table).min() >= FEWEST_EXPECTED:
        found = stats.chi2_contingency(table, correction=False)
        return GroupTest(name="chi-square", statistic=float(found.statistic), p_value=float(found.pvalue))
    if table.shape == (2, 2):
        p_value = float(stats.fisher_exact(table).pvalue)
        return GroupTest(name="Fisher's exact", statistic=None, p_value=p_value)
    draw = stats.MonteCarloMethod(n_resamples=MONTE_CARLO_TABLES, rng=np.random.default_rng(seed))
    p_value = float(stats.fisher_exact(table, method=draw).pvalue)
    return GroupTest(name=f"Fisher's exact, {MONTE_CARLO_TABLES} tables drawn", statistic=None, p_value=p_value)
