"""`platebeam generate`: plates, scenes and characters with full truth, as files or as streams.

Item i of a stream depends on (seed, i) and the options alone: it is the same as a file and from an
iterator, and processes can share a stream by taking numbers each.
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import json
import multiprocessing
import re
import shlex
import signal
import sys
from collections.abc import Generator, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
from tqdm import tqdm

from model_training.close_ups import close_up
from model_training.composites import (
    Background,
    BackgroundsError,
    composite_scene,
    load_backgrounds,
)
from model_training.glyphs import NoFontsError, TrueTypeFont
from model_training.layouts import LAYOUT_BY_NAME, LAYOUTS, Layout
from model_training.options import add_fonts_option, chosen_fonts, whole_number
from model_training.plates import random_plates
from model_training.rendered_characters import characters
from model_training.samples import SAMPLES, write_samples
from model_training.scenes import Scene, random_scene
from model_training.truth_files import jpeg, png, truth_of, truth_rows, truth_table

SCENE_QUALITY = 92
"""Of the JPEG files, 0 to 100."""

RECORD_FILE = "generator.json"
"""Says how a folder was made; written last, so that a folder without it is not complete."""

SMALLEST_SCENE = 128
"""Pixels of each side."""


def plates(
    seed: int,
    fonts: tuple[TrueTypeFont, ...] = (),
    layouts: Sequence[Layout] = LAYOUTS,
    numbers: Iterable[int] | None = None,
    *,
    grey: bool = False,
) -> Iterator[Scene]:
    """Close-ups of `random_plates`, which takes the same arguments, by `close_up`; `grey`: grey."""
    for plate, rng in random_plates(seed, fonts, layouts, numbers):
        yield close_up(plate, rng, grey=grey)


def scenes(
    seed: int,
    fonts: tuple[TrueTypeFont, ...] = (),
    layouts: Sequence[Layout] = LAYOUTS,
    numbers: Iterable[int] | None = None,
    *,
    backgrounds: Sequence[Background] = (),
    size: tuple[int, int] = (800, 600),
) -> Iterator[Scene]:
    """Pictures with any number of plates: rendered streets, or composites where pictures are given.

    Args:
        seed, fonts, layouts, numbers: as of `random_plates`.
        backgrounds: real pictures to put plates onto, see `load_backgrounds`.
        size: width and height in pixels; composites fit into it.
    """
    for number in itertools.count() if numbers is None else numbers:
        rng = np.random.default_rng([seed, number])
        if backgrounds:
            background = backgrounds[int(rng.integers(len(backgrounds)))]
            yield composite_scene(background, rng, fonts, layouts, size)
        else:
            yield random_scene(rng, fonts, layouts, size)


@dataclass(frozen=True, eq=False)
class MadeFile:
    """A picture file with its truth.

    Attributes:
        name: relative to the output folder.
        data: its bytes.
        truth: its object of truth.jsonl.
        rows: its rows of truth.csv; none where it is no picture of plates.
    """

    name: str
    data: bytes
    truth: dict[str, Any]
    rows: tuple[tuple[object, ...], ...] = ()


@dataclass(frozen=True)
class Recipe:
    """What `platebeam generate` was asked to make; `kind` is "plates", "scenes" or "characters"."""

    kind: str
    seed: int
    fonts: tuple[TrueTypeFont, ...]
    layouts: tuple[Layout, ...]
    backgrounds: tuple[Background, ...] = ()
    size: tuple[int, int] = (800, 600)

    def make(self, number: int) -> list[MadeFile]:
        """The files of an item of the stream: one, but of a plate's characters one each."""
        common = (self.seed, self.fonts, self.layouts, [number])
        if self.kind == "characters":
            return [
                _character_file(f"{character}/{number:06}-{place}.png", character, picture)
                for place, (character, picture) in enumerate(characters(*common))
            ]
        if self.kind == "plates":
            (scene,) = plates(*common)
            name, data = f"plate-{number:06}.png", png(scene.pixels)
        else:
            (scene,) = scenes(*common, backgrounds=self.backgrounds, size=self.size)
            name, data = f"scene-{number:06}.jpg", jpeg(scene.pixels, SCENE_QUALITY)
        return [MadeFile(name, data, truth_of(name, scene), tuple(truth_rows(name, scene)))]


def _character_file(name: str, character: str, picture: npt.NDArray[np.float32]) -> MadeFile:
    pixels = np.round(255 * picture).astype(np.uint8)
    return MadeFile(name, png(pixels), {"image": name, "character": character})


def write_files(recipe: Recipe, count: int, output: Path, workers: int = 1) -> None:
    """Write the first files of a stream, with truth.jsonl and, where they show plates, truth.csv.

    A picture's truth follows the picture: a run that is broken off has both for all that it made.

    Args:
        recipe: what to make.
        count: how many files.
        output: an existing folder.
        workers: processes to make them in; they change no byte.
    """
    with contextlib.ExitStack() as stack:
        progress = stack.enter_context(tqdm(total=count, desc=recipe.kind, disable=None))
        made = stack.enter_context(contextlib.closing(_made(recipe, count, workers)))
        objects = stack.enter_context((output / "truth.jsonl").open("w", encoding="utf-8"))
        table = None
        if recipe.kind != "characters":
            table = stack.enter_context(truth_table(output / "truth.csv"))
        for file in itertools.islice(made, count):
            path = output / file.name
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(file.data)
            objects.write(json.dumps(file.truth) + "\n")
            if table is not None:
                table.writerows(file.rows)
            progress.update()


