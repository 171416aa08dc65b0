"""The models of ultrasound run over the frames of a manifest, and their answers set beside the truth."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from models.contract import BoxPx
from models.evaluation.comparators import clinical_model, out_of_fold
from models.evaluation.frames import EvaluatedFrame, ScoredFrame, evaluated
from models.lesions import GreyFrame
from models.predictor import LesionClassifier, Segmenter
from models.radiomics.features import FEATURES_OF, FeatureExtractor, available, settings_text
from models.radiomics.recipes import forest
from models.regions.contract import LesionView
from models.training.frames import FrameLesion, TrainingFrame
from models.training.us_rois import RoiModel, class_of
from pipelines.training import Progress

Floats = NDArray[np.float64]

NO_RADIOMICS: Final = "radiomics: pyradiomics is not installed"
NOT_TRAINED: Final = "none: comparators are trained in cross-validation only"


@dataclass(frozen=True, slots=True, kw_only=True)
class Outlined:
    """A frame after the segmenter: its figures, and the boxes of what was outlined."""

    evaluated: EvaluatedFrame
    boxes_px: tuple[BoxPx, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparators:
    """Scores of the comparators by name of the frame, and what they are, in words."""

    radiomics: Mapping[str, float]
    clinical: Mapping[str, float]
    words: str


def outline_frames(
    frames: Sequence[TrainingFrame], segmenter_of: Callable[[int], Segmenter], progress: Progress[TrainingFrame]
) -> tuple[Outlined, ...]:
    """Run a segmenter over all frames; `segmenter_of` gives the one that has not seen a fold."""
    outlined = []
    for frame in progress(frames, len(frames), "outlining"):
        output = segmenter_of(frame.fold).predict(GreyFrame(pixels=frame.pixels, spacing_mm=frame.spacing_mm))
        boxes_px = tuple(region.box_px for region in output.regions)
        outlined.append(Outlined(evaluated=evaluated(frame, output), boxes_px=boxes_px))
    return tuple(outlined)


def score_frames(
    frames: Sequence[TrainingFrame],
    model: RoiModel,
    classifier_of: Callable[[int], LesionClassifier],
    *,
    boxes_px: Mapping[str, Sequence[BoxPx]],
    comparators: Comparators,
    progress: Progress[TrainingFrame],
) -> tuple[ScoredFrame, ...]:
    """Run a classifier over the lesions of the truth and over those of a segmenter, on frames of a known class.

    Parameters
    ----------
    frames : sequence of TrainingFrame
    model : {"us-malignancy", "us-her2"}
        Which classes.
    classifier_of : callable
        Gives the classifier that has not seen a fold.
    boxes_px : mapping of str to sequence of box
        What the segmenter outlined, by name of the frame.
    comparators : Comparators
    progress : callable
    """
    known = labelled_frames(frames, model)
    scored = []
    for frame in progress(known, len(known), "classifying"):
        classifier, grey = classifier_of(frame.fold), GreyFrame(pixels=frame.pixels, spacing_mm=frame.spacing_mm)
        automatic = [classifier.predict(grey, box).probability for box in boxes_px.get(frame.name, ())]
        scored.append(
            ScoredFrame(
                name=frame.name,
                patient=frame.patient,
                fold=frame.fold,
                positive=is_positive(frame, model),
                automatic=max(automatic, default=None),
                drawn=max(classifier.predict(grey, one.box_px).probability for one in lesions_of(frame, model)),
                radiomics=comparators.radiomics.get(frame.name),
                clinical=comparators.clinical.get(frame.name),
            )
        )
    return tuple(scored)


def compare(
    frames: Sequence[TrainingFrame], model: RoiModel, *, seed: int, progress: Progress[TrainingFrame]
) -> Comparators:
    """Train and run the comparators fold by fold: radiomics where pyradiomics is installed, clinical where data are."""
    known = labelled_frames(frames, model)
    positive, folds = [is_positive(frame, model) for frame in known], [frame.fold for frame in known]
    clinical = [_clinical(frame) for frame in known]
    given = sum(values is not None for values in clinical)
    words = [f"clinical (age, stage, BI-RADS; SVM) on {given} frames" if given else "clinical: no such data"]
    radiomics: list[Floats | None] = [None] * len(known)
    if available():
        extractor = FeatureExtractor(settings_text(FEATURES_OF["radiomics-her2-ultrasound"]))
        radiomics = [_features(extractor, frame, model) for frame in progress(known, len(known), "radiomics")]
    found = sum(values is not None for values in radiomics)
    words.insert(0, f"radiomics (961 features, 6 by RFE, 90 trees) on {found} frames" if available() else NO_RADIOMICS)
    names = [frame.name for frame in known]
    return Comparators(
        radiomics=_scores(names, out_of_fold(forest(seed), radiomics, positive, folds)),
        clinical=_scores(names, out_of_fold(clinical_model(seed), clinical, positive, folds)),
        words="; ".join(words),
    )


def labelled_frames(frames: Sequence[TrainingFrame], model: RoiModel) -> tuple[TrainingFrame, ...]:
    """Frames with a lesion whose class is known."""
    return tuple(frame for frame in frames if lesions_of(frame, model))


def lesions_of(frame: TrainingFrame, model: RoiModel) -> tuple[FrameLesion, ...]:
    """Lesions whose class is known."""
    return tuple(lesion for lesion in frame.lesions if class_of(lesion, model) is not None)


def is_positive(frame: TrainingFrame, model: RoiModel) -> bool:
    """Whether any lesion is of the second class."""
    return any(class_of(lesion, model) == 1 for lesion in frame.lesions)


def _clinical(frame: TrainingFrame) -> Floats | None:
    values = (frame.clinical.age, frame.clinical.stage, frame.clinical.birads)
    return None if any(value is None for value in values) else np.array(values, dtype=np.float64)


def _features(extractor: FeatureExtractor, frame: TrainingFrame, model: RoiModel) -> Floats | None:
    """Features of the largest lesion that has a mask; None where none has, or it is too small."""
    masks = [lesion.mask for lesion in lesions_of(frame, model) if lesion.mask is not None]
    if not masks:
        return None
    largest = max(masks, key=lambda mask: int(mask.sum()))
    try:
        return extractor.features(LesionView(pixels=frame.pixels, mask=largest, spacing_mm=None))
    except ValueError:
        return None


def _scores(names: Sequence[str], scores: Sequence[float | None]) -> dict[str, float]:
    return {name: score for name, score in zip(names, scores, strict=True) if score is not None}
