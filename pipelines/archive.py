"""The committed runs of an output folder as views of a DuckDB database.

Only files that a run record lists are read, and nothing else can be: neither what a crashed job
left behind, nor other files of this machine, whatever SQL is run.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any

import duckdb
import pyarrow as pa
from fsspec.implementations.local import LocalFileSystem

from pipelines.option_types import place
from pipelines.pictures import ImageStatus
from pipelines.redact import redact
from pipelines.run_record import RecordError, check_fields, read_records, record_name
from pipelines.schemas import SCHEMA_VERSION, SCHEMAS
from pipelines.uris import (
    add_storage_options,
    is_in_archive,
    open_store,
    output_folder,
    reason_of,
    use_storage_options,
)

MEMORY_LIMIT = "1500MB"
"""Of DuckDB's own buffers; the process takes some hundred MB besides."""

RUN_COUNTS = (
    "inputs",
    "unchanged",
    *(status.value for status in ImageStatus),
    "plates_found",
    "plates_read",
    "truths",
)
"""Those counts of a run record that are columns of the view `runs`."""

RECORD_FIELDS: Mapping[str, type] = {
    **dict.fromkeys(("run_id", "schema_version", "state", "started_at", "finished_at"), str),
    **{f"counts.{name}": int for name in RUN_COUNTS},
    **dict.fromkeys(("bundle.sha256", "config.sha256", "code_version"), str),
    **{"labels_not_sliced": list, "files": list, "libraries": dict, "options": dict},
}
"""What every record must hold to be asked; `pipelines.commit` describes all of it."""

FILE_FIELDS = {"table": str, "path": str, "rows": int, "bytes": int, "sha256": str}
"""The same of each of its files."""

RUNS = pa.schema(
    [
        ("run_id", pa.string()),
        ("state", pa.string()),
        ("started_at", pa.timestamp("s", "UTC")),
        ("finished_at", pa.timestamp("s", "UTC")),
        *((name, pa.int64()) for name in RUN_COUNTS),
        ("bundle_name", pa.string()),
        ("bundle_sha256", pa.string()),
        ("config_sha256", pa.string()),
        ("code_version", pa.string()),
    ]
)
"""The columns of the view `runs`: a row is a run record."""

CHARACTERS = """
    CREATE VIEW characters AS
    SELECT run_id, read_id, uri, "index", generate_subscripts(characters, 1) - 1 AS position,
        unnest(characters, max_depth := 2)
    FROM plates
"""

VIEWS = (*SCHEMAS, "characters", "runs")

SUSPECT = "a data file may be lost or damaged: `platebeam verify OUTPUT --sample 0` names it"


class ArchiveError(ValueError):
    """An output folder that cannot be asked; the message says why and what to do."""


class DataFileError(OSError):
    """A data file that is lost or damaged; the message names it."""


@dataclass(frozen=True)
class Archive:
    """Committed runs of an output folder, the earliest first.

    Attributes:
        output: the folder's canonical URI.
        records: the runs' records.
    """

    output: str
    records: tuple[Mapping[str, Any], ...]

    def files(self, table: str) -> list[str]:
        """The URIs of a table's files, without those that hold no rows if any holds some."""
        listed = [
            file for record in self.records for file in record["files"] if file["table"] == table
        ]
        full = [file for file in listed if file["rows"]]
        return [f"{self.output}/{file['path']}" for file in full or listed[:1]]


def open_archive(output: str, runs: Sequence[str] = ()) -> Archive:
    """Read the records of an output folder.

    Args:
        output: the folder that `read` wrote to.
        runs: the ids of the runs to look at (default: all that are committed).

    Raises:
        ArchiveError: no run was committed there, or not these, or one by another platebeam, or a
            record lacks something.
    """
    output = output_folder(output)
    if is_in_archive(output):
        raise ArchiveError(f"{redact(output)} is inside of an archive: unpack it first")
    try:
        records = read_records(output)
    except RecordError as error:
        raise ArchiveError(str(error)) from error
    except Exception as error:  # a store's driver raises what it likes
        raise ArchiveError(f"cannot read {redact(output)}: {str(error) or repr(error)}") from error
    if not records:
        raise ArchiveError(f"no run is committed in {redact(output)}")
    for record in records:
        _check_record(output, record)
    records.sort(key=lambda record: str(record["started_at"]))
    known = {record["run_id"]: record for record in records}
    unknown = [run for run in runs if run not in known]
    if unknown:
        named = redact(output)
        raise ArchiveError(
            f"{named} has no run {', '.join(unknown)}; `platebeam runs {named}` lists them"
        )
    return Archive(output, tuple(known[run] for run in known if not runs or run in runs))


def _check_record(output: str, record: Mapping[str, Any]) -> None:
    """Check that a record is whole, and of this version of the tables.

    Raises:
        ArchiveError: it is not.
    """
    version = record.get("schema_version")
    if version is not None and version != SCHEMA_VERSION:
        raise ArchiveError(
            f"run {record.get('run_id')} has tables of version {version}, this platebeam reads "
            f"version {SCHEMA_VERSION}"
        )
    try:
        check_fields(record, output, RECORD_FIELDS, FILE_FIELDS)
    except RecordError as error:
        raise ArchiveError(str(error)) from error
    name = record_name(record, output)
    lost = SCHEMAS.keys() - {file["table"] for file in record["files"]}
    if lost:
        raise ArchiveError(f"{name}: files has none of {', '.join(sorted(lost))}")
    for field in ("started_at", "finished_at"):
        try:
            _time(record[field])
        except (ValueError, OverflowError):
            raise ArchiveError(f"{name}: {field} is no time") from None


