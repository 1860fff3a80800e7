"""The stages put together: a picture in, plate reads out."""

from __future__ import annotations

import hashlib
import heapq
import json
from collections.abc import Sequence
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
from lpr_core.recognize import SIDE, CharacterRead, CharacterRecognizer
from lpr_core.rectify import DegenerateQuadError, PlateCrop, rectify
from lpr_core.segment import CharacterSegmenter

SURE = 0.9
MIN_SURE_CHARACTERS = 2
"""Where fewer characters are sure, nothing that was found is writing, or none of it is legible."""

MAX_ALTERNATIVES = 10


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
        text_raw: what the network saw, each character by its shape alone, whether or not that is
            sure enough to be a read.
        confidence: probability that every character is right, 0 to 1 (their product).
        characters: the characters in reading order.
        alternatives: whole texts with their probabilities, most probable first.
    """

    detection: PlateDetection
    text: str | None
    text_raw: str
    confidence: float
    characters: tuple[CharacterRead, ...]
    alternatives: tuple[tuple[str, float], ...]

    @property
    def status(self) -> PlateStatus:
        """READ if there is a text."""
        return PlateStatus.UNREADABLE if self.text is None else PlateStatus.READ


class PlateDetector(Protocol):
    """Finds plates in a grey picture, best first."""

    def detect(self, image: Image) -> list[PlateDetection]:
        """The plates of a grey uint8 picture of shape (height, width)."""


DETECTORS: dict[str, type[PlateDetector]] = {
    "contour": ContourDetector,
    "whole": WholeImageDetector,
}


@dataclass(frozen=True)
class ReaderConfig:
    """What changes the reads of a picture, besides the bundle.

    Raises:
        ValueError: an unknown detector, or a confidence outside 0 to 1.
    """

    detector: str = "contour"
    backend: str = "litert"
    min_confidence: float = 0.0

    def __post_init__(self) -> None:
        if self.detector not in DETECTORS:
            raise ValueError(f"no detector {self.detector!r}: choose from {list(DETECTORS)}")
        if not 0 <= self.min_confidence <= 1:
            raise ValueError(f"min_confidence is {self.min_confidence}: give a value from 0 to 1")

    @property
    def sha256(self) -> str:
        """The hash that names this configuration in tables and run records."""
        return hashlib.sha256(json.dumps(asdict(self), sort_keys=True).encode()).hexdigest()


class PlateReader:
    """Detector, segmenter and recognizer of one bundle; threads may share a reader."""

    def __init__(self, bundle: Bundle, config: ReaderConfig | None = None) -> None:
        self.config = config or ReaderConfig()
        self.bundle = bundle
        self.detector: PlateDetector = DETECTORS[self.config.detector]()
        self.segmenter = CharacterSegmenter()
        self.recognizer = CharacterRecognizer(bundle, self.config.backend)

    @classmethod
    def from_bundle(cls, folder: str | Path | None = None, **config: Any) -> PlateReader:
        """A reader of the bundle in a local folder (None: the default bundle).

        Keyword arguments are those of `ReaderConfig`.

        Raises:
            BundleError: the bundle is missing or damaged.
            ValueError: a configuration that is not possible.
        """
        return cls(Bundle.load(folder), ReaderConfig(**config))

    def read(self, image: npt.NDArray[np.uint8]) -> list[PlateRead]:
        """Read every plate of a picture, best detection first.

        Args:
            image: uint8, upright: grey of shape (height, width) or RGB of shape (height, width, 3).
        """
        grey = image if image.ndim == 2 else cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
        found = self.find(np.asarray(grey, dtype=np.uint8))
        reads = self.recognizer.recognize([self.segmenter.segment(crop) for _, crop in found])
        return [
            compose_read(detection, characters, self.config.min_confidence)
            for (detection, _), characters in zip(found, reads, strict=True)
        ]

    def find(self, image: Image) -> list[tuple[PlateDetection, PlateCrop]]:
        """The plates of a grey picture with their upright crops, best detection first.

        A detection whose corners span no plate is dropped.
        """
        plates = []
        for detection in self.detector.detect(image):
            with suppress(DegenerateQuadError):
                plates.append((detection, rectify(image, detection.quad)))
        return plates

    def warm_up(self) -> None:
        """Load the model in this thread now rather than with the first picture.

        Raises:
            ImportError: the backend's library is not installed.
        """
        self.recognizer.classify(np.zeros((1, SIDE, SIDE), np.float32))


def keep_opencv_to_one_thread() -> None:
    """Stop OpenCV from spreading each call over the cores, for the whole process.

    Where pictures are read side by side its threads only cost: a fifth of the CPU time a picture.
    """
    cv2.setNumThreads(1)


def compose_read(
    detection: PlateDetection, characters: Sequence[CharacterRead], min_confidence: float = 0.0
) -> PlateRead:
    """A plate's read from its characters: text, confidence and whole-text alternatives.

    A plate has no text where fewer than two of its characters are sure, or all of it is less sure
    than `min_confidence`.
    """
    text = "".join(c.character for c in characters)
    text_raw = "".join(c.seen for c in characters)
    alternatives = tuple(_likely_texts([c.alternatives for c in characters], MAX_ALTERNATIVES))
    confidence = alternatives[0][1] if alternatives else 0.0
    sure = sum(c.probability >= SURE for c in characters)
    readable = sure >= MIN_SURE_CHARACTERS and confidence >= min_confidence
    return PlateRead(
        detection, text if readable else None, text_raw, confidence, tuple(characters), alternatives
    )


def _likely_texts(
    choices: Sequence[Sequence[tuple[str, float]]], count: int
) -> list[tuple[str, float]]:
    """The most probable texts of independent characters, best first."""
    if not choices:
        return []
    texts = [("", 1.0)]
    for alternatives in choices:
        longer = ((text + c, p * q) for text, p in texts for c, q in alternatives)
        texts = heapq.nlargest(count, longer, key=lambda pair: pair[1])
    return texts
