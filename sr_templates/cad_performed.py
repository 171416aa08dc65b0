"""What a CAD report says of its algorithms: which succeeded on which images (TID 4015 to TID 4018).

An algorithm that was not attempted is not mentioned (PS3.16 TID 4015); the status of the summary follows from the
containers below it, so that neither can contradict the other. The findings summary counts it as not succeeded.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from pydicom import Dataset

from sr_templates import codes
from sr_templates.algorithm_identification import breast_rule_tid_4019, tid_4019
from sr_templates.cad_library import ImageLibrary
from sr_templates.content import by_reference, code_item, container
from sr_templates.contract import AlgorithmStatus, ReportedAlgorithm, ReportedImage, StudyReport
from sr_templates.mammograms import not_analysed


@dataclass(frozen=True, slots=True, kw_only=True)
class _Run:
    """An attempt: how to identify what ran, and the images on which it succeeded and failed; one image at least."""

    identification: Callable[[], list[Dataset]]
    succeeded: Sequence[ReportedImage]
    failed: Sequence[ReportedImage]


def extent(report: StudyReport, library: ImageLibrary, *, has_findings: bool) -> Literal["all", "some", "none"]:
    """How many algorithms succeeded (CID 6047).

    A mammogram left out counts against "all", in the library or not: also one that holds no image, or is unreadable.
    """
    runs = [_run(library, algorithm) for algorithm in report.image_algorithms]
    complete = next(not_analysed(report), None) is None
    if complete and runs and all(run is not None and not run.failed for run in runs):
        return "all"
    if has_findings or any(run is not None and run.succeeded for run in runs):
        return "some"
    return "none"


def tid_4015(report: StudyReport, library: ImageLibrary) -> Dataset:
    """TID 4015 CAD Detections Performed, below Summary of Detections (TID 4000 row 6)."""
    return _summary(
        library,
        _runs(report, library, "detection"),
        codes.SUMMARY_OF_DETECTIONS,
        (codes.SUCCESSFUL_DETECTIONS, codes.FAILED_DETECTIONS),
        (codes.DETECTION_PERFORMED, codes.CALCIFICATION_CLUSTER),
    )


def tid_4016(report: StudyReport, library: ImageLibrary) -> Dataset:
    """TID 4016 CAD Analyses Performed, below Summary of Analyses (TID 4000 row 8): classifiers, and the breast rule."""
    rule = _breast_rule_run(report, library)
    return _summary(
        library,
        [*_runs(report, library, "classification"), *([rule] if rule is not None else [])],
        codes.SUMMARY_OF_ANALYSES,
        (codes.SUCCESSFUL_ANALYSES, codes.FAILED_ANALYSES),
        (codes.ANALYSIS_PERFORMED, codes.INDIVIDUAL_IMPRESSION_ANALYSIS),
    )


def _runs(report: StudyReport, library: ImageLibrary, task: Literal["detection", "classification"]) -> list[_Run]:
    attempts = (_run(library, algorithm) for algorithm in report.image_algorithms if algorithm.task == task)
    return [run for run in attempts if run is not None]


def _run(library: ImageLibrary, algorithm: ReportedAlgorithm) -> _Run | None:
    """Run of an algorithm over the images of the library; None when it was not attempted."""
    if algorithm.status == "not_attempted":
        return None
    images = list(library.images())
    done = [image for image in images if image.outcome == "analysed"]
    missed = [image for image in images if image.outcome != "analysed"]
    if algorithm.status == "failed" or not done:
        done, missed = [], images
    elif algorithm.status == "partially_succeeded" and not missed:
        missed = done  # its own word that something failed cannot be pinned on one image
    return _Run(identification=lambda: tid_4019("HAS PROPERTIES", algorithm), succeeded=done, failed=missed)


def _breast_rule_run(report: StudyReport, library: ImageLibrary) -> _Run | None:
    """Run of the rule over each breast that has a status, of which a composite feature is the result.

    It lacks the images that were not analysed; None when no breast has a status.
    """
    sides = {breast.laterality for breast in report.breasts if breast.status != "not_analysed"}
    images = list(library.images())
    used = [image for image in images if image.outcome == "analysed" and image.laterality in sides]
    lacking = [image for image in images if image.outcome != "analysed"]
    detectors = [algorithm for algorithm in report.image_algorithms if algorithm.task == "detection"]
    if not used or not detectors:
        return None
    detector = detectors[0]
    return _Run(identification=lambda: breast_rule_tid_4019("HAS PROPERTIES", detector), succeeded=used, failed=lacking)


def _summary(
    library: ImageLibrary,
    runs: Sequence[_Run],
    name: codes.Code,
    containers: tuple[codes.Code, codes.Code],
    performed: tuple[codes.Code, codes.Code],
) -> Dataset:
    """A summary (CID 6042) with the container of what succeeded, of what failed, or both."""
    parts = (
        [_performed(library, run, performed, run.succeeded) for run in runs if run.succeeded],
        [_performed(library, run, performed, run.failed) for run in runs if run.failed],
    )
    status = _status(bool(parts[0]), bool(parts[1]))
    below = [
        container("INFERRED FROM", concept, items) for concept, items in zip(containers, parts, strict=True) if items
    ]
    return code_item("CONTAINS", name, codes.RESULT_STATUS[status], below)


def _status(any_succeeded: bool, any_failed: bool) -> AlgorithmStatus:
    if any_succeeded:
        return "partially_succeeded" if any_failed else "succeeded"
    return "failed" if any_failed else "not_attempted"


def _performed(
    library: ImageLibrary, run: _Run, performed: tuple[codes.Code, codes.Code], images: Sequence[ReportedImage]
) -> Dataset:
    """TID 4017 CAD Detection Performed, and TID 4018 CAD Analysis Performed, which differ in their concepts only."""
    positions = [position for image in images if (position := library.position(image, None)) is not None]
    references = [by_reference("HAS PROPERTIES", position) for position in positions]
    return code_item("CONTAINS", *performed, [*run.identification(), *references])
