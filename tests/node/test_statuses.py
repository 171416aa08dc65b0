"""Every C-STORE status of PS3.4 table B.2-1 and PS3.7 annex C, and what becomes of the result."""

from __future__ import annotations

import pytest
from pynetdicom.status import GENERAL_STATUS, STORAGE_SERVICE_CLASS_STATUS

from node.statuses import STATUS_RULES, classify


@pytest.mark.parametrize(
    ("status", "fate"),
    [
        (0x0000, "sent"),
        (0x0001, "sent"),
        (0x0107, "sent"),
        (0x0116, "sent"),
        (0x0111, "sent"),
        (0xB000, "sent"),
        (0xB006, "sent"),
        (0xB007, "sent"),
        (0xBFFF, "sent"),
        (0x0110, "retry"),
        (0x0124, "retry"),
        (0x0210, "retry"),
        (0x0211, "retry"),
        (0x0212, "retry"),
        (0x0213, "retry"),
        (0xA700, "retry"),
        (0xA7FF, "retry"),
        (0xFE00, "retry"),
        (0xA900, "refused"),
        (0xA9FF, "refused"),
        (0xC000, "refused"),
        (0xCFFF, "refused"),
        (0x0105, "refused"),
        (0x0106, "refused"),
        (0x0115, "refused"),
        (0x0117, "refused"),
        (0x0120, "refused"),
        (0x0122, "refused"),
    ],
)
def test_fate_of_a_status(status: int, fate: str) -> None:
    assert classify(status).fate == fate


@pytest.mark.parametrize("status", [0x0002, 0x0104, 0x0123, 0x0125, 0x9999, 0xA6FF, 0xA800, 0xD000, 0xFF00, 0xFFFF])
def test_what_the_standard_does_not_know_is_tried_again(status: int) -> None:
    assert classify(status).fate == "retry"


def test_no_status_that_says_stored_is_ever_sent_again_and_no_failure_counts_as_stored() -> None:
    for status, (category, _) in {**GENERAL_STATUS, **STORAGE_SERVICE_CLASS_STATUS}.items():
        fate = classify(status).fate
        if category in ("Success", "Warning"):
            assert fate == "sent", hex(status)
        elif category == "Failure" and status != 0x0111:  # the peer has it: see the table
            assert fate != "sent", hex(status)


def test_every_rule_can_be_reached() -> None:
    assert {id(classify(status)) for status in range(0x10000)} >= {id(rule) for rule in STATUS_RULES}


def test_ranges_are_the_right_way_round() -> None:
    assert all(0 <= rule.first <= rule.last <= 0xFFFF and rule.meaning for rule in STATUS_RULES)
