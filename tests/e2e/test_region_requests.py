"""A radiologist marks a lesion in an answered study and stores the mark: the node answers it in a new revision."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydicom import Dataset, dcmread
from pydicom.uid import Comprehensive3DSRStorage

from sr_templates.evidence import value_text
from tests.e2e.harness import Destination, RecordingPacs, free_port, node_under_test, wait_until, write_study
from tests.e2e.test_whole_way import VIEWS, of_study, send
from tests.region_objects import measurement_report, saved

STUDY_UID = "1.2.826.0.1.3680043.8.498.2400"
OUTLINE = ((8.0, 20.0), (20.0, 20.0), (20.0, 34.0), (8.0, 34.0))


def answers(pacs: RecordingPacs, request: Dataset) -> list[Dataset]:
    """Measurement reports at the destination that name the object with the marks."""
    reports = [made for made in of_study(pacs, STUDY_UID).values() if made.SOPClassUID == Comprehensive3DSRStorage]
    return [made for made in reports if request.SOPInstanceUID in words_of(made)]


def words_of(item: Dataset) -> str:
    """Every text of a report."""
    below = [words_of(child) for child in item.get("ContentSequence", ())]
    return "\n".join([value_text(item, "TextValue"), *below])


@pytest.mark.timeout(300)
def test_a_mark_in_an_answered_study_comes_back_by_its_name(tmp_path: Path) -> None:
    pacs = RecordingPacs(free_port())
    with pacs.listening(), node_under_test(tmp_path / "node", [Destination("pacs", pacs.port)]) as node:
        node.serve()
        study = write_study(tmp_path / "study", STUDY_UID, VIEWS)
        send(node, study)
        wait_until(lambda: node.is_answered(STUDY_UID), 90, "the first answer")
        images = [dcmread(path) for path in study[:2]]
        request = measurement_report(images, [(0, "POLYLINE", OUTLINE), (1, "POLYLINE", OUTLINE)], label="Ask me")
        assert answers(pacs, request) == []
        send(node, [saved(request, tmp_path / "mark.dcm")])
        (report,) = wait_until(lambda: answers(pacs, request), 60, "the answer to the mark")
        assert report.PredecessorDocumentsSequence, "it names the result that it replaces"
        assert "no weights installed" in words_of(report)
