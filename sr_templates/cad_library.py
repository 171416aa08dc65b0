"""Image library of a CAD report: its entries (TID 4020), and where in the tree each of them is."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from pydicom import Dataset

from sr_templates import codes
from sr_templates.content import code_item, date_item, image_item, num_item, text_item, time_item
from sr_templates.contract import ReportedImage, StudyReport
from sr_templates.evidence import (
    InstanceReference,
    patient_orientation,
    pixel_spacing_mm,
    reference,
    valid_text,
    value_text,
)
from sr_templates.mammograms import is_mammogram

LIBRARY_POSITION = (1, 2)
"""Of the library in the tree: the root, and its second item; the first is the language (TID 4000)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LibraryEntry:
    """An image, or one frame of it (1-based)."""

    image: ReportedImage
    reference: InstanceReference
    frame_number: int | None


class ImageLibrary:
    """The mammograms of a report, each once, plus each frame that has a finding; items refer to them by position.

    An image that cannot be referred to is not in it.

    Raises
    ------
    ValueError
        Such an image was analysed, or has findings: without it the report would say less than is known.
    """

    def __init__(self, report: StudyReport) -> None:
        self.entries: list[LibraryEntry] = []
        self._positions: dict[tuple[str, int | None], int] = {}
        for image in report.images:
            if not is_mammogram(image.header):
                continue
            self._add(image, None)
            for frame_number in sorted({f.frame_number for f in image.findings if f.frame_number is not None}):
                self._add(image, frame_number)

    def _add(self, image: ReportedImage, frame_number: int | None) -> None:
        found = reference(image.header)
        if found is None and (image.findings or image.outcome == "analysed"):
            raise ValueError("an analysed mammogram cannot be referred to")
        if found is None or (found.sop_instance_uid, frame_number) in self._positions:
            return
        self.entries.append(LibraryEntry(image=image, reference=found, frame_number=frame_number))
        self._positions[found.sop_instance_uid, frame_number] = len(self.entries)

    def position(self, image: ReportedImage, frame_number: int | None) -> tuple[int, ...] | None:
        """Position of an image in the tree; None if it is not in the library."""
        index = self._positions.get((value_text(image.header, "SOPInstanceUID"), frame_number))
        return None if index is None else (*LIBRARY_POSITION, index)

    def images(self) -> Iterator[ReportedImage]:
        """Each image once."""
        return (entry.image for entry in self.entries if entry.frame_number is None)


def tid_4020(entry: LibraryEntry) -> Dataset:
    """TID 4020 CAD Image Library Entry; what the header lacks or garbles is left out, every row is optional."""
    image, header = entry.image, entry.image.header
    items: list[Dataset] = []
    if image.laterality is not None:
        items.append(code_item("HAS ACQ CONTEXT", codes.IMAGE_LATERALITY, codes.BREAST_SIDE[image.laterality]))
    if image.view in codes.VIEW:
        modifiers = [codes.VIEW_MODIFIER[m] for m in image.view_modifiers if m in codes.VIEW_MODIFIER]
        children = [code_item("HAS CONCEPT MOD", codes.IMAGE_VIEW_MODIFIER, modifier) for modifier in modifiers]
        items.append(code_item("HAS ACQ CONTEXT", codes.IMAGE_VIEW, codes.VIEW[image.view], children))
    orientation = patient_orientation(header)
    if orientation is not None:
        items.append(text_item("HAS ACQ CONTEXT", codes.PATIENT_ORIENTATION_ROW, orientation[0]))
        items.append(text_item("HAS ACQ CONTEXT", codes.PATIENT_ORIENTATION_COLUMN, orientation[1]))
    items += _dates_and_times(header)
    spacing = pixel_spacing_mm(header)
    if spacing is not None:
        row_mm, column_mm = spacing
        items.append(num_item("HAS ACQ CONTEXT", codes.HORIZONTAL_PIXEL_SPACING, column_mm, codes.MILLIMETER))
        items.append(num_item("HAS ACQ CONTEXT", codes.VERTICAL_PIXEL_SPACING, row_mm, codes.MILLIMETER))
    return image_item("CONTAINS", None, entry.reference, items, frame_number=entry.frame_number)


def _dates_and_times(header: Dataset) -> Iterator[Dataset]:
    for date_name, time_name, prefix in (
        (codes.STUDY_DATE, codes.STUDY_TIME, "Study"),
        (codes.CONTENT_DATE, codes.CONTENT_TIME, "Content"),
    ):
        date, time = valid_text(header, f"{prefix}Date"), valid_text(header, f"{prefix}Time")
        if date is not None:
            yield date_item("HAS ACQ CONTEXT", date_name, date)
        if time is not None:
            yield time_item("HAS ACQ CONTEXT", time_name, time)
