"""One more view of a character: moved, worn, badly photographed, badly cut out."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from lpr_core.recognize import normalise_character
from model_training.characters import Ink
from model_training.wear import Pixels

CANVAS = 72
HEIGHT = 44


def augment_character(
    ink: Ink, neighbour: Ink, rng: np.random.Generator
) -> npt.NDArray[np.float32]:
    """A character as another plate, camera and segmentation might have brought it.

    Args:
        ink: cut tight, uint8 of shape (height, width), paper 0, ink 255.
        neighbour: some other character, part of which may get into the cut.
        rng: decides what happens.

    Returns:
        float32 (28, 28), 0 to 1, as `normalise_character` makes.
    """
    picture, box = _place(ink, rng)
    if rng.random() < 0.2:
        _intrude(picture, box, neighbour, rng)
    if rng.random() < 0.35:
        kernel = np.ones((int(rng.integers(1, 4)), int(rng.integers(1, 4))), np.uint8)
        change = cv2.dilate if rng.random() < 0.5 else cv2.erode
        picture = change(picture, kernel)
    if rng.random() < 0.5:
        picture = cv2.GaussianBlur(picture, (0, 0), rng.uniform(0.4, 2.2))
    if rng.random() < 0.35:
        picture = _resample(picture, rng)
    if rng.random() < 0.4:
        low, high = rng.uniform(0, 70), rng.uniform(170, 290)
        picture = low + picture * ((high - low) / 255)
        picture += rng.uniform(2, 22) * rng.standard_normal(picture.shape, dtype=np.float32)
    cut = _cut(picture, box, rng)
    if rng.random() < 0.3:
        _, mask = cv2.threshold(cut, float(rng.uniform(90, 165)), 255, cv2.THRESH_BINARY)
        cut = np.asarray(mask, np.uint8)
    return normalise_character(cut)


def _place(ink: Ink, rng: np.random.Generator) -> tuple[Pixels, npt.NDArray[np.float64]]:
    """The character on a canvas, turned, sheared and stretched, and its box (left, top, …)."""
    height, width = ink.shape
    scale = HEIGHT / max(height, width)
    angle, shear = np.radians(rng.normal(0, 3.5)), rng.normal(0, 0.09)
    wide = float(np.clip(rng.normal(1, 0.12), 0.7, 1.4)) if height >= width else 1.0
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    matrix = scale * turn @ np.array([[1, shear], [0, 1]]) @ np.diag([wide, 1.0])
    middle = np.array([(width - 1) / 2, (height - 1) / 2])
    shift = (CANVAS - 1) / 2 - matrix @ middle
    source = cv2.GaussianBlur(ink, (0, 0), 0.4 / scale) if scale < 0.8 else ink
    size = (CANVAS, CANVAS)
    picture = cv2.warpAffine(source.astype(np.float32), np.column_stack([matrix, shift]), size)
    rows = np.flatnonzero(picture.max(axis=1) > 110)
    columns = np.flatnonzero(picture.max(axis=0) > 110)
    if not len(rows) or not len(columns):
        return picture, np.array([4, 4, CANVAS - 4, CANVAS - 4], np.float64)
    box = columns[0], rows[0], columns[-1] + 1, rows[-1] + 1
    return picture, np.array(box, np.float64)


def _intrude(
    picture: Pixels, box: npt.NDArray[np.float64], neighbour: Ink, rng: np.random.Generator
) -> None:
    """Put a strip of a neighbour, or of the plate's frame, close to the character."""
    left, top, right, bottom = box.astype(int)
    if rng.random() < 0.6:
        height = max(4, bottom - top)
        width = max(2, round(neighbour.shape[1] * height / neighbour.shape[0]))
        other = cv2.resize(neighbour, (width, height), interpolation=cv2.INTER_AREA)
        gap = int(rng.integers(-2, 3))
        if rng.random() < 0.5:
            x0, x1 = max(0, left - gap - width), max(0, left - gap)
            strip = other[:, width - (x1 - x0) :]
        else:
            x0, x1 = min(CANVAS, right + gap), min(CANVAS, right + gap + width)
            strip = other[:, : x1 - x0]
        target = picture[top : top + height, x0:x1]
        np.maximum(target, strip[: target.shape[0]], out=target)
    else:
        y = (top - int(rng.integers(0, 4))) if rng.random() < 0.5 else bottom + rng.integers(0, 4)
        cv2.rectangle(
            picture, (0, int(y) - 1), (CANVAS, int(y) + 1), float(rng.uniform(100, 255)), -1
        )


def _resample(picture: Pixels, rng: np.random.Generator) -> Pixels:
    """Through a sensor on which the character is 8 to 24 pixels high."""
    side = round(CANVAS * float(np.exp(rng.uniform(np.log(8), np.log(24)))) / HEIGHT)
    small = cv2.resize(picture, (side, side), interpolation=cv2.INTER_AREA)
    method = cv2.INTER_CUBIC if rng.random() < 0.6 else cv2.INTER_LINEAR
    return cv2.resize(small, (CANVAS, CANVAS), interpolation=method)


def _cut(picture: Pixels, box: npt.NDArray[np.float64], rng: np.random.Generator) -> Ink:
    """Cut the character out by a box whose edges are a little off, now and then far off."""
    height = box[3] - box[1]
    edges = rng.normal(0.01, 0.025 if rng.random() < 0.85 else 0.07, 4) * height
    left, top, right, bottom = np.round(box + edges * (-1, -1, 1, 1)).astype(int)
    left, top = max(0, left), max(0, top)
    right, bottom = max(right, left + 2), max(bottom, top + 4)
    return np.clip(picture[top:bottom, left:right], 0, 255).astype(np.uint8)
