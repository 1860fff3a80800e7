"""Close-ups: one plate on the part of the vehicle it is fixed to, photographed well or badly."""

from __future__ import annotations

import math
from dataclasses import replace

import cv2
import numpy as np
import numpy.typing as npt

from lpr_core.geometry import Box, as_quad, bounding_box, transform_points
from model_training.artwork import Rgb, blend
from model_training.layers import HALF, perspective
from model_training.plates import RenderedPlate
from model_training.scenes import Scene, ScenePlate
from model_training.wear import (
    FRAME_COLOURS,
    Pixels,
    clouds,
    dealer_words,
    light,
    night,
    photograph,
    planes,
    small_print,
    tone,
    weather_plate,
)

HEIGHTS = (16.0, 200.0)
"""Lowest and highest plate, pixels."""

SMALL = (8.0, 18.0)
"""Sizes of a plate's characters (`_detail`), pixels: the smallest, and from where on a picture may
be bad in every way and still be read."""

SURROUND = 0.8
"""Bodywork drawn on each side of the plate, in shares of its height."""

MARGINS = (-0.03, 0.4)
"""From a cut into the plate to the loosest crop, in shares of the plate's height."""

LEAST_SPREAD = (18.0, 7.0)
"""Standard deviation that haze leaves of a plate's grey levels, at both heights of SMALL."""

BADGES = ("VOLVO", "SPORT", "TRANSIT", "HYBRID", "4X4", "1.9 TDI", "TURBO", "GLX", "ELECTRIC")


def close_up(
    plate: RenderedPlate,
    rng: np.random.Generator,
    *,
    grey: bool = False,
    height: float | None = None,
) -> Scene:
    """Photograph a plate from near: a crop as a detector cuts it, tilted, worn, lit, out of focus.

    Args:
        plate: new and seen from the front.
        rng: decides everything else.
        grey: a grey picture, made as a camera sees the colours; more than twice as fast.
        height: of the plate in the picture, pixels (the mean of its left and right side); None:
            log-uniform in HEIGHTS, from where its characters are as large as SMALL.

    Returns:
        A picture, uint8 (h, w, 3) RGB or (h, w) grey, and the truth of its plate. The picture cuts
        at most a twentieth of the plate's height off its edges, and nothing off its characters.
    """
    if rng.random() < 0.08:
        plate = bend(plate, rng)
    detail = _detail(plate)
    if height is None:
        lowest = max(HEIGHTS[0], SMALL[0] / detail)
        height = float(np.exp(rng.uniform(np.log(lowest), np.log(HEIGHTS[1]))))
    # One number from pristine to awful: bad pictures are bad in several ways at once. Small ones
    # cannot be as bad and still be read.
    readable = np.interp(detail * height, SMALL, (0.3, 1))
    amount = float(rng.uniform(0, 1) ** 1.2 * readable)
    # A digital zoom or a video's scaling: fewer pixels were seen than there are.
    zoom = rng.uniform(1, 3) if rng.random() < 0.35 * amount else 1.0
    seen_height = max(height / zoom, min(height, max(HEIGHTS[0], SMALL[0] / detail)))

    face = _downsized(plate, seen_height, grey, rng)
    cover = np.asarray(cv2.resize(plate.alpha, face.shape[1::-1]), np.float32)
    panel, place = _mount(weather_plate(face, rng, amount, _clear(plate, face)), cover, rng)
    dark = rng.random() < 0.15
    if dark:
        panel = night(panel, place, rng)
    y0, y1, x0, x1 = _rows_and_columns(place, panel)
    spread = float(cv2.meanStdDev(panel[y0:y1, x0:x1])[1].mean())
    shrink = place.height / seen_height
    if shrink > 1.1:
        panel = cv2.GaussianBlur(panel, (0, 0), 0.35 * shrink)

    quad = _view(plate.pixels.shape[1] / plate.pixels.shape[0], rng)
    quad *= seen_height / np.hypot(*(quad[[3, 2]] - quad[[0, 1]]).T).mean()
    quad, size = _crop(quad, _seen(plate, quad), seen_height, rng)
    matrix = perspective(place.corners, as_quad(quad))
    picture: Pixels = cv2.warpPerspective(panel, matrix, size, borderMode=cv2.BORDER_REPLICATE)
    shot = _shoot(light(picture, rng, amount), rng, amount, detail * seen_height, spread, dark)
    if seen_height < height:
        shot, scale = _enlarge(shot, height / seen_height, rng)
        quad *= scale
    return Scene(shot, (ScenePlate(plate, as_quad(quad), tuple(_seen(plate, quad))),))


