"""Checks that use the network: the own port, the senders' names, and an echo to every destination."""

from __future__ import annotations

import errno
import ipaddress
import logging
import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager

from pynetdicom import AE, evt
from pynetdicom.association import Association
from pynetdicom.pdu import A_ASSOCIATE_RJ
from pynetdicom.sop_class import (  # type: ignore[attr-defined] # made at import time, from a table
    StorageCommitmentPushModel,
    Verification,
)

from node.errors import SettingsInvalid
from node.finding import Finding, error, ok, warning
from node.settings import DestinationSettings, Settings
from node.tls import client_context

REJECTION_REMEDIES: dict[tuple[int | None, int | None], str] = {
    # (result source, diagnostic) of A-ASSOCIATE-RJ, PS3.8 table 9-21
    (1, 3): "register the node's AE title {calling}, with this machine's address, at the destination",
    (1, 7): "mend destination.ae_title: the destination does not call itself {called}",
    (3, 1): "the destination is busy; try again, or raise its limit of associations",
    (3, 2): "the destination is busy; try again, or raise its limit of associations",
}

NO_DICOM_REMEDY = (
    "mend destination.port; if it is right, destination.tls may not be, or tls.certificate is not believed there"
)


def check_port(settings: Settings) -> Finding:
    """Whether the receiver could listen where it is told to."""
    host, port = settings.node.host, settings.node.port
    subject = "node.port"
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind, protocol) as listener:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # a closing connection is no obstacle
            listener.bind(address)
    except socket.gaierror:
        return error("node.host", f"{host} cannot be resolved", "give an address of this machine, or 0.0.0.0 for all")
    except OSError as caught:
        if caught.errno == errno.EADDRINUSE:
            return warning(subject, f"{port} on {host} is in use", "if that is not this node, choose another node.port")
        if caught.errno == errno.EADDRNOTAVAIL:
            return error("node.host", f"{host} is no address of this machine", "give one that is, or 0.0.0.0 for all")
        remedy = "ports below 1024 need a privilege: choose 11112, or grant CAP_NET_BIND_SERVICE"
        return error(subject, f"{port} on {host}: {caught.strerror}", remedy)
    return ok(subject, f"{port} on {host} is free")


def check_sources(settings: Settings) -> Iterator[Finding]:
    """Whether every sender that is to be let in can be recognised, and can reach the node."""
    if not settings.source:
        yield warning("source", "none listed: only this machine may send", "add a [[source]] for every sender")
        return
    if _is_loopback(settings.node.host):
        text = f"{settings.node.host} is not reached from outside, but senders are listed"
        yield warning("node.host", text, 'set node.host = "0.0.0.0"')
    for number, source in enumerate(settings.source, start=1):
        subject = f"source[{number}] {source.ae_title}"
        if source.network is not None:
            yield ok(subject, f"let in from {source.network}")
            continue
        try:
            addresses = _addresses(source.host)
        except socket.gaierror as caught:
            remedy = "mend source.host, or give its IP address"
            yield error(subject, f"{source.host} cannot be resolved ({caught.strerror})", remedy)
        else:
            yield ok(subject, f"let in from {source.host} ({', '.join(addresses)})")


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _addresses(host: str) -> list[str]:
    return sorted({str(info[4][0]) for info in socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)})


def check_destinations(settings: Settings, *, timeout_s: float) -> Iterator[Finding]:
    """Echo every destination, and ask whether it would take the results that are meant for it."""
    if not settings.destination:
        yield warning(
            "destination", "none listed: results stay in the outbox", "add a [[destination]], usually the PACS"
        )
    for destination in settings.destination:
        yield _check_destination(settings, destination, timeout_s)
        if destination.commitment and _is_loopback(settings.node.host) and not _is_loopback(destination.host):
            text = f"{settings.node.host} is not reached from {destination.host}, whose commitment is to come there"
            yield warning("node.host", text, 'set node.host = "0.0.0.0"')
        if destination.commitment:
            yield _check_reporter(settings, destination)


def _check_reporter(settings: Settings, destination: DestinationSettings) -> Finding:
    """From whom reports on storage commitment are taken; from anybody else they are refused."""
    subject, reporter = f"commitment by {destination.name}", destination.reporter
    if reporter.network is None:
        try:
            _addresses(reporter.host)
        except socket.gaierror as caught:
            text = f"its reports will be refused: {reporter.host} cannot be resolved ({caught.strerror})"
            return warning(subject, text, "give the address that it reports from as destination.commitment_host")
    text = f"reports are expected from {reporter.ae_title} at {reporter.host}, to {settings.node.ae_title}"
    otherwise = "if it reports otherwise, set destination.commitment_ae_title or commitment_host"
    return ok(subject, f"{text} at port {settings.node.port}; {otherwise}")


def _check_destination(settings: Settings, destination: DestinationSettings, timeout_s: float) -> Finding:
    """Step by step from the name to the echo, so that the first thing that fails is the thing that is said."""
    try:
        tls = client_context(settings.tls) if destination.tls else None
        address = _connect(destination, tls, timeout_s)
    except (OSError, SettingsInvalid) as caught:
        return error(f"destination {destination.name}", *_explained(caught, destination))
    return _echo(settings, destination, address, tls, timeout_s)


