"""Cases to evaluate: a few by hand, and a made-up cohort whose detector is as good as it is told to be."""

from __future__ import annotations

from typing import Any

import numpy as np

from models.contract import BoxPx, Label, ModelIdentity
from models.evaluation.contract import EvaluatedBreast, EvaluatedImage, Prediction
from models.training.contract import TruthBox

MODEL = ModelIdentity(
    name="FPNNet", version="0.0.1", weights_sha256="ab" * 32, operating_point={"score_threshold": 0.3}
)
LESION: BoxPx = (100.0, 100.0, 140.0, 140.0)
ELSEWHERE: BoxPx = (400.0, 400.0, 440.0, 440.0)


def truth(label: Label = "malignant", box_px: BoxPx = LESION) -> TruthBox:
    return TruthBox(box_px=box_px, label=label)


def prediction(
    score: float, box_px: BoxPx = LESION, label: Label = "malignant", malignancy: float | None = None
) -> Prediction:
    return Prediction(box_px=box_px, label=label, score=score, malignancy=score if malignancy is None else malignancy)


def image(name: str, *truths: TruthBox, found: tuple[Prediction, ...] = (), **changed: Any) -> EvaluatedImage:
    """An image of a patient of its own, unless another is named."""
    values: dict[str, Any] = {
        "name": name,
        "patient": f"patient of {name}",
        "laterality": "L",
        "view": "CC",
        "spacing_mm": 0.1,
        "truths": truths,
        "predictions": found,
        "image_malignancy": max((one.malignancy for one in found), default=0.0),
        "second_opinion": None,
        "area_cm2": None,
    }
    return EvaluatedImage(**(values | changed))


def breast(truth_is: Label | None, status: str, probability: float | None, patient: str = "p") -> EvaluatedBreast:
    return EvaluatedBreast(
        patient=patient,
        laterality="L",
        truth=truth_is,
        status=status,  # type: ignore[arg-type]  # the tests give it as plain text
        probability=probability,
    )


def cohort(
    *, seed: int = 1, patients: int = 60, normals: int = 60, skill: float = 1.2
) -> tuple[list[EvaluatedImage], list[EvaluatedBreast]]:
    """Two views of one breast a patient; the first `patients` have one or two lesions, the others none."""
    random = np.random.default_rng(seed)
    images: list[EvaluatedImage] = []
    breasts: list[EvaluatedBreast] = []
    for number in range(patients + normals):
        label: Label | None = ("malignant" if number % 2 else "benign") if number < patients else None
        views = [_view(random, number, view, label, skill) for view in ("CC", "MLO")]
        images += views
        boxes = [found for one in views for found in one.predictions_from(0.3)]
        labels = {found.label for found in boxes}
        status = "malignant" if "malignant" in labels else "benign" if labels else "no_calcification"
        probability = max((found.malignancy for found in boxes), default=None)
        breasts.append(breast(label, status, probability, patient=f"p{number:03d}"))
    return images, breasts


def _view(random: np.random.Generator, number: int, view: str, label: Label | None, skill: float) -> EvaluatedImage:
    corners = random.uniform(50, 900, size=(int(random.integers(1, 3)) if label else 0, 2))
    sides = random.uniform(30, 120, size=len(corners))
    boxes: list[BoxPx] = [(x, y, x + side, y + side) for (x, y), side in zip(corners.tolist(), sides, strict=True)]
    found = []
    for x0, y0, x1, y1 in boxes:
        if random.random() < 0.85:
            shift_x, shift_y = random.normal(0, 4, size=2).tolist()
            found.append(_box(random, (x0 + shift_x, y0 + shift_y, x1 + shift_x, y1 + shift_y), label, skill, skill))
    for x, y in random.uniform(0, 900, size=(int(random.poisson(4)), 2)).tolist():
        found.append(_box(random, (x, y, x + 40, y + 40), None, skill, -skill))
    return image(
        f"image {number:03d} {view}",
        *(truth(label, box_px) for box_px in boxes if label),
        found=tuple(found),
        patient=f"p{number:03d}",
        view=view,
        second_opinion=_squash(random.normal() + (0.5 if label == "malignant" else -0.5)),
        area_cm2=float(random.uniform(80, 200)),
    )


def _box(random: np.random.Generator, box_px: BoxPx, label: Label | None, skill: float, evidence: float) -> Prediction:
    score = _squash(random.normal() + evidence)
    malignancy = _squash(random.normal() + (skill if label == "malignant" else -skill))
    return prediction(score, box_px, "malignant" if malignancy > 0.5 else "benign", malignancy * score)


def _squash(value: float) -> float:
    return float(1 / (1 + np.exp(-value)))
