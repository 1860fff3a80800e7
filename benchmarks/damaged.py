"""500 damaged and good files through the job: has each its row, with the right stage and reason?

    python benchmarks/damaged.py DATA_DIR [--seed 0]

DATA_DIR is the folder that holds `scenes/`. The files are made from the scenes, in a temporary
folder. Run as root, the job itself runs as user 65534, since root may read everything. Ends with
status 1 if a row is missing or wrong.
"""

from __future__ import annotations

import argparse
import os
import random
import struct
import subprocess
import sys
import tempfile
import zlib
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from lpr_core import PlateReader, decode
from pipelines.run_record import read_record, read_table

NOBODY = 65534
ANY_DECODE = {"decode/corrupt", "decode/truncated", "decode/not_an_image", "decode/too_many_pixels"}
NO_FAILURE = {"read", "no_plate", "unreadable"}


def flip_bits(data: bytes, draw: random.Random) -> bytes:
    """Flip 1 to 64 bits anywhere."""
    damaged = bytearray(data)
    for _ in range(draw.randint(1, 64)):
        damaged[draw.randrange(len(damaged))] ^= 1 << draw.randrange(8)
    return bytes(damaged)


def cut(data: bytes, draw: random.Random) -> bytes:
    """Keep 10 to 90 % of the file."""
    return data[: round(len(data) * draw.uniform(0.1, 0.9))]


def bomb(_: bytes, draw: random.Random) -> bytes:
    """A PNG of a few kilobytes that claims billions of pixels."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        checksum = struct.pack(">I", zlib.crc32(kind + body))
        return struct.pack(">I", len(body)) + kind + body + checksum

    side = draw.randint(20_000, 60_000)
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0))
    rows = chunk(b"IDAT", zlib.compress(bytes(10**6)))
    return b"\x89PNG\r\n\x1a\n" + header + rows + chunk(b"IEND", b"")


# Kind: how many, the extension, what becomes of a good file's bytes (None: no such file), and what
# the job should say of it. A flipped bit may leave a picture that can be decoded.
Change = Callable[[bytes, random.Random], bytes]
KINDS: dict[str, tuple[int, str, Change | None, set[str]]] = {
    "good": (100, ".jpg", lambda data, _: data, NO_FAILURE),
    "bit flips": (100, ".jpg", flip_bits, ANY_DECODE | NO_FAILURE),
    "truncated": (80, ".jpg", cut, {"decode/truncated"}),
    "JPEG named .png": (40, ".png", lambda data, _: data, NO_FAILURE),
    "text named .jpg": (
        30,
        ".jpg",
        lambda _, draw: draw.randbytes(9).hex().encode(),
        {"decode/not_an_image"},
    ),
    "zero bytes": (40, ".jpg", lambda *_: b"", {"decode/empty"}),
    "decompression bomb": (20, ".png", bomb, {"decode/too_many_pixels"}),
    "folder named .jpg": (30, ".jpg", None, {"load/is_a_directory"}),
    "not permitted": (30, ".jpg", lambda data, _: data, {"load/permission_denied"}),
    "missing": (30, ".jpg", None, {"load/not_found"}),
}


def make_files(scenes: list[Path], folder: Path, seed: int) -> dict[str, tuple[str, Path]]:
    """(kind, original) by path of each file made."""
    draw = random.Random(seed)
    made = {}
    for kind, (count, suffix, change, _) in KINDS.items():
        for number in range(count):
            original = draw.choice(scenes)
            path = folder / f"{kind.replace(' ', '-')}-{number}{suffix}"
            if kind.startswith("folder"):
                path.mkdir()
            elif change is not None:
                path.write_bytes(change(original.read_bytes(), draw))
            if kind == "not permitted":
                path.chmod(0)
            made[str(path)] = kind, original
    return made


# A Python in root's home is closed to the other user. So the job first runs as root on a good, a
# damaged and a missing file, which imports whatever it needs, and then becomes the other user.
JOB = """
import os, sys
from pipelines import read_plates
user, warm_up, *arguments = sys.argv[1:]
assert read_plates.main([warm_up + ".txt", "--output", warm_up, "--workers=1"]) == 0
if int(user):
    os.setgroups([]); os.setgid(int(user)); os.setuid(int(user))
sys.exit(read_plates.main(arguments))
"""


def run_job(paths: list[str], good: Path, folder: Path) -> None:
    """Run the job on the paths, as another user if need be."""
    user = NOBODY if os.geteuid() == 0 else 0
    (folder / "list.txt").write_text("\n".join(paths) + "\n")
    warm_up = folder / "warm-up"
    warm_up.with_suffix(".txt").write_text(f"{good}\n{folder}/list.txt\n{folder}/absent.jpg\n")
    (folder / "out").mkdir()
    if user:
        os.chown(folder / "out", user, user)
    command = [sys.executable, "-c", JOB, str(user), warm_up, folder / "list.txt"]
    subprocess.run(
        [*command, "--output", folder / "out", "--run-id=damaged", "--workers=1"],
        check=True,
        stdout=subprocess.DEVNULL,
        cwd=Path(__file__).parents[1],
    )


def main() -> int:
    """Make the files, run the job, print expected against found."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    scenes = sorted((arguments.data / "scenes").glob("*/*.jpg"))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        made = make_files(scenes, folder, arguments.seed)
        run_job(list(made), scenes[0], folder)
        output = str(folder / "out")
        record = read_record(output, "damaged")
        assert record is not None
        images = read_table(record, output, "images").to_pylist()
        plates = read_table(record, output, "plates").to_pylist()
    found = {
        row["uri"]: f"{row['stage']}/{row['reason']}" if row["stage"] else row["status"]
        for row in images
    }
    texts: dict[str, list[str]] = {}
    for row in sorted(plates, key=lambda row: row["index"]):
        texts.setdefault(row["uri"], []).append(row["text_raw"])

    print(f"{len(made)} inputs, {len(images)} rows, {len(found)} different URIs\n")
    print("| made | inputs | should be | found | wrong |\n|---|---|---|---|---|")
    faults = len(made) - len(found)
    for kind, (count, _, _, allowed) in KINDS.items():
        answers = Counter(
            found.get(path, "no row") for path, made_as in made.items() if made_as[0] == kind
        )
        wrong = sum(number for answer, number in answers.items() if answer not in allowed)
        faults += wrong
        told = ", ".join(f"{answer} {number}" for answer, number in sorted(answers.items()))
        print(f"| {kind} | {count} | {' or '.join(sorted(allowed))} | {told} | {wrong} |")

    reader = PlateReader.from_bundle()
    known: dict[Path, list[str]] = {}
    same = total = 0
    for path, (kind, original) in made.items():
        if kind in ("good", "JPEG named .png"):
            if original not in known:
                picture = decode(original.read_bytes())
                known[original] = [read.text_raw for read in reader.read(picture.pixels)]
            total += 1
            same += texts.get(path, []) == known[original]
    print(f"\ngood ones read as without the damaged ones: {same} of {total}")
    return 1 if faults or same < total else 0


if __name__ == "__main__":
    sys.exit(main())
