"""The two networks of the pipeline, by the names that they have among the models."""

from __future__ import annotations

from pathlib import Path
from typing import Final, Protocol

from models import registry
from models.contract import ModelIdentity
from models.predictor import Classifier, Detector
from pipelines.contract import AnalysisOptions
from pipelines.networks import Available, Catalogue, at_threshold, available, identity_of, warm_up

DETECTOR: Final = "FPNNet"
CLASSIFIER: Final = "SPPNet"


class Models(Catalogue, Protocol):
    """What the pipeline needs of the module `models.registry`, or of a stand-in; loaded models stay resident there."""

    def load_detector(self, name: str, device: str, weights_dir: Path | None) -> Detector:
        """Load a detector; raises WeightsMissing or WeightsMismatch."""
        ...

    def load_classifier(self, name: str, device: str, weights_dir: Path | None) -> Classifier:
        """Load a classifier; raises WeightsMissing or WeightsMismatch."""
        ...


class Networks:
    """FPNNet and SPPNet as a run's options ask for them.

    Parameters
    ----------
    models : Models
        Where they come from.
    """

    def __init__(self, models: Models = registry) -> None:
        self._models = models

    def detector(self, options: AnalysisOptions) -> Available[Detector]:
        """FPNNet."""
        return at_threshold(available(self._models, DETECTOR, self._models.load_detector, options), options)

    def classifier(self, options: AnalysisOptions) -> Available[Classifier]:
        """SPPNet."""
        return available(self._models, CLASSIFIER, self._models.load_classifier, options)

    def describe(self, options: AnalysisOptions) -> tuple[ModelIdentity, ModelIdentity]:
        """Detector and classifier, without loading either."""
        return identity_of(self._models, DETECTOR, options), identity_of(self._models, CLASSIFIER, options)

    def warm_up(self, options: AnalysisOptions) -> None:
        """Load both and run each once."""
        warm_up(self.detector(options))
        warm_up(self.classifier(options))
