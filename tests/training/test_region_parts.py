"""Who is learned from, who chooses, who is measured: by patient, by class, and by what the manifest says."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import replace

import pytest

from models.errors import TrainingRefused
from models.training.region_parts import CHOOSING_SHARE, RegionParts, digest_of_tumours, parts_of
from models.training.tumours import Tumour
from tests.training.tumour_builders import ER, ER_OF_EACH, cohort, tumour


def dealt(tumours: list[Tumour], *, fold: int | None = None, seed: int = 1, test_share: float = 0.3) -> RegionParts:
    return parts_of(tumours, ER, fold=fold, seed=seed, test_share=test_share)


def folded(tumours: list[Tumour], folds: int) -> list[Tumour]:
    """Pairs of a negative and a positive one, in turn to each fold."""
    return [replace(one, fold=1 + number // 2 % folds) for number, one in enumerate(tumours)]


def names(tumours: Iterable[Tumour]) -> set[str]:
    return {one.name for one in tumours}


def classes(tumours: Iterable[Tumour]) -> Counter[str]:
    return Counter(one.outcomes["er"] for one in tumours)


@pytest.fixture(scope="module")
def unsplit() -> list[Tumour]:
    return cohort(range(40))


def test_without_splits_each_class_is_held_out_by_its_share_whatever_the_order(unsplit: list[Tumour]) -> None:
    parts = dealt(unsplit)
    assert classes(parts.held_out) == {"negative": 6, "positive": 6}
    assert classes(parts.choose) == {"negative": round(CHOOSING_SHARE * 14), "positive": round(CHOOSING_SHARE * 14)}
    assert len(parts.train) + len(parts.choose) + len(parts.held_out) == 40
    assert not parts.chosen_by_held_out
    again = dealt(unsplit[::-1])
    assert [names(part) for part in (again.train, again.choose, again.held_out)] == [
        names(part) for part in (parts.train, parts.choose, parts.held_out)
    ]
    assert names(dealt(unsplit, seed=2).held_out) != names(parts.held_out)


def test_the_splits_of_a_manifest_are_kept(unsplit: list[Tumour]) -> None:
    train, val, test = cohort(range(8), "train"), cohort(range(8, 12), "val"), cohort(range(12, 16), "test")
    parts = dealt([*train, *val, *test])
    assert (names(parts.train), names(parts.choose)) == (names(train), names(val))
    assert names(parts.held_out) == names(test) and parts.held_out_are == "split test"


def test_measured_on_the_split_that_chose_says_so() -> None:
    parts = dealt([*cohort(range(8), "train"), *cohort(range(8, 12), "val")])
    assert parts.chosen_by_held_out and parts.held_out_are == "split val"
    assert not names(parts.train) & names(parts.choose)


def test_a_model_without_checkpoints_keeps_nobody_back(unsplit: list[Tumour]) -> None:
    parts = parts_of(unsplit, ER, fold=None, seed=1, test_share=0.3, chooses=False)
    assert not parts.choose and len(parts.train) == 28 and not parts.chosen_by_held_out
    assert names(parts.held_out) == names(dealt(unsplit).held_out)
    train, val, test = cohort(range(8), "train"), cohort(range(8, 12), "val"), cohort(range(12, 16), "test")
    for given, learned in (([*train, *val, *test], [*train, *val]), ([*train, *val], train)):
        parts = parts_of(given, ER, fold=None, seed=1, test_share=0.3, chooses=False)
        assert names(parts.train) == names(learned) and not parts.chosen_by_held_out


def test_a_fold_that_is_left_out_neither_teaches_nor_chooses_and_the_split_test_is_never_seen() -> None:
    known = [*folded(cohort(range(24)), 3), *cohort(range(24, 30), "test")]
    held = []
    for fold in (1, 2, 3):
        parts = dealt(known, fold=fold)
        assert {one.fold for one in parts.held_out} == {fold}
        assert not names((*parts.train, *parts.choose)) & names(parts.held_out)
        assert all(one.split != "test" for one in (*parts.train, *parts.choose, *parts.held_out))
        assert classes(parts.held_out) == {"negative": 4, "positive": 4}
        held += [one.name for one in parts.held_out]
    assert sorted(held) == sorted(one.name for one in known if one.split != "test")


def test_all_tumours_of_a_patient_stay_together(unsplit: list[Tumour]) -> None:
    seconds = [tumour(100 + number, patient=f"p{number:02}") for number in range(20)]
    parts = dealt([*unsplit, *seconds])
    patients = [{one.patient for one in part} for part in (parts.train, parts.choose, parts.held_out)]
    assert sum(map(len, patients)) == len(set().union(*patients)) == 40


@pytest.mark.parametrize(("changes", "said"), [({"split": "test"}, "two splits"), ({"fold": 2}, "two folds")])
def test_a_patient_in_two_parts_is_refused(changes: dict[str, object], said: str) -> None:
    first = replace(tumour(0), split="train", fold=1)
    leaking = [first, replace(first, name="p00/again", **changes), *cohort(range(1, 9), "train")]  # type: ignore[arg-type]  # by name
    with pytest.raises(TrainingRefused, match=said):
        dealt(leaking)


def test_a_class_that_nobody_has_is_refused_and_says_where() -> None:
    negatives = [tumour(number, "negative") for number in range(9)]
    with pytest.raises(TrainingRefused, match="to learn from has er positive"):
        dealt(negatives)
    with pytest.raises(TrainingRefused, match="choose the checkpoint by has er positive"):
        dealt([*cohort(range(8), "train"), tumour(8, "negative", split="val")])
    with pytest.raises(TrainingRefused, match="cannot leave out fold 7: usable tumours are in folds 1, 2"):
        dealt(folded(cohort(range(8)), 2), fold=7)


def test_what_cannot_be_used_is_counted_by_its_reason(unsplit: list[Tumour]) -> None:
    unknown = replace(tumour(50), outcomes={"pr": "positive"})
    more = [*unsplit, tumour(51, views=("CC",)), tumour(52, views=("CC",)), unknown, tumour(53)]
    parts = parts_of(
        more, ER, fold=None, seed=1, test_share=0.3, problem=lambda one: "odd" if one.patient == "p53" else None
    )
    assert parts.left_out == {"er not known": 1, "not marked in MLO": 2, "odd": 1}
    either = parts_of(more, ER_OF_EACH, fold=None, seed=1, test_share=0.3)
    assert either.left_out == {"er not known": 1}


def test_other_pixels_masks_or_classes_are_other_tumours() -> None:
    some = cohort(range(3))
    view = some[0].views["CC"]
    digests = {digest_of_tumours(some, ER), digest_of_tumours(some[::-1], ER)}
    assert len(digests) == 1
    mask = view.mask.copy()
    mask[0, 0] = True
    for changed in (
        replace(some[0], outcomes={"er": "positive"}),
        replace(some[0], views={**some[0].views, "CC": replace(view, mask=mask)}),
        replace(some[0], views={**some[0].views, "CC": replace(view, pixels=view.pixels * 0.5)}),
    ):
        digests.add(digest_of_tumours([changed, *some[1:]], ER))
    assert len(digests) == 4
