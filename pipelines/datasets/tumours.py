"""The lesions of a manifest of tumours, read as analysis reads them: training sees what analysis sees."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from models.contract import BoxPx
from models.regions.contract import SURROUND_MM, LesionView, View, lesion_view
from models.training.tumours import Tumour
from pipelines.contract import RegionOfInterest
from pipelines.datasets.frame_images import read_grey, read_mask, without_drawings
from pipelines.datasets.images import BOX_TOLERANCE_PX, differ, read_pixels
from pipelines.datasets.rows import is_greyscale_file
from pipelines.datasets.tables import grouped
from pipelines.datasets.tumour_manifest import TumourEntry, ViewEntry, read_tumours
from pipelines.errors import UndecodablePixels, UnreadableInstance, UnusableImage
from pipelines.headers import read_header
from pipelines.region_masks import mask_of
from pipelines.regions import examine_file
from pipelines.training import Progress
from pipelines.ultrasound.frames import frames
from pipelines.ultrasound.header import describe_ultrasound
from pipelines.ultrasound.plan import plan_frames

__all__ = ["TumourEntry", "ViewEntry", "load_tumours", "read_tumours"]

Pixels = NDArray[np.float32]
Mask = NDArray[np.bool_]
Spacing = tuple[float, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Marked:
    """A view that is to be read: of which lesion of the list, and what the manifest says of it."""

    index: int
    lesion: str
    view: View
    entry: ViewEntry


def load_tumours(
    entries: Iterable[TumourEntry], progress: Progress[Path], *, surround_mm: float = SURROUND_MM
) -> tuple[Tumour, ...]:
    """Read the views of lesions, each image once, and cut the lesions out with what surrounds them.

    Mammograms are read as analysis reads them (`pipelines.datasets.images.read_pixels`), ultrasound without text and
    callipers, as the node shows it to its networks.

    Parameters
    ----------
    entries : iterable of TumourEntry
        From `read_tumours`.
    progress : callable
        Is given the images, how many they are, and what is done.
    surround_mm : float
        Kept around a lesion at least; see `models.regions.contract.lesion_view`.

    Returns
    -------
    tuple of Tumour
        In the order of `entries`.

    Raises
    ------
    UnusableImage
        An image, a mask or a mark cannot be used; the message begins with its line in the manifest, if it has one.
    """
    kept = tuple(entries)
    marked = [
        _Marked(index=index, lesion=entry.lesion, view=view, entry=one)
        for index, entry in enumerate(kept)
        for view, one in entry.views.items()
    ]
    images = {group[0].entry.path: group for group in grouped(marked, lambda one: one.entry.path.resolve())}
    views: list[dict[View, LesionView]] = [{} for _ in kept]
    second: list[dict[View, Mask]] = [{} for _ in kept]
    for path in progress(images, len(images), "reading tumours"):
        for one, view, second_mask in _read(path, images[path], surround_mm):
            views[one.index][one.view] = view
            if second_mask is not None:
                second[one.index][one.view] = second_mask
    return tuple(
        Tumour(
            name=entry.name,
            patient=entry.patient,
            split=entry.split,
            fold=entry.fold,
            views={view: views[index][view] for view in entry.views},  # in the order of the manifest, not of reading
            outcomes=entry.outcomes,
            clinical=entry.clinical,
            second_masks={view: second[index][view] for view in entry.views if view in second[index]},
        )
        for index, entry in enumerate(kept)
    )


def _read(
    path: Path, marked: Sequence[_Marked], surround_mm: float
) -> Iterator[tuple[_Marked, LesionView, Mask | None]]:
    """The lesions of one image."""
    image: tuple[Pixels, Spacing | None] | None = None
    for one in marked:
        try:
            if image is None:
                image = _ultrasound(path) if one.view == "US" else read_pixels(path)
            pixels, of_header = image
            mask = _mask(one, (pixels.shape[0], pixels.shape[1]))
            spacing_mm = _spacing_mm(one.entry.spacing_mm, of_header)
            view, (x, y) = lesion_view(pixels, mask, spacing_mm, surround_mm=surround_mm)
            second_mask = None
            if one.entry.second_mask is not None:
                rows, columns = view.mask.shape
                whole = _mask_file(one.entry.second_mask, (pixels.shape[0], pixels.shape[1]))
                second_mask = whole[y : y + rows, x : x + columns].copy()
        except (UnusableImage, UnreadableInstance, UndecodablePixels) as error:
            line = one.entry.line
            raise UnusableImage(str(error) if line is None else f"line {line}: {error}") from error
        yield one, view, second_mask


def _ultrasound(path: Path) -> tuple[Pixels, Spacing | None]:
    """One frame in its stored size; of DICOM, what is outside of the pictures is black."""
    if is_greyscale_file(path):
        return without_drawings(read_grey(path)), None
    header = describe_ultrasound(read_header(path))
    if header.frames > 1:
        raise UnusableImage("several frames: export the one that shows the lesion as PNG")
    plan = plan_frames(path, header)
    if plan.reason is not None:
        raise UnusableImage(plan.reason.text)
    pixels = np.zeros((header.rows, header.columns), dtype=np.float32)
    spacings = set()
    for frame in frames(path, plan):
        x0, y0, x1, y1 = frame.box_px
        pixels[y0:y1, x0:x1] = frame.pixels
        spacings.add(frame.spacing_mm)
    if len(spacings) != 1:
        raise UnusableImage("pictures of several scales in one frame: export the one that shows the lesion as PNG")
    return pixels, spacings.pop()


def _spacing_mm(given: float | None, of_header: Spacing | None) -> Spacing | None:
    if given is None or of_header is None:
        return of_header if given is None else (given, given)
    if any(differ(given, found) for found in of_header):
        row_mm, column_mm = of_header
        raise UnusableImage(
            f"spacing_mm is {given:g}, the header says {row_mm:g}, {column_mm:g}: empty the cell, or correct it"
        )
    return of_header


def _mask(one: _Marked, shape: tuple[int, int]) -> Mask:
    mark = one.entry.mark
    if mark.mask is not None:
        return _mask_file(mark.mask, shape)
    if mark.box_px is not None:
        return _box(mark.box_px, shape)
    if mark.sr is None:
        raise ValueError("a view is loaded with its mark")
    mask = mask_of(_region(mark.sr, one, shape).polygons_px, shape)
    if not mask.any():
        raise UnusableImage("sr: the region lies outside of the image")
    return mask


def _mask_file(path: Path, shape: tuple[int, int]) -> Mask:
    mask = read_mask(path)
    if mask.shape != shape:
        raise UnusableImage(f"a mask is not of the size of its image, {shape[1]} columns and {shape[0]} rows")
    return mask


def _box(box_px: BoxPx, shape: tuple[int, int]) -> Mask:
    """All pixels that a box touches."""
    x0, y0, x1, y1 = box_px
    rows, columns = shape
    if x1 > columns + BOX_TOLERANCE_PX or y1 > rows + BOX_TOLERANCE_PX or x0 >= columns or y0 >= rows:
        raise UnusableImage(f"a box reaches out of the image, which has {columns} columns and {rows} rows")
    mask = np.zeros(shape, dtype=np.bool_)
    mask[int(y0) : int(np.ceil(y1)), int(x0) : int(np.ceil(x1))] = True
    return mask


def _region(path: Path, one: _Marked, shape: tuple[int, int]) -> RegionOfInterest:
    """The region of an image that an object marks; of several, the one that is called as the lesion."""
    marks = examine_file(path)
    uid = str(read_header(one.entry.path).get("SOPInstanceUID", ""))
    of_image = [marked for marked in marks.regions if marked.region.sop_instance_uid == uid]
    if any(marked.frame_shape not in {None, shape} for marked in of_image):
        raise UnusableImage("sr: a segmentation that is not of the size of its image")
    found = [marked.region for marked in of_image]
    if len(found) > 1:
        found = [region for region in found if region.label.strip().casefold() == one.lesion.casefold()]
        if len(found) != 1:
            raise UnusableImage(
                "sr: several regions of the image, of which not one alone is called as the lesion: name the lesion so"
            )
    if not found:
        why = "; ".join(dict.fromkeys(mark.reason.text for mark in marks.refused))
        raise UnusableImage(f"sr: no region of this image{f' ({why})' if why else ''}: give another, a mask or a box")
    return found[0]
