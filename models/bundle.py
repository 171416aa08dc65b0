"""A network built from its bundle: ``configs/inference.yaml`` names the class, ``metadata.json`` has the numbers."""

from __future__ import annotations

from typing import TypeVar

import torch
from monai.bundle.config_parser import ConfigParser

from models.errors import WeightsMismatch
from models.metadata import Metadata, bundle_dir
from models.regions.contract import RegionTask
from models.weights import VerifiedWeights

Network = TypeVar("Network", bound=torch.nn.Module)


def build_network(metadata: Metadata, network_class: type[Network]) -> Network:
    """Instantiate ``network`` of the bundle's ``inference.yaml``, with random weights, on the CPU.

    ``inference.yaml`` takes its thresholds, and for a model of regions its channels and classes, from ``_meta_``. Only
    numbers are put there: MONAI evaluates strings that begin with ``$``, and a folder of weights must not bring code
    along.

    Raises
    ------
    WeightsMismatch
        The operating point lacks a threshold that ``inference.yaml`` asks for.
    TypeError
        The file names another class than `network_class`.
    """
    parser = ConfigParser()
    parser.read_config(bundle_dir(metadata.name) / "configs" / "inference.yaml")
    parser["_meta_"] = {"operating_point": dict(metadata.operating_point)} | _of_region(metadata.region)
    try:
        network = parser.get_parsed_content("network")
    except ValueError as error:
        raise WeightsMismatch(
            f"{metadata.name}: the operating point in metadata.json is incomplete: {error}"
        ) from error
    if not isinstance(network, network_class):
        raise TypeError(f"inference.yaml of {metadata.name} builds {type(network)}, not {network_class}")
    return network


def _of_region(task: RegionTask | None) -> dict[str, dict[str, int]]:
    if task is None:
        return {}
    return {"region": {"channels": task.channels, "classes": len(task.classes)}}


def load_network(weights: VerifiedWeights, network_class: type[Network]) -> Network:
    """`build_network` with its weights.

    Raises
    ------
    WeightsMismatch
        The weights are not those of this architecture, or hold values that are not finite.
    """
    network = build_network(weights.metadata, network_class)
    state = weights.state_dict()
    if not all(bool(tensor.isfinite().all()) for tensor in state.values()):
        raise WeightsMismatch(f"{weights.metadata.name}: the weights hold values that are not finite")
    try:
        network.load_state_dict(state)
    except RuntimeError as error:
        summary = str(error).splitlines()[0]
        raise WeightsMismatch(
            f"{weights.metadata.name}: the weights are not those of this network: {summary}"
        ) from error
    return network
