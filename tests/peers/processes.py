"""Free ports, and child processes that log to a file, end with the test, and show their log when a start fails."""

from __future__ import annotations

import os
import random
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

LOOPBACK = "127.0.0.1"

#: Debian package of each program that a test may start.
PACKAGES = {
    "storescp": "dcmtk",
    "storescu": "dcmtk",
    "echoscu": "dcmtk",
    "dsrdump": "dcmtk",
    "Orthanc": "orthanc",
    "redis-server": "redis-server",
    "initdb": "postgresql",
    "postgres": "postgresql",
}

# Where Debian puts programs that are not on everyone's PATH.
_EXTRA_PATHS = ("/usr/sbin", "/usr/local/sbin", "/sbin")

# Below the ephemeral range (32768 and up on Linux), so that no outgoing connection takes the port in between.
_PORTS = range(20000, 32000)
_handed_out: set[int] = set()
_handing_out = threading.Lock()


class ProgramMissing(RuntimeError):
    """A program that the test talks to is not installed; the message names its Debian package."""


class StartFailed(RuntimeError):
    """A program ended, or did not answer in time; the message ends with its log's last lines."""


def find_program(name: str, *folders: Path) -> str:
    """Path of a program.

    Parameters
    ----------
    name : str
        A key of `PACKAGES`.
    *folders : pathlib.Path
        Searched after PATH and the system folders.

    Raises
    ------
    ProgramMissing
        It is not installed.
    """
    path = os.pathsep.join([os.environ.get("PATH", os.defpath), *_EXTRA_PATHS, *map(str, folders)])
    found = shutil.which(name, path=path)
    if found is None:
        raise ProgramMissing(f"{name} is not installed (Debian package {PACKAGES[name]})")
    return found


def free_port() -> int:
    """Return a loopback TCP port nobody listens on, never the same twice in this process."""
    choose = random.SystemRandom()
    with _handing_out:
        for _ in range(1000):
            port = choose.choice(_PORTS)
            if port not in _handed_out and _can_bind(port):
                _handed_out.add(port)
                return port
    raise StartFailed("no free loopback port")


def _can_bind(port: int) -> bool:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return False
    return True


def is_listening(port: int, host: str = LOOPBACK) -> bool:
    """Whether somebody accepts connections there."""
    try:
        socket.create_connection((host, port), timeout=1).close()
    except OSError:
        return False
    return True


def wait_until(condition: Callable[[], bool], *, timeout_s: float = 10, what: str = "the condition") -> None:
    """Poll `condition` every 20 ms.

    Raises
    ------
    TimeoutError
        It was not true within `timeout_s`; the message names `what`.
    """
    until = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > until:
            raise TimeoutError(f"{what}: not within {timeout_s} s")
        time.sleep(0.02)


def wait_for_port(
    port: int, *, host: str = LOOPBACK, timeout_s: float = 20, process: ServerProcess | None = None
) -> None:
    """Wait until somebody listens on a port.

    Raises
    ------
    StartFailed
        `process` ended meanwhile, or nobody listened in time.
    """
    wait_for_answer(lambda: is_listening(port, host), timeout_s=timeout_s, process=process, what=f"port {port}")


def wait_for_answer(
    answers: Callable[[], bool], *, timeout_s: float = 20, process: ServerProcess | None = None, what: str = "an answer"
) -> None:
    """Wait until `answers()` is true, failing at once with the log's tail when `process` ends.

    Raises
    ------
    StartFailed
        It ended, or did not answer within `timeout_s`.
    """
    until = time.monotonic() + timeout_s
    while True:
        if process is not None and not process.alive:
            raise StartFailed(f"{process.name} ended with {process.returncode}:\n{process.log_tail()}")
        if answers():
            return
        if time.monotonic() > until:
            tail = "" if process is None else f"\n{process.log_tail()}"
            raise StartFailed(f"{what}: nothing within {timeout_s} s{tail}")
        time.sleep(0.02)


class ServerProcess:
    """One child process and its log file.

    It leads a process group of its own, and only that group is ever signalled. The kernel kills it when the test
    process dies (where setpriv exists and the start is in the main thread, whose end the kernel watches).

    Parameters
    ----------
    arguments : sequence of str
        The command line; the first is the program's path.
    log : pathlib.Path
        Output and errors are appended here.
    cwd : pathlib.Path or None
        Working folder.
    env : mapping or None
        The whole environment; None: this process's.
    run_as : str or None
        User to become, when this process is root.
    stop_signal : signal.Signals
        The polite request to end.
    """

    def __init__(
        self,
        arguments: Sequence[str],
        *,
        log: Path,
        cwd: Path | None = None,
        env: Mapping[str, str] | None = None,
        run_as: str | None = None,
        stop_signal: signal.Signals = signal.SIGTERM,
    ) -> None:
        self.arguments = list(arguments)
        self.name = Path(arguments[0]).name
        self.log = log
        self._cwd = cwd
        self._env = env
        self._run_as = run_as
        self._stop_signal = stop_signal
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it (again), without waiting for any answer."""
        assert not self.alive, f"{self.name} is running already"
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                self._command(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=self._cwd,
                env=self._env,
                start_new_session=True,
            )

    def _command(self) -> list[str]:
        setpriv = shutil.which("setpriv")
        options: list[str] = []
        if self._run_as is not None:
            if setpriv is None:
                raise ProgramMissing("setpriv is not installed (Debian package util-linux)")
            options += [f"--reuid={self._run_as}", f"--regid={self._run_as}", "--clear-groups"]
        if setpriv is not None and threading.current_thread() is threading.main_thread():
            options += ["--pdeathsig=KILL"]
        return [setpriv, *options, "--", *self.arguments] if setpriv is not None and options else self.arguments

    @property
    def pid(self) -> int:
        """Its process id."""
        assert self._process is not None, f"{self.name} was never started"
        return self._process.pid

    @property
    def alive(self) -> bool:
        """Whether it runs."""
        return self._process is not None and self._process.poll() is None

    @property
    def returncode(self) -> int | None:
        """How it ended; None while it runs."""
        return None if self._process is None else self._process.poll()

    def stop(self, timeout_s: float = 5) -> None:
        """Ask it to end, and kill it if it has not after `timeout_s`."""
        if self._process is None or not self.alive:
            return
        self._signal(self._stop_signal)
        try:
            self._process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            self.kill()

    def kill(self) -> None:
        """End it as a power cut would: no handler of its own runs."""
        if self._process is not None and self.alive:
            self._signal(signal.SIGKILL)
            self._process.wait(10)

    def _signal(self, number: signal.Signals) -> None:
        try:
            os.killpg(self.pid, number)
        except ProcessLookupError:
            return  # it ended between the look and the signal

    def log_tail(self, lines: int = 25) -> str:
        """Return the last lines of its log."""
        text = self.log.read_text(encoding="utf-8", errors="replace") if self.log.exists() else ""
        return "\n".join(text.splitlines()[-lines:]) or "(the log is empty)"


@contextmanager
def own_folder(directory: Path | None, prefix: str) -> Iterator[Path]:
    """Yield `directory`, made if absent; or a temporary folder, removed at the end, when it is None."""
    if directory is not None:
        directory.mkdir(parents=True, exist_ok=True)
        yield directory
        return
    with tempfile.TemporaryDirectory(prefix=f"mammonode-{prefix}-", ignore_cleanup_errors=True) as made:
        yield Path(made)
