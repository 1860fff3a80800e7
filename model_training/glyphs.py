"""What plates are stamped with: single-stroke dies and the TrueType fonts at hand."""

from __future__ import annotations

import math
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Protocol

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

from lpr_core.recognize import ALPHABET

Alpha = npt.NDArray[np.float32]
"""Coverage of ink, float32 of shape (height, width), 0 to 1."""

GLYPH_HEIGHT = 64
"""Pixels between the top and the foot of every glyph."""

FONT_FAMILIES = (
    "Roadgeek 2014 Series B",
    "Roadgeek 2014 Series C",
    "Roadgeek 2014 Series D",
    "Roadgeek 2014 Series E",
    "Roadgeek 2014 Series EM",
    "OSP-DIN",
    "OCR B",
    "National Park",
    "National Park Heavy",
    "Bebas Neue",
    "B612",
    "B612 Mono",
    "DejaVu Sans",
    "DejaVu Sans Mono",
)
"""Families near what plates are stamped or printed with."""

FONT_STYLES = ("Regular", "Bold", "Book", "Condensed", "Condensed Bold", "DIN", "Heavy")

FONT_PACKAGES = (
    "fonts-roadgeek fonts-opendin fonts-ocr-b fonts-national-park fonts-bebas-neue fonts-b612 "
    "fonts-dejavu"
)

Path2D = list[tuple[float, float]]
Skeleton = list[Path2D]
"""Polylines of a glyph in the unit square: x to the right, y down."""


class Font(Protocol):
    """Something that draws the 36 characters of a plate."""

    @property
    def name(self) -> str:
        """What the font is called in a plate's truth."""

    def glyph(self, character: str) -> Alpha:
        """The ink of one of ALPHABET, float32 of shape (GLYPH_HEIGHT, width), cropped in width."""


@dataclass(frozen=True)
class DieShape:
    """What tells one stamping die from another.

    Attributes:
        round_x, round_y: radii of the corners, in shares of the glyph's width and height.
        waist: height of the bar of B, R, 3, 8 …, 0 (top) to 1.
        hook: how far open strokes turn in at their ends, degrees.
        variants: for each character with several usual forms, which one (0 to 1).
    """

    round_x: float
    round_y: float
    waist: float
    hook: float
    variants: Mapping[str, float]


def _arc(cx: float, cy: float, rx: float, ry: float, start: float, stop: float) -> Path2D:
    """Part of an ellipse; degrees, clockwise on the screen from three o'clock."""
    return [(cx + rx * x, cy + ry * y) for x, y in _unit_arc(start, stop)]


@lru_cache(maxsize=1024)
def _unit_arc(start: float, stop: float) -> tuple[tuple[float, float], ...]:
    angles = (math.radians(start + (stop - start) * i / 8) for i in range(9))
    return tuple((math.cos(angle), math.sin(angle)) for angle in angles)


def _mirror(path: Path2D) -> Path2D:
    return [(1 - x, y) for x, y in path]


def _turn(path: Path2D) -> Path2D:
    return [(1 - x, 1 - y) for x, y in path]


