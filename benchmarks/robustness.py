"""Exact match on pictures that were turned, darkened, blurred or compressed hard.

python benchmarks/robustness.py DATA [--bundle DIR]

Turned pictures keep everything they showed, their border repeated around it, and a plate's box
becomes the box around the turned one. Each cell has two counts: the plates whose text any read of
the picture has, and those whose text the read paired with the box (IoU at least 0.3) has.
"""

from __future__ import annotations

import math
import tempfile
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
from evaluation_sets import (
    SCENES,
    Reading,
    Row,
    add_way,
    chosen_way,
    make_parser,
    print_table,
    read_rows,
    truth_rows,
)
from tqdm import tqdm

from lpr_core.decode import decode
from lpr_core.geometry import Box, Image, Matrix, bounding_box, transform_points
from lpr_core.score import normalise_text

Change = Callable[[Image], tuple[Image, Matrix]]
"""A grey picture to the changed one, and where its points went."""

UNMOVED = np.eye(3)


def turned(degrees: float) -> Change:
    """Turn about the middle, clockwise, on a canvas that holds all of the picture."""

    def change(pixels: Image) -> tuple[Image, Matrix]:
        height, width = pixels.shape
        cos, sin = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
        size = (
            math.ceil(width * cos + height * abs(sin)),
            math.ceil(width * abs(sin) + height * cos),
        )
        turn = np.array([[cos, -sin], [sin, cos]])
        shift = np.array(size) / 2 - turn @ (width / 2, height / 2)
        matrix = np.vstack([np.column_stack([turn, shift]), [0, 0, 1]])
        centres = matrix.copy()  # warps count the centres of pixels
        centres[:2, 2] += turn @ (0.5, 0.5) - 0.5
        border = cv2.BORDER_REPLICATE
        seen = cv2.warpAffine(pixels, centres[:2], size, flags=cv2.INTER_CUBIC, borderMode=border)
        return np.asarray(seen, np.uint8), matrix

    return change


def darkened(pixels: Image) -> tuple[Image, Matrix]:
    """Keep a quarter of the light."""
    return np.rint(pixels * 0.25).astype(np.uint8), UNMOVED


def blurred(pixels: Image) -> tuple[Image, Matrix]:
    """Blur by a Gaussian of sigma 1.5 pixels."""
    return np.asarray(cv2.GaussianBlur(pixels, (0, 0), 1.5), np.uint8), UNMOVED


def compressed(pixels: Image) -> tuple[Image, Matrix]:
    """Encode as a JPEG of quality 30."""
    _, data = cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, 30])
    return np.asarray(cv2.imdecode(data, cv2.IMREAD_GRAYSCALE), np.uint8), UNMOVED


CHANGES: dict[str, Change] = {
    "clean": lambda pixels: (pixels, UNMOVED),
    "turned by 15°": turned(15),
    "turned by −15°": turned(-15),
    "darkened to 25 %": darkened,
    "blurred, sigma 1.5": blurred,
    "JPEG quality 30": compressed,
}


def changed_rows(rows: list[Row], change: Change, folder: Path) -> list[Row]:
    """Write the changed pictures without further loss; the truth's rows of them."""
    moves: dict[str, tuple[str, Matrix]] = {}
    for uri in dict.fromkeys(row["uri"] for row in rows):
        pixels, move = change(decode(Path(uri).read_bytes()).pixels)
        path = folder / f"{len(moves)}.png"
        cv2.imwrite(str(path), pixels, [cv2.IMWRITE_PNG_COMPRESSION, 1])
        moves[uri] = str(path), move
    return [moved_row(row, *moves[row["uri"]]) for row in rows]


def moved_row(row: Row, uri: str, move: Matrix) -> Row:
    """A truth's row after its picture was changed."""
    named = row | {"uri": uri, "image": Path(uri).name}
    if not row["x"]:
        return named  # a picture without a plate
    box = Box(*(float(row[side]) for side in ("x", "y", "w", "h")))
    moved = bounding_box(transform_points(box.corners, move))
    return named | {"x": moved.x, "y": moved.y, "w": moved.width, "h": moved.height}


def cell(reading: Reading) -> str:
    """Plates whose text is anywhere in the picture, and whose paired read has it."""
    texts: dict[str, set[str]] = {}
    for read in reading.reads:
        texts.setdefault(read["uri"], set()).add(normalise_text(read["text"] or ""))
    anywhere = sum(
        normalise_text(truth["text"]) in texts.get(truth["uri"], ()) for truth, _ in reading.known
    )
    return f"{anywhere}, {sum(one.right for one in reading.known)} of {len(reading.known)}"


def main() -> None:
    """Change each set's pictures in each way, read them, and print the table."""
    parser = make_parser(__doc__, SCENES)
    add_way(parser)
    options = parser.parse_args()
    lines = []
    for name, change in tqdm(CHANGES.items(), unit="change"):
        cells = []
        for chosen in options.sets:
            with tempfile.TemporaryDirectory() as folder:
                rows = truth_rows(options.data, chosen, options.every)
                rows = changed_rows(rows, change, Path(folder))
                output = Path(folder) / "tables"
                cells.append(cell(read_rows(rows, chosen_way(options), output, chosen.whole)))
        lines.append([name, *cells])
    print_table(("", *(chosen.name for chosen in options.sets)), lines)


if __name__ == "__main__":
    main()
