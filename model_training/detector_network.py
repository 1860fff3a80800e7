"""The detector's network and what it is trained to minimise, on any Keras backend."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from lpr_core.heatmap import REACH

if TYPE_CHECKING:
    import keras

Tensor = Any
"""Of the Keras backend in use, float32."""

STEM, FINE, MIDDLE, COARSE, COARSEST = 8, 24, 48, 96, 160
"""Channels at strides 2, 4, 8, 16 and 32."""

PYRAMID = 48
"""Channels of the way back up."""

BLOCKS = (2, 4, 4)
"""Separable convolutions at strides 8, 16 and 32, beyond the one that shrinks."""

SURE_CELL = 0.999
"""Heat of a plate's middle cell; all others are less sure."""

RARE = 0.01
"""Share of the cells that a new network takes for plates (Lin et al. 2017)."""

SMALLEST_HEIGHT = 5.0
"""Pixels of a plate's height below which an error counts no more."""

SMOOTH = 0.05
"""Share of a plate's height below which an error counts by its square."""

CORNERS_WEIGHT, BOX_WEIGHT = 3.0, 1.0
"""Of these losses against the heat's."""


def build_detector(height: int | None = None, width: int | None = None) -> keras.Model:
    """An untrained network: separable convolutions with a feature pyramid (Lin et al. 2017).

    Args:
        height, width: of its input, multiples of 32; None: any.

    Returns:
        A model from grey pictures (n, height, width, 1), -1 to 1, to (n, height / 8, width / 8, 9):
        the logit of a plate's middle, and the offsets of its corners from the cell's middle, x and
        y of each in the reader's order, in REACH pixels.
    """
    import keras

    picture = keras.Input((height, width, 1))
    fine = _convolution(_convolution(picture, STEM, 3, 2), FINE, 3, 2)
    middle = _convolution(fine, MIDDLE, 3, 2)
    for _ in range(BLOCKS[0]):
        middle = _separable(middle, MIDDLE)
    coarse = _separable(middle, COARSE, 2)
    for _ in range(BLOCKS[1]):
        coarse = _separable(coarse, COARSE)
    coarsest = _separable(coarse, COARSEST, 2)
    for _ in range(BLOCKS[2]):
        coarsest = _separable(coarsest, COARSEST)
    merged = _separable(_merge(coarsest, coarse, PYRAMID), PYRAMID)
    merged = _separable(_merge(merged, middle, PYRAMID), PYRAMID)
    for _ in range(2):
        merged = _separable(merged, PYRAMID, kernel=5)
    bias = keras.initializers.Constant(math.log(RARE / (1 - RARE)))
    heat = keras.layers.Conv2D(1, 1, bias_initializer=bias, name="heat")(merged)
    corners = keras.layers.Conv2D(8, 1, name="corners")(merged)
    return keras.Model(picture, keras.layers.Concatenate()([heat, corners]), name="detector")


def _normalised(values: Tensor) -> Tensor:
    import keras

    return keras.layers.BatchNormalization(momentum=0.97)(values)


def _convolution(values: Tensor, channels: int, kernel: int, stride: int) -> Tensor:
    import keras

    convolution = keras.layers.Conv2D(
        channels, kernel, strides=stride, padding="same", use_bias=False
    )
    return keras.layers.ReLU()(_normalised(convolution(values)))


def _separable(values: Tensor, channels: int, stride: int = 1, kernel: int = 3) -> Tensor:
    """A depthwise and a pointwise convolution, with a shortcut where the shapes allow one."""
    import keras

    depthwise = keras.layers.DepthwiseConv2D(kernel, strides=stride, padding="same", use_bias=False)
    pointwise = keras.layers.Conv2D(channels, 1, use_bias=False)
    result = _normalised(pointwise(depthwise(values)))
    if stride == 1 and values.shape[-1] == channels:
        result = keras.layers.Add()([result, values])
    return keras.layers.ReLU()(result)


