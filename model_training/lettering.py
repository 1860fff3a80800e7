"""Lettering and stripes of streets and vehicles that are no plates, to tell plates from."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from lpr_core.geometry import Box
from model_training.glyphs import Font
from model_training.layers import Layer, Shade, fill
from model_training.plates import draw_words, random_text

WHITE, BLACK, RED, YELLOW = (236, 236, 230), (24, 24, 26), (178, 30, 34), (240, 196, 40)
BLUE, GREEN, ORANGE = (24, 66, 150), (20, 100, 62), (214, 110, 30)

SHOPS = (
    *("CAFE", "BANK", "HOTEL", "BAKERY", "PIZZERIA 24", "SALE", "BOOKS", "OPTICIAN", "PHARMACY"),
    *("KEBAB", "FLOWERS", "MARKET", "BAR", "GARAGE 2000", "TYRES", "CAR WASH", "SHOES"),
)
TRADES = ("PLUMBING", "ELECTRIC", "EXPRESS", "RENTAL", "LOGISTICS", "ROOFING", "CATERING", "TOURS")
PLACES = ("CENTRE", "NORTH", "AIRPORT", "HARBOUR", "MARKET", "OLD TOWN", "STADIUM", "EAST")
NOTICES = ("SALE", "TAXI", "BABY ON BOARD", "NO PARKING", "LONG VEHICLE", "LEARNER DRIVER", "BUS")
BADGES = ("GLX", "TDI", "16V", "HYBRID", "SPORT", "4X4", "1.6", "2.0 T", "GTI", "320", "XC 90")
OVALS = ("D", "F", "GB", "NL", "PL", "CH", "CZ", "RO", "BR", "USA", "26.2")


def random_lettering(height: int, font: Font, rng: np.random.Generator) -> Layer:
    """A sign, a van's lettering, a sticker, an empty plate, stripes: anything but a plate.

    Args:
        height: of the layer, pixels; its width follows from what it shows.
        font: of its words.
        rng: decides what it is.
    """
    draw = KINDS[rng.integers(len(KINDS))]
    return draw(height, font, rng)


def draw_badge(layer: Layer, box: Box, font: Font, rng: np.random.Generator) -> None:
    """Put a model's name on a car's body."""
    draw_words(layer.pixels, str(rng.choice(BADGES)), font, box, (210, 212, 216))


def shop_sign(height: int, font: Font, rng: np.random.Generator) -> Layer:
    """A board above a shop's window."""
    paper, ink = _two_colours(rng)
    return _board([str(rng.choice(SHOPS))], height, paper, ink, font, margin=rng.uniform(0.15, 0.3))


