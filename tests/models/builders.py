"""Networks with random weights, and such weights installed as a site installs its own. They detect nothing of use."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from models.bundle import build_network
from models.contract import ModelImage
from models.densenet121_cbam.network import DenseNet121CBAM
from models.fpnnet.network import FPNNet
from models.fpnnet.search import GatedFPNNet
from models.ip_se_dresnet.network import IPSEDResNet
from models.metadata import FAMILIES, Metadata, bundle_metadata, folder_name
from models.metadata import own_metadata as metadata_of
from models.regions.contract import Lesion, LesionView, View
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
    "densenet121-cbam-tn": DenseNet121CBAM,
    "SPPNet-ER": SPPNet,
}
"""Those that `random_weights_dir` holds; of a family of regions one, or none where it is large."""

NETWORKS_OF_REGIONS: dict[str, type[torch.nn.Module]] = {
    "ip_se_dresnet": IPSEDResNet,
    "densenet121_cbam": DenseNet121CBAM,
    "sppnet_patches": SPPNet,
}
"""By family. Radiomics is none: it has no network."""


UNTRAINED = {"score_threshold": 0.3, "gate_threshold": 0.0}
"""In place of what was chosen for the weights that ship, which means nothing for random ones."""


def own_metadata(name: str) -> Metadata:
    """Metadata of the bundle as it is in the project, at an operating point for random weights."""
    metadata = metadata_of(name)
    return replace(metadata, operating_point=_untrained(metadata.operating_point))


def _untrained(operating_point: Mapping[str, float]) -> dict[str, float]:
    changed = UNTRAINED if "gate_threshold" in operating_point else {}
    return {**operating_point, **changed}


def random_network(name: str, seed: int = 0) -> torch.nn.Module:
    """The bundle's network, initialised from `seed`."""
    torch.manual_seed(seed)
    network_class = NETWORKS_OF_REGIONS[FAMILIES[name]] if name in FAMILIES else NETWORKS[name]
    network = build_network(own_metadata(name), network_class).eval()
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


def noise_lesion(
    *views: View,
    box_px: tuple[int, int, int, int] = (40, 30, 90, 60),
    spacing_mm: tuple[float, float] | None = (0.1, 0.1),
) -> Lesion:
    """A boxed lesion on white noise of 120 rows and 150 columns, another one in each of `views`."""
    x0, y0, x1, y1 = box_px
    mask = np.zeros((120, 150), dtype=np.bool_)
    mask[y0:y1, x0:x1] = True
    return {
        view: LesionView(pixels=noise_image(120, 150, seed=seed).pixels, mask=mask, spacing_mm=spacing_mm)
        for seed, view in enumerate(views)
    }
