"""The images of a manifest, read as the pipelines read them: training sees what analysis sees."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from models.contract import BoxPx
from models.training.contract import TrainingImage, TruthBox
from pipelines.coordinates import MIN_BREAST_MM, breast_crop_px
from pipelines.datasets.manifest import ManifestImage
from pipelines.datasets.rows import is_greyscale_file
from pipelines.errors import UndecodablePixels, UnreadableInstance, UnusableImage
from pipelines.headers import MammogramHeader, describe_mammogram, read_header
from pipelines.pixels import decode, standardise

Pixels = NDArray[np.float32]

SPACING_TOLERANCE: Final = 0.02
"""Between rows and columns, and between a header and the manifest: a detector's two numbers differ by less, a film's
digitiser and its table by less, and a lesion's shape does not change by it."""

BOX_TOLERANCE_PX: Final = 1.0
"""How far a box may reach over the image's edge: annotation tools count pixels from 0 or from 1."""

FULL_RANGE: Final = {"L": 255.0, "I;16": 65535.0, "I;16L": 65535.0, "I;16B": 65535.0}
"""Value of white by Pillow's mode: that of the bits, not of the image, so that two files of one digitiser compare."""

WIDENED_FORMATS: Final = frozenset({"PNG", "PPM"})
"""Formats of which Pillow gives 16 bit values as mode "I", PGM scaled to the full range."""

PHOTOMETRIC_INTERPRETATION: Final = 262
WHITE_IS_ZERO: Final = 0
"""TIFF 6.0, section 8."""

NAME_DIGITS: Final = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageFacts:
    """What is known of an image without its pixels: ``(rows, columns)`` and spacing in mm."""

    shape: tuple[int, int]
    spacing_mm: float


def load_image(entry: ManifestImage) -> TrainingImage:
    """Read one image as it is trained on.

    DICOM goes through `pipelines.pixels` (modality and VOI LUT, MONOCHROME1, padding) exactly as in analysis. A
    greyscale file of 8 or 16 bits is divided by 255 or 65535. Then the background beside the breast is cropped as in
    analysis, and the boxes move along, cut at the edges.

    Returns
    -------
    TrainingImage
        Its name is the first `NAME_DIGITS` hexadecimal digits of `content_hash`.

    Raises
    ------
    UnusableImage
        The image cannot be used; the message begins with its line in the manifest, if it has one.
    """
    try:
        pixels, header_spacing_mm = read_pixels(entry.path)
        spacing_mm = _spacing_mm(entry.spacing_mm, header_spacing_mm)
        _require_boxes_inside(entry, (pixels.shape[0], pixels.shape[1]))
        crop_px = breast_crop_px(pixels, round(MIN_BREAST_MM / spacing_mm))
        lesions = tuple(_moved(lesion, crop_px) for lesion in entry.lesions)
        name = content_hash(entry.path)[:NAME_DIGITS]
    except (UnusableImage, UnreadableInstance, UndecodablePixels) as error:
        raise UnusableImage(_located(entry, str(error))) from error
    x0, y0, x1, y1 = crop_px
    return TrainingImage(
        name=name,
        patient=entry.patient,
        pixels=np.ascontiguousarray(pixels[y0:y1, x0:x1]),
        spacing_mm=spacing_mm,
        medium=entry.medium,
        lesions=lesions,
        plantable=entry.plantable,
    )


def inspect_image(entry: ManifestImage) -> ImageFacts:
    """Read the header of an image and check what can be checked without its pixels.

    Raises
    ------
    UnusableImage
        As `load_image` would.
    """
    try:
        shape, header_spacing_mm = (
            _greyscale_shape(entry.path) if is_greyscale_file(entry.path) else _dicom_shape(entry.path)
        )
        spacing_mm = _spacing_mm(entry.spacing_mm, header_spacing_mm)
        _require_boxes_inside(entry, shape)
    except (UnusableImage, UnreadableInstance, UndecodablePixels) as error:
        raise UnusableImage(_located(entry, str(error))) from error
    return ImageFacts(shape=shape, spacing_mm=spacing_mm)


def read_pixels(path: Path) -> tuple[Pixels, tuple[float, float] | None]:
    """Read a whole mammogram as analysis reads it, with the spacing that its header states.

    Returns
    -------
    numpy.ndarray
        Shape ``(rows, columns)``, float32, 0 (air) to 1, MONOCHROME2 sense, in the stored frame: nothing is cropped.
    tuple of float or None
        ``(row, column)`` in the plane of the breast, in mm.

    Raises
    ------
    UnusableImage, UnreadableInstance, UndecodablePixels
        It is no mammogram that a model could be given.
    """
    return _greyscale(path) if is_greyscale_file(path) else _dicom(path)


