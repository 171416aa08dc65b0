"""The gate and the windows: nothing that was asked for is missed, and a window shows what the whole image would."""

from __future__ import annotations

from copy import deepcopy

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from models.channels import REACH_PX, channels
from models.fpnnet.gate import CELL_PX, LARGEST_PX, MARGIN_PX, Gate, Window, whole, windows
from models.fpnnet.search import GatedFPNNet, fused
from tests.models.builders import noise_image

SIZES = st.tuples(st.integers(1, 3000), st.integers(1, 1500))


def cells_of(size: tuple[int, int]) -> tuple[int, int]:
    return -(-size[0] // CELL_PX), -(-size[1] // CELL_PX)


def covered(found: list[Window], size: tuple[int, int]) -> torch.Tensor:
    """How many cores each pixel is in."""
    count = torch.zeros(size, dtype=torch.int16)
    for window in found:
        x0, y0, x1, y1 = window.core_px
        count[y0:y1, x0:x1] += 1
    return count


@settings(deadline=None)
@given(SIZES, st.floats(0.0, 0.2), st.integers(0, 99))
def test_every_cell_that_is_asked_for_lies_in_exactly_one_core(size: tuple[int, int], share: float, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    probability = (torch.rand(cells_of(size), generator=generator) < share).float()
    count = covered(windows(probability, 0.5, size), size)
    assert count.max() <= 1
    for row, column in probability.nonzero().tolist():
        assert count[row * CELL_PX : (row + 1) * CELL_PX, column * CELL_PX : (column + 1) * CELL_PX].all()


@settings(deadline=None)
@given(SIZES)
def test_the_whole_image_is_covered_once_by_windows_of_bounded_size(size: tuple[int, int]) -> None:
    found = whole(size)
    assert (covered(found, size) == 1).all()
    for window in found:
        x0, y0, x1, y1 = window.outer_px
        assert 0 <= x0 < x1 <= size[1] and 0 <= y0 < y1 <= size[0]
        assert max(x1 - x0, y1 - y0) <= LARGEST_PX
        core = window.core_px
        assert core[0] - x0 in {MARGIN_PX, core[0]} and core[1] - y0 in {MARGIN_PX, core[1]}


@settings(deadline=None)
@given(SIZES, st.floats(0.0, 1.0), st.integers(0, 99))
def test_windows_never_cost_more_than_the_whole_image(size: tuple[int, int], share: float, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    probability = (torch.rand(cells_of(size), generator=generator) < share).float()

    def pixels(found: list[Window]) -> int:
        return sum((x1 - x0) * (y1 - y0) for x0, y0, x1, y1 in (window.outer_px for window in found))

    assert pixels(windows(probability, 0.5, size)) <= pixels(whole(size))


def test_neighbours_are_looked_at_in_one_window_and_far_places_in_two() -> None:
    probability = torch.zeros(cells_of((2000, 1000)))
    probability[0, 0] = probability[0, 8] = probability[100, 50] = 1.0
    assert [window.core_px for window in windows(probability, 0.5, (2000, 1000))] == [
        (0, 0, 256, 128),
        (768, 1536, 896, 1664),
    ]


def test_nothing_asked_for_is_no_window() -> None:
    assert windows(torch.zeros(10, 10), 0.5, (160, 160)) == []


@pytest.mark.parametrize(("rows", "columns"), [(1, 1), (15, 33), (256, 250)])
def test_the_gate_has_an_answer_for_every_cell(rows: int, columns: int) -> None:
    with torch.inference_mode():
        logits = Gate().eval()(torch.zeros(1, 3, rows, columns))
    assert logits.shape == (1, *cells_of((rows, columns)))


def test_a_change_reaches_no_further_than_it_says() -> None:
    image = torch.from_numpy(noise_image(600, 500).pixels)
    changed = image.clone()
    changed[300, 250] = 1.0 - changed[300, 250]
    differs = (channels(image) != channels(changed)).any(dim=0).nonzero()
    assert len(differs) > 1
    assert ((differs - torch.tensor([300, 250])).abs() <= REACH_PX).all()


def test_one_window_over_the_whole_image_finds_what_the_plain_network_finds(gated: GatedFPNNet) -> None:
    image = torch.from_numpy(noise_image(200, 150).pixels)
    with torch.inference_mode():
        plain = gated.detector.detect(image, with_activation=True)
        searched = gated.detect(image, with_activation=True)
    assert len(plain.boxes) > 5
    torch.testing.assert_close(searched.boxes, plain.boxes)
    torch.testing.assert_close(searched.scores, plain.scores)
    torch.testing.assert_close(searched.malignancy, plain.malignancy)
    assert searched.labels.tolist() == plain.labels.tolist()
    assert searched.activation is not None and plain.activation is not None
    torch.testing.assert_close(searched.activation, plain.activation)


def test_folded_normalisation_changes_nothing_but_rounding(gated: GatedFPNNet) -> None:
    image = torch.from_numpy(noise_image(200, 150).pixels)
    network = deepcopy(gated)
    _shake_statistics(network)
    with torch.inference_mode():
        before = network.detect(image, score_threshold=0.05)
        probability = network.gate(channels(image)[None])
        folded = fused(deepcopy(network))
        after = folded.detect(image, score_threshold=0.05)
        assert torch.allclose(folded.gate(channels(image)[None]), probability, atol=1e-4)
    assert not any(isinstance(part, torch.nn.BatchNorm2d) for part in folded.modules())
    assert len(before.boxes) == len(after.boxes) > 5
    torch.testing.assert_close(after.boxes, before.boxes, atol=0.05, rtol=1e-3)
    torch.testing.assert_close(after.scores, before.scores, atol=1e-3, rtol=1e-3)


def test_a_closed_gate_finds_nothing_and_does_not_look(gated: GatedFPNNet, monkeypatch: pytest.MonkeyPatch) -> None:
    network = deepcopy(gated)
    network.gate_threshold = 1.0
    monkeypatch.setattr(type(network.detector), "look", None)
    with torch.inference_mode():
        found = network.detect(torch.from_numpy(noise_image(200, 150).pixels), with_activation=True)
    assert found.boxes.shape == (0, 4) and found.activation is not None and not found.activation.any()


def test_what_lies_where_the_gate_does_not_open_is_not_found(gated: GatedFPNNet) -> None:
    """A gate that opens for one corner: boxes stay near it."""
    network = deepcopy(gated)
    network.gate_threshold = 0.5
    image = torch.from_numpy(noise_image(700, 700).pixels)

    def corner(seen: torch.Tensor) -> torch.Tensor:
        logits = torch.full((1, *cells_of((seen.shape[2], seen.shape[3]))), -9.0)
        logits[0, 0, 0] = 9.0
        return logits

    network.gate.forward = corner  # type: ignore[method-assign]  # stands in for a trained one
    with torch.inference_mode():
        found = network.detect(image, score_threshold=0.0)
    assert len(found.boxes) > 5
    centres = (found.boxes[:, :2] + found.boxes[:, 2:]) / 2
    assert (centres < 128 + 48).all()


def _shake_statistics(network: torch.nn.Module) -> None:
    """Give normalisations something to do; fresh ones subtract 0 and divide by 1."""
    generator = torch.Generator().manual_seed(3)
    for part in network.modules():
        if isinstance(part, torch.nn.BatchNorm2d) and part.running_mean is not None and part.running_var is not None:
            part.running_mean.add_(0.05 * torch.randn(part.num_features, generator=generator))
            part.running_var.mul_(1.0 + 0.2 * torch.rand(part.num_features, generator=generator))


def test_the_channels_are_exact_whatever_the_arithmetic_around_them() -> None:
    image = torch.from_numpy(noise_image(100, 90).pixels)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(channels(image), channels(image.clone())) and channels(image).dtype == torch.float32
        inside = channels(image)
    assert torch.equal(inside, channels(image))
