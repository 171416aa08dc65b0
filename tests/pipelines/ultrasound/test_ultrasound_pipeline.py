"""From files to answers: lesions where they lie and as large as they are, and a reason for all that is not analysed."""

from __future__ import annotations

import itertools
from collections.abc import Collection
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom import Dataset, dcmread

from models.errors import DeviceOutOfMemory, ModelError, WeightsMismatch, WeightsMissing
from pipelines import reasons
from pipelines.contract import Lesion, PipelineResult, Reason
from pipelines.ultrasound.lesions import lay_activation
from pipelines.ultrasound.pipeline import UltrasoundPipeline
from sr_templates.contract import ResultObject, ResultVariant, StudyReport, plain_variants
from tests.factories import small_dose_sr
from tests.pipelines.ultrasound.screens import PICTURE, region, screen, speckle, with_flow, write
from tests.pipelines.ultrasound.stand_ins import (
    DarkSegmenter,
    KnownClassifier,
    KnownModels,
    a_study,
    no_weights,
    received,
    some_options,
    with_disc,
)

TISSUE = (100, 40, 530, 440)
AT_PX, RADIUS_PX = (300.0, 250.0), 40.0


class Recorder:
    """An object maker that keeps the report it was given."""

    def __init__(self) -> None:
        self.reports: list[StudyReport] = []
        self.variants: list[frozenset[ResultVariant]] = []

    def __call__(
        self,
        report: StudyReport,
        variants: frozenset[ResultVariant],
        *,
        profiles: Collection[frozenset[ResultVariant]],
    ) -> tuple[ResultObject, ...]:
        self.reports.append(report)
        self.variants.append(variants)
        return ()


def analysed(*paths: Path, models: Any = None, recorder: Recorder | None = None, **options: Any) -> PipelineResult:
    pipeline = UltrasoundPipeline(models=models or KnownModels(), make_objects=recorder or Recorder())
    return pipeline.analyse(a_study(*paths), some_options(**options))


def only_lesion(result: PipelineResult) -> Lesion:
    ((lesion,),) = [image.lesions for image in result.images]
    return lesion


def disc(tmp_path: Path, *, delta_cm: tuple[float, float] = (0.01, 0.01), **elements: Any) -> Path:
    return write(tmp_path / "us.dcm", with_disc(), regions=[region(TISSUE, delta_cm=delta_cm)], **elements)


@pytest.mark.parametrize("delta_cm", [(0.01, 0.01), (0.02, 0.01), (0.008, 0.025), (-0.01, 0.01)])
def test_a_disc_is_measured_by_the_region_calibration(tmp_path: Path, delta_cm: tuple[float, float]) -> None:
    lesion = only_lesion(analysed(disc(tmp_path, delta_cm=delta_cm, PixelSpacing=[3, 3])))
    across_mm, down_mm = (20 * RADIUS_PX * abs(delta) for delta in delta_cm)
    assert lesion.long_axis_mm == pytest.approx(max(across_mm, down_mm), rel=0.02)
    assert lesion.short_axis_mm == pytest.approx(min(across_mm, down_mm), rel=0.02)
    assert lesion.area_mm2 == pytest.approx(np.pi / 4 * across_mm * down_mm, rel=0.01)


def test_the_outline_lies_on_the_disc_in_the_stored_frame(tmp_path: Path) -> None:
    lesion = only_lesion(analysed(disc(tmp_path)))
    x, y = np.transpose(lesion.polygon_px)
    assert np.hypot(x - AT_PX[0], y - AT_PX[1]) == pytest.approx(RADIUS_PX, abs=1.5)
    assert lesion.box_px == pytest.approx((260, 210, 340, 290), abs=1)
    assert (lesion.frame, lesion.score, lesion.malignancy, lesion.label) == (1, 0.875, 0.75, "malignant")


