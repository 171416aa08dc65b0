"""The data sets of storage commitment (PS3.4 annex J): what a request holds, and what an answer says."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final, Literal

from pydicom import Dataset

from pipelines.headers import MALFORMED

WELL_KNOWN_INSTANCE: Final = "1.2.840.10008.1.20.1.1"
"""Storage Commitment Push Model SOP Instance, PS3.4 J.3.5."""

ACTION_REQUEST: Final = 1  # PS3.4 table J.3-1
EVENT_SUCCESSFUL: Final = 1  # PS3.4 table J.3-2
EVENT_FAILURES_EXIST: Final = 2

# PS3.7 annex C
NO_SUCH_EVENT_TYPE: Final = 0x0113
INVALID_ARGUMENT: Final = 0x0115

PROCESSING_FAILURE: Final = 0x0110

Remedy = Literal["send", "ask", "none"]
"""After a failure: send the instance again and ask again, only ask again, or neither, since it would end the same."""

FAILURE_REASONS: Final[Mapping[int, tuple[str, Remedy]]] = {
    # PS3.3 C.14.1.1
    PROCESSING_FAILURE: ("processing failure", "send"),
    0x0112: ("no such object instance", "send"),
    0x0119: ("class or instance conflict", "none"),
    0x0122: ("SOP class not supported", "none"),
    0x0131: ("duplicate transaction UID", "ask"),
    0x0213: ("resource limitation", "send"),
    # PS3.7 annex C; not foreseen there, and it says that the instance is there.
    0x0111: ("duplicate SOP instance", "ask"),
}
UNKNOWN_REASON: Final[tuple[str, Remedy]] = ("failure", "send")
_UID: Final = re.compile(r"[0-9.]{1,64}")
_TAGS: Final = ("ReferencedSOPSequence", "FailedSOPSequence")


class MalformedReport(Exception):  # says the condition, and is caught where it is raised from
    """The event says nothing that could be acted on; `status` is the answer to it."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status


@dataclass(frozen=True, slots=True, kw_only=True)
class CommitmentItem:
    """A delivered result for which commitment is to be asked."""

    delivery_id: int
    sop_instance_uid: str
    sop_class_uid: str
    sent_at: float


@dataclass(frozen=True, slots=True, kw_only=True)
class CommitmentReport:
    """What a destination says of a transaction: the instances that it keeps, and why it does not keep others."""

    transaction_uid: str
    committed: frozenset[str]
    failed: Mapping[str, int]


def action_information(items: Iterable[CommitmentItem], transaction_uid: str) -> Dataset:
    """What a request holds (PS3.4 table J.3-1)."""
    information = Dataset()
    information.TransactionUID = transaction_uid
    information.ReferencedSOPSequence = []
    for item in items:
        reference = Dataset()
        reference.ReferencedSOPClassUID = item.sop_class_uid
        reference.ReferencedSOPInstanceUID = item.sop_instance_uid
        information.ReferencedSOPSequence.append(reference)
    return information


def read_report(event_type: int | None, information: Dataset) -> CommitmentReport:
    """Read the event information of an N-EVENT-REPORT (PS3.4 table J.3-2).

    An instance in both sequences has failed. What names no instance at all, or one without a UID, cannot be told from
    a report that broke off, and is refused as a whole.

    Raises
    ------
    MalformedReport
        With the status to answer.
    """
    if event_type not in (EVENT_SUCCESSFUL, EVENT_FAILURES_EXIST):
        raise MalformedReport(NO_SUCH_EVENT_TYPE, f"event type {event_type}")
    try:
        transaction_uid = _uid(information, "TransactionUID")
        kept, failed = (_references(information, keyword) for keyword in _TAGS)
    except MALFORMED as error:  # pydicom converts a value when it is first used
        raise MalformedReport(INVALID_ARGUMENT, "the event information cannot be read") from error
    if not kept and not failed:
        raise MalformedReport(INVALID_ARGUMENT, "no instance is mentioned")
    return CommitmentReport(transaction_uid=transaction_uid, committed=frozenset(kept.keys() - failed), failed=failed)


def _references(information: Dataset, keyword: str) -> dict[str, int]:
    """Failure reason by SOP Instance UID; where there is none, or none that is a number, a processing failure."""
    found = {}
    for item in information.get(keyword) or ():
        reason = item.get("FailureReason")
        found[_uid(item, "ReferencedSOPInstanceUID")] = reason if isinstance(reason, int) else PROCESSING_FAILURE
    return found


def _uid(dataset: Dataset, keyword: str) -> str:
    value = str(dataset.get(keyword, ""))
    if _UID.fullmatch(value) is None:
        raise ValueError(f"{keyword} is no UID")
    return value


def reason_words(reason: int) -> str:
    """A Failure Reason (0008,1197) for people."""
    words, _ = FAILURE_REASONS.get(reason, UNKNOWN_REASON)
    return f"{words} (0x{reason:04X})"


def remedy(reason: int) -> Remedy:
    """What can be done about a Failure Reason; an unknown one may pass."""
    return FAILURE_REASONS.get(reason, UNKNOWN_REASON)[1]
