import numpy as np
import pytest

from lpr_core.detect import ContourDetector, PlateDetection, WholeImageDetector
from lpr_core.geometry import Box, iou

from .conftest import draw_plate, put_plate

DETECTOR = ContourDetector()


def best_overlap(found: list[PlateDetection], truth: Box) -> float:
    return max((iou(detection.box, truth) for detection in found), default=0.0)


@pytest.mark.parametrize("dark", [True, False])
@pytest.mark.parametrize("height", [26, 60])
def test_a_plate_is_found_first(scene, dark, height):
    plate = draw_plate("KA19TRS", dark, height)
    put_plate(scene, plate, 320, 330)
    found = DETECTOR.detect(scene)
    assert iou(found[0].box, Box(320, 330, plate.shape[1], height)) > 0.5


def test_several_plates_are_found_best_first(scene):
    truths = []
    for text, x, y in (("KA19TRS", 80, 60), ("BD51SMR", 500, 250), ("HH2468X", 150, 480)):
        plate = draw_plate(text)
        put_plate(scene, plate, x, y)
        truths.append(Box(x, y, plate.shape[1], plate.shape[0]))
    found = DETECTOR.detect(scene)
    assert all(best_overlap(found, truth) > 0.5 for truth in truths)
    assert [d.score for d in found] == sorted((d.score for d in found), reverse=True)


def test_the_quad_follows_the_tilt(scene):
    put_plate(scene, draw_plate("KA19TRS"), 320, 280, angle=8)
    (x0, y0), (x1, y1) = DETECTOR.detect(scene)[0].quad[:2]
    assert np.degrees(np.arctan2(y1 - y0, x1 - x0)) == pytest.approx(8, abs=1.5)


def test_a_street_without_a_plate_has_none(scene):
    assert DETECTOR.detect(scene) == []


def test_quads_are_in_pixels_of_the_original_picture(scene):
    large = np.kron(scene, np.ones((3, 3), np.uint8))  # 2700×1800: larger than the working picture
    plate = draw_plate("KA19TRS", height=150)
    put_plate(large, plate, 960, 900)
    assert iou(DETECTOR.detect(large)[0].box, Box(960, 900, plate.shape[1], 150)) > 0.5


@pytest.mark.parametrize("shape", [(1, 1), (1, 5000), (5000, 1), (3, 3)])
def test_pictures_too_small_for_a_plate_have_none(shape):
    assert DETECTOR.detect(np.zeros(shape, np.uint8)) == []


def test_the_whole_picture_can_be_the_plate():
    (detection,) = WholeImageDetector().detect(np.zeros((40, 160), np.uint8))
    assert detection.quad == ((0, 0), (160, 0), (160, 40), (0, 40))
