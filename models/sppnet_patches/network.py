"""The network is SPPNet's, `models.sppnet.network.SPPNet`, for any size of patch; its classes are those of the task."""

from __future__ import annotations

from typing import Final

CLASSES: Final = 2
"""SPPNet tells two classes apart; which ones, a model's metadata say."""
