"""Senders that break the rules of PS3.8, each in one way: bounded in bytes and time, to the loopback address alone."""

from __future__ import annotations

import socket
import struct
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from typing import Final

from pydicom import dcmread
from pydicom.filereader import read_file_meta_info
from pydicom.uid import ExplicitVRLittleEndian
from pynetdicom import build_context
from pynetdicom.dimse_messages import C_STORE_RQ, DIMSEMessage
from pynetdicom.dimse_primitives import C_STORE
from pynetdicom.pdu import (
    A_ABORT_RQ,
    A_ASSOCIATE_AC,
    A_ASSOCIATE_RJ,
    A_ASSOCIATE_RQ,
    A_RELEASE_RQ,
    P_DATA_TF,
    PDU,
)
from pynetdicom.pdu_primitives import A_ABORT, A_ASSOCIATE, A_RELEASE, ImplementationClassUIDNotification
from pynetdicom.pdu_primitives import MaximumLengthNotification as MaximumLength

from tests.peers.fake_pacs import RESET_ON_CLOSE
from tests.peers.processes import LOOPBACK

MAMMOGRAM_CLASS: Final = "1.2.840.10008.5.1.4.1.1.1.2"
APPLICATION_CONTEXT: Final = "1.2.840.10008.3.1.1.1"
IMPLEMENTATION_CLASS_UID: Final = "1.2.826.0.1.3680043.10.1.999"
PDU_HEADER: Final = struct.Struct(">BxL")
"""Type, reserved byte, length (PS3.8 section 9.3.1)."""
ASSOCIATE_AC, ASSOCIATE_RJ, P_DATA, RELEASE_RP, ABORT = 0x02, 0x03, 0x04, 0x06, 0x07
GARBAGE: Final = b"GET / HTTP/1.1\r\nHost: pacs\r\n\r\n"


class Rejected(ConnectionError):
    """A-ASSOCIATE-RJ: `result`, `source`, `reason` (PS3.8 table 9-21)."""

    def __init__(self, result: int, source: int, reason: int) -> None:
        super().__init__(f"rejected: result {result}, source {source}, reason {reason}")
        self.result, self.source, self.reason = result, source, reason


@dataclass(slots=True, kw_only=True)
class RawAssociation:
    """An association without a state machine behind it: whatever is asked for goes out.

    Attributes
    ----------
    context_id : int
        Of the one presentation context that was proposed.
    is_context_accepted : bool
    max_pdu_bytes : int
        What the peer is ready to receive; 0 is no limit.
    """

    connection: socket.socket
    context_id: int = 1
    is_context_accepted: bool = True
    max_pdu_bytes: int = 16_384
    _message_ids: Iterator[int] = field(default_factory=lambda: iter(range(1, 65_536)))

    def send(self, pdu: PDU) -> None:
        """Send a PDU."""
        self.connection.sendall(pdu.encode())

    def store_pdus(self, sop_class_uid: str, sop_instance_uid: str, dataset: bytes) -> Iterator[bytes]:
        """Encode a C-STORE-RQ in PDUs of the size that the peer asked for."""
        request = C_STORE()
        request.MessageID = next(self._message_ids)
        request.AffectedSOPClassUID, request.AffectedSOPInstanceUID = sop_class_uid, sop_instance_uid
        request.Priority = 0
        request.DataSet = BytesIO(dataset)
        message = C_STORE_RQ()
        message.primitive_to_message(request)
        for primitive in message.encode_msg(self.context_id, self.max_pdu_bytes or 1 << 20):
            pdu = P_DATA_TF()
            pdu.from_primitive(primitive)
            yield pdu.encode()

    def store(self, sop_class_uid: str, sop_instance_uid: str, dataset: bytes) -> int:
        """C-STORE any bytes as a data set; return the status.

        Raises
        ------
        ConnectionError
            When the peer ends the association in place of an answer.
        """
        for pdu in self.store_pdus(sop_class_uid, sop_instance_uid, dataset):
            self.connection.sendall(pdu)
        return self.read_status()

    def read_status(self) -> int:
        """Read a C-STORE-RSP.

        Raises
        ------
        ConnectionError
            When something else comes.
        """
        message = DIMSEMessage()
        while True:
            kind, body = read_pdu(self.connection)
            if kind != P_DATA:
                raise ConnectionError(f"a PDU of type 0x{kind:02X} in place of an answer")
            pdu = P_DATA_TF()
            pdu.decode(body)
            if message.decode_msg(pdu.to_primitive(), None):
                assert message.command_set is not None
                return int(message.command_set.Status)

    def release(self) -> None:
        """End as one should."""
        pdu = A_RELEASE_RQ()
        pdu.from_primitive(A_RELEASE())
        self.send(pdu)
        read_pdu(self.connection)
        self.connection.close()

    def abort(self) -> None:
        """Send A-ABORT and close."""
        primitive = A_ABORT()
        primitive.abort_source = 0
        pdu = A_ABORT_RQ()
        pdu.from_primitive(primitive)
        self.send(pdu)
        self.connection.close()

    def drop(self) -> None:
        """Close with RST, without a word."""
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_ON_CLOSE)
        self.connection.close()


