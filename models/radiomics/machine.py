"""The support vector machine of the recipes, as a scikit-learn estimator with probabilities."""

from __future__ import annotations

from itertools import product
from typing import Any, Final, Self

import numpy as np
from imblearn.over_sampling import SMOTE
from imblearn.pipeline import make_pipeline as make_sampling_pipeline
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss
from sklearn.model_selection import cross_val_predict
from sklearn.svm import SVC

from models.radiomics.steps import splits_of

Floats = NDArray[np.float64]

COSTS: Final = (0.1, 1.0, 10.0)
WIDTHS: Final = (0.1, 0.3, 1.0)
"""C and gamma of the machine that are tried; gamma in units of ``1 / (features * variance of all rows)``."""

NEIGHBOURS: Final = 5
"""Of SMOTE (Chawla et al., JAIR 16:321, 2002); fewer where a class has fewer rows."""


def _columns(margins: Floats) -> Floats:
    """A column for every pair of classes, also where there is one pair."""
    return np.asarray(margins).reshape(len(margins), -1)


class BalancedSvm(ClassifierMixin, BaseEstimator):  # type: ignore[misc]  # scikit-learn ships without types
    """A support vector machine (RBF) whose training part is balanced by SMOTE, with calibrated probabilities.

    The margins of every pair of classes go into one multinomial logistic regression (L2, scikit-learn's strength): a
    class between two others is where both of its margins are positive, and no single margin of it against the rest
    says so. It learns from margins of rows that the machine had not learned from. SMOTE sees the rows that a machine is
    fitted to and no others: the rows that calibrate it are as they were measured, at their own prevalence.

    What came before in a recipe, the choice of features, has seen all of these rows. So probabilities are somewhat too
    sure, the more so the fewer lesions there are; a held-out AUC is not touched by that.

    Attributes
    ----------
    chosen_ : tuple of float
        C and gamma of the least cross-validated log loss, the latter as in `WIDTHS`.
    """

    def __init__(
        self,
        costs: tuple[float, ...] = COSTS,
        widths: tuple[float, ...] = WIDTHS,
        folds: int = 5,
        seed: int = 1,
    ) -> None:
        self.costs = costs
        self.widths = widths
        self.folds = folds
        self.seed = seed

    def fit(self, rows: Floats, labels: NDArray[Any], groups: NDArray[Any] | None = None) -> Self:
        """Learn from rows ``(n, features)`` and their classes; ``groups`` stay on one side of inner folds."""
        labels = np.asarray(labels)
        splits = splits_of(labels, groups, folds=self.folds, seed=self.seed)
        fewest = min(int(np.unique(labels[learned], return_counts=True)[1].min()) for learned, _ in splits)
        smote = SMOTE(k_neighbors=min(NEIGHBOURS, fewest - 1), random_state=self.seed)
        scale = 1.0 / (rows.shape[1] * (float(rows.var()) or 1.0))
        least = np.inf
        for cost, width in product(self.costs, self.widths):
            vectors = SVC(kernel="rbf", C=cost, gamma=width * scale, decision_function_shape="ovo")
            machine = make_sampling_pipeline(smote, vectors)
            margins = _columns(cross_val_predict(machine, rows, labels, cv=splits, method="decision_function"))
            calibration = LogisticRegression()
            said = cross_val_predict(calibration, margins, labels, cv=splits, method="predict_proba")
            loss = float(log_loss(labels, said))
            if loss < least:
                least, self.chosen_ = loss, (cost, width)
                self.machine_, self.calibration_ = machine, calibration.fit(margins, labels)
        self.machine_.fit(rows, labels)
        self.classes_ = self.calibration_.classes_
        return self

    def predict_proba(self, rows: Floats) -> Floats:
        """Return the probabilities, ``(n, classes)``, in the order of `classes_`."""
        return np.asarray(self.calibration_.predict_proba(_columns(self.machine_.decision_function(rows))))

    def predict(self, rows: Floats) -> NDArray[Any]:
        """Return the likeliest class of each row."""
        return np.asarray(self.classes_[self.predict_proba(rows).argmax(axis=1)])
