"""What reports of evaluations share: a page that needs nothing beside it, ``report.json``, plots; figures as words."""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from jinja2 import Environment, PackageLoader, StrictUndefined

from models.evaluation.contract import Interval, NotDefined
from models.evaluation.plots import Plot
from models.evaluation.proportions import Proportion
from models.evaluation.report_json import RESEARCH_USE
from models.evaluation.roc import Roc

HTML_NAME: Final = "report.html"
JSON_NAME: Final = "report.json"


def write_page(out_dir: Path, *, page: str, numbers: str, drawn: Sequence[Plot]) -> list[Path]:
    """Write a report into a folder.

    Parameters
    ----------
    out_dir : pathlib.Path
        Made when it is not there. Files of the same names are replaced, others are left alone.
    page, numbers : str
        HTML and JSON.
    drawn : sequence of Plot
        Each becomes a PNG file.

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
    written = [out_dir / HTML_NAME, out_dir / JSON_NAME]
    for path, text in zip(written, (page, numbers), strict=True):
        path.write_text(text, encoding="utf-8")
    for plot in drawn:
        written.append(out_dir / f"{plot.name}.png")
        written[-1].write_bytes(plot.png)
    return written


def render_page(
    template: str,
    drawn: Sequence[Plot],
    values: Mapping[str, object],
    filters: Mapping[str, Callable[[Any], str]] | None = None,
) -> str:
    """Give a page; all text in it is escaped.

    Parameters
    ----------
    template : str
        Name of a file beside this module. It knows the filters ``figure``, ``interval`` and ``share``, the test
        ``not_defined``, ``research_use``, ``plots`` by name, and ``data_uri`` of a plot.
    drawn : sequence of Plot
        What it embeds.
    values : mapping of str to object
        What else it knows.
    filters : mapping of str to callable, optional
        Further filters, or others of the same names.
    """
    environment = Environment(
        loader=PackageLoader("models.evaluation", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"figure": figure_words, "interval": interval_words, "share": share_words, **(filters or {})}
    environment.tests["not_defined"] = lambda value: isinstance(value, NotDefined)
    return environment.get_template(template).render(
        research_use=RESEARCH_USE, plots={plot.name: plot for plot in drawn}, data_uri=data_uri, **values
    )


def data_uri(plot: Plot) -> str:
    """Return a plot as the address of an image that holds it."""
    return "data:image/png;base64," + base64.b64encode(plot.png).decode("ascii")


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
