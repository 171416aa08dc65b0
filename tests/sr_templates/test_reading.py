"""Content trees of any maker become plain values; what cannot be read is said, and nothing raises."""

from __future__ import annotations

import json
from dataclasses import asdict
from io import BytesIO
from typing import Any

import pytest
from pydicom import Dataset, dcmread
from pydicom.dataelem import RawDataElement
from pydicom.dataset import FileMetaDataset
from pydicom.tag import Tag
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
)

from sr_templates import reading
from sr_templates.reading import MAX_DEPTH, MAX_ITEMS, SHORT_NAMES, ContentItem, read_tree
from sr_templates.reading_attributes import (
    MAX_CHARACTERS,
    date_words,
    is_damaged,
    items_of,
    printable,
    text_of,
    time_words,
)


def coded(value: str, scheme: str, meaning: str = "") -> list[Dataset]:
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator = value, scheme
    if meaning:
        item.CodeMeaning = meaning
    return [item]


def content_item(value_type: str, **attributes: Any) -> Dataset:
    item = Dataset()
    item.RelationshipType, item.ValueType = "CONTAINS", value_type
    item.ConceptNameCodeSequence = coded("1", "99TEST", "Concept")
    for keyword, value in attributes.items():
        setattr(item, keyword, value)
    return item


def by_reference(*position: int) -> Dataset:
    item = Dataset()
    item.RelationshipType, item.ReferencedContentItemIdentifier = "INFERRED FROM", list(position)
    return item


def document(*items: Dataset) -> Dataset:
    root = content_item("CONTAINER", ContentSequence=list(items))
    root.SOPClassUID, root.SOPInstanceUID = "1.2.840.10008.5.1.4.1.1.88.33", "1.2.3"
    return root


def only(item: Dataset) -> ContentItem:
    (read,) = read_tree(document(item)).children
    return read


def measured(value: str, unit: str, meaning: str) -> list[Dataset]:
    item = Dataset()
    item.NumericValue, item.MeasurementUnitsCodeSequence = value, coded(unit, "UCUM", meaning)
    return [item]


@pytest.mark.parametrize(
    ("unit", "meaning", "words"),
    [
        ("mm", "millimeter", "3.5 mm"),
        ("1", "no units", "3.5"),
        ("{pixels}", "pixels", "3.5 pixels"),
        ("[hnsf'U]", "Hounsfield unit", "3.5 Hounsfield unit"),
    ],
)
def test_a_number_has_its_unit_as_people_write_it(unit: str, meaning: str, words: str) -> None:
    read = only(content_item("NUM", MeasuredValueSequence=measured("3.5", unit, meaning)))
    assert (read.value, read.number) == (words, 3.5)


def test_a_number_that_was_not_measured_says_why() -> None:
    why = coded("114006", "DCM", "Measurement failure")
    assert only(content_item("NUM", NumericValueQualifierCodeSequence=why)).value == "Measurement failure"
    assert only(content_item("NUM", MeasuredValueSequence=[])).value == "no value"
    assert only(content_item("NUM")).value == "no value"


def test_a_number_that_is_none_is_told_as_it_stands() -> None:
    item = Dataset()
    item[Tag("NumericValue")] = RawDataElement(Tag("NumericValue"), "DS", 4, b"many", 0, False, True)
    read = only(content_item("NUM", MeasuredValueSequence=[item]))
    assert (read.value, read.number) == ("many", None)


@pytest.mark.parametrize(
    ("graphic_type", "data", "words"),
    [
        ("POINT", [3, 4], "point at (3.0, 4.0)"),
        ("POLYLINE", [0, 0, 4, 0, 4, 2, 0, 2, 0, 0], "polyline of 5 points around (2.0, 1.0), 4.0 x 2.0 px"),
        ("CIRCLE", [5, 5, 5, 8], "circle around (5.0, 5.0), 6.0 x 6.0 px"),
        ("ELLIPSE", [0, 0, 6, 8, 9, 1, -3, 7], "ellipse around (3.0, 4.0), 13.4 x 10.0 px"),
        ("POLYLINE", [float("nan"), 1, 2, 3], "polyline whose coordinates are no numbers"),
        ("POLYLINE", [], "polyline without points"),
    ],
)
def test_a_figure_is_told_by_its_centre_and_size(graphic_type: str, data: list[float], words: str) -> None:
    assert only(content_item("SCOORD", GraphicType=graphic_type, GraphicData=data)).value == words


def test_a_figure_in_space_has_no_place_on_an_image() -> None:
    read = only(content_item("SCOORD3D", GraphicType="POINT", GraphicData=[1, 2, 3]))
    assert (read.value, read.points) == ("point of 1 point in space", ())


