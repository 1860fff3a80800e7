"""Bytes to an upright grey picture, or one clear reason why not.

Pillow reads the header first, so that the limits hold before any pixel is allocated, and it says
when a file ends too early, where OpenCV would fill the rest with grey. Plates are read in grey: a
JPEG then decodes its luminance alone, at half the cost.
"""

from __future__ import annotations

import io
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from typing import Any

import numpy as np
from PIL import ExifTags, UnidentifiedImageError
from PIL import Image as PillowImage

from lpr_core.geometry import Image


class DecodeReason(str, Enum):
    """Why bytes gave no picture."""

    EMPTY = "empty"
    TOO_MANY_BYTES = "too_many_bytes"
    NOT_AN_IMAGE = "not_an_image"
    TOO_MANY_PIXELS = "too_many_pixels"
    TRUNCATED = "truncated"
    CORRUPT = "corrupt"


class DecodeError(ValueError):
    """The bytes are no picture that can be read; `reason` says why."""

    def __init__(self, reason: DecodeReason, message: str) -> None:
        super().__init__(message)
        self.reason = reason

    def __reduce__(self) -> tuple[Any, ...]:
        return DecodeError, (self.reason, str(self))


TURNS = {
    2: PillowImage.Transpose.FLIP_LEFT_RIGHT,
    3: PillowImage.Transpose.ROTATE_180,
    4: PillowImage.Transpose.FLIP_TOP_BOTTOM,
    5: PillowImage.Transpose.TRANSPOSE,
    6: PillowImage.Transpose.ROTATE_270,
    7: PillowImage.Transpose.TRANSVERSE,
    8: PillowImage.Transpose.ROTATE_90,
}
"""What undoes each EXIF orientation (TIFF 6.0, tag 274)."""

NOT_THE_FILE = (ImportError, MemoryError)
"""Errors that say nothing of the file; Pillow imports its plug-ins when it first needs them."""

STRIP = 256
"""Rows that are made grey at once."""

HIGHEST_BYTE_LIMIT = 2**31 - 1
"""Room for as much is asked for before a file is read."""

HIGHEST_PIXEL_LIMIT = 2 * (PillowImage.MAX_IMAGE_PIXELS or 2**31)
"""Pillow opens no larger picture; its limit is left as it is, since it is the process's."""


@dataclass(frozen=True)
class DecodeLimits:
    """What a picture may cost: bytes of the file, pixels of the decoded picture.

    Raises:
        ValueError: a limit above HIGHEST_BYTE_LIMIT or HIGHEST_PIXEL_LIMIT.
    """

    max_bytes: int = 64 * 2**20
    max_pixels: int = 64_000_000

    def __post_init__(self) -> None:
        if self.max_bytes > HIGHEST_BYTE_LIMIT:
            raise ValueError(f"at most {HIGHEST_BYTE_LIMIT} bytes can be allowed")
        if self.max_pixels > HIGHEST_PIXEL_LIMIT:
            raise ValueError(f"at most {HIGHEST_PIXEL_LIMIT} pixels can be allowed")


@dataclass(frozen=True)
class Picture:
    """A decoded picture.

    Attributes:
        pixels: grey, uint8 of shape (height, width), turned upright by its EXIF orientation;
            of `decode`, read-only.
        format: the file's format as Pillow names it ("JPEG", "PNG", …).
        orientation: the EXIF orientation that was undone, 1 to 8 (1: none).
        captured_at: EXIF DateTimeOriginal (else DateTime) in the camera's own time, or None.
    """

    pixels: Image
    format: str
    orientation: int = 1
    captured_at: datetime | None = None

    @property
    def width(self) -> int:
        """Upright width in pixels."""
        return int(self.pixels.shape[1])

    @property
    def height(self) -> int:
        """Upright height in pixels."""
        return int(self.pixels.shape[0])


