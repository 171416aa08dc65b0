"""Steps of the recipes as scikit-learn estimators: each learns in ``fit``, so that a cross-validation cannot leak."""

from __future__ import annotations

import warnings
from itertools import combinations
from typing import Any, Final, Self

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata, ttest_ind
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import Lasso
from sklearn.model_selection import StratifiedGroupKFold
from sklearn.utils.class_weight import compute_sample_weight

from models.evaluation.reliability import STABLE, intraclass_correlation

Floats = NDArray[np.float64]
Splits = list[tuple[NDArray[np.intp], NDArray[np.intp]]]

LEAST_OF_A_CLASS: Final = 6
"""Fewer rows of a class are not learned from: inner folds would lack it, and SMOTE would have no neighbours."""

FALLING: Final = 10.0
"""Strengths of LASSO so many times below the best so far are not tried: the error rises by then, and they take long."""

ITERATIONS: Final = 1000
"""Of LASSO where the paper names none: scikit-learn's."""


def splits_of(labels: NDArray[Any], groups: NDArray[Any] | None, *, folds: int, seed: int) -> Splits:
    """Inner folds: of the same share of classes, and with all rows of a group (a patient) on the same side.

    Every class is on both sides of each, so there are fewer folds than asked for where a class has few patients.

    Raises
    ------
    ValueError
        A class has fewer than `LEAST_OF_A_CLASS` rows, or too few patients for every fold to learn and measure it.
    """
    classes, counts = np.unique(labels, return_counts=True)
    if len(classes) < 2 or counts.min() < LEAST_OF_A_CLASS:
        raise ValueError(f"every class takes at least {LEAST_OF_A_CLASS} lesions, and there are two classes at least")
    of = np.arange(len(labels)) if groups is None else groups
    fewest = min(len(np.unique(of[labels == wanted])) for wanted in classes)
    for count in range(min(folds, fewest), 1, -1):
        found = StratifiedGroupKFold(n_splits=count, shuffle=True, random_state=seed).split(labels, labels, of)
        splits = [(learned, measured) for learned, measured in found]
        if all(
            _holds(labels[learned], classes, 2) and _holds(labels[measured], classes, 1) for learned, measured in splits
        ):
            return splits
    raise ValueError(f"a class of {fewest} patients takes more of them: every inner fold is to learn and measure it")


def _holds(labels: NDArray[Any], classes: NDArray[Any], least: int) -> bool:
    """Whether there are so many rows of every class."""
    return all(int((labels == wanted).sum()) >= least for wanted in classes)


class StableFeatures(TransformerMixin, BaseEstimator):  # type: ignore[misc]  # scikit-learn ships without types
    """Keeps the features that two outlines of a lesion agree on: ICC(2,1) above a threshold.

    Rows to fit to hold the features twice, by the first outline and then by the second; rows to transform may hold the
    first alone. Where none is stable, the most stable one is kept (`fell_back_`).

    Attributes
    ----------
    kept_ : numpy.ndarray
        Columns that are kept.
    """

    def __init__(self, features: int, least: float = STABLE) -> None:
        self.features = features
        self.least = least

    def fit(self, rows: Floats, labels: object = None) -> Self:
        """Learn which from rows ``(n, 2 * features)``; the classes have no say."""
        if rows.shape[1] != 2 * self.features:
            raise ValueError(f"to fit, rows hold {self.features} features twice, not {rows.shape[1]} values")
        first, second = rows[:, : self.features], rows[:, self.features :]
        rated = np.stack([first, second], axis=1)  # (lesions, outlines, features)
        both = np.asarray(np.isfinite(rated).all(axis=1))
        whole = both.all(axis=0)
        correlation = np.full(self.features, np.nan)
        correlation[whole] = intraclass_correlation(rated[:, :, whole])
        for column in np.flatnonzero(~whole & (both.sum(axis=0) > 2)):  # not defined for some lesions
            correlation[column] = intraclass_correlation(rated[both[:, column], :, column])
        correlation = np.where(np.isnan(correlation), -np.inf, correlation)
        stable = np.flatnonzero(correlation > self.least)
        self.fell_back_ = not len(stable)
        self.kept_ = stable if len(stable) else np.array([int(correlation.argmax())])
        return self

    def transform(self, rows: Floats) -> Floats:
        """Return the columns that are kept."""
        if rows.shape[1] not in (self.features, 2 * self.features):
            raise ValueError(f"rows hold {self.features} features once or twice, not {rows.shape[1]} values")
        return np.asarray(rows[:, : self.features][:, self.kept_])


def _one_against_the_rest(labels: NDArray[Any]) -> list[NDArray[np.bool_]]:
    classes = np.unique(labels)
    return [labels == wanted for wanted in (classes[1:] if len(classes) == 2 else classes)]


