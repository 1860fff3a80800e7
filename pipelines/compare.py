"""`platebeam compare`: which reads differ between two archives, or two runs of one.

A picture is compared where both sides have read the same bytes under the same URI. Its plates are
paired as the plates of a truth are (`lpr_core.score.match_plates`). Where a truth is known, the two
sides' right and wrong reads of the same plates are tested by McNemar's test (1947).
"""

from __future__ import annotations

import argparse
import heapq
import json
import sys
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from enum import Enum
from itertools import groupby
from operator import itemgetter

from lpr_core.plate_reader import PlateRead
from lpr_core.score import PlateTruth, match_plates, mcnemar_test
from pipelines.archive import Archive, ArchiveError, open_archive, told_of
from pipelines.inputs import ImageRef, TruthFiles, merge
from pipelines.manifests import InputError
from pipelines.metrics import AddSlices, Counts, Slices, judge, merge_labels, slices_of
from pipelines.option_types import whole_number
from pipelines.pictures import PictureResult
from pipelines.provenance import refuse_pseudonyms
from pipelines.pseudonyms import is_public
from pipelines.stored_pictures import StoredPicture, part_count, stored_pictures, with_truth
from pipelines.summary import (
    add_figure_arguments,
    is_shown,
    print_not_sliced,
    print_rows,
)
from pipelines.tables import Row
from pipelines.uris import add_storage_options, use_storage_options

LISTED = 20
"""Changes that are listed where nobody said how many."""


class PictureMatch(str, Enum):
    """How a picture of one side stands to the other."""

    COMPARED = "compared"
    ONLY_A = "only in A"
    ONLY_B = "only in B"
    OTHER_CONTENT = "changed content"
    UNLOADED = "content unknown"


class PlateChange(str, Enum):
    """What became of a plate from A to B."""

    SAME_TEXT = "same text"
    UNREADABLE = "unreadable in both"
    OTHER_TEXT = "other text"
    LOST = "read, then unreadable"
    GAINED = "unreadable, then read"
    ONLY_A = "only in A"
    ONLY_B = "only in B"


SIDES = {
    (True, True): "both",
    (True, False): "only_a",
    (False, True): "only_b",
    (False, False): "neither",
}
"""Who is right, by whether A is and whether B is."""

UNCHANGED = {PlateChange.SAME_TEXT, PlateChange.UNREADABLE}


CHANGED_COLUMNS = ("change", "uri", "text_a", "text_b", "confidence_a", "confidence_b")
"""Of the rows that tell of changed plates; null where a side has not found or not read it."""


@dataclass
class Comparison:
    """What differs between A and B.

    Attributes:
        pictures: how many stand how.
        plates: of the pictures compared, how many changed how.
        confidence_change: by change, the sum of B's confidences less A's, where both found it.
        by_slice: of the truth's plates, how many by who is right, one of SIDES.
        not_sliced: labels that have too many values.
        changed: a row for each plate that changed, ordered by URI within each part of the archives.
    """

    pictures: Counter[PictureMatch] = field(default_factory=Counter)
    plates: Counter[PlateChange] = field(default_factory=Counter)
    confidence_change: defaultdict[PlateChange, float] = field(
        default_factory=lambda: defaultdict(float)
    )
    by_slice: dict[str, Counts] = field(default_factory=dict)
    not_sliced: list[str] = field(default_factory=list)
    changed: list[Row] = field(default_factory=list)


def compare(
    a: Archive, b: Archive, truths: TruthFiles | None = None, limit: int | None = None
) -> Comparison:
    """Compare the reads of two archives, those of the latest run of each picture.

    Args:
        a, b: the archives.
        truths: the plates known (default: what B's tables know of a picture; if that is nothing,
            what A's do, and their labels beside B's).
        limit: how many changed plates to list (default: all).

    Raises:
        ArchiveError: there are tables of pseudonyms, and truths or tables of other ones.
    """
    if truths is not None:
        refuse_pseudonyms(a)
        refuse_pseudonyms(b)
    keys = {
        record["pseudonyms"]["key_id"] if is_public(record) else None
        for record in (*a.records, *b.records)
    }
    if len(keys) > 1:
        raise ArchiveError(
            "one side has tokens in place of plates and URIs that the other has not: compare "
            "public folders of one key, or the restricted ones"
        )
    comparison, add = Comparison(), AddSlices()
    by_label = dict[str, Slices]()
    for before, after in _paired_pictures(a, b):
        match = _match(before, after)
        comparison.pictures[match] += 1
        if before is None or after is None or match is not PictureMatch.COMPARED:
            continue
        for was, now in _paired_plates(before.reads, after.reads):
            _add_plate(comparison, after.facts.ref.uri, was, now, limit)
        ref = _known_ref(before, after, truths)
        counts = _count_right(ref.truths or (), before.reads, after.reads)
        for label, name in slices_of(ref) if counts else ():
            by_label[label] = add.add_input(by_label.get(label, {}), (name, counts))
    comparison.by_slice, comparison.not_sliced = merge_labels(by_label)
    return comparison


