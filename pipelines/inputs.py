"""What the user points at (folders, globs, URIs, manifests, truth files) as pictures to read."""

from __future__ import annotations

import os
import posixpath
import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime
from enum import Enum
from functools import partial
from operator import attrgetter
from typing import Any

from fsspec.archive import AbstractArchiveFileSystem
from fsspec.implementations.local import LocalFileSystem

from lpr_core.geometry import Box
from lpr_core.score import PlateTruth, normalise_text
from pipelines.failures import Failure, Reason, Stage
from pipelines.manifests import (
    BOX_COLUMNS,
    BadRow,
    InputError,
    ManifestRow,
    check_cells,
    parse_row,
    read_cells,
)
from pipelines.uris import canonical_uri, is_relative, open_store, reason_of, split_chain

PICTURE_SUFFIXES = (
    *(".avif", ".bmp", ".gif", ".jfif", ".jp2", ".jpe", ".jpeg", ".jpg", ".pbm", ".pgm", ".png"),
    *(".pnm", ".ppm", ".tga", ".tif", ".tiff", ".webp"),
)
MANIFEST_SUFFIXES = (".txt", ".csv", ".jsonl", ".parquet")
MANIFEST_COLUMNS = ("uri",)


class Kind(str, Enum):
    """What an INPUT argument can be."""

    PICTURE = "picture"
    FOLDER = "folder"
    GLOB = "glob"
    MANIFEST = "manifest"


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
        version: the source's own mark of its content where the listing told it: see
            `source_version`.
        known: versions or hashes that the content had when it was read before; where it still has
            one of them, it is not read again.
        problem: why this is no usable input (of a row of a manifest with file and line), or None.
    """

    uri: str
    truths: tuple[PlateTruth, ...] | None = None
    labels: tuple[tuple[str, str], ...] = ()
    captured_at: datetime | None = None
    version: str | None = None
    known: tuple[str, ...] = ()
    problem: Failure | None = None


@dataclass(frozen=True)
class Listing:
    """Where pictures are still to be looked for.

    Attributes:
        given: which of the INPUT arguments it comes from, counted from 0.
        kind: what it is.
        uri: canonical.
        row_group: of a Parquet manifest, which of its parts; None: all of it.
    """

    given: int
    kind: Kind
    uri: str
    row_group: int | None = None


def find_listings(inputs: Sequence[str]) -> list[Listing]:
    """Look at the INPUT arguments, not into them: what the workers have to list.

    Args:
        inputs: folders (their pictures by extension, recursively), globs, manifests (by extension),
            or single pictures; local paths or anything fsspec opens.

    Raises:
        InputError: an input that is missing, unreadable or (a local one) without any picture; a
            manifest without its columns.
    """
    listings = []
    for number, given in enumerate(inputs):
        try:
            listings += _listings_of(number, given)
        except InputError:
            raise
        except Exception as error:  # a store's driver raises what it likes
            raise InputError(f"{given}: {reason_of(error)}") from error
    return listings


def _listings_of(number: int, given: str) -> list[Listing]:
    uri = canonical_uri(given)
    fs, path = open_store(uri, skip_instance_cache=True)
    if any(sign in path for sign in "*?[") and not fs.exists(path):
        kind = Kind.GLOB
    elif fs.isdir(path):
        kind = Kind.FOLDER
    elif not fs.exists(path):
        raise InputError(f"{given}: there is no such file or folder")
    elif _suffix(path) not in MANIFEST_SUFFIXES:
        kind = Kind.PICTURE
    else:
        groups = check_cells(uri, _suffix(path), MANIFEST_COLUMNS)
        parts = [None] if groups is None else range(groups)
        return [Listing(number, Kind.MANIFEST, uri, part) for part in parts]
    listing = Listing(number, kind, uri)
    if isinstance(fs, LocalFileSystem) and kind is Kind.FOLDER:
        os.scandir(path).close()  # what may not be listed at all is no use
    # A bucket may take hours to list, and its last folder may hold the first picture.
    is_local = os.path.isabs(uri) or os.path.isabs(split_chain(uri)[1].rpartition("::")[2])
    if is_local and _is_empty(listing):
        raise InputError(f"{given}: there is no picture in it")
    return [listing]


def _is_empty(listing: Listing) -> bool:
    folders = [listing]
    while folders:
        found = look_into(folders.pop())
        if next(iter(found.refs), None) is not None:
            return False
        folders += found.folders
    return True


@dataclass(frozen=True)
class Found:
    """What a listing came to.

    Attributes:
        refs: its pictures; of a manifest, rows of one picture are not merged.
        folders: what is still to be looked into.
        ignored: how many other files were passed over.
    """

    refs: Iterable[ImageRef]
    folders: Sequence[Listing] = ()
    ignored: int = 0


def look_into(listing: Listing) -> Found:
    """List one level of it.

    A folder, or a link to one, that stands where a picture should is a picture too, which load
    refuses: it must not vanish. Links to folders are not followed. A folder that cannot be listed
    is a ref with a `problem`.

    Raises:
        InputError: a manifest or glob that cannot be read.
    """
    if listing.kind is Kind.PICTURE:
        return Found([_writable(ImageRef(listing.uri))])
    if listing.kind is Kind.MANIFEST:
        return Found(map(_writable, read_manifest(listing.uri, listing.row_group)))
    # A new client of S3 takes 0.2 s, too long for each folder; an archive keeps the list it read.
    is_new = listing.kind is Kind.GLOB or bool(split_chain(listing.uri)[1])
    fs, path = open_store(listing.uri, skip_instance_cache=is_new)
    if listing.kind is Kind.FOLDER:
        try:
            found = _sort_out(listing, fs, _entries(fs, path))
            lost = [name for name in _out_of_reach(fs, path) if _is_picture(name)]
            return replace(found, refs=[*found.refs, *(_lost(listing, name) for name in lost)])
        except Exception as error:  # a store's driver raises what it likes
            message = f"{listing.uri}: the folder cannot be listed: {reason_of(error)}"
            problem = Failure(Stage.INPUT, Reason.NOT_LISTED, message)
            return Found([_writable(ImageRef(listing.uri, problem=problem))])
    # What may not be listed must stop the job: its pictures would vanish. As an option of `glob`,
    # fsspec would forget it below the first folder.
    fs.walk = partial(fs.walk, on_error="raise")
    try:
        matches = fs.glob(path, detail=True)
    except Exception as error:
        raise InputError(f"{listing.uri}: {reason_of(error)}") from error
    if not matches:
        raise InputError(f"{listing.uri}: nothing matches")
    return _sort_out(listing, fs, matches.values())


def _lost(listing: Listing, name: str) -> ImageRef:
    link, rest = split_chain(listing.uri)
    uri = f"{link.partition('://')[0]}://{name.lstrip('/')}{rest}"
    message = f"{uri}: the archive calls it {name}, which cannot be opened: pack it anew"
    return _writable(ImageRef(uri, problem=Failure(Stage.INPUT, Reason.NOT_LISTED, message)))


def _entries(fs: Any, path: str) -> Iterator[Mapping[str, Any]]:
    """What fsspec tells of each entry of a folder."""
    if isinstance(fs, LocalFileSystem):
        # One by one: as a list they take a kilobyte each.
        with os.scandir(path) as entries:
            for entry in entries:
                with suppress(FileNotFoundError):  # removed meanwhile
                    yield fs.info(entry)
        return
    for info in fs.ls(path, detail=True):
        # Object stores have entries of no bytes that stand for the folder itself.
        if _same(info["name"]) != _same(path):
            yield info


def _out_of_reach(fs: Any, path: str) -> Iterator[str]:
    """The members of an archive that fsspec neither lists nor opens, told with its root."""
    if isinstance(fs, AbstractArchiveFileSystem) and not _same(path):
        for name in fs.dir_cache:
            if name.startswith("/") or "//" in name:
                yield name


def _sort_out(listing: Listing, fs: Any, entries: Iterable[Mapping[str, Any]]) -> Found:
    """Pictures, folders and the rest, in order; of a glob's matches all files are pictures."""
    is_glob = listing.kind is Kind.GLOB
    refs, folders, ignored = [], [], 0
    for info in entries:
        name = info["name"]
        is_folder = info["type"] == "directory" and not info.get("islink")
        full = name if isinstance(fs, LocalFileSystem) else fs.unstrip_protocol(name)
        uri = full + split_chain(listing.uri)[1]
        wanted = _is_picture(name) or (is_glob and not is_folder)
        if wanted or (info.get("islink") and fs.isdir(name)):
            # A list tells a link's own time, load that of the file behind it.
            version = None if info.get("islink") else source_version(info)
            refs.append(_writable(ImageRef(uri, version=version)))
        elif is_glob or not is_folder:
            ignored += 1
        if is_folder and not is_glob:
            folders.append(replace(listing, uri=uri))
    refs.sort(key=attrgetter("uri"))
    folders.sort(key=attrgetter("uri"))
    return Found(refs, folders, ignored)


