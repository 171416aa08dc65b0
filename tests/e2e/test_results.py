"""Results as a PACS gets them: the same bytes every time, committed, named by revision, in the form it asked for."""

from __future__ import annotations

import subprocess
import sys
from io import BytesIO
from pathlib import Path

import pytest
from pydicom import Dataset, dcmread

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
from tests.e2e.test_whole_way import VIEWS, of_study, send
from tests.peers.fake_pacs import FakePacs
from tests.peers.servers import Modality, Orthanc, orthanc

STUDY_UID = "1.2.826.0.1.3680043.8.498.2300"
JPEG_BASELINE = "1.2.840.10008.1.2.4.50"
SECONDARY_CAPTURE = "1.2.840.10008.5.1.4.1.1.7"
COMPREHENSIVE_SR = "1.2.840.10008.5.1.4.1.1.88.33"
COMPREHENSIVE_3D_SR = "1.2.840.10008.5.1.4.1.1.88.34"


def is_committed(node: NodeUnderTest) -> bool:
    return {item["commitment"] for item in node.deliveries(STUDY_UID) if item["destination"] == "orthanc"} == {
        "committed"
    }


def files_in(pacs: Orthanc, uids: list[str]) -> dict[str, bytes]:
    return {uid: pacs.file_bytes(uid) for uid in uids}


@pytest.mark.peer
def test_sent_twice_with_a_restart_between_it_is_the_same_bytes_one_copy_and_committed(tmp_path: Path) -> None:
    recorder = RecordingPacs(free_port())
    port = free_port()
    with (
        recorder.listening(),
        orthanc(tmp_path / "orthanc", modalities={"node": Modality(ae_title="MAMMONODE", port=port)}) as pacs,
    ):
        destinations = [
            Destination("orthanc", pacs.port, pacs.ae_title, "commitment = true"),
            Destination("recorder", recorder.port),
        ]
        with node_under_test(tmp_path / "node", destinations, port=port) as node:
            node.serve()
            send(node, write_study(tmp_path / "study", STUDY_UID, VIEWS))
            wait_until(lambda: node.is_answered(STUDY_UID) and is_committed(node), 180, "results to be committed")
            uids = [item["sop_instance_uid"] for item in node.deliveries(STUDY_UID) if item["destination"] == "orthanc"]
            first = files_in(pacs, uids)
            assert pacs.count() == len(uids)
            node.stop()
            node.serve()
            command = [sys.executable, "-m", "node.cli", "retry", STUDY_UID, "--resend", "--config", str(node.config)]
            ran = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
            assert ran.stdout.strip() == f"{2 * len(uids)} deliveries are due again"
            wait_until(lambda: node.is_answered(STUDY_UID) and is_committed(node), 180, "results to be committed again")
            assert files_in(pacs, uids) == first
            assert pacs.count() == len(uids), "one copy each"
            wait_until(lambda: all(len(recorder.stores[uid]) == 2 for uid in uids), 60, "the second copies")
            assert all(stores[0] == stores[1] for stores in recorder.stores.values())


@pytest.mark.peer
def test_a_late_view_gives_a_set_that_names_the_one_it_replaces(tmp_path: Path) -> None:
    pacs = RecordingPacs(free_port())
    with pacs.listening(), node_under_test(tmp_path / "node", [Destination("pacs", pacs.port)], quiet_s=1) as node:
        node.serve()
        paths = write_study(tmp_path / "study", STUDY_UID, VIEWS)
        send(node, paths[:3])
        wait_until(lambda: node.is_answered(STUDY_UID), 120, "the first revision")
        first = of_study(pacs, STUDY_UID)
        send(node, paths[3:])
        wait_until(lambda: node.revision(STUDY_UID) == 2 and node.is_answered(STUDY_UID), 120, "the second revision")
        second = {uid: made for uid, made in of_study(pacs, STUDY_UID).items() if uid not in first}
    replaced = {made.SOPClassUID: uid for uid, made in first.items() if made.Modality == "SR"}
    reports = [made for made in second.values() if made.Modality == "SR"]
    assert {made.SOPClassUID: predecessor(made) for made in reports} == replaced
    assert len(replaced) == 2
    assert not any("PredecessorDocumentsSequence" in made for made in first.values())
    assert all("revision 2 replaces 1" in made.SeriesDescription for made in second.values())
    assert not any("revision" in made.SeriesDescription for made in first.values())


