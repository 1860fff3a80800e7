"""The distance between plates, and that no near one is passed over when candidates are sought."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lpr_core.score import edit_distance
from pipelines.plate_search import CONFUSED, CONFUSION_COST, candidate_pattern, plate_distance

# Few characters, so that texts are often near each other: 0 O and 8 B are confused, A and 1 not.
PLATES = st.text("0O8BA1", min_size=1, max_size=8)


@pytest.mark.parametrize(
    ("text", "other", "distance"),
    [
        ("AB123CD", "AB123CD", 0.0),
        ("BKZ410", "8KZ41O", 1.0),  # B for 8, 0 for O
        ("BKZ410", "BKZ41", 1.0),  # one missing
        ("BKZ410", "1BKZ410", 1.0),  # one too many
        ("BKZ410", "BKX410", 1.0),  # Z and X are not confused
        ("BKZ410", "8KX410", 1.5),
        ("AB", "BA", 2.0),
        ("", "AB", 2.0),
    ],
)
def test_distances_are_those_counted_by_hand(text: str, other: str, distance: float) -> None:
    assert plate_distance(text, other) == distance


@given(PLATES, PLATES)
def test_it_is_a_distance_of_at_most_and_at_least_so_many_edits(text: str, other: str) -> None:
    distance, edits = plate_distance(text, other), edit_distance(text, other)
    assert distance == plate_distance(other, text)
    assert (distance == 0) == (text == other)
    assert CONFUSION_COST * edits <= distance <= edits


@given(PLATES, PLATES, PLATES)
def test_no_way_round_is_shorter_by_more_than_chains_of_confusions(
    text: str, other: str, third: str
) -> None:
    """The triangle's inequality, which costs keep: what two confusions join costs 1 directly."""
    assert plate_distance(text, third) <= plate_distance(text, other) + plate_distance(other, third)


@given(PLATES, PLATES, st.sampled_from([0.0, 0.5, 1.0, 1.5, 2.0, 3.0]))
def test_every_near_text_is_a_candidate(text: str, other: str, within: float) -> None:
    if plate_distance(text, other) <= within:
        assert re.search(candidate_pattern(text, within), other)


def test_few_others_are_candidates() -> None:
    pattern = candidate_pattern("AB123CD", 1)
    assert not re.search(pattern, "XY987ZW")
    assert not re.search(pattern, "XX123XX")  # both halves differ
    assert re.search(pattern, "A81X")  # A8 for AB, and a 1


def test_pairs_are_of_two_characters_each_once() -> None:
    assert all(len(set(pair)) == 2 for pair in CONFUSED)
    assert len({frozenset(pair) for pair in CONFUSED}) == len(CONFUSED)
