"""Networks by name, each with the recipe its source trained it by, on any Keras backend."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lpr_core.recognize import ALPHABET

if TYPE_CHECKING:
    import keras


@dataclass(frozen=True)
class Architecture:
    """A character CNN: how it is built and what its source trained it with.

    Attributes:
        layers: from the numbers of filters, of hidden units, and the dropout to the layers between
            the picture and the last, softmax layer.
        filters: of the convolutions, in order.
        dense: units of the hidden layers, in order.
        dropout: share of units dropped in training.
        learning_rate: of Adam.
        batch_size: pictures a step.
        epochs: passes over the data.
    """

    layers: Callable[[Sequence[int], Sequence[int], float], list[keras.Layer]]
    filters: tuple[int, ...]
    dense: tuple[int, ...]
    dropout: float
    learning_rate: float
    batch_size: int
    epochs: int


def build(name: str, filters: Sequence[int], dense: Sequence[int], dropout: float) -> keras.Model:
    """An untrained network.

    Args:
        name: one of ARCHITECTURES.
        filters, dense, dropout: as in `Architecture`.

    Returns:
        A model from (n, 28, 28, 1), ink bright, 0 to 1, to softmax (n, 36) in the order of
        ALPHABET.

    Raises:
        ValueError: the architecture has another number of convolutions or hidden layers.
    """
    import keras

    architecture = ARCHITECTURES[name]
    for what, given, own in (
        ("filters", filters, architecture.filters),
        ("dense", dense, architecture.dense),
    ):
        if len(given) != len(own):
            raise ValueError(f"{name} takes {len(own)} numbers for {what}, not {len(given)}")
    return keras.Sequential(
        [
            keras.Input((28, 28, 1), name="character"),
            *architecture.layers(filters, dense, dropout),
            keras.layers.Dense(len(ALPHABET), activation="softmax", name="probabilities"),
        ],
        name=name,
    )


def _three_conv_bn(
    filters: Sequence[int], dense: Sequence[int], dropout: float
) -> list[keras.Layer]:
    """Three times (Conv2D 3×3, MaxPooling2D, BatchNormalization), then one hidden layer."""
    from keras import layers

    convolutions: list[keras.Layer] = []
    for number in filters:
        convolutions += [
            layers.Conv2D(number, 3, padding="same", activation="relu"),
            layers.MaxPooling2D(),
            layers.BatchNormalization(),
        ]
    return [
        *convolutions,
        layers.Flatten(),
        layers.Dense(dense[0], activation="relu"),
        layers.Dropout(dropout),
    ]


def _large_kernel(
    filters: Sequence[int], dense: Sequence[int], dropout: float
) -> list[keras.Layer]:
    """Four convolutions of 22×22, 16×16, 8×8 and 4×4, one pooling of 4×4, one hidden layer."""
    from keras import layers

    return [
        *(
            layers.Conv2D(number, kernel, padding="same", activation="relu")
            for number, kernel in zip(filters, (22, 16, 8, 4), strict=True)
        ),
        layers.MaxPooling2D(4),
        layers.Dropout(dropout),
        layers.Flatten(),
        layers.Dense(dense[0], activation="relu"),
    ]


def _two_conv(filters: Sequence[int], dense: Sequence[int], dropout: float) -> list[keras.Layer]:
    """Twice (Conv2D 3×3, MaxPooling2D), then Dense, Dropout, Dense."""
    from keras import layers

    convolutions: list[keras.Layer] = []
    for number in filters:
        convolutions += [layers.Conv2D(number, 3, activation="relu"), layers.MaxPooling2D()]
    return [
        *convolutions,
        layers.Flatten(),
        layers.Dense(dense[0], activation="relu"),
        layers.Dropout(dropout),
        layers.Dense(dense[1], activation="relu"),
    ]


ARCHITECTURES = {
    # The first source's network and recipe.
    "three_conv_bn": Architecture(_three_conv_bn, (24, 48, 96), (128,), 0.3, 1e-4, 32, 30),
    # The second source's first attempt: kernels, filters and rate as often published with its
    # pictures (there in batches of 1); batch and epochs those of the first source.
    "large_kernel": Architecture(_large_kernel, (16, 32, 64, 64), (128,), 0.4, 1e-4, 32, 30),
    # The second source's refinement. Its sizes are the tuner's to choose; these are mid-range.
    "two_conv": Architecture(_two_conv, (32, 64), (256, 128), 0.3, 1e-3, 32, 40),
}
