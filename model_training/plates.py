"""Plates as their countries lay them out, drawn with full truth."""

from __future__ import annotations

import string
from collections.abc import Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np
import numpy.typing as npt

from lpr_core.geometry import Box
from lpr_core.recognize import ALPHABET
from model_training.glyphs import Alpha, Font, random_die

Colour = tuple[int, int, int]
"""RGB, 0 to 255."""

Canvas = npt.NDArray[np.float32]
"""RGB, float32 of shape (height, width, 3), 0 to 255."""

BLACK, WHITE, RED, GREY = (20, 20, 24), (238, 238, 232), (178, 24, 32), (176, 178, 180)
YELLOW, BLUE, GREEN, NAVY = (240, 196, 40), (24, 62, 150), (20, 104, 64), (30, 44, 110)
EU_BLUE, CREAM, SKY = (16, 62, 158), (240, 228, 196), (190, 214, 236)


@dataclass(frozen=True)
class Layout:
    """How one kind of plate is laid out.

    Attributes:
        name: what the truth calls it, country first.
        country: as in the `country` column of the truth.
        size: width and height in millimetres.
        patterns: what may stand on it: L a letter, D a digit, X either, "-" and "." themselves,
            "*" a seal or emblem, " " a gap, "/" the end of a line; one of them is drawn.
        character_height: in shares of the plate's height.
        colours: pairs of paper and ink; one of them is used.
        top, foot: where the first line's top and the last line's foot lie, in shares of the height.
        band: letters on a blue band at the left; None: no band.
        band_right: there is a second band at the right.
        headings, footings: small words above and below; one of them is used, "" is none.
        heading_band: colour of a bar behind the heading.
        stickers: validity stickers may be in the corners.
        artwork: a picture may lie under the text.
        fill: share of the width that the text may take.
        letters: those that the country uses.
    """

    name: str
    country: str
    size: tuple[int, int]
    patterns: tuple[str, ...]
    character_height: float
    colours: tuple[tuple[Colour, Colour], ...]
    top: float = 0.15
    foot: float = 0.85
    band: str | None = None
    band_right: bool = False
    headings: tuple[str, ...] = ()
    footings: tuple[str, ...] = ()
    heading_band: Colour | None = None
    stickers: bool = False
    artwork: bool = False
    fill: float = 0.95
    letters: str = string.ascii_uppercase


STATES = (
    "ALABAMA",
    "ALASKA",
    "ARIZONA",
    "CALIFORNIA",
    "COLORADO",
    "FLORIDA",
    "GEORGIA",
    "IDAHO",
    "ILLINOIS",
    "IOWA",
    "KANSAS",
    "MAINE",
    "NEVADA",
    "OHIO",
    "OREGON",
    "TEXAS",
    "UTAH",
    "VERMONT",
    "VIRGINIA",
    "WYOMING",
)
SLOGANS = ("GARDEN STATE", "FAMOUS RIVERS", "THE BIG SKY", "LAND OF LAKES", "DISCOVER", "PEACHES")
TOWNS = ("PR CURITIBA", "SP SAO PAULO", "RJ NITEROI", "BA SALVADOR", "MG OURO PRETO")

NO_IO = "ABCDEFGHJKLMNPQRSTUVWXYZ"
NO_IOQ = "ABCDEFGHJKLMNPRSTUVWXYZ"
BLACK_ON_WHITE = ((WHITE, BLACK),)
WHITE_OR_YELLOW = ((WHITE, BLACK), (YELLOW, BLACK))

EU = Layout(
    "eu-plain",
    "eu",
    (520, 110),
    ("LLL DDD", "LL DDD LL", "DDDD LL", "XXXXXX"),
    0.68,
    ((WHITE, BLACK), (BLACK, WHITE), (WHITE, GREEN)),
    top=0.16,
    foot=0.84,
)
US = Layout(
    "us",
    "us",
    (305, 152),
    ("LLL DDDD", "DLLLDDD", "LLL-DDD", "DDD LLL", "LLL*DDDD"),
    0.46,
    ((WHITE, NAVY), (WHITE, BLACK), (CREAM, (120, 30, 30)), (SKY, NAVY)),
    top=0.3,
    foot=0.78,
    headings=STATES,
    footings=("", *SLOGANS),
    stickers=True,
    letters=NO_IOQ,
)
GB = Layout(
    "gb",
    "gb",
    (520, 111),
    ("LLDD LLL",),
    0.71,
    WHITE_OR_YELLOW,
    band="GB",
    letters="ABCDEFGHJKLMNOPRSTUVWXYZ",
)
BR = Layout(
    "br",
    "br",
    (400, 130),
    ("LLL-DDDD", "LLL.DDDD"),
    0.49,
    ((GREY, BLACK),),
    top=0.36,
    foot=0.87,
    headings=TOWNS,
    fill=0.92,
)


