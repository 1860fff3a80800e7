"""Load: the bytes of pictures, fetched ahead of the stages that work on them.

An object store answers after some 90 ms, a picture is read in some 20: a few fetches are always
under way while earlier pictures are read.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import http
import socket
import time
from collections import deque
from collections.abc import Iterator
from concurrent import futures
from dataclasses import replace
from typing import Any, TypeAlias

import apache_beam as beam
import tenacity
from apache_beam.metrics import Metrics
from apache_beam.transforms.window import GlobalWindows
from apache_beam.utils.thread_pool_executor import UnboundedThreadPoolExecutor
from apache_beam.utils.windowed_value import WindowedValue

from pipelines.failures import Failure, Reason, Stage
from pipelines.inputs import source_version
from pipelines.pictures import LoadedPicture, NamedPicture, PictureResult
from pipelines.uris import OpensStores, is_in_archive, open_store, split_chain

FETCHES = 4
"""Pictures that are fetched or waiting at a time."""

HELD_BYTES = 32 * 2**20
"""No other fetch begins while those fetched ahead hold more."""

BACKOFF = tenacity.wait_random_exponential(multiplier=0.5, max=20)
"""Seconds to wait before another attempt."""

TRANSIENT_STATUSES = (408, 425, 429)
TRANSIENT_ERRNOS = frozenset(
    {
        *(errno.EAGAIN, errno.EBUSY, errno.ECONNABORTED, errno.ECONNREFUSED, errno.ECONNRESET),
        *(errno.EINTR, errno.EIO, errno.EHOSTUNREACH, errno.ENETUNREACH, errno.ETIMEDOUT),
        socket.EAI_AGAIN,
    }
)

TRANSIENT_NAMES = frozenset(
    {
        *("ClientConnectionError", "ClientPayloadError"),  # aiohttp
        *("HTTPClientError", "IncompleteReadError", "ResponseStreamingError"),  # botocore
        *("ConnectionError", "Timeout"),  # botocore, requests
    }
)
"""Drivers' own errors for connections that broke, by name: the drivers may not be installed."""

THREADS = UnboundedThreadPoolExecutor()
"""Nobody has to wait for a fetch that hangs: at the process's end a pool of the standard library
would, and a pool with a bound would at the next picture."""

IDLE_ARCHIVES: deque[tuple[tuple[str, str | None], Any]] = deque(maxlen=FETCHES)
"""Archives that no thread reads from now, by their URI and version; they are not thread-safe."""

Fetched: TypeAlias = "tuple[LoadedPicture | PictureResult, int]"
"""A picture's bytes or what it failed of, and how many attempts came before the last."""


class LoadFn(OpensStores, beam.DoFn):
    """Fetches pictures, FETCHES of them ahead, and hands them on in their order."""

    def __init__(self, max_bytes: int, attempts: int, timeout: float) -> None:
        self._max_bytes = max_bytes
        self._attempts = attempts
        self._timeout = timeout

    def start_bundle(self) -> None:
        """Forget what an attempt that failed left behind."""
        self._ahead: deque[tuple[NamedPicture, float, futures.Future[Fetched]]] = deque()

    def process(self, picture: NamedPicture) -> Iterator[LoadedPicture | PictureResult]:
        """Hand on what had its time, and begin with one more."""
        problem = picture.facts.ref.problem
        if problem is not None:
            yield PictureResult(picture.facts, failure=problem)
            return
        while len(self._ahead) >= FETCHES or self._held() > HELD_BYTES:
            yield self._next()
        limits = self._max_bytes, self._attempts, self._timeout
        fetch = THREADS.submit(fetch_picture, picture, *limits)
        self._ahead.append((picture, time.monotonic(), fetch))

    def finish_bundle(self) -> Iterator[WindowedValue]:
        """Hand on the rest."""
        while self._ahead:
            yield GlobalWindows.windowed_value(self._next())

    def _held(self) -> int:
        """Bytes of what has been fetched and not handed on."""
        done = [fetch.result()[0] for _, _, fetch in self._ahead if fetch.done()]
        return sum(len(item.data) for item in done if isinstance(item, LoadedPicture))

    def _next(self) -> LoadedPicture | PictureResult:
        picture, begun, fetch = self._ahead.popleft()
        try:
            done, retries = fetch.result(max(0.0, begun + self._timeout - time.monotonic()))
        except futures.TimeoutError:
            return _too_late(picture, self._timeout)
        if retries:
            Metrics.counter("platebeam", "load_retries").inc(retries)
        return done


