"""How well a bundle's character CNN reads a set of character pictures."""

from __future__ import annotations

from dataclasses import dataclass

from lpr_core.recognize import ALPHABET, CharacterRecognizer
from lpr_core.score import normalise_text, wilson_interval
from model_training.characters import CharacterSet


@dataclass(frozen=True)
class CharacterAccuracy:
    """Figures on one set.

    Attributes:
        name: of the set.
        pictures: all files of its classes, those refused included: they count as misread.
        strict: read as labelled.
        folded: read as labelled where O is taken as 0 and I as 1 on both sides.
        confusions: (label, read) of every picture misread even when folded.
    """

    name: str
    pictures: int
    strict: int
    folded: int
    confusions: tuple[tuple[str, str], ...]

    def row(self) -> str:
        """A row of the table that TABLE_HEAD heads, in Markdown."""
        cells = [f"`{self.name}`", str(self.pictures)]
        for hits in (self.strict, self.folded):
            low, high = wilson_interval(hits, self.pictures)
            cells.append(f"{hits / self.pictures:.2%} ({low:.2%} to {high:.2%})")
        return f"| {' | '.join(cells)} |"


TABLE_HEAD = "| set | pictures | strict (95 % Wilson) | O/0, I/1 folded |\n|---|---|---|---|"


def evaluate_characters(
    recognizer: CharacterRecognizer, characters: CharacterSet
) -> CharacterAccuracy:
    """Read every picture of a set and count."""
    labels = [ALPHABET[i] for i in characters.labels]
    best = recognizer.classify(characters.normalised()).argmax(axis=1)
    reads = [ALPHABET[i] for i in best]
    wrong = [
        (label, read)
        for label, read in zip(labels, reads, strict=True)
        if normalise_text(label, fold=True) != normalise_text(read, fold=True)
    ]
    return CharacterAccuracy(
        characters.name,
        len(labels) + len(characters.refused),
        sum(label == read for label, read in zip(labels, reads, strict=True)),
        len(labels) - len(wrong),
        tuple(wrong),
    )
