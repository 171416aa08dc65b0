"""What was predicted of each lesion: its regions with numbers and tracking UIDs, its values, and why others lack."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, Literal

from pydicom.uid import UID

from sr_templates import codes
from sr_templates.content import printable_text
from sr_templates.contract import (
    ReportedAlgorithm,
    ReportedImage,
    ReportedPrediction,
    ReportedRegion,
    StudyReport,
)
from sr_templates.evidence import value_text
from sr_templates.identity import result_uid

Prediction = tuple[ReportedPrediction, ReportedAlgorithm]
"""What is, or is not, predicted, and the model that it is from."""

LABEL_CHARACTERS: Final = 64
"""Longest label, as of an LO; a radiologist's text may be as long as it likes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PlacedRegion:
    """A region on its image; `tracking_uids` has one a polygon, all equal where the radiologist gave one."""

    region: ReportedRegion
    image: ReportedImage
    tracking_uids: tuple[UID, ...]

    @property
    def label(self) -> str:
        """What its label says, on one line without control characters, in any letters; never empty."""
        words = " ".join(printable_text(self.region.label).split())
        return printable_text(words, LABEL_CHARACTERS) or "unnamed"


@dataclass(frozen=True, slots=True, kw_only=True)
class PredictedLesion:
    """A lesion with what was predicted of it.

    Attributes
    ----------
    number : int
        From 1, in the order of the report; the same in every object.
    regions : tuple of PlacedRegion
        One a view; none where the lesion is not placed.
    attempted : tuple of Prediction
        Predictions with a value.
    left_out : tuple of Prediction
        Those with a reason in its place.
    """

    number: int
    regions: tuple[PlacedRegion, ...]
    laterality: Literal["L", "R"] | None
    attempted: tuple[Prediction, ...]
    left_out: tuple[Prediction, ...]

    @property
    def name(self) -> str:
        """Short name, e.g. ``"R1"``: findings have plain numbers."""
        return f"R{self.number}"


def predicted_lesions(report: StudyReport) -> tuple[PredictedLesion, ...]:
    """Predictions lesion by lesion, in the order in which each is first named.

    Raises
    ------
    ValueError
        A prediction has neither value nor reason, a value or a name that has no code, an algorithm that the report does
        not have, or a region on an image that it does not have.
    """
    algorithms = {algorithm.name: algorithm for algorithm in report.algorithms}
    images = {value_text(image.header, "SOPInstanceUID"): image for image in report.images}
    by_lesion: dict[tuple[object, ...], list[ReportedPrediction]] = {}
    for prediction in report.predictions:
        _check(prediction, algorithms, images)
        by_lesion.setdefault((prediction.regions, prediction.laterality), []).append(prediction)
    return tuple(
        PredictedLesion(
            number=number,
            regions=tuple(
                _placed(report, region, images[region.sop_instance_uid], f"{number}.{place}")
                for place, region in enumerate(group[0].regions, start=1)
            ),
            laterality=group[0].laterality,
            attempted=tuple((p, algorithms[p.algorithm]) for p in group if p.value is not None),
            left_out=tuple((p, algorithms[p.algorithm]) for p in group if p.value is None),
        )
        for number, group in enumerate(by_lesion.values(), start=1)
    )


def regions_on(report: StudyReport, image: ReportedImage) -> Iterator[tuple[PredictedLesion, PlacedRegion]]:
    """Regions on one image, with the lesions that they are of."""
    for lesion in predicted_lesions(report):
        yield from ((lesion, placed) for placed in lesion.regions if placed.image is image)


def algorithms_shown(report: StudyReport, *images: ReportedImage) -> tuple[ReportedAlgorithm, ...]:
    """Algorithms that looked at whole images, and those that a prediction on one of `images` is from.

    One that predicted nothing is named by the sentences on the lesion, with its reason.
    """
    shown = {algorithm.name for algorithm in report.image_algorithms}
    for image in images:
        shown |= {algorithm.name for lesion, _ in regions_on(report, image) for _, algorithm in lesion.attempted}
    return tuple(algorithm for algorithm in report.algorithms if algorithm.name in shown)


def probability_codes(prediction: ReportedPrediction) -> Iterator[tuple[codes.Code, float]]:
    """Of two classes the positive one with its probability, of more each, in the order of the codes."""
    stated = codes.PREDICTED_PROBABILITY[prediction.name]
    if len(stated) == 1 and prediction.probability is not None:
        yield from ((code, prediction.probability) for code in stated.values())
        return
    for name, code in stated.items():
        probability = prediction.probabilities.get(name, prediction.probability if name == prediction.value else None)
        if probability is not None:
            yield code, probability


def value_code(prediction: ReportedPrediction) -> codes.Code:
    """Code of the predicted class."""
    return codes.PREDICTED_VALUE[prediction.name][prediction.value or ""]


def _check(
    prediction: ReportedPrediction, algorithms: dict[str, ReportedAlgorithm], images: dict[str, ReportedImage]
) -> None:
    if (prediction.value is None) == (not prediction.reason):
        raise ValueError("a prediction has either a value or a reason")
    if prediction.name not in codes.PREDICTED:
        raise ValueError(f"{prediction.name!r} has no code in codes.PREDICTED")
    if prediction.value is not None and prediction.value not in codes.PREDICTED_VALUE[prediction.name]:
        raise ValueError(f"{prediction.value!r} is no class of {prediction.name}")
    if prediction.value is not None and prediction.probability is None:
        raise ValueError("a predicted value lacks its probability")
    numbers = (prediction.probability, *prediction.probabilities.values())
    if not all(number is None or 0.0 <= number <= 1.0 for number in numbers):
        raise ValueError("a predicted probability is not within 0 and 1")
    if prediction.algorithm not in algorithms:
        raise ValueError(f"a prediction is by {prediction.algorithm!r}, which the report's algorithms lack")
    if any(region.sop_instance_uid not in images or not region.polygons_px for region in prediction.regions):
        raise ValueError("a region of a prediction is on no image of the report, or has no outline")


def _placed(report: StudyReport, region: ReportedRegion, image: ReportedImage, place: str) -> PlacedRegion:
    stated = UID(region.tracking_uid or "")
    parts = range(1, len(region.polygons_px) + 1)
    uids = (
        stated if stated.is_valid else result_uid(report, "region", place, region.sop_instance_uid, str(part))
        for part in parts
    )
    return PlacedRegion(region=region, image=image, tracking_uids=tuple(uids))
