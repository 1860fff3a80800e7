"""Windows of pictures with plates, put together on the fly, and what the detector is to say."""

from __future__ import annotations

import math
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from fnmatch import fnmatch
from pathlib import Path
from typing import TypeVar

import cv2
import numpy as np
import numpy.typing as npt
from tqdm import tqdm

from lpr_core.decode import DecodeError, decode
from lpr_core.geometry import Box, Image, Matrix, as_quad, bounding_box, intersection
from lpr_core.heatmap import PADDING, REACH, STRIDE, halved
from model_training.car_parts import Plane, draw_grille, random_part
from model_training.composites import PICTURE_SUFFIXES, TRUTH_FILE, Background, paint_over
from model_training.glyphs import TrueTypeFont, random_die, random_font
from model_training.layers import perspective, project, seen_from
from model_training.layouts import ANY_COLOURS, BLACK, LAYOUTS, YELLOW, Layout
from model_training.lettering import random_lettering
from model_training.plate_crops import is_for_training, read_rows
from model_training.plates import random_plates
from model_training.scenes import CarPlan, draw_car
from model_training.wear import clouds, dealer_words, jpeg, small_print, weather_plate

T = TypeVar("T")
Corners = npt.NDArray[np.float64]
"""A plate's corners in the reader's order, pixels of shape (4, 2)."""

WINDOW = (192, 256)
"""Height and width of a training window, pixels."""

PLATE_WIDTHS = (13.0, 240.0)
"""Narrowest and widest plate shown, pixels."""

LEARNT_WIDTHS = (11.0, 300.0)
"""A plate outside of these, or cut by the window's edge, counts neither as one nor as none."""

LEAST_VISIBLE = 0.75

STORED_WIDTH = 200
"""Of a plate before it is warped into a window, pixels."""

LARGEST_BACKDROP = (1100, 1100)

TARGET_CHANNELS = 12

PLAIN = tuple(
    Layout(
        "plain",
        "",
        "no country's: a text on a board, however set, is a plate too",
        (width, 110),
        ("XXXXX", "XXXXXX", "XXXXXXX", "XXXXXXXX", "LLDDLLL", "LLDDDD", "LL-DDD-LL", "LLL DDDD"),
        tall,
        (*ANY_COLOURS, (BLACK, YELLOW)),
        top=(1 - tall) / 2,
        foot=(1 + tall) / 2,
        gap=gap,
        border=0.2,
        radius=0,
    )
    for width in (300, 400, 520)
    for tall in (0.5, 0.62, 0.72)
    for gap in ((0.1, 0.25), (0.25, 0.6))
)
"""Beside LAYOUTS, for the detector alone."""


@dataclass(frozen=True)
class Truth:
    """A plate of a window.

    Attributes:
        corners: float64 (4, 2), pixels of the window, whose edges may cut it.
        known: how much of them is: "corners", "box" (the box around them alone), "centre", or
            "nothing": whether it is a plate at all is not.
        visible: share of the plate's box within its window.
    """

    corners: Corners
    known: str = "corners"
    visible: float = 1.0

    @property
    def box(self) -> Box:
        """The smallest upright box around it."""
        return bounding_box(as_quad(self.corners))


@dataclass(frozen=True, eq=False)
class Cutout:
    """Something to paste: grey uint8 (h, w), its coverage likewise, and the plate in it if any."""

    pixels: Image
    alpha: Image
    corners: Corners | None = None
    known: str = "corners"

    @property
    def aspect(self) -> float:
        """Width over height, of the plate if there is one."""
        box = bounding_box(as_quad(self.place))
        return box.width / box.height

    @property
    def place(self) -> Corners:
        """The corners of the plate, or of everything."""
        if self.corners is not None:
            return self.corners
        height, width = self.pixels.shape
        return np.array(Box(0, 0, width, height).corners)


@dataclass(frozen=True, eq=False)
class Backdrop:
    """A real picture in halving sizes, with its plates and without them.

    Attributes:
        levels: grey, the first as it is, each other half as large.
        bare: the same with the plates painted away.
        boxes: of the plates, pixels of the first level.
        doubtful: boxes of what an earlier network takes for plates and the truth does not know. On
            a street they may be some, and count neither way; elsewhere they are looked at more.
    """

    levels: tuple[Image, ...]
    bare: tuple[Image, ...]
    boxes: tuple[Box, ...]
    doubtful: tuple[Box, ...] = ()


@dataclass(frozen=True, eq=False)
class Stock:
    """What windows are made of.

    Attributes:
        streets: backdrops with plates.
        places: backdrops without any.
        faces: plates alone, by source; each source is taken from as often as any other.
        mounted: likewise, plates on what they are fixed to, up to a whole car.
        decoys: what is no plate.
    """

    streets: Sequence[Backdrop]
    places: Sequence[Backdrop]
    faces: Sequence[Sequence[Cutout]]
    mounted: Sequence[Sequence[Cutout]]
    decoys: Sequence[Cutout]


