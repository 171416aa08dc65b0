"""Logistic regression of a binary outcome on covariates: odds ratios with Wald intervals, one covariate or several.

The fit is statsmodels' (iteratively reweighted least squares). Where patients have several cases the covariance is the
sandwich summed by patient (Liang and Zeger, Biometrika 73 (1986) 13). A figure that cannot be trusted is not given:
covariates that separate the classes, or some of them, have no finite odds ratio (Albert and Anderson, Biometrika 71
(1984) 1), and with fewer than five cases of the rarer class for each coefficient intervals no longer cover (Vittinghoff
and McCulloch, American Journal of Epidemiology 165 (2007) 710).
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linprog
from scipy.stats import chi2, norm

from models.evaluation.contract import Interval, NotDefined
from models.evaluation.covariates import Coded, coded
from models.evaluation.estimates import numbered
from models.evaluation.predictions import Covariate
from models.evaluation.proportions import Z

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

EVENTS_PER_COEFFICIENT: Final = 5
ENTRY_P_VALUE: Final = 0.1
"""A covariate enters the multivariate model when its p alone is below this. The paper on HER2 and sentinel nodes goes
from univariate to multivariate models likewise (its Tables 2 and 3) but does not tell its limit; 0.1 is common."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fit:
    """Coefficients, shape (k,), and their covariance, shape (k, k)."""

    coefficients: Floats
    covariance: Floats


@dataclass(frozen=True, slots=True, kw_only=True)
class OddsRatio:
    """How the odds of the positive class change with one unit, or against the reference; `p_value` is Wald's."""

    value: float
    interval: Interval
    p_value: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Effect:
    """A covariate in a model.

    Attributes
    ----------
    reference : str or None
        What the words of a covariate are compared with; None for a number.
    odds_ratios : mapping of str to OddsRatio
        By word; of a number one, "per unit".
    p_value : float
        Wald's, of all of them together.
    """

    reference: str | None
    odds_ratios: Mapping[str, OddsRatio]
    p_value: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    """A model of one covariate or several, on the cases that have them all; `positives` of these are of the class."""

    effects: Mapping[str, Effect]
    cases: int
    positives: int
    left_out: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Regression:
    """Each covariate alone, and together those whose p is below `entry_p_value` alone, with `always` in any case."""

    univariate: Mapping[str, Model | NotDefined]
    multivariate: Model | NotDefined
    entry_p_value: float
    always: tuple[str, ...]
    method: str


def regression(
    positive: Bools,
    covariates: Mapping[str, Covariate],
    patients: Sequence[Hashable],
    *,
    always: Sequence[str] = (),
) -> Regression:
    """Fit one model for each covariate, and one of those that matter alone.

    Parameters
    ----------
    positive : numpy.ndarray
        Shape (n,), bool.
    covariates : mapping of str to tuple
        One value a case; None where it is not known.
    patients : sequence of hashable
        Whose each case is.
    always : sequence of str
        Covariates that enter the multivariate model whatever their p, e.g. a model's score.
    """
    alone = {name: fit_model(positive, {name: values}, patients) for name, values in covariates.items()}
    chosen = {
        name: covariates[name]
        for name, model in alone.items()
        if name in always or (isinstance(model, Model) and model.effects[name].p_value < ENTRY_P_VALUE)
    }
    none = NotDefined(reason=f"no covariate has a p below {ENTRY_P_VALUE:g} alone")
    return Regression(
        univariate=alone,
        multivariate=fit_model(positive, chosen, patients) if chosen else none,
        entry_p_value=ENTRY_P_VALUE,
        always=tuple(always),
        method="logistic, Wald" + (", sandwich by patient" if len(set(patients)) < len(patients) else ""),
    )


def fit_model(positive: Bools, covariates: Mapping[str, Covariate], patients: Sequence[Hashable]) -> Model | NotDefined:
    """Fit a model of these covariates on the cases that have them all; parameters as for `regression`."""
    known = np.array([all(value is not None for value in row) for row in zip(*covariates.values(), strict=True)])
    if not known.any():
        return NotDefined(reason="no case has all of these covariates")
    parts: dict[str, Coded] = {}
    for name, values in covariates.items():
        part = coded([value for value, is_known in zip(values, known, strict=True) if is_known and value is not None])
        if isinstance(part, NotDefined):
            return part if len(covariates) == 1 else NotDefined(reason=f"{name}: {part.reason}")
        parts[name] = part
    truth = positive[known]
    design = np.column_stack([np.ones(len(truth)), *(column for part in parts.values() for column in part.columns.T)])
    fit = logistic(design, truth, [patients[case] for case in np.flatnonzero(known).tolist()])
    if isinstance(fit, NotDefined):
        return fit
    effects, first = {}, 1
    for name, part in parts.items():
        effects[name] = _effect(fit, part, slice(first, first + len(part.terms)))
        first += len(part.terms)
    return Model(effects=effects, cases=len(truth), positives=int(truth.sum()), left_out=len(positive) - len(truth))


