"""Which pipelines exist. A new one is a folder and a line here.

Importing this module is cheap: the receiving node looks up names; only `get` imports what is behind one.
"""

from __future__ import annotations

from functools import cache
from importlib import import_module
from typing import Final, cast

from pipelines.contract import Pipeline, Reason

PIPELINES: Final[dict[str, str]] = {
    "mammography": "pipelines.mammography.pipeline:MammographyPipeline",
    "ultrasound": "pipelines.ultrasound.pipeline:UltrasoundPipeline",
    "none": "pipelines.unrouted:UnroutedPipeline",
}
"""Name to ``"module:class"``; the class is made without arguments and implements `pipelines.contract.Pipeline`."""

OPEN_ENDED: Final = frozenset({"ultrasound"})
"""Pipelines whose studies have no required views: they are complete when nothing more has come for a while."""

REASONS: Final = ("pipelines.reasons", "pipelines.ultrasound.reasons")
"""Modules whose constants are the reasons that pipelines give."""


def reasons_given() -> tuple[Reason, ...]:
    """Every reason that does not depend on a detail, by its code."""
    found = [value for name in REASONS for value in vars(import_module(name)).values() if isinstance(value, Reason)]
    return tuple(sorted(found, key=lambda reason: reason.code))


@cache
def get(name: str) -> Pipeline:
    """Import and make the pipeline called `name`; the same object every time, since it keeps its models loaded.

    Raises
    ------
    KeyError
        When no pipeline of that name is registered.
    """
    module_name, _, class_name = PIPELINES[name].partition(":")
    return cast("Pipeline", getattr(import_module(module_name), class_name)())
