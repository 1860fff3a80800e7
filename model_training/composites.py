"""Real pictures with rendered plates put onto them: over their own plates, and anywhere."""

from __future__ import annotations

import csv
import math
import sys
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image as PillowImage
from PIL import ImageOps
from tqdm import tqdm

from lpr_core.decode import DecodeError, decode
from lpr_core.geometry import Box, Quad, as_quad, bounding_box, intersection
from model_training.glyphs import Font, TrueTypeFont, random_die, random_font
from model_training.layers import Layer, Pixels, fill, glow, lay, perspective, project, seen_from
from model_training.layouts import LAYOUTS, Layout
from model_training.lettering import random_lettering
from model_training.plates import RenderedPlate, render_plate
from model_training.scenes import (
    CAR_WIDTH,
    LARGEST_PLATE,
    SMALLEST_PLATE,
    CarPlan,
    Scene,
    ScenePlate,
    draw_car,
)
from model_training.wear import light, photograph, weather_plate

PICTURE_SUFFIXES = (".bmp", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp")
TRUTH_FILE = "truth.csv"

SMALLEST_SIDE = 64
"""Pixels of a background."""

LEAST_DEVIATION = 2.0
"""Of the grey levels of a background that shows something."""

MOST_OUTSIDE = 0.1
"""Share of a plate's upright box, and of each character's, that may lie outside of the picture."""

OVERSAMPLING = 1.5
"""Pixels of a layer to one of the picture, so that turning it costs no sharpness."""

TRIES = 12
"""To find a place for a plate; then it is left out."""


class BackgroundsError(ValueError):
    """Folders of backgrounds that cannot be used; the message names them."""


@dataclass(frozen=True)
class Background:
    """A picture to put plates onto.

    Attributes:
        path: of its file.
        boxes: of the plates that are in it, in pixels of the upright picture.
    """

    path: Path
    boxes: tuple[Box, ...] = ()

    def read(self, size: tuple[int, int]) -> tuple[npt.NDArray[np.uint8], tuple[Box, ...]]:
        """The upright picture, no larger than `size` (width, height), and the boxes in it.

        Returns:
            RGB, uint8 (height, width, 3), and boxes in its pixels.
        """
        with PillowImage.open(self.path) as image:
            full = image.size
            if image.mode.startswith(("I", "F")):  # deep grey, which Pillow's conversion would clip
                pixels = np.stack([decode(self.path.read_bytes()).pixels] * 3, axis=2)
            else:
                image.draft("RGB", (max(size), max(size)))  # a JPEG decodes at part of its size
                pixels = np.array(ImageOps.exif_transpose(image).convert("RGB"), np.uint8)
        height, width = pixels.shape[:2]
        if (width < height) != (full[0] < full[1]):
            full = full[::-1]
        scale = min(1.0, size[0] / width, size[1] / height)
        shown = (max(1, round(width * scale)), max(1, round(height * scale)))
        pixels = np.asarray(cv2.resize(pixels, shown, interpolation=cv2.INTER_AREA), np.uint8)
        x, y = shown[0] / full[0], shown[1] / full[1]
        boxes = tuple(Box(b.x * x, b.y * y, b.width * x, b.height * y) for b in self.boxes)
        return pixels, boxes


def load_backgrounds(folders: Sequence[Path]) -> list[Background]:
    """Find the pictures below some folders, with the plates that a truth.csv knows in them.

    Every picture is decoded once, so that none fails later. One that cannot be read, is tiny or
    blank, or whose row in the truth cannot be read, is left out and named on stderr, and so is one
    that the truth names but that is not there.

    Args:
        folders: searched recursively; the names in a `truth.csv` (columns image, x, y, w, h) are
            relative to the folder that it lies in, and blanks mean that there is no plate.

    Raises:
        BackgroundsError: a folder without a readable picture, or a truth.csv that is no table or
            lacks a column.
    """
    backgrounds: list[Background] = []
    for folder in folders:
        paths = sorted(p for p in folder.rglob("*") if p.suffix.lower() in PICTURE_SUFFIXES)
        boxes, refused = _known_boxes(folder)
        refused |= dict.fromkeys(sorted(boxes.keys() - set(paths)), f"only {TRUTH_FILE} has it")
        found = []
        for path in tqdm(paths, desc=f"checking {folder.name}", disable=None):
            try:
                picture = decode(path.read_bytes())
                if min(picture.width, picture.height) < SMALLEST_SIDE:
                    refused[path] = f"a side of less than {SMALLEST_SIDE} pixels"
                elif picture.pixels.std() < LEAST_DEVIATION:
                    refused[path] = "blank"
                elif path not in refused:
                    found.append(Background(path, tuple(boxes.get(path, ()))))
            except (DecodeError, OSError) as error:
                refused[path] = str(error)
        for path, reason in refused.items():
            print(f"refused: {path}: {reason}", file=sys.stderr)
        if not found:
            raise BackgroundsError(f"{folder} has no readable picture: name a folder with some")
        backgrounds += found
    return backgrounds


def _known_boxes(folder: Path) -> tuple[dict[Path, list[Box]], dict[Path, str]]:
    """Boxes by picture from every truth.csv of a folder; and pictures with a bad row, and why."""
    boxes: dict[Path, list[Box]] = defaultdict(list)
    refused: dict[Path, str] = {}
    for file in sorted(folder.rglob(TRUTH_FILE)):
        with file.open(newline="", encoding="utf-8-sig", errors="replace") as lines:
            reader = csv.DictReader(lines)
            try:
                rows = [(reader.line_num, row) for row in reader]
            except csv.Error as error:
                raise BackgroundsError(f"{file} is no table: {error}") from error
        missing = {"image", "x", "y", "w", "h"} - set(reader.fieldnames or ())
        if missing:
            raise BackgroundsError(f"{file}: there is no column {', '.join(sorted(missing))}")
        for number, row in rows:
            path = file.parent / (row["image"] or "")
            cells = [(row[column] or "").strip() for column in ("x", "y", "w", "h")]
            box = _box_of(cells)
            if box is not None:
                boxes[path].append(box)
            elif any(cells):
                refused[path] = f"{file.name}:{number} gives no box"
    return boxes, refused


def _box_of(cells: Sequence[str]) -> Box | None:
    """The box that four cells tell, or None where they tell none."""
    try:
        x, y, width, height = map(float, cells)
    except ValueError:
        return None
    finite = all(map(math.isfinite, (x, y, width, height)))
    return Box(x, y, width, height) if finite and width > 0 and height > 0 else None


def composite_scene(
    background: Background,
    rng: np.random.Generator,
    fonts: tuple[TrueTypeFont, ...] = (),
    layouts: Sequence[Layout] = LAYOUTS,
    size: tuple[int, int] = (800, 600),
) -> Scene:
    """A real picture with rendered plates: each of its own is replaced, others are put anywhere.

    Where no place is found for a plate, its predecessor is painted away all the same. Lettering
    that is no plate is put on too. At most MOST_OUTSIDE of a plate lies outside of the picture.

    Args:
        background: the picture.
        rng: decides everything else.
        fonts: TrueType fonts to use beside random dies.
        layouts: of the plates, all from LAYOUTS.
        size: width and height that the picture is shrunk to fit, pixels.
    """
    pixels, boxes = background.read(size)
    if rng.random() < 0.5:
        pixels = pixels[:, ::-1]
        boxes = tuple(Box(pixels.shape[1] - b.right, b.y, b.width, b.height) for b in boxes)
    canvas: Pixels = pixels.astype(np.float32)
    colourless = is_colourless(pixels)
    looks = [_look_of_plate(canvas, box) for box in boxes]
    for box in boxes:
        paint_over(canvas, box)
    night = bool(rng.random() < 0.12)
    if night:
        gain = min(1.0, rng.uniform(12, 45) / max(1.0, float(canvas.mean())))
        canvas *= gain * np.array([0.9, 0.95, 1.1], np.float32)
    for _ in range(rng.choice(5, p=(0.4, 0.2, 0.2, 0.1, 0.1))):
        _put_lettering(canvas, rng)
    plates: list[ScenePlate] = []
    for box, look in zip(boxes, looks, strict=True):
        _put_plate(canvas, plates, _over(box, layouts, rng), look, random_font(rng, fonts), rng)
    for _ in range(rng.choice(4, p=(0.7, 0.3, 0, 0) if boxes else (0.1, 0.4, 0.3, 0.2))):
        views = _anywhere(canvas, layouts, rng)
        _put_plate(canvas, plates, views, None, random_font(rng, fonts), rng, lit=night)
    if rng.random() < (0.6 if night else 0.06):
        _put_lamps(canvas, plates, rng)
    if colourless:
        canvas = cv2.cvtColor(cv2.cvtColor(canvas, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)
    lowest = min((plate.box.height for plate in plates), default=20.0)
    pixels = photograph(
        light(canvas, rng, rng.uniform(0, 0.5)),
        rng,
        blur=rng.uniform(0, min(0.7, 0.06 * lowest)),
        noise=rng.uniform(0.5, 5),
        contrast=rng.uniform(0.75, 1.05),
        motion=rng.uniform(0.05, 0.35) * min(20.0, lowest) if rng.random() < 0.06 else 0.0,
    )
    return Scene(pixels, tuple(plates))


def is_colourless(pixels: npt.NDArray[np.uint8]) -> bool:
    """Whether the channels of an RGB picture (height, width, 3) hardly differ."""
    return float(np.ptp(pixels[::8, ::8], axis=2).mean()) < 3


@dataclass(frozen=True, eq=False)
class Look:
    """How a place of a picture looks.

    Attributes:
        dark, bright: RGB of what is black and white there, float32 (3,).
        blur: standard deviation of its blur, pixels.
    """

    dark: npt.NDArray[np.float32]
    bright: npt.NDArray[np.float32]
    blur: float

    @classmethod
    def of(cls, canvas: Pixels, box: Box) -> Look:
        """Measured within a box: a plate's, whose paper and ink give black and white."""
        part = canvas[_window(canvas, box)]
        step = max(1, round(math.sqrt(part.shape[0] * part.shape[1]) / 64))
        dark, bright = np.percentile(part[::step, ::step], (5, 93), axis=(0, 1))
        grey = cv2.cvtColor(part, cv2.COLOR_RGB2GRAY)
        return cls(dark.astype(np.float32), bright.astype(np.float32), blur_of(grey))

    def apply(self, layer: Layer, resolution: float) -> Layer:
        """The layer, drawn for white light, in this one's; `resolution`: its pixels to one."""
        pixels = self.dark + layer.pixels * ((self.bright - self.dark) / np.float32(238))
        alpha = layer.alpha
        if self.blur * resolution > 0.3:
            pixels = cv2.GaussianBlur(pixels, (0, 0), self.blur * resolution)
            alpha = cv2.GaussianBlur(alpha, (0, 0), self.blur * resolution)
        return Layer(pixels, alpha)


def blur_of(grey: Pixels) -> float:
    """The blur of a picture's sharpest edges, as the standard deviation of a Gaussian, 0 to 3.

    A step of height A is A / (s √2π) steep after a Gaussian of deviation s; the gradient's own
    mask (Sobel) makes 0.8 of a sharp one.

    Args:
        grey: float32 (height, width).
    """
    slopes = [cv2.Sobel(grey, cv2.CV_32F, dx, 1 - dx, scale=1 / 8) for dx in (0, 1)]
    low, high = np.percentile(grey[::2, ::2], (2, 98))
    steepest = np.percentile(np.hypot(*slopes), 99.5)
    if high - low < 12 or steepest < 1:
        return 1.0  # nothing there to tell by
    spread = (high - low) / (steepest * math.sqrt(2 * math.pi))
    return float(np.clip(math.sqrt(max(0.0, spread**2 - 0.8**2)), 0, 3))


def paint_over(canvas: Pixels, box: Box) -> None:
    """Make what is in a box and at its edge disappear, in place, by what is around it.

    The fill is found (Telea 2004) on a small picture, since it is smooth anyway.
    """
    grown = _grown(box, 0.1, 2)
    around = _grown(box, 0.6, 8)
    rows, columns = _window(canvas, around)
    part = canvas[rows, columns]
    hole = np.zeros(part.shape[:2], np.float32)
    inside = Box(grown.x - columns.start, grown.y - rows.start, grown.width, grown.height)
    hole[_window(hole, inside)] = 1
    shrink = min(1.0, 96 / part.shape[1])
    small = (max(1, round(part.shape[1] * shrink)), max(1, round(part.shape[0] * shrink)))
    mask = (cv2.resize(hole, small, interpolation=cv2.INTER_AREA) > 0).astype(np.uint8)
    seen = np.clip(cv2.resize(part, small, interpolation=cv2.INTER_AREA), 0, 255).astype(np.uint8)
    # A plate that fills the picture has nothing around it to go by.
    filled = (
        np.full_like(seen, 128) if mask.all() else cv2.inpaint(seen, mask, 3, cv2.INPAINT_TELEA)
    )
    fresh = cv2.resize(filled, part.shape[1::-1], interpolation=cv2.INTER_LINEAR)
    soft = np.maximum(hole, cv2.blur(hole, (5, 5)))[..., None]
    part += soft * (fresh - part)


@dataclass(frozen=True)
class View:
    """A way to show a plate: its layout, its width in pixels, its corners in the picture."""

    layout: Layout
    width: float
    quad: Quad


def _over(box: Box, layouts: Sequence[Layout], rng: np.random.Generator) -> Iterator[View]:
    """Views of plates in a known one's place, of shapes near its."""
    aspects = np.array([layout.size[0] / layout.size[1] for layout in layouts])
    likely = np.exp(-4 * np.abs(np.log(aspects * box.height / box.width)))
    while True:
        number = int(rng.choice(len(layouts), p=likely / likely.sum()))
        width = math.sqrt(box.area * aspects[number]) * rng.uniform(0.95, 1.2)
        roll, yaw, pitch = rng.normal(0, (2, 8, 5))
        centre = np.array([box.x + box.width / 2, box.y + box.height / 2])
        centre += rng.normal(0, 0.04 * box.height, 2)
        yield _view(layouts[number], width, centre, (roll, yaw, pitch), 8.0)


def _anywhere(
    canvas: Pixels, layouts: Sequence[Layout], rng: np.random.Generator
) -> Iterator[View]:
    """Views of random plates at random places."""
    height, width = canvas.shape[:2]
    while True:
        layout = layouts[int(rng.integers(len(layouts)))]
        widest = max(SMALLEST_PLATE, LARGEST_PLATE * width)
        wide = float(np.exp(rng.uniform(np.log(SMALLEST_PLATE), np.log(widest))))
        roll = rng.normal(0, 4) if rng.random() < 0.85 else rng.uniform(-45, 45)
        yaw, pitch = np.clip(rng.normal(0, (15, 8)), -45, 45)
        centre = rng.uniform(0, 1, 2) * (width, height)
        yield _view(layout, wide, centre, (roll, yaw, pitch), float(np.exp(rng.uniform(1.6, 3))))


def _view(
    layout: Layout,
    width: float,
    centre: npt.NDArray[np.float64],
    turns: tuple[float, float, float],
    distance: float,
) -> View:
    corners = seen_from(layout.size[0] / layout.size[1], *turns, distance)
    sides = np.linalg.norm(corners[[1, 2]] - corners[[0, 3]], axis=1)
    return View(layout, width, as_quad(corners * (width / sides.mean()) + centre))


def _put_plate(
    canvas: Pixels,
    plates: list[ScenePlate],
    views: Iterator[View],
    look: Look | None,
    font: Font,
    rng: np.random.Generator,
    lit: bool = False,
) -> None:
    """Put a plate where the first view allows it: in the picture and clear of other plates.

    Args:
        canvas: gets the plate.
        plates: those already there; gets this one.
        views: tried in turn, TRIES of them.
        look: of the place, or None: that of its surroundings.
        font: of the plate.
        rng: decides what it is fixed to.
        lit: by lamps, against a dark picture.
    """
    picture = Box(0, 0, canvas.shape[1], canvas.shape[0])
    for view, _ in zip(views, range(TRIES), strict=False):
        box = bounding_box(view.quad)
        if intersection(box, picture) < (1 - MOST_OUTSIDE) * box.area:
            continue
        layer, plate, place = _mount(view, font, rng, alone=look is not None)
        matrix = perspective(place.corners, view.quad)
        covered = bounding_box(project(layer.box, matrix))
        height, width = plate.pixels.shape[:2]
        drawn = perspective(Box(0, 0, width, height).corners, place.corners)
        seen = ScenePlate.after(plate, matrix @ drawn)
        if any(intersection(covered, other.box) > 0 for other in plates) or any(
            intersection(box, picture) < (1 - MOST_OUTSIDE) * box.area for box in seen.characters
        ):
            continue
        found = look or _look_around(canvas, box, rng, lit)
        # Blurred as the place is, yet no more than leaves something to see of characters.
        blur = min(found.blur, 0.3 + 0.08 * view.width * place.height / place.width)
        lay(canvas, replace(found, blur=blur).apply(layer, place.width / view.width), matrix)
        plates.append(seen)
        return


def _look_of_plate(canvas: Pixels, box: Box) -> Look:
    """How what is black and white looks on a known plate, be it coloured or washed out."""
    look = Look.of(canvas, box)
    luma = max(60.0, float(look.bright.mean()))
    bright = np.clip(look.bright, 0.5 * luma, 1.7 * luma)
    return Look(np.minimum(look.dark, 0.6 * bright), bright, look.blur)


def _look_around(canvas: Pixels, box: Box, rng: np.random.Generator, lit: bool) -> Look:
    """How a plate would look at a place without one, going by what is around it."""
    around = Look.of(canvas, _grown(box, 0.5, 16))
    luma = float(around.bright.mean())
    white = np.clip(luma * rng.uniform(0.8, 1.4) + (rng.uniform(40, 180) if lit else 0), 100, 255)
    cast = np.power((around.bright + 10) / (luma + 10), rng.uniform(0, 1))
    dark = np.minimum(around.dark, 0.3 * white) * rng.uniform(0.5, 1)
    blur = around.blur * rng.uniform(0.6, 1.2)
    return Look(np.float32(dark), np.float32(white * cast), blur)


def _mount(
    view: View, font: Font, rng: np.random.Generator, alone: bool
) -> tuple[Layer, RenderedPlate, Box]:
    """A plate, bare or on something, and the plate's box in the layer's pixels.

    Args:
        view: what it will look like.
        font: of the plate.
        rng: decides the rest.
        alone: the picture has a car for it already.
    """
    layout = view.layout
    kind = rng.random()
    car_width = view.width * CAR_WIDTH / layout.size[0]
    if not alone and kind < 0.35 and car_width < 1000:
        plan = CarPlan(layout.name, view.width, rear=bool(rng.random() < 0.6))
        return draw_car(plan, rng.uniform(0, 1), font, rng, lettered=True)
    width = max(8, round(OVERSAMPLING * view.width))
    height = max(3, round(width * layout.size[1] / layout.size[0]))
    margin = round(height * rng.uniform(0.3, 1.2)) + 3
    plate = render_plate(layout, font, rng, max(0.5, 1.3 * width / layout.size[0]))
    worn = weather_plate(plate.pixels, rng, rng.uniform(0, 1))
    seen = cv2.resize(worn, (width, height), interpolation=cv2.INTER_AREA)
    sides = (margin, margin, margin, margin)
    layer = Layer(
        np.asarray(cv2.copyMakeBorder(seen, *sides, cv2.BORDER_REPLICATE), np.float32),
        np.zeros((height + 2 * margin, width + 2 * margin), np.float32),
    )
    place = Box(margin, margin, width, height)
    if kind < (0.15 if alone else 0.7):
        _put_panel(layer, place, rng)
        layer.pixels[margin:-margin, margin:-margin] = seen
    if rng.random() < 0.5:
        _put_shadow(layer, place, rng)
    layer.alpha[margin:-margin, margin:-margin] = 1
    return layer, plate, place


def _put_panel(layer: Layer, place: Box, rng: np.random.Generator) -> None:
    """A recess or a piece of bumper around a plate."""
    colour = rng.uniform(15, 200) + rng.normal(0, 15, 3)
    room = layer.box
    left, top, right, foot = rng.uniform(0.15, 0.95, 4) * (place.x, place.y, place.x, place.y)
    slant = rng.uniform(-0.5, 0.5) * place.x
    outline = [
        (place.x - left + max(slant, 0), place.y - top),
        (place.right + right - max(slant, 0), place.y - top),
        (place.right + right + min(slant, 0), place.bottom + foot),
        (place.x - left - min(slant, 0), place.bottom + foot),
    ]
    fill(layer.pixels, room.corners, colour)
    fill(
        layer.pixels,
        outline,
        colour * rng.uniform(0.5, 1.2),
        colour * rng.uniform(0.5, 1.2),
        layer.alpha,
    )


def _put_shadow(layer: Layer, place: Box, rng: np.random.Generator) -> None:
    """The shadow that a plate throws beside itself."""
    moved = rng.normal(0, 0.08, 2) * place.height + (0, 0.08 * place.height)
    spread = rng.uniform(0.03, 0.15) * place.height
    shadow = np.zeros_like(layer.alpha)
    box = Box(place.x + moved[0], place.y + moved[1], place.width, place.height)
    shadow[_window(shadow, box)] = rng.uniform(0.3, 0.8)
    soft = cv2.GaussianBlur(shadow, (0, 0), spread + 0.5)
    inside = layer.pixels[_window(shadow, place)].copy()
    # Black at the shadow's share where nothing covers the picture yet, darker where something does.
    total = layer.alpha + soft * (1 - layer.alpha)
    layer.pixels[:] *= (layer.alpha * (1 - soft) / np.maximum(total, 1e-3))[..., None]
    layer.pixels[_window(shadow, place)] = inside
    layer.alpha[:] = total


def _put_lettering(canvas: Pixels, rng: np.random.Generator) -> None:
    """A sign or other words that are no plate, in the light of their place."""
    height, width = canvas.shape[:2]
    tall = float(np.exp(rng.uniform(np.log(7), np.log(max(7, 0.2 * height)))))
    layer = random_lettering(max(8, round(OVERSAMPLING * tall)), random_die(rng), rng)
    aspect = layer.box.width / layer.box.height
    roll, yaw, pitch = rng.normal(0, (4, 15, 8))
    corners = seen_from(aspect, roll, float(np.clip(yaw, -45, 45)), pitch, 8.0) * tall * aspect
    quad = as_quad(corners + rng.uniform(0, 1, 2) * (width, height))
    look = _look_around(canvas, bounding_box(quad), rng, lit=False)
    shown = look.apply(layer, OVERSAMPLING)
    lay(canvas, shown, perspective(layer.box.corners, quad))


def _put_lamps(canvas: Pixels, plates: Sequence[ScenePlate], rng: np.random.Generator) -> None:
    """The glare of lamps, beside plates where there are any."""
    height, width = canvas.shape[:2]
    boxes = [plate.box for plate in plates] or [Box(0.4 * width, 0.5 * height, 60, 20)]
    for box in boxes:
        colour = np.array(((255, 240, 220), (200, 40, 30))[rng.integers(2)]) * rng.uniform(0.4, 1.2)
        away, up = rng.uniform(0.8, 1.6) * box.width, rng.uniform(-0.5, 2) * box.height
        for side in (-1, 1):
            centre = box.x + box.width / 2 + side * away, box.y - up
            glow(canvas, centre, box.width * rng.uniform(0.1, 0.3), colour)


def _grown(box: Box, share: float, pixels: float) -> Box:
    """The box with a margin at each side: a share of its height, and some pixels."""
    margin = share * box.height + pixels
    return Box(box.x - margin, box.y - margin, box.width + 2 * margin, box.height + 2 * margin)


def _window(picture: Pixels, box: Box) -> tuple[slice, slice]:
    """The rows and columns of a picture that a box touches, at least one of each."""
    height, width = picture.shape[:2]
    return _span(box.y, box.bottom, height), _span(box.x, box.right, width)


def _span(start: float, stop: float, side: int) -> slice:
    first = min(max(0, math.floor(start)), side - 1)
    return slice(first, max(first + 1, min(side, math.ceil(stop))))
