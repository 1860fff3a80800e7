import csv
import re

import cv2
import numpy as np
import pytest

from lpr_core.decode import DecodeError, DecodeReason, decode
from lpr_core.recognize import ALPHABET
from lpr_core.rectify import rectify
from model_training import generate, glyphs
from model_training.glyphs import GLYPH_HEIGHT, NoFontsError, installed_fonts, random_die
from model_training.plates import LAYOUT_BY_NAME, LAYOUTS, render_plate
from model_training.rendered_characters import render_characters
from model_training.scenes import CarPlan, ScenePlan, render_scene


def plate_of(name, seed=0):
    rng = np.random.default_rng(seed)
    return render_plate(LAYOUT_BY_NAME[name], random_die(rng), rng)


def scene_of(name, seed=0, **rest):
    rng = np.random.default_rng(seed)
    car = CarPlan(name, 260, **rest)
    return render_scene(ScenePlan((car,), (900, 600), wear=0.0), random_die(rng), rng)


def grey(pixels):
    return cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY)


@pytest.mark.parametrize("character", ALPHABET)
def test_glyphs_of_dies_fill_their_height_and_width(character):
    for seed in range(8):
        glyph = random_die(np.random.default_rng(seed)).glyph(character)
        assert glyph.shape[0] == GLYPH_HEIGHT
        assert glyph[:4].max() > 0.5 and glyph[-4:].max() > 0.5  # foot and top are inked
        assert glyph[:, :4].max() > 0.5 and glyph[:, -4:].max() > 0.5
        assert 0.05 < glyph.mean() < 0.95


def test_a_die_tells_its_characters_apart():
    die = random_die(np.random.default_rng(2))
    shapes = {c: cv2.resize(die.glyph(c), (24, 32)) for c in ALPHABET}
    alike = {
        a + b
        for a in ALPHABET
        for b in ALPHABET
        if a < b and np.abs(shapes[a] - shapes[b]).mean() < 0.01
    }
    assert alike <= {"0O", "1I"}


def test_missing_fonts_are_an_error_that_names_the_packages(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))  # no fc-list there
    installed_fonts.cache_clear()
    try:
        with pytest.raises(NoFontsError, match="apt-get install fontconfig fonts-roadgeek"):
            installed_fonts()
    finally:
        installed_fonts.cache_clear()


def test_installed_fonts_draw_every_character():
    try:
        fonts = installed_fonts()
    except NoFontsError as error:
        pytest.skip(str(error))
    for font in fonts:
        for character in ALPHABET:
            assert font.glyph(character).shape[0] == GLYPH_HEIGHT
            assert font.glyph(character).max() > 0.5
        assert glyphs.TrueTypeFont(font.path) == font


@pytest.mark.parametrize("layout", LAYOUTS, ids=lambda layout: layout.name)
def test_text_follows_the_pattern_of_its_layout(layout):
    classes = {"L": f"[{layout.letters}]", "D": "[0-9]", "X": f"[{layout.letters}0-9]"}
    patterns = ["".join(classes[c] for c in pattern if c in classes) for pattern in layout.patterns]
    for seed in range(5):
        plate = plate_of(layout.name, seed)
        assert any(re.fullmatch(pattern, plate.text) for pattern in patterns)
        lines = [truth.line for truth in plate.characters]
        assert lines == sorted(lines)
        assert set(lines) == set(range(1 + ("/" in layout.patterns[0])))
        width, height = layout.size
        assert plate.pixels.shape == (height, width, 3)


@pytest.mark.parametrize("layout", LAYOUTS, ids=lambda layout: layout.name)
def test_character_boxes_lie_on_the_plate_in_reading_order(layout):
    plate = plate_of(layout.name, 4)
    for before, after in zip(plate.characters, plate.characters[1:], strict=False):
        if before.line == after.line:
            assert after.box.x >= before.box.right
        else:
            assert after.box.y >= before.box.bottom
    for truth in plate.characters:
        assert truth.box.x >= 0 and truth.box.right <= plate.pixels.shape[1]
        assert truth.box.y >= 0 and truth.box.bottom <= plate.pixels.shape[0]


@pytest.mark.parametrize("name", ["de", "gb-plain", "eu-two-line", "my", "cn", "br-red"])
def test_character_boxes_are_tight_around_the_ink(name):
    plate = plate_of(name, 1)
    picture = grey(plate.pixels).astype(int)
    box = plate.characters[0].box
    around = picture[int(box.y) - 3 : int(box.bottom) + 3, int(box.x) - 2 : int(box.right) + 2]
    middle = (int(around.max()) + int(around.min())) / 2
    ink = picture < middle if plate.dark_ink else picture > middle
    for truth in plate.characters:
        x0, y0 = int(truth.box.x), int(truth.box.y)
        x1, y1 = int(truth.box.right), int(truth.box.bottom)
        inside = ink[y0:y1, x0:x1]
        # Half-covered edge pixels may fall below the threshold: two pixels of slack.
        assert inside[:3].any() and inside[-3:].any()
        assert inside[:, :3].any() and inside[:, -3:].any()
        assert not ink[y0:y1, x0 - 2].any() and not ink[y0:y1, x1 + 1].any()


