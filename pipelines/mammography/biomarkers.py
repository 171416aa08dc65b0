"""What models of regions predict of the lesions of a study, or why they do not.

A radiologist's region is answered by every model there is: by those that are not installed with the reason. The
detector's boxes are shown to the installed ones alone, since nobody asked. No error of a model ends the study.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from models.regions.contract import RegionTask, View
from pipelines import reasons
from pipelines.algorithms import with_status
from pipelines.contract import Biomarker, Reason
from pipelines.image_result import ImageResult
from pipelines.mammography.lesions import Cut, LesionCuts, MarkedLesion
from pipelines.mammography.region_networks import RegionNetwork
from pipelines.outcomes import EXPLAINED_ERRORS, explained
from sr_templates.contract import AlgorithmStatus, ReportedAlgorithm

MAX_S: Final = 120.0
"""What all lesions of a study may take; those that are left then are not attempted."""

BROKEN: Final = (RuntimeError, ArithmeticError, LookupError)
"""What the libraries below a model raise on a region that they were not made for; no study ends for it."""

FAILURES: Final = frozenset({"analysis_failed", "out_of_memory", "model_failed"})
"""Codes of reasons that are a fault, not a limit, of a model."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Views:
    """A lesion's cuts by view, and why those that are marked but not there are not."""

    cuts: Mapping[View, Cut]
    lost: tuple[Reason, ...]


def predict_lesions(
    lesions: Sequence[MarkedLesion],
    networks: Sequence[RegionNetwork],
    cuts: LesionCuts,
    images: Sequence[ImageResult],
    clock: Callable[[], float],
) -> tuple[Biomarker, ...]:
    """Ask every model about every lesion.

    Parameters
    ----------
    lesions : sequence of MarkedLesion
    networks : sequence of RegionNetwork
        Those that are not available answer a radiologist's lesion with their reason.
    cuts : LesionCuts
        What was kept of the images.
    images : sequence of ImageResult
        Into whose activations, where there are any, the models' attention is merged.
    clock : callable
        Seconds that only ever grow.
    """
    activations = {
        image.instance.sop_instance_uid: image.activation for image in images if image.activation is not None
    }
    reasons_of = {image.instance.sop_instance_uid: image.reason for image in images}
    ends_s = clock() + MAX_S
    found = []
    for lesion in lesions:
        views = _views(lesion, cuts, reasons_of)
        for network in networks:
            if lesion.is_detected and network.found.network is None:
                continue
            late = reasons.REGION_TIME if clock() >= ends_s else None
            found.append(_biomarker(lesion, network, views, activations, late))
    return tuple(found)


def region_algorithms(biomarkers: Sequence[Biomarker]) -> tuple[ReportedAlgorithm, ...]:
    """The models behind biomarkers, each with how it fared over all of them."""
    by_name: dict[str, list[Biomarker]] = {}
    for biomarker in biomarkers:
        by_name.setdefault(biomarker.model.name, []).append(biomarker)
    return tuple(with_status(of_model[0].model, "classification", *_status(of_model)) for of_model in by_name.values())


def _views(lesion: MarkedLesion, cuts: LesionCuts, reasons_of: Mapping[str, Reason | None]) -> _Views:
    kept: dict[View, Cut] = {}
    lost = []
    for view, region in lesion.regions.items():
        cut = cuts.of(region)
        if isinstance(cut, Cut):
            kept[view] = cut
        elif cut is not None:
            lost.append(cut)
        else:  # only an image that could not be decoded is passed over
            why = reasons_of.get(region.sop_instance_uid) or reasons.UNREADABLE
            lost.append(reasons.region_image_not_analysed(why))
    return _Views(cuts=kept, lost=tuple(lost))


def _biomarker(
    lesion: MarkedLesion,
    network: RegionNetwork,
    views: _Views,
    activations: Mapping[str, NDArray[np.float32]],
    late: Reason | None,
) -> Biomarker:
    answer = _not_attempted(lesion, network, views) or late or _answer(lesion, network, views, activations)
    is_reason = isinstance(answer, Reason)
    value, probabilities = (None, ()) if isinstance(answer, Reason) else answer
    classes = network.task.classes
    return Biomarker(
        name=network.task.outcome,
        value=value,
        probability=None if value is None else probabilities[1 if len(classes) == 2 else classes.index(value)],
        probabilities={} if is_reason else dict(zip(classes, probabilities, strict=True)),
        model=network.identity,
        roi=tuple(lesion.regions.values()),
        laterality=lesion.laterality,
        reason=answer if isinstance(answer, Reason) else None,
    )


def _not_attempted(lesion: MarkedLesion, network: RegionNetwork, views: _Views) -> Reason | None:
    if network.found.unavailable is not None:
        return network.found.unavailable
    if network.only_detected and not lesion.is_detected:
        return reasons.ONLY_DETECTED
    missing = network.task.missing(views.cuts)
    if not missing:
        return None
    return reasons.joined(views.lost) if views.lost else reasons.missing_region(missing)


def _answer(
    lesion: MarkedLesion, network: RegionNetwork, views: _Views, activations: Mapping[str, NDArray[np.float32]]
) -> Reason | tuple[str, tuple[float, ...]]:
    """Predicted class and probability of each; the attention goes into the activations."""
    model = network.found.network
    if model is None:  # what is not attempted was answered before
        raise ValueError(f"{network.identity.name} is not loaded")
    try:
        output = model.predict({view: cut.view for view, cut in views.cuts.items() if view in network.task.views})
    except ValueError:  # by contract: the region is too small to say anything of
        return reasons.REGION_NOT_USABLE
    except EXPLAINED_ERRORS as error:
        return explained(error)[1]
    except BROKEN as error:
        return reasons.analysis_failed(type(error).__name__)
    if not _is_one_a_class(output.probabilities, network.task):
        return reasons.analysis_failed("not one probability a class")
    for view, attention in output.attention.items():
        activation = activations.get(lesion.regions[view].sop_instance_uid)
        if activation is not None:
            _merge(activation, views.cuts[view], attention)
    return network.task.value(
        output.probabilities, network.identity.operating_point.get("threshold")
    ), output.probabilities


def _is_one_a_class(shares: tuple[float, ...], task: RegionTask) -> bool:
    return len(shares) == len(task.classes) and all(math.isfinite(share) and 0 <= share <= 1 for share in shares)


def _merge(activation: NDArray[np.float32], cut: Cut, attention: NDArray[np.float32]) -> None:
    """Within the region, show what a model looked at where that is more than what is shown already."""
    x, y = cut.origin_px
    rows, columns = attention.shape
    window = activation[y : y + rows, x : x + columns]
    np.maximum(window, np.where(cut.view.mask, attention, 0.0), out=window)


def _status(biomarkers: Sequence[Biomarker]) -> tuple[AlgorithmStatus, str]:
    unanswered = list(_reasons(biomarkers))
    failed = [reason for reason in unanswered if reason.code in FAILURES]
    answered = len(unanswered) < len(biomarkers)
    if failed:
        return ("partially_succeeded" if answered else "failed"), reasons.joined(failed).text
    return ("succeeded", "") if answered else ("not_attempted", reasons.joined(unanswered).text)


def _reasons(biomarkers: Sequence[Biomarker]) -> Iterator[Reason]:
    return (biomarker.reason for biomarker in biomarkers if biomarker.reason is not None)
