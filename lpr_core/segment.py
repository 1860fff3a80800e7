"""A plate crop to its characters, by thresholds, morphology and the regularity of writing."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import cv2
import numpy as np

from lpr_core.geometry import Box, Image
from lpr_core.rectify import CROP_HEIGHT, PlateCrop
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

STROKE_WINDOW = 37
"""Pixels of the black-hat's window: wider than any stroke of a 96-pixel crop."""

OTSU_SHARES = (0.65, 0.85, 1.05, 1.3)
"""Thresholds on the strokes' strength, in shares of Otsu's: high ones part touching characters."""

ADAPTIVE_WINDOW = 45
ADAPTIVE_OFFSET = 8.0

LIGHT_PRIOR = 0.93
"""How much better light-on-dark must look to be preferred: the paper between dark characters is
itself light on dark."""

MIN_HEIGHT = 0.25
MAX_HEIGHT = 0.97
MAX_TWO_LINE_ASPECT = 2.6
MAX_CHARACTERS = 8


@dataclass(frozen=True, eq=False)
class CharacterBox:
    """One character of a plate, cut out.

    Attributes:
        box: its place in the original picture, in pixels.
        crop_box: its place in the plate crop, in pixels of the crop.
        line: the line of writing it stands on, 0 is the top one.
        ink: grey uint8 of shape (height, width), tight around the character, paper 0, ink 255.
    """

    box: Box
    crop_box: Box
    line: int
    ink: Image


@dataclass(frozen=True)
class _Layout:
    """One way to cut a crop: its lines, top first, each sorted by x, and how regular they are."""

    lines: tuple[Components, ...]
    dark: bool
    quality: float


class CharacterSegmenter:
    """Cuts a plate crop into its characters, one line or two.

    The crop is binarised in several ways and both polarities. In each, the best line of equally
    high components is searched, broken characters are joined and touching ones split; bolts,
    hyphens, frames and small print fall out by their height. The most regular layout wins.
    """

    def segment(self, crop: PlateCrop) -> tuple[CharacterBox, ...]:
        """The characters of a crop in reading order; empty where nothing looks like writing."""
        layouts = (
            _layout(mask, dark) for dark in (True, False) for mask in _ink_masks(crop.pixels, dark)
        )
        best = max(layouts, key=lambda layout: layout.quality)
        return tuple(
            _character(crop, Box(*map(float, part[:AREA])), number, best.dark)
            for number, line in enumerate(best.lines)
            for part in line
        )


def cut_character(pixels: Image, box: Box, dark: bool) -> Image:
    """Cut a character out of grey pixels with the paper at 0 and the ink at 255.

    Paper and ink are the 5th and 95th percentile of the box enlarged by a fifth of its height on
    each side, so that even a full bar (I, 1) has paper to compare with.

    Args:
        pixels: grey uint8 of shape (height, width).
        box: tight around the character, in pixels of `pixels`.
        dark: the ink is darker than the paper.
    """
    margin = box.height / 5
    around = Box(box.x - margin, box.y - margin, box.width + 2 * margin, box.height + 2 * margin)
    low, high = np.percentile(_inside(pixels, around), (5, 95))
    inside = _inside(pixels, box).astype(np.float32)
    ink = (high - inside if dark else inside - low) / max(high - low, 1.0)
    return np.asarray(np.clip(ink * 255, 0, 255), dtype=np.uint8)


def _inside(pixels: Image, box: Box) -> Image:
    height, width = pixels.shape
    x0, y0 = min(max(round(box.x), 0), width - 1), min(max(round(box.y), 0), height - 1)
    x1, y1 = max(round(box.right), x0 + 1), max(round(box.bottom), y0 + 1)
    return pixels[y0:y1, x0:x1]


def _character(crop: PlateCrop, crop_box: Box, line: int, dark: bool) -> CharacterBox:
    return CharacterBox(
        crop.in_image(crop_box), crop_box, line, cut_character(crop.pixels, crop_box, dark)
    )


