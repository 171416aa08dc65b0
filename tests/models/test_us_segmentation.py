"""us-segmentation: what the network returns, and that outlines stand where the lesion stands in the frame."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from models.lesions import GreyFrame
from models.letterbox import letterbox
from models.us_segmentation.encoder import CELL_PX
from models.us_segmentation.network import SegmentationNetwork
from models.us_segmentation.predict import SegmentationPredictor
from models.us_segmentation.regions import MOST_REGIONS, regions_of
from tests.models.builders import own_metadata, random_network


@pytest.fixture(scope="module")
def network() -> SegmentationNetwork:
    built = random_network("us-segmentation")
    assert isinstance(built, SegmentationNetwork)
    return built


class Dark(SegmentationNetwork):
    """In place of a trained network: what is darker than 0.25 and not black is a lesion."""

    lesion_logit = 3.0
    mask_logit = 6.0

    def forward(self, canvases: Tensor) -> tuple[Tensor, Tensor]:
        return (
            torch.where((canvases < 0.25) & (canvases > 0.02), self.mask_logit, -6.0),
            torch.full((len(canvases),), self.lesion_logit),
        )


def predictor(lesion_logit: float = 3.0, mask_logit: float = 6.0) -> SegmentationPredictor:
    network = Dark(256, 0.0)
    network.lesion_logit, network.mask_logit = lesion_logit, mask_logit
    return SegmentationPredictor(network, own_metadata("us-segmentation"), weights_sha256=None, device="cpu")


def frame(rows: int = 200, columns: int = 320, *, spacing_mm: tuple[float, float] | None = (0.1, 0.1)) -> GreyFrame:
    """A dark ellipse, 120 by 60 pixels, around (220, 80), in grey tissue."""
    y, x = np.mgrid[:rows, :columns] + 0.5
    inside = ((x - 220) / 60) ** 2 + ((y - 80) / 30) ** 2 <= 1
    return GreyFrame(pixels=np.where(inside, 0.1, 0.5).astype(np.float32), spacing_mm=spacing_mm)


def test_the_encoder_has_the_weights_of_efficientnet_lite0(network: SegmentationNetwork) -> None:
    """4,652,008 with its classifier of 1,000 classes, as published; here without that, and grey."""
    classifier = 320 * 1280 + 2 * 1280 + 1280 * 1000 + 1000
    colours = 2 * 3 * 3 * 32
    assert sum(value.numel() for value in network.unet.encoder.parameters()) == 4_652_008 - classifier - colours


def test_its_maps_are_halved_five_times(network: SegmentationNetwork) -> None:
    with torch.inference_mode():
        maps = network.unet.encoder(torch.rand(1, 1, 64, 96))
    assert [tuple(one.shape[1:]) for one in maps] == [
        (16, 32, 48),
        (24, 16, 24),
        (40, 8, 12),
        (112, 4, 6),
        (320, 2, 3),
    ]


@pytest.mark.parametrize("shape", [(192, 192), (128, 128), (CELL_PX, 3 * CELL_PX)])
def test_a_mask_is_as_large_as_its_canvas(network: SegmentationNetwork, shape: tuple[int, int]) -> None:
    with torch.inference_mode():
        mask, lesion = network(torch.rand(2, *shape))
    assert mask.shape == (2, *shape) and lesion.shape == (2,)


def test_a_canvas_of_half_cells_is_refused() -> None:
    with pytest.raises(ValueError, match="multiple of 32"):
        SegmentationNetwork(250, 0.0)


def test_the_deepest_cell_sees_the_whole_canvas(network: SegmentationNetwork) -> None:
    canvas = torch.rand(1, 256, 256, requires_grad=True)
    mask, _ = network(canvas)
    mask[0, 128, 128].backward()
    assert canvas.grad is not None
    reached = canvas.grad[0].abs() > 0
    assert reached[:, 8].any() and reached[:, -8].any() and reached[8].any() and reached[-8].any()


def test_an_outline_stands_where_the_lesion_stands_in_the_frame() -> None:
    output = predictor().predict(frame())
    (region,) = output.regions
    assert region.box_px == pytest.approx((160, 50, 280, 110), abs=1.6)
    assert region.shape.long_axis_mm == pytest.approx(12, abs=0.25)
    assert region.shape.short_axis_mm == pytest.approx(6, abs=0.25)
    assert region.score > 0.95
    points = np.array(region.polygon_px)
    off = ((points[:, 0] - 220) / 60) ** 2 + ((points[:, 1] - 80) / 30) ** 2
    assert np.abs(np.sqrt(off) - 1).max() < 0.05
    assert output.mask.shape == output.probability.shape == (200, 320)
    assert output.mask.sum() == region.shape.area_px
    assert output.lesion_score == pytest.approx(1 / (1 + np.exp(-3)), abs=0.01) and output.device == "cpu"


@pytest.mark.parametrize(("rows", "columns"), [(719, 1048), (600, 330), (120, 300)])
def test_frames_of_any_size_come_back_at_their_size(rows: int, columns: int) -> None:
    output = predictor().predict(frame(rows, columns, spacing_mm=None))
    assert output.mask.shape == (rows, columns)
    assert output.regions[0].box_px == pytest.approx((160, 50, 280, 110), abs=3.5)
    assert output.regions[0].shape.long_axis_mm is None


def test_a_frame_below_the_threshold_has_no_lesion_and_keeps_its_probabilities() -> None:
    output = predictor(-1.0).predict(frame())
    assert output.regions == () and not output.mask.any()
    assert output.lesion_score == pytest.approx(1 / (1 + np.e), abs=0.01)
    assert output.probability.max() > 0.9
    assert len(predictor(-1.0).predict(frame(), min_score=0.2).regions) == 1


def test_a_faint_lesion_is_outlined_where_it_is_likeliest_when_the_score_says_that_there_is_one() -> None:
    """Its pixels have a probability of 0.27: half of it takes the place of the threshold, but nothing below 0.1."""
    (faint,) = predictor(3.0, -1.0).predict(frame()).regions
    assert faint.box_px == pytest.approx((160, 50, 280, 110), abs=1.6) and faint.score < 0.3
    assert predictor(-3.0, -1.0).predict(frame()).regions == ()
    assert predictor(3.0, -2.5).predict(frame()).regions == ()


def test_a_threshold_in_force_is_told_and_one_that_is_none_is_refused() -> None:
    model = predictor()
    assert model.identity.operating_point == {"mask_threshold": 0.5, "lesion_threshold": 0.5}
    assert model.identity_at(0.2).operating_point == {"mask_threshold": 0.5, "lesion_threshold": 0.2}
    with pytest.raises(ValueError, match="probability"):
        model.predict(frame(), min_score=1.5)


@pytest.mark.parametrize(
    ("pixels", "reason"),
    [(np.zeros((0, 5)), "shape"), (np.zeros((3, 4, 5)), "shape"), (np.full((4, 5), np.nan), "not finite")],
)
def test_what_is_no_frame_is_refused(pixels: np.ndarray, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        predictor().predict(GreyFrame(pixels=pixels.astype(np.float32), spacing_mm=None))


def test_mirrored_frames_have_mirrored_probabilities(network: SegmentationNetwork) -> None:
    model = SegmentationPredictor(network, own_metadata("us-segmentation"), weights_sha256=None, device="cpu")
    pixels = np.random.default_rng(1).random((256, 256), dtype=np.float32)
    one, other = (
        model.predict(GreyFrame(pixels=np.ascontiguousarray(values), spacing_mm=None)).probability
        for values in (pixels, pixels[:, ::-1])
    )
    np.testing.assert_allclose(one, other[:, ::-1], atol=1e-3)


def test_several_threads_get_what_one_gets() -> None:
    model, frames = predictor(), [replace(frame(200 + 4 * n, 320), spacing_mm=None) for n in range(4)]
    expected = [model.predict(one).regions for one in frames]
    found: dict[int, object] = {}

    def run(number: int) -> None:
        found[number] = model.predict(frames[number]).regions

    threads = [threading.Thread(target=run, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [found[number] for number in range(4)] == expected


def test_without_room_on_the_device_a_frame_is_computed_on_the_cpu() -> None:
    network = Dark(256, 0.0)
    model = SegmentationPredictor(network, own_metadata("us-segmentation"), weights_sha256=None, device="meta")

    def full(*_: object) -> tuple[Tensor, Tensor]:
        raise torch.OutOfMemoryError("CUDA out of memory")

    on_cpu: Callable[[Tensor], tuple[Tensor, Tensor]] = network.forward
    network.forward = lambda canvases: full() if canvases.is_meta else on_cpu(canvases)  # type: ignore[method-assign]
    output = model.predict(frame())
    assert output.device == "cpu" and len(output.regions) == 1


def test_warming_up_runs_once_on_an_empty_frame() -> None:
    predictor().warm_up()


@pytest.mark.parametrize(("rows", "columns"), [(100, 100), (300, 100), (77, 431), (1, 900)])
def test_a_letterbox_keeps_ratio_and_place(rows: int, columns: int) -> None:
    box = letterbox((rows, columns), 256)
    assert max(box.shape) == 256
    assert box.shape[0] / box.shape[1] == pytest.approx(rows / columns, rel=0.02, abs=1.0)
    ramp = np.add.outer(np.linspace(0.2, 0.5, rows), np.linspace(0.0, 0.4, columns)).astype(np.float32)
    back = box.to_frame(box.to_canvas(ramp))
    assert back.shape == ramp.shape
    np.testing.assert_allclose(back, ramp, atol=0.02)


def test_crumbs_are_no_lesions_and_lesions_come_largest_first() -> None:
    probability = np.zeros((200, 200), dtype=np.float32)
    probability[20:80, 20:80] = 0.9  # 3600
    probability[40:44, 40:44] = 0.1  # a hole
    probability[100:130, 100:130] = 0.7  # 900: a quarter
    probability[150:160, 20:30] = 0.99  # 100: a crumb
    regions, mask = regions_of(probability, 0.5, None)
    assert [region.shape.area_px for region in regions] == [3600, 900]
    assert regions[0].box_px == (20, 20, 80, 80)
    assert mask[42, 42] and not mask[155, 25] and mask.sum() == 4500
    assert regions[1].score == pytest.approx(0.7)


def test_what_is_too_small_for_its_frame_is_no_lesion() -> None:
    probability = np.zeros((200, 200), dtype=np.float32)
    probability[:5, :5] = 1.0
    assert regions_of(probability, 0.5, None)[0] == ()
    assert len(regions_of(probability[:50, :50], 0.5, None)[0]) == 1
    assert regions_of(np.zeros((10, 10), dtype=np.float32), 0.5, None)[0] == ()


def test_there_are_only_so_many_regions() -> None:
    probability = np.zeros((100, 200), dtype=np.float32)
    for number in range(MOST_REGIONS + 3):
        probability[10:30, 20 * number + 2 : 20 * number + 18] = 1.0
    regions, mask = regions_of(probability, 0.5, None)
    assert len(regions) == MOST_REGIONS and mask.sum() == MOST_REGIONS * 20 * 16
