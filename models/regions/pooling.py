"""What a model that reads every view by itself says of a lesion, from what it says of its views."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import ArrayLike

LEAST: Final = 0.005
"""Of several views, smaller probabilities count as this: none decides alone."""


def pooled(probabilities: ArrayLike) -> tuple[float, ...]:
    """Give the normalised geometric mean of the views' probabilities: a logarithmic opinion pool of equal weights.

    Of two classes it is the mean of the log odds, and orders lesions as Bayes' rule does, where views are independent
    given the class and the classes were equally frequent in training; of more classes, nearly so. The arithmetic mean
    does not, and a class between two others suffers from that: with perfect readings of two views its AUC was 0.797 in
    place of 0.839.

    Parameters
    ----------
    probabilities : array_like
        Shape ``(views, classes)``, one view at least; each row adds up to 1.

    Returns
    -------
    tuple of float
        One a class; they add up to 1. Of one view, that view's.

    Notes
    -----
    Genest and Zidek, Statistical Science 1:114 (1986); the reason is in docs/adr/0009-views-of-a-lesion.md.
    """
    rows = np.asarray(probabilities, dtype=np.float64)
    if rows.ndim != 2 or not len(rows):
        raise ValueError(f"probabilities of shape {rows.shape}, not (views, classes)")
    if len(rows) == 1:
        found = rows[0]
    else:
        logs = np.log(np.maximum(rows, LEAST)).mean(axis=0)
        found = np.exp(logs - logs.max())
    return tuple((found / found.sum()).tolist())
