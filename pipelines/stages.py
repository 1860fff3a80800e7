"""The way of one picture: what each stage hands to the next, what each does, how each can fail.

A stage takes one frozen dataclass and gives one back. A picture that fails becomes a
`PictureResult` on the spot and passes the later stages untouched, so that every input arrives at
the tables once.
"""

from __future__ import annotations

import hashlib
import time
import traceback
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from enum import Enum
from typing import Any

import apache_beam as beam
from apache_beam.metrics import Metrics

from lpr_core.decode import DecodeError, DecodeLimits, DecodeReason, decode
from lpr_core.detect import PlateDetection
from lpr_core.geometry import Image
from lpr_core.plate_reader import (
    PlateRead,
    PlateReader,
    PlateStatus,
    compose_read,
    is_plate,
)
from lpr_core.rectify import PlateCrop
from pipelines.inputs import ImageRef, unpack_refs
from pipelines.shared_reader import SharedReader
from pipelines.uris import open_store


class Stage(str, Enum):
    """Where a picture can fail."""

    INPUT = "input"
    LOAD = "load"
    DECODE = "decode"
    DETECT = "detect"
    SEGMENT = "segment"
    RECOGNISE = "recognise"


class Reason(str, Enum):
    """Why a picture failed, besides the reasons of `lpr_core.decode.DecodeReason`."""

    BAD_ROW = "bad_row"
    NOT_FOUND = "not_found"
    PERMISSION_DENIED = "permission_denied"
    IS_A_DIRECTORY = "is_a_directory"
    TOO_MANY_BYTES = "too_many_bytes"
    IO_ERROR = "io_error"
    INTERNAL_ERROR = "internal_error"


FAILURES: Mapping[Stage, frozenset[Reason | DecodeReason]] = {
    Stage.INPUT: frozenset({Reason.BAD_ROW}),
    Stage.LOAD: frozenset(
        {
            Reason.NOT_FOUND,
            Reason.PERMISSION_DENIED,
            Reason.IS_A_DIRECTORY,
            Reason.TOO_MANY_BYTES,
            Reason.IO_ERROR,
        }
    ),
    Stage.DECODE: frozenset({*DecodeReason, Reason.INTERNAL_ERROR}),
    Stage.DETECT: frozenset({Reason.INTERNAL_ERROR}),
    Stage.SEGMENT: frozenset({Reason.INTERNAL_ERROR}),
    Stage.RECOGNISE: frozenset({Reason.INTERNAL_ERROR}),
}
"""The closed vocabulary of failures: which reasons each stage can give."""

TIMED_STAGES = (Stage.LOAD, Stage.DECODE, Stage.DETECT, Stage.SEGMENT, Stage.RECOGNISE)


class ImageStatus(str, Enum):
    """What became of an input. A picture is READ if any of its plates is."""

    READ = "read"
    NO_PLATE = "no_plate"
    UNREADABLE = "unreadable"
    FAILED = "failed"


@dataclass(frozen=True)
class Failure:
    """Why an input gave no answer; the message names the input and never a plate's text."""

    stage: Stage
    reason: Reason | DecodeReason
    message: str

    def __post_init__(self) -> None:
        if self.reason not in FAILURES[self.stage]:
            raise ValueError(f"{self.reason} is no failure of stage {self.stage}")


