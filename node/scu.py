"""Storage SCU (PS3.4 annex B): sends files as they are, over one association, and tells what became of each."""

from __future__ import annotations

import ssl
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from pydicom import dcmread
from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian
from pynetdicom import AE, _config, evt
from pynetdicom.association import Association
from pynetdicom.pdu import A_ASSOCIATE_RJ
from pynetdicom.presentation import PresentationContext, build_context

from node.statuses import Fate, classify

UNCOMPRESSED: Final = (ExplicitVRLittleEndian, ImplicitVRLittleEndian)
NOT_NEGOTIATED: Final = "the peer accepts no presentation context for this SOP class and transfer syntax"
MAX_CONTEXTS: Final = 128  # PS3.8 section 9.3.2.2: odd context identifiers from 1 to 255


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
    """What became of one file; `status` is None when the peer gave no answer, `comment` its own words or ours."""

    fate: Fate
    status: int | None
    comment: str


LOST: Final = StoreOutcome(fate="retry", status=None, comment="the association was lost")


class NoAssociation(Exception):  # says the condition, and is caught where it is raised from
    """The peer could not be reached or refused the association; the message says which."""


def contexts_for(files: Iterable[FileToSend]) -> list[PresentationContext]:
    """One context a SOP class and transfer syntax, so that the peer's choice for one never hides another.

    For uncompressed files both Little Endian syntaxes are offered: a peer that takes only Implicit VR gets the same
    data set in it.
    """
    wanted: dict[tuple[str, str], None] = {}
    for file in files:
        wanted[file.sop_class_uid, file.transfer_syntax_uid] = None
        if file.transfer_syntax_uid in UNCOMPRESSED:
            wanted.update({(file.sop_class_uid, syntax): None for syntax in UNCOMPRESSED})
    return [build_context(sop_class, syntax) for sop_class, syntax in wanted][:MAX_CONTEXTS]


@contextmanager
def associated(peer: Peer, contexts: Sequence[PresentationContext]) -> Iterator[Association]:
    """Open an association, release it at the end.

    Raises
    ------
    NoAssociation
        When there is none to be had.
    """
    _config.STORE_SEND_CHUNKED_DATASET = True  # files go out byte for byte, a piece at a time
    ae = AE(ae_title=peer.calling_ae_title)
    ae.connection_timeout = ae.acse_timeout = peer.timeout_s
    ae.dimse_timeout = ae.network_timeout = peer.timeout_s
    ae.maximum_pdu_size = 0
    rejections: list[A_ASSOCIATE_RJ] = []

    def keep_rejection(event: evt.Event) -> None:
        # pynetdicom calls an association aborted when the peer rejects it and hangs up at once.
        if isinstance(event.pdu, A_ASSOCIATE_RJ):
            rejections.append(event.pdu)

    try:
        association = ae.associate(
            peer.host,
            peer.port,
            contexts=list(contexts),
            ae_title=peer.called_ae_title,
            tls_args=(peer.tls, peer.host) if peer.tls else None,
            evt_handlers=[(evt.EVT_PDU_RECV, keep_rejection)],
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
    """Send one file over an open association; never raises for what the peer does."""
    accepted = {
        context.transfer_syntax[0]
        for context in association.accepted_contexts
        if context.abstract_syntax == file.sop_class_uid
    }
    fallback = accepted & set(UNCOMPRESSED) if file.transfer_syntax_uid in UNCOMPRESSED else set()
    if not association.is_established:
        return StoreOutcome(fate="retry", status=None, comment="the association was lost")
    if file.transfer_syntax_uid not in accepted and not fallback:
        return StoreOutcome(fate="refused", status=None, comment=NOT_NEGOTIATED)
    try:
        answer = association.send_c_store(
            file.path if file.transfer_syntax_uid in accepted else dcmread(file.path), msg_id=message_id
        )
    except RuntimeError:  # pynetdicom's word for an association that ended in this moment
        return StoreOutcome(fate="retry", status=None, comment="the association was lost")
    if "Status" not in answer:
        return StoreOutcome(fate="retry", status=None, comment="no answer before the timeout or the abort")
    rule = classify(answer.Status)
    # LO: 64 characters, none of them a control character; PostgreSQL does not take a NUL, and ends the courier.
    said = "".join(filter(str.isprintable, str(answer.get("ErrorComment", ""))))[:64]
    comment = said or (rule.meaning if answer.Status else "")
    return StoreOutcome(fate=rule.fate, status=answer.Status, comment=comment)
