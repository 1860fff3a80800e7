"""`platebeam purge`: nothing is left of what was to go, everything else is as it was, also when the
process is killed on the way."""

from __future__ import annotations

import io
import json
import os
import re
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import duckdb
import fsspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lpr_core.score import normalise_text
from pipelines import purge, read_plates, runs
from pipelines.archive import connect, open_archive
from pipelines.commit import FIELDS, RunPlan, check_accounts, make_record
from pipelines.pseudonyms import Pseudonyms, restricted_folder
from pipelines.purge import plate_pattern
from pipelines.run_record import read_records, read_table, utc_now, write_record
from pipelines.schemas import SCHEMAS
from pipelines.tables import DataFile, Row, Run, TableFile, hide_nothing, write_table
from pipelines.uris import open_store

from .conftest import SAMPLES, Bucket

PLATE = "AB123CD"
BOX = {"x": 0.0, "y": 0.0, "width": 90.0, "height": 20.0}
CAPTURED = {
    "1.jpg": datetime(2024, 5, 1, 12),
    "ab-123_cd.jpg": datetime(2024, 12, 31, 23, 59, 59),
    "3.jpg": None,
    "4.jpg": None,
    "5.jpg": datetime(2025, 1, 1),
}


def image(name: str, status: str = "read", **columns: Any) -> Row:
    empty = dict.fromkeys(SCHEMAS["images"].names)
    stages = {field.name: 1.0 for field in SCHEMAS["images"].field("milliseconds").type}
    row = {"uri": f"/p/{name}", "status": status, "labels": [], "milliseconds": stages}
    return empty | row | {"sha256": "0f", "captured_at": CAPTURED[name]} | columns


def plate(name: str, index: int, text: str, *others: str) -> Row:
    """A read, its crop holds its text."""
    texts = [{"text": other, "probability": 0.1} for other in (text, *others)]
    letter = {"probability": 0.9, "box": BOX, "alternatives": []}
    return {
        "read_id": f"{name}-{index}".encode().hex(),
        "uri": f"/p/{name}",
        "image_sha256": "0f",
        "index": index,
        "status": "read",
        "text": text,
        "text_raw": text,
        "edits": [],
        "confidence": 0.9,
        "detection_score": 0.8,
        "corners": [{"x": 0.0, "y": 0.0}] * 4,
        "box": BOX,
        "characters": [letter | {"character": sign, "seen": sign} for sign in text],
        "alternatives": texts,
        "crop_sha256": "1f",
        "crop": b"P5 " + text.encode(),
    }


def truth(name: str, index: int, text: str) -> Row:
    """A truth, paired with the read of its index."""
    row = {"uri": f"/p/{name}", "index": index, "text": text, "box": BOX, "iou": 0.9}
    outcome = {"furthest_stage": "read", "edit_distance": 0}
    return row | outcome | {"read_id": plate(name, index, "")["read_id"]}


Picture = tuple[Row, list[Row], list[Row]]

SEEN: Picture = (
    image("1.jpg"),
    [plate("1.jpg", 0, PLATE), plate("1.jpg", 1, "XY99Z", "XYZ", PLATE, "XY9Z")],
    [truth("1.jpg", 0, "AB 123-CD"), truth("1.jpg", 1, "XY99Z")],
)
NAMED: Picture = (
    image("ab-123_cd.jpg"),
    [plate("ab-123_cd.jpg", 0, "QQ111Q")],
    [truth("ab-123_cd.jpg", 0, "QQ111Q")],
)
MISREAD: Picture = (
    image("3.jpg"),
    [plate("3.jpg", 0, "A8128C0")],
    [truth("3.jpg", 0, PLATE)],
)
FAILED: Picture = (
    image(
        "4.jpg",
        "failed",
        stage="load",
        reason="not_found",
        source_version=f'etag:"{PLATE}"',
        message="list AB%20123%20CD.csv: no such picture",
        labels=[("owner", "ab 123 cd"), ("country", "xx")],
    ),
    [],
    [],
)
OTHER: Picture = (
    image("5.jpg", labels=[("country", "xx")], source_version="size:1"),
    [plate("5.jpg", 0, "KL555MN", "KL55MN")],
    [truth("5.jpg", 0, "KL555MN")],
)
LONGER: Picture = (image("1.jpg"), [plate("1.jpg", 0, f"1{PLATE}")], [])

OPTIONS = {"inputs": [f"/lists/{PLATE}/all.txt", "p/5.jpg", "/p"], "truth": [f"/{PLATE}.csv"]}


