"""The commands ``mammonode evaluate``: options; what they do is in `node.commands_evaluate` and its neighbours."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

app = typer.Typer(
    name="evaluate",
    help="Measure a model on your own images, or predictions that were made anywhere.",
    no_args_is_help=True,
    invoke_without_command=True,
    rich_markup_mode=None,
)


@app.callback()
def predictions(
    context: typer.Context,
    *,
    table: Annotated[
        Path | None,
        typer.Option("--predictions", metavar="TABLE", help="CSV or Parquet of predictions: docs/PREDICTIONS.md."),
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", metavar="DIR", help="report.html, report.json and plots.")
    ] = None,
    clinical: Annotated[
        Path | None, typer.Option("--clinical", metavar="TABLE", help="More covariates, by patient and lesion.")
    ] = None,
    features: Annotated[
        Path | None,
        typer.Option("--features", metavar="TABLE", help="Features by lesion and reader: ICC and clusters."),
    ] = None,
    positive: Annotated[
        str | None, typer.Option("--positive", metavar="CLASS", help="The positive class, if its name does not tell.")
    ] = None,
    split: Annotated[
        Literal["train", "val", "test", "all"] | None,
        typer.Option(help="Which cases; else those of test where there are any."),
    ] = None,
    threshold: Annotated[float, typer.Option(min=0.0, max=1.0, help="Probability from which one is positive.")] = 0.5,
    with_score: Annotated[
        str | None, typer.Option("--with-score", metavar="MODEL", help="Its score enters the regression, too.")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Of the resamples.")] = 20231118,
) -> None:
    """Measure a model on your own images (a command), or predictions that were made anywhere (--predictions)."""
    if context.invoked_subcommand is not None:
        if table is not None:
            raise typer.BadParameter("goes without a command", param_hint="--predictions")
        return
    if table is None or out is None:
        raise typer.BadParameter("is needed", param_hint="--out" if table is not None else "--predictions")
    try:
        from node.commands_evaluate_predictions import evaluate_predictions  # noqa: PLC0415  --help stays quick

        evaluate_predictions(
            table,
            out,
            clinical=clinical,
            features=features,
            positive=positive,
            split=split,
            threshold=threshold,
            with_score=with_score,
            seed=seed,
        )
    except ModuleNotFoundError as error:
        typer.echo(f"mammonode evaluate needs {error.name}; make research installs it", err=True)
        raise typer.Exit(2) from error


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


@app.command()
def tumours(
    models: Annotated[
        list[str], typer.Argument(metavar="MODEL...", help="Models of regions that predict the same outcome.")
    ],
    *,
    data: Annotated[Path, typer.Option("--data", metavar="MANIFEST", help="CSV or Parquet: docs/MANIFEST_TUMOURS.md.")],
    weights: Annotated[
        Path, typer.Option("--weights", metavar="DIR", help="Where the models are: --out of mammonode train.")
    ],
    out: Annotated[
        Path, typer.Option("--out", metavar="DIR", help="predictions.csv, report.html, report.json, plots.")
    ],
    split: Annotated[
        Literal["train", "val", "test", "all"] | None, typer.Option(help="Which tumours; else test, by folds all.")
    ] = None,
    by_folds: Annotated[
        bool, typer.Option("--by-folds", help="Each tumour by the model that has not seen its fold.")
    ] = False,
    threshold: Annotated[float, typer.Option(min=0.0, max=1.0, help="Probability from which one is positive.")] = 0.5,
    with_score: Annotated[
        str | None, typer.Option("--with-score", metavar="MODEL", help="Its score enters the regression, too.")
    ] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N.")] = "auto",
    seed: Annotated[int, typer.Option(min=0, help="Of the resamples.")] = 20231118,
) -> None:
    """Receptor, subtype, node: trained models side by side on tumours that they have not seen."""
    from models.registry import REGION_MODELS  # noqa: PLC0415  --help stays quick

    unknown = [model for model in models if model not in REGION_MODELS]
    if unknown:
        raise typer.BadParameter(f"no such model: {', '.join(unknown)}; there are {', '.join(REGION_MODELS)}")
    try:
        from node.commands_evaluate_tumours import evaluate_tumours  # noqa: PLC0415  --help stays quick without torch
    except ModuleNotFoundError as error:
        typer.echo(f"mammonode evaluate needs {error.name}; make research installs it", err=True)
        raise typer.Exit(2) from error

    evaluate_tumours(
        list(dict.fromkeys(models)),
        data,
        out,
        weights_dir=weights,
        split=split,
        by_folds=by_folds,
        threshold=threshold,
        with_score=with_score,
        device=device,
        seed=seed,
    )
