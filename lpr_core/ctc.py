"""Connectionist temporal classification (Graves et al. 2006): frames to texts and back.

A network gives each frame a probability of every character and of the blank, class 0. A text's
probability is the sum over all ways to lay it over the frames: every character on one frame or
more, blanks anywhere between them, and at least one between two equal characters. The sums run in
double precision over shares of each frame's largest probability, which takes a third of the time
that logarithms take; what is 1e-300 times as likely as the best path counts as impossible.

Everywhere `log_probabilities` is of shape (frames, classes).
"""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from lpr_core.networks import Floats

Doubles = npt.NDArray[np.float64]
Indices = npt.NDArray[np.intp]

Text = tuple[int, ...]
"""The classes of a text's characters, none of them the blank."""

BLANK = 0
GUARD = -1

MIN_SHARE = 1e-3
MAX_CHOICES = 8
"""The search goes on with so many characters a frame, and passes over those of less than this share
of the frame's likeliest class: its cost is bounded even where a network knows nothing."""


class Span(NamedTuple):
    """The frames that a character takes: the first, the last, and the one where it is likeliest."""

    first: int
    last: int
    peak: int


def log_probabilities_of(logits: Floats) -> Floats:
    """The logarithms of each frame's probabilities, of logits of shape (…, classes)."""
    shifted = logits - logits.max(axis=-1, keepdims=True)
    return np.asarray(shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True)), np.float32)


def beam_search(log_probabilities: Floats, width: int) -> list[tuple[Text, float]]:
    """The likeliest texts with their probabilities, likeliest first.

    Prefix beam search (Hannun et al. 2014). It may miss a text; the probabilities of those it ends
    with are exact.

    Args:
        log_probabilities: of shape (frames, classes).
        width: how many texts to follow, and to return at most.
    """
    shares, _ = _shares(log_probabilities)
    likely = shares > MIN_SHARE
    likely[:, BLANK] = False
    # Each text so far: the probability of its paths that end in a blank, and of the others.
    beam: dict[Text, tuple[float, float]] = {(): (1.0, 0.0)}
    for frame, is_likely in zip(shares.tolist(), likely, strict=True):
        classes = is_likely.nonzero()[0].tolist()
        if len(classes) > MAX_CHOICES:
            classes = heapq.nlargest(MAX_CHOICES, classes, key=frame.__getitem__)
        longer: dict[Text, tuple[float, float]] = {}
        for text, (ended, open_) in beam.items():
            last = text[-1] if text else BLANK
            a, b = longer.get(text, (0.0, 0.0))
            longer[text] = (a + (ended + open_) * frame[BLANK], b + open_ * frame[last])
            for c in classes:
                new = (*text, c)
                a, b = longer.get(new, (0.0, 0.0))
                # The same character once more is another one only after a blank.
                longer[new] = (a, b + (ended if c == last else ended + open_) * frame[c])
        if len(longer) > width:
            best = heapq.nlargest(width, longer.items(), key=lambda item: sum(item[1]))
            longer = dict(best)
        beam = longer
    texts = list(beam)
    exact = text_probabilities(log_probabilities, texts)
    order = np.argsort(-exact, kind="stable")
    return [(texts[i], float(exact[i])) for i in order if exact[i] > 0]


def best_path(log_probabilities: Floats) -> Text:
    """The text that the likeliest class of each frame spells, most often the likeliest one."""
    likeliest = log_probabilities.argmax(axis=1)
    changes = np.append(True, likeliest[1:] != likeliest[:-1])
    return tuple(likeliest[changes & (likeliest != BLANK)].tolist())


def text_probabilities(log_probabilities: Floats, texts: Sequence[Text]) -> Doubles:
    """The probability of each text, float64 of shape (len(texts),)."""
    shares, log_scale = _shares(log_probabilities)
    states = _states(texts)
    reached = _forward(shares[:, states], states)[-1]
    rows, last = np.arange(len(texts)), 2 * np.array([len(text) for text in texts], np.intp)
    # The last blank is at last + 2, the last character before it.
    ends = reached[rows, last + 2] + reached[rows, last + 1]
    return np.asarray(ends * np.exp(log_scale))


