"""The free-response ROC curve: lesions found against false positives per image, with intervals resampled by patient.

A threshold admits every mark with a score of at least it, so marks of equal score enter together, and the curve is a
staircase whose every corner a threshold can reach; nothing is interpolated. Its sensitivity at a rate is that of the
last corner with no more false positives than the rate.

Intervals are percentiles of resamples by patient, since images of a patient and marks of an image depend on each
other. Two things they do are said here: where all resamples agree (all lesions found, say), percentiles would claim
certainty, and the Wilson interval with the number of patients with lesions stands instead; and an interval is widened
to its estimate where the percentiles of a small sample miss it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from models.contract import Label
from models.evaluation.contract import CONFIDENCE, EvaluatedImage, Interval, NotDefined
from models.evaluation.hits import HitRule
from models.evaluation.marks import FalsePositivesOn, Marks, marks_of
from models.evaluation.proportions import wilson

Floats = NDArray[np.float64]
RATES: Final = (0.25, 0.5, 1.0, 2.0, 4.0)
"""False positives per image at which the sensitivity is reported."""
BAND_RATES: Final = tuple(float(rate) for rate in 2.0 ** np.linspace(-3.0, 3.0, 49))
"""Where the band of a plot is computed: 1/8 to 8."""
RESAMPLES: Final = 1000
FEW_PATIENTS: Final = 20
"""With fewer patients with lesions, percentiles are known to cover too little; a report says so."""
ROUNDING: Final = 1e-9
"""So that 3 false positives on 30 images are not more than 0.1 an image."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FrocPoint:
    """The curve at a rate of false positives.

    Attributes
    ----------
    rate : float
        False positives per image that are allowed.
    sensitivity : float
        Share of the lesions found at no more than that.
    interval : Interval or NotDefined
    score_threshold : float or None
        The lowest score that may be admitted; None when even the highest one brings too many false positives.
    false_positives_per_image : float
        At that threshold; at most `rate`.
    complete : bool
        True when admitting every prediction stays within the rate: the detector's lowest score ends the curve here,
        and its sensitivity might have been higher.
    """

    rate: float
    sensitivity: float
    interval: Interval | NotDefined
    score_threshold: float | None
    false_positives_per_image: float
    complete: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Froc:
    """A free-response curve.

    Attributes
    ----------
    lesions, images, patients, patients_with_lesions : int
        Lesions to be found; images whose false positives count; patients resampled, and those of them with lesions.
    false_positives_on : {"normal images", "all images"}
    curve_thresholds, curve_false_positives, curve_sensitivity : tuple
        The corners of the staircase, highest threshold first: (None, 0, 0), every score at which a lesion is found,
        and the lowest score. Both other values never fall along it.
    points : tuple of FrocPoint
        At the `RATES`.
    band_rates, band_lower, band_upper : tuple of float
        Pointwise interval along the curve; the last two are empty when there is none.
    """

    lesions: int
    images: int
    patients: int
    patients_with_lesions: int
    false_positives_on: FalsePositivesOn
    curve_thresholds: tuple[float | None, ...]
    curve_false_positives: tuple[float, ...]
    curve_sensitivity: tuple[float, ...]
    points: tuple[FrocPoint, ...]
    band_rates: tuple[float, ...]
    band_lower: tuple[float, ...]
    band_upper: tuple[float, ...]


def froc(
    images: Sequence[EvaluatedImage],
    rule: HitRule,
    *,
    seed: int,
    lesions: Label | None = None,
    false_positives_on: FalsePositivesOn = "normal images",
    resamples: int = RESAMPLES,
) -> Froc | NotDefined:
    """Compute the curve, its sensitivity at the `RATES`, and 95 % intervals.

    Parameters
    ----------
    images : sequence of EvaluatedImage
    rule : HitRule
    seed : int
        Of the resamples; the same seed gives the same intervals.
    lesions : {"benign", "malignant"}, optional
        Only lesions of this class are to be found; see `models.evaluation.marks.marks_of`.
    false_positives_on : {"normal images", "images without a lesion", "all images"}
        On images with lesions an unmarked second lesion looks like a false positive, so by default only images that
        are known to be normal count.
    resamples : int

    Returns
    -------
    Froc or NotDefined
        Without predictions the curve is its first corner, and every sensitivity is 0. Not defined without lesions or
        without images on which false positives count.

    Raises
    ------
    ValueError
        When `resamples` is not positive.
    """
    if resamples < 1:
        raise ValueError(f"resamples is at least 1, not {resamples}")
    marks = marks_of(images, rule, lesions=lesions)
    counted = marks.counted(false_positives_on)
    if not marks.lesion_score.size:
        return NotDefined(reason=f"no image has a {lesions} lesion" if lesions else "no image has a lesion")
    if not counted.any():
        return NotDefined(reason=f"there are no {false_positives_on}" if images else "there are no images")
    ladder = _Ladder(marks, counted)
    everyone = np.ones(marks.patients)
    false, found = ladder.climb(everyone)
    rates = np.array(RATES + BAND_RATES)
    estimate = _at_rates(false, found, rates)
    intervals = _intervals(ladder, estimate, rates, seed=seed, resamples=resamples)
    thresholds, corner_false, corner_found = _corners(ladder.scores, false, found)
    has_band = isinstance(intervals[0], Interval)
    band = [interval for interval in intervals[len(RATES) :] if isinstance(interval, Interval)]
    return Froc(
        lesions=marks.lesion_score.size,
        images=int(counted.sum()),
        patients=marks.patients,
        patients_with_lesions=int((ladder.lesions_of > 0).sum()),
        false_positives_on=false_positives_on,
        curve_thresholds=thresholds,
        curve_false_positives=corner_false,
        curve_sensitivity=corner_found,
        points=tuple(
            _point(ladder.scores, false, rate, sensitivity, interval)
            for rate, sensitivity, interval in zip(RATES, estimate.tolist(), intervals, strict=False)
        ),
        band_rates=BAND_RATES if has_band else (),
        band_lower=tuple(interval.lower for interval in band),
        band_upper=tuple(interval.upper for interval in band),
    )


