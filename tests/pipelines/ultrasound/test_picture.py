from __future__ import annotations

import numpy as np
import pytest

from pipelines.ultrasound.colour import blobs, coloured, luminance
from pipelines.ultrasound.graphics import find_graphics, neutralised
from pipelines.ultrasound.picture import find_picture
from tests.pipelines.ultrasound.screens import PICTURE, screen, sector, speckle, with_callipers, with_flow

X0, Y0, X1, Y1 = PICTURE


def picture_of(grey: np.ndarray) -> np.ndarray:
    return grey[Y0:Y1, X0:X1].astype(np.float32)


@pytest.mark.parametrize("brightness", [50.0, 90.0, 140.0])
def test_a_linear_picture_is_found_to_a_few_pixels_among_text_bars_and_scales(brightness: float) -> None:
    found = find_picture(screen(brightness=brightness))
    assert found is not None
    assert np.abs(np.subtract(found.box_px, PICTURE)).max() <= 3
    assert found.inside.all()


def test_a_sector_is_told_from_the_corners_of_its_box() -> None:
    grey = sector()
    found = find_picture(grey)
    assert found is not None
    x0, y0, x1, y1 = found.box_px
    inside = np.zeros(grey.shape, dtype=bool)
    inside[y0:y1, x0:x1] = found.inside
    tissue = grey > 0
    assert (inside & tissue).sum() > 0.97 * tissue.sum()
    assert (inside & ~tissue).sum() < 0.06 * tissue.sum()
    assert not found.inside[0, 0]


def test_a_cyst_and_a_shadow_stay_within_the_picture() -> None:
    grey = screen()
    row, column = np.mgrid[:480, :640]
    grey[np.hypot(row - 180, column - 300) < 45] = 0
    grey[180:Y1, 270:330] = 0
    found = find_picture(grey)
    assert found is not None
    assert np.abs(np.subtract(found.box_px, PICTURE)).max() <= 3
    assert found.inside.all()


def test_a_picture_to_the_edges_of_the_image_is_the_image() -> None:
    found = find_picture(speckle(300, 400))
    assert found is not None
    assert np.abs(np.subtract(found.box_px, (0, 0, 400, 300))).max() <= 1


@pytest.mark.parametrize("background", [0, 30])
def test_a_screen_without_picture_has_none(background: int) -> None:
    grey = screen()
    grey[Y0:Y1, X0:X1] = 0
    assert find_picture(np.maximum(grey, background).astype(np.uint8)) is None
    assert find_picture(np.full((480, 640), background, dtype=np.uint8)) is None
    assert find_picture(np.zeros((8, 8), dtype=np.uint8)) is None


def test_pixels_repeated_by_an_enlargement_are_speckle_still() -> None:
    large = np.kron(screen(), np.ones((2, 2), dtype=np.uint8))
    found = find_picture(large)
    assert found is not None
    assert np.abs(np.subtract(found.box_px, 2 * np.array(PICTURE))).max() <= 6


def test_callipers_their_dotted_line_and_words_are_masked_and_little_else() -> None:
    grey, drawn = with_callipers(screen())
    mask = find_graphics(picture_of(grey), np.zeros((Y1 - Y0, X1 - X0), dtype=bool))
    assert mask[drawn[Y0:Y1, X0:X1]].mean() > 0.98
    assert mask.mean() < 0.03


def test_callipers_on_bright_tissue_are_found_by_those_on_dark() -> None:
    grey = screen()
    grey[Y0:Y1, 300:X1] = np.clip(grey[Y0:Y1, 300:X1].astype(int) + 60, 0, 255)
    grey, drawn = with_callipers(grey)
    mask = find_graphics(picture_of(grey), np.zeros((Y1 - Y0, X1 - X0), dtype=bool))
    assert mask[drawn[Y0:Y1, X0:X1]].mean() > 0.9


@pytest.mark.parametrize("seed", range(4))
def test_nothing_is_masked_in_speckle_with_bright_interfaces(seed: int) -> None:
    grey = picture_of(screen(seed=seed)).copy()
    for row in (40, 150, 152, 300):  # fasciae: sharp along the beam, long across it
        grey[row : row + 3] = 250
    row, column = np.mgrid[: grey.shape[0], : grey.shape[1]]
    grey[np.hypot(row - 200, (column - 200) / 3) < 5] = 255  # a short one, as blurred laterally as speckle is
    smooth = grey.copy()
    smooth[:, 2:-2] = (grey[:, :-4] + 2 * grey[:, 1:-3] + 3 * grey[:, 2:-2] + 2 * grey[:, 3:-1] + grey[:, 4:]) / 9
    assert not find_graphics(smooth, np.zeros(grey.shape, dtype=bool)).any()


