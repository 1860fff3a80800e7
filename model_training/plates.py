"""Plates as their countries lay them out, drawn with full truth."""

from __future__ import annotations

import string
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import count

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

from lpr_core.geometry import Box
from lpr_core.recognize import ALPHABET
from model_training.artwork import Art, Canvas, Rgb, Shares, blend, draw, rounded_rectangle
from model_training.glyphs import (
    GLYPH_HEIGHT,
    Alpha,
    Font,
    StrokeDie,
    TrueTypeFont,
    random_die,
    random_font,
)
from model_training.layouts import (
    BLACK,
    LAYOUTS,
    WHITE,
    YELLOW,
    Band,
    Layout,
    Words,
)

HOLE = (70, 70, 72)

STACKED = "ld"
"""Marks of small characters that stand one on the other and are no part of the registration."""


@dataclass(frozen=True)
class CharacterTruth:
    """One character of a plate, the box of its ink in pixels of the plate, and its line from 0."""

    character: str
    box: Box
    line: int


@dataclass(frozen=True, eq=False)
class RenderedPlate:
    """A plate, new and seen from the front.

    Attributes:
        pixels: RGB, uint8 of shape (height, width, 3).
        alpha: float32 of shape (height, width), 0 where a rounded corner leaves what is behind the
            plate to be seen, else 1. The pixels go on there, so that it may be ignored.
        characters: in reading order.
        layout: what it was drawn by.
        dark_ink: the ink is darker than the paper.
        font: the name of the font.
    """

    pixels: npt.NDArray[np.uint8]
    alpha: Alpha
    characters: tuple[CharacterTruth, ...]
    layout: Layout
    dark_ink: bool
    font: str

    @property
    def text(self) -> str:
        """The characters without separators, top line first."""
        return "".join(truth.character for truth in self.characters)


def random_text(pattern: str, letters: str, rng: np.random.Generator) -> str:
    """A text after a pattern of `Layout.patterns`; separators and stacked marks are kept."""
    kinds = {
        "L": letters,
        "D": string.digits,
        "X": string.digits + letters,
        "A": string.ascii_uppercase,
    }
    return "".join(_one_of(kinds[c], rng) if c in kinds else c for c in pattern)


def _one_of(characters: str, rng: np.random.Generator) -> str:
    return characters[rng.integers(len(characters))]


def random_plates(
    seed: int,
    fonts: tuple[TrueTypeFont, ...] = (),
    layouts: Sequence[Layout] = LAYOUTS,
    numbers: Iterable[int] | None = None,
) -> Iterator[tuple[RenderedPlate, np.random.Generator]]:
    """A stream of random plates; each depends on the seed and its number alone.

    Args:
        seed: not negative.
        fonts: TrueType fonts to use beside random dies.
        layouts: what the plates may look like.
        numbers: of the plates; None: 0, 1, 2 … without end.

    Yields:
        the plate, and what is to decide all else about its item.
    """
    for number in count() if numbers is None else numbers:
        rng = np.random.default_rng([seed, number])
        layout = layouts[int(rng.integers(len(layouts)))]
        yield render_plate(layout, random_font(rng, fonts), rng), rng


def render_plate(
    layout: Layout, font: Font, rng: np.random.Generator, scale: float = 1.0
) -> RenderedPlate:
    """Draw a plate with a random text.

    Args:
        layout: one of LAYOUTS.
        font: draws the text; the small words take its faces or a die of their own.
        rng: decides text, colours and everything a layout leaves open.
        scale: pixels per millimetre.
    """
    width, height = (round(side * scale) for side in layout.size)
    paper, ink = (
        np.clip(np.add(colour, rng.normal(0, 12) + rng.normal(0, 4, 3)), 0, 255)
        for colour in layout.colours[rng.integers(len(layout.colours))]
    )
    canvas: Canvas = np.empty((height, width, 3), np.float32)
    for channel in range(3):
        canvas[..., channel] = paper[channel]
    small = font if font.faces else random_die(rng)
    bands = [band for band in layout.bands if rng.random() < band.chance]
    _background(canvas, layout, bands, small, ink, rng)
    alpha, characters = _set_text(canvas, layout, bands, font, small, rng)
    if rng.random() < layout.border:
        _border(canvas, layout, ink, rng)
    dark_ink = bool(np.mean(ink) < _mean_under(canvas, alpha))
    _emboss(canvas, alpha, ink, rng)
    _sheet(canvas, rng)
    for x, y in layout.holes:
        slot = (x - 0.025, y - 0.027, 0.05, 0.054)
        draw(canvas, Art("disc", (HOLE,), slot, rng.uniform(0.5, 1)), rng)
    return RenderedPlate(
        np.clip(canvas, 0, 255, out=canvas).astype(np.uint8),
        rounded_rectangle(height, width, round(layout.radius * scale)),
        characters,
        layout,
        dark_ink,
        font.name,
    )


