from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from pipelines.contract import PipelineResult, Reason
from pipelines.mammography.pipeline import MammographyPipeline
from pipelines.results_json import to_json
from pipelines.unrouted import UnroutedPipeline

SCHEMA_PATH = Path(__file__).parents[2] / "docs" / "results.schema.json"
REASON = Reason(code="secondary_capture", text="secondary capture")


@pytest.fixture(scope="module")
def validator() -> Any:
    schema = json.loads(SCHEMA_PATH.read_text(encoding="utf-8"))
    jsonschema.Draft202012Validator.check_schema(schema)
    return jsonschema.Draft202012Validator(schema)


@pytest.fixture
def results(tools: Any, make_mammogram: Any) -> list[PipelineResult]:
    lesion = tools.breast_pixels("L", square=(30, 100, 54, 130))
    instances = [make_mammogram("L-CC", pixels=lesion), make_mammogram("R-CC"), make_mammogram("R-ML")]
    study, options = tools.study(*instances, not_routed=[(make_mammogram("L-MLO"), REASON)]), tools.options()
    return [
        MammographyPipeline(models=tools.FakeModels()).analyse(study, options),
        MammographyPipeline(models=tools.no_weights()).analyse(study, options),
        MammographyPipeline(models=tools.FakeModels()).report_failure(study, options, REASON),
        UnroutedPipeline().analyse(tools.study(not_routed=[(instances[0], REASON)]), options),
        UnroutedPipeline().analyse(tools.study(), options),
    ]


def test_every_kind_of_result_follows_the_published_schema(validator: Any, results: list[PipelineResult]) -> None:
    names = {made.sop_instance_uid: f"{number}.dcm" for r in results for number, made in enumerate(r.objects)}
    values = json.loads(json.dumps(to_json(results, names)))
    validator.validate(values)
    analysed, without, failed, unrouted, empty = values["studies"]
    assert analysed["images"][0]["detections"][0]["label"] == "malignant"
    (first,) = analysed["images"][0]["detections"]
    assert (first["score"], first["malignancy"], analysed["images"][0]["malignancy"]) == (0.8, 0.6, 0.6)
    assert len(analysed["objects"]) == len(results[0].objects) > 0
    assert without["reason"] == "not attempted: no weights installed (FPNNet)" or without["reason"].startswith(
        "not att"
    )
    assert [study["outcome"] for study in (failed, unrouted, empty)] == ["failed", "not_analysed", "not_analysed"]


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