def test_a_frame_around_a_region_does_not_mask_what_it_encloses() -> None:
    grey = picture_of(screen()).copy()
    for row, column in ((slice(60, 62), slice(60, 260)), (slice(200, 202), slice(60, 260))):
        grey[row, column] = 255
    grey[60:202, 60:62] = grey[60:202, 258:260] = 255
    mask = find_graphics(grey, np.zeros(grey.shape, dtype=bool))
    assert mask[61, 60:260].all()
    assert mask[61:200, 61].all()
    assert not mask[70:190, 70:250].any()


def test_what_is_filled_in_looks_like_speckle_and_shows_no_outline() -> None:
    plain = screen()
    grey, drawn = with_callipers(plain)
    before, there = picture_of(grey), drawn[Y0:Y1, X0:X1]
    mask = find_graphics(before, np.zeros(before.shape, dtype=bool))
    filled = neutralised(before, mask, np.zeros(before.shape, dtype=bool))
    assert np.array_equal(filled[~mask], before[~mask])
    assert filled[there].max() < 205
    tissue = picture_of(plain)
    assert abs(filled[mask].mean() - tissue[mask].mean()) < 8
    assert 0.6 < filled[mask].std() / tissue[mask].std() < 1.5


def test_outside_the_picture_everything_is_black_and_nothing_of_it_is_filled_in() -> None:
    grey = np.full((100, 100), 255.0, dtype=np.float32)
    outside = np.zeros((100, 100), dtype=bool)
    outside[:, 50:] = True
    grey[:, :50] = 100
    drawn = np.zeros_like(outside)
    drawn[:, 46:56] = True
    filled = neutralised(grey, drawn, outside)
    assert (filled[:, :50] == 100).all()
    assert (filled[:, 50:] == 0).all()
    everything = np.ones_like(outside)
    assert neutralised(grey, everything, ~everything).shape == grey.shape


def test_flow_is_coloured_and_in_blobs_and_text_is_coloured_but_in_strokes() -> None:
    plain = np.repeat(screen()[..., None], 3, axis=2)
    assert not coloured(plain).any()
    assert not coloured(screen()).any()
    flow = with_flow(screen())
    painted = (flow != plain).any(axis=2)
    assert coloured(flow)[painted].all()
    assert blobs(coloured(flow)).sum() > 0.8 * painted.sum()
    _, drawn = with_callipers(screen())
    text = plain.copy()
    text[drawn] = (255, 255, 0)
    assert coloured(text)[drawn].all()
    assert not blobs(coloured(text)).any()


@pytest.mark.parametrize("tint", [(1.0, 0.94, 0.8), (1.0, 0.75, 0.3), (0.78, 0.85, 1.0)], ids=str)
def test_a_tint_is_no_colour_and_flow_in_a_tinted_picture_is(tint: tuple[float, float, float]) -> None:
    tinted = np.rint(np.repeat(screen()[..., None], 3, axis=2) * np.array(tint)).astype(np.uint8)
    assert blobs(coloured(tinted)).mean() < 1e-3
    flow = with_flow(screen())
    painted = (flow != np.repeat(screen()[..., None], 3, axis=2)).any(axis=2)
    tinted[painted] = flow[painted]
    assert coloured(tinted)[painted].mean() > 0.6


def test_an_elastogram_all_over_the_picture_is_no_tint() -> None:
    stiffness = np.linspace(0, 1, 400)[None, :]
    colours = np.stack([stiffness, 1 - np.abs(2 * stiffness - 1), 1 - stiffness], axis=2) * np.ones((360, 1, 1))
    rgb = np.repeat(screen()[..., None], 3, axis=2)
    rgb[Y0:Y1, X0:X1] = (0.3 * rgb[Y0:Y1, X0:X1] + 0.7 * 255 * colours).astype(np.uint8)
    assert blobs(coloured(rgb))[Y0:Y1, X0:X1].mean() > 0.2


def test_brightness_is_that_of_the_luma_equation() -> None:
    assert np.allclose(luminance(np.array([[[255, 0, 0], [0, 255, 0]]], dtype=np.uint8)), [[76.245, 149.685]])
    assert luminance(np.array([[7]], dtype=np.uint8)).dtype == np.float32
