"""Sends what is due to one destination and decides when to try again.

Each destination has a thread of its own: none waits for another.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

import structlog
from pydicom.uid import generate_uid
from pynetdicom import evt

from node.backoff import backoff_s
from node.commitment import Commitments, answer_event
from node.commitment_pace import RequestPace
from node.commitment_report import CommitmentItem, action_information
from node.outbox import Fault, Outbox, OutboxItem, no_fault
from node.scu import (
    CommitmentAnswer,
    FileToSend,
    NoAssociation,
    Peer,
    StoreOutcome,
    ask_commitment,
    associated,
    commitment_contexts,
    contexts_for,
    store,
)
from node.settings import DestinationSettings, Settings
from node.tls import client_context

log = structlog.get_logger("delivery")


SAME_ASSOCIATION_WAIT_S: Final = 1.0
"""Some destinations report on the association of the request; most open one of their own, and need no wait."""


class Courier:
    """Delivers to one destination.

    Parameters
    ----------
    destination : DestinationSettings
        Where to.
    settings : Settings
        Own AE title, backoff, timeouts, TLS.
    outbox : Outbox
        What is due, for delivery and, beside it in the ledger, for storage commitment.
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
        self._commitments = Commitments(outbox.ledger, settings.delivery)
        self._clock = clock
        self._fault = fault
        self._failures = 0
        self._pace = RequestPace(settings.delivery)
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
        """Send one batch of what is due, and ask for commitment; return how many were due (0: nothing to do now)."""
        now = self._clock()
        if now < self._closed_until:
            return 0
        count = self._deliver(now)
        if self._destination.commitment and now >= self._closed_until:
            count += self._ask(now)
        return count

    def _deliver(self, now: float) -> int:
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

    def _ask(self, now: float) -> int:
        """Ask for commitment to what was delivered, and again for what was not answered in time."""
        name = self._destination.name
        overdue = self._commitments.time_out(name, now)
        if overdue:
            log.warning("commitment_timeout", destination=name, results=overdue)
        items = self._commitments.due(name, now, self._pace.batch) if self._pace.may_ask(now) else []
        if not items:
            return overdue
        transaction_uid = str(generate_uid(prefix=None))
        reports = _Reports(lambda event: answer_event(event, self._commitments, (name,), self._clock()))
        contexts = commitment_contexts(item.sop_class_uid for item in items)
        try:
            with associated(self._peer, contexts, on_event_report=reports.answer) as association:
                self._failures = 0
                self._commitments.request(items, transaction_uid, now)
                self._fault("commitment_requested")
                answer = ask_commitment(association, action_information(items, transaction_uid))
                self._settle_request(items, answer)
                if answer.fate == "asked":
                    reports.wait(min(SAME_ASSOCIATION_WAIT_S, self._delivery.timeout_s))
                reports.finish()
        except NoAssociation as error:
            self._wait_for_destination(str(error))
            self._commitments.ask_later(items, now, at=self._closed_until, why=str(error))
        return overdue + len(items)

    def _settle_request(self, items: Sequence[CommitmentItem], answer: CommitmentAnswer) -> None:
        now, name = self._clock(), self._destination.name
        if answer.fate == "asked":
            self._pace.went_through()
            log.info("commitment_requested", destination=name, results=len(items))
            return
        ask_at = self._pace.refused if answer.fate == "later" else self._pace.not_offered
        at = ask_at(items, now)
        if at is None:
            self._commitments.unavailable(items, now, why=answer.why)
            log.warning("commitment_unavailable", destination=name, results=len(items), why=answer.why)
        else:
            self._commitments.ask_later(items, now, at=at, why=answer.why)
            log.warning(
                "commitment_postponed", destination=name, results=len(items), why=answer.why, next_attempt_in_s=at - now
            )

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
                item,
                name,
                now,
                next_attempt_at=now + wait_s,
                status=outcome.status,
                comment=outcome.comment,
                said=outcome.said,
            )
        else:
            self._outbox.settle(
                item,
                name,
                now,
                state=outcome.fate,
                status=outcome.status,
                comment=outcome.comment,
                said=outcome.said,
                commit=self._destination.commitment,
            )
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
        self._wait_for_destination(why)
        now = self._clock()
        for item in items:
            self._outbox.postpone(
                item, self._destination.name, now, next_attempt_at=self._closed_until, status=None, comment=why
            )

    def _wait_for_destination(self, why: str) -> None:
        wait_s = backoff_s(self._failures, self._delivery.backoff_first_s, self._delivery.backoff_max_s)
        self._failures += 1
        self._closed_until = self._clock() + wait_s
        log.warning("destination_away", destination=self._destination.name, why=why, next_attempt_in_s=wait_s)

    def run(self, stop: threading.Event, poll_s: float) -> None:
        """Deliver until `stop` is set."""
        if not self._destination.commitment:
            self._commitments.forget(self._destination.name)
        while not stop.is_set():
            if not self.step():
                stop.wait(poll_s)


class _Reports:
    """N-EVENT-REPORTs on the association of a request; pynetdicom serves each in a thread of its own."""

    def __init__(self, answer: Callable[[evt.Event], tuple[int, None]]) -> None:
        self._answer = answer
        self._threads: list[threading.Thread] = []
        self._came = threading.Event()

    def answer(self, event: evt.Event) -> tuple[int, None]:
        self._threads.append(threading.current_thread())
        self._came.set()
        return self._answer(event)

    def wait(self, timeout_s: float) -> None:
        """Wait for the first report to come."""
        self._came.wait(timeout_s)

    def finish(self) -> None:
        """Wait until what came is answered: a release that overtakes the answer would be a breach of PS3.8."""
        for thread in self._threads:
            thread.join()


def _file(item: OutboxItem) -> FileToSend:
    return FileToSend(
        path=Path(item.path), sop_class_uid=item.sop_class_uid, transfer_syntax_uid=item.transfer_syntax_uid
    )
