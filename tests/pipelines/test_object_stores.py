"""S3 and Google Cloud Storage, as servers behind sockets: what local files give, they give too."""

from __future__ import annotations

import hashlib
import json
import logging
import pickle
import shutil
import zipfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import fsspec
import pytest
from fsspec.config import conf

from pipelines import read_plates, runs
from pipelines.run_record import read_records
from pipelines.tables import Run
from pipelines.uris import use_storage_options

from .conftest import Bucket, Tables

pytestmark = pytest.mark.long

Read = Callable[..., Tables]
SAMPLES = Path(__file__).parents[2] / "samples"


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """Two samples, one more in a folder, one that ends too early, an empty file, and the truth."""
    folder = tmp_path / "pictures"
    (folder / "deep").mkdir(parents=True)
    for name in ("street-01.jpg", "street-05.jpg", "deep/street-21.jpg"):
        shutil.copyfile(SAMPLES / Path(name).name, folder / name)
    data = (SAMPLES / "street-02.jpg").read_bytes()
    (folder / "street-02.jpg").write_bytes(data[: len(data) // 2])
    (folder / "empty.jpg").touch()
    shutil.copyfile(SAMPLES / "truth.csv", folder / "truth.csv")
    return folder


def read_at(output: str, *arguments: str, workers: int = 1) -> Tables:
    """Run the job and read its record back as another process would."""
    run = read_plates.run([*arguments, "--output", f"{output}/", f"--workers={workers}"])
    assert run is not None
    fsspec.get_filesystem_class(output.partition(":")[0]).clear_instance_cache()
    (record,) = [record for record in read_records(output) if record["run_id"] == run["run_id"]]
    assert record == run
    return Tables(output, record)


def comparable(tables: Tables, root: str) -> dict[str, list[dict[str, Any]]]:
    """All rows, but for what every run has of its own, and with URIs below a root."""
    places = {row["read_id"]: (row["uri"], row["index"]) for row in tables.rows("plates")}
    assert len(places) == tables.table("plates").num_rows
    own = {"run_id": None, "source_version": None, "milliseconds": None}
    found = {}
    for name in ("images", "plates", "truths", "metrics", "confusions"):
        rows = [
            row | own | {"read_id": places.get(row.get("read_id"))} for row in tables.rows(name)
        ]
        found[name] = sorted(json.loads(json.dumps(rows, default=str).replace(root, "")), key=str)
    return found


def test_a_folder_in_a_bucket_gives_what_a_local_one_gives(
    bucket: Bucket, pictures: Path, read: Read
) -> None:
    local = read(pictures, "--truth", pictures / "truth.csv")
    uri = bucket.put(pictures)
    # A slash at the end changes nothing.
    stored = read_at(f"{bucket.uri}/tables", f"{uri}/", "--truth", f"{uri}/truth.csv")
    assert comparable(stored, uri) == comparable(local, str(pictures))
    assert {row["uri"]: row["reason"] or row["status"] for row in stored.rows("images")} == {
        f"{uri}/empty.jpg": "empty",
        f"{uri}/street-01.jpg": "read",
        f"{uri}/street-02.jpg": "truncated",
        f"{uri}/street-05.jpg": "read",
        f"{uri}/deep/street-21.jpg": "read",
    }
    assert stored.table("truths").num_rows == 4
    own = {"run_id", "started_at", "finished_at", "files", "options"}
    assert stored.record.keys() == local.record.keys()
    for name in stored.record.keys() - own:
        assert stored.record[name] == local.record[name]
    rows: Counter[str] = Counter()
    for file in stored.record["files"]:
        data = bucket.fs.cat_file(f"{bucket.uri}/tables/{file['path']}")
        assert (len(data), hashlib.sha256(data).hexdigest()) == (file["bytes"], file["sha256"])
        rows[file["table"]] += file["rows"]
    assert (rows["images"], rows["truths"]) == (5, 4)


def test_the_source_version_is_the_stores_mark_of_the_bytes(bucket: Bucket, pictures: Path) -> None:
    uri = bucket.put(pictures)
    tables = read_at(f"{bucket.uri}/tables", f"{uri}/street-01.jpg")
    digest = hashlib.md5((pictures / "street-01.jpg").read_bytes()).hexdigest()
    (row,) = tables.rows("images")
    if uri.startswith("s3"):
        assert row["source_version"] == f'etag:"{digest}"'
    else:
        generation = bucket.fs.info(f"{uri}/street-01.jpg")["generation"]
        assert row["source_version"] == f"generation:{generation}"


def test_globs_manifests_and_archives_in_a_bucket(bucket: Bucket, pictures: Path) -> None:
    uri = f"{bucket.uri}/pictures"
    elsewhere = f"{uri[:2]}://no-such-bucket/1.jpg"
    lines = ["street-05.jpg", "absent.jpg", f"{uri}/deep/absent.jpg", elsewhere]
    lines += ["../pictures/street-01.jpg"]
    (pictures / "list.csv").write_text("uri\n" + "\n".join(lines) + "\n")
    with zipfile.ZipFile(pictures / "a.zip", "w") as archive:
        archive.write(pictures / "street-01.jpg", "in/1.jpg")
    assert bucket.put(pictures) == uri
    inputs = [f"{uri}/**/street-2*.jpg", f"{uri}/list.csv", f"zip://::{uri}/a.zip"]
    tables = read_at(f"{bucket.uri}/tables", *inputs)
    found = {
        row["uri"]: (row["status"], row["stage"], row["reason"]) for row in tables.rows("images")
    }
    missing = ("failed", "load", "not_found")
    assert found == {
        f"{uri}/deep/street-21.jpg": ("read", None, None),
        f"{uri}/street-05.jpg": ("read", None, None),
        f"{uri}/street-01.jpg": ("read", None, None),
        f"{uri}/absent.jpg": missing,
        f"{uri}/deep/absent.jpg": missing,
        elsewhere: missing,
        f"zip://in/1.jpg::{uri}/a.zip": ("read", None, None),
    }


@pytest.mark.parametrize("how", ["--resume", "--resume=content"])
def test_a_second_run_reads_what_is_new_in_the_bucket(
    how: str, bucket: Bucket, pictures: Path
) -> None:
    uri, output = bucket.put(pictures), f"{bucket.uri}/tables"
    read_at(output, uri)
    bucket.fs.pipe_file(f"{uri}/new.jpg", (SAMPLES / "street-03.jpg").read_bytes())
    bucket.fs.pipe_file(f"{uri}/street-05.jpg", (SAMPLES / "street-04.jpg").read_bytes())
    again = read_at(output, uri, how, workers=2)
    assert {row["uri"] for row in again.rows("images")} == {
        f"{uri}/new.jpg",
        f"{uri}/street-05.jpg",
    }
    assert (again.record["counts"]["inputs"], again.record["counts"]["unchanged"]) == (6, 4)
    # A manifest tells no versions: each is asked for, and must be what the list told.
    bucket.fs.pipe_file(f"{uri}/list.txt", b"street-01.jpg\nnew.jpg\nempty.jpg\n")
    listed = read_at(output, f"{uri}/list.txt", how)
    assert (listed.record["counts"]["inputs"], listed.record["counts"]["unchanged"]) == (3, 3)


def test_an_output_bucket_that_is_not_there_is_told_and_not_made(
    bucket: Bucket, pictures: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    absent = f"{bucket.uri}-misspelt"
    arguments = [str(pictures), "--output", f"{absent}/tables", "--workers=1"]
    assert read_plates.main(arguments) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"platebeam read: cannot write to {absent}/tables: ")
    assert not bucket.fs.exists(absent)


def test_an_output_without_a_bucket_is_told_and_no_folder_is_made(
    bucket: Bucket,
    pictures: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    scheme = bucket.uri.partition("://")[0]
    assert read_plates.main([str(pictures), "--output", f"{scheme}://", "--workers=1"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"platebeam read: cannot write to {scheme}://: ")
    assert list(tmp_path.iterdir()) == [pictures]


def test_runs_lists_and_cleans_a_bucket(
    bucket: Bucket, pictures: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = f"{bucket.uri}/tables"
    read_at(output, str(pictures / "street-01.jpg"), "--run-id=whole")
    left = f"{output}/images/images-died-0123456789ab.parquet"
    committed = set(bucket.fs.find(output))
    assert runs.main([output]) == 0
    assert "died" not in capsys.readouterr().out
    bucket.fs.pipe_file(left, b"PAR1")  # as another process does: no list kept from before tells it
    for clean, kept in ([], True), (["--clean"], True), (["--clean", "--min-age=0"], False):
        assert runs.main([output, *clean]) == 0
        assert bucket.fs.exists(left) == kept
        _, whole, died, *_ = capsys.readouterr().out.splitlines()
        assert whole.split()[:2] == ["whole", "complete"]
        assert died.startswith("died  uncommitted: 1 files, 0.0 MB")
    assert set(bucket.fs.find(output)) == committed
    assert runs.main([output]) == 0
    assert "died" not in capsys.readouterr().out


@pytest.mark.parametrize("workers", [1, 2])  # in this process all logs are seen, DEBUG's too
def test_workers_have_the_credentials_and_nobody_writes_them_down(
    workers: int,
    bucket: Bucket,
    pictures: Path,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    uri = bucket.put(pictures)
    caplog.set_level(logging.DEBUG)
    tables = read_at(f"{bucket.uri}/tables", uri, workers=workers)
    mode = tables.record["options"]["beam"].get("direct_running_mode")
    assert mode == {1: None, 2: "multi_processing"}[workers]
    assert tables.record["counts"]["read"] == 3
    printed = capfd.readouterr()
    written = [printed.out, printed.err, caplog.text, str(tables.record)]
    written += [str(tables.rows(file["table"])) for file in tables.record["files"]]
    written += [bucket.fs.cat_file(path).decode("latin-1") for path in bucket.fs.find(bucket.uri)]
    assert "DEBUG" in caplog.text
    assert not [secret for secret in bucket.secrets for text in written if secret in text]
    # In archives the names of files carry plates.
    assert "street-0" not in printed.out + printed.err + caplog.text


def test_storage_options_reach_every_request(bucket: Bucket, pictures: Path) -> None:
    (pictures / "list.txt").write_text("street-01.jpg\n")
    uri = bucket.put(pictures)
    before = len(bucket.requests())
    options = {"s3": {"requester_pays": True}, "gs": {"requester_pays": "payer-7"}}
    given = ["--storage-options", json.dumps(options)]
    try:
        read_at(f"{bucket.uri}/tables", f"{uri}/street-01.jpg", *given)
        inputs = [uri, f"{uri}/list.txt"]
        tables = read_at(f"{bucket.uri}/tables", *inputs, "--resume", *given, workers=2)
        counts = tables.record["counts"]
        assert (counts["read"], counts["failed"], counts["unchanged"]) == (2, 2, 1)
        assert tables.record["options"]["storage_options"] == options
        asked = bucket.requests()[before:]
        mark = {"s3": '"X-Amz-Request-Payer": "requester"', "gs": "userProject=payer-7"}[uri[:2]]
        assert [request for request in asked if mark not in request] == []
        before = len(bucket.requests())
        assert runs.main([f"{bucket.uri}/tables", *given]) == 0
        asked = bucket.requests()[before:]
        assert asked and all(mark in request for request in asked)
        assert runs.main([f"{bucket.uri}/tables"]) == 0  # without, it is as it was
        assert mark not in bucket.requests()[-1]
    finally:
        use_storage_options({})


def test_storage_options_stand_beside_what_is_configured_and_travel(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("pipelines.uris._CONFIGURED", {"memory": {"a": 1, "b": 1}, "zip": {"c": 1}})
    try:
        use_storage_options({"memory": {"b": 2}, "s3": {"anon": True}})
        run = Run("r", "out", "", "")
        carried = pickle.dumps(run)
        use_storage_options({})
        assert conf == {"memory": {"a": 1, "b": 1}, "zip": {"c": 1}}
        assert pickle.loads(carried) == run
        assert conf == {"memory": {"a": 1, "b": 2}, "zip": {"c": 1}, "s3": {"anon": True}}
    finally:
        monkeypatch.undo()
        use_storage_options({})


@pytest.mark.parametrize("command", [read_plates.main, runs.main])
@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("{s3", "it is not JSON"),
        ("[1]", "no JSON object of protocols"),
        ('{"s3": true}', "the options of s3 are no JSON object"),
        ('{"s4": {}}', "fsspec knows no protocol 's4'"),
        ('{"s3": {"secret": "hush"}}', "s3: secret holds credentials"),
        ('{"s3": {"key": "hush"}}', "s3: key holds credentials"),
        ('{"gs": {"token": {"private_key": "hush"}}}', "gs: token holds credentials"),
        ('{"s3": {"client_kwargs": {"aws_session_token": "hush"}}}', "client_kwargs holds cred"),
        ('{"s3": {"endpoint_url": "http://me:hush@host"}}', "endpoint_url holds credentials"),
        ('{"az": {"connection_string": "AccountKey=hush"}}', "connection_string holds cred"),
    ],
)
def test_bad_storage_options_are_told_in_one_line_before_any_work(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    command: Callable[[list[str]], int],
    options: str,
    message: str,
) -> None:
    out = str(tmp_path / "out")
    arguments = [out] if command is runs.main else [str(SAMPLES), "--output", out]
    with pytest.raises(SystemExit) as stop:
        command([*arguments, "--storage-options", options])
    assert stop.value.code == 2
    printed = capsys.readouterr()
    assert "hush" not in printed.out + printed.err
    *usage, line = printed.err.splitlines()
    assert "error: argument --storage-options: " in line and message in line
    assert all(before.startswith(("usage:", " ")) for before in usage)
    assert not Path(out).exists()
