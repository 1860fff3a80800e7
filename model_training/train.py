"""`platebeam train characters`: train a character CNN from folders and rendered plates."""

from __future__ import annotations

import argparse
import csv
import hashlib
import json
import os
import platform
import shlex
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any
from zipfile import BadZipFile

import cv2
import numpy as np
import numpy.typing as npt

from lpr_core.recognize import ALPHABET, normalise_character
from model_training.architectures import ARCHITECTURES, build
from model_training.augment import augment_character
from model_training.characters import CharacterSet, Refused, load_split
from model_training.classifiers import MODEL_FILE
from model_training.glyphs import NoFontsError, TrueTypeFont
from model_training.options import (
    add_fonts_option,
    chosen_fonts,
    rate,
    share,
    whole_number,
)
from model_training.rendered_characters import render_characters, render_non_characters

if TYPE_CHECKING:
    import keras

Pictures = npt.NDArray[np.float32]
Labels = npt.NDArray[np.int32]

CHECKPOINT_FILE = "last.keras"
HISTORY_FILE = "history.csv"
TRAINING_FILE = "training.json"
VALIDATION_FILE = "validation.npz"
MONITORS = {
    "accuracy": ("val_sparse_categorical_accuracy", "max"),
    "loss": ("val_loss", "min"),
}
"""What the best epoch may be chosen by: Keras's name of it and which way is better."""

GENERATOR_LICENCE = "own generator, MIT"


class TrainingError(Exception):
    """The data or the output folder does not allow what was asked; the message says why."""


@dataclass(frozen=True)
class Recipe:
    """Everything but the data that decides what a training makes.

    Attributes:
        architecture: one of ARCHITECTURES.
        filters, dense, dropout: its sizes, as in `architectures.Architecture`.
        learning_rate: of Adam.
        epochs: passes over the data.
        batch_size: pictures a step.
        schedule: of the rate: "constant", or "cosine" down to a hundredth.
        augment: show the folders' pictures a little changed each time.
        select_by: one of MONITORS, by which the best epoch is kept.
        seed: of the weights, the order, dropout and augmentation.
    """

    architecture: str
    filters: tuple[int, ...]
    dense: tuple[int, ...]
    dropout: float
    learning_rate: float
    epochs: int
    batch_size: int
    schedule: str = "constant"
    augment: bool = False
    select_by: str = "accuracy"
    seed: int = 0


