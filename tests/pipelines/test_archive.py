"""The views over committed runs, and what cannot be reached through them."""

from __future__ import annotations

import csv
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb
import fsspec
import pytest

from pipelines import evaluate, purge, query, report, show, verify
from pipelines.archive import VIEWS, ArchiveError, DataFileError, connect, open_archive

from .conftest import SAMPLES

Rows = list[tuple[Any, ...]]


def ask(output: str | Path, sql: str) -> Rows:
    rows: Rows = connect(open_archive(str(output))).sql(sql).fetchall()
    return rows


@pytest.fixture
def copy(samples_output: str, tmp_path: Path) -> Path:
    """The samples' output, free to be changed."""
    return Path(shutil.copytree(samples_output, tmp_path / "copy"))


def run_twice(copy: Path) -> None:
    """Commit the same files under another run."""
    record = json.loads((copy / "runs" / "samples.json").read_text())
    again = json.dumps({**record, "run_id": "again"})
    (copy / "runs" / "again.json").write_text(again)


def test_every_view_has_the_rows_of_the_run(samples_output: str) -> None:
    counts = json.loads(Path(samples_output, "runs", "samples.json").read_text())["counts"]
    with (SAMPLES / "truth.csv").open() as file:
        known = [row["text"] for row in csv.DictReader(file) if row["text"]]
    rows = {view: ask(samples_output, f"SELECT count(*) FROM {view}")[0][0] for view in VIEWS}
    assert rows["images"] == counts["inputs"] == len(list(SAMPLES.glob("*.jpg")))
    assert rows["plates"] == counts["plates_found"] > 0
    assert rows["truths"] == len(known)
    assert rows["runs"] == 1
    assert rows["metrics"] > 0 < rows["confusions"]


def test_characters_of_a_plate_spell_it(samples_output: str) -> None:
    spelt = """
        SELECT string_agg("character", '' ORDER BY position) = any_value(text), min(position)
        FROM characters JOIN plates USING (run_id, read_id, uri, "index")
        WHERE text IS NOT NULL GROUP BY read_id
    """
    assert set(ask(samples_output, spelt)) == {(True, 0)}


def test_a_run_is_a_row(samples_output: str) -> None:
    told = "run_id, state, inputs, typeof(started_at), finished_at >= started_at, bundle_name"
    zoned = "TIMESTAMP WITH TIME ZONE"
    pictures = len(list(SAMPLES.glob("*.jpg")))
    assert ask(samples_output, f"SELECT {told} FROM runs") == [
        ("samples", "complete", pictures, zoned, True, "default")
    ]


def test_runs_can_be_chosen(copy: Path) -> None:
    run_twice(copy)
    assert ask(copy, "SELECT count(*) FROM runs") == [(2,)]
    one = connect(open_archive(str(copy), ["again"]))
    assert one.sql("SELECT run_id FROM runs").fetchall() == [("again",)]


def test_files_that_no_record_lists_are_not_read(copy: Path) -> None:
    before = ask(copy, "SELECT count(*) FROM images")
    (file,) = (copy / "images").iterdir()
    shutil.copy(file, file.with_name("images-died-0123456789ab.parquet"))
    assert ask(copy, "SELECT count(*) FROM images") == before


@pytest.mark.parametrize("name", ["a b'c", "x[1]", "st*r", "wh?t", "a;b"])
def test_folders_may_have_any_name(samples_output: str, tmp_path: Path, name: str) -> None:
    folder = shutil.copytree(samples_output, tmp_path / name)
    assert ask(folder, "SELECT count(*) FROM images") == ask(
        samples_output, "SELECT count(*) FROM images"
    )


def test_other_stores_are_asked_through_fsspec(samples_output: str) -> None:
    fs = fsspec.filesystem("memory")
    fs.put(samples_output, "/asked", recursive=True)
    try:
        assert ask("memory://asked", "SELECT count(*) FROM plates") == ask(
            samples_output, "SELECT count(*) FROM plates"
        )
    finally:
        fs.rm("/asked", recursive=True)


def test_nothing_else_can_be_opened(copy: Path, tmp_path: Path) -> None:
    database = connect(open_archive(str(copy)))
    (listed,) = (copy / "images").iterdir()
    unlisted = shutil.copy(listed, tmp_path / "other.parquet")
    assert database.sql(f"SELECT count(*) FROM '{listed}'").fetchall() != [(0,)]
    for sql in (
        f"SELECT * FROM '{unlisted}'",
        "SELECT * FROM read_text('/etc/hostname')",
        f"COPY plates TO '{tmp_path / 'plates.csv'}'",
        f"ATTACH '{tmp_path / 'new.db'}'",
    ):
        with pytest.raises(duckdb.PermissionException):
            database.sql(sql)
    with pytest.raises(duckdb.Error, match="locked"):
        database.sql("SET enable_external_access = true")
    assert {path.name for path in tmp_path.iterdir()} == {"copy", "other.parquet"}


