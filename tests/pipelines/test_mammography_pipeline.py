from __future__ import annotations

import itertools
from collections.abc import Collection
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from models.errors import DeviceOutOfMemory, ModelError, WeightsMismatch, WeightsMissing
from pipelines import reasons
from pipelines.contract import InstanceFile, PipelineResult, Reason
from pipelines.mammography.pipeline import MammographyPipeline
from sr_templates.contract import ResultObject, ResultVariant, StudyReport, plain_variants


class Recorder:
    """An object maker that keeps the report it was given."""

    def __init__(self) -> None:
        self.reports: list[StudyReport] = []
        self.variants: list[frozenset[ResultVariant]] = []

    def __call__(
        self,
        report: StudyReport,
        variants: frozenset[ResultVariant],
        *,
        profiles: Collection[frozenset[ResultVariant]],
    ) -> tuple[ResultObject, ...]:
        self.reports.append(report)
        self.variants.append(variants)
        return ()

    @property
    def report(self) -> StudyReport:
        return self.reports[-1]


@pytest.fixture
def recorder() -> Recorder:
    return Recorder()


def run(tools: Any, recorder: Recorder, models: Any, *instances: InstanceFile, **options: Any) -> PipelineResult:
    pipeline = MammographyPipeline(models=models, make_objects=recorder)
    return pipeline.analyse(tools.study(*instances), tools.options(**options))


def status(result: PipelineResult) -> dict[str, tuple[str, float | None]]:
    return {breast.laterality: (breast.status, breast.confidence) for breast in result.breasts}


@pytest.mark.parametrize("name", ["L-CC", "R-CC", "L-MLO", "R-MLO"])
@pytest.mark.parametrize(("monochrome1", "magnification"), [(False, 1.0), (True, 1.0), (False, 1.07), (True, 1.8)])
@pytest.mark.parametrize("spacing_mm", [0.05, 0.1, 0.13])
def test_a_planted_finding_comes_back_on_its_stored_pixels(  # noqa: PLR0917 # pytest passes parameters by name
    tools: Any,
    recorder: Recorder,
    make_mammogram: Any,
    name: str,
    monochrome1: bool,
    magnification: float,
    spacing_mm: float,
) -> None:
    square = (30, 100, 54, 130) if name.startswith("L") else (130, 90, 160, 114)
    instance = make_mammogram(
        name,
        pixels=tools.breast_pixels(name[0], square=square),
        spacing_mm=spacing_mm,
        monochrome1=monochrome1,
        magnification=magnification,
    )
    models = tools.FakeModels(detector=tools.FakeDetector(threshold=0.7))
    result = run(tools, recorder, models, instance)
    (image,) = result.images
    (found,) = image.detections
    assert np.max(np.abs(np.subtract(found.box_px, square))) <= 1.5 * max(1.0, 0.1 / spacing_mm)
    assert (f"{image.laterality}-{image.view}", image.outcome, image.malignancy) == (name, "analysed", 0.6)
    (seen,) = models.detector.seen
    assert seen.spacing_mm == pytest.approx((0.1, 0.1), rel=0.01)
    assert seen.pixels.shape[1] < 0.8 * 200 * spacing_mm / 0.1  # the air is cropped
    (shown,) = recorder.report.images
    assert shown.display is not None
    assert shown.activation is not None
    assert shown.display.shape == shown.activation.shape == (240, 200)
    hot = tools.bright_box(shown.activation, 0.5)
    assert np.max(np.abs(np.subtract(hot, square))) <= 2 * max(1.0, 0.1 / spacing_mm)
    assert shown.display[110, int((square[0] + square[2]) / 2)] == 255


