"""Model bundles: a folder of weights with a manifest that lists the hash of every file."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

MANIFEST = "manifest.json"
FORMAT = "platebeam-bundle"
FORMAT_VERSION = 1


class BundleError(ValueError):
    """A bundle that is missing, incomplete, or not what its manifest says."""


class MissingBundleError(BundleError):
    """There is no bundle where one was looked for."""


@dataclass(frozen=True)
class Bundle:
    """Verified models, held as bytes that any number of interpreters can be made from.

    Attributes:
        manifest: the parsed `manifest.json`: alphabet, input size, preprocessing, calibration,
            training data, metrics, and the sha256 of each file.
        files: the bytes of each listed file, by name.
        sha256: the hash of the manifest's bytes, which names the whole bundle since the manifest
            holds the hash of everything else.
    """

    manifest: Mapping[str, Any]
    files: Mapping[str, bytes]
    sha256: str

    @classmethod
    def from_files(cls, files: Mapping[str, bytes]) -> Bundle:
        """Verify a bundle's files, the manifest among them.

        Raises:
            MissingBundleError: no manifest.
            BundleError: one that cannot be read, or a listed file that is missing or does not have
                the hash the manifest gives it.
        """
        if MANIFEST not in files:
            raise MissingBundleError(f"the bundle has no {MANIFEST}")
        try:
            manifest = json.loads(files[MANIFEST])
        except ValueError as error:
            raise BundleError(f"the bundle's {MANIFEST} is not JSON: {error}") from error
        try:
            found = (manifest["format"], manifest["format_version"])
            hashes = {name: entry["sha256"] for name, entry in manifest["files"].items()}
        except (AttributeError, KeyError, TypeError):
            found, hashes = None, {}
        if found != (FORMAT, FORMAT_VERSION):
            raise BundleError(f"{MANIFEST} is not one of a {FORMAT} of version {FORMAT_VERSION}")
        for name, sha256 in hashes.items():
            if name not in files:
                raise BundleError(f"the bundle lacks {name}")
            if hashlib.sha256(files[name]).hexdigest() != sha256:
                raise BundleError(f"{name} is not the file that the bundle's manifest lists")
        listed = {name: files[name] for name in hashes}
        return cls(manifest, listed, hashlib.sha256(files[MANIFEST]).hexdigest())

    @classmethod
    def load(cls, folder: str | Path | None = None) -> Bundle:
        """Load and verify a bundle from a local folder; None is the default bundle of the package.

        Raises:
            MissingBundleError: there is no such folder.
            BundleError: as `from_files`.
        """
        root = (
            resources.files("lpr_core") / "bundles" / "default" if folder is None else Path(folder)
        )
        if not root.is_dir():
            raise MissingBundleError(f"no bundle folder at {folder}")
        return cls.from_files({f.name: f.read_bytes() for f in root.iterdir() if f.is_file()})