def _explained(caught: OSError | SettingsInvalid, destination: DestinationSettings) -> tuple[str, str]:
    """What went wrong on the way to the destination, and how to mend it; TLS errors are OSErrors too."""
    where = f"{destination.host}:{destination.port}"
    match caught:
        case SettingsInvalid():
            explained = (caught.problems[0], "mend [tls]")
        case socket.gaierror():
            text = f"{destination.host} cannot be resolved ({caught.strerror})"
            explained = (text, "mend destination.host, or give its IP address")
        case ssl.SSLCertVerificationError():
            text = f"the certificate of {where} is not believed: {caught.verify_message}"
            explained = (text, "give its authority as tls.ca")
        case ssl.SSLError():
            text = f"no TLS with {where}: {(caught.reason or str(caught)).replace('_', ' ').lower()}"
            explained = (text, "if that port speaks no TLS, set destination.tls = false or mend destination.port")
        case ConnectionRefusedError():
            explained = (f"nothing listens at {where}", "start the destination, or mend destination.port")
        case _:
            text = f"{where} is not reached: {caught.strerror or 'no answer in time'}"
            explained = (text, "look at the network and its firewalls, or mend destination.host")
    return explained


def _connect(destination: DestinationSettings, tls: ssl.SSLContext | None, timeout_s: float) -> str:
    """The first address of the destination's that takes a connection, and a TLS handshake where that is wanted."""
    with socket.create_connection((destination.host, destination.port), timeout=timeout_s) as plain:
        address = str(plain.getpeername()[0])
        if tls is not None:
            tls.wrap_socket(plain, server_hostname=destination.host).close()
    return address


def _echo(
    settings: Settings, destination: DestinationSettings, address: str, tls: ssl.SSLContext | None, timeout_s: float
) -> Finding:
    subject = f"destination {destination.name}"
    ae = AE(ae_title=settings.node.ae_title)
    ae.acse_timeout = ae.dimse_timeout = ae.network_timeout = ae.connection_timeout = timeout_s
    ae.add_requested_context(Verification)
    for sop_class_uid in sorted({variant.sop_class_uid for variant in destination.variants}):
        ae.add_requested_context(sop_class_uid)
    if destination.commitment:
        ae.add_requested_context(StorageCommitmentPushModel)
    rejections: list[A_ASSOCIATE_RJ] = []

    def keep_rejection(event: evt.Event) -> None:
        # The association's own flags cannot be relied on: when a peer rejects and hangs up at once, pynetdicom 3.0 may
        # see the closed connection before the rejection and call the association aborted.
        if isinstance(event.pdu, A_ASSOCIATE_RJ):
            rejections.append(event.pdu)

    with _quiet_pynetdicom():
        association = ae.associate(
            address,
            destination.port,
            ae_title=destination.ae_title,
            tls_args=(tls, destination.host) if tls else None,
            evt_handlers=[(evt.EVT_PDU_RECV, keep_rejection)],
        )
        if rejections:
            return _rejected(settings, destination, rejections[0])
        if not association.is_established:
            text = f"{destination.host}:{destination.port} answers, but not as a DICOM node that takes such results"
            return error(subject, text, NO_DICOM_REMEDY)
        try:
            return _without_commitment(_verdict(subject, destination, association), destination, association)
        finally:
            association.release()


def _rejected(settings: Settings, destination: DestinationSettings, rejection: A_ASSOCIATE_RJ) -> Finding:
    names = {"calling": settings.node.ae_title, "called": destination.ae_title}
    cause = (rejection.source, rejection.reason_diagnostic)
    remedy = REJECTION_REMEDIES.get(cause, "see the destination's log").format(**names)
    return error(f"destination {destination.name}", f"refuses the association: {rejection.reason_str}", remedy)


def _verdict(subject: str, destination: DestinationSettings, association: Association) -> Finding:
    accepted = {context.abstract_syntax for context in association.accepted_contexts}
    wanted = {variant.kind: variant.sop_class_uid for variant in destination.variants}
    refused = {kind: wanted[kind] for kind in destination.results if wanted[kind] not in accepted}
    if refused:
        text = f"does not take {', '.join(refused)}"
        remedy = "let it store these SOP classes: " + ", ".join(dict.fromkeys(refused.values()))
        return error(subject, text, f"{remedy}; or take them out of destination.results")
    where = f"{destination.ae_title}@{destination.host}:{destination.port}"
    if Verification not in accepted:
        return ok(subject, f"{where} takes {', '.join(destination.results)}, though it knows no echo")
    status = association.send_c_echo()
    if "Status" not in status:
        return error(subject, f"{where} did not answer the echo", "see the destination's log")
    if status.Status != 0x0000:
        return error(subject, f"{where} answered the echo with 0x{status.Status:04X}", "see the destination's log")
    return ok(subject, f"{where} answers and takes {', '.join(destination.results)}")


def _without_commitment(found: Finding, destination: DestinationSettings, association: Association) -> Finding:
    """The verdict, or that all is well but for storage commitment."""
    if not destination.commitment or found.level != "ok":
        return found
    if any(context.abstract_syntax == StorageCommitmentPushModel for context in association.accepted_contexts):
        return ok(found.subject, f"{found.text}; commits to what it stores")
    text = f"{found.text}, but offers no storage commitment: results stay delivered, uncommitted"
    remedy = f"let it be asked by {association.requestor.ae_title} ({StorageCommitmentPushModel})"
    return warning(found.subject, text, f"{remedy}, or set destination.commitment = false")


@contextmanager
def _quiet_pynetdicom() -> Iterator[None]:
    """What pynetdicom would log on a failed echo is what the finding says."""
    logger = logging.getLogger("pynetdicom")
    level = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        logger.setLevel(level)
