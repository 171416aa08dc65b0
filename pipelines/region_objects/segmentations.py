"""Regions of a Segmentation: one for each segment, image and frame, the outlines of its pixels (PS3.3 C.8.20)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset
from pydicom.pixels.utils import pixel_array
from pydicom.uid import UID
from scipy import ndimage

from models.lesion_shape import outline, simplified
from pipelines import reasons
from pipelines.contract import RegionOfInterest
from pipelines.elements import items, number, readable, whole
from pipelines.headers import MALFORMED
from pipelines.pixels import MAX_PIXELS
from pipelines.region_objects.contract import MAX_REGIONS, MarkedRegion, Marks, NotARegion, RefusedMark, trimmed
from pipelines.region_objects.references import only_frame
from pipelines.region_objects.shapes import Points
from sr_templates.evidence import value_text

MAX_FRAMES: Final = 256
"""Those beyond are not looked at: twenty regions do not need them."""

MAX_PARTS: Final = 8
"""Of one region, the largest; what else a brush leaves are specks."""

MAX_BORDER_PX: Final = 100_000
"""Of one mask. A lesion's border is a hundredth of it; noise in place of a mask has more."""

HALF: Final = 0.5
"""Least probability or occupancy of a pixel that belongs to a fractional segment."""

TOLERANCE_PX: Final = 0.5
"""Of an outline that leaves points out: within the pixel that it runs through."""

Mask = NDArray[np.bool_]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Frame:
    """One frame: its place in the pixel data, its segment, and the functional groups that are its own."""

    index: int
    segment: Dataset
    own: Dataset


def read(dataset: Dataset) -> Marks:
    """Find every mark of a segmentation; see `pipelines.regions.examine`. Without pixels none is a region."""
    regions: list[MarkedRegion] = []
    refused: dict[RefusedMark, None] = {}
    for frame in _frames(dataset):
        label = trimmed(readable(frame.segment, "SegmentLabel"))
        if value_text(frame.segment, "SegmentAlgorithmType") == "AUTOMATIC":
            refused[RefusedMark(label=label, reason=reasons.REGION_BY_A_DEVICE, is_request=False)] = None
            continue
        if len(regions) > MAX_REGIONS:  # one more than is used says that there are too many
            break
        try:
            regions.append(_region(dataset, frame, label))
        except NotARegion as why:
            refused[RefusedMark(label=label, reason=why.reason, is_request=why.is_request)] = None
    return Marks(regions=tuple(regions), refused=tuple(refused))


def _frames(dataset: Dataset) -> Iterator[_Frame]:
    segments = {whole(segment, "SegmentNumber"): segment for segment in items(dataset, "SegmentSequence")}
    shared = next(iter(items(dataset, "SharedFunctionalGroupsSequence")), Dataset())
    for index, own in enumerate(items(dataset, "PerFrameFunctionalGroupsSequence")[:MAX_FRAMES]):
        identified = items(own, "SegmentIdentificationSequence") or items(shared, "SegmentIdentificationSequence")
        segment_number = whole(identified[0], "ReferencedSegmentNumber") if identified else None
        if segment_number in segments:
            yield _Frame(index=index, segment=segments[segment_number], own=own)


def _region(dataset: Dataset, frame: _Frame, label: str) -> MarkedRegion:
    sop_instance_uid, source_frame = _source(dataset, frame)
    mask = _mask(dataset, frame.index)
    tracking_uid = value_text(frame.segment, "TrackingUID")
    region = RegionOfInterest(
        sop_instance_uid=sop_instance_uid,
        frame=source_frame,
        polygons_px=outlines(mask),
        source="radiologist",
        label=label,
        tracking_uid=tracking_uid if UID(tracking_uid).is_valid else None,
        object_uid=value_text(dataset, "SOPInstanceUID") or None,
    )
    return MarkedRegion(region=region, frame_shape=(mask.shape[0], mask.shape[1]))


def _source(dataset: Dataset, frame: _Frame) -> tuple[str, int]:
    """Image that the frame was derived from (C.7.6.16.2.6), else the only one that the segmentation refers to."""
    derived = [
        source
        for derivation in items(frame.own, "DerivationImageSequence")
        for source in items(derivation, "SourceImageSequence")
    ]
    return only_frame(
        derived
        or [
            instance
            for series in items(dataset, "ReferencedSeriesSequence")
            for instance in items(series, "ReferencedInstanceSequence")
        ]
    )


def _mask(dataset: Dataset, index: int) -> Mask:
    """Pixels of one frame that belong to its segment; decoded one frame at a time."""
    kind = value_text(dataset, "SegmentationType")
    if kind not in {"BINARY", "FRACTIONAL"}:
        raise NotARegion(reasons.region_unsupported("a segmentation that is neither binary nor fractional"))
    rows, columns = whole(dataset, "Rows") or 0, whole(dataset, "Columns") or 0
    if not 0 < rows * columns <= MAX_PIXELS:
        raise NotARegion(reasons.REGION_OBJECT_TOO_LARGE)
    try:
        values = pixel_array(dataset, index=index, raw=True)
    except (MemoryError, *MALFORMED) as error:
        raise NotARegion(reasons.region_unsupported("its pixels cannot be decoded")) from error
    if values.shape != (rows, columns):
        raise NotARegion(reasons.region_unsupported("its pixels cannot be decoded"))
    if kind == "BINARY":
        return np.asarray(values > 0)
    full = number(dataset, "MaximumFractionalValue") or 255.0
    return np.asarray(values >= HALF * full)


def outlines(mask: Mask) -> tuple[Points, ...]:
    """Outlines of the parts of a mask, the largest first; holes are filled.

    Parameters
    ----------
    mask : numpy.ndarray
        Shape ``(rows, columns)``, bool.

    Raises
    ------
    NotARegion
        It is empty, or no mask of a lesion: its border is longer than any lesion's.
    """
    border = int(np.count_nonzero(mask[1:] != mask[:-1])) + int(np.count_nonzero(mask[:, 1:] != mask[:, :-1]))
    if not mask.any():
        raise NotARegion(reasons.REGION_TOO_SMALL)
    if border > MAX_BORDER_PX:
        raise NotARegion(reasons.region_unsupported(f"its border has more than {MAX_BORDER_PX} pixels"))
    labelled, count = ndimage.label(mask)
    sizes = np.bincount(labelled.ravel())[1:]
    places = ndimage.find_objects(labelled)
    largest = sorted(range(count), key=lambda part: (-int(sizes[part]), part))[:MAX_PARTS]
    return tuple(_outline(labelled, part + 1, places[part]) for part in largest)


def _outline(labelled: NDArray[np.int32], part: int, place: tuple[slice, slice]) -> Points:
    points = simplified(outline(labelled[place] == part), TOLERANCE_PX)
    return tuple((float(x) + place[1].start, float(y) + place[0].start) for x, y in points)
