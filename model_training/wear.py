"""What weather, light and cameras do to a plate and to its picture."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

Pixels = npt.NDArray[Any]
"""float32 or float64 of shape (height, width) or (height, width, 3), 0 to 255."""


def clouds(shape: tuple[int, int], rng: np.random.Generator, cells: int = 5) -> Pixels:
    """Smooth noise of standard deviation about 1, float32 of shape (height, width)."""
    coarse = rng.standard_normal((rng.integers(2, cells + 1), rng.integers(2, 2 * cells)))
    height, width = shape
    return cv2.resize(coarse.astype(np.float32), (width, height), interpolation=cv2.INTER_CUBIC)


def weather_plate(pixels: npt.NDArray[np.uint8], rng: np.random.Generator, amount: float) -> Pixels:
    """A plate after some years on the road: dirt, screws, a frame, dents.

    Args:
        pixels: RGB, uint8 of shape (height, width, 3).
        rng: decides what happened.
        amount: 0 new, 1 worn.

    Returns:
        RGB, float32 of the same shape.
    """
    plate = pixels.astype(np.float32)
    height, width = plate.shape[:2]
    if rng.random() < 0.5 * amount:
        dirt = np.clip(clouds((height, width), rng, 9) - rng.uniform(0.3, 1.2), 0, 1)[..., None]
        plate += rng.uniform(0.2, 0.7) * dirt * (rng.uniform(50, 120) - plate)
    if rng.random() < 0.5:
        shade = rng.uniform(0, 180, 3)
        for x in (0.2, 0.8) if width > 3 * height else (0.18, 0.82):
            for y in (0.08, 0.93) if rng.random() < 0.4 else (0.08,):
                centre = round(x * width), round(y * height)
                radius = max(2, round(0.03 * height))
                cv2.circle(plate, centre, radius, shade.tolist(), -1, cv2.LINE_AA)
    if rng.random() < 0.35:
        frame = rng.uniform(0, 90)
        side = max(1, round(rng.uniform(0.015, 0.05) * height))
        plate[:side], plate[-side:], plate[:, :side], plate[:, -side:] = (frame,) * 4
    if rng.random() < 0.4 * amount:
        plate *= (1 + rng.uniform(0.02, 0.12) * clouds((height, width), rng))[..., None]
    return plate


def light(picture: Pixels, rng: np.random.Generator, amount: float) -> Pixels:
    """Uneven light: a slope, and now and then the edge of a shadow.

    Args:
        picture: grey or RGB, float32, 0 to 255.
        rng: decides where the light comes from.
        amount: 0 even, 1 harsh.
    """
    height, width = picture.shape[:2]
    slope_x, slope_y = rng.uniform(-0.3, 0.3, 2) * amount
    gain = 1 + (
        slope_x * np.linspace(-1, 1, width, dtype=np.float32)[None]
        + slope_y * np.linspace(-1, 1, height, dtype=np.float32)[:, None]
    )
    if rng.random() < 0.25 * amount:
        edge = rng.uniform(0, 1, 2)
        shadow = np.ones((height, width), np.float32)
        if rng.random() < 0.5:
            corners = [(0, 0), (width, 0), (width, edge[0] * height), (0, edge[1] * height)]
        else:
            corners = [(0, 0), (edge[0] * width, 0), (edge[1] * width, height), (0, height)]
        cv2.fillPoly(shadow, [np.array(corners).astype(np.int32)], rng.uniform(0.35, 0.8))
        gain = gain * cv2.blur(shadow, (5, 5))
    return np.asarray(picture * (gain if picture.ndim == 2 else gain[..., None]))


def photograph(
    picture: Pixels, rng: np.random.Generator, blur: float, noise: float, contrast: float = 1.0
) -> npt.NDArray[np.uint8]:
    """Through a lens onto a sensor and into a JPEG.

    Args:
        picture: grey or RGB, float32, 0 to 255.
        rng: decides the details.
        blur: standard deviation of the blur, pixels.
        noise: standard deviation of the sensor's noise, grey levels.
        contrast: 1 keeps it; less moves everything towards a random grey.

    Returns:
        uint8 of the same shape.
    """
    if blur > 0.2:
        picture = cv2.GaussianBlur(picture, (0, 0), blur)
    if rng.random() < 0.12:
        picture = cv2.filter2D(picture, -1, _motion(rng))
    level = rng.uniform(20, 200)
    picture = level + contrast * (picture - level)
    if rng.random() < 0.15:
        picture = 255 * np.power(np.clip(picture / 255, 0, 1), rng.uniform(0.6, 1.7))
    if rng.random() < 0.25:
        picture = picture + rng.uniform(0.3, 1.2) * (picture - cv2.GaussianBlur(picture, (0, 0), 1))
    picture = picture + noise * rng.standard_normal(picture.shape, dtype=np.float32)
    sensed = np.clip(picture, 0, 255).astype(np.uint8)
    if rng.random() < 0.5:
        sensed = jpeg(sensed, int(rng.integers(30, 96)))
    return sensed


def jpeg(picture: npt.NDArray[np.uint8], quality: int) -> npt.NDArray[np.uint8]:
    """The picture after JPEG at a quality of 0 to 100, with its artefacts."""
    data = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
    decoded = cv2.imdecode(data, cv2.IMREAD_UNCHANGED)
    if decoded is None:
        raise RuntimeError("OpenCV did not read back its own JPEG")
    return np.asarray(decoded, np.uint8)


def _motion(rng: np.random.Generator) -> Pixels:
    size = int(rng.choice([3, 3, 5]))
    kernel = np.zeros((size, size), np.float32)
    ends = rng.integers(0, size, 2)
    cv2.line(kernel, (0, int(ends[0])), (size - 1, int(ends[1])), 1.0, 1)
    return np.asarray(kernel / kernel.sum())
