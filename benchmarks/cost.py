"""What a picture costs on one core, stage by stage, and how much memory reading takes.

python benchmarks/cost.py FOLDER … [--bundle DIR] [--detector …] [--reader …] [--rounds 3]

Each folder's pictures are read one after the other by `PlateReader` in a fresh process, OpenCV and
LiteRT on one thread. Times are the process's own, the least of the rounds for each picture, since
other work on the machine only ever adds; the columns are medians over the pictures. Even so a
machine's speed varies, so a fixed reference, the product of two matrices of 384 by 384 numbers,
takes its turn after each picture. The memory is the most that was resident.
"""

from __future__ import annotations

import argparse
import os

os.environ["OPENBLAS_NUM_THREADS"] = "1"  # read when NumPy is first imported

import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing import get_context
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from tqdm import tqdm

from lpr_core.decode import DecodeError, decode
from lpr_core.plate_reader import (
    DETECTORS,
    READERS,
    PlateReader,
    ReaderConfig,
    keep_opencv_to_one_thread,
)

OPENALPR = {"us": "202", "eu": "40", "br": "100"}
"""Mean processor milliseconds of OpenALPR 2.3 a picture of these scenes, on another day."""

STAGES = ("decode", "detect", "segment", "recognise")
SUFFIXES = (".jpg", ".jpeg", ".png")
SIDE = 384


class Cost(NamedTuple):
    """What reading a folder cost.

    Attributes:
        milliseconds: float64 (pictures, stages and the reference).
        plates: found in a picture, on average.
        megapixels: the median.
        megabytes: the most resident memory.
    """

    milliseconds: npt.NDArray[np.float64]
    plates: float
    megapixels: float
    megabytes: float


def measure(folder: Path, bundle: Path | None, config: ReaderConfig, rounds: int) -> Cost:
    """Read a folder's pictures, timing each stage."""
    keep_opencv_to_one_thread()
    reader = PlateReader.from_bundle(bundle, **vars(config))
    reader.warm_up()
    files = [file for file in sorted(folder.rglob("*")) if is_picture(file)]
    matrix = np.random.default_rng(0).normal(size=(SIDE, SIDE)).astype(np.float32)
    spent = np.zeros((rounds, len(files), len(STAGES) + 1))
    megapixels, plates = np.zeros(len(files)), np.zeros(len(files))

    @contextmanager
    def timed(step: int) -> Iterator[None]:
        started = time.process_time()
        yield
        spent[number, index, step] = 1000 * (time.process_time() - started)

    for number in range(rounds):
        for index, file in enumerate(tqdm(files, desc=f"{folder.name}, round {number + 1}")):
            data = file.read_bytes()
            with timed(0):
                pixels = decode(data).pixels
            with timed(1):
                found = reader.find(pixels)
            with timed(2):
                segmented = [reader.recognizer.segment(crop) for _, crop in found]
            with timed(3):
                reader.recognizer.recognize(segmented)
            with timed(4):
                np.dot(matrix, matrix)
            megapixels[index], plates[index] = pixels.size / 1e6, len(found)
    return Cost(
        spent.min(axis=0), float(plates.mean()), float(np.median(megapixels)), peak_megabytes()
    )


def is_picture(file: Path) -> bool:
    """Whether a file can be decoded; real sets hold some that are cut short."""
    if file.suffix.lower() not in SUFFIXES:
        return False
    try:
        decode(file.read_bytes())
    except DecodeError:
        return False
    return True


def peak_megabytes() -> float:
    """This process's peak resident memory; getrusage would count its parent's before the exec."""
    lines = Path("/proc/self/status").read_text().splitlines()
    (peak,) = (line.split()[1] for line in lines if line.startswith("VmHWM:"))
    return int(peak) / 1024


def main() -> None:
    """Measure each folder and print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folders", type=Path, nargs="+", metavar="FOLDER")
    parser.add_argument("--bundle", type=Path, help="its folder (default: the package's)")
    parser.add_argument("--detector", choices=list(DETECTORS), default=ReaderConfig.detector)
    parser.add_argument("--reader", choices=list(READERS), default=ReaderConfig.reader)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    config = ReaderConfig(options.detector, options.reader)
    head = ["ms a picture, median", "MP", "plates", *STAGES, "all", "all, mean", "of decode"]
    head += ["reference", "all, in references", "peak memory, MB", "OpenALPR 2.3, mean"]
    print("| " + " | ".join(head) + " |")
    print("|" + "---|" * len(head))
    for folder in options.folders:
        # A process of its own for each folder: memory that was touched is not given back.
        with ProcessPoolExecutor(1, get_context("spawn")) as pool:
            cost = pool.submit(measure, folder, options.bundle, config, options.rounds).result()
        *stages, reference = np.median(cost.milliseconds, axis=0)
        sums = cost.milliseconds[:, : len(STAGES)].sum(axis=1)
        whole = float(np.median(sums))
        cells = [folder.name, f"{cost.megapixels:.2f}", f"{cost.plates:.1f}"]
        cells += [f"{ms:.1f}" for ms in (*stages, whole, sums.mean())]
        cells += [f"{whole / stages[0]:.1f}", f"{reference:.2f}", f"{whole / reference:.1f}"]
        cells += [f"{cost.megabytes:.0f}", OPENALPR.get(folder.name, "–")]
        print("| " + " | ".join(cells) + " |", flush=True)


if __name__ == "__main__":
    main()
