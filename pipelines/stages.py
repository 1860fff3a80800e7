"""What each stage does with a picture, and how it fails: decode, detect, segment, recognise."""

from __future__ import annotations

import hashlib
import time
import traceback
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import apache_beam as beam
from apache_beam.metrics import Metrics

from lpr_core.decode import DecodeError, DecodeLimits, DecodeReason
from lpr_core.plate_reader import PlateReader, compose_read, is_plate
from lpr_core.rectify import PlateCrop
from pipelines.decoder_process import (
    DecoderCrashedError,
    DecoderProcess,
    DecoderTimeoutError,
    DecoderUnavailableError,
)
from pipelines.failures import Failure, Reason, Stage
from pipelines.load import LoadFn
from pipelines.pictures import (
    DecodedPicture,
    DetectedPicture,
    LoadedPicture,
    Picture,
    PictureFacts,
    PictureResult,
    PlateEvidence,
    SegmentedPicture,
)
from pipelines.shared_reader import SharedReader


class StageError(Exception):
    """Raised by a stage whose input cannot be used."""

    def __init__(self, reason: Reason | DecodeReason, message: str) -> None:
        super().__init__(message)
        self.reason = reason


@dataclass(frozen=True)
class Limits:
    """What a picture may cost, and how often it is asked for.

    Attributes:
        decode: bytes and pixels.
        load_attempts: how often a fetch is tried when errors are transient.
        timeout: seconds that a picture may be under work: a fetch is given up then, a decoder
            stopped, and no stage begins later.
    """

    decode: DecodeLimits = field(default_factory=DecodeLimits)
    load_attempts: int = 4
    timeout: float = 60.0


@dataclass(frozen=True)
class Tools:
    """What the stages work with: the process's reader, the thread's decoder, the job's options."""

    reader: PlateReader
    decoder: DecoderProcess
    limits: Limits
    keep_crops: bool


def decode_picture(picture: LoadedPicture, tools: Tools) -> DecodedPicture:
    """Turn bytes into an upright grey picture."""
    left = tools.limits.timeout - _spent(picture.facts)
    try:
        decoded = tools.decoder.decode(picture.data, left)
    except DecodeError as error:
        raise StageError(error.reason, str(error)) from error
    except DecoderTimeoutError as error:
        raise StageError(Reason.TIMEOUT, str(error)) from error
    except DecoderCrashedError as error:
        raise StageError(Reason.CRASHED, str(error)) from error
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


def _spent(facts: PictureFacts) -> float:
    """Seconds that a picture was under work."""
    return sum(milliseconds for _, milliseconds in facts.milliseconds) / 1000


class StageFn(beam.DoFn):
    """Runs one stage: gets the process's reader, calls the stage, times it and catches."""

    def __init__(
        self,
        stage: Stage,
        work: Callable[[Any, Tools], Picture],
        reader: SharedReader,
        limits: Limits,
        keep_crops: bool,
    ) -> None:
        self._stage = stage
        self._work = work
        self._shared_reader = reader
        self._limits = limits
        self._keep_crops = keep_crops

    def setup(self) -> None:
        """Get the reader, loading it if this is the process's first."""
        decoder = DecoderProcess(self._limits.decode)
        reader = self._shared_reader.acquire()
        self._tools = Tools(reader, decoder, self._limits, self._keep_crops)

    def teardown(self) -> None:
        """End the decoder, if this stage began one."""
        self._tools.decoder.close()

    def process(self, picture: Picture) -> Iterator[Picture]:
        """One picture in, one picture out, whatever happens."""
        if isinstance(picture, PictureResult):  # failed at an earlier stage
            yield picture
            return
        start = time.perf_counter()
        done: Picture
        try:
            if _spent(picture.facts) >= self._limits.timeout:
                message = f"not read within {self._limits.timeout:g} seconds"
                raise StageError(Reason.TIMEOUT, message)
            done = self._work(picture, self._tools)
        except StageError as error:
            done = self._failed(picture.facts, error.reason, str(error))
        except (MemoryError, DecoderUnavailableError):
            raise  # they say something of the machine, nothing of the picture
        except Exception as error:
            done = self._failed(picture.facts, Reason.INTERNAL_ERROR, _place(error))
        spent = (self._stage, 1000 * (time.perf_counter() - start))
        facts = replace(done.facts, milliseconds=(*done.facts.milliseconds, spent))
        yield replace(done, facts=facts)

    def _failed(
        self, facts: PictureFacts, reason: Reason | DecodeReason, text: str
    ) -> PictureResult:
        failure = Failure(self._stage, reason, f"{facts.ref.uri}: {text}")
        return PictureResult(facts, failure=failure)


def _place(error: Exception) -> str:
    """Where an unforeseen error arose. Its own text is left out: it could quote a plate."""
    frame = traceback.extract_tb(error.__traceback__)[-1]
    file = frame.filename.replace("\\", "/").rsplit("/", 1)[-1]
    return f"{type(error).__name__} at {file}:{frame.lineno} in {frame.name}"


def count_result(result: PictureResult) -> PictureResult:
    """Hand a result on and count its outcome for those who watch the engine."""
    outcome = "unchanged" if result.unchanged else result.status.value
    Metrics.counter("platebeam", outcome).inc()
    return result


@dataclass(eq=False)
class ReadPictures(beam.PTransform):
    """Named pictures to picture results, one for one."""

    reader: SharedReader
    limits: Limits
    keep_crops: bool

    def expand(self, pictures: Any) -> Any:
        """Chain the stages."""
        limits = self.limits
        load = LoadFn(limits.decode.max_bytes, limits.load_attempts, limits.timeout)
        pictures |= "Load" >> beam.ParDo(load)
        for stage, work in STAGES.items():
            step = StageFn(stage, work, self.reader, self.limits, self.keep_crops)
            pictures |= stage.value.capitalize() >> beam.ParDo(step)
        return pictures | "CountResults" >> beam.Map(count_result)


STAGES: Mapping[Stage, Callable[[Any, Tools], Picture]] = {
    Stage.DECODE: decode_picture,
    Stage.DETECT: detect_plates,
    Stage.SEGMENT: segment_plates,
    Stage.RECOGNISE: recognise_plates,
}
