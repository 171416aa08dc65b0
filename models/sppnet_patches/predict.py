"""SPPNet on patches as the pipelines call it: malignant calcifications in one or two views in, a probability out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import numpy as np
import torch

from models.errors import WeightsMismatch
from models.regions.contract import LesionView, RegionOutput, RegionTask, View
from models.regions.predict import RegionPredictor, pooled_views
from models.sppnet.network import SPPNet
from models.sppnet_patches.network import CLASSES
from models.sppnet_patches.patch import patch_of


class Predictor(RegionPredictor[SPPNet]):
    """SPPNet on the patch of each view by itself, then pooled.

    It says nothing of where: the pooling takes the greatest values wherever they are.
    """

    network_class: ClassVar[type[torch.nn.Module]] = SPPNet

    @classmethod
    def check(cls, task: RegionTask, name: str) -> None:
        """Refuse other than two classes."""
        if len(task.classes) != CLASSES:
            raise WeightsMismatch(f"{name}: metadata.json names {len(task.classes)} classes, SPPNet has {CLASSES}")

    def _predict(self, views: Mapping[View, LesionView]) -> RegionOutput:
        patches = [torch.from_numpy(np.array(patch_of(view))) for view in views.values()]

        def attempt(network: SPPNet, device: torch.device) -> tuple[float, ...]:
            each = [network(patch[None].to(device)).softmax(dim=1)[0] for patch in patches]  # their sizes differ
            return pooled_views(torch.stack(each))

        probabilities, device = self._resident.run(attempt)
        return RegionOutput(probabilities=probabilities, device=device)
