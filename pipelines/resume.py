"""What earlier runs have read already, for --resume.

An input stands if its row in the latest committed run of this output folder that was made by the
same bundle and the same options is of the same source version or content. Failures stand where they
are a verdict on the bytes; whatever else went wrong is tried again.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any

import apache_beam as beam
import pyarrow.parquet as pq

from lpr_core.decode import DecodeReason
from pipelines.uris import OpensStores, open_store

READING_OPTIONS = ("max_bytes", "max_pixels", "keep_crops")
"""Options beside the reader's configuration that decide what the rows of a picture hold."""

RECORD_FIELDS = {
    **dict.fromkeys(("run_id", "started_at", "bundle.sha256", "config.sha256"), str),
    **{"options": dict, "files": list},
}
"""What the record of an earlier run must hold to be resumed; see `run_record.check_fields`."""

FILE_FIELDS = {"table": str, "path": str, "rows": int}
"""The same of each of its files."""


class Resume(str, Enum):
    """By what an input that was read before is known again."""

    VERSION = "version"
    CONTENT = "content"


@dataclass(frozen=True, slots=True)
class EarlierRead:
    """How an input stands in a committed run.

    Attributes:
        uri: of the input.
        run: the run's place among those that are looked into, in the order of their starts.
        version, sha256: of the bytes whose row stands; None: it has to be read again.
    """

    uri: str
    run: int
    version: str | None
    sha256: str | None


def standing(reads: Iterable[EarlierRead], resume: Resume) -> list[str]:
    """The versions, or hashes, by which an input is known again: those of its latest run."""
    by_run: defaultdict[int, set[str | None]] = defaultdict(set)
    for read in reads:
        by_run[read.run].add(read.sha256 if resume is Resume.CONTENT else read.version)
    return sorted(mark for mark in by_run[max(by_run, default=0)] if mark is not None)


def earlier_files(
    records: Sequence[Mapping[str, Any]],
    output: str,
    bundle_sha256: str,
    config_sha256: str,
    options: Mapping[str, Any],
) -> list[tuple[int, str]]:
    """The files of the images tables whose rows stand for a run with these options, each with its
    run's place among them.

    Args:
        records: of the output folder's committed runs.
        output: the folder.
        bundle_sha256, config_sha256: of the reader.
        options: of the run; see READING_OPTIONS.
    """
    alike = [
        record
        for record in records
        if record["bundle"]["sha256"] == bundle_sha256
        and record["config"]["sha256"] == config_sha256
        and all(record["options"].get(name) == options[name] for name in READING_OPTIONS)
    ]
    alike.sort(key=lambda record: (record["started_at"], record["run_id"]))
    return [
        (place, f"{output}/{file['path']}")
        for place, record in enumerate(alike)
        for file in record["files"]
        if file["table"] == "images" and file["rows"]
    ]


class EarlierReads(OpensStores, beam.DoFn):
    """The rows of files of images tables, whether they stand or not."""

    def process(self, placed: tuple[int, str]) -> Iterator[EarlierRead]:
        """Yield those of one file, which comes with its run's place."""
        place, uri = placed
        fs, path = open_store(uri)
        verdicts = {None, *(reason.value for reason in DecodeReason)}
        with fs.open(path, "rb") as file:
            for batch in pq.ParquetFile(file).iter_batches(
                columns=["uri", "source_version", "sha256", "reason"]
            ):
                for row in batch.to_pylist():
                    stands = row["sha256"] is not None and row["reason"] in verdicts
                    marks = (row["source_version"], row["sha256"]) if stands else (None, None)
                    yield EarlierRead(row["uri"], place, *marks)
