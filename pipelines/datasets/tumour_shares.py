"""Splits and folds of a manifest of tumours: by patient, each with its share of every class of an outcome."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Final

from models.training.contract import Split
from pipelines.datasets.folds import chosen_folds
from pipelines.datasets.splits import assign_splits
from pipelines.datasets.tumour_manifest import TumourEntry

NOT_KNOWN: Final = "not known"


def with_splits(
    entries: Iterable[TumourEntry], shares: Mapping[Split, float], *, by: str | None, seed: int
) -> tuple[TumourEntry, ...]:
    """Give a split to each patient that has none.

    Parameters
    ----------
    shares, seed
        As for `pipelines.datasets.splits.split_by_patient`.
    by : str or None
        Outcome of whose classes each split gets its share; None: all patients are alike.
    """
    kept = tuple(entries)
    strata = _strata(kept, by)
    given = {entry.patient: entry.split for entry in kept if entry.split is not None}
    chosen = assign_splits(strata, given, sorted(set(strata.values())), shares, seed)
    return tuple(replace(entry, split=chosen[entry.patient]) for entry in kept)


def with_folds(entries: Iterable[TumourEntry], folds: int, *, by: str | None, seed: int) -> tuple[TumourEntry, ...]:
    """Give a fold from 1 to `folds` to each patient that has none; see `pipelines.datasets.folds.assign_folds`."""
    kept = tuple(entries)
    given = {entry.patient: entry.fold for entry in kept if entry.fold is not None}
    chosen = chosen_folds(_strata(kept, by), Counter(entry.patient for entry in kept), given, folds, seed)
    return tuple(replace(entry, fold=chosen[entry.patient]) for entry in kept)


def _strata(entries: Iterable[TumourEntry], by: str | None) -> dict[str, str]:
    """By patient: the classes of its lesions."""
    classes: dict[str, set[str]] = defaultdict(set)
    for entry in entries:
        classes[entry.patient].add(NOT_KNOWN if by is None else entry.outcomes.get(by, NOT_KNOWN))
    return {patient: ", ".join(sorted(found)) for patient, found in classes.items()}
