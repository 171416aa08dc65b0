"""Who may send: the list of sources, by AE title and address together."""

from __future__ import annotations

import ipaddress
import socket
import time
from collections.abc import Sequence
from functools import lru_cache
from typing import Final

from node.completion import CompletionPolicy
from node.settings import CompletionSettings, SourceSettings

RESOLVE_EVERY_S: Final = 60
Address = ipaddress.IPv4Address | ipaddress.IPv6Address


def _address(host: str) -> Address:
    address = ipaddress.ip_address(host.partition("%")[0])
    mapped = getattr(address, "ipv4_mapped", None)
    return mapped or address


class Peers:
    """The sources of the settings.

    Parameters
    ----------
    sources : sequence of SourceSettings
        None listed: only loopback addresses are let in, under any AE title.
    """

    def __init__(self, sources: Sequence[SourceSettings]) -> None:
        self._sources = tuple(sources)

    def knows_host(self, host: str) -> bool:
        """Whether any source has this address; asked before a byte is read from it."""
        address = _address(host)
        if not self._sources:
            return address.is_loopback
        return any(_stands_for(source, address) for source in self._sources)

    def source_of(self, ae_title: str, host: str) -> SourceSettings | None:
        """Return the first source with this AE title and address."""
        address = _address(host)
        titled = (source for source in self._sources if source.ae_title == ae_title.strip())
        return next((source for source in titled if _stands_for(source, address)), None)

    def admits(self, ae_title: str, host: str) -> bool:
        """Whether an association from this AE title at this address is accepted."""
        if not self._sources:
            return _address(host).is_loopback
        return self.source_of(ae_title, host) is not None


def _stands_for(source: SourceSettings, address: Address) -> bool:
    if source.network is not None:
        return address in source.network
    return address in _resolved(source.host, int(time.monotonic() // RESOLVE_EVERY_S))


@lru_cache(maxsize=256)
def _resolved(host: str, _period: int) -> frozenset[Address]:
    """Addresses of a name; asked for once in a period, since the accept loop waits for the answer."""
    try:
        found = socket.getaddrinfo(host, None)
    except (socket.gaierror, UnicodeError):  # the second for what cannot be a name; uncaught, it ends the accept loop
        return frozenset()
    return frozenset(_address(str(entry[4][0])) for entry in found)


def completion_policy(completion: CompletionSettings, source: SourceSettings | None) -> CompletionPolicy:
    """The completion settings in force for a sender."""
    settle_s, quiet_s, views = completion.settle_s, completion.quiet_s, completion.required_views
    if source is not None:
        settle_s = settle_s if source.settle_s is None else source.settle_s
        quiet_s = quiet_s if source.quiet_s is None else source.quiet_s
        views = views if source.required_views is None else source.required_views
    return CompletionPolicy(settle_s=settle_s, quiet_s=quiet_s, required_views=frozenset(views))
