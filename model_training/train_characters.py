"""`platebeam train characters`: train a character CNN from folders and rendered plates."""

from __future__ import annotations

import argparse
import hashlib
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt

from lpr_core.recognize import ALPHABET, normalise_character
from model_training.architectures import ARCHITECTURES, build
from model_training.augment import augment_character
from model_training.characters import CharacterSet, Refused, load_split
from model_training.glyphs import TrueTypeFont
from model_training.options import (
    add_fonts_option,
    chosen_fonts,
    rate,
    share,
    whole_number,
)
from model_training.rendered_characters import render_characters, render_non_characters
from model_training.training_folder import (
    CHECKPOINT_FILE,
    GENERATOR_LICENCE,
    HISTORY_FILE,
    MODEL_FILE,
    REFUSED_FILE,
    TRAINING_FILE,
    VALIDATION_FILE,
    DataRecord,
    TrainingError,
    check_data,
    check_output,
    earlier_record,
    folder_and_licence,
    keep_history,
    library_versions,
    load_whole,
    read_history,
    recorded,
    save_whole,
    seed_dropout,
    use_threads,
    write_json,
    write_refused,
)

if TYPE_CHECKING:
    import keras

Pictures = npt.NDArray[np.float32]
Labels = npt.NDArray[np.int32]

MONITORS: dict[str, tuple[str, Literal["min", "max"]]] = {
    "accuracy": ("val_sparse_categorical_accuracy", "max"),
    "loss": ("val_loss", "min"),
}
"""What the best epoch may be chosen by: Keras's name of it and which way is better."""


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
    monitor, mode = MONITORS[recipe.select_by]
    best = keep_history(history, done, monitor, mode)
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
        # Not left to the data set's own hooks, which Keras calls once more before the first epoch.
        pictures.start(epoch)
        seed_dropout(model, recipe.seed, epoch * len(pictures))

    return model.fit(
        pictures,
        shuffle=False,  # `batches` does it
        validation_data=(data.validation[..., None], data.validation_labels),
        initial_epoch=initial_epoch,
        epochs=recipe.epochs,
        verbose=verbose,
        callbacks=[keras.callbacks.LambdaCallback(on_epoch_begin=start), *callbacks],
    )


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
        type=folder_and_licence,
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
    add("--threads", type=whole_number(0), default=0, help="of the backend; 0: all cores")


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


def add_command(commands: Any) -> None:
    """Add `characters` to the commands of `platebeam train`."""
    parser = commands.add_parser(
        "characters",
        help="the character CNN",
        description="What is left out is as in the recipe of the architecture's source, given "
        "with each option.",
    )
    parser.set_defaults(run=train_characters)
    add = parser.add_argument
    add_data_options(parser)
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
    add_augment_option(parser)
    add(
        "--select-by",
        choices=MONITORS,
        default="accuracy",
        help="validation figure by which the best epoch is kept (%(default)s)",
    )


def _own(name: str) -> str:
    """What the architectures have of their own for an option."""
    own = {key: getattr(architecture, name) for key, architecture in ARCHITECTURES.items()}
    values = (value if isinstance(value, tuple) else (value,) for value in own.values())
    return "; ".join(
        f"{key}: {' '.join(map(str, value))}" for key, value in zip(own, values, strict=True)
    )


def train_characters(options: argparse.Namespace, command: str) -> None:
    """Gather, train and record; `options` as parsed by what `add_command` adds."""
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
    check_data(earlier, data.records)
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
        "libraries": library_versions(),
    }
    write_refused(output / REFUSED_FILE, data.refused)
    with recorded(record_file, record, earlier, ended=ended):
        train(recipe, data, output, resume)
    metrics = summarise(read_history(output / HISTORY_FILE), recipe.select_by)
    record["metrics"] = metrics | {"validation_pictures": len(data.validation)}
    write_json(record_file, record)
    print(
        f"validation accuracy {metrics['validation_accuracy']:.4f}, loss "
        f"{metrics['validation_loss']:.4f} in epoch {metrics['best_epoch']}: {output / MODEL_FILE}"
    )
