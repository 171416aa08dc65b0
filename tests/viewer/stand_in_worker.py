"""Run the node's worker with stand-ins for its networks. Usage: ``python stand_in_worker.py CONFIG``."""

from __future__ import annotations

import sys
from pathlib import Path

from node.logs import configure_logging
from node.parts import run_worker
from node.settings import load_settings
from pipelines.registry import PIPELINES


def main() -> None:
    configure_logging()
    PIPELINES["mammography"] = "tests.viewer.stand_in:stand_in_pipeline"
    PIPELINES["ultrasound"] = "tests.viewer.stand_in:stand_in_ultrasound"
    run_worker(load_settings(Path(sys.argv[1]), {}))


if __name__ == "__main__":
    main()
