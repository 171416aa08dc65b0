"""BUSI as published and as flat folders: masks, groups of frames that show the same, contradictions left out."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from pipelines.datasets.busi import FramesImported
from pipelines.datasets.frame_images import load_frames
from pipelines.datasets.frame_manifest import FrameEntry, read_frames, write_frames
from pipelines.datasets.importers import import_frame_layout, import_layout
from pipelines.datasets.layout import ImportOptions
from pipelines.errors import LayoutUnreadable
from tests.datasets.frame_builders import disc, published_busi, save, tissue, with_lesion

OPTIONS = ImportOptions()


def imported(folder: Path, options: ImportOptions = OPTIONS) -> FramesImported:
    return import_frame_layout("busi", folder, options)


def by_name(result: FramesImported) -> dict[str, FrameEntry]:
    return {frame.path.stem: frame for frame in result.frames}


def test_the_published_layout_is_read_with_its_classes_and_masks(tmp_path: Path) -> None:
    folder = published_busi(tmp_path / "Dataset_BUSI_with_GT")
    save(folder / "benign" / "benign (2)_mask_1.png", disc(at=(70, 100), radius=8))
    result = imported(tmp_path)
    frames = by_name(result)
    assert len(frames) == 10 and result.left_out == ()
    assert [lesion.label for lesion in frames["malignant (1)"].lesions] == ["malignant"]
    assert frames["normal (3)"].lesions == ()
    masks = [lesion.mask.name for lesion in frames["benign (2)"].lesions if lesion.mask]
    assert masks == ["benign (2)_mask.png", "benign (2)_mask_1.png"]
    assert len(frames["benign (1)"].lesions) == 1
    assert all(1 <= (frame.fold or 0) <= 5 for frame in result.frames)


def test_the_flat_layout_is_read_too(tmp_path: Path) -> None:
    named = (("benign-1", "images"), ("malignant-12", "images"), ("normal-3", "normal-256"))
    for seed, (name, folder) in enumerate(named):
        save(tmp_path / folder / f"{name}.png", tissue(seed))
    for name in ("benign-1", "malignant-12"):
        save(tmp_path / "masks" / f"{name}.png", disc())
    result = imported(tmp_path, ImportOptions(spacing_mm=0.1))
    assert {name: [one.label for one in frame.lesions] for name, frame in by_name(result).items()} == {
        "benign-1": ["benign"],
        "malignant-12": ["malignant"],
        "normal-3": [],
    }
    assert {frame.spacing_mm for frame in result.frames} == {0.1}


def test_what_is_imported_is_a_manifest_without_leaks(tmp_path: Path) -> None:
    result = imported(published_busi(tmp_path / "busi"))
    write_frames(tmp_path / "frames.csv", result.frames)
    assert read_frames(tmp_path / "frames.csv") == result.frames
    loaded = load_frames(tmp_path / "frames.csv", seed=0, progress=lambda items, _count, _doing: items)
    assert loaded.note.endswith("10 frames of 10 patients or groups (4 benign, 3 malignant, 3 normal)")


def test_frames_that_show_the_same_are_one_group_in_one_fold(tmp_path: Path) -> None:
    folder = published_busi(tmp_path)
    mask = disc(at=(32, 53))
    copy = with_lesion(tissue(1), mask)[4:, 6:]
    save(folder / "benign" / "benign (17).png", copy)
    save(folder / "benign" / "benign (17)_mask.png", mask[4:, 6:])
    frames = by_name(imported(folder))
    assert frames["benign (17)"].patient == frames["benign (1)"].patient
    assert frames["benign (17)"].fold == frames["benign (1)"].fold
    assert len({frame.patient for frame in frames.values()}) == 10
    assert {patient[:5] for patient in (frame.patient for frame in frames.values())} == {"busi-"}


def test_the_same_frame_with_another_class_is_left_out_on_both_sides(tmp_path: Path) -> None:
    folder = published_busi(tmp_path)
    original, mask = with_lesion(tissue(2), disc(at=(34, 56))), disc(at=(34, 56))
    save(folder / "malignant" / "malignant (9).png", np.clip(original * 0.9, 0, 255).astype(np.uint8))
    save(folder / "malignant" / "malignant (9)_mask.png", mask)
    result = imported(folder)
    assert not {"benign (2)", "malignant (9)"} & by_name(result).keys()
    assert result.left_out == ("the same frame is there with another class",) * 2


def test_a_frame_without_a_usable_mask_is_left_out_with_the_reason(tmp_path: Path) -> None:
    folder = published_busi(tmp_path)
    (folder / "benign" / "benign (1)_mask.png").unlink()
    save(folder / "benign" / "benign (2)_mask.png", np.zeros((90, 120), dtype=np.uint8))
    (folder / "benign" / "benign (3).png").write_bytes(b"no picture")
    result = imported(folder)
    assert not {"benign (1)", "benign (2)", "benign (3)"} & by_name(result).keys()
    assert len(result.left_out) == 3 and result.left_out[0] == "a lesion without a mask"


def test_the_same_seed_gives_the_same_folds(tmp_path: Path) -> None:
    folder = published_busi(tmp_path)
    assert imported(folder) == imported(folder)


def test_a_folder_of_another_layout_is_refused(tmp_path: Path) -> None:
    with pytest.raises(LayoutUnreadable, match="BUSI is neither"):
        imported(tmp_path)
    with pytest.raises(LayoutUnreadable, match="no such folder"):
        imported(tmp_path / "none")
    with pytest.raises(LayoutUnreadable, match=r"mini_mias, busi$"):
        import_layout("ddsm", tmp_path, OPTIONS)
    save(tmp_path / "images" / "benign-1.png", tissue(0))
    with pytest.raises(LayoutUnreadable, match="no frame that can be used"):
        imported(tmp_path)


@pytest.mark.shared
def test_the_shared_part_of_busi_has_groups_and_no_leak(shared_dir: Path) -> None:
    result = imported(shared_dir / "data" / "busi")
    assert len(result.frames) + len(result.left_out) == 480
    assert set(result.left_out) == {"the same frame is there with another class"} and len(result.left_out) == 8
    assert 355 <= len({frame.patient for frame in result.frames}) <= 380
    names = by_name(result)
    for first, second in (("benign-233", "benign-299"), ("malignant-27", "malignant-28"), ("normal-97", "normal-98")):
        assert names[first].patient == names[second].patient
    assert names["benign-62"].patient != names["malignant-1"].patient
