"""Which features say the same: hierarchical clustering by rank correlation."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.cluster.hierarchy import fcluster, leaves_list, linkage
from scipy.spatial.distance import squareform
from scipy.stats import rankdata

from models.evaluation.contract import NotDefined
from models.evaluation.reliability import ReadFeatures

Floats = NDArray[np.float64]

SAME_FROM: Final = 0.8
"""Features whose mean absolute correlation is at least this are one cluster."""

MOST_FEATURES: Final = 3000
FEWEST_LESIONS: Final = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class FeatureClusters:
    """Clusters of features by ``1 - |Spearman's rho|``, average linkage.

    Attributes
    ----------
    lesions, features, clusters : int
    same_from : float
        Mean absolute correlation at which clusters are cut.
    cluster_of : mapping of str to int
        By feature in the order of the dendrogram's leaves; clusters are numbered from 1 in that order.
    left_out : int
        Features that are the same throughout, or have a gap.
    """

    lesions: int
    features: int
    clusters: int
    same_from: float
    cluster_of: Mapping[str, int]
    left_out: int


def feature_clusters(features: ReadFeatures) -> tuple[FeatureClusters | NotDefined, Floats]:
    """Cluster features of lesions, each the mean over the readers who measured it.

    Returns
    -------
    FeatureClusters or NotDefined
    numpy.ndarray
        Spearman's rho, shape (features, features), in the order of `FeatureClusters.cluster_of`.
    """
    known = np.isfinite(features.values)
    counts = known.sum(axis=1)
    sums = np.where(known, features.values, 0.0).sum(axis=1)
    means = np.where(counts > 0, sums / np.maximum(counts, 1), np.nan)
    kept = np.array([np.isfinite(column).all() and np.ptp(column) > 0 for column in means.T], dtype=np.bool_)
    none = np.empty((0, 0))
    if len(means) < FEWEST_LESIONS or kept.sum() < 2:
        return NotDefined(reason="fewer than three lesions, or than two features that vary and have no gap"), none
    if kept.sum() > MOST_FEATURES:
        return NotDefined(reason=f"more than {MOST_FEATURES} features: choose some"), none
    rho = np.corrcoef(rankdata(means[:, kept], axis=0), rowvar=False)
    distance = np.clip(1 - np.abs(rho), 0, 1)
    np.fill_diagonal(distance, 0)
    tree = linkage(squareform((distance + distance.T) / 2, checks=False), method="average")
    order = leaves_list(tree)
    labels = fcluster(tree, 1 - SAME_FROM, criterion="distance")[order]
    numbers = {label: place + 1 for place, label in enumerate(dict.fromkeys(labels.tolist()))}
    names = [name for name, is_kept in zip(features.names, kept, strict=True) if is_kept]
    found = FeatureClusters(
        lesions=len(means),
        features=len(names),
        clusters=len(numbers),
        same_from=SAME_FROM,
        cluster_of={names[place]: numbers[label] for place, label in zip(order, labels.tolist(), strict=True)},
        left_out=len(features.names) - len(names),
    )
    return found, np.asarray(rho[np.ix_(order, order)], dtype=np.float64)
