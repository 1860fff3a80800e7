"""Connected components that stand in a line like writing: what plates are found and cut by."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from lpr_core.geometry import Image

Components = npt.NDArray[np.floating[Any]]
"""Connected components, float32 of shape (n, 5): x, y, width, height, pixels set in that box."""

X, Y, WIDTH, HEIGHT, AREA = range(5)

MAX_OFFSET = 0.125
"""How far a character's centre may lie off its line, in heights of the line."""

MAX_HEIGHT_DIFFERENCE = 0.17
"""How much a character's height may differ from its line's, in heights of the line."""

MAX_PAIRS = 2000


def ink_mask(pixels: Image, dark: bool, window: int, offset: float) -> Image:
    """Where grey pixels differ from the mean of the window around them, as a mask of 0 and 1.

    Args:
        pixels: grey, uint8 of shape (height, width).
        dark: the ink is darker than the paper.
        window: odd, in pixels.
        offset: by how many grey levels, at least.
    """
    source = pixels if dark else 255 - pixels
    mask = cv2.adaptiveThreshold(
        source, 1, cv2.ADAPTIVE_THRESH_MEAN_C, cv2.THRESH_BINARY_INV, window, offset
    )
    return np.asarray(mask, dtype=np.uint8)


def components_of(mask: Image) -> Components:
    """The components of a mask (1 is set), by their outer contours; 8-connected."""
    contours, links = cv2.findContours(mask, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_SIMPLE)
    boxes = [
        cv2.boundingRect(contour)
        for contour, (_, _, _, parent) in zip(contours, links[0] if contours else (), strict=True)
        if parent < 0  # the others are holes
    ]
    x, y, width, height = np.array(boxes, dtype=np.int32).reshape(-1, 4).T
    pixels = cv2.integral(mask)
    area = pixels[y + height, x + width] - pixels[y, x + width]
    area = area - pixels[y + height, x] + pixels[y, x]
    return np.stack([x, y, width, height, area], axis=1).astype(np.float32)


def centres(components: Components) -> tuple[Components, Components]:
    """The x and the y of the components' centres, each of shape (n,)."""
    return (
        components[:, X] + components[:, WIDTH] / 2,
        components[:, Y] + components[:, HEIGHT] / 2,
    )


def best_line(
    components: Components, max_slope: float, max_distance: float
) -> npt.NDArray[np.bool_] | None:
    """Which components form the best line of equally high characters.

    Every pair near enough to each other proposes a line (RANSAC, Fischler & Bolles 1981, run over
    all pairs while they are few); the line with the most and most regular characters wins, a high
    one before a low one.

    Args:
        components: the candidates, of shape (n, 5).
        max_slope: steepest line, as dy/dx.
        max_distance: how far the two that propose a line may stand apart, in their heights.

    Returns:
        A mask of shape (n,), or None where no two components form a line.
    """
    first, second = np.triu_indices(len(components), 1)
    if len(first) > MAX_PAIRS:
        every = np.linspace(0, len(first) - 1, MAX_PAIRS).astype(int)
        first, second = first[every], second[every]
    x, y = centres(components)
    heights = components[:, HEIGHT]
    dx, dy = x[second] - x[first], y[second] - y[first]
    height = (heights[first] + heights[second]) / 2
    plausible = (
        (np.abs(dx) > 0.3 * height)
        & (np.abs(dx) < max_distance * height)
        & (np.abs(dy) <= max_slope * np.abs(dx))
        & (np.abs(heights[first] - heights[second]) < MAX_HEIGHT_DIFFERENCE * height)
    )
    if not plausible.any():
        return None
    first, dx, dy, height = first[plausible], dx[plausible], dy[plausible], height[plausible]
    slope = dy / dx
    on_line = y[first, None] + slope[:, None] * (x[None] - x[first, None])
    offset = np.abs(y[None] - on_line) / height[:, None] / MAX_OFFSET
    difference = np.abs(heights[None] - height[:, None]) / height[:, None] / MAX_HEIGHT_DIFFERENCE
    members = (offset < 1) & (difference < 1)
    regularity = (members * (1 - 0.45 * offset - 0.35 * difference)).sum(axis=1)
    winner = np.argmax((regularity - 0.8 * np.abs(slope)) * np.sqrt(height))
    return np.asarray(members[winner])


def merge_overlapping(components: Components, share: float) -> Components:
    """Components sorted by x, those that share more than `share` of their width joined into one.

    The parts of a broken character lie above each other, so this joins them; the area of the parts
    adds up.
    """
    merged: list[Components] = []
    for part in components[np.argsort(components[:, X], kind="stable")]:
        if merged:
            last = merged[-1]
            right = max(last[X] + last[WIDTH], part[X] + part[WIDTH])
            overlap = last[WIDTH] + part[WIDTH] - (right - last[X])
            if overlap > share * min(last[WIDTH], part[WIDTH]):
                top = min(last[Y], part[Y])
                bottom = max(last[Y] + last[HEIGHT], part[Y] + part[HEIGHT])
                merged[-1] = np.array(
                    [last[X], top, right - last[X], bottom - top, last[AREA] + part[AREA]],
                    dtype=np.float32,
                )
                continue
        merged.append(part)
    return np.array(merged, dtype=np.float32).reshape(-1, 5)
