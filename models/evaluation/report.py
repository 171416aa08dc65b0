"""The report of an evaluation: one HTML page that needs nothing beside it, its plots as files, and ``report.json``."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Final

from jinja2 import Environment, PackageLoader, StrictUndefined

from models.evaluation.contract import Interval, NotDefined
from models.evaluation.evaluate import Evaluation
from models.evaluation.froc import FEW_PATIENTS
from models.evaluation.paper import CITATION, PAPER_CASES, paired_rows
from models.evaluation.plots import Plot, plots
from models.evaluation.proportions import Proportion
from models.evaluation.report_json import RESEARCH_USE, report_json
from models.evaluation.roc import Roc

TEMPLATE: Final = "report.html.jinja"
HTML_NAME: Final = "report.html"
JSON_NAME: Final = "report.json"


def write_report(evaluation: Evaluation, out_dir: Path) -> list[Path]:
    """Write the report.

    Parameters
    ----------
    evaluation : Evaluation
    out_dir : pathlib.Path
        Made when it is not there. Files of the same names are replaced, others are left alone.

    Returns
    -------
    list of pathlib.Path
        What was written: the page, the JSON document, then the plots.

    Raises
    ------
    OSError
        When a file cannot be written.
    """
    out_dir.mkdir(parents=True, exist_ok=True)
    drawn = plots(evaluation)
    page, numbers = out_dir / HTML_NAME, out_dir / JSON_NAME
    page.write_text(report_html(evaluation, drawn), encoding="utf-8")
    numbers.write_text(report_json(evaluation), encoding="utf-8")
    pictures = [out_dir / f"{plot.name}.png" for plot in drawn]
    for path, plot in zip(pictures, drawn, strict=True):
        path.write_bytes(plot.png)
    return [page, numbers, *pictures]


def report_html(evaluation: Evaluation, drawn: tuple[Plot, ...]) -> str:
    """Give the page; `drawn` are the plots it embeds. All text in it is escaped."""
    environment = Environment(
        loader=PackageLoader("models.evaluation", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["figure"] = figure_words
    environment.filters["interval"] = interval_words
    environment.filters["share"] = share_words
    environment.tests["not_defined"] = lambda value: isinstance(value, NotDefined)
    return environment.get_template(TEMPLATE).render(
        evaluation=evaluation,
        few_patients=FEW_PATIENTS,
        research_use=RESEARCH_USE,
        citation=CITATION,
        paper_cases=PAPER_CASES,
        paper_rows=paired_rows(evaluation),
        plots={plot.name: plot for plot in drawn},
        data_uri=lambda plot: "data:image/png;base64," + base64.b64encode(plot.png).decode("ascii"),
    )


def figure_words(value: Proportion | Roc | NotDefined | float) -> str:
    """Give a figure for a table: value with interval; why there is none; or a plain number."""
    if isinstance(value, NotDefined):
        return f"not defined: {value.reason}"
    if isinstance(value, Roc):
        return f"{value.auc:.3f} ({interval_words(value.interval)})"
    if isinstance(value, Proportion):
        return f"{value.value:.3f} ({interval_words(value.interval)})"
    return f"{value:.3g}"


def share_words(value: Proportion | NotDefined) -> str:
    """Give a share with its counts, e.g. ``3 of 4, 0.750 (0.301-0.954)``."""
    if isinstance(value, NotDefined):
        return figure_words(value)
    return f"{value.numerator} of {value.denominator}, {figure_words(value)}"


def interval_words(value: Interval | NotDefined) -> str:
    """Give an interval, e.g. ``0.301-0.954``."""
    if isinstance(value, NotDefined):
        return f"no interval: {value.reason}"
    # The word joiners keep a browser from breaking the line at the dash.
    return f"{value.lower:.3f}\N{WORD JOINER}\N{EN DASH}\N{WORD JOINER}{value.upper:.3f}"
