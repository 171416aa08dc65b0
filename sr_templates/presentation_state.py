"""Grayscale Softcopy Presentation State with an image's findings and regions of predictions (PS3.3 A.33.1).

For viewers that draw nothing else. The image is to look as it does without the state, which `softcopy_greyscale` sees
to; the marks are `graphic_annotations`. Highdicom's own document class copies the patient from decoded headers.
"""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction

from pydicom import Dataset

from sr_templates.content import dicom_date, dicom_time, text
from sr_templates.contract import ReportedImage, ResultObject, ResultVariant, StudyReport
from sr_templates.document import ResultDocument, finish
from sr_templates.evidence import InstanceReference, pixel_spacing_mm, reference, valid_number, value_text
from sr_templates.graphic_annotations import graphic_annotations, graphic_layers
from sr_templates.predictions import regions_on
from sr_templates.softcopy_greyscale import is_greyscale, modality_lut, presentation_lut_shape, voi_transformations
from sr_templates.wording import image_name

SOP_CLASS_UID = "1.2.840.10008.5.1.4.1.1.11.1"
SERIES_NUMBER = 9005
SERIES_DESCRIPTION = "AI marks (research use)"
CONTENT_LABEL = "AI FINDINGS"


def make_presentation_states(report: StudyReport, variant: ResultVariant) -> tuple[ResultObject, ...]:
    """Make one presentation state for each image with a finding or with a region that a prediction is made from.

    An image without either has none: there would be nothing to present, and the structured reports and captures say
    whether it was analysed.

    Returns
    -------
    tuple of ResultObject
        Of greyscale images that can be referred to and whose size is known.
    """
    presentable = list(_presentable(report))
    sides = {image.laterality for image, _ in presentable}
    # type 2C of a paired organ, and of the series: empty where the series has states of both sides
    laterality = (sides.pop() if len(sides) == 1 else None) or ""
    return tuple(
        finish(
            report,
            PresentationState(report, variant, image, source, laterality=laterality, instance_number=number),
            variant,
            source_sop_instance_uid=source.sop_instance_uid,
        )
        for number, (image, source) in enumerate(presentable, start=1)
    )


def _presentable(report: StudyReport) -> Iterator[tuple[ReportedImage, InstanceReference]]:
    told: set[str] = set()
    for image in report.images:
        header, source = image.header, reference(image.header)
        sized = valid_number(header, "Rows") and valid_number(header, "Columns")
        marked = image.findings or any(regions_on(report, image))
        if marked and sized and source is not None and is_greyscale(header):
            if source.sop_instance_uid not in told:
                yield image, source
            told.add(source.sop_instance_uid)


class PresentationState(ResultDocument):
    """Modules of PS3.3 table A.33.1-1 for one image, without rotation, shutter, mask or overlay."""

    def __init__(
        self,
        report: StudyReport,
        variant: ResultVariant,
        image: ReportedImage,
        source: InstanceReference,
        *,
        laterality: str,
        instance_number: int,
    ) -> None:
        super().__init__(
            report,
            variant=variant,
            part=source.sop_instance_uid,
            sop_class_uid=SOP_CLASS_UID,
            modality="PR",
            series_number=SERIES_NUMBER,
            series_description=SERIES_DESCRIPTION,
            instance_number=instance_number,
        )
        self.Laterality = laterality
        self._identify(report, image)
        series = Dataset()
        series.SeriesInstanceUID = source.series_instance_uid
        series.ReferencedImageSequence = [source.as_item()]
        self.ReferencedSeriesSequence = [series]
        self.DisplayedAreaSelectionSequence = [_whole_image(image.header)]
        self.GraphicAnnotationSequence = graphic_annotations(report, image, source)
        self.GraphicLayerSequence = graphic_layers(self.GraphicAnnotationSequence)
        self._set_greyscale(image.header, source)

    def _identify(self, report: StudyReport, image: ReportedImage) -> None:
        """Presentation State Identification (PS3.3 C.11.10); the creator is the device, as nobody else looked."""
        self.ContentLabel = CONTENT_LABEL
        self.ContentDescription = text(f"AI marks on {image_name(image)}, research use", 64)
        self.ContentCreatorName = text(report.device.model_name, 64)
        self.PresentationCreationDate = dicom_date(report.created_at)
        self.PresentationCreationTime = dicom_time(report.created_at)

    def _set_greyscale(self, header: Dataset, source: InstanceReference) -> None:
        """Modality LUT, Softcopy VOI LUT and Softcopy Presentation LUT (PS3.3 C.11.1, C.11.8, C.11.6)."""
        self.update(modality_lut(header))
        items = []
        for frames, item in voi_transformations(header):
            if frames:
                item.ReferencedImageSequence = [source.as_item()]
                item.ReferencedImageSequence[0].ReferencedFrameNumber = list(frames)
            items.append(item)
        if items:
            self.SoftcopyVOILUTSequence = items
        self.PresentationLUTShape = presentation_lut_shape(header)


def _whole_image(header: Dataset) -> Dataset:
    """Item of the Displayed Area Selection Sequence: all of the image, as large as fits (PS3.3 C.10.4).

    Pixels have an aspect ratio, not a Presentation Pixel Spacing: viewers would measure with it, and that of a
    mammogram is at the detector.
    """
    item = Dataset()
    item.DisplayedAreaTopLeftHandCorner = [1, 1]  # pixels are counted from 1 here, unlike in annotations
    item.DisplayedAreaBottomRightHandCorner = [valid_number(header, "Columns"), valid_number(header, "Rows")]
    item.PresentationSizeMode = "SCALE TO FIT"
    item.PresentationPixelAspectRatio = list(_aspect_ratio(header))
    return item


def _aspect_ratio(header: Dataset) -> tuple[int, int]:
    """Height and width of a pixel as small integers: by its spacing, else as stated, else square."""
    spacing_mm = pixel_spacing_mm(header)
    if spacing_mm is not None:
        ratio = Fraction(spacing_mm[0] / spacing_mm[1])
    else:
        stated = value_text(header, "PixelAspectRatio").split("\\")
        whole = [int(part) for part in stated if part.strip().isdecimal() and int(part)]
        ratio = Fraction(*whole) if len(whole) == len(stated) == 2 else Fraction(1)
    if not Fraction(1, 100) < ratio < 100:  # no detector has such pixels
        return 1, 1
    ratio = ratio.limit_denominator(1000)
    return ratio.numerator, ratio.denominator
