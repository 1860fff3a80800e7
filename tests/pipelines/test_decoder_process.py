"""A decoder that dies or stalls costs one picture; the process is really killed here."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from lpr_core.decode import DecodeError, DecodeLimits, DecodeReason, decode
from pipelines.decoder_process import (
    DecoderCrashedError,
    DecoderProcess,
    DecoderTimeoutError,
    DecoderUnavailableError,
)

from .conftest import Tables

Read = Callable[..., Tables]

STARTUP = """
import ctypes, importlib, time
decode = importlib.import_module("lpr_core.decode")  # the package has a function of this name
whole = decode._decode
def hostile(data, *rest):
    if data.startswith(b"crash"):
        ctypes.string_at(0)
    if data.startswith(b"stall"):
        time.sleep(3600)
    return whole(data, *rest)
decode._decode = hostile
"""
"""Puts a decoder with two holes into every Python process that is started: files that begin with
"crash" are a segmentation fault in native code, those that begin with "stall" never end."""


@pytest.fixture
def hostile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "startup").mkdir()
    (tmp_path / "startup" / "sitecustomize.py").write_text(STARTUP)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "startup"), prepend=os.pathsep)


@pytest.fixture
def decoder() -> Iterator[DecoderProcess]:
    decoder = DecoderProcess(DecodeLimits(max_pixels=1_000_000))
    yield decoder
    decoder.close()


def test_a_picture_is_the_same_as_without_a_process(decoder: DecoderProcess, street: Path) -> None:
    for name in ("one.jpg", "three.png"):
        data = (street / name).read_bytes()
        apart, here = decoder.decode(data, 60), decode(data)
        np.testing.assert_array_equal(apart.pixels, here.pixels)
        assert (apart.format, apart.orientation) == (here.format, here.orientation)


def test_errors_come_back_with_their_reasons(decoder: DecoderProcess, street: Path) -> None:
    with pytest.raises(DecodeError) as error:
        decoder.decode((street / "cut.jpg").read_bytes(), 60)
    assert error.value.reason is DecodeReason.TRUNCATED
    with pytest.raises(DecodeError, match="empty"):
        decoder.decode(b"", 60)


def test_what_kills_or_stalls_it_is_told_and_the_next_picture_decoded(
    hostile: None, decoder: DecoderProcess, street: Path
) -> None:
    good = (street / "one.jpg").read_bytes()
    for _ in range(2):
        with pytest.raises(DecoderCrashedError, match=r"the decoder died of it \(SIGSEGV\)"):
            decoder.decode(b"crash", 60)
        with pytest.raises(DecoderTimeoutError, match=r"not decoded within 0\.5 seconds"):
            decoder.decode(b"stall", 0.5)
        assert decoder.decode(good, 60).pixels.shape == decode(good).pixels.shape


def test_a_child_that_someone_killed_costs_nothing(decoder: DecoderProcess, street: Path) -> None:
    good = (street / "one.jpg").read_bytes()
    decoder.decode(good, 60)
    assert decoder._child is not None
    os.kill(decoder._child.pid, signal.SIGKILL)
    decoder._child.wait()
    assert decoder.decode(good, 60).format == "JPEG"


def test_where_no_child_can_be_started_it_is_no_pictures_fault(
    street: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    good = (street / "one.jpg").read_bytes()
    decoder = DecoderProcess(DecodeLimits())
    monkeypatch.setattr(sys, "executable", "/absent/python")
    with pytest.raises(DecoderUnavailableError, match="No such file"):
        decoder.decode(good, 60)
    monkeypatch.undo()
    monkeypatch.setattr(sys, "path", ["/absent"])
    with pytest.raises(DecoderUnavailableError, match="status 1"):
        decoder.decode(good, 60)
    monkeypatch.undo()
    assert decoder.decode(good, 60).format == "JPEG"
    decoder.close()


def test_closing_ends_the_child(street: Path) -> None:
    decoder = DecoderProcess(DecodeLimits())
    decoder.decode((street / "one.jpg").read_bytes(), 60)
    assert decoder._child is not None
    child = decoder._child
    decoder.close()
    assert child.returncode == 0


@pytest.mark.parametrize("workers", [1, 2])
def test_a_job_loses_no_other_picture(
    hostile: None, street: Path, tmp_path: Path, read: Read, workers: int
) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    for number in range(6):
        (folder / f"good{number}.jpg").write_bytes((street / "one.jpg").read_bytes())
    (folder / "crash.jpg").write_bytes(b"crash")
    (folder / "stall.jpg").write_bytes(b"stall")
    images = read(folder, "--image-timeout=20", workers=workers).images()
    failed = {name: row for name, row in images.items() if row["status"] == "failed"}
    assert {name: (row["stage"], row["reason"]) for name, row in failed.items()} == {
        "crash.jpg": ("decode", "crashed"),
        "stall.jpg": ("decode", "timeout"),
    }
    assert failed["crash.jpg"]["message"] == (
        f"{folder}/crash.jpg: the decoder died of it (SIGSEGV)"
    )
    assert len(images) == 8
    assert all(row["status"] == "read" for name, row in images.items() if name not in failed)
