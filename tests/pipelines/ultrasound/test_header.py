from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pydicom import Dataset
from pydicom.dataelem import RawDataElement
from pydicom.tag import Tag
from pydicom.uid import ImplicitVRLittleEndian

from pipelines.headers import read_header
from pipelines.ultrasound.fitness import unfit_reason
from pipelines.ultrasound.header import describe_ultrasound
from pipelines.ultrasound.regions import read_regions, within
from tests.factories import small_ultrasound
from tests.pipelines.ultrasound.screens import described, region, screen, write


def header(**elements: Any) -> Any:
    dataset = small_ultrasound(rows=96, columns=128, **{"SequenceOfUltrasoundRegions": None, **elements})
    return describe_ultrasound(dataset)


def coded(value: str, **sequences: list[Dataset]) -> list[Dataset]:
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = value, "SCT", "any"
    for keyword, items in sequences.items():
        setattr(item, keyword, items)
    return [item]


def frame_laterality(*sides: str) -> list[Dataset]:
    groups = []
    for side in sides:
        anatomy, group = Dataset(), Dataset()
        anatomy.FrameLaterality = side
        group.FrameAnatomySequence = [anatomy]
        groups.append(group)
    return groups


@pytest.mark.parametrize(
    ("elements", "expected"),
    [
        ({"Laterality": "L"}, "L"),
        ({"Laterality": None}, None),
        ({"Laterality": "B"}, None),
        ({"Laterality": "L", "ImageLaterality": "R"}, "R"),
        ({"Laterality": "L", "ImageLaterality": "U"}, "L"),
        ({"Laterality": None, "SharedFunctionalGroupsSequence": frame_laterality("R")}, "R"),
        ({"Laterality": "L", "PerFrameFunctionalGroupsSequence": frame_laterality("L", "R")}, None),
        ({"Laterality": None, "AnatomicRegionSequence": coded("80248007")}, "L"),
        ({"Laterality": None, "AnatomicRegionSequence": coded("T-04020")}, "R"),
        ({"Laterality": None, "AnatomicRegionSequence": coded("63762007")}, None),
        (
            {
                "Laterality": None,
                "AnatomicRegionSequence": coded("76752008", AnatomicRegionModifierSequence=coded("24028007")),
            },
            "R",
        ),
        (
            {
                "Laterality": "L",
                "AnatomicRegionSequence": coded("76752008", AnatomicRegionModifierSequence=coded("51440002")),
            },
            None,
        ),
        ({"Laterality": None, "PrimaryAnatomicStructureSequence": coded("73056007"), "ImageLaterality": "L"}, None),
        ({"Laterality": None, "PrimaryAnatomicStructureModifierSequence": coded("G-A101")}, "L"),
    ],
    ids=str,
)
def test_the_side_is_what_all_statements_agree_on(elements: dict[str, Any], expected: str | None) -> None:
    assert header(**elements).laterality == expected


@pytest.mark.parametrize(
    ("elements", "expected"),
    [
        ({"BodyPartExamined": "BREAST"}, "breast"),
        ({"BodyPartExamined": None, "ImageType": ["ORIGINAL", "PRIMARY"]}, None),
        ({"BodyPartExamined": None, "ImageType": ["ORIGINAL", "PRIMARY", "SMALL PARTS"]}, None),
        ({"BodyPartExamined": None, "ImageType": ["ORIGINAL", "PRIMARY", "BREAST"]}, "breast"),
        ({"BodyPartExamined": "CHEST", "ImageType": ["ORIGINAL", "PRIMARY"]}, None),
        ({"BodyPartExamined": "CHEST WALL", "ImageType": ["ORIGINAL", "PRIMARY"]}, None),
        ({"BodyPartExamined": "LIVER", "ImageType": ["ORIGINAL", "PRIMARY"]}, "other"),
        ({"BodyPartExamined": "LIVER", "ImageType": ["ORIGINAL", "PRIMARY", "BREAST"]}, "breast"),
        ({"BodyPartExamined": None, "ImageType": ["ORIGINAL", "PRIMARY", "THYROID"]}, "other"),
        ({"BodyPartExamined": "LIVER", "AnatomicRegionSequence": coded("T-D8104")}, "breast"),
        (
            {
                "BodyPartExamined": None,
                "ImageType": ["ORIGINAL", "PRIMARY"],
                "AnatomicRegionSequence": coded("10200004"),
            },
            "other",
        ),
    ],
    ids=str,
)
def test_one_statement_for_the_breast_outweighs_the_others(elements: dict[str, Any], expected: str | None) -> None:
    assert header(**elements).organ == expected


