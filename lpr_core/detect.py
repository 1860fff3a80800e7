"""Plates in a picture, found by their writing: thresholds, components, lines of characters."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import permutations

import cv2
import numpy as np
import numpy.typing as npt

from lpr_core.geometry import Box, Image, Quad, as_quad, bounding_box, iou
from lpr_core.text_lines import (
    AREA,
    HEIGHT,
    WIDTH,
    Components,
    X,
    Y,
    best_line,
    centres,
    components_of,
    ink_mask,
    merge_overlapping,
)

WORKING_SIDE = 1100
MAX_ENLARGEMENT = 2.0
MAX_PLATES = 5
MIN_SCORE = 2.4
MAX_OVERLAP = 0.25

MIN_CHARACTERS = 3
MIN_SINGLE_LINE = 4
CHARACTER_HEIGHTS = (8, 150)
"""Lowest and highest character in pixels of the working picture."""

THRESHOLDS = ((19, 9.0), (45, 12.0))
"""Window in pixels and offset in grey levels of the adaptive thresholds, for small plates and
large ones."""

SIDE_MARGIN = 0.55
TOP_MARGIN = 0.3
"""How far a plate reaches beyond its characters, in their height: between European plates, whose
characters fill them, and American ones, whose characters take half."""


@dataclass(frozen=True)
class PlateDetection:
    """A plate found in a picture.

    Attributes:
        quad: its corners in pixels of the original picture, top left first, clockwise.
        score: how plate-like it is; larger is surer, comparable within one detector only.
        least_confidence: how sure its read must be for it to count as a plate; 0 where it looks
            like one beyond doubt.
    """

    quad: Quad
    score: float
    least_confidence: float = 0.0

    @property
    def box(self) -> Box:
        """The box around the quad, in pixels of the original picture."""
        return bounding_box(self.quad)


class WholeImageDetector:
    """Takes the whole picture as one plate, for ready-made crops."""

    def detect(self, image: Image) -> list[PlateDetection]:
        """One detection with the picture's own corners."""
        height, width = image.shape
        return [PlateDetection(Box(0, 0, width, height).corners, 1.0)]


class ContourDetector:
    """Finds plates by their characters, dark on light or light on dark, several a picture.

    The picture is brought to a working size, smoothed and thresholded adaptively; components
    shaped like characters are linked to their neighbours, and each line of them is ranked by how
    plate-like it is: count, regularity of heights, offsets and spacing, contrast. Two lines that
    stand close make a two-line plate. The quad follows the tilt.
    """

    def detect(self, image: Image) -> list[PlateDetection]:
        """The plates of a picture, most plate-like first, at most five.

        Args:
            image: grey, uint8 of shape (height, width).
        """
        height, width = image.shape
        scale = min(WORKING_SIDE / max(height, width), MAX_ENLARGEMENT)
        size = (max(1, round(width * scale)), max(1, round(height * scale)))
        interpolation = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
        working = cv2.resize(image, size, interpolation=interpolation)
        smooth = np.asarray(cv2.GaussianBlur(working, (3, 3), 0), dtype=np.uint8)
        candidates = [
            PlateDetection(as_quad(_plate_corners(lines) / scale), score)
            for dark in (True, False)
            for window, offset in THRESHOLDS
            for lines, score in _plates(ink_mask(smooth, dark, window, offset), smooth)
        ]
        kept: list[PlateDetection] = []
        for candidate in sorted(candidates, key=lambda detection: -detection.score):
            if all(iou(candidate.box, other.box) < MAX_OVERLAP for other in kept):
                kept.append(candidate)
        return kept[:MAX_PLATES]


def _character_like(components: Components) -> Components:
    width, height = components[:, WIDTH], components[:, HEIGHT]
    fill = components[:, AREA] / (width * height)
    lowest, highest = CHARACTER_HEIGHTS
    character_like = (
        (height >= lowest)
        & (height <= highest)
        & (width >= np.maximum(2, 0.08 * height))
        & (width < 1.25 * height)
        & (components[:, AREA] >= 10)
        & (fill > 0.12)
        & ~((fill > 0.93) & (width > 0.45 * height))
    )
    return np.asarray(components[character_like])


def _plates(mask: Image, smooth: Image) -> Iterator[tuple[tuple[Components, ...], float]]:
    """Lines that look like a plate's, and pairs of them that stand like a two-line plate's."""
    lines = _lines(_character_like(components_of(mask)))
    scored = [(line, _plate_likeness(line, smooth)) for line in lines]
    likely = [(line, score) for line, score in scored if score >= MIN_SCORE]
    for line, score in likely:
        if len(line) >= MIN_SINGLE_LINE:
            yield (line,), score
    for (upper, first), (lower, second) in permutations(likely, 2):
        if _stacked(upper, lower):
            yield (upper, lower), first + second


def _stacked(upper: Components, lower: Components) -> bool:
    """Whether two lines stand close below each other and are about as high and as wide."""
    high, low = np.median(upper[:, HEIGHT]), np.median(lower[:, HEIGHT])
    gap = np.median(lower[:, Y]) - np.median(upper[:, Y] + upper[:, HEIGHT])
    left, right = max(upper[0, X], lower[0, X]), min(_right(upper), _right(lower))
    narrower = min(_right(upper) - upper[0, X], _right(lower) - lower[0, X])
    return bool(
        0.7 < high / low < 1.43 and -0.1 * low < gap < 0.8 * low and right - left > 0.6 * narrower
    )


def _right(line: Components) -> float:
    return float(line[-1, X] + line[-1, WIDTH])


