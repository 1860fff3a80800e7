"""The job on an engine that `deploy/flink/cluster` or `.ci/prism` started, also when parts die."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import pytest

from pipelines import read_plates, runs
from pipelines.run_record import read_records
from pipelines.runs import uncommitted

from .conftest import Tables
from .test_read_plates import plain_rows

Read = Callable[..., Tables]
T = TypeVar("T")

FOLDER = os.environ.get("PLATEBEAM_ENGINE")
SAMPLES = Path(__file__).parents[2] / "samples"
COPIES = 6

pytestmark = [
    pytest.mark.engine,
    pytest.mark.skipif(
        not FOLDER, reason="no engine: set PLATEBEAM_ENGINE to the folder of a started one"
    ),
]


@dataclass(frozen=True)
class Engine:
    """A started engine: the options of a job on it, and its processes by name."""

    options: list[str]
    processes: dict[str, int]


@pytest.fixture(scope="module")
def engine() -> Engine:
    folder = Path(str(FOLDER))
    lines = (folder / "pids").read_text().splitlines()
    processes = {name: int(pid) for name, pid in map(str.split, lines)}
    return Engine((folder / "options").read_text().split(), processes)


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of the samples many times, so that a job on it has a middle."""
    folder = tmp_path_factory.mktemp("archive")
    for copy in range(COPIES):
        for picture in SAMPLES.glob("*.jpg"):
            (folder / f"{copy}-{picture.name}").symlink_to(picture)
    return folder


@pytest.fixture(scope="module")
def expected(
    archive: Path, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, list[dict[str, object]]]:
    """All rows of the archive, read without a engine."""
    output = tmp_path_factory.mktemp("local")
    record = read_plates.run([str(archive), "--output", str(output)])
    assert record is not None
    return plain_rows(Tables(output, record))


@pytest.fixture
def job(archive: Path, tmp_path: Path, engine: Engine) -> Iterator[subprocess.Popen[bytes]]:
    """A job on the archive, running; its tables go to `tmp_path / "tables"`."""
    arguments = command(archive, tmp_path / "tables", engine)
    process = subprocess.Popen(arguments, start_new_session=True)
    yield process
    with contextlib.suppress(ProcessLookupError):  # else Beam's job server would outlive it
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def command(archive: Path, output: Path, engine: Engine) -> list[str]:
    arguments = ["read", str(archive), "--output", str(output), *engine.options]
    return [sys.executable, "-m", "pipelines.cli", *arguments]


def wait_for(look: Callable[[], T | None], job: subprocess.Popen[bytes] | None = None) -> T:
    """What `look` finds at last; where a job is given, while it runs."""
    end = time.monotonic() + 300
    while not (found := look()):
        assert job is None or job.poll() is None, "the job ended before it could be disturbed"
        assert time.monotonic() < end, "waited five minutes in vain"
        time.sleep(0.05)
    return found


def finish(job: subprocess.Popen[bytes], again: list[str], output: Path) -> None:
    """Wait for a disturbed job; where it failed, nothing is committed, and it is run again."""
    if job.wait(600) != 0:
        assert read_records(str(output)) == []
        subprocess.run(again, check=True, timeout=600)


def slots(engine: Engine) -> int:
    """The task slots that Flink counts."""
    (master,) = (o.partition("=")[2] for o in engine.options if o.startswith("--flink_master="))
    with urllib.request.urlopen(f"http://{master}/overview") as answer:
        return int(json.load(answer)["slots-total"])


def children(pid: int) -> list[int]:
    """Those of all its threads: the worker pool starts workers from another than its first."""
    lists = (file.read_text() for file in Path(f"/proc/{pid}/task").glob("*/children"))
    return [int(child) for line in lists for child in line.split()]


def file_being_written(pid: int, folder: Path) -> Path | None:
    """A file below a folder that a process has open."""
    try:
        files = [Path(os.readlink(number)) for number in Path(f"/proc/{pid}/fd").iterdir()]
    except OSError:  # it ended, or closed one meanwhile
        return None
    return next((file for file in files if folder in file.parents), None)


def check_tables(output: Path, expected: dict[str, list[dict[str, object]]]) -> set[Path]:
    """Of all that lies there one run is committed, with every row once; the other files."""
    records = read_records(str(output))
    (record,) = records
    assert record["state"] == "complete"
    assert plain_rows(Tables(output, record)) == expected
    left = {Path(file.path) for file in uncommitted(str(output), records)}
    assert not left & {output / file["path"] for file in record["files"]}
    return left


def test_an_engine_writes_the_rows_that_one_worker_here_writes(engine: Engine, read: Read) -> None:
    arguments = (SAMPLES, "--truth", SAMPLES / "truth.csv")
    local = plain_rows(read(*arguments, name="local"))
    there = plain_rows(read(*arguments, *engine.options, name="there"))
    assert there == local
    assert len(there["images"]) == len(list(SAMPLES.glob("*.jpg")))
    assert there["plates"] and there["truths"] and there["metrics"]


def test_a_worker_killed_in_the_middle_costs_no_input(
    job: subprocess.Popen[bytes],
    archive: Path,
    tmp_path: Path,
    engine: Engine,
    expected: dict[str, list[dict[str, object]]],
    capsys: pytest.CaptureFixture[str],
) -> None:
    output = tmp_path / "tables"

    def writing() -> tuple[int, Path] | None:
        for pool in (pid for name, pid in engine.processes.items() if name.startswith("workers")):
            for worker in children(pool):
                if file := file_being_written(worker, output / "images"):
                    return worker, file
        return None

    worker, torn = wait_for(writing, job)
    os.kill(worker, signal.SIGKILL)
    finish(job, command(archive, output, engine), output)
    assert torn in check_tables(output, expected)
    assert runs.main([str(output)]) == 0
    assert "uncommitted: " in capsys.readouterr().out


def test_a_task_manager_killed_in_the_middle_costs_no_input(
    job: subprocess.Popen[bytes],
    archive: Path,
    tmp_path: Path,
    engine: Engine,
    expected: dict[str, list[dict[str, object]]],
) -> None:
    if "task-manager-1" not in engine.processes:
        pytest.skip("only Flink has task managers")
    output = tmp_path / "tables"
    keeper = engine.processes["task-manager-1"]
    wait_for(lambda: any(output.glob("images/*")), job)
    (manager,) = children(keeper)
    os.kill(manager, signal.SIGKILL)
    finish(job, command(archive, output, engine), output)
    check_tables(output, expected)
    wait_for(lambda: children(keeper) != [manager] and slots(engine) == 2)
