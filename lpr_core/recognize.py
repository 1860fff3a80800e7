"""Character pictures to characters with probabilities, by the bundle's CNN."""

from __future__ import annotations

import os
import tempfile
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from lpr_core.bundle import Bundle, BundleError
from lpr_core.context import in_context
from lpr_core.geometry import Box, Image
from lpr_core.segment import CharacterBox

ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"
TOP_K = 3
MIN_TWO_BEST = 0.8
SURE_PLATE = 0.85
SIDE = 28
INK_SIDE = 24

Floats = npt.NDArray[np.float32]
Classifier = Callable[[Floats], Floats]
"""Pictures of shape (n, 28, 28) to probabilities of shape (n, 36)."""


@dataclass(frozen=True)
class CharacterRead:
    """One character as read.

    Attributes:
        character: the most probable of ALPHABET, given the whole plate.
        probability: its calibrated probability, 0 to 1.
        seen: the most probable by its shape alone.
        box: where it stands, in pixels of the original picture.
        alternatives: the three most probable characters with their probabilities, best first; the
            first is the character itself.
    """

    character: str
    probability: float
    seen: str
    box: Box
    alternatives: tuple[tuple[str, float], ...]


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
    """The bundle's character CNN behind one of two backends, which agree to 1e-4.

    "litert" runs in the workers (small, quick to import); "tensorflow" runs the Keras model of the
    same bundle. One recognizer may be shared by threads: each makes its own interpreter.

    Raises:
        BundleError: the bundle holds no character model.
        ValueError: an unknown backend.
    """

    def __init__(self, bundle: Bundle, backend: str = "litert") -> None:
        try:
            model = bundle.manifest["models"]["characters"]
            name = model["files"][{"litert": "litert", "tensorflow": "keras"}[backend]]
            self._bytes = bundle.files[name]
            self._alphabet = str(model["alphabet"])
            self._temperature = float(model["calibration"]["temperature"])
        except KeyError as error:
            if backend not in BACKENDS:
                raise ValueError(f"no backend {backend!r}: choose from {list(BACKENDS)}") from None
            raise BundleError(f"the bundle has no character model: {error} is missing") from None
        self._is_letter = np.array([c.isalpha() for c in self._alphabet])
        self._load = BACKENDS[backend]
        self._own = threading.local()

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if name != "_own"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state, _own=threading.local())

    def classify(self, images: Floats) -> Floats:
        """Calibrated probabilities of each character picture.

        Args:
            images: float32 of shape (n, 28, 28), 0 to 1, as `normalise_character` makes them.

        Returns:
            float32 of shape (n, 36) in the order of ALPHABET; rows sum to 1.
        """
        if len(images) == 0:
            return np.zeros((0, len(self._alphabet)), np.float32)
        if not hasattr(self._own, "classifier"):
            self._own.classifier = self._load(self._bytes)
        probabilities: Floats = self._own.classifier(np.ascontiguousarray(images, np.float32))
        # Temperature scaling (Guo et al. 2017) on probabilities: p^(1/T), normalised.
        scaled = np.maximum(probabilities, 1e-12) ** (1 / self._temperature)
        return np.asarray(scaled / scaled.sum(axis=1, keepdims=True), dtype=np.float32)

    def recognize(
        self, plates: Sequence[Sequence[CharacterBox]]
    ) -> list[tuple[CharacterRead, ...]]:
        """Read the characters of all plates of a picture as one batch, in their reading order."""
        images = [normalise_character(character.ink) for plate in plates for character in plate]
        ends = np.cumsum([len(plate) for plate in plates], dtype=int)
        shapes = np.split(self.classify(np.array(images, np.float32)), ends)[:-1]
        return [self._read(plate, by_shape) for plate, by_shape in zip(plates, shapes, strict=True)]

    def _read(self, plate: Sequence[CharacterBox], by_shape: Floats) -> tuple[CharacterRead, ...]:
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
        return tuple(reads)


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


def _litert_classifier(model: bytes) -> Classifier:
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_content=model, num_threads=1)
    interpreter.allocate_tensors()
    source = interpreter.get_input_details()[0]["index"]
    target = interpreter.get_output_details()[0]["index"]

    def classify(images: Floats) -> Floats:
        rows = []
        # One at a time: larger batches are no faster in LiteRT, and a read then never depends on
        # what else stood in the picture.
        for image in images:
            interpreter.set_tensor(source, image[None, ..., None])
            interpreter.invoke()
            rows.append(interpreter.get_tensor(target)[0])
        return np.stack(rows)

    return classify


def _tensorflow_classifier(model: bytes) -> Classifier:
    import keras

    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "characters.keras")
        with open(path, "wb") as file:
            file.write(model)
        network = keras.saving.load_model(path, compile=False)

    def classify(images: Floats) -> Floats:
        return np.asarray(network(images[..., None], training=False), dtype=np.float32)

    return classify


BACKENDS: dict[str, Callable[[bytes], Classifier]] = {
    "litert": _litert_classifier,
    "tensorflow": _tensorflow_classifier,
}
