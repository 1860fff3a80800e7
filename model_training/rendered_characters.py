"""Characters as the reader cuts them out of photographed plates, rendered for training."""

from __future__ import annotations

from collections.abc import Iterator

import cv2
import numpy as np
import numpy.typing as npt

from lpr_core.geometry import (
    Box,
    Quad,
    as_quad,
    bounding_box,
    intersection,
    transform_points,
)
from lpr_core.recognize import ALPHABET, normalise_character
from lpr_core.rectify import rectify
from lpr_core.segment import cut_character
from model_training.glyphs import Font, TrueTypeFont, random_die
from model_training.plates import LAYOUTS, RenderedPlate, render_plate
from model_training.wear import Pixels, clouds, light, photograph, weather_plate

Pictures = npt.NDArray[np.float32]
Labels = npt.NDArray[np.int32]

DIE_SHARE = 0.6
"""Share of plates stamped with a random die; the others take a TrueType font."""


NON_CHARACTERS_A_PLATE = 3
"""Tries a plate; about one in two gives a cut-out."""

HALF = 0.5
"""Corners count the edges of pixels, warps count their centres."""


def random_font(rng: np.random.Generator, fonts: tuple[TrueTypeFont, ...]) -> Font:
    """A random die or one of the fonts (always a die where there are none)."""
    if not fonts or rng.random() < DIE_SHARE:
        return random_die(rng)
    return fonts[rng.integers(len(fonts))]


def photograph_plate(
    plate: RenderedPlate, rng: np.random.Generator
) -> tuple[npt.NDArray[np.uint8], Quad]:
    """A grey close-up of a worn plate, small, tilted and noisy, and the plate's corners in it.

    The characters become 9 to 60 pixels high (log-uniform).

    Returns:
        uint8 of shape (height, width), and the quad in its pixels.
    """
    worn = weather_plate(plate.pixels, rng, 1.0)
    # Cameras weigh colours differently (and white balance does too).
    grey: Pixels = (worn @ rng.dirichlet((9, 17, 4)).astype(np.float32)).astype(np.float32)
    height, width = grey.shape
    character_height = plate.characters[0].box.height
    scale = float(np.exp(rng.uniform(np.log(9), np.log(60)))) / character_height
    corners = np.array([[0, 0], [width, 0], [width, height], [0, height]], np.float64)
    angle, shear = np.radians(rng.normal(0, 3)), rng.normal(0, 0.06)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    seen = (corners * (rng.uniform(0.85, 1.1), 1) * scale) @ np.array([[1, 0], [shear, 1]]) @ turn.T
    seen += rng.normal(0, 0.015 * scale * height, (4, 2))
    margin = 0.25 * scale * height
    seen += margin - seen.min(axis=0)
    size = np.ceil(seen.max(axis=0) + margin).astype(int)
    matrix = cv2.getPerspectiveTransform(
        (corners - HALF).astype(np.float32), (seen - HALF).astype(np.float32)
    )
    if scale < 1:
        grey = cv2.GaussianBlur(grey, (0, 0), 0.45 / scale)
    surface: Pixels = rng.uniform(0, 220) + 20 * clouds((int(size[1]), int(size[0])), rng)
    picture = cv2.warpPerspective(
        grey,
        matrix,
        (int(size[0]), int(size[1])),
        dst=surface,
        flags=cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_TRANSPARENT,
    )
    shot = photograph(
        light(picture, rng, 1.0),
        rng,
        blur=rng.uniform(0, 0.9) * min(1.0, 4 * scale) if rng.random() < 0.7 else 0.0,
        noise=rng.uniform(0, 7),
        contrast=rng.uniform(0.25, 1.05),
    )
    return shot, as_quad(seen)


def cut_plate(
    plate: RenderedPlate, rng: np.random.Generator
) -> tuple[npt.NDArray[np.uint8], list[Box]]:
    """Photograph a plate and cut it out, a little loose, as the reader rectifies it.

    Returns:
        The crop's pixels, grey uint8, and in them the boxes of the plate's characters.
    """
    picture, quad = photograph_plate(plate, rng)
    side = np.hypot(*np.subtract(quad[3], quad[0]))
    loose = np.array(quad) + rng.normal(0, 0.03 * side, (4, 2))
    crop = rectify(picture, as_quad(loose))
    height, width = plate.pixels.shape[:2]
    plate_corners = np.array([[0, 0], [width, 0], [width, height], [0, height]], np.float32)
    to_picture = cv2.getPerspectiveTransform(plate_corners, np.array(quad, np.float32) - HALF)
    to_crop = np.linalg.inv(crop.to_image) @ to_picture
    corners = (transform_points(truth.box.corners, to_crop) for truth in plate.characters)
    return crop.pixels, [bounding_box((x + HALF, y + HALF) for x, y in quad) for quad in corners]


