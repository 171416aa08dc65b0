"""AUC against scikit-learn, DeLong against its definition and against the bootstrap."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.stats import norm
from sklearn.metrics import roc_auc_score

from models.evaluation.contract import Interval, NotDefined
from models.evaluation.roc import DelongTest, Roc, delong, delong_test, roc

Floats = NDArray[np.float64]


def defined(malignant: list[bool], scores: list[float], patients: list[int] | None = None) -> Roc:
    made = roc(malignant, scores, patients=patients)
    assert isinstance(made, Roc), made
    return made


def two_scores(seed: int, cases: int = 120) -> tuple[list[bool], Floats]:
    """A good and a poorer score, correlated, with ties."""
    random = np.random.default_rng(seed)
    truth = random.random(cases) < 0.4
    shared = random.normal(size=cases)
    scores = [shared + random.normal(size=cases) + gain * truth for gain in (1.5, 0.8)]
    return truth.tolist(), np.round(np.array(scores), 1)


def by_definition(malignant: list[bool], scores: Floats) -> tuple[Floats, Floats]:
    """DeLong's estimate, case by case: O(m n)."""
    truth = np.array(malignant)
    x, y = scores[:, truth, None], scores[:, None, ~truth]
    better = (x > y) + 0.5 * (x == y)
    v10, v01 = better.mean(axis=2), better.mean(axis=1)
    return better.mean(axis=(1, 2)), np.cov(v10) / v10.shape[1] + np.cov(v01) / v01.shape[1]


def test_an_area_by_hand() -> None:
    made = defined([True, True, False, False], [0.9, 0.4, 0.4, 0.1])
    assert made.auc == (1 + 1 + 0.5 + 1) / 4
    assert (made.positives, made.negatives) == (2, 2)
    assert made.curve_thresholds[0] is None
    assert made.curve_false_positive_rate == (0.0, 0.0, 0.5, 1.0)
    assert made.curve_sensitivity == (0.0, 0.5, 1.0, 1.0)


@pytest.mark.parametrize("seed", range(5))
def test_fast_delong_is_delong_by_its_definition(seed: int) -> None:
    malignant, scores = two_scores(seed)
    areas, covariance = delong(np.array(malignant), scores)
    expected_areas, expected_covariance = by_definition(malignant, scores)
    assert areas == pytest.approx(expected_areas)
    assert covariance is not None
    assert covariance == pytest.approx(expected_covariance)


def test_patients_with_one_case_each_change_nothing() -> None:
    malignant, scores = two_scores(3)
    _, apart = delong(np.array(malignant), scores)
    _, named = delong(np.array(malignant), scores, patients=[f"p{number}" for number in range(len(malignant))])
    assert apart is not None and named is not None
    assert named == pytest.approx(apart)


def test_cases_given_twice_under_their_patients_are_no_more_evidence() -> None:
    malignant, scores = two_scores(4)
    _, once = delong(np.array(malignant), scores)
    _, twice = delong(np.tile(malignant, 2), np.tile(scores, 2), patients=[*range(len(malignant))] * 2)
    _, unaware = delong(np.tile(malignant, 2), np.tile(scores, 2))
    assert once is not None and twice is not None and unaware is not None
    assert twice == pytest.approx(once)
    assert unaware[0, 0] < 0.6 * once[0, 0]


def test_the_variance_by_patient_is_obuchowskis_by_its_definition() -> None:
    """Patients with cases of both classes, which is where its covariance term counts: patient by patient, O(m n)."""
    malignant, scores = two_scores(5, cases=60)
    truth, patients = np.array(malignant), np.arange(60) // 5
    x, y = scores[0][truth][:, None], scores[0][~truth][None, :]
    better = (x > y) + 0.5 * (x == y)
    area, m, n = better.mean(), *better.shape
    of_patient = [
        (
            (better.mean(axis=1) - area)[patients[truth] == patient],
            (better.mean(axis=0) - area)[patients[~truth] == patient],
        )
        for patient in range(12)
    ]
    both = [(float(v10.sum()), float(v01.sum())) for v10, v01 in of_patient]
    i10, i01 = (sum(bool(parts[side].size) for parts in of_patient) for side in (0, 1))
    s10 = i10 / ((i10 - 1) * m) * sum(a * a for a, _ in both)
    s01 = i01 / ((i01 - 1) * n) * sum(b * b for _, b in both)
    s11 = 12 / 11 * sum(a * b for a, b in both)
    made = defined(malignant, scores[0].tolist(), patients.tolist())
    assert s11 != 0.0
    assert made.standard_error == pytest.approx(np.sqrt(s10 / m + s01 / n + 2 * s11 / (m * n)))


def test_the_standard_error_by_patient_is_that_of_a_bootstrap_by_patient() -> None:
    random = np.random.default_rng(8)
    patients = np.repeat(np.arange(150), 2)
    truth = np.repeat(random.random(150) < 0.5, 2)
    truth[::7] ^= True  # some patients have both classes
    scores = np.repeat(random.normal(size=150), 2) + random.normal(scale=0.5, size=300) + 0.9 * truth
    drawn = []
    for _ in range(600):
        chosen = (2 * random.integers(150, size=150)[:, None] + np.array([0, 1])).ravel()
        drawn.append(roc_auc_score(truth[chosen], scores[chosen]))
    made = defined(truth.tolist(), scores.tolist(), patients.tolist())
    assert made.standard_error == pytest.approx(np.std(drawn), rel=0.12)
    assert isinstance(made.interval, Interval)
    assert (made.interval.lower, made.interval.upper) == pytest.approx(np.quantile(drawn, [0.025, 0.975]), abs=0.012)


