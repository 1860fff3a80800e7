"""`platebeam train characters`: train a character CNN from folders and rendered plates."""

from __future__ import annotations

import argparse
import hashlib
import json
import platform
import shlex
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timezone
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np
import numpy.typing as npt

from lpr_core.recognize import ALPHABET, normalise_character
from model_training.architectures import ARCHITECTURES
from model_training.augment import augment_character
from model_training.characters import CharacterSet, load_split
from model_training.glyphs import TrueTypeFont, installed_fonts
from model_training.rendered_characters import render_characters, render_non_characters

if TYPE_CHECKING:
    import keras

Pictures = npt.NDArray[np.float32]
Labels = npt.NDArray[np.int32]

TRAINING_FILE = "training.json"
VALIDATION_FILE = "validation.npz"
MODEL_FILE = "best.keras"
GENERATOR_LICENCE = "own generator, MIT"


@dataclass(frozen=True)
class DataRecord:
    """One source of training pictures, as the manifest and the card list it."""

    name: str
    pictures: int
    sha256: str
    licence: str


@dataclass(frozen=True, eq=False)
class TrainingData:
    """What a run learns from and what it is chosen by.

    Attributes:
        sets: character sets from folders, augmented anew each epoch.
        rendered: float32 (n, 28, 28), cut out of rendered plates; used as they are. Those without
            a character come last, under random labels.
        rendered_labels: int32 (n,).
        validation: float32 (m, 28, 28).
        validation_labels: int32 (m,).
        records: where it all came from.
    """

    sets: tuple[CharacterSet, ...]
    rendered: Pictures
    rendered_labels: Labels
    validation: Pictures
    validation_labels: Labels
    records: tuple[DataRecord, ...]


def gather(
    folders: Sequence[tuple[Path, str]],
    rendered: int,
    non_characters: int,
    fonts: tuple[TrueTypeFont, ...],
    validation_share: float,
    seed: int,
) -> TrainingData:
    """Read the folders, render the rest and split both; refused files are reported on stderr.

    Args:
        folders: each with the licence of its pictures.
        rendered: number of rendered characters to train on.
        non_characters: number of rendered cut-outs without a character to train on. Their labels
            are random, which teaches the network to be sure of none (the target is uniform in
            expectation: outlier exposure, Hendrycks et al. 2019); they validate nothing.
        fonts: for rendering, beside random dies.
        validation_share: share of each folder (and as many rendered characters in proportion).
        seed: of the split and the rendering.
    """
    training: list[CharacterSet] = []
    validation: list[CharacterSet] = []
    records: list[DataRecord] = []
    for folder, licence in folders:
        learnt, kept = load_split(folder, validation_share, seed)
        both = learnt.joined(kept)
        for item in both.refused:
            print(f"refused: {item.path}: {item.reason}", file=sys.stderr)
        training.append(learnt)
        validation.append(kept)
        records.append(DataRecord(both.name, len(both), both.sha256, licence))
    pictures = [part.normalised() for part in validation]
    labels = [part.labels for part in validation]
    shown = np.zeros((0, 28, 28), np.float32), np.zeros(0, np.int32)
    if rendered:
        # Two streams: how many are trained on does not change what they are validated on.
        shown = render_characters(rendered, np.random.default_rng([seed, 0]), fonts)
        number = round(rendered * validation_share)
        unseen = render_characters(number, np.random.default_rng([seed, 1]), fonts)
        pictures.append(unseen[0])
        labels.append(unseen[1])
        digest = hashlib.sha256(shown[0].tobytes() + shown[1].tobytes()).hexdigest()
        records.append(DataRecord("rendered", rendered, digest, GENERATOR_LICENCE))
    if non_characters:
        rng = np.random.default_rng([seed, 3])
        empty = render_non_characters(non_characters, rng, fonts)
        guesses = rng.integers(len(ALPHABET), size=non_characters, dtype=np.int32)
        shown = np.concatenate([shown[0], empty]), np.concatenate([shown[1], guesses])
        digest = hashlib.sha256(empty.tobytes()).hexdigest()
        records.append(
            DataRecord("rendered non-characters", non_characters, digest, GENERATOR_LICENCE)
        )
    return TrainingData(
        tuple(training), *shown, np.concatenate(pictures), np.concatenate(labels), tuple(records)
    )


