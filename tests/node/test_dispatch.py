"""The dispatcher with a clock that the test moves: what it queues, what it takes for lost, whom it buries."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest

from node.dispatch import Dispatcher
from node.ledger import Ledger
from tests.node.builders import LEASE_S, STUDY, Clock, kinds, received, settings_in, state_of

VIEWS_OF_A_STUDY = range(1, 5)


class FakeBroker:
    """A queue that remembers what was published, and can be away."""

    def __init__(self) -> None:
        self.published: list[str] = []
        self.queue: list[str] = []
        self.is_away = False

    def publish(self, study_instance_uid: str) -> bool:
        if self.is_away:
            return False
        self.published.append(study_instance_uid)
        self.queue.append(study_instance_uid)
        return True

    def waiting(self) -> int | None:
        return None if self.is_away else len(self.queue)

    def lose_everything(self) -> None:
        self.queue.clear()


@pytest.fixture
def broker() -> FakeBroker:
    return FakeBroker()


@pytest.fixture
def clock() -> Clock:
    return Clock()


def dispatcher(folder: Path, ledger: Ledger, broker: FakeBroker, clock: Clock, **sections: Any) -> Dispatcher:
    return Dispatcher(settings_in(folder, **sections), ledger, broker, clock=clock)  # type: ignore[arg-type] # a fake


def arrive(ledger: Ledger, clock: Clock, study: str = STUDY, numbers: range = VIEWS_OF_A_STUDY, **more: Any) -> None:
    for number in numbers:
        ledger.record_instance(received(number, study, **more), clock())


def test_a_complete_study_is_queued_once_it_has_settled(
    tmp_path: Path, ledger: Ledger, broker: FakeBroker, clock: Clock
) -> None:
    node = dispatcher(tmp_path, ledger, broker, clock)
    arrive(ledger, clock)
    assert node.step() == 1
    assert (state_of(ledger), broker.published) == (("assembling", 1), [])
    clock.advance(1.9)
    assert node.step() == 0, "it is not even looked at before its time"
    clock.advance(0.1)
    node.step()
    assert (state_of(ledger), broker.published) == (("queued", 1), [STUDY])
    assert ledger.history(STUDY)[-1].detail == {"why": "required views"}
    assert node.step() == 0


def test_an_incomplete_study_waits_until_it_is_quiet(
    tmp_path: Path, ledger: Ledger, broker: FakeBroker, clock: Clock
) -> None:
    node = dispatcher(tmp_path, ledger, broker, clock)
    arrive(ledger, clock, numbers=range(1, 3))
    node.step()
    clock.advance(20)
    arrive(ledger, clock, numbers=range(3, 4))
    node.step()
    clock.advance(20)
    node.step()
    assert broker.published == [], "the third image started the wait anew"
    clock.advance(10)
    node.step()
    assert broker.published == [STUDY]
    assert ledger.history(STUDY)[-1].detail == {"why": "quiet"}


def test_interleaved_studies_of_two_sources_each_have_their_own_rule(
    tmp_path: Path, ledger: Ledger, broker: FakeBroker, clock: Clock
) -> None:
    sources = [
        {"ae_title": "QUICK", "host": "127.0.0.1", "quiet_s": 5},
        {"ae_title": "SLOW", "host": "127.0.0.1", "quiet_s": 60},
    ]
    node = dispatcher(tmp_path, ledger, broker, clock, source=sources)
    for number in (1, 2):
        for study, title in (("1.2.1", "QUICK"), ("1.2.2", "SLOW")):
            arrive(ledger, clock, study, range(number, number + 1), calling_ae_title=title)
    node.step()
    clock.advance(5)
    node.step()
    assert broker.published == ["1.2.1"]
    clock.advance(55)
    node.step()
    assert "1.2.2" in broker.published


def test_while_the_broker_is_away_the_study_is_queued_all_the_same_and_published_when_it_is_back(
    tmp_path: Path, ledger: Ledger, broker: FakeBroker, clock: Clock
) -> None:
    node = dispatcher(tmp_path, ledger, broker, clock)
    broker.is_away = True
    arrive(ledger, clock)
    clock.advance(2)
    node.step()
    assert state_of(ledger) == ("queued", 1)
    clock.advance(30)
    node.step()
    assert "republished" not in kinds(ledger)
    broker.is_away = False
    node.step()
    assert broker.published == [STUDY]
    assert kinds(ledger)[-1] == "republished"


def test_a_long_queue_is_not_a_lost_one(tmp_path: Path, ledger: Ledger, broker: FakeBroker, clock: Clock) -> None:
    node = dispatcher(tmp_path, ledger, broker, clock)
    studies = [f"1.2.{number}" for number in range(1, 6)]
    for study in studies:
        arrive(ledger, clock, study)
    clock.advance(2)
    node.step()
    assert sorted(broker.published) == studies
    for _ in range(10):
        clock.advance(31)
        node.step()
    assert sorted(broker.published) == studies, "not one message was sent twice"
    assert kinds(ledger, "1.2.1")[-1] == "queued", "and history does not grow while a study waits"


def test_only_as_many_are_published_again_as_were_lost(
    tmp_path: Path, ledger: Ledger, broker: FakeBroker, clock: Clock
) -> None:
    node = dispatcher(tmp_path, ledger, broker, clock)
    for number in range(1, 6):
        arrive(ledger, clock, f"1.2.{number}")
    clock.advance(2)
    node.step()
    lost = [broker.queue.pop() for _ in range(2)]
    clock.advance(30)
    node.step()
    assert len(broker.published) == 5 + len(lost)
    assert ledger.count_queued() == len(broker.queue) == 5


def test_every_lost_message_comes_back_in_the_end(
    tmp_path: Path, ledger: Ledger, broker: FakeBroker, clock: Clock
) -> None:
    """The dispatcher cannot know whose message was lost; workers and it together answer every study."""
    node = dispatcher(tmp_path, ledger, broker, clock)
    studies = {f"1.2.{number}" for number in range(1, 6)}
    for study in studies:
        arrive(ledger, clock, study)
    clock.advance(2)
    node.step()
    broker.queue = broker.queue[3:]
    started: set[str] = set()
    for _ in range(12):
        clock.advance(31)
        node.step()
        if broker.queue and ledger.claim(study := broker.queue.pop(0), "w", clock(), 1e6):
            started.add(study)
    assert started == studies


def test_a_broker_that_lost_everything_gets_everything_again(
    tmp_path: Path, ledger: Ledger, broker: FakeBroker, clock: Clock
) -> None:
    node = dispatcher(tmp_path, ledger, broker, clock)
    for number in range(1, 4):
        arrive(ledger, clock, f"1.2.{number}")
    clock.advance(2)
    node.step()
    broker.lose_everything()
    clock.advance(30)
    node.step()
    assert sorted(broker.queue) == ["1.2.1", "1.2.2", "1.2.3"]


def test_a_worker_that_keeps_its_lease_is_left_alone_and_a_silent_one_is_buried(
    tmp_path: Path, ledger: Ledger, broker: FakeBroker, clock: Clock
) -> None:
    node = dispatcher(tmp_path, ledger, broker, clock)
    arrive(ledger, clock)
    clock.advance(2)
    node.step()
    study = ledger.claim(STUDY, "worker", clock(), LEASE_S)
    assert study is not None
    broker.lose_everything()
    ledger.renew(STUDY, "worker", clock.advance(15) + LEASE_S)
    clock.advance(15)
    assert node.step() == 0
    clock.advance(5)
    node.step()
    assert state_of(ledger) == ("queued", 1)
    assert broker.published == [STUDY, STUDY]
    assert kinds(ledger)[-1] == "worker_lost"


def test_a_study_that_kills_every_worker_ends_in_quarantine(
    tmp_path: Path, ledger: Ledger, broker: FakeBroker, clock: Clock
) -> None:
    node = dispatcher(tmp_path, ledger, broker, clock, queue={"max_deaths": 3})
    arrive(ledger, clock)
    clock.advance(2)
    node.step()
    while broker.queue:
        study = ledger.claim(broker.queue.pop(), "worker", clock(), LEASE_S)
        assert study is not None
        clock.advance(LEASE_S)
        node.step()
    assert len(broker.published) == 4, "three analyses and one report of the failure"
    assert state_of(ledger) == ("quarantined", 1)
    clock.advance(1e9)
    assert node.step() == 0


@pytest.mark.parametrize("step", ["queued", "published", "buried"])
def test_killed_at_any_step_another_dispatcher_goes_on(
    tmp_path: Path, sqlite_ledger: Ledger, broker: FakeBroker, clock: Clock, step: str
) -> None:
    ledger = sqlite_ledger

    def kill(reached: str) -> None:
        if reached == step:
            raise KeyboardInterrupt

    settings = settings_in(tmp_path)
    arrive(ledger, clock)
    clock.advance(2)
    if step == "buried":
        dispatcher(tmp_path, ledger, broker, clock).step()
        assert ledger.claim(broker.queue.pop(), "dies", clock(), LEASE_S)
        clock.advance(LEASE_S)
    mortal = Dispatcher(settings, ledger, broker, clock=clock, fault=kill)  # type: ignore[arg-type] # a fake
    with pytest.raises(KeyboardInterrupt):
        mortal.step()
    clock.advance(30)
    dispatcher(tmp_path, ledger, broker, clock).step()
    assert broker.queue == [STUDY]
    assert ledger.claim(STUDY, "lives", clock(), LEASE_S)


def test_it_looks_until_it_is_told_to_stop(
    tmp_path: Path, sqlite_ledger: Ledger, broker: FakeBroker, clock: Clock
) -> None:
    node = dispatcher(tmp_path, sqlite_ledger, broker, clock, queue={"poll_s": 0.01})
    stop = threading.Event()
    thread = threading.Thread(target=node.run, args=(stop,))
    arrive(sqlite_ledger, clock)
    thread.start()
    clock.advance(2)
    for _ in range(1000):
        if broker.published:
            break
        stop.wait(0.01)
    stop.set()
    thread.join(timeout=30)
    assert broker.published == [STUDY]
    assert not thread.is_alive()
