"""Which frames are left out together: folds by patient, each with its share of normal, benign and malignant frames."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Final

import numpy as np

from pipelines.datasets.frame_manifest import FrameEntry
from pipelines.datasets.splits import Stratum

FOLDS: Final = 5


def assign_folds(frames: Iterable[FrameEntry], folds: int = FOLDS, seed: int = 0) -> tuple[FrameEntry, ...]:
    """Give a fold to each frame that has none.

    A patient that has a fold keeps it. The others are shuffled within each stratum (`stratum`, and HER2 status); then
    the larger ones first, each goes where its stratum has the fewest frames so far, of equal folds where the fewest
    frames of all strata are.

    Parameters
    ----------
    frames : iterable of FrameEntry
        Their order does not change who goes where.
    folds : int
        How many, from 1 to this number.
    seed : int
        The same seed and patients give the same folds.

    Returns
    -------
    tuple of FrameEntry
        In the order given.
    """
    kept = tuple(frames)
    of_patient: dict[str, list[FrameEntry]] = defaultdict(list)
    for frame in kept:
        of_patient[frame.patient].append(frame)
    given = {frame.patient: frame.fold for frame in kept if frame.fold is not None}
    strata = {patient: _kind(some) for patient, some in of_patient.items()}
    sizes = {patient: len(some) for patient, some in of_patient.items()}
    chosen = chosen_folds(strata, sizes, given, folds, seed)
    return tuple(replace(frame, fold=chosen[frame.patient]) for frame in kept)


def chosen_folds(
    strata: Mapping[str, str], sizes: Mapping[str, int], given: Mapping[str, int], folds: int, seed: int
) -> dict[str, int]:
    """Fold by patient, as `assign_folds` gives them.

    Parameters
    ----------
    strata, sizes : mapping
        By patient: the stratum, and how many frames or lesions there are.
    given : mapping of str to int
        Fold by patient, of those that have one.
    """
    chosen, names = dict(given), sorted(set(strata.values()))
    by_stratum: dict[str, Counter[int]] = {name: Counter() for name in names}
    total: Counter[int] = Counter()
    for patient, fold in given.items():
        by_stratum[strata[patient]][fold] += sizes[patient]
        total[fold] += sizes[patient]
    for number, name in enumerate(names):
        free = sorted(patient for patient in strata if patient not in given and strata[patient] == name)
        order = np.random.default_rng([seed, number]).permutation(len(free))
        for patient in sorted((free[index] for index in order), key=lambda one: -sizes[one]):
            fold = min(range(1, folds + 1), key=lambda one: (by_stratum[name][one], total[one], one))
            chosen[patient] = fold
            by_stratum[name][fold] += sizes[patient]
            total[fold] += sizes[patient]
    return chosen


def stratum(frames: Iterable[FrameEntry]) -> Stratum:
    """Of a patient: malignant if any lesion is, else benign if there is any lesion, else normal."""
    lesions = [lesion for frame in frames for lesion in frame.lesions]
    return "malignant" if any(lesion.label == "malignant" for lesion in lesions) else "benign" if lesions else "normal"


def _kind(frames: Iterable[FrameEntry]) -> str:
    """Stratum and HER2 status of a patient."""
    kept = tuple(frames)
    her2 = {lesion.her2 for frame in kept for lesion in frame.lesions}
    return (
        f"{stratum(kept)}, HER2 {'positive' if 'positive' in her2 else 'negative' if 'negative' in her2 else 'unknown'}"
    )


def counts(frames: Sequence[FrameEntry]) -> str:
    """A table by fold: frames, groups, and frames by what they show."""
    lines = ["fold  frames  groups  normal  benign  malignant"]
    for fold in sorted({frame.fold or 0 for frame in frames}):
        of_fold = [frame for frame in frames if (frame.fold or 0) == fold]
        labels = [{lesion.label for lesion in frame.lesions} for frame in of_fold]
        malignant = sum("malignant" in found for found in labels)
        normal = sum(not found for found in labels)
        patients = len({frame.patient for frame in of_fold})
        benign = len(of_fold) - malignant - normal
        lines.append(f"{fold:>4}  {len(of_fold):>6}  {patients:>6}  {normal:>6}  {benign:>6}  {malignant:>9}")
    return "\n".join(lines)
