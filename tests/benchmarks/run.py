"""``make bench``: the figures of the README, measured on this machine in one run."""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from tests.benchmarks import biomarkers, cine, inference, latency, memory, receive


def main() -> None:
    """Run every benchmark and print its table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=60, help="mammograms a round")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--studies", type=int, default=5)
    parser.add_argument("--object-mb", type=int, default=500)
    parser.add_argument("--only", choices=["receive", "memory", "latency", "share", "inference", "cine", "biomarkers"])
    parser.add_argument("--weights", type=Path, help="a weights_dir, for the table inference; else what ships")
    parser.add_argument("--device", default="cpu", help="for the table inference")
    options = parser.parse_args()
    print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.2f} at the start")
    with tempfile.TemporaryDirectory(prefix="mammonode-bench-") as name:
        folder = Path(name)
        tables = {
            "receive": lambda: receive.measure(folder / "receive", options.count, options.rounds),
            "memory": lambda: memory.measure(folder / "memory", options.object_mb * 10**6),
            "latency": lambda: latency.measure(folder / "latency", options.studies, with_networks=False),
            "share": lambda: latency.measure(folder / "share", 2, with_networks=True),
            "inference": lambda: inference.measure(options.weights, options.device),
            "biomarkers": lambda: biomarkers.measure(options.device),
            "cine": lambda: cine.measure(folder / "cine"),
        }
        for title, table in tables.items():
            if options.only in (None, title):
                print(f"\n{title}")
                for line in table():
                    print(line, flush=True)


if __name__ == "__main__":
    main()
