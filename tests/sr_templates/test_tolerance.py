"""What the sender left out or garbled never stops an answer, and what we write of it is valid or not there."""

from __future__ import annotations

from dataclasses import replace
from io import BytesIO
from types import SimpleNamespace

import pytest
from pydicom import Dataset, dcmread
from pydicom.datadict import dictionary_VR, tag_for_keyword
from pydicom.dataelem import RawDataElement
from pydicom.tag import Tag

from sr_templates.cad_library import ImageLibrary
from sr_templates.contract import plain_variants
from sr_templates.registry import make_objects

KINDS = plain_variants("cad_sr", "measurement_sr", "heatmap")
OPTIONAL = (
    "PatientBirthDate",
    "PatientSex",
    "PatientName",
    "PatientID",
    "AccessionNumber",
    "StudyID",
    "StudyDate",
    "StudyTime",
    "ContentDate",
    "ContentTime",
    "ReferringPhysicianName",
    "PatientOrientation",
    "ImagerPixelSpacing",
    "Rows",
    "Columns",
    "Modality",
)
GARBLED = {
    "PatientBirthDate": b"1960.1.1",
    "StudyDate": b"20251399",
    "StudyTime": b"noon",
    "ContentDate": b"\xff\xfe\xfd\xfc",
    "ContentTime": b"9:30",
    "PatientSex": b"female",
    "PatientAge": b"fifty",
    "PatientWeight": b"heavy",
    "PregnancyStatus": b"1",
    "PatientOrientation": b"sideways",
    "ImagerPixelSpacing": b"0.07\\zero",
    "Rows": b"\x01\x02\x03",
    "AccessionNumber": b"A" * 40,
    "StudyID": b"S" * 99,
    "Modality": b"mammo graphy!",
    "OtherPatientIDsSequence": b"not a sequence at all",
    "IssuerOfAccessionNumberSequence": b"\xfe\xff\x00\xe0\xff\xff\x00\x00",
    "LossyImageCompression": b"maybe",
}


def put_raw(header: Dataset, keyword: str, value: bytes) -> None:
    tag = Tag(tag_for_keyword(keyword))
    header[tag] = RawDataElement(tag, dictionary_VR(tag), len(value), value, 0, False, True)


@pytest.mark.parametrize("missing", [*((keyword,) for keyword in OPTIONAL), OPTIONAL], ids=lambda m: "+".join(m)[:30])
def test_a_missing_attribute_does_not_stop_the_answer(factory: SimpleNamespace, missing: tuple[str, ...]) -> None:
    header = factory.mammogram_header(1, "R", "CC", **dict.fromkeys(missing))
    image = factory.mammogram(1, "R", "CC", header=header, findings=(factory.finding(),))
    made = make_objects(factory.study_report((image,)), KINDS)
    assert {m.kind for m in made} == {v.kind for v in KINDS}
    for result in made:
        dataset = dcmread(BytesIO(result.content))
        for keyword in ("PatientName", "PatientID", "PatientBirthDate", "PatientSex", "StudyDate", "StudyID"):
            assert keyword in dataset  # type 2: there, if empty


@pytest.mark.filterwarnings("ignore")  # pydicom warns of the values that are garbled here
@pytest.mark.parametrize("keywords", [*((k,) for k in GARBLED), tuple(GARBLED)], ids=lambda k: "+".join(k)[:30])
def test_a_garbled_attribute_does_not_stop_the_answer(factory: SimpleNamespace, keywords: tuple[str, ...]) -> None:
    header = factory.mammogram_header(1, "R", "CC")
    for keyword in keywords:
        put_raw(header, keyword, GARBLED[keyword])
    image = factory.mammogram(1, "R", "CC", header=header, findings=(factory.finding(),))
    assert {m.kind for m in make_objects(factory.study_report((image,)), KINDS)} == {v.kind for v in KINDS}


