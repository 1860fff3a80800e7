"""The run record: what it says, and that nothing is committed when the accounts do not add up."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from lpr_core.bundle import Bundle
from pipelines import read_plates, tables
from pipelines.commit import FIELDS, AccountingError, RunPlan, check_accounts, make_record
from pipelines.redact import redact
from pipelines.tables import DataFile, Run

from .conftest import Tables

Read = Callable[..., Tables]


def test_the_record_lists_every_file_with_its_rows_and_hash(street: Path, read: Read) -> None:
    result = read(street, "--truth", street / "truth.csv", workers=2)
    record = result.record
    listed = {file["path"]: file for file in record["files"]}
    written = {str(f.relative_to(result.output)) for f in result.output.rglob("*.parquet")}
    assert set(listed) == written
    for path, file in listed.items():
        data = (result.output / path).read_bytes()
        assert hashlib.sha256(data).hexdigest() == file["sha256"]
        assert len(data) == file["bytes"]
        assert pq.read_metadata(result.output / path).num_rows == file["rows"]
        assert record["run_id"] in path


def test_the_record_tells_what_read_the_plates(street: Path, read: Read) -> None:
    result = read(street, "--run-id", "r1")
    record = result.record
    assert json.loads((result.output / "runs" / "r1.json").read_text()) == record
    assert record["state"] == "complete"
    assert record["bundle"]["sha256"] == Bundle.load().sha256
    assert record["config"]["detector"] == "heatmap"
    assert record["started_at"] <= record["finished_at"]
    assert record["options"]["inputs"] == [str(street)]
    assert record["options"]["beam"]["runner"] == "FnApiRunner"
    assert {"python", "apache-beam", "numpy", "ai-edge-litert"} <= set(record["libraries"])
    assert record["counts"] == {
        "inputs": 6,
        "unchanged": 0,
        "read": 4,
        "no_plate": 1,
        "unreadable": 0,
        "failed": 1,
        "failures": {"decode/truncated": 1},
        "plates_found": 5,
        "plates_read": 5,
        "truths": 0,
        "ignored_files": 2,
        "truth_rows_unmatched": 0,
    }
    assert record["labels_not_sliced"] == []
    assert [f.name for f in (result.output / "runs").iterdir()] == ["r1.json"]


def names(value: object, path: str) -> Iterator[str]:
    """The paths of a record's fields as FIELDS has them, down to what it describes as a whole."""
    if path not in FIELDS and isinstance(value, dict):
        for name, inner in value.items():
            yield from names(inner, f"{path}.{name}" if path else name)
    elif path not in FIELDS and isinstance(value, list):
        for inner in value:
            yield from names(inner, f"{path}[]")
    else:
        yield path


def test_every_field_of_the_record_is_described(street: Path, read: Read) -> None:
    record = read(street).record
    always = [name for name, told in FIELDS.items() if not told.startswith("only ")]
    assert list(dict.fromkeys(names(record, ""))) == always


@pytest.mark.parametrize("workers", [1, 2])
def test_a_lost_row_fails_the_job_and_commits_nothing(
    street: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    workers: int,
) -> None:
    whole = tables.image_rows

    def image_rows(run: tables.Run, result: Any) -> list[tables.Row]:
        return [] if result.facts.ref.uri.endswith("two.jpg") else whole(run, result)

    monkeypatch.setattr(read_plates, "image_rows", image_rows)
    arguments = [str(street), "--output", str(tmp_path), "--run-id=r", f"--workers={workers}"]
    assert read_plates.main(arguments) == 1
    assert "5 rows in images instead of 6" in capsys.readouterr().err.splitlines()[-1]
    assert list((tmp_path / "runs").iterdir()) == []


def data_files(**rows: int) -> list[DataFile]:
    return [DataFile(table, f"{table}/a.parquet", count, 1, "00") for table, count in rows.items()]


ACCOUNTS = Counter(
    {
        ("images", "read"): 3,
        ("images", "failed"): 1,
        ("plates", "found"): 5,
        ("truths", "known"): 2,
    }
)


def test_accounts_that_add_up() -> None:
    check_accounts(4, ACCOUNTS, data_files(images=4, plates=5, truths=2))
    check_accounts(4, ACCOUNTS, data_files(images=4, plates=5, truths=2) + data_files(metrics=9))


@pytest.mark.parametrize(
    ("inputs", "files", "message"),
    [
        (5, data_files(images=5, plates=5, truths=2), "4 outcomes instead of 5"),
        (4, data_files(images=3, plates=5, truths=2), "3 rows in images instead of 4"),
        (4, data_files(images=5, plates=5, truths=2), "5 rows in images instead of 4"),
        (4, data_files(images=4, plates=6, truths=2), "6 rows in plates instead of 5"),
        (4, data_files(images=4, plates=5), "0 rows in truths instead of 2"),
    ],
)
def test_accounts_that_do_not(inputs: int, files: list[DataFile], message: str) -> None:
    with pytest.raises(AccountingError, match=message):
        check_accounts(inputs, ACCOUNTS, files)


@pytest.mark.parametrize(("failed", "state"), [(29, "complete"), (30, "over_failure_limit")])
def test_as_many_failures_as_are_allowed_are_not_too_many(failed: int, state: str) -> None:
    counts = Counter({("inputs",): 104, ("unchanged",): 4, ("images", "failed"): failed})
    plan = RunPlan(Run("r", "out", "", ""), "", 0, 0.29, {}, {}, {}, "")  # 0.29 * 100 is below 29
    assert make_record(plan, counts, [], [])["state"] == state


def test_secrets_stay_out_of_the_record() -> None:
    options = {
        "inputs": ["https://me:pw@host/a.jpg?X-Amz-Signature=ff00&v=2", "s3://bucket/pictures"],
        "beam": {"aws_secret_access_key": "s3cr3t", "temp_location": "gs://b/t", "tokens": ["t"]},
        "keep_crops": False,
        "max_bytes": 5,
        "db_pwd": 1234,
        "accountKey": "k",
        "monkey": "see",
        "credentials": {"name": "me", "value": "s3cr3t"},
        "s3_options": '{"endpoint": "https://me:pw@host", "secret": "s3cr3t"}',
    }
    assert redact(options) == {
        "inputs": ["https://***@host/a.jpg?X-Amz-Signature=***&v=2", "s3://bucket/pictures"],
        "beam": {"aws_secret_access_key": "***", "temp_location": "gs://b/t", "tokens": ["***"]},
        "keep_crops": False,
        "max_bytes": 5,
        "db_pwd": "***",
        "accountKey": "***",
        "monkey": "see",
        "credentials": {"name": "***", "value": "***"},
        "s3_options": '{"endpoint": "https://***@host", "secret": "***"}',
    }


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("sftp://me:p@ss/wo:rd@host/a.jpg", "sftp://***@host/a.jpg"),
        ("sftp://me@host:22/a.jpg", "sftp://***@host:22/a.jpg"),
        ("zip://a.jpg::https://me:pw@host/a.zip", "zip://a.jpg::https://***@host/a.zip"),
        ("s3://bucket/me@home/a.jpg", "s3://bucket/me@home/a.jpg"),
        (
            "https://host/a.jpg?pwd=x&monkey=see&sig=00",
            "https://host/a.jpg?pwd=***&monkey=see&sig=***",
        ),
        ("/data/plates[1]/a.jpg", "/data/plates[1]/a.jpg"),
    ],
)
def test_secrets_in_uris_are_hidden_and_nothing_else(given: str, kept: str) -> None:
    assert redact([given], "inputs") == [kept]
