"""The commands ``mammonode manifest ...``: their options; what they do is in `node.commands_manifest`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(
    name="manifest",
    help="Manifests of the images that models are trained on and evaluated: docs/MANIFEST.md.",
    no_args_is_help=True,
    rich_markup_mode=None,
)


DistanceOption = Annotated[
    float | None,
    typer.Option(
        min=0,
        max=6,
        metavar="D",
        help="Draw this view; its classes are D standard deviations apart. CC and MLO at 1.8 when no view is given.",
    ),
]
OutcomeOption = Annotated[str, typer.Option(metavar="OUTCOME", help="Whose classes: er, her2_level, subtype, ...")]
ShuffleOption = Annotated[bool, typer.Option("--shuffle", help="Deal the classes out anew: nothing can be learned.")]


@app.command("import")
def import_(
    layout: Annotated[
        str,
        typer.Argument(
            metavar="LAYOUT", help="One of cbis_ddsm, inbreast, vindr_mammo, mini_mias, busi: docs/MANIFEST.md."
        ),
    ],
    folder: Annotated[
        Path, typer.Argument(metavar="DIR", help="Where the data set lies, as its publisher laid it out.")
    ],
    out: Annotated[Path, typer.Option("--out", "-o", metavar="FILE", help="The manifest to write (CSV).")],
    seed: Annotated[int, typer.Option(min=0, metavar="N", help="Of the splits that the publisher leaves open.")] = 0,
    spacing_mm: Annotated[
        float | None,
        typer.Option(min=0.01, max=1, metavar="X", help="Of images that do not say it, in place of the layout's own."),
    ] = None,
) -> None:
    """Write the manifest of a public data set, and print what is in it and what was left out."""
    from node.commands_manifest import import_layout_to  # noqa: PLC0415  --help stays quick without scipy

    import_layout_to(layout, folder, out, seed=seed, spacing_mm=spacing_mm)


@app.command("split")
def split(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The manifest (CSV).")],
    out: Annotated[Path, typer.Option("--out", "-o", metavar="FILE", help="The manifest to write; may be the same.")],
    val: Annotated[float, typer.Option(min=0, max=1, metavar="SHARE", help="Of the patients, for validation.")] = 0.15,
    test: Annotated[float, typer.Option(min=0, max=1, metavar="SHARE", help="Of the patients, for the test.")] = 0.25,
    seed: Annotated[int, typer.Option(min=0, metavar="N", help="Another number, other patients.")] = 0,
) -> None:
    """Give the patients without a split one: by lot, among normal, benign and malignant patients alike."""
    from node.commands_manifest import split as run  # noqa: PLC0415  --help stays quick without scipy

    run(file, out, val=val, test=test, seed=seed)


@app.command("check")
def check(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The manifest (CSV).")],
) -> None:
    """Check every row and the header of every image; print counts by split. Exit status 1 and all errors if any."""
    from node.commands_manifest import check as run  # noqa: PLC0415  --help stays quick without scipy

    run(file)


@app.command("tumours")
def tumours(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The manifest of tumours (CSV or Parquet).")],
    *,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", metavar="FILE", help="Write it (CSV), with the splits or folds.")
    ] = None,
    folds: Annotated[
        int | None, typer.Option(min=2, max=99, metavar="N", help="Give the patients without a fold one of N.")
    ] = None,
    val: Annotated[float | None, typer.Option(min=0, max=1, metavar="SHARE", help="Of the patients.")] = None,
    test: Annotated[float | None, typer.Option(min=0, max=1, metavar="SHARE", help="Of the patients.")] = None,
    by: Annotated[
        str | None, typer.Option("--by", metavar="OUTCOME", help="Share out each class of this outcome alike.")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, metavar="N", help="Another number, other patients.")] = 0,
) -> None:
    """Check a manifest of tumours, print what is in it, and give the patients splits or folds: by lot."""
    from node.commands_tumours import tumours as run  # noqa: PLC0415  --help stays quick without scipy

    run(file, out=out, folds=folds, val=val, test=test, by=by, seed=seed)


@app.command("simulated-tumours")
def simulated_tumours(
    *,
    out: Annotated[Path, typer.Option("--out", "-o", metavar="DIR", help="A folder that is empty, or not there yet.")],
    patients: Annotated[int, typer.Option(min=10, metavar="N", help="Each has one lesion.")] = 400,
    cc: DistanceOption = None,
    mlo: DistanceOption = None,
    us: DistanceOption = None,
    outcome: Annotated[
        str, typer.Option(metavar="OUTCOME", help="What the classes are of: er, her2_level, ...")
    ] = "er",
    seed: Annotated[int, typer.Option(min=0, metavar="N", help="The same number, the same files.")] = 0,
    shuffle: ShuffleOption = False,
) -> None:
    """Write simulated tumours whose best possible AUC is known, to find out whether a model learns."""
    from node.commands_tumours import simulated_tumours as run  # noqa: PLC0415  --help stays quick without scipy

    run(out, patients=patients, distances={"CC": cc, "MLO": mlo, "US": us}, outcome=outcome, seed=seed, shuffle=shuffle)
