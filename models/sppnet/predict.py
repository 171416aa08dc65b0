"""SPPNet as the pipelines call it: one standardised image in, one probability out."""

from __future__ import annotations

import numpy as np
import torch

from models.bundle import load_network
from models.contract import ClassificationOutput, ModelImage
from models.metadata import Metadata
from models.resident import Resident, checked_pixels
from models.sppnet.network import CLASSES, SPPNet
from models.weights import VerifiedWeights

WARM_UP_PX = 256
MALIGNANT = CLASSES.index("malignant")


class SPPNetPredictor:
    """SPPNet, resident on a device; see `models.predictor.Classifier`.

    Parameters
    ----------
    network : SPPNet
        On the CPU, with its weights.
    metadata : Metadata
        Of these weights.
    weights_sha256 : str or None
        Digest of the file the weights came from.
    device : str
        ``"cpu"`` or ``"cuda:N"``.
    """

    def __init__(self, network: SPPNet, metadata: Metadata, *, weights_sha256: str | None, device: str) -> None:
        self._resident = Resident(network, device)
        self.identity = metadata.identity(weights_sha256)
        self.device = device
        self.canonical_spacing_mm = metadata.spacing_mm

    @classmethod
    def from_weights(cls, weights: VerifiedWeights, device: str) -> SPPNetPredictor:
        """Build the network of the bundle and load `weights` into it; raises WeightsMismatch when they do not fit."""
        network = load_network(weights, SPPNet)
        return cls(network, weights.metadata, weights_sha256=weights.sha256, device=device)

    def predict(self, image: ModelImage) -> ClassificationOutput:
        """Return the probability of malignancy; see `models.predictor.Classifier.predict`."""
        pixels = checked_pixels(image, self.canonical_spacing_mm)

        def attempt(network: SPPNet, device: torch.device) -> float:
            return float(network(pixels[None].to(device)).softmax(dim=1)[0, MALIGNANT])

        malignancy, device = self._resident.run(attempt)
        return ClassificationOutput(malignancy=malignancy, device=device)

    def warm_up(self) -> None:
        """Run once on an empty image."""
        spacing_mm = (self.canonical_spacing_mm, self.canonical_spacing_mm)
        self.predict(ModelImage(pixels=np.zeros((WARM_UP_PX, WARM_UP_PX), dtype=np.float32), spacing_mm=spacing_mm))
