"""Deletes files that are no longer needed. Rows stay: a duplicate is known as one for ever."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

import structlog
from sqlalchemy import and_, exists, func, or_, select, update

from node.ledger import Ledger
from node.outbox import Outbox
from node.schema import NOT_COMMITTED, WAITING, Delivery, Instance, Result, Study
from node.settings import Settings

log = structlog.get_logger("retention")

INTERVAL_S: Final = 3600.0
ORPHAN_AGE_S: Final = 86400.0
FINISHED: Final = ("answered", "quarantined")


class Retention:
    """Removes spool and outbox files of studies that are answered, delivered everywhere, and old.

    A study with a delivery that is pending, refused, expired, or not committed to where that was asked for, keeps
    all of its files for longer: somebody may still mend the destination and run ``mammonode retry``. Not for ever: a
    PACS that refuses one kind of result refuses it in every study, and a full disk would then refuse the modalities. A
    quarantined study waits as long.
    """

    def __init__(self, settings: Settings, ledger: Ledger, *, clock: Callable[[], float] = time.time) -> None:
        self._keep_s = settings.retention.keep_days * 86400
        self._keep_undelivered_s = settings.retention.keep_undelivered_days * 86400
        self._ledger = ledger
        self._outbox_dir = settings.outbox_dir
        self._destinations = {destination.name for destination in settings.destination}
        self._outbox = Outbox(ledger, settings.outbox_dir)
        self._clock = clock

    def step(self, limit: int = 1000) -> int:
        """Delete the files of up to `limit` studies; return how many studies were cleaned."""
        now = self._clock()
        undelivered = exists().where(
            Delivery.study_instance_uid == Study.study_instance_uid,
            or_(Delivery.state != "sent", Delivery.commitment.in_(WAITING + NOT_COMMITTED)),
        )
        kept = exists().where(Instance.study_instance_uid == Study.study_instance_uid, Instance.discarded_at.is_(None))
        is_done = and_(Study.state == "answered", Study.last_received_at < now - self._keep_s, ~undelivered)
        is_given_up = and_(Study.state.in_(FINISHED), Study.last_received_at < now - self._keep_undelivered_s)
        query = (
            select(Study.study_instance_uid)
            .where(or_(is_done, is_given_up), kept)
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
        """Warn of results that nobody takes: they keep their studies' files for `keep_undelivered_days`."""
        undelivered = (
            select(
                Delivery.destination,
                Delivery.state,
                Delivery.commitment,
                func.count(Delivery.study_instance_uid.distinct()),
            )
            .where(
                or_(Delivery.state != "sent", Delivery.commitment.in_(NOT_COMMITTED)),
                Delivery.created_at < now - self._keep_s,
            )
            .group_by(Delivery.destination, Delivery.state, Delivery.commitment)
        )
        with self._ledger.reading() as connection:
            rows = connection.execute(undelivered).all()
        for destination, state, commitment, studies in rows:
            log.warning(
                "files_kept_for_undelivered_results",
                destination=destination,
                state=state,
                commitment=commitment,
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
            still_finished = select(Study.state).where(
                Study.study_instance_uid == study_instance_uid, Study.state.in_(FINISHED)
            )
            if connection.scalar(still_finished.with_for_update(key_share=True)) is None:
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
