"""`platebeam train reader`: train the whole-plate network from real and rendered crops."""

from __future__ import annotations

import argparse
import hashlib
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import numpy.typing as npt

from lpr_core.ctc import Text, best_path, log_probabilities_of, text_probabilities
from lpr_core.geometry import Image
from lpr_core.recognize import ALPHABET
from lpr_core.score import edit_distance, normalise_text
from lpr_core.sequence import HEIGHT, MAX_LENGTH, WIDTH, normalise_plate
from model_training.characters import Refused
from model_training.half_precision import unfold
from model_training.options import add_fonts_option, chosen_fonts, rate, share, whole_number
from model_training.plate_crops import (
    PlateCrops,
    RenderedCrops,
    load_crops,
    render_crops,
)
from model_training.plate_views import Aim, cut, real_view, rendered_view
from model_training.plots import in_rows
from model_training.reader_network import reader_network
from model_training.respelling import lettering
from model_training.text_patterns import pattern_shares
from model_training.training_folder import (
    CHECKPOINT_FILE,
    GENERATOR_LICENCE,
    HISTORY_FILE,
    MODEL_FILE,
    REFUSED_FILE,
    TRAINING_FILE,
    VALIDATION_FILE,
    DataRecord,
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
    trained_network,
    use_threads,
    write_json,
    write_refused,
)

if TYPE_CHECKING:
    import keras

SIZE = (WIDTH, HEIGHT)
RENDERED_VALIDATION = 2000
START_BATCHES = 4
"""Shown to tell the statistics of a network that was folded: some hundred crops."""
EMA = 0.999
WORST = 60
UNBLENDED_FILE = "unblended.keras"
WORST_FILE = "worst.png"

SURE_VOTE = 0.5
"""Probability of another reader's text from where it outvotes machines' label."""

MACHINE_LABELLED = " (labels proposed by machines)"
"""After the name of a set in the record."""


