"""The command explain: files and folders in, words out; what is no DICOM is named and the exit status says so."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import astuple
from io import BytesIO, TextIOWrapper
from pathlib import Path

import pytest
from pydicom import Dataset, dcmread

from tests.commands import runner
from tests.factories import screening_exam


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    return lambda *arguments: astuple(runner(monkeypatch, capsys)(*arguments))


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


def test_standard_input_is_read_too(
    run: Callable[..., tuple[int, str, str]], results: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (path,) = results.rglob("cad_sr.dcm")
    expected = run("explain", path)
    monkeypatch.setattr(sys, "stdin", TextIOWrapper(BytesIO(path.read_bytes())))
    assert run("explain", "-") == expected


def test_several_files_are_told_apart_by_their_names(run: Callable[..., tuple[int, str, str]], results: Path) -> None:
    paths = sorted(results.rglob("*_sr.dcm"))
    _, out, _ = run("explain", *paths)
    assert [line for line in out.splitlines() if line.startswith("===")] == [f"=== {path}" for path in paths]


def test_a_file_without_preamble_is_read(
    run: Callable[..., tuple[int, str, str]], results: Path, tmp_path: Path
) -> None:
    (path,) = results.rglob("cad_sr.dcm")
    dataset = dcmread(path)
    bare = tmp_path / "bare.dcm"
    plain = Dataset(dataset)
    plain.save_as(bare, implicit_vr=True, little_endian=True)
    assert b"DICM" not in bare.read_bytes()
    status, out, err = run("explain", bare)
    assert (status, err) == (0, "")
    assert "Mammography CAD SR" in out


def test_a_name_that_holds_an_escape_sequence_is_printed_without_it(
    run: Callable[..., tuple[int, str, str]], tmp_path: Path
) -> None:
    path = tmp_path / "evil\x1b[31m.dcm"
    path.write_text("not DICOM")
    assert "\x1b" not in run("explain", path)[2]


def test_the_subject_in_the_tree_is_not_in_the_json_either(
    run: Callable[..., tuple[int, str, str]], results: Path, tmp_path: Path
) -> None:
    (path,) = results.rglob("measurement_sr.dcm")
    dataset = dcmread(path)
    item, name = Dataset(), Dataset()
    name.CodeValue, name.CodingSchemeDesignator, name.CodeMeaning = "121029", "DCM", "Subject Name"
    item.RelationshipType, item.ValueType, item.PersonName = "HAS OBS CONTEXT", "PNAME", "Hidden^Name"
    item.ConceptNameCodeSequence = [name]
    dataset.ContentSequence.append(item)
    named = tmp_path / "named.dcm"
    dataset.save_as(named)
    for option in ("--json", "--tree"):
        assert "Hidden" not in run("explain", option, named)[1]
        assert "Hidden^Name" in run("explain", option, "--patient", named)[1]


def test_a_truncated_file_of_any_length_ends_in_words_or_in_the_one_error(
    run: Callable[..., tuple[int, str, str]], results: Path, tmp_path: Path
) -> None:
    (path,) = results.rglob("cad_sr.dcm")
    whole = path.read_bytes()
    cut = tmp_path / "cut.dcm"
    for length in range(0, len(whole), len(whole) // 40):
        cut.write_bytes(whole[:length])
        status, out, err = run("explain", cut)
        assert (status, bool(out)) in ((0, True), (1, False)), length
        assert status == 0 or err.count("\n") == 1
