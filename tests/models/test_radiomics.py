"""Features are pyradiomics', recipes learn what is there and nothing else, and a weights file runs no code."""

from __future__ import annotations

import io
import json
import zipfile
from itertools import combinations
from typing import Any

import numpy as np
import pytest
import yaml
from numpy.typing import NDArray

pytest.importorskip("sklearn", reason="scikit-learn is not installed")
pytest.importorskip("imblearn", reason="imbalanced-learn is not installed")
pytest.importorskip("skops", reason="skops is not installed")

import skops.io
from sklearn.impute import SimpleImputer
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import cross_val_score
from sklearn.naive_bayes import GaussianNB
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import FunctionTransformer

from models.errors import WeightsMismatch
from models.radiomics import fitted as fitted_module
from models.radiomics import machine, steps
from models.radiomics.features import (
    FEATURES_OF,
    LEAST_PX,
    WHITE,
    FeatureExtractor,
    coarser,
    missing_packages,
    settings_text,
)
from models.radiomics.fitted import FittedRecipe, from_bytes, to_bytes
from models.radiomics.recipes import (
    ALPHAS,
    SELECTED,
    TREES,
    fit,
    forest,
    machine_of,
    naive_bayes,
    selected_columns,
    stable_svm,
)
from models.regions.contract import LesionView

needs_pyradiomics = pytest.mark.skipif(bool(missing_packages(lbp=True)), reason="pyradiomics is not installed")


def lesion() -> LesionView:
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:40, :44]
    mask = (y - 20) ** 2 + (x - 22) ** 2 <= 9**2
    pixels = np.clip(rng.normal(0.4, 0.1, size=mask.shape) + 0.2 * mask, 0, 1).astype(np.float32)
    return LesionView(pixels=pixels, mask=mask, spacing_mm=None)


def rows_of(n: int, columns: int, *, signal: float, seed: int = 0) -> tuple[Any, Any]:
    """Rows of two classes that differ in columns 1 and 4."""
    rng = np.random.default_rng(seed)
    labels = np.arange(n) % 2
    rows = rng.normal(size=(n, columns))
    rows[:, [1, 4]] += signal * labels[:, None]
    return rows, labels


@needs_pyradiomics
@pytest.mark.parametrize("features", [95, 961, 1409])
def test_all_features_equal_those_of_pyradiomics_called_directly(features: int) -> None:
    import SimpleITK as sitk  # noqa: N813  as everyone calls it
    from radiomics.featureextractor import RadiomicsFeatureExtractor

    view = lesion()
    extractor = FeatureExtractor(settings_text(features))
    expected: dict[str, float] = {}
    for document in yaml.safe_load_all(settings_text(features)):
        lift = (lambda a: a[None]) if "shape" in document["featureClass"] else (lambda a: a)
        image = sitk.GetImageFromArray(lift(WHITE * view.pixels.astype(np.float64)))
        mask = sitk.GetImageFromArray(lift(view.mask.astype(np.uint8)))
        found = RadiomicsFeatureExtractor(document).execute(image, mask)
        expected |= {name: float(value) for name, value in found.items()}
    assert extractor.names == tuple(expected)
    assert len(expected) == features
    np.testing.assert_array_equal(extractor.features(view), np.array(list(expected.values())))


@needs_pyradiomics
def test_a_box_has_features_and_a_region_too_small_has_a_sentence(capfd: pytest.CaptureFixture[str]) -> None:
    view = lesion()
    extractor = FeatureExtractor(settings_text(95))
    box = np.zeros_like(view.mask)
    box[10:30, 12:30] = True
    assert np.isfinite(extractor.features(LesionView(pixels=view.pixels, mask=box, spacing_mm=None))).all()
    small = np.zeros_like(view.mask)
    small[10:13, 10:15] = True
    with pytest.raises(ValueError, match=f"15 pixels .* too small .* {LEAST_PX} pixels"):
        extractor.features(LesionView(pixels=view.pixels, mask=small, spacing_mm=None))
    line = np.zeros_like(view.mask)
    line[10] = True
    with pytest.raises(ValueError, match="1 rows"):
        extractor.features(LesionView(pixels=view.pixels, mask=line, spacing_mm=None))
    assert capfd.readouterr() == ("", "")


