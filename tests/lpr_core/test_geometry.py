import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lpr_core.geometry import Box, bounding_box, iou
from lpr_core.rectify import CROP_HEIGHT, DegenerateQuadError, rectify

sides = st.integers(0, 800).map(lambda eighths: eighths / 8)  # exact in binary
boxes = st.builds(Box, sides, sides, sides, sides)


def test_iou_of_known_boxes():
    # Two 10×10 boxes, one moved by 5: 50 shared of 150 covered.
    assert iou(Box(0, 0, 10, 10), Box(5, 0, 10, 10)) == pytest.approx(1 / 3)
    assert iou(Box(0, 0, 10, 10), Box(10, 0, 10, 10)) == 0
    assert iou(Box(0, 0, 0, 0), Box(0, 0, 0, 0)) == 0


@given(boxes, boxes)
def test_iou_is_symmetric_and_a_share(a, b):
    assert iou(a, b) == iou(b, a)
    assert 0 <= iou(a, b) <= 1 + 1e-9


@given(boxes)
def test_the_corners_of_a_box_span_it(box):
    around = bounding_box(box.corners)
    assert (around.x, around.y) == (box.x, box.y)
    assert (around.right, around.bottom) == (pytest.approx(box.right), pytest.approx(box.bottom))


def quarter_white(height: int, width: int) -> np.ndarray:
    image = np.zeros((height, width), np.uint8)
    image[: height // 2, : width // 2] = 255
    return image


def test_a_turned_plate_becomes_upright():
    image = quarter_white(48, 96)
    turned = np.rot90(image, k=-1)  # clockwise: the top left corner is now at the top right
    crop = rectify(turned, ((48, 0), (48, 96), (0, 96), (0, 0)))
    assert crop.pixels.shape == (CROP_HEIGHT, 2 * CROP_HEIGHT)
    assert crop.pixels[20, 20] == 255 and crop.pixels[20, 170] == 0 and crop.pixels[80, 20] == 0


@pytest.mark.parametrize("enlarged", [1, 6])  # 6: large plates are shrunk before the warp
def test_crop_pixels_lead_back_to_the_picture(enlarged):
    image = np.zeros((200 * enlarged, 300 * enlarged), np.uint8)
    y, x = 90 * enlarged, 140 * enlarged
    image[y - 3 * enlarged : y + 3 * enlarged, x - 3 * enlarged : x + 3 * enlarged] = 255
    corners = ((60, 40), (240, 60), (250, 130), (50, 120))
    crop = rectify(image, tuple((u * enlarged, v * enlarged) for u, v in corners))
    rows, columns = np.nonzero(crop.pixels > 128)
    at = crop.to_image @ [columns.mean(), rows.mean(), 1]
    assert at[:2] / at[2] == pytest.approx([x - 0.5, y - 0.5], abs=0.7 * enlarged)


@pytest.mark.parametrize(
    "quad",
    [
        ((0, 0), (0, 0), (0, 0), (0, 0)),
        ((0, 0), (50, 0), (50, 2), (0, 2)),  # two pixels high
        ((0, 0), (50, 0), (0, 30), (50, 30)),  # crossed
        ((0, 0), (0, 30), (50, 30), (50, 0)),  # counter-clockwise
        ((0, 0), (float("nan"), 0), (50, 30), (0, 30)),
        ((0, 0), (50, 0), (10, 8), (0, 30)),  # a dent
    ],
)
def test_corners_that_span_no_plate_are_refused(quad):
    with pytest.raises(DegenerateQuadError):
        rectify(np.zeros((60, 80), np.uint8), quad)


def test_a_quad_that_leaves_the_picture_repeats_its_border():
    crop = rectify(np.full((60, 80), 77, np.uint8), ((-40, -20), (60, -20), (60, 30), (-40, 30)))
    assert (crop.pixels == 77).all()


def test_a_plate_far_outside_the_picture_is_refused_or_border():
    corners = ((1000, 1000), (2000, 1000), (2000, 1500), (1000, 1500))
    with pytest.raises(DegenerateQuadError):
        rectify(np.zeros((60, 80), np.uint8), corners)


@pytest.mark.parametrize("enlarged", [1, 6])
def test_a_margin_keeps_the_surroundings_of_a_plate(enlarged):
    # A white plate of 200 × 50 on grey; with half its height on each side, 250 × 100.
    image = np.full((200 * enlarged, 400 * enlarged), 60, np.uint8)
    plate = Box(100 * enlarged, 80 * enlarged, 200 * enlarged, 50 * enlarged)
    image[80 * enlarged : 130 * enlarged, 100 * enlarged : 300 * enlarged] = 255
    crop = rectify(image, plate.corners, margin=0.5)
    assert crop.pixels.shape == (CROP_HEIGHT, 240)
    assert crop.border == CROP_HEIGHT / 4
    border = round(crop.border)
    assert (crop.pixels[: border - 2] == 60).all() and (crop.pixels[:, -border + 2 :] == 60).all()
    assert (crop.pixels[border + 2 : -border - 2, border + 2 : -border - 2] == 255).all()
    inside = Box(crop.border, crop.border, 240 - 2 * crop.border, CROP_HEIGHT - 2 * crop.border)
    around = crop.in_image(inside)
    assert (around.x, around.y) == (pytest.approx(plate.x), pytest.approx(plate.y))
    assert (around.width, around.height) == (
        pytest.approx(plate.width),
        pytest.approx(plate.height),
    )


def test_a_margin_beyond_the_picture_repeats_its_border():
    picture = np.full((50, 200), 77, np.uint8)
    crop = rectify(picture, Box(0, 0, 200, 50).corners, margin=0.3)
    assert (crop.pixels == 77).all()
