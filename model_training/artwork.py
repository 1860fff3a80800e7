"""The small drawings that plates bear: arms, seals, landscapes, emblems."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

Colour = tuple[int, int, int]
"""RGB, 0 to 255."""

Rgb = Sequence[float] | npt.NDArray[Any]
"""Red, green and blue, 0 to 255."""

Canvas = npt.NDArray[np.float32]
"""RGB, float32 of shape (height, width, 3), 0 to 255."""

Colours = npt.NDArray[np.float32]
"""RGB, float32 of shape (count, 3), 0 to 255."""

Outline = tuple[tuple[float, float], ...]
"""Corners in the unit square: x to the right, y down."""

Shares = tuple[float, float, float, float]
"""Left, top, width, height in shares of the plate."""

WHOLE: Shares = (0.0, 0.0, 1.0, 1.0)


@dataclass(frozen=True)
class Art:
    """One drawing.

    Attributes:
        kind: the name of one of SHAPES or DRAWINGS.
        colours: as many as the drawing takes (further parts take the last one).
        box: where it lies on the plate; what sticks out of the plate is cut off.
        strength: 1 covers what is below, less lets it shine through.
    """

    kind: str
    colours: tuple[Colour, ...]
    box: Shares = WHOLE
    strength: float = 1.0


def _ring(
    x: float,
    y: float,
    radius: float,
    corners: int = 16,
    inner: float = 1.0,
    wide: float = 1.0,
) -> Outline:
    """A circle, or with every other corner at `inner` radii a star, one corner up."""
    angles = 2 * np.pi * np.arange(corners) / corners
    radii = radius * np.where(np.arange(corners) % 2, inner, 1.0)
    return tuple(
        (float(x + wide * r * np.sin(a)), float(y - r * np.cos(a)))
        for a, r in zip(angles, radii, strict=True)
    )


def _bar(left: float, top: float, right: float, foot: float) -> Outline:
    return ((left, top), (right, top), (right, foot), (left, foot))


_SHIELD: Outline = (
    (0.08, 0),
    (0.92, 0),
    (0.92, 0.6),
    (0.75, 0.85),
    (0.5, 1),
    (0.25, 0.85),
    (0.08, 0.6),
)

SHAPES: dict[str, tuple[tuple[int, Outline], ...]] = {
    "disc": ((0, _ring(0.5, 0.5, 0.5)),),
    "seal": (
        (0, _ring(0.5, 0.5, 0.5)),
        (1, _ring(0.5, 0.5, 0.34)),
        (2, _ring(0.5, 0.5, 0.2, 10, 0.4)),
    ),
    # The two stickers of a German plate: inspection above, registration seal below.
    "seals": (
        (0, _ring(0.5, 0.24, 0.235, wide=2)),
        (2, _ring(0.5, 0.24, 0.07, wide=2)),
        (1, _ring(0.5, 0.76, 0.235, wide=2)),
        (2, _ring(0.5, 0.76, 0.13, 10, 0.5, wide=2)),
    ),
    "star": ((0, _ring(0.5, 0.5, 0.5, 10, 0.4)),),
    "shield": (
        (0, _SHIELD),
        (1, ((0.2, 0.1), (0.5, 0.1), (0.5, 0.85), (0.2, 0.6))),
        (2, _ring(0.68, 0.4, 0.16)),
    ),
    "cross": ((0, _SHIELD), (1, _bar(0.4, 0, 0.6, 0.97)), (1, _bar(0.08, 0.32, 0.92, 0.5))),
    "double-cross": (
        (0, _SHIELD),
        (1, _bar(0.44, 0.1, 0.56, 0.85)),
        (1, _bar(0.3, 0.2, 0.7, 0.3)),
        (1, _bar(0.22, 0.4, 0.78, 0.5)),
        (2, ((0.25, 0.85), (0.5, 0.7), (0.75, 0.85), (0.5, 1))),
    ),
    "chequers": (
        (0, _SHIELD),
        *(
            (
                1,
                _bar(
                    0.08 + 0.17 * (2 * i + j % 2),
                    0.16 * j,
                    0.25 + 0.17 * (2 * i + j % 2),
                    0.16 * j + 0.16,
                ),
            )
            for j in range(5)
            for i in range(3 - j % 2)
        ),
    ),
    "quarters": (
        (0, _SHIELD),
        (1, _bar(0.08, 0, 0.29, 0.45)),
        (1, _bar(0.5, 0.45, 0.7, 0.86)),
        (2, _bar(0.5, 0, 0.92, 0.45)),
        (3, _bar(0.5, 0.15, 0.92, 0.28)),
        (2, ((0.08, 0.45), (0.5, 0.45), (0.5, 1), (0.25, 0.85), (0.08, 0.6))),
        (3, ((0.2, 0.5), (0.35, 0.5), (0.35, 0.85), (0.2, 0.75))),
    ),
    "blossom": (
        (0, _ring(0.34, 0.42, 0.3)),
        (0, _ring(0.68, 0.5, 0.3)),
        (1, ((0.4, 0.2), (0.7, 0), (0.9, 0.1), (0.7, 0.22))),
        (2, _ring(0.5, 0.78, 0.24, 10, 0.5)),
        (0, _ring(0.5, 0.78, 0.06)),
    ),
    "peach": (
        (0, _ring(0.5, 0.56, 0.44)),
        (2, _ring(0.42, 0.6, 0.2, 9, 0.7)),
        (1, ((0.45, 0.16), (0.7, 0), (0.95, 0.1), (0.7, 0.22))),
    ),
    "pine": (
        (0, _bar(0.45, 0.8, 0.55, 1)),
        *(
            (0, ((0.5, top), (0.5 + 0.12 + 0.42 * top, top + 0.3), (0.38 - 0.42 * top, top + 0.3)))
            for top in (0.0, 0.13, 0.26, 0.39, 0.52)
        ),
    ),
    "cactus": (
        (0, _bar(0.42, 0, 0.58, 1)),
        (0, _bar(0.1, 0.3, 0.24, 0.62)),
        (0, _bar(0.1, 0.52, 0.45, 0.64)),
        (0, _bar(0.76, 0.2, 0.9, 0.52)),
        (0, _bar(0.55, 0.42, 0.9, 0.54)),
    ),
    "zia": ((0, _bar(0.42, 0, 0.58, 1)), (0, _bar(0, 0.42, 1, 0.58)), (1, _ring(0.5, 0.5, 0.24))),
    "sun": ((0, _ring(0.5, 0.5, 0.5, 32, 0.6)), (1, _ring(0.5, 0.5, 0.28))),
    "keystone": (
        (
            0,
            (
                (0.12, 0),
                (0.88, 0),
                (1, 0.25),
                (0.86, 0.3),
                (0.75, 1),
                (0.25, 1),
                (0.14, 0.3),
                (0, 0.25),
            ),
        ),
    ),
    "diamond": (
        (0, ((0.2, 0), (0.8, 0), (1, 0.3), (0.5, 1), (0, 0.3))),
        (1, ((0.4, 0), (0.6, 0), (0.7, 0.3), (0.5, 1), (0.3, 0.3))),
    ),
    "stars-and-bars": (
        *((0, _ring(x, 0.12, 0.12, 10, 0.4)) for x in (0.2, 0.5, 0.8)),
        (0, _bar(0, 0.36, 1, 0.58)),
        (0, _bar(0, 0.72, 1, 0.94)),
    ),
    "anchor": (
        (0, _bar(0.45, 0.1, 0.55, 0.95)),
        (0, _bar(0.25, 0.24, 0.75, 0.33)),
        (0, _ring(0.5, 0.1, 0.1)),
        (
            0,
            ((0.02, 0.55), (0.2, 0.85), (0.5, 0.88), (0.8, 0.85), (0.98, 0.55), (0.8, 1), (0.2, 1)),
        ),
    ),
    "compass": ((0, _ring(0.5, 0.5, 0.5, 8, 0.3)), (1, _ring(0.5, 0.5, 0.2))),
    "rider": (
        (
            0,
            (
                (0, 0.62),
                (0.25, 0.5),
                (0.42, 0.45),
                (0.4, 0.2),
                (0.5, 0),
                (0.62, 0.12),
                (0.58, 0.4),
                (0.8, 0.2),
                (0.95, 0.3),
                (0.85, 0.45),
                (0.95, 0.75),
                (0.85, 0.9),
                (0.75, 0.62),
                (0.5, 0.68),
                (0.35, 1),
                (0.25, 0.98),
                (0.28, 0.7),
                (0.1, 0.9),
            ),
        ),
    ),
    "beast": (
        (
            0,
            (
                (0, 0.5),
                (0.1, 0.25),
                (0.35, 0.15),
                (0.6, 0.25),
                (0.95, 0.3),
                (1, 0.6),
                (0.95, 1),
                (0.85, 1),
                (0.8, 0.7),
                (0.45, 0.7),
                (0.4, 1),
                (0.3, 1),
                (0.28, 0.75),
                (0.1, 0.7),
            ),
        ),
    ),
    "bird": (
        (
            0,
            (
                (0, 0.18),
                (0.2, 0),
                (0.34, 0.12),
                (0.4, 0.35),
                (0.75, 0.45),
                (1, 0.8),
                (0.7, 0.75),
                (0.55, 0.8),
                (0.5, 1),
                (0.44, 0.8),
                (0.25, 0.62),
                (0.2, 0.3),
            ),
        ),
    ),
    "arch": (
        (
            0,
            (
                (0, 1),
                (0.1, 0.3),
                (0.4, 0),
                (0.8, 0.05),
                (1, 0.5),
                (0.95, 1),
                (0.72, 1),
                (0.7, 0.5),
                (0.5, 0.3),
                (0.3, 0.5),
                (0.25, 1),
            ),
        ),
    ),
    "head": (
        (
            0,
            (
                (0.2, 1),
                (0.3, 0.75),
                (0.1, 0.5),
                (0.2, 0.15),
                (0.5, 0),
                (0.8, 0.1),
                (0.85, 0.4),
                (0.95, 0.55),
                (0.85, 0.6),
                (0.82, 0.85),
                (0.6, 0.85),
                (0.65, 1),
            ),
        ),
    ),
    # Rough outlines of states.
    "texas": (
        (
            0,
            (
                (0.28, 0),
                (0.5, 0),
                (0.5, 0.28),
                (0.95, 0.4),
                (1, 0.62),
                (0.7, 0.8),
                (0.66, 1),
                (0.42, 0.68),
                (0.26, 0.74),
                (0, 0.46),
                (0.28, 0.46),
            ),
        ),
        (1, ((0.28, 0), (0.5, 0), (0.5, 0.28), (0.5, 0.75), (0.42, 0.68), (0.28, 0.7))),
    ),
    "new-jersey": (
        (
            0,
            (
                (0.3, 0),
                (0.95, 0.18),
                (0.7, 0.35),
                (0.85, 0.6),
                (0.5, 1),
                (0.1, 0.75),
                (0.45, 0.5),
                (0.1, 0.22),
            ),
        ),
    ),
    "new-york": (
        (
            0,
            (
                (0, 0.62),
                (0.2, 0.48),
                (0.52, 0.5),
                (0.6, 0.1),
                (0.8, 0),
                (0.84, 0.6),
                (1, 0.95),
                (0.8, 0.9),
                (0.66, 0.68),
                (0.06, 0.72),
            ),
        ),
    ),
    "minnesota": (
        (
            0,
            (
                (0.05, 0.05),
                (0.35, 0.05),
                (0.4, 0),
                (0.45, 0.1),
                (0.95, 0.2),
                (0.6, 0.5),
                (0.6, 0.72),
                (0.85, 1),
                (0.12, 1),
                (0.12, 0.65),
            ),
        ),
    ),
    "tennessee": ((0, ((0.1, 0.2), (1, 0), (0.75, 0.9), (0, 1))),),
    "missouri": (
        (
            0,
            (
                (0, 0),
                (0.7, 0.02),
                (0.8, 0.3),
                (0.95, 0.75),
                (1, 1),
                (0.85, 0.95),
                (0.18, 0.9),
                (0.18, 0.3),
            ),
        ),
    ),
    "florida": (
        (
            0,
            (
                (0, 0.05),
                (0.62, 0.05),
                (0.7, 0.2),
                (0.95, 0.65),
                (0.98, 0.95),
                (0.85, 1),
                (0.65, 0.62),
                (0.5, 0.28),
                (0.3, 0.3),
                (0.02, 0.18),
            ),
        ),
    ),
    "ohio": ((0, ((0.05, 0.15), (0.5, 0.2), (0.95, 0), (0.95, 0.5), (0.6, 1), (0.05, 0.88))),),
    "montana": ((0, ((0, 0), (1, 0.05), (1, 0.85), (0.45, 0.85), (0.3, 1), (0.1, 0.6))),),
    "connecticut": ((0, ((0, 0.1), (0.95, 0), (1, 0.65), (0.3, 0.8), (0, 1))),),
}
"""Drawings of plain polygons: for each part, which of the drawing's colours, and its outline."""


