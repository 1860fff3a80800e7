"""`platebeam show`: the evidence sheet of a read, a page a plate.

What the tables know of it, the picture if its file is still the one that was read, and what all of
it was made from.
"""

from __future__ import annotations

import argparse
import hashlib
import posixpath
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

import numpy as np

from lpr_core.bundle import BundleError
from lpr_core.decode import DecodeError, decode
from lpr_core.geometry import Box, Image, Point, transform_points
from lpr_core.plate_reader import READERS
from lpr_core.rectify import DegenerateQuadError, PlateCrop, rectify
from pipelines.archive import (
    Archive,
    ArchiveError,
    add_archive_arguments,
    archive_of,
    connect,
    parse_arguments,
    path_beside,
    told_of,
)
from pipelines.evidence_sheet import FORMATS, Crop, Evidence, draw_sheets
from pipelines.provenance import (
    SourceState,
    add_bundle_folders,
    config_of,
    fetch_again,
    find_bundle,
    limits_of,
    refuse_pseudonyms,
)
from pipelines.run_record import RecordError
from pipelines.shared_reader import load_bundle
from pipelines.stages import crop_file
from pipelines.tables import Row, quad_of
from pipelines.uris import canonical_uri, make_parent, open_store

FIND = """
    SELECT run_id, uri, "index", text_raw FROM plates WHERE read_id = $name
    UNION ALL SELECT run_id, uri, NULL, NULL FROM images WHERE uri IN ($name, $uri)
"""


def find_evidence(archive: Archive, name: str, folders: Sequence[str] = ()) -> list[Evidence]:
    """What there is of a read, or of all plates of a picture, in the latest run that has it.

    Args:
        archive: the runs.
        name: a read id, or the URI of a picture.
        folders: where bundles may lie, other than where the records say.

    Returns:
        One a plate; of a picture without any, one all the same.

    Raises:
        ArchiveError: no run has it, or several do and not the same.
    """
    with connect(archive) as database:
        names = {"name": name, "uri": canonical_uri(name)}
        found = database.execute(FIND, names).fetchall()
        runs = [
            record for record in archive.records if record["run_id"] in {row[0] for row in found}
        ]
        if not runs:
            raise ArchiveError(f"{archive.output} has neither a read nor a picture {name}")
        if len({row[3] for row in found}) > 1:
            ids = " ".join(run["run_id"] for run in runs)
            raise ArchiveError(
                f"{name} is not the same plate in all runs that have it, made by different "
                f"versions of platebeam: choose one by --run, of {ids}"
            )
        record = runs[-1]
        of_run = [row for row in found if row[0] == record["run_id"]]
        where = {"run": record["run_id"], "uri": of_run[0][1]}
        (image,), plates = (
            database.sql(f"SELECT * FROM {view} WHERE run_id = $run AND uri = $uri", params=where)
            .to_arrow_table()
            .to_pylist()
            for view in ("images", "plates")
        )
    indices = {row[2] for row in of_run} - {None}
    plates = [plate for plate in plates if plate["index"] in indices or not indices]
    source, picture = _fetch(image, record)
    margin = _margin(record, folders)
    return [
        Evidence(
            record, len(runs), image, plate, source, picture, _crop(plate, image, picture, margin)
        )
        for plate in sorted(plates, key=lambda plate: int(plate["index"])) or [None]
    ]


def _fetch(image: Row, record: Mapping[str, Any]) -> tuple[SourceState | None, Image | None]:
    """How a picture's file stands to the one that was read; its pixels if it is the same."""
    if image["sha256"] is None:
        return None, None
    limits = limits_of(record)
    data = fetch_again(image["uri"], image["sha256"], limits)
    if isinstance(data, SourceState):
        return data, None
    picture = None
    if image["width"] is not None:  # else it could not be decoded, or a decoder died of it
        with suppress(DecodeError):
            picture = decode(data, limits.decode).pixels
    return SourceState.SAME, picture


