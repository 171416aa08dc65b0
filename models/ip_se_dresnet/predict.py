"""IP-SE-DResNet as the pipelines call it: a tumour in its views in, a probability and suspicious areas out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Final

import numpy as np
import torch

from models.ip_se_dresnet.network import IPSEDResNet
from models.ip_se_dresnet.region import region_of, region_px
from models.regions.contract import LesionView, RegionOutput, View
from models.regions.crops import Map, placed, scaled
from models.regions.predict import RegionPredictor, pooled_views

SUSPICIOUS_FROM: Final = 0.5
"""The paper's threshold of the attention map."""


class Predictor(RegionPredictor[IPSEDResNet]):
    """IP-SE-DResNet on CC, MLO or both.

    The views are mixed by the first convolution already, so both have one attention map, each over its own region.
    """

    network_class: ClassVar[type[torch.nn.Module]] = IPSEDResNet

    def _predict(self, views: Mapping[View, LesionView]) -> RegionOutput:
        regions = torch.from_numpy(np.stack([region_of(view) for view in views.values()]))[None]

        def attempt(network: IPSEDResNet, device: torch.device) -> tuple[tuple[float, ...], torch.Tensor]:
            probabilities, attention = network.with_attention(regions.to(device))
            return pooled_views(probabilities), attention[0].float().cpu()

        (probabilities, attention), device = self._resident.run(attempt)
        return RegionOutput(
            probabilities=probabilities,
            attention={name: suspicious(attention.numpy(), view) for name, view in views.items()},
            device=device,
        )


def suspicious(attention: Map, view: LesionView) -> Map:
    """Lay the attention map over its region of a view, 0 to 1, and keep what reaches the threshold; 0 elsewhere."""
    laid = placed(scaled(attention), region_px(view), view.pixels.shape)
    return np.where(laid >= SUSPICIOUS_FROM, laid, np.float32(0.0))
