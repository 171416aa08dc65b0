"""One object, from file to lesions in its stored frames; nothing but the result outlives the call."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from itertools import groupby
from typing import Final

import numpy as np
from numpy.typing import NDArray

from models.predictor import Segmenter
from pipelines.contract import AnalysisOptions, Lesion, Reason
from pipelines.image_result import ImageResult
from pipelines.instances import Instance
from pipelines.outcomes import EXPLAINED_ERRORS, explained
from pipelines.ultrasound import reasons
from pipelines.ultrasound.frames import frames
from pipelines.ultrasound.header import UltrasoundHeader
from pipelines.ultrasound.lesions import FoundLesions, find_lesions
from pipelines.ultrasound.networks import Networks
from pipelines.ultrasound.plan import FramePlan, plan_frames

UNREMARKABLE: Final = frozenset({reasons.NOT_A_PICTURE, reasons.REGION_WITHIN_ANOTHER})
"""Regions of which nobody expects an answer: bars and text, and what is analysed with the region around it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Shown:
    """A frame with a lesion, as pictures show it; `gravity` is that of its gravest lesion."""

    number: int
    gravity: tuple[float, float]
    display: NDArray[np.uint8]
    activation: NDArray[np.float32] | None


def analyse_image(
    instance: Instance[UltrasoundHeader], networks: Networks, options: AnalysisOptions, clock: Callable[[], float]
) -> ImageResult:
    """Analyse one object: lesions on any of its frames, none, or the reason why it was not looked at."""
    if instance.unfit is not None:
        return ImageResult(instance=instance, outcome="not_analysed", reason=instance.unfit)
    result = ImageResult(instance=instance, outcome="not_analysed")
    try:
        plan = plan_frames(instance.path, instance.header)
        if plan.reason is not None:
            return replace(result, reason=plan.reason)
        result = replace(
            result,
            display=_first_display(instance, plan) if options.draws else None,
            display_frame=_first_frame(plan),
            display_spacing_mm=_spacing_mm(plan),
        )
        segmenter = networks.segmenter.network
        if segmenter is None:
            return replace(result, reason=networks.segmenter.unavailable)
        return _with_networks(result, plan, segmenter, networks, options=options, clock=clock)
    except EXPLAINED_ERRORS as error:
        outcome, reason = explained(error)
        return replace(result, outcome=outcome, reason=reason)


def _with_networks(
    result: ImageResult,
    plan: FramePlan,
    segmenter: Segmenter,
    networks: Networks,
    *,
    options: AnalysisOptions,
    clock: Callable[[], float],
) -> ImageResult:
    """Run the networks over the planned frames; the gravest one takes the place of the first as what is shown."""
    lesions: list[Lesion] = []
    gravest: _Shown | None = None
    models_s = 0.0
    for number, pictures in groupby(frames(result.instance.path, plan), key=lambda picture: picture.frame_number):
        found: list[FoundLesions] = []
        for picture in pictures:
            started_s = clock()
            found.append(
                find_lesions(
                    picture, segmenter, networks, min_score=options.min_score, with_activation=options.shows_heat
                )
            )
            models_s += clock() - started_s
            display = picture.display
        of_frame = [lesion for one in found for lesion in one.lesions]
        lesions.extend(of_frame)
        if options.draws and of_frame:
            shown = _Shown(number=number, gravity=_gravity(of_frame), display=display, activation=_highest(found))
            gravest = shown if gravest is None or shown.gravity > gravest.gravity else gravest
    if gravest is not None:
        result = replace(
            result,
            display=gravest.display,
            activation=gravest.activation,
            display_frame=None if result.display_frame is None else gravest.number,
        )
    malignancies = [lesion.malignancy for lesion in lesions]
    known = [malignancy for malignancy in malignancies if malignancy is not None]
    return replace(
        result,
        outcome="analysed",
        reason=_left_out(plan),
        lesions=tuple(lesions),
        malignancy=max(known, default=0.0) if len(known) == len(malignancies) else None,
        detector=networks.segmenter.identity.name,
        classifier=networks.malignancy.identity.name if networks.malignancy.network is not None else "",
        models_s=models_s,
    )


def _gravity(lesions: Iterable[Lesion]) -> tuple[float, float]:
    """Malignancy and score of the gravest lesion."""
    return max((lesion.malignancy or 0.0, lesion.score) for lesion in lesions)


def _highest(found: Iterable[FoundLesions]) -> NDArray[np.float32] | None:
    """The activations of all pictures of a frame, where they overlap the highest; None when there is none."""
    heat = [one.activation for one in found if one.activation is not None]
    return np.maximum.reduce(heat) if heat else None


def _first_frame(plan: FramePlan) -> int | None:
    """Which frame of several is shown when none has a lesion; None for an object of one frame."""
    return plan.frame_numbers[0] if plan.header.frames > 1 else None


def _first_display(instance: Instance[UltrasoundHeader], plan: FramePlan) -> NDArray[np.uint8] | None:
    return next((picture.display for picture in frames(instance.path, plan)), None)


def _spacing_mm(plan: FramePlan) -> tuple[float, float] | None:
    """Pixel spacing on which all pictures of the object agree."""
    found = {planned.placed.region.spacing_mm for planned in plan.regions if planned.frame_numbers}
    return found.pop() if len(found) == 1 else None


def _left_out(plan: FramePlan) -> Reason | None:
    """What of an analysed object was not looked at: frames of a cine, regions of other modes."""
    said = []
    if plan.header.frames > len(plan.frame_numbers):
        said.append(f"{len(plan.frame_numbers)} of {plan.header.frames} frames were looked at")
    said += [f"a region not analysed: {reason.text}" for reason in _reasons(planned.reason for planned in plan.regions)]
    return reasons.part_not_analysed(said) if said else None


def _reasons(found: Iterable[Reason | None]) -> tuple[Reason, ...]:
    return tuple(dict.fromkeys(reason for reason in found if reason is not None and reason not in UNREMARKABLE))
