"""What may be deleted, what never, and that a deleted instance is known for ever."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import update
from structlog.testing import capture_logs

from node.arrivals import ReceivedInstance
from node.ledger import Ledger
from node.outbox import Outbox
from node.retention import Retention
from node.schema import Delivery
from sr_templates.contract import plain_variants
from tests.node.builders import LEASE_S, NOW, STUDY, Clock, claimed, kinds, received, result, settings_in, state_of

DAY_S = 86400.0
TO_PACS = {"pacs": plain_variants("cad_sr"), "viewer": plain_variants("cad_sr")}


@pytest.fixture
def clock() -> Clock:
    return Clock(NOW + 15 * DAY_S)


@pytest.fixture
def retention(tmp_path: Path, ledger: Ledger, clock: Clock) -> Retention:
    settings = settings_in(tmp_path, retention={"min_free_gb": 0, "keep_days": 14})
    return Retention(settings, ledger, clock=clock)


def spooled(folder: Path, number: int, study: str = STUDY, **more: Any) -> ReceivedInstance:
    """An instance whose bytes are there."""
    path = folder / "spool" / study / f"{number}.dcm"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"image")
    return received(number, study, path=str(path), **more)


def answered(folder: Path, ledger: Ledger, outbox: Outbox, study: str = STUDY) -> list[Path]:
    """Two images, one result for two destinations; return all of their files."""
    held = claimed(ledger, *(spooled(folder, number, study) for number in (1, 2)))
    assert outbox.publish(held, [result(study=study)], TO_PACS, NOW, outcome="analysed", reason=None)
    item = outbox.due("pacs", NOW)[-1]
    return [*(Path(instance.path) for instance in held.instances), Path(item.path)]


def deliver(outbox: Outbox, destination: str, state: str = "sent") -> None:
    for item in outbox.due(destination, NOW):
        outbox.settle(item, destination, NOW, state=state, status=0)


def test_delivered_everywhere_and_old_is_deleted_and_its_rows_stay(
    tmp_path: Path, ledger: Ledger, outbox: Outbox, retention: Retention
) -> None:
    files = answered(tmp_path, ledger, outbox)
    deliver(outbox, "pacs")
    deliver(outbox, "viewer")
    assert retention.step() == 1
    assert [path.exists() for path in files] == [False] * 3
    row = ledger.study(STUDY)
    assert row is not None
    assert (row["state"], row["instances"]) == ("answered", 2)
    assert ledger.history(STUDY)[-1].detail == {"files": 3}
    assert retention.step() == 0, "once is enough"


@pytest.mark.parametrize("state", [None, "refused", "expired"])
def test_as_long_as_one_destination_has_not_taken_it_all_files_stay(
    tmp_path: Path, ledger: Ledger, outbox: Outbox, retention: Retention, state: str | None
) -> None:
    files = answered(tmp_path, ledger, outbox)
    deliver(outbox, "pacs")
    if state is not None:
        deliver(outbox, "viewer", state)
    assert retention.step() == 0
    assert all(path.exists() for path in files)


@pytest.mark.parametrize("commitment", ["due", "requested", "committed", "unavailable", "refused", "unanswered"])
def test_what_a_destination_has_not_yet_committed_to_keeps_its_files(
    tmp_path: Path, ledger: Ledger, outbox: Outbox, retention: Retention, commitment: str
) -> None:
    files = answered(tmp_path, ledger, outbox)
    deliver(outbox, "pacs")
    deliver(outbox, "viewer")
    with ledger.engine.begin() as connection:
        connection.execute(update(Delivery).where(Delivery.destination == "viewer").values(commitment=commitment))
    is_done = commitment in ("committed", "unavailable")
    assert retention.step() == int(is_done)
    assert [path.exists() for path in files] == [not is_done] * 3


@pytest.mark.parametrize("commitment", ["refused", "unanswered"])
def test_files_that_are_kept_for_want_of_commitment_are_told_of(
    tmp_path: Path, ledger: Ledger, outbox: Outbox, retention: Retention, commitment: str
) -> None:
    answered(tmp_path, ledger, outbox)
    deliver(outbox, "pacs")
    deliver(outbox, "viewer")
    with ledger.engine.begin() as connection:
        connection.execute(update(Delivery).where(Delivery.destination == "viewer").values(commitment=commitment))
    with capture_logs() as logged:
        retention.step()
    (line,) = [entry for entry in logged if entry["event"] == "files_kept_for_undelivered_results"]
    assert (line["destination"], line["state"], line["commitment"]) == ("viewer", "sent", commitment)
    assert line["studies"] == 1


def test_young_files_stay(tmp_path: Path, ledger: Ledger, outbox: Outbox, retention: Retention, clock: Clock) -> None:
    files = answered(tmp_path, ledger, outbox)
    deliver(outbox, "pacs")
    deliver(outbox, "viewer")
    clock.now = NOW + 14 * DAY_S
    assert retention.step() == 0
    assert all(path.exists() for path in files)
    clock.advance(1)
    assert retention.step() == 1


def test_what_is_not_answered_stays_however_old(tmp_path: Path, ledger: Ledger, clock: Clock) -> None:
    retention = Retention(settings_in(tmp_path), ledger, clock=clock)
    waiting = spooled(tmp_path, 1, "1.2.1")
    ledger.record_instance(waiting, NOW)
    analysing = claimed(ledger, spooled(tmp_path, 1, "1.2.2"))
    clock.advance(1000 * DAY_S)
    assert retention.step() == 0
    assert all(Path(path).exists() for path in (waiting.path, *(instance.path for instance in analysing.instances)))


def test_what_was_given_up_stays_longer_but_not_for_ever(
    tmp_path: Path, ledger: Ledger, outbox: Outbox, retention: Retention, clock: Clock
) -> None:
    refused = answered(tmp_path, ledger, outbox)
    deliver(outbox, "pacs")
    deliver(outbox, "viewer", "refused")
    quarantined = claimed(ledger, spooled(tmp_path, 1, "1.2.3"))
    outbox.publish(quarantined, [], {}, NOW, outcome="failed", reason="x", quarantine=True)
    files = [*refused, *(Path(instance.path) for instance in quarantined.instances)]
    assert retention.step() == 0
    assert all(path.exists() for path in files)
    clock.advance(76 * DAY_S)  # 91 days in all
    assert retention.step() == 2
    assert not any(path.exists() for path in files)


def test_without_any_destination_old_files_go_all_the_same(
    tmp_path: Path, ledger: Ledger, outbox: Outbox, retention: Retention
) -> None:
    held = claimed(ledger, spooled(tmp_path, 1))
    outbox.publish(held, [result()], {}, NOW, outcome="analysed", reason=None)
    assert retention.step() == 1


def test_a_file_that_is_gone_already_does_no_harm(
    tmp_path: Path, ledger: Ledger, outbox: Outbox, retention: Retention
) -> None:
    files = answered(tmp_path, ledger, outbox)
    files[0].unlink()
    deliver(outbox, "pacs")
    deliver(outbox, "viewer")
    assert retention.step() == 1


def test_a_duplicate_is_known_after_its_file_is_gone_and_brings_it_back(
    tmp_path: Path, ledger: Ledger, outbox: Outbox, retention: Retention
) -> None:
    answered(tmp_path, ledger, outbox)
    deliver(outbox, "pacs")
    deliver(outbox, "viewer")
    retention.step()
    assert not ledger.retry(STUDY, NOW + 19 * DAY_S, republish_at=0.0)
    assert ledger.record_instance(spooled(tmp_path, 1), NOW + 20 * DAY_S) == "restored"
    assert ledger.record_instance(spooled(tmp_path, 1), NOW + 20 * DAY_S) == "duplicate"
    assert ledger.record_instance(received(1, sha256="0" * 64), NOW + 20 * DAY_S) == "conflict"
    assert state_of(ledger) == ("answered", 1)
    assert outbox.is_result(result().sop_instance_uid)
    assert retention.step() == 0, "it is kept as long as a new one"
    assert ledger.retry(STUDY, NOW + 21 * DAY_S, republish_at=0.0)


def test_a_file_whose_row_says_deleted_belongs_to_nobody(
    tmp_path: Path, ledger: Ledger, outbox: Outbox, retention: Retention
) -> None:
    """Killed between the rows and the files, or sent once more: the sweep on the next start must not keep them."""
    image, *_ = answered(tmp_path, ledger, outbox)
    deliver(outbox, "pacs")
    deliver(outbox, "viewer")
    retention.step()
    assert ledger.path_of(f"{STUDY}.1") != str(image)


def test_a_late_image_after_that_makes_a_revision_of_what_is_still_there(
    tmp_path: Path, ledger: Ledger, outbox: Outbox, retention: Retention, clock: Clock
) -> None:
    answered(tmp_path, ledger, outbox)
    deliver(outbox, "pacs")
    deliver(outbox, "viewer")
    retention.step()
    late = spooled(tmp_path, 3)
    assert ledger.record_instance(late, clock()) == "stored"
    assert state_of(ledger) == ("assembling", 2)
    assert ledger.queue(ledger.study_state(STUDY), clock(), republish_at=clock() + 30, why="quiet")
    held = ledger.claim(STUDY, "worker-2", clock(), LEASE_S)
    assert held is not None
    assert [instance.path for instance in held.instances] == [late.path]
    clock.advance(1000 * DAY_S)
    assert retention.step() == 0
    assert Path(late.path).exists()


def test_an_image_that_comes_while_its_study_is_being_cleaned_is_not_deleted(
    tmp_path: Path, ledger: Ledger, outbox: Outbox, retention: Retention, monkeypatch: pytest.MonkeyPatch
) -> None:
    answered(tmp_path, ledger, outbox)
    deliver(outbox, "pacs")
    deliver(outbox, "viewer")
    late = spooled(tmp_path, 3)
    clean = retention._clean

    def come_first(study_instance_uid: str, now: float) -> None:
        assert ledger.record_instance(late, now) == "stored"
        clean(study_instance_uid, now)

    monkeypatch.setattr(retention, "_clean", come_first)
    retention.step()
    assert Path(late.path).exists()
    assert state_of(ledger) == ("assembling", 2)
    assert "files_deleted" not in kinds(ledger)


def test_it_cleans_at_once_and_stops_when_told(
    tmp_path: Path, ledger: Ledger, outbox: Outbox, retention: Retention
) -> None:
    files = answered(tmp_path, ledger, outbox)
    deliver(outbox, "pacs")
    deliver(outbox, "viewer")
    stop = threading.Event()
    thread = threading.Thread(target=retention.run, args=(stop,))
    thread.start()
    for _ in range(1000):
        if not files[-1].exists():
            break
        stop.wait(0.01)
    stop.set()
    thread.join(timeout=30)
    assert not thread.is_alive()
    assert not any(path.exists() for path in files)
