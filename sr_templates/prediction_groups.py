"""Measurement groups of predictions (TID 1410): the region they were made from, then what is predicted, by which model.

A group has one region (TID 1410 row 7), so a lesion has a group a view, and a region of several outlines has one an
outline. Each view's first group has all predictions of the lesion: whoever opens one view sees them there; the groups
of further outlines refer to it. A group never stands without coordinates.
"""

from __future__ import annotations

from collections.abc import Iterator

from pydicom import Dataset

from sr_templates import codes
from sr_templates.algorithm_identification import named_tid_4019, tid_4019
from sr_templates.content import code_item, container, image_item, num_item, scoord_item, uid_item, written_item
from sr_templates.contract import StudyReport
from sr_templates.evidence import reference
from sr_templates.outlines import region_outline_px
from sr_templates.predictions import (
    PlacedRegion,
    PredictedLesion,
    predicted_lesions,
    probability_codes,
    value_code,
)
from sr_templates.wording import left_out_words, lesion_words, marked_words


def prediction_groups(report: StudyReport) -> Iterator[Dataset]:
    """Groups of all lesions that something was, or was to be, predicted of.

    Raises
    ------
    ValueError
        As for `predicted_lesions`; or a region lies outside of its image, or the image cannot be referred to.
    """
    for lesion in predicted_lesions(report):
        for placed in lesion.regions:
            yield from (_tid_1410(lesion, placed, part) for part in range(len(placed.region.polygons_px)))


def _tid_1410(lesion: PredictedLesion, placed: PlacedRegion, part: int) -> Dataset:
    """TID 1410 Planar ROI Measurements and Qualitative Evaluations of one outline of a region."""
    region, image = placed.region, placed.image
    source = reference(image.header)
    if source is None:
        raise ValueError("a region needs an image that can be referred to")
    side = image.laterality or lesion.laterality
    selected = image_item("SELECTED FROM", codes.SOURCE, source, frame_number=region.frame_number)
    outline = region_outline_px(image, region.polygons_px[part])
    children = [
        written_item("HAS OBS CONTEXT", codes.TRACKING_IDENTIFIER, placed.label),
        uid_item("HAS OBS CONTEXT", codes.TRACKING_UID, placed.tracking_uids[part]),
        code_item("CONTAINS", codes.FINDING, codes.LESION),
        scoord_item("CONTAINS", codes.IMAGE_REGION, "POLYLINE", outline, [selected]),
        code_item(
            "HAS CONCEPT MOD",
            codes.FINDING_SITE,
            codes.BREAST,
            [code_item("HAS CONCEPT MOD", codes.LATERALITY, codes.SIDE[side])] if side else [],
        ),
        *(_probabilities(lesion) if part == 0 else ()),
        code_item("CONTAINS", codes.REGION_MARKED_BY, codes.MARKED_BY[region.source]),
        *(_evaluations(lesion) if part == 0 else ()),
        *(written_item("CONTAINS", codes.COMMENT, words) for words in _comments(lesion, placed, part)),
    ]
    return container("CONTAINS", codes.MEASUREMENT_GROUP, children, continuity="CONTINUOUS")


def _probabilities(lesion: PredictedLesion) -> Iterator[Dataset]:
    """TID 1419: what each model gives, in per cent, with its identification; its parameters stand at the first."""
    for prediction, algorithm in lesion.attempted:
        for place, (code, probability) in enumerate(probability_codes(prediction)):
            by = (named_tid_4019 if place else tid_4019)("HAS CONCEPT MOD", algorithm)
            yield num_item("CONTAINS", code, 100 * probability, codes.PERCENT, by)


def _evaluations(lesion: PredictedLesion) -> Iterator[Dataset]:
    """Qualitative evaluations: the class that each model predicts."""
    for prediction, algorithm in lesion.attempted:
        by = named_tid_4019("HAS CONCEPT MOD", algorithm)
        yield code_item("CONTAINS", codes.PREDICTED[prediction.name], value_code(prediction), by)


def _comments(lesion: PredictedLesion, placed: PlacedRegion, part: int) -> Iterator[str]:
    count = len(placed.region.polygons_px)
    outlines = f", outline {part + 1} of {count}" if count > 1 else ""
    yield f"{lesion.name}: {lesion_words(lesion)}, {marked_words(lesion)}{outlines}"
    if part:
        yield "The predictions stand with the first outline"
        return
    if lesion.attempted:
        yield "Predictions are no laboratory results"
    yield from left_out_words(lesion)
