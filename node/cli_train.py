"""The commands ``mammonode train MODEL``: their options; what they do is in `node.commands_train`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

app = typer.Typer(
    name="train",
    help="Train a model on your own images. Needs a manifest: mammonode manifest --help.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

DataOption = Annotated[
    Path, typer.Option("--data", metavar="MANIFEST", help="CSV of images, splits and boxes: docs/MANIFEST.md.")
]
OutOption = Annotated[
    Path,
    typer.Option(
        "--out", metavar="DIR", help="Checkpoints, logs and the bundle; a run that is there is taken up again."
    ),
]
DeviceOption = Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N.")]
SeedOption = Annotated[int, typer.Option(help="Of weights, crops and order.")]
MinutesOption = Annotated[
    float | None, typer.Option(help="Stop after this time, with a checkpoint; the same command goes on.")
]


@app.command()
def fpnnet(
    *,
    data: DataOption,
    out: OutOption,
    steps: Annotated[int, typer.Option(min=1, help="In all; a step is one batch of crops.")] = 2200,
    batch: Annotated[int, typer.Option(min=1, help="Crops of 25 mm a step.")] = 8,
    seed: SeedOption = 1,
    device: DeviceOption = "auto",
    precision: Annotated[
        Literal["auto", "float32", "bfloat16"], typer.Option(help="Of the arithmetic; auto is bfloat16.")
    ] = "auto",
    workers: Annotated[int, typer.Option(min=0, help="Processes that make crops.")] = 1,
    phantoms: Annotated[int, typer.Option(min=0, help="Views of the built-in phantom to train on as well.")] = 10,
    medium: Annotated[Literal["film", "digital"] | None, typer.Option(help="Only images of this kind.")] = None,
    distractors: Annotated[
        bool, typer.Option(help="Draw dust, scratches, vessels, clips, labels and single grains too.")
    ] = True,
    backbone: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Start from a ResNet-50 with torchvision's names (safetensors)."),
    ] = None,
    minutes: MinutesOption = None,
) -> None:
    """Detection of microcalcifications: clusters are planted in normal images, real boxes are used where labelled."""
    from node.commands_train import plan_of, train_fpnnet  # noqa: PLC0415  --help stays quick without torch

    train_fpnnet(
        data,
        out,
        plan=plan_of(steps=steps, batch=batch, seed=seed, device=device, precision=precision, workers=workers),
        medium=medium,
        phantoms=phantoms,
        distractors=distractors,
        backbone=backbone,
        minutes=minutes,
    )