def _eu(name: str, *patterns: str, letters: str = string.ascii_uppercase) -> Layout:
    """A long plate of a country of the European Union, black on white."""
    return replace(
        EU,
        name=name,
        country=name,
        patterns=patterns,
        colours=BLACK_ON_WHITE,
        band=name.upper(),
        letters=letters,
    )


LAYOUTS: tuple[Layout, ...] = (
    # FZV Anlage 4: 520 × 110 mm, characters 75 mm.
    replace(_eu("de", "L*LL DDDD", "LL*LL DDD", "LLL*L DDD", "L*L DDDD", "LL*L DDDD"), band="D"),
    # The Road Vehicles (Display of Registration Marks) Regulations 2001: 79 mm, yellow at the rear.
    GB,
    replace(GB, name="gb-plain", patterns=("LLDD LLL", "LDDD LLL"), band=None),
    # Arrêté du 9 février 2009: SIV, bands at both ends.
    replace(_eu("fr", "LL-DDD-LL", letters="ABCDEFGHJKLMNPQRSTVWXYZ"), band="F", band_right=True),
    replace(_eu("it", "LL DDDLL", letters="ABCDEFGHJKLMNPRSTVWXYZ"), band="I", band_right=True),
    # Regeling kentekens en kentekenplaten: yellow, sidecodes of three groups.
    replace(
        _eu("nl", "LL-DDD-L", "DD-LLL-D", "D-LLL-DD", "LL-LL-DD", letters="BDFGHJKLNPRSTVXZ"),
        colours=((YELLOW, BLACK),),
    ),
    # Arrêté royal du 20 juillet 2001: ruby red on white since 2010.
    replace(_eu("be", "D-LLL-DDD"), colours=((WHITE, RED),), band="B"),
    replace(_eu("es", "DDDD LLL", letters="BCDFGHJKLMNPRSTVWXYZ"), band="E"),
    replace(_eu("pl", "LL DDDDD", "LLL LDDD", "LLL DDDD"), size=(520, 114)),
    _eu("ro", "LL DD LLL", "L DDD LLL", letters=NO_IOQ),
    _eu("sk", "LL*DDDLL"),
    EU,
    # Directive-sized motorcycle plate in two lines.
    Layout(
        "eu-two-line",
        "eu",
        (280, 200),
        ("LL/DDDLL", "LLDD/LLL", "DDD/LLL"),
        0.37,
        WHITE_OR_YELLOW,
        top=0.08,
        foot=0.92,
        fill=0.86,
    ),
    # CONTRAN resolution 231/2007: 400 × 130 mm, characters 63 mm, town above.
    BR,
    replace(BR, name="br-red", patterns=("LLL-DDDD",), colours=((RED, WHITE),)),
    # CONTRAN resolution 780/2019: the Mercosur plate.
    Layout(
        "br-mercosur",
        "br",
        (400, 130),
        ("LLLDLDD",),
        0.5,
        BLACK_ON_WHITE,
        top=0.33,
        foot=0.89,
        headings=("BRASIL",),
        heading_band=EU_BLUE,
        fill=0.9,
    ),
    # SAE J686: 12 × 6 inches, whatever the state prints on it.
    US,
    replace(
        US,
        name="us-art",
        patterns=("LLL DDD", "LLL*DDD", "DDDD LL", "LL DDDDD"),
        colours=((WHITE, NAVY), (CREAM, GREEN), (SKY, BLACK), (YELLOW, BLACK)),
        artwork=True,
    ),
    replace(
        US,
        name="us-dark",
        patterns=("LLL DDD", "DDD-LLL", "LDD DDD"),
        colours=((GREEN, WHITE), (NAVY, YELLOW), (BLACK, YELLOW), (RED, WHITE)),
    ),
    replace(
        US,
        name="us-vanity",
        patterns=("LLLLLL", "LLLLL", "LLDLLLL", "XXXX"),
        colours=((WHITE, NAVY), (SKY, RED), (CREAM, BLACK)),
        artwork=True,
        letters=string.ascii_uppercase,
    ),
    # TCVN 11190: 190 × 140 mm motorcycle plate.
    Layout(
        "vn-two-line",
        "vn",
        (190, 140),
        ("DD-LD/DDDDD", "DD-LD/DDDD"),
        0.38,
        BLACK_ON_WHITE,
        top=0.08,
        foot=0.92,
        fill=0.92,
        letters="ABCDEFGHKLMNPRSTUVXYZ",
    ),
    Layout(
        "in-two-line",
        "in",
        (340, 200),
        ("LLDDLL/DDDD", "LLDDL/DDDD"),
        0.36,
        WHITE_OR_YELLOW,
        top=0.09,
        foot=0.91,
        fill=0.9,
        letters=NO_IO,
    ),
    # GA 36-2018: white on blue; the province's glyph is an emblem here.
    Layout("cn", "cn", (440, 140), ("*L.XDDDD", "*L.DXDDD"), 0.64, ((BLUE, WHITE),), letters=NO_IO),
    Layout("my", "my", (520, 110), ("LLL DDDD", "LL DDDD"), 0.7, ((BLACK, WHITE),), letters=NO_IO),
)