def connect(port: int, *, timeout_s: float = 10) -> socket.socket:
    """Open a TCP connection to the loopback address."""
    return socket.create_connection((LOOPBACK, port), timeout=timeout_s)


def read_pdu(connection: socket.socket) -> tuple[int, bytes]:
    """Read a whole PDU; return its type and all its bytes.

    Raises
    ------
    ConnectionError
        When the peer closes first.
    """
    header = _read_exactly(connection, PDU_HEADER.size)
    kind, length = PDU_HEADER.unpack(header)
    return kind, header + _read_exactly(connection, length)


def _read_exactly(connection: socket.socket, length: int) -> bytes:
    content = b""
    while len(content) < length:
        part = connection.recv(length - len(content))
        if not part:
            raise ConnectionError("the peer closed the connection")
        content += part
    return content


def is_closed_by_peer(connection: socket.socket, *, within_s: float) -> bool:
    """Whether the peer ends the connection in time; what it says before is read and forgotten."""
    deadline = time.monotonic() + within_s
    while (left_s := deadline - time.monotonic()) > 0:
        connection.settimeout(left_s)
        try:
            if not connection.recv(4096):
                return True
        except TimeoutError:
            return False
        except ConnectionError:
            return True
    return False


def associate(
    port: int,
    *,
    called: str,
    calling: str = "HOSTILE",
    sop_class_uid: str = MAMMOGRAM_CLASS,
    transfer_syntax_uid: str = ExplicitVRLittleEndian,
    timeout_s: float = 10,
) -> RawAssociation:
    """Negotiate one presentation context.

    Raises
    ------
    Rejected
        When the peer rejects the association, for instance for a wrong called AE title.
    ConnectionError
        When it answers with something else or not at all.
    """
    request = A_ASSOCIATE()
    request.application_context_name = APPLICATION_CONTEXT
    request.calling_ae_title, request.called_ae_title = calling, called
    context = build_context(sop_class_uid, transfer_syntax_uid)
    context.context_id = 1
    request.presentation_context_definition_list = [context]
    longest, implementation = MaximumLength(), ImplementationClassUIDNotification()
    longest.maximum_length_received = 16_384
    implementation.implementation_class_uid = IMPLEMENTATION_CLASS_UID
    request.user_information = [longest, implementation]
    pdu = A_ASSOCIATE_RQ()
    pdu.from_primitive(request)
    association = RawAssociation(connection=connect(port, timeout_s=timeout_s))
    association.send(pdu)
    try:
        _read_acceptance(association)
    except ConnectionError:
        association.connection.close()
        raise
    return association


def _read_acceptance(association: RawAssociation) -> None:
    kind, body = read_pdu(association.connection)
    if kind == ASSOCIATE_RJ:
        refusal = A_ASSOCIATE_RJ()
        refusal.decode(body)
        assert refusal.result is not None and refusal.source is not None and refusal.reason_diagnostic is not None
        raise Rejected(refusal.result, refusal.source, refusal.reason_diagnostic)
    if kind != ASSOCIATE_AC:
        raise ConnectionError(f"a PDU of type 0x{kind:02X} in place of an acceptance")
    acceptance = A_ASSOCIATE_AC()
    acceptance.decode(body)
    primitive = acceptance.to_primitive()
    association.max_pdu_bytes = primitive.maximum_length_received or 0
    (context,) = primitive.presentation_context_definition_results_list
    association.is_context_accepted = context.result == 0x00


def send_garbage(port: int, content: bytes = GARBAGE, *, wait_s: float = 5) -> bool:
    """Send bytes that are no DICOM; return whether the peer closes the connection within `wait_s`."""
    with connect(port) as connection:
        connection.sendall(content)
        return is_closed_by_peer(connection, within_s=wait_s)


