"""Which pipelines exist. A new one is a folder and a line here.

Importing this module is cheap: the receiving node looks up names; only `get` imports what is behind one.
"""

from __future__ import annotations

from functools import cache
from importlib import import_module
from typing import Final, cast

from pipelines.contract import Pipeline

PIPELINES: Final[dict[str, str]] = {
    "mammography": "pipelines.mammography.pipeline:MammographyPipeline",
    "none": "pipelines.unrouted:UnroutedPipeline",
}
"""Name to ``"module:class"``; the class is made without arguments and implements `pipelines.contract.Pipeline`."""


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