def _background(
    canvas: Canvas,
    layout: Layout,
    bands: Sequence[Band],
    font: Font,
    ink: Rgb,
    rng: np.random.Generator,
) -> None:
    """All that is printed on the sheeting before the text is stamped."""
    for art in layout.art:
        draw(canvas, art, rng)
    for band in bands:
        _band(canvas, band, font, rng)
    for words in layout.words:
        _words(canvas, words, font, ink, rng)
    for sticker in layout.stickers:
        if rng.random() < 0.5:
            _sticker(canvas, sticker, font, rng)


def _set_text(
    canvas: Canvas,
    layout: Layout,
    bands: Sequence[Band],
    font: Font,
    small: Font,
    rng: np.random.Generator,
) -> tuple[Alpha, tuple[CharacterTruth, ...]]:
    """Set a random text: where its ink will be, and the truth; emblems are drawn at once."""
    height, width = canvas.shape[:2]
    line_height = round(layout.character_height * height * rng.uniform(0.96, 1.03))
    pattern = layout.patterns[rng.integers(len(layout.patterns))]
    lines = random_text(pattern, layout.letters, rng).split("/")
    tops = np.linspace(layout.top * height, layout.foot * height - line_height, max(2, len(lines)))
    if len(lines) == 1:
        tops = tops.mean(keepdims=True) + rng.normal(0, 0.008 * height, 1)
    spans = [_span(layout, bands, top / height) for top in tops]
    rooms = [(right - left) * width for left, right in spans]
    typeset = _typeset(layout, font, lines, line_height, rooms, rng)
    alpha: Alpha = np.zeros((height, width), np.float32)
    characters: list[CharacterTruth] = []
    for number, (line, top, span) in enumerate(zip(lines, tops, spans, strict=True)):
        x = (sum(span) * width - typeset.width(line)) / 2
        for place, character in enumerate(line):
            advance = typeset.advance(line, place)
            cell = Box(x, round(top), advance, line_height)
            if character in ALPHABET:
                box = Box(round(x), cell.y, typeset.ink_width(character), line_height)
                _stamp(alpha, typeset.font.glyph(character), box)
                characters.append(CharacterTruth(character, box, number))
            elif character == "*":
                _emblem(canvas, layout, cell, rng)
            elif character in STACKED:
                _stacked(alpha, line, place, cell, small, rng)
            else:
                _separator(alpha, character, cell)
            x += advance
    return alpha, tuple(characters)


def draw_words(canvas: Canvas, text: str, font: Font, box: Box, colour: Rgb) -> None:
    """Write small words into a box of an RGB canvas, as large as they fit, centred.

    Args:
        canvas: painted on in place.
        text: written in capitals; what the font lacks (all but ALPHABET and "-") is a gap.
        font: a die or a TrueType font.
        box: in pixels of the canvas; under 3 pixels of height nothing is written.
        colour: of the words.
    """
    _write(canvas, text.upper(), font, "", box, colour)


def _write(canvas: Canvas, text: str, font: Font, face: str, box: Box, colour: Rgb) -> None:
    """Write in one of the font's faces, in capitals of the font itself where it has none."""
    height = round(box.height)
    if height < 3 or not text:
        return
    path = font.faces.get(face)
    words = _die_words(text.upper(), font, height) if path is None else _face_words(text, path)
    shrink = min(box.height / words.shape[0], box.width / words.shape[1])
    size = max(1, round(words.shape[1] * shrink)), max(1, round(words.shape[0] * shrink))
    place = Box(
        round(box.x + (box.width - size[0]) / 2), round(box.y + (box.height - size[1]) / 2), *size
    )
    x0, y0 = max(0, int(place.x)), max(0, int(place.y))
    region = canvas[y0 : max(0, int(place.bottom)), x0 : max(0, int(place.right))]
    cover: Alpha = np.zeros(region.shape[:2], np.float32)
    _stamp(cover, words, Box(place.x - x0, place.y - y0, *size))
    blend(region, cover, colour)


