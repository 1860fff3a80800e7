"""The way of one picture: what each stage hands to the next.

A stage takes one frozen dataclass and gives one back. A picture that fails becomes a
`PictureResult` on the spot and passes the later stages untouched, so that every input arrives at
the tables once.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from typing import Any

from lpr_core.detect import PlateDetection
from lpr_core.geometry import Image
from lpr_core.plate_reader import PlateRead, PlateStatus
from lpr_core.rectify import PlateCrop
from pipelines.failures import Failure, Stage
from pipelines.inputs import ImageRef


class ImageStatus(str, Enum):
    """What became of an input. A picture is READ if any of its plates is."""

    READ = "read"
    NO_PLATE = "no_plate"
    UNREADABLE = "unreadable"
    FAILED = "failed"


@dataclass(frozen=True)
class PictureFacts:
    """What is known of an input so far.

    Attributes:
        ref: the input.
        sha256: hash of the file's bytes.
        version: the source's own mark of this content: etag, generation, or size and time.
        bytes: size of the file.
        width, height: pixels, upright.
        format: as Pillow names it.
        orientation: EXIF orientation that was undone, 1 to 8.
        captured_at: the manifest's time, else EXIF's; naive.
        milliseconds: how long each stage took, by stage.
    """

    ref: ImageRef
    sha256: str | None = None
    version: str | None = None
    bytes: int | None = None
    width: int | None = None
    height: int | None = None
    format: str | None = None
    orientation: int | None = None
    captured_at: datetime | None = None
    milliseconds: tuple[tuple[Stage, float], ...] = ()


@dataclass(frozen=True)
class NamedPicture:
    """Into load: an input."""

    facts: PictureFacts


@dataclass(frozen=True)
class LoadedPicture:
    """Load to decode: the bytes of the file."""

    facts: PictureFacts
    data: bytes


@dataclass(frozen=True)
class DecodedPicture:
    """Decode to detect: the grey picture, uint8 of shape (height, width), upright."""

    facts: PictureFacts
    pixels: Image


@dataclass(frozen=True)
class DetectedPicture:
    """Detect to segment: the plates and their upright crops; the picture itself is let go."""

    facts: PictureFacts
    plates: tuple[tuple[PlateDetection, PlateCrop], ...]


@dataclass(frozen=True)
class PlateEvidence:
    """A plate's crop as it will be kept: its hash, and itself (binary PGM) if asked for."""

    crop_sha256: str
    crop: bytes | None


@dataclass(frozen=True)
class SegmentedPicture:
    """Segment to recognise: each plate as the recognizer's `segment` left it."""

    facts: PictureFacts
    plates: tuple[tuple[PlateDetection, PlateEvidence, Any], ...]


@dataclass(frozen=True)
class PictureResult:
    """Recognise to the tables: the answer for an input; none if it is as an earlier run read it."""

    facts: PictureFacts
    plates: tuple[tuple[PlateRead, PlateEvidence], ...] = ()
    failure: Failure | None = None
    unchanged: bool = False

    @property
    def reads(self) -> tuple[PlateRead, ...]:
        """The plates found, read or not, best detection first."""
        return tuple(read for read, _ in self.plates)

    @property
    def status(self) -> ImageStatus:
        """What became of the input."""
        if self.failure is not None:
            return ImageStatus.FAILED
        if not self.plates:
            return ImageStatus.NO_PLATE
        if any(read.status is PlateStatus.READ for read in self.reads):
            return ImageStatus.READ
        return ImageStatus.UNREADABLE


def named(ref: ImageRef) -> NamedPicture:
    """An input as it goes into load."""
    return NamedPicture(PictureFacts(ref, captured_at=ref.captured_at))


Picture = (
    NamedPicture
    | LoadedPicture
    | DecodedPicture
    | DetectedPicture
    | SegmentedPicture
    | PictureResult
)
