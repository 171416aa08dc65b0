"""A ledger of an earlier schema, brought up to date in place."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from alembic import command
from alembic.config import Config
from sqlalchemy import Engine, insert, select, text

from node.commitment import Commitments
from node.commitment_report import CommitmentReport
from node.database import MIGRATIONS, migrate, open_engine
from node.ledger import Ledger
from node.schema import CommitmentRequest, Delivery, Result, Study
from node.settings import DeliverySettings
from tests.node.builders import NOW

HOUR_S = 3600.0


@pytest.fixture
def empty(database_url: str) -> Iterator[Engine]:
    engine = open_engine(database_url)
    yield engine
    engine.dispose()


def move(engine: Engine, version: str, direction: str = "upgrade") -> None:
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    with engine.connect() as connection:
        config.attributes["connection"] = connection
        getattr(command, direction)(config, version)
        connection.commit()


STUDY_ROW = {
    "study_instance_uid": "1.2",
    "state": "answered",
    "revision": 1,
    "first_received_at": NOW,
    "last_received_at": NOW,
    "calling_ae_title": "A",
    "calling_host": "h",
    "deaths": 0,
}
RESULT_ROW = {
    "study_instance_uid": "1.2",
    "revision": 1,
    "kind": "cad_sr",
    "variant": "cad_sr",
    "sop_class_uid": "1",
    "series_instance_uid": "1.3",
    "transfer_syntax_uid": "1",
    "sha256": "",
    "path": "",
    "created_at": NOW,
}
DELIVERY_ROW = {"study_instance_uid": "1.2", "destination": "pacs", "created_at": NOW, "attempts": 1, "sent_at": NOW}


def ledger_of_0002(engine: Engine, *deliveries: dict[str, Any]) -> None:
    """Deliveries 1.1, 1.2, ... as the node before would have left them; of its tables only what it knew is written."""
    move(engine, "0002")
    with engine.begin() as connection:
        connection.execute(insert(Study.__table__).values(STUDY_ROW))
        for number, given in enumerate(deliveries, start=1):
            uid = {"sop_instance_uid": f"1.{number}"}
            connection.execute(insert(Result.__table__).values(RESULT_ROW | uid))
            row = DELIVERY_ROW | uid | given
            columns = ", ".join(row)
            values = ", ".join(f":{name}" for name in row)
            connection.execute(text(f"INSERT INTO delivery ({columns}) VALUES ({values})"), row)


def deliveries(engine: Engine) -> dict[str, tuple[str, str | None, str | None, str | None]]:
    query = select(
        Delivery.sop_instance_uid,
        Delivery.state,
        Delivery.commitment,
        Delivery.comment,
        Delivery.commitment_comment,
    )
    with engine.connect() as connection:
        return {uid: (state, *rest) for uid, state, *rest in connection.execute(query)}


def test_what_was_asked_for_under_the_second_schema_is_answered_under_the_third(empty: Engine) -> None:
    ledger_of_0002(
        empty,
        {"state": "sent", "commitment": "requested", "commitment_due_at": NOW + HOUR_S, "transaction_uid": "2.1"},
        {
            "state": "pending",
            "next_attempt_at": NOW,
            "transaction_uid": "2.2",
            "comment": "not committed: no answer in time",
        },
        {"state": "sent"},
    )
    migrate(empty)
    commitments = Commitments(Ledger(empty), DeliverySettings())
    for number in (1, 2):
        report = CommitmentReport(transaction_uid=f"2.{number}", committed=frozenset({f"1.{number}"}), failed={})
        assert commitments.report(report, ("pacs",), NOW)
    assert deliveries(empty) == {
        "1.1": ("sent", "committed", None, None),
        "1.2": ("sent", "committed", None, None),
        "1.3": ("sent", None, None, None),
    }
    with empty.connect() as connection:
        assert connection.execute(select(CommitmentRequest.transaction_uid).order_by("transaction_uid")).all() == [
            ("2.1",),
            ("2.2",),
        ]


def test_what_had_arrived_and_was_given_up_counts_as_delivered_and_unanswered(empty: Engine) -> None:
    ledger_of_0002(
        empty,
        {"state": "expired", "comment": "not committed: storage commitment refused with 0x0110"},
        {"state": "expired", "comment": "given up", "sent_at": None},
        {"state": "refused", "comment": "100 % full", "sent_at": None},
    )
    migrate(empty)
    assert deliveries(empty) == {
        "1.1": ("sent", "unanswered", None, "storage commitment refused with 0x0110"),
        "1.2": ("expired", None, "given up", None),
        "1.3": ("refused", None, "100 % full", None),
    }


def test_the_third_schema_can_be_undone(empty: Engine) -> None:
    before = {"state": "expired", "comment": "not committed: storage commitment refused with 0x0110"}
    ledger_of_0002(empty, before)
    migrate(empty)
    move(empty, "0002", "downgrade")
    with empty.connect() as connection:
        row = connection.execute(text("SELECT state, comment, commitment FROM delivery")).one()
    assert tuple(row) == (before["state"], before["comment"], None)
    migrate(empty)
    assert deliveries(empty)["1.1"][:2] == ("sent", "unanswered")