def _margin(record: Mapping[str, Any], folders: Sequence[str]) -> float | None:
    """How much of its surroundings a plate was cut with; None if the bundle cannot be asked."""
    try:
        config = config_of(record)
        bundle = load_bundle(find_bundle(record, folders))
        return READERS[config.reader](bundle, config.backend).margin
    except (BundleError, RecordError):
        return None


def _crop(
    plate: Row | None, image: Row, picture: Image | None, margin: float | None
) -> Crop | None:
    """The upright plate: as it was kept, or cut from the picture again."""
    if plate is None:
        return None
    pixels, hashes = None, {}
    if plate["crop"] is not None:
        hashes["kept in the table"] = hashlib.sha256(plate["crop"]).hexdigest()
        with suppress(DecodeError):
            pixels = decode(plate["crop"]).pixels
    cut = None if margin is None else _cut(plate, image, picture, margin)
    if cut is not None and picture is not None:
        hashes["cut again from the file"] = hashlib.sha256(crop_file(cut)).hexdigest()
        pixels = cut.pixels if pixels is None else pixels
    if pixels is None:
        return None
    boxes = [] if cut is None else [_in_crop(c["box"], cut) for c in plate["characters"]]
    wrong = {way for way, sha256 in hashes.items() if sha256 != plate["crop_sha256"]}
    told = "; ".join(f"{way} WITH ANOTHER sha256" if way in wrong else way for way in hashes)
    return Crop(pixels, boxes, told, not wrong)


def _cut(plate: Row, image: Row, picture: Image | None, margin: float) -> PlateCrop | None:
    """Cut a plate; without the picture, out of a blank one, for the transform."""
    blank = np.zeros((image["height"], image["width"]), np.uint8)
    try:
        return rectify(blank if picture is None else picture, quad_of(plate), margin)
    except DegenerateQuadError:
        return None


def _in_crop(box: Mapping[str, float], crop: PlateCrop) -> list[Point]:
    """The corners of a box of the picture, in the crop."""
    corners = Box(**box).corners
    centres = [(x - 0.5, y - 0.5) for x, y in corners]  # which the transform counts
    to_crop = np.asarray(np.linalg.inv(crop.to_image), np.float64)
    placed = transform_points(centres, to_crop)
    return [(x + 0.5, y + 0.5) for x, y in placed]


def main(argv: Sequence[str] | None = None) -> int:
    """Run `platebeam show`.

    Returns:
        0: the sheet is written; 2: it cannot be.
    """
    parser = argparse.ArgumentParser(
        prog="platebeam show", description="Draw the evidence sheet of a read, a page a plate."
    )
    add_archive_arguments(parser)
    parser.add_argument(
        "name",
        metavar="READ_ID|URI",
        help="a read, or a picture with all its plates; of several runs' the latest",
    )
    parser.add_argument(
        "--output",
        dest="sheet",
        type=_sheet,
        required=True,
        metavar="FILE",
        help=f"the sheet: {', '.join(FORMATS)} by its extension",
    )
    add_bundle_folders(parser)
    arguments = parse_arguments(parser, argv)
    try:
        archive = archive_of(arguments)
        refuse_pseudonyms(archive)
        to = path_beside(archive, arguments.sheet)
        evidence = find_evidence(archive, arguments.name, arguments.bundle)
        fs, path = open_store(to)
        make_parent(fs, path)
        fs.pipe_file(path, draw_sheets(evidence, _suffix(path)))
    except Exception as error:  # a store's driver raises what it likes
        print(f"platebeam show: {told_of(error)}", file=sys.stderr)
        return 2
    first = evidence[0]
    if first.runs > 1:
        print(f"{first.runs} runs have it: this is the latest, {first.record['run_id']}")
    print(
        f"{arguments.sheet}: {len(evidence)} page{'s' * (len(evidence) > 1)}; {first.source_told}"
    )
    return 0


def _suffix(path: str) -> str:
    return posixpath.splitext(path)[1].lower().removeprefix(".")


def _sheet(text: str) -> str:
    if _suffix(text) not in FORMATS:
        raise argparse.ArgumentTypeError(f"{text}: give it the extension {', '.join(FORMATS)}")
    return text


if __name__ == "__main__":
    sys.exit(main())
