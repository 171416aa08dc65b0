"""One object, from file to lesions in its stored frames; nothing but the result outlives the call."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from itertools import groupby
from typing import Final

import numpy as np
from numpy.typing import NDArray

from pipelines.contract import AnalysisOptions, Lesion, Reason
from pipelines.instances import Instance
from pipelines.outcomes import EXPLAINED_ERRORS, explained
from pipelines.reporting import ImageResult
from pipelines.ultrasound import reasons
from pipelines.ultrasound.frames import UltrasoundFrame, frames
from pipelines.ultrasound.header import UltrasoundHeader
from pipelines.ultrasound.lesions import FoundLesions, find_lesions
from pipelines.ultrasound.networks import Networks
from pipelines.ultrasound.plan import FramePlan, plan_frames

UNREMARKABLE: Final = frozenset({reasons.NOT_A_PICTURE, reasons.REGION_WITHIN_ANOTHER})
"""Regions of which nobody expects an answer: bars and text, and what is analysed with the region around it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Shown:
    """A frame with its lesions, as pictures show it.

    Attributes
    ----------
    gravity : tuple of float
        Of the gravest lesion: its malignancy and its score; less than any for a frame without one.
    """

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
        result = replace(result, display_frame=_first_frame(plan), display_spacing_mm=_spacing_mm(plan))
        if networks.segmenter.network is None:
            display = _first_display(instance, plan) if options.draws else None
            return replace(result, reason=networks.segmenter.unavailable, display=display)
        return _with_networks(result, plan, networks, options, clock)
    except EXPLAINED_ERRORS as error:
        outcome, reason = explained(error)
        return replace(result, outcome=outcome, reason=reason)


def _with_networks(
    result: ImageResult,
    plan: FramePlan,
    networks: Networks,
    options: AnalysisOptions,
    clock: Callable[[], float],
) -> ImageResult:
    """Run the networks over the planned frames; the picture of the gravest one is kept."""
    lesions: list[Lesion] = []
    shown: _Shown | None = None
    models_s = 0.0
    for number, pictures in groupby(frames(result.instance.path, plan), key=lambda picture: picture.frame_number):
        for picture in pictures:
            started_s = clock()
            found = _of_picture(picture, networks, options)
            models_s += clock() - started_s
            lesions.extend(found.lesions)
            if options.draws:
                shown = _graver(shown, _shown(number, picture, found))
    malignancies = [lesion.malignancy for lesion in lesions]
    known = [malignancy for malignancy in malignancies if malignancy is not None]
    return replace(
        result,
        outcome="analysed",
        reason=_left_out(plan),
        lesions=tuple(lesions),
        malignancy=max(known, default=0.0) if len(known) == len(malignancies) else None,
        display=None if shown is None else shown.display,
        activation=None if shown is None else shown.activation,
        display_frame=result.display_frame if shown is None or result.display_frame is None else shown.number,
        detector=networks.segmenter.identity.name,
        classifier=networks.malignancy.identity.name if networks.malignancy.network is not None else "",
        models_s=models_s,
    )


def _of_picture(picture: UltrasoundFrame, networks: Networks, options: AnalysisOptions) -> FoundLesions:
    segmenter = networks.segmenter.network
    if segmenter is None:  # asked for before any picture is decoded
        raise ValueError("no segmenter")
    return find_lesions(picture, segmenter, networks, min_score=options.min_score, with_activation=options.shows_heat)


def _shown(number: int, picture: UltrasoundFrame, found: FoundLesions) -> _Shown:
    gravity = max((((lesion.malignancy or 0.0), lesion.score) for lesion in found.lesions), default=(-1.0, -1.0))
    return _Shown(number=number, gravity=gravity, display=picture.display, activation=found.activation)


def _graver(before: _Shown | None, now: _Shown) -> _Shown:
    """The graver of two frames, the first of equal ones; two pictures of one frame become one."""
    if before is None:
        return now
    if before.number != now.number:
        return now if now.gravity > before.gravity else before
    heat = [activation for activation in (before.activation, now.activation) if activation is not None]
    return replace(
        before,
        gravity=max(before.gravity, now.gravity),
        activation=np.maximum.reduce(heat) if heat else None,
    )


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
        said.append(
            f"{len(plan.frame_numbers)} of {plan.header.frames} frames were looked at, of those that are alike one"
        )
    said += [f"a region not analysed: {reason.text}" for reason in _reasons(planned.reason for planned in plan.regions)]
    return reasons.part_not_analysed(said) if said else None


def _reasons(found: Iterable[Reason | None]) -> tuple[Reason, ...]:
    return tuple(dict.fromkeys(reason for reason in found if reason is not None and reason not in UNREMARKABLE))