def held_out(path: Path, patterns: Iterable[str]) -> bool:
    """Whether a picture is kept for validation: its path is like one of the patterns."""
    return any(fnmatch(path.as_posix(), pattern) for pattern in patterns)


def load_backdrop(background: Background) -> Backdrop:
    """Read a picture, no larger than LARGEST_BACKDROP, and paint its plates away."""
    pixels, boxes = background.read(LARGEST_BACKDROP)
    shown = cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY)
    levels = _halves(shown)
    if not boxes:
        return Backdrop(levels, levels, ())
    canvas = pixels.astype(np.float32)
    for box in boxes:
        paint_over(canvas, box)
    bare = cv2.cvtColor(np.clip(canvas, 0, 255).astype(np.uint8), cv2.COLOR_RGB2GRAY)
    return Backdrop(levels, _halves(bare), boxes)


def _halves(picture: Image) -> tuple[Image, ...]:
    levels = [picture]
    while min(levels[-1].shape) >= 128:
        halved(levels, len(levels))
    return tuple(levels)


def load_faces(folder: Path, cut: float, known: str) -> list[tuple[Path, Cutout]]:
    """Pictures of plates, cut tight, and their paths; those that cannot be read go to stderr.

    Args:
        folder: of pictures; those that a truth.csv in it says to be of another `use` than "train"
            are left out.
        cut: share of the width and of the height to cut away at each edge.
        known: as `Truth.known`.
    """
    others = set()
    if (folder / TRUTH_FILE).exists():
        rows = read_rows(folder / TRUTH_FILE, ("image",))
        others = {row["image"] for row in rows if not is_for_training(row)}
    faces = []
    for path in sorted(p for p in folder.iterdir() if p.suffix.lower() in PICTURE_SUFFIXES):
        if path.name in others:
            continue
        try:
            pixels = decode(path.read_bytes()).pixels
        except (DecodeError, OSError) as error:
            print(f"refused: {path}: {error}", file=sys.stderr)
            continue
        height, width = pixels.shape
        y, x = round(cut * height), round(cut * width)
        face = _stored(pixels[y : height - y, x : width - x])
        whole = Cutout(face, np.full(face.shape, 255, np.uint8))
        faces.append((path, Cutout(whole.pixels, whole.alpha, whole.place, known)))
    return faces


def _stored(pixels: Image) -> Image:
    height, width = pixels.shape
    if width <= STORED_WIDTH:
        return np.ascontiguousarray(pixels)
    size = STORED_WIDTH, max(8, round(height * STORED_WIDTH / width))
    return np.asarray(cv2.resize(pixels, size, interpolation=cv2.INTER_AREA), np.uint8)


def rendered_faces(seed: int, number: int, fonts: tuple[TrueTypeFont, ...]) -> Iterator[Cutout]:
    """Worn plates alone, from nothing but the seed."""
    plates = random_plates(seed, fonts, (*LAYOUTS, *PLAIN), range(number))
    for plate, rng in tqdm(plates, "plates", number, disable=None):
        worn = weather_plate(plate.pixels, rng, rng.uniform(0, 1)).astype(np.uint8)
        grey = _stored(np.asarray(cv2.cvtColor(worn, cv2.COLOR_RGB2GRAY), np.uint8))
        cover = cv2.resize(plate.alpha, grey.shape[1::-1], interpolation=cv2.INTER_AREA)
        place = Box(0, 0, grey.shape[1], grey.shape[0])
        yield Cutout(grey, (255 * cover).astype(np.uint8), np.array(place.corners))


def rendered_cars(
    seed: int, number: int, fonts: tuple[TrueTypeFont, ...]
) -> Iterator[tuple[Cutout, Cutout]]:
    """Cars with a plate, each also with its place for one left empty."""
    for index in tqdm(range(number), "cars", disable=None):
        rng = np.random.default_rng([seed, index])
        layout = LAYOUTS[rng.integers(len(LAYOUTS))]
        plan = CarPlan(layout.name, rng.uniform(60, 110), rear=bool(rng.random() < 0.6))
        layer, _, place = draw_car(plan, rng.uniform(0, 1), random_font(rng, fonts), rng, True)
        pixels = cv2.cvtColor(np.clip(layer.pixels, 0, 255).astype(np.uint8), cv2.COLOR_RGB2GRAY)
        alpha = (255 * layer.alpha).astype(np.uint8)
        # A plate's box is fractional where its pixels are not: what is drawn is what counts.
        x, y, width, height = map(int, (place.x, place.y, place.width, place.height))
        drawn = Box(x, y, width, height)
        empty = pixels.copy()
        empty[y - 1 : y + height + 1, x - 1 : x + width + 1] = pixels[y - 2, x]
        yield Cutout(pixels, alpha, np.array(drawn.corners)), Cutout(empty, alpha)


