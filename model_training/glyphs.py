"""What plates are stamped with: single-stroke dies and the TrueType fonts at hand."""

from __future__ import annotations

import math
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
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

FACES = {
    "sans": ("DejaVu Sans", "Book"),
    "bold": ("DejaVu Sans", "Bold"),
    "condensed": ("DejaVu Sans", "Condensed Bold"),
    "oblique": ("DejaVu Sans", "Bold Oblique"),
    "serif": ("DejaVu Serif", "Book"),
    "serif-bold": ("DejaVu Serif", "Condensed Bold"),
    "italic": ("DejaVu Serif", "Italic"),
    "script": ("DejaVu Serif", "Condensed Bold Italic"),
}
"""Family and style of what the small words on plates are set in; nothing freer is at hand."""

DIE_SHARE = 0.6
"""Share of plates stamped with a random die; the others take a TrueType font."""

FONT_STYLES = ("Regular", "Bold", "Book", "Condensed", "Condensed Bold", "DIN", "Heavy")
"""Upright styles of those families, as fontconfig names them."""

FONT_PACKAGES = (
    "fonts-roadgeek fonts-opendin fonts-ocr-b fonts-national-park fonts-bebas-neue fonts-b612 "
    "fonts-dejavu"
)
"""Debian packages that hold FONT_FAMILIES and FACES."""

OVERSIZE = 2
"""Dies are drawn so much larger, and shrunk."""

Path2D = list[tuple[float, float]]
Skeleton = list[Path2D]
"""Polylines of a glyph in the unit square: x to the right, y down."""


class Font(Protocol):
    """Something that draws the 36 characters of a plate."""

    @property
    def name(self) -> str:
        """What the font is called in a plate's truth."""

    @property
    def faces(self) -> Mapping[str, str]:
        """Font files for the small words beside the characters, by the keys of FACES."""

    def glyph(self, character: str) -> Alpha:
        """The ink of one of ALPHABET, float32 of shape (GLYPH_HEIGHT, width), cropped in width."""