def test_a_screening_study_is_analysed_breast_by_breast(tools: Any, recorder: Recorder, make_mammogram: Any) -> None:
    lesion = tools.breast_pixels("L", square=(30, 100, 54, 130))
    result = run(
        tools,
        recorder,
        tools.FakeModels(),
        make_mammogram("R-CC"),
        make_mammogram("L-MLO", pixels=lesion),
        make_mammogram("R-MLO"),
        make_mammogram("L-CC", pixels=lesion),
    )
    assert (result.outcome, result.reason) == ("analysed", None)
    assert [f"{image.laterality}-{image.view}" for image in result.images] == ["L-CC", "L-MLO", "R-CC", "R-MLO"]
    assert status(result) == {"L": ("malignant", 0.6), "R": ("no_calcification", None)}
    assert all(breast.reason is None and breast.views == ("CC", "MLO") for breast in result.breasts)
    assert [image.malignancy for image in result.images] == [0.6, 0.6, 0.0, 0.0]
    assert [image.second_opinion for image in result.images] == [0.25] * 4
    assert [(a.name, a.status, a.task) for a in recorder.report.algorithms] == [
        ("FPNNet", "succeeded", "detection"),
        ("SPPNet", "succeeded", "classification"),
    ]
    assert [model.name for model in result.models] == ["FPNNet", "SPPNet"]
    assert result.models_s > 0


def test_the_order_of_arrival_changes_nothing(tools: Any, make_mammogram: Any) -> None:
    instances = [make_mammogram(name) for name in ("L-CC", "R-CC", "L-MLO")]
    reports = []
    for order in itertools.permutations(instances):
        recorder = Recorder()
        run(tools, recorder, tools.FakeModels(), *order)
        reports.append([str(image.header.SOPInstanceUID) for image in recorder.report.images])
    assert all(report == reports[0] for report in reports)


def test_without_weights_nothing_is_attempted_and_the_pictures_still_go_back(
    tools: Any, recorder: Recorder, make_mammogram: Any
) -> None:
    result = run(tools, recorder, tools.no_weights(), make_mammogram("L-CC"), make_mammogram("L-MLO"))
    text = "not attempted: no weights installed (FPNNet)"
    assert (result.outcome, result.reason) == ("not_analysed", Reason(code="no_weights", text=text))
    assert {(image.outcome, str(image.reason)) for image in result.images} == {("not_analysed", text)}
    left, right = result.breasts
    assert (left.status, left.confidence, left.views, str(left.reason)) == ("not_analysed", None, (), text)
    assert (right.status, str(right.reason)) == ("not_analysed", "no CC and no MLO view received")
    assert all(image.display is not None and image.malignancy is None for image in recorder.report.images)
    assert [(a.status, a.weights_sha256, a.reason) for a in recorder.report.algorithms] == [
        ("not_attempted", None, "not attempted: no weights installed (FPNNet)"),
        ("not_attempted", None, "not attempted: no weights installed (SPPNet)"),
    ]
    assert [model.weights_sha256 for model in result.models] == [None, None]


def test_weights_that_are_not_the_right_ones_are_not_used(tools: Any, recorder: Recorder, make_mammogram: Any) -> None:
    result = run(tools, recorder, tools.FakeModels(detector=WeightsMismatch("x")), make_mammogram())
    assert result.images[0].reason == reasons.weights_mismatch("FPNNet")
    assert result.models[0].weights_sha256 is None


def test_only_the_second_opinion_is_missing(tools: Any, recorder: Recorder, make_mammogram: Any) -> None:
    result = run(tools, recorder, tools.FakeModels(classifier=WeightsMissing("x")), make_mammogram())
    assert result.outcome == "analysed"
    assert result.images[0].second_opinion is None
    assert [a.status for a in recorder.report.algorithms] == ["succeeded", "not_attempted"]


