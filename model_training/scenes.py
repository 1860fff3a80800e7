"""Street pictures with cars and their plates, rendered, with the corners of every plate."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import cv2
import numpy as np
import numpy.typing as npt

from lpr_core.geometry import Box, Matrix, Quad, as_quad, bounding_box, transform_points
from model_training.glyphs import Font, TrueTypeFont, random_die, random_font
from model_training.layers import (
    Layer,
    Outline,
    Pixels,
    Shade,
    fill,
    glow,
    lay,
    perspective,
    project,
)
from model_training.layouts import LAYOUT_BY_NAME, LAYOUTS, Layout
from model_training.lettering import draw_badge, random_lettering, shop_sign
from model_training.plates import RenderedPlate, render_plate
from model_training.wear import clouds, light, photograph, weather_plate

CAR_WIDTH, CAR_HEIGHT = 1750, 1450
"""Millimetres."""

LAMP_LEFT, LAMP_TOP = 180, 790
"""Middle of the left lamp of every car, millimetres."""

HORIZON = 0.36
"""Where the road ends, in shares of the picture's height, give or take."""

EYE_ABOVE_PLATE = 900
"""How much higher than a plate the camera stands, millimetres."""

SMALLEST_PLATE, LARGEST_PLATE = 20, 0.5
"""Width of a plate in random pictures: pixels, and share of the picture's width."""

SMALL = 80
"""Pixels of width below which a plate is drawn larger than it is seen, and shrunk."""

CAR_COLOURS = (
    (205, 205, 208),
    (120, 124, 130),
    (35, 36, 40),
    (150, 28, 30),
    (28, 52, 110),
    (225, 225, 222),
    (52, 88, 70),
    (170, 150, 110),
    (70, 110, 160),
)


@dataclass(frozen=True)
class CarPlan:
    """One car of a scene.

    Attributes:
        layout: the name of its plate's layout.
        plate_width: pixels in the picture, before perspective.
        centre: of the car's plate, in shares of the picture's width and height.
        rear: seen from behind, else from the front.
        yaw: share by which the far side of the car is smaller, negative for the right side.
        roll: degrees by which the car (or the camera) is turned.
    """

    layout: str
    plate_width: float
    centre: tuple[float, float] = (0.5, 0.62)
    rear: bool = True
    yaw: float = 0.0
    roll: float = 0.0


@dataclass(frozen=True)
class ScenePlan:
    """What a scene shows.

    Attributes:
        cars: from far to near.
        size: width and height in pixels.
        night: dark, with the cars lit by headlamps, and some other places.
        wear: of the plates and the photograph, 0 to 1.
        lettering: how many signs and the like stand around that are no plates; with any, there
            may be some on the cars too.
    """

    cars: tuple[CarPlan, ...]
    size: tuple[int, int] = (1200, 800)
    night: bool = False
    wear: float = 0.5
    lettering: int = 0


@dataclass(frozen=True, eq=False)
class ScenePlate:
    """A plate in a scene.

    Attributes:
        plate: as it was drawn.
        quad: its corners, in pixels of the scene.
        characters: the boxes of its characters in reading order, in pixels of the scene.
    """

    plate: RenderedPlate
    quad: Quad
    characters: tuple[Box, ...]

    @classmethod
    def after(cls, plate: RenderedPlate, matrix: Matrix) -> ScenePlate:
        """A plate as a transform of its pixels to those of the scene shows it."""
        height, width = plate.pixels.shape[:2]
        boxes = (bounding_box(project(truth.box, matrix)) for truth in plate.characters)
        return cls(plate, project(Box(0, 0, width, height), matrix), tuple(boxes))

    @property
    def box(self) -> Box:
        """The smallest upright box around the plate."""
        return bounding_box(self.quad)