def replacements(log_probabilities: Floats, text: Text) -> Doubles:
    """The probabilities of all texts that differ from a text in one character at most.

    Returns:
        float64 of shape (len(text), classes): of the text with this class in that place; 0 for the
        blank.
    """
    shares, log_scale = _shares(log_probabilities)
    states = _states([text, text[::-1]])
    emitted = np.stack([shares[:, states[0]], shares[::-1, states[1]]], axis=1)
    reached = _forward(emitted, states)[:-1]
    into = _into(reached[:, 0], text, log_probabilities.shape[1])
    out = _into(reached[:, 1], text[::-1], log_probabilities.shape[1])[::-1, ::-1]
    # On a character's frames a path came in and stayed: p_t (stayed + came in).
    stayed = np.zeros(into.shape[1:])
    for came, frame in zip(into, shares[:, None, :GUARD], strict=True):
        came += stayed
        came *= frame
        stayed = came
    into *= out
    total = into.sum(axis=0) * np.exp(log_scale)
    total[:, BLANK] = 0
    return np.asarray(total)


def _into(reached: Doubles, text: Text, classes: int) -> Doubles:
    """The probability of coming to each place of a text, were this class there, in each frame."""
    blanks, characters = reached[:, 2:-1:2], reached[:, 1:-2:2]
    other = np.ones((len(text), classes))
    other[np.arange(1, len(text)), text[:-1]] = 0  # equal characters need the blank between them
    return np.asarray(blanks[:, :, None] + characters[:, :, None] * other)


def align(log_probabilities: Floats, text: Text) -> list[Span]:
    """Lay a text over the frames in the likeliest way (Viterbi 1967): one span a character.

    Raises:
        ValueError: the text cannot be laid over so few frames.
    """
    shares, _ = _shares(log_probabilities)
    states = _states([text])
    best = _forward(shares[:, states], states, np.maximum)[:, 0].tolist()
    skips = _skips(states)[0]
    if not any(best[-1][-2:]):
        raise ValueError(f"{len(text)} characters do not fit on {len(shares)} frames")
    state = len(best[0]) - 1
    state -= best[-1][-2] > best[-1][-1]
    taken: list[list[int]] = [[] for _ in text]
    for frame in reversed(range(len(shares))):
        if state % 2:  # characters stand at 3, 5, 7 …
            taken[state // 2 - 1].append(frame)
        before = best[frame]
        ways = [before[state], before[state - 1], before[state - 2] * skips[state]]
        state -= ways.index(max(ways))
    return [
        Span(frames[-1], frames[0], max(frames, key=lambda frame: log_probabilities[frame, c]))
        for frames, c in zip(taken, text, strict=True)
    ]


def _shares(log_probabilities: Floats) -> tuple[Doubles, float]:
    """Probabilities in shares of their frame's largest, and the log of those largest's product.

    The shares get one more class, GUARD, which is never seen.
    """
    largest = log_probabilities.max(axis=1, keepdims=True)
    shares = np.zeros((len(log_probabilities), log_probabilities.shape[1] + 1))
    np.exp(log_probabilities - largest, out=shares[:, :GUARD])
    return shares, float(largest.sum(dtype=np.float64))


def _states(texts: Sequence[Text]) -> Indices:
    """Two guards, then each text with blanks around its characters, of shape (texts, states).

    Short texts are filled up with blanks.
    """
    states = np.zeros((len(texts), 2 * max(map(len, texts), default=0) + 3), np.intp)
    states[:, :2] = GUARD
    for row, text in zip(states, texts, strict=True):
        row[3 : 2 * len(text) + 2 : 2] = text
    return states


def _skips(states: Indices) -> Doubles:
    """1 where a state may follow the one two before it: other characters, and the first one."""
    skips = np.zeros(states.shape)
    skips[:, 3::2] = states[:, 3::2] != states[:, 1:-2:2]
    return skips


def _forward(emitted: Doubles, states: Indices, join: np.ufunc = np.add) -> Doubles:
    """The probability of being in each state after each number of frames.

    Args:
        emitted: of each state in each frame, of shape (frames, texts, states).
        states: as `_states` gives them.
        join: np.add for the sum over all ways there, np.maximum for the likeliest.

    Returns:
        Of shape (frames + 1, texts, states); before the first frame a path is at the second guard.
    """
    frames, texts, length = emitted.shape
    reached = np.zeros((frames + 1, texts, length))
    reached[0, :, 1] = 1
    # All texts stand in one row, which halves the time: the guards keep them apart.
    rows = reached.reshape(frames + 1, -1)
    skips = _skips(states).ravel()[2:]
    into = np.empty(texts * length - 2)
    for before, after, seen in zip(rows, rows[1:], emitted.reshape(frames, -1), strict=False):
        np.multiply(skips, before[:-2], out=into)
        join(into, before[1:-1], out=into)
        join(into, before[2:], out=into)
        np.multiply(into, seen[2:], out=after[2:])
    return reached
