"""Figures against values counted by hand, and the laws that free them from the workers."""

from __future__ import annotations

import csv
import json
import random
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lpr_core.detect import PlateDetection
from lpr_core.geometry import Box
from lpr_core.plate_reader import PlateRead
from lpr_core.score import PlateTruth
from pipelines.metrics import (
    AddCounts,
    Counts,
    Figure,
    FunnelStage,
    confusions,
    count_picture,
    figures,
    judge,
)


def plate(text: str | None, confidence: float, *box: float, raw: str | None = None) -> PlateRead:
    detection = PlateDetection(Box(*box).corners, 1.0)
    return PlateRead(detection, text, raw or text or "", confidence, (), ())


def truth(text: str, *box: float) -> PlateTruth:
    return PlateTruth(text, Box(*box) if box else None)


# Three pictures, worked out by hand. Boxes are 100 × 20 = 2000 pixels.
#
# A: truth "AB12" at x = 0. Read "AB12" (0.9) in the same place: IoU 1. Read "ZZZ" (0.4) elsewhere.
# B: truth "O0I" at x = 0, read "00I" (0.8) shifted by 40: IoU 60 / 140 = 0.43, one edit, right
#    when folded. Truth "KLMN" at x = 300: nothing near. Truth "" at x = 600: a found, unreadable
#    plate on it, IoU 1.
# C: known to have no plate; read "HX" (0.6).
PICTURES = (
    (
        [truth("AB12", 0, 0, 100, 20)],
        [plate("AB12", 0.9, 0, 0, 100, 20), plate("ZZZ", 0.4, 500, 0, 100, 20)],
    ),
    (
        [
            truth("O0I", 0, 0, 100, 20),
            truth("KLMN", 300, 0, 100, 20),
            truth("", 600, 0, 100, 20),
        ],
        [
            plate("00I", 0.8, 40, 0, 100, 20),
            plate(None, 0.1, 600, 0, 100, 20, raw="Q"),
        ],
    ),
    ([], [plate("HX", 0.6, 0, 0, 100, 20)]),
)


def totals() -> dict[str, Figure]:
    counts: Counts = Counter()
    for truths, reads in PICTURES:
        counts.update(count_picture(truths, reads))
    return {figure.metric: figure for figure in figures(counts)}


@pytest.mark.parametrize(
    ("metric", "numerator", "denominator"),
    [
        # Plates with a text: AB12, O0I, KLMN.
        ("plate_exact_match", 1, 3),
        ("plate_exact_match_folded", 2, 3),
        # Edits 0 + 1 + 4 (KLMN is not read at all) of 4 + 3 + 4 characters; right 4 + 2 + 0.
        ("character_error_rate", 5, 11),
        ("character_accuracy", 6, 11),
        # Found: 2 + 2 + 1 = 5. Partners at 0.3: AB12, O0I, the unreadable one; at 0.5 not O0I.
        # Plates with a box: 1 + 3.
        ("detection_precision_iou_30", 3, 5),
        ("detection_recall_iou_30", 3, 4),
        ("detection_f1_iou_30", 6, 9),
        ("detection_precision_iou_50", 2, 5),
        ("detection_recall_iou_50", 2, 4),
        ("detection_f1_iou_50", 4, 9),
        # ZZZ in A, HX in C.
        ("false_plates_per_picture", 2, 3),
        ("funnel_detected", 2, 3),
        ("funnel_segmented", 2, 3),
        ("funnel_read", 1, 3),
        # 0.9 and 0.8 are accepted at 0.5 and 0.7, 0.9 alone at 0.9, none at 0.95.
        ("exact_match_confidence_70", 1, 2),
        ("accepted_confidence_70", 2, 3),
        ("exact_match_confidence_90", 1, 1),
        ("accepted_confidence_90", 1, 3),
        ("exact_match_confidence_95", 0, 0),
        # Bin 9: one read, right, 0.9: gap 0.1. Bin 8: one read, wrong, 0.8: gap 0.8.
        ("expected_calibration_error", 0.9, 2),
    ],
)
def test_figures_are_those_counted_by_hand(
    metric: str, numerator: float, denominator: float
) -> None:
    figure = totals()[metric]
    assert (figure.numerator, figure.denominator) == (pytest.approx(numerator), denominator)
    assert figure.value == (pytest.approx(numerator / denominator) if denominator else None)


