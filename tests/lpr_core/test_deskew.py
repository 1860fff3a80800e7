import math

import cv2
import numpy as np
import pytest

from lpr_core.deskew import along_writing
from lpr_core.geometry import Box, as_quad
from lpr_core.rectify import DegenerateQuadError


def turned_plate(degrees):
    """A plate of 200×50 in the middle of a picture, turned by some degrees, and its corners."""
    picture = np.full((200, 320), 90, np.uint8)
    cv2.rectangle(picture, (60, 75), (260, 125), 230, -1)
    cv2.putText(picture, "AB12 345", (72, 114), cv2.FONT_HERSHEY_SIMPLEX, 1.25, 20, 4)
    matrix = cv2.getRotationMatrix2D((160, 100), -degrees, 1)
    corners = np.array(Box(60, 75, 200, 50).corners) - (160, 100)
    cos, sin = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    return (
        cv2.warpAffine(picture, matrix, (320, 200), borderValue=90),
        corners @ np.array([[cos, sin], [-sin, cos]]) + (160, 100),
    )


def slope_of(quad):
    (x0, y0), (x1, y1), *_ = quad
    return math.degrees(math.atan2(y1 - y0, x1 - x0))


@pytest.mark.parametrize("degrees", [-7, -3, 0, 4, 8])
def test_corners_that_know_no_turn_follow_the_writing(degrees):
    picture, _ = turned_plate(degrees)
    quad = along_writing(picture, Box(60, 75, 200, 50).corners)
    assert slope_of(quad) == pytest.approx(degrees, abs=1.2)
    # It is turned about its middle and keeps its width.
    assert np.mean(quad, axis=0) == pytest.approx([160, 100], abs=0.5)
    assert quad[1][0] - quad[0][0] == pytest.approx(200, abs=1)


def test_corners_that_follow_the_writing_stay():
    picture, corners = turned_plate(6)
    quad = along_writing(picture, as_quad(corners))
    assert np.abs(np.array(quad) - corners).max() < 3  # a step of the search is 1.1 degrees


def test_corners_that_span_no_plate_are_refused():
    with pytest.raises(DegenerateQuadError):
        along_writing(np.zeros((50, 50), np.uint8), ((0, 0), (1, 0), (1, 1), (0, 1)))
