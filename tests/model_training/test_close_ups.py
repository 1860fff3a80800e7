from dataclasses import replace
from itertools import islice

import cv2
import numpy as np
import pytest

from lpr_core.geometry import Box, intersection
from lpr_core.recognize import normalise_character
from lpr_core.rectify import rectify
from lpr_core.segment import cut_character
from model_training import rendered_characters, wear
from model_training.close_ups import HEIGHTS, bend, close_up
from model_training.glyphs import random_die
from model_training.layouts import LAYOUT_BY_NAME, LAYOUTS
from model_training.plates import render_plate
from model_training.rendered_characters import (
    characters,
    characters_of,
    cut_plate,
    non_characters_of,
    render_characters,
    render_non_characters,
)

EFFECTS = [effect for _, effect in (*wear.AGE, *wear.DIRT, *wear.LIGHTS)]
EFFECTS += [wear.slope, wear.raindrops, wear.sharpen, wear.interlace]


def plate_of(layout, seed=0):
    rng = np.random.default_rng(seed)
    return render_plate(layout, random_die(rng), rng)


def grey_of(pixels):
    return cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY)


def likeness(picture, drawn):
    """Correlation after bringing what was drawn to the picture's size; 0 where one is flat."""
    drawn = cv2.resize(drawn, picture.shape[::-1], interpolation=cv2.INTER_AREA)
    both = picture.ravel().astype(float), drawn.ravel().astype(float)
    return np.corrcoef(*both)[0, 1] if min(map(np.ptp, both)) > 0 else 0.0


def part(picture, box):
    return picture[round(box.y) : round(box.bottom), round(box.x) : round(box.right)]


def textured(channels):
    """A picture with edges, in the middle of the range."""
    rng = np.random.default_rng(5)
    shape = (40, 120, 3)[: 2 + (channels == 3)]
    return cv2.resize(rng.uniform(60, 190, shape).astype(np.float32), (240, 80))


@pytest.fixture(scope="module")
def close_ups():
    """Grey close-ups of plates of every kind."""
    scenes = []
    for seed in range(160):
        plate = plate_of(LAYOUTS[seed % len(LAYOUTS)], seed)
        scenes.append(close_up(plate, np.random.default_rng([1, seed]), grey=True))
    return scenes


def sides(scene):
    """Lengths of the left and the right side."""
    corners = np.array(scene.plates[0].quad)
    return np.hypot(*(corners[[3, 2]] - corners[[0, 1]]).T)