def _too_late(picture: NamedPicture, timeout: float) -> PictureResult:
    message = f"{picture.facts.ref.uri}: not fetched within {timeout:g} seconds"
    return PictureResult(picture.facts, failure=Failure(Stage.LOAD, Reason.TIMEOUT, message))


def fetch_picture(picture: NamedPicture, max_bytes: int, attempts: int, timeout: float) -> Fetched:
    """Fetch the bytes, again after transient errors.

    Args:
        picture: an input without a problem.
        max_bytes: a larger file is not fetched where its size is known before.
        attempts: how often to try.
        timeout: seconds that it may take; after them no further attempt is made.
    """
    start = time.perf_counter()
    retrying = tenacity.Retrying(
        stop=tenacity.stop_after_attempt(attempts) | tenacity.stop_after_delay(timeout),
        wait=BACKOFF,
        retry=tenacity.retry_if_exception(is_transient),
        reraise=True,
    )
    try:
        done = retrying(_fetch, picture, max_bytes)
    except _TruncatedError as error:
        # Or shorter by nature, such as a compressed object. Without the version that a whole one
        # has, another run will not take this for it.
        done = replace(error.picture, facts=replace(error.picture.facts, version=None))
    except MemoryError:  # says something of the machine, nothing of the picture
        raise
    except Exception as error:  # drivers raise more than OSError
        failure = _failure(picture.facts.ref.uri, error)
        done = PictureResult(picture.facts, failure=failure)
    spent = time.perf_counter() - start
    if spent > timeout:
        done = _too_late(picture, timeout)
    milliseconds = ((Stage.LOAD, 1000 * spent),)
    done = replace(done, facts=replace(done.facts, milliseconds=milliseconds))
    return done, retrying.statistics["attempt_number"] - 1


def _fetch(picture: NamedPicture, max_bytes: int) -> LoadedPicture | PictureResult:
    with _opened(picture.facts.ref.uri) as (fs, path):
        return _fetch_from(fs, path, picture, max_bytes)


@contextlib.contextmanager
def _opened(uri: str) -> Iterator[tuple[Any, str]]:
    """`open_store`, but an archive stays open for its next member.

    To read the list of 20,000 members takes ten times as long as to read a picture.
    """
    if not is_in_archive(uri):
        yield open_store(uri)
        return
    link, rest = split_chain(uri)
    outer, path = open_store(rest.removeprefix("::"))
    key = link.partition("://")[0] + rest, source_version(outer.info(path))
    fs = None
    with contextlib.suppress(IndexError):
        while fs is None:
            kept, idle = IDLE_ARCHIVES.pop()
            fs = idle if kept == key else None
    fs = fs or open_store(uri)[0]
    yield fs, fs._strip_protocol(link)
    IDLE_ARCHIVES.append((key, fs))