def test_modes_come_from_the_bitmap_and_from_words_in_image_type() -> None:
    assert header(ImageType=["ORIGINAL", "PRIMARY", "BREAST", "0111"]).modes == {"2d", "colour_flow"}
    assert header(ImageType=["ORIGINAL", "PRIMARY", "BREAST", "000A"]).modes == {"m_mode", "spectral"}
    assert header(ImageType=["ORIGINAL", "PRIMARY", "BREAST", "GEMS"]).modes == frozenset()
    assert header(ImageType=["ORIGINAL", "PRIMARY", "BREAST", "STRAIN_ELASTO"]).modes == {"elastography"}


def test_transducer_and_plane_are_read_where_given() -> None:
    found = header(TransducerData=["L12-5", "x"], ViewCodeSequence=coded("62824007"))
    assert (found.transducer, found.plane) == ("L12-5", "transverse")
    assert (header(TransducerType="LINEAR").transducer, header().plane) == ("LINEAR", None)


def test_no_text_of_a_header_is_decoded(tmp_path: Path) -> None:
    path = write(
        tmp_path / "us.dcm",
        screen(),
        regions=[region((0, 0, 640, 480))],
        TransducerData="L12-5",
        SpecificCharacterSet="ISO_IR 100",
        AnatomicRegionSequence=coded("76752008", AnatomicRegionModifierSequence=coded("7771000")),
    )
    dataset = read_header(path)
    assert describe_ultrasound(dataset).laterality == "L"
    for keyword in ("PatientName", "StudyDescription", "TransducerData", "ImageType", "Laterality", "Manufacturer"):
        assert isinstance(dataset.get_item(keyword), RawDataElement), keyword
    code = dataset.AnatomicRegionSequence[0]
    assert isinstance(code.get_item("CodeValue"), RawDataElement)


@pytest.mark.parametrize(
    ("data_type", "spatial_format", "kind"),
    [
        (1, 1, "tissue"),
        (1, 0, "tissue"),
        (1, 2, "m_mode"),
        (2, 1, "colour_flow"),
        (2, 2, "m_mode"),
        (3, 3, "spectral"),
        (4, 1, "spectral"),
        (0, 3, "spectral"),
        (10, 4, "trace"),
        (7, 1, "trace"),
        (13, 5, "graphics"),
        (14, 1, "graphics"),
        (0, 0, "other"),
        (99, 99, "other"),
    ],
)
def test_format_and_data_type_say_what_a_region_holds(data_type: int, spatial_format: int, kind: str) -> None:
    found = header(
        SequenceOfUltrasoundRegions=[region((0, 0, 64, 64), data_type=data_type, spatial_format=spatial_format)]
    )
    assert found.regions[0].kind == kind


@pytest.mark.parametrize(
    ("edit", "expected"),
    [
        ({}, (0.2, 0.1)),
        ({"PhysicalDeltaY": -0.02}, (0.2, 0.1)),  # a picture shown upside down
        ({"PhysicalUnitsXDirection": 4}, None),  # seconds
        ({"PhysicalUnitsYDirection": 0}, None),
        ({"PhysicalDeltaX": 0.0}, None),
        ({"PhysicalDeltaX": float("nan")}, None),
        ({"PhysicalDeltaX": float("inf")}, None),
        ({"PhysicalDeltaX": 100.0}, None),
        ({"PhysicalDeltaX": 1e-9}, None),
        ({"PhysicalDeltaX": None}, None),
        ({"PhysicalUnitsXDirection": None}, None),
    ],
    ids=str,
)
def test_millimetres_come_from_sound_physical_deltas_in_centimetres(
    edit: dict[str, Any], expected: tuple[float, float] | None
) -> None:
    item = region((0, 0, 64, 64), delta_cm=(0.01, 0.02))
    for keyword, value in edit.items():
        setattr(item, keyword, value)
    (found,) = header(SequenceOfUltrasoundRegions=[item], PixelSpacing=[0.5, 0.5]).regions
    assert found.spacing_mm == (expected if expected is None else pytest.approx(expected))


def test_pixel_spacing_alone_gives_no_millimetres() -> None:
    assert header(PixelSpacing=[0.1, 0.1], ImagerPixelSpacing=[0.1, 0.1]).regions == ()


@pytest.mark.parametrize(
    "edit",
    [
        {"RegionLocationMinX0": None},
        {"RegionLocationMinX0": 2**32 - 1},
        {"RegionLocationMinX0": 63},
        {"RegionLocationMaxY1": 0},
        {"RegionLocationMaxX1": 2**31},
    ],
    ids=str,
)
def test_a_region_without_a_sound_place_has_none(edit: dict[str, Any]) -> None:
    item = region((0, 0, 64, 64))
    for keyword, value in edit.items():
        setattr(item, keyword, value)
    assert header(SequenceOfUltrasoundRegions=[item]).regions[0].box_px is None


