"""Numbers that decide how sure a bundle's models say they are, fitted on what they did not learn.

A reader's confidence is to hold on pictures of which validation has none: other cameras, other
countries, corners that a detector found. So it is not fitted on crops as they are, but on views of
them that are aimed as badly and photographed as badly as in training, and on as many rendered
plates, worn and of all layouts, as there are views of real ones. The latter are harder than real
plates mostly are, which errs on the side of doubt. What is fitted is small (a temperature and ten
shares), so that a few hundred plates suffice.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from lpr_core import ctc
from lpr_core.geometry import Image
from lpr_core.networks import Floats
from lpr_core.rectify import PlateCrop
from lpr_core.score import calibration_error, reliability
from lpr_core.sequence import HEIGHT, MARGIN, SequenceRecognizer
from model_training.plate_crops import PlateCrops
from model_training.plate_views import Aim, cut, real_view, rendered_view

LEAST_PROBABILITY = 1e-12
"""Of what turned out true; less counts as this, so that a wrong label does not decide alone."""

VIEWS_PER_CROP = 4
"""Of each real crop."""

GROUPS = 10
"""Of reads, as many in each, whose share that is right is taken."""

THRESHOLDS = tuple(round(0.2 + 0.02 * number, 2) for number in range(36))
"""Scores that a plate may need to count as found."""

FALSE_PLATES = 0.02
"""Allowed a picture without plates: half of them at most for what looks like a plate beyond doubt,
the rest for what is in doubt and can be read."""

DOUBTFUL = 0.35
"""Score from which what is in doubt is worth reading."""

ConfidenceMap = tuple[tuple[float, ...], tuple[float, ...]]
"""Probabilities as computed, rising, and as they turned out."""


class Sample(NamedTuple):
    """A plate as a reader gets it, its text, and the set that it is of."""

    crop: PlateCrop
    text: str
    source: str


class Read(NamedTuple):
    """How sure a reader was of a plate of a set, and whether rightly."""

    source: str
    confidence: float
    right: bool


def fit_temperature(probabilities: Floats, labels: npt.NDArray[np.int32]) -> float:
    """The temperature T at which p^(1/T) is most likely on the labels (Guo et al. 2017).

    Args:
        probabilities: softmax, float32 (n, classes).
        labels: int32 (n,).
    """
    logits = np.log(np.maximum(probabilities.astype(np.float64), LEAST_PROBABILITY))
    rows = np.arange(len(labels))

    def loss(temperature: float) -> float:
        scaled = logits / temperature
        return float((np.logaddexp.reduce(scaled, axis=1) - scaled[rows, labels]).mean())

    return float(min(np.round(np.arange(0.3, 4.0, 0.01), 2), key=loss))


def fit_frame_temperature(logits: Floats, texts: Sequence[ctc.Text]) -> float:
    """The temperature of a reader's frames at which the plates' texts are most likely.

    Args:
        logits: float32 (n, frames, classes).
        texts: of the plates, as classes.
    """

    def loss(temperature: float) -> float:
        scaled = logits / np.float32(temperature)
        scaled -= np.logaddexp.reduce(scaled, axis=2, keepdims=True)
        likely = [
            ctc.text_probabilities(frames, [text])[0]
            for frames, text in zip(scaled, texts, strict=True)
        ]
        return float(-np.log(np.maximum(likely, LEAST_PROBABILITY)).mean())

    coarse = np.geomspace(0.5, 4.0, 7)
    best = int(np.argmin([loss(temperature) for temperature in coarse]))
    low, high = coarse[max(0, best - 1)], coarse[min(best + 1, len(coarse) - 1)]
    return float(min(np.round(np.linspace(low, high, 9), 2), key=loss))


def random_views(sets: Sequence[PlateCrops], rng: np.random.Generator) -> list[Sample]:
    """Views of plates to calibrate on.

    Args:
        sets: crops that were not learnt from, the rendered ones last.
        rng: decides the views.
    """
    *real, rendered = sets
    samples = [
        _sample(crops, number, real_view(*kept, rendered, rng, _size(crops, number)))
        for crops in real
        for number, kept in enumerate(
            zip(crops.pixels, crops.aspects.tolist(), crops.heights.tolist(), strict=True)
        )
        for _ in range(VIEWS_PER_CROP)
    ]
    chosen = rng.permutation(len(rendered))[: len(samples) or None]
    return samples + [
        _sample(rendered, number, rendered_view(rendered, number, rng, _size(rendered, number)))
        for number in chosen
    ]


def clean_views(sets: Sequence[PlateCrops]) -> list[Sample]:
    """Each crop once, cut as a good detector does."""
    return [
        _sample(crops, number, cut(pixels, float(aspect), Aim(), _size(crops, number)))
        for crops in sets
        for number, (pixels, aspect) in enumerate(zip(crops.pixels, crops.aspects, strict=True))
    ]


def _size(crops: PlateCrops, number: int) -> tuple[int, int]:
    """Width and height of a view that keeps the plate's shape, as `rectify` does."""
    return round(HEIGHT * (float(crops.aspects[number]) + 2 * MARGIN) / (1 + 2 * MARGIN)), HEIGHT


