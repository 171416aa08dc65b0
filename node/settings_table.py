"""The tables of `docs/SETTINGS.md`, written from the settings classes so that they cannot drift apart.

``python -m node.settings_table docs/SETTINGS.md`` writes them anew between the two marks in that file.
"""

from __future__ import annotations

import inspect
import json
import sys
from itertools import groupby
from pathlib import Path

from node.settings import Settings
from node.settings_sources import Key, allowed, keys_of

BEGIN = "<!-- tables: written by `make docs` -->"
END = "<!-- end of tables -->"
UNITS = {"_s": "s", "_h": "h", "_days": "days", "_gb": "10^9 bytes", "_bytes": "bytes"}


def unit(name: str) -> str:
    """The unit that the end of a key's name says; empty for a key without one."""
    return next((unit for ending, unit in UNITS.items() if name.endswith(ending)), "")


def tables() -> str:
    """Markdown: a heading, a sentence and a table for each section."""
    parts = [
        _section(section, list(keys))
        for section, keys in groupby(keys_of(Settings), lambda key: key.name.split(".")[0])
    ]
    return "\n\n".join(parts)


def with_tables(document: str) -> str:
    """`document` with everything between the marks written anew.

    Raises
    ------
    ValueError
        When a mark is missing.
    """
    before, found_begin, rest = document.partition(BEGIN)
    _, found_end, after = rest.partition(END)
    if not (found_begin and found_end):
        raise ValueError(f"the document lacks {BEGIN!r} or {END!r}")
    return f"{before}{BEGIN}\n\n{tables()}\n\n{END}{after}"


def _section(section: str, keys: list[Key]) -> str:
    heading = f"[[{section}]]" if keys[0].in_list else f"[{section}]"
    lines = [f"## `{heading}`", "", inspect.cleandoc(keys[0].section.__doc__ or "")]
    if keys[0].in_list:
        lines += ["", f"May be given many times; in the environment as one JSON list, `{keys[0].variable}`."]
    lines += [
        "",
        "| key | default | unit | allowed | environment | what it is |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    return "\n".join([*lines, *(_row(key) for key in keys)])


def _row(key: Key) -> str:
    name = key.name.rpartition(".")[2]
    description = key.field.description or ""
    cells = (f"`{name}`", _default(key), unit(name), allowed(key.field), f"`{key.variable}`", description)
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _default(key: Key) -> str:
    if key.field.is_required():
        return "required"
    if key.field.default is None:
        return "absent"
    return f"`{json.dumps(key.field.default, default=str)}`"


def main(path: Path) -> None:
    """Write the tables in `path` anew."""
    path.write_text(with_tables(path.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
