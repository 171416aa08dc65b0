"""Tumours in, a bundle out that the registry runs; features are computed once."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest

from models import registry
from models.errors import TrainingRefused, WeightsMismatch
from models.metadata import bundle_metadata, folder_name, own_metadata
from models.radiomics.features import available, settings_text
from models.regions.contract import LesionView
from models.training.tumours import Tumour
from models.weights import find_weights, read_weights

if not available():
    pytest.skip("pyradiomics is not installed", allow_module_level=True)
for package in ("sklearn", "imblearn", "skops"):
    pytest.importorskip(package)

from models.radiomics.predict import Predictor  # noqa: E402  needs what is asked for above
from models.training import radiomics_table  # noqa: E402  needs what is asked for above
from models.training.radiomics_table import Outlined, features_of_all  # noqa: E402  needs what is asked for above
from models.training.region_radiomics import other_outline, train  # noqa: E402  needs what is asked for above

MODEL = "radiomics-er"


def view_of(rng: np.random.Generator, brightness: float) -> LesionView:
    y, x = np.mgrid[:30, :30]
    mask = (y - 15) ** 2 + (x - 15) ** 2 <= rng.uniform(5, 9) ** 2
    pixels = np.clip(rng.normal(0.3, 0.05, size=mask.shape) + brightness * mask, 0, 1)
    return LesionView(pixels=pixels.astype(np.float32), mask=mask, spacing_mm=None)


def tumour(number: int) -> Tumour:
    rng = np.random.default_rng(number)
    positive = number % 2 == 1
    return Tumour(
        name=f"tumour-{number}",
        patient=f"patient-{number}",
        split=None,
        fold=1 + number // 2 % 3,
        views={"CC": view_of(rng, 0.1 + 0.3 * positive), "MLO": view_of(rng, 0.1 + 0.3 * positive)},
        outcomes={"er": "positive" if positive else "negative"},
    )


@dataclass(frozen=True)
class Run:
    tumours: list[Tumour]
    directory: Path
    folder: Path


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    directory = tmp_path_factory.mktemp("radiomics")
    tumours = [tumour(number) for number in range(24)]
    return Run(tumours, directory, trained([one for one in tumours if one.fold != 3], directory))


def trained(tumours: list[Tumour], directory: Path) -> Path:
    task, described = own_metadata(MODEL).region_task, bundle_metadata(MODEL)
    return train(tumours, directory, model=MODEL, task=task, fold=3, note="discs", described=described, seed=1)


def test_the_bundle_of_a_fold_tells_apart_tumours_of_that_fold(run: Run) -> None:
    assert run.folder == run.directory / "folds" / "3" / MODEL
    predictor = registry.load_region_classifier(MODEL, "cpu", run.directory / "folds" / "3")
    left_out = [one for one in run.tumours if one.fold == 3]
    for one in left_out:
        output = predictor.predict(one.views)
        assert sum(output.probabilities) == pytest.approx(1)
        assert predictor.task.value(output.probabilities, 0.5) == one.outcomes["er"]
        assert not output.attention
    predictor.warm_up()
    with pytest.raises(ValueError, match="has no MLO"):
        predictor.predict({"CC": left_out[0].views["CC"]})


def test_a_tampered_file_is_refused_and_the_right_one_names_its_features(run: Run) -> None:
    place = find_weights(MODEL, run.directory / "folds" / "3")
    assert isinstance(Predictor.from_weights(read_weights(place), "cuda:0"), Predictor)
    text = (run.folder / "metadata.json").read_text(encoding="utf-8")
    assert "original_firstorder_Energy" in text and '"selected"' in text and "binWidth: 8" in text
    assert "ER-positive" in (run.folder / "README.md").read_text(encoding="utf-8")
    path = run.folder / "model.skops"
    content = path.read_bytes()
    try:
        path.write_bytes(content[:-1] + b"\x01")
        with pytest.raises(WeightsMismatch, match="SHA-256"):
            read_weights(place)
    finally:
        path.write_bytes(content)


def test_another_fold_computes_no_feature_of_a_tumour_that_has_them(
    run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    path = run.directory / f"{folder_name(MODEL)}-training" / "features.jsonl"
    copy = tmp_path / "features.jsonl"
    lines = path.read_bytes().splitlines(keepends=True)
    copy.write_bytes(b"".join(lines[:3]) + lines[3][:40])  # killed while it wrote the fourth
    measured: list[int] = []
    original = radiomics_table._measure
    monkeypatch.setattr(radiomics_table, "_measure", lambda *given: measured.append(1) or original(*given))
    known = [one for one in run.tumours if one.fold != 3][:2]
    outlines = [
        Outlined(tumour=one.name, view=view, outline="first", lesion=one.views[view])
        for one in known
        for view in ("CC", "MLO")
    ]
    told: list[tuple[int, int]] = []
    settings = settings_text(95)
    first = features_of_all(outlines, settings, copy, tell=lambda done, total: told.append((done, total)))
    assert len(measured) == 1 and told == [(3, 4), (4, 4)]
    again = features_of_all(outlines, settings, copy)
    assert len(measured) == 1
    for one, other in zip(first, again, strict=True):
        np.testing.assert_array_equal(one.values, other.values)
    changed = replace(outlines[0], lesion=replace(outlines[0].lesion, mask=~outlines[0].lesion.mask))
    features_of_all([changed], settings, copy)
    assert len(measured) == 2  # other pixels count: another outline is not taken for the first


def test_a_second_outline_is_near_the_first_and_not_the_same() -> None:
    y, x = np.mgrid[:80, :80]
    mask = (y - 40) ** 2 + (x - 40) ** 2 <= 20**2
    for seed in range(4):
        other = other_outline(mask, np.random.default_rng(seed))
        assert 0.8 < 2 * (mask & other).sum() / (mask.sum() + other.sum()) < 1


def test_what_cannot_be_trained_is_refused_with_a_reason(run: Run, tmp_path: Path) -> None:
    with pytest.raises(TrainingRefused, match="a class has none left"):
        trained([replace(run.tumours[0], views={"CC": run.tumours[0].views["CC"]}), run.tumours[1]], tmp_path)
    with pytest.raises(TrainingRefused, match="at least 6 lesions"):
        trained(run.tumours[:4], tmp_path)
