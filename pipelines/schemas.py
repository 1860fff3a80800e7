"""The tables' columns: the contract with everyone who reads the output.

Names, types and order change only together with SCHEMA_VERSION.
"""

from __future__ import annotations

from collections.abc import Mapping

import pyarrow as pa

from pipelines.failures import TIMED_STAGES

SCHEMA_VERSION = "2"

BOX = pa.struct([(name, pa.float64()) for name in ("x", "y", "width", "height")])
"""Pixels of the upright original picture, from its top-left corner."""

POINT = pa.struct([("x", pa.float64()), ("y", pa.float64())])

_CHARACTER_CHOICE = pa.struct([("character", pa.string()), ("probability", pa.float64())])
_TEXT_CHOICE = pa.struct([("text", pa.string()), ("probability", pa.float64())])

_CHARACTER = pa.struct(
    [
        ("character", pa.string()),
        ("probability", pa.float64()),
        ("seen", pa.string()),
        ("box", BOX),
        ("alternatives", pa.list_(_CHARACTER_CHOICE)),
    ]
)

_EDIT = pa.struct(
    [
        ("index", pa.int32()),
        ("from", pa.string()),
        ("to", pa.string()),
        ("layout", pa.string()),
    ]
)


def _schema(table: str, *fields: pa.Field) -> pa.Schema:
    return pa.schema(
        [pa.field("run_id", pa.string(), nullable=False), *fields],
        metadata={"schema_version": SCHEMA_VERSION, "table": table},
    )


def _required(name: str, kind: pa.DataType) -> pa.Field:
    return pa.field(name, kind, nullable=False)


IMAGES = _schema(
    "images",
    _required("uri", pa.string()),
    pa.field("sha256", pa.string()),
    pa.field("source_version", pa.string()),
    pa.field("bytes", pa.int64()),
    pa.field("width", pa.int32()),
    pa.field("height", pa.int32()),
    pa.field("format", pa.string()),
    pa.field("orientation", pa.int8()),
    pa.field("captured_at", pa.timestamp("us")),  # a camera's clock tells no zone
    _required("labels", pa.map_(pa.string(), pa.string())),
    _required("status", pa.string()),
    pa.field("stage", pa.string()),
    pa.field("reason", pa.string()),
    pa.field("message", pa.string()),
    _required("plates_found", pa.int32()),
    _required("plates_read", pa.int32()),
    _required("milliseconds", pa.struct([(stage.value, pa.float64()) for stage in TIMED_STAGES])),
)
"""A row is an input, always. `stage`, `reason` and `message` are set where it failed."""

PLATES = _schema(
    "plates",
    _required("read_id", pa.string()),
    _required("uri", pa.string()),
    _required("image_sha256", pa.string()),
    _required("index", pa.int32()),
    _required("status", pa.string()),
    pa.field("text", pa.string()),
    _required("text_raw", pa.string()),
    _required("edits", pa.list_(_EDIT)),
    _required("confidence", pa.float64()),
    _required("detection_score", pa.float64()),
    _required("corners", pa.list_(POINT)),
    _required("box", BOX),
    _required("characters", pa.list_(_CHARACTER)),
    _required("alternatives", pa.list_(_TEXT_CHOICE)),
    _required("crop_sha256", pa.string()),
    pa.field("crop", pa.binary()),
)
"""A row is a plate found; `index` counts those of a picture, best detection first.

`corners` are top left, top right, bottom right, bottom left. `crop_sha256` is the hash of the
upright crop as a binary PGM file, which `crop` holds if asked for.
"""

TRUTHS = _schema(
    "truths",
    _required("uri", pa.string()),
    _required("index", pa.int32()),
    _required("text", pa.string()),
    pa.field("box", BOX),
    pa.field("read_id", pa.string()),
    pa.field("iou", pa.float64()),
    _required("furthest_stage", pa.string()),
    pa.field("edit_distance", pa.int32()),
)
"""A row is a plate of the truth, with the read paired with it, if any."""

METRICS = _schema(
    "metrics",
    _required("slice", pa.string()),
    _required("metric", pa.string()),
    _required("numerator", pa.float64()),
    _required("denominator", pa.float64()),
    pa.field("value", pa.float64()),
    pa.field("low", pa.float64()),
    pa.field("high", pa.float64()),
)
"""A row is a figure of a slice: "all", or "label=value"."""

CONFUSIONS = _schema(
    "confusions",
    pa.field("truth", pa.string()),
    pa.field("read", pa.string()),
    _required("count", pa.int64()),
)
"""A row is a pair of characters, null for the one that a side lacks; plates without a text read
are left out."""

SCHEMAS: Mapping[str, pa.Schema] = {
    "images": IMAGES,
    "plates": PLATES,
    "truths": TRUTHS,
    "metrics": METRICS,
    "confusions": CONFUSIONS,
}
