"""The command explain: a result, ours or anyone's, as a person would read it."""

from __future__ import annotations

import json
import logging
import shutil
import sys
import textwrap
import warnings
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict
from io import BytesIO
from pathlib import Path
from typing import Any

import typer
from pydicom import Dataset, dcmread
from pydicom.errors import InvalidDicomError

from node.commands_files import files_below
from pipelines.headers import MALFORMED
from sr_templates.explaining import explain, outline
from sr_templates.reading import read_tree
from sr_templates.reading_attributes import printable, text_of

MAX_WIDTH = 120
STANDARD_INPUT = Path("-")


def explain_files(paths: Sequence[Path], *, patient: bool, tree: bool, as_json: bool) -> None:
    """Print what each file says; ends with exit status 1 when one of them is no readable DICOM file."""
    # What pydicom minds about a file is told as far as it matters: by what the reading of it says
    logging.getLogger("pydicom").setLevel(logging.ERROR)
    warnings.simplefilter("ignore")
    failed = False
    values: list[dict[str, Any]] = []
    sources = [source for path in paths for source in ([path] if path == STANDARD_INPUT else files_below([path]))]
    for number, path in enumerate(sources):
        name = printable(path)
        try:
            dataset = _read(path)
            if as_json:
                values.append({"file": name, **_as_json(dataset, patient=patient)})
                continue
            lines = outline(dataset, patient=patient) if tree else explain(dataset, patient=patient)
        except MALFORMED as error:
            typer.echo(f"{name}: not a readable DICOM file ({type(error).__name__})", err=True)
            failed = True
            continue
        if len(sources) > 1:
            typer.echo(("\n" if number else "") + f"=== {name}")
        for line in _wrapped(lines):
            typer.echo(_encodable(line))
    if as_json:
        typer.echo(json.dumps(values, indent=2))
    if failed:
        raise typer.Exit(1)


def _read(path: Path) -> Dataset:
    """Read a file, or standard input; without preamble and file meta information only what names its SOP class.

    Raises
    ------
    MALFORMED
        What is no DICOM, or cannot be parsed.
    """
    content = BytesIO(sys.stdin.buffer.read()) if path == STANDARD_INPUT else None
    try:
        return dcmread(content or path, stop_before_pixels=True)
    except InvalidDicomError:
        if content is not None:
            content.seek(0)
        dataset = dcmread(content or path, stop_before_pixels=True, force=True)
        if "SOPClassUID" not in dataset:
            raise
        return dataset


def _encodable(line: str) -> str:
    """Put a question mark for what the terminal's encoding does not have, where Python would fail."""
    encoding = getattr(sys.stdout, "encoding", None) or "utf-8"
    return line.encode(encoding, "replace").decode(encoding)


def _as_json(dataset: Dataset, *, patient: bool) -> dict[str, Any]:
    """Tags that say what it is, and the content tree."""
    root = read_tree(dataset, patient=patient)
    keywords = ["SOPClassUID", "SOPInstanceUID", "StudyInstanceUID", "SeriesDescription", "Modality"]
    keywords += ["PatientName", "PatientID"] if patient else []
    values: dict[str, Any] = {keyword: text_of(dataset, keyword) for keyword in keywords}
    return values | {"content": asdict(root) if root.children or root.unread else None}


def _wrapped(lines: Iterable[str]) -> Iterator[str]:
    """Wrap at the terminal's width, continued lines four spaces in; into a pipe lines go as they are."""
    if not sys.stdout.isatty():
        yield from lines
        return
    width = min(MAX_WIDTH, shutil.get_terminal_size().columns)
    for line in lines:
        indent = line[: len(line) - len(line.lstrip())]
        yield from textwrap.wrap(line.strip(), width, initial_indent=indent, subsequent_indent=indent + "    ") or [""]