def _same(path: str) -> str:
    return path.strip("/")


def _writable(ref: ImageRef) -> ImageRef:
    """The ref, or one with a problem where its name is none that a table can hold."""
    name = ref.uri.encode("utf-8", "backslashreplace").decode()
    if name == ref.uri:
        return ref
    message = f"{name}: its name is not UTF-8"
    return ImageRef(name, problem=Failure(Stage.INPUT, Reason.BAD_ROW, message))


def source_version(info: Mapping[str, Any]) -> str | None:
    """A source's own mark of its content, from what fsspec tells about a file."""
    # In Google's store the etag also changes with what is said of an object.
    for key in ("generation", "etag", "ETag"):
        if info.get(key):
            return f"{key.lower()}:{info[key]}"
    if info.get("CRC"):  # of a member of a zip, whose times are often all the same
        return f"size:{info.get('size')},crc:{info['CRC']}"
    for key in (
        "mtime",
        "LastModified",
        "Last-Modified",
        "last_modified",
        "updated",
        "date_time",
        "created",
    ):
        if info.get(key):
            return f"size:{info.get('size')},mtime:{info[key]}"
    return None


def read_manifest(uri: str, row_group: int | None = None) -> Iterator[ImageRef]:
    """One ref a row of a `.txt` (a URI a line), `.csv`, `.jsonl` or `.parquet` manifest.

    Columns: `uri` (relative ones are relative to the manifest) and optionally `text`, `x`, `y`,
    `w`, `h`, `captured_at` (ISO 8601); all others are labels. A row whose text and box are blank is
    a picture without a plate if the box columns are there; nothing is known about it otherwise. A
    bad row becomes a ref with a `problem`. A row of a text file is a line. Of a Parquet manifest
    one part can be read alone.

    Raises:
        InputError: there is no `uri` column, or the file is not what its extension says.
    """
    head, outer = split_chain(uri)
    folder = head.rpartition("/")[0]
    for where, cells in read_cells(uri, _suffix(head), MANIFEST_COLUMNS, row_group):
        try:
            row = parse_row(cells, "uri")
        except BadRow as error:
            problem = Failure(Stage.INPUT, Reason.BAD_ROW, f"{where}: {error}")
            yield ImageRef(where, problem=problem)
            continue
        target = f"{_joined(folder, row.key)}{outer}" if is_relative(row.key) else row.key
        yield ImageRef(canonical_uri(target), _truths([row]), row.labels, row.captured_at)


