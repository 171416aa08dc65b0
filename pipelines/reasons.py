"""Every reason that a pipeline can give, each with a stable code to count by and a sentence to read.

Codes are part of the published results (docs/results.schema.json) and of the metrics: add, never rename.
Texts end up in structured reports and on secondary captures; they are written for a radiologist.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from pipelines.contract import Reason


def _reason(code: str, text: str) -> Reason:
    return Reason(code=code, text=text)


# What an instance is.
FLAT_FIELD: Final = _reason("flat_field", "Not analysed: detector calibration image (flat field), not a breast.")
QUALITY_CONTROL: Final = _reason("quality_control_image", "Not analysed: quality control image, not a breast.")
FOR_PROCESSING: Final = _reason(
    "for_processing", "Not analysed: raw image for processing; the image for presentation is needed."
)
TOMOSYNTHESIS: Final = _reason(
    "tomosynthesis", "Not analysed: tomosynthesis; no model for tomosynthesis is installed, only for 2D mammograms."
)
TOMOSYNTHESIS_PROJECTIONS: Final = _reason(
    "tomosynthesis_projections", "Not analysed: tomosynthesis projection images, which are not for reading."
)
ULTRASOUND: Final = _reason(
    "ultrasound", "Not analysed: ultrasound image; no analysis of ultrasound is installed, only of mammograms."
)
SECONDARY_CAPTURE: Final = _reason(
    "secondary_capture", "Not analysed: secondary capture; the original mammogram for presentation is needed."
)
DOSE_REPORT: Final = _reason("dose_report", "Not analysed: radiation dose report, holds no image.")
STRUCTURED_REPORT: Final = _reason("structured_report", "Not analysed: structured report, holds no image.")
PRESENTATION_STATE: Final = _reason("presentation_state", "Not analysed: presentation state, holds no image.")
NOT_A_MAMMOGRAM: Final = _reason("not_a_mammogram", "Not analysed: not a digital mammogram for presentation.")

# What a mammogram shows.
IMPLANT: Final = _reason(
    "breast_implant", "Not analysed: breast with implant; the models were not trained on breasts with implants."
)
SPECIMEN: Final = _reason("specimen", "Not analysed: radiograph of a breast specimen.")
BIOPSY: Final = _reason("biopsy_image", "Not analysed: image taken for stereotactic biopsy.")
CONTRAST: Final = _reason(
    "contrast_image", "Not analysed: high-energy or subtracted image of a contrast-enhanced mammogram."
)
UNKNOWN_LATERALITY: Final = _reason(
    "unknown_laterality", "Not analysed: the image does not say whether it shows the left or the right breast."
)
UNKNOWN_VIEW: Final = _reason("unknown_view", "Not analysed: the image does not say which view (CC or MLO) it is.")
NO_PIXEL_SPACING: Final = _reason(
    "no_pixel_spacing", "Not analysed: the image does not say how large its pixels are (no Imager Pixel Spacing)."
)
MULTI_FRAME: Final = _reason("multi_frame", "Not analysed: several frames in one object; only single images are read.")
NOT_GREYSCALE: Final = _reason("not_greyscale", "Not analysed: colour image; a mammogram is greyscale.")
NO_PIXELS: Final = _reason("no_pixels", "Not analysed: the object holds no image pixels.")
IMAGE_TOO_SMALL: Final = _reason("image_too_small", "Not analysed: image too small to show a breast.")

# What went wrong.
NOTHING_TO_ANALYSE: Final = _reason(
    "nothing_to_analyse", "Not analysed: the study holds no mammogram that can be analysed."
)
UNREADABLE: Final = _reason("unreadable", "Not analysed: the object could not be read; its header is damaged.")
OUT_OF_MEMORY: Final = _reason("out_of_memory", "Failed: not enough memory to analyse this image.")
OTHER_STUDY: Final = _reason("other_study", "Not analysed: the object belongs to another study.")


def spot_view(modifiers: Iterable[str]) -> Reason:
    """A magnification or spot compression view; `modifiers` are their meanings (CID 4015)."""
    kind = " and ".join(modifiers)
    return _reason("spot_view", f"Not analysed: spot view ({kind}); only full CC and MLO views are analysed.")


def view_not_analysed(name: str, meaning: str) -> Reason:
    """A full view, but neither CC nor MLO."""
    return _reason("view_not_analysed", f"Not analysed: {name} ({meaning}) view; only CC and MLO views are analysed.")


def undecodable(transfer_syntax: str) -> Reason:
    """No decoder for the transfer syntax, named as in PS3.6 Annex A, or broken pixel data."""
    return _reason(
        "undecodable_pixels", f"Not analysed: the pixel data could not be decoded (transfer syntax {transfer_syntax})."
    )


def no_weights(model: str) -> Reason:
    """The model is part of the node, but its weights are not installed."""
    return _reason("no_weights", f"not attempted: no weights installed ({model})")


def weights_mismatch(model: str) -> Reason:
    """Weights are installed, but they are not those that the model's metadata name."""
    return _reason("weights_mismatch", f"not attempted: the installed weights are not those of this version ({model})")


def missing_views(laterality: str, views: Iterable[str]) -> Reason:
    """The breast lacks required views; `views` are names such as "MLO"."""
    missing = " and ".join(views)
    return _reason("missing_view", f"no {missing} view of the {SIDE_NAMES[laterality]} breast received")


def views_not_analysed(text: str) -> Reason:
    """The breast has images, and a reason for each of them."""
    return _reason("views_not_analysed", text)


def analysis_failed(what: str) -> Reason:
    """Something unexpected in one step; `what` is the name of the error, never patient data."""
    return _reason("analysis_failed", f"Failed: the analysis of this image could not be completed ({what}).")


SIDE_NAMES: Final = {"L": "left", "R": "right"}
