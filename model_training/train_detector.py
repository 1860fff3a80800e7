"""`platebeam train detector`: train the network that finds plates."""

from __future__ import annotations

import argparse
import csv
import hashlib
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import numpy.typing as npt
from tqdm import tqdm

from lpr_core.geometry import Box, iou
from lpr_core.heatmap import STRIDE, after, letterbox, network_input, plates_of
from model_training.composites import Background, load_backgrounds
from model_training.detector_network import build_detector, detector_loss
from model_training.detector_pictures import (
    Backdrop,
    Cutout,
    Stock,
    Truth,
    compose,
    held_out,
    load_backdrop,
    load_faces,
    mount,
    rendered_cars,
    rendered_decoys,
    rendered_faces,
    targets,
)
from model_training.glyphs import TrueTypeFont
from model_training.half_precision import unfold
from model_training.options import add_fonts_option, chosen_fonts, rate, whole_number
from model_training.plots import in_rows
from model_training.training_folder import (
    CHECKPOINT_FILE,
    HISTORY_FILE,
    MODEL_FILE,
    TRAINING_FILE,
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
    trained_network,
    use_threads,
    write_json,
)

if TYPE_CHECKING:
    import keras

Floats = npt.NDArray[np.float32]
Window = tuple[npt.NDArray[np.uint8], list[Truth]]

CURVES_FILE = "curves.png"
WORST_FILE = "worst.png"
PICTURES_FILE = "validation.csv"
"""Whole pictures kept for validation: image, x, y, w, h, as in a truth.csv."""

FOUND = 0.5
"""Least overlap of a plate that is found and its box."""

SCORE = 0.3
"""Least score of what counts as found while training."""

WARM_UP = 300
"""Steps until the learning rate is reached."""

SETTLING = 40
"""Batches that averaged weights are shown, so that their batch normalisation is their own."""

SHOWN = 64
"""Windows that tell the statistics of a network that was folded."""

INPUT = (384, 512)
"""Height and width of what whole pictures are letterboxed to, here and in a bundle."""

WORST = 24
"""Windows on the page of the worst."""


@dataclass(frozen=True)
class Recipe:
    """Everything but the data that decides a training.

    Attributes:
        epochs: each as long as `pictures`.
        pictures: training windows an epoch.
        batch_size: windows a step.
        learning_rate: of AdamW; a cosine brings it to a hundredth.
        weight_decay: of AdamW.
        averaging: momentum of the weights' moving average, which is what is kept.
        validation: windows that all epochs are validated on.
        seed: of everything random.
        schedule: "cosine"; the record names it.
    """

    epochs: int
    pictures: int
    batch_size: int
    learning_rate: float
    weight_decay: float = 1e-3
    averaging: float = 0.998
    validation: int = 400
    seed: int = 0
    schedule: str = "cosine"


def training_pictures(stock: Stock, recipe: Recipe) -> keras.utils.PyDataset:
    """The batches of one epoch; what they show depends on seed, epoch and number alone."""
    import keras

    class Windows(keras.utils.PyDataset):
        epoch = 0

        def __len__(self) -> int:
            return recipe.pictures // recipe.batch_size

        def __getitem__(self, index: int) -> tuple[Floats, Floats]:
            rng = np.random.default_rng([recipe.seed, 1, self.epoch, index])
            return as_batch([compose(stock, rng) for _ in range(recipe.batch_size)])

    return Windows()


def as_batch(windows: Sequence[Window]) -> tuple[Floats, Floats]:
    """Windows as the network takes them, (n, h, w, 1), and what it is to say."""
    pictures = np.stack([pixels for pixels, _ in windows])[..., None]
    return network_input(pictures), np.stack([targets(t, p.shape) for p, t in windows])


