"""The report of an evaluation: one HTML page that needs nothing beside it, its plots as files, and ``report.json``."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from models.evaluation.evaluate import Evaluation
from models.evaluation.froc import FEW_PATIENTS
from models.evaluation.page import render_page, write_page
from models.evaluation.paper import CITATION, PAPER_CASES, paired_rows
from models.evaluation.plots import Plot, plots
from models.evaluation.report_json import report_json

TEMPLATE: Final = "report.html.jinja"


def write_report(evaluation: Evaluation, out_dir: Path) -> list[Path]:
    """Write the report.

    Parameters
    ----------
    evaluation : Evaluation
    out_dir : pathlib.Path
        As for `models.evaluation.page.write_page`, whose list of files is returned.
    """
    drawn = plots(evaluation)
    return write_page(out_dir, page=report_html(evaluation, drawn), numbers=report_json(evaluation), drawn=drawn)


def report_html(evaluation: Evaluation, drawn: tuple[Plot, ...]) -> str:
    """Give the page; `drawn` are the plots it embeds. All text in it is escaped."""
    values = {
        "evaluation": evaluation,
        "few_patients": FEW_PATIENTS,
        "citation": CITATION,
        "paper_cases": PAPER_CASES,
        "paper_rows": paired_rows(evaluation),
    }
    return render_page(TEMPLATE, drawn, values)
