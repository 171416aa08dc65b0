"""The two networks of the pipeline: loaded once and kept, or the reason why they are not there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from importlib import import_module
from pathlib import Path
from typing import Any, Final, Generic, Protocol, TypeVar, cast

import numpy as np

from models.contract import ClassificationOutput, DetectionOutput, ModelIdentity, ModelImage
from models.errors import WeightsMismatch, WeightsMissing
from pipelines import reasons
from pipelines.contract import AnalysisOptions, Reason

DETECTOR: Final = "FPNNet"
CLASSIFIER: Final = "SPPNet"

WARM_UP_PX: Final = 512
"""Side of the blank image: enough for every level of the feature pyramid."""


class Detector(Protocol):
    """FPNNet: boxes on one whole mammogram."""

    identity: ModelIdentity
    canonical_spacing_mm: float | None

    def predict(self, image: ModelImage, *, min_score: float | None = None) -> DetectionOutput:
        """Find calcifications; `min_score` in place of the model's own score threshold."""
        ...


class Classifier(Protocol):
    """SPPNet: malignancy of one whole mammogram."""

    identity: ModelIdentity
    canonical_spacing_mm: float | None

    def predict(self, image: ModelImage) -> ClassificationOutput:
        """Classify the image."""
        ...


class Card(Protocol):
    """What is known of a model without loading it; `identity.weights_sha256` is None without weights."""

    @property
    def identity(self) -> ModelIdentity:
        """Name, version, weights."""
        ...


class ModelLoader(Protocol):
    """What the pipeline needs of the module `models.registry`, or of a stand-in."""

    def load(self, name: str, device: str, weights_dir: Path | None) -> Any:
        """Load a model; raises WeightsMissing or WeightsMismatch."""
        ...

    def describe(self, weights_dir: Path | None) -> Sequence[Card]:
        """Every model there is."""
        ...


Network = TypeVar("Network", Detector, Classifier)


@dataclass(frozen=True, slots=True, kw_only=True)
class Loaded(Generic[Network]):
    """A network, or why it cannot run.

    Attributes
    ----------
    network : Detector or Classifier or None
        None exactly when `unavailable` is not.
    """

    identity: ModelIdentity
    network: Network | None
    unavailable: Reason | None


class Networks:
    """Loads networks when they are first wanted and keeps them; a network without weights is asked for every time.

    Parameters
    ----------
    loader : ModelLoader, optional
        Where they come from; `models.registry` is imported, and torch with it, when a network is first wanted.
    """

    def __init__(self, loader: ModelLoader | None = None) -> None:
        self._given_loader = loader
        self._resident: dict[tuple[str, str, Path | None], Any] = {}

    def detector(self, options: AnalysisOptions) -> Loaded[Detector]:
        """FPNNet."""
        return self._loaded(DETECTOR, options)

    def classifier(self, options: AnalysisOptions) -> Loaded[Classifier]:
        """SPPNet."""
        return self._loaded(CLASSIFIER, options)

    def describe(self, options: AnalysisOptions) -> tuple[ModelIdentity, ModelIdentity]:
        """Detector and classifier, without loading either."""
        return self._identity(DETECTOR, options), self._identity(CLASSIFIER, options)

    def warm_up(self, options: AnalysisOptions) -> None:
        """Load both and run each once on a blank image; what has no weights stays cold."""
        blank = ModelImage(pixels=np.zeros((WARM_UP_PX, WARM_UP_PX), dtype=np.float32), spacing_mm=(0.1, 0.1))
        detector, classifier = self.detector(options).network, self.classifier(options).network
        if detector is not None:
            detector.predict(blank)
        if classifier is not None:
            classifier.predict(blank)

    @property
    def _loader(self) -> ModelLoader:
        if self._given_loader is None:
            self._given_loader = cast("ModelLoader", import_module("models.registry"))
        return self._given_loader

    def _loaded(self, name: str, options: AnalysisOptions) -> Loaded[Any]:
        key = (name, options.device, options.weights_dir)
        try:
            if key not in self._resident:
                self._resident[key] = self._loader.load(name, options.device, options.weights_dir)
        except WeightsMissing:
            return self._unavailable(name, options, reasons.no_weights(name))
        except WeightsMismatch:
            return self._unavailable(name, options, reasons.weights_mismatch(name))
        network = self._resident[key]
        return Loaded(identity=network.identity, network=network, unavailable=None)

    def _unavailable(self, name: str, options: AnalysisOptions, reason: Reason) -> Loaded[Any]:
        identity = replace(self._identity(name, options), weights_sha256=None)
        return Loaded(identity=identity, network=None, unavailable=reason)

    def _identity(self, name: str, options: AnalysisOptions) -> ModelIdentity:
        identities = [card.identity for card in self._loader.describe(options.weights_dir)]
        return next(identity for identity in identities if identity.name == name)
