"""Networks with random weights, and such weights installed as a site installs its own. They detect nothing of use."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from models.bundle import build_network
from models.contract import ModelImage
from models.fpnnet.network import FPNNet
from models.fpnnet.search import GatedFPNNet
from models.metadata import Metadata, bundle_dir, bundle_metadata, folder_name, read_metadata
from models.sppnet.network import SPPNet
from models.us_malignancy.network import ThreeBlockDenseNet
from models.us_segmentation.network import SegmentationNetwork
from models.weights import write_weights

NETWORKS: dict[str, type[torch.nn.Module]] = {
    "FPNNet": GatedFPNNet,
    "SPPNet": SPPNet,
    "us-segmentation": SegmentationNetwork,
    "us-malignancy": ThreeBlockDenseNet,
    "us-her2": ThreeBlockDenseNet,
}


UNTRAINED = {"score_threshold": 0.3, "gate_threshold": 0.0}
"""In place of what was chosen for the weights that ship, which means nothing for random ones."""


def own_metadata(name: str) -> Metadata:
    """Metadata of the bundle as it is in the project, at an operating point for random weights."""
    metadata = read_metadata(bundle_dir(name) / "configs" / "metadata.json")
    return replace(metadata, operating_point=_untrained(metadata.operating_point))


def _untrained(operating_point: Mapping[str, float]) -> dict[str, float]:
    changed = UNTRAINED if "gate_threshold" in operating_point else {}
    return {**operating_point, **changed}


def random_network(name: str, seed: int = 0) -> torch.nn.Module:
    """The bundle's network, initialised from `seed`."""
    torch.manual_seed(seed)
    network = build_network(own_metadata(name), NETWORKS[name]).eval()
    if isinstance(network, GatedFPNNet):
        _spread_scores(network.detector)
    return network


def _spread_scores(network: FPNNet) -> None:
    """Centre the logits on noise: as they come, all scores are alike, and thresholds have nothing to tell apart."""
    heads = network.roi_heads
    with torch.inference_mode():
        padded, _ = network.transform([torch.from_numpy(noise_image().pixels)[None]])
        features = network.backbone(padded.tensors)
        proposals, _ = network.rpn(padded, features)
        pooled = heads.box_head(heads.box_roi_pool(features, proposals, padded.image_sizes))
        logits = heads.box_predictor.cls_score(pooled)
        scale = 1.5 / logits.std(dim=0)
        middle = logits.mean(dim=0) * scale
    with torch.no_grad():
        heads.box_predictor.cls_score.weight.mul_(scale[:, None])
        heads.box_predictor.cls_score.bias.mul_(scale).sub_(middle)


def install_random_weights(weights_dir: Path, name: str, seed: int = 0) -> str:
    """Install weights that nobody trained under `weights_dir`; return their digest."""
    metadata = bundle_metadata(name)
    metadata["measured"] = {"note": "random weights: nothing measured", "figures": []}
    metadata["operating_point"] = _untrained(metadata["operating_point"])
    return write_weights(random_network(name, seed).state_dict(), weights_dir / folder_name(name), metadata)


def noise_image(rows: int = 200, columns: int = 150, *, spacing_mm: float = 0.1, seed: int = 0) -> ModelImage:
    """An image of white noise."""
    pixels = np.random.default_rng(seed).random((rows, columns), dtype=np.float32)
    return ModelImage(pixels=pixels, spacing_mm=(spacing_mm, spacing_mm))
