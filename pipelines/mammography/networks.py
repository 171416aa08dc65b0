"""The two networks of the pipeline: loaded and resident, or the reason why they are not there."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, Generic, Protocol, TypeVar

from models import registry
from models.contract import ModelIdentity
from models.errors import WeightsMismatch, WeightsMissing
from models.predictor import Classifier, Detector
from pipelines import reasons
from pipelines.contract import AnalysisOptions, Reason

DETECTOR: Final = "FPNNet"
CLASSIFIER: Final = "SPPNet"


class Card(Protocol):
    """What is known of a model without loading it."""

    @property
    def identity(self) -> ModelIdentity:
        """Name, version, weights (None without), operating point."""
        ...


class Models(Protocol):
    """What the pipeline needs of the module `models.registry`, or of a stand-in; loaded models stay resident there."""

    def load_detector(self, name: str, device: str, weights_dir: Path | None) -> Detector:
        """Load a detector; raises WeightsMissing or WeightsMismatch."""
        ...

    def load_classifier(self, name: str, device: str, weights_dir: Path | None) -> Classifier:
        """Load a classifier; raises WeightsMissing or WeightsMismatch."""
        ...

    def describe_model(self, name: str, weights_dir: Path | None) -> Card:
        """Describe a model, installed or not."""
        ...


Network = TypeVar("Network", Detector, Classifier)


@dataclass(frozen=True, slots=True, kw_only=True)
class Available(Generic[Network]):
    """A network, or why it cannot run.

    Attributes
    ----------
    identity : ModelIdentity
        With the thresholds in force.
    network : Detector or Classifier or None
        None exactly when `unavailable` is not.
    """

    identity: ModelIdentity
    network: Network | None
    unavailable: Reason | None


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
        """FPNNet; asked for again in every study, so that weights may be installed at any time."""
        found = self._available(DETECTOR, self._models.load_detector, options)
        if found.network is None:
            return found
        return replace(found, identity=found.network.identity_at(options.min_score))

    def classifier(self, options: AnalysisOptions) -> Available[Classifier]:
        """SPPNet."""
        return self._available(CLASSIFIER, self._models.load_classifier, options)

    def describe(self, options: AnalysisOptions) -> tuple[ModelIdentity, ModelIdentity]:
        """Detector and classifier, without loading either."""
        return self._identity(DETECTOR, options), self._identity(CLASSIFIER, options)

    def warm_up(self, options: AnalysisOptions) -> None:
        """Load both and run each once; what has no weights stays cold."""
        for network in (self.detector(options).network, self.classifier(options).network):
            if network is not None:
                network.warm_up()

    def _available(
        self, name: str, load: Callable[[str, str, Path | None], Network], options: AnalysisOptions
    ) -> Available[Network]:
        identity = self._identity(name, options)
        try:
            network = load(name, options.device, options.weights_dir)
        except WeightsMissing:
            reason = reasons.no_weights(name)
        except WeightsMismatch:
            reason = reasons.weights_mismatch(name)
        else:
            return Available(identity=identity, network=network, unavailable=None)
        return Available(identity=replace(identity, weights_sha256=None), network=None, unavailable=reason)

    def _identity(self, name: str, options: AnalysisOptions) -> ModelIdentity:
        return self._models.describe_model(name, options.weights_dir).identity
