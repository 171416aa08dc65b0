"""The region that a classifier looks at: the lesion with its border."""

from __future__ import annotations

from typing import Final

from models.contract import BoxPx

MARGIN: Final = 0.2
"""By which the box around a lesion is grown, on each side, as a share of that side: the paper's rectangle holds "the
whole tumor and the tumor borderline"; the halo and the first of the shadow behind it tell most."""

LEAST_MARGIN_PX: Final = 3.0


def grown(box_px: BoxPx, margin: float = MARGIN) -> BoxPx:
    """Grow a box on each side by `margin` of its length there, at least by `LEAST_MARGIN_PX`."""
    x0, y0, x1, y1 = box_px
    across, down = (max(margin * length, LEAST_MARGIN_PX) for length in (x1 - x0, y1 - y0))
    return x0 - across, y0 - down, x1 + across, y1 + down