def predecessor(made: Dataset) -> str:
    (study,) = made.PredecessorDocumentsSequence
    (series,) = study.ReferencedSeriesSequence
    (document,) = series.ReferencedSOPSequence
    return str(document.ReferencedSOPInstanceUID)


@pytest.mark.peer
def test_each_destination_gets_results_in_the_form_that_it_can_take(tmp_path: Path) -> None:
    options = 'sr_class = "comprehensive"\ncapture_max_px = 1024\ncapture_compression = "jpeg_baseline"'
    with (
        FakePacs(transfer_syntaxes=["1.2.840.10008.1.2"]) as simple,
        orthanc(tmp_path / "orthanc") as modern,
        node_under_test(
            tmp_path / "node",
            [
                Destination("modern", modern.port, modern.ae_title, options),
                Destination("simple", simple.port, simple.ae_title, options),
                Destination(
                    "plain", modern.port, modern.ae_title, 'results = ["measurement_sr", "presentation_state"]'
                ),
            ],
        ) as node,
    ):
        node.serve()
        send(node, write_study(tmp_path / "study", STUDY_UID, VIEWS))
        wait_until(lambda: node.is_answered(STUDY_UID), 180, "all destinations to be served")
        by_name: dict[str, set[str]] = {}
        for item in node.deliveries(STUDY_UID):
            by_name.setdefault(item["destination"], set()).add(item["sop_instance_uid"])
        assert by_name["modern"] == by_name["simple"], "the same form is the same object"
        held = [dcmread_bytes(modern.file_bytes(uid)) for uid in by_name["modern"] | by_name["plain"]]
        received = {call.sop_instance_uid: call for call in simple.calls}
    assert {made.SOPClassUID for made in held if made.Modality == "SR"} >= {COMPREHENSIVE_SR, COMPREHENSIVE_3D_SR}
    captures = [made for made in held if made.SOPClassUID == SECONDARY_CAPTURE]
    assert len(captures) == 5
    assert {made.file_meta.TransferSyntaxUID for made in captures} == {JPEG_BASELINE}
    assert max(max(made.Rows, made.Columns) for made in captures) <= 1024
    assert set(received) == by_name["simple"]
    assert {call.transfer_syntax_uid for call in received.values()} == {"1.2.840.10008.1.2"}


def dcmread_bytes(content: bytes) -> Dataset:
    return dcmread(BytesIO(content))


@pytest.mark.peer
def test_a_destination_of_presentation_states_alone_is_told_that_nothing_was_analysed(tmp_path: Path) -> None:
    """Without weights there is no finding to present, and no state: the summary comes in its place."""
    states, reports = RecordingPacs(free_port()), RecordingPacs(free_port())
    destinations = [
        Destination("states", states.port, options='results = ["presentation_state"]'),
        Destination("reports", reports.port, options='results = ["measurement_sr"]'),
    ]
    with states.listening(), reports.listening(), node_under_test(tmp_path / "node", destinations) as node:
        node.serve()
        send(node, write_study(tmp_path / "study", STUDY_UID, VIEWS))
        wait_until(lambda: node.is_answered(STUDY_UID), 120, "both destinations to be served")
    (summary,) = of_study(states, STUDY_UID).values()
    assert (summary.SOPClassUID, summary.SeriesNumber) == (SECONDARY_CAPTURE, 9004)
    assert "NOT ANALYSED" in summary.DerivationDescription
    assert [made.Modality for made in of_study(reports, STUDY_UID).values()] == ["SR"]
