"""Redis and PostgreSQL for one test run: loopback only, nothing kept."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Final

import psycopg
import redis

from tests.peers.processes import LOOPBACK, ServerProcess, find_program, free_port, is_listening, own_folder


@dataclass(frozen=True, slots=True, kw_only=True)
class RedisServer:
    """A running Redis; `url` is for Celery."""

    port: int
    process: ServerProcess

    @property
    def url(self) -> str:
        """Of database 0."""
        return f"redis://{LOOPBACK}:{self.port}/0"

    def start(self) -> None:
        """Listen (again), with nothing in it."""
        self.process.start().wait_ready(self.answers)

    def stop(self) -> None:
        """End; what it held is lost."""
        self.process.stop()

    def answers(self) -> bool:
        """Whether it answers a ping."""
        try:
            with redis.Redis(host=LOOPBACK, port=self.port, socket_timeout=1) as client:
                return bool(client.ping())
        except (redis.ConnectionError, redis.TimeoutError):
            return False

    def client(self) -> redis.Redis:
        """Open a connection; the caller closes it."""
        return redis.Redis.from_url(self.url)

    def flush(self) -> None:
        """Forget everything."""
        with self.client() as client:
            client.flushall()


@contextmanager
def redis_server(directory: Path | None = None, port: int | None = None) -> Iterator[RedisServer]:
    """Run Redis without persistence; its log goes to `directory`, by default a temporary one.

    Raises
    ------
    ProgramMissing, StartFailed
    """
    program = find_program("redis-server")
    port = free_port() if port is None else port
    with own_folder(directory, "redis") as folder:
        options = {"port": port, "bind": LOOPBACK, "save": "", "appendonly": "no", "dir": folder, "databases": 16}
        words = [str(word) for key, value in options.items() for word in (f"--{key}", value)]
        running = RedisServer(port=port, process=ServerProcess([program, *words], log=folder / "redis.log"))
        try:
            running.start()
            yield running
        finally:
            running.stop()


_SETTINGS: Final[Mapping[str, str]] = {
    "listen_addresses": LOOPBACK,
    "unix_socket_directories": "",
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "shared_buffers": "16MB",
    "max_connections": "50",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class PostgresServer:
    """A running PostgreSQL."""

    port: int
    process: ServerProcess
    _numbers: Iterator[int] = field(default_factory=lambda: count(1))

    def start(self) -> None:
        """Listen (again) on the same cluster."""
        self.process.start().wait_ready(lambda: is_listening(self.port) and self.answers(), timeout_s=60)

    def stop(self) -> None:
        """End, and every connection with it; databases stay until the end of `postgres_server`."""
        self.process.stop()

    def url(self, database: str = "postgres") -> str:
        """SQLAlchemy's URL of a database."""
        return f"postgresql+psycopg://postgres@{LOOPBACK}:{self.port}/{database}"

    def fresh_database(self) -> str:
        """Make an empty database (tens of milliseconds) and return its URL."""
        name = f"test_{next(self._numbers)}"
        self.execute(f"CREATE DATABASE {name}")
        return self.url(name)

    def drop_database(self, url: str) -> None:
        """Remove a database and end its connections."""
        self.execute(f"DROP DATABASE {url.rpartition('/')[2]} WITH (FORCE)")

    def execute(self, statement: str) -> None:
        """Run one statement as superuser, outside of a transaction."""
        with psycopg.connect(self._address(), autocommit=True) as connection:
            connection.execute(statement.encode())

    def _address(self) -> str:
        return self.url().replace("+psycopg", "")

    def answers(self) -> bool:
        """Whether it takes connections."""
        try:
            self.execute("SELECT 1")
        except psycopg.OperationalError:
            return False
        return True


@contextmanager
def postgres_server(directory: Path | None = None, port: int | None = None) -> Iterator[PostgresServer]:
    """Run PostgreSQL on a new cluster: superuser ``postgres`` without a password, no fsync, TCP on the loopback alone.

    PostgreSQL refuses to run as root, so for root it runs as the account ``postgres`` that its Debian package makes.
    As pytest's folders are closed to others, the cluster lies in a temporary folder of its own, removed at the end.

    Parameters
    ----------
    directory : pathlib.Path, optional
        For the log; a temporary one by default.

    Raises
    ------
    ProgramMissing, StartFailed
    subprocess.CalledProcessError
        When the cluster cannot be made.
    """
    initdb, postgres = find_program("initdb"), find_program("postgres")
    user = "postgres" if os.geteuid() == 0 else None
    port = free_port() if port is None else port
    options = [word for key, value in {**_SETTINGS, "port": str(port)}.items() for word in ("-c", f"{key}={value}")]
    with own_folder(directory, "postgres-log") as logs, own_folder(None, "postgres") as home:
        if user is not None:
            shutil.chown(home, user, user)
        _make_cluster(initdb, home / "data", user)
        process = ServerProcess(
            [postgres, "-D", str(home / "data"), *options],
            log=logs / "postgres.log",
            cwd=home,
            user=user,
            stop_signal=signal.SIGINT,  # its fast shutdown, which does not wait for clients
        )
        running = PostgresServer(port=port, process=process)
        try:
            running.start()
            yield running
        finally:
            running.stop()


def _make_cluster(initdb: str, data: Path, user: str | None) -> None:
    options = ["--username=postgres", "--auth=trust", "--encoding=UTF8", "--locale=C.UTF-8", "--no-sync"]
    subprocess.run(
        [initdb, *options, "-D", str(data)],
        cwd=data.parent,
        check=True,
        capture_output=True,
        timeout=120,
        user=user,
        group=user,
        extra_groups=None if user is None else (),
    )
