"""The sources' character CNNs by their recipes on the second source's own pictures.

python benchmarks/sources.py DATA_DIR --output DIR [--plot PNG] [--threads N]

Trains on `characters/train` alone and, as the second source did, chooses the epoch on
`characters/val`. What DIR already holds is not trained again.
"""

import argparse
import time
from pathlib import Path
from statistics import median

import keras
import numpy as np
from matplotlib.figure import Figure

from model_training import train
from model_training.architectures import ARCHITECTURES
from model_training.characters import load_split
from model_training.train_characters import summarise
from model_training.training_folder import HISTORY_FILE, MODEL_FILE, read_history

SEEDS = {"two_conv": range(5), "three_conv_bn": range(3), "large_kernel": range(1)}

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("data", type=Path, help="the folder with characters/")
parser.add_argument("--output", type=Path, required=True, help="keeps the models")
parser.add_argument("--plot", type=Path, help="a PNG of the curves")
parser.add_argument("--threads", type=int, default=1)
options = parser.parse_args()

learnt, kept = load_split(options.data / "characters", 0, 0)
new = ~np.isin(kept.hashes, learnt.hashes)
pictures, labels = kept.normalised()[new][..., None], kept.labels[new]

figure = Figure(figsize=(8, 4), layout="constrained")
axes = figure.subplots()
table = []
for number, (architecture, seeds) in enumerate(SEEDS.items()):
    rows = []
    for seed in seeds:
        folder = options.output / f"{architecture}-{seed}"
        started, trained = time.monotonic(), (folder / MODEL_FILE).exists()
        arguments = ["characters", "--data", str(options.data / "characters"), "--resume"]
        arguments += ["--architecture", architecture, "--seed", str(seed)]
        arguments += ["--threads", str(options.threads), "--output", str(folder)]
        status = train.main(arguments)
        if status:
            raise SystemExit(status)
        history = read_history(folder / HISTORY_FILE)
        figures = summarise(history, "accuracy")
        model = keras.saving.load_model(folder / MODEL_FILE)
        unseen = model.evaluate(pictures, labels, verbose=0, return_dict=True)
        rows.append(figures | {"unseen": unseen["sparse_categorical_accuracy"]})
        if not trained:
            rate = len(learnt) * figures["last_epoch"] / (time.monotonic() - started)
            print(f"{folder.name}: {rate:.0f} pictures a second, all told")
        accuracy = history["val_sparse_categorical_accuracy"]
        axes.plot(
            range(1, len(accuracy) + 1),
            accuracy,
            color=f"C{number}",
            alpha=1 if seed == 0 else 0.35,
            label=architecture if seed == 0 else None,
        )
    middle = {name: median(row[name] for row in rows) for name in rows[0]}
    table.append((architecture, len(rows), ARCHITECTURES[architecture], middle, rows))
axes.set(xlabel="epoch", ylabel="accuracy on characters/val", ylim=(0, 1.01))
axes.axhline(0.9815, color="grey", linewidth=0.7, label="second source's best trial")
axes.legend()
if options.plot:
    figure.savefig(options.plot, dpi=110)

print(
    f"{len(kept)} validation pictures, {len(kept) - int(new.sum())} of them also among the "
    f"{len(learnt)} training pictures"
)
print(
    "| architecture | seeds | recipe | best epoch | loss there | last epoch | loss there |", end=""
)
print(" best, pictures not trained on |\n|---|---|---|---|---|---|---|---|")
for architecture, count, recipe, middle, rows in table:
    print(
        f"| `{architecture}` | {count} | Adam {recipe.learning_rate:g}, batch "
        f"{recipe.batch_size}, {recipe.epochs} epochs | {middle['validation_accuracy']:.4f} | "
        f"{middle['validation_loss']:.4f} | {middle['last_accuracy']:.4f} | "
        f"{middle['last_loss']:.4f} | {middle['unseen']:.4f} |"
    )
    for name in ("validation_accuracy", "validation_loss", "last_accuracy", "last_loss"):
        print(f"  {name} by seed:", ", ".join(f"{row[name]:.4f}" for row in rows))
