"""Predictions of lesions: what the objects say of them, on which region, by whom, and in which letters."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from io import BytesIO
from types import SimpleNamespace
from typing import Any

import pytest
from pydicom import Dataset, dcmread
from pydicom.dataelem import RawDataElement
from pydicom.tag import Tag

from models.regions.outcomes import OUTCOMES
from sr_templates import codes
from sr_templates.contract import REGIONS_TAKEN, ResultVariant, StudyReport, plain_variants
from sr_templates.explaining import explain
from sr_templates.registry import make_objects
from sr_templates.secondary_capture import heatmap_words
from sr_templates.summary_capture import summary_sheet
from sr_templates.wording import study_sentences
from tests.sr_templates.content_tree import children, only, texts, tree, tree_of, value, walk
from tests.sr_templates.tree_checks import row

MODEL = "ip-se-dresnet-cm"
PATIENT_NAME = Tag("PatientName")
OTHER_IDS = Tag("OtherPatientIDsSequence")


@pytest.fixture(scope="module")
def report() -> StudyReport:
    from tests.sr_templates import conftest

    return conftest.predictions()


def groups(root: Dataset) -> list[Dataset]:
    return [item for item in walk(root) if row(item) == "prediction group"]


def shown(item: Dataset) -> list[Any]:
    """An item as a nested list: relationship, value type, concept, value, and what is below it."""
    name = item.get("ConceptNameCodeSequence")
    said: Any = item.get("TextValue") or item.get("UID") or [float(v) for v in item.get("GraphicData", ())]
    if "ConceptCodeSequence" in item:
        said = item.ConceptCodeSequence[0].CodeMeaning
    if "MeasuredValueSequence" in item:
        measured = item.MeasuredValueSequence[0]
        said = f"{measured.NumericValue} {measured.MeasurementUnitsCodeSequence[0].CodeValue}"
    if "ReferencedSOPSequence" in item:
        said = item.ReferencedSOPSequence[0].ReferencedSOPInstanceUID
    head = [item.RelationshipType, item.ValueType, name[0].CodeValue if name else "", said]
    return [*head, *map(shown, children(item))]


def one_prediction(factory: SimpleNamespace, *, label: str = "lesion 1", header: Dataset | None = None) -> StudyReport:
    """ER predicted of one region of one image."""
    changes = {} if header is None else {"header": header}
    image = factory.mammogram(1, "L", "CC", **changes)
    regions = (factory.region(image, 20, 30, label=label),)
    return factory.study_report(
        (image,),
        algorithms=(factory.detector(), *factory.region_models(MODEL)[:1]),
        predictions=(factory.prediction("er", "negative", regions, MODEL, probability=0.125),),
    )


def test_every_outcome_of_the_models_has_its_codes() -> None:
    assert {name: tuple(values) for name, values in codes.PREDICTED_VALUE.items()} == dict(OUTCOMES)
    assert set(codes.PREDICTED) == set(OUTCOMES)
    for name, classes in OUTCOMES.items():
        assert tuple(codes.PREDICTED_PROBABILITY[name]) == (classes[1:] if len(classes) == 2 else classes)


def test_private_codes_have_one_meaning_each_that_fits_and_says_predicted() -> None:
    def nested(values: Mapping[str, Any]) -> list[codes.Code]:
        return [c for v in values.values() for c in (nested(v) if isinstance(v, Mapping) else [v])]

    found = [
        code
        for table in (codes.PREDICTED, codes.PREDICTED_VALUE, codes.PREDICTED_PROBABILITY)
        for code in nested(table)
    ]
    assert len({code.value for code in found}) == len({code.meaning for code in found}) == len(found)
    for code in found:
        assert code.scheme == codes.PRIVATE_SCHEME
        assert len(code.value) <= 16  # SH
        assert len(code.meaning) <= 64  # LO
        assert code.meaning.startswith("Predicted")


def test_a_group_has_the_region_the_value_the_probability_and_the_model(factory: SimpleNamespace) -> None:
    report = one_prediction(factory)
    (group,) = groups(tree(report, "measurement_sr"))
    uid = str(report.images[0].header.SOPInstanceUID)
    outline = [30, 30, 40, 38, 36, 50, 24, 50, 20, 38, 30, 30]
    model = [["HAS CONCEPT MOD", "TEXT", "111001", MODEL], ["HAS CONCEPT MOD", "TEXT", "111003", "0.1.0"]]
    parameters = [f"weights_sha256={'3f' * 32}", "positive_threshold=0.5", "status: succeeded"]
    where = 'R1: left breast, CC, region "lesion 1", marked by a radiologist [1.2.826.0.1.3680043.10.1.9]'
    site = ["HAS CONCEPT MOD", "CODE", "363698007", "Breast", ["HAS CONCEPT MOD", "CODE", "272741003", "Left"]]
    assert [shown(item) for item in children(group)] == [
        ["HAS OBS CONTEXT", "TEXT", "112039", "lesion 1"],
        ["HAS OBS CONTEXT", "UIDREF", "112040", only(group, "112040").UID],
        ["CONTAINS", "CODE", "121071", "Lesion"],
        ["CONTAINS", "SCOORD", "111030", outline, ["SELECTED FROM", "IMAGE", "260753009", uid]],
        site,
        [
            *("CONTAINS", "NUM", "PROB_ER_POS", "12.5 %"),
            *model,
            *(["HAS CONCEPT MOD", "TEXT", "111002", words] for words in parameters),
        ],
        ["CONTAINS", "CODE", "REGION_MARKED_BY", "Marked by a radiologist"],
        ["CONTAINS", "CODE", "PRED_ER", "Predicted ER-negative", *model],
        ["CONTAINS", "TEXT", "121106", where],
        ["CONTAINS", "TEXT", "121106", "Predictions are no laboratory results"],
    ]


@pytest.mark.parametrize("sr_class", ["comprehensive_3d", "comprehensive"])
def test_each_view_and_each_outline_has_its_group(report: StudyReport, sr_class: Any) -> None:
    found = groups(tree_of(report, ResultVariant(kind="measurement_sr", sr_class=sr_class)))
    images = [str(image.header.SOPInstanceUID) for image in report.images]
    on = [only(g, "111030", "260753009").ReferencedSOPSequence[0].ReferencedSOPInstanceUID for g in found]
    assert [images.index(uid) for uid in on] == [1, 3, 2, 2]
    assert [[value(item) for item in children(g, "PRED_ER")] for g in found] == [["ER_POSITIVE"]] * 2 + [[]] * 2
    uids = [only(group, "112040").UID for group in found]
    assert uids[0] == "1.2.826.0.1.3680043.10.1.8.1"  # the radiologist's comes back
    assert len(set(uids)) == 4
    assert "not attempted: no weights installed (radiomics-her2, radiomics-node)" in texts(found[0])
    assert "not attempted: no weights installed (radiomics-her2)" in texts(found[2])


def test_sentences_say_what_where_by_which_model_how_sure_and_why_not(report: StudyReport) -> None:
    said = [sentence for sentence in study_sentences(report) if sentence.startswith(("R1", "R2", "SR"))]
    where = 'left breast, CC and MLO, region "Läsion 左 1"'
    model, subtype = f"{MODEL} 0.1.0+3f3f3f3f", "densenet121-cbam-subtype 0.1.0+3f3f3f3f"
    assert said == [
        f"R1: {where}, marked by a radiologist [1.2.826.0.1.3680043.10.1.9]",
        f"R1: Predicted ER-positive, probability 81.2 % ({model}, {where}); no laboratory result",
        f"R1: Predicted subtype luminal A, probability 50.0 % ({subtype}, {where}); no laboratory result",
        f"R1: {where}: not attempted: no weights installed (radiomics-her2, radiomics-node)",
        'R2: right breast, MLO, region "finding", marked by a detector',
        'R2: right breast, MLO, region "finding": not attempted: no weights installed (radiomics-her2)',
        "SR: a radiologist's regions were taken from it; "
        'region "Läsion 左 2": the region lies outside the image [1.2.826.0.1.3680043.10.1.9]',
    ]


def test_of_a_negative_prediction_the_probability_is_still_that_of_the_positive_class(factory: SimpleNamespace) -> None:
    report = one_prediction(factory)
    assert any("Predicted ER-negative, probability of ER-positive 12.5 %" in said for said in study_sentences(report))
    (state,) = make_objects(report, plain_variants("presentation_state"))
    annotations = dcmread(BytesIO(state.content)).GraphicAnnotationSequence
    tags = [text.UnformattedTextValue for item in annotations for text in item.TextObjectSequence]
    assert 'R1 "lesion 1": predicted ER-negative 88 %' in tags


def test_the_cad_report_neither_counts_the_models_of_lesions_nor_has_their_predictions_in_codes(
    report: StudyReport,
) -> None:
    root = tree(report, "cad_sr")
    assert value(only(root, "111017")) == "111242"  # all algorithms succeeded, though two have no weights
    assert value(only(root, "111065")) == "111225"  # and no analysis of images was attempted
    values = {
        item.ConceptCodeSequence[0].CodingSchemeDesignator for item in walk(root) if "ConceptCodeSequence" in item
    }
    assert codes.PRIVATE_SCHEME not in values
    assert "Predicted ER-positive, probability 81.2 %" in texts(root)


def test_pictures_name_predictions_and_models_of_the_regions_on_them(report: StudyReport) -> None:
    with_region = " ".join(line.text for line in heatmap_words(report, report.images[1]).details)
    without = " ".join(line.text for line in heatmap_words(report, report.images[0]).details)
    assert "R1: Predicted ER-positive, probability 81.2 %" in with_region
    assert 'region "Lasion ? 1"' in with_region  # the letters that the font has
    assert "R1: not attempted: no weights installed (radiomics-her2, radiomics-node)" in with_region
    assert MODEL not in without
    sheet = summary_sheet(report)
    panel = " ".join(line.text for line in sheet.panel)
    assert "R1: predictions, no laboratory results" in panel
    assert "R2: not attempted: no weights installed (radiomics-her2)" in panel
    refused = 'SR object: a radiologist\'s regions were taken from it; region "Lasion ? 2": the region lies outside'
    assert any(refused in line.text for line in sheet.panel)
    ((header, _),) = report.other_instances
    all_taken = summary_sheet(replace(report, other_instances=((header, REGIONS_TAKEN),)))
    assert not any("SR object" in line.text for line in all_taken.panel)
    marks = [mark for hung in sheet.hanging for thumbnail in hung for mark in thumbnail.marks if mark.dashed]
    assert sorted(mark.tags for mark in marks) == [(), ("R1",), ("R1",), ("R2",)]


IN_WORDS = {b"Doe^Jane": "Doe^Jane", b"M\xfcller^Eva ": "Müller^Eva", b"Yamada=\x1b$B;3ED\x1b(B ": "Yamada=山田"}


def source(factory: SimpleNamespace, character_set: str | list[str] | None, name: bytes) -> Dataset:
    header: Dataset = factory.mammogram_header(1, "L", "CC")
    if character_set is not None:
        header.SpecificCharacterSet = character_set
    header[PATIENT_NAME] = RawDataElement(PATIENT_NAME, "PN", len(name), name, 0, False, True)
    return header


@pytest.mark.parametrize(
    ("source_of", "label", "expected"),
    [
        ((None, b"Doe^Jane"), "lesion 1", (None, "lesion 1")),
        ((None, b"Doe^Jane"), "Läsion 左", ("ISO_IR 192", "Läsion 左")),
        (("ISO_IR 6", b"Doe^Jane"), "Läsion", ("ISO_IR 192", "Läsion")),
        ((["", "ISO 2022 IR 87"], b"Yamada=\x1b$B;3ED\x1b(B "), "Läsion", ("ISO_IR 192", "Läsion")),
        (("ISO_IR 100", b"M\xfcller^Eva "), "Läsion", ("ISO_IR 100", "Läsion")),
        (("ISO_IR 100", b"M\xfcller^Eva "), "左", ("ISO_IR 192", "左")),
        (("ISO_IR 192", "Müller^Eva ".encode()), "左", ("ISO_IR 192", "左")),
        ((None, b"M\xfcller^Eva "), "Läsion", (None, "L?sion")),  # nobody knows what the name's bytes mean
        (("ISO_IR 192", b"M\xfcller^Eva "), "a\x1b[2J\\b\r\n", ("ISO_IR 192", "a [2J/b")),
        ((None, b"Doe^Jane"), "x" * 70, (None, "x" * 61 + "...")),
        ((None, b"Doe^Jane"), " \t", (None, "unnamed")),
    ],
)
def test_a_label_keeps_its_letters_and_the_patient_the_name(
    factory: SimpleNamespace, source_of: tuple[Any, bytes], label: str, expected: tuple[str | None, str]
) -> None:
    (declared, name), (written, read) = source_of, expected
    header = source(factory, declared, name)
    for made in make_objects(one_prediction(factory, label=label, header=header), plain_variants("measurement_sr")):
        result = dcmread(BytesIO(made.content))
        assert result.get("SpecificCharacterSet") == written
        if written == declared:
            assert result.get_item(PATIENT_NAME).value.rstrip() == name.rstrip()
        else:
            assert str(result.PatientName) == IN_WORDS[name]
        (group,) = groups(result)
        assert only(group, "112039").TextValue == read


def test_text_in_sequences_is_rewritten_with_the_rest(factory: SimpleNamespace) -> None:
    header = source(factory, "ISO_IR 100", b"M\xfcller^Eva ")
    item = Dataset()
    item.PatientID, item.TypeOfPatientID = "Größe", "TEXT"
    header.OtherPatientIDsSequence = [item]
    read = factory.as_read(header)
    (made,) = make_objects(one_prediction(factory, label="左", header=read), plain_variants("presentation_state"))
    result = dcmread(BytesIO(made.content))
    assert (result.OtherPatientIDsSequence[0].PatientID, str(result.PatientName)) == ("Größe", "Müller^Eva")
    (layer, _) = result.GraphicAnnotationSequence
    assert layer.TextObjectSequence[0].UnformattedTextValue.startswith('R1 "左"')


@pytest.mark.parametrize("kind", ["measurement_sr", "presentation_state", "cad_sr"])
def test_explaining_withholds_the_patients_name_in_a_label(factory: SimpleNamespace, kind: Any) -> None:
    (made,) = make_objects(one_prediction(factory, label="Mustermann left"), plain_variants(kind))
    dataset = dcmread(BytesIO(made.content))
    assert "Mustermann" not in "\n".join(explain(dataset))
    assert "withheld left" in "\n".join(explain(dataset))
    assert "Mustermann left" in "\n".join(explain(dataset, patient=True))


def test_explaining_does_not_count_regions_as_findings(factory: SimpleNamespace, report: StudyReport) -> None:
    said = "\n".join(explain(tree(one_prediction(factory), "measurement_sr")))
    assert "Result: no findings; 1 region for predictions (Predicted ER-negative; no laboratory results)" in said
    said = "\n".join(explain(tree(report, "measurement_sr")))
    assert "Result: 1 finding (1 Calcification Cluster)" in said


def test_a_region_on_a_frame_is_put_on_that_frame(factory: SimpleNamespace) -> None:
    cine = factory.sonogram(1, frames=30)
    regions = (factory.region(cine, 20, 30, frame_number=7),)
    report = factory.ultrasound_report(
        (cine,),
        algorithms=factory.region_models(MODEL)[:1],
        predictions=(factory.prediction("er", "positive", regions, MODEL),),
    )
    (group,) = groups(tree(report, "measurement_sr"))
    assert only(group, "111030", "260753009").ReferencedSOPSequence[0].ReferencedFrameNumber == 7
    assert "L US 1 frame 7" in texts(group)


def test_a_destination_of_pictures_alone_learns_of_a_prediction_that_no_picture_shows(factory: SimpleNamespace) -> None:
    report = one_prediction(factory)
    hidden = replace(report, images=(replace(report.images[0], display=None),))
    wanted = plain_variants("heatmap")
    assert [made.kind for made in make_objects(hidden, wanted, profiles=[wanted])] == ["summary"]
    assert [made.kind for made in make_objects(report, wanted, profiles=[wanted])] == ["heatmap"]


@pytest.mark.parametrize(
    ("changes", "region", "message"),
    [
        ({"value": "unheard of"}, {}, "no class of er"),
        ({"name": "grade"}, {}, "no code"),
        ({"value": None}, {}, "either a value or a reason"),
        ({"probability": 81.25}, {}, "within 0 and 1"),
        ({"algorithm": "nobody"}, {}, "'nobody'"),
        ({}, {"sop_instance_uid": "1.2.3"}, "no image of the report"),
        ({}, {"polygons_px": (((0.0, 0.0), (500.0, 0.0), (0.0, 50.0)),)}, "outside of its image"),
        ({}, {"polygons_px": (((0.0, 0.0), (float("nan"), 0.0), (0.0, 50.0)),)}, "no outline"),
        ({}, {"polygons_px": (((5.0, 0.0), (5.0, 9.0), (5.0, 50.0)),)}, "needs an area"),
    ],
)
def test_what_cannot_be_said_rightly_is_not_said(
    factory: SimpleNamespace, changes: dict[str, Any], region: dict[str, Any], message: str
) -> None:
    report = one_prediction(factory)
    regions = tuple(replace(each, **region) for each in report.predictions[0].regions)
    wrong = replace(report.predictions[0], regions=regions, **changes)
    with pytest.raises(ValueError, match=message):
        make_objects(replace(report, predictions=(wrong,)), plain_variants("measurement_sr"))