def _sample(crops: PlateCrops, number: int, pixels: Image) -> Sample:
    border = HEIGHT * MARGIN / (1 + 2 * MARGIN)
    return Sample(PlateCrop(pixels, np.eye(3), border), crops.texts[number], crops.name)


def read_samples(recognizer: SequenceRecognizer, samples: Sequence[Sample]) -> list[Read]:
    """Read plates as `platebeam read` does; what is not legible has confidence 0 and is wrong."""
    reads = []
    for sample in samples:
        (read,) = recognizer.recognize([recognizer.segment(sample.crop)])
        right = read.legible and read.text == sample.text
        reads.append(Read(sample.source, read.confidence if read.legible else 0.0, right))
    return reads


def fit_confidence(reads: Sequence[Read]) -> ConfidenceMap:
    """What a text's probability is worth: a rising, piecewise linear map, strictly within 0 and 1.

    Isotonic regression by pooling adjacent violators (Ayer et al. 1955), on GROUPS groups of reads
    from the least to the most sure. A group's share that is right is (right + 1) / (reads + 2),
    Laplace's rule, so that none is 0 or 1. At the ends the map goes on for half of what is left.
    """
    legible = sorted((read.confidence, read.right) for read in reads if read.confidence > 0)
    pools: list[npt.NDArray[np.float64]] = []
    groups = min(GROUPS, len(legible)) or 1
    for group in np.array_split(np.array(legible, np.float64).reshape(-1, 2), groups):
        pools.append(group)
        while len(pools) > 1 and (_knot(pools[-2]) >= _knot(pools[-1])).any():
            pools[-2:] = [np.concatenate(pools[-2:])]
    knots = np.array([_knot(pool) for pool in pools])
    first, last = knots[0, 1], knots[-1, 1]
    computed = (0.0, *knots[:, 0].tolist(), 1.0)
    turned_out = np.round([first / 2, *knots[:, 1], (1 + last) / 2], 6)
    return computed, tuple(turned_out.tolist())


def _knot(reads: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Mean confidence, strictly within 0 and 1, and share that is right, of reads (n, 2)."""
    confidence = np.clip(reads[:, 0].mean(), 1e-6, 1 - 1e-6) if len(reads) else 0.5
    return np.round([confidence, (reads[:, 1].sum() + 1) / (len(reads) + 2)], 6)


def unseen_calibration_error(reads: Sequence[Read]) -> float:
    """The calibration error where each set's reads are mapped by what the other sets' say."""
    confidences: list[float] = []
    right: list[bool] = []
    for source in sorted({read.source for read in reads}):
        own = [read for read in reads if read.source == source and read.confidence > 0]
        fitted = fit_confidence([read for read in reads if read.source != source])
        confidences += np.interp([read.confidence for read in own], *fitted).tolist()
        right += [read.right for read in own]
    return calibration_error(reliability(confidences, right))


def choose_threshold(false_plates: Callable[[float], int], pictures: int) -> float:
    """The lowest of THRESHOLDS that finds few enough plates where there are none, or the highest.

    Args:
        false_plates: how many are found in all pictures, by the threshold.
        pictures: how many there are.
    """
    allowed = FALSE_PLATES / 2 * pictures
    # A higher threshold hardly ever finds more, and each one tried takes all pictures.
    number = bisect_left(THRESHOLDS[:-1], True, key=lambda t: false_plates(t) <= allowed)
    return THRESHOLDS[number]


def choose_confidence(confidences: Sequence[float], allowed: int) -> float:
    """The confidence that few enough reads of what is no plate reach.

    Args:
        confidences: of the reads of what was found, in doubt, in pictures without plates.
        allowed: how many may.
    """
    surest = sorted(confidences, reverse=True)[allowed : allowed + 1]
    # Never 0, which what cannot be read at all would reach.
    return round((surest[0] if surest else 0.0) + 0.01, 2)
