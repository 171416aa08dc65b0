"""Redis and PostgreSQL for one test run: loopback only, nothing kept."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path

import psycopg
import redis

from tests.peers.processes import LOOPBACK, Process, find_program, free_port, is_listening


@dataclass(frozen=True, slots=True, kw_only=True)
class Redis:
    """A running Redis; `url` is for Celery."""

    port: int
    process: Process

    @property
    def url(self) -> str:
        """Of database 0."""
        return f"redis://{LOOPBACK}:{self.port}/0"

    def client(self) -> redis.Redis:
        """Open a connection; the caller closes it."""
        return redis.Redis.from_url(self.url)

    def flush(self) -> None:
        """Forget everything."""
        with self.client() as client:
            client.flushall()


@contextmanager
def redis_server(directory: Path, *, port: int | None = None) -> Iterator[Redis]:
    """Run Redis without persistence.

    Raises
    ------
    ProgramMissing, StartFailed
    """
    directory.mkdir(parents=True, exist_ok=True)
    port = free_port() if port is None else port
    options = {"port": port, "bind": LOOPBACK, "save": "", "appendonly": "no", "dir": directory, "databases": 16}
    command = [
        find_program("redis-server"),
        *(str(word) for key, value in options.items() for word in (f"--{key}", value)),
    ]
    with Process(command, log=directory / "redis.log") as process:
        process.wait_ready(lambda: _answers_ping(port))
        yield Redis(port=port, process=process)


def _answers_ping(port: int) -> bool:
    try:
        with redis.Redis(host=LOOPBACK, port=port, socket_timeout=1) as client:
            return bool(client.ping())
    except redis.ConnectionError:
        return False


@dataclass(frozen=True, slots=True, kw_only=True)
class Postgres:
    """A running PostgreSQL."""

    port: int
    process: Process
    _numbers: Iterator[int] = field(default_factory=lambda: count(1))

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
def postgres_server(directory: Path, *, port: int | None = None) -> Iterator[Postgres]:
    """Run PostgreSQL on a new cluster: superuser ``postgres`` without a password, no fsync, TCP on the loopback alone.

    PostgreSQL refuses to run as root, and pytest's folders are closed to others: for root it runs as the account
    ``postgres`` that its Debian package makes. So the cluster lies in a temporary folder of its own, removed at the end.

    Parameters
    ----------
    directory : pathlib.Path
        For the log.

    Raises
    ------
    ProgramMissing, StartFailed
    subprocess.CalledProcessError
        When the cluster cannot be made.
    """
    initdb, postgres = find_program("initdb"), find_program("postgres")
    user = "postgres" if os.geteuid() == 0 else None
    directory.mkdir(parents=True, exist_ok=True)
    port = free_port() if port is None else port
    home = Path(tempfile.mkdtemp(prefix="mammonode-postgres-"))
    try:
        if user is not None:
            shutil.chown(home, user, user)
        _make_cluster(initdb, home / "data", user)
        settings = {
            "port": port,
            "listen_addresses": LOOPBACK,
            "unix_socket_directories": "",
            "fsync": "off",
            "synchronous_commit": "off",
            "full_page_writes": "off",
            "shared_buffers": "16MB",
            "max_connections": 50,
        }
        options = [word for key, value in settings.items() for word in ("-c", f"{key}={value}")]
        command = [postgres, "-D", str(home / "data"), *options]
        # SIGINT is its fast shutdown, which does not wait for clients.
        with Process(
            command, log=directory / "postgres.log", cwd=home, user=user, stop_signal=signal.SIGINT
        ) as process:
            running = Postgres(port=port, process=process)
            process.wait_ready(lambda: is_listening(port) and running.answers(), timeout_s=60)
            yield running
    finally:
        shutil.rmtree(home, ignore_errors=True)


def _make_cluster(initdb: str, data: Path, user: str | None) -> None:
    options = ["--username=postgres", "--auth=trust", "--encoding=UTF8", "--locale=C.UTF-8", "--no-sync"]
    subprocess.run(
        [initdb, *options, "-D", str(data)],
        cwd=data.parent,
        check=True,
        capture_output=True,
        timeout=120,
        **({} if user is None else {"user": user, "group": user, "extra_groups": ()}),
    )