def _die_words(text: str, font: Font, height: int) -> Alpha:
    gap = max(1, round(0.15 * height))
    columns: list[Alpha] = []
    for character in text:
        if character in ALPHABET:
            glyph = font.glyph(character)
            columns.append(
                _resized(glyph, max(1, round(glyph.shape[1] * height / GLYPH_HEIGHT)), height)
            )
            columns.append(np.zeros((height, gap), np.float32))
        else:
            columns.append(np.zeros((height, max(1, round(0.3 * height))), np.float32))
            if character == "-":
                columns[-1][round(0.42 * height) : round(0.58 * height)] = 1
    return np.concatenate(columns, axis=1)


@lru_cache
def _face(path: str) -> ImageFont.FreeTypeFont:
    return ImageFont.truetype(path, 36)


@lru_cache(maxsize=2048)
def _face_words(text: str, path: str) -> Alpha:
    font = _face(path)
    left, top, right, bottom = font.getbbox(text)
    picture = Image.new("L", (max(1, int(right - left)), max(1, int(bottom - top))), 0)
    ImageDraw.Draw(picture).text((-left, -top), text, font=font, fill=255)
    return np.asarray(np.asarray(picture, np.float32) / 255, np.float32)


def _span(layout: Layout, bands: Sequence[Band], top: float) -> tuple[float, float]:
    """Where a line that starts at `top` may begin and end; all in shares of the plate."""
    left, right = layout.span
    for band in bands:
        if top < band.height and band.right:
            right = min(right, 1 - band.width)
        elif top < band.height:
            left = max(left, band.width + 0.01)
    return left, right


@dataclass(frozen=True, eq=False)
class _Typeset:
    """The text of a plate fitted to its width: how much each mark takes."""

    font: Font
    layout: Layout
    height: int
    gap: float
    squeeze: float = 1.0

    def ink_width(self, character: str) -> int:
        glyph = self.font.glyph(character)
        return max(2, int(self.squeeze * glyph.shape[1] * self.height / glyph.shape[0] + 0.5))

    def advance(self, line: str, place: int) -> float:
        character = line[place]
        if character in ALPHABET:
            return self.ink_width(character) + self.squeeze * self.gap
        return self.squeeze * _mark_width(self.layout, line, place) * self.height

    def width(self, line: str) -> float:
        total = sum(self.advance(line, place) for place in range(len(line)))
        return total - (self.squeeze * self.gap if line[-1] in ALPHABET else 0)


def _mark_width(layout: Layout, line: str, place: int) -> float:
    """What a separator takes, in shares of the height; a stack takes its width but once."""
    character = line[place]
    if character in STACKED:
        return 0.0 if place + 1 < len(line) and line[place + 1] in STACKED else 0.42
    return {" ": layout.space, "-": layout.hyphen, ".": 0.26, "*": layout.emblem}[character]


def _typeset(
    layout: Layout,
    font: Font,
    lines: Sequence[str],
    height: int,
    rooms: Sequence[float],
    rng: np.random.Generator,
) -> _Typeset:
    """Fit every line to its room: the glyphs of a plate share one width, and its lines one gap."""
    gap = height * rng.uniform(*layout.gap)
    rooms = [room * layout.fill * rng.uniform(0.94, 1) for room in rooms]
    if isinstance(font, StrokeDie):
        # A die is cut as wide as it must be, with strokes as wide as before.
        shares = []
        for line, room in zip(lines, rooms, strict=True):
            glyphs = [c for c in line if c in ALPHABET]
            marks = (_mark_width(layout, line, i) for i, c in enumerate(line) if c not in ALPHABET)
            strokes = len(glyphs) * font.stroke / GLYPH_HEIGHT
            fixed = (strokes + sum(marks)) * height + gap * len(glyphs)
            between = sum(font.centre_width(c) for c in glyphs) * height / GLYPH_HEIGHT
            shares.append((room - fixed) / max(between, 1.0))
        font = font.widened(float(np.clip(min(shares), 0.5, 1.06)))
    typeset = _Typeset(font, layout, height, gap)
    squeeze = min(room / typeset.width(line) for line, room in zip(lines, rooms, strict=True))
    return replace(typeset, squeeze=float(np.clip(squeeze, 0.4, 1.1)))


def _resized(ink: Alpha, width: int, height: int) -> Alpha:
    method = cv2.INTER_AREA if height < ink.shape[0] else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(ink, (width, height), interpolation=method), np.float32)


