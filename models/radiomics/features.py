"""Features of a lesion by pyradiomics: 95, 961 or 1,409 of them, as the three papers count.

No paper says which features they are. What is computed here is in ``configs/features-*.yaml``, parameter files of
pyradiomics (van Griethuysen et al., Cancer Research 77 (2017) e104), and why is in the card. A file may hold several
parameter files (YAML documents); their features come one after the other. The values are those of pyradiomics itself.

pyradiomics is built from source, which ``make research`` does. Nothing here imports it before an extractor is made.
"""

from __future__ import annotations

import logging
import math
import warnings
from collections.abc import Mapping
from functools import cached_property
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

import numpy as np
import yaml
from numpy.typing import NDArray

from models.regions.contract import LesionView

FEATURES_OF: Final[Mapping[str, int]] = MappingProxyType(
    {"radiomics-er": 95, "radiomics-her2-ultrasound": 961, "radiomics-her2": 1409, "radiomics-node": 1409}
)
"""How many features of a view each model is given."""

WHITE: Final = 255.0
"""Grey value of pixels of 1.0; bin widths are meant for it."""

LEAST_PX: Final = 16
"""Of a lesion with fewer pixels texture is not computed."""

SHAPE_PX: Final = 6000
"""The mask of a larger lesion is made coarser before the shape of a volume is measured, in the same unit of length:
pyradiomics compares every point of the surface with every other, which of 200,000 pixels takes minutes."""


def missing_packages(*, lbp: bool = False) -> tuple[str, ...]:
    """Names of the packages that are needed and not installed; local binary patterns need one more."""
    needed = {"radiomics": "pyradiomics", "SimpleITK": "simpleitk"} | ({"skimage": "scikit-image"} if lbp else {})
    return tuple(package for module, package in needed.items() if find_spec(module) is None)


def available() -> bool:
    """Whether features other than local binary patterns can be computed."""
    return not missing_packages()


def settings_text(features: int) -> str:
    """Return the parameter file that gives so many features: 95, 961 or 1409."""
    path = Path(__file__).parent / "configs" / f"features-{features}.yaml"
    return path.read_text(encoding="utf-8")


class FeatureExtractor:
    """Computes features; reading pyradiomics takes seconds, so one is made for many lesions.

    One thread at a time may use it.

    Parameters
    ----------
    settings : str
        Parameter files of pyradiomics as a YAML stream, e.g. from `settings_text`.

    Raises
    ------
    ModuleNotFoundError
        pyradiomics or what it needs is not installed.
    """

    def __init__(self, settings: str) -> None:
        documents: list[dict[str, Any]] = list(yaml.safe_load_all(settings))
        if lacking := missing_packages(lbp=any("LBP2D" in document["imageType"] for document in documents)):
            raise ModuleNotFoundError(f"{', '.join(lacking)}: not installed; `make research` installs what is needed")
        extractor = import_module("radiomics.featureextractor").RadiomicsFeatureExtractor
        self._sitk = import_module("SimpleITK")
        _silence()
        self._parts = [(extractor(document), "shape" in document["featureClass"]) for document in documents]

    @cached_property
    def names(self) -> tuple[str, ...]:
        """Names of the features, in the order of `features`: ``original_firstorder_Energy`` and so on."""
        y, x = np.mgrid[:24, :24]
        mask = (y - 12) ** 2 + (x - 12) ** 2 <= 64
        return tuple(self._measured((7 * y * x % 97).astype(np.float32) / 97, mask))

    def features(self, view: LesionView) -> NDArray[np.float64]:
        """Return the features of a lesion on one image, shape ``(len(names),)``; NaN where one is not defined.

        Raises
        ------
        ValueError
            The pixels are not finite, the lesion has fewer than `LEAST_PX` pixels, or it is one row or column wide.
        """
        if not np.isfinite(view.pixels).all():
            raise ValueError("the image of the lesion has values that are not finite")
        count, rows, columns = int(view.mask.sum()), view.mask.any(axis=1).sum(), view.mask.any(axis=0).sum()
        if count < LEAST_PX or rows < 2 or columns < 2:
            raise ValueError(
                f"a lesion of {count} pixels in {rows} rows and {columns} columns is too small for texture: "
                f"it takes {LEAST_PX} pixels in at least 2 of each"
            )
        found = np.array(list(self._measured(view.pixels, view.mask).values()), dtype=np.float64)
        return np.where(np.isfinite(found), found, np.nan)

    def _measured(self, pixels: NDArray[np.float32], mask: NDArray[np.bool_]) -> dict[str, float]:
        found: dict[str, float] = {}
        flat = self._image(WHITE * pixels.astype(np.float64)), self._image(mask.astype(np.uint8))
        for extractor, of_volume in self._parts:
            image, labels = self._slice_of(mask) if of_volume else flat
            with warnings.catch_warnings(), np.errstate(all="ignore"):  # what is not defined comes back as NaN
                warnings.simplefilter(
                    "ignore"
                )  # scikit-image warns of LBP on floats, which is how pyradiomics calls it
                values = extractor.execute(image, labels)
            found |= {str(name): float(value) for name, value in values.items()}
        return found

    def _image(self, values: NDArray[Any]) -> Any:
        return self._sitk.GetImageFromArray(values)

    def _slice_of(self, mask: NDArray[np.bool_]) -> tuple[Any, Any]:
        """Return a volume of one slice and the lesion on it, for the shape alone."""
        factor = math.ceil(math.sqrt(mask.sum() / SHAPE_PX))
        labels = self._image(coarser(mask, factor).astype(np.uint8)[None])
        labels.SetSpacing((float(factor), float(factor), 1.0))
        return self._sitk.Cast(labels, self._sitk.sitkFloat64), labels


def coarser(mask: NDArray[np.bool_], factor: int) -> NDArray[np.bool_]:
    """Return a mask whose pixels are blocks of `factor` x `factor`: lesion where at least half of the block is."""
    if factor == 1:
        return mask
    rows, columns = (-(-side // factor) * factor for side in mask.shape)
    padded = np.zeros((rows, columns))
    padded[: mask.shape[0], : mask.shape[1]] = mask
    return np.asarray(padded.reshape(rows // factor, factor, columns // factor, factor).mean(axis=(1, 3)) >= 0.5)


def _silence() -> None:
    """Keep pyradiomics quiet: on every call it says what it computes, by its own handler on stderr."""
    logger = logging.getLogger("radiomics")
    logger.handlers.clear()
    logger.addHandler(logging.NullHandler())
    logger.propagate = False
    logger.setLevel(logging.CRITICAL + 1)
