"""The command explain: files and folders in, words out; what is no DICOM is named and the exit status says so."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from node import cli
from tests.factories import screening_exam


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    def call(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["mammonode", *map(str, arguments)])
        capsys.readouterr()
        status: object = 0
        try:
            cli.main()
        except SystemExit as ended:
            status = ended.code or 0
        captured = capsys.readouterr()
        return int(str(status)), captured.out, captured.err

    return call


@pytest.fixture
def results(run: Callable[..., tuple[int, str, str]], tmp_path: Path) -> Path:
    """Results of a small exam."""
    (tmp_path / "exam").mkdir()
    screening_exam(tmp_path / "exam", rows=256, columns=192)
    assert run("analyse", tmp_path / "exam", "--out", tmp_path / "out")[0] == 0
    return tmp_path / "out"


def test_a_folder_of_results_is_explained_file_by_file(run: Callable[..., tuple[int, str, str]], results: Path) -> None:
    status, out, err = run("explain", results)
    assert "results.json: not a readable DICOM file" in err
    assert status == 1
    assert out.count("this object:") == 7
    assert "Mammography CAD SR, series 9001" in out
    assert "NOT ANALYSED: not attempted: no weights installed (FPNNet)" in out


def test_one_file_is_enough(run: Callable[..., tuple[int, str, str]], results: Path) -> None:
    (path,) = results.rglob("cad_sr.dcm")
    status, out, err = run("explain", path)
    assert (status, err) == (0, "")
    assert "patient withheld" in out


def test_tree_prints_every_item(run: Callable[..., tuple[int, str, str]], results: Path) -> None:
    (path,) = results.rglob("cad_sr.dcm")
    _, out, _ = run("explain", "--tree", path)
    assert out.splitlines()[0] == "Mammography CAD Report"
    assert "  Image Library" in out


def test_json_holds_the_content_tree_and_no_patient(run: Callable[..., tuple[int, str, str]], results: Path) -> None:
    (path,) = results.rglob("measurement_sr.dcm")
    _, out, _ = run("explain", "--json", path)
    (value,) = json.loads(out)
    assert value["content"]["concept"] == "Imaging Measurement Report"
    assert "PatientName" not in value
    assert "PatientName" in json.loads(run("explain", "--json", "--patient", path)[1])[0]


def test_what_is_no_dicom_is_said_in_one_line(run: Callable[..., tuple[int, str, str]], tmp_path: Path) -> None:
    path = tmp_path / "letter.txt"
    path.write_text("not DICOM")
    status, out, err = run("explain", path)
    assert (status, out) == (1, "")
    assert err.strip() == f"{path}: not a readable DICOM file (InvalidDicomError)"


def test_a_path_that_does_not_exist_is_an_error_of_usage(
    run: Callable[..., tuple[int, str, str]], tmp_path: Path
) -> None:
    assert run("explain", tmp_path / "nowhere")[0] == 2
