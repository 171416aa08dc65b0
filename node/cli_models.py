"""The commands ``mammonode models ...``: their options; what they do is in `node.commands_models`."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from node.settings import load_settings

app = typer.Typer(name="models", invoke_without_command=True, rich_markup_mode=None)

ConfigOption = Annotated[
    Path | None,
    typer.Option("--config", "-c", metavar="FILE", envvar="MAMMONODE_CONFIG", help="Settings file (TOML)."),
]


@app.callback()
def models(
    context: typer.Context,
    config: ConfigOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """List the models: installed or not, version, weights hash, operating point, where measured."""
    if context.invoked_subcommand is not None:
        return
    from node.commands_ledger import list_models  # noqa: PLC0415  --help stays quick without the ledger

    list_models(load_settings(config, os.environ), as_json=as_json)


@app.command()
def install(
    path: Annotated[Path, typer.Argument(metavar="PATH", help="The folder that training wrote, or a bundle.")],
    weights_dir: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Folder of weights, in place of models.weights_dir of the settings."),
    ] = None,
    config: ConfigOption = None,
) -> None:
    """Check a bundle, try it out, and put it into the folder of weights; new workers take it up."""
    from node.commands_models import install_model  # noqa: PLC0415  as above

    install_model(path, load_settings(config, os.environ).models.weights_dir if weights_dir is None else weights_dir)
