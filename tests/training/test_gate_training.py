"""The gate: it learns where clusters are, and its threshold loses no more of them than asked."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from models.contract import BoxPx
from models.fpnnet.gate import CELL_PX, Gate
from models.fpnnet.network import FPNNet
from models.training import gate as gate_training
from models.training.crops import Crop
from models.training.gate import GatePlan, _cells, choose_threshold, train_gate
from models.training.validation import ValidationView
from tests.training.builders import tissue_image
from tests.training.small_networks import one_thread

SIDE = 128


@pytest.fixture(autouse=True)
def _alone() -> Iterator[None]:
    with one_thread():
        yield


def square_crop(number: int, *, side: int = SIDE) -> Crop:
    """Noise, and in three of four crops a bright square of points at some place."""
    rng = np.random.default_rng(number)
    pixels = tissue_image(side, side, seed=number).pixels.copy()
    boxes = np.zeros((0, 4), dtype=np.float32)
    if number % 4:
        x, y = (int(value) for value in rng.integers(8, side - 32, size=2))
        pixels[y : y + 24 : 6, x : x + 24 : 6] += 0.4
        boxes = np.array([[x, y, x + 19, y + 19]], dtype=np.float32)
    return Crop(
        pixels=pixels, boxes=boxes, labels=("malignant",) * len(boxes), calcium=np.zeros((side, side), np.float32)
    )


def batches(numbers: range, size: int) -> Iterable[list[Crop]]:
    for start in range(0, len(numbers), size):
        yield [square_crop(number) for number in numbers[start : start + size]]


class _Shown(nn.Module):
    """In place of the gate: its probability is the brightness of each cell's middle pixel, channels being shifted."""

    def forward(self, seen: Tensor) -> Tensor:
        middles = seen[:, 0, CELL_PX // 2 :: CELL_PX, CELL_PX // 2 :: CELL_PX] + 0.5
        return torch.logit(middles.double())


def view(peaks: dict[tuple[int, int], float], *boxes: BoxPx, normal: bool = False, side: int = 256) -> ValidationView:
    """A view whose cells ``(column, row)`` are as bright as said."""
    pixels = np.zeros((side, side), dtype=np.float32)
    for (column, row), value in peaks.items():
        pixels[row * CELL_PX : (row + 1) * CELL_PX, column * CELL_PX : (column + 1) * CELL_PX] = value
    return ValidationView(pixels=pixels, lesions=tuple((box, "malignant") for box in boxes), normal=normal)


def cell_box(column: int, row: int) -> BoxPx:
    return column * 16.0 + 2, row * 16.0 + 2, column * 16.0 + 14, row * 16.0 + 14


DETECTOR = FPNNet(box_score_thresh=0.3, box_nms_thresh=0.3, box_detections_per_img=250)
"""Never run: `finds_all` says what it finds."""


@pytest.fixture(autouse=True)
def finds_all(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """Let the detector find every lesion."""
    monkeypatch.setattr(gate_training, "score_at_rate", lambda *_: 0.5)
    monkeypatch.setattr(gate_training, "lesion_scores", lambda _n, seen, _d: [0.9] * len(seen.lesions))
    return monkeypatch


def test_it_learns_to_open_on_what_it_is_shown_and_nowhere_else() -> None:
    told: list[tuple[int, float]] = []
    gate = train_gate(
        batches,
        GatePlan(steps=40, batch=8, learning_rate=5e-3),
        device=torch.device("cpu"),
        seed=1,
        tell=lambda step, loss: told.append((step, loss)),
    )
    assert [step for step, _ in told] == list(range(1, 41))
    assert np.mean([loss for _, loss in told[-5:]]) < 0.5 * np.mean([loss for _, loss in told[:5]])
    assert not gate.training
    views = []
    for number in range(12):
        crop = square_crop(number)
        boxes = tuple((tuple(map(float, box)), "malignant") for box in crop.boxes)
        views.append(ValidationView(pixels=crop.pixels, lesions=boxes, normal=not boxes))  # type: ignore[arg-type]  # four floats
    figures = choose_threshold(gate, DETECTOR, views, 1.0)
    assert figures.recall == 1.0
    assert figures.looked_at < 0.5


def test_the_same_seed_trains_the_same_gate() -> None:
    def trained(seed: int) -> dict[str, Tensor]:
        plan = GatePlan(steps=2, batch=2)
        return train_gate(
            batches, plan, device=torch.device("cpu"), seed=seed, tell=lambda step, loss: None
        ).state_dict()

    first, again, other = trained(1), trained(1), trained(2)
    assert all(torch.equal(value, again[name]) for name, value in first.items())
    assert not torch.equal(first["layers.9.weight"], other["layers.9.weight"])


def test_one_step_is_enough_to_have_a_gate() -> None:
    gate = train_gate(
        batches, GatePlan(steps=1, batch=2), device=torch.device("cpu"), seed=1, tell=lambda step, loss: None
    )
    assert isinstance(gate, Gate)


def test_a_cell_is_asked_for_where_a_box_reaches_into_it() -> None:
    boxes = np.array([[17.0, 30.0, 49.0, 33.0], [0.0, 112.0, 16.0, 128.0]], dtype=np.float32)
    crop = Crop(
        pixels=np.zeros((128, 128), np.float32), boxes=boxes, labels=("benign",) * 2, calcium=np.zeros((128, 128))
    )
    asked = {(int(column), int(row)) for row, column in _cells(crop).nonzero().tolist()}
    assert asked == {(column, row) for column in (1, 2, 3) for row in (1, 2)} | {(0, 7)}


def test_a_box_that_begins_a_hair_outside_the_crop_is_asked_for() -> None:
    boxes = np.array([[-8e-6, -8e-6, 40.0, 20.0]], dtype=np.float32)
    crop = Crop(pixels=np.zeros((64, 64), np.float32), boxes=boxes, labels=("benign",), calcium=np.zeros((64, 64)))
    assert _cells(crop).sum() == 6


LESIONS = {(3, 3): 0.9, (11, 3): 0.8, (19, 3): 0.7, (3, 11): 0.6, (19, 19): 0.5}
"""Each in the middle of a core of its own: no other would let it count."""


@pytest.mark.parametrize(
    ("recall", "threshold", "passing"),
    [(1.0, 0.4999, 5), (0.99, 0.4999, 5), (0.8, 0.5999, 4), (0.79, 0.5999, 4), (0.6, 0.6999, 3)],
)
def test_the_threshold_lets_the_recall_pass_and_no_more(recall: float, threshold: float, passing: int) -> None:
    # Half of a window of 8 by 8 cells of the normal image is above each threshold below 0.65.
    normal = view({(0, 0): 0.65, (9, 9): 0.1}, normal=True)
    figures = choose_threshold(
        _Shown(), DETECTOR, [view(LESIONS, *(cell_box(*cell) for cell in LESIONS), side=384), normal], recall
    )  # type: ignore[arg-type]  # stands in
    assert figures.threshold == pytest.approx(threshold, abs=1e-9)
    assert figures.recall == passing / 5
    assert figures.looked_at == (0.25 if threshold < 0.65 else 0.0)


@pytest.mark.parametrize("peak", [0.5, 1.0 - 2**-24, 0.25, 0.12345, 0.3])
def test_a_peak_is_above_the_threshold_that_it_sets(peak: float) -> None:
    normal = view({}, normal=True)
    figures = choose_threshold(_Shown(), DETECTOR, [view({(3, 3): peak}, cell_box(3, 3)), normal], 1.0)  # type: ignore[arg-type]  # stands in
    assert figures.recall == 1.0
    assert peak - 1.6e-4 < figures.threshold < peak - 4e-5


def test_a_saturated_gate_still_lets_its_lesions_pass() -> None:
    class Sure(nn.Module):
        def forward(self, seen: Tensor) -> Tensor:
            return torch.full((1, 16, 16), 40.0)

    figures = choose_threshold(Sure(), DETECTOR, [view({}, cell_box(3, 3)), view({}, normal=True)], 1.0)  # type: ignore[arg-type]  # stands in
    assert figures.recall == 1.0 and figures.threshold < 1.0


def test_a_lesion_that_the_gate_does_not_see_at_all_opens_it_for_the_whole_image() -> None:
    figures = choose_threshold(_Shown(), DETECTOR, [view({}, cell_box(3, 3)), view({(1, 1): 0.2}, normal=True)], 1.0)  # type: ignore[arg-type]  # stands in
    assert figures.threshold == 0.0


def test_what_the_detector_does_not_find_does_not_open_the_gate(finds_all: pytest.MonkeyPatch) -> None:
    views = [view(LESIONS, *(cell_box(*cell) for cell in LESIONS), side=384), view({(0, 0): 0.65}, normal=True)]
    finds_all.setattr(gate_training, "score_at_rate", lambda *_: 0.3)
    finds_all.setattr(
        gate_training, "lesion_scores", lambda _n, seen, _d: [0.9, 0.31, 0.3, 0.8, 0.0][: len(seen.lesions)]
    )
    figures = choose_threshold(_Shown(), DETECTOR, views, 1.0)  # type: ignore[arg-type]  # stands in
    assert (figures.lesions, figures.threshold) == (3, pytest.approx(0.5999, abs=1e-9))


def test_a_detector_that_finds_nothing_leaves_all_lesions_to_the_gate(finds_all: pytest.MonkeyPatch) -> None:
    views = [view(LESIONS, *(cell_box(*cell) for cell in LESIONS), side=384), view({}, normal=True)]
    finds_all.setattr(gate_training, "lesion_scores", lambda _n, seen, _d: [0.0] * len(seen.lesions))
    figures = choose_threshold(_Shown(), DETECTOR, views, 1.0)  # type: ignore[arg-type]  # stands in
    assert (figures.lesions, figures.recall) == (5, 1.0)


def test_a_lesion_passes_by_any_core_that_its_centre_is_in_or_near_and_by_no_other() -> None:
    normal = view({}, normal=True)
    # The centre of the cell (8, 3) lies 8 pixels beyond the first core; that of (12, 3) lies 72 beyond it.
    for cell, threshold in (((8, 3), 0.2999), ((12, 3), 0.0)):
        seen = view({(0, 0): 0.3}, cell_box(*cell))
        assert choose_threshold(_Shown(), DETECTOR, [seen, normal], 1.0).threshold == pytest.approx(threshold, abs=1e-9)  # type: ignore[arg-type]  # stands in


def test_a_large_lesion_does_not_pass_by_its_corner() -> None:
    """What the node does: a box counts where its centre is in a window's core or near it."""
    seen = view({(3, 3): 0.4}, (50.0, 50.0, 350.0, 350.0), side=384)
    assert choose_threshold(_Shown(), DETECTOR, [seen, view({}, normal=True)], 1.0).threshold == 0.0  # type: ignore[arg-type]  # stands in


def test_the_threshold_is_chosen_in_float32_whatever_the_training_was_in() -> None:
    gate = Gate().eval()
    views = [view({(3, 3): 0.5}, cell_box(3, 3)), view({}, normal=True)]
    plain = choose_threshold(gate, DETECTOR, views, 1.0)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert choose_threshold(gate, DETECTOR, views, 1.0) == plain
