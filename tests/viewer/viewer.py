"""What a user of OHIF does: opens the study, opens a report or a capture; and what is then on screen.

OHIF 3.13 makes every mammogram a stack of its own and shows a report on the image of its first finding; its arrows to
the next finding do nothing when that is on another image. So `Viewer.open_report` puts the finding that is wanted first
in the list that OHIF has read from the report, and changes nothing else of it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from tests.peers.processes import wait_until
from tests.viewer.browser import Browser

Picture = NDArray[np.uint8]

DRAWN_WITHIN_S: Final = 60
ASKED_WITHIN_S: Final = 8
"""After an outline is drawn, in which the viewer asks whether to track measurements; of some it does not ask."""

HIDDEN: Final = {
    "nothing": "",
    # All that is written or drawn over the pixels, but the outlines of findings.
    "all but outlines": ".viewport-overlay, .svg-layer > :not(polyline) { visibility: hidden !important; }",
    "all but pixels": ".viewport-overlay, .svg-layer { visibility: hidden !important; }",
}

FIND_SERIES: Final = """
    const found = window.services?.displaySetService?.activeDisplaySets ?? [];
    const images = set => (set.images ?? set.instances ?? []).map(image => image.SOPInstanceUID);
    return found.map(set => ({uid: set.displaySetInstanceUID, series: set.SeriesInstanceUID, images: images(set)}));
"""
SHOW: Final = """
    const grid = window.services.viewportGridService;
    const viewportId = grid.getState().activeViewportId;
    grid.setDisplaySetsForViewport({viewportId, displaySetInstanceUIDs: [arguments[0]]});
"""
SHOWN: Final = """
    const [element] = window.cornerstone?.getEnabledElements() ?? [];
    const viewport = element?.viewport;
    const image = viewport?.getCurrentImageId?.();
    // An image that is still loading has a place in the viewport, and none on screen.
    if (viewport?.viewportStatus !== 'rendered' || !image || !viewport.getImageData()) return null;
    const {x, y, width, height} = viewport.element.getBoundingClientRect();
    return {image, area: [x, y, x + width, y + height].map(Math.round)};
"""
LOAD_REPORT: Final = """
    const [series, first] = arguments;
    const report = window.services.displaySetService.activeDisplaySets.find(set => set.SeriesInstanceUID === series);
    if (!report.isLoaded) await report.load();
    report.measurements.sort((a, b) => (b.TrackingUniqueIdentifier === first) - (a.TrackingUniqueIdentifier === first));
"""
CLICK: Final = "document.querySelector(`[data-cy=${arguments[0]}]`).click();"
DRAW_AGAIN: Final = "window.cornerstone.getEnabledElements()[0]?.viewport.render();"
IS_THERE: Final = "return document.querySelector(arguments[0]) !== null;"
GO_TO: Final = "await window.cornerstone.getEnabledElements()[0].viewport.setImageIdIndex(arguments[0]);"
HIDE: Final = """
    let style = document.getElementById('hidden-for-a-picture');
    if (!style) {
        style = document.head.appendChild(document.createElement('style'));
        style.id = 'hidden-for-a-picture';
    }
    style.textContent = arguments[0];
    await new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)));
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class FindingOnScreen:
    """Pictures of the viewport, all of the same shape ``(rows, columns, 3)``, uint8, RGB.

    Attributes
    ----------
    window : numpy.ndarray
        All of the window, as a user sees it; larger than the others.
    outlined : numpy.ndarray
        The image with the outlines of findings, and nothing else.
    bare : numpy.ndarray
        The image alone.
    """

    window: Picture
    outlined: Picture
    bare: Picture


