"""What follows from pathology, and what does not: HER2 by ASCO/CAP 2018, subtypes by the St. Gallen surrogates."""

from __future__ import annotations

from itertools import product
from typing import Any

import pytest

from models.regions.outcomes import OUTCOMES
from models.regions.pathology import IHC_SCORES, PATHOTYPES, STATUSES, SUBTYPES, Pathology, contradictions, outcomes

HR_POSITIVE: dict[str, Any] = {"er": "positive", "pr": "positive"}
HR_NEGATIVE: dict[str, Any] = {"er": "negative", "pr": "negative"}


@pytest.mark.parametrize(
    ("ihc", "fish", "her2", "level"),
    [
        ("0", None, "negative", "zero"),
        ("1+", None, "negative", "low"),
        ("2+", "negative", "negative", "low"),
        ("2+", "positive", "positive", "positive"),
        ("2+", None, None, None),
        ("3+", None, "positive", "positive"),
        (None, "positive", "positive", "positive"),
        (None, "negative", "negative", None),
        (None, None, None, None),
    ],
)
def test_her2_is_by_ihc_and_where_that_is_equivocal_by_fish(ihc: Any, fish: Any, her2: Any, level: Any) -> None:
    found = outcomes(Pathology(her2_ihc=ihc, her2_fish=fish))
    assert (found.get("her2"), found.get("her2_level")) == (her2, level)


@pytest.mark.parametrize(
    ("values", "subtype"),
    [
        ({**HR_POSITIVE, "her2_ihc": "1+", "ki67": 19.9, "grade": 2}, "luminal_a"),
        ({**HR_POSITIVE, "her2_ihc": "1+", "ki67": 20.0, "grade": 2}, "luminal_b"),
        ({**HR_POSITIVE, "her2_ihc": "1+", "ki67": 5.0, "grade": 3}, "luminal_b"),
        ({**HR_POSITIVE, "her2_ihc": "1+"}, None),  # A or B: Ki-67 is not known
        ({**HR_POSITIVE, "her2_ihc": "1+", "ki67": 5.0}, None),  # a grade of 3 would make it B
        ({**HR_POSITIVE, "her2_ihc": "1+", "grade": 2}, None),
        ({"er": "positive", "pr": "negative", "her2_ihc": "0"}, "luminal_b"),
        ({"er": "positive", "her2_ihc": "3+"}, "her2_hr_positive"),  # whatever PR is
        ({"er": "negative", "her2_ihc": "3+"}, None),
        ({**HR_NEGATIVE, "her2_ihc": "3+"}, "her2_hr_negative"),
        ({**HR_NEGATIVE, "her2_ihc": "0", "pathotype": "invasive"}, "triple_negative"),
        ({**HR_NEGATIVE, "her2_ihc": "0", "pathotype": "dcis"}, None),
    ],
)
def test_a_subtype_is_derived_when_what_is_missing_cannot_change_it(values: dict[str, Any], subtype: Any) -> None:
    assert outcomes(Pathology(**values)).get("subtype") == subtype


def test_luminal_is_known_before_a_and_b_are_and_excludes_her2() -> None:
    assert outcomes(Pathology(**HR_POSITIVE, her2_ihc="0"))["luminal"] == "luminal"
    assert outcomes(Pathology(her2_ihc="3+"))["luminal"] == "non_luminal"
    assert "luminal" not in outcomes(Pathology(**HR_POSITIVE))


def test_a_given_subtype_tells_the_receptors_that_it_leaves_no_choice_of() -> None:
    found = outcomes(Pathology(subtype="luminal_b"))
    assert (found["luminal"], found["her2"], "er" in found) == ("luminal", "negative", False)
    assert outcomes(Pathology(subtype="triple_negative"))["er"] == "negative"


@pytest.mark.parametrize(
    "values",
    [
        {**HR_POSITIVE, "subtype": "triple_negative"},
        {**HR_POSITIVE, "her2_ihc": "0", "ki67": 40.0, "subtype": "luminal_a"},
        {**HR_POSITIVE, "her2_ihc": "0", "ki67": 5.0, "grade": 1, "subtype": "luminal_b"},
        {"subtype": "luminal_a", "pathotype": "dcis"},
        {"her2_ihc": "3+", "her2_fish": "negative"},
        {"her2_ihc": "1+", "her2_fish": "positive"},
    ],
)
def test_what_contradicts_itself_has_no_outcome(values: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="correct"):
        outcomes(Pathology(**values))


def test_every_class_that_follows_is_one_of_the_outcome() -> None:
    seen = set()
    for er, pr, ihc, fish, ki67, pathotype, subtype in product(
        (None, *STATUSES), (None, *STATUSES), (None, *IHC_SCORES), (None, *STATUSES), (None, 5.0, 50.0),
        (None, *PATHOTYPES), (None, *SUBTYPES),
    ):  # fmt: skip
        case = Pathology(
            er=er, pr=pr, her2_ihc=ihc, her2_fish=fish, ki67=ki67, pathotype=pathotype, subtype=subtype, node="positive"
        )
        if not tuple(contradictions(case)):
            seen |= set(outcomes(case).items())
    assert seen <= {(name, one) for name, classes in OUTCOMES.items() for one in classes}
    assert {name for name, _ in seen} == set(OUTCOMES)
