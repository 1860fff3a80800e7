"""Pictures and the truth about them as files: PNG, JPEG, truth.jsonl and truth.csv."""

from __future__ import annotations

import contextlib
import csv
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from model_training.scenes import Scene

TRUTH_COLUMNS = ("image", "x", "y", "w", "h", "text", "country")
EXIF_ORIENTATION = 0x0112


@contextlib.contextmanager
def truth_table(path: Path) -> Iterator[Any]:
    """A CSV writer of a truth file that has its head."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(TRUTH_COLUMNS)
        yield writer


def truth_of(name: str, scene: Scene) -> dict[str, Any]:
    """The object of `truth.jsonl` for a scene; corners clockwise from the text's top left."""
    height, width = scene.pixels.shape[:2]
    return {
        "image": name,
        "width": width,
        "height": height,
        "plates": [
            {
                "text": seen.plate.text,
                "layout": seen.plate.layout.name,
                "country": seen.plate.layout.country,
                "quad": np.round(seen.quad, 2).tolist(),
                "characters": [
                    {
                        "character": truth.character,
                        "box": [round(v, 2) for v in (box.x, box.y, box.width, box.height)],
                        "line": truth.line,
                    }
                    for truth, box in zip(seen.plate.characters, seen.characters, strict=True)
                ],
                "lines": 1 + max(truth.line for truth in seen.plate.characters),
                "dark_ink": seen.plate.dark_ink,
                "font": seen.plate.font,
            }
            for seen in scene.plates
        ],
    }


def truth_rows(name: str, scene: Scene) -> list[tuple[object, ...]]:
    """The rows of `truth.csv` for a scene, with TRUTH_COLUMNS."""
    if not scene.plates:
        return [(name, *[""] * (len(TRUTH_COLUMNS) - 1))]
    return [
        (
            name,
            *(round(v) for v in (p.box.x, p.box.y, p.box.width, p.box.height)),
            p.plate.text,
            p.plate.layout.country,
        )
        for p in scene.plates
    ]


def jpeg(pixels: npt.NDArray[np.uint8], quality: int, turned: bool = False) -> bytes:
    """A picture as JPEG; `turned`: stored on its side, with EXIF orientation 6 to say so.

    Args:
        pixels: RGB, uint8 of shape (height, width, 3), upright.
        quality: 0 to 100.
        turned: store what a camera held sideways would have.
    """
    picture = Image.fromarray(pixels)
    exif = Image.Exif()
    if turned:
        picture = picture.transpose(Image.Transpose.ROTATE_90)
        exif[EXIF_ORIENTATION] = 6
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=quality, exif=exif)
    return buffer.getvalue()


def png(pixels: npt.NDArray[np.uint8]) -> bytes:
    """A picture, grey or RGB, as PNG."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG", compress_level=3)
    return buffer.getvalue()
