"""How soon does `platebeam query` find a plate among ten million, and in how much memory?

    python benchmarks/query.py FOLDER [--plates 10000000] [--rounds 5]

Writes a committed run of synthetic plates, and of the pictures they are on, into FOLDER unless it
holds one, and asks it. All questions and two plain scans of the same files by DuckDB take turns in
one process, each from opening the folder on; the median of the rounds counts. Ratios are of
processor time, which other work on the machine disturbs less. Then each question is asked by a
process of its own, whose peak memory the operating system tells.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from pipelines import query
from pipelines.archive import connect, open_archive
from pipelines.commit import RunPlan, make_record, utc_now
from pipelines.run_record import read_record, write_record
from pipelines.schemas import BOX, SCHEMAS
from pipelines.tables import ROWS_AT_ONCE, DataFile, Run, TableFile, write_table

RUN_ID = "synthetic"
LAYOUTS = ("LLDDLLL", "LLLDDDD", "LLLDLDD", "LLDDDLL", "DLLLDDD", "LLLDDD", "LLDDDDLL", "DDDLLL")
LETTERS = np.frombuffer(b"ABCDEFGHIJKLMNOPQRSTUVWXYZ", np.uint8)
DIGITS = np.frombuffer(b"0123456789", np.uint8)
SIGNS = np.concatenate([DIGITS, LETTERS])
MISREAD = np.frombuffer(bytes.maketrans(b"0OQD1I8B96MNVY", b"O0OQI1B889NMYV"), np.uint8)
VEHICLES = 4_000_000
"""That the plates belong to, so that most are seen again."""
MISREAD_SHARE = 0.1
ALTERNATIVES = 10
PICTURES_AT_ONCE = 40_000
PICTURES_A_FILE = 400_000

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]
Codes = npt.NDArray[np.uint8]


def texts(codes: Codes, lengths: Integers) -> pa.Array:
    """Strings of so many ASCII codes each, which lie behind one another."""
    ends = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32)
    data = np.ascontiguousarray(codes)
    return pa.StringArray.from_buffers(len(lengths), pa.py_buffer(ends), pa.py_buffer(data))


def signs(codes: Codes) -> pa.Array:
    """Strings of one character."""
    return texts(codes, np.ones(codes.size, np.int64))


def hashes(rng: np.random.Generator, rows: int, digits: int) -> pa.Array:
    """Strings of so many hex digits."""
    data = np.frombuffer(rng.bytes(rows * digits // 2).hex().encode(), np.uint8)
    return texts(data, np.full(rows, digits))


def lists(kind: pa.ListType, lengths: Integers, *fields: Any) -> pa.Array:
    """Lists of so many structures each, whose fields lie behind one another."""
    ends = pa.array(np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32))
    return pa.ListArray.from_arrays(ends, structures(kind.value_type, *fields), type=kind)


def structures(kind: pa.StructType, *fields: Any) -> pa.Array:
    """Structures of these fields."""
    return pa.StructArray.from_arrays([pa.array(field) for field in fields], fields=list(kind))


def shares(rng: np.random.Generator, *shape: int) -> Floats:
    """Probabilities that are small mostly, as a reader's: of 32 bits."""
    return rng.beta(0.1, 3, shape).astype(np.float32).astype(np.float64)


def batch(table: str, rows: int, **columns: Any) -> pa.RecordBatch:
    """Rows of a table; columns that are not given are null."""
    schema = SCHEMAS[table]
    columns["run_id"] = pa.array([RUN_ID] * rows)
    values = [
        pa.array(columns[field.name]).cast(field.type)
        if field.name in columns
        else pa.nulls(rows, field.type)
        for field in schema
    ]
    return pa.RecordBatch.from_arrays(values, schema=schema)


def draw_vehicles(rng: np.random.Generator) -> tuple[Codes, Integers]:
    """The plates of all vehicles: codes of shape (VEHICLES, longest), and their lengths."""
    layout = rng.integers(len(LAYOUTS), size=VEHICLES)
    codes = np.zeros((VEHICLES, max(map(len, LAYOUTS))), np.uint8)
    for number, pattern in enumerate(LAYOUTS):
        chosen = np.flatnonzero(layout == number)
        for place, kind in enumerate(pattern):
            codes[chosen, place] = rng.choice(LETTERS if kind == "L" else DIGITS, len(chosen))
    return codes, np.array([len(pattern) for pattern in LAYOUTS])[layout]


