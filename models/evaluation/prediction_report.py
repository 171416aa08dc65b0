"""The report of an evaluation of predictions: a page that needs nothing beside it, its plots, ``report.json``.

The JSON document is one object: the members of `models.evaluation.prediction_figures.PredictionsEvaluation` by the same
names, and ``schema`` and ``research_use``. Values are written as `models.evaluation.report_json` says.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

from models.evaluation.binary_figures import Groups
from models.evaluation.cohort_table import NumberSummary
from models.evaluation.contract import NotDefined
from models.evaluation.estimates import Estimate
from models.evaluation.page import figure_words, interval_words, render_page, write_page
from models.evaluation.plots import Plot
from models.evaluation.prediction_figures import Drawn, PredictionsEvaluation
from models.evaluation.prediction_plots import prediction_plots
from models.evaluation.regression import OddsRatio
from models.evaluation.report_json import RESEARCH_USE, as_json, as_text

TEMPLATE: Final = "predictions_report.html.jinja"
SCHEMA: Final = "mammonode-predictions-1"

LISTED_FEATURES: Final = 60
"""The page lists so many features, those with the lowest ICC first; report.json has all."""


def write_predictions_report(evaluation: PredictionsEvaluation, drawn: Drawn, out_dir: Path) -> list[Path]:
    """Write the report into a folder, as `models.evaluation.page.write_page`, whose list of files is returned."""
    plots = prediction_plots(evaluation, drawn)
    page, numbers = predictions_html(evaluation, plots), predictions_json(evaluation)
    return write_page(out_dir, page=page, numbers=numbers, drawn=plots)


def predictions_json(evaluation: PredictionsEvaluation) -> str:
    """Give the document as text; equal evaluations give equal text."""
    return as_text({"schema": SCHEMA, "research_use": RESEARCH_USE, **as_json(evaluation)})


def predictions_html(evaluation: PredictionsEvaluation, plots: Sequence[Plot]) -> str:
    """Give the page; `plots` are those that it embeds. All text in it is escaped."""
    filters: dict[str, Callable[[Any], str]] = {
        "estimate": estimate_words,
        "p": p_words,
        "summary": summary_words,
        "odds": odds_words,
        "fold": fold_words,
    }
    values = {"evaluation": evaluation, "listed_features": LISTED_FEATURES, "least_stable": _least_stable(evaluation)}
    return render_page(TEMPLATE, plots, values, filters)


def estimate_words(value: Estimate | NotDefined) -> str:
    """Give an estimate with its interval, e.g. ``0.162 (0.141 to 0.183)``: it may be below 0."""
    if isinstance(value, NotDefined):
        return figure_words(value)
    if isinstance(value.interval, NotDefined):
        return f"{value.value:.3f} ({interval_words(value.interval)})"
    return f"{value.value:.3f} ({value.interval.lower:.3f} to {value.interval.upper:.3f})"


def p_words(value: float | NotDefined) -> str:
    """Give a p-value as journals do: three decimals, or that it is below 0.001."""
    if isinstance(value, NotDefined):
        return figure_words(value)
    return "< 0.001" if value < 0.001 else f"{value:.3f}"


def summary_words(value: NumberSummary | NotDefined) -> str:
    """Give mean and standard deviation, then median and quartiles."""
    if isinstance(value, NotDefined):
        return figure_words(value)
    spread = "" if value.standard_deviation is None else f" ± {value.standard_deviation:.3g}"
    quartiles = f"{value.lower_quartile:.3g} to {value.upper_quartile:.3g}"
    return f"{value.mean:.3g}{spread}; {value.median:.3g} ({quartiles})"


def odds_words(value: OddsRatio) -> str:
    """Give an odds ratio with its interval."""
    return f"{value.value:.3g} ({value.interval.lower:.3g} to {value.interval.upper:.3g})"


def fold_words(value: Groups) -> str:
    """Give the mean and the standard deviation of areas."""
    if isinstance(value.mean, NotDefined):
        return figure_words(value.mean)
    spread = "" if isinstance(value.standard_deviation, NotDefined) else f" ± {value.standard_deviation:.3f}"
    return f"{value.mean:.3f}{spread}"


def _least_stable(evaluation: PredictionsEvaluation) -> list[tuple[str, object]]:
    if evaluation.features is None:
        return []
    ordered = sorted(
        evaluation.features.reliability.icc.items(),
        key=lambda item: 2.0 if isinstance(item[1], NotDefined) else item[1].value,
    )
    return list(ordered[:LISTED_FEATURES])
