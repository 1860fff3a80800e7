"""The tables' columns: the contract with everyone who reads the output.

Names, types and order change only together with SCHEMA_VERSION. Each column is described where it
is declared; `schema_reference` writes that into docs/tables.md.
"""

from __future__ import annotations

from collections.abc import Mapping

import pyarrow as pa

from pipelines.failures import TIMED_STAGES

SCHEMA_VERSION = "2"


def _column(name: str, kind: pa.DataType, description: str, *, nullable: bool = True) -> pa.Field:
    return pa.field(name, kind, nullable, {"description": description})


def _required(name: str, kind: pa.DataType, description: str) -> pa.Field:
    return _column(name, kind, description, nullable=False)


BOX = pa.struct(
    [
        _column("x", pa.float64(), "its left edge"),
        _column("y", pa.float64(), "its top edge"),
        _column("width", pa.float64(), "to its right edge"),
        _column("height", pa.float64(), "to its lower edge"),
    ]
)
"""Pixels of the upright original picture, from its top-left corner."""

POINT = pa.struct(
    [
        _column("x", pa.float64(), "from the picture's left edge"),
        _column("y", pa.float64(), "from its top edge"),
    ]
)

_CHARACTER_CHOICE = pa.struct(
    [
        _column("character", pa.string(), "what it might be instead"),
        _column("probability", pa.float64(), "of that, given the rest of the plate"),
    ]
)

_TEXT_CHOICE = pa.struct(
    [
        _column("text", pa.string(), "what the plate may say"),
        _column("probability", pa.float64(), "that it says this"),
    ]
)

_CHARACTER = pa.struct(
    [
        _column("character", pa.string(), "what was read, before any edit"),
        _column("probability", pa.float64(), "of that, given the rest of the plate"),
        _column("seen", pa.string(), "what its shape alone says (`sequence`: `character`)"),
        _column("box", BOX, "around it"),
        _column("alternatives", pa.list_(_CHARACTER_CHOICE), "up to three, best first"),
    ]
)

_EDIT = pa.struct(
    [
        _column("index", pa.int32(), "of the character, from 0"),
        _column("from", pa.string(), "the character that was read"),
        _column("to", pa.string(), "the one that stands in `text`"),
        _column("layout", pa.string(), "the layout that asks for it"),
    ]
)


def _schema(table: str, *columns: pa.Field) -> pa.Schema:
    return pa.schema(
        [_required("run_id", pa.string(), "of the run that wrote the row"), *columns],
        metadata={"schema_version": SCHEMA_VERSION, "table": table},
    )


IMAGES = _schema(
    "images",
    _required("uri", pa.string(), "as listed; local paths are absolute"),
    _column("sha256", pa.string(), "of the file; null where it could not be loaded"),
    _column(
        "source_version",
        pa.string(),
        "the source's own mark of the content: etag, generation, or size and time",
    ),
    _column("bytes", pa.int64(), "of the file"),
    _column("width", pa.int32(), "pixels, upright"),
    _column("height", pa.int32(), "pixels, upright"),
    _column("format", pa.string(), "of the file: `JPEG`, `PNG`, …"),
    _column("orientation", pa.int8(), "by EXIF, which was undone: 1 to 8"),
    _column(
        "captured_at",
        pa.timestamp("us"),  # a camera's clock tells no zone
        "the manifest's time, else EXIF's, else null; no zone (UTC if the manifest gave an offset)",
    ),
    _required(
        "labels",
        pa.map_(pa.string(), pa.string()),
        "what to slice by, from the manifest or truth file",
    ),
    _required(
        "status",
        pa.string(),
        "`read` (any plate read), `unreadable` (plates found, none read), `no_plate`, `failed`",
    ),
    _column("stage", pa.string(), "where it failed, else null"),
    _column("reason", pa.string(), "why it failed, else null"),
    _column("message", pa.string(), "the reason in a sentence that names the input, else null"),
    _required("plates_found", pa.int32(), "how many"),
    _required("plates_read", pa.int32(), "how many of these have a text"),
    _required(
        "milliseconds",
        pa.struct(
            [
                _column(stage.value, pa.float64(), f"null where it did not come to `{stage.value}`")
                for stage in TIMED_STAGES
            ]
        ),
        "spent by stage",
    ),
)
"""A row is an input, always."""

