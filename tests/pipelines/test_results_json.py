from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest

from models.errors import WeightsMissing
from pipelines.contract import PipelineResult, Reason
from pipelines.mammography.pipeline import MammographyPipeline
from pipelines.results_json import to_json
from pipelines.ultrasound.pipeline import UltrasoundPipeline
from pipelines.unrouted import UnroutedPipeline
from tests.pipelines.ultrasound.screens import region, screen, write
from tests.pipelines.ultrasound.stand_ins import KnownClassifier, KnownModels, a_study, no_weights, with_disc

SCHEMA_PATH = Path(__file__).parents[2] / "docs" / "results.schema.json"
REASON = Reason(code="secondary_capture", text="secondary capture")


@pytest.fixture(scope="module")
def validator() -> Any:
    schema = json.loads(SCHEMA_PATH.read_text(encoding="utf-8"))
    jsonschema.Draft202012Validator.check_schema(schema)
    return jsonschema.Draft202012Validator(schema)


@pytest.fixture
def results(tools: Any, make_mammogram: Any, tmp_path: Path) -> list[PipelineResult]:
    lesion = tools.breast_pixels("L", square=(30, 100, 54, 130))
    instances = [make_mammogram("L-CC", pixels=lesion), make_mammogram("R-CC"), make_mammogram("R-ML")]
    study, options = tools.study(*instances, not_routed=[(make_mammogram("L-MLO"), REASON)]), tools.options()
    calibrated = write(tmp_path / "us1.dcm", with_disc(), regions=[region((100, 40, 530, 440))])
    stack = np.stack([screen(seed=1), with_disc(screen(seed=2)), screen(seed=3)])
    cine = write(tmp_path / "us2.dcm", stack, multi_frame=True, regions=None, number=2)
    sonograms = a_study(calibrated, cine)
    return [
        MammographyPipeline(models=tools.FakeModels()).analyse(study, options),
        MammographyPipeline(models=tools.no_weights()).analyse(study, options),
        MammographyPipeline(models=tools.FakeModels()).report_failure(study, options, REASON),
        UnroutedPipeline().analyse(tools.study(not_routed=[(instances[0], REASON)]), options),
        UnroutedPipeline().analyse(tools.study(), options),
        UltrasoundPipeline(models=KnownModels()).analyse(sonograms, options),
        UltrasoundPipeline(models=no_weights()).analyse(sonograms, options),
        UltrasoundPipeline(models=KnownModels(malignancy=WeightsMissing("x"))).analyse(sonograms, options),
        UltrasoundPipeline(models=KnownModels(her2=KnownClassifier(name="us-her2"))).analyse(sonograms, options),
    ]


def test_every_kind_of_result_follows_the_published_schema(validator: Any, results: list[PipelineResult]) -> None:
    names = {made.sop_instance_uid: f"{number}.dcm" for r in results for number, made in enumerate(r.objects)}
    values = json.loads(json.dumps(to_json(results, names)))
    validator.validate(values)
    analysed, without, failed, unrouted, empty = values["studies"][:5]
    assert all(study["lesions"] == [] for study in (analysed, without, failed, unrouted, empty))
    assert analysed["images"][0]["detections"][0]["label"] == "malignant"
    (first,) = analysed["images"][0]["detections"]
    assert (first["score"], first["malignancy"], analysed["images"][0]["malignancy"]) == (0.8, 0.6, 0.6)
    assert len(analysed["objects"]) == len(results[0].objects) > 0
    assert without["reason"] == "not attempted: no weights installed (FPNNet)" or without["reason"].startswith(
        "not att"
    )
    assert [study["outcome"] for study in (failed, unrouted, empty)] == ["failed", "not_analysed", "not_analysed"]


def test_lesions_of_ultrasound_stand_in_the_study(results: list[PipelineResult]) -> None:
    known, without, unclassified, with_her2 = json.loads(json.dumps(to_json(results, {})))["studies"][5:]
    by_frame = {lesion["frame"]: lesion for lesion in known["lesions"]}
    assert set(by_frame) == {1, 2}
    still, of_cine = by_frame[1], by_frame[2]
    assert set(still) == {
        "sop_instance_uid",
        "frame",
        "polygon_px",
        "box_px",
        "score",
        "malignancy",
        "long_axis_mm",
        "short_axis_mm",
    }
    assert still["long_axis_mm"] == pytest.approx(8.0, rel=0.02)
    assert (of_cine["long_axis_mm"], of_cine["short_axis_mm"]) == (None, None)
    x, y = np.transpose(of_cine["polygon_px"])
    assert (x.min(), y.min(), x.max(), y.max()) == pytest.approx(of_cine["box_px"], abs=1)
    assert {lesion["sop_instance_uid"] for lesion in known["lesions"]} == {
        image["sop_instance_uid"] for image in known["images"]
    }
    assert [lesion["malignancy"] for lesion in known["lesions"]] == [0.75, 0.75]
    assert (without["lesions"], without["reason_code"]) == ([], "no_weights")
    assert [lesion["malignancy"] for lesion in unclassified["lesions"]] == [None, None]
    assert [lesion["her2"] for lesion in with_her2["lesions"]] == [0.75, 0.75]


def test_objects_that_were_not_written_are_not_named(results: list[PipelineResult]) -> None:
    assert to_json(results, {})["studies"][0]["objects"] == []


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("studies", 0, "outcome"), "done"),
        (("studies", 0, "images", 0, "malignancy"), None),
        (("studies", 0, "images", 0, "malignancy"), 1.5),
        (("studies", 0, "images", 0, "detections", 0, "box_px"), [1, 2, 3]),
        (("studies", 0, "images", 0, "detections", 0, "malignancy"), None),
        (("studies", 0, "breasts", 0, "laterality"), "B"),
        (("studies", 0, "models", 0, "weights_sha256"), "none"),
        (("studies", 0, "patient_name"), "anybody"),
        (("studies", 1, "reason"), None),
        (("studies", 1, "images", 0, "reason"), ""),
        (("studies", 0, "lesions"), [{}]),
        (("studies", 5, "lesions", 0, "frame"), 0),
        (("studies", 5, "lesions", 0, "polygon_px"), [[1, 2], [3, 4]]),
        (("studies", 5, "lesions", 0, "malignancy"), 2),
        (("studies", 5, "lesions", 0, "long_axis_mm"), 0),
        (("studies", 5, "lesions", 0, "label"), "malignant"),
        (("studies", 6, "images", 0, "malignancy"), 0.5),
    ],
    ids=str,
)
def test_the_schema_refuses_what_is_not_so(
    validator: Any, results: list[PipelineResult], path: tuple[Any, ...], value: Any
) -> None:
    values = to_json(results, {})
    place: Any = values
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    with pytest.raises(jsonschema.ValidationError):
        validator.validate(values)