def train(
    recipe: Recipe,
    stock: Stock,
    validation: Sequence[Window],
    output: Path,
    resume: bool = False,
    trained: keras.Model | None = None,
) -> None:
    """Build and fit a network, leaving everything about it in a folder.

    Args:
        recipe: how.
        stock: what the training windows are made of.
        validation: windows and their plates.
        output: an existing folder. Gets best.keras (averaged weights), and after each epoch
            last.keras (with the optimizer's state), history.csv, curves.png and worst.png.
        resume: go on after the last whole epoch that `output` holds, if any.
        trained: a network whose weights to begin with; None: random ones.

    Raises:
        TrainingError: what is to be resumed is damaged.
    """
    import keras

    keras.utils.set_random_seed(recipe.seed)
    pictures = training_pictures(stock, recipe)
    checkpoint, history = output / CHECKPOINT_FILE, output / HISTORY_FILE
    if resume and checkpoint.exists():
        model = load_detector(checkpoint)
    else:
        model = build_detector()
        if trained:
            unfold(trained, model, as_batch(validation[:SHOWN])[0])
        compile_detector(model, recipe, len(pictures))
    done = int(model.optimizer.iterations) // len(pictures)
    best = keep_history(history, done, "val_loss", "min")

    def start(epoch: int, logs: object = None) -> None:
        pictures.epoch = epoch

    def validate(epoch: int, logs: dict[str, float]) -> None:
        nonlocal best
        own = model.get_weights()
        model.optimizer.finalize_variable_values(model.trainable_variables)
        for index in range(min(SETTLING, len(pictures))):
            model(pictures[index][0], training=True)
        logs |= measure(model, validation, output / WORST_FILE)
        if best is None or logs["val_loss"] < best:
            best = logs["val_loss"]
            save_whole(model, output / MODEL_FILE)
        model.set_weights(own)

    def save(epoch: int, logs: object = None) -> None:
        save_whole(model, checkpoint)
        plot_detector_history(read_history(history), output / CURVES_FILE)

    model.fit(
        pictures,
        shuffle=False,
        initial_epoch=done,
        epochs=recipe.epochs,
        verbose="auto" if sys.stdout.isatty() else 2,
        callbacks=[
            keras.callbacks.LambdaCallback(on_epoch_begin=start, on_epoch_end=validate),
            keras.callbacks.CSVLogger(str(history), append=True),
            keras.callbacks.LambdaCallback(on_epoch_end=save),
        ],
    )


def load_detector(path: Path) -> keras.Model:
    """Load what `train` left.

    Raises:
        TrainingError: the file is damaged.
    """
    import keras

    with keras.saving.custom_object_scope({"detector_loss": detector_loss}):
        return load_whole(path)


