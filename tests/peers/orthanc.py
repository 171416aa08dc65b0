"""Orthanc as the PACS: started with a configuration of its own, asked over REST."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.peers.processes import LOOPBACK, ServerProcess, find_program, free_port, own_folder, wait_until


@dataclass(frozen=True, slots=True, kw_only=True)
class Modality:
    """A remote AE in Orthanc's table."""

    ae_title: str
    port: int
    host: str = LOOPBACK

    def as_json(self) -> dict[str, Any]:
        """The form that Orthanc's configuration and REST interface share."""
        return {"AET": self.ae_title, "Host": self.host, "Port": self.port}


@dataclass(frozen=True, slots=True, kw_only=True)
class Orthanc:
    """A running Orthanc; every method is one or two calls of its REST interface.

    Attributes
    ----------
    port : int
        Of DICOM.
    http_port : int
        Of REST.
    """

    port: int
    http_port: int
    ae_title: str
    process: ServerProcess

    def start(self) -> None:
        """Listen (again), on the same ports and storage."""
        self.process.start().wait_ready(self.answers, timeout_s=60)

    def stop(self) -> None:
        """End; what is stored stays."""
        self.process.stop()

    @property
    def url(self) -> str:
        """Root of the REST interface, without a slash at its end."""
        return f"http://{LOOPBACK}:{self.http_port}"

    def request(self, method: str, path: str, body: object = None) -> bytes:
        """Call REST; `body` goes out as JSON, except for str and bytes.

        Raises
        ------
        urllib.error.HTTPError
            For any status that is not 2xx.
        """
        data: bytes | None = None
        if body is not None:
            raw = body if isinstance(body, (str, bytes)) else json.dumps(body)
            data = raw.encode() if isinstance(raw, str) else raw
        request = urllib.request.Request(f"{self.url}{path}", data=data, method=method)
        # Never through a proxy that the environment names: this is the loopback.
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(request, timeout=30) as answer:
            content: bytes = answer.read()
        return content

    def json(self, method: str, path: str, body: object = None) -> Any:
        """`request`, with the answer parsed."""
        return json.loads(self.request(method, path, body))

    def count(self) -> int:
        """Number of stored instances."""
        return int(self.json("GET", "/statistics")["CountInstances"])

    def instances(self) -> dict[str, str]:
        """Orthanc's own identifiers by SOP Instance UID."""
        return {item["MainDicomTags"]["SOPInstanceUID"]: item["ID"] for item in self.json("GET", "/instances?expand")}

    def find(self, sop_instance_uid: str) -> str | None:
        """Orthanc's identifier of an instance, or None."""
        found = self.json("POST", "/tools/lookup", sop_instance_uid)
        return next((item["ID"] for item in found if item["Type"] == "Instance"), None)

    def file_bytes(self, sop_instance_uid: str) -> bytes:
        """The stored DICOM file.

        Raises
        ------
        KeyError
            When there is none.
        """
        identifier = self.find(sop_instance_uid)
        if identifier is None:
            raise KeyError(sop_instance_uid)
        return self.request("GET", f"/instances/{identifier}/file")

    def tags(self, sop_instance_uid: str) -> dict[str, Any]:
        """Elements by keyword, as Orthanc reads them."""
        identifier = self.find(sop_instance_uid)
        if identifier is None:
            raise KeyError(sop_instance_uid)
        found: dict[str, Any] = self.json("GET", f"/instances/{identifier}/simplified-tags")
        return found

    def upload(self, paths: Iterable[Path]) -> None:
        """Store files over REST."""
        for path in paths:
            self.request("POST", "/instances", path.read_bytes())

    def delete(self, sop_instance_uid: str) -> None:
        """Remove an instance.

        Raises
        ------
        KeyError
            When there is none.
        """
        identifier = self.find(sop_instance_uid)
        if identifier is None:
            raise KeyError(sop_instance_uid)
        self.request("DELETE", f"/instances/{identifier}")

    def delete_all(self) -> None:
        """Remove every patient."""
        for identifier in self.json("GET", "/patients"):
            self.request("DELETE", f"/patients/{identifier}")

    def set_modality(self, name: str, modality: Modality) -> None:
        """Add or change a remote AE."""
        self.request("PUT", f"/modalities/{name}", modality.as_json())

    def echo(self, name: str) -> bool:
        """Whether the remote AE answers a C-ECHO."""
        try:
            self.request("POST", f"/modalities/{name}/echo", "")
        except urllib.error.HTTPError:
            return False
        return True

    def send(self, name: str, sop_instance_uids: Iterable[str]) -> dict[str, Any]:
        """C-STORE instances to a remote AE, and wait for it.

        Raises
        ------
        urllib.error.HTTPError
            When it fails.
        """
        known = self.instances()
        body = {"Resources": [known[uid] for uid in sop_instance_uids], "Synchronous": True}
        answer: dict[str, Any] = self.json("POST", f"/modalities/{name}/store", body)
        return answer

    def wait_for(self, number_or_uids: int | Iterable[str], *, timeout_s: float = 30) -> dict[str, str]:
        """Wait until so many instances, or these, are stored; return `instances()`.

        Raises
        ------
        TimeoutError
            After `timeout_s`.
        """
        if isinstance(number_or_uids, int):
            wait_until(lambda: self.count() >= number_or_uids, timeout_s=timeout_s, what="instances in Orthanc")
        else:
            wanted = set(number_or_uids)
            wait_until(lambda: self.instances().keys() >= wanted, timeout_s=timeout_s, what="instances in Orthanc")
        return self.instances()

    def answers(self) -> bool:
        """Whether REST answers."""
        try:
            self.request("GET", "/system")
        except OSError:
            return False
        return True


