"""What is known for the patient's identity is not told, wherever it stands in a report; what says otherwise stays."""

from __future__ import annotations

from typing import Any

import pytest
from pydicom import Dataset

from sr_templates.reading import ContentItem, read_tree
from sr_templates.withholding import WITHHELD, Withholding


def header(name: str = "Mustermann^Erika", **attributes: Any) -> Dataset:
    dataset = Dataset()
    dataset.SpecificCharacterSet = "ISO_IR 192"
    dataset.PatientName = name
    for keyword, value in {"PatientID": "4711-08", "PatientBirthDate": "19640229", **attributes}.items():
        setattr(dataset, keyword, value)
    return dataset


def read(value_type: str, concept: str = "121106", patient: bool = False, **attributes: Any) -> ContentItem:
    item, name, document = Dataset(), Dataset(), header()
    name.CodeValue, name.CodingSchemeDesignator, name.CodeMeaning = concept, "DCM", "Concept"
    item.RelationshipType, item.ValueType, item.ConceptNameCodeSequence = "CONTAINS", value_type, [name]
    for keyword, value in attributes.items():
        setattr(item, keyword, value)
    document.ValueType, document.ContentSequence = "CONTAINER", [item]
    (only,) = read_tree(document, patient=patient).children
    return only


@pytest.mark.parametrize("concept", ["121029", "121008", "121106", "X1"])
def test_every_person_is_withheld_under_whatever_concept(concept: str) -> None:
    assert read("PNAME", concept, PersonName="Someone^Else").value == WITHHELD
    assert read("PNAME", concept, patient=True, PersonName="Someone^Else").value == "Someone^Else"


@pytest.mark.parametrize(
    ("value_type", "concept", "attributes", "told"),
    [
        ("DATE", "121106", {"Date": "19640229"}, WITHHELD),
        ("DATE", "121031", {"Date": "19640229"}, WITHHELD),
        ("DATETIME", "X1", {"DateTime": "19640229120000"}, WITHHELD),
        ("DATE", "111060", {"Date": "20260102"}, "2026-01-02"),
        ("DATE", "111018", {"Date": "20260102"}, "2026-01-02"),
        ("DATETIME", "111526", {"DateTime": "20260102120000"}, "2026-01-02 12:00:00"),
    ],
)
def test_a_date_is_told_where_it_is_known_for_one_of_the_study(
    value_type: str, concept: str, attributes: dict[str, str], told: str
) -> None:
    assert read(value_type, concept, **attributes).value == told


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ("Mustermann^Erika", "withheld"),
        ("MUSTERMANN, ERIKA", "withheld"),
        ("Erika has a cluster", "withheld has a cluster"),
        ("seen by Dr. Mustermann-Meier", "seen by Dr. withheld-Meier"),
        ("ID 4711-08", "ID withheld"),
        ("ID 471108 and 4711 08", "ID withheld and withheld"),
        ("born 1964-02-29", "born withheld"),
        ("born 29.2.1964, or 29. 02. 1964", "born withheld, or withheld"),
        ("born 02/29/1964", "born withheld"),
        ("3 findings of 12.5 mm", "3 findings of 12.5 mm"),
    ],
)
def test_free_text_is_told_without_names_id_and_birth_date(said: str, told: str) -> None:
    assert read("TEXT", TextValue=said).value == told
    assert read("TEXT", patient=True, TextValue=said).value == said


@pytest.mark.parametrize(
    ("name", "said", "told"),
    [
        ("Müller^Zoë", "MUELLER is not found, Muller and ZOE are", "MUELLER is not found, withheld and withheld are"),
        ("Straße^Anna", "strasse", "withheld"),
        ("Li^Wei", "a slight shadow, says Li", "a slight shadow, says withheld"),
        ("Yamada^Tarou=山田^太郎", "山田太郎さん", "withheldwithheldさん"),
        ("Not^Analysed", "NOT ANALYSED: no weights", "NOT ANALYSED: no weights"),
        ("A^B", "a b", "a b"),
        ("", "nothing to look for", "nothing to look for"),
    ],
)
def test_names_are_found_in_other_spellings_of_case_and_accents(name: str, said: str, told: str) -> None:
    document = header(name, PatientID="", PatientBirthDate="")
    assert Withholding(document).of_text(said) == told


def test_other_names_and_ids_of_the_patient_count_too() -> None:
    other = Dataset()
    other.PatientID = "ZZ-99"
    document = header(PatientBirthName="Vorher", OtherPatientIDsSequence=[other])
    assert Withholding(document).of_text("nee Vorher, ZZ99") == "nee withheld, withheld"


def test_a_short_id_is_a_word_and_not_a_part_of_one() -> None:
    assert Withholding(header(PatientID="P1")).of_text("P1 in P100, p1") == "withheld in P100, withheld"


def test_a_header_that_names_nobody_withholds_nothing_of_a_text() -> None:
    assert Withholding(Dataset()).of_text("anything") == "anything"
