"""What the user points at (folders, globs, URIs, manifests, truth files) as a list of pictures."""

from __future__ import annotations

import pickle
import posixpath
import unicodedata
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import partial
from typing import Any

from fsspec.implementations.local import LocalFileSystem

from lpr_core.score import PlateTruth
from pipelines.manifests import BOX_COLUMNS, BadRow, InputError, ManifestRow, parse_row, read_cells
from pipelines.uris import canonical_uri, is_relative, open_store, split_chain

PICTURE_SUFFIXES = (
    *(".avif", ".bmp", ".gif", ".jfif", ".jp2", ".jpe", ".jpeg", ".jpg", ".pbm", ".pgm", ".png"),
    *(".pnm", ".ppm", ".tga", ".tif", ".tiff", ".webp"),
)
MANIFEST_SUFFIXES = (".txt", ".csv", ".jsonl", ".parquet")
BLOCK_SIZE = 16


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
    truths: dict[str, dict[ManifestRow, None]] = {}  # a dict for its order
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
    for where, cells in read_cells(uri, _suffix(head), required=("uri",)):
        try:
            row = parse_row(cells, "uri")
        except BadRow as error:
            yield ImageRef(where, problem=f"{where}: {error}")
            continue
        target = f"{folder}/{row.key}{outer}" if is_relative(row.key) else row.key
        yield ImageRef(canonical_uri(target), _truths([row]), row.labels, row.captured_at)


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
        raise InputError(f"{file}: {_reason(error)}") from error


def _truths(rows: Sequence[ManifestRow]) -> tuple[PlateTruth, ...] | None:
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


def _with_truth(ref: ImageRef, rows: Sequence[ManifestRow]) -> ImageRef:
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
