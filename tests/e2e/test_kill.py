"""kill -9 of each part at every step of a study's way: nothing acknowledged is lost, everything is answered once."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydicom.filereader import read_file_meta_info

from node.scu import FileToSend, NoAssociation, Peer, associated, contexts_for, store
from tests.e2e.harness import (
    Destination,
    NodeUnderTest,
    RecordingPacs,
    free_port,
    node_under_test,
    wait_until,
    write_study,
)

KILLS = [
    {"scp": "received", "dispatch": "queued", "worker": "claimed"},
    {"scp": "spooled", "dispatch": "published", "worker": "analysed"},
    {"scp": "recorded", "dispatch": "stored", "worker": "results_written"},
    {"dispatch": "settled", "worker": "published"},
]
"""Every step of every part, once; several parts die on the way of one study, as on a bad day."""

VIEWS = [("L", "CC"), ("L", "MLO"), ("R", "CC"), ("R", "MLO")]
STUDY_UID = "1.2.826.0.1.3680043.8.498.1001"


def four_views(folder: Path) -> list[FileToSend]:
    files = []
    for path in write_study(folder, STUDY_UID, VIEWS):
        meta = read_file_meta_info(path)
        files.append(
            FileToSend(
                path=path,
                sop_class_uid=meta.MediaStorageSOPClassUID,
                transfer_syntax_uid=meta.TransferSyntaxUID,
            )
        )
    return files


def send_like_a_modality(node: NodeUnderTest, files: list[FileToSend]) -> None:
    """Send what is not yet acknowledged, again and again, until all of it is."""
    peer = Peer(calling_ae_title="MODALITY", called_ae_title="MAMMONODE", host="127.0.0.1", port=node.port, timeout_s=5)
    left = list(files)

    def attempt() -> bool:
        try:
            with associated(peer, contexts_for(left)) as association:
                for file in list(left):
                    if store(association, file, message_id=1).fate == "sent":
                        left.remove(file)
        except NoAssociation:
            pass
        return not left

    wait_until(attempt, 120, "the node to take every instance")


@pytest.mark.parametrize("kills", KILLS, ids=["-".join(steps.values()) for steps in KILLS])
def test_killed_parts_lose_nothing_and_answer_once(kills: dict[str, str], tmp_path: Path) -> None:
    pacs = RecordingPacs(free_port())
    with (
        pacs.listening(),
        node_under_test(
            tmp_path / "node",
            [Destination("pacs", pacs.port)],
            quiet_s=120,  # longer than any restart: the whole study is one revision
        ) as node,
    ):
        node.start_parts(kills)
        files = four_views(tmp_path / "study")
        with node.revived():
            send_like_a_modality(node, files)
            wait_until(lambda: node.is_finished(1), 240, "the study to be answered and delivered")
        for part in kills:
            assert (node.folder / f"killed_{part}").exists(), f"{part} never reached its step, so it was not killed"
        for number, file in enumerate(files):
            kept = node.ledger.path_of(f"{STUDY_UID}.{number + 1}")
            assert kept is not None
            assert_same_data_set(Path(kept), file.path)
        delivered = node.deliveries(STUDY_UID)
        assert {item["revision"] for item in delivered} == {1}
        assert set(pacs.stores) == {item["sop_instance_uid"] for item in delivered}
        for uid, copies in pacs.stores.items():
            assert len(set(copies)) == 1, f"{uid} was sent with differing bytes"


def test_a_study_that_ends_its_worker_three_times_is_set_aside_and_answered_as_failed(tmp_path: Path) -> None:
    pacs = RecordingPacs(free_port())
    with (
        pacs.listening(),
        node_under_test(tmp_path / "node", [Destination("pacs", pacs.port)], quiet_s=120) as node,
    ):
        node.start_parts({"worker": "claimed:3"})
        with node.revived():
            send_like_a_modality(node, four_views(tmp_path / "study"))
            wait_until(lambda: node.studies()[0]["state"] == "quarantined", 240, "the study to be set aside")
            wait_until(lambda: {item["state"] for item in node.deliveries()} == {"sent"}, 120, "its answer")
        assert (node.folder / "killed_worker").read_text() == "xxx"
        kinds = [event.kind for event in node.ledger.history(STUDY_UID)]
        assert kinds.count("worker_lost") == 3
        assert kinds.count("started") == 4
        (row,) = node.studies()
        assert row["outcome"] == "failed"
        assert any(b"set aside" in copies[0] for copies in pacs.stores.values())


def assert_same_data_set(kept: Path, sent: Path) -> None:
    """The stored data set is the sent one, byte for byte; only the file meta is the node's own."""
    assert data_set_bytes(kept) == data_set_bytes(sent)


def data_set_bytes(path: Path) -> bytes:
    content = path.read_bytes()
    length = int.from_bytes(content[140:144], "little")
    return content[144 + length :]