@dataclass(frozen=True, eq=False)
class Scene:
    """A picture and the plates in it.

    Attributes:
        pixels: uint8, RGB (height, width, 3), or grey (height, width) where grey was asked for.
        plates: all that are in it.
    """

    pixels: npt.NDArray[np.uint8]
    plates: tuple[ScenePlate, ...]


def random_scene(
    rng: np.random.Generator,
    fonts: tuple[TrueTypeFont, ...] = (),
    layouts: Sequence[Layout] = LAYOUTS,
    size: tuple[int, int] = (800, 600),
) -> Scene:
    """A street with up to four cars and much lettering that is no plate.

    Args:
        rng: decides everything.
        fonts: TrueType fonts to use beside random dies.
        layouts: of the plates, all from LAYOUTS.
        size: width and height in pixels.
    """
    return render_scene(random_plan(rng, layouts, size), random_font(rng, fonts), rng)


def random_plan(
    rng: np.random.Generator, layouts: Sequence[Layout], size: tuple[int, int]
) -> ScenePlan:
    """What a random scene shows: see `random_scene`.

    Plates are SMALLEST_PLATE to LARGEST_PLATE wide, but no wider than 0.7 of the picture's height,
    and all of each is in the picture; no car is much wider than it.
    """
    width, height = size
    roll = rng.normal(0, 3) if rng.random() < 0.85 else rng.uniform(-45, 45)
    cars = []
    for _ in range(rng.choice(5, p=(0.1, 0.35, 0.3, 0.15, 0.1))):
        layout = layouts[int(rng.integers(len(layouts)))]
        share = min(LARGEST_PLATE, 0.7 * height / width, 1.8 * layout.size[0] / CAR_WIDTH)
        widest = max(SMALLEST_PLATE, share * width)
        plate_width = float(np.exp(rng.uniform(np.log(SMALLEST_PLATE), np.log(widest))))
        # On the road, and as far below the horizon as its size says that it is near.
        low = HORIZON + EYE_ABOVE_PLATE * plate_width / layout.size[0] / height
        place = rng.uniform(0, 1), low * rng.uniform(0.95, 1.1)
        across, down = abs(np.cos(np.radians(roll))), abs(np.sin(np.radians(roll)))
        sides = plate_width, plate_width * layout.size[1] / layout.size[0]
        reach = np.array([(across, down), (down, across)]) @ sides * 0.6 / size
        x, y = np.clip(place, reach, 1 - reach)
        car = CarPlan(
            layout.name,
            plate_width,
            (float(x), float(y)),
            rear=bool(rng.random() < 0.6),
            yaw=float(np.clip(rng.normal(0, 0.08), -0.25, 0.25)),
            roll=float(roll + rng.normal(0, 1)),
        )
        cars.append(car)
    return ScenePlan(
        tuple(sorted(cars, key=lambda car: car.centre[1])),
        size,
        night=bool(rng.random() < 0.2),
        wear=float(rng.uniform(0, 1)),
        lettering=int(rng.integers(0, 8)),
    )


