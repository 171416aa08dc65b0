"""Frames that show the same are found, whatever was done to the copy; frames of other breasts are not."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from PIL import Image
from scipy import ndimage

from pipelines.datasets.near_duplicates import ALIKE, groups, likeness, pairs_apart, structure
from tests.datasets.frame_builders import tissue

Change = Callable[[np.ndarray], np.ndarray]


def seen(picture: np.ndarray) -> np.ndarray:
    return structure(picture.astype(np.float32) / 255.0)


def calipers(picture: np.ndarray) -> np.ndarray:
    marked = picture.copy()
    marked[30:37, 40] = marked[33, 37:44] = marked[33, 40:80:4] = 255
    return marked


CHANGES: dict[str, Change] = {
    "itself": lambda picture: picture,
    "resampled": lambda picture: np.asarray(Image.fromarray(picture).resize((210, 170), Image.Resampling.BICUBIC)),
    "cropped": lambda picture: picture[5:, :-7],
    "darker": lambda picture: (picture * 0.6).astype(np.uint8),
    "of another contrast": lambda picture: (255 * (picture / 255.0) ** 1.7).astype(np.uint8),
    "blurred": lambda picture: ndimage.gaussian_filter(picture, 0.7),
    "with calipers": calipers,
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_a_copy_is_found(change: Change) -> None:
    alike = likeness([seen(tissue(1)), seen(change(tissue(1)))])
    assert alike[0, 1] >= ALIKE + 0.15


def test_other_breasts_are_not_taken_for_copies() -> None:
    alike = likeness([seen(tissue(seed)) for seed in range(12)])
    np.fill_diagonal(alike, 0.0)
    assert alike.max() < ALIKE - 0.05


def test_bright_above_and_dark_below_is_no_likeness() -> None:
    shade = np.linspace(220, 10, 90)[:, None] * np.ones((1, 120))
    one, other = (shade + 8 * np.random.default_rng(seed).normal(size=shade.shape) for seed in (1, 2))
    assert likeness([seen(one), seen(other)])[0, 1] < ALIKE


def test_likeness_is_symmetric_and_the_same_each_time() -> None:
    structures = [seen(tissue(seed)) for seed in (1, 2, 1)]
    alike = likeness(structures)
    assert np.array_equal(alike, alike.T) and np.array_equal(alike, likeness(structures))
    assert alike.diagonal().tolist() == [1.0, 1.0, 1.0] and alike[0, 2] > 0.999


def test_a_frame_without_any_structure_is_like_no_other() -> None:
    assert likeness([seen(np.zeros((90, 120))), seen(tissue(1))])[0, 1] < ALIKE


def test_groups_are_joined_by_way_of_others_and_numbered_in_order() -> None:
    alike = np.eye(5, dtype=np.float32)
    for first, second in ((1, 3), (3, 4)):
        alike[first, second] = alike[second, first] = 0.9
    assert groups(alike) == (0, 1, 2, 1, 1)


def test_only_pairs_in_different_folds_are_told() -> None:
    alike = np.eye(3, dtype=np.float32)
    alike[0, 1] = alike[1, 0] = alike[0, 2] = alike[2, 0] = 0.9
    assert list(pairs_apart(alike, [1, 1, 2])) == [(0, 2)]
