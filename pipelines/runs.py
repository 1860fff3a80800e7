"""`platebeam runs`: which runs an output folder holds, and what lies there that none committed.

A job that died leaves data files behind that no record lists: nobody reads them, but they take
space. A job that still runs has such files too, so a run that wrote a file within --min-age keeps
all of its own.
"""

from __future__ import annotations

import argparse
import contextlib
import re
import sys
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from typing import Any

from pipelines.option_types import number, place
from pipelines.pictures import ImageStatus
from pipelines.run_record import check_fields, files_below, read_records
from pipelines.schemas import SCHEMAS
from pipelines.summary import print_aligned
from pipelines.uris import add_storage_options, open_store, output_folder, use_storage_options

COUNTS = ("inputs", "unchanged", *(status.value for status in ImageStatus), "plates_read")

RECORD_FIELDS: Mapping[str, type] = {
    **dict.fromkeys(("run_id", "state", "started_at", "finished_at"), str),
    **{f"counts.{name}": int for name in COUNTS},
    "files": list,
}
"""What a record must hold to be listed."""


@dataclass(frozen=True)
class LeftFile:
    """A file of an output folder that no run record lists.

    Attributes:
        run_id: of the run that wrote it; None where its name is none that a job gives.
        path: as the folder's file system names it.
        bytes: its size.
        modified: when it was written last, UTC.
    """

    run_id: str | None
    path: str
    bytes: int
    modified: datetime


def uncommitted(output: str, records: Sequence[dict[str, Any]]) -> list[LeftFile]:
    """The files of the tables and the records' folder that none of the records lists."""
    fs, root = open_store(output)
    listed = _listed(root, records)
    left = []
    for folder in (*SCHEMAS, "runs"):
        for path, info in sorted(files_below(fs, f"{root}/{folder}").items()):
            with contextlib.suppress(FileNotFoundError):  # a job that runs renames and merges
                if path not in listed:
                    modified = fs.modified(path).astimezone(timezone.utc)
                    left.append(LeftFile(_run_of(path, folder), path, int(info["size"]), modified))
    return left


def _listed(root: str, records: Sequence[dict[str, Any]]) -> set[str]:
    """The paths of the records and of the files that they list."""
    files = {f"{root}/{file['path']}" for record in records for file in record["files"]}
    return files | {f"{root}/runs/{record['run_id']}.json" for record in records}


def _run_of(path: str, folder: str) -> str | None:
    """The run whose file that is by its name, None where it is no job's."""
    pattern = (
        r"(.+)\.json(\.tmp)?" if folder == "runs" else rf"{folder}-(.+)-[0-9a-f]{{12}}\.parquet"
    )
    name = re.fullmatch(pattern, path.rpartition("/")[2])
    return name and name[1]


def main(argv: Sequence[str] | None = None) -> int:
    """Run `platebeam runs`.

    Returns:
        0; 2: no such folder, a record that cannot be read, or a file that cannot be removed.
    """
    parser = argparse.ArgumentParser(
        prog="platebeam runs",
        description="List the runs of an output folder, and what no run committed.",
    )
    parser.add_argument(
        "output", type=place, metavar="OUTPUT", help="the folder that `read` wrote to"
    )
    parser.add_argument("--clean", action="store_true", help="remove what no run committed")
    parser.add_argument(
        "--min-age",
        type=number(0, 1e6),  # what is much older lies before the year 1
        default=24.0,
        metavar="HOURS",
        help="leave the files of a run that wrote any of them later, since it may still be running "
        "(default: %(default)s)",
    )
    add_storage_options(parser)
    arguments = parser.parse_args(argv)
    use_storage_options(arguments.storage_options)
    output = output_folder(arguments.output)
    try:
        records = read_records(output)
        for record in records:
            check_fields(record, output, RECORD_FIELDS, {"path": str})
        records.sort(key=lambda record: str(record["started_at"]))
        left = [file for file in uncommitted(output, records) if file.run_id is not None]
        if not records and not left:
            raise FileNotFoundError(f"no run was written to {output}")
        print_runs(records, left)
        if arguments.clean:
            clean(output, left, timedelta(hours=arguments.min_age))
    except BrokenPipeError:  # which `cli.run_and_leave` knows
        raise
    except Exception as error:  # a store's driver raises what it likes
        print(f"platebeam runs: {str(error) or repr(error)}", file=sys.stderr)
        return 2
    return 0


def print_runs(records: Sequence[dict[str, Any]], left: Sequence[LeftFile]) -> None:
    """Print a line a run, the earliest first, then one for each that left files uncommitted."""
    rows = [("run", "state", "finished", *COUNTS)]
    for record in records:
        counts = record["counts"]
        numbers = (counts[name] for name in COUNTS)
        rows.append((record["run_id"], record["state"], record["finished_at"], *map(str, numbers)))
    print_aligned(rows, names=3)
    by_run: dict[str | None, list[LeftFile]] = defaultdict(list)
    for file in left:
        by_run[file.run_id].append(file)
    for run_id, files in sorted(by_run.items(), key=str):
        size, latest = sum(file.bytes for file in files), max(file.modified for file in files)
        print(
            f"{run_id}  uncommitted: {len(files)} files, {size / 1e6:.1f} MB, "
            f"the last written {latest:%Y-%m-%d %H:%M} UTC"
        )


def clean(output: str, left: Sequence[LeftFile], min_age: timedelta) -> None:
    """Remove the files of runs that wrote none lately and have not committed since, and say how
    many.
    """
    latest = datetime.now(timezone.utc) - min_age
    lasting = {file.run_id for file in left if file.modified > latest}
    old = [file for file in left if file.run_id not in lasting]
    fs, root = open_store(output)
    committed = _listed(root, read_records(output))
    removed = []
    for file in old:
        if file.path not in committed:
            with contextlib.suppress(FileNotFoundError):
                fs.rm_file(file.path)
                removed.append(file)
    print(f"{len(removed)} files removed, {sum(file.bytes for file in removed) / 1e6:.1f} MB")
    if len(old) < len(left):
        hours = min_age.total_seconds() / 3600
        print(f"{len(left) - len(old)} left: of runs that wrote in the last {hours:g} hours")


if __name__ == "__main__":
    sys.exit(main())