def test_without_calibration_there_is_an_outline_and_no_size(tmp_path: Path) -> None:
    path = write(tmp_path / "us.dcm", with_disc(), regions=None, PixelSpacing=[0.1, 0.1])
    recorder = Recorder()
    lesion = only_lesion(analysed(path, recorder=recorder))
    assert (lesion.long_axis_mm, lesion.short_axis_mm, lesion.area_mm2) == (None, None, None)
    assert len(lesion.polygon_px) > 8
    assert recorder.reports[0].images[0].display_spacing_mm is None


def test_the_report_tells_what_was_found_where_by_whom(tmp_path: Path) -> None:
    recorder = Recorder()
    result = analysed(disc(tmp_path, ImageLaterality="R", Laterality=None), recorder=recorder)
    (report,) = recorder.reports
    (image,) = report.images
    (finding,) = image.findings
    (lesion,) = result.images[0].lesions
    assert (report.target, report.pipeline, report.outcome) == ("lesion", "ultrasound", "analysed")
    assert (image.laterality, image.view, image.reason, image.malignancy) == ("R", None, "", 0.75)
    assert (finding.polygon_px, finding.box_px) == (lesion.polygon_px, lesion.box_px)
    assert (finding.algorithm, finding.classifier, finding.frame_number) == ("us-segmentation", "us-malignancy", None)
    assert (image.display_frame, image.display_spacing_mm) == (None, pytest.approx((0.1, 0.1)))
    assert image.display is not None and image.display.shape == (480, 640)
    assert [(a.name, a.status, a.task) for a in report.algorithms] == [
        ("us-segmentation", "succeeded", "detection"),
        ("us-malignancy", "succeeded", "classification"),
        ("us-her2", "not_attempted", "classification"),
    ]
    assert report.algorithms[2].reason == "not attempted: no weights installed (us-her2)"
    assert [model.name for model in result.models] == ["us-segmentation", "us-malignancy", "us-her2"]
    assert result.models_s > 0


def test_the_classifier_looks_at_the_box_in_the_picture_and_its_map_comes_back_to_the_frame(tmp_path: Path) -> None:
    recorder, models = Recorder(), KnownModels()
    analysed(disc(tmp_path), models=models, recorder=recorder)
    (box,) = models.malignancy.boxes_px
    assert box == pytest.approx((260 - PICTURE[0], 210 - PICTURE[1], 340 - PICTURE[0], 290 - PICTURE[1]), abs=4)
    heat = recorder.reports[0].images[0].activation
    assert heat is not None
    assert heat.shape == (480, 640)
    rows, columns = np.nonzero(heat > 0.5)
    # The lower right quarter of the box with a fifth of it around.
    assert (columns.min(), rows.min(), columns.max(), rows.max()) == pytest.approx((300, 250, 355, 305), abs=4)
    assert heat.max() == pytest.approx(np.tanh(2.0), abs=1e-3)


def test_a_frame_without_a_disc_is_an_image_without_a_lesion(tmp_path: Path) -> None:
    path = write(tmp_path / "us.dcm", screen(), regions=[region(TISSUE)])
    recorder = Recorder()
    result = analysed(path, recorder=recorder)
    (image,) = result.images
    assert (image.outcome, image.reason, image.lesions, image.malignancy) == ("analysed", None, (), 0.0)
    assert recorder.reports[0].images[0].activation is None
    assert recorder.reports[0].images[0].display is not None


@pytest.mark.parametrize(("probability", "label"), [(0.49, "benign"), (0.5, "malignant")])
def test_the_operating_point_decides_the_label(tmp_path: Path, probability: float, label: str) -> None:
    models = KnownModels(malignancy=KnownClassifier(probability=probability))
    assert only_lesion(analysed(disc(tmp_path), models=models)).label == label


@pytest.mark.parametrize(("probability", "her2"), [(0.9, 0.625), (0.1, None)])
def test_her2_is_asked_of_malignant_lesions_where_a_site_has_weights(
    tmp_path: Path, probability: float, her2: float | None
) -> None:
    models = KnownModels(
        malignancy=KnownClassifier(probability=probability), her2=KnownClassifier(name="us-her2", probability=0.625)
    )
    recorder = Recorder()
    assert only_lesion(analysed(disc(tmp_path), models=models, recorder=recorder)).her2 == her2
    assert recorder.reports[0].images[0].findings[0].her2 == her2
    assert recorder.reports[0].algorithms[2].status == "succeeded"


