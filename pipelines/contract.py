"""What a pipeline receives (the files of a study) and returns (assessments and encoded objects)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Literal, Protocol

from models.contract import BoxPx, Detection, Label, ModelIdentity
from sr_templates.contract import (
    DEFAULT_KINDS,
    BreastStatus,
    Outcome,
    ReplacedResult,
    ResultObject,
    ResultVariant,
    plain_variants,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Reason:
    """Why something was not analysed: a stable code to count by, and a sentence to read."""

    code: str
    text: str

    def __str__(self) -> str:
        return self.text


@dataclass(frozen=True, slots=True, kw_only=True)
class InstanceFile:
    """A received instance on disk: a DICOM file with its file meta."""

    path: Path
    sop_instance_uid: str
    sop_class_uid: str
    transfer_syntax_uid: str


@dataclass(frozen=True, slots=True, kw_only=True)
class StudyInput:
    """One revision of a study, as the routing gave it to one pipeline.

    Attributes
    ----------
    instances : tuple of InstanceFile
        What this pipeline is to analyse.
    not_routed : tuple of (InstanceFile, Reason)
        The rest of the study, which no pipeline takes; it is reported with its reason.
    replaces : tuple of ReplacedResult
        The results of the revision before this one.
    region_objects : tuple of InstanceFile
        Structured reports, presentation states and segmentations that a person marked regions in.
    """

    study_instance_uid: str
    revision: int
    instances: tuple[InstanceFile, ...]
    not_routed: tuple[tuple[InstanceFile, Reason], ...] = ()
    replaces: tuple[ReplacedResult, ...] = ()
    region_objects: tuple[InstanceFile, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class AnalysisOptions:
    """Settings of one run; time and identity come in from outside.

    Attributes
    ----------
    min_score : float or None
        Score threshold in place of the model's own operating point, 0 to 1.
    device : str
        ``"cpu"``, ``"cuda:N"`` or ``"auto"``.
    weights_dir : pathlib.Path or None
        Folder of installed weights; None: beside each model.
    results : frozenset of ResultVariant
        Result objects to make.
    profiles : frozenset of frozenset of ResultVariant
        The share of each destination, so that none is left without a word on an image; empty: one gets all `results`.
    required_views : tuple of str
        ``"L-CC"``-style names; a breast that lacks one says so.
    occasion : {"node", "command_line"}
        What the run is for; the results of `mammonode analyse` have other UIDs than those that the node sends.
    """

    created_at: datetime
    station_name: str = "MAMMONODE"
    min_score: float | None = None
    device: str = "auto"
    weights_dir: Path | None = None
    results: frozenset[ResultVariant] = plain_variants(*DEFAULT_KINDS)
    required_views: tuple[str, ...] = ("L-CC", "L-MLO", "R-CC", "R-MLO")
    profiles: frozenset[frozenset[ResultVariant]] = frozenset()
    occasion: Literal["node", "command_line"] = "node"

    @property
    def destinations(self) -> frozenset[frozenset[ResultVariant]]:
        """What each destination wants."""
        return self.profiles or frozenset({self.results})

    @property
    def draws(self) -> bool:
        """Whether pictures are wanted, for which pixels are kept until the end."""
        return any(variant.kind in {"heatmap", "summary"} for variant in self.results)

    @property
    def shows_heat(self) -> bool:
        """Whether pictures are wanted that show activations, which are then computed and kept as well."""
        return any(variant.kind == "heatmap" for variant in self.results)


@dataclass(frozen=True, slots=True, kw_only=True)
class Lesion:
    """A lesion outlined on one frame of an ultrasound image.

    Attributes
    ----------
    frame : int
        From 1, as a Referenced Frame Number; 1 for an image of a single frame.
    polygon_px : tuple of (x, y)
        Its outline in the stored frame, closed by its first point, which is not repeated; x column, y row, (0, 0) the
        outer corner of the first pixel.
    box_px : tuple of float
        ``(x0, y0, x1, y1)``: the smallest box around its pixels, likewise.
    score : float
        Probability that what is outlined is a lesion, 0 to 1.
    malignancy : float or None
        Probability that it is malignant, 0 to 1; None when no classifier ran.
    label : {"benign", "malignant"} or None
        `malignancy` by the classifier's threshold.
    long_axis_mm, short_axis_mm, area_mm2 : float or None
        None when the frame is not calibrated.
    her2 : float or None
        Probability that it is HER2-positive, 0 to 1; None when that was not attempted.
    """

    frame: int
    polygon_px: tuple[tuple[float, float], ...]
    box_px: BoxPx
    score: float
    malignancy: float | None
    label: Label | None
    long_axis_mm: float | None
    short_axis_mm: float | None
    area_mm2: float | None
    her2: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RegionOfInterest:
    """Where a lesion is marked on one image.

    Attributes
    ----------
    sop_instance_uid : str
        Of the image.
    frame : int
        From 1; 1 for an image of a single frame.
    polygons_px : tuple of tuple of (x, y)
        Its outlines in the stored frame, each closed by its first point, which is not repeated; x column, y row, (0, 0)
        the outer corner of the first pixel. At least one; a box is a polygon of four points.
    source : {"detector", "radiologist"}
        Who marked it.
    label : str
        What the radiologist calls it (Tracking Identifier, text beside it, Segment Label), or what the node does.
    tracking_uid : str or None
        Its Tracking Unique Identifier, where it has one.
    object_uid : str or None
        SOP Instance UID of the object that the radiologist sent; None for a detector's.
    """

    sop_instance_uid: str
    polygons_px: tuple[tuple[tuple[float, float], ...], ...]
    source: Literal["detector", "radiologist"]
    label: str
    frame: int = 1
    tracking_uid: str | None = None
    object_uid: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Biomarker:
    """What one model of regions predicts of one lesion, or why it does not.

    Attributes
    ----------
    name : str
        The outcome, a key of `models.regions.outcomes.OUTCOMES`.
    value : str or None
        The predicted class; None with a reason.
    probability : float or None
        Of two classes that of the second, positive one, of more that of `value`; 0 to 1.
    probabilities : mapping of str to float
        Of every class; empty with a reason.
    model : ModelIdentity
    roi : tuple of RegionOfInterest
        One a view that is known of the lesion, CC first.
    laterality : {"L", "R"} or None
    reason : Reason or None
        Why there is no value.
    """

    name: str
    value: str | None
    probability: float | None
    probabilities: Mapping[str, float]
    model: ModelIdentity
    roi: tuple[RegionOfInterest, ...]
    laterality: Literal["L", "R"] | None
    reason: Reason | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageAssessment:
    """One image and what was found on it.

    Attributes
    ----------
    reason : Reason or None
        Why it was not analysed; of an analysed image, what of it was not.
    detections : tuple of Detection
        Boxes of mammography, in stored-pixel coordinates.
    lesions : tuple of Lesion
        Outlines of ultrasound, likewise.
    malignancy, second_opinion : float or None
        0 to 1; None when not analysed, or not classified.
    """

    sop_instance_uid: str
    laterality: Literal["L", "R"] | None
    view: str | None
    outcome: Outcome
    reason: Reason | None
    detections: tuple[Detection, ...] = ()
    lesions: tuple[Lesion, ...] = ()
    malignancy: float | None = None
    second_opinion: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class BreastAssessment:
    """One breast: status and confidence by the paper's rule over its views."""

    laterality: Literal["L", "R"]
    status: BreastStatus
    confidence: float | None
    views: tuple[str, ...]
    reason: Reason | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PipelineResult:
    """The answer to one study revision by one pipeline; `models_s` is the time spent inside the models."""

    study_instance_uid: str
    pipeline: str
    revision: int
    outcome: Outcome
    reason: Reason | None
    images: tuple[ImageAssessment, ...]
    breasts: tuple[BreastAssessment, ...]
    models: tuple[ModelIdentity, ...]
    objects: tuple[ResultObject, ...]
    models_s: float = 0.0
    biomarkers: tuple[Biomarker, ...] = ()


class Pipeline(Protocol):
    """What the node calls. A new modality implements this and adds a line to `pipelines.registry`."""

    name: str

    def warm_up(self, options: AnalysisOptions) -> None:
        """Load models and run them once, so that the first study does not wait."""
        ...

    def analyse(self, study: StudyInput, options: AnalysisOptions) -> PipelineResult:
        """Analyse `study`; what cannot be analysed comes back as a reason, never as an exception."""
        ...

    def report_failure(self, study: StudyInput, options: AnalysisOptions, reason: Reason) -> PipelineResult:
        """Answer for a study that could not be finished, from headers alone (no pixel is touched)."""
        ...
