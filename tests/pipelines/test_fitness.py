from __future__ import annotations

from typing import Any

import pytest
from pydicom import Dataset

from pipelines.fitness import unfit_reason
from pipelines.headers import describe_mammogram, read_header

SC = "1.2.840.10008.5.1.4.1.1"


def code(value: str) -> list[Dataset]:
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = value, "SCT", "any"
    return [item]


def view(value: str, *modifiers: str) -> list[Dataset]:
    items = code(value)
    items[0].ViewModifierCodeSequence = [item for modifier in modifiers for item in code(modifier)]
    return items


CC = "399162004"
CASES: list[tuple[dict[str, Any], str | None]] = [
    ({}, None),
    ({"PartialView": "YES"}, None),
    ({"ImageType": ["DERIVED", "PRIMARY", "TOMOSYNTHESIS", "GENERATED_2D"]}, None),
    ({"ImageType": ["ORIGINAL", "PRIMARY", "POST_CONTRAST", "", "LOW_ENERGY"]}, None),
    ({"Modality": ""}, None),
    ({"EstimatedRadiographicMagnificationFactor": None}, None),
    ({"ViewPosition": "FLATFIELD"}, "flat_field"),
    ({"ViewPosition": "FLAT FIELD", "SOPClassUID": f"{SC}.7"}, "flat_field"),
    ({"QualityControlImage": "YES"}, "quality_control_image"),
    ({"SOPClassUID": f"{SC}.1.2.1"}, "for_processing"),
    ({"PresentationIntentType": "FOR PROCESSING"}, "for_processing"),
    ({"SOPClassUID": f"{SC}.13.1.3"}, "tomosynthesis"),
    ({"SOPClassUID": f"{SC}.13.1.4"}, "tomosynthesis_projections"),
    ({"SOPClassUID": f"{SC}.13.1.5"}, "tomosynthesis_projections"),
    ({"ImageType": ["ORIGINAL", "PRIMARY", "TOMO_PROJ"]}, "tomosynthesis"),
    ({"SOPClassUID": f"{SC}.6"}, "ultrasound"),
    ({"SOPClassUID": f"{SC}.6.1"}, "ultrasound"),
    ({"SOPClassUID": f"{SC}.3.1"}, "ultrasound"),
    ({"SOPClassUID": f"{SC}.7"}, "secondary_capture"),
    ({"SOPClassUID": f"{SC}.7.2"}, "secondary_capture"),
    ({"SOPClassUID": f"{SC}.88.67"}, "dose_report"),
    ({"SOPClassUID": f"{SC}.88.22"}, "structured_report"),
    ({"SOPClassUID": f"{SC}.11.1"}, "presentation_state"),
    ({"SOPClassUID": f"{SC}.1.1"}, "not_a_mammogram"),
    ({"SOPClassUID": f"{SC}.4"}, "not_a_mammogram"),
    ({"Modality": "DX"}, "not_a_mammogram"),
    ({"ViewCodeSequence": view("127457009")}, "specimen"),
    ({"BreastImplantPresent": "YES"}, "breast_implant"),
    ({"ViewCodeSequence": view(CC, "399209000")}, "breast_implant"),
    ({"ImageType": ["ORIGINAL", "PRIMARY", "STEREO_SCOUT"]}, "biopsy_image"),
    ({"ImageType": ["ORIGINAL", "PRIMARY", "POSTMARKER_PLUS"]}, "biopsy_image"),
    ({"ImageType": ["DERIVED", "PRIMARY", "POST_CONTRAST", "SUBTRACTION"]}, "contrast_image"),
    ({"ViewCodeSequence": view(CC, "399163009")}, "spot_view"),
    ({"ViewCodeSequence": view(CC, "R-102D7")}, "spot_view"),
    ({"ViewCodeSequence": view("399260004")}, "view_not_analysed"),
    ({"ViewCodeSequence": view("399352003")}, "view_not_analysed"),
    ({"ViewCodeSequence": view("399192008")}, "view_not_analysed"),
    ({"ViewCodeSequence": None, "ViewPosition": "XCCM"}, "view_not_analysed"),
    ({"ViewCodeSequence": None, "ViewPosition": None}, "unknown_view"),
    ({"ImageLaterality": None}, "unknown_laterality"),
    ({"ImageLaterality": "B"}, "unknown_laterality"),
    ({"NumberOfFrames": 3}, "multi_frame"),
    ({"PhotometricInterpretation": "RGB", "SamplesPerPixel": 3}, "not_greyscale"),
    ({"PhotometricInterpretation": "PALETTE COLOR"}, "not_greyscale"),
    ({"Rows": None}, "no_pixels"),
    ({"Columns": 0}, "no_pixels"),
    ({"Rows": 63}, "image_too_small"),
    ({"ImagerPixelSpacing": None}, "no_pixel_spacing"),
    ({"ImagerPixelSpacing": [0.01, 0.01]}, "image_too_small"),
    ({"ImagerPixelSpacing": [100, 100]}, "implausible_pixel_spacing"),
    ({"SeriesInstanceUID": None}, "not_referable"),
    ({"ImagerPixelSpacing": None, "PixelSpacing": [0.1, 0.1]}, "no_pixel_spacing"),
]


@pytest.mark.parametrize(("attributes", "expected"), CASES, ids=[f"{number}-{c[1]}" for number, c in enumerate(CASES)])
def test_each_rule_gives_its_reason(make_mammogram: Any, attributes: dict[str, Any], expected: str | None) -> None:
    dataset = read_header(make_mammogram("L-CC", **attributes).path)
    reason = unfit_reason(describe_mammogram(dataset), dataset)
    assert (reason.code if reason else None) == expected


def test_the_reason_says_which_view_and_which_kind_of_spot_view(make_mammogram: Any) -> None:
    def text(**attributes: Any) -> str:
        dataset = read_header(make_mammogram("L-CC", **attributes).path)
        return str(unfit_reason(describe_mammogram(dataset), dataset))

    assert text(ViewCodeSequence=view("399260004")) == "ML (medio-lateral) view; only CC and MLO views are analysed"
    both = text(ViewCodeSequence=view(CC, "399055006", "399163009"))
    assert both == "spot view (magnification and spot compression); only full CC and MLO views are analysed"


def test_twelve_bit_jpeg_extended_is_known_from_the_header(make_mammogram: Any) -> None:
    def edit(dataset: Any) -> None:
        dataset.SOPClassUID = f"{SC}.7"

    dataset = read_header(make_mammogram("L-CC", edit=edit).path)
    dataset.file_meta.TransferSyntaxUID = "1.2.840.10008.1.2.4.51"
    reason = unfit_reason(describe_mammogram(dataset), dataset)
    assert reason is not None
    assert reason.code == "undecodable_pixels"
    assert "JPEG Extended" in reason.text


def test_an_empty_pixel_data_element_is_no_pixels(make_mammogram: Any) -> None:
    dataset = read_header(make_mammogram().path)
    dataset.add_new("PixelData", "OW", b"")
    found = unfit_reason(describe_mammogram(dataset), dataset)
    assert found is not None
    assert found.code == "no_pixels"
