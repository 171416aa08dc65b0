"""What is said of each network over the whole study: whether it succeeded, and if not, why."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from models.contract import ModelIdentity
from models.predictor import Classifier, Detector
from pipelines import reasons
from pipelines.contract import Reason
from pipelines.mammography.networks import Available
from pipelines.reporting import ImageResult
from sr_templates.contract import AlgorithmStatus, ReportedAlgorithm

Task = Literal["detection", "classification"]


def reported_algorithms(
    images: Sequence[ImageResult], detector: Available[Detector], classifier: Available[Classifier]
) -> tuple[ReportedAlgorithm, ReportedAlgorithm]:
    """Status of FPNNet and SPPNet over the images of a study; SPPNet runs only where FPNNet did."""
    detected = _status(images, detector.unavailable)
    classified = _status(images, classifier.unavailable or detector.unavailable)
    return (
        _algorithm(detector.identity, detected, "detection"),
        _algorithm(classifier.identity, classified, "classification"),
    )


def failed_algorithms(
    identities: tuple[ModelIdentity, ModelIdentity], reason: Reason
) -> tuple[ReportedAlgorithm, ReportedAlgorithm]:
    """Both networks in a study that could not be finished."""
    detector, classifier = identities
    status: tuple[AlgorithmStatus, str] = ("failed", reason.text)
    return (
        _algorithm(detector, status, "detection"),
        _algorithm(classifier, status, "classification"),
    )


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


def _algorithm(identity: ModelIdentity, status: tuple[AlgorithmStatus, str], task: Task) -> ReportedAlgorithm:
    return ReportedAlgorithm(
        name=identity.name,
        version=identity.version,
        weights_sha256=identity.weights_sha256,
        operating_point=dict(identity.operating_point),
        status=status[0],
        reason=status[1],
        task=task,
    )
