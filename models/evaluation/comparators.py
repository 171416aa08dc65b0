"""The two comparators of the paper on HER2, fold by fold: radiomics with a random forest, and clinical with an SVM.

Radiomics: six features by recursive elimination, then a random forest of 90 trees (Xu et al., Front. Oncol. 12:829041,
2022), which is `models.radiomics.recipes.forest`. The paper does not say by what features are eliminated: by the
importance in such a forest, a tenth in each round. Clinical: age, stage and BI-RADS in a support vector machine, with
the usual kernel (RBF). All of it, selection and scaling too, sees only the folds that are not measured.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

Floats = NDArray[np.float64]


def clinical_model(seed: int) -> Any:
    """Standardisation, and a support vector machine."""
    return make_pipeline(StandardScaler(), SVC(class_weight="balanced", random_state=seed))


def out_of_fold(
    model: Any, features: Sequence[Floats | None], positive: Sequence[bool], folds: Sequence[int]
) -> list[float | None]:
    """Score every case by a model that was fitted to the other folds.

    Parameters
    ----------
    model : sklearn estimator
        Fitted anew for each fold.
    features : sequence of numpy.ndarray or None
        Of each case, of one length; None: not known, and the case is neither learned from nor scored.
    positive, folds : sequence
        Of each case.

    Returns
    -------
    list of float or None
        Larger for the second class; None for cases without features, or when the other folds lack a class.
    """
    scores: list[float | None] = [None] * len(features)
    known = [index for index, values in enumerate(features) if values is not None]
    for fold in sorted({folds[index] for index in known}):
        learned = [index for index in known if folds[index] != fold]
        measured = [index for index in known if folds[index] == fold]
        if len({positive[index] for index in learned}) < 2:
            continue
        model.fit(np.array([features[index] for index in learned]), [positive[index] for index in learned])
        given = np.array([features[index] for index in measured])
        found = model.predict_proba(given)[:, 1] if hasattr(model, "predict_proba") else model.decision_function(given)
        for index, score in zip(measured, found.tolist(), strict=True):
            scores[index] = float(score)
    return scores
