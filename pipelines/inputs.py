"""What the user points at (folders, globs, URIs, manifests, truth files) as a list of pictures."""

from __future__ import annotations

import csv
import io
import json
import math
import pickle
import posixpath
import unicodedata
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timezone
from functools import partial
from typing import Any, TypeAlias

import pyarrow as pa
import pyarrow.parquet as pq
from fsspec.implementations.local import LocalFileSystem

from lpr_core.geometry import Box
from lpr_core.score import PlateTruth
from pipelines.uris import canonical_uri, is_relative, open_store, split_chain

PICTURE_SUFFIXES = (
    *(".avif", ".bmp", ".gif", ".jfif", ".jp2", ".jpe", ".jpeg", ".jpg", ".pbm", ".pgm", ".png"),
    *(".pnm", ".ppm", ".tga", ".tif", ".tiff", ".webp"),
)
MANIFEST_SUFFIXES = (".txt", ".csv", ".jsonl", ".parquet")
BOX_COLUMNS = ("x", "y", "w", "h")
BLOCK_SIZE = 16


class InputError(ValueError):
    """An INPUT or truth file that cannot be used at all; the message names it."""


class BadRow(ValueError):
    """A row that says nothing usable. The message never quotes a cell: where the cells are shifted,
    any of them may hold a plate's text."""


Cells: TypeAlias = Mapping[str, Any] | BadRow
"""A row's values by column, or why it could not be taken apart."""


@dataclass(frozen=True, slots=True)
class ImageRef:
    """One input of the job.

    Attributes:
        uri: where its bytes are: an absolute local path, or anything fsspec opens.
        truths: the plates known to be in it; empty if it is known to have none, None if nothing is
            known about it.
        labels: (name, value) pairs to slice metrics by.
        captured_at: when the picture was taken, as a manifest says it: naive; UTC if the manifest
            gave an offset.
        problem: why this row of a manifest is no usable input (file, line and reason), or None.
    """

    uri: str
    truths: tuple[PlateTruth, ...] | None = None
    labels: tuple[tuple[str, str], ...] = ()
    captured_at: datetime | None = None
    problem: str | None = None


@dataclass(frozen=True)
class Inputs:
    """The pictures that the INPUT arguments came to.

    Attributes:
        refs: one for each input.
        ignored: how many other files were passed over.
        truth_rows_unmatched: how many rows of the truth files belong to none of the inputs.
    """

    refs: list[ImageRef]
    ignored: int
    truth_rows_unmatched: int = 0


@dataclass
class _Found:
    """Inputs while they are gathered: rows that share a URI become one input."""

    refs: dict[str, ImageRef] = field(default_factory=dict)
    bad_rows: list[ImageRef] = field(default_factory=list)
    added: int = 0
    ignored: int = 0

    def add(self, ref: ImageRef) -> None:
        self.added += 1
        writable = ref.uri.encode("utf-8", "backslashreplace").decode()
        if writable != ref.uri:
            ref = ImageRef(writable, problem=f"{writable}: its name is not UTF-8")
        if ref.problem is not None:
            self.bad_rows.append(ref)
        elif (known := self.refs.get(ref.uri)) is None:
            self.refs[ref.uri] = ref
        else:
            self.refs[ref.uri] = _merge(known, ref)


def expand_inputs(inputs: Sequence[str], truth_files: Sequence[str] = ()) -> Inputs:
    """List the pictures behind the INPUT arguments, each URI once, in a stable order.

    A folder, or a link to one, that stands where a picture should is an input too, which load
    refuses: it must not vanish. Links to folders are not followed.

    Args:
        inputs: folders (their pictures by extension, recursively), globs, manifests (by extension),
            or single pictures; local paths or anything fsspec opens.
        truth_files: CSV files with the columns image, x, y, w, h, text and any labels. `image`
            matches the end of a URI, whole path components at a time ("car1.jpg" and "us/car1.jpg"
            both match ".../us/car1.jpg", the longer one first). Inputs that brought truths of
            their own keep them. Equal rows are one.

    Raises:
        InputError: an input that is missing, unreadable or empty; a manifest or truth file without
            its columns.
    """
    found = _Found()
    for given in inputs:
        before = found.added
        try:
            _expand(given, found)
        except InputError:
            raise
        except Exception as error:  # a store's driver raises what it likes
            raise InputError(f"{given}: {_reason(error)}") from error
        if found.added == before:
            raise InputError(f"{given}: there is no picture in it")
    truths: dict[str, dict[_Row, None]] = {}  # a dict for its order
    for file in truth_files:
        for row in _truth_rows(file):
            truths.setdefault(row.key, {})[row] = None
    matched = set()
    refs = []
    for ref in found.refs.values():
        if key := _truth_key(ref.uri, truths):
            matched.add(key)
            ref = _with_truth(ref, list(truths[key]))
        refs.append(ref)
    unmatched = sum(len(rows) for key, rows in truths.items() if key not in matched)
    return Inputs(refs + found.bad_rows, found.ignored, unmatched)


