"""Plates in a picture, found by the bundle's detector network in a few looks."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import replace

import cv2
import numpy as np
import numpy.typing as npt

from lpr_core.bundle import Bundle, BundleError
from lpr_core.deskew import along_writing
from lpr_core.detect import PlateDetection
from lpr_core.geometry import Box, Image, Matrix, Quad, as_quad, intersection, iou, transform_points
from lpr_core.networks import BundledNetwork, Floats, Network
from lpr_core.rectify import DegenerateQuadError

STRIDE = 8
"""Pixels of the input to a cell of the output of networks as they are trained; a bundle tells its
own."""

PREPROCESSING = {"name": "letterbox", "version": 2}
"""How networks are shown pictures; of version 1 all had inputs of one size."""

REACH = 32.0
"""Pixels to one of the corners' offsets."""

PADDING = 114
"""Grey beside a picture that does not fill the input."""

MAX_OVERLAP, MAX_COVERED = 0.3, 0.7
"""Of the boxes of two plates: intersection over union, and over the smaller."""

PEAKS = 12
"""Looked at of one output, before those that overlap are dropped."""

MAX_ENLARGEMENT = 2.0

SIDE = 32
"""Pixels of which a side of the network's input is a multiple: its coarsest stride."""

FEW, LIKELY = 2, 0.4
"""Candidates looked at again: the best few whatever their score, and those with this score, which
all plates of the pictures kept from training had, but for the best few."""

MORE = 4
"""So many more are looked at again where nothing sure is found."""

MOST = 16
"""Looked at again of the candidates in the parts of a large picture."""

WINDOW = (128, 192)
"""Height and width of the network's input at the second look, pixels."""

SECOND_SHARE = 2 / 3
"""Of the second look in a plate's score, by its logarithm."""

SURE_TWICE = 0.65
"""A candidate with less than this after two looks gets a third, which counts as much as each."""

THIRD_ENLARGEMENT = 1.3
"""By how much the third look is closer than the second."""

PLATE_WIDTH, PLATE_HEIGHT = 90.0, 60.0
"""As large as a plate is seen at the second look, whichever is less, pixels."""

LARGE = 2.0
"""By how much a picture is shrunk for the first look, from where it is searched in parts too."""

CLOSE_UP = 2
"""By how much the input is shrunk for a picture in which nothing sure is found: a plate may fill
it, and those that the network learnt from are no wider than half of the largest input."""

TILES = 0.6
"""Width and height of each of the four parts of a large picture, in shares of its own."""


def network_input(grey: npt.NDArray[np.uint8]) -> Floats:
    """Grey pictures, uint8, as the network takes them: float32, -1 to 1; training uses this too."""
    return np.asarray(grey / np.float32(127.5) - 1, np.float32)


def letterbox(levels: list[Image], longest: int, shortest: int) -> tuple[Image, Matrix]:
    """A picture as an input of the network, as large as allowed, padded to the next SIDE.

    Args:
        levels: a grey picture, uint8 (height, width), as `halved` takes it.
        longest, shortest: of the input's sides, at most, pixels.

    Returns:
        uint8 (height, width), multiples of SIDE, and the transform of its points to the picture's.
    """
    height, width = levels[0].shape
    scale = _scale(levels[0], longest, shortest)
    shown = max(1, round(width * scale)), max(1, round(height * scale))
    size = (math.ceil(shown[1] / SIDE) * SIDE, math.ceil(shown[0] / SIDE) * SIDE)
    left, top = (size[1] - shown[0]) // 2, (size[0] - shown[1]) // 2
    # Halved first: as training does, and faster than in one step to the size.
    level = halved(levels, _halvings(scale))
    seen = np.full(size, PADDING, np.uint8)
    seen[top : top + shown[1], left : left + shown[0]] = cv2.resize(level, shown)
    x, y = width / shown[0], height / shown[1]
    return seen, np.array([[x, 0, -left * x], [0, y, -top * y], [0, 0, 1]])


def _scale(image: Image, longest: int, shortest: int) -> float:
    """Of the network's input to a picture."""
    fitting = longest / max(image.shape), shortest / min(image.shape)
    return float(min(*fitting, MAX_ENLARGEMENT))


def plates_of(output: Floats, threshold: float, stride: int = STRIDE) -> Iterator[PlateDetection]:
    """What an output of the network says, in pixels of its input, surest first, none over another.

    Args:
        output: float32 (h, w, 9): the logit of a plate's middle, and the offsets of its corners
            from the middle of the cell, in REACH pixels.
        threshold: least score.
        stride: pixels to a cell.
    """
    logits = np.ascontiguousarray(output[..., 0])
    least = math.log(threshold / (1 - threshold))
    highest = cv2.dilate(logits, np.ones((3, 3), np.uint8))
    rows, columns = np.nonzero((logits >= highest) & (logits >= least))
    order = np.argsort(-logits[rows, columns], kind="stable")[:PEAKS]
    return without_overlaps(
        PlateDetection(
            as_quad(_corners(output, int(rows[i]), int(columns[i]), stride)),
            1 / (1 + math.exp(-float(logits[rows[i], columns[i]]))),
        )
        for i in order
    )


