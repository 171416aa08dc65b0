"""The ledger: what was received, where each study stands, and every transition as an event row.

It is the truth about a study; a queue message is only a wake-up. Every change of state is one transaction with a
condition on the state it leaves, so of two processes that try, one wins, and the other is told.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import ColumnElement, Connection, Engine, Select, Table, and_, exists, func, select, update
from sqlalchemy.dialects.postgresql import insert as postgresql_insert
from sqlalchemy.dialects.sqlite import insert as sqlite_insert

from node import arrivals
from node.arrivals import REGIONS, UNROUTED, ReceivedInstance, Recorded
from node.completion import ArrivedInstance, StudyState
from node.schema import Event, Instance, Result, Study
from pipelines.registry import OPEN_ENDED
from sr_templates.contract import ReplacedResult


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredInstance:
    """An instance as the ledger knows it."""

    sop_instance_uid: str
    sop_class_uid: str
    transfer_syntax_uid: str
    path: str
    routed_to: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ClaimedStudy:
    """A study that one worker holds, until it finishes it or its lease runs out.

    Attributes
    ----------
    images_deleted : bool
        Whether there were images that retention deleted; they are not among `instances`.
    """

    study_instance_uid: str
    revision: int
    deaths: int
    token: str
    instances: tuple[StoredInstance, ...]
    replaces: tuple[ReplacedResult, ...] = ()
    images_deleted: bool = False

    @property
    def has_regions(self) -> bool:
        """Whether a person marked regions in an object of it."""
        return any(item.routed_to == REGIONS for item in self.instances)

    def tries_left(self, max_deaths: int) -> int:
        """How often it is still analysed; at 0 only its failure is reported."""
        return _deaths_allowed(max_deaths, has_regions=self.has_regions) - self.deaths


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerEvent:
    """One row of a study's history."""

    at: float
    kind: str
    sop_instance_uid: str | None
    detail: dict[str, Any] = field(default_factory=dict)


