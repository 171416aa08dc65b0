"""Storage commitment (PS3.4 annex J, Push Model): what was asked of whom, and what an answer changes.

A destination that has stored a result may still lose it; one that has committed to it may not. The courier asks after
delivery (`node.delivery`); the answer comes on its association or on a new one to the receiver (`node.scp`), which is
another process. Both meet in the ledger, where a transaction UID names the rows that an answer is for.
docs/adr/0005-storage-commitment.md has the reasons.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any, Final

import structlog
from pynetdicom import evt
from pynetdicom.sop_class import StorageCommitmentPushModel  # type: ignore[attr-defined] # made at import time
from sqlalchemy import Connection, Row, Select, func, select, update
from sqlalchemy.exc import SQLAlchemyError

from node.backoff import backoff_s
from node.commitment_report import (
    INVALID_ARGUMENT,
    PROCESSING_FAILURE,
    CommitmentItem,
    CommitmentReport,
    MalformedReport,
    read_report,
    reason_words,
)
from node.ledger import Ledger
from node.schema import Delivery, Result
from node.settings import DeliverySettings
from pipelines.headers import MALFORMED

# N-EVENT-REPORT statuses, PS3.7 annex C
SUCCESS: Final = 0x0000
SOP_CLASS_NOT_SUPPORTED: Final = 0x0122
NOT_AUTHORISED: Final = 0x0124

WAITING: Final = ("due", "requested")
BATCH: Final = 256
"""Instances a request; each is some 130 bytes."""

log = structlog.get_logger("commitment")


class Commitments:
    """The commitment side of deliveries.

    Parameters
    ----------
    ledger : Ledger
        Holds the rows.
    delivery : DeliverySettings
        Backoff, how long an answer may take, and when to give up.
    """

    def __init__(self, ledger: Ledger, delivery: DeliverySettings) -> None:
        self._ledger = ledger
        self._delivery = delivery

    def due(self, destination: str, now: float, limit: int = BATCH) -> list[CommitmentItem]:
        """Deliveries for which `destination` is to be asked now, oldest first."""
        query = (
            select(
                Delivery.id.label("delivery_id"),
                Delivery.sop_instance_uid,
                Delivery.study_instance_uid,
                Delivery.created_at,
                Result.sop_class_uid,
            )
            .join(Result, Result.sop_instance_uid == Delivery.sop_instance_uid)
            .where(Delivery.destination == destination, Delivery.commitment == "due", Delivery.commitment_due_at <= now)
            .order_by(Delivery.commitment_due_at, Delivery.id)
            .limit(limit)
        )
        with self._ledger.reading() as connection:
            return [CommitmentItem(**row._mapping) for row in connection.execute(query)]

    def request(self, items: Sequence[CommitmentItem], destination: str, transaction_uid: str, now: float) -> None:
        """Write down what is about to be asked: the answer may come before the request's own response."""
        change = {
            "commitment": "requested",
            "commitment_due_at": now + self._delivery.commitment_timeout_s,
            "transaction_uid": transaction_uid,
        }
        self._change(items, destination, now, "commitment_requested", change, transaction_uid=transaction_uid)

    def ask_later(self, items: Sequence[CommitmentItem], destination: str, now: float, *, at: float, why: str) -> None:
        """The request did not go through: ask again at `at`, and no more once a result is older than `give_up_h`.

        An answer to the request still counts, should one come before it is made again.
        """
        too_old = now - self._delivery.give_up_h * 3600
        given_up = f"not committed: {why}"
        expired = {"state": "expired", "commitment": None, "commitment_due_at": None, "comment": given_up}
        postponed = {"commitment": "due", "commitment_due_at": at}
        old = [item for item in items if item.created_at < too_old]
        young = [item for item in items if item.created_at >= too_old]
        self._change(old, destination, now, "expired", expired, comment=given_up)
        self._change(young, destination, now, "commitment_postponed", postponed, why=why)

    def unavailable(self, items: Sequence[CommitmentItem], destination: str, now: float, *, why: str) -> None:
        """The destination does not offer storage commitment: delivered, and that is all there is to know."""
        change = {"commitment": "unavailable", "commitment_due_at": None}
        self._change(items, destination, now, "commitment_unavailable", change, why=why)

    def _change(
        self,
        items: Sequence[CommitmentItem],
        destination: str,
        now: float,
        kind: str,
        change: dict[str, Any],
        **detail: str,
    ) -> None:
        with self._ledger.engine.begin() as connection:
            # In the order of `report`, or two processes on PostgreSQL could wait for each other's rows.
            for item in sorted(items, key=lambda item: item.delivery_id):
                # An answer that overtook us has the last word.
                waiting = (Delivery.id == item.delivery_id, Delivery.commitment.in_(WAITING))
                if connection.execute(update(Delivery).where(*waiting).values(**change)).rowcount:
                    study, instance = item.study_instance_uid, item.sop_instance_uid
                    self._ledger.note(connection, now, kind, study, instance, destination=destination, **detail)

    def report(self, report: CommitmentReport, destinations: Collection[str], now: float) -> bool:
        """Take the answer of one of `destinations`: what is kept is committed, the rest is sent again.

        Only what still waits for this answer changes, so a second copy of it changes nothing.

        Returns
        -------
        bool
            False when none of these destinations was asked under that transaction UID last.
        """
        asked = _rows().where(
            Delivery.transaction_uid == report.transaction_uid, Delivery.destination.in_(destinations)
        )
        with self._ledger.engine.begin() as connection:
            rows = connection.execute(asked.with_for_update()).all()
            for row in rows:
                if row.commitment not in WAITING:
                    continue
                if row.sop_instance_uid in report.committed:
                    self._commit(connection, row, now)
                else:
                    reason = report.failed.get(row.sop_instance_uid)
                    why = "not mentioned in the answer" if reason is None else reason_words(reason)
                    wait_s = backoff_s(row.attempts, self._delivery.backoff_first_s, self._delivery.backoff_max_s)
                    self._send_again(connection, row, now, now + wait_s, "commitment_failed", why)
        return bool(rows)

    def _commit(self, connection: Connection, row: Row[Any], now: float) -> None:
        change = {"commitment": "committed", "commitment_due_at": None}
        connection.execute(update(Delivery).where(Delivery.id == row.id).values(**change))
        study, instance = row.study_instance_uid, row.sop_instance_uid
        self._ledger.note(connection, now, "committed", study, instance, destination=row.destination)

    def send_overdue_again(self, destination: str, now: float) -> int:
        """Send again what was asked for and not answered in time; return how many."""
        overdue = (
            Delivery.destination == destination,
            Delivery.commitment == "requested",
            Delivery.commitment_due_at <= now,
        )
        with self._ledger.reading() as connection:  # asked many times a second: no write lock when there is nothing
            if not connection.scalar(select(func.count()).where(*overdue)):
                return 0
        with self._ledger.engine.begin() as connection:
            rows = connection.execute(_rows().where(*overdue).with_for_update()).all()
            for row in rows:
                self._send_again(connection, row, now, now, "commitment_timeout", "no answer in time")
        return len(rows)

    def _send_again(  # noqa: PLR0917 # private
        self, connection: Connection, row: Row[Any], now: float, at: float, kind: str, why: str
    ) -> None:
        change = {
            "state": "pending",
            "next_attempt_at": at,
            "attempts": row.attempts + 1,
            "comment": f"not committed: {why}",
            "commitment": None,
            "commitment_due_at": None,
        }
        connection.execute(update(Delivery).where(Delivery.id == row.id).values(**change))
        study, instance = row.study_instance_uid, row.sop_instance_uid
        self._ledger.note(connection, now, kind, study, instance, destination=row.destination, why=why)

    def forget(self, destination: str) -> int:
        """Nobody asks `destination` any more (its commitment was switched off): what waited is delivered, and done."""
        waiting = (Delivery.destination == destination, Delivery.commitment_due_at.is_not(None))
        with self._ledger.engine.begin() as connection:
            return connection.execute(
                update(Delivery).where(*waiting).values(commitment=None, commitment_due_at=None)
            ).rowcount


