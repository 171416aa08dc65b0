"""A three-block DenseNet as the pipelines call it: one region in, one probability and where it comes from out."""

from __future__ import annotations

from typing import ClassVar, Final, Self

import numpy as np
import torch

from models.bundle import load_network
from models.contract import BoxPx
from models.lesions import GreyFrame, RoiOutput
from models.metadata import Metadata
from models.resampling import cut_roi
from models.resident import Resident, checked_grey
from models.us_malignancy.network import CLASSES, ROI_PX, ThreeBlockDenseNet
from models.us_malignancy.roi import MARGIN, grown
from models.weights import VerifiedWeights

MARGINS: Final = (MARGIN, 0.1, 0.3)
"""A region is looked at with each of these, as it is and mirrored, and the mean of the probabilities is taken: an
outline drawn a little wider is no other lesion."""


class RoiPredictor:
    """A three-block DenseNet, resident on a device; see `models.predictor.LesionClassifier`.

    Parameters
    ----------
    network : ThreeBlockDenseNet
        On the CPU, with its weights.
    metadata : Metadata
        Of these weights.
    weights_sha256 : str or None
        Digest of the file the weights came from.
    device : str
        ``"cpu"`` or ``"cuda:N"``.
    """

    classes: ClassVar[tuple[str, str]]

    def __init__(
        self, network: ThreeBlockDenseNet, metadata: Metadata, *, weights_sha256: str | None, device: str
    ) -> None:
        self._resident = Resident(network, device)
        self.identity = metadata.identity(weights_sha256)
        self.device = device

    @classmethod
    def from_weights(cls, weights: VerifiedWeights, device: str) -> Self:
        """Build the network of the bundle and load `weights` into it; raises WeightsMismatch when they do not fit."""
        network = load_network(weights, ThreeBlockDenseNet)
        return cls(network, weights.metadata, weights_sha256=weights.sha256, device=device)

    def predict(self, frame: GreyFrame, box_px: BoxPx) -> RoiOutput:
        """Classify the lesion in `box_px`; see `models.predictor.LesionClassifier.predict`.

        Activation and features are those of the first margin, not mirrored.
        """
        pixels = checked_grey(frame.pixels)
        x0, y0, x1, y1 = box_px
        if not (0 <= x0 < x1 <= pixels.shape[1] and 0 <= y0 < y1 <= pixels.shape[0]):
            raise ValueError(f"{box_px} is no box within a frame of shape {pixels.shape}")
        rois = np.stack([cut_roi(pixels, grown(box_px, margin), (ROI_PX, ROI_PX)) for margin in MARGINS])
        views = torch.from_numpy(np.concatenate([rois, rois[:, :, ::-1]]))

        def attempt(network: ThreeBlockDenseNet, device: torch.device) -> tuple[float, torch.Tensor, torch.Tensor]:
            maps = network.maps(views.to(device))
            features = maps.mean(dim=(2, 3))
            probability = float(network.fc(features).softmax(dim=1)[:, 1].mean())
            return probability, network.activation(maps[:1])[0].cpu(), features[0].cpu()

        (probability, activation, features), device = self._resident.run(attempt)
        return RoiOutput(
            probability=min(max(probability, 0.0), 1.0),
            roi_px=grown(box_px),
            activation=activation.numpy(),
            features=features.numpy(),
            device=device,
        )

    def warm_up(self) -> None:
        """Run once on an empty frame."""
        frame = GreyFrame(pixels=np.zeros((ROI_PX, ROI_PX), dtype=np.float32), spacing_mm=None)
        self.predict(frame, (16.0, 16.0, 48.0, 48.0))


class MalignancyPredictor(RoiPredictor):
    """us-malignancy."""

    classes = CLASSES
