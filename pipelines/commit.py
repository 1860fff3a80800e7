"""The pipeline's own last step: it checks the accounts and writes the run record."""

from __future__ import annotations

import platform
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from enum import Enum
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import apache_beam as beam

from pipelines.metrics import MAX_LABEL_VALUES, Counts, Slices, merge_labels
from pipelines.pictures import ImageStatus
from pipelines.run_record import FORMAT, FORMAT_VERSION, utc_now, write_record
from pipelines.schemas import SCHEMA_VERSION, SCHEMAS
from pipelines.tables import DataFile, Run, confusion_rows, metric_rows, write_table
from pipelines.uris import OpensStores

LIBRARIES = (
    "ai-edge-litert",
    "apache-beam",
    "fsspec",
    "numpy",
    "opencv-python-headless",
    "pillow",
    "pyarrow",
)

ONLY_PURGED = "only after a [purge](privacy.md#purging)"

FIELDS: Mapping[str, str] = {
    "format": f"`{FORMAT}`",
    "format_version": "of the record itself",
    "schema_version": "of the tables, as in each file's metadata",
    "run_id": "names the run, in every row and file name",
    "state": "`complete`, or `over_failure_limit`: more failed than `--max-failure-rate` allows",
    "started_at": "UTC, ISO 8601",
    "finished_at": "the same",
    "counts.inputs": "different pictures that INPUT names",
    "counts.unchanged": "of these, left out by `--resume`: they have their rows in earlier runs",
    "counts.read": "inputs of this status, as in `images`",
    "counts.no_plate": "the same",
    "counts.unreadable": "the same",
    "counts.failed": "the same",
    "counts.failures": "how many failed, by `stage/reason`",
    "counts.plates_found": "rows of `plates`",
    "counts.plates_read": "of these, with a text",
    "counts.truths": "rows of `truths`",
    "counts.ignored_files": "found in folders, but no pictures by their names",
    "counts.truth_rows_unmatched": "rows of `--truth` files that belong to no input",
    "labels_not_sliced": f"labels with more than {MAX_LABEL_VALUES} values, which metrics are not "
    "sliced by: one slice each would cost the memory of one picture each",
    "files[].table": "the table that the file is a part of",
    "files[].path": "from the output folder",
    "files[].rows": "how many",
    "files[].bytes": "its size",
    "files[].sha256": "of its bytes",
    "bundle.name": "of the models that read the plates",
    "bundle.location": "its folder, absolute; null for the default and in public records",
    "bundle.sha256": "of its manifest, which has the hash of each file",
    "config": "what else decides a read: detector, reader, layouts, …, and the `sha256` of it all",
    "code_version": "of platebeam",
    "libraries": "versions of Python and of what reads pictures",
    "options": "of the command, secrets removed; Beam's under `beam`; in public records only "
    "numbers and switches",
    "pseudonyms": "null, or with `--pseudonymise` the `key_id` of the tokens, and whether these "
    "are the `restricted` tables or the public ones: see [privacy.md](privacy.md)",
    "purged[].at": f"{ONLY_PURGED}: when, UTC, ISO 8601",
    "purged[].kind": f"{ONLY_PURGED}: its option, `before`, `plate` or `uri`",
    "purged[].before": f"{ONLY_PURGED} by `--before`: the day",
    "purged[].rows": f"{ONLY_PURGED}: how many rows went, by table",
    "purge": "only while a purge is not finished: its `id`, and which files it has yet to `delete`",
}
"""What stands in a record, for docs/tables.md; `[]` is each element of a list."""


class RunState(str, Enum):
    """How a committed run ended."""

    COMPLETE = "complete"
    OVER_FAILURE_LIMIT = "over_failure_limit"


class AccountingError(RuntimeError):
    """Inputs, outcomes and rows do not add up: the run must not be committed."""


@dataclass(frozen=True)
class RunPlan:
    """What the launcher knows of a run before it starts, for the record.

    Attributes:
        run: the run.
        started_at: UTC, ISO 8601.
        truth_rows: rows of the truth files.
        max_failure_rate: share of failed inputs above which the run is over its limit.
        bundle, config: what read the plates.
        options: the job's options, secrets removed.
        code_version: of platebeam.
        pseudonyms: where its tables have tokens, the `key_id` of their key, and whether these are
            the `restricted` tables or the public ones; see `pipelines.pseudonyms`.
    """

    run: Run
    started_at: str
    truth_rows: int
    max_failure_rate: float
    bundle: Mapping[str, Any]
    config: Mapping[str, Any]
    options: Mapping[str, Any]
    code_version: str
    pseudonyms: Mapping[str, Any] | None = None

    @property
    def is_public(self) -> bool:
        """Whether the tables hold tokens in place of plates."""
        return self.pseudonyms is not None and not self.pseudonyms["restricted"]


