"""A node made of real processes on loopback ports, and a PACS that remembers every byte it got."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pynetdicom import AE, AllStoragePresentationContexts, evt
from pynetdicom.sop_class import Verification

ROOT = Path(__file__).resolve().parents[2]
FAULTY_PART = Path(__file__).with_name("faulty_part.py")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def wait_until(condition: Callable[[], Any], timeout_s: float, what: str) -> Any:
    """Poll until `condition` is true; the deadline is only there so that a broken node fails the test."""
    until = time.monotonic() + timeout_s
    while time.monotonic() < until:
        value = condition()
        if value:
            return value
        time.sleep(0.1)
    raise AssertionError(f"gave up after {timeout_s:.0f} s waiting for {what}")


@dataclass
class RecordingPacs:
    """What a destination received: for each SOP Instance UID, the bytes of every store."""

    port: int
    stores: dict[str, list[bytes]] = field(default_factory=lambda: defaultdict(list))

    @contextmanager
    def listening(self) -> Iterator[None]:
        def store(event: evt.Event) -> int:
            self.stores[str(event.request.AffectedSOPInstanceUID)].append(event.encoded_dataset(include_meta=False))
            return 0x0000

        ae = AE(ae_title="PACS")
        ae.supported_contexts = AllStoragePresentationContexts
        ae.add_supported_context(Verification)
        server = ae.start_server(("127.0.0.1", self.port), block=False, evt_handlers=[(evt.EVT_C_STORE, store)])
        try:
            yield
        finally:
            server.shutdown()


@dataclass
class Destination:
    name: str
    port: int
    ae_title: str = "PACS"


@dataclass
class NodeUnderTest:
    """Settings in a folder, processes started from them."""

    folder: Path
    destinations: Sequence[Destination]
    extra: str = ""
    quiet_s: float = 3
    port: int = field(default_factory=free_port)
    processes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)
    commands: dict[str, list[str]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.config = self.folder / "mammonode.toml"
        destinations = "".join(
            f'[[destination]]\nname = "{item.name}"\nae_title = "{item.ae_title}"\n'
            f'host = "127.0.0.1"\nport = {item.port}\n'
            for item in self.destinations
        )
        self.config.write_text(
            f"""[node]
port = {self.port}
state_dir = "{self.folder / "state"}"
[completion]
settle_s = 0.5
quiet_s = {self.quiet_s}
[queue]
lease_s = 2
poll_s = 0.1
reconcile_s = 2
[delivery]
backoff_first_s = 0.5
backoff_max_s = 1
timeout_s = 10
[retention]
min_free_gb = 0.1
{self.extra}
{destinations}"""
        )

    def log_of(self, name: str) -> str:
        path = self.folder / f"{name}.log"
        return path.read_text(errors="replace") if path.exists() else ""

    def start(self, name: str, command: list[str]) -> None:
        self.commands[name] = command
        log = (self.folder / f"{name}.log").open("ab")
        environ = {key: value for key, value in os.environ.items() if not key.startswith("MAMMONODE_")}
        environ["PYTHONPATH"] = str(ROOT)
        self.processes[name] = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=log, env=environ, start_new_session=True
        )

    def wait_ready(self, name: str) -> str:
        stdout = self.processes[name].stdout
        assert stdout is not None
        line = stdout.readline().decode()
        assert "ready" in line, f"{name} did not start:\n{self.log_of(name)[-4000:]}"
        return line

    def serve(self) -> str:
        self.start("serve", [sys.executable, "-m", "node.cli", "serve", "--config", str(self.config)])
        return self.wait_ready("serve")

    def start_parts(
        self, faulty: str = "", step: str = "", parts: Sequence[str] = ("scp", "dispatch", "worker")
    ) -> None:
        for part in parts:
            wanted = step if part == faulty else "-"
            marker = self.folder / f"killed_{part}"
            self.start(part, [sys.executable, str(FAULTY_PART), part, wanted, str(marker), str(self.config)])
        for part in parts:
            self.wait_ready(part)

    @contextmanager
    def revived(self) -> Iterator[None]:
        """Start again whatever dies, as systemd would."""
        stop = threading.Event()

        def look() -> None:
            while not stop.wait(0.2):
                for name, process in list(self.processes.items()):
                    if process.poll() is not None:
                        self.start(name, self.commands[name])

        thread = threading.Thread(target=look)
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join()

    def run(self, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        environ = {key: value for key, value in os.environ.items() if not key.startswith("MAMMONODE_")}
        command = [sys.executable, "-m", "node.cli", *arguments, "--config", str(self.config)]
        return subprocess.run(command, capture_output=True, text=True, check=check, env=environ, cwd=ROOT)

    def studies(self) -> list[dict[str, Any]]:
        return json.loads(self.run("studies", "--json").stdout)["studies"]

    def study(self, uid: str) -> dict[str, Any]:
        return json.loads(self.run("study", uid, "--json").stdout)

    def stop(self) -> dict[str, int]:
        """SIGTERM to everything; the exit statuses."""
        for process in self.processes.values():
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
        codes = {}
        for name, process in self.processes.items():
            try:
                codes[name] = process.wait(timeout=40)
            except subprocess.TimeoutExpired:
                process.kill()
                codes[name] = process.wait()
            if process.stdout is not None:
                process.stdout.close()
        return codes


@contextmanager
def node_under_test(
    folder: Path, destinations: Sequence[Destination], extra: str = "", quiet_s: float = 3
) -> Iterator[NodeUnderTest]:
    folder.mkdir(parents=True, exist_ok=True)
    node = NodeUnderTest(folder=folder, destinations=destinations, extra=extra, quiet_s=quiet_s)
    try:
        yield node
    finally:
        node.stop()
