"""What a long cine of ultrasound costs: memory and time a frame, beside a cine of a tenth of its frames.

The cine is compressed (baseline JPEG), in colour, 600 x 800, its speckle moves; it is analysed as a study of its own by
the pipeline with the networks that are installed, in a process of its own.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

FRAMES = (30, 300)
ROWS, COLUMNS = 600, 800
PICTURE = (100, 40, 700, 560)
SHIFT_PX = 3
"""By which the tissue moves from frame to frame."""

LESION = (400.0, 280.0, 60.0)


def measure(folder: Path) -> Iterator[str]:
    """Yield the lines of the table."""
    folder.mkdir(parents=True)
    for frames in FRAMES:
        path = folder / f"cine-{frames}.dcm"
        write_cine(path, frames)
        command = [sys.executable, "-m", "tests.benchmarks.cine", str(path), str(folder / f"cine-{FRAMES[0]}.dcm")]
        ran = subprocess.run(command, check=True, capture_output=True, text=True)
        found = dict(json.loads(ran.stdout.splitlines()[-1]))
        raw_mb = frames * ROWS * COLUMNS * 3 / 1e6
        seconds, outlined = found["seconds"], found["outlined"]
        yield (
            f"    {frames:3} frames, {path.stat().st_size / 1e6:5.1f} MB ({raw_mb:.0f} MB decoded): {seconds:.1f} s, "
            f"{1000 * seconds / frames:.0f} ms a frame of the cine; {outlined} frames outlined, "
            f"{1000 * found['models_s'] / outlined:.0f} ms each in networks; "
            f"{found['findings']} findings, {found['outcome']}; "
            f"memory {found['before_mb']:.0f} MB before, {found['peak_mb']:.0f} MB at the peak"
        )


def write_cine(path: Path, frames: int) -> None:
    """Write a cine of speckle that moves, with a dark disc that moves with it."""
    from tests.pipelines.ultrasound import screens

    x0, y0, x1, y1 = PICTURE
    wide = screens.speckle(y1 - y0, (x1 - x0) + SHIFT_PX * max(FRAMES), brightness=100.0)
    y, x = np.mgrid[:ROWS, :COLUMNS] + 0.5
    encoded = []
    for number in range(frames):
        grey = np.zeros((ROWS, COLUMNS), dtype=np.uint8)
        grey[y0:y1, x0:x1] = wide[:, SHIFT_PX * number :][:, : x1 - x0]
        centre = LESION[0] + 80 * np.sin(number / 15)
        grey[np.hypot((x - centre) / 1.4, y - LESION[1]) < LESION[2]] //= 4
        encoded.append(screens.jpeg(np.repeat(grey[..., None], 3, axis=-1)))
    stack = np.zeros((1, ROWS, COLUMNS, 3), dtype=np.uint8)
    screens.write(
        path,
        stack,
        multi_frame=True,
        photometric="YBR_FULL_422",
        regions=[screens.region(PICTURE)],
        edit=lambda dataset: screens.as_jpeg(dataset, encoded),
        NumberOfFrames=frames,
    )


def _analyse(path: Path, first: Path) -> dict[str, Any]:
    """Analyse `first`, so that everything is loaded, then `path`."""
    from pipelines.contract import AnalysisOptions
    from pipelines.ultrasound.pipeline import UltrasoundPipeline
    from pipelines.ultrasound.plan import plan_frames
    from tests.benchmarks.memory import peak_bytes
    from tests.pipelines.ultrasound.screens import described
    from tests.pipelines.ultrasound.stand_ins import a_study

    options = AnalysisOptions(created_at=datetime.now(UTC))
    pipeline = UltrasoundPipeline()
    pipeline.analyse(a_study(first), options)
    Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew (proc(5))
    before = peak_bytes("self")
    begun = time.perf_counter()
    result = pipeline.analyse(a_study(path), options)
    seconds = time.perf_counter() - begun
    peak = peak_bytes("self")
    return {
        "seconds": seconds,
        "models_s": result.models_s,
        "outlined": sum(len(region.frame_numbers) for region in plan_frames(path, described(path)).regions),
        "findings": sum(len(image.lesions) for image in result.images),
        "outcome": result.outcome,
        "before_mb": before / 1e6,
        "peak_mb": peak / 1e6,
    }


if __name__ == "__main__":
    print(json.dumps(_analyse(Path(sys.argv[1]), Path(sys.argv[2]))))
