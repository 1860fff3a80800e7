"""`platebeam query`: ask the committed runs of an output folder, by SQL or by ready questions.

What is looked for becomes a parameter of the SQL, never a part of it; of a user's own SQL a single
SELECT is run. The answer passes through in batches, however long it is.
"""

from __future__ import annotations

import argparse
import base64
import contextlib
import json
import math
import os
import re
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import IO, Any

import duckdb
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
from tabulate import tabulate

from lpr_core.score import normalise_text
from pipelines.archive import (
    SUSPECT,
    VIEWS,
    Archive,
    ArchiveError,
    DataFileError,
    add_archive_arguments,
    archive_of,
    connect,
    parse_arguments,
    path_beside,
)
from pipelines.manifests import parse_time
from pipelines.option_types import number, whole_number
from pipelines.pictures import ImageStatus
from pipelines.plate_search import candidate_pattern, plate_distance
from pipelines.pseudonyms import PseudonymError, is_public, pseudonyms_of, restricted_folder
from pipelines.uris import make_parent, open_store

SUFFIXES = {".csv": "csv", ".json": "json", ".parquet": "parquet", ".md": "markdown"}

BATCH_ROWS = 10_000
TABLE_ROWS = 1_000
"""Of a table at most, unless --limit says more: it is aligned when all of it is known."""

DISTANCE = 1.0
"""Of --like unless told otherwise: one error of any kind, or two confusions."""

WILDCARDS = "*?"
ALL = "all"
"""The slice of all pictures, as in the table `metrics`."""

CONDITIONS = {
    "plate": "text = $plate",
    "pattern": "text GLOB $pattern",
    "min_confidence": "confidence >= $min_confidence",
    "status": "images.status = $status",
    "since": "captured_at >= $since",
    "until": "captured_at < $until",
}
"""What has to hold, by the name of the parameter that it is given by."""

PLATE_COLUMNS = "confidence, plates.status, captured_at, uri, read_id, run_id"
IMAGE_COLUMNS = "uri, images.status, plates_found, plates_read, captured_at, run_id"
FAILURE_COLUMNS = "uri, stage, reason, message, captured_at, run_id"

LIKE = """(
    SELECT plates.*, distance FROM plates JOIN near ON text = near_text
    UNION ALL
    SELECT plates.*, distance FROM plates JOIN near ON text_raw = near_text WHERE text IS NULL
)"""
"""The plates whose text is in `near`, and the unreadable ones of which that much was seen. In two
parts, as only a join on a column itself spares reading the others for all plates."""

PROBABILITY = """
    CASE WHEN text = $like THEN confidence
    ELSE list_filter(alternatives, lambda other: other.text = $like)[1].probability END
"""

CANDIDATES = """
    SELECT text FROM plates WHERE regexp_matches(text, $pattern)
    UNION
    SELECT text_raw FROM plates WHERE regexp_matches(text_raw, $pattern)
"""

COLUMNS = """
    SELECT table_name AS "view", string_agg(column_name, ', ' ORDER BY ordinal_position) AS columns
    FROM information_schema.columns GROUP BY table_name ORDER BY list_position($views, table_name)
"""

HARMLESS_ERRORS = ("Parser", "Binder", "Catalog", "Permission", "IO", "HTTP", "Out of Memory")
"""DuckDB's errors that speak of the SQL and of files; others may quote a plate."""

DAMAGED_FILE = "No magic bytes found at end of file |File '.*' too small |Failed to read file "
"""How DuckDB begins to tell, as an Invalid Input Error, of a file that is no table any more."""


ERRORS_OF_SQL = (
    *("Parser", "Binder", "Catalog", "Conversion", "Invalid Input", "Out of Range"),
    "Out of Memory",
)
"""Others may come of a file that is lost or damaged, which DuckDB does not name."""


class QuestionError(ValueError):
    """A question that cannot be asked, or not be answered; the message says why."""


@dataclass(frozen=True)
class Question:
    """A SELECT statement, and what its parameters stand for."""

    sql: str
    parameters: dict[str, Any] = field(default_factory=dict)