def _stamp(alpha: Alpha, glyph: Alpha, box: Box) -> None:
    """Put a glyph into a box of the ink plane; what lies outside the plane is cut off."""
    x, y, width, height = (int(v) for v in (box.x, box.y, box.width, box.height))
    ink = _resized(glyph, width, height)
    x0, y0 = max(x, 0), max(y, 0)
    target = alpha[y0 : max(y + height, 0), x0 : max(x + width, 0)]
    source = ink[y0 - y : y0 - y + target.shape[0], x0 - x : x0 - x + target.shape[1]]
    np.maximum(target, source, out=target)


def _separator(alpha: Alpha, character: str, cell: Box) -> None:
    if character == "-":
        left, right = round(cell.x + 0.03 * cell.height), round(cell.right - 0.12 * cell.height)
        y = round(cell.y + 0.46 * cell.height)
        thickness = max(1, round(0.1 * cell.height))
        cv2.rectangle(alpha, (left, y), (right, y + thickness), 1.0, -1)
    elif character == ".":
        centre = (round(cell.x + 0.4 * cell.width), round(cell.y + 0.5 * cell.height))
        cv2.circle(alpha, centre, max(1, round(0.07 * cell.height)), 1.0, -1, cv2.LINE_AA)


def _stacked(
    alpha: Alpha, line: str, place: int, cell: Box, font: Font, rng: np.random.Generator
) -> None:
    """One of some small characters that stand one on the other."""
    first = last = place
    while first > 0 and line[first - 1] in STACKED:
        first -= 1
    while last + 1 < len(line) and line[last + 1] in STACKED:
        last += 1
    rows = last - first + 1
    row_height = cell.height / max(rows, 2)
    kinds = {"l": string.ascii_uppercase, "d": string.digits}
    glyph = font.glyph(_one_of(kinds[line[place]], rng))
    height = max(2, round(0.88 * row_height))
    top = cell.y + (place - first) * row_height + (0 if rows > 1 else 0.25 * cell.height)
    width = max(1, min(round(glyph.shape[1] * height / GLYPH_HEIGHT), round(0.32 * cell.height)))
    _stamp(alpha, glyph, Box(round(cell.x), round(top), width, height))


def _emblem(canvas: Canvas, layout: Layout, cell: Box, rng: np.random.Generator) -> None:
    """A seal, arms or a state's emblem between the groups."""
    if not layout.emblems:
        return
    emblem = layout.emblems[rng.integers(len(layout.emblems))]
    across = cell.width - 0.1 * cell.height
    tall = emblem.kind in ("seals", "pine", "rider", "glyph")
    down = min(cell.height * (0.98 if tall else 0.8), across * (2.1 if tall else 1.3))
    top = cell.y + (cell.height - down) / 2 + rng.normal(0, 0.02) * cell.height
    height, width = canvas.shape[:2]
    box = (cell.x / width, top / height, across / width, down / height)
    draw(canvas, Art(emblem.kind, emblem.colours, box, emblem.strength), rng)


def _box(shares: Shares, canvas: Canvas) -> Box:
    height, width = canvas.shape[:2]
    left, top, across, down = shares
    return Box(left * width, top * height, across * width, down * height)


