"""Who may report on storage commitment, and what the receiver does with such a report."""

from __future__ import annotations

import time
from collections.abc import Callable

from pynetdicom import evt
from pynetdicom.presentation import PresentationContext, build_context
from pynetdicom.sop_class import StorageCommitmentPushModel  # type: ignore[attr-defined] # made at import time

from node.commitment import Commitments, answer_event
from node.ledger import Ledger
from node.peers import Peers
from node.settings import Settings


class CommitmentPeers:
    """Who speaks for the destinations that are asked for storage commitment, by AE title and address together.

    Usually the destination itself; one that reports as somebody else has ``commitment_ae_title`` or
    ``commitment_host``.

    Parameters
    ----------
    settings : Settings
        Destinations with ``commitment = true``.
    ledger : Ledger
        Where their answers go.
    clock : callable
        Seconds since 1970.
    """

    def __init__(self, settings: Settings, ledger: Ledger, *, clock: Callable[[], float] = time.time) -> None:
        self._commitments = Commitments(ledger, settings.delivery)
        self._clock = clock
        self._peers = {
            destination.name: Peers([destination.reporter])
            for destination in settings.destination
            if destination.commitment
        }

    def knows_host(self, host: str) -> bool:
        """Whether any of them has this address."""
        return any(peers.knows_host(host) for peers in self._peers.values())

    def names(self, ae_title: str, host: str) -> list[str]:
        """Names of those that this peer may speak for: more than one when a PACS is several of them."""
        return [name for name, peers in self._peers.items() if peers.admits(ae_title, host)]

    def on_event_report(self, event: evt.Event) -> tuple[int, None]:
        """Handle ``EVT_N_EVENT_REPORT`` of the receiver."""
        requestor = event.assoc.requestor
        names = self.names(requestor.ae_title, requestor.address)
        return answer_event(event, self._commitments, names, self._clock())


def reporting_context() -> PresentationContext:
    """The context in which a peer that was asked reports as SCP (PS3.4 J.3.3; role selection, PS3.7 D.3.3.4).

    One that forgets to propose that role is let in as well; what it could ask for as an SCU is refused.
    """
    context = build_context(StorageCommitmentPushModel)
    context.scu_role, context.scp_role = False, True
    return context
