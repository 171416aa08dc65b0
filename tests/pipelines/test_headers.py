from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom import Dataset
from pydicom.dataelem import RawDataElement
from pydicom.tag import Tag

from pipelines.errors import UnreadableInstance
from pipelines.headers import describe_mammogram, read_header, unfit_reason, view_name
from pipelines.views import VIEW_MODIFIERS, VIEWS


def coded(value: str, scheme: str = "SCT", *modifiers: Dataset) -> Dataset:
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = value, scheme, "any"
    if modifiers:
        item.ViewModifierCodeSequence = list(modifiers)
    return item


def with_raw(keyword: str, vr: str, value: bytes) -> Dataset:
    """A data set with an element as it comes from a file, not yet converted."""
    tag = Tag(keyword)
    dataset = Dataset()
    dataset._dict[tag] = RawDataElement(tag, vr, len(value), value, 0, False, True)
    return dataset


@pytest.mark.parametrize(("name", "code"), [(view.name, code) for view in VIEWS for code in view.codes])
@pytest.mark.parametrize("scheme", ["SCT", "SRT", "SNM3", "99SDM"])
def test_every_code_of_a_view_is_known_under_any_designator(name: str, code: str, scheme: str) -> None:
    dataset = Dataset()
    dataset.ViewCodeSequence = [coded(code, scheme)]
    dataset.ViewPosition = "XYZ"
    assert describe_mammogram(dataset).view == name


def test_the_view_code_goes_before_the_view_position() -> None:
    dataset = Dataset()
    dataset.ViewPosition = "CC"
    assert describe_mammogram(dataset).view == "CC"
    dataset.ViewCodeSequence = [coded("R-10226", "SNM3")]
    assert describe_mammogram(dataset).view == "MLO"
    dataset.ViewCodeSequence = [coded("nonsense")]
    assert describe_mammogram(dataset).view == "CC"


@pytest.mark.parametrize("modifier", VIEW_MODIFIERS, ids=lambda modifier: modifier.meaning)
def test_a_modifier_is_found_in_the_view_or_beside_it_and_named_by_its_snomed_code(modifier: Any) -> None:
    for code in (modifier.sct_code, modifier.srt_code):
        inside, beside = Dataset(), Dataset()
        inside.ViewCodeSequence = [coded("399162004", "SCT", coded(code))]
        beside.ViewModifierCodeSequence = [coded(code)]
        assert describe_mammogram(inside).view_modifiers == (modifier.sct_code,)
        assert describe_mammogram(beside).view_modifiers == (modifier.sct_code,)


def frame_group(laterality: str) -> Dataset:
    anatomy, group = Dataset(), Dataset()
    anatomy.FrameLaterality = laterality
    group.FrameAnatomySequence = [anatomy]
    return group


def test_laterality_comes_from_the_image_else_the_series_else_the_frames() -> None:
    dataset = Dataset()
    assert describe_mammogram(dataset).laterality is None
    dataset.PerFrameFunctionalGroupsSequence = [frame_group("R"), frame_group("R")]
    assert describe_mammogram(dataset).laterality == "R"
    dataset.SharedFunctionalGroupsSequence = [frame_group("L")]
    assert describe_mammogram(dataset).laterality == "L"
    dataset.Laterality = "R"
    assert describe_mammogram(dataset).laterality == "R"
    dataset.ImageLaterality = "L"
    assert describe_mammogram(dataset).laterality == "L"
    dataset.ImageLaterality = "B"
    assert describe_mammogram(dataset).laterality is None


def test_frames_that_disagree_have_no_laterality() -> None:
    dataset = Dataset()
    dataset.PerFrameFunctionalGroupsSequence = [frame_group("R"), frame_group("L")]
    assert describe_mammogram(dataset).laterality is None


def test_the_pixel_spacing_is_that_in_the_breast() -> None:
    dataset = Dataset()
    dataset.PixelSpacing = [0.2, 0.2]
    assert describe_mammogram(dataset).pixel_spacing_mm is None
    dataset.ImagerPixelSpacing = [0.09, 0.12]
    assert describe_mammogram(dataset).pixel_spacing_mm == (0.09, 0.12)
    dataset.EstimatedRadiographicMagnificationFactor = 1.5
    assert describe_mammogram(dataset).pixel_spacing_mm == pytest.approx((0.06, 0.08))


