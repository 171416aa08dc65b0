"""The PACS in process answers as it is told."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path

import pytest
from pydicom import Dataset, dcmread
from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian
from pynetdicom import AE, _config, build_context
from pynetdicom.association import Association

from tests.factories import small_dose_sr, small_mammogram
from tests.peers.fake_pacs import REJECTED_LOCAL_LIMIT_EXCEEDED, FakePacs, StoreAnswer
from tests.peers.servers import LOOPBACK, is_listening

MAMMOGRAM = small_mammogram(laterality="L", view="CC")
DOSE_REPORT = small_dose_sr()


@contextmanager
def sending(pacs: FakePacs, *instances: Dataset, called: str = "PACS") -> Iterator[Association]:
    ae = AE(ae_title="SENDER")
    ae.acse_timeout = ae.dimse_timeout = ae.network_timeout = 10
    contexts = [build_context(item.SOPClassUID, item.file_meta.TransferSyntaxUID) for item in instances]
    association = ae.associate(LOOPBACK, pacs.port, contexts, ae_title=called)
    try:
        yield association
    finally:
        if association.is_established:
            association.release()


def statuses(pacs: FakePacs, *instances: Dataset) -> list[Dataset]:
    with sending(pacs, *instances) as association:
        return [association.send_c_store(item) for item in instances]


def test_an_instance_is_kept_as_a_file_with_its_pixels(fake_pacs: FakePacs) -> None:
    (answer,) = statuses(fake_pacs, MAMMOGRAM)
    assert answer.Status == 0x0000
    assert fake_pacs.store_counts == {MAMMOGRAM.SOPInstanceUID: 1}
    kept = fake_pacs.dataset(MAMMOGRAM.SOPInstanceUID)
    assert kept.file_meta.TransferSyntaxUID == ExplicitVRLittleEndian
    assert (kept.pixel_array == MAMMOGRAM.pixel_array).all()
    statuses(fake_pacs, MAMMOGRAM)
    assert fake_pacs.store_counts == {MAMMOGRAM.SOPInstanceUID: 2}
    assert len(set(fake_pacs.copies(MAMMOGRAM.SOPInstanceUID))) == 1


def test_statuses_go_by_call_then_by_class_then_by_default(fake_pacs: FakePacs) -> None:
    fake_pacs.answer = StoreAnswer(status=0xB000)
    fake_pacs.answers_by_class[DOSE_REPORT.SOPClassUID] = StoreAnswer(status=0x0122, comment="no SR here")
    fake_pacs.answer_next(StoreAnswer(status=0xA700), StoreAnswer(status=0x0110))
    answers = statuses(fake_pacs, MAMMOGRAM, DOSE_REPORT, MAMMOGRAM, DOSE_REPORT)
    assert [answer.Status for answer in answers] == [0xA700, 0x0110, 0xB000, 0x0122]
    assert answers[3].ErrorComment == "no SR here"
    assert fake_pacs.store_counts == {MAMMOGRAM.SOPInstanceUID: 1}
    assert [call.answer.status for call in fake_pacs.calls] == [0xA700, 0x0110, 0xB000, 0x0122]
    assert {call.calling_ae_title for call in fake_pacs.calls} == {"SENDER"}


@pytest.mark.parametrize("then", ["abort", "drop"])
@pytest.mark.parametrize("keep", [True, None])
def test_an_association_can_end_in_place_of_an_answer(fake_pacs: FakePacs, then: str, keep: bool | None) -> None:
    fake_pacs.answer_next(StoreAnswer(then=then, keep=keep))  # type: ignore[arg-type] # one of its literals
    with sending(fake_pacs, MAMMOGRAM) as association:
        assert "Status" not in association.send_c_store(MAMMOGRAM)
    assert len(fake_pacs.calls) == 1
    assert fake_pacs.store_counts == ({MAMMOGRAM.SOPInstanceUID: 1} if keep else {})
    assert statuses(fake_pacs, MAMMOGRAM)[0].Status == 0x0000, "the PACS goes on"


def test_an_association_can_end_in_the_middle_of_a_data_set(fake_pacs: FakePacs) -> None:
    large = small_mammogram(laterality="L", view="CC", rows=512, columns=512)
    fake_pacs.abort_after_pdus = 3
    with sending(fake_pacs, large) as association:
        assert "Status" not in association.send_c_store(large)
    assert fake_pacs.calls == []
    fake_pacs.abort_after_pdus = None
    assert statuses(fake_pacs, large)[0].Status == 0x0000


def test_a_delay_holds_the_answer_back(fake_pacs: FakePacs) -> None:
    fake_pacs.answer_next(StoreAnswer(delay_s=0.3))
    started = time.monotonic()
    statuses(fake_pacs, MAMMOGRAM)
    assert time.monotonic() - started >= 0.3


def test_associations_can_be_rejected(fake_pacs: FakePacs) -> None:
    fake_pacs.rejection = REJECTED_LOCAL_LIMIT_EXCEEDED
    with sending(fake_pacs, MAMMOGRAM) as association:
        assert association.is_rejected
    fake_pacs.rejection = None
    assert statuses(fake_pacs, MAMMOGRAM)[0].Status == 0x0000
    assert fake_pacs.associations == 2


def test_only_the_called_ae_title_is_served_when_required() -> None:
    with FakePacs(require_called_ae_title=True) as pacs:
        with sending(pacs, MAMMOGRAM, called="OTHER") as association:
            assert association.is_rejected
        assert statuses(pacs, MAMMOGRAM)[0].Status == 0x0000


def test_contexts_are_refused_by_class_and_by_syntax() -> None:
    implicit = small_mammogram(laterality="L", view="CC", transfer_syntax_uid=ImplicitVRLittleEndian)
    with FakePacs(sop_classes=[MAMMOGRAM.SOPClassUID], transfer_syntaxes=[ImplicitVRLittleEndian]) as pacs:
        with sending(pacs, implicit, MAMMOGRAM, DOSE_REPORT) as association:
            accepted = [(item.abstract_syntax, item.transfer_syntax) for item in association.accepted_contexts]
            assert accepted == [(implicit.SOPClassUID, [ImplicitVRLittleEndian])]
            assert association.send_c_store(implicit).Status == 0x0000
        assert pacs.calls[0].transfer_syntax_uid == ImplicitVRLittleEndian


def test_a_stopped_pacs_refuses_and_comes_back_on_its_port(fake_pacs: FakePacs) -> None:
    statuses(fake_pacs, MAMMOGRAM)
    fake_pacs.stop()
    assert not is_listening(fake_pacs.port)
    fake_pacs.start()
    statuses(fake_pacs, DOSE_REPORT)
    assert fake_pacs.wait_for(2).keys() == {MAMMOGRAM.SOPInstanceUID, DOSE_REPORT.SOPInstanceUID}
    fake_pacs.restart()
    assert is_listening(fake_pacs.port)


def test_a_stop_ends_associations_that_wait_for_an_answer(fake_pacs: FakePacs) -> None:
    fake_pacs.answer = StoreAnswer(delay_s=60)
    started = time.monotonic()
    with sending(fake_pacs, MAMMOGRAM) as association:
        assert association.is_established
        fake_pacs.stop()
    assert time.monotonic() - started < 5


def test_data_sets_that_pynetdicom_wrote_to_files_are_kept_too(
    fake_pacs: FakePacs, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(_config, "STORE_RECV_CHUNKED_DATASET", True)
    assert statuses(fake_pacs, MAMMOGRAM)[0].Status == 0x0000
    kept = dcmread(BytesIO(fake_pacs.received[MAMMOGRAM.SOPInstanceUID]))
    assert (kept.pixel_array == MAMMOGRAM.pixel_array).all()
