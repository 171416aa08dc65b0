"""Wilson intervals against scipy, and the measures of a table against scikit-learn."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest
from sklearn.metrics import precision_recall_fscore_support

from models.evaluation.contract import NotDefined
from models.evaluation.proportions import Measures, Proportion, f1_score, measures, proportion


def share(value: Proportion | NotDefined) -> Proportion:
    assert isinstance(value, Proportion), value
    return value


@given(denominator=st.integers(1, 400), data=st.data())
def test_a_wilson_interval_is_scipys(denominator: int, data: st.DataObject) -> None:
    numerator = data.draw(st.integers(0, denominator))
    made = share(proportion(numerator, denominator, none="none"))
    expected = binomtest(numerator, denominator).proportion_ci(method="wilson")
    assert made.value == numerator / denominator
    assert (made.interval.lower, made.interval.upper) == pytest.approx((expected.low, expected.high), abs=1e-9)
    assert 0.0 <= made.interval.lower <= made.value <= made.interval.upper <= 1.0


def test_a_share_of_no_cases_is_not_defined() -> None:
    assert proportion(0, 0, none="there are no lesions") == NotDefined(reason="there are no lesions")
    assert f1_score(0, 0, 0, none="nothing to find") == NotDefined(reason="nothing to find")


def test_the_measures_of_a_table_by_hand() -> None:
    table = [(True, True)] * 6 + [(False, True)] * 2 + [(True, False)] * 4 + [(False, False)] * 8
    made = measures(table, none="none")
    assert isinstance(made, Measures)
    assert (made.true_positive, made.false_positive, made.false_negative, made.true_negative) == (6, 2, 4, 8)
    expected = {
        made.accuracy: (14, 20),
        made.precision: (6, 8),
        made.sensitivity: (6, 10),
        made.specificity: (8, 10),
        made.negative_predictive_value: (8, 12),
        made.f1: (12, 18),
        made.f1_benign: (16, 22),
    }
    assert {(share(found).numerator, share(found).denominator) for found in expected} == set(expected.values())
    assert all(share(found).value == pytest.approx(over / under) for found, (over, under) in expected.items())


tables = st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=40)


@given(table=tables)
def test_the_measures_of_both_classes_are_scikit_learns(table: list[tuple[bool, bool]]) -> None:
    made = measures(table, none="none")
    assert isinstance(made, Measures)
    precision, sensitivity, f1, _ = precision_recall_fscore_support(
        [truth for truth, _ in table], [called for _, called in table], labels=[True, False], zero_division=0
    )
    ours = [
        (made.precision, made.negative_predictive_value),
        (made.sensitivity, made.specificity),
        (made.f1, made.f1_benign),
    ]
    for pair, expected in zip(ours, (precision, sensitivity, f1), strict=True):
        for value, theirs in zip(pair, expected, strict=True):
            assert theirs == pytest.approx(value.value if isinstance(value, Proportion) else 0.0)
            if isinstance(value, Proportion):
                assert value.interval.lower <= value.value <= value.interval.upper
    assert share(made.accuracy).value == pytest.approx(sum(a == b for a, b in table) / len(table))


def test_measures_of_one_class_name_what_is_missing() -> None:
    made = measures([(False, False)] * 3, none="none")
    assert isinstance(made, Measures)
    assert made.sensitivity == NotDefined(reason="none is malignant")
    assert made.precision == NotDefined(reason="none was called malignant")
    assert share(made.specificity).value == 1.0
    assert measures([], none="there are no images") == NotDefined(reason="there are no images")
