"""Figures of predictions where R has no word: clusters of patients, what is not defined, published examples."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
from sklearn.calibration import calibration_curve
from sklearn.metrics import brier_score_loss, f1_score, roc_auc_score
from statsmodels.genmod.families import Binomial
from statsmodels.genmod.generalized_linear_model import GLM
from statsmodels.stats.contingency_tables import mcnemar as statsmodels_mcnemar

from models.evaluation.binary_figures import CONSTANT_SCORE, ONE_CLASS, area, at_threshold, binary_figures, youden
from models.evaluation.calibration import calibration, calibration_bins, decision_curve
from models.evaluation.cohort_table import cohort_table, compare_numbers
from models.evaluation.contract import Interval, NotDefined
from models.evaluation.estimates import Estimate
from models.evaluation.feature_clusters import feature_clusters
from models.evaluation.frame_plots import line_styles
from models.evaluation.multiclass import kappa, multiclass_figures, weighted_areas
from models.evaluation.paired import comparisons, mcnemar
from models.evaluation.prediction_figures import prediction_figures
from models.evaluation.prediction_plots import confusion_plots
from models.evaluation.prediction_report import SCHEMA, predictions_json, write_predictions_report
from models.evaluation.predictions import Covariate, Predictions
from models.evaluation.regression import Fit, Model, fit_model, logistic, regression, separated
from models.evaluation.reliability import Icc, ReadFeatures, icc_of, intraclass_correlation, reliability
from models.evaluation.report_json import RESEARCH_USE
from models.evaluation.roc import Roc
from tests.evaluation.fetched import Page


def predictions(
    truth: np.ndarray,
    *,
    patients: list[str] | None = None,
    covariates: dict[str, Covariate] | None = None,
    **models: np.ndarray,
) -> Predictions:
    cases = len(truth)
    return Predictions(
        classes=("negative", "positive"),
        patients=tuple(patients or [f"P{number}" for number in range(cases)]),
        truth=tuple(int(one) for one in truth),
        scores={
            name: tuple(None if np.isnan(p) else (1 - float(p), float(p)) for p in scores)
            for name, scores in models.items()
        },
        folds=tuple(str(number % 3) for number in range(cases)),
        splits=(None,) * cases,
        covariates=covariates or {},
    )


def simulated(seed: int = 0, cases: int = 150) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Truth, and two scores that are rounded so that they tie."""
    random = np.random.default_rng(seed)
    truth = random.random(cases) < 0.4
    first = np.round(1 / (1 + np.exp(-(2 * truth - 1 + random.normal(size=cases)))), 2)
    return truth, first, np.round(0.5 * first + 0.5 * random.random(cases), 2)


def test_youden_s_threshold_is_the_best_of_all() -> None:
    truth, score, _ = simulated()
    curve = area(truth, score, range(len(truth)))
    assert isinstance(curve, Roc)
    gains = {t: np.mean(score[truth] >= t) - np.mean(score[~truth] >= t) for t in np.unique(score)}
    assert gains[youden(curve)] == pytest.approx(max(gains.values()))
    found = at_threshold(truth, score, youden(curve), chosen="Youden, on the same cases")
    assert not isinstance(found.f1, NotDefined)
    assert found.f1.value == pytest.approx(f1_score(truth, score >= youden(curve)))
    assert "same cases" in found.chosen


def test_brier_and_the_calibration_curve_are_scikit_learn_s() -> None:
    truth, score, _ = simulated()
    found = calibration(truth, score, range(len(truth)), seed=1, resamples=400)
    assert found.brier.value == pytest.approx(brier_score_loss(truth, score))
    observed, predicted = calibration_curve(truth, score, n_bins=10, strategy="quantile")
    assert [one.observed.value for one in found.bins] == pytest.approx(observed.tolist())
    assert [one.mean_predicted for one in found.bins] == pytest.approx(predicted.tolist())
    error = np.std((score - truth) ** 2) / np.sqrt(len(truth))
    assert isinstance(found.brier.interval, Interval)
    assert found.brier.interval.upper - found.brier.interval.lower == pytest.approx(2 * 1.96 * error, rel=0.15)


