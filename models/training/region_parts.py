"""Which tumours a model of regions learns from, which choose its checkpoint, and which it is measured on.

All of a patient is in one part: patients, not tumours, are dealt out, and within each class by itself.
"""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

import numpy as np

from models.errors import TrainingRefused
from models.regions.contract import RegionTask
from models.training.tumours import Tumour

CHOOSING_SHARE: Final = 1 / 7
"""Of the patients to train on: they choose the checkpoint where the manifest names nobody for it."""

Problem = Callable[[Tumour], str | None]

_CHOOSING, _TESTING = 1, 2  # each lot has random numbers of its own


@dataclass(frozen=True, slots=True, kw_only=True)
class RegionParts:
    """The tumours of a run.

    Attributes
    ----------
    train : tuple of Tumour
        Learned from.
    choose : tuple of Tumour
        Never learned from: they choose the checkpoint; empty for a model that needs none.
    held_out : tuple of Tumour
        What the model is measured on; empty when there is none.
    held_out_are : str
        What they are, e.g. ``"split test"``, for the card.
    left_out : mapping of str to int
        Tumours that could not be used, by the reason.
    """

    train: tuple[Tumour, ...]
    choose: tuple[Tumour, ...]
    held_out: tuple[Tumour, ...]
    held_out_are: str
    left_out: Mapping[str, int]

    @property
    def chosen_by_held_out(self) -> bool:
        """Whether the tumours that it is measured on chose the checkpoint: the figures then flatter."""
        return bool(self.held_out) and {one.name for one in self.held_out} <= {one.name for one in self.choose}


def class_number(tumour: Tumour, task: RegionTask) -> int:
    """Number of the tumour's class in `RegionTask.classes`; its outcome is known.

    Raises
    ------
    TrainingRefused
        It is none of the classes.
    """
    found = tumour.outcomes[task.outcome]
    if found not in task.classes:
        raise TrainingRefused(f"an outcome {task.outcome} is none of {', '.join(task.classes)}")
    return task.classes.index(found)


def parts_of(
    tumours: Sequence[Tumour],
    task: RegionTask,
    *,
    fold: int | None,
    seed: int,
    test_share: float,
    problem: Problem = lambda tumour: None,
    chooses: bool = True,
) -> RegionParts:
    """Deal out the tumours of a run.

    Parameters
    ----------
    fold : int or None
        Without this fold, of those that are not in the split test: it is held out, and a share of the others chooses.
        None: the split test is held out, the split val chooses; where there is no split test, val is held out too.
    seed : int
        Of what the manifest leaves open.
    test_share : float
        Share of the patients that is held out when the manifest names no split at all; 0: nobody.
    problem : callable
        Why the model would refuse a tumour, None when it would not.
    chooses : bool
        Whether a checkpoint has to be chosen; if not, nobody is kept back for it.

    Raises
    ------
    TrainingRefused
        A patient is in two splits or two folds, there is no such fold, or a class has no tumour to learn from or to
        choose by.
    """
    _refuse_leaks(tumours)
    usable, left_out = usable_tumours(tumours, task, problem)
    if fold is not None:
        known = [one for one in usable if one.split != "test"]
        learned, held = [one for one in known if one.fold != fold], [one for one in known if one.fold == fold]
        if not held or not learned:
            there = ", ".join(map(str, sorted({one.fold for one in known if one.fold is not None})))
            raise TrainingRefused(f"cannot leave out fold {fold}: usable tumours are in folds {there or 'none'}")
        chosen: list[Tumour] = []
        held_out_are = f"fold {fold}"
    else:
        learned, chosen, held, held_out_are = _by_split(usable, task, seed=seed, test_share=test_share)
    if not chooses:
        learned, chosen = [*learned, *(chosen if held is not chosen else ())], []
    elif not chosen:
        learned, chosen = _taken_out(learned, task, CHOOSING_SHARE, [seed, _CHOOSING])
    _require_classes(learned, task, "to learn from")
    if chooses:
        _require_classes(chosen, task, "to choose the checkpoint by")
    return RegionParts(
        train=tuple(learned),
        choose=tuple(chosen),
        held_out=tuple(held),
        held_out_are=held_out_are,
        left_out=MappingProxyType(dict(left_out)),
    )


