from itertools import islice

import cv2
import numpy as np
import pytest

from lpr_core.bundle import Bundle
from lpr_core.geometry import iou
from lpr_core.heatmap import HeatmapDetector
from lpr_core.recognize import ALPHABET, CharacterRecognizer
from lpr_core.score import calibration_error, reliability
from lpr_core.sequence import SequenceRecognizer
from model_training.calibration import clean_views, read_samples
from model_training.characters import load_characters
from model_training.evaluate import evaluate_characters
from model_training.generate import scenes
from model_training.plate_crops import HEIGHT, MARGIN, PlateCrops, RenderedCrops
from model_training.rendered_characters import render_characters

SETS = {
    "characters": {
        "characters_plates",
        "characters_cn",
        "characters/train",
        "rendered",
        "rendered non-characters",
    },
    "reader": {
        "crops_us",
        "crops_br",
        "crops_eu_two_line",
        "crops_cn",
        "crops_eu_unlabelled (labels proposed by machines)",
        "rendered",
    },
    "detector": {
        "boxes_eu",
        "negatives",
        "crops_us",
        "crops_br",
        "crops_eu_two_line",
        "crops_cn",
        "crops_eu_unlabelled",
    },
}


@pytest.fixture(scope="module")
def bundle():
    return Bundle.load()


def test_it_is_small_and_says_where_it_comes_from(bundle):
    assert sum(map(len, bundle.files.values())) < 6_000_000
    assert bundle.manifest["models"].keys() == SETS.keys()
    card, licence = (bundle.files[name].decode() for name in ("card.md", "LICENSE.md"))
    assert "AGPL-3.0" in licence
    doubtful = bundle.manifest["models"]["detector"]["doubtful"]
    assert f"with a confidence of {doubtful['confidence']:.2f}" in " ".join(card.split())
    for model, names in SETS.items():
        training = bundle.manifest["training"][model]
        assert {item["name"] for item in training["data"]} == names
        assert training["command"] in card
        for item in training["data"]:
            assert f"| `{item['name']}` | {item['pictures']:,} | {item['licence']} |" in card
            assert f"| {model} | `{item['name']}` | {item['licence']} |" in licence


def test_it_reads_rendered_characters_it_was_not_trained_on(bundle):
    pictures, labels = render_characters(700, np.random.default_rng(2024))
    probabilities = CharacterRecognizer(bundle).classify(pictures)
    fold = {ALPHABET.index("O"): 0, ALPHABET.index("I"): 1}
    reads = [fold.get(int(i), int(i)) for i in probabilities.argmax(axis=1)]
    right = np.mean([r == fold.get(int(i), int(i)) for r, i in zip(reads, labels, strict=True)])
    # Some are beyond reading: characters 8 pixels high and out of focus.
    assert right > 0.95
    assert abs(probabilities.max(axis=1).mean() - right) < 0.05  # calibrated


def test_it_reads_rendered_plates_it_was_not_trained_on(bundle):
    pixels, texts, aspects = RenderedCrops(2024, 150).block(0)
    heights = np.full(len(texts), HEIGHT / (1 + 2 * MARGIN), np.float32)
    crops = PlateCrops("rendered", pixels, tuple(texts), np.array(aspects, np.float32), heights)
    reads = read_samples(SequenceRecognizer(bundle), clean_views([crops]))
    assert np.mean([read.right for read in reads]) > 0.75
    error = calibration_error(
        reliability([read.confidence for read in reads], [read.right for read in reads])
    )
    assert error < 0.15  # of 150 plates: some 0.05 of it is chance


def test_it_finds_rendered_plates_it_was_not_trained_on(bundle):
    detector = HeatmapDetector(bundle)
    plates = found = 0
    for scene in islice(scenes(2024), 12):
        grey = cv2.cvtColor(scene.pixels, cv2.COLOR_RGB2GRAY)
        boxes = [one.box for one in detector.detect(grey)]
        for plate in scene.plates:
            plates += 1
            found += any(iou(plate.box, box) >= 0.5 for box in boxes)
    assert plates >= 12 and found / plates > 0.6
    assert detector.detect(np.full((480, 640), 90, np.uint8)) == []


@pytest.mark.shared
@pytest.mark.parametrize(
    ("folder", "strict", "folded"), [("characters/val", 0.92, 0.96), ("characters_br", 0.92, 0.97)]
)
def test_it_reads_real_characters(bundle, shared_data, folder, strict, folded):
    characters = load_characters(shared_data / folder)
    figure = evaluate_characters(CharacterRecognizer(bundle).classify, characters)
    assert figure.strict / figure.pictures >= strict
    assert figure.folded / figure.pictures >= folded