LAYOUT_BY_NAME = {layout.name: layout for layout in LAYOUTS}


@dataclass(frozen=True)
class CharacterTruth:
    """One character of a plate and the box of its ink, in pixels of the plate."""

    character: str
    box: Box
    line: int


@dataclass(frozen=True, eq=False)
class RenderedPlate:
    """A plate, new and seen from the front.

    Attributes:
        pixels: RGB, uint8 of shape (height, width, 3).
        characters: in reading order.
        layout: what it was drawn by.
        dark_ink: the ink is darker than the paper.
        font: the name of the font.
    """

    pixels: npt.NDArray[np.uint8]
    characters: tuple[CharacterTruth, ...]
    layout: Layout
    dark_ink: bool
    font: str

    @property
    def text(self) -> str:
        """The characters without separators, top line first."""
        return "".join(truth.character for truth in self.characters)


def random_text(pattern: str, letters: str, rng: np.random.Generator) -> str:
    """A text after a pattern of `Layout.patterns`, separators kept."""
    kinds = {"L": letters, "D": string.digits, "X": string.digits + letters}
    return "".join(str(rng.choice(list(kinds[c]))) if c in kinds else c for c in pattern)


def render_plate(
    layout: Layout, font: Font, rng: np.random.Generator, scale: float = 1.0
) -> RenderedPlate:
    """Draw a plate with a random text.

    Args:
        layout: one of LAYOUTS.
        font: draws the text; the small words take a die of their own.
        rng: decides text, colours and everything a layout leaves open.
        scale: pixels per millimetre.
    """
    width, height = (round(side * scale) for side in layout.size)
    paper, ink = (
        np.clip(np.add(colour, rng.normal(0, 12) + rng.normal(0, 4, 3)), 0, 255)
        for colour in layout.colours[rng.integers(len(layout.colours))]
    )
    canvas: Canvas = np.full((height, width, 3), paper, np.float32)
    small = random_die(rng)
    if layout.artwork:
        _artwork(canvas, rng)
    left, right = 0.02 * width, 0.98 * width
    if layout.band is not None:
        band = 0.085 * width
        for x in (0.0, width - band)[: 1 + layout.band_right]:
            _band(canvas, x, band, layout.band if x == 0 else "", small)
        left, right = band + 0.01 * width, right - (band if layout.band_right else 0)
    _words(canvas, layout, small, ink, rng)
    if layout.stickers:
        _stickers(canvas, small, rng)

    lines = random_text(str(rng.choice(layout.patterns)), layout.letters, rng).split("/")
    line_height = round(layout.character_height * height * rng.uniform(0.95, 1.03))
    tops = np.linspace(layout.top * height, layout.foot * height - line_height, max(2, len(lines)))
    if len(lines) == 1:
        tops = tops.mean(keepdims=True) + rng.normal(0, 0.01 * height, 1)
    alpha: Alpha = np.zeros((height, width), np.float32)
    characters: list[CharacterTruth] = []
    # The glyphs of a plate share one width, and its lines one gap: fit the widest line.
    gap = line_height * rng.uniform(0.1, 0.22)
    widths = [_line_width(line, font, line_height, gap) for line in lines]
    room = layout.fill * (right - left) * rng.uniform(0.92, 1)
    squeeze = float(np.clip(room / max(widths), 0.45, 1.25))
    for number, (line, line_width, top) in enumerate(zip(lines, widths, tops, strict=True)):
        x = (left + right - line_width * squeeze) / 2
        for character in line:
            advance = squeeze * _advance(character, font, line_height, gap)
            if character in ALPHABET:
                glyph_width = max(2, round(advance - squeeze * gap))
                box = Box(round(x), round(top), glyph_width, line_height)
                _stamp(alpha, font.glyph(character), box)
                characters.append(CharacterTruth(character, box, number))
            elif character == "*":
                _seal(canvas, x, top, advance, line_height, rng)
            else:
                _separator(alpha, character, x, top, advance, line_height)
            x += advance
    _ink(canvas, alpha, ink, rng)
    _border(canvas, ink, rng)
    return RenderedPlate(
        np.clip(canvas, 0, 255).astype(np.uint8),
        tuple(characters),
        layout,
        bool(np.mean(ink) < np.mean(paper)),
        font.name,
    )


