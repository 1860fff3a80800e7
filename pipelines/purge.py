"""`platebeam purge`: what an output folder holds of a plate, a picture or a time, removed for good.

No file is edited. Those with such rows are written again without them, the run record is replaced,
then the old ones are deleted: at every moment the record lists whole files. As long as there is
something to delete, its `purge` says what, so that the next purge, of whatever, finishes one that
was killed.
"""

from __future__ import annotations

import argparse
import contextlib
import re
import sys
import uuid
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from typing import Any

import duckdb

from lpr_core.score import normalise_text
from pipelines.archive import (
    Archive,
    ArchiveError,
    connect,
    duckdb_path,
    escape,
    open_archive,
    parse_arguments,
)
from pipelines.option_types import place
from pipelines.pseudonyms import (
    PseudonymError,
    Pseudonyms,
    is_public,
    pseudonyms_of,
    public_folder,
    restricted_folder,
)
from pipelines.run_record import hash_and_size, read_record, read_records, utc_now, write_record
from pipelines.runs import uncommitted
from pipelines.schemas import SCHEMAS
from pipelines.summary import print_aligned
from pipelines.tables import ROWS_AT_ONCE, DataFile, Run, TableFile, new_path
from pipelines.uris import add_storage_options, canonical_uri, open_store, use_storage_options

PURGED = "(purged)"
"""Stands in place of a text that is gone."""

ALSO = {"A": "ẚ", "H": "ẖ", "I": "ı", "J": "ǰ", "N": "ŉ", "S": "ſ", "T": "ẗ", "W": "ẘ", "Y": "ẙ"}
"""What `str.upper`, and so `normalise_text`, takes for a letter beside its own lower case. Not all
are in RE2's (?i), and other signs are."""

SEPARATORS = f"(?:[^A-Za-z0-9{''.join(ALSO.values())}]|%[0-9A-Fa-f]{{2}})*"
"""What may stand between the characters of a plate, percent-encoded too."""

DEFINITIONS = """
    CREATE MACRO holds(text) AS regexp_matches(text, getvariable('pattern')::VARCHAR);
    CREATE MACRO is_labelled(text)
        AS regexp_matches(text, getvariable('label_pattern')::VARCHAR);
    CREATE TABLE gone AS SELECT uri FROM images
        WHERE captured_at < getvariable('before')::TIMESTAMP
        OR list_contains(getvariable('uris')::VARCHAR[], uri) OR holds(uri);
    CREATE TABLE paired AS SELECT unnest(getvariable('paired')::VARCHAR[]) AS read_id;
"""
"""The pictures that go, and the reads that are known to be of the plate, whatever they say."""

PAIRED = """
    SELECT DISTINCT read_id FROM truths
    WHERE read_id IS NOT NULL AND regexp_matches(text, $pattern)
"""
"""The reads that truths which hold the plate are paired with."""

GOES = {
    "images": "uri IN (FROM gone)",
    "plates": "uri IN (FROM gone) OR holds(text) OR holds(text_raw) OR read_id IN (FROM paired)",
    "truths": "uri IN (FROM gone) OR holds(text)",
    "metrics": "is_labelled(slice)",
}
"""Which rows of a table go."""

LOST = f"""
    CREATE TABLE lost AS SELECT uri, count(*) AS found, count(text) AS read FROM plates
        WHERE ({GOES["plates"]}) AND uri NOT IN (FROM gone) GROUP BY uri
"""
"""How many plates go of a picture that stays."""

STAYS = {
    "images": {
        "source_version": "CASE WHEN holds(source_version) THEN NULL ELSE source_version END",
        "labels": """map_from_entries(list_filter(
            map_entries(labels),
            lambda label: (is_labelled(label.key) OR is_labelled(label.value)) IS NOT TRUE
        ))""",
        "message": f"CASE WHEN holds(message) THEN '{PURGED}' ELSE message END",
        "plates_found": """plates_found
            - coalesce((SELECT found FROM lost WHERE lost.uri = source.uri), 0)""",
        "plates_read": """plates_read
            - coalesce((SELECT read FROM lost WHERE lost.uri = source.uri), 0)""",
    },
    "plates": {
        "alternatives": "list_filter(alternatives, lambda other: holds(other.text) IS NOT TRUE)",
    },
}
"""What of a plate's traces stays in the columns of the other rows."""

