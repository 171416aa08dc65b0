"""What a destination gets whose wanted kinds of result leave it in silence: silence must never look like "no findings".

Pictures and presentation states speak of single images, and there is none of an image that was not decoded, or where
nothing was found. A CAD report needs a mammogram. The summary can always be made, and is shown by any viewer.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace
from typing import Final

from sr_templates.contract import ResultKind, ResultObject, ResultVariant, StudyReport
from sr_templates.evidence import value_text
from sr_templates.predictions import regions_on
from sr_templates.summary_capture import make_summary_capture

OF_THE_STUDY: Final[frozenset[ResultKind]] = frozenset({"cad_sr", "measurement_sr", "summary"})
"""Kinds that say of a whole study what was analysed and what was not."""

Profile = frozenset[ResultVariant]


def with_stand_ins(
    report: StudyReport, made: Sequence[ResultObject], profiles: Collection[Profile]
) -> tuple[ResultObject, ...]:
    """Add a summary for each destination that would not learn what became of an image.

    Parameters
    ----------
    made : sequence of ResultObject
        What was made for all destinations.
    profiles : collection of frozenset of ResultVariant
        What each destination wants; one that wants nothing gets nothing.

    Returns
    -------
    tuple of ResultObject
        `made`, and summaries; `stands_in_for` of a summary names the profiles that get it unasked.
    """
    served: dict[ResultVariant, set[Profile]] = {}
    for profile in profiles:
        if profile and _leaves_in_silence(report, [item for item in made if item.variant in profile]):
            served.setdefault(_summary_for(profile), set()).add(profile)
    objects = list(made)
    for variant in sorted(served, key=lambda variant: variant.name):
        if not any(item.variant == variant for item in objects):
            objects += make_summary_capture(report, variant)
    return tuple(
        replace(item, stands_in_for=frozenset(served[item.variant])) if item.variant in served else item
        for item in objects
    )


def _leaves_in_silence(report: StudyReport, delivered: Sequence[ResultObject]) -> bool:
    if not delivered:
        return True
    if any(item.kind in OF_THE_STUDY for item in delivered):
        return False
    shown = {item.referenced_sop_instance_uid for item in delivered}
    # of an image with a region somebody waits for predictions, or for the reason why there are none
    silent = (image for image in report.images if image.outcome != "analysed" or any(regions_on(report, image)))
    return any(value_text(image.header, "SOPInstanceUID") not in shown for image in silent)


def _summary_for(profile: Profile) -> ResultVariant:
    """A summary of the size and compression of the destination's other captures."""
    captures = sorted((variant for variant in profile if variant.kind == "heatmap"), key=lambda variant: variant.name)
    return replace(captures[0], kind="summary") if captures else ResultVariant(kind="summary")