def decode(data: bytes, limits: DecodeLimits | None = None) -> Picture:
    """Decode the first frame of an image file.

    Sixteen-bit samples are scaled to eight, CMYK and palettes converted, transparency is laid on
    white.

    Raises:
        DecodeError: the bytes are empty, too many, not an image, too large a picture, cut short, or
            damaged; `reason` tells which.
    """
    limits = limits or DecodeLimits()
    if not data:
        raise DecodeError(DecodeReason.EMPTY, "the file is empty")
    if len(data) > limits.max_bytes:
        raise DecodeError(
            DecodeReason.TOO_MANY_BYTES,
            f"{len(data)} bytes are more than the limit of {limits.max_bytes}",
        )
    try:
        return _decode(data, limits.max_pixels)
    except (DecodeError, *NOT_THE_FILE):
        raise
    except UnidentifiedImageError:
        raise DecodeError(DecodeReason.NOT_AN_IMAGE, "no known image format") from None
    except PillowImage.DecompressionBombError:
        raise DecodeError(
            DecodeReason.TOO_MANY_PIXELS, f"more pixels than the limit of {limits.max_pixels}"
        ) from None
    # The plug-ins raise whatever the damage led them to (OSError, SyntaxError, IndexError,
    # struct.error …); a picture that cannot be decoded is data here, so all are caught.
    except Exception as error:
        raise DecodeError(*_broken(error)) from error


def _decode(data: bytes, max_pixels: int) -> Picture:
    with PillowImage.open(io.BytesIO(data)) as image:
        if image.format == "EPS":  # a program, which Pillow would let Ghostscript run
            raise DecodeError(DecodeReason.NOT_AN_IMAGE, "PostScript is not read")
        width, height = image.size
        if width * height > max_pixels:
            raise DecodeError(
                DecodeReason.TOO_MANY_PIXELS,
                f"{width}×{height} pixels are more than the limit of {max_pixels}",
            )
        orientation, captured_at = _metadata(image)
        grey = _grey(image)
        # Pillow turns a TIFF itself as it loads.
        if orientation in TURNS and image.format != "TIFF":
            grey = grey.transpose(TURNS[orientation])
        return Picture(np.asarray(grey), image.format or "", orientation, captured_at)


def _metadata(image: PillowImage.Image) -> tuple[int, datetime | None]:
    """EXIF orientation (1 where it is none of the eight) and capture time."""
    try:
        exif = image.getexif()
        orientation = int(exif.get(ExifTags.Base.Orientation, 1))
        return orientation if orientation in TURNS else 1, _captured_at(exif)
    except NOT_THE_FILE:
        raise
    except Exception:
        return 1, None  # damaged metadata costs no picture


def _grey(image: PillowImage.Image) -> PillowImage.Image:
    image.draft("L", image.size)
    image.load()
    if image.mode == "L" and not image.has_transparency_data:
        return image
    grey = PillowImage.new("L", image.size)
    whitest = None
    if image.mode.startswith(("I", "F")):  # of more than eight bits a sample
        highest = max((np.asarray(strip).max(initial=0) for _, strip in _strips(image)), default=0)
        least = 1.0 if image.mode.startswith("F") else 255.0
        whitest = next((white for white in (least, 255.0) if highest <= white), 65535.0)
    for top, strip in _strips(image):
        grey.paste(_grey_strip(strip, whitest), (0, top))
    return grey


def _strips(image: PillowImage.Image) -> Iterator[tuple[int, PillowImage.Image]]:
    """A picture piece by piece, each with its first row.

    As a whole, what is made of it on the way would take ten times the memory of the result.
    """
    width, height = image.size
    for top in range(0, height, STRIP):
        yield top, image.crop((0, top, width, min(top + STRIP, height)))


def _grey_strip(strip: PillowImage.Image, whitest: float | None) -> PillowImage.Image:
    if whitest is not None:  # Pillow's own conversion would clip, not scale
        samples = np.asarray(strip, dtype=np.float64)
        return PillowImage.fromarray(np.clip(samples / whitest * 255, 0, 255).astype(np.uint8))
    if strip.has_transparency_data:
        strip = strip.convert("RGBA")
        paper = PillowImage.new("RGBA", strip.size, "white")
        paper.alpha_composite(strip)
        strip = paper
    return strip.convert("L")


def _captured_at(exif: PillowImage.Exif) -> datetime | None:
    details = exif.get_ifd(ExifTags.IFD.Exif)
    text = details.get(ExifTags.Base.DateTimeOriginal) or exif.get(ExifTags.Base.DateTime)
    try:
        return datetime.strptime(str(text).strip("\0 "), "%Y:%m:%d %H:%M:%S")
    except ValueError:
        return None


def _broken(error: Exception) -> tuple[DecodeReason, str]:
    text = str(error) or type(error).__name__
    cut_short = isinstance(error, (EOFError, struct.error)) or "truncated" in text.lower()
    reason = DecodeReason.TRUNCATED if cut_short else DecodeReason.CORRUPT
    return reason, f"the image data are {reason.value}: {text}"
