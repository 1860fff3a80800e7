"""Any character model as one function from pictures to probabilities, however it is stored."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any
from zipfile import BadZipFile

import numpy as np

from lpr_core.bundle import MANIFEST, Bundle, BundleError
from lpr_core.recognize import ALPHABET, SIDE, CharacterRecognizer, Classifier, Floats

if TYPE_CHECKING:
    import keras

BATCH = 512
MODEL_FILE = "best.keras"
"""In a training's folder: the network of the epoch that was best in validation."""

SAVED_MODEL_FILE = "saved_model.pb"


class ModelError(ValueError):
    """A path at which there is no character model."""


def load_classifier(model: Path | None = None) -> Classifier:
    """Load a character model of any format.

    Args:
        model: a folder that `platebeam train` wrote (its best epoch counts), a .keras or .h5 file,
            a SavedModel's folder, or a bundle's folder; None is the default bundle. A bundle's
            probabilities are calibrated, those of the others as the network gives them.

    Returns:
        A function from pictures, float32 (n, 28, 28) as `normalise_character` makes them, to
        probabilities, float32 (n, 36) in the order of ALPHABET.

    Raises:
        ModelError: there is none of these, or it does not read characters.
    """
    if model is None or (model / MANIFEST).is_file():
        try:
            bundle = Bundle.load(model)
            recognizer = CharacterRecognizer(bundle)
        except BundleError as error:
            raise ModelError(f"{model or 'the default bundle'}: {error}") from None
        alphabet = bundle.manifest["models"]["characters"]["alphabet"]
        if alphabet != ALPHABET:
            raise ModelError(f"{model} reads other characters: {alphabet}")
        return recognizer.classify
    if (model / SAVED_MODEL_FILE).is_file():
        return _saved_model_classifier(model)
    if (model / MODEL_FILE).is_file():
        model = model / MODEL_FILE
    if not model.exists():
        raise ModelError(f"no model at {model}")
    if model.suffix not in (".keras", ".h5"):
        raise ModelError(
            f"{model} is no model: give a training's folder, a .keras or .h5 file, a SavedModel or "
            "a bundle"
        )
    return keras_classifier(load_keras(model))


def load_keras(path: Path) -> keras.Model:
    """Load a character CNN from a .keras or .h5 file.

    Raises:
        ModelError: it is not one.
    """
    import keras

    try:
        network = keras.saving.load_model(path, compile=False)
    except (OSError, ValueError, TypeError, KeyError, BadZipFile) as error:
        reason = "its archive is damaged" if "File not found" in str(error) else _first_line(error)
        raise ModelError(f"{path} is no Keras model: {reason}") from None
    shapes = network.input_shape, network.output_shape
    if shapes != ((None, SIDE, SIDE, 1), (None, len(ALPHABET))):
        raise ModelError(f"{path} is no character model: it maps {shapes[0]} to {shapes[1]}")
    return network


def keras_classifier(network: keras.Model) -> Classifier:
    """A Keras model as a function of pictures (n, 28, 28)."""
    return _in_batches(network.predict_on_batch)


def _saved_model_classifier(folder: Path) -> Classifier:
    import tensorflow as tf

    try:
        # The endpoint works only as long as what was loaded lives.
        loaded = tf.saved_model.load(str(folder))
        serve = loaded.serve
        serve(np.zeros((1, SIDE, SIDE, 1), np.float32))
    except (OSError, ValueError, TypeError, AttributeError, tf.errors.OpError) as error:
        raise ModelError(
            f"{folder} is no SavedModel of a character model: {_first_line(error)}"
        ) from None
    return _in_batches(lambda pictures: loaded.serve(pictures))


def _in_batches(network: Callable[[Floats], Any]) -> Classifier:
    def classify(pictures: Floats) -> Floats:
        # The first layer's output takes 75 kB and more a picture: a whole set would not fit.
        parts = [
            np.asarray(network(pictures[start : start + BATCH, ..., None]), np.float32)
            for start in range(0, len(pictures), BATCH)
        ]
        return np.concatenate(parts) if parts else np.zeros((0, len(ALPHABET)), np.float32)

    return classify


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
