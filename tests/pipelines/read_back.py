"""Where results say that something is: read from their bytes by pydicom alone, brought back to stored pixels.

Nothing here calls the code under test. A picture is taken apart by its colours: what is grey is the image, what
another picture without activation does not have is heat, and what is coloured in that one too is a mark.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from io import BytesIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from pydicom import Dataset, dcmread
from scipy import ndimage

Box = tuple[float, float, float, float]
Point = tuple[float, float]

SINGLE_IMAGE_FINDING, CENTER, OUTLINE = "111059", "111010", "111041"
MEASUREMENT_GROUP, IMAGE_REGION = "125007", "111030"
IMAGE_LATERALITY, IMAGE_VIEW = "111027", "111031"
HORIZONTAL_SPACING, VERTICAL_SPACING = "111026", "111066"
NAME_BY_CODES = {
    (side, view): f"{letter}-{short}"
    for side, letter in (("80248007", "L"), ("73056007", "R"))  # SCT: left breast, right breast
    for view, short in (("399162004", "CC"), ("399368009", "MLO"))
}


@dataclass(frozen=True, slots=True, kw_only=True)
class CadFinding:
    """A single image finding, and the entry of the image library that it refers to."""

    sop_instance_uid: str
    name: str | None
    spacing_mm: tuple[float, float]
    center: Point
    outline: list[Point]
    both_refer_to_one_image: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """The image in a secondary capture, without its strips.

    Attributes
    ----------
    grey : numpy.ndarray
        Shape ``(rows, columns)``, float, 0 to 255; not a number where something is drawn on it.
    heat : numpy.ndarray
        Same shape; how much more colourful than without an activation, 0 where a mark covers it.
    drawn_box : tuple of two points or None
        Upper left and lower right corner of what the lines of the box surround, in pixels of the picture.
    length_bar_px : int
        Length of the bar of millimetres below the image, in pixels of the picture.
    """

    sop_instance_uid: str
    patient_orientation: tuple[str, ...]
    grey: NDArray[np.float64]
    heat: NDArray[np.float64]
    drawn_box: tuple[Point, Point] | None
    length_bar_px: int

    def hottest(self) -> Point | None:
        """Centre of what is within a tenth of the greatest heat; None when there is none."""
        if self.heat.max() <= 0:
            return None
        rows, columns = np.nonzero(self.heat >= 0.9 * self.heat.max())
        return float(columns.mean()) + 0.5, float(rows.mean()) + 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Thumbnail:
    """An image on a summary; its attributes are those of `Picture`."""

    grey: NDArray[np.float64]
    drawn_box: tuple[Point, Point] | None


def to_stored(point: Point, shown_shape: tuple[int, ...], stored_shape: tuple[int, ...]) -> Point:
    """Map ``(x, y)`` of a picture to pixels of an image of another shape that fills it, corner to corner."""
    return point[0] * stored_shape[1] / shown_shape[1], point[1] * stored_shape[0] / shown_shape[0]


def box_around(points: Sequence[Point]) -> Box:
    """Smallest box around points."""
    x, y = zip(*points, strict=True)
    return min(x), min(y), max(x), max(y)


def cad_findings(content: bytes) -> list[CadFinding]:
    """Findings of a Mammography CAD SR (TID 4006), with what they were selected from."""
    root = dcmread(BytesIO(content))
    return [_cad_finding(root, item) for item in _named(root, SINGLE_IMAGE_FINDING)]


def _cad_finding(root: Dataset, item: Dataset) -> CadFinding:
    (center,), (outline,) = (list(_named(item, code)) for code in (CENTER, OUTLINE))
    images = [_by_reference(root, place) for place in (center, outline)]
    library = {_code(child.ConceptNameCodeSequence): child for child in images[0].ContentSequence}
    codes = tuple(_code(library[code].ConceptCodeSequence) for code in (IMAGE_LATERALITY, IMAGE_VIEW))
    spacing = [
        float(library[code].MeasuredValueSequence[0].NumericValue) for code in (VERTICAL_SPACING, HORIZONTAL_SPACING)
    ]
    return CadFinding(
        sop_instance_uid=images[0].ReferencedSOPSequence[0].ReferencedSOPInstanceUID,
        name=NAME_BY_CODES.get((codes[0], codes[1])),
        spacing_mm=(spacing[0], spacing[1]),
        center=_points(center)[0],
        outline=_points(outline),
        both_refer_to_one_image=images[0] is images[1],
    )


def _by_reference(root: Dataset, item: Dataset) -> Dataset:
    """Follow a Referenced Content Item Identifier: 1 is the root, 1.2 its second child (PS3.3 C.17.3.2.5)."""
    (selected,) = item.ContentSequence
    first, *path = selected.ReferencedContentItemIdentifier
    assert (first, selected.RelationshipType) == (1, "SELECTED FROM")
    found = root
    for position in path:
        found = found.ContentSequence[position - 1]
    assert found.ValueType == "IMAGE"
    return found


def measured_regions(content: bytes) -> list[tuple[str, list[Point]]]:
    """SOP Instance UID and outline of each measurement group of a TID 1500 report."""
    found = []
    for group in _named(dcmread(BytesIO(content)), MEASUREMENT_GROUP):
        (region,) = _named(group, IMAGE_REGION)
        (image,) = region.ContentSequence
        found.append((image.ReferencedSOPSequence[0].ReferencedSOPInstanceUID, _points(region)))
    return found


def presented_outlines(content: bytes) -> list[tuple[str, list[Point], str]]:
    """SOP Instance UID, points and Presentation LUT Shape of each polyline of a presentation state.

    In PIXEL units, which are those of SCOORD: 0.0, 0.0 is the corner of the first pixel (PS3.3 C.10.5).
    """
    state = dcmread(BytesIO(content))
    found = []
    for annotation in state.GraphicAnnotationSequence:
        (image,) = annotation.ReferencedImageSequence
        for graphic in annotation.get("GraphicObjectSequence", []):
            if graphic.GraphicType == "POLYLINE":
                assert graphic.GraphicAnnotationUnits == "PIXEL"
                found.append((image.ReferencedSOPInstanceUID, _points(graphic), state.PresentationLUTShape))
    return found


def picture(content: bytes, without_heat: bytes) -> Picture:
    """Take a secondary capture apart with the help of the same one made of an activation that is 0 everywhere."""
    dataset = dcmread(BytesIO(content))
    shown = dataset.pixel_array.astype(np.int32)
    plain = dcmread(BytesIO(without_heat)).pixel_array.astype(np.int32)
    assert shown.shape == plain.shape
    area = _image_area(_colourfulness(plain))
    below = plain[area[0].stop :, area[1]]
    shown, plain = shown[area], plain[area]
    colour = _colourfulness(plain)
    (source,) = dataset.SourceImageSequence
    return Picture(
        sop_instance_uid=source.ReferencedSOPInstanceUID,
        patient_orientation=tuple(dataset.PatientOrientation),
        grey=np.where(colour == 0, plain[..., 0], np.nan),
        heat=np.clip(_colourfulness(shown) - colour, 0, None).astype(np.float64),
        drawn_box=_drawn_box(plain, colour),
        length_bar_px=_longest_run(below.min(axis=2) > 200),
    )


def thumbnails(content: bytes) -> Iterator[Thumbnail]:
    """The images on a summary, which are its large grey areas."""
    shown = dcmread(BytesIO(content)).pixel_array.astype(np.int32)
    colour = _colourfulness(shown)
    areas, _ = ndimage.label(colour == 0)
    for area in ndimage.find_objects(areas):
        if np.prod([s.stop - s.start for s in area]) > 0.05 * colour.size:
            grey = np.where(colour[area] == 0, shown[area][..., 0], np.nan)
            yield Thumbnail(grey=grey, drawn_box=_drawn_box(shown[area], colour[area]))


def _image_area(colour: NDArray[np.int32]) -> tuple[slice, slice]:
    """Rows and columns of the image: it is grey but for what is drawn on it, the strips around it are not quite."""
    grey = colour == 0
    area = _extent(grey.mean(axis=1)), _extent(grey.mean(axis=0))
    assert grey[area].mean() > 0.8, "no image in the picture"
    return area


def _extent(share: NDArray[np.float64]) -> slice:
    found = np.flatnonzero(share > 0.4 * share.max())
    return slice(found[0], found[-1] + 1)


def _drawn_box(plain: NDArray[np.int32], colour: NDArray[np.int32]) -> tuple[Point, Point] | None:
    """Inside of the largest frame of one colour."""
    packed = (plain[..., 0] << 16) + (plain[..., 1] << 8) + plain[..., 2]
    coloured = packed[colour > 60]
    if not len(coloured):
        return None
    colours, counts = np.unique(coloured, return_counts=True)
    pieces, _ = ndimage.label(packed == colours[counts.argmax()])
    rows, columns = max(ndimage.find_objects(pieces), key=lambda piece: np.prod([s.stop - s.start for s in piece]))
    line = pieces[rows, columns] > 0
    hole = ndimage.binary_fill_holes(line) & ~line
    if not hole.any():
        return None
    inner_rows, inner_columns = ndimage.find_objects(hole.astype(int))[0]
    return (
        (float(columns.start + inner_columns.start), float(rows.start + inner_rows.start)),
        (float(columns.start + inner_columns.stop), float(rows.start + inner_rows.stop)),
    )


def _longest_run(white: NDArray[np.bool_]) -> int:
    """Longest row of neighbouring pixels."""
    runs, count = ndimage.label(white, structure=[[0, 0, 0], [1, 1, 1], [0, 0, 0]])
    return int(np.bincount(runs.ravel())[1:].max()) if count else 0


def likeness(grey: NDArray[np.float64], brightness: NDArray[np.float32]) -> float:
    """Correlation of a picture's grey with what it should show, resized to it."""
    rows, columns = grey.shape
    expected = np.asarray(Image.fromarray(brightness).resize((columns, rows), Image.Resampling.BILINEAR))
    bare = np.isfinite(grey)
    return float(np.corrcoef(grey[bare], expected[bare])[0, 1])


def _colourfulness(pixels: NDArray[np.int32]) -> NDArray[np.int32]:
    """Greatest less least of red, green and blue; 0 for grey."""
    red, green, blue = np.moveaxis(pixels, -1, 0)
    return np.maximum(np.maximum(red, green), blue) - np.minimum(np.minimum(red, green), blue)


def _points(item: Dataset) -> list[Point]:
    flat = [float(value) for value in item.GraphicData]
    return list(zip(flat[::2], flat[1::2], strict=True))


def _code(sequence: Sequence[Dataset]) -> str:
    return str(sequence[0].CodeValue)


def _named(item: Dataset, code: str) -> Iterator[Dataset]:
    """Items below `item` whose concept name is `code`, at any depth."""
    for child in item.get("ContentSequence", []):
        if "ConceptNameCodeSequence" in child and _code(child.ConceptNameCodeSequence) == code:
            yield child
        yield from _named(child, code)
