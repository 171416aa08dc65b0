"""Which models there are. Describing them imports no torch; loading one does, once, and keeps it resident.

A new model is a bundle folder and one line of `MODELS`.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from importlib import import_module
from pathlib import Path
from typing import TypeVar, cast

from models.errors import WeightsMismatch, WeightsMissing
from models.metadata import FAMILIES, ModelCard, own_metadata
from models.predictor import Classifier, Detector, LesionClassifier, LoadedModel, RegionClassifier, Segmenter
from models.weights import WeightsPlace, find_weights, read_weights, verify_weights

Read = TypeVar("Read")

MODELS: Mapping[str, str] = {
    "FPNNet": "models.fpnnet.predict:FPNNetPredictor",
    "SPPNet": "models.sppnet.predict:SPPNetPredictor",
    "us-segmentation": "models.us_segmentation.predict:SegmentationPredictor",
    "us-malignancy": "models.us_malignancy.predict:MalignancyPredictor",
    "us-her2": "models.us_her2.predict:Her2Predictor",
    **{name: f"models.{family}.predict:Predictor" for name, family in FAMILIES.items()},
}
REGION_MODELS: tuple[str, ...] = tuple(FAMILIES)
"""Those whose task is ``region_classification``."""

_resident: dict[tuple[str, str, Path | None], LoadedModel] = {}
_loading = threading.Lock()


def describe(weights_dir: Path | None = None) -> tuple[ModelCard, ...]:
    """Describe every model, installed or not, in the order of `MODELS`.

    Parameters
    ----------
    weights_dir : pathlib.Path or None
        A site's own weights, ``weights_dir/fpnnet/model.safetensors`` with ``metadata.json`` beside it.
    """
    return tuple(describe_model(name, weights_dir) for name in MODELS)


def describe_model(name: str, weights_dir: Path | None = None) -> ModelCard:
    """Describe one model; weights that are missing or are not the ones named are its `problem`, not an exception.

    Raises
    ------
    KeyError
        No such model.
    """
    _require(name)
    metadata = own_metadata(name)
    sha256, problem = None, None
    try:
        place, sha256 = _found(name, weights_dir, verify_weights)
        metadata = place.metadata
    except (WeightsMissing, WeightsMismatch) as error:
        problem = str(error)
    return ModelCard(
        name=name,
        version=metadata.version,
        task=metadata.task,
        installed=sha256 is not None,
        weights_sha256=sha256,
        measured_on=metadata.measured_on,
        operating_point=metadata.operating_point,
        canonical_spacing_mm=metadata.canonical_spacing_mm,
        problem=problem,
        region=metadata.region,
    )


def resolve_device(device: str, index: int = 0) -> str:
    """Return the device that `device` means on this machine.

    Parameters
    ----------
    device : str
        ``"cpu"``, ``"cuda"`` (the first), ``"cuda:N"``, or ``"auto"``: an accelerator where there is one, else the CPU.
    index : int
        Which of several workers asks; with ``"auto"`` they take the accelerators in turn.
    """
    resolved: str = import_module("models.resident").resolve_device(device, index)  # imports torch
    return resolved


def device_problem(device: str) -> str | None:
    """Say why `device`, as `resolve_device` takes it, cannot be used on this machine; None when it can."""
    problem: str | None = import_module("models.resident").device_problem(device)  # imports torch
    return problem


def load(name: str, device: str = "auto", weights_dir: Path | None = None) -> LoadedModel:
    """Return the predictor `name` on `device`; the second call with the same arguments returns the same object.

    Weights that were replaced on disk are taken up by a new process, never by a running one.

    Parameters
    ----------
    name : str
        A key of `MODELS`.
    device : str
        ``"cpu"``, ``"cuda:N"``, or ``"auto"`` for the first accelerator, else the CPU.
    weights_dir : pathlib.Path or None
        As in `describe`.

    Raises
    ------
    KeyError
        No such model.
    WeightsMissing, WeightsMismatch
        It cannot run; found out before torch is imported, unless the weights are intact but those of another network.
        Asked again, it looks again, and hashes a file only when that has changed.
    """
    _require(name)
    with _loading:
        key = (name, device, weights_dir)
        if key not in _resident:
            _resident[key] = _load(name, device, weights_dir)
        return _resident[key]


def load_detector(name: str, device: str = "auto", weights_dir: Path | None = None) -> Detector:
    """`load` for a model whose task is detection."""
    _require_task(name, "detection")
    return cast(Detector, load(name, device, weights_dir))


def load_classifier(name: str, device: str = "auto", weights_dir: Path | None = None) -> Classifier:
    """`load` for a model whose task is classification."""
    _require_task(name, "classification")
    return cast(Classifier, load(name, device, weights_dir))


def load_segmenter(name: str, device: str = "auto", weights_dir: Path | None = None) -> Segmenter:
    """`load` for a model whose task is segmentation."""
    _require_task(name, "segmentation")
    return cast(Segmenter, load(name, device, weights_dir))


def load_lesion_classifier(name: str, device: str = "auto", weights_dir: Path | None = None) -> LesionClassifier:
    """`load` for a model whose task is the classification of a region."""
    _require_task(name, "roi_classification")
    return cast(LesionClassifier, load(name, device, weights_dir))


def load_region_classifier(name: str, device: str = "auto", weights_dir: Path | None = None) -> RegionClassifier:
    """`load` for a model whose task is the classification of a lesion in one or two views."""
    _require_task(name, "region_classification")
    return cast(RegionClassifier, load(name, device, weights_dir))


def _load(name: str, device: str, weights_dir: Path | None) -> LoadedModel:
    _found(name, weights_dir, verify_weights)  # remembers what it hashed: a refused file is not read with every study
    resolved = resolve_device(device)
    same = (name, resolved, weights_dir)
    if same not in _resident:
        module_name, _, class_name = MODELS[name].partition(":")
        predictor_class = getattr(import_module(module_name), class_name)
        _, weights = _found(name, weights_dir, read_weights)
        _resident[same] = predictor_class.from_weights(weights, resolved)
    return _resident[same]


def _found(name: str, weights_dir: Path | None, read: Callable[[WeightsPlace], Read]) -> tuple[WeightsPlace, Read]:
    """Find weights and read them, once more where an installation has put others in their place meanwhile."""
    place = find_weights(name, weights_dir)
    try:
        return place, read(place)
    except FileNotFoundError:
        place = find_weights(name, weights_dir)
        return place, read(place)


def _require(name: str) -> None:
    if name not in MODELS:
        raise KeyError(f"no model {name!r}; there are {', '.join(MODELS)}")


def _require_task(name: str, task: str) -> None:
    _require(name)
    actual = own_metadata(name).task
    if actual != task:
        raise ValueError(f"{name} does {actual}, not {task}")