def connect(archive: Archive) -> duckdb.DuckDBPyConnection:
    """An in-memory database with the views `images`, `plates`, `characters`, `truths`, `metrics`,
    `confusions` and `runs`.

    `characters` has a row for each character of a plate: `position` counts from 0, the other
    columns are those of the entries of `plates.characters`. `runs` has RUNS' columns. Nothing but
    the archive's files can be opened through it, and its settings are locked.

    Raises:
        DataFileError: a file is lost, or one that tells a view's columns is damaged.
    """
    fs, _ = open_store(archive.output)
    is_local = isinstance(fs, LocalFileSystem)
    database = duckdb.connect(
        config={
            "memory_limit": MEMORY_LIMIT,
            "temp_directory": "",  # else it writes plates into the working folder when short of it
            "autoinstall_known_extensions": False,
            "autoload_known_extensions": False,
        }
    )
    if not is_local:
        database.register_filesystem(fs)
    readable = []
    for table in SCHEMAS:
        paths = [duckdb_path(path) for path in archive.files(table)]
        patterns = [escape(path) for path in paths]
        try:
            database.read_parquet(patterns).create_view(table)
            if table == "plates":
                database.execute(CHARACTERS)
        except (duckdb.Error, OSError) as error:
            told = str(error).partition("\n")[0] or repr(error)
            raise DataFileError(f"table {table}: {told}") from error
        readable += [*paths, *patterns]
    database.register("runs", runs_table(archive))
    database.execute("SET TimeZone = 'UTC'")  # that of times without one, and of the sources'
    database.execute("SET allowed_paths = $1", [readable])
    database.execute("SET enable_external_access = false")
    database.execute("SET lock_configuration = true")
    return database


def told_of(error: Exception) -> str:
    """What went wrong; of DuckDB's errors, which name no file, with what names it."""
    text = str(error) or repr(error)
    return f"{text.partition(chr(10))[0]}; {SUSPECT}" if isinstance(error, duckdb.Error) else text


def duckdb_path(uri: str) -> str:
    """A file's URI as DuckDB names it."""
    fs, path = open_store(uri)
    return path if isinstance(fs, LocalFileSystem) else str(fs.unstrip_protocol(path))


def escape(path: str) -> str:
    """A path without signs that DuckDB would take for a pattern."""
    return re.sub(r"([*?\[])", r"[\1]", path)


def runs_table(archive: Archive) -> pa.Table:
    """The records as a table of RUNS' columns."""
    rows = [
        {
            **{name: record.get(name) for name in ("run_id", "state", "code_version")},
            **{name: _time(record[name]) for name in ("started_at", "finished_at")},
            **{name: record["counts"][name] for name in RUN_COUNTS},
            "bundle_name": record["bundle"].get("name"),
            "bundle_sha256": record["bundle"]["sha256"],
            "config_sha256": record["config"]["sha256"],
        }
        for record in archive.records
    ]
    return pa.Table.from_pylist(rows, RUNS)


def add_archive_arguments(parser: argparse.ArgumentParser) -> None:
    """Give a command OUTPUT, `--run` and `--storage-options`; see `archive_of`."""
    parser.add_argument(
        "output", type=place, metavar="OUTPUT", help="the folder that `read` wrote to"
    )
    parser.add_argument(
        "--run",
        action="append",
        default=[],
        metavar="RUN_ID",
        help="only this run; may be repeated (default: all that are committed)",
    )
    add_storage_options(parser)


def parse_arguments(
    parser: argparse.ArgumentParser, argv: Sequence[str] | None
) -> argparse.Namespace:
    """The options of a command, without repeating words that it does not know.

    They may be the rest of a plate that was given with spaces and without quotes.
    """
    arguments, unknown = parser.parse_known_args(argv)
    if unknown:
        options = [word.partition("=")[0] for word in unknown if word.startswith("--")]
        parser.error(
            f"there is no option {options[0]}"
            if options
            else "too many arguments: a text with spaces needs quotes"
        )
    return arguments


def path_beside(archive: Archive, uri: str) -> str:
    """The canonical URI of what a command is to write, which no archive may hold.

    Raises:
        ArchiveError: it is in the archive's folder, or in no store that can be opened.
    """
    path = output_folder(uri)
    try:
        open_store(path)
    except Exception as error:  # a store's driver raises what it likes
        raise ArchiveError(f"cannot write {redact(uri)}: {reason_of(error)}") from error
    if f"{path}/".startswith(f"{archive.output}/"):
        raise ArchiveError(
            f"--output {redact(uri)} is in {redact(archive.output)}: name a folder outside it"
        )
    return path


def archive_of(arguments: argparse.Namespace) -> Archive:
    """The archive that a command's options name.

    Raises:
        ArchiveError: see `open_archive`.
    """
    use_storage_options(arguments.storage_options)
    return open_archive(arguments.output, arguments.run)


def _time(text: str) -> datetime:
    return datetime.fromisoformat(text).astimezone(timezone.utc)