class StageError(Exception):
    """Raised by a stage whose input cannot be used."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.message)
        self.failure = failure


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
    """Recognise to the tables: the answer for an input."""

    facts: PictureFacts
    plates: tuple[tuple[PlateRead, PlateEvidence], ...] = ()
    failure: Failure | None = None

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


def name_pictures(block: bytes) -> list[NamedPicture]:
    """A block of refs as what goes into load."""
    return [
        NamedPicture(PictureFacts(ref, captured_at=ref.captured_at)) for ref in unpack_refs(block)
    ]


Picture = (
    NamedPicture
    | LoadedPicture
    | DecodedPicture
    | DetectedPicture
    | SegmentedPicture
    | PictureResult
)


@dataclass(frozen=True)
class Tools:
    """What the stages work with: the process's reader, and the job's options."""

    reader: PlateReader
    limits: DecodeLimits
    keep_crops: bool


def load(picture: NamedPicture, tools: Tools) -> LoadedPicture:
    """Fetch the bytes; a file over the limit is not fetched where its size is known before."""
    ref = picture.facts.ref
    if ref.problem is not None:
        raise StageError(Failure(Stage.INPUT, Reason.BAD_ROW, ref.problem))
    limit = tools.limits.max_bytes
    try:
        fs, path = open_store(ref.uri)
        info = fs.info(path)
        size = info.get("size")
        if info["type"] == "directory":
            raise IsADirectoryError if not info.get("islink") else _LinkToFolderError
        if info["type"] == "other":  # opening a pipe would wait for ever
            raise OSError("not a regular file")
        data = fs.cat_file(path, end=limit + 1) if size is None or size <= limit else b""
    except MemoryError:
        raise
    except Exception as error:  # drivers raise more than OSError
        raise StageError(_load_failure(ref.uri, error)) from error
    size = max(size or 0, len(data))
    if size > limit:
        message = f"{ref.uri}: {size} bytes are more than the limit of {limit}"
        raise StageError(Failure(Stage.LOAD, Reason.TOO_MANY_BYTES, message))
    facts = replace(
        picture.facts,
        sha256=hashlib.sha256(data).hexdigest(),
        version=source_version(info),
        bytes=len(data),
    )
    return LoadedPicture(facts, data)


def source_version(info: Mapping[str, Any]) -> str | None:
    """A source's own mark of its content, from what fsspec tells about a file."""
    for key in ("etag", "ETag", "generation"):
        if info.get(key):
            return f"{key.lower()}:{info[key]}"
    for key in ("mtime", "LastModified", "last_modified", "updated", "date_time", "created"):
        if info.get(key):
            return f"size:{info.get('size')},mtime:{info[key]}"
    return None


class _LinkToFolderError(IsADirectoryError):
    pass


_LOAD_REASONS: tuple[tuple[type[Exception], Reason, str], ...] = (
    (FileNotFoundError, Reason.NOT_FOUND, "there is no such file"),
    (NotADirectoryError, Reason.NOT_FOUND, "there is no such file"),
    (PermissionError, Reason.PERMISSION_DENIED, "reading it is not permitted"),
    (
        _LinkToFolderError,
        Reason.IS_A_DIRECTORY,
        "links to folders are not followed: name it as an INPUT of its own",
    ),
    (IsADirectoryError, Reason.IS_A_DIRECTORY, "it is a folder"),
)


def _load_failure(uri: str, error: Exception) -> Failure:
    for kind, reason, text in _LOAD_REASONS:
        if isinstance(error, kind):
            return Failure(Stage.LOAD, reason, f"{uri}: {text}")
    text = getattr(error, "strerror", None) or str(error)
    return Failure(Stage.LOAD, Reason.IO_ERROR, f"{uri}: {type(error).__name__}: {text}")


def decode_picture(picture: LoadedPicture, tools: Tools) -> DecodedPicture:
    """Turn bytes into an upright grey picture."""
    try:
        decoded = decode(picture.data, tools.limits)
    except DecodeError as error:
        message = f"{picture.facts.ref.uri}: {error}"
        raise StageError(Failure(Stage.DECODE, error.reason, message)) from error
    facts = replace(
        picture.facts,
        width=decoded.width,
        height=decoded.height,
        format=decoded.format,
        orientation=decoded.orientation,
        captured_at=picture.facts.captured_at or decoded.captured_at,
    )
    return DecodedPicture(facts, decoded.pixels)


def detect_plates(picture: DecodedPicture, tools: Tools) -> DetectedPicture:
    """Find plates and cut them out upright."""
    return DetectedPicture(picture.facts, tuple(tools.reader.find(picture.pixels)))