def blend(pixels: npt.NDArray[Any], cover: npt.NDArray[Any], colour: Rgb) -> None:
    """Lay a colour over pixels, in place.

    Args:
        pixels: RGB (height, width, 3) or grey (height, width), float32 or float64.
        cover: how densely, 0 to 1, float32 (height, width).
        colour: RGB; its mean is laid over grey pixels.
    """
    if pixels.ndim == 2:
        pixels += cover * (float(np.mean(colour)) - pixels)
        return
    # Channel by channel: broadcasting over a last axis of three is eight times slower.
    for channel in range(3):
        plane = pixels[..., channel]
        plane += cover * (np.float32(colour[channel]) - plane)


def rounded_rectangle(height: int, width: int, radius: int) -> npt.NDArray[np.float32]:
    """1 in a rectangle, 0 outside its rounded corners, smooth between; float32 (height, width)."""
    radius = min(radius, height // 2, width // 2)
    plane = np.ones((height, width), np.float32)
    if radius > 0:
        away = np.arange(radius, dtype=np.float32)[::-1] + 0.5
        corner = np.clip(radius - np.hypot(away[:, None], away[None]) + 0.5, 0, 1)
        plane[:radius, :radius], plane[:radius, -radius:] = corner, corner[:, ::-1]
        plane[-radius:, :radius], plane[-radius:, -radius:] = corner[::-1], corner[::-1, ::-1]
    return plane


def draw(canvas: Canvas, art: Art, rng: np.random.Generator) -> None:
    """Put a drawing onto its box of a plate.

    Args:
        canvas: the plate, changed in place.
        art: what to draw.
        rng: decides the course of hills, trees and the like.
    """
    height, width = canvas.shape[:2]
    left, top, across, down = art.box
    x0, x1 = (round(np.clip(x, 0, 1) * width) for x in (left, left + across))
    y0, y1 = (round(np.clip(y, 0, 1) * height) for y in (top, top + down))
    region = canvas[y0:y1, x0:x1]
    if not region.size:
        return
    below = region.copy() if art.strength < 1 else region
    if art.kind in SHAPES:
        for index, outline in SHAPES[art.kind]:
            _paint(region, outline, art.colours[min(index, len(art.colours) - 1)])
    else:
        DRAWINGS[art.kind](region, np.array(art.colours, np.float32), rng)
    if art.strength < 1:
        region[:] = below + art.strength * (region - below)


def _paint(
    region: Canvas,
    outline: Sequence[tuple[float, float]] | npt.NDArray[np.float64],
    colour: Rgb,
) -> None:
    """Fill an outline given in shares of the region, with smooth edges."""
    height, width = region.shape[:2]
    points = np.round(np.multiply(outline, (16 * width, 16 * height))).astype(np.int32)
    mask = np.zeros((height, width), np.uint8)
    cv2.fillPoly(mask, [points - 8], 255, cv2.LINE_AA, 4)
    blend(region, mask.astype(np.float32) / 255, colour)


def _fade(region: Canvas, colours: Colours, rng: np.random.Generator) -> None:
    """From the first colour at the top through all to the last at the foot."""
    stops = np.linspace(0, 1, len(colours))
    rows = np.linspace(0, 1, len(region))
    channels = [np.interp(rows, stops, colours[:, channel]) for channel in range(3)]
    region[:] = np.stack(channels, axis=1)[:, None]


def _rows(region: Canvas, colours: Colours, rng: np.random.Generator) -> None:
    """Lying bars of equal height."""
    index = np.arange(region.shape[0]) * len(colours) // region.shape[0]
    region[:] = colours[index][:, None]


def _ridges(region: Canvas, colours: Colours, points: int, rng: np.random.Generator) -> None:
    """One ridge in front of the other, each in its colour."""
    for depth, colour in enumerate(colours):
        xs = np.linspace(-0.05, 1.05, points) + rng.normal(0, 0.15 / points, points)
        low = 0.35 + 0.5 * depth / len(colours)
        ys = low + rng.uniform(-0.35, 0.15, points) * np.where(np.arange(points) % 2, 1.0, 0.3)
        if points < 8:  # rolling, not jagged
            smooth = np.linspace(xs[0], xs[-1], 33)
            ys = np.interp(smooth, xs, ys)
            ys = np.convolve(np.pad(ys, 4, mode="edge"), np.full(9, 1 / 9), "valid")
            xs = smooth
        outline = np.concatenate([np.stack([xs, ys], axis=1), [[1.05, 1.1], [-0.05, 1.1]]])
        _paint(region, outline, colour)


def _mountains(region: Canvas, colours: Colours, rng: np.random.Generator) -> None:
    _ridges(region, colours, 17, rng)


def _hills(region: Canvas, colours: Colours, rng: np.random.Generator) -> None:
    _ridges(region, colours, 6, rng)


def _trees(region: Canvas, colours: Colours, rng: np.random.Generator) -> None:
    """The jagged top of a wood."""
    xs = np.linspace(0, 1, 41)
    ys = np.where(np.arange(41) % 2, rng.uniform(0, 0.5, 41), rng.uniform(0.5, 0.8, 41))
    _paint(region, np.concatenate([np.stack([xs, ys], axis=1), [[1, 1], [0, 1]]]), colours[0])


def _rainbow(region: Canvas, colours: Colours, rng: np.random.Generator) -> None:
    for ring, colour in enumerate(colours):
        angles = np.linspace(np.pi, 2 * np.pi, 25)
        outer, inner = (0.5 - 0.035 * (ring + k) for k in (0, 1))
        edge = np.stack([0.5 + outer * np.cos(angles), 1 + 2 * outer * np.sin(angles)], axis=1)
        back = np.stack([0.5 + inner * np.cos(angles), 1 + 2 * inner * np.sin(angles)], axis=1)
        _paint(region, np.concatenate([edge, back[::-1]]), colour)


def _skyline(region: Canvas, colours: Colours, rng: np.random.Generator) -> None:
    """Towers and barns before the sky."""
    x = 0.0
    while x < 1:
        width = rng.uniform(0.03, 0.1)
        _paint(
            region, _bar(x, rng.uniform(0, 0.8), x + width, 1), colours[rng.integers(len(colours))]
        )
        x += width


def _any(region: Canvas, colours: Colours, rng: np.random.Generator) -> None:
    """One of SHAPES in colours of its own, as on the specialty plates of clubs and charities."""
    names = list(SHAPES)
    palette = rng.uniform(20, 240, (4, 3))
    for index, outline in SHAPES[names[rng.integers(len(names))]]:
        _paint(region, outline, palette[index])


def _landscape(region: Canvas, colours: Colours, rng: np.random.Generator) -> None:
    """A pale picture of no place: a sky and a few hills."""
    paper = region.mean(axis=(0, 1))
    _fade(region, paper + rng.uniform(0.2, 0.8) * (rng.uniform(120, 250, (2, 3)) - paper), rng)
    for _ in range(rng.integers(1, 4)):
        hill = paper + rng.uniform(0.1, 0.5) * (rng.uniform(80, 240, 3) - paper)
        _ridges(region, hill[None].astype(np.float32), int(rng.choice([4, 6, 17])), rng)


def _glyph(region: Canvas, colours: Colours, rng: np.random.Generator) -> None:
    """Strokes as dense as a Chinese character's; no character."""
    for y in np.linspace(0.02, 0.84, int(rng.integers(3, 6))) + rng.uniform(-0.04, 0.06):
        left, right = rng.choice([0.0, 0.1, 0.45]), rng.choice([0.6, 0.9, 1.0])
        _paint(region, _bar(left, y, right, y + 0.09), colours[0])
    for x in (rng.uniform(0, 0.2), rng.uniform(0.35, 0.55), rng.uniform(0.7, 0.86)):
        top, foot, lean = rng.uniform(0, 0.3), rng.uniform(0.7, 1), rng.uniform(-0.15, 0.15)
        stroke = [(x, top), (x + 0.1, top), (x + 0.1 + lean, foot), (x + lean, foot)]
        _paint(region, stroke, colours[0])


DRAWINGS: dict[str, Callable[[Canvas, Colours, np.random.Generator], None]] = {
    "fade": _fade,
    "rows": _rows,
    "mountains": _mountains,
    "hills": _hills,
    "trees": _trees,
    "rainbow": _rainbow,
    "skyline": _skyline,
    "any": _any,
    "landscape": _landscape,
    "glyph": _glyph,
}
"""Drawings that a polygon cannot say."""
