"""A destination that refuses whole requests: one bad instance holds up no other, and no trouble makes a storm."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

import pytest

from node.commitment import BATCH
from node.commitment_pace import NOT_OFFERED_TIMES, RequestPace
from node.commitment_report import CommitmentItem
from node.settings import DeliverySettings
from tests.node.builders import NOW

HOUR_S = 3600.0


def item(number: int, sent_at: float = NOW) -> CommitmentItem:
    return CommitmentItem(delivery_id=number, sop_instance_uid=f"1.{number}", sop_class_uid="1.2", sent_at=sent_at)


@dataclass
class Destination:
    """One that refuses a request with any of `bad` in it, and a courier's dealings with it."""

    bad: frozenset[int]
    is_offered: bool = True
    pace: RequestPace = field(default_factory=lambda: RequestPace(DeliverySettings()))
    due: dict[int, tuple[float, CommitmentItem]] = field(default_factory=dict)
    accepted: dict[int, float] = field(default_factory=dict)
    unavailable: dict[int, float] = field(default_factory=dict)
    requests: list[float] = field(default_factory=list)
    asked: Counter[int] = field(default_factory=Counter)

    def put(self, *items: CommitmentItem) -> None:
        self.due |= {item.delivery_id: (item.sent_at, item) for item in items}

    def step(self, now: float) -> None:
        ready = sorted((at, number) for number, (at, _) in self.due.items() if at <= now)
        items = [self.due[number][1] for _, number in ready[: self.pace.batch]]
        if not items or not self.pace.may_ask(now):
            return
        self.requests.append(now)
        numbers = [item.delivery_id for item in items]
        self.asked.update(numbers)
        at: float | None = None
        if self.bad.isdisjoint(numbers):
            self.pace.went_through()
            ends = self.accepted
        else:
            at = self.pace.refused(items, now) if self.is_offered else self.pace.not_offered(items, now)
            ends = self.unavailable
        for item in items:
            if at is None:
                ends[item.delivery_id] = now
                del self.due[item.delivery_id]
            else:
                self.due[item.delivery_id] = at, item

    def run(self, start: float, end: float) -> None:
        for second in range(0, int(end - start), 5):
            self.step(start + second)


@pytest.mark.parametrize("is_offered", [True, False], ids=["refused", "said not to be offered"])
@pytest.mark.parametrize("bad", [{0}, {255}, {0, 1, 2}, {7, 100, 299}], ids=str)
@pytest.mark.parametrize("age_h", [0, 50], ids=["just sent", "sent two days ago"])
def test_bad_instances_hold_up_no_other(is_offered: bool, bad: set[int], age_h: float) -> None:
    pacs = Destination(frozenset(bad), is_offered)
    pacs.put(*(item(number, NOW - age_h * HOUR_S) for number in range(300)))
    pacs.run(NOW, NOW + 12 * HOUR_S)
    assert set(pacs.accepted) == set(range(300)) - bad
    assert pacs.unavailable == {}
    pacs.put(*(item(number, NOW + 12 * HOUR_S) for number in range(300, 320)))
    pacs.run(NOW + 12 * HOUR_S, NOW + 17 * HOUR_S)
    assert set(pacs.accepted) >= set(range(300, 320)), "nor what comes later"
    assert max(pacs.asked.values()) < 17 * 4 + 30, "four times an hour, and some to find it"


def test_a_destination_in_trouble_is_asked_no_more_often_than_the_backoff_says() -> None:
    everything = frozenset(range(1000))
    pacs = Destination(everything)
    pacs.put(*(item(number) for number in everything))
    pacs.run(NOW, NOW + 24 * HOUR_S)
    assert len(pacs.requests) < 24 * 4 + 10
    pacs.bad = frozenset()
    pacs.run(NOW + 24 * HOUR_S, NOW + 50 * HOUR_S)
    assert set(pacs.accepted) == everything


def test_a_destination_that_never_offers_it_is_known_by_what_it_says_of_single_ones_over_a_day() -> None:
    everything = frozenset(range(300))
    pacs = Destination(everything, is_offered=False)
    pacs.put(*(item(number) for number in everything))
    pacs.run(NOW, NOW + 72 * HOUR_S)
    assert set(pacs.unavailable) == everything
    assert min(pacs.unavailable.values()) > NOW + 24 * HOUR_S
    later = item(1000, NOW + 72 * HOUR_S)
    pacs.bad |= {1000}
    pacs.put(later)
    pacs.step(later.sent_at)
    assert pacs.unavailable[1000] == later.sent_at, "what is known of the destination holds for what comes later"


def test_a_request_that_goes_through_ends_what_was_said_before() -> None:
    pace = RequestPace(DeliverySettings())
    for _ in range(NOT_OFFERED_TIMES - 1):
        assert pace.not_offered([item(1)], NOW) is not None
    pace.went_through()
    assert pace.may_ask(NOW)
    assert pace.batch == BATCH
    assert pace.not_offered([item(1)], NOW) is not None
