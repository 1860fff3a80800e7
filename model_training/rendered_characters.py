"""Characters as the reader cuts them out of photographed plates, rendered for training."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, islice

import cv2
import numpy as np
import numpy.typing as npt

from lpr_core.geometry import Box, as_quad, bounding_box, intersection, transform_points
from lpr_core.recognize import ALPHABET, normalise_character
from lpr_core.rectify import rectify
from lpr_core.segment import cut_character
from model_training.close_ups import close_up
from model_training.glyphs import TrueTypeFont
from model_training.layers import HALF
from model_training.layouts import LAYOUTS, Layout
from model_training.plates import RenderedPlate, random_plates

Pictures = npt.NDArray[np.float32]
Labels = npt.NDArray[np.int32]

CHARACTER_HEIGHTS = (9.0, 60.0)
"""Lowest and highest a plate's characters are in the picture, pixels."""

NON_CHARACTERS_A_PLATE = 3
"""Tries a plate; about one in two gives a cut-out."""


def cut_plate(
    plate: RenderedPlate, rng: np.random.Generator
) -> tuple[npt.NDArray[np.uint8], list[Box]]:
    """Photograph a plate and cut it out, a little loose, as the reader rectifies it.

    Returns:
        The crop's pixels, grey uint8 (CROP_HEIGHT, width), and where in it the plate's characters
        are, in their order. They were CHARACTER_HEIGHTS high in the picture (log-uniform).
    """
    tall = float(np.exp(rng.uniform(*np.log(CHARACTER_HEIGHTS))))
    side = tall * plate.pixels.shape[0] / plate.characters[0].box.height
    scene = close_up(plate, rng, grey=True, height=side)
    (seen,) = scene.plates
    loose = np.array(seen.quad) + rng.normal(0, 0.03 * side, (4, 2))
    crop = rectify(scene.pixels, as_quad(loose))
    height, width = plate.pixels.shape[:2]
    plate_corners = np.array(Box(0, 0, width, height).corners, np.float32)
    to_picture = cv2.getPerspectiveTransform(plate_corners, np.array(seen.quad, np.float32) - HALF)
    to_crop = np.linalg.inv(crop.to_image) @ to_picture
    boxes = []
    for truth in seen.plate.characters:
        corners = transform_points(truth.box.corners, to_crop)
        boxes.append(bounding_box((x + HALF, y + HALF) for x, y in corners))
    return crop.pixels, boxes


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
        if found.width < 1:
            continue  # so much was taken off a bar
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
        if shown < 0.5 and filled < 0.5:
            dark = plate.dark_ink if rng.random() < 0.8 else not plate.dark_ink
            yield normalise_character(cut_character(pixels, box, dark))


def characters(
    seed: int,
    fonts: tuple[TrueTypeFont, ...] = (),
    layouts: Sequence[Layout] = LAYOUTS,
    numbers: Iterable[int] | None = None,
) -> Iterator[tuple[str, npt.NDArray[np.float32]]]:
    """The characters of `random_plates`, which takes the same arguments; see `characters_of`."""
    plates = random_plates(seed, fonts, layouts, numbers)
    return chain.from_iterable(characters_of(plate, rng) for plate, rng in plates)


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
    stream = characters(_seed(rng), fonts)
    for number, (character, picture) in enumerate(islice(stream, count)):
        pictures[number], labels[number] = picture, ALPHABET.index(character)
    return pictures, labels


def render_non_characters(
    count: int, rng: np.random.Generator, fonts: tuple[TrueTypeFont, ...] = ()
) -> Pictures:
    """Cut-outs of random plates that show no character, float32 (count, 28, 28)."""
    plates = random_plates(_seed(rng), fonts)
    stream = chain.from_iterable(non_characters_of(plate, rng) for plate, rng in plates)
    return np.array(list(islice(stream, count)), np.float32).reshape(-1, 28, 28)


def _seed(rng: np.random.Generator) -> int:
    return int(rng.integers(2**63))
