"""Reasons that only the ultrasound pipeline gives; `pipelines.reasons` holds those that it shares with the others.

Codes are counted by: add, never rename. Texts are for a radiologist, and follow "not analysed:".
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from pipelines.contract import Reason

# What an instance is.
NOT_ULTRASOUND: Final = Reason(code="not_ultrasound", text="not an ultrasound image")
VOLUME: Final = Reason(code="ultrasound_volume", text="ultrasound volume; only 2D pictures are analysed")
OTHER_ORGAN: Final = Reason(code="not_breast", text="by its header the image does not show the breast")

# What it shows.
COLOUR_FLOW: Final = Reason(
    code="colour_flow", text="colour or power Doppler; only greyscale (B-mode) pictures are analysed"
)
COLOUR_IN_PICTURE: Final = Reason(
    code="colour_in_picture",
    text="the picture is overlaid with colour (Doppler or elastography); only greyscale (B-mode) pictures are analysed",
)
ELASTOGRAPHY: Final = Reason(code="elastography", text="elastography; only greyscale (B-mode) pictures are analysed")
SPECTRAL: Final = Reason(code="spectral_doppler", text="spectral Doppler, which is a curve over time and no picture")
M_MODE: Final = Reason(code="m_mode", text="M-mode, which is a line over time and no picture")
RENDERING: Final = Reason(code="rendering_3d", text="3D rendering; only 2D pictures are analysed")
NOT_A_PICTURE: Final = Reason(code="not_a_picture", text="a region of traces, bars or text, which shows no tissue")
NO_PICTURE: Final = Reason(code="no_picture", text="no ultrasound picture could be found in the image")
PICTURE_TOO_SMALL: Final = Reason(code="picture_too_small", text="the ultrasound picture is too small to show a lesion")
REGIONS_MISPLACED: Final = Reason(
    code="regions_misplaced",
    text="the regions that the header states do not lie in the image, so that pictures cannot be told from curves",
)
REGION_WITHIN_ANOTHER: Final = Reason(
    code="region_within_another", text="the region lies within another one, with which it is analysed"
)

# Whether it can be computed on.
FRAME_COUNT: Final = Reason(code="frame_count", text="the number of frames that the header states is no number")
PIXEL_KIND: Final = Reason(
    code="pixel_kind", text="a kind of pixel (colour space or number of bits) that ultrasound images do not have"
)


def part_not_analysed(what: Sequence[str]) -> Reason:
    """What was left out of an image that was analysed; `what` are sentences, one at least."""
    return Reason(code="part_not_analysed", text="; ".join(what))
