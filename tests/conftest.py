"""Fixtures that every folder of tests may use."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from models.metadata import folder_name
from models.registry import MODELS
from tests.peers.servers import (
    FakePacs,
    Orthanc,
    PostgresServer,
    ProgramMissing,
    RedisServer,
    StoreScp,
    find_program,
    orthanc,
    postgres_server,
    redis_server,
    storescp,
)

SHARED_DIR = Path(__file__).resolve().parents[2] / "shared"


@pytest.fixture(scope="session", autouse=True)
def _no_weights_installed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Tests of the node's ways do without the networks' minutes; those of the networks say which weights they want."""
    folder = tmp_path_factory.mktemp("no-weights")
    for name in MODELS:
        (folder / folder_name(name)).mkdir()
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("MAMMONODE_MODELS__WEIGHTS_DIR", str(folder))
        yield


@pytest.fixture(scope="session")
def shared_dir() -> Path:
    """The folder of real images beside the checkout; it is never part of the project."""
    if not SHARED_DIR.is_dir():
        pytest.skip("the shared data folder is not beside this checkout")
    return SHARED_DIR


def need_programs(*names: str) -> None:
    """Skip, with the Debian package in the reason, when a program is missing; where CI is set, fail."""
    for name in names:
        try:
            find_program(name)
        except ProgramMissing as missing:
            if os.environ.get("CI"):
                pytest.fail(f"{missing}; under CI nothing is skipped")
            pytest.skip(str(missing))


@pytest.fixture(scope="session")
def need() -> Callable[..., None]:
    """For tests that run programs themselves: `need("storescu", "dsrdump")`."""
    return need_programs


@pytest.fixture(scope="session")
def redis_running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    """One Redis for all tests of this process."""
    need_programs("redis-server")
    with redis_server(tmp_path_factory.mktemp("redis")) as running:
        yield running


@pytest.fixture
def redis_url(redis_running: RedisServer) -> str:
    """URL of a Redis with nothing in it."""
    redis_running.flush()
    return redis_running.url


@pytest.fixture(scope="session")
def postgres_running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PostgresServer]:
    """One PostgreSQL for all tests of this process."""
    need_programs("initdb", "postgres")
    with postgres_server(tmp_path_factory.mktemp("postgres")) as running:
        yield running


@pytest.fixture
def postgres_url(postgres_running: PostgresServer) -> Iterator[str]:
    """SQLAlchemy's URL of an empty database, which goes with the test."""
    url = postgres_running.fresh_database()
    yield url
    postgres_running.drop_database(url)


@pytest.fixture
def storescp_peer(tmp_path: Path) -> Iterator[StoreScp]:
    """A running DCMTK storescp, "STORESCP" by title."""
    need_programs("storescp")
    with storescp(tmp_path / "storescp") as running:
        yield running


@pytest.fixture
def orthanc_peer(tmp_path: Path) -> Iterator[Orthanc]:
    """A running Orthanc, "ORTHANC" by title."""
    need_programs("Orthanc")
    with orthanc(tmp_path / "orthanc") as running:
        yield running


@pytest.fixture
def fake_pacs() -> Iterator[FakePacs]:
    """A running FakePacs, "PACS" by title."""
    with FakePacs() as running:
        yield running
