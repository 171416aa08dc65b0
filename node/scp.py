"""The receiver: Verification and Storage SCP (PS3.4 annex A and B) over pynetdicom.

Nothing is acknowledged before its bytes and its ledger row are on disk. `node.transport` replaces parts of pynetdicom
at its own seams (server class, request handler, socket), for reasons that stand beside them; docs/adr/0002-receiver.md
has the measurements. Answers to requests for storage commitment come here too (`node.commitment_peers`).
"""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import structlog
from pydicom import Dataset
from pydicom.uid import UID, AllTransferSyntaxes
from pynetdicom import AE, _config, dimse_messages, evt
from pynetdicom.dimse_primitives import C_STORE
from pynetdicom.presentation import PresentationContext, build_context
from pynetdicom.service_class import StorageServiceClass
from pynetdicom.sop_class import Verification, register_uid  # type: ignore[attr-defined] # made at import time
from sqlalchemy.exc import SQLAlchemyError

from node.arrivals import REGIONS, UNROUTED, ReceivedInstance
from node.commitment_peers import CommitmentPeers, reporting_context
from node.errors import LowDiskSpace, SpoolError
from node.ledger import Ledger
from node.outbox import Fault, Outbox, no_fault
from node.peers import Peers
from node.routing import (
    ACCEPTED_SOP_CLASSES,
    RETIRED_ULTRASOUND,
    is_result_of_a_node,
    route,
)
from node.settings import Settings
from node.spool import IncomingFile, Spool
from node.tls import server_context
from node.transport import MessageBuffer, ReceivingServer
from pipelines.errors import UnreadableInstance
from pipelines.headers import describe_mammogram, read_header, unfit_reason, view_name
from pipelines.regions import carries_regions
from sr_templates.identity import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME

# C-STORE response statuses, PS3.4 table B.2-1 and PS3.7 annex C
SUCCESS: Final = 0x0000
PROCESSING_FAILURE: Final = 0x0110
DUPLICATE_SOP_INSTANCE: Final = 0x0111
OUT_OF_RESOURCES: Final = 0xA700
DOES_NOT_MATCH_SOP_CLASS: Final = 0xA900
SOP_CLASS_NOT_SUPPORTED: Final = 0x0122
CANNOT_UNDERSTAND: Final = 0xC000

# A-ASSOCIATE-RJ, PS3.8 table 9-21: rejected-permanent, by the service user, calling AE title not recognised
CALLING_AE_NOT_RECOGNISED: Final = (0x01, 0x01, 0x03)

NEWER_SYNTAXES: Final = (
    "1.2.840.10008.1.2.1.98",  # Encapsulated Uncompressed Explicit VR Little Endian
    "1.2.840.10008.1.2.8.1",  # Deflated Image Frame Compression
    "1.2.840.10008.1.2.4.110",  # JPEG XL, lossless
    "1.2.840.10008.1.2.4.111",  # JPEG XL, JPEG recompression
    "1.2.840.10008.1.2.4.112",  # JPEG XL
)
"""PS3.6 table A-1: kept like all others, though pydicom does not know them."""

log = structlog.get_logger("scp")


