"""What is lost when something breaks: each fault a few times, in the middle of a job.

    python benchmarks/faults.py PICTURES [--rounds 3] [--copies 8]

PICTURES is a folder; the job reads it that many times over. A job that fails is run again into the
same folder, as someone would who finds it dead in the morning. Then every input must have one row
under a committed run. Faults of the store are those of a web server in this process. The full disk
is a tmpfs, which only root can mount. Ends with status 1 if anything was lost. (Workers and task
managers of an engine: tests/pipelines/test_engines.py.)
"""

from __future__ import annotations

import argparse
import contextlib
import http.server
import os
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from pipelines.run_record import read_records, read_table

SHARE = 0.2
LIMIT = 600
DISK = "600k"


@dataclass
class Store(http.server.ThreadingHTTPServer):
    """A web server of files that fails as it is told: by the path, and how often it was asked."""

    folder: Path
    fault: Callable[[str, int], str | None]
    asked: Counter[str] = field(default_factory=Counter)
    broken: int = 0

    def __post_init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Answer)

    def __hash__(self) -> int:
        return id(self)


class Answer(http.server.BaseHTTPRequestHandler):
    """One request."""

    server: Store
    protocol_version = "HTTP/1.1"

    def do_HEAD(self) -> None:
        """Tell the size."""
        self._answer(b"", (self.server.folder / self.path[1:]).stat().st_size)

    def do_GET(self) -> None:
        """Send a file, or what the fault leaves of it."""
        store = self.server
        store.asked[self.path] += 1
        fault = store.fault(self.path, store.asked[self.path])
        store.broken += fault is not None
        data = (store.folder / self.path[1:]).read_bytes()
        if fault in ("503", "403"):
            self._answer(b"", 0, int(fault))
        else:
            self._answer(data[: len(data) // 2] if fault == "cut" else data, len(data))
        self.close_connection = fault == "cut"

    def _answer(self, body: bytes, length: int, status: int = 200) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(length))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@contextlib.contextmanager
def serving(folder: Path, fault: Callable[[str, int], str | None]) -> Iterator[Store]:
    """A store on a thread."""
    store = Store(folder, fault)
    threading.Thread(target=store.serve_forever, daemon=True).start()
    yield store
    store.shutdown()


def start(given: str | Path, output: Path, *options: str) -> subprocess.Popen[bytes]:
    """A job, in a group of its own."""
    command = [sys.executable, "-m", "pipelines.read_plates", str(given), "--output", str(output)]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    return subprocess.Popen([*command, "--resume", *options], start_new_session=True, **quiet)


def middle(job: subprocess.Popen[bytes], output: Path) -> None:
    """Wait until a table is being written."""
    end = time.monotonic() + LIMIT
    while not any(output.glob("images/*")):
        assert job.poll() is None and time.monotonic() < end, "the job never came to its middle"
        time.sleep(0.05)
    time.sleep(1)


def end(job: subprocess.Popen[bytes]) -> bool:
    """Whether it ended well; one that does not end has failed too, and is killed."""
    try:
        return job.wait(LIMIT) == 0
    except subprocess.TimeoutExpired:
        print("THE JOB HANGS", flush=True)
        return False
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(job.pid, signal.SIGKILL)


def descendants(pid: int, word: str) -> list[psutil.Process]:
    """Python processes below one whose command line has a word; the shells around them are not."""
    found = []
    with contextlib.suppress(psutil.NoSuchProcess):
        for process in psutil.Process(pid).children(recursive=True):
            with contextlib.suppress(psutil.NoSuchProcess):
                is_python = "python" in process.name()
                if is_python and any(word in part for part in process.cmdline()):
                    found.append(process)
    return found


@dataclass
class Outcome:
    """What became of a fault: how often something broke, whether the job had to be run again, and
    how many rows say that a picture failed; None: to be counted."""

    broken: int
    again: int
    failed: int | None = None


def check(output: Path, inputs: int) -> int:
    """How many inputs have no row or more than one under the committed runs; how many failed."""
    rows: Counter[str] = Counter()
    failed = 0
    records = read_records(str(output))
    for record in records:
        images = read_table(record, str(output), "images", ["uri", "status"])
        rows.update(images["uri"].to_pylist())
        failed += images["status"].to_pylist().count("failed")
    if len(rows) != inputs or set(rows.values()) != {1}:
        raise SystemExit(f"LOST: {len(rows)} of {inputs} inputs have rows, {rows.most_common(1)}")
    return failed


def kill_launcher(folder: Path, output: Path) -> Outcome:
    """The launcher and all below it die; the job is run again."""
    job = start(folder, output)
    middle(job, output)
    os.killpg(job.pid, signal.SIGKILL)
    job.wait()
    assert end(start(folder, output))
    return Outcome(1, 1)


def kill_one(word: str) -> Callable[[Path, Path], Outcome]:
    """One of the job's processes dies."""

    def fault(folder: Path, output: Path) -> Outcome:
        job = start(folder, output, "--workers=2")
        middle(job, output)
        random.choice(descendants(job.pid, word)).kill()
        well = end(job)
        assert well or end(start(folder, output))
        return Outcome(1, not well)

    return fault


def fill_disk(folder: Path, output: Path) -> Outcome:
    """The output's disk is full; someone makes room, and the job is run again."""
    output.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={DISK}", "tmpfs", output], check=True)
    try:
        well = end(start(folder, output, "--keep-crops"))
        assert not well and not read_records(str(output)), "the disk was large enough"
        subprocess.run(["mount", "-o", "remount,size=1g", output], check=True)
        subprocess.run([sys.executable, "-m", "pipelines.runs", output, "--clean", "--min-age=0"])
        assert end(start(folder, output, "--keep-crops"))
        return Outcome(1, 1, check(output, len(list(folder.iterdir()))))
    finally:
        subprocess.run(["umount", output], check=True)


def bad_store(kind: str, seed: int = 0) -> Callable[[Path, Path], Outcome]:
    """A store fails for a share of the reads: for the moment, or (403) for the rest of the run."""

    def fault(folder: Path, output: Path) -> Outcome:
        draw = random.Random(seed)
        half = len(list(folder.iterdir())) // 2

        def decide(path: str, times: int) -> str | None:
            if kind == "403":
                return kind if len(store.asked) > half else None
            return kind if draw.random() < SHARE else None

        with serving(folder, decide) as store:
            names = sorted(path.name for path in folder.iterdir())
            manifest = output.with_suffix(".txt")
            port = store.server_address[1]
            manifest.write_text("".join(f"http://127.0.0.1:{port}/{name}\n" for name in names))
            assert end(start(manifest, output, "--load-attempts=8", "--workers=1"))
        return Outcome(store.broken, 0)

    return fault


FAULTS: dict[str, Callable[[Path, Path], Outcome]] = {
    "launcher and all its processes killed": kill_launcher,
    "a local worker process killed": kill_one("sdk_worker_main"),
    "a decoder's process killed": kill_one("decoder_process"),
    "disk of the output full": fill_disk,
    "store answers 503 to a fifth of the reads": bad_store("503"),
    "store cuts a fifth of the answers": bad_store("cut"),
    "store permits nothing any more from the middle on": bad_store("403"),
}


def main() -> int:
    """Break everything, print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("pictures", type=Path)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--copies", type=int, default=8)
    parser.add_argument("--only", nargs="*", default=list(FAULTS))
    arguments = parser.parse_args()
    print(
        "| fault | times | broken | run again | inputs | failed rows | lost |\n" + "|---" * 7 + "|"
    )
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "in"
        folder.mkdir()
        for copy in range(arguments.copies):
            for picture in sorted(arguments.pictures.resolve().glob("*.jpg")):
                (folder / f"{copy}-{picture.name}").symlink_to(picture)
        inputs = len(list(folder.iterdir()))
        for number, fault in enumerate(arguments.only):
            total = Counter[str]()
            for round_ in range(arguments.rounds):
                output = Path(name) / f"out-{number}-{round_}"
                outcome = FAULTS[fault](folder, output)
                total["broken"] += outcome.broken
                total["again"] += outcome.again
                failed = check(output, inputs) if outcome.failed is None else outcome.failed
                total["failed"] += failed
            cells = (arguments.rounds, total["broken"], total["again"], inputs, total["failed"], 0)
            print(f"| {fault} | {' | '.join(map(str, cells))} |", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
