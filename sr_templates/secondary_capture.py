"""Secondary capture of each image with its result drawn on it (PS3.3 A.8.1), for viewers that show nothing else."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from sr_templates import codes
from sr_templates.content import code_sequence, dicom_date, dicom_time, text
from sr_templates.contract import ReportedImage, ResultObject, ResultVariant, StudyReport
from sr_templates.document import RESEARCH_USE, ResultDocument, finish
from sr_templates.drawing import BENIGN, MALIGNANT, QUIET, WARNING, Line, Mark, render
from sr_templates.evidence import patient_orientation, reference, valid_number, valid_text, value_text
from sr_templates.wording import NumberedFinding, clipped_box_px, image_name, numbered_findings, result_sentence

SOP_CLASS_UID = "1.2.840.10008.5.1.4.1.1.7"
SERIES_NUMBER = 9003
SERIES_DESCRIPTION = "AI heatmap - NOT FOR PRIMARY DIAGNOSIS"

_LISTED_FINDINGS = 8
_TAGGED_IN_FULL = 12
_HASH_PREFIX = 12
_REASON_CHARACTERS = 300


def make_secondary_captures(report: StudyReport, variant: ResultVariant) -> tuple[ResultObject, ...]:
    """Make one picture for each image whose pixels could be decoded.

    Parameters
    ----------
    report : StudyReport
        Images with `display`, in the stored frame.

    Returns
    -------
    tuple of ResultObject
        RGB, at most `drawing.MAX_SIDE_PX` pixels on the long side. Images without `display` have none; the structured
        reports say why.
    """
    return tuple(
        finish(
            report,
            SecondaryCapture(report, variant, image, picture, instance_number=number),
            variant,
            source_sop_instance_uid=value_text(image.header, "SOPInstanceUID"),
        )
        for number, (image, picture) in enumerate(_pictures(report, variant), start=1)
    )


def _pictures(report: StudyReport, variant: ResultVariant) -> Iterator[tuple[ReportedImage, NDArray[np.uint8]]]:
    for image in report.images:
        if image.display is not None and reference(image.header) is not None:
            yield image, draw_result(report, image, max_side_px=variant.max_side_px)


class SecondaryCapture(ResultDocument):
    """Headers of PS3.3 A.8.1.3 around a drawn picture, shape ``(rows, columns, 3)``, uint8."""

    def __init__(
        self,
        report: StudyReport,
        variant: ResultVariant,
        image: ReportedImage,
        picture: NDArray[np.uint8],
        *,
        instance_number: int,
    ) -> None:
        header = image.header
        super().__init__(
            report,
            variant=variant,
            part=value_text(header, "SOPInstanceUID"),
            sop_class_uid=SOP_CLASS_UID,
            modality="OT",
            series_number=SERIES_NUMBER,
            series_description=SERIES_DESCRIPTION,
            instance_number=instance_number,
        )
        self._say_where_it_comes_from(report, image)
        self.ConversionType = "WSD"
        self.DateOfSecondaryCapture = dicom_date(report.created_at)
        self.TimeOfSecondaryCapture = dicom_time(report.created_at)
        self.BodyPartExamined = "BREAST"
        self.BurnedInAnnotation = "YES"
        self.RecognizableVisualFeatures = "NO"
        self.PatientOrientation = list(patient_orientation(header) or ())
        if image.laterality is not None:
            self.ImageLaterality = image.laterality
        else:
            self.Laterality = ""  # type 2C of a paired organ: asked for, and not known
        if image.view in codes.VIEW:
            self.ViewPosition = image.view
            self.ViewCodeSequence = code_sequence(codes.VIEW[image.view])  # its modifiers mean another thing here
        self._set_pixels(picture)

    def _say_where_it_comes_from(self, report: StudyReport, image: ReportedImage) -> None:
        """General Image and derivation attributes (PS3.3 C.7.6.1)."""
        self.ImageType = ["DERIVED", "SECONDARY"]
        source = reference(image.header)
        if source is not None:
            item = source.as_item()
            item.PurposeOfReferenceCodeSequence = code_sequence(codes.SOURCE_IMAGE_FOR_PROCESSING)
            item.SpatialLocationsPreserved = "NO"
            self.SourceImageSequence = [item]
        names = ", ".join(f"{a.name} {a.version}" for a in report.algorithms) or "no algorithm"
        self.DerivationDescription = text(
            f"{RESEARCH_USE} Source image rendered to 8 bits with the result of {names} drawn on it. "
            f"{result_sentence(image.outcome, image.reason)}",
            1024,
        )
        if value_text(image.header, "LossyImageCompression") == "01":
            self.LossyImageCompression = "01"

    def _set_pixels(self, picture: NDArray[np.uint8]) -> None:
        """Image Pixel module (PS3.3 C.7.6.3), colour by pixel."""
        self.SamplesPerPixel = 3
        self.PhotometricInterpretation = "RGB"
        self.PlanarConfiguration = 0
        self.Rows, self.Columns = picture.shape[:2]
        self.BitsAllocated = 8
        self.BitsStored = 8
        self.HighBit = 7
        self.PixelRepresentation = 0
        self.add_new("PixelData", "OB", picture.tobytes())


def draw_result(report: StudyReport, image: ReportedImage, *, max_side_px: int) -> NDArray[np.uint8]:
    """Draw the result of one image whose `display` is there.

    Returns
    -------
    numpy.ndarray
        Shape ``(rows, columns, 3)``, uint8, RGB.
    """
    if image.display is None:
        raise ValueError("an image without decoded pixels cannot be drawn")
    found = [numbered for numbered in numbered_findings(report) if numbered.image is image]
    return render(
        image.display,
        activation=image.activation,
        marks=[_mark(image, numbered, len(found)) for numbered in found],
        above=list(_lines_above(report, image)),
        below=list(_lines_below(report, image, found)),
        max_side_px=max_side_px,
    )


def _mark(image: ReportedImage, numbered: NumberedFinding, count: int) -> Mark:
    finding = numbered.finding
    rows, columns = image.display.shape if image.display is not None else (0, 0)
    stated = (valid_number(image.header, "Rows"), valid_number(image.header, "Columns"))
    x0, y0, x1, y1 = finding.box_px if stated == (None, None) else clipped_box_px(image, finding)
    box = (min(max(x0, 0.0), columns), min(max(y0, 0.0), rows), min(max(x1, 0.0), columns), min(max(y1, 0.0), rows))
    tag = f"{numbered.number} {finding.label} {finding.score:.2f}" if count <= _TAGGED_IN_FULL else str(numbered.number)
    return Mark(box_px=box, tag=tag, color=MALIGNANT if finding.label == "malignant" else BENIGN)


def _lines_above(report: StudyReport, image: ReportedImage) -> Iterator[Line]:
    date = valid_text(image.header, "StudyDate")
    when = f"study of {date[:4]}-{date[4:6]}-{date[6:]}" if date else "study date unknown"
    modifiers = [codes.VIEW_MODIFIER[m].meaning.lower() for m in image.view_modifiers if m in codes.VIEW_MODIFIER]
    yield Line(text=text(", ".join((image_name(image), *modifiers, when))), scale=1.35)
    if image.outcome == "analysed":
        count = len(image.findings)
        words = f"{count} calcification finding{'' if count == 1 else 's'}" if count else "No calcification found"
        if image.malignancy is not None:
            words += f"; probability of malignancy of the image {100 * image.malignancy:.1f} %"
        yield Line(text=words, scale=1.15)
    else:
        yield Line(
            text=text(result_sentence(image.outcome, image.reason), _REASON_CHARACTERS), color=WARNING, scale=1.15
        )


def _lines_below(report: StudyReport, image: ReportedImage, found: list[NumberedFinding]) -> Iterator[Line]:
    gravest_first = sorted(found, key=lambda numbered: -numbered.finding.malignancy)
    for numbered in gravest_first[:_LISTED_FINDINGS]:
        finding = numbered.finding
        frame = f", frame {finding.frame_number}" if finding.frame_number is not None else ""
        yield Line(
            text=f"{numbered.number}  predicted {finding.label}, score {finding.score:.2f}, "
            f"probability of cancer {100 * finding.malignancy:.1f} %{frame}",
            color=MALIGNANT if finding.label == "malignant" else BENIGN,
        )
    if len(found) > _LISTED_FINDINGS:
        yield Line(text=f"and {len(found) - _LISTED_FINDINGS} more, listed in the structured report")
    if image.activation is not None:
        yield Line(text="Red to yellow: class activation, where the network looked", color=QUIET)
    for algorithm in report.algorithms:
        weights = (
            f"weights {algorithm.weights_sha256[:_HASH_PREFIX]}" if algorithm.weights_sha256 else "no weights installed"
        )
        point = ", ".join(f"{name} {value:g}" for name, value in sorted(algorithm.operating_point.items()))
        words = f"{algorithm.name} {algorithm.version}, {weights}" + (f", {point}" if point else "")
        yield Line(text=text(words), color=QUIET, scale=0.9)
    made = f"{report.device.model_name} {report.device.software_version}".strip()
    yield Line(text=text(f"{made}, {report.created_at:%Y-%m-%d %H:%M}"), color=QUIET, scale=0.9)
    yield Line(text="RESEARCH USE, NOT FOR PRIMARY DIAGNOSIS", color=WARNING, scale=1.15)
