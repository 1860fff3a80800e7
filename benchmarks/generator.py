"""How fast the generator makes pictures, on one core.

python benchmarks/generator.py [BACKGROUNDS_DIR …] [--seconds 5]

A machine's load changes from minute to minute: what counts is the processor's time for a picture
beside that for a fixed one in the same run, the JPEG encoding of a noisy picture of a megapixel.
"""

import argparse
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from tqdm import tqdm

from model_training import generate
from model_training.composites import load_backgrounds
from model_training.glyphs import NoFontsError, installed_fonts

WARM_UP = 5
"""Items made before the clock runs: glyphs and faces are cached."""


def encodings() -> Iterator[bytes]:
    """The reference."""
    noise = np.random.default_rng(0).normal(128, 30, (1024, 1024, 3))
    picture = cv2.GaussianBlur(noise.clip(0, 255).astype(np.uint8), (0, 0), 1)
    while True:
        yield cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, 90])[1].tobytes()


def cost(stream: Iterator[Any], seconds: float) -> float:
    """Processor seconds an item."""
    for _ in range(WARM_UP):
        next(stream)
    started, made = time.process_time(), 0
    while time.process_time() - started < seconds:
        next(stream)
        made += 1
    return (time.process_time() - started) / made


parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
parser.add_argument("backgrounds", type=Path, nargs="*", metavar="BACKGROUNDS_DIR")
parser.add_argument("--seconds", type=float, default=5, help="of processor time a row (default: 5)")
options = parser.parse_args()

cv2.setNumThreads(1)
try:
    fonts = installed_fonts()
except NoFontsError:
    fonts = ()
backgrounds = load_backgrounds(options.backgrounds)
rows: dict[str, Callable[[], Iterator[Any]]] = {
    "JPEG encoding of a megapixel": encodings,
    "close-ups, grey": lambda: generate.plates(0, fonts, grey=True),
    "close-ups, colour": lambda: generate.plates(0, fonts),
    "scenes, rendered, 800×600": lambda: generate.scenes(0, fonts),
    "characters": lambda: generate.characters(0, fonts),
}
if backgrounds:
    rows[f"scenes on {len(backgrounds)} pictures, at most 800×600"] = lambda: generate.scenes(
        0, fonts, backgrounds=backgrounds
    )
costs = {name: cost(rows[name](), options.seconds) for name in tqdm(rows, disable=None)}
reference = next(iter(costs.values()))
print(f"with {len(fonts)} fonts beside random dies\n")
print("| | a second | cost, in encodings |\n|---|---|---|")
for name, seconds in costs.items():
    print(f"| {name} | {1 / seconds:.1f} | {seconds / reference:.2f} |")
