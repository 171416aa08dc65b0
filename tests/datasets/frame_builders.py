"""Ultrasound frames as files, of a few thousand pixels, and BUSI as its publishers laid it out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage

from pipelines.datasets.busi import UNKNOWN
from pipelines.datasets.frame_manifest import FrameEntry, LesionEntry

Picture = NDArray[np.uint8]


def tissue(seed: int, rows: int = 90, columns: int = 120) -> Picture:
    """Layers and speckle; another seed is another breast."""
    noise = np.random.default_rng(seed).normal(size=(rows, columns))
    layers = ndimage.gaussian_filter(noise, (2.0, 6.0))
    grain = ndimage.gaussian_filter(np.random.default_rng(seed + 10_000).normal(size=(rows, columns)), 0.8)
    shade = np.linspace(1.2, 0.5, rows)[:, None]
    return np.clip((110 + 55 * layers / layers.std() + 12 * grain / grain.std()) * shade, 1, 255).astype(np.uint8)


def disc(rows: int = 90, columns: int = 120, *, at: tuple[int, int] = (40, 60), radius: int = 14) -> Picture:
    """A mask."""
    y, x = np.mgrid[:rows, :columns]
    return np.where((y - at[0]) ** 2 + (x - at[1]) ** 2 <= radius**2, 255, 0).astype(np.uint8)


def with_lesion(picture: Picture, mask: Picture, darkness: float = 0.3) -> Picture:
    """The picture, darker in the mask."""
    return np.where(mask > 0, picture * darkness, picture).astype(np.uint8)


def save(path: Path, picture: Picture, mode: str = "L") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(picture).convert(mode).save(path)
    return path


def entry(path: Path, **values: Any) -> FrameEntry:
    """A frame of a manifest: normal, of patient p1, unless told otherwise."""
    defaults: dict[str, Any] = {
        "patient": "p1",
        "fold": None,
        "spacing_mm": None,
        "clinical": UNKNOWN,
        "lesions": (),
    }
    return FrameEntry(path=path, **{**defaults, **values})


def lesion(mask: Path | None = None, **values: Any) -> LesionEntry:
    """A lesion of a manifest: benign, unless told otherwise."""
    return LesionEntry(mask=mask, **{"box_px": None, "label": "benign", "her2": None, **values})


def published_busi(folder: Path, *, normals: int = 3, benign: int = 4, malignant: int = 3) -> Path:
    """BUSI as published; its pictures are coloured, its masks grey, and normal frames have black masks."""
    seed = 0
    for kind, count in (("benign", benign), ("malignant", malignant), ("normal", normals)):
        for number in range(1, count + 1):
            seed += 1
            mask = disc(at=(30 + 2 * number, 50 + 3 * number))
            picture = tissue(seed) if kind == "normal" else with_lesion(tissue(seed), mask)
            save(folder / kind / f"{kind} ({number}).png", picture, "RGB")
            save(folder / kind / f"{kind} ({number})_mask.png", np.zeros_like(mask) if kind == "normal" else mask)
    return folder
