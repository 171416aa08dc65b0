"""The three networks of the pipeline: outlines, malignancy, HER2."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

from models.contract import ModelIdentity
from models.predictor import LesionClassifier, Segmenter
from pipelines.algorithms import Task, failed_algorithm, reported_algorithm
from pipelines.contract import AnalysisOptions, Reason
from pipelines.image_result import ImageResult
from pipelines.networks import Available, Catalogue, at_threshold, available, identity_of, warm_up
from sr_templates.contract import ReportedAlgorithm

SEGMENTER: Final = "us-segmentation"
MALIGNANCY: Final = "us-malignancy"
HER2: Final = "us-her2"
TASKS: Final[tuple[Task, ...]] = ("detection", "classification", "classification")


class Models(Catalogue, Protocol):
    """What the pipeline needs of the module `models.registry`, or of a stand-in; loaded models stay resident there."""

    def load_segmenter(self, name: str, device: str, weights_dir: Path | None) -> Segmenter:
        """Load a segmenter; raises WeightsMissing or WeightsMismatch."""
        ...

    def load_lesion_classifier(self, name: str, device: str, weights_dir: Path | None) -> LesionClassifier:
        """Load a classifier of regions; raises WeightsMissing or WeightsMismatch."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Networks:
    """What there is for one study."""

    segmenter: Available[Segmenter]
    malignancy: Available[LesionClassifier]
    her2: Available[LesionClassifier]

    @property
    def identities(self) -> tuple[ModelIdentity, ...]:
        """In the order of `TASKS`."""
        return self.segmenter.identity, self.malignancy.identity, self.her2.identity

    def warm_up(self) -> None:
        """Run each once; what has no weights stays cold."""
        warm_up(self.segmenter)
        warm_up(self.malignancy, self.her2)

    def reported(self, images: list[ImageResult]) -> tuple[ReportedAlgorithm, ...]:
        """Status of each over the images of a study; without outlines the others have nothing to look at."""
        outlines = self.segmenter.unavailable
        unavailable = (outlines, self.malignancy.unavailable or outlines, self.her2.unavailable or outlines)
        return tuple(
            reported_algorithm(identity, task, images, reason)
            for identity, task, reason in zip(self.identities, TASKS, unavailable, strict=True)
        )


def load_networks(models: Models, options: AnalysisOptions) -> Networks:
    """Load what is installed, as a run's options ask for it."""
    segmenter = available(models, SEGMENTER, models.load_segmenter, options)
    return Networks(
        segmenter=at_threshold(segmenter, options),
        malignancy=available(models, MALIGNANCY, models.load_lesion_classifier, options),
        her2=available(models, HER2, models.load_lesion_classifier, options),
    )


def failed_networks(models: Models, options: AnalysisOptions, reason: Reason) -> tuple[ReportedAlgorithm, ...]:
    """All three in a study that could not be finished, without loading any."""
    identities = [identity_of(models, name, options) for name in (SEGMENTER, MALIGNANCY, HER2)]
    return tuple(failed_algorithm(identity, task, reason) for identity, task in zip(identities, TASKS, strict=True))
