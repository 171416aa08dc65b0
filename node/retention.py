"""Deletes files that are no longer needed. Rows stay: a duplicate is known as one for ever."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

import structlog
from sqlalchemy import exists, func, select, update

from node.ledger import Ledger
from node.outbox import Outbox
from node.schema import Delivery, Instance, Result, Study
from node.settings import Settings

log = structlog.get_logger("retention")

INTERVAL_S: Final = 3600.0
ORPHAN_AGE_S: Final = 86400.0


class Retention:
    """Removes spool and outbox files of studies that are answered, delivered everywhere, and old.

    A study with a delivery that is pending, refused or expired keeps all of its files: somebody may still mend the
    destination and run ``mammonode retry``.
    """

    def __init__(self, settings: Settings, ledger: Ledger, *, clock: Callable[[], float] = time.time) -> None:
        self._keep_s = settings.retention.keep_days * 86400
        self._ledger = ledger
        self._outbox_dir = settings.outbox_dir
        self._destinations = {destination.name for destination in settings.destination}
        self._outbox = Outbox(ledger, settings.outbox_dir)
        self._clock = clock

    def step(self, limit: int = 1000) -> int:
        """Delete the files of up to `limit` studies; return how many studies were cleaned."""
        now = self._clock()
        undelivered = exists().where(Delivery.study_instance_uid == Study.study_instance_uid, Delivery.state != "sent")
        kept = exists().where(Instance.study_instance_uid == Study.study_instance_uid, Instance.discarded_at.is_(None))
        query = (
            select(Study.study_instance_uid)
            .where(Study.state == "answered", Study.last_received_at < now - self._keep_s, ~undelivered, kept)
            .order_by(Study.last_received_at)
            .limit(limit)
        )
        with self._ledger.reading() as connection:
            uids = list(connection.scalars(query))
        for uid in uids:
            self._clean(uid, now)
        self._sweep_outbox(now)
        self._tell_what_is_kept(now)
        return len(uids)

    def _tell_what_is_kept(self, now: float) -> None:
        """Warn of results that no courier will ever take: they keep their studies' files until the disk is full."""
        undelivered = (
            select(Delivery.destination, Delivery.state, func.count(Delivery.study_instance_uid.distinct()))
            .where(Delivery.state != "sent", Delivery.created_at < now - self._keep_s)
            .group_by(Delivery.destination, Delivery.state)
        )
        with self._ledger.reading() as connection:
            rows = connection.execute(undelivered).all()
        for destination, state, studies in rows:
            log.warning(
                "files_kept_for_undelivered_results",
                destination=destination,
                state=state,
                studies=studies,
                is_in_settings=destination in self._destinations,
            )

    def _sweep_outbox(self, now: float) -> None:
        """Remove results that a worker wrote and died before publishing; a day is longer than any analysis."""
        for path in self._outbox_dir.glob("*/*"):
            try:
                is_old = path.stat().st_mtime < now - ORPHAN_AGE_S
            except FileNotFoundError:  # a worker has just given it its name
                continue
            if is_old and not self._outbox.is_published(path):
                path.unlink(missing_ok=True)
                log.info("unpublished_file_deleted", path=path.name)

    def _clean(self, study_instance_uid: str, now: float) -> None:
        # Rows first: a file whose row says "discarded" is swept on the next start, the other way round it is missed.
        paths: list[str] = []
        with self._ledger.engine.begin() as connection:
            still_answered = select(Study.state).where(
                Study.study_instance_uid == study_instance_uid, Study.state == "answered"
            )
            if connection.scalar(still_answered.with_for_update(key_share=True)) is None:
                return  # an image came, or somebody wants it analysed again
            for table in (Instance, Result):
                of_study = table.study_instance_uid == study_instance_uid
                paths += connection.scalars(select(table.path).where(of_study, table.discarded_at.is_(None)))
                connection.execute(update(table).where(of_study).values(discarded_at=now))
            self._ledger.note(connection, now, "files_deleted", study_instance_uid, files=len(paths))
        for path in paths:
            Path(path).unlink(missing_ok=True)
        log.info("files_deleted", study_instance_uid=study_instance_uid, files=len(paths))

    def run(self, stop: threading.Event) -> None:
        """Clean at once and then every hour, until `stop` is set."""
        while not stop.is_set():
            self.step()
            stop.wait(INTERVAL_S)
