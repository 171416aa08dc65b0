"""Storage commitment: asked after delivery, answered on either association, sent again when it is not given."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from pydicom import Dataset
from pydicom.uid import DigitalMammographyXRayImageStorageForPresentation, MammographyCADSRStorage
from pynetdicom import AE, _config, build_context, build_role, dimse_messages
from pynetdicom.association import Association
from pynetdicom.dimse_primitives import C_STORE, N_EVENT_REPORT
from pynetdicom.sop_class import StorageCommitmentPushModel
from sqlalchemy import select, update
from sqlalchemy.exc import OperationalError

from node.check_peers import check_destinations
from node.commands_ledger import show_study, state_words
from node.commitment import MAX_FAILURES, Commitments
from node.commitment_pace import NOT_OFFERED_FIRST_S, NOT_OFFERED_TIMES
from node.commitment_peers import CommitmentPeers
from node.commitment_report import CommitmentReport, MalformedReport, read_report
from node.delivery import Courier
from node.ledger import Ledger
from node.outbox import Fault, Outbox, no_fault
from node.schema import Delivery
from node.scp import Receiver
from node.settings import Settings
from node.spool import Spool
from sr_templates.contract import ResultKind, plain_variants
from tests.node.builders import NOW, STUDY, Clock, at_once, claimed, kinds, received, result, settings_in
from tests.peers.fake_commitment import WELL_KNOWN_INSTANCE, CommitmentAnswer
from tests.peers.fake_pacs import FakePacs, StoreAnswer
from tests.peers.processes import free_port, wait_until
from tests.peers.servers import Modality, orthanc

ALL: tuple[ResultKind, ...] = ("cad_sr", "heatmap", "measurement_sr")
HOUR_S = 3600.0
DAY_S = 24 * HOUR_S
MG = DigitalMammographyXRayImageStorageForPresentation
LATER = CommitmentAnswer(where="nowhere")


@pytest.fixture(autouse=True)
def _as_other_tests_found_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the receiver changes in pynetdicom is process-wide; other tests must not find it."""
    monkeypatch.setattr(_config, "STORE_RECV_CHUNKED_DATASET", False)
    for name in ("NamedTemporaryFile", "BytesIO"):
        monkeypatch.setattr(dimse_messages, name, getattr(dimse_messages, name))