def _p_values(rows: Floats, positive: NDArray[np.bool_]) -> Floats:
    """Student's t-test of each column; 1 where nothing varies."""
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore", RuntimeWarning)  # SciPy's, of columns that are all but constant
        found = np.asarray(ttest_ind(rows[positive], rows[~positive], axis=0).pvalue)
    return np.where(np.isnan(found), 1.0, found)


class SignificantFeatures(TransformerMixin, BaseEstimator):  # type: ignore[misc]  # scikit-learn ships without types
    """Keeps the features that differ by an independent-samples t-test; of several classes, of any against the rest.

    Where none differs, the one of the smallest p is kept (`fell_back_`).

    Attributes
    ----------
    kept_ : numpy.ndarray
        Columns that are kept.
    """

    def __init__(self, level: float = 0.05) -> None:
        self.level = level

    def fit(self, rows: Floats, labels: NDArray[Any]) -> Self:
        """Learn which from rows ``(n, features)`` and their classes."""
        found = np.min([_p_values(rows, positive) for positive in _one_against_the_rest(np.asarray(labels))], axis=0)
        differing = np.flatnonzero(found < self.level)
        self.fell_back_ = not len(differing)
        self.kept_ = differing if len(differing) else np.array([int(found.argmin())])
        return self

    def transform(self, rows: Floats) -> Floats:
        """Return the columns that are kept."""
        return np.asarray(rows[:, self.kept_])


class LassoFeatures(TransformerMixin, BaseEstimator):  # type: ignore[misc]  # scikit-learn ships without types
    """Keeps the features to which a cross-validated LASSO gives weight; of several classes, of any against the rest.

    Where it gives none any, the single best by the t-test is kept (`fell_back_`).

    Parameters
    ----------
    alphas : tuple of float or None
        Strengths to choose from; None: those that scikit-learn takes.
    folds : int
        Of the cross-validation.
    most : int or None
        Keep so many at most, of the largest weights.
    weighted : bool
        Whether both sides weigh the same in all.

    Attributes
    ----------
    kept_ : numpy.ndarray
        Columns that are kept.
    alphas_ : list of float
        Chosen strengths, one a regression.
    """

    def __init__(
        self,
        *,
        alphas: tuple[float, ...] | None = None,
        folds: int = 10,
        most: int | None = None,
        weighted: bool = True,
        iterations: int = 100_000,
        seed: int = 1,
    ) -> None:
        self.alphas = alphas
        self.folds = folds
        self.most = most
        self.weighted = weighted
        self.iterations = iterations
        self.seed = seed

    def fit(self, rows: Floats, labels: NDArray[Any], groups: NDArray[Any] | None = None) -> Self:
        """Learn from rows ``(n, features)`` and their classes; ``groups`` stay on one side of inner folds."""
        labels = np.asarray(labels)
        splits = splits_of(labels, groups, folds=self.folds, seed=self.seed)
        weights, self.alphas_ = np.zeros(rows.shape[1]), []
        for positive in _one_against_the_rest(labels):
            balance = compute_sample_weight("balanced", positive) if self.weighted else np.ones(len(labels))
            alpha, found = self._chosen(rows, positive.astype(np.float64), balance, splits)
            weights = np.maximum(weights, np.abs(found))
            self.alphas_.append(alpha)
        order = np.argsort(-weights, kind="stable")[: int(np.count_nonzero(weights))][: self.most]
        self.fell_back_ = not len(order)
        if self.fell_back_:
            sides = _one_against_the_rest(labels)
            order = np.array([int(np.min([_p_values(rows, positive) for positive in sides], axis=0).argmin())])
        self.kept_ = np.sort(order)
        return self

    def _chosen(self, rows: Floats, wanted: Floats, balance: Floats, splits: Splits) -> tuple[float, Floats]:
        """Return the strength of the least cross-validated error, and the weights that it gives all rows."""
        whole = _Regression(rows, wanted, balance, self.iterations)
        strengths = whole.greatest * np.logspace(0, -3, 50) if self.alphas is None else np.array(self.alphas)
        folds = [_Regression(rows[one], wanted[one], balance[one], self.iterations) for one, _ in splits]
        # From here on no fold gives weight: of these, one is as good as all, and `FALLING` counts from the weakest.
        strengths = np.sort(strengths)[::-1]
        idle = strengths >= max(fold.greatest for fold in folds)
        tried = [*strengths[idle][-1:].tolist(), *strengths[~idle].tolist()]
        best, least = tried[0], np.inf
        for alpha in tried:
            if alpha < best / FALLING:
                break
            errors = [
                fold.fitted(alpha).error(rows[left], wanted[left], balance[left])
                for fold, (_, left) in zip(folds, splits, strict=True)
            ]
            if (error := float(np.sum(errors))) < least * (1.0 - 1e-9):
                best, least = alpha, error
        return best, whole.fitted(best).weights

    def transform(self, rows: Floats) -> Floats:
        """Return the columns that are kept."""
        return np.asarray(rows[:, self.kept_])


