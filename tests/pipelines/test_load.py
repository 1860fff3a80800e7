"""Fetching pictures: again after what may go away, a few ahead, and never without an end."""

from __future__ import annotations

import socket
import subprocess
import sys
import threading
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import apache_beam as beam
import fsspec
import pytest
import tenacity
from apache_beam.metrics import MetricsFilter
from fsspec.implementations.memory import MemoryFileSystem

from pipelines import load, read_plates
from pipelines.inputs import ImageRef
from pipelines.load import FETCHES, LoadFn, fetch_picture, is_transient
from pipelines.pictures import LoadedPicture, NamedPicture, PictureResult, named


class StatusError(Exception):
    """An HTTP error as aiohttp and gcsfs have it."""

    def __init__(self, status: int) -> None:
        super().__init__(f"status {status}")
        self.status = status


def caused_by(error: Exception, cause: Exception) -> Exception:
    """As drivers raise what they translated."""
    error.__cause__ = cause
    return error


class ClientError(Exception):
    """An HTTP error as botocore has it."""

    def __init__(self, status: int) -> None:
        self.response = {"ResponseMetadata": {"HTTPStatusCode": status}}


class ClientPayloadError(Exception):
    """An answer that was cut short, as aiohttp tells it."""


def test_an_archive_is_opened_once_for_all_its_members_until_it_changes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = []
    open_store = load.open_store
    monkeypatch.setattr(load, "open_store", lambda uri: (opened.append(uri), open_store(uri))[1])
    load.IDLE_ARCHIVES.clear()
    archive = tmp_path / "all.zip"

    def contents() -> list[bytes]:
        found = []
        for name in ("in/a.jpg", "b.jpg"):
            picture = named(ImageRef(f"zip://{name}::{archive}"))
            fetched, _ = fetch_picture(picture, 100, 1, 10.0)
            assert isinstance(fetched, LoadedPicture)
            found.append(fetched.data)
        return found

    for texts in ([b"one", b"two"], [b"three", b"four, five"]):
        with zipfile.ZipFile(archive, "w") as packed:
            packed.writestr("in/a.jpg", texts[0])
            packed.writestr("b.jpg", texts[1])
        assert contents() == texts
    assert len([uri for uri in opened if uri.startswith("zip://")]) == 2


@pytest.mark.parametrize(
    ("error", "transient"),
    [
        (TimeoutError(), True),
        (ConnectionResetError(), True),
        (OSError(5, "input/output error"), True),
        (OSError(28, "no space left"), False),
        (StatusError(429), True),
        (StatusError(503), True),
        (StatusError(403), False),
        (ClientError(500), True),
        (ClientError(404), False),
        (caused_by(OSError("busy"), ClientError(503)), True),
        (caused_by(PermissionError("no"), ClientError(403)), False),
        (caused_by(ClientPayloadError(), StatusError(400)), True),
        (socket.gaierror(socket.EAI_AGAIN, "try again"), True),
        (FileNotFoundError(), False),
        (ValueError(), False),
    ],
)
def test_what_may_go_away(error: Exception, transient: bool) -> None:
    assert is_transient(error) == transient


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch) -> Iterator[MemoryFileSystem]:
    """A store of one's own in memory, asked again without waiting."""
    monkeypatch.setattr(load, "BACKOFF", tenacity.wait_none())
    memory = fsspec.filesystem("memory")
    memory.makedirs("/load-test", exist_ok=True)
    yield memory
    memory.rm("/load-test", recursive=True)


def fails(times: int, error: Exception, then: Callable[..., bytes]) -> Callable[..., bytes]:
    """A `cat_file` that raises so many times."""
    left = [times]

    def cat_file(*arguments: Any, **options: Any) -> bytes:
        if left[0]:
            left[0] -= 1
            raise error
        return then(*arguments, **options)

    return cat_file


def fetch(uri: str, attempts: int = 4) -> tuple[LoadedPicture | PictureResult, int]:
    return fetch_picture(named(ImageRef(uri)), 1000, attempts, 60)


@pytest.mark.parametrize(
    ("times", "loaded", "retries"), [(0, True, 0), (3, True, 3), (4, False, 3)]
)
def test_a_transient_error_is_a_failure_only_after_all_attempts(
    store: MemoryFileSystem,
    monkeypatch: pytest.MonkeyPatch,
    times: int,
    loaded: bool,
    retries: int,
) -> None:
    store.pipe_file("/load-test/a.jpg", b"picture")
    cat_file = fails(times, StatusError(503), store.cat_file)
    monkeypatch.setattr(MemoryFileSystem, "cat_file", lambda self, *a, **k: cat_file(*a, **k))
    done, again = fetch("memory://load-test/a.jpg")
    assert again == retries
    if loaded:
        assert isinstance(done, LoadedPicture)
        assert done.data == b"picture"
    else:
        assert isinstance(done, PictureResult)
        assert done.failure is not None
        assert done.failure.reason.value == "io_error"
        assert done.failure.message == "memory://load-test/a.jpg: StatusError: status 503"