@contextmanager
def silent_connections(port: int, number: int = 1) -> Iterator[list[socket.socket]]:
    """Connect and say nothing, `number` times (at most 200), for the length of the block."""
    connections: list[socket.socket] = []
    try:
        connections.extend(connect(port) for _ in range(min(number, 200)))
        yield connections
    finally:
        for connection in connections:
            connection.close()


def abort_mid_store(path: Path, port: int, *, called: str, after_bytes: int, calling: str = "HOSTILE") -> None:
    """A-ABORT as soon as `after_bytes` of a C-STORE's PDUs went out."""
    with stalled_store(path, port, called=called, after_bytes=after_bytes, calling=calling) as association:
        association.abort()


def drop_mid_store(path: Path, port: int, *, called: str, after_bytes: int, calling: str = "HOSTILE") -> None:
    """Reset the TCP connection (RST) as soon as `after_bytes` of a C-STORE's PDUs went out."""
    with stalled_store(path, port, called=called, after_bytes=after_bytes, calling=calling) as association:
        association.drop()


@contextmanager
def stalled_store(
    path: Path, port: int, *, called: str, after_bytes: int, calling: str = "HOSTILE"
) -> Iterator[RawAssociation]:
    """Send the first `after_bytes` of a C-STORE, then nothing for the length of the block, then close."""
    sop_class_uid, sop_instance_uid, syntax, dataset = split_file(path)
    association = associate(
        port, called=called, calling=calling, sop_class_uid=sop_class_uid, transfer_syntax_uid=syntax
    )
    try:
        left = after_bytes
        for pdu in association.store_pdus(sop_class_uid, sop_instance_uid, dataset):
            association.connection.sendall(pdu[:left])
            left -= len(pdu)
            if left <= 0:
                break
        yield association
    finally:
        association.connection.close()


def split_file(path: Path) -> tuple[str, str, str, bytes]:
    """SOP class, SOP instance and transfer syntax UIDs of a DICOM file, and its data set as it lies there."""
    header = dcmread(path, specific_tags=["SOPClassUID", "SOPInstanceUID"], stop_before_pixels=True)
    meta = read_file_meta_info(path)
    # preamble, prefix, the group length element itself (12 bytes), then the group
    start = 128 + 4 + 12 + meta.FileMetaInformationGroupLength
    return (
        str(header.SOPClassUID),
        str(header.SOPInstanceUID),
        str(meta.TransferSyntaxUID),
        path.read_bytes()[start:],
    )


def announce_oversize_pdu(
    port: int, *, called: str | None = None, length: int = 0xFFFF_FFFF, wait_s: float = 5
) -> bool:
    """Announce a PDU of `length` bytes and send 64 of them; return whether the peer closes within `wait_s`.

    Parameters
    ----------
    called : str, optional
        Associate first, so that it is a P-DATA PDU; else it is the A-ASSOCIATE-RQ itself.
    """
    if called is None:
        connection, kind = connect(port), 0x01
    else:
        connection, kind = associate(port, called=called).connection, P_DATA
    with connection:
        connection.sendall(PDU_HEADER.pack(kind, length) + bytes(64))
        return is_closed_by_peer(connection, within_s=wait_s)


def lie_about_pdv_length(port: int, *, called: str, wait_s: float = 5) -> bool:
    """Send a P-DATA PDU whose only value claims to be longer than the PDU; return whether the peer closes."""
    association = associate(port, called=called)
    with association.connection as connection:
        value = struct.pack(">LBB", 100_000, association.context_id, 0x03) + bytes(32)
        connection.sendall(PDU_HEADER.pack(P_DATA, len(value)) + value)
        return is_closed_by_peer(connection, within_s=wait_s)


def endless_command(port: int, *, called: str, most_bytes: int = 8 << 20, wait_s: float = 5) -> bool:
    """Send fragments of one command set, none of them the last; return whether the peer closes before `most_bytes`."""
    association = associate(port, called=called)
    fragment = struct.pack(">LBB", 16_002, association.context_id, 0x01) + bytes(16_000)
    with association.connection as connection:
        try:
            for _ in range(most_bytes // len(fragment)):
                connection.sendall(PDU_HEADER.pack(P_DATA, len(fragment)) + fragment)
        except ConnectionError:
            return True
        return is_closed_by_peer(connection, within_s=wait_s)


def call_wrong_ae(port: int, *, called: str = "NOBODY", calling: str = "HOSTILE") -> tuple[int, int, int] | None:
    """Associate with a wrong called AE title; return result, source and reason of the rejection, None if accepted."""
    try:
        association = associate(port, called=called, calling=calling)
    except Rejected as rejection:
        return rejection.result, rejection.source, rejection.reason
    association.abort()
    return None
