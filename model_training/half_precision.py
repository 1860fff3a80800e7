"""A trained network as it is shipped, without batch normalisation and of 16 bits, and back."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    import keras

Floats = npt.NDArray[np.float32]


def fold(network: keras.Model) -> keras.Model:
    """The same function of its inputs, without batch normalisation (Jacob et al. 2018, 3.2).

    What follows a convolution directly goes into its kernel and bias; elsewhere a scale and an
    offset of each channel take its place. A converter would do so itself, and round its own
    products: only what is folded beforehand comes out of it as it went in.
    """
    import keras

    layers = keras.layers
    makers = {id(layer.output): layer for layer in network.layers if type(layer) is layers.Conv2D}
    uses = Counter(
        id(tensor) for layer in network.layers for tensor in keras.tree.flatten(layer.input)
    )
    into = {}
    for layer in network.layers:
        if isinstance(layer, layers.BatchNormalization) and uses[id(layer.input)] == 1:
            convolution = makers.get(id(layer.input))
            if convolution is not None and convolution.activation is keras.activations.linear:
                into[convolution.name] = layer

    folded = {layer.name for layer in into.values()}

    def replacement(layer: keras.Layer) -> keras.Layer:
        if layer.name in into:
            return layers.Conv2D.from_config({**layer.get_config(), "use_bias": True})
        if layer.name in folded:
            return layers.Identity(name=layer.name)
        if isinstance(layer, layers.BatchNormalization):
            return layers.DepthwiseConv2D(1, name=layer.name)
        return type(layer).from_config(layer.get_config())

    def call(layer: keras.Layer, *inputs: Any, mask: object = None, **options: Any) -> Any:
        # Only normalisation takes a mask, and there is none.
        return inputs[0] if layer.name in folded else layer(*inputs, **options)

    result = keras.models.clone_model(network, clone_function=replacement, call_function=call)
    for layer in network.layers:
        weights = layer.get_weights()
        if not weights or layer.name in folded:
            continue  # such as an input, whose copy may have another name
        if layer.name in into:
            scale, offset = _scale_and_offset(into[layer.name])
            kernel, bias = weights[0], weights[1] if layer.use_bias else 0
            weights = [kernel * scale, bias * scale + offset]
        elif isinstance(layer, layers.BatchNormalization):
            scale, offset = _scale_and_offset(layer)
            weights = [scale[None, None, :, None], offset]
        result.get_layer(layer.name).set_weights(weights)
    return result


def _scale_and_offset(layer: keras.Layer) -> tuple[Floats, Floats]:
    gamma, beta, mean, variance = layer.get_weights()
    scale = gamma / np.sqrt(variance + layer.epsilon)
    return scale, beta - mean * scale


def _convolutions(network: keras.Model) -> list[keras.layers.Layer]:
    import keras

    kinds = keras.layers.Conv2D, keras.layers.DepthwiseConv2D
    return [layer for layer in network.layers if type(layer) in kinds]


def kernel_shapes(network: keras.Model) -> list[tuple[int, ...]]:
    """Of the network's convolutions in their order, which folding changes not."""
    return [tuple(layer.kernel.shape) for layer in _convolutions(network)]


def unfold(trained: keras.Model, network: keras.Model, inputs: Floats) -> None:
    """Give a network the function of a trained one, from which its training goes on.

    Normalisation that was folded away comes back with the statistics that the inputs have there.

    Args:
        trained: a network of the same architecture, or what `fold` made of one.
        network: gets its weights; all its normalisation follows a convolution.
        inputs: as many as tell the statistics.
    """
    import keras

    if len(trained.weights) == len(network.weights):
        network.set_weights(trained.get_weights())
        return
    pairs = list(zip(_convolutions(trained), _convolutions(network), strict=True))
    follows = {
        id(layer.input): layer
        for layer in network.layers
        if isinstance(layer, keras.layers.BatchNormalization)
    }
    outputs = keras.Model(trained.inputs, [before.output for before, _ in pairs]).predict(
        inputs, verbose=0
    )
    for (before, after), output in zip(pairs, outputs, strict=True):
        normalisation = follows.get(id(after.output))
        if normalisation is None:
            after.set_weights(before.get_weights())
            continue
        kernel, bias = before.get_weights()
        after.set_weights([kernel])
        mean, variance = output.mean(axis=(0, 1, 2)), output.var(axis=(0, 1, 2))
        gamma = np.sqrt(variance + normalisation.epsilon)
        normalisation.set_weights([gamma, mean, mean - bias, variance])


def round_to_half(network: keras.Model) -> None:
    """Round every weight to float16; the network goes on computing in float32."""
    network.set_weights([w.astype(np.float16).astype(np.float32) for w in network.get_weights()])
