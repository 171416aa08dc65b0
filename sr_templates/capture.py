"""The data set that both kinds of capture share: a drawn picture as a Secondary Capture Image (PS3.3 A.8.1)."""

from __future__ import annotations

from io import BytesIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from pydicom.dataelem import DataElement
from pydicom.encaps import encapsulate
from pydicom.tag import Tag
from pydicom.uid import ExplicitVRLittleEndian, JPEGBaseline8Bit

from sr_templates import codes
from sr_templates.content import code_sequence, dicom_date, dicom_time, text
from sr_templates.contract import ReportedImage, ResultVariant, StudyReport
from sr_templates.document import RESEARCH_USE, ResultDocument
from sr_templates.evidence import InstanceReference, reference, value_text

SOP_CLASS_UID = "1.2.840.10008.5.1.4.1.1.7"

_JPEG_QUALITY = 92
_PIXEL_DATA = Tag("PixelData")


class Capture(ResultDocument):
    """Headers of PS3.3 A.8.1.3 around a drawn picture.

    Parameters
    ----------
    picture : numpy.ndarray
        Shape ``(rows, columns, 3)``, uint8, RGB.
    sources : tuple of ReportedImage
        What it was drawn from.
    derivation : str
        What was drawn, after "research use".
    part, series_number, series_description, instance_number
        As for `ResultDocument`.
    """

    def __init__(
        self,
        report: StudyReport,
        variant: ResultVariant,
        picture: NDArray[np.uint8],
        *,
        sources: tuple[ReportedImage, ...],
        derivation: str,
        series_number: int,
        series_description: str,
        part: str = "",
        instance_number: int = 1,
    ) -> None:
        compressed = variant.compression == "jpeg_baseline"
        super().__init__(
            report,
            variant=variant,
            part=part,
            sop_class_uid=SOP_CLASS_UID,
            modality="OT",
            series_number=series_number,
            series_description=series_description,
            instance_number=instance_number,
            transfer_syntax_uid=JPEGBaseline8Bit if compressed else ExplicitVRLittleEndian,
        )
        self.ConversionType = "WSD"
        self.DateOfSecondaryCapture = dicom_date(report.created_at)
        self.TimeOfSecondaryCapture = dicom_time(report.created_at)
        self.ImageType = ["DERIVED", "SECONDARY"]
        self.BurnedInAnnotation = "YES"
        self.RecognizableVisualFeatures = "NO"
        self.DerivationDescription = text(f"{RESEARCH_USE} {derivation}", 1024)
        if any(value_text(image.header, "Modality") == "MG" or image.laterality for image in sources):
            self.BodyPartExamined = "BREAST"
        self._refer_to(sources)
        if any(value_text(image.header, "LossyImageCompression") == "01" for image in sources):
            self.LossyImageCompression = "01"
        self._describe_pixels(picture)
        if compressed:
            self._set_jpeg(picture)
        else:
            self.PhotometricInterpretation = "RGB"
            self.add_new(_PIXEL_DATA, "OB", _even(picture.tobytes()))

    def _refer_to(self, sources: tuple[ReportedImage, ...]) -> None:
        """Source Image Sequence of PS3.3 C.7.6.1, each image once; those that cannot be referred to are left out."""
        found: dict[str, InstanceReference] = {}
        for image in sources:
            source = reference(image.header)
            if source is not None:
                found.setdefault(source.sop_instance_uid, source)
        items = []
        for source in found.values():
            item = source.as_item()
            item.PurposeOfReferenceCodeSequence = code_sequence(codes.SOURCE_IMAGE_FOR_PROCESSING)
            item.SpatialLocationsPreserved = "NO"
            items.append(item)
        if items:
            self.SourceImageSequence = items

    def _describe_pixels(self, picture: NDArray[np.uint8]) -> None:
        """Image Pixel module (PS3.3 C.7.6.3), colour by pixel."""
        self.SamplesPerPixel = 3
        self.PlanarConfiguration = 0
        self.Rows, self.Columns = picture.shape[:2]
        self.BitsAllocated = 8
        self.BitsStored = 8
        self.HighBit = 7
        self.PixelRepresentation = 0

    def _set_jpeg(self, picture: NDArray[np.uint8]) -> None:
        """Encapsulated JPEG Baseline (PS3.5 8.2.1, A.4.1): its colour is YBR_FULL_422, and so is the stream's."""
        stream = jpeg(picture)
        self.PhotometricInterpretation = "YBR_FULL_422"
        self.LossyImageCompression = "01"  # PS3.3 C.7.6.1.1.5
        self.LossyImageCompressionRatio = f"{picture.nbytes / len(stream):.4g}"
        self.LossyImageCompressionMethod = "ISO_10918_1"
        element = DataElement(_PIXEL_DATA, "OB", encapsulate([stream]))
        element.is_undefined_length = True
        self[_PIXEL_DATA] = element


def jpeg(picture: NDArray[np.uint8]) -> bytes:
    """Compress a picture; the same picture gives the same bytes.

    Returns
    -------
    bytes
        JPEG Baseline, YCbCr, chroma at half the horizontal resolution, as YBR_FULL_422 is defined (PS3.3 C.7.6.3.1.2).
    """
    buffer = BytesIO()
    Image.fromarray(picture).save(buffer, "JPEG", quality=_JPEG_QUALITY, subsampling="4:2:2")
    return buffer.getvalue()


def _even(value: bytes) -> bytes:
    return value + b"\0" if len(value) % 2 else value
