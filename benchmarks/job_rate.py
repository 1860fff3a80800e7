"""The job's rate against a plain loop over `PlateReader`.

    python benchmarks/job_rate.py DATA_DIR [--rounds 3]

DATA_DIR is the folder that holds `scenes/`. Loop and job take turns in processes of their own; each
figure is the best round's, the one that other work on the machine disturbed least. Times are taken
inside the process, from the first picture's turn to the written tables, without imports.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

SETS = ("us", "eu", "br")
WAYS = {
    "job, 1 worker": ["--workers=1"],
    "job, 2 workers": ["--workers=2"],
    "job, 2 workers as threads": ["--workers=2", "--direct_running_mode=multi_threading"],
}

LOOP = """
import sys, time
from pathlib import Path
from lpr_core import PlateReader, decode
from lpr_core.plate_reader import keep_opencv_to_one_thread
keep_opencv_to_one_thread()
reader = PlateReader.from_bundle()
files = [file for folder in sys.argv[1:] for file in sorted(Path(folder).glob("*.jpg"))]
reader.read(decode(files[0].read_bytes()).pixels)
start = time.perf_counter()
for file in files:
    reader.read(decode(file.read_bytes()).pixels)
print(len(files) / (time.perf_counter() - start))
"""

JOB = """
import sys, time
from pipelines import read_plates
start = time.perf_counter()
record = read_plates.run(sys.argv[1:])
print(record["counts"]["inputs"] / (time.perf_counter() - start))
"""


def rate(script: str, *arguments: object) -> float:
    """Pictures a second that a script prints last."""
    done = subprocess.run(
        [sys.executable, "-c", script, *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        check=True,
        cwd=Path(__file__).parents[1],
    )
    return float(done.stdout.splitlines()[-1])


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    folders = [arguments.data.resolve() / "scenes" / name for name in SETS]
    best = {"plain loop": rate(LOOP, *folders)} | dict.fromkeys(WAYS, 0.0)
    for _ in range(arguments.rounds):
        for name, options in WAYS.items():
            with tempfile.TemporaryDirectory() as out:
                best[name] = max(best[name], rate(JOB, *folders, "--output", out, *options))
        best["plain loop"] = max(best["plain loop"], rate(LOOP, *folders))
    print("| way | pictures/s | of the plain loop |\n|---|---|---|")
    for name, measured in best.items():
        print(f"| {name} | {measured:.1f} | {measured / best['plain loop']:.2f} |")


if __name__ == "__main__":
    main()