def _rows() -> Select[*tuple[Any, ...]]:
    return select(
        Delivery.id,
        Delivery.sop_instance_uid,
        Delivery.study_instance_uid,
        Delivery.destination,
        Delivery.attempts,
        Delivery.commitment,
    ).order_by(Delivery.id)


def answer_event(
    event: evt.Event, commitments: Commitments, destinations: Collection[str], now: float
) -> tuple[int, None]:
    """Answer an N-EVENT-REPORT, on whatever association it came; never raises for what the peer sends.

    Parameters
    ----------
    destinations : collection of str
        Names of the destinations that the peer stands for, by AE title and address.

    Returns
    -------
    int, None
        The status (PS3.7 annex C) and no event reply: 0x0000 also for a second copy; 0x0122 on a presentation context
        of another SOP class; 0x0124 for a peer that is no destination; 0x0113 and 0x0115 for an event that cannot be
        understood or names a transaction that is not this peer's; 0x0110 when the ledger is away.
    """
    # pynetdicom goes by the SOP class of the message, whatever the context was negotiated for.
    if event.context.abstract_syntax != StorageCommitmentPushModel:
        return SOP_CLASS_NOT_SUPPORTED, None
    if not destinations:
        return NOT_AUTHORISED, None
    try:
        report = read_report(event.event_type, event.event_information)
        is_known = commitments.report(report, destinations, now)
    except MalformedReport as malformed:
        log.warning("commitment_report_refused", destinations=sorted(destinations), why=str(malformed))
        return malformed.status, None
    except SQLAlchemyError as error:
        log.warning("commitment_report_refused", destinations=sorted(destinations), why=str(error))
        return PROCESSING_FAILURE, None
    except MALFORMED:
        log.warning("commitment_report_refused", destinations=sorted(destinations), why="no data set")
        return INVALID_ARGUMENT, None
    counts: Mapping[str, int] = {"committed": len(report.committed), "failed": len(report.failed)}
    log.info("commitment_reported", transaction_uid=report.transaction_uid, is_known=is_known, **counts)
    return (SUCCESS if is_known else INVALID_ARGUMENT), None
