"""Pictures with plates, drawn on the spot, and the job run on them."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import socket
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import cv2
import fsspec
import numpy as np
import pyarrow as pa
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from pipelines import read_plates
from pipelines.commit import CommitRun, RunPlan
from pipelines.metrics import AddSlices, Counts, Slices, count_outcome, count_slices
from pipelines.pictures import PictureResult
from pipelines.run_record import read_table
from pipelines.tables import Row, Run, hide_nothing, image_rows, plate_rows, truth_rows, write_table

PLATE_HEIGHT = 60


def draw_scene(texts: Sequence[str], seed: int = 0) -> np.ndarray:
    """A street-grey scene, BGR, with one white plate a text at (120, 100 + 140 i)."""
    noise = np.random.default_rng(seed).normal(0, 4, (140 * max(1, len(texts)) + 160, 640, 3))
    scene = np.clip(cv2.GaussianBlur(noise, (0, 0), 2) + 95, 0, 255).astype(np.uint8)
    for row, text in enumerate(texts):
        x, y = plate_corner(row)
        right = x + plate_width(text)
        cv2.rectangle(scene, (x, y), (right, y + PLATE_HEIGHT), (235, 235, 235), -1)
        for place, character in enumerate(text):
            cv2.putText(
                scene,
                character,
                (x + 16 + 36 * place, y + 48),
                cv2.FONT_HERSHEY_SIMPLEX,
                1.4,
                (25, 25, 25),
                4,
                cv2.LINE_AA,
            )
    return scene


def plate_corner(row: int) -> tuple[int, int]:
    """Top-left corner of a scene's plate."""
    return 120, 100 + 140 * row


def plate_width(text: str) -> int:
    """Width of a scene's plate."""
    return 28 + 36 * len(text)


def truth_line(image: str, text: str, row: int = 0, country: str = "xx") -> str:
    """A truth.csv line for a plate of `draw_scene`."""
    x, y = plate_corner(row)
    return f"{image},{x},{y},{plate_width(text)},{PLATE_HEIGHT},{text},{country}"


TRUTH_HEADER = "image,x,y,w,h,text,country"


