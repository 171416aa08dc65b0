"""The report of an evaluation on ultrasound: a page that needs nothing beside it, its plots, ``report.json``.

The JSON document is one object: the members of `models.evaluation.frame_figures.FrameEvaluation` by the same names, and
``schema`` and ``research_use``. Values are written as `models.evaluation.report_json` says.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from models.evaluation.contract import NotDefined
from models.evaluation.frame_figures import FrameEvaluation, Mean
from models.evaluation.frame_plots import frame_plots
from models.evaluation.frames import FOUND_IOU, EvaluatedFrame
from models.evaluation.page import figure_words, interval_words, render_page, write_page
from models.evaluation.plots import Plot
from models.evaluation.report_json import RESEARCH_USE, as_json, as_text

TEMPLATE: Final = "frame_report.html.jinja"
SCHEMA: Final = "mammonode-ultrasound-evaluation-1"


def write_frame_report(evaluation: FrameEvaluation, frames: Sequence[EvaluatedFrame], out_dir: Path) -> list[Path]:
    """Write the report.

    Parameters
    ----------
    evaluation : FrameEvaluation
    frames : sequence of EvaluatedFrame
        What its figures were computed from, for the plots; empty without a segmentation.
    out_dir : pathlib.Path
        As for `models.evaluation.page.write_page`, whose list of files is returned.
    """
    drawn = frame_plots(evaluation, frames)
    page, numbers = frame_report_html(evaluation, drawn), frame_report_json(evaluation)
    return write_page(out_dir, page=page, numbers=numbers, drawn=drawn)


def frame_report_json(evaluation: FrameEvaluation) -> str:
    """Give the document as text; equal evaluations give equal text."""
    return as_text({"schema": SCHEMA, "research_use": RESEARCH_USE, **as_json(evaluation)})


def frame_report_html(evaluation: FrameEvaluation, drawn: Sequence[Plot]) -> str:
    """Give the page; `drawn` are the plots it embeds. All text in it is escaped."""
    values = {"evaluation": evaluation, "found_iou": FOUND_IOU}
    return render_page(TEMPLATE, drawn, values, {"mean": mean_words})


def mean_words(value: Mean | NotDefined) -> str:
    """Give a mean, e.g. ``0.801 (0.780-0.820), median 0.860, 392 frames``."""
    if isinstance(value, NotDefined):
        return figure_words(value)
    words = f"{value.value:.3f} ({interval_words(value.interval)}), median {value.median:.3f}"
    return f"{words}, {value.frames} frame{'' if value.frames == 1 else 's'}"


def measured(evaluation: FrameEvaluation) -> dict[str, Any]:
    """Give what a card says of these figures: the member ``measured`` of ``metadata.json``."""
    on = f"{evaluation.data}; {evaluation.protocol}"
    figures: dict[str, float] = {}
    if (outlines := evaluation.segmentation) is not None:
        for name, value in outlines.dice.items():
            if isinstance(value, Mean):
                figures[f"dice, {name}"] = value.value
        for name, share in outlines.found.items():
            if not isinstance(share, NotDefined):
                figures[f"found, {name}"] = share.value
        if not isinstance(outlines.normals_without_region, NotDefined):
            figures["normal frames without a region"] = outlines.normals_without_region.value
        if not isinstance(outlines.lesion_or_not, NotDefined):
            figures["AUC, lesion or not"] = outlines.lesion_or_not.auc
    if (classes := evaluation.classification) is not None:
        for name, curve in classes.roc.items():
            if not isinstance(curve, NotDefined) and name in classes.by_fold:
                figures[f"AUC, {name}"] = curve.auc
    note = f"{on}. These weights were trained on all folds and were not measured themselves."
    return {
        "note": note,
        "figures": [{"name": name, "value": round(value, 4), "on": on} for name, value in figures.items()],
    }
