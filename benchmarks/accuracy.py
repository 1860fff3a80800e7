"""The whole job on real pictures: exact match, detection, false plates.

python benchmarks/accuracy.py DATA --output OUT [--bundle DIR] [--scorer SCORE_READS_PY]

No country is named and no truth box used. Leaves the tables of each set under OUT, where
calibration.py and pages.py find them. With --scorer, that script counts too, from the reads as CSV
and with --strict, and must find the same.
"""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

from evaluation_sets import (
    BOXES,
    CROPS,
    NEGATIVES,
    SCENES,
    Reading,
    Row,
    add_way,
    chosen_way,
    make_parser,
    print_table,
    read_set,
    share_cell,
)
from tqdm import tqdm

PEERS = {
    "scenes/us": ("56", "87", "102"),
    "scenes/eu": ("40", "44", "49"),
    "scenes/br": ("23", "54", "56"),
    "crops_us": ("–", "–", "94 %"),
    "crops_ny": ("–", "–", "90 %"),
    "crops_vn": ("–", "–", "80 %"),
    "boxes_in": ("–", "–", "95 % detected"),
    "negatives": ("–", "–", "at most 0.02 false"),
}
"""OpenALPR 2.3, told the country; RapidOCR 3.10, its line picked by the truth box; and the aim."""

HEAD = (
    *("set", "pictures", "plates", "exact match (95 % Wilson)", "O/0, I/1 folded"),
    *("detected, IoU 0.5 (95 % Wilson)", "right length", "CER", "false plates, read", "a picture"),
    *("OpenALPR 2.3", "RapidOCR 3.10", "aim"),
)


def cells(name: str, reading: Reading) -> list[str]:
    """The set's line of the table."""
    metrics = reading.metrics
    error = metrics.get("character_error_rate")
    false = len(reading.extra)
    return [
        name,
        str(reading.images),
        str(len(reading.outcomes)),
        metric_cell(metrics.get("plate_exact_match"), with_interval=True),
        metric_cell(metrics.get("plate_exact_match_folded")),
        metric_cell(metrics.get("detection_recall_iou_50"), with_interval=True),
        metric_cell(metrics.get("funnel_segmented")),
        f"{100 * error['value']:.1f} %" if error else "–",
        f"{false}, {sum(row['text'] is not None for row in reading.extra)}",
        f"{false / reading.images:.3f}",
        *PEERS.get(name, ("–",) * 3),
    ]


def metric_cell(metric: Row | None, with_interval: bool = False) -> str:
    """A share of the job's metrics."""
    if metric is None:
        return "–"
    return share_cell(metric["numerator"], metric["denominator"], with_interval)


def check_against(scorer: Path, name: str, reading: Reading, folder: Path) -> None:
    """Let the independent scorer count the set.

    Raises:
        SystemExit: it finds something else.
    """
    with (folder / "reads.csv").open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file)
        table.writerow(["image", "text", "confidence", "x", "y", "w", "h"])
        for read in reading.reads:
            box = [read["box"][side] for side in ("x", "y", "width", "height")]
            table.writerow([Path(read["uri"]).name, read["text"], read["confidence"], *box])
    command = [sys.executable, scorer, folder / "reads.csv", folder, "--strict"]
    command += ["--json", folder / "score.json"]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    theirs = json.loads((folder / "score.json").read_text())
    hits = {metric: row["numerator"] for metric, row in reading.metrics.items()}
    pairs = {
        "exact match": (hits.get("plate_exact_match", 0), theirs["exact_count"]),
        "detected": (
            hits.get("detection_recall_iou_50", 0),
            round(theirs["recall_50"] * theirs["plates"]),
        ),
        "false plates": (len(reading.extra), round(theirs["fp_image"] * theirs["images"])),
    }
    for figure, (own, other) in pairs.items():
        if own != other:
            raise SystemExit(f"{name}, {figure}: {own:g} here, {other} by {scorer.name}")


def main() -> None:
    """Read the sets and print the table."""
    parser = make_parser(__doc__, (*SCENES, *CROPS, BOXES, NEGATIVES))
    add_way(parser)
    parser.add_argument("--output", type=Path, required=True, metavar="OUT")
    parser.add_argument("--scorer", type=Path, help="score_reads.py, to count a second time")
    parser.add_argument(
        "--held-out",
        nargs="+",
        default=NEGATIVES.only,
        metavar="PATTERN",
        help=f"of the negatives' paths, kept from training (default: {' '.join(NEGATIVES.only)})",
    )
    options = parser.parse_args()
    lines = []
    for chosen in tqdm(options.sets, unit="set"):
        if chosen == NEGATIVES:
            chosen = replace(chosen, only=tuple(options.held_out))
        folder = options.output / chosen.name
        reading = read_set(options.data, chosen, chosen_way(options), folder, options.every)
        if options.scorer:
            check_against(options.scorer, chosen.name, reading, folder)
        lines.append(cells(chosen.name, reading))
    print_table(HEAD, lines)
    if options.scorer:
        print(f"\n{options.scorer.name} --strict finds the same matches, detections, false plates.")


if __name__ == "__main__":
    main()
