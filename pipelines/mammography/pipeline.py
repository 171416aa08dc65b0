"""The mammography pipeline: microcalcifications by FPNNet, a second opinion by SPPNet, the status of each breast.

FPNNet decides: an image's malignancy and the status of a breast come from its boxes alone (`breast_rule`). SPPNet looks
at the whole image and gives its own malignancy, which is kept beside FPNNet's and changes nothing: the paper compares
the two and does not combine them. So a study can be analysed without SPPNet, but not without FPNNet.

Models of regions are asked afterwards about the regions that a radiologist marked, and about FPNNet's most malignant
boxes (`biomarkers`). What they need of an image is cut out while it is in memory.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from models import registry
from models.contract import Detection, DetectionOutput, ModelImage
from models.predictor import Classifier, Detector
from pipelines.algorithms import failed_algorithm, reported_algorithm
from pipelines.contract import AnalysisOptions, Biomarker, PipelineResult, Reason, StudyInput
from pipelines.coordinates import FrameTransform, plan_transform
from pipelines.headers import MammogramHeader, describe_mammogram, unfit_reason
from pipelines.image_result import Conclusion, ImageResult
from pipelines.instances import Instance, read_instances
from pipelines.mammography.biomarkers import predict_lesions, region_algorithms
from pipelines.mammography.breast_rule import image_malignancy
from pipelines.mammography.breasts import assess_breasts
from pipelines.mammography.lesions import LesionCuts, detected_lesions, marked_lesions
from pipelines.mammography.networks import Networks
from pipelines.mammography.region_networks import Models, RegionNetworks
from pipelines.networks import Available
from pipelines.outcomes import EXPLAINED_ERRORS, explained, study_outcome
from pipelines.pixels import StandardImage, decode, standardise
from pipelines.region_requests import RegionRequests, object_results, read_requests, requests_left
from pipelines.reporting import ObjectMaker, failed_images, failure, finish
from sr_templates.registry import make_objects


@dataclass(frozen=True, slots=True, kw_only=True)
class _Framed:
    """An image as one model gets it, and the way back."""

    image: ModelImage
    transform: FrameTransform


@dataclass(frozen=True, slots=True, kw_only=True)
class _Run:
    """What every image of a study is analysed with; `cuts` collects what is kept of them."""

    detector: Available[Detector]
    classifier: Available[Classifier]
    options: AnalysisOptions
    clock: Callable[[], float]
    requests: RegionRequests
    cuts: LesionCuts


class MammographyPipeline:
    """From the files of a study to its report.

    Parameters
    ----------
    models : Models
        Where networks come from; by default what is installed.
    make_objects : callable
        What encodes the report; by default every template.
    clock : callable
        Seconds that only ever grow; measures the time spent inside the models.
    """

    name = "mammography"

    def __init__(
        self,
        *,
        models: Models = registry,
        make_objects: ObjectMaker = make_objects,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self._networks = Networks(models)
        self._region_networks = RegionNetworks(models)
        self._make_objects = make_objects
        self._clock = clock

    def warm_up(self, options: AnalysisOptions) -> None:
        """Load the networks and run each once, so that the first study does not wait."""
        self._networks.warm_up(options)
        self._region_networks.warm_up(options)

    def analyse(self, study: StudyInput, options: AnalysisOptions) -> PipelineResult:
        """Analyse every image that can be analysed, one after another; all others come back with their reason."""
        detector = self._networks.detector(options)
        classifier = self._networks.classifier(options)
        instances = _instances(study)
        run = _Run(
            detector=detector,
            classifier=classifier,
            options=options,
            clock=self._clock,
            requests=read_requests(study, instances),
            cuts=LesionCuts(with_detected=self._region_networks.any_installed(options)),
        )
        images = [_analyse_image(found, run) for found in instances]
        started_s = self._clock()
        biomarkers = self._biomarkers(run, images)
        biomarkers_s = self._clock() - started_s
        outcome, reason = study_outcome(images)
        conclusion = Conclusion(
            outcome=outcome,
            reason=reason,
            breasts=assess_breasts(images, options.required_views),
            algorithms=(
                reported_algorithm(detector.identity, "detection", images, detector.unavailable),
                # SPPNet runs only where FPNNet did
                reported_algorithm(
                    classifier.identity, "classification", images, classifier.unavailable or detector.unavailable
                ),
                *region_algorithms(biomarkers),
            ),
            biomarkers=biomarkers,
            models_s=biomarkers_s,
        )
        listed = (*images, *object_results(study, run.requests))
        return finish(study, options, listed, conclusion, pipeline=self.name, make_objects=self._make_objects)

    def _biomarkers(self, run: _Run, images: Sequence[ImageResult]) -> tuple[Biomarker, ...]:
        """Of a radiologist's lesions by every model, of the detector's by those that are installed."""
        marked = marked_lesions(run.requests.regions, images)
        lesions = (*marked, *(detected_lesions(images) if run.cuts.with_detected else ()))
        if not lesions:
            return ()
        every = self._region_networks.every if marked else self._region_networks.installed
        return predict_lesions(lesions, every(run.options), run.cuts, images, self._clock)

    def report_failure(self, study: StudyInput, options: AnalysisOptions, reason: Reason) -> PipelineResult:
        """Answer from headers alone: no pixel is touched and no network is loaded."""
        detector, classifier = self._networks.describe(options)
        images = failed_images(_instances(study), reason)
        return failure(
            study,
            options,
            (*images, *object_results(study, requests_left(study, reason))),
            reason,
            pipeline=self.name,
            make_objects=self._make_objects,
            breasts=assess_breasts(images, options.required_views),
            algorithms=(
                failed_algorithm(detector, "detection", reason),
                failed_algorithm(classifier, "classification", reason),
            ),
        )


def _instances(study: StudyInput) -> tuple[Instance[MammogramHeader], ...]:
    return read_instances(study, describe_mammogram, unfit_reason)


def _analyse_image(instance: Instance[MammogramHeader], run: _Run) -> ImageResult:
    """One image, from file to boxes in its stored pixels; nothing but the result and the run's cuts outlives it."""
    if instance.unfit is not None:
        return ImageResult(instance=instance, outcome="not_analysed", reason=instance.unfit)
    detector, display = run.detector, None
    started_s = run.clock()
    try:
        standard = standardise(decode(instance.path), instance.header)
        display = standard.display if run.options.draws else None
        run.cuts.take(standard, run.requests.on(instance.sop_instance_uid))
        started_s = run.clock()
        if detector.network is None:
            return ImageResult(instance=instance, outcome="not_analysed", reason=detector.unavailable, display=display)
        found = _with_networks(instance, standard, detector.network, run.classifier.network, run.options)
        run.cuts.take_detected(standard, instance.sop_instance_uid, found.detections)
    except EXPLAINED_ERRORS as error:
        outcome, reason = explained(error)
        return ImageResult(instance=instance, outcome=outcome, reason=reason, display=display)
    return replace(found, display=display, models_s=run.clock() - started_s)