def _paired_pictures(
    a: Archive, b: Archive
) -> Iterator[tuple[PictureResult | None, PictureResult | None]]:
    parts = part_count(a, b)
    for of_a, of_b in zip(stored_pictures(a, parts), stored_pictures(b, parts), strict=True):
        both = heapq.merge(_by_uri(of_a, 0), _by_uri(of_b, 1), key=itemgetter(0))
        for _, group in groupby(both, key=itemgetter(0)):
            sides = {side: result for _, side, result in group}
            yield sides.get(0), sides.get(1)


def _by_uri(
    pictures: Iterable[StoredPicture], side: int
) -> Iterator[tuple[str, int, PictureResult]]:
    return ((stored.result.facts.ref.uri, side, stored.result) for stored in pictures)


def _match(a: PictureResult | None, b: PictureResult | None) -> PictureMatch:
    if b is None:
        return PictureMatch.ONLY_A
    if a is None:
        return PictureMatch.ONLY_B
    if a.facts.sha256 is None or b.facts.sha256 is None:
        return PictureMatch.UNLOADED
    return PictureMatch.COMPARED if a.facts.sha256 == b.facts.sha256 else PictureMatch.OTHER_CONTENT


def _paired_plates(
    a: Sequence[PlateRead], b: Sequence[PlateRead]
) -> Iterator[tuple[PlateRead | None, PlateRead | None]]:
    matches = match_plates([read.detection.box for read in a], [read.detection.box for read in b])
    for match in matches:
        yield a[match.truth], None if match.read is None else b[match.read]
    taken = {match.read for match in matches}
    yield from ((None, read) for index, read in enumerate(b) if index not in taken)


def _change(a: PlateRead | None, b: PlateRead | None) -> PlateChange:
    if b is None:
        return PlateChange.ONLY_A
    if a is None:
        return PlateChange.ONLY_B
    if a.text == b.text:
        return PlateChange.UNREADABLE if a.text is None else PlateChange.SAME_TEXT
    if a.text is None:
        return PlateChange.GAINED
    return PlateChange.LOST if b.text is None else PlateChange.OTHER_TEXT


def _add_plate(
    comparison: Comparison,
    uri: str,
    a: PlateRead | None,
    b: PlateRead | None,
    limit: int | None,
) -> None:
    change = _change(a, b)
    comparison.plates[change] += 1
    if a is not None and b is not None:
        comparison.confidence_change[change] += b.confidence - a.confidence
    if change not in UNCHANGED and (limit is None or len(comparison.changed) < limit):
        cells = (
            *(change.value, uri, *(read and read.text for read in (a, b))),
            *(read and read.confidence for read in (a, b)),
        )
        comparison.changed.append(dict(zip(CHANGED_COLUMNS, cells, strict=True)))


def _known_ref(a: PictureResult, b: PictureResult, truths: TruthFiles | None) -> ImageRef:
    if truths is not None:
        return with_truth(b, truths).facts.ref
    ref = b.facts.ref
    return ref if ref.truths else merge(ref, a.facts.ref)


def _count_right(
    truths: Sequence[PlateTruth], a: Sequence[PlateRead], b: Sequence[PlateRead]
) -> Counts:
    """How often which side is right, of the plates whose text is known."""
    return Counter(
        (SIDES[of_a.edits == 0, of_b.edits == 0],)
        for of_a, of_b in zip(judge(truths, a), judge(truths, b), strict=True)
        if of_a.edits is not None
    )


def change_rows(comparison: Comparison) -> list[Row]:
    """A row for each change: how many plates, and by how much their confidence changed."""
    return [
        {
            "change": change.value,
            "plates": plates,
            "mean_confidence_change": comparison.confidence_change[change] / plates
            if change in comparison.confidence_change
            else None,
        }
        for change in PlateChange
        if (plates := comparison.plates[change])
    ]