def rendered_decoys(seed: int, number: int) -> Iterator[Cutout]:
    """Signs, lettering, stripes, empty plates, wheels, lamps: what is no plate."""
    for index in tqdm(range(number), "decoys", disable=None):
        rng = np.random.default_rng([seed, index])
        if rng.random() < 0.45:
            layer = random_lettering(int(rng.integers(24, 110)), random_die(rng), rng)
            pixels = np.clip(layer.pixels, 0, 255).astype(np.uint8)
            grey = np.asarray(cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY), np.uint8)
            sign = Cutout(grey, (255 * layer.alpha).astype(np.uint8))
        else:
            sign = Cutout(*random_part(rng))
        # Like a plate's surroundings, so that those alone make none.
        yield mount(sign, rng) if rng.random() < 0.5 and sign.aspect > 1 else sign


def mount(face: Cutout, rng: np.random.Generator) -> Cutout:
    """Draw the part of a vehicle that a plate, or what looks like one, is fixed to around it."""
    height, width = face.pixels.shape
    left, right = (rng.uniform(0.2, 1.6, 2) * height).astype(int)
    above, below = (rng.uniform(0.2, 1.8, 2) * height).astype(int)
    shape = height + above + below, width + left + right
    place = Box(left, above, width, height)
    shades = np.linspace(*rng.uniform(0.7, 1.3, 2), shape[0], dtype=np.float32)
    pixels: Plane = np.repeat(_tone(rng) * shades[:, None], shape[1], axis=1)
    if rng.random() < 0.2:
        draw_grille(pixels, rng)
    for _ in range(rng.integers(0, 5)):
        _seam(pixels, place, rng)
    if rng.random() < 0.5:
        _recess(pixels, place, rng)
    for side in (-1, 1):
        if rng.random() < 0.3:
            _lamp(pixels, place, side, rng)
    if rng.random() < 0.4:
        _words(pixels, place, rng)
    pixels += rng.uniform(0.5, 10) * clouds(shape, rng, 7)
    if rng.random() < 0.4:
        _holder(pixels, place, rng)
    shadow = rng.normal(0, 0.05, 2) * height + (left, above)
    x, y = max(0, round(shadow[0])), max(0, round(shadow[1]))
    pixels[y : y + height, x : x + width] *= rng.uniform(0.3, 1)
    inside = pixels[above : above + height, left : left + width]
    inside += (face.alpha / np.float32(255)) * (face.pixels - inside)
    if rng.random() < 0.15:
        _light_from_above(pixels, place, rng)
    alpha = _fading(shape, place, rng)
    corners = None if face.corners is None else face.corners + np.array((left, above))
    return Cutout(np.clip(pixels, 0, 255).astype(np.uint8), alpha, corners, face.known)


def _tone(rng: np.random.Generator) -> float:
    """A vehicle's: black, white or between."""
    return float(rng.uniform(8, 60) if rng.random() < 0.4 else rng.uniform(40, 240))


def _seam(pixels: Plane, place: Box, rng: np.random.Generator) -> None:
    """An edge of the bodywork above or below: beyond it is another part, a line between."""
    above = rng.random() < 0.5
    room = place.y if above else pixels.shape[0] - place.bottom
    gap = rng.uniform(0.03, 1) * room
    y = round(place.y - gap if above else place.bottom + gap)
    part = pixels[:y] if above else pixels[y:]
    if rng.random() < 0.5:
        part *= rng.uniform(0.3, 1.5)
    else:
        part[:] = _tone(rng)
    pixels[max(0, y - max(1, round(0.03 * place.height))) : y] *= rng.uniform(0.2, 1.7)


def _recess(pixels: Plane, place: Box, rng: np.random.Generator) -> None:
    """The hollow that a plate sits in, with its bright or dark edge."""
    near, far = 0.05 * place.height, 0.9 * place.height
    left, top, right, foot = np.exp(rng.uniform(math.log(near), math.log(far), 4))
    slant = rng.uniform(-0.6, 0.6) * min(left, right)
    outline = np.array(
        [
            (place.x - left + max(0, slant), place.y - top),
            (place.right + right - max(0, slant), place.y - top),
            (place.right + right + min(0, slant), place.bottom + foot),
            (place.x - left - min(0, slant), place.bottom + foot),
        ]
    )
    points = np.round(outline).astype(np.int32)
    mask = np.zeros(pixels.shape, np.uint8)
    cv2.fillPoly(mask, [points], 255)
    if rng.random() < 0.6:
        mask = cv2.GaussianBlur(mask, (0, 0), rng.uniform(0.5, 0.1 * place.height + 0.6))
    first, last = rng.uniform(0.15, 1.1, 2)
    gains = np.linspace(first, last, len(pixels), dtype=np.float32)[:, None]
    pixels += (mask / np.float32(255)) * (pixels * gains - pixels)
    if rng.random() < 0.4:
        cv2.polylines(pixels, [points], True, _tone(rng), max(1, round(0.03 * place.height)))


