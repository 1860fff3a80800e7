"""What every training leaves in its folder, and how one that was stopped goes on from it."""

from __future__ import annotations

import csv
import json
import os
import platform
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal
from zipfile import BadZipFile

import cv2

from model_training.characters import Refused
from model_training.half_precision import kernel_shapes

if TYPE_CHECKING:
    import keras

MODEL_FILE = "best.keras"
"""The network of the epoch that was best in validation."""

CHECKPOINT_FILE = "last.keras"
HISTORY_FILE = "history.csv"
TRAINING_FILE = "training.json"
VALIDATION_FILE = "validation.npz"
REFUSED_FILE = "refused.csv"

GENERATOR_LICENCE = "own generator, MIT"

BACKENDS = frozenset(("jax", "tensorflow", "torch"))
"""Of Keras, as records list them among the libraries."""


class TrainingError(Exception):
    """The data or the output folder does not allow what was asked; the message says why."""


@dataclass(frozen=True)
class DataRecord:
    """One source of training pictures, as the manifest and the card list it."""

    name: str
    pictures: int
    sha256: str
    licence: str


def folder_and_licence(value: str) -> tuple[Path, str]:
    """A folder and the licence of its pictures from DIR=LICENCE or DIR: "unknown"."""
    folder, equals, licence = value.rpartition("=")
    if not equals or Path(value).is_dir():
        return Path(value), "unknown"
    return Path(folder), licence or "unknown"


def check_output(folder: Path) -> None:
    """Tell before any work that a folder cannot be made or written to.

    Raises:
        TrainingError: it cannot.
    """
    path = folder.absolute()
    nearest = next(place for place in (path, *path.parents) if place.exists())
    if not nearest.is_dir():
        raise TrainingError(f"--output {folder}: {nearest} is no folder")
    if not os.access(nearest, os.W_OK | os.X_OK):
        raise TrainingError(f"--output {folder}: {nearest} cannot be written to")


def earlier_record(
    path: Path, asked: Mapping[str, Any], resume: bool, *, longer: bool = False
) -> dict[str, Any]:
    """The record of the work to resume; {} where there is none.

    Args:
        path: of the record.
        asked: what is asked for now.
        resume: go on with earlier work.
        longer: allow more epochs than were asked for then, if the rate does not depend on them.

    Raises:
        TrainingError: there is one, but it is damaged, not to be resumed, was asked for otherwise,
            or is of another Keras backend, whose optimizers are others.
    """
    import keras

    if not path.exists():
        return {}
    if not resume:
        raise TrainingError(
            f"{path.parent} already holds a training: give --resume to go on with it, or another "
            f"--output"
        )
    try:
        earlier: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        before = {"epochs": 0, **earlier["asked"]}
        backends = BACKENDS.intersection(earlier.get("libraries", ()))
    except (ValueError, KeyError, TypeError):
        raise TrainingError(f"{path} is damaged: it does not say what was asked for") from None
    if backends and keras.backend.backend() not in backends:
        raise TrainingError(
            f"{path.parent} was begun with KERAS_BACKEND={min(backends)}: go on with the same"
        )
    now = json.loads(json.dumps(asked))
    changed = [name for name in now if now[name] != before.get(name)]
    if longer and now["schedule"] == "constant" and now["epochs"] > before["epochs"]:
        changed.remove("epochs")
    if changed:
        raise TrainingError(
            f"{path.parent} was trained with other options ({', '.join(changed)}): a resumed "
            f"training takes the same ones"
        )
    return earlier


def check_data(earlier: Mapping[str, Any], records: Sequence[DataRecord]) -> None:
    """See to it that work is resumed with the pictures that its record, if any, lists.

    Raises:
        TrainingError: there are others.
    """
    now = [asdict(item) for item in records]
    if earlier.get("data", now) != now:
        raise TrainingError("the pictures, or their licences, are not those it began with")