def _with_networks(
    instance: Instance[MammogramHeader],
    standard: StandardImage,
    detector: Detector,
    classifier: Classifier | None,
    options: AnalysisOptions,
) -> ImageResult:
    """Run the networks and bring what they say back to stored pixels."""
    framed = _framed(standard, detector.canonical_spacing_mm)
    output = detector.predict(framed.image, min_score=options.min_score, with_activation=options.shows_heat)
    detections = _in_stored_pixels(output, framed.transform)
    heat = output.activation if options.shows_heat else None
    opinion = None
    if classifier is not None:
        opinion = classifier.predict(_framed(standard, classifier.canonical_spacing_mm).image).malignancy
    return ImageResult(
        instance=instance,
        outcome="analysed",
        detections=detections,
        malignancy=image_malignancy(detections),
        second_opinion=opinion,
        activation=None if heat is None else framed.transform.image_to_stored(heat),
        detector=detector.identity.name,
    )


def _framed(standard: StandardImage, canonical_spacing_mm: float | None) -> _Framed:
    """Crop the background and resample to the spacing that the network was trained with; nothing is flipped."""
    if standard.spacing_mm is None:  # the rules of fitness let no such image through
        raise ValueError("an image without pixel spacing cannot be brought to a model")
    transform = plan_transform(standard.pixels, standard.spacing_mm, canonical_spacing_mm)
    image = ModelImage(
        pixels=transform.image_to_model(standard.pixels),
        spacing_mm=transform.model_spacing_mm(standard.spacing_mm),
    )
    return _Framed(image=image, transform=transform)


def _in_stored_pixels(output: DetectionOutput, transform: FrameTransform) -> tuple[Detection, ...]:
    """Boxes in the stored frame, cut at its edges; what then has no area was outside the image."""
    stored = (replace(found, box_px=transform.box_within_stored(found.box_px)) for found in output.detections)
    return tuple(found for found in stored if found.box_px[0] < found.box_px[2] and found.box_px[1] < found.box_px[3])