class Ledger:
    """Transactions on studies and instances. Deliveries are in `node.outbox`.

    Parameters
    ----------
    engine : sqlalchemy.Engine
        From `node.database.open_engine`, migrated.
    """

    def __init__(self, engine: Engine) -> None:
        self.engine = engine

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """Open a connection that takes no write lock."""
        with self.engine.connect().execution_options(readonly=True) as connection:
            yield connection

    def insert_if_absent(self, connection: Connection, model: type[Any], values: Sequence[dict[str, Any]]) -> int:
        """Insert rows, leaving out those that would break a unique constraint; return how many went in."""
        table: Table = model.__table__
        make = sqlite_insert if self.engine.dialect.name == "sqlite" else postgresql_insert
        # SQLAlchemy drops the count of an INSERT unless told to keep it; psycopg's would then be -1.
        counted = {"preserve_rowcount": True}
        return sum(
            connection.execute(make(table).values(**row).on_conflict_do_nothing(), execution_options=counted).rowcount
            for row in values
        )

    def note(
        self,
        connection: Connection,
        now: float,
        kind: str,
        study_instance_uid: str | None,
        sop_instance_uid: str | None = None,
        **detail: Any,
    ) -> None:
        """Add an event row to the transaction of `connection`. Never give it anything that names a patient."""
        connection.execute(
            Event.__table__.insert(),  # type: ignore[attr-defined] # DeclarativeBase types __table__ as FromClause
            {
                "at": now,
                "kind": kind,
                "study_instance_uid": study_instance_uid,
                "sop_instance_uid": sop_instance_uid,
                "detail": detail,
            },
        )

    def record_instance(self, received: ReceivedInstance, now: float) -> Recorded:
        """Write down a received instance; once this returns "stored", it may be acknowledged.

        Returns
        -------
        {"stored", "duplicate", "restored", "conflict"}
            "duplicate": the same SOP Instance UID with the same bytes is here already; nothing changes.
            "restored": the same, but its file had been deleted (`node.retention`); the new one takes its place, and
            ``mammonode retry --again`` can analyse the study once more.
            "conflict": the same SOP Instance UID with other bytes is here already.
        """
        with self.engine.begin() as connection:
            return arrivals.record(self, connection, received, now)

    def due_studies(self, now: float, limit: int = 100) -> list[tuple[str, str]]:
        """Studies for which something is due: ``(study_instance_uid, state)``, longest overdue first."""
        query = (
            select(Study.study_instance_uid, Study.state).where(Study.due_at <= now).order_by(Study.due_at).limit(limit)
        )
        with self.reading() as connection:
            return [(uid, state) for uid, state in connection.execute(query)]

    def study_state(self, study_instance_uid: str) -> StudyState:
        """Return what `completion.decide` needs to know."""
        with self.reading() as connection:
            study = connection.execute(
                select(Study.calling_ae_title, Study.calling_host, Study.last_received_at, Study.revision).where(
                    Study.study_instance_uid == study_instance_uid
                )
            ).one()
            arrived = connection.execute(
                select(Instance.view, Instance.received_at, Instance.routed_to, Instance.revision).where(
                    Instance.study_instance_uid == study_instance_uid
                )
            ).all()
            late = {row.routed_to for row in arrived if row.revision is None}
            return StudyState(
                study_instance_uid=study_instance_uid,
                calling_ae_title=study.calling_ae_title,
                calling_host=study.calling_host,
                last_received_at=study.last_received_at,
                instances=tuple(
                    ArrivedInstance(
                        view=row.view, received_at=row.received_at, is_open_ended=row.routed_to in OPEN_ENDED
                    )
                    for row in arrived
                ),
                is_late_request=study.revision > 1 and REGIONS in late and late <= {REGIONS, UNROUTED},
            )

    def postpone(self, study: StudyState, until: float) -> None:
        """Ask again at `until`, unless another instance came in meanwhile (which has set its own time)."""
        with self.engine.begin() as connection:
            connection.execute(
                update(Study)
                .where(
                    Study.study_instance_uid == study.study_instance_uid,
                    Study.state == "assembling",
                    Study.last_received_at == study.last_received_at,
                )
                .values(due_at=until)
            )

    def queue(self, study: StudyState, now: float, *, republish_at: float, why: str) -> bool:
        """From assembling to queued, unless another instance came in since `study` was read.

        Publish the message only when this returns True.
        """
        return self._move(
            study.study_instance_uid,
            now,
            "queued",
            {"state": "queued", "due_at": republish_at},
            [Study.state == "assembling", Study.last_received_at == study.last_received_at],
            {"why": why},
        )

    def requeue_lost(self, study_instance_uid: str, now: float, *, republish_at: float, silently: bool) -> bool:
        """A queued study is due again: publish its message when this returns True.

        With `silently`, its message is still in the queue: only the time moves on, and no event is written.
        """
        return self._move(
            study_instance_uid,
            now,
            None if silently else "republished",
            {"due_at": republish_at},
            [Study.state == "queued", Study.due_at <= now],
        )

    def count_queued(self) -> int:
        """How many studies wait for a worker."""
        with self.reading() as connection:
            return connection.scalar(select(func.count()).where(Study.state == "queued")) or 0

    def bury(self, study_instance_uid: str, now: float, *, republish_at: float, max_deaths: int) -> bool:
        """The worker of a study in analysis let its lease run out: back to the queue, with one more death counted.

        After `max_deaths` the next worker only writes a report of the failure; if that kills it too, the study is
        quarantined without an answer.
        """
        asks = (Instance.study_instance_uid == study_instance_uid, Instance.routed_to == REGIONS)
        with self.engine.begin() as connection:
            deaths = connection.scalar(select(Study.deaths).where(Study.study_instance_uid == study_instance_uid))
            has_regions = bool(connection.scalar(select(exists().where(*asks, Instance.discarded_at.is_(None)))))
            given_up = deaths is not None and deaths >= _deaths_allowed(max_deaths, has_regions=has_regions)
            state = (
                {"state": "quarantined", "due_at": None} if given_up else {"state": "queued", "due_at": republish_at}
            )
            change = {"deaths": Study.deaths + 1, "claim_token": None, **state}
            moved = connection.execute(
                update(Study)
                .where(Study.study_instance_uid == study_instance_uid, Study.state == "analysing", Study.due_at <= now)
                .values(**change)
            ).rowcount
            if moved:
                self.note(connection, now, "worker_lost", study_instance_uid, deaths=(deaths or 0) + 1)
                if given_up:
                    self.note(connection, now, "quarantined", study_instance_uid)
                    self._revive_for_late_instances(connection, study_instance_uid, now)
        return bool(moved) and not given_up

    def _revive_for_late_instances(self, connection: Connection, study_instance_uid: str, now: float) -> None:
        """What came during the last attempt at a study is in no answer: it makes a revision of its own."""
        if arrivals.has_late_instances(connection, study_instance_uid):
            change = {"state": "assembling", "due_at": now, "revision": Study.revision + 1, "deaths": 0}
            connection.execute(update(Study).where(Study.study_instance_uid == study_instance_uid).values(**change))
            self.note(connection, now, "late", study_instance_uid)

    def claim(self, study_instance_uid: str, token: str, now: float, lease_s: float) -> ClaimedStudy | None:
        """From queued to analysing, for the worker that holds `token`; None when there is nothing to claim."""
        this = Study.study_instance_uid == study_instance_uid
        with self.engine.begin() as connection:
            claimed = connection.execute(
                update(Study)
                .where(this, Study.state == "queued")
                .values(state="analysing", claim_token=token, due_at=now + lease_s)
            ).rowcount
            if not claimed:
                return None
            study = connection.execute(select(Study.revision, Study.deaths).where(this)).one()
            of_study = Instance.study_instance_uid == study_instance_uid
            connection.execute(
                update(Instance).where(of_study, Instance.revision.is_(None)).values(revision=study.revision)
            )
            rows = connection.execute(
                select(
                    Instance.sop_instance_uid,
                    Instance.sop_class_uid,
                    Instance.transfer_syntax_uid,
                    Instance.path,
                    Instance.routed_to,
                )
                .where(of_study, Instance.discarded_at.is_(None))
                .order_by(Instance.sop_instance_uid)
            ).all()
            deleted = (Instance.discarded_at.is_not(None), Instance.routed_to.not_in((UNROUTED, REGIONS)))
            images_deleted = bool(connection.scalar(select(exists().where(of_study, *deleted))))
            replaces = _latest_results(connection, study_instance_uid, before=study.revision)
            self.note(connection, now, "started", study_instance_uid, revision=study.revision, token=token)
        return ClaimedStudy(
            study_instance_uid=study_instance_uid,
            revision=study.revision,
            deaths=study.deaths,
            token=token,
            instances=tuple(StoredInstance(**row._mapping) for row in rows),
            replaces=replaces,
            images_deleted=images_deleted,
        )

    def renew(self, study_instance_uid: str, token: str, until: float) -> bool:
        """Prolong the lease; False when the study was taken away."""
        with self.engine.begin() as connection:
            return bool(
                connection.execute(
                    update(Study)
                    .where(
                        Study.study_instance_uid == study_instance_uid,
                        Study.state == "analysing",
                        Study.claim_token == token,
                    )
                    .values(due_at=until)
                ).rowcount
            )

    def give_back(self, claimed: ClaimedStudy, now: float, *, retry_at: float, why: str, max_deaths: int) -> None:
        """From analysing back to queued after an error that may pass; the message goes out again at `retry_at`.

        An error counts as a death; one in the report of the failure, after `max_deaths`, ends in quarantine (`bury`).
        """
        given_up = claimed.tries_left(max_deaths) <= 0
        state = {"state": "quarantined", "due_at": None} if given_up else {"state": "queued", "due_at": retry_at}
        with self.engine.begin() as connection:
            moved = connection.execute(
                update(Study)
                .where(
                    Study.study_instance_uid == claimed.study_instance_uid,
                    Study.state == "analysing",
                    Study.claim_token == claimed.token,
                )
                .values(claim_token=None, deaths=Study.deaths + 1, **state)
            ).rowcount
            if moved:
                self.note(connection, now, "given_back", claimed.study_instance_uid, why=why)
                if given_up:
                    self.note(connection, now, "quarantined", claimed.study_instance_uid)
                    self._revive_for_late_instances(connection, claimed.study_instance_uid, now)

    def retry(self, study_instance_uid: str, now: float, *, republish_at: float) -> bool:
        """Analyse a finished study once more, as a new revision; publish its message when this returns True.

        A study whose files were deleted (`node.retention`) cannot be: False.
        """
        has_files = exists().where(Instance.study_instance_uid == study_instance_uid, Instance.discarded_at.is_(None))
        change = {"state": "queued", "due_at": republish_at, "revision": Study.revision + 1, "deaths": 0}
        finished = Study.state.in_(("answered", "quarantined"))
        return self._move(study_instance_uid, now, "retried", change, [finished, has_files])

    def _move(  # noqa: PLR0917 # private, called in this class only
        self,
        study_instance_uid: str,
        now: float,
        kind: str | None,
        change: dict[str, Any],
        conditions: list[ColumnElement[bool]],
        detail: dict[str, Any] | None = None,
    ) -> bool:
        with self.engine.begin() as connection:
            this = Study.study_instance_uid == study_instance_uid
            moved = connection.execute(update(Study).where(this, *conditions).values(**change)).rowcount
            if moved and kind is not None:
                self.note(connection, now, kind, study_instance_uid, **(detail or {}))
        return bool(moved)

    def history(self, study_instance_uid: str) -> list[LedgerEvent]:
        """Every event of a study, oldest first."""
        query = (
            select(Event.at, Event.kind, Event.sop_instance_uid, Event.detail)
            .where(Event.study_instance_uid == study_instance_uid)
            .order_by(Event.id)
        )
        with self.reading() as connection:
            return [LedgerEvent(**row._mapping) for row in connection.execute(query)]

    def studies(self, limit: int = 100) -> list[dict[str, Any]]:
        """The latest studies, newest first, as plain values."""
        query = _study_rows().order_by(Study.last_received_at.desc()).limit(limit)
        with self.reading() as connection:
            return [dict(row._mapping) for row in connection.execute(query)]

    def study(self, study_instance_uid: str) -> dict[str, Any] | None:
        """One study as plain values; None when it is unknown."""
        query = _study_rows().where(Study.study_instance_uid == study_instance_uid)
        with self.reading() as connection:
            row = connection.execute(query).one_or_none()
        return None if row is None else dict(row._mapping)

    def is_empty(self) -> bool:
        """Whether no instance was ever recorded."""
        with self.reading() as connection:
            return connection.scalar(select(Instance.sop_instance_uid).limit(1)) is None

    def path_of(self, sop_instance_uid: str) -> str | None:
        """The spool file of a recorded instance; None when it is not recorded, or its file was deleted."""
        this = Instance.sop_instance_uid == sop_instance_uid
        with self.reading() as connection:
            return connection.scalar(select(Instance.path).where(this, Instance.discarded_at.is_(None)))