def test_without_the_classifier_lesions_are_outlined_and_not_classified(tmp_path: Path) -> None:
    recorder = Recorder()
    result = analysed(disc(tmp_path), models=KnownModels(malignancy=WeightsMissing("x")), recorder=recorder)
    lesion = only_lesion(result)
    assert (lesion.malignancy, lesion.label, result.images[0].malignancy) == (None, None, None)
    assert lesion.long_axis_mm is not None
    assert (result.outcome, recorder.reports[0].algorithms[1].status) == ("analysed", "not_attempted")
    assert recorder.reports[0].images[0].activation is None


def test_without_weights_nothing_is_attempted_and_the_pictures_still_go_back(tmp_path: Path) -> None:
    recorder = Recorder()
    result = analysed(disc(tmp_path), models=no_weights(), recorder=recorder)
    text = "not attempted: no weights installed (us-segmentation)"
    assert (result.outcome, result.reason) == ("not_analysed", Reason(code="no_weights", text=text))
    assert (result.images[0].outcome, result.images[0].reason) == ("not_analysed", result.reason)
    assert recorder.reports[0].images[0].display is not None
    assert [(a.status, a.weights_sha256) for a in recorder.reports[0].algorithms] == [("not_attempted", None)] * 3


def test_weights_that_are_not_the_right_ones_are_not_used(tmp_path: Path) -> None:
    result = analysed(disc(tmp_path), models=KnownModels(segmenter=WeightsMismatch("x")))
    assert result.images[0].reason == reasons.weights_mismatch("us-segmentation")


def test_a_score_of_the_run_takes_the_place_of_the_networks_own(tmp_path: Path) -> None:
    result = analysed(disc(tmp_path), min_score=0.9)
    assert result.images[0].lesions == ()
    assert result.models[0].operating_point["lesion_threshold"] == 0.9


def cine(tmp_path: Path, *, discs: Collection[int] = (2, 3), frames: int = 4) -> Path:
    """Frames of different speckle, counted from 1; that of the last disc is the largest."""
    stack = [screen(seed=number) for number in range(1, frames + 1)]
    for number in discs:
        stack[number - 1] = with_disc(stack[number - 1], radius_px=30 + 5 * number)
    return write(tmp_path / "cine.dcm", np.stack(stack), multi_frame=True, regions=[region(TISSUE)])


def test_lesions_of_a_cine_stand_on_their_frames(tmp_path: Path) -> None:
    recorder = Recorder()
    result = analysed(cine(tmp_path), recorder=recorder)
    (image,) = result.images
    assert [lesion.frame for lesion in image.lesions] == [2, 3]
    assert [lesion.long_axis_mm for lesion in image.lesions] == pytest.approx([8.0, 9.0], rel=0.02)
    assert image.reason is None
    (reported,) = recorder.reports[0].images
    assert [finding.frame_number for finding in reported.findings] == [2, 3]
    assert reported.display_frame == 2  # the first of the two, which are equally grave
    assert reported.display is not None
    assert reported.display[250, 300] == 6


def test_a_cine_without_a_lesion_shows_its_first_frame(tmp_path: Path) -> None:
    recorder = Recorder()
    analysed(cine(tmp_path, discs=()), recorder=recorder)
    assert recorder.reports[0].images[0].display_frame == 1


def test_what_of_a_long_cine_was_not_looked_at_is_told(tmp_path: Path) -> None:
    (image,) = analysed(cine(tmp_path, discs=(1,), frames=14)).images
    assert image.outcome == "analysed"
    assert image.reason == Reason(code="part_not_analysed", text="12 of 14 frames were looked at")


def test_a_region_of_another_mode_is_told_beside_what_was_analysed(tmp_path: Path) -> None:
    regions = [region(TISSUE), region((0, 442, 640, 480), data_type=3, spatial_format=3)]
    path = write(tmp_path / "us.dcm", with_disc(), regions=regions)
    (image,) = analysed(path).images
    assert len(image.lesions) == 1
    assert image.reason is not None
    assert image.reason.text == "a region not analysed: spectral Doppler, which is a curve over time and no picture"


