"""Figures of predictions against those of R (pROC, psych, stats), on committed tables.

`against_r.R` makes ``predictions/r_figures.json``. Where Rscript and these packages are installed and the variable
MAMMONODE_RUN_R is set, it is run anew.
"""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from scipy.special import expit, logit

from models.evaluation.cohort_table import compare_counts, compare_numbers
from models.evaluation.contract import Interval
from models.evaluation.feature_clusters import FeatureClusters
from models.evaluation.paired import McnemarTest, holm
from models.evaluation.prediction_figures import PredictionsEvaluation
from models.evaluation.proportions import Z
from models.evaluation.regression import Model, fit_model
from pipelines.prediction_evaluation import evaluate_tables
from tests.evaluation.prediction_cohort import FOLDER, binary, read_features, several

RECORDED = FOLDER / "r_figures.json"
TOLERANCE = {"rel": 1e-6, "abs": 1e-9}


@pytest.fixture(scope="module")
def r() -> Any:
    if not os.environ.get("MAMMONODE_RUN_R"):
        return json.loads(RECORDED.read_text(encoding="utf-8"))
    script = Path(__file__).with_name("against_r.R")
    made = subprocess.run(["Rscript", script, FOLDER], capture_output=True, text=True, check=True, timeout=120)
    return json.loads(made.stdout)


@pytest.fixture(scope="module")
def of_two() -> PredictionsEvaluation:
    return evaluate_tables(FOLDER / "binary.csv", features=FOLDER / "features.csv")[0]


@pytest.fixture(scope="module")
def of_several() -> PredictionsEvaluation:
    return evaluate_tables(FOLDER / "several.csv")[0]


def bounds(figure: Any) -> list[float]:
    assert isinstance(figure.interval, Interval)
    return [figure.interval.lower, figure.interval.upper]


def test_the_committed_tables_are_those_of_their_simulation() -> None:
    for name, made in (("binary", binary()), ("several", several()), ("features", read_features())):
        read = pd.read_csv(FOLDER / f"{name}.csv", dtype={"lesion": str})
        pd.testing.assert_frame_equal(read, made, check_dtype=False)


@pytest.mark.parametrize("model", ["network", "radiomics", "clinical-svm"])
def test_a_model_s_figures_are_r_s(r: Any, of_two: PredictionsEvaluation, model: str) -> None:
    expected, found = r["models"][model], of_two.binary[model]
    auc, error = expected["auc"], np.sqrt(expected["variance"])
    assert found.roc.auc == pytest.approx(auc, **TOLERANCE)
    assert found.roc.standard_error == pytest.approx(error, **TOLERANCE)
    on_logits = expit(logit(auc) + np.array([-1, 1]) * Z * error / (auc * (1 - auc)))
    assert bounds(found.roc) == pytest.approx(on_logits, **TOLERANCE)
    at = found.at_threshold
    assert [at.true_positive, at.false_positive, at.false_negative, at.true_negative] == expected["table"]
    shares = {"ppv": "positive_predictive_value", "npv": "negative_predictive_value"}
    for name in ("accuracy", "sensitivity", "specificity", "ppv", "npv"):
        assert bounds(getattr(at, shares.get(name, name))) == pytest.approx(expected[name], **TOLERANCE), name
    assert at.f1.value == pytest.approx(expected["f1"], **TOLERANCE)
    scores = np.array(binary()[model])  # R puts a threshold midway between two scores, here it is the upper of them
    assert found.at_youden.threshold == min(scores[scores >= expected["youden"]])
    calibration = found.calibration
    assert calibration.brier.value == pytest.approx(expected["brier"], **TOLERANCE)
    assert calibration.intercept.value == pytest.approx(expected["intercept"], **TOLERANCE)
    slope, spread = expected["slope"], Z * expected["slope_se"]
    assert calibration.slope.value == pytest.approx(slope, **TOLERANCE)
    assert bounds(calibration.slope) == pytest.approx([slope - spread, slope + spread], **TOLERANCE)
    benefit = dict(zip(found.decision_curve.thresholds, found.decision_curve.model, strict=True))
    assert [benefit[at] for at in (0.1, 0.3, 0.5)] == pytest.approx(expected["net_benefit"], **TOLERANCE)


def test_comparisons_of_models_are_r_s(r: Any, of_two: PredictionsEvaluation) -> None:
    assert len(of_two.comparisons) == len(r["compared"]) == 3
    for pair, corrected in zip(of_two.comparisons, r["holm"], strict=True):
        expected = r["compared"][f"{pair.first} against {pair.second}"]
        assert pair.delong.z == pytest.approx(expected["z"], **TOLERANCE)
        assert pair.delong.p_value == pytest.approx(expected["p"], rel=1e-6, abs=0)
        assert pair.delong_holm == pytest.approx(corrected, rel=1e-6, abs=0)
        assert [pair.mcnemar.first_only, pair.mcnemar.second_only] == expected["discordant"]
        assert pair.mcnemar.p_value == pytest.approx(expected["mcnemar"], **TOLERANCE)
        exact = stats.binomtest(expected["discordant"][0], sum(expected["discordant"])).pvalue
        assert exact == pytest.approx(expected["exact"], **TOLERANCE)


