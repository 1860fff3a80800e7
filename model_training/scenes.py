"""Street pictures with cars and their plates, rendered, with the corners of every plate."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from lpr_core.geometry import Box, Quad, as_quad, bounding_box, transform_points
from model_training.glyphs import Font, random_die
from model_training.plates import LAYOUT_BY_NAME, Canvas, RenderedPlate, draw_words, render_plate
from model_training.wear import clouds, light, photograph, weather_plate

Outline = Sequence[tuple[float, float]]
Shade = Sequence[float] | npt.NDArray[np.float64]
"""RGB, 0 to 255."""

CAR_WIDTH, CAR_HEIGHT = 1750, 1450
"""Millimetres."""

HALF = 0.5
"""Corners count the edges of pixels, warps count their centres."""

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
SHOP_WORDS = ("CAFE", "BANK", "HOTEL", "BAKERY", "PARKING", "TAXI", "PIZZA 24", "SALE", "EXIT 7")
BADGES = ("GLX", "TDI", "16V", "HYBRID", "SPORT", "4X4")


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
        night: dark, with the cars lit by headlamps.
        wear: of the plates and the photograph, 0 to 1.
    """

    cars: tuple[CarPlan, ...]
    size: tuple[int, int] = (1200, 800)
    night: bool = False
    wear: float = 0.5


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

    @property
    def box(self) -> Box:
        """The smallest upright box around the plate."""
        return bounding_box(self.quad)


@dataclass(frozen=True, eq=False)
class Scene:
    """A street picture, RGB uint8 (height, width, 3), and the plates in it."""

    pixels: npt.NDArray[np.uint8]
    plates: tuple[ScenePlate, ...]


@dataclass(frozen=True, eq=False)
class Layer:
    """Something to put into a scene: RGB float32 (h, w, 3) and coverage float32 (h, w)."""

    pixels: Canvas
    alpha: npt.NDArray[np.float32]


def render_scene(plan: ScenePlan, font: Font, rng: np.random.Generator) -> Scene:
    """Draw a street, put the cars on it, and photograph it.

    Args:
        plan: what to show.
        font: for the plates.
        rng: decides everything the plan leaves open.
    """
    canvas = _street(plan.size, rng)
    plates: list[ScenePlate] = []
    lit = np.full(canvas.shape[:2], 0.16 if plan.night else 1.0, np.float32)
    for car in plan.cars:
        scale = car.plate_width / LAYOUT_BY_NAME[car.layout].size[0]
        layer, plate, place = _car(car, scale, plan.wear, font, rng)
        matrix = _placement(car, layer, place, plan.size)
        _put(canvas, layer, matrix, rng)
        quad = _seen(place, matrix)
        shrink = place.width / plate.pixels.shape[1]
        boxes = (
            Box(
                place.x + truth.box.x * shrink,
                place.y + truth.box.y * shrink,
                truth.box.width * shrink,
                truth.box.height * shrink,
            )
            for truth in plate.characters
        )
        seen = tuple(bounding_box(_seen(box, matrix)) for box in boxes)
        plates.append(ScenePlate(plate, quad, seen))
        if plan.night:
            _light_up(lit, quad)
    if plan.night:
        canvas *= lit[..., None] * np.array([0.95, 0.97, 1.1], np.float32)
    exposed = light(canvas, rng, 0.6 * plan.wear)
    pixels = photograph(
        exposed, rng, blur=rng.uniform(0.2, 0.4 + 0.5 * plan.wear), noise=1.5 + 5 * plan.wear
    )
    return Scene(pixels, tuple(plates))