def _lamp(pixels: Plane, place: Box, side: int, rng: np.random.Generator) -> None:
    """A lamp, a reflector or a fog lamp beside the plate."""
    middle = place.x + place.width / 2
    centre = (
        middle + side * (place.width / 2 + rng.uniform(0.3, 1.4) * place.height),
        place.y + rng.uniform(-0.8, 1.2) * place.height,
    )
    size = rng.uniform(0.2, 1.2, 2) * place.height
    cv2.ellipse(pixels, (centre, size, rng.uniform(-30, 30)), rng.uniform(0, 255), -1)
    inner = size * rng.uniform(0.3, 0.8)
    cv2.ellipse(pixels, (centre, inner, 0.0), rng.uniform(100, 255), -1)


def _words(pixels: Plane, place: Box, rng: np.random.Generator) -> None:
    """A badge above or below the plate."""
    tall = max(6, round(rng.uniform(0.12, 0.6) * place.height))
    wide = max(12, round(tall * rng.uniform(2, 8)))
    gap = rng.uniform(0.02, 0.6) * place.height
    x = int(np.clip(place.x + rng.uniform(-0.2, 0.9) * place.width, 0, pixels.shape[1] - 12))
    y = place.y - gap - tall if rng.random() < 0.6 else place.bottom + gap
    _print(pixels, Box(x, y, wide, tall), rng)


def _print(pixels: Plane, box: Box, rng: np.random.Generator) -> None:
    y, x = round(box.y), round(box.x)
    part = pixels[max(0, y) : y + round(box.height), x : x + round(box.width)]
    if y >= 0 and part.shape[0] >= 5 and part.shape[1] >= 12:
        part += small_print(dealer_words(rng), *part.shape, rng) * (rng.uniform(0, 255) - part)


def _holder(pixels: Plane, place: Box, rng: np.random.Generator) -> None:
    """A frame around the plate, most with a dealer's strip below."""
    rim = rng.uniform(0.02, 0.1) * place.height
    strip = rng.uniform(0.1, 0.25) * place.height if rng.random() < 0.6 else rim
    top, foot = (strip, rim) if rng.random() < 0.15 else (rim, strip)
    x0, x1 = round(max(0.0, place.x - rim)), round(place.right + rim)
    y0, y1 = round(max(0.0, place.y - top)), round(place.bottom + foot)
    pixels[y0:y1, x0:x1] = _tone(rng)
    if strip > rim and rng.random() < 0.85:
        y = place.y - strip if top > rim else place.bottom
        _print(pixels, Box(place.x, y, place.width, strip), rng)


def _light_from_above(pixels: Plane, place: Box, rng: np.random.Generator) -> None:
    """By night: dark, the plate lit by its own lamps."""
    y, x = np.indices(pixels.shape, np.float32)
    reach = place.height * rng.uniform(0.6, 1.6)
    gain = np.full(pixels.shape, rng.uniform(0.05, 0.4), np.float32)
    for share in ((0.5,), (0.25, 0.75))[rng.integers(2)]:
        away = np.hypot((x - place.x - share * place.width) / 2, y - place.y) / reach
        gain += rng.uniform(0.5, 1.2) * np.exp(-(away**2))
    pixels *= np.minimum(gain, 1.6)


def _fading(shape: tuple[int, int], place: Box, rng: np.random.Generator) -> Image:
    """Coverage: all around the plate, but for some of the rim, in one of some shapes."""
    height, width = shape
    alpha = np.zeros(shape, np.uint8)
    left, top = rng.uniform(0, 0.6) * place.x, rng.uniform(0, 0.6) * place.y
    right = width - rng.uniform(0, 0.6) * (width - place.right)
    foot = height - rng.uniform(0, 0.6) * (height - place.bottom)
    slant = rng.uniform(-0.5, 0.5) * left
    outline = [
        (left + max(0, slant), top),
        (right - max(0, slant), top),
        (right + min(0, slant), foot),
        (left - min(0, slant), foot),
    ]
    cv2.fillPoly(alpha, [np.round(outline).astype(np.int32)], 255)
    if rng.random() < 0.6:
        alpha = np.asarray(cv2.blur(alpha, (2 * int(rng.integers(1, 12)) + 1,) * 2), np.uint8)
    y0, x0 = int(place.y), int(place.x)
    alpha[y0 : y0 + int(place.height), x0 : x0 + int(place.width)] = 255
    return alpha


@dataclass(eq=False)
class _Canvas:
    """A window as it is being made."""

    pixels: Plane
    truths: list[Truth] = field(default_factory=list)
    taken: list[Box] = field(default_factory=list)

    def free(self, box: Box) -> bool:
        return all(intersection(box, other) <= 0 for other in self.taken)


def compose(
    stock: Stock, rng: np.random.Generator, size: tuple[int, int] = WINDOW
) -> tuple[Image, list[Truth]]:
    """A window of a picture: streets and other places, plates and what is none.

    Args:
        stock: what to make it of.
        rng: decides everything else.
        size: height and width, pixels.

    Returns:
        Grey, uint8 (height, width), and its plates.
    """
    if rng.random() < 0.12:
        pixels, truths = _mosaic(stock, rng, size)
    else:
        canvas = _window(stock, rng, size)
        pixels, truths = canvas.pixels, canvas.truths
    return _photograph(pixels, rng), truths


