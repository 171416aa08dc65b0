"""Server programs started by tests: found by name, on free loopback ports, ended with everything that they started."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Final, Self

LOOPBACK: Final = "127.0.0.1"

PACKAGES: Final[Mapping[str, str]] = {
    "chromedriver": "chromium-driver",
    "dciodvfy": "dicom3tools",
    "dsrdump": "dcmtk",
    "echoscu": "dcmtk",
    "initdb": "postgresql",
    "Orthanc": "orthanc",
    "postgres": "postgresql",
    "redis-server": "redis-server",
    "storescp": "dcmtk",
    "storescu": "dcmtk",
}
"""Debian package of each program."""

_PORTS: Final[range] = range(20_000, 32_000)
"""Below the range from which Linux takes the ports of outgoing connections (32768-60999), so that a port found free
here cannot become the near end of some other test's connection before its server listens."""
_SHARES: Final = 8
"""Each process of tests (pytest-xdist) has a share of its own: what is free for one is not about to be another's."""

_given: set[int] = set()


class ProgramMissing(LookupError):
    """A program is not installed; the message names its Debian package."""


class StartFailed(RuntimeError):
    """A server ended, or stayed silent, before it was ready; the message ends with the tail of its log."""


def find_program(name: str) -> str:
    """Path of a program.

    Debian keeps servers outside of a user's PATH: /usr/sbin, and /usr/lib/postgresql/VERSION/bin (newest first).

    Raises
    ------
    ProgramMissing
        When it is nowhere.
    """
    newest_first = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: -float(path.parent.name))
    folders = [os.environ.get("PATH", os.defpath), "/usr/sbin", "/usr/local/sbin", *map(str, newest_first)]
    found = shutil.which(name, path=os.pathsep.join(folders))
    if found is None:
        raise ProgramMissing(f"needs {name} (Debian package {PACKAGES.get(name, name)})")
    return found


def free_port() -> int:
    """Give a TCP port on which nothing listens, each number once in this process."""
    size = len(_PORTS) // _SHARES
    number = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")) % _SHARES
    mine = range(_PORTS.start + number * size, _PORTS.start + (number + 1) * size)
    start = mine.start + os.getpid() * 37 % size
    port: int
    for port in (*range(start, mine.stop), *range(mine.start, start)):
        if port in _given:
            continue
        _given.add(port)
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("", port))
            except OSError:
                continue
            return port
    raise RuntimeError("no free port left")


def is_listening(port: int) -> bool:
    """Whether something accepts connections on the port of the loopback address."""
    with socket.socket() as client:
        client.settimeout(1)
        return client.connect_ex((LOOPBACK, port)) == 0


def wait_until(condition: Callable[[], object], *, timeout_s: float = 10, what: str = "condition") -> None:
    """Poll until `condition` is true.

    Raises
    ------
    TimeoutError
        After `timeout_s`; the message names `what`.
    """
    deadline = time.monotonic() + timeout_s
    pause_s = 0.005
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"{what}: not within {timeout_s:g} s")
        time.sleep(pause_s)
        pause_s = min(pause_s * 1.5, 0.1)


def wait_for_port(port: int, *, timeout_s: float = 10) -> None:
    """Wait until something listens on the port.

    Raises
    ------
    TimeoutError
        After `timeout_s`.
    """
    wait_until(lambda: is_listening(port), timeout_s=timeout_s, what=f"a listener on port {port}")


@contextmanager
def own_folder(directory: Path | None, name: str) -> Iterator[Path]:
    """Make `directory`, or, where none is given, a temporary folder that goes with the block."""
    if directory is not None:
        directory.mkdir(parents=True, exist_ok=True)
        yield directory
        return
    with tempfile.TemporaryDirectory(prefix=f"mammonode-{name}-", ignore_cleanup_errors=True) as folder:
        yield Path(folder)


class ServerProcess:
    """A program in a process group of its own, its output in a file.

    Parameters
    ----------
    command : sequence of str
        Program and arguments.
    log : pathlib.Path
        Standard output and error are appended here.
    cwd, env, user
        As in `subprocess.Popen`; `user` is a name, and only root may give one.
    stop_signal : signal.Signals
        Asks the program to end; after 10 s it and its children are killed.
    """

    def __init__(
        self,
        command: Sequence[str],
        *,
        log: Path,
        cwd: Path | None = None,
        env: Mapping[str, str] | None = None,
        user: str | None = None,
        stop_signal: signal.Signals = signal.SIGTERM,
    ) -> None:
        self.command = tuple(command)
        self.log = log
        self._cwd = cwd
        self._env = env
        self._user = user
        self._stop_signal = stop_signal
        self._process: subprocess.Popen[bytes] | None = None
        self._group: int | None = None

    @property
    def pid(self) -> int:
        """ServerProcess id, also that of the group."""
        assert self._process is not None, "not started"
        return self._process.pid

    @property
    def returncode(self) -> int | None:
        """Exit status; None while it runs or before it started."""
        return None if self._process is None else self._process.poll()

    def start(self) -> Self:
        """Start (again), without waiting for anything."""
        assert self._process is None or self._process.poll() is not None, f"{self.command[0]} runs already"
        with self.log.open("ab") as output:
            self._process = subprocess.Popen(
                self.command,
                cwd=self._cwd,
                env=self._env,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                user=self._user,
                group=self._user,
                extra_groups=None if self._user is None else (),
            )
        self._group = self._process.pid
        return self

    def wait_ready(self, ready: Callable[[], object], *, timeout_s: float = 20) -> None:
        """Wait until `ready()` is true.

        Raises
        ------
        StartFailed
            When the program ends first, or `timeout_s` pass.
        """
        try:
            wait_until(lambda: self.returncode is not None or ready(), timeout_s=timeout_s, what="start")
        except TimeoutError as error:
            raise StartFailed(f"{self.command[0]} is not ready after {timeout_s:g} s\n{self.log_tail()}") from error
        if self.returncode is not None:
            raise StartFailed(f"{self.command[0]} ended with {self.returncode}\n{self.log_tail()}")

    def log_tail(self, lines: int = 30) -> str:
        """The last lines of its output."""
        text = self.log.read_text(errors="replace") if self.log.exists() else ""
        return "\n".join(text.splitlines()[-lines:])

    def kill(self) -> None:
        """End it and its children at once, as ``kill -9`` does."""
        self._kill_group()
        if self._process is not None:
            self._process.wait(timeout=10)

    def stop(self, *, timeout_s: float = 10) -> int | None:
        """Ask it to end, kill what is left, and return the exit status."""
        if self._process is None:
            return None
        if self._process.poll() is None:
            self._process.send_signal(self._stop_signal)
            try:
                self._process.wait(timeout=timeout_s)
            except subprocess.TimeoutExpired:
                self.kill()
        # It may have left children; the group's number is not given away while one of them lives.
        self._kill_group()
        return self._process.returncode

    def _kill_group(self) -> None:
        group, self._group = self._group, None  # once: later the number may be another's
        if group is None:
            return
        try:
            os.killpg(group, signal.SIGKILL)
        except ProcessLookupError:
            return

    def __enter__(self) -> Self:
        return self.start() if self._process is None else self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
