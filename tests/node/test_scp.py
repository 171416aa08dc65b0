"""The receiver in this process: what it takes, what it refuses and with which status, and what it survives."""

from __future__ import annotations

import errno
import hashlib
import shutil
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from pydicom import Dataset, dcmwrite
from pydicom.dataset import FileMetaDataset
from pydicom.uid import (
    CTImageStorage,
    DigitalMammographyXRayImageStorageForPresentation,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGLossless,
    JPEGLSLossless,
    RLELossless,
    SecondaryCaptureImageStorage,
    UltrasoundImageStorage,
)
from pynetdicom import AE, _config, dimse_messages
from pynetdicom.sop_class import Verification
from sqlalchemy.exc import OperationalError

from node.ledger import Ledger
from node.outbox import Outbox
from node.scp import Receiver, is_listening
from node.spool import Spool
from tests.factories import small_dose_sr, small_mammogram
from tests.node.builders import STUDY, claimed, kinds, received, result, settings_in
from tests.peers import hostile
from tests.peers.dcmtk import echoscu, storescu
from tests.peers.processes import free_port, wait_until
from tests.region_objects import graphic, presentation_state

MG = DigitalMammographyXRayImageStorageForPresentation
NODE = "MAMMONODE"


class Node:
    """A receiver that listens, and what stands behind it."""

    def __init__(self, folder: Path, ledger: Ledger, **sections: Any) -> None:
        self.port = free_port()
        node = {"port": self.port, "network_timeout_s": 5, **sections.pop("node", {})}
        self.settings = settings_in(folder, node=node, **sections)
        self.ledger = ledger
        self.outbox = Outbox(ledger, self.settings.outbox_dir)
        self.spool = Spool(self.settings.spool_dir, self.settings.retention.min_free_bytes)
        self.receiver = Receiver(settings=self.settings, spool=self.spool, ledger=ledger, outbox=self.outbox)

    def associate(self, sop_class: str = MG, syntax: str = ExplicitVRLittleEndian, **more: Any) -> Any:
        return hostile.associate(self.port, called=NODE, sop_class_uid=sop_class, transfer_syntax_uid=syntax, **more)

    def store(self, content: bytes, uid: str, sop_class: str = MG, syntax: str = ExplicitVRLittleEndian) -> int:
        """Send one data set as it is over an association of its own; return the status."""
        association = self.associate(sop_class, syntax)
        status: int = association.store(sop_class, uid, content)
        association.release()
        return status

    def store_image(self, number: int = 1, **elements: Any) -> int:
        return self.store(image(number, **elements), f"{STUDY}.{number}")

    @property
    def stored(self) -> dict[str, bytes]:
        """Data sets in the spool, by SOP Instance UID."""
        return {uid: data_set(path.read_bytes()) for uid, path in self.spool.files()}

    @property
    def incoming(self) -> list[Path]:
        return list((self.settings.spool_dir / "incoming").iterdir())

    def is_clean(self) -> bool:
        """Whether nothing half received is left, neither a file nor a thing in memory."""
        return not self.incoming and not self.receiver._incoming


def image(number: int = 1, syntax: str = ExplicitVRLittleEndian, **elements: Any) -> bytes:
    """A small mammogram's data set, encoded; with `syntax` of a compressed kind, its pixels are not what they say."""
    dataset = Dataset()
    values = {
        "SOPClassUID": MG,
        "SOPInstanceUID": f"{STUDY}.{number}",
        "StudyInstanceUID": STUDY,
        "SeriesInstanceUID": f"{STUDY}.0",
        "Modality": "MG",
        "PatientName": "Test^Patient",
        "PresentationIntentType": "FOR PRESENTATION",
        "ImageType": ["ORIGINAL", "PRIMARY"],
        "ImageLaterality": "L",
        "ViewPosition": "CC",
        "Rows": 64,
        "Columns": 64,
        "ImagerPixelSpacing": [0.1, 0.1],
        "SamplesPerPixel": 1,
        "PhotometricInterpretation": "MONOCHROME2",
        "BitsAllocated": 16,
        "BitsStored": 12,
        "HighBit": 11,
        "PixelRepresentation": 0,
        "PixelData": bytes(range(256)) * 32,
    }
    for keyword, value in (values | elements).items():
        if value is not None:
            setattr(dataset, keyword, value)
    if "PixelData" in dataset:
        dataset["PixelData"].VR = "OW"
    return encode(dataset, syntax)


