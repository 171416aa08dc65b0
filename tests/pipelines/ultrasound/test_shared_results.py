"""Results on real images: every file is answered, millimetres are the region calibration's, validators find nothing."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from node.analysis import study_inputs
from pipelines.contract import PipelineResult
from pipelines.ultrasound.pipeline import UltrasoundPipeline
from sr_templates.contract import ResultVariant, plain_variants
from tests.pipelines.ultrasound.screens import described
from tests.pipelines.ultrasound.stand_ins import KnownModels, MiddleSegmenter, received, some_options

pytestmark = pytest.mark.shared

# XPath limits that a Java newer than PixelMed sets too low for its templates
PIXELMED = " ".join(f"-Djdk.xml.xpath{limit}Limit=0" for limit in ("TotalOp", "ExprOp", "ExprGrp"))
VARIANTS = plain_variants("measurement_sr", "heatmap", "summary") | {
    ResultVariant(kind="measurement_sr", sr_class="comprehensive")
}


def answers(paths: list[Path], variants: frozenset[ResultVariant]) -> list[PipelineResult]:
    """Each study of ultrasound, with an outline in the middle of every picture."""
    studies: dict[str, list[Path]] = {}
    for path in paths:
        studies.setdefault(described(path).study_instance_uid, []).append(path)
    pipeline = UltrasoundPipeline(models=KnownModels(segmenter=MiddleSegmenter()))
    return [
        pipeline.analyse(study, some_options(results=variants))
        for uid, of_study in studies.items()
        for name, study in study_inputs(uid, 1, [received(path) for path in of_study]).items()
        if name == "ultrasound"
    ]


def files(shared_dir: Path) -> list[Path]:
    return sorted((shared_dir / "data" / "dicom" / "us").glob("*.dcm"))


def test_every_real_image_is_answered_with_sizes_by_its_region_calibration(shared_dir: Path) -> None:
    paths = {described(path).sop_instance_uid: path for path in files(shared_dir)}
    images = [image for result in answers(list(paths.values()), frozenset()) for image in result.images]
    assert len(images) == len(paths) - 1  # one of them is a secondary capture, which is answered without a pipeline
    for image in images:
        assert (image.outcome, image.reason) == ("analysed", None)
        (lesion,) = image.lesions
        (region,) = described(paths[image.sop_instance_uid]).regions
        assert region.spacing_mm is not None
        row_mm, column_mm = region.spacing_mm
        x0, y0, x1, y1 = lesion.box_px
        assert lesion.long_axis_mm == pytest.approx((x1 - x0) * column_mm, rel=0.03)
        assert lesion.short_axis_mm == pytest.approx((y1 - y0) * row_mm, rel=0.03)


@pytest.mark.peer
def test_results_on_real_images_are_valid(shared_dir: Path, tmp_path: Path, need: Callable[..., None]) -> None:
    need("DicomSRValidator", "dciodvfy")
    made = [item for result in answers(files(shared_dir)[:2], VARIANTS) for item in result.objects]
    for number, item in enumerate(made):
        path = tmp_path / f"{item.kind}_{number}.dcm"
        path.write_bytes(item.content)
        assert "Error" not in said("dciodvfy", path)
        if item.kind == "measurement_sr" and number < 2:
            output = said("DicomSRValidator", path)
            assert "IOD validation complete" in output
            assert not [line for line in output.splitlines() if line.startswith(("Error", "Warning"))], output
    assert {item.kind for item in made} == {"measurement_sr", "heatmap", "summary"}


def said(program: str, path: Path) -> str:
    found = shutil.which(program)
    assert found is not None
    environment = {**os.environ, "JAVA_TOOL_OPTIONS": PIXELMED}
    done = subprocess.run(
        [found, str(path)], capture_output=True, text=True, errors="replace", check=False, env=environment
    )
    return done.stdout + done.stderr
