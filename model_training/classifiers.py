"""Any character model as one function from pictures to probabilities, however it is stored."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any
from zipfile import BadZipFile

import numpy as np

from lpr_core.bundle import MANIFEST, Bundle, BundleError
from lpr_core.networks import Floats, Network
from lpr_core.recognize import ALPHABET, SIDE, CharacterRecognizer, Classifier
from model_training.training_folder import MODEL_FILE

if TYPE_CHECKING:
    import keras

BATCH_PIXELS = 400_000

Shape = tuple[int | None, ...]
CHARACTER_SHAPES: tuple[Shape, Shape] = (None, SIDE, SIDE, 1), (None, len(ALPHABET))
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
    return _classifier(in_batches(load_keras(model).predict_on_batch))


def load_keras(
    path: Path, kind: str = "character", shapes: tuple[Shape, Shape] = CHARACTER_SHAPES
) -> keras.Model:
    """Load a network from a .keras or .h5 file, without the optimizer's state.

    Args:
        path: of the file.
        kind: what it is to be, for the message.
        shapes: of its input and output.

    Raises:
        ModelError: it is none of that kind.
    """
    import keras

    try:
        network = keras.saving.load_model(path, compile=False)
    except (OSError, ValueError, TypeError, KeyError, BadZipFile) as error:
        reason = "its archive is damaged" if "File not found" in str(error) else _first_line(error)
        raise ModelError(f"{path} is no Keras model: {reason}") from None
    found = network.input_shape, network.output_shape
    if found != shapes:
        raise ModelError(f"{path} is no {kind} model: it maps {found[0]} to {found[1]}")
    return network


def in_batches(network: Callable[[Floats], Any]) -> Network:
    """A function of a few pictures as one of any number of them, one at least.

    A first layer's output takes some hundred bytes a pixel: a whole set would not fit.
    """

    def run(pictures: Floats) -> Floats:
        batch = max(1, BATCH_PIXELS // (pictures.shape[1] * pictures.shape[2]))
        parts = [
            np.asarray(network(pictures[start : start + batch]), np.float32)
            for start in range(0, len(pictures), batch)
        ]
        return np.concatenate(parts)

    return run


def saved_model_network(folder: Path) -> Network:
    """The endpoint `serve` of a SavedModel's folder.

    Raises:
        ModelError: there is none.
    """
    import tensorflow as tf

    try:
        loaded = tf.saved_model.load(str(folder))
    except (OSError, ValueError, tf.errors.OpError) as error:
        raise ModelError(f"{folder} is no SavedModel: {_first_line(error)}") from None
    if not hasattr(loaded, "serve"):
        raise ModelError(f"{folder} is a SavedModel without the endpoint `serve`")
    # The endpoint works only as long as what was loaded lives.
    return in_batches(lambda pictures: loaded.serve(pictures))


def _saved_model_classifier(folder: Path) -> Classifier:
    import tensorflow as tf

    network = saved_model_network(folder)
    try:
        network(np.zeros((1, SIDE, SIDE, 1), np.float32))
    except (ValueError, TypeError, tf.errors.OpError) as error:
        raise ModelError(
            f"{folder} is no SavedModel of a character model: {_first_line(error)}"
        ) from None
    return _classifier(network)


def _classifier(network: Network) -> Classifier:
    def classify(pictures: Floats) -> Floats:
        if not len(pictures):
            return np.zeros((0, len(ALPHABET)), np.float32)
        return network(pictures[..., None])

    return classify


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
