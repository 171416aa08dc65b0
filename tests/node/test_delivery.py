"""Couriers against a PACS that answers what the test wants: sent, sent later, refused, given up; byte for byte."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from pydicom import dcmread
from pydicom.encaps import encapsulate
from pydicom.pixels import pixel_array
from pydicom.uid import (
    ComprehensiveSRStorage,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEGBaseline8Bit,
    MammographyCADSRStorage,
)
from pynetdicom import AE, AllStoragePresentationContexts, evt
from structlog.testing import capture_logs

from node.backoff import backoff_s
from node.delivery import Courier
from node.ledger import Ledger
from node.outbox import Outbox
from node.scu import UNCOMPRESSED_FOR_PEER, UNDECODABLE
from node.settings import TLSSettings
from node.statuses import classify
from node.tls import server_context
from sr_templates.contract import ResultKind, ResultObject, plain_variants
from tests.node.builders import NOW, STUDY, Clock, claimed, kinds, received, result, settings_in
from tests.peers.fake_pacs import FakePacs, StoreAnswer

ALL: tuple[ResultKind, ...] = ("cad_sr", "heatmap", "measurement_sr")
DAY_S = 86400.0


@pytest.fixture
def ledger(sqlite_ledger: Ledger) -> Ledger:
    return sqlite_ledger


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def pacs() -> Iterator[FakePacs]:
    with FakePacs() as running:
        yield running


def publish(ledger: Ledger, outbox: Outbox, *results: ResultObject, study: str = STUDY) -> list[ResultObject]:
    made = list(results) or [result(study=study)]
    held = claimed(ledger, received(1, study))
    assert outbox.publish(held, made, {"pacs": plain_variants(*ALL)}, NOW, outcome="analysed", reason=None)
    return made


def courier_to(port: int, outbox: Outbox, clock: Clock, folder: Path) -> Courier:
    destination = {"name": "pacs", "ae_title": "PACS", "host": "127.0.0.1", "port": port}
    delivery = {"backoff_first_s": 5, "backoff_max_s": 900, "give_up_h": 168, "timeout_s": 5}
    settings = settings_in(folder, destination=[destination], delivery=delivery)
    return Courier(settings.destination[0], settings, outbox, clock=clock)


@pytest.fixture
def courier(pacs: FakePacs, outbox: Outbox, clock: Clock, tmp_path: Path) -> Courier:
    return courier_to(pacs.port, outbox, clock, tmp_path)


def states(outbox: Outbox) -> list[tuple[str, int, int | None, str | None]]:
    return [(row["state"], row["attempts"], row["status"], row["comment"]) for row in outbox.deliveries(STUDY)]


def data_set(content: bytes) -> bytes:
    """What follows the file meta, which each side writes for itself."""
    file = BytesIO(content)
    file.seek(132 + 8)
    length = int.from_bytes(file.read(4), "little")
    file.seek(132 + 12 + length)
    return file.read()


# -- backoff -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("attempts", "wait_s"), [(0, 5), (1, 10), (2, 20), (7, 640), (8, 900), (9, 900), (10_000, 900)]
)
def test_the_wait_doubles_up_to_its_most(attempts: int, wait_s: float) -> None:
    assert backoff_s(attempts, 5, 900) == wait_s


# -- what becomes of a result ------------------------------------------------------------------------------------------


def test_what_arrives_is_what_was_encoded_byte_for_byte(
    courier: Courier, pacs: FakePacs, ledger: Ledger, outbox: Outbox
) -> None:
    made = publish(ledger, outbox, *(result(kind) for kind in ALL))
    assert courier.step() == 3
    got = pacs.received
    assert {uid: data_set(content) for uid, content in got.items()} == {
        item.sop_instance_uid: data_set(item.content) for item in made
    }
    assert states(outbox) == [("sent", 0, 0, None)] * 3
    assert kinds(ledger)[-3:] == ["sent"] * 3
    assert courier.step() == 0
    assert pacs.associations == 1, "one association for all that is due"
    assert pacs.calls[0].calling_ae_title == "MAMMONODE"


@pytest.mark.parametrize("status", [0xA700, 0x0110, 0x0124, 0x0210, 0xFE00, 0x9999])
def test_what_may_pass_is_sent_again_and_arrives(
    pacs: FakePacs, ledger: Ledger, outbox: Outbox, tmp_path: Path, status: int
) -> None:
    clock = Clock()
    courier = courier_to(pacs.port, outbox, clock, tmp_path)
    publish(ledger, outbox)
    pacs.answer_next(StoreAnswer(status=status, comment="try later"))
    courier.step()
    assert states(outbox) == [("pending", 1, status, "try later")]
    clock.advance(4.9)
    assert courier.step() == 0
    clock.advance(0.1)
    courier.step()
    assert states(outbox) == [("sent", 1, 0, None)]
    assert len(pacs.received) == 1


def test_what_is_refused_is_kept_with_the_words_of_the_pacs(
    courier: Courier, pacs: FakePacs, ledger: Ledger, outbox: Outbox, clock: Clock
) -> None:
    publish(ledger, outbox)
    pacs.answer_next(StoreAnswer(status=0xC123, comment="unknown patient"))
    courier.step()
    assert states(outbox) == [("refused", 0, 0xC123, "unknown patient")]
    clock.advance(DAY_S)
    assert courier.step() == 0
    assert outbox.send_again(STUDY, clock()) == 1
    courier.step()
    assert states(outbox)[0][0] == "sent"


@pytest.mark.parametrize("status", [0xB000, 0xB007, 0x0107, 0x0111])
def test_a_warning_and_a_known_instance_count_as_sent(
    courier: Courier, pacs: FakePacs, ledger: Ledger, outbox: Outbox, status: int
) -> None:
    publish(ledger, outbox)
    pacs.answer_next(StoreAnswer(status=status))
    courier.step()
    ((state, _, kept, comment),) = states(outbox)
    assert (state, kept) == ("sent", status)
    assert comment, "what the status means, when the peer says nothing"


def test_one_refused_result_does_not_hold_up_the_others(
    courier: Courier, pacs: FakePacs, ledger: Ledger, outbox: Outbox
) -> None:
    publish(ledger, outbox, *(result(kind) for kind in ALL))
    pacs.answers_by_class[MammographyCADSRStorage] = StoreAnswer(status=0xA900)
    courier.step()
    assert [state for state, *_ in states(outbox)] == ["refused", "sent", "sent"]


def test_a_pacs_may_say_anything_in_its_comment(
    courier: Courier, pacs: FakePacs, ledger: Ledger, outbox: Outbox
) -> None:
    publish(ledger, outbox)
    pacs.answer_next(StoreAnswer(status=0xC000, comment="a\x00b\x1b[31m\nc" + "x" * 100))
    courier.step()
    ((state, _, _, comment),) = states(outbox)
    assert state == "refused"
    assert comment is not None
    assert comment.isprintable(), "PostgreSQL takes no NUL, and a terminal would do as it is told"


@pytest.mark.parametrize("status", [0xA700, 0xC123, 0xB000, 0x0000], ids=["later", "refused", "warning", "stored"])
def test_the_words_of_the_pacs_may_name_a_patient_and_are_in_its_delivery_alone(
    courier: Courier, pacs: FakePacs, ledger: Ledger, outbox: Outbox, status: int
) -> None:
    words = "unknown patient Mustermann^Erika"
    publish(ledger, outbox)
    pacs.answer_next(StoreAnswer(status=status, comment=words))
    with capture_logs() as logged:
        courier.step()
    assert [row["comment"] for row in outbox.deliveries(STUDY)] == [words]
    (line,) = [entry for entry in logged if entry["event"].startswith("delivery_")]
    assert line["status"] == status
    assert "Mustermann" not in str(logged)
    assert "Mustermann" not in str(ledger.history(STUDY))
    if status:
        assert line["comment"] == classify(status).meaning == ledger.history(STUDY)[-1].detail["comment"]


# -- presentation contexts ---------------------------------------------------------------------------------------------


def test_a_peer_that_takes_only_implicit_vr_gets_the_same_data_set_in_it(
    ledger: Ledger, outbox: Outbox, clock: Clock, tmp_path: Path
) -> None:
    (made,) = publish(ledger, outbox)
    with FakePacs(transfer_syntaxes=[ImplicitVRLittleEndian]) as old:
        courier_to(old.port, outbox, clock, tmp_path).step()
        (content,) = old.received.values()
    assert states(outbox) == [("sent", 0, 0, None)]
    got = dcmread(BytesIO(content))
    assert got.file_meta.TransferSyntaxUID == ImplicitVRLittleEndian
    assert got == dcmread(BytesIO(made.content))


def jpeg_capture() -> ResultObject:
    """A small colour capture in JPEG Baseline, as `capture_compression = "jpeg_baseline"` makes them."""
    picture = np.zeros((32, 48, 3), np.uint8)
    picture[8:24, 8:40] = (200, 30, 90)
    stream = BytesIO()
    Image.fromarray(picture).save(stream, "JPEG", quality=92, subsampling="4:2:2")
    plain = result("heatmap")
    dataset = dcmread(BytesIO(plain.content))
    dataset.file_meta.TransferSyntaxUID = JPEGBaseline8Bit
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation, dataset.PlanarConfiguration = 3, "YBR_FULL_422", 0
    dataset.Rows, dataset.Columns = picture.shape[:2]
    dataset.BitsAllocated = dataset.BitsStored = 8
    dataset.HighBit, dataset.PixelRepresentation = 7, 0
    dataset.LossyImageCompression = "01"
    dataset.PixelData = encapsulate([stream.getvalue()])
    dataset["PixelData"].VR = "OB"
    file = BytesIO()
    dataset.save_as(file, enforce_file_format=True)
    return replace(plain, content=file.getvalue(), transfer_syntax_uid=JPEGBaseline8Bit)


@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, ImplicitVRLittleEndian])
def test_a_peer_that_takes_no_jpeg_gets_the_same_picture_uncompressed_under_the_same_uid(
    ledger: Ledger, outbox: Outbox, clock: Clock, tmp_path: Path, syntax: str
) -> None:
    (made,) = publish(ledger, outbox, jpeg_capture())
    with FakePacs(transfer_syntaxes=[syntax]) as simple:
        courier_to(simple.port, outbox, clock, tmp_path).step()
        got = simple.dataset(made.sop_instance_uid)
    assert states(outbox) == [("sent", 0, 0, UNCOMPRESSED_FOR_PEER)]
    assert got.file_meta.TransferSyntaxUID == syntax
    assert (got.PhotometricInterpretation, got.LossyImageCompression) == ("RGB", "01")
    shown = pixel_array(BytesIO(made.content))  # as every receiver of the JPEG would see it
    assert (got.pixel_array == shown).all()
    assert shown[16, 24].tolist() != shown[0, 0].tolist()


def test_a_peer_that_takes_jpeg_gets_its_bytes(ledger: Ledger, outbox: Outbox, clock: Clock, tmp_path: Path) -> None:
    (made,) = publish(ledger, outbox, jpeg_capture())
    with FakePacs(transfer_syntaxes=[ExplicitVRLittleEndian, JPEGBaseline8Bit]) as modern:
        courier_to(modern.port, outbox, clock, tmp_path).step()
        assert data_set(modern.received[made.sop_instance_uid]) == data_set(made.content)
    assert states(outbox) == [("sent", 0, 0, None)]


def test_a_jpeg_that_cannot_be_decompressed_is_set_aside_and_the_others_go(
    ledger: Ledger, outbox: Outbox, clock: Clock, tmp_path: Path
) -> None:
    whole = jpeg_capture()
    start = whole.content.index(b"\xff\xd8")
    broken = replace(whole, content=whole.content[:start] + bytes(len(whole.content) - start))
    publish(ledger, outbox, result("cad_sr"), broken)
    with FakePacs(transfer_syntaxes=[ExplicitVRLittleEndian]) as simple:
        courier_to(simple.port, outbox, clock, tmp_path).step()
    assert [(state, comment) for state, _, _, comment in states(outbox)] == [("sent", None), ("refused", UNDECODABLE)]


def test_a_peer_that_takes_both_gets_the_bytes_as_they_are(
    ledger: Ledger, outbox: Outbox, clock: Clock, tmp_path: Path
) -> None:
    publish(ledger, outbox)
    with FakePacs(transfer_syntaxes=[ImplicitVRLittleEndian, ExplicitVRLittleEndian]) as both:
        courier_to(both.port, outbox, clock, tmp_path).step()
        assert [call.transfer_syntax_uid for call in both.calls] == [ExplicitVRLittleEndian]


def test_a_peer_that_does_not_take_one_kind_gets_the_others(
    ledger: Ledger, outbox: Outbox, clock: Clock, tmp_path: Path
) -> None:
    publish(ledger, outbox, *(result(kind) for kind in ALL))
    with FakePacs(sop_classes=[ComprehensiveSRStorage]) as picky:
        courier_to(picky.port, outbox, clock, tmp_path).step()
    assert [state for state, *_ in states(outbox)] == ["refused", "refused", "sent"]
    assert "no presentation context" in str(states(outbox)[0][3])


# -- a destination that is away ----------------------------------------------------------------------------------------


def test_nobody_listens_and_everything_waits_for_one_common_time(
    ledger: Ledger, outbox: Outbox, clock: Clock, tmp_path: Path
) -> None:
    publish(ledger, outbox, *(result(kind) for kind in ALL))
    pacs = FakePacs()
    courier = courier_to(pacs.port, outbox, clock, tmp_path)
    assert courier.step() == 3
    assert {row["next_attempt_at"] for row in outbox.deliveries(STUDY)} == {NOW + 5}
    assert "no connection" in str(states(outbox)[0][3])
    clock.advance(5)
    courier.step()
    assert outbox.next_due_at("pacs") == NOW + 15, "then twice as long"
    clock.advance(10)
    with pacs:
        assert courier.step() == 3
    assert [state for state, *_ in states(outbox)] == ["sent"] * 3


def test_while_it_is_away_new_results_do_not_knock_again(
    ledger: Ledger, outbox: Outbox, clock: Clock, tmp_path: Path
) -> None:
    publish(ledger, outbox)
    pacs = FakePacs()
    courier = courier_to(pacs.port, outbox, clock, tmp_path)
    courier.step()
    with pacs:
        publish(ledger, outbox, result(study="1.2.3"), study="1.2.3")
        assert courier.step() == 0
        clock.advance(5)
        assert courier.step() == 2
    assert pacs.associations == 1


def test_a_rejected_association_is_postponed_with_its_reason(
    ledger: Ledger, outbox: Outbox, clock: Clock, tmp_path: Path
) -> None:
    publish(ledger, outbox)
    with FakePacs(ae_title="OTHER", require_called_ae_title=True) as strict:
        courier = courier_to(strict.port, outbox, clock, tmp_path)
        courier.step()
    ((state, attempts, status, comment),) = states(outbox)
    assert (state, attempts, status) == ("pending", 1, None)
    assert comment == "association rejected: Called AE title not recognised"
    clock.advance(5)
    with FakePacs(port=strict.port):
        courier.step()
    assert states(outbox)[0][0] == "sent"


def test_a_listener_that_says_nothing_is_left_after_the_timeout(
    ledger: Ledger, outbox: Outbox, clock: Clock, tmp_path: Path
) -> None:
    publish(ledger, outbox)
    with socket.create_server(("127.0.0.1", 0)) as mute:
        destination = {"name": "pacs", "ae_title": "PACS", "host": "127.0.0.1", "port": mute.getsockname()[1]}
        settings = settings_in(tmp_path, destination=[destination], delivery={"timeout_s": 0.3})
        assert Courier(settings.destination[0], settings, outbox, clock=clock).step() == 1
    assert states(outbox)[0][:2] == ("pending", 1)


@pytest.mark.parametrize("host", ["no-such-host.invalid", "a..b"])
def test_a_name_that_does_not_resolve_is_a_destination_that_is_away(
    ledger: Ledger, outbox: Outbox, clock: Clock, tmp_path: Path, host: str
) -> None:
    publish(ledger, outbox)
    destination = {"name": "pacs", "ae_title": "PACS", "host": host, "port": 104}
    settings = settings_in(tmp_path, destination=[destination])
    assert Courier(settings.destination[0], settings, outbox, clock=clock).step() == 1
    ((state, attempts, _, comment),) = states(outbox)
    assert (state, attempts, comment) == ("pending", 1, f"the name {host} cannot be resolved")


@pytest.mark.parametrize("then", ["abort", "drop"])
def test_cut_off_in_the_middle_the_rest_goes_later(
    pacs: FakePacs, ledger: Ledger, outbox: Outbox, tmp_path: Path, then: Any
) -> None:
    clock = Clock()
    courier = courier_to(pacs.port, outbox, clock, tmp_path)
    publish(ledger, outbox, *(result(kind) for kind in ALL))
    pacs.answer_next(StoreAnswer(), StoreAnswer(then=then))
    courier.step()
    assert [state for state, *_ in states(outbox)] == ["sent", "pending", "pending"]
    for _ in range(3):
        clock.advance(5)
        courier.step()
    assert [state for state, *_ in states(outbox)] == ["sent"] * 3
    assert pacs.store_counts.total() == 3, "not one came twice"


def test_stored_but_the_answer_got_lost_the_second_time_it_is_known(
    courier: Courier, pacs: FakePacs, ledger: Ledger, outbox: Outbox, clock: Clock
) -> None:
    publish(ledger, outbox)
    pacs.answer_next(StoreAnswer(then="drop", keep=True), StoreAnswer(status=0x0111))
    courier.step()
    clock.advance(5)
    courier.step()
    assert states(outbox)[0][0] == "sent"
    assert pacs.store_counts.total() == 1


# -- giving up ---------------------------------------------------------------------------------------------------------


def test_after_a_week_a_person_is_needed_and_not_before(
    ledger: Ledger, outbox: Outbox, clock: Clock, tmp_path: Path
) -> None:
    publish(ledger, outbox)
    pacs = FakePacs()
    courier = courier_to(pacs.port, outbox, clock, tmp_path)
    courier.step()
    clock.now = NOW + 7 * DAY_S
    courier.step()
    assert states(outbox)[0][0] == "pending"
    clock.advance(1000)
    courier.step()
    assert (states(outbox)[0][0], states(outbox)[0][3]) == ("expired", "given up")
    assert kinds(ledger)[-1] == "expired"
    with pacs:
        assert outbox.send_again(STUDY, clock()) == 1
        courier.step()
    assert states(outbox)[0][0] == "sent"


def test_what_was_never_tried_is_not_given_up_however_long_the_node_was_off(
    courier: Courier, ledger: Ledger, outbox: Outbox, clock: Clock
) -> None:
    publish(ledger, outbox)
    clock.advance(100 * DAY_S)
    courier.step()
    assert states(outbox)[0][0] == "sent"


def test_a_result_whose_file_is_gone_is_told_and_the_others_go(
    courier: Courier, ledger: Ledger, outbox: Outbox
) -> None:
    publish(ledger, outbox, *(result(kind) for kind in ALL))
    Path(outbox.due("pacs", NOW)[0].path).unlink()
    courier.step()
    assert [(state, comment) for state, _, _, comment in states(outbox)] == [
        ("expired", "its file is gone"),
        ("sent", None),
        ("sent", None),
    ]


# -- TLS, and the loop -------------------------------------------------------------------------------------------------


@pytest.fixture
def tls_pacs(tls_files: Path) -> Iterator[tuple[int, list[str]]]:
    """A PACS that asks for a certificate of the authority."""
    got: list[str] = []

    def store(event: evt.Event) -> int:
        got.append(str(event.request.AffectedSOPInstanceUID))  # type: ignore[union-attr] # a C-STORE
        return 0x0000

    ae = AE(ae_title="PACS")
    ae.supported_contexts = AllStoragePresentationContexts
    context = server_context(tls_section(tls_files))
    server = ae.start_server(
        ("127.0.0.1", 0), block=False, ssl_context=context, evt_handlers=[(evt.EVT_C_STORE, store)]
    )
    assert server is not None
    yield server.server_address[1], got
    server.shutdown()


def tls_section(folder: Path, name: str = "node") -> TLSSettings:
    return TLSSettings(
        enabled=True, certificate=folder / f"{name}.crt", private_key=folder / f"{name}.key", ca=folder / "ca.crt"
    )


@pytest.mark.parametrize("certificate", ["node", "stranger"])
def test_over_tls_the_pacs_asks_who_it_is(
    tls_pacs: tuple[int, list[str]], tls_files: Path, ledger: Ledger, outbox: Outbox, certificate: str
) -> None:
    is_believed = certificate == "node"
    port, got = tls_pacs
    publish(ledger, outbox)
    destination = {"name": "pacs", "ae_title": "PACS", "host": "127.0.0.1", "port": port, "tls": True}
    section = tls_section(tls_files, certificate).model_dump()
    settings = settings_in(tls_files, destination=[destination], tls=section, delivery={"timeout_s": 5})
    Courier(settings.destination[0], settings, outbox, clock=Clock()).step()
    assert len(got) == int(is_believed)
    assert states(outbox)[0][:2] == (("sent", 0) if is_believed else ("pending", 1))


def test_the_loop_sends_what_comes_and_stops_when_told(
    courier: Courier, pacs: FakePacs, ledger: Ledger, outbox: Outbox
) -> None:
    stop = threading.Event()
    thread = threading.Thread(target=courier.run, args=(stop, 0.01))
    thread.start()
    publish(ledger, outbox)
    pacs.wait_for(1)
    stop.set()
    thread.join(timeout=30)
    assert not thread.is_alive()
