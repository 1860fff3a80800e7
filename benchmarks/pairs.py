"""A page of real plates, each beside one that the generator made after the same kind.

python benchmarks/pairs.py DATA_DIR [--output docs/pairs.jpg] [--seed 1]

The real ones are of licensed sets that serve training, drawn by the seed, as is what is rendered:
nothing is picked by hand. A rendered plate is as high as the real one, and grey where that is.
"""

import argparse
import csv
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

from model_training.close_ups import close_up
from model_training.composites import is_colourless
from model_training.glyphs import NoFontsError, installed_fonts, random_font
from model_training.layouts import LAYOUT_BY_NAME, LAYOUTS, Layout
from model_training.plates import render_plate

Pixels = npt.NDArray[np.uint8]

CELL_WIDTH, CELL_HEIGHT, GAP = 150, 76, 6
PAIRS_A_ROW = 4
HEADER = 30

CODES = {"a": "at", "b": "be", "d": "de", "e": "es", "f": "fr", "i": "it", "s": "se"}
"""Of crops_eu_two_line, where they are not those of the layouts."""

OVERSEAS = ("br", "ar", "mx", "us", "vn", "in", "cn", "my", "any")


@dataclass(frozen=True)
class Source:
    """A set of real plates.

    Attributes:
        folder: of the set.
        pairs: how many it gives.
        by_country: the layouts go by the row's country; else they are `layouts`.
        layouts: names.
        share: of a plate's height in its picture, about.
        cut: the rows' boxes are cut out of the pictures, with a tenth of their height around.
    """

    folder: str
    pairs: int
    layouts: tuple[str, ...] = ()
    by_country: bool = False
    share: float = 1.0
    cut: bool = False


EUROPEAN = tuple(
    layout.name
    for layout in LAYOUTS
    if layout.size[0] > 4 * layout.size[1] and layout.country not in OVERSEAS
)
SOURCES = (
    Source("crops_us", 14, by_country=True, share=0.95),
    Source("crops_br", 8, ("br", "br-red"), share=0.7),
    Source("crops_eu_unlabelled", 8, EUROPEAN, share=0.95),
    Source("crops_eu_two_line", 4, by_country=True, share=0.95),
    Source("crops_cn", 3, ("cn",), share=0.95),
    Source("boxes_eu", 3, ("ro",), share=0.8, cut=True),
)


def real_plates(
    data: Path, source: Source, rng: np.random.Generator
) -> Iterator[tuple[Pixels, str]]:
    """Random pictures of a set, each with its country."""
    folder = data / source.folder
    truth = folder / "truth.csv"
    if truth.exists():
        with truth.open(newline="", encoding="utf-8") as file:
            rows = [row for row in csv.DictReader(file) if row.get("use", "train") == "train"]
    else:
        rows = [{"image": path.name, "country": ""} for path in sorted(folder.glob("*.jpg"))]
    for number in rng.permutation(len(rows))[: source.pairs]:
        row = rows[number]
        pixels = np.array(Image.open(folder / row["image"]).convert("RGB"), np.uint8)
        if source.cut:
            x, y, width, height = (round(float(row[column])) for column in ("x", "y", "w", "h"))
            margin = height // 10
            pixels = pixels[
                max(0, y - margin) : y + height + margin, max(0, x - margin) : x + width + margin
            ]
        yield pixels, row["country"]


def layout_like(source: Source, country: str, pixels: Pixels, rng: np.random.Generator) -> Layout:
    """A layout of the set or of the country, two lines or one as the picture's form has it."""
    names = list(source.layouts)
    if source.by_country:
        code = CODES.get(country, country)
        two_lines = pixels.shape[1] < 1.7 * pixels.shape[0]
        names = [
            layout.name
            for layout in LAYOUTS
            if layout.name.startswith(code) and layout.name.endswith("-two-line") == two_lines
        ] or ["us" if country.startswith("us") else "eu-two-line"]
    return LAYOUT_BY_NAME[str(rng.choice(names))]


def cell(pixels: Pixels) -> Image.Image:
    """A picture shrunk or enlarged to fit a cell, in its middle."""
    shown = np.repeat(pixels[..., None], 3, axis=2) if pixels.ndim == 2 else pixels
    scale = min(CELL_WIDTH / shown.shape[1], CELL_HEIGHT / shown.shape[0])
    size = (max(1, round(shown.shape[1] * scale)), max(1, round(shown.shape[0] * scale)))
    method = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    picture = Image.new("RGB", (CELL_WIDTH, CELL_HEIGHT), "white")
    fitted = Image.fromarray(cv2.resize(shown, size, interpolation=method))
    picture.paste(fitted, ((CELL_WIDTH - size[0]) // 2, (CELL_HEIGHT - size[1]) // 2))
    return picture


parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
parser.add_argument("data", type=Path, help="the folder with crops_us/, crops_br/ …")
parser.add_argument("--output", type=Path, default=Path("docs/pairs.jpg"))
parser.add_argument("--seed", type=int, default=1)
options = parser.parse_args()

try:
    fonts = installed_fonts()
except NoFontsError:
    fonts = ()
rng = np.random.default_rng(options.seed)
pairs = []
for source in SOURCES:
    for real, country in real_plates(options.data, source, rng):
        layout = layout_like(source, country, real, rng)
        plate = render_plate(layout, random_font(rng, fonts), rng)
        rendered = close_up(
            plate, rng, grey=is_colourless(real), height=source.share * real.shape[0]
        )
        pairs.append((cell(real), cell(rendered.pixels)))

pair_width = 2 * CELL_WIDTH + 3 * GAP
rows = -(-len(pairs) // PAIRS_A_ROW)
page = Image.new("RGB", (PAIRS_A_ROW * pair_width, HEADER + rows * (CELL_HEIGHT + GAP)), "white")
draw = ImageDraw.Draw(page)
for column in range(PAIRS_A_ROW):
    draw.text(
        (column * pair_width + GAP + CELL_WIDTH, HEADER // 2),
        "real | rendered",
        "black",
        ImageFont.load_default(15),
        anchor="mm",
    )
for number, (real_cell, rendered_cell) in enumerate(pairs):
    row, column = divmod(number, PAIRS_A_ROW)
    x, y = column * pair_width + GAP, HEADER + row * (CELL_HEIGHT + GAP)
    page.paste(real_cell, (x, y))
    page.paste(rendered_cell, (x + CELL_WIDTH, y))
options.output.parent.mkdir(parents=True, exist_ok=True)
page.save(options.output, "JPEG", quality=80)
print(f"{len(pairs)} pairs in {options.output}, {options.output.stat().st_size // 1024} KB")
