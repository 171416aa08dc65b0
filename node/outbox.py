"""Finished results and their deliveries: one row a destination, each with its own schedule and its own fate."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, and_, delete, exists, func, or_, select, update

from node.arrivals import has_late_instances
from node.ledger import ClaimedStudy, Ledger
from node.schema import NOT_COMMITTED, CommitmentRequest, Delivery, Result, Study
from node.spool import write_durably
from sr_templates.contract import Outcome, ResultObject, ResultVariant

Fault = Callable[[str], None]
"""Called at every step of the way with the step's name; tests kill the process in it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OutboxItem:
    """One result that is due at one destination."""

    delivery_id: int
    sop_instance_uid: str
    study_instance_uid: str
    sop_class_uid: str
    transfer_syntax_uid: str
    path: str
    attempts: int
    created_at: float


def no_fault(_step: str) -> None:
    """Do nothing: the `Fault` of every day."""


class Outbox:
    """Results on disk, deliveries in the ledger.

    Parameters
    ----------
    ledger : Ledger
        The deliveries are rows beside the studies, so that a study's end and its results are one transaction.
    directory : pathlib.Path
        Where the encoded bytes lie until they have been delivered everywhere and have aged.
    """

    def __init__(self, ledger: Ledger, directory: Path, fault: Fault = no_fault) -> None:
        self._ledger = ledger
        self._directory = directory
        self._fault = fault

    @property
    def ledger(self) -> Ledger:
        """Where the deliveries are."""
        return self._ledger

    def publish(
        self,
        claimed: ClaimedStudy,
        objects: Sequence[ResultObject],
        profiles: Mapping[str, frozenset[ResultVariant]],
        now: float,
        *,
        outcome: Outcome,
        reason: str | None,
        quarantine: bool = False,
        detail: Mapping[str, Any] | None = None,
    ) -> bool:
        """Finish a study: its results, their deliveries and its new state, all or nothing.

        Parameters
        ----------
        claimed : ClaimedStudy
            What this worker holds. When it holds it no more, nothing is published.
        profiles : mapping of str to frozenset of ResultVariant
            Destination name to the results that it gets.

        Returns
        -------
        bool
            False when the study was taken away from this worker.
        """
        paths = {item.sop_instance_uid: self._path(claimed, item) for item in objects}
        for item in objects:
            write_durably(paths[item.sop_instance_uid], item.content)
        self._fault("results_written")
        with self._ledger.engine.begin() as connection:
            published = self._finish(connection, claimed, now, outcome, reason, quarantine)
            if published:
                for item in objects:
                    self._add(connection, claimed, item, paths[item.sop_instance_uid], profiles, now)
                counts = {"results": len(objects), "outcome": outcome, "reason": reason, **(detail or {})}
                self._ledger.note(
                    connection, now, "finished", claimed.study_instance_uid, revision=claimed.revision, **counts
                )
                if quarantine:
                    self._ledger.note(connection, now, "quarantined", claimed.study_instance_uid)
        if not published:
            for path in paths.values():
                path.unlink(missing_ok=True)
        return published

    def _path(self, claimed: ClaimedStudy, item: ResultObject) -> Path:
        # The token keeps apart what two workers wrote for the same study; only one of them publishes.
        return self._directory / claimed.study_instance_uid / f"{item.sop_instance_uid}.{claimed.token[:8]}.dcm"

    def _finish(  # noqa: PLR0917 # private, called once
        self,
        connection: Connection,
        claimed: ClaimedStudy,
        now: float,
        outcome: Outcome,
        reason: str | None,
        quarantine: bool,
    ) -> bool:
        uid = claimed.study_instance_uid
        held = and_(Study.study_instance_uid == uid, Study.state == "analysing", Study.claim_token == claimed.token)
        state = connection.execute(select(Study.revision).where(held).with_for_update(key_share=True)).one_or_none()
        if state is None:
            return False
        change: dict[str, Any] = {
            "state": "quarantined" if quarantine else "answered",
            "due_at": None,
            "claim_token": None,
            "outcome": outcome,
            "reason": reason,
        }
        if has_late_instances(connection, uid):
            change |= {"state": "assembling", "due_at": now, "revision": claimed.revision + 1, "deaths": 0}
            self._ledger.note(connection, now, "late", uid, revision=claimed.revision + 1)
        connection.execute(update(Study).where(held).values(**change))
        return True

    def _add(  # noqa: PLR0917 # private, called once
        self,
        connection: Connection,
        claimed: ClaimedStudy,
        item: ResultObject,
        path: Path,
        profiles: Mapping[str, frozenset[ResultVariant]],
        now: float,
    ) -> None:
        row = {
            "sop_instance_uid": item.sop_instance_uid,
            "study_instance_uid": claimed.study_instance_uid,
            "revision": claimed.revision,
            "kind": item.kind,
            "variant": item.variant.name,
            "sop_class_uid": item.sop_class_uid,
            "series_instance_uid": item.series_instance_uid,
            "transfer_syntax_uid": item.transfer_syntax_uid,
            "sha256": hashlib.sha256(item.content).hexdigest(),
            "path": str(path),
            "created_at": now,
        }
        self._ledger.insert_if_absent(connection, Result, [row])
        deliveries = [
            {
                "sop_instance_uid": item.sop_instance_uid,
                "study_instance_uid": claimed.study_instance_uid,
                "destination": destination,
                "state": "pending",
                "created_at": now,
                "attempts": 0,
                "next_attempt_at": now,
            }
            for destination, variants in profiles.items()
            if item.is_for(variants)
        ]
        self._ledger.insert_if_absent(connection, Delivery, deliveries)

    def due(self, destination: str, now: float, limit: int = 64) -> list[OutboxItem]:
        """What is to be sent to `destination` now, oldest first."""
        query = (
            select(
                Delivery.id.label("delivery_id"),
                Delivery.sop_instance_uid,
                Delivery.study_instance_uid,
                Delivery.attempts,
                Delivery.created_at,
                Result.sop_class_uid,
                Result.transfer_syntax_uid,
                Result.path,
            )
            .join(Result, Result.sop_instance_uid == Delivery.sop_instance_uid)
            .where(Delivery.destination == destination, Delivery.next_attempt_at <= now)
            .order_by(Delivery.next_attempt_at, Delivery.id)
            .limit(limit)
        )
        with self._ledger.reading() as connection:
            return [OutboxItem(**row._mapping) for row in connection.execute(query)]

    def next_due_at(self, destination: str) -> float | None:
        """When the next delivery to `destination` is due; None when nothing waits."""
        with self._ledger.reading() as connection:
            return connection.scalar(
                select(func.min(Delivery.next_attempt_at)).where(
                    Delivery.destination == destination, Delivery.next_attempt_at.is_not(None)
                )
            )

    def pending_elsewhere(self, destinations: Collection[str]) -> dict[str, int]:
        """Pending deliveries to destinations other than these: how many, by name."""
        query = (
            select(Delivery.destination, func.count())
            .where(Delivery.destination.not_in(destinations), Delivery.next_attempt_at.is_not(None))
            .group_by(Delivery.destination)
        )
        with self._ledger.reading() as connection:
            return dict(connection.execute(query).tuples().all())

    def settle(
        self,
        item: OutboxItem,
        destination: str,
        now: float,
        *,
        state: str,
        status: int | None,
        comment: str = "",
        said: str = "",
        commit: bool = False,
    ) -> None:
        """A delivery reached its end: `state` is "sent", "refused" or "expired".

        `said` is the peer's own comment, which may name a patient: it is kept in the delivery and nowhere else, in
        place of `comment`. With `commit`, storage commitment is due for what was sent.
        """
        change: dict[str, Any] = {
            "state": state,
            "next_attempt_at": None,
            "status": status,
            "comment": said or comment or None,
        }
        if state == "sent":
            change["sent_at"] = now
            if commit:
                change |= {"commitment": "due", "commitment_due_at": now}
        self._record(item, destination, now, kind=state, status=status, comment=comment, change=change)

    def postpone(
        self,
        item: OutboxItem,
        destination: str,
        now: float,
        *,
        next_attempt_at: float,
        status: int | None,
        comment: str = "",
        said: str = "",
    ) -> None:
        """A delivery failed in a way that may pass: try again at `next_attempt_at`. `said` as in `settle`."""
        change = {
            "attempts": item.attempts + 1,
            "next_attempt_at": next_attempt_at,
            "status": status,
            "comment": said or comment or None,
        }
        self._record(item, destination, now, kind="delivery_retry", status=status, comment=comment, change=change)

    def _record(  # noqa: PLR0917 # private
        self,
        item: OutboxItem,
        destination: str,
        now: float,
        kind: str,
        status: int | None,
        comment: str,
        change: dict[str, Any],
    ) -> None:
        detail: dict[str, Any] = {"destination": destination, "attempt": item.attempts + 1}
        if status is not None:
            detail["status"] = f"0x{status:04X}"
        if comment:
            detail["comment"] = comment
        with self._ledger.engine.begin() as connection:
            # What was committed to while it was sent once more has reached its end already.
            pending = (Delivery.id == item.delivery_id, Delivery.state == "pending")
            if connection.execute(update(Delivery).where(*pending).values(**change)).rowcount:
                self._ledger.note(connection, now, kind, item.study_instance_uid, item.sop_instance_uid, **detail)

    def send_again(self, study_instance_uid: str, now: float, *, everything: bool = False) -> int:
        """Put what was refused, given up or not committed to back on a study's schedule; return how many deliveries.

        With `everything`, all that were sent: a destination may have lost them, and what it answered to earlier
        requests for commitment counts no more. Files that were deleted by age cannot be sent.
        """
        ended = Delivery.state.in_(("refused", "expired"))
        wanted = or_(ended, Delivery.state == "sent" if everything else Delivery.commitment.in_(NOT_COMMITTED))
        has_file = exists().where(Result.sop_instance_uid == Delivery.sop_instance_uid, Result.discarded_at.is_(None))
        again = and_(Delivery.study_instance_uid == study_instance_uid, wanted, has_file)
        with self._ledger.engine.begin() as connection:
            ids = connection.scalars(select(Delivery.id).where(again).order_by(Delivery.id).with_for_update()).all()
            connection.execute(delete(CommitmentRequest).where(CommitmentRequest.delivery_id.in_(ids)))
            count = connection.execute(
                update(Delivery)
                .where(Delivery.id.in_(ids))
                .values(
                    state="pending",
                    next_attempt_at=now,
                    attempts=0,
                    created_at=now,
                    commitment=None,
                    commitment_due_at=None,
                    commitment_failures=0,
                    commitment_comment=None,
                    transaction_uid=None,
                )
            ).rowcount
            if count:
                self._ledger.note(connection, now, "deliveries_retried", study_instance_uid, count=count)
        return count

    def deliveries(self, study_instance_uid: str) -> list[dict[str, Any]]:
        """Every delivery of a study as plain values, with the kind of its result."""
        query = (
            select(
                Delivery.destination,
                Result.kind,
                Result.revision,
                Delivery.sop_instance_uid,
                Delivery.state,
                Delivery.attempts,
                Delivery.next_attempt_at,
                Delivery.status,
                Delivery.comment,
                Delivery.sent_at,
                Delivery.commitment,
                Delivery.commitment_comment,
            )
            .join(Result, Result.sop_instance_uid == Delivery.sop_instance_uid)
            .where(Delivery.study_instance_uid == study_instance_uid)
            .order_by(Delivery.id)
        )
        with self._ledger.reading() as connection:
            return [dict(row._mapping) for row in connection.execute(query)]

    def is_result(self, sop_instance_uid: str) -> bool:
        """Whether this node made the instance; a PACS may send results back with the study."""
        with self._ledger.reading() as connection:
            return bool(connection.scalar(select(func.count()).where(Result.sop_instance_uid == sop_instance_uid)))

    def is_published(self, path: Path) -> bool:
        """Whether a file of the outbox belongs to a published result."""
        sop_instance_uid = os.path.basename(path).rsplit(".", 2)[0]  # noqa: PTH119 # a name, not a path
        with self._ledger.reading() as connection:
            known = connection.scalar(select(Result.path).where(Result.sop_instance_uid == sop_instance_uid))
        # By folder and name: the state folder may have been moved since.
        return known is not None and Path(known).parts[-2:] == path.parts[-2:]