def test_nothing_is_written_when_memory_is_short(samples_output: str) -> None:
    assert ask(samples_output, "SELECT current_setting('temp_directory')") == [("",)]


def test_what_cannot_be_asked_is_told(copy: Path, tmp_path: Path) -> None:
    with pytest.raises(ArchiveError, match=f"no run is committed in {tmp_path}/none"):
        open_archive(f"{tmp_path}/none")
    with pytest.raises(ArchiveError, match="has no run last; `platebeam runs"):
        open_archive(str(copy), ["samples", "last"])
    file = copy / "runs" / "samples.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "schema_version": "1"}))
    with pytest.raises(ArchiveError, match="run samples has tables of version 1"):
        open_archive(str(copy))
    file.write_text("{")
    with pytest.raises(ArchiveError, match=r"samples\.json is no record"):
        open_archive(str(copy))


@pytest.mark.parametrize("damage", [None, b"", b"PAR1 and no more"])
def test_a_data_file_that_is_lost_or_damaged_is_named(copy: Path, damage: bytes | None) -> None:
    (file,) = (copy / "plates").iterdir()
    file.unlink()
    if damage is not None:
        file.write_bytes(damage)
    with pytest.raises(DataFileError) as raised:
        connect(open_archive(str(copy)))
    assert str(file) in str(raised.value)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    "field",
    [
        *("run_id", "schema_version", "state", "started_at", "finished_at", "code_version"),
        *("counts", "counts.read", "bundle", "bundle.sha256", "config", "config.sha256"),
        *("files", "files[].path", "libraries", "options", "labels_not_sliced"),
    ],
)
def test_a_record_that_lacks_a_field_is_named_with_it(copy: Path, field: str) -> None:
    file = copy / "runs" / "samples.json"
    record = json.loads(file.read_text())
    *above, name = field.split(".")
    holder = record if not above else record["files"][0] if "[]" in field else record[above[0]]
    del holder[name]
    file.write_text(json.dumps(record))
    where = f"a run record of {copy}" if field == "run_id" else str(file)
    with pytest.raises(ArchiveError) as raised:
        open_archive(str(copy))
    assert str(raised.value).startswith(f"{where} lacks {field}")


@pytest.mark.parametrize(
    "changed", [{"started_at": "yesterday"}, {"counts": []}, {"files": [1]}, {"files": []}]
)
def test_a_record_of_another_shape_is_refused(copy: Path, changed: dict[str, Any]) -> None:
    file = copy / "runs" / "samples.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), **changed}))
    with pytest.raises(ArchiveError, match=rf"samples\.json.*{next(iter(changed))}"):
        open_archive(str(copy))


COMMANDS: dict[Callable[[list[str]], int], list[str]] = {
    evaluate.main: ["--truth", "truth.csv"],
    query.main: ["--plate", "AB"],
    report.main: [],
    show.main: ["AB"],
}
"""Commands that write where `--output` says, and what else they need."""


@pytest.mark.parametrize("main", [*COMMANDS, verify.main, purge.main])
def test_no_command_repeats_what_may_be_the_rest_of_a_plate(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], main: Callable[[list[str]], int]
) -> None:
    options = [*COMMANDS[main], "--output", "x.pdf"] if main in COMMANDS else []
    options += ["--plate", "AB"] if main is purge.main else []
    for rest, told in ((["12", "CD"], "a text with spaces needs quotes"), (["--at=CD"], "--at")):
        with pytest.raises(SystemExit, match="2"):
            main([str(tmp_path), *options, *rest])
        printed = capsys.readouterr().err
        assert printed.endswith(f"{told}\n")
        assert "CD" not in printed


@pytest.mark.parametrize("main", COMMANDS)
def test_nothing_is_written_among_the_tables(
    samples_output: str, capsys: pytest.CaptureFixture[str], main: Callable[[list[str]], int]
) -> None:
    inside = f"{samples_output}/plates/x.pdf"
    assert main([samples_output, *COMMANDS[main], "--output", inside]) == 2
    told = f"--output {inside} is in {samples_output}: name a folder outside it\n"
    assert capsys.readouterr().err.endswith(told)
    assert not Path(inside).exists()