def commit(
    output: str,
    run_id: str,
    pictures: Sequence[Picture],
    hide: Callable[[Row], Row] = hide_nothing,
    pseudonyms: Mapping[str, Any] | None = None,
) -> None:
    """Commit a run with a file a picture and table, as small bundles write them."""
    run = Run(run_id, output, "b" * 64, "c" * 64)
    files: list[DataFile] = []
    counts: Counter[tuple[str, ...]] = Counter()
    for row, plates, truths in pictures:
        row = row | {"plates_found": len(plates), "plates_read": len(plates)}
        for table, rows in (("images", [row]), ("plates", plates), ("truths", truths)):
            if rows:
                hidden = [hide(row | {"run_id": run_id}) for row in rows]
                files.append(write_table(table, hidden, run))
        counts.update([("inputs",), ("images", row["status"])])
        counts["plates", "found"] += len(plates)
        counts["plates", "read"] += len(plates)
        counts["truths", "known"] += len(truths)
        if row["stage"]:
            counts["failures", f"{row['stage']}/{row['reason']}"] += 1
    figure = {"metric": "plate_exact_match", "numerator": 1.0, "denominator": 2.0, "value": 0.5}
    slices = ("all", "country=xx", "owner=ab 123 cd")
    rows = [
        {"run_id": run_id, "slice": name, "low": None, "high": None} | figure for name in slices
    ]
    files.append(write_table("metrics", rows, run))
    for table in SCHEMAS.keys() - {file.table for file in files}:
        files.append(write_table(table, [], run))
    plan = RunPlan(
        run=run,
        started_at=utc_now(),
        truth_rows=counts["truths", "known"],
        max_failure_rate=1.0,
        bundle={"name": "default", "location": f"/models/{PLATE}", "sha256": run.bundle_sha256},
        config={"sha256": run.config_sha256},
        options=OPTIONS,
        code_version="1",
        pseudonyms=pseudonyms,
    )
    if plan.is_public:
        plan = replace(plan, bundle={**plan.bundle, "location": None}, options={})
    write_record(make_record(plan, counts, [f"seen {PLATE}"], files), output)


RUNS = {
    "first": [SEEN, NAMED, MISREAD, FAILED, OTHER],
    "second": [OTHER, LONGER],
    "third": [OTHER],
}


def commit_both(output: str) -> str:
    for run_id, pictures in RUNS.items():
        commit(output, run_id, pictures)
    return output


@pytest.fixture
def output(tmp_path: Path) -> str:
    """A folder with three runs; see `commit_both`."""
    return commit_both(str(tmp_path / "tables"))


def rows(output: str, table: str, run_id: str = "first") -> list[Row]:
    (record,) = [record for record in read_records(output) if record["run_id"] == run_id]
    return sorted(read_table(record, output, table).to_pylist(), key=str)


def everything(output: str) -> dict[str, list[Row]]:
    """All committed rows, by run and table."""
    return {
        f"{record['run_id']}/{table}": rows(output, table, record["run_id"])
        for record in read_records(output)
        for table in SCHEMAS
    }


def names(output: str, table: str, run_id: str = "first") -> list[str]:
    """The last names of a table's URIs."""
    return sorted(row["uri"].rpartition("/")[2] for row in rows(output, table, run_id))


