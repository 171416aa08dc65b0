"""Networks of regions: what they see in training, how they are validated, taken up again and written down."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from sklearn.metrics import roc_auc_score
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.models import resnet34

from models.errors import TrainingRefused
from models.ip_se_dresnet import network as ip_se_dresnet
from models.metadata import bundle_metadata, own_metadata
from models.regions.pooling import pooled
from models.resampling import cut_roi
from models.training import region_networks
from models.training.region_networks import RECIPES, RegionPlan, new_network, too_small, train
from models.training.region_parts import RegionParts, parts_of
from models.training.region_samples import (
    RegionLooks,
    RegionSource,
    _keep,
    cases_of,
    placement,
    varied,
)
from models.training.region_validation import RegionFigures, figures_of, predict
from tests.training.run_files import after, rows, state
from tests.training.small_networks import one_thread
from tests.training.tumour_builders import ER, ER_OF_EACH, LEVELS, cohort, tumour, view

SIDE = 32
MODEL = "ip-se-dresnet-cm"
STILL = RegionLooks(turn_degrees=0.0)
CUT = RECIPES["ip_se_dresnet"].cut


class TwoMembers(nn.Module):
    """In place of IP-SE-DResNet: two linear layers on coarse pictures."""

    def __init__(self, channels: int = 2, classes: int = 2) -> None:
        super().__init__()
        self.one, self.other = (nn.Linear(16 * channels, classes) for _ in range(2))

    def logits(self, images: Tensor) -> tuple[Tensor, Tensor]:
        coarse = F.adaptive_avg_pool2d(images, 4).flatten(1)
        return self.one(coarse), self.other(coarse)


@pytest.fixture(autouse=True)
def _alone() -> Iterator[None]:
    with one_thread():
        yield


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Training of `TwoMembers` on small regions."""

    def network(model: str, task: object, seed: int, start: object) -> TwoMembers:
        torch.manual_seed(seed)
        return TwoMembers()

    monkeypatch.setattr(region_networks, "new_network", network)
    monkeypatch.setattr(region_networks, "SIDE_PX", SIDE)


PLAN = RegionPlan(epochs=2, batch=4, learning_rate=1e-2, warm_up_steps=0, average=0.5, precision="float32", workers=0)


def parts(count: int = 20) -> RegionParts:
    return parts_of(cohort(range(count)), ER, fold=None, seed=1, test_share=0.3)


def trained(directory: Path, some: RegionParts, plan: RegionPlan = PLAN, **more: Any) -> Path | None:
    described = bundle_metadata(MODEL)
    return train(some, directory, model=MODEL, task=ER, fold=None, plan=plan, note="n", described=described, **more)


@pytest.mark.parametrize("family", list(RECIPES))
@pytest.mark.parametrize("side", [SIDE, 224])
def test_unvaried_a_region_of_training_is_that_of_analysis(family: str, side: int) -> None:
    cut, given = RECIPES[family].cut, view(3, 0.5)
    kept = _keep(given, cut, side)
    source = RegionSource([tumour(0), tumour(1)], ER, cut, side, STILL, 2, 1)
    drawn = source._drawn(kept, np.eye(2)).numpy()
    analysed = cut_roi(given.pixels, cut(given), (side, side))
    assert analysed.std() > 0.04
    assert np.abs(drawn - analysed).mean() < 0.01 and np.corrcoef(drawn.ravel(), analysed.ravel())[0, 1] > 0.997


def test_a_region_is_mirrored_and_turned_about_its_middle() -> None:
    given = view(3, 0.5)
    source = RegionSource([tumour(0), tumour(1)], ER, CUT, SIDE, STILL, 2, 1)
    kept = _keep(given, CUT, SIDE)
    still = source._drawn(kept, np.eye(2))
    mirrored = source._drawn(kept, np.diag([-1.0, 1.0]))
    torch.testing.assert_close(mirrored, still.flip(1), atol=1e-5, rtol=0)
    turned = source._drawn(kept, np.array([[0.0, -1.0], [1.0, 0.0]]))
    torch.testing.assert_close(turned, still.rot90(1, (0, 1)), atol=1e-5, rtol=0)
    theta = placement((100, 200), (50.0, 20.0, 150.0, 60.0), np.eye(2))
    np.testing.assert_allclose(theta, [[0.5, 0.0, 0.0], [0.0, 0.4, -0.2]], atol=1e-6)


