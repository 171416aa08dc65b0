"""The dispatcher: decides when studies are complete, brings back what was lost, and runs the couriers."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import structlog

from node.broker import Publisher
from node.completion import Ready, decide
from node.ledger import Ledger
from node.outbox import Fault, no_fault
from node.peers import Peers, completion_policy
from node.settings import Settings

log = structlog.get_logger("dispatch")


class Dispatcher:
    """Moves studies along; everything it knows is in the ledger, so it may be killed at any instant.

    Parameters
    ----------
    settings : Settings
        Completion rules, leases, limits.
    ledger : Ledger
        What is due.
    publisher : Publisher
        Wakes workers.
    clock : callable
        Seconds since 1970.
    """

    def __init__(
        self,
        settings: Settings,
        ledger: Ledger,
        publisher: Publisher,
        *,
        clock: Callable[[], float] = time.time,
        fault: Fault = no_fault,
    ) -> None:
        self._settings = settings
        self._queue = settings.queue
        self._ledger = ledger
        self._publisher = publisher
        self._clock = clock
        self._fault = fault
        self._peers = Peers(settings.source)

    def step(self) -> int:
        """Look once at everything that is due; return how many studies were."""
        due = self._ledger.due_studies(self._clock())
        lost = [uid for uid, state in due if state == "queued"]
        for uid, state in due:
            if state == "assembling":
                self._assemble(uid)
            elif state == "analysing":
                self._bury(uid)
        if lost:
            self._reconcile(lost)
        return len(due)

    def _assemble(self, study_instance_uid: str) -> None:
        study = self._ledger.study_state(study_instance_uid)
        source = self._peers.source_of(study.calling_ae_title, study.calling_host)
        now = self._clock()
        decision = decide(study, completion_policy(self._settings.completion, source), now)
        if not isinstance(decision, Ready):
            self._ledger.postpone(study, decision.until)
            return
        if self._ledger.queue(study, now, republish_at=now + self._queue.reconcile_s, why=decision.why):
            self._fault("queued")
            self._publish(study_instance_uid)

    def _bury(self, study_instance_uid: str) -> None:
        now = self._clock()
        if self._ledger.bury(
            study_instance_uid, now, republish_at=now + self._queue.reconcile_s, max_deaths=self._queue.max_deaths
        ):
            log.warning("worker_lost", study_instance_uid=study_instance_uid)
            self._fault("buried")
            self._publish(study_instance_uid)

    def _reconcile(self, study_instance_uids: list[str]) -> None:
        """Publish again what seems lost, but not what merely waits its turn in a long queue."""
        waiting = self._publisher.waiting()
        if waiting is None:
            return
        missing = self._ledger.count_queued() - waiting
        now = self._clock()
        for number, uid in enumerate(study_instance_uids):
            is_lost = number < missing
            moved = self._ledger.requeue_lost(
                uid, now, republish_at=now + self._queue.reconcile_s, silently=not is_lost
            )
            if moved and is_lost:
                self._publish(uid)

    def _publish(self, study_instance_uid: str) -> None:
        if self._publisher.publish(study_instance_uid):
            log.info("study_queued", study_instance_uid=study_instance_uid)
        self._fault("published")

    def run(self, stop: threading.Event) -> None:
        """Look again and again until `stop` is set."""
        while not stop.is_set():
            self.step()
            stop.wait(self._queue.poll_s)
