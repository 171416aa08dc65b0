"""Storage SCU (PS3.4 annex B): sends files as they are, over one association, and tells what became of each.

Also the request for storage commitment (annex J), which goes to the same peers.
"""

from __future__ import annotations

import ssl
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from pydicom import Dataset, dcmread
from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian, JPEGBaseline8Bit
from pynetdicom import AE, _config, evt
from pynetdicom.association import Association
from pynetdicom.pdu import A_ASSOCIATE_RJ
from pynetdicom.presentation import PresentationContext, build_context
from pynetdicom.sop_class import (  # type: ignore[attr-defined] # made at import time, from a table
    StorageCommitmentPushModel,
    Verification,
)
from pynetdicom.status import STATUS_SUCCESS, STATUS_WARNING, code_to_category

from node.commitment_report import ACTION_REQUEST, WELL_KNOWN_INSTANCE
from node.statuses import Fate, classify
from pipelines.headers import MALFORMED
from sr_templates.identity import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME

UNCOMPRESSED: Final = (ExplicitVRLittleEndian, ImplicitVRLittleEndian)
CONVERTED: Final = frozenset({*UNCOMPRESSED, JPEGBaseline8Bit})
"""Transfer syntaxes of results that go out uncompressed where the peer does not accept them as they are."""
NOT_NEGOTIATED: Final = "the peer accepts no presentation context for this SOP class and transfer syntax"
MAX_CONTEXTS: Final = 128  # PS3.8 section 9.3.2.2: odd context identifiers from 1 to 255
UNCOMPRESSED_FOR_PEER: Final = "sent uncompressed: the peer does not accept its transfer syntax"
UNDECODABLE: Final = "the peer does not accept its transfer syntax, and it cannot be decompressed"

