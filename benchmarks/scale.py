"""Many inputs through the job: are they all in the tables, do time and memory stay flat?

    python benchmarks/scale.py DATA_DIR [--inputs 1000 10000] [--workers 1] [--small]
    python benchmarks/scale.py --plumbing [--inputs 10000 100000 1000000]

DATA_DIR is the folder that holds `scenes/`. Each run reads the scenes (`--small`: shrunk to a width
of 48, where next to nothing is found) under that many URIs (symbolic links in a temporary folder)
in a process of its own, whose peak resident memory the operating system tells. `--plumbing` names
as many in a Parquet manifest and reads none of them: every picture has no plate at once, so what is
left is the job itself. Ends with status 1 if rows are missing or memory grows by more than 1 KB an
input.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import pyarrow as pa
import pyarrow.parquet as pq

from pipelines.run_record import read_record, read_table

KILOBYTES_AN_INPUT = 1.0
SMALL = 48

JOB = """
import sys
from pipelines.read_plates import main
sys.exit(main(sys.argv[1:]))
"""

PLUMBING = """
import sys
import apache_beam as beam
from pipelines import stages
from pipelines.pictures import PictureResult
from pipelines.read_plates import main
stages.ReadPictures.expand = lambda self, pictures: pictures | beam.Map(
    lambda picture: PictureResult(picture.facts)
)
sys.exit(main(sys.argv[1:]))
"""


def link(scenes: list[Path], folder: Path, inputs: int) -> Path:
    """A folder of so many links to the scenes."""
    (folder / "in").mkdir()
    for number in range(inputs):
        scene = scenes[number % len(scenes)]
        (folder / "in" / f"{number:06d}-{scene.name}").symlink_to(scene)
    return folder / "in"


def shrink(scenes: list[Path], folder: Path) -> list[Path]:
    """The scenes, SMALL pixels wide."""
    for scene in scenes:
        picture = cv2.imread(str(scene))
        height = round(picture.shape[0] * SMALL / picture.shape[1])
        small = cv2.resize(picture, (SMALL, height), interpolation=cv2.INTER_AREA)
        cv2.imwrite(str(folder / scene.name), small)
    return [folder / scene.name for scene in scenes]


def manifest(folder: Path, inputs: int) -> Path:
    """A manifest of so many pictures that are nowhere."""
    uris = pa.array(
        f"s3://archive/2024/{number % 365:03d}/{number:09d}.jpg" for number in range(inputs)
    )
    pq.write_table(pa.table({"uri": uris}), folder / "list.parquet")
    return folder / "list.parquet"


def run(script: str, given: Callable[[Path], Path], inputs: int, workers: int) -> tuple[int, float]:
    """Check a run's rows; returns (peak kilobytes, seconds)."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        source, output = given(folder), str(folder / "out")
        start = time.monotonic()
        job = subprocess.Popen(
            [
                *(sys.executable, "-c", script, source, "--output", output),
                *("--run-id=scale", f"--workers={workers}"),
            ],
            stdout=subprocess.DEVNULL,
            cwd=Path(__file__).parents[1],
        )
        _, status, usage = os.wait4(job.pid, 0)
        seconds = time.monotonic() - start
        if status:
            raise SystemExit(f"the job of {inputs} inputs failed")
        record = read_record(output, "scale")
        assert record is not None
        images = read_table(record, output, "images", ["uri"])
        uris = len(images["uri"].unique())
        counts = record["counts"]
        outcomes = sum(counts[key] for key in ("read", "no_plate", "unreadable", "failed"))
        rows = images.num_rows
        if not inputs == counts["inputs"] == outcomes == rows == uris:
            raise SystemExit(f"{inputs} inputs, {outcomes} outcomes, {rows} rows, {uris} URIs")
    return usage.ru_maxrss, seconds


def main() -> int:
    """Run each size, print the figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path, nargs="?")
    parser.add_argument("--inputs", type=int, nargs="+", default=[1_000, 10_000])
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--small", action="store_true")
    parser.add_argument("--plumbing", action="store_true")
    arguments = parser.parse_args()
    if (arguments.data is None) != arguments.plumbing:
        parser.error("either DATA_DIR or --plumbing")
    print(
        "| inputs = outcomes = rows = URIs | peak memory, MB | s | ms an input |\n|---|---|---|---|"
    )
    peaks = []
    with tempfile.TemporaryDirectory() as name:
        scenes = []
        if arguments.data:
            scenes = sorted((arguments.data.resolve() / "scenes").glob("*/*.jpg"))
        if arguments.small:
            scenes = shrink(scenes, Path(name))
        for inputs in arguments.inputs:
            if arguments.plumbing:
                script, given = PLUMBING, lambda folder, n=inputs: manifest(folder, n)
            else:
                script, given = JOB, lambda folder, n=inputs: link(scenes, folder, n)
            peak, seconds = run(script, given, inputs, arguments.workers)
            peaks.append(peak)
            each = 1000 * seconds / inputs
            print(f"| {inputs} | {peak / 1024:.0f} | {seconds:.0f} | {each:.2f} |", flush=True)
    growth = (peaks[-1] - peaks[0]) / max(1, arguments.inputs[-1] - arguments.inputs[0])
    print(f"\ngrowth: {growth:.2f} KB an input (at most {KILOBYTES_AN_INPUT:g})")
    return 1 if growth > KILOBYTES_AN_INPUT else 0


if __name__ == "__main__":
    sys.exit(main())
