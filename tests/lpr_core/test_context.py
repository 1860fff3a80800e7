import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from lpr_core.context import in_context
from lpr_core.geometry import Box
from lpr_core.recognize import ALPHABET
from lpr_core.segment import CharacterBox

IS_LETTER = np.array([c.isalpha() for c in ALPHABET])
INK = np.zeros((1, 1), np.uint8)


def standing(gaps: list[float], lines: list[int] | None = None) -> list[CharacterBox]:
    """Characters 100 high and 50 wide with these gaps between them."""
    x, boxes = 0.0, []
    for number, gap in enumerate([*gaps, 0]):
        box = Box(x, 0, 50, 100)
        boxes.append(CharacterBox(box, box, (lines or [0] * 99)[number], INK))
        x += 50 + gap
    return boxes


def shapes(*characters: str) -> np.ndarray:
    """Each a set of characters that the shape leaves equally likely, 0.97 in all."""
    rows = np.full((len(characters), 36), 0.03 / 36, np.float32)
    for row, choices in zip(rows, characters, strict=True):
        for c in choices:
            row[ALPHABET.index(c)] += 0.97 / len(choices)
    return rows


def read(probabilities: np.ndarray) -> str:
    return "".join(ALPHABET[i] for i in probabilities.argmax(axis=1))


def test_an_ambiguous_shape_follows_its_group():
    # ABO-0182: letters, a wide gap, digits, as on a Brazilian plate.
    gaps = [10, 10, 40, 10, 10, 10]
    by_shape = shapes("A", "B", "0O", "0O", "1I", "8", "2")
    assert read(in_context(by_shape, standing(gaps), IS_LETTER)) == "ABO0182"


def test_a_shape_that_is_clear_is_not_overruled():
    gaps = [10] * 6
    by_shape = shapes("A", "B", "C", "4", "D", "E", "F")
    assert read(in_context(by_shape, standing(gaps), IS_LETTER)) == "ABC4DEF"


def test_two_characters_by_hand():
    # One "8", sure; beside it, at a usual gap, a shape that is B or 8 alike. Its likelihood within
    # its kind: letter 0.5/26, digit 0.5/10. The kind is a letter with 0.07 beside a digit, so
    # P(B) = 0.07/26 / (0.07/26 + 0.93/10) = 0.0281.
    rows = np.zeros((2, 36), np.float32)
    rows[0, ALPHABET.index("8")] = 1
    rows[1, [ALPHABET.index("8"), ALPHABET.index("B")]] = 0.5
    posterior = in_context(rows, standing([10]), IS_LETTER)
    assert posterior[1, ALPHABET.index("B")] == pytest.approx(0.0281, abs=1e-4)
    assert posterior[1, ALPHABET.index("8")] == pytest.approx(0.9719, abs=1e-4)


def test_a_new_line_may_change_the_kind():
    by_shape = shapes("5", "9", "0O", "0O", "1", "4")
    lines = [0, 0, 0, 1, 1, 1]
    assert read(in_context(by_shape, standing([10] * 5, lines), IS_LETTER)) == "590014"


def test_a_single_character_has_no_context():
    by_shape = shapes("0O")
    assert np.array_equal(in_context(by_shape, standing([]), IS_LETTER), by_shape)


weights = arrays.arrays(
    np.float32,
    st.tuples(st.integers(0, 9), st.just(36)),
    elements=st.floats(2**-10, 1, width=32),
)


@given(weights, st.data())
def test_probabilities_stay_probabilities(weights, data):
    by_shape = weights / weights.sum(axis=1, keepdims=True)
    count = len(by_shape)
    gaps = data.draw(
        st.lists(st.floats(-20, 90), min_size=max(0, count - 1), max_size=max(0, count - 1))
    )
    boxes = standing(gaps) if count else []
    posterior = in_context(by_shape, boxes, IS_LETTER)
    assert posterior.shape == by_shape.shape and (posterior >= 0).all()
    assert posterior.sum(axis=1) == pytest.approx(np.ones(count), abs=1e-5)
    # Within a kind the order is the shape's own.
    for kind in (IS_LETTER, ~IS_LETTER):
        assert (posterior[:, kind].argmax(axis=1) == by_shape[:, kind].argmax(axis=1)).all()