@pytest.mark.parametrize(
    ("elements", "code"),
    [
        ({"regions": [region(TISSUE, data_type=2)]}, "colour_flow"),
        ({"regions": [region(TISSUE, data_type=1, spatial_format=2)]}, "m_mode"),
        ({"ImageType": ["ORIGINAL", "PRIMARY", "ELASTOGRAPHY"]}, "elastography"),
        ({"ImageType": ["ORIGINAL", "PRIMARY", "ABDOMINAL"], "BodyPartExamined": "LIVER"}, "not_breast"),
        ({"SOPClassUID": "1.2.840.10008.5.1.4.1.1.6.2"}, "ultrasound_volume"),
        ({"SOPInstanceUID": "1..2"}, "not_referable"),
    ],
)
def test_what_is_not_analysed_says_why(tmp_path: Path, elements: dict[str, Any], code: str) -> None:
    path = write(tmp_path / "us.dcm", screen(), **{"regions": [region(TISSUE)], **elements})
    models, recorder = KnownModels(), Recorder()
    result = analysed(path, models=models, recorder=recorder)
    (image,) = result.images
    assert (image.outcome, image.reason and image.reason.code) == ("not_analysed", code)
    assert result.reason == image.reason
    assert models.segmenter.seen == []
    assert len(recorder.reports[0].images) == 1


def test_two_pictures_of_one_frame_are_one_picture_with_both_lesions(tmp_path: Path) -> None:
    halves = [(20, 60, 300, 420), (340, 60, 620, 420)]
    grey = np.zeros((480, 640), dtype=np.uint8)
    for number, (x0, y0, x1, y1) in enumerate(halves):
        grey[y0:y1, x0:x1] = speckle(y1 - y0, x1 - x0, seed=number)
        grey = with_disc(grey, ((x0 + x1) / 2, 240.0), 30.0)
    scales = [(0.01, 0.01), (0.02, 0.02)]
    regions = [region(box, delta_cm=delta_cm) for box, delta_cm in zip(halves, scales, strict=True)]
    recorder = Recorder()
    result = analysed(write(tmp_path / "us.dcm", grey, regions=regions), recorder=recorder)
    left, right = result.images[0].lesions
    assert (left.box_px[0], right.box_px[0]) == pytest.approx((130, 450), abs=1)
    assert (left.long_axis_mm, right.long_axis_mm) == pytest.approx((6.0, 12.0), rel=0.03)
    (image,) = recorder.reports[0].images
    assert image.display_spacing_mm is None  # no bar of millimetres fits both
    assert image.activation is not None
    assert image.activation[250, 170] > 0.5 and image.activation[250, 490] > 0.5


def test_colour_in_the_pixels_is_seen_whatever_the_header_says(tmp_path: Path) -> None:
    path = write(tmp_path / "us.dcm", with_flow(screen()), regions=[region(TISSUE)])
    (image,) = analysed(path).images
    assert image.reason is not None
    assert image.reason.code == "colour_in_picture"


@pytest.mark.parametrize(
    ("error", "code"),
    [(DeviceOutOfMemory("x"), "out_of_memory"), (MemoryError(), "out_of_memory"), (ModelError("x"), "analysis_failed")],
)
def test_one_failure_does_not_stop_the_study(tmp_path: Path, error: Exception, code: str) -> None:
    paths = [
        write(tmp_path / f"{number}.dcm", with_disc(), regions=[region(TISSUE)], number=number) for number in (1, 2)
    ]
    recorder = Recorder()
    models = KnownModels(segmenter=DarkSegmenter(raises=(error,)))
    result = analysed(*paths, models=models, recorder=recorder)
    assert sorted(image.outcome for image in result.images) == ["analysed", "failed"]
    assert all(image.display is not None for image in recorder.reports[0].images)
    (why,) = [image.reason.code for image in result.images if image.reason]
    assert (why, result.outcome, recorder.reports[0].algorithms[0].status) == (code, "analysed", "partially_succeeded")


