"""Benign or malignant, at the paper's three levels: image, breast, lesion.

The paper's cases all have a lesion. Data from screening have normal images too, and a detector may find no box; so each
confusion matrix has a third row and a third column, and the measures come in two scopes. The first is the paper's:

==========  ================================================  ==========================================
level       first scope                                       second scope
==========  ================================================  ==========================================
image       images with a lesion                              all images, normal ones as not malignant
breast      breasts with a lesion                             all breasts, normal ones as not malignant
lesion      lesions that a predicted box overlaps             all lesions, missed ones as not malignant
==========  ================================================  ==========================================

An image is malignant if it has a malignant box at the operating point, "otherwise the lesions were considered benign"
(paper, 2.5): no box counts as not malignant. A lesion is matched to the predicted box of highest IoU (paper, 2.7), of
two equal ones to that with the higher score. The paper names no least IoU; here any overlap is one, and a lesion that
no box overlaps is missed. Thus the hit rule of the FROC curve plays no part at this level.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from models.contract import Label
from models.evaluation.contract import EvaluatedBreast, EvaluatedImage, NotDefined, Prediction
from models.evaluation.hits import as_boxes, iou
from models.evaluation.proportions import Measures, measures
from models.evaluation.roc import DelongTest, Roc, delong_test, roc

LevelName = Literal["image", "breast", "lesion"]
SECOND_OPINION_THRESHOLD: Final = 0.5
"""SPPNet has two classes and takes the likelier one."""

WITH_LESION: Final = "with a lesion"
ALL: Final = "all"
MATCHED: Final = "matched"
PAPER_SCOPE: Final[Mapping[LevelName, str]] = {"image": WITH_LESION, "breast": WITH_LESION, "lesion": MATCHED}
"""The scope that is counted as the paper counts."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Confusion:
    """Counts of truth (rows) against prediction (columns).

    Attributes
    ----------
    rows, columns : tuple of str
        Their names; malignant, benign, and neither.
    counts : tuple of tuple of (int or None)
        One tuple a row. None where there can be no case.
    """

    rows: tuple[str, ...]
    columns: tuple[str, ...]
    counts: tuple[tuple[int | None, ...], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Level:
    """What was measured at a level.

    Attributes
    ----------
    name : {"image", "breast", "lesion"}
    confusion : Confusion
    measures : mapping of str to (Measures or NotDefined)
        By scope.
    roc : mapping of str to (Roc or NotDefined)
        By scope; for lesions only of those matched, since a missed one has no score.
    not_analysed : int
        Cases without a prediction of any kind; they are in no figure.
    without_score : int
        Cases with a prediction but no probability; they are in no ROC curve.
    """

    name: LevelName
    confusion: Confusion
    measures: Mapping[str, Measures | NotDefined]
    roc: Mapping[str, Roc | NotDefined]
    not_analysed: int
    without_score: int


@dataclass(frozen=True, slots=True, kw_only=True)
class _Case:
    truth: Label | None
    predicted: Label | None
    score: float | None
    patient: Hashable


def image_level(images: Sequence[EvaluatedImage], score_threshold: float) -> Level:
    """Judge whole images by the detector; their score is `EvaluatedImage.image_malignancy`."""
    cases = [
        _Case(
            truth=image.truth,
            predicted=_status(image.predictions_from(score_threshold)),
            score=image.image_malignancy,
            patient=image.patient,
        )
        for image in images
    ]
    return _level("image", "images", cases, neither=("no lesion", "no box"))


def second_opinion_level(images: Sequence[EvaluatedImage]) -> Level:
    """Judge whole images by SPPNet: malignant above 0.5; it has no third answer."""
    cases = [
        _Case(
            truth=image.truth,
            predicted="malignant" if image.second_opinion > SECOND_OPINION_THRESHOLD else "benign",
            score=image.second_opinion,
            patient=image.patient,
        )
        for image in images
        if image.second_opinion is not None
    ]
    not_analysed = len(images) - len(cases)
    return _level("image", "images", cases, neither=("no lesion", None), not_analysed=not_analysed)


def second_opinion_breast_level(breasts: Sequence[EvaluatedBreast]) -> Level:
    """Judge breasts by SPPNet, whose views are joined by the same rule."""
    cases = [
        _Case(
            truth=breast.truth,
            predicted=breast.second_status,
            score=breast.second_probability,
            patient=breast.patient,
        )
        for breast in breasts
        if breast.second_status is not None
    ]
    return _level("breast", "breasts", cases, neither=("no lesion", None), not_analysed=len(breasts) - len(cases))


def breast_level(breasts: Sequence[EvaluatedBreast]) -> Level:
    """Judge breasts; one without calcification and without a probability ranks below all others."""
    analysed = [breast for breast in breasts if breast.status != "not_analysed"]
    cases = [
        _Case(
            truth=breast.truth,
            predicted=breast.status if breast.status in ("benign", "malignant") else None,
            score=0.0 if breast.probability is None and breast.status == "no_calcification" else breast.probability,
            patient=breast.patient,
        )
        for breast in analysed
    ]
    not_analysed = len(breasts) - len(analysed)
    return _level(
        "breast", "breasts", cases, neither=("no lesion", "no calcification found"), not_analysed=not_analysed
    )


def lesion_level(images: Sequence[EvaluatedImage], score_threshold: float) -> Level:
    """Judge lesions by the predicted box of highest IoU; the score of a lesion is the malignancy of that box."""
    cases: list[_Case] = []
    beside: list[Label] = []
    for image in images:
        predictions = image.predictions_from(score_threshold)
        overlap = iou(
            as_boxes([truth.box_px for truth in image.truths]), as_boxes([found.box_px for found in predictions])
        )
        for truth, row in zip(image.truths, overlap, strict=True):
            match = _best(row.tolist(), predictions)
            cases.append(
                _Case(
                    truth=truth.label,
                    predicted=match.label if match else None,
                    score=match.malignancy if match else None,
                    patient=image.patient,
                )
            )
        highest = overlap.max(axis=0, initial=0.0).tolist()
        beside.extend(found.label for found, touches in zip(predictions, highest, strict=True) if not touches)
    matched = [case for case in cases if case.predicted is not None]
    nowhere = (beside.count("malignant"), beside.count("benign"), None)
    return Level(
        name="lesion",
        confusion=Confusion(
            rows=("malignant", "benign", "box on no lesion"),
            columns=("malignant", "benign", "missed"),
            counts=(_row(cases, "malignant"), _row(cases, "benign"), nowhere),
        ),
        measures={MATCHED: _measures(matched, "lesions that a box overlaps"), ALL: _measures(cases, "lesions")},
        roc={MATCHED: _roc(matched, "lesions that a box overlaps", "benign")},
        not_analysed=0,
        without_score=len(cases) - len(matched),
    )


def compare_with_second_opinion(images: Sequence[EvaluatedImage]) -> DelongTest | NotDefined:
    """Test the detector's image score against SPPNet's, on the images with a lesion that have both."""
    first, second, malignant, patients = [], [], [], []
    for image in images:
        if image.truth is not None and image.image_malignancy is not None and image.second_opinion is not None:
            first.append(image.image_malignancy)
            second.append(image.second_opinion)
            malignant.append(image.truth == "malignant")
            patients.append(image.patient)
    return delong_test(malignant, first, second, patients=patients, cases="images with a lesion and both scores")


def _status(predictions: Iterable[Prediction]) -> Label | None:
    labels = {prediction.label for prediction in predictions}
    if "malignant" in labels:
        return "malignant"
    return "benign" if labels else None


def _best(overlaps: Sequence[float], predictions: Sequence[Prediction]) -> Prediction | None:
    candidates = [
        (overlap, found.score, found) for overlap, found in zip(overlaps, predictions, strict=True) if overlap
    ]
    return max(candidates, key=lambda candidate: candidate[:2])[2] if candidates else None


def _level(
    name: LevelName,
    cases_are: str,
    cases: Sequence[_Case],
    *,
    neither: tuple[str, str | None],
    not_analysed: int = 0,
) -> Level:
    columns = ("malignant", "benign") if neither[1] is None else ("malignant", "benign", neither[1])
    labels: tuple[Label | None, ...] = ("malignant", "benign", None)
    with_lesion = [case for case in cases if case.truth is not None]
    return Level(
        name=name,
        confusion=Confusion(
            rows=("malignant", "benign", neither[0]),
            columns=columns,
            counts=tuple(_row(cases, label)[: len(columns)] for label in labels),
        ),
        measures={
            WITH_LESION: _measures(with_lesion, f"{cases_are} with a lesion"),
            ALL: _measures(cases, cases_are),
        },
        roc={
            WITH_LESION: _roc(with_lesion, f"{cases_are} with a lesion", "benign"),
            ALL: _roc(cases, cases_are, "benign or without a lesion"),
        },
        not_analysed=not_analysed,
        without_score=sum(case.score is None for case in cases),
    )


def _row(cases: Sequence[_Case], truth: Label | None) -> tuple[int, int, int]:
    predicted = [case.predicted for case in cases if case.truth == truth]
    return predicted.count("malignant"), predicted.count("benign"), predicted.count(None)


def _measures(cases: Sequence[_Case], cases_are: str) -> Measures | NotDefined:
    pairs = ((case.truth == "malignant", case.predicted == "malignant") for case in cases)
    return measures(pairs, none=f"there are no {cases_are}")


def _roc(cases: Sequence[_Case], cases_are: str, others: str) -> Roc | NotDefined:
    scored = [(case.truth == "malignant", case.score, case.patient) for case in cases if case.score is not None]
    return roc(
        [malignant for malignant, _, _ in scored],
        [score for _, score, _ in scored],
        patients=[patient for _, _, patient in scored],
        cases=cases_are if len(scored) == len(cases) else f"{cases_are} and a score",
        others=others,
    )