def skeletons(shape: DieShape) -> dict[str, Skeleton]:
    """The centre lines of all 36 glyphs of a die."""
    rx, hook, waist, pick = shape.round_x, shape.hook, shape.waist, shape.variants

    def radius(top: float, bottom: float) -> float:
        return min(shape.round_y, (bottom - top) / 2)

    def right(top: float, bottom: float, start: float) -> Path2D:
        """From (start, top) round the right side to (start, bottom)."""
        ry = radius(top, bottom)
        upper = _arc(1 - rx, top + ry, rx, ry, -90, 0)
        lower = _arc(1 - rx, bottom - ry, rx, ry, 0, 90)
        return [(start, top), *upper, *lower, (start, bottom)]

    def left(top: float, bottom: float, start: float) -> Path2D:
        return _mirror(right(top, bottom, 1 - start))

    def hook_in_top_right(bottom: float = 1.0) -> Path2D:
        ry = radius(0, bottom)
        return _arc(1 - rx, ry, rx, ry, -hook, -90)

    def hook_out_bottom_left(top: float = 0.0) -> Path2D:
        ry = radius(top, 1)
        return _arc(rx, 1 - ry, rx, ry, 90, 180 - hook)

    def ring(top: float, bottom: float, inset: float = 0.0) -> Path2D:
        path = [*right(top, bottom, 0.5), *left(top, bottom, 0.5)[::-1]]
        return [(inset + x * (1 - 2 * inset), y) for x, y in path]

    ry = shape.round_y
    stem: Path2D = [(0, 0), (0, 1)]
    lower_bar = min(waist + 0.06, 0.58)
    p_bowl = [(0.0, 1.0), (0.0, 0.0), *right(0, lower_bar, 0.5), (0.0, lower_bar)]
    c_curve = [*hook_in_top_right(), *left(0, 1, 0.5)]
    serif_bars: Skeleton = [[(0, 0), (1, 0)], [(0, 1), (1, 1)]]

    if pick["6"] < 0.65:
        six = [ring(waist - 0.04, 1), [*hook_in_top_right(), *left(0, 1, 0.5)]]
    else:  # a straight stroke into a round bowl, as on French and Dutch plates
        six = [
            [(0.72, 0), (0.06, 0.56)],
            _arc(0.5, 0.68, 0.5, 0.32, 0, 180) + _arc(0.5, 0.68, 0.5, 0.32, 180, 360),
        ]
    ones: tuple[tuple[float, Skeleton], ...] = (
        (0.4, [[(0.62, 1), (0.62, 0), (0.12, 0.22)]]),
        (0.75, [[(0.62, 1), (0.62, 0), (0.3, 0.1)]]),
        (0.95, [[(0.5, 1), (0.5, 0), (0.08, 0.2)], [(0, 1), (1, 1)]]),
        (1.0, [[(0.5, 0), (0.5, 1)]]),  # a bare bar is rare: on most dies that is the letter I
    )
    w_foot, w_peak = 0.12 + 0.14 * pick["W"], 0.6 * pick["V"]
    m_foot = 0.1 * pick["N"] if pick["M"] < 0.3 else 0.0
    top_curve_3 = _arc(rx, radius(0, waist), rx, radius(0, waist), 180 + hook, 270)
    return {
        "0": [ring(0, 1)],
        "1": next(one for until, one in ones if pick["1"] < until),
        "2": [
            [
                *_arc(rx, ry, rx, ry, 180 + hook, 270),
                *_arc(1 - rx, ry, rx, ry, -90, 35),
                (0, 1),
                (1, 1),
            ]
        ],
        "3": [
            [*top_curve_3, *right(0, waist, 0.45)]
            if pick["3"] < 0.8
            else [(0.05, 0), (0.95, 0), (0.45, waist)],
            [*right(waist, 1, 0.45), *hook_out_bottom_left(waist)],
        ],
        "4": [[(0.76, 1), (0.76, 0), (0, 0.7), (1, 0.7)]]
        if pick["4"] < 0.6
        else [[(0.42, 0), (0, 0.72), (1, 0.72)], [(0.74, 0.4), (0.74, 1)]],
        "5": [
            [
                (0.94, 0),
                (0.12, 0),
                (0.05, waist - 0.03),
                *right(waist - 0.05, 1, 0.35),
                *hook_out_bottom_left(waist),
            ]
        ],
        "6": six,
        "7": [[(0, 0), (1, 0), (0.15 + 0.4 * pick["7"], 1)]]
        if pick["7"] < 0.75
        else [[(0, 0), (1, 0), (1, 0.18), (0.42, 0.6), (0.42, 1)]],
        "8": [ring(0, waist, 0.08 * pick["8"]), ring(waist, 1)],
        "9": [_turn(path) for path in six],
        "A": [[(0, 1), (0.5, 0), (1, 1)], [(0.17, 0.68), (0.83, 0.68)]]
        if pick["A"] < 0.85
        else [[(0, 1), (0.35, 0), (0.65, 0), (1, 1)], [(0.13, 0.66), (0.87, 0.66)]],
        "B": [
            [(0, waist), (0, 0), *[(0.96 * x, y) for x, y in right(0, waist, 0.4)], (0, waist)],
            [(0, waist), *right(waist, 1, 0.4), (0, 1), (0, waist)],
        ],
        "C": [[*c_curve, *_arc(1 - rx, 1 - ry, rx, ry, 90, hook)]],
        "D": [[(0, 0), *right(0, 1, 0.3), (0, 1), (0, 0)]],
        "E": [[(1, 0), (0, 0), (0, 1), (1, 1)], [(0, 0.48), (0.82, 0.48)]],
        "F": [[(1, 0), (0, 0), (0, 1)], [(0, 0.5), (0.82, 0.5)]],
        "G": [[*c_curve, *_arc(1 - rx, 1 - ry, rx, ry, 90, 0), (1, 0.54), (0.56, 0.54)]],
        "H": [stem, _mirror(stem), [(0, 0.48), (1, 0.48)]],
        "I": [[(0.5, 0), (0.5, 1)], *(serif_bars if pick["I"] < 0.4 else [])],
        "J": [[(1, 0), *_arc(1 - rx, 1 - ry, rx, ry, 0, 90), *hook_out_bottom_left()]],
        "K": [stem, [(1, 0), (0, 0.6)], [(0.3, 0.42), (1, 1)]],
        "L": [[(0, 0), (0, 1), (1, 1)]],
        "M": [[(0, 1), (m_foot, 0), (0.5, 0.4 + 0.6 * pick["K"]), (1 - m_foot, 0), (1, 1)]],
        "N": [[(0, 1), (0, 0), (1, 1), (1, 0)]],
        "O": [ring(0, 1)],
        "P": [p_bowl],
        "Q": [ring(0, 1), [(0.58, 0.72), (1, 1.02)]],
        "R": [p_bowl, [(0.5, lower_bar), (1, 1)]],
        "S": [
            [
                *hook_in_top_right(waist),
                *left(0, waist, 0.5),
                *right(waist, 1, 0.5),
                *hook_out_bottom_left(waist),
            ]
        ],
        "T": [[(0, 0), (1, 0)], [(0.5, 0), (0.5, 1)]],
        "U": [
            [
                (0, 0),
                *_arc(rx, 1 - ry, rx, ry, 180, 90),
                *_arc(1 - rx, 1 - ry, rx, ry, 90, 0),
                (1, 0),
            ]
        ],
        "V": [[(0, 0), (0.5, 1), (1, 0)]],
        "W": [[(0, 0), (w_foot, 1), (0.5, w_peak), (1 - w_foot, 1), (1, 0)]],
        "X": [[(0, 0), (1, 1)], [(1, 0), (0, 1)]],
        "Y": [
            [(0, 0), (0.5, 0.4 + 0.2 * pick["Y"]), (1, 0)],
            [(0.5, 0.4 + 0.2 * pick["Y"]), (0.5, 1)],
        ],
        "Z": [[(0, 0), (1, 0), (0, 1), (1, 1)]],
    }