def test_corners_are_where_the_plate_is(close_ups):
    found, shifted = [], []
    for scene in close_ups:
        (seen,) = scene.plates
        crop = rectify(scene.pixels, seen.quad).pixels
        drawn = grey_of(seen.plate.pixels)
        found.append(abs(likeness(crop, drawn)))  # grey may turn red on blue inside out
        shifted.append(abs(likeness(np.roll(crop, crop.shape[1] // 25, axis=1), drawn)))
    assert np.median(found) > 0.85
    assert np.percentile(found, 10) > 0.5
    assert np.median(shifted) < 0.4  # the check can fail


def test_character_boxes_are_where_the_characters_are(close_ups):
    found, shifted = [], []
    for scene in close_ups:
        (seen,) = scene.plates
        (left, start), (right, stop) = seen.quad[:2]
        if abs(np.degrees(np.arctan2(stop - start, right - left))) > 3 or seen.box.height < 50:
            continue  # upright boxes around upright characters
        drawn = grey_of(seen.plate.pixels)
        for truth, box in zip(seen.plate.characters, seen.characters, strict=True):
            for offset, results in ((0.0, found), (0.35 * box.width, shifted)):
                patch = part(scene.pixels, replace(box, x=box.x + offset))
                if patch.shape[1] > 3:
                    results.append(likeness(patch, part(drawn, truth.box)))
    assert len(found) > 150
    assert np.median(found) > 0.8
    assert np.median(shifted) < 0.4  # the check can fail


def test_bent_plates_take_their_boxes_along():
    layout = replace(
        LAYOUT_BY_NAME["any-long"], patterns=("XXXXXXX",), colours=(((240,) * 3, (20,) * 3),)
    )
    moved = []
    for seed in range(12):
        plate = plate_of(replace(layout, border=0.0), seed)
        bent = bend(plate, np.random.default_rng(seed))
        ink = grey_of(bent.pixels) < 130
        for before, after in zip(plate.characters, bent.characters, strict=True):
            x0, x1 = round(after.box.x), round(after.box.right)
            rows = np.flatnonzero(ink[:, x0:x1].any(axis=1))
            assert after.box.y == pytest.approx(rows[0], abs=2.5)
            assert after.box.bottom == pytest.approx(rows[-1] + 1, abs=2.5)
            moved.append(abs(after.box.y - before.box.y))
    assert 3 < max(moved) < 0.051 * 110


def test_heights_reach_from_16_to_200_pixels(close_ups):
    heights = np.array([sides(scene).mean() for scene in close_ups])
    assert heights.min() >= HEIGHTS[0] - 0.01 and heights.max() <= HEIGHTS[1] + 0.5
    assert heights.min() < 18 and heights.max() > 180
    assert 40 < np.median(heights) < 80  # log-uniform: sqrt(16 * 200) = 57
    for scene in close_ups:
        assert max(box.height for box in scene.plates[0].characters) > 6


@pytest.mark.parametrize("height", [16, 57.5, 200])
@pytest.mark.parametrize("layout", [LAYOUTS[0], LAYOUTS[-1]], ids=lambda layout: layout.name)
def test_a_height_that_is_asked_for_is_kept(layout, height):
    for seed in range(6):
        scene = close_up(plate_of(layout), np.random.default_rng(seed), grey=True, height=height)
        assert sides(scene).mean() == pytest.approx(height, rel=0.02, abs=0.5)


def test_plates_are_tilted_mostly_a_little(close_ups):
    (left, right) = np.array([scene.plates[0].quad[:2] for scene in close_ups]).transpose(1, 0, 2)
    tilts = np.abs(np.degrees(np.arctan2(*(right - left)[:, ::-1].T)))
    assert 0.75 < np.mean(tilts < 8) < 0.99
    assert 10 < tilts.max() < 32


def test_crops_are_tight_or_loose_and_cut_no_character(close_ups):
    margins = []
    for scene in close_ups:
        height, width = scene.pixels.shape
        box = scene.plates[0].box
        edges = np.array([box.x, box.y, width - box.right, height - box.bottom])
        margins.append(edges / sides(scene).mean())
        for character in scene.plates[0].characters:
            assert character.x >= 0 and character.right <= width
            assert character.y >= 0 and character.bottom <= height
    assert -0.05 < np.min(margins) < -0.005
    assert 0.25 < np.max(margins) < 0.5


def test_colour_and_grey_show_the_same_scene():
    plate = plate_of(LAYOUTS[0], 1)
    colour = close_up(plate, np.random.default_rng(3))
    assert colour.pixels.dtype == np.uint8 and colour.pixels.ndim == 3
    grey = close_up(plate, np.random.default_rng(3), grey=True)
    assert grey.pixels.dtype == np.uint8 and grey.pixels.ndim == 2
    assert colour.plates[0].quad == grey.plates[0].quad
    for scene in (colour, grey):
        assert len(scene.plates[0].characters) == len(plate.text) == len(scene.plates[0].plate.text)
        assert scene.pixels.flags.c_contiguous


@pytest.mark.parametrize("grey", [False, True])
def test_close_ups_depend_on_the_seed_alone(grey):
    plate = plate_of(LAYOUTS[2], 1)
    first, again, other = (
        close_up(plate, np.random.default_rng(seed), grey=grey) for seed in (8, 8, 9)
    )
    np.testing.assert_array_equal(first.pixels, again.pixels)
    assert first.plates[0].quad == again.plates[0].quad
    assert first.plates[0].quad != other.plates[0].quad


def test_colours_stay_what_they_are():
    """Red is the first channel after the JPEG and the sensor's filters too."""
    red = np.full((24, 40, 3), (200, 40, 40), np.float32)
    shots = [wear.photograph(red, np.random.default_rng(s), blur=0.5, noise=2) for s in range(60)]
    means = np.array([shot.reshape(-1, 3).mean(axis=0) for shot in shots])
    # But for the few under green or blue light.
    assert np.mean(means[:, 0] > means[:, 1:].max(axis=1)) > 0.93
    np.testing.assert_allclose(wear.jpeg(red.astype(np.uint8), 95), red, atol=6)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("effect", EFFECTS, ids=lambda effect: effect.__name__)
def test_every_effect_changes_pixels_and_nothing_else(effect, channels):
    before = textured(channels)
    for seed in range(5):
        after = effect(before.copy(), np.random.default_rng(seed), 1.0)
        assert after.shape == before.shape and after.dtype == np.float32
        assert np.isfinite(after).all()
        assert np.abs(after - before).max() > 8
        # Still the picture it was: what is readable stays so.
        assert np.corrcoef(after.ravel(), before.ravel())[0, 1] > 0.3


@pytest.mark.parametrize("channels", [1, 3])
def test_a_strong_effect_is_stronger_than_a_weak_one(channels):
    before = textured(channels)
    for effect in (wear.dust, wear.mud, wear.dents, wear.glare, wear.overexpose, wear.sharpen):
        weak, strong = (
            np.mean(
                [
                    np.abs(effect(before.copy(), np.random.default_rng(s), strength) - before)
                    for s in range(6)
                ]
            )
            for strength in (0.1, 1.0)
        )
        assert strong > 1.3 * weak, effect.__name__


def test_shadows_darken_and_glare_brightens():
    before = textured(3)
    for seed in range(6):
        for effect in (wear.shadow_edge, wear.bars, wear.dapple):
            assert (effect(before, np.random.default_rng(seed), 0.8) <= before + 1e-3).all()
        for effect in (wear.glare, wear.overexpose):
            after = effect(before, np.random.default_rng(seed), 0.8)
            assert (np.minimum(after, 255) >= before - 1e-3).all()
            assert (after - before).max() > 20


def test_night_is_dark_around_a_plate_that_is_not():
    panel = np.full((120, 260), 150, np.float32)
    plate = Box(60, 40, 140, 40)
    for seed in range(10):
        dark = wear.night(panel, plate, np.random.default_rng(seed))
        inside = np.zeros(panel.shape, bool)
        inside[40:80, 60:200] = True
        assert dark[~inside].mean() < 75
        assert dark[inside].mean() > 1.5 * np.median(dark[~inside])


def test_a_frame_covers_edges_and_leaves_the_characters():
    clear = Box(30, 25, 190, 70)
    changed = []
    for seed in range(20):
        plate = np.full((120, 250, 3), 120, np.float32)
        wear.frame(plate, np.random.default_rng(seed), clear)
        kept = plate[25:95, 30:220]
        # The frame's shadow falls on the paper only.
        assert (kept[3:] == 120).all()
        changed.append((plate != 120).any(axis=2).mean())
    assert min(changed) > 0 and max(changed) > 0.1


def test_weather_leaves_new_plates_their_pixels_but_bolts_and_frames():
    pixels = plate_of(LAYOUTS[0], 3).pixels
    same = [
        np.mean(wear.weather_plate(pixels, np.random.default_rng(seed), 0.0) == pixels)
        for seed in range(12)
    ]
    assert min(same) > 0.6 and max(same) == 1
    worn = [
        np.mean(wear.weather_plate(pixels, np.random.default_rng(seed), 1.0) == pixels)
        for seed in range(12)
    ]
    assert np.mean(worn) < 0.6 * np.mean(same)


def test_blur_motion_and_noise_are_as_large_as_told():
    point = np.zeros((41, 41), np.float32)
    point[20, 20] = 2000  # still bright when it is smeared

    def spread(seed, **camera):
        # A gamma or a sharpening may follow: medians over seeds tell.
        shot = wear.photograph(point, np.random.default_rng(seed), noise=0, quality=95, **camera)
        weights = np.clip(shot.astype(float) - 3, 0, None)
        y, x = np.indices(shot.shape) - 20
        return np.sqrt((weights * (x**2 + y**2)).sum() / weights.sum())

    sharp = np.median([spread(seed, blur=0.0) for seed in range(9)])
    moved = np.median([spread(seed, blur=0.0, motion=16.0) for seed in range(9)])
    assert sharp < 0.5
    assert moved == pytest.approx(16 / np.sqrt(12), rel=0.2)  # of a uniform line of that length
    flat = np.full((80, 80), 128, np.float32)
    noise = [
        wear.photograph(flat, np.random.default_rng(seed), 0.0, 6.0, quality=95).std()
        for seed in range(15)
    ]
    assert np.median(noise) == pytest.approx(6, rel=0.15)


def test_worse_jpeg_is_farther_from_the_picture():
    picture = textured(3).astype(np.uint8)
    errors = [np.abs(wear.jpeg(picture, q).astype(int) - picture).mean() for q in (95, 60, 20)]
    assert errors == sorted(errors) and errors[2] > 2 * errors[0]


def test_rendered_characters_are_repeatable():
    pictures, labels = render_characters(80, np.random.default_rng(4))
    assert pictures.shape == (80, 28, 28) and labels.shape == (80,)
    assert pictures.dtype == np.float32 and labels.dtype == np.int32
    assert pictures.min() >= 0 and pictures.max() <= 1
    assert len(set(labels.tolist())) > 20
    again, _ = render_characters(80, np.random.default_rng(4))
    np.testing.assert_array_equal(pictures, again)
    nothing = render_non_characters(30, np.random.default_rng(4))
    assert nothing.shape == (30, 28, 28) and nothing.dtype == np.float32
    assert render_non_characters(0, np.random.default_rng(4)).shape == (0, 28, 28)


def test_plates_of_a_stream_do_not_depend_on_those_before(monkeypatch):
    whole = list(islice(characters(11), 40))
    cut_out = rendered_characters.characters_of
    lengths = []

    def first_one_alone(plate, rng):
        lengths.append(len(plate.characters))
        yield from islice(cut_out(plate, rng), 1 if len(lengths) == 1 else None)

    monkeypatch.setattr(rendered_characters, "characters_of", first_one_alone)
    shorter = list(islice(characters(11), 20))
    assert [text for text, _ in shorter[1:]] == [
        text for text, _ in whole[lengths[0] :][: len(shorter) - 1]
    ]
    for (_, one), (_, other) in zip(shorter[1:], whole[lengths[0] :], strict=False):
        np.testing.assert_array_equal(one, other)
    assert [text for text, _ in islice(characters(12), 40)] != [text for text, _ in whole]


def test_streams_can_be_of_chosen_layouts():
    layout = replace(LAYOUTS[0], patterns=("DDDDD",))
    texts = [text for text, _ in islice(characters(3, layouts=(layout,)), 30)]
    assert set(texts) <= set("0123456789")


def test_cut_plates_show_their_characters_in_their_boxes():
    found, shifted = [], []
    for seed in range(20):
        plate = plate_of(LAYOUT_BY_NAME["de"], seed)
        pixels, boxes = cut_plate(plate, np.random.default_rng(seed))
        drawn = grey_of(plate.pixels)
        for truth, box in zip(plate.characters, boxes, strict=True):
            shape = part(drawn, truth.box)
            found.append(likeness(part(pixels, box), shape))
            left = replace(box, x=box.x - 0.35 * box.width)
            shifted.append(likeness(part(pixels, left), shape))
    assert np.median(found) > 0.8
    assert np.median(shifted) < 0.4  # the check can fail


@pytest.mark.parametrize("name", ["de", "my"])  # dark ink, bright ink
def test_characters_are_bright_ink_of_the_shape_that_was_drawn(name):
    found = []
    for seed in range(12):
        plate = plate_of(LAYOUT_BY_NAME[name], seed)
        drawn = grey_of(plate.pixels)
        if plate.dark_ink:
            drawn = 255 - drawn
        shapes = {t.character: normalise_character(part(drawn, t.box)) for t in plate.characters}
        for character, picture in characters_of(plate, np.random.default_rng(seed)):
            found.append(np.corrcoef(picture.ravel(), shapes[character].ravel())[0, 1])
    assert np.median(found) > 0.7


def test_non_characters_show_less_than_half_a_character(monkeypatch):
    cut = []

    def noted(pixels, box, dark):
        cut.append(box)
        return cut_character(pixels, box, dark)

    monkeypatch.setattr(rendered_characters, "cut_character", noted)
    for seed in range(15):
        plate = plate_of(LAYOUTS[seed], seed)
        _, boxes = cut_plate(plate, np.random.default_rng(seed))
        cut.clear()
        assert len(list(non_characters_of(plate, np.random.default_rng(seed)))) == len(cut)
        for box in cut:
            assert all(intersection(box, b) < 0.5 * min(box.area, b.area) for b in boxes)
