"""`platebeam evaluate`: how right an archive's reads are, by a truth that came later.

The figures are the job's own (`pipelines.metrics`), of the reads as the tables hold them. No
picture is opened, and nothing of the archive is changed.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pipelines.archive import (
    Archive,
    ArchiveError,
    add_archive_arguments,
    archive_of,
    parse_arguments,
    path_beside,
    told_of,
)
from pipelines.inputs import ImageRef, TruthFiles
from pipelines.manifests import InputError
from pipelines.metrics import (
    ALL,
    AddSlices,
    Counts,
    Slices,
    count_slices,
    merge_labels,
)
from pipelines.provenance import refuse_pseudonyms
from pipelines.stored_pictures import part_count, stored_pictures, with_truth
from pipelines.summary import (
    add_figure_arguments,
    is_shown,
    print_aligned,
    print_figures,
    print_not_sliced,
    print_rows,
)
from pipelines.tables import (
    Row,
    Run,
    TableFile,
    confusion_rows,
    metric_rows,
    truth_rows,
    write_table,
)

SEVERAL_RUNS = "several"
"""Stands as the `run_id` of figures over pictures that different runs have read."""

FIGURES = ("slice", "metric", "numerator", "denominator", "value", "low", "high")

SLICE_METRICS = (
    "plate_exact_match",
    "character_error_rate",
    "detection_recall_iou_50",
    "detection_precision_iou_50",
)
"""The columns of the table of slices."""


@dataclass(frozen=True)
class Evaluation:
    """How right the reads of an archive are.

    Attributes:
        run_id: of the run that read the pictures, or SEVERAL_RUNS.
        pictures: how many have a known truth.
        unmatched: how many rows of the truth are about no picture of the archive.
        by_slice: what was counted.
        not_sliced: labels that have too many values.
    """

    run_id: str
    pictures: int
    unmatched: int
    by_slice: Mapping[str, Counts]
    not_sliced: Sequence[str]


def evaluate(archive: Archive, truths: TruthFiles, folder: str | None = None) -> Evaluation:
    """Judge the pictures that the truth knows, each as the latest run left it.

    Args:
        archive: where the reads are.
        truths: the plates known; what the archive's own tables know of plates does not count.
        folder: where to keep `truths.parquet`, `metrics.parquet` and `confusions.parquet`.

    Raises:
        ArchiveError: the truth is about no picture of the archive, or its tables hold pseudonyms.
    """
    refuse_pseudonyms(archive)
    add, by_label = AddSlices(), dict[str, Slices]()
    keys, runs, pictures = set[str](), set[str](), 0
    to = None if folder is None else Run("", folder, "", "")
    kept: TableFile | None = None

    def is_known(uri: str) -> bool:
        key = truths.key(ImageRef(uri))
        if key is not None:
            keys.add(key)
        return key is not None

    for part in stored_pictures(archive, part_count(archive), is_known):
        for run, result, read_ids in part:
            runs.add(run.run_id)
            pictures += 1
            judged = with_truth(result, truths)
            for label, counts in count_slices(judged):
                by_label[label] = add.add_input(by_label.get(label, {}), counts)
            if to is not None:
                kept = kept or TableFile("truths", to, "truths.parquet")
                kept.write(truth_rows(run, judged, read_ids))
    if not pictures:
        raise ArchiveError(f"no row of the truth is about a picture of {archive.output}")
    run_id = runs.pop() if len(runs) == 1 else SEVERAL_RUNS
    unmatched = len(truths) - sum(map(truths.rows, keys))
    evaluation = Evaluation(run_id, pictures, unmatched, *merge_labels(by_label))
    if kept is not None and to is not None:
        kept.close()
        write_table("metrics", metric_rows(run_id, evaluation.by_slice), to, "metrics.parquet")
        confused = confusion_rows(run_id, evaluation.by_slice)
        write_table("confusions", confused, to, "confusions.parquet")
    return evaluation


def main(argv: Sequence[str] | None = None) -> int:
    """Run `platebeam evaluate`.

    Returns:
        0; 1: a table could not be read or written; 2: options that cannot work.
    """
    parser = argparse.ArgumentParser(
        prog="platebeam evaluate",
        description="Metrics of reads that are in tables already, by a truth that came later. Of a "
        "picture that several runs have read, the latest counts.",
    )
    add_archive_arguments(parser)
    parser.add_argument(
        "--truth",
        action="append",
        required=True,
        metavar="CSV",
        help="known plates: image, x, y, w, h, text and any labels; may be repeated",
    )
    add_figure_arguments(parser)
    parser.add_argument(
        "--output",
        dest="kept",
        metavar="FOLDER",
        help="keep truths.parquet, metrics.parquet and confusions.parquet there, with the columns "
        "of the job's tables",
    )
    arguments = parse_arguments(parser, argv)
    try:
        archive = archive_of(arguments)
        folder = arguments.kept and path_beside(archive, arguments.kept)
        evaluation = evaluate(archive, TruthFiles(arguments.truth), folder)
    except (ArchiveError, InputError) as error:
        print(f"platebeam evaluate: {error}", file=sys.stderr)
        return 2
    except Exception as error:  # a store's driver raises what it likes
        print(f"platebeam evaluate: {told_of(error)}", file=sys.stderr)
        return 1
    print_evaluation(evaluation, arguments.by, arguments.format)
    return 0


def print_evaluation(evaluation: Evaluation, labels: Sequence[str], style: str) -> None:
    """Print the figures: of all pictures and by slice in `table`, else as rows of `metrics`.

    What else is to be said goes to stderr, except beside a table.
    """
    notes = sys.stdout if style == "table" else sys.stderr
    print(f"{evaluation.pictures} pictures with a known truth", file=notes)
    if evaluation.unmatched:
        print(f"{evaluation.unmatched} truth rows match no picture", file=notes)
    print_not_sliced(evaluation.not_sliced, notes)
    shown = {name: counts for name, counts in evaluation.by_slice.items() if is_shown(name, labels)}
    rows = [{name: row[name] for name in FIGURES} for row in metric_rows("", shown)]
    if style != "table":
        print_rows(rows, FIGURES, style)
        return
    print_figures(row for row in rows if row["slice"] == ALL)
    if len(shown) > 1:
        print()
        lines = [[name, *_cells(rows, name)] for name in shown]
        print_aligned([("slice", *SLICE_METRICS), *lines], names=1)


def _cells(rows: Sequence[Row], name: str) -> list[str]:
    found = {row["metric"]: row for row in rows if row["slice"] == name}
    return [_percent(found[metric]) if metric in found else "" for metric in SLICE_METRICS]


def _percent(row: Row) -> str:
    if row["value"] is None:
        return ""
    text = f"{100 * row['value']:.1f} % of {row['denominator']:.0f}"
    if row["low"] is None:
        return text
    return f"{text} ({100 * row['low']:.1f} to {100 * row['high']:.1f})"


if __name__ == "__main__":
    sys.exit(main())
