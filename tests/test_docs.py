"""The documentation and the example files say what the program does; one that drifts fails here."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydicom import Dataset

from node import conformance
from node.conformance_objects import objects_of
from node.settings import Settings, load_settings
from node.settings_sources import Key, keys_of
from node.settings_table import with_tables
from sr_templates.codes import PRIVATE_SCHEME

ROOT = Path(__file__).resolve().parents[1]
SETTINGS_MD = ROOT / "docs" / "SETTINGS.md"
CONFORMANCE_MD = ROOT / "docs" / "CONFORMANCE.md"
EXAMPLE = ROOT / "deploy" / "mammonode.toml"
KEYS = list(keys_of(Settings))


def every_key_given(text: str) -> str:
    """The example with the keys that are absent by default taken out of their comments."""
    return re.sub(r"^# (\w+ = )", r"\1", text, flags=re.MULTILINE)


def test_the_tables_of_settings_are_those_of_the_program() -> None:
    document = SETTINGS_MD.read_text(encoding="utf-8")
    assert document == with_tables(document), "run: make docs"


def test_the_tables_of_the_conformance_statement_are_those_of_the_program() -> None:
    document = CONFORMANCE_MD.read_text(encoding="utf-8")
    assert document == conformance.with_tables(document), "run: make docs"


def test_a_conformance_statement_must_have_every_table_once() -> None:
    document = CONFORMANCE_MD.read_text(encoding="utf-8")
    with pytest.raises(ValueError, match="each of these tables"):
        conformance.with_tables(document.replace("<!-- table: private codes,", "<!-- table: other codes,"))


def test_every_private_code_that_the_results_use_is_in_the_conformance_statement() -> None:
    statement = conformance.private_codes()
    used = {
        item.CodeValue
        for variant in conformance.variants()
        for made in objects_of(variant)
        for item in coded_items(made)
        if item.CodingSchemeDesignator == PRIVATE_SCHEME
    }
    assert used
    assert all(f"| {value} |" in statement for value in used)


def test_every_code_of_the_results_is_in_the_conformance_statement() -> None:
    known = {(code.scheme, code.value) for code in conformance.all_codes()}
    used = {
        (item.CodingSchemeDesignator, item.CodeValue)
        for variant in conformance.variants()
        for made in objects_of(variant)
        for item in coded_items(made)
    }
    copied = {item for item in used if item[0] not in {"DCM", "SCT", "UMLS", "UCUM", "RFC5646", PRIVATE_SCHEME}}
    assert used - copied <= known


def coded_items(dataset: Dataset) -> Iterator[Dataset]:
    """Every coded entry at any depth (PS3.3 8.8)."""
    for element in dataset:
        for item in element.value if element.VR == "SQ" else ():
            if "CodeValue" in item:
                yield item
            yield from coded_items(item)


def test_a_document_without_the_marks_is_refused() -> None:
    with pytest.raises(ValueError, match="lacks"):
        with_tables("# Settings\n")


@pytest.mark.parametrize("key", KEYS, ids=lambda key: key.name)
def test_every_key_is_described(key: Key) -> None:
    assert key.field.description
    assert key.field.description.endswith(".")


def test_the_example_file_loads_with_and_without_its_optional_keys(tmp_path: Path) -> None:
    settings = load_settings(EXAMPLE, {})
    assert settings.destination[0].name == "pacs"
    full = tmp_path / "full.toml"
    full.write_text(every_key_given(EXAMPLE.read_text(encoding="utf-8")), encoding="utf-8")
    assert load_settings(full, {}).models.min_score == 0.5


def test_the_example_file_names_every_key_and_no_other() -> None:
    tables = tomllib.loads(every_key_given(EXAMPLE.read_text(encoding="utf-8")))
    named = {
        f"{section}.{name}"
        for section, table in tables.items()
        for name in (table[0] if isinstance(table, list) else table)
    }
    assert named == {key.name for key in KEYS}


def test_the_example_file_gives_the_defaults() -> None:
    given = load_settings(EXAMPLE, {}).model_dump()
    default = Settings().model_dump()
    different = {
        f"{section}.{name}"
        for section in default
        if isinstance(default[section], dict)
        for name in default[section]
        if given[section][name] != default[section][name]
    }
    assert different == {"node.host", "node.state_dir"}  # a source is listed; a service keeps its state under /var/lib


def test_no_key_in_the_prose_of_settings_is_unknown() -> None:
    prose = SETTINGS_MD.read_text(encoding="utf-8").partition("<!--")[0]
    variables = {key.variable for key in KEYS} | {"MAMMONODE_CONFIG"}
    assert set(re.findall(r"MAMMONODE_[A-Z_]+[A-Z]", prose)) <= variables


def test_every_make_target_that_is_written_about_exists() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), flags=re.MULTILINE))
    documents = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "deploy").glob("*.md")]
    written_about = {
        target
        for document in documents
        for target in re.findall(
            r"(?:`|^|&& |sudo )make (?:-C \S+ )?([a-z-]+)", document.read_text(encoding="utf-8"), re.M
        )
    }
    assert written_about <= targets
    assert {"venv", "demo", "test", "lint", "bench"} <= targets


def test_every_make_target_is_in_its_own_help() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"^([a-z-]+):", makefile, flags=re.MULTILINE))
    assert set(re.findall(r"^([a-z-]+):.*?## \S", makefile, flags=re.MULTILINE)) == targets
