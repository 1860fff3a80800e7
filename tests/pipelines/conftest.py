"""Pictures with plates, drawn on the spot, and the job run on them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pyarrow as pa
import pytest

from pipelines import read_plates
from pipelines.run_record import read_table

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

    def __init__(self, output: Path, record: dict[str, Any]) -> None:
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