def content_hash(path: Path) -> str:
    """SHA-256 of a file, in hexadecimal: what exactly a model was trained on.

    Raises
    ------
    UnusableImage
        The file cannot be read.
    """
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise UnusableImage(f"the file cannot be opened ({type(error).__name__})") from error


def _located(entry: ManifestImage, text: str) -> str:
    return text if entry.line is None else f"line {entry.line}: {text}"


def _dicom(path: Path) -> tuple[Pixels, tuple[float, float] | None]:
    decoded = decode(path)
    header = describe_mammogram(decoded.dataset)
    _require_for_presentation(header)
    standard = standardise(decoded, header)
    return standard.pixels, standard.spacing_mm


def _dicom_shape(path: Path) -> tuple[tuple[int, int], tuple[float, float] | None]:
    header = describe_mammogram(read_header(path))
    _require_for_presentation(header)
    if header.rows < 1 or header.columns < 1 or header.frames > 1 or header.samples_per_pixel != 1:
        raise UnusableImage("not one frame of greyscale pixels: leave the image out")
    return (header.rows, header.columns), header.pixel_spacing_mm


def _require_for_presentation(header: MammogramHeader) -> None:
    if header.presentation_intent == "FOR PROCESSING":
        raise UnusableImage("a For Processing image, which analysis refuses: take the For Presentation one")


def _greyscale(path: Path) -> tuple[Pixels, None]:
    try:
        with Image.open(path) as file:
            white = _white(file)
            values = np.asarray(file, dtype=np.float32)
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise UnusableImage(f"the file is damaged, or no PNG, TIFF or PGM ({type(error).__name__})") from error
    return values / np.float32(white), None


def _greyscale_shape(path: Path) -> tuple[tuple[int, int], None]:
    try:
        with Image.open(path) as file:
            _white(file)
            return (file.height, file.width), None
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise UnusableImage(f"the file is damaged, or no PNG, TIFF or PGM ({type(error).__name__})") from error


def _white(file: Image.Image) -> float:
    """Value of white, of a greyscale file of 8 or 16 bits."""
    white = 65535.0 if file.mode == "I" and file.format in WIDENED_FORMATS else FULL_RANGE.get(file.mode)
    if white is None:
        raise UnusableImage("not greyscale of 8 or 16 bits: convert the file")
    tags = getattr(file, "tag_v2", {})
    if file.mode != "L" and tags.get(PHOTOMETRIC_INTERPRETATION) == WHITE_IS_ZERO:
        raise UnusableImage("a 16 bit TIFF in which 0 is white: invert it")  # Pillow inverts those of 8 bits only
    return white


def _spacing_mm(given: float | None, of_header: tuple[float, float] | None) -> float:
    """One spacing for rows and columns, of the header if it has one; the manifest's must not contradict it."""
    if of_header is None:
        if given is None:
            raise UnusableImage("no Imager Pixel Spacing in the header: give spacing_mm in the manifest")
        return given
    row_mm, column_mm = of_header
    if differ(row_mm, column_mm):
        raise UnusableImage(f"pixels of {row_mm:g} x {column_mm:g} mm are not square: resample the image")
    found = (row_mm + column_mm) / 2
    if given is not None and differ(given, found):
        raise UnusableImage(f"spacing_mm is {given:g}, the header says {found:g}: empty the cell, or correct it")
    return found


def differ(one: float, other: float) -> bool:
    """Whether two spacings are not the same to `SPACING_TOLERANCE`."""
    return abs(one - other) > SPACING_TOLERANCE * max(one, other)


def _require_boxes_inside(entry: ManifestImage, shape: tuple[int, int]) -> None:
    rows, columns = shape
    for lesion in entry.lesions:
        x0, y0, x1, y1 = lesion.box_px
        if min(x0, y0) < -BOX_TOLERANCE_PX or x1 > columns + BOX_TOLERANCE_PX or y1 > rows + BOX_TOLERANCE_PX:
            raise UnusableImage(f"a box reaches out of the image, which has {columns} columns and {rows} rows")


def _moved(lesion: TruthBox, crop_px: tuple[int, int, int, int]) -> TruthBox:
    """The lesion in pixels of the crop."""
    left, top, right, bottom = crop_px
    x0, y0, x1, y1 = lesion.box_px
    moved: BoxPx = (
        max(x0, left) - left,
        max(y0, top) - top,
        min(x1, right) - left,
        min(y1, bottom) - top,
    )
    if moved[0] >= moved[2] or moved[1] >= moved[3]:
        raise UnusableImage("a box lies in the background beside the breast: check its coordinates")
    return TruthBox(box_px=moved, label=lesion.label)
