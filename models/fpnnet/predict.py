"""FPNNet as the pipelines call it: one standardised image in, boxes out."""

from __future__ import annotations

from typing import cast

import numpy as np
import torch

from models.bundle import load_network
from models.contract import BoxPx, Detection, DetectionOutput, Label, ModelIdentity, ModelImage
from models.fpnnet.network import CLASSES, FoundBoxes
from models.fpnnet.search import GatedFPNNet, fused
from models.metadata import Metadata
from models.resident import Resident, checked_pixels, quick_arithmetic
from models.weights import VerifiedWeights

WARM_UP_PX = 256


class FPNNetPredictor:
    """FPNNet, resident on a device; see `models.predictor.Detector`.

    Parameters
    ----------
    network : GatedFPNNet
        On the CPU, with its weights.
    metadata : Metadata
        Of these weights.
    weights_sha256 : str or None
        Digest of the file the weights came from.
    device : str
        ``"cpu"`` or ``"cuda:N"``.
    """

    def __init__(self, network: GatedFPNNet, metadata: Metadata, *, weights_sha256: str | None, device: str) -> None:
        self._resident = Resident(network, device)
        self._metadata = metadata
        self.identity = metadata.identity(weights_sha256)
        self.device = device
        self.canonical_spacing_mm = metadata.spacing_mm

    @classmethod
    def from_weights(cls, weights: VerifiedWeights, device: str) -> FPNNetPredictor:
        """Build the network of the bundle and load `weights` into it; raises WeightsMismatch when they do not fit."""
        network = fused(load_network(weights, GatedFPNNet))
        return cls(network, weights.metadata, weights_sha256=weights.sha256, device=device)

    def identity_at(self, min_score: float | None) -> ModelIdentity:
        """Say which model this is when `min_score` takes the place of its own score threshold."""
        in_force = {} if min_score is None else {"score_threshold": min_score}
        return self._metadata.identity(self.identity.weights_sha256, **in_force)

    def predict(
        self, image: ModelImage, *, min_score: float | None = None, with_activation: bool = True
    ) -> DetectionOutput:
        """Find boxes; see `models.predictor.Detector.predict`."""
        if min_score is not None and not 0.0 <= min_score <= 1.0:
            raise ValueError(f"min_score is a probability, not {min_score}")
        pixels = checked_pixels(image, self.canonical_spacing_mm)

        def attempt(network: GatedFPNNet, device: torch.device) -> DetectionOutput:
            with quick_arithmetic(device):  # of convolutions; channels, gate, boxes, scores: float32
                found = network.detect(pixels.to(device), score_threshold=min_score, with_activation=with_activation)
            return _output(found, str(device))

        output, _ = self._resident.run(attempt)
        return output

    def warm_up(self) -> None:
        """Run once on an empty image."""
        spacing_mm = (self.canonical_spacing_mm, self.canonical_spacing_mm)
        self.predict(ModelImage(pixels=np.zeros((WARM_UP_PX, WARM_UP_PX), dtype=np.float32), spacing_mm=spacing_mm))


def _output(found: FoundBoxes, device: str) -> DetectionOutput:
    """Copy to the CPU, which is where an accelerator's late errors come out."""
    boxes, labels, scores = found.boxes.tolist(), found.labels.tolist(), found.scores.tolist()
    detections = tuple(
        Detection(
            box_px=cast(BoxPx, tuple(box)),
            label=cast(Label, CLASSES[label]),
            score=score,
            malignancy=min(malignancy, score),  # float32 rounds one minus the rest and a part of it apart
        )
        for box, label, score, malignancy in zip(boxes, labels, scores, found.malignancy.tolist(), strict=True)
    )
    activation = None if found.activation is None else found.activation.numpy()
    return DetectionOutput(detections=detections, activation=activation, device=device)