def _ink_masks(pixels: Image, dark: bool) -> Iterator[Image]:
    """Binarisations with the ink set (1), of uint8."""
    window = cv2.getStructuringElement(cv2.MORPH_RECT, (STROKE_WINDOW, STROKE_WINDOW))
    hat = cv2.MORPH_BLACKHAT if dark else cv2.MORPH_TOPHAT
    strokes = cv2.morphologyEx(cv2.GaussianBlur(pixels, (3, 3), 0), hat, window)
    otsu, _ = cv2.threshold(strokes, 0, 255, cv2.THRESH_BINARY | cv2.THRESH_OTSU)
    for share in OTSU_SHARES:
        yield np.asarray(strokes > otsu * share, dtype=np.uint8)
    yield ink_mask(pixels, dark, ADAPTIVE_WINDOW, ADAPTIVE_OFFSET)


def _layout(mask: Image, dark: bool) -> _Layout:
    parts = components_of(mask)
    parts = parts[(parts[:, HEIGHT] > 0.08 * CROP_HEIGHT) & (parts[:, AREA] > 12)]
    lines = []
    main = _line_of_characters(parts, mask)
    if main is not None:
        lines.append(main)
        if mask.shape[1] < MAX_TWO_LINE_ASPECT * CROP_HEIGHT:
            other = _line_of_characters(_apart_from(main, parts), mask)
            if other is not None and _is_second_line(main, other):
                lines.append(other)
    lines.sort(key=lambda line: float(line[:, Y].mean()))
    prior = 1.0 if dark else LIGHT_PRIOR
    return _Layout(tuple(lines), dark, prior * sum(map(_quality, lines)))


def _apart_from(line: Components, parts: Components) -> Components:
    """The parts whose centre lies above or below a line."""
    top, bottom = np.median(line[:, Y]), np.median(line[:, Y] + line[:, HEIGHT])
    y = centres(parts)[1]
    return np.asarray(parts[(y < top) | (y > bottom)])


def _is_second_line(main: Components, other: Components) -> bool:
    """Whether a line is writing of the plate too, rather than its slogan or state."""
    main_height, height = np.median(main[:, HEIGHT]), np.median(other[:, HEIGHT])
    return bool(0.6 < height / main_height < 1.67 and max(height, main_height) < 0.6 * CROP_HEIGHT)


def _line_of_characters(parts: Components, mask: Image) -> Components | None:
    """The best line of a mask, its characters whole, single, and without the plate's frame."""
    height, width = parts[:, HEIGHT], parts[:, WIDTH]
    seeds = parts[
        (height > MIN_HEIGHT * CROP_HEIGHT)
        & (height < MAX_HEIGHT * CROP_HEIGHT)
        & (width < 1.3 * height)
        & (width > 0.06 * height)
    ]
    members = best_line(seeds, max_slope=0.2, max_distance=4)
    if members is None:
        return None
    line = _without_frame(
        _split_touching(_whole_characters(parts, seeds[members]), mask), mask.shape[1]
    )
    return line if len(line) >= 2 else None


def _whole_characters(parts: Components, line: Components) -> Components:
    """Everything as high as the line, and broken characters joined from their parts."""
    x, _ = centres(line)
    spread = len(line) >= 3 and np.ptp(x) > np.median(line[:, HEIGHT])
    degree = 1 if spread else 0
    top_edge = np.polyfit(x, line[:, Y], degree)
    bottom_edge = np.polyfit(x, line[:, Y] + line[:, HEIGHT], degree)

    def share_of_line(components: Components) -> tuple[Components, Components]:
        """The line's height at each component, and how much of it the component covers."""
        at, _ = centres(components)
        top, bottom = np.polyval(top_edge, at), np.polyval(bottom_edge, at)
        lowest = np.minimum(components[:, Y] + components[:, HEIGHT], bottom)
        return bottom - top, lowest - np.maximum(components[:, Y], top)

    height, covered = share_of_line(parts)
    full = (covered > 0.75 * height) & (parts[:, HEIGHT] < 1.25 * height)
    broken = (
        ~full
        & (covered > 0.9 * parts[:, HEIGHT])
        & (parts[:, HEIGHT] > 0.25 * height)
        & (parts[:, WIDTH] < height)
        & (parts[:, WIDTH] > 0.08 * height)
    )
    characters = merge_overlapping(parts[full], share=0.5)
    joined = merge_overlapping(parts[broken], share=0.5)
    height, _ = share_of_line(joined)
    apart = [
        part
        for part in joined[joined[:, HEIGHT] > 0.75 * height]
        if all(_shared_width(part, other) < 0.3 * part[WIDTH] for other in characters)
    ]
    if apart:
        characters = np.concatenate([characters, np.array(apart)])
    return characters[np.argsort(characters[:, X], kind="stable")]


