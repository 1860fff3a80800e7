"""Real plates with other texts: some characters exchanged for those of plates of their kind.

A network that sees the same few real plates over and over learns their texts by heart, wrong labels
included. With exchanged characters it meets their lettering in texts that it cannot know.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from lpr_core.geometry import Box, Image
from lpr_core.rectify import PlateCrop
from lpr_core.segment import CharacterBox, CharacterSegmenter
from model_training.plate_crops import HEIGHT, MARGIN, PlateCrops

ROOM = 0.08
"""Above and below a character in its slot, in shares of its height."""

WIDEST_ROOM = 0.2
"""Beside a character, at most: farther off there may be a hyphen or an emblem."""

EXCHANGED = 0.5
"""Share of a plate's characters."""

TOLD_APART = 0.2
"""Share of a set's crops from which on the characters that thresholds tell apart are trusted to be
those of the text: in a set with other writing beside it they are rarely as many, and then others.
"""

STRETCHED = 1.3
"""Most by which a character is stretched or squeezed to fit another's slot."""

TRIES = 4
"""Characters that are tried in a slot before its own stays there."""

FEATHER = 0.1
"""Of a slot's width, over which it passes into the plate around it."""


@dataclass(frozen=True)
class Slot:
    """A character's place on a plate, with its share of the paper around it.

    Attributes:
        crop: number of the crop.
        box: in pixels of the crop as it is kept.
        shape: width over height on the plate itself.
    """

    crop: int
    box: Box
    shape: float


@dataclass(frozen=True, eq=False)
class Lettering:
    """The characters of a set's crops, where they can be told apart.

    Attributes:
        crops: the set.
        slots: of each crop, in the order of its text; none where they cannot be told apart.
        dark: of each crop, whether its writing is darker than its paper.
        alike: all slots with a character, by the character and whether it is dark.
    """

    crops: PlateCrops
    slots: tuple[tuple[Slot, ...], ...]
    dark: tuple[bool, ...]
    alike: dict[tuple[str, bool], tuple[Slot, ...]]

    def respelled(self, number: int, rng: np.random.Generator) -> tuple[Image, str]:
        """A crop as it is kept and its text, both with other letters and digits here and there."""
        kept, text = self.crops.pixels[number].copy(), list(self.crops.texts[number])
        for place, slot in enumerate(self.slots[number]):
            if rng.random() < EXCHANGED:
                for _ in range(TRIES):
                    character = self._another(text[place], self.dark[number], rng)
                    others = self.alike[character, self.dark[number]]
                    other = others[rng.integers(len(others))]
                    if 1 / STRETCHED < other.shape / slot.shape < STRETCHED:
                        _put(kept, slot.box, _within(self.crops.pixels[other.crop], other.box))
                        text[place] = character
                        break
        return kept, "".join(text)

    def _another(self, character: str, dark: bool, rng: np.random.Generator) -> str:
        """Any letter in place of a letter, any digit in place of a digit: rare ones as often."""
        choices = [
            other
            for other, is_dark in self.alike
            if is_dark == dark and other.isdigit() == character.isdigit()
        ]
        return choices[rng.integers(len(choices))]


def lettering(crops: PlateCrops) -> Lettering:
    """Tell the characters of crops apart by thresholds: trusted where they are as many as the
    text has.
    """
    segmenter = CharacterSegmenter()
    slots: list[tuple[Slot, ...]] = []
    dark: list[bool] = []
    alike: dict[tuple[str, bool], list[Slot]] = defaultdict(list)
    for number, (kept, text) in enumerate(zip(crops.pixels, crops.texts, strict=True)):
        squeezed = (crops.aspects[number] + 2 * MARGIN) / (1 + 2 * MARGIN) * HEIGHT / kept.shape[1]
        size = round(kept.shape[1] * squeezed), HEIGHT
        unsqueeze = np.diag([kept.shape[1] / size[0], 1, 1.0])
        seen = np.asarray(cv2.resize(kept, size, interpolation=cv2.INTER_AREA), np.uint8)
        characters = segmenter.segment(PlateCrop(seen, unsqueeze))
        if len(characters) != len(text):
            characters = ()
        slots.append(
            tuple(
                Slot(number, box, box.width * squeezed / box.height) for box in _slots(characters)
            )
        )
        dark.append(_is_dark(seen, characters))
        for character, slot in zip(text, slots[-1], strict=False):
            alike[character, dark[-1]].append(slot)
    if sum(map(bool, slots)) < TOLD_APART * len(crops):
        return Lettering(crops, ((),) * len(crops), tuple(dark), {})
    return Lettering(crops, tuple(slots), tuple(dark), {k: tuple(v) for k, v in alike.items()})


def _slots(characters: Sequence[CharacterBox]) -> Iterator[Box]:
    """Each character with half of the paper to its neighbours, or what is usual between them."""
    boxes = [character.box for character in characters]
    lines = [character.line for character in characters]
    gaps = [
        b.x - a.right if la == lb else np.inf
        for a, b, la, lb in zip(boxes, boxes[1:], lines, lines[1:], strict=False)
    ]
    usual = float(np.median(gaps)) if gaps else np.inf
    for place, box in enumerate(boxes):
        widest = min(usual / 2, WIDEST_ROOM * box.height)
        before = min(widest, gaps[place - 1] / 2) if place else widest
        behind = min(widest, gaps[place] / 2) if place < len(gaps) else widest
        above = ROOM * box.height
        yield Box(
            box.x - before,
            box.y - above,
            box.width + before + behind,
            box.height + 2 * above,
        )


def _is_dark(seen: Image, characters: Sequence[CharacterBox]) -> bool:
    """Whether the ink is darker than what is around it."""
    differences = []
    for character in characters:
        inside = _within(seen, character.crop_box)
        ink = cv2.resize(character.ink, inside.shape[1::-1]) > 127
        if ink.any() and not ink.all():
            differences.append(float(inside[ink].mean()) - float(inside[~ink].mean()))
    return sum(differences) < 0


def _within(pixels: Image, box: Box) -> Image:
    left, top = max(0, round(box.x)), max(0, round(box.y))
    return pixels[top : max(top + 1, round(box.bottom)), left : max(left + 1, round(box.right))]


def _put(kept: Image, box: Box, character: Image) -> None:
    """Put a character into a slot, in the slot's light, its edges passing into the plate."""
    target = _within(kept, box)
    height, width = target.shape
    paper, ink = np.percentile(target, (5, 95))
    low, high = np.percentile(character, (5, 95))
    there = cv2.resize(character, (width, height), interpolation=cv2.INTER_AREA).astype(np.float32)
    there = (there - np.float32(low)) * np.float32((ink - paper) / max(high - low, 1.0)) + paper
    across, down = (_fading(side) for side in (width, height))
    share = np.minimum(down[:, None], across[None])
    target[:] = np.clip(target * (1 - share) + there * share, 0, 255).astype(np.uint8)


def _fading(side: int) -> npt.NDArray[np.float64]:
    """1 inside, falling to 0 at both ends."""
    middles = np.arange(side) + 0.5
    return np.minimum(1, np.minimum(middles, side - middles) / max(1.0, FEATHER * side))
