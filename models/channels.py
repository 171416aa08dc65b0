"""What a network sees of a grey image: its brightness, and its fine and its coarse detail in units of their noise.

A grain of calcium is a few pixels wide and a few times brighter than the noise around it, whatever the detector, the
film or the window of the display. Measured in that unit, it looks alike on all of them.
"""

from __future__ import annotations

import math
from typing import Final

import torch
from torch import Tensor
from torch.nn import functional as F

FINE_PX: Final = (0.8, 2.5)
"""Standard deviations of the Gaussians whose difference is the fine detail: grains of 0.1 to 0.5 mm at 0.1 mm."""

COARSE_PX: Final = (2.5, 8.0)
"""Likewise the coarse detail: grains of 0.5 to 2 mm, and groups."""

NOISE_CELL_PX: Final = 16
NOISE_CELLS: Final = 2.0
"""The noise is a mean over cells, smoothed with a Gaussian of this standard deviation: 3 mm at 0.1 mm."""

LEAST_NOISE: Final = 0.5 / 255.0
"""Half a step of 8 bits; keeps air, which has no noise at all, from being divided by nothing."""

LIMIT: Final = 16.0
"""In units of noise; beyond it all is as bright: metal, edges of labels."""

REACH_PX: Final = 160
"""Further away than this, nothing changes a channel."""


def channels(image: Tensor) -> Tensor:
    """Split an image into what the network is given.

    Parameters
    ----------
    image : torch.Tensor
        Shape ``(rows, columns)``, float32, 0 (air) to 1, at the canonical spacing.

    Returns
    -------
    torch.Tensor
        Shape ``(3, rows, columns)``, float32: brightness less 0.5; fine detail; coarse detail. Detail is the
        difference of two Gaussians over 1.25 times its mean magnitude around (the standard deviation, were it normal),
        limited to `LIMIT` and divided by 4.
    """
    # In bfloat16, which autocast would choose, a blurred image has steps of 1/256: as large as the noise of a film.
    with torch.autocast(image.device.type, enabled=False):
        grey = image[None, None].float()
        blurred = {sigma: _gaussian(grey, sigma) for sigma in {*FINE_PX, *COARSE_PX}}
        detail = [_in_noise(blurred[narrow] - blurred[wide]) for narrow, wide in (FINE_PX, COARSE_PX)]
        return torch.cat([grey - 0.5, *detail], dim=1)[0]


def _in_noise(detail: Tensor) -> Tensor:
    rows, columns = detail.shape[-2:]
    means = F.avg_pool2d(detail.abs(), NOISE_CELL_PX, ceil_mode=True, count_include_pad=False)
    smooth = _gaussian(means, NOISE_CELLS)
    size = (smooth.shape[-2] * NOISE_CELL_PX, smooth.shape[-1] * NOISE_CELL_PX)
    noise = F.interpolate(smooth, size=size, mode="bilinear", align_corners=False)[..., :rows, :columns]
    return (detail / (1.25 * noise + LEAST_NOISE)).clamp(-LIMIT, LIMIT) / 4.0


def _gaussian(grey: Tensor, sigma_px: float) -> Tensor:
    """Blur, by rows and by columns; beyond the edges the image goes on as its edge."""
    reach = math.ceil(3.0 * sigma_px)
    x = torch.arange(-reach, reach + 1, dtype=torch.float32, device=grey.device)
    kernel = torch.exp(-0.5 * (x / sigma_px) ** 2)
    kernel /= kernel.sum()
    padded = F.pad(grey, (reach, reach, reach, reach), mode="replicate")
    return F.conv2d(F.conv2d(padded, kernel.view(1, 1, 1, -1)), kernel.view(1, 1, -1, 1))
