"""`mammonode serve` as an administrator meets it."""

from __future__ import annotations

import signal
from pathlib import Path

import psutil
import pytest

from tests.e2e.harness import Destination, RecordingPacs, free_port, node_under_test, wait_until, write_study
from tests.peers.servers import storescu


@pytest.mark.peer
def test_serve_says_ready_brings_back_what_dies_and_ends_on_sigterm(tmp_path: Path) -> None:
    pacs = RecordingPacs(free_port())
    uid = "1.2.826.0.1.3680043.8.498.5001"
    with pacs.listening(), node_under_test(tmp_path / "node", [Destination("pacs", pacs.port)]) as node:
        assert node.serve().startswith("mammonode ready: MAMMONODE on 127.0.0.1:")
        supervisor = psutil.Process(node.processes["serve"].pid)
        children = supervisor.children()
        assert len(children) == 3
        for child in children:
            child.kill()
        paths = write_study(tmp_path / "study", uid, [("L", "CC"), ("L", "MLO"), ("R", "CC"), ("R", "MLO")])

        def sent() -> bool:
            return storescu(paths, node.port, called="MAMMONODE").returncode == 0

        wait_until(sent, 120, "the receiver to be back")
        wait_until(lambda: node.is_answered(uid), 120, "the study to be answered")
        everyone = [supervisor, *supervisor.children(recursive=True)]
        node.processes["serve"].send_signal(signal.SIGTERM)
        assert node.processes["serve"].wait(timeout=30) == 0, node.log_of("serve")[-2000:]
        gone, alive = psutil.wait_procs(everyone, timeout=5)
        assert not alive, f"still running: {alive}"
        assert gone


def test_no_part_outlives_a_killed_supervisor(tmp_path: Path) -> None:
    with node_under_test(tmp_path / "node", []) as node:
        node.serve()
        supervisor = psutil.Process(node.processes["serve"].pid)
        children = supervisor.children(recursive=True)
        supervisor.kill()
        _, alive = psutil.wait_procs(children, timeout=40)
        assert not alive, f"still running: {alive}"
