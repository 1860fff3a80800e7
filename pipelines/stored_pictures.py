"""Pictures as an archive's tables hold them: what the job knew of each, without its pixels."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from operator import itemgetter
from typing import NamedTuple

import pyarrow as pa

from lpr_core.geometry import Box
from lpr_core.score import PlateTruth
from pipelines.archive import Archive, connect
from pipelines.inputs import ImageRef, TruthFiles
from pipelines.pictures import PictureFacts, PictureResult, PlateEvidence
from pipelines.tables import Row, Run, plate_read

PICTURES_AT_ONCE = 2**17
"""About how many pictures DuckDB joins with their plates at once: what bounds the memory."""

ROWS_AT_ONCE = 2**11

PICTURES = """
    WITH latest AS (
        SELECT run_id, uri, sha256, labels FROM images JOIN runs USING (run_id)
        WHERE hash(uri) % $parts = $part
        QUALIFY row_number() OVER (PARTITION BY uri ORDER BY started_at DESC, run_id DESC) = 1
    ), found AS (
        SELECT run_id, uri, list(struct_pack(
            "index", read_id, text, text_raw, confidence, detection_score, corners, crop_sha256
        )) AS plates
        FROM plates WHERE hash(uri) % $parts = $part GROUP BY run_id, uri
    ), known AS (
        SELECT run_id, uri, list(struct_pack("index", text, box)) AS truths
        FROM truths WHERE hash(uri) % $parts = $part GROUP BY run_id, uri
    )
    SELECT * FROM latest LEFT JOIN found USING (run_id, uri) LEFT JOIN known USING (run_id, uri)
    ORDER BY uri
"""
"""The rows of a part, each a picture as its latest run left it."""


class StoredPicture(NamedTuple):
    """A picture and the run that read it.

    Attributes:
        run: the run.
        result: what came of it, as far as the tables are asked for it: see `tables.plate_read`. Its
            truths are None too where it is known to have no plate: that is in no table.
        read_ids: those of its plates, in their order.
    """

    run: Run
    result: PictureResult
    read_ids: Sequence[str]


def part_count(*archives: Archive) -> int:
    """Into how many parts to cut archives so that none of any has more than PICTURES_AT_ONCE."""
    rows = max(
        sum(
            int(file["rows"])
            for record in archive.records
            for file in record["files"]
            if file["table"] == "images"
        )
        for archive in archives
    )
    return max(1, math.ceil(rows / PICTURES_AT_ONCE))


def stored_pictures(
    archive: Archive, parts: int, is_wanted: Callable[[str], bool] | None = None
) -> Iterator[Iterator[StoredPicture]]:
    """The pictures of an archive, each once, as the latest run that read it left it.

    Args:
        archive: the archive.
        parts: into how many to cut it, by the URIs' hash: see `part_count`.
        is_wanted: tells by its URI whether a picture is wanted (default: all are).

    Returns:
        The parts, each its pictures ordered by URI. A part holds the same URIs in every archive.
    """
    database = connect(archive)
    runs = {record["run_id"]: Run.of(record, archive.output) for record in archive.records}

    def pictures(part: int) -> Iterator[StoredPicture]:
        rows = database.sql(PICTURES, params={"parts": parts, "part": part})
        for batch in rows.to_arrow_reader(ROWS_AT_ONCE):
            if is_wanted is not None:
                uris = batch.column("uri").to_pylist()
                batch = batch.filter(pa.array(map(is_wanted, uris), pa.bool_()))
            for row in batch.to_pylist():
                read_ids = [plate["read_id"] for plate in _in_order(row["plates"])]
                yield StoredPicture(runs[row["run_id"]], _result(row), read_ids)

    return map(pictures, range(parts))


def with_truth(result: PictureResult, truths: TruthFiles) -> PictureResult:
    """The result with the truth of these files alone, and their labels beside its own."""
    ref = replace(result.facts.ref, truths=None)
    key = truths.key(ref)
    if key is not None:
        ref = truths.known(ref, key)
    return replace(result, facts=replace(result.facts, ref=ref))


def _result(row: Row) -> PictureResult:
    plates = tuple(
        (plate_read(plate), PlateEvidence(plate["crop_sha256"], None))
        for plate in _in_order(row["plates"])
    )
    truths = tuple(
        PlateTruth(truth["text"], truth["box"] and Box(**truth["box"]))
        for truth in _in_order(row["truths"])
    )
    ref = ImageRef(row["uri"], truths or None, tuple(row["labels"]))
    return PictureResult(PictureFacts(ref, row["sha256"]), plates)


def _in_order(rows: Sequence[Row] | None) -> list[Row]:
    return sorted(rows or (), key=itemgetter("index"))
