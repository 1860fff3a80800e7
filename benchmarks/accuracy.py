"""The whole job on real pictures: exact match, the funnel behind it, and a page of its misses.

python benchmarks/accuracy.py DATA_DIR --output DIR [--bundle DIR]
"""

import argparse
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from lpr_core.decode import decode
from lpr_core.geometry import Box
from pipelines import read_plates
from pipelines.run_record import read_table


@dataclass(frozen=True)
class EvaluationSet:
    """A folder of pictures with truth; `openalpr` is OpenALPR 2.3's exact match on the same."""

    folder: str
    detector: str
    metrics_slice: str
    openalpr: str


SETS = (
    EvaluationSet("scenes/us", "contour", "all", "50.5 %"),
    EvaluationSet("scenes/eu", "contour", "all", "80.0 %"),
    EvaluationSet("scenes/br", "contour", "all", "41.1 %"),
    EvaluationSet("crops_us", "whole", "use=evaluate", "–"),
)
COLUMNS = (
    "plate_exact_match",
    "plate_exact_match_folded",
    "funnel_detected",
    "funnel_segmented",
    "funnel_read",
)
TILE = (320, 200)


def read_set(data: Path, chosen: EvaluationSet, output: Path, bundle: Path | None) -> Any:
    """Run the job on a set; the rows of its tables, by name."""
    folder, target = data / chosen.folder, output / chosen.folder.replace("/", "-")
    arguments = [str(folder), "--truth", str(folder / "truth.csv"), "--output", str(target)]
    arguments += ["--detector", chosen.detector, "--workers", "1"]
    arguments += ["--bundle", str(bundle)] if bundle else []
    record = read_plates.run(arguments)
    assert record is not None
    names = ("images", "plates", "truths", "metrics")
    return {name: read_table(record, str(target), name).to_pylist() for name in names}


def table_row(chosen: EvaluationSet, metrics: list[dict[str, Any]]) -> str:
    """The set's line of the Markdown table."""
    figures = {row["metric"]: row for row in metrics if row["slice"] == chosen.metrics_slice}
    exact = figures["plate_exact_match"]
    cells = [chosen.folder, f"{exact['denominator']:.0f}"]
    for name in COLUMNS:
        row = figures[name]
        interval = f" ({100 * row['low']:.1f}–{100 * row['high']:.1f})" if row is exact else ""
        cells.append(f"{row['numerator']:.0f} = {100 * row['value']:.1f} %{interval}")
    cells.append(f"{100 * figures['character_error_rate']['value']:.1f} %")
    cells.append(f"{figures['false_plates_per_picture']['value']:.2f}")
    return "| " + " | ".join([*cells, chosen.openalpr]) + " |"


def misses_page(
    chosen: EvaluationSet, tables: dict[str, list[dict[str, Any]]], page: Path, most: int = 40
) -> None:
    """Draw the plates read wrong: the surroundings, the quad, truth and read."""
    reads = {row["read_id"]: row for row in tables["plates"]}
    label = tuple(chosen.metrics_slice.split("="))
    counted = {
        row["uri"]
        for row in tables["images"]
        if chosen.metrics_slice == "all" or label in row["labels"]
    }
    tiles = [
        _tile(truth, reads.get(truth["read_id"]))
        for truth in tables["truths"]
        if truth["uri"] in counted and truth["text"] and truth["furthest_stage"] != "read"
    ][:most]
    if not tiles:
        return
    across = 5
    tiles += [np.zeros_like(tiles[0])] * (-len(tiles) % across)
    rows = [np.hstack(tiles[i : i + across]) for i in range(0, len(tiles), across)]
    cv2.imwrite(str(page), np.vstack(rows))


def _tile(truth: dict[str, Any], read: dict[str, Any] | None) -> Any:
    pixels = decode(Path(truth["uri"]).read_bytes()).pixels
    picture = cv2.cvtColor(pixels, cv2.COLOR_GRAY2BGR)
    box = Box(**truth["box"]) if truth["box"] else Box(0, 0, *pixels.shape[::-1])
    width, height = TILE[0], TILE[1] - 24
    scale = min(width / (1.8 * box.width), height / (2.2 * box.height))
    centre = np.array([box.x + box.width / 2, box.y + box.height / 2])
    matrix = np.hstack([scale * np.eye(2), ([[width / 2], [height / 2]] - scale * centre[:, None])])
    view = cv2.warpAffine(picture, matrix, (width, height), flags=cv2.INTER_AREA)
    if read:
        quad = np.array([[corner["x"], corner["y"]] for corner in read["corners"]])
        points = np.rint((quad @ matrix[:, :2].T + matrix[:, 2]) * 16).astype(np.int32)
        cv2.polylines(view, [points], True, (0, 200, 255), 1, cv2.LINE_AA, 4)
    caption = np.zeros((TILE[1] - height, width, 3), np.uint8)
    said = f"{read['text'] or 'unreadable'}  {read['confidence']:.2f}" if read else "not detected"
    text = f"{truth['text']} : {said}"
    cv2.putText(caption, text, (4, 17), cv2.FONT_HERSHEY_SIMPLEX, 0.5, (255, 255, 255), 1)
    return np.vstack([view, caption])


def main() -> None:
    """Print the table; leave the tables and pages under --output."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path, help="the folder with scenes/ and crops_us/")
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--bundle", type=Path, help="a bundle's folder (default: the package's)")
    options = parser.parse_args()
    head = "set|plates|exact match (95 %)|O/0, I/1 folded|detected|segmented|read right|CER"
    head += "|false plates a picture|OpenALPR 2.3"
    lines = [f"|{head}|", "|" + "---|" * (head.count("|") + 1)]
    for chosen in SETS:
        tables = read_set(options.data, chosen, options.output, options.bundle)
        lines.append(table_row(chosen, tables["metrics"]))
        page = options.output / f"misses-{chosen.folder.replace('/', '-')}.png"
        misses_page(chosen, tables, page)
    print("\n".join(lines))


if __name__ == "__main__":
    main()