class _Ladder:
    """All scores from the highest down; each mark stands on the rung of its score."""

    def __init__(self, marks: Marks, counted: NDArray[np.bool_]) -> None:
        was_found = np.isfinite(marks.lesion_score)
        counts = counted[marks.false_image]
        scores = np.concatenate([marks.lesion_score[was_found], marks.false_score[counts]])
        ascending, rung = np.unique(scores, return_inverse=True)
        self.scores = ascending[::-1]
        rung = len(ascending) - 1 - rung.astype(np.intp)
        self._found_rung, self._false_rung = np.split(rung, [int(was_found.sum())])
        self._found_patient = marks.patient[marks.lesion_image[was_found]]
        self._false_patient = marks.patient[marks.false_image[counts]]
        self.lesions_of = np.bincount(marks.patient[marks.lesion_image], minlength=marks.patients)
        self.images_of = np.bincount(marks.patient[counted], minlength=marks.patients)

    def climb(self, weight: Floats) -> tuple[Floats, Floats]:
        """Give false positives per image and sensitivity at each rung; `weight` says how often each patient counts."""
        rungs = len(self.scores)
        false = np.bincount(self._false_rung, weights=weight[self._false_patient], minlength=rungs).cumsum()
        found = np.bincount(self._found_rung, weights=weight[self._found_patient], minlength=rungs).cumsum()
        return false / (weight @ self.images_of), found / (weight @ self.lesions_of)


def _at_rates(false: Floats, found: Floats, rates: Floats) -> Floats:
    """Sensitivity at each rate; 0 where no rung is low enough."""
    admitted = np.searchsorted(false, rates + ROUNDING, side="right")
    return np.asarray(np.concatenate([[0.0], found])[admitted], dtype=np.float64)


def _intervals(
    ladder: _Ladder, estimate: Floats, rates: Floats, *, seed: int, resamples: int
) -> list[Interval | NotDefined]:
    """One for each rate; a resample that drew no lesion or no counted image is left out."""
    with_lesions = int((ladder.lesions_of > 0).sum())
    if with_lesions < 2 or (ladder.images_of > 0).sum() < 2:
        reason = "fewer than two patients with lesions, or with images on which false positives count"
        return [NotDefined(reason=reason)] * len(rates)
    random = np.random.default_rng(seed)
    patients = len(ladder.lesions_of)
    drawn = []
    for _ in range(resamples):
        weight = np.bincount(random.integers(patients, size=patients), minlength=patients).astype(np.float64)
        if weight @ ladder.lesions_of and weight @ ladder.images_of:
            drawn.append(_at_rates(*ladder.climb(weight), rates))
    if not drawn:
        return [NotDefined(reason="no resample has both lesions and counted images")] * len(rates)
    tail = (1 - CONFIDENCE) / 2
    lower, upper = np.quantile(np.array(drawn), [tail, 1 - tail], axis=0)
    spread = np.ptp(np.array(drawn), axis=0)
    by_patient = f"bootstrap by patient, {len(drawn)} resamples, percentiles"
    return [
        Interval(lower=min(low, value), upper=max(high, value), method=by_patient)
        if varies
        else wilson(value, with_lesions, method=f"Wilson, {with_lesions} patients with lesions: all resamples agree")
        for value, low, high, varies in zip(
            estimate.tolist(), lower.tolist(), upper.tolist(), spread.tolist(), strict=True
        )
    ]


def _point(
    scores: Floats, false: Floats, rate: float, sensitivity: float, interval: Interval | NotDefined
) -> FrocPoint:
    admitted = int(np.searchsorted(false, rate + ROUNDING, side="right"))
    return FrocPoint(
        rate=rate,
        sensitivity=sensitivity,
        interval=interval,
        score_threshold=float(scores[admitted - 1]) if admitted else None,
        false_positives_per_image=float(false[admitted - 1]) if admitted else 0.0,
        complete=admitted == len(scores),
    )


def _corners(
    scores: Floats, false: Floats, found: Floats
) -> tuple[tuple[float | None, ...], tuple[float, ...], tuple[float, ...]]:
    """Leave out the rungs on which no lesion is found, but for the last: they lie on the staircase's flats."""
    rises = np.diff(found, prepend=0.0) > 0
    rises[-1:] = True
    return (
        (None, *scores[rises].tolist()),
        (0.0, *false[rises].tolist()),
        (0.0, *found[rises].tolist()),
    )
