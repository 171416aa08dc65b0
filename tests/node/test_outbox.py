"""Results and their deliveries: all or nothing, and each destination on its own."""

from __future__ import annotations

import hashlib
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError

from node.ledger import Ledger
from node.outbox import Outbox, OutboxItem
from sr_templates.contract import ResultKind, plain_variants
from tests.node.builders import LEASE_S, NOW, STUDY, at_once, claimed, kinds, received, result, state_of

KINDS: tuple[ResultKind, ...] = ("cad_sr", "heatmap", "measurement_sr")
EVERYTHING = plain_variants(*KINDS)
TO_PACS = {"pacs": EVERYTHING}


def publish(ledger: Ledger, outbox: Outbox, *results: Any, profiles: Any = None, study: str = STUDY) -> None:
    held = claimed(ledger, received(1, study))
    objects = results or (result(study=study),)
    assert outbox.publish(held, objects, profiles or TO_PACS, NOW, outcome="analysed", reason=None)


def only_item(outbox: Outbox, destination: str = "pacs", now: float = NOW) -> OutboxItem:
    (item,) = outbox.due(destination, now)
    return item


def delivery(outbox: Outbox, destination: str = "pacs") -> dict[str, Any]:
    (row,) = [row for row in outbox.deliveries(STUDY) if row["destination"] == destination]
    return row