def test_weights_that_are_installed_later_are_found(tools: Any, recorder: Recorder, make_mammogram: Any) -> None:
    models, study = tools.no_weights(), tools.study(make_mammogram())
    pipeline = MammographyPipeline(models=models, make_objects=recorder)
    assert pipeline.analyse(study, tools.options()).outcome == "not_analysed"
    models.detector = tools.FakeDetector()
    assert pipeline.analyse(study, tools.options()).outcome == "analysed"


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (DeviceOutOfMemory("x"), "out_of_memory"),
        (MemoryError(), "out_of_memory"),
        (ModelError("x"), "analysis_failed"),
    ],
)
def test_one_failure_does_not_stop_the_study(
    tools: Any, recorder: Recorder, make_mammogram: Any, error: Exception, code: str
) -> None:
    models = tools.FakeModels(detector=tools.FakeDetector(raises=(error,)))
    result = run(tools, recorder, models, make_mammogram("L-CC"), make_mammogram("L-MLO"))
    assert [image.outcome for image in result.images] == ["failed", "analysed"]
    assert result.images[0].reason is not None
    assert result.images[0].reason.code == code
    assert result.outcome == "analysed"
    left = result.breasts[0]
    assert (left.status, left.views) == ("no_calcification", ("MLO",))
    assert left.reason == result.images[0].reason
    assert recorder.report.algorithms[0].status == "partially_succeeded"


def test_when_all_images_fail_the_study_failed(tools: Any, recorder: Recorder, make_mammogram: Any) -> None:
    models = tools.FakeModels(detector=tools.FakeDetector(raises=[DeviceOutOfMemory("x")] * 2))
    result = run(tools, recorder, models, make_mammogram("L-CC"), make_mammogram("L-MLO"))
    assert (result.outcome, result.reason) == ("failed", reasons.OUT_OF_MEMORY)
    assert recorder.report.algorithms[0].status == "failed"
    assert all(image.display is not None for image in recorder.report.images)


def test_a_fault_of_the_program_is_not_hidden(tools: Any, recorder: Recorder, make_mammogram: Any) -> None:
    models = tools.FakeModels(detector=tools.FakeDetector(raises=[ZeroDivisionError()]))
    with pytest.raises(ZeroDivisionError):
        run(tools, recorder, models, make_mammogram())


def test_a_missing_view_is_named_and_the_other_still_reported(
    tools: Any, recorder: Recorder, make_mammogram: Any
) -> None:
    lesion = tools.breast_pixels("R", square=(150, 100, 170, 120))
    result = run(tools, recorder, tools.FakeModels(), make_mammogram("R-CC", pixels=lesion))
    left, right = result.breasts
    assert (left.status, str(left.reason)) == ("not_analysed", "no CC and no MLO view received")
    assert (right.status, right.confidence, right.views) == ("malignant", 0.6, ("CC",))
    assert right.reason == Reason(code="missing_view", text="no MLO view received")


def test_a_view_that_was_not_analysed_is_explained_in_its_breast(
    tools: Any, recorder: Recorder, make_mammogram: Any
) -> None:
    result = run(
        tools, recorder, tools.FakeModels(), make_mammogram("L-CC"), make_mammogram("L-MLO", BreastImplantPresent="YES")
    )
    left = result.breasts[0]
    assert (left.status, left.views, left.reason) == ("no_calcification", ("CC",), reasons.IMPLANT)


def test_two_images_of_one_view_are_both_analysed_and_the_worse_counts(
    tools: Any, recorder: Recorder, make_mammogram: Any
) -> None:
    lesion = tools.breast_pixels("L", square=(30, 100, 54, 130))
    result = run(
        tools,
        recorder,
        tools.FakeModels(),
        make_mammogram("L-CC"),
        make_mammogram("L-CC", pixels=lesion, PartialView="YES"),
        make_mammogram("L-MLO"),
        required_views=("L-CC", "L-MLO"),
    )
    assert [image.outcome for image in result.images] == ["analysed"] * 3
    assert status(result) == {"L": ("malignant", 0.6)}
    assert result.breasts[0].reason is None


