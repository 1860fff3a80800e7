"""How well the character CNN reads the sets that serve evaluation only.

python benchmarks/characters.py DATA_DIR [--bundle DIR]
"""

import argparse
from pathlib import Path

from lpr_core.bundle import Bundle
from lpr_core.recognize import CharacterRecognizer
from model_training.characters import load_characters
from model_training.evaluate import TABLE_HEAD, evaluate_characters

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("data", type=Path, help="the folder with characters/ and characters_br/")
parser.add_argument("--bundle", type=Path, help="a bundle's folder; the default bundle if absent")
options = parser.parse_args()

recognizer = CharacterRecognizer(Bundle.load(options.bundle))
print(TABLE_HEAD)
for name in ("characters/val", "characters_br"):
    characters = load_characters(options.data / name)
    print(evaluate_characters(recognizer, characters).row())
