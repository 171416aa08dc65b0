"""The manifest of ultrasound frames: what is read back is what was written, and every error is told with its line."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy import ndimage

from models.training.frames import Clinical
from pipelines.datasets.folds import assign_folds
from pipelines.datasets.frame_images import load_frame, load_frames, parts_of, read_grey, read_mask
from pipelines.datasets.frame_manifest import FrameEntry, read_frames, write_frames
from pipelines.datasets.frame_rows import COLUMNS
from pipelines.errors import ManifestInvalid, UnusableImage
from pipelines.training import Progress
from pipelines.ultrasound.frames import frames
from pipelines.ultrasound.plan import plan_frames
from tests.datasets.builders import write_rows
from tests.datasets.frame_builders import disc, entry, lesion, save, tissue, with_lesion
from tests.pipelines.ultrasound import screens

HEADER = COLUMNS


def quietly(items: object, _count: int, _doing: str) -> object:
    return items


QUIET: Progress = quietly  # type: ignore[assignment]  # of any items


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for number in range(4):
        save(tmp_path / f"{number}.png", tissue(number))
    save(tmp_path / "mask.png", disc())
    return tmp_path


def problems(folder: Path, *rows: tuple[object, ...], header: tuple[str, ...] = HEADER) -> str:
    path = write_rows(folder / "frames.csv", header, rows)
    with pytest.raises(ManifestInvalid) as told:
        read_frames(path)
    return "\n".join(told.value.problems)


def row(image: str = "0.png", patient: str = "p1", fold: object = 1, **cells: object) -> tuple[object, ...]:
    given = {"image": image, "patient": patient, "fold": fold, **cells}
    return tuple(given.get(name, "") for name in HEADER)


def test_what_is_written_is_read_back(folder: Path) -> None:
    frames = (
        entry(
            folder / "0.png",
            fold=2,
            spacing_mm=0.08,
            clinical=Clinical(age=61.0, stage=2.0, birads=4.75),
            lesions=(
                lesion(folder / "mask.png", label="malignant", her2="positive"),
                lesion(box_px=(1.0, 2.5, 30.0, 40.0), label=None),
            ),
        ),
        entry(folder / "1.png", patient="p2"),
    )
    write_frames(folder / "frames.csv", frames)
    assert read_frames(folder / "frames.csv") == frames
    assert str(folder) not in (folder / "frames.csv").read_text()
    assert [frame.line for frame in read_frames(folder / "frames.csv")] == [2, 4]


def test_stage_and_birads_are_read_as_people_write_them(folder: Path) -> None:
    rows = [row(patient="a", stage="III", birads="4c"), row("1.png", "b", stage="3", birads="5"), row("2.png", "c")]
    read = read_frames(write_rows(folder / "frames.csv", HEADER, rows))
    assert [(frame.clinical.stage, frame.clinical.birads) for frame in read] == [(3.0, 4.75), (3.0, 5.0), (None, None)]


@pytest.mark.parametrize(
    ("cells", "told"),
    [
        ({"image": ""}, "image is empty"),
        ({"image": "none.png"}, "no such file"),
        ({"image": "0.dcm"}, "must be PNG"),
        ({"patient": ""}, "patient is empty"),
        ({"fold": "0"}, "fold: must be a whole number"),
        ({"fold": "1.5"}, "fold: must be a whole number"),
        ({"mask": "none.png"}, "mask: no such file"),
        ({"label": "cyst", "mask": "mask.png"}, "label: must be benign, malignant"),
        ({"label": "benign"}, "without a lesion"),
        ({"her2": "positive"}, "without a lesion"),
        ({"mask": "mask.png", "x0": 1, "y0": 1, "x1": 2, "y1": 2}, "a mask and a box"),
        ({"x0": 1, "y0": 1, "x1": 1, "y1": 2}, "a box out of order"),
        ({"x0": 1}, "an incomplete box"),
        ({"spacing_mm": "0"}, "spacing_mm: must be above 0"),
        ({"age": "old"}, "age: must be a finite number"),
        ({"stage": "V"}, "stage: must be I to IV"),
        ({"birads": "7"}, "birads: must be 0 to 6"),
    ],
)
def test_a_cell_that_cannot_be_is_told_with_its_line_and_is_not_repeated(
    folder: Path, cells: dict[str, object], told: str
) -> None:
    text = problems(folder, row("1.png", "other", 3), row(**cells))  # type: ignore[arg-type]  # cells of any column
    assert text.startswith("line 3: ") and told in text
    assert "cyst" not in text and "none.png" not in text


def test_rows_of_one_frame_must_agree(folder: Path) -> None:
    assert "spacing_mm differs from line 2" in problems(
        folder, row(mask="mask.png"), row(x0=1, y0=1, x1=5, y1=5, spacing_mm=0.1)
    )
    assert "this lesion is already in line 2" in problems(folder, row(mask="mask.png"), row(mask="mask.png"))
    assert "no lesion, but this frame has one" in problems(folder, row(mask="mask.png"), row())


def test_one_patient_in_two_folds_is_leakage(folder: Path) -> None:
    told = problems(folder, row(), row("1.png", fold=2))
    assert "line 2: one patient in two folds (1 in line 2, 2 in line 3): all frames of the patient go in one" in told


def test_a_frame_without_a_fold_goes_in_that_of_its_patient(folder: Path) -> None:
    read = read_frames(write_rows(folder / "frames.csv", HEADER, [row(fold=3), row("1.png", fold="")]))
    assert [frame.fold for frame in assign_folds(read)] == [3, 3]


def test_a_table_that_is_none_is_told(folder: Path) -> None:
    assert "the columns are" in problems(folder, ("0.png", "p"), header=("image", "name"))
    assert "the file has no rows" in problems(folder)
    assert "more cells than columns" in problems(folder, (*row(), "x"))
    (folder / "bytes.csv").write_bytes(b"image,patient\n\xff,\n")
    with pytest.raises(ManifestInvalid, match="UTF-8"):
        read_frames(folder / "bytes.csv")
    with pytest.raises(ManifestInvalid, match="cannot be read"):
        read_frames(folder / "none.csv")


def test_a_frame_is_read_with_its_lesions(folder: Path) -> None:
    mask = disc(at=(20, 30), radius=10) | disc(at=(60, 90), radius=12)
    mask[0, 0] = 255  # a slip of the pen
    save(folder / "two.png", mask, "RGB")
    frame = load_frame(
        entry(folder / "0.png", fold=3, spacing_mm=0.1, lesions=(lesion(folder / "two.png", label="malignant"),))
    )
    assert (frame.fold, frame.spacing_mm, frame.truth) == (3, (0.1, 0.1), "malignant")
    assert [one.box_px for one in frame.lesions] == [(78, 48, 103, 73), (20, 10, 41, 31)]
    assert frame.mask.sum() == (mask > 0).sum() - 1
    assert len(frame.name) == 16 and frame.pixels.max() <= 1.0 and frame.pixels.dtype == np.float32


def test_colour_and_16_bits_are_read_as_brightness(folder: Path) -> None:
    from PIL import Image

    picture = tissue(1)
    save(folder / "colour.png", picture, "RGBA")
    Image.fromarray(picture.astype(np.uint16) * 257).save(folder / "wide.png")
    np.testing.assert_allclose(read_grey(folder / "colour.png"), picture / 255, atol=1e-6)
    np.testing.assert_allclose(read_grey(folder / "wide.png"), picture / 255, atol=1e-6)


def test_a_frame_is_read_as_the_node_shows_it_to_its_networks(folder: Path) -> None:
    """The same picture with callipers, as a file of a manifest and as an object that was received."""
    plain = screens.speckle(420, 560)
    picture, drawn = screens.with_callipers(plain)
    save(folder / "measured.png", picture)
    received = screens.write(folder / "measured.dcm", picture, regions=[screens.region((0, 0, 560, 420))])
    (shown,) = frames(received, plan_frames(received, screens.described(received)))
    assert shown.box_px == (0, 0, 560, 420)
    read = load_frame(entry(folder / "measured.png", fold=1)).pixels
    np.testing.assert_allclose(read, shown.pixels, atol=1e-6)
    assert (255 * read[drawn]).max() < 210 and drawn.sum() > 100, "callipers are white"
    far = ~ndimage.binary_dilation(drawn, iterations=40)
    np.testing.assert_allclose(255 * read[far], plain[far], atol=1e-3)


def test_masks_of_ones_and_masks_of_white_are_the_same(folder: Path) -> None:
    save(folder / "ones.png", disc() // 255)
    assert np.array_equal(read_mask(folder / "ones.png"), disc() > 0)
    assert len(list(parts_of(read_mask(folder / "ones.png")))) == 1


def test_what_cannot_be_used_is_told_with_its_line(folder: Path) -> None:
    save(folder / "black.png", np.zeros((90, 120), dtype=np.uint8))
    save(folder / "small.png", disc(40, 40, at=(20, 20)))
    (folder / "text.png").write_text("no picture")
    for lesions, told in (
        ((lesion(folder / "black.png"),), "without any pixel"),
        ((lesion(folder / "small.png"),), "not of the size"),
        ((lesion(folder / "text.png"),), "no picture"),
        ((lesion(box_px=(0.0, 0.0, 121.0, 5.0)),), "reaches out"),
    ):
        with pytest.raises(UnusableImage, match=rf"line 7: .*{told}"):
            load_frame(entry(folder / "0.png", fold=1, lesions=lesions, line=7))


def test_frames_without_a_fold_get_one_and_are_named_apart(folder: Path) -> None:
    save(folder / "copy.png", tissue(0))
    frames: list[FrameEntry] = [entry(folder / f"{number}.png", patient=f"p{number}") for number in range(4)]
    frames.append(entry(folder / "copy.png", patient="p0"))
    write_frames(folder / "frames.csv", frames)
    loaded = load_frames(folder / "frames.csv", seed=0, progress=QUIET)
    assert loaded.folds == (1, 2, 3, 4)
    assert loaded.frames[4].fold == loaded.frames[0].fold
    assert loaded.frames[4].name == f"{loaded.frames[0].name} (2)"
    assert loaded.note == "frames.csv: 5 frames of 4 patients or groups (5 normal)"


def test_frames_that_show_the_same_in_two_folds_are_leakage(folder: Path) -> None:
    mask = disc()
    save(folder / "same.png", with_lesion(tissue(0), mask, 0.9)[2:, 3:])
    frames = [entry(folder / "0.png", patient="a", fold=1), entry(folder / "same.png", patient="b", fold=2)]
    write_frames(folder / "frames.csv", frames)
    with pytest.raises(ManifestInvalid, match="lines 2 and 3: frames that show the same, in two folds"):
        load_frames(folder / "frames.csv", seed=0, progress=QUIET)