def files_below(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


# -- publishing --------------------------------------------------------------------------------------------------------


def test_results_lie_on_disk_byte_for_byte_and_are_due_at_once(ledger: Ledger, outbox: Outbox, tmp_path: Path) -> None:
    made = result()
    publish(ledger, outbox, made)
    item = only_item(outbox)
    assert Path(item.path).read_bytes() == made.content
    assert (item.sop_instance_uid, item.sop_class_uid) == (made.sop_instance_uid, made.sop_class_uid)
    assert (item.attempts, item.created_at) == (0, NOW)
    assert files_below(tmp_path / "outbox") == [Path(item.path)]
    with ledger.reading() as connection:
        assert connection.scalar(text("SELECT sha256 FROM result")) == hashlib.sha256(made.content).hexdigest()
    assert state_of(ledger) == ("answered", 1)


def test_each_destination_gets_what_its_profile_says(ledger: Ledger, outbox: Outbox) -> None:
    profiles = {"pacs": EVERYTHING, "viewer": plain_variants("heatmap"), "archive": plain_variants()}
    publish(ledger, outbox, *(result(kind) for kind in KINDS), profiles=profiles)
    sent = {name: {row["kind"] for row in outbox.deliveries(STUDY) if row["destination"] == name} for name in profiles}
    assert sent == {"pacs": set(KINDS), "viewer": {"heatmap"}, "archive": set()}
    assert outbox.due("archive", NOW) == []


def test_without_destinations_results_stay_here(ledger: Ledger, outbox: Outbox, tmp_path: Path) -> None:
    held = claimed(ledger)
    assert outbox.publish(held, [result()], {}, NOW, outcome="analysed", reason=None)
    assert outbox.deliveries(STUDY) == []
    assert len(files_below(tmp_path / "outbox")) == 1


def test_a_worker_that_lost_its_claim_publishes_nothing(ledger: Ledger, outbox: Outbox, tmp_path: Path) -> None:
    slow = claimed(ledger)
    later = NOW + LEASE_S
    assert ledger.bury(STUDY, later, republish_at=later, max_deaths=3)
    quick = ledger.claim(STUDY, "worker-2", later, LEASE_S)
    assert quick is not None
    made = [result("cad_sr"), result("heatmap")]
    assert not outbox.publish(slow, made, TO_PACS, later, outcome="analysed", reason=None)
    assert files_below(tmp_path / "outbox") == []
    assert outbox.deliveries(STUDY) == []
    assert state_of(ledger) == ("analysing", 1)
    assert "finished" not in kinds(ledger)
    assert outbox.publish(quick, made, TO_PACS, later, outcome="analysed", reason=None)
    assert not outbox.publish(slow, made, TO_PACS, later, outcome="analysed", reason=None)
    assert [Path(item.path).is_file() for item in outbox.due("pacs", later)] == [True, True]


def test_two_workers_publish_the_same_study_at_the_same_moment(ledger: Ledger, outbox: Outbox, tmp_path: Path) -> None:
    first = claimed(ledger)
    later = NOW + LEASE_S
    assert ledger.bury(STUDY, later, republish_at=later, max_deaths=3)
    second = ledger.claim(STUDY, "worker-2", later, LEASE_S)
    assert second is not None
    calls = [
        partial(outbox.publish, held, [result()], TO_PACS, later, outcome="analysed", reason=None)
        for held in (first, second)
    ]
    assert at_once(calls) == [False, True]
    assert kinds(ledger).count("finished") == 1


def test_all_or_nothing_when_the_database_fails_half_way(
    ledger: Ledger, outbox: Outbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    held = claimed(ledger)

    def fail(*_arguments: object, **_more: object) -> None:
        raise SQLAlchemyError("the connection broke")

    with monkeypatch.context() as patch:
        patch.setattr(ledger, "note", fail)
        with pytest.raises(SQLAlchemyError):
            outbox.publish(held, [result()], TO_PACS, NOW, outcome="analysed", reason=None)
    assert state_of(ledger) == ("analysing", 1)
    assert outbox.due("pacs", NOW) == []
    assert outbox.publish(held, [result()], TO_PACS, NOW, outcome="analysed", reason=None), "and it may try again"
    assert state_of(ledger) == ("answered", 1)


def test_deliveries_to_a_destination_that_left_the_settings_are_counted(ledger: Ledger, outbox: Outbox) -> None:
    held = claimed(ledger, received(1))
    profiles = {"pacs": plain_variants("cad_sr"), "removed": plain_variants("cad_sr")}
    assert outbox.publish(held, [result("cad_sr")], profiles, NOW, outcome="analysed", reason=None)
    assert outbox.pending_elsewhere(["pacs"]) == {"removed": 1}
    assert outbox.pending_elsewhere(["pacs", "removed"]) == {}


def test_killed_between_files_and_rows_nothing_is_published(ledger: Ledger, tmp_path: Path) -> None:
    def kill(step: str) -> None:
        assert step == "results_written"
        raise KeyboardInterrupt

    held = claimed(ledger)
    outbox = Outbox(ledger, tmp_path / "outbox", kill)
    with pytest.raises(KeyboardInterrupt):
        outbox.publish(held, [result()], TO_PACS, NOW, outcome="analysed", reason=None)
    (orphan,) = files_below(tmp_path / "outbox")
    assert not outbox.is_published(orphan)
    assert outbox.due("pacs", NOW) == []


def test_what_was_finished_is_written_down(ledger: Ledger, outbox: Outbox) -> None:
    held = claimed(ledger)
    detail = {"models_s": 1.5, "not_analysed": {"implant": 2}}
    outbox.publish(held, [result()], TO_PACS, NOW + 9, outcome="not_analysed", reason="implant", detail=detail)
    event = ledger.history(STUDY)[-1]
    assert (event.kind, event.at) == ("finished", NOW + 9)
    assert event.detail == {"results": 1, "outcome": "not_analysed", "reason": "implant", "revision": 1, **detail}
    row = ledger.study(STUDY)
    assert row is not None
    assert (row["outcome"], row["reason"]) == ("not_analysed", "implant")


def test_set_aside_with_an_answer_is_quarantined_and_delivered(ledger: Ledger, outbox: Outbox) -> None:
    held = claimed(ledger)
    outbox.publish(held, [result()], TO_PACS, NOW, outcome="failed", reason="set aside", quarantine=True)
    assert state_of(ledger) == ("quarantined", 1)
    assert len(outbox.due("pacs", NOW)) == 1
    assert kinds(ledger)[-2:] == ["finished", "quarantined"]


def test_own_results_are_known_when_they_come_back(ledger: Ledger, outbox: Outbox) -> None:
    publish(ledger, outbox)
    item = only_item(outbox)
    assert outbox.is_result(item.sop_instance_uid)
    assert not outbox.is_result(f"{STUDY}.1")
    assert outbox.is_published(Path(item.path))
    assert not outbox.is_published(Path(item.path).with_name("1.2.3.abcdefgh.dcm"))


# -- delivering --------------------------------------------------------------------------------------------------------


def test_the_oldest_is_due_first_and_no_more_than_asked_for(ledger: Ledger, outbox: Outbox) -> None:
    for number in (3, 1, 2):
        study = f"1.2.{number}"
        held = claimed(ledger, received(1, study))
        outbox.publish(held, [result(study=study)], TO_PACS, NOW + number, outcome="analysed", reason=None)
    assert [item.study_instance_uid for item in outbox.due("pacs", NOW + 9)] == ["1.2.1", "1.2.2", "1.2.3"]
    assert [item.study_instance_uid for item in outbox.due("pacs", NOW + 9, limit=2)] == ["1.2.1", "1.2.2"]
    assert [item.study_instance_uid for item in outbox.due("pacs", NOW + 1)] == ["1.2.1"]
    assert outbox.next_due_at("pacs") == NOW + 1


def test_postponed_is_due_later_and_counted(ledger: Ledger, outbox: Outbox) -> None:
    publish(ledger, outbox)
    outbox.postpone(only_item(outbox), "pacs", NOW, next_attempt_at=NOW + 5, status=0xA700, comment="full")
    assert outbox.due("pacs", NOW + 4.9) == []
    assert outbox.next_due_at("pacs") == NOW + 5
    item = only_item(outbox, now=NOW + 5)
    assert item.attempts == 1
    outbox.postpone(item, "pacs", NOW + 5, next_attempt_at=NOW + 15, status=None)
    row = delivery(outbox)
    assert (row["state"], row["attempts"], row["status"], row["comment"]) == ("pending", 2, None, None)
    first, second = [event for event in ledger.history(STUDY) if event.kind == "delivery_retry"]
    assert first.detail == {"destination": "pacs", "attempt": 1, "status": "0xA700", "comment": "full"}
    assert second.detail == {"destination": "pacs", "attempt": 2}


@pytest.mark.parametrize(
    ("state", "status", "comment"),
    [("sent", 0x0000, ""), ("sent", 0xB000, "coerced"), ("refused", 0xC000, "no such patient"), ("expired", None, "")],
)
def test_settled_is_never_due_again(
    ledger: Ledger, outbox: Outbox, state: str, status: int | None, comment: str
) -> None:
    publish(ledger, outbox)
    outbox.settle(only_item(outbox), "pacs", NOW + 1, state=state, status=status, comment=comment)
    assert outbox.due("pacs", NOW + 1e9) == []
    assert outbox.next_due_at("pacs") is None
    row = delivery(outbox)
    assert (row["state"], row["status"], row["comment"]) == (state, status, comment or None)
    assert row["sent_at"] == (NOW + 1 if state == "sent" else None)
    assert kinds(ledger)[-1] == state


def test_one_destination_says_nothing_about_another(ledger: Ledger, outbox: Outbox) -> None:
    publish(ledger, outbox, profiles={"pacs": EVERYTHING, "viewer": EVERYTHING})
    outbox.settle(only_item(outbox, "pacs"), "pacs", NOW, state="refused", status=0xA900)
    assert delivery(outbox, "viewer")["state"] == "pending"
    assert len(outbox.due("viewer", NOW)) == 1


def test_send_again_brings_back_what_was_refused_or_given_up_and_nothing_else(ledger: Ledger, outbox: Outbox) -> None:
    publish(ledger, outbox, profiles=dict.fromkeys(("a", "b", "c", "d"), EVERYTHING))
    for name, state in (("a", "refused"), ("b", "expired"), ("c", "sent")):
        outbox.settle(only_item(outbox, name), name, NOW, state=state, status=None)
    later = NOW + 1e6
    assert outbox.send_again(STUDY, later) == 2
    states = {row["destination"]: (row["state"], row["attempts"]) for row in outbox.deliveries(STUDY)}
    assert states == {"a": ("pending", 0), "b": ("pending", 0), "c": ("sent", 0), "d": ("pending", 0)}
    assert only_item(outbox, "a", later).created_at == later, "its time to give up starts anew"
    assert outbox.due("c", later) == []
    assert outbox.send_again("1.2.3", later) == 0
    assert kinds(ledger)[-1] == "deliveries_retried"


def test_send_everything_again_takes_what_was_sent_too_but_not_what_has_no_file_any_more(
    ledger: Ledger, outbox: Outbox
) -> None:
    publish(ledger, outbox, profiles=dict.fromkeys(("a", "b"), EVERYTHING))
    for name in ("a", "b"):
        outbox.settle(only_item(outbox, name), name, NOW, state="sent", status=0, commit=True)
    assert delivery(outbox, "a")["commitment"] == "due"
    assert outbox.send_again(STUDY, NOW) == 0
    assert outbox.send_again(STUDY, NOW, everything=True) == 2
    assert (delivery(outbox, "a")["state"], delivery(outbox, "a")["commitment"]) == ("pending", None)
    with ledger.engine.begin() as connection:
        connection.execute(text("UPDATE result SET discarded_at = 1"))
    assert outbox.send_again(STUDY, NOW, everything=True) == 0


def test_only_what_was_sent_is_to_be_committed_to(ledger: Ledger, outbox: Outbox) -> None:
    publish(ledger, outbox)
    outbox.settle(only_item(outbox), "pacs", NOW, state="refused", status=0xA900, commit=True)
    assert delivery(outbox)["commitment"] is None


def test_a_new_revision_is_delivered_beside_the_old_one(ledger: Ledger, outbox: Outbox) -> None:
    publish(ledger, outbox, result(number=1))
    outbox.settle(only_item(outbox), "pacs", NOW, state="sent", status=0)
    assert ledger.retry(STUDY, NOW, republish_at=NOW)
    held = ledger.claim(STUDY, "worker-2", NOW, LEASE_S)
    assert held is not None
    outbox.publish(held, [result(number=2)], TO_PACS, NOW, outcome="analysed", reason=None)
    assert [(row["revision"], row["state"]) for row in outbox.deliveries(STUDY)] == [(1, "sent"), (2, "pending")]


def test_what_a_peer_says_is_kept_whatever_it_says(ledger: Ledger, outbox: Outbox) -> None:
    publish(ledger, outbox)
    words = "Müller's PACS: 100 % full; DROP TABLE study; \u2026"
    outbox.settle(only_item(outbox), "pacs", NOW, state="refused", status=0xC001, comment="ours", said=words)
    assert delivery(outbox)["comment"] == words
    assert ledger.history(STUDY)[-1].detail["comment"] == "ours", "what a peer says may name a patient"