def segment_plates(picture: DetectedPicture, tools: Tools) -> SegmentedPicture:
    """Find the characters of each plate."""
    plates = []
    for detection, crop in picture.plates:
        image = crop_file(crop)
        evidence = PlateEvidence(
            hashlib.sha256(image).hexdigest(), image if tools.keep_crops else None
        )
        plates.append((detection, evidence, tools.reader.recognizer.segment(crop)))
    return SegmentedPicture(picture.facts, tuple(plates))


def crop_file(crop: PlateCrop) -> bytes:
    """A crop as a binary PGM file (netpbm P5): grey, lossless, the same bytes with any library."""
    height, width = crop.pixels.shape
    return b"P5 %d %d 255\n" % (width, height) + crop.pixels.tobytes()


def recognise_plates(picture: SegmentedPicture, tools: Tools) -> PictureResult:
    """Read the plates of the picture."""
    reads = tools.reader.recognizer.recognize([segmented for _, _, segmented in picture.plates])
    plates = tuple(
        (compose_read(detection, read, tools.reader.config), evidence)
        for (detection, evidence, _), read in zip(picture.plates, reads, strict=True)
        if is_plate(detection, read)
    )
    return PictureResult(picture.facts, plates)


class StageFn(beam.DoFn):
    """Runs one stage: gets the process's reader, calls the stage, times it, counts and catches."""

    def __init__(
        self,
        stage: Stage,
        work: Callable[[Any, Tools], Picture],
        reader: SharedReader,
        limits: DecodeLimits,
        keep_crops: bool,
    ) -> None:
        self._stage = stage
        self._work = work
        self._shared_reader = reader
        self._limits = limits
        self._keep_crops = keep_crops

    def setup(self) -> None:
        """Get the reader, loading it if this is the process's first."""
        self._tools = Tools(self._shared_reader.acquire(), self._limits, self._keep_crops)

    def process(self, picture: Picture) -> Iterator[Picture]:
        """One picture in, one picture out, whatever happens."""
        if isinstance(picture, PictureResult):  # failed at an earlier stage
            yield picture
            return
        start = time.perf_counter()
        done: Picture
        try:
            done = self._work(picture, self._tools)
        except StageError as error:
            done = PictureResult(picture.facts, failure=error.failure)
        except MemoryError:  # says something of the machine, nothing of the picture
            raise
        except Exception as error:
            message = f"{picture.facts.ref.uri}: {_place(error)}"
            failure = Failure(self._stage, Reason.INTERNAL_ERROR, message)
            done = PictureResult(picture.facts, failure=failure)
        spent = (self._stage, 1000 * (time.perf_counter() - start))
        facts = replace(done.facts, milliseconds=(*done.facts.milliseconds, spent))
        if isinstance(done, PictureResult):
            Metrics.counter("platebeam", done.status.value).inc()
        yield replace(done, facts=facts)


def _place(error: Exception) -> str:
    """Where an unforeseen error arose. Its own text is left out: it could quote a plate."""
    frame = traceback.extract_tb(error.__traceback__)[-1]
    file = frame.filename.replace("\\", "/").rsplit("/", 1)[-1]
    return f"{type(error).__name__} at {file}:{frame.lineno} in {frame.name}"


@dataclass(eq=False)
class ReadPictures(beam.PTransform):
    """Named pictures to picture results, one for one."""

    reader: SharedReader
    limits: DecodeLimits
    keep_crops: bool

    def expand(self, pictures: Any) -> Any:
        """Chain the stages."""
        for stage, work in STAGES.items():
            step = StageFn(stage, work, self.reader, self.limits, self.keep_crops)
            pictures |= stage.value.capitalize() >> beam.ParDo(step)
        return pictures


STAGES: Mapping[Stage, Callable[[Any, Tools], Picture]] = {
    Stage.LOAD: load,
    Stage.DECODE: decode_picture,
    Stage.DETECT: detect_plates,
    Stage.SEGMENT: segment_plates,
    Stage.RECOGNISE: recognise_plates,
}
