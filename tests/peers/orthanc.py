"""Orthanc as a PACS, with a small client of its REST interface."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.peers.processes import (
    LOOPBACK,
    ServerProcess,
    find_program,
    free_port,
    own_folder,
    wait_for_answer,
    wait_until,
)

# Never through a proxy that the environment names.
_DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))


@dataclass(frozen=True, slots=True, kw_only=True)
class Orthanc:
    """A running Orthanc.

    Attributes
    ----------
    port, http_port : int
        DICOM and REST, both on loopback.
    """

    port: int
    http_port: int
    ae_title: str
    process: ServerProcess
    host: str = LOOPBACK

    @property
    def url(self) -> str:
        """Root of the REST interface."""
        return f"http://{self.host}:{self.http_port}"

    def call(self, path: str, body: object = None, *, method: str | None = None, timeout_s: float = 30) -> Any:
        """Call the REST interface and return the decoded JSON answer (None when it is empty).

        Parameters
        ----------
        path : str
            Starts with a slash.
        body : object
            bytes go as they are, anything else as JSON; None: no body.
        method : str or None
            None: GET without a body, else POST.

        Raises
        ------
        urllib.error.HTTPError
            Orthanc answered with an error status.
        """
        answer = self.fetch(path, body, method=method, timeout_s=timeout_s)
        return json.loads(answer) if answer else None

    def fetch(self, path: str, body: object = None, *, method: str | None = None, timeout_s: float = 30) -> bytes:
        """Call the REST interface and return the answer's bytes."""
        data = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.url + path, data=data, method=method)
        with _DIRECT.open(request, timeout=timeout_s) as answer:
            content: bytes = answer.read()
        return content

    def instances(self) -> list[str]:
        """Return Orthanc's identifiers of all instances."""
        return list(self.call("/instances"))

    def count(self) -> int:
        """Return how many instances are stored."""
        return int(self.call("/statistics")["CountInstances"])

    def find(self, sop_instance_uid: str) -> str | None:
        """Return Orthanc's identifier of an instance; None when it is not there."""
        found = self.call("/tools/find", {"Level": "Instance", "Query": {"SOPInstanceUID": sop_instance_uid}})
        return str(found[0]) if found else None

    def sop_instance_uids(self) -> set[str]:
        """Return the SOP Instance UIDs of all instances."""
        listed = self.call("/tools/find", {"Level": "Instance", "Query": {}, "Expand": True})
        return {str(one["MainDicomTags"]["SOPInstanceUID"]) for one in listed}

    def wait_for(self, sop_instance_uids: Iterable[str], timeout_s: float = 30) -> None:
        """Wait until these instances are stored.

        Raises
        ------
        TimeoutError
            They did not come.
        """
        wanted = set(sop_instance_uids)
        wait_until(lambda: wanted <= self.sop_instance_uids(), timeout_s=timeout_s, what="instances in Orthanc")

    def file_bytes(self, sop_instance_uid: str) -> bytes:
        """Return the stored DICOM file.

        Raises
        ------
        KeyError
            No such instance.
        """
        identifier = self.find(sop_instance_uid)
        if identifier is None:
            raise KeyError(sop_instance_uid)
        return self.fetch(f"/instances/{identifier}/file")

    def upload(self, path: Path) -> str:
        """Store a file through REST and return Orthanc's identifier."""
        return str(self.call("/instances", path.read_bytes())["ID"])

    def send(self, identifiers: list[str], modality: str = "mammonode", timeout_s: float = 60) -> dict[str, Any]:
        """Send instances, series or studies to a modality by C-STORE and return Orthanc's account of it."""
        body = {"Resources": identifiers, "Synchronous": True}
        return dict(self.call(f"/modalities/{modality}/store", body, timeout_s=timeout_s))

    def add_modality(self, name: str, ae_title: str, port: int, host: str = LOOPBACK) -> None:
        """Make a DICOM peer known under `name`."""
        self.call(f"/modalities/{name}", {"AET": ae_title, "Host": host, "Port": port}, method="PUT")

    def stop(self) -> None:
        """Go away; what is stored stays."""
        self.process.stop(timeout_s=10)

    def start(self) -> None:
        """Come (back) on the same ports with the same storage."""
        self.process.start()
        wait_for_answer(self._answers, process=self.process, what="Orthanc's REST interface")

    def _answers(self) -> bool:
        try:
            self.call("/system", timeout_s=2)
        except (urllib.error.URLError, ConnectionError, TimeoutError):
            return False
        return True


@contextmanager
def orthanc(
    directory: Path | None = None,
    *,
    ae_title: str = "ORTHANC",
    mammonode_ae_title: str = "MAMMONODE",
    mammonode_port: int = 11112,
    settings: Mapping[str, object] | None = None,
) -> Iterator[Orthanc]:
    """Run Orthanc on loopback with an empty storage.

    Parameters
    ----------
    directory : pathlib.Path or None
        For its configuration, index and files; None: a temporary folder.
    ae_title : str
        Its own; other called titles are refused.
    mammonode_ae_title, mammonode_port
        The node, known to it as the modality ``mammonode``.
    settings : mapping or None
        More keys of its configuration, or other values: ``{"OverwriteInstances": False}``.

    Yields
    ------
    Orthanc

    Raises
    ------
    ProgramMissing, StartFailed
    """
    program = find_program("Orthanc")
    port, http_port = free_port(), free_port()
    with own_folder(directory, "orthanc") as folder:
        configuration = {
            "Name": "test PACS",
            "StorageDirectory": str(folder / "storage"),
            "IndexDirectory": str(folder / "storage"),
            "Plugins": [],
            "HttpPort": http_port,
            "RemoteAccessAllowed": False,
            "AuthenticationEnabled": False,
            "DicomAet": ae_title,
            "DicomPort": port,
            "DicomCheckCalledAet": True,
            "DicomAlwaysAllowEcho": True,
            "DicomAlwaysAllowStore": True,
            "UnknownSopClassAccepted": True,
            "OverwriteInstances": True,
            "StableAge": 2,
            "DicomModalities": {"mammonode": [mammonode_ae_title, LOOPBACK, mammonode_port]},
            **(settings or {}),
        }
        config = folder / "orthanc.json"
        config.write_text(json.dumps(configuration, indent=2), encoding="utf-8")
        process = ServerProcess([program, str(config)], log=folder / "orthanc.log")
        peer = Orthanc(port=port, http_port=http_port, ae_title=ae_title, process=process)
        try:
            peer.start()
            yield peer
        finally:
            process.kill()  # an orderly end takes seconds, and nothing of it is kept
