"""The commands ``train us-...``: a manifest of frames in, networks of its folds and a bundle out, taken up again."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Final, Literal

import typer
from tqdm import tqdm

from models.errors import TrainingRefused
from models.evaluation.frame_report import measured
from models.registry import describe_model
from models.training import us_rois, us_segmentation
from models.training.fold_bundles import run_dir_of, weights_dir_of
from models.training.loop import Precision
from models.training.steps import StepPlan, Tell
from models.training.us_rois import RoiModel, RoiPlan
from models.training.us_segmentation import CanvasPlan, Start
from node.commands_evaluate_ultrasound import Folds, roi_evaluation, segmentation_evaluation
from node.commands_train import CannotTrain, device_of, shown, stopping
from pipelines.datasets.frame_images import LoadedFrames, load_frames

STOPPED: Final = 3
"""Exit status of a run that was stopped before its last step."""

TrainOne = Callable[[LoadedFrames, int | None, Mapping[str, Any] | None, Tell, Callable[[], bool]], Path | None]
Measure = Callable[[LoadedFrames], dict[str, Any]]


def segmentation_plan(
    *, steps: int, batch: int, seed: int, device: str, precision: Literal["auto"] | Precision, workers: int
) -> StepPlan:
    """Fill in what the command line leaves to the machine: the device, and half precision."""
    return _filled_in(
        us_segmentation.PLAN, steps=steps, batch=batch, seed=seed, device=device, precision=precision, workers=workers
    )


def roi_plan(
    *, steps: int, batch: int, seed: int, device: str, precision: Literal["auto"] | Precision, workers: int
) -> StepPlan:
    """`segmentation_plan` for a classifier."""
    return _filled_in(
        us_rois.PLAN, steps=steps, batch=batch, seed=seed, device=device, precision=precision, workers=workers
    )


def train_segmentation(
    manifest: Path, out: Path, *, fold: str, plan: StepPlan, start: Start, minutes: float | None
) -> None:
    """Train us-segmentation and say where its bundles are; ends with status 3 when it was stopped early."""

    def one(
        data: LoadedFrames, of: int | None, figures: Mapping[str, Any] | None, tell: Tell, until: Callable[[], bool]
    ) -> Path | None:
        return us_segmentation.train(
            data.frames,
            out,
            fold=of,
            plan=plan,
            canvases=CanvasPlan(),
            start=start,
            note=data.note,
            measured=figures,
            tell=tell,
            until=until,
        )

    def measure(data: LoadedFrames) -> dict[str, Any]:
        evaluation, _ = segmentation_evaluation(data, Folds(run=out, weights_dir=None, device=plan.device))
        return measured(evaluation)

    _train(us_segmentation.NAME, manifest, out, fold=fold, plan=plan, minutes=minutes, one=one, measure=measure)


def train_rois(model: RoiModel, manifest: Path, out: Path, *, fold: str, plan: StepPlan, minutes: float | None) -> None:
    """Train us-malignancy or us-her2 and say where its bundles are; likewise."""

    def one(
        data: LoadedFrames, of: int | None, figures: Mapping[str, Any] | None, tell: Tell, until: Callable[[], bool]
    ) -> Path | None:
        return us_rois.train(
            data.frames,
            out,
            model=model,
            fold=of,
            plan=plan,
            rois=RoiPlan(),
            note=data.note,
            measured=figures,
            tell=tell,
            until=until,
        )

    def measure(data: LoadedFrames) -> dict[str, Any]:
        outlines = all(
            describe_model(us_segmentation.NAME, weights_dir_of(out, of)).installed
            and (weights_dir_of(out, of) / us_segmentation.NAME).is_dir()
            for of in data.folds
        )
        folds = Folds(run=out, weights_dir=None, device=plan.device)
        evaluation, _ = roi_evaluation(model, data, folds, outlines=outlines, compared=False, seed=plan.seed)
        return measured(replace(evaluation, segmentation=None))

    _train(model, manifest, out, fold=fold, plan=plan, minutes=minutes, one=one, measure=measure)


def _train(
    name: str,
    manifest: Path,
    out: Path,
    *,
    fold: str,
    plan: StepPlan,
    minutes: float | None,
    one: TrainOne,
    measure: Measure,
) -> None:
    data = load_frames(manifest, seed=plan.seed, progress=shown)
    wanted = _wanted(fold, data)
    figures: Mapping[str, Any] | None = None
    try:
        with stopping(minutes) as stop:
            for of in wanted:
                if of is None and fold == "all":
                    figures = measure(data)
                what = "all folds" if of is None else f"without fold {of}"
                with tqdm(total=plan.steps, unit="step", desc=f"{name}, {what}", smoothing=0.05) as bar:
                    bundle = one(data, of, figures, partial(_show, bar), stop)
                if bundle is None:
                    where = run_dir_of(out, name, of)
                    typer.echo(f"stopped before the end; the same command goes on from the checkpoint in {where}")
                    raise typer.Exit(STOPPED)
                typer.echo(f"weights and metadata: {bundle}")
                if stop() and of != wanted[-1]:
                    typer.echo("stopped between two networks; the same command goes on")
                    raise typer.Exit(STOPPED)
    except TrainingRefused as error:
        raise CannotTrain(str(error)) from error
    for figure in (figures or {}).get("figures", ()):
        typer.echo(f"  {figure['name']}: {figure['value']:.3f}")
    if wanted[-1] is None:
        typer.echo(f"the node runs them with weights_dir = {out} in its settings")
    typer.echo(f"what they can do: mammonode evaluate {name} --run {out}")


def _wanted(fold: str, data: LoadedFrames) -> tuple[int | None, ...]:
    """Which networks: each by the fold that it is trained without; None is that of all folds."""
    if fold == "final":
        return (None,)
    if fold == "all":
        return (*data.folds, None)
    if not fold.isascii() or not fold.isdecimal():
        raise CannotTrain(f"--fold is a number, all or final, not {fold!r}")
    return (int(fold),)


def _show(bar: Any, step: int, losses: Mapping[str, float]) -> None:
    bar.n = step
    bar.set_postfix(loss=f"{sum(losses.values()):.3f}")


def _filled_in(
    plan: StepPlan,
    *,
    steps: int,
    batch: int,
    seed: int,
    device: str,
    precision: Literal["auto"] | Precision,
    workers: int,
) -> StepPlan:
    return replace(
        plan,
        steps=steps,
        batch=batch,
        seed=seed,
        device=device_of(device),
        precision="bfloat16" if precision == "auto" else precision,
        workers=workers,
        warm_up_steps=min(plan.warm_up_steps, steps),
    )
