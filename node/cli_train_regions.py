"""The commands ``mammonode train NAME`` of all models of regions: their options.

What they do is in `node.commands_train_regions`. SPPNet's models of patches have a command of their own.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Final

import typer

from models.metadata import FAMILIES, own_metadata
from node.cli_train import DeviceOption, MinutesOption, PrecisionOption, WorkersOption
from node.cli_ultrasound import require_research

TumoursOption = Annotated[
    Path,
    typer.Option(
        "--data",
        metavar="MANIFEST",
        help="CSV or Parquet of tumours, their views and what pathology found: docs/MANIFEST_TUMOURS.md.",
    ),
]
BundlesOption = Annotated[
    Path,
    typer.Option(
        "--out",
        metavar="DIR",
        help="DIR/NAME gets the bundle and predictions.csv of whom it has not seen; a run that is there goes on.",
    ),
]
OutcomeOption = Annotated[
    str | None,
    typer.Option(
        metavar="OUTCOME", help="Learn another outcome than the model's own, with as many classes; the bundle says so."
    ),
]
FoldOption = Annotated[
    int | None,
    typer.Option(min=1, metavar="K", help="Train without fold K, and measure on it: DIR/folds/K/NAME."),
]
FoldsOption = Annotated[
    int | None,
    typer.Option(
        min=2,
        metavar="N",
        help="Each of N folds in turn, then all together. Patients without a fold are dealt out, class by class.",
    ),
]
FinalOption = Annotated[bool, typer.Option(help="With --folds: train on all folds together, too.")]
EpochsOption = Annotated[
    int | None,
    typer.Option(
        min=1, help="How often each sample is seen: 300 (densenet121-cbam, its paper) or 100 (ip-se-dresnet)."
    ),
]
BatchOption = Annotated[
    int | None,
    typer.Option(min=2, help="Samples a step: 8 (densenet121-cbam, its paper) or 16 (ip-se-dresnet)."),
]
RateOption = Annotated[
    float | None,
    typer.Option(min=0.0, help="Greatest of AdamW: 0.0001 (densenet121-cbam, its paper) or 0.0003 (ip-se-dresnet)."),
]
StartOption = Annotated[
    list[Path] | None,
    typer.Option(
        metavar="FILE",
        help="Begin with weights that have torchvision's names, e.g. of ImageNet (safetensors): a DenseNet121; or a "
        "ResNet-34 and a ResNet-50, each with an option of its own.",
    ),
]
SeedOption = Annotated[
    int, typer.Option(min=0, help="Of weights, samples, order, and of splits and folds that are not given.")
]

NETWORKS_NEED: Final = ("sklearn",)
RADIOMICS_NEEDS: Final = ("sklearn", "imblearn", "skops", "radiomics", "SimpleITK")


def add_commands(train: typer.Typer) -> None:
    """Add a command for each model to ``mammonode train``."""
    made_by = {"ip_se_dresnet": _network, "densenet121_cbam": _network, "radiomics": _radiomics}
    for name, family in FAMILIES.items():
        if family in made_by:
            train.command(name, help=_help(name))(made_by[family](name))


def _help(name: str) -> str:
    task = own_metadata(name).region_task
    how = "together" if task.combination == "joint" else "each by itself"
    views = f"{' and '.join(task.views)}, {how}" if len(task.views) > 1 else task.views[0]
    return (
        f"Tumours: {task.outcome} ({', '.join(task.classes)}) from {views}. Without splits, a share is held out by lot."
    )


def _network(name: str) -> Callable[..., None]:
    def command(
        *,
        data: TumoursOption,
        out: BundlesOption,
        outcome: OutcomeOption = None,
        fold: FoldOption = None,
        folds: FoldsOption = None,
        final: FinalOption = True,
        epochs: EpochsOption = None,
        batch: BatchOption = None,
        rate: RateOption = None,
        start: StartOption = None,
        seed: SeedOption = 1,
        device: DeviceOption = "auto",
        precision: PrecisionOption = "auto",
        workers: WorkersOption = 1,
        minutes: MinutesOption = None,
    ) -> None:
        require_research(*NETWORKS_NEED)
        from node.commands_train_regions import Which, network_plan, train_network  # noqa: PLC0415  --help stays quick

        train_network(
            name,
            data,
            out,
            which=Which(outcome=outcome, fold=fold, folds=folds, final=final),
            plan=network_plan(
                name,
                epochs=epochs,
                batch=batch,
                rate=rate,
                seed=seed,
                device=device,
                precision=precision,
                workers=workers,
            ),
            start=tuple(start or ()),
            minutes=minutes,
        )

    return command


def _radiomics(name: str) -> Callable[..., None]:
    def command(
        *,
        data: TumoursOption,
        out: BundlesOption,
        outcome: OutcomeOption = None,
        fold: FoldOption = None,
        folds: FoldsOption = None,
        final: FinalOption = True,
        seed: SeedOption = 1,
        workers: Annotated[int, typer.Option(min=1, help="Processes that compute features.")] = 1,
        minutes: MinutesOption = None,
    ) -> None:
        require_research(*RADIOMICS_NEEDS)
        from node.commands_train_regions import Which, train_radiomics  # noqa: PLC0415  --help stays quick

        train_radiomics(
            name,
            data,
            out,
            which=Which(outcome=outcome, fold=fold, folds=folds, final=final),
            seed=seed,
            workers=workers,
            minutes=minutes,
        )

    return command
