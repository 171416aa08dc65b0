"""The command ``mammonode``: every subcommand, its options, and how errors are told."""

from __future__ import annotations

import os
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Final, get_args

import typer

from node import cli_evaluate, cli_manifest, cli_models, cli_train, cli_train_regions, cli_ultrasound
from node.errors import SettingsInvalid
from node.logs import configure_logging
from node.settings import Settings, load_settings
from pipelines.errors import MammonodeError
from sr_templates.contract import ResultKind

app = typer.Typer(
    name="mammonode",
    help="A DICOM node that breast studies are sent to, and that answers in DICOM. Research use.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

ConfigOption = Annotated[
    Path | None,
    typer.Option(
        "--config",
        "-c",
        metavar="FILE",
        envvar="MAMMONODE_CONFIG",
        help="Settings file (TOML); every key: docs/SETTINGS.md.",
    ),
]
VerboseOption = Annotated[bool, typer.Option("--verbose", "-v", help="Log debug messages too.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON.")]

USAGE_ERROR: Final = 2


def settings_from(config: Path | None) -> Settings:
    """Load the settings, or end with what is wrong and exit status 2."""
    return load_settings(config, os.environ)


@app.command()
def serve(config: ConfigOption = None, verbose: VerboseOption = False) -> None:
    """Run every part on this machine, in the foreground; SIGTERM drains and ends."""
    configure_logging(verbose=verbose)
    from node.serve import serve as run

    run(settings_from(config), config)


@app.command()
def scp(config: ConfigOption = None, verbose: VerboseOption = False) -> None:
    """Run the receiver alone."""
    configure_logging(verbose=verbose)
    from node.parts import run_scp

    run_scp(settings_from(config))


@app.command()
def dispatch(config: ConfigOption = None, verbose: VerboseOption = False) -> None:
    """Run the dispatcher alone: completion, reconciling, delivery. A second one waits as a stand-by."""
    configure_logging(verbose=verbose)
    from node.parts import run_dispatch

    run_dispatch(settings_from(config))


@app.command()
def worker(
    config: ConfigOption = None,
    index: Annotated[int, typer.Option(help="Which GPU of this machine: this number modulo their count.")] = 0,
    verbose: VerboseOption = False,
) -> None:
    """Run one worker: a Celery process whose models stay loaded."""
    configure_logging(verbose=verbose)
    from node.parts import run_worker

    run_worker(settings_from(config), index=index)


@app.command()
def check(config: ConfigOption = None, timeout_s: float = 5) -> None:
    """Try out everything that the settings name, and say how to mend what does not work."""
    configure_logging()
    from models.registry import describe
    from node.check import check as look
    from node.finding import render

    settings = settings_from(config)
    findings = look(
        settings, models=[card.identity for card in describe(settings.models.weights_dir)], timeout_s=timeout_s
    )
    typer.echo(render(findings))
    if any(finding.level == "error" for finding in findings):
        raise typer.Exit(1)


@app.command()
def analyse(
    paths: Annotated[list[Path], typer.Argument(metavar="PATH...", help="DICOM files, or folders of them.")],
    out: Annotated[Path, typer.Option("--out", "-o", metavar="DIR", help="Where results and results.json go.")],
    *,
    min_score: Annotated[
        float | None, typer.Option(min=0, max=1, metavar="S", help="Report findings from this score on.")
    ] = None,
    results: Annotated[
        list[str] | None,
        typer.Option(metavar="KIND", help=f"Result to write, may be repeated: {', '.join(get_args(ResultKind))}."),
    ] = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Run the node's pipeline on files, without a network; write the DICOM results and DIR/results.json."""
    configure_logging()
    from node.commands_files import analyse as run

    run(paths, out, settings_from(config), min_score=min_score, kinds=results, as_json=as_json)


@app.command()
def send(
    paths: Annotated[list[Path], typer.Argument(metavar="PATH...", help="DICOM files, or folders of them.")],
    to: Annotated[str, typer.Option("--to", metavar="AE@host:port", help="Where to, e.g. PACS@127.0.0.1:4242.")],
    calling: Annotated[str, typer.Option(metavar="AE", help="Calling AE title.")] = "MAMMONODE",
    timeout_s: float = 30,
) -> None:
    """Send files by C-STORE, each in its own transfer syntax."""
    configure_logging()
    from node.commands_files import send as run

    run(paths, to, calling=calling, timeout_s=timeout_s)


@app.command()
def explain(
    paths: Annotated[
        list[Path],
        typer.Argument(metavar="PATH...", help="DICOM files, or folders of them; - is standard input."),
    ],
    *,
    patient: Annotated[bool, typer.Option("--patient", help="Show the patient's name and ID.")] = False,
    tree: Annotated[
        bool, typer.Option("--tree", help="Print the content tree of a report as it is, every item of it.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Say in words what a result says: findings, where, how sure, by which model. Other makers' reports too.

    Structured reports, secondary captures and presentation states are read; of anything else it says what it is. What a
    reader must not overlook stands first, as CAUTION: what was not analysed, and what of a file could not be read. Exit
    status 1 when a file is no DICOM.
    """
    configure_logging()
    from node.commands_explain import explain_files

    explain_files(paths, patient=patient, tree=tree, as_json=as_json)


@app.command()
def studies(config: ConfigOption = None, limit: int = 50, as_json: JsonOption = False) -> None:
    """List the latest studies and where each stands."""
    from node.commands_ledger import list_studies

    list_studies(settings_from(config), limit=limit, as_json=as_json)


@app.command()
def study(
    uid: Annotated[str, typer.Argument(help="Study Instance UID.")],
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show a study's history, every event with its time, and its deliveries."""
    from node.commands_ledger import show_study

    show_study(settings_from(config), uid, as_json=as_json)


@app.command()
def retry(
    uid: Annotated[str, typer.Argument(help="Study Instance UID.")],
    config: ConfigOption = None,
    again: Annotated[bool, typer.Option("--again", help="Analyse once more even when all went well.")] = False,
    resend: Annotated[bool, typer.Option("--resend", help="Send every result once more, as it was.")] = False,
) -> None:
    """Send refused results again; analyse a failed or set-aside study once more, as a new revision."""
    from node.commands_ledger import retry_study

    retry_study(settings_from(config), uid, again=again, resend=resend)


@app.command()
def phantom(
    out: Annotated[Path, typer.Option("--out", "-o", metavar="DIR", help="Where the four files go.")],
    seed: Annotated[int, typer.Option(help="Another number, another patient.")] = 1,
) -> None:
    """Write a generated four-view mammogram: nobody's breast, complete headers, planted calcifications."""
    from node.commands_files import write_phantom

    write_phantom(out, seed=seed)


@app.command()
def demo(
    out: Annotated[Path, typer.Option("--out", "-o", metavar="DIR", help="Where the results go.")] = Path("demo-out"),
) -> None:
    """Start a node, a small PACS and a sender; send a generated study; print and save what comes back."""
    from node.demo import demo as run

    run(out)


cli_ultrasound.add_commands(train=cli_train.app, evaluate=cli_evaluate.app)
cli_train_regions.add_commands(cli_train.app)
app.add_typer(cli_train.app)
app.add_typer(cli_evaluate.app)
app.add_typer(cli_manifest.app)
app.add_typer(cli_models.app)


@app.callback(invoke_without_command=True)
def options(
    show_version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
) -> None:
    """A DICOM node that breast studies are sent to, and that answers in DICOM. Research use."""
    if show_version:
        typer.echo(f"mammonode {version('mammonode')}")
        raise typer.Exit


def main() -> None:
    """Run the command; an error of ours is one message and an exit status, never a traceback."""
    try:
        app()
    except SettingsInvalid as error:
        typer.echo(str(error), err=True)
        sys.exit(USAGE_ERROR)
    except MammonodeError as error:
        typer.echo(f"mammonode: {error}", err=True)
        sys.exit(1)
    except BrokenPipeError:
        sys.stderr.close()
        sys.exit(1)
    except OSError as error:
        typer.echo(f"mammonode: {error}", err=True)
        sys.exit(1)


if __name__ == "__main__":
    main()