def test_other_errors_are_not_tried_again(store: MemoryFileSystem) -> None:
    store.pipe_file("/load-test/a.jpg", b"picture")
    done, again = fetch("memory://load-test/b.jpg")
    assert isinstance(done, PictureResult)
    assert done.failure is not None
    assert (done.failure.reason.value, again) == ("not_found", 0)


def test_what_comes_cut_short_is_asked_for_again_and_at_last_taken_as_it_is(
    store: MemoryFileSystem, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.pipe_file("/load-test/a.jpg", b"picture")
    answers = [b"pic", b"", b"picture"]
    monkeypatch.setattr(MemoryFileSystem, "cat_file", lambda *_, **__: answers.pop(0))
    done, again = fetch("memory://load-test/a.jpg")
    assert isinstance(done, LoadedPicture)
    assert (done.data, again) == (b"picture", 2)
    monkeypatch.setattr(MemoryFileSystem, "cat_file", lambda *_, **__: b"pict")
    done, again = fetch("memory://load-test/a.jpg", attempts=2)
    assert isinstance(done, LoadedPicture)
    assert (done.data, again) == (b"pict", 1)
    assert done.facts.version is None  # or a later run would take it for the whole picture


def run(step: LoadFn, uris: list[str]) -> list[LoadedPicture | PictureResult]:
    """A bundle of its own for these, through a step that was set up."""
    step.start_bundle()
    done = [item for uri in uris for item in step.process(named(ImageRef(uri)))]
    return done + [last.value for last in step.finish_bundle()]


def test_a_few_are_fetched_ahead_and_come_in_their_order(
    store: MemoryFileSystem, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first fetch ends only when those that may run beside it have begun: they must overlap."""
    begun = threading.Semaphore(0)

    def fetch(picture: NamedPicture, *_: object) -> load.Fetched:
        number = int(picture.facts.ref.uri)
        if number == 0:
            assert all(begun.acquire(timeout=30) for _ in range(FETCHES - 1))
        else:
            begun.release()
        return LoadedPicture(picture.facts, b"x"), 0

    monkeypatch.setattr(load, "fetch_picture", fetch)
    step = LoadFn(1000, 1, 60)
    uris = [str(number) for number in range(3 * FETCHES)]
    assert [item.facts.ref.uri for item in run(step, uris)] == uris


def test_no_more_is_fetched_ahead_than_may_be_held(
    store: MemoryFileSystem, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(load, "HELD_BYTES", 10)
    store.pipe({f"/load-test/{number}.jpg": b"123456" for number in range(5)})
    step = LoadFn(1000, 1, 60)
    step.start_bundle()
    for number in range(5):
        list(step.process(named(ImageRef(f"memory://load-test/{number}.jpg"))))
        for _, _, under_way in step._ahead:
            under_way.result()
        assert step._held() <= 10 + 6
    assert len(list(step.finish_bundle())) >= 1


HANGS = """
import sys, threading
from pipelines import load, read_plates
from pipelines.inputs import ImageRef
from pipelines.pictures import LoadedPicture, named

def fetch(picture, *_):
    if picture.facts.ref.uri.startswith("hangs"):
        threading.Event().wait()
    return LoadedPicture(picture.facts, b"x"), 0

load.fetch_picture = fetch
step = load.LoadFn(1000, 1, 0.5)
step.start_bundle()
uris = [f"hangs{number}" for number in range(load.FETCHES)] + ["a.jpg", "b.jpg", "c.jpg"]
done = [item for uri in uris for item in step.process(named(ImageRef(uri)))]
done += [last.value for last in step.finish_bundle()]
for item in done:
    print(item.failure.message if isinstance(item, load.PictureResult) else item.facts.ref.uri)
"""


def test_fetches_that_hang_cost_their_own_pictures_and_hold_up_no_exit() -> None:
    done = subprocess.run(
        [sys.executable, "-c", HANGS], capture_output=True, text=True, check=True, timeout=60
    )
    late = [f"hangs{number}: not fetched within 0.5 seconds" for number in range(FETCHES)]
    assert done.stdout.splitlines() == [*late, "a.jpg", "b.jpg", "c.jpg"]


def test_attempts_are_counted_in_the_job(
    street: Path, tmp_path: Path, store: MemoryFileSystem, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A store that fails for the moment: nothing is lost, and Beam's counter tells how often."""
    names = ["one.jpg", "two.jpg"]
    store.pipe({f"/load-test/{name}": (street / name).read_bytes() for name in names})
    cat_file = fails(2, ConnectionResetError(), store.cat_file)
    monkeypatch.setattr(MemoryFileSystem, "cat_file", lambda self, *a, **k: cat_file(*a, **k))
    results: list[Any] = []

    class Kept(beam.Pipeline):
        def run(self, *arguments: Any, **options: Any) -> Any:
            results.append(super().run(*arguments, **options))
            return results[-1]

    arguments = ["memory://load-test", f"--output={tmp_path}", "--workers=1"]
    record = read_plates.run(arguments, Kept(runner="FnApiRunner"))
    assert record is not None
    assert record["counts"]["read"] == 2
    (found,) = results[0].metrics().query(MetricsFilter().with_name("load_retries"))["counters"]
    assert found.committed == 2
