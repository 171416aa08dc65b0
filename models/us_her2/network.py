"""us-her2 has the network of us-malignancy, `models.us_malignancy.network.ThreeBlockDenseNet`, and its own classes."""

from __future__ import annotations

from typing import Final

CLASSES: Final = ("HER2-negative", "HER2-positive")
"""Ground truth: IHC 0 or 1+ negative, 3+ positive, 2+ decided by FISH."""
