"""A local job that is ended from outside leaves no process and no folder behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from pipelines.run_record import read_records

PATIENCE = 60.0
"""Seconds until what must happen has happened, on a busy machine."""


def wait_until(happened: Callable[[], bool]) -> None:
    end = time.monotonic() + PATIENCE
    while not happened():
        assert time.monotonic() < end
        time.sleep(0.1)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("reading", [False, True])
def test_a_signal_ends_the_job_and_its_workers(
    street: Path, tmp_path: Path, number: signal.Signals, reading: bool
) -> None:
    manifest, temporary = tmp_path / "list.txt", tmp_path / "temporary"
    manifest.write_text("".join(f"{street}/one.jpg?{copy}\n" for copy in range(100_000)))
    temporary.mkdir()
    workers = "--workers=2" if reading else "--workers=8"  # which are being started
    command = [sys.executable, "-m", "pipelines.read_plates", str(manifest), workers]
    job = subprocess.Popen(
        [*command, f"--output={tmp_path / 'out'}", "--run-id=r"],
        env={**os.environ, "TMPDIR": str(temporary)},
        stderr=subprocess.PIPE,
        text=True,
    )
    launcher = psutil.Process(job.pid)
    wait_until(lambda: len(launcher.children(recursive=True)) >= 2)
    if reading:
        wait_until(lambda: any(path.stat().st_size for path in temporary.glob("*/done")))
    job.send_signal(number)
    _, errors = job.communicate(timeout=PATIENCE)
    assert job.returncode == 128 + number
    told = f"run r was interrupted: it is committed only if `platebeam runs {tmp_path}/out` lists"
    assert told in errors.splitlines()[-1]
    assert "Traceback" not in errors
    time.sleep(1)  # what was about to start would have
    assert not [process for process in psutil.process_iter() if is_of(temporary, process)]
    assert not list(temporary.iterdir())
    assert read_records(str(tmp_path / "out")) == []


def is_of(temporary: Path, process: psutil.Process) -> bool:
    """Whether a process was started with that folder for what is temporary, and lives."""
    try:
        alive = process.status() != psutil.STATUS_ZOMBIE
        return alive and process.environ().get("TMPDIR") == str(temporary)
    except psutil.Error:  # it has ended meanwhile
        return False
