"""Real breast ultrasound by storescu, through a node with the weights that ship, into Orthanc."""

from __future__ import annotations

import subprocess
from collections import defaultdict
from collections.abc import Callable
from io import BytesIO
from itertools import combinations
from math import dist
from pathlib import Path

import pytest
from pydicom import Dataset, dcmread

from models.errors import ModelError
from models.registry import find_weights
from sr_templates.codes import AREA, LONG_AXIS, SHORT_AXIS
from tests.e2e.harness import Destination, node_under_test, wait_until
from tests.e2e.test_whole_way import send
from tests.peers.servers import orthanc
from tests.sr_templates.test_validators import pixelmed_messages, run

MEASUREMENT_REPORT = "1.2.840.10008.5.1.4.1.1.88.34"
SECONDARY_CAPTURE = "1.2.840.10008.5.1.4.1.1.7"
GROUP, REGION = "125007", "111030"


def items(parent: Dataset, code_value: str) -> list[Dataset]:
    """Content items of this concept, however deep."""
    found = []
    for child in parent.get("ContentSequence", ()):
        if "ConceptNameCodeSequence" in child and child.ConceptNameCodeSequence[0].CodeValue == code_value:
            found.append(child)
        found += items(child, code_value)
    return found


def number(group: Dataset, code_value: str) -> float:
    (item,) = items(group, code_value)
    (value,) = item.MeasuredValueSequence
    assert value.MeasurementUnitsCodeSequence[0].CodeValue in ("mm", "mm2")
    return float(value.NumericValue)


def shoelace(points: list[tuple[float, float]]) -> float:
    following = [*points[1:], points[0]]
    return abs(sum(x0 * y1 - x1 * y0 for (x0, y0), (x1, y1) in zip(points, following, strict=True))) / 2


@pytest.mark.peer
@pytest.mark.shared
def test_every_real_image_is_answered_and_measured_by_its_calibration(
    shared_dir: Path, tmp_path: Path, need: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    need("storescu", "Orthanc", "dciodvfy", "DicomSRValidator")
    try:
        find_weights("us-segmentation", None)
    except ModelError as error:
        pytest.skip(f"us-segmentation: {error}")
    paths = sorted((shared_dir / "data" / "dicom" / "us").glob("*.dcm"))
    sent = {header.SOPInstanceUID: header for header in (dcmread(path, stop_before_pixels=True) for path in paths)}
    studies = {header.StudyInstanceUID for header in sent.values()}
    monkeypatch.setenv("MAMMONODE_MODELS__WEIGHTS_DIR", str(tmp_path / "none"))  # so those that ship
    with (
        orthanc(tmp_path / "orthanc") as pacs,
        node_under_test(tmp_path / "node", [Destination("orthanc", pacs.port, pacs.ae_title)], quiet_s=2) as node,
    ):
        node.serve()
        send(node, paths)
        wait_until(lambda: node.is_finished(len(studies)), 800, "every study to be answered")
        results = {uid: dcmread(BytesIO(pacs.file_bytes(uid))) for uid in pacs.instances()}
    by_study: dict[str, list[Dataset]] = defaultdict(list)
    for made in results.values():
        by_study[made.StudyInstanceUID].append(made)
    assert set(by_study) == studies
    reports = [made for made in results.values() if made.SOPClassUID == MEASUREMENT_REPORT]
    for made in by_study.values():
        assert sum(one.SOPClassUID == SECONDARY_CAPTURE for one in made) >= 1

    lesions = 0
    for report in reports:
        for group in items(report, GROUP):
            (region,) = items(group, REGION)
            reference = region.ContentSequence[0].ReferencedSOPSequence[0]
            (calibration,) = sent[reference.ReferencedSOPInstanceUID].SequenceOfUltrasoundRegions
            across, down = 10 * abs(calibration.PhysicalDeltaX), 10 * abs(calibration.PhysicalDeltaY)
            data = region.GraphicData
            points = [(x * across, y * down) for x, y in zip(data[0::2], data[1::2], strict=True)]
            longest = max(dist(one, other) for one, other in combinations(points, 2))
            assert number(group, LONG_AXIS.value) == pytest.approx(longest, rel=0.02, abs=0.1)
            assert number(group, AREA.value) == pytest.approx(shoelace(points), rel=0.03)
            assert number(group, SHORT_AXIS.value) <= number(group, LONG_AXIS.value)
            lesions += 1
    assert lesions, "nothing was measured, so nothing was checked"

    files = []
    for uid, made in results.items():
        path = tmp_path / f"{uid}.dcm"
        made.save_as(path)
        files.append(path)
        errors = [line for line in run("dciodvfy", str(path)).splitlines() if line.startswith("Error")]
        assert errors == [], path
    structured = [path for path in files if dcmread(path, stop_before_pixels=True).Modality == "SR"]
    messages = pixelmed_messages(structured, tmp_path)
    assert {name: lines for name, lines in messages.items() if lines} == {}
    for path in structured:
        ran = subprocess.run(["dsrdump", str(path)], capture_output=True, text=True, check=True)
        assert "Imaging Measurement Report" in ran.stdout