def characters_of(
    plate: RenderedPlate, rng: np.random.Generator
) -> Iterator[tuple[str, npt.NDArray[np.float32]]]:
    """Photograph a plate and cut its characters out, through the reader's own functions.

    Yields:
        the character and its picture, float32 (28, 28), ink bright, as `normalise_character` makes.
    """
    pixels, boxes = cut_plate(plate, rng)
    for truth, box in zip(plate.characters, boxes, strict=True):
        # Segmentation finds a stroke's edge a little outside or inside of where it is.
        off = 0.025 if rng.random() < 0.85 else 0.06
        left, top, right, bottom = rng.normal(0.01, off, 4) * box.height
        found = Box(box.x - left, box.y - top, box.width + left + right, box.height + top + bottom)
        if found.width < 1 or found.height < 4:
            continue
        ink = cut_character(pixels, found, plate.dark_ink)
        if rng.random() < 0.06:
            _, mask = cv2.threshold(ink, 0, 255, cv2.THRESH_BINARY | cv2.THRESH_OTSU)
            ink = np.asarray(mask, np.uint8)
        yield truth.character, normalise_character(ink)


def non_characters_of(
    plate: RenderedPlate, rng: np.random.Generator
) -> Iterator[npt.NDArray[np.float32]]:
    """Photograph a plate and cut out what stands beside or between its characters.

    Blue bands, emblems, bolts, bare paper and halves of two characters, each the size of a
    character: what a segmenter takes for one by mistake.
    """
    pixels, boxes = cut_plate(plate, rng)
    for _ in range(NON_CHARACTERS_A_PLATE):
        like = boxes[rng.integers(len(boxes))]
        height = like.height * rng.uniform(0.8, 1.2)
        # Narrower ones would be bars, and a bar may well be an I.
        width = height * rng.uniform(0.3, 0.95)
        left = rng.uniform(0, max(1.0, pixels.shape[1] - width))
        box = Box(left, like.y + 0.15 * rng.normal() * like.height, width, height)
        shown = max(intersection(box, other) / other.area for other in boxes)
        filled = max(intersection(box, other) / box.area for other in boxes)
        if height >= 4 and shown < 0.5 and filled < 0.5:
            dark = plate.dark_ink if rng.random() < 0.8 else not plate.dark_ink
            yield normalise_character(cut_character(pixels, box, dark))


def render_characters(
    count: int, rng: np.random.Generator, fonts: tuple[TrueTypeFont, ...] = ()
) -> tuple[Pictures, Labels]:
    """Characters of random plates.

    Args:
        count: how many.
        rng: decides everything else.
        fonts: TrueType fonts to use beside random dies.

    Returns:
        float32 (count, 28, 28) and int32 (count,), indices of ALPHABET.
    """
    pictures = np.empty((count, 28, 28), np.float32)
    labels = np.empty(count, np.int32)
    done = 0
    while done < count:
        layout = LAYOUTS[rng.integers(len(LAYOUTS))]
        plate = render_plate(layout, random_font(rng, fonts), rng)
        for character, picture in characters_of(plate, rng):
            if done < count:
                pictures[done], labels[done] = picture, ALPHABET.index(character)
                done += 1
    return pictures, labels


def render_non_characters(
    count: int, rng: np.random.Generator, fonts: tuple[TrueTypeFont, ...] = ()
) -> Pictures:
    """Cut-outs of random plates that show no character, float32 (count, 28, 28)."""
    pictures: list[npt.NDArray[np.float32]] = []
    while len(pictures) < count:
        layout = LAYOUTS[rng.integers(len(LAYOUTS))]
        pictures += non_characters_of(render_plate(layout, random_font(rng, fonts), rng), rng)
    return np.array(pictures[:count], np.float32).reshape(-1, 28, 28)