@pytest.fixture(autouse=True)
def waits_s(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """How long the courier waits for a report on its own association: not at all, unless a test says otherwise."""
    set_to = partial(monkeypatch.setattr, "node.delivery.SAME_ASSOCIATION_WAIT_S")
    set_to(0.0)
    return set_to


@dataclass
class Story:
    """A node with one destination that is asked for commitment."""

    settings: Settings
    ledger: Ledger
    outbox: Outbox
    clock: Clock
    folder: Path

    @property
    def commitments(self) -> Commitments:
        return Commitments(self.ledger, self.settings.delivery)

    def courier(self, fault: Fault = no_fault) -> Courier:
        return Courier(self.settings.destination[0], self.settings, self.outbox, clock=self.clock, fault=fault)

    def publish(self, *wanted: ResultKind, study: str = STUDY, destination: str = "pacs") -> list[str]:
        made = [result(kind, study=study) for kind in wanted or ("cad_sr",)]
        held = claimed(self.ledger, received(1, study))
        profiles = {destination: plain_variants(*ALL)}
        assert self.outbox.publish(held, made, profiles, self.clock(), outcome="analysed", reason=None)
        return [item.sop_instance_uid for item in made]

    @property
    def rows(self) -> dict[str, tuple[str, str | None]]:
        return {row["sop_instance_uid"]: (row["state"], row["commitment"]) for row in self.outbox.deliveries(STUDY)}

    @property
    def row(self) -> tuple[str, str | None]:
        (only,) = self.rows.values()
        return only

    def column(self, name: str) -> Any:
        with self.ledger.reading() as connection:
            return connection.scalar(select(getattr(Delivery, name)))

    @contextmanager
    def receiving(self) -> Iterator[None]:
        spool = Spool(self.settings.spool_dir, 0)
        receiver = Receiver(
            settings=self.settings, spool=spool, ledger=self.ledger, outbox=self.outbox, clock=self.clock
        )
        with receiver.listening():
            yield


@pytest.fixture
def pacs() -> Iterator[FakePacs]:
    with FakePacs() as running:
        yield running


def story_of(
    folder: Path, ledger: Ledger, *ports: int, source: tuple[dict[str, Any], ...] = (), ae_title: str = "PACS"
) -> Story:
    destinations = [
        {
            "name": "pacs" if number == 0 else f"pacs{number}",
            "ae_title": ae_title if number == 0 else f"{ae_title}{number}",
            "host": "127.0.0.1",
            "port": port,
            "commitment": True,
        }
        for number, port in enumerate(ports)
    ]
    delivery = {"backoff_first_s": 5, "backoff_max_s": 900, "timeout_s": 30, "commitment_timeout_s": HOUR_S}
    settings = settings_in(
        folder, node={"port": free_port()}, destination=destinations, delivery=delivery, source=source
    )
    return Story(settings, ledger, Outbox(ledger, settings.outbox_dir), Clock(), folder)


@pytest.fixture
def story(pacs: FakePacs, ledger: Ledger, tmp_path: Path) -> Story:
    made = story_of(tmp_path, ledger, pacs.port)
    pacs.commitment.node = ("MAMMONODE", made.settings.node.port)
    return made


# -- asked, and answered -----------------------------------------------------------------------------------------------


def test_asked_once_for_all_that_was_delivered_and_answered_on_the_same_association(
    story: Story, pacs: FakePacs, waits_s: Callable[[float], None]
) -> None:
    waits_s(30)
    uids = story.publish(*ALL)
    assert story.courier().step() == 6, "three to deliver, three to ask for"
    assert story.rows == dict.fromkeys(uids, ("sent", "committed"))
    (request,) = pacs.commitment.requests
    assert set(request.references) == set(uids)
    assert request.references[uids[0]] == MammographyCADSRStorage
    assert (request.action_type, request.sop_instance_uid) == (1, WELL_KNOWN_INSTANCE)
    assert request.calling_ae_title == "MAMMONODE"
    assert pacs.commitment.statuses == [0x0000]
    assert kinds(story.ledger)[-9:] == ["sent"] * 3 + ["commitment_requested"] * 3 + ["committed"] * 3
    requested = [event for event in story.ledger.history(STUDY) if event.kind == "commitment_requested"]
    assert requested[0].detail == {"destination": "pacs", "transaction_uid": request.transaction_uid}
    assert story.courier().step() == 0


def test_a_destination_that_is_not_asked_gets_no_request(ledger: Ledger, pacs: FakePacs, tmp_path: Path) -> None:
    destination = {"name": "pacs", "ae_title": "PACS", "host": "127.0.0.1", "port": pacs.port}
    settings = settings_in(tmp_path, destination=[destination])
    story = Story(settings, ledger, Outbox(ledger, settings.outbox_dir), Clock(), tmp_path)
    story.publish()
    story.courier().step()
    assert story.row == ("sent", None)
    assert pacs.commitment.requests == []


def test_the_transaction_is_written_down_before_the_request_goes_out(story: Story, pacs: FakePacs) -> None:
    seen: list[tuple[tuple[str, str | None], int]] = []

    def look(step: str) -> None:
        if step == "commitment_requested":
            seen.append((story.row, len(pacs.commitment.requests)))

    pacs.commitment.answer = LATER
    story.publish()
    story.courier(look).step()
    assert seen == [(("sent", "requested"), 0)]
    assert story.column("commitment_due_at") == NOW + HOUR_S
    assert story.column("transaction_uid") == pacs.commitment.requests[0].transaction_uid


def test_killed_before_the_request_went_out_it_is_asked_for_again(story: Story, pacs: FakePacs) -> None:
    def kill(step: str) -> None:
        if step == "commitment_requested":
            raise KeyboardInterrupt

    story.publish()
    with pytest.raises(KeyboardInterrupt):
        story.courier(kill).step()
    story.clock.advance(HOUR_S)
    pacs.commitment.answer = LATER
    story.courier().step()
    assert len(pacs.commitment.requests) == 1
    assert story.row == ("sent", "requested")
    assert pacs.store_counts.total() == 1


@pytest.mark.parametrize("proposes_role", [True, False])
def test_answered_on_a_new_association_by_a_peer_that_is_no_source(
    pacs: FakePacs, ledger: Ledger, tmp_path: Path, proposes_role: bool
) -> None:
    story = story_of(tmp_path, ledger, pacs.port, source=({"ae_title": "UNIT1", "host": "10.0.0.1"},))
    pacs.commitment.node = ("MAMMONODE", story.settings.node.port)
    pacs.commitment.answer = LATER
    story.publish()
    with story.receiving():
        story.courier().step()
        assert story.row == ("sent", "requested")
        (request,) = pacs.commitment.requests
        assert pacs.commitment.report(request, proposes_role=proposes_role) == [0x0000]
    assert story.row == ("sent", "committed")
    assert kinds(ledger)[-1] == "committed"


def test_an_answer_that_comes_of_itself_on_a_new_association(story: Story, pacs: FakePacs) -> None:
    pacs.commitment.answer = CommitmentAnswer(where="new")
    story.publish(*ALL)
    with story.receiving():
        story.courier().step()
        assert pacs.commitment.wait_for_reports(1) == [0x0000]
    assert set(story.rows.values()) == {("sent", "committed")}


def test_a_second_copy_of_an_answer_is_acknowledged_and_changes_nothing(story: Story, pacs: FakePacs) -> None:
    pacs.commitment.answer = LATER
    lost, kept = story.publish("cad_sr", "heatmap")
    pacs.commitment.answer = CommitmentAnswer(where="nowhere", lost=frozenset({lost}))
    with story.receiving():
        story.courier().step()
        (request,) = pacs.commitment.requests
        assert pacs.commitment.report(request) == [0x0000]
        before, history = story.outbox.deliveries(STUDY), kinds(story.ledger)
        assert pacs.commitment.report(request) == [0x0000]
        everything_is_well = CommitmentAnswer()
        assert pacs.commitment.report(request, everything_is_well) == [0x0000], "nor does one that says otherwise"
    assert story.outbox.deliveries(STUDY) == before
    assert kinds(story.ledger) == history
    assert story.rows == {lost: ("pending", None), kept: ("sent", "committed")}


def test_copies_of_an_answer_at_the_same_moment_count_once(story: Story, pacs: FakePacs) -> None:
    pacs.commitment.answer = LATER
    uids = story.publish(*ALL)
    story.courier().step()
    transaction_uid = pacs.commitment.requests[0].transaction_uid
    report = CommitmentReport(transaction_uid=transaction_uid, committed=frozenset(uids[:2]), failed={uids[2]: 0x0110})
    calls = [partial(story.commitments.report, report, ("pacs",), NOW) for _ in range(6)]
    assert at_once(calls) == [True] * 6
    assert kinds(story.ledger).count("committed") == 2
    assert kinds(story.ledger).count("commitment_failed") == 1
    assert story.column("attempts") in (0, 1)
    assert sorted(row["attempts"] for row in story.outbox.deliveries(STUDY)) == [0, 0, 1]


def test_no_more_instances_in_one_request_than_the_limit(story: Story, pacs: FakePacs) -> None:
    pacs.commitment.answer = LATER
    story.publish(*ALL)
    with_two = story.settings.model_copy(update={"destination": ()})
    plain = story.settings.destination[0].model_copy(update={"commitment": False})
    Courier(plain, with_two, story.outbox, clock=story.clock).step()
    assert story.commitments.due("pacs", NOW) == [], "nobody asked for commitment then"
    story.outbox.send_again(STUDY, NOW, everything=True)
    story.clock.advance(1)
    for item in story.outbox.due("pacs", NOW + 1):
        story.outbox.settle(item, "pacs", NOW + 1, state="sent", status=0, commit=True)
    assert len(story.commitments.due("pacs", NOW + 1, limit=2)) == 2
    assert len(story.commitments.due("pacs", NOW + 1)) == 3


# -- not committed: sent again -----------------------------------------------------------------------------------------


def test_what_the_pacs_has_lost_is_sent_again_and_then_committed(
    story: Story, pacs: FakePacs, waits_s: Callable[[float], None]
) -> None:
    waits_s(30)
    lost, kept = story.publish("cad_sr", "heatmap")
    pacs.commitment.answer = CommitmentAnswer(lost=frozenset({lost}))
    courier = story.courier()
    courier.step()
    assert story.rows == {lost: ("pending", None), kept: ("sent", "committed")}
    (row,) = [row for row in story.outbox.deliveries(STUDY) if row["sop_instance_uid"] == lost]
    assert (row["attempts"], row["next_attempt_at"]) == (1, NOW + 5)
    assert row["commitment_comment"] == "no such object instance (0x0112)"
    (failed,) = [event for event in story.ledger.history(STUDY) if event.kind == "commitment_failed"]
    assert failed.detail == {"destination": "pacs", "why": "no such object instance (0x0112)"}
    pacs.commitment.answer = CommitmentAnswer()
    story.clock.advance(4.9)
    assert courier.step() == 0
    story.clock.advance(0.1)
    courier.step()
    assert story.rows == dict.fromkeys([lost, kept], ("sent", "committed"))
    assert [row["commitment_comment"] for row in story.outbox.deliveries(STUDY)] == [None, None]
    assert pacs.store_counts == {lost: 2, kept: 1}
    first, second = pacs.commitment.requests
    assert first.transaction_uid != second.transaction_uid
    assert set(second.references) == {lost}


def test_an_instance_of_which_the_answer_says_nothing_has_failed(
    story: Story, pacs: FakePacs, waits_s: Callable[[float], None]
) -> None:
    waits_s(30)
    silent, kept = story.publish("cad_sr", "heatmap")
    pacs.commitment.answer = CommitmentAnswer(left_out=frozenset({silent}))
    story.courier().step()
    assert story.rows == {silent: ("pending", None), kept: ("sent", "committed")}
    assert "not mentioned in the answer" in [row["commitment_comment"] for row in story.outbox.deliveries(STUDY)]


def test_without_an_answer_in_time_it_is_asked_for_again_and_not_sent_again(story: Story, pacs: FakePacs) -> None:
    pacs.commitment.answer = LATER
    story.publish()
    courier = story.courier()
    courier.step()
    story.clock.advance(HOUR_S - 1)
    assert courier.step() == 0
    story.clock.advance(1)
    courier.step()
    assert story.row == ("sent", "requested")
    assert story.column("commitment_due_at") == story.clock() + 2 * HOUR_S, "twice as long"
    assert story.column("attempts") == 0
    assert pacs.store_counts.total() == 1
    first, second = pacs.commitment.requests
    assert first.transaction_uid != second.transaction_uid
    assert "commitment_timeout" in kinds(story.ledger)


def test_a_destination_that_answers_after_ninety_minutes_gets_one_copy_and_is_understood(
    story: Story, pacs: FakePacs
) -> None:
    pacs.commitment.answer = LATER
    story.publish()
    courier = story.courier()
    for _ in range(9):
        courier.step()
        story.clock.advance(HOUR_S / 6)
    first, second = pacs.commitment.requests
    with story.receiving():
        assert pacs.commitment.report(first) == [0x0000]
        assert story.row == ("sent", "committed")
        assert pacs.commitment.report(second) == [0x0000]
    story.clock.advance(7 * DAY_S)
    assert courier.step() == 0
    assert story.row == ("sent", "committed")
    assert kinds(story.ledger).count("committed") == 1
    assert pacs.store_counts.total() == 1


def test_a_late_success_counts_while_it_waits_to_be_asked_for_again(story: Story, pacs: FakePacs) -> None:
    pacs.commitment.answer = LATER
    (uid,) = story.publish()
    courier = story.courier()
    courier.step()
    story.clock.advance(HOUR_S)
    pacs.commitment.answer = CommitmentAnswer(status=0x0110)
    courier.step()
    assert story.row == ("sent", "due")
    report = success(pacs.commitment.requests[0].transaction_uid, uid)
    assert story.commitments.report(report, ("pacs",), story.clock())
    assert story.row == ("sent", "committed")


def test_a_success_that_comes_while_it_is_sent_once_more_has_the_last_word(story: Story, pacs: FakePacs) -> None:
    pacs.commitment.answer = LATER
    (uid,) = story.publish()
    story.courier().step()
    with story.ledger.engine.begin() as connection:  # as a ledger of the schema before may be left
        change = {"state": "pending", "commitment": None, "commitment_due_at": None, "next_attempt_at": NOW}
        connection.execute(update(Delivery).values(**change))
    (item,) = story.outbox.due("pacs", NOW)
    assert story.commitments.report(success(pacs.commitment.requests[0].transaction_uid, uid), ("pacs",), NOW)
    assert story.outbox.due("pacs", NOW + DAY_S) == []
    story.outbox.settle(item, "pacs", NOW, state="refused", status=0xA900)
    story.outbox.postpone(item, "pacs", NOW, next_attempt_at=NOW, status=None)
    assert story.row == ("sent", "committed")
    assert kinds(story.ledger)[-1] == "committed"


def test_asked_for_in_vain_for_a_week_it_is_delivered_and_a_person_is_needed(story: Story, pacs: FakePacs) -> None:
    pacs.commitment.answer = LATER
    (uid,) = story.publish()
    courier = story.courier()
    while story.row != ("sent", "unanswered"):
        courier.step()
        story.clock.advance(HOUR_S)
        assert story.clock() < NOW + 10 * DAY_S
    assert story.clock() > NOW + 7 * DAY_S
    assert len(pacs.commitment.requests) == 11, "after 0, 1, 3, 7, 15, 31 hours, then once a day"
    assert story.column("commitment_comment") == "no answer in time"
    assert story.column("comment") is None
    assert kinds(story.ledger)[-1] == "commitment_unanswered"
    assert courier.step() == 0
    assert pacs.store_counts.total() == 1
    first = pacs.commitment.requests[0].transaction_uid
    assert story.commitments.report(success(first, uid), ("pacs",), story.clock()), "better late than never"
    assert story.row == ("sent", "committed")


def test_a_person_sends_what_was_not_answered_for_once_more_and_old_answers_count_no_more(
    story: Story, pacs: FakePacs
) -> None:
    pacs.commitment.answer = LATER
    (uid,) = story.publish()
    courier = story.courier()
    courier.step()
    story.clock.advance(8 * DAY_S)
    courier.step()
    assert story.row == ("sent", "unanswered")
    assert story.outbox.send_again(STUDY, story.clock()) == 1
    assert story.row == ("pending", None)
    old = success(pacs.commitment.requests[0].transaction_uid, uid)
    assert not story.commitments.report(old, ("pacs",), story.clock())
    courier.step()
    assert story.row == ("sent", "requested")
    assert pacs.store_counts.total() == 2


# -- which answer counts -----------------------------------------------------------------------------------------------


def success(transaction_uid: str, *uids: str) -> CommitmentReport:
    return CommitmentReport(transaction_uid=transaction_uid, committed=frozenset(uids), failed={})


def failure(transaction_uid: str, uid: str, reason: int = 0x0112) -> CommitmentReport:
    return CommitmentReport(transaction_uid=transaction_uid, committed=frozenset(), failed={uid: reason})


def asked_twice(story: Story, pacs: FakePacs) -> tuple[str, str, str]:
    """A result for which no answer came in time: its UID, and the transaction UIDs of both requests."""
    pacs.commitment.answer = LATER
    (uid,) = story.publish()
    courier = story.courier()
    courier.step()
    story.clock.advance(HOUR_S)
    courier.step()
    first, second = (request.transaction_uid for request in pacs.commitment.requests)
    return uid, first, second


def test_a_failure_counts_for_the_last_request_only(story: Story, pacs: FakePacs) -> None:
    uid, first, second = asked_twice(story, pacs)
    assert story.commitments.report(failure(first, uid), ("pacs",), story.clock())
    assert story.row == ("sent", "requested")
    assert story.commitments.report(success(first, uid), ("pacs",), story.clock())
    assert story.row == ("sent", "requested"), "a request is answered once"
    assert story.commitments.report(failure(second, uid), ("pacs",), story.clock())
    assert story.row == ("pending", None)


def test_a_success_from_before_a_failure_does_not_hide_it(story: Story, pacs: FakePacs) -> None:
    uid, first, second = asked_twice(story, pacs)
    assert story.commitments.report(failure(second, uid), ("pacs",), story.clock())
    assert story.commitments.report(success(first, uid), ("pacs",), story.clock())
    assert story.row == ("pending", None)


def test_a_reason_that_nothing_changes_counts_for_every_request(story: Story, pacs: FakePacs) -> None:
    uid, first, second = asked_twice(story, pacs)
    assert story.commitments.report(failure(first, uid, 0x0122), ("pacs",), story.clock())
    assert story.row == ("sent", "refused")
    assert story.commitments.report(success(second, uid), ("pacs",), story.clock())
    assert story.row == ("sent", "refused")


# -- refused for good --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("reason", "words"),
    [(0x0122, "SOP class not supported (0x0122)"), (0x0119, "class or instance conflict (0x0119)")],
)
def test_what_will_never_be_committed_to_is_not_sent_again(
    story: Story, pacs: FakePacs, reason: int, words: str
) -> None:
    pacs.commitment.answer = LATER
    (uid,) = story.publish()
    courier = story.courier()
    courier.step()
    assert story.commitments.report(failure(story.column("transaction_uid"), uid, reason), ("pacs",), NOW)
    assert story.row == ("sent", "refused")
    story.clock.advance(30 * DAY_S)
    assert courier.step() == 0
    assert story.column("commitment_comment") == words
    assert kinds(story.ledger)[-1] == "commitment_refused"
    assert pacs.store_counts.total() == 1
    assert story.outbox.send_again(STUDY, story.clock()) == 1, "a person has mended the destination"
    courier.step()
    assert story.row == ("sent", "requested")
    assert story.column("commitment_comment") is None


