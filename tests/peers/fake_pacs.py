"""A PACS inside the test's own process whose every answer the test chooses."""

from __future__ import annotations

import socket
import struct
import threading
import time
from collections import Counter, deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Final, Literal, Self

from pydicom import Dataset, dcmread
from pydicom.filebase import DicomBytesIO
from pydicom.uid import AllTransferSyntaxes
from pynetdicom import AE, AllStoragePresentationContexts, evt
from pynetdicom.dimse_primitives import C_STORE
from pynetdicom.pdu import P_DATA_TF
from pynetdicom.sop_class import (  # type: ignore[attr-defined] # made at import time
    StorageCommitmentPushModel,
    Verification,
)
from pynetdicom.transport import ThreadedAssociationServer

from tests.peers.fake_commitment import FakeCommitment
from tests.peers.processes import LOOPBACK, free_port, wait_until

Rejection = tuple[int, int, int]
"""Result, source and reason of A-ASSOCIATE-RJ (PS3.8 table 9-21)."""

REJECTED_CALLED_AE_TITLE: Final[Rejection] = (0x01, 0x01, 0x07)
REJECTED_CALLING_AE_TITLE: Final[Rejection] = (0x01, 0x01, 0x03)
REJECTED_LOCAL_LIMIT_EXCEEDED: Final[Rejection] = (0x02, 0x03, 0x02)

RESET_ON_CLOSE: Final = struct.pack("ii", 1, 0)
"""SO_LINGER on with 0 s: closing the socket sends RST in place of FIN."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreAnswer:
    """What the PACS does with one C-STORE.

    Attributes
    ----------
    status : int
        PS3.4 table B.2-1; the instance is kept for Success and the warnings (0xB000, 0xB006, 0xB007).
    comment : str
        Error Comment (0000,0902), left out when empty.
    delay_s : float
        Time before anything happens; a stop of the PACS cuts it short.
    then : {"respond", "abort", "drop"}
        Answer; or, in its place, A-ABORT; or reset the TCP connection.
    keep : bool or None
        Keep the instance whatever the status (True: stored, but the sender does not learn of it), or do not (False).
    """

    status: int = 0x0000
    comment: str = ""
    delay_s: float = 0.0
    then: Literal["respond", "abort", "drop"] = "respond"
    keep: bool | None = None

    @property
    def keeps(self) -> bool:
        """Whether the instance is in the PACS afterwards."""
        if self.keep is not None:
            return self.keep
        return self.then == "respond" and (self.status == 0x0000 or self.status >> 12 == 0xB)


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreCall:
    """A C-STORE that arrived whole, and what came of it; `at_s` is the monotonic clock's time of its arrival."""

    at_s: float
    calling_ae_title: str
    sop_class_uid: str
    sop_instance_uid: str
    transfer_syntax_uid: str
    answer: StoreAnswer