@dataclass(frozen=True)
class DieShape:
    """What tells one stamping die from another.

    Attributes:
        round_x, round_y: radii of the corners, in shares of the glyph's width and height.
        waist: height of the bar of B, R, 3, 8 …, 0 (top) to 1.
        hook: how far open strokes turn in at their ends, degrees.
        bar: height of the bars of E, F and H.
        variants: for each character with several usual forms, which one (0 to 1).
    """

    round_x: float
    round_y: float
    waist: float
    hook: float
    bar: float
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
    # On most dies O, 0 and Q are rounder than D; on others, as Brazil's, their right side is D's.
    o_rx, o_ry = (max(rx, 0.34), max(ry, 0.16)) if pick["O"] < 0.6 else (rx, ry)
    round_corner = _arc(1 - o_rx, o_ry, o_rx, o_ry, -90, 0)
    half_o = [(0.5, 0.0), *round_corner, *[(x, 1 - y) for x, y in round_corner[::-1]], (0.5, 1.0)]
    o_ring = [*half_o, *_mirror(half_o)[::-1]]
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
        (0.35, [[(0.62, 1), (0.62, 0), (0.12, 0.22)]]),
        (0.65, [[(0.62, 1), (0.62, 0), (0.3, 0.1)]]),
        (0.87, [[(0.5, 1), (0.5, 0), (0.08, 0.2)], [(0, 1), (1, 1)]]),
        (1.0, [[(0.5, 0), (0.5, 1)]]),  # rarer: on most dies a bare bar is the letter I
    )
    w_foot, w_peak = 0.04 + 0.2 * pick["W"], 0.6 * pick["V"]
    m_foot = 0.1 * pick["N"] if pick["M"] < 0.3 else 0.0
    low = 0.68 + 0.12 * pick["H"]
    a_bar = 0.58 + 0.18 * pick["H"]
    flat = 0.15 if pick["A"] < 0.4 else 0.0

    def leg(height: float) -> float:
        """How far from the middle the legs of A stand at a height."""
        return flat + (0.5 - flat) * height

    lower_right = _arc(1 - rx, 1 - ry, rx, ry, 0, 90)
    j_curve = [*lower_right, *hook_out_bottom_left()]
    u_curve = [(0.0, 0.0), *_mirror(lower_right), *lower_right[::-1], (1.0, 0.0)]
    tails: tuple[tuple[float, Path2D], ...] = (
        (0.5, [(0.55, 0.7), (1, 1)]),
        (0.75, [(0.5, 0.78), (0.72, 1)]),
        (1.0, [(0.7, 0.8), (1.05, 1.0)]),
    )
    r_legs: tuple[tuple[float, Path2D], ...] = (
        (0.5, [(0.45, lower_bar), (1, 1)]),
        (0.75, [(0.2, lower_bar), (1, 1)]),
        (1.0, [(0.55, lower_bar), (0.88, lower_bar + 0.1), (1, lower_bar + 0.25), (1, 1)]),
    )
    top_curve_3 = _arc(rx, radius(0, waist), rx, radius(0, waist), 180 + hook, 270)
    return {
        "0": [o_ring, *([[(0.72, 0.3), (0.28, 0.7)]] if pick["0"] < 0.03 else [])],
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
            [*top_curve_3, *right(0, waist, 0.5)]
            if pick["3"] < 0.8
            else [(0.05, 0), (0.95, 0), (0.45, waist)],
            [*right(waist, 1, 0.5), *hook_out_bottom_left(waist)],
        ],
        "4": [[(0.76, 1), (0.76, 0), (0, a_bar), (1, a_bar)]]
        if pick["4"] < 0.55
        else [[(0.4 + 0.25 * pick["D"], 0), (0, low), (1, low)], [(0.72, low - 0.25), (0.72, 1)]],
        "5": [
            [
                (0.94, 0),
                (0.12, 0),
                (0.05, waist - 0.03),
                *right(waist - 0.05, 1, 0.5),
                *hook_out_bottom_left(waist),
            ]
        ],
        "6": six,
        "7": [[(0, 0), (1, 0), (0.15 + 0.4 * pick["7"], 1)]]
        if pick["7"] < 0.75
        else [[(0, 0), (1, 0), (1, 0.14), (0.62, 0.46), (0.46, 0.7), (0.4, 1)]],
        "8": [ring(0, waist, 0.08 * pick["8"]), ring(waist, 1)],
        "9": [_turn(path) for path in six],
        "A": [
            [(0, 1), (0.5 - flat, 0), *([(0.5 + flat, 0)] if flat else []), (1, 1)],
            [(0.5 - leg(a_bar), a_bar), (0.5 + leg(a_bar), a_bar)],
        ],
        "B": [
            [(0, waist), (0, 0), *[(0.96 * x, y) for x, y in right(0, waist, 0.4)], (0, waist)],
            [(0, waist), *right(waist, 1, 0.4), (0, 1), (0, waist)],
        ],
        "C": [[*c_curve, *_arc(1 - rx, 1 - ry, rx, ry, 90, hook)]],
        "D": [[(0, 0), *right(0, 1, 0.3), (0, 1), (0, 0)]],
        "E": [
            [(1, 0), (0, 0), (0, 1), (1, 1)],
            [(0, shape.bar), (0.66 + 0.3 * pick["E"], shape.bar)],
        ],
        "F": [
            [(1, 0), (0, 0), (0, 1)],
            [(0, shape.bar + 0.02), (0.66 + 0.3 * pick["E"], shape.bar + 0.02)],
        ],
        "G": [
            [
                *c_curve,
                *_arc(1 - rx, 1 - ry, rx, ry, 90, 0),
                (1, 0.5 + 0.1 * pick["C"]),
                (0.45 + 0.25 * pick["G"], 0.5 + 0.1 * pick["C"]),
            ]
        ],
        "H": [stem, _mirror(stem), [(0, shape.bar), (1, shape.bar)]],
        "I": [[(0.5, 0), (0.5, 1)], *(serif_bars if pick["I"] < 0.5 else [])],
        "J": [[*([(0.5, 0)] if pick["J"] < 0.25 else []), (1, 0), *j_curve]],
        "K": [stem, [(1, 0), (0, 0.6)], [(0.3, 0.42), (1, 1)]]
        if pick["K"] < 0.6
        else [stem, [(1, 0), (0.2, 0.5), (1, 1)], [(0, 0.5), (0.2, 0.5)]],
        "L": [[(0, 0), (0, 1), (1, 1)]],
        "M": [[(0, 1), (m_foot, 0), (0.5, 0.4 + 0.6 * pick["K"]), (1 - m_foot, 0), (1, 1)]],
        "N": [[(0, 1), (0, 0), (1, 1), (1, 0)]],
        "O": [o_ring],
        "P": [p_bowl],
        "Q": [o_ring, next(tail for until, tail in tails if pick["Q"] < until)],
        "R": [p_bowl, next(path for until, path in r_legs if pick["R"] < until)],
        "S": [
            [
                *hook_in_top_right(waist),
                *left(0, waist, 0.5),
                *right(waist, 1, 0.5),
                *hook_out_bottom_left(waist),
            ]
        ],
        "T": [[(0, 0), (1, 0)], [(0.5, 0), (0.5, 1)]],
        "U": [u_curve],
        "V": [[(0, 0), (0.5, 1), (1, 0)]],
        "W": [[(0, 0), (w_foot, 1), (0.5, w_peak), (1 - w_foot, 1), (1, 0)]]
        if pick["W"] < 0.92
        else [u_curve, [(0.5, 0.25), (0.5, 1)]],
        "X": [[(0, 0), (1, 1)], [(1, 0), (0, 1)]],
        "Y": [
            [(0, 0), (0.5, 0.4 + 0.2 * pick["Y"]), (1, 0)],
            [(0.5, 0.4 + 0.2 * pick["Y"]), (0.5, 1)],
        ],
        "Z": [[(0, 0), (1, 0), (0, 1), (1, 1)]],
    }


