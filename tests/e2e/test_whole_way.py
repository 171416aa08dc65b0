"""Studies sent by DCMTK's storescu come back as results, to DCMTK's storescp and to Orthanc."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from io import BytesIO
from pathlib import Path

import pytest
from pydicom import Dataset, dcmread
from pydicom.filereader import read_dataset

from tests.e2e.harness import (
    ROOT,
    Destination,
    NodeUnderTest,
    RecordingPacs,
    free_port,
    node_under_test,
    wait_until,
    write_study,
)
from tests.peers.servers import orthanc, storescp, storescu

SETTLE_S = 0.5
VIEWS = [("L", "CC"), ("L", "MLO"), ("R", "CC"), ("R", "MLO")]
KINDS = {
    "1.2.840.10008.5.1.4.1.1.88.50": "cad_sr",
    "1.2.840.10008.5.1.4.1.1.88.34": "measurement_sr",
    "1.2.840.10008.5.1.4.1.1.7": "capture",
}


@pytest.fixture(scope="module", params=["files and SQLite", "Redis and PostgreSQL"])
def running(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[NodeUnderTest, RecordingPacs]]:
    """A node by `serve`, with a PACS behind it; once embedded, once on real servers."""
    extra = ""
    if request.param == "Redis and PostgreSQL":
        redis_running = request.getfixturevalue("redis_running")
        database = request.getfixturevalue("postgres_running").fresh_database()
        extra = f'[broker]\nurl = "{redis_running.url}"\n[database]\nurl = "{database}"\n'
    pacs = RecordingPacs(free_port())
    folder = tmp_path_factory.mktemp("node")
    with pacs.listening(), node_under_test(folder, [Destination("pacs", pacs.port)], extra=extra) as node:
        node.serve()
        yield node, pacs


def send(node: NodeUnderTest, paths: list[Path]) -> None:
    sent = storescu(paths, node.port, called="MAMMONODE")
    assert sent.returncode == 0, sent.stderr


def of_study(pacs: RecordingPacs, study_uid: str) -> dict[str, Dataset]:
    found = {uid: read(stores[-1]) for uid, stores in list(pacs.stores.items())}
    return {uid: dataset for uid, dataset in found.items() if dataset.StudyInstanceUID == study_uid}


def read(encoded: bytes) -> Dataset:
    """Read a data set that came over the network, in whichever Little Endian syntax it was sent."""
    for implicit in (False, True):
        dataset = read_dataset(BytesIO(encoded), is_implicit_VR=implicit, is_little_endian=True)
        if "SOPInstanceUID" in dataset:
            return dataset
    raise AssertionError("not a data set")


@pytest.mark.peer
def test_a_complete_study_starts_because_of_its_views(
    running: tuple[NodeUnderTest, RecordingPacs], tmp_path: Path
) -> None:
    node, pacs = running
    uid = "1.2.826.0.1.3680043.8.498.2001"
    send(node, write_study(tmp_path, uid, VIEWS))
    wait_until(lambda: node.is_answered(uid), 120, "the study to be answered")
    events = node.ledger.history(uid)
    assert [event.kind for event in events[:4]] == ["received"] * 4
    queued = next(event for event in events if event.kind == "queued")
    assert queued.detail["why"] == "required views"
    assert queued.at - max(event.at for event in events if event.kind == "received") >= SETTLE_S
    assert sorted(KINDS[dataset.SOPClassUID] for dataset in of_study(pacs, uid).values()) == [
        "cad_sr",
        *["capture"] * 5,
        "measurement_sr",
    ]


@pytest.mark.peer
def test_an_incomplete_study_is_answered_when_it_is_quiet_and_says_what_is_missing(
    running: tuple[NodeUnderTest, RecordingPacs], tmp_path: Path
) -> None:
    node, pacs = running
    uid = "1.2.826.0.1.3680043.8.498.2002"
    paths = write_study(tmp_path, uid, VIEWS)
    send(node, paths[:3])
    wait_until(lambda: node.is_answered(uid), 120, "the first revision")
    queued = next(event for event in node.ledger.history(uid) if event.kind == "queued")
    assert queued.detail["why"] == "quiet"
    first = of_study(pacs, uid)
    # The fourth view comes late: a second revision, with results of its own.
    send(node, paths[3:])
    wait_until(lambda: node.revision(uid) == 2 and node.is_answered(uid), 120, "the second revision")
    assert set(of_study(pacs, uid)) > set(first)
    assert {item["revision"] for item in node.deliveries(uid)} == {1, 2}


@pytest.mark.peer
def test_interleaved_studies_in_several_associations_are_kept_apart(
    running: tuple[NodeUnderTest, RecordingPacs], tmp_path: Path
) -> None:
    node, pacs = running
    uids = [f"1.2.826.0.1.3680043.8.498.210{number}" for number in range(3)]
    studies = [write_study(tmp_path / uid, uid, VIEWS) for uid in uids]
    for view in range(4):
        send(node, [study[view] for study in studies])
    wait_until(lambda: all(node.is_answered(uid) for uid in uids), 180, "all three studies")
    for uid in uids:
        results = of_study(pacs, uid)
        assert len(results) == 7
        assert {item["revision"] for item in node.deliveries(uid)} == {1}


NAMES = [
    ("ISO 2022 IR 87", b"Yamada^Tarou=\x1b$B;3ED\x1b(B^\x1b$BB@O:\x1b(B"),
    ("ISO_IR 100", "Müller^Zoë".encode("latin-1")),
    ("ISO_IR 192", "Ångström^Ðóra=山田^太郎".encode()),
    ("ISO_IR 192", b"broken\xff\xfe^utf-8"),
    ("ISO 2022 IR 999", b"unknown\xe9^set"),
    (None, b"undeclared\xfc^bytes"),
]


@pytest.mark.peer
def test_names_come_back_byte_for_byte_in_every_character_set(
    running: tuple[NodeUnderTest, RecordingPacs], tmp_path: Path
) -> None:
    node, pacs = running
    uids = {f"1.2.826.0.1.3680043.8.498.400{number}": name for number, name in enumerate(NAMES)}
    for uid, (character_set, name) in uids.items():
        paths = write_study(tmp_path / uid, uid, VIEWS)
        for path in paths:
            put_bytes(path, b"\x08\x00\x05\x00CS", None if character_set is None else character_set.encode())
            put_bytes(path, b"\x10\x00\x10\x00PN", name)
        send(node, paths)
    wait_until(lambda: all(node.is_answered(uid) for uid in uids), 240, "all six studies")
    for uid, (character_set, name) in uids.items():
        results = of_study(pacs, uid)
        assert len(results) == 7
        for result in results.values():
            assert raw(result, "PatientName") == name
            assert raw(result, "SpecificCharacterSet") == (character_set.encode() if character_set else None)


def raw(dataset: Dataset, keyword: str) -> bytes | None:
    element = dataset.get_item(keyword)
    return None if element is None else bytes(element.value).rstrip(b" ")


def put_bytes(path: Path, start: bytes, value: bytes | None) -> None:
    """Replace an element of an Explicit VR file by bytes that no library would write, or take it out."""
    content = path.read_bytes()
    at = content.index(start)
    length = int.from_bytes(content[at + 6 : at + 8], "little")
    new = b""
    if value is not None:
        padded = value + b" " * (len(value) % 2)
        new = start + len(padded).to_bytes(2, "little") + padded
    path.write_bytes(content[:at] + new + content[at + 8 + length :])


@pytest.mark.peer
@pytest.mark.shared
def test_the_real_exam_comes_back_to_dcmtk_and_to_orthanc(
    shared_dir: Path, tmp_path: Path, need: Callable[..., None]
) -> None:
    need("storescu", "storescp", "Orthanc")
    files = sorted((shared_dir / "data/dicom/mg-exam-a").glob("*.dcm"))
    with (
        storescp(tmp_path / "dcmtk", ae_title="PACS") as dcmtk,
        orthanc(tmp_path / "orthanc") as archive,
        node_under_test(
            tmp_path / "node",
            [Destination("dcmtk", dcmtk.port), Destination("orthanc", archive.port, archive.ae_title)],
        ) as node,
    ):
        node.serve()
        send(node, files)
        wait_until(lambda: node.is_finished(1), 240, "the results to be delivered")
        in_dcmtk = [dcmread(path) for path in dcmtk.received().values()]
        assert sorted(KINDS[item.SOPClassUID] for item in in_dcmtk) == ["cad_sr", *["capture"] * 5, "measurement_sr"]
        source = dcmread(files[0], stop_before_pixels=True)
        for item in in_dcmtk:
            assert item.StudyInstanceUID == source.StudyInstanceUID
            assert item.PatientID == source.PatientID
            assert archive.find(item.SOPInstanceUID), "Orthanc has not got it"


@pytest.mark.peer
@pytest.mark.shared
def test_every_odd_file_gets_an_answer(shared_dir: Path, tmp_path: Path) -> None:
    """Each file in an association of its own, as from many senders."""
    folders = ("odd", "us", "mg-exam-b")
    files = [path for folder in folders for path in sorted((shared_dir / "data/dicom" / folder).glob("*.dcm"))]
    pacs = RecordingPacs(free_port())
    with pacs.listening(), node_under_test(tmp_path / "node", [Destination("pacs", pacs.port)]) as node:
        node.serve()
        headers = {path.name: dcmread(path, stop_before_pixels=True) for path in files}
        unsent = [path for path in files if storescu([path], node.port, called="MAMMONODE").returncode]
        # DCMTK cannot parse a private sequence of one file, and sends nothing: our own SCU sends bytes as they are.
        assert {path.name for path in unsent} <= {"MG-Im-Hologic-PropProj.dcm"}
        for path in unsent:
            target = f"MAMMONODE@127.0.0.1:{node.port}"
            subprocess.run([sys.executable, "-m", "node.cli", "send", str(path), "--to", target], check=True, cwd=ROOT)
        studies = {header.StudyInstanceUID for header in headers.values()}
        wait_until(lambda: node.is_finished(len(studies)), 400, "every study to be answered")
        answered = {
            reference.ReferencedSOPInstanceUID
            for stores in list(pacs.stores.values())
            for reference in evidence(read(stores[-1]))
        }
        missing = {name for name, header in headers.items() if header.SOPInstanceUID not in answered}
        assert not missing


def evidence(dataset: Dataset) -> list[Dataset]:
    found: list[Dataset] = []
    for keyword in ("CurrentRequestedProcedureEvidenceSequence", "PertinentOtherEvidenceSequence"):
        for study in dataset.get(keyword, []):
            for series in study.ReferencedSeriesSequence:
                found += series.ReferencedSOPSequence
    return found


@pytest.mark.peer
def test_a_dead_destination_delays_no_other_and_gets_everything_when_it_is_back(tmp_path: Path) -> None:
    alive, dead = RecordingPacs(free_port()), RecordingPacs(free_port())
    destinations = [Destination("dead", dead.port), Destination("alive", alive.port)]
    uids = [f"1.2.826.0.1.3680043.8.498.300{number}" for number in range(3)]
    with alive.listening(), node_under_test(tmp_path / "node", destinations) as node:
        node.serve()
        for uid in uids:
            send(node, write_study(tmp_path / uid, uid, VIEWS))

        def states(name: str) -> set[str]:
            items = [item for item in node.deliveries(*uids) if item["destination"] == name]
            return {item["state"] for item in items} if len(items) == 7 * len(uids) else set()

        wait_until(lambda: states("alive") == {"sent"}, 180, "the living destination to have everything")
        assert states("dead") == {"pending"}
        assert not dead.stores
        with dead.listening():
            wait_until(lambda: states("dead") == {"sent"}, 120, "the returned destination to have everything")
        assert set(dead.stores) == set(alive.stores)
        assert all(dead.stores[uid][0] == alive.stores[uid][0] for uid in alive.stores)