def leaves(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        value = [*value, *value.values()]
    if isinstance(value, (list, tuple)):
        for item in value:
            yield from leaves(item)
    elif isinstance(value, bytes):
        yield value.decode("latin-1")
    elif isinstance(value, str):
        yield value


def traces(output: str, text: str) -> set[str]:
    """Where under a folder a plate is spelt: names and bytes of files, texts in the records, in all
    columns and in their statistics."""
    fs, root = open_store(output)
    found = set()
    for path in fs.find(root):
        data = fs.cat_file(path)
        texts = [path.removeprefix(root)]
        if text.lower().encode() in data.lower():
            found.add(f"bytes of {path}")
        if path.endswith(".json"):
            texts += leaves(json.loads(data))
        else:
            file = pq.ParquetFile(io.BytesIO(data))
            texts += leaves(file.metadata.metadata)
            for group in range(file.metadata.num_row_groups):
                chunks = map(
                    file.metadata.row_group(group).column, range(file.metadata.num_columns)
                )
                limits = [chunk.statistics for chunk in chunks if chunk.statistics]
                texts += leaves([[one.min, one.max] for one in limits if one.has_min_max])
            texts += leaves(file.read().to_pylist())
        found |= {f"{path}: {one}" for one in texts if text in normalise_text(unquote(one))}
    return found


def tree(output: str) -> dict[str, bytes]:
    root = Path(output)
    return {
        str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()
    }


def is_whole(output: str) -> bool:
    """Whether files and records agree, each run's accounts hold, and nothing else is there."""
    fs, root = open_store(output)
    expected = set()
    for record in read_records(output):
        count = record["counts"]
        counts = Counter({("images", s): count[s] for s in ("read", "no_plate", "unreadable")})
        counts["images", "failed"] = sum(count["failures"].values())
        counts["plates", "found"], counts["truths", "known"] = (
            count["plates_found"],
            count["truths"],
        )
        files = [DataFile(**file) for file in record["files"]]
        check_accounts(count["inputs"] - count["unchanged"], counts, files)
        assert {file.table for file in files} == set(SCHEMAS)
        for file in files:
            data = fs.cat_file(f"{root}/{file.path}")
            assert pq.read_metadata(io.BytesIO(data)).num_rows == file.rows
            assert len(data) == file.bytes
        expected |= {f"{root}/{file.path}" for file in files}
        expected.add(f"{root}/runs/{record['run_id']}.json")
        assert "purge" not in record
    return set(fs.find(root)) == expected


def test_no_byte_of_a_plate_is_left(output: str, capfd: pytest.CaptureFixture[str]) -> None:
    kinds = {re.sub(r".*/(\w+)/[^/]*", r"\1", where) for where in traces(output, PLATE)}
    assert {"images", "plates", "truths", "metrics", "runs"} <= {
        kind.partition(":")[0] for kind in kinds
    }
    assert purge.main([output, "--plate", "ab 123 cd"]) == 0
    assert traces(output, PLATE) == set()
    assert is_whole(output)
    told = capfd.readouterr()
    assert PLATE not in normalise_text(told.out + told.err)
    # Of `first` go the picture whose URI holds it; the reads AB123CD, QQ111Q (of that picture) and
    # A8128C0 (whose truth is the plate); the truths AB 123-CD, QQ111Q and AB123CD; the owner's
    # slice. Of others go parts: of images 1.jpg, 3.jpg and 4.jpg, and the read XY99Z.
    assert [line.split() for line in told.out.splitlines()] == [
        ["rows", "removed:"],
        ["run", "images", "plates", "truths", "metrics", "changed"],
        ["first", "1", "3", "3", "1", "4"],
        ["second", "0", "1", "0", "1", "1"],
        ["third", "0", "0", "0", "1", "0"],
    ]


def test_what_is_not_of_the_plate_stays_as_it_was(output: str) -> None:
    before, files = everything(output), tree(output)
    assert purge.main([output, "--plate", PLATE]) == 0
    after = everything(output)
    assert names(output, "images") == ["1.jpg", "3.jpg", "4.jpg", "5.jpg"]
    one, three, four, five = rows(output, "images")
    was = {row["uri"]: row for row in before["first/images"]}
    assert one == was["/p/1.jpg"] | {"plates_found": 1, "plates_read": 1}
    assert three == was["/p/3.jpg"] | {"plates_found": 0, "plates_read": 0}
    assert five == was["/p/5.jpg"]
    hidden = {"source_version": None, "message": "(purged)", "labels": [("country", "xx")]}
    assert four == was["/p/4.jpg"] | hidden
    reads = {row["text"]: row for row in before["first/plates"]}
    other = [choice for choice in reads["XY99Z"]["alternatives"] if choice["text"] != PLATE]
    assert after["first/plates"] == [reads["XY99Z"] | {"alternatives": other}, reads["KL555MN"]]
    assert [row["text"] for row in after["first/truths"]] == ["XY99Z", "KL555MN"]
    for name in ("third/images", "third/plates", "third/truths", "second/truths"):
        assert after[name] == before[name]
    # Files without it are not written again.
    (record,) = [record for record in read_records(output) if record["run_id"] == "third"]
    kept = [file["path"] for file in record["files"] if file["table"] != "metrics"]
    assert {path: tree(output)[path] for path in kept} == {path: files[path] for path in kept}


def test_the_record_tells_of_the_purge_and_not_of_the_plate(output: str) -> None:
    assert purge.main([output, "--plate", PLATE]) == 0
    record = read_records(output)[0]
    (tombstone,) = record["purged"]
    assert {f"purged[].{name}" for name in tombstone} <= FIELDS.keys()
    assert tombstone.pop("at") >= record["finished_at"]
    removed = {"images": 1, "plates": 3, "truths": 3, "metrics": 1}
    assert tombstone == {"kind": "plate", "rows": removed}
    told = ("inputs", "read", "failed", "failures", "plates_found", "plates_read", "truths")
    # 5 pictures, 5 reads and 5 truths were there.
    assert [record["counts"][name] for name in told] == [4, 3, 1, {"load/not_found": 1}, 2, 2, 2]
    assert record["options"] == {"inputs": ["(purged)", "p/5.jpg", "/p"], "truth": ["(purged)"]}
    assert record["bundle"] == {"name": "default", "location": "(purged)", "sha256": "b" * 64}
    assert record["labels_not_sliced"] == ["(purged)"]


def test_purging_again_changes_nothing(output: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert purge.main([output, "--plate", PLATE]) == 0
    before = tree(output)
    capsys.readouterr()
    assert purge.main([output, "--plate", PLATE]) == 0
    assert capsys.readouterr().out == "no run holds any of it\n"
    assert tree(output) == before


def test_a_dry_run_counts_the_same_and_removes_nothing(
    output: str, capsys: pytest.CaptureFixture[str]
) -> None:
    before = tree(output)
    assert purge.main([output, "--plate", PLATE, "--dry-run"]) == 0
    assert tree(output) == before
    preview = capsys.readouterr().out.splitlines()
    assert purge.main([output, "--plate", PLATE]) == 0
    assert preview[0] == "rows that would be removed:"
    assert capsys.readouterr().out.splitlines()[1:] == preview[1:]


def test_pictures_captured_before_a_day_go(output: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert purge.main([output, "--before", "2025-01-01"]) == 0
    # 3.jpg and 4.jpg have no time; 5.jpg was captured as the day began.
    assert "2 pictures without captured_at stay" in capsys.readouterr().out
    assert names(output, "images") == ["3.jpg", "4.jpg", "5.jpg"]
    assert names(output, "plates") == names(output, "truths") == ["3.jpg", "5.jpg"]
    assert names(output, "images", "second") == ["5.jpg"]
    assert is_whole(output)
    first, second, third = read_records(output)
    (tombstone,) = first["purged"]
    assert {f"purged[].{name}" for name in tombstone} <= FIELDS.keys()
    assert (tombstone["kind"], tombstone["before"]) == ("before", "2025-01-01")
    assert second["counts"]["inputs"] == 1
    assert "purged" not in third


def test_a_picture_goes_from_all_runs(output: str) -> None:
    assert purge.main([output, "--uri", "/p/5.jpg"]) == 0
    assert names(output, "images", "second") == names(output, "plates", "second") == ["1.jpg"]
    assert "5.jpg" not in names(output, "images") + names(output, "plates")
    assert is_whole(output)
    for record in read_records(output):
        assert record["purged"][0]["kind"] == "uri"
        assert record["options"]["inputs"] == [OPTIONS["inputs"][0], "(purged)", "/p"]
    # A table that has lost all rows still has columns.
    asked = connect(open_archive(output, ["third"]))
    assert asked.sql("SELECT count(*), count(uri) FROM images").fetchall() == [(0, 0)]


def test_a_relative_path_is_a_picture_too(
    output: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert purge.main([output, "--uri", os.path.relpath("/p/5.jpg")]) == 0
    assert "5.jpg" not in names(output, "images")


def test_plates_of_the_samples_go_with_their_crops(samples_output: str, tmp_path: Path) -> None:
    copy = str(shutil.copytree(samples_output, tmp_path / "copy"))
    (record,) = read_records(copy)
    before = read_table(record, copy, "plates").to_pylist()
    known = read_table(record, copy, "truths").to_pylist()
    text = max((row["text"] for row in known), key=len)
    assert purge.main([copy, "--plate", text]) == 0
    assert traces(copy, text) == set()
    assert is_whole(copy)
    of_it = {row["read_id"] for row in known if row["text"] == text}
    assert of_it <= {row["read_id"] for row in before}
    (record,) = read_records(copy)
    after = {row["read_id"]: row for row in read_table(record, copy, "plates").to_pylist()}
    assert after.keys() == {row["read_id"] for row in before} - of_it
    assert all(after[row["read_id"]] == row for row in before if row["read_id"] in after)


def test_reads_that_a_truth_tells_of_go_from_runs_without_one_too(output: str) -> None:
    commit(output, "a-again", [(MISREAD[0], MISREAD[1], []), OTHER])
    (read,) = MISREAD[1]
    assert read["read_id"] in [row["read_id"] for row in rows(output, "plates", "a-again")]
    assert purge.main([output, "--plate", PLATE]) == 0
    for run_id in (*RUNS, "a-again"):
        assert read["read_id"] not in [row["read_id"] for row in rows(output, "plates", run_id)]
    assert names(output, "images", "a-again") == ["3.jpg", "5.jpg"]
    assert is_whole(output)


def test_a_run_whose_truths_tell_of_others_reads_is_purged_last(
    output: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    commit(output, "z-again", [(MISREAD[0], MISREAD[1], []), OTHER])
    write = purge.write_record

    def then_die(record: Row, *rest: Any) -> None:
        write(record, *rest)
        if record["run_id"] == "first" and "purged" in record:
            raise KeyboardInterrupt

    monkeypatch.setattr(purge, "write_record", then_die)
    with pytest.raises(KeyboardInterrupt):
        purge.main([output, "--plate", PLATE])
    assert names(output, "plates", "z-again") == ["5.jpg"]


def test_a_file_that_someone_edited_is_not_signed_anew(
    output: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (path,) = (
        Path(output, file["path"])
        for file in read_records(output)[0]["files"]
        if file["table"] == "plates" and b"XY99Z" in Path(output, file["path"]).read_bytes()
    )
    table = pq.read_table(path)
    place = table.schema.get_field_index("text")
    edited = pa.array(["FORGED" if text == "XY99Z" else text for text in table["text"].to_pylist()])
    pq.write_table(table.set_column(place, table.schema.field("text"), edited), path)
    before = tree(output)
    assert purge.main([output, "--plate", PLATE]) == 1
    lines = capsys.readouterr().err.splitlines()
    assert lines == [
        f"platebeam purge: run first: plates/{path.name} is not what its record lists, so nothing "
        "was removed"
    ]
    after = tree(output)
    assert all(after[name] == before[name] for name in before if "first" in name)


def test_resuming_reads_pictures_again_that_were_purged_and_no_others(
    samples_output: str, tmp_path: Path
) -> None:
    copy = str(shutil.copytree(samples_output, tmp_path / "copy"))
    (record,) = read_records(copy)
    text = max(read_table(record, copy, "truths")["text"].to_pylist(), key=len)
    assert purge.main([copy, "--plate", text]) == 0
    assert purge.main([copy, "--uri", str(SAMPLES / "street-01.jpg")]) == 0
    options = ["--truth", str(SAMPLES / "truth.csv"), "--keep-crops", "--workers", "1"]
    again = read_plates.run([str(SAMPLES), "--output", copy, *options, "--resume"])
    assert again is not None
    images = read_table(again, copy, "images")
    assert images["uri"].to_pylist() == [str(SAMPLES / "street-01.jpg")]


KILLED = """
import os, shutil, signal, sys
from fsspec.implementations.local import LocalFileSystem
from pipelines import purge
from pipelines.tables import TableFile

folder, *options = sys.argv[1:]
STEPS = ((LocalFileSystem, ("pipe_file", "mv", "rm_file")), (TableFile, ("__init__", "close")))

def count(holder, name):
    call = getattr(holder, name)
    def counted(*arguments, **named):
        global left
        left -= 1
        if left < 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return call(*arguments, **named)
    setattr(holder, name, counted)

step = 0
while True:
    copy = shutil.copytree(folder, f"{folder}-{step}")
    child = os.fork()
    if not child:
        left = step
        for holder, names in STEPS:
            for name in names:
                count(holder, name)
        os._exit(purge.main([copy, *options]))
    status = os.waitpid(child, 0)[1]
    if not os.WIFSIGNALED(status):
        sys.exit(os.WEXITSTATUS(status))
    step += 1
"""
"""Purges copies of a folder, each killed one step later than the one before, the last not at all.

A step opens, finishes, renames or deletes a file."""


def test_a_purge_may_be_killed_at_any_step(tmp_path: Path) -> None:
    output = str(tmp_path / "tables")
    commit(output, "first", [SEEN, OTHER])
    before = everything(output)
    subprocess.run([sys.executable, "-c", KILLED, output, "--plate", PLATE], check=True)
    killed = range(len(list(tmp_path.glob("tables-*"))) - 1)
    after = everything(f"{output}-{len(killed)}")
    purged = []
    for step in killed:
        copy = f"{output}-{step}"
        left = everything(copy)
        assert left in (before, after)
        purged.append(left == after)
        if step % 2:
            # A purge of something else finishes what was begun. Before that there is but the
            # record to be, not renamed yet, of which nobody knows whose it is.
            begun = step > 1
            assert purge.main([copy, "--uri", "/not/there.jpg"]) == (0 if begun else 1)
            assert everything(copy) == left
            assert is_whole(copy) == begun
        assert purge.main([copy, "--plate", PLATE]) == 0
        assert everything(copy) == after
        assert traces(copy, PLATE) == set()
        assert is_whole(copy)
        assert len(read_records(copy)[0]["purged"]) == 1
    # Twice three steps for the record's three states; two for each of four files written: images,
    # plates, truths and metrics of the run; one for each of the four that these replace.
    assert len(killed) == 2 * 3 + 2 * 4 + 4
    assert purged == [False] * (2 + 8 + 2) + [True] * (4 + 2)


def test_of_two_purges_at_once_the_earlier_gives_way(
    output: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    close = TableFile.close
    others = ["KL555MN"]

    def interrupted(file: TableFile) -> DataFile:
        if others:
            assert purge.main([output, "--plate", others.pop()]) == 0
        return close(file)

    monkeypatch.setattr(TableFile, "close", interrupted)
    assert purge.main([output, "--plate", PLATE]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line == (
        "platebeam purge: run second: another purge has changed it meanwhile: purge again"
    )
    assert is_whole(output)
    assert traces(output, "KL555MN") == set()
    assert purge.main([output, "--plate", PLATE]) == 0
    assert traces(output, PLATE) == traces(output, "KL555MN") == set()
    assert names(output, "images") == ["1.jpg", "3.jpg", "4.jpg", "5.jpg"]


def test_what_no_run_committed_is_told_and_left_to_those_who_know_of_jobs(
    output: str, capsys: pytest.CaptureFixture[str]
) -> None:
    died = Run("died", output, "b" * 64, "c" * 64)
    left = write_table("plates", [SEEN[1][0] | {"run_id": "died"}], died)
    assert purge.main([output, "--plate", PLATE, "--dry-run"]) == 0
    capsys.readouterr()
    assert purge.main([output, "--plate", PLATE]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("platebeam purge: 1 files that no run has committed may hold it")
    assert f"`platebeam runs {output} --clean`" in line
    assert Path(output, left.path).exists()
    assert runs.main([output, "--clean", "--min-age", "0"]) == 0
    assert purge.main([output, "--plate", PLATE]) == 0
    assert traces(output, PLATE) == set()
    assert is_whole(output)


def test_a_damaged_file_stops_its_run_and_no_other(
    output: str, capsys: pytest.CaptureFixture[str]
) -> None:
    record = read_records(output)[0]
    path = next(file["path"] for file in record["files"] if file["table"] == "truths")
    Path(output, path).write_bytes(b"PAR1")
    assert purge.main([output, "--plate", PLATE]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("platebeam purge: run first: ") and Path(path).name in line
    assert names(output, "images", "second") == ["1.jpg", "5.jpg"]
    assert names(output, "plates", "second") == ["5.jpg"]


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ([], "one of the arguments --before --plate --uri is required"),
        (["--plate", "AB12", "--uri", "x"], "not allowed with argument --plate"),
        (["--plate", "·--·"], "--plate: it has no letter A-Z and no digit"),
        (["--plate", "QQ", "77", "Z"], "a text with spaces needs quotes"),
        (["--uri", ""], "--uri: it is empty"),
        (["--before", "yesterday"], "--before: it is no day as YYYY-MM-DD"),
        (["--before", "2025-02-30"], "--before: day"),
    ],
)
def test_bad_options_remove_nothing(
    output: str, options: list[str], told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    before = tree(output)
    with pytest.raises(SystemExit) as error:
        purge.main([output, *options])
    assert error.value.code == 2
    line = capsys.readouterr().err.splitlines()[-1]
    assert told in line
    assert "77" not in line
    assert tree(output) == before


def test_a_folder_that_cannot_be_asked_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert purge.main([str(tmp_path), "--plate", PLATE]) == 2
    assert capsys.readouterr().err == f"platebeam purge: no run is committed in {tmp_path}\n"


@pytest.fixture
def pseudonymised(tmp_path: Path) -> tuple[str, str, Pseudonyms]:
    """A public and a restricted folder with the three runs, and what made their tokens."""
    key = tmp_path / "key"
    key.write_bytes(b"k" * 32)
    made = Pseudonyms.from_file(str(key))
    public = str(tmp_path / "tables")
    restricted = restricted_folder(public)
    for run_id, pictures in RUNS.items():
        entry = {"key_id": made.key_id}
        commit(restricted, run_id, pictures, made.restricted_row, entry | {"restricted": True})
        commit(public, run_id, pictures, made.public_row, entry | {"restricted": False})
    return public, restricted, made


def agree(public: str, restricted: str, made: Pseudonyms) -> bool:
    """Whether the rows of one folder are the hidden ones of the other."""
    return all(
        rows(public, table, run_id)
        == sorted(
            (
                made.public_row(row) | {name: row[name] for name in row.keys() & {"read_id"}}
                for row in rows(restricted, table, run_id)
            ),
            key=str,
        )
        for run_id in RUNS
        for table in SCHEMAS
    )


def test_a_plate_goes_from_both_folders_of_a_pseudonymised_output(
    pseudonymised: tuple[str, str, Pseudonyms],
) -> None:
    public, restricted, made = pseudonymised
    tokens = [made.plate(text).upper() for text in (PLATE, f"1{PLATE}")]
    assert all(traces(public, token.replace("-", "")) for token in tokens)
    assert agree(*pseudonymised)
    assert purge.main([public, "--plate", PLATE, "--key", made.key_file]) == 0
    assert traces(restricted, PLATE) == traces(public, PLATE) == set()
    assert not any(traces(public, token.replace("-", "")) for token in tokens)
    assert names(restricted, "images") == ["1.jpg", "3.jpg", "4.jpg", "5.jpg"]
    assert [row["text"] for row in rows(restricted, "plates")] == ["KL555MN", "XY99Z"]
    assert agree(*pseudonymised)
    assert is_whole(public) and is_whole(restricted)


def test_a_plate_that_labels_alone_tell_goes_from_both_folders(tmp_path: Path) -> None:
    key = tmp_path / "key"
    key.write_bytes(b"k" * 32)
    made = Pseudonyms.from_file(str(key))
    public = str(tmp_path / "tables")
    for folder, hide in (
        (public, made.public_row),
        (restricted_folder(public), made.restricted_row),
    ):
        entry = {"key_id": made.key_id, "restricted": folder != public}
        commit(folder, "first", [FAILED, OTHER], hide, entry)
    assert any(PLATE in normalise_text(value) for value in leaves(rows(public, "images")))
    assert purge.main([public, "--plate", PLATE, "--key", made.key_file]) == 0
    assert traces(public, PLATE) == traces(restricted_folder(public), PLATE) == set()


def test_a_picture_and_a_time_go_from_both_folders(
    pseudonymised: tuple[str, str, Pseudonyms],
) -> None:
    public, restricted, made = pseudonymised
    assert purge.main([public, "--uri", "/p/5.jpg", "--key", made.key_file]) == 0
    assert names(restricted, "images") == ["1.jpg", "3.jpg", "4.jpg", "ab-123_cd.jpg"]
    assert agree(*pseudonymised)
    assert purge.main([public, "--before", "2025-01-01"]) == 0
    assert names(restricted, "images") == ["3.jpg", "4.jpg"]
    assert agree(*pseudonymised)
    assert is_whole(public) and is_whole(restricted)


def test_a_purge_killed_between_the_folders_can_be_repeated(
    pseudonymised: tuple[str, str, Pseudonyms], monkeypatch: pytest.MonkeyPatch
) -> None:
    public, restricted, made = pseudonymised
    purge_folder = purge.purge_folder

    def only_the_public_one(output: str, *rest: Any) -> list[str]:
        if output == restricted:
            raise KeyboardInterrupt
        return purge_folder(output, *rest)

    command = [public, "--plate", PLATE, "--key", made.key_file]
    monkeypatch.setattr(purge, "purge_folder", only_the_public_one)
    with pytest.raises(KeyboardInterrupt):
        purge.main(command)
    monkeypatch.undo()
    assert traces(restricted, PLATE) != set()
    assert purge.main(command) == 0
    assert traces(restricted, PLATE) == set()
    assert agree(*pseudonymised)


def test_a_pseudonymised_output_is_purged_by_its_key_and_as_a_whole(
    pseudonymised: tuple[str, str, Pseudonyms], capsys: pytest.CaptureFixture[str]
) -> None:
    public, restricted, made = pseudonymised
    other = Path(made.key_file).with_name("other")
    other.write_bytes(b"o" * 32)
    before = tree(public), tree(restricted)
    for arguments, told in (
        ([public], "has tokens in place of plates and URIs: give --key KEYFILE"),
        ([public, "--key", str(other)], f"is pseudonymised with the key {made.key_id}"),
        ([restricted], "is a restricted folder: purge the public one"),
    ):
        assert purge.main([*arguments, "--plate", PLATE]) == 2
        assert told in capsys.readouterr().err
    assert (tree(public), tree(restricted)) == before


def test_each_folder_is_named_before_what_goes_from_it(
    pseudonymised: tuple[str, str, Pseudonyms], capsys: pytest.CaptureFixture[str]
) -> None:
    public, restricted, made = pseudonymised
    assert purge.main([public, "--plate", PLATE, "--key", made.key_file]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line for line in lines if line.endswith(":")] == [
        *(f"{public}:", "rows removed:"),
        *(f"{restricted}:", "rows removed:"),
    ]


def test_a_first_run_that_died_between_its_records_is_purged_alone(
    pseudonymised: tuple[str, str, Pseudonyms],
) -> None:
    public, restricted, made = pseudonymised
    shutil.rmtree(Path(public, "runs"))
    assert purge.main([public, "--plate", PLATE, "--key", made.key_file]) == 2
    assert traces(restricted, PLATE) != set()
    assert purge.main([restricted, "--plate", PLATE]) == 0
    assert traces(restricted, PLATE) == set()
    assert is_whole(restricted)


def test_a_key_is_not_for_an_output_without_tokens(
    output: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    key = tmp_path / "key"
    key.write_bytes(b"k" * 32)
    assert purge.main([output, "--plate", PLATE, "--key", str(key)]) == 2
    assert "is not pseudonymised: ask without a key" in capsys.readouterr().err


def test_a_folder_in_memory_is_purged() -> None:
    output = "memory://purged"
    fs = fsspec.filesystem("memory")
    try:
        commit_both(output)
        assert purge.main([output, "--plate", PLATE]) == 0
        assert traces(output, PLATE) == set()
        assert names(output, "images") == ["1.jpg", "3.jpg", "4.jpg", "5.jpg"]
        assert purge.main([output, "--before", "2025-01-01"]) == 0
        assert names(output, "images") == ["3.jpg", "4.jpg", "5.jpg"]
        assert is_whole(output)
    finally:
        fs.rm("/purged", recursive=True)


def test_a_folder_in_a_bucket_is_purged(bucket: Bucket) -> None:
    output = f"{bucket.uri}/tables"
    commit(output, "first", [SEEN, OTHER])
    assert purge.main([output, "--plate", PLATE]) == 0
    assert traces(output, PLATE) == set()
    assert [row["text"] for row in rows(output, "plates")] == ["XY99Z", "KL555MN"]
    assert is_whole(output)


SIGNS = "ABab01IiSsıſ/ -_.%·ÖİK"
PLATES = st.one_of(st.text("AB01IS", min_size=1, max_size=3), st.just("IS"))


@given(st.text(SIGNS, max_size=12), PLATES)
def test_whatever_normalises_to_a_plate_holds_it(text: str, plate: str) -> None:
    holds = re.search(plate_pattern(plate), text) is not None
    normalised = plate in normalise_text(text)
    if normalised or plate in normalise_text(unquote(text, "latin-1")):
        assert holds
    if "%" not in text:
        assert holds == normalised


@given(st.text(SIGNS + "ßﬁ", max_size=12), st.text("AB01IS -", max_size=3).filter(normalise_text))
def test_the_database_finds_what_python_finds(text: str, plate: str) -> None:
    pattern = plate_pattern(plate)
    (row,) = duckdb.execute("SELECT regexp_matches($1, $2)", [text, pattern]).fetchall()
    assert row == (re.search(pattern, text) is not None,)


def test_every_sign_that_is_a_letter_is_found_as_that_letter() -> None:
    signs = map(chr, range(0x80, sys.maxunicode + 1))
    letters = {sign: letter for sign in signs if len(letter := normalise_text(sign)) == 1}
    assert letters["ı"] == "I" and letters["ſ"] == "S"
    for sign, letter in letters.items():
        found = "SELECT regexp_matches($1, $2), regexp_matches($3, $4)"
        between = [f"0{sign}1", plate_pattern("01")]
        (row,) = duckdb.execute(found, [sign, plate_pattern(letter), *between]).fetchall()
        assert row == (True, False)


def test_a_plate_goes_in_the_letters_of_other_scripts_too(output: str) -> None:
    commit(output, "turkish", [(SEEN[0], [], [truth("1.jpg", 0, "ıſ 12")]), OTHER])
    assert traces(output, "IS12") != set()
    assert purge.main([output, "--plate", "is12"]) == 0
    assert traces(output, "IS12") == set()
    assert is_whole(output)
