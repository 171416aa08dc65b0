"""What a reader of region objects finds, and how much of it: every mark comes back as a region or with its reason."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from pipelines.contract import Reason, RegionOfInterest

MAX_REGIONS: Final = 20
"""Of one object. A reader marks a handful; hundreds are the output of a program."""

MAX_POINTS: Final = 8_000
"""Of one outline: with the first one repeated they fit into an FL element of explicit VR (65,534 bytes, PS3.5 7.1.2),
in which the answer has to repeat them."""

MAX_DEPTH: Final = 16
"""Of a content tree. TID 1500 needs seven levels."""

MAX_ITEMS: Final = 20_000
"""Content items, graphic objects or frames that are looked at in one object."""

MAX_MARKS: Final = 500
"""That are read in one object, regions or not: viewers write a region again below each of its measurements."""

MAX_LABEL: Final = 64
"""Characters that are kept of a label: those of a Long String (PS3.5 6.2)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MarkedRegion:
    """A region, and what its object says of the frame that it was drawn on.

    Attributes
    ----------
    frame_shape : tuple of int or None
        ``(rows, columns)`` of a segmentation's frame, which those of the image must equal; None where none is given.
    """

    region: RegionOfInterest
    frame_shape: tuple[int, int] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RefusedMark:
    """A mark that no model can be asked about, and why.

    Attributes
    ----------
    label : str
        As `RegionOfInterest.label`; empty when it is the object that is refused.
    sop_instance_uid : str or None
        Of the image, as far as it is known.
    is_request : bool
        Whether whoever drew it may wait for an answer: not so of the line of a distance, nor of another program's mark.
    """

    label: str
    reason: Reason
    sop_instance_uid: str | None = None
    is_request: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Marks:
    """All that is marked in one object, in its order."""

    regions: tuple[MarkedRegion, ...] = ()
    refused: tuple[RefusedMark, ...] = ()


class NotARegion(Exception):
    """A mark that is no region; `reason` says why."""

    def __init__(self, reason: Reason, *, is_request: bool = True) -> None:
        self.reason = reason
        self.is_request = is_request
        super().__init__(reason.text)


def trimmed(label: str) -> str:
    """Fit what a person wrote into one line of bounded length."""
    return " ".join("".join(sign if sign.isprintable() else " " for sign in label).split())[:MAX_LABEL].strip()
