"""Results to rows, rows to Parquet files; every finished file is told with its rows and sha256."""

from __future__ import annotations

import contextlib
import hashlib
import io
import uuid
import zlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import IO, Any

import apache_beam as beam
import pyarrow as pa
import pyarrow.parquet as pq
from apache_beam.transforms.window import GlobalWindows
from apache_beam.utils.windowed_value import WindowedValue

from lpr_core.detect import PlateDetection
from lpr_core.geometry import Box, Quad
from lpr_core.plate_reader import PlateRead
from pipelines.failures import TIMED_STAGES
from pipelines.metrics import ALL, Counts, confusions, figures, judge
from pipelines.pictures import PictureResult
from pipelines.schemas import SCHEMAS
from pipelines.uris import OpensStores, make_parent, open_store

ROW_GROUP_BYTES = 2**23
"""Some thousand plates: an eighth would make a count over all plates take four times as long."""

BLOOM_FILTERS = {"images": {"uri": {"ndv": 2**15}}, "plates": {"text": {"ndv": 2**13}}}
"""Columns in which one value is looked for, and how many a row group has: it takes a byte for each,
and nineteen of twenty row groups without the value need not be read."""

ROWS_AT_ONCE = 256

Row = dict[str, Any]


@dataclass(frozen=True)
class Run(OpensStores):
    """What every row of a run shares, and where it goes.

    Attributes:
        run_id: names the run; part of every file name.
        output: the folder of the tables, a local path or anything fsspec opens.
        bundle_sha256, config_sha256: what read the plates.
    """

    run_id: str
    output: str
    bundle_sha256: str
    config_sha256: str

    @classmethod
    def of(cls, record: Mapping[str, Any], output: str) -> Run:
        """The run of a record, with the folder that it lies in."""
        hashes = (record[part]["sha256"] for part in ("bundle", "config"))
        return cls(record["run_id"], output, *hashes)


@dataclass(frozen=True)
class DataFile:
    """A finished file of a table; `path` is relative to the output folder."""

    table: str
    path: str
    rows: int
    bytes: int
    sha256: str


def image_rows(run: Run, result: PictureResult) -> list[Row]:
    """The row of an input."""
    facts, failure = result.facts, result.failure
    spent = {stage.value: milliseconds for stage, milliseconds in facts.milliseconds}
    return [
        {
            "run_id": run.run_id,
            "uri": facts.ref.uri,
            "sha256": facts.sha256,
            "source_version": facts.version,
            "bytes": facts.bytes,
            "width": facts.width,
            "height": facts.height,
            "format": facts.format,
            "orientation": facts.orientation,
            "captured_at": facts.captured_at,
            "labels": facts.ref.labels,
            "status": result.status.value,
            "stage": failure and failure.stage.value,
            "reason": failure and failure.reason.value,
            "message": failure and failure.message,
            "plates_found": len(result.plates),
            "plates_read": sum(read.text is not None for read in result.reads),
            "milliseconds": {stage.value: spent.get(stage.value) for stage in TIMED_STAGES},
        }
    ]


def plate_rows(run: Run, result: PictureResult) -> list[Row]:
    """A row for each plate found."""
    return [
        {
            "run_id": run.run_id,
            "read_id": read_id(run, result, index),
            "uri": result.facts.ref.uri,
            "image_sha256": result.facts.sha256,
            "index": index,
            "status": read.status.value,
            "text": read.text,
            "text_raw": read.text_raw,
            "edits": [
                {"index": e.index, "from": e.was, "to": e.becomes, "layout": e.layout}
                for e in read.edits
            ],
            "confidence": read.confidence,
            "detection_score": read.detection.score,
            "corners": [{"x": x, "y": y} for x, y in read.detection.quad],
            "box": asdict(read.detection.box),
            "characters": _characters(read),
            "alternatives": [
                {"text": text, "probability": probability}
                for text, probability in read.alternatives
            ],
            "crop_sha256": evidence.crop_sha256,
            "crop": evidence.crop,
        }
        for index, (read, evidence) in enumerate(result.plates)
    ]


