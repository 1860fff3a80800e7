"""The job's rate beside decoding alone, a plain loop over `PlateReader`, and two of them at once.

    python benchmarks/job_rate.py DATA_DIR [--rounds 3] [--seconds 75] [--megapixels 0.2 0.9 2 12]
        [--cores 1 2]

DATA_DIR is the folder that holds `scenes/`. For each size the scenes are scaled to it and named
under as many URIs as the plain loop reads in so many seconds. The ways take turns in processes of
their own; each figure is the best round's, the one that other work on the machine disturbed least.
What has one process has one core, decoder included; the others have two. Times are taken inside the
process, from the start to the written tables, without imports: of a job with two workers, starting
and ending their processes is some five seconds, and three more where Google's libraries are
installed, which Beam imports then. `--cores` names the ways by their cores.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import cv2
import numpy as np

PREPARE = """
import sys, time
from pathlib import Path
from lpr_core import PlateReader, decode
from lpr_core.plate_reader import keep_opencv_to_one_thread
keep_opencv_to_one_thread()
files = sorted(Path(sys.argv[1]).iterdir())
"""

DECODE = (
    PREPARE
    + """
start = time.perf_counter()
for file in files:
    decode(file.read_bytes())
print(len(files) / (time.perf_counter() - start))
"""
)

LOOP = (
    PREPARE
    + """
reader = PlateReader.from_bundle()
reader.read(decode(files[0].read_bytes()).pixels)
start = time.perf_counter()
for file in files:
    reader.read(decode(file.read_bytes()).pixels)
print(len(files) / (time.perf_counter() - start))
"""
)

POOL = (
    PREPARE
    + """
import multiprocessing
reader = PlateReader.from_bundle()
def read(file):
    reader.read(decode(file.read_bytes()).pixels)
with multiprocessing.get_context("fork").Pool(2) as pool:
    pool.map(read, files[:8], chunksize=1)
    start = time.perf_counter()
    for _ in pool.imap_unordered(read, files, chunksize=4):
        pass
    print(len(files) / (time.perf_counter() - start))
"""
)

JOB = """
import sys, time
from pipelines import read_plates
start = time.perf_counter()
record = read_plates.run(sys.argv[1:])
print(record["counts"]["inputs"] / (time.perf_counter() - start))
"""

WAYS = {
    "decode alone": (DECODE, 1),
    "plain loop": (LOOP, 1),
    "job, 1 worker": (JOB, 1),
    "pool of 2 processes": (POOL, 2),
    "job, 2 workers": (JOB, 2),
}
REFERENCE = {"job, 1 worker": "plain loop", "job, 2 workers": "pool of 2 processes"}


def rate(way: str, folder: Path) -> float:
    """Pictures a second of a way, told by the last line that it prints."""
    script, cores = WAYS[way]
    with tempfile.TemporaryDirectory() as output:
        options = [f"--output={output}", f"--workers={cores}"] if script == JOB else []
        done = subprocess.run(
            [sys.executable, "-c", script, folder, *options],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            check=True,
            cwd=Path(__file__).parents[1],
            preexec_fn=lambda: os.sched_setaffinity(0, range(cores)),
        )
    return float(done.stdout.splitlines()[-1])


def scale(scenes: list[Path], folder: Path, pixels: float) -> list[Path]:
    """The scenes as JPEG of so many pixels."""
    folder.mkdir()
    for scene in scenes:
        picture = cv2.imread(str(scene))
        factor = float(np.sqrt(pixels / (picture.shape[0] * picture.shape[1])))
        method = cv2.INTER_AREA if factor < 1 else cv2.INTER_CUBIC
        picture = cv2.resize(picture, None, fx=factor, fy=factor, interpolation=method)
        cv2.imwrite(str(folder / f"{scene.parent.name}-{scene.name}"), picture)
    return sorted(folder.iterdir())


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=75)
    parser.add_argument("--megapixels", type=float, nargs="+", default=[0.2, 0.9, 2, 12])
    parser.add_argument("--cores", type=int, nargs="+", choices=(1, 2), default=[1, 2])
    arguments = parser.parse_args()
    ways = [way for way, (_, cores) in WAYS.items() if cores in arguments.cores]
    shares = [pair for pair in REFERENCE.items() if pair[0] in ways]
    scenes = sorted((arguments.data.resolve() / "scenes").glob("*/*.jpg"))[::3]
    heads = ["megapixels", "pictures", *ways, *(f"{way}, of the {other}" for way, other in shares)]
    print(f"| {' | '.join(heads)} |\n{'|---' * len(heads)}|", flush=True)
    with tempfile.TemporaryDirectory() as name:
        for megapixels in arguments.megapixels:
            files = scale(scenes, Path(name) / f"{megapixels}", 1e6 * megapixels)
            count = round(arguments.seconds * rate("plain loop", files[0].parent))
            folder = Path(name) / f"{megapixels}-many"
            folder.mkdir()
            for number in range(count):
                (folder / f"{number:06}.jpg").symlink_to(files[number % len(files)])
            best = dict.fromkeys(ways, 0.0)
            for _ in range(arguments.rounds):
                for way in ways:
                    best[way] = max(best[way], rate(way, folder))
            cells = [f"{megapixels:g}", count, *(f"{best[way]:.1f}" for way in ways)]
            cells += [f"{best[way] / best[other]:.2f}" for way, other in shares]
            print(f"| {' | '.join(map(str, cells))} |", flush=True)


if __name__ == "__main__":
    main()
