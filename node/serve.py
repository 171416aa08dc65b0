"""Every part on one machine: starts them, starts again what dies, and ends them all on SIGTERM."""

from __future__ import annotations

import os
import selectors
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import structlog

from node.errors import NodeUnavailable
from node.parts import READY, die_with_parent, open_ledger, stop_on_signals
from node.settings import Settings

log = structlog.get_logger("serve")

DRAIN_S: Final = 25.0
"""SIGTERM to SIGKILL; systemd and `docker stop` are told 35 s. The ledger brings back what is cut off."""

START_S: Final = 300.0
RESTART_FIRST_S: Final = 0.5
RESTART_MOST_S: Final = 30.0
STABLE_S: Final = 60.0
"""A part that ran for so long is restarted without delay again."""


@dataclass(slots=True, kw_only=True)
class Part:
    """One child process, and when it may be started again."""

    name: str
    command: Sequence[str]
    environ: dict[str, str] = field(default_factory=dict)
    process: subprocess.Popen[bytes] | None = None
    started_at: float = 0.0
    failures: int = 0
    start_at: float = 0.0
    is_ready: bool = False


class Supervisor:
    """Runs parts as child processes.

    Parameters
    ----------
    parts : sequence of Part
        What to run; each writes ``ready NAME`` to its standard output once it works.
    """

    def __init__(self, parts: Sequence[Part]) -> None:
        self._parts = list(parts)
        self._selector = selectors.DefaultSelector()
        self._announced = False

    def run(self, stop: threading.Event, ready_line: str) -> None:
        """Keep every part running until `stop` is set, then end them; print `ready_line` once all are ready."""
        try:
            while not stop.is_set():
                for part in self._parts:
                    self._look_after(part)
                self._read(timeout_s=0.2)
                if not self._announced and all(part.is_ready for part in self._parts):
                    self._announced = True
                    sys.stdout.write(ready_line + "\n")
                    sys.stdout.flush()
        finally:
            self._end()

    def _look_after(self, part: Part) -> None:
        now = time.monotonic()
        if part.process is None:
            if now >= part.start_at:
                self._start(part)
            return
        code = part.process.poll()
        if code is None:
            if not part.is_ready and now - part.started_at > START_S:
                log.error("part_not_ready", part=part.name, after_s=START_S)
                part.process.kill()
            return
        self._forget_output(part)
        if not self._announced and not part.is_ready and part.failures >= 2:
            raise NodeUnavailable(f"{part.name} ends as soon as it starts (exit {code}); its message is above")
        part.failures = 0 if now - part.started_at > STABLE_S else part.failures + 1
        wait_s = min(RESTART_MOST_S, RESTART_FIRST_S * 2 ** max(0, part.failures - 1))
        part.process, part.is_ready, part.start_at = None, False, now + wait_s
        log.error("part_died", part=part.name, exit_status=code, restart_in_s=wait_s)

    def _start(self, part: Part) -> None:
        part.process = subprocess.Popen(
            part.command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            env={**os.environ, **part.environ},
            preexec_fn=_in_child,  # noqa: PLW1509 # the supervisor has one thread; see _in_child for the need
        )
        part.started_at = time.monotonic()
        assert part.process.stdout is not None  # PIPE above
        os.set_blocking(part.process.stdout.fileno(), False)
        self._selector.register(part.process.stdout, selectors.EVENT_READ, part)

    def _read(self, timeout_s: float) -> None:
        for key, _ in self._selector.select(timeout_s):
            part: Part = key.data
            data = os.read(key.fd, 65536)
            if not data:
                self._forget_output(part)
            elif f"{READY} ".encode() in data:
                part.is_ready = True

    def _forget_output(self, part: Part) -> None:
        assert part.process is not None  # it was started
        stdout = part.process.stdout
        if stdout is not None and stdout in {key.fileobj for key in self._selector.get_map().values()}:
            self._selector.unregister(stdout)
            stdout.close()

    def _end(self) -> None:
        running = [part for part in self._parts if part.process is not None and part.process.poll() is None]
        for part in running:
            part.process.terminate()  # type: ignore[union-attr] # filtered above
        until = time.monotonic() + DRAIN_S
        for part in running:
            assert part.process is not None  # filtered above
            try:
                part.process.wait(timeout=max(0.1, until - time.monotonic()))
            except subprocess.TimeoutExpired:
                log.warning("part_killed", part=part.name, after_s=DRAIN_S)
                part.process.kill()
                part.process.wait()


def _in_child() -> None:
    os.setpgid(0, 0)  # Ctrl-C in a terminal reaches the supervisor alone, which then ends the parts in order
    die_with_parent(signal.SIGTERM)


def parts_of(settings: Settings, config: Path | None) -> list[Part]:
    """Return the parts that `settings` ask for."""
    base = [sys.executable, "-m", "node.cli"]
    options = ["--config", str(config)] if config else []
    workers = [f"worker {index}" for index in range(settings.queue.workers)]
    return [
        Part(name=name, command=[*base, name.split()[0], *options, *_index(name)])
        for name in ["scp", "dispatch", *workers]
    ]


def _index(name: str) -> list[str]:
    words = name.split()
    return ["--index", words[1]] if len(words) > 1 else []


def serve(settings: Settings, config: Path | None) -> None:
    """Run the whole node in the foreground until SIGTERM or SIGINT."""
    stop = stop_on_signals()
    open_ledger(settings).engine.dispose()
    node = settings.node
    line = f"mammonode ready: {node.ae_title} on {node.host}:{node.port}, state in {node.state_dir}"
    Supervisor(parts_of(settings, config)).run(stop, line)