def _made(recipe: Recipe, items: int, workers: int) -> Generator[MadeFile, None, None]:
    """The files of the first items, in order."""
    if workers == 1:
        yield from itertools.chain.from_iterable(map(recipe.make, range(items)))
        return
    # Spawned: a forked process would hang on the locks of OpenCV's threads, which it has not.
    fresh = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, fresh, _start_worker, (recipe,)) as pool:
        try:
            for files in pool.map(_make, range(items), chunksize=8):
                yield from files
        finally:  # enough, or interrupted
            pool.shutdown(cancel_futures=True)


_recipe: Recipe
"""Of a worker process; sent once, since backgrounds may be many."""


def _start_worker(recipe: Recipe) -> None:
    global _recipe
    _recipe = recipe
    quiet_worker()


def quiet_worker() -> None:
    """Have a process of a pool take one core, and leave an interruption to its parent."""
    cv2.setNumThreads(1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent process stops them


def _make(number: int) -> list[MadeFile]:
    return _recipe.make(number)


def main(argv: Sequence[str]) -> int:
    """Run `platebeam generate`."""
    options = _parser().parse_args(argv)
    try:
        if options.kind == "samples":
            write_samples(options.output, options.seed, chosen_fonts(options))
            print(f"{len(SAMPLES)} pictures in {options.output}")
            return 0
        recipe = _recipe_of(options)
        options.output.mkdir(parents=True, exist_ok=True)
    except (BadOption, BackgroundsError, NoFontsError, OSError) as error:
        print(f"platebeam generate: {error}", file=sys.stderr)
        return 2
    try:
        write_files(recipe, options.count, options.output, options.workers)
    except KeyboardInterrupt:
        print(f"platebeam generate: broken off: {options.output} is not complete", file=sys.stderr)
        return 130
    except (OSError, BrokenProcessPool) as error:
        print(f"platebeam generate: {error}: {options.output} is not complete", file=sys.stderr)
        return 1
    record = {
        "command": shlex.join(["platebeam", "generate", *argv]),
        "kind": recipe.kind,
        "seed": recipe.seed,
        "count": options.count,
        "layouts": options.layouts or "all",
        "fonts": [font.name for font in recipe.fonts],
        "backgrounds": len(recipe.backgrounds),
        "known_plates": sum(len(background.boxes) for background in recipe.backgrounds),
        "versions": {
            "platebeam": _code_version(),
            "numpy": np.__version__,
            "opencv": cv2.__version__,
        },
    }
    (options.output / RECORD_FILE).write_text(json.dumps(record, indent=2), encoding="utf-8")
    print(f"{options.count} {recipe.kind} in {options.output}")
    return 0


class BadOption(ValueError):
    """An option that cannot work; the message says what to do."""


def _recipe_of(options: argparse.Namespace) -> Recipe:
    """What the options ask for, checked from the cheapest to the dearest.

    Raises:
        BadOption: an unknown layout, or an output folder in use.
        BackgroundsError: see `load_backgrounds`.
        NoFontsError: see `chosen_fonts`.
    """
    unknown = [name for name in options.layouts or () if name not in LAYOUT_BY_NAME]
    if unknown:
        raise BadOption(f"no layout {', '.join(unknown)}: known are {', '.join(LAYOUT_BY_NAME)}")
    output: Path = options.output
    if output.exists() and not (output.is_dir() and not any(output.iterdir())):
        raise BadOption(f"{output} is no empty folder: name a new or an empty one")
    return Recipe(
        options.kind,
        options.seed,
        chosen_fonts(options),
        tuple(LAYOUT_BY_NAME[name] for name in options.layouts) if options.layouts else LAYOUTS,
        tuple(load_backgrounds(options.backgrounds)),
        options.size,
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="platebeam generate", description="Make pictures with full truth."
    )
    commands = parser.add_subparsers(dest="kind", required=True, metavar="KIND")
    for kind, what in (
        ("plates", "close-ups of one plate"),
        ("scenes", "rendered streets, or real pictures with plates put onto them"),
        ("characters", "single characters, in a folder per class"),
    ):
        command = commands.add_parser(kind, help=what, description=what)
        command.set_defaults(backgrounds=(), size=(800, 600))
        add = command.add_argument
        add("--count", type=whole_number(1), required=True, metavar="N", help="how many pictures")
        add("--output", type=Path, required=True, metavar="DIR", help="a new or empty folder")
        add("--seed", type=whole_number(0), default=0, help="of everything random (default: 0)")
        add_fonts_option(command, "installed")
        add("--layouts", nargs="+", metavar="NAME", help="of the plates (default: all)")
        add(
            "--workers", type=whole_number(1), default=1, metavar="N", help="processes (default: 1)"
        )
        if kind == "scenes":
            add("--size", type=_size, metavar="WIDTHxHEIGHT", help="pixels (default: 800x600)")
            add(
                "--backgrounds",
                type=Path,
                nargs="+",
                metavar="DIR",
                help="folders of pictures to put plates onto, shrunk to fit the size; plates "
                "that a truth.csv in there knows are replaced",
            )
    samples = commands.add_parser("samples", help="the project's sample street scenes")
    samples.add_argument("--output", type=Path, required=True, metavar="DIR")
    samples.add_argument("--seed", type=whole_number(0), default=7)
    add_fonts_option(samples, "dies")
    return parser


def _size(value: str) -> tuple[int, int]:
    match = re.fullmatch(r"(\d+)x(\d+)", value)
    width, height = (int(match[1]), int(match[2])) if match else (0, 0)
    if min(width, height) < SMALLEST_SCENE:
        raise argparse.ArgumentTypeError(f"{value} is no size of at least {SMALLEST_SCENE} a side")
    return width, height


def _code_version() -> str:
    try:
        return version("platebeam")
    except PackageNotFoundError:
        return "unknown"
