"""What a detector of plates meets on vehicles and around them that is none, in grey."""

from __future__ import annotations

import math

import cv2
import numpy as np
import numpy.typing as npt

from lpr_core.geometry import Box, Image
from model_training.glyphs import random_die
from model_training.plates import draw_words, random_text
from model_training.wear import clouds

Plane = npt.NDArray[np.float32]
"""Grey or coverage, float32 (h, w), 0 to 255; OpenCV draws smooth edges on none such."""

WORDS = (
    *("20DD-DD-DD DD DD DD", "DD DD 20DD", "DDD-DDD-DDDD", "0DDDD DDDDDD", "DDDDDD", "DDDD", "DD"),
    *("LLL", "LLLL", "LLLLLL", "LLLLLLLL", "LLLLLL LLLLL", "LLLLLL   LLLL", "LDD", "LL D D"),
)
"""Patterns of what is written on vehicles and over pictures, as of `Layout.patterns`."""


def random_part(rng: np.random.Generator) -> tuple[Image, Image]:
    """Draw a wheel, a lamp, an emblem, a grille, a panel, windows, or words on no plate.

    Returns:
        Its pixels and their coverage, grey uint8 (h, w) each.
    """
    pixels, cover = KINDS[rng.integers(len(KINDS))](rng)
    shown = np.clip(pixels, 0, 255).astype(np.uint8)
    return shown, np.clip(cover, 0, 255).astype(np.uint8)


def draw_grille(pixels: Plane, rng: np.random.Generator) -> None:
    """Draw bars over all of a picture, in place."""
    height, width = pixels.shape
    pitch = rng.uniform(0.05, 0.25) * height + 2
    tone = rng.uniform(0, 255)
    thick = max(1, round(pitch * rng.uniform(0.15, 0.5)))
    upright, level = ((True, False), (False, True), (True, True))[rng.integers(3)]
    for x in np.arange(0, width, pitch * rng.uniform(1, 2.5)) if upright else ():
        cv2.line(pixels, (round(x), 0), (round(x), height), tone, thick)
    for y in np.arange(0, height, pitch) if level else ():
        cv2.line(pixels, (0, round(y)), (width, round(y)), tone, thick)


def _rectangle(rng: np.random.Generator) -> tuple[Plane, Plane]:
    width = int(rng.integers(60, 180))
    shape = max(10, round(width / rng.uniform(1, 6))), width
    return np.full(shape, rng.uniform(5, 250), np.float32), np.full(shape, 255, np.float32)


def _blurred_ellipse(rng: np.random.Generator) -> tuple[Plane, Plane]:
    pixels, cover = _rectangle(rng)
    height, width = pixels.shape
    centre = (width * rng.uniform(0.3, 0.7), height * rng.uniform(0.3, 0.7))
    size = (width * rng.uniform(0.3, 0.9), height * rng.uniform(0.4, 0.9))
    cv2.ellipse(pixels, (centre, size, rng.uniform(0, 180)), rng.uniform(0, 255), -1)
    return np.asarray(cv2.GaussianBlur(pixels, (0, 0), rng.uniform(0.5, 8)), np.float32), cover


def _grille(rng: np.random.Generator) -> tuple[Plane, Plane]:
    pixels, cover = _rectangle(rng)
    draw_grille(pixels, rng)
    return pixels, cover


def _panel(rng: np.random.Generator) -> tuple[Plane, Plane]:
    pixels, cover = _rectangle(rng)
    return pixels + np.float32(rng.uniform(2, 40)) * clouds(pixels.shape, rng, 7), cover


def _windows(rng: np.random.Generator) -> tuple[Plane, Plane]:
    pixels, cover = _rectangle(rng)
    height, width = pixels.shape
    for x in range(int(rng.integers(8)), width, int(rng.integers(12, 40))):
        top, foot = round(0.15 * height), round(0.85 * height)
        right = x + int(rng.integers(5, 14))
        cv2.rectangle(pixels, (x, top), (right, foot), rng.uniform(0, 255), -1)
    return pixels, cover


def _wheel(rng: np.random.Generator) -> tuple[Plane, Plane]:
    """A tyre and a rim with spokes, at times in the dark of its arch."""
    size = int(rng.integers(60, 170))
    centre = size / 2
    pixels = np.full((size, size), rng.uniform(5, 60), np.float32)
    cover = np.zeros((size, size), np.float32)
    _disc(cover, centre, rng.uniform(0.8, 1) * centre, 255)
    rim = rng.uniform(0.55, 0.75) * centre
    bright, dark = rng.uniform(100, 250), rng.uniform(5, 90)
    _disc(pixels, centre, rim, bright)
    spokes, hub = int(rng.integers(4, 15)), rng.uniform(0.12, 0.35) * rim
    share, turn = rng.uniform(0.3, 0.8), rng.uniform(0, 2 * math.pi)
    outer = rng.uniform(0.8, 0.95) * rim
    for spoke in range(spokes):
        first = turn + 2 * math.pi * spoke / spokes
        opening = 2 * math.pi * share / spokes
        angles = first + opening * np.array([0, 0.33, 0.67, 1, 0.75, 0.25])
        radii = np.array([outer, outer, outer, outer, 1.2 * hub, 1.2 * hub])[:, None]
        outline = centre + radii * np.column_stack([np.cos(angles), np.sin(angles)])
        _fill(pixels, outline, dark)
    _disc(pixels, centre, hub, rng.uniform(60, 255))
    pixels *= np.linspace(*rng.uniform(0.6, 1.2, 2), size, dtype=np.float32)[:, None]
    if rng.random() < 0.4:
        cover[:] = 255
    return pixels, cover


