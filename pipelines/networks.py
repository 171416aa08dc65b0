"""The networks of a pipeline: loaded and resident, or the reason why they are not there."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Generic, Protocol, TypeVar

from models.contract import ModelIdentity
from models.errors import WeightsMismatch, WeightsMissing
from models.predictor import LoadedModel
from pipelines import reasons
from pipelines.contract import AnalysisOptions, Reason


class Card(Protocol):
    """What is known of a model without loading it."""

    @property
    def identity(self) -> ModelIdentity:
        """Name, version, weights (None without), operating point."""
        ...


class Catalogue(Protocol):
    """Where models are described: the module `models.registry`, or a stand-in."""

    def describe_model(self, name: str, weights_dir: Path | None) -> Card:
        """Describe a model, installed or not."""
        ...


class HasThreshold(LoadedModel, Protocol):
    """A network whose threshold a run may replace."""

    def identity_at(self, min_score: float | None) -> ModelIdentity:
        """Say which model this is when `min_score` takes the place of its own threshold."""
        ...


Network = TypeVar("Network", bound=LoadedModel)
Threshold = TypeVar("Threshold", bound=HasThreshold)


@dataclass(frozen=True, slots=True, kw_only=True)
class Available(Generic[Network]):
    """A network, or why it cannot run.

    Attributes
    ----------
    identity : ModelIdentity
        With the thresholds in force.
    network : LoadedModel or None
        None exactly when `unavailable` is not.
    """

    identity: ModelIdentity
    network: Network | None
    unavailable: Reason | None


def identity_of(models: Catalogue, name: str, options: AnalysisOptions) -> ModelIdentity:
    """Which model `name` is, without loading it."""
    return models.describe_model(name, options.weights_dir).identity


def available(
    models: Catalogue, name: str, load: Callable[[str, str, Path | None], Network], options: AnalysisOptions
) -> Available[Network]:
    """Load a network; asked for again in every study, so that weights may be installed at any time.

    Parameters
    ----------
    models : Catalogue
        Where `name` is described.
    load : callable
        Given the name, the device and the folder of weights; loaded models stay resident behind it.
    """
    identity = identity_of(models, name, options)
    try:
        network = load(name, options.device, options.weights_dir)
    except WeightsMissing:
        reason = reasons.no_weights(name)
    except WeightsMismatch:
        reason = reasons.weights_mismatch(name)
    else:
        return Available(identity=identity, network=network, unavailable=None)
    return Available(identity=replace(identity, weights_sha256=None), network=None, unavailable=reason)


def at_threshold(found: Available[Threshold], options: AnalysisOptions) -> Available[Threshold]:
    """The same network, named with the threshold that the run's options put in force."""
    if found.network is None:
        return found
    return replace(found, identity=found.network.identity_at(options.min_score))


def warm_up(*networks: Available[Network]) -> None:
    """Run each network once; what has no weights stays cold."""
    for found in networks:
        if found.network is not None:
            found.network.warm_up()
