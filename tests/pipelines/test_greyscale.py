from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom import Dataset
from pydicom.pixels.processing import apply_modality_lut, apply_voi_lut, apply_windowing

from pipelines.greyscale import greyscale_table

VALUES = np.arange(4096, dtype=np.int64)
RANGE = np.array([0, 4095], dtype=np.int64)


def image(**attributes: Any) -> Dataset:
    dataset = Dataset()
    dataset.PhotometricInterpretation = "MONOCHROME2"
    dataset.BitsStored, dataset.PixelRepresentation = 12, 0
    for keyword, value in attributes.items():
        setattr(dataset, keyword, value)
    return dataset


def table_of(dataset: Dataset, values: np.ndarray = VALUES, present: np.ndarray = RANGE) -> np.ndarray:
    return greyscale_table(dataset, values, present)


def lut(descriptor: list[int], data: Any, vr: str = "US") -> Dataset:
    item = Dataset()
    item.add_new("LUTDescriptor", "US" if descriptor[1] >= 0 else "SS", descriptor)
    item.add_new("LUTData", vr, data)
    return item


@given(
    function=st.sampled_from(["LINEAR", "LINEAR_EXACT", "SIGMOID"]),
    centre=st.floats(-500, 5000),
    width=st.floats(1.5, 6000),
    slope=st.floats(0.1, 3),
    intercept=st.floats(-1000, 1000),
)
def test_windows_agree_with_pydicoms(
    function: str, centre: float, width: float, slope: float, intercept: float
) -> None:
    dataset = image(VOILUTFunction=function)
    for keyword, value in {
        "WindowCenter": centre,
        "WindowWidth": width,
        "RescaleSlope": slope,
        "RescaleIntercept": intercept,
    }.items():
        setattr(dataset, keyword, round(value, 6))
    expected = apply_windowing(apply_modality_lut(VALUES, dataset), dataset)
    low = dataset.RescaleIntercept
    high = 4095 * dataset.RescaleSlope + dataset.RescaleIntercept
    assert np.allclose(table_of(dataset), (expected - low) / (high - low), atol=1e-3)


def test_sigmoid_is_half_at_its_centre_and_never_overflows() -> None:
    shown = table_of(image(WindowCenter=2262, WindowWidth=1, VOILUTFunction="SIGMOID"))
    assert shown[2262] == pytest.approx(0.5)
    assert shown[0] == pytest.approx(0)
    assert shown[4095] == pytest.approx(1)


def test_linear_is_half_a_value_off_linear_exact() -> None:
    """PS3.3 C.11.2.1.2.1: centre 2048, width 4096 is the identity on 12 bits."""
    assert np.allclose(table_of(image(WindowCenter=2048, WindowWidth=4096)), VALUES / 4095)
    exact = table_of(image(WindowCenter=2048, WindowWidth=4096, VOILUTFunction="LINEAR_EXACT"))
    assert np.allclose(exact, VALUES / 4096)


def test_the_first_of_several_windows_is_used() -> None:
    several = image(WindowCenter=[1000, 3000], WindowWidth=[100, 100])
    assert np.array_equal(table_of(several), table_of(image(WindowCenter=1000, WindowWidth=100)))


def test_a_voi_lut_goes_before_a_window_and_pydicom_agrees() -> None:
    data = [min(4095, 3 * value) for value in range(1000)]
    dataset = image(WindowCenter=100, WindowWidth=10, VOILUTSequence=[lut([1000, 500, 12], data)])
    item = dataset.VOILUTSequence[0]
    assert np.allclose(table_of(dataset) * 4095, np.array(data)[np.clip(VALUES - 500, 0, 999)])
    item.LUTDescriptor = [1000, 500, 16]  # the only depth but 8 that pydicom reads
    assert np.allclose(table_of(dataset) * 65535, apply_voi_lut(VALUES, dataset))


@pytest.mark.parametrize(
    ("descriptor", "data", "vr"),
    [
        ([256, 0, 8], bytes(range(256)), "OW"),
        ([256, 0, 8], np.arange(256, dtype="<u2").tobytes(), "OW"),
        ([256, 0, 8], list(range(256)), "US"),
        ([256, -10, 8], list(range(256)), "US"),
    ],
)
def test_lut_data_is_read_in_every_encoding(descriptor: list[int], data: Any, vr: str) -> None:
    shown = table_of(image(VOILUTSequence=[lut(descriptor, data, vr)]))
    assert np.allclose(shown * 255, np.clip(VALUES - descriptor[1], 0, 255))


def test_a_descriptor_of_zero_entries_means_65536() -> None:
    data = (np.arange(65536) // 16).tolist()
    shown = greyscale_table(image(VOILUTSequence=[lut([0, 0, 12], data)]), np.arange(65536), RANGE)
    assert np.allclose(shown, np.arange(65536) // 16 / 4095)


def test_a_modality_lut_comes_before_the_window() -> None:
    inverse = lut([4096, 0, 12], [4095 - value for value in range(4096)])
    dataset = image(ModalityLUTSequence=[inverse], WindowCenter=2048, WindowWidth=4096)
    assert np.allclose(table_of(dataset), 1 - VALUES / 4095)


def test_monochrome1_is_inverted_last() -> None:
    dataset = image(WindowCenter=1000, WindowWidth=500)
    upright = table_of(dataset)
    dataset.PhotometricInterpretation = "MONOCHROME1"
    assert np.allclose(table_of(dataset), 1 - upright)


def test_padding_is_air_in_either_sense() -> None:
    for kind in ("MONOCHROME1", "MONOCHROME2"):
        dataset = image(PhotometricInterpretation=kind, PixelPaddingValue=4000, PixelPaddingRangeLimit=4095)
        assert not table_of(dataset)[4000:].any()
        assert table_of(dataset)[:4000].any()


def test_without_a_window_the_values_in_the_image_span_black_to_white() -> None:
    shown = table_of(image(), present=np.array([1000, 2000]))
    assert shown[1000] == 0
    assert shown[1500] == pytest.approx(0.5)
    assert shown[2000] == 1
    assert shown[3000] == 1


def test_signed_values_are_windowed_as_signed() -> None:
    values = np.arange(-2048, 2048)
    shown = greyscale_table(image(WindowCenter=0, WindowWidth=4096), values, np.array([-2048, 2047]))
    assert np.all(np.diff(shown) > 0)


@pytest.mark.parametrize(
    "attributes",
    [
        {"WindowCenter": None, "WindowWidth": None},
        {"WindowCenter": 100, "WindowWidth": 0},
        {"WindowCenter": 100, "WindowWidth": -5, "VOILUTFunction": "SIGMOID"},
        {"WindowCenter": [], "WindowWidth": []},
        {"WindowCenter": 100},
        {"VOILUTSequence": []},
        {"VOILUTSequence": [Dataset()]},
        {"VOILUTSequence": [lut([100, 0, 99], [1, 2, 3])]},
        {"VOILUTSequence": [lut([3, 0, 12], b"", "OW")]},
        {"ModalityLUTSequence": [lut([2, 0], [1, 2])]},
        {"RescaleSlope": 0, "RescaleIntercept": None},
    ],
)
def test_senseless_attributes_count_as_absent(attributes: dict[str, Any]) -> None:
    assert np.allclose(table_of(image(**attributes)), VALUES / 4095)