def test_a_fault_of_the_program_is_not_hidden(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError):
        analysed(disc(tmp_path), models=KnownModels(segmenter=DarkSegmenter(raises=[ZeroDivisionError()])))


def test_files_without_pixels_or_with_broken_ones_are_answered(tmp_path: Path) -> None:
    whole = write(tmp_path / "1.dcm", with_disc(), regions=[region(TISSUE)], number=1)
    empty = write(
        tmp_path / "2.dcm",
        with_disc(),
        regions=[region(TISSUE)],
        number=2,
        edit=lambda dataset: dataset.pop("PixelData"),
    )
    cut = write(tmp_path / "3.dcm", with_disc(), regions=[region(TISSUE)], number=3)
    cut.write_bytes(cut.read_bytes()[:-5000])
    damaged = write(tmp_path / "4.dcm", with_disc(), regions=[region(TISSUE)], number=4)
    study = a_study(whole, empty, cut, damaged)
    damaged.write_bytes(b"nothing")
    recorder = Recorder()
    result = UltrasoundPipeline(models=KnownModels(), make_objects=recorder).analyse(study, some_options())
    told = {image.sop_instance_uid: image.reason.code if image.reason else image.outcome for image in result.images}
    assert [told[item.sop_instance_uid] for item in study.instances] == [
        "analysed",
        "no_pixels",
        "undecodable_pixels",
        "unreadable",
    ]
    assert len(recorder.reports[0].images) == 4  # what cannot be read was meant to be looked at


def test_what_no_pipeline_takes_is_told_as_every_pipeline_tells_it(tmp_path: Path) -> None:
    small_dose_sr(tmp_path / "dose.dcm")
    routing = Reason(code="structured_report", text="structured report: it holds no image")
    study = a_study(disc(tmp_path), not_routed=[(received(tmp_path / "dose.dcm"), routing)])
    recorder = Recorder()
    result = UltrasoundPipeline(models=KnownModels(), make_objects=recorder).analyse(study, some_options())
    assert [image.reason and image.reason.code for image in result.images] == [None, "dose_report"]
    assert len(recorder.reports[0].other_instances) == 1


def test_a_study_that_could_not_be_finished_is_answered_from_headers(tmp_path: Path) -> None:
    why = Reason(code="time_limit", text="the analysis took longer than its time limit")
    doppler = write(tmp_path / "d.dcm", screen(), number=2, ImageType=["ORIGINAL", "PRIMARY", "", "0010"], regions=None)
    models, recorder = KnownModels(), Recorder()
    pipeline = UltrasoundPipeline(models=models, make_objects=recorder)
    result = pipeline.report_failure(a_study(disc(tmp_path), doppler), some_options(), why)
    assert (result.outcome, result.reason) == ("failed", why)
    assert sorted((image.outcome, image.reason.code) for image in result.images if image.reason) == [
        ("failed", "time_limit"),
        ("not_analysed", "colour_flow"),
    ]
    assert models.segmenter.seen == []
    assert {(a.status, a.reason) for a in recorder.reports[0].algorithms} == {("failed", why.text)}
    assert recorder.reports[0].target == "lesion"


def test_an_empty_study_is_answered() -> None:
    assert analysed().reason == reasons.NO_INSTANCES


def test_the_order_of_arrival_changes_nothing(tmp_path: Path) -> None:
    paths = [
        write(tmp_path / f"{number}.dcm", screen(seed=number), regions=[region(TISSUE)], number=number)
        for number in (1, 2, 3)
    ]
    orders = [[image.sop_instance_uid for image in analysed(*order).images] for order in itertools.permutations(paths)]
    assert all(order == orders[0] for order in orders)


def test_pictures_are_kept_only_where_they_are_wanted(tmp_path: Path) -> None:
    for wanted, has_display, has_heat in ((("measurement_sr",), False, False), (("summary",), True, False)):
        recorder = Recorder()
        analysed(disc(tmp_path), recorder=recorder, results=plain_variants(*wanted))
        (image,) = recorder.reports[0].images
        assert (image.display is not None, image.activation is not None) == (has_display, has_heat)
        assert len(image.findings) == 1


