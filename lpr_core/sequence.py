"""A plate crop to its text at once, by the bundle's whole-plate network, and where each character
of it stands.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from lpr_core import ctc
from lpr_core.bundle import Bundle, BundleError
from lpr_core.geometry import Box, Image
from lpr_core.networks import BundledNetwork, Floats
from lpr_core.recognize import MAX_ALTERNATIVES, TOP_K, CharacterRead, TextRead
from lpr_core.rectify import PlateCrop

HEIGHT, WIDTH = 64, 160
"""Pixels of a crop as the network sees it."""

ROWS = 2
"""The network's first half of frames reads the upper line, the other half the lower one."""

MARGIN = 0.12
"""How much of a plate's surroundings networks are trained to see on each side, in shares of its
height; a bundle tells its own."""

MIN_LENGTH, MAX_LENGTH = 2, 10
"""Shortest and longest text that is a plate's."""

QUIET = 1e-3
"""A frame that holds a character with no more than this probability is taken as surely blank."""

LONE_WIDTH = 0.1
"""Width of a character that stands alone on its line, in shares of the crop's."""

SURE_VIEW = 0.9
"""Where the first view's likeliest text, once weighed, has this probability, no other view is
looked at."""

HOPELESS_VIEW = 0.05
"""Nor where the text of its likeliest path has less than this: what was found is no plate, or
beyond reading, and a search for other texts would take long and find nothing."""

FEW_VIEWS, SURE_FEW = 3, 0.7
"""So many views are enough where the likeliest text, once weighed, has this probability in their
mean."""


@dataclass(frozen=True)
class View:
    """A crop looked at slightly otherwise, about its centre.

    Attributes:
        zoom: how much larger the plate appears.
        slant: x gained a pixel of y.
        rise: y gained a pixel of x.
    """

    zoom: float = 1.0
    slant: float = 0.0
    rise: float = 0.0


VIEWS = (
    View(),
    View(zoom=0.92),
    View(zoom=1.08),
    View(rise=0.04),
    View(rise=-0.04),
    View(slant=0.15),
    View(slant=-0.15),
    View(zoom=1.08, slant=0.15),
    View(zoom=1.08, slant=-0.15),
)
"""The bundle says how many of them its network is to see (`views`)."""


@dataclass(frozen=True, eq=False)
class ViewedPlate:
    """What the network makes of one view of a plate.

    Attributes:
        crop: the view.
        log_probabilities: of each class in each frame that is kept, float32 of shape (kept, 37):
            of frames in a row that are surely blank, one is.
        frames: which these are, of shape (kept,).
        columns: how many frames lie across the crop.
    """

    crop: PlateCrop
    log_probabilities: Floats
    frames: npt.NDArray[np.intp]
    columns: int


@dataclass(frozen=True, eq=False)
class SeenPlate:
    """What all views of a plate say.

    Attributes:
        texts: the likeliest, as classes, with their probabilities given what plates bear, best
            first.
        seen: the likeliest by the network alone.
        view: the one that shows the first of the texts clearest.
    """

    texts: Sequence[tuple[ctc.Text, float]]
    seen: ctc.Text
    view: ViewedPlate


def pattern_of(text: str) -> str:
    """A text's sequence of letters (L) and digits (D)."""
    return "".join("D" if c.isdigit() else "L" for c in text)


def normalise_plate(pixels: Image) -> Floats:
    """A plate crop as the network sees it; training uses this very function.

    Args:
        pixels: grey, uint8 of shape (height, width), the plate with its margin around it.

    Returns:
        float32 of shape (64, 160): stretched to that size, its mean 0, its spread about 1, an even
        crop's 0.
    """
    height, width = pixels.shape
    shrinks = height >= HEIGHT and width >= WIDTH
    method = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    grey = cv2.resize(pixels, (WIDTH, HEIGHT), interpolation=method).astype(np.float32)
    return np.asarray((grey - grey.mean()) / (grey.std() + 4), np.float32)


