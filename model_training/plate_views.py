"""Plate crops as a reader gets them: cut by corners that are a little off, photographed badly."""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from lpr_core.geometry import Box, Image, as_quad
from lpr_core.sequence import MARGIN as READ_MARGIN
from model_training.layers import perspective
from model_training.plate_crops import HEIGHT, WIDTH, PlateCrops, plate_box
from model_training.wear import photograph

SPREAD = (0.11, 0.06, 0.11, 0.06)
"""Deviations of the left, top, right and bottom margin, in shares of the plate's height."""

TIGHTEST, LOOSE, LOOSEST = -0.06, 0.3, 0.4
"""Least margin that corners leave around a plate, the most, and the most of those that are far off.
Beyond what `plate_crops` keeps a crop's edge is repeated, as a picture's is."""

BLURRED = 0.25, (0.008, 0.055)
"""Share of the views photographed anew that are out of focus, and by how much, the Gaussian's sigma
in shares of the crop's height."""

SMALLEST = 22.0
"""Height down to which a real plate is shrunk, pixels."""


@dataclass(frozen=True)
class Aim:
    """How a plate is cut out: by corners that are off in these ways.

    Attributes:
        left, top, right, bottom: margins, in shares of the plate's height.
        turn: radians by which the crop is turned on the plate.
        shear: by how much the crop leans, as a tangent.
        offsets: of the four corners, (4, 2), in shares of the plate's height.
    """

    left: float = READ_MARGIN
    top: float = READ_MARGIN
    right: float = READ_MARGIN
    bottom: float = READ_MARGIN
    turn: float = 0.0
    shear: float = 0.0
    offsets: npt.NDArray[np.float64] | None = None


def random_aim(rng: np.random.Generator) -> Aim:
    """Corners as detectors and people give them: mostly near, now and then loose or tilted.

    The spread is about that of an early detector's corners on composites: twice as wide along
    the plate, where its end characters stand at the crop's edge or are cut, as across it.
    """
    if rng.random() < 0.7:
        margins = np.clip(rng.normal(READ_MARGIN, SPREAD), TIGHTEST, LOOSE)
    else:
        margins = rng.uniform(TIGHTEST, LOOSEST, 4) * rng.uniform(0.2, 1)
    tail = rng.random() < 0.15
    return Aim(
        *margins.tolist(),
        turn=math.radians(rng.uniform(-10, 10) if tail else rng.normal(0, 2)),
        shear=rng.uniform(-0.25, 0.25) if tail else rng.normal(0, 0.05),
        offsets=rng.normal(0, 0.03, (4, 2)),
    )


def cut(kept: Image, aspect: float, aim: Aim, size: tuple[int, int]) -> Image:
    """Cut a plate out of a crop as `plate_crops` keeps them.

    Args:
        kept: uint8 (HEIGHT, WIDTH).
        aspect: of the plate, width over height.
        aim: by which corners.
        size: width and height of the result; the plate is stretched to it.

    Returns:
        uint8 (height, width).
    """
    unit = np.array([[-0.5, -0.5], [0.5, -0.5], [0.5, 0.5], [-0.5, 0.5]])
    corners = unit * (aspect, 1)
    corners += [
        [-aim.left, -aim.top],
        [aim.right, -aim.top],
        [aim.right, aim.bottom],
        [-aim.left, aim.bottom],
    ]
    corners[:, 0] += aim.shear * corners[:, 1]
    cosine, sine = math.cos(aim.turn), math.sin(aim.turn)
    corners = corners @ np.array([[cosine, sine], [-sine, cosine]])
    if aim.offsets is not None:
        corners += aim.offsets
    place = plate_box(aspect)
    corners = corners * (place.width / aspect, place.height) + (WIDTH / 2, HEIGHT / 2)
    matrix = perspective(Box(0, 0, *size).corners, as_quad(corners))
    return np.asarray(
        cv2.warpPerspective(
            kept,
            matrix,
            size,
            flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
            borderMode=cv2.BORDER_REPLICATE,
        ),
        np.uint8,
    )


