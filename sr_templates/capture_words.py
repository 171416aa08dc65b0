"""Sentences that both kinds of capture show: what ran, when, what it replaces, and what it must not be used for."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Final

from sr_templates.content import text
from sr_templates.contract import Label, ReportedAlgorithm, ReportedFinding, ReportedImage, StudyReport
from sr_templates.drawing import BENIGN, MALIGNANT, PLAIN, QUIET, REGION, UNCLASSIFIED, WARNING, Line, Rgb
from sr_templates.evidence import headers, valid_text
from sr_templates.marks import Mark
from sr_templates.outlines import region_box_px, region_outline_px
from sr_templates.predictions import PlacedRegion, PredictedLesion, Prediction, algorithms_shown, regions_on
from sr_templates.wording import (
    LABEL_WORDS,
    NumberedFinding,
    algorithm_words,
    clipped_box_px,
    image_name,
    left_out_words,
    lesion_words,
    marked_words,
    prediction_words,
    revision_sentence,
    size_words,
    tag_prediction_words,
    tag_words,
)

BANNER = Line(text="RESEARCH USE, NOT FOR PRIMARY DIAGNOSIS", color=WARNING, scale=1.15)
COLORS: Final[Mapping[Label | None, Rgb]] = {"malignant": MALIGNANT, "benign": BENIGN, None: UNCLASSIFIED}
"""By the label of a finding, the gravest first."""

_HASH_PREFIX = 12
_PARAGRAPH_GAP = 0.7
_LISTED_PREDICTIONS = 8


def label_color(finding: ReportedFinding) -> Rgb:
    """Colour of a finding's outline and words."""
    return COLORS[finding.label]


def count_words(count: int, noun: str) -> str:
    """E.g. ``"1 image"``, ``"2 images"``."""
    return f"{count} {noun}{'' if count == 1 else 's'}"


def study_date_words(report: StudyReport) -> str:
    """Date of the study, or that it is not known."""
    date = next((value for header in headers(report) if (value := valid_text(header, "StudyDate"))), None)
    return f"study of {date[:4]}-{date[4:6]}-{date[6:]}" if date else "study date unknown"


def second_opinion_words(report: StudyReport) -> str:
    """Who gives the second opinion, e.g. ``"second opinion (SPPNet, whole image)"``."""
    names = [algorithm.name for algorithm in report.image_algorithms if algorithm.task == "classification"]
    return f"second opinion ({', '.join((*names[:1], 'whole image'))})"


def revision_line(report: StudyReport) -> Line | None:
    """What these results replace; None in a first answer."""
    sentence = revision_sentence(report)
    return Line(text=sentence, color=WARNING) if sentence is not None else None


def finding_lines(found: Sequence[NumberedFinding], *, listed: int, named: bool = False) -> Iterator[Line]:
    """Findings, the gravest first; with `named`, shorter and with the name of their image."""
    gravest_first = sorted(found, key=lambda numbered: numbered.finding.gravity, reverse=True)
    for numbered in gravest_first[:listed]:
        yield _finding_line(numbered, named)
    if len(found) > listed:
        yield Line(text=f"and {count_words(len(found) - listed, 'more finding')}, listed in the structured report")


def _finding_line(numbered: NumberedFinding, named: bool) -> Line:
    finding = numbered.finding
    where = f"{image_name(numbered.image)} " if named else ""
    certainty, probability = ("certainty", "cancer") if named else ("certainty of finding", "probability of cancer")
    words = [f"{numbered.number}: {where}{LABEL_WORDS[finding.label]}", f"{certainty} {100 * finding.score:.1f} %"]
    if finding.malignancy is not None:
        words.append(f"{probability} {100 * finding.malignancy:.1f} %")
    if finding.her2 is not None:
        words.append(f"predicted HER2-positive {100 * finding.her2:.1f} %")
    if size := size_words(finding):
        words.append(size)
    if finding.frame_number is not None:
        words.append(f"frame {finding.frame_number}")
    return Line(text=text(", ".join(words)), color=label_color(finding))


def apart(lines: Iterator[Line]) -> Iterator[Line]:
    """A paragraph: the first line stands apart from what is above it."""
    for number, line in enumerate(lines):
        yield line if number else replace(line, gap=_PARAGRAPH_GAP)


def prediction_lines(lesions: Iterable[PredictedLesion], *, full: bool = True) -> Iterator[Line]:
    """Lesion by lesion, each a paragraph: where, what is predicted by which model, why others predict nothing.

    Those of a `full` picture name who marked the lesion. Of very many predictions only the first are listed.
    """
    listed = 0
    left_out = 0
    for lesion in lesions:
        shown = lesion.attempted[: max(_LISTED_PREDICTIONS - listed, 0)]
        listed += len(shown)
        left_out += len(lesion.attempted) - len(shown)
        yield from apart(_lesion_lines(lesion, shown, full=full))
    if left_out:
        words = f"and {count_words(left_out, 'more prediction')}, listed in the structured report"
        yield Line(text=words, color=WARNING)


