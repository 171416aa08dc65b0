"""Every reason that a pipeline can give, each with a stable code to count by and a sentence to read.

Codes are part of the published results (docs/results.schema.json) and of the metrics: add, never rename.
Texts end up in structured reports and on secondary captures, after the words "not analysed:" or "analysis failed:";
they are written for a radiologist, and hold no patient data.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from pipelines.contract import Reason
from sr_templates import contract


def _reason(code: str, text: str) -> Reason:
    return Reason(code=code, text=text)


# What an instance is.
FLAT_FIELD: Final = _reason("flat_field", "detector calibration image (flat field), not a breast")
QUALITY_CONTROL: Final = _reason("quality_control_image", "quality control image, not a breast")
FOR_PROCESSING: Final = _reason(
    "for_processing", "For Processing image (raw data); the For Presentation image is needed"
)
TOMOSYNTHESIS: Final = _reason(
    "tomosynthesis", "tomosynthesis; no model for tomosynthesis is installed, only for 2D mammograms"
)
TOMOSYNTHESIS_PROJECTIONS: Final = _reason(
    "tomosynthesis_projections", "tomosynthesis projection images, which are not for reading"
)
ULTRASOUND: Final = _reason("ultrasound", "ultrasound image, not a mammogram")
SECONDARY_CAPTURE: Final = _reason(
    "secondary_capture", "secondary capture; the original mammogram For Presentation is needed"
)
DOSE_REPORT: Final = _reason("dose_report", "radiation dose report, holds no image")
STRUCTURED_REPORT: Final = _reason("structured_report", "structured report, holds no image")
PRESENTATION_STATE: Final = _reason("presentation_state", "presentation state, holds no image")
NOT_A_MAMMOGRAM: Final = _reason("not_a_mammogram", "not a digital mammogram For Presentation")

# What a mammogram shows.
IMPLANT: Final = _reason("breast_implant", "breast with implant; the models were not trained on breasts with implants")
SPECIMEN: Final = _reason("specimen", "radiograph of a breast specimen")
BIOPSY: Final = _reason("biopsy_image", "image taken for stereotactic biopsy")
CONTRAST: Final = _reason("contrast_image", "high-energy or subtracted image of a contrast-enhanced mammogram")
UNKNOWN_LATERALITY: Final = _reason(
    "unknown_laterality", "the image does not say whether it shows the left or the right breast"
)
UNKNOWN_VIEW: Final = _reason("unknown_view", "the image does not say which view (CC or MLO) it is")
NO_PIXEL_SPACING: Final = _reason(
    "no_pixel_spacing", "the image does not say how large its pixels are (no Imager Pixel Spacing)"
)
IMPLAUSIBLE_PIXEL_SPACING: Final = _reason(
    "implausible_pixel_spacing", "by its pixel spacing the image would be larger than any detector"
)
MULTI_FRAME: Final = _reason("multi_frame", "several frames in one object; only single images are read")
NOT_GREYSCALE: Final = _reason("not_greyscale", "colour image; a mammogram is greyscale")
NO_PIXELS: Final = _reason("no_pixels", "the object holds no image pixels")
IMAGE_TOO_SMALL: Final = _reason("image_too_small", "image too small to show a breast")

# What went wrong.
NO_FIT_IMAGE: Final = _reason("no_fit_image", "no image that can be analysed")
NOT_ROUTED: Final = _reason("not_routed", "no analysis takes this kind of object")
NO_INSTANCES: Final = _reason("no_instances", "the study holds no object")
NOT_REFERABLE: Final = _reason(
    "not_referable", "the image has no valid SOP or Series Instance UID, so that no result could refer to it"
)
UNREADABLE: Final = _reason("unreadable", "the object could not be read; its header is damaged")
OUT_OF_MEMORY: Final = _reason("out_of_memory", "not enough memory to analyse this image")


# Regions that a radiologist sent.
REGION_OF_UNKNOWN_IMAGE: Final = _reason(
    "region_of_unknown_image", "region marked on an image that is not among those analysed"
)
REGION_TOO_SMALL: Final = _reason("region_too_small", "the region is too small to hold a lesion")
REGION_OUTSIDE: Final = _reason("region_outside", "the region lies outside the image")
REGION_BY_A_DEVICE: Final = _reason(
    "region_by_a_device", "marked by a program, not by a person; only a person's regions are analysed"
)
NO_REGION: Final = _reason("no_region", "the object holds no region that a person marked")
TOO_MANY_REGIONS: Final = _reason("too_many_regions", "more regions than are analysed for one object")
REGION_OBJECT_TOO_LARGE: Final = _reason("region_object_too_large", "the object is too large to be read for regions")
REGION_SET_ASIDE: Final = _reason(
    "region_set_aside", "set aside: the analysis with the regions ended abnormally, and was done without them"
)
REGION_IMAGES_DELETED: Final = _reason(
    "region_images_deleted",
    "region marked on images that are no longer kept: send the images again, and then the region as a new object",
)

REGIONS_TAKEN: Final = _reason("regions_taken", contract.REGIONS_TAKEN)
REGIONS_ON_ULTRASOUND: Final = _reason(
    "regions_on_ultrasound", "not attempted: regions marked on ultrasound images are not answered by any model"
)
REGION_TIME: Final = _reason("region_time", "not attempted: the lesions before this one took too long")
REGION_NOT_USABLE: Final = _reason(
    "region_not_usable", "the model can say nothing of this region: it is too small, or not whole on the image"
)
ONLY_DETECTED: Final = _reason(
    "only_detected", "not attempted: this model is asked about the boxes of malignant calcifications alone"
)


def region_image_not_analysed(why: Reason) -> Reason:
    """The image that a region is on is not analysed; `why` is the image's reason."""
    return _reason("region_image_not_analysed", f"region marked on an image that is not analysed: {why.text}")


