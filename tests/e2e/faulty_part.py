"""Run one part of the node, and kill it with SIGKILL the first times that it comes to a given step.

Usage: ``python faulty_part.py PART STEP[:TIMES] MARKER CONFIG``. MARKER is a file that counts the kills, a letter each.
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

from node.logs import configure_logging
from node.parts import run_dispatch, run_scp, run_worker
from node.settings import load_settings

PARTS = {"scp": run_scp, "dispatch": run_dispatch, "worker": run_worker}


def main() -> None:
    part, wanted, marker, config = sys.argv[1], sys.argv[2], Path(sys.argv[3]), Path(sys.argv[4])
    step, _, times = wanted.partition(":")
    main_pid = os.getpid()

    def fault(reached: str) -> None:
        kills = len(marker.read_text()) if marker.exists() else 0
        if reached != step or kills >= int(times or 1):
            return
        marker.write_text("x" * (kills + 1))
        if os.getpid() != main_pid:  # in the worker's child: the whole worker dies, as with the machine's OOM killer
            os.kill(main_pid, signal.SIGKILL)
        os.kill(os.getpid(), signal.SIGKILL)

    configure_logging()
    PARTS[part](load_settings(config, {}), fault)


if __name__ == "__main__":
    main()
