"""Every real file of the shared folder gets an answer: analysed, or not analysed with the right reason."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom import dcmread

from models import registry
from node.analysis import study_inputs
from pipelines.contract import PipelineResult
from pipelines.headers import describe_mammogram, read_header
from pipelines.mammography.pipeline import MammographyPipeline
from pipelines.pixels import decode, standardise
from pipelines.ultrasound.pipeline import UltrasoundPipeline
from pipelines.unrouted import UnroutedPipeline
from sr_templates.contract import plain_variants
from tests.pipelines.ultrasound.stand_ins import KnownModels, no_weights

pytestmark = pytest.mark.shared

ANALYSED = None
EXPECTED: dict[str, str | None] = {
    "mg-exam-a/L_CC.dcm": ANALYSED,
    "mg-exam-a/L_MLO.dcm": ANALYSED,
    "mg-exam-a/R_CC.dcm": ANALYSED,
    "mg-exam-a/R_MLO.dcm": ANALYSED,
    "mg-exam-b/L_CC.dcm": ANALYSED,
    "mg-exam-b/R_CC.dcm": ANALYSED,
    "odd/2023-04-21-RLEPlanarConfigurationYBR_FULL.dcm": "no_picture",
    "odd/JPGLosslessP14SV1_EPIQ.dcm": "not_breast",
    "odd/MG-Im-GE-SenDS-scaled.dcm": "for_processing",
    "odd/MG-Im-GE_Seno_1_ForPresentation.dcm": "image_too_small",
    "odd/MG-Im-GE_Seno_1_ForProcessing.dcm": "for_processing",
    "odd/MG-Im-GE_Seno_2_ForPresentation.dcm": "image_too_small",
    "odd/MG-Im-Hologic-PropProj.dcm": "flat_field",
    "odd/MG-RDSR-Hologic_2D.dcm": "dose_report",
    "odd/MG-RDSR-Hologic_mix.dcm": "dose_report",
    "odd/MG1_J2KI.dcm": "secondary_capture",
    "odd/MG1_JPLY.dcm": "undecodable_pixels",
    "odd/MG_Explicit_Little.dcm": ANALYSED,  # a test pattern, but its header is that of a right CC mammogram
    "odd/US1_J2KI.dcm": "colour_in_picture",
    "odd/US1_J2KR.dcm": "colour_in_picture",
    "odd/US1_RLE.dcm": "colour_in_picture",
    "odd/jp2k91YBR-ICT.dcm": ANALYSED,  # a greyscale picture; nothing in its header says of what
    "us/USDC54BC_IM4.dcm": "secondary_capture",
}


MARKERS_PX = {
    "mg-exam-a/L_CC.dcm": [(770, 0, 801, 40), (705, 873, 727, 895)],
    "mg-exam-a/L_MLO.dcm": [(950, 380, 981, 478), (871, 2011, 893, 2034)],
    "mg-exam-a/R_CC.dcm": [(84, 1255, 107, 1278)],
    "mg-exam-a/R_MLO.dcm": [(0, 380, 30, 478), (94, 1914, 116, 1936)],
    "mg-exam-b/L_CC.dcm": [(1177, 380, 1415, 478)],
    "mg-exam-b/R_CC.dcm": [(1136, 380, 1387, 478)],
}
"""Frames of letters beside the breast, and lead shot on the nipple: where nothing may be called."""


def expected(name: str) -> str | None:
    """The images of the folder us are greyscale pictures, all but one."""
    return EXPECTED.get(name) if name.startswith("us/") else EXPECTED[name]


def files(shared_dir: Path, *folders: str) -> dict[str, Path]:
    dicom = shared_dir / "data" / "dicom"
    return {str(path.relative_to(dicom)): path for folder in folders for path in sorted((dicom / folder).glob("*.dcm"))}


def answers(
    tools: Any, models: Any, paths: list[Path], ultrasound: Any = registry, **options: Any
) -> list[PipelineResult]:
    """Each study as the node would split it among the pipelines."""
    studies: dict[str, list[Any]] = {}
    for path in paths:
        uid = describe_mammogram(read_header(path)).study_instance_uid
        studies.setdefault(uid, []).append(tools.received(path))
    pipelines = {
        "mammography": MammographyPipeline(models=models),
        "ultrasound": UltrasoundPipeline(models=ultrasound),
        "none": UnroutedPipeline(),
    }
    return [
        pipelines[name].analyse(study, tools.options(**options))
        for uid, instances in studies.items()
        for name, study in study_inputs(uid, 1, instances).items()
    ]


@pytest.mark.parametrize("weights", [True, False], ids=["with a detector", "without weights"])
def test_every_file_gets_its_answer(tools: Any, shared_dir: Path, weights: bool) -> None:
    found = files(shared_dir, "mg-exam-a", "mg-exam-b", "odd", "us")
    models, ultrasound = (tools.FakeModels(), KnownModels()) if weights else (tools.no_weights(), no_weights())
    results = answers(tools, models, list(found.values()), ultrasound, results=plain_variants("measurement_sr"))
    rows = {image.sop_instance_uid: image for result in results for image in result.images}
    told = {}
    for name, path in found.items():
        row = rows[describe_mammogram(read_header(path)).sop_instance_uid]
        told[name] = (row.outcome, row.reason.code if row.reason else None)
    fit = ("analysed", None) if weights else ("not_analysed", "no_weights")
    assert told == {name: fit if expected(name) is ANALYSED else ("not_analysed", expected(name)) for name in found}
    assert all(result.reason for result in results if result.outcome != "analysed")
    assert all([made.kind for made in result.objects] == ["measurement_sr"] for result in results)


def test_the_real_exam_is_complete_and_the_other_lacks_its_mlo_views(tools: Any, shared_dir: Path) -> None:
    for folder, reason, objects in (("mg-exam-a", None, 4), ("mg-exam-b", "no MLO view received", 2)):
        (result,) = answers(tools, tools.FakeModels(), list(files(shared_dir, folder).values()))
        assert result.outcome == "analysed"
        assert [breast.laterality for breast in result.breasts] == ["L", "R"]
        assert {breast.reason.text if breast.reason else None for breast in result.breasts} == {reason}
        assert [made.kind for made in result.objects].count("heatmap") == objects


def test_the_breast_lies_at_its_chest_wall_and_the_air_is_cropped(tools: Any, shared_dir: Path) -> None:
    found = files(shared_dir, "mg-exam-b")
    models = tools.FakeModels()
    answers(tools, models, list(found.values()), results=plain_variants("cad_sr"))
    for image in models.detector.seen:
        assert image.spacing_mm == pytest.approx((0.1, 0.1), rel=1e-3)
        assert image.pixels.shape[1] < 0.5 * 2560 * 0.7
        assert min(image.pixels[:, 0].max(), image.pixels[:, -1].max()) > 0  # both outer columns hold breast


@pytest.mark.parametrize("exam", ["mg-exam-a", "mg-exam-b"])
def test_the_shipped_detector_calls_no_marker(tools: Any, shared_dir: Path, exam: str) -> None:
    found = files(shared_dir, exam)
    (result,) = answers(tools, registry, list(found.values()), results=plain_variants("cad_sr"))
    assert result.outcome == "analysed"
    detections = {image.sop_instance_uid: image.detections for image in result.images}
    assert sum(len(of_image) for of_image in detections.values()) <= 4 * len(found)
    for name, path in found.items():
        for one in detections[describe_mammogram(read_header(path)).sop_instance_uid]:
            x0, y0, x1, y1 = one.box_px
            assert not any(
                x0 < right and x1 > left and y0 < bottom and y1 > top for left, top, right, bottom in MARKERS_PX[name]
            )


def test_the_sigmoid_and_the_luts_of_real_headers_are_applied(shared_dir: Path) -> None:
    path = files(shared_dir, "odd")["odd/MG-Im-GE_Seno_1_ForPresentation.dcm"]
    header = describe_mammogram(read_header(path))
    dataset = dcmread(path)
    stored = dataset.pixel_array.astype(int)
    first, table = dataset.VOILUTSequence[0].LUTDescriptor[1], np.array(dataset.VOILUTSequence[0].LUTData)
    shown = standardise(decode(path), header).pixels
    assert np.allclose(shown, table[stored - first] / 4095, atol=1e-6)
    assert header.view == "CC"  # coded in SNM3
