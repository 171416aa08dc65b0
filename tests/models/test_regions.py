"""What models of regions share: the lesion with its surround, crops of it, and maps laid back onto it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from models.metadata import own_metadata
from models.regions.contract import RegionTask, lesion_view
from models.regions.crops import grown, placed, scaled, squared
from models.regions.pooling import pooled
from models.regions.predict import views_taken
from models.resampling import cut_roi
from tests.models.builders import noise_lesion

TASK = RegionTask(outcome="er", classes=("negative", "positive"), views=("CC", "MLO"), combination="each")


@pytest.mark.parametrize("spacing_mm", [None, (0.05, 0.05), (0.1, 0.1)])
@pytest.mark.parametrize("lesion_px", [(20, 20), (600, 100)])
def test_what_is_kept_around_a_lesion_holds_every_models_region(
    lesion_px: tuple[int, int], spacing_mm: tuple[float, float] | None
) -> None:
    """A square grown by 100 pixels and turned by 20 degrees, and SPPNet's least patch, reach no further."""
    across, down = lesion_px
    pixels, mask = np.zeros((2000, 2000), dtype=np.float32), np.zeros((2000, 2000), dtype=np.bool_)
    mask[1000 : 1000 + down, 1000 : 1000 + across] = True
    view, (x, y) = lesion_view(pixels, mask, spacing_mm)
    half = (max(across, down) / 2 + 100) * (np.cos(np.radians(20)) + np.sin(np.radians(20)))
    if spacing_mm is not None:
        half = max(half, 11.2 / spacing_mm[0])
    rows, columns = view.pixels.shape
    assert x <= 1000 + across / 2 - half and x + columns >= 1000 + across / 2 + half
    assert y <= 1000 + down / 2 - half and y + rows >= 1000 + down / 2 + half


def test_boxes_grow_evenly_and_become_squares_about_their_middle() -> None:
    assert grown((10, 20, 30, 25), 5) == (5, 15, 35, 30)
    assert squared((10, 20, 30, 25)) == (10.0, 12.5, 30.0, 32.5)


def test_a_map_is_laid_where_its_cells_were_taken() -> None:
    """A ramp that is cut and shrunk, and laid back, is the ramp again, and 0 elsewhere."""
    ramp = np.tile(np.arange(100, dtype=np.float32), (80, 1)) / 100
    box = (20.0, 10.0, 84.0, 74.0)
    laid = placed(cut_roi(ramp, box, (16, 16)), box, ramp.shape)
    np.testing.assert_allclose(laid[10:74, 24:80], ramp[10:74, 24:80], atol=2e-3)
    assert not laid[:10].any() and not laid[74:].any() and not laid[:, :20].any() and not laid[:, 84:].any()


def test_a_box_that_reaches_out_of_the_view_is_laid_as_far_as_the_view_goes() -> None:
    values = np.array([[0.0, 1.0], [0.0, 1.0]], dtype=np.float32)
    laid = placed(values, (-10.0, -5.0, 10.0, 5.0), (8, 12))
    assert laid.shape == (8, 12) and laid[0, 0] > 0.5 and not laid[5:].any() and not laid[:, 10:].any()


def test_a_map_is_scaled_to_0_to_1_and_a_flat_one_shows_nothing() -> None:
    assert scaled(np.array([[2.0, 4.0], [3.0, 2.5]], dtype=np.float32)).tolist() == [[0.0, 1.0], [0.5, 0.25]]
    assert not scaled(np.full((2, 2), 3.0, dtype=np.float32)).any()


def test_views_come_in_the_order_of_the_task_and_others_are_not_looked_at() -> None:
    lesion = noise_lesion("US", "MLO", "CC")
    broken = replace(lesion["US"], mask=np.zeros_like(lesion["US"].mask))
    assert list(views_taken(TASK, {**lesion, "US": broken})) == ["CC", "MLO"]
    assert list(views_taken(TASK, {"MLO": lesion["MLO"]})) == ["MLO"]


def test_a_view_that_is_no_image_or_has_no_lesion_is_refused() -> None:
    view = noise_lesion("CC")["CC"]
    not_finite = view.pixels.copy()
    not_finite[0, 0] = np.nan
    for changed, says in (
        ({"mask": np.zeros_like(view.mask)}, "CC: the mask is empty"),
        ({"mask": view.mask[1:]}, "CC: a mask of shape"),
        ({"pixels": not_finite}, "not finite"),
    ):
        with pytest.raises(ValueError, match=says):
            views_taken(TASK, {"CC": replace(view, **changed)})


@pytest.mark.parametrize(
    ("name", "channels", "wanted"),
    [("ip-se-dresnet-m", 1, "MLO"), ("ip-se-dresnet-cm", 2, "CC and MLO"), ("SPPNet-ER", 1, "CC or MLO")],
)
def test_views_are_channels_where_they_are_looked_at_together(name: str, channels: int, wanted: str) -> None:
    task = own_metadata(name).region
    assert task is not None and (task.channels, task.wanted) == (channels, wanted)


def test_views_pooled_order_lesions_as_bayes_rule_does_and_their_mean_does_not() -> None:
    """Two views, each a perfect reading of one of three levels: the best observer of both, by construction."""
    rng = np.random.default_rng(0)
    labels = np.arange(6000) % 3
    levels = 1.8 * np.arange(3)
    seen = levels[labels][:, None] + rng.normal(size=(len(labels), 2))
    likelihoods = np.exp(-0.5 * (seen[:, :, None] - levels) ** 2)
    of_views = likelihoods / likelihoods.sum(axis=2, keepdims=True)
    together = np.array([pooled(one) for one in of_views])
    for number in range(3):
        others = np.delete(likelihoods.prod(axis=1), number, axis=1).sum(axis=1)
        best = roc_auc_score(labels == number, likelihoods.prod(axis=1)[:, number] / others)
        assert roc_auc_score(labels == number, together[:, number]) > best - 0.002
    mean = of_views.mean(axis=1)[:, 1]
    assert roc_auc_score(labels == 1, together[:, 1]) > roc_auc_score(labels == 1, mean) + 0.02


def test_of_two_classes_pooled_is_the_mean_of_the_log_odds() -> None:
    assert pooled([(0.2, 0.8), (0.5, 0.5)]) == pytest.approx((1 / 3, 2 / 3))  # odds of 4 and of 1: 2
    assert pooled([(0.3, 0.7)]) == pytest.approx((0.3, 0.7))


def test_no_view_decides_alone_and_nothing_is_not_pooled() -> None:
    assert pooled([(1.0, 0.0), (0.005, 0.995)]) == pytest.approx((0.5, 0.5), abs=2e-3)
    assert pooled([(1.0, 0.0)]) == (1.0, 0.0)
    for wrong in ([], [0.5, 0.5]):
        with pytest.raises(ValueError, match="not \\(views, classes\\)"):
            pooled(wrong)
