"""The models of regions, by the names that they have among the models: loaded, or the reason why they are not there."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, Protocol

from models import registry
from models.contract import ModelIdentity
from models.errors import ModelError
from models.metadata import FAMILIES, own_metadata
from models.predictor import RegionClassifier
from models.regions.contract import RegionTask
from models.regions.outcomes import OUTCOMES
from pipelines import reasons
from pipelines.contract import AnalysisOptions, Reason
from pipelines.mammography.networks import Models as ImageModels
from pipelines.networks import Available, Catalogue, available, identity_of

ONLY_DETECTED: Final = frozenset(name for name, family in FAMILIES.items() if family == "sppnet_patches")
"""They learned from boxes of calcifications as the detector draws them, and are asked about nothing else."""


class RegionModels(Catalogue, Protocol):
    """What is needed of the module `models.registry`, or of a stand-in."""

    @property
    def REGION_MODELS(self) -> tuple[str, ...]:  # noqa: N802  a constant of the module
        """Names of the models of regions."""
        ...

    def load_region_classifier(self, name: str, device: str, weights_dir: Path | None) -> RegionClassifier:
        """Load one; raises WeightsMissing or WeightsMismatch."""
        ...


class Models(ImageModels, RegionModels, Protocol):
    """What the whole pipeline needs of it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RegionNetwork:
    """A model of regions and what it tells apart, whether it can run or not."""

    found: Available[RegionClassifier]
    task: RegionTask
    only_detected: bool

    @property
    def identity(self) -> ModelIdentity:
        """Which model it is."""
        return self.found.identity


class RegionNetworks:
    """The models of regions as a run's options ask for them.

    Parameters
    ----------
    models : RegionModels
        Where they come from.
    """

    def __init__(self, models: RegionModels = registry) -> None:
        self._models = models

    def any_installed(self, options: AnalysisOptions) -> bool:
        """Whether there are weights of one of them; none is loaded."""
        return any(self._is_installed(name, options) for name in self._models.REGION_MODELS)

    def installed(self, options: AnalysisOptions) -> tuple[RegionNetwork, ...]:
        """Those that can run, loaded."""
        networks = (self._network(n, options) for n in self._models.REGION_MODELS if self._is_installed(n, options))
        return tuple(network for network in networks if network.found.network is not None)

    def every(self, options: AnalysisOptions) -> tuple[RegionNetwork, ...]:
        """All of them: those that can run, loaded, and the others with their reason."""
        return tuple(self._network(name, options) for name in self._models.REGION_MODELS)

    def warm_up(self, options: AnalysisOptions) -> None:
        """Load those that are installed and run each once."""
        for network in self.installed(options):
            if network.found.network is not None:
                network.found.network.warm_up()

    def _is_installed(self, name: str, options: AnalysisOptions) -> bool:
        return identity_of(self._models, name, options).weights_sha256 is not None

    def _network(self, name: str, options: AnalysisOptions) -> RegionNetwork:
        found = self._available(name, options)
        task = own_metadata(name).region if found.network is None else found.network.task
        if task is None or OUTCOMES.get(task.outcome) != task.classes:
            # Weights of a site bring their own metadata: what they tell apart may be nothing that has a code.
            found, task = _without(found, reasons.weights_mismatch(name)), own_metadata(name).region
        if task is None:
            raise ValueError(f"{name} is not a model of regions")
        return RegionNetwork(found=found, task=task, only_detected=name in ONLY_DETECTED)

    def _available(self, name: str, options: AnalysisOptions) -> Available[RegionClassifier]:
        try:
            return available(self._models, name, self._models.load_region_classifier, options)
        except ImportError:  # the models of radiomics run on packages that a node need not have
            reason = reasons.packages_missing(name)
        except ModelError as error:
            reason = reasons.model_failed(name, type(error).__name__)
        identity = identity_of(self._models, name, options)
        return Available(identity=identity, network=None, unavailable=reason)


def _without(found: Available[RegionClassifier], reason: Reason) -> Available[RegionClassifier]:
    return replace(found, network=None, unavailable=reason)
