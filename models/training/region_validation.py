"""How good a network of regions is while it learns: the area under its ROC curve on tumours it does not learn from."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.metrics import log_loss, roc_auc_score
from torch import Tensor, nn

from models.regions.pooling import pooled
from models.training.region_samples import RegionCase

Logits = Callable[[nn.Module, Tensor], tuple[Tensor, ...]]
"""Given a network and its inputs: logits ``(n, classes)`` of each of its members, which learn each by itself."""

AT_ONCE: Final = 16
"""Inputs that go through the network together."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RegionFigures:
    """What one validation measured.

    Attributes
    ----------
    auc : float
        Area under the ROC curve; of more than two classes the mean of each against the rest.
    log_loss : float
        Mean of -ln of the probability of the right class.
    training_loss : float
        Mean of the steps since the validation before; NaN when there was none.
    """

    auc: float
    log_loss: float
    training_loss: float

    @property
    def rank(self) -> tuple[float, float]:
        """By what the best checkpoint is chosen: the least loss, then the AUC.

        Probabilities are what is reported. Early in a run the AUC may be as good as later while every probability is on
        one side of the threshold, and the AUCs of a hundred tumours differ by chance.
        """
        return -self.log_loss, self.auc


def predict(
    network: nn.Module, cases: Sequence[RegionCase], logits: Logits, device: torch.device
) -> NDArray[np.float64]:
    """Return probabilities ``(cases, classes)``: of the mean of the network's members, pooled over a case's inputs."""
    images = torch.cat([case.images for case in cases])
    with torch.inference_mode():
        found = [
            torch.stack([one.float().softmax(dim=1) for one in logits(network, images[at : at + AT_ONCE].to(device))])
            for at in range(0, len(images), AT_ONCE)
        ]
    of_inputs = torch.cat([one.mean(dim=0).cpu() for one in found]).double().numpy()
    ends = np.cumsum([len(case.images) for case in cases])[:-1]
    return np.array([pooled(one) for one in np.split(of_inputs, ends)])


def figures_of(
    probabilities: NDArray[np.float64], wanted: Sequence[int], training_loss: float = float("nan")
) -> RegionFigures:
    """Compute the figures of one validation; every class is among `wanted`."""
    classes = probabilities.shape[1]
    scores = probabilities[:, 1] if classes == 2 else probabilities
    return RegionFigures(
        auc=float(roc_auc_score(wanted, scores, multi_class="ovr", labels=None if classes == 2 else range(classes))),
        log_loss=float(log_loss(wanted, np.clip(probabilities, 1e-6, 1.0 - 1e-6), labels=range(classes))),
        training_loss=training_loss,
    )
