"""The commands ``train NAME`` of models of regions: a manifest of tumours in, bundles and predictions out."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final, Literal, NoReturn

import typer
from tqdm import tqdm

from models.errors import ModelError, TrainingRefused
from models.metadata import FAMILIES
from models.regions.contract import RegionTask
from models.training import region_networks
from models.training.fold_bundles import run_dir_of
from models.training.loop import Precision
from models.training.region_networks import RECIPES, RegionPlan
from models.training.region_parts import Problem, RegionParts, parts_of
from models.training.tumours import Tumour
from node.commands_train import device_of, shown, stopping
from pipelines.datasets.tumour_shares import with_folds
from pipelines.datasets.tumours import load_tumours, read_tumours
from pipelines.errors import MammonodeError
from pipelines.region_training import (
    PREDICTIONS,
    Fit,
    TrainedModel,
    measured_by_folds,
    predictions_of_folds,
    task_of,
    train_model,
    write_predictions,
)

REFUSED: Final = 2
"""Exit status when a run cannot begin or go on with what it was given."""

TEST_SHARE: Final = 0.3
"""Share of the patients that both papers on mammograms with radiomics measured on."""

STOPPED: Final = 3
"""Exit status of a run that was stopped before its last step."""

Until = Callable[[], bool]


@dataclass(frozen=True, slots=True, kw_only=True)
class Which:
    """Which models are trained.

    Attributes
    ----------
    outcome : str or None
        Another outcome than the model's own.
    fold : int or None
        Only the one without this fold.
    folds : int or None
        The one without each of so many folds.
    final : bool
        With `folds`: the one of all folds as well.
    """

    outcome: str | None = None
    fold: int | None = None
    folds: int | None = None
    final: bool = True


def network_plan(
    model: str,
    *,
    epochs: int | None,
    batch: int | None,
    rate: float | None,
    seed: int,
    device: str,
    precision: Literal["auto"] | Precision,
    workers: int,
) -> RegionPlan:
    """Fill in what the command line leaves to the model's recipe and to the machine."""
    plan = RECIPES[FAMILIES[model]].plan
    with told():
        found = device_of(device)
    return replace(
        plan,
        epochs=plan.epochs if epochs is None else epochs,
        batch=plan.batch if batch is None else batch,
        learning_rate=plan.learning_rate if rate is None else rate,
        seed=seed,
        device=found,
        precision="bfloat16" if precision == "auto" else precision,
        workers=workers,
    )


def train_network(
    model: str,
    manifest: Path,
    out: Path,
    *,
    which: Which,
    plan: RegionPlan,
    start: Sequence[Path],
    minutes: float | None,
) -> None:
    """Train a network and say where its bundles are and how good they are; status 3 when it was stopped early."""
    recipe = RECIPES[FAMILIES[model]]

    def fit_with(task: RegionTask, until: Until) -> Fit:
        def fit(parts: RegionParts, fold: int | None, note: str, described: Mapping[str, Any]) -> Path | None:
            with tqdm(unit="step", desc=_named(model, fold), smoothing=0.05) as bar:
                return region_networks.train(
                    parts,
                    out,
                    model=model,
                    task=task,
                    fold=fold,
                    plan=plan,
                    note=note,
                    described=described,
                    start=start,
                    begin=lambda done, steps: _begin(bar, done, steps),
                    tell=lambda step, losses: _show(bar, step, losses),
                    until=until,
                )

        return fit

    _train(
        model,
        manifest,
        out,
        which=which,
        seed=plan.seed,
        device=plan.device,
        test_share=recipe.test_share,
        problem_of=lambda task: region_networks.too_small(model, task),
        chooses=True,
        fit_with=fit_with,
        minutes=minutes,
    )


def train_radiomics(
    model: str, manifest: Path, out: Path, *, which: Which, seed: int, workers: int, minutes: float | None
) -> None:
    """Fit a recipe of radiomics; likewise. Features that were computed before it was stopped are kept."""
    from models.training import region_radiomics  # noqa: PLC0415  needs pyradiomics

    def fit_with(task: RegionTask, until: Until) -> Fit:
        def fit(parts: RegionParts, fold: int | None, note: str, described: Mapping[str, Any]) -> Path | None:
            with tqdm(unit="outline", desc=_named(model, fold), smoothing=0.05) as bar:
                try:
                    return region_radiomics.train(
                        parts.train,
                        out,
                        model=model,
                        task=task,
                        fold=fold,
                        note=note,
                        described=described,
                        seed=seed,
                        workers=workers,
                        tell=lambda done, total: _advance(bar, done, total, until),
                    )
                except _Stopped:
                    return None

        return fit

    _train(
        model,
        manifest,
        out,
        which=which,
        seed=seed,
        device="cpu",
        test_share=TEST_SHARE,
        problem_of=lambda task: lambda tumour: None,  # a region without features is left out where they are computed
        chooses=False,
        fit_with=fit_with,
        minutes=minutes,
    )