def _shared_width(a: Components, b: Components) -> float:
    return float(min(a[X] + a[WIDTH], b[X] + b[WIDTH]) - max(a[X], b[X]))


def _split_touching(line: Components, mask: Image) -> Components:
    """Components much wider than their neighbours, cut where the least ink stands."""
    if not len(line):
        return line
    height = float(np.median(line[:, HEIGHT]))
    normal = line[(line[:, WIDTH] > 0.35 * height) & (line[:, WIDTH] < 0.9 * height), WIDTH]
    typical = float(np.median(normal)) if len(normal) >= 2 else 0.6 * height
    split: list[Components] = []
    for part in line:
        touching = part[WIDTH] > 1.45 * typical and part[WIDTH] > 0.85 * height
        count = max(2, round(float(part[WIDTH]) / (1.08 * typical))) if touching else 1
        if count == 1 or count > 4:
            split.append(part)
        else:
            split += _cut(part, mask, count, typical)
    return np.array(split, dtype=np.float32)


def _cut(part: Components, mask: Image, count: int, typical: float) -> Iterator[Components]:
    x, y, width, height = part[:AREA].astype(int)
    ink = mask[y : y + height, x : x + width]
    profile = np.convolve(ink.sum(axis=0), np.ones(3) / 3, "same")
    cuts = [0]
    for number in range(1, count):
        expected = width * number / count
        near = np.arange(
            int(max(cuts[-1] + 2, expected - 0.3 * typical)),
            int(min(width - 2, expected + 0.3 * typical)),
        )
        if len(near):
            detour = 0.06 * height * np.abs(near - expected) / (0.3 * typical)
            cuts.append(int(near[np.argmin(profile[near] + detour)]))
    for left, right in zip(cuts, [*cuts[1:], width], strict=True):
        piece = ink[:, left:right]
        box_x, box_y, box_width, box_height = cv2.boundingRect(piece)
        if box_width and box_height:
            yield np.array(
                [x + left + box_x, y + box_y, box_width, box_height, piece.sum()], np.float32
            )


def _without_frame(line: Components, crop_width: int) -> Components:
    """The line without thin bars at its ends that are the plate's own edges."""
    while len(line) > 3:
        height = np.median(line[:, HEIGHT])
        distances = (line[0, X], crop_width - line[-1, X] - line[-1, WIDTH])
        for end, distance in zip((0, -1), distances, strict=True):
            bar = line[end]
            thin = bar[WIDTH] < 0.22 * height
            at_edge = distance < 0.035 * crop_width or bar[HEIGHT] > 1.1 * height
            if (thin and at_edge) or (distance <= 1 and bar[WIDTH] < 0.3 * height):
                line = np.delete(line, end, axis=0)
                break
        else:
            break
    return line


def _quality(line: Components) -> float:
    """How regular a line is: about the number of its well-formed characters, high ones first."""
    width, height = line[:, WIDTH], line[:, HEIGHT]
    typical = float(np.median(height))
    x, y = centres(line)
    offset = np.abs(y - np.polyval(np.polyfit(x, y, 1), x)) / typical
    ratio, fill = width / typical, line[:, AREA] / (width * height)
    formed = 1 - 2 * offset - 1.5 * np.abs(height - typical) / typical
    formed -= np.clip(2 * (ratio - 0.95), 0, 1) + np.where(ratio < 0.1, 0.5, 0)
    formed -= np.where(fill < 0.18, 0.5, 0) + np.where((fill > 0.75) & (ratio > 0.35), 0.6, 0)
    gaps = np.clip(np.diff(x) / typical - 1.6, 0, 1).sum() / 2
    excess = 1.6 * max(0, len(line) - MAX_CHARACTERS)
    regular = float(np.clip(formed, 0, 1).sum()) - excess - gaps
    return float(regular * np.sqrt(typical / CROP_HEIGHT))