def pack_refs(refs: Sequence[ImageRef]) -> list[bytes]:
    """Refs as compressed blocks of up to BLOCK_SIZE, fewer where that would make under 64 blocks.

    Beam's in-process runner keeps 2 to 8 KB for every element of a Reshuffle: as elements of their
    own, inputs would cost more memory than everything else about them.
    """
    size = max(1, min(BLOCK_SIZE, len(refs) // 64))
    return [
        zlib.compress(pickle.dumps(refs[start : start + size]))
        for start in range(0, len(refs), size)
    ]


def unpack_refs(block: bytes) -> list[ImageRef]:
    """The refs of a block made by `pack_refs`."""
    refs: list[ImageRef] = pickle.loads(zlib.decompress(block))
    return refs


def block_size(block: bytes) -> int:
    """How many refs a block made by `pack_refs` holds."""
    return len(unpack_refs(block))


def _expand(given: str, found: _Found) -> None:
    uri = canonical_uri(given)
    fs, path = open_store(uri, skip_instance_cache=True)
    # What may not be listed must stop the job: its pictures would vanish. As an option of `find`
    # or `glob`, fsspec would forget it below the first folder.
    fs.walk = partial(fs.walk, on_error="raise")
    if any(sign in path for sign in "*?[") and not fs.exists(path):
        matches = fs.glob(path, detail=True)
        if not matches:
            raise InputError(f"{given}: nothing matches")
        _add_listed(uri, fs, matches, found, all_files=True)
    elif fs.isdir(path):
        listed = fs.find(path, withdirs=True, detail=True)
        listed.pop(path.rstrip("/"), None)
        _add_listed(uri, fs, listed, found, all_files=False)
    elif not fs.exists(path):
        raise InputError(f"{given}: there is no such file or folder")
    elif _suffix(path) in MANIFEST_SUFFIXES:
        for ref in read_manifest(uri):
            found.add(ref)
    else:
        found.add(ImageRef(uri))


def _add_listed(
    uri: str, fs: Any, listed: Mapping[str, Mapping[str, Any]], found: _Found, all_files: bool
) -> None:
    """Add what a folder or glob came to; files that are no pictures only if all are wanted."""
    for name, info in sorted(listed.items()):
        is_folder = info["type"] == "directory"
        wanted = _is_picture(name) or (all_files and not is_folder)
        if wanted or (info.get("islink") and fs.isdir(name)):
            full = name if isinstance(fs, LocalFileSystem) else fs.unstrip_protocol(name)
            found.add(ImageRef(full + split_chain(uri)[1]))
        elif all_files or not is_folder:
            found.ignored += 1


def read_manifest(uri: str) -> Iterator[ImageRef]:
    """One ref a row of a `.txt` (a URI a line), `.csv`, `.jsonl` or `.parquet` manifest.

    Columns: `uri` (relative ones are relative to the manifest) and optionally `text`, `x`, `y`,
    `w`, `h`, `captured_at` (ISO 8601); all others are labels. A row whose text and box are blank is
    a picture without a plate if the box columns are there; nothing is known about it otherwise. A
    bad row becomes a ref with a `problem`. A row of a text file is a line.

    Raises:
        InputError: there is no `uri` column, or the file is not what its extension says.
    """
    head, outer = split_chain(uri)
    folder = head.rpartition("/")[0]
    for where, cells in _cells(uri, _suffix(head), required=("uri",)):
        try:
            row = _parse_row(cells, "uri")
        except BadRow as error:
            yield ImageRef(where, problem=f"{where}: {error}")
            continue
        target = f"{folder}/{row.key}{outer}" if is_relative(row.key) else row.key
        yield ImageRef(canonical_uri(target), _truths([row]), row.labels, row.captured_at)


@dataclass(frozen=True)
class _Row:
    key: str
    truth: PlateTruth | None
    has_truth: bool
    labels: tuple[tuple[str, str], ...]
    captured_at: datetime | None


def _truth_rows(file: str) -> Iterator[_Row]:
    try:
        columns = ("image", *BOX_COLUMNS, "text")
        for where, cells in _cells(canonical_uri(file), ".csv", columns):
            try:
                row = _parse_row(cells, "image")
                yield replace(row, key=_normal_path(row.key))
            except BadRow as error:
                raise InputError(f"{where}: {error}") from None
    except InputError:
        raise
    except Exception as error:
        raise InputError(f"{file}: {_reason(error)}") from error


def _parse_row(cells: Cells, key_column: str) -> _Row:
    if isinstance(cells, BadRow):
        raise cells
    try:  # neither bytes of another encoding nor half a surrogate pair
        "".join(f"{name}{value}" for name, value in cells.items()).encode()
    except UnicodeEncodeError:
        raise BadRow("the row is not UTF-8") from None
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
    known = {key_column, "text", "captured_at", *BOX_COLUMNS}
    labels = tuple(
        (name, str(value))
        for name, value in cells.items()
        if name not in known and not _blank(value)
    )
    return _Row(
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
    try:  # Python 3.10 does not know the Z
        taken = datetime.fromisoformat(str(value).strip().replace("Z", "+00:00"))
        return taken.astimezone(timezone.utc).replace(tzinfo=None) if taken.tzinfo else taken
    except (ValueError, OverflowError):
        raise BadRow("column captured_at is not an ISO 8601 time") from None


def _blank(value: Any) -> bool:
    if isinstance(value, str):
        return not value.strip()
    return value is None or (isinstance(value, float) and math.isnan(value))


def _cells(uri: str, suffix: str, required: Sequence[str]) -> Iterator[tuple[str, Cells]]:
    """(where, cells by column) of every row; `where` is "file:line"."""
    fs, path = open_store(uri)
    with fs.open(path, "rb") as file:
        if suffix == ".parquet":
            rows = _parquet_rows(uri, file, required)
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
    columns = next(csv.reader([next(lines, "")]), [])
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


def _parquet_rows(uri: str, file: Any, required: Sequence[str]) -> Iterator[tuple[int, Cells]]:
    try:
        table = pq.ParquetFile(file)
    except pa.ArrowException as error:
        raise InputError(f"{uri}: not a Parquet file ({error})") from error
    _require(uri, table.schema_arrow.names, required)
    number = 0
    for batch in table.iter_batches():
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
    missing = [column for column in required if column not in set(columns)]
    if missing:
        raise InputError(f"{uri}: there is no column {', '.join(missing)}")


def _truths(rows: Sequence[_Row]) -> tuple[PlateTruth, ...] | None:
    if not any(row.has_truth for row in rows):
        return None
    return tuple(row.truth for row in rows if row.truth is not None)


def _normal_path(path: str) -> str:
    """A path as truth files and URIs are compared: macOS decomposes the letters of names."""
    return unicodedata.normalize("NFC", posixpath.normpath(path))


def _truth_key(uri: str, truths: Mapping[str, object]) -> str | None:
    """The longest end of a URI's path that is a key of the truths."""
    path = _normal_path(split_chain(uri)[0])
    while path and path not in truths:
        path = path.partition("/")[2]
    return path or None


def _with_truth(ref: ImageRef, rows: Sequence[_Row]) -> ImageRef:
    if ref.truths is not None:
        return ref
    known = replace(ref, truths=_truths(rows))
    for row in rows:
        known = _merge(known, ImageRef(ref.uri, None, row.labels, row.captured_at))
    return known


def _merge(known: ImageRef, more: ImageRef) -> ImageRef:
    """Two rows of one picture as one: truths one after the other, differing labels as "a|b"."""
    labels = dict(known.labels)
    for name, value in more.labels:
        values = labels[name].split("|") if name in labels else []
        labels[name] = "|".join(values if value in values else [*values, value])
    truths = known.truths
    if more.truths is not None:
        truths = (truths or ()) + more.truths
    return replace(
        known,
        truths=truths,
        labels=tuple(labels.items()),
        captured_at=known.captured_at or more.captured_at,
    )


def _suffix(path: str) -> str:
    return posixpath.splitext(path)[1].lower()


def _is_picture(path: str) -> bool:
    return _suffix(path) in PICTURE_SUFFIXES


def _reason(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error) or type(error).__name__
