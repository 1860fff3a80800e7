"""The corners of a plate, turned so that its sides run along its writing."""

from __future__ import annotations

import cv2
import numpy as np

from lpr_core.geometry import Box, Image, Quad, as_quad
from lpr_core.rectify import rectify

HEIGHT = 48
"""Pixels of a crop in which the writing's slope is measured."""

MARGIN = 0.15
"""Surroundings in that crop, in shares of the plate's height: turning brings some of them in."""

STEEPEST, STEPS = 0.16, 17
"""Slopes that are tried: up to this one, and how many."""

COLUMN = 4
"""Pixels of its width that are sheared as one: they differ by less than a row's height."""

CLEARER = 1.25
"""How much more sharply lines must stand out along a slope than level, for it to be believed."""

SIDES = 0.06
"""Share of the crop's width that is left out at each end: frames and bands stand there."""


def along_writing(image: Image, quad: Quad) -> Quad:
    """A plate's corners, sheared so that lines of writing run level in its crop.

    A network that looks at a whole plate tells its slope roughly, its strokes tell it well: summed
    along the true slope, the rows with writing stand out most sharply from those without (the
    projection profile of document deskewing, Postl 1986).

    Args:
        image: grey, uint8 of shape (height, width).
        quad: in pixels of `image`.

    Raises:
        DegenerateQuadError: the corners span no plate.
    """
    crop = rectify(image, quad, MARGIN)
    height, width = crop.pixels.shape
    slope = _slope_of_writing(crop.pixels)
    plate = Box(crop.border, crop.border, width - 2 * crop.border, height - 2 * crop.border)
    corners = [(x, y + slope * (x - width / 2)) for x, y in plate.corners]
    return as_quad(np.array(crop.points_in_image(corners)))


def _slope_of_writing(pixels: Image) -> float:
    """By how much lines of writing fall from left to right, as a tangent."""
    size = max(8, round(pixels.shape[1] * HEIGHT / pixels.shape[0])), HEIGHT
    small = cv2.resize(pixels, size, interpolation=cv2.INTER_AREA)
    strokes = np.abs(cv2.Sobel(small, cv2.CV_32F, 1, 0))
    strokes = strokes[:, round(SIDES * size[0]) : round((1 - SIDES) * size[0])]
    # The frame's edges and the strongest highlights shall not outweigh the characters.
    strokes = np.minimum(strokes, np.percentile(strokes, 97))
    columns = max(2, strokes.shape[1] // COLUMN)
    column = strokes.shape[1] / columns
    strokes = cv2.resize(strokes, (columns, HEIGHT), interpolation=cv2.INTER_AREA)
    slopes = np.linspace(-STEEPEST, STEEPEST, STEPS, dtype=np.float32)
    x, y = np.arange(columns, dtype=np.float32), np.arange(HEIGHT, dtype=np.float32)
    # All slopes below each other, in one call.
    rows = y[:, None] + slopes[:, None, None] * column * (x - columns / 2)
    rows = rows.reshape(-1, columns)
    across = np.broadcast_to(x, rows.shape)
    sheared = cv2.remap(strokes, across, rows, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    profiles = sheared.sum(axis=1).reshape(STEPS, HEIGHT)
    sharpness = np.square(np.diff(profiles)).sum(axis=1)
    best = int(np.argmax(sharpness))
    return float(slopes[best]) if sharpness[best] > CLEARER * sharpness[STEPS // 2] else 0.0