def _mosaic(
    stock: Stock, rng: np.random.Generator, size: tuple[int, int]
) -> tuple[Plane, list[Truth]]:
    """Four windows that meet in a corner, as the detector's second look sees them."""
    height, width = size
    x = round(rng.uniform(0.25, 0.75) * width)
    y = round(rng.uniform(0.25, 0.75) * height)
    pixels = np.empty(size, np.float32)
    truths = []
    for top, foot in ((0, y), (y, height)):
        for left, right in ((0, x), (x, width)):
            part = _window(stock, rng, (foot - top, right - left))
            pixels[top:foot, left:right] = part.pixels
            truths += [replace(t, corners=t.corners + np.array((left, top))) for t in part.truths]
    return pixels, truths


def _window(stock: Stock, rng: np.random.Generator, size: tuple[int, int]) -> _Canvas:
    """One view of a backdrop with what is pasted onto it."""
    if rng.random() < 0.55 and stock.streets:
        canvas = _street(stock, rng, size)
    else:
        canvas = _place(stock, rng, size)
    if rng.random() < 0.12:
        _darken(canvas, rng)
    picture = Box(0, 0, size[1], size[0])
    seen = [(t, intersection(t.box, picture) / max(1e-6, t.box.area)) for t in canvas.truths]
    canvas.truths = [replace(t, visible=share) for t, share in seen if share > 0]
    return canvas


def _street(stock: Stock, rng: np.random.Generator, size: tuple[int, int]) -> _Canvas:
    """A picture around one of its plates; they are its own, others in their places, or none."""
    street = _any(stock.streets, rng)
    box = _any(street.boxes, rng)
    own = rng.random() < 0.5
    scale = min(_random_width(rng) / box.width, 3.0)
    centre = np.array([box.x + box.width / 2, box.y + box.height / 2])
    levels = street.levels if own else street.bare
    canvas, matrix = _view(levels, centre, scale, rng, size, scale * box.width)
    _doubt(canvas, street, matrix)
    for box in street.boxes:
        corners = _moved(box, matrix)
        seen = bounding_box(as_quad(corners))
        if own:
            canvas.truths.append(Truth(corners, "box"))
        elif rng.random() < 0.85:
            face = _any(_any(stock.faces, rng), rng)
            wide = seen.width * (rng.uniform(0.85, 1.2) if face.aspect > 3 else rng.uniform(0.5, 1))
            middle = corners.mean(axis=0) + rng.normal(0, 0.1, 2) * seen.height
            turns = rng.normal(0, (3, 10, 6))
            _paste_plate(canvas, face, wide, middle, (turns[0], turns[1], turns[2]), rng)
        canvas.taken.append(seen)
    for _ in range(rng.choice(3, p=(0.6, 0.3, 0.1))):
        _paste_decoy(canvas, stock, rng)
    if rng.random() < 0.15:
        _paste_anywhere(canvas, stock, rng)
    return canvas


def _place(stock: Stock, rng: np.random.Generator, size: tuple[int, int]) -> _Canvas:
    """A picture without a plate, or a street without its own, with some put anywhere."""
    place = _any(stock.places, rng)
    height, width = place.levels[0].shape
    covering = max(size[0] / height, size[1] / width)
    scale = min(covering * float(np.exp(rng.uniform(-0.25, 1.2))), 2.5)
    centre = rng.uniform(0.15, 0.85, 2) * (width, height)
    if place.doubtful and not place.boxes and rng.random() < 0.7:
        box = _any(place.doubtful, rng)
        scale = min(_random_width(rng) / box.width, 3.0)
        centre = np.array([box.x + box.width / 2, box.y + box.height / 2])
    canvas, matrix = _view(place.bare, centre, scale, rng, size)
    if place.boxes:
        _doubt(canvas, place, matrix)
    for _ in range(rng.choice(4, p=(0.2, 0.35, 0.3, 0.15))):
        _paste_decoy(canvas, stock, rng)
    for _ in range(rng.choice(4, p=(0.15, 0.5, 0.25, 0.1))):
        _paste_anywhere(canvas, stock, rng)
    return canvas


def _doubt(canvas: _Canvas, street: Backdrop, matrix: Matrix) -> None:
    """Leave out of account what may be plates of a street that its truth does not know."""
    canvas.truths += [Truth(_moved(box, matrix), "nothing") for box in street.doubtful]


def _moved(box: Box, matrix: Matrix) -> Corners:
    """A box's corners after a transform (2, 3), in the reader's order where it mirrors too."""
    corners = np.array(box.corners) @ matrix[:, :2].T + matrix[:, 2]
    return corners[[1, 0, 3, 2]] if matrix[0, 0] < 0 else corners


