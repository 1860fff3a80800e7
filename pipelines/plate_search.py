"""How far a plate is from another as a reader goes wrong, and which texts can be that near at all.

The distance is Levenshtein's (1966): a character replaced, missing or too many costs 1, but 0.5 if
the reader confuses the two. So 1 is one error of any kind, or two confusions: 8KZ41O is as far from
BKZ410 as BKZ41 is.

Measured on what the default bundle's reader did not learn from (`benchmarks/confusions.py`: 4,793
views of its held-out validation plates, half of them cut and photographed badly; of 31,263
characters 706 are read as another). A pair counts as confused that turned up 8 times at least and
in 0.35 % of its characters: 0 and O in 4.4 %, the others in 0.4 to 2.1 %, any other pair in 0.04 %
in the mean. Costs add up as logarithms of probabilities do, and by these a confusion costs 0.4 to
0.7 of another error: hence a half.
"""

from __future__ import annotations

import re
from itertools import pairwise

CONFUSED = ("0O", "OQ", "DQ", "0Q", "MN", "MW", "NW", "VY", "1I", "68", "89", "56", "08", "8B")
"""Pairs of characters that the reader takes for each other."""

CONFUSION_COST = 0.5

_PAIRS = frozenset(CONFUSED) | {pair[::-1] for pair in CONFUSED}


def plate_distance(text: str, other: str) -> float:
    """How far two texts are apart, in steps of 0.5: 0 for equal ones, the same both ways."""
    above = [float(j) for j in range(len(other) + 1)]
    for i, one in enumerate(text, 1):
        row = [float(i)]
        for j, two in enumerate(other, 1):
            replaced = 0.0 if one == two else CONFUSION_COST if one + two in _PAIRS else 1.0
            row.append(min(above[j] + 1, row[-1] + 1, above[j - 1] + replaced))
        above = row
    return above[-1]


def candidate_pattern(text: str, within: float) -> str:
    """A regular expression that begins in every text at most so far from `text`, and in few others.

    A text within n errors that are no confusions, cut into n + 1 pieces, keeps one of them but for
    confusions, shifted by n places at most (Wu and Manber 1992).

    Args:
        text: of A-Z and 0-9.
        within: a distance, not negative.
    """
    errors = int(within)
    if errors >= len(text):
        return ""
    cuts = [len(text) * piece // (errors + 1) for piece in range(errors + 2)]
    pieces = []
    for start, end in pairwise(cuts):
        before = f".{{{max(0, start - errors)},{start + errors}}}"
        pieces.append(before + "".join(map(_as_read, text[start:end])))
    return f"^(?:{'|'.join(pieces)})"


def _as_read(character: str) -> str:
    """A character and what it is confused with, as a class of a regular expression."""
    others = (pair.replace(character, "") for pair in CONFUSED if character in pair)
    return f"[{re.escape(character)}{''.join(others)}]"
