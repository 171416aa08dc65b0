"""The commands ``mammonode train MODEL``: their options; what they do is in `node.commands_train`."""

from __future__ import annotations

from importlib.util import find_spec
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
SeedOption = Annotated[int, typer.Option(min=0, help="Of weights, crops and order.")]
MinutesOption = Annotated[
    float | None,
    typer.Option(
        help="Stop after this time, with a checkpoint; the same command goes on. "
        "Validation and FPNNet's gate are not cut short."
    ),
]
PrecisionOption = Annotated[
    Literal["auto", "float32", "bfloat16"], typer.Option(help="Of the arithmetic; auto is bfloat16.")
]
MediumOption = Annotated[
    Literal["film", "digital"] | None,
    typer.Option(help="Only images of this kind; phantoms are of a digital detector."),
]
WorkersOption = Annotated[int, typer.Option(min=0, help="Processes that make what is learned from.")]
PhantomsOption = Annotated[int, typer.Option(min=0, help="Views of the built-in phantom to train on as well.")]
StartOption = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help="Start from an SPPNet, or a ResNet-18 with torchvision's names (safetensors)."),
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
    precision: PrecisionOption = "auto",
    workers: WorkersOption = 1,
    phantoms: PhantomsOption = 10,
    medium: MediumOption = None,
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
    from models.training.detector import TrainPlan  # noqa: PLC0415  --help stays quick without torch
    from node.commands_train import plan_of, train_fpnnet  # noqa: PLC0415  --help stays quick without torch

    train_fpnnet(
        data,
        out,
        plan=plan_of(
            TrainPlan, steps=steps, batch=batch, seed=seed, device=device, precision=precision, workers=workers
        ),
        medium=medium,
        phantoms=phantoms,
        distractors=distractors,
        backbone=backbone,
        minutes=minutes,
    )


@app.command()
def fpnnet_backbone(
    *,
    data: DataOption,
    out: OutOption,
    steps: Annotated[int, typer.Option(min=1, help="In all; a step is one batch of patches.")] = 1000,
    batch: Annotated[int, typer.Option(min=2, help="Patches of 12.8 mm a step.")] = 16,
    seed: SeedOption = 1,
    device: DeviceOption = "auto",
    precision: PrecisionOption = "auto",
    workers: WorkersOption = 1,
    phantoms: PhantomsOption = 10,
    medium: MediumOption = None,
    distractors: Annotated[bool, typer.Option(help="As for fpnnet.")] = True,
    minutes: MinutesOption = None,
) -> None:
    """FPNNet's ResNet-50 on patches, with calcifications or without: a file for train fpnnet --backbone."""
    _require_research()
    from models.training.classifier import ClassifierPlan  # noqa: PLC0415  likewise
    from node.commands_train import plan_of, train_fpnnet_backbone  # noqa: PLC0415  likewise

    train_fpnnet_backbone(
        data,
        out,
        plan=plan_of(
            ClassifierPlan, steps=steps, batch=batch, seed=seed, device=device, precision=precision, workers=workers
        ),
        medium=medium,
        phantoms=phantoms,
        distractors=distractors,
        minutes=minutes,
    )


@app.command()
def sppnet(
    *,
    data: DataOption,
    out: OutOption,
    steps: Annotated[int, typer.Option(min=1, help="In all; a step is one batch of crops, or of whole images.")] = 3000,
    batch: Annotated[int, typer.Option(min=2, help="Crops of 12.8 mm a step; of larger ones, fewer.")] = 24,
    whole: Annotated[
        float, typer.Option(min=0.0, max=1.0, help="Share of whole images in the last three tenths of the steps.")
    ] = 0.1,
    seed: SeedOption = 1,
    device: DeviceOption = "auto",
    precision: PrecisionOption = "auto",
    workers: WorkersOption = 1,
    phantoms: PhantomsOption = 10,
    medium: MediumOption = None,
    start: StartOption = None,
    minutes: MinutesOption = None,
) -> None:
    """Whole image, benign or malignant: clusters are planted in normal images, real boxes are used where labelled."""
    _require_research()
    from models.training.classifier import ClassifierPlan  # noqa: PLC0415  likewise
    from node.commands_train import plan_of, train_sppnet  # noqa: PLC0415  --help stays quick without torch

    train_sppnet(
        data,
        out,
        plan=plan_of(
            ClassifierPlan, steps=steps, batch=batch, seed=seed, device=device, precision=precision, workers=workers
        ),
        whole=whole,
        medium=medium,
        phantoms=phantoms,
        start=start,
        minutes=minutes,
    )


@app.command()
def sppnet_patches(
    *,
    task: Annotated[
        Literal["pathology-microinvasive-as-invasive", "pathology-microinvasive-as-dcis", "er"],
        typer.Option(help="Which two classes: invasive or DCIS, with microinvasion in either; ER+ or ER-."),
    ],
    data: Annotated[
        Path,
        typer.Option(
            "--data",
            metavar="MANIFEST",
            help="A manifest of tumours, or a CSV of malignant calcifications: image, patient, split, x0, y0, x1, y1, "
            "spacing_mm, medium, pathology (invasive, microinvasive, dcis), er (positive, negative).",
        ),
    ],
    out: OutOption,
    steps: Annotated[int, typer.Option(min=1, help="In all; a step is one batch of patches.")] = 2000,
    batch: Annotated[int, typer.Option(min=2, help="Patches a step.")] = 8,
    seed: SeedOption = 1,
    device: DeviceOption = "auto",
    precision: PrecisionOption = "auto",
    workers: WorkersOption = 1,
    start: StartOption = None,
    minutes: MinutesOption = None,
) -> None:
    """Subtype of malignant calcifications, from patches around their boxes. The paper's own AUC is 0.54 to 0.57."""
    _require_research()
    from models.training.classifier import ClassifierPlan  # noqa: PLC0415  likewise
    from node.commands_train import plan_of, train_sppnet_patches  # noqa: PLC0415  likewise

    train_sppnet_patches(
        data,
        out,
        task=task,
        plan=plan_of(
            ClassifierPlan, steps=steps, batch=batch, seed=seed, device=device, precision=precision, workers=workers
        ),
        start=start,
        minutes=minutes,
    )


def _require_research() -> None:
    if find_spec("sklearn") is None:
        typer.echo("training a classifier needs scikit-learn; make research installs it", err=True)
        raise typer.Exit(2)