def quad_of(row: Mapping[str, Any]) -> Quad:
    """The corners of a plate, as its row in `plates` has them."""
    a, b, c, d = ((corner["x"], corner["y"]) for corner in row["corners"])
    return a, b, c, d


def plate_read(row: Row) -> PlateRead:
    """A plate as its row tells it: all that metrics ask for.

    Args:
        row: of `plates`; of its columns `corners`, `detection_score`, `text`, `text_raw` and
            `confidence` are asked for.

    Returns:
        The read without its characters, alternatives and edits.
    """
    detection = PlateDetection(quad_of(row), row["detection_score"])
    return PlateRead(detection, row["text"], row["text_raw"], row["confidence"], (), ())


def truth_rows(run: Run, result: PictureResult, read_ids: Sequence[str] | None = None) -> list[Row]:
    """A row for each plate known to be in the picture; `read_ids` names the reads if tables that
    hold them do."""

    def name(index: int) -> str:
        return read_ids[index] if read_ids else read_id(run, result, index)

    return [
        {
            "run_id": run.run_id,
            "uri": result.facts.ref.uri,
            "index": index,
            "text": outcome.truth.text,
            "box": _box(outcome.truth.box),
            "read_id": None if outcome.read is None else name(outcome.read),
            "iou": outcome.iou,
            "furthest_stage": outcome.stage.value,
            "edit_distance": outcome.edits,
        }
        for index, outcome in enumerate(judge(result.facts.ref.truths or (), result.reads))
    ]


def metric_rows(run_id: str, by_slice: Mapping[str, Counts]) -> list[Row]:
    """A row for each figure of each slice."""
    return [
        {"run_id": run_id, "slice": name, **asdict(figure)}
        for name, counts in by_slice.items()
        for figure in figures(counts)
    ]


def confusion_rows(run_id: str, by_slice: Mapping[str, Counts]) -> list[Row]:
    """A row for each pair of characters, of all pictures."""
    return [
        {"run_id": run_id, "truth": truth, "read": read, "count": count}
        for truth, read, count in confusions(by_slice.get(ALL, Counter()))
    ]


def _characters(read: PlateRead) -> list[Row]:
    return [
        {
            "character": character.character,
            "probability": character.probability,
            "seen": character.seen,
            "box": asdict(character.box),
            "alternatives": [
                {"character": other, "probability": probability}
                for other, probability in character.alternatives
            ],
        }
        for character in read.characters
    ]


def _box(box: Box | None) -> Row | None:
    return asdict(box) if box else None


def read_id(run: Run, result: PictureResult, index: int) -> str:
    """The name of a read: the same in every run that reads the same plate in the same way.

    32 hex digits of the sha256 over the input's URI, the hash of its bytes, the plate's index, the
    bundle and the configuration.
    """
    facts = result.facts
    parts = (facts.ref.uri, facts.sha256, index, run.bundle_sha256, run.config_sha256)
    return hashlib.sha256("\0".join(map(str, parts)).encode()).hexdigest()[:32]