NAMES = r"""
    WITH given AS (SELECT unnest($1::VARCHAR[]) AS name)
    SELECT name FROM given WHERE is_labelled(name)
    UNION SELECT name FROM given JOIN gone ON parse_filename(name) = parse_filename(uri)
        AND ends_with('/' || uri, '/' || regexp_replace(name, '^(file:)?(\.{0,2}/)*', ''))
"""
"""Which of the texts hold the plate, or name a picture that goes, as seen from some folder."""

HOLDING = """
    SELECT DISTINCT text FROM (
        SELECT text FROM plates UNION ALL SELECT text_raw FROM plates
        UNION ALL SELECT text FROM truths
    ) WHERE regexp_matches(text, $pattern)
"""
"""The texts that hold the plate."""

Record = dict[str, Any]


class PurgeError(RuntimeError):
    """A run that could not be purged this time."""


@dataclass(frozen=True)
class Wanted:
    """What is to go, as it stands in a folder; of several conditions each suffices.

    Attributes:
        told: what a run record may tell of it.
        pattern: of the plate, see `plate_pattern`, or of its tokens.
        label_pattern: of the plate in labels and slices, which never are tokens.
        uris: of pictures.
        before: pictures captured earlier go; without a zone, as in the tables.
        paired: ids of reads that are of the plate, whatever they say.
    """

    told: Mapping[str, str]
    pattern: str | None = None
    label_pattern: str | None = None
    uris: Sequence[str] = ()
    before: datetime | None = None
    paired: Sequence[str] = ()


@dataclass(frozen=True)
class Found:
    """What a run holds of it.

    Attributes:
        removed, changed: how many rows go, and of how many others a part, by table.
        stay: of each file that has such rows, by path, how many rows stay.
        counts, failures: what the record's counts lose, and among them those of failures.
        names: texts of the record that go.
        undated: pictures of which nobody knows when they were captured.
    """

    removed: Mapping[str, int]
    changed: Mapping[str, int]
    stay: Mapping[str, int]
    counts: Mapping[str, int]
    failures: Mapping[str, int]
    names: Collection[str]
    undated: int

    def __bool__(self) -> bool:
        return bool(self.stay or self.names)


def plate_pattern(text: str) -> str:
    """A regular expression, RE2's and Python's, for a text that holds a plate.

    In such a text the plate's letters and digits follow one another, in upper or lower case and
    with any other signs between them: `normalise_text` would leave them side by side. Signs that
    are several letters, such as ß, count as other signs.

    Raises:
        ValueError: there is no letter or digit.
    """
    plate = normalise_text(text)
    if not plate:
        raise ValueError("it has no letter A-Z and no digit")
    return SEPARATORS.join(f"[{c}{c.lower()}{ALSO.get(c, '')}]" for c in plate)


