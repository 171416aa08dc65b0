"""`make demo` is the first thing that a newcomer runs."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from pydicom import dcmread
from pydicom.uid import Comprehensive3DSRStorage

from tests.e2e.harness import ROOT
from tests.sr_templates.content_tree import walk


def test_the_demo_prints_the_answer_and_saves_pictures(tmp_path: Path) -> None:
    out = tmp_path / "demo"
    ran = subprocess.run(
        [sys.executable, "-m", "node.cli", "demo", "--out", str(out)],
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
        timeout=200,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "7 results came back" in ran.stdout
    assert "Mammography CAD SR, series 9001" in ran.stdout
    assert "no weights installed (FPNNet)" not in ran.stdout
    assert {path.name for path in out.glob("*.png")} == {
        "summary.png",
        *(f"heatmap_{view}.png" for view in ("LCC", "LMLO", "RCC", "RMLO")),
    }
    kinds = sorted(str(dcmread(path, stop_before_pixels=True).Modality) for path in (out / "results").glob("*.dcm"))
    assert kinds == ["OT", "OT", "OT", "OT", "OT", "SR", "SR"]
    results = [dcmread(path) for path in (out / "results").glob("*.dcm")]
    (report,) = (one for one in results if one.SOPClassUID == Comprehensive3DSRStorage)
    regions = [item for item in walk(report) if item.get("ValueType") == "SCOORD"]
    assert len(regions) >= 2, "the clusters that were planted are findings"
    assert "Traceback" not in (out / "node.log").read_text()
