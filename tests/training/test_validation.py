"""The figures that choose a checkpoint, counted by hand."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch

from models.contract import BoxPx, Label
from models.fpnnet.network import FPNNet
from models.training import validation
from models.training.contract import TruthBox
from models.training.planted_views import plant_whole, planted_pairs
from models.training.validation import (
    LEAST_SCORE,
    MINED_AN_IMAGE,
    MINED_SCORE,
    ValidationFigures,
    ValidationView,
    find_false_positives,
    score_at_rate,
    some_of,
    validate,
    view_of,
    views_of,
)
from tests.training.builders import tissue_image

Found = tuple[BoxPx, str, float]

CPU = torch.device("cpu")
LESION: BoxPx = (10.0, 20.0, 30.0, 40.0)


class _NoNetwork(FPNNet):
    """Never called: what is found is laid down by the test."""

    def __init__(self) -> None:
        torch.nn.Module.__init__(self)


NETWORK = _NoNetwork()


def around(x: float, y: float, score: float, label: Label = "malignant") -> Found:
    return (x - 4, y - 4, x + 4, y + 4), label, score


@pytest.fixture
def finds(monkeypatch: pytest.MonkeyPatch) -> Callable[[dict[int, list[Found]]], list[ValidationView]]:
    """Lay down what is found in each view, which holds its number in its first pixel."""

    def lay(found: dict[int, list[Found]]) -> list[ValidationView]:
        monkeypatch.setattr(validation, "_detect", lambda _, pixels, __: found.get(round(float(pixels[0, 0])), []))
        return []

    return lay


def view(number: int, *lesions: tuple[BoxPx, Label], normal: bool = False) -> ValidationView:
    return ValidationView(pixels=np.full((4, 4), number, dtype=np.float32), lesions=lesions, normal=normal)


def test_lesions_are_found_at_so_many_false_positives_an_image_as_counted_by_hand(finds: Callable) -> None:
    finds(
        {
            1: [around(20, 30, 0.95)],
            2: [around(20, 30, 0.65, "benign"), around(90, 90, 0.99)],
            3: [around(20, 30, 0.45)],
            4: [around(90, 90, 0.9)],
            # Two normals with the false positives 0.8, 0.6 / 0.5, 0.3, 0.2
            5: [around(5, 5, 0.8), around(50, 5, 0.6)],
            6: [around(5, 5, 0.5), around(50, 5, 0.3), around(80, 5, 0.2)],
        }
    )
    truth = (LESION, "malignant")
    views = [*(view(number, truth) for number in (1, 2, 3, 4)), view(5, normal=True), view(6, normal=True)]
    figures = validate(NETWORK, views, CPU)
    # 0.5 an image allows one (threshold 0.6), 1 allows two (0.5), 2 allows four (0.2).
    assert figures.found_at_half == 2 / 4
    assert figures.found_at_1 == 2 / 4
    assert figures.found_at_2 == 3 / 4
    assert figures.label_accuracy == pytest.approx(2 / 3)
    assert figures.rank == pytest.approx((0.5 + 0.5 + 0.75) / 3)


def test_a_lesion_that_scores_no_more_than_the_false_positives_is_not_found(finds: Callable) -> None:
    finds({1: [around(20, 30, 0.5)], 2: [around(5, 5, 0.5), around(50, 5, 0.5), around(80, 5, 0.5)]})
    figures = validate(NETWORK, [view(1, (LESION, "malignant")), view(2, normal=True)], CPU)
    assert (figures.found_at_half, figures.found_at_1, figures.found_at_2) == (0.0, 0.0, 0.0)
    assert np.isnan(figures.label_accuracy)


def test_where_false_positives_are_few_all_scores_count(finds: Callable) -> None:
    finds({1: [around(20, 30, 0.03)], 2: [around(5, 5, 0.9)]})
    figures = validate(NETWORK, [view(1, (LESION, "malignant")), view(2, normal=True)], CPU)
    assert (figures.found_at_half, figures.found_at_1) == (0.0, 1.0)


def test_false_positives_beside_a_lesion_do_not_count(finds: Callable) -> None:
    finds({1: [around(20, 30, 0.4), around(90, 90, 0.9), around(70, 90, 0.9)]})
    figures = validate(NETWORK, [view(1, (LESION, "malignant")), view(2, normal=True)], CPU)
    assert figures.found_at_half == 1.0


@pytest.mark.parametrize(
    ("x", "y", "found"), [(10.0, 20.0, 1.0), (30.0, 40.0, 1.0), (9.9, 30.0, 0.0), (20.0, 40.1, 0.0)]
)
def test_a_box_finds_a_lesion_when_its_centre_lies_in_it(finds: Callable, x: float, y: float, found: float) -> None:
    finds({1: [around(x, y, 0.9)]})
    assert validate(NETWORK, [view(1, (LESION, "benign")), view(2, normal=True)], CPU).found_at_2 == found


def test_the_best_box_in_a_lesion_gives_the_class(finds: Callable) -> None:
    finds({1: [around(20, 30, 0.5, "benign"), around(21, 30, 0.8, "malignant")]})
    assert validate(NETWORK, [view(1, (LESION, "malignant")), view(2, normal=True)], CPU).label_accuracy == 1.0


def test_without_lesions_nothing_is_found(finds: Callable) -> None:
    finds({})
    assert validate(NETWORK, [view(1, normal=True)], CPU).rank == 0.0


@pytest.mark.parametrize(
    ("scores", "rate", "score"),
    [
        ([0.9, 0.7, 0.5, 0.3], 1.0, 0.5),  # two images: two false positives above it
        ([0.9, 0.7, 0.5, 0.3], 0.5, 0.7),
        ([0.9, 0.7, 0.7, 0.7], 1.0, 0.7),  # all of a tie, or none: one false positive above it
        ([0.9, 0.9, 0.9, 0.1], 0.5, 0.9),
        ([0.9], 0.5, LEAST_SCORE),
        ([], 0.5, LEAST_SCORE),
        ([0.9, 0.01], 0.5, LEAST_SCORE),
    ],
)
def test_above_the_score_at_rate_there_are_at_most_so_many_false_positives(
    finds: Callable, scores: list[float], rate: float, score: float
) -> None:
    finds({1: [around(5, 5, one) for one in scores[::2]], 2: [around(5, 5, one) for one in scores[1::2]]})
    views = [view(1, normal=True), view(2, normal=True), view(3, (LESION, "benign"))]
    assert score_at_rate(NETWORK, views, CPU, rate) == score
    assert sum(one > score for one in scores) <= rate * 2


def test_drawn_distractors_do_not_set_the_score_at_rate(finds: Callable) -> None:
    finds({1: [around(5, 5, 0.9)] * 5, 2: [around(5, 5, 0.3)]})
    views = [replace(view(1, normal=True), drawn=True), view(2, normal=True)]
    assert score_at_rate(NETWORK, views, CPU, 0.5) == 0.3


def test_only_normal_views_set_the_score_at_rate(finds: Callable) -> None:
    finds({1: [around(5, 5, 0.9)] * 5, 2: [around(5, 5, 0.3)]})
    assert score_at_rate(NETWORK, [view(1), view(2, normal=True)], CPU, 0.5) == 0.3


@pytest.mark.parametrize(("spacing_mm", "scale"), [(0.2, 0.5), (0.1, 1.0), (0.05, 2.0)])
def test_mined_places_lie_at_the_false_positives_in_pixels_of_the_image(
    monkeypatch: pytest.MonkeyPatch, spacing_mm: float, scale: float
) -> None:
    image = tissue_image(120, 90, spacing_mm=spacing_mm, name="one")
    seen: list[tuple[int, ...]] = []

    def detect(_: FPNNet, pixels: np.ndarray, __: torch.device) -> list[Found]:
        seen.append(pixels.shape)
        return [around(40, 22, 0.9), around(8, 14, MINED_SCORE + 0.01), around(30, 30, MINED_SCORE)]

    monkeypatch.setattr(validation, "_detect", detect)
    places = find_false_positives(NETWORK, [image], CPU)
    assert seen == [(120 / scale, 90 / scale)]
    assert places["one"] == pytest.approx(np.array([[40.0, 22.0], [8.0, 14.0]]) * scale)


def test_the_highest_false_positives_of_an_image_are_mined_and_none_is_an_empty_list(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    many = [around(number, 5, 0.9 - 0.01 * number) for number in range(30)]
    answers = iter([many, []])
    monkeypatch.setattr(validation, "_detect", lambda *_: next(answers))
    images = [tissue_image(name="full"), tissue_image(name="empty")]
    places = find_false_positives(NETWORK, images, CPU)
    assert places["full"][:, 0].tolist() == list(range(MINED_AN_IMAGE))
    assert places["empty"].shape == (0, 2)


def test_a_view_has_the_networks_spacing_and_its_lesions_with_it() -> None:
    lesion = TruthBox(box_px=(10.0, 20.0, 30.0, 50.0), label="benign")
    image = tissue_image(101, 77, spacing_mm=0.07, noise=0.0, lesions=(lesion,))
    image.pixels[20:50, 10:30] = 1.0
    made = view_of(image, 0.1, normal=False)
    assert made.pixels.shape == (71, 54)
    (box, label), *_ = made.lesions
    assert label == "benign" and box == pytest.approx((7.0, 14.0, 21.0, 35.0), rel=0.01)
    rows, columns = np.nonzero(made.pixels > 0.7)
    assert (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1) == pytest.approx(box, abs=1.0)


def test_pairs_are_an_image_with_lesions_and_the_same_without() -> None:
    images = [tissue_image(200, 200, name="a"), tissue_image(200, 200, name="b", plantable=False)]
    pairs = planted_pairs(images, seed=3)
    assert [pair.normal.name for pair in pairs] == ["a"]
    planted = pairs[0].planted
    assert planted.lesions and not planted.plantable and planted.name == "a+"
    assert np.array_equal(pairs[0].normal.pixels, tissue_image(200, 200).pixels)
    assert not np.array_equal(planted.pixels, pairs[0].normal.pixels)
    assert len({lesion.label for lesion in planted.lesions}) == 1
    again = planted_pairs(images, seed=3)[0].planted
    assert np.array_equal(planted.pixels, again.pixels) and planted.lesions == again.lesions
    assert planted_pairs(images, seed=4)[0].planted.lesions != planted.lesions
    views = views_of(pairs, 0.1, normals=True)
    assert [(view.normal, view.drawn) for view in views] == [(False, True), (True, False), (True, True)]
    assert [len(view.lesions) for view in views] == [len(planted.lesions), 0, 0]
    assert len(views_of(pairs, 0.1, normals=False)) == 1


def test_an_image_with_distractors_alone_differs_from_the_planted_one_by_the_lesions_only() -> None:
    (pair,) = planted_pairs([tissue_image(400, 400, name="a")], seed=3)
    assert not pair.distracted.lesions and not pair.distracted.plantable
    differing = pair.planted.pixels != pair.distracted.pixels
    inside = np.zeros_like(differing)
    for lesion in pair.planted.lesions:
        x0, y0, x1, y1 = lesion.box_px
        inside[max(round(y0) - 20, 0) : round(y1) + 20, max(round(x0) - 20, 0) : round(x1) + 20] = True
    assert differing.any() and not (differing & ~inside).any()


def test_what_is_planted_in_an_image_does_not_depend_on_the_others() -> None:
    images = [tissue_image(200, 200, name=name) for name in "abc"]
    (alone,) = planted_pairs(images[2:], seed=3)
    assert alone.planted.lesions == planted_pairs(images, seed=3)[2].planted.lesions
    first, second, _ = (pair.planted.lesions for pair in planted_pairs(images, seed=3))
    assert first != second


def test_of_many_items_some_are_taken_by_lot_in_their_order() -> None:
    items = list(range(100))
    assert some_of(items, 100, 1) == items
    few = some_of(items, 10, 1)
    assert len(few) == 10 and few == sorted(few) and few == some_of(items, 10, 1) != some_of(items, 10, 2)


@pytest.mark.parametrize("label", ["benign", "malignant"])
def test_the_class_of_planted_lesions_can_be_chosen(label: Label) -> None:
    for seed in range(5):
        planted = plant_whole(tissue_image(200, 200), np.random.default_rng(seed), label)
        assert {lesion.label for lesion in planted.lesions} <= {label}


def test_an_image_of_air_gets_no_lesion_and_makes_no_pair() -> None:
    image = tissue_image(100, 100)
    image.pixels[:] = 0.0
    assert planted_pairs([image], seed=1) == ()


def test_the_rank_is_the_mean_of_the_three_shares() -> None:
    figures = ValidationFigures(found_at_half=0.3, found_at_1=0.6, found_at_2=0.9, label_accuracy=0.0)
    assert figures.rank == pytest.approx(0.6)