def _joined(folder: str, relative: str) -> str:
    """A path below a folder, or beside it; stores do not resolve the dots."""
    scheme, separator, path = folder.partition("://")
    if ".." not in relative.split("/") or not separator:
        return f"{folder}/{relative}"
    return f"{scheme}://{posixpath.normpath(f'{path}/{relative}')}"


class TruthFiles:
    """The known plates of truth files.

    `image` matches the end of a URI, whole path components at a time ("car1.jpg" and "us/car1.jpg"
    both match ".../us/car1.jpg", the longer one first). Equal rows are one.
    """

    def __init__(self, files: Sequence[str]) -> None:
        """Read CSV files with the columns image, x, y, w, h, text and any labels.

        Raises:
            InputError: a file that is missing, without its columns, or with a bad row.
        """
        self._rows: dict[str, dict[ManifestRow, None]] = {}  # a dict for its order
        for file in files:
            for row in _truth_rows(file):
                self._rows.setdefault(row.key, {})[row] = None

    def key(self, ref: ImageRef) -> str | None:
        """The longest end of a ref's path that there are rows for."""
        path = _normal_path(split_chain(ref.uri)[0])
        while path and path not in self._rows:
            path = path.partition("/")[2]
        return path or None

    def rows(self, key: str) -> int:
        """How many rows there are for it."""
        return len(self._rows[key])

    def __len__(self) -> int:
        """How many rows there are."""
        return sum(map(len, self._rows.values()))

    def known(self, ref: ImageRef, key: str) -> ImageRef:
        """The ref with the truths and labels of a key; truths of its own it keeps."""
        if ref.truths is not None:
            return ref
        rows = list(self._rows[key])
        known = replace(ref, truths=_truths(rows))
        for row in rows:
            known = merge(known, ImageRef(ref.uri, None, row.labels, row.captured_at))
        return known