def usable_tumours(
    tumours: Iterable[Tumour], task: RegionTask, problem: Problem = lambda tumour: None
) -> tuple[list[Tumour], Counter[str]]:
    """Tumours whose outcome is known and that are marked in the views that the model needs; and why others are not."""
    usable, left_out = [], Counter[str]()
    for one in tumours:
        if one.outcomes.get(task.outcome) is None:
            left_out[f"{task.outcome} not known"] += 1
        elif missing := task.missing(one.views):
            left_out[f"not marked in {' or '.join(missing)}"] += 1
        elif (found := problem(one)) is not None:
            left_out[found] += 1
        else:
            usable.append(one)
    return usable, left_out


def digest_of_tumours(tumours: Iterable[Tumour], task: RegionTask) -> str:
    """Say in 16 digits which tumours these are, with pixels, masks and classes: a run is not taken up on others."""
    digest = hashlib.sha256()
    for one in sorted(tumours, key=lambda tumour: tumour.name):
        digest.update(f"{one.name}\n{one.outcomes[task.outcome]}\n".encode())
        for name in task.views:
            if (view := one.views.get(name)) is not None:
                digest.update(f"{name} {view.pixels.shape}\n".encode())
                digest.update(np.ascontiguousarray(view.pixels).data)
                digest.update(np.packbits(view.mask).data)
    return digest.hexdigest()[:16]


def counted(tumours: Sequence[Tumour], task: RegionTask) -> str:
    """Say in words and numbers what tumours these are, e.g. ``"8 tumours of 8 patients (5 positive, 3 negative)"``."""
    classes = Counter(one.outcomes[task.outcome] for one in tumours)
    each = ", ".join(f"{classes[name]} {name}" for name in task.classes)
    return f"{len(tumours)} tumours of {len({one.patient for one in tumours})} patients ({each})"


def _by_split(
    usable: Sequence[Tumour], task: RegionTask, *, seed: int, test_share: float
) -> tuple[list[Tumour], list[Tumour], list[Tumour], str]:
    """To learn from, to choose by, to measure on, and what the latter are."""
    tests, vals = ([one for one in usable if one.split == split] for split in ("test", "val"))
    learned = [one for one in usable if one.split not in ("test", "val")]
    if tests:
        return learned, vals, tests, "split test"
    if vals:
        return learned, vals, vals, "split val"
    if test_share and all(one.split is None for one in usable):
        learned, tests = _taken_out(learned, task, test_share, [seed, _TESTING])
        return learned, [], tests, f"{test_share:.0%} of the patients, held out by lot (seed {seed})"
    return learned, [], [], "nothing held out"


def _taken_out(
    tumours: Sequence[Tumour], task: RegionTask, share: float, seed: Sequence[int]
) -> tuple[list[Tumour], list[Tumour]]:
    """Without a share of the patients of each class, at least one of each; and those."""
    out: set[str] = set()
    for number, patients in enumerate(_patients_by_class(tumours, task).values()):
        out.update(_shuffled(patients, [*seed, number])[: max(1, round(share * len(patients)))])
    return [one for one in tumours if one.patient not in out], [one for one in tumours if one.patient in out]


def _patients_by_class(tumours: Iterable[Tumour], task: RegionTask) -> dict[str, list[str]]:
    """Patients in order of their pseudonyms, by the classes of their tumours; the order of the tumours has no say."""
    classes: dict[str, set[str]] = defaultdict(set)
    for one in tumours:
        classes[one.patient].add(one.outcomes.get(task.outcome, ""))
    found: dict[str, list[str]] = defaultdict(list)
    for patient in sorted(classes):
        found["+".join(sorted(classes[patient]))].append(patient)
    return {name: found[name] for name in sorted(found)}


def _shuffled(patients: Sequence[str], seed: Sequence[int]) -> list[str]:
    return [patients[index] for index in np.random.default_rng(seed).permutation(len(patients))]


def _refuse_leaks(tumours: Iterable[Tumour]) -> None:
    splits, folds = defaultdict[str, set[object]](set), defaultdict[str, set[object]](set)
    for one in tumours:
        splits[one.patient].add(one.split)
        folds[one.patient].add(one.fold)
    for found, of_what in ((splits, "splits"), (folds, "folds")):
        leaking = sum(len(places) > 1 for places in found.values())
        if leaking:
            raise TrainingRefused(
                f"{leaking} patients are in two {of_what}, so a model would be measured on whom it learned from: "
                "put all rows of a patient into one"
            )


def _require_classes(tumours: Iterable[Tumour], task: RegionTask, use: str) -> None:
    counts = Counter(class_number(one, task) for one in tumours)
    missing = [name for number, name in enumerate(task.classes) if not counts[number]]
    if missing:
        raise TrainingRefused(
            f"no tumour {use} has {task.outcome} {' or '.join(missing)}: add such patients, "
            "or leave the column split empty so that each class is dealt out"
        )