def _detail(plate: RenderedPlate) -> float:
    """The size that decides from how far characters can be read, in shares of the plate's height.

    Their height; less where they are narrow.
    """
    sizes = [min(truth.box.height, 1.8 * truth.box.width) for truth in plate.characters]
    return float(np.median(sizes) / plate.pixels.shape[0])


def _downsized(
    plate: RenderedPlate, height: float, grey: bool, rng: np.random.Generator
) -> npt.NDArray[np.float32]:
    """The plate's pixels, no more than twice as it will be seen: it keeps what follows cheap."""
    pixels = plate.pixels
    scale = 2 * height / pixels.shape[0]
    if scale < 1:
        size = max(8, round(pixels.shape[1] * scale)), max(8, round(pixels.shape[0] * scale))
        pixels = np.asarray(cv2.resize(pixels, size, interpolation=cv2.INTER_AREA), np.uint8)
    # Cameras weigh colours differently. Drawn for colour too: both then show the same scene.
    weights = rng.dirichlet((9, 17, 4)).astype(np.float32)
    if not grey:
        return pixels.astype(np.float32)
    return np.asarray(cv2.transform(pixels.astype(np.float32), weights[None]), np.float32)


def _clear(plate: RenderedPlate, face: Pixels) -> Box:
    """The box around the characters and a little paper, in pixels of the face."""
    box = bounding_box(corner for truth in plate.characters for corner in truth.box.corners)
    scale = face.shape[0] / plate.pixels.shape[0]
    margin = 0.02 * face.shape[0]
    return Box(
        box.x * scale - margin,
        box.y * scale - margin,
        box.width * scale + 2 * margin,
        box.height * scale + 2 * margin,
    )


def bend(plate: RenderedPlate, rng: np.random.Generator) -> RenderedPlate:
    """The middle of a plate sags or bulges upwards, boxes and all; its outline stays.

    Each box moves as its middle does: its ink is off by up to a fiftieth of the plate's height.
    """
    height, width = plate.pixels.shape[:2]
    depth = rng.uniform(-0.05, 0.05) * height
    x, y = np.meshgrid(np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32))
    sag = depth * np.sin(np.pi * (np.arange(width) + HALF) / width)
    pixels = cv2.remap(
        plate.pixels,
        x,
        y - sag.astype(np.float32),
        cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_REPLICATE,
    )
    characters = tuple(
        replace(truth, box=replace(truth.box, y=truth.box.y + float(sag[_middle(truth.box)])))
        for truth in plate.characters
    )
    return replace(plate, pixels=np.asarray(pixels, np.uint8), characters=characters)


def _middle(box: Box) -> int:
    return int(box.x + box.width / 2)