def fail_until_refused(story: Story, pacs: FakePacs, courier: Courier, uid: str, reason: int) -> int:
    """Answer every request with `reason`; return how many there were."""
    pacs.commitment.answer = LATER
    while True:
        courier.step()
        requests = len(pacs.commitment.requests)
        assert requests < 100
        assert story.commitments.report(failure(story.column("transaction_uid"), uid, reason), ("pacs",), story.clock())
        if story.row == ("sent", "refused"):
            return requests
        story.clock.advance((story.column("next_attempt_at") or story.column("commitment_due_at")) - story.clock())


def test_a_destination_that_never_keeps_it_gets_it_some_times_over_a_day_and_its_reason_is_kept(
    story: Story, pacs: FakePacs
) -> None:
    (uid,) = story.publish()
    assert fail_until_refused(story, pacs, story.courier(), uid, 0x0110) == MAX_FAILURES
    assert pacs.store_counts.total() == MAX_FAILURES
    assert 0.9 * DAY_S < story.clock() - NOW < 2 * DAY_S
    assert story.column("commitment_comment") == "processing failure (0x0110)"


def test_what_the_destination_says_it_has_already_is_not_sent_a_third_time(story: Story, pacs: FakePacs) -> None:
    (uid,) = story.publish()
    courier = story.courier()
    pacs.commitment.answer = LATER
    courier.step()
    pacs.answers_by_class[MammographyCADSRStorage] = StoreAnswer(status=0x0111)
    assert fail_until_refused(story, pacs, courier, uid, 0x0112) == MAX_FAILURES
    assert len(pacs.calls) == 2


