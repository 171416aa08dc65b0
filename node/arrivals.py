"""What a received instance does to the ledger: a row, a duplicate, a conflict; for an answered study, a revision.

The functions work inside of the transaction that `node.ledger.Ledger` opens.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from sqlalchemy import Connection, func, select, update

from node.schema import Instance, Study

if TYPE_CHECKING:  # the ledger imports this module
    from node.ledger import Ledger

UNROUTED = "none"
REGIONS = "regions"
"""Where an object goes in which a person marked regions: to the pipeline of the study's images, beside them."""

Recorded = Literal["stored", "duplicate", "restored", "conflict"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ReceivedInstance:
    """An instance whose bytes are safe in the spool.

    Attributes
    ----------
    sha256 : str
        Of the encoded data set, without the file meta, which this node writes itself.
    view : str or None
        ``"L-CC"``-style name when it is an image that can be analysed and counts towards the required views.
    routed_to : str
        Name of the pipeline, ``"regions"`` or ``"none"``.
    """

    sop_instance_uid: str
    study_instance_uid: str
    sop_class_uid: str
    transfer_syntax_uid: str
    sha256: str
    size_bytes: int
    path: str
    view: str | None
    routed_to: str
    calling_ae_title: str
    calling_host: str


def record(ledger: Ledger, connection: Connection, received: ReceivedInstance, now: float) -> Recorded:
    """Write down a received instance; see `Ledger.record_instance`."""
    uid, study_uid = received.sop_instance_uid, received.study_instance_uid
    origin = {"calling_ae_title": received.calling_ae_title, "calling_host": received.calling_host}
    is_new_study = ledger.insert_if_absent(
        connection,
        Study,
        [
            {
                "study_instance_uid": study_uid,
                "state": "assembling",
                "revision": 1,
                "due_at": now,
                "first_received_at": now,
                "last_received_at": now,
                "deaths": 0,
                **origin,
            }
        ],
    )
    row = {
        "sop_instance_uid": uid,
        "study_instance_uid": study_uid,
        "sop_class_uid": received.sop_class_uid,
        "transfer_syntax_uid": received.transfer_syntax_uid,
        "sha256": received.sha256,
        "size_bytes": received.size_bytes,
        "path": received.path,
        "view": received.view,
        "routed_to": received.routed_to,
        "received_at": now,
    }
    if not ledger.insert_if_absent(connection, Instance, [row]):
        this = Instance.sop_instance_uid == uid
        known = connection.execute(select(Instance.sha256, Instance.discarded_at).where(this)).one()
        if known.sha256 == received.sha256:
            kind: Recorded = "duplicate" if known.discarded_at is None else "restored"
            if kind == "restored":
                change = {"discarded_at": None, "path": received.path}
                connection.execute(update(Instance).where(this).values(**change))
                # It is kept as long as a new one, and a region that was sent along waits for the last of its images.
                of_study = Study.study_instance_uid == study_uid
                connection.execute(update(Study).where(of_study).values(last_received_at=now))
            ledger.note(connection, now, kind, study_uid, uid, **origin)
            return kind
        ledger.note(connection, now, "refused_other_bytes", study_uid, uid, **origin)
        if is_new_study:  # the UID belongs to another study: leave no empty one behind
            connection.execute(Study.__table__.delete().where(Study.study_instance_uid == study_uid))  # type: ignore[attr-defined] # as above
        return "conflict"
    detail = {"size_bytes": received.size_bytes, "view": received.view, "routed_to": received.routed_to}
    ledger.note(connection, now, "received", study_uid, uid, **detail, **origin)
    if not is_new_study:
        _arrived(ledger, connection, received, now)

    return "stored"


def _arrived(ledger: Ledger, connection: Connection, received: ReceivedInstance, now: float) -> None:
    study_uid = received.study_instance_uid
    this = Study.study_instance_uid == study_uid
    # FOR NO KEY UPDATE: each new instance's foreign key holds the study FOR KEY SHARE, and two would deadlock.
    state, revision = connection.execute(
        select(Study.state, Study.revision).where(this).with_for_update(key_share=True)
    ).one()
    change: dict[str, Any] = {"last_received_at": now}
    if state == "assembling":
        change["due_at"] = now
    elif state in ("answered", "quarantined"):
        if _worth_a_revision(connection, received):
            change |= {"state": "assembling", "due_at": now, "revision": revision + 1, "deaths": 0}
            ledger.note(connection, now, "late", study_uid, received.sop_instance_uid, revision=revision + 1)
        else:
            connection.execute(
                update(Instance).where(Instance.sop_instance_uid == received.sop_instance_uid).values(revision=revision)
            )
            ledger.note(connection, now, "late_not_analysed", study_uid, received.sop_instance_uid)
    connection.execute(update(Study).where(this).values(**change))


def _worth_a_revision(connection: Connection, received: ReceivedInstance) -> bool:
    """A late dose report or foreign SR changes nothing in an analysed study; in one of only such, it does."""
    if received.routed_to != UNROUTED:
        return True
    routed = select(func.count()).where(
        Instance.study_instance_uid == received.study_instance_uid,
        Instance.routed_to.not_in((UNROUTED, REGIONS)),
    )
    return connection.scalar(routed) == 0


def has_late_instances(connection: Connection, study_instance_uid: str) -> bool:
    """Whether something came, since the study was claimed, that is worth another revision.

    A dose report or foreign SR counts in a study of nothing else only, as one after the answer does.
    """
    of_study = Instance.study_instance_uid == study_instance_uid
    every = set(connection.scalars(select(Instance.routed_to).where(of_study).distinct()))
    late = set(connection.scalars(select(Instance.routed_to).where(of_study, Instance.revision.is_(None)).distinct()))
    return bool(late) and (late != {UNROUTED} or every <= {UNROUTED, REGIONS})
