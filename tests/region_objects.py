"""Objects in which a radiologist marked regions, as viewers write them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import highdicom as hd
import numpy as np
from numpy.typing import NDArray
from pydicom import DataElement, Dataset, dcmread
from pydicom.dataset import FileMetaDataset
from pydicom.sr.codedict import codes
from pydicom.uid import (
    UID,
    Comprehensive3DSRStorage,
    ExplicitVRLittleEndian,
    GrayscaleSoftcopyPresentationStateStorage,
)

from tests.factories import uid

DCM = "DCM"
OHIF_MARKS = Path(__file__).parent / "golden" / "ohif_3.13.2_marks.dcm"
OHIF_IMAGE_PX = (2100, 2600)
"""Columns and rows of the image that its marks are on."""

OF_THE_IMAGE = {
    "PatientID": "PatientID",
    "PatientName": "PatientName",
    "ReferencedSOPClassUID": "SOPClassUID",
    "ReferencedSOPInstanceUID": "SOPInstanceUID",
    "StudyInstanceUID": "StudyInstanceUID",
}
"""Elements of a report, however deep, and those of an image that say the same."""

Outline = Sequence[tuple[float, float]]
SQUARE: Outline = ((40.0, 60.0), (70.0, 60.0), (70.0, 90.0), (40.0, 90.0))


def measurement_report(
    images: Sequence[Dataset],
    marks: Sequence[tuple[int, str, Outline]],
    *,
    label: str = "Lesion 1",
    tracking_uid: str | None = None,
    by_device: bool = False,
) -> Dataset:
    """TID 1500 by highdicom: of each mark the index of its image, the graphic type and the points."""
    observer = (
        hd.sr.ObserverContext(
            observer_type=codes.DCM.Device,
            observer_identifying_attributes=hd.sr.DeviceObserverIdentifyingAttributes(uid=UID(uid("device"))),
        )
        if by_device
        else hd.sr.ObserverContext(
            observer_type=codes.DCM.Person,
            observer_identifying_attributes=hd.sr.PersonObserverIdentifyingAttributes(name="Reader^Rita"),
        )
    )
    groups = [
        hd.sr.PlanarROIMeasurementsAndQualitativeEvaluations(
            tracking_identifier=hd.sr.TrackingIdentifier(
                uid=UID(tracking_uid or uid("track", index)), identifier=label
            ),
            referenced_region=hd.sr.ImageRegion(
                graphic_type=hd.sr.GraphicTypeValues(kind),
                graphic_data=np.array(closed(outline) if kind == "POLYLINE" else outline),
                source_image=hd.sr.SourceImageForRegion(images[image].SOPClassUID, images[image].SOPInstanceUID),
            ),
            finding_type=codes.SCT.Mass,
        )
        for index, (image, kind, outline) in enumerate(marks)
    ]
    report = hd.sr.MeasurementReport(
        observation_context=hd.sr.ObservationContext(observer_person_context=observer),
        procedure_reported=codes.SCT.ImagingProcedure,
        imaging_measurements=groups,
    )
    return hd.sr.Comprehensive3DSR(
        evidence=list(images),
        content=report[0],
        series_instance_uid=uid("report series"),
        sop_instance_uid=uid("report", label, *map(str, marks)),
        series_number=900,
        instance_number=1,
        manufacturer="viewer",
    )


def closed(outline: Outline) -> list[tuple[float, float]]:
    """The points with the first one repeated."""
    return [*outline, outline[0]]


def viewer_report(
    image: Dataset, outline: Outline, *, tool: str = "RectangleROI", finding: str = "lesion A"
) -> Dataset:
    """As viewers built on dcmjs write it: the coordinates below two measurements, a tool in the place of a name."""
    marks = [
        item(
            "CONTAINS",
            "NUM",
            ("42798000", "SCT", name),
            ContentSequence=[scoord("INFERRED FROM", "POLYLINE", outline, image)],
        )
        for name in ("Area", "Perimeter")
    ]
    group = item(
        "CONTAINS",
        "CONTAINER",
        ("125007", DCM, "Measurement Group"),
        ContentSequence=[
            item(
                "HAS OBS CONTEXT",
                "TEXT",
                ("112039", DCM, "Tracking Identifier"),
                TextValue=f"Cornerstone3DTools@^0.1.0:{tool}",
            ),
            item("HAS OBS CONTEXT", "UIDREF", ("112040", DCM, "Tracking Unique Identifier"), UID=uid("viewer track")),
            item(
                "CONTAINS",
                "CODE",
                ("121071", DCM, "Finding"),
                ConceptCodeSequence=[code("CORNERSTONEFREETEXT", "CORNERSTONEJS", finding)],
            ),
            *marks,
        ],
    )
    return report_of([group], image)


def saved_by_ohif(image: Dataset) -> Dataset:
    """The report that OHIF saved of marks by hand (`tests/golden/README.md`), as if they were on `image`."""
    report = dcmread(OHIF_MARKS)
    scale = image.Columns / OHIF_IMAGE_PX[0], image.Rows / OHIF_IMAGE_PX[1]

    def rebind(part: Dataset, element: DataElement) -> None:
        if element.keyword == "GraphicData":
            element.value = [value * scale[index % 2] for index, value in enumerate(element.value)]
        elif element.keyword in OF_THE_IMAGE:
            element.value = image[OF_THE_IMAGE[element.keyword]].value

    report.walk(rebind)
    evidence = report.CurrentRequestedProcedureEvidenceSequence[0]
    evidence.ReferencedSeriesSequence[0].SeriesInstanceUID = image.SeriesInstanceUID
    return report


def report_of(groups: Sequence[Dataset], image: Dataset, **elements: Any) -> Dataset:
    """A bare Comprehensive 3D SR around measurement groups."""
    measurements = item("CONTAINS", "CONTAINER", ("126010", DCM, "Imaging Measurements"), ContentSequence=list(groups))
    return _object(
        Comprehensive3DSRStorage,
        image,
        "SR",
        "viewer report",
        ValueType="CONTAINER",
        ConceptNameCodeSequence=[code("126000", DCM, "Imaging Measurement Report")],
        ContentSequence=[measurements],
        **elements,
    )


def scoord(relationship: str, kind: str, outline: Outline, image: Dataset) -> Dataset:
    """An SCOORD selected from an image."""
    selected = item("SELECTED FROM", "IMAGE", None, ReferencedSOPSequence=[reference(image)])
    data = [value for point in outline for value in point]
    return item(relationship, "SCOORD", None, GraphicType=kind, GraphicData=data, ContentSequence=[selected])


def presentation_state(
    image: Dataset,
    graphics: Sequence[Dataset],
    *,
    compounds: Sequence[Dataset] = (),
    text: str = "ask this",
    **elements: Any,
) -> Dataset:
    """A presentation state with one annotation of `graphics` and a text."""
    annotation = dataset(
        GraphicLayer="ROI",
        ReferencedImageSequence=[reference(image)],
        GraphicObjectSequence=list(graphics),
        TextObjectSequence=[dataset(UnformattedTextValue=text)],
    )
    if compounds:
        annotation.CompoundGraphicSequence = list(compounds)
    return _object(
        GrayscaleSoftcopyPresentationStateStorage,
        image,
        "PR",
        "state",
        GraphicAnnotationSequence=[annotation],
        **elements,
    )


def graphic(kind: str, outline: Outline, *, filled: bool = False, units: str = "PIXEL") -> Dataset:
    """A graphic object."""
    return dataset(
        GraphicAnnotationUnits=units,
        GraphicDimensions=2,
        NumberOfGraphicPoints=len(outline),
        GraphicData=[value for point in outline for value in point],
        GraphicType=kind,
        GraphicFilled="Y" if filled else "N",
    )


def segmentation(image: Dataset, mask: NDArray[np.bool_], *, label: str = "mass", automatic: bool = False) -> Dataset:
    """A binary segmentation of one segment by highdicom."""
    kinds = hd.seg.SegmentAlgorithmTypeValues
    described = hd.seg.SegmentDescription(
        segment_number=1,
        segment_label=label,
        segmented_property_category=codes.SCT.MorphologicallyAbnormalStructure,
        segmented_property_type=codes.SCT.Mass,
        algorithm_type=kinds.AUTOMATIC if automatic else kinds.MANUAL,
        algorithm_identification=hd.AlgorithmIdentificationSequence(
            name="x", family=codes.DCM.ArtificialIntelligence, version="1"
        )
        if automatic
        else None,
    )
    return hd.seg.Segmentation(
        source_images=[image],
        pixel_array=mask[None].astype(np.uint8),
        segmentation_type="BINARY",
        segment_descriptions=[described],
        series_instance_uid=uid("mask series"),
        series_number=901,
        sop_instance_uid=uid("mask", label),
        instance_number=1,
        manufacturer="viewer",
        manufacturer_model_name="viewer",
        software_versions="1",
        device_serial_number="1",
    )


def saved(made: Dataset, path: Path) -> Path:
    """Write an object."""
    made.save_as(path, enforce_file_format=True)
    return path


def _object(sop_class_uid: str, image: Dataset, modality: str, name: str, **elements: Any) -> Dataset:
    made = dataset(
        SOPClassUID=sop_class_uid,
        SOPInstanceUID=uid(name, image.SOPInstanceUID),
        StudyInstanceUID=image.StudyInstanceUID,
        SeriesInstanceUID=uid(name, "series"),
        Modality=modality,
        PatientID=image.PatientID,
        PatientName=image.PatientName,
        **elements,
    )
    made.file_meta = FileMetaDataset()
    made.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    made.file_meta.MediaStorageSOPClassUID = sop_class_uid
    made.file_meta.MediaStorageSOPInstanceUID = made.SOPInstanceUID
    return made


def reference(image: Dataset) -> Dataset:
    """SOP class and instance of an image."""
    return dataset(ReferencedSOPClassUID=image.SOPClassUID, ReferencedSOPInstanceUID=image.SOPInstanceUID)


def item(relationship: str, value_type: str, name: tuple[str, str, str] | None, **elements: Any) -> Dataset:
    """A content item."""
    made = dataset(RelationshipType=relationship, ValueType=value_type, **elements)
    if name is not None:
        made.ConceptNameCodeSequence = [code(*name)]
    return made


def code(value: str, scheme: str, meaning: str) -> Dataset:
    """A coded entry."""
    return dataset(CodeValue=value, CodingSchemeDesignator=scheme, CodeMeaning=meaning)


def dataset(**elements: Any) -> Dataset:
    """A data set of these elements."""
    made = Dataset()
    for keyword, value in elements.items():
        setattr(made, keyword, value)
    return made
