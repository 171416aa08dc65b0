"""pynetdicom's server, request handler and socket, each changed in one respect that a busy node needs."""

from __future__ import annotations

import socket
import socketserver
import ssl
from collections.abc import Callable
from io import BytesIO
from typing import Any, Final

from pynetdicom.association import Association
from pynetdicom.transport import AssociationSocket, RequestHandler, ThreadedAssociationServer

MAX_ASSOCIATE_BYTES: Final = 1 << 20
"""Longest PDU that is not P-DATA; the largest real A-ASSOCIATE-RQ (128 contexts) is some 30 kB."""


MAX_MESSAGE_BYTES: Final = 1 << 20
"""Longest DIMSE message without the data set of a C-STORE, which goes to a file; a real command set has some 200."""


class MessageBuffer(BytesIO):
    """What a message is collected in, with an end: in pynetdicom's the sender may go on until memory is used up."""

    def write(self, data: Any, /) -> int:
        """Take the next bytes; OSError ends the association when a message has too many."""
        if self.tell() + len(data) > MAX_MESSAGE_BYTES:
            raise OSError(f"a message of more than {MAX_MESSAGE_BYTES} bytes")
        return super().write(data)


class ReceivingSocket(AssociationSocket):
    """Reads a PDU in as few system calls as the kernel allows, and none longer than was negotiated.

    pynetdicom asks for 4,096 bytes at a time, which alone costs a third of the time of a 17 MB mammogram, and believes
    the length field of a PDU, so that six bytes of garbage make it allocate up to 4 GB (PS3.8 section 9.3.1).
    """

    def __init__(self, assoc: Association, client_socket: socket.socket, max_pdu_bytes: int) -> None:
        super().__init__(assoc, client_socket=client_socket)
        self._max_bytes = max(MAX_ASSOCIATE_BYTES, max_pdu_bytes + 6)

    def recv(self, nr_bytes: int) -> bytearray:
        """Read exactly `nr_bytes`, or what came before the peer closed the connection.

        Raises
        ------
        OSError
            For a length that no PDU of this association can have; the caller closes the connection.
        """
        if nr_bytes > self._max_bytes:
            raise OSError(f"a PDU of {nr_bytes} bytes was announced, {self._max_bytes} is the most")
        if self.socket is None:
            return bytearray()
        buffer = bytearray(nr_bytes)
        view = memoryview(buffer)
        read = 0
        while read < nr_bytes:
            count = self.socket.recv_into(view[read:])
            if not count:
                break
            read += count
        view.release()
        del buffer[read:]
        return buffer


class ReceivingHandler(RequestHandler):
    """Finishes the TLS handshake in the connection's own thread, and uses `ReceivingSocket`."""

    server: ReceivingServer

    def handle(self) -> None:
        """Start an association, unless the TLS handshake fails."""
        if isinstance(self.request, ssl.SSLSocket):
            try:
                self.request.do_handshake()
            except OSError:
                self.server.shutdown_request(self.request)
                return
        super().handle()

    def _create_association(self) -> Association:
        association: Association = super()._create_association()
        association.dul.event_queue.get_nowait()  # the Evt5 of the socket that is replaced: one connection, one event
        association.dul.socket = ReceivingSocket(association, self.request, self.ae.maximum_pdu_size)
        return association


class ReceivingServer(ThreadedAssociationServer):
    """Refuses unknown hosts before reading a byte, and never lets one handshake hold up the others."""

    request_queue_size = 128

    def __init__(self, *args: Any, is_known_host: Callable[[str], bool], **kwargs: Any) -> None:
        self._is_known_host = is_known_host
        self._accepting = True
        super().__init__(*args, **{**kwargs, "request_handler": ReceivingHandler})

    def get_request(self) -> tuple[socket.socket, Any]:
        """Accept a connection; with TLS, without waiting for the handshake."""
        assert self.socket is not None  # bound in the constructor
        client, address = self.socket.accept()
        client.settimeout(self.ae.network_timeout)
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if self.ssl_context is not None:
            client = self.ssl_context.wrap_socket(client, server_side=True, do_handshake_on_connect=False)
        return client, address

    def verify_request(self, request: Any, client_address: Any) -> bool:
        """Let in only hosts that some source names, and nobody once the server stops."""
        return self._accepting and self._is_known_host(client_address[0])

    def shutdown(self) -> None:
        """Stop serving and close the socket; pynetdicom's own expects a server that its `start_server` made."""
        socketserver.BaseServer.shutdown(self)
        self.server_close()

    def stop_accepting(self) -> None:
        """Refuse new connections; those that are open go on."""
        self._accepting = False