@contextmanager
def orthanc(
    directory: Path | None = None,
    *,
    port: int | None = None,
    http_port: int | None = None,
    ae_title: str = "ORTHANC",
    modalities: Mapping[str, Modality] | None = None,
    overwrite_instances: bool = False,
    changes: Mapping[str, Any] | None = None,
) -> Iterator[Orthanc]:
    """Run Orthanc with its index and files in `directory`, by default a temporary one.

    HTTP listens for this host alone. A remote AE gets no storage commitment report and no C-MOVE unless it is in
    `modalities`, or `Orthanc.set_modality` puts it there later. Orthanc's defaults stay where nothing is said: all
    transfer syntaxes, any caller may store, unknown SOP classes are refused.

    Parameters
    ----------
    modalities : mapping of str to Modality, optional
        Remote AEs by name.
    overwrite_instances : bool
        What an instance that is there already means: replace it, or keep the first and answer Success.
    changes : mapping, optional
        Other settings, by Orthanc's names.

    Raises
    ------
    ProgramMissing, StartFailed
    """
    program = find_program("Orthanc")
    port = free_port() if port is None else port
    http_port = free_port() if http_port is None else http_port
    configuration: dict[str, Any] = {
        "Name": "mammonode test",
        "Plugins": [],
        "HttpPort": http_port,
        "RemoteAccessAllowed": False,
        "AuthenticationEnabled": False,
        "DicomServerEnabled": True,
        "DicomAet": ae_title,
        "DicomPort": port,
        "DicomAlwaysAllowStore": True,
        "DicomCheckCalledAet": False,
        "DicomModalities": {name: modality.as_json() for name, modality in (modalities or {}).items()},
        "DicomAssociationCloseDelay": 0,
        "OverwriteInstances": overwrite_instances,
        "StorageCommitmentReportsSize": 100,
        "StableAge": 1,
        "SaveJobs": False,
        **(changes or {}),
    }
    with own_folder(directory, "orthanc") as folder:
        storage = str(folder / "storage")
        settings = folder / "orthanc.json"
        settings.write_text(json.dumps({"StorageDirectory": storage, "IndexDirectory": storage} | configuration))
        process = ServerProcess([program, "--verbose", str(settings)], log=folder / "orthanc.log")
        running = Orthanc(port=port, http_port=http_port, ae_title=ae_title, process=process)
        try:
            running.start()
            yield running
        finally:
            process.kill()  # its orderly end takes 3 s, and the storage goes too