def test_patients_with_copied_cases_have_the_intervals_of_the_patients() -> None:
    truth, score, _ = simulated(cases=80)
    covariate = tuple(np.random.default_rng(5).normal(size=80).tolist())
    once = predictions(truth, m=score, covariates={"x": covariate})
    names = [f"P{number}" for number in range(80)] * 3
    thrice = predictions(np.tile(truth, 3), m=np.tile(score, 3), patients=names, covariates={"x": covariate * 3})
    one, three = (binary_figures(p, "m", threshold=0.5, seed=1, resamples=300) for p in (once, thrice))
    assert isinstance(one.calibration.brier.interval, Interval) and isinstance(
        three.calibration.brier.interval, Interval
    )
    assert three.calibration.brier.interval.lower == pytest.approx(one.calibration.brier.interval.lower)
    assert three.roc.interval.lower == pytest.approx(one.roc.interval.lower, abs=2e-3)
    alone, copied = (fit_model(p.positive, p.covariates, p.patients) for p in (once, thrice))
    assert isinstance(alone, Model) and isinstance(copied, Model)
    widths = [np.log(m.effects["x"].odds_ratios["per unit"].interval.upper) for m in (alone, copied)]
    assert widths[0] == pytest.approx(widths[1], rel=0.1)  # the sandwich is not Wald's variance, but near it
    assert cohort_table(once, seed=0)[0].test == cohort_table(thrice, seed=0)[0].test


def test_net_benefit_of_a_perfect_model_is_the_prevalence() -> None:
    truth = np.array([True, False, False, True])
    found = decision_curve(truth, truth.astype(float), thresholds=(0.2, 0.5))
    assert found.model == (0.5, 0.5) and found.all_positive == pytest.approx((0.375, 0.0))


def test_fewer_cases_have_fewer_bins_and_equal_scores_one() -> None:
    truth = np.array([True, False] * 8)
    assert len(calibration_bins(truth, np.linspace(0, 1, 16))) == 3
    assert len(calibration_bins(truth, np.full(16, 0.5))) == 1


@pytest.mark.parametrize(("b", "c"), [(0, 0), (5, 5), (3, 9), (20, 20), (30, 18)])
def test_mcnemar_s_test_is_statsmodels_and_equal_counts_give_one(b: int, c: int) -> None:
    right = np.array([True] * (10 + b) + [False] * c), np.array([True] * 10 + [False] * b + [True] * c)
    found = mcnemar(*right)
    expected = statsmodels_mcnemar([[10, b], [c, 0]], exact=b + c < 25, correction=True).pvalue
    assert found.p_value == pytest.approx(1.0 if b == c else expected)
    assert (found.first_only, found.second_only) == (b, c)


@pytest.mark.parametrize(
    ("scores", "reason"),
    [(np.full(20, 0.3), CONSTANT_SCORE), (np.full(20, np.nan), "no case has this score")],
)
def test_a_score_without_information_is_not_defined_and_nothing_fails(scores: np.ndarray, reason: str) -> None:
    truth = np.arange(20) % 2 == 0
    found, _ = prediction_figures(
        predictions(truth, bad=scores, good=np.linspace(0, 1, 20)), title="t", data="d", resamples=50
    )
    assert found.binary["bad"].roc == NotDefined(reason=reason)
    assert isinstance(found.comparisons[0].delong, NotDefined)
    json.loads(predictions_json(found))


def test_one_class_alone_leaves_figures_undefined() -> None:
    found, _ = prediction_figures(
        predictions(np.ones(12, dtype=bool), m=np.linspace(0, 1, 12), covariates={"age": tuple(range(12))}),
        title="t", data="d", resamples=50,
    )  # fmt: skip
    one = found.binary["m"]
    assert one.roc == NotDefined(reason=ONE_CLASS) and one.at_youden == one.roc
    assert isinstance(one.calibration.slope, NotDefined) and isinstance(one.at_threshold.specificity, NotDefined)
    assert isinstance(found.cohort[0].test, NotDefined)


def test_gaps_are_left_out_and_models_compared_on_common_cases() -> None:
    truth, first, second = simulated()
    first[:10], second[5:20] = np.nan, np.nan
    both = predictions(truth, a=first, b=second)
    assert binary_figures(both, "a", threshold=0.5, seed=0, resamples=50).left_out == 10
    pair = comparisons(both, threshold=0.5)[0]
    assert pair.cases == 130 and not isinstance(pair.delong, NotDefined)
    assert pair.delong.first_auc == pytest.approx(roc_auc_score(truth[20:], first[20:]))


def several(seed: int = 3) -> Predictions:
    random = np.random.default_rng(seed)
    truth = random.integers(3, size=90)
    rows = random.dirichlet((1, 1, 1), size=90) * 0.6 + 0.4 * np.eye(3)[truth]
    none = (None,) * 90
    return Predictions(
        classes=("zero", "low", "positive"), patients=tuple(f"P{n // 2}" for n in range(90)),
        truth=tuple(truth.tolist()), scores={"m": tuple(map(tuple, rows.tolist()))},
        folds=none, splits=none, covariates={},
    )  # fmt: skip