def stored_text(archive: Archive, plate: str, key_file: str | None) -> str:
    """What stands in `plates.text` for a plate: its token where the tables are pseudonymised.

    Args:
        archive: whose tables are asked.
        plate: its text, in any spelling, or a pattern.
        key_file: of the tokens.

    Raises:
        QuestionError: there are tokens and no key, or a pattern, of which there is no token.
        PseudonymError: the key is another, or there are no tokens.
    """
    if key_file is None and not any(map(is_public, archive.records)):
        return plate
    if key_file is None:
        raise QuestionError("these tables hold tokens of plates: give --key KEYFILE")
    if any(sign in plate for sign in WILDCARDS):
        restricted = restricted_folder(archive.output)
        raise QuestionError(f"a token tells no part of its plate: ask {restricted}")
    return pseudonyms_of(archive.records, key_file).plate(plate)


def users_question(database: duckdb.DuckDBPyConnection, sql: str) -> Question:
    """A user's own SQL.

    Raises:
        QuestionError: it is not one SELECT statement.
    """
    with _errors_told():
        kinds = [statement.type for statement in database.extract_statements(sql)]
    if kinds != [duckdb.StatementType.SELECT]:
        raise QuestionError("--sql takes one SELECT statement and nothing else")
    return Question(sql)


def ready_question(
    database: duckdb.DuckDBPyConnection, archive: Archive, options: argparse.Namespace
) -> Question:
    """The question that the command's options ask: all of them have to hold.

    A row is a picture where nothing but pictures is asked for by their status, else a plate.
    """
    given = {"min_confidence": options.min_confidence, "status": options.status}
    given |= {"since": options.since, "until": options.until}
    if options.plate is not None:
        is_pattern = any(sign in options.plate for sign in WILDCARDS)
        given["pattern" if is_pattern else "plate"] = stored_text(
            archive, options.plate, options.key
        )
    parameters = {name: value for name, value in given.items() if value is not None}
    conditions = [CONDITIONS[name] for name in parameters]
    for i, (label, value) in enumerate(filter(None, options.slice)):
        conditions.append(f"labels[$label{i}] = $value{i}")
        parameters |= {f"label{i}": label, f"value{i}": value}
    holds = " AND ".join(conditions or ["true"])

    about_plates = options.like is not None or parameters.keys() & {
        *("plate", "pattern", "min_confidence")
    }
    if options.status and not about_plates:
        failed = options.status == ImageStatus.FAILED.value
        columns = FAILURE_COLUMNS if failed else IMAGE_COLUMNS
        return Question(f"SELECT {columns} FROM images WHERE {holds}", parameters)
    if options.like is None:
        found = "plates JOIN images USING (run_id, uri)"
        return Question(f"SELECT text, {PLATE_COLUMNS} FROM {found} WHERE {holds}", parameters)
    if stored_text(archive, options.like, options.key) != options.like:
        restricted = restricted_folder(archive.output)
        raise QuestionError(f"tokens of similar plates are not similar: ask {restricted}")
    database.register("near", near_texts(database, options.like, options.distance))
    return Question(
        f"SELECT text, text_raw, {PROBABILITY} AS probability, distance, {PLATE_COLUMNS} "
        f"FROM {LIKE} AS plates JOIN images USING (run_id, uri) WHERE {holds} "
        "ORDER BY probability DESC NULLS LAST, distance, confidence DESC, uri, read_id",
        parameters | {"like": options.like},
    )


def near_texts(database: duckdb.DuckDBPyConnection, text: str, within: float) -> pa.Table:
    """What plates say, or seem to say, that is near a text: `near_text` and its `distance`.

    See `plate_search` for what the distance means.
    """
    candidates = answer(
        database, Question(CANDIDATES, {"pattern": candidate_pattern(text, within)})
    )
    near = {
        candidate: distance
        for batch in candidates
        for candidate in batch.column(0).to_pylist()
        if (distance := plate_distance(text, candidate)) <= within
    }
    columns = pa.array(near.keys(), pa.string()), pa.array(near.values(), pa.float64())
    return pa.table(columns, ["near_text", "distance"])


