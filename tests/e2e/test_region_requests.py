"""A radiologist marks a lesion and stores the mark: the node answers it, with a model for it and without."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from pydicom import Dataset, dcmread
from pydicom.uid import Comprehensive3DSRStorage, SecondaryCaptureImageStorage

from models.metadata import folder_name
from pipelines.regions import read_regions
from sr_templates import codes
from sr_templates.evidence import value_text
from tests.commands import Run, runner
from tests.e2e.harness import Destination, NodeUnderTest, RecordingPacs, free_port, node_under_test, wait_until
from tests.e2e.harness import write_study as write_images
from tests.e2e.test_whole_way import VIEWS, of_study, send
from tests.models.builders import install_random_weights
from tests.region_objects import closed, measurement_report, saved, saved_by_ohif

STUDY_UID = "1.2.826.0.1.3680043.8.498.2400"
OUTLINE = ((100.0, 80.0), (150.0, 80.0), (150.0, 140.0), (100.0, 140.0))
MODEL = "densenet121-cbam-tn"
NO_WEIGHTS = "not attempted: no weights installed"


@pytest.fixture
def weights_dir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A site's folder of weights with no detector in it, to which the test installs."""
    folder = tmp_path / "weights"
    for name in ("FPNNet", "SPPNet"):  # an empty one keeps those that ship out
        (folder / folder_name(name)).mkdir(parents=True)
    monkeypatch.setenv("MAMMONODE_MODELS__WEIGHTS_DIR", str(folder))
    return folder


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    return runner(monkeypatch, capsys)


def the_answer(node: NodeUnderTest, pacs: RecordingPacs, request: Dataset) -> list[Dataset]:
    """The results that the node sends because of an object with marks: they all come, and none is missing."""

    def reports() -> list[Dataset]:
        found = [made for made in of_study(pacs, STUDY_UID).values() if made.SOPClassUID == Comprehensive3DSRStorage]
        return [made for made in found if request.SOPInstanceUID in words_of(made)]

    (report,) = wait_until(reports, 180, "the answer to the marks")
    wait_until(lambda: node.is_answered(STUDY_UID), 120, "the rest of it")
    made = of_study(pacs, STUDY_UID).values()
    return [report, *(one for one in made if one.ContentTime == report.ContentTime and one is not report)]


def words_of(item: Dataset) -> str:
    """Every text of a report."""
    below = [words_of(child) for child in item.get("ContentSequence", ())]
    return "\n".join([value_text(item, "TextValue"), *below])


def items_of(parent: Dataset, concept: codes.Code) -> Iterator[Dataset]:
    """Items of a concept, however deep."""
    for child in parent.get("ContentSequence", ()):
        if any(name.CodeValue == concept.value for name in child.get("ConceptNameCodeSequence", ())):
            yield child
        yield from items_of(child, concept)


def group_of(report: Dataset, tracking_uid: str, image: Dataset) -> Dataset:
    """The measurement group of a mark on an image."""
    groups = [
        group
        for group in items_of(report, codes.MEASUREMENT_GROUP)
        if tracking_uid == next(items_of(group, codes.TRACKING_UID)).UID
        and drawn_on(next(items_of(group, codes.IMAGE_REGION))) == image.SOPInstanceUID
    ]
    assert len(groups) == 1
    return groups[0]


def drawn_on(region: Dataset) -> str:
    return str(region.ContentSequence[0].ReferencedSOPSequence[0].ReferencedSOPInstanceUID)


@pytest.mark.peer
def test_marks_by_highdicom_and_by_ohif_are_answered_that_no_weights_are_there_and_once_they_are_by_a_probability(
    tmp_path: Path, weights_dir: Path, run: Run
) -> None:
    pacs = RecordingPacs(free_port())
    with pacs.listening(), node_under_test(tmp_path / "node", [Destination("pacs", pacs.port)]) as node:
        node.serve()
        files = write_images(tmp_path / "study", STUDY_UID, VIEWS)
        send(node, files)
        marked = [dcmread(path) for path in files if path.name.startswith("R_")]
        marks = [(0, "POLYLINE", OUTLINE), (1, "POLYLINE", OUTLINE)]
        asked = measurement_report(marked, marks, label="Ask me", tracking_uid="2.25.77")
        send(node, [saved(asked, tmp_path / "ask.dcm")])

        report, *_ = the_answer(node, pacs, asked)
        for image in marked:
            group = group_of(report, "2.25.77", image)
            assert next(items_of(group, codes.TRACKING_IDENTIFIER)).TextValue == "Ask me"
            points = next(items_of(group, codes.IMAGE_REGION)).GraphicData
            assert list(points) == [value for point in closed(OUTLINE) for value in point]
            words = words_of(group)
            assert asked.SOPInstanceUID in words
            assert f"{NO_WEIGHTS} (" in words
            assert MODEL in words
        assert f"{NO_WEIGHTS} (FPNNet)" in words_of(report), "the images themselves are not analysed"

        install_random_weights(tmp_path / "bundle", MODEL)
        installed = run("models", "install", tmp_path / "bundle" / folder_name(MODEL), "--weights-dir", weights_dir)
        assert installed.status == 0, installed.err
        by_ohif = saved_by_ohif(marked[0])
        (drawn, *_) = read_regions(saved_by_ohif(marked[0]))
        send(node, [saved(by_ohif, tmp_path / "ohif.dcm")])

        revised, *others = the_answer(node, pacs, by_ohif)
        assert revised.PredecessorDocumentsSequence, "it names the result that it replaces"
        for tracking_uid in ("2.25.77", drawn.tracking_uid):
            group = group_of(revised, tracking_uid, marked[0])
            assert next(items_of(group, codes.TRACKING_IDENTIFIER)).TextValue == "Ask me"
            (probability,) = items_of(group, codes.PREDICTED_PROBABILITY["triple_negative"]["triple_negative"])
            (value,) = items_of(group, codes.PREDICTED["triple_negative"])
            percent = float(probability.MeasuredValueSequence[0].NumericValue)
            assert 0 < percent < 100
            expected = codes.PREDICTED_VALUE["triple_negative"]["triple_negative" if percent >= 50 else "other"]
            assert value.ConceptCodeSequence[0].CodeValue == expected.value
        points = next(items_of(group, codes.IMAGE_REGION)).GraphicData
        assert list(points) == pytest.approx([value for point in closed(drawn.polygons_px[0]) for value in point])
        captures = [made for made in others if made.SOPClassUID == SecondaryCaptureImageStorage]
        summaries = [made for made in captures if "summary" in made.SeriesDescription]
        heatmaps = [made for made in captures if "heatmap" in made.SeriesDescription]
        assert len(summaries) == 1
        assert MODEL in summaries[0].DerivationDescription
        by_model = {made.ImageLaterality for made in heatmaps if MODEL in made.DerivationDescription}
        assert by_model == {"R"}, "the pictures of the breast with the marks, and no others, name the model"
