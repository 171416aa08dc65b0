"""What a bundle says of itself: ``configs/metadata.json``, read and checked. Nothing here imports torch."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, cast

from models.contract import ModelIdentity
from models.errors import WeightsMismatch
from models.regions.contract import VIEWS, RegionTask

Task = Literal["detection", "classification", "segmentation", "roi_classification", "region_classification"]
TASKS: tuple[Task, ...] = (
    "detection",
    "classification",
    "segmentation",
    "roi_classification",
    "region_classification",
)

TASKS_WITHOUT_SPACING: tuple[Task, ...] = ("segmentation", "roi_classification", "region_classification")
"""The network is given a canvas or a region of fixed shape, whatever the size of the pixels."""

BUNDLES_DIR = Path(__file__).parent

FAMILIES: Mapping[str, str] = {
    "ip-se-dresnet-c": "ip_se_dresnet",
    "ip-se-dresnet-m": "ip_se_dresnet",
    "ip-se-dresnet-cm": "ip_se_dresnet",
    "densenet121-cbam-luminal": "densenet121_cbam",
    "densenet121-cbam-her2": "densenet121_cbam",
    "densenet121-cbam-tn": "densenet121_cbam",
    "densenet121-cbam-subtype": "densenet121_cbam",
    "radiomics-er": "radiomics",
    "radiomics-her2-ultrasound": "radiomics",
    "radiomics-her2": "radiomics",
    "radiomics-node": "radiomics",
    "SPPNet-Invasive": "sppnet_patches",
    "SPPNet-Invasive-Or-Microinvasive": "sppnet_patches",
    "SPPNet-ER": "sppnet_patches",
}
"""Models that share the folder of a bundle: its ``metadata.json`` holds what differs, by name, in ``variants``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Metadata:
    """The part of ``metadata.json`` that the code acts on.

    Attributes
    ----------
    canonical_spacing_mm : float or None
        Pixel spacing, rows and columns alike, at which the network wants its image; None for a network of ultrasound.
    operating_point : mapping of str to float
        Thresholds by name.
    measured_on : str
        On what data the figures were measured, or why there are none.
    weights_file : str
        Name of the weights file, in the folder of weights.
    weights_sha256 : str or None
        Digest that the file must have; None when the bundle has no weights.
    region : RegionTask or None
        What a model of regions tells apart; None for any other model.
    """

    name: str
    version: str
    task: Task
    canonical_spacing_mm: float | None
    operating_point: Mapping[str, float]
    measured_on: str
    weights_file: str
    weights_sha256: str | None
    region: RegionTask | None = None

    @property
    def spacing_mm(self) -> float:
        """`canonical_spacing_mm` of a network that has one.

        Raises
        ------
        WeightsMismatch
            It has none.
        """
        if self.canonical_spacing_mm is None:
            raise WeightsMismatch(f"{self.name}: metadata.json names no canonical_spacing_mm")
        return self.canonical_spacing_mm

    @property
    def region_task(self) -> RegionTask:
        """`region` of a model that has one.

        Raises
        ------
        WeightsMismatch
            It has none.
        """
        if self.region is None:
            raise WeightsMismatch(f"{self.name}: metadata.json names no region: what is told apart, and in which views")
        return self.region

    def identity(self, weights_sha256: str | None, **in_force: float) -> ModelIdentity:
        """Say which model this is, with the operating point as changed by the thresholds `in_force`."""
        return ModelIdentity(
            name=self.name,
            version=self.version,
            weights_sha256=weights_sha256,
            operating_point={**self.operating_point, **in_force},
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelCard:
    """One line of ``mammonode models``.

    Attributes
    ----------
    installed : bool
        True when the weights are there and are the ones that the metadata names.
    weights_sha256 : str or None
        Digest of the installed weights; None when `installed` is false.
    problem : str or None
        Why the model cannot run, e.g. ``"no weights installed"``.
    """

    name: str
    version: str
    task: Task
    installed: bool
    weights_sha256: str | None
    measured_on: str
    operating_point: Mapping[str, float]
    canonical_spacing_mm: float | None
    problem: str | None
    region: RegionTask | None = None

    @property
    def identity(self) -> ModelIdentity:
        """Which model this is, installed or not, at its own operating point."""
        return ModelIdentity(
            name=self.name,
            version=self.version,
            weights_sha256=self.weights_sha256,
            operating_point=dict(self.operating_point),
        )


def folder_name(name: str) -> str:
    """Return how the folder of the model `name` is called, in the project and in a site's own weights."""
    return name.lower()


def bundle_dir(name: str) -> Path:
    """Return the folder of the bundle of the model `name`; models of a family share one."""
    return BUNDLES_DIR / FAMILIES.get(name, folder_name(name).replace("-", "_"))  # a package's name has no hyphen


def bundle_metadata(name: str) -> dict[str, Any]:
    """Return the whole ``metadata.json`` of the model `name`, as a fresh dictionary that the caller may change.

    Of a family's file it is what all share, and what is the model's own.
    """
    text = (bundle_dir(name) / "configs" / "metadata.json").read_text(encoding="utf-8")
    content = cast(dict[str, Any], json.loads(text))
    variants = content.pop("variants", None)
    return content if variants is None else content | {"name": name} | variants[name]


def own_metadata(name: str) -> Metadata:
    """Return what the bundle of the model `name` says of it.

    Raises
    ------
    WeightsMismatch
        Its ``metadata.json`` cannot be read, or lacks or misstates what the code needs.
    """
    return _understood(lambda: bundle_metadata(name), "metadata.json")


def read_metadata(path: Path) -> Metadata:
    """Read a ``metadata.json``.

    Raises
    ------
    WeightsMismatch
        The file is not there, not JSON, or lacks or misstates what the code needs: nothing says what the weights are.
    """
    return _understood(lambda: json.loads(path.read_text(encoding="utf-8")), path.name)


def _understood(read: Callable[[], Any], file_name: str) -> Metadata:
    try:
        content = read()
    except OSError as error:
        raise WeightsMismatch(f"{file_name} beside the weights cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise WeightsMismatch(f"{file_name} is not JSON: {error}") from error
    try:
        return _checked(content)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise WeightsMismatch(f"{file_name} lacks or misstates {error}") from error


def _checked(content: Mapping[str, Any]) -> Metadata:
    if content["task"] not in TASKS:
        raise ValueError(f"task: {content['task']!r} is none of {', '.join(TASKS)}")
    without = content["task"] in TASKS_WITHOUT_SPACING and content["canonical_spacing_mm"] is None
    spacing_mm = None if without else float(content["canonical_spacing_mm"])
    if spacing_mm is not None and not (math.isfinite(spacing_mm) and spacing_mm > 0):
        raise ValueError(f"canonical_spacing_mm: {spacing_mm} is not a length")
    weights = content["weights"]
    file, sha256 = str(weights["file"]), weights["sha256"]
    if Path(file).name != file:
        raise ValueError(f"weights.file: {file!r} is not a bare file name")
    return Metadata(
        name=str(content["name"]),
        version=str(content["version"]),
        task=content["task"],
        canonical_spacing_mm=spacing_mm,
        operating_point={str(key): float(value) for key, value in content["operating_point"].items()},
        measured_on=_measured_on(content["measured"]),
        weights_file=file,
        weights_sha256=None if sha256 is None else str(sha256).lower(),
        region=_region(content["region"]) if content["task"] == "region_classification" else None,
    )


def _region(content: Mapping[str, Any]) -> RegionTask:
    views = tuple(content["views"])
    if not views or any(view not in VIEWS for view in views):
        raise ValueError(f"region.views: {views!r}")
    if content["combination"] not in ("joint", "each"):
        raise ValueError(f"region.combination: {content['combination']!r} is of another version: train the model again")
    classes = tuple(str(name) for name in content["classes"])
    if len(set(classes)) < 2 or len(set(classes)) != len(classes):
        raise ValueError(f"region.classes: {classes!r}")
    return RegionTask(outcome=str(content["outcome"]), classes=classes, views=views, combination=content["combination"])


def _measured_on(measured: Mapping[str, Any]) -> str:
    """Return the names of the data sets of the figures, or the note that says why there are no figures."""
    datasets = dict.fromkeys(str(figure["on"]) for figure in measured["figures"])
    return "; ".join(datasets) or str(measured["note"])