def _lines(components: Components) -> Iterator[Components]:
    """The lines of at least three characters, each sorted by x, nested parts joined."""
    for group in _neighbour_groups(components):
        while len(group) >= MIN_CHARACTERS:
            members = best_line(group, max_slope=0.6, max_distance=9)
            if members is None or members.sum() < MIN_CHARACTERS:
                break
            line = merge_overlapping(group[members], share=0.4)
            gaps = line[1:, X] - line[:-1, X] - line[:-1, WIDTH]
            breaks = np.flatnonzero(gaps > 1.6 * np.median(line[:, HEIGHT])) + 1
            yield from (part for part in np.split(line, breaks) if len(part) >= MIN_CHARACTERS)
            group = group[~members]


def _neighbour_groups(components: Components) -> list[Components]:
    """Components joined with those to their right that could be the next character."""
    components = components[np.argsort(components[:, X], kind="stable")]
    left, width, height = components[:, X], components[:, WIDTH], components[:, HEIGHT]
    x, y = centres(components)
    within_reach = np.searchsorted(left, left + width + 1.6 * height) - np.arange(len(left)) - 1
    first = np.repeat(np.arange(len(left)), within_reach)
    ahead = np.arange(len(first)) - np.repeat(np.cumsum(within_reach) - within_reach, within_reach)
    second = first + 1 + ahead
    higher = np.maximum(height[first], height[second])
    distance = x[second] - x[first]
    gap = left[second] - left[first] - width[first]
    linked = (
        (np.abs(height[second] - height[first]) < 0.22 * higher)
        & (distance > 0.25 * higher)
        & (distance < 2.2 * higher)
        & (gap < 1.3 * higher)
        & (gap > -0.25 * higher)
        & (np.abs(y[second] - y[first]) < 0.1 * higher + 0.32 * distance)
    )
    parent = list(range(len(components)))

    def root(index: int) -> int:
        while parent[index] != index:
            parent[index] = parent[parent[index]]
            index = parent[index]
        return index

    for i, j in zip(first[linked].tolist(), second[linked].tolist(), strict=True):
        parent[root(i)] = root(j)
    groups: dict[int, list[int]] = {}
    for i in range(len(components)):
        groups.setdefault(root(i), []).append(i)
    return [components[members] for members in groups.values() if len(members) >= MIN_CHARACTERS]


def _plate_likeness(line: Components, smooth: Image) -> float:
    """How much a line looks like a plate's: about the number of its well-formed characters."""
    width, height, area = line[:, WIDTH], line[:, HEIGHT], line[:, AREA]
    typical = float(np.median(height))
    x, y = centres(line)
    offset = np.abs(y - np.polyval(np.polyfit(x, y, 1), x)) / typical
    ratio = width / typical
    fill = area / (width * height)
    formed = 1 - 3 * offset - 2 * np.abs(height - typical) / typical
    formed -= np.where((ratio > 0.95) | (ratio < 0.12), 0.5, 0)
    formed = np.clip(formed, 0, 1)
    formed *= np.where((fill > 0.8) & (ratio > 0.3), 0.3, 1) * np.where(fill < 0.2, 0.5, 1)
    characters = min(float(formed.sum()), 7.5) - 0.8 * max(0, len(line) - 9)
    if ratio.mean() < 0.2:  # a fence or a grille
        characters /= 2
    spacing = 1 - min(1.0, float(np.std(np.minimum(np.diff(x) / typical, 2))) / 0.5)
    contrast = min(1.0, _contrast(line, typical, smooth) / 70)
    small = min(1.0, typical / 14) ** 0.5
    return float(characters * (0.6 + 0.4 * spacing) * (0.5 + 0.5 * contrast) * small)


def _contrast(line: Components, height: float, smooth: Image) -> float:
    left, right = line[0, X] - 0.3 * height, _right(line) + 0.3 * height
    top, bottom = line[:, Y].min(), (line[:, Y] + line[:, HEIGHT]).max()
    area = smooth[int(top) : int(bottom) + 1, max(0, int(left)) : int(right) + 1]
    light, dark = np.percentile(area, (92, 8))
    return float(light - dark)


def _plate_corners(lines: tuple[Components, ...]) -> npt.NDArray[np.float64]:
    """The corners of the plate around lines of characters, tilted with them, of shape (4, 2)."""
    longest = max(lines, key=len)
    angle = np.arctan(np.polyfit(*centres(longest), 1)[0])
    along = np.array([np.cos(angle), np.sin(angle)])
    across = np.array([-np.sin(angle), np.cos(angle)])
    line = np.concatenate(lines)
    height = float(np.median(line[:, HEIGHT]))
    left, right = line[:, X], line[:, X] + line[:, WIDTH]
    top, bottom = line[:, Y], line[:, Y] + line[:, HEIGHT]
    corners = ((left, top), (left, bottom), (right, top), (right, bottom))
    reach = np.concatenate([np.stack(corner, axis=1) @ along for corner in corners])
    # Across the line a tilted character's box is too high: half its height from its centre.
    middles = [float(np.stack(centres(part), axis=1).mean(axis=0) @ across) for part in lines]
    half = height * (0.5 + TOP_MARGIN)
    u0, u1 = reach.min() - SIDE_MARGIN * height, reach.max() + SIDE_MARGIN * height
    v0, v1 = min(middles) - half, max(middles) + half
    return np.array([u * along + v * across for u, v in ((u0, v0), (u1, v0), (u1, v1), (u0, v1))])
