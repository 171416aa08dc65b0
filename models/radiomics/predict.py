"""Models of radiomics as the pipelines call them: a lesion in its views in, class probabilities out. No torch here."""

from __future__ import annotations

import threading
from importlib import import_module
from typing import TYPE_CHECKING, Final, Self

import numpy as np

from models.errors import WeightsMismatch
from models.metadata import Metadata
from models.radiomics.features import FeatureExtractor
from models.regions.contract import Lesion, LesionView, RegionOutput, RegionTask
from models.regions.pooling import pooled
from models.weights import VerifiedWeights

if TYPE_CHECKING:
    from models.radiomics.fitted import FittedRecipe

DEVICE: Final = "cpu"
"""Whatever was asked for: nothing here runs on an accelerator."""


class Predictor:
    """A fitted recipe with the extractor of its features; see `models.predictor.RegionClassifier`.

    Raises
    ------
    WeightsMismatch
        The metadata names no task, the recipe has other classes or features than it says, or a package is missing.
    """

    def __init__(self, fitted: FittedRecipe, metadata: Metadata, *, weights_sha256: str | None) -> None:
        self.task: RegionTask = metadata.region_task
        if list(fitted.pipeline.classes_) != list(range(len(self.task.classes))):
            raise WeightsMismatch(f"{metadata.name}: the weights are not of {len(self.task.classes)} classes")
        try:
            self._extractor = FeatureExtractor(fitted.settings)
        except ModuleNotFoundError as error:
            raise WeightsMismatch(f"{metadata.name} needs make research: {error}") from error
        if self._extractor.names != fitted.names:
            raise WeightsMismatch(f"{metadata.name}: the settings give other features than it was fitted to")
        self._fitted = fitted
        self._one_at_a_time = threading.Lock()
        self.identity = metadata.identity(weights_sha256)
        self.device = DEVICE

    @classmethod
    def from_weights(cls, weights: VerifiedWeights, device: str) -> Self:
        """Read the fitted recipe; raises WeightsMismatch when that cannot be done, and says what to install."""
        name = weights.metadata.name
        try:
            fitted = import_module("models.radiomics.fitted")
            recipe = fitted.from_bytes(weights.content, name)
        except ModuleNotFoundError as error:
            raise WeightsMismatch(f"{name} needs make research: {error.name} is not installed") from error
        return cls(recipe, weights.metadata, weights_sha256=weights.sha256)

    def predict(self, lesion: Lesion) -> RegionOutput:
        """Give the probability of each class; see `models.predictor.RegionClassifier.predict`. No attention."""
        if lacking := self.task.missing(lesion):
            raise ValueError(f"the lesion has no {' or '.join(lacking)}, which {self.identity.name} needs")
        with self._one_at_a_time:
            rows = [self._extractor.features(lesion[view]) for view in self.task.views if view in lesion]
            if self.task.combination == "joint":
                rows = [np.concatenate(rows)]
            found = pooled([self._fitted.probabilities(row) for row in rows])
        return RegionOutput(probabilities=found, device=self.device)

    def warm_up(self) -> None:
        """Run once on a small lesion."""
        y, x = np.mgrid[:24, :24]
        mask = (y - 12) ** 2 + (x - 12) ** 2 <= 64
        view = LesionView(pixels=(x * y % 31 / 31).astype(np.float32), mask=mask, spacing_mm=None)
        self.predict(dict.fromkeys(self.task.views, view))