def encode(dataset: Dataset, syntax: str) -> bytes:
    buffer = BytesIO()
    big = syntax == ExplicitVRBigEndian
    dcmwrite(buffer, dataset, implicit_vr=syntax == ImplicitVRLittleEndian, little_endian=not big)
    return buffer.getvalue()


def data_set(content: bytes) -> bytes:
    length = int.from_bytes(content[140:144], "little")
    return content[144 + length :]


@contextmanager
def listening(folder: Path, ledger: Ledger, **sections: Any) -> Iterator[Node]:
    node = Node(folder, ledger, **sections)
    with node.receiver.listening():
        yield node


@pytest.fixture(autouse=True)
def _only_one_receiver(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the receiver changes in pynetdicom is process-wide; other tests must not find it."""
    monkeypatch.setattr(_config, "STORE_RECV_CHUNKED_DATASET", False)
    for name in ("NamedTemporaryFile", "BytesIO"):
        monkeypatch.setattr(dimse_messages, name, getattr(dimse_messages, name))


@pytest.fixture
def ledger(sqlite_ledger: Ledger) -> Ledger:
    return sqlite_ledger


@pytest.fixture
def node(tmp_path: Path, ledger: Ledger) -> Iterator[Node]:
    with listening(tmp_path, ledger) as running:
        yield running


# -- taken -------------------------------------------------------------------------------------------------------------


def test_an_image_is_on_disk_and_in_the_ledger_when_success_is_said(node: Node) -> None:
    content = image()
    assert node.store(content, f"{STUDY}.1") == 0x0000
    assert node.stored == {f"{STUDY}.1": content}
    (event,) = node.ledger.history(STUDY)
    assert (event.kind, event.detail["view"], event.detail["calling_ae_title"]) == ("received", "L-CC", "HOSTILE")
    path = node.ledger.path_of(f"{STUDY}.1")
    assert path is not None
    assert hashlib.sha256(content).hexdigest()[:16] in path
    assert node.is_clean()


@pytest.mark.parametrize(
    "elements",
    [{"PresentationIntentType": "FOR PROCESSING"}, {"BreastImplantPresent": "YES"}, {"ImageLaterality": None}],
)
def test_an_image_that_cannot_be_analysed_is_taken_and_counts_as_no_view(node: Node, elements: dict[str, Any]) -> None:
    assert node.store_image(**elements) == 0x0000
    (event,) = node.ledger.history(STUDY)
    assert (event.detail["view"], event.detail["routed_to"]) == (None, "mammography")


def test_ultrasound_goes_to_its_pipeline_and_counts_as_no_view_so_that_quiet_time_completes_it(node: Node) -> None:
    content = image(SOPClassUID=UltrasoundImageStorage, Modality="US", PresentationIntentType=None)
    assert node.store(content, f"{STUDY}.1", sop_class=UltrasoundImageStorage) == 0x0000
    (event,) = node.ledger.history(STUDY)
    assert (event.detail["view"], event.detail["routed_to"]) == (None, "ultrasound")
    (instance,) = node.ledger.study_state(STUDY).instances
    assert instance.is_open_ended


@pytest.mark.parametrize(("model_name", "kept"), [("viewer", "regions"), ("mammonode", None)])
def test_a_mark_is_kept_for_the_studys_pipeline_unless_this_node_made_it(
    node: Node, model_name: str, kept: str | None
) -> None:
    mammogram = small_mammogram(laterality="L", view="CC", study_instance_uid=STUDY)
    circle = graphic("CIRCLE", [(20.0, 20.0), (30.0, 20.0)])
    state = presentation_state(mammogram, [circle], ManufacturerModelName=model_name)
    file = BytesIO()
    dcmwrite(file, state, enforce_file_format=True)
    assert node.store(data_set(file.getvalue()), state.SOPInstanceUID, state.SOPClassUID) == 0x0000
    assert [event.detail["routed_to"] for event in node.ledger.history(STUDY)] == ([kept] if kept else [])


@pytest.mark.parametrize(
    "syntax",
    [
        ImplicitVRLittleEndian,
        ExplicitVRLittleEndian,
        ExplicitVRBigEndian,
        JPEGLossless,
        JPEGLSLossless,
        JPEG2000Lossless,
        RLELossless,
    ],
)
def test_every_transfer_syntax_is_kept_byte_for_byte(node: Node, syntax: str) -> None:
    content = image(syntax=syntax)
    assert node.store(content, f"{STUDY}.1", syntax=syntax) == 0x0000
    assert node.stored == {f"{STUDY}.1": content}
    ((_, path),) = node.spool.files()
    assert syntax.encode() in path.read_bytes()[:400]


@pytest.mark.peer
@pytest.mark.skipif(shutil.which("storescu") is None, reason="needs DCMTK")
def test_dcmtk_verifies_and_sends(node: Node, tmp_path: Path) -> None:
    assert echoscu(port=node.port, called=NODE).returncode == 0
    paths = []
    for number in (1, 2, 3):
        meta = FileMetaDataset()
        meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = MG, f"{STUDY}.{number}"
        meta.TransferSyntaxUID = ExplicitVRLittleEndian
        paths.append(tmp_path / f"{number}.dcm")
        file = Dataset()
        file.file_meta = meta
        file.save_as(paths[-1], enforce_file_format=True, implicit_vr=False, little_endian=True)
        with paths[-1].open("ab") as out:
            out.write(image(number))
    done = storescu(paths, port=node.port, called=NODE)
    assert done.returncode == 0, done.stderr
    assert node.stored == {f"{STUDY}.{number}": image(number) for number in (1, 2, 3)}


def test_the_same_again_is_success_and_nothing_else(node: Node) -> None:
    assert [node.store_image() for _ in range(3)] == [0x0000] * 3
    assert len(node.stored) == 1
    assert kinds(node.ledger) == ["received", "duplicate", "duplicate"]


def test_the_same_in_another_transfer_syntax_is_other_bytes(node: Node) -> None:
    node.store_image()
    again = image(syntax=ImplicitVRLittleEndian)
    assert node.store(again, f"{STUDY}.1", syntax=ImplicitVRLittleEndian) == 0x0111


def test_many_over_one_association(node: Node) -> None:
    association = node.associate()
    assert [association.store(MG, f"{STUDY}.{n}", image(n)) for n in range(1, 9)] == [0x0000] * 8
    association.release()
    assert len(node.stored) == 8


def test_a_result_of_this_node_that_comes_back_is_ignored(node: Node) -> None:
    held = claimed(node.ledger, received(9))
    own = result("heatmap")
    node.outbox.publish(held, [own], {}, 1.0, outcome="analysed", reason=None)
    before = kinds(node.ledger)
    content = data_set(own.content)
    assert node.store(content, own.sop_instance_uid, SecondaryCaptureImageStorage) == 0x0000
    assert node.stored == {}
    assert kinds(node.ledger) == before
    assert node.is_clean()


def test_a_result_of_another_node_is_ignored_too(node: Node) -> None:
    file = BytesIO()
    report = small_dose_sr(ManufacturerModelName="mammonode")
    dcmwrite(file, report, enforce_file_format=True)
    assert node.store(data_set(file.getvalue()), report.SOPInstanceUID, report.SOPClassUID) == 0x0000
    assert node.stored == {}
    assert node.ledger.studies() == []


def test_a_duplicate_of_what_was_deleted_brings_its_file_back(node: Node) -> None:
    node.store_image()
    with node.ledger.engine.begin() as connection:
        connection.exec_driver_sql("UPDATE instance SET discarded_at = 1.0")
    ((_, path),) = node.spool.files()
    path.unlink()
    assert node.store_image() == 0x0000
    assert list(node.stored) == [f"{STUDY}.1"]


def test_what_no_row_speaks_of_is_swept_on_the_next_start(node: Node) -> None:
    node.store_image()
    orphan = node.settings.spool_dir / STUDY / f"{STUDY}.2.0123456789abcdef.dcm"
    orphan.write_bytes(b"stored, but never acknowledged")
    assert node.receiver.sweep() == 1
    assert list(node.stored) == [f"{STUDY}.1"]


def test_a_state_folder_that_was_moved_keeps_what_was_acknowledged(node: Node) -> None:
    node.store_image()
    with node.ledger.engine.begin() as connection:
        connection.exec_driver_sql("UPDATE instance SET path = '/elsewhere' || substr(path, instr(path, '/spool/'))")
    assert node.receiver.sweep() == 0
    assert list(node.stored) == [f"{STUDY}.1"]


def test_nothing_is_swept_on_the_word_of_an_empty_ledger(node: Node) -> None:
    node.store_image()
    with node.ledger.engine.begin() as connection:
        connection.exec_driver_sql("DELETE FROM instance")
    assert node.receiver.sweep() == 0
    assert list(node.stored) == [f"{STUDY}.1"]


def test_what_another_receiver_has_not_recorded_yet_is_not_swept(node: Node) -> None:
    sweeps: list[str] = []

    def sweep(name: str) -> int:
        sweeps.append(name)
        return 3

    other = Spool(node.settings.spool_dir)
    with node.spool.shared(lambda: sweep("first")) as first, other.shared(lambda: sweep("second")) as second:
        assert (first, second) == (3, 0)
    assert sweeps == ["first"]


# -- refused -----------------------------------------------------------------------------------------------------------


def test_other_bytes_under_a_known_uid_are_refused_and_the_first_kept(node: Node) -> None:
    node.store_image()
    assert node.store_image(PatientID="other") == 0x0111
    assert node.stored == {f"{STUDY}.1": image()}
    assert kinds(node.ledger) == ["received", "refused_other_bytes"]


def test_low_disk_is_told_before_anything_is_written(tmp_path: Path, ledger: Ledger) -> None:
    with listening(tmp_path, ledger, retention={"min_free_gb": 1e9}) as node:
        assert node.store_image() == 0xA700
        assert node.stored == {}
        assert node.is_clean()
    assert ledger.studies() == []


@pytest.mark.parametrize("element", ["SOPClassUID", "SOPInstanceUID"])
def test_a_data_set_that_is_not_what_the_command_says(node: Node, element: str) -> None:
    assert node.store_image(**{element: "1.2.840.10008.5.1.4.1.1.7"}) == 0xA900
    assert node.stored == {}
    assert node.is_clean()


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(b"this is no data set at all, not even nearly", id="text"),
        pytest.param(b"\xff" * 4096, id="ones"),
        pytest.param(b"\0" * 4096, id="zeros"),
        pytest.param(image(StudyInstanceUID=None), id="no study"),
        pytest.param(image(StudyInstanceUID="../../../etc"), id="a path for a study"),
    ],
)
def test_what_cannot_be_understood(node: Node, content: bytes) -> None:
    assert node.store(content, f"{STUDY}.1") == 0xC000
    assert node.stored == {}
    assert node.is_clean()


def test_a_spool_that_fails_is_told_as_something_that_may_pass(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_source: Path, _destination: Path) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr("node.spool.move_durably", full)
        assert node.store_image() == 0xA700
    assert node.stored == {}
    assert node.store_image() == 0x0000


def test_while_the_ledger_is_away_nothing_is_acknowledged(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_arguments: object) -> None:
        raise OperationalError("INSERT", {}, Exception("database is locked"))

    with monkeypatch.context() as patch:
        patch.setattr(node.ledger, "record_instance", fail)
        assert node.store_image() == 0x0110
    assert node.store_image() == 0x0000
    assert node.is_clean()


def test_a_kind_that_is_not_accepted_is_refused_when_it_is_negotiated(node: Node) -> None:
    association = node.associate(CTImageStorage)
    assert not association.is_context_accepted
    association.release()


def test_a_wrong_called_title_is_refused(node: Node) -> None:
    assert hostile.call_wrong_ae(node.port, called="SOMEONE") == (1, 1, 7)


def test_only_known_titles_from_their_addresses_may_send(tmp_path: Path, ledger: Ledger) -> None:
    with listening(tmp_path, ledger, source=[{"ae_title": "UNIT1", "host": "127.0.0.0/8"}]) as node:
        assert hostile.call_wrong_ae(node.port, called=NODE, calling="STRANGER") == (1, 1, 3)
        node.associate(calling="UNIT1").release()


def test_an_unknown_address_is_cut_off_before_it_says_a_word(tmp_path: Path, ledger: Ledger) -> None:
    stranger = [{"ae_title": "UNIT1", "host": "10.0.0.1"}]
    with listening(tmp_path, ledger, source=stranger) as node, hostile.connect(node.port) as connection:
        assert hostile.is_closed_by_peer(connection, within_s=10)


# -- survived ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("cut", ["abort", "drop", "close"])
def test_cut_off_in_the_middle_nothing_is_left_and_the_acknowledged_stays(node: Node, cut: str) -> None:
    association = node.associate()
    assert association.store(MG, f"{STUDY}.1", image(1)) == 0x0000
    content = image(2, PixelData=bytes(400_000))
    pdus = list(association.store_pdus(MG, f"{STUDY}.2", content))
    for pdu in pdus[:3]:
        association.connection.sendall(pdu)
    wait_until(lambda: bool(node.incoming), what="the first bytes")
    association.connection.close() if cut == "close" else getattr(association, cut)()
    wait_until(node.is_clean, what="the half received file is removed")
    assert list(node.stored) == [f"{STUDY}.1"]
    assert node.store_image(3) == 0x0000


def test_cut_off_right_after_the_last_byte_leaves_nothing_half_done(node: Node) -> None:
    for number in range(1, 9):
        association = node.associate()
        for pdu in association.store_pdus(MG, f"{STUDY}.{number}", image(number)):
            association.connection.sendall(pdu)
        association.drop()

    def is_whole() -> bool:
        recorded = {f"{STUDY}.{n}" for n in range(1, 9) if node.ledger.path_of(f"{STUDY}.{n}")}
        return node.is_clean() and set(node.stored) == recorded

    wait_until(is_whole, what="no file and no thing in memory is left, and every stored file has its row")


def test_many_instances_sent_without_waiting_and_then_gone_leave_nothing_behind(node: Node) -> None:
    association = node.associate()
    for number in range(1, 21):
        for pdu in association.store_pdus(MG, f"{STUDY}.{number}", image(number)):
            association.connection.sendall(pdu)
    association.abort()
    wait_until(node.is_clean, what="no file and no thing in memory is left")


def test_a_message_for_a_context_that_was_not_accepted_leaves_nothing_behind(node: Node) -> None:
    association = node.associate()
    association.context_id = 99
    with pytest.raises(ConnectionError):
        association.store(MG, f"{STUDY}.1", image())
    association.connection.close()
    wait_until(lambda: node.store_image(2) == 0x0000 and node.is_clean(), what="its file is removed with the next one")


def test_a_spool_that_cannot_be_written_ends_one_association_and_no_more(node: Node) -> None:
    incoming = node.settings.spool_dir / "incoming"
    incoming.rename(incoming.with_name("gone"))
    association = node.associate()
    with pytest.raises(ConnectionError):
        association.store(MG, f"{STUDY}.1", image())
    incoming.with_name("gone").rename(incoming)
    assert node.store_image(2) == 0x0000


@pytest.mark.parametrize(
    "attack",
    [
        pytest.param(hostile.send_garbage, id="garbage"),
        pytest.param(hostile.announce_oversize_pdu, id="4 GB of A-ASSOCIATE-RQ"),
        pytest.param(lambda port: hostile.announce_oversize_pdu(port, called=NODE), id="4 GB of P-DATA"),
        pytest.param(lambda port: hostile.lie_about_pdv_length(port, called=NODE), id="a PDV longer than its PDU"),
        pytest.param(lambda port: hostile.endless_command(port, called=NODE), id="a command without end"),
    ],
)
def test_what_breaks_the_rules_is_cut_off_and_others_go_on(node: Node, attack: Any) -> None:
    good = node.associate()
    assert attack(node.port)
    assert good.store(MG, f"{STUDY}.1", image()) == 0x0000
    good.release()
    assert node.is_clean()


def test_silent_and_stalled_connections_hold_nobody_up(node: Node) -> None:
    stalled = node.associate()
    first, *_ = stalled.store_pdus(MG, f"{STUDY}.9", image(9))
    stalled.connection.sendall(first[: len(first) // 2])
    with hostile.silent_connections(node.port, 20):
        assert node.store_image() == 0x0000
    stalled.drop()
    wait_until(node.is_clean, what="the stalled one is removed")


def test_sixty_four_at_once_and_the_sixty_fifth_is_told(tmp_path: Path, ledger: Ledger) -> None:
    with ExitStack() as stack:
        # The first one is silent while the others come: on a busy machine for longer than the 5 s of `node`.
        node = stack.enter_context(listening(tmp_path, ledger, node={"network_timeout_s": 120}))
        associations = []
        for _ in range(64):
            association = node.associate(timeout_s=120)
            stack.callback(association.connection.close)
            associations.append(association)
        with pytest.raises(hostile.Rejected) as rejected:
            node.associate(timeout_s=120)
        assert (rejected.value.result, rejected.value.source, rejected.value.reason) == (2, 3, 2)
        statuses: list[int] = []

        def store(number: int) -> None:
            statuses.append(associations[number].store(MG, f"{STUDY}.{number + 1}", image(number + 1)))

        threads = [threading.Thread(target=store, args=(number,)) for number in range(64)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(timeout=120)
        assert statuses == [0x0000] * 64
        for association in associations:
            association.release()
        assert len(node.stored) == 64
        wait_until(lambda: can_associate(node), what="there is room again")


def test_connections_that_are_gone_make_room_at_once(tmp_path: Path, ledger: Ledger) -> None:
    """A monitor that only looks whether the port is open must not use the associations up."""
    with listening(tmp_path, ledger, node={"max_associations": 4}) as node:
        for _ in range(20):
            hostile.connect(node.port).close()
        wait_until(lambda: can_associate(node), what="there is room")


def can_associate(node: Node) -> bool:
    try:
        node.associate().release()
    except ConnectionError:
        return False
    return True


def test_stopping_lets_a_transfer_end_and_closes_the_port(tmp_path: Path, ledger: Ledger) -> None:
    node = Node(tmp_path, ledger)
    stop, status = threading.Event(), []
    started = threading.Event()

    def run() -> None:
        with node.receiver.listening():
            started.set()
            stop.wait(60)

    thread = threading.Thread(target=run)
    thread.start()
    assert started.wait(60)
    assert is_listening("127.0.0.1", node.port)
    association = node.associate()
    stop.set()
    status.append(association.store(MG, f"{STUDY}.1", image()))
    association.release()
    thread.join(timeout=60)
    assert not thread.is_alive()
    assert status == [0x0000]
    assert not is_listening("127.0.0.1", node.port)


# -- mutual TLS --------------------------------------------------------------------------------------------------------


@pytest.fixture
def tls_node(tmp_path: Path, ledger: Ledger, tls_files: Path) -> Iterator[Node]:
    section = {"enabled": True, "ca": tls_files / "ca.crt"}
    section |= {"certificate": tls_files / "node.crt", "private_key": tls_files / "node.key"}
    with listening(tmp_path, ledger, tls=section) as running:
        yield running


def client(tls_files: Path, certificate: str | None) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=tls_files / "ca.crt")
    context.check_hostname = False
    if certificate is not None:
        context.load_cert_chain(tls_files / f"{certificate}.crt", tls_files / f"{certificate}.key")
    return context


def echoes(node: Node, context: ssl.SSLContext | None) -> bool:
    ae = AE(ae_title="UNIT1")
    ae.acse_timeout = ae.dimse_timeout = ae.network_timeout = ae.connection_timeout = 10
    ae.add_requested_context(Verification)
    tls = (context, "node") if context is not None else None
    association = ae.associate("127.0.0.1", node.port, ae_title=NODE, tls_args=tls)
    if not association.is_established:
        return False
    status = association.send_c_echo()
    association.release()
    return bool(status.Status == 0x0000)


def test_over_tls_only_with_a_certificate_of_the_authority(tls_node: Node, tls_files: Path) -> None:
    assert echoes(tls_node, client(tls_files, "node"))
    assert not echoes(tls_node, client(tls_files, "stranger"))
    assert not echoes(tls_node, client(tls_files, None))
    assert not echoes(tls_node, None), "nor in plain text"
    assert echoes(tls_node, client(tls_files, "node"))


def test_a_tls_client_that_says_nothing_holds_nobody_up(tls_node: Node, tls_files: Path) -> None:
    with hostile.silent_connections(tls_node.port, 5):
        assert echoes(tls_node, client(tls_files, "node"))


def test_old_tls_is_not_spoken(tls_node: Node, tls_files: Path) -> None:
    context = client(tls_files, "node")
    context.minimum_version = ssl.TLSVersion.MINIMUM_SUPPORTED
    context.maximum_version = ssl.TLSVersion.TLSv1_1
    with socket.create_connection(("127.0.0.1", tls_node.port)) as plain, pytest.raises(OSError, match=r"(?i)ssl|tls"):
        context.wrap_socket(plain)