def draw_words(
    canvas: Canvas,
    text: str,
    font: Font,
    box: Box,
    colour: Sequence[float] | npt.NDArray[np.float64],
) -> None:
    """Write small words into a box of an RGB canvas, as large as they fit, centred."""
    height = round(box.height)
    if height < 3 or not text:
        return
    gap = 0.15 * height
    natural = _line_width(text, font, height, gap)
    squeeze = min(1.0, box.width / natural)
    x = box.x + (box.width - natural * squeeze) / 2
    line = canvas[max(0, round(box.y)) :][:height]
    alpha: Alpha = np.zeros(line.shape[:2], np.float32)
    for character in text:
        advance = squeeze * _advance(character, font, height, gap)
        if character in ALPHABET:
            glyph_width = max(1, round(advance - squeeze * gap))
            _stamp(alpha, font.glyph(character), Box(round(x), 0, glyph_width, height))
        x += advance
    line += alpha[..., None] * (np.asarray(colour, np.float32) - line)


def _advance(character: str, font: Font, height: float, gap: float) -> float:
    if character in ALPHABET:
        glyph = font.glyph(character)
        return float(glyph.shape[1] * height / glyph.shape[0] + gap)
    return {" ": 0.35, "-": 0.38, ".": 0.25, "*": 0.6}[character] * height


def _line_width(text: str, font: Font, height: float, gap: float) -> float:
    return sum(_advance(character, font, height, gap) for character in text) - gap


def _stamp(alpha: Alpha, glyph: Alpha, box: Box) -> None:
    """Put a glyph into a box of the ink plane; what lies outside the plane is cut off."""
    x, y, width, height = (int(v) for v in (box.x, box.y, box.width, box.height))
    method = cv2.INTER_AREA if height < glyph.shape[0] else cv2.INTER_LINEAR
    ink = cv2.resize(glyph, (width, height), interpolation=method)
    x0, y0 = max(x, 0), max(y, 0)
    target = alpha[y0 : max(y + height, 0), x0 : max(x + width, 0)]
    source = ink[y0 - y : y0 - y + target.shape[0], x0 - x : x0 - x + target.shape[1]]
    np.maximum(target, source, out=target)


def _separator(
    alpha: Alpha, character: str, x: float, top: float, advance: float, height: float
) -> None:
    if character == "-":
        left, right = round(x + 0.05 * height), round(x + advance - 0.12 * height)
        y = round(top + 0.47 * height)
        cv2.rectangle(alpha, (left, y), (right, y + max(1, round(0.09 * height))), 1.0, -1)
    elif character == ".":
        centre = (round(x + advance / 2 - 0.06 * height), round(top + height / 2))
        cv2.circle(alpha, centre, max(1, round(0.07 * height)), 1.0, -1, cv2.LINE_AA)