@dataclass(frozen=True, eq=False)
class StrokeDie:
    """A die whose glyphs are one stroke of nearly even width.

    Attributes:
        centre_lines: the polylines of each glyph.
        aspect: a glyph's width over its height, between the stroke's centres.
        stroke: the upright stroke's width in pixels of GLYPH_HEIGHT.
        contrast: the lying strokes' width over the upright ones'.
        square: strokes end square and turn sharp, else both are round.
        wide: relative widths of characters that are not as wide as the others.
        faces: see Font.
    """

    centre_lines: Mapping[str, Skeleton]
    aspect: float
    stroke: float
    contrast: float = 1.0
    square: bool = False
    wide: Mapping[str, float] = field(default_factory=dict)
    faces: Mapping[str, str] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """What the font is called in a plate's truth."""
        return "die"

    def glyph(self, character: str) -> Alpha:
        """The ink of one of ALPHABET, float32 of shape (GLYPH_HEIGHT, width), 0 to 1."""
        return _die_glyph(self, character)

    def centre_width(self, character: str) -> float:
        """From the middle of a glyph's left stroke to that of its right one, pixels."""
        narrow = 0.6 if character in "1I" else 1.0
        if narrow < 1 and len(self.centre_lines[character]) > 1:
            narrow = 0.7
        return self.aspect * GLYPH_HEIGHT * self.wide.get(character, narrow)

    def widened(self, share: float) -> StrokeDie:
        """The same die cut wider or narrower, its stroke as wide as before."""
        return replace(self, aspect=self.aspect * share)


@lru_cache(maxsize=512)
def _die_glyph(die: StrokeDie, character: str) -> Alpha:
    paths, stroke = die.centre_lines[character], die.stroke
    stroke *= OVERSIZE
    # Drawn higher and squashed, lying strokes come out thinner than upright ones.
    height = OVERSIZE * GLYPH_HEIGHT / die.contrast
    width = OVERSIZE * die.centre_width(character)
    pad = 0.8 * stroke  # for the corners of slanting strokes; cropped again
    scale = np.array([max(width, 1.0), height - stroke])
    columns = math.ceil((width + stroke + 2 * pad) / OVERSIZE)
    canvas = np.zeros((round(height), columns * OVERSIZE), np.uint8)
    # OpenCV draws a smooth line of an even thickness 1.4 pixels wider (of an odd one, 2.4).
    thickness = max(2, 2 * round((stroke - 1.4) / 2))
    for path in paths:
        points = np.array(path) * scale + (pad + (stroke - 1) / 2, (stroke - 1) / 2)
        cv2.polylines(canvas, [_sixteenths(points)], False, 255, thickness, cv2.LINE_AA, 4)
        if die.square:
            for corners in _square_corners(np.array(path), points, stroke):
                cv2.fillConvexPoly(canvas, _sixteenths(corners), 255, cv2.LINE_AA, 4)
    glyph = cv2.resize(canvas, (columns, GLYPH_HEIGHT), interpolation=cv2.INTER_AREA)
    return _crop_columns(glyph.astype(np.float32) / 255)


def _sixteenths(points: npt.NDArray[np.float64]) -> npt.NDArray[np.int32]:
    return np.round(points * 16).astype(np.int32)


