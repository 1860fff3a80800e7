"""How right reads are: matching to truths, text distance, the interval of a share, calibration.

The rules are those of the project's independent scorer in its strict form: plates and reads are
paired one to one, best IoU first, and a plate without a partner counts as not read.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from lpr_core.geometry import Box, iou

MIN_IOU = 0.3
_FOLD = str.maketrans("OI", "01")


@dataclass(frozen=True)
class PlateTruth:
    """A plate known to be in a picture: its text ("" if unknown) and box (None if unknown)."""

    text: str
    box: Box | None


@dataclass(frozen=True)
class PlateMatch:
    """A truth and the read paired with it, as indices; `read` is None where there is no partner."""

    truth: int
    read: int | None
    iou: float


def match_plates(
    truths: Sequence[Box | None], found: Sequence[Box], min_iou: float = MIN_IOU
) -> list[PlateMatch]:
    """Pair truths and found plates one to one, best IoU first, down to `min_iou`.

    Ties go to the earlier found plate, then to the earlier truth. Returns one match a truth, in the
    order of `truths`.
    """
    overlaps = sorted(
        (-iou(truth, box), j, i)
        for i, truth in enumerate(truths)
        if truth is not None
        for j, box in enumerate(found)
    )
    partner: dict[int, tuple[int, float]] = {}
    taken: set[int] = set()
    for negative, j, i in overlaps:
        if -negative >= min_iou and i not in partner and j not in taken:
            partner[i] = (j, -negative)
            taken.add(j)
    return [PlateMatch(i, *partner.get(i, (None, 0.0))) for i in range(len(truths))]


def normalise_text(text: str, fold: bool = False) -> str:
    """Upper case, A-Z and 0-9 only; with `fold`, O reads as 0 and I as 1."""
    kept = "".join(c for c in text.upper() if "A" <= c <= "Z" or "0" <= c <= "9")
    return kept.translate(_FOLD) if fold else kept


def align_texts(truth: str, read: str) -> list[tuple[str | None, str | None]]:
    """The cheapest alignment of two texts, as (truth character, read character) pairs.

    None stands for a character that the other side lacks. Levenshtein costs (1966: insertion,
    deletion, substitution 1 each); among equal ones a substitution is preferred, from the end.
    """
    rows = [list(range(len(read) + 1))]
    for i, expected in enumerate(truth, 1):
        above = rows[-1]
        row = [i]
        for j, seen in enumerate(read, 1):
            row.append(min(above[j] + 1, row[-1] + 1, above[j - 1] + (expected != seen)))
        rows.append(row)
    pairs: list[tuple[str | None, str | None]] = []
    i, j = len(truth), len(read)
    while i or j:
        if i and j and rows[i][j] == rows[i - 1][j - 1] + (truth[i - 1] != read[j - 1]):
            i, j = i - 1, j - 1
            pairs.append((truth[i], read[j]))
        elif i and rows[i][j] == rows[i - 1][j] + 1:
            i -= 1
            pairs.append((truth[i], None))
        else:
            j -= 1
            pairs.append((None, read[j]))
    return pairs[::-1]


def edit_distance(truth: str, read: str) -> int:
    """The Levenshtein distance of two texts."""
    return sum(expected != seen for expected, seen in align_texts(truth, read))


def wilson_interval(hits: float, total: float, z: float = 1.96) -> tuple[float, float]:
    """The interval of a share (Wilson 1927), 95 % by default; (0, 0) where `total` is 0."""
    if not total:
        return 0.0, 0.0
    share, spread = hits / total, 1 + z * z / total
    middle = share + z * z / (2 * total)
    half = z * math.sqrt(share * (1 - share) / total + z * z / (4 * total * total))
    return max(0.0, (middle - half) / spread), min(1.0, (middle + half) / spread)


def mcnemar_test(only_a: int, only_b: int) -> float:
    """The two-sided p-value of McNemar's test (1947), exact: are A and B right equally often?

    Of the trials that A and B decide differently, each goes to either with probability 1/2 if they
    are equally good. The tail of that binomial is added from its largest term on, whose logarithm
    `lgamma` tells: exact to nine digits for any number of trials.

    Args:
        only_a: trials in which A alone is right.
        only_b: those in which B alone is.
    """
    few, trials = min(only_a, only_b), only_a + only_b
    tail, term = 0.0, 1.0  # in units of the probability of `few`
    for successes in range(few, -1, -1):
        tail += term
        term *= successes / (trials - successes + 1)
        if term < tail * 1e-17:
            break
    choices = math.lgamma(trials + 1) - math.lgamma(few + 1) - math.lgamma(trials - few + 1)
    return min(1.0, 2 * tail * math.exp(choices - trials * math.log(2)))


class ConfidenceBin(NamedTuple):
    """Reads of about one confidence.

    Attributes:
        reads: how many.
        confidence: their mean; None where there are none.
        accuracy: the share that is right; None where there are none.
    """

    reads: int
    confidence: float | None
    accuracy: float | None


def reliability(
    confidences: npt.ArrayLike, right: npt.ArrayLike, bins: int = 10
) -> list[ConfidenceBin]:
    """Reads by confidence, in bins of equal width from 0 to 1; an edge belongs to the bin above.

    Args:
        confidences: 0 to 1, of shape (n,).
        right: whether each read is right, of shape (n,).
        bins: how many.
    """
    sure, hit = np.asarray(confidences, np.float64), np.asarray(right, np.float64)
    numbers = np.minimum((sure * bins).astype(int), bins - 1)
    counts = np.bincount(numbers, minlength=bins)
    totals = (np.bincount(numbers, weights, minlength=bins) for weights in (sure, hit))
    return [
        ConfidenceBin(int(n), float(c) / n, float(h) / n) if n else ConfidenceBin(0, None, None)
        for n, c, h in zip(counts, *totals, strict=True)
    ]


def calibration_error(bins: Sequence[ConfidenceBin]) -> float:
    """The expected calibration error (Guo et al. 2017): mean |accuracy − confidence| of the reads.

    Raises:
        ValueError: there is no read.
    """
    reads = sum(one.reads for one in bins)
    if not reads:
        raise ValueError("no reads, no calibration error")
    gaps = (
        one.reads * abs(one.accuracy - one.confidence)
        for one in bins
        if one.accuracy is not None and one.confidence is not None
    )
    return sum(gaps) / reads
