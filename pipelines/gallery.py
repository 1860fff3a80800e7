"""The pictures of a report: which of them, what was found in them, and how they look now.

They come from where they were read, and only if their bytes are still the same: what has gone or
changed since says so in its place.
"""

from __future__ import annotations

import base64
import io
from collections import defaultdict
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import NamedTuple

import duckdb
from PIL import Image as PillowImage
from PIL import ImageOps
from tqdm import tqdm

from lpr_core.decode import HIGHEST_PIXEL_LIMIT, DecodeLimits, Picture, decode
from lpr_core.geometry import Image, Quad
from lpr_core.rectify import DegenerateQuadError, rectify
from pipelines.archive import Archive
from pipelines.metrics import FunnelStage
from pipelines.provenance import SourceState, fetch_again
from pipelines.pseudonyms import is_public
from pipelines.stages import Limits
from pipelines.tables import Row, quad_of
from pipelines.uris import name_of

OUTCOMES = {
    "wrong": "Wrong",
    "unreadable": "Unreadable",
    "no_plate": "No plate",
    "failed": "Failed",
    "unchecked": "Not checked",
    "right": "Right",
}
"""What the page says of a picture, what needs a look first. One that was read is right if every
plate of its truth was, and not checked if the truth tells no text."""

JUDGE = """
    CREATE TEMP VIEW judged AS
    SELECT run_id, uri, read_id, furthest_stage = 'read' AS is_right
    FROM truths
    WHERE edit_distance IS NOT NULL;

    CREATE TEMP TABLE outcomes AS
    SELECT run_id, uri, reason, confidence,
        CASE
            WHEN status <> 'read' THEN status
            WHEN all_right IS NULL THEN 'unchecked'
            WHEN all_right THEN 'right'
            ELSE 'wrong'
        END AS outcome
    FROM images
    LEFT JOIN (
        SELECT run_id, uri, bool_and(is_right) AS all_right FROM judged GROUP BY ALL
    ) USING (run_id, uri)
    LEFT JOIN (
        SELECT run_id, uri, min(confidence) AS confidence FROM plates GROUP BY ALL
    ) USING (run_id, uri)
"""
"""`judged`: plates of the truth whose text it tells. `outcomes`: a row is a picture; its confidence
is that of its least sure plate."""

SURE = 0.9
"""Pictures less sure than this are as many in the sample as those that are surer."""

SAMPLE = f"""
    CREATE TEMP TABLE sample AS
    SELECT run_id, uri, outcome, confidence
    FROM (
        SELECT *, row_number() OVER (
            PARTITION BY outcome, confidence < {SURE} ORDER BY turn, chance
        ) AS place
        FROM (
            SELECT *, md5(run_id || uri) AS chance,
                row_number() OVER (PARTITION BY outcome, reason ORDER BY chance) AS turn
            FROM outcomes
        )
    )
    ORDER BY place, outcome, chance
    LIMIT $size
"""
"""Pictures of each kind by turns, the failed ones of each reason, until there are enough: so what
is rare is shown whole, and the same at any time."""

PICTURE_SIDE = 576
"""Pixels of a shown picture's longer side, at most."""

PICTURE_QUALITY, CROP_QUALITY = 65, 75
"""Of JPEG."""

CROP_MARGIN = 0.1
"""Surroundings of a plate in a crop that is cut again, in shares of its height."""

FETCHES = 8
"""Pictures that are fetched at a time."""

PSEUDONYM = "Its URI is a pseudonym; a report of the restricted folder shows it."

GONE = {
    SourceState.CHANGED: "It has changed since it was read: its sha256 is another.",
    SourceState.MISSING: "It is no longer where it was read.",
    SourceState.UNREADABLE: "It cannot be fetched.",
}


def judge(database: duckdb.DuckDBPyConnection) -> None:
    """Add JUDGE's view and table to an archive's database."""
    database.execute(JUDGE)


