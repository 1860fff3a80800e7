"""Decoding in a process of its own, so that what kills or stalls a decoder costs one picture.

Image decoders are native code that works on bytes from anywhere. A segmentation fault in one would
take the worker along, every time the engine tries again. The child imports no Beam, is started once
a thread and shares memory with it, which costs no time; an alarm of its own ends it when a picture
takes too long, also inside native code and also if the worker is gone.
"""

from __future__ import annotations

import mmap
import os
import signal
import socket
import subprocess
import sys
import tempfile
from multiprocessing.connection import Connection
from typing import IO

import numpy as np

from lpr_core.decode import DecodeError, DecodeLimits, Picture, decode


class DecoderTimeoutError(Exception):
    """A picture took longer than it may."""


class DecoderCrashedError(Exception):
    """The decoder died of a picture, twice."""


class DecoderProcess:
    """Decodes as `lpr_core.decode` does, in a child that is started when it is first needed."""

    def __init__(self, limits: DecodeLimits) -> None:
        self._limits = limits
        self._size = max(limits.max_bytes, limits.max_pixels)
        self._child: subprocess.Popen[bytes] | None = None

    def decode(self, data: bytes, timeout: float) -> Picture:
        """Decode a picture.

        Args:
            data: the file.
            timeout: seconds it may take.

        Raises:
            DecodeError: as `lpr_core.decode`.
            DecoderTimeoutError: it took longer.
            DecoderCrashedError: the child died of it, and so did another.
        """
        if len(data) > self._limits.max_bytes:
            return decode(data, self._limits)  # which refuses it
        try:
            return self._ask(data, timeout)
        except DecoderCrashedError:  # or someone killed it
            return self._ask(data, timeout)

    def close(self) -> None:
        """End the child."""
        if self._child is not None:
            self._connection.close()  # it ends when nobody can ask any more
            self._memory.close()
            self._child.wait()
            self._child = None

    def _ask(self, data: bytes, timeout: float) -> Picture:
        if self._child is None:
            self._start()
        try:
            self._memory[: len(data)] = data
            self._connection.send((len(data), timeout))
            answer = self._connection.recv()
        except (EOFError, ConnectionError):
            raise self._death(timeout) from None
        if isinstance(answer, Exception):
            raise answer
        (height, width), *facts = answer
        pixels = np.frombuffer(self._memory, np.uint8, height * width).reshape(height, width)
        return Picture(pixels.copy(), *facts)

    def _start(self) -> None:
        ours, theirs = socket.socketpair()
        with theirs, _shared_file(self._size) as file:
            descriptors = theirs.fileno(), file.fileno()
            code = f"from {__name__} import serve; serve({descriptors}, {self._limits!r})"
            self._child = subprocess.Popen(
                [sys.executable, "-c", f"from lpr_core.decode import DecodeLimits; {code}"],
                pass_fds=descriptors,
                stdin=subprocess.DEVNULL,
            )
            self._memory = mmap.mmap(file.fileno(), self._size)
        self._connection = Connection(ours.detach())

    def _death(self, timeout: float) -> Exception:
        assert self._child is not None
        self._connection.close()
        self._memory.close()
        status = self._child.wait()
        self._child = None
        if status == -signal.SIGALRM:
            return DecoderTimeoutError(f"not decoded within {timeout:g} seconds")
        cause = signal.Signals(-status).name if status < 0 else f"status {status}"
        return DecoderCrashedError(f"the decoder died of it ({cause})")


def _shared_file(size: int) -> IO[bytes]:
    """A file in memory, of which only what is used takes room."""
    if hasattr(os, "memfd_create"):  # of Linux; not bounded by /dev/shm as shared_memory is
        file: IO[bytes] = os.fdopen(os.memfd_create("platebeam"), "wb")
    else:
        file = tempfile.TemporaryFile()  # noqa: SIM115 - the caller closes it
    file.truncate(size)
    return file


def serve(descriptors: tuple[int, int], limits: DecodeLimits) -> None:
    """The child: decode what lies in the memory, as long as somebody asks through the socket."""
    connection = Connection(descriptors[0])
    memory = mmap.mmap(descriptors[1], 0)
    while True:
        try:
            length, timeout = connection.recv()
        except EOFError:
            return
        data = memory[:length]
        signal.setitimer(signal.ITIMER_REAL, timeout)
        try:
            picture = decode(data, limits)
        except (DecodeError, ImportError, MemoryError) as error:
            connection.send(error)
            continue
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
        pixels = picture.pixels
        np.frombuffer(memory, np.uint8, pixels.size).reshape(pixels.shape)[:] = pixels
        connection.send((pixels.shape, picture.format, picture.orientation, picture.captured_at))