@pytest.fixture(scope="session")
def street(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of six pictures, a truth.csv and two files that are no pictures.

    one.jpg, three.png: a plate each; two.jpg: two plates; none.jpg: no plate; deep/four.jpg: a
    plate, in a folder below; cut.jpg: a file that ends too early.
    """
    folder = tmp_path_factory.mktemp("street")
    (folder / "deep").mkdir()
    scenes = {
        "one.jpg": ["HK73PL"],
        "two.jpg": ["WX482", "TE951"],
        "three.png": ["NM64RA"],
        "none.jpg": [],
        "deep/four.jpg": ["UP27KE"],
    }
    lines = [TRUTH_HEADER, "none.jpg,,,,,,xx", truth_line("cut.jpg", "HK73PL", country="yy")]
    for seed, (name, texts) in enumerate(scenes.items()):
        assert cv2.imwrite(str(folder / name), draw_scene(texts, seed))
        country = "yy" if name == "two.jpg" else "xx"
        image = name.rpartition("/")[2]
        lines += [truth_line(image, text, row, country) for row, text in enumerate(texts)]
    data = (folder / "one.jpg").read_bytes()
    (folder / "cut.jpg").write_bytes(data[: len(data) // 2])
    (folder / "truth.csv").write_text("\n".join(lines) + "\n")
    (folder / "notes.txt").write_text("not a picture\n")
    return folder


class Tables:
    """The tables of a run, read through its record."""

    def __init__(self, output: Path | str, record: dict[str, Any]) -> None:
        self.output = output
        self.record = record

    def table(self, name: str) -> pa.Table:
        return read_table(self.record, str(self.output), name)

    def rows(self, name: str) -> list[dict[str, Any]]:
        return self.table(name).to_pylist()

    def images(self) -> dict[str, dict[str, Any]]:
        """Rows of `images` by the input's last name."""
        return {row["uri"].rpartition("/")[2]: row for row in self.rows("images")}


@pytest.fixture
def read(tmp_path: Path) -> Callable[..., Tables]:
    """Run the job on one worker, in a fresh output folder; keywords go before the defaults."""

    def run(*arguments: object, workers: int = 1, name: str = "out") -> Tables:
        output = tmp_path / name
        options = ["--output", output, "--workers", workers, *arguments]
        record = read_plates.run([str(option) for option in options])
        assert record is not None
        return Tables(output, record)

    return run


SAMPLES = Path(__file__).parents[2] / "samples"


@pytest.fixture(scope="session")
def samples_output(tmp_path_factory: pytest.TempPathFactory) -> str:
    """An output folder with the run "samples" of the samples, their truth and crops, to be asked
    and not to be changed: copy it for that."""
    folder = tmp_path_factory.mktemp("samples") / "tables"
    known = ["--truth", str(SAMPLES / "truth.csv"), "--keep-crops"]
    options = ["--output", str(folder), "--run-id", "samples", "--workers", "1"]
    assert read_plates.run([str(SAMPLES), *known, *options]) is not None
    return str(folder)


def commit_results(
    output: Path | str,
    results: Sequence[PictureResult],
    run_id: str = "run",
    started_at: str = "2024-05-01T00:00:00+00:00",
    hide: Callable[[Row], Row] = hide_nothing,
) -> None:
    """Commit a run that came to these results, as the job does."""
    run = Run(run_id, str(output), "b" * 64, "c" * 64)
    tables = {"images": image_rows, "plates": plate_rows, "truths": truth_rows}
    files = [
        write_table(table, [hide(row) for result in results for row in rows_of(run, result)], run)
        for table, rows_of in tables.items()
    ]
    counts: Counts = Counter()
    by_label: dict[str, Slices] = {}
    for result in results:
        counts.update(count_outcome(result))
        for label, counted in count_slices(result):
            by_label[label] = AddSlices().add_input(by_label.get(label, {}), counted)
    bundle = {"name": "drawn", "sha256": run.bundle_sha256}
    config = {"sha256": run.config_sha256}
    plan = RunPlan(run, started_at, 0, 1.0, bundle, config, {}, "test")
    inputs: Counts = Counter({("inputs",): len(results)})
    next(CommitRun(plan).process(None, inputs, counts, by_label.items(), files))


# Object stores: real servers behind sockets, and the drivers' own environment to reach them.

SERVERS = Path(__file__).parents[2] / ".venv" / "servers" / "bin"


@dataclass(frozen=True)
class Bucket:
    """A bucket of a store that runs on this machine.

    Attributes:
        uri: of the bucket.
        fs: a file system of the test's own, whose cache no job shares.
        secrets: what the environment holds that nobody may write down.
        request_log: where the server writes the requests it gets.
    """

    uri: str
    fs: Any
    secrets: tuple[str, ...]
    request_log: Path

    def put(self, folder: Path) -> str:
        """Upload a folder with all that is in it; its URI."""
        for file in folder.rglob("*"):
            if file.is_file():
                path = f"{self.uri}/{folder.name}/{file.relative_to(folder).as_posix()}"
                self.fs.pipe_file(path, file.read_bytes())
        return f"{self.uri}/{folder.name}"

    def requests(self) -> list[str]:
        """What the server was asked for in this bucket, a line each."""
        name = self.uri.rpartition("/")[2]
        return [line for line in self.request_log.read_text().splitlines() if name in line]


@contextlib.contextmanager
def running(program: str, *options: str, log: Path, **environment: str) -> Iterator[str]:
    """Run a server, and give its URL once it answers; it ends with the context."""
    if not (SERVERS / program).exists():
        pytest.skip(f"{program} is not installed: `make servers` does that")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [SERVERS / program, *options, "--port", str(port)]
    with log.open("wb") as file:
        server = subprocess.Popen(
            command, stdout=file, stderr=file, cwd=log.parent, env={**os.environ, **environment}
        )
    try:
        give_up = time.monotonic() + 120
        while time.monotonic() < give_up:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
                break
            with contextlib.suppress(subprocess.TimeoutExpired):
                pytest.fail(f"{program} ended with {server.wait(0.1)}: {log.read_text()[-2000:]}")
        else:
            pytest.fail(f"{program} does not answer: {log.read_text()[-2000:]}")
        yield f"http://127.0.0.1:{port}"
    finally:
        server.terminate()
        server.wait()


@pytest.fixture(scope="session")
def s3_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path]]:
    """A moto server: its URL, and the file in which it keeps requests with their headers."""
    folder = tmp_path_factory.mktemp("s3")
    record = folder / "requests.jsonl"
    recording = {"MOTO_ENABLE_RECORDING": "1", "MOTO_RECORDER_FILEPATH": str(record)}
    with running("moto_server", "-H", "127.0.0.1", log=folder / "log", **recording) as url:
        yield url, record


