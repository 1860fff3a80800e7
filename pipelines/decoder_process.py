"""Decoding in a process of its own, so that what kills or stalls a decoder costs one picture.

Image decoders are native code that works on bytes from anywhere. A segmentation fault in one would
take the worker along, every time the engine tries again. The child imports no Beam, is started once
a thread and shares memory with it, which costs little time; an alarm of its own ends it when a
picture takes too long, also inside native code and also if the worker is gone.
"""

from __future__ import annotations

import contextlib
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

START_SECONDS = 120.0
GRACE_SECONDS = 5.0
"""How much later than its own alarm a child is killed."""


class DecoderTimeoutError(Exception):
    """A picture took longer than it may."""


class DecoderCrashedError(Exception):
    """The decoder died of a picture, twice."""


class DecoderUnavailableError(Exception):
    """No decoder can be started here: it says something of the machine, nothing of a picture."""


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
            DecoderUnavailableError: there can be no child.
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
            self._end()  # by itself, when nobody can ask any more

    def _ask(self, data: bytes, timeout: float) -> Picture:
        if self._child is None:
            self._start()
        try:
            self._memory[: len(data)] = data
            self._connection.send((len(data), timeout))
            if not self._connection.poll(timeout + GRACE_SECONDS):
                self._end()
                raise DecoderTimeoutError(f"not decoded within {timeout:g} seconds")
            answer = self._connection.recv()
        except (EOFError, ConnectionError):
            status = self._end()
            if status == -signal.SIGALRM:
                raise DecoderTimeoutError(f"not decoded within {timeout:g} seconds") from None
            raise DecoderCrashedError(f"the decoder died of it ({_cause(status)})") from None
        if isinstance(answer, Exception):
            raise answer
        (height, width), *facts = answer
        pixels = np.frombuffer(self._memory, np.uint8, height * width).reshape(height, width)
        return Picture(pixels.copy(), *facts)

    def _start(self) -> None:
        try:
            with _shared_file(self._size) as file:
                self._memory = mmap.mmap(file.fileno(), self._size)
                ours, theirs = socket.socketpair()
                self._connection = Connection(ours.detach())
                with theirs:
                    descriptors = theirs.fileno(), file.fileno()
                    code = (
                        f"import sys; sys.path[:] = {sys.path}; "
                        "from lpr_core.decode import DecodeLimits; "
                        f"from {__name__} import serve; serve({descriptors}, {self._limits!r})"
                    )
                    self._child = subprocess.Popen(
                        [sys.executable, "-c", code],
                        pass_fds=descriptors,
                        stdin=subprocess.DEVNULL,
                    )
            if self._connection.poll(START_SECONDS):
                self._connection.recv()
                return
            cause = f"it did not answer within {START_SECONDS:g} seconds"
        except OSError as error:
            cause = str(error)
        except EOFError:
            cause = _cause(self._end())
        self.close()
        raise DecoderUnavailableError(f"no decoder can be started: {cause}")

    def _end(self) -> int:
        """End the child and what it shared; its exit status."""
        assert self._child is not None
        self._connection.close()
        self._memory.close()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._child.wait(GRACE_SECONDS)
        self._child.kill()
        status = self._child.wait()
        self._child = None
        return status


def _cause(status: int) -> str:
    return signal.Signals(-status).name if status < 0 else f"status {status}"


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
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    connection = Connection(descriptors[0])
    memory = mmap.mmap(descriptors[1], 0)
    connection.send("ready")
    while True:
        try:
            length, timeout = connection.recv()
        except EOFError:
            return
        data = memory[:length]
        answer: object
        signal.setitimer(signal.ITIMER_REAL, timeout)
        try:
            picture = decode(data, limits)
            pixels = picture.pixels
            np.frombuffer(memory, np.uint8, pixels.size).reshape(pixels.shape)[:] = pixels
            answer = pixels.shape, picture.format, picture.orientation, picture.captured_at
        except (DecodeError, ImportError, MemoryError) as error:
            answer = error
        signal.setitimer(signal.ITIMER_REAL, 0)
        connection.send(answer)
