"""`platebeam evaluate-model`: how well a character model reads sets of character pictures."""

from __future__ import annotations

import argparse
import csv
import json
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from lpr_core.recognize import ALPHABET, Classifier, Floats
from lpr_core.score import (
    ConfidenceBin,
    calibration_error,
    normalise_text,
    reliability,
    wilson_interval,
)
from model_training.characters import CharacterSet, load_characters
from model_training.classifiers import ModelError, load_classifier
from model_training.plots import Caption, draw_confusion, draw_pictures, draw_reliability

RELIABILITY_BINS = 15
LEAST_PROBABILITY = 1e-12
WORST = 40
TABLE_HEAD = (
    "| set | pictures | strict (95 % Wilson) | O/0, I/1 folded | loss | calibration error |\n"
    "|---|---|---|---|---|---|"
)


@dataclass(frozen=True)
class ClassFigures:
    """One character's figures; None where nothing is divided by nothing.

    Attributes:
        character: of ALPHABET.
        pictures: of this character, those refused included.
        precision: share of the pictures read as this character that show it.
        recall: share of its pictures that are read as it.
        f1: the harmonic mean of both.
    """

    character: str
    pictures: int
    precision: float | None
    recall: float | None
    f1: float | None


@dataclass(frozen=True, eq=False)
class Evaluation:
    """What a model made of a set, and the figures of it.

    Refused files count as misread, but say nothing of probabilities.

    Attributes:
        characters: the set; it holds at least one picture.
        probabilities: float32 (n, 36), a row a picture.
    """

    characters: CharacterSet
    probabilities: Floats

    @property
    def name(self) -> str:
        """Of the set."""
        return self.characters.name

    @property
    def pictures(self) -> int:
        """Number of files, those refused included."""
        return len(self.characters) + len(self.characters.refused)

    @cached_property
    def reads(self) -> npt.NDArray[np.int64]:
        """The most probable character of each picture, int64 (n,), indices of ALPHABET."""
        return np.asarray(self.probabilities.argmax(axis=1), np.int64)

    @property
    def strict(self) -> int:
        """Number of pictures read as labelled."""
        return int((self.reads == self.characters.labels).sum())

    @property
    def folded(self) -> int:
        """Number read as labelled where O is taken as 0 and I as 1 on both sides."""
        return len(self.characters) - sum(self.confusions.values())

    @cached_property
    def confusions(self) -> Counter[tuple[str, str]]:
        """How often which (label, read) occurs among those misread even when folded."""
        pairs = Counter(
            (ALPHABET[label], ALPHABET[read])
            for label, read in zip(self.characters.labels, self.reads, strict=True)
        )
        folded = {character: normalise_text(character, fold=True) for character in ALPHABET}
        return Counter({(a, b): n for (a, b), n in pairs.items() if folded[a] != folded[b]})

    @cached_property
    def confusion_matrix(self) -> npt.NDArray[np.int64]:
        """Number of pictures by label (row) and read (column), int64 (36, 36)."""
        matrix = np.zeros((len(ALPHABET), len(ALPHABET)), np.int64)
        np.add.at(matrix, (self.characters.labels, self.reads), 1)
        return matrix

    @cached_property
    def losses(self) -> npt.NDArray[np.float64]:
        """The negative log likelihood of each picture's label, float64 (n,), in nats."""
        rows = np.arange(len(self.characters))
        likelihoods = self.probabilities[rows, self.characters.labels].astype(np.float64)
        return -np.log(np.maximum(likelihoods, LEAST_PROBABILITY))

    @property
    def loss(self) -> float:
        """The mean negative log likelihood, as `platebeam train` reports it."""
        return float(self.losses.mean())

    @cached_property
    def reliability(self) -> list[ConfidenceBin]:
        """Accuracy by the probability of the most probable character, in RELIABILITY_BINS bins."""
        right = self.reads == self.characters.labels
        return reliability(self.probabilities.max(axis=1), right, RELIABILITY_BINS)

    @property
    def calibration_error(self) -> float:
        """The expected calibration error (Guo et al. 2017)."""
        return calibration_error(self.reliability)

    @cached_property
    def classes(self) -> tuple[ClassFigures, ...]:
        """The figures of each character of ALPHABET."""
        refused = Counter(item.path.parent.name for item in self.characters.refused)
        figures = []
        for number, character in enumerate(ALPHABET):
            hits = int(self.confusion_matrix[number, number])
            read = int(self.confusion_matrix[:, number].sum())
            pictures = int(self.confusion_matrix[number].sum()) + refused[character]
            figures.append(
                ClassFigures(
                    character,
                    pictures,
                    precision=hits / read if read else None,
                    recall=hits / pictures if pictures else None,
                    f1=2 * hits / (pictures + read) if pictures + read else None,
                )
            )
        return tuple(figures)

    def row(self) -> str:
        """A row of the table that TABLE_HEAD heads, in Markdown."""
        cells = [f"`{self.name}`", f"{self.pictures:,}"]
        for hits in (self.strict, self.folded):
            low, high = wilson_interval(hits, self.pictures)
            cells.append(f"{hits / self.pictures:.2%} ({low:.2%} to {high:.2%})")
        cells += [f"{self.loss:.4f}", f"{self.calibration_error:.2%}"]
        return f"| {' | '.join(cells)} |"

    def to_json(self) -> dict[str, Any]:
        """All figures, for a JSON file."""
        return {
            "name": self.name,
            "sha256": self.characters.sha256,
            "pictures": self.pictures,
            "refused": len(self.characters.refused),
            **{
                name: {
                    "right": hits,
                    "share": hits / self.pictures,
                    "interval": wilson_interval(hits, self.pictures),
                }
                for name, hits in (("accuracy", self.strict), ("accuracy_folded", self.folded))
            },
            "loss": self.loss,
            "calibration_error": self.calibration_error,
            "classes": [asdict(item) for item in self.classes],
            "reliability": [item._asdict() for item in self.reliability],
            "confusion_matrix": self.confusion_matrix.tolist(),
        }