def test_intervals_stand_with_shares_only() -> None:
    found = totals()
    # Wilson, 1 of 3, z = 1.96: centre (1/3 + 3.8416/6) / (1 + 3.8416/3) = 0.4269,
    # half-width 1.96 sqrt((1/3)(2/3)/3 + 3.8416/36) / 2.2805 = 0.3654.
    assert found["plate_exact_match"].low == pytest.approx(0.0615, abs=1e-4)
    assert found["plate_exact_match"].high == pytest.approx(0.7923, abs=1e-4)
    for metric in ("character_error_rate", "detection_f1_iou_50", "expected_calibration_error"):
        assert found[metric].low is None
        assert found[metric].high is None


def test_confusions_pair_characters_of_plates_that_were_read() -> None:
    counts: Counts = Counter()
    for truths, reads in PICTURES:
        counts.update(count_picture(truths, reads))
    # AB12 with itself, O0I with 00I; KLMN was not read and is left out.
    assert confusions(counts) == [
        ("0", "0", 1),
        ("1", "1", 1),
        ("2", "2", 1),
        ("A", "A", 1),
        ("B", "B", 1),
        ("I", "I", 1),
        ("O", "0", 1),
    ]


def test_a_dropped_character_is_a_confusion_with_nothing() -> None:
    counts = count_picture([truth("AB", 0, 0, 9, 9)], [plate("B", 0.5, 0, 0, 9, 9)])
    assert confusions(counts) == [("A", None, 1), ("B", "B", 1)]


@given(st.permutations(["IMKI265", "VYZJ59", "VYZJ5", "AAA111"]))
def test_texts_are_paired_with_reads_whatever_their_order(texts: list[str]) -> None:
    reads = [
        plate(text, confidence, 90.0 * number, 0, 80, 20)
        for number, (text, confidence) in enumerate(
            [("VYZJ59", 0.9), ("IMKI265", 0.8), ("AAA117", 0.99), ("XX", 0.1)]
        )
    ]
    outcomes = judge([truth(text) for text in texts], reads)
    read = {one.truth.text: one.read for one in outcomes}
    # VYZJ5 is nearest to VYZJ59, which says another truth exactly; XX is what is left.
    assert read == {"VYZJ59": 0, "IMKI265": 1, "AAA111": 2, "VYZJ5": 3}


def test_of_reads_as_near_the_surest_is_a_texts() -> None:
    reads = [plate("AB13", 0.5, 0, 0, 80, 20), plate("AB14", 0.7, 90, 0, 80, 20)]
    (outcome,) = judge([truth("AB12")], reads)
    assert (outcome.read, outcome.edits) == (1, 1)


def test_a_truth_without_a_box_takes_the_nearest_read_left_and_no_part_in_detection() -> None:
    truths = [truth("AAA", 0, 0, 100, 20), truth("BBB")]
    reads = [
        plate("AAA", 0.99, 0, 0, 100, 20),
        plate("CCC", 0.2, 300, 0, 100, 20),
        plate("BBB", 0.7, 600, 0, 100, 20),
    ]
    boxed, boxless = judge(truths, reads)
    assert (boxed.read, boxed.iou, boxed.stage) == (0, 1.0, FunnelStage.READ)
    assert (boxless.read, boxless.iou, boxless.stage) == (2, None, FunnelStage.READ)
    found = {figure.metric: figure for figure in figures(count_picture(truths, reads))}
    assert found["plate_exact_match"].numerator == 2
    # AAA is the one plate with a box; CCC is a false plate, BBB stands on neither side.
    assert found["detection_recall_iou_50"].denominator == 1
    assert found["detection_precision_iou_50"].denominator == 2
    assert found["false_plates_per_picture"].numerator == 1


def test_an_unreadable_plate_is_detected_and_not_read() -> None:
    (outcome,) = judge([truth("AB1", 0, 0, 9, 9)], [plate(None, 0.3, 0, 0, 9, 9, raw="AB1")])
    assert outcome.stage is FunnelStage.SEGMENTED
    assert outcome.edits == 3  # of "AB1" against nothing


def test_a_right_text_is_read_whatever_the_network_saw() -> None:
    (outcome,) = judge([truth("AB1", 0, 0, 9, 9)], [plate("AB1", 0.9, 0, 0, 9, 9, raw="AB11")])
    assert (outcome.stage, outcome.edits) == (FunnelStage.READ, 0)