def test_ink_is_told_dark_or_bright():
    assert plate_of("de").dark_ink
    assert not plate_of("my").dark_ink


def test_plates_depend_on_the_seed_alone():
    np.testing.assert_array_equal(plate_of("us-art", 5).pixels, plate_of("us-art", 5).pixels)
    assert plate_of("us-art", 5).text != plate_of("us-art", 6).text


@pytest.mark.parametrize(
    ("name", "turn"),
    [
        ("de", {}),
        ("gb", {"yaw": 0.15}),
        ("us-dark", {"yaw": -0.1, "roll": 8}),
        ("eu-two-line", {"roll": -12}),
    ],
)
def test_scene_corners_and_boxes_are_where_the_plate_is(name, turn):
    scene = scene_of(name, 3, **turn)
    (seen,) = scene.plates
    crop = rectify(grey(scene.pixels), seen.quad).pixels.astype(np.float32)
    drawn = cv2.resize(grey(seen.plate.pixels), crop.shape[::-1], interpolation=cv2.INTER_AREA)

    def likeness(picture):
        return np.corrcoef(picture.ravel(), drawn.ravel())[0, 1]

    assert likeness(crop) > 0.75
    # A plate a quarter of a character further right is another picture: the check can fail.
    assert likeness(np.roll(crop, 12, axis=1)) < 0.3
    assert len(seen.characters) == len(seen.plate.text)
    for box in seen.characters:
        assert box.x >= seen.box.x - 1 and box.right <= seen.box.right + 1
        assert box.y >= seen.box.y - 1 and box.bottom <= seen.box.bottom + 1


def test_scenes_depend_on_the_seed_alone():
    np.testing.assert_array_equal(scene_of("br", 9).pixels, scene_of("br", 9).pixels)
    assert not np.array_equal(scene_of("br", 9).pixels, scene_of("br", 10).pixels)


def test_a_street_without_cars_has_no_plates():
    rng = np.random.default_rng(1)
    scene = render_scene(ScenePlan((), (640, 480)), random_die(rng), rng)
    assert scene.plates == ()
    assert scene.pixels.shape == (480, 640, 3)
    assert generate.truth_rows("a.jpg", scene) == [("a.jpg", "", "", "", "", "", "")]


def test_truth_rows_give_box_text_and_country():
    scene = scene_of("pl", 2)
    ((image, x, y, width, height, text, country),) = generate.truth_rows("a.jpg", scene)
    xs, ys = zip(*scene.plates[0].quad, strict=True)
    assert (image, text, country) == ("a.jpg", scene.plates[0].plate.text, "pl")
    assert (x, y) == (round(min(xs)), round(min(ys)))
    assert (width, height) == (round(max(xs) - min(xs)), round(max(ys) - min(ys)))


def test_a_turned_picture_decodes_upright():
    pixels = np.zeros((60, 90, 3), np.uint8)
    pixels[:20, :20] = 255  # the upright picture is bright at its top left
    picture = decode(generate.encode(pixels, turned=True))
    assert picture.orientation == 6
    assert picture.pixels.shape == (60, 90)
    assert picture.pixels[:16, :16].min() > 200 and picture.pixels[30:].max() < 50


@pytest.fixture(scope="module")
def samples(tmp_path_factory):
    folder = tmp_path_factory.mktemp("samples")
    assert generate.main(["samples", "--output", str(folder), "--seed", "7"]) == 0
    return folder


def test_samples_show_what_the_demo_needs(samples):
    pictures = sorted(samples.glob("*.jpg"))
    assert len(pictures) >= 24
    assert sum(path.stat().st_size for path in pictures) < 4_000_000
    with (samples / "truth.csv").open() as file:
        rows = list(csv.DictReader(file))
    per_image = {path.name: [r for r in rows if r["image"] == path.name] for path in pictures}
    assert sum(len(found) > 1 for found in per_image.values()) >= 2
    assert sum(found[:1] != [] and not found[0]["text"] for found in per_image.values()) == 1
    broken, orientations = [], []
    for path in pictures:
        try:
            orientations.append(decode(path.read_bytes()).orientation)
        except DecodeError as error:
            broken.append((path.name, error.reason))
    assert [reason for _, reason in broken] == [DecodeReason.TRUNCATED]
    assert per_image[broken[0][0]] == []
    assert orientations.count(6) == 1
    assert len({row["country"] for row in rows}) >= 10


def test_samples_of_the_repository_are_these(samples, request):
    committed = request.config.rootpath / "samples"
    assert (committed / "truth.csv").read_text() == (samples / "truth.csv").read_text()
    assert {p.name for p in committed.iterdir()} == {p.name for p in samples.iterdir()}


def test_rendered_characters_are_repeatable():
    pictures, labels = render_characters(120, np.random.default_rng(4))
    assert pictures.shape == (120, 28, 28) and labels.shape == (120,)
    assert pictures.min() >= 0 and pictures.max() <= 1
    assert len(set(labels.tolist())) > 20
    again, _ = render_characters(120, np.random.default_rng(4))
    np.testing.assert_array_equal(pictures, again)
