"""A presentation state shows the image as it was, and the boxes where the findings are."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from pydicom import Dataset, dcmread
from pydicom.dataelem import RawDataElement
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_dataset
from pydicom.pixels.processing import apply_voi_lut
from pydicom.tag import Tag
from pydicom.uid import ExplicitVRBigEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian

from pipelines.headers import describe_mammogram, read_header
from pipelines.phantom import PhantomPatient, mammogram
from pipelines.pixels import DecodedImage, decode, standardise
from sr_templates.contract import ReplacedResult, ReportedFinding, ReportedImage, StudyReport, plain_variants
from sr_templates.registry import make_objects
from sr_templates.softcopy_greyscale import modality_lut, voi_transformations

KIND = plain_variants("presentation_state")
WITH_STATES = {
    "with_findings",
    "one_view",
    "revision",
    "predictions",
    "tomosynthesis",
    "ultrasound_lesions",
    "ultrasound_partial",
}
ROWS, COLUMNS = 160, 120
SQUARE = (30, 80, 50, 104)
TOMOSYNTHESIS = "1.2.840.10008.5.1.4.1.1.13.1.3"
Need = Callable[..., None]
Rectangle = tuple[float, float, float, float]


def states(report: StudyReport) -> list[Dataset]:
    return [dcmread(BytesIO(made.content)) for made in make_objects(report, KIND)]


def only_state(report: StudyReport) -> Dataset:
    (state,) = states(report)
    return state


def one_image(factory: SimpleNamespace, *findings: ReportedFinding, **attributes: Any) -> StudyReport:
    header = factory.mammogram_header(1, "R", "CC", **attributes)
    found = findings or (factory.finding(),)
    return factory.study_report((factory.mammogram(1, "R", "CC", header=header, findings=found),))


def texts(state: Dataset) -> list[Dataset]:
    return [item for each in state.GraphicAnnotationSequence for item in each.get("TextObjectSequence", [])]


def outlines(state: Dataset) -> list[Dataset]:
    return [item for each in state.GraphicAnnotationSequence for item in each.get("GraphicObjectSequence", [])]


# Greyscale


def table(first: int, bits: int, entries: NDArray[np.floating[Any]], vr: str = "US", data_vr: str = "OW") -> Dataset:
    item = Dataset()
    item.add_new("LUTDescriptor", vr, [len(entries) & 0xFFFF, first, bits])
    whole = np.rint(entries).astype("u1" if bits == 8 else "<u2")
    item.add_new("LUTData", data_vr, whole.tobytes() if data_vr == "OW" else whole.tolist())
    item.LUTExplanation = "NORMAL"
    return item


RAMP = np.linspace(0, 1, 4096)
CURVE = RAMP**0.5
NO_WINDOW: dict[str, Any] = {"WindowCenter": None, "WindowWidth": None}
NO_RESCALE: dict[str, Any] = {"RescaleSlope": None, "RescaleIntercept": None, "RescaleType": None}

GREYSCALES: dict[str, dict[str, Any]] = {
    "a window over all values": {},
    "a narrow window": {"WindowCenter": 1500, "WindowWidth": 1700},
    "several windows": {"WindowCenter": [1500, 2000], "WindowWidth": [1700, 300]},
    "an exact window": {"WindowCenter": 1500.5, "WindowWidth": 1700, "VOILUTFunction": "LINEAR_EXACT"},
    "a rescale": {"RescaleSlope": 2, "RescaleIntercept": -1000, "WindowCenter": 2000, "WindowWidth": 3000},
    "a VOI LUT": {"VOILUTSequence": [table(0, 12, CURVE * 4095)], **NO_WINDOW},
    "a VOI LUT of 8 bits": {"VOILUTSequence": [table(0, 8, CURVE * 255)], **NO_WINDOW},
    "a VOI LUT of 16 bits as US": {"VOILUTSequence": [table(0, 16, CURVE * 65535, data_vr="US")], **NO_WINDOW},
    "a VOI LUT and a window": {
        "VOILUTSequence": [table(0, 12, CURVE * 4095)],
        "WindowCenter": 100,
        "WindowWidth": 10,
    },
    "several VOI LUTs": {
        "VOILUTSequence": [table(0, 12, CURVE * 4095), table(0, 12, 4095 - CURVE * 4095)],
        **NO_WINDOW,
    },
    "a VOI LUT for some of the values": {"VOILUTSequence": [table(1000, 12, CURVE[:2000] * 4095)], **NO_WINDOW},
    "a VOI LUT that starts below zero": {
        "VOILUTSequence": [table(-1000, 12, np.linspace(0, 4095, 3000), vr="SS")],
        "RescaleIntercept": -2048,
        **NO_WINDOW,
    },
    "a modality LUT": {
        "ModalityLUTSequence": [table(0, 16, CURVE * 65535)],
        "WindowCenter": 30000,
        "WindowWidth": 50000,
        **NO_RESCALE,
    },
}


def breast() -> NDArray[np.uint16]:
    """Air at 0, tissue of all values, a square of the greatest: shape ``(ROWS, COLUMNS)``, 12 bits."""
    y, x = np.mgrid[:ROWS, :COLUMNS]
    pixels = np.where((y - ROWS / 2) ** 2 + x**2 < 70**2, 400 + 20 * x + 5 * y, 0)
    x0, y0, x1, y1 = SQUARE
    pixels[y0:y1, x0:x1] = 4095
    return pixels.astype(np.uint16)


def written(path: Path, *, monochrome1: bool, attributes: Mapping[str, Any]) -> Path:
    dataset = mammogram(
        breast(),
        "L-CC",
        monochrome1=monochrome1,
        patient=PhantomPatient(),
        study_instance_uid="2.25.1",
        series_instance_uid="2.25.2",
    )
    for keyword, value in attributes.items():
        if value is not None:
            setattr(dataset, keyword, value)
        elif keyword in dataset:
            del dataset[keyword]
    for item in dataset.get("ModalityLUTSequence", []):
        item.ModalityLUTType = "US"
    dataset.save_as(path, enforce_file_format=True)
    return path


def reported(factory: SimpleNamespace, path: Path, box_px: Rectangle = SQUARE) -> tuple[StudyReport, DecodedImage]:
    """What the pipeline reports of a file, with a finding in it."""
    decoded = decode(path)
    image = ReportedImage(
        header=dcmread(path, stop_before_pixels=True),
        laterality="L",
        view="CC",
        outcome="analysed",
        findings=(factory.finding(box_px=box_px),),
        display=standardise(decoded, describe_mammogram(read_header(path))).display,
    )
    study_uid = str(image.header.StudyInstanceUID)
    return factory.study_report((image,), study_instance_uid=study_uid), decoded


def rendered(report: StudyReport, decoded: DecodedImage, folder: Path) -> NDArray[np.float64]:
    """The image through its presentation state, as DCMTK shows it: shape ``(rows, columns)``, 0 to 255."""
    state, image, picture = folder / "state.dcm", folder / "image.dcm", folder / "picture.pgm"
    (made,) = make_objects(report, KIND)
    state.write_bytes(made.content)
    native = decoded.dataset
    native.add_new("PixelData", "OW", decoded.stored.tobytes() + b"\0" * (decoded.stored.nbytes % 2))
    native.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    native.save_as(image, enforce_file_format=True)
    command = ("dcmp2pgm", "-p", str(state), str(image), str(picture))
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert picture.exists(), done.stdout + done.stderr
    content = picture.read_bytes()
    head = re.match(rb"P5\s+(?:#.*\n)*(\d+)\s+(\d+)\s+255\s", content)
    assert head is not None
    columns, rows = int(head[1]), int(head[2])
    return np.frombuffer(content[head.end() :], dtype=np.uint8).reshape(rows, columns).astype(np.float64)


@pytest.mark.peer
@pytest.mark.parametrize("monochrome1", [False, True], ids=["monochrome2", "monochrome1"])
@pytest.mark.parametrize("name", sorted(GREYSCALES))
def test_dcmtk_shows_the_image_through_its_state_as_the_pipeline_does(
    factory: SimpleNamespace, need: Need, tmp_path: Path, name: str, monochrome1: bool
) -> None:
    need("dcmp2pgm")
    path = written(tmp_path / "source.dcm", monochrome1=monochrome1, attributes=GREYSCALES[name])
    report, decoded = reported(factory, path)
    display = report.images[0].display
    assert display is not None
    shown = rendered(report, decoded, tmp_path)
    assert np.abs(shown - display).max() <= 1
    assert np.ptp(display) > 100


@pytest.mark.peer
@pytest.mark.parametrize("monochrome1", [False, True], ids=["monochrome2", "monochrome1"])
def test_air_is_black_and_the_box_lies_on_the_bright_finding(
    factory: SimpleNamespace, need: Need, tmp_path: Path, monochrome1: bool
) -> None:
    need("dcmp2pgm")
    path = written(tmp_path / "source.dcm", monochrome1=monochrome1, attributes={})
    report, decoded = reported(factory, path)
    shown = rendered(report, decoded, tmp_path)
    assert shown[0, -1] == 0
    (outline,) = outlines(only_state(report))
    points = np.array(outline.GraphicData).reshape(-1, 2)
    # 0.0 is the outer edge of the first pixel: the box encloses the pixels from x0 to before x1
    (x0, y0), (x1, y1) = points.min(axis=0).astype(int), points.max(axis=0).astype(int)
    assert shown[y0:y1, x0:x1].min() >= 254
    around = shown[y0 - 1 : y1 + 1, x0 - 1 : x1 + 1].copy()
    around[1:-1, 1:-1] = 0
    assert around.max() < 200


@pytest.mark.parametrize("monochrome1", [False, True], ids=["monochrome2", "monochrome1"])
def test_a_sigmoid_window_stays_one(factory: SimpleNamespace, tmp_path: Path, monochrome1: bool) -> None:
    sigmoid = {"WindowCenter": [2000, 100], "WindowWidth": [1500, 50], "VOILUTFunction": "SIGMOID"}
    path = written(tmp_path / "source.dcm", monochrome1=monochrome1, attributes=sigmoid)
    report, decoded = reported(factory, path)
    state = only_state(report)
    (item,) = state.SoftcopyVOILUTSequence
    # dcmp2pgm knows no VOI LUT Function; pydicom does
    voi = Dataset()
    voi.update(item)
    voi.PhotometricInterpretation, voi.BitsStored, voi.PixelRepresentation = "MONOCHROME2", 12, 0
    shown = apply_voi_lut(decoded.stored, voi) / 4095 * 255
    shown = 255 - shown if state.PresentationLUTShape == "INVERSE" else shown
    display = report.images[0].display
    assert display is not None
    assert np.abs(shown - display).max() <= 1
    assert (item.WindowCenter, item.WindowWidth, item.VOILUTFunction) == (2000, 1500, "SIGMOID")


@pytest.mark.parametrize(
    ("photometric", "shape"), [("MONOCHROME1", "INVERSE"), ("MONOCHROME2", "IDENTITY"), (None, "IDENTITY")]
)
def test_the_least_value_is_white_only_in_monochrome1(
    factory: SimpleNamespace, photometric: str | None, shape: str
) -> None:
    state = only_state(one_image(factory, PhotometricInterpretation=photometric))
    assert state.PresentationLUTShape == shape


@pytest.mark.parametrize(
    "attributes",
    [
        {"WindowCenter": "2000"},
        {"WindowWidth": "2000"},
        {"WindowCenter": "2000", "WindowWidth": "0"},
        {"WindowCenter": "2000", "WindowWidth": "0.5"},
        {"WindowCenter": "2000", "WindowWidth": "-4", "VOILUTFunction": "SIGMOID"},
        {"VOILUTSequence": []},
        {"VOILUTSequence": [Dataset()]},
        {"VOILUTSequence": [table(0, 3, CURVE * 7)]},
        {"VOILUTSequence": [table(0, 99, CURVE * 7)]},
    ],
)
def test_a_voi_transformation_that_means_nothing_is_left_out(
    factory: SimpleNamespace, attributes: dict[str, Any]
) -> None:
    assert "SoftcopyVOILUTSequence" not in only_state(one_image(factory, **attributes))


@pytest.mark.parametrize("keyword", ["VOILUTSequence", "ModalityLUTSequence", "WindowCenter", "RescaleSlope"])
@pytest.mark.parametrize("raw", [b"", b"nan ", b"\xff\xfe\x80\x81", b"\xfe\xff\x00\xe0\xff\xff\x00\x00", b"1e999 "])
def test_garbled_greyscale_attributes_never_stop_an_answer(factory: SimpleNamespace, keyword: str, raw: bytes) -> None:
    report = one_image(factory, WindowWidth=100)
    vr = "SQ" if keyword.endswith("Sequence") else "DS"
    header = report.images[0].header
    header[Tag(keyword)] = RawDataElement(Tag(keyword), vr, len(raw), raw, 0, False, True)
    state = only_state(report)
    assert not {"SoftcopyVOILUTSequence", "ModalityLUTSequence", "RescaleSlope"} & set(state.dir())


@pytest.mark.parametrize(
    "syntax", [ExplicitVRLittleEndian, ImplicitVRLittleEndian, ExplicitVRBigEndian], ids=["explicit", "implicit", "big"]
)
@pytest.mark.parametrize("count", [65536, 300])
def test_a_lookup_table_comes_back_whole_in_every_transfer_syntax(syntax: Any, count: int) -> None:
    entries = np.linspace(0, 65535, count).astype(np.uint16)
    source = Dataset()
    item = table(0, 16, entries)
    if syntax == ExplicitVRBigEndian:
        item["LUTData"].value = entries.astype(">u2").tobytes()
    source.PixelRepresentation = 0
    source.VOILUTSequence = [item]
    buffer = DicomBytesIO()
    buffer.is_little_endian, buffer.is_implicit_VR = syntax.is_little_endian, syntax.is_implicit_VR
    write_dataset(buffer, source)
    read = dcmread(BytesIO(file_of(buffer.getvalue(), syntax)), force=True)
    ((frames, voi),) = voi_transformations(read)
    (copied,) = voi.VOILUTSequence
    assert frames == ()
    assert list(copied.LUTDescriptor) == [count & 0xFFFF, 0, 16]
    assert np.array_equal(np.frombuffer(copied.LUTData, dtype="<u2"), entries)


def file_of(body: bytes, syntax: str) -> bytes:
    """A data set behind the shortest file meta information that says how it is encoded."""
    value = str(syntax).encode() + b"\0" * (len(str(syntax)) % 2)
    meta = b"\x02\x00\x10\x00UI" + len(value).to_bytes(2, "little") + value
    length = b"\x02\x00\x00\x00UL\x04\x00" + len(meta).to_bytes(4, "little")
    return b"\0" * 128 + b"DICM" + length + meta + body


def test_a_modality_lut_keeps_its_values_as_windows_refer_to_them() -> None:
    source = Dataset()
    source.PixelRepresentation = 0
    source.ModalityLUTSequence = [table(0, 12, CURVE * 4095)]
    source.RescaleSlope = 7
    module = modality_lut(source)
    (item,) = module.ModalityLUTSequence
    assert np.array_equal(np.frombuffer(item.LUTData, dtype="<u2"), np.rint(CURVE * 4095))
    assert item.ModalityLUTType == "US"
    assert "RescaleSlope" not in module


# Annotations


def test_a_finding_is_a_closed_box_in_pixels_with_its_tag(factory: SimpleNamespace) -> None:
    report = one_image(factory, factory.finding(box_px=(20.5, 60, 40, 84.25)), factory.finding(60, 20, "benign"))
    state = only_state(report)
    first, second = outlines(state)
    assert (first.GraphicType, first.GraphicFilled, first.GraphicAnnotationUnits) == ("POLYLINE", "N", "PIXEL")
    assert list(first.GraphicData) == [20.5, 60, 40, 60, 40, 84.25, 20.5, 84.25, 20.5, 60]
    assert (first.GraphicDimensions, first.NumberOfGraphicPoints) == (2, 5)
    assert first.TrackingID == "Finding 1: R CC, predicted malignant"
    assert first.TrackingUID != second.TrackingUID
    tags = [item.UnformattedTextValue for item in texts(state)[:2]]
    assert tags == ["1 malignant, cancer 88 % (FPNNet)", "2 benign, cancer 12 % (FPNNet)"]


def test_the_tracking_uid_is_that_of_the_structured_report(factory: SimpleNamespace) -> None:
    report = one_image(factory)
    (outline,) = outlines(only_state(report))
    for made in make_objects(report, plain_variants("cad_sr", "measurement_sr")):
        assert outline.TrackingUID.encode() in made.content


def test_benign_malignant_and_note_are_layers_in_drawing_order(factory: SimpleNamespace) -> None:
    report = one_image(factory, factory.finding(), factory.finding(60, 20, "benign"))
    state = only_state(report)
    layers = {layer.GraphicLayer: layer for layer in state.GraphicLayerSequence}
    assert sorted(layers, key=lambda name: layers[name].GraphicLayerOrder) == ["AI BENIGN", "AI MALIGNANT", "AI NOTE"]
    assert {annotation.GraphicLayer for annotation in state.GraphicAnnotationSequence} == set(layers)
    colors = [tuple(layer.GraphicLayerRecommendedDisplayCIELabValue) for layer in layers.values()]
    assert len(set(colors)) == 3
    assert "AI BENIGN" not in {layer.GraphicLayer for layer in only_state(one_image(factory)).GraphicLayerSequence}


def test_the_note_says_which_image_by_which_weights_and_what_it_is_not_for(factory: SimpleNamespace) -> None:
    note = texts(only_state(one_image(factory)))[-1]
    assert note.UnformattedTextValue.split("\r\n") == [
        "R CC",
        "AI, research use, not for primary diagnosis",
        "FPNNet 0.1.0, weights 3f3f3f3f3f3f",
    ]
    assert note.BoundingBoxAnnotationUnits == "DISPLAY"


@pytest.mark.parametrize(("orientation", "left"), [(["P", "L"], True), (["A", "R"], False), (None, True)])
def test_the_note_stands_in_the_air(factory: SimpleNamespace, orientation: list[str] | None, left: bool) -> None:
    below = factory.finding(500, 600)
    report = one_image(factory, below, Columns=1000, Rows=1200, PatientOrientation=orientation)
    note = texts(only_state(report))[-1]
    assert (note.BoundingBoxTopLeftHandCorner[0] == 0) == left
    assert (note.BoundingBoxBottomRightHandCorner[0] == 1) == (not left)


def test_the_note_keeps_off_a_finding_in_its_corner(factory: SimpleNamespace) -> None:
    in_corner = factory.finding(box_px=(0, 0, 300, 200))
    note = texts(only_state(one_image(factory, in_corner, Columns=1000, Rows=1200)))[-1]
    assert note.BoundingBoxTopLeftHandCorner[0] > 0.3


def area_of(item: Dataset) -> Rectangle:
    x0, y0 = item.BoundingBoxTopLeftHandCorner
    x1, y1 = item.BoundingBoxBottomRightHandCorner
    return float(x0), float(y0), float(x1), float(y1)


def overlap(a: Rectangle, b: Rectangle) -> bool:
    slack = 1e-3  # of single precision
    return (
        min(a[2], b[2]) - max(a[0], b[0]) > slack
        and min(a[3], b[3]) - max(a[1], b[1]) > slack
        and a[0] < a[2]
        and b[0] < b[2]
    )


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    corners=st.lists(
        st.tuples(st.floats(0, 1000), st.floats(0, 1200), st.floats(0, 500), st.floats(0, 500)),
        min_size=1,
        max_size=20,
    )
)
def test_a_tag_is_in_the_image_and_on_no_finding_and_no_other_tag(
    factory: SimpleNamespace, corners: list[Rectangle]
) -> None:
    found = [factory.finding(box_px=(x, y, x + width, y + height)) for x, y, width, height in corners]
    state = only_state(one_image(factory, *found, Columns=1000, Rows=1200))
    boxes = [np.array(outline.GraphicData).reshape(-1, 2) for outline in outlines(state)]
    assert len(boxes) == len(found)
    assert all((box >= 0).all() and (box <= (1000, 1200)).all() for box in boxes)
    drawn: list[Rectangle] = [(*map(float, box.min(axis=0)), *map(float, box.max(axis=0))) for box in boxes]  # type: ignore[misc]  # two points make a rectangle
    for tag in texts(state)[:-1]:
        if "AnchorPoint" in tag:
            assert 0 <= tag.AnchorPoint[0] <= 1000
            assert 0 <= tag.AnchorPoint[1] <= 1200
            continue
        place = area_of(tag)
        assert 0 <= place[0] < place[2] <= 1000
        assert 0 <= place[1] < place[3] <= 1200
        assert not any(overlap(place, other) for other in drawn)
        drawn.append(place)


def test_a_finding_as_large_as_the_image_still_has_its_tag(factory: SimpleNamespace) -> None:
    state = only_state(one_image(factory, factory.finding(box_px=(-5, -5, COLUMNS + 5, ROWS + 5))))
    tag, _ = texts(state)
    assert tag.UnformattedTextValue == "1 malignant, cancer 88 % (FPNNet)"
    assert list(tag.AnchorPoint) == [0, 0]
    assert list(outlines(state)[0].GraphicData)[:4] == [0, 0, COLUMNS, 0]


def test_many_findings_are_tagged_with_their_numbers_only(factory: SimpleNamespace) -> None:
    found = [factory.finding(30.0 * n, 40) for n in range(13)]
    state = only_state(one_image(factory, *found, Columns=1000, Rows=1200))
    assert [item.UnformattedTextValue for item in texts(state)[:-1]] == [str(n) for n in range(1, 14)]


# Frames


def tomosynthesis(factory: SimpleNamespace, windows: list[tuple[int, int]], *findings: ReportedFinding) -> StudyReport:
    """A multi-frame image whose windows are in its functional groups: one for all, or one a frame."""
    groups = []
    for center, width in windows:
        voi = Dataset()
        voi.WindowCenter, voi.WindowWidth = center, width
        each = Dataset()
        each.FrameVOILUTSequence = [voi]
        groups.append(each)
    rescale = Dataset()
    rescale.RescaleSlope, rescale.RescaleIntercept, rescale.RescaleType = 1, -5, "US"
    shared = groups[0] if len(groups) == 1 else Dataset()
    shared.PixelValueTransformationSequence = [rescale]
    return one_image(
        factory,
        *findings,
        SOPClassUID=TOMOSYNTHESIS,
        NumberOfFrames=4,
        SharedFunctionalGroupsSequence=[shared],
        PerFrameFunctionalGroupsSequence=groups if len(groups) > 1 else [],
    )


def frames_of(item: Dataset) -> Any:
    (referenced,) = item.ReferencedImageSequence
    return referenced.get("ReferencedFrameNumber")


def test_a_finding_on_a_frame_is_drawn_on_that_frame_only(factory: SimpleNamespace) -> None:
    found = (
        factory.finding(frame_number=3),
        factory.finding(60, 20, frame_number=2),
        factory.finding(20, 20),
        factory.finding(60, 90, frame_number=9),
    )
    state = only_state(tomosynthesis(factory, [(2048, 4096)], *found))
    boxes_by_frame = {
        frames_of(item): len(item.GraphicObjectSequence)
        for item in state.GraphicAnnotationSequence
        if "GraphicObjectSequence" in item
    }
    assert boxes_by_frame == {3: 1, 2: 1, None: 2}
    assert frames_of(state.GraphicAnnotationSequence[-1]) is None


def test_a_frame_number_on_an_image_without_frames_is_not_written(factory: SimpleNamespace) -> None:
    state = only_state(one_image(factory, factory.finding(frame_number=1)))
    assert frames_of(state.GraphicAnnotationSequence[0]) is None


def test_frames_keep_their_windows(factory: SimpleNamespace) -> None:
    shared = only_state(tomosynthesis(factory, [(2048, 4096)]))
    (item,) = shared.SoftcopyVOILUTSequence
    assert (item.WindowCenter, item.WindowWidth) == (2048, 4096)
    assert "ReferencedImageSequence" not in item
    assert shared.RescaleIntercept == -5
    each = only_state(tomosynthesis(factory, [(100, 50), (100, 50), (300, 50), (100, 50)]))
    windows = {tuple(np.atleast_1d(frames_of(item))): item.WindowCenter for item in each.SoftcopyVOILUTSequence}
    assert windows == {(1, 2, 4): 100, (3,): 300}


# The object


def test_one_state_for_each_image_with_findings(factory: SimpleNamespace) -> None:
    images = factory.four_views()
    report = factory.study_report(
        (images[0], *(replace(image, findings=(factory.finding(),)) for image in images[1:3]), images[3])
    )
    made = make_objects(report, KIND)
    assert [each.referenced_sop_instance_uid for each in made] == [i.header.SOPInstanceUID for i in images[1:3]]
    assert [dcmread(BytesIO(each.content)).InstanceNumber for each in made] == [1, 2]
    assert len({each.sop_instance_uid for each in made}) == 2
    assert len({each.series_instance_uid for each in made}) == 1


def test_nothing_found_or_not_analysed_gives_no_state(case: tuple[str, StudyReport]) -> None:
    name, report = case
    assert bool(states(report)) == (name in WITH_STATES)


@pytest.mark.parametrize(
    "attributes",
    [{"Rows": None}, {"Columns": 0}, {"PhotometricInterpretation": "RGB"}],
)
def test_an_image_that_no_state_can_refer_to_has_none(factory: SimpleNamespace, attributes: dict[str, Any]) -> None:
    assert states(one_image(factory, **attributes)) == []


def test_the_state_refers_to_its_image_and_shows_all_of_it(factory: SimpleNamespace) -> None:
    report = one_image(factory)
    header, state = report.images[0].header, only_state(report)
    (series,) = state.ReferencedSeriesSequence
    assert series.SeriesInstanceUID == header.SeriesInstanceUID
    uids = {each.ReferencedImageSequence[0].ReferencedSOPInstanceUID for each in state.GraphicAnnotationSequence}
    assert uids == {series.ReferencedImageSequence[0].ReferencedSOPInstanceUID} == {header.SOPInstanceUID}
    (area,) = state.DisplayedAreaSelectionSequence
    assert list(area.DisplayedAreaTopLeftHandCorner) == [1, 1]
    assert list(area.DisplayedAreaBottomRightHandCorner) == [COLUMNS, ROWS]
    assert area.PresentationSizeMode == "SCALE TO FIT"


@pytest.mark.parametrize(
    ("attributes", "ratio"),
    [
        ({}, [1, 1]),
        ({"ImagerPixelSpacing": [0.1, 0.05]}, [2, 1]),
        ({"ImagerPixelSpacing": [0.07, 0.14], "PixelAspectRatio": [1, 1]}, [1, 2]),
        ({"ImagerPixelSpacing": None, "PixelAspectRatio": [4, 3]}, [4, 3]),
        ({"ImagerPixelSpacing": None, "PixelAspectRatio": [4, 0]}, [1, 1]),
        ({"ImagerPixelSpacing": [0.0000001, 100]}, [1, 1]),
        ({"ImagerPixelSpacing": None}, [1, 1]),
    ],
)
def test_pixels_keep_their_shape_and_viewers_get_no_spacing_to_measure_with(
    factory: SimpleNamespace, attributes: dict[str, Any], ratio: list[int]
) -> None:
    (area,) = only_state(one_image(factory, **attributes)).DisplayedAreaSelectionSequence
    assert list(area.PresentationPixelAspectRatio) == ratio
    assert "PresentationPixelSpacing" not in area


def test_the_state_names_itself_its_maker_and_the_reports_time(factory: SimpleNamespace) -> None:
    state = only_state(one_image(factory))
    assert (state.Modality, state.SeriesNumber, state.SOPClassUID) == ("PR", 9005, "1.2.840.10008.5.1.4.1.1.11.1")
    assert (state.ContentLabel, state.ContentDescription) == ("AI FINDINGS", "AI marks on R CC, research use")
    assert (state.PresentationCreationDate, state.PresentationCreationTime) == ("20260102", "030405.000678")
    assert (str(state.ContentCreatorName), state.Laterality) == ("mammonode", "R")
    assert "ContentDate" not in state


def test_a_series_with_both_sides_states_none(factory: SimpleNamespace) -> None:
    images = tuple(replace(image, findings=(factory.finding(),)) for image in factory.four_views())
    assert {state.Laterality for state in states(factory.study_report(images))} == {""}


def test_a_revision_says_which_states_it_replaces(factory: SimpleNamespace) -> None:
    old = ReplacedResult(
        variant="presentation_state",
        revision=1,
        sop_class_uid="1.2.840.10008.5.1.4.1.1.11.1",
        sop_instance_uid="2.25.7",
        series_instance_uid="2.25.8",
    )
    state = only_state(replace(one_image(factory), revision=2, replaces=(old,)))
    assert state.SeriesDescription == "AI marks (research use), revision 2 replaces 1"


@pytest.mark.filterwarnings("ignore")  # pydicom warns of the character set
def test_names_are_copied_as_bytes_and_own_words_are_ascii(factory: SimpleNamespace) -> None:
    report = one_image(factory, WindowCenter=100, WindowWidth=50, VOILUTSequence=[table(0, 12, CURVE * 4095)])
    raw = b"M\xfcller^J\xf6rg"
    tag = Tag("PatientName")
    report.images[0].header[tag] = RawDataElement(tag, "PN", len(raw), raw, 0, False, True)
    report = replace(report, algorithms=(factory.detector(name="Brüste"),))
    (made,) = make_objects(report, KIND)
    state = dcmread(BytesIO(made.content))
    assert state.get_item(tag).value == raw + b" "
    del state[tag]
    written_by_us = [each.value for each in state.iterall() if each.VR in {"LO", "SH", "ST", "UT", "PN"}]
    assert written_by_us
    assert all(str(value).isascii() for value in written_by_us)


# Validators


def complaints(output: str) -> list[str]:
    """Attributes that dcmpschk finds fault with; it takes no DT with an offset from UTC (PS3.5 6.2)."""
    affected = re.findall(r"Affected attribute: (\w+)", output)
    return [name for name in affected if name != "ContributionDateTime"]


@pytest.mark.peer
@pytest.mark.parametrize("name", ["a narrow window", "a VOI LUT", "a VOI LUT that starts below zero", "a modality LUT"])
def test_dciodvfy_and_dcmpschk_find_no_error(factory: SimpleNamespace, need: Need, tmp_path: Path, name: str) -> None:
    need("dciodvfy", "dcmpschk")
    path = written(tmp_path / "source.dcm", monochrome1=False, attributes=GREYSCALES[name])
    report, _ = reported(factory, path)
    check(report, tmp_path)


@pytest.mark.peer
def test_validators_find_no_error_in_states_of_frames_and_of_both_sides(
    factory: SimpleNamespace, need: Need, tmp_path: Path
) -> None:
    need("dciodvfy", "dcmpschk")
    found = (factory.finding(frame_number=3), factory.finding(60, 20, "benign"))
    check(tomosynthesis(factory, [(100, 50), (100, 50), (300, 50), (100, 50)], *found), tmp_path)
    images = tuple(replace(image, findings=(factory.finding(),)) for image in factory.four_views())
    check(factory.study_report(images), tmp_path)


def check(report: StudyReport, folder: Path) -> None:
    for made in make_objects(report, KIND):
        path = folder / "state.dcm"
        path.write_bytes(made.content)
        checks = [
            subprocess.run((program, str(path)), capture_output=True, text=True, errors="replace", check=False)
            for program in ("dciodvfy", "dcmpschk")
        ]
        iod, state = (done.stdout + done.stderr for done in checks)
        assert not [line for line in iod.splitlines() if line.startswith("Error")], iod
        assert "Testing" in state
        assert complaints(state) == [], state


@pytest.mark.peer
@pytest.mark.shared
@pytest.mark.parametrize(
    "name",
    [
        "mg-exam-a/L_CC.dcm",
        "mg-exam-a/R_MLO.dcm",
        "mg-exam-b/R_CC.dcm",
        "odd/MG_Explicit_Little.dcm",
        "odd/MG-Im-GE_Seno_1_ForPresentation.dcm",
        "odd/MG-Im-GE_Seno_2_ForPresentation.dcm",
    ],
)
@pytest.mark.filterwarnings("ignore")  # some of the files are odd on purpose
def test_real_images_look_the_same_through_their_states(
    factory: SimpleNamespace, need: Need, shared_dir: Path, tmp_path: Path, name: str
) -> None:
    need("dcmp2pgm")
    report, decoded = reported(factory, shared_dir / "data" / "dicom" / name, (0, 0, 2, 1))
    display = report.images[0].display
    assert display is not None
    assert np.abs(rendered(report, decoded, tmp_path) - display).max() <= 1