def purge_folder(output: str, wanted: Wanted, dry_run: bool = False) -> list[str]:
    """Purge the runs of a folder, and print what goes.

    Args:
        output: the folder that `read` wrote to.
        wanted: what goes.
        dry_run: only print.

    Returns:
        Why some of it may still be there, a line each.

    Raises:
        ArchiveError: the folder cannot be asked; nothing was removed.
    """
    archive = open_archive(output)
    run_ids = [record["run_id"] for record in archive.records]
    paired = {
        record["run_id"]: _paired(replace(archive, records=(record,)), wanted)
        for record in archive.records
    }
    wanted = replace(wanted, paired=sorted(set().union(*paired.values())))
    found, reasons = {}, []
    # What truths tell is of reads in other runs too, so their own run comes last: a purge that was
    # killed can be repeated.
    for run_id in sorted(run_ids, key=lambda run_id: bool(paired[run_id])):
        try:
            found[run_id] = _purge_run(archive.output, run_id, wanted, dry_run)
        except Exception as error:  # a store's driver raises what it likes
            reasons.append(f"run {run_id}: {(str(error) or repr(error)).splitlines()[0]}")
    if any(found.values()) or not reasons:
        print_found({name: found[name] for name in run_ids if name in found}, wanted, dry_run)
    left = uncommitted(archive.output, read_records(archive.output))
    if left and not dry_run:
        reasons.append(
            f"{len(left)} files that no run has committed may hold it: when no job writes there, "
            f"purge again and remove what is left by `platebeam runs {archive.output} --clean`, "
            "and by hand what no job wrote"
        )
    return reasons


def _paired(archive: Archive, wanted: Wanted) -> set[str]:
    """The reads that a run's truths tell to be of the plate; none of a run that cannot be read,
    which its own purge tells.
    """
    if wanted.pattern is None:
        return set()
    try:
        with contextlib.closing(connect(archive)) as database:
            found = database.execute(PAIRED, {"pattern": wanted.pattern}).fetchall()
    except Exception:  # a store's driver raises what it likes
        return set()
    return {read_id for (read_id,) in found}


def _purge_run(output: str, run_id: str, wanted: Wanted, dry_run: bool) -> Found:
    record = read_record(output, run_id)
    if record is None:
        raise PurgeError("its record is no longer there")
    run = Run.of(record, output)
    with contextlib.closing(connect(Archive(output, (record,)))) as database:
        found = _find(database, output, record, wanted)
        if dry_run or not (found or "purge" in record):
            return found
        unfinished = record.get("purge", {}).get("delete", [])
        _check_unchanged(record["files"], found.stay, output)
        new = {
            file["path"]: new_path(file["table"], run)
            for file in _to_write_again(record["files"], found.stay)
        }
        claim = {"id": uuid.uuid4().hex, "delete": [*unfinished, *new.values()]}
        record = _replace(record, {**record, "purge": claim}, output)
        _delete(unfinished, output)
        written = {
            path: _write_again(database, run, path, new[path], found.stay[path], wanted)
            for path in new
        }
    if found:
        tombstone = {"at": utc_now(), **wanted.told, "rows": dict(found.removed)}
        purged = {
            **_without(record, found, written),
            "purged": [*record.get("purged", []), tombstone],
            "purge": {**claim, "delete": list(found.stay)},
        }
        try:
            record = _replace(record, purged, output)
        except PurgeError:  # the other purge may have deleted these before they were written
            _delete(new.values(), output)
            raise
        _delete(found.stay, output)
    _replace(record, {name: record[name] for name in record if name != "purge"}, output)
    return found


def _check_unchanged(files: Iterable[Record], paths: Collection[str], output: str) -> None:
    """Check files that are to be written again: the record would vouch for what others edited.

    Raises:
        PurgeError: one is not what the record lists.
    """
    for file in files:
        if file["path"] in paths:
            fs, path = open_store(f"{output}/{file['path']}")
            with fs.open(path, "rb") as opened:
                if hash_and_size(opened)[0] != file["sha256"]:
                    raise PurgeError(
                        f"{file['path']} is not what its record lists, so nothing was removed"
                    )