def _lesion_lines(lesion: PredictedLesion, shown: Sequence[Prediction], *, full: bool) -> Iterator[Line]:
    marked = f", {marked_words(lesion)}" if full and lesion.regions else ""
    yield Line(text=drawable(f"{lesion.name}: {lesion_words(lesion)}{marked}"), color=REGION)
    for prediction, algorithm in shown:
        words = f"{lesion.name}: {prediction_words(prediction)} ({algorithm_words(algorithm)})"
        yield Line(text=text(words), color=REGION)
    if shown:
        yield Line(text=f"{lesion.name}: predictions, no laboratory results", color=WARNING)
    yield from (Line(text=text(f"{lesion.name}: {words}"), color=WARNING) for words in left_out_words(lesion))


def drawable(words: str) -> str:
    """Words as the font of pictures has them: letters without accents, ``?`` for those of other scripts."""
    letters = unicodedata.normalize("NFKD", words)
    return text("".join(letter for letter in letters if not unicodedata.combining(letter)))


def algorithm_lines(report: StudyReport, *images: ReportedImage) -> Iterator[Line]:
    """Each model with version, weights and operating point; how it went where that was not well.

    Of the models of lesions those that predicted something on one of `images`.
    """
    for algorithm in algorithms_shown(report, *images):
        point = ", ".join(f"{name} {value:g}" for name, value in sorted(algorithm.operating_point.items()))
        words = f"{algorithm.name} {algorithm.version}, {_weights_words(algorithm)}" + (f", {point}" if point else "")
        yield Line(text=text(words), color=QUIET)
        if algorithm.status != "succeeded":
            yield Line(text=text(f"{algorithm.name} {_status_words(algorithm)}"), color=WARNING)
    if not report.algorithms:
        yield Line(text="No model ran", color=QUIET)


def _status_words(algorithm: ReportedAlgorithm) -> str:
    """Status and reason; a reason may begin with the status."""
    status = algorithm.status.replace("_", " ")
    if not algorithm.reason:
        return status
    return algorithm.reason if algorithm.reason.startswith(status) else f"{status}: {algorithm.reason}"


def _weights_words(algorithm: ReportedAlgorithm) -> str:
    digest = algorithm.weights_sha256
    return f"weights {digest[:_HASH_PREFIX]}" if digest else "no weights installed"


def analysis_line(report: StudyReport) -> Line:
    """Which node made this, and when."""
    made = f"{report.device.model_name} {report.device.software_version}".strip()
    return Line(text=text(f"{made}, analysis of {_moment(report.created_at)}"), color=QUIET)


def _moment(moment: datetime) -> str:
    offset = moment.strftime("%z")
    return f"{moment:%Y-%m-%d %H:%M} " + ("UTC" if offset == "+0000" else offset)


def marks_of(image: ReportedImage, found: Sequence[NumberedFinding], *, full_tags: bool) -> tuple[Mark, ...]:
    """Outlines on an image with decoded pixels, the gravest last and so on top; of several frames, on the one shown."""
    shown = [numbered for numbered in found if image.display_frame in {None, numbered.finding.frame_number}]
    gravest_last = sorted(shown, key=lambda numbered: numbered.finding.gravity)
    return tuple(_mark(image, numbered, full_tags) for numbered in gravest_last)


def region_marks_of(report: StudyReport, image: ReportedImage, *, full_tags: bool) -> tuple[Mark, ...]:
    """Broken outlines of the regions on an image with decoded pixels that predictions are made from.

    Of several frames, on the one shown; of several outlines, the first one has the tag.
    """
    return tuple(
        Mark(
            box_px=region_box_px(image, polygon),
            polygon_px=tuple(region_outline_px(image, polygon)[:-1]),
            tags=_region_tags(lesion, placed, full_tags) if polygon is placed.region.polygons_px[0] else (),
            color=REGION,
            dashed=True,
        )
        for lesion, placed in regions_on(report, image)
        if image.display_frame in {None, placed.region.frame_number}
        for polygon in placed.region.polygons_px
    )


def _region_tags(lesion: PredictedLesion, placed: PlacedRegion, full_tags: bool) -> tuple[str, ...]:
    if not full_tags:
        return (lesion.name,)
    said = tag_prediction_words(lesion)
    return drawable(f'{lesion.name} "{placed.label}": {said}'), f"{lesion.name}: {said}", lesion.name


def _mark(image: ReportedImage, numbered: NumberedFinding, full_tags: bool) -> Mark:
    finding = numbered.finding
    rows, columns = image.display.shape if image.display is not None else (0, 0)
    x0, y0, x1, y1 = clipped_box_px(image, finding)
    box = (min(max(x0, 0.0), columns), min(max(y0, 0.0), rows), min(max(x1, 0.0), columns), min(max(y1, 0.0), rows))
    return Mark(
        box_px=box,
        polygon_px=finding.polygon_px,
        tags=(tag_words(numbered), str(numbered.number)) if full_tags else (str(numbered.number),),
        color=label_color(finding),
    )


def outcome_color(image: ReportedImage) -> Rgb:
    """Colour of what is said of an image: its gravest finding, or that it was not analysed."""
    if image.outcome != "analysed":
        return WARNING
    return findings_color(image.findings)


def findings_color(findings: Iterable[ReportedFinding]) -> Rgb:
    """Colour of what is said of several findings: malignant if one is."""
    labels = {finding.label for finding in findings}
    return next((color for label, color in COLORS.items() if label in labels), PLAIN)
