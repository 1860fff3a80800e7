"""Whole-plate reading with a network made by hand: its logits are drawn, its input is looked at."""

from collections.abc import Callable, Sequence

import cv2
import numpy as np
import pytest

from lpr_core.bundle import Bundle, BundleError
from lpr_core.geometry import Box
from lpr_core.networks import BACKENDS
from lpr_core.recognize import ALPHABET
from lpr_core.rectify import PlateCrop, rectify
from lpr_core.sequence import MARGIN, VIEWS, SequenceRecognizer, View, normalise_plate

COLUMNS = 40
Network = Callable[[np.ndarray], np.ndarray]


def frames(*placed: tuple[str, int, float], rest: float = 1e-8) -> np.ndarray:
    """Logits of shape (1, 80, 37): blank but for these (character, frame, probability)."""
    probabilities = np.full((2 * COLUMNS, 37), rest)
    for character, frame, probability in placed:
        probabilities[frame, 1 + ALPHABET.index(character)] = probability
    probabilities[:, 0] = 0
    probabilities[:, 0] = 1 - probabilities.sum(axis=1)
    return np.log(probabilities, dtype=np.float32)[None] + 5  # logits have no scale of their own


def sure(text: str, first: int = 4, step: int = 5) -> list[tuple[str, int, float]]:
    return [(c, first + step * place, 0.999) for place, c in enumerate(text)]


@pytest.fixture
def recognizer(monkeypatch: pytest.MonkeyPatch) -> Callable[..., SequenceRecognizer]:
    """A recognizer whose network is a function, or gives these logits."""

    def make(
        network: Network | np.ndarray,
        views: int = 1,
        patterns: dict[str, object] | None = None,
        **calibration: object,
    ) -> SequenceRecognizer:
        run = network if callable(network) else lambda batch: network.copy()
        monkeypatch.setitem(BACKENDS, "litert", ("litert", lambda model: run))
        entry = {
            "alphabet": ALPHABET,
            "margin": MARGIN,
            "files": {"litert": "reader.tflite"},
            "views": views,
            "calibration": calibration,
            **({} if patterns is None else {"patterns": patterns}),
        }
        return SequenceRecognizer(Bundle({"models": {"reader": entry}}, {"reader.tflite": b""}, ""))

    return make


def crop_of(width: int = 400, height: int = 100, at: tuple[int, int] = (50, 60)) -> PlateCrop:
    """An upright plate of a picture, `at` its top left corner."""
    picture = np.full((300, 600), 90, np.uint8)
    return rectify(picture, Box(*at, width, height).corners, MARGIN)


def test_a_plate_is_stretched_to_the_networks_size_and_normalised():
    halves = np.zeros((32, 80), np.uint8)
    halves[:, 40:] = 200
    seen = normalise_plate(halves)
    assert (seen.shape, seen.dtype) == ((64, 160), np.float32)
    # Mean and spread are 100 about; the spread of the few pixels at the edge is less.
    assert seen[:, :70] == pytest.approx(-100 / 104, abs=0.02)
    assert seen[:, 90:] == pytest.approx(100 / 104, abs=0.02)
    assert np.array_equal(normalise_plate(np.full((96, 300), 7, np.uint8)), np.zeros((64, 160)))
    # A large crop is averaged, not sampled: fine stripes become their mean.
    stripes = np.tile(np.array([0, 255], np.uint8), (128, 320))
    assert np.abs(normalise_plate(stripes)).max() < 0.2


def test_the_network_gets_one_normalised_plate(recognizer):
    given: list[np.ndarray] = []

    def network(batch: np.ndarray) -> np.ndarray:
        given.append(batch)
        return frames()

    crop = crop_of()
    recognizer(network).segment(crop)
    (batch,) = given
    assert (batch.shape, batch.dtype) == ((1, 64, 160, 1), np.float32)
    assert np.array_equal(batch[0, ..., 0], normalise_plate(crop.pixels))


def test_a_clear_plate_is_read_with_its_probabilities(recognizer):
    reader = recognizer(frames(*sure("KA19TRS")))
    (read,) = reader.recognize([reader.segment(crop_of())])
    assert (read.text, read.seen, read.legible) == ("KA19TRS", "KA19TRS", True)
    # Seven sure frames; those that are surely blank count as sure.
    assert read.confidence == pytest.approx(0.999**7, abs=2e-3)
    assert read.alternatives[0] == ("KA19TRS", read.confidence)
    assert [c.character for c in read.characters] == list("KA19TRS")