NOT_OFFERED: Final = frozenset({0x0112, 0x0118, 0x0119, 0x0122, 0x0123, 0x0211})
"""N-ACTION statuses (PS3.7 annex C) for no such instance, class, action or operation: usually for good."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Peer:
    """Where to send, and as whom."""

    calling_ae_title: str
    called_ae_title: str
    host: str
    port: int
    timeout_s: float
    tls: ssl.SSLContext | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class FileToSend:
    """A DICOM file and what must be negotiated for it."""

    path: Path
    sop_class_uid: str
    transfer_syntax_uid: str


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreOutcome:
    """What became of one file.

    Attributes
    ----------
    status : int or None
        None when the peer gave no answer.
    comment : str
        What that means, in our words.
    said : str
        What the peer says of it (Error Comment). It may name a patient: never log it.
    """

    fate: Fate
    status: int | None
    comment: str
    said: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class CommitmentAnswer:
    """What became of a request for storage commitment."""

    fate: Literal["asked", "later", "unavailable"]
    why: str


EventHandler = Callable[[evt.Event], tuple[int, None]]
"""Gives the status of an N-EVENT-REPORT response, and no event reply."""

LOST: Final = StoreOutcome(fate="retry", status=None, comment="the association was lost")


class NoAssociation(Exception):  # says the condition, and is caught where it is raised from
    """The peer could not be reached or refused the association; the message says which."""


def contexts_for(files: Iterable[FileToSend]) -> list[PresentationContext]:
    """One context a SOP class and transfer syntax, so that the peer's choice for one never hides another.

    For results both uncompressed Little Endian syntaxes are offered as well: a peer that takes only Implicit VR gets
    the same data set in it, and one that takes no JPEG the decompressed pixels.
    """
    wanted: dict[tuple[str, str], None] = {}
    for file in files:
        wanted[file.sop_class_uid, file.transfer_syntax_uid] = None
        if file.transfer_syntax_uid in CONVERTED:
            wanted.update({(file.sop_class_uid, syntax): None for syntax in UNCOMPRESSED})
    return [build_context(sop_class, syntax) for sop_class, syntax in wanted][:MAX_CONTEXTS]


@contextmanager
def associated(
    peer: Peer, contexts: Sequence[PresentationContext], *, on_event_report: EventHandler | None = None
) -> Iterator[Association]:
    """Open an association, release it at the end; `on_event_report` answers what the peer reports meanwhile.

    Raises
    ------
    NoAssociation
        When there is none to be had.
    """
    _config.STORE_SEND_CHUNKED_DATASET = True  # files go out byte for byte, a piece at a time
    ae = AE(ae_title=peer.calling_ae_title)
    ae.implementation_class_uid = IMPLEMENTATION_CLASS_UID
    ae.implementation_version_name = IMPLEMENTATION_VERSION_NAME
    ae.connection_timeout = ae.acse_timeout = peer.timeout_s
    ae.dimse_timeout = ae.network_timeout = peer.timeout_s
    ae.maximum_pdu_size = 0
    rejections: list[A_ASSOCIATE_RJ] = []

    def keep_rejection(event: evt.Event) -> None:
        # pynetdicom calls an association aborted when the peer rejects it and hangs up at once.
        if isinstance(event.pdu, A_ASSOCIATE_RJ):
            rejections.append(event.pdu)

    handlers: list[evt.EventHandlerType] = [(evt.EVT_PDU_RECV, keep_rejection)]
    if on_event_report is not None:
        handlers.append((evt.EVT_N_EVENT_REPORT, on_event_report))
    try:
        association = ae.associate(
            peer.host,
            peer.port,
            contexts=list(contexts),
            ae_title=peer.called_ae_title,
            tls_args=(peer.tls, peer.host) if peer.tls else None,
            evt_handlers=handlers,
        )
    except (OSError, UnicodeError) as error:  # pynetdicom resolves the name outside its own try; IDNA gives the second
        raise NoAssociation(f"the name {peer.host} cannot be resolved") from error
    if not association.is_established:
        raise NoAssociation(_why_not(association, rejections))
    try:
        yield association
    finally:
        if association.is_established:
            association.release()


def _why_not(association: Association, rejections: Sequence[A_ASSOCIATE_RJ]) -> str:
    if rejections:
        return f"association rejected: {rejections[0].reason_str}"
    if association.is_aborted and association.acceptor.primitive is not None:
        return "association aborted by the peer"
    return "no connection: nothing listens there, or it does not answer"


def store(association: Association, file: FileToSend, message_id: int) -> StoreOutcome:
    """Send one file over an open association; never raises for what the peer does.

    A result whose transfer syntax the peer does not accept goes out uncompressed, under its own SOP Instance UID.
    """
    accepted = {
        context.transfer_syntax[0]
        for context in association.accepted_contexts
        if context.abstract_syntax == file.sop_class_uid
    }
    fallback = accepted & set(UNCOMPRESSED) if file.transfer_syntax_uid in CONVERTED else set()
    if not association.is_established:
        return LOST
    if file.transfer_syntax_uid not in accepted and not fallback:
        return StoreOutcome(fate="refused", status=None, comment=NOT_NEGOTIATED)
    as_it_is = file.transfer_syntax_uid in accepted
    try:
        content = file.path if as_it_is else _uncompressed(file)
    except (*MALFORMED, RuntimeError):  # the second: no decoder of pydicom's could make sense of the pixels
        return StoreOutcome(fate="refused", status=None, comment=UNDECODABLE)
    try:
        answer = association.send_c_store(content, msg_id=message_id)
    except RuntimeError:  # pynetdicom's word for an association that ended in this moment
        return LOST
    if "Status" not in answer:
        return StoreOutcome(fate="retry", status=None, comment="no answer before the timeout or the abort")
    rule = classify(answer.Status)
    # LO: 64 characters, none of them a control character; PostgreSQL does not take a NUL, and ends the courier.
    said = "".join(filter(str.isprintable, str(answer.get("ErrorComment", ""))))[:64]
    comment = rule.meaning if answer.Status else ""
    if not comment and not as_it_is and file.transfer_syntax_uid not in UNCOMPRESSED:
        comment = UNCOMPRESSED_FOR_PEER
    return StoreOutcome(fate=rule.fate, status=answer.Status, comment=comment, said=said)


def _uncompressed(file: FileToSend) -> Dataset:
    """Read a file for a peer that does not accept its transfer syntax; pynetdicom encodes it in one that it does.

    Decompressing keeps the SOP Instance UID. PS3.3 C.7.6.1.1.5 asks for a new one where lossy compression is applied,
    since pixels change then; here they were lossy before, Lossy Image Compression (0028,2110) stays "01", and what goes
    out is what every receiver of the compressed image would see. A transfer syntax is a matter of how a data set is
    encoded (PS3.5 section 10), not of what it says.
    """
    dataset = dcmread(file.path)
    if file.transfer_syntax_uid not in UNCOMPRESSED:
        dataset.decompress(generate_instance_uid=False)
    return dataset


def commitment_contexts(sop_class_uids: Iterable[str]) -> list[PresentationContext]:
    """Storage commitment, and what the peer has accepted before.

    A peer that accepts none of the contexts is no different from one that is away; with the classes of what it has
    stored, one without storage commitment accepts the association and says so.
    """
    known = [build_context(uid, list(UNCOMPRESSED)) for uid in dict.fromkeys(sop_class_uids)]
    return [build_context(StorageCommitmentPushModel), build_context(Verification), *known][:MAX_CONTEXTS]


def ask_commitment(association: Association, information: Dataset) -> CommitmentAnswer:
    """Ask for storage commitment over an open association; never raises for what the peer does.

    Parameters
    ----------
    information : pydicom.Dataset
        Action information (PS3.4 table J.3-1).
    """
    if not offers_commitment(association):
        return CommitmentAnswer(fate="unavailable", why="the peer offers no storage commitment")
    try:
        answer, _ = association.send_n_action(
            information, ACTION_REQUEST, StorageCommitmentPushModel, WELL_KNOWN_INSTANCE
        )
    except RuntimeError:  # pynetdicom's word for an association that ended in this moment
        return CommitmentAnswer(fate="later", why=LOST.comment)
    if "Status" not in answer:
        return CommitmentAnswer(fate="later", why="no answer before the timeout or the abort")
    if code_to_category(answer.Status) in (STATUS_SUCCESS, STATUS_WARNING):
        return CommitmentAnswer(fate="asked", why="")
    why = f"storage commitment refused with 0x{answer.Status:04X}"
    return CommitmentAnswer(fate="unavailable" if answer.Status in NOT_OFFERED else "later", why=why)


def offers_commitment(association: Association) -> bool:
    """Whether the peer accepted the presentation context of the Storage Commitment Push Model."""
    return any(context.abstract_syntax == StorageCommitmentPushModel for context in association.accepted_contexts)