def test_views_that_are_not_analysed_stand_beside_those_that_are(
    tools: Any, recorder: Recorder, make_mammogram: Any
) -> None:
    result = run(
        tools,
        recorder,
        tools.FakeModels(),
        make_mammogram("L-CC"),
        make_mammogram("L-MLO"),
        make_mammogram("L-ML"),
        make_mammogram("L-CC", PresentationIntentType="FOR PROCESSING"),
        required_views=("L-CC", "L-MLO"),
    )
    codes = [image.reason.code if image.reason else None for image in result.images]
    assert sorted(code or "" for code in codes) == ["", "", "for_processing", "view_not_analysed"]
    assert result.breasts[0].reason is None


def test_the_score_threshold_of_the_run_reaches_the_model_and_the_report(
    tools: Any, recorder: Recorder, make_mammogram: Any
) -> None:
    lesion = tools.breast_pixels("L", square=(30, 100, 54, 130))
    result = run(tools, recorder, tools.FakeModels(), make_mammogram(pixels=lesion), min_score=0.85)
    assert result.images[0].detections == ()
    assert result.models[0].operating_point["score_threshold"] == 0.85
    assert recorder.report.configuration["min_score"] == "0.85"


def test_the_probability_of_cancer_of_a_benign_box_is_the_detectors_own(
    tools: Any, recorder: Recorder, make_mammogram: Any
) -> None:
    lesion = tools.breast_pixels("L", square=(30, 100, 54, 130))
    for score, malignancy in ((0.8, 0.05), (0.9, 0.44)):
        models = tools.FakeModels(detector=tools.FakeDetector(label="benign", score=score, malignancy=malignancy))
        result = run(tools, recorder, models, make_mammogram(pixels=lesion))
        assert result.images[0].malignancy == malignancy
        assert status(result)["L"] == ("benign", pytest.approx(score - malignancy))
        (finding,) = recorder.report.images[0].findings
        assert (finding.score, finding.malignancy) == (score, malignancy)


def test_pictures_are_made_only_when_they_are_wanted(tools: Any, recorder: Recorder, make_mammogram: Any) -> None:
    run(tools, recorder, tools.FakeModels(), make_mammogram(), results=plain_variants("cad_sr"))
    (image,) = recorder.report.images
    assert image.display is None
    assert image.activation is None
    assert recorder.variants == [plain_variants("cad_sr")]


@pytest.mark.parametrize(("kinds", "heat"), [(("summary",), False), (("heatmap",), True), (("cad_sr",), False)])
def test_activations_are_computed_only_for_pictures_that_show_them(
    tools: Any, recorder: Recorder, make_mammogram: Any, kinds: tuple[Any, ...], heat: bool
) -> None:
    models = tools.FakeModels()
    run(tools, recorder, models, make_mammogram(), results=plain_variants(*kinds))
    (image,) = recorder.report.images
    assert models.detector.asked_for_heat == [heat]
    assert (image.activation is not None) == heat


def broken_files(tmp_path: Path, make_mammogram: Any) -> dict[str, InstanceFile]:
    def known(path: Path, uid: str) -> InstanceFile:
        return InstanceFile(
            path=path, sop_instance_uid=uid, sop_class_uid="1.2.840.10008.5.1.4.1.1.1.2", transfer_syntax_uid="1.2"
        )

    rubbish, cut_header, cut_pixels = (tmp_path / name for name in ("rubbish", "cut_header", "cut_pixels"))
    whole = make_mammogram("L-CC").path.read_bytes()
    rubbish.write_bytes(b"no DICOM")
    cut_header.write_bytes(whole[:200])
    cut_pixels.write_bytes(whole[:-5000])
    return {
        "2.25.901": known(rubbish, "2.25.901"),
        "2.25.902": known(cut_header, "2.25.902"),
        "2.25.903": known(cut_pixels, "2.25.903"),
        "2.25.904": known(tmp_path / "gone", "2.25.904"),
        "not a uid": known(rubbish, "not a uid"),
    }


