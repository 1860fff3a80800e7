"""The stages put together: a picture in, plate reads out."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from enum import Enum
from pathlib import Path
from typing import Any, Protocol

import cv2
import numpy as np
import numpy.typing as npt

from lpr_core.bundle import Bundle
from lpr_core.detect import ContourDetector, PlateDetection, WholeImageDetector
from lpr_core.geometry import Image
from lpr_core.heatmap import HeatmapDetector
from lpr_core.layout_patterns import LAYOUTS, Edit, fit_layouts
from lpr_core.recognize import CharacterRead, CharacterRecognizer, TextRead
from lpr_core.rectify import DegenerateQuadError, PlateCrop, rectify
from lpr_core.sequence import SequenceRecognizer


class PlateStatus(str, Enum):
    """Whether a found plate could be read."""

    READ = "read"
    UNREADABLE = "unreadable"


@dataclass(frozen=True)
class PlateRead:
    """A plate found in a picture and what it says.

    Attributes:
        detection: where it is.
        text: what it says, two-line plates top line first; None if it could not be read.
        text_raw: what the network saw, whether or not that is sure enough to be a read.
        confidence: probability that the whole text is right, 0 to 1.
        characters: the characters in reading order, before any edit.
        alternatives: whole texts with their probabilities, most probable first, before any edit.
        edits: what the layouts changed in the text.
    """

    detection: PlateDetection
    text: str | None
    text_raw: str
    confidence: float
    characters: tuple[CharacterRead, ...]
    alternatives: tuple[tuple[str, float], ...]
    edits: tuple[Edit, ...] = ()

    @property
    def status(self) -> PlateStatus:
        """READ if there is a text."""
        return PlateStatus.UNREADABLE if self.text is None else PlateStatus.READ


class PlateDetector(Protocol):
    """Finds plates in a grey picture, best first."""

    def detect(self, image: Image) -> list[PlateDetection]:
        """The plates of a grey uint8 picture of shape (height, width)."""


class PlateRecognizer(Protocol):
    """Reads upright plate crops, in two steps that are timed apart.

    Attributes:
        margin: how much of a plate's surroundings its crop is to hold, in shares of its height.
    """

    margin: float

    def segment(self, crop: PlateCrop) -> Any:
        """Where a crop's characters are, in whatever form `recognize` takes it."""

    def recognize(self, plates: Sequence[Any]) -> list[TextRead]:
        """The texts of a picture's plates, each as `segment` left it."""

    def warm_up(self) -> None:
        """Load the network."""


DETECTORS: dict[str, Callable[[Bundle, str], PlateDetector]] = {
    "heatmap": HeatmapDetector,
    "contour": lambda bundle, backend: ContourDetector(),
    "whole": lambda bundle, backend: WholeImageDetector(),
}

READERS: dict[str, Callable[[Bundle, str], PlateRecognizer]] = {
    "sequence": SequenceRecognizer,
    "characters": CharacterRecognizer,
}


@dataclass(frozen=True)
class ReaderConfig:
    """What changes the reads of a picture, besides the bundle.

    Attributes:
        detector: one of DETECTORS.
        reader: one of READERS.
        backend: one of `lpr_core.networks.BACKENDS`.
        min_confidence: plates less sure than this are unreadable.
        layouts: of `lpr_core.layout_patterns.LAYOUTS`: may tell O from 0 and I from 1.

    Raises:
        ValueError: an unknown detector, reader or layout, or a confidence outside 0 to 1.
    """

    detector: str = "heatmap"
    reader: str = "sequence"
    backend: str = "litert"
    min_confidence: float = 0.0
    layouts: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.detector not in DETECTORS:
            raise ValueError(f"no detector {self.detector!r}: choose from {list(DETECTORS)}")
        if self.reader not in READERS:
            raise ValueError(f"no reader {self.reader!r}: choose from {list(READERS)}")
        if not 0 <= self.min_confidence <= 1:
            raise ValueError(f"min_confidence is {self.min_confidence}: give a value from 0 to 1")
        unknown = set(self.layouts) - set(LAYOUTS)
        if unknown:
            raise ValueError(f"no layout {min(unknown)!r}: choose from {', '.join(LAYOUTS)}")

    @property
    def sha256(self) -> str:
        """The hash that names this configuration in tables and run records."""
        return hashlib.sha256(json.dumps(asdict(self), sort_keys=True).encode()).hexdigest()


