"""The network: a residual U-Net on half the resolution, with a second head that says whether there is a lesion at all.

MONAI's SegResNet (Myronenko, arXiv:1810.11654) with batch normalisation, on an image folded to four channels of half
the side (pixel unshuffle); its four outputs are unfolded to one of the whole side. Convolutions on the whole side cost
half the time of a network and see nothing that those on half the side do not: the border of a lesion is known to a few
pixels. Four levels down to a cell of 16 pixels, with four blocks there: the receptive field is the whole canvas.
"""

from __future__ import annotations

from typing import Final

import torch
from monai.networks.nets.segresnet import SegResNet
from torch import Tensor, nn
from torch.nn import functional as F

FOLD: Final = 2
"""Pixels a side that become channels."""

BLOCKS_DOWN: Final = (1, 2, 2, 4)
BLOCKS_UP: Final = (1, 1, 1)
CELL_PX: Final = FOLD * 2 ** (len(BLOCKS_DOWN) - 1)
"""Pixels of the canvas in a cell of the deepest level; sides of canvases are multiples of it."""

MIDDLE, SPREAD = 0.3, 0.2
"""About the mean and the standard deviation of brightness in a frame of ultrasound."""


class SegmentationNetwork(nn.Module):
    """Mask and lesion score of one grey canvas.

    Parameters
    ----------
    filters : int
        Channels at the first level; they double at each level below.
    canvas_px : int
        Side of the canvas in analysis; a multiple of `CELL_PX`.
    dropout : float
        Before the layer that gives the lesion score.
    """

    def __init__(self, filters: int, canvas_px: int, dropout: float) -> None:
        super().__init__()
        if canvas_px % CELL_PX:
            raise ValueError(f"canvas_px is a multiple of {CELL_PX}, not {canvas_px}")
        self.canvas_px = canvas_px
        self.unet = SegResNet(
            spatial_dims=2,
            init_filters=filters,
            in_channels=FOLD**2,
            out_channels=FOLD**2,
            norm="BATCH",
            blocks_down=BLOCKS_DOWN,
            blocks_up=BLOCKS_UP,
        )
        deepest = filters * 2 ** (len(BLOCKS_DOWN) - 1)
        self.head_norm = nn.BatchNorm2d(deepest)
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(2 * deepest, 1)

    def forward(self, canvases: Tensor) -> tuple[Tensor, Tensor]:
        """Return logits.

        Parameters
        ----------
        canvases : torch.Tensor
            Shape ``(n, rows, columns)``, float32, 0 to 1; rows and columns are multiples of `CELL_PX`.

        Returns
        -------
        mask : torch.Tensor
            Shape ``(n, rows, columns)``: that a pixel belongs to a lesion.
        lesion : torch.Tensor
            Shape ``(n,)``: that there is a lesion.
        """
        values = F.pixel_unshuffle((canvases[:, None] - MIDDLE) / SPREAD, FOLD)
        deepest, levels = self.unet.encode(values)
        mask = F.pixel_shuffle(self.unet.decode(deepest, levels[::-1]), FOLD)[:, 0]
        seen = F.relu(self.head_norm(deepest))
        pooled = torch.cat([seen.mean(dim=(2, 3)), seen.amax(dim=(2, 3))], dim=1)
        return mask, self.head(self.dropout(pooled))[:, 0]
