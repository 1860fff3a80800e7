"""Decoding in a process of its own, so that what kills or stalls a decoder costs one picture.

Image decoders are native code that works on bytes from anywhere. A segmentation fault in one would
take the worker along, every time the engine tries again. The child imports no Beam, is started once
a thread and gets the bytes through a socket; an alarm of its own ends it when a picture takes too
long, also inside native code and also if the worker is gone.
"""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
from multiprocessing.connection import Connection

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
        try:
            return self._ask(data, timeout)
        except DecoderCrashedError:  # or someone killed it
            return self._ask(data, timeout)

    def close(self) -> None:
        """End the child."""
        if self._child is not None:
            self._connection.close()  # it ends when nobody can ask any more
            self._child.wait()
            self._child = None

    def _ask(self, data: bytes, timeout: float) -> Picture:
        if self._child is None:
            self._start()
        try:
            self._connection.send(timeout)
            self._connection.send_bytes(data)
            answer = self._connection.recv()
            if isinstance(answer, Exception):
                raise answer
            shape, *facts = answer
            pixels = np.empty(shape, np.uint8)
            self._connection.recv_bytes_into(pixels.reshape(-1).data)
            return Picture(pixels, *facts)
        except (EOFError, ConnectionError):
            raise self._death(timeout) from None

    def _start(self) -> None:
        ours, theirs = socket.socketpair()
        with theirs:
            code = f"from {__name__} import serve; serve({theirs.fileno()}, {self._limits!r})"
            self._child = subprocess.Popen(
                [sys.executable, "-c", f"from lpr_core.decode import DecodeLimits; {code}"],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
            )
        self._connection = Connection(ours.detach())

    def _death(self, timeout: float) -> Exception:
        assert self._child is not None
        self._connection.close()
        status = self._child.wait()
        self._child = None
        if status == -signal.SIGALRM:
            return DecoderTimeoutError(f"not decoded within {timeout:g} seconds")
        cause = signal.Signals(-status).name if status < 0 else f"status {status}"
        return DecoderCrashedError(f"the decoder died of it ({cause})")


def serve(descriptor: int, limits: DecodeLimits) -> None:
    """The child: decode what comes through a socket, until there is nobody to ask."""
    connection = Connection(descriptor)
    while True:
        try:
            timeout: float = connection.recv()
            data = connection.recv_bytes()
        except EOFError:
            return
        signal.setitimer(signal.ITIMER_REAL, timeout)
        try:
            picture = decode(data, limits)
        except (DecodeError, ImportError, MemoryError) as error:
            connection.send(error)
            continue
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
        pixels = np.ascontiguousarray(picture.pixels)
        connection.send((pixels.shape, picture.format, picture.orientation, picture.captured_at))
        connection.send_bytes(pixels.reshape(-1).data)
