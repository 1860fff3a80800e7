from itertools import groupby, product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from lpr_core.ctc import align, beam_search, best_path, replacements, text_probabilities

CLASSES = 4


def text_of(path: tuple[int, ...]) -> tuple[int, ...]:
    """What a path of classes says: runs once, blanks left out."""
    return tuple(c for c, _ in groupby(path) if c)


def every_text(log_probabilities: np.ndarray) -> dict[tuple[int, ...], float]:
    """The probability of each text, by summing over every single path."""
    frames, classes = log_probabilities.shape
    texts: dict[tuple[int, ...], float] = {}
    for path in product(range(classes), repeat=frames):
        probability = np.exp(sum(log_probabilities[t, c] for t, c in enumerate(path)))
        texts[text_of(path)] = texts.get(text_of(path), 0.0) + probability
    return texts


@st.composite
def networks(draw: st.DrawFn) -> np.ndarray:
    """Log-probabilities of up to five frames, sure ones and even ones."""
    shape = (draw(st.integers(1, 5)), CLASSES)
    logits = draw(arrays.arrays(np.float64, shape, elements=st.floats(-3, 3)))
    return logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))


@given(networks())
def test_the_sum_over_states_is_the_sum_over_all_paths(log_probabilities):
    texts = every_text(log_probabilities)
    found = text_probabilities(log_probabilities, list(texts))
    assert found == pytest.approx(list(texts.values()))
    assert found.sum() == pytest.approx(1)
    too_long = (1, 1) * len(log_probabilities)
    assert text_probabilities(log_probabilities, [too_long]) == 0


@given(networks())
def test_the_best_path_takes_the_likeliest_class_of_every_frame(log_probabilities):
    path = [max(range(CLASSES), key=frame.__getitem__) for frame in log_probabilities.tolist()]
    assert best_path(log_probabilities) == text_of(tuple(path))


@given(networks())
def test_a_beam_as_wide_as_all_texts_finds_them_all(log_probabilities):
    texts = every_text(log_probabilities)
    found = beam_search(log_probabilities, width=CLASSES ** len(log_probabilities))
    assert dict(found) == pytest.approx(texts)
    probabilities = [p for _, p in found]
    assert probabilities == sorted(probabilities, reverse=True)


@given(networks(), st.integers(1, 4))
def test_a_narrow_beam_gives_as_many_texts_and_their_exact_probabilities(log_probabilities, width):
    texts = every_text(log_probabilities)
    found = beam_search(log_probabilities, width)
    assert len(found) == min(width, len(texts))
    assert dict(found) == pytest.approx({text: texts[text] for text, _ in found})


def test_the_best_text_need_not_be_the_best_path():
    # Two frames, each 0.6 blank and 0.4 "1": the best path is empty with 0.36, the text "1" has
    # 0.4·0.4 + 2·0.4·0.6 = 0.64.
    log_probabilities = np.log([[0.6, 0.4], [0.6, 0.4]])
    assert beam_search(log_probabilities, 2) == [
        ((1,), pytest.approx(0.64)),
        ((), pytest.approx(0.36)),
    ]


@given(networks(), st.data())
def test_replacements_are_the_probabilities_of_the_texts_they_make(log_probabilities, data):
    texts = every_text(log_probabilities)
    text = data.draw(st.sampled_from([text for text in texts if text]))
    found = replacements(log_probabilities, text)
    assert found.shape == (len(text), CLASSES)
    assert not found[:, 0].any()
    for place, c in product(range(len(text)), range(1, CLASSES)):
        other = (*text[:place], c, *text[place + 1 :])
        assert found[place, c] == pytest.approx(texts.get(other, 0.0))


@given(networks(), st.data())
def test_a_text_is_laid_on_its_likeliest_path(log_probabilities, data):
    frames = range(len(log_probabilities))
    paths: dict[tuple[int, ...], list[tuple[float, tuple[int, ...]]]] = {}
    for path in product(range(CLASSES), repeat=len(log_probabilities)):
        probability = sum(log_probabilities[t, c] for t, c in enumerate(path))
        paths.setdefault(text_of(path), []).append((probability, path))
    text = data.draw(st.sampled_from(list(paths)))
    spans = align(log_probabilities, text)
    laid = [0] * len(log_probabilities)
    for c, span in zip(text, spans, strict=True):
        assert span.first <= span.peak <= span.last
        column = log_probabilities[span.first : span.last + 1, c]
        assert column.max() == log_probabilities[span.peak, c]
        laid[span.first : span.last + 1] = [c] * len(column)
    assert text_of(tuple(laid)) == text
    likeliest = max(probability for probability, _ in paths[text])
    assert sum(log_probabilities[t, laid[t]] for t in frames) == pytest.approx(likeliest)


def test_a_text_longer_than_the_frames_is_laid_nowhere():
    with pytest.raises(ValueError, match="2 characters do not fit on 2 frames"):
        align(np.log(np.full((2, 2), 0.5)), (1, 1))  # equal ones need a blank between them


def test_eighty_frames_cost_no_accuracy():
    # A text of ten characters on 80 sure frames: 1 - 80·36 times the rest of a frame.
    rest = 1e-6
    text = tuple(range(1, 11))
    log_probabilities = np.full((80, 37), np.log(rest))
    for place in range(80):
        seen = text[place // 8] if place % 8 == 4 else 0
        log_probabilities[place, seen] = np.log(1 - 36 * rest)
    ((found, probability),) = beam_search(log_probabilities, 1)
    assert found == text
    assert probability == pytest.approx((1 - 36 * rest) ** 80, abs=2e-5)
