"""Manifests and truth files: tables of pictures as `.txt`, `.csv`, `.jsonl` or `.parquet`."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timezone
from typing import Any, TypeAlias

import pyarrow as pa
import pyarrow.parquet as pq

from lpr_core.geometry import Box
from lpr_core.score import PlateTruth
from pipelines.uris import open_store

BOX_COLUMNS = ("x", "y", "w", "h")
TRUTH_COLUMNS = (*BOX_COLUMNS, "text", "captured_at")


class InputError(ValueError):
    """An INPUT or truth file that cannot be used at all; the message names it."""


class BadRow(ValueError):
    """A row that says nothing usable. The message never quotes a cell: where the cells are shifted,
    any of them may hold a plate's text."""


Cells: TypeAlias = Mapping[str, Any] | BadRow
"""A row's values by column, or why it could not be taken apart."""


@dataclass(frozen=True)
class ManifestRow:
    """A row that could be used.

    Attributes:
        key: what it is about: a URI, or a truth file's image name.
        truth: the plate it tells of, or None.
        has_truth: whether it says anything of plates, be it that there is none.
        labels: (name, value) of every other column that is not blank.
        captured_at: naive; UTC if the row gave an offset.
    """

    key: str
    truth: PlateTruth | None
    has_truth: bool
    labels: tuple[tuple[str, str], ...]
    captured_at: datetime | None


def check_cells(uri: str, suffix: str, required: Sequence[str]) -> int | None:
    """Check a table's columns; how many parts it has that can be read alone, if it is Parquet.

    Raises:
        InputError: as `read_cells`; there is no row in it.
    """
    if suffix == ".parquet":
        fs, path = open_store(uri)
        with fs.open(path, "rb") as file:
            table = _open_parquet(uri, file, required)
            if table.metadata.num_rows == 0:
                raise InputError(f"{uri}: there is no row in it")
            return int(table.num_row_groups)
    if next(read_cells(uri, suffix, required), None) is None:
        raise InputError(f"{uri}: there is no row in it")
    return None


def read_cells(
    uri: str, suffix: str, required: Sequence[str], row_group: int | None = None
) -> Iterator[tuple[str, Cells]]:
    """(where, cells by column) of every row; `where` is "file:line".

    Args:
        uri: of the table.
        suffix: what it is.
        required: columns.
        row_group: of a Parquet file, which of its parts to read; None: all.

    Raises:
        InputError: a required column is missing, or the file is not what its suffix says.
    """
    fs, path = open_store(uri)
    with fs.open(path, "rb") as file:
        if suffix == ".parquet":
            rows = _parquet_rows(uri, file, required, row_group)
        else:
            lines = io.TextIOWrapper(file, "utf-8-sig", errors="surrogateescape", newline="")
            if suffix == ".jsonl":
                rows = _json_rows(lines)
            elif suffix == ".txt":
                stripped = ((number, line.strip()) for number, line in enumerate(lines, 1))
                rows = ((number, {"uri": line}) for number, line in stripped if line)
            else:
                rows = _csv_rows(uri, lines, required)
        for line, cells in rows:
            yield f"{uri}:{line}", cells


def _csv_rows(
    uri: str, lines: Iterator[str], required: Sequence[str]
) -> Iterator[tuple[int, Cells]]:
    """A row is a line, so that a quote that is never closed spoils its own row alone.

    The lines of a cell with a line break in it are bad rows: each has an odd number of quotes.
    """
    columns = [name.strip() for name in next(csv.reader([next(lines, "")]), [])]
    _require(uri, columns, required)
    for number, line in enumerate(lines, 2):
        if not line.strip():
            continue
        if line.count('"') % 2:
            yield number, BadRow("the row has an odd number of double quotes")
            continue
        try:
            values = next(csv.reader([line], strict=True))
        except csv.Error as error:
            yield number, BadRow(f"the row is not CSV ({error})")
            continue
        if len(values) == len(columns):
            yield number, dict(zip(columns, values, strict=True))
        else:
            yield number, BadRow(f"{len(values)} cells in {len(columns)} columns")


def _json_rows(lines: Iterable[str]) -> Iterator[tuple[int, Cells]]:
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            cells = json.loads(line)
        except (ValueError, RecursionError):
            yield number, BadRow("the row is not JSON")
            continue
        yield number, cells if isinstance(cells, dict) else BadRow("the row is no JSON object")


def _open_parquet(uri: str, file: Any, required: Sequence[str]) -> pq.ParquetFile:
    try:
        table = pq.ParquetFile(file)
    except pa.ArrowException as error:
        raise InputError(f"{uri}: not a Parquet file ({error})") from error
    _require(uri, table.schema_arrow.names, required)
    return table


