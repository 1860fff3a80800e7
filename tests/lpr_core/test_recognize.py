import pickle
from concurrent.futures import ThreadPoolExecutor

import cv2
import numpy as np
import pytest

from lpr_core.bundle import Bundle, BundleError
from lpr_core.geometry import Box
from lpr_core.networks import BACKENDS
from lpr_core.recognize import ALPHABET, CharacterRecognizer, TextRead, normalise_character
from lpr_core.rectify import rectify
from lpr_core.segment import CharacterBox, CharacterSegmenter, cut_character

from .conftest import FACE, draw_plate


@pytest.fixture(scope="module")
def recognizer() -> CharacterRecognizer:
    return CharacterRecognizer(Bundle.load())


def pictures(count: int = 36) -> np.ndarray:
    """The alphabet in a printed font, as the CNN takes it, of shape (count, 28, 28)."""
    images = []
    for character in (ALPHABET * 3)[:count]:
        cell = np.full((80, 80), 235, np.uint8)
        cv2.putText(cell, character, (12, 62), FACE, 2.0, 20, 2, cv2.LINE_AA)
        x, y, width, height = cv2.boundingRect((cell < 128).astype(np.uint8))
        images.append(normalise_character(cut_character(cell, Box(x, y, width, height), True)))
    return np.stack(images)


def test_a_character_is_fitted_with_its_aspect_kept():
    tall = normalise_character(np.full((60, 15), 255, np.uint8))
    rows, columns = np.nonzero(tall)
    assert (tall.shape, tall.dtype) == ((28, 28), np.float32)
    assert (np.ptp(rows) + 1, np.ptp(columns) + 1) == (24, 6)  # 24 high, 15 * 24 / 60 wide
    assert (rows.min(), columns.min()) == (2, 11)  # centred on 28×28
    assert set(np.unique(tall)) == {0.0, 1.0}


def test_nothing_is_no_character():
    with pytest.raises(ValueError, match="empty"):
        normalise_character(np.zeros((0, 5), np.uint8))


def test_printed_characters_are_read(recognizer):
    best = recognizer.classify(pictures()).argmax(axis=1)
    folded = str.maketrans("OI", "01")
    right = [
        ALPHABET[i].translate(folded) == c.translate(folded)
        for i, c in zip(best, ALPHABET, strict=True)
    ]
    assert sum(right) >= 33


def test_probabilities_are_those_of_each_picture_alone(recognizer):
    images = pictures(40)
    together = recognizer.classify(images)
    assert (together.dtype, together.shape) == (np.float32, (40, 36))
    assert together.sum(axis=1) == pytest.approx(np.ones(40), abs=1e-5)
    alone = np.concatenate([recognizer.classify(image[None]) for image in images])
    assert np.array_equal(together, alone)
    assert recognizer.classify(np.zeros((0, 28, 28), np.float32)).shape == (0, 36)


def test_the_two_backends_agree(recognizer):
    pytest.importorskip("tensorflow", reason="the TensorFlow backend needs the train extra")
    noise = np.random.default_rng(1).random((30, 28, 28), np.float32)
    images = np.concatenate([pictures(), noise])
    other = CharacterRecognizer(Bundle.load(), backend="tensorflow")
    assert np.abs(recognizer.classify(images) - other.classify(images)).max() < 1e-4


def test_four_threads_read_as_one(recognizer):
    batches = [pictures()[i::4] for i in range(4)] * 8
    expected = [recognizer.classify(batch) for batch in batches]
    with ThreadPoolExecutor(4) as threads:
        found = list(threads.map(recognizer.classify, batches))
    assert all(np.array_equal(a, b) for a, b in zip(expected, found, strict=True))


def test_a_recognizer_travels_to_another_process(recognizer):
    copy = pickle.loads(pickle.dumps(recognizer))
    assert np.array_equal(copy.classify(pictures(3)), recognizer.classify(pictures(3)))


def test_each_character_has_its_place_probability_and_alternatives(recognizer):
    plate = draw_plate("KA19TRS")
    crop = rectify(plate, Box(0, 0, plate.shape[1], plate.shape[0]).corners)
    boxes = CharacterSegmenter().segment(crop)
    first, nothing = recognizer.recognize([boxes, ()])
    assert (first.text, first.legible) == ("KA19TRS", True)
    assert (nothing, nothing.text, nothing.confidence) == (TextRead((), (), False, ""), "", 0.0)
    for read, box in zip(first.characters, boxes, strict=True):
        assert read.box == box.box
        assert read.alternatives[0] == (read.character, read.probability)
        shares = [p for _, p in read.alternatives]
        assert shares == sorted(shares, reverse=True) and len(shares) == 3 and sum(shares) <= 1.0001


def reading(
    recognizer: CharacterRecognizer, monkeypatch: pytest.MonkeyPatch, *shapes: dict[str, float]
) -> TextRead:
    """What is read where the CNN sees this in each character, whatever stands beside it."""
    rows = np.array([[shape.get(c, 0.0) for c in ALPHABET] for shape in shapes], np.float32)
    monkeypatch.setattr(recognizer, "classify", lambda images: rows)
    monkeypatch.setattr("lpr_core.recognize.in_context", lambda shapes, *_: shapes)
    box = Box(0, 0, 1, 1)
    cut = CharacterBox(box, box, 0, np.zeros((9, 9), np.uint8))
    (read,) = recognizer.recognize([[cut] * len(shapes)])
    return read


def test_a_text_is_as_sure_as_all_its_characters(recognizer, monkeypatch):
    read = reading(
        recognizer,
        monkeypatch,
        {"B": 0.6, "8": 0.3, "E": 0.1},
        {"1": 0.9, "I": 0.08, "7": 0.02},
        {"K": 1.0},
    )
    assert read.text == "B1K"
    # B·1 0.6·0.9, 8·1 0.3·0.9, E·1 0.1·0.9, B·I 0.6·0.08, …
    assert read.confidence == pytest.approx(0.54)
    assert [t for t, _ in read.alternatives[:4]] == ["B1K", "81K", "E1K", "BIK"]
    assert [p for _, p in read.alternatives[:4]] == pytest.approx([0.54, 0.27, 0.09, 0.048])
    assert len(read.alternatives) == 10


def test_a_plate_with_one_sure_character_is_not_legible(recognizer, monkeypatch):
    sure, unsure = {"K": 0.92, "X": 0.08}, {"B": 0.8, "8": 0.2}
    read = reading(recognizer, monkeypatch, sure, sure, unsure)
    assert (read.text, read.legible) == ("KKB", True)
    read = reading(recognizer, monkeypatch, sure, unsure, unsure)
    assert (read.text, read.legible) == ("KBB", False)


def test_a_bundle_without_a_character_model_is_refused():
    bundle = Bundle.load()
    with pytest.raises(BundleError, match="no characters model"):
        CharacterRecognizer(Bundle({"models": {}}, bundle.files, bundle.sha256))
    for missing in ("alphabet", "calibration"):
        entry = dict(bundle.manifest["models"]["characters"])
        del entry[missing]
        described = Bundle({"models": {"characters": entry}}, bundle.files, bundle.sha256)
        with pytest.raises(BundleError, match=missing):
            CharacterRecognizer(described)
    with pytest.raises(ValueError, match=r"no backend 'torch'.*litert"):
        CharacterRecognizer(bundle, backend="torch")
    assert list(BACKENDS) == ["litert", "tensorflow"]