def _street(size: tuple[int, int], rng: np.random.Generator) -> Canvas:
    """Sky, houses with shop signs, trees and a road."""
    width, height = size
    horizon = round(height * rng.uniform(0.3, 0.42))
    sky = np.linspace((120, 165, 215), (215, 225, 235), horizon)[:, None] * rng.uniform(0.75, 1.05)
    canvas = np.zeros((height, width, 3), np.float32)
    canvas[:horizon] = sky + 12 * clouds((horizon, width), rng)[..., None]
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
    road = canvas[horizon + pavement :]
    road[:] = rng.uniform(85, 120) + np.linspace(8, -8, len(road))[:, None, None]
    road += (6 * clouds(road.shape[:2], rng, 12))[..., None]
    vanishing = rng.uniform(0.3, 0.7) * width, horizon - 0.1 * height
    for lane in np.arange(-2.5, 2.5) + rng.uniform(0, 1):
        near = vanishing[0] + 0.7 * lane * width
        share = (horizon + pavement - vanishing[1]) / (height - vanishing[1])
        far = vanishing[0] + share * (near - vanishing[0])
        top, foot = horizon + pavement, height
        line = [(far, top), (far + 34 * share, top), (near + 34, foot), (near, foot)]
        _fill(canvas, line, (200, 200, 196))
    canvas += 3 * rng.standard_normal(canvas.shape, dtype=np.float32)
    return np.ascontiguousarray(cv2.GaussianBlur(canvas, (0, 0), 0.8))


def _house(canvas: Canvas, box: Box, rng: np.random.Generator) -> None:
    wall = rng.uniform(90, 210) + rng.normal(0, 18, 3)
    _fill(canvas, box.corners, wall, wall * 0.85)
    column, row = rng.uniform(34, 56), rng.uniform(44, 66)
    for y in np.arange(box.y + 14, box.bottom - 1.7 * row, row):
        for x in np.arange(box.x + 12, box.right - 0.7 * column, column):
            glass = rng.uniform(45, 120) + np.array([0, 6, 14])
            _fill(canvas, Box(x, y, 0.55 * column, 0.6 * row).corners, glass * 1.2, glass * 0.7)
    if rng.random() < 0.2:
        sign = Box(box.x + 0.12 * box.width, box.bottom - 1.1 * row, 0.7 * box.width, 0.6 * row)
        board, ink = (
            ((30, 40, 60), (240, 240, 230))
            if rng.random() < 0.5
            else ((230, 226, 214), (150, 30, 30))
        )
        _fill(canvas, sign.corners, board)
        inner = Box(sign.x + 6, sign.y + 0.2 * sign.height, sign.width - 12, 0.6 * sign.height)
        draw_words(canvas, str(rng.choice(SHOP_WORDS)), random_die(rng), inner, ink)


def _tree(canvas: Canvas, x: float, ground: float, rng: np.random.Generator) -> None:
    trunk = Box(x - 6, ground * 0.5, 12, ground * 0.6)
    _fill(canvas, trunk.corners, (70, 58, 48))
    for _ in range(90):
        leaf = rng.normal((x, ground * 0.4), (0.11 * ground + 18, 0.12 * ground))
        green = np.array([60, 95, 48]) * rng.uniform(0.5, 1.3)
        radius = int(rng.integers(8, 22))
        cv2.circle(canvas, leaf.astype(int).tolist(), radius, green.tolist(), -1, cv2.LINE_AA)


