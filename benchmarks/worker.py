"""A local worker: how soon does it read its first picture, and how much memory does it take?

    python benchmarks/worker.py DATA_DIR

DATA_DIR is the folder that holds `scenes/`. The job reads them with two workers; from outside, the
script watches their processes and the file by which they tell how far they are. Memory is the
most seen; what processes share is in the resident memory of each, and in the proportional one once.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil
from faults import descendants


def main() -> None:
    """Watch a job."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    arguments = parser.parse_args()
    scenes = [str(folder) for folder in sorted((arguments.data.resolve() / "scenes").iterdir())]
    started: dict[psutil.Process, float] = {}
    peaks: dict[psutil.Process, list[float]] = {}
    first: float | None = None
    with tempfile.TemporaryDirectory() as name:
        command = [sys.executable, "-m", "pipelines.read_plates", *scenes]
        job = subprocess.Popen(
            [*command, f"--output={name}/out", "--workers=2"],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env={**os.environ, "TMPDIR": name},
        )
        while job.poll() is None:
            if first is None and any(Path(name).glob("platebeam-*/done")):
                first = time.monotonic()
            for worker in descendants(job.pid, "sdk_worker_main"):
                started.setdefault(worker, time.monotonic())
                if first is not None:
                    with contextlib.suppress(psutil.Error):
                        used = [
                            process.memory_full_info() for process in (worker, *worker.children())
                        ]
                        own, all_rss = used[0].rss, sum(one.rss for one in used)
                        now = [own, all_rss - own, sum(one.pss for one in used)]
                        seen = peaks.get(worker, now)
                        peaks[worker] = [max(pair) for pair in zip(seen, now, strict=True)]
            time.sleep(0.1)
    assert first is not None and len(peaks) == 2, "the job read nothing"
    print("| worker | resident, MB | its decoder, MB | both, proportional, MB |\n|---|---|---|---|")
    for number, figures in enumerate(peaks.values(), 1):
        print(f"| {number} | {' | '.join(f'{figure / 2**20:.0f}' for figure in figures)} |")
    seconds = first - min(started.values())
    print(f"\nfrom the first worker's start to the first read: {seconds:.1f} s")


if __name__ == "__main__":
    main()