def render_scene(plan: ScenePlan, font: Font, rng: np.random.Generator) -> Scene:
    """Draw a street, put the cars on it, and photograph it.

    A car that would hide the plate of one before it is left out.

    Args:
        plan: what to show.
        font: for the plates.
        rng: decides everything the plan leaves open.
    """
    canvas = _street(plan.size, rng)
    _put_signs(canvas, plan.lettering, rng)
    plates: list[ScenePlate] = []
    lamps: list[tuple[tuple[float, float], float, bool]] = []
    lit = np.full(canvas.shape[:2], 0.16 if plan.night else 1.0, np.float32)
    for car in plan.cars:
        layer, plate, place = draw_car(car, plan.wear, font, rng, plan.lettering > 0)
        matrix = _placement(car, layer, place, plan.size)
        if any(_covers(layer, matrix, earlier.quad) for earlier in plates):
            continue
        _put(canvas, layer, matrix, rng)
        height, width = plate.pixels.shape[:2]
        drawn = perspective(Box(0, 0, width, height).corners, place.corners)
        plates.append(ScenePlate.after(plate, matrix @ drawn))
        if plan.night:
            _light_up(lit, plates[-1].box)
            scale = layer.box.width / CAR_WIDTH
            ends = [(x * scale, LAMP_TOP * scale) for x in (LAMP_LEFT, CAR_WIDTH - LAMP_LEFT)]
            lamps += [(end, car.plate_width, car.rear) for end in transform_points(ends, matrix)]
    if plan.night:
        for _ in range(rng.integers(0, 4)):  # street lamps: not all that is lit is a plate
            x, y, reach = rng.uniform(0, 1, 3) * (*plan.size, 0.12 * plan.size[0])
            _light_up(lit, Box(x, y, reach, 0))
        canvas *= cv2.merge([0.95 * lit, 0.97 * lit, 1.1 * lit])
        for lamp, plate_width, rear in lamps:
            colour = (150, 20, 20) if rear else (230, 230, 210)
            glow(canvas, lamp, plate_width * rng.uniform(0.2, 0.5), colour)
    exposed = light(canvas, rng, 0.6 * plan.wear)
    pixels = photograph(
        exposed, rng, blur=rng.uniform(0.2, 0.4 + 0.5 * plan.wear), noise=1.5 + 5 * plan.wear
    )
    return Scene(pixels, tuple(plates))


def _street(size: tuple[int, int], rng: np.random.Generator) -> Pixels:
    """Sky, houses with shop signs, trees and a road."""
    width, height = size
    horizon = round(height * rng.uniform(0.3, 0.42))
    canvas = np.zeros((height, width, 3), np.float32)
    zenith, haze = np.multiply(((120, 165, 215), (215, 225, 235)), rng.uniform(0.75, 1.05))
    fill(canvas, Box(0, 0, width, horizon).corners, zenith, haze)
    _mottle(canvas[:horizon], 12, rng)
    x = -rng.uniform(0, 100)
    while x < width:
        house = rng.uniform(140, 320)
        roof = horizon * rng.uniform(0.05, 0.5)
        _house(canvas, Box(x, roof, house, horizon - roof), rng)
        x += house + (rng.uniform(10, 80) if rng.random() < 0.3 else 0)
    for _ in range(rng.integers(1, 4)):
        _tree(canvas, rng.uniform(0, width), horizon, rng)
    pavement = round(height * 0.04)
    canvas[horizon : horizon + pavement] = rng.uniform(150, 180)
    tar = rng.uniform(85, 120)
    road = Box(0, horizon + pavement, width, height - horizon - pavement)
    fill(canvas, road.corners, [tar + 8] * 3, [tar - 8] * 3)
    _mottle(canvas[horizon + pavement :], 6, rng, 12)
    vanishing = rng.uniform(0.3, 0.7) * width, horizon - 0.1 * height
    for lane in np.arange(-2.5, 2.5) + rng.uniform(0, 1):
        near = vanishing[0] + 0.7 * lane * width
        share = (horizon + pavement - vanishing[1]) / (height - vanishing[1])
        far = vanishing[0] + share * (near - vanishing[0])
        top, foot = horizon + pavement, height
        line = [(far, top), (far + 34 * share, top), (near + 34, foot), (near, foot)]
        fill(canvas, line, (200, 200, 196))
    return np.ascontiguousarray(cv2.GaussianBlur(canvas, (0, 0), 0.8))


def _mottle(canvas: Pixels, strength: float, rng: np.random.Generator, cells: int = 5) -> None:
    """Make a flat surface uneven, in place, by some grey levels."""
    uneven = strength * clouds(canvas.shape[:2], rng, cells)
    cv2.add(canvas, cv2.merge([uneven, uneven, uneven]), dst=canvas)


