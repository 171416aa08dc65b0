"""What pathology found out about a lesion, and the outcomes that follow from it.

HER2: Wolff et al., "HER2 Testing in Breast Cancer: ASCO/CAP Clinical Practice Guideline Focused Update", J Clin Oncol
36 (2018) 2105: IHC 0 and 1+ are negative, 3+ is positive, 2+ is equivocal and decided by in situ hybridisation. Low is
1+, or 2+ without amplification: Tarantino et al., J Clin Oncol 38 (2020) 1951.

Subtypes: the immunohistochemical surrogates that the St. Gallen conferences have used since Goldhirsch et al., Ann
Oncol 24 (2013) 2206; the paper on DenseNet121-CBAM names the conference of 2023 (Curigliano et al., Ann Oncol 34 (2023)
970). Among receptor-positive, HER2-negative cancers, luminal A is ER- and PR-positive with a low Ki-67 (below 20 %) and
not of grade 3; all others are luminal B. The surrogates are of invasive cancer, so none is derived for DCIS.

Nothing is guessed: an outcome is given when all that is not known could not change it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import product
from typing import Final, Literal

Status = Literal["negative", "positive"]
Ihc = Literal["0", "1+", "2+", "3+"]
Pathotype = Literal["dcis", "microinvasive", "invasive"]
Subtype = Literal["luminal_a", "luminal_b", "her2_hr_positive", "her2_hr_negative", "triple_negative"]

STATUSES: Final[tuple[Status, ...]] = ("negative", "positive")
IHC_SCORES: Final[tuple[Ihc, ...]] = ("0", "1+", "2+", "3+")
PATHOTYPES: Final[tuple[Pathotype, ...]] = ("dcis", "microinvasive", "invasive")
SUBTYPES: Final[tuple[Subtype, ...]] = (
    "luminal_a",
    "luminal_b",
    "her2_hr_positive",
    "her2_hr_negative",
    "triple_negative",
)
LUMINAL: Final[frozenset[Subtype]] = frozenset({"luminal_a", "luminal_b"})
HER2_POSITIVE: Final[frozenset[Subtype]] = frozenset({"her2_hr_positive", "her2_hr_negative"})
RECEPTOR_NEGATIVE: Final[frozenset[Subtype]] = frozenset({"her2_hr_negative", "triple_negative"})

HIGH_KI67_PERCENT: Final = 20.0
"""From here on proliferation is high: the cut of the St. Gallen panel of 2013."""

HIGH_GRADE: Final = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Pathology:
    """Findings of one lesion; None where one is not known.

    Attributes
    ----------
    er, pr : {"negative", "positive"} or None
        Receptors of oestrogen and progesterone.
    her2_ihc : {"0", "1+", "2+", "3+"} or None
        Immunohistochemistry.
    her2_fish : {"negative", "positive"} or None
        In situ hybridisation: amplified or not.
    ki67 : float or None
        Percent of nuclei.
    grade : int or None
        Nottingham grade, 1 to 3.
    node : {"negative", "positive"} or None
        Sentinel lymph node.
    pathotype : {"dcis", "microinvasive", "invasive"} or None
    subtype : str or None
        As the site has it; None to have it derived.
    """

    er: Status | None = None
    pr: Status | None = None
    her2_ihc: Ihc | None = None
    her2_fish: Status | None = None
    ki67: float | None = None
    grade: int | None = None
    node: Status | None = None
    pathotype: Pathotype | None = None
    subtype: Subtype | None = None


def outcomes(found: Pathology) -> dict[str, str]:
    """Class by outcome, as in `models.regions.outcomes.OUTCOMES`; what does not follow is left out.

    Raises
    ------
    ValueError
        `found` contradicts itself, see `contradictions`.
    """
    problems = tuple(contradictions(found))
    if problems:
        raise ValueError("; ".join(problems))
    subtypes = _subtypes(found)
    classes: dict[str, str | None] = {
        "er": found.er or _receptor_of(subtypes),
        "pr": found.pr or _receptor_of(subtypes),
        "her2": her2_status(found) or _which(subtypes, HER2_POSITIVE, "negative", "positive"),
        "her2_level": her2_level(found) or ("positive" if subtypes and subtypes <= HER2_POSITIVE else None),
        "luminal": _which(subtypes, LUMINAL, "non_luminal", "luminal"),
        "triple_negative": _which(subtypes, frozenset({"triple_negative"}), "other", "triple_negative"),
        "subtype": next(iter(subtypes)) if len(subtypes) == 1 else None,
        "node": found.node,
        "invasive": found.pathotype and ("invasive" if found.pathotype == "invasive" else "dcis"),
        "invasive_or_microinvasive": found.pathotype and ("dcis" if found.pathotype == "dcis" else "invasive"),
    }
    return {name: value for name, value in classes.items() if value is not None}


def her2_status(found: Pathology) -> Status | None:
    """By immunohistochemistry; where that is equivocal or not known, by in situ hybridisation."""
    if found.her2_ihc in {"0", "1+"}:
        return "negative"
    return "positive" if found.her2_ihc == "3+" else found.her2_fish


def her2_level(found: Pathology) -> Literal["zero", "low", "positive"] | None:
    """HER2-zero, -low or -positive; a negative of which the immunohistochemistry is not known is neither."""
    if her2_status(found) == "positive":
        return "positive"
    if her2_status(found) is None or found.her2_ihc is None:
        return None
    return "zero" if found.her2_ihc == "0" else "low"


def contradictions(found: Pathology) -> Iterator[str]:
    """What cannot be, each with what to do; without any value."""
    if {found.her2_ihc, found.her2_fish} in ({"3+", "negative"}, {"0", "positive"}, {"1+", "positive"}):
        yield "her2_ihc and her2_fish contradict each other: correct them, or leave the one empty that does not hold"
    elif found.subtype is not None and found.pathotype == "dcis":
        yield "a subtype of DCIS: subtypes are those of invasive cancer; correct pathotype, or leave subtype empty"
    elif found.subtype is not None and found.subtype not in possible_subtypes(found):
        yield "subtype is not what er, pr, her2, ki67 and grade give: correct them, or leave subtype empty"


def possible_subtypes(found: Pathology) -> frozenset[Subtype]:
    """Subtypes that the receptors, Ki-67 and grade leave open, whatever subtype is given."""
    return frozenset(
        _surrogate(er, pr, her2, proliferating)
        for er, pr, her2, proliferating in product(
            _either(found.er), _either(found.pr), _either(her2_status(found)), _proliferating(found)
        )
    )


def _subtypes(found: Pathology) -> frozenset[Subtype]:
    """Subtypes that are left open; none for a lesion that has no subtype."""
    if found.pathotype == "dcis":
        return frozenset()
    return frozenset({found.subtype}) if found.subtype is not None else possible_subtypes(found)


def _surrogate(er: Status, pr: Status, her2: Status, proliferating: bool) -> Subtype:
    hormones = "positive" in {er, pr}
    if her2 == "positive":
        return "her2_hr_positive" if hormones else "her2_hr_negative"
    if not hormones:
        return "triple_negative"
    return "luminal_a" if er == pr == "positive" and not proliferating else "luminal_b"


def _either(status: Status | None) -> Iterable[Status]:
    return STATUSES if status is None else (status,)


def _proliferating(found: Pathology) -> Iterable[bool]:
    """Whether Ki-67 is high or the grade is 3: one of the two is enough to know that it is so, not that it is not."""
    if found.grade == HIGH_GRADE or (found.ki67 is not None and found.ki67 >= HIGH_KI67_PERCENT):
        return (True,)
    return (False, True) if found.ki67 is None or found.grade is None else (False,)


def _which(subtypes: frozenset[Subtype], of: frozenset[Subtype], without: str, within: str) -> str | None:
    """`within` when all that is left open is in `of`, `without` when nothing is."""
    if not subtypes:
        return None
    return within if subtypes <= of else without if subtypes.isdisjoint(of) else None


def _receptor_of(subtypes: frozenset[Subtype]) -> Status | None:
    """What a subtype tells of ER, and of PR: luminal B and HER2-positive cancers may lack one of the two."""
    if subtypes and subtypes <= RECEPTOR_NEGATIVE:
        return "negative"
    return "positive" if subtypes == {"luminal_a"} else None