PLATES = _schema(
    "plates",
    _required(
        "read_id",
        pa.string(),
        "the same in every run that reads the same plate of the same file with the same bundle, "
        "configuration and version of platebeam",
    ),
    _required("uri", pa.string(), "of the picture"),
    _required("image_sha256", pa.string(), "of the picture's file"),
    _required("index", pa.int32(), "of the plate in its picture, from 0, best detection first"),
    _required("status", pa.string(), "`read`, or `unreadable`"),
    _column("text", pa.string(), "what the plate says; null if it is unreadable"),
    _required(
        "text_raw",
        pa.string(),
        "what the network saw: with `--reader sequence`, before texts are weighed by their "
        "pattern; with `--reader characters`, each character by its shape alone",
    ),
    _required(
        "edits", pa.list_(_EDIT), "what `--layouts` changed in `text`: O to 0, I to 1, or back"
    ),
    _required(
        "confidence",
        pa.float64(),
        "probability that the whole text is right, before any edit: that of the text, calibrated "
        "(`sequence`), or the product of its characters' (`characters`)",
    ),
    _required("detection_score", pa.float64(), "comparable within one detector"),
    _required("corners", pa.list_(POINT), "four: top left, top right, bottom right, bottom left"),
    _required("box", BOX, "around the corners"),
    _required("characters", pa.list_(_CHARACTER), "in reading order"),
    _required(
        "alternatives", pa.list_(_TEXT_CHOICE), "up to ten whole texts, best first, before any edit"
    ),
    _required(
        "crop_sha256",
        pa.string(),
        "of the upright crop as the reader saw it (`sequence`: with some of its surroundings), a "
        "binary PGM file",
    ),
    _column("crop", pa.binary(), "that file, with `--keep-crops`"),
)
"""A row is a plate found."""

TRUTHS = _schema(
    "truths",
    _required("uri", pa.string(), "of the picture"),
    _required("index", pa.int32(), "of the known plate in its picture, from 0"),
    _required("text", pa.string(), "what it says; empty if that is not known"),
    _column("box", BOX, "where it is"),
    _column("read_id", pa.string(), "of the row of `plates` paired with it"),
    _column("iou", pa.float64(), "overlap of the two boxes"),
    _required(
        "furthest_stage",
        pa.string(),
        "`missed`, `detected`, `segmented` into the right number of characters, or `read` right",
    ),
    _column("edit_distance", pa.int32(), "from the text to the one that was read"),
)
"""A row is a plate of the truth, with the read paired with it, if any."""

METRICS = _schema(
    "metrics",
    _required("slice", pa.string(), "`all`, or `label=value`"),
    _required("metric", pa.string(), "which figure, by the names below"),
    _required("numerator", pa.float64(), "of the figure"),
    _required("denominator", pa.float64(), "of the figure"),
    _column("value", pa.float64(), "numerator by denominator; null where that is 0"),
    _column("low", pa.float64(), "of the 95 % Wilson interval; null if it is no share of trials"),
    _column("high", pa.float64(), "of the same"),
)
"""A row is a figure of a slice."""

CONFUSIONS = _schema(
    "confusions",
    _column("truth", pa.string(), "the character of the truth; null where there is none"),
    _column("read", pa.string(), "the character that was read; null where there is none"),
    _required("count", pa.int64(), "how often, over plates with a read"),
)
"""A row is a pair of characters; plates without a text read are left out."""

SCHEMAS: Mapping[str, pa.Schema] = {
    "images": IMAGES,
    "plates": PLATES,
    "truths": TRUTHS,
    "metrics": METRICS,
    "confusions": CONFUSIONS,
}
