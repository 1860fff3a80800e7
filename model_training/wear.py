"""What age, weather, light and cameras do to a plate and to its picture.

Effects share one form: `effect(picture, rng, strength)` takes float32 pixels, grey or RGB, 0 to
255, and a strength of 0 (hardly to be seen) to 1 (bad, but mostly still readable), and returns
pixels of the same shape (some work in place). The tables say how often each of them happens where
the amount of wear is 1.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from lpr_core.geometry import Box
from model_training.artwork import blend

Pixels = npt.NDArray[Any]
"""float32 or float64 of shape (height, width) or (height, width, 3), 0 to 255."""

Plane = npt.NDArray[np.float32]
"""A share of something at each pixel, float32 of shape (height, width)."""

Effect = Callable[[Pixels, np.random.Generator, float], Pixels]

FRAME_COLOURS = ((18, 18, 20), (18, 18, 20), (40, 42, 46), (200, 203, 208), (232, 232, 230))
BOLT_COLOURS = (
    (150, 152, 155),
    (205, 207, 210),
    (92, 70, 52),
    (28, 28, 30),
    (235, 235, 232),
    (238, 192, 40),
)
"""Steel, zinc, rust, and black, white and yellow caps."""

CASTS = ((1.3, 0.72, 0.95), (1.35, 0.6, 0.8), (1.2, 0.95, 0.6), (0.45, 1.2, 0.85), (0.8, 0.95, 1.3))
"""RGB gains: two tinted windscreens, sodium lamps, a surveillance camera by night, blue hour."""

SYLLABLES = ("AU", "BER", "CAR", "DEN", "FOR", "GA", "HOL", "KO", "LIN", "MAR", "NOR", "RO", "TO")
TRADES = ("MOTORS", "AUTOHAUS", "AUTO", "CARS", "GARAGE", "of", "& SONS", "GmbH", "CITY", "CENTER")


def clouds(shape: tuple[int, int], rng: np.random.Generator, cells: int = 5) -> Plane:
    """Smooth noise of standard deviation about 1, float32 of shape (height, width)."""
    coarse = rng.standard_normal((rng.integers(2, cells + 1), rng.integers(2, 2 * cells)))
    height, width = shape
    noise = cv2.resize(coarse.astype(np.float32), (width, height), interpolation=cv2.INTER_CUBIC)
    return np.asarray(noise, np.float32)


def tone(colour: npt.ArrayLike, picture: Pixels) -> Any:
    """An RGB colour as it fills a picture: itself, or its mean in a grey one."""
    return np.asarray(colour, np.float32) if picture.ndim == 3 else float(np.asarray(colour).mean())


def planes(share: Plane, picture: Pixels) -> Pixels:
    """The share, shaped to be multiplied with a grey or RGB picture."""
    return share if picture.ndim == 2 else share[..., None]


@lru_cache(maxsize=4)
def _face(name: str) -> cv2.FontFace:
    return cv2.FontFace(name)


def small_print(text: str, height: int, width: int, rng: np.random.Generator) -> Plane:
    """A text in OpenCV's built-in font, centred, as large as it fits; the share of ink."""
    ink = np.zeros((height, width), np.uint8)
    size, weight = max(4, round(0.85 * height)), int(rng.integers(300, 800))
    face = _face("italic" if rng.random() < 0.2 else "sans")
    natural = cv2.getTextSize((1, 1), text, (0, 0), face, size, weight)[2]
    if natural > 0.96 * width:
        size = max(4, int(size * 0.96 * width / natural))
        natural = cv2.getTextSize((1, 1), text, (0, 0), face, size, weight)[2]
    start = max(0, (width - natural) // 2), round((height + 0.7 * size) / 2)
    cv2.putText(ink, text, start, (255,), face, size, weight)
    return np.asarray(ink / np.float32(255), np.float32)


def dealer_words(rng: np.random.Generator) -> str:
    """What a dealer prints on a frame: an invented name, an address or a telephone number."""
    name = "".join(rng.choice(SYLLABLES, rng.integers(2, 4)))
    kind = rng.random()
    if kind < 0.3:
        return f"www.{name.lower()}.{rng.choice(['com', 'de', 'eu', 'pl', 'com.br'])}"
    if kind < 0.45:
        return f"{name}  {rng.integers(10, 999):03d} {rng.integers(1000, 99999)}"
    return f"{name} {rng.choice(TRADES)}" if kind < 0.8 else name


def weather_plate(
    pixels: npt.NDArray[Any], rng: np.random.Generator, amount: float, clear: Box | None = None
) -> Pixels:
    """A plate after some years on the road: worn, bolted on, framed, dirty.

    Args:
        pixels: grey or RGB, uint8 or float32 of shape (height, width) or (height, width, 3).
        rng: decides what happened.
        amount: 0 new, 1 worn.
        clear: what a frame leaves free; None: all but a twentieth at each edge.

    Returns:
        float32 of the same shape.
    """
    plate: Pixels = pixels.astype(np.float32)
    plate = apply(AGE, plate, rng, amount)
    if rng.random() < 0.5:
        bolt_on(plate, rng)
    if rng.random() < 0.35:
        frame(plate, rng, clear)
    return np.clip(apply(DIRT, plate, rng, amount), 0, 255)


def apply(
    effects: tuple[tuple[float, Effect], ...],
    picture: Pixels,
    rng: np.random.Generator,
    amount: float,
) -> Pixels:
    """Let some effects happen, each as often as its share says times the amount."""
    for share, effect in effects:
        if rng.random() < share * amount:
            picture = effect(picture, rng, amount * rng.uniform(0.1, 1))
    return picture


def fade(plate: Pixels, rng: np.random.Generator, strength: float) -> Pixels:
    """Years of sun: everything moves towards one pale colour."""
    share = strength * rng.uniform(0.15, 0.5)
    return np.asarray(plate + share * (tone(rng.uniform(150, 210, 3), plate) - plate))


def worn_paint(plate: Pixels, rng: np.random.Generator, strength: float) -> Pixels:
    """Paint that came off in a few places, of the size of a character or less."""
    height, width = plate.shape[:2]
    share = np.zeros((height, width), np.float32)
    for _ in range(rng.integers(1, 4)):
        centre = (round(rng.uniform(0, width)), round(rng.uniform(0.2, 0.9) * height))
        axes = (round(height * rng.uniform(0.05, 0.3)), round(height * rng.uniform(0.05, 0.3)))
        cv2.ellipse(share, (centre, axes, rng.uniform(0, 180)), 1.0, -1)
    flakes = np.clip(0.5 + clouds((height, width), rng, 24), 0, 1)
    share = cv2.blur(share, (3, 3)) * flakes * (0.35 + 0.45 * strength)
    blend(plate, share, rng.uniform(60, 220) + rng.normal(0, 8, 3))
    return plate


def scratches(plate: Pixels, rng: np.random.Generator, strength: float) -> Pixels:
    """Thin bright or dark lines, most of them lying."""
    height, width = plate.shape[:2]
    share = np.zeros((height, width), np.uint8)
    for _ in range(1 + rng.poisson(5 * strength)):
        start = rng.uniform(0, 1, 2) * (width, height)
        way = rng.normal(0, 1, 2) * (0.5 * height, 0.15 * height)
        ends = np.stack([start, start + way]).astype(int).tolist()
        cv2.line(share, ends[0], ends[1], (255,), 1, cv2.LINE_AA)
    shade = rng.choice([40, 225]) + rng.normal(0, 15, 3)
    blend(plate, share * np.float32(0.8 / 255), shade)
    return plate


def dents(plate: Pixels, rng: np.random.Generator, strength: float) -> Pixels:
    """Sheet metal that is no longer flat: lighter and darker patches."""
    relief = 1 + (0.03 + 0.12 * strength) * clouds(plate.shape[:2], rng, 7)
    return np.asarray(plate * planes(relief, plate))


def dust(plate: Pixels, rng: np.random.Generator, strength: float) -> Pixels:
    """A veil of dust or road film, thicker here than there."""
    share = np.clip(0.45 + 0.35 * clouds(plate.shape[:2], rng, 9), 0, 1)
    share *= 0.12 + 0.5 * strength
    blend(plate, share, rng.uniform(70, 150) + np.array([8, 0, -12]))
    return plate


def mud(plate: Pixels, rng: np.random.Generator, strength: float) -> Pixels:
    """Splashes from below: spots that get denser and larger towards the foot."""
    height, width = plate.shape[:2]
    share = np.zeros((height, width), np.float32)
    spots = 10 + rng.poisson(60 * strength)
    xs = rng.uniform(0, width, spots)
    ys = height * (1 - np.abs(rng.normal(0, 0.2 + 0.3 * strength, spots)))
    radii = height * 0.012 * np.exp(rng.normal(0, 0.6, spots))
    for x, y, radius in zip(xs, ys, radii, strict=True):
        cv2.circle(share, (int(x), int(y)), max(1, round(radius)), rng.uniform(0.4, 0.95), -1)
    foot = np.linspace(-2.2, 0.8, height, dtype=np.float32)[:, None] + strength
    crust = np.clip(foot + 0.7 * clouds((height, width), rng, 12), 0, 1) * (0.3 + 0.4 * strength)
    share = np.maximum(cv2.blur(share, (3, 3)), crust)
    blend(plate, share, rng.uniform(35, 110) + np.array([10, 2, -10]))
    return plate


AGE: tuple[tuple[float, Effect], ...] = (
    (0.2, fade),
    (0.15, worn_paint),
    (0.2, scratches),
    (0.4, dents),
)
DIRT: tuple[tuple[float, Effect], ...] = ((0.35, dust), (0.3, mud))


def bolt_on(plate: Pixels, rng: np.random.Generator) -> None:
    """Draw two or four bolts, caps or holes, with their shadows, in place."""
    height, width = plate.shape[:2]
    wide = width > 3 * height
    inset = rng.uniform(0.12, 0.28)
    level = 0.5 if wide and rng.random() < 0.3 else rng.uniform(0.06, 0.12)
    levels = (level, 1 - level) if level < 0.3 and rng.random() < 0.4 else (level,)
    radius = height * (rng.uniform(0.03, 0.07) if wide else rng.uniform(0.02, 0.045))
    cover = BOLT_COLOURS[rng.integers(len(BOLT_COLOURS))] + rng.normal(0, 10, 3)
    hole = rng.random() < 0.2
    lamp = rng.normal(0, 0.35, 2)
    shade = rng.uniform(0.4, 0.8)
    slot = rng.uniform(0, np.pi) if rng.random() < 0.4 else None
    for x in (inset, 1 - inset):
        for y in levels:
            at = np.array([x * width, y * height]) + rng.normal(0, 0.15 * radius, 2)
            if hole:
                size = (round(2.5 * radius), round(1.2 * radius))
                cv2.ellipse(plate, (at.tolist(), size, 0.0), _ink((30, 30, 32), plate), -1)
                continue
            _dot(plate, at - 1.5 * lamp * radius, 1.15 * radius, shade * _at(plate, at))
            _dot(plate, at, radius, cover)
            if radius >= 2:
                _dot(plate, at + 0.4 * lamp * radius, 0.45 * radius, np.clip(cover * 1.25, 0, 255))
            if slot is not None and radius >= 2.5:
                way = 0.7 * radius * np.array([np.cos(slot), np.sin(slot)])
                ends = np.stack([at - way, at + way]).round().astype(int).tolist()
                cv2.line(plate, ends[0], ends[1], _ink(0.4 * cover, plate), 1)


def _dot(plate: Pixels, centre: npt.NDArray[Any], radius: float, colour: npt.ArrayLike) -> None:
    place = (int(centre[0] * 16), int(centre[1] * 16))
    cv2.circle(plate, place, max(16, int(radius * 16)), _ink(colour, plate), -1, cv2.LINE_AA, 4)


def _ink(colour: npt.ArrayLike, picture: Pixels) -> tuple[float, ...]:
    """A colour as OpenCV's drawing functions take it."""
    return tuple(float(v) for v in np.ravel(tone(colour, picture)))


def _at(picture: Pixels, point: npt.NDArray[Any]) -> Any:
    height, width = picture.shape[:2]
    return picture[min(int(max(point[1], 0)), height - 1), min(int(max(point[0], 0)), width - 1)]


def frame(plate: Pixels, rng: np.random.Generator, clear: Box | None = None) -> None:
    """Draw a frame that covers the edges of the plate, with a dealer's words where it is wide.

    Args:
        plate: grey or RGB, float32; changed in place.
        rng: decides width, colour and words.
        clear: what stays free; None: all but a twentieth at each edge.
    """
    height, width = plate.shape[:2]
    clear = clear or Box(0.05 * width, 0.05 * height, 0.9 * width, 0.9 * height)
    thin = rng.uniform(0.01, 0.045) * height
    wide = rng.uniform(0.08, 0.16, 2) * height
    top, foot = (int(v) for v in np.where(rng.random(2) < 0.5, wide, thin))
    top, foot = max(0, min(top, int(clear.y))), max(0, min(foot, int(height - clear.bottom)))
    left = max(0, int(min(thin, clear.x)))
    right = max(0, int(min(thin, width - clear.right)))
    colour = FRAME_COLOURS[rng.integers(len(FRAME_COLOURS))] + rng.normal(0, 5, 3)
    covered = np.ones((height, width), np.float32)
    covered[top : height - foot, left : width - right] = 0
    blend(plate, covered, colour)
    ink = rng.uniform(190, 250, 3) if colour.mean() < 120 else rng.uniform(10, 90, 3)
    for y, side in ((0, top), (height - foot, foot)):
        if side > 0.07 * height and side >= 6 and rng.random() < 0.8:
            blend(plate[y : y + side], small_print(dealer_words(rng), side, width, rng), ink)
    # The frame stands proud of the plate and throws a shadow on it.
    if top > 0:
        plate[top : top + max(1, height // 50), left : width - right] *= rng.uniform(0.5, 1)


def light(picture: Pixels, rng: np.random.Generator, amount: float) -> Pixels:
    """Uneven light: a slope, and now and then a shadow or a glare.

    Args:
        picture: grey or RGB, float32, 0 to 255.
        rng: decides where the light comes from.
        amount: 0 even, 1 harsh.
    """
    return apply(LIGHTS, slope(picture, rng, amount), rng, amount)


def slope(picture: Pixels, rng: np.random.Generator, strength: float) -> Pixels:
    """Light that falls off across the picture."""
    height, width = picture.shape[:2]
    x, y = rng.uniform(-0.35, 0.35, 2).astype(np.float32) * strength
    across = x * np.linspace(-1, 1, width, dtype=np.float32)[None]
    down = y * np.linspace(-1, 1, height, dtype=np.float32)[:, None]
    return np.asarray(picture * planes(1 + across + down, picture))


def shadow_edge(picture: Pixels, rng: np.random.Generator, strength: float) -> Pixels:
    """The straight edge of a shadow: a bumper's, a building's, the photographer's."""
    height, width = picture.shape[:2]
    near, far = rng.uniform(0, 1, 2)
    if rng.random() < 0.5:
        corners = [(0, 0), (width, 0), (width, far * height), (0, near * height)]
    else:
        corners = [(0, 0), (near * width, 0), (far * width, height), (0, height)]
    shadow = np.zeros((height, width), np.float32)
    cv2.fillPoly(shadow, [np.array(corners).astype(np.int32)], 1.0)
    return _shade(picture, 1 - shadow if rng.random() < 0.5 else shadow, rng, strength)


def bars(picture: Pixels, rng: np.random.Generator, strength: float) -> Pixels:
    """The shadows of a grille, a fence or a bull bar."""
    height, width = picture.shape[:2]
    angle = rng.uniform(0, np.pi)
    x = np.arange(width, dtype=np.float32)[None] * np.float32(np.cos(angle))
    y = np.arange(height, dtype=np.float32)[:, None] * np.float32(np.sin(angle))
    pitch = height * rng.uniform(0.25, 1.2)
    waves = np.sin((x + y) * np.float32(2 * np.pi / pitch) + np.float32(rng.uniform(0, 7)))
    return _shade(picture, np.clip(3 * (waves + rng.uniform(-0.7, 0.3)), 0, 1), rng, strength)


def dapple(picture: Pixels, rng: np.random.Generator, strength: float) -> Pixels:
    """Light through the leaves of a tree."""
    leaves = clouds(picture.shape[:2], rng, 8) + 0.5 * clouds(picture.shape[:2], rng, 16)
    return _shade(picture, np.clip(0.5 + 2.5 * leaves, 0, 1), rng, strength)


def glare(picture: Pixels, rng: np.random.Generator, strength: float) -> Pixels:
    """The mirror image of the sun or a lamp: one spot that washes out what is around it."""
    height, width = picture.shape[:2]
    centre = rng.uniform(0, width), rng.uniform(0, height)
    radius = height * rng.uniform(0.1, 0.5)
    spot = _pool((height, width), centre, (radius * rng.uniform(0.7, 3), radius))
    return np.asarray(picture + planes(spot * np.float32(40 + 130 * strength), picture))


def overexpose(picture: Pixels, rng: np.random.Generator, strength: float) -> Pixels:
    """Retro-reflecting paper that a flash or headlamps drive to white, and its halo."""
    bright = picture * (1 + rng.uniform(0.2, 1.0) * strength)
    height, width = picture.shape[:2]
    size = max(2, width // 8), max(2, height // 8)
    excess = cv2.resize(np.maximum(bright - 170, 0), size, interpolation=cv2.INTER_AREA)
    halo = cv2.resize(excess, (width, height), interpolation=cv2.INTER_LINEAR)
    return np.asarray(np.minimum(bright, 255) + (0.15 + 0.35 * strength) * halo)


def _shade(picture: Pixels, shadow: Plane, rng: np.random.Generator, strength: float) -> Pixels:
    """Darken where `shadow` is 1; its edge is as sharp as the lamp is small."""
    size = int(rng.integers(1, max(3, picture.shape[0] // 8)))
    gain = 1 - cv2.blur(shadow, (size, size)) * np.float32(0.2 + 0.45 * strength)
    return np.asarray(picture * planes(gain, picture))


LIGHTS: tuple[tuple[float, Effect], ...] = (
    (0.22, shadow_edge),
    (0.06, bars),
    (0.08, dapple),
    (0.12, glare),
    (0.12, overexpose),
)


def night(picture: Pixels, plate: Box, rng: np.random.Generator) -> Pixels:
    """Dark surroundings around a plate that headlamps, an infrared lamp or its own lamps light up.

    Args:
        picture: grey or RGB, float32, by day.
        plate: where the plate is.
        rng: decides which lamps.
    """
    height, width = picture.shape[:2]
    top, foot, left, right = (
        max(0, round(edge)) for edge in (plate.y, plate.bottom, plate.x, plate.right)
    )
    # Paper reflects headlamps back to where they are; car bodies do not.
    gain = np.full((height, width), rng.uniform(0.04, 0.3), np.float32)
    gain[top:foot, left:right] = rng.uniform(0.3, 0.7)
    x = left + rng.uniform(0, 1) * plate.width
    y = top + rng.uniform(0, 1) * plate.height
    reach = plate.width * rng.uniform(0.5, 1.5), plate.height * rng.uniform(1, 3)
    gain *= np.float32(0.6) + _pool((height, width), (x, y), reach)
    bulbs = np.zeros((height, width), np.float32)
    for share in ((0.5,), (0.3, 0.7), ())[rng.integers(3)]:
        x = left + share * plate.width
        reach = 0.35 * plate.width, 0.6 * plate.height
        gain += np.float32(0.5) * _pool((height, width), (x, top), reach)
        bulb = (round(x), round(top - 0.15 * plate.height))
        size = (round(0.16 * plate.height), round(0.07 * plate.height))
        cv2.ellipse(bulbs, (bulb, size, 0.0), 255.0, -1)
    return np.asarray(np.maximum(picture * planes(gain, picture), planes(bulbs, picture)))


def _pool(shape: tuple[int, int], centre: tuple[float, float], reach: tuple[float, float]) -> Plane:
    """A round or oval spot of light, 1 in its centre, 1 / e at its reach in x and y."""
    height, width = shape
    x = (np.arange(width, dtype=np.float32) - np.float32(centre[0])) / np.float32(reach[0])
    y = (np.arange(height, dtype=np.float32) - np.float32(centre[1])) / np.float32(reach[1])
    return np.asarray(np.exp(-(y**2))[:, None] * np.exp(-(x**2))[None], np.float32)


def photograph(
    picture: Pixels,
    rng: np.random.Generator,
    blur: float,
    noise: float,
    contrast: float = 1.0,
    *,
    motion: float = 0.0,
    quality: float = 30.0,
) -> npt.NDArray[np.uint8]:
    """Through a lens onto a sensor and into a file.

    Args:
        picture: grey or RGB, float32, 0 to 255.
        rng: decides the details.
        blur: standard deviation of the blur, pixels.
        noise: standard deviation of the sensor's noise, grey levels.
        contrast: 1 keeps it; less moves everything towards a random grey.
        motion: length of the motion blur, pixels.
        quality: lowest of the JPEG that most pictures go through, 0 to 95.

    Returns:
        uint8 of the same shape.
    """
    if rng.random() < 0.02:
        picture = raindrops(picture, rng, rng.random())
    if blur > 0.2:
        picture = cv2.GaussianBlur(picture, (0, 0), blur)
    if motion > 0.5:
        picture = cv2.filter2D(picture, -1, _streak(motion, rng.uniform(0, np.pi)))
    level = rng.uniform(20, 200)
    picture = level + contrast * (picture - level)
    if picture.ndim == 3:
        picture = _cast(picture, rng)
    if rng.random() < 0.2:
        picture = 255 * np.power(np.clip(picture / 255, 0, 1), rng.uniform(0.6, 1.6))
    picture = _sense(picture, rng, noise)
    if rng.random() < 0.35:
        picture = sharpen(picture, rng, rng.random())
    if rng.random() < 0.015 and len(picture) >= 48:
        picture = interlace(picture, rng, rng.random())
    sensed = np.clip(picture, 0, 255).astype(np.uint8)
    if rng.random() < 0.7:
        sensed = jpeg(sensed, round(rng.uniform(quality, 95)))
    return sensed


def raindrops(picture: Pixels, rng: np.random.Generator, strength: float) -> Pixels:
    """Drops on the lens: round patches out of focus."""
    height, width = picture.shape[:2]
    drops = np.zeros((height, width), np.float32)
    for _ in range(1 + rng.poisson(5 * strength)):
        centre = (int(rng.integers(width)), int(rng.integers(height)))
        cv2.circle(drops, centre, max(2, int(height * rng.uniform(0.03, 0.14))), 1.0, -1)
    behind = cv2.GaussianBlur(picture, (0, 0), 1 + 0.04 * height) * rng.uniform(0.95, 1.2)
    return np.asarray(
        picture + planes(0.85 * cv2.blur(drops, (3, 3)), picture) * (behind - picture)
    )


def sharpen(picture: Pixels, rng: np.random.Generator, strength: float) -> Pixels:
    """A camera's sharpening: edges with halos."""
    soft = cv2.GaussianBlur(picture, (0, 0), rng.uniform(0.7, 1.6))
    return np.asarray(picture + (0.3 + 1.2 * strength) * (picture - soft))


def interlace(picture: Pixels, rng: np.random.Generator, strength: float) -> Pixels:
    """Two half pictures of something that moves: every other row is shifted."""
    combed = np.array(picture)
    shift = round(1 + 0.01 * strength * len(picture)) * int(rng.choice([-1, 1]))
    combed[1::2] = np.roll(picture[1::2], shift, axis=1)
    return combed


def jpeg(picture: npt.NDArray[np.uint8], quality: int) -> npt.NDArray[np.uint8]:
    """The picture, grey or RGB, after JPEG at a quality of 0 to 100, with its artefacts."""
    colour = picture.ndim == 3
    # OpenCV takes blue for the first channel, which JPEG weighs least.
    swapped = cv2.cvtColor(picture, cv2.COLOR_RGB2BGR) if colour else picture
    data = cv2.imencode(".jpg", swapped, [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
    decoded = cv2.imdecode(data, cv2.IMREAD_COLOR_RGB if colour else cv2.IMREAD_GRAYSCALE)
    if decoded is None:
        raise RuntimeError("OpenCV did not read back its own JPEG")
    return np.asarray(decoded, np.uint8)


def _cast(picture: Pixels, rng: np.random.Generator) -> Pixels:
    """White balance that is a little off, or a tint for good, and more or less colour."""
    gains = np.exp(rng.normal(0, 0.05, 3))
    if rng.random() < 0.06:
        gains *= np.power(CASTS[rng.integers(len(CASTS))], rng.uniform(0.3, 1.1))
    vivid = rng.uniform(0.5, 1.25) if rng.random() < 0.95 else 0.0
    mixed = vivid * np.eye(3) + (1 - vivid) / 3
    return np.asarray(cv2.transform(picture, gains[:, None] * mixed), np.float32)


def _sense(picture: Pixels, rng: np.random.Generator, noise: float) -> Pixels:
    """Photon and read-out noise, and in colour the filters in front of the sensor's pixels."""
    mosaic = picture.ndim == 3 and min(picture.shape[:2]) >= 4 and rng.random() < 0.35
    sensed = picture
    if mosaic:
        # Cameras soften what the filters would alias.
        soft = cv2.GaussianBlur(picture, (3, 3), 0.6)
        sensed = soft[..., 1].copy()
        sensed[::2, ::2], sensed[1::2, 1::2] = soft[::2, ::2, 0], soft[1::2, 1::2, 2]
    deviation = noise * np.sqrt(0.4 + 0.6 * np.clip(sensed, 0, 255) / 128)
    sensed = sensed + deviation * rng.standard_normal(sensed.shape, dtype=np.float32)
    if not mosaic:
        return np.asarray(sensed)
    raw = np.clip(sensed, 0, 255).astype(np.uint8)
    return np.asarray(cv2.cvtColor(raw, cv2.COLOR_BayerBG2RGB), np.float32)


def _streak(length: float, angle: float) -> Pixels:
    """The kernel of a straight motion of some pixels; the angle in radians."""
    reach = int(np.ceil(length / 2)) + 1
    kernel = np.zeros((2 * reach + 1, 2 * reach + 1), np.uint8)
    way = 16 * length / 2 * np.array([np.cos(angle), np.sin(angle)])
    start, stop = (np.round(16 * reach + way * sign).astype(int).tolist() for sign in (-1, 1))
    cv2.line(kernel, start, stop, (255,), 1, cv2.LINE_AA, 4)
    return np.asarray(kernel / np.float32(kernel.sum()), np.float32)