def test_every_broken_instance_is_a_row_with_a_reason_and_the_rest_is_analysed(
    tools: Any, tmp_path: Path, make_mammogram: Any
) -> None:
    broken = broken_files(tmp_path, make_mammogram)
    dose = make_mammogram("R-CC", SOPClassUID="1.2.840.10008.5.1.4.1.1.88.67", Rows=None, Columns=None)
    odd = make_mammogram("R-CC", SOPClassUID="1.2.840.10008.5.1.4.1.1.66.4", Modality="SEG")
    why = Reason(code="sop_class", text="not a kind of object that this node analyses")
    study = tools.study(make_mammogram("R-CC"), *broken.values(), not_routed=[(dose, why), (odd, why)])
    result = MammographyPipeline(models=tools.FakeModels()).analyse(study, tools.options())
    codes = {image.sop_instance_uid: image.reason.code for image in result.images if image.reason}
    assert codes == {
        "2.25.901": "unreadable",
        "2.25.902": "unreadable",
        "2.25.903": "undecodable_pixels",
        "2.25.904": "unreadable",
        "not a uid": "unreadable",
        dose.sop_instance_uid: "dose_report",
        odd.sop_instance_uid: "sop_class",
    }
    assert [image.outcome for image in result.images].count("analysed") == 1
    assert result.outcome == "analysed"
    assert {made.kind for made in result.objects} == {"cad_sr", "measurement_sr", "heatmap", "summary"}


def test_failure_is_reported_from_headers_alone(
    tools: Any, recorder: Recorder, make_mammogram: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pipelines.mammography.pipeline.decode", lambda path: pytest.fail("a pixel was touched"))
    reason = Reason(code="quarantined", text="the analysis of this study ended its worker three times")
    models = tools.FakeModels(detector=AssertionError("a model was loaded"))
    pipeline = MammographyPipeline(models=models, make_objects=recorder)
    study = tools.study(make_mammogram("L-CC"), make_mammogram("L-ML"))
    result = pipeline.report_failure(study, tools.options(), reason)
    assert (result.outcome, result.reason) == ("failed", reason)
    assert [(image.view, image.outcome) for image in result.images] == [("CC", "failed"), ("ML", "not_analysed")]
    assert result.breasts[0].status == "not_analysed"
    assert [a.status for a in recorder.report.algorithms] == ["failed", "failed"]
    assert all(image.display is None for image in recorder.report.images)


def test_warming_up_runs_what_is_installed(tools: Any) -> None:
    models = tools.FakeModels(classifier=WeightsMissing("x"))
    MammographyPipeline(models=models).warm_up(tools.options())
    assert models.detector.warm


def test_the_command_line_makes_other_objects_than_the_node(tools: Any, make_mammogram: Any) -> None:
    """They hold another time, so under the same UID a PACS would take one for the other, or refuse it."""
    pipeline, study = MammographyPipeline(models=tools.FakeModels()), tools.study(make_mammogram())
    uids = {
        made.sop_instance_uid
        for changes in ({}, {"occasion": "command_line"}, {"station_name": "OTHER"})
        for made in pipeline.analyse(study, tools.options(results=plain_variants("cad_sr"), **changes)).objects
    }
    assert len(uids) == 3


def test_real_objects_come_out_and_are_the_same_when_done_again(tools: Any, make_mammogram: Any) -> None:
    lesion = tools.breast_pixels("L", square=(30, 100, 54, 130))
    study = tools.study(make_mammogram("L-CC", pixels=lesion), make_mammogram("L-MLO"))
    first, again = (
        MammographyPipeline(models=tools.FakeModels()).analyse(study, tools.options()).objects for _ in range(2)
    )
    assert sorted(made.kind for made in first) == ["cad_sr", "heatmap", "heatmap", "measurement_sr", "summary"]
    assert [made.content for made in first] == [made.content for made in again]
