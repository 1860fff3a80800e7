"""Networks by name. Each is a function of its sizes and runs on any Keras backend."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from lpr_core.recognize import ALPHABET

if TYPE_CHECKING:
    import keras


def three_conv_bn(
    filters: Sequence[int] = (24, 48, 96), dense: int = 128, dropout: float = 0.3
) -> keras.Model:
    """The first source's character CNN: three times (Conv2D, MaxPooling2D, BatchNormalization).

    Args:
        filters: of the three convolutions, all 3×3.
        dense: units of the hidden layer.
        dropout: share of them dropped in training.

    Returns:
        A model from (n, 28, 28, 1), ink bright, 0 to 1, to softmax (n, 36) in the order of
        ALPHABET; 168,260 parameters with the default sizes.
    """
    import keras

    layers: list[keras.Layer] = [keras.Input((28, 28, 1), name="character")]
    for number in filters:
        layers += [
            keras.layers.Conv2D(number, 3, padding="same", activation="relu"),
            keras.layers.MaxPooling2D(),
            keras.layers.BatchNormalization(),
        ]
    layers += [
        keras.layers.Flatten(),
        keras.layers.Dense(dense, activation="relu"),
        keras.layers.Dropout(dropout),
        keras.layers.Dense(len(ALPHABET), activation="softmax", name="probabilities"),
    ]
    return keras.Sequential(layers, name="three_conv_bn")


ARCHITECTURES: dict[str, Callable[..., keras.Model]] = {"three_conv_bn": three_conv_bn}