@pytest.mark.parametrize("reason", [0x0111, 0x0131])
def test_a_reason_for_which_it_need_not_be_sent_again(story: Story, pacs: FakePacs, reason: int) -> None:
    (uid,) = story.publish()
    assert fail_until_refused(story, pacs, story.courier(), uid, reason) == MAX_FAILURES
    assert pacs.store_counts.total() == 1


def test_what_is_sent_again_after_a_failure_has_a_week_of_its_own_to_arrive(ledger: Ledger, tmp_path: Path) -> None:
    pacs = FakePacs()
    pacs.commitment.answer = LATER
    story = story_of(tmp_path, ledger, pacs.port)
    (uid,) = story.publish()
    story.clock.advance(6 * DAY_S)
    courier = story.courier()
    with pacs:
        courier.step()
    story.clock.advance(2 * DAY_S)
    assert story.commitments.report(failure(story.column("transaction_uid"), uid), ("pacs",), story.clock())
    story.clock.advance(HOUR_S)
    courier.step()
    assert story.row == ("pending", None), "the destination is away, and it is nine days old"


# -- the request itself fails ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "answer",
    [CommitmentAnswer(status=0x0110), CommitmentAnswer(status=0x0213), CommitmentAnswer(then="abort")],
    ids=["processing failure", "resource limitation", "abort"],
)
def test_a_request_that_may_go_through_later_is_made_again_and_nothing_is_sent_twice(
    story: Story, pacs: FakePacs, answer: CommitmentAnswer
) -> None:
    pacs.commitment.answer = answer
    story.publish()
    courier = story.courier()
    courier.step()
    assert story.row == ("sent", "due")
    assert story.column("commitment_due_at") == NOW + 5
    story.clock.advance(4.9)
    assert courier.step() == 0
    story.clock.advance(0.1)
    courier.step()
    assert story.column("commitment_due_at") == NOW + 15, "then twice as long"
    story.clock.advance(10)
    pacs.commitment.answer = LATER
    courier.step()
    assert story.row == ("sent", "requested")
    assert kinds(story.ledger).count("commitment_postponed") == 2
    assert pacs.store_counts.total() == 1
    assert len({request.transaction_uid for request in pacs.commitment.requests}) == 3