def test_the_interval_covers_the_true_area_in_about_95_of_100_samples() -> None:
    random = np.random.default_rng(2)
    true_area = norm.cdf(1.5 / np.sqrt(2))
    covered = 0
    for _ in range(400):
        truth = np.arange(60) < 25
        interval = defined(truth.tolist(), (random.normal(size=60) + 1.5 * truth).tolist()).interval
        covered += isinstance(interval, Interval) and interval.lower <= true_area <= interval.upper
    assert 0.92 <= covered / 400 <= 0.985


def test_a_paired_test_has_p_values_that_are_uniform_when_the_areas_are_equal() -> None:
    random = np.random.default_rng(6)
    p_values = []
    for _ in range(400):
        truth = np.arange(80) < 40
        shared = random.normal(size=80) + truth
        made = delong_test(truth.tolist(), *(shared + random.normal(size=(2, 80))).tolist())
        assert isinstance(made, DelongTest)
        p_values.append(made.p_value)
    assert 0.025 <= np.mean(np.array(p_values) < 0.05) <= 0.08
    assert np.mean(p_values) == pytest.approx(0.5, abs=0.05)


def test_a_paired_test_by_its_definition_and_turned_round() -> None:
    malignant, scores = two_scores(1)
    areas, covariance = by_definition(malignant, scores)
    made = delong_test(malignant, *scores.tolist())
    assert isinstance(made, DelongTest)
    variance = covariance[0, 0] + covariance[1, 1] - 2 * covariance[0, 1]
    z = (areas[0] - areas[1]) / np.sqrt(variance)
    assert (made.first_auc, made.second_auc, made.z) == pytest.approx((areas[0], areas[1], z))
    assert made.p_value == pytest.approx(2 * norm.cdf(-abs(z)))
    turned = delong_test(malignant, *scores[::-1].tolist())
    assert isinstance(turned, DelongTest)
    assert (turned.z, turned.p_value) == pytest.approx((-made.z, made.p_value))


def test_a_score_against_itself_has_no_test() -> None:
    malignant, scores = two_scores(1)
    made = delong_test(malignant, scores[0].tolist(), scores[0].tolist())
    assert isinstance(made, NotDefined) and "varies too little" in made.reason


@pytest.mark.parametrize(
    ("malignant", "reason"),
    [
        ([], "there are no images"),
        ([True, True], "all images are malignant"),
        ([False, False], "all images are benign"),
    ],
)
def test_one_class_has_no_area_and_says_why(malignant: list[bool], reason: str) -> None:
    scores = [0.1, 0.2][: len(malignant)]
    assert roc(malignant, scores, cases="images") == NotDefined(reason=reason)
    assert delong_test(malignant, scores, scores, cases="images") == NotDefined(reason=reason)


def test_classes_that_are_apart_have_an_area_but_no_interval() -> None:
    made = defined([True, True, False, False], [0.9, 0.8, 0.2, 0.1])
    assert made.auc == 1.0
    assert isinstance(made.interval, NotDefined) and isinstance(made.standard_error, NotDefined)


def test_a_class_of_one_patient_has_an_area_but_no_interval() -> None:
    made = defined([True, True, False, False, False], [0.9, 0.3, 0.5, 0.1, 0.2], [1, 1, 2, 3, 4])
    assert made.interval == NotDefined(reason="a class has cases of one patient only")


def test_cases_that_do_not_fit_together_are_refused() -> None:
    with pytest.raises(ValueError, match="different numbers of cases"):
        roc([True, False], [0.1])
    with pytest.raises(ValueError, match="different numbers of cases"):
        roc([True, False], [0.1, 0.2], patients=["a"])
    with pytest.raises(ValueError, match="finite"):
        roc([True, False], [0.1, float("nan")])


cases = st.lists(st.tuples(st.booleans(), st.integers(0, 12).map(lambda tenth: tenth / 12)), min_size=4, max_size=60)


@settings(deadline=None)
@given(cases=cases)
def test_the_area_is_scikit_learns_and_its_complement_turned_round(cases: list[tuple[bool, float]]) -> None:
    malignant, scores = [truth for truth, _ in cases], [score for _, score in cases]
    assume(len(set(malignant)) == 2)
    made = defined(malignant, scores)
    assert made.auc == pytest.approx(roc_auc_score(malignant, scores))
    assert defined(malignant, [-score for score in scores]).auc == pytest.approx(1 - made.auc)
    assert defined([not truth for truth in malignant], scores).auc == pytest.approx(1 - made.auc)
    assert np.trapezoid(made.curve_sensitivity, made.curve_false_positive_rate) == pytest.approx(made.auc)
    if isinstance(made.interval, Interval):
        assert 0.0 <= made.interval.lower <= made.auc <= made.interval.upper <= 1.0


@settings(deadline=None)
@given(cases=cases, patients=st.lists(st.integers(0, 9), min_size=60, max_size=60))
def test_the_area_does_not_depend_on_the_patients_nor_on_the_scale_of_the_scores(
    cases: list[tuple[bool, float]], patients: list[int]
) -> None:
    malignant, scores = [truth for truth, _ in cases], [score for _, score in cases]
    assume(len(set(malignant)) == 2)
    clustered = defined(malignant, scores, patients[: len(cases)])
    stretched = defined(malignant, [np.exp(3 * score) for score in scores], patients[: len(cases)])
    assert clustered.auc == defined(malignant, scores).auc == stretched.auc
    assert clustered.interval == stretched.interval
