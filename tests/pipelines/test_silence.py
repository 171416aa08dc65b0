"""Silence must never look like "no findings": every mammogram that was sent counts, whatever became of it."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from io import BytesIO
from typing import Any

import pytest
from pydicom import Dataset, dcmread

from pipelines.contract import InstanceFile, PipelineResult
from pipelines.mammography.pipeline import MammographyPipeline
from sr_templates.contract import ResultObject, ResultVariant, StudyReport
from sr_templates.explaining import explain
from sr_templates.registry import make_objects
from sr_templates.summary_capture import summary_sheet

Damage = Callable[[Any], InstanceFile]


@dataclass
class Answer:
    """What a study was answered with: the report, and the objects that were made of it."""

    result: PipelineResult
    report: StudyReport

    def lines(self, kind: str) -> list[str]:
        """Result and cautions of a report, as `explain` reads it."""
        (made,) = (item for item in self.result.objects if item.kind == kind)
        said = explain(dcmread(BytesIO(made.content)))
        return [line for line in said if line.startswith(("Result:", "CAUTION:"))]

    @property
    def cad_summary(self) -> str:
        """Code of the CAD processing and findings summary (CID 6047)."""
        (made,) = (item for item in self.result.objects if item.kind == "cad_sr")
        return next(
            str(item.ConceptCodeSequence[0].CodeValue)
            for item in dcmread(BytesIO(made.content)).ContentSequence
            if _name(item) == "111017"
        )

    @property
    def picture(self) -> str:
        """Every word of the summary capture."""
        sheet = summary_sheet(self.report)
        thumbnails = [thumbnail for row in sheet.hanging for thumbnail in row] + list(sheet.further)
        lines = [*sheet.above, *sheet.panel, *(line for t in thumbnails for line in (*t.inside, *t.caption))]
        return "\n".join(line.text for line in lines)


def _name(item: Dataset) -> str:
    return str(item.ConceptNameCodeSequence[0].CodeValue) if "ConceptNameCodeSequence" in item else ""


def answer(tools: Any, *instances: InstanceFile, models: Any = None) -> Answer:
    reports: list[StudyReport] = []

    def make(
        report: StudyReport, variants: frozenset[ResultVariant], *, profiles: Collection[frozenset[ResultVariant]]
    ) -> tuple[ResultObject, ...]:
        reports.append(report)
        return make_objects(report, variants, profiles=profiles)

    pipeline = MammographyPipeline(models=models or tools.FakeModels(), make_objects=make)
    result = pipeline.analyse(tools.study(*instances), tools.options())
    return Answer(result=result, report=reports[-1])


def without_rows(make_mammogram: Any) -> InstanceFile:
    made: InstanceFile = make_mammogram("L-MLO", Rows=None)
    return made


def without_columns(make_mammogram: Any) -> InstanceFile:
    made: InstanceFile = make_mammogram("L-MLO", Columns=0)
    return made


def damaged_after_receipt(make_mammogram: Any) -> InstanceFile:
    made: InstanceFile = make_mammogram("L-MLO")
    made.path.write_bytes(b"")
    return made


def raw_data(make_mammogram: Any) -> InstanceFile:
    made: InstanceFile = make_mammogram("L-MLO", Rows=None, SOPClassUID="1.2.840.10008.5.1.4.1.1.66")
    return made


DAMAGES = [without_rows, without_columns, damaged_after_receipt, raw_data]


@pytest.mark.parametrize("damage", DAMAGES, ids=lambda damage: damage.__name__)
def test_a_mammogram_that_holds_no_image_counts_against_all_succeeded(
    tools: Any, make_mammogram: Any, damage: Damage
) -> None:
    views = [make_mammogram(name) for name in ("L-CC", "R-CC", "R-MLO")]
    given = answer(tools, *views, damage(make_mammogram))
    assert given.cad_summary == "111243"  # not all succeeded; without findings
    for kind in ("cad_sr", "measurement_sr"):
        assert any("not everything was analysed" in line for line in given.lines(kind)), kind
    assert "3 of 4 images analysed" in given.picture
    assert "1 image NOT ANALYSED" in given.picture
    assert "no L MLO image in this study" not in given.picture
    (left,) = (breast for breast in given.result.breasts if breast.laterality == "L")
    assert left.reason is not None
    assert "no MLO view received" not in left.reason.text


def test_a_missing_view_is_still_called_missing_where_every_image_says_what_it_shows(
    tools: Any, make_mammogram: Any
) -> None:
    given = answer(tools, *(make_mammogram(name) for name in ("L-CC", "R-CC", "R-MLO")))
    assert given.cad_summary == "111241"
    assert "no L MLO image in this study" in given.picture
    assert [str(breast.reason) for breast in given.result.breasts if breast.reason] == ["no MLO view received"]


def test_the_patient_is_that_of_a_readable_instance(tools: Any, make_mammogram: Any) -> None:
    """A damaged mammogram is listed before a report that came with it, but tells nothing of the patient."""
    report = make_mammogram("L-CC", SOPClassUID="1.2.840.10008.5.1.4.1.1.88.22", Modality="SR", Rows=None)
    given = answer(tools, damaged_after_receipt(make_mammogram), report)
    for made in given.result.objects:
        assert dcmread(BytesIO(made.content)).PatientID == dcmread(report.path).PatientID


@pytest.mark.filterwarnings("ignore:Invalid value for VR UI")
@pytest.mark.parametrize("uid", [None, "", "not a uid", "1." * 40, ["1.2", "1.3"]], ids=str)
def test_a_mammogram_that_no_result_can_refer_to_is_not_analysed_and_says_so(
    tools: Any, make_mammogram: Any, uid: Any
) -> None:
    lesion = tools.breast_pixels("L", square=(30, 100, 54, 130))
    given = answer(tools, make_mammogram("L-CC", pixels=lesion, SeriesInstanceUID=uid), make_mammogram("L-MLO"))
    (first, _) = given.result.images
    assert (first.outcome, first.reason and first.reason.code) == ("not_analysed", "not_referable")
    assert given.cad_summary == "111243"
    assert any("not everything was analysed" in line for line in given.lines("cad_sr"))
    assert "1 of 2 images analysed" in given.picture