def choose(database: duckdb.DuckDBPyConnection, size: int) -> list[Row]:
    """Choose the pictures, after `judge`; of each outcome that occurs, how many were chosen."""
    database.execute(SAMPLE, {"size": size})
    counts = database.sql(
        "SELECT outcome, count(*), count(sample.uri) "
        "FROM outcomes LEFT JOIN sample USING (run_id, uri, outcome) GROUP BY outcome"
    ).fetchall()
    by_outcome = {outcome: (pictures, shown) for outcome, pictures, shown in counts}
    return [
        {"outcome": outcome, "name": name, "pictures": pictures, "shown": shown}
        for outcome, name in OUTCOMES.items()
        for pictures, shown in [by_outcome.get(outcome, (0, 0))]
        if pictures
    ]


def look_up(
    archive: Archive, database: duckdb.DuckDBPyConnection, with_pictures: bool
) -> list[Row]:
    """What the page shows of the chosen pictures, JSON-able.

    Args:
        archive: whose pictures they are.
        database: of the archive, after `choose`.
        with_pictures: fetch them; else they and their crops are left out.
    """
    tokens = {record["run_id"] for record in archive.records if is_public(record)}
    plates, truths = _by_picture(database, "plates"), _by_picture(database, "truths")
    images = query(
        database,
        "SELECT images.*, outcome, confidence FROM images JOIN sample USING (run_id, uri) "
        "ORDER BY uri, run_id",
    )
    keys = [(image["run_id"], image["uri"]) for image in images]
    chosen = [(image, plates[key], truths[key]) for image, key in zip(images, keys, strict=True)]

    def seen(image: Row, plates: Sequence[Row], _: Sequence[Row]) -> Look:
        if not with_pictures:
            return Look("Pictures were left out of this page.")
        return Look(PSEUDONYM) if image["run_id"] in tokens else look(image, plates)

    with ThreadPoolExecutor(FETCHES) as pool:
        looks = tqdm(
            pool.map(lambda one: seen(*one), chosen),
            total=len(chosen),
            unit="picture",
            disable=None,  # where nobody watches
        )
        return [_entry(*one, found) for one, found in zip(chosen, looks, strict=True)]


def query(database: duckdb.DuckDBPyConnection, sql: str) -> list[Row]:
    """What a query gives, a dictionary a row."""
    found = database.sql(sql)
    return [dict(zip(found.columns, row, strict=True)) for row in found.fetchall()]


def _by_picture(
    database: duckdb.DuckDBPyConnection, table: str
) -> dict[tuple[str, str], list[Row]]:
    found = defaultdict(list)
    for row in query(
        database, f'SELECT * FROM {table} SEMI JOIN sample USING (run_id, uri) ORDER BY "index"'
    ):
        found[row["run_id"], row["uri"]].append(row)
    return found


class Crop(NamedTuple):
    """A plate's crop as a `data:` URI, None where it cannot be seen, and a note on it."""

    image: str | None
    note: str


@dataclass(frozen=True)
class Look:
    """How a picture looks now.

    Attributes:
        source: a sentence on what is at its source.
        picture: as a `data:` URI; None if it is not to be seen.
        crops: of its plates by `read_id`, as far as they are to be seen.
    """

    source: str
    picture: str | None = None
    crops: Mapping[str, Crop] = field(default_factory=dict)


def look(image: Row, plates: Sequence[Row]) -> Look:
    """Fetch a picture and cut its plates out again, unless their crops were kept.

    Args:
        image: its row in `images`.
        plates: its rows in `plates`.
    """
    kept = {
        plate["read_id"]: _kept_crop(plate["crop"]) for plate in plates if plate["crop"] is not None
    }
    if image["format"] is None:
        return Look(f"It failed: {image['stage']}, {image['reason']}.")
    limits = DecodeLimits(image["bytes"], HIGHEST_PIXEL_LIMIT)
    data = fetch_again(image["uri"], image["sha256"], Limits(limits))
    if isinstance(data, SourceState):
        return Look(GONE[data], crops=kept)
    try:
        decoded = decode(data, limits)
        picture = _in_colour(data, decoded)
    except Exception as error:  # with other versions of libraries; they raise what they like
        return Look(f"It cannot be decoded any more: {type(error).__name__}.", crops=kept)
    crops = {
        plate["read_id"]: Crop(crop, "cut again for this page, with another margin")
        for plate in plates
        if plate["read_id"] not in kept and (crop := _cut(decoded.pixels, quad_of(plate)))
    }
    return Look("It is as it was read: the sha256 is the same.", picture, kept | crops)


