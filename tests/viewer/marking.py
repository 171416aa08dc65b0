"""What a radiologist does in OHIF: marks lesions with the mouse, names one, saves them as a report in the archive.

Every step is an event of the mouse or of a key. Where to press is known from the picture of the breast alone, see
`tests.viewer.places`; nothing is asked of the viewer's own geometry.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from models.contract import BoxPx
from tests.peers.processes import wait_until
from tests.viewer.places import ScreenFrame, lay_over
from tests.viewer.studies import KnownImage
from tests.viewer.viewer import DRAWN_WITHIN_S, IS_THERE, Viewer

Tool = Literal["RectangleROI", "EllipticalROI", "CircleROI", "PlanarFreehandROI"]
Point = tuple[float, float]

TOOLS: Final = "[data-cy=MeasurementTools-split-button-secondary]"
PANEL: Final = "[data-cy=trackedMeasurements-btn]"
TRACK: Final = "[data-cy=prompt-begin-tracking-yes-btn]"
ROW: Final = "[data-cy=measurement-table-row-{}]"
ACTIONS: Final = f"{ROW} [data-cy=actionsMenuTrigger]"
INPUT: Final = "[data-cy=dialog-input]"
SAVE: Final = "[data-cy=input-dialog-save-button]"
HAS_FOCUS: Final = "return document.activeElement?.matches(arguments[0]) ?? false;"
HAS_TEXT: Final = "return document.querySelector(arguments[0])?.innerText.includes(arguments[1]) ?? false;"


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """A stroke of the mouse with a tool of OHIF.

    Attributes
    ----------
    tool : str
        A rectangle is drawn from corner to corner, an ellipse from its centre to a corner of the box around it, a
        circle from its centre to its rim, a freehand line from point to point.
    stroke_px : tuple of (x, y)
        In stored pixels.
    """

    tool: Tool
    stroke_px: tuple[Point, ...]

    @property
    def box_px(self) -> BoxPx:
        """Around what is marked."""
        first, last = self.stroke_px[0], self.stroke_px[-1]
        if self.tool == "EllipticalROI":
            return _around(first, abs(last[0] - first[0]), abs(last[1] - first[1]))
        if self.tool == "CircleROI":
            return _around(first, math.dist(first, last), math.dist(first, last))
        xs, ys = zip(*self.stroke_px, strict=True)
        return min(xs), min(ys), max(xs), max(ys)


def marks_beside(box: BoxPx) -> tuple[Mark, ...]:
    """One mark with each tool: a rectangle around the box, the others on three sides of it."""
    x0, y0, x1, y1 = box
    x, y, margin = (x0 + x1) / 2, (y0 + y1) / 2, 40.0
    left = x0 - 220
    return (
        Mark(tool="RectangleROI", stroke_px=((x0 - margin, y0 - margin), (x1 + margin, y1 + margin))),
        Mark(tool="EllipticalROI", stroke_px=((x, y1 + 220), (x + 130, y1 + 330))),
        Mark(tool="CircleROI", stroke_px=((x, y0 - 220), (x + 80, y0 - 160))),
        Mark(
            tool="PlanarFreehandROI",
            stroke_px=((left, y), (left + 90, y - 110), (left + 140, y + 30), (left + 40, y + 120), (left, y)),
        ),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Radiologist:
    """At the mouse and the keyboard of a viewer."""

    viewer: Viewer

    def mark(self, image: KnownImage, sop_instance_uid: str, marks: Sequence[Mark], name: str) -> ScreenFrame:
        """Mark an image of the open study and give the first mark a name; return where the image is in the window."""
        browser, viewer = self.viewer.browser, self.viewer
        viewer.open_mammogram(sop_instance_uid)
        browser.click(PANEL)
        viewer.wait_for("[data-cy=trackedMeasurements-panel]")
        bare = viewer.picture("all but pixels")
        frame = lay_over(image.pixels, bare, image.full_scale).moved(viewer.corner())
        for count, mark in enumerate(marks, start=1):
            browser.click(TOOLS)
            viewer.wait_for(f"[data-cy={mark.tool}]")
            browser.click(f"[data-cy={mark.tool}]")
            self._wait(lambda: not browser.script(IS_THERE, "[role=menu]"), "the menu to close")
            browser.drag(*(frame.to_screen(point) for point in mark.stroke_px))
            if count == 1:
                viewer.wait_for(TRACK)
                browser.click(TRACK)
                viewer.wait_for(ROW.format(0))
                self._name(name)
            viewer.wait_for(ROW.format(count - 1))
        return frame

    def save_report(self, name: str) -> None:
        """Save what is marked as a new series of the data source."""
        self.viewer.browser.click("button", "Create SR")
        self._answer(name)

    def _name(self, name: str) -> None:
        self.viewer.browser.click(ACTIONS.format(0))
        self.viewer.wait_for("[data-cy=Rename]")
        self.viewer.browser.click("[data-cy=Rename]")
        self._answer(name)
        self._wait(lambda: self.viewer.browser.script(HAS_TEXT, ROW.format(0), name), "the name in the list")

    def _answer(self, text: str) -> None:
        """Write into the dialog that came up, and save."""
        self._wait(lambda: self.viewer.browser.script(HAS_FOCUS, INPUT), "a dialog")
        self.viewer.browser.type(text)
        self.viewer.browser.click(SAVE)
        self._wait(lambda: not self.viewer.browser.script(HAS_FOCUS, INPUT), "the dialog to close")

    def _wait(self, condition: Callable[[], object], what: str) -> None:
        wait_until(condition, timeout_s=DRAWN_WITHIN_S, what=f"OHIF: {what}")


def _around(centre: Point, half_width: float, half_height: float) -> BoxPx:
    return centre[0] - half_width, centre[1] - half_height, centre[0] + half_width, centre[1] + half_height