@contextmanager
def recorded(
    path: Path, record: dict[str, Any], earlier: Mapping[str, Any], *, ended: bool = False
) -> Iterator[None]:
    """Keep a record beside the training that runs within, with the seconds it has taken in all.

    Args:
        path: of the record.
        record: gets them as "seconds".
        earlier: the record of the work that is resumed, or {}.
        ended: nothing is left to train; to find that out is no training.
    """
    record["seconds"] = earlier.get("seconds", 0)
    write_json(path, record)
    started = time.monotonic()
    try:
        yield
    finally:
        record["seconds"] += 0 if ended else round(time.monotonic() - started)
        write_json(path, record)


def save_whole(model: keras.Model, path: Path) -> None:
    """Save a model so that a kill in the middle leaves the file that was there before."""
    beside = path.with_name(f"new-{path.name}")
    model.save(beside)
    os.replace(beside, path)


def load_whole(path: Path) -> keras.Model:
    """Load what `save_whole` stored.

    Raises:
        TrainingError: the file is damaged.
    """
    import keras

    try:
        return keras.saving.load_model(path)
    except (OSError, ValueError, TypeError, KeyError, BadZipFile):
        raise TrainingError(f"{path} is damaged: delete it to begin again") from None


def trained_network(path: Path, untrained: keras.Model) -> keras.Model:
    """The network of a model file, of a training's folder or of a bundle.

    Args:
        path: of the file.
        untrained: a network of the architecture that it must have.

    Raises:
        TrainingError: the file holds none, or one of another shape.
    """
    import keras

    try:
        network = keras.saving.load_model(path, compile=False)
    except (OSError, ValueError, TypeError, KeyError, BadZipFile):
        raise TrainingError(f"{path}: no network") from None
    if kernel_shapes(network) != kernel_shapes(untrained):
        raise TrainingError(f"{path}: a network of another shape")
    return network


def seed_dropout(model: keras.Model, seed: int, steps: int) -> None:
    """Put a model's dropout where its random stream is after some steps: Keras does not save it."""
    for variable in model.variables:
        if variable.name == "seed_generator_state":
            variable.assign([seed, steps])


def read_history(path: Path) -> dict[str, list[float]]:
    """The columns of history.csv."""
    with path.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    return {name: [float(row[name]) for row in rows] for name in rows[0]} if rows else {}


def keep_history(path: Path, epochs: int, column: str, mode: Literal["min", "max"]) -> float | None:
    """Cut history.csv back to the epochs that the checkpoint knows; a column's best among them.

    Raises:
        TrainingError: it does not hold as many.
    """
    lines = path.read_bytes().splitlines(True) if epochs and path.exists() else []
    replace_file(path, b"".join(lines[: 1 + epochs]))
    try:
        values = read_history(path).get(column, [])
    except (TypeError, ValueError):  # a row was cut short
        values = []
    if len(values) != epochs:
        raise TrainingError(
            f"{path} is damaged: it lacks epochs of {CHECKPOINT_FILE}, which delete to begin again"
        )
    return (max if mode == "max" else min)(values) if values else None


def write_refused(path: Path, refused: Sequence[Refused]) -> None:
    """The files that were left out as CSV."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(("path", "reason"))
        writer.writerows((item.path, item.reason) for item in refused)


def library_versions() -> dict[str, str]:
    """What a training depends on, for its record; of Keras's backends that in use."""
    import keras

    return {
        "python": platform.python_version(),
        **{name: version(name) for name in (keras.backend.backend(), "keras", "numpy")},
        "opencv": cv2.__version__,
    }


def use_threads(number: int) -> None:
    """Bound the threads of TensorFlow or PyTorch, whichever is the backend; 0 leaves it alone."""
    import keras

    if number and keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        tf.config.threading.set_intra_op_parallelism_threads(number)
        tf.config.threading.set_inter_op_parallelism_threads(1)
    elif number and keras.backend.backend() == "torch":
        import torch

        torch.set_num_threads(number)


def write_json(path: Path, record: Mapping[str, Any]) -> None:
    """Write a record for people and programs."""
    replace_file(path, json.dumps(record, indent=2).encode())


def replace_file(path: Path, content: bytes) -> None:
    """Write a file so that a kill in the middle leaves the one that was there before."""
    beside = path.with_name(f"new-{path.name}")
    beside.write_bytes(content)
    os.replace(beside, path)
