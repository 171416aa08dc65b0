"""What became of an image on which an error came up, and of a study of images: the same in every pipeline."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from models.errors import DeviceOutOfMemory, ModelError
from pipelines import reasons
from pipelines.contract import Reason
from pipelines.errors import MissingPixels, UndecodablePixels, UnreadableInstance
from pipelines.image_result import ImageResult
from sr_templates.contract import Outcome

ERROR_TABLE: Final[tuple[tuple[type[Exception], Outcome, Callable[[Exception], Reason]], ...]] = (
    (MissingPixels, "not_analysed", lambda error: reasons.NO_PIXELS),
    (UndecodablePixels, "not_analysed", lambda error: reasons.undecodable(str(error))),
    (UnreadableInstance, "failed", lambda error: reasons.analysis_failed(str(error))),
    (DeviceOutOfMemory, "failed", lambda error: reasons.OUT_OF_MEMORY),
    (MemoryError, "failed", lambda error: reasons.OUT_OF_MEMORY),
    (ModelError, "failed", lambda error: reasons.analysis_failed(type(error).__name__)),
)
EXPLAINED_ERRORS: Final = tuple(kind for kind, _, _ in ERROR_TABLE)
"""Anything else is a fault of this program: it is raised, and the node answers with `report_failure`."""


def explained(error: Exception) -> tuple[Outcome, Reason]:
    """What an error on one image means: a property of the image, or a failure. The table's order matters."""
    return next((outcome, reason(error)) for kind, outcome, reason in ERROR_TABLE if isinstance(error, kind))


def study_outcome(images: Sequence[ImageResult]) -> tuple[Outcome, Reason | None]:
    """Analysed if one image was; else failed if one failed; the reasons of all, the fit images' first."""
    outcomes = {image.outcome for image in images}
    if "analysed" in outcomes:
        return "analysed", None
    unanswered = sorted(
        (image for image in images if image.reason is not None),
        key=lambda image: (image.outcome != "failed", image.instance.unfit is not None),
    )
    if not unanswered:
        return "not_analysed", reasons.NO_INSTANCES
    outcome: Outcome = "failed" if "failed" in outcomes else "not_analysed"
    return outcome, reasons.joined([image.reason for image in unanswered if image.reason is not None])
