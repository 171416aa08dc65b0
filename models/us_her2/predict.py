"""us-her2 as the pipelines call it."""

from __future__ import annotations

from models.us_her2.network import CLASSES
from models.us_malignancy.predict import RoiPredictor


class Her2Predictor(RoiPredictor):
    """us-her2; see `models.predictor.LesionClassifier`."""

    classes = CLASSES
