"""Images of a manifest, run as analysis runs them: what is found stands where the truth stands."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import ndimage

from models.contract import ClassificationOutput, Detection, DetectionOutput, Label, ModelIdentity, ModelImage
from models.evaluation.contract import EvaluatedImage, Prediction
from models.training.contract import TrainingImage, TruthBox
from pipelines import evaluation
from pipelines.datasets.images import load_image
from pipelines.datasets.manifest import ManifestImage
from pipelines.evaluation import LOWEST_SCORE, Case, judge_breasts, manifest_cases, planted_cases, run
from tests.datasets.builders import breast_pixels, entry, lesion, write_png
from tests.factories import small_mammogram
from tests.training.builders import tissue_image

IDENTITY = ModelIdentity(name="bright", version="0", weights_sha256=None, operating_point={"score_threshold": 0.5})
PLACE = (40, 30, 48, 36)
"""A white box in the stored image."""


@dataclass
class BrightDetector:
    """Finds what is white: a box around each group of pixels above 0.9."""

    canonical_spacing_mm: float | None = 0.1
    seen: list[ModelImage] = field(default_factory=list)
    asked: list[tuple[float | None, bool]] = field(default_factory=list)
    identity: ModelIdentity = IDENTITY
    device: str = "cpu"

    def predict(
        self, image: ModelImage, *, min_score: float | None = None, with_activation: bool = True
    ) -> DetectionOutput:
        self.seen.append(image)
        self.asked.append((min_score, with_activation))
        groups, _ = ndimage.label(image.pixels > 0.9)
        found = tuple(
            Detection(
                box_px=(columns.start, rows.start, columns.stop, rows.stop),
                label="malignant",
                score=0.9,
                malignancy=0.7,
            )
            for rows, columns in ndimage.find_objects(groups)
        )
        return DetectionOutput(detections=found, activation=None, device="cpu")


@dataclass
class Opinion:
    """A classifier that tells how bright the image is."""

    canonical_spacing_mm: float | None = 0.2
    seen: list[ModelImage] = field(default_factory=list)

    def predict(self, image: ModelImage) -> ClassificationOutput:
        self.seen.append(image)
        return ClassificationOutput(malignancy=float(image.pixels.max()), device="cpu")


def read(case: Case) -> TrainingImage:
    image = case.read()
    assert image is not None
    return image


def plain(items: Iterable[Case], _count: int, _doing: str) -> Iterable[Case]:
    return items


def evaluated(
    cases: Sequence[Case], detector: Any = None, classifier: Any = None
) -> tuple[tuple[EvaluatedImage, ...], Any]:
    detector = BrightDetector() if detector is None else detector
    return run(cases, detector, classifier, plain), detector


def white_png(path: Path, place: tuple[int, int, int, int] = PLACE) -> Path:
    pixels = breast_pixels()
    x0, y0, x1, y1 = place
    pixels[y0:y1, x0:x1] = 255
    return write_png(path, pixels)


def white_dicom(path: Path, *, laterality: str = "L", view: str = "CC") -> Path:
    pixels = np.zeros((160, 140), dtype=np.uint16)
    pixels[:, 40:] = 1600
    pixels[60:72, 80:96] = 4095
    small_mammogram(path, laterality=laterality, view=view, rows=160, columns=140, pixels=pixels)
    return path


@pytest.mark.parametrize("canonical_spacing_mm", [0.1, 0.2, 0.13, None])
def test_a_lesion_in_a_png_is_found_at_its_place_in_the_cropped_image(
    tmp_path: Path, canonical_spacing_mm: float | None
) -> None:
    found_in = entry(white_png(tmp_path / "a.png"), lesions=(lesion(*PLACE),))
    (image,), detector = evaluated(manifest_cases([found_in]), BrightDetector(canonical_spacing_mm))
    assert detector.seen[0].pixels.shape[1] == round(40 * 0.2 / (canonical_spacing_mm or 0.2))  # 24 columns are air
    assert image.truths == (lesion(16, 30, 24, 36),)
    assert [one.box_px for one in image.predictions] == [pytest.approx((16, 30, 24, 36), abs=1.0)]
    assert (image.predictions[0].score, image.predictions[0].malignancy) == (0.9, 0.7)
    assert image.image_malignancy == pytest.approx(0.7)


def test_a_lesion_in_a_dicom_image_is_found_at_its_place(tmp_path: Path) -> None:
    found_in = entry(
        white_dicom(tmp_path / "a.dcm"), medium="digital", spacing_mm=None, lesions=(lesion(80, 60, 96, 72, "benign"),)
    )
    (image,), detector = evaluated(manifest_cases([found_in]))
    assert image.spacing_mm == pytest.approx(0.07)
    assert detector.seen[0].pixels.shape == (112, 70)
    assert detector.seen[0].spacing_mm == pytest.approx((0.1, 0.1))
    assert image.truths == (lesion(40, 60, 56, 72, "benign"),)
    assert [one.box_px for one in image.predictions] == [pytest.approx((40, 60, 56, 72), abs=1.0)]


def test_the_detector_is_asked_for_low_scores_and_no_heatmap(tmp_path: Path) -> None:
    _, detector = evaluated(manifest_cases([entry(white_png(tmp_path / "a.png"))]))
    assert detector.asked == [(LOWEST_SCORE, False)]


def test_a_box_that_reaches_over_the_edge_is_cut_there(tmp_path: Path) -> None:
    class Beyond(BrightDetector):
        def predict(self, image: ModelImage, **_: object) -> DetectionOutput:
            rows, columns = image.pixels.shape
            box = (-30.0, -5.0, columns + 30.0, rows + 5.0)
            found = (Detection(box_px=box, label="benign", score=0.5, malignancy=0.1),)
            return DetectionOutput(detections=found, activation=None, device="cpu")

    (image,), _ = evaluated(manifest_cases([entry(white_png(tmp_path / "a.png"))]), Beyond())
    assert image.predictions[0].box_px == (0.0, 0.0, 40.0, 96.0)


def test_an_image_says_what_is_needed_to_judge_it(tmp_path: Path) -> None:
    path = white_png(tmp_path / "name of somebody.png")
    opinion = Opinion()
    (image,), _ = evaluated(manifest_cases([entry(path, patient="p7", laterality="R", view="MLO")]), classifier=opinion)
    assert (image.patient, image.laterality, image.view, image.spacing_mm) == ("p7", "R", "MLO", 0.2)
    assert "somebody" not in image.name
    assert image.second_opinion == pytest.approx(1.0)
    assert opinion.seen[0].pixels.shape == (96, 40)
    assert image.area_cm2 == pytest.approx(96 * 40 * 0.02**2)
    (without,), _ = evaluated(manifest_cases([entry(path)]))
    assert without.second_opinion is None


def test_images_are_read_when_their_turn_comes(tmp_path: Path) -> None:
    paths = [white_png(tmp_path / f"{number}.png") for number in range(2)]
    cases = manifest_cases([entry(path) for path in paths])
    paths[1].unlink()
    assert read(cases[0]).pixels.shape == (96, 40)
    assert len({case.read for case in cases}) == 2


def prediction(score: float, malignancy: float, label: Label = "malignant") -> Prediction:
    return Prediction(box_px=(10.0, 10.0, 20.0, 20.0), label=label, score=score, malignancy=malignancy)


def view_of_breast(
    name: str, view: str | None, *found: Prediction, truth: tuple[TruthBox, ...] = (), **changed: Any
) -> EvaluatedImage:
    values: dict[str, Any] = {
        "name": name,
        "patient": "p1",
        "laterality": "L",
        "view": view,
        "spacing_mm": 0.1,
        "truths": truth,
        "predictions": found,
        "image_malignancy": 0.0,
        "second_opinion": None,
        "area_cm2": None,
    }
    return EvaluatedImage(**(values | changed))


def test_a_breast_is_judged_from_both_its_views() -> None:
    cc = view_of_breast("cc", "CC", prediction(0.9, 0.8), truth=(lesion(1, 1, 9, 9, "benign"),))
    mlo = view_of_breast("mlo", "MLO", prediction(0.8, 0.6), truth=(lesion(1, 1, 9, 9),))
    (breast,) = judge_breasts([cc, mlo], 0.5)
    assert (breast.patient, breast.laterality) == ("p1", "L")
    assert breast.truth == "malignant"
    assert breast.status == "malignant"
    assert breast.probability == pytest.approx(0.8)


def test_a_breast_is_ranked_by_the_view_that_the_rule_selects() -> None:
    """The views disagree and the malignant one is not sure: the benign one decides, and ranks the breast."""
    cc = view_of_breast("cc", "CC", prediction(0.9, 0.45))
    mlo = view_of_breast("mlo", "MLO", prediction(0.9, 0.1, "benign"))
    (breast,) = judge_breasts([cc, mlo], 0.5)
    assert (breast.status, breast.probability) == ("benign", pytest.approx(0.1))


def test_breasts_without_a_box_are_ranked_by_what_lies_below_the_operating_point() -> None:
    views = [view_of_breast(name, "CC", patient=name, image_malignancy=p) for name, p in (("a", 0.2), ("b", 0.1))]
    assert [breast.probability for breast in judge_breasts(views, 0.5)] == [0.2, 0.1]


@pytest.mark.parametrize(
    ("opinions", "status", "probability"),
    [((0.8, 0.6), "malignant", 0.8), ((0.8, 0.1), "malignant", 0.8), ((0.3, 0.1), "benign", 0.1)],
)
def test_second_opinions_are_joined_by_the_same_rule(
    opinions: tuple[float, float], status: str, probability: float
) -> None:
    views = [view_of_breast(view, view, second_opinion=p) for view, p in zip(("CC", "MLO"), opinions, strict=True)]
    (breast,) = judge_breasts(views, 0.5)
    assert (breast.second_status, breast.second_probability) == (status, pytest.approx(probability))
    (without,) = judge_breasts([views[0], view_of_breast("MLO", "MLO")], 0.5)
    assert (without.second_status, without.second_probability) == (None, None)


def test_only_an_image_that_is_vouched_for_is_normal(tmp_path: Path) -> None:
    path = white_png(tmp_path / "a.png")
    entries = [entry(path, plantable=True), entry(path), entry(path, lesions=(lesion(*PLACE),))]
    images, _ = evaluated(manifest_cases(entries))
    assert [image.normal for image in images] == [True, False, False]


def test_findings_below_the_operating_point_do_not_count() -> None:
    cc, mlo = (view_of_breast(view, view, prediction(0.49, 0.4)) for view in ("CC", "MLO"))
    (breast,) = judge_breasts([cc, mlo], 0.5)
    assert (breast.status, breast.probability, breast.truth) == ("no_calcification", 0.0, None)


def test_each_breast_of_each_patient_is_judged_and_images_without_side_or_view_are_not() -> None:
    images = [
        view_of_breast("a", "CC", prediction(0.9, 0.1, "benign"), truth=(lesion(1, 1, 9, 9, "benign"),)),
        view_of_breast("b", "CC", laterality="R"),
        view_of_breast("c", "CC", patient="p2"),
        view_of_breast("d", None, prediction(0.9, 0.9), patient="p3"),
        view_of_breast("e", "CC", prediction(0.9, 0.9), patient="p3", laterality=None),
    ]
    breasts = judge_breasts(images, 0.5)
    assert [(one.patient, one.laterality) for one in breasts] == [("p1", "L"), ("p1", "R"), ("p2", "L")]
    assert [one.truth for one in breasts] == ["benign", None, None]


def normals(tmp_path: Path) -> list[ManifestImage]:
    """Two views of each breast of three patients, and one image that nothing may be planted in."""
    entries = []
    for number in range(6):
        rng = np.random.default_rng(number)
        pixels = np.zeros((240, 200), dtype=np.uint16)
        pixels[:, 40:] = np.clip(rng.normal(100, 2, size=(240, 160)), 1, 255).astype(np.uint16)
        for view in ("CC", "MLO"):
            pixels[0, 40] = 90 + (view == "CC")
            path = write_png(tmp_path / f"{number}-{view}.png", pixels)
            entries.append(
                entry(
                    path,
                    patient=f"p{number // 2}",
                    laterality="LR"[number % 2],
                    view=view,
                    plantable=True,
                    spacing_mm=0.1,
                )
            )
    return [*entries, entry(entries[0].path, patient="p9")]


def test_of_a_pair_the_normal_has_no_truth_and_the_planted_one_has(tmp_path: Path) -> None:
    cases = planted_cases(normals(tmp_path), seed=5)
    assert len(cases) == 36
    assert [case.exam for case in cases[:3]] == ["", "distractors", "planted"]
    images = [read(case) for case in cases]
    for normal, distracted, planted in zip(images[::3], images[1::3], images[2::3], strict=True):
        assert not normal.lesions and not distracted.lesions and planted.lesions
        assert distracted.patient == normal.patient and distracted.name not in (normal.name, planted.name)
        assert not np.array_equal(planted.pixels, distracted.pixels)
        assert planted.patient == normal.patient and planted.name != normal.name
        assert planted.pixels.shape == normal.pixels.shape
        assert not np.array_equal(planted.pixels, normal.pixels)


def test_all_lesions_of_a_breast_are_of_one_class_and_breasts_of_both(tmp_path: Path) -> None:
    cases = planted_cases(normals(tmp_path), seed=5)
    of_breast: dict[tuple[str, str | None], set[str]] = {}
    for case in cases[2::3]:
        image = read(case)
        of_breast.setdefault((image.patient, case.laterality), set()).update(one.label for one in image.lesions)
    assert len(of_breast) == 6
    assert all(len(labels) == 1 for labels in of_breast.values())
    assert {label for labels in of_breast.values() for label in labels} == {"benign", "malignant"}


def test_the_same_seed_plants_the_same_and_another_one_something_else(tmp_path: Path) -> None:
    def planted(seed: int) -> TrainingImage:
        return read(planted_cases(normals(tmp_path)[:1], seed)[2])

    assert planted(5).lesions == planted(5).lesions
    assert np.array_equal(planted(5).pixels, planted(5).pixels)
    assert planted(6).lesions != planted(5).lesions


def test_the_normal_of_a_pair_is_the_image_as_it_is(tmp_path: Path) -> None:
    first = normals(tmp_path)[0]
    case, _, _ = planted_cases([first], seed=5)
    assert np.array_equal(read(case).pixels, load_image(first).pixels)
    assert (case.laterality, case.view) == ("L", "CC")


def test_phantoms_come_in_pairs_too() -> None:
    cases = planted_cases([], seed=5, phantoms=3)
    assert [(case.laterality, case.view) for case in cases[::3]] == [("L", "CC"), ("R", "CC"), ("L", "MLO")]
    normal, planted = read(cases[3]), read(cases[5])
    assert not normal.lesions and planted.lesions
    assert normal.name != read(cases[0]).name


def test_a_patient_with_and_without_lesions_planted_stays_one_patient_with_three_examinations(tmp_path: Path) -> None:
    images, _ = evaluated(planted_cases(normals(tmp_path)[:2], seed=5))
    assert {image.patient for image in images} == {"p0"}
    breasts = judge_breasts(images, 0.5)
    assert [breast.patient for breast in breasts] == ["p0"] * 3
    assert [breast.truth is None for breast in breasts] == [True, True, False]


def test_an_image_in_which_nothing_could_be_planted_does_not_pass_for_a_normal_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(evaluation, "planted_pair", lambda *_: None)
    images, _ = evaluated(planted_cases(normals(tmp_path)[:2], seed=5))
    assert len(images) == 2


def test_planted_lesions_are_found_where_they_were_planted() -> None:
    """From the truth box to the prediction through the whole way: white where planted, found there."""
    truth = lesion(50, 60, 70, 85)
    image = tissue_image(200, 150, spacing_mm=0.07, lesions=(truth,), plantable=False)
    image.pixels[60:85, 50:70] = 1.0
    (seen,), _ = evaluated([Case(read=lambda: image, laterality=None, view=None)])
    assert [one.box_px for one in seen.predictions] == [pytest.approx(truth.box_px, abs=1.0)]