class _Regression:
    """A LASSO of weighted rows, which begins at each strength with what it found at the one before."""

    def __init__(self, rows: Floats, wanted: Floats, balance: Floats, iterations: int) -> None:
        self._mean, self._level = np.average(rows, axis=0, weights=balance), np.average(wanted, weights=balance)
        root = np.sqrt(balance * len(balance) / balance.sum())
        self._rows = np.asfortranarray((rows - self._mean) * root[:, None])
        self._wanted = (wanted - self._level) * root
        gram = self._rows.T @ self._rows if rows.shape[0] > rows.shape[1] else False
        self._lasso = Lasso(fit_intercept=False, warm_start=True, max_iter=iterations, tol=1e-4, precompute=gram)
        self.greatest = float(np.abs(self._rows.T @ self._wanted).max() / len(rows))

    def fitted(self, alpha: float) -> Self:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)  # as near as the iterations allow
            self._lasso.set_params(alpha=alpha).fit(self._rows, self._wanted)
        return self

    @property
    def weights(self) -> Floats:
        return np.asarray(self._lasso.coef_)

    def error(self, rows: Floats, wanted: Floats, balance: Floats) -> float:
        return float((balance * (wanted - self._level - (rows - self._mean) @ self.weights) ** 2).sum())


def naive_bayes_evidence(rows: Floats, positive: NDArray[np.bool_], splits: Splits) -> list[Floats]:
    """For each fold, what each feature adds to the log odds of its rows, by Gaussian naive Bayes fitted to the others.

    Naive Bayes adds its features up, so the score of any subset is a sum of columns.
    """
    found = []
    for learned, measured in splits:
        smoothing = 1e-9 * rows[learned].var(axis=0).max()  # as scikit-learn's GaussianNB
        sides = []
        for side in (True, False):
            of_side = rows[learned][positive[learned] == side]
            mean, variance = of_side.mean(axis=0), of_side.var(axis=0) + smoothing
            sides.append(-0.5 * (np.log(variance) + (rows[measured] - mean) ** 2 / variance))
        found.append(sides[0] - sides[1])
    return found


def best_subset(rows: Floats, labels: NDArray[Any], splits: Splits, size: int) -> NDArray[np.intp]:
    """Return the `size` columns with the highest cross-validated AUC of Gaussian naive Bayes, of all subsets.

    The mean over the folds of the AUC; at equal figures the first subset. Of 22 columns there are 7,315 of four.
    """
    positive = np.asarray(labels) == np.unique(labels)[1]
    subsets = np.array(list(combinations(range(rows.shape[1]), min(size, rows.shape[1]))))
    total = np.zeros(len(subsets))
    for (_, measured), evidence in zip(splits, naive_bayes_evidence(rows, positive, splits), strict=True):
        scores = evidence[:, subsets].sum(axis=2)
        wanted = positive[measured]
        count = int(wanted.sum())
        ranks = rankdata(scores, axis=0)[wanted].sum(axis=0)
        total += (ranks - count * (count + 1) / 2) / (count * (len(wanted) - count))
    return np.asarray(subsets[int(total.argmax())])


class BestForNaiveBayes(TransformerMixin, BaseEstimator):  # type: ignore[misc]  # scikit-learn ships without types
    """The features of the paper's comparator: of each view, LASSO and the best four; of these, the best four.

    The paper keeps 22 features of a view by LassoCV, goes through all subsets of four, and then through all subsets of
    four of the eight.

    Parameters
    ----------
    features : int
        Of one view; rows hold those of the views side by side.

    Attributes
    ----------
    kept_ : numpy.ndarray
        Columns that are kept.
    """

    def __init__(self, features: int, most: int = 22, size: int = 4, folds: int = 5, seed: int = 1) -> None:
        self.features = features
        self.most = most
        self.size = size
        self.folds = folds
        self.seed = seed

    def fit(self, rows: Floats, labels: NDArray[Any], groups: NDArray[Any] | None = None) -> Self:
        """Learn from rows ``(n, features)`` and their classes; ``groups`` stay on one side of inner folds."""
        labels = np.asarray(labels)
        splits = splits_of(labels, groups, folds=self.folds, seed=self.seed)
        chosen: list[int] = []
        self.fell_back_ = False
        for start in range(0, rows.shape[1], self.features):
            of_view = rows[:, start : start + self.features]
            lasso = LassoFeatures(
                folds=self.folds, most=self.most, weighted=False, iterations=ITERATIONS, seed=self.seed
            )
            kept = lasso.fit(of_view, labels, groups).kept_
            self.fell_back_ |= lasso.fell_back_
            best = best_subset(of_view[:, kept], labels, splits, self.size)
            chosen += (start + kept[best]).tolist()
        self.kept_ = np.array(chosen)[best_subset(rows[:, chosen], labels, splits, self.size)]
        return self

    def transform(self, rows: Floats) -> Floats:
        """Return the columns that are kept."""
        return np.asarray(rows[:, self.kept_])
