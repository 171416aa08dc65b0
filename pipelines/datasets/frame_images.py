"""The frames of a manifest, read as they are trained on and evaluated: as the node shows them to its networks.

What was drawn into a frame is filled with the tissue beside it, as `pipelines.ultrasound.frames` does: the node's
networks never see callipers, and one that was trained on them would have learned that people measure lesions.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage

from models.training.frames import FrameLesion, TrainingFrame
from models.us_segmentation.regions import box_of
from pipelines.datasets.folds import FOLDS, assign_folds
from pipelines.datasets.frame_manifest import FrameEntry, LesionEntry, read_frames
from pipelines.datasets.near_duplicates import likeness, pairs_apart, structure
from pipelines.errors import ManifestInvalid, UnusableImage
from pipelines.training import Progress
from pipelines.ultrasound.graphics import find_graphics, neutralised

Pixels = NDArray[np.float32]

CRUMB: Final = 0.05
"""Parts of a mask that are smaller than this beside its largest are slips of the pen, not lesions."""

NAME_DIGITS: Final = 16
WHITE_OF_16_BITS: Final = 65535.0


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadedFrames:
    """The frames of a manifest, with what to say of them: in words and numbers, without anything of a patient."""

    frames: tuple[TrainingFrame, ...]
    note: str

    @property
    def folds(self) -> tuple[int, ...]:
        """The folds that there are."""
        return tuple(sorted({frame.fold for frame in self.frames}))


def load_frames(manifest: Path, *, seed: int, progress: Progress[FrameEntry]) -> LoadedFrames:
    """Read a manifest and all its frames; those without a fold get one of five.

    Raises
    ------
    ManifestInvalid
        It cannot be read, or frames that show the same are in two folds.
    UnusableImage
        A frame cannot be read.
    """
    entries = assign_folds(read_frames(manifest), FOLDS, seed)
    frames = _named_apart([load_frame(entry) for entry in progress(entries, len(entries), "reading frames")])
    problems = tuple(_leaks(entries, frames))
    if problems:
        raise ManifestInvalid(problems)
    return LoadedFrames(frames=frames, note=_note(manifest.name, frames))


def load_frame(entry: FrameEntry) -> TrainingFrame:
    """Read one frame, which has a fold, with its masks; each part of a mask is a lesion.

    Returns
    -------
    TrainingFrame
        Its name is the first `NAME_DIGITS` hexadecimal digits of the SHA-256 of its file.

    Raises
    ------
    UnusableImage
        It cannot be used; the message begins with its line in the manifest, if it has one.
    """
    try:
        pixels = without_drawings(read_grey(entry.path))
        lesions = tuple(one for lesion in entry.lesions for one in _lesions(lesion, pixels.shape))
        with entry.path.open("rb") as file:
            name = hashlib.file_digest(file, "sha256").hexdigest()[:NAME_DIGITS]
    except UnusableImage as error:
        raise UnusableImage(str(error) if entry.line is None else f"line {entry.line}: {error}") from error
    if entry.fold is None:
        raise ValueError("a frame is loaded with its fold")
    return TrainingFrame(
        name=name,
        patient=entry.patient,
        fold=entry.fold,
        pixels=pixels,
        spacing_mm=None if entry.spacing_mm is None else (entry.spacing_mm, entry.spacing_mm),
        lesions=lesions,
        clinical=entry.clinical,
    )


def read_grey(path: Path) -> Pixels:
    """Read a picture of 8 or 16 bits, grey or coloured, as brightness from 0 to 1.

    Raises
    ------
    UnusableImage
        It is damaged, or no such picture.
    """
    try:
        with Image.open(path) as file:
            wide = file.mode.startswith("I")
            values = np.asarray(file if wide else file.convert("L"), dtype=np.float32)
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise UnusableImage(f"a picture is damaged, or no picture ({type(error).__name__})") from error
    white = np.float32(WHITE_OF_16_BITS if wide else 255.0)
    return np.asarray(np.clip(values / white, 0.0, 1.0), dtype=np.float32)


def without_drawings(pixels: Pixels) -> Pixels:
    """Fill text and callipers as the node does before a network sees a frame; shape and range stay."""
    grey = np.ascontiguousarray(255.0 * pixels, dtype=np.float32)
    nothing = np.zeros(grey.shape, dtype=np.bool_)
    filled = neutralised(grey, find_graphics(grey, nothing), nothing)
    return np.asarray(np.clip(filled / np.float32(255.0), 0.0, 1.0), dtype=np.float32)


def read_mask(path: Path) -> NDArray[np.bool_]:
    """Read a mask: a pixel belongs to the lesion when it is brighter than half of the brightest.

    Raises
    ------
    UnusableImage
        It is no picture, or black all over.
    """
    values = read_grey(path)
    if not values.any():
        raise UnusableImage("a mask without any pixel: leave the cell empty for a frame without a lesion")
    return np.asarray(values > values.max() / 2, dtype=np.bool_)


def parts_of(mask: NDArray[np.bool_]) -> Iterator[NDArray[np.bool_]]:
    """The lesions of a mask, largest first, without crumbs."""
    labelled, count = ndimage.label(mask)
    sizes = np.bincount(labelled.ravel(), minlength=count + 1)[1:]
    for number in np.argsort(-sizes, kind="stable"):
        if sizes[number] >= CRUMB * sizes.max():
            yield labelled == number + 1


def _lesions(entry: LesionEntry, shape: tuple[int, ...]) -> Iterator[FrameLesion]:
    if entry.mask is None:
        x0, y0, x1, y1 = entry.box_px or (0.0, 0.0, 0.0, 0.0)
        if x1 > shape[1] or y1 > shape[0]:
            raise UnusableImage(f"a box reaches out of the frame, which has {shape[1]} columns and {shape[0]} rows")
        yield FrameLesion(box_px=(x0, y0, x1, y1), mask=None, label=entry.label, her2=entry.her2)
        return
    mask = read_mask(entry.mask)
    if mask.shape != shape:
        raise UnusableImage("a mask is not of the size of its frame")
    for part in parts_of(mask):
        yield FrameLesion(box_px=box_of(part), mask=part, label=entry.label, her2=entry.her2)


def _named_apart(frames: Sequence[TrainingFrame]) -> tuple[TrainingFrame, ...]:
    """Number frames of one content: a report wants each to have a name of its own."""
    seen: Counter[str] = Counter()
    named = []
    for frame in frames:
        seen[frame.name] += 1
        named.append(frame if seen[frame.name] == 1 else replace(frame, name=f"{frame.name} ({seen[frame.name]})"))
    return tuple(named)


def _leaks(entries: Sequence[FrameEntry], frames: Sequence[TrainingFrame]) -> Iterator[str]:
    alike = likeness([structure(frame.pixels) for frame in frames])
    for first, second in pairs_apart(alike, [frame.fold for frame in frames]):
        lines = f"lines {entries[first].line} and {entries[second].line}"
        yield f"{lines}: frames that show the same, in two folds: give them one patient, or one fold"


def _note(name: str, frames: Sequence[TrainingFrame]) -> str:
    kinds = Counter(frame.truth or ("unlabelled" if frame.lesions else "normal") for frame in frames)
    patients = len({frame.patient for frame in frames})
    of_kinds = ", ".join(f"{count} {kind}" for kind, count in sorted(kinds.items()))
    return f"{name}: {len(frames)} frames of {patients} patients or groups ({of_kinds})"
