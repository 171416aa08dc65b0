"""The picture of one image: everything where it belongs, legible, bounded, and never a word on a finding."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from dataclasses import replace
from io import BytesIO
from itertools import combinations
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom import Dataset, dcmread
from pydicom.uid import JPEGBaseline8Bit

from sr_templates.contract import ReplacedResult, ResultVariant, StudyReport, plain_variants
from sr_templates.drawing import MALIGNANT, PLAIN, WARNING, Line, text_width_px, wrap
from sr_templates.heatmap_layout import Words
from sr_templates.heatmap_picture import HeatmapPicture, render
from sr_templates.marks import Mark, Placement, crosses, overlap, place_marks
from sr_templates.registry import make_objects
from sr_templates.scales import ACTIVATION_WORDS, ColorBar, PixelSize, length_bar, pixel_size
from sr_templates.secondary_capture import draw_result, heatmap_words

WORDS = Words(
    above=(Line(text="what the picture says", scale=1.35),),
    details=(Line(text="and " * 60), Line(text="x" * 300)),
    bottom=(Line(text="RESEARCH USE"),),
)
NO_WORDS = Words()
SHAPES = [(4000, 3000), (2294, 1914), (300, 900), (16, 16), (1, 1), (3000, 90), (90, 5000)]
REPLACED = ReplacedResult(
    variant="heatmap",
    revision=1,
    sop_class_uid="1.2.840.10008.5.1.4.1.1.7",
    sop_instance_uid="1.2.3.4",
    series_instance_uid="1.2.3",
)


def heatmaps(report: StudyReport, **options: object) -> list[Dataset]:
    variant = ResultVariant(kind="heatmap", **options)
    return [dcmread(BytesIO(made.content)) for made in make_objects(report, frozenset({variant}))]


def said(words: Words) -> str:
    return "\n".join(line.text for line in (*words.above, *words.details, *words.bottom))


def rectangle_of(mask: np.ndarray) -> tuple[int, int, int, int]:
    """Outer corners of the pixels that are set, ``(x0, y0, x1, y1)``."""
    rows, columns = np.nonzero(mask)
    return int(columns.min()), int(rows.min()), int(columns.max()) + 1, int(rows.max()) + 1


def test_one_picture_an_image_with_the_attributes_viewers_sort_by(factory: SimpleNamespace) -> None:
    report = factory.with_findings()
    made = make_objects(report, plain_variants("heatmap"))
    assert [m.referenced_sop_instance_uid for m in made] == [i.header.SOPInstanceUID for i in report.images]
    for number, (result, image) in enumerate(zip(made, report.images, strict=True), start=1):
        dataset = dcmread(BytesIO(result.content))
        assert (dataset.Modality, dataset.PhotometricInterpretation) == ("OT", "RGB")
        assert (dataset.SeriesNumber, dataset.ConversionType, dataset.BodyPartExamined) == (9003, "WSD", "BREAST")
        assert (dataset.BurnedInAnnotation, dataset.RecognizableVisualFeatures) == ("YES", "NO")
        assert (dataset.ImageLaterality, dataset.ViewPosition) == (image.laterality, image.view)
        assert dataset.ViewCodeSequence[0].CodingSchemeDesignator == "SCT"
        assert dataset.InstanceNumber == number
        assert dataset.PatientOrientation == image.header.PatientOrientation
        assert dataset.SourceImageSequence[0].ReferencedSOPInstanceUID == image.header.SOPInstanceUID
        assert dataset.SourceImageSequence[0].PurposeOfReferenceCodeSequence[0].CodeValue == "121322"
        assert "primary diagnosis" in dataset.DerivationDescription
        assert dataset.pixel_array.shape == (dataset.Rows, dataset.Columns, 3)
        assert "LossyImageCompression" not in dataset


def test_a_description_keeps_room_for_the_revision_it_replaces(factory: SimpleNamespace) -> None:
    report = replace(factory.with_findings(), revision=12, replaces=(replace(REPLACED, revision=11),))
    description = heatmaps(report)[0].SeriesDescription
    assert description == "AI heatmap - NOT FOR PRIMARY DIAGNOSIS, revision 12 replaces 11"
    assert len(description) <= 64


def test_an_image_that_could_not_be_decoded_has_no_picture(factory: SimpleNamespace) -> None:
    report = factory.partial()
    assert len(make_objects(report, plain_variants("heatmap"))) == 3


@pytest.mark.parametrize("side", [512, 1024, 2048, 4096])
@pytest.mark.parametrize("shape", SHAPES)
def test_the_picture_is_bounded_and_keeps_the_aspect(shape: tuple[int, int], side: int) -> None:
    picture = render(
        np.full(shape, 200, dtype=np.uint8), words=WORDS, pixel_size=PixelSize(column_mm=0.07), max_side_px=side
    )
    assert max(picture.pixels.shape[:2]) <= side
    x0, y0, x1, y1 = picture.placement.area_px
    assert x1 - x0 == pytest.approx((y1 - y0) * shape[1] / shape[0], abs=1 + shape[1] / shape[0])
    assert (picture.pixels[int(y0) : int(y1), int(x0) : int(x1)] == 200).all()


@pytest.mark.parametrize("shape", [(3000, 2400), (1200, 1200), (300, 2000), (160, 120)])
def test_text_is_at_least_a_sixtieth_of_the_height_of_the_picture(shape: tuple[int, int]) -> None:
    picture = render(np.zeros(shape, dtype=np.uint8), words=WORDS)
    assert picture.font_px * 60 >= picture.pixels.shape[0]


def test_a_picture_without_room_for_its_words_is_refused() -> None:
    with pytest.raises(ValueError, match="at least 512 pixels"):
        render(np.zeros((100, 100), dtype=np.uint8), words=WORDS, max_side_px=511)


@pytest.mark.parametrize("side", [512, 2048])
def test_words_of_any_length_leave_the_image_a_third_of_the_picture_and_the_banner_whole(side: int) -> None:
    above = (Line(text="title"), Line(text="reason " * 500, color=WARNING))
    details = tuple(Line(text="why it failed " * 90) for _ in range(3))
    words = Words(above=above, details=details, bottom=(Line(text="RESEARCH USE", color=MALIGNANT),))
    picture = render(np.full((3000, 2400), 50, dtype=np.uint8), words=words, max_side_px=side)
    assert max(picture.pixels.shape[:2]) <= side
    _, y0, _, y1 = picture.placement.area_px
    assert y1 - y0 >= 0.34 * side
    assert (picture.pixels == MALIGNANT).all(axis=2)[int(y1) :].any()  # the banner is drawn, below the image


@settings(max_examples=60, deadline=None)
@given(
    words=st.text(alphabet=st.characters(min_codepoint=32, max_codepoint=126), min_size=1, max_size=300),
    width=st.integers(60, 900),
    font_px=st.integers(14, 40),
    scale=st.sampled_from([1.0, 1.15, 1.35]),
)
def test_no_wrapped_line_is_wider_than_its_strip(words: str, width: int, font_px: int, scale: float) -> None:
    wrapped = wrap([Line(text=words, scale=scale)], width, font_px)
    assert all(text_width_px(line.text, font_px, scale) <= width for line in wrapped)
    kept = "".join(line.text for line in wrapped)
    assert kept.replace(" ", "") == words.replace(" ", "")


@pytest.mark.parametrize(
    ("shape", "side"), [((4000, 3000), 2048), ((4000, 3000), 777), ((500, 700), 2048), ((160, 120), 1024)]
)
def test_a_box_is_drawn_around_the_pixels_of_its_finding_at_every_scale(shape: tuple[int, int], side: int) -> None:
    rows, columns = shape
    box = (0.5 * columns, 0.25 * rows, 0.6 * columns, 0.4 * rows)
    mark = Mark(box_px=box, tags=(), color=MALIGNANT)
    picture = render(np.zeros(shape, dtype=np.uint8), marks=[mark], words=NO_WORDS, max_side_px=side)
    x0, y0, x1, y1 = picture.placement.area_px
    expected = (
        x0 + 0.5 * (x1 - x0),
        y0 + 0.25 * (y1 - y0),
        x0 + 0.6 * (x1 - x0),
        y0 + 0.4 * (y1 - y0),
    )
    drawn = rectangle_of((picture.pixels == MALIGNANT).all(axis=2))
    line = max(2, picture.font_px // 8)
    inner = (drawn[0] + line, drawn[1] + line, drawn[2] - line, drawn[3] - line)
    assert inner == pytest.approx(expected, abs=1.01)
    assert inner == picture.marks[0].inside_px


def test_bright_pixels_lie_within_the_box_that_surrounds_them_in_the_source(factory: SimpleNamespace) -> None:
    display = np.zeros((3000, 2400), dtype=np.uint8)
    display[900:960, 1500:1580] = 255
    found = factory.finding(box_px=(1500.0, 900.0, 1580.0, 960.0))
    header = factory.mammogram_header(1, "R", "CC", Rows=3000, Columns=2400)
    image = factory.mammogram(1, "R", "CC", header=header, display=display, findings=(found,))
    for side in (600, 2048, 4096):
        picture = draw_result(factory.study_report((image,)), image, max_side_px=side)
        x0, y0, x1, y1 = (int(edge) for edge in picture.placement.area_px)
        bright = rectangle_of((picture.pixels[y0:y1, x0:x1] > 250).all(axis=2))
        inside = picture.marks[0].inside_px
        assert (bright[0] + x0, bright[1] + y0, bright[2] + x0, bright[3] + y0) == pytest.approx(inside, abs=2)


BOXES = st.lists(
    st.tuples(st.floats(0, 2390), st.floats(0, 2990), st.floats(2, 500), st.floats(2, 500)), min_size=1, max_size=25
)


def with_boxes(corners: list[tuple[float, float, float, float]], tags: bool = True) -> HeatmapPicture:
    display = np.full((3000, 2400), 120, dtype=np.uint8)
    marks = [
        Mark(
            box_px=(x, y, min(x + w, 2400.0), min(y + h, 3000.0)),
            tags=(f"{n} malignant 0.90", str(n)) if tags else (),
            color=MALIGNANT,
        )
        for n, (x, y, w, h) in enumerate(corners)
    ]
    return render(
        display,
        activation=np.zeros(display.shape, dtype=np.float32),
        marks=marks,
        words=WORDS,
        pixel_size=PixelSize(column_mm=0.07),
        max_side_px=1024,
    )


@settings(max_examples=25, deadline=None)
@given(corners=BOXES)
def test_nothing_covers_a_finding_or_a_tag(corners: list[tuple[float, float, float, float]]) -> None:
    picture = with_boxes(corners)
    insides = [mark.inside_px for mark in picture.marks]
    tags = [mark.tag_px for mark in picture.marks if mark.tag_px is not None]
    bars = [bar for bar in (picture.length_bar_px, picture.color_bar_px) if bar is not None]
    assert len(bars) == 2
    assert not any(overlap(cover, inside) for cover in (*tags, *bars) for inside in insides)
    assert not any(overlap(a, b) for a, b in combinations((*tags, *bars), 2))
    for mark in picture.marks:
        if mark.leader_px is not None:
            others = [inside for inside in insides if inside != mark.inside_px]
            assert not any(crosses(mark.leader_px, inside) for inside in others)
            assert not any(crosses(mark.leader_px, tag) for tag in tags if tag != mark.tag_px)
    assert not any(overlap(bar, picture.placement.area_px) for bar in bars)


@settings(max_examples=10, deadline=None)
@given(corners=BOXES)
def test_tags_leave_every_pixel_of_every_finding_as_it_was(corners: list[tuple[float, float, float, float]]) -> None:
    bare, tagged = with_boxes(corners, tags=False), with_boxes(corners)
    for mark in tagged.marks:
        x0, y0, x1, y1 = (int(edge) for edge in mark.inside_px)
        assert np.array_equal(bare.pixels[y0:y1, x0:x1], tagged.pixels[y0:y1, x0:x1])


def test_findings_with_room_around_them_all_have_their_full_tags() -> None:
    picture = with_boxes([(300.0 + 600 * (n % 3), 300.0 + 600 * (n // 3), 90.0, 90.0) for n in range(12)])
    assert [mark.tag for mark in picture.marks] == [f"{n} malignant 0.90" for n in range(12)]


def test_where_there_is_room_for_one_tag_it_is_that_of_the_gravest() -> None:
    placement = Placement(area_px=(0, 0, 1000, 1000), columns=1000, rows=1000)
    boxes = [(0.0, 60.0, 1000.0, 1000.0), (0.0, 61.0, 1000.0, 1000.0)]
    marks = [Mark(box_px=box, tags=("x" * 30,), color=MALIGNANT) for box in boxes]
    less, gravest = place_marks(marks, placement, (0, 0, 600, 1000), 30)
    assert less.tag_px is None
    assert gravest.tag_px is not None
    assert gravest.tag_px[3] <= 60


def test_a_percentage_is_never_torn_from_its_number() -> None:
    lines = wrap([Line(text="probability of cancer 87.5 %, " * 20)], 333, 20)
    assert not any(line.text.startswith("%") for line in lines)


def test_the_activation_colours_only_where_it_is_high_and_brings_its_colour_bar() -> None:
    display = np.full((1024, 1024), 100, dtype=np.uint8)
    activation = np.zeros((1024, 1024), dtype=np.float32)
    activation[:, 512:] = 1.0
    picture = render(display, activation=activation, words=NO_WORDS)
    x0, y0, x1, y1 = picture.placement.area_px
    row = int(y0 + y1) // 2
    assert np.ptp(picture.pixels[row, int(x0) + 50]) == 0
    red, green, blue = (int(channel) for channel in picture.pixels[row, int(x1) - 50])
    assert red > green > blue
    assert picture.color_bar_px is not None


@pytest.mark.parametrize("shape", SHAPES)
def test_there_is_a_colour_bar_exactly_when_there_is_an_activation(shape: tuple[int, int]) -> None:
    display = np.full(shape, 100, dtype=np.uint8)
    bare = render(display, words=WORDS)
    assert bare.color_bar_px is None
    assert not ((bare.pixels[..., 0].astype(int) - bare.pixels[..., 2]) > 60).any()
    picture = render(display, words=WORDS, activation=np.zeros(shape, dtype=np.float32))
    x0, y0, x1, y1 = (int(edge) for edge in picture.color_bar_px or ())
    assert x0 >= 0
    assert x1 <= picture.pixels.shape[1]
    bar = picture.pixels[y0:y1, x0:x1].astype(int)
    coloured = bar[..., 0] - bar[..., 2] > 60
    ramp = bar[coloured.any(axis=1)][0][coloured.any(axis=0)]
    assert len(ramp) > 5 * picture.font_px
    assert (np.diff(ramp[:, 0]) >= 0).all()  # redder and redder, to the end
    assert picture.color_bar_px[2] - picture.color_bar_px[0] == ColorBar().width_px(picture.font_px)
    assert ACTIVATION_WORDS == "class activation"


@pytest.mark.parametrize(("shape", "side"), [((3000, 2400), 2048), ((3000, 2400), 600), ((800, 700), 4096)])
def test_the_bar_of_millimetres_is_as_long_as_its_number_says(shape: tuple[int, int], side: int) -> None:
    display = np.zeros(shape, dtype=np.uint8)
    picture = render(display, words=NO_WORDS, pixel_size=PixelSize(column_mm=0.1), max_side_px=side)
    assert picture.length_bar is not None
    x0, _, x1, _ = picture.placement.area_px
    px_per_mm = (x1 - x0) / shape[1] / 0.1
    assert picture.length_bar.length_px == pytest.approx(picture.length_bar.length_mm * px_per_mm, abs=1)
    left, top, right, bottom = (int(edge) for edge in picture.length_bar_px or ())
    bar_top = top + round(1.5 * picture.font_px)
    drawn = rectangle_of((picture.pixels[bar_top:bottom, left:right] == PLAIN).all(axis=2))
    assert drawn[2] - drawn[0] == picture.length_bar.length_px
    assert picture.length_bar.words == f"{picture.length_bar.length_mm:g} mm"


def test_a_bar_of_one_centimetre_is_preferred_and_another_taken_where_it_does_not_fit() -> None:
    size = PixelSize(column_mm=0.1)
    lengths = [length_bar(size, px, 400, 20) for px in (1.0, 0.1, 8.0, 400.0, 1e-6)]
    assert [bar.length_mm if bar else None for bar in lengths] == [10, 50, 5, 0.1, None]


@pytest.mark.parametrize(
    ("attributes", "expected"),
    [
        ({"ImagerPixelSpacing": [0.07, 0.08]}, PixelSize(column_mm=0.08, plane="at detector")),
        (
            {"ImagerPixelSpacing": [0.1, 0.1], "EstimatedRadiographicMagnificationFactor": "1.6"},
            PixelSize(column_mm=0.1 / 1.6),
        ),
        (
            {"ImagerPixelSpacing": [0.1, 0.1], "EstimatedRadiographicMagnificationFactor": "0"},
            PixelSize(column_mm=0.1, plane="at detector"),
        ),
        ({"ImagerPixelSpacing": None, "PixelSpacing": [0.2, 0.3]}, PixelSize(column_mm=0.3)),
        ({"ImagerPixelSpacing": None}, None),
    ],
)
def test_the_size_of_a_pixel_is_in_the_plane_of_the_breast(
    factory: SimpleNamespace, attributes: dict[str, object], expected: PixelSize | None
) -> None:
    assert pixel_size(factory.mammogram_header(1, "R", "CC", **attributes)) == expected


def test_there_is_no_bar_of_millimetres_without_a_spacing(factory: SimpleNamespace) -> None:
    header = factory.mammogram_header(1, "R", "CC", ImagerPixelSpacing=None)
    image = factory.mammogram(1, "R", "CC", header=header)
    assert draw_result(factory.study_report((image,)), image, max_side_px=1024).length_bar is None


def test_the_picture_says_what_was_found_by_what_and_when(factory: SimpleNamespace) -> None:
    report = factory.with_findings()
    image = replace(report.images[0], second_opinion=0.123)
    report = replace(report, images=(image, *report.images[1:]), revision=2, replaces=(REPLACED,))
    words = said(heatmap_words(report, image))
    for sentence in (
        "R CC, study of 2025-01-01",
        "Revision 2, replaces the results of revision 1",
        "2 calcification findings, probability of malignancy of the image 40.0 %",
        "second opinion (SPPNet, whole image): malignant 12.3 %",
        "1: predicted malignant, certainty of finding 87.5 %, probability of cancer 87.5 %",
        "2: predicted benign, certainty of finding 87.5 %, probability of cancer 12.5 %",
        "FPNNet 0.1.0, weights 3f3f3f3f3f3f, nms_threshold 0.3, score_threshold 0.3",
        "SPPNet 0.1.0, weights 3f3f3f3f3f3f, threshold 0.5",
        "mammonode 0.1.0, analysis of 2026-01-02 03:04 UTC",
        "RESEARCH USE, NOT FOR PRIMARY DIAGNOSIS",
    ):
        assert sentence in words.splitlines()


def test_a_first_answer_without_second_opinion_speaks_of_neither(factory: SimpleNamespace) -> None:
    report = factory.none_found()
    words = said(heatmap_words(report, report.images[0]))
    assert "No calcification found" in words
    assert "Revision" not in words
    assert "second opinion" not in words


def test_view_modifiers_are_in_the_words_and_not_where_their_meaning_is_another(factory: SimpleNamespace) -> None:
    report = factory.one_view()
    assert "R CC, implant displaced, study of 2025-01-01" in said(heatmap_words(report, report.images[0]))
    (dataset,) = heatmaps(report)
    assert "R CC, implant displaced" in dataset.DerivationDescription
    assert "ViewModifierCodeSequence" not in dataset.ViewCodeSequence[0]


def test_many_findings_are_all_drawn_and_the_gravest_are_listed(factory: SimpleNamespace) -> None:
    found = tuple(factory.finding(3 * n, 2 * n, malignancy=n / 100) for n in range(30))
    image = factory.mammogram(1, "R", "CC", findings=found)
    report = factory.study_report((image,))
    assert len(draw_result(report, image, max_side_px=2048).marks) == 30
    words = said(heatmap_words(report, image))
    assert "30: predicted malignant, certainty of finding 87.5 %, probability of cancer 29.0 %" in words
    assert "and 22 more findings, listed in the structured report" in words


def test_not_analysed_is_said_with_its_reason_and_in_another_colour(factory: SimpleNamespace) -> None:
    silent, refused = factory.none_found(), factory.not_attempted()
    colors = {report.outcome: heatmap_words(report, report.images[0]).above[-1].color for report in (silent, refused)}
    assert colors == {"analysed": PLAIN, "not_analysed": WARNING}
    words = said(heatmap_words(refused, refused.images[0]))
    assert "NOT ANALYSED: no weights installed" in words
    assert "FPNNet not attempted: no weights installed" in words
    assert "No calcification" not in words


def test_a_jpeg_shows_what_the_uncompressed_picture_shows(factory: SimpleNamespace) -> None:
    report = factory.with_findings()
    plain, compressed = heatmaps(report)[0], heatmaps(report, compression="jpeg_baseline")[0]
    assert compressed.file_meta.TransferSyntaxUID == JPEGBaseline8Bit
    assert compressed.PhotometricInterpretation == "YBR_FULL_422"
    assert compressed.LossyImageCompression == "01"
    assert compressed.LossyImageCompressionMethod == "ISO_10918_1"
    size = len(plain.PixelData) / float(compressed.LossyImageCompressionRatio)
    assert size == pytest.approx(len(compressed.PixelData), rel=0.01)
    assert compressed.SOPInstanceUID != plain.SOPInstanceUID
    difference = np.abs(plain.pixel_array.astype(int) - compressed.pixel_array)
    assert difference.mean() < 1.5
    assert np.quantile(difference, 0.99) < 24


def test_the_same_picture_compressed_twice_is_the_same_file(factory: SimpleNamespace) -> None:
    variants = frozenset({ResultVariant(kind="heatmap", compression="jpeg_baseline")})
    first, second = (make_objects(factory.with_findings(), variants) for _ in range(2))
    assert first == second
    assert {made.transfer_syntax_uid for made in first} == {JPEGBaseline8Bit}


@pytest.mark.peer
def test_dcmtk_decodes_a_jpeg_to_the_right_colours_and_dciodvfy_finds_no_error(
    factory: SimpleNamespace, tmp_path: Path, need: Callable[..., None]
) -> None:
    need("dciodvfy", "dcmdjpeg")
    report = factory.with_findings()
    plain = heatmaps(report)[0]
    for number, made in enumerate(
        make_objects(report, frozenset({ResultVariant(kind="heatmap", compression="jpeg_baseline")}))
    ):
        path, decoded = tmp_path / f"{number}.dcm", tmp_path / f"{number}.decoded.dcm"
        path.write_bytes(made.content)
        checked = subprocess.run(["dciodvfy", path], capture_output=True, text=True, check=False)
        assert "Error" not in checked.stderr + checked.stdout
        subprocess.run(["dcmdjpeg", path, decoded], check=True, capture_output=True)
        if number == 0:
            dataset = dcmread(decoded)
            assert dataset.PhotometricInterpretation == "RGB"
            difference = np.abs(plain.pixel_array.astype(int) - dataset.pixel_array)
            assert difference.mean() < 1.5


def test_an_outline_is_drawn_along_its_polygon_and_not_around_its_box(factory: SimpleNamespace) -> None:
    finding = factory.lesion(60, 80)
    image = factory.sonogram(1, findings=(finding,), display=np.full((160, 120), 90, dtype=np.uint8))
    picture = draw_result(factory.ultrasound_report((image,)), image, max_side_px=2048)
    drawn = (picture.pixels == MALIGNANT).all(axis=2)
    for x, y in ((60, 72), (60, 88), (48, 80), (72, 80), (69, 74)):  # middles of edges, and of a slanting one
        across, down = (round(value) for value in picture.placement.point_to_picture((x, y)))
        assert drawn[down - 3 : down + 4, across - 3 : across + 4].any(), (x, y)
    for x, y in ((48, 72), (72, 72), (48, 88), (72, 88), (60, 80)):  # corners of the box, and the middle
        across, down = (round(value) for value in picture.placement.point_to_picture((x, y)))
        assert not drawn[down - 8 : down + 9, across - 8 : across + 9].any(), (x, y)


def test_of_a_cine_only_what_lies_on_the_frame_shown_is_drawn(factory: SimpleNamespace) -> None:
    cine = factory.ultrasound_lesions().images[1]
    report = factory.ultrasound_report((cine,))
    picture = draw_result(report, cine, max_side_px=2048)
    assert len(picture.marks) == 1
    words = said(heatmap_words(report, cine))
    assert "L US 2, frame 12 of 30" in words
    assert "Analysed: 3 of 30 frames were looked at" in words
    assert "2.4 x 1.6 mm, frame 25" in words
    assert "predicted HER2-positive 25.0 %" in words


def test_millimetres_of_ultrasound_are_those_of_the_region_never_of_pixel_spacing(factory: SimpleNamespace) -> None:
    calibrated, bare = factory.sonogram(1), factory.sonogram(2, display_spacing_mm=None)
    assert calibrated.header.PixelSpacing == bare.header.PixelSpacing == [9, 9]
    report = factory.ultrasound_report((calibrated, bare))
    bar = draw_result(report, calibrated, max_side_px=1024).length_bar
    assert bar is not None
    shown = draw_result(report, calibrated, max_side_px=1024).placement.area_px
    assert bar.length_px == pytest.approx(bar.length_mm / 0.1 * (shown[2] - shown[0]) / 120, abs=1)
    assert draw_result(report, bare, max_side_px=1024).length_bar is None


def test_an_outline_that_nothing_classified_says_so(factory: SimpleNamespace) -> None:
    report = factory.ultrasound_partial()
    words = said(heatmap_words(report, report.images[0]))
    assert "1 lesion finding" in words
    assert "1: not classified, certainty of finding 75.0 %, 2.4 x 1.6 mm" in words
    assert "cancer" not in words
