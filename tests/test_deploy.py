"""The examples in deploy/ do what their README says."""

from __future__ import annotations

import configparser
import json
import os
import re
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydicom import Dataset
from pydicom.dataset import FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, generate_uid
from pynetdicom import AE, evt
from pynetdicom.sop_class import DigitalMammographyXRayImageStorageForPresentation, SecondaryCaptureImageStorage

from node.settings import load_settings
from tests.peers.processes import free_port

ROOT = Path(__file__).resolve().parents[1]
DEPLOY = ROOT / "deploy"
MG = DigitalMammographyXRayImageStorageForPresentation


def instance(sop_class_uid: str, modality: str) -> Dataset:
    image = Dataset()
    image.file_meta = FileMetaDataset()
    image.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    image.SOPClassUID, image.SOPInstanceUID = sop_class_uid, generate_uid()
    image.StudyInstanceUID, image.SeriesInstanceUID = generate_uid(), generate_uid()
    image.PatientID, image.PatientName, image.Modality = "TEST", "Test^Deploy", modality
    return image


def send(port: int, calling: str, image: Dataset) -> None:
    ae = AE(ae_title=calling)
    ae.add_requested_context(image.SOPClassUID, ExplicitVRLittleEndian)
    association = ae.associate("127.0.0.1", port, ae_title="PACS")
    assert association.is_established
    assert association.send_c_store(image).Status == 0x0000
    association.release()


@pytest.fixture
def node() -> Iterator[tuple[int, list[str]]]:
    """A listener in the node's place: its port, and the SOP Instance UIDs it was sent."""
    received: list[str] = []

    def store(event: evt.Event) -> int:
        received.append(str(event.request.AffectedSOPInstanceUID))
        return 0x0000

    ae = AE(ae_title="MAMMONODE")
    for sop_class in (MG, SecondaryCaptureImageStorage):
        ae.add_supported_context(sop_class)
    server = ae.start_server(("127.0.0.1", 0), block=False, evt_handlers=[(evt.EVT_C_STORE, store)])
    assert server is not None
    yield server.socket.getsockname()[1], received
    server.shutdown()


@pytest.fixture
def orthanc(tmp_path: Path, node: tuple[int, list[str]]) -> Iterator[int]:
    """Orthanc with the example's configuration, on free ports and in a folder of its own."""
    program = shutil.which("Orthanc", path=f"{os.environ['PATH']}:/usr/sbin")
    if program is None:
        pytest.skip("needs Orthanc")
    configuration = json.loads((DEPLOY / "orthanc.json").read_text(encoding="utf-8"))
    port = free_port()
    configuration |= {"DicomPort": port, "HttpPort": free_port(), "StorageDirectory": str(tmp_path)}
    configuration["DicomModalities"]["mammonode"] |= {"Host": "127.0.0.1", "Port": node[0]}
    assert [Path(script).name for script in configuration["LuaScripts"]] == ["orthanc.lua"]
    configuration["LuaScripts"] = [str(DEPLOY / "orthanc.lua")]
    (tmp_path / "orthanc.json").write_text(json.dumps(configuration))
    with (tmp_path / "log").open("w") as log:
        environ = os.environ | {"ORTHANC_PASSWORD": "for this test"}
        process = subprocess.Popen([program, str(tmp_path / "orthanc.json")], env=environ, stdout=log, stderr=log)
    try:
        wait_until(lambda: is_listening(port))
        yield port
    finally:
        process.terminate()
        process.wait()


def is_listening(port: int) -> bool:
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", port)) == 0


def wait_until(condition) -> None:  # type: ignore[no-untyped-def] # a callable without arguments
    for _ in range(200):
        if condition():
            return
        time.sleep(0.05)
    raise AssertionError("not within 10 s")


@pytest.mark.peer
def test_orthanc_passes_mammograms_on_but_never_the_nodes_own_results(
    orthanc: int, node: tuple[int, list[str]]
) -> None:
    _, received = node
    result, mammogram = instance(SecondaryCaptureImageStorage, "MG"), instance(MG, "MG")
    send(orthanc, "MAMMONODE", result)
    send(orthanc, "MODALITY", instance(SecondaryCaptureImageStorage, "OT"))
    send(orthanc, "MODALITY", mammogram)
    wait_until(lambda: received)
    time.sleep(0.5)  # whatever else was going to come
    assert received == [mammogram.SOPInstanceUID]


def test_the_settings_in_compose_are_accepted() -> None:
    text = (DEPLOY / "compose.yaml").read_text(encoding="utf-8")
    given = dict(re.findall(r"^    (MAMMONODE_\w+): '?(.*?)'?$", text, flags=re.MULTILINE))
    assert set(given) == {f"MAMMONODE_{name}" for name in ("BROKER__URL", "DATABASE__URL", "SOURCE", "DESTINATION")}
    settings = load_settings(DEPLOY / "mammonode.toml", given)
    assert [source.host for source in settings.source] == ["pacs"]
    assert [destination.host for destination in settings.destination] == ["pacs"]
    orthanc = json.loads((DEPLOY / "orthanc.json").read_text(encoding="utf-8"))
    assert settings.destination[0].port == orthanc["DicomPort"]
    assert settings.destination[0].ae_title == settings.source[0].ae_title == orthanc["DicomAet"]
    called = orthanc["DicomModalities"]["mammonode"]
    assert (called["AET"], called["Port"]) == (settings.node.ae_title, settings.node.port)


def test_the_image_holds_every_package_of_the_project() -> None:
    text = (DEPLOY / "Dockerfile").read_text(encoding="utf-8")
    packages = re.findall(r"^COPY (\w+) \1$", text, flags=re.MULTILINE)
    assert sorted(packages) == sorted(path.parent.name for path in ROOT.glob("*/__init__.py"))


def test_the_unit_stops_the_node_gently_and_starts_it_again() -> None:
    unit = configparser.ConfigParser(interpolation=None, strict=False)
    unit.optionxform = str  # type: ignore[assignment,method-assign] # keys of systemd keep their case
    unit.read(DEPLOY / "mammonode.service", encoding="utf-8")
    service = unit["Service"]
    assert (service["KillSignal"], service["Restart"]) == ("SIGTERM", "on-failure")
    assert int(service["TimeoutStopSec"]) > 30  # the node takes up to 30 s to drain
    settings = load_settings(DEPLOY / "mammonode.toml", {})
    assert Path("/var/lib") / service["StateDirectory"] == settings.node.state_dir