def _any(items: Sequence[T], rng: np.random.Generator) -> T:
    return items[rng.integers(len(items))]


def _random_width(rng: np.random.Generator) -> float:
    """Of a plate; most are of the middle sizes, which the second look scales all to."""
    least, most = np.log(PLATE_WIDTHS)
    if rng.random() < 0.4:
        least, most = np.log((50, 140))
    return float(np.exp(rng.uniform(least, most)))


def _view(
    levels: Sequence[Image],
    centre: npt.NDArray[np.float64],
    scale: float,
    rng: np.random.Generator,
    size: tuple[int, int],
    wide: float = 0.0,
) -> tuple[_Canvas, Matrix]:
    """A picture around a point of it, at a scale, maybe mirrored and turned a little.

    `wide`: what is at the point, most of which is to be seen, pixels of the window.

    Returns:
        The window, and the transform (2, 3) of the picture's points to the window's.
    """
    height, width = size
    stretch = rng.uniform(0.9, 1.12)
    angle = math.radians(rng.normal(0, 4)) if rng.random() < 0.5 else 0.0
    across = -scale * stretch if rng.random() < 0.35 else scale * stretch
    cos, sin = math.cos(angle), math.sin(angle)
    linear = np.array([[cos, -sin], [sin, cos]]) @ np.diag([across, scale])
    target = _somewhere(size, wide, rng)
    full = np.array(levels[0].shape[::-1])
    # The picture covers the window where it is large enough for it.
    reach = np.abs([across, scale])
    before = centre if across > 0 else np.array([full[0] - centre[0], centre[1]])
    least, most = np.array([width, height]) - (full - before) * reach, before * reach
    target = np.where(least <= most, np.clip(target, least, most), target)
    matrix = np.column_stack([linear, target - linear @ centre])
    level = int(np.clip(math.floor(-math.log2(max(scale, 1e-3)) + 0.3), 0, len(levels) - 1))
    factor = full / np.array(levels[level].shape[::-1])
    warp = matrix.copy()  # of pixels, which are counted by their centres
    warp[:, :2] *= factor
    warp[:, 2] += warp[:, :2] @ (0.5, 0.5) - 0.5
    filling = PADDING if rng.random() < 0.7 else float(rng.uniform(0, 255))
    pixels = cv2.warpAffine(levels[level], warp, (width, height), borderValue=filling)
    return _Canvas(pixels.astype(np.float32)), matrix


def _somewhere(
    size: tuple[int, int], wide: float, rng: np.random.Generator
) -> npt.NDArray[np.float64]:
    """A point x, y of a window around which something so wide is mostly within it."""
    sides = np.array(size[::-1])
    margin = np.minimum(0.4 * wide, 0.45 * sides)
    return rng.uniform(margin, sides - margin)


def _paste_anywhere(canvas: _Canvas, stock: Stock, rng: np.random.Generator) -> None:
    """A plate, most on something, at any place, of any size and turn."""
    sources = stock.mounted if rng.random() < 0.8 else stock.faces
    cutout = _any(_any(sources, rng), rng)
    turned = (3, 12, 30)[rng.choice(3, p=(0.5, 0.25, 0.25))]
    roll = float(np.clip(rng.normal(0, turned), -47, 47))
    yaw = rng.normal(0, 14) if rng.random() < 0.8 else rng.uniform(-52, 52)
    height, width = canvas.pixels.shape
    wide = min(_random_width(rng), 0.95 * width)
    centre = _somewhere((height, width), wide, rng)
    _paste_plate(canvas, cutout, wide, centre, (roll, yaw, rng.normal(0, 8)), rng)


def _paste_plate(
    canvas: _Canvas,
    cutout: Cutout,
    wide: float,
    centre: npt.NDArray[np.float64],
    turns: tuple[float, float, float],
    rng: np.random.Generator,
) -> None:
    corners = _corners(cutout.aspect, wide, centre, turns, rng)
    if canvas.free(_reach(cutout, corners)):
        _paste(canvas, cutout, corners, rng)
        canvas.truths.append(Truth(corners, cutout.known))
        canvas.taken.append(bounding_box(as_quad(corners)))


def _paste_decoy(canvas: _Canvas, stock: Stock, rng: np.random.Generator) -> None:
    cutout = _any(stock.decoys, rng)
    height, width = canvas.pixels.shape
    wide = float(np.exp(rng.uniform(math.log(14), math.log(0.8 * width))))
    turns = rng.normal(0, (5, 14, 8))
    centre = rng.uniform(0, 1, 2) * (width, height)
    corners = _corners(cutout.aspect, wide, centre, (turns[0], turns[1], turns[2]), rng)
    if canvas.free(bounding_box(as_quad(corners))):
        _paste(canvas, cutout, corners, rng)