def test_macro_auc_is_scikit_learn_s_and_its_interval_holds_it() -> None:
    cases = several()
    found = multiclass_figures(cases, "m", seed=0, resamples=300)
    rows = cases.probabilities("m", np.arange(90))
    assert isinstance(found.macro_auc, Estimate) and isinstance(found.macro_auc.interval, Interval)
    assert found.macro_auc.value == pytest.approx(roc_auc_score(cases.truth, rows, multi_class="ovr"))
    assert found.macro_auc.interval.lower < found.macro_auc.value < found.macro_auc.interval.upper
    assert sum(map(sum, found.confusion)) == 90


def test_weighted_areas_are_scikit_learn_s_with_sample_weights() -> None:
    truth, score, _ = simulated()
    weights = np.random.default_rng(0).integers(0, 4, size=(3, len(truth))).astype(float)
    expected = [roc_auc_score(truth, score, sample_weight=row) for row in weights]
    assert weighted_areas(truth, score, weights) == pytest.approx(expected)


def test_kappa_of_one_class_throughout_is_not_defined() -> None:
    assert isinstance(kappa(np.array([[9, 0], [0, 0]])), NotDefined)


def test_separation_is_found_whole_and_in_part_and_not_where_there_is_none() -> None:
    ones, x = np.ones(8), np.arange(8.0)
    whole, partial = x >= 4, np.array([0, 0, 0, 0, 1, 1, 1, 0], dtype=bool)
    assert separated(np.column_stack([ones, x]), whole)
    assert separated(np.column_stack([ones, x >= 4]), partial)  # no positive below 4
    assert not separated(np.column_stack([ones, x]), np.array([0, 1, 0, 1, 0, 1, 0, 1], dtype=bool))
    found = logistic(np.column_stack([ones, x]), whole, events_per_coefficient=1)
    assert isinstance(found, NotDefined) and "separation" in found.reason


def test_what_a_regression_cannot_tell_has_its_reason() -> None:
    random = np.random.default_rng(0)
    positive = random.random(80) < 0.5
    x = random.normal(size=80)
    names = list(range(80))
    twice = {"x": tuple(x.tolist()), "y": tuple((2 * x + 1).tolist())}
    cases = {
        "determine each other": (positive, twice),
        "too few events": (np.arange(80) < 3, {"x": twice["x"]}),
        "the same for all": (positive, {"x": (1.0,) * 80}),
        "more than 10": (positive, {"x": tuple(map(str, range(80)))}),
        "no case has": (positive, {"x": (None,) * 80}),
    }
    for reason, (truth, covariates) in cases.items():
        found = fit_model(truth, covariates, names)
        assert isinstance(found, NotDefined) and reason in found.reason


def test_clustered_odds_ratios_are_statsmodels_and_units_do_not_matter() -> None:
    random = np.random.default_rng(1)
    positive, x, groups = random.random(120) < 0.4, random.normal(50, 9, 120), np.arange(120) // 2
    design = np.column_stack([np.ones(120), x])
    expected = GLM(positive.astype(float), design, family=Binomial()).fit(
        cov_type="cluster", cov_kwds={"groups": groups}
    )
    found, in_tiny_units = (logistic(np.column_stack([np.ones(120), u * x]), positive, groups) for u in (1, 1e9))
    assert isinstance(found, Fit) and isinstance(in_tiny_units, Fit)
    assert found.coefficients == pytest.approx(expected.params, rel=1e-5)
    assert found.covariance == pytest.approx(expected.cov_params(), rel=1e-5)
    assert in_tiny_units.coefficients[1] * 1e9 == pytest.approx(found.coefficients[1])


def test_the_multivariate_model_takes_what_matters_alone_and_a_score_in_any_case() -> None:
    random = np.random.default_rng(2)
    positive = random.random(200) < 0.5
    strong, noise = random.normal(size=200) + positive, random.normal(size=200)
    columns = {"strong": tuple(strong.tolist()), "noise": tuple(noise.tolist())}
    found = regression(positive, columns, range(200))
    assert isinstance(found.multivariate, Model) and list(found.multivariate.effects) == ["strong"]
    forced = regression(positive, columns, range(200), always=("noise",))
    assert isinstance(forced.multivariate, Model) and list(forced.multivariate.effects) == ["strong", "noise"]


def test_numbers_with_unequal_spread_and_several_classes_have_welch_s_test() -> None:
    random = np.random.default_rng(0)
    spreads = [random.normal(0, spread, 40) for spread in (1, 1, 9)]
    assert compare_numbers(spreads).name == "Welch's ANOVA"
    assert compare_numbers([np.exp(one) for one in spreads]).name == "Kruskal-Wallis"


