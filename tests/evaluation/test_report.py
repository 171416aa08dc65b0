"""The report: one page that needs nothing else, the same figures in JSON, and nothing of the data taken for markup."""

from __future__ import annotations

import base64
import json
import subprocess
import sys
from dataclasses import replace
from html.parser import HTMLParser
from importlib import resources
from pathlib import Path

import pytest

from models.evaluation.contract import EvaluatedImage
from models.evaluation.evaluate import Evaluation, evaluate
from models.evaluation.page import figure_words
from models.evaluation.paper import PAPER_CASES, PAPER_ROWS, measured_row, paired_rows
from models.evaluation.plots import plots
from models.evaluation.proportions import Measures, Proportion
from models.evaluation.report import TEMPLATE, report_html, write_report
from models.evaluation.report_json import RESEARCH_USE, as_json, document, report_json
from models.evaluation.roc import Roc
from tests.evaluation.cohort import MODEL, cohort, image, prediction, truth

HOSTILE = """<script>alert("&'</td>")</script>{{ 7 * 7 }}"""
VOID = {"meta", "img", "br"}


class Page(HTMLParser):
    """Its text, its attributes, and whether every element that is opened is closed."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.text = ""
        self.attributes: list[tuple[str, str, str | None]] = []
        self.open: list[str] = []
        self.elements: set[str] = set()
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.add(tag)
        self.attributes += [(tag, name, value) for name, value in attrs]
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def evaluated(images: list[EvaluatedImage] | None = None, note: str = "a made-up cohort") -> Evaluation:
    made_up, breasts = cohort(patients=30, normals=30)
    return evaluate(
        made_up if images is None else images,
        breasts if images is None else [],
        model=MODEL,
        score_threshold=0.3,
        dataset_note=note,
        resamples=50,
    )


@pytest.fixture(scope="module")
def evaluation() -> Evaluation:
    return evaluated()


@pytest.fixture(scope="module")
def page(evaluation: Evaluation) -> Page:
    return Page(report_html(evaluation, plots(evaluation)))


def test_a_report_is_a_page_a_document_and_its_plots(evaluation: Evaluation, tmp_path: Path) -> None:
    written = write_report(evaluation, tmp_path / "new" / "folder")
    names = [path.name for path in written]
    assert names == [
        "report.html", "report.json", "froc.png", "roc_image.png", "roc_breast.png", "roc_lesion.png", "confusion.png"
    ]  # fmt: skip
    assert sorted(path.name for path in (tmp_path / "new" / "folder").iterdir()) == sorted(names)
    assert all(path.read_bytes().startswith(b"\x89PNG\r\n\x1a\n") for path in written[2:])


def test_the_page_needs_nothing_beside_it_and_embeds_the_plots(evaluation: Evaluation, page: Page) -> None:
    links = [value for _, name, value in page.attributes if name in ("src", "href", "srcset", "data", "action")]
    assert all(value is not None and value.startswith("data:image/png;base64,") for value in links)
    embedded = {base64.b64decode(str(value).split(",", 1)[1]) for value in links}
    assert embedded == {plot.png for plot in plots(evaluation)}
    assert "script" not in page.elements and "link" not in page.elements
    assert not page.open


def test_the_page_says_research_use_and_which_model_on_what(evaluation: Evaluation, page: Page) -> None:
    for words in (RESEARCH_USE, MODEL.name, MODEL.version, MODEL.weights_sha256, evaluation.data.note):
        assert str(words) in page.text
    assert evaluation.hit_rule_description in page.text
    assert "60 normal images" in page.text
    assert all(value for tag, name, value in page.attributes if tag == "img" and name == "alt")


def test_every_row_of_the_paper_is_there_with_what_was_measured_beside_it(evaluation: Evaluation, page: Page) -> None:
    assert page.text.count("paper's data") == len(PAPER_ROWS) == page.text.count("data of this report")
    for row, here in paired_rows(evaluation):
        assert f"{row.accuracy:.4f}" in page.text and f"{row.auc:.4f}" in page.text
        assert figure_words(here.accuracy) in page.text
        assert figure_words(here.auc) in page.text


def test_names_from_the_data_are_text_and_never_markup() -> None:
    normal = image(f"n {HOSTILE}", found=(prediction(0.9),), view=HOSTILE)
    hostile = replace(
        evaluated([image(f"a {HOSTILE}", truth()), normal], note=HOSTILE),
        model=replace(MODEL, name=HOSTILE, version=HOSTILE, operating_point={HOSTILE: 0.1}),
    )
    text = report_html(hostile, plots(hostile))
    page = Page(text)
    assert "script" not in page.elements
    assert page.text.count(HOSTILE) >= 6  # the title's too, which is text as well
    assert "<script" not in text


def test_the_document_is_what_the_functions_return(evaluation: Evaluation, tmp_path: Path) -> None:
    written = json.loads(write_report(evaluation, tmp_path)[1].read_text(encoding="utf-8"))
    assert written == document(evaluation)
    assert written["schema"] == "mammonode-evaluation-1" and written["research_use"] == RESEARCH_USE
    for name in ("model", "data", "operating_point", "froc", "image", "breast", "lesion", "second_opinion"):
        assert written[name] == as_json(getattr(evaluation, name))
    first = evaluation.froc["all lesions"]
    assert written["froc"]["all lesions"]["points"][2]["sensitivity"] == first.points[2].sensitivity  # type: ignore[union-attr]  # defined in this cohort
    area = evaluation.image.roc["with a lesion"]
    assert isinstance(area, Roc) and written["image"]["roc"]["with a lesion"]["auc"] == area.auc
    assert [row["reported"]["auc"] for row in written["paper"]["rows"]] == [row.auc for row in PAPER_ROWS]


def test_the_same_cases_and_seed_give_the_same_bytes(evaluation: Evaluation, tmp_path: Path) -> None:
    again = evaluated()
    assert again == evaluation
    for first, second in zip(
        write_report(evaluation, tmp_path / "a"), write_report(again, tmp_path / "b"), strict=True
    ):
        assert first.read_bytes() == second.read_bytes()


@pytest.mark.parametrize(
    ("images", "said"),
    [
        ([image("n")], "FROC of all lesions not defined: no image has a lesion."),
        ([image("a", truth("benign"))], "AUC not defined: all images with a lesion are benign"),
        ([image("a", truth("benign"))], "FROC of all lesions not defined: there are no normal images."),
        ([image("a", truth(), found=(prediction(0.9),)), image("n")], "No lesion was missed at the operating point."),
        ([image("a", truth()), image("n")], "no box"),
        ([image("a", truth()), image("n")], "1 patient has these lesions: from fewer than 20, resampling gives"),
    ],
)
def test_a_report_of_little_data_says_what_it_cannot_tell(
    images: list[EvaluatedImage], said: str, tmp_path: Path
) -> None:
    evaluation = evaluated(images)
    paths = write_report(evaluation, tmp_path)
    assert said in Page(paths[0].read_text(encoding="utf-8")).text
    assert "NaN" not in report_json(evaluation) and "Infinity" not in report_json(evaluation)


def test_a_value_without_a_place_in_the_schema_is_refused() -> None:
    with pytest.raises(TypeError, match="no place for set"):
        as_json({"sets": {1, 2}})


def test_an_evaluation_without_images_or_with_names_twice_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one image"):
        evaluated([])
    with pytest.raises(ValueError, match="name of its own"):
        evaluated([image("a"), image("a")])
    with pytest.raises(ValueError, match="score_threshold"):
        evaluate([image("a")], [], model=MODEL, score_threshold=1.5, dataset_note="")


def test_the_papers_rows_are_each_one_table_of_counts() -> None:
    """Every figure of a row follows from its accuracy's counts, so that a slip of the pen would show."""
    cases = {"image": (450, 426), "breast": (225, 213)}
    for row in PAPER_ROWS:
        if row.level == "lesion":
            continue  # the paper does not say how many of the 1185 matched are malignant
        malignant, benign = cases[row.level]
        assert (malignant, benign) == (PAPER_CASES[f"malignant {row.level}s"], PAPER_CASES[f"benign {row.level}s"])
        tp, tn = round(row.sensitivity_malignant * malignant), round(row.sensitivity_benign * benign)
        fp, fn = benign - tn, malignant - tp
        expected = (
            (tp + tn) / (malignant + benign), tn / (tn + fn), tp / (tp + fp), tn / benign, tp / malignant,
            2 * tn / (2 * tn + fn + fp), 2 * tp / (2 * tp + fp + fn),
        )  # fmt: skip
        reported = (
            row.accuracy, row.precision_benign, row.precision_malignant, row.sensitivity_benign,
            row.sensitivity_malignant, row.f1_benign, row.f1_malignant,
        )  # fmt: skip
        assert reported == pytest.approx(expected, abs=6e-5)


def test_a_measured_row_has_the_classes_of_the_papers_table(evaluation: Evaluation) -> None:
    here, found = measured_row(evaluation.image), evaluation.image.measures["with a lesion"]
    assert isinstance(found, Measures)
    assert isinstance(here.precision_benign, Proportion)
    assert here.precision_benign.numerator == found.true_negative
    assert here.precision_benign.denominator == found.true_negative + found.false_negative
    assert (here.sensitivity_benign, here.sensitivity_malignant) == (found.specificity, found.sensitivity)
    assert (here.f1_benign, here.f1_malignant) == (found.f1_benign, found.f1)


def test_the_template_is_in_the_package() -> None:
    assert resources.files("models.evaluation").joinpath(TEMPLATE).is_file()


def test_evaluation_needs_no_network_no_dicom_and_no_window() -> None:
    unwanted = ("torch", "torchvision", "monai", "pydicom", "pipelines", "node", "sr_templates", "matplotlib.pyplot")
    program = f"import sys, models.evaluation.report; print([name for name in {unwanted} if name in sys.modules])"
    root = Path(__file__).resolve().parents[2]
    ran = subprocess.run([sys.executable, "-c", program], cwd=root, capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "[]"