@pytest.mark.parametrize(
    ("keyword", "vr", "value"),
    [
        ("ImagerPixelSpacing", "DS", b"abc\\0.1 "),
        ("ImagerPixelSpacing", "DS", b"0.1 "),
        ("ImagerPixelSpacing", "DS", b"0.1\\0.1\\0.1 "),
        ("ImagerPixelSpacing", "DS", b"-0.1\\0.1"),
        ("ImagerPixelSpacing", "DS", b"0\\0 "),
        ("ImagerPixelSpacing", "DS", b"NaN\\NaN "),
        ("ImagerPixelSpacing", "DS", b"1e999\\1 "),
        ("EstimatedRadiographicMagnificationFactor", "DS", b"one "),
        ("EstimatedRadiographicMagnificationFactor", "DS", b"1\\2 "),
        ("EstimatedRadiographicMagnificationFactor", "DS", b"0 "),
        ("NumberOfFrames", "IS", b"many"),
        ("NumberOfFrames", "IS", b"1.5 "),
        ("Rows", "US", b"\x01"),
        ("Rows", "US", b"\x01\x00\x02\x00"),
        ("Rows", "US", b""),
        ("ViewCodeSequence", "SQ", b"\xfe\xff\x00\xe0\x10\x00"),
        ("ViewCodeSequence", "UN", b"\x01\x02\x03"),
        ("ImageType", "CS", b"\\\\\\"),
        ("ImageLaterality", "CS", b"\xff\xfe"),
        ("Modality", "XX", b"MG"),
    ],
)
def test_a_malformed_value_is_as_good_as_absent(keyword: str, vr: str, value: bytes) -> None:
    dataset = with_raw(keyword, vr, value)
    header = describe_mammogram(dataset)
    assert header.magnification == 1.0
    assert header.pixel_spacing_mm is None
    assert header.frames == 1
    assert header.view is None
    assert unfit_reason(header, dataset) is not None


ELEMENTS = ["Rows", "ImagerPixelSpacing", "ViewCodeSequence", "ImageType", "SharedFunctionalGroupsSequence"]


@given(st.sampled_from(ELEMENTS), st.sampled_from(["DS", "US", "SQ", "CS", "UN", "OB", "FD", "AT"]), st.binary())
def test_no_bytes_whatever_make_a_header_raise(keyword: str, vr: str, value: bytes) -> None:
    dataset = with_raw(keyword, vr, value)
    assert unfit_reason(describe_mammogram(dataset), dataset) is not None


def test_a_view_is_named_only_when_breast_and_view_are_known() -> None:
    dataset = Dataset()
    dataset.ViewPosition = "mlo "
    assert view_name(describe_mammogram(dataset)) is None
    dataset.ImageLaterality = "R"
    assert view_name(describe_mammogram(dataset)) == "R-MLO"


@pytest.mark.parametrize(
    ("image_type", "synthesised", "tomosynthesis"),
    [
        (["ORIGINAL", "PRIMARY"], False, False),
        (["DERIVED", "PRIMARY", "TOMOSYNTHESIS", "GENERATED_2D"], True, False),
        (["DERIVED", "PRIMARY", "GENERATED_2D"], True, False),
        (["ORIGINAL", "PRIMARY", "TOMO_PROJ"], False, True),
        (["DERIVED", "PRIMARY", "TOMOSYNTHESIS", "NONE"], False, True),
    ],
)
def test_a_synthesised_image_is_told_from_tomosynthesis(
    image_type: list[str], synthesised: bool, tomosynthesis: bool
) -> None:
    dataset = Dataset()
    dataset.ImageType = image_type
    header = describe_mammogram(dataset)
    assert (header.synthesised, header.tomosynthesis) == (synthesised, tomosynthesis)


@pytest.mark.parametrize(
    "content", [b"", b"not DICOM at all", b"\x89PNG\r\n" + bytes(300), bytes(132), b"\0" * 128 + b"DICM"]
)
def test_what_is_not_dicom_is_unreadable(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "file"
    path.write_bytes(content)
    with pytest.raises(UnreadableInstance):
        read_header(path)


def test_an_absent_file_is_unreadable(tmp_path: Path) -> None:
    with pytest.raises(UnreadableInstance):
        read_header(tmp_path / "nothing")


def test_the_header_is_read_without_pixels(make_mammogram: Any) -> None:
    dataset = read_header(make_mammogram().path)
    assert "PixelData" not in dataset
    assert unfit_reason(describe_mammogram(dataset), dataset) is None


def test_a_file_cut_off_anywhere_is_read_or_unreadable(make_mammogram: Any, tools: SimpleNamespace) -> None:
    whole = make_mammogram().path
    content = whole.read_bytes()
    cut = whole.with_suffix(".cut")
    for length in [*range(0, 1800, 37), 3000]:
        cut.write_bytes(content[:length])
        try:
            describe_mammogram(read_header(cut))
        except UnreadableInstance:
            continue


def test_looking_up_headers_and_pipelines_does_not_import_torch() -> None:
    code = "import sys, pipelines.headers, pipelines.registry; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