def test_refused_for_a_week_the_result_is_delivered_and_a_person_is_needed(story: Story, pacs: FakePacs) -> None:
    pacs.commitment.answer = CommitmentAnswer(status=0x0110)
    story.publish()
    courier = story.courier()
    courier.step()
    story.clock.advance(7 * DAY_S)
    courier.step()
    assert story.row == ("sent", "due"), "it is not older than that yet"
    story.clock.advance(DAY_S)
    courier.step()
    assert story.row == ("sent", "unanswered")
    assert story.column("commitment_comment") == "storage commitment refused with 0x0110"
    assert courier.step() == 0


def test_a_result_that_arrived_late_is_not_given_up_with_the_first_request_that_fails(
    story: Story, pacs: FakePacs
) -> None:
    pacs.commitment.answer = CommitmentAnswer(status=0x0110)
    story.publish()
    story.clock.advance(8 * DAY_S)
    story.courier().step()
    assert story.row == ("sent", "due")


def test_after_a_refusal_half_as_many_are_asked_for_until_one_is_alone(story: Story, pacs: FakePacs) -> None:
    pacs.commitment.answer = CommitmentAnswer(status=0x0110)
    story.publish(*ALL)
    courier = story.courier()
    for wait_s in (5, 10):
        courier.step()
        assert courier.step() == 0, "nothing is asked for until it has waited"
        story.clock.advance(wait_s)
    pacs.commitment.answer = LATER
    courier.step()
    story.clock.advance(5)
    courier.step()
    assert [len(request.references) for request in pacs.commitment.requests] == [3, 1, 2, 1]
    assert set(story.rows.values()) == {("sent", "requested")}
    assert pacs.store_counts.total() == 3


@pytest.mark.parametrize("status", [0x0112, 0x0118, 0x0119, 0x0122, 0x0123, 0x0211])
def test_a_service_that_is_started_anew_is_asked_again_and_nothing_is_lost(
    story: Story, pacs: FakePacs, status: int
) -> None:
    pacs.commitment.answer = CommitmentAnswer(status=status)
    story.publish()
    courier = story.courier()
    courier.step()
    assert story.row == ("sent", "due")
    story.clock.advance(NOT_OFFERED_FIRST_S - 1)
    assert courier.step() == 0
    pacs.commitment.answer = LATER
    story.clock.advance(1)
    courier.step()
    assert story.row == ("sent", "requested")


def ask_until(story: Story, courier: Courier, commitment: str) -> None:
    while story.row != ("sent", commitment):
        courier.step()
        story.clock.advance(HOUR_S / 12)
        assert story.clock() < NOW + 3 * DAY_S


def test_a_destination_that_knows_no_storage_commitment_is_asked_for_a_day_and_not_again(
    story: Story, pacs: FakePacs
) -> None:
    pacs.commitment.answer = CommitmentAnswer(status=0x0122)
    story.publish()
    courier = story.courier()
    ask_until(story, courier, "unavailable")
    assert story.clock() > NOW + DAY_S
    assert len(pacs.commitment.requests) == NOT_OFFERED_TIMES
    assert kinds(story.ledger)[-1] == "commitment_unavailable"
    assert story.column("commitment_comment") == "storage commitment refused with 0x0122"
    story.clock.advance(30 * DAY_S)
    assert courier.step() == 0
    assert pacs.store_counts.total() == 1


def test_a_destination_that_accepts_neither_commitment_nor_echo_is_not_taken_for_one_that_is_away(
    ledger: Ledger, tmp_path: Path
) -> None:
    archive = AE(ae_title="PACS")
    archive.add_supported_context(MammographyCADSRStorage)
    server = archive.start_server(("127.0.0.1", 0), block=False, evt_handlers=[])
    assert server is not None
    story = story_of(tmp_path, ledger, server.server_address[1])
    story.publish()
    item = story.outbox.due("pacs", NOW)[0]
    story.outbox.settle(item, "pacs", NOW, state="sent", status=0, commit=True)
    try:
        ask_until(story, story.courier(), "unavailable")
    finally:
        server.shutdown()
    assert story.column("commitment_comment") == "the peer offers no storage commitment"