def test_a_region_may_reach_over_the_edge_by_rounding_only() -> None:
    assert within((0, 120, 1101, 912), 910, 1260) == (0, 120, 1101, 910)
    assert within((36, 37, 627, 418), 432, 577) is None
    assert within((600, 0, 601, 100), 432, 577) is None


def test_regions_that_are_no_sequence_or_too_many_are_survived() -> None:
    dataset = small_ultrasound(rows=96, columns=128)
    tag = Tag("SequenceOfUltrasoundRegions")
    dataset[tag] = RawDataElement(tag, "SQ", 20, b"\xff" * 20, 0, False, True)
    assert read_regions(dataset) == ()
    many = header(SequenceOfUltrasoundRegions=[region((0, 0, 64, 64))] * 1000)
    assert len(many.regions) == 64


CASES: list[tuple[dict[str, Any], str | None]] = [
    ({}, None),
    ({"Modality": ""}, None),
    ({"SOPClassUID": "1.2.840.10008.5.1.4.1.1.3.1"}, None),
    ({"SOPClassUID": "1.2.840.10008.5.1.4.1.1.6"}, None),
    ({"SOPClassUID": "1.2.840.10008.5.1.4.1.1.6.2"}, "ultrasound_volume"),
    ({"SOPClassUID": "1.2.840.10008.5.1.4.1.1.7"}, "not_ultrasound"),
    ({"Modality": "MG"}, "not_ultrasound"),
    ({"Rows": None}, "no_pixels"),
    ({"NumberOfFrames": "0"}, "frame_count"),
    ({"PhotometricInterpretation": "CMYK"}, "pixel_kind"),
    ({"PhotometricInterpretation": "MONOCHROME2"}, "pixel_kind"),
    ({"BitsAllocated": 32, "BitsStored": 32}, "pixel_kind"),
    ({"BodyPartExamined": "LIVER", "ImageType": ["ORIGINAL", "PRIMARY"]}, "not_breast"),
    ({"ImageType": ["ORIGINAL", "PRIMARY", "BREAST", "0040"]}, "rendering_3d"),
    ({"ImageType": ["ORIGINAL", "PRIMARY", "BREAST", "ELASTOGRAPHY"]}, "elastography"),
    ({"ImageType": ["ORIGINAL", "PRIMARY", "BREAST", "0100"]}, "colour_flow"),
    ({"ImageType": ["ORIGINAL", "PRIMARY", "BREAST", "0008"]}, "spectral_doppler"),
    ({"ImageType": ["ORIGINAL", "PRIMARY", "BREAST", "0002"]}, "m_mode"),
    (
        {
            "ImageType": ["ORIGINAL", "PRIMARY", "BREAST", "0009"],
            "SequenceOfUltrasoundRegions": [region((0, 0, 64, 64))],
        },
        None,
    ),
    ({"Rows": 63}, "picture_too_small"),
    ({"SeriesInstanceUID": None}, "not_referable"),
]


@pytest.mark.parametrize(("elements", "expected"), CASES, ids=[f"{n}-{case[1]}" for n, case in enumerate(CASES)])
def test_each_rule_gives_its_reason(elements: dict[str, Any], expected: str | None) -> None:
    reason = unfit_reason(header(**elements))
    assert (reason.code if reason else None) == expected


@pytest.mark.parametrize("syntax", ["1.2.840.10008.1.2.4.100", "1.2.840.10008.1.2.4.102", "1.2.840.10008.1.2.4.107"])
def test_video_is_known_from_the_header(syntax: str) -> None:
    dataset = small_ultrasound(rows=96, columns=128)
    dataset.file_meta.TransferSyntaxUID = syntax
    reason = unfit_reason(describe_ultrasound(dataset))
    assert reason is not None
    assert (reason.code, "video" in reason.text) == ("undecodable_pixels", True)


def test_a_header_in_implicit_vr_is_read_the_same(tmp_path: Path) -> None:
    regions = [region((10, 20, 200, 300), delta_cm=(0.02, 0.01))]
    explicit = write(tmp_path / "a.dcm", screen(), regions=regions)
    dataset = read_header(explicit)
    dataset.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian
    dataset.save_as(tmp_path / "b.dcm", implicit_vr=True)
    found = described(tmp_path / "b.dcm")
    assert found.regions == described(explicit).regions
    assert found.regions[0].box_px == (10, 20, 200, 300)
