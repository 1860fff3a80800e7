"""`platebeam tune characters`: search the sizes and the rate of the two-convolution CNN."""

from __future__ import annotations

import argparse
import csv
import shlex
import shutil
import sys
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING

from model_training import export
from model_training import train_characters as train
from model_training.architectures import ARCHITECTURES, build
from model_training.glyphs import NoFontsError
from model_training.options import whole_number
from model_training.train_characters import MONITORS, Recipe, TrainingData
from model_training.training_folder import (
    TRAINING_FILE,
    TrainingError,
    check_data,
    check_output,
    earlier_record,
    use_threads,
    write_json,
)

if TYPE_CHECKING:
    import keras
    import keras_tuner

ARCHITECTURE = "two_conv"
OBJECTIVE, DIRECTION = MONITORS["accuracy"]
TRIALS_FOLDER, BEST_FOLDER, BUNDLE_FOLDER = "trials", "best", "bundle"
TUNING_FILE = "tuning.json"

INTEGERS = {
    "conv_1_filters": (16, 64, 16),
    "conv_2_filters": (32, 128, 16),
    "dense_1_units": (128, 512, 64),
}
"""Lowest, highest and step of what is searched, after the second source, as are the two below."""
DROPOUT = ("dropout_1", 0.2, 0.5, 0.05)
LEARNING_RATE = ("learning_rate", 1e-5, 1e-3)

COLUMNS = ("trial", *INTEGERS, DROPOUT[0], LEARNING_RATE[0], "best_epoch", "val_loss", OBJECTIVE)


def suggest(hp: keras_tuner.HyperParameters, fixed: Recipe) -> Recipe:
    """A recipe with the searched values drawn by the tuner and the others fixed."""
    conv_1, conv_2, dense_1 = (
        hp.Int(name, low, high, step=step) for name, (low, high, step) in INTEGERS.items()
    )
    name, low, high, step = DROPOUT
    dropout = hp.Float(name, low, high, step=step)
    name, low, high = LEARNING_RATE
    rate = hp.Float(name, low, high, sampling="log")
    return replace(
        fixed,
        filters=(conv_1, conv_2),
        dense=(dense_1, *fixed.dense[1:]),
        dropout=dropout,
        learning_rate=rate,
    )


def search(
    data: TrainingData, fixed: Recipe, trials: int, output: Path
) -> list[keras_tuner.engine.trial.Trial]:
    """Train one network a trial, going on with the trials that `output` already holds.

    Args:
        data: see `train_characters.gather`.
        fixed: what is not searched.
        trials: how many in all.
        output: keeps KerasTuner's own folder of trials.

    Returns:
        The finished trials, best first: by accuracy, equal ones by loss.
    """
    import keras
    import keras_tuner

    def network(hp: keras_tuner.HyperParameters) -> keras.Model:
        recipe = suggest(hp, fixed)
        model = build(recipe.architecture, recipe.filters, recipe.dense, recipe.dropout)
        train.compile_model(model, recipe, steps=len(train.batches(data, recipe)))
        return model

    class Search(keras_tuner.RandomSearch):
        def run_trial(
            self, trial: keras_tuner.engine.trial.Trial, **_: object
        ) -> keras.callbacks.History:
            # KerasTuner's own would need TensorBoard and keep each trial's weights.
            keras.utils.set_random_seed(fixed.seed)
            return train.fit(network(trial.hyperparameters), data, fixed)

        def on_trial_end(self, trial: keras_tuner.engine.trial.Trial) -> None:
            super().on_trial_end(trial)
            if trial.score is not None:
                print(", ".join(f"{name} {value}" for name, value in row(trial).items()))
                sys.stdout.flush()

    tuner = Search(
        network,
        objective=keras_tuner.Objective(OBJECTIVE, DIRECTION),
        max_trials=trials,
        seed=fixed.seed + 1,  # KerasTuner takes 0 for none
        directory=output,
        project_name=TRIALS_FOLDER,
    )
    tuner.search(verbose=0)
    finished = (t for t in tuner.oracle.trials.values() if t.score is not None)
    return sorted(finished, key=lambda t: (-t.score, t.metrics.get_best_value("val_loss")))


def row(trial: keras_tuner.engine.trial.Trial) -> dict[str, float | str]:
    """COLUMNS of a trial."""
    values = trial.hyperparameters.values
    return {
        "trial": trial.trial_id,
        **{name: values[name] for name in INTEGERS},
        DROPOUT[0]: round(values[DROPOUT[0]], 3),
        LEARNING_RATE[0]: float(f"{values[LEARNING_RATE[0]]:.3g}"),
        "best_epoch": trial.best_step + 1,
        "val_loss": round(trial.metrics.get_best_value("val_loss"), 4),
        OBJECTIVE: round(trial.score, 4),
    }


