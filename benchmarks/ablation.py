"""What each part brings: detectors with readers, and bundles trained on more or less.

python benchmarks/ablation.py DATA
python benchmarks/ablation.py DATA --ways heatmap+sequence --bundles "generator only=DIR" all=DIR

Exact match of every bundle read in every way, by set and of all plates together (95 % Wilson), and
the plates found beside the truth's a picture, where pictures are whole scenes.
"""

from __future__ import annotations

import argparse
import tempfile
from functools import cache
from itertools import product
from pathlib import Path

from evaluation_sets import (
    CROPS,
    SCENES,
    EvaluationSet,
    Reading,
    Way,
    make_parser,
    print_table,
    read_set,
    share_cell,
)
from tqdm import tqdm

from lpr_core.plate_reader import DETECTORS, READERS

WAYS = tuple(product(("contour", "heatmap"), ("characters", "sequence")))


def named_bundle(text: str) -> tuple[str, Path]:
    """NAME=DIR."""
    name, equals, folder = text.rpartition("=")
    if not equals or not Path(folder).is_dir():
        raise argparse.ArgumentTypeError(f"{text!r} is not NAME=DIR")
    return name, Path(folder)


def named_way(text: str) -> tuple[str, str]:
    """DETECTOR+READER."""
    detector, _, reader = text.partition("+")
    if detector not in DETECTORS or reader not in READERS:
        raise argparse.ArgumentTypeError(f"{text!r} is not DETECTOR+READER")
    return detector, reader


def main() -> None:
    """Read everything in every way and print the table."""
    parser = make_parser(__doc__, (*SCENES, *CROPS))
    parser.add_argument("--ways", nargs="+", type=named_way, default=WAYS, metavar="WAY")
    parser.add_argument(
        "--bundles", nargs="+", type=named_bundle, default=[("default", None)], metavar="NAME=DIR"
    )
    options = parser.parse_args()

    @cache
    def read(chosen: EvaluationSet, way: Way) -> Reading:
        with tempfile.TemporaryDirectory() as folder:
            return read_set(options.data, chosen, way, Path(folder), options.every)

    lines = []
    combinations = list(product(options.bundles, options.ways))
    for (name, bundle), (detector, reader) in tqdm(combinations, unit="way"):
        cells, right, plates, extra, pictures = [], 0, 0, 0, 0
        for chosen in options.sets:
            way = Way(bundle, "whole" if chosen.whole else detector, reader)
            reading = read(chosen, way)
            hits, total = sum(outcome.right for outcome in reading.known), len(reading.known)
            cells.append(share_cell(hits, total))
            right, plates = right + hits, plates + total
            if not chosen.whole:
                extra, pictures = extra + len(reading.extra), pictures + reading.images
        false = f"{extra / pictures:.2f}" if pictures else "–"
        together = share_cell(right, plates, with_interval=True)
        lines.append([name, detector, reader, *cells, together, false])
    names = [chosen.name for chosen in options.sets]
    print_table(
        ("bundle", "detector", "reader", *names, "together (95 %)", "others found a picture"), lines
    )


if __name__ == "__main__":
    main()
