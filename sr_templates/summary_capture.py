"""Summary: one secondary capture a study, which says at a glance what was found, and what was not looked at and why."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from sr_templates.capture import Capture
from sr_templates.capture_words import (
    BANNER,
    COLORS,
    algorithm_lines,
    analysis_line,
    apart,
    count_words,
    drawable,
    finding_lines,
    findings_color,
    marks_of,
    outcome_color,
    prediction_lines,
    region_marks_of,
    revision_line,
    second_opinion_words,
    study_date_words,
)
from sr_templates.content import text
from sr_templates.contract import (
    REGIONS_TAKEN,
    BreastStatus,
    ReportedBreast,
    ReportedImage,
    ResultObject,
    ResultVariant,
    StudyReport,
)
from sr_templates.document import finish
from sr_templates.drawing import BENIGN, MALIGNANT, PLAIN, QUIET, WARNING, Line, Rgb
from sr_templates.evidence import value_text
from sr_templates.mammograms import is_mammogram
from sr_templates.marks import Mark
from sr_templates.predictions import algorithms_shown, predicted_lesions
from sr_templates.summary_picture import Sheet, SummaryPicture, Thumbnail, render_summary
from sr_templates.wording import (
    LABEL_WORDS,
    OUTCOME_WORDS,
    SIDE_WORDS,
    STATUS_WORDS,
    NumberedFinding,
    image_name,
    instance_sentence,
    malignancy_words,
    numbered_findings,
    result_sentence,
)

SERIES_NUMBER = 9004
SERIES_DESCRIPTION = "AI summary - NOT FOR PRIMARY DIAGNOSIS"
MAX_THUMBNAILS = 8

_HANGING = (("R", "L"), ("CC", "MLO"))  # columns and rows: mammograms hang back to back
_LISTED_FINDINGS = 6
_NAMED_IMAGES = 6
_HEADING = 1.15
_STATUS_COLORS: dict[BreastStatus, Rgb] = {
    "malignant": MALIGNANT,
    "benign": BENIGN,
    "no_calcification": PLAIN,
    "not_analysed": WARNING,
}


def make_summary_capture(report: StudyReport, variant: ResultVariant) -> tuple[ResultObject, ...]:
    """Make the one summary of a study, with or without pixels.

    Parameters
    ----------
    report : StudyReport
        At least one instance.
    variant : ResultVariant
        Longest side and compression.

    Returns
    -------
    tuple of ResultObject
        Exactly one.
    """
    picture = draw_summary(report, max_side_px=variant.max_side_px)
    shown = algorithms_shown(report, *report.images)
    names = ", ".join(f"{a.name} {a.version}" for a in shown) or "no algorithm"
    document = Capture(
        report,
        variant,
        picture.pixels,
        sources=report.images,
        derivation=f"Summary of the study: source images rendered to 8 bits with the results of {names}. "
        f"{result_sentence(report.outcome, report.reason)}",
        series_number=SERIES_NUMBER,
        series_description=SERIES_DESCRIPTION,
    )
    document.PatientOrientation = ""
    document.Laterality = ""  # both breasts
    return (finish(report, document, variant),)


def draw_summary(report: StudyReport, *, max_side_px: int) -> SummaryPicture:
    """Draw the summary of a study."""
    return render_summary(summary_sheet(report), max_side_px=max_side_px)


def summary_sheet(report: StudyReport) -> Sheet:
    """All that the summary shows and says."""
    found = numbered_findings(report)
    hung = _hung(report.images)
    used = [image for row in hung for image in row if image is not None]
    others = [image for image in report.images if not any(image is other for other in used)]
    others.sort(key=_gravity)  # stable: the report's order within the same gravity
    further = others[: MAX_THUMBNAILS - len(used)]
    left_out = len(others) - len(further)
    return Sheet(
        hanging=tuple(
            tuple(
                _thumbnail(report, image, found) if image is not None else _missing(report, side, view)
                for image, side in zip(row, _sides(hung), strict=True)
            )
            for row, view in zip(hung, _views(hung), strict=True)
        ),
        further=tuple(_thumbnail(report, image, found) for image in further),
        above=tuple(_lines_above(report)),
        panel=tuple(_panel(report, found, left_out)),
        bottom=(BANNER,),
    )


Hung = tuple[tuple[ReportedImage | None, ...], ...]


def _hung(images: Sequence[ReportedImage]) -> Hung:
    """Standard views in hanging order; a row or a column of which nothing came is left out."""
    best = {
        (side, view): min(
            (image for image in images if (image.laterality, image.view) == (side, view)), key=_gravity, default=None
        )
        for side in _HANGING[0]
        for view in _HANGING[1]
    }
    sides = [side for side in _HANGING[0] if any(best[side, view] is not None for view in _HANGING[1])]
    views = [view for view in _HANGING[1] if any(best[side, view] is not None for side in sides)]
    return tuple(tuple(best[side, view] for side in sides) for view in views)


def _sides(hung: Hung) -> list[str]:
    columns = zip(*hung, strict=True)
    return [next(str(image.laterality) for image in column if image is not None) for column in columns]


def _views(hung: Hung) -> list[str]:
    return [next(str(image.view) for image in row if image is not None) for row in hung]


def _gravity(image: ReportedImage) -> tuple[bool, bool, tuple[float, float], bool, bool]:
    """Sort key: what was analysed and shows most comes first, plain views before modified ones."""
    worst = max((finding.gravity for finding in image.findings), default=(0.0, 0.0))
    analysed = image.outcome == "analysed"
    return not analysed, not image.findings, (-worst[0], -worst[1]), bool(image.view_modifiers), image.display is None


def _thumbnail(report: StudyReport, image: ReportedImage, found: Sequence[NumberedFinding]) -> Thumbnail:
    of_image = [numbered for numbered in found if numbered.image is image]
    color = outcome_color(image)
    name = text(image_name(image))
    if image.outcome != "analysed":
        why = text(result_sentence(image.outcome, image.reason))
        if image.display is None:
            inside = (Line(text=why, color=WARNING),)
            caption = Line(text=f"{name}: {OUTCOME_WORDS[image.outcome]}", color=WARNING)
            return Thumbnail(display=None, inside=inside, caption=(caption,))
        marks = region_marks_of(report, image, full_tags=False)
        return Thumbnail(display=image.display, marks=marks, caption=(Line(text=f"{name}: {why}", color=WARNING),))
    words = f"{name}: {count_words(len(of_image), 'finding')}" if of_image else f"{name}: no {report.target} found"
    words += malignancy_words(image, "cancer")
    return Thumbnail(
        display=image.display,
        marks=_marks(report, image, of_image) if image.display is not None else (),
        inside=(Line(text="analysed; its picture is not available", color=QUIET),),
        caption=(Line(text=words, color=color),),
    )


def _marks(report: StudyReport, image: ReportedImage, of_image: Sequence[NumberedFinding]) -> tuple[Mark, ...]:
    regions = region_marks_of(report, image, full_tags=False)
    return (*regions, *marks_of(image, of_image, full_tags=False))


def _missing(report: StudyReport, side: str, view: str) -> Thumbnail:
    """A place without an image; a mammogram that does not say what it shows might belong there."""
    unplaced = any(
        is_mammogram(image.header) and (image.laterality is None or image.view is None) for image in report.images
    )
    words, none = ("no image known to be {} {}", "none known") if unplaced else ("no {} {} image in this study", "none")
    inside = Line(text=words.format(side, view), color=QUIET)
    return Thumbnail(display=None, inside=(inside,), caption=(Line(text=f"{side} {view}: {none}", color=QUIET),))


def _lines_above(report: StudyReport) -> Iterator[Line]:
    yield Line(text=f"AI summary, {study_date_words(report)}", scale=1.35)
    revision = revision_line(report)
    if revision is not None:
        yield revision
    if report.outcome != "analysed":
        yield Line(text=text(result_sentence(report.outcome, report.reason)), color=WARNING, scale=_HEADING)
        return
    analysed = [image for image in report.images if image.outcome == "analysed"]
    labels = [finding.label for image in report.images for finding in image.findings]
    on = f"{len(analysed)} of {count_words(len(report.images), 'image')} analysed"
    if labels:
        known = [label for label in COLORS if label in labels]
        parts = [f"{labels.count(label)} {LABEL_WORDS[label]}" for label in known]
        words = f"{count_words(len(labels), f'{report.target} finding')} ({', '.join(parts)}); {on}"
    else:
        words = f"No {report.target} found; {on}"
    color = findings_color(finding for image in report.images for finding in image.findings)
    yield Line(text=words, color=color, scale=_HEADING)
    silent = len(report.images) - len(analysed)
    if silent:
        yield Line(text=f"{count_words(silent, 'image')} NOT ANALYSED, see why at the right", color=WARNING)


def _panel(report: StudyReport, found: Sequence[NumberedFinding], left_out: int) -> Iterator[Line]:
    """What matters most comes first; what does not fit is cut from the end."""
    for breast in sorted(report.breasts, key=lambda breast: _HANGING[0].index(breast.laterality)):
        yield from apart(_breast_lines(breast))
    yield from apart(_not_analysed_lines(report))
    if left_out:
        yield from apart(iter([Line(text=f"and {count_words(left_out, 'more image')}, not shown here", color=WARNING)]))
    yield from apart(finding_lines(found, listed=_LISTED_FINDINGS, named=True))
    yield from prediction_lines(predicted_lesions(report), full=False)
    yield from apart(_opinion_lines(report))
    yield from apart(algorithm_lines(report, *report.images))
    yield analysis_line(report)


def _opinion_lines(report: StudyReport) -> Iterator[Line]:
    opinions = [image for image in report.images if image.second_opinion is not None]
    if opinions:
        each = ", ".join(f"{image_name(i)} malignant {100 * (i.second_opinion or 0.0):.1f} %" for i in opinions)
        yield Line(text=text(f"{second_opinion_words(report)}: {each}"))


def _breast_lines(breast: ReportedBreast) -> Iterator[Line]:
    color = _STATUS_COLORS[breast.status]
    yield Line(text=f"{SIDE_WORDS[breast.laterality]} breast: {STATUS_WORDS[breast.status]}", color=color, scale=1.35)
    known = []
    if breast.confidence is not None:
        known.append(f"confidence {100 * breast.confidence:.1f} %")
    if breast.views:
        known.append(f"views {', '.join(breast.views)}")
    if known:
        yield Line(text=text(", ".join(known)), color=color)
    if breast.reason:
        yield Line(text=text(breast.reason), color=WARNING)


def _not_analysed_lines(report: StudyReport) -> Iterator[Line]:
    """Every instance that was not analysed, or not all of it, by reason."""
    by_reason: dict[str, list[str]] = {}
    for image in report.images:
        if image.reason or image.outcome != "analysed":
            by_reason.setdefault(result_sentence(image.outcome, image.reason), []).append(image_name(image))
    for header, reason in report.other_instances:
        if reason != REGIONS_TAKEN:
            name = f"{value_text(header, 'Modality')} object".strip()
            by_reason.setdefault(instance_sentence(reason), []).append(name)
    for sentence, names in by_reason.items():
        yield Line(text=drawable(f"{_counted(names)}: {sentence}"), color=WARNING)


def _counted(names: Sequence[str]) -> str:
    """Names, each once, with how often it comes; of very many only the first."""
    counts = {name: names.count(name) for name in dict.fromkeys(names)}
    said = [f"{count} x {name}" if count > 1 else name for name, count in counts.items()]
    rest = sum(list(counts.values())[_NAMED_IMAGES:])
    return ", ".join(said[:_NAMED_IMAGES]) + (f" and {rest} more" if rest else "")
