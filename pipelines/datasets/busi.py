"""BUSI: frames of breast ultrasound with masks, benign, malignant and normal.

Al-Dhabyani, Gomaa, Khaled, Fahmy: Dataset of breast ultrasound images, Data in Brief 28 (2020) 104863. As published:
folders ``benign``, ``malignant`` and ``normal`` with ``benign (1).png``, ``benign (1)_mask.png``, and ``benign
(1)_mask_1.png`` where there are several lesions. Also read: folders ``images`` and ``masks`` with ``benign-1.png`` in
both, one mask a frame, and normal frames in ``normal`` or ``normal-256``.

Patients are not named, and many frames are there more than once, some with another class (Pawlowska, Karwat and Zolek,
Data in Brief 48 (2023) 109247). Frames that show the same (`pipelines.datasets.near_duplicates`) are one group, which
stands in the column patient and goes in one fold; frames that are the same but for their class are left out, since one
of them is wrong.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Final, Literal

from models.contract import Label
from models.training.frames import Clinical
from pipelines.datasets.folds import assign_folds
from pipelines.datasets.frame_images import read_grey, read_mask
from pipelines.datasets.frame_manifest import FrameEntry, LesionEntry
from pipelines.datasets.layout import ImportOptions
from pipelines.datasets.near_duplicates import groups, likeness, structure
from pipelines.errors import LayoutUnreadable, UnusableImage

Kind = Literal["benign", "malignant", "normal"]
KINDS: Final[tuple[Kind, ...]] = ("benign", "malignant", "normal")
LABELS: Final[Mapping[Kind, Label | None]] = MappingProxyType(
    {"benign": "benign", "malignant": "malignant", "normal": None}
)

SAME: Final = 0.8
"""Likeness from which two frames of different classes contradict each other: the same plane of the same lesion."""

UNKNOWN: Final = Clinical(age=None, stage=None, birads=None)
_PUBLISHED: Final = re.compile(r"(benign|malignant|normal) \((\d+)\)\.png")
_FLAT: Final = re.compile(r"(benign|malignant|normal)-(\d+)\.png")


@dataclass(frozen=True, slots=True, kw_only=True)
class FramesImported:
    """The frames of a data set, and why each of the others was left out, one reason a frame."""

    frames: tuple[FrameEntry, ...]
    left_out: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Found:
    path: Path
    kind: Kind
    number: int
    masks: tuple[Path, ...]


def import_busi(folder: Path, options: ImportOptions) -> FramesImported:
    """Every readable frame, in groups of those that show the same, in five folds by group.

    Raises
    ------
    LayoutUnreadable
        The folder is laid out otherwise.
    """
    found = sorted(_found(folder), key=lambda one: (KINDS.index(one.kind), one.number))
    if not found:
        raise LayoutUnreadable(
            "BUSI is neither in this folder nor in one below it: benign, malignant and normal with benign (1).png, "
            "or images and masks with benign-1.png"
        )
    kept, structures, left_out = [], [], []
    for one in found:
        try:
            if one.kind != "normal" and not one.masks:
                raise UnusableImage("a lesion without a mask")
            for mask in one.masks:
                read_mask(mask)
            structures.append(structure(read_grey(one.path)))
            kept.append(one)
        except UnusableImage as error:
            left_out.append(str(error))
    if not kept:
        raise LayoutUnreadable(f"no frame that can be used in this folder; left out, for instance: {left_out[0]}")
    alike = likeness(structures)
    group = groups(alike)
    contradicted = {
        first for first, second in zip(*(alike >= SAME).nonzero(), strict=True) if kept[first].kind != kept[second].kind
    }
    left_out += ["the same frame is there with another class"] * len(contradicted)
    frames = [
        _entry(one, f"busi-{group[index]:03}", options) for index, one in enumerate(kept) if index not in contradicted
    ]
    return FramesImported(frames=assign_folds(frames, seed=options.seed), left_out=tuple(left_out))


def _found(folder: Path) -> Iterator[_Found]:
    """Frames of either layout, in this folder or in one below it."""
    for root in (folder, *sorted(path for path in folder.iterdir() if path.is_dir())):
        published, flat = list(_published(root)), list(_flat(root))
        if published or flat:
            yield from published or flat
            return


def _published(root: Path) -> Iterator[_Found]:
    for kind in KINDS:
        for path in sorted((root / kind).glob("*.png")):
            match = _PUBLISHED.fullmatch(path.name)
            if match and match[1] == kind:
                masks = () if kind == "normal" else _masks(path)
                yield _Found(path=path, kind=kind, number=int(match[2]), masks=masks)


def _masks(path: Path) -> tuple[Path, ...]:
    """``..._mask.png``, ``..._mask_1.png`` and so on, of one frame."""
    begin = f"{path.stem}_mask"
    return tuple(sorted(other for other in path.parent.glob("*.png") if other.stem.startswith(begin)))


def _flat(root: Path) -> Iterator[_Found]:
    for folder in ("images", "normal", "normal-256"):
        for path in sorted((root / folder).glob("*.png")):
            match = _FLAT.fullmatch(path.name)
            if match is None:
                continue
            kind = next(one for one in KINDS if one == match[1])
            mask = root / "masks" / path.name
            masks = (mask,) if kind != "normal" and mask.is_file() else ()
            yield _Found(path=path, kind=kind, number=int(match[2]), masks=masks)


def _entry(one: _Found, group: str, options: ImportOptions) -> FrameEntry:
    label = LABELS[one.kind]
    return FrameEntry(
        path=one.path.absolute(),
        patient=group,
        fold=None,
        spacing_mm=options.spacing_mm,
        clinical=UNKNOWN,
        lesions=tuple(LesionEntry(mask=mask.absolute(), box_px=None, label=label, her2=None) for mask in one.masks),
    )