def test_a_code_is_told_by_its_meaning_and_without_one_by_value_and_scheme() -> None:
    known = content_item("CODE", ConceptCodeSequence=coded("80248007", "SCT", "Left breast"))
    unknown = content_item("CODE", ConceptCodeSequence=coded("X1", "99ACME"))
    read = read_tree(document(known, unknown)).children
    assert [item.value for item in read] == ["Left breast", "(X1, 99ACME)"]


def test_a_frame_is_part_of_what_an_image_is() -> None:
    reference = Dataset()
    reference.ReferencedSOPClassUID = "1.2.840.10008.5.1.4.1.1.13.1.3"
    reference.ReferencedSOPInstanceUID, reference.ReferencedFrameNumber = "1.2.3.4", [7, 9]
    read = only(content_item("IMAGE", ReferencedSOPSequence=[reference]))
    assert read.value == "Breast Tomosynthesis Image 1.2.3.4, frame 7, 9"
    assert (read.sop_instance_uid, read.frames) == ("1.2.3.4", (7, 9))


def test_an_item_by_reference_says_what_it_refers_to() -> None:
    text = content_item("TEXT", TextValue="seen\nagain")
    read = read_tree(document(text, by_reference(1, 1), by_reference(1, 2))).children
    assert [item.value for item in read[1:]] == ["item 1.1 (Concept: seen)", "item 1.2 (Concept: seen)"]


def test_a_long_chain_of_references_is_followed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    steps: list[tuple[int, ...]] = []
    look = reading._at  # what a step along a chain costs

    def counted(root: ContentItem, position: tuple[int, ...]) -> ContentItem | None:
        steps.append(position)
        return look(root, position)

    monkeypatch.setattr(reading, "_at", counted)
    count = 300
    chain = [by_reference(1, number + 1) for number in range(1, count + 1)]
    values = [item.value for item in read_tree(document(*chain, content_item("TEXT", TextValue="the end"))).children]
    assert values[:-1] == [f"item 1.{number + 1} (Concept: the end)" for number in range(1, count + 1)]
    assert len(steps) == count


def test_a_long_text_is_not_repeated_by_each_reference_to_it() -> None:
    text = content_item("TEXT", TextValue="x" * 5000)
    first, *others = read_tree(document(text, *[by_reference(1, 1)] * 3)).children
    assert len(first.value) == 5000
    assert all(len(item.value) < 300 and item.value.endswith("...)") for item in others)


def test_references_to_nowhere_and_in_circles_end() -> None:
    items = (by_reference(1, 9), by_reference(2), by_reference(1, 0), by_reference(1, 5), by_reference(1, 4))
    values = [item.value for item in read_tree(document(*items)).children]
    assert [value.partition(",")[2] for value in values[:3]] == [" which is not there"] * 3
    assert [value.partition(",")[2] for value in values[3:]] == [" which leads back to itself"] * 2


def test_a_reference_to_the_root_is_told_and_not_followed_down() -> None:
    assert only(by_reference(1)).value == "item 1 (Concept)"


def test_depth_is_bounded_and_the_last_item_says_so() -> None:
    deep = content_item("TEXT", TextValue="bottom")
    for _ in range(MAX_DEPTH + 20):
        deep = content_item("CONTAINER", ContentSequence=[deep])
    items = list(read_tree(deep).walk())
    assert len(items) == MAX_DEPTH
    assert "deeper than" in items[-1].unread


def test_the_number_of_items_is_bounded_and_the_parent_says_how_many_are_missing() -> None:
    root = read_tree(document(*(Dataset() for _ in range(MAX_ITEMS + 9))))
    assert len(root.children) == MAX_ITEMS - 1
    assert root.unread.endswith(": 10 were not read")


def test_a_sequence_of_garbage_is_no_empty_sequence() -> None:
    damaged = content_item("CONTAINER")
    damaged[Tag("ContentSequence")] = RawDataElement(Tag("ContentSequence"), "SQ", 9, b"garbage!!", 0, False, True)
    assert any(item.unread for item in only(damaged).walk())


def test_an_element_shorter_than_it_says_is_damage_and_a_whole_one_is_not() -> None:
    dataset = Dataset()
    tag = Tag("TextValue")
    dataset[tag] = RawDataElement(tag, "UT", 4, b"four", 0, False, True)
    assert not is_damaged(dataset)
    dataset[tag] = RawDataElement(tag, "UT", 5, b"four", 0, False, True)
    assert is_damaged(dataset)


