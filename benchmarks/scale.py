"""Many inputs through the job: are they all in the tables, and does the memory stay flat?

    python benchmarks/scale.py DATA_DIR [--inputs 1000 10000] [--workers 1]

DATA_DIR is the folder that holds `scenes/`. Each run reads the scenes under that many URIs
(symbolic links in a temporary folder) in a process of its own, whose peak resident memory the
operating system tells. Ends with status 1 if rows are missing or memory grows by more than 1 KB an
input.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from pipelines.run_record import read_record, read_table

KILOBYTES_AN_INPUT = 1.0


def run(scenes: list[Path], inputs: int, workers: int) -> tuple[int, float]:
    """Check a run's rows; returns (peak kilobytes, seconds)."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "in").mkdir()
        for number in range(inputs):
            scene = scenes[number % len(scenes)]
            (folder / "in" / f"{number:06d}-{scene.name}").symlink_to(scene)
        command = [sys.executable, "-m", "pipelines.read_plates", folder / "in"]
        start = time.monotonic()
        job = subprocess.Popen(
            [*command, "--output", folder / "out", "--run-id=scale", f"--workers={workers}"],
            stdout=subprocess.DEVNULL,
            cwd=Path(__file__).parents[1],
        )
        _, status, usage = os.wait4(job.pid, 0)
        seconds = time.monotonic() - start
        if status:
            raise SystemExit(f"the job of {inputs} inputs failed")
        output = str(folder / "out")
        record = read_record(output, "scale")
        assert record is not None
        images = read_table(record, output, "images", ["uri"])
        uris = set(images["uri"].to_pylist())
        counts = record["counts"]
        outcomes = sum(counts[key] for key in ("read", "no_plate", "unreadable", "failed"))
        rows = images.num_rows
        if not inputs == counts["inputs"] == outcomes == rows == len(uris):
            raise SystemExit(f"{inputs} inputs, {outcomes} outcomes, {rows} rows, {len(uris)} URIs")
    return usage.ru_maxrss, seconds


def main() -> int:
    """Run each size, print the figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--inputs", type=int, nargs="+", default=[1_000, 10_000])
    parser.add_argument("--workers", type=int, default=1)
    arguments = parser.parse_args()
    scenes = sorted((arguments.data.resolve() / "scenes").glob("*/*.jpg"))
    print(
        "| inputs = outcomes = rows = URIs | peak memory, MB | s | pictures/s |\n|---|---|---|---|"
    )
    peaks = []
    for inputs in arguments.inputs:
        peak, seconds = run(scenes, inputs, arguments.workers)
        peaks.append(peak)
        rate = inputs / seconds
        print(f"| {inputs} | {peak / 1024:.0f} | {seconds:.0f} | {rate:.1f} |", flush=True)
    growth = (peaks[-1] - peaks[0]) / max(1, arguments.inputs[-1] - arguments.inputs[0])
    print(f"\ngrowth: {growth:.2f} KB an input (at most {KILOBYTES_AN_INPUT:g})")
    return 1 if growth > KILOBYTES_AN_INPUT else 0


if __name__ == "__main__":
    sys.exit(main())
