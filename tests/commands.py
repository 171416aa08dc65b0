"""The program's command line, called in the process of a test."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass

import pytest

from node import cli


@dataclass(frozen=True)
class Ran:
    """How a command ended, and what it printed."""

    status: int
    out: str
    err: str


Run = Callable[..., Ran]


def runner(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *first: str) -> Run:
    """Return a function that runs ``mammonode`` with the words `first` and those that it is given."""

    def run(*arguments: object) -> Ran:
        monkeypatch.setattr(sys, "argv", ["mammonode", *first, *map(str, arguments)])
        capsys.readouterr()
        status: object = 0
        try:
            cli.main()
        except SystemExit as ended:
            status = ended.code or 0
        captured = capsys.readouterr()
        return Ran(status=int(str(status)), out=captured.out, err=captured.err)

    return run