def _road_sign(height: int, font: Font, rng: np.random.Generator) -> Layer:
    colours = ((BLUE, WHITE), (GREEN, WHITE), (WHITE, BLACK), (YELLOW, BLACK), (ORANGE, BLACK))
    paper, ink = colours[rng.integers(len(colours))]
    number = rng.integers(1, 4)
    lines = [f"{rng.choice(PLACES)} {rng.integers(1, 300)}" for _ in range(number)]
    if number == 1:
        lines = [_code(rng)]
    layer = _board(lines, height, paper, ink, font, margin=0.14)
    right, foot = layer.alpha.shape[1] - 3, height - 3
    cv2.rectangle(layer.pixels, (2, 2), (right, foot), ink, max(1, height // 40), cv2.LINE_AA)
    return layer


def _round_sign(height: int, font: Font, rng: np.random.Generator) -> Layer:
    layer = Layer.clear(height, height)
    for radius, colour in ((0.5, RED), (0.39, WHITE)):
        fill(layer.pixels, _ellipse(layer.box, 2 * radius), colour, alpha=layer.alpha)
    number = str(10 * rng.integers(1, 13)) if rng.random() < 0.8 else "3.5"
    digits = Box(0.22 * height, 0.32 * height, 0.56 * height, 0.36 * height)
    draw_words(layer.pixels, number, font, digits, BLACK)
    return layer


def _house_number(height: int, font: Font, rng: np.random.Generator) -> Layer:
    paper, ink = ((BLUE, WHITE), (WHITE, BLACK), (BLACK, WHITE))[rng.integers(3)]
    number = f"{rng.integers(1, 400)}{'ABC'[rng.integers(3)] if rng.random() < 0.2 else ''}"
    return _board([number], height, paper, ink, font, margin=0.2)


def _van_lettering(height: int, font: Font, rng: np.random.Generator) -> Layer:
    """A name and a telephone number right on the bodywork."""
    name = f"{rng.choice(TRADES)}" if rng.random() < 0.5 else f"{rng.choice(PLACES)} TAXI"
    lines = [name, random_text(str(rng.choice(["0DDD DDDDDD", "DDD-DDDD", "DD DD DD"])), "", rng)]
    ink = _two_colours(rng)[1]
    lettered = _board(lines[: rng.integers(1, 3)], height, (0, 0, 0), (255, 255, 255), font, 0.05)
    pixels = np.empty_like(lettered.pixels)
    pixels[:] = ink
    return Layer(pixels, np.minimum(lettered.pixels[..., 0] / 255, 1))


def _oval_sticker(height: int, font: Font, rng: np.random.Generator) -> Layer:
    layer = Layer.clear(round(1.5 * height), height)
    for share, colour in ((1.0, BLACK), (0.9, WHITE)):
        fill(layer.pixels, _ellipse(layer.box, share), colour, alpha=layer.alpha)
    letters = Box(0.3 * height, 0.25 * height, 0.9 * height, 0.5 * height)
    draw_words(layer.pixels, str(rng.choice(OVALS)), font, letters, BLACK)
    return layer


def _taxi_board(height: int, font: Font, rng: np.random.Generator) -> Layer:
    paper = (YELLOW, WHITE)[rng.integers(2)]
    words = ("TAXI", "RADIO TAXI")[rng.integers(2)]
    return _board([words], height, paper, BLACK, font, margin=0.2)


def _no_plate(height: int, font: Font, rng: np.random.Generator) -> Layer:
    """A rectangle like a plate: empty, or with too few or too many characters."""
    layer = Layer.clear(round(height * rng.choice([4.7, 3, 2, 1.4])), height)
    paper = (WHITE, YELLOW, BLACK, BLUE, (150, 152, 154))[rng.integers(5)]
    fill(layer.pixels, layer.box.corners, paper, alpha=layer.alpha)
    ink = BLACK if np.mean(paper) > 120 else WHITE
    if rng.random() < 0.4:
        right = layer.alpha.shape[1] - 2
        cv2.rectangle(layer.pixels, (1, 1), (right, height - 2), ink, max(1, height // 30))
    kind = rng.random()
    if kind < 0.8:
        words = str(rng.choice(NOTICES)) if kind < 0.4 else _code(rng)
        share = rng.uniform(0.35, 0.7)
        words_box = Box(
            0.1 * layer.box.width, (0.5 - share / 2) * height, 0.8 * layer.box.width, share * height
        )
        draw_words(layer.pixels, words, font, words_box, ink)
    return layer


def _stripes(height: int, font: Font, rng: np.random.Generator) -> Layer:
    """A grille, a fence, a crossing, a barrier's bars."""
    width = round(height * rng.uniform(0.8, 5))
    number = int(rng.integers(4, 24))
    first, second = _two_colours(rng)
    slant = float(rng.normal(0, 0.7)) if rng.random() < 0.3 else 0.0
    y, x = np.indices((height, width), np.float32)
    along = y if rng.random() < 0.4 and not slant else x + slant * y
    waves = np.sin(along * (2 * np.pi * number / max(float(along.max()), 1.0)))
    share = np.clip(0.5 + 2 * (waves + rng.uniform(-0.6, 0.6)), 0, 1)[..., None]
    pixels = np.asarray(first + share * np.subtract(second, first), np.float32)
    open_between = rng.random() < 0.5
    return Layer(pixels, share[..., 0] if open_between else np.ones((height, width), np.float32))


KINDS = (
    shop_sign,
    _road_sign,
    _round_sign,
    _house_number,
    _van_lettering,
    _oval_sticker,
    _taxi_board,
    _no_plate,
    _no_plate,
    _stripes,
)


def _board(
    lines: Sequence[str], height: int, paper: Shade, ink: Shade, font: Font, margin: float
) -> Layer:
    """Lines of words on a board; `margin` in shares of its height."""
    pitch = (1 - 2 * margin) * height / len(lines)
    longest = max(map(len, lines))
    layer = Layer.clear(round(0.62 * pitch * longest + 2 * margin * height) + 2, height)
    fill(layer.pixels, layer.box.corners, paper, alpha=layer.alpha)
    for number, line in enumerate(lines):
        y = margin * height + (number + 0.08) * pitch
        box = Box(margin * height, y, layer.box.width - 2 * margin * height, 0.84 * pitch)
        draw_words(layer.pixels, line, font, box, np.asarray(ink, np.float64))
    return layer


def _two_colours(rng: np.random.Generator) -> tuple[Shade, Shade]:
    """A dark and a bright one, in either order."""
    dark, bright = rng.uniform(0, 110, 3), rng.uniform(150, 255, 3)
    return (dark, bright) if rng.random() < 0.5 else (bright, dark)


def _code(rng: np.random.Generator) -> str:
    """One to three characters."""
    patterns = ("D", "DD", "DDD", "LD", "L", "LL", "LDD", "LL D")
    return random_text(str(rng.choice(patterns)), "ABCDEFGHKLMNPRSTUVWXYZ", rng)


def _ellipse(box: Box, share: float) -> list[tuple[float, float]]:
    """The outline of an ellipse in the middle of a box."""
    angles = np.linspace(0, 2 * np.pi, 32, endpoint=False)
    xs = box.x + box.width * (0.5 + 0.5 * share * np.cos(angles))
    ys = box.y + box.height * (0.5 + 0.5 * share * np.sin(angles))
    return [(float(x), float(y)) for x, y in zip(xs, ys, strict=True)]
