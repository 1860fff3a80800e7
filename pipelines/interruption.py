"""What ends a local job from outside, such as Ctrl-C or `kill`, and its workers with it."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import threading
import time
from collections.abc import Iterator
from types import FrameType
from typing import IO

import psutil

from pipelines.progress import VARIABLE

SIGNALS = (signal.SIGINT, signal.SIGTERM)

LIST_SECONDS, QUIET_LISTS = 0.05, 4
"""Between two lists of processes; so many without a new one tell that all are held."""


@contextlib.contextmanager
def ended_with_its_workers(stream: IO[str], message: str) -> Iterator[None]:
    """Have SIGINT and SIGTERM end this process and all that it has started while the body runs.

    Left to themselves, Beam's workers would outlive a launcher that was killed; one that is
    interrupted would wait for ever for workers that were about to start, or go on where Python was
    just deleting something. The exit status is what a shell tells of such a signal.

    Args:
        stream: gets the message, as a line.
        message: what to tell then.
    """

    inherited = os.environ.get(VARIABLE)

    def end(number: int, frame: FrameType | None) -> None:
        try:
            _end_all_started()
            folder = os.environ.get(VARIABLE)
            if folder and folder != inherited:
                shutil.rmtree(folder, ignore_errors=True)
            print(f"\n{message}", file=stream, flush=True)
        finally:
            os._exit(128 + number)

    if threading.current_thread() is not threading.main_thread():  # which alone gets signals
        yield
        return
    handlers = {number: signal.getsignal(number) for number in SIGNALS}
    # One that the caller has ignored, as shells do for what runs in the background, stays ignored.
    ours = {n: handler for n, handler in handlers.items() if handler not in (None, signal.SIG_IGN)}
    for number in ours:
        signal.signal(number, end)
    try:
        yield
    finally:
        for number, handler in ours.items():
            signal.signal(number, handler)


def _end_all_started() -> None:
    """Kill the processes below this one; its threads and theirs may be starting more meanwhile."""
    held: set[psutil.Process] = set()
    quiet = 0
    while quiet < QUIET_LISTS:
        new = set(psutil.Process().children(recursive=True)) - held
        for process in new:
            with contextlib.suppress(psutil.Error):
                process.suspend()
        held |= new
        quiet = 0 if new else quiet + 1
        time.sleep(LIST_SECONDS)
    for process in held:
        with contextlib.suppress(psutil.Error):
            process.kill()
