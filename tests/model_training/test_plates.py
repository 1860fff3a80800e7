import re
import string
from dataclasses import replace

import cv2
import numpy as np
import pytest

from lpr_core.geometry import Box
from lpr_core.recognize import ALPHABET
from model_training import glyphs
from model_training.artwork import DRAWINGS, SHAPES, blend
from model_training.glyphs import (
    FACES,
    GLYPH_HEIGHT,
    NoFontsError,
    StrokeDie,
    TrueTypeFont,
    installed_faces,
    installed_fonts,
    random_die,
    random_font,
)
from model_training.layouts import LAYOUT_BY_NAME, LAYOUTS
from model_training.plates import draw_words, random_text, render_plate

COUNTRIES = {
    *("de", "fr", "gb", "nl", "be", "it", "es", "pl", "cz", "sk", "ro", "at", "ch", "pt", "ie"),
    *("se", "no", "dk", "fi", "hu", "hr", "si", "rs", "bg", "lt", "lv", "ee", "gr", "tr", "ua"),
    *("br", "us", "vn", "in", "cn", "my"),
}
EVERY_LAYOUT = pytest.mark.parametrize("layout", LAYOUTS, ids=lambda layout: layout.name)


def plate_of(name, seed=0):
    rng = np.random.default_rng(seed)
    return render_plate(LAYOUT_BY_NAME[name], random_die(rng), rng)


def plain(*patterns, **rest):
    """Black on white and nothing beside the text."""
    return replace(
        LAYOUT_BY_NAME["any-long"],
        patterns=patterns,
        colours=(((240, 240, 240), (20, 20, 20)),),
        border=0.0,
        **rest,
    )


def grey(pixels):
    return cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY)


@pytest.fixture
def no_fontconfig(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))  # no fc-list there
    for cached in (installed_fonts, installed_faces):
        cached.cache_clear()
    yield
    for cached in (installed_fonts, installed_faces):
        cached.cache_clear()


@pytest.mark.parametrize("seed", range(8))
def test_glyphs_of_dies_fill_their_height_and_width(seed):
    die = random_die(np.random.default_rng(seed))
    for character in ALPHABET:
        glyph = die.glyph(character)
        assert glyph.shape[0] == GLYPH_HEIGHT
        assert glyph[:4].max() > 0.5 and glyph[-4:].max() > 0.5  # foot and top are inked
        assert glyph[:, :4].max() > 0.5 and glyph[:, -4:].max() > 0.5
        assert 0.05 < glyph.mean() < (0.95 if character not in "1I" else 1.01)  # those may be bars


@pytest.mark.parametrize("seed", range(8))
def test_a_die_tells_its_characters_apart(seed):
    die = random_die(np.random.default_rng(seed))
    shapes = {c: cv2.resize(die.glyph(c), (24, 32)) for c in ALPHABET}
    alike = {
        a + b
        for a in ALPHABET
        for b in ALPHABET
        if a < b and np.abs(shapes[a] - shapes[b]).mean() < 0.02
    }
    assert alike <= {"0O", "1I"}


