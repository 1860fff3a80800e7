import csv
from dataclasses import replace

import cv2
import numpy as np
import pytest
from PIL import Image

from lpr_core.geometry import Box, intersection, iou
from lpr_core.rectify import rectify
from model_training import composites, lettering
from model_training.composites import (
    Background,
    BackgroundsError,
    blur_of,
    composite_scene,
    load_backgrounds,
    paint_over,
)
from model_training.glyphs import random_die
from model_training.layers import Layer, fill, lay, perspective, project, seen_from
from model_training.layouts import LAYOUT_BY_NAME
from model_training.lettering import random_lettering
from model_training.plates import draw_words
from model_training.scenes import ScenePlan, render_scene

MAGENTA = (255, 0, 255)
OLD = Box(120, 90, 104, 24)
LONG = tuple(LAYOUT_BY_NAME[name] for name in ("de", "gb", "fr", "br"))


def texture(width=360, height=240, seed=0):
    """A grey picture of soft spots, as no plate looks."""
    noise = np.random.default_rng(seed).uniform(60, 200, (height // 12, width // 12))
    soft = cv2.resize(noise.astype(np.float32), (width, height), interpolation=cv2.INTER_CUBIC)
    return np.repeat(np.clip(soft, 0, 255).astype(np.uint8)[..., None], 3, axis=2)


def with_old_plate(**size):
    pixels = texture(**size)
    pixels[int(OLD.y) : int(OLD.bottom), int(OLD.x) : int(OLD.right)] = MAGENTA
    return pixels


def magenta(pixels):
    """How many pixels have a green far below red and blue, whatever the white balance."""
    red, green, blue = np.moveaxis(pixels.astype(float), -1, 0)
    return int(((red > 80) & (blue > 80) & (green < 0.45 * np.minimum(red, blue))).sum())


@pytest.fixture
def folder(tmp_path):
    Image.fromarray(with_old_plate()).save(tmp_path / "car.png")
    (tmp_path / "deeper").mkdir()
    Image.fromarray(texture(seed=1)).save(tmp_path / "deeper" / "wall.jpg")
    (tmp_path / "notes.txt").write_text("no picture")
    rows = ["image,x,y,w,h,text", "car.png,120,90,104,24,", "deeper/wall.jpg,,,,,"]
    (tmp_path / "truth.csv").write_text("\n".join(rows) + "\n")
    return tmp_path


def test_backgrounds_are_found_with_the_boxes_of_their_truth(folder, capsys):
    assert load_backgrounds([folder]) == [
        Background(folder / "car.png", (OLD,)),
        Background(folder / "deeper" / "wall.jpg", ()),
    ]
    assert "refused" not in capsys.readouterr().err


def test_pictures_that_cannot_be_used_are_named_and_skipped(folder, capsys):
    whole = (folder / "deeper" / "wall.jpg").read_bytes()
    (folder / "cut.jpg").write_bytes(whole[: len(whole) // 2])
    (folder / "text.png").write_text("not a picture at all")
    Image.fromarray(texture(height=48)).save(folder / "low.png")
    Image.new("RGB", (360, 240)).save(folder / "black.png")
    Image.fromarray(texture()).save(folder / "odd.png")
    with (folder / "truth.csv").open("a") as truth:
        truth.write("odd.png,1,2,three,4,\nlost.png,1,2,3,4,\n")
    assert [b.path.name for b in load_backgrounds([folder])] == ["car.png", "wall.jpg"]
    lines = [line for line in capsys.readouterr().err.splitlines() if "refused: " in line]
    names = ("cut.jpg", "text.png", "low.png", "black.png", "lost.png", "odd.png: truth.csv:4 ")
    assert len(lines) == len(names)
    for name in names:
        assert sum(name in line for line in lines) == 1


def test_a_folder_without_pictures_is_an_error(tmp_path):
    with pytest.raises(BackgroundsError, match=tmp_path.name):
        load_backgrounds([tmp_path])


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("image,text\ncar.png,AB123\n", ": there is no column h, w, x, y"),
        ("image,x,y,w,h\n" + 'car.png,"' + 140_000 * "1", " is no table"),
    ],
)
def test_a_truth_without_boxes_is_an_error(folder, text, words):
    (folder / "truth.csv").write_text(text)
    with pytest.raises(BackgroundsError, match=rf"truth\.csv{words}"):
        load_backgrounds([folder])


@pytest.mark.parametrize("size", [(360, 240), (180, 300), (90, 60)])
@pytest.mark.parametrize("turned", [False, True])
def test_backgrounds_are_upright_and_shrunk_with_their_boxes(tmp_path, size, turned):
    picture = Image.fromarray(with_old_plate())
    exif = Image.Exif()
    if turned:
        picture = picture.transpose(Image.Transpose.ROTATE_90)
        exif[0x0112] = 6
    picture.save(tmp_path / "a.png", exif=exif)
    pixels, (box,) = Background(tmp_path / "a.png", (OLD,)).read(size)
    scale = min(size[0] / 360, size[1] / 240)
    assert pixels.shape == (240 * scale, 360 * scale, 3)
    assert box == pytest.approx(Box(*(v * scale for v in (120, 90, 104, 24))))
    inside = pixels[int(box.y) + 2 : int(box.bottom) - 1, int(box.x) + 2 : int(box.right) - 1]
    assert magenta(inside) == inside.shape[0] * inside.shape[1]


@pytest.mark.parametrize("mode", ["L", "CMYK", "P", "RGBA", "I;16", "1"])
def test_backgrounds_of_every_kind_keep_their_brightness(tmp_path, mode):
    grey = Image.fromarray(texture()).convert("L")
    if mode == "I;16":
        picture = Image.fromarray(np.array(grey, np.uint16) * 257)
    else:
        picture = grey.convert("RGB").convert(mode)
    picture.save(tmp_path / "a.tif")
    pixels, _ = load_backgrounds([tmp_path])[0].read((360, 240))
    assert pixels.shape == (240, 360, 3) and pixels.dtype == np.uint8
    shown = cv2.blur(pixels, (15, 15))[..., 1].astype(int)  # one bit a pixel is dithered
    assert np.abs(shown - cv2.blur(np.array(grey), (15, 15))).mean() < 6


def test_painting_over_leaves_nothing_of_a_plate_and_all_else():
    for width, height in ((360, 240), (1800, 1200)):
        scale = width / 360
        pixels = cv2.resize(with_old_plate(), (width, height)).astype(np.float32)
        before, box = pixels.copy(), Box(*(v * scale for v in (120, 90, 104, 24)))
        paint_over(pixels, box)
        assert magenta(before) > 2000 and magenta(pixels) == 0
        assert (pixels[: int(60 * scale)] == before[: int(60 * scale)]).all()
        assert (pixels[:, int(300 * scale) :] == before[:, int(300 * scale) :]).all()


def test_painting_over_works_at_edges_and_over_a_whole_picture():
    for box in (Box(-5, -5, 60, 30), Box(330, 225, 60, 30), Box(0, 0, 360, 240)):
        pixels = texture().astype(np.float32)
        x0, y0 = max(0, int(box.x)), max(0, int(box.y))
        pixels[y0 : int(box.bottom), x0 : int(box.right)] = MAGENTA
        paint_over(pixels, box)
        assert magenta(pixels) == 0


def test_known_plates_are_replaced(tmp_path):
    pixels = texture()
    y, x = np.indices((int(OLD.height), int(OLD.width)))
    old = 255 * ((x // 3 + y // 3) % 2)
    rows, columns = slice(int(OLD.y), int(OLD.bottom)), slice(int(OLD.x), int(OLD.right))
    pixels[rows, columns] = old[..., None]
    Image.fromarray(pixels).save(tmp_path / "checks.png")
    background = Background(tmp_path / "checks.png", (OLD,))
    overlaps = []
    for seed in range(20):
        scene = composite_scene(background, np.random.default_rng(seed), layouts=LONG)
        grey = cv2.cvtColor(scene.pixels, cv2.COLOR_RGB2GRAY)
        for seen, box in (
            (grey, OLD),
            (grey[:, ::-1], Box(360 - OLD.right, OLD.y, OLD.width, OLD.height)),
        ):  # as it was, or mirrored
            assert abs(np.corrcoef(seen[rows, columns].ravel(), old.ravel())[0, 1]) < 0.3
            overlaps.append(max((iou(p.box, box) for p in scene.plates), default=0))
    best = np.reshape(overlaps, (-1, 2)).max(axis=1)
    assert np.median(best) > 0.6 and best.min() > 0.3
    # The check can fail: the picture itself does not pass it.
    assert np.corrcoef(pixels[rows, columns, 0].ravel(), old.ravel())[0, 1] > 0.99


def test_plates_lie_in_the_picture_and_apart(folder):
    background = Background(folder / "deeper" / "wall.jpg")
    numbers = []
    for seed in range(30):
        scene = composite_scene(background, np.random.default_rng(seed))
        height, width = scene.pixels.shape[:2]
        boxes = [plate.box for plate in scene.plates]
        numbers.append(len(boxes))
        for n, box in enumerate(boxes):
            for part in (box, *scene.plates[n].characters):
                assert intersection(part, Box(0, 0, width, height)) >= 0.9 * part.area
            assert all(intersection(box, other) == 0 for other in boxes[:n])
            assert box.width < 0.75 * width
    assert set(numbers) >= {0, 1, 2}


def test_composites_show_their_plates_where_they_say(folder):
    def likeness(scene, plate, shift=0.0):
        quad = tuple((x + shift * plate.box.height, y) for x, y in plate.quad)
        grey = cv2.cvtColor(scene.pixels, cv2.COLOR_RGB2GRAY)
        seen = rectify(grey, quad).pixels.astype(np.float32)
        drawn = cv2.cvtColor(plate.plate.pixels, cv2.COLOR_RGB2GRAY)
        drawn = cv2.resize(drawn, seen.shape[::-1], interpolation=cv2.INTER_AREA)
        return np.corrcoef(seen.ravel(), drawn.ravel())[0, 1]

    background = Background(folder / "deeper" / "wall.jpg")
    scenes = [
        composite_scene(background, np.random.default_rng(n), layouts=LONG) for n in range(60)
    ]
    seen = [(scene, p) for scene in scenes for p in scene.plates if p.box.width > 70]
    assert len(seen) >= 10
    assert np.median([likeness(*both) for both in seen]) > 0.6
    assert all(likeness(*both) > likeness(*both, shift=0.4) for both in seen)


def test_composites_depend_on_the_seed_alone(folder):
    background = load_backgrounds([folder])[0]
    first, again, other = (
        composite_scene(background, np.random.default_rng(seed)).pixels for seed in (3, 3, 4)
    )
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)


def test_a_grey_picture_gets_grey_plates(folder, monkeypatch):
    def develop(picture, *_, **__):
        return np.clip(picture, 0, 255).astype(np.uint8)

    monkeypatch.setattr(composites, "photograph", develop)
    background = Background(folder / "deeper" / "wall.jpg")
    for seed in range(6):
        pixels = composite_scene(background, np.random.default_rng(seed)).pixels
        assert np.ptp(pixels, axis=2).max() <= 1


def test_lettering_is_no_plate(monkeypatch):
    words = []
    monkeypatch.setattr(
        lettering,
        "draw_words",
        lambda canvas, text, *rest: (words.append(text), draw_words(canvas, text, *rest)),
    )
    rng = np.random.default_rng(3)
    for _ in range(300):
        layer = random_lettering(30, random_die(rng), rng)
        text = "".join(words).replace(" ", "")
        # What a plate is: a board with five to nine letters and digits, not all of them letters.
        on_board = layer.alpha.mean() > 0.9
        assert not (on_board and 5 <= len(text) <= 9 and not text.isalpha()), words
        words.clear()
        assert layer.pixels.shape == (30, layer.alpha.shape[1], 3)
        assert layer.pixels.dtype == layer.alpha.dtype == np.float32
        assert layer.alpha.min() >= 0 and 0.5 < layer.alpha.max() <= 1
    plan = ScenePlan((), (320, 240), lettering=12)
    bare = render_scene(ScenePlan((), (320, 240)), random_die(rng), np.random.default_rng(1))
    lettered = render_scene(plan, random_die(rng), np.random.default_rng(1))
    assert lettered.plates == ()
    assert not np.array_equal(bare.pixels, lettered.pixels)


@pytest.mark.parametrize("sigma", [1.0, 1.5, 2.5])
def test_blur_is_measured_by_the_steepest_edges(sigma):
    step = np.zeros((80, 80), np.float32)
    step[:, 40:] = 200
    assert blur_of(step) < 0.3
    assert blur_of(cv2.GaussianBlur(step, (0, 0), sigma)) == pytest.approx(sigma, rel=0.15)


def test_a_rectangle_seen_from_the_front_keeps_its_form():
    np.testing.assert_allclose(
        seen_from(4, 0, 0, 0, 5), [[-0.5, -0.125], [0.5, -0.125], [0.5, 0.125], [-0.5, 0.125]]
    )
    # Clockwise by a right angle: the top left corner comes to the top right.
    np.testing.assert_allclose(seen_from(1, 90, 0, 0, 5)[0], [0.5, -0.5], atol=1e-12)
    # From the side it is narrower, and its nearer end higher.
    left, right = seen_from(2, 0, 40, 0, 5)[[0, 3]], seen_from(2, 0, 40, 0, 5)[[1, 2]]
    assert np.abs(left - right)[0, 0] < 0.9
    assert abs(np.ptp(left[:, 1]) - np.ptp(right[:, 1])) > 0.05


def test_layers_are_laid_where_a_transform_brings_them():
    layer = Layer.clear(40, 20)
    fill(layer.pixels, layer.box.corners, (200, 100, 50), alpha=layer.alpha)
    target = Box(30, 10, 80, 40).corners
    matrix = perspective(layer.box.corners, target)
    np.testing.assert_allclose(project(layer.box, matrix), target, atol=1e-3)
    canvas = np.zeros((60, 120, 3), np.float32)
    lay(canvas, layer, matrix)
    np.testing.assert_allclose(canvas[12:48, 32:108], np.full((36, 76, 3), (200, 100, 50)))
    assert canvas[:8].max() == canvas[52:].max() == canvas[:, :28].max() == 0
    lay(canvas, layer, perspective(layer.box.corners, Box(500, 500, 10, 10).corners))  # not in it


@pytest.mark.shared
def test_real_backgrounds_get_plates_over_their_own(shared_data):
    rng = np.random.default_rng(0)
    folder = shared_data / "boxes_eu"
    with (folder / "truth.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))[::50]
    replaced = []
    for row in rows:
        known = Box(*(float(row[column]) for column in ("x", "y", "w", "h")))
        background = Background(folder / row["image"], (known,))
        scene = composite_scene(background, rng)
        _, (box,) = background.read((800, 600))
        mirrored = replace(box, x=scene.pixels.shape[1] - box.right)
        found = [max(iou(p.box, box), iou(p.box, mirrored)) for p in scene.plates]
        replaced.append(max(found, default=0))
    assert np.median(replaced) > 0.5
