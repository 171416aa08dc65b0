"""Models of regions in the mammography pipeline: what they are asked, and what is said where they cannot answer."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from jsonschema import Draft202012Validator
from pydicom import Dataset, dcmread

from models.contract import ModelIdentity
from models.errors import DeviceOutOfMemory, WeightsMissing
from models.regions.contract import LesionView, RegionOutput, RegionTask, View
from pipelines import reasons
from pipelines.contract import InstanceFile, PipelineResult
from pipelines.mammography.pipeline import MammographyPipeline
from pipelines.region_objects.contract import MAX_POINTS
from pipelines.results_json import to_json
from pipelines.unrouted import UnroutedPipeline
from sr_templates.contract import StudyReport
from sr_templates.identity import result_uid
from tests.region_objects import (
    SQUARE,
    Outline,
    graphic,
    measurement_report,
    presentation_state,
    saved,
    segmentation,
    viewer_report,
)

SCHEMA = Draft202012Validator(json.loads(Path("docs/results.schema.json").read_text(encoding="utf-8")))
BRIGHT = (60, 100, 80, 130)


@dataclass
class ErModel:
    """Positive by how bright the lesion is; looks at the whole of what it is given."""

    name: str = "ip-se-dresnet-cm"
    views: tuple[View, ...] = ("CC", "MLO")
    raises: Exception | None = None
    shares: tuple[float, float] | None = None
    seen: list[Mapping[View, LesionView]] = field(default_factory=list)
    device: str = "cpu"
    warm: bool = False

    @property
    def identity(self) -> ModelIdentity:
        return ModelIdentity(name=self.name, version="1", weights_sha256="c" * 64, operating_point={"threshold": 0.5})

    @property
    def task(self) -> RegionTask:
        combination: Any = "joint" if len(self.views) > 1 else "each"
        return RegionTask(outcome="er", classes=("negative", "positive"), views=self.views, combination=combination)

    def warm_up(self) -> None:
        self.warm = True

    def predict(self, lesion: Mapping[View, LesionView]) -> RegionOutput:
        self.seen.append(lesion)
        if self.raises is not None:
            raise self.raises
        positive = float(np.mean([view.pixels[view.mask].mean() for view in lesion.values()]))
        attention = {name: np.full(view.pixels.shape, 0.75, dtype=np.float32) for name, view in lesion.items()}
        return RegionOutput(probabilities=self.shares or (1 - positive, positive), attention=attention)


class Recorder:
    """In place of the templates: keeps the report."""

    def __init__(self) -> None:
        self.reports: list[StudyReport] = []

    def __call__(self, report: StudyReport, variants: Any, *, profiles: Any) -> tuple[()]:
        self.reports.append(report)
        return ()


@dataclass
class Case:
    """Two views of a left breast on disk, and what is sent to be asked of them."""

    tools: SimpleNamespace
    folder: Path
    images: tuple[InstanceFile, ...]
    recorder: Recorder = field(default_factory=Recorder)

    @property
    def headers(self) -> list[Dataset]:
        return [dcmread(image.path) for image in self.images]

    def ask(self, *objects: Dataset, detector: Any = None, **models: Any) -> PipelineResult:
        files = [
            self.tools.received(saved(made, self.folder / f"object{number}.dcm")) for number, made in enumerate(objects)
        ]
        study = replace(self.tools.study(*self.images), region_objects=tuple(files))
        known = self.tools.FakeModels(
            detector=detector or self.tools.FakeDetector(threshold=2.0), region_models={**models}
        )
        result = MammographyPipeline(models=known, make_objects=self.recorder).analyse(study, self.tools.options())
        SCHEMA.validate(to_json([result], {}))
        return result

    def said_of(self, result: PipelineResult, made: Dataset) -> str:
        (row,) = [image for image in result.images if image.sop_instance_uid == made.SOPInstanceUID]
        assert row.outcome == "not_analysed"
        assert row.reason is not None
        return row.reason.code


@pytest.fixture
def case(tools: SimpleNamespace, make_mammogram: Callable[..., InstanceFile], tmp_path: Path) -> Case:
    pixels = tools.breast_pixels("L", square=BRIGHT)
    images = tuple(make_mammogram(view, pixels=pixels) for view in ("L-CC", "L-MLO"))
    return Case(tools=tools, folder=tmp_path, images=images)


NO_WEIGHTS = WeightsMissing("no weights installed")


def test_one_region_on_each_view_of_a_breast_is_one_lesion_that_is_answered_and_reported(case: Case) -> None:
    model = ErModel()
    outline: Outline = [(60.0, 100.0), (80.0, 100.0), (80.0, 130.0), (60.0, 130.0)]
    request = measurement_report(case.headers, [(0, "POLYLINE", outline), (1, "POLYLINE", outline)])
    result = case.ask(request, **{"ip-se-dresnet-cm": model, "radiomics-er": NO_WEIGHTS})
    answered, left_out = result.biomarkers
    assert (answered.name, answered.value, answered.probability) == ("er", "positive", pytest.approx(1.0, abs=0.01))
    assert [region.sop_instance_uid for region in answered.roi] == [image.sop_instance_uid for image in case.images]
    assert {(region.source, region.label, region.object_uid) for region in answered.roi} == {
        ("radiologist", "Lesion 1", request.SOPInstanceUID)
    }
    assert (left_out.value, left_out.reason) == (None, reasons.no_weights("radiomics-er"))
    (given,) = model.seen
    assert {name: int(view.mask.sum()) for name, view in given.items()} == {"CC": 600, "MLO": 600}
    assert case.said_of(result, request) == "regions_taken"

    (report,) = case.recorder.reports
    status = {algorithm.name: algorithm.status for algorithm in report.algorithms}
    assert (status["ip-se-dresnet-cm"], status["radiomics-er"]) == ("succeeded", "not_attempted")
    assert [(said.algorithm, bool(said.reason)) for said in report.predictions] == [
        ("ip-se-dresnet-cm", False),
        ("radiomics-er", True),
    ]
    heat = report.images[0].activation
    assert heat is not None
    assert heat[110, 70] == pytest.approx(0.75)
    assert heat[110, 90] == 0.0  # beside the region
    assert len(report.images) == 2


def test_a_region_on_one_view_is_answered_by_models_of_that_view_alone(case: Case) -> None:
    request = presentation_state(case.headers[0], [graphic("CIRCLE", [(70.0, 115.0), (80.0, 115.0)])])
    only_cc = ErModel(name="ip-se-dresnet-c", views=("CC",))
    result = case.ask(request, **{"ip-se-dresnet-cm": ErModel(), "ip-se-dresnet-c": only_cc})
    assert [(b.model.name, b.reason.code if b.reason else None) for b in result.biomarkers] == [
        ("ip-se-dresnet-cm", "missing_region"),
        ("ip-se-dresnet-c", None),
    ]


def test_regions_are_one_lesion_by_their_tracking_uid_and_three_of_an_object_are_three(case: Case) -> None:
    model = ErModel(name="ip-se-dresnet-c", views=("CC",))
    marks = [(view, "CIRCLE", [(70.0, y), (80.0, y)]) for view, y in ((0, 115.0), (1, 115.0), (0, 60.0))]
    tracked = [measurement_report(case.headers, [mark], tracking_uid="1.2.3") for mark in marks[:2]]
    (together,) = case.ask(*tracked, **{model.name: model}).biomarkers
    assert [region.object_uid for region in together.roi] == [made.SOPInstanceUID for made in tracked]
    alone = case.ask(measurement_report(case.headers, marks), **{model.name: model}).biomarkers
    assert [len(found.roi) for found in alone] == [1, 1, 1]


def test_a_region_that_is_moved_gives_other_uids(case: Case) -> None:
    for radius in (10.0, 11.0, 11.0):
        made = presentation_state(case.headers[0], [graphic("CIRCLE", [(70.0, 115.0), (70.0 + radius, 115.0)])])
        case.ask(made, **{"ip-se-dresnet-c": ErModel(views=("CC",))})
    small, large, again = (result_uid(report, "cad_sr") for report in case.recorder.reports)
    assert small != large == again


def test_the_most_malignant_box_of_each_view_is_asked_about_unasked_by_what_is_installed(case: Case) -> None:
    model, patches = ErModel(), ErModel(name="SPPNet-ER", views=("CC", "MLO"))
    detector = case.tools.FakeDetector()
    result = case.ask(
        detector=detector, **{"ip-se-dresnet-cm": model, "SPPNet-ER": patches, "radiomics-er": NO_WEIGHTS}
    )
    assert [(b.model.name, {region.source for region in b.roi}) for b in result.biomarkers] == [
        ("ip-se-dresnet-cm", {"detector"}),
        ("SPPNet-ER", {"detector"}),
    ]
    benign = case.tools.FakeDetector(label="benign", malignancy=0.1)
    assert case.ask(detector=benign, **{"ip-se-dresnet-cm": model}).biomarkers == ()
    assert case.ask(detector=detector, **{"radiomics-er": NO_WEIGHTS}).biomarkers == ()
    (marked,) = case.ask(viewer_report(case.headers[0], SQUARE), **{"SPPNet-ER": patches}).biomarkers
    assert marked.reason == reasons.ONLY_DETECTED


def failing(**how: Any) -> ErModel:
    return ErModel(name="radiomics-er", views=("CC",), **how)


@pytest.mark.parametrize(
    ("broken", "code"),
    [
        (failing(raises=DeviceOutOfMemory("x")), "out_of_memory"),
        (failing(raises=ValueError("too small")), "region_not_usable"),
        (failing(raises=RuntimeError("of a library below")), "analysis_failed"),
        (failing(shares=(math.nan, math.nan)), "analysis_failed"),
        (ImportError("sklearn"), "packages_missing"),
    ],
)
def test_a_model_that_fails_ends_neither_the_study_nor_the_others(case: Case, broken: Any, code: str) -> None:
    fine = ErModel(name="ip-se-dresnet-c", views=("CC",))
    result = case.ask(viewer_report(case.headers[0], SQUARE), **{"radiomics-er": broken, "ip-se-dresnet-c": fine})
    assert result.outcome == "analysed"
    failed, answered = result.biomarkers
    assert failed.reason is not None
    assert failed.reason.code == code
    assert answered.value == "negative"


def test_memory_that_a_region_lacks_does_not_cost_its_image_the_answer(
    case: Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any) -> None:
        raise MemoryError

    monkeypatch.setattr("pipelines.mammography.lesions.mask_of", full)
    result = case.ask(viewer_report(case.headers[0], SQUARE), **{"ip-se-dresnet-c": ErModel(views=("CC",))})
    assert [image.outcome for image in result.images] == ["analysed", "analysed", "not_analysed"]
    (left,) = result.biomarkers
    assert left.reason == reasons.OUT_OF_MEMORY


def test_a_region_that_no_image_can_answer_is_named_with_its_reason(case: Case) -> None:
    cc = case.headers[0]
    elsewhere = viewer_report(cc, [(900.0, 900.0), (950.0, 900.0), (950.0, 950.0), (900.0, 950.0)])
    small = presentation_state(cc, [graphic("CIRCLE", [(70.0, 115.0), (71.0, 115.0)])])
    teeth = [(-10.0 if n % 2 else 20.0, 20.0 + 0.02 * n) for n in range(MAX_POINTS - 10)]  # cut off, each has two ends
    ragged = presentation_state(cc, [graphic("POLYLINE", [*teeth, (150.0, 180.0), (150.0, 20.0)], filled=True)])
    other_size = segmentation(cc, np.ones((int(cc.Rows), int(cc.Columns)), dtype=bool))
    for made in (elsewhere, small, ragged, other_size):
        made.SOPInstanceUID = f"2.25.77{id(made)}"
        made.file_meta.MediaStorageSOPInstanceUID = made.SOPInstanceUID
    other_size.Rows, other_size.Columns = other_size.Columns, other_size.Rows
    result = case.ask(elsewhere, small, ragged, other_size, **{"ip-se-dresnet-c": ErModel(views=("CC",))})
    said = [case.said_of(result, made) for made in (elsewhere, small, ragged, other_size)]
    assert said == ["region_outside", "region_too_small", "region_unsupported", "region_unsupported"]
    assert result.biomarkers == ()
    assert result.outcome == "analysed"


def test_in_a_study_without_images_the_region_is_named_all_the_same(case: Case) -> None:
    made = viewer_report(case.headers[0], SQUARE)
    file = case.tools.received(saved(made, case.folder / "alone.dcm"))
    study = replace(case.tools.study(), region_objects=(file,))
    result = UnroutedPipeline(make_objects=case.recorder).analyse(study, case.tools.options())
    assert case.said_of(result, made) == "region_of_unknown_image"
    assert "lesion" not in str(result.reason)  # what a person wrote is no business of the ledger
    assert result.reason == reasons.REGION_OF_UNKNOWN_IMAGE
    failed = MammographyPipeline(models=case.tools.no_weights(), make_objects=case.recorder).report_failure(
        replace(study, instances=case.images), case.tools.options(), reasons.REGION_TIME
    )
    assert (failed.outcome, case.said_of(failed, made)) == ("failed", "region_time")
