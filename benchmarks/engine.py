"""The job on a started engine beside the job with two local workers, and what its workers take.

    deploy/flink/cluster start build/flink
    python benchmarks/engine.py DATA_DIR build/flink [--pictures 200 800] [--rounds 2]

DATA_DIR is the folder that holds `scenes/`, which are read under as many URIs as are asked for. The
ways take turns; each time is the best round's, from the command's start to its end. What the start
and the end of a job cost is the same however many pictures it has, so the rate is also told without
them: that of the pictures which a row has more than the row before. Memory is the most resident in
one of the engine's Python workers, its decoder's process apart, from outside.
"""

from __future__ import annotations

import argparse
import contextlib
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil


def pools(engine: Path) -> list[psutil.Process]:
    """The processes that start the engine's Python workers."""
    lines = map(str.split, (engine / "pids").read_text().splitlines())
    return [psutil.Process(int(pid)) for name, pid in lines if name.startswith("workers")]


def watch(folder: Path, options: list[str], workers: list[psutil.Process]) -> tuple[float, float]:
    """Read a folder; the seconds it took, and the most MB of a child of the given processes."""
    peak = 0
    with tempfile.TemporaryDirectory() as output:
        start = time.monotonic()
        job = subprocess.Popen(
            [sys.executable, "-m", "pipelines.read_plates", folder, f"--output={output}", *options],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            cwd=Path(__file__).parents[1],
        )
        while job.poll() is None:
            for pool in workers:
                with contextlib.suppress(psutil.Error):
                    peak = max([peak, *(worker.memory_info().rss for worker in pool.children())])
            time.sleep(0.2)
        seconds = time.monotonic() - start
    assert job.returncode == 0, f"the job of {folder} failed"
    return seconds, peak / 2**20


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("engine", type=Path)
    parser.add_argument("--pictures", type=int, nargs="+", default=[200, 800])
    parser.add_argument("--rounds", type=int, default=2)
    arguments = parser.parse_args()
    scenes = sorted((arguments.data.resolve() / "scenes").glob("*/*.jpg"))[::3]
    there = (arguments.engine / "options").read_text().split()
    print("| pictures | local, s | engine, s | engine's rate of the local | of what is more | MB |")
    print("|---" * 6 + "|")
    before: tuple[float, float] | None = None
    for count in arguments.pictures:
        with tempfile.TemporaryDirectory() as name:
            for number in range(count):
                (Path(name) / f"{number:06}.jpg").symlink_to(scenes[number % len(scenes)])
            local = engine = float("inf")
            most = 0.0
            for _ in range(arguments.rounds):
                local = min(local, watch(Path(name), ["--workers=2"], [])[0])
                seconds, megabytes = watch(Path(name), there, pools(arguments.engine))
                engine, most = min(engine, seconds), max(most, megabytes)
        more = f"{(local - before[0]) / (engine - before[1]):.2f}" if before else ""
        cells = f"{count} | {local:.0f} | {engine:.0f} | {local / engine:.2f} | {more}"
        print(f"| {cells} | {most:.0f} |", flush=True)
        before = local, engine


if __name__ == "__main__":
    main()
