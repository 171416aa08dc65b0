"""What a run was begun with, in a few digits: a run that is taken up again with something else is refused."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from models.errors import TrainingRefused


class Named(Protocol):
    """An image or a frame that a run learns from."""

    @property
    def name(self) -> str:
        """What tells it apart in its data set."""
        ...


def digest_of_images(*groups: Sequence[Named]) -> str:
    """Tell sets of images apart, whatever their order within a group (training, validation, ...)."""
    names = "\n\n".join("\n".join(sorted(image.name for image in images)) for images in groups)
    return hashlib.sha256(names.encode()).hexdigest()


def digest_of_file(path: Path | None) -> str:
    """SHA-256 of a file of weights; ``"none"`` when there is none.

    Raises
    ------
    TrainingRefused
        It cannot be read.
    """
    if path is None:
        return "none"
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise TrainingRefused(f"{path.name} cannot be read ({type(error).__name__})") from error
