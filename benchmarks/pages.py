"""Pages of reads to look at, from the tables that accuracy.py left.

python benchmarks/pages.py OUT --output DIR [--sets scenes/us …]

right.jpg: 24 plates read right, drawn at random. wrong-SET.jpg: those read wrong, 40 of a set at
most. extra-SET-1.jpg …: every plate found beside those of the truth, numbered, with a table on the
standard output to write each one's judgement into. A caption is truth : read confidence.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from evaluation_sets import SCENES, Row, load_reading, print_table
from tqdm import tqdm

from lpr_core.decode import decode
from lpr_core.geometry import Box, Image
from model_training.plots import in_rows

RIGHT, WRONG, EXTRAS_A_PAGE = 24, 40, 60
TILE, CAPTION, ACROSS = (256, 144), 22, 6
QUALITY = 80


def tile(uri: str, box: Row | None, read: Row | None, caption: str, room: float) -> Image:
    """A plate and its surroundings, `room` times as wide, with the quad that was found."""
    pixels = decode(Path(uri).read_bytes()).pixels
    place = Box(**box) if box else Box(0, 0, *pixels.shape[::-1])
    width, height = TILE
    scale = min(width / (room * place.width), height / (room * place.height))
    centre = np.array([place.x + place.width / 2, place.y + place.height / 2])
    matrix = np.column_stack([scale * np.eye(2), np.array([width, height]) / 2 - scale * centre])
    shrink = min(scale, 1.0)  # warpAffine does not average
    smaller = cv2.resize(pixels, None, fx=shrink, fy=shrink, interpolation=cv2.INTER_AREA)
    picture = cv2.cvtColor(smaller, cv2.COLOR_GRAY2BGR)
    view = cv2.warpAffine(picture, matrix @ np.diag([1 / shrink, 1 / shrink, 1]), TILE)
    if read:
        quad = np.array([[corner["x"], corner["y"]] for corner in read["corners"]])
        points = np.rint((quad @ matrix[:, :2].T + matrix[:, 2]) * 16).astype(np.int32)
        cv2.polylines(view, [points], True, (0, 200, 255), 1, cv2.LINE_AA, 4)
    line = np.zeros((CAPTION, width, 3), np.uint8)
    white = (255, 255, 255)
    cv2.putText(line, caption, (4, 15), cv2.FONT_HERSHEY_SIMPLEX, 0.42, white, 1, cv2.LINE_AA)
    return np.asarray(np.vstack([view, line]), np.uint8)


def said(read: Row | None) -> str:
    """A read as captions have it."""
    return f"{read['text'] or 'unreadable'} {read['confidence']:.2f}" if read else "not detected"


def write_page(tiles: Sequence[Image], path: Path) -> None:
    """Write tiles as rows of ACROSS; no page without tiles."""
    if not tiles:
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), in_rows(tiles, ACROSS), [cv2.IMWRITE_JPEG_QUALITY, QUALITY])


def main() -> None:
    """Draw the pages."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("tables", type=Path, metavar="OUT", help="of accuracy.py")
    parser.add_argument("--sets", nargs="+", default=[one.name for one in SCENES])
    parser.add_argument("--output", type=Path, required=True, metavar="DIR")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    right, lines = [], []
    for name in tqdm(options.sets, unit="set"):
        reading, stem = load_reading(options.tables / name), name.replace("/", "-")
        right += [outcome for outcome in reading.known if outcome.right]
        wrong = [
            tile(truth["uri"], truth["box"], read, f"{truth['text']} : {said(read)}", room=1.5)
            for truth, read in [one for one in reading.known if not one.right][:WRONG]
        ]
        write_page(wrong, options.output / f"wrong-{stem}.jpg")
        extra = []
        for number, read in enumerate(reading.extra, 1):
            caption = f"{number}: {said(read)}, found {read['detection_score']:.2f}"
            extra.append(tile(read["uri"], read["box"], read, caption, room=3))
            found = f"{read['detection_score']:.2f}"
            lines.append([f"{stem} {number}", Path(read["uri"]).name, said(read), found, ""])
        for start in range(0, len(extra), EXTRAS_A_PAGE):
            page = options.output / f"extra-{stem}-{start // EXTRAS_A_PAGE + 1}.jpg"
            write_page(extra[start : start + EXTRAS_A_PAGE], page)
    drawn = np.random.default_rng(options.seed).permutation(len(right))[:RIGHT]
    tiles = []
    for truth, read in [right[i] for i in sorted(drawn)]:
        caption = f"{truth['text']} : {said(read)}"
        tiles.append(tile(truth["uri"], truth["box"], read, caption, room=1.5))
    write_page(tiles, options.output / "right.jpg")
    print_table(("extra", "picture", "read", "detection score", "judged"), lines)


if __name__ == "__main__":
    main()
