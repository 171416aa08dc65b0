"""A person's way: lesions are marked in OHIF and saved, the report goes to the node, its answer is shown in OHIF."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from pydicom import Dataset

from pipelines.contract import RegionOfInterest
from pipelines.regions import read_regions
from sr_templates.evidence import value_text
from tests.peers.processes import wait_until
from tests.viewer.browser import BrowserError
from tests.viewer.checks import Row, save
from tests.viewer.exam import Answer, AnsweredExam, ArchiveAndNode, BadAnswer
from tests.viewer.findings import reported_boxes
from tests.viewer.marking import Mark, Radiologist, marks_beside
from tests.viewer.places import NotOnScreen, ScreenFrame, deviation, drawn_outline, lay_over
from tests.viewer.studies import KnownImage, KnownStudy
from tests.viewer.viewer import Viewer

NAME: Final = "Ask me"
REPORT: Final = "Marked by hand"
IMAGE: Final = "L-CC"
MOST_DEVIATION_SCREEN_PX: Final = 2.0
"""Of each edge of a mark from where the mouse was, which has whole pixels of the screen."""

STORED_WITHIN_S: Final = 30
ANSWERED_WITHIN_S: Final = 60.0


def check_marks(
    viewer: Viewer, site_url: str, running: ArchiveAndNode, *, exam: AnsweredExam, study: KnownStudy, out: Path
) -> Iterator[Row]:
    """Mark one image with every tool, save the report, send it to the node, compare what comes back."""
    image, uid = study.images[IMAGE], exam.images[IMAGE]
    marks = marks_beside(image.boxes_px[0])
    before = set(running.archive.instances())
    try:
        viewer.open_study(site_url, exam.study_instance_uid, len(exam.series()))
        reader = Radiologist(viewer=viewer)
        frame = reader.mark(image, uid, marks, NAME)
        save(viewer.browser.screenshot(), out / "ohif_marked.png")
        reader.save_report(REPORT)
        wait_until(
            lambda: len(running.archive.instances()) > len(before), timeout_s=STORED_WITHIN_S, what="the saved report"
        )
        (request_uid,) = running.archive.instances().keys() - before
        saved = out / "ohif_marks.dcm"
        saved.write_bytes(running.archive.file_bytes(request_uid))
        answer = running.ask(exam, saved)
    except (TimeoutError, BrowserError, BadAnswer, NotOnScreen, StopIteration) as error:
        save(viewer.browser.screenshot(), out / "ohif_marked.png")
        yield Row(subject="marks in OHIF", figures=str(error), passed=False)
        return
    yield from _read(answer.request, marks, uid, frame)
    yield from _answered(answer, marks, uid, frame)
    yield _shown(viewer, site_url, exam, answer=answer, image=image, mark=marks[0], out=out)


def _read(request: Dataset, marks: Sequence[Mark], uid: str, frame: ScreenFrame) -> Iterator[Row]:
    """What the node reads in the report that OHIF saved."""
    regions = read_regions(request)
    yield Row(
        subject=f"{request.SOPClassUID.name}: regions", figures=f"{len(regions)}", passed=len(regions) == len(marks)
    )
    for mark, region in zip(marks, regions, strict=False):
        yield _placed(f"{mark.tool}: read", mark, _box(region), region.sop_instance_uid == uid, frame)
    names = [region.label for region in regions]
    expected = [NAME, *(mark.tool for mark in marks[1:])]
    yield Row(subject="names that a person gave, or tools", figures=", ".join(names), passed=names == expected)


def _answered(answer: Answer, marks: Sequence[Mark], uid: str, frame: ScreenFrame) -> Iterator[Row]:
    """What the node's measurement report says of each."""
    report = answer.exam.measurement_report()
    groups = {item.tracking_uid: item for item in reported_boxes(report)}
    words = _words(report)
    named = str(answer.request.SOPInstanceUID) in words
    yield Row(
        subject="the answer names the report",
        figures=f"{answer.seconds:.1f} s after it was sent",
        passed=named and answer.seconds <= ANSWERED_WITHIN_S,
    )
    for mark, region in zip(marks, read_regions(answer.request), strict=False):
        found = groups.get(region.tracking_uid or "")
        subject = f"{mark.tool}: answered"
        if found is None or found.name != region.label:
            yield Row(subject=subject, figures="it is not in the report by its name and UID", passed=False)
            continue
        yield _placed(subject, mark, found.box_px, found.sop_instance_uid == uid, frame)
    reason = "not attempted: no weights installed"
    yield Row(subject="models that are not installed", figures=reason, passed=reason in words)


def _shown(
    viewer: Viewer, site_url: str, exam: AnsweredExam, *, answer: Answer, image: KnownImage, mark: Mark, out: Path
) -> Row:
    """What OHIF draws of the answer to the first mark."""
    subject = f"{mark.tool}: the answer in OHIF"
    report = answer.exam.measurement_report()
    found = next(item for item in reported_boxes(report) if item.name == NAME)
    series = {*exam.series(), *answer.exam.series(), str(answer.request.SeriesInstanceUID)}
    try:
        viewer.open_study(site_url, exam.study_instance_uid, len(series))
        viewer.open_report(report.SeriesInstanceUID, found.tracking_uid, found.sop_instance_uid, 1)
        shown = viewer.finding()
        save(shown.window, out / "ohif_answer.png")
        frame = lay_over(image.pixels, shown.bare, image.full_scale)
        drawn = frame.to_stored(drawn_outline(shown.outlined, shown.bare))
    except (TimeoutError, BrowserError, NotOnScreen) as error:
        save(viewer.browser.screenshot(), out / "ohif_answer.png")
        return Row(subject=subject, figures=str(error), passed=False)
    return _placed(subject, mark, drawn, True, frame)


def _placed(
    subject: str, mark: Mark, box: tuple[float, float, float, float], same_image: bool, frame: ScreenFrame
) -> Row:
    apart_px = deviation(mark.box_px, box)
    on_screen = apart_px * frame.scale[0]
    return Row(
        subject=subject,
        figures=f"{apart_px:.1f} image pixels ({on_screen:.1f} of the screen) from the mouse"
        + ("" if same_image else ", on another image"),
        passed=same_image and on_screen <= MOST_DEVIATION_SCREEN_PX,
    )


def _box(region: RegionOfInterest) -> tuple[float, float, float, float]:
    xs, ys = zip(*(point for polygon in region.polygons_px for point in polygon), strict=True)
    return min(xs), min(ys), max(xs), max(ys)


def _words(item: Dataset) -> str:
    """Every text of a report."""
    below = [_words(child) for child in item.get("ContentSequence", ())]
    return "\n".join([value_text(item, "TextValue"), *below])
