import math
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lpr_core.geometry import Box
from lpr_core.score import (
    PlateMatch,
    align_texts,
    calibration_error,
    edit_distance,
    match_plates,
    mcnemar_test,
    normalise_text,
    reliability,
    wilson_interval,
)

texts = st.text("0O1IAB8", max_size=8)
boxes = st.builds(Box, *(st.integers(0, 40),) * 2, *(st.integers(1, 30),) * 2)


@pytest.mark.parametrize(
    ("truth", "read", "distance"),
    [
        ("ABC123", "ABC123", 0),
        ("ABC123", "A8C123", 1),  # one substitution
        ("ABC123", "ABC23", 1),  # one deletion
        ("ABC", "", 3),
        ("", "XY", 2),
        ("KITTEN", "SITTING", 3),  # Levenshtein's textbook pair: K→S, E→I, +G
    ],
)
def test_edit_distance_of_known_pairs(truth, read, distance):
    assert edit_distance(truth, read) == distance


def test_alignment_names_the_characters_that_were_confused_lost_and_added():
    assert align_texts("AB12", "A812") == [("A", "A"), ("B", "8"), ("1", "1"), ("2", "2")]
    assert align_texts("AB1", "A1") == [("A", "A"), ("B", None), ("1", "1")]
    assert align_texts("A1", "AB1") == [("A", "A"), (None, "B"), ("1", "1")]


@given(texts, texts)
def test_alignment_spells_both_texts_and_costs_the_distance(truth, read):
    pairs = align_texts(truth, read)
    assert "".join(a or "" for a, _ in pairs) == truth
    assert "".join(b or "" for _, b in pairs) == read
    assert edit_distance(truth, read) == edit_distance(read, truth)
    assert abs(len(truth) - len(read)) <= edit_distance(truth, read) <= max(len(truth), len(read))


@given(texts, texts, texts)
def test_edit_distance_keeps_the_triangle_inequality(a, b, c):
    assert edit_distance(a, c) <= edit_distance(a, b) + edit_distance(b, c)


def test_texts_are_compared_without_separators_and_folded_only_when_asked():
    assert normalise_text("ab·12-io ") == "AB12IO"
    assert normalise_text("ab·12-io ", fold=True) == "AB1210"
    assert normalise_text("Äß") == ("SS" if "ß".upper() == "SS" else "")


def test_plates_are_paired_best_overlap_first():
    # Truth 0 overlaps read 0 by 50/150 = 1/3 and read 1 by 80/120 = 2/3; truth 1 overlaps read 1 by
    # 40/160 = 1/4, below the 0.3 that counts. So truth 0 takes read 1 and truth 1 stays alone.
    truths = [Box(0, 0, 10, 10), Box(8, 0, 10, 10)]
    found = [Box(-5, 0, 10, 10), Box(2, 0, 10, 10)]
    assert match_plates(truths, found) == [
        PlateMatch(0, 1, pytest.approx(2 / 3)),
        PlateMatch(1, None, 0.0),
    ]


def test_a_truth_without_a_box_has_no_partner():
    assert match_plates([None], [Box(0, 0, 9, 9)]) == [PlateMatch(0, None, 0.0)]


@given(st.lists(boxes, max_size=5), st.lists(boxes, max_size=5))
def test_matching_pairs_one_to_one_and_leaves_no_overlapping_pair_unpaired(truths, found):
    from lpr_core.geometry import iou

    matches = match_plates(truths, found)
    partners = [m.read for m in matches if m.read is not None]
    assert [m.truth for m in matches] == list(range(len(truths)))
    assert len(partners) == len(set(partners))
    alone = [m.truth for m in matches if m.read is None]
    spare = set(range(len(found))) - set(partners)
    assert all(iou(truths[i], found[j]) < 0.3 for i in alone for j in spare)


def test_wilson_interval_of_known_shares():
    # Wilson 1927 for 8 of 10 at z = 1.96: (0.8 + 0.19208) / 1.38416 = 0.71674,
    # half = 1.96 * sqrt(0.016 + 0.009604) / 1.38416 = 0.22658.
    low, high = wilson_interval(8, 10)
    assert (low, high) == (pytest.approx(0.49016, abs=1e-4), pytest.approx(0.94332, abs=1e-4))
    assert wilson_interval(0, 0) == (0.0, 0.0)


@given(st.integers(1, 500), st.data())
def test_wilson_interval_holds_the_share(total, data):
    hits = data.draw(st.integers(0, total))
    low, high = wilson_interval(hits, total)
    assert 0 <= low <= hits / total + 1e-12 and hits / total - 1e-12 <= high <= 1


@pytest.mark.parametrize(
    ("only_a", "only_b", "p_value"),
    [
        (1, 5, 14 / 64),  # 2 (1 + 6) of 2⁶
        (0, 5, 2 / 32),
        (10, 2, 158 / 4096),  # 2 (1 + 12 + 66) of 2¹²
        (3, 3, 1),  # both tails would count the middle
        (0, 0, 1),
    ],
)
def test_mcnemar_of_known_tables(only_a, only_b, p_value):
    assert mcnemar_test(only_a, only_b) == pytest.approx(p_value, rel=1e-12)


@given(st.integers(0, 400), st.integers(0, 400))
def test_mcnemar_is_twice_the_tail_of_the_binomial(only_a, only_b):
    trials = only_a + only_b
    tail = sum(math.comb(trials, k) for k in range(min(only_a, only_b) + 1))
    exact = min(1.0, float(Fraction(2 * tail, 2**trials)))
    assert mcnemar_test(only_a, only_b) == pytest.approx(exact, rel=1e-9)
    assert mcnemar_test(only_b, only_a) == mcnemar_test(only_a, only_b)


def test_mcnemar_of_a_large_table_is_near_the_normal_distribution():
    # Of 10⁶ trials, 1000 or two standard deviations from the middle; with the correction of half a
    # trial z = 1.999, beyond which 0.045609 of the distribution lies.
    assert mcnemar_test(499_000, 501_000) == pytest.approx(0.045609, rel=1e-4)
    assert mcnemar_test(0, 10**6) == 0


def test_calibration_error_of_a_hand_computed_example():
    # Bins of a quarter. [0, ¼): 0.1 and 0.2, none right: mean 0.15, accuracy 0. [¼, ½): none.
    # [½, ¾): 0.5, an edge, right. [¾, 1]: 0.8, 0.9 and 1.0, two of them right.
    bins = reliability([0.1, 0.2, 0.5, 0.8, 0.9, 1.0], [False, False, True, True, False, True], 4)
    assert [one.reads for one in bins] == [2, 0, 1, 3]
    assert (bins[1].confidence, bins[1].accuracy) == (None, None)
    assert [one.confidence for one in bins if one.reads] == pytest.approx([0.15, 0.5, 0.9])
    assert [one.accuracy for one in bins if one.reads] == pytest.approx([0, 1, 2 / 3])
    # (2 · 0.15 + 1 · 0.5 + 3 · (0.9 − 2/3)) / 6 = (0.3 + 0.5 + 0.7) / 6
    assert calibration_error(bins) == pytest.approx(0.25)


def test_no_reads_have_no_calibration_error():
    with pytest.raises(ValueError, match="no reads"):
        calibration_error(reliability([], []))
