"""Folds: a patient in one, each class shared out evenly, the same every time."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from pipelines.datasets.folds import assign_folds, counts, stratum
from pipelines.datasets.frame_manifest import FrameEntry
from tests.datasets.frame_builders import entry, lesion


def frames(sizes: list[tuple[str, int]]) -> list[FrameEntry]:
    """One patient a tuple: what it has, and how many frames."""
    made = []
    for number, (kind, count) in enumerate(sizes):
        lesions = () if kind == "normal" else (lesion(Path("mask.png"), label=kind),)
        made += [entry(Path(f"{number}-{one}.png"), patient=f"p{number:03}", lesions=lesions) for one in range(count)]
    return made


SIZES = [(kind, 1 + number % 3) for number, kind in enumerate(["normal", "benign", "benign", "malignant"] * 15)]


def test_every_fold_has_its_share_of_each_class() -> None:
    by_fold = Counter((frame.fold, stratum([frame])) for frame in assign_folds(frames(SIZES)))
    for kind in ("normal", "benign", "malignant"):
        numbers = [by_fold[fold, kind] for fold in range(1, 6)]
        assert max(numbers) - min(numbers) <= 1, kind
    totals = Counter(frame.fold for frame in assign_folds(frames(SIZES)))
    assert max(totals.values()) - min(totals.values()) <= 2


def test_the_order_of_frames_plays_no_part_and_the_seed_does() -> None:
    given_order = {frame.path: frame.fold for frame in assign_folds(frames(SIZES), seed=3)}
    reversed_order = {frame.path: frame.fold for frame in assign_folds(frames(SIZES)[::-1], seed=3)}
    assert given_order == reversed_order
    assert given_order != {frame.path: frame.fold for frame in assign_folds(frames(SIZES), seed=4)}


@given(st.lists(st.tuples(st.sampled_from(["normal", "benign", "malignant"]), st.integers(1, 4)), max_size=25))
def test_a_patient_is_in_one_fold(sizes: list[tuple[str, int]]) -> None:
    assigned = assign_folds(frames(sizes), folds=3)
    folds: dict[str, set[int | None]] = {}
    for frame in assigned:
        folds.setdefault(frame.patient, set()).add(frame.fold)
    assert all(len(found) == 1 and found <= {1, 2, 3} for found in folds.values())
    assert [replace(frame, fold=None) for frame in assigned] == frames(sizes)


def test_a_fold_that_was_given_is_kept_and_counted() -> None:
    some = frames([("benign", 1)] * 4)
    some = [replace(frame, fold=1 if number < 2 else None) for number, frame in enumerate(some)]
    assert [frame.fold for frame in assign_folds(some, folds=2)] == [1, 1, 2, 2]


def test_a_patient_with_any_malignant_lesion_is_malignant() -> None:
    benign, malignant = frames([("benign", 1), ("malignant", 1)])
    assert stratum([benign, malignant]) == "malignant"
    assert stratum([benign]) == "benign" and stratum([entry(Path("x.png"))]) == "normal"
    assert stratum([entry(Path("x.png"), lesions=(lesion(Path("m.png"), label=None),))]) == "benign"


def test_every_fold_has_its_share_of_each_her2_status() -> None:
    some = [
        entry(Path(f"{number}.png"), patient=f"p{number}", lesions=(lesion(label="malignant", her2=her2),))
        for number, her2 in enumerate(["positive"] * 5 + ["negative"] * 10)
    ]
    by_fold = Counter((frame.fold, frame.lesions[0].her2) for frame in assign_folds(some))
    assert {by_fold[fold, "positive"] for fold in range(1, 6)} == {1}
    assert {by_fold[fold, "negative"] for fold in range(1, 6)} == {2}


def test_counts_are_a_table_by_fold() -> None:
    table = counts(assign_folds(frames([("benign", 2), ("malignant", 1), ("normal", 1)]), folds=1)).splitlines()
    assert table[0].split() == ["fold", "frames", "groups", "normal", "benign", "malignant"]
    assert table[1].split() == ["1", "4", "3", "1", "2", "1"]
