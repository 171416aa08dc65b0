"""Which objects a report gives, and that the same report gives the same ones."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from io import BytesIO
from typing import get_args

import pytest
from pydicom import dcmread
from pydicom.uid import UID

from sr_templates.contract import ResultKind, StudyReport, plain_variants
from sr_templates.registry import TEMPLATES, make_objects

KINDS = plain_variants(*get_args(ResultKind))


def uids(report: StudyReport) -> list[str]:
    return [made.sop_instance_uid for made in make_objects(report, KINDS)]


def test_every_kind_of_the_contract_has_a_template() -> None:
    assert frozenset(TEMPLATES) == frozenset(get_args(ResultKind))


@pytest.mark.parametrize("kind", sorted(get_args(ResultKind)))
def test_only_the_kinds_asked_for_are_made(kind: ResultKind, case: tuple[str, StudyReport]) -> None:
    assert {made.kind for made in make_objects(case[1], plain_variants(kind))} <= {kind}


def test_a_study_is_never_answered_with_silence(case: tuple[str, StudyReport]) -> None:
    name, report = case
    kinds = {made.kind for made in make_objects(report, KINDS)}
    assert "measurement_sr" in kinds
    assert ("cad_sr" in kinds) == (not name.startswith("ultrasound") and name != "dose_report_only")


def test_a_report_without_any_instance_is_refused(case: tuple[str, StudyReport]) -> None:
    with pytest.raises(ValueError, match="at least one instance"):
        make_objects(replace(case[1], images=(), other_instances=()), KINDS)


def test_the_same_report_gives_the_same_bytes(case: tuple[str, StudyReport]) -> None:
    assert make_objects(case[1], KINDS) == make_objects(case[1], KINDS)


def test_no_uid_depends_on_the_clock(case: tuple[str, StudyReport]) -> None:
    report = case[1]
    later = replace(report, created_at=report.created_at + timedelta(days=400))
    assert uids(report) == uids(later)


def test_a_revision_another_node_other_weights_or_settings_give_other_uids(case: tuple[str, StudyReport]) -> None:
    report = case[1]
    changed = [
        replace(report, revision=report.revision + 1),
        replace(report, configuration={"min_score": "0.4"}),
        replace(report, device=replace(report.device, software_version="0.2.0")),
        replace(report, device=replace(report.device, station_name="NODE2")),
    ]
    changed += [
        replace(report, algorithms=tuple(replace(a, **{field: value}) for a in report.algorithms))
        for field, value in (
            ("weights_sha256", "00" * 32),
            ("version", "9"),
            ("operating_point", {"score_threshold": 0.9}),
        )
        if report.algorithms
    ]
    everything = [uid for variant in (report, *changed) for uid in uids(variant)]
    assert len(set(everything)) == len(everything)


def test_the_device_is_another_one_when_its_weights_are(case: tuple[str, StudyReport]) -> None:
    report = case[1]
    if not report.algorithms:
        return
    retrained = replace(report, algorithms=tuple(replace(a, weights_sha256="00" * 32) for a in report.algorithms))
    devices = []
    for variant in (report, retrained):
        for made in make_objects(variant, KINDS):
            equipment = dcmread(BytesIO(made.content)).ContributingEquipmentSequence[0]
            assert equipment.PurposeOfReferenceCodeSequence[0].CodeValue == "109102"
            devices.append((variant is report, equipment.DeviceUID))
    assert len({uid for first, uid in devices if first}) == 1
    assert len(set(devices)) == 2
    assert len({uid for _, uid in devices}) == 2


def test_headers_say_what_the_result_object_says(case: tuple[str, StudyReport]) -> None:
    report = case[1]
    series = {}
    for made in make_objects(report, KINDS):
        dataset = dcmread(BytesIO(made.content))
        assert dataset.SOPClassUID == dataset.file_meta.MediaStorageSOPClassUID == made.sop_class_uid
        assert dataset.SOPInstanceUID == dataset.file_meta.MediaStorageSOPInstanceUID == made.sop_instance_uid
        assert dataset.SeriesInstanceUID == made.series_instance_uid
        assert dataset.file_meta.TransferSyntaxUID == made.transfer_syntax_uid
        assert dataset.StudyInstanceUID == report.study_instance_uid
        assert all(UID(uid).is_valid for uid in (made.sop_instance_uid, made.series_instance_uid))
        series.setdefault(made.kind, set()).add((made.series_instance_uid, dataset.SeriesNumber))
        assert "research use" in dataset.SeriesDescription.lower() or "NOT FOR PRIMARY" in dataset.SeriesDescription
    assert all(len(of_kind) == 1 for of_kind in series.values())
    assert len(set.union(*series.values())) == len(series)


def test_research_use_weights_version_and_thresholds_are_in_every_object(case: tuple[str, StudyReport]) -> None:
    report = case[1]
    for made in make_objects(report, KINDS):
        assert b"esearch use" in made.content
        for algorithm in report.algorithms:
            expected = algorithm.weights_sha256 or "none installed"
            assert expected.encode() in made.content
            assert f"{algorithm.name} {algorithm.version}".encode() in made.content
            for name, value in algorithm.operating_point.items():
                assert f"{name}={value:g}".encode() in made.content


def test_the_reason_for_not_analysing_is_in_every_structured_report(case: tuple[str, StudyReport]) -> None:
    report = case[1]
    for made in make_objects(report, plain_variants("cad_sr", "measurement_sr")):
        reasons = [report.reason, *(i.reason for i in report.images), *(reason for _, reason in report.other_instances)]
        assert all(reason.encode() in made.content for reason in reasons)
