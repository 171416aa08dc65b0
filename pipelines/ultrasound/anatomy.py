"""Which organ and which side a header says it shows: by codes, by Body Part Examined, by Image Type."""

from __future__ import annotations

from typing import Final, Literal, cast

from pydicom import Dataset

from pipelines.elements import items, text
from sr_templates.evidence import value_text

Laterality = Literal["L", "R"]
Organ = Literal["breast", "other"]

BREAST_CODES: Final = frozenset(
    {
        # PS3.16 CID 4 and 6022; SCT, then the same as SRT and SNM3 have it.
        "76752008",  # breast
        "80248007",  # left breast
        "73056007",  # right breast
        "63762007",  # both breasts
        "91470000",  # axilla
        "68171009",  # axillary lymph node
        "399011000",  # axillary tail
        "T-04000",
        "T-04030",
        "T-04020",
        "T-04080",
        "T-D8104",
    }
)
NEIGHBOUR_CODES: Final = frozenset({"816094009", "51185008", "78904004", "24142002", "T-D3000"})
"""Chest, chest wall, nipple: neither proof that it is the breast nor that it is not."""

BREAST_PARTS: Final = frozenset({"BREAST", "AXILLA"})
NEIGHBOUR_PARTS: Final = frozenset({"", "CHEST", "CHESTWALL", "THORAX", "SMALLPART", "SMALLPARTS", "UNKNOWN", "OTHER"})
OTHER_EXAMS: Final = frozenset(
    {
        # Image Type value 3, PS3.3 C.8.5.6.1.1: those terms that name another organ; and what is met in their place.
        "ABDOMINAL",
        "CARDIOLOGY",
        "ENDOCAVITARY",
        "ENDORECTAL",
        "ENDOVAGINAL",
        "EPICARDIAL",
        "FETAL HEART",
        "GYNECOLOGY",
        "INTRACARDIAC",
        "INTRAVASCULAR",
        "MUSCULOSKELETAL",
        "NEONATAL HEAD",
        "OBSTETRICAL",
        "OPHTHALMIC",
        "PELVIC",
        "RETROPERITONEAL",
        "SCROTAL",
        "TEE",
        "THYROID",
        "TRANSCRANIAL",
        "TTE",
        "VASCULAR",
    }
)

SIDE_CODES: Final[dict[str, Laterality]] = {
    "7771000": "L",  # left
    "G-A101": "L",
    "80248007": "L",  # left breast
    "T-04030": "L",
    "24028007": "R",  # right
    "G-A100": "R",
    "73056007": "R",  # right breast
    "T-04020": "R",
}
BOTH_SIDES_CODES: Final = frozenset({"51440002", "G-A102", "63762007", "T-04080"})

SEQUENCES: Final = ("AnatomicRegionSequence", "PrimaryAnatomicStructureSequence")
MODIFIERS: Final = ("AnatomicRegionModifierSequence", "PrimaryAnatomicStructureModifierSequence")
FUNCTIONAL_GROUPS: Final = ("SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence")

UNPAIRED: Final = "U"


def organ(dataset: Dataset, image_type: tuple[str, ...]) -> Organ | None:
    """Whether the image shows the breast or another organ; None when nothing says so either way.

    One statement for the breast outweighs any against it: presets of other organs are used for breasts as well.

    Parameters
    ----------
    dataset : pydicom.Dataset
        Header of the image.
    image_type : tuple of str
        Values of Image Type, in capitals.
    """
    part = text(dataset, "BodyPartExamined").replace(" ", "")
    exam = image_type[2] if len(image_type) > 2 else ""
    codes = frozenset(_anatomy(dataset)) - {""}
    if part in BREAST_PARTS or exam == "BREAST" or codes & BREAST_CODES:
        return "breast"
    return "other" if part not in NEIGHBOUR_PARTS or exam in OTHER_EXAMS or codes - NEIGHBOUR_CODES else None


def laterality(dataset: Dataset) -> Laterality | None:
    """Side of the breast: what Image Laterality, Frame Laterality and the coded anatomy agree on, else Laterality.

    None when nothing is said, or both sides, or different ones in different places.
    """
    of_image = {text(dataset, "ImageLaterality"), *_frame_lateralities(dataset), *_coded_sides(dataset)}
    found = of_image - {"", UNPAIRED} or {text(dataset, "Laterality")}
    return cast("Laterality", next(iter(found))) if found in ({"L"}, {"R"}) else None


def _anatomy(dataset: Dataset) -> tuple[str, ...]:
    """Code values of the coded anatomy."""
    return tuple(value_text(item, "CodeValue") for keyword in SEQUENCES for item in items(dataset, keyword))


def _frame_lateralities(dataset: Dataset) -> set[str]:
    """Frame Laterality (PS3.3 C.7.6.16.2.8) of all functional groups."""
    return {
        text(anatomy, "FrameLaterality")
        for keyword in FUNCTIONAL_GROUPS
        for group in items(dataset, keyword)
        for anatomy in items(group, "FrameAnatomySequence")
    }


def _coded_sides(dataset: Dataset) -> set[str]:
    """Sides in the coded anatomy and its modifiers, "B" for both; nothing for codes that name no side."""
    codes = set(_anatomy(dataset))
    for sequence, modifiers in zip(SEQUENCES, MODIFIERS, strict=True):
        for parent in (*items(dataset, sequence), dataset):
            codes.update(value_text(item, "CodeValue") for item in items(parent, modifiers))
    sides: set[str] = {SIDE_CODES[code] for code in codes if code in SIDE_CODES}
    return sides | {"B"} if codes & BOTH_SIDES_CODES else sides
