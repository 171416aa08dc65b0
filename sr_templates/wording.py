"""The sentences and the numbering that all kinds of result share, so that they say the same."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

from pydicom.uid import UID

from sr_templates import codes
from sr_templates.content import text
from sr_templates.contract import (
    REGIONS_TAKEN,
    Label,
    Outcome,
    ReportedAlgorithm,
    ReportedBreast,
    ReportedFinding,
    ReportedImage,
    ReportedPrediction,
    StudyReport,
)
from sr_templates.evidence import valid_number, value_text
from sr_templates.identity import result_uid
from sr_templates.predictions import (
    PlacedRegion,
    PredictedLesion,
    predicted_lesions,
    probability_codes,
    value_code,
)

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
LABEL_WORDS: dict[Label | None, str] = {
    "benign": "predicted benign",
    "malignant": "predicted malignant",
    None: "not classified",
}


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
        frame = f", frame {self.finding.frame_number}" if self.finding.frame_number is not None else ""
        return f"Finding {self.number}: {image_name(self.image)}{frame}, {LABEL_WORDS[self.finding.label]}"


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
    """Short name of an image, e.g. ``"R CC"``, of ultrasound ``"R US 12"`` by its Instance Number.

    What is not known is left out, of all of it the modality remains.
    """
    modality = value_text(image.header, "Modality")
    number = valid_number(image.header, "InstanceNumber")
    if modality == "US" and number is not None:
        return " ".join(part for part in (image.laterality, modality, str(number)) if part)
    known = " ".join(part for part in (image.laterality, image.view) if part)
    return known or f"{modality} image".strip()


def result_sentence(outcome: Outcome, reason: str) -> str:
    """Outcome and reason, e.g. ``"NOT ANALYSED: no weights installed"``."""
    return OUTCOME_WORDS[outcome] + (f": {reason}" if reason else "")


def instance_sentence(reason: str) -> str:
    """Sentence on an instance that is no image: why it was not analysed, or what was taken from it."""
    return reason if reason.startswith(REGIONS_TAKEN) else result_sentence("not_analysed", reason)


def breast_sentence(breast: ReportedBreast) -> str:
    """Sentence on one breast."""
    sentence = f"{SIDE_WORDS[breast.laterality]} breast: {STATUS_WORDS[breast.status]}"
    if breast.confidence is not None:
        sentence += f", confidence {100 * breast.confidence:.1f} %"
    if breast.views:
        sentence += f" (views {', '.join(breast.views)})"
    return sentence + (f": {breast.reason}" if breast.reason else "")


def image_sentence(report: StudyReport, image: ReportedImage) -> str:
    """Sentence on one image, with its UID, since names need not be unique."""
    sentence = f"{image_name(image)}: {result_sentence(image.outcome, image.reason)}"
    if image.outcome == "analysed":
        count = len(image.findings)
        sentence += f", {count} {report.target} finding{'' if count == 1 else 's'}"
    sentence += malignancy_words(image, "probability of malignancy of the image")
    if image.second_opinion is not None:
        classifiers = [algorithm.name for algorithm in report.image_algorithms if algorithm.task == "classification"]
        sentence += f", second opinion ({', '.join((*classifiers, 'whole image'))}): "
        sentence += f"malignant {100 * image.second_opinion:.1f} %; it decides nothing"
    return f"{sentence} [{value_text(image.header, 'SOPInstanceUID')}]"


def malignancy_words(image: ReportedImage, title: str) -> str:
    """Words on the malignancy of an image, after a comma; without a finding there is nothing to add."""
    if image.malignancy is None or not image.findings:
        return ""
    benign = all(finding.label == "benign" for finding in image.findings)
    return f"{', none predicted malignant' if benign else ''}, {title} {100 * image.malignancy:.1f} %"


def tag_words(numbered: NumberedFinding) -> str:
    """What stands beside a finding, e.g. ``"1 malignant, cancer 62 %"``.

    Of its two probabilities the one that a reader acts on; a probability is never rounded to none or to all.
    """
    malignancy = numbered.finding.malignancy
    if malignancy is None:
        return f"{numbered.number} {LABEL_WORDS[None]}"
    return f"{numbered.number} {numbered.finding.label}, cancer {percent_words(malignancy)}"


def percent_words(probability: float, decimals: int = 0) -> str:
    """Per cent, e.g. ``"62 %"``; never rounded to none or to all."""
    step = 10.0 ** -(2 + decimals)
    if 0.0 < probability < step:
        return f"under {100 * step:g} %"
    if 1.0 - step < probability < 1.0:
        return f"over {100 * (1.0 - step):g} %"
    return f"{100 * probability:.{decimals}f} %"


def size_words(finding: ReportedFinding) -> str:
    """Size of a finding where it was measured, e.g. ``"12.3 x 8.1 mm"``; else empty."""
    if finding.long_axis_mm is None or finding.short_axis_mm is None:
        return ""
    return f"{finding.long_axis_mm:.1f} x {finding.short_axis_mm:.1f} mm"


def revision_sentence(report: StudyReport) -> str | None:
    """Which results these replace; None in a first answer, and when the revision before gave none."""
    if not report.replaces:
        return None
    before = max(replaced.revision for replaced in report.replaces)
    return f"Revision {report.revision}, replaces the results of revision {before}"


def study_sentences(report: StudyReport) -> Iterator[str]:
    """All that the report says in words: study, revision, breasts, images, predictions, other instances.

    Own words are ASCII (`content.text`); only what a radiologist called a region may have any letters.
    """
    yield text(result_sentence(report.outcome, report.reason))
    revision = revision_sentence(report)
    if revision is not None:
        yield text(revision)
    yield from (text(breast_sentence(breast)) for breast in report.breasts)
    yield from (text(image_sentence(report, image)) for image in report.images)
    for lesion in predicted_lesions(report):
        yield from lesion_sentences(lesion)
    for header, reason in report.other_instances:
        name = text(value_text(header, "Modality")) or "Instance"
        yield f"{name}: {instance_sentence(reason)} [{text(value_text(header, 'SOPInstanceUID'))}]"


def lesion_sentences(lesion: PredictedLesion) -> Iterator[str]:
    """Sentences on one lesion: where it is marked and by whom, each prediction, and the reasons for the others."""
    where = lesion_words(lesion)
    if lesion.regions:
        yield f"{lesion.name}: {where}, {marked_words(lesion)}"
    for prediction, algorithm in lesion.attempted:
        words = f"{lesion.name}: {prediction_words(prediction)} ({algorithm_words(algorithm)}, {where})"
        yield f"{words}; no laboratory result"
    yield from (f"{lesion.name}: {where}: {words}" for words in left_out_words(lesion))


def lesion_words(lesion: PredictedLesion) -> str:
    """Where a lesion is and what it is called, e.g. ``'left breast, CC and MLO, region "lesion 1"'``."""
    side = f"{SIDE_WORDS[lesion.laterality].lower()} breast" if lesion.laterality else "side not known"
    if not lesion.regions:
        return f"{side}, no region"
    labels = [f'"{label}"' for label in dict.fromkeys(placed.label for placed in lesion.regions)]
    called = f"region{'s' if len(labels) > 1 else ''} {' and '.join(labels)}"
    return f"{side}, {' and '.join(dict.fromkeys(map(view_words, lesion.regions)))}, {called}"


def view_words(placed: PlacedRegion) -> str:
    """The view of a region, e.g. ``"CC"``, of ultrasound the name of the image; with the frame of several."""
    frame = f" frame {placed.region.frame_number}" if placed.region.frame_number is not None else ""
    return text(f"{placed.image.view or image_name(placed.image)}{frame}")


def marked_words(lesion: PredictedLesion) -> str:
    """Who marked the regions of a lesion that has some, and in which objects."""
    sources = dict.fromkeys(placed.region.source for placed in lesion.regions)
    objects = dict.fromkeys(uid for placed in lesion.regions if (uid := placed.region.object_uid))
    words = f"marked by {' and '.join(f'a {source}' for source in sources)}"
    return text(words + (f" [{', '.join(objects)}]" if objects else ""))


def prediction_words(prediction: ReportedPrediction) -> str:
    """A prediction with its probability, e.g. ``"Predicted ER-negative, probability of ER-positive 12.5 %"``."""
    of_value = codes.PREDICTED_PROBABILITY[prediction.name].get(prediction.value or "")
    words = [value_code(prediction).meaning]
    for code, probability in probability_codes(prediction):
        what = "probability" if code == of_value else code.meaning.removeprefix("Predicted ")
        if code == of_value or of_value is None:
            words.append(f"{what} {percent_words(probability, decimals=1)}")
    return text(", ".join(words))


def tag_prediction_words(lesion: PredictedLesion) -> str:
    """What stands beside a region, e.g. ``"predicted ER-positive 81 %, and 1 more"``: the first prediction.

    The per cent are those of the class that is named.
    """
    if not lesion.attempted:
        return "no prediction"
    prediction, _ = lesion.attempted[0]
    words = value_code(prediction).meaning.replace("Predicted", "predicted")
    probability = prediction.probability or 0.0
    stated = codes.PREDICTED_PROBABILITY[prediction.name]
    words += f" {percent_words(probability if prediction.value in stated else 1.0 - probability)}"
    more = len(lesion.attempted) - 1
    return f"{words}, and {more} more" if more else words


def algorithm_words(algorithm: ReportedAlgorithm) -> str:
    """Name and version of a model, with the first digits of the hash of its weights: trained versions end with them."""
    build = f"+{algorithm.weights_sha256[:8]}" if algorithm.weights_sha256 else ""
    return text(f"{algorithm.name} {algorithm.version.removesuffix(build)}{build}")


def left_out_words(lesion: PredictedLesion) -> Iterator[str]:
    """Why predictions lack, each reason once with its models, e.g. ``"not attempted: no weights installed (a, b)"``."""
    by_reason: dict[str, dict[str, None]] = {}
    for prediction, algorithm in lesion.left_out:
        reason = prediction.reason.removesuffix(f"({algorithm.name})").rstrip()
        by_reason.setdefault(reason, {})[algorithm.name] = None
    for reason, names in by_reason.items():
        yield text(f"{reason} ({', '.join(names)})")


def clipped_box_px(image: ReportedImage, finding: ReportedFinding) -> tuple[float, float, float, float]:
    """Box of a finding within the stored image, at least one pixel wide and high, so that it can be drawn.

    Returns
    -------
    tuple of float
        ``(x0, y0, x1, y1)``; not limited on the far side if the header states no size.

    Raises
    ------
    ValueError
        The box is turned round, not finite, or more than a pixel outside of the image, so that its coordinates are
        wrong. A mark in a wrong place is worse than an answer that says that the analysis failed.
    """
    x0, y0, x1, y1 = finding.box_px
    x0, x1 = _clipped_side_px(x0, x1, valid_number(image.header, "Columns"))
    y0, y1 = _clipped_side_px(y0, y1, valid_number(image.header, "Rows"))
    return x0, y0, x1, y1


def _clipped_side_px(low: float, high: float, size: int | None) -> tuple[float, float]:
    limit = float(size) if size else math.inf
    if not (low <= high and high >= -1.0 and low <= limit + 1.0 and math.isfinite(high - low)):
        raise ValueError("a finding lies outside of its image")
    low, high = min(max(low, 0.0), limit), min(max(high, 0.0), limit)
    if high - low < 1.0:
        low = min(max((low + high - 1.0) / 2, 0.0), max(limit - 1.0, 0.0))
        high = low + 1.0
    return low, high
