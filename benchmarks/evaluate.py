"""`platebeam evaluate` over a large archive: time, peak memory, and whether its figures are right.

    python benchmarks/evaluate.py SAMPLES [--images 1000000] [--known 1000 1000000]

The job reads the pictures of the folder SAMPLES once, and their rows are repeated under other URIs
until there are as many images as asked for. The truth file knows the plates of `--known` of them.
Each evaluation is a process of its own, whose peak resident memory the operating system tells;
beside its processor time stands that of a scan of the same columns by DuckDB. Ends with status 1 if
a value of the metrics differs from that of the job's own.
"""

from __future__ import annotations

import argparse
import csv
import json
import math
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from pipelines import read_plates
from pipelines.archive import connect, open_archive
from pipelines.run_record import read_table, write_record
from pipelines.schemas import SCHEMAS
from pipelines.tables import Run, TableFile, write_table

AT_ONCE = 500
SCAN = """
    SELECT count(uri), sum(length(text_raw)), sum(confidence), sum(corners[1].x) FROM plates
    JOIN images USING (run_id, uri)
"""


def repeat(samples: Path, folder: Path, copies: int) -> tuple[str, dict]:
    """An archive of so many copies of the samples' rows, and the record of the samples' own run."""
    known = ["--truth", str(samples / "truth.csv")]
    options = ["--output", str(folder / "once"), "--run-id", "samples", "--workers", "1"]
    record = read_plates.run([str(samples), *known, *options])
    run = Run("samples", str(folder / "archive"), "", "")
    files = []
    for table in ("images", "plates"):
        rows = read_table(record, str(folder / "once"), table)
        file = TableFile(table, run)
        for start in range(0, copies, AT_ONCE):
            numbers = range(start, min(copies, start + AT_ONCE))
            several = pa.concat_tables([rows] * len(numbers))
            folders = pa.array([f"{number:07d}" for number in numbers for _ in range(len(rows))])
            names = pc.replace_substring_regex(several["uri"], ".*/", "")
            uris = pc.binary_join_element_wise("/archive", folders, names, "/")
            place = several.schema.get_field_index("uri")
            several = several.set_column(place, several.schema.field(place), uris)
            for batch in several.combine_chunks().to_batches():
                file.add(batch)
        files.append(vars(file.close()))
    for table in SCHEMAS.keys() - {file["table"] for file in files}:
        files.append(vars(write_table(table, [], run)))
    write_record({**record, "files": files}, run.output)
    return run.output, record


def write_truth(samples: Path, file: Path, copies: int) -> None:
    """The truth of so many copies."""
    with (samples / "truth.csv").open() as source, file.open("w", newline="") as target:
        header, *rows = csv.reader(source)
        writer = csv.writer(target)
        writer.writerow(header)
        for number in range(copies):
            writer.writerows([f"{number:07d}/{row[0]}", *row[1:]] for row in rows)


def timed(command: Sequence[str]) -> tuple[float, float, float, str]:
    """(seconds, seconds of processor time, peak megabytes, what it printed) of a command."""
    start = time.monotonic()
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    printed = process.stdout.read()
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(f"{command} ended with {status}")
    seconds = time.monotonic() - start
    return seconds, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024, printed


def _alike(value: float | None, other: float | None) -> bool:
    """Whether they are the same but for the rounding of a quotient."""
    return value == other if value is None or other is None else math.isclose(value, other)


def main() -> int:
    """Make the archive, evaluate it, print the figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("samples", type=Path)
    parser.add_argument("--images", type=int, default=1_000_000)
    parser.add_argument("--known", type=int, nargs="+", default=[1_000, 1_000_000])
    arguments = parser.parse_args()
    wrong = 0
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        pictures = len(list(arguments.samples.glob("*.jpg")))
        copies = max(1, arguments.images // pictures)
        archive, record = repeat(arguments.samples, folder, copies)
        once = {
            (row["slice"], row["metric"]): row["value"]
            for row in read_table(record, str(folder / "once"), "metrics").to_pylist()
        }
        start = time.process_time()
        connect(open_archive(archive)).execute(SCAN).fetchall()
        scan = time.process_time() - start
        print(f"{copies * pictures} images; the scan takes {scan:.1f} s of processor time\n")
        print(
            "| known pictures | s | processor time, s | of the scan | peak memory, MB "
            "| values that differ |\n|---|---|---|---|---|---|"
        )
        for known in arguments.known:
            truth = folder / "truth.csv"
            write_truth(arguments.samples, truth, max(1, known // pictures))
            command = ["platebeam", "evaluate", archive, "--truth", str(truth), "--format", "json"]
            seconds, cost, peak, printed = timed([*command, "--output", str(folder / "kept")])
            found = {(row["slice"], row["metric"]): row["value"] for row in json.loads(printed)}
            unlike = sum(not _alike(found[key], value) for key, value in once.items())
            wrong += unlike
            shown = max(1, known // pictures) * pictures
            times = f"{seconds:.0f} | {cost:.0f} | {cost / scan:.0f}"
            print(f"| {shown} | {times} | {peak:.0f} | {unlike} |", flush=True)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
