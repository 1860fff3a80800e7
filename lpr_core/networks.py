"""A bundle's networks behind one of two libraries, which agree to 1e-4."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from lpr_core.bundle import Bundle, BundleError

Floats = npt.NDArray[np.float32]
Network = Callable[[Floats], Floats]
"""A batch of shape (n, …) to its outputs of shape (n, …)."""

SHAPES = 8
"""Of inputs for which a network is kept ready, 9 MB each at most: those of plates and of the usual
shapes of pictures, upright and lying."""


class BundledNetwork:
    """One of a bundle's networks.

    "litert" runs in the workers (small, quick to import); "tensorflow" runs the Keras model of the
    same bundle. Threads may share one: it has as many interpreters as were ever at work at once.
    It travels to other processes without any.

    Attributes:
        entry: what the manifest says of the network: alphabet, input size, calibration, …

    Raises:
        BundleError: the bundle holds no such network.
        ValueError: an unknown backend.
    """

    def __init__(self, bundle: Bundle, model: str, backend: str = "litert") -> None:
        if backend not in BACKENDS:
            raise ValueError(f"no backend {backend!r}: choose from {list(BACKENDS)}")
        kind, self._load = BACKENDS[backend]
        try:
            self.entry: dict[str, Any] = bundle.manifest["models"][model]
            self._bytes = bundle.files[self.entry["files"][kind]]
        except KeyError:
            raise BundleError(
                f"the bundle has no {model} model for {backend}: choose another bundle, or a "
                "detector and a reader that do without"
            ) from None
        # Shared by threads, not one for each: Beam takes up to sixteen by turns.
        self._idle: list[Network] = []

    def __getstate__(self) -> dict[str, Any]:
        return {**vars(self), "_idle": []}

    def __call__(self, batch: Floats) -> Floats:
        """Run the network on float32 of shape (n, height, width, channels).

        Raises:
            ImportError: the backend's library is not installed.
        """
        try:
            network = self._idle.pop()
        except IndexError:
            network = self._load(self._bytes)
        outputs = network(np.ascontiguousarray(batch, np.float32))
        self._idle.append(network)
        return outputs


def _litert_network(model: bytes) -> Network:
    from ai_edge_litert.interpreter import Interpreter

    # An interpreter of each shape: to bring one to another takes longer than to run it.
    @lru_cache(SHAPES)
    def one_of_shape(shape: tuple[int, ...]) -> Network:
        interpreter = Interpreter(model_content=model, num_threads=1)
        source = interpreter.get_input_details()[0]["index"]
        target = interpreter.get_output_details()[0]["index"]
        interpreter.resize_tensor_input(source, (1, *shape))
        interpreter.allocate_tensors()

        def run(one: Floats) -> Floats:
            interpreter.set_tensor(source, one[None])
            interpreter.invoke()
            outputs: Floats = interpreter.get_tensor(target)[0]
            return outputs

        return run

    def run(batch: Floats) -> Floats:
        # One at a time: larger batches are no faster in LiteRT, and a read then never depends on
        # what else stood in the picture.
        network = one_of_shape(batch.shape[1:])
        return np.stack([network(one) for one in batch])

    return run


def _tensorflow_network(model: bytes) -> Network:
    import keras

    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "network.keras")
        with open(path, "wb") as file:
            file.write(model)
        network = keras.saving.load_model(path, compile=False)

    def run(batch: Floats) -> Floats:
        return np.asarray(network(batch, training=False), dtype=np.float32)

    return run


BACKENDS: dict[str, tuple[str, Callable[[bytes], Network]]] = {
    "litert": ("litert", _litert_network),
    "tensorflow": ("keras", _tensorflow_network),
}
"""By name: which of a model's files it runs, and how it is loaded."""
