"""Real peers on free loopback ports; import from here.

Each server is a context manager that ends what it started. A missing program raises `ProgramMissing`; the fixtures in
tests/conftest.py turn that into a skip, or into a failure where the variable CI is set.
"""

from tests.peers.databases import PostgresServer, RedisServer, postgres_server, redis_server
from tests.peers.dcmtk import StoreScp, dsrdump, echoscu, storescp, storescu
from tests.peers.fake_pacs import FakePacs, StoreAnswer, StoreCall
from tests.peers.orthanc import Modality, Orthanc, orthanc
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
    "FakePacs",
    "Modality",
    "Orthanc",
    "PostgresServer",
    "ProgramMissing",
    "RedisServer",
    "ServerProcess",
    "StartFailed",
    "StoreAnswer",
    "StoreCall",
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
