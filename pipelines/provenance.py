"""What a committed run was made from, looked for again: its sources, its bundle, its options."""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Iterator, Mapping, Sequence
from enum import Enum
from typing import Any

from lpr_core.bundle import BundleError, MissingBundleError
from lpr_core.decode import DecodeLimits, DecodeReason
from lpr_core.plate_reader import ReaderConfig
from pipelines.archive import Archive, ArchiveError
from pipelines.failures import Reason
from pipelines.inputs import ImageRef
from pipelines.load import LoadFn
from pipelines.pictures import LoadedPicture, PictureResult, named
from pipelines.pseudonyms import is_public, restricted_folder
from pipelines.run_record import RecordError
from pipelines.shared_reader import load_bundle
from pipelines.stages import Limits
from pipelines.uris import canonical_uri


class SourceState(str, Enum):
    """How a picture's file stands to the one that was read."""

    SAME = "same"
    CHANGED = "changed"
    MISSING = "missing"
    UNREADABLE = "unreadable"


_STATES: Mapping[Reason | DecodeReason, SourceState] = {
    Reason.NOT_FOUND: SourceState.MISSING,
    Reason.IS_A_DIRECTORY: SourceState.CHANGED,
    Reason.TOO_MANY_BYTES: SourceState.CHANGED,
}
"""By what a fetch failed of; whatever else it was, says nothing of the file."""


def source_state(picture: LoadedPicture | PictureResult, sha256: str | None) -> SourceState:
    """How a picture that was fetched again stands to the hash of the one that was read."""
    if picture.facts.sha256 is not None:
        return SourceState.SAME if picture.facts.sha256 == sha256 else SourceState.CHANGED
    assert isinstance(picture, PictureResult) and picture.failure is not None
    return _STATES.get(picture.failure.reason, SourceState.UNREADABLE)


def load_again(uris: Iterable[str], limits: Limits) -> Iterator[LoadedPicture | PictureResult]:
    """Fetch pictures as the job does: some ahead, handed on in order, tried again, given up."""
    load = LoadFn(limits.decode.max_bytes, limits.load_attempts, limits.timeout)
    load.start_bundle()
    for uri in uris:
        yield from load.process(named(ImageRef(uri)))
    for fetched in load.finish_bundle():
        yield fetched.value


def fetch_again(uri: str, sha256: str, limits: Limits) -> bytes | SourceState:
    """The bytes of a picture that was read, or why they are not to be had.

    Args:
        uri: as the tables hold it.
        sha256: the hash of its bytes when it was read.
        limits: of the run.
    """
    (picture,) = load_again([uri], limits)
    state = source_state(picture, sha256)
    if state is SourceState.SAME and isinstance(picture, LoadedPicture):
        return picture.data
    return state


def add_bundle_folders(parser: argparse.ArgumentParser) -> None:
    """Give a command `--bundle`, a list of folders for `find_bundle`."""
    parser.add_argument(
        "--bundle",
        action="append",
        default=[],
        metavar="FOLDER",
        help="where models lie that are not where the run record says; may be repeated",
    )


def find_bundle(record: Mapping[str, Any], folders: Sequence[str] = ()) -> str | None:
    """The folder, as `load_bundle` takes it, where the bundle of a run lies now.

    Args:
        record: the run's record.
        folders: where to look, before the place that the record names.

    Raises:
        MissingBundleError: there is no bundle.
        BundleError: there is one, but not that of the run.
    """
    problems: list[BundleError] = []
    for folder in (*folders, record["bundle"]["location"]):
        place = folder and canonical_uri(folder)
        try:
            found = load_bundle(place)
        except BundleError as error:
            problems.append(error)
            continue
        if found.sha256 == record["bundle"]["sha256"]:
            return place
        named_so = "the package's own bundle" if place is None else f"the bundle at {folder}"
        problems.append(BundleError(f"{named_so} has another hash"))
    changed = [error for error in problems if not isinstance(error, MissingBundleError)]
    raise (changed or problems)[0]


def config_of(record: Mapping[str, Any]) -> ReaderConfig:
    """The configuration of a run's reader.

    Raises:
        RecordError: it is none, or not the one that its hash names.
    """
    try:
        given = {name: value for name, value in record["config"].items() if name != "sha256"}
        config = ReaderConfig(**{**given, "layouts": tuple(given["layouts"])})
    except (KeyError, TypeError, ValueError) as error:
        raise RecordError(f"the configuration is none of this platebeam: {error}") from error
    if config.sha256 != record["config"]["sha256"]:
        raise RecordError("the configuration is not the one that its hash names")
    return config


def limits_of(record: Mapping[str, Any]) -> Limits:
    """What a picture of a run could cost.

    Raises:
        RecordError: the options do not tell, or what cannot be.
    """
    try:
        given = record["options"]
        limits = DecodeLimits(given["max_bytes"], given["max_pixels"])
        return Limits(limits, given["load_attempts"], given["image_timeout"])
    except (KeyError, TypeError, ValueError) as error:
        raise RecordError(f"the options do not tell a picture's limits: {error!r}") from error


def refuse_pseudonyms(archive: Archive, otherwise: str = "") -> None:
    """Check that the tables hold plates and URIs, not tokens in their place.

    Args:
        archive: the runs.
        otherwise: what to do if not to name the restricted folder.

    Raises:
        ArchiveError: they hold tokens; the message names the folder to ask instead.
    """
    if any(map(is_public, archive.records)):
        raise ArchiveError(
            f"the tables of {archive.output} hold tokens in place of plates and URIs: name "
            f"{restricted_folder(archive.output)} instead{otherwise}"
        )
