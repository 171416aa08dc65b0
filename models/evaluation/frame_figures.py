"""All figures of an evaluation on ultrasound: outlines, alarms on normal frames, and classes, against comparators."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from types import MappingProxyType
from typing import Final

import numpy as np

from models.contract import ModelIdentity
from models.evaluation.contract import Interval, NotDefined
from models.evaluation.estimates import mean_interval
from models.evaluation.frames import FOUND_IOU, EvaluatedFrame, ScoredFrame
from models.evaluation.proportions import Measures, Proportion, measures, proportion
from models.evaluation.roc import DelongTest, Roc, delong_test, roc

SEED: Final = 20231118
RESAMPLES: Final = 2000

AUTOMATIC, AUTOMATIC_ALL, DRAWN = "automatic outline", "automatic outline, none as 0", "outline of the truth"
RADIOMICS, CLINICAL = "radiomics", "clinical"
COMPARED: Final = (
    (AUTOMATIC, RADIOMICS),
    (DRAWN, RADIOMICS),
    (AUTOMATIC, CLINICAL),
    (DRAWN, CLINICAL),
    (DRAWN, AUTOMATIC),
)
"""Pairs whose areas are tested against each other, on the frames that have both scores."""

SCORES: Final[Mapping[str, Callable[[ScoredFrame], float | None]]] = MappingProxyType(
    {
        AUTOMATIC: lambda frame: frame.automatic,
        AUTOMATIC_ALL: lambda frame: frame.automatic or 0.0,
        DRAWN: lambda frame: frame.drawn,
        RADIOMICS: lambda frame: frame.radiomics,
        CLINICAL: lambda frame: frame.clinical,
    }
)

_ONE_CLASS: Final = "the frames that have this score are of one class"


@dataclass(frozen=True, slots=True, kw_only=True)
class Mean:
    """A mean over frames, with an interval by resampling patients."""

    value: float
    interval: Interval | NotDefined
    median: float
    frames: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Named:
    """A frame to look at: its name, and the figure that makes it one."""

    name: str
    value: float


@dataclass(frozen=True, slots=True, kw_only=True)
class SegmentationFigures:
    """Outlines.

    Attributes
    ----------
    frames, normal_frames, patients : int
    dice, iou : mapping of str to (Mean or NotDefined)
        By class, "lesions" being all; a frame on which nothing was outlined counts as 0.
    found, touched : mapping of str to (Proportion or NotDefined)
        Lesions with an IoU of at least `FOUND_IOU`, and with the centre of a region on them, by class.
    normals_without_region : Proportion or NotDefined
    false_regions_per_normal, false_regions_per_frame_with_lesion : float or NotDefined
    lesion_or_not : Roc or NotDefined
        Of the lesion score.
    long_axis_ratio : tuple of float or NotDefined
        Quartiles of found over true.
    lowest_dice, surest_false : tuple of Named
        Frames to look at.
    """

    frames: int
    normal_frames: int
    patients: int
    dice: Mapping[str, Mean | NotDefined]
    iou: Mapping[str, Mean | NotDefined]
    found: Mapping[str, Proportion | NotDefined]
    touched: Mapping[str, Proportion | NotDefined]
    normals_without_region: Proportion | NotDefined
    false_regions_per_normal: float | NotDefined
    false_regions_per_frame_with_lesion: float | NotDefined
    lesion_or_not: Roc | NotDefined
    long_axis_ratio: tuple[float, float, float] | NotDefined
    lowest_dice: tuple[Named, ...]
    surest_false: tuple[Named, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ClassificationFigures:
    """Classes.

    Attributes
    ----------
    positive, negative : str
        The two classes; `positive` is the second.
    frames, positives, without_outline : int
        The last: frames on which nothing was outlined.
    threshold : float
        Of `measures`.
    roc : mapping of str to (Roc or NotDefined)
        By where the score comes from.
    measures : mapping of str to (Measures or NotDefined)
        At the threshold, of the three scores that are probabilities of the network.
    tests : mapping of str to (DelongTest or NotDefined)
        By the two names.
    by_fold : mapping of str to mapping of str to (Roc or NotDefined)
        Of the network, by outline and fold.
    comparators : str
        What the comparators are, or why there are none.
    """

    positive: str
    negative: str
    frames: int
    positives: int
    without_outline: int
    threshold: float
    roc: Mapping[str, Roc | NotDefined]
    measures: Mapping[str, Measures | NotDefined]
    tests: Mapping[str, DelongTest | NotDefined]
    by_fold: Mapping[str, Mapping[str, Roc | NotDefined]]
    comparators: str


@dataclass(frozen=True, slots=True, kw_only=True)
class FrameEvaluation:
    """Everything that a report tells.

    Attributes
    ----------
    title : str
    models : tuple of ModelIdentity
        Of cross-validation one a fold.
    protocol, data : str
        How it was measured, and on what, in words.
    segmentation : SegmentationFigures or None
    classification : ClassificationFigures or None
    """

    title: str
    models: tuple[ModelIdentity, ...]
    protocol: str
    data: str
    segmentation: SegmentationFigures | None
    classification: ClassificationFigures | None


def segmentation_figures(
    frames: Sequence[EvaluatedFrame], *, seed: int = SEED, resamples: int = RESAMPLES, shown: int = 12
) -> SegmentationFigures:
    """Compute the figures of outlines; `shown` frames of each kind are named."""
    with_lesion = [frame for frame in frames if frame.dice is not None]
    normal = [frame for frame in frames if frame.dice is None]
    of_class = {
        "lesions": with_lesion,
        "benign": [frame for frame in with_lesion if frame.truth == "benign"],
        "malignant": [frame for frame in with_lesion if frame.truth == "malignant"],
    }
    lesions = {
        name: [one for frame in with_lesion for one in frame.lesions if name in ("lesions", one.label)]
        for name in of_class
    }
    ratios = [frame.long_axis_ratio for frame in with_lesion if frame.long_axis_ratio is not None]
    no_normal = NotDefined(reason="there are no normal frames" if with_lesion else "no frame has a lesion")
    return SegmentationFigures(
        frames=len(frames),
        normal_frames=len(normal),
        patients=len({frame.patient for frame in frames}),
        dice={name: _mean(some, lambda one: one.dice, name, seed, resamples) for name, some in of_class.items()},
        iou={name: _mean(some, lambda one: one.iou, name, seed, resamples) for name, some in of_class.items()},
        found={
            name: proportion(sum(one.iou >= FOUND_IOU for one in some), len(some), none=f"there are no {name}")
            for name, some in lesions.items()
        },
        touched={
            name: proportion(sum(one.touched for one in some), len(some), none=f"there are no {name}")
            for name, some in lesions.items()
        },
        normals_without_region=proportion(
            sum(not frame.regions for frame in normal), len(normal), none="there are no normal frames"
        ),
        false_regions_per_normal=(_per_frame(normal) if normal else NotDefined(reason="there are no normal frames")),
        false_regions_per_frame_with_lesion=(
            _per_frame(with_lesion) if with_lesion else NotDefined(reason="no frame has a lesion")
        ),
        lesion_or_not=_lesion_or_not(frames) if with_lesion and normal else no_normal,
        long_axis_ratio=_quartiles(ratios) if ratios else NotDefined(reason="no lesion was outlined"),
        lowest_dice=tuple(
            Named(name=frame.name, value=frame.dice or 0.0)
            for frame in sorted(with_lesion, key=lambda one: one.dice or 0.0)[:shown]
        ),
        surest_false=tuple(
            Named(name=frame.name, value=frame.lesion_score)
            for frame in sorted(normal, key=lambda one: -one.lesion_score)[:shown]
            if frame.regions
        ),
    )


def classification_figures(
    frames: Sequence[ScoredFrame], *, classes: tuple[str, str], threshold: float, with_outlines: bool, comparators: str
) -> ClassificationFigures:
    """Compute the figures of classes.

    Parameters
    ----------
    frames : sequence of ScoredFrame
    classes : tuple of str
        The second is the positive one.
    threshold : float
        From which a frame is called positive.
    with_outlines : bool
        Whether a segmenter was run.
    comparators : str
        What the comparators are, or why there are none.
    """
    names = [name for name in SCORES if with_outlines or name not in (AUTOMATIC, AUTOMATIC_ALL)]
    of_network = [name for name in names if name not in (RADIOMICS, CLINICAL)]
    return ClassificationFigures(
        positive=classes[1],
        negative=classes[0],
        frames=len(frames),
        positives=sum(frame.positive for frame in frames),
        without_outline=sum(frame.automatic is None for frame in frames) if with_outlines else 0,
        threshold=threshold,
        roc={name: _roc(frames, name) for name in names},
        measures={
            name: measures(
                ((frame.positive, score >= threshold) for frame, score in _with(frames, name)),
                none="no frame has this score",
            )
            for name in of_network
        },
        tests={
            f"{first} against {second}": _test(frames, first, second)
            for first, second in COMPARED
            if first in names and second in names
        },
        by_fold={
            name: {
                str(fold): _roc([frame for frame in frames if frame.fold == fold], name)
                for fold in sorted({frame.fold for frame in frames})
            }
            for name in of_network
        },
        comparators=comparators,
    )


def _lesion_or_not(frames: Sequence[EvaluatedFrame]) -> Roc | NotDefined:
    truth, scores = [frame.dice is not None for frame in frames], [frame.lesion_score for frame in frames]
    return roc(truth, scores, patients=[frame.patient for frame in frames])


def _mean(
    frames: Sequence[EvaluatedFrame],
    figure: Callable[[EvaluatedFrame], float | None],
    name: str,
    seed: int,
    resamples: int,
) -> Mean | NotDefined:
    if not frames:
        return NotDefined(reason=f"there are no {name} frames")
    values = np.array([figure(frame) for frame in frames], dtype=np.float64)
    interval = mean_interval(values, [frame.patient for frame in frames], seed=seed, resamples=resamples)
    if isinstance(interval, NotDefined):
        interval = NotDefined(reason="all frames are of one patient")
    return Mean(value=float(values.mean()), interval=interval, median=float(median(values)), frames=len(frames))


def _per_frame(frames: Sequence[EvaluatedFrame]) -> float:
    return sum(frame.false_regions for frame in frames) / len(frames)


def _quartiles(values: Sequence[float]) -> tuple[float, float, float]:
    low, middle, high = np.quantile(np.array(values), [0.25, 0.5, 0.75]).tolist()
    return low, middle, high


def _with(frames: Sequence[ScoredFrame], name: str) -> list[tuple[ScoredFrame, float]]:
    scored = ((frame, SCORES[name](frame)) for frame in frames)
    return [(frame, score) for frame, score in scored if score is not None]


def _roc(frames: Sequence[ScoredFrame], name: str) -> Roc | NotDefined:
    scored = _with(frames, name)
    truth = [frame.positive for frame, _ in scored]
    if len(set(truth)) < 2:
        return NotDefined(reason=_ONE_CLASS if truth else "no frame has this score")
    return roc(truth, [score for _, score in scored], patients=[frame.patient for frame, _ in scored])


def _test(frames: Sequence[ScoredFrame], first: str, second: str) -> DelongTest | NotDefined:
    both = [(frame, SCORES[first](frame), SCORES[second](frame)) for frame in frames]
    scored = [(frame, one, other) for frame, one, other in both if one is not None and other is not None]
    truth = [frame.positive for frame, _, _ in scored]
    if len(set(truth)) < 2:
        return NotDefined(reason=_ONE_CLASS if truth else "no frame has both scores")
    return delong_test(
        truth,
        [one for _, one, _ in scored],
        [other for _, _, other in scored],
        patients=[frame.patient for frame, _, _ in scored],
        cases="frames that have both scores",
    )