@pytest.mark.parametrize(
    "syntax",
    [ImplicitVRLittleEndian, ExplicitVRLittleEndian, ExplicitVRBigEndian, DeflatedExplicitVRLittleEndian],
)
def test_every_transfer_syntax_reads_the_same(syntax: str) -> None:
    box = content_item("SCOORD", GraphicType="POLYLINE", GraphicData=[1, 2, 3, 4])
    whole = document(content_item("TEXT", TextValue="words"), box, by_reference(1, 2))
    expected = read_tree(whole)
    whole.file_meta = FileMetaDataset()
    whole.file_meta.TransferSyntaxUID = syntax
    buffer = BytesIO()
    whole.save_as(buffer, enforce_file_format=True)
    assert read_tree(dcmread(BytesIO(buffer.getvalue()))) == expected


@pytest.mark.parametrize(
    ("character_set", "words"),
    [("ISO_IR 100", "Größe"), ("ISO_IR 144", "Москва"), ("ISO 2022 IR 87", "山田"), ("GB18030", "王小东")],
)
def test_text_is_read_in_the_character_set_of_the_document(character_set: str, words: str) -> None:
    whole = document(content_item("TEXT", TextValue=words))
    declared = ["", character_set] if character_set.startswith("ISO 2022") else character_set
    whole.SpecificCharacterSet = declared
    whole.file_meta = FileMetaDataset()
    whole.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    buffer = BytesIO()
    whole.save_as(buffer, enforce_file_format=True)
    assert read_tree(dcmread(BytesIO(buffer.getvalue()))).children[0].value == words


@pytest.mark.filterwarnings("ignore")  # pydicom's, of the unknown character set
def test_a_character_set_that_nobody_knows_loses_no_item() -> None:
    whole = document(content_item("TEXT", TextValue="plain"))
    whole.file_meta = FileMetaDataset()
    whole.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    whole.SpecificCharacterSet = "ISO_IR 100"
    buffer = BytesIO()
    whole.save_as(buffer, enforce_file_format=True)
    changed = buffer.getvalue().replace(b"ISO_IR 100", b"ISO_XX 999")
    assert read_tree(dcmread(BytesIO(changed))).children[0].value == "plain"


def test_joiners_remain_and_orders_to_the_terminal_do_not() -> None:
    assert printable("\u0645\u06cc\u200c\u062e") == "\u0645\u06cc\u200c\u062e"
    assert printable("a\x1b]0;title\x07b\x9bc\u202ed\u2028e") == "a ]0;title b c d\ne"


def test_a_text_without_end_has_one() -> None:
    assert printable("x" * (MAX_CHARACTERS + 5)).endswith("... (5 more characters)")


def test_what_is_absent_or_something_else_reads_as_nothing() -> None:
    dataset = Dataset()
    assert (text_of(dataset, "PatientID"), items_of(dataset, "ContentSequence")) == ("", [])
    dataset.PatientID = "P1"
    assert items_of(dataset, "PatientID") == []


def test_dates_and_times_are_as_people_write_them_and_odd_ones_as_they_are() -> None:
    assert date_words("20250131") == "2025-01-31"
    assert date_words("20250131094500.5+0100") == "2025-01-31 09:45:00"
    assert (date_words("1997.04.24"), time_words("094500.123"), time_words("soon")) == (
        "1997.04.24",
        "09:45:00",
        "soon",
    )


def test_sides_and_views_have_their_short_names_in_old_and_new_codes() -> None:
    mapping = pytest.importorskip("pydicom.sr._snomed_dict").mapping["SRT"]
    old = {code: name for code, name in SHORT_NAMES.items() if not code.isdigit()}
    assert len(old) == 14
    for code, name in old.items():
        if code in mapping:
            assert SHORT_NAMES[mapping[code]] == name, code


def test_a_view_has_its_modifiers_in_its_short_name() -> None:
    modifier = content_item("CODE", ConceptCodeSequence=coded("399163009", "SCT", "Magnification"))
    modifier.RelationshipType = "HAS CONCEPT MOD"
    view = coded("399368009", "SCT", "medio-lateral oblique")
    assert only(content_item("CODE", ConceptCodeSequence=view, ContentSequence=[modifier])).short == (
        "MLO, Magnification"
    )


def test_a_tree_is_valid_json_whatever_numbers_it_holds() -> None:
    endless = content_item("SCOORD", GraphicType="POINT", GraphicData=[float("inf"), 0])
    text = json.dumps(asdict(read_tree(document(endless))), allow_nan=False)
    assert json.loads(text)["children"][0]["points"] == []
