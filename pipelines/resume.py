"""What earlier runs have read already, for --resume.

An input stands if a committed run of this output folder has a row of it, made by the same bundle
and the same options, of the same source version or content. Failures stand where they are a
verdict on the bytes; whatever else went wrong is tried again.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
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
    **dict.fromkeys(("run_id", "bundle.sha256", "config.sha256"), str),
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
    """How an input stands in a committed run."""

    uri: str
    version: str | None
    sha256: str


def earlier_files(
    records: Sequence[Mapping[str, Any]],
    output: str,
    bundle_sha256: str,
    config_sha256: str,
    options: Mapping[str, Any],
) -> list[str]:
    """The files of the images tables whose rows stand for a run with these options.

    Args:
        records: of the output folder's committed runs.
        output: the folder.
        bundle_sha256, config_sha256: of the reader.
        options: of the run; see READING_OPTIONS.
    """
    return [
        f"{output}/{file['path']}"
        for record in records
        if record["bundle"]["sha256"] == bundle_sha256
        and record["config"]["sha256"] == config_sha256
        and all(record["options"].get(name) == options[name] for name in READING_OPTIONS)
        for file in record["files"]
        if file["table"] == "images" and file["rows"]
    ]


class EarlierReads(OpensStores, beam.DoFn):
    """The rows of files of images tables that stand."""

    def process(self, uri: str) -> Iterator[EarlierRead]:
        """Yield those of one file."""
        fs, path = open_store(uri)
        verdicts = {None, *(reason.value for reason in DecodeReason)}
        with fs.open(path, "rb") as file:
            for batch in pq.ParquetFile(file).iter_batches(
                columns=["uri", "source_version", "sha256", "reason"]
            ):
                for row in batch.to_pylist():
                    if row["sha256"] is not None and row["reason"] in verdicts:
                        yield EarlierRead(row["uri"], row["source_version"], row["sha256"])