def compile_detector(model: keras.Model, recipe: Recipe, steps: int) -> None:
    """AdamW with averaged weights and a cosine of the rate; `steps` an epoch."""
    import keras

    total = recipe.epochs * steps
    warm_up = min(WARM_UP, total // 10)
    schedule = keras.optimizers.schedules.CosineDecay(
        recipe.learning_rate / 20,
        total - warm_up,
        alpha=0.01,
        warmup_target=recipe.learning_rate,
        warmup_steps=warm_up,
    )
    model.compile(
        optimizer=keras.optimizers.AdamW(
            schedule,
            weight_decay=recipe.weight_decay,
            clipnorm=10.0,
            use_ema=True,
            ema_momentum=recipe.averaging,
        ),
        loss=detector_loss,
    )


def measure(model: keras.Model, windows: Sequence[Window], page: Path) -> dict[str, float]:
    """The loss over the windows, and how their plates are found.

    Args:
        model: to measure.
        windows: to look at.
        page: gets the worst of them with their plates (green) and what was found (red).

    Returns:
        val_loss; val_recall, the share of plates found with an overlap of FOUND; val_false, what
        else was found a window; val_corners, the mean distance of the corners of plates that were
        found and whose corners are known, in shares of the plate's height.
    """
    import keras

    losses, outputs = [], []
    for start in range(0, len(windows), 16):
        pictures, truth = as_batch(windows[start : start + 16])
        output = model.predict_on_batch(pictures)
        loss = detector_loss(*map(keras.ops.convert_to_tensor, (truth, output)))
        losses.append(float(loss) * len(pictures))
        outputs += list(output)
    looks = [_Look.at(truths, output) for (_, truths), output in zip(windows, outputs, strict=True)]
    plates = sum(look.plates for look in looks)
    away = [error for look in looks for error in look.corners]
    order = np.argsort([-look.badness for look in looks], kind="stable")[:WORST]
    _draw_page([(*windows[i], outputs[i]) for i in order], page)
    return {
        "val_loss": sum(losses) / len(windows),
        "val_recall": 1 - sum(look.missed for look in looks) / max(1, plates),
        "val_false": sum(look.false for look in looks) / len(windows),
        "val_corners": float(np.mean(away)) if away else float("nan"),
    }


@dataclass(frozen=True)
class _Look:
    """What was found in one window."""

    plates: int
    missed: int
    false: int
    corners: tuple[float, ...]

    @property
    def badness(self) -> float:
        return self.missed + self.false + sum(min(1.0, error) for error in self.corners)

    @classmethod
    def at(cls, truths: Sequence[Truth], output: Floats) -> _Look:
        found = list(plates_of(output, SCORE))
        counted = targets(truths, (output.shape[0] * STRIDE, output.shape[1] * STRIDE))[..., 1] > 0
        plates = missed = 0
        corners = []
        false = 0
        for one in found:
            x, y = np.array(one.quad).mean(axis=0) / STRIDE
            inside = 0 <= y < counted.shape[0] and 0 <= x < counted.shape[1]
            known = any(iou(one.box, truth.box) >= 0.25 for truth in truths)
            false += not known and inside and bool(counted[int(y), int(x)])
        for truth in truths:
            x, y = truth.corners.mean(axis=0) / STRIDE
            inside = 0 <= y < counted.shape[0] and 0 <= x < counted.shape[1]
            if truth.known == "centre" or not inside or not counted[int(y), int(x)]:
                continue
            plates += 1
            best = max(found, key=lambda one: iou(one.box, truth.box), default=None)
            if best is None or iou(best.box, truth.box) < FOUND:
                missed += 1
            elif truth.known == "corners":
                tall = np.hypot(*(truth.corners[[2, 3]] - truth.corners[[1, 0]]).T).mean()
                away = np.hypot(*(np.array(best.quad) - truth.corners).T).mean()
                corners.append(float(away / tall))
        return cls(plates, missed, false, tuple(corners))


def _draw_page(
    rows: Sequence[tuple[npt.NDArray[np.uint8], Sequence[Truth], Floats]], path: Path
) -> None:
    """Windows in rows of six, true plates in green, what was found in red with its score."""
    tiles = []
    for pixels, truths, output in rows:
        tile = cv2.cvtColor(pixels, cv2.COLOR_GRAY2BGR)
        for truth in truths:
            _outline(tile, truth.corners, (0, 200, 0))
        for one in plates_of(output, SCORE):
            _outline(tile, np.array(one.quad), (0, 0, 255))
            x, y = one.quad[3]
            place = int(x), int(y) + 12
            cv2.putText(tile, f"{one.score:.2f}", place, (0, 0, 255), cv2.FontFace("sans"), 12)
        tiles.append(tile)
    if tiles:
        path.write_bytes(cv2.imencode(".png", in_rows(tiles, 6))[1].tobytes())


def _outline(tile: npt.NDArray[Any], corners: npt.NDArray[Any], colour: Sequence[int]) -> None:
    points = np.round((corners - 0.5) * 16).astype(np.int32)
    cv2.polylines(tile, [points], True, colour, 1, cv2.LINE_AA, 4)


def plot_detector_history(history: Mapping[str, Sequence[float]], path: Path) -> None:
    """Draw loss, recall and corners over the epochs into a PNG."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(12, 3.5), layout="constrained")
    panels = (("loss", "val_loss"), ("val_recall", "val_false"), ("val_corners",))
    for axes, columns in zip(figure.subplots(1, 3), panels, strict=True):
        for column in columns:
            axes.plot(range(1, len(history[column]) + 1), history[column], label=column)
        axes.set(xlabel="epoch")
        axes.legend()
    figure.savefig(path, dpi=120)


@dataclass(frozen=True, eq=False)
class Material:
    """What a training learns from and is validated on.

    Attributes:
        training, validation: what windows are made of; no real picture is in both.
        pictures: whole ones that are not trained on.
        records: where it all came from.
    """

    training: Stock
    validation: Stock
    pictures: tuple[Background, ...]
    records: tuple[DataRecord, ...]


def gather(
    options: argparse.Namespace,
    fonts: tuple[TrueTypeFont, ...],
    network: keras.Model | None = None,
) -> Material:
    """Read and render all that windows are made of.

    Args:
        options: as parsed by what `add_command` adds.
        fonts: of rendered plates, beside random dies.
        network: an earlier one, whose mistakes on the backdrops are to be learnt from.

    Raises:
        TrainingError: nothing is left to train on or to validate with.
        BackgroundsError: a folder of backgrounds cannot be used.
        OSError: a folder of plates cannot be read.
    """
    seed = options.seed
    real: list[tuple[bool, Backdrop]] = []
    pictures: list[Background] = []
    records = []
    for folder, licence in options.backgrounds:
        backgrounds = load_backgrounds([folder])
        pictures += [one for one in backgrounds if held_out(one.path, options.hold_out)]
        for background in tqdm(backgrounds, folder.name, disable=None):
            aside = held_out(background.path, options.hold_out)
            real.append((aside, load_backdrop(background)))
        digest = _digest(levels.levels[0] for _, levels in real[-len(backgrounds) :])
        records.append(DataRecord(folder.name, len(backgrounds), digest, licence))
    crops: list[list[tuple[Path, Cutout]]] = []
    for known, folders in (("corners", options.plates), ("centre", options.loose_plates)):
        for (folder, licence), cut in folders:
            crops.append(load_faces(folder, cut, known))
            digest = _digest(face.pixels for _, face in crops[-1])
            records.append(DataRecord(folder.name, len(crops[-1]), digest, licence))
    stocks = []
    for number, aside in enumerate((False, True)):
        share = 10 if aside else 1
        backdrops = [backdrop for kept, backdrop in real if kept == aside]
        what = "validate with" if aside else "learn from"
        if not backdrops:
            raise TrainingError(f"nothing to {what}: see --backgrounds and --hold-out")
        if network:
            backdrops = doubts(network, backdrops)
        own = [
            [face for path, face in found if held_out(path, options.hold_out) == aside]
            for found in crops
        ]
        faces = [found for found in own if found]
        drawn = list(rendered_faces(seed + number, options.rendered // share, fonts))
        if drawn:  # half of all plates, however many folders of others there are
            faces += [drawn] * max(1, len(faces))
        if not faces:
            raise TrainingError(f"no plate to {what}: see --plates, --rendered and --hold-out")
        rng = np.random.default_rng([seed, 2, number])
        mounted = {
            id(found): _mounted(found, options.rendered // (4 * share), rng) for found in faces
        }
        cars = list(rendered_cars(seed + number, options.cars // share, fonts))
        decoys = list(rendered_decoys(seed + number, max(1, options.decoys // share)))
        stocks.append(
            Stock(
                [backdrop for backdrop in backdrops if backdrop.boxes],
                backdrops,
                faces,
                [
                    *(mounted[id(found)] for found in faces),
                    *([[car for car, _ in cars]] if cars else []),
                ],
                [*decoys, *(empty for _, empty in cars)],
            )
        )
    return Material(stocks[0], stocks[1], tuple(pictures), tuple(records))


def _mounted(faces: Sequence[Cutout], least: int, rng: np.random.Generator) -> list[Cutout]:
    """Each face on something, more than once where there are few."""
    return [mount(face, rng) for _ in range(max(1, -(-least // len(faces)))) for face in faces]


def write_pictures(path: Path, pictures: Sequence[Background]) -> None:
    """A row a plate, and a row of blanks for a picture without any."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(("image", "x", "y", "w", "h"))
        for picture in pictures:
            boxes = [(box.x, box.y, box.width, box.height) for box in picture.boxes]
            writer.writerows((picture.path.resolve(), *box) for box in boxes or [("",) * 4])


def read_pictures(path: Path) -> list[Background]:
    """What `write_pictures` wrote."""
    boxes: dict[Path, list[Box]] = {}
    with path.open(newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            known = boxes.setdefault(Path(row["image"]), [])
            if row["x"]:
                known.append(Box(*(float(row[side]) for side in "xywh")))
    return [Background(picture, tuple(known)) for picture, known in boxes.items()]


def doubts(network: keras.Model, backdrops: Sequence[Backdrop]) -> list[Backdrop]:
    """The backdrops, each with what a network takes for plates and the truth does not know."""
    looked_at = []
    for backdrop in tqdm(backdrops, "looking for doubtful plates", disable=None):
        seen, back = letterbox(list(backdrop.levels), max(INPUT), min(INPUT))
        output = network.predict_on_batch(network_input(seen)[None, ..., None])[0]
        found = [after(one, back).box for one in plates_of(output, SCORE)]
        doubtful = tuple(box for box in found if all(iou(box, b) < 0.1 for b in backdrop.boxes))
        looked_at.append(replace(backdrop, doubtful=doubtful))
    return looked_at


def _digest(pictures: Any) -> str:
    digest = hashlib.sha256()
    for picture in pictures:
        digest.update(picture.tobytes())
    return digest.hexdigest()


def add_command(commands: Any) -> None:
    """Add `detector` to the commands of `platebeam train`."""
    parser = commands.add_parser(
        "detector", help="the network that finds plates", description=__doc__
    )
    parser.set_defaults(run=train_detector)
    add = parser.add_argument
    add("--output", type=Path, required=True, metavar="DIR", help="gets the model and its history")
    add("--resume", action="store_true", help="go on with the training that DIR holds")
    add(
        "--backgrounds",
        nargs="+",
        required=True,
        type=folder_and_licence,
        metavar="DIR[=LICENCE]",
        help="pictures with truth.csv, which tells the boxes of all plates in them",
    )
    for name, what in (("--plates", "cut tight"), ("--loose-plates", "cut anyhow")):
        add(
            name,
            nargs="+",
            default=[],
            type=_folder_and_cut,
            metavar="DIR[:CUT][=LICENCE]",
            help=f"pictures of plates, {what}; CUT is a share to cut away at each edge",
        )
    add(
        "--hold-out",
        nargs="+",
        required=True,
        metavar="PATTERN",
        help="of the paths of pictures to validate with, such as '*/valid/*'",
    )
    add("--rendered", type=whole_number(0), default=3000, metavar="N", help="plates (%(default)s)")
    add("--cars", type=whole_number(0), default=600, metavar="N", help="(%(default)s)")
    add("--decoys", type=whole_number(1), default=2500, metavar="N", help="(%(default)s)")
    add_fonts_option(parser, "installed")
    count = whole_number(1)
    add("--epochs", type=count, default=14, metavar="N", help="(%(default)s)")
    add("--pictures", type=count, default=8000, metavar="N", help="an epoch (%(default)s)")
    add("--validation", type=count, default=320, metavar="N", help="windows (%(default)s)")
    add("--batch-size", type=count, default=16, metavar="N", help="(%(default)s)")
    add("--learning-rate", type=rate, default=0.003, metavar="RATE", help="(%(default)s)")
    add(
        "--weights",
        type=Path,
        metavar="FILE",
        help="a trained network to begin with, of a bundle too; its mistakes on the backgrounds "
        "are learnt from",
    )
    add("--seed", type=whole_number(0), default=0, help="of everything random (%(default)s)")
    add("--threads", type=whole_number(0), default=0, help="of the backend; 0: all cores")


def _folder_and_cut(value: str) -> tuple[tuple[Path, str], float]:
    folder, licence = folder_and_licence(value)
    name, colon, cut = str(folder).rpartition(":")
    return ((Path(name), licence), rate(cut)) if colon else ((folder, licence), 0.0)


def train_detector(options: argparse.Namespace, command: str) -> None:
    """Gather, train and record; `options` as parsed by what `add_command` adds.

    Raises:
        TrainingError: the data or the output folder does not allow it.
    """
    recipe = Recipe(
        options.epochs,
        options.pictures,
        options.batch_size,
        options.learning_rate,
        validation=options.validation,
        seed=options.seed,
    )
    if recipe.pictures < recipe.batch_size:
        raise ValueError("--pictures is less than one --batch-size: raise it")
    asked = asdict(recipe) | {
        "backgrounds": [str(folder) for folder, _ in options.backgrounds],
        "plates": [f"{folder}:{cut}" for (folder, _), cut in options.plates],
        "loose_plates": [f"{folder}:{cut}" for (folder, _), cut in options.loose_plates],
    }
    names = ("hold_out", "rendered", "cars", "decoys", "fonts")
    asked |= {name: getattr(options, name) for name in names}
    asked["weights"] = options.weights and hashlib.sha256(options.weights.read_bytes()).hexdigest()
    check_output(options.output)
    record_file = options.output / TRAINING_FILE
    earlier = earlier_record(record_file, asked, options.resume)
    use_threads(options.threads)
    if options.threads:
        cv2.setNumThreads(options.threads)
    trained = trained_network(options.weights, build_detector()) if options.weights else None
    material = gather(options, chosen_fonts(options), trained)
    check_data(earlier, material.records)
    options.output.mkdir(parents=True, exist_ok=True)
    record: dict[str, Any] = {
        "architecture": "heatmap",
        "command": earlier.get("command", command),
        "seed": recipe.seed,
        "asked": asked,
        "data": [asdict(item) for item in material.records],
        "libraries": library_versions(),
    }
    write_pictures(options.output / PICTURES_FILE, material.pictures)
    rng = np.random.default_rng([recipe.seed, 3])
    validation = [compose(material.validation, rng) for _ in range(recipe.validation)]
    with recorded(record_file, record, earlier, ended="metrics" in earlier):
        train(recipe, material.training, validation, options.output, options.resume, trained)
    history = read_history(options.output / HISTORY_FILE)
    best = int(np.argmin(history["val_loss"]))
    record["metrics"] = {"best_epoch": best + 1, "last_epoch": len(history["val_loss"])} | {
        name: values[best] for name, values in history.items() if name.startswith("val_")
    }
    write_json(record_file, record)
    print(
        f"validation recall {history['val_recall'][best]:.4f}, corners "
        f"{history['val_corners'][best]:.3f} in epoch {best + 1}: {options.output / MODEL_FILE}"
    )
