"""A stand-in for the networks: it knows the generated phantom and the exact edges of its clusters.

Everything else of the pipeline is the real one: decoding, cropping, resampling, the way back to stored pixels, the
breast rule and the templates.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from models import registry
from models.contract import BoxPx, Detection, DetectionOutput, ModelIdentity, ModelImage
from models.errors import WeightsMissing
from models.phantom import PhantomView, make_view
from models.predictor import Classifier, Detector, RegionClassifier
from pipelines.mammography.pipeline import MammographyPipeline
from pipelines.phantom import DEFAULT_VIEWS
from pipelines.ultrasound.pipeline import UltrasoundPipeline
from tests.pipelines.ultrasound.stand_ins import KnownModels

SEED: Final = 1
"""Of a phantom with one cluster in each breast: benign in the right one, malignant in the left one."""

ROWS, COLUMNS, SPACING_MM = 2600, 2100, 0.085
"""Not the spacing that the detector asks for, so that images are resampled and boxes are scaled back."""

SAME_IMAGE: Final = 0.02
"""Mean difference of brightness, of 0 to 1, below which two images are the same one, differently resampled."""

WEIGHTS_SHA256: Final = "0" * 64
HALO: Final = 0.6
"""Width of the activation around a box, as a share of the box."""


def phantom_views() -> dict[str, PhantomView]:
    """Return the views of the study, with the truth about them, by name (``"L-CC"``)."""
    views = {}
    for name in DEFAULT_VIEWS:
        laterality, _, view = name.partition("-")
        views[name] = make_view(
            SEED, laterality=laterality, view=view, rows=ROWS, columns=COLUMNS, spacing_mm=SPACING_MM
        )
    return views


@dataclass(frozen=True, slots=True, kw_only=True)
class StandInDetector:
    """Finds out which view of the phantom it is shown, and reports the clusters that were planted there."""

    views: Sequence[PhantomView]
    device: str = "cpu"
    canonical_spacing_mm: float = 0.1

    @property
    def identity(self) -> ModelIdentity:
        """What the results name as their algorithm."""
        return ModelIdentity(
            name="StandInDetector",
            version="0.0",
            weights_sha256=WEIGHTS_SHA256,
            operating_point={"score_threshold": 0.3},
        )

    def identity_at(self, min_score: float | None) -> ModelIdentity:
        """See `models.predictor.Detector`."""
        in_force = {} if min_score is None else {"score_threshold": min_score}
        return replace(self.identity, operating_point={**self.identity.operating_point, **in_force})

    def warm_up(self) -> None:
        """Nothing is to be loaded."""

    def predict(
        self, image: ModelImage, *, min_score: float | None = None, with_activation: bool = True
    ) -> DetectionOutput:
        """Report the planted clusters; nothing on an image that is not one of the phantom's."""
        view = self._recognise(image)
        found = () if view is None else tuple(_detections(view, image))
        found = tuple(item for item in found if item.score >= (min_score or 0.0))
        heat = _activation(image.pixels.shape, [item.box_px for item in found]) if with_activation else None
        return DetectionOutput(detections=found, activation=heat, device=self.device)

    def _recognise(self, image: ModelImage) -> PhantomView | None:
        differences = [float(np.abs(_as_seen(view, image) - image.pixels).mean()) for view in self.views]
        best = int(np.argmin(differences))
        return self.views[best] if differences[best] < SAME_IMAGE else None


def _cropped_columns(view: PhantomView, image: ModelImage) -> tuple[float, float]:
    """First and last column of the view that `image` covers: the breast is cropped from the side of the air alone."""
    width = image.pixels.shape[1] * image.spacing_mm[1] / view.spacing_mm
    columns = view.pixels.shape[1]
    return (0.0, width) if view.laterality == "L" else (columns - width, float(columns))


def _as_seen(view: PhantomView, image: ModelImage) -> NDArray[np.float32]:
    """Show the view as `image` would show it, by a resampling of its own."""
    left, right = _cropped_columns(view, image)
    rows, columns = image.pixels.shape
    picture = Image.fromarray(view.pixels.astype(np.float32) / 4095)
    area = (max(left, 0.0), 0.0, min(right, float(view.pixels.shape[1])), float(view.pixels.shape[0]))
    return np.asarray(picture.resize((columns, rows), Image.Resampling.BOX, area), dtype=np.float32)


def _detections(view: PhantomView, image: ModelImage) -> list[Detection]:
    left, _ = _cropped_columns(view, image)
    along_row, along_column = (view.spacing_mm / spacing for spacing in (image.spacing_mm[1], image.spacing_mm[0]))
    return [
        Detection(
            box_px=((x0 - left) * along_row, y0 * along_column, (x1 - left) * along_row, y1 * along_column),
            label=label,
            score=0.9 if label == "malignant" else 0.6,
            malignancy=0.75 if label == "malignant" else 0.125,
        )
        for (x0, y0, x1, y1), label in view.lesions
    ]


def _activation(shape: tuple[int, ...], boxes: Sequence[BoxPx]) -> NDArray[np.float32]:
    """Draw a warm spot over each box, as wide as the box and a halo."""
    heat = np.zeros(shape, dtype=np.float32)
    y, x = np.arange(shape[0], dtype=np.float32)[:, None], np.arange(shape[1], dtype=np.float32)[None, :]
    for x0, y0, x1, y1 in boxes:
        across = ((x - (x0 + x1) / 2) / (HALO * (x1 - x0))) ** 2
        down = ((y - (y0 + y1) / 2) / (HALO * (y1 - y0))) ** 2
        np.maximum(heat, np.exp(-0.5 * (across + down)).astype(np.float32), out=heat)
    return heat


class StandInModels:
    """In place of `models.registry`: the stand-in detector, no second opinion, models of regions as installed."""

    REGION_MODELS = registry.REGION_MODELS

    def __init__(self) -> None:
        self._detector = StandInDetector(views=tuple(phantom_views().values()))

    def load_detector(self, name: str, device: str, weights_dir: Path | None) -> Detector:
        """The stand-in, whatever is asked for."""
        return self._detector

    def load_classifier(self, name: str, device: str, weights_dir: Path | None) -> Classifier:
        """There is none."""
        raise WeightsMissing(name)

    def load_region_classifier(self, name: str, device: str, weights_dir: Path | None) -> RegionClassifier:
        """What is installed; without weights it is not attempted."""
        return registry.load_region_classifier(name, device, weights_dir)

    def describe_model(self, name: str, weights_dir: Path | None) -> SimpleNamespace:
        """Identity of the stand-in, of a model of regions, or of a classifier without weights."""
        if name in self.REGION_MODELS:
            return SimpleNamespace(identity=registry.describe_model(name, weights_dir).identity)
        absent = ModelIdentity(name=name, version="0.0", weights_sha256=None)
        return SimpleNamespace(identity=self._detector.identity if name == "FPNNet" else absent)


def stand_in_pipeline() -> MammographyPipeline:
    """Make the mammography pipeline with the stand-in for its networks."""
    return MammographyPipeline(models=StandInModels())


def stand_in_ultrasound() -> UltrasoundPipeline:
    """Make the ultrasound pipeline with one that outlines what has the grey of a disc, and one of known probability."""
    return UltrasoundPipeline(models=KnownModels())
