"""us-segmentation learns dark ellipses; canvases hold what they say; a run ends in a bundle for the registry."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from models import registry
from models.errors import TrainingRefused
from models.lesions import GreyFrame
from models.training.fold_bundles import digest_of, run_dir_of, weights_dir_of, without_fold
from models.training.loop import CHECKPOINT
from models.training.us_segmentation import (
    PLAN,
    CanvasBatch,
    CanvasPlan,
    CanvasSource,
    losses_of,
    new_network,
    train,
)
from models.us_segmentation.network import SegmentationNetwork
from tests.training.frame_builders import SMALL, frame, frames
from tests.training.small_networks import one_thread

CANVASES = CanvasPlan(canvas_px=64, coarse_px=32, source_px=64)
FRAMES = frames(9)


@pytest.fixture(autouse=True)
def _one_thread(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(registry, "_resident", {})
    with one_thread():
        yield


def source(plan: CanvasPlan = CANVASES, *, batch: int = 4, steps: int = 10, seed: int = 1) -> CanvasSource:
    return CanvasSource(FRAMES, plan, steps, batch, seed)


def test_the_first_steps_are_coarse() -> None:
    assert [source().side_px(step) for step in (0, 3, 4, 9)] == [32, 32, 64, 64]
    assert source().draw(0).canvases.shape == source().draw(3).masks.shape == (4, 32, 32)
    assert source().draw(4).canvases.shape == (4, 64, 64)


def test_the_number_of_a_step_alone_decides_what_it_sees() -> None:
    one, again, other = source().draw(3), source().draw(3), source(seed=2).draw(3)
    for name in ("canvases", "masks", "lesion", "known"):
        assert torch.equal(getattr(one, name), getattr(again, name))
    assert not torch.equal(one.canvases, other.canvases)


def test_every_frame_is_drawn_once_before_any_is_drawn_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """Frames are told apart by whether and how darkly they show a lesion; of nine draws three are of each kind."""
    plain = replace(CANVASES, scales=(1.0, 1.0))
    monkeypatch.setattr("models.training.us_segmentation.brightness_varied", lambda _rng, pixels: pixels)
    drawn = source(plain, batch=9, steps=2).draw(0)
    darkness = sorted(
        round(float(canvas[mask > 0].median()), 1) if mask.any() else 1.0
        for canvas, mask in zip(drawn.canvases, drawn.masks, strict=True)
    )
    assert len(darkness) == 9 and darkness[3:6] == [darkness[4]] * 3 and darkness[6:] == [1.0] * 3


def test_masks_lie_on_the_lesions() -> None:
    batch = source(batch=12).draw(7)
    shown = [(canvas, mask) for canvas, mask in zip(batch.canvases, batch.masks, strict=True) if mask.any()]
    assert len(shown) >= 6
    for canvas, mask in shown:
        assert canvas[mask > 0].mean() < 0.75 * canvas[(mask == 0) & (canvas > 0)].mean()
    assert set(batch.masks.unique().tolist()) == {0.0, 1.0}


def test_whether_a_lesion_is_in_view_is_asked_of_its_area() -> None:
    cut = replace(CANVASES, scales=(2.5, 3.5))
    seen = [source(cut, batch=9).draw(step) for step in range(5, 10)]
    lesion, known = torch.cat([one.lesion for one in seen]), torch.cat([one.known for one in seen])
    masks = torch.cat([one.masks.sum(dim=(1, 2)) for one in seen])
    assert ((masks > 0) & (known == 0)).any(), "some lesions are cut so that nobody says whether they are in view"
    assert (lesion[(masks == 0) & (known == 1)] == 0).all()
    assert (lesion[(masks > 0) & (known == 1)] == 1).all()


def test_large_frames_are_kept_smaller() -> None:
    large = CanvasSource([frame(1, shape=(96, 192))], CANVASES, 2, 2, 1)
    assert large._kept[0][0].shape == large._kept[0][1].shape == (32, 64)
    assert source()._kept[0][0].shape == (48, 64)


def test_lesions_without_masks_and_no_lesions_at_all_are_refused() -> None:
    lesion = replace(FRAMES[0].lesions[0], mask=None)
    with pytest.raises(TrainingRefused, match="masks"):
        CanvasSource([replace(FRAMES[0], lesions=(lesion,))], CANVASES, 2, 2, 1)
    with pytest.raises(TrainingRefused, match="masks"):
        CanvasSource([frame(2, label=None)], CANVASES, 2, 2, 1)


class Fixed(SegmentationNetwork):
    """Returns what it was given."""

    def __init__(self, mask: Tensor, lesion: Tensor) -> None:
        super().__init__(64, 0.0)
        self.mask, self.lesion = mask, lesion

    def forward(self, canvases: Tensor) -> tuple[Tensor, Tensor]:
        return self.mask, self.lesion


def batch_of(masks: Tensor, lesion: list[float], known: list[float]) -> CanvasBatch:
    return CanvasBatch(
        canvases=torch.zeros_like(masks), masks=masks, lesion=torch.tensor(lesion), known=torch.tensor(known)
    )


def test_dice_is_that_of_frames_with_a_lesion_and_the_lesion_score_that_of_frames_that_are_known() -> None:
    masks = torch.zeros(3, 4, 4)
    masks[0, :2] = 1.0
    logits = torch.full((3, 4, 4), -50.0)
    logits[0, 1:3] = 50.0  # half of it, and as much beside it
    found = losses_of(
        Fixed(logits, torch.tensor([0.0, 0.0, 50.0])),
        batch_of(masks, [1.0, 0.0, 0.0], [1.0, 1.0, 0.0]),
        torch.device("cpu"),
        lesion_weight=0.3,
    )
    assert float(found["dice"]) == pytest.approx(1 - (2 * 4 + 1) / (8 + 8 + 1))
    assert float(found["lesion"]) == pytest.approx(0.3 * np.log(2))
    assert float(found["cross_entropy"]) == pytest.approx(50 * 8 / 48)


def test_without_a_lesion_there_is_no_dice_and_no_division_by_nothing() -> None:
    masks = torch.zeros(2, 4, 4)
    found = losses_of(
        Fixed(torch.full((2, 4, 4), -50.0), torch.zeros(2)),
        batch_of(masks, [0.0, 0.0], [0.0, 0.0]),
        torch.device("cpu"),
        lesion_weight=1.0,
    )
    assert [float(found[name]) for name in ("dice", "lesion")] == [0.0, 0.0]


def test_the_loss_falls_and_lesions_are_found(tmp_path: Path) -> None:
    plan = replace(SMALL, steps=40, batch=6, learning_rate=3e-3)
    told: list[dict[str, float]] = []
    bundle = train(
        FRAMES,
        tmp_path,
        fold=None,
        plan=plan,
        canvases=replace(CANVASES, scales=(0.9, 1.1)),
        start="random",
        note="nine made-up frames",
        tell=lambda _, losses: told.append(dict(losses)),
    )
    assert bundle == tmp_path / "us-segmentation"
    first, last = (sum(sum(one.values()) for one in some) / len(some) for some in (told[:5], told[-5:]))
    assert last < 0.7 * first
    assert np.mean([one["dice"] for one in told[-5:]]) < np.mean([one["dice"] for one in told[:5]]) - 0.1


def test_a_bundle_is_what_the_registry_loads_and_says_what_it_is(tmp_path: Path) -> None:
    measured = {"note": "said so", "figures": [{"name": "dice", "value": 0.5, "on": "somewhere"}]}
    bundle = train(
        FRAMES,
        tmp_path,
        fold=None,
        plan=SMALL,
        canvases=CANVASES,
        start="random",
        note="nine frames",
        measured=measured,
    )
    assert bundle is not None
    metadata = json.loads((bundle / "metadata.json").read_text())
    assert metadata["training_data"] == "nine frames" and metadata["measured"] == measured
    assert metadata["training"]["canvases"]["canvas_px"] == 64 and metadata["training"]["plan"]["steps"] == 4
    segmenter = registry.load_segmenter("us-segmentation", "cpu", tmp_path)
    assert segmenter.identity.weights_sha256 == metadata["weights"]["sha256"]
    output = segmenter.predict(GreyFrame(pixels=FRAMES[0].pixels, spacing_mm=None))
    assert output.mask.shape == FRAMES[0].pixels.shape
    assert registry.describe_model("us-segmentation", tmp_path).measured_on == "somewhere"


def test_trained_weights_have_a_version_and_a_card_of_their_own(tmp_path: Path) -> None:
    measured = {"note": "said so.", "figures": [{"name": "dice", "value": 0.5, "on": "somewhere"}]}
    final = train(
        FRAMES,
        tmp_path,
        fold=None,
        plan=SMALL,
        canvases=CANVASES,
        start="random",
        note="nine frames",
        measured=measured,
    )
    of_fold = train(FRAMES, tmp_path, fold=2, plan=SMALL, canvases=CANVASES, start="random", note="nine frames")
    assert final is not None and of_fold is not None
    metadata = json.loads((final / "metadata.json").read_text())
    assert metadata["version"].endswith(f"+{metadata['weights']['sha256'][:8]}")
    assert metadata["changelog"] == {metadata["version"]: "trained on nine frames"}
    card = (final / "README.md").read_text()
    assert metadata["version"] in card and "Research use" in card and "| pixel spacing | any |" in card
    assert "On: said so. Measure" in card and "| dice | 0.5 |" in card
    assert "flatter" not in card, "no figure chose a step"
    card = (of_fold / "README.md").read_text()
    assert "No figures: to be measured on fold 2. Measure" in card and "| figure |" not in card


def test_a_fold_is_left_out_and_has_a_place_of_its_own(tmp_path: Path) -> None:
    bundle = train(FRAMES, tmp_path, fold=2, plan=SMALL, canvases=CANVASES, start="random", note="nine frames")
    assert bundle == tmp_path / "folds" / "2" / "us-segmentation"
    assert run_dir_of(tmp_path, "us-segmentation", 2) == tmp_path / "us-segmentation-training" / "fold-2"
    content = torch.load(run_dir_of(tmp_path, "us-segmentation", 2) / CHECKPOINT, weights_only=True)
    assert content["fixed"]["frames"] == digest_of([one for one in FRAMES if one.fold != 2])
    metadata = json.loads((bundle / "metadata.json").read_text())
    assert metadata["training_data"] == "nine frames, without fold 2"
    assert metadata["measured"]["note"] == "to be measured on fold 2"
    assert registry.load_segmenter("us-segmentation", "cpu", weights_dir_of(tmp_path, 2)).device == "cpu"


def test_without_measurement_the_final_bundle_says_so(tmp_path: Path) -> None:
    bundle = train(FRAMES, tmp_path, fold=None, plan=SMALL, canvases=CANVASES, start="random", note="nine frames")
    assert bundle is not None
    assert "not measured" in json.loads((bundle / "metadata.json").read_text())["measured"]["note"]


def test_a_run_that_is_stopped_writes_no_bundle_and_ends_as_an_unbroken_one(tmp_path: Path) -> None:
    def run(directory: Path, until: bool = False) -> Path | None:
        return train(
            FRAMES,
            directory,
            fold=1,
            plan=SMALL,
            canvases=CANVASES,
            start="random",
            note="nine frames",
            until=lambda: until,
        )

    assert run(tmp_path / "a", until=True) is None
    assert not weights_dir_of(tmp_path / "a", 1).exists()
    one, other = run(tmp_path / "a"), run(tmp_path / "b")
    assert one is not None and other is not None
    for name in ("model.safetensors", "metadata.json"):
        assert (one / name).read_bytes() == (other / name).read_bytes()


def test_a_run_is_not_taken_up_on_other_frames_or_canvases(tmp_path: Path) -> None:
    def begin(some: list, canvases: CanvasPlan = CANVASES) -> None:
        train(some, tmp_path, fold=1, plan=SMALL, canvases=canvases, start="random", note="", until=lambda: True)

    begin(FRAMES)
    with pytest.raises(TrainingRefused, match=r"another frames; go on"):
        begin(FRAMES[:-1])
    with pytest.raises(TrainingRefused, match=r"another source_px; go on"):
        begin(FRAMES, replace(CANVASES, source_px=32))


def test_a_fold_that_is_not_there_and_odd_canvases_are_refused() -> None:
    with pytest.raises(TrainingRefused, match="cannot leave out fold 7: the frames are in folds 1, 2, 3"):
        without_fold(FRAMES, 7)
    with pytest.raises(TrainingRefused, match="cannot leave out"):
        without_fold(FRAMES[:3], 1)
    assert without_fold(FRAMES, None) == FRAMES
    with pytest.raises(TrainingRefused, match="multiples of 32"):
        train(FRAMES, Path(), fold=1, plan=SMALL, canvases=CanvasPlan(canvas_px=50), start="random", note="")


def test_the_same_seed_begins_with_the_same_weights_and_the_plan_is_that_of_the_card() -> None:
    one, again, other = (new_network(seed, "random").head.weight for seed in (1, 1, 2))
    assert torch.equal(one, again) and not torch.equal(one, other)
    assert (PLAN.steps, PLAN.batch, CanvasPlan().canvas_px, new_network(1, "random").canvas_px) == (2000, 8, 192, 192)
