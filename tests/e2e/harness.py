"""A node made of real processes on loopback ports, and a PACS that remembers every byte it got."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from pynetdicom import AE, AllStoragePresentationContexts, evt
from pynetdicom.sop_class import Verification

from node.database import open_engine
from node.ledger import Ledger
from node.outbox import Outbox
from node.settings import load_settings
from tests.factories import small_mammogram
from tests.peers.processes import free_port

ROOT = Path(__file__).resolve().parents[2]
FAULTY_PART = Path(__file__).with_name("faulty_part.py")


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
    options: str = ""
    """Further lines of its [[destination]]."""


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
            f'host = "127.0.0.1"\nport = {item.port}\n{item.options}\n'
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
        kept = "MAMMONODE_MODELS__WEIGHTS_DIR"  # of the test session: no networks, unless a test's settings name some
        environ = {key: value for key, value in os.environ.items() if not key.startswith("MAMMONODE_") or key == kept}
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
        self, faults: Mapping[str, str] | None = None, parts: Sequence[str] = ("scp", "dispatch", "worker")
    ) -> None:
        """Start these; a part of `faults` is killed at its step, see `tests.e2e.faulty_part`."""
        for part in parts:
            wanted = (faults or {}).get(part, "-")
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

    @cached_property
    def ledger(self) -> Ledger:
        """The node's ledger, read from this process: a command a look would take seconds each."""
        return Ledger(open_engine(load_settings(self.config, {}).database_url))

    @cached_property
    def outbox(self) -> Outbox:
        return Outbox(self.ledger, self.folder / "state" / "outbox")

    def studies(self) -> list[dict[str, Any]]:
        return self.ledger.studies(1000)

    def deliveries(self, *study_uids: str) -> list[dict[str, Any]]:
        uids = study_uids or [row["study_instance_uid"] for row in self.studies()]
        return [item for uid in uids for item in self.outbox.deliveries(uid)]

    def revision(self, study_uid: str) -> int:
        row = self.ledger.study(study_uid)
        return 0 if row is None else row["revision"]

    def is_answered(self, study_uid: str) -> bool:
        """The study is answered, and everything has been sent."""
        row = self.ledger.study(study_uid)
        items = self.deliveries(study_uid)
        return row is not None and row["state"] == "answered" and {item["state"] for item in items} == {"sent"}

    def is_finished(self, count: int) -> bool:
        """At least `count` studies are here, every one is answered, and everything has been sent."""
        rows = self.studies()
        if len(rows) < count or any(row["state"] != "answered" for row in rows):
            return False
        return all(self.is_answered(row["study_instance_uid"]) for row in rows)

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


def write_study(folder: Path, study_uid: str, views: Sequence[tuple[str, str]]) -> list[Path]:
    """Write small mammograms that are large enough to be analysed, so that they count as required views."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for number, (laterality, view) in enumerate(views, start=1):
        path = folder / f"{laterality}_{view}.dcm"
        small_mammogram(
            path,
            laterality=laterality,
            view=view,
            study_instance_uid=study_uid,
            sop_instance_uid=f"{study_uid}.{number}",
            rows=256,
            columns=192,
        )
        paths.append(path)
    return paths


@contextmanager
def node_under_test(
    folder: Path, destinations: Sequence[Destination], extra: str = "", quiet_s: float = 3, port: int | None = None
) -> Iterator[NodeUnderTest]:
    folder.mkdir(parents=True, exist_ok=True)
    node = NodeUnderTest(
        folder=folder, destinations=destinations, extra=extra, quiet_s=quiet_s, port=port or free_port()
    )
    try:
        yield node
    finally:
        node.stop()