def _corners(
    aspect: float,
    wide: float,
    centre: npt.NDArray[np.float64],
    turns: tuple[float, float, float],
    rng: np.random.Generator,
) -> Corners:
    """Where a rectangle's corners are seen; `wide` is its width if it faced the camera."""
    roll, yaw, pitch = turns
    distance = float(np.exp(rng.uniform(math.log(3), math.log(20))))
    sides = float(np.clip(yaw, -55, 55)), float(np.clip(pitch, -35, 35))
    return seen_from(aspect, roll, *sides, distance) * wide + centre


def _reach(cutout: Cutout, corners: Corners) -> Box:
    """The box around all of a cutout whose plate (or all of it) gets these corners."""
    height, width = cutout.pixels.shape
    matrix = perspective(as_quad(cutout.place), as_quad(corners))
    return bounding_box(project(Box(0, 0, width, height), matrix))


def _paste(canvas: _Canvas, cutout: Cutout, corners: Corners, rng: np.random.Generator) -> None:
    """Warp a cutout so that its plate (or all of it) gets these corners, in the place's light."""
    height, width = canvas.pixels.shape
    pixels, alpha = cutout.pixels, cutout.alpha
    place = cutout.place
    shown = np.linalg.norm(corners[1] - corners[0]) / np.linalg.norm(place[1] - place[0])
    if shown < 0.7:  # warps do not average
        small = max(4, round(pixels.shape[1] * shown)), max(3, round(pixels.shape[0] * shown))
        place = place * np.divide(small, pixels.shape[::-1])
        pixels = cv2.resize(pixels, small, interpolation=cv2.INTER_AREA)
        alpha = cv2.resize(alpha, small, interpolation=cv2.INTER_AREA)
    matrix = perspective(as_quad(place), as_quad(corners))
    reached = bounding_box(project(Box(0, 0, pixels.shape[1], pixels.shape[0]), matrix))
    left, top = max(0, math.floor(reached.x) - 2), max(0, math.floor(reached.y) - 2)
    right, foot = (
        min(width, math.ceil(reached.right) + 2),
        min(height, math.ceil(reached.bottom) + 2),
    )
    if right - left < 3 or foot - top < 3:
        return
    matrix = np.array([[1, 0, -left], [0, 1, -top], [0, 0, 1]]) @ matrix
    size = right - left, foot - top
    warped = cv2.warpPerspective(pixels, matrix, size, borderMode=cv2.BORDER_REPLICATE)
    cover = cv2.warpPerspective(alpha, matrix, size).astype(np.float32)
    cover *= np.float32(1 / 255)
    below = canvas.pixels[top:foot, left:right]
    around = cv2.resize(below, (8, 8), interpolation=cv2.INTER_AREA)
    bright = float(np.clip(around.mean() * rng.uniform(0.9, 2) + rng.uniform(0, 70), 50, 255))
    dark = bright * float(rng.uniform(0, 0.35))
    laid = warped.astype(np.float32)
    laid *= np.float32((bright - dark) / 235)
    laid += np.float32(dark)
    if rng.random() < 0.3:
        slope = np.linspace(*rng.uniform(0.6, 1.25, 2), size[0], dtype=np.float32)
        laid *= slope
    blur = rng.uniform(0, 0.045) * math.hypot(*(corners[3] - corners[0]))
    if blur > 0.35:
        laid = cv2.GaussianBlur(laid, (0, 0), blur)
        cover = cv2.GaussianBlur(cover, (0, 0), max(0.4, 0.7 * blur))
    if rng.random() < 0.3:
        below *= 1 - rng.uniform(0.1, 0.6) * cv2.blur(cover, (max(3, size[0] // 12),) * 2)
    laid -= below
    laid *= cover
    below += laid


def _darken(canvas: _Canvas, rng: np.random.Generator) -> None:
    """Night: all dark but the plates, which reflect, and lamps beside them or anywhere."""
    pixels = canvas.pixels
    height, width = pixels.shape
    gain = np.full((height // 8, width // 8), rng.uniform(0.12, 0.5), np.float32)
    lamps = []
    for truth in canvas.truths:
        box = truth.box
        x, y = truth.corners.mean(axis=0)
        reach = max(4.0, box.width * rng.uniform(0.5, 1.2))
        gain += rng.uniform(0.3, 1) * _spot(gain.shape, x / 8, y / 8, reach / 8)
        side = rng.uniform(0.9, 2) * box.width
        lamps += [(x - side, y, box.width), (x + side, y - rng.normal(0, 4), box.width)]
    pixels *= cv2.resize(np.minimum(gain, 1.2), (width, height))
    lamps += [(*rng.uniform(0, 1, 2) * (width, height), 60.0) for _ in range(rng.integers(0, 3))]
    shine = np.zeros_like(gain)
    for x, y, wide in lamps:
        if rng.random() < 0.6:
            radius = rng.uniform(0.15, 0.6) * wide / 8 + 0.4
            shine += rng.uniform(60, 330) * _spot(gain.shape, x / 8, y / 8, radius)
    pixels += cv2.resize(shine, (width, height), interpolation=cv2.INTER_CUBIC)


def _spot(shape: tuple[int, int], x: float, y: float, reach: float) -> Plane:
    across = np.exp(-(((np.arange(shape[1], dtype=np.float32) - x) / reach) ** 2))
    down = np.exp(-(((np.arange(shape[0], dtype=np.float32) - y) / reach) ** 2))
    return np.asarray(down[:, None] * across, np.float32)


def _photograph(pixels: Plane, rng: np.random.Generator) -> Image:
    """Through a lens onto a sensor and into a file: cheaper than `wear.photograph`."""
    if rng.random() < 0.35:
        pixels = cv2.GaussianBlur(pixels, (0, 0), rng.uniform(0.3, 1.4))
    if rng.random() < 0.08:
        length = 2 * int(rng.integers(1, 4)) + 1
        streak = np.zeros((length, length), np.float32)
        streak[length // 2] = 1 / length
        pixels = cv2.filter2D(pixels, -1, streak if rng.random() < 0.6 else streak.T)
    if rng.random() < 0.5:
        # The streets are hazy and dim: as often as not their greys are stretched.
        low, high = np.percentile(pixels[::8, ::8], (2, 98))
        contrast = rng.uniform(90, 280) / max(60.0, float(high - low))
        pixels = (pixels - np.float32(low)) * np.float32(contrast) + np.float32(rng.normal(10, 25))
    if rng.random() < 0.35:
        noise = rng.standard_normal(pixels.shape, np.float32)
        pixels = pixels + np.float32(rng.uniform(1, 10)) * noise
    sensed = np.clip(pixels, 0, 255).astype(np.uint8)
    if rng.random() < 0.25:
        curve = 255 * np.power(np.arange(256) / 255, np.exp(rng.normal(0, 0.4)))
        sensed = cv2.LUT(sensed, curve.astype(np.uint8))
    return jpeg(sensed, int(rng.integers(25, 90))) if rng.random() < 0.25 else sensed


def targets(truths: Sequence[Truth], size: tuple[int, int] = WINDOW) -> Plane:
    """What the network is to say of a window.

    The heat is an elliptical Gaussian as large as the plate (TTFNet, Liu et al. 2020), turned as it
    is, with 1 at its middle cell; around it the cells weigh by their heat, 1 a plate together.

    Args:
        truths: the window's plates; the larger give way to the smaller.
        size: height and width of the window, pixels, multiples of STRIDE.

    Returns:
        float32 (height / 8, width / 8, TARGET_CHANNELS): heat 0 to 1; 1 where it counts and 0 where
        it does not; the weight of the box around the corners; that of the corners; their offsets
        from the cell's centre, x and y of each, in REACH pixels.
    """
    rows, columns = size[0] // STRIDE, size[1] // STRIDE
    target = np.zeros((rows, columns, TARGET_CHANNELS), np.float32)
    target[..., 1] = 1
    for truth in sorted(truths, key=lambda truth: -truth.box.area):
        box = truth.box
        centre = truth.corners.mean(axis=0)
        column, row = np.floor(centre / STRIDE).astype(int)
        along = truth.corners[[1, 2]].mean(axis=0) - truth.corners[[0, 3]].mean(axis=0)
        wide = float(np.hypot(*along))
        sides = truth.corners[[2, 3]] - truth.corners[[1, 0]]
        tall = float(np.hypot(*sides.T).mean())
        y0, y1 = max(0, int(box.y / STRIDE)), min(rows, math.ceil(box.bottom / STRIDE))
        x0, x1 = max(0, int(box.x / STRIDE)), min(columns, math.ceil(box.right / STRIDE))
        part = target[y0:y1, x0:x1]
        inside = 0 <= row < rows and 0 <= column < columns
        least, most = LEARNT_WIDTHS
        seen = inside and truth.visible >= LEAST_VISIBLE and least <= wide <= most
        if truth.known == "nothing" or not seen:
            part[..., 1] = 0
            continue
        y0, y1, x0, x1 = min(y0, row), max(y1, row + 1), min(x0, column), max(x1, column + 1)
        part = target[y0:y1, x0:x1]
        y, x = np.mgrid[y0:y1, x0:x1].astype(np.float32)
        cos, sin = along / max(wide, 1e-6)
        u = (x - column) * cos + (y - row) * sin
        v = (y - row) * cos - (x - column) * sin
        spread = [max(0.45, 0.54 * side / (6 * STRIDE)) for side in (wide, tall)]
        heat = np.exp(-((u / spread[0]) ** 2 + (v / spread[1]) ** 2) / 2)
        near = heat > 0.25
        weight = heat / heat[near].sum()
        part[..., 0] = np.maximum(part[..., 0], heat)
        cells = (np.stack([x, y], axis=-1) + 0.5) * STRIDE
        offsets = (truth.corners - cells[..., None, :]) / REACH
        part[near, 2] = weight[near] * (truth.known != "centre")
        part[near, 3] = weight[near] * (truth.known == "corners")
        part[near, 4:] = offsets.reshape(*near.shape, 8)[near]
    return target
