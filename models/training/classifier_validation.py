"""How good a classifier is while it learns: the area under its ROC curve on images that it does not learn from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from sklearn.metrics import log_loss, roc_auc_score
from torch import nn

from models.training.samples import Sample


@dataclass(frozen=True, slots=True, kw_only=True)
class ClassifierFigures:
    """What one validation measured.

    Attributes
    ----------
    auc : float
        Area under the ROC curve.
    log_loss : float
        Mean of -ln of the probability of the right class.
    """

    auc: float
    log_loss: float

    @property
    def rank(self) -> tuple[float, float]:
        """By what the best checkpoint is chosen: the AUC; of equal ones, which few images make likely, the loss."""
        return self.auc, -self.log_loss


def validate(network: nn.Module, views: Sequence[Sample], device: torch.device) -> ClassifierFigures:
    """Measure a network that is ready to predict; `views` hold both classes."""
    with torch.inference_mode():
        scores = [
            float(network(torch.tensor(view.pixels, device=device)[None]).float().softmax(dim=1)[0, 1])
            for view in views
        ]
    truth = [view.positive for view in views]
    return ClassifierFigures(
        auc=float(roc_auc_score(truth, scores)), log_loss=float(log_loss(truth, np.clip(scores, 1e-6, 1.0 - 1e-6)))
    )
