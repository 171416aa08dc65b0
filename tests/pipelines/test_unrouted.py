from __future__ import annotations

from typing import Any

from pipelines import registry
from pipelines.contract import Reason
from pipelines.unrouted import UnroutedPipeline
from sr_templates.contract import plain_variants

SC = "1.2.840.10008.5.1.4.1.1"
ROUTING = Reason(code="ultrasound", text="ultrasound image: no ultrasound model is installed")


def test_every_instance_is_listed_with_its_reason_in_a_report_and_a_summary(tools: Any, make_mammogram: Any) -> None:
    ultrasound = make_mammogram("L-CC", SOPClassUID=f"{SC}.6.1", Modality="US")
    dose = make_mammogram("L-CC", SOPClassUID=f"{SC}.88.67", Modality="SR", Rows=None, Columns=None)
    other = make_mammogram("L-CC", SOPClassUID=f"{SC}.4", Modality="MR")
    study = tools.study(not_routed=[(ultrasound, ROUTING), (dose, ROUTING), (other, ROUTING)])
    result = UnroutedPipeline().analyse(study, tools.options())
    assert (result.pipeline, result.outcome, result.breasts, result.models) == ("none", "not_analysed", (), ())
    codes = {image.sop_instance_uid: image.reason.code for image in result.images if image.reason}
    assert codes == {
        ultrasound.sop_instance_uid: "ultrasound",
        dose.sop_instance_uid: "dose_report",
        other.sop_instance_uid: "ultrasound",  # our rules know no more than that it is no mammogram
    }
    assert result.reason is not None
    assert "radiation dose report" in result.reason.text
    assert [made.kind for made in result.objects] == ["measurement_sr", "summary"]


def test_a_destination_of_no_fitting_kind_gets_a_summary_in_its_place(tools: Any, make_mammogram: Any) -> None:
    study = tools.study(not_routed=[(make_mammogram(SOPClassUID=f"{SC}.7"), ROUTING)])
    wanted = plain_variants("cad_sr", "heatmap")
    result = UnroutedPipeline().analyse(study, tools.options(results=wanted))
    assert [made.kind for made in result.objects] == ["summary"]
    assert result.objects[0].is_for(wanted)
    assert not result.objects[0].is_for(plain_variants("measurement_sr"))


def test_a_mammogram_that_was_not_routed_says_so(tools: Any, make_mammogram: Any) -> None:
    result = UnroutedPipeline().analyse(tools.study(make_mammogram()), tools.options())
    assert result.images[0].reason is not None
    assert result.images[0].reason.code == "not_routed"


def test_failure_keeps_the_instances_own_reasons(tools: Any, make_mammogram: Any) -> None:
    reason = Reason(code="quarantined", text="ended its worker three times")
    study = tools.study(make_mammogram(), not_routed=[(make_mammogram(SOPClassUID=f"{SC}.7"), ROUTING)])
    result = UnroutedPipeline().report_failure(study, tools.options(), reason)
    assert (result.outcome, result.reason) == ("failed", reason)
    assert {(image.outcome, image.reason.code) for image in result.images if image.reason} == {
        ("failed", "quarantined"),
        ("not_analysed", "secondary_capture"),
    }


def test_an_empty_study_is_answered_without_objects(tools: Any) -> None:
    result = UnroutedPipeline().analyse(tools.study(), tools.options())
    assert (result.outcome, result.images, result.objects) == ("not_analysed", (), ())


def test_the_registry_makes_each_pipeline_once() -> None:
    for name in registry.PIPELINES:
        assert registry.get(name).name == name
        assert registry.get(name) is registry.get(name)