def test_holm_s_correction_keeps_the_order_of_the_tests(r: Any) -> None:
    tests = [
        McnemarTest(first_only=0, second_only=0, statistic=None, p_value=one["p"], method="")
        for one in r["compared"].values()
    ]
    assert holm(tests) == pytest.approx(r["holm"], rel=1e-6, abs=0)


def test_tests_of_the_cohort_are_r_s(r: Any, of_two: PredictionsEvaluation) -> None:
    found = {row.covariate: row.test for row in of_two.cohort}
    expected = {
        "age": ("Student's t", "student"),
        "density": ("Welch's t", "welch"),
        "size_mm": ("Mann-Whitney U", "wilcoxon"),
        "grade": ("chi-square", "chisq"),
        "implant": ("Fisher's exact", "fisher"),
    }
    for covariate, (name, key) in expected.items():
        assert found[covariate].name == name
        assert found[covariate].p_value == pytest.approx(r["cohort"][key], **TOLERANCE), covariate


def test_odds_ratios_are_r_s(r: Any, of_two: PredictionsEvaluation) -> None:
    def check(model: Any, terms: dict[str, tuple[str, str]], expected: Any) -> None:
        assert isinstance(model, Model)
        for of_r, (covariate, term) in terms.items():
            ratio = model.effects[covariate].odds_ratios[term]
            figures = [ratio.value, *bounds(ratio), ratio.p_value]
            assert figures == pytest.approx([expected[of_r][key] for key in ("or", "lower", "upper", "p")], **TOLERANCE)

    age, size = {"age": ("age", "per unit")}, {"size": ("size_mm", "per unit")}
    grade = {f"grade{term}": ("grade", term) for term in ("I", "III")}
    alone = of_two.regression.univariate
    check(alone["age"], age, r["odds"]["age"])
    check(alone["size_mm"], size, r["odds"]["size"])
    check(alone["grade"], grade, r["odds"]["grade"])
    table = binary()
    names = ("age", "clinical:size_mm", "clinical:grade", "clinical:palpable")
    covariates = {name.removeprefix("clinical:"): tuple(table[name].tolist()) for name in names}
    positive = np.array(table["outcome"] == "positive")
    together = fit_model(positive, covariates, table["patient"].tolist())
    check(together, {**age, **size, **grade, "palpable": ("palpable", "1")}, r["odds"]["multivariate"])


def test_figures_of_several_classes_are_r_s(r: Any, of_several: PredictionsEvaluation) -> None:
    expected, found = r["several"], of_several.multiclass["network"]
    assert [one.roc.auc for one in found.of_class.values()] == pytest.approx(expected["auc"], **TOLERANCE)
    assert found.macro_auc.value == pytest.approx(np.mean(expected["auc"]), **TOLERANCE)
    assert found.accuracy.value == pytest.approx(expected["accuracy"], **TOLERANCE)
    assert found.kappa.value == pytest.approx(expected["kappa"], **TOLERANCE)
    assert found.brier.value == pytest.approx(expected["brier"], **TOLERANCE)
    assert [list(row) for row in found.confusion] == expected["confusion"]
    table = several()
    ages = [np.array(table["age"][table["outcome"] == name]) for name in ("zero", "low", "positive")]
    assert compare_numbers(ages).name == "one-way ANOVA"
    assert compare_numbers(ages).p_value == pytest.approx(expected["anova"], **TOLERANCE)
    assert stats.f_oneway(*ages, equal_var=False).pvalue == pytest.approx(expected["welch_anova"], **TOLERANCE)
    assert stats.kruskal(*ages).pvalue == pytest.approx(expected["kruskal"], **TOLERANCE)


def test_reliability_is_psych_s_and_clusters_are_hclust_s(r: Any, of_two: PredictionsEvaluation) -> None:
    assert of_two.features is not None
    for name, found in of_two.features.reliability.icc.items():
        assert [found.value, *bounds(found)] == pytest.approx(r["icc"][name], **TOLERANCE), name
    clusters = of_two.features.clusters
    assert isinstance(clusters, FeatureClusters)
    together = {(a, b): clusters.cluster_of[a] == clusters.cluster_of[b] for a in r["clusters"] for b in r["clusters"]}
    assert together == {(a, b): r["clusters"][a] == r["clusters"][b] for a, b in together}


def test_a_table_with_few_expected_cases_is_tested_exactly(r: Any) -> None:
    tea = compare_counts(np.array([[3, 1], [1, 3]]), seed=0)  # Fisher's lady tasting tea: 34 / 70
    assert tea.name == "Fisher's exact" and tea.p_value == pytest.approx(34 / 70)
    wide = compare_counts(np.array([[3, 1], [1, 3], [2, 2]]), seed=0)  # drawn, so to the error of 99999 draws
    assert wide.name == "Fisher's exact, 99999 tables drawn"
    assert wide.p_value == pytest.approx(r["cohort"]["fisher_wide"], abs=0.008)