def _fetch_from(
    fs: Any, path: str, picture: NamedPicture, max_bytes: int
) -> LoadedPicture | PictureResult:
    ref = picture.facts.ref
    info = fs.info(path)
    size, version = info.get("size"), source_version(info)
    if version in ref.known:
        return PictureResult(picture.facts, unchanged=True)
    if info["type"] == "directory":
        raise IsADirectoryError if not info.get("islink") else _LinkToFolderError
    if info["type"] == "other":  # opening a pipe would wait for ever
        raise _NotAFileError("not a regular file")
    # S3 has no range of an object without bytes.
    data = fs.cat_file(path, end=max_bytes + 1) if size is None or 0 < size <= max_bytes else b""
    if max(size or 0, len(data)) > max_bytes:
        raise _TooManyBytesError(max(size or 0, len(data)), max_bytes)
    facts = replace(
        picture.facts,
        sha256=hashlib.sha256(data).hexdigest(),
        version=version,
        bytes=len(data),
    )
    loaded = LoadedPicture(facts, data)
    if size is not None and len(data) < size:
        raise _TruncatedError(loaded)
    return PictureResult(facts, unchanged=True) if facts.sha256 in ref.known else loaded


class _LinkToFolderError(IsADirectoryError):
    pass


class _NotAFileError(Exception):
    pass


class _TooManyBytesError(Exception):
    pass


class _TruncatedError(Exception):
    def __init__(self, picture: LoadedPicture) -> None:
        super().__init__("fewer bytes than the store told")
        self.picture = picture


def is_transient(error: BaseException | None) -> bool:
    """Whether a driver's error may go away: timeouts, broken connections, statuses 429 and 5xx.

    Drivers translate what they got from others, whose errors are looked at too.
    """
    while error is not None:
        if isinstance(error, (_TruncatedError, TimeoutError, ConnectionError)):
            return True
        if isinstance(error, OSError) and error.errno in TRANSIENT_ERRNOS:
            return True
        if any(kind.__name__ in TRANSIENT_NAMES for kind in type(error).__mro__):
            return True
        status = _http_status(error)
        if status is not None:
            return status in TRANSIENT_STATUSES or status >= http.HTTPStatus.INTERNAL_SERVER_ERROR
        error = error.__cause__ or error.__context__
    return False


def _http_status(error: BaseException) -> int | None:
    """Of an HTTP error as aiohttp, requests, botocore or gcsfs know it."""
    response = getattr(error, "response", None)
    if isinstance(response, dict):
        status = response.get("ResponseMetadata", {}).get("HTTPStatusCode")
    else:
        status = getattr(error, "status", getattr(error, "code", None))
        status = status or getattr(response, "status_code", None)
    try:
        return int(status) if status is not None else None
    except (TypeError, ValueError):
        return None


_REASONS: tuple[tuple[type[Exception], Reason, str], ...] = (
    (FileNotFoundError, Reason.NOT_FOUND, "there is no such file"),
    (NotADirectoryError, Reason.NOT_FOUND, "there is no such file"),
    (
        _LinkToFolderError,
        Reason.IS_A_DIRECTORY,
        "links to folders are not followed: name it as an INPUT of its own",
    ),
    (IsADirectoryError, Reason.IS_A_DIRECTORY, "it is a folder"),
    (_NotAFileError, Reason.IO_ERROR, "not a regular file"),
)


def _failure(uri: str, error: Exception) -> Failure:
    if isinstance(error, _TooManyBytesError):
        size, limit = error.args
        message = f"{uri}: {size} bytes are more than the limit of {limit}"
        return Failure(Stage.LOAD, Reason.TOO_MANY_BYTES, message)
    for kind, reason, text in _REASONS:
        if isinstance(error, kind):
            return Failure(Stage.LOAD, reason, f"{uri}: {text}")
    if _is_forbidden(error):
        return Failure(Stage.LOAD, Reason.PERMISSION_DENIED, f"{uri}: reading it is not permitted")
    text = getattr(error, "strerror", None) or str(error)
    return Failure(Stage.LOAD, Reason.IO_ERROR, f"{uri}: {type(error).__name__}: {text}")


def _is_forbidden(error: Exception) -> bool:
    forbidden = http.HTTPStatus.UNAUTHORIZED, http.HTTPStatus.FORBIDDEN
    # gcsfs tells a 403 by nothing but the text.
    by_text = str(error).startswith("Forbidden")
    return isinstance(error, PermissionError) or _http_status(error) in forbidden or by_text
