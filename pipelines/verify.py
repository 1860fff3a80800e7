"""`platebeam verify`: whether committed runs are still what they were, and come out the same again.

Every data file is compared with its run record, the record with what the tables hold, the bundle
with its hash; and a sample of the pictures is fetched and read again with the bundle, the
configuration and the options of the run. What differs is told apart.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import math
import secrets
import sys
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from enum import Enum
from typing import IO, Any

import duckdb
import pyarrow.parquet as pq
from tqdm import tqdm

from lpr_core.bundle import BundleError, MissingBundleError
from lpr_core.plate_reader import ReaderConfig
from pipelines.archive import (
    Archive,
    DataFileError,
    add_archive_arguments,
    archive_of,
    connect,
    parse_arguments,
)
from pipelines.cli import code_version
from pipelines.commit import library_versions
from pipelines.option_types import number, whole_number
from pipelines.pictures import ImageStatus, LoadedPicture, PictureResult
from pipelines.progress import worker_chatter_kept
from pipelines.provenance import (
    SourceState,
    add_bundle_folders,
    config_of,
    find_bundle,
    limits_of,
    load_again,
    refuse_pseudonyms,
    source_state,
)
from pipelines.pseudonyms import is_public
from pipelines.run_record import RecordError, hash_and_size
from pipelines.shared_reader import SharedReader
from pipelines.stages import STAGES, Limits, StageFn
from pipelines.summary import print_aligned
from pipelines.tables import Row, Run, image_rows, plate_rows
from pipelines.uris import open_store

PIXELS = 0.5
"""How far corners and boxes may lie from where they were."""

IN_PIXELS = frozenset({"x", "y", "width", "height"})

NOT_OF_THE_PICTURE = frozenset(
    {"run_id", "source_version", "captured_at", "labels", "message", "milliseconds"}
)
"""Columns of `images` that a manifest, a store or the moment decides."""

DRAW = """
    WITH drawn AS (
        SELECT * FROM images SEMI JOIN runs USING (run_id) WHERE stage IS DISTINCT FROM 'input'
        ORDER BY md5(concat_ws(chr(0), $seed, run_id, uri)), uri LIMIT $sample
    ), kept AS (
        SELECT * EXCLUDE (crop), sha256(crop) AS kept_sha256 FROM plates
    ), found AS (
        SELECT run_id, uri, list(kept ORDER BY "index") AS plates
        FROM kept SEMI JOIN drawn USING (run_id, uri) GROUP BY run_id, uri
    )
    SELECT * FROM drawn LEFT JOIN found USING (run_id, uri)
"""
"""Rows of `images` with their plates. Those that failed as inputs name no picture, and an edited
one may name no run."""

COUNT = """
    SELECT run_id, status AS counted, count(*) FROM images GROUP BY ALL
    UNION ALL SELECT run_id, 'plates_found', count(*) FROM plates GROUP BY run_id
    UNION ALL SELECT run_id, 'plates_read', count("text") FROM plates GROUP BY run_id
    UNION ALL SELECT run_id, 'truths', count(*) FROM truths GROUP BY run_id