def evaluate_characters(classify: Classifier, characters: CharacterSet) -> Evaluation:
    """Read every picture of a set."""
    return Evaluation(characters, classify(characters.normalised()))


def together(evaluations: Sequence[Evaluation]) -> Evaluation:
    """Several sets' evaluations as one; at least one is given."""
    first, *others = (item.characters for item in evaluations)
    for other in others:
        first = first.joined(other)
    return Evaluation(first, np.concatenate([item.probabilities for item in evaluations]))


def best_of(probabilities: Floats, top: int) -> list[tuple[str, float]]:
    """The most probable characters with their probabilities, best first.

    Args:
        probabilities: float32 (36,).
        top: how many.
    """
    best = np.argsort(-probabilities, kind="stable")[:top]
    return [(ALPHABET[i], float(probabilities[i])) for i in best]


def held_out(folder: Path) -> Path:
    """The val/ of a folder that has one beside what was trained on, else the folder itself."""
    return folder / "val" if (folder / "val").is_dir() else folder


def load_held_out(folder: Path) -> CharacterSet:
    """Read the pictures to evaluate on: those of `held_out`.

    Raises:
        FileNotFoundError: there is no character picture in it.
    """
    characters = load_characters(held_out(folder))
    if not len(characters):
        raise FileNotFoundError(f"{folder} holds no character picture")
    return characters


def write_report(output: Path, model: str, evaluations: Sequence[Evaluation]) -> None:
    """Write what `platebeam evaluate-model` leaves in its folder; see its help.

    Args:
        output: an existing folder.
        model: what was evaluated, as the report names it.
        evaluations: of one or more sets; classes and pictures show them together.
    """
    whole = together(evaluations)
    figures = {"model": model, "sets": [item.to_json() for item in evaluations]}
    (output / "metrics.json").write_text(
        json.dumps({**figures, "together": whole.to_json()}, indent=1), encoding="utf-8"
    )
    _write_csv(
        output / "classes.csv",
        [field.name for field in fields(ClassFigures)],
        [list(asdict(item).values()) for item in whole.classes],
    )
    _write_csv(
        output / "refused.csv",
        ["path", "reason"],
        [[item.path, item.reason] for item in whole.characters.refused],
    )
    draw_confusion(whole.confusion_matrix, output / "confusion.png")
    draw_reliability(whole.reliability, whole.calibration_error, output / "reliability.png")
    worst = np.argsort(-whole.losses, kind="stable")[:WORST]
    captions = []
    for number in worst:
        truth = ALPHABET[whole.characters.labels[number]]
        best = best_of(whole.probabilities[number], 3)
        name = whole.characters.paths[number].name[-18:]
        lines = [name, f"truth {truth}", *(f"{character} {p:.1%}" for character, p in best)]
        captions.append(Caption("\n".join(lines), right=best[0][0] == truth))
    draw_pictures(whole.characters.normalised()[worst], captions, output / "worst.png")


def main(argv: Sequence[str]) -> int:
    """Run `platebeam evaluate-model`."""
    parser = argparse.ArgumentParser(
        prog="platebeam evaluate-model",
        description=__doc__,
        epilog="Writes metrics.json (all figures, by set and together), classes.csv (precision, "
        "recall and F1 by character), confusion.png, reliability.png, worst.png (the pictures of "
        "the largest loss) and refused.csv (files that are no character pictures; they count as "
        "misread).",
    )
    parser.add_argument(
        "model",
        type=Path,
        nargs="?",
        metavar="MODEL",
        help="a training's folder, a .keras or .h5 file, a SavedModel or a bundle; "
        "the default bundle if absent",
    )
    parser.add_argument(
        "--data",
        type=Path,
        nargs="+",
        required=True,
        metavar="DIR",
        help="folders with a folder per character; of one with a val/ that alone is read",
    )
    parser.add_argument("--output", type=Path, required=True, metavar="DIR", help="the report's")
    options = parser.parse_args(argv)
    try:
        sets = [load_held_out(folder) for folder in options.data]
        classify = load_classifier(options.model)
        options.output.mkdir(parents=True, exist_ok=True)
    except (ModelError, OSError) as error:
        print(f"platebeam evaluate-model: {error}", file=sys.stderr)
        return 2
    for folder, characters in zip(options.data, sets, strict=True):
        if held_out(folder) != folder:
            print(f"{folder}: evaluated on its val/ alone", file=sys.stderr)
        for item in characters.refused:
            print(f"refused: {item.path}: {item.reason}", file=sys.stderr)
    evaluations = [evaluate_characters(classify, characters) for characters in sets]
    write_report(options.output, str(options.model or "default bundle"), evaluations)
    print(TABLE_HEAD)
    for evaluation in evaluations:
        print(evaluation.row())
    errors = together(evaluations).confusions.most_common(8)
    print("\nMost frequent errors, O/0 and I/1 folded (truth → read):", end=" ")
    print(", ".join(f"{truth} → {read} ({n})" for (truth, read), n in errors) or "none")
    print(f"Report: {options.output}")
    return 0


def _write_csv(path: Path, head: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(head)
        writer.writerows(rows)