def _find(
    database: duckdb.DuckDBPyConnection, output: str, record: Record, wanted: Wanted
) -> Found:
    for name in ("pattern", "label_pattern", "uris", "before", "paired"):
        database.execute(f"SET VARIABLE {name} = $1", [getattr(wanted, name)])
    database.execute(DEFINITIONS)
    database.execute(LOST)
    removed, changed, stay = dict.fromkeys(GOES, 0), dict.fromkeys(GOES, 0), {}
    for table in GOES:
        for path, rows, go, change in _count_rows(database, output, record, table, wanted):
            removed[table] += go
            changed[table] += change
            if go or change:
                stay[path] = rows - go
    counts = {
        "inputs": removed["images"],
        "plates_found": removed["plates"],
        "plates_read": _ask(database, f"SELECT count(text) FROM plates WHERE {GOES['plates']}"),
        "truths": removed["truths"],
    }
    failures = {}
    outcomes = (
        f"SELECT status, stage, reason, count(*) FROM images WHERE {GOES['images']} GROUP BY ALL"
    )
    for status, stage, reason, number in database.execute(outcomes).fetchall():
        counts[status] = counts.get(status, 0) + number
        if stage:
            failures[f"{stage}/{reason}"] = number
    texts = list(_texts(_by_users(record)))
    names = {name for (name,) in database.execute(NAMES, [texts]).fetchall()}
    undated = _ask(database, "SELECT count(*) FROM images WHERE captured_at IS NULL")
    return Found(removed, changed, stay, counts, failures, names, undated)


def _ask(database: duckdb.DuckDBPyConnection, sql: str) -> int:
    (row,) = database.execute(sql).fetchall()
    return int(row[0])


def _count_rows(
    database: duckdb.DuckDBPyConnection, output: str, record: Record, table: str, wanted: Wanted
) -> list[tuple[str, int, int, int]]:
    """(path, rows, those that go, those of which a part goes) of a table's files."""
    files = [file for file in record["files"] if file["table"] == table and file["rows"]]
    if not files:
        return []
    paths = [escape(duckdb_path(f"{output}/{file['path']}")) for file in files]
    database.read_parquet(paths, filename=True).create_view("source", replace=True)
    changes = [
        f"{value} IS DISTINCT FROM {column}" for column, value in _stays(table, wanted).items()
    ]
    sql = f"""
        SELECT '{table}/' || parse_filename(filename), count(*), count(*) FILTER (goes),
            count(*) FILTER (changes AND NOT goes)
        FROM (
            SELECT filename, ({GOES[table]}) IS TRUE AS goes,
                {" OR ".join(changes) or "FALSE"} AS changes
            FROM source
        ) GROUP BY filename
    """
    return database.execute(sql).fetchall()


def _stays(table: str, wanted: Wanted) -> Mapping[str, str]:
    # Of pseudonymised tables the label's may be all there is: nothing else says the plate.
    return STAYS.get(table, {}) if wanted.label_pattern else {}


def _to_write_again(files: Iterable[Record], stay: Mapping[str, int]) -> Iterator[Record]:
    """The files of which rows stay; an empty one where a table would be left without any."""
    for table in SCHEMAS:
        of_table = [file for file in files if file["table"] == table]
        full = [file for file in of_table if stay.get(file["path"], 1)]
        yield from (file for file in full or of_table[:1] if file["path"] in stay)


def _write_again(
    database: duckdb.DuckDBPyConnection, run: Run, old: str, new: str, rows: int, wanted: Wanted
) -> DataFile:
    """Write the rows of a file that stay as another one.

    Raises:
        PurgeError: they are not as many as were counted.
    """
    table = old.partition("/")[0]
    path = escape(duckdb_path(f"{run.output}/{old}"))
    database.read_parquet(path).create_view("source", replace=True)
    columns = ", ".join(f"{value} AS {column}" for column, value in _stays(table, wanted).items())
    kept = database.sql(
        f"SELECT * {columns and f'REPLACE ({columns})'} FROM source "
        f"WHERE ({GOES[table]}) IS NOT TRUE"
    )
    file = TableFile(table, run, new)
    for batch in kept.to_arrow_reader(ROWS_AT_ONCE):
        file.add(batch.cast(SCHEMAS[table]))
    written = file.close()
    if written.rows != rows:
        raise PurgeError(f"{old} has changed: {written.rows} rows stay instead of {rows}")
    return written


