"""Which frames of a cine are looked at: evenly spread, the same ones every time, none that shows what another shows.

Frame numbers count from 1, as in Referenced Frame Number.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

BLOCK_PX: Final = 8
"""Side of the blocks whose means stand for a frame: speckle, which changes from frame to frame, is averaged away."""

SAME_GREY_LEVELS: Final = 2.0
"""Two frames show the same when their blocks differ by less, on average, of 256 grey levels,"""

SAME_BLOCK_LEVELS: Final = 40.0
"""and no block by as much: a small lesion that comes into view changes the average by nothing."""


def evenly_spread(frames: int, count: int) -> tuple[int, ...]:
    """Frame numbers in the middle of `count` equal parts of a cine; all of them when there are no more.

    Parameters
    ----------
    frames, count : int
        At least 1.
    """
    if frames <= count:
        return tuple(range(1, frames + 1))
    return tuple((2 * part + 1) * frames // (2 * count) + 1 for part in range(count))


def distinct(numbers: Sequence[int], pictures: Sequence[NDArray[np.float32]]) -> tuple[int, ...]:
    """Leave out every frame that shows the same as one before it.

    Parameters
    ----------
    numbers : sequence of int
        Frame numbers.
    pictures : sequence of numpy.ndarray
        For each the block means (`block_means`) of the picture in it, in grey levels.
    """
    kept: list[int] = []
    for index, picture in enumerate(pictures):
        if not any(_same(picture, pictures[other]) for other in kept):
            kept.append(index)
    return tuple(numbers[index] for index in kept)


def _same(one: NDArray[np.float32], other: NDArray[np.float32]) -> bool:
    apart = np.abs(one - other)
    return bool(apart.mean() < SAME_GREY_LEVELS and apart.max(initial=0.0) < SAME_BLOCK_LEVELS)


def thinned(numbers: Sequence[int], count: int) -> tuple[int, ...]:
    """No more than `count` of the numbers, evenly spread over their sequence."""
    return tuple(numbers[place - 1] for place in evenly_spread(len(numbers), count)) if numbers else ()


def block_means(values: NDArray[np.number] | NDArray[np.bool_]) -> NDArray[np.float32]:
    """Means of whole blocks of `BLOCK_PX` by `BLOCK_PX` pixels; what is over at the right and below is left out."""
    rows, columns = (side // BLOCK_PX for side in values.shape)
    whole = values[: rows * BLOCK_PX, : columns * BLOCK_PX].astype(np.float32, copy=False)
    return np.asarray(whole.reshape(rows, BLOCK_PX, columns, BLOCK_PX).mean(axis=(1, 3)), dtype=np.float32)