SHROUT_FLEISS = np.array([[9, 2, 5, 8], [6, 1, 3, 2], [8, 4, 6, 8], [7, 1, 2, 6], [10, 5, 6, 9], [6, 2, 4, 7]], float)


def test_icc_of_the_published_example() -> None:
    found = icc_of(SHROUT_FLEISS)  # Shrout and Fleiss 1979, tables 2 to 4: 0.29; its interval: psych's documentation
    assert isinstance(found, Icc) and isinstance(found.interval, Interval)
    assert (round(found.value, 2), found.lesions) == (0.29, 6)
    assert [round(found.interval.lower, 3), round(found.interval.upper, 3)] == [0.019, 0.761]
    assert icc_of(SHROUT_FLEISS * 1e12).value == pytest.approx(found.value)
    together = np.stack([SHROUT_FLEISS, 1e12 * SHROUT_FLEISS, np.zeros_like(SHROUT_FLEISS)], axis=2)
    np.testing.assert_allclose(intraclass_correlation(together), [found.value, found.value, np.nan])


def test_reliability_says_what_it_cannot_tell() -> None:
    values = np.stack([SHROUT_FLEISS, np.ones((6, 4)), np.full((6, 4), np.nan)], axis=2)
    values[0, 0, 0] = np.nan
    found = reliability(ReadFeatures(names=("a", "b", "c"), readers=tuple("ABCD"), values=values))
    assert isinstance(found.icc["a"], Icc) and found.icc["a"].lesions == 5
    assert found.undefined == 2 and "same throughout" in found.icc["b"].reason
    clusters, _ = feature_clusters(ReadFeatures(names=("a", "b", "c"), readers=tuple("ABCD"), values=values))
    assert isinstance(clusters, NotDefined)
    agreed = icc_of(np.repeat(np.arange(5.0)[:, None], 3, axis=1))
    assert isinstance(agreed, Icc) and agreed.value == pytest.approx(1.0) and isinstance(agreed.interval, NotDefined)


@pytest.mark.parametrize("change", [{"truth": (2,)}, {"truth": (0, 1)}, {"scores": {"m": ((0.5, 0.4),)}}])
def test_predictions_that_cannot_be_are_refused(change: dict) -> None:
    with pytest.raises(ValueError, match=r"classes|numbers of cases|add up to 1"):
        replace(predictions(np.array([True]), m=np.array([0.5])), **change)


def test_the_page_needs_nothing_beside_it_and_the_document_is_json(tmp_path: Path) -> None:
    truth, first, second = simulated()
    first[0] = np.nan
    random = np.random.default_rng(0)
    covariates: dict[str, Covariate] = {
        "<age>": tuple((random.normal(50, 9, 150) + 5 * truth).tolist()),
        "grade": tuple(random.choice(["I", "II", "III"], 150).tolist()),
    }
    features = ReadFeatures(names=("f", "g"), readers=("A", "B"), values=random.normal(size=(9, 2, 2)))
    found, drawn = prediction_figures(
        predictions(truth, covariates=covariates, network=first, **{"<radiomics>": second}),
        title="Evaluation of <predictions>", data="a simulated cohort", features=features,
        score_in_regression="network", resamples=50,
    )  # fmt: skip
    written = write_predictions_report(found, drawn, tmp_path / "report")
    names = ["roc", "calibration", "decision", "confusion", "odds_ratios", "features"]
    assert [path.stem for path in written[2:]] == names
    text = written[0].read_text(encoding="utf-8")
    page = Page(text)
    assert len(page.sources) == 6 and all(source.startswith("data:image/png;base64,") for source in page.sources)
    words = " ".join(page.words)
    for said in (RESEARCH_USE, "a simulated cohort", "left out: no score of network", "Holm", "flatters", "logit of"):
        assert said in words, said
    assert not re.search("<age>|<radiomics>|<predictions>", text)
    content = json.loads(written[1].read_text(encoding="utf-8"))
    assert content["schema"] == SCHEMA and content["research_use"] == RESEARCH_USE
    assert content["binary"]["network"]["left_out"] == 1
    assert content["regression"]["always"] == ["logit of network"]


def test_no_curve_and_no_matrix_is_dropped_however_many_models_there_are() -> None:
    styles = list(islice(line_styles(), 20))
    assert len({(colour, str(style)) for colour, style in styles}) == 20
    truth, score, _ = simulated(cases=40)
    found, _ = prediction_figures(
        predictions(truth, **{f"m{place}": score for place in range(5)}), title="t", data="d", resamples=20
    )
    assert [plot.name for plot in confusion_plots(found)] == ["confusion_1", "confusion_2"]