def _corners(output: Floats, row: int, column: int, stride: int) -> npt.NDArray[np.float64]:
    """The corners that a cell and those beside it that are nearly as sure agree on, (4, 2)."""
    top, left = max(0, row - 1), max(0, column - 1)
    part = output[top : row + 2, left : column + 2].astype(np.float64)
    weights = np.exp(np.minimum(0, part[..., 0] - output[row, column, 0]))
    y, x = np.indices(weights.shape) + 0.5
    middles = np.stack([x + left, y + top], axis=-1) * stride
    corners = middles[:, :, None] + part[..., 1:].reshape(*weights.shape, 4, 2) * REACH
    return np.asarray(np.tensordot(weights / weights.sum(), corners, 2))


def without_overlaps(detections: Iterable[PlateDetection]) -> Iterator[PlateDetection]:
    """Those with a box that none before covers or mostly covers; the surest come first."""
    kept: list[Box] = []
    for one in detections:
        box = one.box
        if all(
            iou(box, other) < MAX_OVERLAP
            and intersection(box, other) < MAX_COVERED * min(box.area, other.area)
            for other in kept
        ):
            kept.append(box)
            yield one


def _surest_first(detections: Iterable[PlateDetection]) -> list[PlateDetection]:
    return list(without_overlaps(sorted(detections, key=lambda detection: -detection.score)))


