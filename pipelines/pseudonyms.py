"""Pseudonyms: plates and URIs as keyed tokens in the public tables, all else in a folder beside it.

A token is an HMAC (RFC 2104) with SHA-256: equal plates have equal tokens, so that they can be
counted and joined, and without the key nobody can tell which plate it is by trying them all.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

from lpr_core.score import normalise_text
from pipelines.redact import redact
from pipelines.uris import OpensStores, canonical_uri, open_store, split_chain

if TYPE_CHECKING:  # asking for a plate needs no Beam, which takes seconds to import
    from pipelines.commit import RunPlan
    from pipelines.tables import Row

MIN_KEY_BYTES = 32

EMPTIED: Mapping[str, Any] = {
    "edits": [],
    "characters": [],
    "alternatives": [],
    "crop": None,
    "source_version": None,  # a store's own words
}
"""Columns of which the public tables hold nothing."""


class PseudonymError(ValueError):
    """A key or folder that pseudonyms cannot be made with; the message says what to do."""


@dataclass(frozen=True)
class Pseudonyms(OpensStores):
    """Makes tokens with the key of a file: `<key_id>-<32 hex digits>`.

    It holds the file's name, and that is all that is pickled: each process reads the key itself.

    Attributes:
        key_file: the file's canonical URI.
        key_id: 8 hex digits that tell keys apart and nothing about them.
    """

    key_file: str
    key_id: str

    @classmethod
    def from_file(cls, key_file: str) -> Pseudonyms:
        """Those of a key file, a local path or anything fsspec opens.

        Raises:
            PseudonymError: it cannot be read, or holds no key.
        """
        uri = canonical_uri(key_file)
        return cls(uri, _key_id(_read_key(uri)))

    def __getstate__(self) -> tuple[dict[str, Any], dict[str, Any]]:
        return super().__getstate__()[0], asdict(self)

    @cached_property
    def _key(self) -> bytes:
        key = _read_key(self.key_file)
        if _key_id(key) != self.key_id:
            raise PseudonymError(f"{redact(self.key_file)} holds another key than {self.key_id}")
        return key

    def _token(self, domain: str, value: str) -> str:
        return f"{self.key_id}-{_hmac(self._key, domain, value)[:32]}"

    def plate(self, text: str) -> str:
        """The token of a plate's text in any spelling; "" where no letter or digit is left."""
        text = normalise_text(text)
        return text and self._token("plate", text)

    def uri(self, uri: str) -> str:
        """The token of a URI as the tables hold it: canonical."""
        return self._token("uri", uri)

    def read(self, read_id: str) -> str:
        """The token of a read id, which is a hash that whoever knows the URI could repeat."""
        return self._token("read", read_id)

    def restricted_row(self, row: Row) -> Row:
        """A row of a table, complete, and with the read id that joins it to the public one."""
        read_id = row.get("read_id")
        return row if read_id is None else {**row, "read_id": self.read(read_id)}

    def public_row(self, row: Row) -> Row:
        """A row of a table without what tells the plate or the place of the picture."""
        tokens = {"uri": self.uri, "text": self.plate, "text_raw": self.plate}
        public = self.restricted_row(row)
        public |= {column: EMPTIED[column] for column in row.keys() & EMPTIED}
        public |= {
            column: tokens[column](row[column])
            for column in row.keys() & tokens
            if row[column] is not None
        }
        if row.get("message") is not None:
            public["message"] = f"{public['uri']}: {row['stage']}/{row['reason']}"
        return public

    def restricted_plan(self, plan: RunPlan) -> RunPlan:
        """A run's plan for the folder of the complete tables."""
        run = replace(plan.run, output=restricted_folder(plan.run.output))
        return replace(plan, run=run, pseudonyms={"key_id": self.key_id, "restricted": True})

    def public_plan(self, plan: RunPlan) -> RunPlan:
        """A run's plan for the public folder: of its options only numbers and switches are kept.

        Any text may name a file.

        Raises:
            PseudonymError: the key lies in that folder.
        """
        if self.key_file.startswith(f"{plan.run.output}/"):
            raise PseudonymError(f"{self.key_file} is in the public folder: keep the key elsewhere")
        kept = {
            name: value
            for name, value in plan.options.items()
            if value is None or isinstance(value, (bool, int, float))
        }
        return replace(
            plan,
            bundle={**plan.bundle, "location": None},
            options=kept,
            pseudonyms={"key_id": self.key_id, "restricted": False},
        )