def _seal(
    canvas: Canvas, x: float, top: float, advance: float, height: float, rng: np.random.Generator
) -> None:
    """A registration seal or a state's emblem between the groups."""
    centre = (round(x + 0.4 * advance), round(top + height * rng.uniform(0.4, 0.6)))
    size = max(2, round(0.4 * advance * rng.uniform(0.7, 1.1)))
    colours = [tuple(float(v) for v in rng.uniform(20, 235, 3)) for _ in range(2)]
    if rng.random() < 0.5:
        cv2.circle(canvas, centre, size, colours[0], -1, cv2.LINE_AA)
        cv2.circle(canvas, centre, max(1, size // 2), colours[1], -1, cv2.LINE_AA)
    else:
        angles = np.sort(rng.uniform(0, 2 * np.pi, 7))
        outline = centre + size * rng.uniform(0.6, 1.2, (7, 1)) * np.stack(
            [np.cos(angles), np.sin(angles)], axis=1
        )
        cv2.fillPoly(canvas, [outline.astype(np.int32)], colours[0], cv2.LINE_AA)


def _band(canvas: Canvas, x: float, width: float, letters: str, font: Font) -> None:
    height = canvas.shape[0]
    cv2.rectangle(canvas, (round(x), 0), (round(x + width), height), EU_BLUE, -1)
    centre = np.array([x + width / 2, 0.32 * height])
    for angle in np.arange(12) * np.pi / 6:
        star = centre + 0.3 * width * np.array([np.cos(angle), np.sin(angle)])
        cv2.circle(canvas, star.round().astype(int).tolist(), max(1, height // 70), YELLOW, -1)
    letter_box = Box(x + 0.15 * width, 0.64 * height, 0.7 * width, 0.2 * height)
    draw_words(canvas, letters, font, letter_box, WHITE)


def _words(
    canvas: Canvas,
    layout: Layout,
    font: Font,
    ink: npt.NDArray[np.float64],
    rng: np.random.Generator,
) -> None:
    height, width = canvas.shape[:2]
    bar = 0.24 * height
    if layout.heading_band is not None:
        canvas[: round(bar)] = layout.heading_band
        ink = np.array(WHITE, np.float64)
    elif rng.random() < 0.3:
        ink = rng.uniform(20, 220, 3)
    word_height = height * rng.uniform(0.1, 0.15)
    word_width = width * rng.uniform(0.35, 0.6)
    x = (width - word_width) / 2
    if layout.headings:
        box = Box(x, rng.uniform(0.06, 0.09) * height, word_width, word_height)
        draw_words(canvas, str(rng.choice(layout.headings)), font, box, ink)
    if layout.footings:
        box = Box(x, 0.85 * height, word_width, 0.75 * word_height)
        draw_words(canvas, str(rng.choice(layout.footings)), font, box, ink)


def _stickers(canvas: Canvas, font: Font, rng: np.random.Generator) -> None:
    """Month and year stickers in the corners."""
    height, width = canvas.shape[:2]
    for x in (0.04, 0.85):
        for y in (0.06, 0.83):
            if rng.random() < 0.3:
                box = Box(x * width, y * height, 0.11 * width, 0.13 * height)
                corner = (round(box.x), round(box.y)), (round(box.right), round(box.bottom))
                colour = rng.uniform(40, 255, 3)
                cv2.rectangle(canvas, *corner, colour.tolist(), -1)
                inner = Box(box.x, box.y + 0.15 * box.height, box.width, 0.7 * box.height)
                ink = BLACK if colour.mean() > 120 else WHITE
                draw_words(canvas, random_text("DD", "", rng), font, inner, ink)


def _artwork(canvas: Canvas, rng: np.random.Generator) -> None:
    """A faint landscape: a fade to another colour and a few hills."""
    height, width = canvas.shape[:2]
    fade = np.linspace(0, rng.uniform(0.2, 0.8), height, dtype=np.float32)[:, None, None]
    if rng.random() < 0.5:
        fade = fade[::-1]
    canvas += fade * (rng.uniform(120, 250, 3).astype(np.float32) - canvas)
    for _ in range(rng.integers(1, 4)):
        xs = np.linspace(0, width, 8)
        ys = height * rng.uniform(0.35, 0.95) + height * rng.normal(0, 0.1, 8)
        hill = np.concatenate([np.stack([xs, ys], 1), [[width, height], [0, height]]])
        shade = np.zeros((height, width), np.float32)
        cv2.fillPoly(shade, [hill.astype(np.int32)], rng.uniform(0.1, 0.4), cv2.LINE_AA)
        canvas += shade[..., None] * (rng.uniform(100, 240, 3).astype(np.float32) - canvas)


def _ink(
    canvas: Canvas, alpha: Alpha, colour: npt.NDArray[np.float64], rng: np.random.Generator
) -> None:
    """Lay the ink on, with the light and shade of embossing at its edges."""
    relief = rng.uniform(-45, 45)
    canvas += relief * (np.roll(alpha, (1, 1), axis=(0, 1)) - alpha)[..., None]
    canvas += alpha[..., None] * (colour.astype(np.float32) - canvas)


def _border(canvas: Canvas, ink: npt.NDArray[np.float64], rng: np.random.Generator) -> None:
    height, width = canvas.shape[:2]
    thickness = max(1, round(0.02 * height))
    if rng.random() < 0.7:
        inset = round(rng.uniform(0, 0.025) * height)
        corners = (inset, inset), (width - 1 - inset, height - 1 - inset)
        cv2.rectangle(canvas, *corners, ink.tolist(), thickness)
