import itertools

import numpy as np
import pytest

from lpr_core.sequence import MARGIN
from model_training.calibration import (
    THRESHOLDS,
    VIEWS_PER_CROP,
    Read,
    choose_confidence,
    choose_threshold,
    clean_views,
    fit_confidence,
    fit_frame_temperature,
    fit_temperature,
    random_views,
    unseen_calibration_error,
)
from model_training.plate_crops import HEIGHT, WIDTH, PlateCrops


def crops_of(name, texts, aspect=4.0):
    rng = np.random.default_rng(len(name))
    pixels = rng.integers(0, 255, (len(texts), HEIGHT, WIDTH), np.uint8)
    sides = np.full(len(texts), aspect, np.float32), np.full(len(texts), 60, np.float32)
    return PlateCrops(name, pixels, tuple(texts), *sides)


def test_temperature_brings_confidence_to_accuracy():
    # Always 90 % sure of class 0, right in three of four: the likeliest share is 75 %.
    # 0.9^(1/T) / (0.9^(1/T) + 0.1^(1/T)) = 0.75 where 9^(1/T) = 3, so T = 2.
    probabilities = np.tile(np.array([[0.9, 0.1]], np.float32), (4, 1))
    assert fit_temperature(probabilities, np.array([0, 0, 0, 1], np.int32)) == pytest.approx(2.0)


def test_a_readers_temperature_brings_texts_to_their_share():
    # One frame, never blank: a text's probability is its character's, so T = 2 as above.
    logits = np.tile(np.log(np.array([1e-20, 0.9, 0.1], np.float32)), (4, 1, 1))
    texts = [(1,), (1,), (1,), (2,)]
    assert fit_frame_temperature(logits, texts) == pytest.approx(2.0, abs=0.15)
    # Always right: the surer the likelier.
    assert fit_frame_temperature(logits, [(1,)] * 4) == 0.5


def test_shares_that_fall_are_pooled():
    reads = [
        Read("a", confidence, right)
        for confidence, right in ((0.8, True), (0.4, True), (0.6, False), (0.2, False))
    ]
    # One read each; (right + 1) / (reads + 2) is 1/3 or 2/3; the middle two fall: together 1/2.
    computed, turned_out = fit_confidence(reads)
    assert computed == pytest.approx((0, 0.2, 0.5, 0.8, 1))
    assert turned_out == pytest.approx((1 / 6, 1 / 3, 1 / 2, 2 / 3, 5 / 6), abs=1e-6)
    # What is not legible has no part in it.
    assert fit_confidence([*reads, Read("a", 0.0, False)]) == (computed, turned_out)


@pytest.mark.parametrize("number", [0, 1, 7, 400])
def test_the_map_rises_strictly_within_0_and_1(number):
    rng = np.random.default_rng(number)
    confidences = np.append(rng.random(number), [1.0] * (number // 4))
    reads = [Read("a", c, bool(rng.random() < c)) for c in confidences]
    for knots in fit_confidence(reads):
        assert len(knots) <= 12
        assert all(a < b for a, b in itertools.pairwise(knots))
    computed, turned_out = fit_confidence(reads)
    assert (computed[0], computed[-1]) == (0, 1)
    assert turned_out[0] > 0 and turned_out[-1] < 1


def test_the_map_says_how_often_reads_are_right():
    rng = np.random.default_rng(5)
    # The reader is surer than it should be: of reads at c, the share c² is right.
    reads = [Read("a", c, bool(rng.random() < c * c)) for c in rng.random(6000)]
    fitted = fit_confidence(reads)
    for confidence in (0.3, 0.6, 0.9):
        assert np.interp(confidence, *fitted) == pytest.approx(confidence**2, abs=0.05)


def test_the_error_on_unseen_sets_is_that_of_maps_of_the_others():
    # Each set's map is that of the other: (right + 1) / (reads + 2) of eight reads, 0.1 and 0.9.
    reads = [Read(name, 0.8, name == "good") for name in ("good", "bad") for _ in range(8)]
    assert unseen_calibration_error(reads) == pytest.approx(0.9, abs=1e-4)
    # Sets of one law: 14 of 16 are right, so the map says 15/18.
    reads = [Read(name, 0.8, n < 14) for name in ("one", "other") for n in range(16)]
    assert unseen_calibration_error(reads) == pytest.approx(14 / 16 - 15 / 18, abs=1e-4)


def test_the_threshold_is_the_lowest_with_few_enough_false_plates():
    def above(scores):
        return lambda threshold: sum(score >= threshold for score in scores)

    # One in a hundred pictures is allowed: the second highest score must fall short.
    assert choose_threshold(above([0.9, 0.5, 0.45, 0.3]), 100) == 0.52
    assert choose_threshold(above([]), 100) == THRESHOLDS[0]
    assert choose_threshold(above([1.0]), 10) == THRESHOLDS[-1]


def test_the_confidence_asked_of_what_is_in_doubt_leaves_few_enough_false_plates():
    # Where one is allowed, the second surest read must fall short.
    assert choose_confidence([0.2, 0.9, 0.5], 1) == pytest.approx(0.51)
    assert choose_confidence([0.2, 0.9, 0.5], 0) == pytest.approx(0.91)
    assert choose_confidence([0.9], 1) == choose_confidence([], 1) == 0.01


def test_views_keep_the_plates_shape_and_text():
    real, rendered = crops_of("real", ["AB1", "CD2"]), crops_of("rendered", list("EFGHIJKLMNOP"), 2)
    clean = clean_views([real, rendered])
    assert [(sample.text, sample.source) for sample in clean[:3]] == [
        ("AB1", "real"),
        ("CD2", "real"),
        ("E", "rendered"),
    ]
    for sample, aspect in ((clean[0], 4.0), (clean[2], 2.0)):
        height, width = sample.crop.pixels.shape
        border = sample.crop.border
        assert border == pytest.approx(MARGIN * (height - 2 * border))
        assert (width - 2 * border) / (height - 2 * border) == pytest.approx(aspect, rel=0.02)


def test_as_many_rendered_views_as_real_ones_each_its_own():
    real, rendered = crops_of("real", ["AB1", "CD2"]), crops_of("rendered", list("EFGHIJKLMNOP"))
    samples = random_views([real, rendered], np.random.default_rng(1))
    again = random_views([real, rendered], np.random.default_rng(1))
    number = 2 * VIEWS_PER_CROP
    assert [sample.source for sample in samples] == ["real"] * number + ["rendered"] * number
    assert len({sample.text for sample in samples[number:]}) == number
    assert len({sample.crop.pixels.tobytes() for sample in samples}) == 2 * number
    for one, other in zip(samples, again, strict=True):
        assert one.text == other.text and np.array_equal(one.crop.pixels, other.crop.pixels)
    # Without real crops, all rendered ones.
    assert len(random_views([rendered], np.random.default_rng(1))) == 12
