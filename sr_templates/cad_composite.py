"""What the breast rule makes of several views, as composite features (TID 4004, TID 4005).

The rule matches no lesions between views. It takes the gravest finding of each view that has the status of the breast,
and these are what its result is inferred from: they are the children of the composite feature, and that they show the
same breast is all that "related spatially" says here. Every other finding of the breast stays a finding of its own, and
so do all where only one view has the status.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from pydicom import Dataset
from pydicom.uid import UID

from sr_templates import codes
from sr_templates.algorithm_identification import breast_rule_tid_4019, pipeline_tid_4019
from sr_templates.cad_findings import INTENT, classified, tid_4006
from sr_templates.cad_library import ImageLibrary
from sr_templates.content import code_item, num_item, text_item, uid_item
from sr_templates.contract import ReportedBreast, StudyReport
from sr_templates.identity import result_uid
from sr_templates.wording import SIDE_WORDS, NumberedFinding


@dataclass(frozen=True, slots=True, kw_only=True)
class BreastComposite:
    """A breast, and the findings that gave it its status: one of each of two or more views, in their order."""

    breast: ReportedBreast
    deciding: tuple[NumberedFinding, ...]
    tracking_uid: UID

    @property
    def title(self) -> str:
        """Tracking identifier, e.g. ``"Right breast, findings 1 and 3: predicted malignant"``."""
        numbers = " and ".join(str(numbered.number) for numbered in self.deciding)
        return f"{SIDE_WORDS[self.breast.laterality]} breast, findings {numbers}: predicted {self.breast.status}"


def breast_composites(report: StudyReport, found: Sequence[NumberedFinding]) -> Iterator[BreastComposite]:
    """Composites of a study, in the order of its breasts.

    Parameters
    ----------
    found : sequence of NumberedFinding
        The findings that are in the tree.
    """
    for breast in report.breasts:
        candidates = (_deciding(breast, view, found) for view in breast.views)
        deciding = sorted((d for d in candidates if d is not None), key=lambda numbered: numbered.number)
        if len(deciding) > 1:
            uid = result_uid(report, "composite", breast.laterality)
            yield BreastComposite(breast=breast, deciding=tuple(deciding), tracking_uid=uid)


def _deciding(breast: ReportedBreast, view: str, found: Sequence[NumberedFinding]) -> NumberedFinding | None:
    """Gravest finding of a view; None when the view has another status than the breast.

    A view with a malignant finding is malignant: its benign ones say nothing of the breast.
    """
    of_view = [n for n in found if (n.image.laterality, n.image.view) == (breast.laterality, view)]
    malignant = [n for n in of_view if n.finding.label == "malignant"]
    status = "malignant" if malignant else "benign"
    if status != breast.status:
        return None
    return max(malignant or of_view, key=_probability_of_its_label, default=None)


def _probability_of_its_label(numbered: NumberedFinding) -> float:
    """What the breast rule compares: benign is what malignancy leaves of the score."""
    label, malignancy = classified(numbered.finding)
    return malignancy if label == "malignant" else numbered.finding.score - malignancy


def tid_4004(report: StudyReport, library: ImageLibrary, composite: BreastComposite) -> Dataset:
    """TID 4004 Mammography CAD Composite Feature."""
    intent = INTENT[classified(composite.deciding[0].finding)[0]]
    children = [
        code_item("HAS CONCEPT MOD", codes.RENDERING_INTENT, intent),
        text_item("HAS OBS CONTEXT", codes.TRACKING_IDENTIFIER, composite.title),
        uid_item("HAS OBS CONTEXT", codes.TRACKING_UID, composite.tracking_uid),
        *tid_4005(report, composite),
        *(tid_4006(report, library, numbered, "INFERRED FROM") for numbered in composite.deciding),
    ]
    return code_item("CONTAINS", codes.COMPOSITE_FEATURE, codes.CALCIFICATION_CLUSTER, children)


def tid_4005(report: StudyReport, composite: BreastComposite) -> Iterator[Dataset]:
    """TID 4005 Mammography CAD Composite Feature Base; certainty and probability are the highest of its findings."""
    yield code_item("HAS PROPERTIES", codes.COMPOSITE_TYPE, codes.RELATED_SPATIALLY)
    yield code_item("HAS PROPERTIES", codes.SCOPE_OF_FEATURE, codes.ON_MULTIPLE_IMAGES)
    name = composite.deciding[0].finding.algorithm
    algorithm = next((a for a in report.algorithms if a.name == name), None)
    if algorithm is not None:
        yield from breast_rule_tid_4019("HAS PROPERTIES", algorithm)
    else:
        yield from pipeline_tid_4019("HAS PROPERTIES", report)
    certainty = max(numbered.finding.score for numbered in composite.deciding)
    yield num_item("HAS PROPERTIES", codes.CERTAINTY_OF_FEATURE, 100 * certainty, codes.PERCENT)
    malignancy = max(classified(numbered.finding)[1] for numbered in composite.deciding)
    yield num_item("HAS PROPERTIES", codes.PROBABILITY_OF_CANCER, 100 * malignancy, codes.PERCENT)