"""
COUNTED = (*(status.value for status in ImageStatus), "plates_found", "plates_read", "truths")

SHOWN = 3
"""Differences of a thing that are printed; JSON holds all."""


class Answer(str, Enum):
    """What became of a thing since the run was committed."""

    SAME = "same"
    CHANGED_FILE = "changed_file"
    MISSING_FILE = "missing_file"
    UNREADABLE_FILE = "unreadable_file"
    CHANGED_RECORD = "changed_record"
    CHANGED_BUNDLE = "changed_bundle"
    MISSING_BUNDLE = "missing_bundle"
    CHANGED_SOURCE = "changed_source"
    MISSING_SOURCE = "missing_source"
    UNREADABLE_SOURCE = "unreadable_source"
    CHANGED_RESULT = "changed_result"
    UNCHECKED = "unchecked"


class Kind(str, Enum):
    """What can be verified."""

    FILE = "data files"
    RECORD = "run records"
    BUNDLE = "bundles"
    PICTURE = "pictures"


_OF_SOURCE = {
    SourceState.CHANGED: Answer.CHANGED_SOURCE,
    SourceState.MISSING: Answer.MISSING_SOURCE,
    SourceState.UNREADABLE: Answer.UNREADABLE_SOURCE,
}


@dataclass(frozen=True)
class Finding:
    """What verifying one thing came to.

    Attributes:
        run_id: the run it belongs to.
        kind: what it is.
        item: its name: a path in the output folder, a bundle's folder, a picture's URI.
        answer: what became of it.
        details: what differs; may hold texts of plates.
    """

    run_id: str
    kind: Kind
    item: str
    answer: Answer = Answer.SAME
    details: tuple[str, ...] = ()


@dataclass(frozen=True)
class Reading:
    """What a run's pictures are read again with.

    Attributes:
        limits: what a picture may cost.
        config: of the reader; None if pictures can only be fetched.
        bundle: where it lies, as `load_bundle` takes it.
        bundle_sha256: its hash.
    """

    limits: Limits
    config: ReaderConfig | None = None
    bundle: str | None = None
    bundle_sha256: str = ""


def verify(
    archive: Archive,
    sample: int,
    seed: int,
    tolerance: float = 1e-3,
    folders: Sequence[str] = (),
    progress_to: IO[str] | None = None,
) -> list[Finding]:
    """Compare runs with their records, and pictures with what was read of them.

    Args:
        archive: the runs.
        sample: how many rows of `images` to read again at most; none of tables of pseudonyms.
        seed: draws them: the same rows of the same tables, with any version of any library.
        tolerance: how much probabilities and scores may differ.
        folders: where bundles may lie, other than where the records say.
        progress_to: where to show how far it is, if that is a terminal (default: stderr).
    """
    findings = check_files(archive, progress_to)
    rows, counts = look_into(archive, findings, sample, seed)
    readings: dict[str, Reading] = {}
    for record in archive.records:
        findings.append(check_record(record, counts))
        if is_public(record):  # which tells neither pictures nor the bundle's place
            continue
        of_bundle, bundle = check_bundle(record, folders)
        findings.append(of_bundle)
        reading = Reading(Limits())
        with contextlib.suppress(RecordError):  # which is among the findings
            reading = Reading(limits_of(record))
            if of_bundle.answer is Answer.SAME:
                sha256 = record["bundle"]["sha256"]
                reading = Reading(reading.limits, config_of(record), bundle, sha256)
        readings[record["run_id"]] = reading
    return findings + check_pictures(rows, archive, readings, tolerance, progress_to)


def check_files(archive: Archive, progress_to: IO[str] | None = None) -> list[Finding]:
    """Compare every data file with its entry in the run record: size, rows and hash."""
    files = [(record["run_id"], file) for record in archive.records for file in record["files"]]
    total = sum(file["bytes"] for _, file in files)
    findings = []
    with tqdm(
        total=total, unit="B", unit_scale=True, file=progress_to, leave=False, disable=None
    ) as bar:
        for run_id, file in files:
            answer, details = _check_file(archive.output, file)
            findings.append(Finding(run_id, Kind.FILE, file["path"], answer, details))
            bar.update(file["bytes"])
    return findings


def _check_file(output: str, entry: Mapping[str, Any]) -> tuple[Answer, tuple[str, ...]]:
    try:
        fs, path = open_store(f"{output}/{entry['path']}")
        with fs.open(path, "rb") as file:
            sha256, size = hash_and_size(file)
            if size != entry["bytes"]:
                return Answer.CHANGED_FILE, (f"{entry['bytes']} bytes are now {size}",)
            if sha256 != entry["sha256"]:
                return Answer.CHANGED_FILE, (_was_is(entry["sha256"], sha256),)
            file.seek(0)
            rows = pq.ParquetFile(file).metadata.num_rows
    except FileNotFoundError:
        return Answer.MISSING_FILE, ("there is no such file",)
    except Exception as error:  # a store's driver raises what it likes
        return Answer.UNREADABLE_FILE, (type(error).__name__,)
    if rows != entry["rows"]:
        return Answer.CHANGED_FILE, (f"{entry['rows']} rows are now {rows}",)
    return Answer.SAME, ()


def _was_is(was: str, now: str) -> str:
    return f"sha256 was {was[:12]}…, is {now[:12]}…"


def look_into(
    archive: Archive, findings: Sequence[Finding], sample: int, seed: int
) -> tuple[list[Row], dict[str, Counter[str]]]:
    """Draw rows of `images`, and count what the tables hold of each run.

    Runs whose files are not all there are left out of both; those with changed files too, if these
    are no tables any more.

    Returns:
        The rows, each with its `plates`; and by run, how many there are of COUNTED.
    """
    lost = {Answer.MISSING_FILE, Answer.UNREADABLE_FILE}
    try:
        return _look_into(_without(archive, findings, lost), sample, seed)
    except (duckdb.Error, DataFileError):
        lost.add(Answer.CHANGED_FILE)
        return _look_into(_without(archive, findings, lost), sample, seed)


def _without(archive: Archive, findings: Sequence[Finding], answers: set[Answer]) -> Archive:
    runs = {finding.run_id for finding in findings if finding.answer in answers}
    kept = [record for record in archive.records if record["run_id"] not in runs]
    return replace(archive, records=tuple(kept))


def _look_into(
    archive: Archive, sample: int, seed: int
) -> tuple[list[Row], dict[str, Counter[str]]]:
    counts: dict[str, Counter[str]] = {record["run_id"]: Counter() for record in archive.records}
    if not counts:
        return [], counts
    with connect(archive) as database:
        for run_id, name, number in database.sql(COUNT).fetchall():
            counts.setdefault(run_id, Counter())[name] = number
        drawn = database.sql(DRAW, params={"seed": str(seed), "sample": sample})
        return drawn.to_arrow_table().to_pylist(), counts


def check_record(record: Mapping[str, Any], counts: Mapping[str, Counter[str]]) -> Finding:
    """Compare a record with its own hash and with the tables.

    Args:
        record: the run's record.
        counts: what the tables hold, by run; none of runs that cannot be asked.
    """
    run_id = record["run_id"]
    finding = Finding(run_id, Kind.RECORD, run_id)
    try:
        config_of(record)
        limits_of(record)
    except RecordError as error:
        return replace(finding, answer=Answer.CHANGED_RECORD, details=(str(error),))
    if run_id not in counts:
        detail = "its tables cannot be read: they were not counted, none of its pictures was drawn"
        return replace(finding, answer=Answer.UNCHECKED, details=(detail,))
    wrong = tuple(
        f"{record['counts'][name]} {name}, the tables hold {counts[run_id][name]}"
        for name in COUNTED
        if record["counts"][name] != counts[run_id][name]
    )
    if wrong:
        return replace(finding, answer=Answer.CHANGED_RECORD, details=wrong)
    return finding


def check_bundle(record: Mapping[str, Any], folders: Sequence[str]) -> tuple[Finding, str | None]:
    """Whether the bundle of a run is to be had, and where."""
    finding = Finding(record["run_id"], Kind.BUNDLE, record["bundle"]["location"] or "default")
    try:
        return finding, find_bundle(record, folders)
    except BundleError as error:
        is_missing = isinstance(error, MissingBundleError)
        answer = Answer.MISSING_BUNDLE if is_missing else Answer.CHANGED_BUNDLE
        return replace(finding, answer=answer, details=(str(error),)), None


def check_pictures(
    rows: Iterable[Row],
    archive: Archive,
    readings: Mapping[str, Reading],
    tolerance: float,
    progress_to: IO[str] | None = None,
) -> list[Finding]:
    """Fetch pictures and read them again.

    Args:
        rows: of `images`, each with its `plates`.
        archive: their runs.
        readings: by run, what to read with.
        tolerance: how much probabilities and scores may differ.
        progress_to: see `verify`.
    """
    by_reading: dict[Reading, list[Row]] = defaultdict(list)
    for row in rows:
        by_reading[readings[row["run_id"]]].append(row)
    records = {record["run_id"]: record for record in archive.records}
    findings = []
    total = sum(map(len, by_reading.values()))
    with tqdm(total=total, unit="picture", file=progress_to, leave=False, disable=None) as bar:
        for reading, alike in by_reading.items():
            uris = [row["uri"] for row in alike]
            for row, picture in zip(alike, read_again(uris, reading), strict=True):
                run_id, uri = row["run_id"], row["uri"]
                answer, details = compare(row, picture, records[run_id], tolerance)
                findings.append(Finding(run_id, Kind.PICTURE, uri, answer, details))
                bar.update()
    return findings


def read_again(uris: Sequence[str], reading: Reading) -> Iterator[LoadedPicture | PictureResult]:
    """Read pictures by the job's own steps, in this process; fetch them if that is all one can.

    Raises:
        BundleError: the bundle lacks a model.
        DecoderUnavailableError: no decoder can be started here.
    """
    steps: list[StageFn] = []
    if reading.config is not None:
        shared = SharedReader(reading.bundle, reading.bundle_sha256, reading.config)
        steps = [
            StageFn(stage, work, shared, reading.limits, keep_crops=False)
            for stage, work in STAGES.items()
        ]
    with contextlib.ExitStack() as stack:
        for step in steps:
            step.setup()
            stack.callback(step.teardown)
        for picture in load_again(uris, reading.limits):
            done: Any = picture
            for step in steps:
                (done,) = step.process(done)
            yield done


def compare(
    row: Row,
    picture: LoadedPicture | PictureResult,
    record: Mapping[str, Any],
    tolerance: float,
) -> tuple[Answer, tuple[str, ...]]:
    """What became of a picture, and what differs.

    Args:
        row: of `images`, with its `plates`.
        picture: fetched and read again; only fetched where it cannot be read.
        record: of the row's run.
        tolerance: how much probabilities and scores may differ.
    """
    failure = picture.failure if isinstance(picture, PictureResult) else None
    then = row["stage"] and f"{row['stage']}/{row['reason']}"
    now = failure and f"{failure.stage.value}/{failure.reason.value}"
    if row["sha256"] is None and then == now:
        return Answer.SAME, ()
    state = source_state(picture, row["sha256"])
    if row["sha256"] is None:
        return _OF_SOURCE[state], (f"{then} then, {now or 'it is there'} now",)
    if state is not SourceState.SAME:
        sha256 = picture.facts.sha256
        return _OF_SOURCE[state], (_was_is(row["sha256"], sha256) if sha256 else str(now),)
    if isinstance(picture, LoadedPicture):
        return Answer.UNCHECKED, ("there is nothing to read it with",)
    details = tuple(_row_differences(row, picture, record, tolerance))
    return (Answer.CHANGED_RESULT if details else Answer.SAME), details


def _row_differences(
    row: Row, result: PictureResult, record: Mapping[str, Any], tolerance: float
) -> Iterator[str]:
    run = Run.of(record, "")
    (image,) = image_rows(run, result)
    plates, again = row["plates"] or [], plate_rows(run, result)
    skipped = {*NOT_OF_THE_PICTURE, "crop"}
    if record.get("pseudonyms"):
        skipped.add("read_id")  # which is a token
    if record.get("purged"):  # of a plate that had to go nothing is known any more
        skipped |= {"plates_found", "plates_read", "alternatives"}
        left = {plate["index"] for plate in plates}
        again = [plate for plate in again if plate["index"] in left]
    for column, now in image.items():
        if column not in skipped:
            yield from differences(row[column], now, tolerance, column)
    if len(plates) != len(again):
        yield f"{len(plates)} plates are now {len(again)}"
        return
    for plate, same in zip(plates, again, strict=True):
        name = f"plate {same['index']}"
        # A hash knows no tolerance.
        moved = {"crop_sha256"} if plate["corners"] != same["corners"] else set()
        for column, now in same.items():
            if column not in skipped | moved:
                yield from differences(plate[column], now, tolerance, f"{name}: {column}")
        if plate["kept_sha256"] not in (None, plate["crop_sha256"]):
            yield f"{name}: the crop is not the one that its hash names"


def differences(was: Any, now: Any, tolerance: float, name: str) -> Iterator[str]:
    """What differs between two values of a column, each with its name.

    An alternative that one side lacks has the probability 0 there.
    """
    if name.endswith("alternatives") and isinstance(was, list):
        was, now = _probabilities(was), _probabilities(now)
        for text in {**was, **now}:
            yield from differences(was.get(text, 0.0), now.get(text, 0.0), tolerance, name)
    elif isinstance(was, dict) and isinstance(now, dict):
        for key in now:
            yield from differences(was.get(key), now[key], tolerance, f"{name}.{key}")
    elif isinstance(was, list) and isinstance(now, list) and len(was) == len(now):
        for index, pair in enumerate(zip(was, now, strict=True)):
            yield from differences(*pair, tolerance, f"{name}[{index}]")
    elif isinstance(was, float) and isinstance(now, float):
        allowed = PIXELS if name.rpartition(".")[2] in IN_PIXELS else tolerance
        if not math.isclose(was, now, rel_tol=0, abs_tol=allowed):
            yield f"{name} was {was:.6g}, is {now:.6g}"
    elif was != now:
        yield f"{name} was {was!r}, is {now!r}"


def _probabilities(alternatives: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    return dict(tuple(choice.values()) for choice in alternatives)


def main(argv: Sequence[str] | None = None) -> int:
    """Run `platebeam verify`.

    Returns:
        0: all is the same; 1: something is not; 2: it could not be found out.
    """
    parser = argparse.ArgumentParser(
        prog="platebeam verify",
        description="Compare runs with their records, and read a sample of their pictures again.",
    )
    add_archive_arguments(parser)
    parser.add_argument(
        "--sample",
        type=whole_number(0),
        default=500,
        metavar="N",
        help="pictures to fetch and read again (default: %(default)s)",
    )
    parser.add_argument(
        "--seed", type=int, help="draws the sample that this seed drew before (default: a new one)"
    )
    parser.add_argument(
        "--tolerance",
        type=number(0),
        default=1e-3,
        help="how much probabilities and scores may differ (default: %(default)s); corners and "
        f"boxes may by {PIXELS} pixels, all else by nothing",
    )
    add_bundle_folders(parser)
    parser.add_argument("--format", choices=["table", "json"], default="table")
    arguments = parse_arguments(parser, argv)
    seed = secrets.randbelow(2**32) if arguments.seed is None else arguments.seed
    try:
        archive = archive_of(arguments)
        if arguments.sample:
            refuse_pseudonyms(archive, ", or give --sample 0 to verify its files alone")
        options = arguments.sample, seed, arguments.tolerance, arguments.bundle
        with worker_chatter_kept() as stderr:
            findings = verify(archive, *options, progress_to=stderr)
    except Exception as error:  # a store's driver raises what it likes
        print(f"platebeam verify: {str(error) or repr(error)}", file=sys.stderr)
        return 2
    if arguments.format == "json":
        told = {"seed": seed, "findings": [asdict(finding) for finding in findings]}
        print(json.dumps(told, indent=1))
    else:
        print_findings(findings, archive, seed)
    return int(any(finding.answer is not Answer.SAME for finding in findings))


def print_findings(findings: Sequence[Finding], archive: Archive, seed: int) -> None:
    """Print how many answers there are of each kind, and a line for each that is not the same."""
    counts = Counter((finding.kind, finding.answer) for finding in findings)
    rows = [("what", "answer", "count")]
    rows += [
        (kind.value, answer.value, str(counts[kind, answer]))
        for kind in Kind
        for answer in Answer
        if counts[kind, answer]
    ]
    print_aligned(rows, names=2)
    different = [finding for finding in findings if finding.answer is not Answer.SAME]
    for finding in different:
        if (finding.kind, finding.answer) == (Kind.PICTURE, Answer.UNCHECKED):
            continue  # which the line of the bundle explains
        told = "; ".join(finding.details[:SHOWN])
        more = len(finding.details) - SHOWN
        told += f"; and {more} more" if more > 0 else ""
        print(f"{finding.answer.value}  {finding.item} (run {finding.run_id}): {told}")
    changed = {f.run_id for f in different if f.answer is Answer.CHANGED_RESULT}
    for record in archive.records:
        other = _other_software(record) if record["run_id"] in changed else ""
        if other:
            print(f"run {record['run_id']} was read with {other}")
    print(f"the sample was drawn with --seed {seed}")


def _other_software(record: Mapping[str, Any]) -> str:
    """What a run was read with that has another version here."""
    then = {"platebeam": record["code_version"], **record["libraries"]}
    now = {"platebeam": code_version(), **library_versions()}
    return ", ".join(
        f"{name} {version} (here {now.get(name)})"
        for name, version in then.items()
        if version != now.get(name)
    )


if __name__ == "__main__":
    sys.exit(main())