def test_the_features_of_the_papers_are_among_them() -> None:
    [settings] = yaml.safe_load_all(settings_text(FEATURES_OF["radiomics-er"]))
    assert {"Energy", "Minimum", "Median"} <= set(settings["featureClass"]["firstorder"])
    assert settings["featureClass"]["shape2D"] == settings["featureClass"]["glrlm"] == []  # all


def test_a_coarser_mask_keeps_the_area() -> None:
    y, x = np.mgrid[:203, :201]
    mask = (y - 100) ** 2 + (x - 100) ** 2 <= 80**2
    assert coarser(mask, 1) is mask
    assert 9 * coarser(mask, 3).sum() == pytest.approx(mask.sum(), rel=0.01)


def test_features_on_which_outlines_disagree_are_dropped_whatever_they_say() -> None:
    rows, labels = rows_of(60, 6, signal=3.0)
    second = rows + np.random.default_rng(1).normal(scale=0.05, size=rows.shape)
    second[:, 1] = np.random.default_rng(2).permutation(rows[:, 1])
    model = stable_svm(1, 6)
    fit(model, np.hstack([rows, second]), labels, np.arange(60))
    assert 1 not in selected_columns(model, 6) and 4 in selected_columns(model, 6)


def test_the_search_finds_the_subset_that_scikit_learn_finds() -> None:
    rows, labels = rows_of(60, 6, signal=0.8)
    splits = steps.splits_of(labels, None, folds=3, seed=1)
    aucs = {
        subset: cross_val_score(GaussianNB(), rows[:, subset], labels, cv=splits, scoring="roc_auc").mean()
        for subset in combinations(range(6), 2)
    }
    assert tuple(steps.best_subset(rows, labels, splits, 2)) == max(aucs, key=lambda subset: aucs[subset])


