"""Memory of the receiver while it takes one very large object."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

from tests.e2e.harness import node_under_test
from tests.factories import large_tomosynthesis, small_mammogram


def peak_bytes(pid: int | str) -> int:
    """Peak resident memory of a process, or of ``"self"``, so far (VmHWM, proc(5))."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM"):
            return int(line.split()[1]) * 1024
    raise RuntimeError("no VmHWM in /proc")


def measure(folder: Path, size_bytes: int) -> Iterator[str]:
    """Yield the table: peak before and after one object of `size_bytes`."""
    folder.mkdir(parents=True)
    small, large = folder / "small.dcm", folder / "large.dcm"
    small_mammogram(small, laterality="L", view="CC")
    large_tomosynthesis(large, size_bytes)
    with node_under_test(folder / "node", []) as node:
        node.start_parts(parts=("scp",))
        pid = node.processes["scp"].pid
        target = ["-aec", "MAMMONODE", "127.0.0.1", str(node.port)]
        subprocess.run(["storescu", "-R", *target, str(small)], check=True, capture_output=True)
        before = peak_bytes(pid)
        subprocess.run(["storescu", "-R", *target, str(large)], check=True, capture_output=True)
        after = peak_bytes(pid)
    yield f"one object of {large.stat().st_size / 1e6:.0f} MB"
    grown = (after - before) / 1e6
    yield f"    the receiver's peak before {before / 1e6:.0f} MB, after {after / 1e6:.0f} MB: {grown:+.1f} MB"
