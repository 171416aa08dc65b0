"""Names come back as the bytes they came in, whatever character set they claim, or none."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path
from types import SimpleNamespace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydicom import Dataset, dcmread
from pydicom.dataelem import RawDataElement
from pydicom.tag import Tag
from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian

from sr_templates.contract import StudyReport, plain_variants
from sr_templates.registry import make_objects

KINDS = plain_variants("cad_sr", "measurement_sr", "heatmap")
PATIENT_NAME, OTHER_IDS = Tag(0x0010, 0x0010), Tag(0x0010, 0x1002)
PLACEHOLDER = b"PLACEHOLDER"

NAMES = {
    "japanese": (
        ["", "ISO 2022 IR 87"],
        b"Yamada^Tarou=\x1b$B;3ED\x1b(B^\x1b$BB@O:\x1b(B=\x1b$B$d$^$@\x1b(B^\x1b$B$?$m$&\x1b(B",
    ),
    "latin 1": ("ISO_IR 100", b"M\xfcller^J\xf6rg"),
    "utf-8": ("ISO_IR 192", "Søren^Ærø=王^小東".encode()),
    "undeclared": (None, b"M\xfcller^J\xf6rg"),
    "declared utf-8, is latin 1": ("ISO_IR 192", b"M\xfcller^J\xf6rg"),
    "unknown character set": ("ISO_IR 999", b"M\xfcller^J\xf6rg"),
    "not a character set at all": ("iso8859-1 ?", b"\xff\xfe\x80^\x81"),
    "broken escape": (["", "ISO 2022 IR 87"], b"\x1b$Bodd^\x1b(!"),
}


def value_bytes(content: bytes, tag: Tag) -> bytes | None:
    """Value as it is in the file: pydicom leaves it undecoded until it is asked for."""
    element = dcmread(BytesIO(content), stop_before_pixels=True).get_item(tag)
    assert element is None or isinstance(element, RawDataElement)
    return element.value if element is not None else None


def padded(value: bytes) -> bytes:
    return value + b" " * (len(value) % 2)


def source(factory: SimpleNamespace, name: str, transfer_syntax_uid: str) -> Dataset:
    """A header whose name, description and other IDs hold the bytes, put in after encoding so that none are touched."""
    character_set, raw = NAMES[name]
    slot = "P" * len(padded(raw))
    dataset = factory.plain_header(
        1, "1.2.840.10008.5.1.4.1.1.1.2", "MG", SpecificCharacterSet="ISO_IR 6", PatientName=slot, StudyDescription=slot
    )
    other = Dataset()
    other.PatientID = slot
    other.TypeOfPatientID = "TEXT"
    dataset.OtherPatientIDsSequence = [other]
    if character_set is None:
        del dataset.SpecificCharacterSet
    else:
        dataset.SpecificCharacterSet = character_set
    read = factory.as_read(dataset, transfer_syntax_uid)
    buffer = BytesIO()
    read.save_as(buffer, enforce_file_format=True)
    return dcmread(BytesIO(buffer.getvalue().replace(slot.encode(), padded(raw))), stop_before_pixels=True)


def report_on(factory: SimpleNamespace, header: Dataset) -> StudyReport:
    return factory.study_report((factory.mammogram(1, "R", "CC", header=header, findings=(factory.finding(),)),))


@pytest.mark.filterwarnings("ignore")  # pydicom warns of each character set that is unknown or broken here
@pytest.mark.parametrize(
    "transfer_syntax_uid", [ExplicitVRLittleEndian, ImplicitVRLittleEndian], ids=["explicit", "implicit"]
)
@pytest.mark.parametrize("name", sorted(NAMES))
def test_names_come_back_byte_for_byte(factory: SimpleNamespace, name: str, transfer_syntax_uid: str) -> None:
    header = source(factory, name, transfer_syntax_uid)
    character_set, raw = NAMES[name]
    made = make_objects(report_on(factory, header), KINDS)
    assert {m.kind for m in made} == {v.kind for v in KINDS}
    for result in made:
        assert value_bytes(result.content, PATIENT_NAME) == padded(raw)
        assert value_bytes(result.content, Tag(0x0008, 0x1030)) == padded(raw)
        dataset = dcmread(BytesIO(result.content))
        assert dataset.OtherPatientIDsSequence[0].get_item(Tag(0x0010, 0x0020)).value == padded(raw)
        declared = dataset.get("SpecificCharacterSet")
        assert declared == character_set


@pytest.mark.parametrize("name", ["japanese", "latin 1", "utf-8"])
def test_text_that_was_looked_at_comes_back_as_the_same_text_if_it_was_valid(
    factory: SimpleNamespace, name: str
) -> None:
    header = source(factory, name, ExplicitVRLittleEndian)
    patient_name, description = str(header.PatientName), header.StudyDescription
    (result,) = make_objects(report_on(factory, header), plain_variants("cad_sr"))
    dataset = dcmread(BytesIO(result.content))
    assert (str(dataset.PatientName), dataset.StudyDescription) == (patient_name, description)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(raw=st.binary(max_size=80))
def test_any_bytes_survive(factory: SimpleNamespace, raw: bytes) -> None:
    header = factory.mammogram_header(1, "R", "CC")
    header[PATIENT_NAME] = RawDataElement(PATIENT_NAME, "PN", len(raw), raw, 0, False, True)
    (result,) = make_objects(report_on(factory, header), plain_variants("measurement_sr"))
    assert (value_bytes(result.content, PATIENT_NAME) or b"") == padded(raw)


@pytest.mark.filterwarnings("ignore")
def test_our_own_words_are_ascii_even_when_the_reason_is_not(factory: SimpleNamespace) -> None:
    image = factory.mammogram(1, "R", "CC", outcome="not_analysed", reason="größer als erlaubt \\ 大きい")
    report = factory.study_report((image,), outcome="not_analysed", reason="größer", pipeline="brüste")
    for result in make_objects(report, KINDS):
        texts = [e.value for e in dcmread(BytesIO(result.content)).iterall() if e.VR in {"LO", "SH", "ST", "UT", "PN"}]
        assert texts
        assert all(str(value).isascii() for value in texts)


@pytest.mark.shared
@pytest.mark.filterwarnings("ignore")  # the files are odd on purpose
def test_names_of_real_files_come_back_byte_for_byte(factory: SimpleNamespace, shared_dir: Path) -> None:
    paths = sorted((shared_dir / "data" / "dicom").glob("*/*.dcm"))
    assert paths
    for path in paths:
        header = dcmread(path, stop_before_pixels=True)
        element = header.get_item(PATIENT_NAME)
        expected = (element.value or b"") if element is not None else b""
        report = factory.study_report((), other_instances=((header, "not of interest"),), outcome="not_analysed")
        (result,) = make_objects(report, KINDS)
        assert value_bytes(result.content, PATIENT_NAME) == (padded(expected) or None), path.name