def _house(canvas: Pixels, box: Box, rng: np.random.Generator) -> None:
    wall = rng.uniform(90, 210) + rng.normal(0, 18, 3)
    fill(canvas, box.corners, wall, wall * 0.85)
    column, row = rng.uniform(34, 56), rng.uniform(44, 66)
    for y in np.arange(box.y + 14, box.bottom - 1.7 * row, row):
        for x in np.arange(box.x + 12, box.right - 0.7 * column, column):
            glass = rng.uniform(45, 120) + np.array([0, 6, 14])
            fill(canvas, Box(x, y, 0.55 * column, 0.6 * row).corners, glass * 1.2, glass * 0.7)
    if rng.random() < 0.2:
        sign = Box(box.x + 0.12 * box.width, box.bottom - 1.1 * row, 0.7 * box.width, 0.6 * row)
        board = shop_sign(round(sign.height), random_die(rng), rng)
        lay(canvas, board, perspective(board.box.corners, sign.corners))


def _put_signs(canvas: Pixels, number: int, rng: np.random.Generator) -> None:
    """Signs and banners along the street, some on poles, and now and then words on the road."""
    height, width = canvas.shape[:2]
    for _ in range(number):
        tall = round(np.exp(rng.uniform(np.log(8), np.log(0.12 * height))))
        layer = random_lettering(2 * tall, random_die(rng), rng)
        on_the_road = rng.random() < 0.15
        y = rng.uniform(*((HORIZON, 0.9) if on_the_road else (0.05, HORIZON))) * height
        box = Box(rng.uniform(-0.05, 0.95) * width, y, layer.box.width / 2, tall)
        if rng.random() < 0.5 and not on_the_road:
            foot = max(HORIZON * height, box.bottom) + rng.uniform(1, 3) * tall
            post = Box(box.x + 0.47 * box.width, y, max(2, 0.08 * tall), foot - y)
            fill(canvas, post.corners, (130, 132, 134), (90, 92, 94))
        slant = rng.normal(0, 0.06 * tall, (4, 2))
        lay(canvas, layer, perspective(layer.box.corners, as_quad(np.array(box.corners) + slant)))


def _tree(canvas: Pixels, x: float, ground: float, rng: np.random.Generator) -> None:
    trunk = Box(x - 6, ground * 0.5, 12, ground * 0.6)
    fill(canvas, trunk.corners, (70, 58, 48))
    for _ in range(90):
        leaf = rng.normal((x, ground * 0.4), (0.11 * ground + 18, 0.12 * ground))
        green = np.array([60, 95, 48]) * rng.uniform(0.5, 1.3)
        radius = int(rng.integers(8, 22))
        cv2.circle(canvas, leaf.astype(int).tolist(), radius, green.tolist(), -1, cv2.LINE_AA)


def draw_car(
    plan: CarPlan, wear: float, font: Font, rng: np.random.Generator, lettered: bool = False
) -> tuple[Layer, RenderedPlate, Box]:
    """A car seen straight on, with its plate and the plate's box in the layer's pixels.

    Args:
        plan: its layout, size and side; where it stands changes nothing here.
        wear: of the plate, 0 to 1.
        font: of the plate.
        rng: decides colours, shape and text.
        lettered: it may bear stickers and the like.
    """
    layout = LAYOUT_BY_NAME[plan.layout]
    scale = plan.plate_width * (2 if plan.plate_width < SMALL else 1) / layout.size[0]
    layer = Layer.clear(round(CAR_WIDTH * scale), round(CAR_HEIGHT * scale))
    body = np.clip(CAR_COLOURS[rng.integers(len(CAR_COLOURS))] + rng.normal(0, 8, 3), 15, 235)
    part = partial(_part, layer, scale)
    _draw_body(part, body, plan.rear, rng)
    width, height = layout.size
    middle = 860 if plan.rear and rng.random() < 0.6 else 1150
    left, top = (CAR_WIDTH - width) / 2, middle - height / 2
    rim = rng.uniform(25, 60)
    part(
        [
            (left - 2 * rim, top - rim),
            (left + width + 2 * rim, top - rim),
            (left + width + rim, top + height + rim),
            (left - rim, top + height + rim),
        ],
        body * 0.45,
        body * 0.7,
        1,
    )
    badge = Box(1330 * scale, 930 * scale, 170 * scale, 50 * scale)
    draw_badge(layer, badge, random_die(rng), rng)
    if lettered and rng.random() < 0.4:
        _put_stickers(layer, scale, rng)

    # Drawn at least twice as large as seen, so that shrinking smooths it.
    plate = render_plate(layout, font, rng, max(1.0, 2 * scale))
    worn = weather_plate(plate.pixels, rng, wear)
    place = Box(
        round(left * scale), round(top * scale), round(width * scale), round(height * scale)
    )
    seen = cv2.resize(worn, (int(place.width), int(place.height)), interpolation=cv2.INTER_AREA)
    x, y = int(place.x), int(place.y)
    layer.pixels[y : y + seen.shape[0], x : x + seen.shape[1]] = seen
    _mottle(layer.pixels, 5, rng, 8)
    return layer, plate, place


