"""What is wrong with the results of a study whose clusters were planted: the check behind `test_round_trip`."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from dataclasses import replace
from io import BytesIO
from typing import Any, Final

import numpy as np
import pytest
from numpy.typing import NDArray
from pydicom import Dataset, dcmread

from pipelines.mammography.pipeline import MammographyPipeline
from sr_templates import registry
from sr_templates.contract import ReportedImage, ResultKind, ResultObject, ResultVariant, StudyReport
from tests.pipelines import read_back
from tests.pipelines.contrast_detector import BOX_PX, CANONICAL_MM, StandInModels
from tests.pipelines.planted import CLUSTER_RADIUS_MM, COLUMNS, Planted
from tests.pipelines.read_back import CadFinding, Picture, Point, Thumbnail, to_stored

HEAT_TOLERANCE_PX: Final = 0.01 * COLUMNS
DRAWN_TOLERANCE_PX: Final = 2.0
LIKENESS: Final = 0.98
"""Least correlation of a picture's grey with the brightness that was planted."""
ROUND_LENGTHS_MM: Final = [digit * power for digit in (1, 2, 5) for power in (0.1, 1.0, 10.0, 100.0)]
"""What the bar below a picture may measure."""
DARK: Final = 30
"""Greatest median of a picture, of 255: most of it is air."""

ALL_VARIANTS: Final = frozenset(ResultVariant(kind=kind, max_side_px=1024) for kind in registry.TEMPLATES)
"""Every kind that there is; a new one needs a line in `FAULTS`. Pictures are small to be quick."""

Edit = Callable[[ReportedImage], ReportedImage]
Spoil = Callable[[Dataset], None]


def results(
    study: list[Planted], tools: Any, edit: Edit | None = None, variants: frozenset[ResultVariant] = ALL_VARIANTS
) -> tuple[tuple[ResultObject, ...], dict[str, bytes]]:
    """Results of a study; and its pictures without heat, by instance, from a second report that has none."""
    cold: dict[str, bytes] = {}

    def without_heat(image: ReportedImage) -> ReportedImage:
        return image if image.activation is None else replace(image, activation=np.zeros_like(image.activation))

    def make_objects(
        report: StudyReport, variants: frozenset[ResultVariant], *, profiles: Collection[frozenset[ResultVariant]]
    ) -> tuple[ResultObject, ...]:
        if edit is not None:
            report = replace(report, images=tuple(edit(image) for image in report.images))
        plain = replace(report, images=tuple(without_heat(image) for image in report.images))
        pictures = frozenset(variant for variant in variants if variant.kind == "heatmap")
        for made in registry.make_objects(plain, pictures):
            cold[str(made.referenced_sop_instance_uid)] = made.content
        return registry.make_objects(report, variants, profiles=profiles)

    pipeline = MammographyPipeline(models=StandInModels(), make_objects=make_objects)
    files = [tools.received(planted.path) for planted in study]
    return pipeline.analyse(tools.study(*files), tools.options(results=variants)).objects, cold


def faults(
    study: list[Planted],
    tools: Any,
    *,
    edit: Edit | None = None,
    spoil: Spoil | None = None,
    variants: frozenset[ResultVariant] = ALL_VARIANTS,
) -> set[str]:
    """What is wrong with the results of a study, each as ``"what: where"``, e.g. ``"hot spot: L-CC"``.

    `edit` changes what the templates are told of an image, `spoil` the finished objects.
    """
    objects, cold = results(study, tools, edit, variants)
    if spoil is not None:
        objects = tuple(replace(made, content=_spoilt(made.content, spoil)) for made in objects)
    wrong: set[str] = set()
    for kind in {variant.kind for variant in variants}:
        said = [item for made in objects if made.kind == kind for item in _read(made, cold, study)]
        for planted in study:
            of_it = [what for uid, what in said if uid == planted.sop_instance_uid]
            its_faults = FAULTS[kind](planted, of_it[0]) if len(of_it) == 1 else [f"{len(of_it)} of {kind}"]
            wrong |= {f"{fault}: {planted.name}" for fault in its_faults}
    return wrong


def _spoilt(content: bytes, spoil: Spoil) -> bytes:
    dataset, spoilt = dcmread(BytesIO(content)), BytesIO()
    spoil(dataset)
    dataset.save_as(spoilt)
    return spoilt.getvalue()


def _read(made: ResultObject, cold: dict[str, bytes], study: list[Planted]) -> list[tuple[str, Any]]:
    """What an object says, by the SOP Instance UID of the image that it says it of."""
    if made.kind == "cad_sr":
        return [(finding.sop_instance_uid, finding) for finding in read_back.cad_findings(made.content)]
    if made.kind == "measurement_sr":
        return list(read_back.measured_regions(made.content))
    if made.kind == "presentation_state":
        return [(uid, (outline, shape)) for uid, outline, shape in read_back.presented_outlines(made.content)]
    if made.kind == "summary":
        return [(_most_alike(shown, study).sop_instance_uid, shown) for shown in read_back.thumbnails(made.content)]
    shown = read_back.picture(made.content, cold[str(made.referenced_sop_instance_uid)])
    return [(shown.sop_instance_uid, shown)]


