"""What the templates receive (a report of plain values) and return (encoded objects)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset

ResultKind = Literal["cad_sr", "measurement_sr", "heatmap", "summary", "presentation_state"]
SRClass = Literal["comprehensive_3d", "comprehensive"]
CaptureCompression = Literal["none", "jpeg_baseline"]
Outcome = Literal["analysed", "not_analysed", "failed"]
AlgorithmStatus = Literal["succeeded", "partially_succeeded", "failed", "not_attempted"]
BreastStatus = Literal["benign", "malignant", "no_calcification", "not_analysed"]
Label = Literal["benign", "malignant"]
Target = Literal["calcification", "lesion"]
"""What a study was searched for: calcifications on mammograms, lesions on ultrasound."""


REGIONS_TAKEN: Final = "a radiologist's regions were taken from it"
"""What is said of an object that was marked regions in; then which of its marks were refused, and why."""

DEFAULT_KINDS: tuple[ResultKind, ...] = ("cad_sr", "measurement_sr", "heatmap", "summary")
"""What a destination gets that asks for nothing special."""

_CAPTURES: frozenset[ResultKind] = frozenset({"heatmap", "summary"})

# PS3.4 B.5
_SOP_CLASSES: Mapping[tuple[ResultKind, SRClass], str] = {
    ("cad_sr", "comprehensive_3d"): "1.2.840.10008.5.1.4.1.1.88.50",
    ("measurement_sr", "comprehensive_3d"): "1.2.840.10008.5.1.4.1.1.88.34",
    ("measurement_sr", "comprehensive"): "1.2.840.10008.5.1.4.1.1.88.33",
    ("heatmap", "comprehensive_3d"): "1.2.840.10008.5.1.4.1.1.7",
    ("summary", "comprehensive_3d"): "1.2.840.10008.5.1.4.1.1.7",
    ("presentation_state", "comprehensive_3d"): "1.2.840.10008.5.1.4.1.1.11.1",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class ResultVariant:
    """A kind of result in one form: destinations that want the same form share the objects.

    Attributes
    ----------
    sr_class : {"comprehensive_3d", "comprehensive"}
        SOP class of a measurement report.
    max_side_px : int
        Longest side of a capture.
    compression : {"none", "jpeg_baseline"}
        Of a capture's pixels.
    """

    kind: ResultKind
    sr_class: SRClass = "comprehensive_3d"
    max_side_px: int = 2048
    compression: CaptureCompression = "none"

    def __post_init__(self) -> None:
        """Forget options that mean nothing for the kind, so that equal objects have equal variants."""
        if self.kind != "measurement_sr":
            object.__setattr__(self, "sr_class", "comprehensive_3d")
        if self.kind not in _CAPTURES:
            object.__setattr__(self, "max_side_px", 2048)
            object.__setattr__(self, "compression", "none")

    @property
    def sop_class_uid(self) -> str:
        """SOP class of the objects."""
        return _SOP_CLASSES[self.kind, self.sr_class]

    @property
    def name(self) -> str:
        """Stable name, e.g. ``"heatmap"`` or ``"heatmap 1024 jpeg_baseline"``; part of UIDs and of the ledger."""
        words: list[str] = [self.kind]
        if self.sr_class != "comprehensive_3d":
            words.append(self.sr_class)
        if self.max_side_px != 2048:
            words.append(str(self.max_side_px))
        if self.compression != "none":
            words.append(self.compression)
        return " ".join(words)


def plain_variants(*kinds: ResultKind) -> frozenset[ResultVariant]:
    """Kinds of result with the default options."""
    return frozenset(ResultVariant(kind=kind) for kind in kinds)


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplacedResult:
    """A result of an earlier revision of the same study, which this one replaces; `variant` is its variant's name."""

    variant: str
    revision: int
    sop_class_uid: str
    sop_instance_uid: str
    series_instance_uid: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportedAlgorithm:
    """A model that ran, or was meant to.

    Attributes
    ----------
    weights_sha256 : str or None
        Hex digest of the weights; None when none are installed.
    operating_point : mapping of str to float
        The thresholds in force.
    status : str
        Over the whole study.
    reason : str
        Why it did not succeed on everything; empty when it did.
    task : {"detection", "classification"}
        Detections and analyses are summed up apart (TID 4000 rows 4 and 5).
    """

    name: str
    version: str
    weights_sha256: str | None
    operating_point: Mapping[str, float]
    status: AlgorithmStatus
    reason: str = ""
    task: Literal["detection", "classification"] = "detection"


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportedFinding:
    """A finding on one image: of the report's target.

    Attributes
    ----------
    box_px : tuple of float
        ``(x0, y0, x1, y1)`` in the stored image; x column, y row; (0, 0) is the outer top left corner of the first
        pixel, as in SCOORD (PS3.3 C.18.6).
    label : {"benign", "malignant"} or None
        The likelier class; None when no classifier ran.
    score : float
        Probability that there is what was looked for, benign or malignant, 0 to 1.
    malignancy : float or None
        Probability that it is malignant, 0 to 1: of calcifications no more than `score`, and always there.
    algorithm : str
        Name of the `ReportedAlgorithm` that found it.
    classifier : str
        Name of the one that `malignancy` is from; empty when it is the same.
    frame_number : int or None
        1-based, for multi-frame images.
    calcification_count : int or None
        Number of calcifications in a cluster, where the algorithm counts them.
    polygon_px : tuple of (x, y)
        Outline, closed by its first point, which is not repeated; empty: the box is the outline.
    long_axis_mm, short_axis_mm, area_mm2 : float or None
        Size, where the image is calibrated.
    her2 : float or None
        Probability that it is HER2-positive, 0 to 1; None when that was not attempted.
    """

    box_px: tuple[float, float, float, float]
    label: Label | None
    score: float
    malignancy: float | None
    algorithm: str
    classifier: str = ""
    frame_number: int | None = None
    calcification_count: int | None = None
    polygon_px: tuple[tuple[float, float], ...] = ()
    long_axis_mm: float | None = None
    short_axis_mm: float | None = None
    area_mm2: float | None = None
    her2: float | None = None

    @property
    def gravity(self) -> tuple[float, float]:
        """What the gravest finding has most of: malignancy, and what is not classified by how sure it is."""
        return -1.0 if self.malignancy is None else self.malignancy, self.score


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportedImage:
    """One source image and what was, or was not, seen on it.

    Attributes
    ----------
    header : pydicom.Dataset
        The image's data set without its pixel data.
    laterality : {"L", "R"} or None
    view : str or None
        Short name of the view (PS3.3 ViewPosition terms): "CC", "MLO", "ML", ...
    view_modifiers : tuple of str
        SNOMED CT code values of CID 4015.
    outcome, reason
        Reason is a sentence for the radiologist: why it was not analysed, or what of an analysed image was not.
    malignancy : float or None
        Probability that the image shows a malignant finding.
    second_opinion : float or None
        The same by the whole-image classifier, where it ran; it decides nothing.
    display : numpy.ndarray or None
        Shape ``(rows, columns)``, uint8, the image through its own VOI LUT, in the stored frame, MONOCHROME2 sense
        (0 black). None when the pixels could not be decoded.
    activation : numpy.ndarray or None
        Shape ``(rows, columns)`` of the stored frame, float32, 0 to 1.
    display_frame : int or None
        Which frame of a multi-frame image `display` and `activation` show, from 1; None for a single frame.
    display_spacing_mm : tuple of float or None
        ``(row, column)`` of an ultrasound picture by its region calibration; of other images the header tells.
    """

    header: Dataset
    laterality: Literal["L", "R"] | None
    view: str | None
    view_modifiers: tuple[str, ...] = ()
    outcome: Outcome
    reason: str = ""
    findings: tuple[ReportedFinding, ...] = ()
    malignancy: float | None = None
    second_opinion: float | None = None
    display: NDArray[np.uint8] | None = None
    activation: NDArray[np.float32] | None = None
    display_frame: int | None = None
    display_spacing_mm: tuple[float, float] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportedBreast:
    """Breast-level status (the paper's rule over CC and MLO); confidence 0 to 1, None when not analysed."""

    laterality: Literal["L", "R"]
    status: BreastStatus
    confidence: float | None
    views: tuple[str, ...]
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportedRegion:
    """A region of one image that predictions were made from.

    Attributes
    ----------
    sop_instance_uid : str
        Of the image, which is one of the report's.
    polygons_px : tuple of tuple of (x, y)
        Outlines in the stored image, each closed by its first point, which is not repeated; coordinates as in
        `ReportedFinding.box_px`. At least one.
    source : {"detector", "radiologist"}
        Who marked it.
    label : str
        What the radiologist calls it, or what the node does.
    frame_number : int or None
        1-based, for multi-frame images.
    tracking_uid : str or None
        That of the radiologist's region, which the answer then repeats.
    object_uid : str or None
        SOP Instance UID of the object that the radiologist sent.
    """

    sop_instance_uid: str
    polygons_px: tuple[tuple[tuple[float, float], ...], ...]
    source: Literal["detector", "radiologist"]
    label: str
    frame_number: int | None = None
    tracking_uid: str | None = None
    object_uid: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportedPrediction:
    """What a model predicts of a lesion: a receptor, a subtype or the node; no laboratory result.

    Attributes
    ----------
    name : str
        What is predicted: ``"er"``, ``"her2"``, ``"subtype"``, ``"node"``, ...; a key of `codes.PREDICTED`.
    value : str or None
        Name of the class; None with a reason.
    probability : float or None
        Of two classes that of the positive one, of more that of `value`; 0 to 1.
    probabilities : mapping of str to float
        Of every class.
    algorithm : str
        Name of the `ReportedAlgorithm`.
    regions : tuple of ReportedRegion
        What it was computed on: one a view.
    laterality : {"L", "R"} or None
    reason : str
        Why there is no value; empty when there is one.
    """

    name: str
    value: str | None
    probability: float | None
    probabilities: Mapping[str, float]
    algorithm: str
    regions: tuple[ReportedRegion, ...]
    laterality: Literal["L", "R"] | None
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportingDevice:
    """The node itself, for Contributing Equipment (PS3.3 C.12.1) and observer context (TID 1004)."""

    station_name: str
    manufacturer: str = "mammonode"
    model_name: str = "mammonode"
    software_version: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class StudyReport:
    """Everything that the result objects of one study revision say.

    Attributes
    ----------
    images : tuple of ReportedImage
        Every image of the study, analysed or not, in a stable order. A mammogram is one even if it holds no pixels or
        its file is damaged: it was meant to be looked at.
    other_instances : tuple of (pydicom.Dataset, str)
        All other instances (structured reports, marks on the images): header and the reason it was not analysed; or, of
        one that regions came from, what begins with `REGIONS_TAKEN`.
    predictions : tuple of ReportedPrediction
        Lesion by lesion; all predictions of a lesion have equal `regions`.
    target : {"calcification", "lesion"}
        What the images were searched for.
    configuration : mapping of str to str
        What else the result depends on, the regions of `predictions` among it; part of every derived UID.
    replaces : tuple of ReplacedResult
        The results of the revision before this one; empty for the first.
    created_at : datetime.datetime
        Aware; the only clock that reaches the objects.
    """

    study_instance_uid: str
    revision: int
    pipeline: str
    outcome: Outcome
    reason: str
    images: tuple[ReportedImage, ...]
    other_instances: tuple[tuple[Dataset, str], ...] = ()
    breasts: tuple[ReportedBreast, ...] = ()
    algorithms: tuple[ReportedAlgorithm, ...] = ()
    predictions: tuple[ReportedPrediction, ...] = ()
    target: Target = "calcification"
    device: ReportingDevice
    configuration: Mapping[str, str] = field(default_factory=dict)
    replaces: tuple[ReplacedResult, ...] = ()
    created_at: datetime

    @property
    def image_algorithms(self) -> tuple[ReportedAlgorithm, ...]:
        """Algorithms that look at whole images: all but those that nothing but predictions of lesions is from."""
        of_lesions = {prediction.algorithm for prediction in self.predictions}
        of_findings = {
            name
            for image in self.images
            for finding in image.findings
            for name in (finding.algorithm, finding.classifier)
        }
        return tuple(a for a in self.algorithms if a.name not in of_lesions - of_findings)


@dataclass(frozen=True, slots=True, kw_only=True)
class ResultObject:
    """One encoded DICOM result.

    Attributes
    ----------
    variant : ResultVariant
        Kind and form.
    content : bytes
        A complete DICOM file (preamble, file meta, data set), encoded once and never again.
    referenced_sop_instance_uid : str or None
        The source image of a heatmap.
    stands_in_for : frozenset of frozenset of ResultVariant
        Wanted sets of variants that get this object unasked, as they would else say nothing of some image.
    """

    variant: ResultVariant
    sop_class_uid: str
    sop_instance_uid: str
    series_instance_uid: str
    transfer_syntax_uid: str
    content: bytes
    referenced_sop_instance_uid: str | None = None
    stands_in_for: frozenset[frozenset[ResultVariant]] = frozenset()

    def is_for(self, wanted: frozenset[ResultVariant]) -> bool:
        """Whether a destination that wants these variants gets this object."""
        return self.variant in wanted or wanted in self.stands_in_for

    @property
    def kind(self) -> ResultKind:
        """Kind of the variant."""
        return self.variant.kind
