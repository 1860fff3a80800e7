"""`platebeam generate`: pictures rendered with full truth."""

from __future__ import annotations

import argparse
import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from model_training.glyphs import TrueTypeFont, installed_fonts
from model_training.rendered_characters import random_font
from model_training.scenes import CarPlan, Scene, ScenePlan, render_scene

TRUTH_COLUMNS = ("image", "x", "y", "w", "h", "text", "country")
JPEG_QUALITY = 84
EXIF_ORIENTATION = 0x0112

SAMPLES_README = """\
# Sample pictures

Street scenes rendered by platebeam's own generator; no real car, plate or place is in them.

    platebeam generate samples --output samples --seed {seed}

makes the same pictures again (byte for byte with the same library versions). `truth.csv` has a row
for every plate: its box in pixels of the upright picture, its text without separators, top line
first. The picture without a plate has one row with blanks; `{turned}` is turned by its EXIF
orientation; `{truncated}` was cut off on purpose and has no row, since it cannot be decoded.
MIT licence, as the rest.
"""


@dataclass(frozen=True)
class Sample:
    """One picture of `samples/`: what it shows and what is odd about its file."""

    plan: ScenePlan
    turned: bool = False
    truncated: bool = False


def _street(*cars: CarPlan, night: bool = False, wear: float = 0.4) -> Sample:
    return Sample(ScenePlan(cars, (1120, 760), night, wear))


SAMPLES = (
    _street(CarPlan("de", 230)),
    _street(CarPlan("us", 185, rear=False, yaw=0.05)),
    _street(CarPlan("br", 200, yaw=-0.08, roll=2)),
    _street(CarPlan("gb", 260, rear=False, roll=-3), wear=0.7),
    _street(CarPlan("fr", 210, centre=(0.42, 0.6), yaw=0.1)),
    _street(CarPlan("eu-two-line", 150, roll=3)),
    _street(CarPlan("my", 280), night=True),
    _street(CarPlan("us-dark", 190, roll=-2)),
    _street(CarPlan("it", 240, yaw=-0.12), wear=0.6),
    _street(CarPlan("de", 150, centre=(0.25, 0.52)), CarPlan("pl", 200, centre=(0.75, 0.66))),
    _street(CarPlan("br-mercosur", 220, rear=False)),
    _street(CarPlan("us-art", 200, yaw=0.08, roll=2), wear=0.3),
    _street(CarPlan("nl", 300, roll=4)),
    _street(CarPlan("in-two-line", 170, yaw=-0.06)),
    _street(CarPlan("be", 220), wear=0.8),
    _street(CarPlan("cn", 230, yaw=0.06)),
    _street(
        CarPlan("es", 130, centre=(0.3, 0.55)), CarPlan("ro", 180, centre=(0.72, 0.64), roll=-2)
    ),
    _street(CarPlan("sk", 200, roll=-5), wear=0.5),
    _street(CarPlan("us-vanity", 180, rear=False)),
    _street(CarPlan("vn-two-line", 120, roll=-2)),
    _street(CarPlan("gb-plain", 320), night=True, wear=0.6),
    _street(CarPlan("br-red", 210, yaw=0.05)),
    _street(),
    replace(_street(CarPlan("de", 240, centre=(0.5, 0.55))), turned=True),
    _street(
        CarPlan("us", 110, centre=(0.22, 0.55)), CarPlan("us", 116, centre=(0.79, 0.64), yaw=-0.05)
    ),
    _street(CarPlan("fr", 150, yaw=0.15, roll=5), night=True, wear=0.9),
    replace(_street(CarPlan("pl", 240)), truncated=True),
)


def write_samples(output: Path, seed: int, fonts: tuple[TrueTypeFont, ...] = ()) -> None:
    """Render SAMPLES as JPEG files with `truth.csv` and a README.

    Args:
        output: the folder; made where it is missing.
        seed: each picture depends on it and on its own number alone.
        fonts: for the plates, beside random dies.
    """
    output.mkdir(parents=True, exist_ok=True)
    names = [f"street-{number:02}.jpg" for number in range(1, len(SAMPLES) + 1)]
    rows: list[tuple[object, ...]] = []
    for number, (name, sample) in enumerate(zip(names, SAMPLES, strict=True)):
        rng = np.random.default_rng([seed, number])
        scene = render_scene(sample.plan, random_font(rng, fonts), rng)
        data = encode(scene.pixels, sample.turned)
        (output / name).write_bytes(data[: len(data) // 2] if sample.truncated else data)
        if not sample.truncated:
            rows += truth_rows(name, scene)
    with (output / "truth.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(TRUTH_COLUMNS)
        writer.writerows(rows)
    readme = SAMPLES_README.format(
        seed=seed,
        turned=names[[sample.turned for sample in SAMPLES].index(True)],
        truncated=names[[sample.truncated for sample in SAMPLES].index(True)],
    )
    (output / "README.md").write_text(readme, encoding="utf-8")


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


def encode(pixels: npt.NDArray[np.uint8], turned: bool = False) -> bytes:
    """A picture as JPEG; `turned`: stored on its side, with EXIF orientation 6 to say so.

    Args:
        pixels: RGB, uint8 of shape (height, width, 3), upright.
        turned: store what a camera held sideways would have.
    """
    picture = Image.fromarray(pixels)
    exif = Image.Exif()
    if turned:
        picture = picture.transpose(Image.Transpose.ROTATE_90)
        exif[EXIF_ORIENTATION] = 6
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=JPEG_QUALITY, exif=exif)
    return buffer.getvalue()


def main(argv: Sequence[str]) -> int:
    """Run `platebeam generate`."""
    parser = argparse.ArgumentParser(prog="platebeam generate", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="samples")
    samples = commands.add_parser("samples", help="the project's sample street scenes")
    samples.add_argument("--output", type=Path, required=True, metavar="DIR")
    samples.add_argument("--seed", type=int, default=7)
    samples.add_argument(
        "--fonts",
        choices=("dies", "installed"),
        default="dies",
        help="dies alone (the default: the same on every machine) or installed fonts too",
    )
    options = parser.parse_args(argv)
    fonts = installed_fonts() if options.fonts == "installed" else ()
    write_samples(options.output, options.seed, fonts)
    print(f"{len(SAMPLES)} pictures in {options.output}")
    return 0
