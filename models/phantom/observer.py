"""How well anybody could read a simulated tumour: latents that carry its class, and the best AUC that follows.

A patient's class is ``k`` of ``K``. Its place is ``y = k / (K - 1)``, from 0 to 1; of two classes ``y`` is 0 or 1. A
view ``v`` shows a latent ``t_v = d_v * (y - 1/2) + e_v``; the ``e_v`` are independent, each N(0, 1).

Given ``y`` the latents are independent and normal with one variance, so the log likelihood ratio of two classes is
linear in ``w = sum(d_v * t_v) / D``, where ``D = sqrt(sum(d_v ** 2))``. So ``w`` is sufficient: N(D * (y - 1/2), 1).
By Neyman and Pearson no reading has a ROC curve above that of the likelihood ratio, which for two classes is that of
``w``. The difference of ``w`` between a patient of each class is N(D, 2), hence

    best AUC = P(difference > 0) = Phi(D / sqrt(2)):

0.8985 for one view with ``d = 1.8`` and 0.9641 for two of them (Green and Swets, Signal Detection Theory and
Psychophysics, 1966). A picture whose look is a strictly monotone function of its latent, and whose other properties are
drawn without the class, can be read no better than the latent, and in the limit of no noise as well.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.integrate import trapezoid
from scipy.stats import norm

from models.regions.contract import View

GRID: Final = np.linspace(-14.0, 14.0, 28_001)
"""Of `w`; beyond it is no mass for the distances that `MAX_DISTANCE` allows."""

MAX_DISTANCE: Final = 6.0
"""Of the outer classes in one view: an AUC of 0.99999."""


def draw_latents(
    classes: NDArray[np.intp], count: int, distances: Mapping[View, float], rng: np.random.Generator
) -> dict[View, NDArray[np.float64]]:
    """Draw the latents of patients.

    Parameters
    ----------
    classes : numpy.ndarray
        Shape ``(patients,)``, from 0.
    count : int
        How many classes there are, at least 2.
    distances : mapping of str to float
        ``d`` by view: between the outer classes, in standard deviations.

    Returns
    -------
    dict of str to numpy.ndarray
        By view, shape ``(patients,)``.
    """
    places = classes / (count - 1) - 0.5
    return {view: distance * places + rng.standard_normal(len(classes)) for view, distance in distances.items()}


def best_score(latents: Mapping[View, float], distances: Mapping[View, float]) -> float:
    """What the best observer orders patients by: ``w`` of the views given, or 0 when they tell nothing."""
    together = _together(distances[view] for view in latents)
    return sum(distances[view] * latents[view] for view in latents) / together if together else 0.0


def best_auc(distances: Iterable[float]) -> float:
    """AUC of two classes for the best observer of these views together: ``Phi(sqrt(sum(d ** 2)) / sqrt(2))``."""
    return float(norm.cdf(_together(distances) / math.sqrt(2.0)))


def best_one_vs_rest(distances: Iterable[float], count: int) -> tuple[float, ...]:
    """AUC of each of `count` equally frequent classes against all others, for the best observer.

    The observer orders by the likelihood ratio ``f_k(w) / mean(f_j(w), j != k)``; its ROC curve is integrated
    numerically over `GRID`. For two classes both are `best_auc`.
    """
    together = _together(distances)
    means = together * (np.arange(count) / (count - 1) - 0.5)
    masses = norm.pdf(GRID[None, :] - means[:, None])
    masses /= masses.sum(axis=1, keepdims=True)
    return tuple(_auc(masses[one], np.delete(masses, one, axis=0).mean(axis=0)) for one in range(count))


def _auc(positive: NDArray[np.float64], negative: NDArray[np.float64]) -> float:
    """Area under the ROC curve of the likelihood ratio of two discrete distributions over the same points."""
    ratio = np.log(np.maximum(positive, 1e-300)) - np.log(np.maximum(negative, 1e-300))
    order = np.argsort(-ratio, kind="stable")
    sensitivity = np.concatenate([[0.0], np.cumsum(positive[order])])
    false_positives = np.concatenate([[0.0], np.cumsum(negative[order])])
    return float(trapezoid(sensitivity, false_positives))


def _together(distances: Iterable[float]) -> float:
    return math.sqrt(sum(distance**2 for distance in distances))