def test_a_destination_that_is_away_is_asked_when_it_is_back_and_gets_nothing_twice(
    ledger: Ledger, tmp_path: Path
) -> None:
    pacs = FakePacs()
    pacs.commitment.answer = CommitmentAnswer(status=0x0110)
    story = story_of(tmp_path, ledger, pacs.port)
    story.publish()
    courier = story.courier()
    with pacs:
        courier.step()
    story.clock.advance(5)
    courier.step()
    assert story.row == ("sent", "due")
    assert story.column("attempts") == 0
    pacs.commitment.answer = LATER
    story.clock.advance(10)
    with pacs:
        courier.step()
    assert story.row == ("sent", "requested")
    assert pacs.store_counts.total() == 1


def test_switched_off_what_was_asked_for_counts_as_delivered(story: Story, pacs: FakePacs) -> None:
    pacs.commitment.answer = LATER
    story.publish()
    story.courier().step()
    assert story.commitments.forget("pacs") == 1
    assert story.row == ("sent", None)
    story.clock.advance(DAY_S)
    assert story.courier().step() == 0


# -- who may report, and what ------------------------------------------------------------------------------------------


def test_an_unknown_transaction_changes_nothing(story: Story, pacs: FakePacs) -> None:
    pacs.commitment.answer = CommitmentAnswer(where="nowhere", transaction_uid="1.2.3.4")
    story.publish()
    with story.receiving():
        story.courier().step()
        assert pacs.commitment.report(pacs.commitment.requests[0]) == [0x0115]
    assert story.row == ("sent", "requested")


def test_only_the_destination_that_was_asked_may_answer(ledger: Ledger, pacs: FakePacs, tmp_path: Path) -> None:
    other = free_port()
    source = ({"ae_title": "UNIT1", "host": "127.0.0.1"},)
    story = story_of(tmp_path, ledger, pacs.port, other, source=source)
    pacs.commitment.node = ("MAMMONODE", story.settings.node.port)
    pacs.commitment.answer = LATER
    story.publish()
    with story.receiving():
        story.courier().step()
        (request,) = pacs.commitment.requests
        assert pacs.commitment.report(request, calling="PACS1") == [0x0115], "another destination"
        assert pacs.commitment.report(request, calling="UNIT1") == [None], "a source: no such context"
        assert pacs.commitment.report(request, calling="STRANGER") == [None], "nobody"
        assert story.row == ("sent", "requested")
        assert pacs.commitment.report(request) == [0x0000]


def test_the_right_title_from_the_wrong_address_is_not_heard(ledger: Ledger, pacs: FakePacs, tmp_path: Path) -> None:
    elsewhere = {"name": "pacs", "ae_title": "PACS", "host": "10.0.0.1", "port": 104, "commitment": True}
    settings = settings_in(tmp_path, node={"port": free_port()}, destination=[elsewhere])
    story = Story(settings, ledger, Outbox(ledger, settings.outbox_dir), Clock(), tmp_path)
    pacs.commitment.node = ("MAMMONODE", settings.node.port)
    pacs.commitment.answer = LATER
    story.publish()
    asking = story_of(tmp_path, ledger, pacs.port)
    asking.courier().step()
    with story.receiving():
        assert pacs.commitment.report(pacs.commitment.requests[0]) == [None]
    assert story.row == ("sent", "requested")


@pytest.mark.parametrize(
    ("reporter", "host"),
    [
        pytest.param({"commitment_ae_title": "PACS_SC"}, "127.0.0.1", id="another title"),
        pytest.param({"commitment_host": "127.0.0.0/8"}, "10.0.0.1", id="a network"),
        pytest.param({"commitment_ae_title": "PACS_SC", "commitment_host": "127.0.0.1"}, "10.0.0.1", id="both"),
    ],
)
def test_a_destination_may_report_as_somebody_else(
    ledger: Ledger, pacs: FakePacs, tmp_path: Path, reporter: dict[str, str], host: str
) -> None:
    story = story_of(tmp_path, ledger, pacs.port)
    pacs.commitment.node = ("MAMMONODE", story.settings.node.port)
    pacs.commitment.answer = LATER
    story.publish()
    story.courier().step()
    (request,) = pacs.commitment.requests
    known = {"name": "pacs", "ae_title": "PACS", "host": host, "port": pacs.port, "commitment": True}
    story.settings = settings_in(tmp_path, node={"port": story.settings.node.port}, destination=[known | reporter])
    with story.receiving():
        assert pacs.commitment.report(request, calling="STRANGER") == [None]
        assert pacs.commitment.report(request, calling=reporter.get("commitment_ae_title", "PACS")) == [0x0000]
    assert story.row == ("sent", "committed")


def test_a_destination_that_reports_under_another_title_does_not_do_so_under_its_own(
    ledger: Ledger, pacs: FakePacs, tmp_path: Path
) -> None:
    known = {"name": "pacs", "ae_title": "PACS", "host": "127.0.0.1", "port": pacs.port, "commitment": True}
    source = {"ae_title": "UNIT1", "host": "10.0.0.1"}
    settings = settings_in(tmp_path, destination=[known | {"commitment_ae_title": "PACS_SC"}], source=[source])
    peers = CommitmentPeers(settings, ledger)
    assert peers.names("PACS_SC", "127.0.0.1") == ["pacs"]
    assert peers.names("PACS", "127.0.0.1") == []


def event(uid: str | None = "", *sequences: tuple[str, list[dict[str, Any]]]) -> Dataset:
    dataset = Dataset()
    if uid is not None:
        dataset.TransactionUID = uid
    for keyword, items in sequences:
        references = []
        for values in items:
            references.append(Dataset())
            for name, value in values.items():
                setattr(references[-1], name, value)
        setattr(dataset, keyword, references)
    return dataset


KEPT = "ReferencedSOPSequence"
LOST = "FailedSOPSequence"


