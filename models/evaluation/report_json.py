"""``report.json``: every figure of an evaluation, for programs.

The document is one object. Its members are those of `models.evaluation.evaluate.Evaluation`, by the same names and
described there, and three more:

``schema``
    ``"mammonode-evaluation-1"``; the number grows when a member changes its meaning or goes.
``research_use``
    The sentence that the HTML report opens with.
``paper``
    ``{"citation", "cases", "rows"}``; each row is ``{"reported": PaperRow, "measured": MeasuredRow}``, in the paper's
    order. What is reported was measured on other data.

Within it:

* a dataclass is an object with a member for each attribute (``Level``, ``Measures``, ``Froc``, ``Roc`` ...);
* a ``Proportion`` is ``{"value", "interval", "numerator", "denominator"}``, and an ``Interval``
  ``{"lower", "upper", "method"}`` at 95 %;
* a figure that the data do not define is ``{"not_defined": reason}`` and nothing else, wherever a figure may stand;
* a mapping is an object, a sequence an array, None is null; there is no NaN and no infinity.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from typing import Any, Final

from models.evaluation.contract import NotDefined
from models.evaluation.evaluate import Evaluation
from models.evaluation.paper import CITATION, PAPER_CASES, paired_rows

SCHEMA: Final = "mammonode-evaluation-1"
RESEARCH_USE: Final = "Research use. Not for diagnosis, and no evidence of clinical performance."


def as_json(value: object) -> Any:
    """Turn a result, or anything it holds, into what `json` writes.

    Raises
    ------
    TypeError
        For a value that the schema has no place for.
    """
    if isinstance(value, NotDefined):
        return {"not_defined": value.reason}
    if is_dataclass(value):
        return {field.name: as_json(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, Mapping):
        return {str(name): as_json(member) for name, member in value.items()}
    if isinstance(value, tuple | list):
        return [as_json(member) for member in value]
    if value is None or isinstance(value, bool | int | float | str):
        return value
    raise TypeError(f"the report has no place for {type(value).__name__}")


def document(evaluation: Evaluation) -> dict[str, Any]:
    """Give the whole document, see the module's docstring."""
    rows = [{"reported": as_json(paper), "measured": as_json(here)} for paper, here in paired_rows(evaluation)]
    return {
        "schema": SCHEMA,
        "research_use": RESEARCH_USE,
        **as_json(evaluation),
        "paper": {"citation": CITATION, "cases": as_json(PAPER_CASES), "rows": rows},
    }


def report_json(evaluation: Evaluation) -> str:
    """Give the document as text; equal evaluations give equal text."""
    return as_text(document(evaluation))


def as_text(content: Mapping[str, Any]) -> str:
    """Write a document of the report as text; equal ones give equal text."""
    return json.dumps(content, indent=1, allow_nan=False, ensure_ascii=False) + "\n"
