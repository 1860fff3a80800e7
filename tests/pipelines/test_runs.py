"""`platebeam runs`: what an output folder holds, and the removal of what no run committed."""

from __future__ import annotations

import errno
import json
import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pipelines import purge, read_plates, runs

from .conftest import Tables

Read = Callable[..., Tables]
HOUR = 3600


@pytest.fixture(scope="module")
def two_runs(street: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with one whole run, and the files of one that failed at its last step."""
    folder = tmp_path_factory.mktemp("runs") / "tables"
    assert read_plates.main([str(street), "--output", str(folder), "--run-id", "whole"]) == 0

    def fail(*_: object) -> None:
        raise RuntimeError("no accounts today")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("pipelines.commit.check_accounts", fail)
        arguments = [str(street), "--output", str(folder), "--run-id", "died-1", "--workers", "1"]
        assert read_plates.main(arguments) == 1
    return folder


@pytest.fixture
def output(two_runs: Path, tmp_path: Path) -> Path:
    """The folder of `two_runs`, free to be changed."""
    return Path(shutil.copytree(two_runs, tmp_path / "tables"))


def files(output: Path) -> set[str]:
    return {str(path.relative_to(output)) for path in output.rglob("*") if path.is_file()}


def make_older(output: Path, hours: float) -> None:
    for path in output.rglob("*died-1*"):
        os.utime(path, (time.time() - hours * HOUR,) * 2)


def test_runs_are_listed_with_their_counts(
    output: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    capsys.readouterr()
    before = files(output)
    assert runs.main([str(output)]) == 0
    head, whole, died = capsys.readouterr().out.splitlines()
    names = ("run", "state", "finished", "inputs", "unchanged")
    outcomes = ("read", "no_plate", "unreadable", "failed", "plates_read")
    assert tuple(head.split()) == (*names, *outcomes)
    run_id, state, _, *counts = whole.split()
    assert (run_id, state, counts) == ("whole", "complete", ["6", "0", "4", "1", "0", "1", "5"])
    left = sum("died-1" in name for name in before)
    assert left >= 2
    assert died.startswith(f"died-1  uncommitted: {left} files")
    assert files(output) == before


def test_only_what_is_old_and_uncommitted_is_removed(
    output: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = files(output)
    left = {name for name in before if "died-1" in name}
    assert runs.main([str(output), "--clean"]) == 0
    assert f"{len(left)} left: of runs that wrote in the last 24 hours" in capsys.readouterr().out
    assert files(output) == before
    make_older(output, hours=3)
    assert runs.main([str(output), "--clean", "--min-age", "2.5"]) == 0
    assert f"{len(left)} files removed" in capsys.readouterr().out
    assert files(output) == before - left
    assert runs.main([str(output), "--clean", "--min-age", "0"]) == 0
    assert "0 files removed" in capsys.readouterr().out
    assert files(output) == before - left


def test_a_run_that_still_writes_keeps_its_first_files(
    output: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    make_older(output, hours=30)
    before = files(output)
    last = max(output.rglob("*died-1*"))
    os.utime(last)
    assert runs.main([str(output), "--clean"]) == 0
    assert "0 files removed" in capsys.readouterr().out
    assert files(output) == before


def test_what_is_committed_or_renamed_meanwhile_is_not_removed(
    output: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    make_older(output, hours=30)
    vanishing, *others = sorted(output.rglob("*died-1*"))
    record = json.loads((output / "runs" / "whole.json").read_text())
    record["run_id"] = "died-1"
    for file, path in zip(record["files"], others, strict=False):
        file["path"] = str(path.relative_to(output))
    own = runs.print_runs

    def then_commit(*arguments: Any) -> None:
        own(*arguments)
        vanishing.unlink()
        (output / "runs" / "died-1.json").write_text(json.dumps(record))

    monkeypatch.setattr(runs, "print_runs", then_commit)
    assert runs.main([str(output), "--clean"]) == 0
    assert "0 files removed" in capsys.readouterr().out
    assert all(path.exists() for path in others)


def test_files_that_no_job_wrote_stay(output: Path, capsys: pytest.CaptureFixture[str]) -> None:
    others = [output / "images" / "photo.jpg", output / "runs" / "notes.txt"]
    for path in others:
        path.write_text("not ours")
        os.utime(path, (1, 1))
    make_older(output, hours=30)
    assert runs.main([str(output), "--clean"]) == 0
    assert all(path.exists() for path in others)
    assert not list(output.rglob("*died-1*"))


def test_with_a_damaged_record_nothing_is_removed(
    output: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    make_older(output, hours=30)
    before = files(output)
    (output / "runs" / "whole.json").write_text("{")
    assert runs.main([str(output), "--clean"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("platebeam runs: ") and "whole.json" in line
    assert files(output) == before


def test_where_the_records_may_not_be_listed_nothing_is_nobodys(
    output: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    make_older(output, hours=30)
    before = files(output)
    scandir = os.scandir

    def denied(path: str) -> Any:
        if str(path) == f"{output}/runs":
            raise PermissionError(errno.EACCES, "Permission denied", path)
        return scandir(path)

    monkeypatch.setattr(os, "scandir", denied)
    assert runs.main([str(output), "--clean"]) == 2
    assert purge.main([str(output), "--uri", "x"]) == 2
    for line in capsys.readouterr().err.splitlines():
        assert "Permission denied" in line
    monkeypatch.undo()
    assert files(output) == before


def test_a_record_that_lacks_a_field_is_told(
    output: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = output / "runs" / "whole.json"
    record = json.loads(path.read_text())
    del record["counts"]
    path.write_text(json.dumps(record))
    assert runs.main([str(output)]) == 2
    told = f"{path} lacks counts.inputs, or it is not what it should be"
    assert capsys.readouterr().err == f"platebeam runs: {told}\n"


@pytest.mark.parametrize("age", ["-1", "nan", "soon"])
def test_an_age_that_is_none_removes_nothing(
    output: Path, capsys: pytest.CaptureFixture[str], age: str
) -> None:
    before = files(output)
    with pytest.raises(SystemExit) as stop:
        runs.main([str(output), "--clean", f"--min-age={age}"])
    assert stop.value.code == 2
    assert f"argument --min-age: {age!r} is no number from 0" in capsys.readouterr().err
    assert files(output) == before


def test_what_a_first_run_left_is_listed(output: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (output / "runs" / "whole.json").unlink()
    capsys.readouterr()
    assert runs.main([str(output)]) == 0
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()] == [
        "run",
        "died-1",
        "whole",
    ]


def test_a_folder_without_runs_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert runs.main([str(tmp_path)]) == 2
    assert "no run was written to" in capsys.readouterr().err
