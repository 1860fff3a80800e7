"""The run record: the mark that commits a run.

`runs/<run_id>.json` lists every data file with its rows and hash, says what made them, and counts
what became of every input. Only files that a record lists belong to the tables. The hashes find
accidents and edits; they do not stop someone who can rewrite the record. `pipelines.commit` makes
it; to read it needs no Beam, which takes seconds to import.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timezone
from typing import IO, Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pipelines.uris import is_object_store, make_parent, open_store

FORMAT = "platebeam-run"
FORMAT_VERSION = 2

HASHED_AT_ONCE = 2**20


class RecordError(ValueError):
    """A file among the run records that is none."""


def utc_now() -> str:
    """The time as the record writes it."""
    return datetime.now(timezone.utc).isoformat(timespec="seconds")


def record_path(output: str, run_id: str) -> str:
    """Where the record of a run lies."""
    return f"{output}/runs/{run_id}.json"


def write_record(record: Mapping[str, Any], output: str) -> None:
    """Write a record, whole or not at all."""
    fs, path = open_store(record_path(output, record["run_id"]))
    data = json.dumps(record, indent=1).encode()
    make_parent(fs, path)
    if is_object_store(fs):
        fs.pipe_file(path, data)
    else:
        fs.pipe_file(f"{path}.tmp", data)
        fs.mv(f"{path}.tmp", path)


def read_record(output: str, run_id: str) -> dict[str, Any] | None:
    """The record of a run, or None where it was not committed."""
    fs, path = open_store(record_path(output, run_id))
    if not fs.exists(path):
        return None
    record: dict[str, Any] = json.loads(fs.cat_file(path))
    return record


def read_records(output: str) -> list[dict[str, Any]]:
    """The records of all committed runs; none where there is no such folder.

    Raises:
        RecordError: a file among the records is none.
    """
    return list(each_record(output))


def each_record(output: str) -> Iterator[dict[str, Any]]:
    """The records of `read_records`, each read when it is asked for."""
    fs, root = open_store(output)
    for path in sorted(files_below(fs, f"{root}/runs")):
        if not path.endswith(".json"):
            continue
        try:
            record = json.loads(fs.cat_file(path))
            known = (record["format"], record["format_version"]) == (FORMAT, FORMAT_VERSION)
        except (ValueError, KeyError, TypeError):
            known = False
        if not known:
            raise RecordError(f"{path} is no record of a {FORMAT} of version {FORMAT_VERSION}")
        yield record


def hash_and_size(file: IO[bytes]) -> tuple[str, int]:
    """The sha256 of a file, as the record lists it, and its size in bytes."""
    sha256, size = hashlib.sha256(), 0
    while piece := file.read(HASHED_AT_ONCE):
        sha256.update(piece)
        size += len(piece)
    return sha256.hexdigest(), size


def files_below(fs: Any, folder: str) -> dict[str, dict[str, Any]]:
    """What a file system tells of the files below a folder, by path; none where there is no such.

    Raises:
        OSError: a folder cannot be listed, which fsspec's own `find` takes for an empty one: what
            its records commit would be nobody's.
    """

    def tell(error: Exception) -> None:
        if not isinstance(error, FileNotFoundError):
            raise error

    files: dict[str, dict[str, Any]] = {}
    for _, _, found in fs.walk(folder, detail=True, on_error=tell):
        files |= {info["name"]: info for info in found.values()}
    return files


def record_name(record: Mapping[str, Any], output: str) -> str:
    """Where a record lies, or in which folder where it lacks the id that tells."""
    run = record.get("run_id")
    return record_path(output, run) if isinstance(run, str) else f"a run record of {output}"


def check_fields(
    record: Mapping[str, Any],
    output: str,
    fields: Mapping[str, type],
    of_files: Mapping[str, type],
) -> None:
    """Check that a record holds fields, as `counts.read`, of these types, and each of its files.

    Raises:
        RecordError: one is not there, or not of its type; the message names the first.
    """
    wrong = _wrong_field(record, fields)
    for file in record["files"] if wrong is None else ():
        wrong = wrong or _wrong_field(file, of_files, "files[].")
    if wrong is not None:
        name = record_name(record, output)
        raise RecordError(f"{name} lacks {wrong}, or it is not what it should be")


def _wrong_field(record: Any, fields: Mapping[str, type], prefix: str = "") -> str | None:
    """The name of the first field that is not there with its type."""
    for field, kind in fields.items():
        value = record
        for name in field.split("."):
            value = value.get(name) if isinstance(value, Mapping) else None
        if not isinstance(value, kind):
            return f"{prefix}{field}"
    return None


def read_table(
    record: Mapping[str, Any],
    output: str,
    table: str,
    columns: Sequence[str] | None = None,
    rows: pc.Expression | None = None,
) -> pa.Table:
    """A table of a run, from the files that its record lists.

    Args:
        record: the run's record.
        output: the folder it lies in.
        table: its name, one of `schemas.SCHEMAS`.
        columns: the columns to read (default: all).
        rows: which rows to keep (default: all).
    """
    parts = []
    for entry in record["files"]:
        if entry["table"] == table:
            fs, path = open_store(f"{output}/{entry['path']}")
            with fs.open(path, "rb") as file:
                parts.append(pq.read_table(file, columns=columns, filters=rows))
    return pa.concat_tables(parts)