@dataclass(frozen=True)
class Recipe:
    """Everything but the data that decides what a training makes.

    Attributes:
        epochs: that it takes.
        epoch_size: crops an epoch shows, drawn anew for each.
        batch_size: crops a step.
        real_share: share of the crops that are real; each folder as often as the others.
        respelled: share of the real crops that are shown with other characters (`respelling`).
        learning_rate: highest, of Adam; it rises for `warm_up` steps and falls as a cosine.
        warm_up: steps.
        easy_epochs: epochs that show rendered crops of high contrast only: CTC learns to place
            characters before it learns what they are.
        blended: share of what was trained in the weights that come out, the rest being those it was
            started with.
        seed: of the weights, the draws and dropout.
    """

    epochs: int
    epoch_size: int
    batch_size: int
    real_share: float
    respelled: float
    blended: float
    learning_rate: float
    warm_up: int
    easy_epochs: int
    seed: int

    @property
    def steps(self) -> int:
        """Of an epoch."""
        return max(1, self.epoch_size // self.batch_size)


@dataclass(frozen=True, eq=False)
class ReaderData:
    """What a reader learns from and what it is chosen by.

    Attributes:
        real: crops of folders.
        rendered: crops of the cache.
        validation: crops that are not among them, one set a folder and one rendered.
        records: where it all came from.
        refused: files of the folders that were left out.
    """

    real: tuple[PlateCrops, ...]
    rendered: PlateCrops
    validation: tuple[PlateCrops, ...]
    records: tuple[DataRecord, ...]
    refused: tuple[Refused, ...]


def gather(
    folders: Sequence[tuple[Path, str]],
    rendered: RenderedCrops,
    cache: Path,
    workers: int,
    validation_share: float,
    voter: keras.Model | None = None,
) -> ReaderData:
    """Load the folders, render the rest and split both by text.

    Args:
        folders: each with the licence of its crops.
        rendered: what to render.
        cache: folder of the rendered crops.
        workers: processes to render in.
        validation_share: share of each folder's texts.
        voter: another reader: see `without_outvoted`.

    Raises:
        FileNotFoundError: a folder has no crop to learn from.
    """
    sets = [load_crops(folder) for folder, _ in folders]
    if voter is not None:
        sets = [without_outvoted(crops, voter) for crops in sets]
    shown = render_crops(rendered, cache, workers)
    parts = [crops.split(validation_share) for crops in sets]
    learnt, unseen = shown.split(min(0.5, RENDERED_VALIDATION / len(shown)))
    records = [
        DataRecord(
            crops.name + (MACHINE_LABELLED if crops.machine_labelled else ""),
            len(crops),
            crops.sha256,
            licence,
        )
        for crops, (_, licence) in zip(sets, folders, strict=True)
    ]
    records.append(DataRecord("rendered", len(shown), shown.sha256, GENERATOR_LICENCE))
    validation = (*(kept for _, kept in parts if len(kept)), unseen)
    refused = tuple(item for crops in sets for item in crops.refused)
    real = tuple(part for part, _ in parts if len(part))
    return ReaderData(real, learnt, validation, tuple(records), refused)


def without_outvoted(crops: PlateCrops, voter: keras.Model) -> PlateCrops:
    """Without the labels of machines that another reader contradicts.

    Readers that agree may be wrong together, where all take an emblem for a character or the
    country's letter for part of the text. One that learnt from rendered plates alone knows better.
    Where it tells O from 0 or I from 1 otherwise, it has no say: it may not know the layout.

    Args:
        crops: a set; one that people labelled stays whole.
        voter: the other reader.
    """
    if not crops.machine_labelled:
        return crops
    pictures, texts = validation_crops([crops])
    logits = voter.predict(pictures[..., None], batch_size=256, verbose=0)
    likely = log_probabilities_of(logits)
    outvoted, refused = np.zeros(len(texts), bool), []
    for number, (frames, text) in enumerate(zip(likely, texts, strict=True)):
        path = best_path(frames)
        read, (probability,) = spell(path), text_probabilities(frames, [path])
        same = normalise_text(read, fold=True) == normalise_text(text, fold=True)
        outvoted[number] = not same and probability >= SURE_VOTE
        if outvoted[number]:
            reason = f"machines label it {text}, another reader reads {read}"
            refused.append(Refused(Path(crops.name), reason))
    return replace(crops.part(~outvoted), refused=(*crops.refused, *refused))


def encode(text: str) -> npt.NDArray[np.int32]:
    """A text as the loss takes it: places in the alphabet from 1, padded with 0 to the longest."""
    codes = np.zeros(MAX_LENGTH, np.int32)
    codes[: len(text)] = [1 + ALPHABET.index(c) for c in text]
    return codes


def greedy_texts(logits: npt.NDArray[np.float32]) -> list[str]:
    """The texts that the most probable frames (n, frames, classes) spell."""
    return [spell(best_path(frames)) for frames in logits]


def spell(text: Text) -> str:
    """A text of classes in characters."""
    return "".join(ALPHABET[code - 1] for code in text)


def batches(data: ReaderData, recipe: Recipe) -> keras.utils.PyDataset:
    """Random views of random crops; what is shown depends on the seed, the epoch and the step.

    `start(epoch)` tells the epoch.
    """
    import keras

    spread = data.rendered.pixels[:, ::4, ::4].std(axis=(1, 2))
    easy = np.argsort(-spread)[: max(1, len(spread) // 3)]
    letterings = [lettering(crops) for crops in data.real]

    class Batches(keras.utils.PyDataset):
        def __init__(self) -> None:
            super().__init__()
            self.start(0)

        def start(self, epoch: int) -> None:
            self._epoch = epoch

        def __len__(self) -> int:
            return recipe.steps

        def __getitem__(self, index: int) -> tuple[Any, Any]:
            rng = np.random.default_rng([recipe.seed, 1, self._epoch, index])
            views = [self._view(rng) for _ in range(recipe.batch_size)]
            pixels = np.stack([normalise_plate(view) for view, _ in views])
            return pixels[..., None], np.stack([encode(text) for _, text in views])

        def _view(self, rng: np.random.Generator) -> tuple[Image, str]:
            if self._epoch < recipe.easy_epochs:
                number = int(easy[rng.integers(len(easy))])
            elif data.real and rng.random() < recipe.real_share:
                return self._real_view(rng)
            else:
                number = int(rng.integers(len(data.rendered)))
            return rendered_view(data.rendered, number, rng, SIZE), data.rendered.texts[number]

        def _real_view(self, rng: np.random.Generator) -> tuple[Image, str]:
            letters = letterings[rng.integers(len(letterings))]
            crops = letters.crops
            number = int(rng.integers(len(crops)))
            kept, text = crops.pixels[number], crops.texts[number]
            if rng.random() < recipe.respelled:
                kept, text = letters.respelled(number, rng)
            aspect, height = float(crops.aspects[number]), float(crops.heights[number])
            return real_view(kept, aspect, height, data.rendered, rng, SIZE), text

    return Batches()


def compile_model(model: keras.Model, recipe: Recipe) -> None:
    """Adam with a moving average of the weights, and CTC."""
    import keras

    schedule = keras.optimizers.schedules.CosineDecay(
        recipe.learning_rate / 100,
        max(1, recipe.epochs * recipe.steps - recipe.warm_up),
        alpha=0.005,
        warmup_target=recipe.learning_rate,
        warmup_steps=recipe.warm_up,
    )
    model.compile(
        optimizer=keras.optimizers.Adam(schedule, clipnorm=5.0, use_ema=True, ema_momentum=EMA),
        loss=keras.losses.CTC(),
        jit_compile=False,
    )


def train(
    recipe: Recipe, data: ReaderData, output: Path, resume: bool, trained: keras.Model | None
) -> None:
    """Fit a network, leaving everything about it in a folder, as `train_characters.train` does.

    Beside best.keras (chosen by the mean share of validation plates read right, each set counting
    the same, then blended with what it was started with) and last.keras there are history.csv,
    curves.png, worst.png after each epoch, and at the end validation.npz.

    Args:
        recipe: what to train and how.
        data: see `gather`.
        output: an existing folder.
        resume: go on after the last whole epoch that `output` holds, if any.
        trained: a network whose weights to begin with; None: random ones.
    """
    import keras

    keras.utils.set_random_seed(recipe.seed)
    checkpoint, history = output / CHECKPOINT_FILE, output / HISTORY_FILE
    ended = checkpoint.with_name(f"ended-{checkpoint.name}")
    shown = batches(data, recipe)
    if resume and checkpoint.exists():
        model = load_whole(checkpoint)
    else:
        model = started_with(trained, shown, recipe.easy_epochs) if trained else reader_network()
        compile_model(model, recipe)
    done = int(model.optimizer.iterations) // recipe.steps
    best = keep_history(history, done, "val_exact", "max")

    def begin(epoch: int, logs: object = None) -> None:
        shown.start(epoch)
        seed_dropout(model, recipe.seed, epoch * recipe.steps)

    def validate(epoch: int, logs: dict[str, float]) -> None:
        logs.update(evaluate(model, data.validation, output / WORST_FILE))

    def finish(epoch: int, logs: object) -> None:
        os.replace(ended, checkpoint)  # when all else is there: an epoch is whole or was not
        plot_history(read_history(history), output / "curves.png")

    callbacks = keras.callbacks
    model.fit(
        shown,
        shuffle=False,
        initial_epoch=done,
        epochs=recipe.epochs,
        verbose="auto" if sys.stdout.isatty() else 2,
        callbacks=[
            callbacks.LambdaCallback(
                on_epoch_begin=begin,
                # Before the averages stand in for the weights.
                on_epoch_end=lambda epoch, logs: save_whole(model, ended),
            ),
            callbacks.SwapEMAWeights(swap_on_epoch=True),
            callbacks.LambdaCallback(on_epoch_end=validate),
            callbacks.ModelCheckpoint(
                output / MODEL_FILE,
                monitor="val_exact",
                mode="max",
                save_best_only=True,
                initial_value_threshold=best,
            ),
            callbacks.CSVLogger(str(history), append=True),
            callbacks.LambdaCallback(on_epoch_end=finish),
        ],
    )
    write_validation(output / VALIDATION_FILE, data.validation)
    if trained and recipe.blended < 1:
        blend(output, started_with(trained, shown, recipe.easy_epochs), recipe.blended)


def started_with(trained: keras.Model, shown: keras.utils.PyDataset, epoch: int) -> keras.Model:
    """A new network that begins as a trained one, by what that epoch shows: see `unfold`."""
    network = reader_network()
    shown.start(epoch)
    first = range(min(START_BATCHES, len(shown)))
    unfold(trained, network, np.concatenate([shown[number][0] for number in first]))
    return network


def blend(output: Path, before: keras.Model, share: float) -> None:
    """Put the mean of a training's weights and of those it was started with into best.keras.

    It reads better than either (Wortsman et al. 2022): what was known before of plates that the
    training showed less is not lost. The trained weights themselves are kept beside it.

    Args:
        output: the training's folder.
        before: what it was started with.
        share: of the trained weights.
    """
    import keras

    trained = output / UNBLENDED_FILE
    if not trained.exists():
        (output / MODEL_FILE).rename(trained)
    model = keras.saving.load_model(trained, compile=False)
    pairs = zip(before.get_weights(), model.get_weights(), strict=True)
    model.set_weights([(1 - share) * a + share * b for a, b in pairs])
    model.save(output / MODEL_FILE)


def write_validation(path: Path, sets: Sequence[PlateCrops]) -> None:
    """Keep the crops that a reader is validated on, for the export."""
    np.savez_compressed(
        path,
        pixels=np.concatenate([crops.pixels for crops in sets]),
        texts=np.array([text for crops in sets for text in crops.texts]),
        aspects=np.concatenate([crops.aspects for crops in sets]),
        heights=np.concatenate([crops.heights for crops in sets]),
        sets=np.array([crops.name for crops in sets for _ in crops.texts]),
    )


def read_validation(path: Path) -> list[PlateCrops]:
    """What `write_validation` wrote.

    Raises:
        OSError, ValueError, KeyError, BadZipFile: the file is no such one, or damaged.
    """
    with np.load(path) as stored:
        columns = {name: stored[name] for name in stored.files}
    texts, sets = columns["texts"], columns["sets"]
    return [
        PlateCrops(
            name,
            columns["pixels"][sets == name],
            tuple(texts[sets == name].tolist()),
            columns["aspects"][sets == name],
            columns["heights"][sets == name],
        )
        for name in dict.fromkeys(sets.tolist())
    ]


def validation_crops(sets: Sequence[PlateCrops]) -> tuple[npt.NDArray[np.float32], list[str]]:
    """Crops as a good detector cuts them, float32 (n, 64, 160), and their texts."""
    views = [
        normalise_plate(cut(pixels, float(aspect), Aim(), SIZE))
        for crops in sets
        for pixels, aspect in zip(crops.pixels, crops.aspects, strict=True)
    ]
    return np.stack(views), [text for crops in sets for text in crops.texts]


def evaluate(model: keras.Model, sets: Sequence[PlateCrops], worst: Path) -> dict[str, float]:
    """Share of plates read right of each set and as their mean; draws some that were not."""
    figures = {}
    wrong: list[tuple[int, Image, str, str]] = []
    for crops in sets:
        pictures, texts = validation_crops([crops])
        reads = greedy_texts(model.predict(pictures[..., None], batch_size=256, verbose=0))
        right = [read == text for read, text in zip(reads, texts, strict=True)]
        figures[f"val_exact_{crops.name}"] = float(np.mean(right))
        wrong += [
            (edit_distance(text, read), pixels, text, read)
            for text, read, pixels in zip(texts, reads, crops.pixels, strict=True)
            if read != text
        ]
    wrong.sort(key=lambda item: -item[0])
    if wrong:
        draw_reads([item[1:] for item in wrong[:: max(1, len(wrong) // WORST)][:WORST]], worst)
    return {"val_exact": float(np.mean(list(figures.values()))), **figures}


def draw_reads(reads: Sequence[tuple[Image, str, str]], path: Path) -> None:
    """A page of crops with truth and read below."""
    tiles = []
    for pixels, text, read in reads:
        tile = cv2.copyMakeBorder(pixels, 0, 26, 2, 2, cv2.BORDER_CONSTANT)
        for line, words in enumerate((text, read)):
            place = (4, pixels.shape[0] + 11 + 12 * line)
            cv2.putText(tile, words, place, cv2.FONT_HERSHEY_SIMPLEX, 0.4, 255)
        tiles.append(tile)
    cv2.imwrite(str(path), in_rows(tiles, 6))


def plot_history(history: Mapping[str, Sequence[float]], path: Path) -> None:
    """Draw the loss and the validation sets' exact shares over the epochs into a PNG."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 4), layout="constrained")
    loss, exact = figure.subplots(1, 2)
    epochs = range(1, len(history["loss"]) + 1)
    loss.plot(epochs, history["loss"])
    loss.set(xlabel="epoch", ylabel="CTC loss, training", yscale="log")
    for name in (name for name in history if name.startswith("val_exact")):
        exact.plot(epochs, history[name], label=name.removeprefix("val_exact_"))
    exact.set(xlabel="epoch", ylabel="validation plates read right")
    exact.legend()
    figure.savefig(path, dpi=110)


def add_command(commands: Any) -> None:
    """Add `reader` to the commands of `platebeam train`."""
    parser = commands.add_parser("reader", help="the whole-plate reader", description=__doc__)
    parser.set_defaults(run=train_reader)
    add = parser.add_argument
    add(
        "--data",
        nargs="*",
        default=[],
        metavar="DIR[=LICENCE]",
        type=folder_and_licence,
        help="folders of tight plate crops with a truth.csv (image, text)",
    )
    add("--rendered", type=whole_number(10), default=240_000, metavar="N", help="%(default)s")
    add("--cache", type=Path, metavar="DIR", help="of rendered crops (default: in --output)")
    add("--workers", type=whole_number(1), default=1, metavar="N", help="processes that render")
    add_fonts_option(parser, "installed")
    add(
        "--third-vote",
        type=Path,
        metavar="MODEL",
        help="leaves out machines' labels that this reader, which learnt none of them, contradicts",
    )
    add("--real-share", type=share, default=0.3, metavar="P", help="of the crops (%(default)s)")
    add("--respelled", type=share, default=0.5, metavar="P", help="of the real ones (%(default)s)")
    add("--blended", type=share, default=1.0, metavar="P", help="of --start's weights (1 - P)")
    add("--validation-share", type=share, default=0.1, metavar="P", help="of texts (%(default)s)")
    add("--epochs", type=whole_number(1), default=40, metavar="N", help="%(default)s")
    add("--epoch-size", type=whole_number(1), default=25_600, metavar="N", help="%(default)s")
    add("--batch-size", type=whole_number(1), default=64, metavar="N", help="%(default)s")
    add("--learning-rate", type=rate, default=0.0025, metavar="RATE", help="%(default)s")
    add("--warm-up", type=whole_number(0), default=300, metavar="N", help="steps (%(default)s)")
    add("--easy-epochs", type=whole_number(0), default=1, metavar="N", help="%(default)s")
    add(
        "--start",
        type=Path,
        metavar="FILE",
        help="a trained network to begin with, .keras, of a bundle too",
    )
    add("--seed", type=whole_number(0), default=0, help="of everything random (%(default)s)")
    add("--threads", type=whole_number(0), default=0, help="of the backend; 0: all cores")
    add("--output", type=Path, required=True, metavar="DIR", help="gets the model and its history")
    add("--resume", action="store_true", help="go on with the training that DIR holds")


def train_reader(options: argparse.Namespace, command: str) -> None:
    """Gather, train and record; `options` as parsed by what `add_command` adds."""
    recipe = Recipe(
        options.epochs,
        options.epoch_size,
        options.batch_size,
        options.real_share,
        options.respelled,
        options.blended,
        options.learning_rate,
        options.warm_up,
        options.easy_epochs,
        options.seed,
    )
    if options.start is None and recipe.blended < 1:
        raise ValueError("--blended needs the weights of --start")
    fonts = chosen_fonts(options)
    asked = {
        **asdict(recipe),
        "folders": [str(folder) for folder, _ in options.data],
        "rendered": options.rendered,
        "fonts": options.fonts,
        "validation_share": options.validation_share,
        "start": str(options.start) if options.start else None,
        "third_vote": str(options.third_vote) if options.third_vote else None,
    }
    output: Path = options.output
    check_output(output)
    earlier = earlier_record(output / TRAINING_FILE, asked, options.resume)
    start_sha256 = options.start and hashlib.sha256(options.start.read_bytes()).hexdigest()
    use_threads(options.threads)
    trained, voter = (
        trained_network(path, reader_network()) if path else None
        for path in (options.start, options.third_vote)
    )
    rendered = RenderedCrops(options.seed, options.rendered, fonts)
    cache = options.cache or output / "rendered"
    data = gather(
        options.data,
        rendered,
        cache,
        options.workers,
        options.validation_share,
        voter,
    )
    check_data(earlier, data.records)
    for item in data.records:
        print(f"{item.name}: {item.pictures} crops", flush=True)
    for refused in data.refused:
        print(f"refused: {refused.path}: {refused.reason}", file=sys.stderr)
    record: dict[str, Any] = {
        "architecture": "ctc",
        "alphabet": ALPHABET,
        "command": earlier.get("command", command),
        "seed": recipe.seed,
        "asked": asked,
        "data": [asdict(item) for item in data.records],
        "fonts": [font.name for font in fonts],
        "patterns": pattern_shares([crops.texts for crops in data.real], data.rendered.texts),
        "start_sha256": start_sha256,
        "libraries": library_versions(),
    }
    output.mkdir(parents=True, exist_ok=True)
    write_refused(output / REFUSED_FILE, data.refused)
    with recorded(output / TRAINING_FILE, record, earlier, ended="metrics" in earlier):
        train(recipe, data, output, options.resume, trained)
    history = read_history(output / HISTORY_FILE)
    best = int(np.argmax(history["val_exact"]))
    figures = {name: values[best] for name, values in history.items() if name.startswith("val_")}
    if (output / UNBLENDED_FILE).exists():
        import keras

        model = keras.saving.load_model(output / MODEL_FILE, compile=False)
        figures = evaluate(model, data.validation, output / WORST_FILE)
    record["metrics"] = {
        "best_epoch": best + 1,
        **figures,
        "validation_pictures": sum(map(len, data.validation)),
    }
    write_json(output / TRAINING_FILE, record)
    print(f"validation plates read right {figures['val_exact']:.4f}: {output / MODEL_FILE}")