class HeatmapDetector:
    """Finds plates by a network that sees the whole picture, and then its candidates again.

    The first look shrinks or enlarges the picture to the largest input that the bundle tells. The
    second shows it one candidate after the other, turned upright and as large as it knows plates
    best; its corners are those of the second look, its score a geometric mean of both looks'. Where
    that leaves doubt, a third comes closer still: the corners are then the mean of the second
    look's and its own, the score that of all three. A picture in which nothing sure is found is
    looked at with half of that input too, for plates that fill it; a large one in which nothing at
    all is found is searched in parts. What is less sure than the bundle's threshold, yet not
    hopeless, is found with the condition that it can be read.

    Args:
        bundle: holds the network and its threshold.
        backend: see `BundledNetwork`.

    Raises:
        BundleError: the bundle holds no detector, or one that is described otherwise.
        ValueError: an unknown backend.
    """

    def __init__(self, bundle: Bundle, backend: str = "litert") -> None:
        network = BundledNetwork(bundle, "detector", backend)
        try:
            known = network.entry["preprocessing"] == PREPROCESSING
            size = int(network.entry["input"]["height"]), int(network.entry["input"]["width"])
            self._longest, self._shortest = max(size), min(size)
            self._stride = int(network.entry["stride"])
            self._threshold = float(network.entry["threshold"])
            doubtful = network.entry.get("doubtful", {"threshold": self._threshold})
            self._least = min(float(doubtful["threshold"]), self._threshold)
            self._confidence = float(doubtful.get("confidence", 0.0))
        except (KeyError, TypeError, ValueError):
            raise BundleError(
                "the bundle's detector lacks its preprocessing, input's size, stride or threshold"
            ) from None
        if not known:
            raise BundleError("the bundle's detector takes other inputs: export its model anew")
        self._network: Network = network

    def detect(self, image: Image) -> list[PlateDetection]:
        """The plates of a picture, surest first, each with a score of 0 to 1.

        Args:
            image: grey, uint8 of shape (height, width).
        """
        found = self._find(image)
        return [replace(one, quad=_refined(image, one.quad)) for one in found]

    def _find(self, image: Image) -> list[PlateDetection]:
        levels = [image]
        candidates = self._look(levels)
        best = max(FEW, sum(one.score >= LIKELY for one in candidates))
        found = self._look_again(levels, candidates[:best])
        if not self._is_sure(found):
            found += self._look_again(levels, self._look(levels, CLOSE_UP)[:FEW])
        if not self._is_sure(found):
            found += self._look_again(levels, candidates[best : best + MORE])
        if not found and _scale(image, self._longest, self._shortest) < 1 / LARGE:
            height, width = image.shape
            parts = []
            for y in (0, height - round(TILES * height)):
                for x in (0, width - round(TILES * width)):
                    part = image[y : y + round(TILES * height), x : x + round(TILES * width)]
                    parts += [_moved(one, x, y) for one in self._look([part])]
            found = self._look_again(levels, _surest_first(parts)[:MOST])
        return _surest_first(found)

    def _is_sure(self, found: Iterable[PlateDetection]) -> bool:
        return any(one.score >= self._threshold for one in found)

    def _look(self, levels: list[Image], shrunk: int = 1) -> list[PlateDetection]:
        """Candidates of a picture as a whole, in its pixels, surest first; `shrunk`: of the largest
        input.
        """
        seen, back = letterbox(levels, self._longest // shrunk, self._shortest // shrunk)
        least = self._least ** (1 / (1 - SECOND_SHARE))  # even where the second is all sure
        return [after(one, back) for one in plates_of(self._run(seen), least, self._stride)]

    def _look_again(
        self, levels: list[Image], candidates: Sequence[PlateDetection]
    ) -> list[PlateDetection]:
        """Those that are plates at the second look too, none over another, surest first."""
        seen = (self._seen_again(levels, one) for one in candidates)
        return [
            one if one.score >= self._threshold else replace(one, least_confidence=self._confidence)
            for one in _surest_first(one for one in seen if one.score >= self._least)
        ]

    def _seen_again(self, levels: list[Image], first: PlateDetection) -> PlateDetection:
        """A candidate with the corners of closer looks and the score of all; 0 if there is
        nothing.
        """
        second = self._closer(levels, first)
        score = first.score ** (1 - SECOND_SHARE) * second.score**SECOND_SHARE
        if not self._least <= score < SURE_TWICE:
            return replace(second, score=score)
        third = self._closer(levels, second, THIRD_ENLARGEMENT)
        corners = np.mean([second.quad, third.quad], axis=0)
        score = (first.score * second.score * third.score) ** (1 / 3)
        return replace(second, quad=as_quad(corners), score=score)

    def _closer(
        self, levels: list[Image], seen: PlateDetection, enlargement: float = 1.0
    ) -> PlateDetection:
        """A candidate in a window of its own; score 0 if there is nothing."""
        view = _upright(seen, WINDOW, enlargement)
        output = self._run(_warp(levels, view, WINDOW))
        least = self._least ** (1 / SECOND_SHARE)  # even where the first look is all sure
        for found in plates_of(output, least, self._stride):
            if _holds(found.box, (WINDOW[1] / 2, WINDOW[0] / 2)):
                return after(found, np.asarray(np.linalg.inv(view), np.float64))
        return replace(seen, score=0.0)

    def _run(self, seen: Image) -> Floats:
        return np.asarray(self._network(network_input(seen)[None, ..., None])[0], np.float32)


def _refined(image: Image, quad: Quad) -> Quad:
    """The corners along the plate's writing; as they are where they span no plate."""
    with suppress(DegenerateQuadError):
        return along_writing(image, quad)
    return quad


def after(detection: PlateDetection, matrix: Matrix) -> PlateDetection:
    """A detection after a projective transform of points."""
    corners = np.array(transform_points(detection.quad, matrix))
    return replace(detection, quad=as_quad(corners))


def _moved(detection: PlateDetection, x: float, y: float) -> PlateDetection:
    return after(detection, np.array([[1, 0, x], [0, 1, y], [0, 0, 1.0]]))


def _holds(box: Box, point: tuple[float, float]) -> bool:
    return box.x <= point[0] <= box.right and box.y <= point[1] <= box.bottom


def _upright(detection: PlateDetection, size: tuple[int, int], enlargement: float) -> Matrix:
    """The transform that brings a plate to the middle of a window, upright and of known size."""
    corners = np.array(detection.quad)
    along = (corners[1] + corners[2] - corners[0] - corners[3]) / 2
    down = (corners[2] + corners[3] - corners[0] - corners[1]) / 2
    wide, tall = max(1.0, math.hypot(*along)), max(1.0, math.hypot(*down))
    scale = enlargement * min(PLATE_WIDTH / wide, PLATE_HEIGHT / tall)
    cos, sin = scale * along / wide
    x, y = corners.mean(axis=0)
    return np.array(
        [
            [cos, sin, size[1] / 2 - cos * x - sin * y],
            [-sin, cos, size[0] / 2 + sin * x - cos * y],
            [0, 0, 1],
        ]
    )


def _warp(levels: list[Image], view: Matrix, size: tuple[int, int]) -> Image:
    """The picture after a transform, from that of its halves that it shrinks by less than two.

    Args:
        levels: as `halved` takes them.
        view: of the picture's points to the result's.
        size: height and width of the result.
    """
    level = halved(levels, _halvings(math.hypot(view[0, 0], view[0, 1])))
    x, y = levels[0].shape[1] / level.shape[1], levels[0].shape[0] / level.shape[0]
    matrix = view @ np.diag([x, y, 1.0])
    matrix[:2, 2] += matrix[:2, :2] @ (0.5, 0.5) - 0.5  # warps count the centres of pixels
    result = cv2.warpAffine(level, matrix[:2], size[::-1], borderValue=PADDING)
    return np.asarray(result, np.uint8)


def _halvings(scale: float) -> int:
    """How often a picture can be halved on its way to a scale."""
    return max(0, math.floor(-math.log2(scale)))


def halved(levels: list[Image], times: int) -> Image:
    """A picture halved so many times.

    Args:
        levels: the picture and the halves made so far; gets those that are missing.
        times: how many.
    """
    while len(levels) <= times:
        height, width = levels[-1].shape
        size = max(1, width // 2), max(1, height // 2)
        half = cv2.resize(levels[-1], size, interpolation=cv2.INTER_AREA)
        levels.append(np.asarray(half, np.uint8))
    return levels[times]