def test_two_ways_to_read_a_character_are_weighed(recognizer):
    placed = [*sure("AB"), ("0", 14, 0.6), ("O", 14, 0.3), ("D", 14, 0.09), *sure("123", 19)]
    reader = recognizer(frames(*placed))
    (read,) = reader.recognize([reader.segment(crop_of())])
    assert read.text == "AB0123"
    # One frame says 0, O, D or nothing with 0.6, 0.3, 0.09 and 0.01.
    assert [text for text, _ in read.alternatives[:4]] == ["AB0123", "ABO123", "ABD123", "AB123"]
    assert [p for _, p in read.alternatives[:4]] == pytest.approx([0.6, 0.3, 0.09, 0.01], rel=0.05)
    # Given that something stands there: 0.6, 0.3 and 0.09 of 0.99.
    doubtful = read.characters[2]
    assert [c for c, _ in doubtful.alternatives] == ["0", "O", "D"]
    assert doubtful.probability == pytest.approx(0.6 / 0.99, rel=0.01)
    assert read.characters[0].probability == pytest.approx(0.999, abs=2e-3)


def test_a_usual_pattern_outweighs_what_the_network_saw(recognizer):
    placed = [*sure("AB"), ("0", 14, 0.6), ("O", 14, 0.3), ("D", 14, 0.09), *sure("123", 19)]
    patterns = {"weights": {"LLLDDD": 1.0}, "others": 0.25}
    reader = recognizer(frames(*placed), patterns=patterns)
    (read,) = reader.recognize([reader.segment(crop_of())])
    assert (read.text, read.seen) == ("ABO123", "AB0123")
    # 0.3, 0.6 / 4, 0.09 and 0.01 / 4 in shares of their sum, 0.5425.
    assert [text for text, _ in read.alternatives[:4]] == ["ABO123", "AB0123", "ABD123", "AB123"]
    expected = [0.553, 0.2765, 0.1659, 0.0046]
    assert [p for _, p in read.alternatives[:4]] == pytest.approx(expected, abs=0.01)
    # Of that character, given that one stands there: the same shares of 0.3 + 0.09 + 0.6 / 4.
    weighed = read.characters[2]
    assert [c for c, _ in weighed.alternatives] == ["O", "0", "D"]
    assert [p for _, p in weighed.alternatives] == pytest.approx([0.556, 0.278, 0.167], abs=0.01)
    # Not against what is clear.
    reader = recognizer(frames(*sure("AB0123")), patterns=patterns)
    (read,) = reader.recognize([reader.segment(crop_of())])
    assert (read.text, read.seen) == ("AB0123", "AB0123")


def test_patterns_do_not_say_whether_anything_is_written(recognizer):
    patterns = {"weights": {"LL": 1.0}, "others": 0.1}
    for placed, empty in ([("A", 5, 0.3), ("B", 9, 0.999)], 0.0007), ([("A", 5, 0.3)], 0.7):
        reader = recognizer(frames(*placed), patterns=patterns)
        probabilities = dict(reader.segment(crop_of()).texts)
        assert probabilities.get((), 0.0) == pytest.approx(empty, abs=1e-3)
        assert sum(probabilities.values()) == pytest.approx(1, abs=1e-3)


def test_patterns_weigh_the_mean_of_the_views(recognizer):
    first = frames(*sure("AB"), ("0", 14, 0.5), ("O", 14, 0.49), *sure("123", 19))
    others = frames(*sure("AB"), ("0", 14, 0.7), ("O", 14, 0.29), *sure("123", 19))
    looks = iter([first, *[others] * 8])
    patterns = {"weights": {"LLLDDD": 1.0}, "others": 0.5}
    reader = recognizer(lambda batch: next(looks), views=9, patterns=patterns)
    (read,) = reader.recognize([reader.segment(crop_of())])
    # O: (0.49 + 8 × 0.29) / 9 = 0.312; 0: 0.678, half of which is still more.
    assert (read.text, read.seen) == ("AB0123", "AB0123")
    assert read.confidence == pytest.approx(0.339 / (0.339 + 0.312), abs=0.01)


