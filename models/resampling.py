"""How an image is brought to the spacing of a model: the same in analysis and in training."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Pixels = NDArray[np.float32]


def resample(pixels: Pixels, shape: tuple[int, int]) -> Pixels:
    """Resample to `shape`, corner to corner, averaging over the area of a new pixel when shrinking.

    Each axis shrinks with a Hamming window as wide as the new pixel, or grows bilinearly; Pillow widens its filters by
    the scale, so nothing aliases.
    """
    if pixels.shape == shape:
        return np.ascontiguousarray(pixels)
    image = Image.fromarray(np.ascontiguousarray(pixels, dtype=np.float32))
    rows, columns = pixels.shape
    for size in ((shape[1], rows), (shape[1], shape[0])):
        shrinks = size[0] < columns if size[1] == rows else size[1] < rows
        kind = Image.Resampling.HAMMING if shrinks else Image.Resampling.BILINEAR
        image = image.resize(size, kind)
    return np.asarray(image, dtype=np.float32)
