"""Hostile senders do what their names say, to an ordinary receiver that survives it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.factories import small_mammogram
from tests.peers.fake_pacs import REJECTED_CALLED_AE_TITLE, FakePacs
from tests.peers.hostile import (
    Rejected,
    abort_mid_store,
    announce_oversize_pdu,
    associate,
    call_wrong_ae,
    drop_mid_store,
    is_closed_by_peer,
    lie_about_pdv_length,
    send_garbage,
    silent_connections,
    split_file,
    stalled_store,
)
from tests.peers.servers import wait_until


@pytest.fixture
def image(tmp_path: Path) -> Path:
    """130 kB: several PDUs."""
    small_mammogram(tmp_path / "image.dcm", laterality="L", view="CC", rows=256, columns=256)
    return tmp_path / "image.dcm"


@pytest.fixture
def pacs(image: Path) -> Iterator[FakePacs]:
    """A plain pynetdicom receiver, which still takes an instance after whatever the test did."""
    with FakePacs(require_called_ae_title=True) as running:
        yield running
        kept = len(running.calls)
        sop_class_uid, sop_instance_uid, syntax, dataset = split_file(image)
        sender = associate(
            running.port, called="PACS", sop_class_uid=sop_class_uid, transfer_syntax_uid=syntax, timeout_s=20
        )
        assert sender.is_context_accepted
        assert sender.store(sop_class_uid, sop_instance_uid, dataset) == 0x0000
        sender.release()
        assert len(running.calls) == kept + 1
        assert running.dataset(sop_instance_uid).pixel_array.shape == (256, 256)


def test_garbage_ends_the_connection(pacs: FakePacs) -> None:
    assert send_garbage(pacs.port)
    assert pacs.associations == 0


def test_silence_is_borne_for_a_while(pacs: FakePacs) -> None:
    with silent_connections(pacs.port, 5) as connections:
        assert len(connections) == 5
        assert not is_closed_by_peer(connections[0], within_s=0.2)


@pytest.mark.parametrize("end", [abort_mid_store, drop_mid_store])
@pytest.mark.parametrize("after_bytes", [1, 50_000])
def test_a_store_that_breaks_off_never_becomes_an_instance(
    pacs: FakePacs, image: Path, end: Callable[..., None], after_bytes: int
) -> None:
    end(image, pacs.port, called="PACS", after_bytes=after_bytes)
    wait_until(lambda: pacs.associations == 1, what="the association")
    assert pacs.calls == []


def test_a_stalled_store_stays_open(pacs: FakePacs, image: Path) -> None:
    with stalled_store(image, pacs.port, called="PACS", after_bytes=20_000) as association:
        assert not is_closed_by_peer(association.connection, within_s=0.2)
    assert pacs.calls == []


@pytest.mark.parametrize("called", [None, "PACS"])
def test_an_oversize_pdu_is_announced_before_or_within_an_association(pacs: FakePacs, called: str | None) -> None:
    # pynetdicom believes the length, and waits for the bytes; 100 MB do no harm here.
    assert not announce_oversize_pdu(pacs.port, called=called, length=100_000_000, wait_s=0.2)


def test_a_value_longer_than_its_pdu_is_sent(pacs: FakePacs) -> None:
    lie_about_pdv_length(pacs.port, called="PACS", wait_s=1)
    assert pacs.calls == []


def test_a_wrong_called_ae_title_is_rejected(pacs: FakePacs) -> None:
    assert call_wrong_ae(pacs.port) == REJECTED_CALLED_AE_TITLE
    assert call_wrong_ae(pacs.port, called="PACS") is None
    with pytest.raises(Rejected, match="reason 7"):
        associate(pacs.port, called="NOBODY")


def test_any_bytes_can_be_stored_under_any_uid(pacs: FakePacs) -> None:
    association = associate(pacs.port, called="PACS")
    assert association.store("1.2.840.10008.5.1.4.1.1.1.2", "1.2.3", b"no data set") == 0x0000
    association.release()
    assert pacs.received["1.2.3"].endswith(b"no data set")