def _merge(small: Tensor, large: Tensor, channels: int) -> Tensor:
    """Features of one stride, enlarged, added to those of half of it."""
    import keras

    narrow = _normalised(keras.layers.Conv2D(channels, 1, use_bias=False)(small))
    lateral = _normalised(keras.layers.Conv2D(channels, 1, use_bias=False)(large))
    enlarged = keras.layers.UpSampling2D(2, interpolation="nearest")(narrow)
    return keras.layers.ReLU()(keras.layers.Add()([enlarged, lateral]))


def detector_loss(truth: Tensor, output: Tensor) -> Tensor:
    """The heat's focal loss, the corners' distance, and the overlap of the boxes around them.

    Args:
        truth: (n, h, w, 12) as `detector_pictures.targets` makes it.
        output: (n, h, w, 9) of the network.

    Returns:
        one number.
    """
    import keras

    ops = keras.ops
    box_weight, corners_weight = truth[..., 2], truth[..., 3]
    box = _mean(1 - box_overlap(truth[..., 4:], output[..., 1:]), box_weight)
    corners = _mean(corner_distance(truth[..., 4:], output[..., 1:]), corners_weight)
    heat = heat_loss(truth[..., 0], output[..., 0], truth[..., 1])
    return ops.add(heat, CORNERS_WEIGHT * corners + BOX_WEIGHT * box)


def _mean(values: Tensor, weights: Tensor) -> Tensor:
    from keras import ops

    return ops.sum(values * weights) / (ops.sum(weights) + 1e-3)


def heat_loss(truth: Tensor, logit: Tensor, counted: Tensor) -> Tensor:
    """Penalty-reduced focal loss a plate (CornerNet, Law and Deng 2018); all (n, h, w)."""
    from keras import ops

    middle = ops.cast(truth >= SURE_CELL, "float32") * counted
    share = ops.sigmoid(logit)
    found = middle * (1 - share) ** 2 * ops.log_sigmoid(logit)
    spared = (counted - middle) * (1 - truth) ** 4 * share**2 * ops.log_sigmoid(-logit)
    return -ops.sum(found + spared) / (ops.sum(middle) + 1)


def corner_distance(truth: Tensor, corners: Tensor) -> Tensor:
    """Mean smooth distance of corners in shares of the true plate's height; (n, h, w, 8) each."""
    from keras import ops

    left, right = truth[..., 6:8] - truth[..., 0:2], truth[..., 4:6] - truth[..., 2:4]
    height = 0.5 * (_length(left) + _length(right))
    height = ops.maximum(height, SMALLEST_HEIGHT / REACH)[..., None]
    away = ops.abs(corners - truth) / height
    smooth = ops.where(away < SMOOTH, away**2 / (2 * SMOOTH), away - SMOOTH / 2)
    return ops.mean(smooth, axis=-1)


def _length(vector: Tensor) -> Tensor:
    from keras import ops

    return ops.sqrt(ops.sum(vector**2, axis=-1) + 1e-8)


def box_overlap(truth: Tensor, corners: Tensor) -> Tensor:
    """Generalised IoU (Rezatofighi et al. 2019) of the boxes around corners (n, h, w, 8) each."""
    from keras import ops

    (x0, y0, x1, y1), (u0, v0, u1, v1) = _box(truth), _box(corners)
    shared = ops.relu(ops.minimum(x1, u1) - ops.maximum(x0, u0)) * ops.relu(
        ops.minimum(y1, v1) - ops.maximum(y0, v0)
    )
    union = (x1 - x0) * (y1 - y0) + (u1 - u0) * (v1 - v0) - shared + 1e-6
    around = (ops.maximum(x1, u1) - ops.minimum(x0, u0)) * (
        ops.maximum(y1, v1) - ops.minimum(y0, v0)
    ) + 1e-6
    return shared / union - (around - union) / around


def _box(corners: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    from keras import ops

    x, y = corners[..., 0::2], corners[..., 1::2]
    return ops.min(x, -1), ops.min(y, -1), ops.max(x, -1), ops.max(y, -1)
