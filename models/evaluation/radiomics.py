"""961 features of a lesion by pyradiomics, as the paper on HER2 compares with.

Xu et al., Frontiers in Oncology 12:829041 (2022), say that there are 961, and not which. Taken here, of pyradiomics
(van Griethuysen et al., Cancer Research 77 (2017) e104) in two dimensions:

* shape of the mask: 9;
* first order, 18 features of 14 images: the original, Laplacian of Gaussian of 1 to 5 px, four wavelet bands, square,
  square root, logarithm, exponential: 252;
* texture, 24 features of GLCM, 16 of GLRLM, 16 of GLSZM and 14 of GLDM, of the first ten of these images: 700. The
  last four keep the order of grey values, so that their texture says what the original's says.

pyradiomics is built from source, which `make research` does. Without it there is no such comparator, and the
report says so.
"""

from __future__ import annotations

import logging
from importlib import import_module
from importlib.util import find_spec
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

FEATURES: Final = 961
BIN_WIDTH: Final = 8.0
"""Grey values of 256 in a bin: a dark lesion spans a hundred."""

TEXTURES: Final = ("glcm", "glrlm", "glszm", "gldm")
FILTERED: Final[dict[str, dict[str, Any]]] = {
    "Original": {},
    "LoG": {"sigma": [1.0, 2.0, 3.0, 4.0, 5.0]},
    "Wavelet": {},
}
TRANSFORMED: Final[dict[str, dict[str, Any]]] = {"Square": {}, "SquareRoot": {}, "Logarithm": {}, "Exponential": {}}
SURROUND_PX: Final = 32
"""Kept around a lesion, so that filters see what is beside it."""

LEAST_PX: Final = 16
"""Of a lesion with fewer pixels texture is not computed."""


def available() -> bool:
    """Whether pyradiomics is installed."""
    return find_spec("radiomics") is not None


class RadiomicsExtractor:
    """Computes the features; reading pyradiomics takes seconds, so one is made for many lesions.

    Raises
    ------
    ModuleNotFoundError
        pyradiomics is not installed.
    """

    def __init__(self) -> None:
        module = import_module("radiomics.featureextractor")
        self._sitk = import_module("SimpleITK")
        logging.getLogger("radiomics").setLevel(logging.ERROR)  # it says on every call what it computes
        classes: dict[str, list[str]] = {name: [] for name in ("shape2D", "firstorder", *TEXTURES)}
        settings = {"binWidth": BIN_WIDTH, "additionalInfo": False, "label": 1}
        self._parts = [
            module.RadiomicsFeatureExtractor({"setting": settings, "imageType": images, "featureClass": features})
            for images, features in ((FILTERED, classes), (TRANSFORMED, {"firstorder": []}))
        ]

    def features(self, pixels: NDArray[np.float32], mask: NDArray[np.bool_]) -> NDArray[np.float64] | None:
        """Return the features of one lesion, shape ``(961,)``, in pyradiomics' order; NaN where one is not defined.

        Parameters
        ----------
        pixels, mask : numpy.ndarray
            Shape ``(rows, columns)``, float32, 0 to 1, and bool.

        Returns
        -------
        numpy.ndarray or None
            None for a lesion of fewer than `LEAST_PX` pixels, or one row or column wide.

        Raises
        ------
        ValueError
            This pyradiomics gives another number of features.
        """
        rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
        if mask.sum() < LEAST_PX or len(rows) < 2 or len(columns) < 2:
            return None
        within = tuple(slice(max(found[0] - SURROUND_PX, 0), found[-1] + 1 + SURROUND_PX) for found in (rows, columns))
        image = self._sitk.GetImageFromArray(255.0 * pixels[within].astype(np.float64))
        labels = self._sitk.GetImageFromArray(mask[within].astype(np.uint8))
        found = [value for part in self._parts for value in part.execute(image, labels).values()]
        if len(found) != FEATURES:
            raise ValueError(f"this pyradiomics gives {len(found)} features, not {FEATURES}")
        return np.array([float(value) for value in found], dtype=np.float64)