def logistic(
    design: Floats,
    positive: Bools,
    patients: Sequence[Hashable] | None = None,
    *,
    offset: Floats | None = None,
    events_per_coefficient: int = EVENTS_PER_COEFFICIENT,
) -> Fit | NotDefined:
    """Fit ``logit P(positive) = design @ coefficients + offset``.

    Parameters
    ----------
    design : numpy.ndarray
        Shape (n, k), with a column of ones where there is an intercept.
    positive : numpy.ndarray
        Shape (n,), bool.
    patients : sequence of hashable, optional
        Whose each case is; without it every case is taken as independent.
    offset : numpy.ndarray, optional
        Shape (n,).
    events_per_coefficient : int
        How many cases of the rarer class each coefficient but the intercept needs.
    """
    from statsmodels.genmod.families import Binomial  # noqa: PLC0415  seconds to import; `--help` must not pay them
    from statsmodels.genmod.generalized_linear_model import GLM  # noqa: PLC0415

    rarer = int(min(positive.sum(), (~positive).sum()))
    needed = max(1, events_per_coefficient * (design.shape[1] - 1))
    if rarer < needed:
        return NotDefined(reason=f"too few events: {rarer} of the rarer class, {needed} are needed")
    spread = design.std(axis=0)
    scale = np.where(spread > 0, spread, 1.0)  # equal scales, so that rank and separation do not hang on units
    scaled = design / scale
    if np.linalg.matrix_rank(scaled) < design.shape[1]:
        return NotDefined(reason="the covariates determine each other, so that their effects cannot be told apart")
    if offset is None and separated(scaled, positive):
        return NotDefined(reason="the covariates separate the classes, or some cases of them (separation)")
    groups = None if patients is None or len(set(patients)) == len(positive) else numbered(patients)
    if groups is not None and len(set(groups.tolist())) <= design.shape[1]:
        return NotDefined(reason="too few patients for a variance by patient")
    how = {} if groups is None else {"cov_type": "cluster", "cov_kwds": {"groups": groups}}
    fitted = GLM(positive.astype(np.float64), scaled, family=Binomial(), offset=offset).fit(tol=1e-12, **how)
    covariance = np.asarray(fitted.cov_params(), dtype=np.float64) / np.outer(scale, scale)
    if not (fitted.converged and np.isfinite(covariance).all() and (np.diag(covariance) > 0).all()):
        return NotDefined(reason="the fit did not converge")
    return Fit(coefficients=np.asarray(fitted.params, dtype=np.float64) / scale, covariance=covariance)


def separated(design: Floats, positive: Bools) -> bool:
    """Whether some linear score has all positives at 0 or above, all others at 0 or below, and not all at 0.

    A linear programme finds the best such score (Konis, Linear Programming Algorithms for Detecting Separated Data,
    2007, section 4.4).
    """
    signed = design * np.where(positive, 1.0, -1.0)[:, None]
    best = linprog(-signed.sum(axis=0), A_ub=-signed, b_ub=np.zeros(len(signed)), bounds=(-1, 1), method="highs")
    return bool(best.status == 0 and -best.fun > 1e-6)


def odds_ratio(coefficient: float, variance: float) -> OddsRatio:
    """Give ``exp(coefficient)`` with Wald's interval and p."""
    error = math.sqrt(variance)
    with np.errstate(over="ignore"):
        value, lower, upper = np.exp([coefficient, coefficient - Z * error, coefficient + Z * error]).tolist()
    top = float(np.finfo(np.float64).max)
    interval = Interval(lower=lower, upper=min(upper, top), method="Wald")
    return OddsRatio(value=min(value, top), interval=interval, p_value=float(2 * norm.sf(abs(coefficient) / error)))


def _effect(fit: Fit, part: Coded, where: slice) -> Effect:
    coefficients, covariance = fit.coefficients[where], fit.covariance[where, where]
    ratios = {
        term: odds_ratio(float(coefficient), float(variance))
        for term, coefficient, variance in zip(part.terms, coefficients, np.diag(covariance), strict=True)
    }
    statistic = float(coefficients @ np.linalg.solve(covariance, coefficients))
    return Effect(reference=part.reference, odds_ratios=ratios, p_value=float(chi2.sf(statistic, df=len(coefficients))))
