"""How the console command ends its process."""

from __future__ import annotations

import shlex
import subprocess
import sys


def test_a_command_ends_with_its_status_after_what_was_to_be_done_at_exit() -> None:
    code = (
        "import atexit; from pipelines.cli import run_and_leave;"
        "atexit.register(print, 'job server stopped'); run_and_leave(lambda: 3)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (3, "job server stopped\n")


def test_a_command_does_without_what_its_caller_closed() -> None:
    code = (
        "import sys; from pipelines.cli import run_and_leave;"
        "run_and_leave(lambda: print('out') or print('err', file=sys.stderr) or 3)"
    )
    for closed in (">&-", "2>&-"):
        command = f"{shlex.quote(sys.executable)} -c {shlex.quote(code)} {closed}"
        done = subprocess.run(["sh", "-c", command], capture_output=True, text=True)
        assert done.returncode == 3
        assert done.stdout + done.stderr == ("err\n" if closed == ">&-" else "out\n")


def test_a_reader_that_has_had_enough_ends_a_command() -> None:
    code = (
        "import atexit; from pipelines.cli import run_and_leave;"
        "atexit.register(print, 'job server stopped');"
        "run_and_leave(lambda: print('x' * {}) or 0)"
    )
    for length in (1, 10**6):  # written when the command ends, and while it runs
        command = [sys.executable, "-c", code.format(length)]
        told = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        assert told.stdout is not None and told.stderr is not None
        told.stdout.close()
        assert told.stderr.read() == b""
        assert told.wait() == 128 + 13  # as of a program that SIGPIPE has ended
