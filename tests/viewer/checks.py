"""What is compared, and what counts as right."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from pydicom import Dataset

from tests.viewer.browser import BrowserError
from tests.viewer.exam import AnsweredExam
from tests.viewer.findings import ReportedBox, reported_boxes
from tests.viewer.places import NotOnScreen, deviation, drawn_outline, lay_over, overlap
from tests.viewer.studies import KnownImage, KnownStudy
from tests.viewer.viewer import FindingOnScreen, Viewer

MOST_DEVIATION: Final = 2.0
"""Of each edge of a drawn box, in % of the image's width."""

LEAST_OVERLAP: Final = 0.5
"""Of what is drawn and what is there, intersection over union of boxes; clusters are but 3 % of an image wide."""

MOST_DIFFERENCE: Final = 3.0
"""Of a capture's pixels from those on screen, in % of full brightness; a blank viewport differs by 9 to 14 %."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One thing that was checked; `figures` says what was measured."""

    subject: str
    figures: str
    passed: bool


def check_findings(viewer: Viewer, site_url: str, exam: AnsweredExam, study: KnownStudy, out: Path) -> Iterable[Row]:
    """Show each finding of the report, save pictures, compare what is drawn with what is reported and what is there."""
    report = exam.measurement_report()
    found = reported_boxes(report)
    name_of = {uid: name for name, uid in exam.images.items()}
    for name, image in study.images.items():
        frames = [item.frame for item in found if name_of[item.sop_instance_uid] == name]
        yield Row(
            subject=f"{name}: the report has what was planted",
            figures=f"{len(frames)} of {len(image.boxes_px)}" + (f", on frame {image.frame}" if image.frame else ""),
            passed=frames == [image.frame] * len(image.boxes_px),
        )
    for number, item in enumerate(found, start=1):
        name = name_of[item.sop_instance_uid]
        subject, picture = f"{name}: outline of finding {number}", out / f"ohif_finding_{number}_{name}.png"
        try:
            viewer.open_study(site_url, exam.study_instance_uid, len(exam.series()))
            viewer.open_report(report.SeriesInstanceUID, item.tracking_uid, item.sop_instance_uid, item.frame or 1)
            shown = viewer.finding()
        except (TimeoutError, BrowserError) as error:
            save(viewer.browser.screenshot(), picture)
            yield Row(subject=subject, figures=str(error), passed=False)
            continue
        save(shown.window, picture)
        yield _compare(subject, item, study.images[name], shown)


def _compare(subject: str, item: ReportedBox, image: KnownImage, shown: FindingOnScreen) -> Row:
    try:
        drawn = lay_over(image.pixels, shown.bare, image.full_scale).to_stored(
            drawn_outline(shown.outlined, shown.bare)
        )
    except NotOnScreen as error:
        return Row(subject=subject, figures=str(error), passed=False)
    percent = 100 / image.pixels.shape[1]
    planted = max(image.boxes_px, key=lambda box: overlap(drawn, box))
    from_report, from_truth = (percent * deviation(drawn, box) for box in (item.box_px, planted))
    shared = overlap(drawn, planted)
    return Row(
        subject=subject,
        figures=f"{from_report:.2f} % from the report, {from_truth:.2f} % from what is there, overlap {shared:.2f}",
        passed=max(from_report, from_truth) <= MOST_DEVIATION and shared >= LEAST_OVERLAP,
    )


def check_captures(viewer: Viewer, exam: AnsweredExam, out: Path) -> Iterable[Row]:
    """Show each capture in OHIF and by Orthanc, save the pictures, compare them with the capture's own pixels."""
    captures = exam.captures()
    yield Row(subject="captures came back", figures=str(len(captures)), passed=len(captures) >= len(exam.images))
    seen: dict[str, int] = {}
    for capture in captures:
        index = seen.get(capture.SeriesInstanceUID, 0)
        seen[capture.SeriesInstanceUID] = index + 1
        name = capture_name(capture)
        preview = np.asarray(Image.open(BytesIO(exam.preview(capture.SOPInstanceUID))).convert("RGB"))
        save(preview, out / f"orthanc_{name}.png")
        pixels = capture.pixel_array
        apart = (
            float(np.abs(preview.astype(int) - pixels).mean()) / 2.55 if preview.shape == pixels.shape else float("nan")
        )
        yield Row(
            subject=f"{name}: Orthanc's preview", figures=f"differs by {apart:.2f} %", passed=apart <= MOST_DIFFERENCE
        )
        try:
            window, area = viewer.open_image(capture.SeriesInstanceUID, capture.SOPInstanceUID, index)
        except (TimeoutError, BrowserError) as error:
            save(viewer.browser.screenshot(), out / f"ohif_{name}.png")
            yield Row(subject=f"{name}: OHIF", figures=str(error), passed=False)
            continue
        save(window, out / f"ohif_{name}.png")
        apart = difference_on_screen(pixels, area)
        yield Row(subject=f"{name}: OHIF", figures=f"differs by {apart:.2f} %", passed=apart <= MOST_DIFFERENCE)


def capture_name(capture: Dataset) -> str:
    """Name a capture for its files: ``heatmap_L-CC``, or by its numbers where it has no side or no view."""
    view = capture.get("ViewPosition") or next(
        (item.CodeMeaning for item in capture.get("ViewCodeSequence", ())), f"{capture.InstanceNumber}"
    )
    side = capture.get("ImageLaterality", "")
    if side in ("L", "R"):
        return f"heatmap_{side}-{view}"
    return f"capture_{capture.SeriesNumber}_{capture.InstanceNumber}"


def difference_on_screen(pixels: NDArray[np.uint8], area: NDArray[np.uint8]) -> float:
    """Mean difference, in % of full brightness, of an image and a viewport that shows all of it, as large as it can."""
    (rows, columns), (height, width) = pixels.shape[:2], area.shape[:2]
    scale = min(height / rows, width / columns)
    size = (round(columns * scale), round(rows * scale))
    expected = np.zeros_like(area)
    left, top = (width - size[0]) // 2, (height - size[1]) // 2
    expected[top : top + size[1], left : left + size[0]] = np.asarray(
        Image.fromarray(pixels).resize(size, Image.Resampling.BOX)
    )
    inside = np.s_[top : top + size[1], left : left + size[0]]
    return float(np.abs(expected[inside].astype(int) - area[inside]).mean()) / 2.55


def save(picture: NDArray[np.uint8], path: Path) -> None:
    """Write a PNG file."""
    Image.fromarray(picture).save(path)
