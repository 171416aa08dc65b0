"""The report on ultrasound: a page that needs nothing beside it, and a document that is valid JSON."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from models.contract import ModelIdentity
from models.evaluation.frame_figures import FrameEvaluation, classification_figures, segmentation_figures
from models.evaluation.frame_report import SCHEMA, frame_report_json, measured, write_frame_report
from models.evaluation.report_json import RESEARCH_USE
from tests.evaluation.fetched import Page
from tests.evaluation.frame_cohort import cohort, normal, outlined

FRAMES = (
    *(outlined(n, dice=0.5 + n / 40, iou=0.4 + n / 40) for n in range(12)),
    *(outlined(20 + n, truth="malignant", dice=0.6) for n in range(6)),
    *(normal(30 + n, regions=n % 2, false_regions=n % 2, lesion_score=0.2 + n / 10) for n in range(5)),
)


@pytest.fixture(scope="module")
def evaluation() -> FrameEvaluation:
    return FrameEvaluation(
        title="Evaluation of <us-malignancy>",
        models=(
            ModelIdentity(name="us-malignancy", version="0.1.0", weights_sha256="ab" * 32, operating_point={"t": 0.5}),
        ),
        protocol="cross-validation",
        data="a cohort",
        segmentation=segmentation_figures(FRAMES, resamples=50),
        classification=classification_figures(
            cohort(), classes=("benign", "malignant"), threshold=0.5, with_outlines=True, comparators="radiomics"
        ),
    )


def test_the_page_needs_nothing_beside_it_and_says_what_it_is(evaluation: FrameEvaluation, tmp_path: Path) -> None:
    written = write_frame_report(evaluation, FRAMES, tmp_path / "report")
    assert [path.name for path in written] == [
        "report.html",
        "report.json",
        "dice.png",
        "roc_lesion.png",
        "roc_class.png",
    ]
    text = written[0].read_text(encoding="utf-8")
    page = Page(text)
    assert len(page.sources) == 3 and all(source.startswith("data:image/png;base64,") for source in page.sources)
    words = " ".join(page.words)
    for said in (RESEARCH_USE, "a cohort", "cross-validation", "Dice", "malignant or benign", "radiomics", "frame-33"):
        assert said in words, said
    assert "<us-malignancy>" not in text and "&lt;us-malignancy&gt;" in text
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in written[2:])


def test_the_document_holds_every_figure(evaluation: FrameEvaluation) -> None:
    content = json.loads(frame_report_json(evaluation))
    assert content["schema"] == SCHEMA and content["research_use"] == RESEARCH_USE
    assert content["segmentation"]["dice"]["malignant"]["value"] == pytest.approx(0.6)
    assert content["classification"]["roc"]["clinical"] == {"not_defined": "no frame has this score"}
    assert frame_report_json(evaluation) == frame_report_json(evaluation)


def test_each_part_alone_is_a_report(evaluation: FrameEvaluation, tmp_path: Path) -> None:
    only_outlines = write_frame_report(replace(evaluation, classification=None), FRAMES, tmp_path / "outlines")
    assert [path.name for path in only_outlines[2:]] == ["dice.png", "roc_lesion.png"]
    only_classes = write_frame_report(replace(evaluation, segmentation=None), (), tmp_path / "classes")
    assert [path.name for path in only_classes[2:]] == ["roc_class.png"]


def test_a_card_gets_the_figures_with_what_they_were_measured_on(evaluation: FrameEvaluation) -> None:
    said = measured(evaluation)
    figures = {figure["name"]: figure["value"] for figure in said["figures"]}
    assert figures["dice, malignant"] == 0.6 and "AUC, automatic outline" in figures
    assert not any("radiomics" in name for name in figures)
    assert {figure["on"] for figure in said["figures"]} == {"a cohort; cross-validation"}
    assert "were not measured themselves" in said["note"]
    json.dumps(said, allow_nan=False)
