"""The commands ``mammonode train us-...`` and ``mammonode evaluate us-...``: their options.

What they do is in `node.commands_ultrasound` and `node.commands_evaluate_ultrasound`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from node.cli_train import DeviceOption, MinutesOption, OutOption, PrecisionOption

FramesOption = Annotated[
    Path,
    typer.Option("--data", metavar="MANIFEST", help="CSV of frames, folds and masks: docs/MANIFEST_ULTRASOUND.md."),
]
FoldOption = Annotated[
    str,
    typer.Option(
        metavar="K|all|final",
        help="A number: train without that fold. final: on all folds. all: each fold in turn, measured, then final.",
    ),
]
SeedOption = Annotated[int, typer.Option(min=0, help="Of weights, samples, order, and of folds that are not given.")]
WorkersOption = Annotated[int, typer.Option(min=0, help="Processes that make samples.")]
RunOption = Annotated[
    Path | None,
    typer.Option(
        "--run", metavar="DIR", help="The --out of a training of all folds: each is measured on its own fold."
    ),
]
WeightsOption = Annotated[
    Path | None,
    typer.Option("--weights", metavar="DIR", help="Without --run: a weights_dir; else the weights that ship."),
]
ReportOption = Annotated[Path, typer.Option("--out", metavar="DIR", help="report.html, report.json and plots.")]
EvaluationSeed = Annotated[int, typer.Option(min=0, help="Of resamples, and of folds that are not given.")]


def add_commands(*, train: typer.Typer, evaluate: typer.Typer) -> None:
    """Add the commands to ``mammonode train`` and ``mammonode evaluate``."""
    train.command("us-segmentation")(train_us_segmentation)
    train.command("us-malignancy")(train_us_malignancy)
    train.command("us-her2")(train_us_her2)
    evaluate.command("us-segmentation")(evaluate_us_segmentation)
    evaluate.command("us-malignancy")(evaluate_us_malignancy)
    evaluate.command("us-her2")(evaluate_us_her2)


def train_us_segmentation(
    *,
    data: FramesOption,
    out: OutOption,
    fold: FoldOption = "all",
    steps: Annotated[int, typer.Option(min=2, help="Of each network.")] = 2000,
    batch: Annotated[int, typer.Option(min=2, help="Frames a step.")] = 8,
    start: Annotated[
        Literal["imagenet", "random"], typer.Option(help="Weights that the encoder begins with.")
    ] = "imagenet",
    seed: SeedOption = 1,
    device: DeviceOption = "auto",
    precision: PrecisionOption = "auto",
    workers: WorkersOption = 1,
    minutes: MinutesOption = None,
) -> None:
    """Ultrasound: outlines of lesions, from masks."""
    require_research()
    from node.commands_ultrasound import segmentation_plan, train_segmentation  # noqa: PLC0415  --help stays quick

    plan = segmentation_plan(steps=steps, batch=batch, seed=seed, device=device, precision=precision, workers=workers)
    train_segmentation(data, out, fold=fold, plan=plan, start=start, minutes=minutes)


def train_us_malignancy(
    *,
    data: FramesOption,
    out: OutOption,
    fold: FoldOption = "all",
    steps: Annotated[int, typer.Option(min=2, help="Of each network.")] = 300,
    batch: Annotated[int, typer.Option(min=2, help="Lesions a step.")] = 64,
    seed: SeedOption = 1,
    device: DeviceOption = "auto",
    precision: PrecisionOption = "auto",
    workers: WorkersOption = 1,
    minutes: MinutesOption = None,
) -> None:
    """Ultrasound: benign or malignant, from masks or boxes; measured by outlines too where DIR holds such networks."""
    require_research()
    from node.commands_ultrasound import roi_plan, train_rois  # noqa: PLC0415  likewise

    plan = roi_plan(steps=steps, batch=batch, seed=seed, device=device, precision=precision, workers=workers)
    train_rois("us-malignancy", data, out, fold=fold, plan=plan, minutes=minutes)


def train_us_her2(
    *,
    data: FramesOption,
    out: OutOption,
    fold: FoldOption = "all",
    steps: Annotated[int, typer.Option(min=2, help="Of each network.")] = 300,
    batch: Annotated[int, typer.Option(min=2, help="Lesions a step.")] = 64,
    seed: SeedOption = 1,
    device: DeviceOption = "auto",
    precision: PrecisionOption = "auto",
    workers: WorkersOption = 1,
    minutes: MinutesOption = None,
) -> None:
    """Ultrasound: HER2-negative or -positive, from masks or boxes with a column her2. The paper's AUC is 0.84."""
    require_research()
    from node.commands_ultrasound import roi_plan, train_rois  # noqa: PLC0415  likewise

    plan = roi_plan(steps=steps, batch=batch, seed=seed, device=device, precision=precision, workers=workers)
    train_rois("us-her2", data, out, fold=fold, plan=plan, minutes=minutes)


def evaluate_us_segmentation(
    *,
    data: FramesOption,
    out: ReportOption,
    run: RunOption = None,
    weights: WeightsOption = None,
    device: DeviceOption = "auto",
    seed: EvaluationSeed = 1,
) -> None:
    """Ultrasound: Dice and IoU by class, lesions found, alarms on normal frames."""
    require_research()
    from node.commands_evaluate_ultrasound import evaluate_segmentation  # noqa: PLC0415  likewise

    evaluate_segmentation(data, out, run=run, weights_dir=weights, device=device, seed=seed)


def evaluate_us_malignancy(
    *,
    data: FramesOption,
    out: ReportOption,
    run: RunOption = None,
    weights: WeightsOption = None,
    outlines: Annotated[bool, typer.Option(help="Run us-segmentation too, and classify what it outlines.")] = True,
    device: DeviceOption = "auto",
    seed: EvaluationSeed = 1,
) -> None:
    """Ultrasound: AUC by automatic and by true outlines, against radiomics and clinical data (with --run)."""
    _evaluate_rois("us-malignancy", data, out, run, weights, outlines=outlines, device=device, seed=seed)


def evaluate_us_her2(
    *,
    data: FramesOption,
    out: ReportOption,
    run: RunOption = None,
    weights: WeightsOption = None,
    outlines: Annotated[bool, typer.Option(help="Run us-segmentation too, and classify what it outlines.")] = False,
    device: DeviceOption = "auto",
    seed: EvaluationSeed = 1,
) -> None:
    """Ultrasound: AUC of HER2 status, against radiomics and clinical data (with --run)."""
    _evaluate_rois("us-her2", data, out, run, weights, outlines=outlines, device=device, seed=seed)


def require_research(*needed: str) -> None:
    """End with what to install when packages are missing: those named, else scikit-learn, matplotlib and jinja2."""
    from importlib.util import find_spec  # noqa: PLC0415  likewise

    missing = [name for name in needed or ("sklearn", "matplotlib", "jinja2") if find_spec(name) is None]
    if missing:
        typer.echo(f"this command needs {', '.join(missing)}; make research installs it", err=True)
        raise typer.Exit(2)


def _evaluate_rois(
    model: Literal["us-malignancy", "us-her2"],
    data: Path,
    out: Path,
    run: Path | None,
    weights: Path | None,
    *,
    outlines: bool,
    device: str,
    seed: int,
) -> None:
    require_research()
    from node.commands_evaluate_ultrasound import evaluate_rois  # noqa: PLC0415  likewise

    evaluate_rois(model, data, out, run=run, weights_dir=weights, outlines=outlines, device=device, seed=seed)
