"""Weights on disk: found, checked against their SHA-256 before anything is parsed, then loaded. torch comes in lazily.

Two layouts hold the same two files::

    models/fpnnet/configs/metadata.json          the bundle's own
    models/fpnnet/models/model.safetensors

    weights_dir/fpnnet/metadata.json             a site's own; wins as soon as the folder weights_dir/fpnnet exists,
    weights_dir/fpnnet/model.safetensors         so that a broken override never silently runs another model
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from safetensors import SafetensorError

from models.errors import WeightsMismatch, WeightsMissing
from models.metadata import Metadata, bundle_dir, folder_name, own_metadata, read_metadata

if TYPE_CHECKING:
    import torch

WEIGHTS_FILE = "model.safetensors"


@dataclass(frozen=True, slots=True, kw_only=True)
class WeightsPlace:
    """A weights file that exists, and the metadata that vouches for it."""

    path: Path
    metadata: Metadata


@dataclass(frozen=True, slots=True, kw_only=True)
class VerifiedWeights:
    """The bytes of a weights file whose digest is the one that the metadata names."""

    content: bytes
    sha256: str
    metadata: Metadata

    def state_dict(self) -> dict[str, torch.Tensor]:
        """Parse the bytes.

        Raises
        ------
        WeightsMismatch
            They are not safetensors.
        """
        from safetensors.torch import load  # noqa: PLC0415  imports torch, which takes seconds

        try:
            return load(self.content)
        except SafetensorError as error:
            raise WeightsMismatch(f"{self.metadata.name}: the weights file is not safetensors: {error}") from error


def find_weights(name: str, weights_dir: Path | None = None) -> WeightsPlace:
    """Find the weights of the model `name`, without reading them.

    Raises
    ------
    WeightsMissing
        There is no weights file.
    WeightsMismatch
        The metadata beside it cannot be used, or is that of another model.
    """
    own = None if weights_dir is None else weights_dir / folder_name(name)
    if own is not None and own.is_dir():
        folder = own
        weights = [*folder.glob("*.safetensors"), *folder.glob("*.skops")]
        if not (weights or (own / "metadata.json").exists()):
            raise WeightsMissing("no weights installed")
        metadata = read_metadata(own / "metadata.json")
    else:
        folder, metadata = bundle_dir(name) / "models", own_metadata(name)
    if metadata.name != name:
        raise WeightsMismatch(f"the metadata beside the weights of {name} is that of {metadata.name}")
    path = folder / metadata.weights_file
    if not path.is_file():
        raise WeightsMissing("no weights installed")
    return WeightsPlace(path=path, metadata=metadata)


def verify_weights(place: WeightsPlace) -> str:
    """Return the digest of the file, once it is known to be the one that the metadata names.

    A file is hashed once a process, and again only when its size, time or inode changes.

    Raises
    ------
    WeightsMismatch
        It is another file.
    """
    status = place.path.stat()
    digest = _sha256_of(place.path, status.st_ino, status.st_size, status.st_mtime_ns)
    return _matched(digest, place.metadata)


def read_weights(place: WeightsPlace) -> VerifiedWeights:
    """Read the file and check the very bytes that will be parsed.

    Raises
    ------
    WeightsMismatch
        They are not the ones that the metadata names.
    """
    content = place.path.read_bytes()
    sha256 = _matched(hashlib.sha256(content).hexdigest(), place.metadata)
    return VerifiedWeights(content=content, sha256=sha256, metadata=place.metadata)


def write_weights(
    state_dict: Mapping[str, torch.Tensor],
    directory: Path,
    metadata: Mapping[str, Any],
    *,
    trained_on: str | None = None,
) -> str:
    """Write ``model.safetensors`` and a ``metadata.json`` that names its digest into `directory`.

    Parameters
    ----------
    state_dict : mapping of str to torch.Tensor
        What ``network.state_dict()`` returns, on any device.
    directory : pathlib.Path
        ``weights_dir/fpnnet``, say; made when it does not exist.
    metadata : mapping
        The whole metadata, e.g. from `models.metadata.bundle_metadata`, with the figures measured for these weights.
    trained_on : str or None
        What newly trained weights learned from. They get a version of their own, that of the architecture and the
        first digits of their digest, and a line in the changelog.

    Returns
    -------
    str
        The SHA-256 of the weights file.
    """
    from safetensors.torch import save  # noqa: PLC0415  imports torch, which takes seconds

    content = save({key: tensor.detach().cpu().contiguous() for key, tensor in state_dict.items()})
    return write_weights_file(content, WEIGHTS_FILE, directory, metadata, trained_on=trained_on)


def write_weights_file(
    content: bytes, file_name: str, directory: Path, metadata: Mapping[str, Any], *, trained_on: str | None = None
) -> str:
    """Write weights that are bytes already, of whatever format, as `write_weights` does."""
    sha256 = hashlib.sha256(content).hexdigest()
    described = {**metadata, "weights": {"file": file_name, "sha256": sha256}}
    if trained_on is not None:
        version = f"{metadata['version'].partition('+')[0]}+{sha256[:8]}"
        described |= {"version": version, "changelog": {version: f"trained on {trained_on}"}}
    directory.mkdir(parents=True, exist_ok=True)
    _replace(directory / file_name, content)
    _replace(directory / "metadata.json", (json.dumps(described, indent=4) + "\n").encode())
    return sha256


def amend_metadata(directory: Path, changes: Mapping[str, Any]) -> None:
    """Replace members of the ``metadata.json`` in a folder of weights, e.g. by figures measured since."""
    path = directory / "metadata.json"
    content = json.loads(path.read_text(encoding="utf-8")) | dict(changes)
    _replace(path, (json.dumps(content, indent=4) + "\n").encode())


@lru_cache(maxsize=64)
def _sha256_of(path: Path, _inode: int, _size_bytes: int, _mtime_ns: int) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _matched(digest: str, metadata: Metadata) -> str:
    if metadata.weights_sha256 is None:
        raise WeightsMismatch(f"{metadata.name}: a weights file is there, but metadata.json names no SHA-256 for it")
    if digest != metadata.weights_sha256:
        raise WeightsMismatch(
            f"{metadata.name}: the weights file has SHA-256 {digest[:12]}..., "
            f"metadata.json names {metadata.weights_sha256[:12]}..."
        )
    return digest


def _replace(path: Path, content: bytes) -> None:
    """Write `path` so that a reader sees the old file or the new one, never half of it."""
    partial = path.with_name(path.name + ".part")
    with partial.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    partial.replace(path)
