"""What a bundle says of itself: ``configs/metadata.json``, read and checked. Nothing here imports torch."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, cast

from models.contract import ModelIdentity
from models.errors import WeightsMismatch

Task = Literal["detection", "classification", "segmentation", "roi_classification"]
TASKS: tuple[Task, ...] = ("detection", "classification", "segmentation", "roi_classification")

TASKS_WITHOUT_SPACING: tuple[Task, ...] = ("segmentation", "roi_classification")
"""Of ultrasound: its pixels have any size, so the network is given a canvas or a region of fixed shape."""

BUNDLES_DIR = Path(__file__).parent


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
    """

    name: str
    version: str
    task: Task
    canonical_spacing_mm: float | None
    operating_point: Mapping[str, float]
    measured_on: str
    weights_file: str
    weights_sha256: str | None

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
    """Return the folder of the bundle `name`."""
    return BUNDLES_DIR / folder_name(name).replace("-", "_")  # a package's name has no hyphen


def bundle_metadata(name: str) -> dict[str, Any]:
    """Return the whole ``metadata.json`` of the bundle `name`, as a fresh dictionary that the caller may change."""
    text = (bundle_dir(name) / "configs" / "metadata.json").read_text(encoding="utf-8")
    return cast(dict[str, Any], json.loads(text))


def read_metadata(path: Path) -> Metadata:
    """Read a ``metadata.json``.

    Raises
    ------
    WeightsMismatch
        The file is not there, not JSON, or lacks or misstates what the code needs: nothing says what the weights are.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise WeightsMismatch(f"{path.name} beside the weights cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise WeightsMismatch(f"{path.name} is not JSON: {error}") from error
    try:
        return _checked(content)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise WeightsMismatch(f"{path.name} lacks or misstates {error}") from error


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
    )


def _measured_on(measured: Mapping[str, Any]) -> str:
    """Return the names of the data sets of the figures, or the note that says why there are no figures."""
    datasets = dict.fromkeys(str(figure["on"]) for figure in measured["figures"])
    return "; ".join(datasets) or str(measured["note"])