class PlateReader:
    """Detector and recognizer of one bundle; threads may share a reader.

    Raises:
        BundleError: the bundle lacks a model that the configuration needs.
    """

    def __init__(self, bundle: Bundle, config: ReaderConfig | None = None) -> None:
        self.config = config or ReaderConfig()
        self.bundle = bundle
        self.detector = DETECTORS[self.config.detector](bundle, self.config.backend)
        self.recognizer = READERS[self.config.reader](bundle, self.config.backend)

    @classmethod
    def from_bundle(cls, folder: str | Path | None = None, **config: Any) -> PlateReader:
        """A reader of the bundle in a local folder (None: the default bundle).

        Keyword arguments are those of `ReaderConfig`.

        Raises:
            BundleError: the bundle is missing or damaged, or lacks a model that is needed.
            ValueError: a configuration that is not possible.
        """
        return cls(Bundle.load(folder), ReaderConfig(**config))

    def read(self, image: npt.NDArray[np.uint8]) -> list[PlateRead]:
        """Read every plate of a picture, best detection first.

        Args:
            image: uint8, upright: grey of shape (height, width), RGB of shape (height, width, 3) or
                RGBA of shape (height, width, 4).

        Raises:
            ValueError: it is of another type or shape, or empty.
        """
        is_picture = image.ndim in (2, 3) and image.shape[2:] in ((), (3,), (4,)) and image.size > 0
        if image.dtype != np.uint8 or not is_picture:
            raise ValueError(
                "an image is uint8 of (height, width), (height, width, 3) or (height, width, 4), "
                f"not {image.dtype} of {image.shape}"
            )
        grey = image if image.ndim == 2 else cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
        found = self.find(np.asarray(grey, dtype=np.uint8))
        reads = self.recognizer.recognize([self.recognizer.segment(crop) for _, crop in found])
        return [
            compose_read(detection, read, self.config)
            for (detection, _), read in zip(found, reads, strict=True)
            if is_plate(detection, read)
        ]

    def find(self, image: Image) -> list[tuple[PlateDetection, PlateCrop]]:
        """The plates of a grey picture with their upright crops, best detection first.

        A detection whose corners span no plate is dropped; of the others, those that are in doubt
        are plates only if their read says so (`is_plate`).
        """
        plates = []
        for detection in self.detector.detect(image):
            with suppress(DegenerateQuadError):
                plates.append((detection, rectify(image, detection.quad, self.recognizer.margin)))
        return plates

    def warm_up(self) -> None:
        """Load the models now rather than with the first picture.

        Raises:
            ImportError: the backend's library is not installed.
        """
        self.detector.detect(np.zeros((64, 64), np.uint8))
        self.recognizer.warm_up()


def keep_opencv_to_one_thread() -> None:
    """Stop OpenCV from spreading each call over the cores, for the whole process.

    Where pictures are read side by side its threads only cost: a fifth of the CPU time a picture.
    """
    cv2.setNumThreads(1)


def is_plate(detection: PlateDetection, read: TextRead) -> bool:
    """Whether what was found is a plate: it looks like one beyond doubt, or it can be read."""
    return (read.confidence if read.legible else 0.0) >= detection.least_confidence


def compose_read(
    detection: PlateDetection, read: TextRead, config: ReaderConfig | None = None
) -> PlateRead:
    """A plate's read as it is reported.

    It has no text where what was found is no legible writing, or less sure than asked for.
    """
    config = config or ReaderConfig()
    text: str | None = None
    edits: tuple[Edit, ...] = ()
    if read.legible and read.confidence >= config.min_confidence:
        text, edits = fit_layouts(read.text, config.layouts)
    return PlateRead(
        detection, text, read.seen, read.confidence, read.characters, read.alternatives, edits
    )
