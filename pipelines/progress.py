"""How far a local job is, seen from outside the pipeline, whose `run` blocks until the end.

Workers append a byte a picture to files in a folder that the environment names, one file for those
to be read and one for those done; the launcher watches them grow. Threads and processes of one
machine can do that alike, and where the variable is not set, as on a cluster, nothing is written.
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

DUE, DONE = "due", "done"

MANY = 100_000
"""From where a job on one machine alone is probably a mistake."""

T = TypeVar("T")


def tick(element: T) -> T:
    """Hand an element on and tell the launcher, if it listens."""
    _count(DONE, 1)
    return element


def announce(pictures: int) -> None:
    """Tell the launcher, if it listens, that so many pictures more are to be read."""
    _count(DUE, pictures)


def _count(name: str, pictures: int) -> None:
    folder = os.environ.get(VARIABLE)
    if folder:
        # O_APPEND keeps the bytes of several processes apart.
        path = os.path.join(folder, name)
        with contextlib.suppress(OSError), open(path, "ab", buffering=0) as file:
            file.write(b"." * pictures)


def _counted(folder: str, name: str) -> int:
    try:
        return os.path.getsize(os.path.join(folder, name))
    except FileNotFoundError:
        return 0


@contextlib.contextmanager
def progress(stream: IO[str] | None = None) -> Iterator[None]:
    """Show how many pictures are done of those known while the body runs.

    A bar with rate and remaining time on a terminal, a plain line every ten seconds elsewhere, and
    a hint where there are MANY.
    """
    stream = stream or sys.stderr
    done = threading.Event()
    with tempfile.TemporaryDirectory(prefix="platebeam-") as folder:
        watch = _bar if stream.isatty() else _lines
        watcher = threading.Thread(target=watch, args=(folder, stream, done), daemon=True)
        os.environ[VARIABLE] = folder
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
    shown_to = os.fdopen(os.dup(number), "w", errors="backslashreplace")
    with shown_to as shown, tempfile.TemporaryFile() as kept:
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


def _bar(folder: str, stream: IO[str], done: threading.Event) -> None:
    with tqdm(total=0, unit="picture", file=stream, dynamic_ncols=True) as bar:
        total, finished = 0, False
        while not finished:
            finished = done.wait(POLL_SECONDS)
            before, total = total, _counted(folder, DUE)
            bar.total = total
            if before <= MANY < total:
                bar.write(_hint(total), file=stream)
            bar.update(_counted(folder, DONE) - bar.n)


def _lines(folder: str, stream: IO[str], done: threading.Event) -> None:
    start = time.monotonic()
    total, finished = 0, False
    while not finished:
        finished = done.wait(LINE_SECONDS)
        before, total = total, _counted(folder, DUE)
        if before <= MANY < total:
            print(_hint(total), file=stream)
        line = tqdm.format_meter(
            _counted(folder, DONE),
            total,
            time.monotonic() - start,
            unit=" pictures",
            bar_format="{n_fmt}/{total_fmt} pictures, {rate_noinv_fmt}, {elapsed} gone, "
            "{remaining} left",
        )
        print(line, file=stream, flush=True)


def _hint(total: int) -> str:
    return (
        f"more than {MANY:,} inputs ({total:,} so far) on this machine alone: "
        "--runner=FlinkRunner or --runner=DataflowRunner spread them over many"
    )