def _deaths_allowed(max_deaths: int, *, has_regions: bool) -> int:
    """Before a failure is reported; a study with regions is tried with them, and once more without."""
    return max(max_deaths, 2) if has_regions else max_deaths


def _latest_results(connection: Connection, study_instance_uid: str, *, before: int) -> tuple[ReplacedResult, ...]:
    """Results of the last revision before this one that has any."""
    earlier = and_(Result.study_instance_uid == study_instance_uid, Result.revision < before)
    latest = select(func.max(Result.revision)).where(earlier).scalar_subquery()
    query = (
        select(
            Result.variant, Result.revision, Result.sop_class_uid, Result.sop_instance_uid, Result.series_instance_uid
        )
        .where(earlier, Result.revision == latest, Result.series_instance_uid != "")
        .order_by(Result.sop_instance_uid)
    )
    return tuple(ReplacedResult(**row._mapping) for row in connection.execute(query))


def _study_rows() -> Select[Any]:
    instances = (
        select(func.count())
        .where(Instance.study_instance_uid == Study.study_instance_uid)
        .scalar_subquery()
        .label("instances")
    )
    return select(
        Study.study_instance_uid,
        Study.state,
        Study.revision,
        Study.outcome,
        Study.reason,
        Study.deaths,
        Study.calling_ae_title,
        Study.first_received_at,
        Study.last_received_at,
        instances,
    )