def _part(
    layer: Layer,
    scale: float,
    points: Outline,
    top: Shade,
    bottom: Shade | None = None,
    rounds: int = 2,
    both: bool = False,
) -> None:
    """Paint an outline given in millimetres; `both`: and its mirror image."""
    outlines = [points, [(CAR_WIDTH - x, y) for x, y in points]] if both else [points]
    for outline in outlines:
        scaled = [(x * scale, y * scale) for x, y in _smooth(outline, rounds)]
        fill(layer.pixels, scaled, top, bottom, layer.alpha)


def _draw_body(
    part: Callable[..., None], body: npt.NDArray[np.float64], rear: bool, rng: np.random.Generator
) -> None:
    """All of a car but its plate, in its colour, from behind or from the front; see `_part`."""
    part([(110, 1000), (370, 1000), (370, 1440), (110, 1440)], (24, 24, 26), both=True)
    roof = rng.uniform(160, 380)  # small for a van
    part(
        [
            (roof, 0),
            (CAR_WIDTH - roof, 0),
            (1660, 600),
            (1735, 760),
            (1735, 1180),
            (1640, 1310),
            (110, 1310),
            (15, 1180),
            (15, 760),
            (90, 600),
        ],
        body * 1.12,
        body * 0.62,
    )
    glass = rng.uniform(30, 70)
    part(
        [(roof + 70, 80), (CAR_WIDTH - roof - 70, 80), (1540, 560), (210, 560)],
        (glass + 40, glass + 48, glass + 58),
        (glass, glass, glass + 4),
        1,
    )
    part(
        [(680, 85), (880, 85), (680, 555), (470, 555)],
        (glass + 62, glass + 70, glass + 80),
        (glass + 12, glass + 12, glass + 16),
        0,
    )
    part([(60, 640), (1690, 640), (1690, 650), (60, 650)], body * 1.3, rounds=0)
    if rear:
        part(
            [(40, 690), (310, 700), (335, 780), (290, 880), (50, 900)],
            (190, 24, 28),
            (110, 8, 14),
            both=True,
        )
        part([(110, 760), (230, 765), (235, 820), (115, 830)], (250, 170, 120), both=True)
    else:
        part(
            [(50, 700), (370, 740), (360, 850), (140, 880), (50, 820)],
            (236, 238, 240),
            (120, 126, 134),
            both=True,
        )
        part([(160, 750), (280, 760), (280, 850), (165, 850)], (252, 252, 248), both=True)
        part([(450, 740), (1300, 740), (1230, 900), (520, 900)], (30, 30, 33))
        for y in range(760, 890, 30):
            part([(490, y), (1260, y), (1260, y + 8), (490, y + 8)], (120, 122, 126), rounds=0)
    bumper = body * 0.75 if rng.random() < 0.6 else np.array([46, 46, 50])
    part(
        [(10, 1010), (1740, 1010), (1740, 1180), (1640, 1315), (110, 1315), (10, 1180)],
        bumper * 1.15,
        bumper * 0.6,
    )
    part([(850, 660), (900, 660), (900, 710), (850, 710)], (190, 192, 196), (110, 112, 116))


