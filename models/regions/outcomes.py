"""What models of regions predict: each outcome with its classes, by the names of the manifest, results and codes."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

OUTCOMES: Final[Mapping[str, tuple[str, ...]]] = MappingProxyType(
    {
        "er": ("negative", "positive"),
        "pr": ("negative", "positive"),
        "her2": ("negative", "positive"),
        "her2_level": ("zero", "low", "positive"),
        "luminal": ("non_luminal", "luminal"),
        "triple_negative": ("other", "triple_negative"),
        "subtype": ("luminal_a", "luminal_b", "her2_hr_positive", "her2_hr_negative", "triple_negative"),
        "node": ("negative", "positive"),
        "invasive": ("dcis", "invasive"),
        "invasive_or_microinvasive": ("dcis", "invasive"),
    }
)
"""Of two classes the second is the positive one.

``her2`` is by IHC and FISH (ASCO/CAP 2018), ``her2_level`` splits its negatives by IHC 0 against 1+ or 2+ without
amplification. ``subtype`` is the five-class split of the paper on DenseNet121-CBAM. ``invasive`` counts microinvasion
with DCIS, ``invasive_or_microinvasive`` with invasion.
"""
