"""A quad of the picture to an upright crop."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import cv2
import numpy as np

from lpr_core.geometry import Box, Image, Matrix, Point, Quad, bounding_box, transform_points

CROP_HEIGHT = 96
MAX_ASPECT = 8.0
MIN_SIDE = 4.0


class DegenerateQuadError(ValueError):
    """Four corners that span no plate: too small, not convex, or not finite."""


@dataclass(frozen=True)
class PlateCrop:
    """An upright plate cut out of its picture.

    Attributes:
        pixels: grey, uint8 of shape (CROP_HEIGHT, width).
        to_image: projective transform of crop pixels to pixels of the original picture.
        border: how much of the crop, on each side, is surroundings of the plate, in its pixels.
    """

    pixels: Image
    to_image: Matrix
    border: float = 0.0

    def in_image(self, box: Box) -> Box:
        """The box of the original picture around a box of the crop."""
        return bounding_box(self.points_in_image(box.corners))

    def points_in_image(self, points: Iterable[Point]) -> list[Point]:
        """Points of the crop, such as edges and corners, in the original picture."""
        # Edges lie between pixels, the transform counts pixel centres.
        centres = [(x - 0.5, y - 0.5) for x, y in points]
        return [(x + 0.5, y + 0.5) for x, y in transform_points(centres, self.to_image)]


def rectify(image: Image, quad: Quad, margin: float = 0.0) -> PlateCrop:
    """Cut a plate out of a picture and turn it upright by the perspective of its four corners.

    The crop is CROP_HEIGHT pixels high whatever the plate's size, so that later stages measure in
    shares of one known height. Parts outside the picture repeat its border.

    Args:
        image: grey, uint8 of shape (height, width).
        quad: top left, top right, bottom right, bottom left, in pixels of `image`.
        margin: how much of the surroundings to keep on each side, in shares of the plate's height.

    Raises:
        DegenerateQuadError: a corner is not finite, a side is shorter than 4 pixels, the corners
            are not convex in that order, or a large plate lies outside the picture.
    """
    corners = np.array(quad, dtype=np.float64)
    if not np.isfinite(corners).all():
        raise DegenerateQuadError("a corner of the plate is not finite")
    sides = np.roll(corners, -1, axis=0) - corners
    lengths = np.hypot(sides[:, 0], sides[:, 1])
    if lengths.min() < MIN_SIDE:
        raise DegenerateQuadError(f"a side of the plate is {lengths.min():.1f} pixels long")
    turns = np.roll(sides, -1, axis=0)
    if (sides[:, 0] * turns[:, 1] - sides[:, 1] * turns[:, 0]).min() <= 0:
        raise DegenerateQuadError("the plate's corners are not convex in clockwise order")

    plate_width, plate_height = (lengths[0] + lengths[2]) / 2, (lengths[1] + lengths[3]) / 2
    aspect = min(plate_width / plate_height, MAX_ASPECT)
    scaled = CROP_HEIGHT / (1 + 2 * margin)
    border = margin * scaled
    width = max(round(scaled * aspect + 2 * border), CROP_HEIGHT // 2)
    inside = Box(border, border, width - 2 * border, scaled)
    # Corners are edges of pixels, warps count centres: shift by half a pixel.
    target = np.array(inside.corners, np.float32) - 0.5
    to_image = cv2.getPerspectiveTransform(target, corners.astype(np.float32) - 0.5)
    shrink = math.floor(plate_height / scaled)
    source, offset = image, np.eye(3)
    if shrink >= 2:  # warpPerspective does not average: shrink large plates first
        reach = margin * lengths.max()
        x0, y0 = (max(0, math.floor(v)) for v in corners.min(axis=0) - reach)
        x1, y1 = (max(0, math.ceil(v) + 1) for v in corners.max(axis=0) + reach)
        source = image[y0:y1, x0:x1]
        if source.size == 0:
            raise DegenerateQuadError("the plate lies outside the picture")
        size = (max(1, source.shape[1] // shrink), max(1, source.shape[0] // shrink))
        scale_x, scale_y = source.shape[1] / size[0], source.shape[0] / size[1]
        source = np.asarray(cv2.resize(source, size, interpolation=cv2.INTER_AREA), dtype=np.uint8)
        offset = np.array(
            [
                [1 / scale_x, 0, (0.5 - x0) / scale_x - 0.5],
                [0, 1 / scale_y, (0.5 - y0) / scale_y - 0.5],
                [0, 0, 1],
            ]
        )
    pixels = cv2.warpPerspective(
        source,
        offset @ to_image,
        (width, CROP_HEIGHT),
        flags=cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP,
        borderMode=cv2.BORDER_REPLICATE,
    )
    crop = np.asarray(pixels, dtype=np.uint8)
    return PlateCrop(crop, np.asarray(to_image, dtype=np.float64), border)