@pytest.mark.parametrize(
    ("event_type", "information", "status"),
    [
        pytest.param(3, event("1.2", (KEPT, [{"ReferencedSOPInstanceUID": "1"}])), 0x0113, id="unknown event type"),
        pytest.param(None, event("1.2", (KEPT, [{"ReferencedSOPInstanceUID": "1"}])), 0x0113, id="no event type"),
        pytest.param(1, Dataset(), 0x0115, id="nothing"),
        pytest.param(1, event(None, (KEPT, [{"ReferencedSOPInstanceUID": "1"}])), 0x0115, id="no transaction"),
        pytest.param(1, event("", (KEPT, [{"ReferencedSOPInstanceUID": "1"}])), 0x0115, id="empty transaction"),
        pytest.param(1, event("1.2"), 0x0115, id="no instance"),
        pytest.param(2, event("1.2", (KEPT, []), (LOST, [])), 0x0115, id="empty sequences"),
        pytest.param(1, event("1.2", (KEPT, [{}])), 0x0115, id="an item without an instance"),
        pytest.param(2, event("1.2", (LOST, [{"FailureReason": 1}])), 0x0115, id="a failed item without an instance"),
    ],
)
def test_a_report_that_says_nothing_clear_is_refused_as_a_whole(
    event_type: int | None, information: Dataset, status: int
) -> None:
    with pytest.raises(MalformedReport) as refused:
        read_report(event_type, information)
    assert refused.value.status == status


def test_what_is_in_both_sequences_has_failed_and_a_reason_may_be_missing() -> None:
    information = event(
        "1.2",
        (KEPT, [{"ReferencedSOPInstanceUID": "1.1"}, {"ReferencedSOPInstanceUID": "1.2"}]),
        (LOST, [{"ReferencedSOPInstanceUID": "1.2"}]),
    )
    report = read_report(2, information)
    assert report == CommitmentReport(transaction_uid="1.2", committed=frozenset({"1.1"}), failed={"1.2": 0x0110})


@contextmanager
def associated(story: Story, calling: str, sop_class: str) -> Iterator[Association]:
    ae = AE(ae_title=calling)
    ae.acse_timeout = ae.dimse_timeout = ae.network_timeout = 30
    roles = [build_role(StorageCommitmentPushModel, scp_role=True)]
    association = ae.associate(
        "127.0.0.1", story.settings.node.port, [build_context(sop_class)], "MAMMONODE", ext_neg=roles
    )
    try:
        yield association
    finally:
        association.release()


def ask(association: Association, request: N_EVENT_REPORT | C_STORE) -> int:
    """Send a message over the first accepted context, whatever that is for; return the status."""
    association._reactor_checkpoint.clear()
    wait_until(lambda: association._is_paused, what="pynetdicom to let us speak")
    association.dimse.send_msg(request, association.accepted_contexts[0].context_id or 0)
    _, response = association.dimse.get_msg(block=True)
    association._reactor_checkpoint.set()
    assert response is not None
    assert response.Status is not None
    return int(response.Status)


def event_request(information: bytes | None, event_type: int = 1) -> N_EVENT_REPORT:
    request = N_EVENT_REPORT()
    request.MessageID = 1
    request.AffectedSOPClassUID = StorageCommitmentPushModel
    request.AffectedSOPInstanceUID = WELL_KNOWN_INSTANCE
    request.EventTypeID = event_type
    if information is not None:
        request.EventInformation = BytesIO(information)
    return request


@pytest.mark.parametrize(
    "information",
    [
        pytest.param(None, id="none"),
        pytest.param(b"no data set at all, not even nearly", id="text"),
        pytest.param(b"\xff" * 200, id="ones"),
        pytest.param(bytes(200), id="zeros"),
        pytest.param(b"\x08\x00\x95\x11\x08\x00\x00\x001.2\x003.4\0", id="a NUL in the transaction"),
        pytest.param(b"\x08\x00\x95\x11\x04\x00\x00\x001.2\0\x08\x00\x99\x11\x40\x00\x00\x00abc", id="breaks off"),
    ],
)
def test_bytes_that_are_no_report_are_refused_and_the_association_goes_on(story: Story, information: bytes) -> None:
    with story.receiving(), associated(story, "PACS", StorageCommitmentPushModel) as association:
        for _ in range(2):
            assert ask(association, event_request(information)) == 0x0115
        assert association.is_established


def test_an_event_over_a_context_for_something_else_is_refused(story: Story) -> None:
    with story.receiving(), associated(story, "ANYBODY", MG) as association:
        assert ask(association, event_request(None)) == 0x0122


def test_a_destination_that_is_no_source_cannot_store(pacs: FakePacs, ledger: Ledger, tmp_path: Path) -> None:
    story = story_of(tmp_path, ledger, pacs.port, source=({"ae_title": "UNIT1", "host": "10.0.0.1"},))
    request = C_STORE()
    request.MessageID, request.Priority = 1, 2
    request.AffectedSOPClassUID, request.AffectedSOPInstanceUID = MG, "1.2.3"
    request.DataSet = BytesIO(bytes(64))
    with story.receiving():
        with associated(story, "PACS", MG) as association:
            assert not association.is_established, "no context for images is accepted"
        with associated(story, "PACS", StorageCommitmentPushModel) as association:
            assert ask(association, request) == 0x0122
    assert ledger.studies() == []
    assert list(story.settings.spool_dir.rglob("*.dcm")) == []


def test_a_source_that_is_a_destination_too_may_do_both(pacs: FakePacs, ledger: Ledger, tmp_path: Path) -> None:
    story = story_of(tmp_path, ledger, pacs.port, source=({"ae_title": "PACS", "host": "127.0.0.1"},))
    with story.receiving():
        with associated(story, "PACS", MG) as association:
            assert association.is_established
        with associated(story, "PACS", StorageCommitmentPushModel) as association:
            assert association.is_established


def test_while_the_ledger_is_away_a_report_is_not_acknowledged(
    story: Story, pacs: FakePacs, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_arguments: object) -> None:
        raise OperationalError("UPDATE", {}, Exception("database is locked"))

    pacs.commitment.answer = LATER
    story.publish()
    with story.receiving():
        story.courier().step()
        (request,) = pacs.commitment.requests
        with monkeypatch.context() as patched:
            patched.setattr(Commitments, "report", fail)
            assert pacs.commitment.report(request) == [0x0110]
        assert pacs.commitment.report(request) == [0x0000]
    assert story.row == ("sent", "committed")


