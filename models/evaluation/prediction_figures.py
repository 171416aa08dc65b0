"""Everything that a report on predictions tells."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.special import logit

from models.evaluation.binary_figures import BinaryFigures, binary_figures
from models.evaluation.calibration import LEAST_PROBABILITY
from models.evaluation.cohort_table import CohortRow, cohort_table
from models.evaluation.contract import NotDefined
from models.evaluation.estimates import RESAMPLES
from models.evaluation.feature_clusters import FeatureClusters, feature_clusters
from models.evaluation.multiclass import MulticlassFigures, multiclass_figures
from models.evaluation.paired import Comparison, comparisons
from models.evaluation.predictions import Covariate, Predictions
from models.evaluation.regression import Regression, regression
from models.evaluation.reliability import ReadFeatures, Reliability, reliability

SEED: Final = 20231118
THRESHOLD: Final = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class FeatureFigures:
    """Of features that were measured apart from the predictions."""

    reliability: Reliability
    clusters: FeatureClusters | NotDefined


@dataclass(frozen=True, slots=True, kw_only=True)
class PredictionsEvaluation:
    """All figures.

    Attributes
    ----------
    title, data : str
        What was evaluated, in words.
    classes : tuple of str
        Of two, the second is the positive one.
    cases, patients : int
    cases_of_class : mapping of str to int
    threshold : float or None
        From which a case is called positive; None of several classes, where the likeliest is called.
    binary : mapping of str to BinaryFigures
        By model; empty of several classes.
    multiclass : mapping of str to MulticlassFigures
        By model; empty of two classes.
    comparisons : tuple of Comparison
    cohort : tuple of CohortRow
    regression : Regression or NotDefined
    features : FeatureFigures or None
    notes : tuple of str
        What a reader must know of these figures.
    """

    title: str
    data: str
    classes: tuple[str, ...]
    cases: int
    patients: int
    cases_of_class: Mapping[str, int]
    threshold: float | None
    binary: Mapping[str, BinaryFigures]
    multiclass: Mapping[str, MulticlassFigures]
    comparisons: tuple[Comparison, ...]
    cohort: tuple[CohortRow, ...]
    regression: Regression | NotDefined
    features: FeatureFigures | None
    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Drawn:
    """What the plots need beyond the figures: rho of the features, shape (features, features), in clusters' order."""

    correlations: NDArray[np.float64] = field(default_factory=lambda: np.empty((0, 0)))


def prediction_figures(
    predictions: Predictions,
    *,
    title: str,
    data: str,
    threshold: float = THRESHOLD,
    features: ReadFeatures | None = None,
    score_in_regression: str | None = None,
    seed: int = SEED,
    resamples: int = RESAMPLES,
) -> tuple[PredictionsEvaluation, Drawn]:
    """Compute all figures.

    Parameters
    ----------
    predictions : Predictions
    title, data : str
        What was evaluated, in words.
    threshold : float
        Of two classes: from which a case is called positive.
    features : ReadFeatures, optional
    score_in_regression : str, optional
        A model whose probability, as its logit, is a covariate of the regression, too.
    seed, resamples : int
        Of everything that is drawn.

    Raises
    ------
    KeyError
        `score_in_regression` is no model of the predictions.
    """
    clusters, correlations = feature_clusters(features) if features is not None else (None, np.empty((0, 0)))
    counted = Counter(predictions.truth)
    binary = predictions.binary
    evaluation = PredictionsEvaluation(
        title=title,
        data=data,
        classes=predictions.classes,
        cases=len(predictions.patients),
        patients=len(set(predictions.patients)),
        cases_of_class={name: counted[place] for place, name in enumerate(predictions.classes)},
        threshold=threshold if binary else None,
        binary={
            model: binary_figures(predictions, model, threshold=threshold, seed=seed, resamples=resamples)
            for model in (predictions.scores if binary else ())
        },
        multiclass={
            model: multiclass_figures(predictions, model, seed=seed, resamples=resamples)
            for model in (() if binary else predictions.scores)
        },
        comparisons=comparisons(predictions, threshold=threshold),
        cohort=cohort_table(predictions, seed=seed),
        regression=_regression(predictions, score_in_regression),
        features=(
            None
            if features is None or clusters is None
            else FeatureFigures(reliability=reliability(features), clusters=clusters)
        ),
        notes=_notes(predictions, threshold),
    )
    return evaluation, Drawn(correlations=correlations)


def _regression(predictions: Predictions, model: str | None) -> Regression | NotDefined:
    covariates: dict[str, Covariate] = dict(predictions.covariates)
    if model is not None:
        covariates[score_name(model)] = _logits(predictions, model)
    if not predictions.binary:
        return NotDefined(reason="odds ratios are of two classes")
    if not covariates:
        return NotDefined(reason="there are no covariates")
    always = () if model is None else (score_name(model),)
    return regression(predictions.positive, covariates, predictions.patients, always=always)


def score_name(model: str) -> str:
    """Give what a model's score is called among the covariates."""
    return f"logit of {model}"


def _logits(predictions: Predictions, model: str) -> Covariate:
    rows = predictions.scores[model]
    clipped = [
        None if row is None else float(np.clip(row[-1], LEAST_PROBABILITY, 1 - LEAST_PROBABILITY)) for row in rows
    ]
    return tuple(None if value is None else float(logit(value)) for value in clipped)


def _notes(predictions: Predictions, threshold: float) -> tuple[str, ...]:
    notes = []
    if predictions.clustered:
        notes.append(
            "Patients have several cases. Areas, their tests, resampled intervals and odds ratios take cases of one "
            "patient as one cluster; Wilson intervals, McNemar's test and kappa take cases as independent, so they are "
            "somewhat too sure of themselves."
        )
    if predictions.binary:
        notes.append(f"A case is called {predictions.classes[1]} from a probability of {threshold:g}.")
    else:
        notes.append("A case is given the class with the highest probability; of equals, the first.")
    return tuple(notes)
