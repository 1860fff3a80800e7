"""--resume: what a committed run has read already is left out, and only that."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from pipelines import read_plates
from pipelines.run_record import read_records

from .conftest import Tables

Read = Callable[..., Tables]


@pytest.fixture
def folder(street: Path, tmp_path: Path) -> Path:
    """A copy of `street` that a test may change."""
    return Path(shutil.copytree(street, tmp_path / "in"))


def last_names(tables: Tables) -> set[str]:
    return {row["uri"].rpartition("/")[2] for row in tables.rows("images")}


@pytest.mark.parametrize("how", ["--resume", "--resume=content"])
@pytest.mark.parametrize("workers", [1, 2])
def test_a_second_run_with_no_change_writes_no_row_and_says_so(
    folder: Path, read: Read, capsys: pytest.CaptureFixture[str], how: str, workers: int
) -> None:
    read(folder, "--truth", folder / "truth.csv")
    arguments = [folder, "--truth", folder / "truth.csv", "--output", folder.parent / "out", how]
    options = [f"--workers={workers}", "--run-id=again"]
    assert read_plates.main([*map(str, arguments), *options]) == 0
    assert "6 pictures: nothing has changed since they were read" in capsys.readouterr().out
    record = read_plates.read_record(str(folder.parent / "out"), "again")
    assert record is not None
    assert sum(file["rows"] for file in record["files"]) == 0
    assert (record["counts"]["inputs"], record["counts"]["unchanged"]) == (6, 6)
    assert record["state"] == "complete"
    # All of them were matched, though none was read again.
    assert record["counts"]["truth_rows_unmatched"] == 0


def test_what_is_new_or_changed_is_read(folder: Path, read: Read) -> None:
    read(folder)
    shutil.copy(folder / "one.jpg", folder / "new.jpg")
    shutil.copy(folder / "three.png", folder / "two.jpg")
    (folder / "none.jpg").unlink()
    again = read(folder, "--resume")
    assert last_names(again) == {"new.jpg", "two.jpg"}
    assert again.record["counts"]["inputs"] == 6
    assert again.record["counts"]["unchanged"] == 4
    assert last_names(read(folder, "--resume")) == set()  # what was read again stands too


def test_a_new_time_is_a_new_version_but_no_new_content(folder: Path, read: Read) -> None:
    read(folder)
    os.utime(folder / "one.jpg", (1, 1))
    assert last_names(read(folder, "--resume=content")) == set()
    assert last_names(read(folder, "--resume")) == {"one.jpg"}


def test_a_manifest_resumes_by_what_the_store_says_now(folder: Path, read: Read) -> None:
    manifest = folder / "list.csv"
    manifest.write_text("uri,lane\none.jpg,left\ntwo.jpg,left\nabsent.jpg,left\none.jpg,right\n")
    assert last_names(read(manifest)) == {"one.jpg", "two.jpg", "absent.jpg"}
    shutil.copy(folder / "three.png", folder / "two.jpg")
    # What could not be loaded is tried again.
    assert last_names(read(manifest, "--resume")) == {"two.jpg", "absent.jpg"}


@pytest.mark.parametrize("how", ["--resume", "--resume=content"])
def test_what_failed_since_it_was_read_is_tried_again(folder: Path, read: Read, how: str) -> None:
    manifest, picture, away = folder / "list.csv", folder / "two.jpg", folder / "away"
    manifest.write_text("uri\none.jpg\ntwo.jpg\n")
    read(manifest)
    picture.rename(away)
    read(manifest)
    away.rename(picture)  # of the same version and content as when it was read
    assert last_names(read(manifest, how)) == {"two.jpg"}
    assert last_names(read(manifest, how)) == set()


@pytest.mark.parametrize(
    "option",
    ["--min-confidence=0.9", "--layouts=eu", "--max-pixels=1000000", "--keep-crops"],
)
def test_other_options_read_everything_again(folder: Path, read: Read, option: str) -> None:
    picture = folder / "one.jpg"
    read(picture)
    assert last_names(read(picture, option, "--resume")) == {"one.jpg"}
    assert last_names(read(picture, option, "--resume")) == set()


def test_another_output_folder_knows_nothing(folder: Path, read: Read) -> None:
    picture = folder / "one.jpg"
    read(picture)
    assert last_names(read(picture, "--resume", name="elsewhere")) == {"one.jpg"}


def test_links_are_known_again_by_the_files_behind_them(folder: Path, read: Read) -> None:
    archive = folder.parent / "links"
    archive.mkdir()
    (archive / "one.jpg").symlink_to(folder / "one.jpg")
    os.utime(folder / "one.jpg", (1, 1))
    read(archive)
    assert last_names(read(archive, "--resume")) == set()
    os.utime(folder / "one.jpg", (2, 2))
    assert last_names(read(archive, "--resume")) == {"one.jpg"}


def test_an_output_folder_is_the_same_by_any_name(folder: Path, tmp_path: Path) -> None:
    output = tmp_path / "out[1]*"
    for name, rows in ((f"{output}/", 1), (str(output), 0), (f"{output}//", 0)):
        options = ["--output", name, "--resume", "--workers=1"]
        record = read_plates.run([str(folder / "one.jpg"), *options])
        assert record is not None
        assert sum(file["rows"] for file in record["files"] if file["table"] == "images") == rows
    assert len(read_records(str(output))) == 3


def test_a_run_that_was_not_committed_does_not_count(folder: Path, read: Read) -> None:
    picture = folder / "one.jpg"
    first = read(picture, "--run-id=first")
    (first.output / "runs" / "first.json").unlink()
    assert last_names(read(picture, "--resume")) == {"one.jpg"}


def test_a_record_that_lacks_a_field_is_told(
    folder: Path, read: Read, capsys: pytest.CaptureFixture[str]
) -> None:
    tables = read(folder)
    (path,) = Path(tables.output, "runs").glob("*.json")
    path.write_text('{"format": "platebeam-run", "format_version": 2}')
    capsys.readouterr()
    assert read_plates.main([str(folder), f"--output={tables.output}", "--resume"]) == 2
    told = f"a run record of {tables.output} lacks run_id, or it is not what it should be"
    assert capsys.readouterr().err == f"platebeam read: {told}\n"
