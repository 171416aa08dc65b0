"""What a report comes to, in one line, and what a reader must not overlook: above all, that silence is no finding."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Final

from sr_templates.codes import ANALYSIS_OUTCOME, OUTCOME, PREDICTED, REGION_MARKED_BY
from sr_templates.explaining_findings import INDENT, Names
from sr_templates.reading import ContentItem
from sr_templates.wording import OUTCOME_WORDS

CAD_REPORT: Final = "111036"
MEASUREMENT_REPORT: Final = "126000"

_SUMMARY: Final = "111017"
_FINDING: Final = "111059"
_INTENT: Final = "111056"
_NOT_PRESENTED: Final = "111152"
_GROUP: Final = "125007"
_PROBABILITY: Final = "111047"
_MEASURED_FINDING: Final = "121071"
_LANGUAGE: Final = "121049"
_IMPRESSION: Final = "111034"
_EVALUATIONS: Final = "C0034375"
_COMPOSITE: Final = "111015"
_ALGORITHM: Final = frozenset({"111001", "111002", "111003"})

# CID 6047, by code value: whether every algorithm succeeded, and whether there should be findings
_SUMMARIES: Final = {
    "111241": ("all", False),
    "111242": ("all", True),
    "111243": ("some", False),
    "111244": ("some", True),
    "111245": ("none", False),
}

_WITHOUT_FINDINGS: Final = {
    "all": "no findings",
    "some": "no findings where it was analysed",
    "none": "NOT ANALYSED",
    "unknown": "UNKNOWN",
}
NOTHING_CONCLUDED: Final = "nothing was analysed, so this is NOT a negative result"
INCOMPLETE: Final = "not everything was analysed: no finding there does NOT mean that nothing is there"
# Another maker may say what was found by evaluations alone, such as a BI-RADS category, and so may a radiologist.
_NO_GROUPS: Final = "no measurement groups, which says nothing of findings"
_NO_GROUPS_BUT_EVALUATIONS: Final = "no measurement groups; see the evaluations below"
_NOT_ANALYSED: Final = frozenset({OUTCOME["not_analysed"].value, OUTCOME["failed"].value})


def result_lines(root: ContentItem, names: Names) -> Iterator[str]:
    """Say what a CAD or measurement report comes to; of other reports, only what of them was not read."""
    cautions = [*not_read(root)]
    if root.concept_code == CAD_REPORT:
        yield f"Result: {_cad_result(root, names)}"
        cautions += _cad_cautions(root)
    elif root.concept_code == MEASUREMENT_REPORT:
        yield f"Result: {_measured(root, names)}{_predicted(root)}"
        cautions += _measurement_cautions(root)
    yield from (f"CAUTION: {caution}" for caution in cautions)


def _findings(root: ContentItem) -> list[ContentItem]:
    return [item for item in root.walk() if item.concept_code == _FINDING and not item.refers_to]


def _cad_result(root: ContentItem, names: Names) -> str:
    found = _findings(root)
    if not found:
        extent, expected = _stated(root)
        readable = not any(not_read(root)) and not expected
        return _WITHOUT_FINDINGS[extent] if readable else "UNKNOWN: no findings in what could be read"
    hidden = sum(item.value_code == _NOT_PRESENTED for f in found for item in f.all_of(_INTENT))
    apart = f"; {hidden} of them not for presentation" if hidden else ""
    return f"{_counted([item.value for item in found])}{_where(found, names)}{_gravest(found)}{apart}"


def _gravest(found: Sequence[ContentItem]) -> str:
    """Highest probability of cancer that is stated in per cent; nothing when none is."""
    stated = [p.number for f in found for p in f.all_of(_PROBABILITY) if p.number is not None and p.value.endswith("%")]
    return f", highest probability of cancer {max(stated):g} %" if stated else ""


def _stated(root: ContentItem) -> tuple[str, bool | None]:
    """Whether every algorithm succeeded, and whether there should be findings, as the summary says."""
    summary = root.first(_SUMMARY)
    return _SUMMARIES.get(summary.value_code if summary else "", ("unknown", None))


def _where(found: Sequence[ContentItem], names: Names) -> str:
    images = dict.fromkeys(names[place] for item in found for place in _places(item) if place in names)
    return f" on {', '.join(images)}" if images else ""


def _counted(kinds: Sequence[str]) -> str:
    what = ", ".join(f"{count} {kind or 'of no stated kind'}" for kind, count in Counter(kinds).items())
    return f"{len(kinds)} finding{'' if len(kinds) == 1 else 's'} ({what})"


def _places(finding: ContentItem) -> Iterator[tuple[int, ...] | str]:
    for item in finding.walk():
        if item.relationship == "SELECTED FROM":
            yield item.refers_to or item.sop_instance_uid


def _cad_cautions(root: ContentItem) -> Iterator[str]:
    summary = root.first(_SUMMARY)
    extent, expected = _stated(root)
    found = _findings(root)
    if summary is None:
        yield "its summary is missing, so that nothing follows from findings that are not here"
    if extent == "none":
        yield NOTHING_CONCLUDED
    elif extent == "some":
        yield INCOMPLETE
    if expected is False and found:
        yield "the summary says that there are no findings, but there are"
    if expected is True and not found:
        yield "the summary says that there are findings, but none can be read"


def _groups(root: ContentItem) -> list[ContentItem]:
    """Measurement groups of findings."""
    return [item for item in root.walk() if item.concept_code == _GROUP and not _is_prediction(item)]


def _is_prediction(group: ContentItem) -> bool:
    """Whether a group is of a region that something is predicted of: it is no finding."""
    return group.first(REGION_MARKED_BY.value) is not None


def _predicted(root: ContentItem) -> str:
    """How many regions there are that something was to be predicted of, and what was; empty without one."""
    groups = [item for item in root.walk() if item.concept_code == _GROUP and _is_prediction(item)]
    if not groups:
        return ""
    names = {code.value for code in PREDICTED.values()}
    values = dict.fromkeys(child.value for group in groups for child in group.children if child.concept_code in names)
    said = f"{', '.join(values)}; no laboratory results" if values else "nothing predicted"
    return f"; {len(groups)} region{'' if len(groups) == 1 else 's'} for predictions ({said})"


def _outcome(root: ContentItem) -> ContentItem | None:
    return next((item for item in root.walk() if item.concept_code == ANALYSIS_OUTCOME.value), None)


def _measured(root: ContentItem, names: Names) -> str:
    groups, outcome = _groups(root), _outcome(root)
    if outcome is not None and outcome.value_code in _NOT_ANALYSED:
        return outcome.value.upper()
    if groups:
        kinds = [finding.value if (finding := group.first(_MEASURED_FINDING)) else "" for group in groups]
        return _counted(kinds) + _where(groups, names) + _gravest(groups)
    if any(not_read(root)):
        return "UNKNOWN: no findings in what could be read"
    if outcome is not None and outcome.value_code == OUTCOME["analysed"].value:
        return _WITHOUT_FINDINGS["some" if _left_out(root) else "all"]
    return _NO_GROUPS_BUT_EVALUATIONS if any(c.children for c in root.all_of(_EVALUATIONS)) else _NO_GROUPS


def _left_out(root: ContentItem) -> bool:
    """Whether our own sentences say of an image that it was not analysed."""
    comments = "\n".join(item.value for item in root.walk() if item.value_type == "TEXT")
    return any(words in comments for words in (OUTCOME_WORDS["not_analysed"], OUTCOME_WORDS["failed"]))


def _measurement_cautions(root: ContentItem) -> Iterator[str]:
    outcome = _outcome(root)
    if outcome is not None and outcome.value_code in _NOT_ANALYSED:
        yield NOTHING_CONCLUDED
    elif _left_out(root):
        yield INCOMPLETE


def not_read(root: ContentItem) -> Iterator[str]:
    """What was left out of the whole tree, each reason once."""
    reasons = Counter(item.unread for item in root.walk() if item.unread)
    for reason, count in reasons.items():
        times = f" ({count} times)" if count > 1 else ""
        yield f"not all of this document could be read, and findings may be missing: {reason}{times}"


def untold(root: ContentItem) -> Iterator[ContentItem]:
    """Items between root and findings that the reading of a CAD or a measurement report says nothing of."""
    if root.concept_code == CAD_REPORT:
        yield from _untold_of_cad(root)
    else:
        told = {_LANGUAGE, "111028", "126010", _EVALUATIONS}
        yield from (child for child in root.children if child.concept_code not in told)
        for container in root.all_of("126010"):
            yield from (child for child in container.children if child.concept_code != _GROUP)


def _untold_of_cad(root: ContentItem) -> Iterator[ContentItem]:
    told = {_LANGUAGE, "111028", _SUMMARY, "111064", "111065"}
    first = root.first(_SUMMARY)
    yield from (child for child in root.children if child.concept_code not in told)
    yield from root.all_of(_SUMMARY)[1:]
    for child in first.children if first else ():
        if child.concept_code == _IMPRESSION:
            yield from (item for item in child.children if item.concept_code not in {_COMPOSITE, _FINDING, _INTENT})
        elif child.concept_code not in {*_ALGORITHM, "111033"}:
            yield child


def untold_lines(outline: Sequence[str]) -> Iterator[str]:
    """Put a title above an outline, if there is one."""
    if outline:
        yield ""
        yield "Also in this report:"
        yield from (INDENT + line for line in outline)
