"""What a character is likely to be from those beside it: letters stand with letters.

O and 0, I and 1 have one shape on most plates, and B and 8, S and 5, Z and 2 part late when small.
Plates of every country write letters and digits in groups with wider gaps between them, so the
character's neighbours and the gaps tell what its shape does not. No country is named: the only
figures are how often the kind changes between neighbours, counted on the training crops.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from lpr_core.segment import CharacterBox

Floats = npt.NDArray[np.float32]

CLOSE_CHANGE, WIDE_CHANGE = 0.07, 0.8
"""How often a letter follows a digit or a digit a letter, at a usual gap and at a wide one."""

CLOSE_GAP, WIDE_GAP = 0.05, 0.2
"""Gaps beyond the plate's median gap, in heights of a character, for those two; between them the
share grows linearly."""

LINE_CHANGE = 0.75
"""The same from the end of one line to the start of the next."""


def in_context(
    probabilities: Floats, characters: Sequence[CharacterBox], is_letter: npt.NDArray[np.bool_]
) -> Floats:
    """The probabilities of a plate's characters given all of the plate.

    A hidden Markov chain of two states, letter and digit, solved by the forward-backward algorithm
    (Rabiner 1989): within a state each of its characters is equally likely beforehand, and the gap
    between two characters says how likely the state changes.

    Args:
        probabilities: of each character by its shape alone, float32 of shape (n, classes).
        characters: where they stand, in reading order, n of them.
        is_letter: which classes are letters, bool of shape (classes,).

    Returns:
        float32 of shape (n, classes); rows sum to 1.
    """
    if len(characters) < 2:
        return probabilities
    kinds = np.stack([is_letter, ~is_letter]).astype(np.float64)
    kinds /= kinds.sum(axis=1, keepdims=True)
    evidence = probabilities.astype(np.float64) @ kinds.T
    changes = [np.array([[1 - p, p], [p, 1 - p]]) for p in _changes(characters)]

    # The messages hold what the others say of a character's kind, without its own evidence.
    from_left = [np.array([0.5, 0.5])]
    for change, seen in zip(changes, evidence, strict=False):
        from_left.append(_share((from_left[-1] * seen) @ change))
    from_right = [np.array([1.0, 1.0])]
    for change, seen in zip(changes[::-1], evidence[::-1], strict=False):
        from_right.append(_share(change @ (seen * from_right[-1])))
    kind = np.array(from_left) * np.array(from_right[::-1])
    posterior = probabilities * (kind @ kinds)
    return np.asarray(posterior / posterior.sum(axis=1, keepdims=True), dtype=np.float32)


def _share(weights: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    return np.asarray(weights / weights.sum())


def _changes(characters: Sequence[CharacterBox]) -> npt.NDArray[np.float64]:
    """How likely the kind changes between each character and the next, of shape (n - 1,)."""
    height = np.median([character.crop_box.height for character in characters])
    pairs = list(pairwise(characters))
    gaps = np.array([b.crop_box.x - a.crop_box.right for a, b in pairs]) / height
    same_line = np.array([a.line == b.line for a, b in pairs])
    usual = np.median(gaps[same_line]) if same_line.any() else 0.0
    change = np.interp(gaps - usual, (CLOSE_GAP, WIDE_GAP), (CLOSE_CHANGE, WIDE_CHANGE))
    return np.where(same_line, change, LINE_CHANGE)
