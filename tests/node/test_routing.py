"""Which pipeline an instance goes to, or the reason why none takes it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from pydicom.uid import (
    BreastTomosynthesisImageStorage,
    CTImageStorage,
    DigitalMammographyXRayImageStorageForPresentation,
    DigitalMammographyXRayImageStorageForProcessing,
    GrayscaleSoftcopyPresentationStateStorage,
    MammographyCADSRStorage,
    SecondaryCaptureImageStorage,
    SegmentationStorage,
    UltrasoundImageStorage,
    UltrasoundMultiFrameImageStorage,
    XRayRadiationDoseSRStorage,
)

from node.analysis import study_inputs
from node.routing import ACCEPTED_SOP_CLASSES, RETIRED_ULTRASOUND, ROUTES, route
from node.scp import presentation_contexts
from pipelines.contract import InstanceFile, Reason
from pipelines.registry import PIPELINES
from tests.factories import small_mammogram
from tests.node.builders import STUDY
from tests.region_objects import graphic, presentation_state, saved


@pytest.mark.parametrize(
    ("sop_class_uid", "target"),
    [
        (DigitalMammographyXRayImageStorageForPresentation, "mammography"),
        (DigitalMammographyXRayImageStorageForProcessing, "mammography"),
        (BreastTomosynthesisImageStorage, "mammography"),
        (UltrasoundImageStorage, "ultrasound"),
        (UltrasoundMultiFrameImageStorage, "ultrasound"),
        ("1.2.840.10008.5.1.4.1.1.6", "ultrasound"),
        (SecondaryCaptureImageStorage, "secondary_capture"),
        (MammographyCADSRStorage, "structured_report"),
        (XRayRadiationDoseSRStorage, "structured_report"),
        (GrayscaleSoftcopyPresentationStateStorage, "presentation_state"),
        (SegmentationStorage, "segmentation"),
        (CTImageStorage, "sop_class"),
        ("", "sop_class"),
        ("1.2.3.4.private", "sop_class"),
    ],
)
def test_one_table(sop_class_uid: str, target: str) -> None:
    found = route(sop_class_uid)
    assert (found.code if isinstance(found, Reason) else found) == target


def test_every_row_names_a_pipeline_that_exists_or_a_reason_to_read() -> None:
    for row in ROUTES:
        assert (row.pipeline is None) != (row.reason is None)
        assert row.pipeline in PIPELINES if row.pipeline else row.reason and row.reason.text


def test_no_kind_stands_in_two_rows() -> None:
    listed = [uid for row in ROUTES for uid in row.sop_class_uids]
    assert len(listed) == len(set(listed))


def test_what_is_accepted_is_what_is_routed() -> None:
    assert {uid for row in ROUTES for uid in row.sop_class_uids} == set(ACCEPTED_SOP_CLASSES)
    assert set(RETIRED_ULTRASOUND) <= ACCEPTED_SOP_CLASSES
    assert CTImageStorage not in ACCEPTED_SOP_CLASSES


def test_every_accepted_kind_is_offered_in_every_transfer_syntax() -> None:
    verification, *storage = presentation_contexts()
    assert verification.abstract_syntax == "1.2.840.10008.1.1"
    assert {context.abstract_syntax for context in storage} == set(ACCEPTED_SOP_CLASSES)
    for context in storage:
        assert {"1.2.840.10008.1.2", "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.2", "1.2.840.10008.1.2.4.90"} <= set(
            context.transfer_syntax
        )


def files(tmp_path: Path, *sop_classes: str) -> list[InstanceFile]:
    return [
        InstanceFile(
            path=tmp_path / f"{number}",
            sop_instance_uid=f"{STUDY}.{number}",
            sop_class_uid=sop_class,
            transfer_syntax_uid="1.2.840.10008.1.2.1",
        )
        for number, sop_class in enumerate(sop_classes)
    ]


def test_what_no_pipeline_takes_is_answered_with_what_one_does(tmp_path: Path) -> None:
    mixed = files(tmp_path, SecondaryCaptureImageStorage, DigitalMammographyXRayImageStorageForPresentation)
    inputs = study_inputs(STUDY, 2, reversed(mixed))
    assert list(inputs) == ["mammography"]
    study = inputs["mammography"]
    assert (study.study_instance_uid, study.revision, study.instances) == (STUDY, 2, (mixed[1],))
    assert [(file, reason.code) for file, reason in study.not_routed] == [(mixed[0], "secondary_capture")]


def test_a_study_of_two_modalities_is_answered_by_two_pipelines(tmp_path: Path) -> None:
    kinds = (UltrasoundImageStorage, DigitalMammographyXRayImageStorageForPresentation, XRayRadiationDoseSRStorage)
    mixed = files(tmp_path, *kinds)
    inputs = study_inputs(STUDY, 1, mixed)
    assert {name: study.instances for name, study in inputs.items()} == {
        "ultrasound": (mixed[0],),
        "mammography": (mixed[1],),
    }
    assert sorted(len(study.not_routed) for study in inputs.values()) == [0, 1]


def test_a_study_of_only_such_instances_is_answered_all_the_same(tmp_path: Path) -> None:
    for kinds in ((SecondaryCaptureImageStorage, XRayRadiationDoseSRStorage), ()):
        inputs = study_inputs(STUDY, 1, files(tmp_path, *kinds))
        assert list(inputs) == ["none"]
        assert inputs["none"].instances == ()
        assert len(inputs["none"].not_routed) == len(kinds)


def test_a_mark_goes_with_the_mammograms_and_what_marks_nothing_does_not(tmp_path: Path) -> None:
    kinds = (UltrasoundImageStorage, DigitalMammographyXRayImageStorageForPresentation)
    mixed = files(tmp_path, *kinds, GrayscaleSoftcopyPresentationStateStorage, SegmentationStorage)
    inputs = study_inputs(STUDY, 1, mixed, carries=lambda file: file == mixed[2])
    assert inputs["mammography"].region_objects == (mixed[2],)
    assert inputs["ultrasound"].region_objects == ()
    left = [(file, reason.code) for study in inputs.values() for file, reason in study.not_routed]
    assert left == [(mixed[3], "segmentation")]
    assert study_inputs(STUDY, 1, mixed[2:3])["none"].region_objects == (), "there is no file to look into"


@pytest.mark.parametrize(("model_name", "asks"), [("viewer", True), ("mammonode", False)])
def test_a_mark_in_a_folder_is_a_request_unless_this_node_made_it(tmp_path: Path, model_name: str, asks: bool) -> None:
    image = small_mammogram(laterality="L", view="CC")
    circle = graphic("CIRCLE", [(20.0, 20.0), (30.0, 20.0)])
    file = replace(
        files(tmp_path, GrayscaleSoftcopyPresentationStateStorage)[0],
        path=saved(presentation_state(image, [circle], ManufacturerModelName=model_name), tmp_path / "state.dcm"),
    )
    assert bool(study_inputs(STUDY, 1, [file])["none"].region_objects) is asks