def _train(
    model: str,
    manifest: Path,
    out: Path,
    *,
    which: Which,
    seed: int,
    device: str,
    test_share: float,
    problem_of: Callable[[RegionTask], Problem],
    chooses: bool,
    fit_with: Callable[[RegionTask, Until], Fit],
    minutes: float | None,
) -> None:
    with told(), stopping(minutes) as stop:
        if which.fold is not None and which.folds is not None:
            raise TrainingRefused("--fold leaves one fold out, --folds each in turn: give one of them")
        task = task_of(model, which.outcome)
        entries = read_tumours(manifest)
        folded = which.fold is not None or which.folds is not None
        if folded:
            entries = with_folds(entries, which.folds, by=task.outcome, seed=seed)
        tumours = load_tumours(entries, shown)
        trained: list[TrainedModel] = []
        measured: Mapping[str, Any] | None = None
        for fold in _wanted(which, tumours):
            if fold is None and trained:
                measured = _folds_measured(trained, out, model, task, manifest.name)
            one = train_model(
                parts_of(
                    tumours,
                    task,
                    fold=fold,
                    seed=seed,
                    test_share=0.0 if folded else test_share,
                    problem=problem_of(task),
                    chooses=chooses,
                ),
                out,
                model=model,
                task=task,
                fold=fold,
                data=manifest.name,
                device=device,
                fit=fit_with(task, stop),
                progress=shown,
                measured=measured,
            )
            if one is None:
                where = run_dir_of(out, model, fold)
                typer.echo(f"stopped before the end; the same command goes on from the checkpoint in {where}")
                raise typer.Exit(STOPPED)
            _tell_of(one)
            if fold is not None:
                trained.append(one)
            if stop() and fold != _wanted(which, tumours)[-1]:
                typer.echo("stopped between two models; the same command goes on")
                raise typer.Exit(STOPPED)
        if which.folds is not None and not which.final:
            _folds_measured(trained, out, model, task, manifest.name)
    if which.fold is None and which.final:
        typer.echo(f"the node runs it with weights_dir = {out} in its settings")


def _wanted(which: Which, tumours: Sequence[Tumour]) -> tuple[int | None, ...]:
    """Which models, each by the fold that it is trained without; None is that of all."""
    if which.fold is not None:
        return (which.fold,)
    if which.folds is None:
        return (None,)
    folds = sorted({one.fold for one in tumours if one.fold is not None and one.split != "test"})
    return (*folds, None) if which.final else tuple(folds)


def _folds_measured(
    trained: Sequence[TrainedModel], out: Path, model: str, task: RegionTask, data: str
) -> Mapping[str, Any]:
    """Write what the models of the folds predicted into one file, and say how good they were together."""
    predictions = [one.predictions for one in trained]
    path = predictions_of_folds(out, model)
    write_predictions(path, predictions, model, task)
    measured = measured_by_folds(predictions, task, data)
    typer.echo(f"predictions of all folds: {path}")
    _tell_figures(measured)
    return measured


def _tell_of(one: TrainedModel) -> None:
    for reason, count in one.parts.left_out.items():
        typer.echo(f"left out: {count} tumours, {reason}")
    if one.predictions.refused:
        typer.echo(f"left out of the predictions: {one.predictions.refused} tumours, marked too small")
    typer.echo(f"weights and metadata: {one.bundle}")
    if one.predictions.tumours:
        typer.echo(f"predictions of {one.parts.held_out_are}: {one.bundle / PREDICTIONS}")
    _tell_figures(one.measured)


def _tell_figures(measured: Mapping[str, Any]) -> None:
    typer.echo(f"  {measured['note']}")
    for figure in measured["figures"]:
        interval = figure.get("interval")
        within = "" if interval is None else f" (95 %: {interval['lower']:.3f} to {interval['upper']:.3f})"
        typer.echo(f"  {figure['name']}: {figure['value']:.3f}{within}")


@contextmanager
def told() -> Iterator[None]:
    """End with one message and status 2 when a run cannot begin or go on with what it was given."""
    try:
        yield
    except (ModelError, MammonodeError) as error:
        typer.echo(f"mammonode: {error}", err=True)
        raise typer.Exit(REFUSED) from error


def _named(model: str, fold: int | None) -> str:
    return model if fold is None else f"{model}, without fold {fold}"


class _Stopped(Exception):
    """Between two outlines, whose features are kept as they come."""


def _advance(bar: tqdm[NoReturn], done: int, total: int, until: Until) -> None:
    _begin(bar, done, total)
    if done < total and until():
        raise _Stopped


def _begin(bar: tqdm[NoReturn], done: int, total: int) -> None:
    bar.total, bar.n = total, done
    bar.refresh()


def _show(bar: tqdm[NoReturn], step: int, losses: Mapping[str, float]) -> None:
    bar.n = step
    bar.set_postfix({name: f"{value:.3f}" for name, value in losses.items()})
