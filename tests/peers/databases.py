"""Redis and PostgreSQL, on loopback, without durability: they live as long as a test."""

from __future__ import annotations

import itertools
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import psycopg
import redis

from tests.peers.processes import (
    LOOPBACK,
    ServerProcess,
    StartFailed,
    find_program,
    free_port,
    own_folder,
    wait_for_answer,
    wait_for_port,
)

# Root may not run PostgreSQL; this account comes with the Debian package.
_POSTGRES_ACCOUNT = "postgres"


@dataclass(frozen=True, slots=True, kw_only=True)
class RedisServer:
    """A running Redis; `url` is what the node's ``broker.url`` takes."""

    port: int
    process: ServerProcess

    @property
    def url(self) -> str:
        """Its database 0."""
        return f"redis://{LOOPBACK}:{self.port}/0"

    def clear(self) -> None:
        """Forget every key of every database."""
        with redis.Redis(host=LOOPBACK, port=self.port) as client:
            client.flushall()

    def stop(self) -> None:
        """Go away; nothing is kept."""
        self.process.stop()

    def start(self) -> None:
        """Come (back), empty, on the same port."""
        self.process.start()
        wait_for_port(self.port, process=self.process)


@contextmanager
def redis_server(directory: Path | None = None, port: int | None = None) -> Iterator[RedisServer]:
    """Run Redis on loopback, without persistence.

    Yields
    ------
    RedisServer

    Raises
    ------
    ProgramMissing, StartFailed
    """
    program = find_program("redis-server")
    port = free_port() if port is None else port
    with own_folder(directory, "redis") as folder:
        options = ["--bind", LOOPBACK, "--port", str(port), "--save", "", "--appendonly", "no", "--dir", str(folder)]
        server = RedisServer(port=port, process=ServerProcess([program, *options], log=folder / "redis.log"))
        try:
            server.start()
            yield server
        finally:
            server.process.stop()


@dataclass(frozen=True, slots=True, kw_only=True)
class PostgresServer:
    """A running PostgreSQL cluster, whose superuser ``mammonode`` needs no password from loopback."""

    port: int
    process: ServerProcess
    _numbers: Iterator[int] = field(default_factory=lambda: itertools.count(1))

    @property
    def url(self) -> str:
        """SQLAlchemy URL of the maintenance database."""
        return self._url("postgres")

    def _url(self, database: str) -> str:
        return f"postgresql+psycopg://mammonode@{LOOPBACK}:{self.port}/{database}"

    def fresh_database(self) -> str:
        """Make an empty database and return its SQLAlchemy URL."""
        name = f"test_{next(self._numbers)}"
        with self._admin() as connection:
            connection.execute(f"CREATE DATABASE {name}".encode())
        return self._url(name)

    def drop_database(self, url: str) -> None:
        """Drop a database that `fresh_database` made, with whoever is still connected."""
        name = url.rpartition("/")[2]
        with self._admin() as connection:
            connection.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)".encode())

    def _admin(self) -> psycopg.Connection[tuple[object, ...]]:
        return psycopg.connect(
            host=LOOPBACK, port=self.port, user="mammonode", dbname="postgres", autocommit=True, connect_timeout=5
        )

    def _answers(self) -> bool:
        try:
            self._admin().close()
        except psycopg.OperationalError:
            return False
        return True

    def stop(self) -> None:
        """Go away, ending every session; data stay."""
        self.process.stop()

    def start(self) -> None:
        """Come (back) on the same port with the same data."""
        self.process.start()
        wait_for_answer(self._answers, process=self.process, what="PostgreSQL")


@contextmanager
def postgres_server(directory: Path | None = None, port: int | None = None) -> Iterator[PostgresServer]:
    """Make a PostgreSQL cluster and run it on loopback.

    Parameters
    ----------
    directory : pathlib.Path or None
        Parent of the cluster's folder; when this process is root, the account ``postgres`` must be able to enter it
        (pytest's ``tmp_path`` it cannot). None: the system's temporary folder.
    port : int or None
        None: a free one.

    Yields
    ------
    PostgresServer

    Raises
    ------
    ProgramMissing, StartFailed
    """
    binaries = _postgres_binaries()
    initdb, postgres = find_program("initdb", *binaries), find_program("postgres", *binaries)
    account = _POSTGRES_ACCOUNT if os.geteuid() == 0 else None
    port = free_port() if port is None else port
    folder = Path(tempfile.mkdtemp(prefix="mammonode-postgres-", dir=directory))
    try:
        folder.chmod(0o755)
        if account is not None:
            shutil.chown(folder, account, pwd.getpwnam(account).pw_gid)
        _make_cluster(initdb, folder, account)
        server = PostgresServer(port=port, process=_postgres_process(postgres, folder, port, account))
        try:
            server.start()
            yield server
        finally:
            server.process.stop()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _postgres_binaries() -> list[Path]:
    """Debian's folders of PostgreSQL programs, newest version first; they are on no PATH."""
    versions = [path for path in Path("/usr/lib/postgresql").glob("*/bin") if path.parent.name.isdigit()]
    return sorted(versions, key=lambda path: int(path.parent.name), reverse=True)


def _make_cluster(initdb: str, folder: Path, account: str | None) -> None:
    options = [
        "--username=mammonode",
        "--auth=trust",
        "--encoding=UTF8",
        "--locale=C",
        "--no-sync",
        "--no-instructions",
    ]
    try:
        made = subprocess.run(
            [initdb, *options, f"--pgdata={folder / 'data'}"],
            capture_output=True,
            text=True,
            cwd=folder,
            user=account,
            group=account,
            extra_groups=None if account is None else [],
            timeout=60,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise StartFailed("initdb did not end within 60 s") from error
    if made.returncode != 0:
        raise StartFailed(f"initdb ended with {made.returncode}:\n{made.stdout}{made.stderr}")


def _postgres_process(postgres: str, folder: Path, port: int, account: str | None) -> ServerProcess:
    settings = {
        "listen_addresses": LOOPBACK,
        "port": str(port),
        "unix_socket_directories": str(folder),
        "fsync": "off",
        "synchronous_commit": "off",
        "full_page_writes": "off",
        "shared_buffers": "16MB",
        "max_connections": "50",
    }
    options = [f"--{name}={value}" for name, value in settings.items()]
    return ServerProcess(
        [postgres, "-D", str(folder / "data"), *options],
        log=folder / "postgres.log",
        cwd=folder,
        run_as=account,
        stop_signal=signal.SIGINT,  # PostgreSQL's "fast shutdown": sessions are ended, not waited for
    )