@dataclass(frozen=True, eq=False)
class StrokeDie:
    """A die whose glyphs are one stroke of even width with round ends.

    Attributes:
        centre_lines: the polylines of each glyph.
        aspect: a glyph's width over its height, between the stroke's centres.
        stroke: the stroke's width in pixels of GLYPH_HEIGHT.
        wide_o: whether the letter O is wider than the digit 0.
    """

    centre_lines: Mapping[str, Skeleton]
    aspect: float
    stroke: int
    wide_o: bool

    @property
    def name(self) -> str:
        """What the font is called in a plate's truth."""
        return "die"

    def glyph(self, character: str) -> Alpha:
        """The ink of one of ALPHABET, float32 of shape (GLYPH_HEIGHT, width), 0 to 1."""
        paths = self.centre_lines[character]
        height = GLYPH_HEIGHT - self.stroke
        width = self.aspect * height * self._relative_width(character, paths)
        canvas = np.zeros((GLYPH_HEIGHT, round(width) + self.stroke), np.uint8)
        for path in paths:
            points = np.array(path) * (width, height) + (self.stroke - 1) / 2
            cv2.polylines(
                canvas,
                [np.round(points * 16).astype(np.int32)],
                False,
                255,
                self.stroke,
                cv2.LINE_AA,
                4,
            )
        return _crop_columns(canvas.astype(np.float32) / 255)

    def _relative_width(self, character: str, paths: Skeleton) -> float:
        if character in "MW":
            return 1.3
        if character == "O" and self.wide_o:
            return 1.18
        if character in "1I":
            return 0.7 if len(paths) > 1 else 0.6
        return 1.0