def _put_stickers(layer: Layer, scale: float, rng: np.random.Generator) -> None:
    """Lettering on the body and the window of a car, above where plates are, or on its roof."""
    for _ in range(rng.integers(1, 4)):
        tall = rng.uniform(50, 160) * scale
        sticker = random_lettering(max(8, round(tall)), random_die(rng), rng)
        wide = min(sticker.box.width, 700 * scale)
        x, y = rng.uniform(250, 900) * scale, rng.uniform(30, 560) * scale
        place = Box(x, y, wide, min(tall, 730 * scale - y))
        lay(layer.pixels, sticker, perspective(sticker.box.corners, place.corners))


def _placement(car: CarPlan, layer: Layer, place: Box, size: tuple[int, int]) -> Matrix:
    """The transform of layer pixels to scene pixels that brings the plate to its centre."""
    moved = np.array(layer.box.corners, np.float64)
    moved -= place.x + place.width / 2, place.y + place.height / 2
    moved *= car.plate_width / place.width
    sides = np.array([1 + car.yaw, 1 - car.yaw, 1 - car.yaw, 1 + car.yaw])
    moved *= sides[:, None] * (1 - 0.8 * abs(car.yaw), 1)
    angle = np.radians(car.roll)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    target = moved @ turn.T + np.multiply(car.centre, size)
    return perspective(layer.box.corners, as_quad(target))


def _covers(layer: Layer, matrix: Matrix, quad: Quad) -> bool:
    """Whether a layer hides some of what lies within a quad of the scene, going by some points."""
    grid = Box(0, 0, 32, 16)
    seen = cv2.warpPerspective(layer.alpha, perspective(quad, grid.corners) @ matrix, (32, 16))
    return bool(seen.max() > 0)


def _put(canvas: Pixels, layer: Layer, matrix: Matrix, rng: np.random.Generator) -> None:
    """Lay a car over the scene, with its shadow on the road."""
    height, width = layer.alpha.shape
    tall = 0.15 * height
    shadow = Layer.clear(round(1.2 * width), round(3 * tall))
    x, y = 0.06 * width, tall
    fill(shadow.pixels, Box(x, y, 1.08 * width, tall).corners, (0, 0, 0), alpha=shadow.alpha)
    darkness = rng.uniform(0.5, 0.7) * cv2.GaussianBlur(shadow.alpha, (0, 0), 0.03 * width)
    soft = Layer(shadow.pixels, np.asarray(darkness, np.float32))
    moved = np.array([[1, 0, -0.1 * width], [0, 1, 0.9 * height - y], [0, 0, 1]])
    lay(canvas, soft, matrix @ moved)
    lay(canvas, layer, matrix)


def _light_up(lit: npt.NDArray[np.float32], box: Box) -> None:
    """The pool of light of someone's headlamps or a street lamp around a box."""
    height, width = lit.shape
    x = (np.arange(width, dtype=np.float32) - box.x - box.width / 2) / (2.2 * box.width)
    y = (np.arange(height, dtype=np.float32) - box.y - box.height / 2) / (1.4 * box.width)
    np.maximum(lit, np.exp(-(y**2))[:, None] * (0.85 * np.exp(-(x**2))), out=lit)


def _smooth(points: Outline, rounds: int) -> Outline:
    """Cut the corners of an outline (Chaikin 1974)."""
    outline = np.array(points, np.float64)
    for _ in range(rounds):
        following = np.roll(outline, -1, axis=0)
        cut = np.stack([0.8 * outline + 0.2 * following, 0.2 * outline + 0.8 * following], axis=1)
        outline = cut.reshape(-1, 2)
    return [(float(x), float(y)) for x, y in outline]
