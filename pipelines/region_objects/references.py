"""Which frame of which image a mark refers to."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from pydicom import Dataset

from pipelines import reasons
from pipelines.elements import numbers
from pipelines.region_objects.contract import NotARegion
from sr_templates.evidence import value_text

MAX_REFERENCES: Final = 100
"""That may name one and the same image; of more they are not compared."""

SEVERAL: Final = "it refers to several images or frames"


def only_frame(references: Sequence[Dataset]) -> tuple[str, int]:
    """SOP Instance UID and frame, from 1, of the one image that `references` name (PS3.3 table 10-3).

    Raises
    ------
    NotARegion
        They name none, or more than one frame: then nothing says on which of them the lesion is.
    """
    if len(references) > MAX_REFERENCES:
        raise NotARegion(reasons.region_unsupported(SEVERAL))
    found = {(value_text(item, "ReferencedSOPInstanceUID"), frame) for item in references for frame in _frames(item)}
    found = {(uid, frame) for uid, frame in found if uid}
    if not found:
        raise NotARegion(reasons.region_unsupported("it does not say which image it is on"))
    if len(found) > 1:
        raise NotARegion(reasons.region_unsupported(SEVERAL))
    return found.pop()


def _frames(item: Dataset) -> tuple[int, ...]:
    return tuple(int(value) for value in numbers(item, "ReferencedFrameNumber") if value >= 1) or (1,)
