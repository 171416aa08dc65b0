"""The picture: legible, bounded, and never a word on a finding."""

from __future__ import annotations

from io import BytesIO
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom import dcmread

from sr_templates.contract import plain_variants
from sr_templates.drawing import MALIGNANT, MAX_SIDE_PX, Line, Mark, _overlap, _place_tag, render
from sr_templates.registry import make_objects

LINES = [Line(text="what the picture says"), Line(text="and " * 60)]


def test_one_picture_an_image_with_the_attributes_viewers_sort_by(factory: SimpleNamespace) -> None:
    report = factory.with_findings()
    made = make_objects(report, plain_variants("heatmap"))
    assert [m.referenced_sop_instance_uid for m in made] == [i.header.SOPInstanceUID for i in report.images]
    for number, (result, image) in enumerate(zip(made, report.images, strict=True), start=1):
        dataset = dcmread(BytesIO(result.content))
        assert (dataset.Modality, dataset.PhotometricInterpretation) == ("OT", "RGB")
        assert (dataset.BurnedInAnnotation, dataset.RecognizableVisualFeatures) == ("YES", "NO")
        assert (dataset.ImageLaterality, dataset.ViewPosition) == (image.laterality, image.view)
        assert dataset.InstanceNumber == number
        assert dataset.PatientOrientation == image.header.PatientOrientation
        assert dataset.SourceImageSequence[0].ReferencedSOPInstanceUID == image.header.SOPInstanceUID
        assert dataset.SourceImageSequence[0].PurposeOfReferenceCodeSequence[0].CodeValue == "121322"
        assert "primary diagnosis" in dataset.DerivationDescription
        assert dataset.pixel_array.shape == (dataset.Rows, dataset.Columns, 3)


def test_an_image_that_could_not_be_decoded_has_no_picture(factory: SimpleNamespace) -> None:
    report = factory.partial()
    assert len(make_objects(report, plain_variants("heatmap"))) == 3


@pytest.mark.parametrize("shape", [(4000, 3000), (2294, 1914), (300, 900), (16, 16), (1, 1), (3000, 90), (90, 5000)])
def test_the_picture_is_bounded_and_keeps_the_aspect(shape: tuple[int, int]) -> None:
    bare = render(np.full(shape, 200, dtype=np.uint8))
    assert max(bare.shape[:2]) <= MAX_SIDE_PX
    rows = np.flatnonzero((bare > 190).all(axis=2).any(axis=1))
    columns = np.flatnonzero((bare > 190).all(axis=2).any(axis=0))
    aspect = (np.ptp(rows) + 1) / (np.ptp(columns) + 1)
    assert aspect == pytest.approx(shape[0] / shape[1], rel=0.1)
    assert max(render(np.zeros(shape, dtype=np.uint8), above=LINES, below=LINES).shape[:2]) <= MAX_SIDE_PX


def test_nothing_is_drawn_on_the_pixels_of_a_finding() -> None:
    display = np.full((1000, 800), 120, dtype=np.uint8)
    boxes = [(100.0, 100.0, 180.0, 160.0), (200.0, 100.0, 280.0, 160.0), (0.0, 0.0, 40.0, 40.0), (700, 900, 800, 1000)]
    marks = [Mark(box_px=box, tag=f"{n} malignant 0.90", color=MALIGNANT) for n, box in enumerate(boxes)]
    plain, marked = render(display), render(display, marks=marks)
    scale = plain.shape[0] / 1000
    for x0, y0, x1, y1 in boxes:
        inside = np.s_[round(y0 * scale) + 1 : round(y1 * scale) - 1, round(x0 * scale) + 1 : round(x1 * scale) - 1]
        assert np.array_equal(plain[inside], marked[inside])
    assert not np.array_equal(plain, marked)


@settings(max_examples=40, deadline=None)
@given(
    corners=st.lists(
        st.tuples(st.integers(0, 900), st.integers(0, 900), st.integers(5, 300), st.integers(5, 300)),
        min_size=1,
        max_size=20,
    )
)
def test_a_tag_covers_no_box_and_no_other_tag(corners: list[tuple[int, int, int, int]]) -> None:
    taken = [(float(x), float(y), float(x + w), float(y + h)) for x, y, w, h in corners]
    for box in list(taken):
        place = _place_tag("1 malignant 0.90", box, taken, (0, 0, 1200, 1200), 20)
        if place is not None:
            assert not any(_overlap(place, other) for other in taken)
            taken.append(place)


def test_a_box_is_drawn_where_the_finding_is_in_the_scaled_image() -> None:
    display = np.zeros((4000, 3000), dtype=np.uint8)
    mark = Mark(box_px=(1500, 2000, 1800, 2400), tag="1", color=MALIGNANT)
    picture = render(display, marks=[mark], above=LINES)
    without = render(display, above=LINES)
    rows, columns = np.nonzero((picture == MALIGNANT).all(axis=2))
    top = next(row for row in range(picture.shape[0]) if (without[row] == 0).all())
    scale = (picture.shape[0] - top) / 4000
    assert columns.max() == pytest.approx(1800 * scale, abs=6)
    assert rows.max() - top == pytest.approx(2400 * scale, abs=6)


def test_the_activation_colours_only_where_it_is_high() -> None:
    display = np.full((1024, 1024), 100, dtype=np.uint8)
    activation = np.zeros((1024, 1024), dtype=np.float32)
    activation[:, 512:] = 1.0
    picture = render(display, activation=activation)
    assert np.ptp(picture[500, 100]) == 0
    red, green, blue = (int(channel) for channel in picture[500, 900])
    assert red > green > blue


def test_the_banner_differs_between_nothing_found_and_not_analysed(factory: SimpleNamespace) -> None:
    silent, refused = (
        dcmread(BytesIO(make_objects(report, plain_variants("heatmap"))[0].content)).pixel_array
        for report in (factory.none_found(), factory.not_attempted())
    )
    amber = (255, 191, 64)
    strip = 90
    assert not (silent[:strip] == amber).all(axis=2).any()
    assert (refused[:strip] == amber).all(axis=2).any()
