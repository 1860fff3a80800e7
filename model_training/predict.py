"""`platebeam predict-characters`: what a character model makes of single pictures."""

from __future__ import annotations

import argparse
import csv
import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from lpr_core.recognize import ALPHABET, Classifier, Floats, normalise_character
from model_training.characters import (
    MIN_CONTRAST,
    Grey,
    PictureError,
    cut_ink,
    dark_on_light,
    read_grey,
)
from model_training.classifiers import ModelError, load_classifier
from model_training.evaluate import best_of, held_out
from model_training.plots import Caption, draw_pictures

POLARITY_SAMPLE = 50


@dataclass(frozen=True, eq=False)
class Prediction:
    """What a model makes of one picture.

    Attributes:
        file: the picture's.
        truth: the character it shows, None if unknown.
        picture: as the network sees it, float32 (28, 28), 0 to 1.
        best: the most probable characters with their probabilities, best first.
    """

    file: Path
    truth: str | None
    picture: Floats
    best: tuple[tuple[str, float], ...]

    @property
    def right(self) -> bool | None:
        """Whether the most probable character is the truth, None if that is unknown."""
        return None if self.truth is None else self.best[0][0] == self.truth


def predict(
    classify: Classifier,
    files: Sequence[tuple[Path, str | None]],
    ink: str,
    top: int,
) -> tuple[list[Prediction], list[tuple[Path, str]]]:
    """Read one character of each file.

    Args:
        classify: pictures (n, 28, 28) to probabilities (n, 36).
        files: each with the character it shows, None if unknown.
        ink: "dark", "bright", or "auto" to decide for each picture (`is_dark`).
        top: how many characters to list a picture.

    Returns:
        The predictions, and the files that show no character with the reason, each in order.
    """
    found, failed = [], []
    for path, truth in files:
        try:
            picture = read_grey(path)
            dark = is_dark(picture, classify) if ink == "auto" else ink == "dark"
            found.append((path, truth, normalise_character(cut_ink(picture, dark))))
        except PictureError as error:
            failed.append((path, str(error)))
    if not found:
        return [], failed
    probabilities = classify(np.stack([picture for *_, picture in found]))
    predictions = [
        Prediction(*item, tuple(best_of(row, top)))
        for item, row in zip(found, probabilities, strict=True)
    ]
    return predictions, failed


def is_dark(picture: Grey, classify: Classifier) -> bool:
    """Whether a single picture shows dark ink.

    Corners that agree are paper. Where they do not, the character was cut tight and has ink in
    some; then the model says which polarity it is surer of.

    Raises:
        PictureError: all of it is of one colour, ink or paper.
    """
    low, high = int(picture.min()), int(picture.max())
    if high - low < MIN_CONTRAST:
        raise PictureError("no telling ink from paper: say --ink dark or bright")
    light = picture[[0, 0, -1, -1], [0, -1, 0, -1]] > (low + high) / 2
    if light.all() or not light.any():
        return bool(light.all())
    both = [normalise_character(cut_ink(picture, dark)) for dark in (True, False)]
    as_dark, as_bright = classify(np.stack(both)).max(axis=1)
    return bool(as_dark > as_bright)


def draw_files(folder: Path, count: int, seed: int) -> tuple[list[tuple[Path, str | None]], str]:
    """Random files of a folder per character, and how its ink is: "dark" or "bright".

    The polarity is decided as in training, by all pictures together, but of a sample.

    Args:
        folder: holds folders named by the characters of ALPHABET.
        count: how many files; all where there are fewer.
        seed: of the drawing.

    Raises:
        FileNotFoundError: there are none.
        OSError: a folder of a character cannot be read.
    """
    files: list[tuple[Path, str | None]] = [
        (path, character)
        for character in ALPHABET
        if (folder / character).is_dir()
        for path in sorted((folder / character).iterdir())
        if path.is_file()
    ]
    if not files:
        raise FileNotFoundError(f"{folder} has no pictures in folders named 0-9, A-Z")
    drawn = [files[i] for i in np.random.default_rng(seed).permutation(len(files))]
    sample = list(_readable(path for path, _ in drawn[: max(count, POLARITY_SAMPLE)]))
    return drawn[:count], "dark" if dark_on_light(sample) else "bright"


