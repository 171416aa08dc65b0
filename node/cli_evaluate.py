"""The commands ``mammonode evaluate MODEL``: their options; what they do is in `node.commands_evaluate`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

app = typer.Typer(
    name="evaluate",
    help="Measure a model on your own images. Needs a manifest: mammonode manifest --help.",
    no_args_is_help=True,
    rich_markup_mode=None,
)


@app.callback()
def about() -> None:
    """Measure a model on your own images. Needs a manifest: mammonode manifest --help."""


@app.command()
def fpnnet(
    *,
    data: Annotated[
        Path, typer.Option("--data", metavar="MANIFEST", help="CSV of images, splits and boxes: docs/MANIFEST.md.")
    ],
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="report.html, report.json and plots.")],
    split: Annotated[Literal["train", "val", "test", "all"], typer.Option(help="Which images.")] = "test",
    planted: Annotated[
        bool,
        typer.Option("--planted", help="Not the labelled lesions, but clusters planted in each plantable image."),
    ] = False,
    phantoms: Annotated[int, typer.Option(min=0, help="With --planted: views of the built-in phantom as well.")] = 0,
    hit_rule: Annotated[
        Literal["iou", "centre", "radius"],
        typer.Option(
            help="When a box finds a lesion: IoU of 0.2; its centre in the lesion's box; its centre within "
            "max(radius, 3 mm) + 3 mm of the lesion's."
        ),
    ] = "iou",
    weights: Annotated[
        Path | None, typer.Option("--weights", metavar="DIR", help="A weights_dir; else the weights that ship.")
    ] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N.")] = "auto",
    false_positives_on: Annotated[
        Literal["normal", "unmarked", "all"],
        typer.Option(
            help="Which images count: those vouched for as normal (plantable); all without a marked lesion; all images."
        ),
    ] = "normal",
    seed: Annotated[int, typer.Option(min=0, help="Of planted clusters and of the resamples.")] = 20231118,
    second_opinion: Annotated[bool, typer.Option("--second-opinion", help="Run SPPNet as well.")] = False,
) -> None:
    """Detection: FROC with intervals, lesion, image and breast level as the paper reports them."""
    try:
        from node.commands_evaluate import evaluate_fpnnet  # noqa: PLC0415  --help stays quick without torch
    except ModuleNotFoundError as error:
        typer.echo(f"mammonode evaluate needs {error.name}; make research installs it", err=True)
        raise typer.Exit(2) from error

    evaluate_fpnnet(
        data,
        out,
        split=None if split == "all" else split,
        planted=planted,
        phantoms=phantoms,
        hit_rule=hit_rule,
        weights_dir=weights,
        device=device,
        seed=seed,
        second_opinion=second_opinion,
        false_positives_on=false_positives_on,
    )