def _car(
    plan: CarPlan, scale: float, wear: float, font: Font, rng: np.random.Generator
) -> tuple[Layer, RenderedPlate, Box]:
    """A car seen straight on, with its plate and the plate's box in the layer's pixels."""
    layout = LAYOUT_BY_NAME[plan.layout]
    size = round(CAR_HEIGHT * scale), round(CAR_WIDTH * scale)
    layer = Layer(np.zeros((*size, 3), np.float32), np.zeros(size, np.float32))
    body = np.clip(CAR_COLOURS[rng.integers(len(CAR_COLOURS))] + rng.normal(0, 8, 3), 15, 235)

    def part(
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
            _fill(layer.pixels, scaled, top, bottom, layer.alpha)

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
    if plan.rear:
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
    draw_words(layer.pixels, str(rng.choice(BADGES)), random_die(rng), badge, (210, 212, 216))

    # Drawn at least twice as large as seen, so that shrinking smooths it.
    plate = render_plate(layout, font, rng, max(1.0, 2 * scale))
    worn = weather_plate(plate.pixels, rng, wear)
    place = Box(
        round(left * scale), round(top * scale), round(width * scale), round(height * scale)
    )
    seen = cv2.resize(worn, (int(place.width), int(place.height)), interpolation=cv2.INTER_AREA)
    x, y = int(place.x), int(place.y)
    layer.pixels[y : y + seen.shape[0], x : x + seen.shape[1]] = seen
    layer.pixels[:] += (5 * clouds(size, rng, 8))[..., None]
    return layer, plate, place


def _placement(
    car: CarPlan, layer: Layer, place: Box, size: tuple[int, int]
) -> npt.NDArray[np.float64]:
    """The transform of layer pixels to scene pixels that brings the plate to its centre."""
    height, width = layer.alpha.shape
    corners = np.array([[0, 0], [width, 0], [width, height], [0, height]], np.float64)
    centre = np.array([place.x + place.width / 2, place.y + place.height / 2])
    moved = corners - centre
    sides = np.array([1 + car.yaw, 1 - car.yaw, 1 - car.yaw, 1 + car.yaw])
    moved *= sides[:, None] * (1 - 0.8 * abs(car.yaw), 1)
    angle = np.radians(car.roll)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    target = moved @ turn.T + np.multiply(car.centre, size)
    matrix = cv2.getPerspectiveTransform(
        (corners - HALF).astype(np.float32), (target - HALF).astype(np.float32)
    )
    return np.asarray(matrix, np.float64)


def _seen(box: Box, matrix: npt.NDArray[np.float64]) -> Quad:
    """Where a box of the layer lies in the scene."""
    centres = transform_points(((x - HALF, y - HALF) for x, y in box.corners), matrix)
    return as_quad(np.array(centres) + HALF)


def _put(
    canvas: Canvas, layer: Layer, matrix: npt.NDArray[np.float64], rng: np.random.Generator
) -> None:
    """Lay a car over the scene, with its shadow on the road."""
    height, width = layer.alpha.shape
    size = canvas.shape[1], canvas.shape[0]
    ground = transform_points(
        [
            (-0.04 * width, 0.9 * height),
            (1.04 * width, 0.9 * height),
            (1.02 * width, 1.05 * height),
            (-0.02 * width, 1.05 * height),
        ],
        matrix,
    )
    shadow = np.zeros(canvas.shape[:2], np.float32)
    cv2.fillPoly(shadow, [np.array(ground).astype(np.int32)], rng.uniform(0.5, 0.7))
    canvas *= 1 - cv2.GaussianBlur(shadow, (0, 0), 0.03 * width)[..., None]
    alpha = cv2.warpPerspective(layer.alpha, matrix, size)[..., None]
    pixels = cv2.warpPerspective(
        layer.pixels, matrix, size, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
    )
    canvas += alpha * (pixels - canvas)


def _light_up(lit: npt.NDArray[np.float32], quad: Quad) -> None:
    """The pool of light of someone's headlamps around a plate."""
    box = bounding_box(quad)
    y, x = np.indices(lit.shape, np.float32)
    distance = ((x - box.x - box.width / 2) / (2.2 * box.width)) ** 2 + (
        (y - box.y - box.height / 2) / (1.4 * box.width)
    ) ** 2
    np.maximum(lit, 0.85 * np.exp(-distance), out=lit)


def _smooth(points: Outline, rounds: int) -> Outline:
    """Cut the corners of an outline (Chaikin 1974)."""
    outline = np.array(points, np.float64)
    for _ in range(rounds):
        following = np.roll(outline, -1, axis=0)
        cut = np.stack([0.8 * outline + 0.2 * following, 0.2 * outline + 0.8 * following], axis=1)
        outline = cut.reshape(-1, 2)
    return [(float(x), float(y)) for x, y in outline]


def _fill(
    canvas: Canvas,
    outline: Outline,
    top: Shade,
    bottom: Shade | None = None,
    alpha: npt.NDArray[np.float32] | None = None,
) -> None:
    """Fill an outline with a colour, or with a slope of two from its top to its bottom."""
    points = np.array(outline)
    y0, y1 = max(0, int(points[:, 1].min())), min(len(canvas), int(points[:, 1].max()) + 2)
    if y1 <= y0:
        return
    mask = np.zeros((y1 - y0, canvas.shape[1]), np.uint8)
    shifted = np.round((points - (0, y0)) * 16).astype(np.int32)
    cv2.fillPoly(mask, [shifted], 255, cv2.LINE_AA, 4)
    cover = mask.astype(np.float32) / 255
    shades = np.linspace(top, top if bottom is None else bottom, y1 - y0, dtype=np.float32)
    band = canvas[y0:y1]
    band += cover[..., None] * (shades[:, None] - band)
    if alpha is not None:
        np.maximum(alpha[y0:y1], cover, out=alpha[y0:y1])
