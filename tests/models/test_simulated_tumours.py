"""Simulated tumours: the best AUC is what is said, and a picture's look depends on its latent alone."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import ndimage
from scipy.stats import rankdata

from models.phantom.observer import best_auc, best_one_vs_rest, best_score, draw_latents
from models.phantom.tumours import TumourView, look, make_tumour_view
from models.regions.contract import View

PATIENTS = 20_000
DISTANCES: dict[View, float] = {"CC": 1.8, "MLO": 1.0}


def auc(scores: np.ndarray, positive: np.ndarray) -> float:
    ranks, count = rankdata(scores), int(positive.sum())
    return float((ranks[positive].sum() - count * (count + 1) / 2) / (count * (len(scores) - count)))


def test_the_best_observer_reaches_the_stated_auc_in_each_view_and_in_both() -> None:
    classes = np.arange(PATIENTS) % 2
    latents = draw_latents(classes, 2, DISTANCES, np.random.default_rng(1))
    for views in (("CC",), ("MLO",), ("CC", "MLO")):
        scores = [best_score({view: latents[view][n] for view in views}, DISTANCES) for n in range(PATIENTS)]
        stated = best_auc(DISTANCES[view] for view in views)
        # Its variance is A (1 - A) / positives at most: Birnbaum and Klose, Ann Math Stat 28 (1957) 929.
        tolerance = 4 * math.sqrt(stated * (1 - stated) / (PATIENTS / 2))
        assert auc(np.array(scores), classes == 1) == pytest.approx(stated, abs=tolerance)
    assert best_auc([1.8]) == pytest.approx(0.8985, abs=5e-5)
    assert best_auc([1.8, 1.8]) == pytest.approx(0.9641, abs=5e-5)


def test_of_several_classes_the_likelihood_ratio_reaches_the_integrated_auc() -> None:
    classes = np.arange(PATIENTS) % 3
    (latent,) = draw_latents(classes, 3, {"US": 3.0}, np.random.default_rng(2)).values()
    likelihoods = np.exp(-((latent[:, None] - 3.0 * np.array([-0.5, 0.0, 0.5])) ** 2) / 2)
    ratios = likelihoods / (likelihoods.sum(axis=1, keepdims=True) - likelihoods)
    for one, stated in enumerate(best_one_vs_rest([3.0], 3)):
        assert auc(ratios[:, one], classes == one) == pytest.approx(stated, abs=0.012)
    assert best_one_vs_rest([1.8, 1.0], 2) == pytest.approx([best_auc([1.8, 1.0])] * 2, abs=1e-6)


@pytest.mark.parametrize("view", ["CC", "US"])
def test_a_trivial_reading_of_the_lesion_gives_its_latent(view: View) -> None:
    latents = np.random.default_rng(3).normal(0.0, 1.3, 30)
    drawn = [make_tumour_view(latent, view, np.random.default_rng([4, n])) for n, latent in enumerate(latents)]
    for read in (texture, contrast):
        assert np.corrcoef([read(one) for one in drawn], latents)[0, 1] > 0.97


def test_the_look_grows_with_the_latent_all_the_way() -> None:
    looks = np.array([look(latent) for latent in np.linspace(-6.0, 6.0, 200)])
    assert (np.diff(looks, axis=0) > 0).all()


def test_another_latent_leaves_outlines_and_surround_as_they_were() -> None:
    low, high = (make_tumour_view(latent, "MLO", np.random.default_rng(5)) for latent in (-3.0, 3.0))
    assert np.array_equal(low.mask, high.mask) and np.array_equal(low.second_mask, high.second_mask)
    away = ~ndimage.binary_dilation(low.mask, iterations=5)
    assert np.array_equal(low.pixels[away], high.pixels[away])
    assert high.pixels[high.mask].mean() > low.pixels[low.mask].mean() + 20
    assert low.pixels.min() > 0 and high.pixels.max() < 255  # nothing is clipped


def test_the_second_reader_agrees_but_not_wholly() -> None:
    drawn = make_tumour_view(0.0, "CC", np.random.default_rng(6))
    dice = 2 * (drawn.mask & drawn.second_mask).sum() / (drawn.mask.sum() + drawn.second_mask.sum())
    assert 0.9 < dice < 1.0


def texture(drawn: TumourView) -> float:
    """Standard deviation well inside the lesion."""
    return float(drawn.pixels[ndimage.binary_erosion(drawn.mask, iterations=3)].std())


def contrast(drawn: TumourView) -> float:
    """Brightness against what is around."""
    outside = ndimage.binary_dilation(drawn.mask, iterations=8) & ~ndimage.binary_dilation(drawn.mask, iterations=2)
    return abs(float(drawn.pixels[drawn.mask].mean()) - float(drawn.pixels[outside].mean()))
