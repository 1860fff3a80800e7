"""How far a local job is, seen from outside the pipeline, whose `run` blocks until the end.

Workers append a byte a picture to a file that the environment names; the launcher watches it grow.
Threads and processes of one machine can do that alike, and where the variable is not set, as on a
cluster, nothing is written.
"""

from __future__ import annotations

import contextlib
import os
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from typing import IO, TypeVar

from tqdm import tqdm

VARIABLE = "PLATEBEAM_PROGRESS"
POLL_SECONDS = 0.2
LINE_SECONDS = 10.0

T = TypeVar("T")


def tick(element: T) -> T:
    """Hand an element on and tell the launcher, if it listens."""
    path = os.environ.get(VARIABLE)
    if path:
        # O_APPEND keeps the bytes of several processes apart.
        with contextlib.suppress(OSError), open(path, "ab", buffering=0) as file:
            file.write(b".")
    return element


@contextlib.contextmanager
def progress(total: int, stream: IO[str] | None = None) -> Iterator[None]:
    """Show how many of `total` pictures are done while the body runs.

    A bar with rate and remaining time on a terminal, a plain line every ten seconds elsewhere.
    """
    stream = stream or sys.stderr
    done = threading.Event()
    with tempfile.NamedTemporaryFile(prefix="platebeam-") as file:
        watch = _bar if stream.isatty() else _lines
        watcher = threading.Thread(target=watch, args=(file.name, total, stream, done), daemon=True)
        os.environ[VARIABLE] = file.name
        watcher.start()
        try:
            yield
        finally:
            del os.environ[VARIABLE]
            done.set()
            watcher.join()


@contextlib.contextmanager
def worker_chatter_kept() -> Iterator[IO[str]]:
    """Keep what is written to standard error while the body runs; yield the real one.

    Beam's worker processes log each of their steps to the standard error they inherit. It is shown
    only if the body fails.
    """
    sys.stderr.flush()
    number = sys.__stderr__.fileno() if sys.__stderr__ else 2
    with os.fdopen(os.dup(number), "w") as shown, tempfile.TemporaryFile() as kept:
        os.dup2(kept.fileno(), number)
        try:
            yield shown
        except BaseException:
            kept.seek(0)
            shown.write(kept.read().decode(errors="replace"))
            raise
        finally:
            sys.stderr.flush()
            os.dup2(shown.fileno(), number)


def _bar(path: str, total: int, stream: IO[str], done: threading.Event) -> None:
    with tqdm(total=total, unit="picture", file=stream, dynamic_ncols=True) as bar:
        finished = False
        while not finished:
            finished = done.wait(POLL_SECONDS)
            bar.update(os.path.getsize(path) - bar.n)


def _lines(path: str, total: int, stream: IO[str], done: threading.Event) -> None:
    start = time.monotonic()
    finished = False
    while not finished:
        finished = done.wait(LINE_SECONDS)
        line = tqdm.format_meter(
            os.path.getsize(path),
            total,
            time.monotonic() - start,
            unit=" pictures",
            bar_format="{n_fmt}/{total_fmt} pictures, {rate_noinv_fmt}, {elapsed} gone, "
            "{remaining} left",
        )
        print(line, file=stream, flush=True)
