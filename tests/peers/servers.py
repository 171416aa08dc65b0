"""Every peer that a test may start, in one place to import from.

Each context manager listens on a free loopback port and ends what it started; `tests/conftest.py` has fixtures.
"""

from __future__ import annotations

from tests.peers.databases import PostgresServer, RedisServer, postgres_server, redis_server
from tests.peers.dcmtk import StoreScp, dsrdump, echoscu, storescp, storescu
from tests.peers.orthanc import Orthanc, orthanc
from tests.peers.processes import (
    LOOPBACK,
    ProgramMissing,
    ServerProcess,
    StartFailed,
    find_program,
    free_port,
    is_listening,
    wait_for_port,
    wait_until,
)

__all__ = [
    "LOOPBACK",
    "Orthanc",
    "PostgresServer",
    "ProgramMissing",
    "RedisServer",
    "ServerProcess",
    "StartFailed",
    "StoreScp",
    "dsrdump",
    "echoscu",
    "find_program",
    "free_port",
    "is_listening",
    "orthanc",
    "postgres_server",
    "redis_server",
    "storescp",
    "storescu",
    "wait_for_port",
    "wait_until",
]
