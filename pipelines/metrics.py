"""How right a job's reads are, as counts that can be added in any order.

Everything is a `Counts`: a counter of integers under tuple keys. One picture gives one; adding them
gives a slice's, a bundle's, a job's; `figures` makes the metrics of the sum. Integers, because
sums of floats would differ with the number of workers.

The rules are those of `lpr_core.score`. Besides: a truth without a box is paired with the surest
read that no boxed truth took; the pair counts for texts and is left out of the detection metrics on
both sides. A truth without a text counts for detection only. A picture that failed has read none of
its plates. Pictures about whose plates nothing is known count nowhere.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import TypeAlias

import apache_beam as beam

from lpr_core.plate_reader import PlateRead
from lpr_core.score import (
    PlateTruth,
    align_texts,
    edit_distance,
    match_plates,
    normalise_text,
    wilson_interval,
)
from pipelines.inputs import ImageRef
from pipelines.pictures import PictureResult

Counts: TypeAlias = Counter[tuple[str, ...]]

ALL = "all"
"""The slice of all pictures."""

MAX_LABEL_VALUES = 100
"""A label of more values, such as a serial number, makes no slices: they would fill the memory."""

DETECTION_IOUS = (0.5, 0.3)
CONFIDENCES = (0.5, 0.7, 0.9, 0.95, 0.99)
CALIBRATION_BINS = 10
CONFIDENCE_UNIT = 10**9
"""Confidences are added as whole billionths."""

NO_CHARACTER = ""
"""Stands in a confusion for the character that one side lacks."""


class FunnelStage(str, Enum):
    """How far a plate of the truth came, furthest last."""

    MISSED = "missed"
    DETECTED = "detected"
    SEGMENTED = "segmented"
    READ = "read"


@dataclass(frozen=True)
class TruthOutcome:
    """What became of a plate of the truth.

    Attributes:
        truth: the plate.
        read: the read paired with it, as an index into the picture's; None if none was.
        iou: overlap of the two boxes; None without a pair or a box.
        stage: the furthest stage it reached; SEGMENTED means as many characters as it has, READ the
            right text. Never beyond DETECTED if its text is not known.
        edits: edit distance from its text to the read's ("" where there is none); None if its text
            is not known.
    """

    truth: PlateTruth
    read: int | None
    iou: float | None
    stage: FunnelStage
    edits: int | None


def judge(truths: Sequence[PlateTruth], reads: Sequence[PlateRead]) -> list[TruthOutcome]:
    """Pair a picture's truths with its reads; one outcome a truth, in their order."""
    matches = match_plates([truth.box for truth in truths], [read.detection.box for read in reads])
    by_text = _pairs_by_text(truths, reads, {match.read for match in matches})
    outcomes = []
    for number, (truth, match) in enumerate(zip(truths, matches, strict=True)):
        index, iou = by_text.get(number, match.read), match.iou
        boxed = truth.box is not None and index is not None
        read = None if index is None else reads[index]
        outcomes.append(
            TruthOutcome(
                truth, index, iou if boxed else None, _furthest(truth, read), _edits(truth, read)
            )
        )
    return outcomes


def _pairs_by_text(
    truths: Sequence[PlateTruth], reads: Sequence[PlateRead], taken: Collection[int | None]
) -> dict[int, int]:
    """The reads of truths without a box: those not taken, of the nearest text, surest first.

    Whichever order the truths stand in, the same texts come out paired with the same reads.
    """
    candidates = sorted(
        (
            edit_distance(text, _text(reads[index])),
            reads[index].text is None,
            -reads[index].confidence,
            index,
            text,
            number,
        )
        for number, text in enumerate(normalise_text(truth.text) for truth in truths)
        for index in range(len(reads))
        if truths[number].box is None and index not in taken
    )
    pairs: dict[int, int] = {}
    for *_, index, _, number in candidates:
        if number not in pairs and index not in pairs.values():
            pairs[number] = index
    return pairs


def _text(read: PlateRead | None) -> str:
    return normalise_text(read.text or "") if read else ""


def _edits(truth: PlateTruth, read: PlateRead | None) -> int | None:
    text = normalise_text(truth.text)
    return edit_distance(text, _text(read)) if text else None