@pytest.fixture(scope="session")
def gs_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path]]:
    """An emulator of Google Cloud Storage: its URL, and its log of requests."""
    log = tmp_path_factory.mktemp("gs") / "log"
    options = ("start", "--host", "127.0.0.1", "--in-memory")
    with running("gcp-storage-emulator", *options, log=log) as url:
        yield url, log


@pytest.fixture(scope="session")
def service_account(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, list[str]]]:
    """The key file of a Google service account, made here, and all that is secret about it.

    The file names a server of this process as the one that gives out tokens.
    """
    token = f"token-{secrets.token_hex(16)}"

    class GiveToken(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            answer = {"access_token": token, "expires_in": 3600, "token_type": "Bearer"}
            self.send_response(200)
            self.end_headers()
            self.wfile.write(json.dumps(answer).encode())

        def log_message(self, *_: object) -> None:
            pass

    key = rsa.generate_private_key(public_exponent=65537, key_size=2048).private_bytes(
        Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()
    )
    file = tmp_path_factory.mktemp("account") / "account.json"
    with ThreadingHTTPServer(("127.0.0.1", 0), GiveToken) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        account = {
            "type": "service_account",
            "project_id": "plates",
            "private_key_id": "1",
            "private_key": key.decode(),
            "client_email": "reader@plates.example",
            "token_uri": f"http://127.0.0.1:{server.server_port}/token",
        }
        file.write_text(json.dumps(account))
        yield file, [token, *key.decode().splitlines()[1:-1]]
        server.shutdown()


@pytest.fixture
def s3_bucket(
    s3_server: tuple[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Bucket]:
    """An empty bucket of S3."""
    url, record = s3_server
    variables = {
        "AWS_ACCESS_KEY_ID": f"AKIA{secrets.token_hex(8).upper()}",
        "AWS_SECRET_ACCESS_KEY": secrets.token_hex(20),
        "AWS_SESSION_TOKEN": f"session-{secrets.token_hex(16)}",
    }
    elsewhere = {
        "AWS_ENDPOINT_URL": url,
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_CONFIG_FILE": str(tmp_path / "absent"),
        "AWS_SHARED_CREDENTIALS_FILE": str(tmp_path / "absent"),
    }
    yield from _bucket("s3", record, tuple(variables.values()), variables | elsewhere, monkeypatch)


@pytest.fixture
def gs_bucket(
    gs_server: tuple[str, Path],
    service_account: tuple[Path, list[str]],
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Bucket]:
    """An empty bucket of Google Cloud Storage."""
    url, log = gs_server
    file, known = service_account
    variables = {
        "STORAGE_EMULATOR_HOST": url,
        "GOOGLE_APPLICATION_CREDENTIALS": str(file),
        # What it supports asks another service about each bucket, for a minute where there is none.
        "GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT": "false",
    }
    yield from _bucket("gs", log, tuple(known), variables, monkeypatch)


def _bucket(
    protocol: str,
    request_log: Path,
    known: tuple[str, ...],
    variables: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Bucket]:
    for name, value in {**variables, "NO_PROXY": "127.0.0.1"}.items():
        monkeypatch.setenv(name, value)
    kind = fsspec.get_filesystem_class(protocol)
    kind.clear_instance_cache()  # which know another environment
    fs = kind(skip_instance_cache=True, use_listings_cache=False)
    name = f"bucket-{secrets.token_hex(4)}"
    fs.mkdir(name)
    yield Bucket(f"{protocol}://{name}", fs, known, request_log)
    fs.rm(name, recursive=True)
    kind.clear_instance_cache()


@pytest.fixture(params=["s3", "gs"])
def bucket(request: pytest.FixtureRequest) -> Bucket:
    """An empty bucket of each kind of store."""
    found: Bucket = request.getfixturevalue(f"{request.param}_bucket")
    return found
