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
from sqlalchemy import Connection, Row, Select, func, insert, select, update
from sqlalchemy.exc import SQLAlchemyError

from node.backoff import backoff_s
from node.commitment_report import (
    INVALID_ARGUMENT,
    PROCESSING_FAILURE,
    CommitmentItem,
    CommitmentReport,
    MalformedReport,
    Remedy,
    read_report,
    reason_words,
    remedy,
)
from node.ledger import Ledger
from node.schema import WAITING, CommitmentRequest, Delivery, Result
from node.settings import DeliverySettings
from pipelines.headers import MALFORMED

# N-EVENT-REPORT statuses, PS3.7 annex C
SUCCESS: Final = 0x0000
SOP_CLASS_NOT_SUPPORTED: Final = 0x0122
NOT_AUTHORISED: Final = 0x0124

BATCH: Final = 256
"""Instances a request; each is some 130 bytes."""

LONGEST_WAIT_S: Final = 86400.0
MAX_FAILURES: Final = 15
"""Failures of one delivery after which it is refused; with `backoff_first_s` = 5 that is about a day."""

HAS_IT: Final = 0x0111
"""C-STORE status (PS3.7 annex C): a destination that says so has nothing to gain from getting it once more."""

ANSWERABLE: Final = (*WAITING, "unanswered", "unavailable")
"""Values of `Delivery.commitment` that a failure still changes; a success changes every one."""

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
            select(Delivery.id.label("delivery_id"), Delivery.sop_instance_uid, Delivery.sent_at, Result.sop_class_uid)
            .join(Result, Result.sop_instance_uid == Delivery.sop_instance_uid)
            .where(Delivery.destination == destination, Delivery.commitment == "due", Delivery.commitment_due_at <= now)
            .order_by(Delivery.commitment_due_at, Delivery.id)
            .limit(limit)
        )
        with self._ledger.reading() as connection:
            return [CommitmentItem(**row._mapping) for row in connection.execute(query)]

    def request(self, items: Sequence[CommitmentItem], transaction_uid: str, now: float) -> None:
        """Write down what is about to be asked: the answer may come before the request's own response.

        The answer may take `commitment_timeout_s`, and to each repeated request twice as long as to the one before: a
        slow destination is in time at last.
        """
        first_s = self._delivery.commitment_timeout_s
        with self._ledger.engine.begin() as connection:
            for row in _still_waiting(connection, items):
                wait_s = min(first_s + now - row.sent_at, max(first_s, LONGEST_WAIT_S))
                change = {"commitment": "requested", "commitment_due_at": now + wait_s}
                change["transaction_uid"] = transaction_uid
                self._change(connection, row, now, "commitment_requested", change, transaction_uid=transaction_uid)
                asked = {"delivery_id": row.id, "transaction_uid": transaction_uid}
                connection.execute(insert(CommitmentRequest).values(asked))

    def ask_later(self, items: Sequence[CommitmentItem], now: float, *, at: float, why: str) -> None:
        """The request did not go through: ask again at `at`, and no more what was sent longer than `give_up_h` ago."""
        with self._ledger.engine.begin() as connection:
            for row in _still_waiting(connection, items):
                self._ask_again(connection, row, now, at, "commitment_postponed", why)

    def unavailable(self, items: Sequence[CommitmentItem], now: float, *, why: str) -> None:
        """The destination does not offer storage commitment: delivered, and that is all there is to know."""
        change = {"commitment": "unavailable", "commitment_due_at": None, "commitment_comment": why}
        with self._ledger.engine.begin() as connection:
            for row in _still_waiting(connection, items):
                self._change(connection, row, now, "commitment_unavailable", change, why=why)

    def time_out(self, destination: str, now: float) -> int:
        """What was not answered in time is asked for again, or given up; return how many.

        It is not sent again: a destination that has lost it says so when it is asked.
        """
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
                self._ask_again(connection, row, now, now, "commitment_timeout", "no answer in time")
        return len(rows)

    def _ask_again(  # noqa: PLR0917 # private
        self, connection: Connection, row: Row[Any], now: float, at: float, kind: str, why: str
    ) -> None:
        change = {"commitment": "due", "commitment_due_at": at}
        if row.sent_at < now - self._delivery.give_up_h * 3600:
            kind = "commitment_unanswered"
            change = {"commitment": "unanswered", "commitment_due_at": None, "commitment_comment": why}
        self._change(connection, row, now, kind, change, why=why)

    def report(self, report: CommitmentReport, destinations: Collection[str], now: float) -> bool:
        """Take the answer of one of `destinations`.

        A success counts under whichever transaction it comes, a failure under the last one only: what an earlier
        request failed for, a later one has been asked about. The first answer to a request is the one that counts.

        Returns
        -------
        bool
            False when none of these destinations was asked under that transaction UID.
        """
        asked = (
            _rows()
            .add_columns(CommitmentRequest.closed_at)
            .join(CommitmentRequest, CommitmentRequest.delivery_id == Delivery.id)
            .where(CommitmentRequest.transaction_uid == report.transaction_uid, Delivery.destination.in_(destinations))
        )
        with self._ledger.engine.begin() as connection:
            rows = connection.execute(asked.with_for_update()).all()
            for row in rows:
                if row.closed_at is not None or row.commitment == "committed":
                    continue
                if row.sop_instance_uid in report.committed:
                    self._commit(connection, row, now)
                else:
                    self._fail(connection, row, report, now)
        return bool(rows)

    def _commit(self, connection: Connection, row: Row[Any], now: float) -> None:
        change = {
            "state": "sent",
            "next_attempt_at": None,
            "commitment": "committed",
            "commitment_due_at": None,
            "commitment_comment": None,
        }
        self._change(connection, row, now, "committed", change)

    def _fail(self, connection: Connection, row: Row[Any], report: CommitmentReport, now: float) -> None:
        reason = report.failed.get(row.sop_instance_uid)
        what_helps = "send" if reason is None else remedy(reason)
        why = "not mentioned in the answer" if reason is None else reason_words(reason)
        is_last = row.transaction_uid == report.transaction_uid
        counts = row.commitment in ANSWERABLE and (is_last or what_helps == "none")
        closed = [CommitmentRequest.delivery_id == row.id, CommitmentRequest.closed_at.is_(None)]
        if not counts:
            closed.append(CommitmentRequest.transaction_uid == report.transaction_uid)
        # Else a success that was found out before this failure, and got lost on its way, would hide it.
        connection.execute(update(CommitmentRequest).where(*closed).values(closed_at=now))
        if counts:
            self._settle_failure(connection, row, now, what_helps, why)

    def _settle_failure(self, connection: Connection, row: Row[Any], now: float, what_helps: Remedy, why: str) -> None:
        failures = row.commitment_failures + 1
        at = now + backoff_s(row.commitment_failures, self._delivery.backoff_first_s, LONGEST_WAIT_S)
        change: dict[str, Any] = {"commitment_failures": failures, "commitment_comment": why}
        kind = "commitment_failed"
        if what_helps == "none" or failures >= MAX_FAILURES:
            kind = "commitment_refused"
            change |= {"commitment": "refused", "commitment_due_at": None}
        elif what_helps == "ask" or (row.commitment_failures and row.status == HAS_IT):
            change |= {"commitment": "due", "commitment_due_at": at}
        else:
            change |= {"commitment": None, "commitment_due_at": None}
            # Its time to be given up as undelivered starts anew: it had arrived.
            change |= {"state": "pending", "next_attempt_at": at, "attempts": row.attempts + 1, "created_at": now}
        self._change(connection, row, now, kind, change, why=why)

    def forget(self, destination: str) -> int:
        """Nobody asks `destination` any more (its commitment was switched off): what waited is delivered, and done."""
        waiting = (Delivery.destination == destination, Delivery.commitment_due_at.is_not(None))
        with self._ledger.engine.begin() as connection:
            return connection.execute(
                update(Delivery).where(*waiting).values(commitment=None, commitment_due_at=None)
            ).rowcount

    def _change(
        self, connection: Connection, row: Row[Any], now: float, kind: str, change: dict[str, Any], **detail: str
    ) -> None:
        connection.execute(update(Delivery).where(Delivery.id == row.id).values(**change))
        study, instance = row.study_instance_uid, row.sop_instance_uid
        self._ledger.note(connection, now, kind, study, instance, destination=row.destination, **detail)


def _rows() -> Select[*tuple[Any, ...]]:
    # Always in this order, or two processes on PostgreSQL could wait for each other's rows.
    return select(
        Delivery.id,
        Delivery.sop_instance_uid,
        Delivery.study_instance_uid,
        Delivery.destination,
        Delivery.attempts,
        Delivery.status,
        Delivery.sent_at,
        Delivery.commitment,
        Delivery.commitment_failures,
        Delivery.transaction_uid,
    ).order_by(Delivery.id)


def _still_waiting(connection: Connection, items: Sequence[CommitmentItem]) -> Sequence[Row[Any]]:
    """The rows of `items`, locked, but for those that an answer has overtaken: it has the last word."""
    ids = [item.delivery_id for item in items]
    waiting = (Delivery.id.in_(ids), Delivery.commitment.in_(WAITING))
    return connection.execute(_rows().where(*waiting).with_for_update()).all()


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
