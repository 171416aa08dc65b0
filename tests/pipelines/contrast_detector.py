"""A detector that has to look: it finds the place that stands out most, and knows nothing but the pixels."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar, Final

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from models.contract import Detection, DetectionOutput, ModelIdentity, ModelImage
from models.errors import WeightsMissing

Brightness = NDArray[np.float32]

CANONICAL_MM: Final = 0.1
BOX_PX: Final = (48.0, 32.0)
"""Width and height of the box that the stand-in puts around what it found, in pixels of `CANONICAL_MM`."""
HOT_SIGMA_PX = 25.0

IDENTITY = ModelIdentity(
    name="FPNNet", version="0.0", weights_sha256="ab" * 32, operating_point={"score_threshold": 0.3}
)


@dataclass
class LocalContrastDetector:
    """Finds the place inside the breast that stands out most from its surroundings, by its pixels alone."""

    device: str = "cpu"
    canonical_spacing_mm: float = CANONICAL_MM
    seen: list[ModelImage] = field(default_factory=list)
    identity: ModelIdentity = IDENTITY

    def identity_at(self, min_score: float | None) -> ModelIdentity:
        return self.identity

    def warm_up(self) -> None:
        """There is nothing to warm."""

    def predict(
        self, image: ModelImage, *, min_score: float | None = None, with_activation: bool = True
    ) -> DetectionOutput:
        self.seen.append(image)
        x, y = _most_conspicuous_px(image.pixels)
        width, height = BOX_PX
        box = (x - width / 2, y - height / 2, x + width / 2, y + height / 2)
        rows, columns = np.ogrid[0 : image.pixels.shape[0], 0 : image.pixels.shape[1]]
        squared = (columns + 0.5 - x) ** 2 + (rows + 0.5 - y) ** 2
        heat = np.exp(-0.5 * squared / HOT_SIGMA_PX**2).astype(np.float32)
        return DetectionOutput(
            detections=(Detection(box_px=box, label="malignant", score=0.8, malignancy=0.6),),
            activation=heat if with_activation else None,
            device="cpu",
        )


def _most_conspicuous_px(pixels: Brightness) -> tuple[float, float]:
    """Return ``(x, y)``, corner-based, of the greatest difference of Gaussians, to a fraction of a pixel."""
    smooth = ndimage.gaussian_filter(pixels, 2.0)
    regions, _ = ndimage.label(smooth > 0.03)
    breast = regions == np.bincount(regions.ravel())[1:].argmax() + 1
    inside = ndimage.binary_erosion(breast, iterations=20)
    contrast = ndimage.gaussian_filter(pixels, 4.0) - ndimage.gaussian_filter(pixels, 12.0)
    row, column = np.unravel_index(np.where(inside, contrast, -1.0).argmax(), contrast.shape)
    x, y = float(column) + 0.5, float(row) + 0.5
    for _ in range(3):
        x, y = _centre_of_bright_px(pixels, round(x - 0.5), round(y - 0.5))
    return x, y


def _centre_of_bright_px(pixels: Brightness, column: int, row: int) -> tuple[float, float]:
    """Return the centre of mass of what is clearly brighter than the surroundings, within a millimetre."""
    top, left = max(row - 10, 0), max(column - 10, 0)
    patch = ndimage.gaussian_filter(pixels[top : row + 11, left : column + 11], 1.0)
    bright = np.clip(patch - (np.median(patch) + patch.max()) / 2, 0, None)
    if not bright.any():
        return column + 0.5, row + 0.5
    y, x = ndimage.center_of_mass(bright)
    return float(left + x + 0.5), float(top + y + 0.5)


@dataclass
class StandInModels:
    """In place of `models.registry`; there is no second opinion, and no model of regions."""

    REGION_MODELS: ClassVar[tuple[str, ...]] = ()

    detector: LocalContrastDetector = field(default_factory=LocalContrastDetector)

    def load_detector(self, name: str, device: str, weights_dir: Path | None) -> Any:
        return self.detector

    def load_classifier(self, name: str, device: str, weights_dir: Path | None) -> Any:
        raise WeightsMissing(name)

    def load_region_classifier(self, name: str, device: str, weights_dir: Path | None) -> Any:
        raise WeightsMissing(name)

    def describe_model(self, name: str, weights_dir: Path | None) -> Any:
        return SimpleNamespace(identity=replace(IDENTITY, name=name))
