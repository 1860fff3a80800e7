"""What a run came to, printed from its record and tables."""

from __future__ import annotations

import argparse
import csv
import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TextIO

import pyarrow.compute as pc
from tabulate import tabulate

from pipelines.metrics import ALL, MAX_LABEL_VALUES
from pipelines.pictures import ImageStatus
from pipelines.pseudonyms import restricted_folder
from pipelines.run_record import read_table
from pipelines.uris import name_of

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

FORMATS = ("table", "markdown", "csv", "json")
"""How `print_rows` prints."""


def add_figure_arguments(parser: argparse.ArgumentParser) -> None:
    """Give a command that prints figures by slice `--by` and `--format`."""
    parser.add_argument(
        "--by",
        action="append",
        default=[],
        metavar="LABEL",
        help="only the slices of this label, and all pictures; may be repeated (default: every "
        "label)",
    )
    parser.add_argument(
        "--format", choices=FORMATS, default=FORMATS[0], help="(default: %(default)s)"
    )


def is_shown(name: str, labels: Sequence[str]) -> bool:
    """Whether `--by` with these labels asks for a slice."""
    return not labels or name == ALL or name.startswith(tuple(f"{label}=" for label in labels))


def print_summary(record: dict[str, Any], output: str, seconds: float) -> None:
    """Print what became of the inputs, how right the reads are, and where the tables lie."""
    counts = record["counts"]
    outcomes = ", ".join(f"{counts[status.value]} {status.value}" for status in ImageStatus)
    if counts["unchanged"] == counts["inputs"]:
        print(
            f"{counts['inputs']} pictures: nothing has changed since they were read, no row written"
        )
    else:
        again = f"{counts['unchanged']} unchanged, " if counts["unchanged"] else ""
        print(f"{counts['inputs']} pictures: {again}{outcomes}")
    if counts["ignored_files"]:
        print(f"{counts['ignored_files']} other files ignored")
    if counts["truth_rows_unmatched"]:
        print(f"{counts['truth_rows_unmatched']} truth rows match no input")
    print_not_sliced(record["labels_not_sliced"])
    for kind, number in counts["failures"].items():
        print(f"  failed {kind}: {number}")
    print(f"{counts['plates_found']} plates found, {counts['plates_read']} read")
    if counts["truths"]:
        rows = read_table(record, output, "metrics", rows=pc.field("slice") == ALL)
        print_figures(rows.to_pylist())
    looked_at = counts["inputs"] - counts["unchanged"]
    print(f"{seconds:.1f} s, {looked_at / seconds:.1f} pictures/s")
    print(f"tables in {output}, run {record['run_id']}, {record['state']}")
    if record["pseudonyms"] is not None:
        key_id = record["pseudonyms"]["key_id"]
        print(f"pseudonyms of the key {key_id}, what they stand for in {restricted_folder(output)}")


def print_not_sliced(labels: Sequence[str], file: TextIO | None = None) -> None:
    """Say by which labels there are no figures, and why."""
    if labels:
        listed = ", ".join(labels)
        print(f"no metrics by {listed}: more than {MAX_LABEL_VALUES} values", file=file)


def print_figures(rows: Iterable[Mapping[str, Any]]) -> None:
    """Print a slice's METRICS with their intervals, from its rows of `metrics`."""
    found = {row["metric"]: row for row in rows}
    for metric in METRICS:
        if metric in found and found[metric]["value"] is not None:
            print(f"  {_figure(found[metric])}")


def _figure(row: Mapping[str, Any]) -> str:
    text = f"{row['metric']:<28} {100 * row['value']:5.1f} %"
    text += f"  ({row['numerator']:.0f} of {row['denominator']:.0f}"
    if row["low"] is not None:
        text += f"; 95 % {100 * row['low']:.1f} to {100 * row['high']:.1f}"
    return text + ")"


def print_reads(record: dict[str, Any], output: str, limit: int) -> None:
    """Print the first pictures' reads beside the truth, as a table."""
    columns = ["uri", "status", "stage", "reason"]
    images = read_table(record, output, "images", columns).sort_by("uri").slice(0, limit)
    shown = pc.field("uri").isin(images["uri"].combine_chunks())
    reads: dict[str, list[str]] = {}
    columns = ["uri", "status", "text", "confidence"]
    for row in read_table(record, output, "plates", columns, shown).to_pylist():
        text = row["text"] or f"({row['status']})"
        reads.setdefault(row["uri"], []).append(f"{text} {100 * row['confidence']:.0f} %")
    truths: dict[str, list[str]] = {}
    for row in read_table(record, output, "truths", ["uri", "text"], shown).to_pylist():
        truths.setdefault(row["uri"], []).append(row["text"])
    lines = [("picture", "read", "truth")]
    for row in images.to_pylist():
        failure = f"({row['status']}: {row['stage']}/{row['reason']})" if row["stage"] else ""
        read = ", ".join(reads.get(row["uri"], [])) or failure or f"({row['status']})"
        name = name_of(row["uri"])
        lines.append((name, read, ", ".join(truths.get(row["uri"], []))))
    print_aligned(lines)
    if record["counts"]["inputs"] > limit:
        print(f"and {record['counts']['inputs'] - limit} more")


def print_rows(rows: Sequence[Mapping[str, Any]], columns: Sequence[str], style: str) -> None:
    """Print rows in one of FORMATS; columns of texts come first.

    In `table` and `markdown` numbers have four digits and stand flush right.
    """
    if style == "json":
        print(json.dumps(rows, indent=1))
    elif style == "csv":
        writer = csv.DictWriter(sys.stdout, columns, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    else:
        numbers = {name for row in rows for name in columns if isinstance(row[name], (int, float))}
        names = len(columns) - len(numbers)
        cells = [[_cell(row[column]) for column in columns] for row in rows]
        if style == "table":
            print_aligned([columns, *cells], names)
        else:
            cells = [[cell.replace("|", "\\|") for cell in row] for row in cells]
            sides = ["left"] * names + ["right"] * (len(columns) - names)
            print(tabulate(cells, columns, "github", disable_numparse=True, colalign=sides))


def _cell(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.4g}"
    return "" if value is None else str(value)


def print_aligned(rows: Sequence[Sequence[str]], names: int | None = None) -> None:
    """Print rows in columns, the first `names` flush left (None: all), the others flush right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        cells = list(zip(row, widths, strict=True))
        shown = [cell.ljust(width) for cell, width in cells[:names]]
        if names is not None:
            shown += [cell.rjust(width) for cell, width in cells[names:]]
        print("  ".join(shown).rstrip())
