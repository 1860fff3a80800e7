"""What a run came to, printed from its record and tables."""

from __future__ import annotations

from typing import Any

import fsspec
import pyarrow.parquet as pq

from pipelines.metrics import ALL
from pipelines.stages import ImageStatus

METRICS = (
    "plate_exact_match",
    "plate_exact_match_folded",
    "character_error_rate",
    "detection_recall_iou_50",
    "detection_precision_iou_50",
    "funnel_detected",
    "funnel_segmented",
    "funnel_read",
)


def print_summary(record: dict[str, Any], output: str, seconds: float) -> None:
    """Print what became of the inputs, how right the reads are, and where the tables lie."""
    counts = record["counts"]
    outcomes = ", ".join(f"{counts[status.value]} {status.value}" for status in ImageStatus)
    print(f"{counts['inputs']} pictures: {outcomes}")
    if counts["ignored_files"]:
        print(f"{counts['ignored_files']} other files ignored")
    for kind, number in counts["failures"].items():
        print(f"  failed {kind}: {number}")
    print(f"{counts['plates_found']} plates found, {counts['plates_read']} read")
    if counts["truths"]:
        found = {
            row["metric"]: row for row in _rows(record, output, "metrics") if row["slice"] == ALL
        }
        for metric in METRICS:
            if metric in found and found[metric]["value"] is not None:
                print(f"  {_figure(found[metric])}")
    print(f"{seconds:.1f} s, {counts['inputs'] / seconds:.1f} pictures/s")
    print(f"tables in {output}, run {record['run_id']}, {record['state']}")


def _figure(row: dict[str, Any]) -> str:
    text = f"{row['metric']:<28} {100 * row['value']:5.1f} %"
    text += f"  ({row['numerator']:.0f} of {row['denominator']:.0f}"
    if row["low"] is not None:
        text += f"; 95 % {100 * row['low']:.1f} to {100 * row['high']:.1f}"
    return text + ")"


def print_reads(record: dict[str, Any], output: str, limit: int) -> None:
    """Print the first pictures' reads beside the truth, as a table."""
    reads: dict[str, list[str]] = {}
    for row in _rows(record, output, "plates"):
        text = row["text"] or f"({row['status']})"
        reads.setdefault(row["uri"], []).append(f"{text} {100 * row['confidence']:.0f} %")
    truths: dict[str, list[str]] = {}
    for row in _rows(record, output, "truths"):
        truths.setdefault(row["uri"], []).append(row["text"])
    images = sorted(_rows(record, output, "images"), key=lambda row: str(row["uri"]))[:limit]
    lines = [("picture", "read", "truth")]
    for row in images:
        failure = f"({row['status']}: {row['stage']}/{row['reason']})" if row["stage"] else ""
        read = ", ".join(reads.get(row["uri"], [])) or failure or f"({row['status']})"
        name = row["uri"].partition("::")[0].rpartition("/")[2]
        lines.append((name, read, ", ".join(truths.get(row["uri"], []))))
    widths = [max(len(line[column]) for line in lines) for column in range(3)]
    for line in lines:
        print(
            "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        )
    if record["counts"]["inputs"] > limit:
        print(f"and {record['counts']['inputs'] - limit} more")


def _rows(record: dict[str, Any], output: str, table: str) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    for entry in record["files"]:
        if entry["table"] == table:
            with fsspec.open(f"{output}/{entry['path']}", "rb") as file:
                rows += pq.read_table(file).to_pylist()
    return rows
