"""A cluster planted into stored pixels is where every result object says it is, however the pixels are stored.

The second half breaks the way there and back, one step at a time, and sees that the first half would notice.
"""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import numpy as np
import pytest
from pydicom import Dataset, dcmread
from pydicom.uid import JPEGLosslessSV1

from models.contract import BoxPx
from pipelines import headers, pixels
from pipelines.coordinates import FrameTransform
from sr_templates.contract import ReportedImage, ResultVariant
from tests.pipelines import read_back
from tests.pipelines.contrast_detector import BOX_PX
from tests.pipelines.planted import Variant, write_planted_study
from tests.pipelines.round_trip import faults, results

BREAST_WITH_AIR_ON_BOTH_SIDES: Final = Variant(imager_spacing_mm=(0.07, 0.07), air_px=(60, 45))
TWO_VIEWS: Final = ("L-CC", "R-MLO")
ON_THE_SPOT: Final = (
    "CAD centre",
    "CAD outline",
    "measured region",
    "presented outline",
    "drawn box",
    "box on the thumbnail",
)

FULLY_CROSSED: Final = [
    Variant(turned=turned, monochrome1=monochrome1, magnification=magnification)
    for turned in ("no", "mirrored")
    for monochrome1 in (False, True)
    for magnification in (1.0, 1.8)
]
OTHERS: Final = [
    Variant(turned="rotated", imager_spacing_mm=(0.07, 0.07), labelled=True),
    Variant(imager_spacing_mm=(0.05, 0.05), air_px=(90, 35)),
    Variant(turned="mirrored", imager_spacing_mm=(0.07, 0.1), monochrome1=True),
    Variant(imager_spacing_mm=(0.1, 0.07), magnification=1.2, air_px=(0, 70)),
    Variant(turned="mirrored", air_px=(60, 0), labelled=True, pixels="16 bit", imager_spacing_mm=(0.07, 0.07)),
    Variant(air_px=(40, 80), air_noise=0.01, labelled=True, pixels="16 bit", monochrome1=True),
    Variant(turned="rotated", pixels="signed", monochrome1=True, magnification=1.8),
    Variant(turned="mirrored", pixels="signed", air_px=(55, 20)),
    Variant(jpeg=True, imager_spacing_mm=(0.07, 0.07), air_px=(25, 60)),
]


@pytest.mark.parametrize("variant", [*FULLY_CROSSED, *OTHERS], ids=str)
def test_a_planted_cluster_is_where_every_result_says_it_is(tools: Any, tmp_path: Path, variant: Variant) -> None:
    seed = 100 + [*FULLY_CROSSED, *OTHERS].index(variant)
    assert faults(write_planted_study(tmp_path, seed, variant), tools) == set()


def test_the_detector_knows_the_place_from_the_pixels_alone(tools: Any, tmp_path: Path) -> None:
    study = write_planted_study(tmp_path, 7, Variant(planted=False))
    assert {f"{what}: {planted.name}" for what in ON_THE_SPOT for planted in study} <= faults(study, tools)


@pytest.mark.parametrize("max_side_px", [640, 2048])
def test_results_in_other_forms_say_the_same(tools: Any, tmp_path: Path, max_side_px: int) -> None:
    study = write_planted_study(tmp_path, 8, BREAST_WITH_AIR_ON_BOTH_SIDES)
    heatmap, summary = (ResultVariant(kind=kind, max_side_px=max_side_px) for kind in ("heatmap", "summary"))
    wanted = frozenset({heatmap, summary, ResultVariant(kind="measurement_sr", sr_class="comprehensive")})
    assert faults(study, tools, variants=wanted) == set()


def test_the_planted_files_are_stored_as_their_variant_says(tmp_path: Path) -> None:
    plain, other, compressed = (
        dcmread(write_planted_study(tmp_path, 1, variant, views=("R-MLO",))[0].path)
        for variant in (
            Variant(),
            Variant(turned="rotated", monochrome1=True, magnification=1.8, pixels="signed", planted=False),
            Variant(jpeg=True),
        )
    )
    assert (plain.PatientOrientation, other.PatientOrientation) == (["P", "FL"], ["A", "HR"])
    assert (plain.PhotometricInterpretation, other.PhotometricInterpretation) == ("MONOCHROME2", "MONOCHROME1")
    assert (plain.ImagerPixelSpacing, other.ImagerPixelSpacing) == ([0.1, 0.1], [0.1, 0.1])
    assert (plain.get("EstimatedRadiographicMagnificationFactor"), other.PixelRepresentation) == (None, 1)
    assert (plain.pixel_array[300, 479] > 0, plain.pixel_array[300, 0]) == (True, 0)
    assert (other.pixel_array[300, 0] < 2047, other.pixel_array[300, 479]) == (True, 2047)
    assert compressed.file_meta.TransferSyntaxUID == JPEGLosslessSV1
    assert np.array_equal(compressed.pixel_array, plain.pixel_array)