def write_table(rows: Sequence[dict[str, float | str]], path: Path) -> None:
    """The trials as CSV, best first."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, COLUMNS)
        writer.writeheader()
        writer.writerows(rows)


def plot_trials(rows: Sequence[dict[str, float | str]], path: Path) -> None:
    """Accuracy over each searched value into a PNG; the colour is the loss."""
    from matplotlib.colors import LogNorm
    from matplotlib.figure import Figure

    searched: dict[str, tuple[float, float]]
    searched = {name: (low, high) for name, (low, high, _) in INTEGERS.items()}
    searched |= {DROPOUT[0]: DROPOUT[1:3], LEARNING_RATE[0]: LEARNING_RATE[1:]}
    figure = Figure(figsize=(14, 3.2), layout="constrained")
    panels = figure.subplots(1, len(searched), sharey=True)
    for axes, (name, ends) in zip(panels, searched.items(), strict=True):
        points = axes.scatter(
            [row[name] for row in rows],
            [row[OBJECTIVE] for row in rows],
            c=[row["val_loss"] for row in rows],
            norm=LogNorm(),
            cmap="viridis_r",
            clip_on=False,
        )
        axes.set(xlabel=name, xscale="log" if name == LEARNING_RATE[0] else "linear", xlim=ends)
    panels[0].set_ylabel("validation accuracy")
    figure.colorbar(points, ax=panels, label="validation loss")
    figure.savefig(path, dpi=120)


def main(argv: Sequence[str]) -> int:
    """Run `platebeam tune`."""
    parser = argparse.ArgumentParser(prog="platebeam tune", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="characters")
    characters = commands.add_parser(
        "characters",
        help="the character CNN",
        description="KerasTuner's random search. The best trial is trained again into "
        f"DIR/{BEST_FOLDER} and exported to DIR/{BUNDLE_FOLDER}.",
    )
    own = ARCHITECTURES[ARCHITECTURE]
    add = characters.add_argument
    train.add_data_options(characters)
    add("--output", type=Path, required=True, metavar="DIR", help="gets the trials and the best")
    add("--resume", action="store_true", help="go on with the trials that DIR holds")
    add("--trials", type=whole_number(1), default=20, metavar="N", help="in all (%(default)s)")
    add("--epochs", type=whole_number(1), default=own.epochs, metavar="N", help="%(default)s")
    add(
        "--batch-size",
        type=whole_number(1),
        default=own.batch_size,
        metavar="N",
        help="%(default)s",
    )
    train.add_augment_option(characters)
    options = parser.parse_args(argv)
    try:
        tune_characters(options, shlex.join(["platebeam", "tune", *argv]))
    except (TrainingError, NoFontsError, OSError, ValueError) as error:
        print(f"platebeam tune: {error}", file=sys.stderr)
        return 2
    except export.ExportError as error:
        print(f"platebeam tune: {error}", file=sys.stderr)
        return 1
    return 0


def tune_characters(options: argparse.Namespace, command: str) -> None:
    """Search, write the table and the plot, train the best again and export it."""
    fixed = train.recipe_of(
        ARCHITECTURE,
        epochs=options.epochs,
        batch_size=options.batch_size,
        augment=options.augment,
        seed=options.seed,
    )
    output: Path = options.output
    asked = train.asked_for(options, fixed)
    check_output(output)
    export.check_output(output / BUNDLE_FOLDER, "bundle")
    earlier = earlier_record(output / TUNING_FILE, asked, options.resume)
    use_threads(options.threads)
    data = train.load_data(options)
    check_data(earlier, data.records)
    output.mkdir(parents=True, exist_ok=True)
    pictures = [asdict(item) for item in data.records]
    write_json(output / TUNING_FILE, {"command": command, "asked": asked, "data": pictures})
    trials = search(data, fixed, options.trials, output)
    rows = [row(trial) for trial in trials]
    write_table(rows, output / "trials.csv")
    plot_trials(rows, output / "trials.png")
    print("\n".join(_markdown(rows[:10])))
    best = suggest(trials[0].hyperparameters, fixed)
    asked = train.asked_for(options, best)
    try:
        earlier_record(output / BEST_FOLDER / TRAINING_FILE, asked, options.resume)
    except TrainingError:
        if not options.resume:
            raise
        # Of a trial that a later one has beaten.
        shutil.rmtree(output / BEST_FOLDER)
    train.train_and_record(best, data, asked, output / BEST_FOLDER, command, options.resume)
    bundle = export.BundleOptions("tuned", command=command)
    export.export([output / BEST_FOLDER], output / BUNDLE_FOLDER, options=bundle)


def _markdown(rows: Sequence[dict[str, float | str]]) -> list[str]:
    lines = [COLUMNS, ["---"] * len(COLUMNS), *([row[name] for name in COLUMNS] for row in rows)]
    return [f"| {' | '.join(map(str, line))} |" for line in lines]