def test_inner_folds_learn_and_measure_every_class_and_too_few_patients_are_refused() -> None:
    """Fourteen rows of a class are enough; that they are of three patients counts as well."""
    labels = np.repeat([0, 1], [60, 14])
    patients = np.concatenate([np.arange(60) // 2, [30] * 6 + [31] * 4 + [32] * 4])
    splits = steps.splits_of(labels, patients, folds=10, seed=1)
    assert 2 <= len(splits) <= 3
    assert all(set(labels[side]) == {0, 1} for split in splits for side in split)
    rows = np.random.default_rng(0).normal(size=(74, 4)) + labels[:, None]
    for step in (steps.BestForNaiveBayes(2), machine.BalancedSvm()):
        step.fit(rows, labels, patients)
    with pytest.raises(ValueError, match="a class of 1 patients takes more"):
        steps.splits_of(labels, np.where(labels == 1, 99, patients), folds=5, seed=1)


def test_weak_features_of_many_lesions_are_found_although_only_weak_strengths_give_them_weight() -> None:
    """Correlations of about 0.12 have weight below a strength of 0.06."""
    rows, labels = rows_of(800, 5, signal=0.25)
    rows = (rows - rows.mean(axis=0)) / rows.std(axis=0)
    lasso = steps.LassoFeatures(alphas=ALPHAS, folds=5).fit(rows, labels)
    assert not lasso.fell_back_ and {1, 4} <= set(lasso.kept_.tolist())


RECIPES = {
    "naive_bayes": lambda: naive_bayes(1, 10),
    "forest": lambda: forest(1).set_params(rfe__estimator__n_estimators=10, rfe__step=0.3),
    "stable_svm": lambda: stable_svm(1, 20),
}


def fitted_to(name: str, *, shuffled: bool = False) -> Pipeline:
    rows, labels = rows_of(100, 20, signal=1.5)
    rows[5, 7] = np.nan  # not defined of a lesion
    if shuffled:
        labels = np.random.default_rng(3).permutation(labels)
    given = np.hstack([rows, rows + 0.01]) if name == "stable_svm" else rows
    return fit(RECIPES[name](), given, labels, np.arange(100) // 2)


@pytest.fixture(scope="module", params=list(RECIPES))
def learned(request: pytest.FixtureRequest) -> tuple[str, Pipeline]:
    return request.param, fitted_to(request.param)


def test_a_recipe_learns_what_is_there_and_nothing_from_shuffled_labels(learned: tuple[str, Pipeline]) -> None:
    name, model = learned
    new, truth = rows_of(200, 20, signal=1.5, seed=9)
    assert roc_auc_score(truth, model.predict_proba(new)[:, 1]) > 0.85
    assert {1, 4} <= set(selected_columns(model, 20).tolist())
    by_chance = fitted_to(name, shuffled=True)
    assert 0.3 < roc_auc_score(truth, by_chance.predict_proba(new)[:, 1]) < 0.7
    if name == "forest":
        assert len(selected_columns(model, 20)) == SELECTED == 6
        assert len(model.named_steps["randomforestclassifier"].estimators_) == TREES == 90


def test_three_classes_have_probabilities_that_add_up() -> None:
    rng = np.random.default_rng(0)
    labels = np.arange(60) % 3
    rows = rng.normal(size=(60, 6)) + 2.0 * np.eye(6)[labels]
    model = fit(stable_svm(1, 6), np.hstack([rows, rows]), labels, np.arange(60))
    found = model.predict_proba(rows)
    assert np.allclose(found.sum(axis=1), 1) and (found.argmax(axis=1) == labels).mean() > 0.8


def of_three_levels(count: int, *, seed: int) -> tuple[NDArray[np.float64], NDArray[np.intp]]:
    """Rows whose first value, and nothing else, tells of three levels: 0, 1.8 and 3.6."""
    rng = np.random.default_rng(seed)
    labels = np.arange(count) % 3
    rows = rng.normal(size=(count, 4))
    rows[:, 0] += 1.8 * labels
    return rows, labels


def test_a_class_between_two_others_is_told_nearly_as_well_as_it_can_be() -> None:
    """The best observer orders by the likelihood ratio of the first value, which is known by construction."""
    rows, labels = of_three_levels(300, seed=1)
    model = machine.BalancedSvm(seed=1).fit(rows, labels, np.arange(300))
    shown, wanted = of_three_levels(1500, seed=2)
    likelihoods = np.exp(-0.5 * (shown[:, :1] - 1.8 * np.arange(3)) ** 2)
    best = roc_auc_score(wanted == 1, likelihoods[:, 1] / likelihoods.sum(axis=1))
    assert roc_auc_score(wanted == 1, model.predict_proba(shown)[:, 1]) > 0.985 * best  # a sigmoid a class: 0.974


def test_the_strengths_of_the_least_loss_are_kept_and_go_into_the_bundle() -> None:
    """A boundary that is a circle needs a kernel; a cost of nearly nothing learns nothing."""
    rng = np.random.default_rng(3)
    rows = rng.normal(size=(160, 2))
    labels = (np.hypot(*rows.T) > 1.2).astype(np.intp)
    model = machine.BalancedSvm(costs=(1e-6, 10.0), widths=(1e-6, 1.0), seed=1).fit(rows, labels, np.arange(160))
    assert model.chosen_ == (10.0, 1.0)
    assert machine_of(Pipeline([("svm", model)])) == {"svm_c_and_gamma": (10.0, 1.0)}
    assert machine_of(forest(1)) == {}


def test_without_any_feature_that_differs_the_best_one_is_kept_and_it_is_said() -> None:
    rng = np.random.default_rng(0)
    labels = np.arange(40) % 2
    rows = np.repeat(rng.normal(size=(20, 3)), 2, axis=0)  # both classes alike
    rows[0, 2] += 0.01
    kept = steps.SignificantFeatures().fit(rows, labels)
    assert kept.fell_back_ and kept.kept_.tolist() == [2]


def test_smote_sees_no_row_that_is_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    """A row is known by its first value: what is resampled are the rows of the folds that a machine is fitted to."""
    seen: list[set[float]] = []
    original = machine.SMOTE.fit_resample

    def recorded(self: Any, rows: Any, labels: Any, **given: Any) -> Any:
        seen.append(set(rows[:, 0].tolist()))
        return original(self, rows, labels, **given)

    monkeypatch.setattr(machine.SMOTE, "fit_resample", recorded)
    rows, labels = rows_of(60, 5, signal=2.0)
    labels[:20] = 0  # unbalanced
    patients = np.arange(60) // 2
    model = machine.BalancedSvm(costs=(1.0, 10.0), widths=(1.0,), seed=1).fit(rows, labels, patients)
    splits = steps.splits_of(labels, patients, folds=5, seed=1)
    of_folds = [set(rows[learned, 0].tolist()) for learned, _ in splits]
    assert seen == [*of_folds, *of_folds, set(rows[:, 0].tolist())]  # by strength, and the machine that is kept
    assert all(not set(patients[learned]) & set(patients[measured]) for learned, measured in splits)
    seen.clear()
    model.predict_proba(rows)
    assert not seen


@pytest.fixture
def fixed_versions(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fitted_module, "versions", lambda: {"scikit-learn": "1", "pyradiomics": "3"})


def recipe_of(pipeline: Pipeline) -> FittedRecipe:
    return FittedRecipe(pipeline=pipeline, settings="setting: {}", names=("a", "b"))


@pytest.mark.usefixtures("fixed_versions")
def test_a_recipe_comes_back_from_bytes_with_equal_probabilities(learned: tuple[str, Pipeline]) -> None:
    _, model = learned
    rows, _ = rows_of(40, 20, signal=2.0)
    back = from_bytes(to_bytes(recipe_of(model)), "radiomics-er")
    np.testing.assert_array_equal(back.pipeline.predict_proba(rows), model.predict_proba(rows))
    assert (back.settings, back.names) == ("setting: {}", ("a", "b"))


@pytest.mark.usefixtures("fixed_versions")
def test_a_type_that_is_not_trusted_is_neither_written_nor_read() -> None:
    rows, labels = rows_of(20, 5, signal=2.0)
    model = make_pipeline(FunctionTransformer(json.dumps), GaussianNB())
    model.named_steps["gaussiannb"].fit(rows, labels)
    with pytest.raises(ValueError, match="not among the trusted types"):
        to_bytes(recipe_of(model))
    file = io.BytesIO(skops.io.dumps(model))
    with zipfile.ZipFile(file, "a") as archive:
        said = {"settings": "", "names": [], "versions": fitted_module.versions()}
        archive.writestr("features.json", json.dumps(said))
    with pytest.raises(WeightsMismatch, match=r"types that are not trusted: .*dumps"):
        from_bytes(file.getvalue(), "radiomics-er")


@pytest.mark.usefixtures("fixed_versions")
def test_bytes_of_something_else_or_of_another_version_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    rows, labels = rows_of(20, 5, signal=2.0)
    content = to_bytes(recipe_of(make_pipeline(SimpleImputer(), GaussianNB()).fit(rows, labels)))
    for broken in (b"", b"\x80\x04.", content[: len(content) // 2]):
        with pytest.raises(WeightsMismatch, match="no fitted model"):
            from_bytes(broken, "radiomics-er")
    monkeypatch.setattr(fitted_module, "versions", lambda: {"scikit-learn": "2", "pyradiomics": "3"})
    with pytest.raises(WeightsMismatch, match=r"install scikit-learn==1$"):
        from_bytes(content, "radiomics-er")
