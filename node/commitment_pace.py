"""When a destination that has refused a request for storage commitment is asked again, and for how much at once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from node.backoff import backoff_s
from node.commitment import BATCH, LONGEST_WAIT_S
from node.commitment_report import CommitmentItem
from node.settings import DeliverySettings

NOT_OFFERED_FIRST_S: Final = 300.0
NOT_OFFERED_MAX_S: Final = 14400.0
NOT_OFFERED_TIMES: Final = 12
"""Requests in a row that say so, over some 25 hours: a service that is being mended or started anew is back by then."""


class RequestPace:
    """Requests to one destination.

    A request is refused as a whole, for the destination's trouble or for one instance in it. So the next one names half
    as many, until one is refused alone: that one then waits longer than the others, and they go on without it.

    Parameters
    ----------
    delivery : DeliverySettings
        Backoff.
    """

    def __init__(self, delivery: DeliverySettings) -> None:
        self._delivery = delivery
        self._refused = 0
        self._not_offered = 0
        self._not_before = 0.0
        self.batch = BATCH

    def may_ask(self, now: float) -> bool:
        """Whether a request may be made now."""
        return now >= self._not_before

    def went_through(self) -> None:
        """A request was accepted: what comes next may be asked for at once."""
        self._refused = self._not_offered = 0
        self._not_before = 0.0
        self.batch = min(BATCH, 2 * self.batch)

    def refused(self, items: Sequence[CommitmentItem], now: float) -> float:
        """A request was not accepted, which may pass; return when these items are due again."""
        wait_s = backoff_s(self._refused, self._delivery.backoff_first_s, self._delivery.backoff_max_s)
        self._refused += 1
        return self._wait(items, now, wait_s)

    def not_offered(self, items: Sequence[CommitmentItem], now: float) -> float | None:
        """The destination says that it offers none; return when these items are due again, None for never.

        It may say so of a single instance as well, so only what it says of one alone is counted.
        """
        if self._not_offered < NOT_OFFERED_TIMES and len(items) > 1:
            return self.refused(items, now)
        wait_s = backoff_s(self._not_offered, NOT_OFFERED_FIRST_S, NOT_OFFERED_MAX_S)
        self._not_offered += 1
        return None if self._not_offered >= NOT_OFFERED_TIMES else self._wait(items, now, wait_s)

    def _wait(self, items: Sequence[CommitmentItem], now: float, wait_s: float) -> float:
        self._not_before = now + wait_s
        if len(items) > 1:
            self.batch = len(items) // 2
            return self._not_before
        was_among_others, self.batch = self.batch == 1, BATCH
        # As long again as it has waited already: else it would be in the next request with all the others.
        more_s = min(now - items[0].sent_at, LONGEST_WAIT_S) if was_among_others else 0.0
        return self._not_before + more_s