def slice_rows(comparison: Comparison) -> list[Row]:
    """A row for each slice: on how many plates of the truth A and B are right, and the test."""
    rows = []
    for name, counts in comparison.by_slice.items():
        right = {side: counts[side,] for side in SIDES.values()}
        plates, lead = sum(right.values()), right["only_b"] - right["only_a"]
        rows.append(
            {
                "slice": name,
                "plates": plates,
                **right,
                "exact_match_a": (right["both"] + right["only_a"]) / plates,
                "exact_match_b": (right["both"] + right["only_b"]) / plates,
                "difference": lead / plates,
                "p_value": mcnemar_test(right["only_a"], right["only_b"]),
            }
        )
    return rows


def main(argv: Sequence[str] | None = None) -> int:
    """Run `platebeam compare`.

    Returns:
        0, whatever differs; 1: a table could not be read; 2: options that cannot work.
    """
    parser = argparse.ArgumentParser(
        prog="platebeam compare",
        description="Which reads differ between two outputs of `read`, or two runs of one, and "
        "whether either is right more often. Of a picture that several runs have read, the latest "
        "counts.",
    )
    parser.add_argument("a", metavar="OUTPUT_A", help="a folder that `read` wrote to")
    parser.add_argument("b", metavar="OUTPUT_B", nargs="?", help="another (default: the same)")
    for side in "ab":
        parser.add_argument(
            f"--run-{side}",
            action="append",
            default=[],
            metavar="RUN_ID",
            help=f"only this run of OUTPUT_{side.upper()}; may be repeated (default: all)",
        )
    parser.add_argument(
        "--truth",
        action="append",
        metavar="CSV",
        help="known plates, as `evaluate` takes them (default: what the tables know)",
    )
    parser.add_argument(
        "--limit",
        type=whole_number(0),
        metavar="N",
        help=f"how many changed plates to list (default: {LISTED}; all as csv or json)",
    )
    add_figure_arguments(parser)
    add_storage_options(parser)
    arguments = parser.parse_args(argv)
    use_storage_options(arguments.storage_options)
    style, limit = arguments.format, arguments.limit
    if limit is None and style in ("table", "markdown"):
        limit = LISTED
    try:
        a, b = _archives(arguments)
        truths = TruthFiles(arguments.truth) if arguments.truth else None
        comparison = compare(a, b, truths, limit)
    except (ArchiveError, InputError) as error:
        print(f"platebeam compare: {error}", file=sys.stderr)
        return 2
    except Exception as error:  # a store's driver raises what it likes
        print(f"platebeam compare: {told_of(error)}", file=sys.stderr)
        return 1
    print_comparison(comparison, arguments.by, style)
    return 0


def _archives(arguments: argparse.Namespace) -> tuple[Archive, Archive]:
    if arguments.b is None and arguments.run_a == arguments.run_b:
        raise ArchiveError("nothing to compare: give OUTPUT_B, or another --run-b than --run-a")
    a = open_archive(arguments.a, arguments.run_a)
    return a, open_archive(arguments.b or arguments.a, arguments.run_b)


def print_comparison(comparison: Comparison, labels: Sequence[str], style: str) -> None:
    """Print all of it, as one object in `json`; in `csv` the changed plates alone."""
    plates, changed = change_rows(comparison), comparison.changed
    truths = [row for row in slice_rows(comparison) if is_shown(row["slice"], labels)]
    pictures = {match.value: comparison.pictures[match] for match in PictureMatch}
    if style == "json":
        report = {"pictures": pictures, "plates": plates, "truths": truths, "changed": changed}
        print(json.dumps(report, indent=1))
        return
    if style == "csv":
        print_rows(changed, CHANGED_COLUMNS, style)
        return
    print(f"{pictures.pop(PictureMatch.COMPARED.value)} pictures compared")
    for name, number in pictures.items():
        if number:
            print(f"  {name}: {number}")
    print_not_sliced(comparison.not_sliced)
    for rows in (plates, truths, changed):
        if rows:
            print()
            print_rows(rows, list(rows[0]), style)
    more = sum(comparison.plates.values()) - len(changed)
    more -= sum(comparison.plates[change] for change in UNCHANGED)
    if more:
        print(f"and {more} more")


if __name__ == "__main__":
    sys.exit(main())
