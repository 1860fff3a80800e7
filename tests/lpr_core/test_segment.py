import cv2
import numpy as np
import pytest

from lpr_core.geometry import Box, bounding_box
from lpr_core.rectify import rectify
from lpr_core.segment import CharacterBox, CharacterSegmenter, cut_character

from .conftest import draw_plate, put_plate


def segment(plate: np.ndarray) -> tuple[CharacterBox, ...]:
    height, width = plate.shape
    return CharacterSegmenter().segment(rectify(plate, Box(0, 0, width, height).corners))


@pytest.mark.parametrize("dark", [True, False])
@pytest.mark.parametrize("text", ["KA19TRS", "B8ODG0", "WMX47A2"])
def test_every_character_is_cut_out_in_reading_order(text, dark):
    characters = segment(draw_plate(text, dark))
    assert len(characters) == len(text)
    assert [c.box.x for c in characters] == sorted(c.box.x for c in characters)
    assert {c.line for c in characters} == {0}


def test_hyphens_bolts_and_frames_are_no_characters():
    plate = draw_plate("KA-19-TRS")
    height, width = plate.shape
    cv2.rectangle(plate, (0, 0), (width - 1, height - 1), 20, 3)
    for x in (width // 4, 3 * width // 4):
        cv2.circle(plate, (x, 6), 3, 60, -1)
    assert len(segment(plate)) == 7


def test_touching_characters_are_split():
    plate = draw_plate("HEH19TK")
    rows = slice(28, 32)
    first, second = segment(plate)[:2]
    plate[rows, round(first.box.right) - 2 : round(second.box.x) + 2] = 30  # a bridge of ink
    characters = segment(plate)
    assert len(characters) == 7
    assert characters[0].box.right == pytest.approx(characters[1].box.x, abs=8)


def test_a_broken_character_stays_one():
    plate = draw_plate("KH19TRS")
    third = segment(plate)[2].box
    plate[29:32, round(third.x) - 1 : round(third.right) + 1] = 225  # a scratch across the 1
    assert len(segment(plate)) == 7


def test_two_lines_are_read_top_line_first():
    characters = segment(draw_plate("59L2", height=50, second="14999"))
    assert [c.line for c in characters] == [0] * 4 + [1] * 5
    assert max(c.box.bottom for c in characters[:4]) < min(c.box.y for c in characters[4:])


def test_small_print_is_no_line_of_its_own():
    plate = draw_plate("KA19TRS", height=90)
    cv2.putText(plate, "SUNSHINE STATE", (60, 14), cv2.FONT_HERSHEY_DUPLEX, 0.4, 30, 1)
    assert len(segment(plate)) == 7


def test_boxes_lie_in_the_original_picture(scene):
    plate = draw_plate("KA19TRS")
    put_plate(scene, plate, 300, 200)
    quad = Box(300, 200, plate.shape[1], plate.shape[0]).corners
    characters = CharacterSegmenter().segment(rectify(scene, quad))
    ink = Box(*cv2.boundingRect((plate < 128).astype(np.uint8)))
    boxes = bounding_box(p for c in characters for p in c.box.corners)
    assert (boxes.x - 300, boxes.y - 200) == pytest.approx((ink.x, ink.y), abs=1.5)
    assert (boxes.width, boxes.height) == pytest.approx((ink.width, ink.height), abs=2.5)


@pytest.mark.parametrize("value", [0, 128, 255])
def test_an_even_crop_has_no_characters(value):
    assert segment(np.full((40, 120), value, np.uint8)) == ()


@pytest.mark.parametrize("dark", [True, False])
def test_a_cut_character_is_bright_on_dark_at_full_contrast(dark):
    paper, ink = (160, 100) if dark else (100, 160)
    pixels = np.full((60, 60), paper, np.uint8)
    pixels[10:50, 25:33] = ink  # an I: its own box is nothing but ink
    assert (cut_character(pixels, Box(25, 10, 8, 40), dark) == 255).all()
    wider = cut_character(pixels, Box(20, 10, 18, 40), dark)
    assert wider[:, :5].max() == 0 and wider[:, 5:13].min() == 255
