"""Evaluated frames of ultrasound, made up."""

from __future__ import annotations

from typing import Any

import numpy as np

from models.evaluation.frames import EvaluatedFrame, EvaluatedLesion, ScoredFrame


def outlined(number: int, **values: Any) -> EvaluatedFrame:
    """A benign frame, outlined well, unless told otherwise."""
    defaults: dict[str, Any] = {
        "patient": f"p{number}",
        "fold": number % 2 + 1,
        "truth": "benign",
        "dice": 0.9,
        "iou": 0.82,
        "lesion_score": 0.95,
        "regions": 1,
        "false_regions": 0,
        "long_axis_ratio": 1.0,
    }
    given = {**defaults, **values}
    given.setdefault("lesions", (EvaluatedLesion(label=given["truth"], iou=given["iou"] or 0.0, touched=True),))
    return EvaluatedFrame(name=f"frame-{number}", **given)


def normal(number: int, **values: Any) -> EvaluatedFrame:
    """A normal frame on which nothing was outlined."""
    nothing: dict[str, Any] = {
        "truth": None,
        "dice": None,
        "iou": None,
        "lesions": (),
        "regions": 0,
        "lesion_score": 0.1,
        "long_axis_ratio": None,
    }
    return outlined(number, **{**nothing, **values})


def scored(number: int, *, positive: bool, drawn: float, **values: Any) -> ScoredFrame:
    defaults: dict[str, Any] = {"automatic": drawn, "radiomics": None, "clinical": None}
    return ScoredFrame(
        name=f"frame-{number}",
        patient=f"p{number}",
        fold=number % 2 + 1,
        positive=positive,
        drawn=drawn,
        **{**defaults, **values},
    )


def cohort(count: int = 40) -> list[ScoredFrame]:
    """Scores that tell classes apart, radiomics worse; every tenth frame was not outlined."""
    rng = np.random.default_rng(5)
    frames = []
    for number in range(count):
        positive = number % 3 == 0
        score = float(np.clip(rng.normal(0.65 if positive else 0.4, 0.15), 0.0, 1.0))
        worse = float(np.clip(rng.normal(0.55 if positive else 0.45, 0.2), 0.0, 1.0))
        automatic = None if number % 10 == 9 else score
        frames.append(scored(number, positive=positive, drawn=score, automatic=automatic, radiomics=worse))
    return frames