def test_garbled_dates_and_codes_are_emptied_and_identity_is_kept(factory: SimpleNamespace) -> None:
    header = factory.mammogram_header(1, "R", "CC")
    for keyword, value in GARBLED.items():
        put_raw(header, keyword, value)
    image = factory.mammogram(1, "R", "CC", header=header)
    (result,) = make_objects(factory.study_report((image,)), plain_variants("measurement_sr"))
    dataset = dcmread(BytesIO(result.content))
    for keyword in ("PatientBirthDate", "StudyDate", "StudyTime", "PatientSex"):
        assert not dataset[keyword].value
    for keyword in ("PatientAge", "PatientWeight", "OtherPatientIDsSequence"):
        assert keyword not in dataset
    assert dataset.get_item("AccessionNumber").value == GARBLED["AccessionNumber"]


@pytest.mark.parametrize("uid", ["", "not.a.uid", "1." * 40, "1.2.\x80"])
@pytest.mark.parametrize("keyword", ["SOPInstanceUID", "SeriesInstanceUID", "SOPClassUID"])
def test_an_image_that_cannot_be_referred_to_is_still_told_about(
    factory: SimpleNamespace, keyword: str, uid: str
) -> None:
    header = factory.mammogram_header(1, "R", "CC")
    put_raw(header, keyword, uid.encode("latin-1"))
    image = factory.mammogram(1, "R", "CC", header=header, outcome="not_analysed", reason="its UIDs are invalid")
    made = make_objects(factory.study_report((image,), outcome="not_analysed"), KINDS)
    assert [m.kind for m in made] == ["measurement_sr"]
    assert b"its UIDs are invalid" in made[0].content
    assert "CurrentRequestedProcedureEvidenceSequence" not in dcmread(BytesIO(made[0].content))


@pytest.mark.parametrize("keyword", ["SOPInstanceUID", "SeriesInstanceUID", "SOPClassUID"])
@pytest.mark.parametrize("findings", [0, 1])
def test_a_report_that_would_lose_an_analysed_image_is_refused(
    factory: SimpleNamespace, keyword: str, findings: int
) -> None:
    header = factory.mammogram_header(1, "R", "CC")
    put_raw(header, keyword, b"")
    image = factory.mammogram(1, "R", "CC", header=header, findings=(factory.finding(),) * findings)
    report = factory.study_report((image, factory.mammogram(2, "R", "MLO")))
    for variant in KINDS:
        with pytest.raises(ValueError, match="cannot be referred to"):
            make_objects(report, frozenset({variant}))
    with pytest.raises(ValueError, match="cannot be referred to"):
        ImageLibrary(report)


def test_deidentified_without_a_method_is_not_said_as_that_is_invalid(factory: SimpleNamespace) -> None:
    for method in (None, "by hand"):
        header = factory.mammogram_header(1, "R", "CC", PatientIdentityRemoved="YES", DeidentificationMethod=method)
        image = factory.mammogram(1, "R", "CC", header=header)
        (result,) = make_objects(factory.study_report((image,)), plain_variants("cad_sr"))
        assert dcmread(BytesIO(result.content)).get("PatientIdentityRemoved") == (method and "YES")


def test_unknown_side_and_view_are_left_out_not_guessed(factory: SimpleNamespace) -> None:
    known = factory.mammogram(1, "R", "CC", view_modifiers=("1234",))
    image = replace(known, laterality=None, view="SOMETHING")
    made = {m.kind: m.content for m in make_objects(factory.study_report((image,)), KINDS)}
    for kind in ("cad_sr", "measurement_sr"):
        assert b"Image Laterality" not in made[kind]
        assert b"Image View" not in made[kind]
    assert "ImageLaterality" not in dcmread(BytesIO(made["heatmap"]))


def test_the_same_image_twice_is_listed_once(factory: SimpleNamespace) -> None:
    image = factory.mammogram(1, "R", "CC")
    (result,) = make_objects(factory.study_report((image, image)), plain_variants("cad_sr"))
    evidence = dcmread(BytesIO(result.content)).CurrentRequestedProcedureEvidenceSequence
    assert len(evidence[0].ReferencedSeriesSequence[0].ReferencedSOPSequence) == 1