class _HashedFile(io.RawIOBase):
    """A file that hashes and counts what passes through it on its way to a store."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self.hash = hashlib.sha256()
        self.size = 0

    def writable(self) -> bool:
        return True

    def tell(self) -> int:
        return self.size

    def write(self, data: Any) -> int:
        piece = bytes(data)
        self._file.write(piece)
        self.hash.update(piece)
        self.size += len(piece)
        return len(piece)


def new_path(table: str, run: Run) -> str:
    """A path for a file of a table, relative to the output folder.

    Its name holds the run and a number drawn for this attempt: an attempt that an engine repeats
    writes another file, and only files that the run record names count.
    """
    return f"{table}/{table}-{run.run_id}-{uuid.uuid4().hex[:12]}.parquet"


class TableFile:
    """One Parquet file being written: row groups of bounded bytes, so memory stays bounded too.

    It lies at `path`, or at a new one.
    """

    def __init__(self, table: str, run: Run, path: str | None = None) -> None:
        self._table = table
        self._path = path or new_path(table, run)
        self._schema = SCHEMAS[table]
        fs, path = open_store(f"{run.output}/{self._path}")
        make_parent(fs, path)
        self._target = fs.open(path, "wb")
        self._file = _HashedFile(self._target)
        # Arrow's own copy of the schema would put the columns' descriptions into every file.
        self._writer = pq.ParquetWriter(
            self._file,
            self._schema,
            compression="zstd",
            store_schema=False,
            bloom_filter_options=BLOOM_FILTERS.get(table),
        )
        self._writer.add_key_value_metadata(self._schema.metadata)
        self._rows: list[Row] = []
        self._batches: list[pa.RecordBatch] = []
        self._bytes = 0
        self._count = 0

    def write(self, rows: Iterable[Row]) -> None:
        """Add rows, each with a value for every column."""
        self._rows.extend(rows)
        if len(self._rows) >= ROWS_AT_ONCE:
            self._to_arrow()

    def add(self, batch: pa.RecordBatch) -> None:
        """Add rows that are in columns already."""
        self._batches.append(batch)
        self._bytes += batch.nbytes
        self._count += batch.num_rows
        if self._bytes >= ROW_GROUP_BYTES:
            self._flush()

    def close(self) -> DataFile:
        """Write the rest and finish the file."""
        self._to_arrow()
        self._flush()
        self._writer.close()
        self._target.close()
        digest = self._file.hash.hexdigest()
        return DataFile(self._table, self._path, self._count, self._file.size, digest)

    def _to_arrow(self) -> None:
        self.add(pa.RecordBatch.from_pylist(self._rows, self._schema))
        self._rows = []

    def _flush(self) -> None:
        table = pa.Table.from_batches(self._batches, self._schema)
        self._writer.write_table(table, row_group_size=max(1, table.num_rows))
        self._batches = []
        self._bytes = 0


def write_table(table: str, rows: Iterable[Row], run: Run, path: str | None = None) -> DataFile:
    """Write rows as one file; see `TableFile`."""
    file = TableFile(table, run, path)
    file.write(rows)
    return file.close()


def shard_of(file: DataFile, shards: int) -> tuple[str, int]:
    """The table of a file and a number below `shards` that its name decides."""
    return file.table, zlib.crc32(file.path.encode()) % shards


def merge_files(shard: tuple[tuple[str, int], Iterable[DataFile]], run: Run) -> DataFile:
    """Write the files of a shard as one; they stay, since the attempt may be repeated."""
    (table, _), files = shard
    merged = TableFile(table, run)
    for file in sorted(files, key=lambda file: file.path):
        fs, path = open_store(f"{run.output}/{file.path}")
        with fs.open(path, "rb") as source:
            for batch in pq.ParquetFile(source).iter_batches(ROWS_AT_ONCE):
                merged.add(batch)
    return merged.close()


def remove_file(file: DataFile, committed: object, run: Run) -> None:
    """Remove a file that a committed one holds the rows of; what stays is no harm."""
    fs, path = open_store(f"{run.output}/{file.path}")
    with contextlib.suppress(Exception):  # a store's driver raises what it likes
        fs.rm_file(path)


def hide_nothing(row: Row) -> Row:
    """The row as it is."""
    return row


class WriteTable(OpensStores, beam.DoFn):
    """Writes one file a bundle, rows as `hide` leaves them, and names it when the bundle ends."""

    def __init__(
        self,
        table: str,
        rows_of: Callable[[Run, PictureResult], list[Row]],
        run: Run,
        hide: Callable[[Row], Row] = hide_nothing,
    ) -> None:
        self._table = table
        self._rows_of = rows_of
        self._run = run
        self._hide = hide
        self._file: TableFile | None = None

    def start_bundle(self) -> None:
        """Forget what an attempt that failed left behind."""
        self._file = None

    def process(self, result: PictureResult) -> None:
        """Write a result's rows."""
        rows = [self._hide(row) for row in self._rows_of(self._run, result)]
        if rows:
            self._file = self._file or TableFile(self._table, self._run)
            self._file.write(rows)

    def finish_bundle(self) -> Iterator[WindowedValue]:
        """Finish the bundle's file."""
        if self._file is not None:
            yield GlobalWindows.windowed_value(self._file.close())
            self._file = None
