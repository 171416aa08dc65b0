"""The command ``evaluate tumours``: trained models of regions, side by side on the same tumours."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import typer

from node.commands_evaluate_predictions import evaluate_predictions
from node.commands_train import shown
from node.commands_train_regions import told
from pipelines.datasets.tumours import read_tumours
from pipelines.tumour_evaluation import SEEN, ChosenSplit, run_models


def evaluate_tumours(
    models: Sequence[str],
    data: Path,
    out: Path,
    *,
    weights_dir: Path,
    split: ChosenSplit | None,
    by_folds: bool,
    threshold: float,
    with_score: str | None,
    device: str,
    seed: int,
) -> None:
    """Run the models, write what they say to ``DIR/predictions.csv``, and evaluate that table.

    Without `split` the tumours of the split test; by folds, all.
    """
    chosen = split or ("all" if by_folds else "test")
    with told():
        run = run_models(
            read_tumours(data),
            models,
            weights_dir,
            out,
            split=chosen,
            by_folds=by_folds,
            device=device,
            reading=shown,
            predicting=shown,
        )
    why = "a view is missing, or the region is too small" + (", or each model may have seen them" if by_folds else "")
    for model, count in run.left_out.items():
        if count:
            typer.echo(f"{model} says nothing of {count} tumours: {why}")
    if chosen != "test" and not by_folds:
        typer.echo(f"note: {SEEN}")
    evaluate_predictions(
        run.table,
        out,
        clinical=None,
        features=None,
        positive=run.task.classes[1] if len(run.task.classes) == 2 else None,
        split="all",
        threshold=threshold,
        with_score=with_score,
        seed=seed,
    )
