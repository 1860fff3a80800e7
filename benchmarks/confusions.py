"""Which characters does the reader take for each other, on plates that it did not learn?

    python benchmarks/confusions.py TRAINING [--bundle FOLDER]

TRAINING is the folder of the reader's training (models/reader), which holds its validation plates.
They are read cut well, and as badly cut and photographed as in training. Pairs are listed, either
way round, with the share of their characters that is read as the other: the most frequent first.
`pipelines.plate_search` is made from them.
"""

from __future__ import annotations

import argparse
from collections import Counter
from pathlib import Path

import numpy as np

from lpr_core.bundle import Bundle
from lpr_core.score import align_texts
from lpr_core.sequence import SequenceRecognizer
from model_training.calibration import clean_views, random_views
from model_training.train_reader import read_validation
from model_training.training_folder import VALIDATION_FILE

PAIRS = 40


def main() -> None:
    """Read the plates, print the pairs."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("training", type=Path)
    parser.add_argument("--bundle", type=Path)
    arguments = parser.parse_args()
    recognizer = SequenceRecognizer(Bundle.load(arguments.bundle))
    sets = read_validation(arguments.training / VALIDATION_FILE)
    samples = random_views(sets, np.random.default_rng([11, 4])) + clean_views(sets)
    pairs: Counter[str] = Counter()
    characters: Counter[str] = Counter()
    for sample in samples:
        (read,) = recognizer.recognize([recognizer.segment(sample.crop)])
        for truth, seen in align_texts(sample.text, read.text):
            characters[truth or ""] += 1
            if truth and seen and truth != seen:
                pairs["".join(sorted(truth + seen))] += 1
    total = characters.total() - characters[""]
    print(f"{len(samples)} views, {total} characters, {pairs.total()} of them read as another\n")
    print("| pair | confused | of their characters |\n|---|---|---|")
    for pair, times in pairs.most_common(PAIRS):
        share = times / (characters[pair[0]] + characters[pair[1]])
        print(f"| {pair[0]} {pair[1]} | {times} | {share:.2%} |")


if __name__ == "__main__":
    main()