def rendered_view(
    crops: PlateCrops, number: int, rng: np.random.Generator, size: tuple[int, int]
) -> Image:
    """A rendered crop, which was worn and photographed when it was rendered, aimed at anew."""
    crop = cut(crops.pixels[number], float(crops.aspects[number]), random_aim(rng), size)
    if rng.random() < 0.3:
        return crop
    gain, level = rng.uniform(0.6, 1.2), rng.uniform(-30, 30)
    pixels = _focused(crop.astype(np.float32) * np.float32(gain) + np.float32(level), rng)
    if rng.random() < 0.3:
        pixels += rng.normal(0, rng.uniform(1, 8), pixels.shape).astype(np.float32)
    return np.asarray(np.clip(pixels, 0, 255), np.uint8)


def real_view(
    kept: Image,
    aspect: float,
    height: float,
    surroundings: PlateCrops,
    rng: np.random.Generator,
    size: tuple[int, int],
) -> Image:
    """A real crop, put where a rendered plate was or as it is, and photographed anew.

    Args:
        kept: the crop as `plate_crops` keeps it, uint8 (HEIGHT, WIDTH).
        aspect: of the plate, width over height.
        height: of the plate in its file, pixels.
        surroundings: rendered ones, whose plates may be covered by the real one.
        rng: decides everything else.
        size: width and height of the result.
    """
    if rng.random() < 0.06:
        kept = 255 - kept
    if rng.random() < 0.5:
        kept = _surrounded(kept, aspect, surroundings, rng)
    seen = cut(kept, aspect, random_aim(rng), size).astype(np.float32)
    # From as large as it is down to what can just be read.
    amount = rng.uniform(0, 1) ** 1.3
    smallest = min(1.0, SMALLEST / height)
    shrink = float(np.exp(rng.uniform(np.log(smallest), 0))) if rng.random() < 0.6 else 1.0
    if shrink < 1:
        small = (max(24, round(size[0] * shrink)), max(10, round(size[1] * shrink)))
        seen = cv2.resize(seen, small, interpolation=cv2.INTER_AREA)
    else:
        seen = _focused(seen, rng)
    shot = photograph(
        seen * np.float32(rng.uniform(0.4, 1.15)),
        rng,
        blur=rng.uniform(0, 0.9) * amount,
        noise=rng.uniform(0.3, 1.5) + rng.uniform(0, 6) * amount,
        contrast=rng.uniform(1 - 0.6 * amount, 1.05),
        motion=rng.uniform(0.5, 2.5) * amount if rng.random() < 0.15 else 0.0,
        quality=95 - 60 * amount,
    )
    return np.asarray(cv2.resize(shot, size, interpolation=cv2.INTER_LINEAR), np.uint8)


def _focused(pixels: npt.NDArray[np.float32], rng: np.random.Generator) -> npt.NDArray[np.float32]:
    """Out of focus now and then."""
    share, (least, most) = BLURRED
    if rng.random() >= share:
        return pixels
    sigma = len(pixels) * math.exp(rng.uniform(math.log(least), math.log(most)))
    return np.asarray(cv2.GaussianBlur(pixels, (0, 0), sigma), np.float32)


def _surrounded(
    kept: Image, aspect: float, surroundings: PlateCrops, rng: np.random.Generator
) -> Image:
    """The crop's plate where one of the surroundings has its own, in its light."""
    other = int(rng.integers(len(surroundings)))
    canvas = surroundings.pixels[other].copy()
    target, source = plate_box(float(surroundings.aspects[other])), plate_box(aspect)
    plate = kept[_rows(source), _columns(source)]
    window = canvas[_rows(target), _columns(target)]
    window[:] = cv2.resize(plate, window.shape[1::-1], interpolation=cv2.INTER_LINEAR)
    # Stretched, so that its own shape comes back with the cut.
    rows = np.interp(
        np.arange(HEIGHT), *_knots(source.y, source.height, target.y, target.height, HEIGHT)
    )
    columns = np.interp(
        np.arange(WIDTH), *_knots(source.x, source.width, target.x, target.width, WIDTH)
    )
    return np.asarray(
        canvas[np.round(rows).astype(int)[:, None], np.round(columns).astype(int)[None]], np.uint8
    )


def _knots(
    start: float, extent: float, other_start: float, other_extent: float, side: int
) -> tuple[list[float], list[float]]:
    """Where a plate begins and ends in its own crop and in the other."""
    return (
        [0.0, start, start + extent, side - 1.0],
        [0.0, other_start, other_start + other_extent, side - 1.0],
    )


def _rows(box: Box) -> slice:
    return slice(round(box.y), round(box.bottom))


def _columns(box: Box) -> slice:
    return slice(round(box.x), round(box.right))
