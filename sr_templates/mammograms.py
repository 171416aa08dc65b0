"""Which instances are mammograms, by their header alone: those that a statement on a whole study has to account for."""

from __future__ import annotations

from collections.abc import Iterator

from pydicom import Dataset

from sr_templates.contract import StudyReport
from sr_templates.evidence import headers, value_text

# Mammography and breast tomosynthesis, PS3.4 B.5
_SOP_CLASSES = frozenset(
    {
        "1.2.840.10008.5.1.4.1.1.1.2",
        "1.2.840.10008.5.1.4.1.1.1.2.1",
        "1.2.840.10008.5.1.4.1.1.13.1.3",
        "1.2.840.10008.5.1.4.1.1.13.1.4",
        "1.2.840.10008.5.1.4.1.1.13.1.5",
    }
)


def is_mammogram(header: Dataset) -> bool:
    """Whether an instance is a mammogram by its SOP class or its modality, even if nothing else of it can be read."""
    return value_text(header, "SOPClassUID") in _SOP_CLASSES or value_text(header, "Modality") == "MG"


def not_analysed(report: StudyReport) -> Iterator[Dataset]:
    """Headers of the mammograms of a study that were not analysed, those that hold no image included."""
    analysed = {id(image.header) for image in report.images if image.outcome == "analysed"}
    return (header for header in headers(report) if is_mammogram(header) and id(header) not in analysed)