def _parquet_rows(
    uri: str, file: Any, required: Sequence[str], row_group: int | None
) -> Iterator[tuple[int, Cells]]:
    table = _open_parquet(uri, file, required)
    chosen = list(range(table.num_row_groups)) if row_group is None else [row_group]
    number = sum(table.metadata.row_group(before).num_rows for before in range(row_group or 0))
    for batch in table.iter_batches(row_groups=chosen):
        batch = batch.cast(pa.schema(map(_python_field, batch.schema)), safe=False)
        for row in range(batch.num_rows):
            number += 1
            try:
                (cells,) = batch.slice(row, 1).to_pylist()
            except UnicodeDecodeError:
                cells = BadRow("the row is not UTF-8")
            except (ValueError, OverflowError):
                cells = BadRow("the row has a value beyond what Python can hold")
            yield number, cells


def _python_field(field: pa.Field) -> pa.Field:
    """The field, but times of nanoseconds, which Python does not have, in microseconds."""
    kind = field.type
    if pa.types.is_timestamp(kind) and kind.unit == "ns":
        return field.with_type(pa.timestamp("us", kind.tz))
    return field


def _require(uri: str, columns: Sequence[str], required: Sequence[str]) -> None:
    if len(set(columns)) < len(columns):
        raise InputError(f"{uri}: there are two columns of one name")
    misspelt = _misspelt(columns, {*required, *TRUTH_COLUMNS})
    if misspelt:
        raise InputError(f"{uri}: {misspelt}")
    missing = [column for column in required if column not in set(columns)]
    if missing:
        raise InputError(f"{uri}: there is no column {', '.join(missing)}")


def _misspelt(columns: Iterable[str], known: Collection[str]) -> str | None:
    """What is wrong with a column that is one of those known but for spaces or capitals.

    As a label its plates would be published where all other plates are hidden.
    """
    for column in columns:
        meant = column.strip().lower()
        if column not in known and meant in known:
            return f"column {column!r} is to be spelled {meant!r}"
    return None


def parse_row(cells: Cells, key_column: str) -> ManifestRow:
    """A row's meaning.

    Raises:
        BadRow: the key is missing, or a value is not what its column holds.
    """
    if isinstance(cells, BadRow):
        raise cells
    try:  # neither bytes of another encoding nor half a surrogate pair
        "".join(f"{name}{value}" for name, value in cells.items()).encode()
    except UnicodeEncodeError:
        raise BadRow("the row is not UTF-8") from None
    known = {key_column, *TRUTH_COLUMNS}
    misspelt = _misspelt(cells, known)
    if misspelt:
        raise BadRow(misspelt)
    key = cells.get(key_column)
    if _blank(key):
        raise BadRow(f"column {key_column} is blank")
    if not isinstance(key, str):
        raise BadRow(f"column {key_column} is not a text")
    text = cells.get("text")
    if _blank(text):
        text = ""
    elif isinstance(text, bool) or not isinstance(text, (str, int)):
        raise BadRow("column text is not a text")
    box = _parse_box(cells)
    text = str(text).strip()
    truth = PlateTruth(text, box) if text or box else None
    labels = tuple(
        (name, str(value).strip())
        for name, value in cells.items()
        if name not in known and not _blank(value)
    )
    return ManifestRow(
        key.strip(),
        truth,
        truth is not None or all(column in cells for column in BOX_COLUMNS),
        labels,
        _parse_time(cells.get("captured_at")),
    )


def _parse_box(cells: Mapping[str, Any]) -> Box | None:
    values = {column: cells.get(column) for column in BOX_COLUMNS}
    if all(_blank(value) for value in values.values()):
        return None
    numbers = []
    for column, value in values.items():
        try:
            number = float(value)  # type: ignore[arg-type]
        except (TypeError, ValueError, OverflowError):
            raise BadRow(f"column {column} is not a number") from None
        if not math.isfinite(number):
            raise BadRow(f"column {column} is not finite")
        numbers.append(number)
    box = Box(*numbers)
    if box.width <= 0 or box.height <= 0:
        raise BadRow("the box has no area")
    return box


def _parse_time(value: Any) -> datetime | None:
    if _blank(value):
        return None
    if isinstance(value, date):  # of Parquet
        value = value.isoformat()
    try:
        return parse_time(str(value).strip())
    except (ValueError, OverflowError):
        raise BadRow("column captured_at is not an ISO 8601 time") from None


def parse_time(text: str) -> datetime:
    """A time of ISO 8601 as `captured_at` tells it: without a zone, UTC where one is given.

    Raises:
        ValueError: it is none.
        OverflowError: in UTC it is of no year that a datetime has.
    """
    if text.isdecimal() and len(text) != len("YYYYMMDD"):
        raise ValueError(f"{text!r} is a number, which Python 3.11 would take for a date")
    time = datetime.fromisoformat(text.replace("Z", "+00:00"))  # 3.10 does not know the Z
    return time.astimezone(timezone.utc).replace(tzinfo=None) if time.tzinfo else time


def _blank(value: Any) -> bool:
    if isinstance(value, str):
        return not value.strip()
    return value is None or (isinstance(value, float) and math.isnan(value))
