"""Ways to break a result, each with who must notice: an own check, PixelMed's validator, or dciodvfy."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from typing import Literal

from pydicom import Dataset

from sr_templates.contract import ResultKind
from tests.sr_templates.tree_checks import PREDICTIONS, PROBABILITIES, below, code, concept, row, walk

Catcher = Literal["own", "pixelmed", "dciodvfy"]
Break = Callable[[Dataset, Random], object]


@dataclass(frozen=True, slots=True, kw_only=True)
class Mutation:
    """One way to break an object of a kind; `report` is the function of `conftest` that it is made from."""

    name: str
    kind: ResultKind
    catcher: Catcher
    break_it: Break
    report: str


MUTATIONS: list[Mutation] = []


def mutation(kind: ResultKind, catcher: Catcher, report: str = "revision") -> Callable[[Break], Break]:
    def register(function: Break) -> Break:
        name = function.__name__.replace("_", " ")
        MUTATIONS.append(Mutation(name=name, kind=kind, catcher=catcher, break_it=function, report=report))
        return function

    return register


def some(root: Dataset, random: Random, *codes: str) -> Dataset:
    """One of the items with these concept names."""
    return random.choice([item for item in walk(root) if concept(item) in codes])


def finding(root: Dataset, random: Random) -> Dataset:
    return some(root, random, "111059", "125007")


def without(item: Dataset, *codes: str) -> None:
    item.ContentSequence = [child for child in below(item) if concept(child) not in codes]


def reference_in(item: Dataset) -> Dataset:
    return next(child for child in walk(item) if "ReferencedContentItemIdentifier" in child)


# -- trees: order, rows, relationships ---------------------------------------------------------------------------------


@mutation("cad_sr", "own")
def sections_swapped(root: Dataset, random: Random) -> None:
    items = list(root.ContentSequence)
    i = random.randrange(len(items) - 1)
    items[i], items[i + 1] = items[i + 1], items[i]
    root.ContentSequence = items


@mutation("cad_sr", "own")
def properties_of_a_finding_swapped(root: Dataset, random: Random) -> None:
    item = finding(root, random)
    items = list(item.ContentSequence)
    item.ContentSequence = [*items[1:], items[0]]


@mutation("measurement_sr", "own")
def observer_after_the_images(root: Dataset, random: Random) -> None:
    items = list(root.ContentSequence)
    items.append(items.pop(random.randrange(1, 7)))
    root.ContentSequence = items


@mutation("cad_sr", "pixelmed")
def analyses_missing(root: Dataset, random: Random) -> None:
    without(root, "111065")


@mutation("cad_sr", "pixelmed")
def algorithm_version_missing(root: Dataset, random: Random) -> None:
    without(finding(root, random), "111003")


@mutation("cad_sr", "pixelmed")
def rendering_intent_missing(root: Dataset, random: Random) -> None:
    without(finding(root, random), "111056")


@mutation("cad_sr", "pixelmed")
def center_missing(root: Dataset, random: Random) -> None:
    without(finding(root, random), "111010")


@mutation("cad_sr", "own")
def wrong_relationship(root: Dataset, random: Random) -> None:
    random.choice(below(finding(root, random), "111012", "111047")).RelationshipType = "HAS CONCEPT MOD"


@mutation("measurement_sr", "own")
def finding_site_contained(root: Dataset, random: Random) -> None:
    below(finding(root, random), "363698007")[0].RelationshipType = "CONTAINS"


@mutation("cad_sr", "own")
def template_of_another_report(root: Dataset, random: Random) -> None:
    root.ContentTemplateSequence[0].TemplateIdentifier = "4100"


@mutation("cad_sr", "own")
def title_of_another_report(root: Dataset, random: Random) -> None:
    root.ConceptNameCodeSequence[0].CodeValue = "111040"


@mutation("cad_sr", "dciodvfy")
def concept_name_missing(root: Dataset, random: Random) -> None:
    del finding(root, random).ConceptCodeSequence


@mutation("cad_sr", "pixelmed")
def meaning_of_a_standard_code_altered(root: Dataset, random: Random) -> None:
    some(root, random, "111012", "111047").ConceptNameCodeSequence[0].CodeMeaning = "Probability of health"


@mutation("cad_sr", "pixelmed")
def finding_of_no_known_kind(root: Dataset, random: Random) -> None:
    item = finding(root, random).ConceptCodeSequence[0]
    item.CodeValue, item.CodeMeaning = "111176", "Unspecified"


@mutation("cad_sr", "own")
def tracking_uid_twice(root: Dataset, random: Random) -> None:
    uids = [item for item in walk(root) if concept(item) == "112040"]
    uids[0].UID = uids[-1].UID


# -- summaries ---------------------------------------------------------------------------------------------------------


@mutation("cad_sr", "own")
def without_findings_though_there_are(root: Dataset, random: Random) -> None:
    item = below(root, "111017")[0].ConceptCodeSequence[0]
    item.CodeValue, item.CodeMeaning = "111241", "All algorithms succeeded; without findings"


@mutation("cad_sr", "own")
def nothing_succeeded_though_it_did(root: Dataset, random: Random) -> None:
    item = below(root, "111017")[0].ConceptCodeSequence[0]
    item.CodeValue, item.CodeMeaning = "111245", "No algorithms succeeded; without findings"


@mutation("cad_sr", "own")
def findings_lost(root: Dataset, random: Random) -> None:
    without(below(root, "111017")[0], "111034")


@mutation("cad_sr", "own")
def failed_though_it_succeeded(root: Dataset, random: Random) -> None:
    item = below(root, "111064")[0].ConceptCodeSequence[0]
    item.CodeValue, item.CodeMeaning = "111224", "Failed"


@mutation("measurement_sr", "own")
def one_finding_less_than_in_the_other_report(root: Dataset, random: Random) -> None:
    groups = below(root, "126010")[0]
    groups.ContentSequence = list(groups.ContentSequence)[:-1]


# -- coordinates and references ----------------------------------------------------------------------------------------


@mutation("cad_sr", "own")
def center_outside_of_the_outline(root: Dataset, random: Random) -> None:
    item = below(finding(root, random), "111010")[0]
    item.GraphicData = [item.GraphicData[0] + 50, item.GraphicData[1]]


@mutation("cad_sr", "own")
def outline_not_closed(root: Dataset, random: Random) -> None:
    item = below(finding(root, random), "111041")[0]
    item.GraphicData = list(item.GraphicData)[:-2]


@mutation("measurement_sr", "own")
def outline_outside_of_the_image(root: Dataset, random: Random) -> None:
    item = below(finding(root, random), "111030")[0]
    item.GraphicData = [value + 500 for value in item.GraphicData]


@mutation("cad_sr", "own")
def row_and_column_exchanged(root: Dataset, random: Random) -> None:
    item = below(finding(root, random), "111041")[0]
    values = list(item.GraphicData)
    item.GraphicData = [value for pair in zip(values[1::2], values[::2], strict=True) for value in pair]


@mutation("cad_sr", "own")
def reference_to_nowhere(root: Dataset, random: Random) -> None:
    reference_in(finding(root, random)).ReferencedContentItemIdentifier = [1, 2, 99]


@mutation("cad_sr", "own")
def reference_to_what_is_no_image(root: Dataset, random: Random) -> None:
    reference_in(finding(root, random)).ReferencedContentItemIdentifier = [1, 3]


@mutation("cad_sr", "own")
def finding_on_another_image(root: Dataset, random: Random) -> None:
    item = finding(root, random)
    for child in below(item, "111010", "111041"):
        reference = reference_in(child)
        last = int(list(reference.ReferencedContentItemIdentifier)[-1])
        reference.ReferencedContentItemIdentifier = [1, 2, last % 4 + 1]


@mutation("cad_sr", "own")
def sides_of_the_library_exchanged(root: Dataset, random: Random) -> None:
    item = some(root, random, "111027").ConceptCodeSequence[0]
    item.CodeValue = "80248007" if item.CodeValue == "73056007" else "73056007"


@mutation("measurement_sr", "own")
def view_of_the_library_wrong(root: Dataset, random: Random) -> None:
    item = some(root, random, "111031")
    item.ConceptCodeSequence[0].CodeValue = "399368009" if code(item) == "399162004" else "399162004"


@mutation("cad_sr", "own")
def probability_above_all(root: Dataset, random: Random) -> None:
    some(root, random, "111012", "111047").MeasuredValueSequence[0].NumericValue = "140"


@mutation("cad_sr", "own")
def probability_in_millimetres(root: Dataset, random: Random) -> None:
    some(root, random, "111047").MeasuredValueSequence[0].MeasurementUnitsCodeSequence[0].CodeValue = "mm"


@mutation("measurement_sr", "own")
def probability_of_the_other_report_differs(root: Dataset, random: Random) -> None:
    some(root, random, "111047").MeasuredValueSequence[0].NumericValue = "12"


# -- predictions -------------------------------------------------------------------------------------------------------


def predicted(root: Dataset, random: Random) -> Dataset:
    """One of the groups with predictions."""
    return random.choice([item for item in walk(root) if row(item) == "prediction group" and below(item, *PREDICTIONS)])


@mutation("measurement_sr", "own", "predictions")
def predicted_class_of_another_outcome(root: Dataset, random: Random) -> None:
    random.choice(below(predicted(root, random), *PREDICTIONS)).ConceptCodeSequence[0].CodeValue = "NODE_POSITIVE"


@mutation("measurement_sr", "own", "predictions")
def predicted_subtype_is_not_the_likeliest(root: Dataset, random: Random) -> None:
    item = below(predicted(root, random), "PRED_SUBTYPE")[0]
    item.ConceptCodeSequence[0].CodeValue = random.choice(["SUB_LUMINAL_B", "SUB_TN"])


@mutation("measurement_sr", "own", "predictions")
def predicted_otherwise_in_the_other_view(root: Dataset, random: Random) -> None:
    item = below(predicted(root, random), "PRED_ER")[0]
    item.ConceptCodeSequence[0].CodeValue = "ER_NEGATIVE"


@mutation("measurement_sr", "own", "predictions")
def prediction_by_nobody(root: Dataset, random: Random) -> None:
    without(random.choice(below(predicted(root, random), *PREDICTIONS)), "111001")


@mutation("measurement_sr", "own", "predictions")
def prediction_without_its_probability(root: Dataset, random: Random) -> None:
    without(predicted(root, random), *random.choice([("PROB_ER_POS",), ("PROB_SUB_TN",), tuple(PROBABILITIES)]))


@mutation("measurement_sr", "own", "predictions")
def prediction_without_a_region(root: Dataset, random: Random) -> None:
    without(predicted(root, random), "111030")


@mutation("measurement_sr", "own", "predictions")
def reason_for_no_prediction_lost(root: Dataset, random: Random) -> None:
    groups = [item for item in walk(root) if row(item) == "prediction group" and not below(item, *PREDICTIONS)]
    group = random.choice(groups)
    group.ContentSequence = list(group.ContentSequence)[:-1]


@mutation("measurement_sr", "own", "predictions")
def radiologists_report_is_no_evidence(root: Dataset, random: Random) -> None:
    study = root.CurrentRequestedProcedureEvidenceSequence[0]
    classes = "1.2.840.10008.5.1.4.1.1.88.34"
    for series in study.ReferencedSeriesSequence:
        kept = [item for item in series.ReferencedSOPSequence if item.ReferencedSOPClassUID != classes]
        series.ReferencedSOPSequence = kept


@mutation("presentation_state", "own", "predictions")
def region_outside_of_the_image(root: Dataset, random: Random) -> None:
    (layer,) = [item for item in root.GraphicAnnotationSequence if item.GraphicLayer == "AI REGION"]
    graphic = random.choice(list(layer.GraphicObjectSequence))
    graphic.GraphicData = [value + 400 for value in graphic.GraphicData]


# -- headers -----------------------------------------------------------------------------------------------------------


@mutation("cad_sr", "own")
def evidence_lacks_an_image(root: Dataset, random: Random) -> None:
    series = root.CurrentRequestedProcedureEvidenceSequence[0].ReferencedSeriesSequence[0]
    items = list(series.ReferencedSOPSequence)
    items.pop(random.randrange(len(items)))
    series.ReferencedSOPSequence = items


@mutation("measurement_sr", "own")
def evidence_of_another_class(root: Dataset, random: Random) -> None:
    series = root.CurrentRequestedProcedureEvidenceSequence[0].ReferencedSeriesSequence[0]
    random.choice(list(series.ReferencedSOPSequence)).ReferencedSOPClassUID = "1.2.840.10008.5.1.4.1.1.2"


@mutation("heatmap", "own")
def another_patient(root: Dataset, random: Random) -> None:
    root.PatientID = "P2"


@mutation("summary", "own")
def another_study(root: Dataset, random: Random) -> None:
    root.StudyInstanceUID = "1.2.3.4"


@mutation("cad_sr", "own")
def another_instance_in_the_file_meta(root: Dataset, random: Random) -> None:
    root.file_meta.MediaStorageSOPInstanceUID = "2.25.1"


@mutation("cad_sr", "own")
def verified_by_nobody(root: Dataset, random: Random) -> None:
    root.VerificationFlag = "VERIFIED"


@mutation("cad_sr", "dciodvfy")
def completion_flag_missing(root: Dataset, random: Random) -> None:
    del root.CompletionFlag


@mutation("cad_sr", "own")
def predecessor_of_itself(root: Dataset, random: Random) -> None:
    series = root.PredecessorDocumentsSequence[0].ReferencedSeriesSequence[0]
    series.ReferencedSOPSequence[0].ReferencedSOPInstanceUID = root.SOPInstanceUID


@mutation("measurement_sr", "own")
def private_codes_of_nobody(root: Dataset, random: Random) -> None:
    del root.CodingSchemeIdentificationSequence


@mutation("presentation_state", "own")
def weights_not_named(root: Dataset, random: Random) -> None:
    root.ContributingEquipmentSequence[0].ContributionDescription = "Research use. FPNNet 0.1.0 (score_threshold=0.3)"


@mutation("heatmap", "own")
def equipment_missing(root: Dataset, random: Random) -> None:
    del root.ContributingEquipmentSequence


@mutation("heatmap", "dciodvfy")
def conversion_type_missing(root: Dataset, random: Random) -> None:
    del root.ConversionType


@mutation("heatmap", "own")
def pixels_cut_off(root: Dataset, random: Random) -> None:
    root.PixelData = root.PixelData[: -2 * random.randrange(1, 100)]


@mutation("summary", "own")
def text_not_declared(root: Dataset, random: Random) -> None:
    root.BurnedInAnnotation = "NO"


@mutation("heatmap", "own")
def picture_of_the_other_side(root: Dataset, random: Random) -> None:
    root.ImageLaterality = "L" if root.ImageLaterality == "R" else "R"


@mutation("heatmap", "own")
def colours_of_another_kind(root: Dataset, random: Random) -> None:
    root.PhotometricInterpretation = "YBR_FULL"


@mutation("presentation_state", "own")
def greyscale_inverted(root: Dataset, random: Random) -> None:
    root.PresentationLUTShape = "INVERSE"


@mutation("presentation_state", "own")
def mark_outside_of_the_image(root: Dataset, random: Random) -> None:
    graphics = [g for a in root.GraphicAnnotationSequence for g in a.get("GraphicObjectSequence", ())]
    graphic = random.choice([g for g in graphics if g.GraphicAnnotationUnits == "PIXEL"])
    graphic.GraphicData = [value + 400 for value in graphic.GraphicData]


@mutation("presentation_state", "dciodvfy")
def layers_missing(root: Dataset, random: Random) -> None:
    del root.PresentationLUTShape
