"""The classifiers of the three papers, from features to probabilities, as pipelines of scikit-learn.

====================  =========================================================================================
radiomics-er          z-score; LassoCV, 22 a view at most; the best four of all subsets; Gaussian naive Bayes
radiomics-her2-       recursive elimination to six; random forest of 90 trees
ultrasound
radiomics-her2, node  ICC > 0.75; z-score; t-test, p < 0.05; LASSO; SVM with RBF kernel, SMOTE in training only
====================  =========================================================================================

All selection and scaling is learned in ``fit``. What is not defined of a lesion becomes the median of the others.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from sklearn.ensemble import RandomForestClassifier
from sklearn.feature_selection import RFE
from sklearn.impute import SimpleImputer
from sklearn.naive_bayes import GaussianNB
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

from models.radiomics.features import FEATURES_OF
from models.radiomics.machine import BalancedSvm
from models.radiomics.steps import (
    BestForNaiveBayes,
    LassoFeatures,
    SignificantFeatures,
    StableFeatures,
)

SELECTED: Final = 6
TREES: Final = 90
ELIMINATED: Final = 0.1
"""Share of the features that goes in each round of the elimination."""

ALPHAS: Final = tuple(float(alpha) for alpha in np.logspace(-4, 0, 40))
"""Four decades. Above 0.5 no standardised feature has any weight for a target of 0 and 1."""

GROUPED: Final = ("bestfornaivebayes", "lassofeatures", "balancedsvm")
"""Steps that cross-validate inside, and keep the rows of a patient together when they are told of them."""


def _median() -> Any:
    return SimpleImputer(strategy="median", keep_empty_features=True)


def forest(seed: int) -> Pipeline:
    """Imputation by the median, recursive elimination down to six features, a random forest of 90 trees."""
    given = {"n_estimators": TREES, "class_weight": "balanced", "random_state": seed, "n_jobs": 1}
    return make_pipeline(
        _median(),
        RFE(RandomForestClassifier(**given), n_features_to_select=SELECTED, step=ELIMINATED),
        RandomForestClassifier(**given),
    )


def naive_bayes(seed: int, features: int = FEATURES_OF["radiomics-er"]) -> Pipeline:
    """Four features of two views, each of `features` side by side, and Gaussian naive Bayes."""
    return make_pipeline(_median(), StandardScaler(), BestForNaiveBayes(features, seed=seed), GaussianNB())


def stable_svm(seed: int, features: int = FEATURES_OF["radiomics-node"]) -> Pipeline:
    """Stable, differing features with weight in a LASSO, and a support vector machine.

    Rows to fit to hold the features twice: by the outline that counts, and by a second one.
    """
    return make_pipeline(
        StableFeatures(features),
        _median(),
        StandardScaler(),
        SignificantFeatures(),
        LassoFeatures(alphas=ALPHAS, seed=seed),
        BalancedSvm(seed=seed),
    )


def recipe(model: str, seed: int) -> Pipeline:
    """Return the unfitted classifier of a model of `FEATURES_OF`."""
    if model == "radiomics-er":
        return naive_bayes(seed)
    return forest(seed) if model == "radiomics-her2-ultrasound" else stable_svm(seed, FEATURES_OF[model])


def takes_two_outlines(model: str) -> bool:
    """Whether the rows to fit to hold the features by two outlines."""
    return model in ("radiomics-her2", "radiomics-node")


def fit(pipeline: Pipeline, rows: NDArray[np.float64], labels: NDArray[Any], groups: NDArray[Any]) -> Pipeline:
    """Fit in place, with the rows of a group (a patient) on one side of every inner fold."""
    return pipeline.fit(rows, labels, **{f"{name}__groups": groups for name in GROUPED if name in pipeline.named_steps})


def selected_columns(pipeline: Pipeline, columns: int) -> NDArray[np.intp]:
    """Which of the columns of a row the fitted classifier looks at, in the order in which it does."""
    kept = np.arange(columns)
    for _, step in pipeline.steps[:-1]:
        if hasattr(step, "kept_"):
            kept = kept[step.kept_]
        elif hasattr(step, "support_"):
            kept = kept[step.support_]
    return kept


def fallbacks(pipeline: Pipeline) -> tuple[str, ...]:
    """Steps that kept their single best feature because none passed."""
    return tuple(name for name, step in pipeline.steps if getattr(step, "fell_back_", False))


def machine_of(pipeline: Pipeline) -> dict[str, tuple[float, float]]:
    """C and gamma of the fitted support vector machine, as `BalancedSvm.chosen_`; nothing where there is none."""
    last = pipeline.steps[-1][1]
    return {"svm_c_and_gamma": last.chosen_} if isinstance(last, BalancedSvm) else {}