def _in_colour(data: bytes, decoded: Picture) -> str:
    """A small JPEG: pictures are read in grey, but people look at them in colour."""
    with PillowImage.open(io.BytesIO(data)) as file:
        file.draft("RGB", (PICTURE_SIDE, PICTURE_SIDE))
        small = ImageOps.exif_transpose(file)
        if file.mode.startswith(("I", "F")):  # Pillow would clip these samples, not scale them
            small = PillowImage.fromarray(decoded.pixels)
        small.thumbnail((PICTURE_SIDE, PICTURE_SIDE))
        return _jpeg(small.convert("RGB"), PICTURE_QUALITY)


def _kept_crop(data: bytes) -> Crop:
    try:
        with PillowImage.open(io.BytesIO(data)) as image:
            return Crop(_jpeg(image, CROP_QUALITY), "kept by the run")
    except Exception as error:  # it is whatever the table holds; Pillow raises what it likes
        return Crop(None, f"the one that the run kept cannot be opened: {type(error).__name__}")


def _cut(pixels: Image, quad: Quad) -> str | None:
    try:
        crop = rectify(pixels, quad, CROP_MARGIN)
    except DegenerateQuadError:
        return None
    return _jpeg(PillowImage.fromarray(crop.pixels), CROP_QUALITY)


def _jpeg(image: PillowImage.Image, quality: int) -> str:
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=quality, optimize=True)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode()


def _entry(image: Row, plates: Sequence[Row], truths: Sequence[Row], seen: Look) -> Row:
    """What the page's script gets to know of a picture."""
    by_read = {truth["read_id"]: truth for truth in truths}
    facts = {
        "URI": image["uri"],
        "Source now": seen.source,
        "SHA-256": image["sha256"],
        "Source version": image["source_version"],
        "Bytes": image["bytes"],
        "Pixels": image["width"] and f"{image['width']} × {image['height']}",
        "Format": image["format"],
        "EXIF orientation": image["orientation"],
        "Captured at": image["captured_at"] and image["captured_at"].isoformat(" "),
        "Labels": ", ".join(f"{name}={value}" for name, value in image["labels"].items()),
        "Milliseconds": ", ".join(
            f"{stage} {spent:.1f}"
            for stage, spent in image["milliseconds"].items()
            if spent is not None
        ),
        "Failure": image["stage"] and f"{image['stage']}/{image['reason']}",
        "Message": image["message"],
        "Run": image["run_id"],
    }
    return {
        "name": name_of(image["uri"]),
        "uri": image["uri"],
        "outcome": image["outcome"],
        "confidence": image["confidence"],
        "width": image["width"],
        "height": image["height"],
        "picture": seen.picture,
        "source": seen.source,
        "facts": {name: str(value) for name, value in facts.items() if value not in (None, "")},
        "plates": [
            _plate(plate, by_read.get(plate["read_id"]), seen.crops.get(plate["read_id"]))
            for plate in plates
        ],
        "missed": [
            {"text": truth["text"], "box": truth["box"]}
            for truth in truths
            if truth["read_id"] is None
        ],
    }


def _plate(plate: Row, truth: Row | None, crop: Crop | None) -> Row:
    known = truth if truth and truth["edit_distance"] is not None else None
    return {
        "text": plate["text"],
        "raw": plate["text_raw"],
        "truth": known and known["text"],
        "right": known and known["furthest_stage"] == FunnelStage.READ.value,
        "confidence": plate["confidence"],
        "corners": [(round(x, 1), round(y, 1)) for x, y in quad_of(plate)],
        "crop": crop and crop.image,
        "characters": [
            {
                "character": one["character"],
                "probability": one["probability"],
                "alternatives": [tuple(choice.values()) for choice in one["alternatives"]],
            }
            for one in plate["characters"]
        ],
        "alternatives": [tuple(choice.values()) for choice in plate["alternatives"]],
        "facts": {
            "Read": plate["read_id"],
            "Detection score": f"{plate['detection_score']:.3f}",
            "IoU with the truth": truth and truth["iou"] and f"{truth['iou']:.2f}",
            "Crop's SHA-256": plate["crop_sha256"],
            "Crop": crop and crop.note,
        },
    }
