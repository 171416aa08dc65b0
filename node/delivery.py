"""Sends what is due to one destination and decides when to try again.

Each destination has a thread of its own: none waits for another.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path

import structlog

from node.outbox import Fault, Outbox, OutboxItem, no_fault
from node.scu import FileToSend, NoAssociation, Peer, StoreOutcome, associated, contexts_for, store
from node.settings import DestinationSettings, Settings
from node.tls import client_context

log = structlog.get_logger("delivery")


def backoff_s(attempts: int, first_s: float, most_s: float) -> float:
    """Return the wait after a failed attempt: `first_s`, doubled each time, at most `most_s`.

    Parameters
    ----------
    attempts : int
        Failed attempts before this one.
    """
    return float(min(most_s, first_s * 2 ** min(attempts, 32)))


class Courier:
    """Delivers to one destination.

    Parameters
    ----------
    destination : DestinationSettings
        Where to.
    settings : Settings
        Own AE title, backoff, timeouts, TLS.
    outbox : Outbox
        What is due.
    clock : callable
        Seconds since 1970.
    """

    def __init__(
        self,
        destination: DestinationSettings,
        settings: Settings,
        outbox: Outbox,
        *,
        clock: Callable[[], float] = time.time,
        fault: Fault = no_fault,
    ) -> None:
        self._destination = destination
        self._delivery = settings.delivery
        self._outbox = outbox
        self._clock = clock
        self._fault = fault
        self._failures = 0
        self._closed_until = 0.0
        self._peer = Peer(
            calling_ae_title=settings.node.ae_title,
            called_ae_title=destination.ae_title,
            host=destination.host,
            port=destination.port,
            timeout_s=settings.delivery.timeout_s,
            tls=client_context(settings.tls) if destination.tls else None,
        )

    def step(self) -> int:
        """Send one batch of what is due; return how many were due (0: nothing to do now)."""
        now = self._clock()
        if now < self._closed_until:
            return 0
        items = self._expire(self._outbox.due(self._destination.name, now))
        if not items:
            return 0
        files = {item.delivery_id: _file(item) for item in items}
        try:
            with associated(self._peer, contexts_for(files.values())) as association:
                self._failures = 0
                for number, item in enumerate(items):
                    outcome = store(association, files[item.delivery_id], message_id=number + 1)
                    self._fault("stored")
                    self._settle(item, outcome)
                    if not association.is_established:
                        break
        except NoAssociation as error:
            self._close(items, str(error))
        return len(items)

    def _expire(self, items: list[OutboxItem]) -> list[OutboxItem]:
        now = self._clock()
        give_up_s = self._delivery.give_up_h * 3600
        alive = []
        for item in items:
            if not Path(item.path).is_file():
                self._outbox.settle(
                    item, self._destination.name, now, state="expired", status=None, comment="its file is gone"
                )
            elif item.attempts and now - item.created_at > give_up_s:
                self._outbox.settle(item, self._destination.name, now, state="expired", status=None, comment="given up")
            else:
                alive.append(item)
        return alive

    def _settle(self, item: OutboxItem, outcome: StoreOutcome) -> None:
        now = self._clock()
        name = self._destination.name
        if outcome.fate == "retry":
            wait_s = backoff_s(item.attempts, self._delivery.backoff_first_s, self._delivery.backoff_max_s)
            self._outbox.postpone(
                item, name, now, next_attempt_at=now + wait_s, status=outcome.status, comment=outcome.comment
            )
        else:
            self._outbox.settle(item, name, now, state=outcome.fate, status=outcome.status, comment=outcome.comment)
        self._fault("settled")
        log.info(
            "delivery_" + outcome.fate,
            destination=name,
            sop_instance_uid=item.sop_instance_uid,
            study_instance_uid=item.study_instance_uid,
            status=outcome.status,
            comment=outcome.comment,
        )

    def _close(self, items: list[OutboxItem], why: str) -> None:
        """The destination is away: everything waits until one common time, so that all of it goes when it is back."""
        now = self._clock()
        wait_s = backoff_s(self._failures, self._delivery.backoff_first_s, self._delivery.backoff_max_s)
        self._failures += 1
        self._closed_until = now + wait_s
        for item in items:
            self._outbox.postpone(
                item, self._destination.name, now, next_attempt_at=self._closed_until, status=None, comment=why
            )
        log.warning("destination_away", destination=self._destination.name, why=why, next_attempt_in_s=wait_s)

    def run(self, stop: threading.Event, poll_s: float) -> None:
        """Deliver until `stop` is set."""
        while not stop.is_set():
            if not self.step():
                stop.wait(poll_s)


def _file(item: OutboxItem) -> FileToSend:
    return FileToSend(
        path=Path(item.path), sop_class_uid=item.sop_class_uid, transfer_syntax_uid=item.transfer_syntax_uid
    )
