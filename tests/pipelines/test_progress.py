"""Progress, told from inside the pipeline through a file."""

from __future__ import annotations

import io
import os
import subprocess
import sys

from pipelines.progress import VARIABLE, progress, tick


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_plain_lines_where_there_is_no_terminal() -> None:
    stream = io.StringIO()
    with progress(4, stream):
        for _ in range(3):
            tick("picture")
    line = stream.getvalue().splitlines()[-1]
    assert line.startswith("3/4 pictures, ")
    assert "left" in line
    assert "\r" not in line


def test_a_bar_on_a_terminal() -> None:
    stream = Terminal()
    with progress(4, stream):
        for _ in range(4):
            tick("picture")
    last = stream.getvalue().split("\r")[-1]
    assert "100%" in last
    assert "4/4" in last


def test_other_processes_count_too() -> None:
    stream = io.StringIO()
    script = "from pipelines.progress import tick\nfor n in range(5): assert tick(n) == n"
    with progress(10, stream):
        subprocess.run([sys.executable, "-c", script], check=True)
        tick("picture")
    assert stream.getvalue().splitlines()[-1].startswith("6/10 pictures")


def test_without_a_launcher_nothing_is_written() -> None:
    assert VARIABLE not in os.environ
    assert tick("picture") == "picture"
