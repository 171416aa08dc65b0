"""The ultrasound pipeline: lesions outlined by us-segmentation, measured, and classified by us-malignancy and us-her2.

us-segmentation decides whether there is a lesion. Without us-malignancy lesions are still outlined and measured, and
said to be not classified; without us-segmentation nothing is analysed.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

from pydicom import Dataset

from models import registry
from pipelines import reasons
from pipelines.contract import AnalysisOptions, PipelineResult, Reason, StudyInput
from pipelines.image_result import Conclusion
from pipelines.instances import Instance, read_instances
from pipelines.outcomes import study_outcome
from pipelines.region_requests import object_results, requests_left, unanswered_requests
from pipelines.reporting import ObjectMaker, failed_images, failure, finish, limited
from pipelines.ultrasound.fitness import unfit_reason
from pipelines.ultrasound.header import UltrasoundHeader, describe_ultrasound
from pipelines.ultrasound.images import analyse_image
from pipelines.ultrasound.networks import Models, failed_networks, load_networks
from sr_templates.contract import ResultKind
from sr_templates.registry import make_objects

KINDS: Final[frozenset[ResultKind]] = frozenset({"measurement_sr", "heatmap", "summary", "presentation_state"})
"""A report of mammography CAD has no word for what is found here."""


class UltrasoundPipeline:
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

    name = "ultrasound"

    def __init__(
        self,
        *,
        models: Models = registry,
        make_objects: ObjectMaker = make_objects,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self._models = models
        self._make_objects = make_objects
        self._clock = clock

    def warm_up(self, options: AnalysisOptions) -> None:
        """Load the networks and run each once, so that the first study does not wait."""
        load_networks(self._models, options).warm_up()

    def analyse(self, study: StudyInput, options: AnalysisOptions) -> PipelineResult:
        """Analyse every object that can be analysed, one after another; all others come back with their reason."""
        networks = load_networks(self._models, options)
        wanted = limited(options, KINDS)
        images = [analyse_image(found, networks, wanted, self._clock) for found in _instances(study)]
        outcome, reason = study_outcome(images)
        conclusion = Conclusion(outcome=outcome, reason=reason, algorithms=networks.reported(images), target="lesion")
        asked = unanswered_requests(study, reasons.REGIONS_ON_ULTRASOUND)
        listed = (*images, *object_results(study, asked))
        return finish(study, wanted, listed, conclusion, pipeline=self.name, make_objects=self._make_objects)

    def report_failure(self, study: StudyInput, options: AnalysisOptions, reason: Reason) -> PipelineResult:
        """Answer from headers alone: no pixel is touched and no network is loaded."""
        return failure(
            study,
            limited(options, KINDS),
            (*failed_images(_instances(study), reason), *object_results(study, requests_left(study, reason))),
            reason,
            pipeline=self.name,
            make_objects=self._make_objects,
            algorithms=failed_networks(self._models, options, reason),
            target="lesion",
        )


def _instances(study: StudyInput) -> tuple[Instance[UltrasoundHeader], ...]:
    return read_instances(study, describe_ultrasound, _unfit)


def _unfit(header: UltrasoundHeader, dataset: Dataset) -> Reason | None:
    """The pipeline's rules of fitness; they need no more than the described header."""
    return unfit_reason(header)