def test_a_characters_box_stands_where_its_frames_are(recognizer):
    # Frames 4, 9, …, 34 of 40 on a crop of 424 × 124 pixels of the picture, 400 × 100 of the plate.
    reader = recognizer(frames(*sure("KA19TRS")))
    (read,) = reader.recognize([reader.segment(crop_of())])
    column = 424 / COLUMNS
    for place, character in enumerate(read.characters):
        middle = 38 + (4.5 + 5 * place) * column
        box = character.box
        assert box.x + box.width / 2 == pytest.approx(middle, abs=1)
        assert box.width == pytest.approx(5 * column, abs=1)
        assert (box.y, box.height) == (pytest.approx(60, abs=1), pytest.approx(100, abs=1))


def test_a_wide_gap_belongs_to_no_character(recognizer):
    placed = [*sure("AB", 2, 4), *sure("123", 20, 4)]
    reader = recognizer(frames(*placed))
    (read,) = reader.recognize([reader.segment(crop_of())])
    widths = [character.box.width for character in read.characters]
    assert widths == pytest.approx([4 * 424 / COLUMNS] * 5, abs=1)


def test_two_lines_have_a_half_of_the_plate_each(recognizer):
    placed = [*sure("59L2", 6, 8), *sure("14993", COLUMNS + 4, 7)]
    reader = recognizer(frames(*placed))
    (read,) = reader.recognize([reader.segment(crop_of(140, 100))])
    assert read.text == "59L214993"
    tops = [character.box.y for character in read.characters]
    assert tops == pytest.approx([60] * 4 + [110] * 5, abs=1)
    assert {round(character.box.height) for character in read.characters} == {50}


def test_one_line_may_come_out_on_either_row(recognizer):
    reader = recognizer(frames(*sure("KA19TRS", COLUMNS + 4)))
    (read,) = reader.recognize([reader.segment(crop_of())])
    assert read.text == "KA19TRS"
    assert read.characters[0].box.height == pytest.approx(100, abs=1)
    assert read.characters[0].box.x < 120


def test_the_bundles_calibration_is_used(recognizer):
    placed = [*sure("AB"), ("0", 14, 0.6), ("O", 14, 0.3), ("Q", 14, 0.1 - 1e-4)]
    plain = recognizer(frames(*placed))
    (before,) = plain.recognize([plain.segment(crop_of())])
    assert before.confidence == pytest.approx(0.6, abs=0.01)
    # From 0.5 to 0.4 and from 1 to 0.8: 0.6 becomes 0.48; what is left is shared as before.
    mapped = recognizer(frames(*placed), confidence=[[0, 0.5, 1], [0, 0.4, 0.8]])
    (after,) = mapped.recognize([mapped.segment(crop_of())])
    assert after.confidence == pytest.approx(0.48, abs=0.01)
    assert after.alternatives[1] == ("ABO", pytest.approx(0.3 / 0.4 * 0.52, abs=0.01))
    # At temperature 2 probabilities go as their roots: 0.775 : 0.548 : 0.316.
    cooled = recognizer(frames(*placed), temperature=2)
    (read,) = cooled.recognize([cooled.segment(crop_of())])
    assert read.characters[2].probability == pytest.approx(0.775 / 1.639, abs=0.01)


def test_the_best_text_stays_the_best_whatever_the_calibration(recognizer):
    placed = [*sure("AB"), ("0", 14, 0.55), ("O", 14, 0.44)]
    reader = recognizer(frames(*placed), confidence=[[0, 1], [0, 0.2]])
    (read,) = reader.recognize([reader.segment(crop_of())])
    probabilities = [p for _, p in read.alternatives]
    assert probabilities == sorted(probabilities, reverse=True)
    assert read.text == "AB0"


@pytest.mark.parametrize(
    ("text", "legible"),
    [("", False), ("A", False), ("AB", True), ("0123456789", True), ("0123456789A", False)],
)
def test_a_plate_bears_two_to_ten_characters(recognizer, text, legible):
    reader = recognizer(frames(*sure(text, 1, 3)))
    (read,) = reader.recognize([reader.segment(crop_of())])
    assert (read.text, read.legible) == (text, legible)
    assert (read.confidence > 0.9) == bool(text)


K_OR_X = frames(("K", 4, 0.6), ("X", 4, 0.39))
HOPELESS = frames(*((c, 4 + 5 * i, 0.33 - 0.01 * n) for i in range(4) for n, c in enumerate("ABC")))
"""Four characters, the likeliest with 0.33: together 0.012."""


