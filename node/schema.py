"""Tables of the ledger. Times are seconds since 1970 (UTC), UIDs are the DICOM ones.

One indexed column a table says what is due (`study.due_at`, `delivery.next_attempt_at`); it is NULL when nothing is,
so looking for work costs the same with ten studies as with a million.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import JSON, BigInteger, Float, ForeignKey, Index, Integer, String, Text, UniqueConstraint
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

UID_LENGTH = 64  # PS3.5 section 9.1


class Base(DeclarativeBase):
    """Declarative base; `Base.metadata` is what Alembic compares against."""


class Study(Base):
    """A study and where it stands. The meaning of `due_at` depends on `state`.

    ============= ========================================================================
    state         due_at
    ============= ========================================================================
    assembling    when `completion.decide` is to be asked again
    queued        when the queue message is taken for lost and published once more
    analysing     when the worker's lease runs out: it is then taken for dead
    answered      NULL
    quarantined   NULL; waits for ``mammonode retry``
    ============= ========================================================================
    """

    __tablename__ = "study"

    study_instance_uid: Mapped[str] = mapped_column(String(UID_LENGTH), primary_key=True)
    state: Mapped[str] = mapped_column(String(16), index=True)
    revision: Mapped[int] = mapped_column(Integer, default=1)
    due_at: Mapped[float | None] = mapped_column(Float(53), index=True)
    first_received_at: Mapped[float] = mapped_column(Float(53))
    last_received_at: Mapped[float] = mapped_column(Float(53), index=True)
    calling_ae_title: Mapped[str] = mapped_column(String(16), default="")
    calling_host: Mapped[str] = mapped_column(String(64), default="")
    deaths: Mapped[int] = mapped_column(Integer, default=0)
    claim_token: Mapped[str | None] = mapped_column(String(64))
    outcome: Mapped[str | None] = mapped_column(String(16))
    reason: Mapped[str | None] = mapped_column(Text)


class Instance(Base):
    """A stored instance. `revision` is the first one that answered for it; NULL: not yet claimed by a worker."""

    __tablename__ = "instance"

    sop_instance_uid: Mapped[str] = mapped_column(String(UID_LENGTH), primary_key=True)
    study_instance_uid: Mapped[str] = mapped_column(ForeignKey("study.study_instance_uid"), index=True)
    sop_class_uid: Mapped[str] = mapped_column(String(UID_LENGTH))
    transfer_syntax_uid: Mapped[str] = mapped_column(String(UID_LENGTH))
    sha256: Mapped[str] = mapped_column(String(64))
    size_bytes: Mapped[int] = mapped_column(BigInteger)
    path: Mapped[str] = mapped_column(Text)
    view: Mapped[str | None] = mapped_column(String(16))
    routed_to: Mapped[str] = mapped_column(String(32))
    received_at: Mapped[float] = mapped_column(Float(53))
    revision: Mapped[int | None] = mapped_column(Integer)
    discarded_at: Mapped[float | None] = mapped_column(Float(53))


class Event(Base):
    """Every transition, in order; never updated. `detail` holds numbers, UIDs, codes and names of machines only."""

    __tablename__ = "event"

    id: Mapped[int] = mapped_column(BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=True)
    at: Mapped[float] = mapped_column(Float(53))
    study_instance_uid: Mapped[str | None] = mapped_column(String(UID_LENGTH), index=True)
    sop_instance_uid: Mapped[str | None] = mapped_column(String(UID_LENGTH))
    kind: Mapped[str] = mapped_column(String(32))
    detail: Mapped[dict[str, Any]] = mapped_column(JSON, default=dict)


class Result(Base):
    """An encoded result object; its bytes lie at `path` and are never made again.

    `series_instance_uid` is empty in rows of the first schema, which did not keep it.
    """

    __tablename__ = "result"

    sop_instance_uid: Mapped[str] = mapped_column(String(UID_LENGTH), primary_key=True)
    study_instance_uid: Mapped[str] = mapped_column(ForeignKey("study.study_instance_uid"), index=True)
    revision: Mapped[int] = mapped_column(Integer)
    kind: Mapped[str] = mapped_column(String(32))
    variant: Mapped[str] = mapped_column(String(64))
    sop_class_uid: Mapped[str] = mapped_column(String(UID_LENGTH))
    series_instance_uid: Mapped[str] = mapped_column(String(UID_LENGTH))
    transfer_syntax_uid: Mapped[str] = mapped_column(String(UID_LENGTH))
    sha256: Mapped[str] = mapped_column(String(64))
    path: Mapped[str] = mapped_column(Text)
    created_at: Mapped[float] = mapped_column(Float(53))
    discarded_at: Mapped[float | None] = mapped_column(Float(53))


WAITING = ("due", "requested")
"""Values of `Delivery.commitment` for which something is still to come."""

NOT_COMMITTED = ("refused", "unanswered")
"""Values of `Delivery.commitment` for which a person is needed (``mammonode retry``)."""


class Delivery(Base):
    """One result for one destination. `state`, pending, sent, refused or expired, is about its C-STORE alone.

    `commitment` is NULL while nobody asks for it, else one of these, and `commitment_due_at` depends on it.

    ============= ==============================================================
    commitment    commitment_due_at
    ============= ==============================================================
    due           when storage commitment is to be asked for
    requested     when it is to be asked for again, for want of an answer
    committed     NULL; the destination has taken responsibility
    refused       NULL; the destination will not, and `commitment_comment` says why
    unanswered    NULL; it was asked for in vain for as long as `give_up_h`
    unavailable   NULL; the destination does not offer it
    ============= ==============================================================

    `commitment_failures` counts the answers that it is not kept; `transaction_uid` is the last request's.
    """

    __tablename__ = "delivery"
    __table_args__ = (
        UniqueConstraint("sop_instance_uid", "destination"),
        Index("ix_delivery_due", "destination", "next_attempt_at"),
        Index("ix_delivery_commitment_due", "destination", "commitment_due_at"),
    )

    id: Mapped[int] = mapped_column(BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=True)
    sop_instance_uid: Mapped[str] = mapped_column(ForeignKey("result.sop_instance_uid"))
    study_instance_uid: Mapped[str] = mapped_column(String(UID_LENGTH), index=True)
    destination: Mapped[str] = mapped_column(String(64))
    state: Mapped[str] = mapped_column(String(16))
    created_at: Mapped[float] = mapped_column(Float(53))
    attempts: Mapped[int] = mapped_column(Integer, default=0)  # that failed
    next_attempt_at: Mapped[float | None] = mapped_column(Float(53))
    status: Mapped[int | None] = mapped_column(Integer)
    comment: Mapped[str | None] = mapped_column(Text)
    sent_at: Mapped[float | None] = mapped_column(Float(53))
    commitment: Mapped[str | None] = mapped_column(String(16))
    commitment_due_at: Mapped[float | None] = mapped_column(Float(53))
    commitment_failures: Mapped[int] = mapped_column(Integer, default=0)
    commitment_comment: Mapped[str | None] = mapped_column(Text)
    transaction_uid: Mapped[str | None] = mapped_column(String(UID_LENGTH))


class CommitmentRequest(Base):
    """A transaction UID under which a delivery was asked for: an answer may come hours later, and counts.

    `closed_at` is when the answer for this delivery came, or when another one made it void; NULL: it still counts.
    """

    __tablename__ = "commitment_request"

    delivery_id: Mapped[int] = mapped_column(ForeignKey("delivery.id"), primary_key=True)
    transaction_uid: Mapped[str] = mapped_column(String(UID_LENGTH), primary_key=True, index=True)
    closed_at: Mapped[float | None] = mapped_column(Float(53))