def _band(canvas: Canvas, band: Band, font: Font, rng: np.random.Generator) -> None:
    height, width = canvas.shape[:2]
    left = 1 - band.width if band.right else 0.0
    draw(canvas, Art("rows", (band.colour,), (left, 0.0, band.width, band.height)), rng)
    across, down = band.width * width, band.height * height
    if band.mark == "stars":
        centre = (left + band.width / 2) * width, 0.3 * down
        for angle in np.arange(12) * np.pi / 6:
            star = np.add(centre, 0.3 * across * np.array([np.sin(angle), np.cos(angle)]))
            cv2.circle(canvas, star.round().astype(int).tolist(), max(1, height // 70), YELLOW, -1)
    elif band.mark:
        mark = left + 0.2 * band.width, 0.16 * band.height, 0.6 * band.width, 0.6 * across / height
        draw(canvas, Art(band.mark, band.mark_colours, mark), rng)
    rows = band.letters[rng.integers(len(band.letters))].split("/")
    top, share = (0.58, 0.3) if band.mark else (0.15, 0.7)
    row_height = share / len(rows) * down
    for number, row in enumerate(rows):
        box = Box(
            left * width + 0.12 * across,
            top * down + number * row_height,
            0.76 * across,
            0.85 * row_height,
        )
        _write(canvas, row, font, "bold", box, band.ink)


def _words(canvas: Canvas, words: Words, font: Font, ink: Rgb, rng: np.random.Generator) -> None:
    if words.colours:
        ink = words.colours[rng.integers(len(words.colours))]
    text = words.texts[rng.integers(len(words.texts))]
    _write(canvas, text, font, words.face, _box(words.box, canvas), ink)


MONTHS = ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC")


def _sticker(canvas: Canvas, place: Shares, font: Font, rng: np.random.Generator) -> None:
    """A sticker of the month or the year."""
    colour = np.array(rng.uniform(40, 255, 3) if rng.random() < 0.7 else WHITE)
    box = _box(place, canvas)
    x0, y0, x1, y1 = (round(v) for v in (box.x, box.y, box.right, box.bottom))
    canvas[max(0, y0) : y1, max(0, x0) : x1] = colour
    ink = BLACK if colour.mean() > 120 else WHITE
    text = str(rng.choice(MONTHS)) if rng.random() < 0.4 else random_text("DD", "", rng)
    inner = Box(
        box.x + 0.1 * box.width, box.y + 0.15 * box.height, 0.8 * box.width, 0.7 * box.height
    )
    _write(canvas, text, font, "bold", inner, ink)


def _border(canvas: Canvas, layout: Layout, ink: Rgb, rng: np.random.Generator) -> None:
    """A line around the plate, embossed as the text is."""
    height, width = canvas.shape[:2]
    inset = round(rng.uniform(0, 0.03) * height)
    line = max(1, round(rng.uniform(0.012, 0.03) * height))
    radius = round(layout.radius * height / layout.size[1])
    frame = np.zeros((height, width), np.float32)
    frame[inset : height - inset, inset : width - inset] = rounded_rectangle(
        height - 2 * inset, width - 2 * inset, radius
    )
    inside = inset + line
    frame[inside : height - inside, inside : width - inside] -= rounded_rectangle(
        height - 2 * inside, width - 2 * inside, max(1, radius - line)
    )
    colour = ink if layout.border_colour is None else layout.border_colour
    blend(canvas, frame, colour)


def _mean_under(canvas: Canvas, alpha: Alpha) -> float:
    """How bright the canvas is where the text will be."""
    ys, xs = np.nonzero(alpha[::4, ::4] > 0.5)
    return float(canvas[::4, ::4][ys, xs].mean()) if len(ys) else float(canvas.mean())


def _emboss(canvas: Canvas, alpha: Alpha, ink: Rgb, rng: np.random.Generator) -> None:
    """Lay the ink on raised characters: lit and shaded edges, ink rolled on unevenly."""
    inked = np.flatnonzero(alpha.any(axis=1))
    reach = max(1, round(len(alpha) / 80))
    rows = slice(max(0, inked[0] - reach), inked[-1] + 1 + reach)
    alpha, part = alpha[rows], canvas[rows]
    relief = rng.normal(0, 30) * (np.roll(alpha, (reach, reach), axis=(0, 1)) - alpha)
    for channel in range(3):
        part[..., channel] += relief
    if rng.random() < 0.5:
        # The roller leaves thin places.
        coarse = 1 - rng.uniform(0, 0.15) * rng.random((3, 9), np.float32)
        alpha = alpha * cv2.resize(
            coarse, alpha.shape[::-1], interpolation=cv2.INTER_LINEAR
        ).astype(np.float32)
    blend(part, alpha, ink)


@lru_cache(maxsize=1)
def _sheeting() -> npt.NDArray[np.float32]:
    """Retroreflective sheeting: its cells, and a watermark of slanting waves; (2, 512, 1024)."""
    grain = np.random.default_rng(0).normal(0, 1, (512, 1024)).astype(np.float32)
    y, x = np.indices(grain.shape, np.float32)
    waves = np.sin((x + 12 * np.sin(y / 19)) / 9)
    return np.stack([cv2.GaussianBlur(grain, (0, 0), 0.6) * 2, waves], axis=0)


def _sheet(canvas: Canvas, rng: np.random.Generator) -> None:
    """The texture of the sheeting over everything."""
    height, width = canvas.shape[:2]
    grain, waves = _sheeting()
    if height > grain.shape[0] or width > grain.shape[1]:
        return  # drawn so large that it will be shrunk, and the texture with it
    y, x = rng.integers(grain.shape[0] - height + 1), rng.integers(grain.shape[1] - width + 1)
    texture = rng.uniform(0, 3) * grain[y : y + height, x : x + width]
    if rng.random() < 0.3:
        texture = texture + rng.uniform(1, 5) * waves[y : y + height, x : x + width]
    for channel in range(3):
        canvas[..., channel] += texture