@pytest.mark.parametrize(
    ("answers", "looks"),
    [
        ([frames(*sure("KA19TRS"))] * 5, 1),  # clear
        ([K_OR_X, frames(("K", 4, 0.9)), frames(("K", 4, 0.9)), K_OR_X, K_OR_X], 3),  # mean 0.8
        ([K_OR_X] * 5, 5),
        ([HOPELESS] * 5, 1),
    ],
)
def test_an_unclear_plate_is_looked_at_in_more_views(recognizer, answers, looks):
    given = iter(answers)
    recognizer(lambda batch: next(given), views=5).segment(crop_of())
    assert len(list(given)) == 5 - looks


def test_whole_texts_are_voted_on_over_the_views(recognizer):
    # Views one and two say "A8" with 0.6 and "B8" with 0.4, the third "B8" with 0.95: in the mean
    # "B8" has (0.4 + 0.4 + 0.95) / 3. The boxes are of the view in which it is likeliest.
    answers = [
        frames(("A", 4, 0.6), ("B", 4, 0.4 - 1e-4), ("8", 9, 0.9999 - 1e-4)),
        frames(("A", 4, 0.6), ("B", 4, 0.4 - 1e-4), ("8", 9, 0.9999 - 1e-4)),
        frames(("A", 24, 0.05), ("B", 24, 0.95 - 1e-4), ("8", 29, 0.9999 - 1e-4)),
    ]
    given = iter(answers)
    reader = recognizer(lambda batch: next(given), views=3)
    (read,) = reader.recognize([reader.segment(crop_of())])
    assert read.text == "B8"
    assert read.confidence == pytest.approx((0.4 + 0.4 + 0.95) / 3, abs=0.01)
    assert read.alternatives[1] == ("A8", pytest.approx((0.6 + 0.6 + 0.05) / 3, abs=0.01))
    assert read.characters[0].box.x > 200


def _marked() -> PlateCrop:
    """A crop with a white square, its centre known in the picture."""
    picture = np.full((300, 600), 40, np.uint8)
    cv2.rectangle(picture, (340, 90), (359, 109), 255, -1)
    return rectify(picture, ((50, 60), (450, 70), (450, 170), (50, 160)), MARGIN)


@pytest.mark.parametrize("view", VIEWS)
def test_a_view_leads_back_to_the_picture(recognizer, view: View, monkeypatch):
    monkeypatch.setattr("lpr_core.sequence.VIEWS", (View(), view))
    # The second view is the clearer one.
    given = iter([frames(("K", 4, 0.6), ("X", 4, 0.39)), frames(("K", 4, 0.9))])
    crop = recognizer(lambda batch: next(given), views=2).segment(_marked()).view.crop
    rows, columns = np.nonzero(crop.pixels > 150)
    at = crop.to_image @ [columns.mean(), rows.mean(), 1]
    assert at[:2] / at[2] == pytest.approx([349.5, 99.5], abs=1)


def test_plates_are_read_in_their_order(recognizer):
    answers: Sequence[np.ndarray] = [frames(*sure("ABC")), frames(*sure("123"))]
    given = iter(answers)
    reader = recognizer(lambda batch: next(given))
    reads = reader.recognize([reader.segment(crop_of()), reader.segment(crop_of())])
    assert [read.text for read in reads] == ["ABC", "123"]
    assert reader.recognize([]) == []


def test_a_bundle_without_a_reader_says_what_to_do():
    with pytest.raises(BundleError, match="no reader model for litert: choose another bundle"):
        SequenceRecognizer(Bundle({"models": {}}, {}, ""))


@pytest.mark.parametrize(
    "patterns", [[], {}, {"weights": {"LD": "much"}, "others": 1}, {"weights": {}, "others": 0}]
)
def test_weights_that_are_none_are_refused(recognizer, patterns):
    with pytest.raises(BundleError, match="patterns' weights are none"):
        recognizer(frames(), patterns=patterns)


@pytest.mark.parametrize("views", [0, "x"])
def test_views_that_are_none_are_refused(recognizer, views):
    with pytest.raises(BundleError, match="views"):
        recognizer(frames(), views=views)


@pytest.mark.parametrize("missing", ["margin", "alphabet", "calibration"])
def test_a_reader_that_is_described_otherwise_says_so(missing):
    entry = {"files": {"litert": "r"}, "margin": 0.1, "alphabet": ALPHABET, "calibration": {}}
    del entry[missing]
    with pytest.raises(BundleError, match=missing):
        SequenceRecognizer(Bundle({"models": {"reader": entry}}, {"r": b""}, ""))