def test_variations_keep_within_the_angles_of_their_plan() -> None:
    looks = RegionLooks(turn_degrees=20.0, shear_degrees=10.0)
    drawn = [varied(np.random.default_rng(seed), looks) for seed in range(200)]
    assert np.allclose(np.abs([np.linalg.det(one) for one in drawn]), 1.0)
    angles = np.degrees([np.arctan2(abs(one[1, 0]), abs(one[0, 0])) for one in drawn])
    assert 15.0 < angles.max() <= 20.0
    assert {bool(np.linalg.det(one) < 0) for one in drawn} == {False, True}


def test_every_sample_is_seen_once_a_round_and_the_rarer_class_as_often_as_its_rate_says() -> None:
    some = [tumour(number, "positive" if number < 4 else "negative") for number in range(12)]
    source = RegionSource(some, ER_OF_EACH, CUT, SIDE, replace(STILL, oversampling=1.5), 4, 1)
    assert source.samples == 16 + 8 + 4  # each view by itself, and half of the 8 positive ones again
    for rounds in range(2):
        steps = range(7 * rounds, 7 * (rounds + 1))
        wanted = [number for step in steps for number in source.draw(step).wanted.tolist()]
        assert Counter(wanted) == {0: 16, 1: 12}
    most = RegionSource(some, ER, CUT, SIDE, replace(STILL, oversampling=9.0), 4, 1)
    assert most.samples == 8 + 8
    joint = RegionSource(some, ER, CUT, SIDE, STILL, 4, 1).draw(0)
    assert joint.images.shape == (4, 2, SIDE, SIDE) and joint.images.dtype == torch.float32


def test_a_tumour_is_judged_by_the_mean_of_the_members_pooled_over_its_views() -> None:
    network = TwoMembers(channels=1)
    some = [tumour(0), tumour(1, views=("MLO",)), tumour(2)]
    found = predict(network, cases_of(some, ER_OF_EACH, CUT, SIDE), lambda n, x: n.logits(x), torch.device("cpu"))
    for one, of_one in zip(some, found, strict=True):
        by_hand = []
        for shown in one.views.values():
            image = torch.from_numpy(cut_roi(shown.pixels, CUT(shown), (SIDE, SIDE)))[None, None]
            of_members = [logits.softmax(dim=1)[0].detach().numpy() for logits in network.logits(image)]
            by_hand.append(np.mean(of_members, axis=0))
        np.testing.assert_allclose(of_one, pooled(by_hand), rtol=1e-5)


def test_of_three_classes_the_auc_is_the_mean_of_each_against_the_rest() -> None:
    rng = np.random.default_rng(1)
    wanted = np.arange(30) % 3
    probabilities = rng.dirichlet((1, 1, 1), size=30) + np.eye(3)[wanted] * 0.2
    probabilities /= probabilities.sum(axis=1, keepdims=True)
    each = [roc_auc_score(wanted == number, probabilities[:, number]) for number in range(3)]
    assert figures_of(probabilities, wanted.tolist()).auc == pytest.approx(np.mean(each))
    assert cases_of([tumour(0, "low", of="her2_level", views=("CC",))], LEVELS, CUT, SIDE)[0].wanted == 1


@pytest.mark.parametrize("stopped_after", [1, 3, 5])
@pytest.mark.usefixtures("small")
def test_a_run_that_was_broken_off_ends_bit_for_bit_as_an_unbroken_one(tmp_path: Path, stopped_after: int) -> None:
    some = parts()
    whole = trained(tmp_path / "whole", some)
    assert trained(tmp_path / "broken", some, until=after(stopped_after)) is None
    begun: list[tuple[int, int]] = []
    reordered = replace(some, train=some.train[::-1], choose=some.choose[::-1])
    broken = trained(tmp_path / "broken", reordered, begin=lambda done, steps: begun.append((done, steps)))
    assert whole is not None and broken is not None and begun == [(stopped_after, 6)]
    assert (whole / "model.safetensors").read_bytes() == (broken / "model.safetensors").read_bytes()
    runs = [tmp_path / name / f"{MODEL}-training" / "all" for name in ("whole", "broken")]
    assert rows(runs[0]) == rows(runs[1]) and [row["step"] for row in rows(runs[0])] == ["3", "6"]
    assert state(runs[0])["best"] == state(runs[1])["best"]


