"""DenseNet121-CBAM as the pipelines call it: a tumour in one or two views in, probabilities and Grad-CAM out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import numpy as np
import torch

from models.densenet121_cbam.network import DenseNet121CBAM
from models.densenet121_cbam.region import region_of, region_px
from models.regions.contract import LesionView, RegionOutput, View
from models.regions.crops import placed, scaled
from models.regions.predict import RegionPredictor, pooled_views


class Predictor(RegionPredictor[DenseNet121CBAM]):
    """DenseNet121-CBAM: each view by itself, then pooled; Grad-CAM of the class that is predicted."""

    network_class: ClassVar[type[torch.nn.Module]] = DenseNet121CBAM

    def _predict(self, views: Mapping[View, LesionView]) -> RegionOutput:
        regions = torch.from_numpy(np.stack([region_of(view) for view in views.values()]))[:, None]

        def attempt(network: DenseNet121CBAM, device: torch.device) -> tuple[tuple[float, ...], torch.Tensor]:
            maps = network.maps(regions.to(device))
            probabilities = pooled_views(network.classify(maps).softmax(dim=1))
            return probabilities, network.activation(maps, self.chosen(probabilities)).float().cpu()

        (probabilities, activations), device = self._resident.run(attempt)
        attention = {
            name: placed(scaled(activation.numpy()), region_px(view), view.pixels.shape)
            for (name, view), activation in zip(views.items(), activations, strict=True)
        }
        return RegionOutput(probabilities=probabilities, attention=attention, device=device)
