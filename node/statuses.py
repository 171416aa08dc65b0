"""What every C-STORE status of a destination means for the result that was sent."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

Fate = Literal["sent", "retry", "refused"]


@dataclass(frozen=True, slots=True, kw_only=True)
class StatusRule:
    """A range of statuses, first and last included, and what follows from it."""

    first: int
    last: int
    fate: Fate
    meaning: str


STATUS_RULES: Final = (
    # PS3.4 table B.2-1 and PS3.7 annex C; the first rule that fits holds.
    StatusRule(first=0x0000, last=0x0000, fate="sent", meaning="stored"),
    StatusRule(first=0x0001, last=0x0001, fate="sent", meaning="stored, optional attributes not supported"),
    StatusRule(first=0x0107, last=0x0107, fate="sent", meaning="stored, attribute list error"),
    StatusRule(first=0x0116, last=0x0116, fate="sent", meaning="stored, attribute value out of range"),
    # Resent after an answer that never arrived: the peer has it already, and the bytes are the same.
    StatusRule(first=0x0111, last=0x0111, fate="sent", meaning="the peer has this instance already"),
    StatusRule(first=0xB000, last=0xBFFF, fate="sent", meaning="stored with a warning"),
    StatusRule(first=0x0110, last=0x0110, fate="retry", meaning="processing failure"),
    # Somebody mends the rights of this node at the PACS, and the results must still be there then.
    StatusRule(first=0x0124, last=0x0124, fate="retry", meaning="not authorised"),
    StatusRule(first=0x0210, last=0x0213, fate="retry", meaning="the operation did not go through"),
    StatusRule(first=0xA700, last=0xA7FF, fate="retry", meaning="out of resources"),
    StatusRule(first=0xFE00, last=0xFE00, fate="retry", meaning="cancelled"),
    StatusRule(first=0xA900, last=0xA9FF, fate="refused", meaning="data set does not match SOP class"),
    StatusRule(first=0xC000, last=0xCFFF, fate="refused", meaning="cannot understand"),
    StatusRule(first=0x0105, last=0x0122, fate="refused", meaning="the request itself was refused"),
)
UNKNOWN: Final = StatusRule(first=0, last=0xFFFF, fate="retry", meaning="status unknown to the standard")


def classify(status: int) -> StatusRule:
    """Return the rule for a C-STORE response status; an unknown one is tried again, since nothing says it is final."""
    return next((rule for rule in STATUS_RULES if rule.first <= status <= rule.last), UNKNOWN)