def answer(database: duckdb.DuckDBPyConnection, question: Question) -> Iterator[pa.RecordBatch]:
    """The answer in batches, of which the first holds no rows and tells the columns.

    Intervals are texts in it, for which most formats have no type.

    Raises:
        QuestionError: the SQL is wrong, or came upon a value that it cannot take.
    """
    with _errors_told():
        relation = database.sql(question.sql, params=question.parameters)
        columns = zip(relation.columns, relation.types, strict=True)
        intervals = [_quoted(name) for name, kind in columns if str(kind) == "INTERVAL"]
        if intervals:
            texts = ", ".join(f"{name}::VARCHAR AS {name}" for name in intervals)
            relation = relation.project(f"* REPLACE ({texts})")
        reader = relation.to_arrow_reader(BATCH_ROWS)
        nothing = [pa.nulls(0, one.type) for one in reader.schema]
        yield pa.RecordBatch.from_arrays(nothing, schema=reader.schema)
        yield from reader


def _quoted(column: str) -> str:
    quoted = column.replace('"', '""')
    return f'"{quoted}"'


@contextlib.contextmanager
def _errors_told() -> Iterator[None]:
    """Tell DuckDB's errors in a line, without what they may quote from the tables."""
    try:
        yield
    except (duckdb.Error, OSError) as error:  # the latter: while its batches are read
        line = str(error).partition("\n")[0]
        kind, _, what = line.partition(" Error: ")
        is_harmless = kind in HARMLESS_ERRORS or re.match(DAMAGED_FILE, what)
        told = line if is_harmless else f"{kind} Error at a value that is not shown"
        raise QuestionError(told if kind in ERRORS_OF_SQL else f"{told}; {SUSPECT}") from error


def first_rows(
    batches: Iterable[pa.RecordBatch], rows: int, tell_cut: Callable[[], object]
) -> Iterator[pa.RecordBatch]:
    """So many rows at most; `tell_cut` is called if there are more."""
    for batch in batches:
        yield batch.slice(0, rows)
        if batch.num_rows > rows:
            tell_cut()
            return
        rows -= batch.num_rows


Rows = Iterable[pa.RecordBatch]


def write_parquet(schema: pa.Schema, rows: Rows, file: IO[bytes]) -> None:
    """Write rows as a Parquet file."""
    with pq.ParquetWriter(file, schema, compression="zstd") as parquet:
        for batch in rows:
            parquet.write_batch(batch)


def write_csv(schema: pa.Schema, rows: Rows, file: IO[bytes]) -> None:
    """Write rows as CSV; lists and the like as JSON in a field."""
    simple = pa.schema([(one.name, _csv_type(one.type)) for one in schema])
    with pa.csv.CSVWriter(file, simple) as lines:
        for batch in rows:
            columns = [_as_csv(column) for column in batch.columns]
            lines.write_batch(pa.RecordBatch.from_arrays(columns, schema=simple))


def write_json(schema: pa.Schema, rows: Rows, file: IO[bytes]) -> None:
    """Write rows as a JSON list of objects, one a line; what is no number is null."""
    before = "["
    for batch in rows:
        for row in batch.to_pylist(maps_as_pydicts="strict"):
            file.write(f"{before}\n{_json(row)}".encode())
            before = ","
    file.write(b"\n]\n" if before == "," else b"[]\n")


def write_table(schema: pa.Schema, rows: Rows, file: IO[bytes]) -> None:
    """Write rows as an aligned table."""
    cells = [[_cell(value) for value in row] for row in _values(rows)]
    # A plate such as 12E5 is no number, whatever it looks like.
    file.write(f"{tabulate(cells, schema.names, 'simple', disable_numparse=True)}\n".encode())


def write_markdown(schema: pa.Schema, rows: Rows, file: IO[bytes]) -> None:
    """Write rows as a table of Markdown."""
    cells = [[_cell(value).replace("|", "\\|") for value in row] for row in _values(rows)]
    file.write(f"{tabulate(cells, schema.names, 'github', disable_numparse=True)}\n".encode())


WRITERS = {
    "table": write_table,
    "markdown": write_markdown,
    "csv": write_csv,
    "json": write_json,
    "parquet": write_parquet,
}


def _values(rows: Rows) -> Iterator[tuple[Any, ...]]:
    for batch in rows:
        yield from zip(
            *(column.to_pylist(maps_as_pydicts="strict") for column in batch), strict=True
        )