def image_rows(rng: np.random.Generator, first: int, plates: Integers) -> pa.RecordBatch:
    """A picture a row, numbered from `first`, with so many plates each."""
    rows = len(plates)
    numbers = np.arange(first, first + rows)
    kinds = {field.name: field.type for field in SCHEMAS["images"]}
    camera = [f"c{number % 20:02d}" for number in numbers]
    uris = [f"s3://archive/2025/{c}/{n:09d}.jpg" for c, n in zip(camera, numbers, strict=True)]
    taken = np.datetime64("2025-01-01", "us") + (4_000_000 * numbers).astype("timedelta64[us]")
    return batch(
        "images",
        rows,
        uri=uris,
        sha256=hashes(rng, rows, 64),
        source_version=hashes(rng, rows, 32),
        bytes=rng.integers(200_000, 900_000, rows),
        width=np.full(rows, 1920),
        height=np.full(rows, 1080),
        format=["JPEG"] * rows,
        captured_at=taken,
        labels=pa.array([[("camera", one)] for one in camera], kinds["labels"]),
        status=["read"] * rows,
        plates_found=plates,
        plates_read=plates,
        milliseconds=structures(
            kinds["milliseconds"],
            *rng.gamma(4, 3, (len(list(kinds["milliseconds"])), rows)).round(3),
        ),
    )


def plate_rows(
    rng: np.random.Generator,
    pictures: pa.RecordBatch,
    plates: Integers,
    vehicles: tuple[Codes, Integers],
) -> pa.RecordBatch:
    """The plates of pictures, drawn from the vehicles; some are misread, some unreadable."""
    rows = int(plates.sum())
    kinds = {field.name: field.type for field in SCHEMAS["plates"]}
    picture = np.repeat(np.arange(len(plates)), plates)
    vehicle = rng.integers(VEHICLES, size=rows)
    codes, lengths = (of_all[vehicle] for of_all in vehicles)
    place = (rng.random(rows) * lengths).astype(np.int64)
    misread = np.flatnonzero(rng.random(rows) < MISREAD_SHARE)
    codes[misread, place[misread]] = MISREAD[codes[misread, place[misread]]]
    used = np.arange(codes.shape[1]) < lengths[:, None]
    text = texts(codes[used], lengths)
    confidence = 1 - rng.beta(0.3, 4, rows)
    readable = confidence > 0.5

    x, y, width = rng.uniform(100, 1500, rows), rng.uniform(100, 900, rows), rng.gamma(9, 20, rows)
    corners = np.stack([x, y, x + width, y, x + width, y + width / 4, x, y + width / 4], axis=1)
    corners = (corners + rng.normal(0, 2, corners.shape)).reshape(-1, 2)

    count = int(lengths.sum())
    order = np.arange(count) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    pitch = np.repeat(width / lengths, lengths)
    sure = 1 - shares(rng, count)
    choices = np.stack([codes[used], rng.choice(SIGNS, count), rng.choice(SIGNS, count)], axis=1)
    choice_shares = np.stack([sure, 1 - sure, (1 - sure) / 9], axis=1)

    others = np.repeat(codes[:, None], ALTERNATIVES, axis=1)
    others[:, np.arange(1, ALTERNATIVES), rng.integers(6, size=ALTERNATIVES - 1)] = rng.choice(
        SIGNS, (rows, ALTERNATIVES - 1)
    )
    likely = np.sort(shares(rng, rows, ALTERNATIVES), axis=1)[:, ::-1]
    likely[:, 0] = confidence

    return batch(
        "plates",
        rows,
        read_id=hashes(rng, rows, 32),
        uri=pictures["uri"].take(pa.array(picture)),
        image_sha256=pictures["sha256"].take(pa.array(picture)),
        index=np.arange(rows) - np.repeat(np.cumsum(plates) - plates, plates),
        status=np.where(readable, "read", "unreadable"),
        text=pc.if_else(pa.array(readable), text, None),
        text_raw=text,
        edits=pa.array([[]] * rows, kinds["edits"]),
        confidence=confidence,
        detection_score=rng.beta(8, 1, rows),
        corners=lists(kinds["corners"], np.full(rows, 4), *corners.T),
        box=structures(BOX, x, y, width, width / 4),
        characters=lists(
            kinds["characters"],
            lengths,
            signs(codes[used]),
            sure,
            signs(codes[used]),
            structures(
                BOX, np.repeat(x, lengths) + pitch * order, np.repeat(y, lengths), pitch, 2 * pitch
            ),
            lists(
                kinds["characters"].value_type.field("alternatives").type,
                np.full(count, 3),
                signs(choices.ravel()),
                choice_shares.ravel(),
            ),
        ),
        alternatives=lists(
            kinds["alternatives"],
            np.full(rows, ALTERNATIVES),
            texts(
                others[np.repeat(used[:, None], ALTERNATIVES, axis=1)],
                np.repeat(lengths, ALTERNATIVES),
            ),
            likely.ravel(),
        ),
        crop_sha256=hashes(rng, rows, 64),
    )


