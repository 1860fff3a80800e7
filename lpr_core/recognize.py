"""Character pictures to characters with probabilities, by the bundle's CNN."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from lpr_core.bundle import Bundle, BundleError
from lpr_core.context import in_context
from lpr_core.geometry import Box, Image
from lpr_core.networks import BundledNetwork, Floats
from lpr_core.rectify import PlateCrop
from lpr_core.segment import CharacterBox, CharacterSegmenter

ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"
TOP_K = 3
MAX_ALTERNATIVES = 10
SURE = 0.9
MIN_SURE_CHARACTERS = 2
"""Where fewer characters are sure, nothing that was found is writing, or none of it is legible."""

MIN_TWO_BEST = 0.8
SURE_PLATE = 0.85
SIDE = 28
INK_SIDE = 24

Classifier = Callable[[Floats], Floats]
"""Pictures of shape (n, 28, 28) to probabilities of shape (n, 36)."""


@dataclass(frozen=True)
class CharacterRead:
    """One character as read.

    Attributes:
        character: of ALPHABET; of the plate's most probable text.
        probability: its calibrated probability, 0 to 1.
        seen: the most probable by its shape alone.
        box: where it stands, in pixels of the original picture.
        alternatives: the character itself, then the two most probable others, best first, with
            their probabilities.
    """

    character: str
    probability: float
    seen: str
    box: Box
    alternatives: tuple[tuple[str, float], ...]


@dataclass(frozen=True)
class TextRead:
    """A plate's text as read.

    Attributes:
        characters: in reading order.
        alternatives: whole texts with their probabilities, most probable first; the first is that
            of the characters. Without characters there are none.
        legible: whether it is sure enough to be a plate's text at all.
        seen: what the network saw, whatever plates usually bear.
    """

    characters: tuple[CharacterRead, ...]
    alternatives: tuple[tuple[str, float], ...]
    legible: bool
    seen: str

    @property
    def text(self) -> str:
        """The most probable text."""
        return "".join(c.character for c in self.characters)

    @property
    def confidence(self) -> float:
        """Probability that the whole text is right, 0 to 1; 0 without characters."""
        return self.alternatives[0][1] if self.alternatives else 0.0


def normalise_character(ink: Image) -> Floats:
    """A cut-out character as the CNN sees it; training uses this very function.

    The longer side becomes 24 pixels with the aspect kept (a 1 stays narrow), centred on 28×28.

    Args:
        ink: uint8 of shape (height, width), cut tight, paper 0, ink 255 (`segment.cut_character`).

    Returns:
        float32 of shape (28, 28), 0 to 1.

    Raises:
        ValueError: the cut-out is empty.
    """
    height, width = ink.shape
    if not height or not width:
        raise ValueError("an empty picture is no character")
    scale = INK_SIDE / max(height, width)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    shrink = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    left, top = (SIDE - size[0]) // 2, (SIDE - size[1]) // 2
    canvas = np.zeros((SIDE, SIDE), np.float32)
    canvas[top : top + size[1], left : left + size[0]] = cv2.resize(
        ink, size, interpolation=shrink
    ) / np.float32(255)
    return canvas


class CharacterRecognizer:
    """Plates read character by character: cut by morphology, classified by the bundle's CNN.

    Threads may share one. A plate's confidence is the product of its characters'.

    Raises:
        BundleError: the bundle holds no character model, or one that is described otherwise.
        ValueError: an unknown backend.
    """

    margin = 0.0
    """The surroundings it wants in a crop: none."""

    def __init__(self, bundle: Bundle, backend: str = "litert") -> None:
        self._segmenter = CharacterSegmenter()
        self._network = BundledNetwork(bundle, "characters", backend)
        try:
            self._alphabet = str(self._network.entry["alphabet"])
            self._temperature = float(self._network.entry["calibration"]["temperature"])
        except (KeyError, TypeError, ValueError):
            raise BundleError(
                "the bundle's characters lack their alphabet or calibration"
            ) from None
        self._is_letter = np.array([c.isalpha() for c in self._alphabet])

    def classify(self, images: Floats) -> Floats:
        """Calibrated probabilities of each character picture.

        Args:
            images: float32 of shape (n, 28, 28), 0 to 1, as `normalise_character` makes them.

        Returns:
            float32 of shape (n, 36) in the order of ALPHABET; rows sum to 1.
        """
        if len(images) == 0:
            return np.zeros((0, len(self._alphabet)), np.float32)
        probabilities = self._network(images[..., None])
        # Temperature scaling (Guo et al. 2017) on probabilities: p^(1/T), normalised.
        scaled = np.maximum(probabilities, 1e-12) ** (1 / self._temperature)
        return np.asarray(scaled / scaled.sum(axis=1, keepdims=True), dtype=np.float32)

    def warm_up(self) -> None:
        """Load the network now rather than with the first plate.

        Raises:
            ImportError: the backend's library is not installed.
        """
        self.classify(np.zeros((1, SIDE, SIDE), np.float32))

    def segment(self, crop: PlateCrop) -> tuple[CharacterBox, ...]:
        """The characters of a crop in reading order."""
        return self._segmenter.segment(crop)

    def recognize(self, plates: Sequence[Sequence[CharacterBox]]) -> list[TextRead]:
        """Read the plates of a picture, all their characters as one batch."""
        images = [normalise_character(character.ink) for plate in plates for character in plate]
        ends = np.cumsum([len(plate) for plate in plates], dtype=int)
        shapes = np.split(self.classify(np.array(images, np.float32)), ends)[:-1]
        return [self._read(plate, by_shape) for plate, by_shape in zip(plates, shapes, strict=True)]

    def _read(self, plate: Sequence[CharacterBox], by_shape: Floats) -> TextRead:
        posterior = in_context(by_shape, plate, self._is_letter)
        kept = _look_like_characters(posterior)
        if not kept.all():
            plate = [character for character, keep in zip(plate, kept, strict=True) if keep]
            by_shape = by_shape[kept]
            posterior = in_context(by_shape, plate, self._is_letter)
        reads = []
        for character, shape, probabilities in zip(plate, by_shape, posterior, strict=True):
            best = np.argsort(-probabilities, kind="stable")[:TOP_K]
            alternatives = tuple((self._alphabet[i], float(probabilities[i])) for i in best)
            seen = self._alphabet[int(np.argmax(shape))]
            reads.append(CharacterRead(*alternatives[0], seen, character.box, alternatives))
        texts = _likely_texts([read.alternatives for read in reads], MAX_ALTERNATIVES)
        sure = sum(read.probability >= SURE for read in reads)
        seen = "".join(read.seen for read in reads)
        return TextRead(tuple(reads), tuple(texts), sure >= MIN_SURE_CHARACTERS, seen)


def _look_like_characters(posterior: Floats) -> npt.NDArray[np.bool_]:
    """Which of a plate's cut-outs are characters, by their probabilities of shape (n, classes).

    Of an emblem, a bolt or the blue band the CNN makes a little of many characters; of a character
    at most two (O or 0, B or 8). On a plate that is blurred as a whole all are unsure, and nothing
    is dropped.
    """
    two_best = np.partition(posterior, -2, axis=1)[:, -2:]
    if len(posterior) and np.median(two_best.max(axis=1)) >= SURE_PLATE:
        return np.asarray(two_best.sum(axis=1) >= MIN_TWO_BEST)
    return np.ones(len(posterior), np.bool_)


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