def test_a_magnified_cluster_is_as_large_as_it_is_in_the_breast(tools: Any, tmp_path: Path) -> None:
    """The same box, at the same Imager Pixel Spacing, covers 1.8 times as many pixels."""
    widths = []
    for magnification in (1.0, 1.8):
        directory = tmp_path / str(magnification)
        directory.mkdir()
        study = write_planted_study(directory, 5, Variant(magnification=magnification), views=("L-CC",))
        (cad,) = (made for made in results(study, tools)[0] if made.kind == "cad_sr")
        (finding,) = read_back.cad_findings(cad.content)
        x0, _, x1, _ = read_back.box_around(finding.outline)
        widths.append(x1 - x0)
    assert widths == pytest.approx([BOX_PX[0], BOX_PX[0] * 1.8], rel=0.015)


# ---------------------------------------------------------------- what the tests above would notice


BoxMap = Callable[[FrameTransform, BoxPx], BoxPx]
true_box_to_stored: Final = FrameTransform.box_to_stored
true_image_to_stored: Final = FrameTransform.image_to_stored


def _exchanges_axes(transform: FrameTransform, box: BoxPx) -> BoxPx:
    x0, y0, x1, y1 = true_box_to_stored(transform, box)
    return y0, x0, y1, x1


def _forgets_the_crop(transform: FrameTransform, box: BoxPx) -> BoxPx:
    return _moved(true_box_to_stored(transform, box), -float(transform.crop_px[0]), 0.0)


def _forgets_the_scale(transform: FrameTransform, box: BoxPx) -> BoxPx:
    return _moved(box, float(transform.crop_px[0]), float(transform.crop_px[1]))


def _exchanges_the_scales(transform: FrameTransform, box: BoxPx) -> BoxPx:
    scale_row, scale_column = transform.scale
    x0, y0, x1, y1 = box
    left = transform.crop_px[0]
    return left + x0 / scale_row, y0 / scale_column, left + x1 / scale_row, y1 / scale_column


def _mirrors_the_image(transform: FrameTransform, box: BoxPx) -> BoxPx:
    x0, y0, x1, y1 = true_box_to_stored(transform, box)
    return transform.stored_shape[1] - x1, y0, transform.stored_shape[1] - x0, y1


def _mirrors_the_crop(transform: FrameTransform, box: BoxPx) -> BoxPx:
    return true_box_to_stored(replace(transform, flip=True), box)


def _turns_upside_down(transform: FrameTransform, box: BoxPx) -> BoxPx:
    x0, y0, x1, y1 = true_box_to_stored(transform, box)
    return x0, transform.stored_shape[0] - y1, x1, transform.stored_shape[0] - y0


def _is_five_pixels_off(transform: FrameTransform, box: BoxPx) -> BoxPx:
    return _moved(true_box_to_stored(transform, box), 5.0, 0.0)


def _takes_corners_for_centres(transform: FrameTransform, box: BoxPx) -> BoxPx:
    """Half a pixel of the model to the right and down."""
    return true_box_to_stored(transform, _moved(box, 0.5, 0.5))


def _moved(box: BoxPx, right: float, down: float) -> BoxPx:
    return box[0] + right, box[1] + down, box[2] + right, box[3] + down


@pytest.mark.parametrize(
    ("mistake", "variant"),
    [
        (_exchanges_axes, Variant()),
        (_forgets_the_crop, BREAST_WITH_AIR_ON_BOTH_SIDES),
        (_forgets_the_scale, BREAST_WITH_AIR_ON_BOTH_SIDES),
        (_exchanges_the_scales, Variant(imager_spacing_mm=(0.07, 0.1))),
        (_mirrors_the_image, Variant()),
        (_mirrors_the_crop, Variant()),
        (_turns_upside_down, Variant()),
        (_is_five_pixels_off, Variant()),
    ],
)
def test_boxes_that_come_back_wrong_are_noticed_in_every_view(
    tools: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mistake: BoxMap, variant: Variant
) -> None:
    study = write_planted_study(tmp_path, 11, variant, TWO_VIEWS)
    monkeypatch.setattr(FrameTransform, "box_to_stored", mistake)
    assert {f"{what}: {planted.name}" for what in ON_THE_SPOT for planted in study} <= faults(study, tools)