def recipe_of(architecture: str, **chosen: Any) -> Recipe:
    """The recipe of an architecture's source but for the fields that are chosen (None: not)."""
    own = ARCHITECTURES[architecture]
    recipe = Recipe(
        architecture,
        own.filters,
        own.dense,
        own.dropout,
        own.learning_rate,
        own.epochs,
        own.batch_size,
    )
    return replace(recipe, **{name: v for name, v in chosen.items() if v is not None})


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
        refused: files of the folders that were left out.
        fonts: names of the TrueType fonts rendered with, beside random dies.
    """

    sets: tuple[CharacterSet, ...]
    rendered: Pictures
    rendered_labels: Labels
    validation: Pictures
    validation_labels: Labels
    records: tuple[DataRecord, ...]
    refused: tuple[Refused, ...]
    fonts: tuple[str, ...]


def gather(
    folders: Sequence[tuple[Path, str]],
    rendered: int,
    non_characters: int,
    fonts: tuple[TrueTypeFont, ...],
    validation_share: float,
    seed: int,
) -> TrainingData:
    """Read the folders, render the rest and split both.

    Args:
        folders: each with the licence of its pictures.
        rendered: number of rendered characters to train on.
        non_characters: number of rendered cut-outs without a character to train on. Their labels
            are random, which teaches the network to be sure of none (the target is uniform in
            expectation: outlier exposure, Hendrycks et al. 2019); they validate nothing.
        fonts: for rendering, beside random dies.
        validation_share: share of each folder (and as many rendered characters in proportion).
        seed: of the split and the rendering.

    Raises:
        TrainingError: there is nothing to train on or nothing to validate with.
        FileNotFoundError: a folder is none or holds no folder of a character.
    """
    training: list[CharacterSet] = []
    validation: list[CharacterSet] = []
    records: list[DataRecord] = []
    refused: list[Refused] = []
    for folder, licence in folders:
        learnt, kept = load_split(folder, validation_share, seed)
        both = learnt.joined(kept)
        refused += both.refused
        training.append(learnt)
        validation.append(kept)
        name = learnt.name if learnt.name == kept.name else folder.resolve().name
        records.append(DataRecord(name, len(both), both.sha256, licence))
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
    if not sum(map(len, training)) + len(shown[0]):
        raise TrainingError("nothing to learn from: no picture in the folders given")
    if not sum(map(len, pictures)):
        raise TrainingError("nothing to validate with: raise --validation-share or add pictures")
    return TrainingData(
        tuple(training),
        *shown,
        np.concatenate(pictures),
        np.concatenate(labels),
        tuple(records),
        tuple(refused),
        tuple(font.name for font in fonts),
    )


def batches(data: TrainingData, recipe: Recipe) -> keras.utils.PyDataset:
    """The training pictures in random order, those from folders augmented anew each epoch.

    What an epoch shows depends on the seed and its number alone, so that a resumed training goes
    on as if it had not stopped; `start(epoch)` tells the number.
    """
    import keras

    inks = [ink for part in data.sets for ink in part.pictures]
    labels = np.concatenate([*(part.labels for part in data.sets), data.rendered_labels])

    class Batches(keras.utils.PyDataset):
        def __init__(self) -> None:
            super().__init__()
            self.start(0)

        def start(self, epoch: int) -> None:
            self._epoch = epoch
            self._order = np.random.default_rng([recipe.seed, 2, epoch]).permutation(len(labels))

        def __len__(self) -> int:
            return -(-len(labels) // recipe.batch_size)

        def __getitem__(self, index: int) -> tuple[Pictures, Labels]:
            numbers = self._order[index * recipe.batch_size :][: recipe.batch_size]
            rng = np.random.default_rng([recipe.seed, 3, self._epoch, index])
            return np.stack([self._picture(i, rng) for i in numbers])[..., None], labels[numbers]

        def _picture(self, number: int, rng: np.random.Generator) -> Pictures:
            if number >= len(inks):
                return data.rendered[number - len(inks)]
            if not recipe.augment:
                return normalise_character(inks[number])
            return augment_character(inks[number], inks[rng.integers(len(inks))], rng)

    return Batches()


def train(recipe: Recipe, data: TrainingData, output: Path, resume: bool = False) -> None:
    """Build and fit a network, leaving everything about it in a folder.

    Args:
        recipe: what to train and how.
        data: see `gather`.
        output: an existing folder. Gets best.keras and, after each epoch, last.keras (with the
            optimizer's state), history.csv with Keras's own column names, and at the end
            curves.png and validation.npz (float32 pictures (n, 28, 28), int32 labels (n,)).
        resume: go on after the last whole epoch that `output` holds, if any.

    Raises:
        TrainingError: what is to be resumed is damaged.
        ValueError: the architecture takes another number of filters or hidden layers.
    """
    import keras

    keras.utils.set_random_seed(recipe.seed)
    steps = len(batches(data, recipe))
    checkpoint, history = output / CHECKPOINT_FILE, output / HISTORY_FILE
    if resume and checkpoint.exists():
        model = load_whole(checkpoint)
    else:
        model = build(recipe.architecture, recipe.filters, recipe.dense, recipe.dropout)
        compile_model(model, recipe, steps)
    done = int(model.optimizer.iterations) // steps
    best = keep_history(history, done, recipe.select_by)
    monitor, mode = MONITORS[recipe.select_by]
    fit(
        model,
        data,
        recipe,
        initial_epoch=done,
        verbose="auto" if sys.stdout.isatty() else 2,
        callbacks=[
            keras.callbacks.ModelCheckpoint(
                output / MODEL_FILE,
                monitor=monitor,
                mode=mode,
                save_best_only=True,
                initial_value_threshold=best,
            ),
            keras.callbacks.CSVLogger(str(history), append=True),
            keras.callbacks.LambdaCallback(
                on_epoch_end=lambda epoch, logs: save_whole(model, checkpoint)
            ),
        ],
    )
    plot_history(read_history(history), output / "curves.png")
    np.savez_compressed(
        output / VALIDATION_FILE, pictures=data.validation, labels=data.validation_labels
    )


def compile_model(model: keras.Model, recipe: Recipe, steps: int) -> None:
    """Adam and sparse categorical cross-entropy, as both sources have it; `steps` an epoch."""
    import keras

    rate: float | keras.optimizers.schedules.LearningRateSchedule = recipe.learning_rate
    if recipe.schedule == "cosine":
        rate = keras.optimizers.schedules.CosineDecay(rate, recipe.epochs * steps, alpha=0.01)
    model.compile(
        optimizer=keras.optimizers.Adam(rate),
        loss="sparse_categorical_crossentropy",
        metrics=["sparse_categorical_accuracy"],
    )


def fit(
    model: keras.Model,
    data: TrainingData,
    recipe: Recipe,
    *,
    initial_epoch: int = 0,
    verbose: str | int = 0,
    callbacks: Sequence[keras.callbacks.Callback] = (),
) -> keras.callbacks.History:
    """Fit a compiled network, each epoch's order, augmentation and dropout by its number alone."""
    import keras

    pictures = batches(data, recipe)

    def start(epoch: int, logs: object = None) -> None:
        # Not left to the data set's own hooks, which Keras calls once more before the first epoch;
        # and Keras does not save where dropout is in its random stream.
        pictures.start(epoch)
        for variable in model.variables:
            if variable.name == "seed_generator_state":
                variable.assign([recipe.seed, epoch * len(pictures)])

    return model.fit(
        pictures,
        shuffle=False,  # `batches` does it
        validation_data=(data.validation[..., None], data.validation_labels),
        initial_epoch=initial_epoch,
        epochs=recipe.epochs,
        verbose=verbose,
        callbacks=[keras.callbacks.LambdaCallback(on_epoch_begin=start), *callbacks],
    )


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


def read_history(path: Path) -> dict[str, list[float]]:
    """The columns of history.csv."""
    with path.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    return {name: [float(row[name]) for row in rows] for name in rows[0]} if rows else {}


def keep_history(path: Path, epochs: int, select_by: str) -> float | None:
    """Cut history.csv back to the epochs that the checkpoint knows; the best value among them.

    Raises:
        TrainingError: it does not hold as many.
    """
    lines = path.read_bytes().splitlines(True) if epochs and path.exists() else []
    replace_file(path, b"".join(lines[: 1 + epochs]))
    column, mode = MONITORS[select_by]
    try:
        values = read_history(path).get(column, [])
    except (TypeError, ValueError):  # a row was cut short
        values = []
    if len(values) != epochs:
        raise TrainingError(
            f"{path} is damaged: it lacks epochs of {CHECKPOINT_FILE}, which delete to begin again"
        )
    return (max if mode == "max" else min)(values) if values else None


def summarise(history: Mapping[str, Sequence[float]], select_by: str) -> dict[str, float]:
    """The figures of the best epoch (the first of equal ones) and of the last; epochs from 1."""
    column, mode = MONITORS[select_by]
    accuracy, loss = history[MONITORS["accuracy"][0]], history[MONITORS["loss"][0]]
    best = int((np.argmax if mode == "max" else np.argmin)(history[column]))
    return {
        "best_epoch": best + 1,
        "validation_accuracy": accuracy[best],
        "validation_loss": loss[best],
        "last_epoch": len(accuracy),
        "last_accuracy": accuracy[-1],
        "last_loss": loss[-1],
    }


def plot_history(history: Mapping[str, Sequence[float]], path: Path) -> None:
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


def add_data_options(parser: argparse.ArgumentParser) -> None:
    """The options that `load_data` reads."""
    add = parser.add_argument
    add(
        "--data",
        nargs="*",
        default=[],
        metavar="DIR[=LICENCE]",
        type=_folder_and_licence,
        help="folders with a folder per character, or with train/ and val/ of that kind",
    )
    add(
        "--rendered",
        type=whole_number(0),
        default=0,
        metavar="N",
        help="characters of rendered plates",
    )
    add(
        "--non-characters",
        type=whole_number(0),
        default=0,
        metavar="N",
        help="cut-outs of rendered plates without a character, to be unsure of",
    )
    add_fonts_option(parser, "installed")
    add(
        "--validation-share",
        type=share,
        default=0.1,
        metavar="P",
        help="of the pictures of folders without a val/ of their own (%(default)s)",
    )
    add("--seed", type=whole_number(0), default=0, help="of everything random (%(default)s)")
    add("--threads", type=whole_number(0), default=0, help="of TensorFlow; 0: all cores")


def add_augment_option(parser: argparse.ArgumentParser) -> None:
    """The option --augment and --no-augment."""
    parser.add_argument(
        "--augment",
        action=argparse.BooleanOptionalAction,
        default=False,
        help="show the folders' pictures a little changed each time",
    )


def load_data(options: argparse.Namespace) -> TrainingData:
    """Gather what `add_data_options` asked for and say what it is; refused files on stderr.

    Raises:
        TrainingError: there is nothing to train on or to validate with, or pictures are given
            twice.
        OSError: a folder is none, cannot be read or holds no folder of a character.
    """
    if not options.data and not options.rendered:
        raise TrainingError("nothing to learn from: give --data or --rendered")
    folders = [folder.resolve() for folder, _ in options.data]
    for number, folder in enumerate(folders):
        others = {*folders[:number], *folders[number + 1 :]}
        if others & {folder, folder / "train", folder / "val"}:
            raise TrainingError(f"pictures of {options.data[number][0]} are given twice")
    renders = options.rendered or options.non_characters
    data = gather(
        options.data,
        options.rendered,
        options.non_characters,
        chosen_fonts(options) if renders else (),
        options.validation_share,
        options.seed,
    )
    for item in data.refused:
        print(f"refused: {item.path}: {item.reason}", file=sys.stderr)
    for record in data.records:
        print(f"{record.name}: {record.pictures} pictures")
    # Those without a character have labels too, at random.
    labels = [*(part.labels for part in data.sets), data.rendered_labels[: options.rendered]]
    absent = np.setdiff1d(np.arange(len(ALPHABET)), np.concatenate(labels))
    if len(absent):
        names = " ".join(ALPHABET[i] for i in absent)
        print(f"no picture to learn these characters from: {names}", file=sys.stderr)
    return data


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


def use_threads(number: int) -> None:
    """Bound TensorFlow's threads, if it is the backend; 0 leaves it alone."""
    import keras

    if number and keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        tf.config.threading.set_intra_op_parallelism_threads(number)
        tf.config.threading.set_inter_op_parallelism_threads(1)


def main(argv: Sequence[str]) -> int:
    """Run `platebeam train`."""
    parser = argparse.ArgumentParser(prog="platebeam train", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="characters")
    characters = commands.add_parser(
        "characters",
        help="the character CNN",
        description="What is left out is as in the recipe of the architecture's source, given "
        "with each option.",
    )
    add = characters.add_argument
    add_data_options(characters)
    add("--output", type=Path, required=True, metavar="DIR", help="gets the model and its history")
    add("--resume", action="store_true", help="go on with the training that DIR holds")
    add("--architecture", choices=ARCHITECTURES, default="three_conv_bn", help="%(default)s")
    add("--filters", type=whole_number(1), nargs="+", metavar="N", help=_own("filters"))
    add("--dense", type=whole_number(1), nargs="+", metavar="N", help=_own("dense"))
    add("--dropout", type=share, metavar="P", help=_own("dropout"))
    add("--learning-rate", type=rate, metavar="RATE", help=_own("learning_rate"))
    add(
        "--schedule",
        choices=("constant", "cosine"),
        default="constant",
        help="of the rate (%(default)s)",
    )
    add("--epochs", type=whole_number(1), metavar="N", help=_own("epochs"))
    add("--batch-size", type=whole_number(1), metavar="N", help=_own("batch_size"))
    add_augment_option(characters)
    add(
        "--select-by",
        choices=MONITORS,
        default="accuracy",
        help="validation figure by which the best epoch is kept (%(default)s)",
    )
    options = parser.parse_args(argv)
    try:
        train_characters(options, shlex.join(["platebeam", "train", *argv]))
    except (TrainingError, NoFontsError, OSError, ValueError) as error:
        print(f"platebeam train: {error}", file=sys.stderr)
        return 2
    return 0


def _own(name: str) -> str:
    """What the architectures have of their own for an option."""
    own = {key: getattr(architecture, name) for key, architecture in ARCHITECTURES.items()}
    values = (value if isinstance(value, tuple) else (value,) for value in own.values())
    return "; ".join(
        f"{key}: {' '.join(map(str, value))}" for key, value in zip(own, values, strict=True)
    )


def train_characters(options: argparse.Namespace, command: str) -> None:
    """Gather, train and record; `options` as `main` parses them."""
    recipe = recipe_of(
        options.architecture,
        filters=options.filters and tuple(options.filters),
        dense=options.dense and tuple(options.dense),
        dropout=options.dropout,
        learning_rate=options.learning_rate,
        schedule=options.schedule,
        epochs=options.epochs,
        batch_size=options.batch_size,
        augment=options.augment,
        select_by=options.select_by,
        seed=options.seed,
    )
    asked = asked_for(options, recipe)
    check_output(options.output)
    earlier_record(options.output / TRAINING_FILE, asked, options.resume, longer=True)
    use_threads(options.threads)
    build(recipe.architecture, recipe.filters, recipe.dense, recipe.dropout)  # before the data
    data = load_data(options)
    train_and_record(recipe, data, asked, options.output, command, options.resume)


def asked_for(options: argparse.Namespace, recipe: Recipe) -> dict[str, Any]:
    """What decides a training, as its record keeps it: the recipe and the options of the data."""
    return {
        **asdict(recipe),
        "folders": [str(folder) for folder, _ in options.data],
        "rendered": options.rendered,
        "non_characters": options.non_characters,
        "fonts": options.fonts,
        "validation_share": options.validation_share,
    }


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
        TrainingError: there is one, but it is damaged, not to be resumed, or was asked for
            otherwise.
    """
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
    except (ValueError, KeyError, TypeError):
        raise TrainingError(f"{path} is damaged: it does not say what was asked for") from None
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


def train_and_record(
    recipe: Recipe,
    data: TrainingData,
    asked: Mapping[str, Any],
    output: Path,
    command: str,
    resume: bool,
) -> None:
    """Train into a folder and keep beside the model how it was made, in training.json.

    Raises:
        TrainingError: the folder holds another training, or one to resume is damaged or had other
            pictures.
    """
    output.mkdir(parents=True, exist_ok=True)
    record_file = output / TRAINING_FILE
    earlier = earlier_record(record_file, asked, resume, longer=True)
    check_pictures(earlier, data)
    longer = bool(earlier) and earlier["asked"]["epochs"] != recipe.epochs
    ended = "metrics" in earlier and not longer
    record: dict[str, Any] = {
        "architecture": recipe.architecture,
        "alphabet": ALPHABET,
        "command": command if longer else earlier.get("command", command),
        "seed": recipe.seed,
        "asked": asked,
        "data": [asdict(item) for item in data.records],
        "fonts": list(data.fonts),
        "seconds": earlier.get("seconds", 0),
        "libraries": library_versions(),
    }
    write_json(record_file, record)
    write_refused(output / "refused.csv", data.refused)
    started = time.monotonic()
    try:
        train(recipe, data, output, resume)
    finally:
        # To find that nothing is left to do is no training.
        record["seconds"] += 0 if ended else round(time.monotonic() - started)
        write_json(record_file, record)
    metrics = summarise(read_history(output / HISTORY_FILE), recipe.select_by)
    record["metrics"] = metrics | {"validation_pictures": len(data.validation)}
    write_json(record_file, record)
    print(
        f"validation accuracy {metrics['validation_accuracy']:.4f}, loss "
        f"{metrics['validation_loss']:.4f} in epoch {metrics['best_epoch']}: {output / MODEL_FILE}"
    )


def check_pictures(earlier: Mapping[str, Any], data: TrainingData) -> None:
    """See to it that work is resumed with the pictures that its record, if any, lists.

    Raises:
        TrainingError: there are others.
    """
    now = [asdict(item) for item in data.records]
    if earlier.get("data", now) != now:
        raise TrainingError("the pictures, or their licences, are not those it began with")


def write_refused(path: Path, refused: Sequence[Refused]) -> None:
    """The files that were left out as CSV."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(("path", "reason"))
        writer.writerows((item.path, item.reason) for item in refused)


def library_versions() -> dict[str, str]:
    """What a training depends on, for its record."""
    import keras

    return {
        "python": platform.python_version(),
        **{name: version(name) for name in (keras.backend.backend(), "keras", "numpy")},
        "opencv": cv2.__version__,
    }


def write_json(path: Path, record: Mapping[str, Any]) -> None:
    """Write a record for people and programs."""
    replace_file(path, json.dumps(record, indent=2).encode())


def replace_file(path: Path, content: bytes) -> None:
    """Write a file so that a kill in the middle leaves the one that was there before."""
    beside = path.with_name(f"new-{path.name}")
    beside.write_bytes(content)
    os.replace(beside, path)


def _folder_and_licence(value: str) -> tuple[Path, str]:
    folder, equals, licence = value.rpartition("=")
    if not equals or Path(value).is_dir():
        return Path(value), "unknown"
    return Path(folder), licence or "unknown"
