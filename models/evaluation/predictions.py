"""Predictions of any models for the same cases, wherever they were made: what an evaluation of predictions reads."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final, TypeVar

import numpy as np
from numpy.typing import NDArray

Value = TypeVar("Value")
Floats = NDArray[np.float64]
Covariate = tuple[float | str | None, ...]
"""One value a case: numbers or words, not both; None where it is not known."""

TOTAL_TOLERANCE: Final = 0.02
"""By how much the probabilities of a case may miss 1: four, each rounded to two decimals, miss it by no more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Predictions:
    """Cases with their truth, and what each model said of them. A case is a row: a lesion, a breast or a patient.

    Attributes
    ----------
    classes : tuple of str
        Names of the classes; of two, the second is the positive one.
    patients : tuple of str
        Pseudonym of each case's patient; cases of one patient count as one cluster.
    truth : tuple of int
        Class of each case, as a place in `classes`.
    scores : mapping of str to tuple
        By model, for each case its probabilities in the order of `classes`; None where the model gave none.
    folds, splits : tuple of (str or None)
        Of each case; None where it has none.
    covariates : mapping of str to tuple
        By name, one value a case.

    Raises
    ------
    ValueError
        Numbers of cases differ, a truth is no class, or probabilities are not such or do not add up to 1.
    """

    classes: tuple[str, ...]
    patients: tuple[str, ...]
    truth: tuple[int, ...]
    scores: Mapping[str, tuple[tuple[float, ...] | None, ...]]
    folds: tuple[str | None, ...]
    splits: tuple[str | None, ...]
    covariates: Mapping[str, Covariate]

    def __post_init__(self) -> None:
        columns = (self.truth, self.folds, self.splits, *self.scores.values(), *self.covariates.values())
        if any(len(column) != len(self.patients) for column in columns):
            raise ValueError("patients, truth, scores, folds, splits and covariates are of different numbers of cases")
        if len(self.classes) < 2 or not all(0 <= number < len(self.classes) for number in self.truth):
            raise ValueError("there are two classes at least, and each truth is the number of one")
        if not all(row is None or self._are_probabilities(row) for column in self.scores.values() for row in column):
            raise ValueError("each case has one probability a class, and they add up to 1")

    def _are_probabilities(self, row: Sequence[float]) -> bool:
        possible = len(row) == len(self.classes) and all(0.0 <= value <= 1.0 for value in row)
        return possible and math.isclose(sum(row), 1.0, abs_tol=TOTAL_TOLERANCE)

    @property
    def binary(self) -> bool:
        """Whether there are two classes."""
        return len(self.classes) == 2

    @property
    def clustered(self) -> bool:
        """Whether a patient has several cases."""
        return len(set(self.patients)) < len(self.patients)

    @property
    def positive(self) -> NDArray[np.bool_]:
        """Whether each case is of the last class, shape (n,); of two classes that is the positive one."""
        return np.array([place == len(self.classes) - 1 for place in self.truth], dtype=np.bool_)

    def with_score(self, *models: str) -> NDArray[np.intp]:
        """Give the places of the cases for which all these models gave probabilities."""
        columns = [self.scores[model] for model in models]
        given = [case for case in range(len(self.patients)) if all(column[case] is not None for column in columns)]
        return np.array(given, dtype=np.intp)

    def probabilities(self, model: str, cases: NDArray[np.intp]) -> Floats:
        """Give a model's probabilities, shape (cases, classes), of cases that `with_score` gave."""
        rows = [self.scores[model][case] for case in cases]
        return np.array(rows, dtype=np.float64).reshape(len(rows), len(self.classes))

    def patients_of(self, cases: NDArray[np.intp]) -> list[str]:
        """Give the patient of each of these cases."""
        return [self.patients[case] for case in cases]

    def only(self, cases: Sequence[int]) -> Predictions:
        """Give these cases alone."""

        def chosen(column: tuple[Value, ...]) -> tuple[Value, ...]:
            return tuple(column[case] for case in cases)

        return replace(
            self,
            patients=chosen(self.patients),
            truth=chosen(self.truth),
            scores={name: chosen(column) for name, column in self.scores.items()},
            folds=chosen(self.folds),
            splits=chosen(self.splits),
            covariates={name: chosen(column) for name, column in self.covariates.items()},
        )
