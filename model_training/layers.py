"""Pictures with coverage, painted flat and laid over others in perspective."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from lpr_core.geometry import Box, Matrix, Quad, as_quad, bounding_box, transform_points

Pixels = npt.NDArray[Any]
"""RGB, float32 of shape (height, width, 3), 0 to 255."""

Outline = Sequence[tuple[float, float]]
Shade = Sequence[float] | npt.NDArray[Any]
"""RGB, 0 to 255."""

HALF = 0.5
"""Corners count the edges of pixels, warps count their centres."""


@dataclass(frozen=True, eq=False)
class Layer:
    """Something to lay over a picture: RGB float32 (h, w, 3) and coverage float32 (h, w)."""

    pixels: Pixels
    alpha: Pixels

    @classmethod
    def clear(cls, width: int, height: int) -> Layer:
        """A layer that covers nothing yet, black below."""
        return cls(np.zeros((height, width, 3), np.float32), np.zeros((height, width), np.float32))

    @property
    def box(self) -> Box:
        """All of the layer, in its own pixels."""
        height, width = self.alpha.shape
        return Box(0, 0, width, height)


def fill(
    canvas: Pixels,
    outline: Outline,
    top: Shade,
    bottom: Shade | None = None,
    alpha: Pixels | None = None,
) -> None:
    """Fill an outline with a colour, or with a slope of two from its top to its bottom.

    Args:
        canvas: painted on in place.
        outline: a polygon in pixels; what lies outside of the canvas is cut off.
        top: colour at the outline's top.
        bottom: colour at its foot; None: that of the top.
        alpha: coverage of the canvas, raised where it is painted.
    """
    points = np.array(outline)
    (x0, y0), (x1, y1) = points.min(axis=0), points.max(axis=0)
    left, right = max(0, int(x0) - 1), min(canvas.shape[1], int(x1) + 2)
    first, last = max(0, int(y0)), min(canvas.shape[0], int(y1) + 2)
    if right <= left or last <= first:
        return
    mask = np.zeros((last - first, right - left), np.uint8)
    shifted = np.round((points - (left, first)) * 16).astype(np.int32)
    cv2.fillPoly(mask, [shifted], 255, cv2.LINE_AA, 4)
    cover = mask.astype(np.float32) / 255
    shades = np.linspace(top, top if bottom is None else bottom, last - first, dtype=np.float32)
    size = right - left, last - first
    colours = np.asarray(cv2.resize(shades[:, None], size, interpolation=cv2.INTER_NEAREST))
    _blend(canvas[first:last, left:right], colours, cover)
    if alpha is not None:
        below = alpha[first:last, left:right]
        np.maximum(below, cover, out=below)


def lay(canvas: Pixels, layer: Layer, matrix: Matrix) -> None:
    """Lay a layer over a canvas, in place, after a transform of the layer's pixels to its."""
    height, width = canvas.shape[:2]
    reached = bounding_box(project(layer.box, matrix))
    left, top = max(0, int(reached.x) - 1), max(0, int(reached.y) - 1)
    right, bottom = min(width, int(reached.right) + 2), min(height, int(reached.bottom) + 2)
    if right <= left or bottom <= top:
        return
    matrix = np.array([[1, 0, -left], [0, 1, -top], [0, 0, 1]]) @ matrix
    size = right - left, bottom - top
    alpha = cv2.warpPerspective(layer.alpha, matrix, size)
    pixels = cv2.warpPerspective(layer.pixels, matrix, size, borderMode=cv2.BORDER_REPLICATE)
    _blend(canvas[top:bottom, left:right], pixels, alpha)


def _blend(below: Pixels, above: Pixels, share: Pixels) -> None:
    """Move `below` towards `above` by a share of (height, width), in place."""
    change = cv2.subtract(above, below)
    cv2.multiply(change, cv2.merge([share, share, share]), dst=change)
    cv2.add(below, change, dst=below)


def perspective(source: Quad, target: Quad) -> Matrix:
    """The transform of pixels that brings one quad to another."""
    before, after = (np.subtract(quad, HALF).astype(np.float32) for quad in (source, target))
    return np.asarray(cv2.getPerspectiveTransform(before, after), np.float64)


def project(box: Box, matrix: Matrix) -> Quad:
    """Where a box lies after a transform of pixels."""
    centres = transform_points(((x - HALF, y - HALF) for x, y in box.corners), matrix)
    return as_quad(np.array(centres) + HALF)


def seen_from(
    aspect: float, roll: float, yaw: float, pitch: float, distance: float
) -> npt.NDArray[np.float64]:
    """The corners of a rectangle as a camera sees it that looks at its middle.

    Args:
        aspect: width over height of the rectangle.
        roll: its turn in the picture, degrees clockwise.
        yaw: how far it looks to the side, degrees.
        pitch: how far it looks up or down, degrees.
        distance: of the camera, in widths of the rectangle.

    Returns:
        float64 (4, 2) around (0, 0), from the top left clockwise, 1 the rectangle's width where it
        faces the camera.
    """
    half = 0.5 / aspect
    corners = np.array([[-0.5, -half, 0], [0.5, -half, 0], [0.5, half, 0], [-0.5, half, 0]])
    turn, side, nod = np.radians((roll, yaw, pitch))
    yawed = np.array([[np.cos(side), 0, -np.sin(side)], [0, 1, 0], [np.sin(side), 0, np.cos(side)]])
    pitched = np.array([[1, 0, 0], [0, np.cos(nod), np.sin(nod)], [0, -np.sin(nod), np.cos(nod)]])
    rolled = np.array([[np.cos(turn), np.sin(turn)], [-np.sin(turn), np.cos(turn)]])
    turned = corners @ yawed @ pitched
    flat = turned[:, :2] * distance / (distance + turned[:, 2:])
    return np.asarray(flat @ rolled)


def glow(canvas: Pixels, centre: tuple[float, float], radius: float, colour: Shade) -> None:
    """Add the glare of a lamp to a canvas, in place: full colour at the centre, fading out."""
    x, y = (np.arange(side, dtype=np.float32) for side in (canvas.shape[1], canvas.shape[0]))
    (left, right), (top, bottom) = (
        np.clip((c - 3 * radius, c + 3 * radius), 0, len(a)).astype(int)
        for c, a in zip(centre, (x, y), strict=True)
    )
    across = np.exp(-(((x[left:right] - centre[0]) / radius) ** 2))
    down = np.exp(-(((y[top:bottom] - centre[1]) / radius) ** 2))
    shine = (down[:, None] * across)[..., None]
    canvas[top:bottom, left:right] += shine * np.asarray(colour, np.float32)
