"""How fast the character CNNs train, on one core.

python benchmarks/training.py DATA_DIR

Processor time of whole epochs over `characters/train`, batches made and steps done, after one epoch
to warm up; what counts is the ratio to the first row.
"""

import argparse
import time
from dataclasses import replace
from pathlib import Path

from model_training import train_characters as train
from model_training.architectures import ARCHITECTURES, build
from model_training.training_folder import use_threads

parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
parser.add_argument("data", type=Path, help="the folder with characters/train")
options = parser.parse_args()

use_threads(1)
folders = [(options.data / "characters" / "train", "GPL-3.0")]
data = train.gather(folders, 0, 0, (), validation_share=0.1, seed=0)
recipes = {name: train.recipe_of(name, epochs=1) for name in ARCHITECTURES}
augmented = replace(recipes["three_conv_bn"], augment=True, batch_size=64)
recipes["three_conv_bn, augmented, batches of 64 (as shipped)"] = augmented

print("| | parameters | pictures a second | time, of the first |\n|---|---|---|---|")
reference = 0.0
for name, recipe in recipes.items():
    pictures = train.batches(data, recipe)
    model = build(recipe.architecture, recipe.filters, recipe.dense, recipe.dropout)
    train.compile_model(model, recipe, len(pictures))
    model.fit(pictures, shuffle=False, verbose=0)
    epochs = 1 if recipe.architecture == "large_kernel" else 4
    started = time.process_time()
    model.fit(pictures, shuffle=False, epochs=epochs, verbose=0)
    seconds = (time.process_time() - started) / epochs / len(data.sets[0])
    reference = reference or seconds
    print(f"| {name} | {model.count_params():,} | {1 / seconds:.0f} | {seconds / reference:.2f} |")
