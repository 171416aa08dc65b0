"""Heatmap: a secondary capture of each image with its result drawn on it, for viewers that show nothing else."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from sr_templates import codes
from sr_templates.capture import Capture
from sr_templates.capture_words import (
    BANNER,
    algorithm_lines,
    analysis_line,
    apart,
    count_words,
    finding_lines,
    marks_of,
    outcome_color,
    prediction_lines,
    region_marks_of,
    revision_line,
    second_opinion_words,
    study_date_words,
)
from sr_templates.content import code_sequence, text
from sr_templates.contract import ReportedImage, ResultObject, ResultVariant, StudyReport
from sr_templates.document import finish
from sr_templates.drawing import WARNING, Line
from sr_templates.evidence import patient_orientation, reference, valid_number, value_text
from sr_templates.heatmap_layout import Words
from sr_templates.heatmap_picture import HeatmapPicture, render
from sr_templates.predictions import algorithms_shown, predicted_lesions, regions_on
from sr_templates.scales import PixelSize, pixel_size
from sr_templates.wording import image_name, malignancy_words, numbered_findings, result_sentence

SERIES_NUMBER = 9003
SERIES_DESCRIPTION = "AI heatmap - NOT FOR PRIMARY DIAGNOSIS"

_TAGGED_IN_FULL = 12
_LISTED_FINDINGS = 8


def make_secondary_captures(report: StudyReport, variant: ResultVariant) -> tuple[ResultObject, ...]:
    """Make one picture for each image whose pixels could be decoded.

    Parameters
    ----------
    report : StudyReport
        Images with `display`, in the stored frame.
    variant : ResultVariant
        Longest side and compression.

    Returns
    -------
    tuple of ResultObject
        One for each image with `display` that can be referred to; of the others the summary and the structured
        reports say why.
    """
    drawable = [image for image in report.images if image.display is not None and reference(image.header) is not None]
    return tuple(
        finish(
            report,
            Heatmap(
                report,
                variant,
                image,
                draw_result(report, image, max_side_px=variant.max_side_px).pixels,
                instance_number=number,
            ),
            variant,
            source_sop_instance_uid=value_text(image.header, "SOPInstanceUID"),
        )
        for number, image in enumerate(drawable, start=1)
    )


class Heatmap(Capture):
    """A capture of one image: its side, its view and its orientation are those of the source.

    View modifiers are in the picture and in Derivation Description only: inside of View Code Sequence they are what
    PS3.3 C.8.11.7 makes them in a mammogram, and dciodvfy reads those of a Secondary Capture as content items.
    """

    def __init__(
        self,
        report: StudyReport,
        variant: ResultVariant,
        image: ReportedImage,
        picture: NDArray[np.uint8],
        *,
        instance_number: int,
    ) -> None:
        shown = algorithms_shown(report, image)
        names = ", ".join(f"{a.name} {a.version}" for a in shown) or "no algorithm"
        super().__init__(
            report,
            variant,
            picture,
            part=value_text(image.header, "SOPInstanceUID"),
            sources=(image,),
            derivation=f"Source image ({_title(image)}) rendered to 8 bits with the result of {names} drawn on it. "
            f"{result_sentence(image.outcome, image.reason)}",
            series_number=SERIES_NUMBER,
            series_description=SERIES_DESCRIPTION,
            instance_number=instance_number,
        )
        self.PatientOrientation = list(patient_orientation(image.header) or ())
        if image.laterality is not None:
            self.ImageLaterality = image.laterality
        else:
            self.Laterality = ""  # type 2C of a paired organ: asked for, and not known
        if image.view in codes.VIEW:
            self.ViewPosition = image.view
            self.ViewCodeSequence = code_sequence(codes.VIEW[image.view])


def draw_result(report: StudyReport, image: ReportedImage, *, max_side_px: int) -> HeatmapPicture:
    """Draw the result of one image whose `display` is there."""
    if image.display is None:
        raise ValueError("an image without decoded pixels cannot be drawn")
    found = [numbered for numbered in numbered_findings(report) if numbered.image is image]
    return render(
        image.display,
        activation=image.activation,
        marks=(
            *region_marks_of(report, image, full_tags=len(found) <= _TAGGED_IN_FULL),
            *marks_of(image, found, full_tags=len(found) <= _TAGGED_IN_FULL),
        ),
        words=heatmap_words(report, image),
        pixel_size=_pixel_size(image),
        max_side_px=max_side_px,
    )


def _pixel_size(image: ReportedImage) -> PixelSize | None:
    """Of ultrasound by the region calibration alone: what Pixel Spacing means there is anybody's guess."""
    if image.display_spacing_mm is not None:
        return PixelSize(column_mm=image.display_spacing_mm[1])
    return None if value_text(image.header, "Modality") == "US" else pixel_size(image.header)


def heatmap_words(report: StudyReport, image: ReportedImage) -> Words:
    """All that the picture of one image says."""
    found = [numbered for numbered in numbered_findings(report) if numbered.image is image]
    lesions = dict.fromkeys(lesion.number for lesion, _ in regions_on(report, image))
    details = [
        *finding_lines(found, listed=_LISTED_FINDINGS),
        *prediction_lines(lesion for lesion in predicted_lesions(report) if lesion.number in lesions),
        *apart(algorithm_lines(report, image)),
        analysis_line(report),
    ]
    return Words(above=tuple(_lines_above(report, image)), details=tuple(details), bottom=(BANNER,))


def _title(image: ReportedImage) -> str:
    modifiers = [codes.VIEW_MODIFIER[m].meaning.lower() for m in image.view_modifiers if m in codes.VIEW_MODIFIER]
    frames = valid_number(image.header, "NumberOfFrames")
    shown = f"frame {image.display_frame}{f' of {frames}' if frames else ''}" if image.display_frame is not None else ""
    return ", ".join((image_name(image), *modifiers, *filter(None, (shown,))))


def _lines_above(report: StudyReport, image: ReportedImage) -> Iterator[Line]:
    yield Line(text=text(f"{_title(image)}, {study_date_words(report)}"), scale=1.35)
    revision = revision_line(report)
    if revision is not None:
        yield revision
    if image.outcome == "analysed":
        count = len(image.findings)
        words = count_words(count, f"{report.target} finding") if count else f"No {report.target} found"
        words += malignancy_words(image, "probability of malignancy of the image")
        yield Line(text=words, color=outcome_color(image), scale=1.15)
        if image.reason:
            yield Line(text=text(result_sentence(image.outcome, image.reason)), color=WARNING)
    else:
        yield Line(text=text(result_sentence(image.outcome, image.reason)), color=WARNING, scale=1.15)
    if image.second_opinion is not None:
        yield Line(text=text(f"{second_opinion_words(report)}: malignant {100 * image.second_opinion:.1f} %"))
