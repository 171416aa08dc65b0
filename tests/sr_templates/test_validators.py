"""Every object against the validators that others use: PixelMed, dciodvfy, DCMTK."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path
from types import SimpleNamespace
from typing import get_args

import numpy as np
import pytest
from pydicom import dcmread

from sr_templates.contract import ResultKind, ResultVariant, StudyReport, plain_variants
from sr_templates.registry import make_objects

KINDS = plain_variants(*get_args(ResultKind))
VARIANTS = KINDS | {
    ResultVariant(kind="measurement_sr", sr_class="comprehensive"),
    ResultVariant(kind="heatmap", max_side_px=1024, compression="jpeg_baseline"),
    ResultVariant(kind="summary", max_side_px=1024, compression="jpeg_baseline"),
}
REPORTS = (
    "with_findings",
    "none_found",
    "partial",
    "all_failed",
    "not_attempted",
    "one_view",
    "ultrasound",
    "ultrasound_lesions",
    "ultrasound_none",
    "ultrasound_not_attempted",
    "ultrasound_partial",
    "dose_report_only",
    "revision",
    "tomosynthesis",
    "predictions",
)

IN_EVERY_FORM = ("revision", "not_attempted", "ultrasound_lesions")

# PixelMed spells the meanings of 111024 and 111025 with two spaces; PS3.16 with one. It knows no evaluations and no
# comments in the groups of TID 1410, which is extensible.
PIXELMED_NOISE = re.compile(
    r"Warning: .*(\(11102[45],DCM,\"Failed  (Detections|Analyses)\"\).*different code meaning.*"
    r"|/CONTAINER \(125007,DCM,\"Measurement Group\"\)/"
    r"(CODE \((REGION_MARKED_BY|PRED_\w+),99MAMMONODE,[^/]*(/TEXT \(11100[13],[^/]*)?|TEXT \(121106,DCM,\"Comment\"\))"
    r": Content Item not in template)$"
)
# XPath limits that a Java newer than PixelMed sets too low for its templates
PIXELMED_OPTIONS = tuple(f"-Djdk.xml.xpath{limit}Limit=0" for limit in ("TotalOp", "ExprOp", "ExprGrp"))
VALIDATE_ALL = """
import com.pixelmed.validate.DicomSRValidator;
public class ValidateAll {
    public static void main(String[] files) throws Exception {
        DicomSRValidator validator = new DicomSRValidator();
        validator.setOptionCheckContentItemOrder(true);
        for (String file : files) { System.out.println("File: " + file); System.out.println(validator.validate(file)); }
    }
}
"""


def program(name: str) -> str:
    found = shutil.which(name)
    if found is None:
        pytest.skip(f"{name} is not installed")
    return found


def run(*command: str) -> str:
    environment = {**os.environ, "JAVA_TOOL_OPTIONS": " ".join(PIXELMED_OPTIONS)}
    done = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False, env=environment)
    return done.stdout + done.stderr


@pytest.fixture
def written(tmp_path: Path, factory: SimpleNamespace) -> dict[str, Path]:
    files = {}
    for name in REPORTS:
        for made in make_objects(getattr(factory, name)(), VARIANTS if name in IN_EVERY_FORM else KINDS):
            path = tmp_path / f"{name}_{made.variant.name.replace(' ', '_')}_{made.sop_instance_uid[-6:]}.dcm"
            path.write_bytes(made.content)
            files[path.stem] = path
    return files


def pixelmed_messages(paths: list[Path], folder: Path) -> dict[str, list[str]]:
    """Error and warning lines of each file; one Java start for all of them where there is a compiler."""
    script = Path(program("DicomSRValidator"))
    if shutil.which("javac") and (jar := re.search(r"-cp (\S+\.jar)", script.read_text(errors="replace"))):
        source = folder / "ValidateAll.java"
        source.write_text(VALIDATE_ALL)
        output = run(program("java"), "-cp", jar.group(1), str(source), *map(str, paths))
        sections = dict(part.split("\n", 1) for part in output.split("File: ")[1:])
    else:
        sections = {str(path): run(str(script), str(path)) for path in paths}
        output = str(sections)
    assert set(sections) == set(map(str, paths)), output
    assert all("IOD validation complete" in section for section in sections.values()), sections
    return {
        name: [
            line
            for line in section.splitlines()
            if line.startswith(("Error", "Warning")) and not PIXELMED_NOISE.match(line)
        ]
        for name, section in sections.items()
    }


@pytest.mark.peer
def test_pixelmed_finds_nothing_in_any_structured_report(written: dict[str, Path], tmp_path: Path) -> None:
    reports = [path for name, path in written.items() if "_sr_" in name]
    assert len(reports) == 27
    assert {name: lines for name, lines in pixelmed_messages(reports, tmp_path).items() if lines} == {}


@pytest.mark.peer
def test_dciodvfy_finds_no_error_in_any_object(written: dict[str, Path]) -> None:
    validator = program("dciodvfy")
    errors = {
        name: [line for line in run(validator, str(path)).splitlines() if line.startswith("Error")]
        for name, path in written.items()
    }
    assert {name: lines for name, lines in errors.items() if lines} == {}


@pytest.mark.peer
def test_dcmtk_reads_every_structured_report(written: dict[str, Path]) -> None:
    reader = program("dsrdump")
    for name, path in written.items():
        if "_sr_" in name:
            output = run(reader, "+Pc", str(path))
            assert "CONTAINER:(126000" in output or "CONTAINER:(111036" in output, output
            assert not [line for line in output.splitlines() if line.startswith(("E:", "F:"))], output


@pytest.mark.peer
@pytest.mark.shared
def test_a_real_exam_is_reported_validly(shared_dir: Path, tmp_path: Path, factory: SimpleNamespace) -> None:
    images = []
    for path in sorted((shared_dir / "data" / "dicom" / "mg-exam-a").glob("*.dcm")):
        header = dcmread(path, stop_before_pixels=True)
        laterality, view = path.stem.split("_")
        display = np.zeros((header.Rows, header.Columns), dtype=np.uint8)
        images.append(
            factory.mammogram(0, laterality, view, header=header, display=display, findings=(factory.finding(),))
        )
    report: StudyReport = factory.study_report(tuple(images), study_instance_uid=str(images[0].header.StudyInstanceUID))
    paths = []
    for made in make_objects(report, VARIANTS):
        path = tmp_path / f"{made.kind}_{len(paths)}.dcm"
        path.write_bytes(made.content)
        paths.append(path)
    for path in paths:
        assert "Error" not in run(program("dciodvfy"), str(path))
    reports = [path for path in paths if "_sr_" in path.stem]
    assert not any(pixelmed_messages(reports, tmp_path).values())
