"""What ends a local job from outside, such as Ctrl-C or `kill`, and its workers with it."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import threading
from collections.abc import Iterator
from types import FrameType
from typing import IO

import psutil

from pipelines.progress import VARIABLE

SIGNALS = (signal.SIGINT, signal.SIGTERM)


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

    def end(number: int, frame: FrameType | None) -> None:
        for process in psutil.Process().children(recursive=True):
            with contextlib.suppress(psutil.Error):
                process.kill()
        shutil.rmtree(os.environ.get(VARIABLE, ""), ignore_errors=True)
        with contextlib.suppress(OSError):
            print(f"\n{message}", file=stream, flush=True)
        os._exit(128 + number)

    if threading.current_thread() is not threading.main_thread():  # which alone gets signals
        yield
        return
    before = {number: signal.signal(number, end) for number in SIGNALS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
