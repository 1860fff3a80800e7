"""Progress, told from inside the pipeline through a file."""

from __future__ import annotations

import io
import os
import subprocess
import sys

import pytest

from pipelines.progress import VARIABLE, announce, progress, tick, worker_chatter_kept


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_plain_lines_where_there_is_no_terminal() -> None:
    stream = io.StringIO()
    with progress(stream):
        announce(3)
        announce(1)
        for _ in range(3):
            tick("picture")
    line = stream.getvalue().splitlines()[-1]
    assert line.startswith("3/4 pictures, ")
    assert "left" in line
    assert "\r" not in line


def test_a_bar_on_a_terminal() -> None:
    stream = Terminal()
    with progress(stream):
        announce(3)
        announce(1)
        for _ in range(4):
            tick("picture")
    last = stream.getvalue().split("\r")[-1]
    assert "100%" in last
    assert "4/4" in last


def test_other_processes_count_too() -> None:
    stream = io.StringIO()
    script = "from pipelines.progress import tick\nfor n in range(5): assert tick(n) == n"
    with progress(stream):
        announce(10)
        subprocess.run([sys.executable, "-c", script], check=True)
        tick("picture")
    assert stream.getvalue().splitlines()[-1].startswith("6/10 pictures")


def test_without_a_launcher_nothing_is_written() -> None:
    assert VARIABLE not in os.environ
    assert tick("picture") == "picture"


def test_what_workers_write_is_shown_only_on_failure(capfd: pytest.CaptureFixture[str]) -> None:
    with worker_chatter_kept() as shown:
        subprocess.run([sys.executable, "-c", "import sys; print('step', file=sys.stderr)"])
        print("progress", file=shown, flush=True)
    assert capfd.readouterr().err == "progress\n"
    with pytest.raises(RuntimeError), worker_chatter_kept():
        os.write(2, b"the worker's trace\n")
        raise RuntimeError
    assert capfd.readouterr().err == "the worker's trace\n"
    os.write(2, b"after\n")
    assert capfd.readouterr().err == "after\n"
