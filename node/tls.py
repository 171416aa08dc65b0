"""TLS contexts for both directions, from the files in ``[tls]``; profile of PS3.15 B.12 (BCP 195: TLS 1.2 or newer)."""

from __future__ import annotations

import ssl

from node.errors import SettingsInvalid
from node.settings import TLSSettings


def server_context(tls: TLSSettings) -> ssl.SSLContext | None:
    """The receiver's context: peers must show a certificate that `tls.ca` vouches for; None while TLS is off.

    Raises
    ------
    node.errors.SettingsInvalid
        When a file cannot be read, or the key is not the certificate's.
    """
    if not tls.enabled:
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.verify_mode = ssl.CERT_REQUIRED
    return _with_files(context, tls)


def client_context(tls: TLSSettings) -> ssl.SSLContext:
    """The context towards a destination with ``tls = true``.

    Its certificate must come from `tls.ca`; DICOM certificates often name an AE title or nothing, and an authority of
    one's own vouches for the peer all the same. When `tls.ca` is absent the system's authorities are believed, and
    then the certificate must carry the host name that it is reached by, since those vouch for anybody. The node shows
    its own certificate when there is one.

    Raises
    ------
    node.errors.SettingsInvalid
        As `server_context`.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    if tls.ca is not None:
        context.check_hostname = False
    else:
        context.load_default_certs(ssl.Purpose.SERVER_AUTH)
    return _with_files(context, tls)


def _with_files(context: ssl.SSLContext, tls: TLSSettings) -> ssl.SSLContext:
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    problems: list[str] = []
    if tls.certificate is not None and tls.private_key is not None:
        try:
            # A passphrase is never asked for on the terminal: an empty one makes a protected key fail at once.
            context.load_cert_chain(tls.certificate, tls.private_key, password="")
        except ssl.SSLError as error:
            problems.append(
                f"tls.certificate {tls.certificate}, tls.private_key {tls.private_key}: {_reason(error)}; "
                "allowed: a PEM chain and the PEM key that belongs to it, without a passphrase"
            )
        except OSError as error:
            problems.append(f"tls.certificate {tls.certificate}, tls.private_key {tls.private_key}: {error.strerror}")
    if tls.ca is not None:
        try:
            context.load_verify_locations(cafile=tls.ca)
        except ssl.SSLError as error:
            problems.append(f"tls.ca {tls.ca}: {_reason(error)}; allowed: PEM certificates of authorities")
        except OSError as error:
            problems.append(f"tls.ca {tls.ca}: {error.strerror}")
    if problems:
        raise SettingsInvalid(tuple(problems), origin="[tls]")
    return context


def _reason(error: ssl.SSLError) -> str:
    return (error.reason or str(error)).replace("_", " ").lower()


def own_certificate_problem(tls: TLSSettings) -> str:
    """What a peer that believes `tls.ca` would hold against the node's own certificate; empty when nothing.

    The two ends shake hands in memory, so that validity dates and chain are judged by the code that will judge them.
    """
    server = _with_files(ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), tls)
    client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    client.check_hostname = False  # the name that peers call the node by is not known here
    client.load_verify_locations(cafile=tls.ca)
    to_client, to_server = ssl.MemoryBIO(), ssl.MemoryBIO()
    ends = (
        client.wrap_bio(to_client, to_server, server_side=False),
        server.wrap_bio(to_server, to_client, server_side=True),
    )
    pending = set(ends)
    for _ in range(10):  # a handshake takes four flights
        for end in tuple(pending):
            try:
                end.do_handshake()
                pending.discard(end)
            except ssl.SSLWantReadError:
                continue
            except ssl.SSLCertVerificationError as error:
                return error.verify_message
            except ssl.SSLError as error:
                return _reason(error)
        if not pending:
            return ""
    return "the handshake did not end"