# -- told to people ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("state", "commitment", "words"),
    [
        ("sent", "committed", "delivered, committed"),
        ("sent", "requested", "delivered, commitment asked for"),
        ("sent", "due", "delivered, commitment due"),
        ("sent", "unavailable", "delivered, uncommitted"),
        ("sent", "refused", "delivered, commitment refused"),
        ("sent", "unanswered", "delivered, commitment unanswered"),
        ("sent", None, "delivered, uncommitted"),
        ("pending", None, "pending"),
        ("expired", None, "expired"),
    ],
)
def test_where_a_delivery_stands_in_words(state: str, commitment: str | None, words: str) -> None:
    assert state_words(state, commitment) == words


def test_the_ledger_command_shows_the_words_and_the_json(
    sqlite_ledger: Ledger, pacs: FakePacs, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pacs.commitment.answer = LATER
    story = story_of(tmp_path, sqlite_ledger, pacs.port)
    story.publish()
    story.courier().step()
    show_study(story.settings, STUDY, as_json=False)
    assert "delivered, commitment asked for" in capsys.readouterr().out
    show_study(story.settings, STUDY, as_json=True)
    (row,) = json.loads(capsys.readouterr().out)["deliveries"]
    assert (row["state"], row["commitment"]) == ("sent", "requested")


@pytest.mark.parametrize("is_offered", [True, False])
def test_check_tells_whether_a_destination_commits(tmp_path: Path, is_offered: bool) -> None:
    pacs = FakePacs()
    pacs.commitment.is_offered = is_offered
    destination = {"name": "pacs", "ae_title": "PACS", "host": "127.0.0.1", "port": pacs.port, "commitment": True}
    with pacs:
        found, _ = check_destinations(settings_in(tmp_path, destination=[destination]), timeout_s=10)
    assert found.level == ("ok" if is_offered else "warning")
    assert ("commits to what it stores" if is_offered else "offers no storage commitment") in found.text


def test_check_says_that_nobody_reaches_a_node_that_listens_for_itself(tmp_path: Path) -> None:
    destination = {"name": "pacs", "ae_title": "PACS", "host": "host.invalid", "port": 104, "commitment": True}
    _, found, _ = check_destinations(settings_in(tmp_path, destination=[destination]), timeout_s=1)
    assert (found.level, found.subject) == ("warning", "node.host")


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        ({}, "PACS at 127.0.0.1"),
        ({"commitment_ae_title": "PACS_SC"}, "PACS_SC at 127.0.0.1"),
        ({"commitment_host": "10.1.0.0/16"}, "PACS at 10.1.0.0/16"),
    ],
)
def test_check_says_from_whom_reports_are_expected(tmp_path: Path, more: dict[str, str], expected: str) -> None:
    pacs = {"name": "pacs", "ae_title": "PACS", "host": "127.0.0.1", "port": free_port(), "commitment": True}
    settings = settings_in(tmp_path, node={"port": 11113}, destination=[pacs | more])
    *_, found = check_destinations(settings, timeout_s=1)
    assert (found.level, found.subject) == ("ok", "commitment by pacs")
    assert f"expected from {expected}, to MAMMONODE at port 11113" in found.text


def test_check_tells_of_a_reporter_whose_name_nobody_knows(tmp_path: Path) -> None:
    pacs = {"name": "pacs", "ae_title": "PACS", "host": "127.0.0.1", "port": free_port(), "commitment": True}
    settings = settings_in(tmp_path, destination=[pacs | {"commitment_host": "host.invalid"}])
    *_, found = check_destinations(settings, timeout_s=1)
    assert (found.level, found.subject) == ("warning", "commitment by pacs")
    assert "commitment_host" in found.remedy


# -- Orthanc -----------------------------------------------------------------------------------------------------------


@pytest.mark.peer
def test_orthanc_commits_on_an_association_of_its_own(
    sqlite_ledger: Ledger, tmp_path: Path, need: Callable[..., None]
) -> None:
    need("Orthanc")
    port = free_port()
    story = story_of(tmp_path, sqlite_ledger, port, ae_title="ORTHANC")
    node = Modality(ae_title="MAMMONODE", port=story.settings.node.port)
    with orthanc(tmp_path / "orthanc", port=port, modalities={"node": node}), story.receiving():
        uids = story.publish(*ALL)
        story.courier().step()
        wait_until(lambda: set(story.rows.values()) == {("sent", "committed")}, what="Orthanc to commit")
    assert set(story.rows) == set(uids)
    assert kinds(sqlite_ledger).count("committed") == 3


@pytest.mark.peer
def test_what_was_deleted_in_orthanc_is_sent_again_and_committed(
    sqlite_ledger: Ledger, tmp_path: Path, need: Callable[..., None]
) -> None:
    need("Orthanc")
    port = free_port()
    story = story_of(tmp_path, sqlite_ledger, port, ae_title="ORTHANC")
    node = Modality(ae_title="MAMMONODE", port=story.settings.node.port)
    with orthanc(tmp_path / "orthanc", port=port, modalities={"node": node}) as pacs, story.receiving():
        deleted, kept = story.publish("cad_sr", "heatmap")

        def delete(step: str) -> None:
            if step == "commitment_requested" and "commitment_failed" not in kinds(sqlite_ledger):
                pacs.delete(deleted)

        courier = story.courier(delete)
        courier.step()
        wait_until(lambda: story.rows == {deleted: ("pending", None), kept: ("sent", "committed")}, what="the report")
        assert pacs.find(deleted) is None
        story.clock.advance(5)
        courier.step()
        wait_until(lambda: set(story.rows.values()) == {("sent", "committed")}, what="Orthanc to commit to both")
        assert pacs.count() == 2
    failed = [item for item in sqlite_ledger.history(STUDY) if item.kind == "commitment_failed"]
    assert [item.detail["why"] for item in failed] == ["no such object instance (0x0112)"]
