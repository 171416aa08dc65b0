"""us-segmentation as the pipelines call it: one frame in, the outlines of its lesions out."""

from __future__ import annotations

from typing import Final

import numpy as np
import torch

from models.bundle import load_network
from models.contract import ModelIdentity
from models.lesions import GreyFrame, SegmentationOutput
from models.letterbox import letterbox
from models.metadata import Metadata
from models.resident import Resident, checked_grey, quick_arithmetic
from models.us_segmentation.network import SegmentationNetwork
from models.us_segmentation.regions import regions_of
from models.weights import VerifiedWeights

WARM_UP_SHAPE = (64, 80)

SIDES_BESIDE_PX: Final = (-32, 0, 32)
"""A frame is laid on canvases of these sides more than that of the training's, and the mean is taken."""

FAINTEST: Final = 0.1
"""Where no pixel is surer than 0.2, nothing is outlined but what reaches this."""


class SegmentationPredictor:
    """us-segmentation, resident on a device; see `models.predictor.Segmenter`.

    A frame is looked at in three sizes, as it is and mirrored, and the mean is taken: left and right mean nothing in a
    frame, and a lesion of any size is a lesion.

    A pixel belongs to a lesion from ``mask_threshold`` on, or from half of the highest probability of the frame where
    that is less: the lesion score says whether there is a lesion, and the outline of a faint one is where it is
    likeliest. Half of the best overlap that can be expected is the threshold with which it is reached (Lipton, Elkan
    and Naryanaswamy, ECML PKDD 2014).

    Parameters
    ----------
    network : SegmentationNetwork
        On the CPU, with its weights.
    metadata : Metadata
        Of these weights; its operating point has ``mask_threshold`` and ``lesion_threshold``.
    weights_sha256 : str or None
        Digest of the file the weights came from.
    device : str
        ``"cpu"`` or ``"cuda:N"``.
    """

    def __init__(
        self, network: SegmentationNetwork, metadata: Metadata, *, weights_sha256: str | None, device: str
    ) -> None:
        self._sides_px = [network.canvas_px + more for more in SIDES_BESIDE_PX if network.canvas_px + more > 0]
        self._resident = Resident(network, device)
        self._metadata = metadata
        self.identity = metadata.identity(weights_sha256)
        self.device = device

    @classmethod
    def from_weights(cls, weights: VerifiedWeights, device: str) -> SegmentationPredictor:
        """Build the network of the bundle and load `weights` into it; raises WeightsMismatch when they do not fit."""
        network = load_network(weights, SegmentationNetwork)
        return cls(network, weights.metadata, weights_sha256=weights.sha256, device=device)

    def identity_at(self, min_score: float | None) -> ModelIdentity:
        """Say which model this is when `min_score` takes the place of its own threshold of the lesion score."""
        in_force = {} if min_score is None else {"lesion_threshold": min_score}
        return self._metadata.identity(self.identity.weights_sha256, **in_force)

    def predict(self, frame: GreyFrame, *, min_score: float | None = None) -> SegmentationOutput:
        """Outline lesions; see `models.predictor.Segmenter.predict`."""
        if min_score is not None and not 0.0 <= min_score <= 1.0:
            raise ValueError(f"min_score is a probability, not {min_score}")
        pixels = checked_grey(frame.pixels)
        boxes = [letterbox((pixels.shape[0], pixels.shape[1]), side_px) for side_px in self._sides_px]
        canvases = [torch.from_numpy(box.to_canvas(pixels)) for box in boxes]

        def attempt(network: SegmentationNetwork, device: torch.device) -> tuple[list[torch.Tensor], float]:
            on_canvases, lesions = [], []
            for canvas in canvases:
                with quick_arithmetic(device):
                    masks, lesion = network(torch.stack([canvas, canvas.flip(1)]).to(device))
                probabilities = masks.float().sigmoid()
                on_canvases.append(((probabilities[0] + probabilities[1].flip(1)) / 2).cpu())
                lesions.append(float(lesion.float().sigmoid().mean()))
            return on_canvases, sum(lesions) / len(lesions)

        (on_canvases, lesion_score), device = self._resident.run(attempt)
        on_frame = [box.to_frame(canvas.numpy()) for box, canvas in zip(boxes, on_canvases, strict=True)]
        probability = np.clip(np.mean(on_frame, axis=0, dtype=np.float32), 0.0, 1.0)
        point = self.identity_at(min_score).operating_point
        threshold = min(point["mask_threshold"], max(FAINTEST, float(probability.max()) / 2))
        regions, mask = regions_of(probability, threshold, frame.spacing_mm)
        if lesion_score < point["lesion_threshold"]:
            regions, mask = (), np.zeros_like(mask)
        return SegmentationOutput(
            regions=regions, lesion_score=lesion_score, mask=mask, probability=probability, device=device
        )

    def warm_up(self) -> None:
        """Run once on an empty frame."""
        self.predict(GreyFrame(pixels=np.zeros(WARM_UP_SHAPE, dtype=np.float32), spacing_mm=None))