def restricted_folder(output: str) -> str:
    """The folder of what the public tables leave out, beside that of theirs.

    Args:
        output: the canonical URI of an output folder. Of a chain it is the first link with a path.

    Raises:
        PseudonymError: it is a whole bucket or file system, with nothing of ours beside it.
    """
    link, rest = split_chain(output)
    if rest and "://" not in link:
        return f"{link}::{restricted_folder(rest[2:])}"
    folder = link.rstrip("/")
    if "/" not in folder.rpartition("://")[2]:
        raise PseudonymError(f"{output} has no folder beside it: choose one inside it as --output")
    return f"{folder}-restricted{rest}"


def public_folder(restricted: str) -> str | None:
    """The folder whose `restricted_folder` it is; None if by its name it is that of none."""
    folder, suffix, rest = restricted.rpartition("-restricted")
    public = folder + rest
    is_beside = suffix and folder and restricted_folder(public) == restricted
    return public if is_beside else None


def check_alike(records: Iterable[Mapping[str, Any]], plan: RunPlan) -> None:
    """Check that a run's tokens can be joined with those of the runs before it, if there are any.

    Args:
        records: of committed runs in the folder of the plan.
        plan: of the run.

    Raises:
        PseudonymError: they are made with another key, or only one of the two has any.
    """
    for record in records:
        found = record.get("pseudonyms")
        if found != plan.pseudonyms:
            raise PseudonymError(
                f"{plan.run.output} holds {_kind(found)} and takes no "
                f"{_kind(plan.pseudonyms)}: choose another --output"
            )


def is_public(record: Mapping[str, Any]) -> bool:
    """Whether a run's tables hold tokens in place of plates and URIs."""
    pseudonyms = record.get("pseudonyms")
    return pseudonyms is not None and not pseudonyms["restricted"]


def pseudonyms_of(records: Iterable[Mapping[str, Any]], key_file: str) -> Pseudonyms:
    """What makes the tokens that stand in the tables of these runs.

    Args:
        records: of runs.
        key_file: the file that their `--pseudonymise` named.

    Raises:
        PseudonymError: it is not the key of these runs, or they have no tokens.
    """
    pseudonyms = Pseudonyms.from_file(key_file)
    for record in records:
        if not is_public(record):
            raise PseudonymError(f"run {record['run_id']} is not pseudonymised: ask without a key")
        key_id = record["pseudonyms"]["key_id"]
        if key_id != pseudonyms.key_id:
            raise PseudonymError(
                f"run {record['run_id']} is pseudonymised with the key {key_id}, "
                f"{redact(key_file)} holds {pseudonyms.key_id}"
            )
    return pseudonyms


def _kind(pseudonyms: Mapping[str, Any] | None) -> str:
    if pseudonyms is None:
        return "tables without pseudonyms"
    tables = "restricted tables" if pseudonyms["restricted"] else "public tables"
    return f"{tables} of the key {pseudonyms['key_id']}"


def _read_key(uri: str) -> bytes:
    try:
        fs, path = open_store(uri)
        data: bytes = fs.cat_file(path)
    except Exception as error:  # a store's driver raises what it likes
        reason = getattr(error, "strerror", None) or type(error).__name__
        raise PseudonymError(f"cannot read the key file {redact(uri)}: {reason}") from error
    key = data.removesuffix(b"\n").removesuffix(b"\r")
    if len(key) < MIN_KEY_BYTES:
        raise PseudonymError(
            f"{redact(uri)} holds {len(key)} bytes, a key has at least {MIN_KEY_BYTES}: make one "
            "with `head -c 32 /dev/urandom | base64 > KEYFILE`"
        )
    return key


def _key_id(key: bytes) -> str:
    return _hmac(key, "key_id", "")[:8]


def _hmac(key: bytes, domain: str, value: str) -> str:
    # As the tables write names that are not UTF-8.
    message = f"{domain}\0{value}".encode("utf-8", "backslashreplace")
    return hmac.new(key, message, hashlib.sha256).hexdigest()
