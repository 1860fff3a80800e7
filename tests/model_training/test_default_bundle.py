import numpy as np
import pytest

from lpr_core.bundle import Bundle
from lpr_core.recognize import ALPHABET, CharacterRecognizer
from model_training.characters import load_characters
from model_training.evaluate import evaluate_characters
from model_training.rendered_characters import render_characters


@pytest.fixture(scope="module")
def bundle():
    return Bundle.load()


def test_it_is_small_and_says_where_it_comes_from(bundle):
    assert sum(map(len, bundle.files.values())) < 2_000_000
    training = bundle.manifest["training"]
    names = {item["name"] for item in training["data"]}
    assert names == {
        "characters_plates",
        "characters_cn",
        "characters/train",
        "rendered",
        "rendered non-characters",
    }
    card = bundle.files["card.md"].decode()
    assert training["command"] in card
    for item in training["data"]:
        assert f"| `{item['name']}` | {item['pictures']:,} | {item['licence']} |" in card
        assert item["licence"] in bundle.files["LICENSE.md"].decode()


def test_it_reads_rendered_characters_it_was_not_trained_on(bundle):
    pictures, labels = render_characters(700, np.random.default_rng(2024))
    probabilities = CharacterRecognizer(bundle).classify(pictures)
    fold = {ALPHABET.index("O"): 0, ALPHABET.index("I"): 1}
    reads = [fold.get(int(i), int(i)) for i in probabilities.argmax(axis=1)]
    right = np.mean([r == fold.get(int(i), int(i)) for r, i in zip(reads, labels, strict=True)])
    # Some are beyond reading: characters 8 pixels high and out of focus.
    assert right > 0.95
    assert abs(probabilities.max(axis=1).mean() - right) < 0.05  # calibrated


@pytest.mark.shared
@pytest.mark.parametrize(
    ("folder", "strict", "folded"), [("characters/val", 0.92, 0.96), ("characters_br", 0.92, 0.97)]
)
def test_it_reads_real_characters(bundle, shared_data, folder, strict, folded):
    characters = load_characters(shared_data / folder)
    figure = evaluate_characters(CharacterRecognizer(bundle).classify, characters)
    assert figure.strict / figure.pictures >= strict
    assert figure.folded / figure.pictures >= folded