class FakePacs:
    """A Storage, Storage Commitment and Verification SCP in threads of this process.

    Every attribute may be changed while it runs; `sop_classes`, `transfer_syntaxes`, `ae_title` and
    `require_called_ae_title` take effect with the next `start`.

    Attributes
    ----------
    port : int
        The same over stop and start.
    answer : StoreAnswer
        For every C-STORE that nothing below speaks of.
    answers_by_class : dict of str to StoreAnswer
        By SOP class UID.
    rejection : tuple of int or None
        Every association is refused so.
    abort_after_pdus : int or None
        A-ABORT as soon as so many P-DATA PDUs came in on one association, that is in the middle of a data set.
    calls : list of StoreCall
        In order of arrival.
    commitment : FakeCommitment
        What it says of what it keeps.
    associations : int
        How many were requested.
    """

    def __init__(
        self,
        *,
        port: int | None = None,
        ae_title: str = "PACS",
        sop_classes: Iterable[str] | None = None,
        transfer_syntaxes: Sequence[str] = AllTransferSyntaxes,
        require_called_ae_title: bool = False,
    ) -> None:
        self.port = free_port() if port is None else port
        self.ae_title = ae_title
        every_class = (str(context.abstract_syntax) for context in AllStoragePresentationContexts)
        self.sop_classes = tuple(every_class if sop_classes is None else sop_classes)
        self.transfer_syntaxes = tuple(str(uid) for uid in transfer_syntaxes)
        self.require_called_ae_title = require_called_ae_title
        self.answer = StoreAnswer()
        self.answers_by_class: dict[str, StoreAnswer] = {}
        self.rejection: Rejection | None = None
        self.abort_after_pdus: int | None = None
        self.calls: list[StoreCall] = []
        self.associations = 0
        self.commitment = FakeCommitment(ae_title, holds=lambda uid: uid in self.received)
        self._copies: dict[str, list[bytes]] = {}
        self._next: deque[StoreAnswer] = deque()
        self._pdus: Counter[int] = Counter()
        self._lock = threading.Lock()
        self._stopping = threading.Event()
        self._server: ThreadedAssociationServer | None = None

    def answer_next(self, *answers: StoreAnswer) -> None:
        """Give the next calls these answers, one each, before any other rule."""
        with self._lock:
            self._next.extend(answers)

    @property
    def received(self) -> dict[str, bytes]:
        """The DICOM file of each kept instance, its last copy, by SOP Instance UID."""
        with self._lock:
            return {uid: copies[-1] for uid, copies in self._copies.items()}

    @property
    def store_counts(self) -> Counter[str]:
        """How often each SOP Instance UID was kept; 1 everywhere means no duplicate."""
        with self._lock:
            return Counter({uid: len(copies) for uid, copies in self._copies.items()})

    def copies(self, sop_instance_uid: str) -> list[bytes]:
        """Every kept copy of an instance, in order of arrival."""
        with self._lock:
            return list(self._copies.get(sop_instance_uid, ()))

    def lose(self, sop_instance_uid: str) -> None:
        """Forget an instance, as if it had never come."""
        with self._lock:
            del self._copies[sop_instance_uid]

    def dataset(self, sop_instance_uid: str) -> Dataset:
        """The last kept copy, read."""
        return dcmread(DicomBytesIO(self.received[sop_instance_uid]))

    def wait_for(self, number_or_uids: int | Iterable[str], *, timeout_s: float = 30) -> dict[str, bytes]:
        """Wait until so many instances, or these, are kept; return `received`.

        Raises
        ------
        TimeoutError
            After `timeout_s`.
        """
        if isinstance(number_or_uids, int):
            wait_until(lambda: len(self._copies) >= number_or_uids, timeout_s=timeout_s, what="instances at the PACS")
        else:
            wanted = set(number_or_uids)
            wait_until(lambda: self._copies.keys() >= wanted, timeout_s=timeout_s, what="instances at the PACS")
        return self.received

    def wait_for_calls(self, number: int, *, timeout_s: float = 30) -> list[StoreCall]:
        """Wait until so many C-STOREs arrived, whatever their answer; return `calls`.

        Raises
        ------
        TimeoutError
            After `timeout_s`.
        """
        wait_until(lambda: len(self.calls) >= number, timeout_s=timeout_s, what="C-STOREs at the PACS")
        return list(self.calls)

    def start(self) -> Self:
        """Listen; what was received before stays."""
        assert self._server is None, "runs already"
        self._stopping.clear()
        ae = AE(ae_title=self.ae_title)
        ae.maximum_associations = 100
        ae.require_called_aet = self.require_called_ae_title
        ae.add_supported_context(Verification)
        for sop_class in self.sop_classes:
            ae.add_supported_context(sop_class, list(self.transfer_syntaxes))
        if self.commitment.is_offered:
            ae.add_supported_context(StorageCommitmentPushModel)
        server = ae.make_server(
            (LOOPBACK, self.port),
            server_class=ThreadedAssociationServer,
            evt_handlers=[
                (evt.EVT_REQUESTED, self._on_requested),
                (evt.EVT_PDU_RECV, self._on_pdu),
                (evt.EVT_C_ECHO, lambda _event: 0x0000),
                (evt.EVT_C_STORE, self._on_store),
                *self.commitment.handlers,
            ],
        )
        assert isinstance(server, ThreadedAssociationServer)  # server_class above
        self._server = server
        ae._servers.append(server)  # where its shutdown looks for it
        # In place of AE.start_server, whose thread looks twice a second whether it is to stop.
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        return self

    def stop(self) -> None:
        """Abort every association and close the port."""
        self._stopping.set()
        server, self._server = self._server, None
        if server is None:
            return
        server.shutdown()  # closes the port too
        for association in server.active_associations:
            association.abort()

    def restart(self) -> None:
        """Stop, and start on the same port."""
        self.stop()
        self.start()

    def __enter__(self) -> Self:
        return self if self._server is not None else self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _on_requested(self, event: evt.Event) -> None:
        with self._lock:
            self.associations += 1
            self._pdus[id(event.assoc)] = 0
        if self.rejection is not None:
            event.assoc.acse.send_reject(*self.rejection)
            # As pynetdicom's own rejections do: else it closes the socket before the rejection has gone out.
            event.assoc.kill()

    def _on_pdu(self, event: evt.Event) -> None:
        if self.abort_after_pdus is None or not isinstance(event.pdu, P_DATA_TF):
            return
        self._pdus[id(event.assoc)] += 1
        if self._pdus[id(event.assoc)] == self.abort_after_pdus:
            event.assoc.abort(block=False)

    def _on_store(self, event: evt.Event) -> Dataset:
        encoded = _encoded_file(event)
        request = event.request
        assert isinstance(request, C_STORE)  # this event is its arrival
        uid, sop_class = str(request.AffectedSOPInstanceUID), str(request.AffectedSOPClassUID)
        at_s = time.monotonic()
        with self._lock:
            rule = self.answers_by_class.get(sop_class, self.answer)
            answer = self._next.popleft() if self._next else rule
        if answer.delay_s:
            self._stopping.wait(answer.delay_s)
        with self._lock:
            if answer.keeps:
                self._copies.setdefault(uid, []).append(encoded)
            self.calls.append(
                StoreCall(
                    at_s=at_s,
                    calling_ae_title=event.assoc.requestor.ae_title.strip(),
                    sop_class_uid=sop_class,
                    sop_instance_uid=uid,
                    transfer_syntax_uid=str(event.context.transfer_syntax),
                    answer=answer,
                )
            )
        if answer.then == "abort":
            event.assoc.abort(block=False)
        elif answer.then == "drop":
            _reset(event)
        response = Dataset()
        response.Status = answer.status
        if answer.comment:
            response.ErrorComment = answer.comment
        return response


def _encoded_file(event: evt.Event) -> bytes:
    """Give the instance as a DICOM file.

    A receiver of this project in the same process has made pynetdicom write data sets to files, for all associations.
    """
    if getattr(event.request, "_dataset_path", None) is None:
        return event.encoded_dataset()
    return event.dataset_path.read_bytes()


def _reset(event: evt.Event) -> None:
    transport = event.assoc.dul.socket
    if transport is not None and transport.socket is not None:
        transport.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_ON_CLOSE)
        transport.close()