@dataclass(frozen=True, slots=True, kw_only=True)
class Viewer:
    """OHIF with one study in one viewport."""

    browser: Browser

    def open_study(self, site_url: str, study_instance_uid: str, series_count: int) -> None:
        """Open the study, and wait until the viewer knows all its series and has drawn the first image."""
        self.browser.go(f"{site_url}/viewer?StudyInstanceUIDs={study_instance_uid}")
        self._wait(lambda: len({item["series"] for item in self._series()}) >= series_count, "the list of series")
        self._wait(self._shown, "the first image")
        self._settled()  # a series that is opened before the first image is drawn may come up beside the window

    def open_report(self, series_instance_uid: str, tracking_uid: str, sop_instance_uid: str, frame: int) -> None:
        """Open a structured report at one of its findings, which is on this image; do not track its measurements.

        Parameters
        ----------
        frame : int
            That the viewer must come to by itself; 1 in an image that has no frames.
        """
        self.browser.script(LOAD_REPORT, series_instance_uid, tracking_uid)
        self._open(series_instance_uid)
        self._wait_for_image(sop_instance_uid, frame)
        self._wait(self._is_outlined, "an outline")
        try:
            wait_until(
                lambda: self._has("[data-cy=no-hydrate-btn]"), timeout_s=ASKED_WITHIN_S, what="OHIF: the question"
            )
        except TimeoutError:
            return  # it does not ask whether to track what it cannot: outlines
        self.browser.script(CLICK, "no-hydrate-btn")
        self._wait(lambda: not self._has("[data-cy=no-hydrate-btn]"), "the question to go away")

    def open_image(self, series_instance_uid: str, sop_instance_uid: str, index: int) -> tuple[Picture, Picture]:
        """Open an image series at `index`, where this instance is; return pictures of the window and of the pixels."""
        self._open(series_instance_uid)
        self._wait(lambda: self._shown_series() == series_instance_uid, "the series to be drawn")
        self.browser.script(GO_TO, index)
        self._wait_for_image(sop_instance_uid)
        return self._settled(), self.picture("all but pixels")

    def open_mammogram(self, sop_instance_uid: str) -> None:
        """Show an image that is a stack of its own."""
        uid = next(item["uid"] for item in self._series() if sop_instance_uid in item["images"])
        self.browser.script(SHOW, uid)
        self._wait_for_image(sop_instance_uid)

    def finding(self) -> FindingOnScreen:
        """Take the pictures of the finding that is shown."""
        window = self._settled()
        return FindingOnScreen(
            window=window, outlined=self.picture("all but outlines"), bare=self.picture("all but pixels")
        )

    def corner(self) -> tuple[int, int]:
        """Column and row of the window where the viewport begins."""
        left, top, _, _ = self._shown()["area"]
        return left, top

    def wait_for(self, selector: str) -> None:
        """Wait until an element is there."""
        self._wait(lambda: self._has(selector), selector)

    def picture(self, hidden: str) -> Picture:
        """Return the viewport with some of its layers hidden, see `HIDDEN`; afterwards all are shown again."""
        left, top, right, bottom = self._shown()["area"]
        self.browser.script(HIDE, HIDDEN[hidden])
        picture = self._settled()[top:bottom, left:right]
        self.browser.script(HIDE, HIDDEN["nothing"])
        return picture

    def _series(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.browser.script(FIND_SERIES)
        return found

    def _open(self, series_instance_uid: str) -> None:
        uid = next(item["uid"] for item in self._series() if item["series"] == series_instance_uid)
        self.browser.script(SHOW, uid)

    def _shown(self) -> Any:
        return self.browser.script(SHOWN)

    def _shown_series(self) -> str:
        shown = self._shown()
        return shown["image"].split("/series/")[1].split("/")[0] if shown else ""

    def _wait_for_image(self, sop_instance_uid: str, frame: int = 1) -> None:
        def is_shown() -> bool:
            shown = self._shown()
            return bool(shown) and f"/instances/{sop_instance_uid}/frames/{frame}" in shown["image"]

        self._wait(is_shown, f"image {sop_instance_uid}, frame {frame}")

    def _has(self, selector: str) -> bool:
        return bool(self.browser.script(IS_THERE, selector))

    def _is_outlined(self) -> bool:
        """Whether an outline is drawn; on a busy machine the image may be there before the outlines, and stay alone."""
        found = self._has(".svg-layer polyline")
        if not found:
            self.browser.script(DRAW_AGAIN)
        return found

    def _settled(self) -> Picture:
        """Take screenshots until two in a row are the same."""
        pictures = [self.browser.screenshot()]

        def is_still() -> bool:
            pictures.append(self.browser.screenshot())
            return np.array_equal(pictures[-1], pictures[-2])

        self._wait(is_still, "a still picture")
        return pictures[-1]

    def _wait(self, condition: Any, what: str) -> None:
        wait_until(condition, timeout_s=DRAWN_WITHIN_S, what=f"OHIF: {what}")
