"""``mammonode evaluate --predictions`` as a person uses it: what is printed, what is written, which exit status."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from tests.commands import Run, runner
from tests.evaluation.prediction_cohort import FOLDER

DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "PREDICTIONS.md"


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    return runner(monkeypatch, capsys, "evaluate")


def test_a_table_becomes_a_report_and_its_main_figures_are_printed(run: Run, tmp_path: Path) -> None:
    out = tmp_path / "report"
    ran = run("--predictions", FOLDER / "several.csv", "--out", out, "--seed", 3)
    assert ran.status == 0, ran.err
    assert "several.csv, all 120 cases; 90 patients: 43 zero, 37 low, 40 positive" in ran.out
    assert "macro AUC 0.932 (" in ran.out and f"report: {out / 'report.html'}" in ran.out
    assert sorted(path.name for path in out.glob("*.png")) == ["confusion.png", "roc_1.png"]
    content = json.loads((out / "report.json").read_text())
    assert content["schema"] == "mammonode-predictions-1" and content["patients"] == 90
    written = (out / "report.html").read_text() + json.dumps(content)
    assert str(tmp_path) not in written and str(FOLDER) not in written
    document = DOCUMENT.read_text(encoding="utf-8")
    assert all(f"`{member}`" in document for member in content)


def test_alone_it_shows_help_and_half_of_its_options_are_an_error(run: Run, tmp_path: Path) -> None:
    alone = run().err  # as every group of commands does
    assert "--predictions" in alone and "fpnnet" in alone
    for arguments in (("--predictions", "p.csv"), ("--out", tmp_path)):
        ran = run(*arguments)
        assert ran.status == 2 and "is needed" in ran.err
    ran = run("--predictions", "p.csv", "fpnnet", "--data", "m.csv", "--out", tmp_path)
    assert ran.status == 2 and "goes without a command" in ran.err


def test_a_table_with_problems_is_one_message(run: Run, tmp_path: Path) -> None:
    table = tmp_path / "p.csv"
    table.write_text("patient,outcome,m\nA,1,7\nB,0,x\n")
    ran = run("--predictions", table, "--out", tmp_path / "report")
    assert ran.status == 1 and "mammonode: predictions: 2 problems" in ran.err and "Traceback" not in ran.err


def test_every_option_is_in_the_document(run: Run) -> None:
    options = set(re.findall(r"--[a-z][a-z-]+", run("--help").out.partition("Commands")[0])) - {"--help"}
    assert {"--predictions", "--clinical", "--features", "--threshold"} <= options
    assert all(f"`{option}" in DOCUMENT.read_text(encoding="utf-8") for option in options)
