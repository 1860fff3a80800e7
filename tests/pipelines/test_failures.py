"""Bad items: each has its row with the right stage and reason, and costs no other item."""

from __future__ import annotations

import os
import struct
import subprocess
import sys
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest
from fsspec.implementations.local import LocalFileSystem

from lpr_core.decode import DecodeReason
from lpr_core.plate_reader import ReaderConfig
from pipelines import stages
from pipelines.failures import FAILURES, Failure, Reason, Stage
from pipelines.inputs import ImageRef, source_version
from pipelines.load import fetch_picture
from pipelines.pictures import LoadedPicture, Picture, PictureFacts, PictureResult, named
from pipelines.shared_reader import SharedReader, load_bundle
from pipelines.stages import Limits, StageFn

from .conftest import Tables

Read = Callable[..., Tables]


def bomb(side: int = 60_000) -> bytes:
    """A PNG of a few kilobytes that claims side × side pixels (3.6 billion)."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    header = struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0)
    rows = zlib.compress(bytes(1_000_000), 9)
    signature = b"\x89PNG\r\n\x1a\n"
    return signature + chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


def test_every_kind_of_bad_item(street: Path, tmp_path: Path, read: Read) -> None:
    good = (street / "one.jpg").read_bytes()
    (tmp_path / "cut.jpg").write_bytes(good[: len(good) // 3])
    (tmp_path / "empty.jpg").write_bytes(b"")
    (tmp_path / "text.jpg").write_text("this is no picture")
    (tmp_path / "bomb.png").write_bytes(bomb())
    (tmp_path / "huge.jpg").write_bytes(good + bytes(200_000))
    (tmp_path / "folder.jpg").mkdir()
    os.mkfifo(tmp_path / "pipe.jpg")
    (tmp_path / "really.png").write_bytes(good)  # a JPEG under a PNG's name
    lines = ["cut.jpg", "empty.jpg", "text.jpg", "bomb.png", "huge.jpg", "folder.jpg", "pipe.jpg"]
    lines += ["really.png", "absent.jpg", "text.jpg/below.jpg", "nonsense://a/b.jpg"]
    manifest = tmp_path / "list.csv"
    manifest.write_text("uri,x,y,w,h\n" + "".join(f"{line},,,,\n" for line in lines) + "b,1,,,\n")

    tables = read(manifest, "--max-bytes", 150_000)
    found = {
        row["uri"].removeprefix(f"{tmp_path}/"): (row["status"], row["stage"], row["reason"])
        for row in tables.rows("images")
    }
    assert found == {
        "cut.jpg": ("failed", "decode", "truncated"),
        "empty.jpg": ("failed", "decode", "empty"),
        "text.jpg": ("failed", "decode", "not_an_image"),
        "bomb.png": ("failed", "decode", "too_many_pixels"),
        "huge.jpg": ("failed", "load", "too_many_bytes"),
        "folder.jpg": ("failed", "load", "is_a_directory"),
        "pipe.jpg": ("failed", "load", "io_error"),
        "really.png": ("read", None, None),
        "absent.jpg": ("failed", "load", "not_found"),
        "text.jpg/below.jpg": ("failed", "load", "not_found"),
        "nonsense://a/b.jpg": ("failed", "load", "io_error"),
        "list.csv:13": ("failed", "input", "bad_row"),
    }
    for row in tables.rows("images"):
        assert row["status"] == "read" or row["message"].startswith(row["uri"])
        # What was fetched has its hash, whatever came after.
        assert (row["sha256"] is not None) == (row["stage"] not in ("input", "load"))
    assert tables.record["counts"]["failures"] == {
        "decode/empty": 1,
        "decode/not_an_image": 1,
        "decode/too_many_pixels": 1,
        "decode/truncated": 1,
        "input/bad_row": 1,
        "load/io_error": 2,
        "load/is_a_directory": 1,
        "load/not_found": 2,
        "load/too_many_bytes": 1,
    }


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_a_picture_one_may_not_read(street: Path, tmp_path: Path) -> None:
    """Root ignores modes, so the load is done by a process that has become nobody."""
    closed = tmp_path / "closed.jpg"
    closed.write_bytes((street / "one.jpg").read_bytes())
    closed.chmod(0o000)
    for folder in (tmp_path, *tmp_path.parents):
        if folder.stat().st_uid == os.geteuid() and folder != Path("/") and folder != Path("/tmp"):
            folder.chmod(folder.stat().st_mode | 0o055)
    script = (
        "import os, sys\n"
        "from pipelines.inputs import ImageRef\n"
        "from pipelines.load import fetch_picture\n"
        "from pipelines.pictures import named\n"
        "os.setgid(65534); os.setuid(65534)\n"
        "done, retries = fetch_picture(named(ImageRef(sys.argv[1])), 10**6, 4, 60)\n"
        "print(retries, done.failure.reason.value, done.failure.message)\n"
    )
    command = [sys.executable, "-c", script, closed]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == f"0 permission_denied {closed}: reading it is not permitted"


def stage_fn(stage: Stage, work: Callable[..., Picture]) -> StageFn:
    bundle = load_bundle()
    reader = SharedReader(None, bundle.sha256, ReaderConfig())
    step = StageFn(stage, work, reader, Limits(), keep_crops=False)
    step.setup()
    return step


@pytest.mark.parametrize("stage", [Stage.DETECT, Stage.SEGMENT, Stage.RECOGNISE])
def test_a_crash_in_a_stage_is_that_pictures_failure(stage: Stage) -> None:
    def crash(*_: object) -> Picture:
        raise KeyError("AB123CD")

    picture = LoadedPicture(PictureFacts(ImageRef("a.jpg"), sha256="00"), b"")
    (result,) = stage_fn(stage, crash).process(picture)
    assert isinstance(result, PictureResult)
    assert result.failure is not None
    assert (result.failure.stage, result.failure.reason) == (stage, Reason.INTERNAL_ERROR)
    # The place is told, the error's own text is not: it could quote a plate.
    assert result.failure.message.startswith("a.jpg: KeyError at test_failures.py:")
    assert "AB123CD" not in result.failure.message
    assert result.facts.sha256 == "00"
    assert [stage for stage, _ in result.facts.milliseconds] == [stage]


def test_memory_that_ran_out_is_no_fault_of_the_picture(
    street: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def exhausted(*_: object, **__: object) -> Picture:
        raise MemoryError

    picture = named(ImageRef(str(street / "one.jpg")))
    with pytest.raises(MemoryError):
        list(stage_fn(Stage.DETECT, exhausted).process(picture))
    monkeypatch.setattr(LocalFileSystem, "cat_file", exhausted)
    with pytest.raises(MemoryError):
        fetch_picture(picture, 10**6, 4, 60)


def test_a_link_to_a_folder_is_a_failure_that_says_so(
    street: Path, tmp_path: Path, read: Read
) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "more").symlink_to(street)
    (row,) = read(tmp_path / "in").rows("images")
    assert (row["stage"], row["reason"]) == ("load", "is_a_directory")
    assert row["message"] == (
        f"{tmp_path}/in/more: links to folders are not followed: name it as an INPUT of its own"
    )


def test_a_failed_picture_passes_the_later_stages_untouched() -> None:
    failure = Failure(Stage.LOAD, Reason.NOT_FOUND, "a.jpg: there is no such file")
    failed = PictureResult(PictureFacts(ImageRef("a.jpg")), failure=failure)
    assert list(stage_fn(Stage.DETECT, stages.detect_plates).process(failed)) == [failed]


def test_the_vocabulary_of_failures_is_closed() -> None:
    assert {
        stage.value: sorted(r.value for r in reasons) for stage, reasons in FAILURES.items()
    } == {
        "input": ["bad_row", "not_listed"],
        "load": [
            *("io_error", "is_a_directory", "not_found", "permission_denied"),
            *("timeout", "too_many_bytes"),
        ],
        "decode": sorted(
            [*(reason.value for reason in DecodeReason), "crashed", "internal_error", "timeout"]
        ),
        "detect": ["internal_error", "timeout"],
        "segment": ["internal_error", "timeout"],
        "recognise": ["internal_error", "timeout"],
    }
    with pytest.raises(ValueError, match="no failure of stage"):
        Failure(Stage.DETECT, Reason.NOT_FOUND, "a.jpg")


@pytest.mark.parametrize(
    ("info", "version"),
    [
        ({"size": 5, "ETag": '"abc"'}, 'etag:"abc"'),
        ({"size": 5, "generation": "17", "updated": "2026"}, "generation:17"),
        ({"size": 5, "mtime": 12.5}, "size:5,mtime:12.5"),
        ({"size": 5, "CRC": 7, "date_time": (1980, 1, 1, 0, 0, 0)}, "size:5,crc:7"),
        ({"size": 5}, None),
    ],
)
def test_the_source_version_is_the_stores_own(info: dict[str, object], version: str | None) -> None:
    assert source_version(info) == version


def test_a_worker_refuses_a_bundle_that_is_not_the_launchers() -> None:
    with pytest.raises(ValueError, match="has changed"):
        SharedReader(None, "0" * 64, ReaderConfig()).acquire()