def test_a_die_cut_wider_keeps_its_stroke():
    die = StrokeDie({"H": [[(0, 0), (0, 1)], [(1, 0), (1, 1)]]}, aspect=0.5, stroke=10.0)
    wide = die.widened(1.5)
    # Between the strokes' middles 0.5 × 64 = 32 and 48 pixels, and half a stroke at each side.
    for font, between in ((die, 32), (wide, 48)):
        ink = font.glyph("H")[GLYPH_HEIGHT // 2]
        assert ink.sum() == pytest.approx(20, abs=2)
        assert len(ink) == pytest.approx(between + 10, abs=2)


def test_square_strokes_fill_the_corners_that_round_ones_leave():
    lines = {"L": [[(0, 0), (0, 1), (1, 1)]]}
    round_, square = (StrokeDie(lines, 0.5, 12.0, square=s).glyph("L") for s in (False, True))
    corners = ((1, 1), (-2, 1), (-2, -2))  # the top of the stem, its foot, the end of the bar
    assert all(square[corner] > 0.3 and round_[corner] < 0.1 for corner in corners)


def test_missing_fonts_are_an_error_that_names_the_packages(no_fontconfig):
    with pytest.raises(NoFontsError, match="apt-get install fontconfig fonts-roadgeek"):
        installed_fonts()
    assert installed_faces() == {}


@pytest.fixture(scope="module")
def fonts():
    try:
        return installed_fonts()
    except NoFontsError as error:
        pytest.skip(str(error))


def test_installed_fonts_draw_every_character(fonts):
    for font in fonts:
        for character in ALPHABET:
            assert font.glyph(character).shape[0] == GLYPH_HEIGHT
            assert font.glyph(character).max() > 0.5
        assert TrueTypeFont(font.path) == font
    assert set(installed_faces()) <= set(FACES)


def test_fonts_are_dies_and_types_in_their_share(fonts):
    rng = np.random.default_rng(0)
    drawn = [random_font(rng, fonts) for _ in range(300)]
    dies = [font for font in drawn if isinstance(font, StrokeDie)]
    assert len(dies) / 300 == pytest.approx(glyphs.DIE_SHARE, abs=0.1)
    assert all(die.faces == installed_faces() for die in dies)


def test_layouts_cover_the_countries_and_states():
    assert len(LAYOUT_BY_NAME) == len(LAYOUTS)  # no name twice
    assert {layout.country for layout in LAYOUTS} >= COUNTRIES
    states = {layout for layout in LAYOUTS if re.fullmatch("us-[a-z]{2}", layout.name)}
    assert len(states) >= 20
    assert all(layout.words for layout in states)
    lines = {layout.country for layout in LAYOUTS if any("/" in p for p in layout.patterns)}
    assert lines >= {"vn", "in", "br", "eu", "de", "nl", "gb"}
    bright = {layout.name for layout in LAYOUTS if any(sum(p) < sum(i) for p, i in layout.colours)}
    assert {"gb-black", "br-red", "us-dark", "my", "cn"} <= bright


def test_layouts_name_their_source_and_what_can_be_drawn():
    for layout in LAYOUTS:
        assert len(layout.source) > 8, layout.name
        assert set("".join(layout.patterns)) <= set("LDXAld-.* /"), layout.name
        assert set(layout.letters) <= set(string.ascii_uppercase), layout.name
        kinds = {art.kind for art in (*layout.art, *layout.emblems)}
        kinds |= {band.mark for band in layout.bands} - {"stars", ""}
        assert kinds <= set(SHAPES) | set(DRAWINGS), layout.name
        assert {words.face for words in layout.words} <= set(FACES), layout.name
        assert layout.emblems or "*" not in "".join(layout.patterns), layout.name


def assert_in_reading_order(plate):
    """Every character is on the plate, right of the one before it or on a line below it."""
    for before, after in zip(plate.characters, plate.characters[1:], strict=False):
        assert after.line in (before.line, before.line + 1)
        if before.line == after.line:
            assert after.box.x >= before.box.right
        else:
            assert after.box.y >= before.box.bottom
    for truth in plate.characters:
        assert truth.box.x >= 0 and truth.box.right <= plate.pixels.shape[1]
        assert truth.box.y >= 0 and truth.box.bottom <= plate.pixels.shape[0]


@EVERY_LAYOUT
def test_text_follows_the_pattern_of_its_layout(layout):
    kinds = {"L": f"[{layout.letters}]", "D": "[0-9]", "X": f"[{layout.letters}0-9]", "A": "[A-Z]"}
    patterns = ["".join(kinds.get(c, "") for c in pattern) for pattern in layout.patterns]
    for seed in range(3):
        plate = plate_of(layout.name, seed)
        assert any(re.fullmatch(pattern, plate.text) for pattern in patterns)
        lines = {truth.line for truth in plate.characters}
        assert lines == set(range(1 + ("/" in layout.patterns[0])))
        width, height = layout.size
        assert plate.pixels.shape == (height, width, 3)
        assert_in_reading_order(plate)


def test_text_keeps_clear_of_the_bands():
    for layout in LAYOUTS:
        plate = plate_of(layout.name, 3)
        height, width = plate.pixels.shape[:2]
        for band in layout.bands:
            for truth in plate.characters if band.chance == 1 else ():
                if truth.box.y < band.height * height and band.right:
                    assert truth.box.right <= (1 - band.width) * width, layout.name
                elif truth.box.y < band.height * height:
                    assert truth.box.x >= band.width * width, layout.name


def test_types_set_in_any_size_stay_on_the_plate_in_reading_order(fonts):
    for number, layout in enumerate(LAYOUTS[::3]):
        rng = np.random.default_rng(number)
        font, scale = fonts[number % len(fonts)], (0.2, 0.5, 2.0)[number % 3]
        assert_in_reading_order(render_plate(layout, font, rng, scale))


@pytest.mark.parametrize("name", ["de", "gb-plain", "eu-two-line", "my", "pl", "br-red", "us-va"])
@pytest.mark.parametrize("seed", [1, 2])
def test_character_boxes_are_tight_around_the_ink(name, seed):
    plate = plate_of(name, seed)
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


@EVERY_LAYOUT
def test_ink_stands_out_and_is_told_dark_or_bright(layout):
    for pair in set(layout.colours):
        rng = np.random.default_rng(3)
        plate = render_plate(replace(layout, colours=(pair,)), random_die(rng), rng)
        if abs(sum(pair[0]) - sum(pair[1])) > 200:
            assert plate.dark_ink == (sum(pair[1]) < sum(pair[0]))
        picture = grey(plate.pixels)
        for truth in plate.characters:
            box = truth.box
            part = picture[int(box.y) : int(box.bottom), int(box.x) - 2 : int(box.right) + 2]
            dark, bright = np.percentile(part, (8, 92))
            assert bright - dark > 40


def test_stacked_characters_stand_on_each_other_and_are_no_text():
    for seed in range(4):
        rng = np.random.default_rng(seed)
        plate = render_plate(plain("ldDDD"), random_die(rng), rng)
        assert re.fullmatch("[0-9]{3}", plate.text)
        first = plate.characters[0].box
        left = grey(plate.pixels)[int(first.y) : int(first.bottom), : int(first.x) - 2] < 100
        half = round(first.height / 2)
        assert left[: half - 8].any() and left[half + 2 :].any()
        assert not left[half - 4 : half - 1].any()  # there is paper between the two


def test_two_lines_share_one_height_and_read_from_the_top():
    rng = np.random.default_rng(0)
    plate = render_plate(LAYOUT_BY_NAME["vn-two-line"], random_die(rng), rng)
    assert len({truth.box.height for truth in plate.characters}) == 1
    top = [truth.character for truth in plate.characters if truth.line == 0]
    assert plate.text.startswith("".join(top)) and len(top) < len(plate.text)


def test_plates_need_no_fonts_and_types_no_faces(fonts, no_fontconfig):
    bare = random_font(np.random.default_rng(2), ())
    assert isinstance(bare, StrokeDie) and not bare.faces and not fonts[0].faces
    for font in (bare, fonts[0]):
        plate = render_plate(LAYOUT_BY_NAME["us-tx"], font, np.random.default_rng(2))
        name = grey(plate.pixels)[5:28, 90:210]  # TEXAS
        assert np.ptp(name) > 60


def test_installed_fonts_change_no_byte_of_plates_without_them(request):
    before = plate_of("us-tx", 5)
    request.getfixturevalue("no_fontconfig")
    np.testing.assert_array_equal(before.pixels, plate_of("us-tx", 5).pixels)


def test_plates_depend_on_the_seed_alone():
    np.testing.assert_array_equal(plate_of("us-art", 5).pixels, plate_of("us-art", 5).pixels)
    assert plate_of("us-art", 5).text != plate_of("us-art", 6).text


def test_scale_is_pixels_per_millimetre():
    rng = np.random.default_rng(1)
    plate = render_plate(LAYOUT_BY_NAME["br"], random_die(rng), rng, scale=2.5)
    assert plate.pixels.shape == (325, 1000, 3) and plate.alpha.shape == (325, 1000)  # 130 × 400 mm
    # Characters are 0.49 of the height, give or take 4 %.
    assert plate.characters[0].box.height == pytest.approx(0.49 * 325, rel=0.05)


def test_rounded_corners_are_left_out_of_the_alpha():
    plate = plate_of("us-ny")  # corners of 12 mm on 305 × 152
    assert plate.alpha[0, 0] == 0 and plate.alpha[-1, -1] == 0
    assert plate.alpha[12:-12].min() == 1 and plate.alpha[:, 12:-12].min() == 1
    # The four corners take (4 - pi) r² off a rectangle.
    assert 305 * 152 - plate.alpha.sum() == pytest.approx((4 - np.pi) * 12**2, rel=0.05)


def test_colours_cover_grey_by_their_mean():
    cover = np.array([[0.0, 0.5, 1.0]], np.float32)
    colour, grey_ = np.full((1, 3, 3), 100, np.float32), np.full((1, 3), 100, np.float32)
    blend(colour, cover, (240, 120, 0))
    blend(grey_, cover, (240, 120, 0))
    np.testing.assert_allclose(colour[0], [[100] * 3, [170, 110, 50], [240, 120, 0]])
    np.testing.assert_allclose(grey_[0], [100, 110, 120])


def test_random_text_keeps_separators():
    rng = np.random.default_rng(0)
    text = random_text("L-D X.A*/ld", "B", rng)
    assert re.fullmatch(r"B-[0-9] [B0-9]\.[A-Z]\*/ld", text)


def test_words_stay_in_their_box():
    canvas = np.full((60, 200, 3), 240, np.float32)
    draw_words(
        canvas, "Taxi 24", random_die(np.random.default_rng(0)), Box(50, 20, 80, 16), (0, 0, 0)
    )
    ys, xs = np.nonzero(canvas[..., 0] < 120)
    assert ys.min() >= 20 and ys.max() < 36 and xs.min() >= 50 and xs.max() < 130
    assert xs.max() - xs.min() > 40
