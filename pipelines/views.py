"""Views and view modifiers of mammography, in every coding that images carry.

Sources: PS3.16 CID 4014 "View for Mammography" and CID 4015 "View Modifier for Mammography". The older codes are those
of the same concepts before SNOMED CT identifiers replaced the SNOMED-RT style ones; images carry them under the
designators SRT, SNM3 and 99SDM. Code values of the two styles never collide, so a code is looked up by its value alone
and the designator is not trusted.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class View:
    """One row of CID 4014.

    Attributes
    ----------
    name : str
        ACR MQCM 1999 equivalent, which is also the term of View Position (0018,5101).
    meaning : str
        As a radiologist says it.
    codes : tuple of str
        SNOMED CT code first, then older ones.
    """

    name: str
    meaning: str
    codes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ViewModifier:
    """One row of CID 4015: the SNOMED CT code, the older SRT code and the meaning."""

    sct_code: str
    srt_code: str
    meaning: str


SPECIMEN: Final = "SPECIMEN"
"""Name given here to CID 4014 "tissue specimen from breast", which has no ACR equivalent."""

VIEWS: Final[tuple[View, ...]] = (
    View("CC", "cranio-caudal", ("399162004", "R-10242")),
    View("MLO", "medio-lateral oblique", ("399368009", "R-10226")),
    View("ML", "medio-lateral", ("399260004", "R-10224")),
    View("LM", "latero-medial", ("399352003", "R-10228")),
    View("LMO", "latero-medial oblique", ("399099002", "R-10230")),
    View("FB", "caudo-cranial", ("399196006", "R-10244")),
    View("SIO", "superolateral to inferomedial oblique", ("399188001", "R-102D0")),
    View("ISO", "inferomedial to superolateral oblique", ("441555000", "R-40AAA")),
    View("XCCL", "cranio-caudal exaggerated laterally", ("399192008", "R-1024A", "Y-X1770")),
    View("XCCM", "cranio-caudal exaggerated medially", ("399101009", "R-1024B", "Y-X1771")),
    View("XCC", "cranio-caudal exaggerated", ("R-102CF",)),  # withdrawn from CID 4014, still met
    View(SPECIMEN, "breast specimen", ("127457009", "G-8310")),
)

MAGNIFICATION: Final = "399163009"
SPOT_COMPRESSION: Final = "399055006"
IMPLANT_DISPLACED: Final = "399209000"

VIEW_MODIFIERS: Final[tuple[ViewModifier, ...]] = (
    ViewModifier("399161006", "R-102D2", "cleavage"),
    ViewModifier("399011000", "R-102D1", "axillary tail"),
    ViewModifier("399197002", "R-102D3", "rolled lateral"),
    ViewModifier("399226006", "R-102D4", "rolled medial"),
    ViewModifier("414493004", "R-102CA", "rolled inferior"),
    ViewModifier("415670009", "R-102C9", "rolled superior"),
    ViewModifier(IMPLANT_DISPLACED, "R-102D5", "implant displaced"),
    ViewModifier(MAGNIFICATION, "R-102D6", "magnification"),
    ViewModifier(SPOT_COMPRESSION, "R-102D7", "spot compression"),
    ViewModifier("399110001", "R-102C2", "tangential"),
    ViewModifier("442581004", "R-40AB3", "nipple in profile"),
    ViewModifier("441752004", "P2-00161", "anterior compression"),
    ViewModifier("442593008", "R-40ABE", "infra-mammary fold"),
    ViewModifier("442580003", "R-40AB2", "axillary tissue"),
)

VIEW_BY_CODE: Final = {code: view for view in VIEWS for code in view.codes}
VIEW_BY_NAME: Final = {view.name: view for view in VIEWS}
MODIFIER_BY_CODE: Final = {
    code: modifier for modifier in VIEW_MODIFIERS for code in (modifier.sct_code, modifier.srt_code)
}
MODIFIER_BY_SCT: Final = {modifier.sct_code: modifier for modifier in VIEW_MODIFIERS}