def _furthest(truth: PlateTruth, read: PlateRead | None) -> FunnelStage:
    text = normalise_text(truth.text)
    if read is None:
        return FunnelStage.MISSED
    if text and _text(read) == text:
        return FunnelStage.READ
    same_length = text and len(read.text_raw) == len(text)
    return FunnelStage.SEGMENTED if same_length else FunnelStage.DETECTED


def count_picture(truths: Sequence[PlateTruth], reads: Sequence[PlateRead]) -> Counts:
    """A picture's counts; `truths` is empty if it is known to have no plate."""
    counts: Counts = Counter()
    outcomes = judge(truths, reads)
    _count_detection(counts, outcomes, len(reads))
    for outcome in outcomes:
        if normalise_text(outcome.truth.text):
            _count_text(counts, outcome, None if outcome.read is None else reads[outcome.read])
    return counts


def _share(counts: Counts, metric: str, hits: int, total: int = 1) -> None:
    counts["hits", metric] += hits
    counts["total", metric] += total


def _count_detection(counts: Counts, outcomes: Sequence[TruthOutcome], found: int) -> None:
    boxed = [outcome for outcome in outcomes if outcome.truth.box is not None]
    found -= sum(outcome.read is not None for outcome in outcomes if outcome.truth.box is None)
    for iou in DETECTION_IOUS:
        hits = sum(outcome.iou is not None and outcome.iou >= iou for outcome in boxed)
        at = f"iou_{round(100 * iou)}"
        _share(counts, f"detection_precision_{at}", hits, found)
        _share(counts, f"detection_recall_{at}", hits, len(boxed))
        _share(counts, f"detection_f1_{at}", 2 * hits, found + len(boxed))
    partners = sum(outcome.read is not None for outcome in boxed)
    _share(counts, "false_plates_per_picture", found - partners)


def _count_text(counts: Counts, outcome: TruthOutcome, read: PlateRead | None) -> None:
    truth, text = normalise_text(outcome.truth.text), _text(read)
    right = truth == text
    pairs = align_texts(truth, text)
    _share(counts, "plate_exact_match", right)
    _share(
        counts,
        "plate_exact_match_folded",
        normalise_text(truth, fold=True) == normalise_text(text, fold=True),
    )
    _share(counts, "character_error_rate", outcome.edits or 0, len(truth))
    _share(counts, "character_accuracy", sum(a == b for a, b in pairs), len(truth))
    reached = list(FunnelStage).index(outcome.stage)
    for place, stage in enumerate(FunnelStage):
        if place:
            _share(counts, f"funnel_{stage.value}", reached >= place)
    confidence = read.confidence if read and text else 0.0
    for least in CONFIDENCES:
        accepted = bool(text) and confidence >= least
        _share(counts, f"exact_match_confidence_{round(100 * least)}", right and accepted, accepted)
        _share(counts, f"accepted_confidence_{round(100 * least)}", accepted)
    if not text:
        return
    bin_ = str(min(int(confidence * CALIBRATION_BINS), CALIBRATION_BINS - 1))
    counts["calibration", bin_, "reads"] += 1
    counts["calibration", bin_, "right"] += right
    counts["calibration", bin_, "confidence"] += round(confidence * CONFIDENCE_UNIT)
    for expected, seen in pairs:
        counts["confusion", expected or NO_CHARACTER, seen or NO_CHARACTER] += 1


@dataclass(frozen=True)
class Figure:
    """A metric of a slice; value and interval are None where there is nothing to divide by.

    `low` and `high` are the 95 % Wilson interval, None too where the metric is no share of trials.
    """

    metric: str
    numerator: float
    denominator: float
    value: float | None
    low: float | None
    high: float | None


NOT_SHARES = ("character_error_rate", "false_plates_per_picture", "detection_f1_")


def figures(counts: Counts) -> list[Figure]:
    """The metrics of a slice's counts, in a fixed order."""
    rows = []
    for kind, metric, *_ in sorted(key for key in counts if key[0] == "total"):
        hits, total = counts["hits", metric], counts[kind, metric]
        is_share = total and not metric.startswith(NOT_SHARES)
        low, high = wilson_interval(hits, total) if is_share else (None, None)
        rows.append(Figure(metric, hits, total, hits / total if total else None, low, high))
    rows.append(_calibration_error(counts))
    return rows