def test_half_a_pixel_is_noticed(tools: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    study = write_planted_study(tmp_path, 11, Variant(), TWO_VIEWS)
    monkeypatch.setattr(FrameTransform, "box_to_stored", _takes_corners_for_centres)
    assert any(fault.startswith("CAD centre") for fault in faults(study, tools))


@pytest.mark.parametrize(
    "mistake",
    [
        lambda transform, heat: true_image_to_stored(transform, heat)[:, ::-1],
        lambda transform, heat: true_image_to_stored(transform, heat)[::-1],
        lambda transform, heat: true_image_to_stored(replace(transform, flip=True), heat),
        lambda transform, heat: np.roll(true_image_to_stored(transform, heat), -transform.crop_px[0], axis=1),
        lambda transform, heat: true_image_to_stored(
            replace(transform, crop_px=(0, 0, transform.stored_shape[1], transform.stored_shape[0])), heat
        ),
    ],
    ids=["mirrored", "upside down", "mirrored in the crop", "without the crop", "stretched over the image"],
)
def test_an_activation_that_comes_back_wrong_is_noticed_in_every_view(
    tools: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mistake: Callable[..., Any]
) -> None:
    study = write_planted_study(tmp_path, 11, BREAST_WITH_AIR_ON_BOTH_SIDES, TWO_VIEWS)
    monkeypatch.setattr(FrameTransform, "image_to_stored", mistake)
    assert faults(study, tools) == {f"hot spot: {planted.name}" for planted in study}


def test_rows_before_columns_are_noticed_in_every_object(tools: Any, tmp_path: Path) -> None:
    def rows_first(dataset: Dataset) -> None:
        for element in dataset.iterall():
            if element.keyword == "GraphicData":
                element.value = np.array(element.value).reshape(-1, 2)[:, ::-1].ravel().tolist()

    study = write_planted_study(tmp_path, 11, Variant(), views=("R-MLO",))
    assert {fault.split(":")[0] for fault in faults(study, tools, spoil=rows_first)} == {
        *("CAD centre", "CAD outline", "CAD size in mm"),
        *("measured region", "measured size in mm", "presented outline"),
    }


def test_references_to_another_view_are_noticed(tools: Any, tmp_path: Path) -> None:
    study = write_planted_study(tmp_path, 11, Variant())
    exchanged = {a.sop_instance_uid: b.sop_instance_uid for a, b in zip(study, [*study[1:], study[0]], strict=True)}

    def refer_to_the_next(dataset: Dataset) -> None:
        for element in dataset.iterall():
            if element.keyword == "ReferencedSOPInstanceUID":
                element.value = exchanged[element.value]

    seen = faults(study, tools, spoil=refer_to_the_next)
    expected = {*ON_THE_SPOT, "library entry", "grey", "hot spot"} - {"box on the thumbnail"}
    assert {f"{what}: {planted.name}" for what in expected for planted in study} <= seen


def test_a_reference_to_another_entry_of_the_library_is_noticed(tools: Any, tmp_path: Path) -> None:
    def select_from_the_first(dataset: Dataset) -> None:
        for element in dataset.iterall():
            if element.keyword == "ReferencedContentItemIdentifier":
                element.value = [1, 2, 1]

    study = write_planted_study(tmp_path, 11, Variant())
    seen = faults(study, tools, spoil=select_from_the_first)
    assert sorted(fault.split(":")[0] for fault in seen) == ["0 of cad_sr"] * 3 + ["4 of cad_sr"]


@pytest.mark.parametrize("turn", [np.fliplr, np.flipud], ids=["mirrored", "upside down"])
def test_a_picture_that_is_turned_is_noticed(tools: Any, tmp_path: Path, turn: Callable[[Any], Any]) -> None:
    def turned(image: ReportedImage) -> ReportedImage:
        return replace(image, display=np.ascontiguousarray(turn(image.display)))

    study = write_planted_study(tmp_path, 11, Variant(), TWO_VIEWS)
    seen = faults(study, tools, edit=turned)
    assert {f"{what}: {planted.name}" for what in ("grey", "thumbnail") for planted in study} <= seen


def test_an_inverted_picture_is_noticed(tools: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def as_monochrome2(dataset: Any, *arguments: Any) -> Any:
        dataset.PhotometricInterpretation = "MONOCHROME2"
        return greyscale_table(dataset, *arguments)

    greyscale_table = pixels.greyscale_table
    monkeypatch.setattr(pixels, "greyscale_table", as_monochrome2)
    study = write_planted_study(tmp_path, 11, Variant(monochrome1=True), TWO_VIEWS)
    assert {f"{what}: {planted.name}" for what in ("grey", "CAD centre") for planted in study} <= faults(study, tools)


def test_a_forgotten_magnification_is_noticed(tools: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def at_the_detector(dataset: Any, magnification: float) -> Any:
        return breast_plane_spacing_mm(dataset, 1.0)

    breast_plane_spacing_mm = headers._breast_plane_spacing_mm
    monkeypatch.setattr(headers, "_breast_plane_spacing_mm", at_the_detector)
    study = write_planted_study(tmp_path, 11, Variant(magnification=1.8), TWO_VIEWS)
    assert {f"CAD size in mm: {planted.name}" for planted in study} <= faults(study, tools)


@pytest.mark.parametrize("factor", [None, 1.0])
def test_a_length_bar_at_the_detector_is_noticed(tools: Any, tmp_path: Path, factor: float | None) -> None:
    def without_factor(image: ReportedImage) -> ReportedImage:
        header = deepcopy(image.header)
        header.EstimatedRadiographicMagnificationFactor = factor
        return replace(image, header=header)

    study = write_planted_study(tmp_path, 11, Variant(magnification=1.8), TWO_VIEWS)
    assert faults(study, tools, edit=without_factor) == {f"length bar: {planted.name}" for planted in study}
