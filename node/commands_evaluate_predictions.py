"""The command ``evaluate --predictions``: tables of predictions, and the report of what they are worth."""

from __future__ import annotations

from pathlib import Path

import typer

from models.evaluation.contract import NotDefined
from models.evaluation.page import figure_words, share_words
from models.evaluation.prediction_figures import PredictionsEvaluation
from models.evaluation.prediction_report import estimate_words, p_words, write_predictions_report
from pipelines.prediction_evaluation import ChosenSplit, evaluate_tables


def evaluate_predictions(
    predictions: Path,
    out: Path,
    *,
    clinical: Path | None,
    features: Path | None,
    positive: str | None,
    split: ChosenSplit | None,
    threshold: float,
    with_score: str | None,
    seed: int,
) -> None:
    """Evaluate predictions, write the report and print its main figures."""
    out.mkdir(parents=True, exist_ok=True)
    evaluation, drawn = evaluate_tables(
        predictions,
        clinical=clinical,
        features=features,
        positive=positive,
        split=split,
        threshold=threshold,
        score_in_regression=with_score,
        seed=seed,
    )
    paths = write_predictions_report(evaluation, drawn, out)
    for line in summary(evaluation):
        typer.echo(line)
    typer.echo(f"report: {next(path for path in paths if path.suffix == '.html')}")


def summary(evaluation: PredictionsEvaluation) -> list[str]:
    """The figures that one asks for first."""
    counts = ", ".join(f"{count} {name}" for name, count in evaluation.cases_of_class.items())
    lines = [f"{evaluation.data}; {evaluation.patients} patients: {counts}"]
    for name, one in evaluation.binary.items():
        lines.append(f"  {name}: AUC {figure_words(one.roc)}{_left_out(one.left_out)}")
    for name, several in evaluation.multiclass.items():
        accuracy = share_words(several.accuracy)
        lines.append(f"  {name}: macro AUC {estimate_words(several.macro_auc)}, accuracy {accuracy}")
        lines[-1] += _left_out(several.left_out)
    for pair in evaluation.comparisons:
        if not isinstance(pair.delong, NotDefined):
            words = (
                f"{pair.delong.difference:+.3f}, p = {p_words(pair.delong.p_value)}, Holm {p_words(pair.delong_holm)}"
            )
            lines.append(f"  {pair.first} against {pair.second}: {words}")
    if evaluation.features is not None:
        lines.append(f"  features with ICC(2,1) above 0.75: {share_words(evaluation.features.reliability.stable)}")
    return [line.replace("\N{WORD JOINER}", "").replace("p = <", "p <") for line in lines]


def _left_out(count: int) -> str:
    return f" ({count} cases left out: no score)" if count else ""
