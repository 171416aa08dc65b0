"""A bundle is taken over into a site's folder of weights: checked, loaded, tried out, and only then put in place.

Whatever the instant at which the process dies, a reader finds the version that was there before or the new one. A new
folder appears whole, by one rename. In a folder that is there already the new weights lie beside the old ones under a
name of their own until one rename of ``metadata.json``, which names the file, makes them the ones in force.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from models import registry
from models.errors import InstallationRefused, ModelError
from models.metadata import Metadata, folder_name, own_metadata, read_metadata
from models.predictor import RegionClassifier
from models.regions.contract import Lesion, LesionView, RegionTask
from models.regions.outcomes import OUTCOMES
from models.weights import WeightsPlace, verify_weights

STAGING: Final = ".install-"
LOCK: Final = ".install.lock"
METADATA: Final = "metadata.json"
LESION_PX: Final = 400
"""Side of the phantom that models of regions are tried out on; its lesion is a quarter as wide."""


@dataclass(frozen=True, slots=True, kw_only=True)
class InstalledModel:
    """What was put in place; `replaced` is the version that was there before."""

    name: str
    version: str
    weights_sha256: str
    folder: Path
    replaced: str | None


def install(source: Path, weights_dir: Path) -> InstalledModel:
    """Check a bundle and install it.

    Parameters
    ----------
    source : pathlib.Path
        A folder with ``metadata.json`` and the weights that it names, as training writes it; or a bundle, which has
        them in ``configs`` and ``models``.
    weights_dir : pathlib.Path
        A site's folder of weights; made when it does not exist.

    Raises
    ------
    InstallationRefused
        It is no bundle of a model of this node, its weights are not the ones that it names, or it does not run.
    OSError
        The folder of weights cannot be written.
    """
    place = _found(source)
    sha256 = _verified(place)
    name = place.metadata.name
    with _alone(weights_dir), _staging(weights_dir) as staging:
        staged = staging / folder_name(name)
        _stage(place, sha256, staged, _metadata_path(source))
        _try_out(name, staging)
        folder = weights_dir / folder_name(name)
        replaced = _version_in(folder)
        _put_in_place(staged, folder)
    return InstalledModel(
        name=name, version=place.metadata.version, weights_sha256=sha256, folder=folder, replaced=replaced
    )


def _metadata_path(source: Path) -> Path:
    for path in (source / METADATA, source / "configs" / METADATA):
        if path.is_file():
            return path
    raise InstallationRefused(f"{source}: no {METADATA} there, nor in configs; give the folder that training wrote")


def _found(source: Path) -> WeightsPlace:
    path = _metadata_path(source)
    try:
        metadata = read_metadata(path)
    except ModelError as error:
        raise InstallationRefused(f"{source}: {error}") from error
    _require_known(metadata)
    folder = source if path.parent == source else source / "models"
    weights = folder / metadata.weights_file
    if metadata.weights_sha256 is None:
        raise InstallationRefused(f"{source}: {METADATA} names no SHA-256 of the weights, so nothing vouches for them")
    if not weights.is_file():
        raise InstallationRefused(f"{source}: no {metadata.weights_file} there, which {METADATA} names")
    return WeightsPlace(path=weights, metadata=metadata)


def _require_known(metadata: Metadata) -> None:
    """Raise unless the node has the model, and it tells apart what the node can report."""
    if metadata.name not in registry.MODELS:
        raise InstallationRefused(f"no model {metadata.name!r}; there are {', '.join(registry.MODELS)}")
    own = own_metadata(metadata.name)
    if metadata.task != own.task:
        raise InstallationRefused(f"{metadata.name} does {own.task}; this bundle says {metadata.task}")
    region = metadata.region
    if region is not None and OUTCOMES.get(region.outcome) != region.classes:
        raise InstallationRefused(
            f"{metadata.name}: {region.outcome} with the classes {', '.join(region.classes)} cannot be reported"
        )


def _verified(place: WeightsPlace) -> str:
    try:
        return verify_weights(place)
    except ModelError as error:
        raise InstallationRefused(str(error)) from error


@contextmanager
def _alone(weights_dir: Path) -> Iterator[None]:
    """Keep other installations out, and clear away what one that was killed has left; the kernel drops the lock."""
    weights_dir.mkdir(parents=True, exist_ok=True)
    with (weights_dir / LOCK).open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        for left in weights_dir.glob(f"{STAGING}*"):
            if left.is_dir():
                shutil.rmtree(left)
        yield


@contextmanager
def _staging(weights_dir: Path) -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix=STAGING, dir=weights_dir))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _stage(place: WeightsPlace, sha256: str, staged: Path, metadata_path: Path) -> None:
    """Copy the weights under a name that no other weights have, and metadata that name them so."""
    staged.mkdir()
    staged.parent.chmod(0o755)  # mkdtemp keeps others out; what is renamed out of it is to be read by workers
    weights = f"{place.path.stem.partition('-')[0]}-{sha256[:16]}{place.path.suffix}"
    digest = _copied(place.path, staged / weights)
    if digest != sha256:
        raise InstallationRefused(f"{place.path.name} changed while it was copied; try again")
    content: Mapping[str, Any] = json.loads(metadata_path.read_text(encoding="utf-8"))
    described = {**content, "weights": {**content["weights"], "file": weights, "sha256": sha256}}
    _written(staged / METADATA, (json.dumps(described, indent=4) + "\n").encode())
    _sync(staged)


def _try_out(name: str, weights_dir: Path) -> None:
    """Load the model from where it is staged, on the CPU, and run it once."""
    try:
        model = registry.load(name, "cpu", weights_dir)
        region = own_metadata(name).region
        if region is None:
            model.warm_up()
        else:
            _try_on_a_lesion(registry.load_region_classifier(name, "cpu", weights_dir))
    except ImportError as error:
        raise InstallationRefused(f"{name} needs a package that is not installed: {error.name}") from error
    except (ModelError, ValueError) as error:
        raise InstallationRefused(f"{name} does not run: {error}") from error


def _try_on_a_lesion(model: RegionClassifier) -> None:
    probabilities = model.predict(phantom_lesion(model.task)).probabilities
    whole = np.isfinite(probabilities).all() and abs(sum(probabilities) - 1) < 1e-3
    if len(probabilities) != len(model.task.classes) or not whole:
        raise InstallationRefused("its probabilities do not add up to 1 over its classes")


def phantom_lesion(task: RegionTask) -> Lesion:
    """A bright disc in noise, in every view that the model takes; nobody's lesion."""
    noise = np.random.default_rng(0).uniform(0.2, 0.5, (LESION_PX, LESION_PX)).astype(np.float32)
    y, x = np.mgrid[:LESION_PX, :LESION_PX]
    disc = np.hypot(x - LESION_PX / 2, y - LESION_PX / 2) < LESION_PX / 8
    pixels = np.where(disc, noise + np.float32(0.4), noise).astype(np.float32)
    return {view: LesionView(pixels=pixels, mask=disc, spacing_mm=(0.1, 0.1)) for view in task.views}


def _version_in(folder: Path) -> str | None:
    try:
        return read_metadata(folder / METADATA).version
    except ModelError:
        return None


def _put_in_place(staged: Path, folder: Path) -> None:
    """Make the staged version the one in force; see the module for the order."""
    if not folder.exists():
        staged.rename(folder)
        _sync(folder.parent)
        return
    weights = [path for path in staged.iterdir() if path.name != METADATA]
    for path in weights:
        path.replace(folder / path.name)
    _sync(folder)
    (staged / METADATA).replace(folder / METADATA)
    _sync(folder)
    kept = {METADATA, *(path.name for path in weights)}
    for left in folder.iterdir():
        if left.is_file() and left.name not in kept and left.suffix in {path.suffix for path in weights}:
            left.unlink()


def _copied(source: Path, target: Path) -> str:
    """Copy durably; return the digest of what was written."""
    digest = hashlib.sha256()
    with source.open("rb") as read, target.open("wb") as written:
        while block := read.read(1 << 20):
            digest.update(block)
            written.write(block)
        written.flush()
        os.fsync(written.fileno())
    return digest.hexdigest()


def _written(path: Path, content: bytes) -> None:
    with path.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