def _mount(
    face: Pixels, cover: npt.NDArray[np.float32], rng: np.random.Generator
) -> tuple[Pixels, Box]:
    """A plate on a bumper, a tailgate or in a recess, in a holder or without, and where it is.

    `cover` (height, width) is 0 beyond the plate's rounded corners and 1 on it.
    """
    height, width = face.shape[:2]
    side = round(SURROUND * height)
    shape = (height + 2 * side, width + 2 * side)
    place = Box(side, side, width, height)
    pixels: Pixels = np.empty((*shape, *face.shape[2:]), np.float32)
    above, below = rng.uniform(0.75, 1.25, 2)
    pixels[:] = tone(_body(rng), pixels) * _column(np.linspace(above, below, shape[0]), pixels)
    for _ in range(rng.integers(0, 4)):
        _seam(pixels, place, rng)
    if rng.random() < 0.4:
        _recess(pixels, place, rng)
    if rng.random() < 0.2:
        _badge(pixels, place, rng)
    uneven = rng.uniform(1, 12) * clouds((shape[0] // 4, shape[1] // 4), rng, 7)
    pixels += planes(np.asarray(cv2.resize(uneven, shape[::-1]), np.float32), pixels)
    if width > 2.5 * height and rng.random() < 0.4:
        _holder(pixels, place, rng)
    _shadow_of_plate(pixels, place, rng)
    inside = pixels[side : side + height, side : side + width]
    inside += planes(cover, pixels) * (face - inside)
    return pixels, place


def _body(rng: np.random.Generator) -> npt.NDArray[np.float64]:
    """A vehicle's colour; most are grey, black or white."""
    kind = rng.random()
    if kind < 0.35:
        return np.clip(rng.uniform(12, 60) + rng.normal(0, 4, 3), 0, 255)
    if kind < 0.75:
        return np.clip(rng.uniform(60, 235) + rng.normal(0, 6, 3), 0, 255)
    colour = rng.uniform(15, 200, 3)
    return np.asarray(colour + 0.4 * (colour.mean() - colour))


def _column(values: npt.NDArray[np.float64], pixels: Pixels) -> Pixels:
    """A value a row, shaped to be multiplied with a picture."""
    return values.astype(np.float32).reshape(-1, *(1,) * (pixels.ndim - 1))


def _seam(pixels: Pixels, place: Box, rng: np.random.Generator) -> None:
    """An edge of the bodywork: everything beyond it is another part, a line between."""
    height = pixels.shape[0]
    above = rng.random() < 0.5
    gap = rng.uniform(0.05, 0.75) * place.y
    y = round(place.y - gap if above else place.bottom + gap)
    part = pixels[:y] if above else pixels[y:]
    if rng.random() < 0.5:
        part *= rng.uniform(0.3, 1.5)
    else:
        part[:] = tone(_body(rng), pixels)
    line = slice(max(0, y - max(1, height // 90)), y)
    pixels[line] *= rng.uniform(0.2, 1.6)


def _recess(pixels: Pixels, place: Box, rng: np.random.Generator) -> None:
    """The hollow or the dark panel a plate sits in."""
    left, top, right, foot = rng.uniform(0.04, 0.5, 4) * place.height
    box = Box(place.x - left, place.y - top, place.width + left + right, place.height + top + foot)
    y0, y1, x0, x1 = _rows_and_columns(box, pixels)
    hollow = pixels[y0:y1, x0:x1]
    shades = np.linspace(rng.uniform(0.15, 0.9), rng.uniform(0.4, 1.1), len(hollow))
    hollow *= _column(shades, pixels)


def _rows_and_columns(box: Box, pixels: Pixels) -> tuple[int, int, int, int]:
    height, width = pixels.shape[:2]
    edges = (box.y, height), (box.bottom, height), (box.x, width), (box.right, width)
    y0, y1, x0, x1 = (int(np.clip(round(edge), 0, most)) for edge, most in edges)
    return y0, y1, x0, x1


def _badge(pixels: Pixels, place: Box, rng: np.random.Generator) -> None:
    """A maker's or a model's name above or below the plate."""
    height = rng.uniform(0.2, 0.5) * place.height
    gap = rng.uniform(0.05, 0.3) * place.height
    width = height * rng.uniform(3, 6)
    x = place.x + rng.uniform(-0.1, 0.9) * place.width
    y = place.y - gap - height if rng.random() < 0.6 else place.bottom + gap
    words = str(rng.choice(BADGES)) if rng.random() < 0.7 else dealer_words(rng)
    _print(pixels, Box(x, y, width, height), words, rng.choice([25, 225], 3), rng)


def _print(pixels: Pixels, box: Box, words: str, colour: Rgb, rng: np.random.Generator) -> None:
    y0, y1, x0, x1 = _rows_and_columns(box, pixels)
    if y1 - y0 >= 5 and x1 - x0 >= 12:
        blend(pixels[y0:y1, x0:x1], small_print(words, y1 - y0, x1 - x0, rng), colour)


def _holder(pixels: Pixels, place: Box, rng: np.random.Generator) -> None:
    """A plastic holder around the plate, most with a dealer's strip below it (some above)."""
    colour = FRAME_COLOURS[rng.integers(len(FRAME_COLOURS))] + rng.normal(0, 6, 3)
    rim = rng.uniform(0.02, 0.07) * place.height
    strip = rng.uniform(0.12, 0.24) * place.height if rng.random() < 0.75 else rim
    above = rng.random() < 0.12
    top, foot = (strip, rim) if above else (rim, strip)
    box = Box(place.x - rim, place.y - top, place.width + 2 * rim, place.height + top + foot)
    y0, y1, x0, x1 = _rows_and_columns(box, pixels)
    pixels[y0:y1, x0:x1] = tone(colour, pixels)
    if strip > rim and rng.random() < 0.85:
        y = place.y - strip if above else place.bottom
        ink = rng.uniform(150, 250, 3) if np.mean(colour) < 120 else rng.uniform(10, 110, 3)
        inner = Box(place.x, y + 0.08 * strip, place.width, 0.84 * strip)
        _print(pixels, inner, dealer_words(rng), ink, rng)


def _shadow_of_plate(pixels: Pixels, place: Box, rng: np.random.Generator) -> None:
    """Plates stand a little off the body."""
    shift = rng.uniform(-0.02, 0.06) * place.height
    x = place.x + rng.uniform(-0.04, 0.04) * place.height
    y0, y1, x0, x1 = _rows_and_columns(Box(x, place.y + shift, place.width, place.height), pixels)
    pixels[y0:y1, x0:x1] *= rng.uniform(0.3, 0.9)


def _view(aspect: float, rng: np.random.Generator) -> npt.NDArray[np.float64]:
    """The plate's corners as a camera at some angle sees them, in any unit and from any origin."""
    unit = np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]], np.float64)
    tail = rng.random() < 0.15
    angle = np.radians(rng.uniform(-25, 25) if tail else rng.normal(0, 3.5))
    shear = rng.normal(0, 0.18 if tail else 0.05)
    # The far side is smaller: more so along the longer side.
    near = np.clip(rng.normal(0, 0.035, 2), -0.12, 0.12) / (1, aspect)
    squeeze = rng.uniform(0.65, 1.05) if tail else rng.uniform(0.85, 1.08)
    flat = unit * (aspect * squeeze, 1) / (1 + unit @ near)[:, None]
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    return np.asarray(flat @ np.array([[1, 0], [shear, 1]]) @ turn.T)


def _seen(plate: RenderedPlate, quad: npt.NDArray[np.float64]) -> list[Box]:
    """Upright boxes of the plate's characters where its corners are these."""
    height, width = plate.pixels.shape[:2]
    corners = np.array(Box(0, 0, width, height).corners, np.float32)
    matrix = np.asarray(cv2.getPerspectiveTransform(corners, quad.astype(np.float32)), np.float64)
    boxes = (truth.box for truth in plate.characters)
    return [bounding_box(transform_points(box.corners, matrix)) for box in boxes]


def _crop(
    quad: npt.NDArray[np.float64], characters: list[Box], height: float, rng: np.random.Generator
) -> tuple[npt.NDArray[np.float64], tuple[int, int]]:
    """The corners in a picture that is cut around them, and its width and height in pixels."""
    loose = rng.uniform(0, 1) ** 2 * (MARGINS[1] - MARGINS[0])
    margins = (MARGINS[0] + loose * rng.uniform(0.5, 1, (2, 2))) * height
    ink = np.array([corner for box in characters for corner in box.corners])
    # Whatever is cut off a plate, its characters stay.
    start = np.minimum(quad.min(axis=0) - margins[0], ink.min(axis=0) - HALF)
    stop = np.maximum(quad.max(axis=0) + margins[1], ink.max(axis=0) + HALF)
    columns, rows = np.ceil(stop - start).astype(int).tolist()
    return quad - start, (columns, rows)


def _shoot(
    picture: Pixels,
    rng: np.random.Generator,
    amount: float,
    detail: float,
    spread: float,
    dark: bool,
) -> npt.NDArray[np.uint8]:
    """Photograph it as badly as its characters, `detail` pixels large, stand it.

    `spread` is the standard deviation of the plate's grey levels: noise and haze go by it.
    """
    stroke = 0.13 * detail
    least = float(np.interp(detail, SMALL, LEAST_SPREAD))
    contrast = max(1 - rng.uniform(0, 0.95) * math.sqrt(amount), least / max(spread, least))
    return photograph(
        picture,
        rng,
        blur=0.85 * rng.uniform(0, 1) ** 2 * amount * stroke,
        noise=rng.uniform(0.3, 2) + rng.uniform(0, 0.11) * amount * spread * contrast * (1 + dark),
        contrast=contrast * rng.uniform(0.9, 1.1),
        motion=rng.uniform(0.5, 2) * amount * stroke if rng.random() < 0.3 else 0.0,
        # Blocks shall not hide characters.
        quality=95 - (95 - float(np.interp(detail, (8, 24), (55, 20)))) * amount,
    )


def _enlarge(
    shot: npt.NDArray[np.uint8], zoom: float, rng: np.random.Generator
) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.float64]]:
    """The picture with more pixels and no more detail, and by how much in x and y."""
    size = tuple(max(1, round(side * zoom)) for side in shot.shape[1::-1])
    method = cv2.INTER_CUBIC if rng.random() < 0.6 else cv2.INTER_LINEAR
    if rng.random() < 0.06:
        method = cv2.INTER_NEAREST
    large = cv2.resize(shot, size, interpolation=method)
    return np.asarray(large, np.uint8), np.divide(size, shot.shape[1::-1])