def _truth_rows(file: str) -> Iterator[ManifestRow]:
    try:
        columns = ("image", *BOX_COLUMNS, "text")
        for where, cells in read_cells(canonical_uri(file), ".csv", columns):
            try:
                row = parse_row(cells, "image")
                yield replace(row, key=_normal_path(row.key))
            except BadRow as error:
                raise InputError(f"{where}: {error}") from None
    except InputError:
        raise
    except Exception as error:
        raise InputError(f"{file}: {reason_of(error)}") from error


def _truths(rows: Sequence[ManifestRow]) -> tuple[PlateTruth, ...] | None:
    if not any(row.has_truth for row in rows):
        return None
    return _distinct(row.truth for row in rows if row.truth is not None)


def _distinct(truths: Iterable[PlateTruth]) -> tuple[PlateTruth, ...]:
    """Truths that are the same plate, however it is spelled, once."""
    known: dict[tuple[str, Box | None], PlateTruth] = {}
    for truth in truths:
        known.setdefault((normalise_text(truth.text) or truth.text, truth.box), truth)
    return tuple(known.values())


def _normal_path(path: str) -> str:
    """A path as truth files and URIs are compared: macOS decomposes the letters of names."""
    return unicodedata.normalize("NFC", posixpath.normpath(path))


def merge(known: ImageRef, more: ImageRef) -> ImageRef:
    """Two rows of one picture as one: their truths, equal ones once, differing labels as "a|b"."""
    labels = dict(known.labels)
    for name, value in more.labels:
        values = [*labels[name].split("|"), *value.split("|")] if name in labels else [value]
        labels[name] = "|".join(dict.fromkeys(values))
    truths = known.truths
    if more.truths is not None:
        truths = _distinct((truths or ()) + more.truths)
    return replace(
        known,
        truths=truths,
        labels=tuple(labels.items()),
        captured_at=known.captured_at or more.captured_at,
        version=known.version or more.version,
    )


def _suffix(path: str) -> str:
    return posixpath.splitext(path)[1].lower()


def _is_picture(path: str) -> bool:
    return _suffix(path) in PICTURE_SUFFIXES