def _emblem(rng: np.random.Generator) -> tuple[Plane, Plane]:
    """A maker's: a ring with a star, bars or letters in it, its ground filled or open."""
    tall = int(rng.integers(30, 100))
    wide = round(tall * rng.uniform(1, 2.2))
    tone, ground = rng.uniform(0, 255, 2)
    pixels = np.full((tall, wide), tone, np.float32)
    middle, axes = (wide / 2, tall / 2), np.array((wide - 4.0, tall - 4.0))
    cover = np.zeros((tall, wide), np.float32)
    cv2.ellipse(cover, (middle, axes, 0.0), 255, -1)
    inner = axes * rng.uniform(0.72, 0.92)
    if rng.random() < 0.7:
        cv2.ellipse(pixels, (middle, inner, 0.0), ground, -1)
    else:
        cv2.ellipse(cover, (middle, inner, 0.0), 0, -1)
    mark = np.zeros((tall, wide), np.float32)
    kind = rng.integers(3)
    if kind == 0:
        points, turn = int(rng.integers(3, 7)), rng.uniform(0, math.pi)
        reach = np.resize((0.5, rng.uniform(0.08, 0.3)), 2 * points)[:, None] * inner
        angles = turn + np.arange(2 * points) * math.pi / points
        _fill(mark, middle + reach * np.column_stack([np.cos(angles), np.sin(angles)]), 255)
    elif kind == 1:
        for _ in range(rng.integers(1, 5)):
            ends = rng.uniform(0.2, 0.8, (2, 2)) * (wide, tall)
            (x0, y0), (x1, y1) = ends.astype(int).tolist()
            cv2.line(mark, (x0, y0), (x1, y1), 255, max(2, tall // 9))
    else:
        canvas = np.zeros((tall, wide, 3), np.float32)
        letters = random_text("LLL"[: rng.integers(1, 4)], "ABCDEFGHJKMNOPRSTVWX", rng)
        box = Box(0.2 * wide, 0.25 * tall, 0.6 * wide, 0.5 * tall)
        draw_words(canvas, letters, random_die(rng), box, (255, 255, 255))
        mark = canvas[..., 0]
    pixels += (mark / np.float32(255)) * (np.float32(tone) - pixels)
    return pixels * _sheen(tall, rng), np.maximum(cover, mark)


def _lamp(rng: np.random.Generator) -> tuple[Plane, Plane]:
    """Ribbed glass with bulbs, in a dark or a bright rim."""
    tall = int(rng.integers(24, 90))
    wide = round(tall * rng.uniform(1, 5))
    corners = np.array([(0, 0), (wide, 0), (wide, tall), (0, tall)], np.float64)
    corners += rng.uniform(0, 0.35, (4, 2)) * tall * ((1, 1), (-1, 1), (-1, -1), (1, -1))
    cover = np.zeros((tall, wide), np.float32)
    _fill(cover, corners, 255)
    pixels = np.full((tall, wide), rng.uniform(60, 230), np.float32)
    for _ in range(rng.integers(0, 4)):
        x, y = int(rng.uniform(0.15, 0.85) * wide), int(rng.uniform(0.35, 0.65) * tall)
        radius = rng.uniform(0.2, 0.5) * tall
        for share in (1.0, 0.8, 0.35):
            cv2.circle(pixels, (x, y), round(share * radius), rng.uniform(0, 255), -1)
    if rng.random() < 0.7:
        across = np.arange(wide, dtype=np.float32) / rng.uniform(1, 6)
        down = np.arange(tall, dtype=np.float32)[:, None] / rng.uniform(2, 10)
        pixels *= 1 + np.float32(rng.uniform(0.1, 0.5)) * np.sin(across)
        if rng.random() < 0.4:
            pixels *= 1 + np.float32(rng.uniform(0.1, 0.4)) * np.sin(down)
    rim = [np.round(corners).astype(np.int32)]
    cv2.polylines(pixels, rim, True, rng.uniform(0, 255), max(1, tall // 14))
    return pixels * _sheen(tall, rng), cover


def _bare_words(rng: np.random.Generator) -> tuple[Plane, Plane]:
    """Letters of chrome, a telephone or fleet number, the time: on whatever is below."""
    text = random_text(str(rng.choice(WORDS)), "AABCDEEFGHIKLMNOOPRRSTTUVW", rng)
    tall = int(rng.integers(16, 70))
    wide = round(tall * len(text) * rng.uniform(0.6, 1.1)) + 8
    canvas = np.zeros((tall, wide, 3), np.float32)
    draw_words(canvas, text, random_die(rng), Box(2, 2, wide - 4, tall - 4), (255, 255, 255))
    tones = np.linspace(*rng.uniform(0, 255, 2), tall, dtype=np.float32)
    if rng.random() < 0.6:
        tones[:] = rng.uniform(200, 255) if rng.random() < 0.5 else rng.uniform(0, 60)
    return np.repeat(tones[:, None], wide, axis=1), canvas[..., 0]


def _sheen(height: int, rng: np.random.Generator) -> Plane:
    """How chrome and glass brighten and darken from top to foot."""
    levels = rng.uniform(0.6, 1.3, 4).astype(np.float32)[:, None]
    return np.asarray(cv2.resize(levels, (1, height)), np.float32)


def _disc(pixels: Plane, centre: float, radius: float, tone: float) -> None:
    middle = round(centre * 16)
    cv2.circle(pixels, (middle, middle), round(radius * 16), tone, -1, shift=4)


def _fill(pixels: Plane, outline: npt.NDArray[np.float64], tone: float) -> None:
    cv2.fillPoly(pixels, [np.round(outline * 16).astype(np.int32)], tone, shift=4)


KINDS = (
    *(_blurred_ellipse, _grille, _panel, _windows),
    *(_wheel, _emblem, _lamp, _bare_words) * 2,
)
