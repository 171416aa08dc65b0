"""Where FPNNet looks: a small network reads the whole image quickly, and rather asks too often than too rarely."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import torch
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
    rows, columns = size
    asked = torch.ones((-(-rows // (CELL_PX * CORE_CELLS)), -(-columns // (CELL_PX * CORE_CELLS))), dtype=torch.bool)
    return _windows(asked, size)


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
        Their cores do not overlap and hold every cell that was asked for; empty when none was.
    """
    if threshold <= 0.0:
        return whole(size)
    asked = F.max_pool2d((probability > threshold).float()[None, None], CORE_CELLS, ceil_mode=True)[0, 0] > 0
    return _windows(asked.cpu(), size)


def _windows(asked: Tensor, size: tuple[int, int]) -> list[Window]:
    """Cut the cores asked for into rectangles, greedily: along the row, then downwards."""
    core_px = CELL_PX * CORE_CELLS
    most = (LARGEST_PX - 2 * MARGIN_PX) // core_px
    left = asked.clone()
    found = []
    while bool(left.any()):
        top, start = (int(value) for value in left.nonzero()[0])
        end = start + 1
        while end < left.shape[1] and end - start < most and bool(left[top, end]):
            end += 1
        bottom = top + 1
        while bottom < left.shape[0] and bottom - top < most and bool(left[bottom, start:end].all()):
            bottom += 1
        left[top:bottom, start:end] = False
        core = (start * core_px, top * core_px, min(end * core_px, size[1]), min(bottom * core_px, size[0]))
        outer = (
            max(core[0] - MARGIN_PX, 0),
            max(core[1] - MARGIN_PX, 0),
            min(core[2] + MARGIN_PX, size[1]),
            min(core[3] + MARGIN_PX, size[0]),
        )
        found.append(Window(outer_px=outer, core_px=core))
    return found


def _step(inputs: int, outputs: int, side: int, *, stride: int = 1, dilation: int = 1) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, side, stride=stride, padding=dilation * (side // 2), dilation=dilation, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU(inplace=True),
    )