texts = st.text("AB0O1I", max_size=4)
boxes = st.tuples(*[st.integers(0, 30)] * 2, *[st.integers(1, 30)] * 2).map(lambda b: Box(*b))
truths_drawn = st.lists(st.builds(PlateTruth, texts, boxes), max_size=3)
reads_drawn = st.lists(
    st.builds(
        lambda text, confidence, box: plate(
            text or None, confidence, box.x, box.y, box.width, box.height
        ),
        texts,
        st.floats(0, 1),
        boxes,
    ),
    max_size=4,
)
pictures_drawn = st.lists(st.tuples(truths_drawn, reads_drawn), max_size=8)


@given(pictures_drawn, st.randoms(use_true_random=False), st.integers(1, 4))
def test_any_order_and_any_bundles_give_the_same_sum(pictures, draw, bundles) -> None:
    counted = [count_picture(*picture) for picture in pictures]
    combine = AddCounts()

    def total(parts: list[list[Counts]]) -> Counts:
        accumulators = []
        for part in parts:
            accumulator = combine.create_accumulator()
            for counts in part:
                accumulator = combine.add_input(accumulator, Counter(counts))
            accumulators.append(accumulator)
        draw.shuffle(accumulators)
        return combine.extract_output(combine.merge_accumulators(accumulators))

    straight = total([counted])
    draw.shuffle(counted)
    assert figures(total([counted[k::bundles] for k in range(bundles)])) == figures(straight)


@given(pictures_drawn)
def test_shares_lie_within_their_intervals(pictures) -> None:
    counts: Counts = Counter()
    for picture in pictures:
        counts.update(count_picture(*picture))
    for figure in figures(counts):
        if figure.low is not None:
            assert figure.value is not None and figure.high is not None
            assert 0 <= figure.low <= figure.value + 1e-12
            assert figure.value - 1e-12 <= figure.high <= 1


def drawn_text(draw: random.Random) -> str:
    return "".join(draw.choices("AB0O1I", k=draw.randrange(5)))


def score_reads(shared_data: Path, reads: Path, folder: Path) -> dict[str, float]:
    """The figures of the project's independent scorer."""
    script = shared_data.parent / "tools" / "score_reads.py"
    result = folder / "score.json"
    subprocess.run(
        [sys.executable, script, reads, folder, "--strict", "--json", result],
        check=True,
        stdout=subprocess.DEVNULL,
    )
    return json.loads(result.read_text())


@pytest.mark.shared
@pytest.mark.parametrize("seed", range(5))
def test_figures_equal_the_independent_scorer(shared_data: Path, tmp_path: Path, seed: int) -> None:
    draw = random.Random(seed)
    counts: Counts = Counter()
    with (
        open(tmp_path / "truth.csv", "w", newline="") as truth_file,
        open(tmp_path / "reads.csv", "w", newline="") as reads_file,
    ):
        truth_csv, reads_csv = csv.writer(truth_file), csv.writer(reads_file)
        truth_csv.writerow(["image", "x", "y", "w", "h", "text"])
        reads_csv.writerow(["image", "text", "confidence", "x", "y", "w", "h"])
        for number in range(60):
            image = f"{number}.jpg"
            # Boxes overlap in every degree, and no two are the same: the scorer takes reads of one
            # box as candidates of one plate, and breaks ties by the truths' texts.
            truths = [
                truth(drawn_text(draw), 9 * draw.randrange(6) + k / 11, 0, 30, 10)
                for k in range(draw.randrange(4))
            ]
            reads = [
                plate(
                    drawn_text(draw) or None,
                    draw.random(),
                    *(5 * draw.randrange(12) + k / 7, k / 9, 30, 10),
                )
                for k in range(draw.randrange(5))
            ]
            counts.update(count_picture(truths, reads))
            for known in truths:
                box = known.box
                assert box is not None
                truth_csv.writerow([image, box.x, box.y, box.width, box.height, known.text])
            if not truths:
                truth_csv.writerow([image, "", "", "", "", ""])
            for found in reads:
                box = found.detection.box
                reads_csv.writerow(
                    [image, found.text or "", found.confidence, box.x, box.y, box.width, box.height]
                )
    expected = score_reads(shared_data, tmp_path / "reads.csv", tmp_path)
    found = {figure.metric: figure.value for figure in figures(counts)}
    assert expected["plates"] > 30
    assert found["plate_exact_match"] == pytest.approx(expected["exact"])
    assert found["detection_recall_iou_50"] == pytest.approx(expected["recall_50"])
    assert found["detection_recall_iou_30"] == pytest.approx(expected["recall_30"])
    assert found["false_plates_per_picture"] == pytest.approx(expected["fp_image"])
    assert found["character_error_rate"] == pytest.approx(expected["cer"])
