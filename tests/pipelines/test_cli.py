"""How the console command ends its process."""

from __future__ import annotations

import subprocess
import sys


def test_a_command_ends_with_its_status_after_what_was_to_be_done_at_exit() -> None:
    code = (
        "import atexit; from pipelines.cli import run_and_leave;"
        "atexit.register(print, 'job server stopped'); run_and_leave(lambda: 3)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (3, "job server stopped\n")
