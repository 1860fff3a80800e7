"""URIs, and the file systems behind them.

A local file is named by its absolute path, whatever signs are in it; all else is fsspec's. There
`::` chains URIs (`zip://inside.jpg::archive.zip`), but it may also stand in the name of a file.
"""

from __future__ import annotations

import os
from typing import Any

import fsspec
from fsspec.implementations.local import LocalFileSystem

PROTOCOLS = frozenset(fsspec.available_protocols())


def split_chain(uri: str) -> tuple[str, str]:
    """The first link of a chained URI, and the rest with its `::`, "" where there is no chain."""
    links = uri.split("::")
    if any("://" in link or link in PROTOCOLS for link in links):
        return links[0], uri[len(links[0]) :]
    return uri, ""


def is_relative(uri: str) -> bool:
    """Whether it is a local path that means something else from another folder."""
    return "://" not in uri and not split_chain(uri)[1] and not os.path.isabs(uri)


def canonical_uri(uri: str) -> str:
    """A URI that means the same from any working folder: local paths absolute, without `file://`.

    Of a chain the last link is made absolute.
    """
    link, rest = split_chain(uri)
    if rest:
        return f"{link}::{canonical_uri(rest[2:])}"
    if uri.startswith(("file://", "local://")) or "://" not in uri:
        return os.path.abspath(str(LocalFileSystem._strip_protocol(uri)))
    return uri


def open_store(uri: str, **options: Any) -> tuple[Any, str]:
    """(fsspec file system, path in it) of a canonical URI."""
    if os.path.isabs(uri):
        return LocalFileSystem(**options), uri
    fs, path = fsspec.core.url_to_fs(uri, **options)
    return fs, path
