"""The sentences and the numbering that all kinds of result share, so that they say the same."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from pydicom.uid import UID

from sr_templates.contract import Outcome, ReportedBreast, ReportedFinding, ReportedImage, StudyReport
from sr_templates.evidence import valid_number, value_text
from sr_templates.identity import result_uid

OUTCOME_WORDS: dict[Outcome, str] = {
    "analysed": "Analysed",
    "not_analysed": "NOT ANALYSED",
    "failed": "ANALYSIS FAILED",
}
STATUS_WORDS = {
    "benign": "predicted benign calcifications",
    "malignant": "predicted malignant calcifications",
    "no_calcification": "no calcification detected",
    "not_analysed": "not analysed",
}
SIDE_WORDS = {"L": "Left", "R": "Right"}


@dataclass(frozen=True, slots=True, kw_only=True)
class NumberedFinding:
    """A finding with the number and the tracking UID it has in every object of the report."""

    number: int
    image: ReportedImage
    finding: ReportedFinding
    tracking_uid: UID

    @property
    def title(self) -> str:
        """Tracking identifier, e.g. ``"Finding 1: R CC, predicted malignant"``."""
        return f"Finding {self.number}: {image_name(self.image)}, predicted {self.finding.label}"


def numbered_findings(report: StudyReport) -> tuple[NumberedFinding, ...]:
    """Number the findings of all images, from 1, in the order of the images and of their findings."""
    found = [(image, finding) for image in report.images for finding in image.findings]
    return tuple(
        NumberedFinding(
            number=number,
            image=image,
            finding=finding,
            tracking_uid=result_uid(report, "finding", str(number), value_text(image.header, "SOPInstanceUID")),
        )
        for number, (image, finding) in enumerate(found, start=1)
    )


def image_name(image: ReportedImage) -> str:
    """Short name of an image, e.g. ``"R CC"``; what is not known is left out, of all of it the modality remains."""
    known = " ".join(part for part in (image.laterality, image.view) if part)
    return known or f"{value_text(image.header, 'Modality')} image".strip()


def result_sentence(outcome: Outcome, reason: str) -> str:
    """Outcome and reason, e.g. ``"NOT ANALYSED: no weights installed"``."""
    return OUTCOME_WORDS[outcome] + (f": {reason}" if reason else "")


def breast_sentence(breast: ReportedBreast) -> str:
    """Sentence on one breast."""
    sentence = f"{SIDE_WORDS[breast.laterality]} breast: {STATUS_WORDS[breast.status]}"
    if breast.confidence is not None:
        sentence += f", confidence {100 * breast.confidence:.1f} %"
    if breast.views:
        sentence += f" (views {', '.join(breast.views)})"
    return sentence + (f": {breast.reason}" if breast.reason else "")


def image_sentence(image: ReportedImage) -> str:
    """Sentence on one image, with its UID, since names need not be unique."""
    sentence = f"{image_name(image)}: {result_sentence(image.outcome, image.reason)}"
    if image.outcome == "analysed":
        count = len(image.findings)
        sentence += f", {count} calcification finding{'' if count == 1 else 's'}"
    if image.malignancy is not None:
        sentence += f", probability of malignancy of the image {100 * image.malignancy:.1f} %"
    return f"{sentence} [{value_text(image.header, 'SOPInstanceUID')}]"


def study_sentences(report: StudyReport) -> Iterator[str]:
    """All that the report says in words: study, breasts, images, other instances."""
    yield result_sentence(report.outcome, report.reason)
    yield from (breast_sentence(breast) for breast in report.breasts)
    yield from (image_sentence(image) for image in report.images)
    for header, reason in report.other_instances:
        modality = value_text(header, "Modality")
        yield f"{modality or 'Instance'}: NOT ANALYSED: {reason} [{value_text(header, 'SOPInstanceUID')}]"


def clipped_box_px(image: ReportedImage, finding: ReportedFinding) -> tuple[float, float, float, float]:
    """Box of a finding within the stored image, ``(x0, y0, x1, y1)``; unclipped if the header states no size."""
    x0, y0, x1, y1 = finding.box_px
    columns, rows = valid_number(image.header, "Columns"), valid_number(image.header, "Rows")
    if columns:
        x0, x1 = min(max(x0, 0.0), columns), min(max(x1, 0.0), columns)
    if rows:
        y0, y1 = min(max(y0, 0.0), rows), min(max(y1, 0.0), rows)
    return x0, y0, x1, y1
