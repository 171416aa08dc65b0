"""Where FPNNet looks: a small network reads the whole image quickly, and rather asks too often than too rarely."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import combinations, pairwise
from typing import Final

from torch import Tensor, nn
from torch.nn import functional as F

CELL_PX: Final = 16
"""Side of the squares of the image that the gate judges."""

CORE_CELLS: Final = 8
"""Windows are made of squares of this many cells, 12.8 mm at 0.1 mm."""

MARGIN_PX: Final = 128
"""Around a core: context for the network. A box counts only when its centre is in the core or near it."""

NEAR_PX: Final = 48

LARGEST_PX: Final = 1280
"""Side of the largest window: bounds the memory, however large the image is."""


CORE_PX: Final = CELL_PX * CORE_CELLS

Cores = tuple[int, int, int, int]
"""A rectangle, ``x0, y0, x1, y1``, counted in squares of `CORE_PX`."""


@dataclass(frozen=True, slots=True)
class Window:
    """A rectangle of the image to look at, ``x0, y0, x1, y1``, with the part of it in which boxes count."""

    outer_px: tuple[int, int, int, int]
    core_px: tuple[int, int, int, int]


class Gate(nn.Module):
    """Probability, for each square of `CELL_PX`, that a cluster of calcifications reaches into it.

    Twelve convolutions, 0.1 million parameters, 4 GFLOP a megapixel: a hundredth of FPNNet's. It sees 23 mm around.
    """

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            _step(3, 16, 5, stride=2),
            _step(16, 32, 3, stride=2),
            _step(32, 32, 3),
            nn.MaxPool2d(2),
            _step(32, 48, 3),
            _step(48, 48, 3, dilation=2),
            nn.MaxPool2d(2),
            _step(48, 64, 3),
            _step(64, 64, 3, dilation=2),
            nn.Conv2d(64, 1, 1),
        )
        nn.init.constant_(self.layers[-1].bias, -3.0)  # type: ignore[arg-type]  # a convolution has a bias here

    def forward(self, seen: Tensor) -> Tensor:
        """Return logits ``(n, ceil(rows / 16), ceil(columns / 16))`` of channels ``(n, 3, rows, columns)``."""
        rows, columns = seen.shape[-2:]
        padded = F.pad(seen, (0, -columns % CELL_PX, 0, -rows % CELL_PX))
        return self.layers(padded)[:, 0]  # type: ignore[no-any-return]  # nn.Module is not typed


def whole(size: tuple[int, int]) -> list[Window]:
    """Windows that cover an image of `size`, ``(rows, columns)``: one, or several of at most `LARGEST_PX`."""
    most = (LARGEST_PX - 2 * MARGIN_PX) // CORE_PX
    rows, columns = (-(-side // CORE_PX) for side in size)
    tops, lefts = _split(rows, most), _split(columns, most)
    return [_window((x0, y0, x1, y1), size) for y0, y1 in tops for x0, x1 in lefts]


def _split(count: int, most: int) -> list[tuple[int, int]]:
    """Parts of equal length, to one, none above `most`."""
    parts = -(-count // most)
    ends = [count * number // parts for number in range(parts + 1)]
    return list(pairwise(ends))


def windows(probability: Tensor, threshold: float, size: tuple[int, int]) -> list[Window]:
    """Windows around all cells above `threshold`.

    Parameters
    ----------
    probability : torch.Tensor
        Shape ``(rows / 16, columns / 16)``, rounded up, 0 to 1.
    threshold : float
        0 asks for the whole image.
    size : tuple of int
        Of the image, ``(rows, columns)``.

    Returns
    -------
    list of Window
        Their cores do not overlap and hold every cell that was asked for; empty when none was. Never more pixels than
        the windows of the whole image have.
    """
    if threshold <= 0.0:
        return whole(size)
    asked = F.max_pool2d((probability > threshold).float()[None, None], CORE_CELLS, ceil_mode=True)[0, 0] > 0
    chosen, everything = _windows(asked.cpu(), size), whole(size)
    return chosen if _pixels(chosen) < _pixels(everything) else everything


def _windows(asked: Tensor, size: tuple[int, int]) -> list[Window]:
    """Rectangles of cores around those asked for, joined where one window is cheaper than two."""
    found = [(column, row, column + 1, row + 1) for row, column in asked.nonzero().tolist()]
    joined = True
    while joined:
        joined = False
        for first, second in combinations(found, 2):
            both = _around(first, second)
            others = [one for one in found if one not in (first, second)]
            swallowed = [one for one in others if _overlap(one, both)]
            if any(_around(one, both) != both for one in swallowed) or not _fits(both):
                continue
            if _cost(both, size) <= sum(_cost(one, size) for one in (first, second, *swallowed)):
                found = [one for one in others if one not in swallowed] + [both]
                joined = True
                break
    return [_window(one, size) for one in sorted(found, key=lambda one: (one[1], one[0]))]


def _fits(cores: Cores) -> bool:
    most = (LARGEST_PX - 2 * MARGIN_PX) // CORE_PX
    return cores[2] - cores[0] <= most and cores[3] - cores[1] <= most


def _around(first: Cores, second: Cores) -> Cores:
    return min(first[0], second[0]), min(first[1], second[1]), max(first[2], second[2]), max(first[3], second[3])


def _overlap(first: Cores, second: Cores) -> bool:
    return first[0] < second[2] and second[0] < first[2] and first[1] < second[3] and second[1] < first[3]


def _cost(cores: Cores, size: tuple[int, int]) -> int:
    return _pixels([_window(cores, size)])


def _pixels(found: Iterable[Window]) -> int:
    """What looking costs: the pixels of all windows, margins and all."""
    outer = [window.outer_px for window in found]
    return sum((x1 - x0) * (y1 - y0) for x0, y0, x1, y1 in outer)


def _window(cores: Cores, size: tuple[int, int]) -> Window:
    left, top, right, bottom = cores
    core = (left * CORE_PX, top * CORE_PX, min(right * CORE_PX, size[1]), min(bottom * CORE_PX, size[0]))
    outer = (
        max(core[0] - MARGIN_PX, 0),
        max(core[1] - MARGIN_PX, 0),
        min(core[2] + MARGIN_PX, size[1]),
        min(core[3] + MARGIN_PX, size[0]),
    )
    return Window(outer_px=outer, core_px=core)


def _step(inputs: int, outputs: int, side: int, *, stride: int = 1, dilation: int = 1) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, side, stride=stride, padding=dilation * (side // 2), dilation=dilation, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU(inplace=True),
    )
