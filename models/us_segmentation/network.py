"""The network: a U-Net on an encoder that has seen photographs, with a second head that says whether there is a lesion.

MONAI's FlexibleUNet (Ronneberger, Fischer and Brox, arXiv:1505.04597, with any encoder) on EfficientNet-Lite0.
"""

from __future__ import annotations

from typing import Final

import torch
from monai.networks.nets.flexible_unet import FlexibleUNet
from torch import Tensor, nn

from models.us_segmentation.encoder import BACKBONE, CELL_PX, CHANNELS

DECODER_CHANNELS: Final = (128, 64, 48, 32, 16)
"""From coarse to fine; half of MONAI's own: the frames to learn from are few."""


class SegmentationNetwork(nn.Module):
    """Mask and lesion score of one grey canvas.

    Parameters
    ----------
    canvas_px : int
        Side of the canvas in the last steps of training; a multiple of `CELL_PX`.
    dropout : float
        Before the layer that gives the lesion score.
    """

    def __init__(self, canvas_px: int, dropout: float) -> None:
        super().__init__()
        if canvas_px % CELL_PX:
            raise ValueError(f"canvas_px is a multiple of {CELL_PX}, not {canvas_px}")
        self.canvas_px = canvas_px
        self.unet = FlexibleUNet(1, 1, BACKBONE, decoder_channels=DECODER_CHANNELS)
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(2 * CHANNELS[-1], 1)

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
        values = (255.0 * canvases[:, None] - 127.0) / 128.0  # as the encoder was given its photographs
        maps = self.unet.encoder(values)
        mask = self.unet.segmentation_head(self.unet.decoder(maps, self.unet.skip_connect))[:, 0]
        pooled = torch.cat([maps[-1].mean(dim=(2, 3)), maps[-1].amax(dim=(2, 3))], dim=1)
        return mask, self.head(self.dropout(pooled))[:, 0]