class SequenceRecognizer:
    """The bundle's whole-plate network; threads may share one.

    Its confidence is the probability of the whole text. The bundle calibrates it: the frames by a
    `temperature` (Guo et al. 2017), the text's probability by a piecewise linear map, `confidence`,
    two rows of probabilities: as computed, rising, and as they turned out. Plates whose text is not
    clear at first sight are looked at in several views (as many as the bundle's `views` says), and
    each text's probability is its mean over them. No country is named, but letters and digits
    follow each other on plates in few ways: the bundle's `patterns` weigh texts, in the first view
    and in the mean, by theirs.

    Raises:
        BundleError: the bundle holds no reader, or one that is described otherwise.
        ValueError: an unknown backend.
    """

    def __init__(self, bundle: Bundle, backend: str = "litert") -> None:
        self._network = BundledNetwork(bundle, "reader", backend)
        entry = self._network.entry
        try:
            self.margin = float(entry["margin"])
            self._alphabet = str(entry["alphabet"])
            self._is_letter = np.array([c.isalpha() for c in self._alphabet])
            self._temperature = float(entry["calibration"].get("temperature", 1.0))
            self._confidence = entry["calibration"].get("confidence", ((0.0, 1.0), (0.0, 1.0)))
            patterns = entry.get("patterns", {"weights": {}, "others": 1.0})
            self._weights = {name: float(weight) for name, weight in patterns["weights"].items()}
            self._other_weight = float(patterns["others"])
            if min([self._other_weight, *self._weights.values()]) <= 0:
                raise ValueError("a pattern's weight is not above 0")
            views = int(entry.get("views", 1))
            if views < 1:
                raise ValueError("no view")
        except (AttributeError, KeyError, TypeError, ValueError):
            raise BundleError(
                "the bundle's reader lacks its margin, alphabet or calibration, or its views or "
                "patterns' weights are none"
            ) from None
        self._views = VIEWS[:views]

    def warm_up(self) -> None:
        """Load the network now rather than with the first plate.

        Raises:
            ImportError: the backend's library is not installed.
        """
        self._network(np.zeros((1, HEIGHT, WIDTH, 1), np.float32))

    def segment(self, crop: PlateCrop) -> SeenPlate:
        """Look at a crop: once where its text is clear at first sight, or hopeless; else more."""
        first = self._look(crop, self._views[0])
        path = ctc.best_path(first.log_probabilities)
        (probability,) = ctc.text_probabilities(first.log_probabilities, [path])
        if probability < HOPELESS_VIEW:
            return SeenPlate([(path, float(probability))], path, first)
        texts = ctc.beam_search(first.log_probabilities, MAX_ALTERNATIVES)
        weighed = self._weighed(texts)
        if weighed[0][1] >= SURE_VIEW:
            return SeenPlate(weighed, texts[0][0], first)
        views = [first, *(self._look(crop, view) for view in self._views[1:FEW_VIEWS])]
        few = self._vote(views, texts)
        if few.texts[0][1] >= SURE_FEW or len(views) == len(self._views):
            return few
        views += [self._look(crop, view) for view in self._views[FEW_VIEWS:]]
        return self._vote(views, texts)

    def recognize(self, plates: Sequence[SeenPlate]) -> list[TextRead]:
        """Read the plates of a picture."""
        return [self._read(plate) for plate in plates]

    def _look(self, crop: PlateCrop, view: View) -> ViewedPlate:
        seen = _seen_in(crop, view)
        logits = self._network(normalise_plate(seen.pixels)[None, ..., None])[0]
        likely = ctc.log_probabilities_of(logits / self._temperature)
        quiet = likely[:, ctc.BLANK] >= math.log1p(-QUIET)
        frames = np.flatnonzero(~quiet | ~np.append(False, quiet[:-1]))
        return ViewedPlate(seen, likely[frames], frames, len(likely) // ROWS)

    def _read(self, plate: SeenPlate) -> TextRead:
        text, seen = plate.texts[0][0], self._spell(plate.seen)
        if not text:
            return TextRead((), (), legible=False, seen=seen)
        alternatives = self._calibrated(
            [(self._spell(other), probability) for other, probability in plate.texts if other]
        )
        characters = self._characters(plate.view, text)
        legible = MIN_LENGTH <= len(text) <= MAX_LENGTH
        return TextRead(characters, alternatives, legible, seen)

    def _spell(self, text: ctc.Text) -> str:
        return "".join(self._alphabet[c - 1] for c in text)

    def _weighed(self, texts: Sequence[tuple[ctc.Text, float]]) -> list[tuple[ctc.Text, float]]:
        """The texts, each times its pattern's weight, together as likely as before.

        That nothing is written there stays as likely as it was.
        """
        weighed = dict(texts)
        weights = {text: self._weight(pattern_of(self._spell(text))) for text in weighed if text}
        before = sum(weighed[text] for text in weights)
        after = sum(weighed[text] * weight for text, weight in weights.items())
        for text, weight in weights.items():
            weighed[text] *= weight * before / after
        return sorted(weighed.items(), key=lambda item: -item[1])

    def _weight(self, pattern: str) -> float:
        return self._weights.get(pattern, self._other_weight)

    def _vote(
        self, views: Sequence[ViewedPlate], texts: Sequence[tuple[ctc.Text, float]]
    ) -> SeenPlate:
        """The likeliest texts by their mean over the views.

        In the running are the likeliest of the first view, `texts`, and of each other the text that
        its likeliest path spells: to search there too finds nothing more and takes most of a view's
        time.
        """
        paths = [ctc.best_path(view.log_probabilities) for view in views[1:]]
        candidates = list(dict.fromkeys([*(text for text, _ in texts), *paths]))
        by_view = np.array(
            [ctc.text_probabilities(view.log_probabilities, candidates) for view in views]
        )
        mean = by_view.mean(axis=0)
        best = np.argsort(-mean, kind="stable")[:MAX_ALTERNATIVES]
        weighed = self._weighed([(candidates[i], float(mean[i])) for i in best])
        clearest = views[int(by_view[:, candidates.index(weighed[0][0])].argmax())]
        return SeenPlate(weighed, candidates[best[0]], clearest)

    def _calibrated(self, texts: Sequence[tuple[str, float]]) -> tuple[tuple[str, float], ...]:
        """The likeliest text's probability as the bundle maps it, the others sharing the rest."""
        (best, probability), *others = texts
        confidence = float(np.interp(probability, *self._confidence))
        share = (1 - confidence) / (1 - probability) if probability < 1 else 0.0
        return (best, confidence), *((text, min(p * share, confidence)) for text, p in others)

    def _characters(self, plate: ViewedPlate, text: ctc.Text) -> tuple[CharacterRead, ...]:
        likely = ctc.replacements(plate.log_probabilities, text)
        # A character weighs what the text weighs with it: as a letter or as a digit.
        pattern = pattern_of(self._spell(text))
        weights = [
            [self._weight(f"{pattern[:place]}{kind}{pattern[place + 1 :]}") for kind in "DL"]
            for place in range(len(pattern))
        ]
        likely[:, 1:] *= np.array(weights)[:, self._is_letter.astype(int)]
        likely /= likely.sum(axis=1, keepdims=True)
        spans = ctc.align(plate.log_probabilities, text)
        reads = []
        for own, row, box in zip(text, likely, _boxes(plate, spans), strict=True):
            others = [c for c in np.argsort(-row, kind="stable")[:TOP_K] if c != own]
            alternatives = tuple(
                (self._alphabet[c - 1], float(row[c])) for c in (own, *others[: TOP_K - 1])
            )
            character, probability = alternatives[0]
            reads.append(CharacterRead(character, probability, character, box, alternatives))
        return tuple(reads)


def _seen_in(crop: PlateCrop, view: View) -> PlateCrop:
    """The crop as a view shows it, of the same size."""
    if view == View():
        return crop
    height, width = crop.pixels.shape
    turn = view.zoom * np.array([[1, view.slant], [view.rise, 1]])
    back = np.linalg.inv(turn)
    centre = np.array([width - 1, height - 1]) / 2
    to_crop = np.eye(3)
    to_crop[:2] = np.column_stack([back, centre - back @ centre])
    pixels = cv2.warpAffine(
        crop.pixels,
        to_crop[:2],
        (width, height),
        flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
        borderMode=cv2.BORDER_REPLICATE,
    )
    border = height / 2 - (height / 2 - crop.border) * view.zoom
    return PlateCrop(np.asarray(pixels, np.uint8), crop.to_image @ to_crop, max(border, 0.0))


def _boxes(plate: ViewedPlate, spans: Sequence[ctc.Span]) -> Iterator[Box]:
    """Where the characters stand, in pixels of the original picture.

    CTC tells a character's middle, not its edges: those are drawn halfway to its neighbours, and
    where these stand far, half the usual distance away. It is as high as its line.
    """
    crop, frames = plate.crop, plate.frames
    rows = frames[[span.peak for span in spans]] // plate.columns
    edges = frames[[(span.first, span.last) for span in spans]]
    middles = (edges.sum(axis=1) + 1) / 2 - rows * plate.columns
    same_line = rows[1:] == rows[:-1]
    gaps = np.diff(middles)
    usual = float(np.median(gaps[same_line])) if same_line.any() else plate.columns * LONE_WIDTH
    between = np.where(same_line, np.minimum(gaps, usual), usual) / 2
    left, right = middles - np.append(usual / 2, between), middles + np.append(between, usual / 2)

    lines = len(set(rows.tolist()))
    column = crop.pixels.shape[1] / plate.columns
    high = (crop.pixels.shape[0] - 2 * crop.border) / lines
    tops = crop.border + (rows * high if lines > 1 else 0 * rows)
    for x, end, y in zip(left * column, right * column, tops, strict=True):
        yield crop.in_image(Box(x, y, end - x, high))