def write_run(folder: str, plates: int) -> None:
    """Commit a run of so many plates: every other picture has two, the others one."""
    rng = np.random.default_rng(0)
    vehicles = draw_vehicles(rng)
    run = Run(RUN_ID, folder, "synthetic", "synthetic")
    plan = RunPlan(
        run, utc_now(), 0, 1.0, {"name": "synthetic", "sha256": ""}, {"sha256": ""}, {}, ""
    )
    files: list[DataFile] = []
    pictures = written = 0
    while written < plates:
        tables = {table: TableFile(table, run) for table in ("images", "plates")}
        for _ in range(PICTURES_A_FILE // PICTURES_AT_ONCE):
            found = np.tile([1, 2], PICTURES_AT_ONCE // 2)
            found = found[np.cumsum(found) <= plates - written]
            images = image_rows(rng, pictures, found)
            for table, rows in (
                ("images", images),
                ("plates", plate_rows(rng, images, found, vehicles)),
            ):
                for start in range(0, rows.num_rows, ROWS_AT_ONCE):
                    tables[table].add(rows.slice(start, ROWS_AT_ONCE))
            pictures += len(found)
            written += int(found.sum())
        files += [table.close() for table in tables.values()]
    files += [write_table(table, [], run) for table in SCHEMAS.keys() - {"images", "plates"}]
    counts = Counter(
        {("inputs",): pictures, ("images", "read"): pictures, ("plates", "found"): written}
    )
    write_record(make_record(plan, counts, [], files), folder)


def ask(folder: str, *question: str) -> None:
    """Ask as the command does."""
    if query.main([folder, *question, "--output", os.devnull, "--format", "csv"]):
        raise SystemExit("the question was not answered")


def scan(folder: str, sql: str) -> None:
    """Ask DuckDB itself."""
    connect(open_archive(folder)).sql(sql).fetchall()


def seconds(action: Callable[[], None]) -> tuple[float, float]:
    """How long it takes, and how long on processors, all threads together."""
    wall, processor = time.perf_counter(), time.process_time()
    action()
    return time.perf_counter() - wall, time.process_time() - processor


def alone(folder: str, *question: str) -> tuple[float, float]:
    """(seconds, peak megabytes) of a process that asks the one question."""
    command = [sys.executable, "-m", "pipelines.query", folder, *question, "--format=csv"]
    start = time.perf_counter()
    process = subprocess.Popen(
        command, stdout=subprocess.DEVNULL, cwd=Path(__file__).resolve().parents[1]
    )
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise SystemExit("the question was not answered")
    return time.perf_counter() - start, usage.ru_maxrss / 1024


def main() -> None:
    """Write the run, ask, print the figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--plates", type=int, default=10_000_000)
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    folder = str(arguments.folder.resolve())
    if read_record(folder, RUN_ID) is None:
        write_run(folder, arguments.plates)
    database = connect(open_archive(folder))
    ((plate, rows),) = database.sql("SELECT min(text), count(*) FROM plates").fetchall()
    size = sum(file.stat().st_size for file in Path(folder).rglob("*.parquet"))
    print(f"{rows} plates, {size / 1e9:.1f} GB, load {os.getloadavg()[0]:.1f}\n")
    scans = {
        "scan: the length of all texts": "SELECT sum(length(text)) FROM plates",
        "scan: an equality": f"SELECT count(*) FROM plates WHERE text = '{plate}'",
    }
    questions = {
        "a plate": ("--plate", plate),
        "wildcards": ("--plate", "AB?1*"),
        "distance 1": ("--like", plate),
    }
    actions = {name: partial(scan, folder, sql) for name, sql in scans.items()}
    actions |= {name: partial(ask, folder, *question) for name, question in questions.items()}
    taken: dict[str, list[tuple[float, float]]] = {name: [] for name in actions}
    for _ in range(arguments.rounds):
        for name, action in actions.items():
            taken[name].append(seconds(action))
    medians = {
        name: tuple(map(statistics.median, zip(*taken[name], strict=True))) for name in actions
    }
    processes = {name: alone(folder, *question) for name, question in questions.items()}
    print("| | s | least | on processors, s | in scans | in equalities | process, s | MB |")
    print("|---|---|---|---|---|---|---|---|")
    for name, (wall, processor) in medians.items():
        least = min(taken[name])[0]
        ratios = " | ".join(f"{processor / medians[one][1]:.2f}" for one in scans)
        whole = "{:.1f} | {:.0f}".format(*processes[name]) if name in processes else "– | –"
        print(f"| {name} | {wall:.2f} | {least:.2f} | {processor:.2f} | {ratios} | {whole} |")
    print(f"\nload afterwards {os.getloadavg()[0]:.1f}")


if __name__ == "__main__":
    main()
