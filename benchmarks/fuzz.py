"""Mutated pictures of six formats through the job: no crash, no hang, and memory is bounded.

    python benchmarks/fuzz.py PICTURES [--files 20000] [--seed 0]

The pictures of a folder, shrunk, are written as JPEG, PNG, WebP, TIFF, BMP and GIF and then damaged
at random; formats are as often as each other. Ends with status 1 if a file has no row, a decoder
crashed, a picture took longer than TIMEOUT, a stage failed in a way it does not know, or a process
of the job needed more than PEAK.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import os
import random
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from PIL import Image
from tqdm import tqdm

from lpr_core import DecodeError, decode
from pipelines.run_record import read_record, read_table

FORMATS = ("JPEG", "PNG", "WEBP", "TIFF", "BMP", "GIF")
WIDTH = 240
TIMEOUT = 10
PEAK = 800
"""Megabytes: of a process with its networks, besides one picture of the most pixels allowed."""

MAX_PIXELS = 16_000_000
WRONG = {"decode/crashed", *(f"{stage}/timeout" for stage in ("decode", "detect", "segment"))}
EXTREMES = (0, 1, 0x7F, 0x80, 0xFF, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0xFFFFFFFF)


def load(folder: Path) -> list[Image.Image]:
    """The pictures of a folder that are whole, shrunk."""
    images = []
    for path in sorted(folder.rglob("*.jpg")):
        with contextlib.suppress(DecodeError):
            images.append(Image.fromarray(decode(path.read_bytes()).pixels))
            images[-1].thumbnail((WIDTH, WIDTH))
    return images


def encode(picture: Image.Image, draw: random.Random) -> bytes:
    """A picture as a file of a random format and mode."""
    image = picture.convert(draw.choice(("RGB", "L")))
    kind = draw.choice(FORMATS)
    options: dict[str, object] = {}
    if kind == "TIFF":
        options["compression"] = draw.choice((None, "tiff_lzw", "tiff_deflate", "jpeg", "packbits"))
    elif kind == "JPEG":
        options["progressive"] = draw.random() < 0.5
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def mutate(data: bytes, draw: random.Random) -> bytes:
    """Damage a file in one to four ways; its head, where sizes and offsets stand, more often."""
    changed = bytearray(data)
    for _ in range(draw.randint(1, 4)):
        reach = min(len(changed), 200) if draw.random() < 0.5 else len(changed)
        place = draw.randrange(max(1, reach))
        length = draw.randint(1, 64)
        way = draw.randrange(6)
        if way == 0:
            changed[place : place + 1] = bytes([draw.randrange(256)])
        elif way == 1:
            size = draw.choice((1, 2, 4))
            value = draw.choice(EXTREMES) % 256**size
            changed[place : place + size] = value.to_bytes(size, draw.choice(("little", "big")))
        elif way == 2:
            del changed[place : place + length]
        elif way == 3:
            changed[place:place] = changed[place : place + length]
        elif way == 4:
            changed[place : place + length] = draw.randbytes(length)
        else:
            del changed[draw.randrange(len(changed) // 2, len(changed) + 1) :]
        if not changed:
            break
    return bytes(changed)


def write_files(pictures: Sequence[Image.Image], folder: Path, count: int, seed: int) -> None:
    """So many damaged files, all by the seed."""
    for number in tqdm(range(count), desc="damaging", disable=None):
        draw = random.Random(f"{seed}/{number}")
        data = mutate(encode(draw.choice(pictures), draw), draw)
        (folder / f"{number:06}.jpg").write_bytes(data)


def main() -> int:
    """Damage, read, print what became of them."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("pictures", type=Path)
    parser.add_argument("--files", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    pictures = load(arguments.pictures)
    with tempfile.TemporaryDirectory() as name:
        folder, output = Path(name) / "in", f"{name}/out"
        folder.mkdir()
        write_files(pictures, folder, arguments.files, arguments.seed)
        command = [sys.executable, "-m", "pipelines.read_plates", str(folder), "--output", output]
        options = ["--run-id=fuzz", f"--image-timeout={TIMEOUT}", f"--max-pixels={MAX_PIXELS}"]
        job = subprocess.Popen([*command, *options], stdout=subprocess.DEVNULL)
        _, status, usage = os.wait4(job.pid, 0)
        record = read_record(output, "fuzz")
        assert status == 0 and record is not None, "the job failed"
        columns = ["uri", "status", "stage", "reason", "milliseconds"]
        rows = read_table(record, output, "images", columns).to_pylist()
    outcomes = Counter(
        f"{row['stage']}/{row['reason']}" if row["stage"] else row["status"] for row in rows
    )
    print("| outcome | files |\n|---|---|")
    for outcome, files in outcomes.most_common():
        print(f"| `{outcome}` | {files} |")
    longest = max(sum(filter(None, row["milliseconds"].values())) for row in rows)
    peak = usage.ru_maxrss / 1024
    print(f"\nlongest picture {longest / 1000:.2f} s, largest process {peak:.0f} MB")
    lost = arguments.files - len({row["uri"] for row in rows})
    unknown = sum(files for outcome, files in outcomes.items() if "internal_error" in outcome)
    wrong = sum(outcomes[outcome] for outcome in WRONG)
    print(f"{lost} lost, {unknown} of unknown cause, {wrong} crashed or out of time")
    return 1 if lost or unknown or wrong or peak > PEAK else 0


if __name__ == "__main__":
    sys.exit(main())