def _square_corners(
    path: npt.NDArray[np.float64], points: npt.NDArray[np.float64], stroke: float
) -> Iterator[npt.NDArray[np.float64]]:
    """What a round stroke lacks to be square: its ends and the tips of its sharp turns."""
    half = stroke / 2
    steps = np.diff(points, axis=0)
    lengths = np.hypot(steps[:, 0], steps[:, 1])
    ahead = steps / np.maximum(lengths, 1e-6)[:, None]
    for end, way, share in ((points[0], -ahead[0], path[0]), (points[-1], ahead[-1], path[-1])):
        if share[1] in (0, 1) and abs(way[1]) > 0.3:
            # As far as both its corners are past the glyph's top or foot, which cuts them level.
            reach = min(half * (1 + abs(way[0])) / abs(way[1]), 1.6 * stroke)
        elif np.abs(way).max() > 0.99 or np.abs(share - 0.5).max() > 0.37:
            reach = half
        else:
            continue  # it meets another stroke inside the glyph
        side = half * np.array([-way[1], way[0]])
        tip = end + reach * way
        yield np.array([end + side, tip + side, tip - side, end - side])
    before, after = ahead[:-1], ahead[1:]
    turns = before[:, 0] * after[:, 1] - before[:, 1] * after[:, 0]
    cosines = (before * after).sum(axis=1)
    for i in np.flatnonzero((np.abs(turns) > 0.5) | (cosines < 0)):  # 30 degrees and more
        outside = -np.sign(turns[i]) * half
        corner = points[i + 1]
        first = corner + outside * np.array([-before[i, 1], before[i, 0]])
        second = corner + outside * np.array([-after[i, 1], after[i, 0]])
        tangent = math.sqrt((1 - cosines[i]) / max(1 + cosines[i], 0.05))
        reach = min(half * tangent, 1.6 * stroke)
        yield np.array(
            [corner, first, first + reach * before[i], second - reach * after[i], second]
        )


@dataclass(frozen=True)
class TrueTypeFont:
    """A font file whose capitals and digits are stretched to one height, as dies are."""

    path: str

    @property
    def name(self) -> str:
        """What the font is called in a plate's truth."""
        return Path(self.path).stem

    @property
    def faces(self) -> Mapping[str, str]:
        """See Font: those that fontconfig finds."""
        return installed_faces()

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


def random_die(rng: np.random.Generator, faces: Mapping[str, str] | None = None) -> StrokeDie:
    """A die as a country might have cut it, with faces for the words beside its characters."""
    round_x = rng.uniform(0.2, 0.5)
    shape = DieShape(
        round_x=round_x,
        # Narrow dies turn in a quarter circle, wide ones in what looks like half of one.
        round_y=rng.uniform(0.08, 0.2) if rng.random() < 0.4 else rng.uniform(0.2, 0.36),
        waist=rng.uniform(0.44, 0.5),
        hook=rng.uniform(0, 25),
        bar=rng.uniform(0.44, 0.52),
        variants={character: float(rng.random()) for character in ALPHABET},
    )
    wide = {character: float(rng.uniform(0.9, 1.05)) for character in "EFLJPST"}
    wide |= dict.fromkeys("MW", float(rng.uniform(1.05, 1.4)))
    if rng.random() < 0.5:
        wide["O"] = float(rng.uniform(1.05, 1.2))
    return StrokeDie(
        centre_lines=skeletons(shape),
        aspect=rng.uniform(0.34, 0.54),
        stroke=float(rng.uniform(6.5, 12.5)),
        contrast=float(rng.uniform(0.8, 1)) if rng.random() < 0.5 else 1.0,
        square=bool(rng.random() < 0.5),
        wide=wide,
        faces={} if faces is None else faces,
    )


def random_font(rng: np.random.Generator, fonts: tuple[TrueTypeFont, ...]) -> Font:
    """A random die or one of the fonts (always a die, and bare of faces, where there are none)."""
    if not fonts:
        return random_die(rng)
    if rng.random() < DIE_SHARE:
        return random_die(rng, installed_faces())
    return fonts[rng.integers(len(fonts))]


class NoFontsError(RuntimeError):
    """None of the TrueType fonts that plates are rendered with is installed."""


@lru_cache(maxsize=1)
def installed_fonts() -> tuple[TrueTypeFont, ...]:
    """The fonts of FONT_FAMILIES that fontconfig finds, in the order of their paths.

    Raises:
        NoFontsError: there is none; the message names the Debian packages.
    """
    paths = {
        path
        for families, style, path in _font_files()
        if families & set(FONT_FAMILIES) and style in FONT_STYLES
    }
    if not paths:
        raise NoFontsError(
            f"fontconfig finds none of the plate fonts; on Debian: apt-get install fontconfig "
            f"{FONT_PACKAGES}"
        )
    return tuple(TrueTypeFont(path) for path in sorted(paths))


@lru_cache(maxsize=1)
def installed_faces() -> Mapping[str, str]:
    """The files of those FACES that fontconfig finds."""
    listed = {
        (family, style): path for families, style, path in _font_files() for family in families
    }
    return {face: listed[font] for face, font in FACES.items() if font in listed}


def _font_files() -> list[tuple[set[str], str, str]]:
    """Families, style and path of every font file; nothing where there is no fontconfig."""
    if not shutil.which("fc-list"):
        return []
    listing = ["fc-list", "--format", "%{family}\t%{style}\t%{file}\n"]
    lines = subprocess.run(listing, check=True, capture_output=True, text=True).stdout.splitlines()
    rows = (line.split("\t") for line in sorted(filter(None, lines)))
    return [(set(families.split(",")), style.split(",")[0], path) for families, style, path in rows]
