"""Each breast of a study: which views there are, what the rule makes of them, and what is missing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Literal

from pipelines import reasons
from pipelines.contract import BreastAssessment, Reason
from pipelines.image_result import ImageResult
from pipelines.mammography.breast_rule import breast_status, view_evidence
from sr_templates.mammograms import is_mammogram

Side = Literal["L", "R"]
SIDES: Final[tuple[Side, ...]] = ("L", "R")


def assess_breasts(images: Sequence[ImageResult], required_views: Sequence[str]) -> tuple[BreastAssessment, ...]:
    """Assess every breast that has an image or of which a view is required.

    Parameters
    ----------
    images : sequence of ImageResult
        All instances of the study.
    required_views : sequence of str
        ``"L-CC"``-style names.

    Returns
    -------
    tuple of BreastAssessment
        Left first. A breast that lacks a required view, or of which a view was not analysed, says so in its reason,
        whatever its status.
    """
    unplaced = any(
        is_mammogram(image.instance.dataset) and None in {image.instance.header.laterality, image.instance.header.view}
        for image in images
    )
    wanted = {side: [name[2:] for name in required_views if name.startswith(f"{side}-")] for side in SIDES}
    of_side = {side: [image for image in images if image.instance.header.laterality == side] for side in SIDES}
    return tuple(
        _assess(side, of_side[side], wanted[side], unplaced=unplaced) for side in SIDES if of_side[side] or wanted[side]
    )


def _assess(side: Side, images: Sequence[ImageResult], wanted: Sequence[str], *, unplaced: bool) -> BreastAssessment:
    analysed = [image for image in images if image.outcome == "analysed"]
    views = tuple(sorted({view for image in analysed if (view := image.instance.header.view) is not None}))
    status, confidence = breast_status(
        view_evidence(view, (found for image in analysed if _shows(image, view) for found in image.detections))
        for view in views
    )
    reason = _reason(images, wanted, views, unplaced=unplaced)
    return BreastAssessment(laterality=side, status=status, confidence=confidence, views=views, reason=reason)


def _reason(
    images: Sequence[ImageResult], wanted: Sequence[str], analysed: Sequence[str], *, unplaced: bool
) -> Reason | None:
    """Missing views, then why required views that came were not analysed; of any view, when none was."""
    received = {image.instance.header.view for image in images}
    missing = [view for view in wanted if view not in received]
    explained = [reasons.missing_views(missing, unplaced=unplaced)] if missing else []
    skipped = [
        (image.instance.header.view or "unknown", image.reason)
        for image in images
        if image.reason is not None
        and image.instance.header.view not in analysed
        and (image.instance.header.view in wanted or not analysed)
    ]
    if len({reason for _, reason in skipped}) == 1:
        explained.append(skipped[0][1])
    else:
        explained.extend(reasons.about_view(view, reason) for view, reason in skipped)
    return reasons.joined(explained) if explained else None


def _shows(image: ImageResult, view: str) -> bool:
    return image.instance.header.view == view
