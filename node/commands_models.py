"""The command that installs a model."""

from __future__ import annotations

from pathlib import Path

import typer

from models.errors import ModelError
from models.installation import install
from node.errors import SettingsInvalid
from pipelines.errors import MammonodeError


def install_model(source: Path, weights_dir: Path | None) -> None:
    """Install a bundle and print what is in force now.

    Raises
    ------
    SettingsInvalid
        There is no folder of weights to install into.
    MammonodeError
        The bundle is refused; nothing was changed.
    """
    if weights_dir is None:
        words = "nowhere to install to: set models.weights_dir in the settings, or give --weights-dir DIR"
        raise SettingsInvalid((words,), origin="command line")
    try:
        installed = install(source, weights_dir)
    except ModelError as error:
        raise MammonodeError(f"not installed: {error}") from error
    before = "" if installed.replaced is None else f", in place of version {installed.replaced}"
    typer.echo(f"installed {installed.name} {installed.version}{before}")
    typer.echo(f"weights   sha256 {installed.weights_sha256}")
    typer.echo(f"folder    {installed.folder}")
    typer.echo(
        "A worker that runs the model already keeps its version until it is started again; what was not installed\n"
        "before is taken up with the next study. models.weights_dir of the node must name this folder's parent."
    )