def _most_alike(shown: Thumbnail, study: list[Planted]) -> Planted:
    return max(study, key=lambda planted: read_back.likeness(shown.grey, planted.brightness))


def _cad_faults(planted: Planted, finding: CadFinding) -> Iterator[str]:
    if not finding.both_refer_to_one_image or finding.name != planted.name:
        yield "library entry"
    if finding.spacing_mm != pytest.approx(planted.variant.imager_spacing_mm):
        yield "library spacing"
    if not _is_there(planted, finding.center):
        yield "CAD centre"
    if not _surrounds(planted, finding.outline):
        yield "CAD outline"
    if not _has_its_size(planted, finding.outline):
        yield "CAD size in mm"


def _measured_faults(planted: Planted, outline: list[Point]) -> Iterator[str]:
    if not _surrounds(planted, outline):
        yield "measured region"
    if not _has_its_size(planted, outline):
        yield "measured size in mm"


def _presented_faults(planted: Planted, said: tuple[list[Point], str]) -> Iterator[str]:
    outline, shape = said
    if shape != ("INVERSE" if planted.variant.monochrome1 else "IDENTITY"):
        yield "presented greyscale"
    if not _surrounds(planted, outline):
        yield "presented outline"


def _picture_faults(planted: Planted, shown: Picture) -> Iterator[str]:
    if read_back.likeness(shown.grey, planted.brightness) < LIKENESS or np.nanmedian(shown.grey) > DARK:
        yield "grey"
    if shown.patient_orientation != planted.patient_orientation:
        yield "patient orientation"
    hottest = shown.hottest()
    shapes = shown.grey.shape, planted.brightness.shape
    if hottest is None or np.hypot(*(to_stored(hottest, *shapes) - np.array(planted.at_px))) > HEAT_TOLERANCE_PX:
        yield "hot spot"
    if not _is_drawn(planted, shown.drawn_box, shown.grey.shape, DRAWN_TOLERANCE_PX):
        yield "drawn box"
    bar_mm = shown.length_bar_px * COLUMNS / shown.grey.shape[1] * planted.variant.spacing_mm[1]
    if min(abs(bar_mm / round_mm - 1) for round_mm in ROUND_LENGTHS_MM) > 0.02:
        yield "length bar"


def _summary_faults(planted: Planted, shown: Thumbnail) -> Iterator[str]:
    if read_back.likeness(shown.grey, planted.brightness) < LIKENESS:
        yield "thumbnail"
    if not _is_drawn(planted, shown.drawn_box, shown.grey.shape, 2 * DRAWN_TOLERANCE_PX):
        yield "box on the thumbnail"


FAULTS: Final[dict[ResultKind, Callable[[Planted, Any], Iterator[str]]]] = {
    "cad_sr": _cad_faults,
    "measurement_sr": _measured_faults,
    "heatmap": _picture_faults,
    "summary": _summary_faults,
    "presentation_state": _presented_faults,
}


def _model_pixel_px(planted: Planted) -> NDArray[np.float64]:
    """Width and height of a pixel that the model sees, in stored pixels."""
    row_mm, column_mm = planted.variant.spacing_mm
    return CANONICAL_MM / np.array([column_mm, row_mm])


def _is_there(planted: Planted, point: Point) -> bool:
    """Whether a point is where the cluster was planted, to half a pixel of the model."""
    return bool(np.all(np.abs(np.subtract(point, planted.at_px)) <= 0.5 * _model_pixel_px(planted)))


def _is_drawn(
    planted: Planted, box: tuple[Point, Point] | None, shown_shape: tuple[int, ...], tolerance_px: float
) -> bool:
    """Whether the lines on a picture surround what the detector's box does, to some stored pixels."""
    if box is None:
        return False
    half_box_px = np.array(BOX_PX) / 2 * _model_pixel_px(planted)
    truth = [np.add(planted.at_px, half) for half in (-half_box_px, half_box_px)]
    corners = [to_stored(corner, shown_shape, planted.brightness.shape) for corner in box]
    return bool(np.abs(np.subtract(corners, truth)).max() <= tolerance_px)


def _surrounds(planted: Planted, outline: list[Point]) -> bool:
    """Whether an outline is a closed rectangle with the cluster in its middle and whole inside of it."""
    x0, y0, x1, y1 = box = read_back.box_around(outline)
    corners = {(x, y) for x in (x0, x1) for y in (y0, y1)}
    radius = CLUSTER_RADIUS_MM / CANONICAL_MM * _model_pixel_px(planted)
    inside = np.all(np.subtract(planted.at_px, box[:2]) > radius) and np.all(
        np.subtract(box[2:], planted.at_px) > radius
    )
    closed = outline[0] == outline[-1] and len(outline) == 5 and set(outline) == corners
    return bool(inside and closed and _is_there(planted, ((x0 + x1) / 2, (y0 + y1) / 2)))


def _has_its_size(planted: Planted, outline: list[Point]) -> bool:
    """Whether an outline measures what the detector's box does, in the plane of the breast."""
    x0, y0, x1, y1 = read_back.box_around(outline)
    row_mm, column_mm = planted.variant.spacing_mm
    size_mm = ((x1 - x0) * column_mm, (y1 - y0) * row_mm)
    return size_mm == pytest.approx(np.multiply(BOX_PX, CANONICAL_MM), rel=0.015)