@dataclass(frozen=True)
class TrueTypeFont:
    """A font file whose capitals and digits are stretched to one height, as dies are."""

    path: str

    @property
    def name(self) -> str:
        """What the font is called in a plate's truth."""
        return Path(self.path).stem

    def glyph(self, character: str) -> Alpha:
        """The ink of one of ALPHABET, float32 of shape (GLYPH_HEIGHT, width), 0 to 1."""
        return _truetype_glyph(self.path, character)


@lru_cache(maxsize=4096)
def _truetype_glyph(path: str, character: str) -> Alpha:
    font = ImageFont.truetype(path, 2 * GLYPH_HEIGHT)
    left, top, right, bottom = font.getbbox(character)
    # Each glyph's own ink fills the height, as on dies: type lets J and Q hang below the line.
    picture = Image.new("L", (int(right - left), int(bottom - top)), 0)
    ImageDraw.Draw(picture).text((-left, -top), character, font=font, fill=255)
    ink = np.asarray(picture, np.float32) / 255
    width = max(2, round(ink.shape[1] * GLYPH_HEIGHT / ink.shape[0]))
    resized = cv2.resize(ink, (width, GLYPH_HEIGHT), interpolation=cv2.INTER_AREA)
    return _crop_columns(resized)


def _crop_columns(ink: npt.NDArray[Any]) -> Alpha:
    columns = np.flatnonzero(ink.max(axis=0) > 0.1)
    return np.ascontiguousarray(ink[:, columns[0] : columns[-1] + 1], np.float32)


def random_die(rng: np.random.Generator) -> StrokeDie:
    """A die as a country might have cut it."""
    shape = DieShape(
        round_x=rng.uniform(0.2, 0.5),
        round_y=rng.uniform(0.1, 0.32),
        waist=rng.uniform(0.44, 0.5),
        hook=rng.uniform(0, 25),
        variants={character: float(rng.random()) for character in ALPHABET},
    )
    return StrokeDie(
        centre_lines=skeletons(shape),
        aspect=rng.uniform(0.38, 0.64),
        stroke=int(rng.integers(7, 14)),
        wide_o=bool(rng.random() < 0.5),
    )


class NoFontsError(RuntimeError):
    """None of the TrueType fonts that plates are rendered with is installed."""


@lru_cache(maxsize=1)
def installed_fonts() -> tuple[TrueTypeFont, ...]:
    """The fonts of FONT_FAMILIES that fontconfig finds, in the order of their paths.

    Raises:
        NoFontsError: there is none; the message names the Debian packages.
    """
    lines: Sequence[str] = ()
    if shutil.which("fc-list"):
        listing = ["fc-list", "--format", "%{file}\t%{family}\t%{style}\n"]
        lines = subprocess.run(listing, check=True, capture_output=True, text=True).stdout.split(
            "\n"
        )
    paths = set()
    for line in filter(None, lines):
        path, families, styles = line.split("\t")
        known = set(families.split(",")) & set(FONT_FAMILIES)
        if known and styles.split(",")[0] in FONT_STYLES:
            paths.add(path)
    if not paths:
        raise NoFontsError(
            f"fontconfig finds none of the plate fonts; on Debian: apt-get install fontconfig "
            f"{FONT_PACKAGES}"
        )
    return tuple(TrueTypeFont(path) for path in sorted(paths))
