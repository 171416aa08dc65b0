"""``mammonode manifest`` as a person uses it: what is printed, what is written, which exit status."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from node import cli_manifest
from pipelines.datasets.importers import IMPORTERS
from pipelines.datasets.manifest import read_manifest, write_manifest
from pipelines.datasets.rows import COLUMNS
from tests.commands import Run, runner
from tests.datasets.builders import entry, lesion, write_png, write_rows
from tests.factories import small_mammogram

DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "MANIFEST.md"


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Run a command in this process."""

    return runner(monkeypatch, capsys, "manifest")


def table(text: str) -> list[list[str]]:
    return [line.split() for line in text.splitlines()]


def test_import_writes_a_manifest_that_check_finds_in_order(run: Run, tmp_path: Path) -> None:
    columns = ("image", "patient", "abnormality", "severity", "x_px", "y_px", "radius_px")
    rows = [
        ("mdb001", 0, "CALC", "M", 40, 50, 5),
        ("mdb002", 0, "CALC", "M", "", "", ""),
        *((f"mdb{number:03}", number, "NORM", "", "", "", "") for number in range(10, 20)),
    ]
    write_rows(tmp_path / "mias" / "labels.csv", columns, rows)
    for name, *_ in rows:
        write_png(tmp_path / "mias" / f"{name}.png")
    out = tmp_path / "manifest.csv"
    ran = run("import", "mini_mias", tmp_path / "mias", "--out", out, "--seed", 3, "--spacing-mm", 0.21)
    assert ran.status == 0, ran.err
    assert "left out: 1 image: calcifications without coordinates" in ran.out
    assert {image.spacing_mm for image in read_manifest(out)} == {0.21}
    checked = run("check", out)
    assert checked.status == 0, checked.err
    assert table(checked.out) == [
        ["split", "images", "patients", "normal", "benign", "malignant", "boxes", "plantable"],
        ["train", "7", "7", "7", "0", "0", "0", "7"],
        ["val", "2", "2", "2", "0", "0", "0", "2"],
        ["test", "2", "2", "1", "0", "1", "1", "1"],
    ]
    assert table(ran.out)[:4] == table(checked.out)


def test_an_import_that_cannot_be_is_one_message_and_status_1(run: Run, tmp_path: Path) -> None:
    ran = run("import", "inbreast", tmp_path, "--out", tmp_path / "manifest.csv")
    assert ran.status == 1
    assert ran.err.startswith("mammonode: INbreast.csv is neither")
    assert "INbreast.xls only, save that as INbreast.csv" in ran.err
    assert not (tmp_path / "manifest.csv").exists()


def test_check_tells_every_wrong_row(run: Run, tmp_path: Path) -> None:
    write_png(tmp_path / "a.png")
    write_rows(tmp_path / "manifest.csv", ("image", "patient"), [("a.png", "p1"), ("b.png", "p2")])
    ran = run("check", tmp_path / "manifest.csv")
    assert ran.status == 1
    assert "2 problems" in ran.err
    assert "line 2: spacing_mm is empty" in ran.err
    assert "line 3: image: no such file" in ran.err


def test_check_tells_every_image_whose_header_does_not_fit(run: Run, tmp_path: Path) -> None:
    small_mammogram(tmp_path / "a.dcm", laterality="L", view="CC")
    images = [
        entry(tmp_path / "a.dcm", spacing_mm=0.2),
        entry(write_png(tmp_path / "b.png"), lesions=(lesion(1, 2, 300, 4),)),
        entry(write_png(tmp_path / "c.png"), split="val"),
    ]
    write_manifest(tmp_path / "manifest.csv", images)
    ran = run("check", tmp_path / "manifest.csv")
    assert ran.status == 1
    assert [line.split(":")[0] for line in ran.err.splitlines()] == ["line 2", "line 3"]
    assert ["none", "yet", "2", "1", "0", "0", "1", "1", "0"] in table(ran.out)


def test_split_gives_everybody_a_split_and_writes_over_the_same_file(run: Run, tmp_path: Path) -> None:
    images = [entry(write_png(tmp_path / f"{number}.png"), patient=f"p{number}") for number in range(10)]
    path = tmp_path / "manifest.csv"
    write_manifest(path, images)
    ran = run("split", path, "--out", path, "--val", 0.2, "--test", 0.3)
    assert ran.status == 0, ran.err
    splits = [image.split for image in read_manifest(path)]
    assert (splits.count("train"), splits.count("val"), splits.count("test")) == (5, 2, 3)


def test_shares_that_leave_nothing_to_train_on_are_a_usage_error(run: Run, tmp_path: Path) -> None:
    ran = run("split", tmp_path / "manifest.csv", "--out", tmp_path / "out.csv", "--val", 0.5, "--test", 0.5)
    assert ran.status == 2
    assert "must be less than 1" in ran.err


@pytest.mark.parametrize("command", ["import", "check", "split"])
def test_help_says_what_a_command_does(run: Run, command: str) -> None:
    ran = run(command, "--help")
    assert ran.status == 0
    assert "Usage: " in ran.out
    assert command in run("--help").out


def test_the_documentation_names_every_column_layout_and_command(run: Run) -> None:
    text = DOCUMENT.read_text(encoding="utf-8")
    assert all(f"`{column}`" in text for column in COLUMNS)
    assert all(f"\n### {name}\n" in text and f"| `{name}` |" in text for name in IMPORTERS)
    commands = [command.name for command in cli_manifest.app.registered_commands]
    assert commands == ["import", "split", "check", "tumours", "simulated-tumours"]
    text += DOCUMENT.with_name("MANIFEST_TUMOURS.md").read_text(encoding="utf-8")
    assert all(f"mammonode manifest {name} " in text for name in commands)
    assert all(name in run("import", "--help").out for name in IMPORTERS)


def test_the_example_of_the_documentation_is_a_valid_manifest(tmp_path: Path) -> None:
    (example,) = re.findall(
        r"```\n(image,patient,split,label,.*?)```", DOCUMENT.read_text(encoding="utf-8"), flags=re.DOTALL
    )
    for line in example.splitlines()[1:]:
        path = tmp_path / line.partition(",")[0]
        path.parent.mkdir(exist_ok=True)
        path.touch()
    (tmp_path / "manifest.csv").write_text(example, encoding="utf-8")
    images = read_manifest(tmp_path / "manifest.csv")
    assert [len(image.lesions) for image in images] == [2, 0, 0, 1]