def test_no_report_of_mammography_cad_is_made(tmp_path: Path) -> None:
    recorder = Recorder()
    analysed(disc(tmp_path), recorder=recorder)
    assert {variant.kind for variant in recorder.variants[0]} == {"measurement_sr", "heatmap", "summary"}
    wanted = plain_variants("cad_sr")
    result = UltrasoundPipeline(models=KnownModels()).analyse(a_study(disc(tmp_path)), some_options(results=wanted))
    assert [made.kind for made in result.objects] == ["summary"]  # the destination is not left in silence
    assert result.objects[0].is_for(wanted)


def test_warming_up_runs_what_is_installed() -> None:
    models = KnownModels()
    UltrasoundPipeline(models=models).warm_up(some_options())
    assert models.segmenter.warm and models.malignancy.warm


def test_the_measurement_report_holds_outline_frame_and_size(tmp_path: Path) -> None:
    result = UltrasoundPipeline(models=KnownModels()).analyse(
        a_study(cine(tmp_path, discs=(3,))), some_options(results=plain_variants("measurement_sr"))
    )
    (lesion,) = result.images[0].lesions
    (made,) = result.objects
    report = dcmread(BytesIO(made.content))
    (group,) = [item for item in walk(report) if concept(item) == "125007"]
    values = {
        concept(item): (float(item.MeasuredValueSequence[0].NumericValue), unit(item))
        for item in group.ContentSequence
        if item.ValueType == "NUM"
    }
    assert values["103339001"] == (pytest.approx(lesion.long_axis_mm, rel=1e-5), "mm")
    assert values["103340004"] == (pytest.approx(lesion.short_axis_mm, rel=1e-5), "mm")
    assert values["42798000"] == (pytest.approx(lesion.area_mm2, rel=1e-5), "mm2")
    assert values["111047"] == (75.0, "%")
    (outline,) = [item for item in group.ContentSequence if item.ValueType == "SCOORD"]
    assert outline.GraphicType == "POLYLINE"
    points = np.reshape(outline.GraphicData, (-1, 2))
    assert points[:-1] == pytest.approx(np.array(lesion.polygon_px), abs=1e-3)
    assert (points[0] == points[-1]).all()
    reference = outline.ContentSequence[0].ReferencedSOPSequence[0]
    assert (reference.ReferencedSOPInstanceUID, reference.ReferencedFrameNumber) == (
        result.images[0].sop_instance_uid,
        3,
    )


def test_an_activation_beyond_the_edge_is_cut_and_the_higher_one_stays() -> None:
    heat = np.zeros((40, 60), dtype=np.float32)
    lay_activation(heat, np.full((4, 4), 1.0, dtype=np.float32), (-10.0, -10.0, 10.0, 10.0))
    lay_activation(heat, np.full((4, 4), 3.0, dtype=np.float32), (5.0, 5.0, 70.0, 20.0))
    lay_activation(heat, np.full((4, 4), 9.0, dtype=np.float32), (100.0, 5.0, 120.0, 20.0))
    assert heat[0, 0] == pytest.approx(np.tanh(0.5))
    assert heat[7, 7] == heat[7, 59] == pytest.approx(np.tanh(1.5))
    assert heat[30, 30] == 0


def test_a_cell_that_speaks_for_benign_shows_no_heat() -> None:
    heat = np.zeros((8, 8), dtype=np.float32)
    lay_activation(heat, np.full((2, 2), -5.0, dtype=np.float32), (0.0, 0.0, 8.0, 8.0))
    assert not heat.any()


def concept(item: Dataset) -> str:
    names = item.get("ConceptNameCodeSequence")
    return str(names[0].CodeValue) if names else ""


def unit(item: Dataset) -> str:
    return str(item.MeasuredValueSequence[0].MeasurementUnitsCodeSequence[0].CodeValue)


def walk(item: Dataset) -> list[Dataset]:
    return [item, *(below for child in item.get("ContentSequence", ()) for below in walk(child))]
