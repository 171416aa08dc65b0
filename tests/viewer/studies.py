"""The generated studies whose findings are shown: what their images are, and where in them things truly are."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from models.contract import BoxPx
from pipelines.phantom import write_study
from tests.pipelines.ultrasound import screens
from tests.pipelines.ultrasound.stand_ins import with_disc
from tests.viewer.stand_in import COLUMNS, ROWS, SEED, SPACING_MM, phantom_views


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownImage:
    """An image, or the frame of one, of which the truth is known.

    Attributes
    ----------
    pixels : numpy.ndarray
        Shape ``(rows, columns)``, 0 (air or a black screen) to `full_scale`.
    frame : int or None
        Its number in a multi-frame object.
    boxes_px : tuple
        Around what is in it, ``(x0, y0, x1, y1)``.
    """

    pixels: NDArray[np.uint16] | NDArray[np.uint8]
    full_scale: int
    frame: int | None
    boxes_px: tuple[BoxPx, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownStudy:
    """Files, in the order of `images`, whose names are those of the pictures that are saved."""

    modality: str
    files: tuple[Path, ...]
    images: Mapping[str, KnownImage]


DISCS: Final = {"still": (300.0, 250.0, 40.0), "cine": (210.0, 180.0, 27.5), "upright": (420.0, 330.0, 55.0)}
"""Centre and radius, in pixels of the screen."""

CINE_FRAME: Final = 2
"""The one of three that shows the disc."""


def mammograms(folder: Path) -> KnownStudy:
    """Write the generated study of four views with planted clusters."""
    files = write_study(folder / "mammograms", SEED, rows=ROWS, columns=COLUMNS, spacing_mm=SPACING_MM)
    images = {
        name: KnownImage(
            pixels=view.pixels, full_scale=4095, frame=None, boxes_px=tuple(box for box, _ in view.lesions)
        )
        for name, view in phantom_views().items()
    }
    return KnownStudy(modality="mammography", files=tuple(files), images=images)


def ultrasound(folder: Path) -> KnownStudy:
    """Write a study of screens of speckle with a dark disc each: two pictures, and a cine of three frames."""
    folder = folder / "ultrasound"
    folder.mkdir()
    files, images = [], {}
    for number, (name, (x, y, radius)) in enumerate(DISCS.items(), start=1):
        bare = screens.screen(seed=number, brightness=110.0, decorated=False)
        shown = with_disc(bare, (x, y), radius)
        cine = name == "cine"
        stack = np.stack([shown if frame == CINE_FRAME else bare for frame in (1, 2, 3)]) if cine else shown
        files.append(
            screens.write(
                folder / f"{name}.dcm",
                np.repeat(stack[..., None], 3, axis=-1),
                multi_frame=cine,
                regions=[screens.region(screens.PICTURE)],
                study_instance_uid="2.25.20010",
                number=number,
                SeriesInstanceUID=f"2.25.2001{number}",
            )
        )
        box = (x - radius, y - radius, x + radius, y + radius)
        images[name] = KnownImage(pixels=shown, full_scale=255, frame=CINE_FRAME if cine else None, boxes_px=(box,))
    return KnownStudy(modality="ultrasound", files=tuple(files), images=images)
