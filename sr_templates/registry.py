"""Which result objects there are: one line a kind."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping

from sr_templates.contract import ResultKind, ResultObject, ResultVariant, StudyReport
from sr_templates.evidence import reference
from sr_templates.mammography_cad import make_mammography_cad
from sr_templates.measurement_report import make_measurement_report
from sr_templates.presentation_state import make_presentation_states
from sr_templates.secondary_capture import make_secondary_captures
from sr_templates.stand_ins import with_stand_ins
from sr_templates.summary_capture import make_summary_capture

Template = Callable[[StudyReport, ResultVariant], tuple[ResultObject, ...]]

TEMPLATES: Mapping[ResultKind, Template] = {
    "cad_sr": make_mammography_cad,
    "measurement_sr": make_measurement_report,
    "heatmap": make_secondary_captures,
    "summary": make_summary_capture,
    "presentation_state": make_presentation_states,
}


def make_objects(
    report: StudyReport,
    variants: frozenset[ResultVariant],
    *,
    profiles: Collection[frozenset[ResultVariant]] = (),
) -> tuple[ResultObject, ...]:
    """Make the result objects of a study revision.

    Parameters
    ----------
    report : StudyReport
        What the pipeline found, or why it did not look.
    variants : frozenset of ResultVariant
        Kinds and forms wanted. A kind that the study gives no ground for (a CAD report without a mammogram, a
        heatmap without decoded pixels) is left out.
    profiles : collection of frozenset of ResultVariant
        What each destination wants; one that these objects would leave in silence gets a summary (`stand_ins`).

    Returns
    -------
    tuple of ResultObject
        Encoded; the same report gives the same bytes.

    Raises
    ------
    ValueError
        The report names no instance, so that there is no patient to report on; or an image that was analysed cannot be
        referred to, so that its findings would be lost.
    """
    if not report.images and not report.other_instances:
        raise ValueError("a report needs at least one instance")
    if any((image.findings or image.outcome == "analysed") and not reference(image.header) for image in report.images):
        raise ValueError("an analysed image cannot be referred to")
    order = list(TEMPLATES)
    wanted = sorted(variants, key=lambda variant: (order.index(variant.kind), variant.name))
    objects = [made for variant in wanted for made in TEMPLATES[variant.kind](report, variant)]
    return with_stand_ins(report, objects, profiles)