def _without(record: Record, found: Found, written: Mapping[str, DataFile]) -> Record:
    """The record of what stays."""
    counts = {**record["counts"]}
    for name, number in found.counts.items():
        counts[name] -= number
    failures = {
        kind: number - found.failures.get(kind, 0) for kind, number in counts["failures"].items()
    }
    counts["failures"] = {kind: number for kind, number in failures.items() if number}
    files = [
        asdict(written[file["path"]]) if file["path"] in written else file
        for file in record["files"]
        if file["path"] in written or file["path"] not in found.stay
    ]
    by_users = _hidden(_by_users(record), found.names)
    bundle = {**record["bundle"], **by_users.pop("bundle")}
    return {**record, **by_users, "bundle": bundle, "counts": counts, "files": files}


def _by_users(record: Record) -> Record:
    """The parts of a record in which users' own names stand."""
    bundle = {"location": record["bundle"]["location"]}
    return {**{name: record[name] for name in ("options", "labels_not_sliced")}, "bundle": bundle}


def _texts(value: Any) -> Iterator[str]:
    """The texts in a part of a record."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, (list, dict)):
        for item in value.values() if isinstance(value, dict) else value:
            yield from _texts(item)


def _hidden(value: Any, names: Collection[str]) -> Any:
    """A part of a record without these texts."""
    if isinstance(value, dict):
        return {name: _hidden(item, names) for name, item in value.items()}
    if isinstance(value, list):
        return [_hidden(item, names) for item in value]
    return PURGED if isinstance(value, str) and value in names else value


def _replace(seen: Record, new: Record, output: str) -> Record:
    """Replace a record, and return the new one.

    Raises:
        PurgeError: it is not the one that was read: another purge of the same time has taken over.
    """
    if read_record(output, seen["run_id"]) != seen:
        raise PurgeError("another purge has changed it meanwhile: purge again")
    write_record(new, output)
    return new


def _delete(paths: Iterable[str], output: str) -> None:
    for path in paths:
        fs, file = open_store(f"{output}/{path}")
        with contextlib.suppress(FileNotFoundError):  # a purge that was killed came this far
            fs.rm_file(file)


def print_found(found: Mapping[str, Found], wanted: Wanted, dry_run: bool) -> None:
    """Print how many rows go, a line a run."""
    rows = [("run", *GOES, "changed")]
    for run_id, held in found.items():
        if held:
            numbers = (*held.removed.values(), sum(held.changed.values()))
            rows.append((run_id, *map(str, numbers)))
    if len(rows) > 1:
        print("rows that would be removed:" if dry_run else "rows removed:")
        print_aligned(rows, names=1)
    else:
        print("no run holds any of it")
    undated = sum(held.undated for held in found.values())
    if wanted.before and undated:
        print(f"{undated} pictures without captured_at stay: --uri removes those")


def make_parser() -> argparse.ArgumentParser:
    """The options of `platebeam purge`."""
    parser = argparse.ArgumentParser(
        prog="platebeam purge",
        description="Remove what an output folder holds of a plate, a picture or a time, for good.",
    )
    parser.add_argument(
        "output", type=place, metavar="OUTPUT", help="the folder that `read` wrote to"
    )
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument(
        "--before",
        type=_date,
        metavar="DATE",
        help="pictures captured before this day, YYYY-MM-DD, with their plates and truths",
    )
    what.add_argument(
        "--plate",
        type=_plate,
        metavar="TEXT",
        help="a plate in any spelling: its reads, crops and truths, pictures with it in their URI, "
        "and wherever else it is named",
    )
    what.add_argument(
        "--uri",
        type=_uri,
        help="a picture, with its plates and truths",
    )
    parser.add_argument(
        "--key",
        metavar="KEYFILE",
        help="of a pseudonymised output: the file that `read --pseudonymise` was given",
    )
    parser.add_argument(
        "--dry-run", action="store_true", help="print what would be removed, and remove nothing"
    )
    add_storage_options(parser)
    return parser


def _date(text: str) -> Wanted:
    if not re.fullmatch(r"\d{4}-\d\d-\d\d", text):
        raise argparse.ArgumentTypeError("it is no day as YYYY-MM-DD")
    try:
        return Wanted({"kind": "before", "before": text}, before=datetime.fromisoformat(text))
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _uri(text: str) -> Wanted:
    return Wanted({"kind": "uri"}, uris=(canonical_uri(place(text)),))


def _plate(text: str) -> Wanted:
    try:
        pattern = plate_pattern(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
    return Wanted({"kind": "plate"}, pattern, pattern)


def each_folder(output: str, wanted: Wanted, key_file: str | None) -> list[tuple[str, Wanted]]:
    """The folders to purge, and what goes there: of a pseudonymised output both.

    The restricted one comes last. What goes from the public one is known from it alone, so that a
    purge that was killed between the two can be repeated. It is alone where the public one has no
    run: an output's first run died between its two records.

    Raises:
        ArchiveError: a folder that is needed is not to be had, or is a restricted one.
        PseudonymError: the same of the key.
    """
    archive = open_archive(output)
    if any((record.get("pseudonyms") or {}).get("restricted") for record in archive.records):
        public = public_folder(archive.output)
        if public is not None and not read_records(public):
            return [(archive.output, wanted)]
        raise ArchiveError(
            f"{archive.output} is a restricted folder: purge the public one beside it, and that "
            "purges both"
        )
    pseudonyms = None if key_file is None else pseudonyms_of(archive.records, key_file)
    if not any(map(is_public, archive.records)):
        return [(archive.output, wanted)]
    restricted = open_archive(restricted_folder(archive.output))
    if wanted.before is not None:
        return [(archive.output, wanted), (restricted.output, wanted)]
    if pseudonyms is None:
        raise PseudonymError(
            f"{archive.output} has tokens in place of plates and URIs: give --key KEYFILE"
        )
    tokens = _tokens(restricted, wanted, pseudonyms)
    return [(archive.output, tokens), (restricted.output, wanted)]


def _tokens(restricted: Archive, wanted: Wanted, pseudonyms: Pseudonyms) -> Wanted:
    """What goes from the public folder of an output."""
    uris, texts = [(uri,) for uri in wanted.uris], []
    if wanted.pattern is not None:
        with contextlib.closing(connect(restricted)) as database:
            holding = {"pattern": wanted.pattern}
            texts = database.execute(HOLDING, holding).fetchall()
            holds = "SELECT uri FROM images WHERE regexp_matches(uri, $pattern)"
            uris += database.execute(holds, holding).fetchall()
    tokens = "|".join(pseudonyms.plate(text) for (text,) in texts)
    return replace(
        wanted,
        pattern=f"^({tokens})$" if tokens else None,
        uris=[pseudonyms.uri(uri) for (uri,) in uris],
    )


def main(argv: Sequence[str] | None = None) -> int:
    """Run `platebeam purge`.

    Returns:
        0: nothing of it is left; 1: some may be, which stderr tells; 2: bad options or folder,
        nothing was removed.
    """
    arguments = parse_arguments(make_parser(), argv)
    use_storage_options(arguments.storage_options)
    wanted = arguments.before or arguments.plate or arguments.uri
    reasons: list[str] = []
    try:
        folders = each_folder(arguments.output, wanted, arguments.key)
        for output, what in folders:
            if len(folders) > 1:
                print(f"{output}:")
            reasons += purge_folder(output, what, arguments.dry_run)
    except (ArchiveError, PseudonymError) as error:
        print(f"platebeam purge: {error}", file=sys.stderr)
        return 2
    except Exception as error:  # a store's driver raises what it likes
        reasons.append(str(error) or repr(error))
    for reason in reasons:
        print(f"platebeam purge: {reason}", file=sys.stderr)
    return 1 if reasons else 0


if __name__ == "__main__":
    sys.exit(main())