@pytest.mark.usefixtures("small")
def test_it_learns_what_is_there_and_the_card_says_by_whom_it_was_chosen(tmp_path: Path) -> None:
    bundle = trained(tmp_path, parts(), replace(PLAN, epochs=30, learning_rate=0.05))
    assert bundle is not None
    said = json.loads((bundle / "metadata.json").read_text())
    training = said["training"]
    assert training["figures_of_choice"]["auc"] == 1.0
    assert training["learned_from"] == "12 tumours of 12 patients (6 negative, 6 positive)"
    assert training["chosen_by"] == "2 tumours of 2 patients (1 negative, 1 positive)"
    assert training["start"] == "random weights" and said["training_data"] == "n"


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize(
    ("plan", "count", "named"),
    [(replace(PLAN, seed=2), 20, "seed"), (replace(PLAN, epochs=3), 20, "epochs"), (PLAN, 22, "tumours")],
)
def test_a_run_is_not_taken_up_with_another_plan_or_on_others(
    tmp_path: Path, plan: RegionPlan, count: int, named: str
) -> None:
    trained(tmp_path, parts(), until=after(1))
    with pytest.raises(TrainingRefused, match=named):
        trained(tmp_path, parts(count), plan)


def test_weights_of_imagenet_go_where_they_fit_and_their_colours_are_averaged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ip_se_dresnet, "STAGES", (1, 1, 1, 1))
    file = tmp_path / "resnet34.safetensors"
    given = {name: value for name, value in resnet34(weights=None).state_dict().items() if "layer1.0.conv1" in name}
    given["conv1.weight"] = torch.rand(64, 3, 7, 7)
    save_file(given, file)
    task = own_metadata(MODEL).region_task
    weights = new_network(MODEL, task, 1, [file]).state_dict()
    mean = given["conv1.weight"].mean(dim=1)
    for channel in range(2):
        torch.testing.assert_close(weights["resnet34.conv1.weight"][:, channel], mean)
    assert torch.equal(weights["resnet34.layer1.0.conv1.weight"], given["layer1.0.conv1.weight"])
    untouched = new_network(MODEL, task, 1).state_dict()
    assert torch.equal(weights["resnet50.conv1.weight"], untouched["resnet50.conv1.weight"])
    save_file({"nothing": torch.zeros(1)}, file)
    with pytest.raises(TrainingRefused, match="holds no layer of a ResNet-34"):
        new_network(MODEL, task, 1, [file])


def test_what_analysis_would_refuse_is_no_sample() -> None:
    mask = np.zeros((40, 40), dtype=np.bool_)
    mask[20:23, 20:23] = True
    speck = replace(view(0), pixels=np.zeros((40, 40), dtype=np.float32), mask=mask)
    problem = too_small(MODEL, ER)
    assert problem(tumour(0)) is None
    assert problem(replace(tumour(0), views={"CC": view(0), "MLO": speck})) == "marked too small"


def test_the_papers_plan_is_the_default() -> None:
    dense = RECIPES["densenet121_cbam"]
    assert (dense.plan.epochs, dense.plan.batch, dense.plan.learning_rate, dense.plan.weight_decay) == (
        300,
        8,
        1e-4,
        0.005,
    )
    assert (dense.looks.turn_degrees, dense.looks.shear_degrees, dense.test_share) == (20.0, 10.0, 0.2)
    rates = [dense.looks_of(f"densenet121-cbam-{name}").oversampling for name in ("luminal", "her2", "tn", "subtype")]
    assert rates == [1.3, 1.5, 1.7, 1.5]
    plan = dense.plan.for_samples(762)
    assert plan.steps == 28_575 and plan.validate_every == 477 and plan.warm_up_steps == 0


def test_a_checkpoint_whose_probabilities_are_all_on_one_side_is_not_the_best_for_its_auc() -> None:
    early = RegionFigures(auc=0.92, log_loss=2.45, training_loss=0.52)
    late = RegionFigures(auc=0.90, log_loss=0.40, training_loss=0.40)
    assert late.rank > early.rank