def _csv_type(kind: pa.DataType) -> pa.DataType:
    types = pa.types
    tests = (types.is_integer, types.is_floating, types.is_boolean, types.is_temporal)
    return kind if any(test(kind) for test in tests) else pa.string()


def _as_csv(column: pa.Array) -> pa.Array:
    """A column as CSV can hold it: what is no number, time or text as JSON."""
    if _csv_type(column.type) == column.type:
        return column
    values = column.to_pylist(maps_as_pydicts="strict")
    return pa.array([None if value is None else _text(value) for value in values], pa.string())


def _cell(value: object) -> str:
    """A value in a table on a terminal: short, and without signs that steer the terminal."""
    if value is None:
        return ""
    text = f"{value:.6g}" if isinstance(value, float) else _text(value)
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def _text(value: object) -> str:
    return value if isinstance(value, str) else _json(value).strip('"')


def _json(value: object) -> str:
    try:
        return json.dumps(value, default=_plain, ensure_ascii=False, allow_nan=False)
    except ValueError:
        return json.dumps(_finite(value), default=_plain, ensure_ascii=False)


def _finite(value: object) -> object:
    """A value with null for infinite numbers and NaN, which JSON does not know."""
    if isinstance(value, dict):
        return {name: _finite(item) for name, item in value.items()}
    if isinstance(value, list):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _plain(value: object) -> object:
    """A value that JSON does not know."""
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    if isinstance(value, Decimal):
        return int(value) if value == value.to_integral_value() else float(value)
    return str(value)


@contextlib.contextmanager
def _opened(output: str | None) -> Iterator[IO[bytes]]:
    if output is None:
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
    else:
        fs, path = open_store(output)
        make_parent(fs, path)
        with fs.open(path, "wb") as file:
            yield file


def main(argv: Sequence[str] | None = None) -> int:
    """Run `platebeam query`.

    Returns:
        0; 2: the question cannot be asked, or not be answered, and one line says why.
    """
    parser = _parser()
    options = parse_arguments(parser, argv)
    ready = [name for name in READY if getattr(options, name) not in (None, [])]
    if options.sql is not None and ready:
        parser.error(f"--sql stands alone: --{ready[0].replace('_', '-')} can be a part of it")
    if options.key is not None and options.plate is None and options.like is None:
        parser.error("--key is for a --plate")
    if options.distance is not None and options.like is None:
        parser.error("--distance is for a --like")
    if options.distance is None:
        options.distance = DISTANCE
    if options.like is not None and options.distance >= len(options.like):
        parser.error("--distance: so far from that of --like is any plate; ask for less")
    if options.since and options.until and options.since >= options.until:
        parser.error("--until is before --since")
    suffix = os.path.splitext(options.write_to or "")[1]
    form = options.format or SUFFIXES.get(suffix, "table")
    if form == "parquet" and options.write_to is None and sys.stdout.isatty():
        parser.error("--format parquet is not for a terminal: give --output FILE")
    limit = options.limit or (TABLE_ROWS if form in ("table", "markdown") else sys.maxsize)
    try:
        archive = archive_of(options)
        write_to = options.write_to and path_beside(archive, options.write_to)
        database = connect(archive)
        if options.sql is not None:
            question = users_question(database, options.sql)
        elif ready:
            question = ready_question(database, archive, options)
        else:
            question = Question(COLUMNS, {"views": list(VIEWS)})
        batches = answer(database, question)
        schema = next(batches).schema  # what is wrong with the question shows before a file is made
        twice = [name for name, number in Counter(schema.names).items() if number > 1]
        if twice and form in ("json", "parquet"):
            raise QuestionError(f"--format {form}: two columns are called {twice[0]}: use AS")
        notes: list[str] = []
        note = f"these are the first {limit} rows; --limit or another --format gives more"
        with _opened(write_to) as file:
            rows = first_rows(batches, limit, lambda: notes.append(note))
            WRITERS[form](schema, rows, file)
        if options.limit is None:  # printed here, for it is to stand below the table
            for note in notes:
                print(f"platebeam query: {note}", file=sys.stderr)
    except BrokenPipeError:  # which `cli.run_and_leave` knows
        raise
    except (QuestionError, ArchiveError, DataFileError, PseudonymError) as error:
        print(f"platebeam query: {error}", file=sys.stderr)
        return 2
    except (pa.ArrowException, OverflowError, TypeError):  # whose messages may quote a value
        print(f"platebeam query: --format {form} cannot hold that answer", file=sys.stderr)
        return 2
    except Exception as error:  # a store's driver raises what it likes
        told = str(error) or repr(error)
        where = options.write_to or "the answer"
        print(f"platebeam query: cannot write {where}: {told}", file=sys.stderr)
        return 2
    return 0


