"""The command explain: a result, ours or anyone's, as a person would read it."""

from __future__ import annotations

import json
import shutil
import sys
import textwrap
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import typer
from pydicom import Dataset, dcmread

from node.commands_files import files_below
from pipelines.headers import MALFORMED
from sr_templates.explaining import explain, outline
from sr_templates.reading import read_tree, text_of

MAX_WIDTH = 120


def explain_files(paths: Sequence[Path], *, patient: bool, tree: bool, as_json: bool) -> None:
    """Print what each file says; ends with exit status 1 when one of them is no readable DICOM file."""
    failed = False
    values: list[dict[str, Any]] = []
    several = False
    for path in files_below(paths):
        try:
            dataset = dcmread(path, stop_before_pixels=True)
            if as_json:
                values.append(_as_json(dataset, patient=patient))
                continue
            lines = outline(dataset) if tree else explain(dataset, patient=patient)
        except MALFORMED as error:
            typer.echo(f"{path}: not a readable DICOM file ({type(error).__name__})", err=True)
            failed = True
            continue
        if several:
            typer.echo("\n" + "-" * 40 + "\n")
        several = True
        for line in _wrapped(lines):
            typer.echo(line)
    if as_json:
        typer.echo(json.dumps(values, indent=2))
    if failed:
        raise typer.Exit(1)


def _as_json(dataset: Dataset, *, patient: bool) -> dict[str, Any]:
    """Tags that say what it is, and the content tree."""
    keywords = ["SOPClassUID", "SOPInstanceUID", "StudyInstanceUID", "SeriesDescription", "Modality"]
    keywords += ["PatientName", "PatientID"] if patient else []
    values: dict[str, Any] = {keyword: text_of(dataset, keyword) for keyword in keywords}
    return values | {"content": asdict(read_tree(dataset)) if "ContentSequence" in dataset else None}


def _wrapped(lines: Iterable[str]) -> Iterator[str]:
    """Wrap at the terminal's width, continued lines four spaces in; into a pipe lines go as they are."""
    if not sys.stdout.isatty():
        yield from lines
        return
    width = min(MAX_WIDTH, shutil.get_terminal_size().columns)
    for line in lines:
        indent = line[: len(line) - len(line.lstrip())]
        yield from textwrap.wrap(line.strip(), width, initial_indent=indent, subsequent_indent=indent + "    ") or [""]
