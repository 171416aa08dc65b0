"""Splits and folds of a manifest of tumours: by patient, each with its share of every class of an outcome."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Final

from models.training.contract import Split
from pipelines.datasets.folds import FOLDS, chosen_folds
from pipelines.datasets.splits import assign_splits
from pipelines.datasets.tumour_manifest import TumourEntry
from pipelines.errors import ManifestInvalid

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


def with_folds(
    entries: Iterable[TumourEntry], folds: int | None, *, by: str | None, seed: int
) -> tuple[TumourEntry, ...]:
    """Give a fold to each patient that has none; those of the split test are in no cross-validation, and get none.

    Parameters
    ----------
    folds : int or None
        How many. None: as many as the manifest names, `FOLDS` where it names none.
    by, seed
        As for `with_splits`; see `pipelines.datasets.folds.assign_folds`.

    Raises
    ------
    ManifestInvalid
        The manifest names a fold beyond `folds`.
    """
    kept = tuple(entries)
    given = {entry.patient: entry.fold for entry in kept if entry.fold is not None}
    most = max(given.values(), default=1)
    count = folds or (most if given else FOLDS)
    if most > count:
        raise ManifestInvalid((f"it names fold {most}: ask for as many folds, or empty its column",))
    dealt = [entry for entry in kept if entry.split != "test" or entry.fold is not None]
    chosen = chosen_folds(_strata(dealt, by), Counter(entry.patient for entry in dealt), given, count, seed)
    return tuple(replace(entry, fold=chosen.get(entry.patient)) for entry in kept)


def _strata(entries: Iterable[TumourEntry], by: str | None) -> dict[str, str]:
    """By patient: the classes of its lesions."""
    classes: dict[str, set[str]] = defaultdict(set)
    for entry in entries:
        classes[entry.patient].add(NOT_KNOWN if by is None else entry.outcomes.get(by, NOT_KNOWN))
    return {patient: ", ".join(sorted(found)) for patient, found in classes.items()}