def library_versions() -> dict[str, str | None]:
    """Versions of what reads plates here."""
    versions: dict[str, str | None] = {"python": platform.python_version()}
    for name in LIBRARIES:
        try:
            versions[name] = version(name)
        except PackageNotFoundError:  # opencv has several distributions
            versions[name] = None
    return versions


def check_accounts(inputs: int, counts: Counts, files: Sequence[DataFile]) -> None:
    """Every input to read has one outcome and one row; every plate and truth has its row.

    Raises:
        AccountingError: something was lost or counted twice.
    """
    outcomes = {status.value: counts["images", status.value] for status in ImageStatus}
    rows = {table: sum(f.rows for f in files if f.table == table) for table in SCHEMAS}
    expected = {
        "outcomes": (sum(outcomes.values()), inputs),
        "rows in images": (rows["images"], inputs),
        "rows in plates": (rows["plates"], counts["plates", "found"]),
        "rows in truths": (rows["truths"], counts["truths", "known"]),
    }
    wrong = [
        f"{found} {name} instead of {due}"
        for name, (found, due) in expected.items()
        if found != due
    ]
    if wrong:
        raise AccountingError(
            f"the accounts of this run do not add up, nothing is committed: {'; '.join(wrong)} "
            f"({inputs} inputs, {outcomes})"
        )


class CommitRun(OpensStores, beam.DoFn):
    """The job's last step: check the accounts, write the metrics, then the record.

    A repeated attempt replaces the record by its like.
    """

    def __init__(self, plan: RunPlan) -> None:
        self._plan = plan

    def process(
        self,
        _: Any,
        inputs: Counts,
        counts: Counts,
        slices: Iterable[tuple[str, Slices]],
        files: Iterable[DataFile],
    ) -> Iterator[dict[str, Any]]:
        """Yield the record that was written.

        Args:
            inputs: what was counted while they were gathered: see `GatherFn`.
            counts: of the outcomes.
            slices: by label.
            files: of the tables.
        """
        run = self._plan.run
        listed = sorted(files, key=lambda file: (file.table, file.path))
        if not inputs["inputs",]:
            raise AccountingError("there is no picture in any INPUT, nothing is committed")
        counts = inputs + counts
        check_accounts(counts["inputs",] - counts["unchanged",], counts, listed)
        by_slice, not_sliced = merge_labels(dict(slices))
        listed.append(write_table("metrics", metric_rows(run.run_id, by_slice), run))
        if not self._plan.is_public:  # of few plates they tell the characters
            listed.append(write_table("confusions", confusion_rows(run.run_id, by_slice), run))
        for table in SCHEMAS.keys() - {file.table for file in listed}:
            listed.append(write_table(table, [], run))  # a table without rows still has columns
        record = make_record(self._plan, counts, not_sliced, listed)
        write_record(record, run.output)
        yield record


def make_record(
    plan: RunPlan, counts: Counts, not_sliced: Sequence[str], files: Sequence[DataFile]
) -> dict[str, Any]:
    """The record as it is written, JSON-able."""
    inputs, unchanged = counts["inputs",], counts["unchanged",]
    failed = counts["images", ImageStatus.FAILED.value]
    tried = inputs - unchanged
    over = tried > 0 and failed / tried > plan.max_failure_rate
    matched = sum(int(key[2]) for key in counts if key[0] == "truth")
    return {
        "format": FORMAT,
        "format_version": FORMAT_VERSION,
        "schema_version": SCHEMA_VERSION,
        "run_id": plan.run.run_id,
        "state": (RunState.OVER_FAILURE_LIMIT if over else RunState.COMPLETE).value,
        "started_at": plan.started_at,
        "finished_at": utc_now(),
        "counts": {
            "inputs": inputs,
            "unchanged": unchanged,
            **{status.value: counts["images", status.value] for status in ImageStatus},
            "failures": {key[1]: n for key, n in sorted(counts.items()) if key[0] == "failures"},
            "plates_found": counts["plates", "found"],
            "plates_read": counts["plates", "read"],
            "truths": counts["truths", "known"],
            "ignored_files": counts["ignored",],
            "truth_rows_unmatched": plan.truth_rows - matched,
        },
        "labels_not_sliced": list(not_sliced),
        "files": [asdict(file) for file in files],
        "bundle": plan.bundle,
        "config": plan.config,
        "code_version": plan.code_version,
        "libraries": library_versions(),
        "options": plan.options,
        "pseudonyms": plan.pseudonyms,
    }
