import numpy as np
import pytest

from model_training.plate_crops import HEIGHT, MARGIN, WIDTH, PlateCrops, plate_box
from model_training.plate_views import Aim, cut, random_aim, real_view, rendered_view

TIGHT = Aim(0, 0, 0, 0)


def crops_of(name, number=3, aspect=3.0):
    """Plates of noise, brighter than what is around them."""
    rng = np.random.default_rng(number)
    pixels = rng.integers(0, 40, (number, HEIGHT, WIDTH), np.uint8)
    box = plate_box(aspect)
    pixels[:, round(box.y) : round(box.bottom), round(box.x) : round(box.right)] += 160
    sides = np.full(number, aspect, np.float32), np.full(number, 50, np.float32)
    return PlateCrops(name, pixels, tuple(f"T{n}" for n in range(number)), *sides)


def ramp():
    """A crop whose pixels tell their column."""
    return np.tile(np.arange(WIDTH, dtype=np.uint8), (HEIGHT, 1))


def test_without_margin_a_cut_is_the_plates_box():
    # An aspect of 4 with 0.25 around it: the plate takes 4 of 4.5 and 1 of 1.5.
    box = plate_box(4.0)
    assert (box.width, box.height) == pytest.approx((WIDTH * 4 / 4.5, HEIGHT / 1.5))
    columns = cut(ramp(), 4.0, TIGHT, (160, 64))[32].astype(float)
    # A result's pixel i covers the box from i to i + 1 of 160; its centre less the half of a pixel.
    expected = box.x + (np.arange(160) + 0.5) * box.width / 160 - 0.5
    assert np.abs(columns - expected).max() <= 1
    rows = cut(np.ascontiguousarray(ramp().T[:HEIGHT, :1].repeat(WIDTH, 1)), 4.0, TIGHT, (160, 64))
    expected = box.y + (np.arange(64) + 0.5) * box.height / 64 - 0.5
    assert np.abs(rows[:, 80].astype(float) - expected).max() <= 1


def test_margins_are_shares_of_the_plates_height():
    aim = Aim(left=0.2, top=0.0, right=0.1, bottom=0.0)
    columns = cut(ramp(), 2.0, aim, (160, 64))[32].astype(float)
    box = plate_box(2.0)
    height = box.width / 2.0  # in the crop's columns
    first, last = box.x - 0.2 * height, box.right + 0.1 * height
    assert columns[0] == pytest.approx(first, abs=2)
    assert columns[-1] == pytest.approx(last, abs=2)


def test_turning_and_shearing_move_what_they_should():
    level = cut(ramp(), 4.0, TIGHT, (160, 64)).astype(float)
    sheared = cut(ramp(), 4.0, Aim(0, 0, 0, 0, shear=0.2), (160, 64)).astype(float)
    # At the plate's top edge, half a height up, the crop's corners are off by 0.2 / 2 of it.
    height = plate_box(4.0).width / 4.0
    assert (sheared[0] - level[0])[40:120] == pytest.approx(-0.1 * height, abs=1.5)
    assert (sheared[-1] - level[-1])[40:120] == pytest.approx(0.1 * height, abs=1.5)
    turned = cut(ramp(), 4.0, Aim(0, 0, 0, 0, turn=0.1), (160, 64)).astype(float)
    shift = (turned - level)[:, 80]
    assert shift[0] * shift[-1] < 0 and abs(shift[0]) == pytest.approx(0.05 * height, abs=1.5)


def test_corners_that_are_off_are_where_the_cut_ends():
    offsets = np.zeros((4, 2))
    offsets[0] = 0.1, 0.0  # the top left one, to the right
    height = plate_box(4.0).width / 4.0
    moved = cut(ramp(), 4.0, Aim(0, 0, 0, 0, offsets=offsets), (160, 64)).astype(float)
    level = cut(ramp(), 4.0, TIGHT, (160, 64)).astype(float)
    assert moved[0, 0] - level[0, 0] == pytest.approx(0.1 * height, abs=1.5)
    for row, column in ((0, -1), (-1, 0), (-1, -1)):
        assert moved[row, column] == pytest.approx(level[row, column], abs=1.5)


def test_most_aims_stay_where_a_crop_has_pixels():
    rng = np.random.default_rng(0)
    aims = [random_aim(rng) for _ in range(500)]
    margins = np.array([(aim.left, aim.top, aim.right, aim.bottom) for aim in aims])
    assert margins.min() >= -0.06 and margins.max() <= 0.4
    assert np.mean(margins) == pytest.approx(0.12, abs=0.02)
    assert (margins <= MARGIN).mean() > 0.9
    assert np.abs([aim.turn for aim in aims]).max() < np.radians(12)


@pytest.mark.parametrize("size", [(160, 64), (280, 64)])
def test_views_have_the_size_asked_for_and_repeat(size):
    real, rendered = crops_of("real"), crops_of("rendered", 4, 2.0)
    for make in (
        lambda rng: real_view(real.pixels[1], 3.0, 50.0, rendered, rng, size),
        lambda rng: rendered_view(rendered, 1, rng, size),
    ):
        views = [make(np.random.default_rng(seed)) for seed in range(12)]
        for seed, view in enumerate(views):
            assert view.shape == size[::-1] and view.dtype == np.uint8
            assert np.array_equal(view, make(np.random.default_rng(seed)))
        assert len({view.tobytes() for view in views}) == 12


def test_a_view_shows_the_plate_it_is_of():
    real, rendered = crops_of("real"), crops_of("rendered", 4, 2.0)
    before = real.pixels.copy(), rendered.pixels.copy()
    for seed in range(20):
        view = real_view(
            real.pixels[0], 3.0, 50.0, rendered, np.random.default_rng(seed), (160, 64)
        ).astype(float)
        middle, edge = view[20:44, 40:120].mean(), np.r_[view[0], view[-1]].mean()
        # Brighter than its surroundings, or darker where it was inverted; washed out at times.
        assert abs(middle - edge) > 5
    assert np.array_equal(before[0], real.pixels) and np.array_equal(before[1], rendered.pixels)
