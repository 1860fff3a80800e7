"""URIs, and the file systems behind them.

A local file is named by its absolute path, whatever signs are in it; all else is fsspec's. There
`::` chains URIs (`zip://inside.jpg::archive.zip`), but it may also stand in the name of a file.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
from collections.abc import Mapping
from typing import Any

import fsspec
from fsspec.asyn import AsyncFileSystem
from fsspec.config import conf
from fsspec.implementations.local import LocalFileSystem

from pipelines.redact import redact

PROTOCOLS = frozenset(fsspec.available_protocols())

ALIASES = {"gcs://": "gs://", "s3a://": "s3://"}
"""Other names of stores; their listings use the first."""

_CONFIGURED = {protocol: dict(options) for protocol, options in conf.items()}
"""What the environment and the user's files configure of file systems."""

_in_use: dict[str, Mapping[str, Any]] = {}

# At DEBUG, which an option of Beam's can set, drivers write headers, in them session tokens, and
# names of files, and Beam writes elements; names of files carry plates.
for _name in ("aiobotocore", "botocore", "fsspec", "gcsfs", "s3fs", "apache_beam.runners.worker"):
    logging.getLogger(_name).setLevel(logging.INFO)


def split_chain(uri: str) -> tuple[str, str]:
    """The first link of a chained URI, and the rest with its `::`, "" where there is no chain."""
    links = uri.split("::")
    if any("://" in link or link in PROTOCOLS for link in links):
        return links[0], uri[len(links[0]) :]
    return uri, ""


def is_in_archive(uri: str) -> bool:
    """Whether its path lies in an archive that the rest of the chain names, not as of a cache."""
    link, rest = split_chain(uri)
    return bool(rest) and "://" in link


def name_of(uri: str) -> str:
    """The last name of a URI, of a chain that of its first link."""
    return split_chain(uri)[0].rpartition("/")[2]


def is_relative(uri: str) -> bool:
    """Whether it is a local path that means something else from another folder."""
    return "://" not in uri and not split_chain(uri)[1] and not os.path.isabs(uri)


def canonical_uri(uri: str) -> str:
    """A URI that means the same from any working folder: local paths absolute, without `file://`.

    Of a chain the last link is made absolute. What a store is also called it is not.
    """
    link, rest = split_chain(uri)
    if rest:
        return f"{link}::{canonical_uri(rest[2:])}"
    for alias, protocol in ALIASES.items():
        if uri.startswith(alias):
            return protocol + uri.removeprefix(alias)
    if uri.startswith(("file://", "local://")) or "://" not in uri:
        return os.path.abspath(str(LocalFileSystem._strip_protocol(uri)))
    return uri


def output_folder(uri: str) -> str:
    """The canonical URI of an output folder: the same with and without a slash at its end."""
    head, rest = split_chain(canonical_uri(uri))
    scheme, mark, path = head.rpartition("://")
    return (scheme + mark + path.rstrip("/") or "/") + rest


def open_store(uri: str, **options: Any) -> tuple[Any, str]:
    """(fsspec file system, path in it) of a canonical URI."""
    if os.path.isabs(uri):
        return LocalFileSystem(**options), uri
    fs, path = fsspec.core.url_to_fs(uri, **options)
    fs.invalidate_cache()  # lists it keeps do not show what other processes have written since
    return fs, path


def is_object_store(fs: Any) -> bool:
    """Whether it has keys, no folders, and what is put there appears whole or not at all.

    fsspec's asynchronous file systems are those that are spoken to over HTTP.
    """
    return isinstance(fs, AsyncFileSystem)


def make_parent(fs: Any, path: str) -> None:
    """Make the folder of a file that is to be written.

    Not in an object store: its driver would make the bucket, which may be one that was misspelt, or
    need rights that writing does not need.
    """
    if not is_object_store(fs):
        fs.makedirs(fs._parent(path), exist_ok=True)


def use_storage_options(by_protocol: Mapping[str, Mapping[str, Any]]) -> None:
    """Open file systems with these options from now on, in place of those used before.

    They hold for all that this process opens, the links of a chain too, beside what the environment
    configures; and for what its workers open, see `OpensStores`.
    """
    _in_use.clear()
    _in_use.update(by_protocol)
    conf.clear()
    for protocol in {*_CONFIGURED, *by_protocol}:
        conf[protocol] = {**_CONFIGURED.get(protocol, {}), **by_protocol.get(protocol, {})}


def reason_of(error: Exception) -> str:
    """What a store's driver says went wrong, without the path that the system's errors repeat."""
    text: str = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return text


class OpensStores:
    """Whatever of a job opens file systems on the workers, with the launcher's options.

    They go along when it is pickled, and are put to use where it is unpickled.
    """

    def __getstate__(self) -> tuple[dict[str, Any], dict[str, Any]]:
        return dict(_in_use), self.__dict__

    def __setstate__(self, state: tuple[dict[str, Any], dict[str, Any]]) -> None:
        options, attributes = state
        if options != _in_use:  # other threads may be opening stores
            use_storage_options(options)
        self.__dict__.update(attributes)


def add_storage_options(parser: argparse.ArgumentParser) -> None:
    """Give a command the option `--storage-options`, a dictionary for `use_storage_options`."""
    parser.add_argument(
        "--storage-options",
        type=_storage_options,
        default={},
        metavar="JSON",
        help='options of file systems by protocol, e.g. \'{"s3": {"requester_pays": true}}\'; '
        "credentials belong in the environment",
    )


def _storage_options(text: str) -> dict[str, dict[str, Any]]:
    """The option's value; what is wrong with it is told without the values, which may be secret."""
    try:
        by_protocol = json.loads(text)
    except (ValueError, RecursionError):
        raise argparse.ArgumentTypeError("it is not JSON") from None
    if not isinstance(by_protocol, dict):
        raise argparse.ArgumentTypeError('it is no JSON object of protocols, {"s3": {...}}')
    for protocol, options in by_protocol.items():
        if protocol not in PROTOCOLS:
            raise argparse.ArgumentTypeError(f"fsspec knows no protocol {protocol!r}")
        if not isinstance(options, dict):
            raise argparse.ArgumentTypeError(f"the options of {protocol} are no JSON object")
        for name, value in options.items():
            if redact({name: value}) != {name: value}:
                raise argparse.ArgumentTypeError(
                    f"{protocol}: {name} holds credentials, which belong in the environment "
                    "of the protocol's driver"
                )
    return by_protocol