READY = ("plate", "like", "min_confidence", "status", "since", "until", "slice")
"""The options that ask something."""


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="platebeam query",
        description="Ask an output folder. Without a question, tell which views there are to ask.",
    )
    add_archive_arguments(parser)
    parser.add_argument("--sql", metavar="SELECT", help="any SELECT over the views")
    ready = parser.add_argument_group("ready questions, which combine: each has to hold")
    ready.add_argument(
        "--plate",
        type=_plate_pattern,
        metavar="TEXT",
        help="plates read as this; ? stands for a character, * for any number of them",
    )
    ready.add_argument(
        "--key", metavar="KEYFILE", help="of pseudonymised tables, to find a --plate in"
    )
    ready.add_argument(
        "--like",
        type=_plate,
        metavar="TEXT",
        help="plates that may be this one, read wrongly; the most probable first",
    )
    ready.add_argument(
        "--distance",
        type=number(0),
        metavar="N",
        help="of --like: so many characters replaced, missing or too many; two that the reader "
        "confuses, as O and 0, count as half a one "
        f"(default: {DISTANCE:g})",
    )
    ready.add_argument(
        "--min-confidence", type=number(0, 1), metavar="SHARE", help="of a plate, 0 to 1"
    )
    ready.add_argument(
        "--status", choices=[status.value for status in ImageStatus], help="of a picture"
    )
    ready.add_argument(
        "--since", type=_since, metavar="TIME", help="captured then or later: 2025-01-31T16:00"
    )
    ready.add_argument(
        "--until", type=_until, metavar="TIME", help="captured before; a day counts to its end"
    )
    ready.add_argument(
        "--slice",
        type=_slice,
        action="append",
        default=[],
        metavar="LABEL=VALUE",
        help="pictures with this label; may be repeated",
    )
    answer = parser.add_argument_group("the answer")
    answer.add_argument(
        "--limit", type=whole_number(1), metavar="ROWS", help="so many rows at most"
    )
    answer.add_argument(
        "--format",
        choices=WRITERS,
        help="default: by the suffix of --output, else table, which shows "
        f"{TABLE_ROWS} rows unless --limit is given",
    )
    answer.add_argument(
        "--output", dest="write_to", metavar="FILE", help="where to write it (default: here)"
    )
    return parser


def _plate(text: str) -> str:
    plate = normalise_text(text)
    if not plate:
        raise argparse.ArgumentTypeError("it has no letter and no digit")
    return plate


def _plate_pattern(text: str) -> str:
    pattern = "".join(sign if sign in WILDCARDS else normalise_text(sign) for sign in text)
    if not pattern:
        raise argparse.ArgumentTypeError("it has no letter, digit or wildcard")
    return pattern


def _slice(text: str) -> tuple[str, str] | None:
    """(label, value); None for all pictures."""
    if text == ALL:
        return None
    label, sign, value = text.partition("=")
    if not sign:
        raise argparse.ArgumentTypeError(f"{text!r} is no LABEL=VALUE")
    return label, value


def _since(text: str) -> datetime:
    try:
        return parse_time(text)
    except ValueError:
        raise argparse.ArgumentTypeError(
            f"{text!r} is no time such as 2025-01-31 or 2025-01-31T16:00"
        ) from None
    except OverflowError:
        raise argparse.ArgumentTypeError(
            f"{text!r} in UTC is no time of the years 1 to 9999"
        ) from None


def _until(text: str) -> datetime:
    """The time that all is before: of a day, the next midnight."""
    try:
        day = date.fromisoformat(text)
    except ValueError:
        return _since(text)
    try:
        return datetime.combine(day + timedelta(days=1), time.min)
    except OverflowError:
        raise argparse.ArgumentTypeError(f"{text!r} is too late") from None


if __name__ == "__main__":
    sys.exit(main())