def _calibration_error(counts: Counts) -> Figure:
    """Expected calibration error of the plates' confidences (Guo et al. 2017), ten equal bins."""
    gap = reads = 0
    for bin_ in map(str, range(CALIBRATION_BINS)):
        reads += counts["calibration", bin_, "reads"]
        right = counts["calibration", bin_, "right"] * CONFIDENCE_UNIT
        gap += abs(right - counts["calibration", bin_, "confidence"])
    numerator = gap / CONFIDENCE_UNIT
    value = numerator / reads if reads else None
    return Figure("expected_calibration_error", numerator, reads, value, None, None)


def confusions(counts: Counts) -> list[tuple[str | None, str | None, int]]:
    """(truth character, read character, count), None for the character that one side lacks."""
    return [
        (key[1] or None, key[2] or None, count)
        for key, count in sorted(counts.items())
        if key[0] == "confusion"
    ]


def count_slices(result: PictureResult) -> Iterator[tuple[str, tuple[str, Counts]]]:
    """A picture's counts as (label, (value, counts)), and under ALL; nothing if its plates are not
    known."""
    ref = result.facts.ref
    if ref.truths is None:
        return
    counts = count_picture(ref.truths, result.reads)
    for label, name in slices_of(ref):
        yield label, (name, counts)


def slices_of(ref: ImageRef) -> Iterator[tuple[str, str]]:
    """The slices that a picture belongs to, as (label, slice)."""
    yield ALL, ALL
    for name, value in ref.labels:
        yield f"{name}=", f"{name}={value}"


def count_outcome(result: PictureResult) -> Counts:
    """What a result adds to the run record's counts."""
    if result.unchanged:
        return Counter({("unchanged",): 1})
    counts: Counts = Counter({("images", result.status.value): 1})
    if result.failure is not None:
        counts["failures", f"{result.failure.stage.value}/{result.failure.reason.value}"] += 1
    counts["plates", "found"] += len(result.plates)
    counts["plates", "read"] += sum(read.text is not None for read in result.reads)
    counts["truths", "known"] += len(result.facts.ref.truths or ())
    return counts


class AddCounts(beam.CombineFn):
    """Adds counts; the one CombineFn behind every figure of a job."""

    def create_accumulator(self) -> Counts:
        """Nothing counted."""
        return Counter()

    def add_input(self, accumulator: Counts, element: Counts) -> Counts:
        """One picture more."""
        accumulator.update(element)
        return accumulator

    def merge_accumulators(self, accumulators: Iterable[Counts]) -> Counts:
        """Counts of several bundles as one."""
        merged: Counts = Counter()
        for accumulator in accumulators:
            merged.update(accumulator)
        return merged

    def extract_output(self, accumulator: Counts) -> Counts:
        """The counts as they are."""
        return accumulator


Slices: TypeAlias = "dict[str, Counts] | None"
"""Counts by slice; None once there are more than MAX_LABEL_VALUES."""


class AddSlices(beam.CombineFn):
    """Adds the counts of a label's slices, and gives up where it takes too many values."""

    def create_accumulator(self) -> Slices:
        """Nothing counted."""
        return {}

    def add_input(self, accumulator: Slices, element: tuple[str, Counts]) -> Slices:
        """One picture more."""
        return _added(accumulator, [element])

    def merge_accumulators(self, accumulators: Iterable[Slices]) -> Slices:
        """Slices of several bundles as one."""
        merged: Slices = {}
        for accumulator in accumulators:
            merged = None if accumulator is None else _added(merged, accumulator.items())
        return merged

    def extract_output(self, accumulator: Slices) -> Slices:
        """The slices as they are."""
        return accumulator


def merge_labels(by_label: Mapping[str, Slices]) -> tuple[dict[str, Counts], list[str]]:
    """The counts by slice, ALL first, and the labels that have too many values for slices."""
    by_slice: dict[str, Counts] = {}
    for label in sorted(by_label):
        for name, counts in (by_label[label] or {}).items():
            by_slice.setdefault(name, Counter()).update(counts)
    given_up = sorted(label.removesuffix("=") for label in by_label if by_label[label] is None)
    return {name: by_slice[name] for name in sorted(by_slice, key=_slice_order)}, given_up


def _slice_order(name: str) -> tuple[bool, str]:
    return name != ALL, name


def _added(slices: Slices, more: Iterable[tuple[str, Counts]]) -> Slices:
    if slices is None:
        return None
    for name, counts in more:
        slices.setdefault(name, Counter()).update(counts)
    return slices if len(slices) <= MAX_LABEL_VALUES else None