class Receiver:
    """Handlers of one receiver.

    Parameters
    ----------
    settings : Settings
        Titles, addresses, limits.
    spool, ledger, outbox
        Where bytes and rows go; the outbox knows this node's own results when they come back.
    clock : callable
        Seconds since 1970.
    fault : callable
        Called with the name of each step.
    """

    def __init__(
        self,
        *,
        settings: Settings,
        spool: Spool,
        ledger: Ledger,
        outbox: Outbox,
        clock: Callable[[], float] = time.time,
        fault: Fault = no_fault,
    ) -> None:
        self._settings = settings
        self._spool = spool
        self._ledger = ledger
        self._outbox = outbox
        self._clock = clock
        self._fault = fault
        self._peers = Peers(settings.source)
        self._asked = CommitmentPeers(settings, ledger, clock=clock)
        self._incoming: dict[str, tuple[IncomingFile, threading.Thread]] = {}
        self._lock = threading.Lock()

    @contextmanager
    def listening(self) -> Iterator[ReceivingServer]:
        """Listen until the block ends; what is being received then is finished or aborted by the caller's choice."""
        node = self._settings.node
        ae = AE(ae_title=node.ae_title)
        ae.implementation_class_uid = IMPLEMENTATION_CLASS_UID
        ae.implementation_version_name = IMPLEMENTATION_VERSION_NAME
        ae.maximum_associations = node.max_associations
        ae.maximum_pdu_size = node.max_pdu_bytes
        ae.network_timeout = node.network_timeout_s
        ae.require_called_aet = True
        # All are process-wide; the receiver is a process of its own.
        _config.STORE_RECV_CHUNKED_DATASET = True
        _config.LOG_HANDLER_LEVEL = "none"  # its handlers describe every PDU, for a log level that is never on
        # IncomingFile has what pynetdicom uses of it: name, write, tell, file.flush and close.
        setattr(dimse_messages, "NamedTemporaryFile", self._open_incoming)  # noqa: B010 # not an export to mypy
        setattr(dimse_messages, "BytesIO", MessageBuffer)  # noqa: B010 # as above
        server = ae.make_server(
            (node.host, node.port),
            contexts=presentation_contexts(),
            ssl_context=server_context(self._settings.tls),
            evt_handlers=[
                (evt.EVT_REQUESTED, self._on_requested),
                (evt.EVT_C_ECHO, lambda _event: SUCCESS),
                (evt.EVT_C_STORE, self._on_store),
                (evt.EVT_N_EVENT_REPORT, self._asked.on_event_report),
                (evt.EVT_CONN_CLOSE, self._on_close),
                (evt.EVT_ABORTED, self._on_aborted),
            ],
            server_class=ReceivingServer,
            is_known_host=self._knows_host,
        )
        assert isinstance(server, ReceivingServer)  # server_class above
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.1}, daemon=True)
        thread.start()
        try:
            yield server
        finally:
            server.stop_accepting()
            self._drain(server, until=time.monotonic() + 15)
            server.shutdown()
            thread.join(timeout=5)

    def _drain(self, server: ReceivingServer, until: float) -> None:
        while server.active_associations and time.monotonic() < until:
            time.sleep(0.05)
        for association in server.active_associations:
            association.abort()

    def _open_incoming(self, **_arguments: Any) -> IncomingFile:
        # pynetdicom opens the file in the thread that reads this association's socket: the file is that thread's until
        # the C-STORE handler takes it over.
        self._discard_of(None)
        incoming = self._spool.receive()
        with self._lock:
            self._incoming[incoming.name] = incoming, threading.current_thread()
        return incoming

    def _discard_of(self, reader: threading.Thread | None) -> None:
        """Remove what `reader` has received that no handler took over, and what readers left that have ended."""
        with self._lock:
            mine = [name for name, (_, owner) in self._incoming.items() if owner is reader or not owner.is_alive()]
            abandoned = [self._incoming.pop(name)[0] for name in mine]
        for incoming in abandoned:
            incoming.discard()

    def _knows_host(self, host: str) -> bool:
        return self._peers.knows_host(host) or self._asked.knows_host(host)

    def _on_requested(self, event: evt.Event) -> None:
        requestor = event.assoc.requestor
        assert requestor.primitive is not None  # this event is its arrival
        calling, host = requestor.primitive.calling_ae_title, requestor.address
        is_source = self._peers.admits(calling, host)
        if self._asked.names(calling, host):
            acceptor = event.assoc.acceptor
            storage = acceptor.supported_contexts if is_source else [build_context(Verification)]
            acceptor.supported_contexts = [*storage, reporting_context()]
        elif not is_source:
            log.warning("association_refused", calling_ae_title=calling, calling_host=host)
            event.assoc.acse.send_reject(*CALLING_AE_NOT_RECOGNISED)
            event.assoc.kill()  # waits until the rejection is out; the socket is closed as soon as this returns

    def _on_aborted(self, event: evt.Event) -> None:
        requestor = event.assoc.requestor
        log.warning("association_aborted", calling_ae_title=requestor.ae_title, calling_host=requestor.address)

    def _on_close(self, event: evt.Event) -> None:
        """Remove what this association had received and not yet handed over: it can no longer be acknowledged."""
        self._discard_of(event.assoc.dul)
        if event.assoc.requestor.primitive is None:
            # Wake who waits for the A-ASSOCIATE-RQ, and counts against the limit as long as it does.
            event.assoc.dul.to_user_queue.put(None)  # type: ignore[arg-type] # what receive_pdu returns on a timeout

    def _on_store(self, event: evt.Event) -> int | Dataset:
        with self._lock:
            incoming, _ = self._incoming.pop(str(event.dataset_path), (None, None))
        if incoming is None:  # the connection was closed in this moment
            return PROCESSING_FAILURE
        try:
            if event.context.abstract_syntax != affected(event).AffectedSOPClassUID:
                # Else a destination could store over the context of storage commitment; pynetdicom lets it.
                return self._refuse(event, SOP_CLASS_NOT_SUPPORTED, "not the SOP class of the presentation context")
            return self._store(event, incoming)
        except LowDiskSpace as error:
            return self._refuse(event, OUT_OF_RESOURCES, "not enough disk space", error)
        except (SpoolError, OSError) as error:  # our trouble, not the object's: the sender may try again
            return self._refuse(event, OUT_OF_RESOURCES, "the spool cannot be written", error)
        except SQLAlchemyError as error:
            return self._refuse(event, PROCESSING_FAILURE, "the ledger is not available", error)
        finally:
            incoming.discard()

    def _refuse(self, event: evt.Event, status: int, comment: str, error: Exception | None = None) -> Dataset:
        uid = str(affected(event).AffectedSOPInstanceUID)
        log.warning("instance_refused", sop_instance_uid=uid, status=f"0x{status:04X}", why=comment, error=str(error))
        answer = Dataset()
        answer.Status = status
        answer.ErrorComment = comment  # LO: at most 64 characters
        return answer

    def _store(self, event: evt.Event, incoming: IncomingFile) -> int | Dataset:
        sha256 = incoming.sync()
        self._fault("received")
        try:
            header = read_header(Path(incoming.name))
            received = self._describe(event, header, incoming, sha256)
        except UnreadableInstance as error:
            return self._refuse(event, CANNOT_UNDERSTAND, "the data set cannot be read", error)
        except SpoolError as error:  # it has no place for such a name
            return self._refuse(event, CANNOT_UNDERSTAND, "malformed UID", error)
        if received.sop_class_uid != str(affected(event).AffectedSOPClassUID):
            return self._refuse(event, DOES_NOT_MATCH_SOP_CLASS, "SOP class differs from the command's")
        if received.sop_instance_uid != str(affected(event).AffectedSOPInstanceUID):
            return self._refuse(event, DOES_NOT_MATCH_SOP_CLASS, "SOP instance differs from the command's")
        if is_result_of_a_node(header) or self._outbox.is_result(received.sop_instance_uid):
            log.info("own_result_ignored", sop_instance_uid=received.sop_instance_uid)
            return SUCCESS
        return self._keep(event, incoming, received)

    def _keep(self, event: evt.Event, incoming: IncomingFile, received: ReceivedInstance) -> int | Dataset:
        path = Path(received.path)
        self._spool.store(incoming, path)
        self._fault("spooled")
        recorded = self._ledger.record_instance(received, self._clock())
        self._fault("recorded")
        if recorded == "conflict":
            path.unlink(missing_ok=True)
            return self._refuse(event, DUPLICATE_SOP_INSTANCE, "known SOP Instance UID with other content")
        log.info(
            "instance_" + recorded,
            study_instance_uid=received.study_instance_uid,
            sop_instance_uid=received.sop_instance_uid,
            size_bytes=received.size_bytes,
        )
        return SUCCESS

    def _describe(self, event: evt.Event, header: Dataset, incoming: IncomingFile, sha256: str) -> ReceivedInstance:
        mammogram = describe_mammogram(header)
        pipeline = route(mammogram.sop_class_uid)
        if isinstance(pipeline, str):
            routed_to, counts = pipeline, unfit_reason(mammogram, header) is None
        else:
            routed_to, counts = (REGIONS if carries_regions(header) else UNROUTED), False
        path = self._spool.path_of(mammogram.study_instance_uid, mammogram.sop_instance_uid, sha256)
        requestor = event.assoc.requestor
        return ReceivedInstance(
            sop_instance_uid=mammogram.sop_instance_uid,
            study_instance_uid=mammogram.study_instance_uid,
            sop_class_uid=mammogram.sop_class_uid,
            transfer_syntax_uid=str(event.context.transfer_syntax),
            sha256=sha256,
            size_bytes=incoming.size_bytes,
            path=str(path),
            view=view_name(mammogram) if counts else None,
            routed_to=routed_to,
            calling_ae_title=requestor.ae_title,
            calling_host=requestor.address,
        )

    def sweep(self) -> int:
        """On start: remove files that were never acknowledged; return how many.

        A file is known by its folder and name: the state folder may have been moved since it was recorded. A ledger
        that knows no instance at all is not this spool's, and nothing is removed on its word.
        """
        removed = self._spool.sweep_incoming()
        if self._ledger.is_empty():
            return removed
        for sop_instance_uid, path in self._spool.files():
            known = self._ledger.path_of(sop_instance_uid)
            if known is None or Path(known).parts[-2:] != path.parts[-2:]:
                path.unlink(missing_ok=True)
                removed += 1
        return removed


def presentation_contexts() -> list[PresentationContext]:
    """Verification, and every accepted storage class in every transfer syntax: bytes are kept as they come."""
    for uid, keyword in RETIRED_ULTRASOUND.items():
        register_uid(uid, keyword, StorageServiceClass)
    syntaxes: list[str | UID] = [
        *AllTransferSyntaxes,
        *(uid for uid in NEWER_SYNTAXES if uid not in AllTransferSyntaxes),
    ]
    contexts = [build_context(Verification)]
    contexts += [build_context(uid, syntaxes) for uid in sorted(ACCEPTED_SOP_CLASSES)]
    return contexts


def affected(event: evt.Event) -> C_STORE:
    """The request of a C-STORE event."""
    assert isinstance(event.request, C_STORE)  # only bound to EVT_C_STORE
    return event.request


def is_listening(host: str, port: int) -> bool:
    """Whether something listens there already."""
    try:
        # The address that stands for every interface is also one to connect to this machine by.
        socket.create_connection((host, port), timeout=1).close()
    except OSError:
        return False
    return True
