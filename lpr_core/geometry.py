"""Points, quads and boxes in picture pixels: x to the right, y down, from the top-left corner."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

Image = npt.NDArray[np.uint8]
"""A grey picture, uint8 of shape (height, width), upright."""

Matrix = npt.NDArray[np.float64]
"""A 3×3 projective transform of pixel coordinates."""

Point = tuple[float, float]

Quad = tuple[Point, Point, Point, Point]
"""Four corners in the reader's order: top left, top right, bottom right, bottom left."""


@dataclass(frozen=True)
class Box:
    """An axis-aligned rectangle in pixels; `x`, `y` is its top-left corner."""

    x: float
    y: float
    width: float
    height: float

    @property
    def right(self) -> float:
        """The x of the right edge."""
        return self.x + self.width

    @property
    def bottom(self) -> float:
        """The y of the bottom edge."""
        return self.y + self.height

    @property
    def area(self) -> float:
        """The area in square pixels."""
        return self.width * self.height

    @property
    def corners(self) -> Quad:
        """The corners as a quad."""
        return (
            (self.x, self.y),
            (self.right, self.y),
            (self.right, self.bottom),
            (self.x, self.bottom),
        )


def intersection(a: Box, b: Box) -> float:
    """The area that two boxes share, in square pixels."""
    width = min(a.right, b.right) - max(a.x, b.x)
    height = min(a.bottom, b.bottom) - max(a.y, b.y)
    return width * height if width > 0 and height > 0 else 0.0


def iou(a: Box, b: Box) -> float:
    """Intersection over union of two boxes, 0 to 1; 0 where both are empty."""
    shared = intersection(a, b)
    union = a.area + b.area - shared
    return shared / union if union > 0 else 0.0


def bounding_box(points: Iterable[Point]) -> Box:
    """The smallest box around the points."""
    xs, ys = zip(*points, strict=True)
    return Box(min(xs), min(ys), max(xs) - min(xs), max(ys) - min(ys))


def as_quad(corners: npt.NDArray[Any]) -> Quad:
    """A (4, 2) array as a quad of plain floats."""
    a, b, c, d = ((float(x), float(y)) for x, y in corners)
    return a, b, c, d


def transform_points(points: Iterable[Point], matrix: Matrix) -> list[Point]:
    """The points after a projective transform."""
    source = np.array(list(points), dtype=np.float64).reshape(-1, 1, 2)
    return [(float(x), float(y)) for x, y in cv2.perspectiveTransform(source, matrix)[:, 0]]