def batches(data: TrainingData, batch_size: int, augment: bool, seed: int) -> keras.utils.PyDataset:
    """The training pictures of an epoch in random order, those from folders augmented anew."""
    import keras

    inks = [ink for part in data.sets for ink in part.pictures]
    labels = np.concatenate([*(part.labels for part in data.sets), data.rendered_labels])

    class Batches(keras.utils.PyDataset):
        def __init__(self) -> None:
            super().__init__()
            self._rng = np.random.default_rng([seed, 2])
            self.on_epoch_end()

        def __len__(self) -> int:
            return -(-len(labels) // batch_size)

        def on_epoch_end(self) -> None:
            self._order = self._rng.permutation(len(labels))

        def __getitem__(self, index: int) -> tuple[Pictures, Labels]:
            numbers = self._order[index * batch_size : (index + 1) * batch_size]
            return np.stack([self._picture(i) for i in numbers])[..., None], labels[numbers]

        def _picture(self, number: int) -> Pictures:
            if number >= len(inks):
                return data.rendered[number - len(inks)]
            if not augment:
                return normalise_character(inks[number])
            neighbour = inks[self._rng.integers(len(inks))]
            return augment_character(inks[number], neighbour, self._rng)

    return Batches()


def train(
    model: keras.Model,
    data: TrainingData,
    output: Path,
    *,
    learning_rate: float,
    schedule: str,
    epochs: int,
    batch_size: int,
    augment: bool,
    seed: int,
) -> dict[str, float]:
    """Fit a model and write its checkpoints, history and curves into `output`.

    Args:
        model: softmax over ALPHABET, input (n, 28, 28, 1).
        data: see `gather`.
        output: an existing folder; gets best.keras (by validation accuracy), last.keras,
            history.csv, curves.png and validation.npz.
        learning_rate: of Adam.
        schedule: "constant", or "cosine" down to a hundredth.
        epochs: passes over the data.
        batch_size: pictures a step.
        augment: whether pictures from folders are augmented.
        seed: of the order and the augmentation.

    Returns:
        validation_accuracy, validation_loss, best_epoch (from 1) and validation_pictures.
    """
    import keras

    training = batches(data, batch_size, augment, seed)
    rate: float | keras.optimizers.schedules.LearningRateSchedule = learning_rate
    if schedule == "cosine":
        rate = keras.optimizers.schedules.CosineDecay(
            learning_rate, epochs * len(training), alpha=0.01
        )
    model.compile(
        optimizer=keras.optimizers.Adam(rate),
        loss="sparse_categorical_crossentropy",
        metrics=["sparse_categorical_accuracy"],
    )
    monitor = "val_sparse_categorical_accuracy"
    history = model.fit(
        training,
        validation_data=(data.validation[..., None], data.validation_labels),
        epochs=epochs,
        verbose="auto" if sys.stdout.isatty() else 2,
        callbacks=[
            keras.callbacks.ModelCheckpoint(
                output / MODEL_FILE, monitor=monitor, mode="max", save_best_only=True
            ),
            keras.callbacks.ModelCheckpoint(output / "last.keras"),
            keras.callbacks.CSVLogger(str(output / "history.csv")),
        ],
    ).history
    plot_history(history, output / "curves.png")
    np.savez_compressed(
        output / VALIDATION_FILE, pictures=data.validation, labels=data.validation_labels
    )
    best = int(np.argmax(history[monitor]))
    return {
        "validation_accuracy": float(history[monitor][best]),
        "validation_loss": float(history["val_loss"][best]),
        "best_epoch": best + 1,
        "validation_pictures": len(data.validation),
    }


def plot_history(history: dict[str, list[float]], path: Path) -> None:
    """Draw loss and accuracy over the epochs into a PNG."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 3.5), layout="constrained")
    names = ("loss", "sparse_categorical_accuracy")
    for axes, name in zip(figure.subplots(1, 2), names, strict=True):
        for column, label in ((name, "training"), (f"val_{name}", "validation")):
            axes.plot(range(1, len(history[column]) + 1), history[column], label=label)
        axes.set(xlabel="epoch", ylabel=name.replace("sparse_categorical_", ""))
        axes.legend()
    figure.savefig(path, dpi=120)


def main(argv: Sequence[str]) -> int:
    """Run `platebeam train`."""
    parser = argparse.ArgumentParser(prog="platebeam train", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="characters")
    characters = commands.add_parser(
        "characters",
        help="the character CNN",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    add = characters.add_argument
    add(
        "--data",
        nargs="*",
        default=[],
        metavar="DIR[=LICENCE]",
        type=_folder_and_licence,
        help="folders with a folder per character, or with train/ and val/ of that kind",
    )
    add("--rendered", type=int, default=0, metavar="N", help="characters of rendered plates")
    add(
        "--non-characters",
        type=int,
        default=0,
        metavar="N",
        help="cut-outs of rendered plates without a character, to be unsure of",
    )
    add(
        "--fonts",
        choices=("installed", "dies"),
        default="installed",
        help="what rendered plates are written in: dies and the installed fonts, or dies alone",
    )
    add("--output", type=Path, required=True, metavar="DIR", help="gets the model and its history")
    add("--architecture", choices=ARCHITECTURES, default="three_conv_bn", help="which network")
    add("--filters", type=int, nargs=3, default=(24, 48, 96), help="of its convolutions")
    add("--dense", type=int, default=128, help="units of its hidden layer")
    add("--dropout", type=float, default=0.3, help="share of these dropped in training")
    add("--learning-rate", type=float, default=1e-4, help="of Adam")
    add("--schedule", choices=("constant", "cosine"), default="constant", help="of the rate")
    add("--epochs", type=int, default=30, help="passes over the data")
    add("--batch-size", type=int, default=32, help="pictures a step")
    add(
        "--augment",
        action=argparse.BooleanOptionalAction,
        default=False,
        help="show the folders' pictures a little changed each time",
    )
    add(
        "--validation-share",
        type=float,
        default=0.1,
        metavar="P",
        help="of the pictures of folders without a val/ of their own",
    )
    add("--seed", type=int, default=0, help="of everything random")
    add("--threads", type=int, default=0, help="of TensorFlow; 0: all cores")
    return train_characters(parser.parse_args(argv), shlex.join(["platebeam", "train", *argv]))


def train_characters(options: argparse.Namespace, command: str) -> int:
    """Gather, train and record; `options` as `main` parses them."""
    fonts = installed_fonts() if options.rendered and options.fonts == "installed" else ()
    if not options.data and not options.rendered:
        print("platebeam train: nothing to learn from: give --data or --rendered", file=sys.stderr)
        return 2

    import keras

    if options.threads:
        import tensorflow as tf

        tf.config.threading.set_intra_op_parallelism_threads(options.threads)
        tf.config.threading.set_inter_op_parallelism_threads(1)
    keras.utils.set_random_seed(options.seed)
    options.output.mkdir(parents=True, exist_ok=True)
    started = datetime.now(timezone.utc)
    data = gather(
        options.data,
        options.rendered,
        options.non_characters,
        fonts,
        options.validation_share,
        options.seed,
    )
    for item in data.records:
        print(f"{item.name}: {item.pictures} pictures")
    model = ARCHITECTURES[options.architecture](options.filters, options.dense, options.dropout)
    metrics = train(
        model,
        data,
        options.output,
        learning_rate=options.learning_rate,
        schedule=options.schedule,
        epochs=options.epochs,
        batch_size=options.batch_size,
        augment=options.augment,
        seed=options.seed,
    )
    record = {
        "architecture": options.architecture,
        "alphabet": ALPHABET,
        "command": command,
        "seed": options.seed,
        "data": [asdict(item) for item in data.records],
        "fonts": [font.name for font in fonts],
        "metrics": metrics,
        "seconds": round((datetime.now(timezone.utc) - started).total_seconds()),
        "libraries": {
            "python": platform.python_version(),
            **{name: version(name) for name in ("tensorflow", "keras", "numpy")},
            "opencv": cv2.__version__,
        },
    }
    (options.output / TRAINING_FILE).write_text(json.dumps(record, indent=2), encoding="utf-8")
    print(
        f"validation accuracy {metrics['validation_accuracy']:.4f}: {options.output / MODEL_FILE}"
    )
    return 0


def _folder_and_licence(value: str) -> tuple[Path, str]:
    folder, _, licence = value.partition("=")
    return Path(folder), licence or "unknown"
