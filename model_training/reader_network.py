"""The network that reads a whole plate: convolutions over a crop, one classifier a frame, CTC."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from lpr_core.recognize import ALPHABET
from lpr_core.sequence import HEIGHT, WIDTH

if TYPE_CHECKING:
    import keras

COLUMNS = 40
"""Frames across the crop, for its upper and for its lower line each."""

CLASSES = 1 + len(ALPHABET)
"""The blank (0) and the characters."""


def reader_network(
    channels: Sequence[int] = (16, 40, 64, 96), width: int = 96, dropout: float = 0.1
) -> keras.Model:
    """Build the network: crops float32 (n, 64, 160, 1) to logits (n, 80, 37).

    The first 40 frames read the crop's upper line from left to right, the last 40 its lower line;
    a plate of one line comes out on one of them. So a two-line plate is one sequence for CTC
    (Graves et al. 2006), and nothing has to know the number of lines beforehand.

    Args:
        channels: of the four convolutions that shrink the crop to 4 × 40; the third has a residual
            convolution after it.
        width: channels of a frame.
        dropout: share of a frame's channels left out while training.
    """
    from keras import Input, Model, layers

    def convolution(x, filters, kernel, strides=1, dilation=1):  # type: ignore[no-untyped-def]
        x = layers.Conv2D(filters, kernel, strides, "same", dilation_rate=dilation, use_bias=False)(
            x
        )
        return layers.ReLU()(layers.BatchNormalization(momentum=0.97)(x))

    crops = Input((HEIGHT, WIDTH, 1))
    x = convolution(crops, channels[0], 5, 2)
    x = convolution(x, channels[1], 3, 2)
    x = convolution(x, channels[2], 3, (2, 1))
    x = layers.Add()([x, convolution(x, channels[2], 3)])
    x = convolution(x, channels[3], 3, (2, 1))
    # Three of the four rows for each line, by the same weights: who reads one line reads two.
    x = layers.Conv2D(width, (3, 1), use_bias=False)(x)
    x = layers.ReLU()(layers.BatchNormalization(momentum=0.97)(x))
    # What the whole plate is like tells every frame how many lines there are and what to expect.
    whole = layers.GlobalAveragePooling2D(keepdims=True)(x)
    whole = layers.Conv2D(width, 1, activation="relu")(whole)
    x = layers.Add()([x, whole])
    for dilation in (1, 3, 6):
        x = layers.Add()([x, convolution(x, width, (1, 5), dilation=(1, dilation))])
    x = layers.Dropout(dropout)(x)
    logits = layers.Reshape((2 * COLUMNS, CLASSES))(layers.Conv2D(CLASSES, 1)(x))
    return Model(crops, logits, name="reader")