def missing_region(views: Iterable[str]) -> Reason:
    """A model needs the lesion in other views as well."""
    return _reason("missing_region", f"not attempted: the model needs the lesion marked on {' and '.join(views)} too")


def packages_missing(model: str) -> Reason:
    """The packages that the model runs on are not installed."""
    return _reason(
        "packages_missing", f"not attempted: the optional packages that this model needs are not installed ({model})"
    )


def model_failed(model: str, what: str) -> Reason:
    """A model could not be loaded; `what` is the name of the error."""
    return _reason("model_failed", f"the model could not be loaded: {what} ({model})")


def about_region(label: str, reason: Reason) -> Reason:
    """Say which region of an object a reason concerns; `label` is the radiologist's, and may be empty."""
    return _reason(reason.code, f'region "{label}": {reason.text}') if label else reason


def more_marks(count: int) -> Reason:
    """Marks of an object that are not named one by one."""
    return _reason("region_unsupported", f"{count} more mark{'' if count == 1 else 's'} could not be used")


def region_unsupported(what: str) -> Reason:
    """A mark that is no region, or of a kind that is not read; `what` never repeats the object's own text."""
    return _reason("region_unsupported", f"not a region that can be analysed: {what}")


def spot_view(modifiers: Iterable[str]) -> Reason:
    """A magnification or spot compression view; `modifiers` are their meanings (CID 4015)."""
    kind = " and ".join(modifiers)
    return _reason("spot_view", f"spot view ({kind}); only full CC and MLO views are analysed")


def view_not_analysed(name: str, meaning: str) -> Reason:
    """A full view, but neither CC nor MLO."""
    return _reason("view_not_analysed", f"{name} ({meaning}) view; only CC and MLO views are analysed")


def undecodable(explanation: str) -> Reason:
    """No decoder, or truncated or damaged pixel data; `explanation` names the transfer syntax (PS3.6 Annex A)."""
    return _reason("undecodable_pixels", f"the pixel data cannot be decoded: {explanation}")


def no_weights(model: str) -> Reason:
    """The model is part of the node, but its weights are not installed."""
    return _reason("no_weights", f"not attempted: no weights installed ({model})")


def weights_mismatch(model: str) -> Reason:
    """Weights are installed, but they are not those that the model's metadata name."""
    return _reason("weights_mismatch", f"not attempted: the installed weights are not those of this version ({model})")


def missing_views(views: Iterable[str], *, unplaced: bool) -> Reason:
    """The breast lacks required views.

    Parameters
    ----------
    views : iterable of str
        Names such as "MLO".
    unplaced : bool
        Whether there are mammograms that do not say what they show, so that one of them may be the view.
    """
    which = f"no {' and no '.join(views)} view"
    return _reason("missing_view", f"{which} {'among the images that say what they show' if unplaced else 'received'}")


def joined(explained: Sequence[Reason]) -> Reason:
    """Make one reason of several different ones; the code is the first one's."""
    unique = tuple(dict.fromkeys(explained))
    return _reason(unique[0].code, "; ".join(reason.text for reason in unique))


def about_view(view: str, reason: Reason) -> Reason:
    """Say which view of a breast a reason concerns."""
    return _reason(reason.code, f"{view} view: {reason.text}")


def analysis_failed(what: str) -> Reason:
    """Something unexpected in one step; `what` is the name of the error, never patient data."""
    return _reason("analysis_failed", f"the analysis of this image could not be completed ({what})")
