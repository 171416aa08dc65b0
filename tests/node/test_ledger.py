"""The ledger on SQLite and PostgreSQL: every transition, who wins a race, and what a late instance does."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Engine, event, text

from node.database import migrate, open_engine
from node.ledger import Ledger
from node.outbox import Outbox
from node.schema import Base
from tests.node.builders import (
    LEASE_S,
    NOW,
    STUDY,
    at_once,
    claimed,
    dose_report,
    kinds,
    queued,
    received,
    result,
    state_of,
)

MAX_DEATHS = 3


def answer(ledger: Ledger, outbox: Outbox, *numbers: int) -> None:
    """Take a study of mammograms through to its answer."""
    study = claimed(ledger, *(received(number) for number in numbers or (1,)))
    assert outbox.publish(study, [result()], {}, NOW + 5, outcome="analysed", reason=None)


# -- the schema --------------------------------------------------------------------------------------------------------


def test_migrations_make_exactly_the_schema(engine: Engine) -> None:
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, Base.metadata) == []


def test_migrating_again_and_by_many_at_once_does_no_harm(database_url: str) -> None:
    engines = [open_engine(database_url) for _ in range(4)]
    at_once([partial(migrate, engine) for engine in engines])
    with engines[0].connect() as connection:
        assert connection.scalar(text("SELECT count(*) FROM alembic_version")) == 1
    for engine in engines:
        engine.dispose()


def test_a_committed_row_survives_a_power_cut(sqlite_ledger: Ledger) -> None:
    with sqlite_ledger.reading() as connection:
        found = {name: connection.scalar(text(f"PRAGMA {name}")) for name in ("journal_mode", "synchronous")}
    assert found == {"journal_mode": "wal", "synchronous": 2}


# -- receiving ---------------------------------------------------------------------------------------------------------


def test_an_instance_is_stored_once(ledger: Ledger) -> None:
    assert ledger.record_instance(received(1), NOW) == "stored"
    assert ledger.record_instance(received(1), NOW + 1) == "duplicate"
    assert ledger.record_instance(received(1, sha256="0" * 64, path="/other"), NOW + 2) == "conflict"
    assert ledger.path_of(received(1).sop_instance_uid) == received(1).path
    study = ledger.study(STUDY)
    assert study is not None
    assert (study["instances"], study["last_received_at"]) == (1, NOW)
    assert kinds(ledger) == ["received", "duplicate", "refused_other_bytes"]


def test_a_uid_that_belongs_to_another_study_leaves_no_empty_study_behind(ledger: Ledger) -> None:
    ledger.record_instance(received(1), NOW)
    stray = received(1, study_instance_uid="1.2.3", sha256="0" * 64)
    assert ledger.record_instance(stray, NOW) == "conflict"
    assert ledger.study("1.2.3") is None
    assert kinds(ledger, "1.2.3") == ["refused_other_bytes"]
    assert ledger.record_instance(received(2, "1.2.3"), NOW) == "stored"


def test_eight_senders_of_the_same_instance_one_is_stored(ledger: Ledger) -> None:
    recorded = at_once([partial(ledger.record_instance, received(1), NOW + n) for n in range(8)])
    assert Counter(recorded) == {"stored": 1, "duplicate": 7}
    assert Counter(kinds(ledger)) == {"received": 1, "duplicate": 7}


def test_eight_senders_of_one_uid_with_other_bytes_the_first_is_kept(ledger: Ledger) -> None:
    rivals = [received(1, sha256=f"{n}" * 64, path=f"/spool/{n}") for n in range(8)]
    recorded = at_once([partial(ledger.record_instance, rival, NOW) for rival in rivals])
    assert Counter(recorded) == {"stored": 1, "conflict": 7}
    assert ledger.path_of(rivals[0].sop_instance_uid) == f"/spool/{recorded.index('stored')}"


@pytest.mark.parametrize("earlier", [0, 1])
def test_eight_associations_store_one_study_together(ledger: Ledger, earlier: int) -> None:
    for number in range(earlier):
        ledger.record_instance(received(100 + number), NOW)

    def store(first: int) -> list[str]:
        return [ledger.record_instance(received(number), NOW + number) for number in range(first, first + 5)]

    recorded = at_once([partial(store, 1 + 5 * n) for n in range(8)])
    assert Counter(outcome for outcomes in recorded for outcome in outcomes) == {"stored": 40}
    study = ledger.study(STUDY)
    assert study is not None
    assert study["instances"] == 40 + earlier
    assert len(kinds(ledger)) == 40 + earlier


def test_eight_studies_at_once(ledger: Ledger) -> None:
    recorded = at_once([partial(ledger.record_instance, received(1, f"1.2.{n}"), NOW) for n in range(8)])
    assert recorded == ["stored"] * 8
    assert len(ledger.studies()) == 8


def test_arrivals_while_studies_are_analysed_and_answered_never_lock_each_other_out(
    ledger: Ledger, outbox: Outbox
) -> None:
    """Every image is answered by some revision, whatever the interleaving."""
    queued(ledger)

    def send(first: int) -> None:
        for number in range(first, first + 4):
            assert ledger.record_instance(received(number), NOW) == "stored"

    def work() -> None:
        for attempt in range(12):
            if (state := state_of(ledger)[0]) == "assembling":
                ledger.queue(ledger.study_state(STUDY), NOW, republish_at=NOW + 30, why="quiet")
            elif state == "queued" and (study := ledger.claim(STUDY, f"{attempt}", NOW, LEASE_S)) is not None:
                outbox.publish(study, [], {}, NOW, outcome="analysed", reason=None)

    at_once([work, *(partial(send, 10 * n + 10) for n in range(4))])
    for _ in range(4):
        work()
    assert state_of(ledger)[0] == "answered"
    with ledger.reading() as connection:
        unanswered = connection.scalar(text("SELECT count(*) FROM instance WHERE revision IS NULL"))
    assert unanswered == 0


# -- assembling and queueing -------------------------------------------------------------------------------------------


def test_what_decide_is_told(ledger: Ledger) -> None:
    ledger.record_instance(received(1), NOW)
    ledger.record_instance(dose_report(2), NOW + 3)
    state = ledger.study_state(STUDY)
    assert (state.last_received_at, state.calling_ae_title) == (NOW + 3, "MODALITY")
    assert {(item.view, item.received_at) for item in state.instances} == {("L-CC", NOW), (None, NOW + 3)}


def test_a_study_is_due_when_something_came_and_when_it_is_asked_again(ledger: Ledger) -> None:
    ledger.record_instance(received(1), NOW)
    assert ledger.due_studies(NOW) == [(STUDY, "assembling")]
    ledger.postpone(ledger.study_state(STUDY), NOW + 30)
    assert ledger.due_studies(NOW + 29.9) == []
    assert ledger.due_studies(NOW + 30) == [(STUDY, "assembling")]


def test_an_instance_that_comes_between_reading_and_deciding_wins(ledger: Ledger) -> None:
    ledger.record_instance(received(1), NOW)
    stale = ledger.study_state(STUDY)
    ledger.record_instance(received(2), NOW + 1)
    ledger.postpone(stale, NOW + 1000)
    assert ledger.due_studies(NOW + 1) == [(STUDY, "assembling")]
    assert not ledger.queue(stale, NOW + 1, republish_at=NOW + 31, why="quiet")
    assert state_of(ledger) == ("assembling", 1)


def test_only_one_of_eight_dispatchers_queues_a_study(ledger: Ledger) -> None:
    ledger.record_instance(received(1), NOW)
    state = ledger.study_state(STUDY)
    moved = at_once([partial(ledger.queue, state, NOW, republish_at=NOW + 30, why="quiet")] * 8)
    assert Counter(moved) == {True: 1, False: 7}
    assert kinds(ledger) == ["received", "queued"]


def test_the_longest_overdue_comes_first_and_no_more_than_asked_for(ledger: Ledger) -> None:
    for number, at in ((1, NOW + 2), (2, NOW), (3, NOW + 1)):
        ledger.record_instance(received(1, f"1.2.{number}"), at)
    assert [uid for uid, _ in ledger.due_studies(NOW + 9)] == ["1.2.2", "1.2.3", "1.2.1"]
    assert [uid for uid, _ in ledger.due_studies(NOW + 9, limit=1)] == ["1.2.2"]


def test_a_lost_message_is_published_again_and_a_waiting_one_is_not(ledger: Ledger) -> None:
    queued(ledger)
    assert not ledger.requeue_lost(STUDY, NOW + 29, republish_at=NOW + 60, silently=False)
    assert ledger.requeue_lost(STUDY, NOW + 30, republish_at=NOW + 60, silently=True)
    assert ledger.due_studies(NOW + 59) == []
    assert ledger.requeue_lost(STUDY, NOW + 60, republish_at=NOW + 90, silently=False)
    assert kinds(ledger) == ["received", "queued", "republished"]
    assert ledger.count_queued() == 1


def test_looking_for_what_is_due_costs_the_same_for_ever(sqlite_ledger: Ledger, tmp_path: Path) -> None:
    """The plans of the very statements that are run: a search of an index over what is due, never a whole table."""
    outbox = Outbox(sqlite_ledger, tmp_path)
    studies = query_plan(sqlite_ledger, lambda: sqlite_ledger.due_studies(NOW))
    assert studies == ["SEARCH study USING INDEX ix_study_due_at (due_at<?)"], "found in order, without a sort"
    deliveries = query_plan(sqlite_ledger, lambda: outbox.due("pacs", NOW))
    assert any("ix_delivery_due (destination=? AND next_attempt_at<?)" in step for step in deliveries)
    following = query_plan(sqlite_ledger, lambda: outbox.next_due_at("pacs"))
    assert any("ix_delivery_due" in step for step in following)
    assert not [step for step in deliveries + following if step.startswith("SCAN")]


def query_plan(ledger: Ledger, call: Callable[[], object]) -> list[str]:
    """What SQLite does for the SELECT that `call` runs."""
    seen: list[tuple[str, Any]] = []

    def note(_connection: object, _cursor: object, statement: str, parameters: Any, *_: object) -> None:
        if statement.startswith("SELECT"):
            seen.append((statement, parameters))

    event.listen(ledger.engine, "before_cursor_execute", note)
    call()
    event.remove(ledger.engine, "before_cursor_execute", note)
    ((statement, parameters),) = seen
    with ledger.reading() as connection:
        return [row[-1] for row in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", parameters)]


# -- the worker's claim ------------------------------------------------------------------------------------------------


def test_a_claim_names_everything_that_has_arrived(ledger: Ledger) -> None:
    study = claimed(ledger, received(1), dose_report(2))
    assert [item.sop_instance_uid for item in study.instances] == [f"{STUDY}.1", f"{STUDY}.2"]
    assert (study.revision, study.deaths, study.instances[0].path) == (1, 0, received(1).path)
    assert kinds(ledger)[-2:] == ["queued", "started"]


def test_eight_workers_claim_and_one_gets_it(ledger: Ledger) -> None:
    queued(ledger)
    claims = at_once([partial(ledger.claim, STUDY, f"worker-{n}", NOW, LEASE_S) for n in range(8)])
    assert len([study for study in claims if study is not None]) == 1
    assert Counter(kinds(ledger))["started"] == 1


@pytest.mark.parametrize("study", [STUDY, "1.2.3"])
def test_nothing_to_claim(ledger: Ledger, study: str) -> None:
    ledger.record_instance(received(1), NOW)
    assert ledger.claim(study, "worker", NOW, LEASE_S) is None


def test_a_lease_that_is_renewed_is_not_due(ledger: Ledger) -> None:
    study = claimed(ledger)
    assert ledger.due_studies(NOW + LEASE_S) == [(STUDY, "analysing")]
    assert ledger.renew(STUDY, study.token, NOW + 2 * LEASE_S)
    assert ledger.due_studies(NOW + LEASE_S) == []
    assert not ledger.bury(STUDY, NOW + LEASE_S, republish_at=NOW, max_deaths=MAX_DEATHS)
    assert state_of(ledger) == ("analysing", 1)


def test_a_lease_that_ran_out_is_lost_for_good(ledger: Ledger) -> None:
    study = claimed(ledger)
    later = NOW + LEASE_S
    assert ledger.bury(STUDY, later, republish_at=later + 30, max_deaths=MAX_DEATHS)
    assert not ledger.renew(STUDY, study.token, later + LEASE_S)
    other = ledger.claim(STUDY, "worker-2", later, LEASE_S)
    assert other is not None
    assert other.deaths == 1
    assert not ledger.renew(STUDY, study.token, later + LEASE_S)
    assert ledger.renew(STUDY, other.token, later + LEASE_S)


def test_only_one_of_eight_dispatchers_buries_a_worker(ledger: Ledger) -> None:
    claimed(ledger)
    later = NOW + LEASE_S
    bury = partial(ledger.bury, STUDY, later, republish_at=later + 30, max_deaths=MAX_DEATHS)
    assert Counter(at_once([bury] * 8)) == {True: 1, False: 7}
    study = ledger.study(STUDY)
    assert study is not None
    assert study["deaths"] == 1


def test_a_study_that_kills_its_worker_again_and_again_is_quarantined(ledger: Ledger) -> None:
    queued(ledger)
    now = NOW
    for death in range(MAX_DEATHS + 1):
        study = ledger.claim(STUDY, f"worker-{death}", now, LEASE_S)
        assert study is not None
        assert study.deaths == death, "the fourth, with three deaths, only writes the report of the failure"
        now += LEASE_S
        published_again = ledger.bury(STUDY, now, republish_at=now + 30, max_deaths=MAX_DEATHS)
        assert published_again == (death < MAX_DEATHS)
    assert state_of(ledger) == ("quarantined", 1)
    assert ledger.due_studies(now + 1e9) == []
    assert ledger.claim(STUDY, "worker", now, LEASE_S) is None
    assert Counter(kinds(ledger)) == {"received": 1, "queued": 1, "started": 4, "worker_lost": 4, "quarantined": 1}


def test_a_study_is_given_back_after_an_error(ledger: Ledger) -> None:
    study = claimed(ledger)
    ledger.give_back(study, NOW, retry_at=NOW + 1, why="error in the pipeline", max_deaths=MAX_DEATHS)
    assert ledger.due_studies(NOW + 1) == [(STUDY, "queued")]
    again = ledger.claim(STUDY, "worker-2", NOW + 1, LEASE_S)
    assert again is not None
    assert again.deaths == 1
    ledger.give_back(study, NOW + 2, retry_at=NOW + 3, why="a worker that has lost its claim", max_deaths=MAX_DEATHS)
    assert state_of(ledger) == ("analysing", 1)
    assert Counter(kinds(ledger))["given_back"] == 1


def test_retry_analyses_a_finished_study_once_more(ledger: Ledger, outbox: Outbox) -> None:
    queued(ledger)
    assert not ledger.retry(STUDY, NOW, republish_at=NOW + 30), "it has not been answered yet"
    study = ledger.claim(STUDY, "worker", NOW, LEASE_S)
    assert study is not None
    assert not ledger.retry(STUDY, NOW, republish_at=NOW + 30)
    outbox.publish(study, [result()], {}, NOW, outcome="failed", reason="x", quarantine=True)
    assert Counter(at_once([partial(ledger.retry, STUDY, NOW, republish_at=NOW + 30)] * 8)) == {True: 1, False: 7}
    assert state_of(ledger) == ("queued", 2)
    again = ledger.claim(STUDY, "worker", NOW, LEASE_S)
    assert again is not None
    assert (again.revision, again.deaths, len(again.instances)) == (2, 0, 1)
    assert not ledger.retry("1.2.3", NOW, republish_at=NOW)


# -- what comes late (docs/adr/0003) -----------------------------------------------------------------------------------


def test_late_while_queued_is_simply_part_of_it(ledger: Ledger) -> None:
    queued(ledger)
    ledger.record_instance(received(2), NOW + 1)
    assert state_of(ledger) == ("queued", 1)
    study = ledger.claim(STUDY, "worker", NOW + 2, LEASE_S)
    assert study is not None
    assert len(study.instances) == 2


def test_late_while_analysing_starts_the_next_revision_with_the_answer(ledger: Ledger, outbox: Outbox) -> None:
    study = claimed(ledger)
    ledger.record_instance(received(2), NOW + 1)
    assert state_of(ledger) == ("analysing", 1)
    assert outbox.publish(study, [result()], {}, NOW + 5, outcome="analysed", reason=None)
    assert state_of(ledger) == ("assembling", 2)
    assert ledger.due_studies(NOW + 5) == [(STUDY, "assembling")]
    assert kinds(ledger)[-2:] == ["late", "finished"]


def test_late_after_the_answer_makes_a_new_revision(ledger: Ledger, outbox: Outbox) -> None:
    answer(ledger, outbox)
    assert ledger.due_studies(NOW + 1e9) == []
    ledger.record_instance(received(2), NOW + 10)
    ledger.record_instance(received(3), NOW + 11)
    assert state_of(ledger) == ("assembling", 2), "two late images make one revision"
    assert ledger.queue(ledger.study_state(STUDY), NOW + 20, republish_at=NOW + 50, why="quiet")
    study = ledger.claim(STUDY, "worker", NOW + 20, LEASE_S)
    assert study is not None
    assert (study.revision, len(study.instances)) == (2, 3)


def test_a_region_after_the_answer_waits_for_no_view_whatever_comes_along_but_an_image(
    ledger: Ledger, outbox: Outbox
) -> None:
    answer(ledger, outbox)
    ledger.record_instance(received(2, view=None, routed_to="regions"), NOW + 10)
    ledger.record_instance(dose_report(3), NOW + 11)
    assert ledger.study_state(STUDY).is_late_request
    ledger.record_instance(received(4), NOW + 12)
    assert not ledger.study_state(STUDY).is_late_request


def test_late_after_quarantine_is_a_fresh_start(ledger: Ledger, outbox: Outbox) -> None:
    study = claimed(ledger)
    outbox.publish(study, [], {}, NOW, outcome="failed", reason="set aside", quarantine=True)
    assert state_of(ledger) == ("quarantined", 1)
    ledger.record_instance(received(2), NOW + 10)
    assert state_of(ledger) == ("assembling", 2)
    row = ledger.study(STUDY)
    assert row is not None
    assert row["deaths"] == 0


def test_a_dose_report_after_the_answer_changes_no_finding(ledger: Ledger, outbox: Outbox) -> None:
    answer(ledger, outbox)
    assert ledger.record_instance(dose_report(2), NOW + 10) == "stored"
    assert state_of(ledger) == ("answered", 1)
    assert kinds(ledger)[-2:] == ["received", "late_not_analysed"]


def test_a_dose_report_while_analysing_makes_no_revision(ledger: Ledger, outbox: Outbox) -> None:
    study = claimed(ledger)
    ledger.record_instance(dose_report(2), NOW + 1)
    outbox.publish(study, [result()], {}, NOW + 5, outcome="analysed", reason=None)
    assert state_of(ledger) == ("answered", 1)


@pytest.mark.parametrize("when", ["analysing", "answered"])
def test_another_report_for_a_study_of_only_reports_is_answered_too(ledger: Ledger, outbox: Outbox, when: str) -> None:
    study = claimed(ledger, dose_report(1))
    if when == "analysing":
        ledger.record_instance(dose_report(2), NOW + 1)
    outbox.publish(study, [result()], {}, NOW + 5, outcome="not_analysed", reason="no image")
    if when == "answered":
        ledger.record_instance(dose_report(2), NOW + 10)
    assert state_of(ledger) == ("assembling", 2)


def test_the_same_instance_again_after_the_answer_changes_nothing(ledger: Ledger, outbox: Outbox) -> None:
    answer(ledger, outbox)
    assert ledger.record_instance(received(1), NOW + 10) == "duplicate"
    assert ledger.record_instance(received(1, sha256="0" * 64), NOW + 10) == "conflict"
    assert state_of(ledger) == ("answered", 1)


# -- the record --------------------------------------------------------------------------------------------------------


def test_every_transition_leaves_an_event_with_its_time(ledger: Ledger, outbox: Outbox) -> None:
    answer(ledger, outbox)
    ledger.record_instance(received(2), NOW + 10)
    history = ledger.history(STUDY)
    assert [event.kind for event in history] == ["received", "queued", "started", "finished", "received", "late"]
    assert [event.at for event in history] == [NOW, NOW, NOW, NOW + 5, NOW + 10, NOW + 10]
    assert history[0].sop_instance_uid == f"{STUDY}.1"
    assert history[0].detail["calling_ae_title"] == "MODALITY"
    assert history[1].detail == {"why": "quiet"}
    assert history[3].detail["outcome"] == "analysed"


def test_what_is_not_known(ledger: Ledger) -> None:
    assert ledger.study("1.2.3") is None
    assert ledger.path_of("1.2.3") is None
    assert ledger.history("1.2.3") == []
    assert ledger.studies() == []
    assert ledger.count_queued() == 0


def test_an_image_that_comes_during_the_last_attempt_at_a_study_gets_a_revision_of_its_own(ledger: Ledger) -> None:
    ledger.record_instance(received(1, "1.2.3"), 0.0)
    ledger.queue(ledger.study_state("1.2.3"), 1.0, republish_at=99.0, why="quiet")
    for death in range(4):
        at = 10.0 * (death + 1)
        assert ledger.claim("1.2.3", f"token{death}", at, 5.0) is not None
        if death == 3:
            ledger.record_instance(received(2, "1.2.3"), at + 1)
        ledger.bury("1.2.3", at + 6, republish_at=at + 7, max_deaths=3)
    row = ledger.study("1.2.3")
    assert row is not None
    assert (row["state"], row["revision"], row["deaths"]) == ("assembling", 2, 0)
