"""What is said of a network over a whole study: whether it succeeded, and if not, why."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from models.contract import ModelIdentity
from pipelines import reasons
from pipelines.contract import Reason
from pipelines.image_result import ImageResult
from sr_templates.contract import AlgorithmStatus, ReportedAlgorithm

Task = Literal["detection", "classification"]


def reported_algorithm(
    identity: ModelIdentity, task: Task, images: Sequence[ImageResult], unavailable: Reason | None
) -> ReportedAlgorithm:
    """Status of a network over the images of a study.

    Parameters
    ----------
    unavailable : Reason or None
        Why it could not run at all: its own weights, or what it needs from another network, are not there.
    """
    return with_status(identity, task, *_status(images, unavailable))


def failed_algorithm(identity: ModelIdentity, task: Task, reason: Reason) -> ReportedAlgorithm:
    """A network in a study that could not be finished."""
    return with_status(identity, task, "failed", reason.text)


def _status(images: Sequence[ImageResult], unavailable: Reason | None) -> tuple[AlgorithmStatus, str]:
    """Images that no rule let through were never attempted, and do not count as failures."""
    if unavailable is not None:
        return "not_attempted", unavailable.text
    analysed = [image for image in images if image.outcome == "analysed"]
    failed = [image.reason for image in images if image.outcome == "failed" and image.reason is not None]
    if not analysed and not failed:
        return "not_attempted", reasons.NO_FIT_IMAGE.text
    if not failed:
        return "succeeded", ""
    return ("partially_succeeded" if analysed else "failed"), reasons.joined(failed).text


def with_status(identity: ModelIdentity, task: Task, status: AlgorithmStatus, reason: str) -> ReportedAlgorithm:
    """A network of whose success everything is known."""
    return ReportedAlgorithm(
        name=identity.name,
        version=identity.version,
        weights_sha256=identity.weights_sha256,
        operating_point=dict(identity.operating_point),
        status=status,
        reason=reason,
        task=task,
    )