def print_table(predictions: Sequence[Prediction]) -> None:
    """Print a line a picture, and how many are right where the truth is known."""
    width = max(len(str(item.file)) for item in predictions)
    for item in predictions:
        best = "  ".join(f"{character} {p:6.1%}" for character, p in item.best)
        verdict = {True: "  right", False: f"  wrong: {item.truth}", None: ""}[item.right]
        print(f"{item.file!s:{width}}  {best}{verdict}")
    known = [item for item in predictions if item.truth is not None]
    if known:
        print(f"{sum(bool(item.right) for item in known)} of {len(known)} right")


def print_csv(predictions: Sequence[Prediction]) -> None:
    """Print a row a picture: file, truth, then the characters with their probabilities."""
    writer = csv.writer(sys.stdout, lineterminator="\n")
    places = range(1, len(predictions[0].best) + 1)
    writer.writerow(
        ["file", "truth", *(f"{name}_{i}" for i in places for name in ("character", "probability"))]
    )
    for item in predictions:
        writer.writerow([item.file, item.truth, *(value for pair in item.best for value in pair)])


def print_json(predictions: Sequence[Prediction]) -> None:
    """Print a list with an object a picture."""
    rows = [
        {
            "file": str(item.file),
            "truth": item.truth,
            "best": [{"character": character, "probability": p} for character, p in item.best],
        }
        for item in predictions
    ]
    print(json.dumps(rows, indent=2, ensure_ascii=False))


FORMATS = {"table": print_table, "csv": print_csv, "json": print_json}


def main(argv: Sequence[str]) -> int:
    """Run `platebeam predict-characters`."""
    parser = argparse.ArgumentParser(prog="platebeam predict-characters", description=__doc__)
    add = parser.add_argument
    add("files", type=Path, nargs="*", metavar="FILE", help="pictures of one character each")
    add(
        "--random-from",
        type=Path,
        metavar="DIR",
        help="instead of files: random ones of a folder per character (of its val/ if it has one)",
    )
    add("--count", type=int, default=10, metavar="N", help="how many of these (default 10)")
    add("--seed", type=int, default=0, help="of their choice (default 0)")
    add(
        "--model",
        type=Path,
        help="a training's folder, a .keras or .h5 file, a SavedModel or a bundle; "
        "the default bundle if absent",
    )
    add("--top", type=int, default=3, metavar="K", help="characters a picture (default 3)")
    add(
        "--ink",
        choices=("auto", "dark", "bright"),
        default="auto",
        help="whether characters are darker than their ground (auto: decided for each file, with "
        "--random-from for its folder)",
    )
    add("--format", choices=FORMATS, default="table", help="of what is printed")
    add("--output", type=Path, metavar="PNG", help="also draw the pictures with their reads")
    options = parser.parse_args(argv)
    if bool(options.files) == bool(options.random_from):
        return _refuse("nothing to predict: give either files or --random-from DIR")
    if options.count < 1 or not 1 <= options.top <= len(ALPHABET):
        return _refuse(f"--count must be at least 1 and --top from 1 to {len(ALPHABET)}")
    if options.seed < 0:
        return _refuse("--seed must be at least 0")
    try:
        files: list[tuple[Path, str | None]] = [(path, None) for path in options.files]
        ink = options.ink
        if options.random_from:
            files, found = draw_files(held_out(options.random_from), options.count, options.seed)
            ink = found if ink == "auto" else ink
        classify = load_classifier(options.model)
        if options.output and options.output.is_dir():
            raise IsADirectoryError(f"--output {options.output} is a folder; it takes a PNG file")
        if options.output:
            options.output.parent.mkdir(parents=True, exist_ok=True)
    except (ModelError, OSError) as error:
        return _refuse(str(error))
    predictions, failed = predict(classify, files, ink, options.top)
    for path, reason in failed:
        print(f"platebeam predict-characters: {path}: {reason}", file=sys.stderr)
    if predictions:
        FORMATS[options.format](predictions)
        if options.output:
            captions = [_caption(item) for item in predictions]
            draw_pictures(
                np.stack([item.picture for item in predictions]), captions, options.output
            )
    return 1 if failed else 0


def _readable(paths: Iterator[Path]) -> Iterator[Grey]:
    for path in paths:
        try:
            yield read_grey(path)
        except PictureError:  # predicting it will say so
            continue


def _caption(item: Prediction) -> Caption:
    character, probability = item.best[0]
    truth = f"\ntruth {item.truth}" if item.truth else ""
    return Caption(f"{item.file.name[-20:]}\n{character} {probability:.1%}{truth}", item.right)


def _refuse(message: str) -> int:
    print(f"platebeam predict-characters: {message}", file=sys.stderr)
    return 2
